//! Resampling of whole signals by a ratio of small numbers, for measuring.

use std::f64::consts::PI;

/// Zero crossings on each side, at the lower rate.
const HALF: usize = 32;

/// `samples` at another rate, at the same time.
pub fn resample(samples: &[f64], from_hz: usize, to_hz: usize) -> Vec<f64> {
    if from_hz == to_hz {
        return samples.to_vec();
    }
    let divisor = greatest_common_divisor(from_hz, to_hz);
    let (up, down) = (to_hz / divisor, from_hz / divisor);
    let narrow = (up as f64 / down as f64).min(1.0);
    let reach = (HALF as f64 / narrow).ceil() as usize;
    // The taps of each place between two samples.
    let taps = |phase: usize| -> Vec<f64> {
        let tap = |n: usize| {
            let x = (n as f64 - reach as f64 - phase as f64 / up as f64) * narrow;
            if x.abs() >= HALF as f64 {
                return 0.0;
            }
            let sinc = if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
            narrow * sinc * (0.5 + 0.5 * (PI * x / HALF as f64).cos())
        };
        (0..=2 * reach + 1).map(tap).collect()
    };
    let phases: Vec<_> = (0..up).map(taps).collect();
    let mut padded = vec![0.0; reach];
    padded.extend(samples);
    padded.resize(samples.len() + 2 * reach + 2, 0.0);
    let sample = |n: usize| {
        let past = padded[n * down / up..].iter();
        past.zip(&phases[n * down % up]).map(|(x, tap)| x * tap).sum()
    };
    (0..samples.len() * up / down).map(sample).collect()
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_stays_a_tone() {
        let tone = |rate: f64| (0..4000).map(move |n| (2.0 * PI * 700.0 * n as f64 / rate).sin());
        let slow: Vec<f64> = tone(8000.0).collect();
        let fast = resample(&slow, 8000, 10_000);
        let worst = fast.iter().zip(tone(10_000.0)).skip(100).take(3700);
        let worst = worst.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-3, "{worst}");
    }
}
