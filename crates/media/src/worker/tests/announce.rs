//! Sounds played once: in their order, instead of what is heard otherwise, and told when over.

use super::*;
use crate::sound::Sound;

const FIRST: SoundId = SoundId::Recording(0);
const SECOND: SoundId = SoundId::Recording(1);

/// A call, and sounds of 3 and 4 frames.
fn call() -> (World, Slot, Slot) {
    let (mut world, a, b) = World::call(&[PCMU, EVENTS], &[PCMU, EVENTS]);
    let mut sounds = Sounds::default();
    for (id, frames, level) in [(FIRST, 3, 500), (SECOND, 4, 5000)] {
        sounds.insert(id, Sound::from_pcm(&vec![level; 160 * frames], 8000));
    }
    world.worker.set_sounds(sounds);
    (world, a, b)
}

fn announce(world: &mut World, slot: Slot, sound: SoundId) {
    world.worker.announce(slot, sound, &mut world.wire);
}

fn over(world: &mut World) -> Vec<SoundId> {
    let events = std::mem::take(&mut world.wire.events).into_iter();
    let sound = |event| {
        let MediaEvent::Announced { stream: StreamId(1), sound } = event else { return None };
        Some(sound)
    };
    events.filter_map(sound).collect()
}

#[test]
fn announcements_follow_each_other_and_then_the_call_goes_on_in_one_session() {
    let (mut world, a, b) = call();
    let mut silence = packet(0, 1, 1);
    silence[HEADER_LEN..].fill(0xff);
    world.receive(a, Channel::Rtp, CUSTOMER, silence);
    let mut heard = world.heard(b);
    announce(&mut world, b, FIRST);
    announce(&mut world, b, SECOND);
    let mut told = Vec::new();
    for n in 2..12 {
        world.rtp(a, CUSTOMER, 0, n);
        world.tick(20);
        heard.extend(world.heard(b));
        told.extend(over(&mut world).into_iter().map(|sound| (n, sound)));
    }
    assert_eq!(told, [(4, FIRST), (8, SECOND)]);
    // The first and the last packet of each are its own: it begins and ends without a step.
    for (at, id, n) in [(2, FIRST, 1), (5, SECOND, 1), (6, SECOND, 2)] {
        let shared = world.worker.sounds.get(id).unwrap().frame(Codec::Pcmu, n).unwrap();
        assert_eq!(heard[at].1, shared, "{at}");
    }
    for (at, level) in [(1, 500), (4, 5000)] {
        let heard = pcm(&heard[at].1);
        assert!(heard[0].abs() < 20 && heard.is_sorted(), "{heard:?}");
        assert!((heard[159] - level).abs() < level / 16, "{heard:?}");
    }
    for at in [3, 7] {
        let heard = pcm(&heard[at].1);
        assert!(heard[159].abs() < 20 && heard.iter().rev().is_sorted(), "{heard:?}");
    }
    assert_eq!(heard[8].1[80..], [9; 80], "what is said after it: {:?}", heard[8].0);
    assert!(pcm(&heard[8].1)[0].abs() < 20, "it rises from nothing");
    assert_eq!(heard[9].1, vec![10; 160], "as it came");
    assert!(heard[1].0.marker && heard[8].0.marker, "each begins a talk spurt");
    assert_eq!(heard.len(), 11, "one packet every 20 ms");
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0.sequence.wrapping_sub(pair[0].0.sequence), 1);
        assert_eq!(pair[1].0.timestamp.wrapping_sub(pair[0].0.timestamp), 160);
        assert_eq!(pair[0].0.ssrc, pair[1].0.ssrc);
    }
}

/// The samples of a packet.
fn pcm(payload: &[u8]) -> Vec<i16> {
    payload.iter().map(|byte| crate::codec::g711::ulaw_to_linear(*byte)).collect()
}

#[test]
fn music_on_hold_waits_for_an_announcement() {
    let (mut world, _, b) = call();
    world.hear(b, Hear::Music, None);
    world.tick(40);
    announce(&mut world, b, SECOND);
    world.tick(140);
    let heard = world.heard(b);
    let loud = world.worker.sounds.get(SECOND).unwrap().frame(Codec::Pcmu, 0).unwrap();
    let is_loud: Vec<_> = heard.iter().map(|(_, payload)| payload == loud).collect();
    assert_eq!(is_loud.iter().filter(|loud| **loud).count(), 2, "{is_loud:?}");
    assert_eq!(is_loud.iter().position(|loud| *loud), Some(3), "behind its first packet");
    assert_eq!(heard.len(), 9, "one packet every 20 ms");
}

#[test]
fn what_cannot_be_played_is_over_at_once_and_who_cannot_hear_waits_no_longer() {
    let (mut world, _, b) = call();
    announce(&mut world, b, SoundId::Recording(7));
    assert_eq!(over(&mut world), [SoundId::Recording(7)]);
    world.configure(b, StreamConfig { send: false, ..config(AGENT, &[PCMU]) });
    announce(&mut world, b, FIRST);
    world.tick(60);
    assert_eq!(over(&mut world), [FIRST]);
    assert_eq!(world.heard(b), []);
    for _ in 0..20 {
        announce(&mut world, b, FIRST);
    }
    assert_eq!(over(&mut world).len(), 20 - crate::sound::ANNOUNCEMENTS_MAX, "refused");
    world.tick(60 * crate::sound::ANNOUNCEMENTS_MAX as u64);
    assert_eq!(over(&mut world).len(), crate::sound::ANNOUNCEMENTS_MAX, "waited and were played");
}

#[test]
fn an_announcement_can_be_cut_short() {
    let (mut world, a, b) = call();
    announce(&mut world, b, FIRST);
    announce(&mut world, b, SECOND);
    world.tick(20);
    world.worker.hush(b, &mut world.wire);
    assert_eq!(over(&mut world), [FIRST, SECOND]);
    world.heard(b);
    world.rtp(a, CUSTOMER, 0, 9);
    world.tick(20);
    let end = world.heard(b);
    assert_eq!(end.len(), 1, "it dies away, and nothing else is heard meanwhile");
    assert_eq!(pcm(&end[0].1)[80..], [0; 80]);
    world.rtp(a, CUSTOMER, 0, 10);
    assert_eq!(world.heard(b)[0].1[80..], [10; 80], "behind its rise");
    world.rtp(a, CUSTOMER, 0, 11);
    assert_eq!(world.heard(b)[0].1, vec![11; 160], "as it came");
    announce(&mut world, b, FIRST);
    world.close(b);
    world.tick(100);
    assert!(world.worker.players.is_empty());
}
