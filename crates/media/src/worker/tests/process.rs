//! What is decoded, cleaned and encoded again on its way: tones tell what became of it.

use std::f64::consts::TAU;

use super::*;
use crate::codec::{Decoder, Encoder, Format, OpusSettings, SAMPLES_MAX};
use crate::command::NoiseRemoval;
use crate::denoise::DenoiseSettings;

const G722: Payload = payload(Codec::G722, 4, 9, 8000);
const L16: Payload = payload(Codec::L16, 5, 97, 16_000);
const WIDE_EVENTS: Payload = payload(Codec::TelephoneEvent, 6, 110, 48_000);
const NOISE: NoiseRemoval =
    NoiseRemoval { enabled: true, settings: DenoiseSettings { attenuation_limit_db: 22 } };
/// −10 dBm0 or so.
const AMPLITUDE: f64 = 8000.0;

/// A phone that says a tone and listens.
pub(super) struct Phone {
    payload: Payload,
    pub(super) format: Format,
    encoder: Encoder,
    decoder: Decoder,
    said: usize,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
}

impl Phone {
    pub(super) fn new(payload: Payload) -> Self {
        let format = Format::of(&payload).unwrap();
        Self {
            payload,
            encoder: Encoder::new(&format, OpusSettings::default()).unwrap(),
            decoder: Decoder::new(&format).unwrap(),
            said: 0,
            sequence: 1000,
            timestamp: 77,
            format,
        }
    }

    /// The next packet of a tone.
    pub(super) fn say(&mut self, hertz: f64, ms: usize) -> Vec<u8> {
        let rate = f64::from(self.format.sample_rate);
        let len = self.format.samples_of_ms(ms);
        let pcm: Vec<_> = (self.said..self.said + len)
            .map(|n| (AMPLITUDE * (TAU * hertz * n as f64 / rate).sin()) as i16)
            .collect();
        self.said += len;
        let mut payload = [0; 4000];
        let bytes = self.encoder.encode(&pcm, &mut payload).unwrap();
        let datagram = self.packet(self.payload.receive, false, &payload[..bytes]);
        self.skip(ms);
        datagram
    }

    pub(super) fn packet(&self, payload_type: u8, marker: bool, payload: &[u8]) -> Vec<u8> {
        let (sequence, timestamp) = (self.sequence, self.timestamp);
        let header = Header { marker, payload_type, sequence, timestamp, ssrc: 5 };
        let mut datagram = vec![0; HEADER_LEN];
        write_header(&mut datagram, &header);
        datagram.extend(payload);
        datagram
    }

    /// A packet is lost.
    pub(super) fn skip(&mut self, ms: usize) {
        self.sequence = self.sequence.wrapping_add(1);
        let units = self.format.units(self.format.samples_of_ms(ms) as i64) as u32;
        self.timestamp = self.timestamp.wrapping_add(units);
    }

    pub(super) fn listen(&mut self, packets: &[(Header, Vec<u8>)]) -> Vec<i16> {
        let mut pcm = Vec::new();
        for (header, payload) in packets {
            assert_eq!(header.payload_type, self.payload.send);
            let mut out = [0; SAMPLES_MAX];
            let len = self.decoder.decode(payload, &mut out).unwrap();
            pcm.extend(&out[..len]);
        }
        pcm
    }
}

/// Amplitude of `hertz` and of all the rest, in the second half.
fn analyse(pcm: &[i16], hertz: f64, rate: u32) -> (f64, f64) {
    let pcm = &pcm[pcm.len() / 2..];
    let rate = f64::from(rate);
    // Whole periods, so that the tone does not leak into the rest.
    let period = (rate / 20.0) as usize;
    let pcm = &pcm[..pcm.len() / period * period];
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let (sin, cos) = (TAU * hertz * n as f64 / rate).sin_cos();
        re += f64::from(*sample) * cos;
        im += f64::from(*sample) * sin;
        power += f64::from(*sample).powi(2);
    }
    let tone = 2.0 * f64::hypot(re, im) / pcm.len() as f64;
    let rest = (power / pcm.len() as f64 - tone * tone / 2.0).max(0.0);
    (tone, (2.0 * rest).sqrt())
}

fn decibel(ratio: f64) -> f64 {
    20.0 * ratio.log10()
}

/// Says a second of a tone to the customer's stream; what the agent's stream sent.
fn tell(
    world: &mut World,
    (a, b): (Slot, Slot),
    phone: &mut Phone,
    ms: usize,
) -> Vec<(Header, Vec<u8>)> {
    let mut heard = Vec::new();
    for _ in 0..1000 / ms {
        world.pass(ms as u64);
        let datagram = phone.say(1020.0, ms);
        world.receive(a, Channel::Rtp, CUSTOMER, datagram);
        heard.extend(world.heard(b));
    }
    heard
}

fn one_session(packets: &[(Header, Vec<u8>)], units: u32) {
    for pair in packets.windows(2) {
        let [(before, _), (after, _)] = pair else { unreachable!() };
        assert_eq!(after.ssrc, before.ssrc);
        assert_eq!(after.sequence.wrapping_sub(before.sequence), 1);
        assert_eq!(after.timestamp.wrapping_sub(before.timestamp), units);
    }
}

#[test]
fn a_tone_passes_from_every_codec_to_every_other() {
    let codecs = [PCMU, PCMA, G722, L16, OPUS];
    for from in codecs {
        for to in codecs.into_iter().filter(|to| *to != from) {
            let (mut world, a, b) = World::call(&[from], &[to]);
            let mut customer = Phone::new(from);
            let heard = tell(&mut world, (a, b), &mut customer, 20);
            assert!((48..=50).contains(&heard.len()), "{from:?} {to:?}: {}", heard.len());
            one_session(&heard, to.clock_rate / 50);
            let mut agent = Phone::new(to);
            let pcm = agent.listen(&heard);
            let (tone, rest) = analyse(&pcm, 1020.0, agent.format.sample_rate);
            let gain = decibel(tone / AMPLITUDE);
            let lossy = [from.codec, to.codec].contains(&Codec::Opus);
            let (gain_max, rest_max) = if lossy { (1.0, -20.0) } else { (0.3, -30.0) };
            assert!(gain.abs() < gain_max, "{:?} {:?}: {gain} dB", from.codec, to.codec);
            let rest = decibel(rest / tone);
            assert!(rest < rest_max, "{:?} {:?}: {rest} dB", from.codec, to.codec);
        }
    }
}

#[test]
fn packets_of_any_length_come_out_as_twenty_milliseconds() {
    for ms in [10, 20, 40] {
        let (mut world, a, b) = World::call(&[OPUS], &[PCMU]);
        let heard = tell(&mut world, (a, b), &mut Phone::new(OPUS), ms);
        assert!((48..=50).contains(&heard.len()), "{ms}: {}", heard.len());
        one_session(&heard, 160);
    }
}

#[test]
fn a_peer_that_changes_its_codec_is_heard_on_in_one_session() {
    let (mut world, a, b) = World::call(&[PCMU, OPUS], &[PCMU]);
    let mut heard = tell(&mut world, (a, b), &mut Phone::new(PCMU), 20);
    let mut opus = Phone { sequence: 1050, timestamp: 77 + 8000, ..Phone::new(OPUS) };
    heard.extend(tell(&mut world, (a, b), &mut opus, 20));
    let mut pcmu = Phone { sequence: 1100, timestamp: 77 + 16_000, ..Phone::new(PCMU) };
    heard.extend(tell(&mut world, (a, b), &mut pcmu, 20));
    assert!((148..=150).contains(&heard.len()), "{}", heard.len());
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0.sequence.wrapping_sub(pair[0].0.sequence), 1);
        let step = pair[1].0.timestamp.wrapping_sub(pair[0].0.timestamp);
        assert!((160..=320).contains(&step), "{step}");
    }
}

#[test]
fn lost_packets_are_lost_to_the_listener_too() {
    let (mut world, a, b) = World::call(&[PCMA], &[PCMU]);
    let mut phone = Phone::new(PCMA);
    let before = tell(&mut world, (a, b), &mut phone, 20);
    phone.skip(20);
    phone.skip(20);
    world.pass(40);
    let after = tell(&mut world, (a, b), &mut phone, 20);
    let (last, first) = (before.last().unwrap().0, after[0].0);
    assert_eq!(first.sequence.wrapping_sub(last.sequence), 3);
    assert_eq!(first.timestamp.wrapping_sub(last.timestamp), 480);
    assert!(!first.marker, "it is no new talk spurt");
}

#[test]
fn n3_noise_removal_is_switched_in_one_session() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    let mut phone = Phone::new(PCMU);
    let mut heard = Vec::new();
    let off = NoiseRemoval { enabled: false, ..NOISE };
    // On, off, on; then policy takes it away and gives it back.
    for noise_removal in [None, Some(NOISE), Some(off), Some(NOISE), None, Some(off)] {
        let change = StreamConfig { noise_removal, ..config(CUSTOMER, &[PCMU]) };
        world.configure(a, change);
        heard.extend(tell(&mut world, (a, b), &mut phone, 20));
    }
    assert_eq!(heard.len(), 300, "not a packet more or less");
    one_session(&heard, 160);
    let markers: Vec<_> = (0..300).filter(|n| heard[*n].0.marker).collect();
    assert_eq!(markers, [0, 50, 201, 250], "only where the way changes");
}

/// Level of white noise after noise removal.
fn noise_after(noise_removal: Option<NoiseRemoval>) -> f64 {
    let (mut world, a, b) = World::call(&[L16], &[L16]);
    world.configure(a, StreamConfig { noise_removal, ..config(CUSTOMER, &[L16]) });
    let mut rng = Rng::new([3; 32]);
    let mut phone = Phone::new(L16);
    let mut pcm = Vec::new();
    for _ in 0..200 {
        let payload: Vec<u8> =
            (0..320).flat_map(|_| (rng.below(4000) as i16 - 2000).to_be_bytes()).collect();
        world.pass(20);
        let datagram = phone.packet(97, false, &payload);
        phone.skip(20);
        world.receive(a, Channel::Rtp, CUSTOMER, datagram);
        pcm.extend(phone.listen(&world.heard(b)));
    }
    analyse(&pcm, 1020.0, 16_000).1
}

#[test]
fn n1_noise_goes() {
    let attenuation = decibel(noise_after(Some(NOISE)) / noise_after(None));
    assert!(attenuation < -12.0, "white noise: {attenuation} dB");
}

#[test]
fn events_go_with_transcoded_audio_in_the_listeners_clock() {
    let (mut world, a, b) = World::call(&[PCMU, EVENTS], &[OPUS, WIDE_EVENTS]);
    let mut phone = Phone::new(PCMU);
    let before = tell(&mut world, (a, b), &mut phone, 20);
    let start = phone.timestamp;
    let mut events = Vec::new();
    for n in 1..=5u16 {
        world.pass(20);
        let [high, low] = (160 * n).to_be_bytes();
        let event = [7, if n == 5 { 0x8a } else { 10 }, high, low];
        let datagram = Phone { timestamp: start, ..Phone::new(PCMU) };
        let datagram = Phone { sequence: phone.sequence, ..datagram }.packet(101, n == 1, &event);
        phone.skip(20);
        world.receive(a, Channel::Rtp, CUSTOMER, datagram);
        events.extend(world.heard(b));
    }
    assert_eq!(events.len(), 5);
    let last = before.last().unwrap().0;
    for (n, (header, payload)) in (1u16..).zip(&events) {
        assert_eq!(header.payload_type, 110);
        assert_eq!(header.sequence, last.sequence.wrapping_add(n));
        assert_eq!(header.timestamp.wrapping_sub(last.timestamp), 960, "when the key went down");
        assert_eq!(payload[..2], [7, if n == 5 { 0x8a } else { 10 }]);
        assert_eq!(u16::from_be_bytes([payload[2], payload[3]]), 960 * n, "its clock");
    }
    let after = tell(&mut world, (a, b), &mut phone, 20);
    assert_eq!(after[0].0.sequence, last.sequence.wrapping_add(6), "nothing counts as lost");
    assert_eq!(after[0].0.timestamp.wrapping_sub(last.timestamp), 6 * 960);
}

#[test]
fn who_else_hears_an_event_gets_it_in_its_own_clock() {
    let (mut world, a, _) = World::call(&[PCMU, EVENTS], &[OPUS, WIDE_EVENTS]);
    let narrow = world.open(2, config("198.51.100.3:5000", &[PCMU, EVENTS]));
    world.hear(narrow, Hear::Stream(StreamId(0)), Some(a));
    let mut phone = Phone::new(PCMU);
    for _ in 0..2 {
        world.pass(20);
        let datagram = phone.say(1020.0, 20);
        world.receive(a, Channel::Rtp, CUSTOMER, datagram);
    }
    world.wire.sent.clear();
    let event = phone.packet(EVENTS.receive, true, &[7, 10, 0, 160]);
    world.receive(a, Channel::Rtp, CUSTOMER, event);
    assert_eq!(world.wire.sent.len(), 2);
    assert_eq!(world.heard(narrow)[0].1, [7, 10, 0, 160]);
}

#[test]
fn of_two_clocks_events_go_in_that_of_the_codec_beside_them() {
    // INTEROP 5
    let (mut world, a, b) = World::call(&[PCMU, EVENTS], &[OPUS, PCMU, WIDE_EVENTS, EVENTS]);
    let cleaned = StreamConfig { noise_removal: Some(NOISE), ..config(CUSTOMER, &[PCMU, EVENTS]) };
    world.configure(a, cleaned);
    let mut phone = Phone::new(PCMU);
    let before = tell(&mut world, (a, b), &mut phone, 20);
    assert_eq!(before.last().unwrap().0.payload_type, OPUS.send);
    for n in 1..=5u16 {
        let [high, low] = (160 * n).to_be_bytes();
        let event = phone.packet(EVENTS.receive, n == 1, &[7, 10, high, low]);
        phone.sequence += 1;
        world.receive(a, Channel::Rtp, CUSTOMER, event);
        let heard = world.heard(b);
        assert_eq!(heard[0].0.payload_type, WIDE_EVENTS.send);
        assert_eq!(u16::from_be_bytes([heard[0].1[2], heard[0].1[3]]), 960 * n);
    }
}

#[test]
fn events_find_a_listener_with_another_clock_beside_relayed_audio() {
    let (mut world, a, b) = World::call(&[PCMU, WIDE_EVENTS], &[PCMU, EVENTS]);
    let mut phone = Phone::new(PCMU);
    world.receive(a, Channel::Rtp, CUSTOMER, phone.say(1000.0, 20));
    // 960 units are 20 ms
    let event = phone.packet(110, true, &[3, 10, 0x03, 0xc0]);
    world.receive(a, Channel::Rtp, CUSTOMER, event);
    let heard = world.heard(b);
    assert_eq!(heard[1].0.payload_type, 101);
    assert_eq!(heard[1].1, [3, 10, 0, 160]);
}

#[test]
fn a_codec_we_cannot_decode_is_relayed_or_left_out() {
    let g729 = payload(Codec::Other, 7, 18, 8000);
    let cleaned = |payloads: &[Payload]| StreamConfig {
        noise_removal: Some(NOISE),
        ..config(CUSTOMER, payloads)
    };
    let (mut world, a, b) = World::call(&[g729, PCMU], &[PCMU]);
    world.configure(a, cleaned(&[g729, PCMU]));
    world.rtp(a, CUSTOMER, 18, 1);
    assert_eq!(world.heard(b).len(), 0);
    world.rtp(a, CUSTOMER, 0, 2);
    assert_eq!(world.heard(b).len(), 1);
    let (mut world, a, b) = World::call(&[g729], &[g729]);
    world.configure(a, cleaned(&[g729]));
    world.rtp(a, CUSTOMER, 18, 1);
    assert_eq!(world.heard(b).len(), 1, "nobody can clean it");
    let (mut world, a, b) = World::call(&[g729, PCMU], &[g729, PCMU]);
    world.configure(a, cleaned(&[g729, PCMU]));
    for (payload_type, sequence) in [(18, 1), (18, 2), (0, 3), (0, 4), (18, 5)] {
        world.rtp(a, CUSTOMER, payload_type, sequence);
    }
    let heard = world.heard(b);
    let types: Vec<_> = heard.iter().map(|(header, _)| header.payload_type).collect();
    assert_eq!(types, [18, 18, 0, 0, 18], "the other codec can be cleaned");
}
