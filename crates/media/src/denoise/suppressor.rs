//! Speech out of noise at a stream's own rate: one frame of 10 ms after the other.
//!
//! ```text
//! pcm ─▶ high pass ─▶ history ─┬─▶ newest spectrum ──┬─▶ estimator ─▶ features ─▶ network
//!                              │   a period before ──┘                     gains of bands
//!                              └─▶ spectrum 5–6 ms ago ─▶ comb ─▶ estimator ───┤
//!                                                     gains of lines ─▶ × ◀────┘
//!                                                               pcm ◀─ overlap
//! ```
//! The network is RNNoise's; the estimator is the light suppressor around it. What is heard is 5 or
//! 6 ms behind what the network hears: it answers late to the beginning of a word.

use realfft::num_complex::Complex32;

use super::estimator::Estimator;
use super::features::{Cepstra, Measured};
use super::input::{Copy, HighPass};
use super::music::Music;
use super::network;
use super::onset::Onset;
use super::pitch::{PERIOD_MAX, Pitch};
use super::spectrum::{LINES_MAX, NETWORK_HZ, Room, Spectrum, WINDOW_MAX};
use super::tones::{Lines, Signal, Tones};
use super::vector::{self, Machine, Work};
use super::voice::{comb, compare, powers};

/// How far the network hears ahead of what is heard, in samples of its rate: 5 ms, and where words are
/// eased in 6. 7 ms gave nothing more.
const AHEAD: usize = NETWORK_HZ / 200;
const AHEAD_EASED: usize = NETWORK_HZ * 6 / 1000;
/// The network's gains are taken to this power: with less noise before it, it takes less out. Where
/// a word begins they are too small.
const EMPHASIS: f32 = 1.2;
const EMPHASIS_AT_ONSET: f32 = 0.5;
/// Words are eased in at up to 16 kHz, a third of the network's rate. At higher rates steady noise sounds
/// too much like words to the network.
const EASED_FACTOR_MIN: usize = 3;
/// How far the network hears ahead, in samples of the stream.
const fn ahead(factor: usize) -> usize {
    let samples = if factor >= EASED_FACTOR_MIN { AHEAD_EASED } else { AHEAD };
    samples / factor
}

/// Probability of a voice, of the network, below which all goes down, and by how much at most: what
/// is left in pauses is neither steady nor in one band.
const VOICE: f32 = 0.2;
const PAUSE: f32 = 0.3;
/// Share of that probability that stays from frame to frame.
const VOICE_KEPT: f32 = 0.9;

/// One stream's suppressor at the stream's own rate.
pub(super) struct Suppressor {
    spectrum: &'static Spectrum,
    high_pass: HighPass,
    /// The window's samples, before them those that are heard ahead, then those of the longest lag.
    history: Box<[f32]>,
    /// The same at 8 kHz, if it is not that.
    copy: Option<Box<Copy>>,
    overlap: Box<[f32]>,
    tones: Tones,
    /// Lines of a tone in the last frame.
    kept: Lines,
    pitch: Pitch,
    cepstra: Cepstra,
    network: network::State,
    around: Around,
}

/// What is around the network.
enum Around {
    Chain {
        estimator: Estimator,
        /// How probably somebody speaks, lately.
        voice: f32,
        onset: Onset,
        music: Box<Music>,
    },
    /// Nothing but what RNNoise has itself: a gain falls to at most 0.6 of itself from frame to
    /// frame.
    #[cfg(test)]
    Plain { gains: [f32; network::BANDS] },
}

impl Suppressor {
    /// For a stream of one of [`super::RATES_HZ`].
    pub(super) fn new(rate_hz: u32) -> Option<Self> {
        let spectrum = Spectrum::of(rate_hz)?;
        let longest = lag(PERIOD_MAX, spectrum.factor);
        let ahead = ahead(spectrum.factor);
        let estimator = Estimator::new(spectrum.lines());
        let around = Around::Chain {
            estimator,
            voice: 0.0,
            onset: Onset::new(),
            music: Box::new(Music::new()),
        };
        Some(Self {
            spectrum,
            high_pass: HighPass::new(spectrum.factor),
            history: vec![0.0; longest + ahead + spectrum.window()].into(),
            copy: (spectrum.factor < 6).then(|| Box::new(Copy::new(6 / spectrum.factor))),
            overlap: vec![0.0; spectrum.window() / 2].into(),
            tones: Tones::new(),
            kept: Lines::NONE,
            pitch: Pitch::new(),
            cepstra: Cepstra::new(),
            network: network::State::new(),
            around,
        })
    }

    /// The network alone.
    #[cfg(test)]
    pub(super) fn plain(rate_hz: u32) -> Option<Self> {
        Some(Self { around: Around::Plain { gains: [0.0; network::BANDS] }, ..Self::new(rate_hz)? })
    }

    /// Samples by which the output is late: the windows' overlap and what is heard ahead.
    pub(super) fn delay(&self) -> usize {
        self.overlap.len() + self.ahead()
    }

    fn ahead(&self) -> usize {
        match self.around {
            Around::Chain { .. } => ahead(self.spectrum.factor),
            #[cfg(test)]
            Around::Plain { .. } => 0,
        }
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
        let mut lines = [0.0; LINES];
        powers(&now, &mut lines);
        let (noise, is_music) = match &mut of.around {
            Around::Chain { estimator, music, .. } => (estimator.noise(), music.hear(&lines)),
            #[cfg(test)]
            Around::Plain { .. } => (0.0, false),
        };
        *tell = of.tones.hear(&lines, noise);
        if is_music {
            *tell = Signal::Steady;
        }
        if *tell == Signal::Steady && passes {
            return;
        }
        // What is heard is between this frame and the last one: a tone of either is kept.
        let kept = of.tones.lines();
        let kept = kept.or(std::mem::replace(&mut of.kept, kept));
        let heard = of.listen(machine, &mut room, &lines, &now);
        let ahead = of.ahead();
        if ahead > 0 {
            of.spectrum.analyse(&of.history[newest - ahead..][..WINDOW], &mut room, &mut now);
        }
        if let Some((heard, period)) = heard {
            let original = now;
            of.suppress(machine, &mut room, heard, period, &mut now);
            kept.each(|line| now[line] = original[line]);
        }
        of.spectrum.synthesise(&mut now, &mut room, &mut of.overlap, output);
    }
}

impl Suppressor {
    /// What the network says of the newest window, and the period of its voice; `None` when there
    /// is nothing to hear.
    #[inline(always)]
    fn listen<const WINDOW: usize, const LINES: usize>(
        &mut self,
        machine: impl Machine,
        room: &mut Room<WINDOW>,
        lines: &[f32; LINES],
        now: &[Complex32; LINES],
    ) -> Option<(network::Heard, usize)> {
        let mut shares = [1.0; LINES];
        match &self.around {
            // Half of the estimator's gains, in decibels: all of them, and the network takes out less.
            Around::Chain { estimator, .. } => estimator.before(machine, lines, &mut shares),
            #[cfg(test)]
            Around::Plain { .. } => {}
        }
        let energy =
            self.spectrum.sum(&std::array::from_fn::<_, LINES, _>(|k| shares[k] * lines[k]));
        let own = || self.history.last_chunk().expect("at 8 kHz the history is longer");
        let copied = self.copy.as_ref().map_or_else(own, |copy| &copy.history);
        let period = self.pitch.find(machine, copied);
        let mut before = [Complex32::ZERO; LINES];
        self.look_back(period, 0, room, &mut before);
        let (alike, _) = compare(self.spectrum, &energy, now, &before, |line| shares[line]);
        let measured = Measured { energy: &energy, alike: &alike, period };
        let features = self.cepstra.features(machine, &measured)?;
        Some((self.network.run(machine, &features), period))
    }

    /// Gives each line of the window that is due the gain that speech leaves it.
    #[inline(always)]
    fn suppress<const WINDOW: usize, const LINES: usize>(
        &mut self,
        machine: impl Machine,
        room: &mut Room<WINDOW>,
        heard: network::Heard,
        period: usize,
        now: &mut [Complex32; LINES],
    ) {
        let spectrum = self.spectrum;
        let mut lines = [0.0; LINES];
        powers(now, &mut lines);
        let energy = spectrum.sum(&lines);
        let mut before = [Complex32::ZERO; LINES];
        self.look_back(period, self.ahead(), room, &mut before);
        let (alike, energy_before) = compare(spectrum, &energy, now, &before, |_| 1.0);
        let measured = Measured { energy: &energy, alike: &alike, period };
        comb(spectrum, &heard.gains, &measured, &energy_before, now, &before);
        match &mut self.around {
            Around::Chain { estimator, voice, onset, .. } => {
                *voice = heard.voice.max(VOICE_KEPT * *voice);
                let all = (*voice / VOICE).clamp(PAUSE, 1.0);
                let mut gains = [0.0; LINES];
                spectrum.spread(&heard.gains.map(|gain| gain.powf(EMPHASIS)), &mut gains);
                powers(now, &mut lines);
                let begins = spectrum.factor >= EASED_FACTOR_MIN
                    && onset.hear(heard.voice, estimator.is_louder(&lines));
                let mut estimated = [0.0; LINES];
                estimator.after(machine, &lines, &gains, begins, &mut estimated);
                if begins {
                    // Heard only: to follow the noise, what the network says counts in full, or noise
                    // that it takes for a word would never be noise again.
                    let eased = heard.gains.map(|gain| gain.powf(EMPHASIS_AT_ONSET));
                    spectrum.spread(&eased, &mut gains);
                }
                for ((now, gain), estimated) in now.iter_mut().zip(&gains).zip(&estimated) {
                    *now *= all * gain * estimated;
                }
            }
            #[cfg(test)]
            Around::Plain { gains } => {
                for (held, gain) in gains.iter_mut().zip(&heard.gains) {
                    *held = gain.max(0.6 * *held);
                }
                spectrum.spread(gains, &mut lines);
                now.iter_mut().zip(&lines).for_each(|(now, gain)| *now *= gain);
            }
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

    /// The spectrum of a window that ended `ago` samples ago as it was a period, in samples of the
    /// network's rate, before that.
    #[inline(always)]
    fn look_back<const WINDOW: usize>(
        &self,
        period: usize,
        ago: usize,
        room: &mut Room<WINDOW>,
        spectrum: &mut [Complex32],
    ) {
        let factor = self.spectrum.factor;
        let lag = lag(period, factor);
        let start = self.history.len() - ago - WINDOW - lag;
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

/// A period of the network's rate in whole samples of a rate `factor` times lower.
const fn lag(period: usize, factor: usize) -> usize {
    (period + factor / 2) / factor
}
