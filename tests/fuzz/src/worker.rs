//! One media thread: streams, commands, datagrams from anywhere.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base::{Time, WallTime};
use media::codec::OpusFormat;
use media::command::{
    Beside, BridgeId, CallTone, Codec, Hear, KeyForm, Keys, MediaEvent, NoiseRemoval, Payload,
    Remote, Sources, StreamConfig, StreamId,
};
use media::denoise::DenoiseSettings;
use media::dtmf::{Digit, Digits};
use media::player::Music;
use media::rtp::{DATAGRAM_MAX, is_rtcp, parse};
use media::stream::Numbers;
use media::worker::{Channel, Sink, Slot, TICK, Worker};

use crate::reader::Reader;

const STREAMS_MAX: usize = 5;
const STEPS_MAX: usize = 400;

static MUSIC: LazyLock<Arc<Music>> =
    LazyLock::new(|| Arc::new(Music::from_pcm(&[100, -100, 3000, 0], 8000)));

const SOURCES: [&str; 6] = [
    "192.0.2.1:4000",
    "192.0.2.1:4001",
    "192.0.2.1:5555",
    "198.51.100.7:4000",
    "[2001:db8::1]:4000",
    "203.0.113.66:4000",
];

/// Nobody who is neither in SDP nor at the signalling address is in [`SOURCES`] but this one.
const STRANGER: usize = 5;

const CODECS: [(Codec, u8, u32); 8] = [
    (Codec::Pcmu, 0, 8000),
    (Codec::Pcma, 8, 8000),
    (Codec::G722, 9, 8000),
    (Codec::Opus, 111, 48_000),
    (Codec::L16, 96, 8000),
    (Codec::TelephoneEvent, 101, 8000),
    (Codec::ComfortNoise, 13, 8000),
    (Codec::Other, 127, u32::MAX),
];

/// The bytes are steps: open, configure, hear, packets, ticks, close.
pub fn worker(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let worker = Worker::new(MUSIC.clone(), [7; 32], WallTime(1_700_000_000_000));
    let mut world =
        World { worker, now: Time::ZERO, wire: Wire::default(), open: Vec::new(), opened: 0 };
    for _ in 0..STEPS_MAX {
        if reader.is_empty() {
            break;
        }
        world.step(&mut reader);
    }
    world.finish();
}

struct World {
    worker: Worker,
    now: Time,
    wire: Wire,
    open: Vec<(Slot, StreamId)>,
    opened: u64,
}

/// What the worker has said, and where packets may go.
#[derive(Default)]
struct Wire {
    sent: usize,
    pinned: usize,
    fails: bool,
    ssrc: BTreeMap<usize, u32>,
}

impl Sink for Wire {
    fn send(&mut self, slot: Slot, channel: Channel, to: SocketAddr, datagram: &[u8]) -> bool {
        self.sent += 1;
        assert!(datagram.len() <= DATAGRAM_MAX + 64, "{} bytes", datagram.len());
        assert!(to.port() != 0 && !to.ip().is_unspecified(), "{to}");
        assert!(
            !SOURCES[STRANGER].parse().is_ok_and(|stranger: SocketAddr| to == stranger),
            "to a stranger"
        );
        if channel == Channel::Rtp && !is_rtcp(datagram) {
            let packet = parse(datagram).expect("a packet of ours can be read");
            assert_eq!(Some(&packet.header.ssrc), self.ssrc.get(&slot.0), "one SSRC for ever");
        }
        !self.fails
    }

    fn event(&mut self, event: MediaEvent) {
        if let MediaEvent::FirstPacket { from, .. } = event {
            assert!(!SOURCES[STRANGER].parse().is_ok_and(|stranger: SocketAddr| from == stranger));
        }
    }

    fn pin(&mut self, _slot: Slot, _channel: Channel, peer: Option<SocketAddr>) {
        self.pinned += usize::from(peer.is_some());
    }
}

impl World {
    fn step(&mut self, reader: &mut Reader<'_>) {
        match reader.below(16) {
            0 => self.open(reader),
            1 | 2 => self.configure(reader),
            3 | 4 => self.hear(reader),
            5 => self.close(reader),
            6 => self.pass(reader),
            7 => self.burst(reader),
            8 => self.wire.fails = reader.one_in(2),
            9 => self.travel(reader),
            _ => self.packet(reader),
        }
    }

    fn open(&mut self, reader: &mut Reader<'_>) {
        if self.open.len() == STREAMS_MAX {
            return;
        }
        self.opened += 1;
        let id = StreamId(self.opened);
        let (ssrc, sequence, timestamp) = (reader.word(), reader.number(), reader.word());
        let numbers = Numbers { ssrc, sequence, timestamp };
        let slot = self.worker.open(self.now, (id, BridgeId(1)), reader.one_in(2), numbers);
        assert!(!self.open.iter().any(|(other, _)| *other == slot), "a slot in use");
        self.wire.ssrc.insert(slot.0, ssrc);
        self.open.push((slot, id));
    }

    fn configure(&mut self, reader: &mut Reader<'_>) {
        let Some((slot, _)) = reader.recent(&self.open).copied() else { return };
        let config = config(reader);
        self.worker.configure(self.now, slot, config, &mut self.wire);
    }

    fn hear(&mut self, reader: &mut Reader<'_>) {
        let Some((listener, _)) = reader.recent(&self.open).copied() else { return };
        let Some((slot, id)) = reader.recent(&self.open).copied() else { return };
        let hear = match reader.below(8) {
            0 | 1 => Hear::Stream(id),
            2 => Hear::Music,
            3 => Hear::Silence,
            4 => Hear::Nothing,
            5 => Hear::Tone(CallTone::ALL[reader.below(3)]),
            // Some of them open later, or never.
            _ => Hear::Mix(sources(reader, self.opened + 1)),
        };
        let known = !reader.one_in(8);
        self.worker.hear(listener, hear, known.then_some(slot));
    }

    /// A stream goes to another call, or away and back as to another worker.
    fn travel(&mut self, reader: &mut Reader<'_>) {
        if self.open.is_empty() {
            return;
        }
        let (index, bridge) = (reader.below(self.open.len()), BridgeId(1 + reader.below(2) as u64));
        let (slot, id) = self.open[index];
        if reader.one_in(2) {
            return self.worker.move_to(slot, bridge);
        }
        let ssrc = self.wire.ssrc.get(&slot.0).copied().expect("it is open");
        let traveller = self.worker.depart(slot).expect("it is open");
        let slot = self.worker.arrive(traveller, bridge);
        self.wire.ssrc.insert(slot.0, ssrc);
        self.open[index] = (slot, id);
    }

    fn close(&mut self, reader: &mut Reader<'_>) {
        if self.open.is_empty() {
            return;
        }
        let (slot, _) = self.open.remove(reader.below(self.open.len()));
        assert!(self.worker.close(self.now, slot, &mut self.wire).is_some());
    }

    fn pass(&mut self, reader: &mut Reader<'_>) {
        for _ in 0..=reader.byte() % 64 {
            self.now = self.now + TICK;
            self.worker.tick(self.now, &mut self.wire);
        }
    }

    /// A run of good packets, as a peer sends them.
    fn burst(&mut self, reader: &mut Reader<'_>) {
        let (from, first) = (reader.below(SOURCES.len()), reader.number());
        let payload_type = reader.pick(&CODECS).1;
        for n in 0..u16::from(reader.byte()) {
            let mut datagram = vec![0x80, payload_type];
            datagram.extend(first.wrapping_add(n).to_be_bytes());
            datagram.extend((u32::from(n) * 160).to_be_bytes());
            datagram.extend([0, 0, 0, 1]);
            datagram.resize(172, 0xd5);
            self.arrive(from, Channel::Rtp, &mut datagram, self.open.first().copied());
            self.now = self.now + TICK;
        }
    }

    fn packet(&mut self, reader: &mut Reader<'_>) {
        let from = reader.below(SOURCES.len());
        let channel = [Channel::Rtp, Channel::Rtp, Channel::Rtp, Channel::Rtcp][reader.below(4)];
        let to = reader.recent(&self.open).copied();
        let mut datagram = match reader.below(4) {
            0 => vec![0x80, 200 + reader.byte() % 8, 0, 6],
            1 => vec![0x80 | reader.byte() & 0x3f, reader.byte()],
            _ => vec![0x80, reader.pick(&CODECS).1],
        };
        datagram.extend_from_slice(reader.some(60));
        self.arrive(from, channel, &mut datagram, to);
        self.now = self.now + Duration::from_millis(u64::from(reader.byte()));
    }

    fn arrive(
        &mut self,
        from: usize,
        channel: Channel,
        datagram: &mut [u8],
        to: Option<(Slot, StreamId)>,
    ) {
        let slot = to.map_or(Slot(usize::MAX), |(slot, _)| slot);
        let source = SOURCES[from].parse().expect("an address");
        let before = self.wire.sent;
        self.worker.packet(self.now, slot, channel, source, datagram, &mut self.wire);
        let sent = self.wire.sent - before;
        // After a silence up to 80 ms of its noise may still be missing.
        assert!(sent < STREAMS_MAX * 5, "{sent} for one");
        assert!(from != STRANGER || sent == 0, "a stranger is heard");
    }

    fn finish(&mut self) {
        for (slot, _) in std::mem::take(&mut self.open) {
            assert!(self.worker.close(self.now, slot, &mut self.wire).is_some());
        }
        assert!(self.worker.is_idle());
        let sent = self.wire.sent;
        for _ in 0..100 {
            self.now = self.now + TICK;
            self.worker.tick(self.now, &mut self.wire);
        }
        assert_eq!(self.wire.sent, sent, "silence after the end");
    }
}

fn sources(reader: &mut Reader<'_>, most: u64) -> Sources {
    let streams = (0..reader.below(9)).map(|_| StreamId(u64::from(reader.byte()) % most + 1));
    let streams: Sources = streams.collect();
    let sounds = [None, Some(Beside::Music), Some(Beside::Tone(CallTone::Busy))];
    streams.beside(sounds[reader.below(3)])
}

fn config(reader: &mut Reader<'_>) -> StreamConfig {
    let address = |reader: &mut Reader<'_>| -> SocketAddr {
        SOURCES[reader.below(STRANGER)].parse().expect("an address")
    };
    let remote = (!reader.one_in(8)).then(|| Remote {
        rtp: address(reader),
        rtcp: address(reader),
        rtcp_mux: reader.one_in(2),
    });
    let signalling: Option<IpAddr> = reader.one_in(2).then(|| address(reader).ip());
    let payloads = (0..reader.below(40)).map(|_| {
        let (codec, number, clock_rate) = *reader.pick(&CODECS);
        let odd = reader.one_in(8);
        let [send, receive] =
            if odd { [reader.byte() & 127, reader.byte() & 127] } else { [number; 2] };
        let clock_rate = if odd { reader.word() } else { clock_rate };
        Payload { codec, key: reader.byte() & 7, send, receive, clock_rate }
    });
    let payloads = payloads.collect();
    let flags = reader.byte();
    StreamConfig {
        remote,
        signalling_source: signalling,
        payloads,
        send: flags & 3 != 3,
        receive: flags & 12 != 12,
        ptime_ms: reader.byte(),
        rtp_timeout: (flags & 16 != 0).then(|| Duration::from_millis(reader.number().into())),
        symmetric: flags & 32 == 0,
        srtp: None,
        path: None,
        noise_removal: (flags & 64 != 0).then(|| NoiseRemoval {
            enabled: flags & 128 != 0,
            settings: DenoiseSettings::default(),
        }),
        voip_metrics: flags & 3 == 2,
        keys: Keys {
            form: *reader.pick(&[KeyForm::Agreed, KeyForm::Events, KeyForm::Signalled]),
            in_band: reader.one_in(2),
            kept: match reader.one_in(2) {
                true => Digit::from_event(10).into_iter().collect(),
                false => Digits::default(),
            },
        },
        opus: OpusFormat {
            max_playback_rate: [8000, 16_000, 48_000][reader.below(3)],
            fec: reader.one_in(2),
            dtx: reader.one_in(2),
            ..OpusFormat::default()
        },
    }
}
