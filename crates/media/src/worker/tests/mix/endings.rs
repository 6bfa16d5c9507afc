//! What is relayed, or coded on its way, breaks off and begins while somebody speaks: one RTP session,
//! and nothing is heard above the tones.

use super::change::STEP;
use super::*;
use crate::command::NoiseRemoval;
use crate::denoise::DenoiseSettings;
use crate::sound::{Sound, SoundId, Sounds};

const CHIME: SoundId = SoundId::Recording(0);

/// A listener and two who say a tone each, in a codec of theirs.
fn room(listener: Payload, talkers: Payload) -> Room {
    let rate = |payload: &Payload| Format::of(payload).unwrap().sample_rate;
    let mut room = Room::new(&[listener, talkers, talkers].map(|it| (it, rate(&it))));
    let tone = |hertz: f64| -> Vec<i16> {
        (0..8000).map(|n| (1000.0 * (TAU * hertz * f64::from(n) / 8000.0).cos()) as i16).collect()
    };
    let mut sounds = Sounds::default();
    sounds.insert(CHIME, Sound::from_pcm(&tone(520.0)[..800], 8000));
    room.world.worker.set_sounds(sounds);
    room.world.worker.set_music(Arc::new(Music::from_pcm(&tone(440.0), 8000)));
    room
}

/// The samples above 2 kHz that are louder than −50 dB of full scale: how many, and the loudest.
fn loud(room: &mut Room, decoded_at: u32) -> (usize, f64) {
    let pcm = crate::resample::resample(&room.legs[0].listen(), decoded_at, 8000);
    let loud = highs(&pcm).into_iter().map(f64::abs);
    let loudest = loud.clone().fold(0.0, f64::max);
    (loud.filter(|it| *it > STEP).count(), loudest)
}

/// Numbers in a row, and as much time in the timestamps as has passed: not a packet's length more.
fn one_session_with_pauses(packets: &[(Header, Vec<u8>)], units: u32, ms: u64) {
    for pair in packets.windows(2) {
        let (before, after) = (pair[0].0, pair[1].0);
        assert_eq!(after.ssrc, before.ssrc);
        assert_eq!(after.sequence.wrapping_sub(before.sequence), 1);
        let step = after.timestamp.wrapping_sub(before.timestamp);
        assert!(step >= units && (step == units || after.marker), "{before:?} {after:?}");
    }
    let (first, last) = (packets[0].0, packets.last().unwrap().0);
    let said_ms = u64::from(last.timestamp.wrapping_sub(first.timestamp)) * 20 / u64::from(units);
    assert!((ms - 60..ms + 20).contains(&said_ms), "{said_ms} ms in {ms}");
}

const ONE: Hear = Hear::Stream(StreamId(1));
const OTHER: Hear = Hear::Stream(StreamId(2));
const PLAN: [Hear; 12] = [
    ONE,
    Hear::Music,
    OTHER,
    Hear::Silence,
    ONE,
    OTHER,
    ONE,
    Hear::Nothing,
    ONE,
    Hear::Music,
    OTHER,
    Hear::Nothing,
];

/// Goes through the plan twice, with a chime over it here and there. When the last of it has to be
/// dying away, a tick after it broke off, milliseconds.
fn walk(room: &mut Room) -> u64 {
    let mut end = 0;
    for (n, hear) in (0..).zip(PLAN.into_iter().chain(PLAN)) {
        room.hear(0, hear);
        end = if hear == Hear::Nothing { room.ms + 20 } else { end };
        room.run(181 + 7 * n);
        if n % 3 == 0 {
            let World { worker, wire, .. } = &mut room.world;
            worker.announce(room.legs[0].slot, CHIME, wire);
            room.run(150 + n);
        }
    }
    room.run(60);
    end
}

#[test]
fn a_voice_that_breaks_off_dies_away_and_another_one_rises_in_the_same_session() {
    for payload in [L16, PCMU, PCMA] {
        for phase in [1, 8, 14, 19] {
            let mut room = room(payload, payload);
            room.legs[1].phase = phase;
            let end = walk(&mut room);
            one_session_with_pauses(&room.legs[0].heard, 160, end);
            let (clicks, loudest) = loud(&mut room, 8000);
            assert_eq!(clicks, 0, "{:?} at {phase}: {loudest}", payload.codec);
        }
    }
}

#[test]
fn so_does_one_that_is_coded_anew_or_cleaned() {
    let settings = DenoiseSettings::default();
    for enabled in [None, Some(true), Some(false)] {
        for phase in [1, 8, 14, 19] {
            let mut room = room(L16, if enabled.is_some() { L16 } else { WIDE_L16 });
            room.legs[1].phase = phase;
            let noise_removal = enabled.map(|enabled| NoiseRemoval { enabled, settings });
            for leg in [1, 2] {
                let it = &room.legs[leg];
                let config = StreamConfig { noise_removal, ..config(&it.from, &[it.payload]) };
                room.world.configure(it.slot, config);
            }
            let end = walk(&mut room);
            one_session_with_pauses(&room.legs[0].heard, 160, end);
            let (clicks, loudest) = loud(&mut room, 8000);
            assert_eq!(clicks, 0, "{enabled:?} at {phase}: {loudest}");
        }
    }
}

#[test]
fn noise_removal_that_comes_and_goes_leaves_no_click() {
    let settings = DenoiseSettings::default();
    for phase in [1, 8, 14, 19] {
        let mut room = room(L16, L16);
        room.legs[1].phase = phase;
        room.hear(0, ONE);
        for (n, enabled) in (0..).zip([None, Some(true), None, Some(false), Some(true), None]) {
            let noise_removal = enabled.map(|enabled| NoiseRemoval { enabled, settings });
            let config = StreamConfig { noise_removal, ..config(&room.legs[1].from, &[L16]) };
            room.world.configure(room.legs[1].slot, config);
            room.run(303 + n);
        }
        one_session(&room.legs[0].heard, 160);
        let (clicks, loudest) = loud(&mut room, 8000);
        assert_eq!(clicks, 0, "{phase}: {loudest}");
    }
}

#[test]
fn who_hears_somebody_that_hangs_up_or_is_taken_away_hears_no_click() {
    for payload in [L16, PCMU] {
        for phase in [1, 8, 14, 19] {
            let mut room = room(payload, payload);
            room.legs[1].phase = phase;
            room.hear(0, ONE);
            room.run(313);
            room.world.close(room.legs[1].slot);
            let gone = room.legs.remove(1);
            room.run(107);
            assert!(room.legs[0].heard.len() > 15, "{}", gone.hertz);
            room.world.hear(room.legs[0].slot, OTHER, Some(room.legs[1].slot));
            room.run(307);
            room.world.worker.move_to(room.legs[0].slot, BridgeId(7));
            room.run(107);
            let (clicks, loudest) = loud(&mut room, 8000);
            assert_eq!(clicks, 0, "{:?} at {phase}: {loudest}", payload.codec);
        }
    }
}

#[test]
fn codecs_with_a_memory_die_away_too() {
    for (payload, rate) in [(G722, 16_000), (OPUS, 48_000)] {
        for phase in [1, 8, 14, 19] {
            let mut hard = [0.0; 2];
            for (n, keeps) in [(0, true), (1, false)] {
                let mut room = room(payload, payload);
                room.legs[1].phase = phase;
                let mut loudest: f64 = 0.0;
                for _ in 0..6 {
                    room.hear(0, ONE);
                    room.run(207);
                    drop(room.legs[0].listen());
                    room.run(101);
                    if !keeps {
                        // As it would be without knowing what was said last.
                        let slot = room.legs[1].slot.0;
                        room.world.worker.streams[slot].as_mut().unwrap().tail = None;
                    }
                    room.hear(0, Hear::Silence);
                    room.run(103);
                    loudest = loudest.max(loud(&mut room, rate).1);
                }
                hard[n] = loudest;
            }
            assert!(
                hard[0] < STEP && hard[0] < hard[1],
                "{:?} at {phase}: {hard:?}",
                payload.codec
            );
        }
    }
}
