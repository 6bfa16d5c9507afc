//! The layer as its user and the wire see it.

#![expect(clippy::wildcard_enum_match_arm, reason = "tests pick out what they look at")]

mod client;
mod property;
mod server;

use std::time::Duration;

use base::{Rng, Time};

use super::{Config, Event, Family, SentBy, TransactionId, Transactions};
use crate::message::{Message, Method, Name, Request, Response, StatusCode, parse_datagram};
use crate::transport::{FlowId, Source, Target, Transport};

const FLOW: FlowId = FlowId(7);
const PEER: &str = "198.51.100.7:5060";

/// A layer, its clock, and everything it said.
#[derive(Clone, Debug, PartialEq)]
struct Bench {
    layer: Transactions,
    rng: Rng,
    now: Time,
    events: Vec<(Duration, Event)>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let mut rng = Rng::from_u64(1);
        let sent_by = SentBy::new("pbx.example.com", None)
            .with(Transport::Udp, Family::V4, "192.0.2.1", Some(5060))
            .with(Transport::Tcp, Family::V4, "192.0.2.1", Some(5060));
        let layer = Transactions::new(config, sent_by, &mut rng);
        Self { layer, rng, now: Time::ZERO, events: Vec::new() }
    }

    fn act<R>(&mut self, act: impl FnOnce(&mut Transactions, Time, &mut Vec<Event>) -> R) -> R {
        let mut out = Vec::new();
        let result = act(&mut self.layer, self.now, &mut out);
        let at = self.now - Time::ZERO;
        self.events.extend(out.into_iter().map(|event| (at, event)));
        result
    }

    fn request(&mut self, request: Request, target: Target) -> TransactionId {
        let mut rng = self.rng.clone();
        let id = self.act(|layer, now, out| layer.request(now, request, target, &mut rng, out));
        self.rng = rng;
        id.unwrap()
    }

    fn receive(&mut self, message: impl Into<Message>, source: &Source) {
        let (message, source) = (message.into(), source.clone());
        self.act(|layer, now, out| layer.receive(now, message, source, out));
    }

    fn respond(&mut self, id: TransactionId, response: Response) {
        self.act(|layer, now, out| layer.respond(now, id, response, out));
    }

    fn cancel(&mut self, id: TransactionId) {
        self.act(|layer, now, out| layer.cancel(now, id, Some("SIP;cause=200"), out));
    }

    fn send_failed(&mut self, id: TransactionId) {
        self.act(|layer, now, out| layer.send_failed(now, id, out));
    }

    /// Lets a new request in and accepts it.
    fn accept(&mut self, text: &str, source: &Source) -> (Request, TransactionId) {
        self.receive(request(text), source);
        let Some((_, Event::Request { request, .. })) = self.events.pop() else {
            panic!("not a new request: {:?}", self.events)
        };
        let id = self.act(|layer, now, out| layer.accept(now, &request, source, out));
        (request, id.unwrap())
    }

    /// Lets time pass, firing every timer when it is due.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.layer.next_timeout().filter(|&at| at <= end) {
            self.now = at;
            self.act(|layer, now, out| layer.expire(now, out));
        }
        self.now = end;
    }

    /// What was said since the last call.
    fn said(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events).into_iter().map(|(_, event)| event).collect()
    }

    /// The same in short, for comparison with a table.
    fn said_briefly(&mut self) -> Vec<String> {
        self.said().iter().map(brief).collect()
    }

    /// The message sent last.
    fn last_sent(&self) -> Message {
        let sent = self.events.iter().rev().find_map(|(_, event)| match event {
            Event::Send { bytes, .. } => Some(bytes.clone()),
            _ => None,
        });
        parse_datagram(sent.expect("something was sent")).unwrap()
    }

    fn last_request_sent(&self) -> Request {
        match self.last_sent() {
            Message::Request(request) => request,
            Message::Response(response) => panic!("{response:?}"),
        }
    }

    /// When what was sent, in milliseconds.
    fn sends(&self) -> Vec<u128> {
        let sends = self.events.iter().filter(|(_, event)| matches!(event, Event::Send { .. }));
        sends.map(|(at, _)| at.as_millis()).collect()
    }

    /// In short what was said last, and when, in milliseconds.
    fn end(&self) -> (u128, Vec<String>) {
        let at = self.events.last().expect("something was said").0;
        let last = self.events.iter().filter(|(when, _)| *when == at);
        let said = last.map(|(_, event)| event).filter(|e| !matches!(e, Event::Send { .. }));
        (at.as_millis(), said.map(brief).collect())
    }
}

fn brief(event: &Event) -> String {
    match event {
        Event::Send { target, bytes, .. } => {
            let line = String::from_utf8_lossy(bytes);
            let mut words = line.split_whitespace();
            let (first, second) = (words.next().unwrap(), words.next().unwrap());
            let what = if first == "SIP/2.0" { second } else { first };
            match target.transport {
                Transport::Udp => format!("send {what}"),
                other => format!("send {what} over {}", other.as_str()),
            }
        }
        Event::Request { request, .. } => format!("request {}", request.method),
        Event::Cancelled { .. } => "cancelled".into(),
        Event::Response { transaction: Some(_), response, .. } => {
            format!("response {}", response.status.0)
        }
        Event::Response { transaction: None, response, .. } => {
            format!("stray {}", response.status.0)
        }
        Event::TimedOut { .. } => "timed out".into(),
        Event::TransportFailed { .. } => "transport failed".into(),
        Event::AckTimedOut { .. } => "ack timed out".into(),
        Event::Acked { .. } => "acked".into(),
        Event::Ended { .. } => "ended".into(),
    }
}

fn source(transport: Transport) -> Source {
    Source {
        flow: FLOW,
        transport,
        remote: PEER.parse().unwrap(),
        local: "192.0.2.1:5060".parse().unwrap(),
        tls_names: [].into(),
    }
}

fn target(transport: Transport) -> Target {
    let flow = transport.is_reliable().then_some(FLOW);
    Target { transport, addr: PEER.parse().unwrap(), flow, tls_name: None }
}

/// Reads a request of one header a line.
fn request(text: &str) -> Request {
    let text = text.trim().replace('\n', "\r\n") + "\r\n\r\n";
    match parse_datagram(text.into_bytes().into()).unwrap() {
        Message::Request(request) => request,
        Message::Response(response) => panic!("{response:?}"),
    }
}

/// A request of ours, as the user gives it.
fn ours(method: &str) -> Request {
    let mut ours = request(&format!(
        "{method} sip:bob@198.51.100.7 SIP/2.0
Via: SIP/2.0/UDP dummy
Route: <sip:edge.example.com;lr>
From: <sip:alice@pbx.example.com>;tag=ours
To: <sip:bob@198.51.100.7>
Call-ID: call-1
CSeq: 7 {method}
Supported: timer"
    ));
    ours.headers.remove(Name::Via);
    ours
}

/// The peer's answer to a request of ours.
fn answer(request: &Request, status: u16) -> Response {
    request.response(StatusCode(status)).with_to_tag("theirs")
}
