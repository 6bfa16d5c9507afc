//! The path of a packet allocates nothing: neither relayed, nor played, nor dropped.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Time, WallTime};
use media::codec::Format;
use media::command::{
    BridgeId, Codec, Hear, Keys, MediaEvent, NoiseRemoval, Payload, Remote, StreamConfig, StreamId,
};
use media::denoise::DenoiseSettings;
use media::jitter_buffer::{Content, Incoming};
use media::player::Music;
use media::playout::Playout;
use media::rtp::{HEADER_LEN, Header, write_header};
use media::srtp::{Keying, MasterKey, OVERHEAD_MAX, Profile, Reason, Srtp};
use media::stream::Numbers;
use media::worker::{Channel, Sink, Slot, TICK, Worker};

/// Counts what the current thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts what is sent.
#[derive(Default)]
struct Count {
    rtp: usize,
    events: usize,
}

impl Sink for Count {
    fn send(&mut self, _: Slot, channel: Channel, _: SocketAddr, _: &[u8]) -> bool {
        self.rtp += usize::from(channel == Channel::Rtp);
        true
    }

    fn event(&mut self, _: MediaEvent) {
        self.events += 1;
    }

    fn pin(&mut self, _: Slot, _: Channel, _: Option<SocketAddr>) {}
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

const PCMU: Payload = payload(Codec::Pcmu, 0, 8000);
const OPUS: Payload = payload(Codec::Opus, 96, 48_000);
const NOISE: NoiseRemoval =
    NoiseRemoval { enabled: true, settings: DenoiseSettings { attenuation_limit_db: 22 } };

const fn payload(codec: Codec, number: u8, clock_rate: u32) -> Payload {
    Payload { codec, key: number, send: number, receive: number, clock_rate }
}

fn open(
    worker: &mut Worker,
    id: u64,
    payload: Payload,
    noise_removal: Option<NoiseRemoval>,
    sink: &mut Count,
) -> Slot {
    open_for(worker, id, &[payload], noise_removal, sink)
}

fn open_for(
    worker: &mut Worker,
    id: u64,
    payloads: &[Payload],
    noise_removal: Option<NoiseRemoval>,
    sink: &mut Count,
) -> Slot {
    let numbers = Numbers { ssrc: 1, sequence: 0, timestamp: 0 };
    let slot = worker.open(Time::ZERO, (StreamId(id), BridgeId(1)), true, numbers);
    let remote = addr(4000 + id as u16);
    let config = StreamConfig {
        remote: Some(Remote { rtp: remote, rtcp: remote, rtcp_mux: true }),
        signalling_source: None,
        payloads: payloads.to_vec(),
        send: true,
        receive: true,
        ptime_ms: 20,
        rtp_timeout: Some(Duration::from_secs(30)),
        symmetric: true,
        srtp: None,
        path: None,
        noise_removal,
        voip_metrics: false,
        keys: Keys::default(),
        opus: media::codec::OpusFormat::default(),
    };
    worker.configure(Time::ZERO, slot, config, sink);
    slot
}

#[test]
fn packets_allocate_nothing() {
    const PACKETS: u16 = 1000;
    let mut sink = Count::default();
    let mut worker = Worker::new(Arc::new(Music::silence()), [0; 32], WallTime(0));
    let [a, b, held] = [0, 1, 2].map(|id| open(&mut worker, id, PCMU, None, &mut sink));
    worker.hear(a, Hear::Stream(StreamId(1)), Some(b));
    worker.hear(b, Hear::Stream(StreamId(0)), Some(a));
    worker.hear(held, Hear::Music, None);
    let mut datagram = [0; HEADER_LEN + 160];
    let before = ALLOCATIONS.with(Cell::get);
    for n in 0..PACKETS {
        // The first report is due after 1.25 s at the earliest: 60 ticks are without one.
        let now = Time::ZERO + TICK * u32::from(n % 60);
        for (slot, from) in [(a, 4000), (b, 4001), (a, 9999)] {
            let header = Header {
                marker: false,
                payload_type: (n % 20 / 19) as u8,
                sequence: n,
                timestamp: u32::from(n) * 160,
                ssrc: 7,
            };
            write_header(&mut datagram, &header);
            worker.packet(now, slot, Channel::Rtp, addr(from), &mut datagram, &mut sink);
        }
        worker.packet(now, a, Channel::Rtp, addr(4000), &mut [0x80, 1, 2], &mut sink);
        worker.tick(now, &mut sink);
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    let relayed = usize::from(PACKETS - PACKETS / 20) * 2;
    assert_eq!(sink.rtp, relayed + usize::from(PACKETS));
    assert_eq!(sink.events, 2, "two first packets");
}

#[test]
fn transcoding_and_noise_removal_allocate_nothing() {
    let mut sink = Count::default();
    let mut worker = Worker::new(Arc::new(Music::silence()), [0; 32], WallTime(0));
    let a = open(&mut worker, 0, PCMU, Some(NOISE), &mut sink);
    let b = open(&mut worker, 1, OPUS, None, &mut sink);
    worker.hear(a, Hear::Stream(StreamId(1)), Some(b));
    worker.hear(b, Hear::Stream(StreamId(0)), Some(a));
    let mut before = 0;
    let mut datagram = [0x31; HEADER_LEN + 160];
    for n in 0..500u16 {
        if n == 10 {
            // The first noise of a stream makes what removes it.
            before = ALLOCATIONS.with(Cell::get);
        }
        let now = Time::ZERO + TICK * u32::from(n % 60);
        let header = Header {
            marker: false,
            payload_type: 0,
            sequence: n,
            timestamp: u32::from(n) * 160,
            ssrc: 7,
        };
        write_header(&mut datagram, &header);
        worker.packet(now, a, Channel::Rtp, addr(4000), &mut datagram, &mut sink);
        // Silence in Opus: CELT, 20 ms, no data.
        let mut opus = [0xf8; HEADER_LEN + 3];
        let header = Header { payload_type: 96, timestamp: u32::from(n) * 960, ..header };
        write_header(&mut opus, &header);
        worker.packet(now, b, Channel::Rtp, addr(4001), &mut opus, &mut sink);
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    assert!(sink.rtp > 900, "{}", sink.rtp);
}

#[test]
fn a_conference_allocates_nothing() {
    const G722: Payload = payload(Codec::G722, 9, 8000);
    const PCMA: Payload = payload(Codec::Pcma, 8, 8000);
    let codecs = [(PCMU, Some(NOISE), 160), (G722, None, 160), (OPUS, None, 3), (PCMA, None, 160)];
    for round in 0..20u16 {
        let mut sink = Count::default();
        let mut worker = Worker::new(Arc::new(Music::silence()), [0; 32], WallTime(0));
        let mut slots = vec![];
        for (n, (payload, noise, _)) in (0..).zip(codecs) {
            slots.push(open(&mut worker, n, payload, noise, &mut sink));
        }
        for (n, slot) in (0..).zip(&slots) {
            let others = (0..4).filter(|other| *other != n).map(StreamId);
            worker.hear(*slot, Hear::Mix(others.collect()), None);
        }
        let mut before = 0;
        // As above: the time before the first report.
        for n in 0..60u16 {
            if n == 3 {
                before = ALLOCATIONS.with(Cell::get);
            }
            let now = Time::ZERO + TICK * u32::from(n);
            for (i, (payload, _, len)) in codecs.iter().enumerate() {
                // Some pause and some packets are lost, so that mixes part and unite.
                let pauses = (n / (5 + round) + i as u16).is_multiple_of(4);
                if n > 2 && (pauses || (n + i as u16 + round).is_multiple_of(17)) {
                    continue;
                }
                let mut datagram = [0x31; HEADER_LEN + 160];
                // In Opus: CELT, 20 ms.
                datagram[HEADER_LEN] = if payload.codec == Codec::Opus { 0xf8 } else { 0x31 };
                let timestamp = u32::from(n) * payload.clock_rate / 50;
                let payload_type = payload.send;
                let header =
                    Header { marker: false, payload_type, sequence: n, timestamp, ssrc: 7 };
                write_header(&mut datagram, &header);
                let datagram = &mut datagram[..HEADER_LEN + len];
                let from = addr(4000 + i as u16);
                worker.packet(now, slots[i], Channel::Rtp, from, datagram, &mut sink);
            }
            worker.tick(now, &mut sink);
        }
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "round {round}");
        assert!(sink.rtp >= 4 * 58, "{}", sink.rtp);
    }
}

#[test]
fn srtp_allocates_nothing() {
    const LEN: usize = HEADER_LEN + 160;
    for profile in Profile::ALL {
        let key = |seed| MasterKey::new(profile, &vec![seed; profile.key_and_salt_len()]).unwrap();
        let mut here = Srtp::new(Keying { profile, send: key(1), receive: key(2) });
        let mut there = Srtp::new(Keying { profile, send: key(2), receive: key(1) });
        let mut packet = [0; LEN + OVERHEAD_MAX];
        let before = ALLOCATIONS.with(Cell::get);
        for n in 0..1000 {
            let header =
                Header { marker: false, payload_type: 0, sequence: n, timestamp: 0, ssrc: 7 };
            write_header(&mut packet, &header);
            let len = here.protect_rtp(&mut packet, LEN).unwrap();
            assert_eq!(there.unprotect_rtp(&mut packet[..len]), Ok(LEN));
            assert!(there.unprotect_rtp(&mut packet[..len]).is_err());
            packet[1] = 200;
            let len = here.protect_rtcp(&mut packet, 28).unwrap();
            assert_eq!(there.unprotect_rtcp(&mut packet[..len]), Ok(28));
            assert_eq!(there.unprotect_rtcp(&mut packet[..5]), Err(Reason::Malformed));
        }
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{profile:?}");
    }
}

#[test]
fn playing_a_source_out_allocates_nothing() {
    for (codec, clock_rate) in [(Codec::Pcmu, 8000), (Codec::G722, 8000), (Codec::Opus, 48_000)] {
        let format = Format::new(codec, clock_rate).unwrap();
        let mut playout = Playout::new(format, 16_000, 1).unwrap();
        // In Opus: CELT, 20 ms, whatever it may say.
        let mut payload = [0x33; 160];
        payload[0] = 0xf8;
        let mut out = [0; 320];
        let before = ALLOCATIONS.with(Cell::get);
        for n in 0..2000u64 {
            // Some are lost, some overtaken by the next, and some describe silence.
            let now = Time::ZERO + Duration::from_millis(20 * n);
            let sequence = if n % 200 < 20 { n ^ 1 } else { n };
            let content = if n % 400 == 399 { Content::Noise } else { Content::Audio };
            let timestamp = sequence as u32 * (clock_rate / 50);
            let packet = Incoming { run: 1, sequence, timestamp, content, payload: &payload };
            if n % 11 != 5 {
                playout.put(now, &packet);
            }
            playout.pull(Time::ZERO + Duration::from_millis(20 * n + 7), &mut out);
        }
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{codec:?}");
        assert!(playout.stats().concealed > 0 && playout.stats().late > 0, "{codec:?}");
    }
}

#[test]
fn comfort_noise_allocates_nothing_after_the_first() {
    for noise_removal in [None, Some(NOISE)] {
        let mut sink = Count::default();
        let mut worker = Worker::new(Arc::new(Music::silence()), [0; 32], WallTime(0));
        let quiet = [PCMU, payload(Codec::ComfortNoise, 13, 8000)];
        let a = open_for(&mut worker, 0, &quiet, noise_removal, &mut sink);
        let b = open(&mut worker, 1, PCMU, None, &mut sink);
        worker.hear(b, Hear::Stream(StreamId(0)), Some(a));
        let mut before = 0;
        for n in 0..60u16 {
            if n == 20 {
                before = ALLOCATIONS.with(Cell::get);
            }
            let now = Time::ZERO + TICK * u32::from(n);
            // Half a period speech, half a period nothing.
            let (payload_type, len) = if n % 10 < 5 { (0, 160) } else { (13, 1) };
            let sequence = n / 10 * 6 + (n % 10).min(5);
            let header = Header {
                marker: false,
                payload_type,
                sequence,
                timestamp: u32::from(n) * 160,
                ssrc: 7,
            };
            let mut datagram = [40; HEADER_LEN + 160];
            write_header(&mut datagram, &header);
            if n % 10 <= 5 {
                let datagram = &mut datagram[..HEADER_LEN + len];
                worker.packet(now, a, Channel::Rtp, addr(4000), datagram, &mut sink);
            }
            worker.tick(now, &mut sink);
        }
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{noise_removal:?}");
        assert!((58..=61).contains(&sink.rtp), "{noise_removal:?}: {}", sink.rtp);
    }
}
