//! The engine on real sockets: two phones on 127.0.0.1.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::f64::consts::TAU;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use audio_codec::Decoder;
use audio_codec::pcma::PcmaDecoder;
use media::command::{
    BridgeId, Codec, Hear, Keys, LocalPorts, MediaCommand, MediaEvent, Payload, Remote,
    StreamConfig, StreamId, StreamStats,
};
use media::rtp::{self, HEADER_LEN, Header};
use media_net::{Full, MediaNet, MediaNetConfig, StartError};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PCMU: Payload = payload(Codec::Pcmu, 0, 0);
const PCMA: Payload = payload(Codec::Pcma, 1, 8);
const EVENTS: Payload = payload(Codec::TelephoneEvent, 2, 101);
/// Long enough for a busy machine, short enough for a silent socket.
const PATIENCE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(150);

const fn payload(codec: Codec, key: u8, number: u8) -> Payload {
    Payload { codec, key, send: number, receive: number, clock_rate: 8000 }
}

/// An engine and what it said.
struct Engine {
    media: MediaNet,
    events: Receiver<MediaEvent>,
}

/// One phone, and the stream that serves it.
struct Phone {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    stream: StreamId,
    server: SocketAddr,
    sequence: u16,
}

impl Engine {
    fn start(config: MediaNetConfig) -> Self {
        let (tell, events) = channel();
        let media = MediaNet::start(config, move |event| {
            let _ = tell.send(event);
        });
        Self { media: media.unwrap(), events }
    }

    fn send(&self, command: MediaCommand) {
        self.media.send(command).unwrap();
    }

    /// The next event `pick` takes.
    fn event<T>(&self, pick: impl Fn(MediaEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).expect("an event in time");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    }

    fn close(&self, phone: &Phone) -> StreamStats {
        self.send(MediaCommand::Close { stream: phone.stream });
        self.event(|event| match event {
            MediaEvent::Closed { stream, stats } if stream == phone.stream => Some(*stats),
            _ => None,
        })
    }

    fn hear(&self, listener: &Phone, source: Hear) {
        self.send(MediaCommand::Hear { listener: listener.stream, source });
    }

    fn configure(&self, phone: &Phone, change: impl FnOnce(&mut StreamConfig)) {
        let mut config = phone.config(&[PCMU, EVENTS]);
        change(&mut config);
        self.send(MediaCommand::Configure { stream: phone.stream, config: Box::new(config) });
    }

    fn phone(&self, id: u64, payloads: &[Payload]) -> Phone {
        let phone = Phone::new(id, LOCALHOST);
        let rtp = phone.server.port();
        self.open(&phone, LocalPorts { ip: LOCALHOST, rtp, rtcp: Some(rtp + 1) });
        self.settle(); // one test has a queue of one
        self.configure(&phone, |config| config.payloads = payloads.to_vec());
        phone
    }

    fn open(&self, phone: &Phone, local: LocalPorts) {
        self.send(MediaCommand::Open {
            stream: phone.stream,
            bridge: BridgeId(phone.stream.0 / 2),
            local,
            ssrc: 0xa000 + phone.stream.0 as u32,
            sequence: 500,
            timestamp: 0,
        });
    }

    /// Two phones that hear each other.
    fn call(&self, a: &[Payload], b: &[Payload]) -> (Phone, Phone) {
        let phones = (self.phone(0, a), self.phone(1, b));
        self.hear(&phones.0, Hear::Stream(phones.1.stream));
        self.hear(&phones.1, Hear::Stream(phones.0.stream));
        self.settle();
        phones
    }

    /// Waits until all commands have been carried out (on the first worker): closing a stream that
    /// never was is answered in its turn.
    fn settle(&self) {
        let nobody = StreamId(u64::MAX);
        self.send(MediaCommand::Close { stream: nobody });
        self.event(|event| match event {
            MediaEvent::Closed { stream, .. } if stream == nobody => Some(()),
            _ => None,
        });
    }
}

impl Phone {
    fn new(id: u64, ip: IpAddr) -> Self {
        let bind = || {
            let socket = UdpSocket::bind((ip, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        let server = SocketAddr::new(ip, free_pair(ip));
        Self { rtp: bind(), rtcp: bind(), stream: StreamId(id), server, sequence: 0 }
    }

    fn config(&self, payloads: &[Payload]) -> StreamConfig {
        let rtp = self.rtp.local_addr().unwrap();
        let rtcp = self.rtcp.local_addr().unwrap();
        StreamConfig {
            remote: Some(Remote { rtp, rtcp, rtcp_mux: false }),
            signalling_source: None,
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
            opus: media::codec::OpusFormat::default(),
        }
    }

    fn say(&mut self, payload_type: u8, text: &[u8]) {
        self.sequence += 1;
        let datagram = packet(payload_type, self.sequence, text);
        self.rtp.send_to(&datagram, self.server).unwrap();
    }

    fn hear(&self) -> Option<(Header, Vec<u8>)> {
        let mut buffer = [0; 1500];
        let len = self.rtp.recv(&mut buffer).ok()?;
        let packet = rtp::parse(&buffer[..len]).unwrap();
        Some((packet.header, buffer[packet.payload].to_vec()))
    }

    fn hears_nothing(&self) -> bool {
        self.rtp.set_read_timeout(Some(SILENCE)).unwrap();
        let heard = self.hear();
        self.rtp.set_read_timeout(Some(PATIENCE)).unwrap();
        heard.is_none()
    }
}

/// An even port that is free, and the next one too.
fn free_pair(ip: IpAddr) -> u16 {
    (0..100)
        .find_map(|_| {
            let port = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap().port() & !1;
            let both = [port, port + 1].map(|port| UdpSocket::bind((ip, port)).is_ok());
            both.into_iter().all(|free| free).then_some(port)
        })
        .expect("a free pair of ports")
}

fn packet(payload_type: u8, sequence: u16, text: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0; HEADER_LEN];
    let timestamp = u32::from(sequence) * 160;
    let header = Header { marker: false, payload_type, sequence, timestamp, ssrc: 77 };
    rtp::write_header(&mut datagram, &header);
    datagram.extend_from_slice(text);
    datagram
}

#[test]
fn a_call_is_relayed_both_ways_with_the_numbers_of_each_leg() {
    let engine = Engine::start(MediaNetConfig { workers: 2, ..MediaNetConfig::default() });
    let (mut a, mut b) = engine.call(&[PCMU, EVENTS], &[PCMU, Payload { send: 96, ..EVENTS }]);
    a.say(0, b"hello");
    a.say(101, b"digit");
    let (header, text) = b.hear().unwrap();
    assert_eq!((header.ssrc, header.sequence, header.payload_type), (0xa001, 500, 0));
    assert_eq!(text, b"hello");
    let (header, text) = b.hear().unwrap();
    assert_eq!((header.sequence, header.payload_type), (501, 96));
    assert_eq!(text, b"digit");
    for n in 0..50u8 {
        b.say(0, &[n; 160]);
        assert_eq!(a.hear().unwrap().1, [n; 160]);
    }
    let stats = engine.close(&a);
    assert_eq!((stats.packets_received, stats.packets_sent, stats.lost), (2, 50, 0));
    b.say(0, b"is anybody there?");
    assert!(a.hears_nothing(), "the end is silent");
    assert_eq!(engine.close(&b).packets_received, 51);
}

#[test]
fn strays_are_neither_heard_nor_answered() {
    let engine = Engine::start(MediaNetConfig::default());
    let (mut a, mut b) = engine.call(&[PCMU], &[PCMU]);
    let stranger = UdpSocket::bind(("127.0.0.66", 0)).unwrap();
    stranger.set_read_timeout(Some(SILENCE)).unwrap();
    let rtp_port = a.server;
    let rtcp_port = SocketAddr::new(rtp_port.ip(), rtp_port.port() + 1);
    let flood = || {
        for n in 0..2000u16 {
            stranger.send_to(&packet(0, n, b"injected"), rtp_port).unwrap();
            stranger.send_to(&[0x80, 200, 0, 6], rtcp_port).unwrap();
            if n % 100 == 0 {
                std::thread::sleep(Duration::from_millis(2)); // 50,000 a second
            }
        }
    };
    flood();
    a.say(0, b"one");
    assert_eq!(b.hear().unwrap().1, b"one", "latched in spite of the flood");
    b.say(0, b"two");
    assert_eq!(a.hear().unwrap().1, b"two");
    flood();
    for n in 0..50u8 {
        a.say(0, &[n]);
        assert_eq!(b.hear().unwrap().1, [n]);
    }
    assert!(b.hears_nothing());
    assert!(stranger.recv(&mut [0; 100]).is_err(), "nothing goes back");
    let stats = engine.close(&a);
    assert_eq!(stats.packets_received, 51);
    assert!(stats.strays_dropped >= 2000, "{stats:?}");
}

#[test]
fn a_phone_that_moves_is_followed_by_signalling_only() {
    let engine = Engine::start(MediaNetConfig::default());
    let (mut a, mut b) = engine.call(&[PCMU], &[PCMU]);
    a.say(0, b"here");
    b.hear().unwrap();
    let moved = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    moved.set_read_timeout(Some(PATIENCE)).unwrap();
    let old = std::mem::replace(&mut a.rtp, moved);
    a.say(0, b"from elsewhere");
    assert!(b.hears_nothing());
    engine.configure(&a, |_| {});
    engine.settle();
    a.say(0, b"there");
    assert_eq!(b.hear().unwrap().1, b"there");
    b.say(0, b"fine");
    assert_eq!(a.hear().unwrap().1, b"fine");
    old.send_to(&packet(0, 1000, b"ghost"), a.server).unwrap();
    assert!(b.hears_nothing());
}

/// Amplitude of one frequency.
fn level(samples: &[i16], hertz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = TAU * hertz * n as f64 / 8000.0;
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }
    2.0 * f64::hypot(re, im) / samples.len() as f64
}

#[test]
fn the_held_side_hears_the_music_of_the_file_in_its_codec() {
    let path = std::env::temp_dir().join(format!("hookflash-music-{}.wav", std::process::id()));
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 44_100,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(&path, spec).unwrap();
    for n in 0..44_100 {
        let sample = (9000.0 * (TAU * 600.0 * f64::from(n) / 44_100.0).sin()) as i16;
        file.write_sample(sample).unwrap();
        file.write_sample(sample).unwrap();
    }
    file.finalize().unwrap();
    let engine =
        Engine::start(MediaNetConfig { music: Some(path.clone()), ..MediaNetConfig::default() });
    let (mut a, b) = engine.call(&[PCMA], &[PCMA]);
    // Of silence nothing is left to die away.
    a.say(8, &[0xd5; 160]);
    let (speech, _) = b.hear().unwrap();
    engine.hear(&b, Hear::Music);
    // The file is read behind the scenes: it is silent until then.
    let is_silent = |frame: &(Header, Vec<u8>)| frame.1 == [0xd5; 160];
    let mut heard: Vec<_> = (0..1000).map(|_| b.hear().unwrap()).take_while(is_silent).collect();
    let silent = heard.len() + 1;
    let started = Instant::now();
    heard.extend((0..50).map(|_| b.hear().unwrap()));
    let took = started.elapsed();
    assert!((900..3000).contains(&took.as_millis()), "50 frames in {took:?}");
    for (header, payload) in &heard {
        assert_eq!((header.ssrc, header.payload_type, payload.len()), (0xa001, 8, 160));
    }
    let sequences = heard.iter().map(|(header, _)| header.sequence - speech.sequence);
    // `take_while` has swallowed the first frame of the music.
    let expected = (1..).filter(|n| usize::from(*n) != silent);
    assert!(sequences.eq(expected.take(heard.len())), "every packet once and in order");
    let bytes: Vec<_> = heard.split_off(silent - 1).into_iter().flat_map(|(_, p)| p).collect();
    let mut samples = vec![0; bytes.len()];
    PcmaDecoder::new().decode_into(&bytes, &mut samples).unwrap();
    assert!((level(&samples, 600.0) - 9000.0).abs() < 300.0, "{}", level(&samples, 600.0));
    assert!(level(&samples, 1000.0) < 100.0);
    engine.hear(&b, Hear::Nothing);
    engine.settle();
    // What was on its way, and the packet with which it dies away.
    let left = (0..100).take_while(|_| !b.hears_nothing()).count();
    assert!(left < 50, "{left} packets of music after its end");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_nobody_hears_at_once_is_read_at_ticks_and_nothing_of_it_is_lost() {
    let engine = Engine::start(MediaNetConfig::default());
    let (mut a, mut b) = engine.call(&[PCMU], &[PCMU]);
    engine.hear(&a, Hear::Nothing);
    engine.hear(&b, Hear::Nothing);
    // Longer than it takes until the sockets are read at ticks: a second.
    for n in 0..100u8 {
        a.say(0, &[n; 160]);
        b.say(0, &[n; 160]);
        std::thread::sleep(Duration::from_millis(20));
    }
    // A burst is read as well.
    (0..10).for_each(|n| a.say(0, &[n; 160]));
    assert!(b.hears_nothing());
    // Heard again, each packet is passed on as it comes.
    engine.hear(&a, Hear::Stream(b.stream));
    engine.hear(&b, Hear::Stream(a.stream));
    engine.settle();
    for n in 0..20u8 {
        a.say(0, &[n; 160]);
        assert_eq!(b.hear().unwrap().1, [n; 160]);
    }
    let stats = engine.close(&a);
    assert_eq!((stats.packets_received, stats.lost), (130, 0));
    std::thread::sleep(Duration::from_millis(1500));
    (0..3).for_each(|n| b.say(0, &[n; 160]));
    assert_eq!(engine.close(&b).packets_received, 103, "what waits for a tick counts at the end");
}

#[test]
fn reports_reach_the_phone_and_come_back_as_figures() {
    let engine = Engine::start(MediaNetConfig::default());
    let (mut a, b) = engine.call(&[PCMU], &[PCMU]);
    a.say(0, b"x");
    b.hear().unwrap();
    let mut buffer = [0; 1500];
    b.rtcp.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
    let (len, from) = b.rtcp.recv_from(&mut buffer).unwrap();
    assert_eq!(from.port(), b.server.port() + 1);
    assert!(media::rtcp::parse(&buffer[..len], 0).unwrap().sender_report.is_some());
    // A receiver report without blocks is the shortest there is.
    b.rtcp.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 9], from).unwrap();
    std::thread::sleep(SILENCE);
    let stats = engine.close(&b);
    assert_eq!((stats.rtcp_received, stats.packets_sent), (1, 1));
    let len = b.rtcp.recv(&mut buffer).unwrap();
    assert!(media::rtcp::parse(&buffer[..len], 0).unwrap().goodbye);
}

#[test]
fn nothing_is_sent_to_our_own_ports() {
    let own_ports = vec![1024..=u16::MAX];
    let engine = Engine::start(MediaNetConfig { own_ports, ..MediaNetConfig::default() });
    let (mut a, _) = engine.call(&[PCMU], &[PCMU]);
    a.say(0, b"loop");
    assert!(a.hears_nothing());
    engine.hear(&a, Hear::Music);
    assert!(a.hears_nothing(), "every port of this address is called our own");
}

#[test]
fn after_a_stall_only_the_latest_is_passed_on() {
    let (tell, events) = channel();
    let media = MediaNet::start(MediaNetConfig::default(), move |event| {
        // The worker itself is held up, as by a SIGSTOP.
        if matches!(event, MediaEvent::FirstPacket { .. }) {
            std::thread::sleep(Duration::from_millis(500));
        }
        let _ = tell.send(event);
    });
    let engine = Engine { media: media.unwrap(), events };
    let (mut a, b) = engine.call(&[PCMU], &[PCMU]);
    for n in 0..25u8 {
        a.say(0, &[n]);
        std::thread::sleep(Duration::from_millis(2));
    }
    let heard: Vec<_> = (0..6).map(|_| b.hear().unwrap()).collect();
    let payloads: Vec<_> = heard.iter().map(|(_, payload)| payload[0]).collect();
    assert_eq!(payloads, [0, 20, 21, 22, 23, 24]);
    assert_eq!(heard[1].0.sequence - heard[0].0.sequence, 20, "the rest is lost, and says so");
    a.say(0, b"on");
    assert_eq!(b.hear().unwrap().1, b"on");
    engine.event(|event| matches!(event, MediaEvent::Overrun { .. }).then_some(()));
}

#[test]
fn two_streams_cannot_be_made_to_talk_to_each_other() {
    let engine = Engine::start(MediaNetConfig { workers: 2, ..MediaNetConfig::default() });
    let (mut a, b) = engine.call(&[PCMU], &[PCMU]);
    let other = engine.phone(3, &[PCMU]); // on the other worker
    for port in [b.server.port(), b.server.port() + 1, other.server.port()] {
        engine.configure(&a, |config| {
            let rtp = SocketAddr::new(LOCALHOST, port);
            config.remote = Some(Remote { rtp, rtcp: rtp, rtcp_mux: true });
        });
        engine.hear(&a, Hear::Music);
        std::thread::sleep(SILENCE);
    }
    let stats = engine.close(&a);
    assert_eq!((stats.packets_sent, stats.rtcp_sent), (0, 0));
    assert_eq!(engine.close(&b).strays_dropped, 0);
    assert_eq!(engine.close(&other).strays_dropped, 0);
    a.say(0, b"x");
}

#[test]
fn an_occupied_port_is_told_and_closing_is_answered_all_the_same() {
    let engine = Engine::start(MediaNetConfig::default());
    let phone = Phone::new(5, LOCALHOST);
    let taken = phone.rtp.local_addr().unwrap().port();
    engine.open(&phone, LocalPorts { ip: LOCALHOST, rtp: taken, rtcp: None });
    let error = engine.event(|event| match event {
        MediaEvent::BindFailed { stream, error, taken } => taken.then_some((stream, error)),
        _ => None,
    });
    assert_eq!(error.0, phone.stream);
    assert!(!error.1.is_empty());
    assert_eq!(engine.close(&phone), StreamStats::default());
    let unknown = Phone { stream: StreamId(99), ..phone };
    engine.close(&unknown);
}

#[test]
fn ipv6_works_the_same() {
    let ip = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if UdpSocket::bind((ip, 0)).is_err() {
        return; // this machine has no IPv6
    }
    let engine = Engine::start(MediaNetConfig::default());
    let mut phones = [0, 1].map(|id| {
        let phone = Phone::new(id, ip);
        let rtp = phone.server.port();
        engine.open(&phone, LocalPorts { ip, rtp, rtcp: None });
        engine.configure(&phone, |_| {});
        phone
    });
    engine.hear(&phones[1], Hear::Stream(phones[0].stream));
    engine.settle();
    phones[0].say(0, b"six");
    assert_eq!(phones[1].hear().unwrap().1, b"six");
}

#[test]
fn a_full_queue_refuses_calls_but_never_their_end() {
    let gate = Arc::new(Mutex::new(()));
    let (tell, events) = channel();
    let config = MediaNetConfig { queue: 1, ..MediaNetConfig::default() };
    let shut = gate.lock().unwrap();
    let at_the_gate = Arc::clone(&gate);
    let media = MediaNet::start(config, move |event| {
        let _ = tell.send(event);
        drop(at_the_gate.lock());
    });
    let media = media.unwrap();
    let ends = |stream| media.send(MediaCommand::Close { stream });
    let told = || events.recv_timeout(PATIENCE);
    ends(StreamId(1)).unwrap();
    assert!(matches!(told(), Ok(MediaEvent::Closed { stream: StreamId(1), .. })));

    // The worker stands at the gate.
    let music = || MediaCommand::Hear { listener: StreamId(2), source: Hear::Music };
    media.send(music()).unwrap();
    assert!(matches!(media.send(music()), Err(Full(MediaCommand::Hear { .. }))));
    ends(StreamId(2)).unwrap();
    drop(shut);
    assert!(matches!(told(), Ok(MediaEvent::Closed { stream: StreamId(2), .. })));
}

#[test]
fn the_end_of_the_engine_closes_all_streams() {
    let Engine { media, events } = Engine::start(MediaNetConfig::default());
    let engine = Engine { media, events };
    let phones: Vec<_> = (0..4).map(|id| engine.phone(id, &[PCMU])).collect();
    engine.send(MediaCommand::Shutdown);
    let Engine { media, events } = engine;
    drop(media);
    let closed = events.iter().filter(|event| matches!(event, MediaEvent::Closed { .. }));
    assert_eq!(closed.count(), phones.len());
    let server = phones[0].server;
    assert!(UdpSocket::bind(server).is_ok(), "the ports are free");
}

#[test]
fn music_that_cannot_be_read_is_refused_at_the_start() {
    let music = Some("/nonexistent/music.wav".into());
    let result = MediaNet::start(MediaNetConfig { music, ..MediaNetConfig::default() }, |_| {});
    assert!(matches!(result.err(), Some(StartError::Sound { .. })));
}

#[test]
fn a_stream_that_moves_keeps_its_ports_its_session_and_every_packet() {
    const PACKETS: u8 = 200;
    let engine = Engine::start(MediaNetConfig { workers: 2, ..MediaNetConfig::default() });
    let (mut a, b) = engine.call(&[PCMU, EVENTS], &[PCMU, EVENTS]);
    // Only what comes from the stream's own port is heard.
    b.rtp.connect(b.server).unwrap();
    for n in 0..PACKETS {
        a.say(0, &[n; 160]);
        if n % 20 == 10 {
            // Both go to the other worker, as when their call merges into another.
            let bridge = BridgeId(u64::from(n / 20) + 1);
            for phone in [&a, &b] {
                engine.media.post(MediaCommand::Move { stream: phone.stream, bridge }).unwrap();
            }
            for (listener, source) in [(&a, &b), (&b, &a)] {
                let source = Hear::Stream(source.stream);
                let listener = listener.stream;
                engine.media.post(MediaCommand::Hear { listener, source }).unwrap();
            }
            engine.media.wake();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut heard = vec![];
    b.rtp.set_read_timeout(Some(SILENCE)).unwrap();
    while let Some((header, payload)) = b.hear() {
        heard.push((header, payload[0]));
    }
    // What came while nobody was to hear it is left out; nothing else is, and nothing is told twice.
    assert!(heard.len() >= usize::from(PACKETS) - 10, "{}", heard.len());
    for pair in heard.windows(2) {
        let [(before, _), (after, _)] = pair else { unreachable!() };
        assert_eq!((after.ssrc, after.sequence), (before.ssrc, before.sequence + 1));
    }
    assert!(heard.is_sorted_by_key(|(_, n)| *n));
    let stats = engine.close(&a);
    assert_eq!(stats.packets_received, u64::from(PACKETS), "all of them came in");
    assert_eq!(engine.close(&b).packets_sent, heard.len() as u64);
}

#[test]
fn a_stream_may_be_closed_while_it_moves() {
    let engine = Engine::start(MediaNetConfig { workers: 2, ..MediaNetConfig::default() });
    let (a, b) = engine.call(&[PCMU], &[PCMU]);
    for bridge in 1..40 {
        let stream = b.stream;
        engine.media.post(MediaCommand::Move { stream, bridge: BridgeId(bridge) }).unwrap();
    }
    engine.media.post(MediaCommand::Move { stream: StreamId(99), bridge: BridgeId(1) }).unwrap();
    engine.media.wake();
    assert_eq!(engine.close(&b).packets_received, 0);
    engine.close(&a);
    let again = Phone::new(1, LOCALHOST);
    engine.open(&again, LocalPorts { ip: LOCALHOST, rtp: b.server.port(), rtcp: None });
    engine.close(&again);
}

/// ATTACKS 35: a panic in the handling of one call, on the thread of another.
#[cfg(debug_assertions)]
#[test]
fn a_call_that_panics_ends_alone_and_its_ports_are_free() {
    use media::worker::Moment;
    for moment in [Moment::Packet, Moment::Look] {
        let engine = Engine::start(MediaNetConfig::default());
        let (mut a, mut b) = engine.call(&[PCMU], &[PCMU]);
        let mut others = [2, 3].map(|id| engine.phone(id, &[PCMU]));
        engine.hear(&others[0], Hear::Stream(others[1].stream));
        engine.hear(&others[1], Hear::Stream(others[0].stream));
        engine.settle();
        a.say(0, b"one");
        assert_eq!(b.hear().unwrap().1, b"one");
        engine.media.poison(b.stream, moment);
        engine.settle();
        for n in 0..100u8 {
            a.say(0, &[n; 160]);
            b.say(0, &[n; 160]);
            others[0].say(0, &[n; 160]);
            assert_eq!(others[1].hear().unwrap().1, [n; 160], "{moment:?}");
            std::thread::sleep(Duration::from_millis(15));
        }
        let mut broken = [(); 2].map(|()| {
            engine.event(|event| match event {
                MediaEvent::Broken { stream } => Some(stream),
                _ => None,
            })
        });
        broken.sort_unstable();
        assert_eq!(broken, [a.stream, b.stream], "{moment:?}");
        assert!(engine.close(&a).packets_received > 0, "{moment:?}: figures of before");
        engine.close(&b);
        let again = Phone { stream: StreamId(4), server: a.server, ..Phone::new(4, LOCALHOST) };
        engine.open(&again, LocalPorts { ip: LOCALHOST, rtp: a.server.port(), rtcp: None });
        engine.close(&again);
        assert_eq!(engine.close(&others[0]).packets_received, 100, "{moment:?}");
    }
}
