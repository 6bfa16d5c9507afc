//! Named events, there and back.

use std::time::Duration;

use base::{Rng, Time};
use proptest::prelude::*;

use super::receive::SEGMENT_MAX;
use super::*;

const PTIME_MS: u64 = 20;

fn ms(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

fn digit(char: char) -> Digit {
    Digit::from_char(char).unwrap()
}

/// A packet: event, end bit, duration.
fn payload(code: u8, end: bool, duration: u16) -> [u8; 4] {
    let [high, low] = duration.to_be_bytes();
    [code, 10 | if end { 0x80 } else { 0 }, high, low]
}

/// What the packets of `presses` are, each with the time it is sent.
fn packets(presses: &[DtmfEvent], clock_rate: u32, first: u32) -> Vec<(u64, EventPacket)> {
    let mut sender = EventSender::new(clock_rate);
    presses.iter().for_each(|press| assert!(sender.press(*press)));
    let ptime = clock_rate / 50;
    let mut packets = Vec::new();
    let mut n = 0;
    while !sender.is_idle() {
        let now = first.wrapping_add(n as u32 * ptime);
        packets.extend(sender.poll(now, ptime).map(|packet| (n * PTIME_MS, packet)));
        n += 1;
        assert!(n < 100_000, "it ends");
    }
    packets
}

/// What the receiver makes of them, its ticks between them.
fn received(packets: &[(u64, EventPacket)], clock_rate: u32) -> Vec<Signal> {
    let mut receiver = EventReceiver::new(clock_rate);
    let mut signals = Vec::new();
    let mut now = 0;
    for (at, packet) in packets {
        while now + PTIME_MS <= *at {
            now += PTIME_MS;
            signals.extend(receiver.tick(ms(now)));
        }
        let EventPacket { timestamp, marker, payload } = *packet;
        signals.extend(receiver.packet(ms(*at), timestamp, marker, &payload));
    }
    signals.extend(receiver.tick(ms(now + 1000)));
    assert_eq!(receiver.pressed(), None);
    signals
}

/// Every press that was told, whole.
fn presses(signals: &[Signal]) -> Vec<DtmfEvent> {
    let mut down = None;
    let mut presses = Vec::new();
    for signal in signals {
        match *signal {
            Signal::Start { digit, .. } => {
                assert_eq!(down.replace(digit), None, "one key at a time");
            }
            Signal::End(event) => {
                assert_eq!(down.take(), Some(event.digit));
                presses.push(event);
            }
            Signal::Press(event) => presses.push(event),
        }
    }
    assert_eq!(down, None, "every press ends");
    presses
}

fn events(chars: &str) -> Vec<DtmfEvent> {
    chars.chars().map(|char| DtmfEvent::new(digit(char))).collect()
}

#[test]
fn a_press_on_the_wire_is_what_the_rfc_says() {
    let event = DtmfEvent { digit: digit('#'), duration_ms: 70, volume_dbm0: -7 };
    let packets = packets(&[event], 8000, 1000);
    let bytes: Vec<_> = packets.iter().map(|(_, packet)| packet.payload).collect();
    let last = [11, 0x87, 0x02, 0x30];
    assert_eq!(
        bytes,
        [[11, 7, 0, 160], [11, 7, 1, 64], [11, 7, 1, 224], last, last, last],
        "updates of 20 ms, then its 560 units three times"
    );
    let markers: Vec<_> = packets.iter().map(|(_, packet)| packet.marker).collect();
    assert_eq!(markers, [true, false, false, false, false, false]);
    assert!(packets.iter().all(|(_, packet)| packet.timestamp == 1000));
}

#[test]
fn presses_that_wait_follow_after_a_pause() {
    let packets = packets(&events("12"), 8000, 0);
    let starts: Vec<_> = packets.iter().filter(|(_, packet)| packet.marker).collect();
    let [(_, first), (_, second)] = starts[..] else { panic!("{starts:?}") };
    let pause = second.timestamp - first.timestamp - 1280;
    assert!((320..=480).contains(&pause), "{pause}");
}

#[test]
fn all_keys_survive_the_wire_at_every_clock() {
    for clock_rate in [8000, 16_000, 48_000] {
        for (ptime, first) in [(0, 0), (1, u32::MAX - 5000)] {
            let sent = events("0123456789*#ABCD!");
            let got = presses(&received(&packets(&sent, clock_rate, first), clock_rate));
            assert_eq!(got, sent, "{clock_rate} {ptime}");
        }
    }
}

#[test]
fn a_live_press_lasts_as_long_as_the_key_is_down() {
    let mut sender = EventSender::new(8000);
    assert!(sender.start(digit('4'), -12));
    let mut packets: Vec<_> =
        (0..10).map(|n| (n * PTIME_MS, sender.poll(n as u32 * 160, 160).unwrap())).collect();
    // It ends with what has been told: 200 ms, although its source says less.
    sender.stop(150);
    packets.extend((10..13).filter_map(|n| Some((n * 20, sender.poll(n as u32 * 160, 160)?))));
    let got = presses(&received(&packets, 8000));
    assert_eq!(got, [DtmfEvent { digit: digit('4'), duration_ms: 200, volume_dbm0: -12 }]);
    // And one whose end is told in good time lasts exactly as long.
    let mut sender = EventSender::new(8000);
    sender.start(digit('4'), -12);
    sender.poll(0, 160);
    sender.stop(150);
    let packets: Vec<_> =
        (1..12).filter_map(|n| Some((n * 20, sender.poll(n as u32 * 160, 160)?))).collect();
    assert_eq!(presses(&received(&packets, 8000))[0].duration_ms, 150);
}

#[test]
fn a_stuck_key_is_let_go() {
    let mut sender = EventSender::new(8000);
    sender.start(digit('1'), -10);
    let mut n = 0;
    while !sender.is_idle() {
        sender.poll(n * 160, 160);
        n += 1;
        assert!(n < 3100, "a minute at most");
    }
}

#[test]
fn clearing_ends_at_once() {
    let mut sender = EventSender::new(8000);
    events("123").into_iter().for_each(|event| assert!(sender.press(event)));
    sender.poll(0, 160);
    sender.clear();
    let left = (1..20).filter_map(|n| sender.poll(n * 160, 160)).collect::<Vec<_>>();
    assert_eq!(left.len(), 3, "40 ms, and its end twice more");
    assert!(sender.is_idle());
}

#[test]
fn long_events_are_told_in_segments() {
    for clock_rate in [8000, 48_000] {
        let long = DtmfEvent { duration_ms: 20_000, ..DtmfEvent::new(digit('9')) };
        let packets = packets(&[long], clock_rate, u32::MAX - 3);
        let mut stamps: Vec<_> = packets.iter().map(|(_, packet)| packet.timestamp).collect();
        stamps.dedup();
        assert!(stamps.len() as u32 > 20 * clock_rate / SEGMENT_MAX, "{stamps:?}");
        assert!(stamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == SEGMENT_MAX));
        let markers = packets.iter().filter(|(_, packet)| packet.marker).count();
        assert_eq!(markers, 1, "it is one event");
        assert_eq!(presses(&received(&packets, clock_rate)), [long]);
        // Without the packets at the seams it is still one.
        let thinned: Vec<_> = packets.iter().copied().skip(1).step_by(3).collect();
        let got = presses(&received(&thinned, clock_rate));
        assert_eq!(got.len(), 1, "{got:?}");
        assert!(got[0].duration_ms.abs_diff(20_000) < 60, "{got:?}");
    }
}

#[test]
fn an_event_whose_end_is_lost_ends_with_the_time_or_the_next_event() {
    let mut sent = packets(&events("55"), 8000, 0);
    sent.retain(|(_, packet)| packet.payload[1] & 0x80 == 0);
    let signals = received(&sent, 8000);
    let got = presses(&signals);
    assert_eq!(got.iter().map(|event| event.digit.to_char()).collect::<String>(), "55");
    assert!(got.iter().all(|event| event.duration_ms == 140), "as far as it was told: {got:?}");

    let mut receiver = EventReceiver::new(8000);
    let start = receiver.packet(ms(0), 7, true, &payload(5, false, 160));
    assert_eq!(start.into_iter().count(), 1);
    assert_eq!(receiver.pressed().unwrap().duration_ms, 20);
    assert_eq!(receiver.tick(ms(199)), None);
    let end = receiver.tick(ms(200));
    assert!(matches!(end, Some(Signal::End(event)) if event.duration_ms == 20));
    // What comes of it later is late.
    assert_eq!(receiver.packet(ms(300), 7, false, &payload(5, true, 800)), Signals::default());
}

#[test]
fn an_event_of_which_only_the_end_comes_counts() {
    let sent = packets(&events("7"), 8000, 0);
    let got = received(&sent[sent.len() - 1..], 8000);
    assert_eq!(got, [Signal::Press(DtmfEvent::new(digit('7')))]);
}

#[test]
fn several_events_in_a_packet_count_each() {
    let mut receiver = EventReceiver::new(8000);
    let bytes = [payload(1, false, 400), payload(2, false, 400), payload(3, false, 160)].concat();
    let signals: Vec<_> = receiver.packet(ms(0), 0, true, &bytes).into_iter().collect();
    let press = |char| Signal::Press(DtmfEvent { duration_ms: 50, ..DtmfEvent::new(digit(char)) });
    assert_eq!(signals[..2], [press('1'), press('2')]);
    assert!(matches!(signals[2..], [Signal::Start { digit, .. }] if digit.to_char() == '3'));
    // The same again, and the end of the last.
    let again = receiver.packet(ms(20), 0, false, &bytes);
    assert_eq!(again, Signals::default());
    let end = receiver.packet(ms(40), 800, false, &payload(3, true, 320));
    assert_eq!(end.into_iter().count(), 1);
}

#[test]
fn a_sender_that_moves_the_timestamp_presses_once() {
    let mut receiver = EventReceiver::new(8000);
    let mut signals = Vec::new();
    for n in 0..10u16 {
        let bytes = payload(5, n >= 7, 160 * (n.min(7) + 1));
        let at = ms(u64::from(n) * 20);
        signals.extend(receiver.packet(at, u32::from(n) * 160, n == 0, &bytes));
    }
    let got = presses(&signals);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].duration_ms, 160);
}

#[test]
fn a_sender_that_starts_its_clock_anew_is_heard() {
    let mut receiver = EventReceiver::new(8000);
    let mut count = |at, timestamp| {
        receiver.packet(ms(at), timestamp, true, &payload(5, true, 800)).into_iter().count()
    };
    assert_eq!(count(0, 4_000_000_000), 1);
    assert_eq!(count(500, 100), 1, "another time altogether");
    assert_eq!(count(900, 3_000_000_000), 1);
    receiver.reset();
    let after = receiver.packet(ms(1000), 3_000_000_000, true, &payload(5, true, 800));
    assert_eq!(after.into_iter().count(), 1, "another sender");
}

#[test]
fn a_flood_presses_no_faster_than_fingers() {
    let mut rng = Rng::new([7; 32]);
    let mut receiver = EventReceiver::new(8000);
    // The same event over and over, then as many different ones as fit the wire.
    let same: usize = (0..20_000)
        .map(|_| receiver.packet(ms(0), 9, false, &payload(3, true, 800)).into_iter().count())
        .sum();
    assert_eq!(same, 1);
    let mut told = 0;
    for n in 0..100_000u64 {
        let code = (rng.next_u64() % 20) as u8;
        let at = ms(n / 20);
        let timestamp = rng.next_u64() as u32;
        told += receiver.packet(at, timestamp, true, &payload(code, true, 800)).into_iter().count();
    }
    assert!(told <= 5000 / 80 + 16, "{told} in 5 s");
    assert!(receiver.refused() > 10_000);
}

#[test]
fn what_is_no_dtmf_tells_nothing() {
    let mut receiver = EventReceiver::new(8000);
    for bytes in [&[][..], &[5], &[5, 10, 0], &payload(17, false, 160), &payload(255, true, 160)] {
        assert_eq!(receiver.packet(ms(0), 0, true, bytes), Signals::default(), "{bytes:?}");
    }
    // A tail that is no event does not matter.
    let odd = [&payload(5, false, 160)[..], &[1, 2]].concat();
    assert_eq!(receiver.packet(ms(0), 0, true, &odd).into_iter().count(), 1);
}

proptest! {
    /// Whatever of the packets is lost, doubled or reordered a little: each press of which
    /// anything comes counts once, in its order.
    #[test]
    fn one_digit_per_event(
        codes in proptest::collection::vec(0u8..16, 1..8),
        fates in proptest::collection::vec((0u8..10, 0u64..30), 200),
        first in any::<u32>(),
    ) {
        let sent: Vec<_> =
            codes.iter().map(|code| DtmfEvent::new(Digit::from_event(*code).unwrap())).collect();
        let mut wire = Vec::new();
        for ((at, packet), (fate, delay)) in packets(&sent, 8000, first).into_iter().zip(&fates) {
            if *fate < 3 {
                continue;
            }
            wire.push((at + delay, packet));
            if *fate == 9 {
                wire.push((at + delay + 5, packet));
            }
        }
        wire.sort_by_key(|(at, _)| *at);
        let mut stamps: Vec<_> = wire
            .iter()
            .map(|(_, packet)| (packet.timestamp.wrapping_sub(first), packet.payload[0]))
            .collect();
        stamps.sort_unstable();
        stamps.dedup();
        let expected: Vec<_> = stamps.into_iter().map(|(_, code)| code).collect();
        let signals = received(&wire, 8000);
        let mut started: Vec<_> = Vec::new();
        for signal in &signals {
            match signal {
                Signal::Start { digit, .. } => started.push(digit.event()),
                Signal::Press(event) => started.push(event.digit.event()),
                Signal::End(_) => {}
            }
        }
        prop_assert_eq!(started, expected);
        presses(&signals);
    }

    /// Anything at all on the wire: keys go down and up in turn, and never fast.
    #[test]
    fn random_packets_never_break_the_order(
        wire in proptest::collection::vec(
            (0u64..50, any::<u32>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..24)),
            0..100,
        ),
    ) {
        let mut receiver = EventReceiver::new(8000);
        let (mut now, mut signals) = (0, Vec::new());
        for (pause, timestamp, marker, mut bytes) in wire {
            now += pause;
            if let Some(code) = bytes.first_mut() {
                *code %= 18;
            }
            // Near each other, so that they meet.
            signals.extend(receiver.packet(ms(now), timestamp % 4000, marker, &bytes));
            signals.extend(receiver.tick(ms(now)));
        }
        signals.extend(receiver.reset());
        presses(&signals);
    }
}
