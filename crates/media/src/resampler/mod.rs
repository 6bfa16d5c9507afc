//! Streaming conversion between the sampling rates of calls: 8, 16, 24, 32 and 48 kHz.
//!
//! A polyphase filter: images and aliases 70 dB down, flat within ±0.04 dB up to 0.425 of the lower
//! rate (3.4 kHz at 8 kHz), linear in phase. Its delay is 1.5 ms where 8 kHz is one of the rates,
//! and as many samples of the lower rate otherwise ([`Resampler::delay`]).
//! Whole recordings are converted by [`crate::resample`].

mod taps;

use std::time::Duration;

use crate::codec::RATES;
use crate::dot::{LANES, dot};

/// Samples filtered at once; longer input is taken in pieces.
const BLOCK: usize = 480;

/// Converts one stream of samples.
#[derive(Clone, Debug)]
pub struct Resampler {
    from: u32,
    to: u32,
    /// `to / from` as a reduced fraction.
    up: usize,
    down: usize,
    /// Taps of each phase, oldest sample first, a whole number of vectors.
    phases: Box<[f32]>,
    taps: usize,
    /// The last `taps - 1` samples of the input, and room for a block behind them.
    line: Box<[f32]>,
    /// Place of the next output after the input's beginning, in steps of `1 / up` samples.
    position: usize,
}

impl Resampler {
    /// From one rate to another; `None` unless both are among [`RATES`]. Allocates; nothing after
    /// it does. Equal rates pass through untouched and without delay.
    pub fn new(from: u32, to: u32) -> Option<Self> {
        if !RATES.contains(&from) || !RATES.contains(&to) {
            return None;
        }
        let common = gcd(from, to);
        let (up, down) = ((to / common) as usize, (from / common) as usize);
        let prototype = prototype(up.max(down));
        let taps = prototype.len().div_ceil(up).max(1).next_multiple_of(LANES);
        let mut phases = vec![0.0; up * taps].into_boxed_slice();
        for (n, tap) in prototype.iter().enumerate() {
            // Phase p weighs the sample k steps ago with tap p + k·up.
            let (phase, age) = (n % up, n / up);
            phases[phase * taps + taps - 1 - age] = tap * up as f32;
        }
        let line = vec![0.0; taps - 1 + BLOCK].into_boxed_slice();
        Some(Self { from, to, up, down, phases, taps, line, position: 0 })
    }

    /// The rate of the input, hertz.
    pub fn from(&self) -> u32 {
        self.from
    }

    /// The rate of the output, hertz.
    pub fn to(&self) -> u32 {
        self.to
    }

    /// How much later the sound comes out than it went in.
    pub fn delay(&self) -> Duration {
        if self.from == self.to {
            return Duration::ZERO;
        }
        let steps = (taps::TAPS_PER_STEP * self.up.max(self.down) - 1) as u64;
        let rate = self.up as u64 * u64::from(self.from);
        Duration::from_nanos(steps * 1_000_000_000 / (2 * rate))
    }

    /// Samples that the next `input_len` samples of input will make.
    pub fn output_len(&self, input_len: usize) -> usize {
        (input_len * self.up).saturating_sub(self.position).div_ceil(self.down)
    }

    /// Converts `input` to the beginning of `out`, and returns how many samples it made:
    /// [`Resampler::output_len`]. When `out` is shorter than that, the rest is lost.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        debug_assert!(out.len() >= self.output_len(input.len()));
        if self.from == self.to {
            let len = input.len().min(out.len());
            out[..len].copy_from_slice(&input[..len]);
            return len;
        }
        let mut made = 0;
        for block in input.chunks(BLOCK) {
            made += self.block(block, &mut out[made..]);
        }
        made
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        self.line.fill(0.0);
        self.position = 0;
    }

    fn block(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let past = self.taps - 1;
        for (cell, sample) in self.line[past..].iter_mut().zip(input) {
            *cell = f32::from(*sample);
        }
        let mut made = 0;
        while self.position < input.len() * self.up {
            let (at, phase) = (self.position / self.up, self.position % self.up);
            let taps = &self.phases[phase * self.taps..][..self.taps];
            if let Some(sample) = out.get_mut(made) {
                *sample = to_sample(dot(&self.line[at..at + self.taps], taps));
                made += 1;
            }
            self.position += self.down;
        }
        self.position -= input.len() * self.up;
        self.line.copy_within(input.len()..input.len() + past, 0);
        made
    }
}

fn to_sample(value: f32) -> i16 {
    // Adding and taking away 1.5·2²³ rounds to the nearest, without a call.
    const ROUND: f32 = 12_582_912.0;
    (value + ROUND - ROUND) as i16
}

/// The filter for a ratio of rates, both halves.
fn prototype(ratio: usize) -> Vec<f32> {
    let half: &[f32] = match ratio {
        1 => &[],
        2 => &taps::TWO,
        3 => &taps::THREE,
        4 => &taps::FOUR,
        _ => &taps::SIX,
    };
    half.iter().chain(half.iter().rev()).copied().collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
