use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::command::Codec;

fn format() -> Format {
    Format::new(Codec::Pcmu, 8000).unwrap()
}

fn ms(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

fn packet(run: u32, sequence: u64, timestamp: u32) -> Incoming<'static> {
    Incoming { run, sequence, timestamp, content: Content::Audio, payload: &[0xd5; 160] }
}

/// Feeds numbered packets, 20 ms each, `n` arriving at `20 n` milliseconds.
fn feed(buffer: &mut JitterBuffer, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        let payload = [n as u8; 160];
        let incoming = Incoming { payload: &payload, ..packet(1, n, n as u32 * 160) };
        buffer.put(ms(n * 20), &format(), &incoming);
    }
}

/// Numbers of the packets that wait, and how many are missing before each.
fn drain(buffer: &mut JitterBuffer) -> Vec<(u8, u64)> {
    std::iter::from_fn(|| {
        let waiting = buffer.first()?;
        let number = buffer.payload(&waiting).first().copied().unwrap_or(0);
        buffer.pass(&waiting);
        Some((number, waiting.missing))
    })
    .collect()
}

#[test]
fn packets_come_out_in_order_with_their_gaps() {
    let mut buffer = JitterBuffer::new(&format(), 4096);
    feed(&mut buffer, [10, 12, 11, 15, 11]);
    assert_eq!(drain(&mut buffer), [(10, 0), (11, 0), (12, 0), (15, 2)]);
}

#[test]
fn what_is_late_or_here_already_is_told() {
    let mut buffer = JitterBuffer::new(&format(), 4096);
    feed(&mut buffer, [10, 12]);
    let put = |buffer: &mut JitterBuffer, n| {
        buffer.put(ms(300), &format(), &packet(1, n, n as u32 * 160))
    };
    assert_eq!(put(&mut buffer, 12), Put::Duplicate);
    let first = buffer.first().unwrap();
    buffer.pass(&first);
    let second = buffer.first().unwrap();
    buffer.pass(&second);
    assert_eq!(put(&mut buffer, 11), Put::Late);
    assert_eq!(put(&mut buffer, 12), Put::Late);
    let long = [0; 5000];
    let incoming = Incoming { payload: &long, ..packet(1, 13, 13 * 160) };
    assert_eq!(buffer.put(ms(300), &format(), &incoming), Put::TooLong);
}

#[test]
fn a_burst_pushes_the_oldest_out() {
    let mut buffer = JitterBuffer::new(&format(), 100 * 160);
    feed(&mut buffer, 0..100);
    let numbers: Vec<_> = drain(&mut buffer).into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (36..100).collect::<Vec<_>>(), "{PACKETS_MAX} slots");
    let mut buffer = JitterBuffer::new(&format(), 10 * 160);
    feed(&mut buffer, 0..30);
    let waiting = drain(&mut buffer);
    assert_eq!(waiting[0], (20, 20), "1600 bytes");
    assert_eq!(waiting.len(), 10);
}

#[test]
fn media_time_goes_on_over_wrap_arounds_restarts_and_jumps() {
    let mut buffer = JitterBuffer::new(&format(), 4096);
    let mut times = Vec::new();
    // A wrap of the timestamp, a jump of it, another source with other numbers.
    let rows = [
        (1, 70_000, 0xffff_ff60, false),
        (1, 70_001, 0x0000_0000, false),
        (1, 70_002, 0x1234_5678, true),
        (1, 70_003, 0x1234_5678 + 160, false),
        (2, 5, 99, true),
        (2, 6, 259, false),
    ];
    for (n, (run, sequence, timestamp, is_anew)) in rows.into_iter().enumerate() {
        let now = ms(1000 + 20 * n as u64);
        assert_eq!(buffer.put(now, &format(), &packet(run, sequence, timestamp)), Put::Waiting);
        let waiting = buffer.first().unwrap();
        assert_eq!((waiting.missing, waiting.is_anew), (0, is_anew), "{n}");
        times.push(waiting.time);
        buffer.pass(&waiting);
    }
    assert_eq!(times, [8000, 8160, 8320, 8480, 8640, 8800]);
}

#[test]
fn a_pause_of_the_sender_is_a_gap_in_media_time() {
    let mut buffer = JitterBuffer::new(&format(), 4096);
    buffer.put(ms(0), &format(), &packet(1, 1, 0));
    buffer.put(ms(900), &format(), &packet(1, 2, 7200));
    let first = buffer.first().unwrap();
    buffer.pass(&first);
    let second = buffer.first().unwrap();
    assert_eq!((second.missing, second.is_anew, second.time), (0, false, 7200));
}

#[test]
fn g722_counts_its_samples_and_not_its_clock() {
    let format = Format::new(Codec::G722, 8000).unwrap();
    let mut buffer = JitterBuffer::new(&format, 4096);
    buffer.put(ms(0), &format, &packet(1, 1, 0));
    buffer.put(ms(20), &format, &packet(1, 2, 160));
    let first = buffer.first().unwrap();
    buffer.pass(&first);
    assert_eq!(buffer.first().unwrap().time, 320);
    assert_eq!(buffer.lateness().bound(), 0);
}

proptest! {
    #[test]
    fn whatever_comes_is_bounded_and_never_breaks(
        packets in proptest::collection::vec(
            (0u64..200, 0u32..3, any::<u64>(), any::<u32>(), 0usize..700, any::<bool>()), 1..200),
    ) {
        let mut buffer = JitterBuffer::new(&format(), 1024);
        let bytes = [7; 700];
        let mut now = 0;
        for (wait, run, sequence, timestamp, len, pull) in packets {
            now += wait;
            // Near each other, now and then far away.
            let sequence = if sequence % 10 == 0 { sequence >> 8 } else { sequence % 100 };
            let incoming =
                Incoming { payload: &bytes[..len], ..packet(run, sequence, timestamp) };
            buffer.put(ms(now), &format(), &incoming);
            if let Some(waiting) = buffer.first().filter(|_| pull) {
                prop_assert!(buffer.payload(&waiting).iter().all(|byte| *byte == 7));
                buffer.pass(&waiting);
            }
        }
        prop_assert!(drain(&mut buffer).len() <= PACKETS_MAX);
    }
}
