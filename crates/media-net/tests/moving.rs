//! Legs whose keys DTLS has made and whose way ICE has found, between workers: the peer sees nothing
//! of it.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base::{Redacted, Time};
use media::codec::OpusFormat;
use media::command::{
    BridgeId, Codec, Found, Hear, Keys, LocalPorts, MediaCommand, MediaEvent, PathConfig, Payload,
    Remote, StreamConfig, StreamId, StreamStats,
};
use media::dtls::{self, Dtls, Identity, Peer, Role};
use media::ice::{Credentials, Kind, kind};
use media::path;
use media::rtp::{self, HEADER_LEN, Header};
use media::srtp::{OVERHEAD_MAX, Srtp};
use media_net::{Certificate, MediaNet, MediaNetConfig};
use rtc_crypto::providers::RingCrypto;
use rtc_ice::attributes::use_candidate::UseCandidateAttr;
use rtc_stun::attributes::ATTR_USERNAME;
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, Message, TransactionId};
use rtc_stun::textattrs::TextAttribute;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PCMU: Payload = Payload { codec: Codec::Pcmu, key: 0, send: 0, receive: 0, clock_rate: 8000 };
const PASSWORD: &str = "u8GhlVUrGTSbHv5AK4Jp3S8u";
const BROWSER: StreamId = StreamId(0);
const AGENT: StreamId = StreamId(1);
const PATIENCE: Duration = Duration::from_secs(10);
const WORKERS: usize = 3;
/// Shortly before the sequence numbers begin anew, so that the roll-over counter is not 0 for long.
const FIRST_SEQUENCE: u16 = 65_530;

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["hookflash".to_owned()]).unwrap();
    let key = Redacted::new(made.signing_key.serialize_der());
    Certificate { certificate: made.cert.der().to_vec(), key }
}

fn identity(certificate: &Certificate) -> Arc<Identity> {
    let Certificate { certificate, key } = certificate;
    Arc::new(Identity::new(certificate, key.reveal(), Instant::now()).unwrap())
}

fn peer(role: Role, of: &Identity) -> Peer {
    Peer { role, fingerprints: vec![of.fingerprint().clone()] }
}

fn credentials() -> Credentials {
    Credentials { ufrag: "ours".into(), password: Redacted::new(PASSWORD.into()) }
}

/// A nominating check, as a browser sends it all the time for consent (RFC 7675).
fn check() -> Vec<u8> {
    let integrity =
        MessageIntegrity::new_short_term_integrity_with_provider(PASSWORD.into(), &RingCrypto);
    let mut message = Message::new();
    message
        .build(&[
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId::new()),
            Box::new(TextAttribute::new(ATTR_USERNAME, "ours:theirs".to_owned())),
            Box::<UseCandidateAttr>::default(),
            Box::new(integrity),
            Box::new(FINGERPRINT),
        ])
        .unwrap();
    message.raw
}

/// An even port that is free, and the next one too.
fn free_pair() -> u16 {
    let pair = || {
        let port = UdpSocket::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap().port() & !1;
        let both = [port, port + 1].map(|port| UdpSocket::bind((LOCALHOST, port)).is_ok());
        both.into_iter().all(|free| free).then_some(port)
    };
    (0..100).find_map(|_| pair()).expect("a free pair of ports")
}

/// A browser and an agent with a plain phone, whose call goes from worker to worker.
struct Call {
    media: MediaNet,
    events: Receiver<MediaEvent>,
    browser: UdpSocket,
    agent: UdpSocket,
    /// Where they send to.
    servers: [SocketAddr; 2],
    dtls: Dtls,
    agreed: Peer,
    ice: bool,
    srtp: Option<Srtp>,
    sequences: [u16; 2],
    bridge: u64,
    /// What the browser heard last.
    heard: Option<Header>,
}

impl Call {
    fn new(role: Role, ice: bool) -> Self {
        let ours = certificate();
        let (us, them) = (identity(&ours), identity(&certificate()));
        let (tell, events) = channel();
        let config =
            MediaNetConfig { workers: WORKERS, dtls: Some(ours), ..MediaNetConfig::default() };
        let media = MediaNet::start(config, move |event| drop(tell.send(event))).unwrap();
        let phone = || {
            let socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        let theirs = if role == Role::Client { Role::Server } else { Role::Client };
        let call = Self {
            media,
            events,
            browser: phone(),
            agent: phone(),
            servers: [(); 2].map(|()| SocketAddr::new(LOCALHOST, free_pair())),
            dtls: Dtls::new(them.clone(), peer(theirs, &us)),
            agreed: peer(role, &them),
            ice,
            srtp: None,
            sequences: [FIRST_SEQUENCE; 2],
            bridge: 0,
            heard: None,
        };
        for (stream, server) in [BROWSER, AGENT].into_iter().zip(call.servers) {
            let local = LocalPorts { ip: LOCALHOST, rtp: server.port(), rtcp: None };
            call.send(MediaCommand::Open {
                stream,
                bridge: BridgeId(0),
                local,
                ssrc: 0xa000 + stream.0 as u32,
                sequence: FIRST_SEQUENCE,
                timestamp: 0,
            });
        }
        call.configure();
        call.connect();
        call.settle();
        call
    }

    fn send(&self, command: MediaCommand) {
        self.media.send(command).unwrap();
    }

    fn configure(&self) {
        let at = |socket: &UdpSocket| {
            let rtp = socket.local_addr().unwrap();
            Some(Remote { rtp, rtcp: rtp, rtcp_mux: true })
        };
        let ice = self.ice.then(credentials);
        let path = PathConfig { ice, dtls: Some(self.agreed.clone()), found: Found::default() };
        let remote = at(&self.browser).filter(|_| !self.ice);
        for (stream, remote, path) in
            [(BROWSER, remote, Some(path)), (AGENT, at(&self.agent), None)]
        {
            let config = StreamConfig {
                remote,
                signalling_source: None,
                payloads: vec![PCMU],
                send: true,
                receive: true,
                ptime_ms: 20,
                rtp_timeout: None,
                symmetric: true,
                srtp: None,
                path,
                noise_removal: None,
                voip_metrics: false,
                keys: Keys::default(),
                opus: OpusFormat::default(),
            };
            self.send(MediaCommand::Configure { stream, config: Box::new(config) });
        }
    }

    /// Both hear each other.
    fn connect(&self) {
        for (listener, source) in [(BROWSER, AGENT), (AGENT, BROWSER)] {
            self.send(MediaCommand::Hear { listener, source: Hear::Stream(source) });
        }
    }

    /// Waits until the first worker has done what it was told: closing a stream that never was is
    /// answered in its turn.
    fn settle(&self) {
        let nobody = StreamId(u64::MAX);
        self.send(MediaCommand::Close { stream: nobody });
        let is_answer = |event: &MediaEvent| matches!(event, MediaEvent::Closed { stream, .. } if *stream == nobody);
        while !is_answer(&self.events.recv_timeout(PATIENCE).expect("an answer in time")) {}
    }

    /// The call becomes part of another, on another worker.
    fn go(&mut self) {
        self.bridge += 1;
        for stream in [BROWSER, AGENT] {
            self.media.post(MediaCommand::Move { stream, bridge: BridgeId(self.bridge) }).unwrap();
        }
        self.media.wake();
        self.connect();
    }

    fn browser_says(&self, datagram: &[u8]) {
        self.browser.send_to(datagram, self.servers[0]).unwrap();
    }

    /// What the browser is sent next that is of this kind; its checks are answered meanwhile.
    fn sent(&self, wanted: Kind) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 2000];
        loop {
            let len = self.browser.recv(&mut buffer).expect("something in time");
            let is_report = rtp::is_rtcp(&buffer[..len]);
            if kind(&buffer[..len]) == Some(wanted) && !is_report {
                return buffer[..len].to_vec();
            }
            assert!(Instant::now() < deadline, "never a {wanted:?}");
        }
    }

    /// A check is answered from the stream's own port.
    fn consent(&self) {
        self.browser_says(&check());
        self.sent(Kind::Stun);
    }

    /// A flight or so of the handshake, and whether there are keys.
    fn shake_hands(&mut self) -> bool {
        let now = Time::ZERO;
        while let Some(datagram) = self.dtls.poll_transmit() {
            self.browser_says(&datagram);
        }
        let datagram = self.sent(Kind::Dtls);
        if let Some(dtls::Event::Keyed(keys)) = self.dtls.handle(now, &datagram) {
            self.srtp = Some(Srtp::new(keys));
        }
        while let Some(datagram) = self.dtls.poll_transmit() {
            self.browser_says(&datagram);
        }
        self.srtp.is_some()
    }

    /// Waits until the engine has its keys.
    fn keyed(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left).expect("keys in time") {
                MediaEvent::Path { stream: BROWSER, event: path::Event::Keyed(_) } => return,
                MediaEvent::Path { event: path::Event::Failed(failure), .. } => {
                    panic!("{failure:?}")
                }
                _ => {}
            }
        }
    }

    /// Each hears the other's next packet; what comes before a worker knows who is to hear it is
    /// said again, as people do. What was heard until the call moved dies away before it at most.
    fn talk(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        self.agent.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut buffer = [0; 2000];
        let mut ends = 0;
        'said: loop {
            assert!(Instant::now() < deadline, "the agent hears nothing");
            let said = self.packet(0);
            let mut protected = [0; 500];
            protected[..said.len()].copy_from_slice(&said);
            let len = self.srtp.as_mut().unwrap().protect_rtp(&mut protected, said.len()).unwrap();
            assert!(len <= said.len() + OVERHEAD_MAX);
            self.browser_says(&protected[..len]);
            while let Ok(len) = self.agent.recv(&mut buffer) {
                let heard = rtp::parse(&buffer[..len]).unwrap();
                if is_of(&buffer[heard.payload], &said) {
                    break 'said;
                }
                ends += 1;
                assert!(ends < 2, "{:?}", &buffer[..len]);
            }
        }
        let said = self.packet(1);
        self.agent.send_to(&said, self.servers[1]).unwrap();
        for ends in 0.. {
            let mut datagram = self.sent(Kind::Rtp);
            let len = self.srtp.as_mut().unwrap().unprotect_rtp(&mut datagram).expect("our keys");
            let heard = rtp::parse(&datagram[..len]).unwrap();
            if let Some(before) = self.heard.replace(heard.header) {
                let step = heard.header.sequence.wrapping_sub(before.sequence);
                assert_eq!((heard.header.ssrc, step), (before.ssrc, 1), "one session");
            }
            if is_of(&datagram[heard.payload], &said) {
                break;
            }
            assert!(ends < 1, "{datagram:?}");
        }
    }

    fn packet(&mut self, side: usize) -> Vec<u8> {
        let sequence = self.sequences[side];
        self.sequences[side] = sequence.wrapping_add(1);
        let mut datagram = vec![sequence as u8; HEADER_LEN + 160];
        let timestamp = u32::from(sequence.wrapping_sub(FIRST_SEQUENCE)) * 160;
        let ssrc = 7 + side as u32;
        let header = Header { marker: false, payload_type: 0, sequence, timestamp, ssrc };
        rtp::write_header(&mut datagram, &header);
        datagram
    }

    fn close(self) -> StreamStats {
        self.send(MediaCommand::Close { stream: BROWSER });
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left).expect("its end in time") {
                MediaEvent::Closed { stream: BROWSER, stats } => return *stats,
                MediaEvent::Path { stream, event } => assert!(
                    !matches!(event, path::Event::ConsentLost | path::Event::Failed(_)),
                    "{stream:?}: {event:?}"
                ),
                _ => {}
            }
        }
    }
}

/// Whether a packet is what was said: it may rise from what was heard before.
fn is_of(payload: &[u8], said: &[u8]) -> bool {
    const FADE: usize = 80;
    payload.len() == 160 && payload[FADE..] == said[HEADER_LEN + FADE..]
}

#[test]
fn keys_roll_over_counters_and_the_way_go_from_worker_to_worker() {
    for (role, ice) in [(Role::Server, true), (Role::Client, true), (Role::Server, false)] {
        let mut call = Call::new(role, ice);
        if ice {
            call.consent();
        }
        call.dtls.start(Time::ZERO);
        while !call.shake_hands() {}
        call.keyed();
        // The numbers begin anew in between, twice on each side of a move.
        for n in 0..12 {
            call.talk();
            if n % 2 == 1 {
                call.go();
                if ice {
                    call.consent();
                }
            }
        }
        let stranger = UdpSocket::bind(("127.0.0.66", 0)).unwrap();
        let stray = call.packet(0);
        stranger.send_to(&stray, call.servers[0]).unwrap();
        call.talk();
        let said = u64::from(call.sequences[0].wrapping_sub(FIRST_SEQUENCE));
        let stats = call.close();
        // Nothing of the peer's was taken for another's on any of the workers.
        assert_eq!(
            (stats.unauthentic_dropped, stats.lost),
            (0, 1),
            "the stray's number: {stats:?}"
        );
        assert_eq!(stats.packets_received, said - 1);
    }
}

#[test]
fn a_handshake_goes_on_at_another_worker() {
    for role in [Role::Server, Role::Client] {
        let mut call = Call::new(role, true);
        call.consent();
        call.dtls.start(Time::ZERO);
        for _ in 0..20 {
            call.go();
            if call.shake_hands() {
                break;
            }
        }
        call.keyed();
        call.talk();
    }
}
