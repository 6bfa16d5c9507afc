//! A browser that is called: what it is offered, what the media engine is told, and what becomes of
//! the call when the way to it is lost.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use b2bua::Core;
use b2bua::io::{Input, Output};
use base::{Time, WallTime};
use bytes::Bytes;
use media::command::{MediaCommand, MediaEvent, PathConfig, StreamConfig, StreamId};
use media::dtls::{Failure, Fingerprint, Hash, Role};
use media::path::Event;
use media::srtp::{Keying, MasterKey, Profile};
use sip::message::{Message, Name, Request, parse_datagram};
use sip::registrar::BindingRecord;
use sip::transport::{FlowId, Source, Transport};

const TRUNK: &str = "127.0.0.2:5060";
const BROWSER: &str = "127.0.0.1:7001";
const FOUND: &str = "192.0.2.9:50000";
/// The leg of the browser.
const LEG: StreamId = StreamId(2);
const THEIRS: &str = "sha-256 0F:E6:CE:52:AF:6F:EA:5E:8E:34:FD:3E:C0:A2:C2:2C:24:84:B4:13:3D:92:69:\
    95:14:5E:59:22:C3:0E:FA:D2";
const PLAIN: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 0\r\n";

/// What a browser answers, or offers, with this user name.
fn secure(ufrag: &str, setup: &str, direction: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 8 0\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\n\
         a=candidate:1 1 udp 1 0d1c6a2e.local 51556 typ host\r\na=ice-ufrag:{ufrag}\r\n\
         a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:{THEIRS}\r\na=setup:{setup}\r\n\
         a={direction}\r\n"
    )
}

struct World {
    core: Core,
    now: Time,
    sent: Vec<(SocketAddr, String)>,
    /// What the browser's stream was told.
    told: Vec<StreamConfig>,
    records: Vec<u16>,
}

impl World {
    fn new() -> Self {
        let mut config = b2bua::testing::config();
        config.media.dtls = Some(Fingerprint::of(b"ours", Hash::Sha256));
        let wall = WallTime(1_700_000_000_000);
        let core = Core::new(config, [7; 32], wall);
        let (now, sent) = (Time::ZERO, Vec::new());
        let mut world = Self { core, now, sent, told: Vec::new(), records: Vec::new() };
        let binding = BindingRecord {
            aor: "1001".into(),
            key: "<urn:uuid:00000000-0000-1000-8000-000a95a0e128>;1".into(),
            contact: "sip:1001@df7jal23ls0d.invalid;transport=ws".parse().unwrap(),
            params: Default::default(),
            path: Box::default(),
            transport: Transport::Ws,
            addr: BROWSER.parse().unwrap(),
            call_id: "registration".into(),
            cseq: 1,
            user_agent: "JsSIP 3.10".into(),
            expires_at: Time::ZERO,
            expires_wall: WallTime(wall.0 + 600_000),
        };
        world.input(Input::Restore { wall, bindings: vec![binding] });
        world
    }

    /// A call to the browser; the INVITE it gets.
    fn called() -> (Self, Request) {
        let mut world = Self::new();
        let invite = format!(
            "INVITE sip:+4930100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {TRUNK};branch=z9hG4bKi1\r\n\
             From: <sip:+49171555@carrier.test>;tag=c1\r\nTo: <sip:+4930100@127.0.0.1>\r\n\
             Call-ID: call-1\r\nCSeq: 1 INVITE\r\nContact: <sip:customer@{TRUNK}>\r\n\
             Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{PLAIN}",
            PLAIN.len()
        );
        world.receive(TRUNK, Transport::Udp, &invite);
        let invite = world.sent_to(BROWSER).pop().unwrap();
        (world, parse(&invite))
    }

    /// A call that the browser has answered.
    fn talking() -> (Self, Request) {
        let (mut world, invite) = Self::called();
        world.browser_says(&reply(&invite, "200 OK", &secure("EsAw", "active", "sendrecv")));
        assert!(world.sent_to(BROWSER)[0].starts_with("ACK "));
        let ok = world.sent_to(TRUNK).pop().unwrap();
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        let to = line(&ok, "To: ");
        let target = line(&ok, "Contact: ").trim_matches(['<', '>']);
        let ack = format!(
            "ACK {target} SIP/2.0\r\nVia: SIP/2.0/UDP {TRUNK};branch=z9hG4bKa1\r\n\
             From: <sip:+49171555@carrier.test>;tag=c1\r\nTo: {to}\r\nCall-ID: call-1\r\n\
             CSeq: 1 ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        world.receive(TRUNK, Transport::Udp, &ack);
        (world, invite)
    }

    /// Offers anew inside the dialog of `invite`; the answer, acknowledged when it is a 2xx.
    fn reoffer(&mut self, invite: &Request, seq: u32, body: &str) -> String {
        self.browser_says(&reinvite("INVITE", invite, seq, body));
        let answered = self.sent_to(BROWSER).pop().unwrap();
        if answered.starts_with("SIP/2.0 200 ") {
            self.browser_says(&reinvite("ACK", invite, seq, ""));
        }
        answered
    }

    fn receive(&mut self, from: &str, transport: Transport, text: &str) {
        let message = parse_datagram(Bytes::copy_from_slice(text.as_bytes()));
        let source = Source {
            flow: FlowId(1),
            transport,
            remote: from.parse().unwrap(),
            local: "127.0.0.1:5060".parse().unwrap(),
            tls_names: Arc::new([]),
        };
        self.input(Input::Sip { source, message, size: text.len() });
    }

    fn browser_says(&mut self, text: &str) {
        self.receive(BROWSER, Transport::Ws, text);
    }

    fn path(&mut self, event: Event) {
        self.input(Input::Media(MediaEvent::Path { stream: LEG, event }));
    }

    fn input(&mut self, input: Input) {
        self.now = self.now + Duration::from_millis(10);
        let mut out = Vec::new();
        self.core.handle(self.now, input, &mut out);
        let mut closed = Vec::new();
        for output in out {
            match output {
                Output::Send { target, bytes, .. } => {
                    self.sent.push((target.addr, String::from_utf8(bytes.to_vec()).unwrap()));
                }
                Output::Media(MediaCommand::Configure { stream: LEG, config }) => {
                    self.told.push(*config);
                }
                Output::Media(MediaCommand::Close { stream }) => closed.push(stream),
                Output::CallRecord(record) => self.records.push(record.sip_status),
                _ => {}
            }
        }
        for stream in closed {
            self.input(Input::Media(MediaEvent::Closed { stream, stats: Box::default() }));
        }
    }

    fn sent_to(&mut self, to: &str) -> Vec<String> {
        let to: SocketAddr = to.parse().unwrap();
        let theirs = self.sent.extract_if(.., |(target, _)| *target == to);
        theirs.map(|(_, text)| text).collect()
    }

    /// The way that the browser's stream was told last, and told anew.
    fn way(&mut self) -> PathConfig {
        let told = self.told.pop().expect("told anew");
        self.told.clear();
        assert_eq!(told.srtp, None, "the keys are the path's");
        told.path.expect("a way")
    }

    /// Both sides are hung up on.
    fn is_over(&mut self) {
        for side in [TRUNK, BROWSER] {
            let sent = self.sent_to(side);
            let bye = sent.iter().find(|text| text.starts_with("BYE ")).expect("a BYE");
            let transport = if side == TRUNK { Transport::Udp } else { Transport::Ws };
            self.receive(side, transport, &reply(&parse(bye), "200 OK", ""));
        }
        assert_eq!(self.records.len(), 1);
    }
}

fn parse(text: &str) -> Request {
    match parse_datagram(Bytes::copy_from_slice(text.as_bytes())).unwrap() {
        Message::Request(request) => request,
        Message::Response(response) => panic!("a response: {response:?}"),
    }
}

fn reply(request: &Request, status: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in [Name::Via, Name::From, Name::CallId, Name::CSeq] {
        for value in request.headers.get_all(name) {
            text += &format!("{}: {value}\r\n", name.as_str());
        }
    }
    let to = request.headers.get(Name::To).unwrap();
    let tag = if to.contains("tag=") { "" } else { ";tag=browser" };
    text += &format!("To: {to}{tag}\r\nContact: <sip:1001@df7jal23ls0d.invalid;transport=ws>\r\n");
    if !body.is_empty() {
        text += "Content-Type: application/sdp\r\n";
    }
    text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A re-INVITE of the browser inside the dialog of `invite`, or its ACK.
fn reinvite(method: &str, invite: &Request, seq: u32, body: &str) -> String {
    let value = |name: Name| invite.headers.get(name).unwrap();
    let (ours, theirs) = (value(Name::From), value(Name::To));
    let target = value(Name::Contact).trim_matches(['<', '>']);
    format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK{method}{seq}\r\n\
         From: {theirs};tag=browser\r\nTo: {ours}\r\nCall-ID: {}\r\nCSeq: {seq} {method}\r\n\
         Contact: <sip:1001@df7jal23ls0d.invalid;transport=ws>\r\nMax-Forwards: 70\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        value(Name::CallId),
        body.len()
    )
}

fn keys() -> Keying {
    let profile = Profile::AesCm128HmacSha1_80;
    let key = |byte| MasterKey::new(profile, &[byte; 30]).unwrap();
    Keying { profile, send: key(1), receive: key(2) }
}

fn line<'a>(text: &'a str, prefix: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(prefix));
    found.unwrap_or_else(|| panic!("no {prefix} in {text}"))
}

#[test]
fn who_registered_over_websocket_is_offered_dtls_and_ice() {
    let (mut world, invite) = World::called();
    let offer = String::from_utf8(invite.body.to_vec()).unwrap();
    for wanted in
        ["UDP/TLS/RTP/SAVPF 8 0", "a=ice-lite\r\n", "a=setup:actpass\r\n", "a=rtcp-mux\r\n"]
    {
        assert!(offer.contains(wanted), "{wanted}: {offer}");
    }
    world.browser_says(&reply(&invite, "200 OK", &secure("EsAw", "active", "sendrecv")));
    let way = world.way();
    assert_eq!(&*way.ice.unwrap().ufrag, line(&offer, "a=ice-ufrag:"));
    let dtls = way.dtls.unwrap();
    assert_eq!((dtls.role, dtls.fingerprints.len()), (Role::Server, 1));
    // What was found and made is told again, for an engine that begins anew.
    world.path(Event::Selected(FOUND.parse().unwrap()));
    world.path(Event::Keyed(keys()));
    let found = world.way().found;
    assert_eq!((found.to, found.keys), (Some(FOUND.parse().unwrap()), Some(keys())));
}

#[test]
fn a_browser_that_answers_in_the_clear_gets_no_call() {
    let (mut world, invite) = World::called();
    world.browser_says(&reply(&invite, "200 OK", PLAIN));
    let sent = world.sent_to(BROWSER);
    assert!(sent[0].starts_with("ACK ") && sent[1].starts_with("BYE "), "{sent:?}");
    let refused = world.sent_to(TRUNK).pop().unwrap();
    assert!(refused.starts_with("SIP/2.0 488 "), "{refused}");
    assert!(world.told.is_empty());
}

#[test]
fn a_re_invite_restarts_ice_and_keeps_the_association() {
    let (mut world, invite) = World::talking();
    world.path(Event::Keyed(keys()));
    let before = world.way();
    // Hold: nothing of the way changes.
    world.reoffer(&invite, 1, &secure("EsAw", "actpass", "sendonly"));
    assert_eq!(world.way(), before);
    let answered = world.reoffer(&invite, 2, &secure("Nw2x", "actpass", "sendrecv"));
    assert!(answered.starts_with("SIP/2.0 200 "), "{answered}");
    assert_eq!(line(&answered, "a=setup:"), "passive");
    let after = world.way();
    let ufrag = after.ice.as_ref().unwrap().ufrag.clone();
    assert_eq!(line(&answered, "a=ice-ufrag:"), &*ufrag);
    assert_ne!(after.ice, before.ice);
    assert_eq!((after.dtls, after.found.keys), (before.dtls, Some(keys())));
    // Another certificate is another association: the keys of the former are nobody's.
    let other = secure("Nw2x", "actpass", "sendrecv").replace("0F:E6", "0F:E7");
    world.reoffer(&invite, 3, &other);
    assert_eq!(world.way().found.keys, None);
    // And never in the clear.
    let refused = world.reoffer(&invite, 4, PLAIN);
    assert!(refused.starts_with("SIP/2.0 488 "), "{refused}");
}

#[test]
fn a_way_that_is_lost_and_a_handshake_that_fails_end_the_call() {
    for event in [Event::ConsentLost, Event::Failed(Failure::NotThePeer)] {
        let (mut world, _) = World::talking();
        world.path(Event::Selected(FOUND.parse().unwrap()));
        assert!(world.sent.is_empty());
        world.path(event);
        world.is_over();
    }
}

#[test]
fn a_snapshot_knows_the_way() {
    let (mut world, _) = World::talking();
    world.path(Event::Selected(FOUND.parse().unwrap()));
    world.path(Event::Keyed(keys()));
    let text = serde_json::to_string(&world.core).unwrap();
    let restored: Core = serde_json::from_str(&text).unwrap();
    assert_eq!(restored, world.core);
    world.core = restored;
    world.path(Event::ConsentLost);
    world.is_over();
}
