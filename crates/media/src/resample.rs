//! Sample-rate conversion of whole recordings, for quality and not for speed: done once, when
//! music is loaded.

use std::f64::consts::PI;

/// Zero crossings of the filter on each side: about 90 dB of stop band.
const ZERO_CROSSINGS: usize = 32;
/// Kaiser window shape for that stop band.
const BETA: f64 = 9.0;
/// Share of the band that passes, so that the transition ends at the Nyquist frequency.
const PASS: f64 = 0.95;

/// Steps of the filter's table per zero crossing; between them it is interpolated.
const RESOLUTION: usize = 512;

/// Converts `input` from one rate to another, both in hertz and not 0.
pub fn resample(input: &[i16], from: u32, to: u32) -> Vec<i16> {
    assert!(from > 0 && to > 0, "a sample rate is not 0");
    if from == to {
        return input.to_vec();
    }
    let len = input.len() as u64 * u64::from(to) / u64::from(from);
    let cutoff = PASS * f64::min(1.0, f64::from(to) / f64::from(from));
    let half = ZERO_CROSSINGS as f64 / cutoff;
    let table = half_of_the_filter();
    (0..len)
        .map(|n| {
            let centre = n as f64 * f64::from(from) / f64::from(to);
            let first = (centre - half).ceil().max(0.0) as usize;
            let last = ((centre + half).floor() as usize).min(input.len() - 1);
            let sum: f64 = (first..=last)
                .map(|i| f64::from(input[i]) * tap(&table, (i as f64 - centre).abs() * cutoff))
                .sum();
            (cutoff * sum).round().clamp(i16::MIN.into(), i16::MAX.into()) as i16
        })
        .collect()
}

/// The filter at `x` zero crossings from its centre.
fn tap(table: &[f64], x: f64) -> f64 {
    let at = x * RESOLUTION as f64;
    let index = at as usize;
    match table.get(index..index + 2) {
        Some([left, right]) => left + (right - left) * (at - index as f64),
        Some(_) | None => 0.0,
    }
}

/// A Kaiser-windowed sinc from its centre outwards.
fn half_of_the_filter() -> Vec<f64> {
    let len = ZERO_CROSSINGS * RESOLUTION;
    (0..=len)
        .map(|i| {
            let edge = 1.0 - (i as f64 / len as f64).powi(2);
            let window = bessel(BETA * edge.sqrt()) / bessel(BETA);
            let arg = PI * i as f64 / RESOLUTION as f64;
            let sinc = if i == 0 { 1.0 } else { arg.sin() / arg };
            sinc * window
        })
        .collect()
}

/// Modified Bessel function of the first kind, order 0.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    let mut k = 1.0;
    while term > sum * 1e-12 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: u32, len: usize) -> Vec<i16> {
        (0..len)
            .map(|n| (10_000.0 * (2.0 * PI * hertz * n as f64 / f64::from(rate)).sin()) as i16)
            .collect()
    }

    /// Amplitude of one frequency, away from the edges.
    fn level(samples: &[i16], hertz: f64, rate: u32) -> f64 {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in middle.iter().enumerate() {
            let phase = 2.0 * PI * hertz * n as f64 / f64::from(rate);
            re += f64::from(*sample) * phase.cos();
            im += f64::from(*sample) * phase.sin();
        }
        2.0 * f64::hypot(re, im) / middle.len() as f64
    }

    fn power(samples: &[i16]) -> f64 {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let sum: f64 = middle.iter().map(|s| f64::from(*s).powi(2)).sum();
        (sum / middle.len() as f64).sqrt()
    }

    #[test]
    fn a_tone_keeps_its_level_and_pitch_from_any_rate() {
        for from in [8000, 11_025, 16_000, 22_050, 44_100, 48_000] {
            let out = resample(&tone(1000.0, from, from as usize), from, 8000);
            assert_eq!(out.len(), 8000, "from {from}");
            let level = level(&out, 1000.0, 8000);
            assert!((level - 10_000.0).abs() < 60.0, "from {from}: {level}");
            let rest = (power(&out).powi(2) - level.powi(2) / 2.0).max(0.0).sqrt();
            assert!(rest < 20.0, "from {from}: {rest} of distortion");
        }
    }

    #[test]
    fn what_the_new_rate_cannot_carry_is_removed() {
        let out = resample(&tone(6000.0, 48_000, 48_000), 48_000, 8000);
        assert!(power(&out) < 3.0, "{}", power(&out));
    }

    #[test]
    fn going_up_makes_no_image() {
        let out = resample(&tone(1000.0, 8000, 8000), 8000, 16_000);
        assert!(level(&out, 7000.0, 16_000) < 3.0);
    }

    #[test]
    fn nothing_stays_nothing() {
        assert!(resample(&[], 44_100, 8000).is_empty());
        assert_eq!(resample(&[7; 3], 44_100, 8000), Vec::<i16>::new(), "shorter than a sample");
    }
}
