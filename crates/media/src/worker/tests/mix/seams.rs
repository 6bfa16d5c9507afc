//! Where one sound of ours gives way to another, or to what somebody says: one RTP session, a packet
//! every 20 ms, and no click.

use super::change::STEP;
use super::*;
use crate::sound::{Sound, SoundId, Sounds};

const FIRST: SoundId = SoundId::Recording(0);
const SECOND: SoundId = SoundId::Recording(1);
/// Music, and the two announcements.
const HERTZ: [f64; 3] = [440.0, 520.0, 620.0];

fn sine(hertz: f64, ms: usize) -> Vec<i16> {
    (0..8 * ms).map(|n| (1000.0 * (TAU * hertz * n as f64 / 8000.0).cos()) as i16).collect()
}

/// Legs whose music and announcements are tones that begin at their height.
fn room(codecs: &[(Payload, u32)]) -> Room {
    let mut room = Room::new(codecs);
    let mut sounds = Sounds::default();
    sounds.insert(FIRST, Sound::from_pcm(&sine(HERTZ[1], 210), 8000));
    sounds.insert(SECOND, Sound::from_pcm(&sine(HERTZ[2], 110), 8000));
    let worker = &mut room.world.worker;
    worker.set_sounds(sounds);
    worker.set_music(Arc::new(Music::from_pcm(&sine(HERTZ[0], 1000), 8000)));
    room
}

impl Room {
    fn announce(&mut self, leg: usize, sound: SoundId) {
        let World { worker, wire, .. } = &mut self.world;
        worker.announce(self.legs[leg].slot, sound, wire);
    }

    fn hush(&mut self, leg: usize) {
        let World { worker, wire, .. } = &mut self.world;
        worker.hush(self.legs[leg].slot, wire);
    }
}

#[test]
fn sounds_of_ours_and_what_others_say_follow_each_other_without_a_click() {
    for phase in [1, 8, 14, 19] {
        // The first hears what the others say by another codec: by samples of ours.
        let mut room = room(&[(L16, 8000), (WIDE_L16, 16_000), (WIDE_L16, 16_000)]);
        room.legs[1].phase = phase;
        let (one, both) = (Hear::Stream(StreamId(1)), mix(&[1, 2]));
        let plan = [
            Hear::Music,
            one,
            Hear::Music,
            both,
            Hear::Music,
            Hear::Silence,
            one,
            Hear::Silence,
            Hear::Music,
            both,
            one,
            Hear::Silence,
        ];
        for (n, hear) in (0..).zip(plan) {
            room.hear(0, hear);
            room.run(181 + 7 * n);
            // Over whatever that is; once another behind it, once it is cut short.
            room.announce(0, FIRST);
            if n % 3 == 0 {
                room.announce(0, SECOND);
            }
            room.run(95);
            if n % 3 == 1 {
                room.hush(0);
            }
            room.run(303);
        }
        let heard = room.legs[0].heard.clone();
        assert!(heard.len() > 300, "{phase}: {}", heard.len());
        one_session(&heard, 160);
        let clicks = highs(&room.legs[0].listen());
        let loud: Vec<_> = clicks.iter().enumerate().filter(|(_, it)| it.abs() > STEP).collect();
        assert!(loud.is_empty(), "{phase}: {} at {:?}", loud.len(), &loud[..loud.len().min(12)]);
    }
}

#[test]
fn music_an_announcement_and_the_answered_call_are_one_packet_every_20_ms() {
    for payload in [PCMU, G722, OPUS, L16] {
        let mut room = room(&[(payload, 8000); 2]);
        room.legs[1].phase = 13;
        room.hear(0, Hear::Music);
        room.run(107);
        room.announce(0, FIRST);
        room.run(400);
        room.announce(0, SECOND);
        room.run(33);
        room.hear(0, Hear::Stream(StreamId(1)));
        room.run(500);
        let heard = &room.legs[0].heard;
        one_session(heard, payload.clock_rate / 50);
        // Every tick from 20 ms to 560, and the other leg's packets from 573 ms to 1033.
        assert_eq!(heard.len(), 28 + 24, "{:?}", payload.codec);
    }
}

#[test]
fn holding_again_and_again_makes_nobodys_delay_longer() {
    let mut room = room(&[(PCMU, 8000); 2]);
    room.legs[1].phase = 13;
    let mut n = 0;
    for _ in 0..40 {
        for hear in [Hear::Stream(StreamId(1)), Hear::Music] {
            room.hear(0, hear);
            room.run(203);
            n += 203;
        }
    }
    let heard = &room.legs[0].heard;
    one_session(heard, 160);
    let (first, last) = (heard[0].0, heard.last().unwrap().0);
    let said_ms = u64::from(last.timestamp.wrapping_sub(first.timestamp)) / 8;
    assert!(said_ms < n + 20, "{said_ms} ms in {n}");
    assert!(said_ms > n - 60, "{said_ms} ms in {n}");
}

#[test]
fn all_who_hear_the_same_of_a_sound_share_its_packets() {
    for payload in [PCMU, G722, OPUS, L16] {
        let mut room = room(&[(payload, 8000); 3]);
        (0..3).for_each(|leg| room.hear(leg, Hear::Music));
        room.run(310);
        room.announce(2, SECOND);
        room.run(500);
        let music = Arc::clone(&room.world.worker.music);
        let frame = |n| music.frame(payload.codec, n).unwrap();
        let payloads = |leg: &Leg| leg.heard.iter().map(|(_, it)| it.clone()).collect::<Vec<_>>();
        let heard: Vec<_> = room.legs.iter().map(payloads).collect();
        assert_eq!(heard[0], heard[1]);
        for (n, payload) in heard[0].iter().enumerate().skip(1) {
            assert_eq!(payload, frame(n), "{n}");
        }
        // Whoever was interrupted hears the shared packets again, but for the two seams.
        let shared = heard[2].iter().filter(|it| (0..50).any(|n| frame(n) == **it)).count();
        assert_eq!(shared, heard[2].len() - 1 - 5 - 1, "{:?}", payload.codec);
    }
}
