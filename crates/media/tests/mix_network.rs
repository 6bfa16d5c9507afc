//! What a bad network does to one voice of a conference, from its packets to those that another leg
//! gets: the whole way through the worker, in virtual time.
//!
//! `MIX_HOURS=24 cargo test --release -p media --test mix_network` runs the long ones for a day
//! instead of an hour.

#![allow(clippy::unwrap_used, reason = "a test")]

mod network;

use std::net::SocketAddr;
use std::sync::Arc;

use base::{Time, WallTime};
use media::command::{
    BridgeId, Codec, Hear, Keys, MediaEvent, NoiseRemoval, Payload, Remote, Sources, StreamConfig,
    StreamId,
};
use media::denoise::DenoiseSettings;
use media::player::Music;
use media::playout::PlayoutStats;
use media::rtp::{self, HEADER_LEN, Header, write_header};
use media::stream::Numbers;
use media::worker::{Channel, Sink, Slot, Worker};
use network::{Figures, Path, Sender, TICK_US, at_us};

const L16: Payload = Payload { codec: Codec::L16, key: 0, send: 96, receive: 96, clock_rate: 8000 };
/// What is left of a surplus because it is not worth a splice.
const SLACK_MS: f64 = 6.0;
/// What noise removal adds at 8 kHz.
const REMOVAL_MS: f64 = 16.0;

/// The last packet to each stream.
#[derive(Default)]
struct Wire {
    sent: Vec<(Slot, Vec<u8>)>,
}

impl Sink for Wire {
    fn send(&mut self, slot: Slot, channel: Channel, _: SocketAddr, datagram: &[u8]) -> bool {
        if channel == Channel::Rtp {
            self.sent.push((slot, datagram.to_vec()));
        }
        true
    }

    fn event(&mut self, _: MediaEvent) {}

    fn pin(&mut self, _: Slot, _: Channel, _: Option<SocketAddr>) {}
}

/// A conference of three: one speaks through the network, two listen and say nothing.
struct Conference {
    sender: Sender,
    worker: Worker,
    wire: Wire,
    slots: [Slot; 3],
    ticks: u64,
    delays_ms: Vec<f64>,
    is_mixed: bool,
    /// Numbers of the last packet to the listener.
    last: Option<Header>,
}

impl Conference {
    fn new(path: Path, seed: u64) -> Self {
        Self::with_noise_removal(path, seed, None)
    }

    fn with_noise_removal(path: Path, seed: u64, noise: Option<NoiseRemoval>) -> Self {
        let mut worker = Worker::new(Arc::new(Music::silence()), [3; 32], WallTime(0));
        let mut wire = Wire::default();
        let slots = [0, 1, 2].map(|n| {
            let numbers = Numbers { ssrc: n as u32, sequence: 0, timestamp: 0 };
            let slot = worker.open(Time::ZERO, (StreamId(n), BridgeId(1)), true, numbers);
            let config = StreamConfig { noise_removal: noise, ..config(n) };
            worker.configure(Time::ZERO, slot, config, &mut wire);
            slot
        });
        for (n, slot) in (0..).zip(slots) {
            let others = [0, 1, 2].into_iter().filter(|other| *other != n).map(StreamId);
            worker.hear(slot, Hear::Mix(Sources::from_iter(others)), None);
        }
        let (ticks, delays_ms, last) = (0, vec![], None);
        let sender = Sender::new(path, seed);
        Self { sender, worker, wire, slots, ticks, delays_ms, is_mixed: true, last }
    }

    fn stats(&mut self) -> PlayoutStats {
        self.worker.playout(self.slots[0]).unwrap_or_default()
    }

    fn run(&mut self, seconds: u64) -> Figures {
        let before = self.stats();
        self.delays_ms.clear();
        for _ in 0..seconds * 1_000_000 / TICK_US {
            self.tick();
        }
        Figures::new(&before, &self.stats(), seconds, &self.delays_ms)
    }

    fn tick(&mut self) {
        let now_us = self.ticks * TICK_US;
        for arrived in self.sender.arrivals(now_us) {
            let mut datagram = vec![0; HEADER_LEN];
            let header = Header {
                marker: false,
                payload_type: L16.receive,
                sequence: 65_000u16.wrapping_add(arrived.number as u16),
                timestamp: arrived.timestamp,
                ssrc: 7,
            };
            write_header(&mut datagram, &header);
            datagram.extend(arrived.payload);
            let now = at_us(arrived.at_us);
            let from = peer(0);
            self.worker.packet(
                now,
                self.slots[0],
                Channel::Rtp,
                from,
                &mut datagram,
                &mut self.wire,
            );
        }
        self.worker.tick(at_us(now_us), &mut self.wire);
        self.ticks += 1;
        for (slot, datagram) in std::mem::take(&mut self.wire.sent) {
            if slot == self.slots[1] && !rtp::is_rtcp(&datagram) {
                self.take(now_us, &datagram);
            }
        }
    }

    /// A packet to the first listener: one a tick, in one session, and the ramp in it.
    fn take(&mut self, now_us: u64, datagram: &[u8]) {
        let packet = rtp::parse(datagram).unwrap();
        if let Some(last) = self.last.replace(packet.header) {
            let Header { sequence, timestamp, .. } = packet.header;
            let is_even = sequence == last.sequence.wrapping_add(1)
                && timestamp == last.timestamp.wrapping_add(160);
            assert!(is_even || !self.is_mixed, "{:?} after {last:?}", packet.header);
        }
        let payload = datagram[packet.payload].chunks_exact(2);
        let pcm: Vec<_> = payload.map(|two| i16::from_be_bytes([two[0], two[1]])).collect();
        self.delays_ms.extend(self.sender.delay_ms(now_us, &pcm));
    }
}

fn peer(n: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4000 + 2 * n as u16))
}

fn config(n: u64) -> StreamConfig {
    let remote = Remote { rtp: peer(n), rtcp: peer(n), rtcp_mux: true };
    StreamConfig {
        remote: Some(remote),
        signalling_source: None,
        payloads: vec![L16],
        send: true,
        receive: true,
        ptime_ms: 20,
        rtp_timeout: None,
        symmetric: true,
        srtp: None,
        path: None,
        noise_removal: None,
        voip_metrics: false,
        keys: Keys::default(),
        opus: media::codec::OpusFormat::default(),
    }
}

#[test]
fn on_a_clean_network_a_conference_adds_the_wait_for_the_tick() {
    for phase_us in [1000, 6000, 11_000, 16_000, 19_000] {
        let mut world = Conference::new(Path { phase_us, ..Path::default() }, 1);
        world.run(1);
        let then = world.run(10);
        let row = format!("{phase_us} µs: {then:?}");
        assert!(then.delay_max_ms < 20.0 && then.delay_max_ms - then.delay_p50_ms < 0.1, "{row}");
        assert_eq!((then.concealed_percent, then.spliced_percent), (0.0, 0.0), "{row}");
    }
}

#[test]
fn loss_is_concealed_and_costs_one_packet_of_delay() {
    for loss_percent in [1.0, 5.0, 10.0] {
        let mut world = Conference::new(Path { loss_percent, ..Path::default() }, 3);
        world.run(10);
        let figures = world.run(60);
        let row = format!("{loss_percent} %: {figures:?}");
        assert!((0.7..1.3).contains(&(figures.concealed_percent / loss_percent)), "{row}");
        assert!(figures.delay_p99_ms < 40.0 + SLACK_MS, "{row}");
    }
}

#[test]
fn jitter_and_reordering_are_waited_for_and_forgotten() {
    for jitter_ms in [20.0, 40.0, 60.0, 80.0] {
        for reorders in [false, true] {
            let path = Path { jitter_ms, reorders, jitter_until_s: 40, ..Path::default() };
            let mut world = Conference::new(path, 5);
            world.run(10);
            let figures = world.run(30);
            let row = format!("{jitter_ms} ms, reordering {reorders}: {figures:?}");
            assert!(figures.concealed_percent < 1.0, "{row}");
            assert!(figures.delay_max_ms <= jitter_ms + 20.0, "{row}");
            world.run(5);
            let after = world.run(1);
            assert!(after.delay_max_ms < 20.0 + SLACK_MS, "{row}, after it {after:?}");
        }
    }
}

/// Where noise is removed, packets are cleaned in their order; switched off, it is a delay and no more, so
/// that the ramp comes through.
#[test]
fn jitter_and_reordering_are_waited_for_before_noise_removal_too() {
    let noise = Some(NoiseRemoval { enabled: false, settings: DenoiseSettings::default() });
    for jitter_ms in [20.0, 40.0, 60.0, 80.0] {
        for reorders in [false, true] {
            let path = Path { jitter_ms, reorders, jitter_until_s: 40, ..Path::default() };
            let mut world = Conference::with_noise_removal(path, 5, noise);
            world.run(10);
            let figures = world.run(30);
            let row = format!("{jitter_ms} ms, reordering {reorders}: {figures:?}");
            assert!(figures.concealed_percent < 1.0, "{row}");
            assert!(figures.delay_max_ms <= jitter_ms + 20.0 + REMOVAL_MS, "{row}");
            world.run(5);
            let after = world.run(1);
            assert!(after.delay_max_ms < 20.0 + SLACK_MS + REMOVAL_MS, "{row}, after it {after:?}");
        }
    }
}

/// Without a mix there is no jitter buffer; those that one other has overtaken are waited for all the same.
#[test]
fn overtaken_packets_are_cleaned_in_their_order_for_one_listener() {
    let noise = Some(NoiseRemoval { enabled: false, settings: DenoiseSettings::default() });
    let path = Path { jitter_ms: 35.0, ..Path::default() };
    let mut world = Conference::with_noise_removal(path, 5, noise);
    let [speaker, listener, third] = world.slots;
    for slot in [speaker, third] {
        world.worker.hear(slot, Hear::Nothing, None);
    }
    world.worker.hear(listener, Hear::Stream(StreamId(0)), Some(speaker));
    world.is_mixed = false;
    world.run(2);
    let before = world.last.unwrap().sequence;
    world.run(30);
    let packets = world.last.unwrap().sequence.wrapping_sub(before);
    let whole = world.delays_ms.len();
    assert!(packets > 1490 && whole * 100 > usize::from(packets) * 98, "{whole} of {packets}");
}

#[test]
fn two_seconds_after_a_hiccup_of_eighty_milliseconds_nothing_is_left_of_it() {
    let hiccups_ms = std::iter::once(10_000..10_080).collect();
    let path = Path { hiccups_ms, ..Path::default() };
    let mut world = Conference::new(path, 1);
    let before = world.run(10);
    let during = world.run(2);
    let after = world.run(1);
    let row = format!("{before:?}, {during:?}, {after:?}");
    assert_eq!((during.late, during.dropped), (0, 0), "{row}");
    assert!(after.delay_max_ms < before.delay_p50_ms + SLACK_MS, "{row}");
}

/// For an hour, or as many as asked for, the delay stays what it was.
fn hours(path: Path, delay_ms: f64, concealed_percent: f64) {
    let hours =
        std::env::var("MIX_HOURS").ok().and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
    let mut world = Conference::new(path, 5);
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
fn an_hour_with_a_fast_sender_on_a_bad_network_adds_no_delay() {
    let path = Path { drift_ppm: 100.0, loss_percent: 5.0, jitter_ms: 40.0, ..Path::default() };
    hours(path, 40.0 + 40.0 + 2.0 * SLACK_MS, 5.5);
}

#[test]
fn an_hour_with_a_slow_sender_on_a_bad_network_adds_no_delay() {
    let path = Path { drift_ppm: -100.0, loss_percent: 1.0, jitter_ms: 80.0, ..Path::default() };
    hours(path, 80.0 + 40.0 + 2.0 * SLACK_MS, 2.0);
}

#[test]
fn an_hour_with_clocks_that_only_drift_adds_no_delay() {
    for drift_ppm in [-100.0, 100.0] {
        hours(Path { drift_ppm, ..Path::default() }, 20.0 + 1.5 * SLACK_MS, 0.01);
    }
}
