//! Noise removal that changes while somebody speaks, sample for sample (N3).

use std::f64::consts::TAU;

use super::process::Phone;
use super::*;
use crate::command::NoiseRemoval;
use crate::denoise::DenoiseSettings;
use crate::speech::voice;

const L16: Payload = payload(Codec::L16, 5, 97, 8000);
/// Samples by which noise removal is late.
const LATE: usize = 128;
const PACKETS: usize = 300;

const fn removal(enabled: bool, attenuation_limit_db: u8) -> Option<NoiseRemoval> {
    Some(NoiseRemoval { enabled, settings: DenoiseSettings { attenuation_limit_db } })
}

/// What is agreed on from a packet on.
type Change = (usize, Option<NoiseRemoval>, &'static [Payload]);

/// What an agent hears of `pcm` while the configuration of the customer changes.
fn hear(pcm: &[i16], changes: &[Change]) -> Vec<i16> {
    let (mut world, a, b) = World::call(&[L16], &[L16, PCMA]);
    let mut phone = Phone::new(L16);
    let mut heard = Vec::new();
    for (n, packet) in pcm.chunks_exact(160).enumerate() {
        for (_, noise_removal, payloads) in changes.iter().filter(|(at, ..)| *at == n) {
            let config =
                StreamConfig { noise_removal: *noise_removal, ..config(CUSTOMER, payloads) };
            world.configure(a, config);
        }
        world.pass(20);
        let payload: Vec<u8> = packet.iter().flat_map(|sample| sample.to_be_bytes()).collect();
        let datagram = phone.packet(97, false, &payload);
        phone.skip(20);
        world.receive(a, Channel::Rtp, CUSTOMER, datagram);
        let sent = world.heard(b);
        assert_eq!(sent.len(), 1, "one packet for each, also where the way changes: {n}");
        heard.extend(sent);
    }
    for pair in heard.windows(2) {
        let [(before, _), (after, _)] = pair else { unreachable!() };
        assert_eq!(after.sequence.wrapping_sub(before.sequence), 1);
        assert_eq!(after.timestamp.wrapping_sub(before.timestamp), 160);
    }
    phone.listen(&heard)
}

fn white(seed: u8, peak: u64, len: usize) -> Vec<i16> {
    let mut rng = Rng::new([seed; 32]);
    (0..len).map(|_| (rng.below(2 * peak + 1) as i64 - peak as i64) as i16).collect()
}

/// A voice that never pauses, in noise 20 dB below it.
fn noisy_voice() -> Vec<i16> {
    let len = PACKETS * 160;
    let voice = voice(8000, len, |t| 125.0 + 20.0 * (TAU * 0.7 * t).sin(), |_| 1.0);
    voice.iter().zip(white(3, 300, len)).map(|(voice, noise)| voice + noise).collect()
}

fn power(pcm: &[i16]) -> f64 {
    pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / pcm.len() as f64
}

#[test]
fn the_way_changes_without_a_sample_too_much_or_too_few() {
    const OFF: Option<NoiseRemoval> = removal(false, 30);
    // 16 ms are 16 periods: late or not, it is the same tone.
    let tone: Vec<_> =
        (0..PACKETS * 160).map(|n| (8000.0 * (TAU * n as f64 / 8.0).sin()) as i16).collect();
    let changes: &[Change] = &[
        (31, OFF, &[L16]),
        (67, None, &[L16]),
        (68, OFF, &[L16]),
        (99, removal(false, 12), &[L16]),
        (120, removal(false, 12), &[L16, PCMA]),
        (151, None, &[L16, PCMA]),
        (180, OFF, &[L16, PCMA]),
        (181, None, &[L16, PCMA]),
        (200, OFF, &[L16]),
        (240, OFF, &[L16, PCMU, PCMA]),
    ];
    let heard = hear(&tone, changes);
    let wrong = heard.iter().zip(&tone).position(|(heard, said)| (heard - said).abs() > 2);
    assert_eq!(wrong, None, "{:?}", wrong.map(|at| (at / 160, &heard[at..at + 20])));
}

#[test]
fn a_voice_goes_on_whatever_is_decided() {
    const ON: Option<NoiseRemoval> = removal(true, 30);
    let said = noisy_voice();
    let edge = |pcm: &[i16]| {
        pcm.windows(3)
            .map(|w| (i32::from(w[2]) - 2 * i32::from(w[1]) + i32::from(w[0])).abs())
            .max()
    };
    let sharpest = edge(&said).unwrap();
    let mut rng = Rng::new([9; 32]);
    for _ in 0..6 {
        let kinds = [ON, None, removal(true, 10), removal(false, 30)];
        let lists: [&'static [Payload]; 2] = [&[L16], &[L16, PCMA]];
        let changes: Vec<Change> = (1..12)
            .map(|n| {
                let at = 25 * n + rng.below(24) as usize;
                (at, kinds[rng.below(4) as usize], lists[rng.below(2) as usize])
            })
            .collect();
        let heard = hear(&said, &changes);
        assert!(edge(&heard).unwrap() < sharpest * 5 / 4, "{changes:?}");
        // Each 10 ms of it are as loud as the least loud of what was said up to 35 ms before.
        for (at, window) in heard.chunks(80).enumerate().skip(8) {
            let around = at * 80 - LATE - 240..((at + 2) * 80).min(said.len());
            let least = said[around].windows(80).map(power).fold(f64::MAX, f64::min);
            let loss = 10.0 * (power(window) / least).log10();
            // A suppressor that is new knows nothing of the noise; a gap would be 40 dB.
            assert!(loss > -12.0, "{loss} dB at {} ms: {changes:?}", at * 10);
        }
    }
}

#[test]
fn another_limit_is_reached_between_two_samples_that_are_right() {
    let noise = white(5, 3000, PACKETS * 160);
    let [less, more] = [8, 30].map(|db| hear(&noise, &[(0, removal(true, db), &[L16])]));
    let changes: &[Change] = &[
        (0, removal(true, 8), &[L16]),
        (143, removal(true, 30), &[L16]),
        (221, removal(true, 8), &[L16]),
    ];
    let heard = hear(&noise, changes);
    for (n, sample) in heard.iter().enumerate() {
        let (least, most) = (less[n].min(more[n]) - 1, less[n].max(more[n]) + 1);
        assert!((least..=most).contains(sample), "packet {}", n / 160);
    }
    let level = |from: usize, to: usize| {
        10.0 * (power(&heard[from * 160..to * 160]) / power(&noise)).log10()
    };
    assert_eq!(heard[..143 * 160], less[..143 * 160]);
    assert!((level(100, 143) + 8.0).abs() < 1.0, "{}", level(100, 143));
    assert!(level(144, 221) < -20.0, "at once: {}", level(144, 221));
    assert!((level(260, 300) + 8.0).abs() < 1.0, "{}", level(260, 300));
}
