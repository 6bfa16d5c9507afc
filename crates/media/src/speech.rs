//! Speech for tests, made by arithmetic: what a coder takes for speech, and a sine is not.

use std::f64::consts::{PI, TAU};

/// Syllables, four a second, of a voice whose pitch wanders between 100 and 150 Hz. About −20 dBov.
pub(crate) fn speech(rate: u32, len: usize) -> Vec<i16> {
    let syllable = |t: f64| 0.55 - 0.45 * (TAU * 4.0 * t).cos();
    voice(rate, len, |t| 125.0 + 25.0 * (TAU * 0.7 * t).sin(), syllable)
}

/// A voice of this pitch (hertz) and loudness (1 = full) at each second: pulses through two
/// resonances.
pub(crate) fn voice(
    rate: u32,
    len: usize,
    pitch: impl Fn(f64) -> f64,
    loudness: impl Fn(f64) -> f64,
) -> Vec<i16> {
    let rate = f64::from(rate);
    let (mut phase, mut state) = (0.0, [0.0; 4]);
    let pole = |hertz: f64, width: f64| {
        let radius = (-PI * width / rate).exp();
        (2.0 * radius * (TAU * hertz / rate).cos(), radius * radius)
    };
    let (first, second) = (pole(600.0, 90.0), pole(1400.0, 120.0));
    let sample = |n: usize| {
        let t = n as f64 / rate;
        phase += pitch(t) / rate;
        let pulse = if phase >= 1.0 { 6000.0 } else { 0.0 };
        phase %= 1.0;
        let a = pulse + first.0 * state[0] - first.1 * state[1];
        state[1] = state[0];
        state[0] = a;
        let b = a * 0.3 + second.0 * state[2] - second.1 * state[3];
        state[3] = state[2];
        state[2] = b;
        (b * loudness(t) * (8000.0 / rate).powi(2)) as i16
    };
    (0..len).map(sample).collect()
}

/// Root of the mean square.
pub(crate) fn rms(samples: &[i16]) -> f64 {
    (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
}
