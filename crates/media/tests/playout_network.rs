//! What a network does to a source of a mix, and for how long: loss, jitter, reordering, hiccups and
//! drift in virtual time.

mod network;

use network::{Path, World};

/// Phases of the packets against the tick, microseconds.
const PHASES_US: [u64; 4] = [1137, 6137, 11_137, 16_137];
/// What is left of a surplus because it is not worth a splice, and the size of a splice.
const SLACK_MS: f64 = 6.0;

#[test]
fn on_a_clean_network_packets_wait_for_the_next_tick_and_no_longer() {
    for (ptime_ms, wait_ms) in [(20, 20.0), (40, 20.0), (60, 20.0), (10, 20.0), (30, 30.0)] {
        for phase_us in PHASES_US {
            let mut world = World::new(Path { ptime_ms, phase_us, ..Path::default() }, 1);
            let start = world.run(1);
            let then = world.run(10);
            let row = format!("{ptime_ms} ms at {phase_us} µs: {then:?}");
            assert!(start.delay_max_ms < wait_ms, "{row}");
            assert!(then.delay_max_ms - then.delay_p50_ms < 0.1, "{row}");
            assert_eq!((then.concealed_percent, then.spliced_percent), (0.0, 0.0), "{row}");
        }
    }
}

#[test]
fn jitter_is_waited_for_and_forgotten_when_it_is_over() {
    for jitter_ms in [20.0, 40.0, 60.0, 80.0] {
        for (seed, phase_us) in PHASES_US.into_iter().enumerate() {
            let path = Path {
                jitter_ms,
                phase_us,
                reorders: seed % 2 == 0,
                jitter_until_s: 40,
                ..Path::default()
            };
            let mut world = World::new(path, seed as u64);
            let before = world.run(10);
            let figures = world.run(30);
            let row = format!("{jitter_ms} ms at {phase_us} µs: {figures:?}");
            assert!(before.concealed_percent < 2.0, "{row}: {before:?}");
            assert!(figures.concealed_percent < 1.0, "{row}");
            // Up to a tick on top, because ticks are what packets wait for.
            // Up to 1 ms more in the worst phase: what is not worth a splice.
            assert!(figures.delay_max_ms <= jitter_ms + 22.0, "{row}");
            world.run(5);
            let after = world.run(1);
            assert!(after.delay_max_ms < 20.0 + SLACK_MS, "{row}, after it {after:?}");
        }
    }
}

#[test]
fn lost_packets_cost_themselves_and_one_packet_of_delay() {
    for loss_percent in [1.0, 5.0, 10.0] {
        let mut world = World::new(Path { loss_percent, ..Path::default() }, 3);
        world.run(10);
        let figures = world.run(60);
        let concealed = figures.concealed_percent;
        let row = format!("{loss_percent} %: {figures:?}");
        assert!((0.7..1.3).contains(&(concealed / loss_percent)), "{row}");
        assert!(figures.delay_p99_ms < 40.0 + SLACK_MS, "{row}");
        assert_eq!((figures.late, figures.dropped), (0, 0), "{row}");
    }
}

#[test]
fn after_a_hiccup_nothing_is_lost_and_two_seconds_later_nothing_is_left_of_it() {
    for hiccup_ms in [40, 80, 120] {
        let hiccup = 10_000..10_000 + hiccup_ms;
        let mut world = World::new(Path { hiccups_ms: vec![hiccup], ..Path::default() }, 1);
        let before = world.run(10);
        let during = world.run(2);
        let after = world.run(1);
        let row = format!("{hiccup_ms} ms: {before:?}, {during:?}, {after:?}");
        assert_eq!((during.late, during.dropped), (0, 0), "{row}");
        let made_up_ms = during.concealed_percent / 100.0 * 2000.0;
        assert!(made_up_ms <= hiccup_ms as f64 + 20.0, "{row}");
        assert!(after.delay_max_ms < before.delay_p50_ms + SLACK_MS, "{row}");
    }
}

#[test]
fn pauses_of_the_sender_are_no_losses_and_keep_the_delay() {
    let pauses_ms = (1..18).map(|n| n * 3000..n * 3000 + n * 97).collect();
    let mut world = World::new(Path { jitter_ms: 30.0, pauses_ms, ..Path::default() }, 1);
    world.run(2);
    let figures = world.run(60);
    assert!(figures.concealed_percent < 0.2, "{figures:?}");
    assert!(figures.delay_max_ms < 30.0 + 20.0 + SLACK_MS, "{figures:?}");
    assert_eq!(figures.dropped, 0, "{figures:?}");
}

/// Minute by minute the delay stays what it was, whichever clock is faster.
fn hours(hours: u32, path: Path, delay_ms: f64, concealed_percent: f64) {
    let mut world = World::new(path, 5);
    world.run(10);
    let (mut worst, mut concealed) = (0f64, 0.0);
    for _ in 0..60 * hours {
        let figures = world.run(60);
        worst = worst.max(figures.delay_max_ms);
        concealed += figures.concealed_percent;
    }
    concealed /= 60.0 * f64::from(hours);
    assert!(worst < delay_ms, "{worst} ms");
    assert!(concealed < concealed_percent, "{concealed} %");
}

#[test]
fn an_hour_with_a_fast_sender_on_a_bad_network() {
    let path = Path { drift_ppm: 100.0, loss_percent: 5.0, jitter_ms: 40.0, ..Path::default() };
    hours(1, path, 40.0 + 40.0 + 2.0 * SLACK_MS, 5.5);
}

#[test]
fn an_hour_with_a_slow_sender_on_a_bad_network() {
    let path = Path { drift_ppm: -100.0, loss_percent: 1.0, jitter_ms: 80.0, ..Path::default() };
    hours(1, path, 80.0 + 40.0 + 2.0 * SLACK_MS, 2.0);
}

#[test]
fn a_day_with_a_slow_sender() {
    hours(24, Path { drift_ppm: -100.0, ..Path::default() }, 20.0 + 1.5 * SLACK_MS, 0.01);
}

#[test]
fn a_day_with_a_fast_sender() {
    hours(24, Path { drift_ppm: 100.0, ..Path::default() }, 20.0 + 1.5 * SLACK_MS, 0.01);
}
