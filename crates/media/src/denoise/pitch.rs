//! The pitch of the newest 20 ms, found in a copy at 8 kHz.
//!
//! As RNNoise (and CELT before it) finds it: whitened, the best of all lags by normalised
//! correlation, then a fraction of it if that is nearly as good. At 8 kHz all lags can be compared
//! at once, and the best is refined between the samples.

use super::spectrum::NETWORK_HZ;
use super::vector::{Machine, dot};

/// Rate of the copy, hertz.
const RATE_HZ: usize = 8000;
/// Samples that are compared: 20 ms.
const FRAME: usize = 160;
/// Longest lag, 16 ms: 62.5 Hz.
const LAG_MAX: usize = 128;
/// Longest period that is found, samples of the network's rate: half a sample more than that lag.
pub(super) const PERIOD_MAX: usize = LAG_MAX * FINE + FINE / 2;
/// Shortest lag that is searched; shorter ones are found as its fractions.
const LAG_SEARCHED: usize = 30;
/// Shortest lag, 1.25 ms: 800 Hz.
const LAG_MIN: usize = 10;
/// Samples of the network's rate in one of ours.
const FINE: usize = NETWORK_HZ / RATE_HZ;
/// Samples that are looked at.
pub(super) const HISTORY: usize = LAG_MAX + FRAME;
/// Lags on each side that a refinement looks at.
const REACH: usize = 4;
const LAGS: usize = LAG_MAX + REACH;

/// What is remembered from one frame to the next.
#[derive(Clone, Debug)]
pub(super) struct Pitch {
    /// The lag, our samples.
    lag: usize,
    gain: f32,
}

impl Pitch {
    pub(super) const fn new() -> Self {
        Self { lag: 0, gain: 0.0 }
    }

    /// The period of the end of `history`, in samples of the network's rate.
    #[inline(always)]
    pub(super) fn find(&mut self, machine: impl Machine, history: &[f32; HISTORY]) -> usize {
        let mut white = [0.0; HISTORY];
        whiten(machine, history, &mut white);
        let newest = &white[LAG_MAX..];
        let mut products = [0.0; LAGS + 1];
        // Beyond the longest lag there is too little to compare: the last products stay 0.
        for lag in LAG_MIN - REACH..=LAG_MAX {
            products[lag] = dot(machine, newest, &white[LAG_MAX - lag..][..FRAME]);
        }
        let powers = powers(&white);
        let best = search(&products, &powers);
        let (lag, gain) = self.fraction(best, &products, &powers);
        *self = Self { lag, gain };
        refine(&products, lag)
    }

    /// The shortest fraction of `lag` that is about as good, and how good.
    fn fraction(&self, lag: usize, products: &[f32], powers: &[f32]) -> (usize, f32) {
        /// Multiples of a fraction that must be good as well, by the fraction.
        const SECOND: [usize; 16] = [0, 0, 3, 2, 3, 2, 5, 2, 3, 2, 3, 2, 5, 2, 3, 2];
        let gain = |product: f32, power: f32| product / (1.0 + powers[0] * power).sqrt();
        let first = gain(products[lag], powers[lag]);
        let mut best = (lag, first, products[lag], powers[lag]);
        for (part, second) in SECOND.iter().enumerate().skip(2) {
            let short = (2 * lag + part) / (2 * part);
            if short < LAG_MIN {
                break;
            }
            let other = match part {
                2 if short + lag > LAG_MAX => lag,
                2 => lag + short,
                _ => (2 * second * lag + part) / (2 * part),
            };
            let product = 0.5 * (products[short] + products[other]);
            let power = 0.5 * (powers[short] + powers[other]);
            let continued = match short.abs_diff(self.lag) {
                0 | 1 => self.gain,
                _ => 0.0,
            };
            let needed = match short < 3 * LAG_MIN {
                true => (0.85 * first - continued).max(0.4),
                false => (0.7 * first - continued).max(0.3),
            };
            let found = gain(product, power);
            if found > needed {
                best = (short, found, product, power);
            }
        }
        let (lag, found, product, power) = best;
        let product = product.max(0.0);
        let gain = if power <= product { 1.0 } else { product / (power + 1.0) };
        (lag, gain.min(found))
    }
}

/// Takes the formants out: the inverse of a linear prediction of order 4.
#[inline(always)]
fn whiten(machine: impl Machine, samples: &[f32; HISTORY], white: &mut [f32; HISTORY]) {
    const ORDER: usize = 4;
    let mut products = [0.0; ORDER + 1];
    for (lag, product) in products.iter_mut().enumerate() {
        let window = 1.0 - (0.024 * lag as f32).powi(2);
        *product = window * dot(machine, &samples[lag..], &samples[..HISTORY - lag]);
    }
    // A floor of noise at -40 dB.
    products[0] *= 1.0001;
    let mut filter = predict(&products);
    let mut shrink = 1.0;
    for tap in &mut filter {
        shrink *= 0.9;
        *tap *= shrink;
    }
    let [a, b, c, d] = filter;
    white[..ORDER].copy_from_slice(&samples[..ORDER]);
    for (y, x) in white[ORDER..].iter_mut().zip(samples.windows(ORDER + 1)) {
        *y = x[4] + a * x[3] + b * x[2] + c * x[1] + d * x[0];
    }
}

/// Levinson and Durbin's recursion.
fn predict(products: &[f32; 5]) -> [f32; 4] {
    let mut filter = [0.0; 4];
    let mut error = products[0];
    if error <= 0.0 {
        return filter;
    }
    for at in 0..4 {
        let inner: f32 = (0..at).map(|n| filter[n] * products[at - n]).sum();
        let reflection = -(inner + products[at + 1]) / error;
        let before = filter;
        filter[at] = reflection;
        for n in 0..at {
            filter[n] = before[n] + reflection * before[at - 1 - n];
        }
        error -= reflection * reflection * error;
        if error < 0.001 * products[0] {
            break;
        }
    }
    filter
}

/// The power of 20 ms at each lag.
fn powers(white: &[f32; HISTORY]) -> [f32; LAG_MAX + 1] {
    let mut powers = [0.0; LAG_MAX + 1];
    let mut power: f32 = white[LAG_MAX..].iter().map(|x| x * x).sum();
    powers[0] = power;
    for lag in 1..=LAG_MAX {
        let (enters, leaves) = (white[LAG_MAX - lag], white[HISTORY - lag]);
        power += enters * enters - leaves * leaves;
        powers[lag] = power.max(0.0);
    }
    powers
}

/// The lag of the best normalised correlation.
fn search(products: &[f32], powers: &[f32]) -> usize {
    let (mut best, mut best_square, mut best_power) = (LAG_MAX, -1.0, 0.0);
    for lag in (LAG_SEARCHED..=LAG_MAX).rev() {
        let (product, power) = (products[lag].max(0.0), powers[lag].max(1.0));
        if product > 0.0 && product * product * best_power > best_square * power {
            (best, best_square, best_power) = (lag, product * product, power);
        }
    }
    best
}

/// The best lag around `lag` in samples of the network's rate.
fn refine(products: &[f32], lag: usize) -> usize {
    let [before, at, after] = [products[lag - 1], products[lag], products[lag + 1]];
    let bend = before - 2.0 * at + after;
    let shift = if bend < 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 };
    let fine = (lag * FINE) as i32 + (shift * FINE as f32).round() as i32;
    fine.unsigned_abs() as usize
}

#[cfg(test)]
mod tests {
    use super::super::vector::Any;
    use super::*;

    /// A voice: pulses of a period in samples of the network's rate, with a formant.
    fn voice(period: f64) -> [f32; HISTORY] {
        let mut memory = [0.0_f64; 2];
        let mut out = [0.0; HISTORY];
        for n in 0..HISTORY * FINE {
            let phase = (n as f64 / period).fract() * period;
            let pulse = if phase < 6.0 { 4000.0 } else { 0.0 };
            let y = pulse + 1.9 * memory[0] - 0.92 * memory[1];
            memory = [y, memory[0]];
            if n % FINE == 0 {
                out[n / FINE] = y as f32;
            }
        }
        out
    }

    #[test]
    fn the_period_of_a_voice_is_found() {
        for period in [120.0, 160.0, 200.0, 283.0, 400.0, 515.0, 640.0] {
            let found = Pitch::new().find(Any, &voice(period));
            let off = (found as f64 - period).abs();
            assert!(off <= 3.0, "{found} for {period}");
        }
    }

    #[test]
    fn silence_has_some_period() {
        let found = Pitch::new().find(Any, &[0.0; HISTORY]);
        assert!((LAG_MIN * FINE..=LAG_MAX * FINE).contains(&found));
    }
}
