//! Two phones and a worker between them, in virtual time.

mod announce;
#[cfg(debug_assertions)]
mod fault;
mod keys;
mod mix;
mod music;
mod order;
mod path;
mod process;
mod properties;
mod protection;
mod quality;
mod quiet;
mod recording;
mod reports;
mod switch;

use std::sync::LazyLock;

use super::*;
use crate::command::{CallTone, Codec, Keys, Payload, Remote};
use crate::rtp::{HEADER_LEN, Header, write_header};
use crate::sound::SoundId;
use crate::tone::{Country, ToneKind};

const CUSTOMER: &str = "192.0.2.1:4000";
const AGENT: &str = "198.51.100.2:5000";
const BRIDGE: BridgeId = BridgeId(1);
const STRANGER: &str = "203.0.113.9:4000";
const PCMU: Payload = payload(Codec::Pcmu, 0, 0, 8000);
const PCMA: Payload = payload(Codec::Pcma, 1, 8, 8000);
const EVENTS: Payload = payload(Codec::TelephoneEvent, 2, 101, 8000);
const OPUS: Payload = payload(Codec::Opus, 3, 111, 48_000);

static MUSIC: LazyLock<Arc<Music>> = LazyLock::new(|| {
    let saw: Vec<i16> = (0..16_000).map(|n| (n % 80 * 100) as i16).collect();
    Arc::new(Music::from_pcm(&saw, 8000))
});

const fn payload(codec: Codec, key: u8, number: u8, clock_rate: u32) -> Payload {
    Payload { codec, key, send: number, receive: number, clock_rate }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Remembers what the worker did.
#[derive(Default)]
struct Wire {
    sent: Vec<(Slot, Channel, SocketAddr, Vec<u8>)>,
    events: Vec<MediaEvent>,
    pins: Vec<(Slot, Channel, Option<SocketAddr>)>,
    blocks: Vec<Block>,
    broken: bool,
}

impl Sink for Wire {
    fn send(&mut self, slot: Slot, channel: Channel, to: SocketAddr, datagram: &[u8]) -> bool {
        self.sent.push((slot, channel, to, datagram.to_vec()));
        !self.broken
    }

    fn event(&mut self, event: MediaEvent) {
        self.events.push(event);
    }

    fn recorded(&mut self, _: RecordingId, block: &mut Block) {
        self.blocks.push(std::mem::take(block));
    }

    fn pin(&mut self, slot: Slot, channel: Channel, peer: Option<SocketAddr>) {
        self.pins.push((slot, channel, peer));
    }
}

/// A worker, a clock and the wire.
struct World {
    worker: Worker,
    now: Time,
    wire: Wire,
}

fn config(remote: &str, payloads: &[Payload]) -> StreamConfig {
    let rtp = addr(remote);
    StreamConfig {
        remote: Some(Remote {
            rtp,
            rtcp: SocketAddr::new(rtp.ip(), rtp.port() + 1),
            rtcp_mux: false,
        }),
        signalling_source: Some(rtp.ip()),
        payloads: payloads.to_vec(),
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
        opus: crate::codec::OpusFormat::default(),
    }
}

impl World {
    fn new() -> Self {
        let worker = Worker::new(Arc::clone(&MUSIC), [7; 32], WallTime(1_700_000_000_000));
        Self { worker, now: Time::from_nanos(1_000_000_000), wire: Wire::default() }
    }

    fn open(&mut self, id: u64, config: StreamConfig) -> Slot {
        let numbers = Numbers { ssrc: 0xa000 + id as u32, sequence: 100, timestamp: 5000 };
        let slot = self.worker.open(self.now, (StreamId(id), BRIDGE), true, numbers);
        self.configure(slot, config);
        slot
    }

    /// A customer and an agent who hear each other.
    fn call(customer: &[Payload], agent: &[Payload]) -> (Self, Slot, Slot) {
        let mut world = Self::new();
        let a = world.open(0, config(CUSTOMER, customer));
        let b = world.open(1, config(AGENT, agent));
        world.hear(a, Hear::Stream(StreamId(1)), Some(b));
        world.hear(b, Hear::Stream(StreamId(0)), Some(a));
        (world, a, b)
    }

    fn configure(&mut self, slot: Slot, config: StreamConfig) {
        self.worker.configure(self.now, slot, config, &mut self.wire);
    }

    fn hear(&mut self, listener: Slot, hear: Hear, source: Option<Slot>) {
        self.worker.hear(listener, hear, source);
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }

    /// Ticks for this long.
    fn tick(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.pass(20);
            self.worker.tick(self.now, &mut self.wire);
        }
    }

    fn receive(&mut self, slot: Slot, channel: Channel, from: &str, mut datagram: Vec<u8>) {
        let now = self.now;
        self.worker.packet(now, slot, channel, addr(from), &mut datagram, &mut self.wire);
    }

    fn rtp(&mut self, slot: Slot, from: &str, payload_type: u8, n: u16) {
        self.receive(slot, Channel::Rtp, from, packet(payload_type, n, 1));
    }

    /// The RTP packets sent from `slot` since the last call, as headers and payloads.
    fn heard(&mut self, slot: Slot) -> Vec<(Header, Vec<u8>)> {
        let sent = std::mem::take(&mut self.wire.sent);
        sent.into_iter()
            .filter(|(from, channel, ..)| *from == slot && *channel == Channel::Rtp)
            .map(|(_, _, _, datagram)| {
                let packet = rtp::parse(&datagram).unwrap();
                (packet.header, datagram[packet.payload].to_vec())
            })
            .collect()
    }

    fn close(&mut self, slot: Slot) -> StreamStats {
        *self.worker.close(self.now, slot, &mut self.wire).unwrap()
    }
}

fn packet(payload_type: u8, n: u16, ssrc: u32) -> Vec<u8> {
    let mut datagram = vec![n as u8; HEADER_LEN + 160];
    let timestamp = u32::from(n).wrapping_mul(160);
    let header = Header { marker: false, payload_type, sequence: n, timestamp, ssrc };
    write_header(&mut datagram, &header);
    datagram
}

fn report(ssrc: u32, received: Option<Received>) -> Vec<u8> {
    let sent = Some(Sent { ntp: 0x1_0000_0000, timestamp: 0, packets: 1, bytes: 1 });
    let report = Report { ssrc, cname: "phone", sent, received, goodbye: false };
    report.to_bytes().unwrap().to_vec()
}

#[test]
fn both_hear_each_other_as_our_own_stream() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    world.rtp(a, CUSTOMER, 0, 7);
    assert_eq!(world.wire.sent[0].2, addr(AGENT));
    let heard = world.heard(b);
    let header =
        Header { marker: true, payload_type: 0, sequence: 100, timestamp: 5000, ssrc: 0xa001 };
    assert_eq!(heard, [(header, vec![7; 160])]);
    world.rtp(b, AGENT, 0, 9);
    assert_eq!(world.heard(a).len(), 1);
}

#[test]
fn payload_types_are_mapped_by_codec() {
    // INTEROP 5: other numbers on each leg, and for each direction of one.
    let asymmetric = Payload { receive: 96, ..EVENTS };
    let (mut world, a, b) =
        World::call(&[PCMA, PCMU, asymmetric], &[Payload { send: 118, ..EVENTS }, PCMA]);
    let rows = [(8, Some(8)), (96, Some(118)), (0, Some(8)), (101, None), (50, None)];
    for (n, (received, sent)) in (1u16..).zip(rows) {
        world.rtp(a, CUSTOMER, received, n);
        let heard: Vec<_> =
            world.heard(b).into_iter().map(|(header, _)| header.payload_type).collect();
        assert_eq!(heard, Vec::from_iter(sent), "received {received}");
    }
    assert_eq!(world.close(a).malformed_dropped, 2, "numbers the customer does not have");
}

#[test]
fn strays_reach_nobody_and_get_nothing() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    world.rtp(a, STRANGER, 0, 1);
    world.receive(a, Channel::Rtcp, STRANGER, report(9, None));
    assert!(world.wire.sent.is_empty() && world.wire.events.is_empty());
    world.rtp(a, CUSTOMER, 0, 1);
    assert_eq!(world.heard(b).len(), 1);
    for n in 0..20_000u16 {
        world.rtp(a, STRANGER, 0, n);
        world.rtp(b, STRANGER, 0, n);
        world.receive(a, Channel::Rtcp, STRANGER, report(9, None));
    }
    assert!(world.wire.sent.is_empty());
    world.rtp(a, CUSTOMER, 0, 2);
    assert_eq!(world.heard(b).len(), 1, "the call goes on");
    let stats = world.close(a);
    assert_eq!((stats.strays_dropped, stats.rtcp_received, stats.packets_received), (40_002, 0, 2));
}

#[test]
fn a_phone_behind_nat_is_answered_where_it_is() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    let nat = "198.51.100.77:61234";
    let behind_nat = StreamConfig {
        signalling_source: Some(addr(nat).ip()),
        ..config("10.0.0.5:4000", &[PCMU])
    };
    world.configure(a, behind_nat.clone());
    world.rtp(b, AGENT, 0, 1);
    assert_eq!(world.wire.sent.pop().unwrap().2, addr("10.0.0.5:4000"), "nothing better known");
    world.rtp(a, nat, 0, 1);
    world.wire.sent.clear();
    world.rtp(b, AGENT, 0, 2);
    assert_eq!(world.wire.sent.pop().unwrap().2, addr(nat));
    let first = MediaEvent::FirstPacket { stream: StreamId(0), from: addr(nat) };
    assert!(world.wire.events.contains(&first));
    world.configure(a, StreamConfig { symmetric: false, ..behind_nat });
    world.rtp(b, AGENT, 0, 3);
    assert_eq!(world.wire.sent.pop().unwrap().2, addr("10.0.0.5:4000"), "as configured");
}

#[test]
fn sockets_are_pinned_to_a_settled_peer_and_freed_when_it_moves() {
    let (mut world, a, _) = World::call(&[PCMU], &[PCMU]);
    let pins = |world: &mut World| std::mem::take(&mut world.wire.pins);
    pins(&mut world);
    world.rtp(a, CUSTOMER, 0, 1);
    world.rtp(a, CUSTOMER, 0, 2);
    assert_eq!(pins(&mut world), [(a, Channel::Rtp, Some(addr(CUSTOMER)))]);
    world.receive(a, Channel::Rtcp, "192.0.2.1:7777", report(9, None));
    assert_eq!(pins(&mut world), [], "the same host, but SDP says 4001");
    world.receive(a, Channel::Rtcp, "192.0.2.1:4001", report(1, None));
    world.receive(a, Channel::Rtcp, "192.0.2.1:4001", report(1, None));
    assert_eq!(pins(&mut world), [(a, Channel::Rtcp, Some(addr("192.0.2.1:4001")))]);
    world.configure(a, config(CUSTOMER, &[PCMU, PCMA]));
    assert_eq!(pins(&mut world), [], "a new codec is no new place");
    world.configure(a, config(STRANGER, &[PCMU]));
    assert_eq!(pins(&mut world), [(a, Channel::Rtp, None), (a, Channel::Rtcp, None)]);
    world.rtp(a, CUSTOMER, 0, 3);
    world.rtp(a, STRANGER, 0, 1);
    assert_eq!(pins(&mut world), [(a, Channel::Rtp, Some(addr(STRANGER)))]);
    assert_eq!(world.close(a).strays_dropped, 2);
}

#[test]
fn directions_are_kept() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    world.configure(a, StreamConfig { receive: false, ..config(CUSTOMER, &[PCMU]) });
    world.rtp(a, CUSTOMER, 0, 1);
    assert!(world.heard(b).is_empty(), "nobody hears one who only listens");
    world.configure(a, StreamConfig { send: false, ..config(CUSTOMER, &[PCMU]) });
    world.rtp(b, AGENT, 0, 1);
    assert!(world.heard(a).is_empty(), "nothing is sent to one who only talks");
    world.rtp(a, CUSTOMER, 0, 2);
    assert_eq!(world.heard(b).len(), 1);
    world.configure(a, StreamConfig { remote: None, ..config(CUSTOMER, &[PCMU]) });
    world.rtp(b, AGENT, 0, 2);
    world.tick(20_000);
    assert!(!world.wire.sent.iter().any(|(from, ..)| *from == a), "nowhere to send to");
}

#[test]
fn what_was_not_passed_on_is_not_lost() {
    let (mut world, a, b) = World::call(&[PCMU, EVENTS], &[PCMU]);
    let mut n = 0;
    let mut talk = |world: &mut World, payload_type| {
        for _ in 0..5 {
            n += 1;
            world.pass(20);
            world.rtp(a, CUSTOMER, payload_type, n);
        }
    };
    let silent = [
        (StreamConfig { receive: false, ..config(CUSTOMER, &[PCMU]) }, a, CUSTOMER),
        (StreamConfig { send: false, ..config(AGENT, &[PCMU]) }, b, AGENT),
        (StreamConfig { remote: None, ..config(AGENT, &[PCMU]) }, b, AGENT),
    ];
    for (held, slot, peer) in silent {
        talk(&mut world, 0);
        world.configure(slot, held);
        talk(&mut world, 0);
        world.configure(slot, config(peer, &[PCMU, EVENTS]));
    }
    world.configure(b, config(AGENT, &[PCMU]));
    talk(&mut world, 0);
    talk(&mut world, 101); // the agent has no events
    talk(&mut world, 0);
    let heard = world.heard(b);
    assert_eq!(heard.len(), 25);
    for (i, pair) in heard.windows(2).enumerate() {
        assert_eq!(pair[1].0.sequence, pair[0].0.sequence + 1, "{i}");
        let pause = if [4, 9, 14, 19].contains(&i) { 6 } else { 1 };
        assert_eq!(pair[1].0.timestamp - pair[0].0.timestamp, pause * 160, "{i}");
    }
    assert_eq!(world.close(b).unmapped_dropped, 5);
    assert_eq!(world.close(a).codec, Some(Codec::Pcmu), "events are no codec");
}

#[test]
fn hearing_the_same_again_does_not_start_the_music_anew() {
    let (mut world, _, b) = World::call(&[PCMU], &[PCMU]);
    for _ in 0..3 {
        world.hear(b, Hear::Music, None);
        world.tick(20);
    }
    let heard: Vec<_> = world.heard(b).into_iter().map(|(_, payload)| payload).collect();
    let expected: Vec<_> = (1..3).map(|n| MUSIC.frame(Codec::Pcmu, n).unwrap().to_vec()).collect();
    assert_eq!(heard[1..], expected, "behind the one that it begins with");
}

#[test]
fn nothing_is_sent_to_places_that_are_no_host() {
    for place in [
        "0.0.0.0:4000",
        "255.255.255.255:4000",
        "224.0.0.1:4000",
        "192.0.2.1:0",
        "[::]:4000",
        "[ff02::1]:4000",
        "[::ffff:0.0.0.0]:4000",
    ] {
        let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
        world.configure(a, config(place, &[PCMU]));
        world.rtp(b, AGENT, 0, 1);
        assert!(world.heard(a).is_empty(), "{place}");
    }
}

#[test]
fn a_held_listener_hears_the_music_as_the_same_stream() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    world.rtp(a, CUSTOMER, 0, 1);
    world.hear(b, Hear::Music, None);
    world.rtp(a, CUSTOMER, 0, 2);
    world.tick(100);
    world.hear(b, Hear::Silence, None);
    world.tick(40);
    world.hear(b, Hear::Stream(StreamId(0)), Some(a));
    world.rtp(a, CUSTOMER, 0, 8);
    world.tick(20);
    world.pass(13);
    world.rtp(a, CUSTOMER, 0, 9);
    let heard = world.heard(b);
    assert_eq!(heard.len(), 1 + 5 + 3 + 1, "one packet every 20 ms");
    for (i, pair) in heard.windows(2).enumerate() {
        assert_eq!(pair[1].0.sequence.wrapping_sub(pair[0].0.sequence), 1, "{i}");
        assert_eq!(pair[1].0.timestamp.wrapping_sub(pair[0].0.timestamp), 160, "{i}");
        assert_eq!(pair[1].0.ssrc, 0xa001);
    }
    let markers: Vec<_> = (0..heard.len()).filter(|i| heard[*i].0.marker).collect();
    assert_eq!(markers, [0, 1, 6, 9], "one for each change");
    for (i, frame) in heard[2..6].iter().enumerate() {
        assert_eq!(Some(&*frame.1), MUSIC.frame(Codec::Pcmu, i + 1), "{i}");
    }
    assert_eq!(heard[6].1[80..], [0xff; 80], "the music has died away");
    assert_eq!(heard[7].1, [0xff; 160]);
}

#[test]
fn a_call_progress_tone_is_played_from_its_beginning() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    let tones = Sounds::tones(Country::De, &CallTone::ALL.map(ToneKind::from));
    world.hear(b, Hear::Tone(CallTone::Busy), None);
    world.tick(40);
    let silent: Vec<_> = world.heard(b).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(silent, [[0xff; 160]; 2], "no tones are known yet");
    world.worker.set_sounds(tones.clone());
    for tone in CallTone::ALL {
        let sound = tones.get(SoundId::Tone(tone.into())).unwrap();
        world.hear(b, Hear::Tone(tone), None);
        world.tick(20 * sound.frames() as u64 + 20);
        let heard = world.heard(b);
        for (n, (header, payload)) in heard.iter().enumerate() {
            let is_shared = Some(&**payload) == sound.frame(Codec::Pcmu, n);
            assert!(is_shared || n == 0, "{tone:?} {n}");
            assert_eq!(header.marker, n == 0, "{tone:?} {n}");
        }
    }
    world.hear(b, Hear::Stream(StreamId(0)), Some(a));
    world.rtp(a, CUSTOMER, 0, 1);
    world.tick(20);
    assert_eq!(world.heard(b).len(), 1, "the end of the tone");
    world.rtp(a, CUSTOMER, 0, 2);
    assert_eq!(world.heard(b)[0].1[80..], [2; 80], "behind its rise");
    world.rtp(a, CUSTOMER, 0, 3);
    assert_eq!(world.heard(b)[0].1, [3; 160], "as it came");
}

#[test]
fn who_moves_to_another_call_neither_hears_nor_is_heard_until_told() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    world.rtp(a, CUSTOMER, 0, 1);
    let before = world.heard(b)[0].0;
    world.worker.move_to(b, BridgeId(2));
    world.rtp(a, CUSTOMER, 0, 2);
    world.rtp(b, AGENT, 0, 2);
    assert!(world.wire.sent.is_empty());
    world.hear(b, Hear::Stream(StreamId(0)), Some(a));
    world.pass(20);
    world.rtp(a, CUSTOMER, 0, 3);
    let after = world.heard(b)[0].0;
    assert_eq!((after.ssrc, after.sequence), (before.ssrc, before.sequence.wrapping_add(1)));
    assert_eq!(after.timestamp, before.timestamp + 160);
}

#[test]
fn music_needs_a_codec_of_ours_and_reports_go_on_without() {
    let other = Payload { codec: Codec::Other, ..OPUS };
    let (mut world, a, b) = World::call(&[other], &[other, PCMA]);
    world.hear(a, Hear::Music, None);
    world.hear(b, Hear::Music, None);
    world.rtp(a, CUSTOMER, 111, 1);
    world.tick(10_000);
    let reports = world
        .wire
        .sent
        .iter()
        .filter(|(from, channel, ..)| *from == a && *channel == Channel::Rtcp);
    assert!(reports.count() >= 1);
    let sent = std::mem::take(&mut world.wire.sent);
    let types: std::collections::BTreeSet<_> = sent
        .iter()
        .filter(|(_, channel, ..)| *channel == Channel::Rtp)
        .map(|(from, _, _, datagram)| (from.0, datagram[1] & 0x7f))
        .collect();
    assert_eq!(types, [(b.0, 8)].into(), "A-law to who has it, nothing to the other");
}

#[test]
fn several_hear_one() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    let supervisor = world.open(2, config("192.0.2.50:6000", &[Payload { send: 96, ..PCMU }]));
    world.hear(supervisor, Hear::Stream(StreamId(0)), Some(a));
    world.rtp(a, CUSTOMER, 0, 42);
    let sent = std::mem::take(&mut world.wire.sent);
    let got: Vec<_> = sent
        .iter()
        .map(|(from, _, _, datagram)| (from.0, datagram[1] & 0x7f, datagram[12]))
        .collect();
    assert_eq!(got, [(b.0, 0, 42), (supervisor.0, 96, 42)]);
    world.close(supervisor);
    world.wire.sent.clear();
    world.rtp(a, CUSTOMER, 0, 43);
    assert_eq!(world.wire.sent.len(), 1);
}

#[test]
fn what_is_mixed_or_unheard_waits_for_the_tick() {
    let (mut world, customer, agent) = World::call(&[PCMU], &[PCMU]);
    assert!(!world.worker.waits_for_tick(customer), "relayed as it comes");
    let mix = Hear::Mix([StreamId(0), StreamId(1)].into_iter().collect());
    world.hear(agent, mix, None);
    assert!(world.worker.waits_for_tick(customer), "mixed");
    assert!(!world.worker.waits_for_tick(agent), "the customer hears it as it comes");
    world.hear(customer, Hear::Music, None);
    assert!(world.worker.waits_for_tick(agent), "on hold");
    world.hear(agent, Hear::Stream(StreamId(0)), Some(customer));
    assert!(!world.worker.waits_for_tick(customer));
    world.close(customer);
    assert!(!world.worker.waits_for_tick(customer), "there is none");
}

#[test]
fn nobody_hears_himself_or_who_is_gone() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    world.hear(a, Hear::Stream(StreamId(0)), Some(a));
    world.rtp(a, CUSTOMER, 0, 1);
    assert_eq!(world.heard(b).len(), 1);
    world.hear(a, Hear::Stream(StreamId(77)), None);
    world.close(a);
    let reused = world.open(3, config(STRANGER, &[PCMU]));
    assert_eq!(reused, a, "the place is used again");
    world.wire.sent.clear();
    world.rtp(reused, STRANGER, 0, 1);
    assert!(world.wire.sent.is_empty(), "the agent does not hear the next call");
    assert!(!world.worker.is_idle());
    world.close(b);
    world.close(reused);
    assert!(world.worker.is_idle());
}

#[test]
fn duplicates_are_dropped_and_losses_counted() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    for n in [1, 2, 2, 5, 4, 5, 4] {
        world.pass(20);
        world.rtp(a, CUSTOMER, 0, n);
    }
    let sequences: Vec<_> =
        world.heard(b).into_iter().map(|(header, _)| header.sequence - 100).collect();
    assert_eq!(sequences, [0, 1, 4, 3], "the order and the gap of the source");
    let stats = world.close(a);
    assert_eq!((stats.packets_received, stats.duplicates, stats.lost), (4, 3, 1));
    assert_eq!(stats.codec, Some(Codec::Pcmu));
    assert_eq!(stats.bytes_received, 640);
    let stats = world.close(b);
    assert_eq!((stats.packets_sent, stats.bytes_sent), (4, 640));
}

#[test]
fn a_refused_send_is_counted() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    world.wire.broken = true;
    world.rtp(a, CUSTOMER, 0, 1);
    let stats = world.close(b);
    assert_eq!((stats.packets_sent, stats.send_failed), (0, 1));
}

#[test]
fn silence_is_told_once_and_its_end() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    let watched =
        StreamConfig { rtp_timeout: Some(Duration::from_secs(10)), ..config(CUSTOMER, &[PCMU]) };
    let told = |world: &mut World| {
        let events = std::mem::take(&mut world.wire.events);
        events
            .into_iter()
            .filter(|event| {
                matches!(event, MediaEvent::RtpTimeout { .. } | MediaEvent::RtpResumed { .. })
            })
            .collect::<Vec<_>>()
    };
    world.tick(30_000);
    world.configure(a, watched.clone());
    world.tick(8_000);
    assert_eq!(told(&mut world), [], "watched since the configuration only");
    world.rtp(a, CUSTOMER, 0, 1);
    world.tick(8_000);
    assert_eq!(told(&mut world), []);
    world.tick(40_000);
    assert_eq!(told(&mut world), [MediaEvent::RtpTimeout { stream: StreamId(0) }]);
    world.rtp(a, CUSTOMER, 0, 2);
    assert_eq!(told(&mut world), [MediaEvent::RtpResumed { stream: StreamId(0) }]);
    world.configure(a, StreamConfig { receive: false, ..watched });
    world.tick(60_000);
    assert_eq!(told(&mut world), [], "one who only listens may be silent");
    world.close(b);
}

#[test]
fn reports_tell_both_sides_what_was_lost() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    for n in 0..400u16 {
        if n % 10 != 9 {
            world.rtp(a, CUSTOMER, 0, n);
        }
        world.tick(20);
    }
    let to = |world: &World, slot: Slot| {
        let sent = world
            .wire
            .sent
            .iter()
            .filter(|(from, channel, ..)| *from == slot && *channel == Channel::Rtcp);
        sent.map(|(_, _, to, datagram)| (*to, datagram.clone())).collect::<Vec<_>>()
    };
    let (place, first) = to(&world, a).pop().unwrap();
    assert_eq!(place, addr("192.0.2.1:4001"));
    let about = rtcp::parse(&first, 1).unwrap();
    assert!(about.about_us.unwrap().lost > 10, "{about:?}");
    assert_eq!(about.sender_report, None, "nothing was sent to the customer");
    let (_, second) = to(&world, b).pop().unwrap();
    assert!(rtcp::parse(&second, 1).unwrap().sender_report.is_some());

    let middle = (world.worker.ntp(world.now) >> 16) as u32;
    let block = crate::reception::Block {
        ssrc: 0xa001,
        fraction_lost: 0,
        total_lost: 17,
        highest: 1,
        jitter: 80,
    };
    let received = Received { block, last_report: middle - 65_536, delay: 32_768 };
    world.receive(b, Channel::Rtcp, "198.51.100.2:5001", report(2, Some(received)));
    let stats = world.close(b);
    assert_eq!(stats.round_trip_ms, Some(500.0));
    assert_eq!((stats.remote_lost, stats.remote_jitter_ms), (Some(17), Some(10.0)));
    assert_eq!(stats.rtcp_received, 1);
    assert!(stats.rtcp_sent >= 1);
}

#[test]
fn a_report_is_a_senders_only_when_something_was_sent_since_the_last() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    world.rtp(a, CUSTOMER, 0, 1);
    world.rtp(b, AGENT, 0, 1);
    world.tick(30_000);
    let sent = std::mem::take(&mut world.wire.sent);
    let kinds: Vec<_> = sent
        .iter()
        .filter(|(from, channel, ..)| *from == b && *channel == Channel::Rtcp)
        .map(|(.., datagram)| datagram[1])
        .collect();
    assert_eq!(kinds[0], 200);
    assert!(kinds.len() > 3 && kinds[1..].iter().all(|kind| *kind == 201), "{kinds:?}");
}

#[test]
fn behind_nat_reports_wait_for_the_peers() {
    let (mut world, a, _) = World::call(&[PCMU], &[PCMU]);
    let nat = "198.51.100.77:61234";
    let private = config("10.0.0.5:4000", &[PCMU]);
    world.configure(a, StreamConfig { signalling_source: Some(addr(nat).ip()), ..private });
    world.rtp(a, nat, 0, 1);
    world.tick(20_000);
    assert!(world.wire.sent.iter().all(|(from, ..)| *from != a), "10.0.0.5 may be anybody here");
    world.receive(a, Channel::Rtcp, "198.51.100.77:61300", report(1, None));
    world.tick(20_000);
    let places = world.wire.sent.iter().filter(|(from, ..)| *from == a);
    let places: Vec<_> = places.map(|(_, channel, to, _)| (*channel, *to)).collect();
    assert!(places.len() > 1);
    assert!(places.iter().all(|place| *place == (Channel::Rtcp, addr("198.51.100.77:61300"))));
}

#[test]
fn reports_share_the_port_when_agreed() {
    let (mut world, a, _) = World::call(&[PCMU], &[PCMU]);
    let mut muxed = config(CUSTOMER, &[PCMU]);
    muxed.remote.as_mut().unwrap().rtcp_mux = true;
    world.configure(a, muxed);
    world.receive(a, Channel::Rtp, CUSTOMER, report(1, None));
    world.rtp(a, CUSTOMER, 0, 1);
    world.receive(a, Channel::Rtp, CUSTOMER, report(1, None));
    world.tick(10_000);
    assert!(world.wire.sent.iter().any(|(from, channel, to, datagram)| {
        *from == a && *channel == Channel::Rtp && *to == addr(CUSTOMER) && rtp::is_rtcp(datagram)
    }));
    let stats = world.close(a);
    assert_eq!((stats.rtcp_received, stats.strays_dropped), (1, 1), "RTP says who the peer is");
}

#[test]
fn the_end_is_said_to_who_heard_something() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    world.rtp(a, CUSTOMER, 0, 1);
    world.wire.sent.clear();
    world.close(b);
    let (_, channel, to, datagram) = world.wire.sent.pop().unwrap();
    assert_eq!((channel, to), (Channel::Rtcp, addr("198.51.100.2:5001")));
    assert!(rtcp::parse(&datagram, 0).unwrap().goodbye);
    world.rtp(a, CUSTOMER, 0, 2);
    assert!(world.wire.sent.is_empty(), "nothing after the end");
    let mut world = World::new();
    let quiet = world.open(0, config(CUSTOMER, &[PCMU]));
    world.close(quiet);
    assert!(world.wire.sent.is_empty(), "nothing was ever said");
}
