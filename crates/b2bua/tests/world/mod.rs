//! The core with a customer behind a trunk and a phone around it, told in the messages on the wire.
#![allow(dead_code, clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use b2bua::Core;
use b2bua::config::Config;
use b2bua::io::{Event, Input, Output, QueryId, StoreWrite};
use base::{Time, WallTime};
use bytes::Bytes;
use call::record::CallRecord;
use media::command::{Hear, MediaCommand, MediaEvent, StreamId};
use sip::auth::digest::{Algorithm, Answer, QopAuth, ha1};
use sip::message::{Host, Message, Name, Request, parse_datagram};
use sip::transport::{FlowId, Source, Target, Transport};

pub(crate) const TRUNK: &str = "127.0.0.2:5060";
pub(crate) const PHONE: &str = "127.0.0.1:7001";

/// The core with the world around it reduced to lists.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) now: Time,
    pub(crate) sent: Vec<(SocketAddr, String)>,
    pub(crate) media: Vec<MediaCommand>,
    pub(crate) records: Vec<CallRecord>,
    pub(crate) events: Vec<Event>,
    pub(crate) stored: Vec<StoreWrite>,
    /// Look-ups that nobody has answered.
    pub(crate) asked: Vec<(QueryId, Host)>,
    /// The INVITE that the agent's phone got.
    pub(crate) rung: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(b2bua::testing::config())
    }

    pub(crate) fn with(config: Config) -> Self {
        let core = Core::new(config, [7; 32], WallTime(1_700_000_000_000));
        let mut world = Self {
            core,
            now: Time::ZERO,
            sent: Vec::new(),
            media: Vec::new(),
            records: Vec::new(),
            events: Vec::new(),
            stored: Vec::new(),
            asked: Vec::new(),
            rung: String::new(),
        };
        let mut out = Vec::new();
        world.core.start(world.now, &mut out);
        world.take(out);
        world
    }

    pub(crate) fn receive(&mut self, from: &str, text: &str) {
        self.receive_bytes(from, text.as_bytes());
    }

    pub(crate) fn receive_bytes(&mut self, from: &str, bytes: &[u8]) {
        let message = parse_datagram(Bytes::copy_from_slice(bytes));
        let source = Source {
            flow: FlowId(1),
            transport: Transport::Udp,
            remote: from.parse().unwrap(),
            local: "127.0.0.1:5060".parse().unwrap(),
            tls_names: Arc::new([]),
        };
        self.input(Input::Sip { source, message, size: bytes.len() });
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.now = self.now + Duration::from_millis(10);
        let mut out = Vec::new();
        self.core.handle(self.now, input, &mut out);
        self.take(out);
    }

    pub(crate) fn take(&mut self, out: Vec<Output>) {
        let mut closed = Vec::new();
        for output in out {
            match output {
                Output::Send { target, bytes, .. } => {
                    self.sent.push((target.addr, String::from_utf8(bytes.to_vec()).unwrap()));
                }
                Output::Media(command) => {
                    if let MediaCommand::Close { stream } = command {
                        closed.push(stream);
                    }
                    self.media.push(command);
                }
                Output::CallRecord(record) => self.records.push(*record),
                Output::Event(event) => self.events.push(event),
                Output::Resolve { query, host, .. } => self.asked.push((query, host)),
                Output::Store(write) => self.stored.push(write),
                Output::CloseFlow(_) | Output::Reply { .. } | Output::Drained => {}
            }
        }
        for stream in closed {
            self.input(Input::Media(MediaEvent::Closed { stream, stats: Box::default() }));
        }
    }

    /// What was sent to `to` since the last look.
    pub(crate) fn sent_to(&mut self, to: &str) -> Vec<String> {
        let to: SocketAddr = to.parse().unwrap();
        let (theirs, others) =
            std::mem::take(&mut self.sent).into_iter().partition(|(a, _)| *a == to);
        self.sent = others;
        let theirs: Vec<(SocketAddr, String)> = theirs;
        theirs.into_iter().map(|(_, text)| text).collect()
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(next) = self.core.next_timeout().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.input(Input::Tick);
        }
        self.now = until;
    }

    pub(crate) fn hears(&self, listener: StreamId) -> Option<Hear> {
        let mut told = self.media.iter().rev();
        told.find_map(|command| match command {
            MediaCommand::Hear { listener: l, source } if *l == listener => Some(*source),
            _ => None,
        })
    }

    /// The agent's phone, in a call by [`talk`], changes its direction by re-INVITE.
    pub(crate) fn reinvite(&mut self, cseq: u32, direction: &str) {
        let invite = parse(&self.rung);
        let header = |name| invite.headers.get(name).unwrap();
        let (from, to, call_id) = (header(Name::To), header(Name::From), header(Name::CallId));
        let body = sdp(5000, &format!("a={direction}\r\n"));
        let request = |method: &str, body: &str| {
            format!(
                "{method} sip:hookflash@127.0.0.1:5060 SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {PHONE};branch=z9hG4bK{method}{cseq}\r\nFrom: {from};tag=phone\r\n\
                 To: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
                 Contact: <sip:1001@{PHONE}>\r\nMax-Forwards: 70\r\n\
                 Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let (change, ack) = (request("INVITE", &body), request("ACK", ""));
        self.receive(PHONE, &change);
        let answer = self.sent_to(PHONE).into_iter().find(|text| text.contains(" 200 OK"));
        assert!(answer.is_some(), "the change is accepted");
        self.receive(PHONE, &ack);
    }

    /// Answers the only look-up there is: the name and where it leads.
    pub(crate) fn resolve(&mut self, to: &[&str]) -> String {
        let (query, host) = self.asked.pop().unwrap();
        assert!(self.asked.is_empty());
        let target = |to: &&str| Target {
            transport: Transport::Udp,
            addr: to.parse().unwrap(),
            flow: None,
            tls_name: None,
        };
        self.input(Input::Resolved { query, targets: to.iter().map(target).collect() });
        host.to_string()
    }

    /// The phone of an agent, registered, dials `number`: the INVITE that leaves to `gateway`.
    pub(crate) fn dial(&mut self, call_id: &str, number: &str, gateway: &str) -> Option<String> {
        self.receive(PHONE, &outgoing(call_id, number, 1, ""));
        let challenge = self.sent_to(PHONE).pop().unwrap();
        let proof = answer(&challenge, "INVITE", "1001");
        self.receive(PHONE, &ack_of(&challenge, call_id, number));
        self.receive(PHONE, &outgoing(call_id, number, 2, &proof));
        self.sent_to(gateway).into_iter().find(|text| text.starts_with("INVITE "))
    }

    pub(crate) fn register(&mut self, number: &str, at: &str) {
        let first = register(number, at, 1, "");
        self.receive(at, &first);
        let challenge = self.sent_to(at).remove(0);
        assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
        let authorization = answer(&challenge, "REGISTER", number);
        self.receive(at, &register(number, at, 2, &authorization));
        let ok = self.sent_to(at).remove(0);
        assert!(ok.starts_with("SIP/2.0 200 OK\r\n"), "{ok}");
        assert!(ok.contains("expires="), "{ok}");
    }
}

/// An INVITE of agent 1001's phone.
fn outgoing(call_id: &str, number: &str, cseq: u32, extra: &str) -> String {
    let body = sdp(5000, "");
    format!(
        "INVITE sip:{number}@hookflash.test SIP/2.0\r\n\
         Via: SIP/2.0/UDP {PHONE};branch=z9hG4bK{call_id}{cseq}\r\n\
         From: <sip:1001@hookflash.test>;tag=phone\r\nTo: <sip:{number}@hookflash.test>\r\n\
         Call-ID: {call_id}\r\nCSeq: {cseq} INVITE\r\nContact: <sip:1001@{PHONE}>\r\n\
         Max-Forwards: 70\r\n{extra}Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn ack_of(refusal: &str, call_id: &str, number: &str) -> String {
    let to = refusal.lines().find(|line| line.starts_with("To:")).unwrap();
    format!(
        "ACK sip:{number}@hookflash.test SIP/2.0\r\n\
         Via: SIP/2.0/UDP {PHONE};branch=z9hG4bK{call_id}1\r\n\
         From: <sip:1001@hookflash.test>;tag=phone\r\n{to}\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A request of whoever was called by `invite`, inside the dialog of its tag `callee`.
pub(crate) fn of_callee(invite: &Request, method: &str, cseq: u32, headers: &str) -> String {
    let header = |name| invite.headers.get(name).unwrap();
    let (from, to, call_id) = (header(Name::To), header(Name::From), header(Name::CallId));
    format!(
        "{method} sip:hookflash@127.0.0.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {TRUNK};branch=z9hG4bK{method}{cseq}\r\nFrom: {from};tag=phone\r\n\
         To: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
         {headers}Content-Length: 0\r\n\r\n"
    )
}

pub(crate) fn register(number: &str, at: &str, cseq: u32, extra: &str) -> String {
    format!(
        "REGISTER sip:hookflash.test SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKr{number}{cseq};rport\r\n\
         From: <sip:{number}@hookflash.test>;tag=r{number}\r\nTo: <sip:{number}@hookflash.test>\r\n\
         Call-ID: reg-{number}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{number}@{at}>\r\n\
         Max-Forwards: 70\r\n{extra}Content-Length: 0\r\n\r\n"
    )
}

/// The customer calls agent 1001, who answers; the answer that the customer got. The customer's leg
/// is 1, the agent's 2.
pub(crate) fn talk(world: &mut World) -> String {
    world.register("1001", PHONE);
    world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
    world.rung = world.sent_to(PHONE).remove(0);
    let invite = parse(&world.rung);
    world.receive(PHONE, &reply(&invite, "200 OK", &sdp(5000, "")));
    let ok = world.sent_to(TRUNK).into_iter().find(|text| text.starts_with("SIP/2.0 200 OK"));
    let ok = ok.unwrap();
    world.receive(TRUNK, &in_dialog("ACK", 1, &ok));
    world.sent.clear();
    ok
}

/// Another customer is put through to the phone, from another number.
pub(crate) fn talk_again(world: &mut World) {
    let again = |text: String| {
        text.replace("call-1", "call-2")
            .replace("tag=c1", "tag=c2")
            .replace("bKi1", "bKi2")
            .replace("+49171555", "+49171666")
    };
    world.sent.clear();
    world.receive(TRUNK, &again(invite("+4930100", &sdp(4002, ""))));
    let rung = world.sent_to(PHONE).into_iter().find(|text| text.starts_with("INVITE ")).unwrap();
    world.receive(PHONE, &reply(&parse(&rung), "200 OK", &sdp(5002, "")));
    let ok = world.sent_to(TRUNK).into_iter().find(|text| text.starts_with("SIP/2.0 200 OK"));
    world.receive(TRUNK, &again(in_dialog("ACK", 1, &ok.unwrap())));
}

/// The customer hangs up, the agent's phone agrees.
pub(crate) fn hang_up(world: &mut World, ok: &str) {
    world.receive(TRUNK, &in_dialog("BYE", 90, ok));
    let bye = world.sent_to(PHONE).into_iter().find(|text| text.starts_with("BYE ")).unwrap();
    world.receive(PHONE, &reply(&parse(&bye), "200 OK", ""));
}

/// The Authorization header that answers a challenge, by SHA-256.
pub(crate) fn answer(challenge: &str, method: &str, number: &str) -> String {
    let field = |name: &str| {
        let from = challenge.split(&format!("{name}=\"")).nth(1).unwrap();
        from.split('"').next().unwrap().to_owned()
    };
    let (realm, nonce, uri) = (field("realm"), field("nonce"), "sip:hookflash.test");
    let secret = ha1(Algorithm::Sha256, number, &realm, &format!("secret-{number}"));
    let qop = Some(QopAuth { nc: "00000001", cnonce: "abc" });
    let answer = Answer { algorithm: Algorithm::Sha256, method, uri, nonce: &nonce, qop };
    let response = answer.response(secret.as_str());
    format!(
        "Authorization: Digest username=\"{number}\", realm=\"{realm}\", nonce=\"{nonce}\", \
         uri=\"{uri}\", response=\"{}\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"abc\"\r\n",
        response.as_str()
    )
}

pub(crate) fn sdp(port: u16, extra: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n{extra}"
    )
}

pub(crate) fn invite(number: &str, body: &str) -> String {
    format!(
        "INVITE sip:{number}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {TRUNK};branch=z9hG4bKi1\r\n\
         From: \"Customer\" <sip:+49171555@carrier.test>;tag=c1\r\nTo: <sip:{number}@127.0.0.1>\r\n\
         Call-ID: call-1\r\nCSeq: 1 INVITE\r\nContact: <sip:customer@{TRUNK}>\r\nMax-Forwards: 70\r\n\
         X-Ticket: 42\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn parse(text: &str) -> Request {
    match parse_datagram(Bytes::copy_from_slice(text.as_bytes())).unwrap() {
        Message::Request(request) => request,
        Message::Response(response) => panic!("a response: {response:?}"),
    }
}

/// A response of the phone to a request of ours.
pub(crate) fn reply(request: &Request, status: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in [Name::Via, Name::From, Name::CallId, Name::CSeq] {
        for value in request.headers.get_all(name) {
            text += &format!("{}: {value}\r\n", name.as_str());
        }
    }
    let to = request.headers.get(Name::To).unwrap();
    let tag = if to.contains("tag=") { "" } else { ";tag=phone" };
    text += &format!("To: {to}{tag}\r\nContact: <sip:1001@{PHONE}>\r\n");
    if !body.is_empty() {
        text += "Content-Type: application/sdp\r\n";
    }
    text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A request of the customer inside the dialog that `ok` opened.
pub(crate) fn in_dialog(method: &str, cseq: u32, ok: &str) -> String {
    let to = ok.lines().find(|line| line.starts_with("To:")).unwrap();
    let contact = ok.lines().find(|line| line.starts_with("Contact:")).unwrap();
    let uri = contact.split(['<', '>']).nth(1).unwrap();
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {TRUNK};branch=z9hG4bK{method}{cseq}\r\n\
         From: \"Customer\" <sip:+49171555@carrier.test>;tag=c1\r\n{to}\r\nCall-ID: call-1\r\n\
         CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}
