use std::f64::consts::TAU;

use base::Rng;
use proptest::prelude::*;

use super::*;

fn denoiser(rate_hz: u32) -> Denoiser {
    Denoiser::new(rate_hz, DenoiseSettings::default()).expect("a rate of the list")
}

/// White noise of a given peak.
fn noise(seed: u64, peak: i16, len: usize) -> Vec<i16> {
    let mut rng = Rng::from_u64(seed);
    let span = 2 * u64::from(peak.unsigned_abs()) + 1;
    (0..len).map(|_| (rng.below(span) as i64 - i64::from(peak)) as i16).collect()
}

fn in_slices(denoiser: &mut Denoiser, pcm: &[i16], len: usize) -> Vec<i16> {
    let mut out = pcm.to_vec();
    out.chunks_mut(len).for_each(|slice| denoiser.process(slice));
    out
}

fn power_db(pcm: &[i16]) -> f64 {
    let sum: f64 = pcm.iter().map(|x| f64::from(*x).powi(2)).sum();
    10.0 * (sum / pcm.len() as f64).max(1e-9).log10()
}

#[test]
fn steady_noise_goes_down_to_the_floor() {
    for rate in RATES_HZ {
        let input = noise(1, 1000, 3 * rate as usize);
        let output = in_slices(&mut denoiser(rate), &input, rate as usize / 50);
        let last = 2 * rate as usize;
        let change = power_db(&output[last..]) - power_db(&input[last..]);
        // At 48 kHz most of what is left is above 15 kHz.
        let least = if rate == 48_000 { -12.0 } else { -20.0 };
        assert!((-31.0..least).contains(&change), "{rate} Hz: {change} dB");
    }
}

#[test]
fn a_rate_that_is_no_divisor_is_refused() {
    assert!(Denoiser::new(44_100, DenoiseSettings::default()).is_none());
    assert!(Denoiser::new(0, DenoiseSettings::default()).is_none());
}

#[test]
fn switched_off_it_is_a_delay() {
    for rate in RATES_HZ {
        let mut denoiser = denoiser(rate);
        denoiser.set_enabled(false);
        in_slices(&mut denoiser, &noise(2, 9000, rate as usize / 10), rate as usize / 50);
        assert!(denoiser.is_settled_off());
        let input = noise(3, 32_767, rate as usize);
        let output = in_slices(&mut denoiser, &input, rate as usize / 50);
        let delay = denoiser.delay_samples();
        assert_eq!(output[delay..], input[..input.len() - delay], "{rate} Hz");
    }
}

#[test]
fn the_delay_at_telephone_band_is_at_most_17_ms() {
    assert!(denoiser(8000).delay_samples() <= 17 * 8);
}

#[test]
fn silence_stays_silence_and_speech_is_cleaned_right_after_it() {
    let mut denoiser = denoiser(8000);
    let silence = in_slices(&mut denoiser, &vec![0; 8000], 160);
    assert!(silence.iter().all(|x| *x == 0));
    let noisy = in_slices(&mut denoiser, &noise(4, 1000, 800), 160);
    assert!(power_db(&noisy) < power_db(&noise(4, 1000, 800)), "no burst of the original");
}

#[test]
fn a_limit_of_0_db_changes_nothing() {
    let settings = DenoiseSettings { attenuation_limit_db: 0 };
    let mut denoiser = Denoiser::new(8000, settings).expect("a rate of the list");
    let input = noise(5, 20_000, 4000);
    let output = in_slices(&mut denoiser, &input, 160);
    let delay = denoiser.delay_samples();
    assert_eq!(output[delay..], input[..input.len() - delay]);
}

#[test]
fn a_tone_keeps_its_phase_while_switching() {
    let mut denoiser = denoiser(8000);
    let tone = |n: usize| (8000.0 * (TAU * 1000.0 * n as f64 / 8000.0).sin()) as i16;
    for packet in 0..200 {
        denoiser.set_enabled(packet % 7 < 3);
        let mut pcm: Vec<i16> = (160 * packet..).take(160).map(tone).collect();
        denoiser.process(&mut pcm);
        let steepest = pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max();
        assert!(steepest < Some(6500), "packet {packet}: a step of {steepest:?}");
    }
}

/// Syllables in noise 10 dB below them.
fn noisy_speech(seed: u64, rate: u32, len: usize) -> Vec<i16> {
    let speech = crate::speech::speech(rate, len);
    speech.iter().zip(noise(seed, 1500, len)).map(|(speech, noise)| speech + noise).collect()
}

/// The largest second difference.
fn edge(pcm: &[i16]) -> i32 {
    let second = |w: &[i16]| (i32::from(w[2]) - 2 * i32::from(w[1]) + i32::from(w[0])).abs();
    pcm.windows(3).map(second).max().unwrap_or(0)
}

#[test]
fn a_voice_in_noise_is_switched_within_20_ms_and_without_an_edge() {
    for rate in RATES_HZ {
        let ms = rate as usize / 1000;
        let input = noisy_speech(6, rate, 8 * rate as usize);
        let cleaned = in_slices(&mut denoiser(rate), &input, 20 * ms);
        let mut rng = Rng::from_u64(7);
        let mut switched = denoiser(rate);
        let delay = switched.delay_samples();
        let mut output = input.clone();
        let (mut at, mut fades) = (0, vec![]);
        while at < output.len() {
            // Each state for 100 to 500 ms, by frames.
            let until = (at + ms * 10 * (10 + rng.below(40) as usize)).min(output.len());
            let enabled = !switched.is_enabled();
            switched.set_enabled(enabled);
            for frame in output[at..until].chunks_mut(10 * ms) {
                let before = (switched.stream.fade.is_off(), switched.stream.fade.is_full());
                switched.process(frame);
                let after = (switched.stream.fade.is_off(), switched.stream.fade.is_full());
                if before != after || after == (false, false) {
                    fades.push(());
                }
            }
            // Two, and the last sample of one where fractions do not add up; up to four more for the
            // suppressor to come back before it may be heard.
            let longest = if enabled { 3 + 4 } else { 3 };
            assert!(fades.len() <= longest, "{rate} Hz: {} frames", fades.len());
            fades.clear();
            // Off, it is the original that is heard from 30 ms after the switch on.
            let off = at + 30 * ms..until;
            if !enabled && off.start < off.end && off.start > delay {
                assert_eq!(output[off.clone()], input[off.start - delay..off.end - delay]);
            }
            at = until;
        }
        let dry = &input[..input.len() - delay];
        let right = edge(dry).max(edge(&cleaned));
        assert!(edge(&output) <= right * 21 / 20, "{rate} Hz: {} {right}", edge(&output));
        let louder = power_db(&output[delay..]) - power_db(dry);
        assert!((-6.0..0.1).contains(&louder), "both are heard: {louder} dB");
    }
}

#[test]
fn in_a_quiet_room_the_noise_between_words_does_not_pump() {
    // -70 dBov is where noise removal stops; what is above it goes down there and stays there.
    for (peak, room) in [(18, -69.9), (32, -65.0), (100, -55.0)] {
        let rate = 8000;
        let speech = crate::speech::voice(
            rate,
            12 * 8000,
            |_| 120.0,
            |t| {
                // A word of half a second in each second and a half.
                if t % 1.5 < 0.5 { (std::f64::consts::PI * (t % 1.5) * 2.0).sin() } else { 0.0 }
            },
        );
        let noise = noise(8, peak, speech.len());
        let measured = power_db(&noise) - 90.3;
        assert!((measured - room).abs() < 0.6, "{measured} dBov is no room of {room}");
        let input: Vec<i16> = speech.iter().zip(&noise).map(|(s, n)| s + n).collect();
        let output = in_slices(&mut denoiser(rate), &input, 160);
        // In each pause from 100 ms after the word on, 50 ms at a time: it is never louder than the
        // room, and from 300 ms on it stays where it is.
        for pause in 2..8 {
            let from = pause * 12_000 + 4800 + 120;
            let parts = output[from..from + 7000].chunks_exact(400);
            let levels: Vec<_> = parts.map(|part| power_db(part) - 90.3).collect();
            let range = |levels: &[f64]| {
                let (least, most) = (f64::INFINITY, f64::NEG_INFINITY);
                levels.iter().fold((least, most), |(a, b), level| (a.min(*level), b.max(*level)))
            };
            let ((least, most), (calm, loudest)) = (range(&levels), range(&levels[4..]));
            assert!(loudest - calm < 3.0, "{room} dBov: between {calm} and {loudest}");
            assert!(most - least < 9.0, "{room} dBov: between {least} and {most}");
            assert!(most < room + 1.0, "{room} dBov: {most}");
        }
    }
}

#[test]
fn from_the_original_and_back_to_it_nothing_is_missed() {
    for rate in RATES_HZ {
        let ms = rate as usize / 1000;
        let input = noisy_speech(9, rate, rate as usize);
        let mut denoiser = denoiser(rate);
        denoiser.set_enabled(false);
        denoiser.lead_in();
        let delay = denoiser.delay_samples();
        let mut output = in_slices(&mut denoiser, &input[..500 * ms], 20 * ms);
        assert_eq!(output[..delay], input[..delay], "what is late has not begun");
        let led_in = delay + 20 * ms..500 * ms;
        assert_eq!(output[led_in.clone()], input[led_in.start - delay..led_in.end - delay]);
        denoiser.lead_out();
        assert!(!denoiser.has_led_out());
        output.extend(in_slices(&mut denoiser, &input[500 * ms..], 20 * ms));
        assert!(denoiser.has_led_out());
        assert_eq!(output[521 * ms..], input[521 * ms..]);
        assert!(edge(&output) <= edge(&input) * 21 / 20, "{} {}", edge(&output), edge(&input));
        // It turns round where it is.
        denoiser.lead_in();
        denoiser.lead_out();
        let mut same = input[..20 * ms].to_vec();
        denoiser.process(&mut same);
        assert_eq!(same, input[..20 * ms]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn slices_of_any_length_give_the_same_samples(
        seed: u64,
        lengths in proptest::collection::vec(1_usize..700, 1..8),
    ) {
        let input = noise(seed, 12_000, 4800);
        let mut odd = denoiser(8000);
        // An odd slice of one sample first: the delay grows once, before the speech.
        odd.process(&mut [0]);
        let mut output = Vec::new();
        let mut rest = &input[..];
        for len in lengths.iter().cycle() {
            let (slice, later) = rest.split_at(rest.len().min(*len));
            let mut slice = slice.to_vec();
            odd.process(&mut slice);
            output.extend(slice);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let mut shifted = denoiser(8000);
        let reference = in_slices(&mut shifted, &[&[0][..], &input[..4799]].concat(), 160);
        let late = odd.delay_samples() - shifted.delay_samples();
        let expected = &reference[1..][..output.len() - late];
        prop_assert!(output[late..] == *expected, "late by {late}");
    }

    #[test]
    fn any_input_is_survived(
        pcm in proptest::collection::vec(
            prop_oneof![Just(i16::MIN), Just(i16::MAX), Just(0_i16), any::<i16>()], 0..2000),
        switches in proptest::collection::vec(any::<bool>(), 1..10),
    ) {
        let mut denoiser = denoiser(8000);
        for (slice, on) in pcm.chunks(161).zip(switches.iter().cycle()) {
            denoiser.set_enabled(*on);
            denoiser.process(&mut slice.to_vec());
        }
        let quiet = in_slices(&mut denoiser, &[0; 1600], 160);
        prop_assert!(quiet[800..].iter().all(|x| *x == 0));
    }
}

#[test]
fn a_beginning_rises_from_silence_and_then_it_is_as_if_nothing_had_been() {
    for rate in RATES_HZ {
        let input = noise(6, 9000, rate as usize);
        let plain = in_slices(&mut denoiser(rate), &input, rate as usize / 50);
        let mut soft = denoiser(rate);
        soft.begin_softly();
        let delay = soft.delay_samples();
        let risen = delay + rate as usize / 50;
        let output = in_slices(&mut soft, &input, rate as usize / 50);
        assert!(output[..delay + 2].iter().all(|x| x.abs() < 20), "{rate} Hz");
        let is_less = |(soft, plain): (&i16, &i16)| soft.abs() <= plain.abs();
        assert!(output.iter().zip(&plain).skip(delay).all(is_less), "{rate} Hz");
        assert_eq!(output[risen..], plain[risen..], "{rate} Hz");
    }
}
