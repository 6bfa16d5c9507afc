use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;
use crate::speech::{self, rms};

const RATES: [u32; 3] = [8000, 16_000, 48_000];

fn tone(hertz: f64, rate: u32, len: usize) -> Vec<i16> {
    (0..len).map(|n| (8000.0 * (TAU * hertz * n as f64 / f64::from(rate)).sin()) as i16).collect()
}

/// A voice of a falling pitch.
fn voice(rate: u32, len: usize) -> Vec<i16> {
    speech::voice(rate, len, |t| 140.0 - 30.0 * t, |_| 1.0)
}

fn noise(len: usize) -> Vec<i16> {
    let mut chance = 1u32;
    (0..len)
        .map(|_| {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((chance >> 16) as i16) / 8
        })
        .collect()
}

fn step(samples: &[i16]) -> i32 {
    samples.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap()
}

/// dB by which what was played is nearer to the truth than silence would be.
fn gain_db(truth: &[i16], played: &[i16]) -> f64 {
    let wrong: Vec<_> = truth.iter().zip(played).map(|(a, b)| a.saturating_sub(*b)).collect();
    20.0 * (rms(truth) / rms(&wrong)).log10()
}

/// Loses every tenth frame of 20 ms; bridges it, or continues and recovers.
fn lose(pcm: &[i16], rate: u32, both_sides: bool) -> (Vec<i16>, f64) {
    let frame = rate as usize / 50;
    let mut plc = Plc::new(rate);
    let mut out = pcm.to_vec();
    let (mut truth, mut guess) = (Vec::new(), Vec::new());
    for start in (9 * frame..pcm.len() - 2 * frame).step_by(10 * frame) {
        let (past, rest) = out.split_at_mut(start);
        let (lost, next) = rest.split_at_mut(frame);
        if both_sides {
            plc.bridge(past, &next[..frame], lost);
        } else {
            plc.conceal(past, lost);
            plc.recover(&mut next[..frame]);
        }
        truth.extend_from_slice(&pcm[start..start + frame]);
        guess.extend_from_slice(lost);
    }
    let gain = gain_db(&truth, &guess);
    (out, gain)
}

#[test]
fn a_tone_goes_on_without_a_click() {
    for rate in RATES {
        let pcm = tone(437.0, rate, rate as usize);
        for both_sides in [false, true] {
            let (out, gain) = lose(&pcm, rate, both_sides);
            assert!(gain > 12.0, "{rate}, both sides {both_sides}: {gain} dB");
            assert!(step(&out) < step(&pcm) * 3 / 2, "{rate}: {} of {}", step(&out), step(&pcm));
        }
    }
}

#[test]
fn a_voice_is_guessed_and_better_from_both_sides() {
    for rate in RATES {
        let pcm = voice(rate, 2 * rate as usize);
        let (out, one) = lose(&pcm, rate, false);
        let (_, both) = lose(&pcm, rate, true);
        assert!(one > 2.0, "{rate}: {one} dB");
        assert!(both > one + 1.0, "{rate}: {both} dB, from one side {one} dB");
        assert!(step(&out) < step(&pcm) * 3 / 2, "{rate}: {} of {}", step(&out), step(&pcm));
    }
}

#[test]
fn noise_goes_on_as_noise_of_its_level() {
    for rate in RATES {
        let pcm = noise(rate as usize / 10);
        let mut out = vec![0; rate as usize / 100];
        Plc::new(rate).conceal(&pcm, &mut out);
        let db = 20.0 * (rms(&out) / rms(&pcm)).log10();
        assert!(db.abs() < 3.0, "{rate}: {db} dB");
    }
}

#[test]
fn a_long_loss_fades_to_silence_after_60_ms() {
    for rate in RATES {
        let ms = |ms: usize| ms * rate as usize / 1000;
        let pcm = voice(rate, rate as usize);
        let mut out = vec![0; ms(100)];
        let mut plc = Plc::new(rate);
        for part in out.chunks_mut(ms(20)) {
            plc.conceal(&pcm, part);
        }
        let level = |from, to| rms(&out[ms(from)..ms(to)]);
        assert!(level(0, 10) > 0.5 * rms(&pcm[ms(980)..]), "{rate}");
        assert!(level(50, 60) < 0.3 * level(0, 10), "{rate}");
        assert!(out[ms(60)..].iter().all(|sample| *sample == 0), "{rate}");
    }
}

#[test]
fn the_way_back_is_a_cross_fade() {
    let pcm = tone(300.0, 8000, 800);
    let mut plc = Plc::new(8000);
    let mut lost = [0; 480];
    plc.conceal(&pcm, &mut lost);
    assert!(plc.is_concealing());
    let mut fresh = [10_000; 160];
    plc.recover(&mut fresh);
    assert!(!plc.is_concealing());
    assert!(fresh[0].abs() < 200 && fresh[80..] == [10_000; 80], "{fresh:?}");
    let mut next = [10_000; 160];
    plc.recover(&mut next);
    assert_eq!(next, [10_000; 160], "nothing was lost");
}

#[test]
fn without_a_past_there_is_silence() {
    let mut out = [1; 160];
    Plc::new(8000).conceal(&[], &mut out);
    assert_eq!(out, [0; 160]);
}

proptest! {
    #[test]
    fn no_past_breaks_it(
        past in proptest::collection::vec(any::<i16>(), 0..600),
        fresh in proptest::collection::vec(any::<i16>(), 0..400),
        lost in 1usize..500,
        rate in 0usize..3,
    ) {
        let mut plc = Plc::new(RATES[rate]);
        let mut out = vec![0; lost];
        plc.conceal(&past, &mut out);
        plc.bridge(&past, &fresh, &mut out);
        plc.conceal(&fresh, &mut out);
        let mut fresh = fresh;
        plc.recover(&mut fresh);
        prop_assert!(!plc.is_concealing());
    }
}
