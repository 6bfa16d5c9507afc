use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;

fn pairs() -> impl Iterator<Item = (u32, u32)> {
    RATES.into_iter().flat_map(|from| RATES.into_iter().map(move |to| (from, to)))
}

fn tone(hertz: f64, rate: u32, len: usize) -> Vec<i16> {
    (0..len)
        .map(|n| (16_000.0 * (TAU * hertz * n as f64 / f64::from(rate)).sin()).round() as i16)
        .collect()
}

fn convert(from: u32, to: u32, input: &[i16]) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to).unwrap();
    let mut out = vec![0; resampler.output_len(input.len())];
    let len = resampler.process(input, &mut out);
    assert_eq!(len, out.len());
    out
}

/// Amplitude and phase of one frequency in the second half, whole periods of which it has.
fn component(samples: &[i16], hertz: f64, rate: u32) -> (f64, f64) {
    let half = samples.len() / 2;
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate().skip(half) {
        let (sin, cos) = (TAU * hertz * n as f64 / f64::from(rate)).sin_cos();
        re += f64::from(*sample) * sin;
        im += f64::from(*sample) * cos;
    }
    (2.0 * f64::hypot(re, im) / half as f64, im.atan2(re))
}

/// Everything beside one frequency in the second half, dB below it.
fn rest_db(samples: &[i16], hertz: f64, rate: u32) -> f64 {
    let half = &samples[samples.len() / 2..];
    let power = half.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / half.len() as f64;
    let tone = component(samples, hertz, rate).0.powi(2) / 2.0;
    10.0 * ((power - tone).max(1e-9) / tone).log10()
}

#[test]
fn what_passes_is_flat_and_clean_between_any_two_rates() {
    for (from, to) in pairs() {
        let low = f64::from(from.min(to));
        for share in [0.0125, 0.125, 0.25, 0.375, 0.42, 0.425] {
            let hertz = share * low;
            let out = convert(from, to, &tone(hertz, from, from as usize / 5));
            let gain = 20.0 * (component(&out, hertz, to).0 / 16_000.0).log10();
            let rest = rest_db(&out, hertz, to);
            assert!(gain.abs() < 0.05, "{from} to {to}, {hertz} Hz: {gain} dB");
            assert!(rest < -70.0, "{from} to {to}, {hertz} Hz: {rest} dB of images");
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_carry_is_removed() {
    for (from, to) in pairs().filter(|(from, to)| from > to) {
        let mut share = 0.575;
        while share * f64::from(to) < f64::from(from) / 2.0 {
            let out = convert(from, to, &tone(share * f64::from(to), from, from as usize / 5));
            let half = &out[out.len() / 2..];
            let power = half.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / half.len() as f64;
            let db = 10.0 * ((power + 1e-9) / (16_000f64.powi(2) / 2.0)).log10();
            assert!(db < -70.0, "{from} to {to}, {share} of the rate: {db} dB");
            share += 0.1;
        }
    }
}

#[test]
fn the_delay_is_the_one_stated() {
    for (from, to) in pairs() {
        let resampler = Resampler::new(from, to).unwrap();
        let stated = resampler.delay().as_secs_f64();
        let hertz = 200.0;
        let out = convert(from, to, &tone(hertz, from, from as usize / 5));
        let measured = -component(&out, hertz, to).1 / (TAU * hertz);
        assert!((measured - stated).abs() < 5e-6, "{from} to {to}: {measured} s, {stated} stated");
        assert!(stated < 0.0015, "{from} to {to}: {stated} s");
    }
}

#[test]
fn full_scale_does_not_wrap() {
    for (from, to) in [(8000, 48_000), (48_000, 8000), (16_000, 24_000)] {
        let square: Vec<_> =
            (0..960).map(|n| if n / 20 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let out = convert(from, to, &square);
        let period = 40 * to as usize / from as usize;
        for start in (10 * period..out.len() - period).step_by(period) {
            let high = out[start..start + period].iter().filter(|s| **s > 20_000).count();
            assert!(high * 4 > period, "{from} to {to}: {high} of {period}");
        }
    }
}

#[test]
fn rates_of_no_codec_are_refused() {
    assert!(Resampler::new(8000, 44_100).is_none());
    assert!(Resampler::new(0, 8000).is_none());
}

#[test]
fn a_reset_converter_is_as_new() {
    let mut resampler = Resampler::new(16_000, 24_000).unwrap();
    let input = tone(700.0, 16_000, 333);
    let mut out = [[0; 512]; 2];
    for out in &mut out {
        resampler.process(&input, out);
        resampler.reset();
    }
    assert_eq!(out[0], out[1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]
    #[test]
    fn pieces_make_the_same_as_the_whole(
        pair in 0usize..25,
        cuts in proptest::collection::vec(0usize..700, 1..6),
    ) {
        let (from, to) = pairs().nth(pair).unwrap();
        let input = tone(440.0, from, cuts.iter().sum());
        let whole = convert(from, to, &input);
        let mut resampler = Resampler::new(from, to).unwrap();
        let mut pieces = Vec::new();
        let mut rest = &input[..];
        for cut in cuts {
            let mut out = vec![0; resampler.output_len(cut)];
            let (piece, tail) = rest.split_at(cut);
            prop_assert_eq!(resampler.process(piece, &mut out), out.len());
            pieces.extend(out);
            rest = tail;
        }
        prop_assert_eq!(pieces, whole);
    }
}
