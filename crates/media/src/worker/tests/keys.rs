//! Keys: told once, and passed on in the form that the listener's leg has agreed on.

use super::*;
use crate::codec::{Decoder, Encoder, Format, OpusSettings, SAMPLES_MAX};
use crate::command::KeyForm;
use crate::dtmf::{Digit, DtmfEvent, Form, Signal, ToneDetector, ToneGenerator};

const G722: Payload = payload(Codec::G722, 4, 9, 8000);

fn digit(char: char) -> Digit {
    Digit::from_char(char).unwrap()
}

/// A key held for 100 ms, as RFC 4733 tells it; the end comes three times.
pub(super) fn hold(world: &mut World, slot: Slot, from: &str, event: u8, first: u16) {
    hold_at(world, (slot, from), event, first, -10);
}

/// The same at a level, dBm0.
fn hold_at(world: &mut World, (slot, from): (Slot, &str), event: u8, first: u16, volume_dbm0: i8) {
    hold_by(world, (slot, from, 1), event, first, volume_dbm0);
}

/// The same by a sender with this SSRC.
fn hold_by(
    world: &mut World,
    (slot, from, ssrc): (Slot, &str, u32),
    event: u8,
    first: u16,
    volume_dbm0: i8,
) {
    let volume = volume_dbm0.unsigned_abs();
    let start = u32::from(first) * 160;
    for n in 0..7u16 {
        let duration = 160 * (n + 1).min(5);
        let end = if n >= 4 { 0x80 } else { 0 };
        let [high, low] = duration.to_be_bytes();
        let header = Header {
            marker: n == 0,
            payload_type: EVENTS.receive,
            sequence: first + n,
            timestamp: start,
            ssrc,
        };
        let mut datagram = vec![0; HEADER_LEN];
        write_header(&mut datagram, &header);
        datagram.extend([event, end | volume, high, low]);
        world.receive(slot, Channel::Rtp, from, datagram);
        world.tick(20);
    }
}

/// The keys the core was told of.
pub(super) fn told(world: &World) -> Vec<(StreamId, char, u32)> {
    let key = |event: &MediaEvent| {
        let MediaEvent::Dtmf { stream, event, .. } = event else { return None };
        Some((*stream, event.digit.to_char(), event.duration_ms))
    };
    world.wire.events.iter().filter_map(key).collect()
}

/// Keys in what was sent, found by a detector.
pub(super) fn tones(payload: Payload, packets: &[(Header, Vec<u8>)]) -> String {
    let format = Format::of(&payload).unwrap();
    let mut decoder = Decoder::new(&format).unwrap();
    let mut detector = ToneDetector::new(format.sample_rate).unwrap();
    let mut found = String::new();
    let mut hear = |pcm: &[i16]| {
        detector.hear(pcm, |signal| {
            if let Signal::Start { digit, .. } = signal {
                found.push(digit.to_char());
            }
        });
    };
    for (_, bytes) in packets.iter().filter(|(header, _)| header.payload_type == payload.send) {
        let mut pcm = [0; SAMPLES_MAX];
        let len = decoder.decode(bytes, &mut pcm).unwrap();
        hear(&pcm[..len]);
    }
    hear(&[0; 4000]);
    found
}

#[test]
fn a_key_is_told_once_however_often_its_end_comes() {
    let (mut world, a, b) = World::call(&[PCMU, EVENTS], &[PCMU, EVENTS]);
    hold(&mut world, a, CUSTOMER, 5, 10);
    assert_eq!(told(&world), [(StreamId(0), '5', 100)]);
    assert_eq!(world.heard(b).len(), 7, "and passed on as it came");
}

#[test]
fn an_end_that_was_lost_comes_by_the_clock() {
    let (mut world, a, _) = World::call(&[PCMU, EVENTS], &[PCMU, EVENTS]);
    let mut datagram = packet(EVENTS.receive, 10, 1)[..HEADER_LEN].to_vec();
    datagram.extend([11, 10, 0, 160]);
    world.receive(a, Channel::Rtp, CUSTOMER, datagram);
    world.tick(100);
    assert_eq!(told(&world), []);
    world.tick(200);
    assert_eq!(told(&world), [(StreamId(0), '#', 20)]);
}

#[test]
fn keys_of_another_sender_are_no_late_ones_of_the_one_before() {
    // Timestamps from 64000, then with another SSRC from 8000.
    for agent in [&[PCMU, EVENTS][..], &[PCMU]] {
        let (mut world, a, b) = World::call(&[PCMU, EVENTS], agent);
        for (ssrc, event, first) in [(1, 5, 400), (2, 5, 50), (2, 6, 100)] {
            hold_by(&mut world, (a, CUSTOMER, ssrc), event, first, -10);
            world.tick(400);
        }
        let keys: Vec<_> = told(&world).into_iter().map(|(_, key, ms)| (key, ms)).collect();
        assert_eq!(keys, [('5', 100), ('5', 100), ('6', 100)]);
        let heard = world.heard(b);
        match agent {
            [_, _] => assert_eq!(events(&heard), [(5, 100), (5, 100), (6, 100)]),
            _ => assert_eq!(tones(PCMU, &heard), "556"),
        }
    }
}

#[test]
fn a_key_that_was_down_ends_with_its_sender() {
    let (mut world, a, _) = World::call(&[PCMU, EVENTS], &[PCMU]);
    let mut datagram = packet(EVENTS.receive, 400, 1)[..HEADER_LEN].to_vec();
    datagram.extend([9, 10, 0, 160]);
    world.receive(a, Channel::Rtp, CUSTOMER, datagram);
    hold_by(&mut world, (a, CUSTOMER, 2), 5, 50, -10);
    assert_eq!(told(&world), [(StreamId(0), '9', 20), (StreamId(0), '5', 100)]);
}

#[test]
fn events_under_an_ssrc_of_their_own_are_one_key_among_the_audio() {
    let (mut world, a, _) = World::call(&[PCMU, EVENTS], &[PCMU]);
    for n in 0..7u16 {
        world.rtp(a, CUSTOMER, PCMU.receive, n);
        let header = Header {
            marker: n == 0,
            payload_type: EVENTS.receive,
            sequence: 500 + n,
            timestamp: 800,
            ssrc: 2,
        };
        let mut datagram = vec![0; HEADER_LEN];
        write_header(&mut datagram, &header);
        datagram.extend([5, if n < 4 { 10 } else { 0x8a }, 3, 32]);
        world.receive(a, Channel::Rtp, CUSTOMER, datagram);
        world.tick(20);
    }
    assert_eq!(told(&world), [(StreamId(0), '5', 100)]);
}

#[test]
fn a_flood_of_events_is_bounded() {
    // ATTACKS 21
    let (mut world, a, _) = World::call(&[PCMU, EVENTS], &[PCMU, EVENTS]);
    for n in 0..5000u16 {
        let mut datagram = packet(EVENTS.receive, n, 1)[..HEADER_LEN].to_vec();
        datagram.extend([(n % 16) as u8, 0x8a, 0, 160]);
        world.receive(a, Channel::Rtp, CUSTOMER, datagram);
    }
    assert!(told(&world).len() <= 20, "{}", told(&world).len());
}

#[test]
fn a_listener_without_events_hears_tones() {
    for listener in [PCMU, PCMA, G722] {
        let (mut world, a, b) = World::call(&[PCMU, EVENTS], &[listener]);
        for (n, event) in [1, 0, 10, 5].into_iter().enumerate() {
            hold(&mut world, a, CUSTOMER, event, 100 + 40 * n as u16);
            world.tick(400);
        }
        let heard = world.heard(b);
        assert_eq!(tones(listener, &heard), "10*5", "{listener:?}");
        for pair in heard.windows(2) {
            assert_eq!(pair[1].0.sequence.wrapping_sub(pair[0].0.sequence), 1);
        }
    }
}

#[test]
fn the_core_presses_keys_in_the_form_agreed_on() {
    let event = DtmfEvent { duration_ms: 100, ..DtmfEvent::new(digit('7')) };
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU, EVENTS]);
    world.rtp(a, CUSTOMER, 0, 1);
    let before = world.heard(b)[0].0;
    world.worker.press(b, event);
    world.worker.press(b, DtmfEvent { digit: digit('8'), ..event });
    let mut heard = Vec::new();
    for n in 2..30 {
        world.rtp(a, CUSTOMER, 0, n);
        world.tick(20);
        heard.extend(world.heard(b));
    }
    let events: Vec<_> = heard.iter().filter(|(h, _)| h.payload_type == EVENTS.send).collect();
    let ends: Vec<_> = events.iter().filter(|(_, p)| p[1] & 0x80 != 0).map(|(_, p)| p[0]).collect();
    assert_eq!(ends, [7, 7, 7, 8, 8, 8], "each end three times");
    let last = u16::from_be_bytes([events[0].1[2], events[0].1[3]]);
    assert_eq!(last, 160, "durations in units of the clock");
    assert_eq!(heard[0].0.sequence.wrapping_sub(before.sequence), 1);
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0.sequence.wrapping_sub(pair[0].0.sequence), 1);
    }
    assert_eq!(heard.last().unwrap().0.payload_type, PCMU.send, "then speech goes on");

    world.worker.press(a, event);
    world.tick(400);
    let heard = world.heard(a);
    assert_eq!(tones(PCMU, &heard), "7", "who has no events hears tones");
}

#[test]
fn what_was_pressed_while_a_peer_was_held_is_not_pressed_later() {
    let (mut world, _, b) = World::call(&[PCMU], &[PCMU, EVENTS]);
    world.configure(b, StreamConfig { send: false, ..config(AGENT, &[PCMU, EVENTS]) });
    world.worker.press(b, DtmfEvent::new(digit('7')));
    world.tick(400);
    world.configure(b, config(AGENT, &[PCMU, EVENTS]));
    world.worker.press(b, DtmfEvent { duration_ms: 100, ..DtmfEvent::new(digit('8')) });
    world.tick(400);
    assert_eq!(events(&world.heard(b)), [(8, 100)]);
}

/// Levels of the tones in what was sent, dBm0.
fn tone_levels(payload: Payload, packets: &[(Header, Vec<u8>)]) -> Vec<i8> {
    let format = Format::of(&payload).unwrap();
    let mut decoder = Decoder::new(&format).unwrap();
    let mut detector = ToneDetector::new(format.sample_rate).unwrap();
    let mut found = vec![];
    for (_, bytes) in packets.iter().filter(|(header, _)| header.payload_type == payload.send) {
        let mut pcm = [0; SAMPLES_MAX];
        let len = decoder.decode(bytes, &mut pcm).unwrap();
        detector.hear(&pcm[..len], |signal| {
            if let Signal::Start { volume_dbm0, .. } = signal {
                found.push(volume_dbm0);
            }
        });
    }
    found
}

#[test]
fn a_key_is_as_loud_as_it_was_told_for_who_hears_it_as_a_tone() {
    // From events of a level, in a call of two and in a conference; and from the API, by INFO.
    for volume_dbm0 in [-5, -10, -20, -27] {
        for listener in [PCMU, PCMA, G722] {
            for is_mix in [false, true] {
                let (mut world, a, b) = World::call(&[PCMU, EVENTS], &[listener]);
                if is_mix {
                    world.hear(b, Hear::Mix([StreamId(0)].into_iter().collect()), None);
                }
                hold_at(&mut world, (a, CUSTOMER), 5, 10, volume_dbm0);
                world.tick(400);
                let event = DtmfEvent { volume_dbm0, ..DtmfEvent::new(digit('7')) };
                world.worker.press(b, event);
                world.tick(400);
                let levels = tone_levels(listener, &world.heard(b));
                // G.722's own noise counts in a quiet tone.
                let slack = if listener == G722 { 2 } else { 1 };
                let is_right = |level: &i8| level.abs_diff(volume_dbm0) <= slack;
                assert_eq!(levels.len(), 2, "{listener:?}, in a mix {is_mix}: {levels:?}");
                assert!(levels.iter().all(is_right), "{volume_dbm0}, {listener:?}: {levels:?}");
            }
        }
    }
}

#[test]
fn a_stream_that_is_closed_presses_nothing() {
    let (mut world, a, b) = World::call(&[PCMU, EVENTS], &[PCMU]);
    hold(&mut world, a, CUSTOMER, 5, 10);
    world.worker.press(b, DtmfEvent::new(digit('1')));
    world.close(b);
    world.close(a);
    world.wire.sent.clear();
    world.tick(1000);
    assert!(world.wire.sent.is_empty());
    assert!(world.worker.pressing.is_empty() && world.worker.dialling.is_empty());
}

/// How keys go from a customer without events to an agent.
fn in_band(agent: &[Payload], form: KeyForm) -> (World, Slot, Slot) {
    let (mut world, a, b) = World::call(&[PCMU], agent);
    let keys = Keys { in_band: true, ..Keys::default() };
    world.configure(a, StreamConfig { keys, ..config(CUSTOMER, &[PCMU]) });
    let keys = Keys { form, ..Keys::default() };
    world.configure(b, StreamConfig { keys, ..config(AGENT, agent) });
    (world, a, b)
}

/// The customer presses keys, each 120 ms and a pause of as much, by its tones; what the agent gets.
fn sound(world: &mut World, (a, b): (Slot, Slot), keys: &str) -> Vec<(Header, Vec<u8>)> {
    let mut tones = ToneGenerator::new(8000);
    let press =
        |char| DtmfEvent { duration_ms: 120, volume_dbm0: -8, ..DtmfEvent::new(digit(char)) };
    for key in keys.chars() {
        assert!(tones.press(press(key)));
    }
    let format = Format::of(&PCMU).unwrap();
    let mut encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
    let mut heard = Vec::new();
    for n in 0..20 + 15 * keys.len() as u16 {
        let mut pcm = [0; 160];
        if n >= 5 {
            tones.fill(&mut pcm);
        }
        let mut datagram = packet(0, n, 1);
        encoder.encode(&pcm, &mut datagram[HEADER_LEN..]).unwrap();
        world.receive(a, Channel::Rtp, CUSTOMER, datagram);
        world.tick(20);
        heard.extend(world.heard(b));
    }
    heard
}

fn forms(world: &World) -> Vec<Form> {
    let form = |event: &MediaEvent| {
        if let MediaEvent::Dtmf { form, .. } = event { Some(*form) } else { None }
    };
    world.wire.events.iter().filter_map(form).collect()
}

#[test]
fn tones_become_events_of_their_length_and_level_and_are_cut_off() {
    let (mut world, a, b) = in_band(&[PCMU, EVENTS], KeyForm::Agreed);
    let heard = sound(&mut world, (a, b), "10*5");
    let keys: Vec<_> = told(&world).into_iter().map(|(_, key, _)| key).collect();
    assert_eq!(keys, ['1', '0', '*', '5']);
    assert_eq!(forms(&world), [Form::InBand; 4]);
    let ends = heard
        .iter()
        .filter(|(header, bytes)| header.payload_type == EVENTS.send && bytes[1] & 0x80 != 0);
    let ends: Vec<_> = ends.map(|(_, bytes)| bytes).collect();
    assert_eq!(
        ends.iter().map(|end| end[0]).collect::<Vec<_>>(),
        [1, 1, 1, 0, 0, 0, 10, 10, 10, 5, 5, 5]
    );
    for end in ends {
        let ms = u16::from_be_bytes([end[2], end[3]]) / 8;
        assert!((100..=140).contains(&ms), "{ms} ms");
        assert!((7..=9).contains(&(end[1] & 63)), "-{} dBm0", end[1] & 63);
    }
    assert_eq!(tones(PCMU, &heard), "", "what is left of them is too short to be a key");
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0.sequence.wrapping_sub(pair[0].0.sequence), 1);
    }
}

#[test]
fn who_has_no_events_hears_the_tones_as_they_are() {
    let (mut world, a, b) = in_band(&[PCMU], KeyForm::Agreed);
    let heard = sound(&mut world, (a, b), "73");
    assert_eq!(tones(PCMU, &heard), "73", "once each");
    assert_eq!(told(&world).len(), 2);
    assert!(world.worker.dialling.is_empty());
}

#[test]
fn who_is_told_by_its_signalling_hears_nothing_of_the_keys() {
    let (mut world, a, b) = in_band(&[PCMU], KeyForm::Signalled);
    let heard = sound(&mut world, (a, b), "73");
    assert_eq!((told(&world).len(), tones(PCMU, &heard)), (2, String::new()));
    let (mut world, a, b) = World::call(&[PCMU, EVENTS], &[PCMU]);
    let keys = Keys { form: KeyForm::Signalled, ..Keys::default() };
    world.configure(b, StreamConfig { keys, ..config(AGENT, &[PCMU]) });
    hold(&mut world, a, CUSTOMER, 5, 10);
    world.worker.press(b, DtmfEvent::new(digit('1')));
    world.tick(400);
    assert_eq!(told(&world), [(StreamId(0), '5', 100)]);
    assert_eq!(world.heard(b), []);
}

#[test]
fn a_tone_that_breaks_off_with_the_stream_is_one_key() {
    for retuned in [false, true] {
        let (mut world, a, b) = in_band(&[PCMU, EVENTS], KeyForm::Agreed);
        let format = Format::of(&PCMU).unwrap();
        let mut encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
        let mut tones = ToneGenerator::new(8000);
        tones.press(DtmfEvent { duration_ms: 2000, ..DtmfEvent::new(digit('9')) });
        for n in 0..10 {
            let (mut pcm, mut datagram) = ([0; 160], packet(0, n, 1));
            tones.fill(&mut pcm);
            encoder.encode(&pcm, &mut datagram[HEADER_LEN..]).unwrap();
            world.receive(a, Channel::Rtp, CUSTOMER, datagram);
            world.tick(20);
        }
        assert_eq!(told(&world), []);
        if retuned {
            world.configure(a, config(CUSTOMER, &[PCMU, PCMA]));
        }
        world.tick(1000);
        let [(_, '9', ms)] = told(&world)[..] else { panic!("{:?}", told(&world)) };
        assert!((140..=220).contains(&ms), "{ms}");
        let heard = world.heard(b);
        let ends = heard
            .iter()
            .filter(|(header, bytes)| header.payload_type == EVENTS.send && bytes[1] & 0x80 != 0);
        assert_eq!(ends.count(), 3);
        assert!(world.worker.sounding.is_empty() && world.worker.dialling.is_empty());
    }
}

#[test]
fn tones_are_only_sound_where_they_are_not_to_be_keys() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU, EVENTS]);
    let heard = sound(&mut world, (a, b), "12");
    assert_eq!((told(&world), tones(PCMU, &heard)), (vec![], "12".to_owned()));
}

#[test]
fn events_or_nothing_where_the_leg_wants_it_so() {
    let (mut world, a, b) = World::call(&[PCMU, EVENTS], &[PCMU]);
    let keys = Keys { form: KeyForm::Events, ..Keys::default() };
    world.configure(b, StreamConfig { keys, ..config(AGENT, &[PCMU]) });
    hold(&mut world, a, CUSTOMER, 5, 10);
    world.tick(400);
    assert_eq!(world.heard(b), []);
}

/// The peer of A is one whose `*` is for the core.
fn with_codes(agent: &[Payload]) -> (World, Slot, Slot) {
    let (mut world, a, b) = World::call(&[PCMU, EVENTS], agent);
    let keys = Keys { kept: [digit('*')].into_iter().collect(), ..Keys::default() };
    world.configure(a, StreamConfig { keys, ..config(CUSTOMER, &[PCMU, EVENTS]) });
    (world, a, b)
}

const STAR: u8 = 10;

/// Whether nobody but the core got each of the keys.
fn kept(world: &World) -> Vec<(char, bool)> {
    let key = |event: &MediaEvent| {
        let MediaEvent::Dtmf { event, kept, .. } = event else { return None };
        Some((event.digit.to_char(), *kept))
    };
    world.wire.events.iter().filter_map(key).collect()
}

/// The keys in what was sent as events, each with its duration in milliseconds.
fn events(heard: &[(Header, Vec<u8>)]) -> Vec<(u8, u16)> {
    let mut found = Vec::new();
    for (header, bytes) in heard.iter().filter(|it| it.0.payload_type == EVENTS.send) {
        let key = (header.timestamp, bytes[0], u16::from_be_bytes([bytes[2], bytes[3]]) / 8);
        if bytes[1] & 0x80 != 0 && !found.contains(&key) {
            found.push(key);
        }
    }
    found.into_iter().map(|(_, key, ms)| (key, ms)).collect()
}

#[test]
fn from_a_key_that_is_kept_nobody_hears_any_until_they_pass_again() {
    for agent in [&[PCMU, EVENTS][..], &[PCMU]] {
        let (mut world, a, b) = with_codes(agent);
        hold(&mut world, a, CUSTOMER, 5, 10);
        world.tick(400);
        assert!(!world.heard(b).is_empty(), "another key is heard at once");
        hold(&mut world, a, CUSTOMER, STAR, 40);
        hold(&mut world, a, CUSTOMER, 2, 60);
        world.tick(400);
        assert_eq!(world.heard(b), []);
        world.worker.pass_keys(a);
        // The end of the last key comes once more.
        let mut late = packet(EVENTS.receive, 67, 1)[..HEADER_LEN].to_vec();
        late[4..8].copy_from_slice(&(60u32 * 160).to_be_bytes());
        late.extend([2, 0x80 | 10, 3, 32]);
        world.receive(a, Channel::Rtp, CUSTOMER, late);
        world.tick(400);
        assert_eq!(world.heard(b), [], "it was kept and stays so");
        hold(&mut world, a, CUSTOMER, 3, 80);
        world.tick(400);
        assert!(!world.heard(b).is_empty());
        assert_eq!(kept(&world), [('5', false), ('*', true), ('2', true), ('3', false)]);
    }
}

#[test]
fn what_was_kept_of_a_sender_keeps_nothing_of_the_next() {
    let (mut world, a, b) = with_codes(&[PCMU, EVENTS]);
    hold(&mut world, a, CUSTOMER, STAR, 400);
    world.worker.pass_keys(a);
    hold_by(&mut world, (a, CUSTOMER, 2), 5, 350, -10);
    assert_eq!(events(&world.heard(b)), [(5, 100)]);
    assert_eq!(kept(&world), [('*', true), ('5', false)]);
}

#[test]
fn a_key_that_is_down_when_they_pass_again_is_kept_to_its_end() {
    let (mut world, a, b) = with_codes(&[PCMU, EVENTS]);
    hold(&mut world, a, CUSTOMER, STAR, 10);
    let mut first = packet(EVENTS.receive, 30, 1)[..HEADER_LEN].to_vec();
    first.extend([2, 10, 0, 160]);
    world.receive(a, Channel::Rtp, CUSTOMER, first);
    world.worker.pass_keys(a);
    world.tick(400); // its end is lost
    assert_eq!((kept(&world), world.heard(b)), (vec![('*', true), ('2', true)], vec![]));
}

#[test]
fn keys_that_were_kept_come_before_those_that_follow_and_none_is_lost() {
    let (mut world, a, b) = with_codes(&[PCMU, EVENTS]);
    hold(&mut world, a, CUSTOMER, STAR, 10);
    for key in ['*', '9'] {
        world.worker.press(b, DtmfEvent { duration_ms: 300, ..DtmfEvent::new(digit(key)) });
    }
    world.worker.pass_keys(a);
    hold(&mut world, a, CUSTOMER, 7, 30); // while they are being pressed
    hold(&mut world, a, CUSTOMER, 8, 50);
    world.tick(1000);
    hold(&mut world, a, CUSTOMER, 6, 130);
    let heard = events(&world.heard(b));
    assert_eq!(heard, [(STAR, 300), (9, 300), (7, 100), (8, 100), (6, 100)]);
    assert!(world.worker.dialling.is_empty());
}

#[test]
fn of_a_tone_that_is_kept_too_little_is_heard_to_be_a_key() {
    let (mut world, a, b) = in_band(&[PCMU], KeyForm::Agreed);
    let kept_keys = [digit('*')].into_iter().collect();
    let keys = Keys { in_band: true, kept: kept_keys, ..Keys::default() };
    world.configure(a, StreamConfig { keys, ..config(CUSTOMER, &[PCMU]) });
    let heard = sound(&mut world, (a, b), "7*23");
    assert_eq!(tones(PCMU, &heard), "7");
    assert_eq!(kept(&world), [('7', false), ('*', true), ('2', true), ('3', true)]);
}
