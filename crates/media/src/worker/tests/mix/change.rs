//! Paths that change while people talk: one RTP session, and no click.

use super::*;

/// −50 dB of full scale.
pub(super) const STEP: f64 = 103.0;

/// Whatever a leg hears, one after the other; each for 200 ms at an odd time.
fn changes(room: &mut Room, leg: usize, plan: &[Hear]) {
    for (n, hear) in plan.iter().enumerate() {
        room.hear(leg, *hear);
        room.run(200 + 7 * n as u64);
    }
}

/// The tones that a leg hears, for [`clicks`].
pub(super) fn largest_click(pcm: &[i16], hertz: &[f64], rate: u32) -> f64 {
    clicks(pcm, hertz, rate).into_iter().map(f64::abs).fold(0.0, f64::max)
}

#[test]
fn from_one_voice_to_several_and_back_nothing_is_heard_but_the_voices() {
    for phase in [1, 6, 11, 16, 19] {
        let mut room = Room::new(&[(L16, 8000); 3]);
        room.legs[1].phase = phase;
        room.hear(0, Hear::Stream(StreamId(1)));
        room.run(300);
        drop(room.legs[0].listen());
        let both = mix(&[1, 2]);
        let one = Hear::Stream(StreamId(1));
        changes(&mut room, 0, &[both, one, both, mix(&[1]), one, both, one]);
        let heard = room.legs[0].heard.clone();
        one_session(&heard, 160);
        let markers = heard.iter().filter(|(header, _)| header.marker).count();
        assert_eq!(markers, 6, "{phase}: one for each change of the path");
        let hertz = [room.legs[1].hertz, room.legs[2].hertz];
        let pcm = room.legs[0].listen();
        let click = largest_click(&pcm, &hertz, 8000);
        assert!(click < STEP, "{phase}: {click}");
        assert!(pcm.len() as u64 >= 8 * (room.ms - 300 - 40), "{phase}: {} samples", pcm.len());
    }
}

#[test]
fn who_joins_or_leaves_is_no_step_for_anybody() {
    for (payload, rate) in [(L16, 8000), (WIDE_L16, 16_000)] {
        let mut room = Room::new(&[(payload, rate); 4]);
        room.conference(&[0, 1, 2]);
        room.run(500);
        drop(room.legs[0].listen());
        for legs in [&[0, 1, 2, 3][..], &[0, 1, 2], &[0, 1], &[0, 1, 2, 3]] {
            room.conference(legs);
            room.run(313);
        }
        let hertz: Vec<_> = room.legs.iter().skip(1).map(|leg| leg.hertz).collect();
        let heard = room.legs[0].heard.clone();
        one_session(&heard, rate / 50);
        assert_eq!(heard.iter().filter(|(header, _)| header.marker).count(), 0);
        let click = largest_click(&room.legs[0].listen(), &hertz, rate);
        assert!(click < STEP, "{payload:?}: {click}");
    }
}

#[test]
fn a_leg_that_hangs_up_is_faded_out() {
    let mut room = Room::new(&[(L16, 8000); 3]);
    room.conference(&[0, 1, 2]);
    room.run(507);
    drop(room.legs[0].listen());
    let hertz = [room.legs[1].hertz, room.legs[2].hertz];
    room.world.close(room.legs[2].slot);
    room.legs.pop();
    room.run(300);
    let click = largest_click(&room.legs[0].listen(), &hertz, 8000);
    assert!(click < STEP, "{click}");
}

#[test]
fn a_wider_voice_makes_the_mix_wider_without_a_click() {
    let mut room = Room::new(&[(L16, 8000), (WIDE_L16, 16_000), (L16, 8000)]);
    room.conference(&[0, 1, 2]);
    room.run(500);
    drop(room.legs[0].listen());
    drop(room.legs[1].listen());
    let late = room.join(WIDE_L16, 16_000);
    // Above what a narrow mix has.
    room.legs[late].hertz = 5000.0;
    room.conference(&[0, 1, 2, 3]);
    room.run(500);
    let hertz = [room.legs[1].hertz, room.legs[2].hertz];
    let click = largest_click(&room.legs[0].listen(), &hertz, 8000);
    assert!(click < STEP, "{click}");
    let wide = room.legs[1].listen();
    let tone = level(&wide[wide.len() / 2..], 5000.0, 16_000);
    assert!(db(tone / 1000.0).abs() < 0.3, "{tone}");
}

#[test]
fn every_change_of_what_is_heard_keeps_the_session() {
    for payload in [PCMU, G722, OPUS, L16] {
        let rate = Format::of(&payload).unwrap().sample_rate;
        let mut room = Room::new(&[(payload, rate); 3]);
        let (one, both) = (Hear::Stream(StreamId(1)), mix(&[1, 2]));
        let tone = Hear::Tone(CallTone::Busy);
        changes(
            &mut room,
            0,
            &[
                one,
                both,
                Hear::Music,
                both,
                Hear::Silence,
                both,
                tone,
                both,
                Hear::Nothing,
                both,
                one,
                Hear::Music,
            ],
        );
        let heard = &room.legs[0].heard;
        assert!(heard.len() > 100, "{}", heard.len());
        let frame = payload.clock_rate / 50;
        for pair in heard.windows(2) {
            let (before, after) = (pair[0].0, pair[1].0);
            assert_eq!(after.ssrc, before.ssrc);
            assert_eq!(after.sequence.wrapping_sub(before.sequence), 1);
            let step = after.timestamp.wrapping_sub(before.timestamp);
            // While nothing is sent time passes.
            assert!(step == frame || (after.marker && step < 16 * frame), "{payload:?}: {step}");
        }
    }
}

#[test]
fn keys_in_a_conference_are_told_once_and_pressed_for_each_listener_in_its_form() {
    let mut world = World::new();
    let with_events = [PCMU, EVENTS];
    let slots: Vec<_> = [&with_events[..], &with_events, &[PCMU]]
        .iter()
        .enumerate()
        .map(|(n, payloads)| {
            world.open(n as u64, config(&format!("192.0.2.{}:4000", n + 1), payloads))
        })
        .collect();
    for (n, slot) in slots.iter().enumerate() {
        world.hear(*slot, others(&[0, 1, 2], n), None);
    }
    for n in 0..10 {
        world.rtp(slots[0], "192.0.2.1:4000", 0, n);
        world.tick(20);
    }
    world.wire.sent.clear();
    keys::hold(&mut world, slots[0], "192.0.2.1:4000", 5, 10);
    world.tick(400);
    assert_eq!(keys::told(&world), [(StreamId(0), '5', 100)]);
    let sent = world.wire.sent.clone();
    let mut heard = |slot| {
        world.wire.sent = sent.clone();
        world.heard(slot)
    };
    let events: Vec<_> = heard(slots[1])
        .into_iter()
        .filter(|(header, _)| header.payload_type == EVENTS.send)
        .collect();
    let is_five = events.iter().all(|(_, payload)| payload[0] == 5);
    assert!(!events.is_empty() && is_five, "{events:?}");
    assert_eq!(events.iter().filter(|(header, _)| header.marker).count(), 1, "one press");
    let tones = keys::tones(PCMU, &heard(slots[2]));
    assert_eq!(tones, "5");
    let own = heard(slots[0]);
    assert!(own.iter().all(|(header, _)| header.payload_type == 0), "nobody presses their own");
    assert_eq!(keys::tones(PCMU, &own), "");
}

#[test]
fn a_stream_takes_its_session_to_another_worker() {
    let mut room = Room::new(&[(L16, 8000); 3]);
    room.conference(&[0, 1, 2]);
    room.run(500);
    let before = room.legs[2].heard.last().unwrap().0;
    let traveller = room.world.worker.depart(room.legs[2].slot).unwrap();
    assert!(room.world.worker.depart(room.legs[2].slot).is_none());
    // The other worker has another stream in that slot already.
    let mut there = Room::new(&[(L16, 8000); 2]);
    there.world.now = room.world.now;
    let slot = there.world.worker.arrive(traveller, BRIDGE);
    assert_ne!(slot, there.legs[0].slot);
    let mut moved = room.legs.remove(2);
    moved.slot = slot;
    moved.heard.clear();
    there.legs.push(moved);
    there.world.hear(slot, mix(&[1]), None);
    there.run(100);
    let moved = &there.legs[2];
    let after = moved.heard[0].0;
    assert_eq!((after.ssrc, after.sequence), (before.ssrc, before.sequence.wrapping_add(1)));
    assert!(after.timestamp.wrapping_sub(before.timestamp) <= 480);
    one_session(&moved.heard, 160);
    // Those who stay go on.
    room.run(100);
    let left: Vec<_> = room.legs.iter_mut().map(Leg::listen).collect();
    assert!(left.iter().all(|pcm| !pcm.is_empty()));
}
