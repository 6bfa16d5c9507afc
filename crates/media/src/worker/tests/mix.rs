//! Several who hear each other: one frequency for each, so that a listener's samples tell whom it
//! hears; and a peer's tone that must not jump whatever becomes of the path.

mod change;
mod effort;
mod endings;
mod lengths;
mod loudest;
mod memory;
mod part;
mod plan;
mod seams;
mod secure;
mod wishes;

use std::f64::consts::TAU;

use super::*;
use crate::codec::{Decoder, Encoder, Format, OpusSettings, SAMPLES_MAX};
use crate::command::Sources;
use crate::srtp::{OVERHEAD_MAX, Srtp};

const G722: Payload = payload(Codec::G722, 4, 9, 8000);
const L16: Payload = payload(Codec::L16, 5, 97, 8000);
const WIDE_L16: Payload = payload(Codec::L16, 6, 98, 16_000);

/// −10 dBm0.
fn quiet() -> f64 {
    32_768.0 * 10f64.powf((-10.0 - 3.17) / 20.0)
}

/// A phone that says a tone and listens.
struct Leg {
    slot: Slot,
    payload: Payload,
    format: Format,
    encoder: Encoder,
    decoder: Decoder,
    from: String,
    hertz: f64,
    amplitude: f64,
    /// Speech instead of the tone, again and again.
    speech: Vec<i16>,
    /// Milliseconds after a tick at which its packets come, and how long each of them lasts.
    phase: u64,
    packet_ms: u64,
    said: usize,
    sequence: u16,
    timestamp: u32,
    heard: Vec<(Header, Vec<u8>)>,
    /// The phone's side of what protects it.
    srtp: Option<Srtp>,
    /// Reports that it has got.
    reports: usize,
}

impl Leg {
    fn say(&mut self) -> Vec<u8> {
        let rate = f64::from(self.format.sample_rate);
        let len = self.format.samples_of_ms(self.packet_ms as usize);
        let sample = |n: usize| self.amplitude * (TAU * self.hertz * n as f64 / rate).sin();
        let sample = |n: usize| match self.speech.len() {
            0 => sample(n).round() as i16,
            len => self.speech[n % len],
        };
        let pcm: Vec<_> = (self.said..self.said + len).map(sample).collect();
        self.said += len;
        let mut payload = [0; 1400];
        let bytes = self.encoder.encode(&pcm, &mut payload).unwrap();
        let (sequence, timestamp) = (self.sequence, self.timestamp);
        let payload_type = self.payload.receive;
        let header = Header { marker: false, payload_type, sequence, timestamp, ssrc: 9 };
        let mut datagram = vec![0; HEADER_LEN];
        write_header(&mut datagram, &header);
        datagram.extend(&payload[..bytes]);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.format.units(len as i64) as u32);
        if let Some(srtp) = &mut self.srtp {
            let len = datagram.len();
            datagram.resize(len + OVERHEAD_MAX, 0);
            let len = srtp.protect_rtp(&mut datagram, len).unwrap();
            datagram.truncate(len);
        }
        datagram
    }

    /// What has come to it by the network: all of it is its own, and protected if anything is.
    fn receive(&mut self, channel: Channel, mut datagram: Vec<u8>) {
        // RFC 5761 §4: reports may come by the port of the audio.
        let is_report = channel == Channel::Rtcp || (192..224).contains(&datagram[1]);
        if let Some(srtp) = &mut self.srtp {
            let len = match is_report {
                true => srtp.unprotect_rtcp(&mut datagram).unwrap(),
                false => srtp.unprotect_rtp(&mut datagram).unwrap(),
            };
            datagram.truncate(len);
        }
        if is_report {
            self.reports += 1;
        } else {
            let packet = rtp::parse(&datagram).unwrap();
            self.heard.push((packet.header, datagram[packet.payload].to_vec()));
        }
    }

    /// What it has heard since the last time, as samples at its codec's rate.
    fn listen(&mut self) -> Vec<i16> {
        let mut pcm = Vec::new();
        for (header, payload) in std::mem::take(&mut self.heard) {
            assert_eq!(header.payload_type, self.payload.send);
            let mut out = [0; SAMPLES_MAX];
            let len = self.decoder.decode(&payload, &mut out).unwrap();
            pcm.extend(&out[..len]);
        }
        pcm
    }

    fn listening_rate(&self) -> u32 {
        Format::of(&self.payload).unwrap().sample_rate
    }
}

/// A call of several legs.
struct Room {
    world: World,
    legs: Vec<Leg>,
    ms: u64,
}

impl Room {
    /// Legs with a codec each, and the rate their phones work at.
    fn new(codecs: &[(Payload, u32)]) -> Self {
        let mut room = Self { world: World::new(), legs: vec![], ms: 0 };
        for (payload, rate) in codecs {
            room.join(*payload, *rate);
        }
        room
    }

    fn join(&mut self, payload: Payload, rate: u32) -> usize {
        let n = self.legs.len();
        let from = format!("192.0.2.{}:4000", n + 1);
        let slot = self.world.open(n as u64, config(&from, &[payload]));
        let format = Format::of(&payload).unwrap().for_rate(rate);
        self.legs.push(Leg {
            slot,
            payload,
            encoder: Encoder::new(&format, OpusSettings::default()).unwrap(),
            decoder: Decoder::new(&Format::of(&payload).unwrap()).unwrap(),
            format,
            from,
            hertz: 400.0 + 300.0 * n as f64,
            amplitude: 1000.0,
            speech: vec![],
            phase: (7 * n as u64 + 3) % 20,
            packet_ms: 20,
            said: 0,
            sequence: 60_000 + n as u16,
            timestamp: n as u32 * 1_000_003,
            heard: vec![],
            srtp: None,
            reports: 0,
        });
        n
    }

    fn hear(&mut self, leg: usize, hear: Hear) {
        let source = match hear {
            Hear::Stream(id) => Some(self.legs[id.0 as usize].slot),
            Hear::Nothing | Hear::Music | Hear::Silence | Hear::Mix(_) | Hear::Tone(_) => None,
        };
        self.world.hear(self.legs[leg].slot, hear, source);
    }

    /// Everybody in `legs` hears all others in it.
    fn conference(&mut self, legs: &[usize]) {
        for leg in legs {
            self.hear(*leg, others(legs, *leg));
        }
    }

    /// Time passes; phones talk, the worker ticks.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.ms += 1;
            self.world.pass(1);
            for n in 0..self.legs.len() {
                let leg = &mut self.legs[n];
                if self.ms % leg.packet_ms == leg.phase % leg.packet_ms {
                    let (slot, from, datagram) = (leg.slot, leg.from.clone(), leg.say());
                    self.world.receive(slot, Channel::Rtp, &from, datagram);
                }
            }
            if self.ms.is_multiple_of(20) {
                self.world.worker.tick(self.world.now, &mut self.world.wire);
            }
            for (slot, channel, _, datagram) in std::mem::take(&mut self.world.wire.sent) {
                // Who is gone says goodbye.
                let leg = self.legs.iter_mut().find(|leg| leg.slot == slot);
                if let Some(leg) = leg {
                    leg.receive(channel, datagram);
                }
            }
        }
    }

    /// A second of what each leg hears, half a second from now.
    fn listen(&mut self) -> Vec<Vec<i16>> {
        self.run(500);
        self.legs.iter_mut().for_each(|leg| drop(leg.listen()));
        self.run(1000);
        self.legs.iter_mut().map(Leg::listen).collect()
    }

    /// Whom each leg hears, and that at the right level: the error allowed, dB, and how far below
    /// its source whoever is not heard has to be.
    fn voices(&self, heard: &[Vec<i16>], (gain_max, absent): (f64, f64)) -> Vec<Vec<usize>> {
        // What Opus leaves of several tones at once is no matter of ours.
        self.voices_by(heard, |_, listener| match self.is_opus(listener) {
            true => (gain_max + 4.0, absent),
            false => (gain_max, absent),
        })
    }

    /// The same with limits for each source and listener.
    fn voices_by(
        &self,
        heard: &[Vec<i16>],
        limits: impl Fn(usize, usize) -> (f64, f64),
    ) -> Vec<Vec<usize>> {
        let mut voices = vec![];
        for (listener, pcm) in heard.iter().enumerate() {
            let rate = self.legs[listener].listening_rate();
            let mut row = vec![];
            for (source, leg) in self.legs.iter().enumerate() {
                let (gain_max, absent) = limits(source, listener);
                let gain = db(level(pcm, leg.hertz, rate) / leg.amplitude);
                let what = format!("{source} to {listener}: {gain:.2} dB");
                assert!(gain.abs() < gain_max || gain < absent, "{what}");
                if gain > absent {
                    row.push(source);
                }
            }
            voices.push(row);
        }
        voices
    }

    fn is_opus(&self, leg: usize) -> bool {
        self.legs[leg].payload.codec == Codec::Opus
    }
}

/// All of `legs` but one.
fn others(legs: &[usize], leg: usize) -> Hear {
    let ids = legs.iter().filter(|other| **other != leg).map(|other| StreamId(*other as u64));
    Hear::Mix(Sources::from_iter(ids))
}

fn mix(legs: &[usize]) -> Hear {
    Hear::Mix(legs.iter().map(|leg| StreamId(*leg as u64)).collect())
}

/// Amplitude of a frequency of whole periods in a tenth of a second.
fn level(pcm: &[i16], hertz: f64, rate: u32) -> f64 {
    let period = rate as usize / 10;
    let pcm = &pcm[..pcm.len() / period * period];
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let (sin, cos) = (TAU * hertz * n as f64 / f64::from(rate)).sin_cos();
        re += f64::from(*sample) * cos;
        im += f64::from(*sample) * sin;
    }
    2.0 * f64::hypot(re, im) / pcm.len().max(1) as f64
}

/// Amplitude of all that is not this frequency.
fn rest(pcm: &[i16], hertz: f64, rate: u32) -> f64 {
    let tone = level(pcm, hertz, rate);
    let power = pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len().max(1) as f64;
    (2.0 * power - tone * tone).max(0.0).sqrt()
}

fn db(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-9).log10()
}

/// What is left of a sound without its tones, at each sample: where a steady tone jumps, breaks
/// off or begins at once, it is large.
fn clicks(pcm: &[i16], hertz: &[f64], rate: u32) -> Vec<f64> {
    let mut left: Vec<f64> = pcm.iter().map(|sample| f64::from(*sample)).collect();
    for hertz in hertz {
        let turn = 2.0 * (TAU * hertz / f64::from(rate)).cos();
        left = left.windows(3).map(|w| w[2] - turn * w[1] + w[0]).collect();
    }
    left
}

/// What is above 2 kHz, where no tone is: of a step most, of a fade nothing.
fn highs(pcm: &[i16]) -> Vec<f64> {
    const HALF: i32 = 40;
    let low = |n: i32| {
        let x = f64::from(n) / f64::from(HALF + 1);
        let blackman = 0.42 + 0.5 * (TAU * x / 2.0).cos() + 0.08 * (TAU * x).cos();
        let angle = TAU / 4.0 * f64::from(n);
        let sinc = if n == 0 { 0.5 } else { angle.sin() / (TAU / 2.0 * f64::from(n)) };
        sinc * blackman
    };
    let taps: Vec<_> = (-HALF..=HALF).map(|n| f64::from(n == 0) - low(n)).collect();
    let at = |w: &[i16]| w.iter().zip(&taps).map(|(sample, tap)| f64::from(*sample) * tap).sum();
    pcm.windows(taps.len()).map(at).collect()
}

/// One RTP session: numbers in a row, timestamps by the packet's length.
fn one_session(packets: &[(Header, Vec<u8>)], units: u32) {
    for pair in packets.windows(2) {
        let (before, after) = (pair[0].0, pair[1].0);
        assert_eq!(after.ssrc, before.ssrc);
        assert_eq!(after.sequence.wrapping_sub(before.sequence), 1);
        assert_eq!(after.timestamp.wrapping_sub(before.timestamp), units);
    }
}
