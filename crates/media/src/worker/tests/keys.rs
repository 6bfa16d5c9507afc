//! Keys: told once, and passed on in the form that the listener's leg has agreed on.

use super::*;
use crate::codec::{Decoder, Format, SAMPLES_MAX};
use crate::dtmf::{Digit, DtmfEvent, Signal, ToneDetector};

const G722: Payload = payload(Codec::G722, 4, 9, 8000);

fn digit(char: char) -> Digit {
    Digit::from_char(char).unwrap()
}

/// A key held for 100 ms, as RFC 4733 tells it; the end comes three times.
fn hold(world: &mut World, slot: Slot, from: &str, event: u8, first: u16) {
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
            ssrc: 1,
        };
        let mut datagram = vec![0; HEADER_LEN];
        write_header(&mut datagram, &header);
        datagram.extend([event, end | 10, high, low]);
        world.receive(slot, Channel::Rtp, from, datagram);
        world.tick(20);
    }
}

/// The keys the core was told of.
fn told(world: &World) -> Vec<(StreamId, char, u32)> {
    let key = |event: &MediaEvent| {
        let MediaEvent::Dtmf { stream, event } = event else { return None };
        Some((*stream, event.digit.to_char(), event.duration_ms))
    };
    world.wire.events.iter().filter_map(key).collect()
}

/// Keys in what was sent, found by a detector.
fn tones(payload: Payload, packets: &[(Header, Vec<u8>)]) -> String {
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
