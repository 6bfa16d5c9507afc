//! Sines and the ramps that switch them.

use std::f64::consts::{PI, TAU};

/// Level of a sine that just fits 16 bits, dBm0 (ITU-T G.711: µ-law overloads at +3.17).
const FULL_SCALE_DBM0: f64 = 3.17;
/// Length of a ramp: short beside the shortest tone, long enough not to click.
const RAMP_MS: u32 = 5;

/// Peak of a sine of a level in dBm0, 16 bits.
pub fn amplitude(level_dbm0: f64) -> f64 {
    f64::from(i16::MAX) * 10f64.powf((level_dbm0.min(FULL_SCALE_DBM0) - FULL_SCALE_DBM0) / 20.0)
}

/// A sine without a table: a phasor that turns by the same angle for each sample.
#[derive(Clone, Debug)]
pub struct Oscillator {
    re: f64,
    im: f64,
    turn_re: f64,
    turn_im: f64,
}

impl Oscillator {
    /// A sine of `hertz` with that peak, beginning at 0.
    pub fn new(hertz: f64, peak: f64, rate: u32) -> Self {
        let (turn_im, turn_re) = (TAU * hertz / f64::from(rate)).sin_cos();
        Self { re: peak, im: 0.0, turn_re, turn_im }
    }

    /// The next sample.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> f64 {
        let sample = self.im;
        (self.re, self.im) = (
            self.re * self.turn_re - self.im * self.turn_im,
            self.re * self.turn_im + self.im * self.turn_re,
        );
        sample
    }
}

/// A gain that goes up and down along half a cosine.
#[derive(Clone, Debug)]
pub struct Envelope {
    at: u32,
    len: u32,
}

impl Envelope {
    /// Silent so far.
    pub fn new(rate: u32) -> Self {
        Self { at: 0, len: (rate * RAMP_MS / 1000).max(1) }
    }

    /// Fully open.
    pub fn open(rate: u32) -> Self {
        let closed = Self::new(rate);
        Self { at: closed.len, ..closed }
    }

    /// Samples of a ramp.
    pub fn ramp(&self) -> u32 {
        self.len
    }

    /// Whether it lets nothing through.
    pub fn is_silent(&self) -> bool {
        self.at == 0
    }

    /// One sample further towards open or closed: the gain, 0–1.
    pub fn next(&mut self, is_on: bool) -> f64 {
        self.at = if is_on { (self.at + 1).min(self.len) } else { self.at.saturating_sub(1) };
        if self.at == self.len {
            return 1.0;
        }
        0.5 - 0.5 * (PI * f64::from(self.at) / f64::from(self.len)).cos()
    }
}
