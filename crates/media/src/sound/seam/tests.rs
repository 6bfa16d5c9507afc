use std::f64::consts::TAU;

use super::*;
use crate::codec::{Decoder, OpusFormat, SAMPLES_MAX};

const ANY: OpusFormat = OpusFormat::OURS;

fn tone(hertz: f64, rate: u32) -> Sound {
    let sine = |n| (8000.0 * (TAU * hertz * f64::from(n) / f64::from(rate)).cos()) as i16;
    Sound::from_pcm(&(0..rate).map(sine).collect::<Vec<_>>(), rate)
}

/// Amplitude of one frequency.
fn level(samples: &[i16], hertz: f64, rate: u32) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sin, cos) = (TAU * hertz * n as f64 / f64::from(rate)).sin_cos();
        re += f64::from(*sample) * cos;
        im += f64::from(*sample) * sin;
    }
    2.0 * f64::hypot(re, im) / samples.len() as f64
}

#[test]
fn in_every_codec_the_new_sound_is_itself_right_after_the_seam() {
    for rate in [8000, 44_100] {
        let (old, new) = (tone(500.0, 8000), tone(800.0, rate));
        let mut seams = Seams::new();
        for (codec, clock_rate, _) in FORMATS {
            let format = Format::new(codec, clock_rate).unwrap();
            let mut decoder = Decoder::new(&format).unwrap();
            let mut heard: Vec<i16> = vec![];
            let mut hear = |payload: &[u8]| {
                let mut out = [0; SAMPLES_MAX];
                let len = decoder.decode(payload, &mut out).unwrap();
                heard.extend(&out[..len]);
            };
            (0..30).for_each(|n| hear(old.frame(codec, n).unwrap()));
            let from = Some(Former::Sound(Place { sound: &old, index: 30 }));
            let to = Some(Place { sound: &new, index: 10 });
            let mut out = [0; FRAME_BYTES_MAX];
            let seam = Seam { from, to, begins: true, ends: false };
            let len = seams.encode(codec, &seam, &ANY, &mut out).unwrap();
            hear(&out[..len]);
            (11..41).for_each(|n| hear(new.frame(codec, n).unwrap()));
            let tick = format.samples_of_ms(20);
            let peak = heard.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            // What a decoder foresees of another encoder's work takes some milliseconds to be right.
            let has_memory = frames_remembered(codec) > 0;
            assert!(peak < if has_memory { 12_000 } else { 8200 }, "{codec:?} of {rate}: {peak}");
            let after = &heard[32 * tick..37 * tick];
            let gain = 20.0 * (level(after, 800.0, format.sample_rate) / 8000.0).log10();
            assert!(gain.abs() < 1.5, "{codec:?} of {rate}: {gain} dB");
            let rest = level(after, 500.0, format.sample_rate);
            assert!(rest < 400.0, "{codec:?} of {rate}: {rest}");
        }
    }
}

#[test]
fn what_is_not_encoded_ahead_has_no_seams() {
    let sound = tone(500.0, 8000);
    let to = Some(Place { sound: &sound, index: 0 });
    let seam = Seam { from: None, to, begins: true, ends: false };
    let mut out = [0; FRAME_BYTES_MAX];
    assert_eq!(Seams::new().encode(Codec::ComfortNoise, &seam, &ANY, &mut out), None);
    let nothing = Seam { to: None, ..seam };
    assert_eq!(Seams::new().encode(Codec::Pcmu, &nothing, &ANY, &mut out), None);
}

#[test]
fn an_encoder_that_was_used_makes_the_same_again() {
    let (old, new) = (tone(500.0, 8000), tone(800.0, 8000));
    let mut seams = Seams::new();
    for (codec, ..) in FORMATS {
        let mut made = [(); 2].map(|()| {
            let from = Some(Former::Sound(Place { sound: &old, index: 30 }));
            let to = Some(Place { sound: &new, index: 10 });
            let mut out = [0; FRAME_BYTES_MAX];
            let seam = Seam { from, to, begins: true, ends: false };
            let len = seams.encode(codec, &seam, &ANY, &mut out).unwrap();
            out[..len].to_vec()
        });
        assert_eq!(std::mem::take(&mut made[0]), made[1], "{codec:?}");
    }
}
