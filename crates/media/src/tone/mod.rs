//! Call progress tones, as each country's network makes them (ITU-T E.180, Supplement 2), and
//! beeps: frequencies and cadences as data, and a generator without clicks.

mod oscillator;
mod table;

pub use oscillator::{Envelope, Oscillator, amplitude};
pub use table::{Country, ToneKind, cadence};

/// Level of a tone, all its frequencies together, dBm0 (ITU-T E.180 §4: −10 ± 5).
pub const LEVEL_DBM0: f64 = -10.0;
/// Milliseconds that a loop is a multiple of: a packet of ours.
const FRAME_MS: u32 = 20;

/// What sounds during one step of a cadence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pitch {
    /// Nothing.
    Silence,
    /// One frequency, hertz.
    Single(f64),
    /// Two frequencies of the same level, hertz.
    Sum(f64, f64),
    /// A carrier whose amplitude another frequency modulates fully, hertz.
    Modulated(f64, f64),
}

/// One step of a cadence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What sounds.
    pub pitch: Pitch,
    /// For how long, milliseconds.
    pub ms: u32,
}

/// The steps of a tone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cadence {
    /// In their order; at least one.
    pub steps: &'static [Step],
    /// Whether they begin again after the last one.
    pub repeats: bool,
}

impl Cadence {
    /// Length of all steps, milliseconds.
    pub fn period_ms(&self) -> u32 {
        self.steps.iter().map(|step| step.ms).sum()
    }

    /// Samples at `rate` hertz that can be played in a loop, as many whole periods as make frames
    /// of 20 ms; a cadence that does not repeat once, filled up with silence.
    pub fn render(&self, level_dbm0: f64, rate: u32) -> Vec<i16> {
        let period = self.period_ms();
        let periods = if self.repeats {
            (1..=FRAME_MS).find(|n| (n * period).is_multiple_of(FRAME_MS)).unwrap_or(FRAME_MS)
        } else {
            1
        };
        let frames = (periods * period).div_ceil(FRAME_MS);
        let samples = u64::from(frames * FRAME_MS) * u64::from(rate) / 1000;
        let mut pcm = vec![0; samples as usize];
        ToneSource::new(*self, level_dbm0, rate).fill(&mut pcm);
        pcm
    }
}

/// Plays a cadence sample by sample.
#[derive(Clone, Debug)]
pub struct ToneSource {
    cadence: Cadence,
    rate: u32,
    amplitude: f64,
    /// Index of the step that sounds; past the end when all is over.
    step: usize,
    /// Sample within the step, and its length.
    at: u64,
    len: u64,
    /// Milliseconds and samples of the steps before, so that lengths do not add up their rounding.
    before: (u64, u64),
    voice: Option<Voice>,
    envelope: Envelope,
}

#[derive(Clone, Debug)]
enum Voice {
    Sum([Option<Oscillator>; 2]),
    Modulated(Oscillator, Oscillator),
}

impl ToneSource {
    /// From the start of the cadence, at `rate` hertz (8000 or more).
    pub fn new(cadence: Cadence, level_dbm0: f64, rate: u32) -> Self {
        let mut source = Self {
            cadence,
            rate,
            amplitude: amplitude(level_dbm0),
            step: 0,
            at: 0,
            len: 0,
            before: (0, 0),
            voice: None,
            envelope: Envelope::new(rate),
        };
        source.enter();
        if source.is_steady() {
            // A loop that never pauses goes on where it began.
            source.envelope = Envelope::open(rate);
        }
        source
    }

    /// Overwrites the next samples; false when the cadence was over before the first of them.
    pub fn fill(&mut self, pcm: &mut [i16]) -> bool {
        let has_more = self.step < self.cadence.steps.len();
        pcm.iter_mut().for_each(|sample| *sample = self.sample());
        has_more
    }

    fn sample(&mut self) -> i16 {
        if self.step >= self.cadence.steps.len() {
            return 0;
        }
        // It fades out within its step.
        let left = self.len - self.at;
        let is_on = self.is_steady() || left > u64::from(self.envelope.ramp());
        let gain = self.envelope.next(is_on);
        let sample = self.voice.as_mut().map_or(0.0, |voice| gain * voice.next());
        self.at += 1;
        if self.at >= self.len {
            self.leave();
        }
        sample as i16
    }

    fn is_steady(&self) -> bool {
        self.cadence.repeats && self.cadence.steps.len() == 1
    }

    fn leave(&mut self) {
        let ms = self.cadence.steps[self.step].ms;
        self.before = (self.before.0 + u64::from(ms), self.before.1 + self.len);
        self.step += 1;
        if self.step == self.cadence.steps.len() && self.cadence.repeats {
            self.step = 0;
        }
        if self.is_steady() {
            self.at = 0;
        } else {
            self.enter();
        }
    }

    fn enter(&mut self) {
        let Some(step) = self.cadence.steps.get(self.step) else { return };
        let end = (self.before.0 + u64::from(step.ms)) * u64::from(self.rate) / 1000;
        self.at = 0;
        self.len = (end - self.before.1).max(1);
        self.voice = Voice::new(step.pitch, self.amplitude, self.rate);
        self.envelope = Envelope::new(self.rate);
    }
}

impl Voice {
    fn new(pitch: Pitch, amplitude: f64, rate: u32) -> Option<Self> {
        let oscillator = |hertz, amplitude| Oscillator::new(hertz, amplitude, rate);
        match pitch {
            Pitch::Silence => None,
            Pitch::Single(hertz) => Some(Self::Sum([Some(oscillator(hertz, amplitude)), None])),
            Pitch::Sum(low, high) => {
                let each = amplitude / 2f64.sqrt();
                Some(Self::Sum([low, high].map(|hertz| Some(oscillator(hertz, each)))))
            }
            Pitch::Modulated(carrier, by) => {
                // The mean square of (1 + sin) / 2 is 3/8.
                let peak = amplitude * (8.0 / 3.0f64).sqrt();
                Some(Self::Modulated(oscillator(carrier, peak), oscillator(by, 0.5)))
            }
        }
    }

    fn next(&mut self) -> f64 {
        match self {
            Self::Sum(voices) => voices.iter_mut().flatten().map(Oscillator::next).sum(),
            Self::Modulated(carrier, by) => carrier.next() * (0.5 + by.next()),
        }
    }
}

#[cfg(test)]
mod tests;
