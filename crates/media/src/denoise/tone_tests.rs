//! N4: what is no speech and no noise passes.

use std::f64::consts::TAU;

use base::Rng;

use super::*;
use crate::codec::g711::{linear_to_ulaw, ulaw_to_linear};
use crate::dtmf::{Digit, Signal as Key, ToneDetector};
use crate::tone::{Country, ToneKind, amplitude, cadence};

const RATE: u32 = 8000;

fn through_ulaw(pcm: &mut [i16]) {
    pcm.iter_mut().for_each(|x| *x = ulaw_to_linear(linear_to_ulaw(*x)));
}

fn clean(rate: u32, pcm: &[i16]) -> (Vec<i16>, usize) {
    let mut denoiser = Denoiser::new(rate, DenoiseSettings::default()).expect("a rate of the list");
    let mut out = pcm.to_vec();
    out.chunks_mut(rate as usize / 50).for_each(|packet| denoiser.process(packet));
    (out, denoiser.delay_samples())
}

/// Adds noise of a peak, the same each time.
fn noisy(pcm: &mut [i16], peak: u64, seed: u64) {
    let mut rng = Rng::from_u64(seed);
    for x in pcm {
        *x += rng.below(2 * peak + 1) as i16 - peak as i16;
    }
}

/// 50 ms of a digit, 50 ms of nothing, after another.
fn digits(count: usize, rate: u32, dbm0: f64) -> (String, Vec<i16>) {
    let chars: Vec<char> = "1234567890*#ABCD".chars().cycle().take(count).collect();
    let step = rate as usize / 20;
    let mut pcm = vec![0; step];
    for char in &chars {
        let (low, high) = Digit::from_char(*char).and_then(Digit::tones).expect("a key");
        let tone =
            |hz: f64, n: usize| amplitude(dbm0) * (TAU * hz * n as f64 / f64::from(rate)).sin();
        pcm.extend((0..step).map(|n| (tone(low, n) + tone(high, n)) as i16));
        pcm.resize(pcm.len() + step, 0);
    }
    (chars.iter().collect(), pcm)
}

fn read(rate: u32, pcm: &[i16]) -> String {
    let mut detector = ToneDetector::new(rate).expect("a rate it knows");
    let mut read = String::new();
    detector.hear(pcm, |signal| match signal {
        Key::Start { digit, .. } => read.push(digit.to_char()),
        Key::End(_) | Key::Press(_) => {}
    });
    read
}

#[test]
fn n4_100_of_100_digits_survive() {
    for rate in [8000, 16_000] {
        for (dbm0, noise) in [(-9.0, 0), (-20.0, 0), (-9.0, 300), (-9.0, 800), (-20.0, 250)] {
            let (sent, mut pcm) = digits(100, rate, dbm0);
            noisy(&mut pcm, noise, 7);
            through_ulaw(&mut pcm);
            assert_eq!(read(rate, &pcm), sent, "they can be read before");
            let (mut out, _) = clean(rate, &pcm);
            out.resize(out.len() + rate as usize / 20, 0);
            assert_eq!(read(rate, &out), sent, "{rate} Hz, {dbm0} dBm0, noise of {noise}");
        }
    }
}

/// The largest difference of the output from the delayed input after `settled_ms`, and the level
/// of the output over the input before it, dB.
fn harm(rate: u32, pcm: &[i16], settled_ms: usize) -> (i32, f64) {
    let (out, late) = clean(rate, pcm);
    let settled = settled_ms * rate as usize / 1000;
    let pairs = || out[late..].iter().zip(pcm).map(|(a, b)| (i32::from(*a), i32::from(*b)));
    let worst = pairs().skip(settled).map(|(a, b)| (a - b).abs()).max().unwrap_or(0);
    let (after, before) = pairs().take(settled).fold((1.0, 1.0), |(after, before), (a, b)| {
        (after + f64::from(a * a), before + f64::from(b * b))
    });
    (worst, 10.0 * (after / before).log10())
}

#[test]
fn n4_call_progress_tones_pass() {
    let kinds = [ToneKind::Dial, ToneKind::Ringback, ToneKind::Busy, ToneKind::Congestion];
    for country in [Country::Us, Country::Gb, Country::De, Country::Fr, Country::Jp] {
        for kind in kinds {
            let mut pcm = cadence(country, kind).render(-10.0, RATE);
            noisy(&mut pcm, 8, 3);
            through_ulaw(&mut pcm);
            let len = pcm.len().min(24_000);
            let (out, late) = clean(RATE, &pcm[..len]);
            let power = |pcm: &[i16]| pcm.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            let change = 10.0 * (power(&out[late..]) / power(&pcm[..len - late])).log10();
            assert!(change.abs() < 0.3, "{country:?} {kind:?}: {change} dB");
        }
    }
}

/// A sine whose frequency and sign each sample is told.
fn keyed(seconds: f64, of: impl Fn(f64) -> (f64, f64)) -> Vec<i16> {
    let mut phase = 0.0;
    let sample = |n: usize| {
        let (hertz, factor) = of(n as f64 / f64::from(RATE));
        phase += TAU * hertz / f64::from(RATE);
        (amplitude(-13.0) * factor * f64::sin(phase)) as i16
    };
    (0..(seconds * f64::from(RATE)) as usize).map(sample).collect()
}

#[test]
fn n4_fax_and_modem_tones_pass() {
    let flag = [0, 1, 1, 1, 1, 1, 1, 0];
    let bit = |time: f64| flag[(time * 300.0) as usize % 8];
    let answer = |time: f64| {
        let turn = if ((time / 0.45) as u32).is_multiple_of(2) { 1.0 } else { -1.0 };
        (2100.0, turn * (1.0 + 0.2 * (TAU * 15.0 * time).sin()))
    };
    let signals = [
        ("CNG", keyed(0.5, |_| (1100.0, 1.0))),
        ("CED", keyed(2.6, |_| (2100.0, 1.0))),
        ("ANSam with its reversals", keyed(3.0, answer)),
        ("V.21 flags", keyed(1.0, |time| (if bit(time) == 1 { 1650.0 } else { 1850.0 }, 1.0))),
        ("V.21 channel 1", keyed(1.0, |time| (if bit(time) == 1 { 980.0 } else { 1180.0 }, 1.0))),
    ];
    for (name, mut pcm) in signals {
        noisy(&mut pcm, 20, 5);
        through_ulaw(&mut pcm);
        let (worst, beginning) = harm(RATE, &pcm, 200);
        assert_eq!(worst, 0, "{name}: changed after 200 ms");
        assert!(beginning.abs() < 1.0, "{name}: {beginning} dB at the beginning");
    }
}

#[test]
fn n4_data_after_an_answer_pass_untouched() {
    let mut pcm = keyed(1.0, |_| (2100.0, 1.0));
    pcm.resize(pcm.len() + 640, 0);
    // A page: noise of constant power, for all that can be heard of it.
    let start = pcm.len();
    pcm.resize(start + 80_000, 0);
    noisy(&mut pcm[start..], 5000, 11);
    let (out, late) = clean(RATE, &pcm);
    assert!(out[start + late..] == pcm[start..pcm.len() - late], "data were changed");
}

#[test]
fn a_vowel_is_no_tone() {
    // A woman's "oo" five times a second: nothing but two harmonics, whose pitch is never still.
    let mut phase = 0.0;
    let mut pcm: Vec<i16> = (0..40_000)
        .map(|n| {
            let time = f64::from(n) / f64::from(RATE);
            phase += TAU * (230.0 + 45.0 * (TAU * 1.1 * time).sin()) / f64::from(RATE);
            let loud = (TAU * 2.5 * time).sin().powi(2);
            (loud * (3000.0 * phase.sin() + 4000.0 * (2.0 * phase).sin())) as i16
        })
        .collect();
    noisy(&mut pcm, 400, 17);
    let (out, _) = clean(RATE, &pcm);
    // What is far above both, where there is only noise.
    let hiss = |pcm: &[i16]| {
        let weights = [1.0, -4.0, 6.0, -4.0, 1.0];
        let high = pcm.windows(5).map(|x| x.iter().zip(weights).map(|(x, w)| w * f64::from(*x)));
        high.map(|parts| parts.sum::<f64>().powi(2)).sum::<f64>()
    };
    let change = 10.0 * (hiss(&out[8000..]) / hiss(&pcm[8000..])).log10();
    assert!(change < -8.0, "{change} dB");
}

#[test]
fn noise_is_no_tone() {
    let mut pcm = vec![0; 80_000];
    noisy(&mut pcm, 3000, 13);
    let (out, _) = clean(RATE, &pcm);
    let power = |pcm: &[i16]| pcm.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    assert!(power(&out[40_000..]) < 0.06 * power(&pcm[40_000..]));
}

/// Our own hold music, as another server would play it: 16 s at 8 kHz.
fn hold_music() -> Vec<i16> {
    let sound = crate::sound::Sound::melody();
    let frame = |index| sound.frame(crate::command::Codec::L16, index).expect("it has samples");
    (0..sound.frames())
        .flat_map(|index| frame(index).as_chunks::<2>().0.iter().copied().map(i16::from_be_bytes))
        .collect()
}

#[test]
fn n4_hold_music_of_the_far_end_passes_untouched_after_some_seconds() {
    let mut pcm = hold_music();
    pcm.extend(pcm.clone());
    through_ulaw(&mut pcm);
    let (out, delay) = clean(RATE, &pcm);
    let decided = 6 * RATE as usize;
    assert_eq!(out[decided + delay..], pcm[decided..pcm.len() - delay]);
}

#[test]
fn n4_after_music_noise_is_removed_again() {
    let second = RATE as usize;
    let mut pcm = hold_music();
    let mut talk = crate::speech::speech(RATE, 12 * second);
    talk.resize(14 * second, 0);
    noisy(&mut talk, 300, 3);
    let end = pcm.len() + talk.len();
    pcm.extend(talk);
    let (out, _) = clean(RATE, &pcm);
    let last = end - second..end;
    let removed = crate::speech::rms(&out[last.clone()]) / crate::speech::rms(&pcm[last]);
    assert!(removed < 0.1, "{removed}");
}

#[test]
fn n1_neither_talk_nor_noise_nor_both_are_music() {
    let second = RATE as usize;
    let chance = |peak: u64| {
        let mut pcm = vec![0; 20 * second];
        noisy(&mut pcm, peak, 7);
        pcm
    };
    let talk = crate::speech::speech(RATE, 20 * second);
    let hum = |n: usize| {
        let part = |k: u32| (TAU * 50.0 * f64::from(k * (n as u32)) / f64::from(RATE)).sin();
        (1..12).map(|k| 900.0 * part(k) / f64::from(k)).sum::<f64>() as i16
    };
    let hum: Vec<i16> = (0..20 * second).map(hum).collect();
    let both = |a: &[i16], b: &[i16]| a.iter().zip(b).map(|(a, b)| a.saturating_add(*b)).collect();
    let rows: [(&str, Vec<i16>); 5] = [
        ("talk", talk.clone()),
        ("noise", chance(1000)),
        ("talk in noise", both(&talk, &chance(1000))),
        ("hum in noise", both(&hum, &chance(200))),
        ("talk in hum", both(&talk, &hum)),
    ];
    for (what, mut pcm) in rows {
        through_ulaw(&mut pcm);
        let (out, delay) = clean(RATE, &pcm);
        let untouched = |at: &usize| out[at + delay..][..160] == pcm[*at..][..160];
        let frames = (4 * second..19 * second).step_by(160);
        let share = frames.clone().filter(untouched).count() as f64 / frames.count() as f64;
        assert!(share < 0.1, "{what}: {share}");
    }
}
