//! RNNoise at a stream's own rate: one frame of 10 ms after the other.
//!
//! ```text
//! pcm ─▶ high pass ─▶ history ─▶ spectrum ─┬─▶ features ─▶ network ─▶ gains
//!                        └─▶ pitch ─▶ spectrum a period ago ─┘           │
//!                                          pcm ◀─ overlap ◀─ comb ◀──────┘
//! ```

use realfft::num_complex::Complex32;

use super::estimator::Estimator;
use super::features::{Cepstra, Measured};
use super::network::{self, BANDS};
use super::pitch::{HISTORY, LAG_MAX, Pitch};
use super::spectrum::{LINES_MAX, Room, Spectrum, WINDOW_MAX};
use super::tones::{Signal, Tones};
use super::vector::{self, Machine, Work};

/// A gain falls to at most this share of itself from frame to frame: 10 dB in 22 ms.
const RELEASE: f32 = 0.6;
/// Samples at 8 kHz that the copy for the pitch gets with a frame.
const COPIED: usize = 80;

/// One stream's suppressor at the stream's own rate.
pub(super) struct Suppressor {
    spectrum: &'static Spectrum,
    high_pass: HighPass,
    /// The window's samples, and before them those of the longest lag.
    history: Box<[f32]>,
    /// The same at 8 kHz, if it is not that.
    copy: Option<Box<Copy>>,
    overlap: Box<[f32]>,
    tones: Tones,
    estimator: Option<Estimator>,
    pitch: Pitch,
    cepstra: Cepstra,
    network: network::State,
    gains: [f32; BANDS],
}

/// The history at 8 kHz, for a stream of a higher rate.
struct Copy {
    history: [f32; HISTORY],
    taps: Box<[f32]>,
}

impl Suppressor {
    /// For a stream of one of [`super::RATES_HZ`].
    pub(super) fn new(rate_hz: u32) -> Option<Self> {
        let spectrum = Spectrum::of(rate_hz)?;
        let longest = LAG_MAX * 6 / spectrum.factor;
        let history = vec![0.0; longest + spectrum.window()].into();
        Some(Self {
            spectrum,
            high_pass: HighPass::new(spectrum.factor),
            history,
            copy: (spectrum.factor < 6).then(|| Box::new(Copy::new(6 / spectrum.factor))),
            overlap: vec![0.0; spectrum.window() / 2].into(),
            tones: Tones::new(),
            estimator: Some(Estimator::new(spectrum.lines())),
            pitch: Pitch::new(),
            cepstra: Cepstra::new(),
            network: network::State::new(),
            gains: [0.0; BANDS],
        })
    }

    /// The network alone.
    #[cfg(test)]
    pub(super) fn plain(rate_hz: u32) -> Option<Self> {
        Some(Self { estimator: None, ..Self::new(rate_hz)? })
    }

    /// Samples by which the output is late: the windows' overlap.
    pub(super) fn delay(&self) -> usize {
        self.overlap.len()
    }

    /// Cleans one frame, and tells what it is. A steady signal leaves `output` as it is when
    /// `passes` says that nobody hears that.
    pub(super) fn run(&mut self, input: &[i16], output: &mut [f32], passes: bool) -> Signal {
        let mut signal = Signal::Sound;
        let tell = &mut signal;
        match self.spectrum.window() {
            160 => vector::run(Frame::<160, 81> { of: self, input, output, passes, tell }),
            320 => vector::run(Frame::<320, 161> { of: self, input, output, passes, tell }),
            480 => vector::run(Frame::<480, 241> { of: self, input, output, passes, tell }),
            _ => vector::run(Frame::<WINDOW_MAX, LINES_MAX> {
                of: self,
                input,
                output,
                passes,
                tell,
            }),
        }
        signal
    }
}

/// One frame's work at one rate.
struct Frame<'a, const WINDOW: usize, const LINES: usize> {
    of: &'a mut Suppressor,
    input: &'a [i16],
    output: &'a mut [f32],
    passes: bool,
    tell: &'a mut Signal,
}

impl<const WINDOW: usize, const LINES: usize> Work for Frame<'_, WINDOW, LINES> {
    #[inline(always)]
    fn run(self, machine: impl Machine) {
        let Self { of, input, output, passes, tell } = self;
        of.hear(machine, input);
        let mut room = Room::<WINDOW>::new();
        let mut now = [Complex32::ZERO; LINES];
        let newest = of.history.len() - WINDOW;
        of.spectrum.analyse(&of.history[newest..], &mut room, &mut now);
        let mut powers = [0.0; LINES];
        of_lines(&now, &mut powers);
        let noise = of.estimator.as_ref().map_or(0.0, Estimator::noise);
        *tell = of.tones.hear(&powers, noise);
        if *tell == Signal::Steady && passes {
            return;
        }
        if *tell == Signal::Sound {
            of.suppress::<WINDOW, LINES>(machine, &mut room, powers, &mut now);
        } else {
            of.gains = [1.0; BANDS];
        }
        of.spectrum.synthesise(&mut now, &mut room, &mut of.overlap, output);
    }
}

impl Suppressor {
    /// Gives each line the gain that speech leaves it.
    #[inline(always)]
    fn suppress<const WINDOW: usize, const LINES: usize>(
        &mut self,
        machine: impl Machine,
        room: &mut Room<WINDOW>,
        mut lines: [f32; LINES],
        now: &mut [Complex32; LINES],
    ) {
        let spectrum = self.spectrum;
        let energy = spectrum.sum(&lines);
        let mut estimated = lines;
        match &mut self.estimator {
            Some(estimator) => estimator.run(machine, &mut estimated),
            None => estimated.fill(1.0),
        }
        let own = || self.history.first_chunk().expect("at 8 kHz the history is as long");
        let copied = self.copy.as_ref().map_or_else(own, |copy| &copy.history);
        let period = self.pitch.find(machine, copied);
        let mut before = [Complex32::ZERO; LINES];
        self.look_back(period, room, &mut before);
        of_lines(&before, &mut lines);
        let energy_before = spectrum.sum(&lines);
        for ((line, a), b) in lines.iter_mut().zip(&*now).zip(&before) {
            *line = a.re * b.re + a.im * b.im;
        }
        let mut alike = spectrum.sum(&lines);
        for ((alike, a), b) in alike.iter_mut().zip(&energy).zip(&energy_before) {
            *alike /= (0.001 + a * b).sqrt();
        }
        let measured = Measured { energy: &energy, alike: &alike, period };
        let Some(features) = self.cepstra.features(machine, &measured) else { return };
        let wanted = self.network.run(machine, &features);
        for (held, wanted) in self.gains.iter_mut().zip(&wanted) {
            *held = wanted.max(RELEASE * *held);
        }
        comb(spectrum, &wanted, &measured, &energy_before, now, &before);
        spectrum.spread(&self.gains, &mut lines);
        for ((now, gain), estimated) in now.iter_mut().zip(&lines).zip(&estimated) {
            *now *= gain * estimated;
        }
    }

    /// Takes a frame into the history.
    #[inline(always)]
    fn hear(&mut self, machine: impl Machine, input: &[i16]) {
        self.history.copy_within(input.len().., 0);
        let newest = self.history.len() - input.len();
        self.high_pass.run(input, &mut self.history[newest..]);
        if let Some(copy) = &mut self.copy {
            copy.hear(machine, &self.history);
        }
    }

    /// The spectrum as it was a period, in samples of the network's rate, ago.
    #[inline(always)]
    fn look_back<const WINDOW: usize>(
        &self,
        period: usize,
        room: &mut Room<WINDOW>,
        spectrum: &mut [Complex32],
    ) {
        let factor = self.spectrum.factor;
        let lag = (period + factor / 2) / factor;
        let start = self.history.len() - WINDOW - lag;
        self.spectrum.analyse(&self.history[start..][..WINDOW], room, spectrum);
        // What is left of the period is less than a sample: a turn of each line.
        let rest = period as f32 - (lag * factor) as f32;
        if rest != 0.0 {
            let angle = -std::f32::consts::TAU * rest / WINDOW_MAX as f32;
            let step = Complex32::from_polar(1.0, angle);
            let mut turn = Complex32::ONE;
            for line in spectrum {
                *line *= turn;
                turn *= step;
            }
        }
    }
}

/// Adds the sound a period ago where the network wants more of a voice than is there, and keeps
/// each band's power.
#[inline(always)]
fn comb<const LINES: usize>(
    spectrum: &Spectrum,
    wanted: &[f32; BANDS],
    measured: &Measured<'_>,
    energy_before: &[f32; BANDS],
    now: &mut [Complex32; LINES],
    before: &[Complex32; LINES],
) {
    let Measured { energy, alike, period: _ } = *measured;
    let voices: [f32; BANDS] = std::array::from_fn(|band| {
        let (alike, gain) = (alike[band], wanted[band]);
        let share = match alike > gain {
            true => 1.0,
            false => {
                let (alike, gain) = (alike * alike, gain * gain);
                alike * (1.0 - gain) / (0.001 + gain * (1.0 - alike))
            }
        };
        (share.clamp(0.0, 1.0) * energy[band] / (1e-8 + energy_before[band])).sqrt()
    });
    let mut lines = [0.0; LINES];
    spectrum.spread(&voices, &mut lines);
    for ((now, before), voice) in now.iter_mut().zip(before).zip(&lines) {
        *now += before * voice;
    }
    of_lines(now, &mut lines);
    let louder = spectrum.sum(&lines);
    let levels = std::array::from_fn(|band| (energy[band] / (1e-8 + louder[band])).sqrt());
    spectrum.spread(&levels, &mut lines);
    for (now, level) in now.iter_mut().zip(&lines) {
        *now *= level;
    }
}

/// The power of each line.
#[inline(always)]
fn of_lines(spectrum: &[Complex32], lines: &mut [f32]) {
    for (line, x) in lines.iter_mut().zip(spectrum) {
        *line = x.re * x.re + x.im * x.im;
    }
}

/// Takes away what is below 24 Hz.
struct HighPass {
    feedback: [f64; 2],
    memory: [f32; 2],
}

impl HighPass {
    /// RNNoise's filter, its poles moved to where a rate `factor` times lower has them.
    fn new(factor: usize) -> Self {
        let (a, b) = (-1.99599_f64, 0.99600_f64);
        let (radius, angle) = (b.sqrt(), (-0.5 * a / b.sqrt()).acos());
        let (radius, angle) = (radius.powi(factor as i32), angle * factor as f64);
        Self { feedback: [-2.0 * radius * angle.cos(), radius * radius], memory: [0.0; 2] }
    }

    fn run(&mut self, input: &[i16], output: &mut [f32]) {
        let [a, b] = self.feedback;
        let [mut first, mut second] = self.memory.map(f64::from);
        for (x, y) in input.iter().zip(output) {
            let x = f64::from(*x);
            let out = x + first;
            first = second + (-2.0 * x - a * out);
            second = x - b * out;
            *y = out as f32;
        }
        self.memory = [first as f32, second as f32];
    }
}

impl Copy {
    /// For a rate `factor` times 8 kHz.
    fn new(factor: usize) -> Self {
        let len = 4 * factor + 1;
        let tap = |n: usize| {
            let x = (n as f64 - (len - 1) as f64 / 2.0) / factor as f64;
            let sinc = if x == 0.0 {
                1.0
            } else {
                (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x)
            };
            sinc * (0.5 + 0.5 * (std::f64::consts::PI * x / 2.5).cos())
        };
        let sum: f64 = (0..len).map(tap).sum();
        Self { history: [0.0; HISTORY], taps: (0..len).map(|n| (tap(n) / sum) as f32).collect() }
    }

    #[inline(always)]
    fn hear(&mut self, machine: impl Machine, samples: &[f32]) {
        let factor = (self.taps.len() - 1) / 4;
        self.history.copy_within(COPIED.., 0);
        let first = samples.len() - COPIED * factor + 1 - (self.taps.len() - 1);
        for (n, y) in self.history[HISTORY - COPIED..].iter_mut().enumerate() {
            let past = &samples[first + n * factor..][..self.taps.len()];
            *y = vector::dot(machine, past, &self.taps);
        }
    }
}
