use std::f64::consts::TAU;
use std::time::Duration;

use base::{Rng, Time};
use proptest::prelude::*;

use super::*;

const CUSTOMER: StreamId = StreamId(1);
const AGENT: StreamId = StreamId(2);
const SECOND: StreamId = StreamId(3);
const STRANGER: StreamId = StreamId(9);

/// The file so far.
#[derive(Default)]
struct Tape {
    samples: Vec<i16>,
    blocks: usize,
}

impl BlockSink for Tape {
    fn take(&mut self, block: &mut Block) {
        assert_eq!(block.at, self.samples.len() as u64 / 2, "blocks follow each other");
        assert!(block.samples.len() <= 32 * 1024 && block.samples.len().is_multiple_of(2));
        self.samples.append(&mut block.samples);
        self.blocks += 1;
    }
}

impl Tape {
    fn side(&self, side: Side) -> Vec<i16> {
        self.samples.iter().skip(side as usize).step_by(2).copied().collect()
    }
}

fn ms(ms: f64) -> Time {
    Time::ZERO + Duration::from_nanos((ms * 1e6) as u64)
}

fn format(rate: u32) -> RecordFormat {
    RecordFormat { container: Container::Wav, rate, pause: PausePolicy::Silence }
}

fn recorder(format: RecordFormat) -> Recorder {
    let mut recorder = Recorder::new(ms(0.0), format).unwrap();
    recorder.track(CUSTOMER, Some(Side::Customer));
    recorder.track(AGENT, Some(Side::Agents));
    recorder
}

/// A packet of 8 kHz.
fn packet(stream: StreamId, timestamp: u32, pcm: &[i16]) -> Heard<'_> {
    let age = Duration::ZERO;
    Heard { stream, timestamp, clock: Clock::Peer(0), clock_rate: 8000, rate: 8000, pcm, age }
}

/// Where a side is loud: first and last sample of each sound, pauses of 5 ms bridged.
fn sounds(side: &[i16]) -> Vec<(usize, usize)> {
    let mut sounds: Vec<(usize, usize)> = Vec::new();
    for (at, _) in side.iter().enumerate().filter(|(_, sample)| sample.unsigned_abs() > 500) {
        match sounds.last_mut() {
            Some(last) if at - last.1 < 40 => last.1 = at,
            Some(_) | None => sounds.push((at, at)),
        }
    }
    sounds
}

/// Records packets of 20 ms that come at the times told.
fn record(arrivals: &[(f64, StreamId, u32, i16)], until: f64) -> Tape {
    let (mut recorder, mut tape) = (recorder(format(8000)), Tape::default());
    let mut arrivals = arrivals.to_vec();
    arrivals.sort_by(|left, right| left.0.total_cmp(&right.0));
    let mut next = arrivals.into_iter().peekable();
    let mut now = 0.0;
    while now <= until {
        while let Some((at, stream, timestamp, level)) = next.next_if(|(at, ..)| *at <= now) {
            recorder.hear(ms(at), &packet(stream, timestamp, &[level; 160]));
        }
        recorder.tick(ms(now), &mut tape);
        now += 20.0;
    }
    recorder.finish(ms(until), &mut tape);
    assert_eq!(recorder.frames(), tape.samples.len() as u64 / 2);
    tape
}

#[test]
fn the_customer_is_left_and_agents_are_right_at_the_time_they_spoke() {
    let mut arrivals = Vec::new();
    for n in 0..50u32 {
        arrivals.push((40.0 + f64::from(n) * 20.0, CUSTOMER, 5000 + n * 160, 1000));
        arrivals.push((340.0 + f64::from(n) * 20.0, AGENT, 77 + n * 160, 2000));
    }
    let tape = record(&arrivals, 2000.0);
    assert_eq!(tape.samples.len(), 2 * 16_000);
    let (left, right) = (tape.side(Side::Customer), tape.side(Side::Agents));
    assert_eq!(sounds(&left), [(160, 160 + 8000 - 1)]);
    assert_eq!(sounds(&right), [(320 * 8, 320 * 8 + 8000 - 1)]);
    assert_eq!((left[4000], right[4000]), (1000, 2000));
}

#[test]
fn jitter_and_reordering_leave_no_trace_and_loss_leaves_silence() {
    let mut rng = Rng::new([4; 32]);
    let arrivals: Vec<_> = (0..200u32)
        .filter(|n| *n != 100)
        .map(|n| {
            let late = if n == 0 { 0.0 } else { (rng.next_u64() % 150) as f64 };
            (20.0 + f64::from(n) * 20.0 + late, CUSTOMER, u32::MAX - 3000, n)
        })
        .map(|(at, stream, first, n)| (at, stream, first.wrapping_add(n * 160), 1000))
        .collect();
    let tape = record(&arrivals, 4500.0);
    let expected = [(0, 100 * 160 - 1), (101 * 160, 200 * 160 - 1)];
    assert_eq!(sounds(&tape.side(Side::Customer)), expected);
    assert!(sounds(&tape.side(Side::Agents)).is_empty());
}

/// A mix begins to count at nothing, and so do some phones: what is of another clock is not taken for
/// late.
#[test]
fn who_comes_into_a_mix_and_leaves_it_is_recorded_all_the_while() {
    let (mut recorder, mut tape) = (recorder(format(8000)), Tape::default());
    for n in 0..150u32 {
        let (clock, timestamp) = match n {
            50..100 => (Clock::Mix(1), n - 50),
            100..125 => (Clock::Mix(2), n - 100),
            _ => (Clock::Peer(0), n),
        };
        let now = ms(f64::from(n + 1) * 20.0);
        let said = Heard { clock, ..packet(AGENT, timestamp * 160, &[2000; 160]) };
        recorder.hear(now, &said);
        recorder.tick(now, &mut tape);
    }
    recorder.finish(ms(3000.0), &mut tape);
    assert_eq!(sounds(&tape.side(Side::Agents)), [(0, 150 * 160 - 1)]);
}

#[test]
fn what_comes_too_late_is_left_out() {
    let arrivals = [
        (20.0, CUSTOMER, 0, 1000),
        (40.0, CUSTOMER, 160, 1000),
        // 260 ms late.
        (320.0, CUSTOMER, 320, 1000),
        (80.0, CUSTOMER, 480, 1000),
    ];
    let tape = record(&arrivals, 1000.0);
    assert_eq!(sounds(&tape.side(Side::Customer)), [(0, 319), (480, 639)]);
}

#[test]
fn several_agents_are_summed_and_strangers_are_not_heard() {
    let (mut recorder, mut tape) = (recorder(format(8000)), Tape::default());
    recorder.track(SECOND, Some(Side::Agents));
    assert!(recorder.wants(SECOND) && !recorder.wants(STRANGER));
    for (stream, level) in [(AGENT, 1000), (SECOND, 300), (STRANGER, 9000)] {
        recorder.hear(ms(20.0), &packet(stream, 7, &[level; 160]));
    }
    // Full scale stays full scale.
    for stream in [AGENT, SECOND] {
        recorder.hear(ms(40.0), &packet(stream, 167, &[-30_000; 160]));
    }
    recorder.track(SECOND, None);
    recorder.hear(ms(60.0), &packet(SECOND, 327, &[300; 160]));
    recorder.finish(ms(100.0), &mut tape);
    let right = tape.side(Side::Agents);
    assert_eq!((right[80], right[240], right[400]), (1300, i16::MIN, 0));
    assert!(tape.side(Side::Customer).iter().all(|sample| *sample == 0));
}

#[test]
fn a_pause_leaves_silence_or_nothing() {
    for (policy, frames) in [(PausePolicy::Silence, 16_000), (PausePolicy::Nothing, 12_000)] {
        let format = RecordFormat { pause: policy, ..format(8000) };
        let (mut recorder, mut tape) = (recorder(format), Tape::default());
        for n in 0..100u32 {
            let at = 20.0 + f64::from(n) * 20.0;
            if n == 25 {
                recorder.pause(ms(500.0));
                recorder.pause(ms(505.0));
                assert!(recorder.is_paused());
            }
            if n == 50 {
                recorder.resume(ms(1000.0));
                recorder.resume(ms(1005.0));
            }
            // A card number is louder than the rest.
            let level = if (25..50).contains(&n) { 9000 } else { 1000 };
            recorder.hear(ms(at), &packet(CUSTOMER, n * 160, &[level; 160]));
            recorder.tick(ms(at), &mut tape);
        }
        recorder.finish(ms(2000.0), &mut tape);
        let left = tape.side(Side::Customer);
        assert_eq!(left.len(), frames, "{policy:?}");
        assert!(
            left.iter().all(|sample| *sample < 9000),
            "{policy:?}: what was paused is not there"
        );
        let expected = match policy {
            PausePolicy::Silence => vec![(0, 3999), (8000, 15_999)],
            PausePolicy::Nothing => vec![(0, 11_999)],
        };
        assert_eq!(sounds(&left), expected, "{policy:?}");
    }
}

/// K2, ATTACKS 27: noise removal and jitter buffers hold back what was said, the network too, and a
/// first packet that is late puts all that follow where they do not belong.
#[test]
fn k2_what_was_said_in_a_pause_is_nowhere_whatever_held_it_back() {
    const CARD: i16 = 9000;
    const PAUSE: f64 = 500.0;
    enum Step {
        Packet(u32),
        Pause,
        Resume,
        Tick,
    }
    let mut rng = Rng::new([6; 32]);
    for (age, first, jitter) in
        [(0, 0, 0), (15, 0, 0), (240, 0, 0), (0, 90, 0), (15, 150, 0), (0, 0, 60), (100, 90, 40)]
    {
        for resume in [1000.0, 1007.0, 1019.875] {
            let (mut recorder, mut tape) = (recorder(format(8000)), Tape::default());
            let mut steps = vec![(PAUSE, Step::Pause), (resume, Step::Resume)];
            for n in 0..100u32 {
                let late = if n == 0 { first } else { rng.next_u64() % (jitter + 1) };
                let at = 20.0 + f64::from(n) * 20.0;
                steps.push((at + late as f64, Step::Packet(n)));
                steps.push((at, Step::Tick));
            }
            steps.sort_by(|left, right| left.0.total_cmp(&right.0));
            for (at, step) in steps {
                match step {
                    Step::Pause => recorder.pause(ms(at)),
                    Step::Resume => recorder.resume(ms(at)),
                    Step::Tick => recorder.tick(ms(at), &mut tape),
                    Step::Packet(n) => {
                        let said = |i: u32| f64::from(n) * 20.0 + f64::from(i) / 8.0 - age as f64;
                        let level =
                            |i| if (PAUSE..resume).contains(&said(i)) { CARD } else { 1000 };
                        let pcm: Vec<_> = (0..160).map(level).collect();
                        let age = Duration::from_millis(age);
                        let heard = Heard { age, ..packet(CUSTOMER, n * 160, &pcm) };
                        recorder.hear(ms(at), &heard);
                    }
                }
            }
            recorder.finish(ms(2000.0), &mut tape);
            let case = format!("{age} ms old, {first} and {jitter} ms late, until {resume}");
            let left = tape.side(Side::Customer);
            assert!(left.iter().all(|sample| *sample < CARD), "{case}");
            // What was said before and after is there, but for what cannot be told apart.
            let unsure = (age + 2 * first + 2 * jitter) as usize;
            let after = (1020 + unsure) * 8..1900 * 8;
            assert!(left[after].iter().all(|sample| *sample == 1000), "{case}: after it");
            let before = (first as usize) * 8..(500 - unsure.min(500)) * 8;
            assert!(left[before].iter().all(|sample| *sample == 1000), "{case}: before it");
        }
    }
}

#[test]
fn a_pause_that_never_ends_and_too_many_of_them_record_nothing_more() {
    let (mut recorder, mut tape) = (recorder(format(8000)), Tape::default());
    for n in 0..1000 {
        recorder.pause(ms(f64::from(n) / 100.0));
        recorder.resume(ms(f64::from(n) / 100.0 + 0.005));
    }
    recorder.pause(ms(20.0));
    recorder.hear(ms(60.0), &packet(CUSTOMER, 0, &[9000; 160]));
    recorder.tick(ms(1000.0), &mut tape);
    recorder.finish(ms(2000.0), &mut tape);
    assert!(tape.samples.iter().all(|sample| *sample == 0));
    assert_eq!(tape.samples.len(), 2 * 16_000);
}

/// One side's clock runs fast, the other's slow. Both say a word each second, at the same moment.
#[test]
fn clocks_that_drift_stay_together() {
    const SECONDS: u32 = 600;
    let mut rng = Rng::new([5; 32]);
    let mut arrivals = Vec::new();
    for (stream, ppm) in [(CUSTOMER, 500.0), (AGENT, -500.0)] {
        let per_packet = 20.0 / (1.0 + ppm * 1e-6);
        for n in 0..SECONDS * 50 {
            let spoken = f64::from(n) * per_packet;
            let jitter = (rng.next_u64() % 300) as f64 / 10.0;
            let level = if spoken % 1000.0 < 200.0 { 3000 } else { 10 };
            arrivals.push((spoken + 20.0 + jitter, stream, n * 160, level));
        }
    }
    let tape = record(&arrivals, f64::from(SECONDS) * 1000.0);
    let [left, right] = [Side::Customer, Side::Agents].map(|side| sounds(&tape.side(side)));
    // Without a correction they would be 600 ms apart, and the words cut or doubled.
    for (side, words) in [("left", &left), ("right", &right)] {
        assert!(words.len().abs_diff(SECONDS as usize) <= 2, "{side}: {}", words.len());
        for (start, end) in words {
            let at = start * 1000 / 8000 % 1000;
            let apart = at.min(1000 - at);
            assert!(apart <= 60, "{side}: a word begins at {start}");
            let word = (end - start) / 8;
            assert!((170..=230).contains(&word), "{side}: a word of {word} ms at {start}");
        }
    }
}

#[test]
fn a_clock_that_starts_anew_or_stands_still_is_followed() {
    let mut arrivals = Vec::new();
    for n in 0..25u32 {
        let at = f64::from(n) * 20.0;
        arrivals.push((20.0 + at, CUSTOMER, n * 160, 1000));
        // A second later with other numbers: the phone has switched what it sends.
        arrivals.push((1520.0 + at, CUSTOMER, 0x8000_0000 + n * 160, 1000));
        // Two seconds of hold in which the clock stood still.
        arrivals.push((4020.0 + at, CUSTOMER, 0x8000_0000 + (25 + n) * 160, 1000));
    }
    let tape = record(&arrivals, 6000.0);
    let expected = [0, 1500 * 8, 4000 * 8].map(|at| (at, at + 3999));
    assert_eq!(sounds(&tape.side(Side::Customer)), expected);
}

#[test]
fn packets_of_any_length_and_rate_stand_at_the_moment_they_were_spoken() {
    for (rate, clock_rate, stream_rate, packet_ms) in [
        (8000, 8000, 8000, 60),
        (8000, 8000, 16_000, 20),
        (16_000, 8000, 8000, 20),
        (16_000, 48_000, 48_000, 120),
        (48_000, 8000, 16_000, 10),
    ] {
        let (mut recorder, mut tape) = (recorder(format(rate)), Tape::default());
        let len = (stream_rate / 1000 * packet_ms) as usize;
        for n in 0..1000 / packet_ms {
            let sine = |i: usize| {
                let at = (n as usize * len + i) as f64 / f64::from(stream_rate);
                (8000.0 * (TAU * 400.0 * at).sin()) as i16
            };
            let pcm: Vec<_> = (0..len).map(sine).collect();
            let heard = Heard {
                stream: CUSTOMER,
                timestamp: n * packet_ms * (clock_rate / 1000),
                clock: Clock::Peer(0),
                clock_rate,
                rate: stream_rate,
                pcm: &pcm,
                age: Duration::ZERO,
            };
            let now = ms(f64::from((n + 1) * packet_ms));
            recorder.hear(now, &heard);
            recorder.tick(now, &mut tape);
        }
        recorder.finish(ms(1200.0), &mut tape);
        let left = tape.side(Side::Customer);
        let [(start, end)] = sounds(&left)[..] else { panic!("{:?}", sounds(&left)) };
        let to_ms = |at: usize| at as f64 * 1000.0 / f64::from(rate);
        let spoken = f64::from(1000 / packet_ms * packet_ms);
        assert!(to_ms(start) < 5.0, "{rate} {stream_rate}: {}", to_ms(start));
        assert!((to_ms(end) - spoken).abs() < 5.0, "{rate} {stream_rate}: {}", to_ms(end));
        let middle = &left[left.len() / 4..left.len() / 2];
        let power = middle.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / middle.len() as f64;
        assert!((power.sqrt() * 2f64.sqrt() - 8000.0).abs() < 200.0, "{}", power.sqrt());
    }
}

#[test]
fn a_stall_of_the_worker_leaves_a_gap_and_nothing_worse() {
    let (mut recorder, mut tape) = (recorder(format(8000)), Tape::default());
    recorder.hear(ms(20.0), &packet(CUSTOMER, 0, &[1000; 160]));
    recorder.tick(ms(20.0), &mut tape);
    for n in 1..500u32 {
        recorder.hear(ms(10_000.0), &packet(CUSTOMER, n * 160, &[1000; 160]));
    }
    recorder.tick(ms(10_000.0), &mut tape);
    recorder.finish(ms(11_000.0), &mut tape);
    assert_eq!(tape.samples.len(), 2 * 88_000);
    assert_eq!(sounds(&tape.side(Side::Customer))[0], (0, 159));
}

#[test]
fn blocks_are_a_second_or_64_kb() {
    for (rate, frames) in [(8000, 8000), (48_000, 16 * 1024)] {
        let (mut recorder, mut tape) = (recorder(format(rate)), Tape::default());
        recorder.tick(ms(10_200.0), &mut tape);
        assert_eq!(tape.blocks, 10 * rate as usize / frames);
    }
    assert!(Recorder::new(ms(0.0), format(44_100)).is_err());
}

#[test]
fn names_leave_no_directory() {
    for (name, good) in [
        ("call-7_2026", true),
        ("", false),
        ("../x", false),
        ("a/b", false),
        ("a.b", false),
        ("a\0", false),
        ("ä", false),
    ] {
        assert_eq!(is_name(name), good, "{name:?}");
    }
    assert!(!is_name(&"a".repeat(NAME_MAX + 1)));
}

proptest! {
    /// Whatever comes when: the file is as long as the call, less what was paused, and one side
    /// never on the other.
    #[test]
    fn the_file_is_as_long_as_the_call(
        steps in proptest::collection::vec(
            (0u32..300, 0u8..6, any::<u32>(), 0usize..2000, prop_oneof![Just(8000u32), Just(16_000), Just(44_100)]),
            0..100,
        ),
    ) {
        let (mut recorder, mut tape) = (recorder(format(8000)), Tape::default());
        let mut now = 0;
        for (pause, kind, timestamp, len, rate) in steps {
            now += pause;
            let at = ms(f64::from(now));
            let pcm = vec![1000; len];
            let timestamp = if kind == 0 { timestamp } else { timestamp % 4000 + now * 8 };
            match kind {
                0..=2 => recorder.hear(at, &Heard { rate, ..packet(CUSTOMER, timestamp, &pcm) }),
                3 => recorder.tick(at, &mut tape),
                4 => recorder.pause(at),
                _ => recorder.resume(at),
            }
        }
        recorder.finish(ms(f64::from(now)), &mut tape);
        prop_assert_eq!(tape.samples.len(), 2 * now as usize * 8);
        prop_assert!(tape.side(Side::Agents).iter().all(|sample| *sample == 0));
    }
}
