use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;

const LEN: usize = 320;
const RATE: u32 = 16_000;

/// −10 dBm0 in linear samples: the overload of the µ-law is +3.17 dBm0.
fn dbm0(level: f64) -> f64 {
    32_768.0 * 10f64.powf((level - 3.17) / 20.0)
}

fn mixer(seats: usize) -> Mixer {
    Mixer::new(seats, RATE, LEN, MixerSettings::default())
}

/// Everybody in `seats` hears everybody else in it.
fn conference(mixer: &mut Mixer, seats: Seats) {
    for listener in (0..SEATS_MAX).filter(|seat| seats & (1 << seat) != 0) {
        mixer.set_hears(listener, seats);
    }
}

/// A tone that goes on over the ticks.
fn tone(frame: &mut [i16], hertz: f64, amplitude: f64, tick: usize) {
    let first = tick * frame.len();
    for (n, sample) in frame.iter_mut().enumerate() {
        let angle = TAU * hertz * (first + n) as f64 / f64::from(RATE);
        *sample = (amplitude * angle.sin()).round() as i16;
    }
}

fn level(samples: &[i16], hertz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sin, cos) = (TAU * hertz * n as f64 / f64::from(RATE)).sin_cos();
        re += f64::from(*sample) * cos;
        im += f64::from(*sample) * sin;
    }
    2.0 * f64::hypot(re, im) / samples.len() as f64
}

fn power(samples: &[i16]) -> f64 {
    samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64
}

fn db(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-9).log10()
}

/// Frequency of a seat: whole periods in ten ticks.
fn hertz(seat: Seat) -> f64 {
    500.0 + 200.0 * seat as f64
}

/// Ten ticks of what each listener hears after ten others; seat n sends [`hertz`]`(n)`.
fn hear(mixer: &mut Mixer, sources: Seats, listeners: Seats, amplitude: f64) -> Vec<Vec<i16>> {
    let mut heard = vec![vec![]; SEATS_MAX];
    for tick in 0..20 {
        for source in (0..SEATS_MAX).filter(|seat| sources & (1 << seat) != 0) {
            tone(mixer.frame(source), hertz(source), amplitude, tick);
        }
        mixer.mix(listeners);
        for (listener, heard) in heard.iter_mut().enumerate().filter(|_| tick >= 10) {
            heard.extend_from_slice(mixer.heard_by(listener).unwrap_or_default());
        }
    }
    heard
}

/// The seats whose tones are in it at their full level; the others must be 60 dB below.
fn voices(samples: &[i16], amplitude: f64) -> Vec<Seat> {
    (0..SEATS_MAX)
        .filter(|seat| {
            let gain = db(level(samples, hertz(*seat)) / amplitude);
            assert!(gain.abs() < 0.1 || gain < -60.0, "seat {seat}: {gain} dB");
            gain > -60.0
        })
        .collect()
}

#[test]
fn eight_talkers_hear_all_but_themselves() {
    let mut mixer = mixer(8);
    conference(&mut mixer, 0xff);
    let heard = hear(&mut mixer, 0xff, 0xff, 1000.0);
    for (listener, heard) in heard.iter().enumerate().take(8) {
        let others: Vec<_> = (0..8).filter(|seat| *seat != listener).collect();
        assert_eq!(voices(heard, 1000.0), others, "{listener}");
    }
    assert_eq!(mixer.mixes().len(), 8);
}

#[test]
fn a_tone_through_a_conference_of_eight_is_exact() {
    let mut mixer = mixer(8);
    conference(&mut mixer, 0xff);
    let amplitude = dbm0(-10.0);
    let mut heard = vec![Vec::new(); 8];
    for tick in 0..60 {
        tone(mixer.frame(0), 1000.0, amplitude, tick);
        for seat in 1..8 {
            mixer.frame(seat).fill(0);
        }
        mixer.mix(0xff);
        for (seat, heard) in heard.iter_mut().enumerate().filter(|_| tick >= 10) {
            heard.extend_from_slice(mixer.heard_by(seat).unwrap());
        }
    }
    for (seat, heard) in heard.iter().enumerate() {
        let level = level(heard, 1000.0);
        if seat == 0 {
            assert!(db(power(heard).sqrt() / amplitude) < -60.0, "own voice");
            continue;
        }
        let rest = (power(heard) - level * level / 2.0).max(0.0).sqrt() * 2f64.sqrt();
        assert!(db(level / amplitude).abs() < 0.1, "{seat}: gain {}", db(level / amplitude));
        assert!(db(rest / level) < -60.0, "{seat}: THD+N {} dB", db(rest / level));
    }
}

#[test]
fn who_is_hushed_hears_the_end_of_it_and_the_others_notice_nothing() {
    let mut mixer = mixer(3);
    conference(&mut mixer, 0b111);
    let tick = |mixer: &mut Mixer, n| {
        tone(mixer.frame(0), 1000.0, 8000.0, n);
        mixer.mix(0b111);
        [1, 2].map(|listener| mixer.heard_by(listener).unwrap().to_vec())
    };
    (0..10).for_each(|n| drop(tick(&mut mixer, n)));
    mixer.hush(1);
    let [hushed, other] = tick(&mut mixer, 10);
    assert!(hushed[..40].iter().any(|sample| sample.abs() > 7000), "it begins as it was");
    assert!(hushed[LEN - 16..].iter().all(|sample| sample.abs() < 100), "{hushed:?}");
    assert!(other[LEN - 16..].iter().any(|sample| sample.abs() > 7000));
    let [back, other] = tick(&mut mixer, 11);
    assert!(back[..16].iter().all(|sample| sample.abs() < 100), "and comes as softly: {back:?}");
    assert!(other[..16].iter().any(|sample| sample.abs() > 7000));
}

#[test]
fn monitor_whisper_and_barge() {
    const CUSTOMER: Seat = 0;
    const AGENT: Seat = 1;
    const SUPERVISOR: Seat = 2;
    // Whom customer, agent and supervisor hear.
    for (what, plan) in [
        ("monitor", [0b010, 0b001, 0b011]),
        ("whisper", [0b010, 0b101, 0b011]),
        ("barge", [0b110, 0b101, 0b011]),
    ] {
        let mut mixer = mixer(3);
        for (listener, sources) in plan.into_iter().enumerate() {
            mixer.set_hears(listener, sources);
        }
        let heard = hear(&mut mixer, 0b111, 0b111, 1000.0);
        for listener in [CUSTOMER, AGENT, SUPERVISOR] {
            let planned: Vec<_> = (0..3).filter(|seat| plan[listener] & (1 << seat) != 0).collect();
            assert_eq!(voices(&heard[listener], 1000.0), planned, "{what}: {listener}");
        }
    }
}

#[test]
fn listeners_who_hear_the_same_share_a_mix() {
    let mut mixer = mixer(8);
    conference(&mut mixer, 0xff);
    for tick in 0..30 {
        for seat in 0..8 {
            // Seat 3 speaks; the others have the idle noise of the A-law.
            let amplitude = if seat == 3 { 5000.0 } else { 8.0 };
            tone(mixer.frame(seat), hertz(seat), amplitude, tick);
        }
        mixer.mix(0xff);
    }
    let mixes = mixer.mixes();
    assert_eq!(mixes.len(), 2);
    let shared = mixes.iter().find(|mix| mix.heard == 0b1000).unwrap();
    assert_eq!(shared.listeners, 0b1111_0111);
    let own = mixes.iter().find(|mix| mix.heard == 0).unwrap();
    assert_eq!((own.listeners, own.samples()), (0b1000, &[0; LEN][..]));
}

#[test]
fn the_loudest_are_heard_when_too_many_speak() {
    let settings = MixerSettings { speakers_max: 4, always: 1 << 9, ..MixerSettings::default() };
    let mut mixer = Mixer::new(10, RATE, LEN, settings);
    conference(&mut mixer, 0x3ff);
    for tick in 0..10 {
        for seat in 0..10 {
            let amplitude = if seat == 9 { 100.0 } else { 500.0 * (seat + 1) as f64 };
            tone(mixer.frame(seat), hertz(seat), amplitude, tick);
        }
        mixer.mix(0x3ff);
    }
    let heard = mixer.mixes().iter().find(|mix| mix.listeners & 1 != 0).unwrap().heard;
    assert_eq!(heard, 0b10_1110_0000 | 0b1_0000_0000, "the four loudest and the announcement");
}

#[test]
fn eight_talkers_at_minus_6_dbfs_neither_wrap_nor_pump() {
    let mut mixer = mixer(9);
    conference(&mut mixer, 0x1ff);
    let mut out = Vec::new();
    for tick in 0..100 {
        for seat in 0..8 {
            tone(mixer.frame(seat), 400.0, 16_384.0, tick);
        }
        mixer.frame(8).fill(0);
        mixer.mix(0x1ff);
        out.extend_from_slice(mixer.heard_by(8).unwrap());
    }
    // The sum is 12 dB above full scale: the tone stays a tone, just below it.
    let steady = &out[out.len() / 2..];
    let level = level(steady, 400.0);
    assert!((29_000.0..32_768.0).contains(&level), "{level}");
    // From the first tick on nothing is cut off.
    let peak = out.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
    assert!(peak < 32_760, "{peak}");
    let rest = (power(steady) - level * level / 2.0).max(0.0).sqrt();
    assert!(db(rest / level) < -60.0, "{} dB", db(rest / level));
    // A wrapped sample would be a step of twice the full scale.
    let step = out.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap();
    assert!(step < 20_000, "{step}");
}

#[test]
fn the_gain_moves_by_less_than_a_decibel_per_millisecond_and_comes_back() {
    let mut mixer = mixer(4);
    mixer.set_hears(2, 0b0011);
    // Who hears little of it tells the gain: next to nothing of that is bent.
    mixer.set_hears(3, 0b0100);
    let mut gains = Vec::new();
    for tick in 0..200 {
        let amplitude = if (20..60).contains(&tick) { 25_000 } else { 10_000 };
        mixer.frame(0).fill(amplitude);
        mixer.frame(1).fill(amplitude);
        mixer.frame(2).fill(500);
        mixer.mix(0b1100);
        let heard = mixer.heard_by(3).unwrap();
        gains.extend(heard.iter().map(|s| f64::from(*s) / 500.0));
    }
    let at = |ms: usize| gains[ms * 16];
    let moves = (21..gains.len() / 16).map(|ms| db(at(ms) / at(ms - 1)));
    let fastest = moves.map(f64::abs).fold(0.0, f64::max);
    assert!(fastest < 1.0, "{fastest} dB in a millisecond");
    assert!(at(1100) < 0.62, "{}", at(1100));
    assert!((at(2000) - 1.0).abs() < 0.003, "{}", at(2000));
}

/// Greatest deviation from a tone of 400 Hz, dB below full scale.
fn click_db(samples: &[i16]) -> f64 {
    let factor = 2.0 * (TAU * 400.0 / f64::from(RATE)).cos();
    let worst = samples
        .windows(3)
        .map(|w| (f64::from(w[2]) - factor * f64::from(w[1]) + f64::from(w[0])).abs())
        .fold(0.0, f64::max);
    db(worst / 32_768.0)
}

#[test]
fn who_comes_or_goes_makes_no_step() {
    let mut mixer = mixer(3);
    mixer.set_hears(0, 0b110);
    let mut out = Vec::new();
    for tick in 0..60 {
        tone(mixer.frame(1), 400.0, 10_000.0, tick);
        // Joins in the middle of its sound, and is gone as suddenly.
        if (10..30).contains(&tick) {
            tone(mixer.frame(2), 400.0, 10_000.0, tick + 7);
        }
        // Is no longer planned to be heard, then again.
        mixer.set_hears(0, if (40..50).contains(&tick) { 0b100 } else { 0b110 });
        mixer.mix(0b001);
        out.extend_from_slice(mixer.heard_by(0).unwrap());
    }
    assert!(click_db(&out) < -50.0, "{} dB", click_db(&out));
    // A listener who comes hears no step either.
    let mut first = Vec::new();
    mixer.set_hears(2, 0b010);
    for tick in 60..64 {
        tone(mixer.frame(1), 400.0, 10_000.0, tick);
        mixer.mix(0b101);
        first.extend_from_slice(mixer.heard_by(2).unwrap());
    }
    assert!(first[0].abs() < 50 && click_db(&first) < -50.0, "{} dB", click_db(&first));
}

#[test]
fn voices_are_brought_to_one_loudness_when_asked() {
    let settings = MixerSettings { normalises: true, ..MixerSettings::default() };
    let mut mixer = Mixer::new(3, RATE, LEN, settings);
    conference(&mut mixer, 0b111);
    for tick in 0..200 {
        tone(mixer.frame(0), hertz(0), 1400.0, tick);
        tone(mixer.frame(1), hertz(1), 9000.0, tick);
        mixer.mix(0b111);
    }
    let heard = mixer.heard_by(2).unwrap();
    let difference = db(level(heard, hertz(1)) / level(heard, hertz(0)));
    assert!(difference.abs() < 1.0, "{difference} dB");
}

#[test]
fn who_is_no_listener_gets_nothing() {
    let mut mixer = mixer(2);
    conference(&mut mixer, 0b11);
    mixer.frame(0).fill(100);
    mixer.mix(0b10);
    assert!(mixer.heard_by(0).is_none());
    assert_eq!(mixer.heard_by(1).unwrap().len(), mixer.tick_len());
}

proptest! {
    #[test]
    fn sums_are_exact_in_any_order(
        frames in proptest::collection::vec(proptest::collection::vec(-3000i16..3000, 8), 2..9),
        plan in proptest::collection::vec(any::<u16>(), 8),
    ) {
        let seats = frames.len();
        let settings = MixerSettings { leaves_out_silence: false, ..MixerSettings::default() };
        let mut mixer = Mixer::new(seats, 8000, 8, settings);
        for (seat, sources) in plan.iter().enumerate().take(seats) {
            mixer.set_hears(seat, *sources);
        }
        for tick in 0..2 {
            // The order of the frames does not matter.
            for n in 0..seats {
                let seat = if tick == 0 { n } else { seats - 1 - n };
                mixer.frame(seat).copy_from_slice(&frames[seat]);
            }
            mixer.mix(0xffff);
        }
        for (listener, hears) in plan.iter().enumerate().take(seats) {
            let heard = mixer.heard_by(listener).unwrap();
            for (n, sample) in heard.iter().enumerate() {
                let sum: i32 = frames
                    .iter()
                    .enumerate()
                    .filter(|(seat, _)| *seat != listener && hears & (1 << seat) != 0)
                    .map(|(_, frame)| i32::from(frame[n]))
                    .sum();
                prop_assert_eq!(i32::from(*sample), sum);
            }
        }
    }

    #[test]
    fn whatever_is_mixed_stays_in_range(
        ticks in proptest::collection::vec((any::<u16>(), any::<u16>(), any::<i16>()), 1..20),
    ) {
        let settings = MixerSettings { normalises: true, speakers_max: 3, ..MixerSettings::default() };
        let mut mixer = Mixer::new(SEATS_MAX, 8000, 160, settings);
        for (sources, listeners, amplitude) in ticks {
            for seat in 0..SEATS_MAX {
                mixer.set_hears(seat, sources.rotate_left(seat as u32));
                if sources & (1 << seat) != 0 {
                    mixer.frame(seat).fill(amplitude);
                }
            }
            mixer.mix(listeners);
            let shared: u32 = mixer.mixes().iter().map(|mix| mix.listeners.count_ones()).sum();
            prop_assert_eq!(shared, listeners.count_ones());
            prop_assert!(mixer.gain() > 0.0 && mixer.gain() <= 1.0);
        }
    }
}
