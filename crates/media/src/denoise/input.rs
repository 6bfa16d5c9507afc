//! What a stream says, made ready for the spectrum and for the search of the pitch.

use super::pitch::HISTORY;
use super::vector::{self, Machine};

/// Samples at 8 kHz that the copy for the pitch gets with a frame.
const COPIED: usize = 80;

/// Takes away what is below 24 Hz.
pub(super) struct HighPass {
    feedback: [f64; 2],
    memory: [f32; 2],
}

impl HighPass {
    /// RNNoise's filter, its poles moved to where a rate `factor` times lower has them.
    pub(super) fn new(factor: usize) -> Self {
        let (a, b) = (-1.99599_f64, 0.99600_f64);
        let (radius, angle) = (b.sqrt(), (-0.5 * a / b.sqrt()).acos());
        let (radius, angle) = (radius.powi(factor as i32), angle * factor as f64);
        Self { feedback: [-2.0 * radius * angle.cos(), radius * radius], memory: [0.0; 2] }
    }

    pub(super) fn run(&mut self, input: &[i16], output: &mut [f32]) {
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

/// The history at 8 kHz, for a stream of a higher rate.
pub(super) struct Copy {
    pub(super) history: [f32; HISTORY],
    taps: Box<[f32]>,
}

impl Copy {
    /// For a rate `factor` times 8 kHz.
    pub(super) fn new(factor: usize) -> Self {
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
    pub(super) fn hear(&mut self, machine: impl Machine, samples: &[f32]) {
        let factor = (self.taps.len() - 1) / 4;
        self.history.copy_within(COPIED.., 0);
        let first = samples.len() - COPIED * factor + 1 - (self.taps.len() - 1);
        for (n, y) in self.history[HISTORY - COPIED..].iter_mut().enumerate() {
            let past = &samples[first + n * factor..][..self.taps.len()];
            *y = vector::dot(machine, past, &self.taps);
        }
    }
}
