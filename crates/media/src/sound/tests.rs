use std::f64::consts::TAU;

use super::*;
use crate::codec::{Decoder, SAMPLES_MAX};
use crate::tone::{Country, ToneKind};

const ALL: [(Codec, u32, u32); 5] = FORMATS;

/// Amplitude of one frequency.
fn level(samples: &[i16], hertz: f64, rate: u32) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = TAU * hertz * n as f64 / f64::from(rate);
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }
    2.0 * f64::hypot(re, im) / samples.len() as f64
}

/// One second of 500 Hz.
fn tone(rate: u32) -> Sound {
    let sine = |n| (8000.0 * (TAU * 500.0 * f64::from(n) / f64::from(rate)).sin()) as i16;
    Sound::from_pcm(&(0..rate).map(sine).collect::<Vec<_>>(), rate)
}

/// What a listener hears of the frames, and its rate.
fn play(sound: &Sound, codec: Codec, clock_rate: u32, frames: &[usize]) -> (Vec<i16>, u32) {
    let format = Format::new(codec, clock_rate).unwrap();
    let mut decoder = Decoder::new(&format).unwrap();
    let mut samples = Vec::new();
    let mut buffer = [0; SAMPLES_MAX];
    for index in frames {
        let payload = sound.frame(codec, *index).unwrap();
        assert!(payload.len() <= FRAME_BYTES_MAX);
        let len = decoder.decode(payload, &mut buffer).unwrap();
        assert_eq!(len, format.samples_of_ms(20));
        samples.extend_from_slice(&buffer[..len]);
    }
    (samples, format.sample_rate)
}

#[test]
fn a_tone_is_heard_in_every_codec_across_the_end_of_the_loop() {
    for rate in [8000, 44_100] {
        let sound = tone(rate);
        assert_eq!(sound.frames(), 50);
        for (codec, clock_rate, _) in ALL {
            let frames: Vec<_> = (20..65).collect();
            let (heard, rate) = play(&sound, codec, clock_rate, &frames);
            let steady = &heard[heard.len() - rate as usize / 2..];
            let level = level(steady, 500.0, rate);
            assert!((level - 8000.0).abs() < 400.0, "{codec:?}: {level}");
        }
    }
}

#[test]
fn all_who_wait_hear_the_same_bytes() {
    let sound = tone(8000);
    for (codec, _, _) in ALL {
        assert_eq!(sound.frame(codec, 7), sound.frame(codec, 57));
    }
}

#[test]
fn silence_is_silent_in_every_codec() {
    let sound = tone(8000);
    for (codec, clock_rate, _) in ALL {
        let mut decoder = Decoder::new(&Format::new(codec, clock_rate).unwrap()).unwrap();
        let mut buffer = [0; SAMPLES_MAX];
        for _ in 0..20 {
            let len = decoder.decode(sound.silent_frame(codec).unwrap(), &mut buffer).unwrap();
            let loudest = buffer[..len].iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            assert!(loudest < 40, "{codec:?}: {loudest}");
        }
    }
    assert!(sound.silent_frame(Codec::ComfortNoise).is_none());
}

#[test]
fn samples_for_the_mixer_are_there_at_the_rates_the_recording_fills() {
    assert_eq!(tone(8000).rates().collect::<Vec<_>>(), [8000, 16_000]);
    let sound = tone(44_100);
    assert_eq!(sound.rates().collect::<Vec<_>>(), [8000, 16_000, 48_000]);
    for rate in [8000, 16_000, 48_000] {
        let heard: Vec<_> =
            (5..45).flat_map(|index| sound.pcm(rate, index).unwrap()).copied().collect();
        assert_eq!(heard.len(), 40 * rate as usize / 50);
        assert!((level(&heard, 500.0, rate) - 8000.0).abs() < 60.0, "{rate}");
        assert_eq!(sound.pcm(rate, 3), sound.pcm(rate, 53));
    }
    assert_eq!(sound.pcm(44_100, 0), None);
}

#[test]
fn the_built_in_music_is_quiet_whole_and_free_of_clicks() {
    for (pcm, seconds) in [(melody(), 16), (chime(), 2)] {
        assert_eq!(pcm.len(), seconds * WIDE_RATE as usize);
        let peak = pcm.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((2000..12_000).contains(&peak), "{peak}");
        let power: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
        let db = 10.0 * (power / pcm.len() as f64 / 32_768f64.powi(2)).log10();
        assert!((-32.0..-18.0).contains(&db), "{db} dBFS");
        let around = pcm.iter().zip(pcm.iter().cycle().skip(1));
        let step = around.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(step < 3000, "{step}");
    }
}

#[test]
fn the_built_in_library_has_the_tones_of_the_country() {
    let sounds = Sounds::built_in(Country::De);
    let busy = sounds.get(SoundId::Tone(ToneKind::Busy)).unwrap();
    // 480 ms of 425 Hz, 480 ms of nothing.
    assert_eq!(busy.frames(), 48);
    assert!(level(busy.pcm(8000, 3).unwrap(), 425.0, 8000) > 3000.0);
    assert!(busy.pcm(8000, 30).unwrap().iter().all(|sample| sample.abs() < 3));
    assert!(sounds.get(SoundId::Chime).is_some());
    assert!(sounds.get(SoundId::Recording(0)).is_none());
}

#[test]
fn an_empty_recording_is_silence() {
    let sound = Sound::silence();
    assert_eq!(sound.frames(), 1);
    assert_eq!(sound.frame(Codec::Pcmu, 7), Some(&[0xff; 160][..]));
}

#[test]
fn only_what_we_encode_is_playable() {
    let payload = |codec, clock_rate| Payload { codec, key: 0, send: 0, receive: 0, clock_rate };
    for (codec, rate, playable) in [
        (Codec::Pcmu, 8000, true),
        (Codec::G722, 8000, true),
        (Codec::L16, 8000, true),
        (Codec::L16, 44_100, false),
        (Codec::Opus, 48_000, true),
        (Codec::TelephoneEvent, 8000, false),
    ] {
        assert_eq!(is_playable(&payload(codec, rate)), playable, "{codec:?} {rate}");
    }
}
