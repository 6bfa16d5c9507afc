//! Tones, there and back: the figures of ITU-T Q.24 and speech-like talk-off.

use std::f64::consts::TAU;

use audio_codec::pcmu::{PcmuDecoder, PcmuEncoder};
use audio_codec::{Decoder, Encoder};
use base::Rng;

use super::*;
use crate::tone::amplitude;

const RATES: [u32; 3] = [8000, 16_000, 48_000];

fn digit(char: char) -> Digit {
    Digit::from_char(char).unwrap()
}

/// Two tones with their own levels, hard on and off, silence of 100 ms around them.
#[derive(Clone, Copy)]
struct Pair {
    hertz: [f64; 2],
    dbm0: [f64; 2],
    ms: f64,
}

impl Pair {
    fn of(char: char) -> Self {
        let (low, high) = digit(char).tones().unwrap();
        Self { hertz: [low, high], dbm0: [-12.0, -12.0], ms: 100.0 }
    }

    /// Its beginning is moved by `offset` samples.
    fn render(self, rate: u32, offset: usize) -> Vec<i16> {
        let edge = rate as usize / 10;
        let len = (self.ms * f64::from(rate) / 1000.0).round() as usize;
        let mut pcm = vec![0; 2 * edge + len + offset];
        for (n, sample) in pcm[edge + offset..][..len].iter_mut().enumerate() {
            let tone = |i: usize| {
                amplitude(self.dbm0[i]) * (TAU * self.hertz[i] * n as f64 / f64::from(rate)).sin()
            };
            *sample = (tone(0) + tone(1)) as i16;
        }
        pcm
    }
}

fn heard(pcm: &[i16], rate: u32) -> Vec<DtmfEvent> {
    let mut detector = ToneDetector::new(rate).unwrap();
    let mut signals = Vec::new();
    for frame in pcm.chunks(rate as usize / 50) {
        detector.hear(frame, |signal| signals.push(signal));
    }
    signals.extend(detector.reset());
    let mut down = None;
    let mut events = Vec::new();
    for signal in signals {
        match signal {
            Signal::Start { digit, .. } => assert_eq!(down.replace(digit), None),
            Signal::End(event) => {
                assert_eq!(down.take(), Some(event.digit));
                events.push(event);
            }
            Signal::Press(_) => panic!("tones have a start and an end"),
        }
    }
    assert_eq!(down, None);
    events
}

fn digits(events: &[DtmfEvent]) -> String {
    events.iter().map(|event| event.digit.to_char()).collect()
}

/// Noise of even power over the band, its peak at most `peak`.
fn noise(rng: &mut Rng) -> f64 {
    // The sum of four is near enough to a bell.
    let sum: f64 = (0..4).map(|_| (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64 - 0.5).sum();
    sum * 3f64.sqrt()
}

fn through_ulaw(pcm: &[i16]) -> Vec<i16> {
    let mut bytes = vec![0; pcm.len()];
    PcmuEncoder::new().encode_into(pcm, &mut bytes).unwrap();
    let mut back = vec![0; pcm.len()];
    PcmuDecoder::new().decode_into(&bytes, &mut back).unwrap();
    back
}

#[test]
fn a_hundred_of_a_hundred_digits_pass_ulaw_and_noise_of_15_db() {
    const KEYS: &str = "0123456789*#ABCD";
    let mut rng = Rng::new([1; 32]);
    let sent: String = KEYS.chars().cycle().take(100).collect();
    let mut generator = ToneGenerator::new(8000);
    let mut pcm = Vec::new();
    for char in sent.chars() {
        // 40 ms is the least, and then every alignment of tone and block.
        let wait = 400 + (rng.next_u64() % 102) as usize;
        pcm.extend(std::iter::repeat_n(0, wait));
        let duration_ms = 40 + (rng.next_u64() % 3) as u32 * 30;
        assert!(generator.press(DtmfEvent { digit: digit(char), duration_ms, volume_dbm0: -10 }));
        let mut tone = vec![0; 8 * (duration_ms + PAUSE_MIN_MS) as usize + 1];
        assert!(generator.fill(&mut tone));
        pcm.extend(tone);
    }
    let rms = amplitude(-25.0) / 2f64.sqrt();
    let noisy: Vec<_> = pcm.iter().map(|s| s + (rms * noise(&mut rng)) as i16).collect();
    let events = heard(&through_ulaw(&noisy), 8000);
    assert_eq!(digits(&events), sent);
}

#[test]
fn duration_and_volume_are_those_of_the_press_at_every_rate() {
    for rate in RATES {
        for (duration_ms, volume_dbm0) in [(40, -3), (95, -10), (400, -20), (2000, -30)] {
            let mut generator = ToneGenerator::new(rate);
            generator.press(DtmfEvent { digit: digit('6'), duration_ms, volume_dbm0 });
            let mut pcm = vec![0; 3 * rate as usize];
            assert!(generator.fill(&mut pcm));
            assert!(generator.is_idle());
            let events = heard(&pcm, rate);
            let [event] = events[..] else { panic!("{rate} {duration_ms}: {events:?}") };
            assert_eq!(event.digit, digit('6'));
            // Half of each ramp is missing.
            let apart = event.duration_ms.abs_diff(duration_ms - 5);
            assert!(apart <= 5, "{rate}: {event:?} of {duration_ms}");
            assert!(event.volume_dbm0.abs_diff(volume_dbm0) <= 1, "{rate}: {event:?}");
        }
    }
}

#[test]
fn tones_of_40_ms_count_and_those_of_20_ms_do_not_wherever_they_begin() {
    for char in "159D*0#".chars() {
        for offset in (0..102).step_by(3) {
            let long = Pair { ms: 40.0, ..Pair::of(char) }.render(8000, offset);
            assert_eq!(digits(&heard(&long, 8000)), char.to_string(), "offset {offset}");
            let short = Pair { ms: 20.0, ..Pair::of(char) }.render(8000, offset);
            assert_eq!(digits(&heard(&short, 8000)), "", "{char} at {offset}");
        }
    }
}

#[test]
fn tones_slightly_off_count_and_those_far_off_do_not() {
    for char in "147*258036#9ABCD".chars() {
        for (off, expected) in [
            (0.0, true),
            (0.015, true),
            (-0.015, true),
            (0.018, true),
            (-0.018, true),
            (0.035, false),
            (-0.035, false),
        ] {
            let [low, high] = Pair::of(char).hertz;
            let (both, first) =
                ([low * (1.0 + off), high * (1.0 + off)], [low * (1.0 + off), high]);
            for hertz in [both, first] {
                for offset in [0, 37, 80] {
                    let pcm = Pair { hertz, ms: 50.0, ..Pair::of(char) }.render(8000, offset);
                    let found = digits(&heard(&pcm, 8000));
                    let expected = if expected { char.to_string() } else { String::new() };
                    assert_eq!(found, expected, "{char} off by {off} at {offset}");
                }
            }
        }
    }
}

#[test]
fn twist_and_level_have_their_limits() {
    for (dbm0, expected) in [
        ([-10.0, -6.0], true),
        ([-10.0, -18.0], true),
        ([-10.0, -2.0], false),
        ([-10.0, -22.0], false),
        ([-1.0, -1.0], true),
        ([-30.0, -30.0], true),
        ([-42.0, -42.0], false),
    ] {
        for rate in RATES {
            let pcm = Pair { dbm0, ..Pair::of('6') }.render(rate, 0);
            let found = digits(&heard(&pcm, rate));
            assert_eq!(found, if expected { "6" } else { "" }, "{dbm0:?} at {rate}");
        }
    }
}

#[test]
fn a_pause_of_40_ms_parts_two_presses_and_a_break_of_10_ms_does_not() {
    for offset in (0..102).step_by(5) {
        let tone = |ms| {
            let pcm = Pair { ms, ..Pair::of('2') }.render(8000, 0);
            pcm[800..pcm.len() - 800].to_vec()
        };
        let around = |pause: usize| {
            [vec![0; 800 + offset], tone(60.0), vec![0; pause * 8], tone(60.0), vec![0; 800]]
                .concat()
        };
        assert_eq!(digits(&heard(&around(40), 8000)), "22", "offset {offset}");
        assert_eq!(digits(&heard(&around(10), 8000)), "2", "offset {offset}");
    }
}

/// Voiced speech as a source and its formants make it: harmonics of a gliding pitch under three
/// moving resonances, at the levels of speech.
fn babble(seconds: u32, seed: u8, rate: u32) -> Vec<i16> {
    let mut rng = Rng::new([seed; 32]);
    let mut pcm = Vec::with_capacity((seconds * rate) as usize);
    let mut phase = 0.0;
    while pcm.len() < (seconds * rate) as usize {
        let mut random = |low: f64, high: f64| {
            low + (high - low) * (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
        };
        let (pitch, glide) = (random(80.0, 320.0), random(-0.3, 0.3));
        let formants = [random(250.0, 900.0), random(800.0, 2400.0), random(2000.0, 3300.0)];
        let widths = [60.0, 90.0, 150.0];
        let level = amplitude(random(-30.0, -6.0));
        let len = (random(0.05, 0.25) * f64::from(rate)) as usize;
        for n in 0..len {
            let along = n as f64 / len as f64;
            let hertz = pitch * (1.0 + glide * along);
            phase = (phase + hertz / f64::from(rate)).fract();
            let harmonics = (1..).map(f64::from).take_while(|h| h * hertz < 3400.0);
            let sum: f64 = harmonics
                .map(|h| {
                    let gain: f64 = formants
                        .iter()
                        .zip(widths)
                        .map(|(at, width)| 1.0 / (1.0 + ((h * hertz - at) / width).powi(2)))
                        .sum();
                    gain * (TAU * h * phase).sin()
                })
                .sum();
            let fade = (TAU * 0.5 * along).sin();
            pcm.push((level * fade * sum) as i16);
        }
    }
    pcm
}

#[test]
fn speech_is_no_digit() {
    let mut found = Vec::new();
    for seed in 0..4 {
        found.extend(heard(&babble(15, seed, 8000), 8000));
    }
    assert_eq!(digits(&found), "", "a minute of voices");
}

#[test]
fn noise_single_tones_and_other_signals_are_no_digits() {
    let mut rng = Rng::new([3; 32]);
    let white: Vec<_> = (0..80_000).map(|_| (3000.0 * noise(&mut rng)) as i16).collect();
    assert_eq!(digits(&heard(&white, 8000)), "");
    let dial = Pair { hertz: [350.0, 440.0], ms: 2000.0, ..Pair::of('1') };
    let busy = Pair { hertz: [480.0, 620.0], ..dial };
    let alone = Pair { hertz: [770.0, 50.0], dbm0: [-10.0, -80.0], ..dial };
    for pair in [dial, busy, alone] {
        assert_eq!(digits(&heard(&pair.render(8000, 0), 8000)), "", "{:?}", pair.hertz);
    }
    // Two rows and a column: a chord, not a key.
    let chord: Vec<_> = Pair { ms: 500.0, ..Pair::of('1') }
        .render(8000, 0)
        .iter()
        .enumerate()
        .map(|(n, s)| s + (amplitude(-12.0) * (TAU * 852.0 * n as f64 / 8000.0).sin()) as i16)
        .collect();
    assert_eq!(digits(&heard(&chord, 8000)), "");
}

#[test]
fn suspicion_comes_before_the_verdict() {
    let pcm = Pair::of('5').render(8000, 0);
    let mut detector = ToneDetector::new(8000).unwrap();
    let mut told_at = None;
    let mut suspected_at = None;
    for (n, frame) in pcm.chunks(10).enumerate() {
        detector.hear(frame, |_| told_at = told_at.or(Some(n)));
        if detector.is_suspicious() {
            suspected_at = suspected_at.or(Some(n));
        }
    }
    assert!(suspected_at.unwrap() < told_at.unwrap());
    assert!(!detector.is_suspicious(), "it passes");
}

#[test]
fn generated_tones_have_their_frequencies_and_no_others() {
    for rate in RATES {
        let mut generator = ToneGenerator::new(rate);
        generator.press(DtmfEvent { digit: digit('1'), duration_ms: 1100, volume_dbm0: -10 });
        let mut pcm = vec![0; rate as usize * 2];
        generator.fill(&mut pcm);
        let steady = &pcm[rate as usize / 100..][..rate as usize];
        let level = |hertz: f64| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, sample) in steady.iter().enumerate() {
                let phase = TAU * hertz * n as f64 / f64::from(rate);
                re += f64::from(*sample) * phase.cos();
                im += f64::from(*sample) * phase.sin();
            }
            2.0 * f64::hypot(re, im) / steady.len() as f64
        };
        let twist = 20.0 * (level(1209.0) / level(697.0)).log10();
        assert!((twist - 2.0).abs() < 0.05, "{twist} dB");
        let (low, high) = (level(697.0), level(1209.0));
        let total = (low * low + high * high) / 2.0;
        let all = steady.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / steady.len() as f64;
        assert!((10.0 * (total / (amplitude(-10.0).powi(2) / 2.0)).log10()).abs() < 0.05);
        let rest = 10.0 * ((all - total).abs() / total).log10();
        assert!(rest < -60.0, "{rest} dB of anything else");
    }
}

#[test]
fn a_hook_flash_has_no_tones() {
    let mut generator = ToneGenerator::new(8000);
    assert!(!generator.press(DtmfEvent::new(Digit::FLASH)));
    assert!(!generator.start(Digit::FLASH, -10));
    let mut pcm = [7; 160];
    assert!(!generator.fill(&mut pcm));
    assert_eq!(pcm, [7; 160], "idle leaves the speech alone");
}

#[test]
fn a_live_tone_ends_when_the_key_is_up() {
    let mut generator = ToneGenerator::new(8000);
    assert!(generator.start(digit('3'), -10));
    let mut pcm = vec![0; 800];
    generator.fill(&mut pcm);
    generator.stop(60);
    let mut rest = vec![1; 800];
    assert!(generator.fill(&mut rest));
    let last = rest.iter().rposition(|sample| *sample != 0).unwrap();
    assert!(last <= 40, "a ramp later: {last}");
    assert!(generator.is_idle());
}

#[test]
fn only_multiples_of_8_khz_are_listened_to() {
    for (rate, known) in [(8000, true), (32_000, true), (96_000, true), (44_100, false), (0, false)]
    {
        assert_eq!(ToneDetector::new(rate).is_some(), known, "{rate}");
    }
}
