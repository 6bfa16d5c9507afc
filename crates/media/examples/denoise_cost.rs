//! What noise removal costs in a worker: per cent of a core for one stream's 50 packets a second,
//! from the datagram to the datagram that the listener gets, best of several rounds.
//!
//! `cargo run --release -p media --example denoise_cost`
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used)]

use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Time, WallTime};
use media::codec::{Encoder, Format, OpusSettings, SAMPLES_MAX};
use media::command::{
    BridgeId, Codec, Hear, Keys, MediaEvent, NoiseRemoval, Payload, Remote, StreamConfig, StreamId,
};
use media::denoise::DenoiseSettings;
use media::player::Music;
use media::rtp::{HEADER_LEN, Header, write_header};
use media::stream::Numbers;
use media::worker::{Channel, Sink, Slot, Worker};

const ROUNDS: u32 = 7;
/// 20 s of sound.
const PACKETS: usize = 1000;

struct Nobody;

impl Sink for Nobody {
    fn send(&mut self, _: Slot, _: Channel, _: SocketAddr, _: &[u8]) -> bool {
        true
    }

    fn event(&mut self, _: MediaEvent) {}

    fn pin(&mut self, _: Slot, _: Channel, _: Option<SocketAddr>) {}
}

#[derive(Clone, Copy, Debug)]
enum Sound {
    /// Somebody speaks half of the time, in noise 15 dB below.
    Talking,
    /// The noise alone.
    Noise,
    Silence,
}

/// A number from -1 to 1 that looks like chance.
fn chance(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
}

fn samples(sound: Sound, rate: u32) -> Vec<i16> {
    let mut state = 1;
    let mut phase = 0.0;
    let sample = |n: usize| {
        let time = n as f64 / f64::from(rate);
        let pitch = 130.0 + 30.0 * (TAU * 0.7 * time).sin();
        phase += TAU * pitch / f64::from(rate);
        let loud = if time.fract() < 0.5 { (TAU * 4.0 * time).sin().abs() } else { 0.0 };
        let harmonics = (1..20).map(f64::from);
        let voice: f64 = harmonics.map(|n| f64::sin(n * phase) / (1.0 + 0.3 * n)).sum();
        let noise = 400.0 * chance(&mut state);
        match sound {
            Sound::Talking => (2000.0 * loud * voice + noise) as i16,
            Sound::Noise => noise as i16,
            Sound::Silence => 0,
        }
    };
    (0..PACKETS * rate as usize / 50).map(sample).collect()
}

fn open(worker: &mut Worker, id: u64, payload: Payload, noise: Option<NoiseRemoval>) -> Slot {
    let numbers = Numbers { ssrc: 1, sequence: 0, timestamp: 0 };
    let slot = worker.open(Time::ZERO, (StreamId(id), BridgeId(1)), true, numbers);
    let remote = address(id);
    let config = StreamConfig {
        remote: Some(Remote { rtp: remote, rtcp: remote, rtcp_mux: true }),
        signalling_source: None,
        payloads: vec![payload],
        send: true,
        receive: true,
        ptime_ms: 20,
        rtp_timeout: None,
        symmetric: true,
        srtp: None,
        path: None,
        noise_removal: noise,
        voip_metrics: false,
        keys: Keys::default(),
        opus: media::codec::OpusFormat::default(),
    };
    worker.configure(Time::ZERO, slot, config, &mut Nobody);
    slot
}

fn address(id: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4000 + id as u16))
}

/// Datagrams of a sound as the peer sends them.
fn datagrams(sound: Sound, payload: &Payload) -> Vec<Vec<u8>> {
    let format = Format::of(payload).unwrap();
    let mut encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
    let pcm = samples(sound, format.sample_rate);
    let packets = pcm.chunks(format.sample_rate as usize / 50).zip(0_u16..);
    let datagram = |(pcm, n): (&[i16], u16)| {
        let mut bytes = vec![0; HEADER_LEN + SAMPLES_MAX];
        let header = Header {
            marker: false,
            payload_type: payload.send,
            sequence: n,
            timestamp: u32::from(n) * payload.clock_rate / 50,
            ssrc: 7,
        };
        write_header(&mut bytes, &header);
        let len = encoder.encode(pcm, &mut bytes[HEADER_LEN..]).unwrap();
        bytes.truncate(HEADER_LEN + len);
        bytes
    };
    packets.map(datagram).collect()
}

/// Microseconds of a packet from `payload` to itself.
fn cost(sound: Sound, payload: Payload, noise: Option<NoiseRemoval>) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let mut worker = Worker::new(Arc::new(Music::silence()), [0; 32], WallTime(0));
        let a = open(&mut worker, 0, payload, noise);
        let b = open(&mut worker, 1, payload, None);
        worker.hear(a, Hear::Stream(StreamId(1)), Some(b));
        worker.hear(b, Hear::Stream(StreamId(0)), Some(a));
        let mut packets = datagrams(sound, &payload);
        let start = Instant::now();
        for (packet, n) in packets.iter_mut().zip(0_u32..) {
            let now = Time::ZERO + Duration::from_millis(20) * (n % 60);
            worker.packet(now, a, Channel::Rtp, address(0), packet, &mut Nobody);
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / PACKETS as f64);
    }
    best
}

fn main() {
    let payload = |codec, number, clock_rate| Payload {
        codec,
        key: number,
        send: number,
        receive: number,
        clock_rate,
    };
    let on = NoiseRemoval { enabled: true, settings: DenoiseSettings::default() };
    let off = NoiseRemoval { enabled: false, ..on };
    println!("| codec | sound | relayed | decoded and encoded | noise removed | that alone |");
    println!("|---|---|---|---|---|---|");
    for codec in [payload(Codec::Pcmu, 0, 8000), payload(Codec::G722, 9, 8000)] {
        for sound in [Sound::Talking, Sound::Noise, Sound::Silence] {
            let [relayed, decoded, cleaned] =
                [None, Some(off), Some(on)].map(|noise| cost(sound, codec, noise));
            let share = |us: f64| us * 50.0 / 1e6 * 100.0;
            println!(
                "| {:?} | {sound:?} | {:.4} % | {:.4} % | {:.4} % | {:.4} % |",
                codec.codec,
                share(relayed),
                share(decoded),
                share(cleaned),
                share(cleaned - decoded)
            );
        }
    }
}
