//! ATTACKS 8, 18: what a source gets that has proved nothing, and that it costs us no state.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use b2bua::Core;
use b2bua::io::{Input, Output};
use base::{Time, WallTime};
use bytes::Bytes;
use sip::message::parse_datagram;
use sip::transport::{FlowId, Source, Transport};

/// Sources that ask.
const STRANGERS: u8 = 200;

struct World {
    core: Core,
    now: Time,
}

impl World {
    fn new() -> Self {
        let core = Core::new(b2bua::testing::config(), [7; 32], WallTime(1_700_000_000_000));
        let mut world = Self { core, now: Time::ZERO };
        world.core.start(world.now, &mut Vec::new());
        world
    }

    /// Statuses of what goes back to the source; nothing else may happen.
    fn ask(&mut self, from: SocketAddr, text: &str) -> Vec<u16> {
        let answers = self.answers(from, text);
        let status = |answer: &String| answer.split(' ').nth(1).and_then(|s| s.parse().ok());
        answers.iter().filter_map(status).collect()
    }

    /// What goes back to the source, at most twice what it sent (ATTACKS 2).
    fn answers(&mut self, from: SocketAddr, text: &str) -> Vec<String> {
        self.now = self.now + Duration::from_millis(1);
        let source = Source {
            flow: FlowId(1),
            transport: Transport::Udp,
            remote: from,
            local: "127.0.0.1:5060".parse().unwrap(),
            tls_names: Arc::new([]),
        };
        let message = parse_datagram(Bytes::copy_from_slice(text.as_bytes()));
        let mut out = Vec::new();
        self.core.handle(self.now, Input::Sip { source, message, size: text.len() }, &mut out);
        let answer = |output: Output| {
            let Output::Send { target, bytes, .. } = output else { panic!("{output:?}") };
            assert_eq!(target.addr, from);
            assert!(bytes.len() <= 2 * text.len(), "{} for {}", bytes.len(), text.len());
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        out.into_iter().map(answer).collect()
    }

    /// What a snapshot of the whole core takes, in bytes.
    fn size(&self) -> usize {
        serde_json::to_string(&self.core).unwrap().len()
    }
}

fn request(method: &str, from: SocketAddr, at: usize, to_tag: &str) -> String {
    format!(
        "{method} sip:1001@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{method}{at}{to_tag}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1002@127.0.0.1>;tag=f{at}\r\n\
         To: <sip:1001@127.0.0.1>{to_tag}\r\nCall-ID: {method}{at}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:1002@{from}>\r\nEvent: presence\r\nRefer-To: <sip:0900@127.0.0.1>\r\n\
         P-Asserted-Identity: <sip:+4930100@127.0.0.2>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The least that is a request, and `more` headers.
fn minimal(method: &str, to_tag: &str, more: &str) -> String {
    format!(
        "{method} sip:h SIP/2.0\r\nVia: SIP/2.0/UDP {STRANGER};branch=z9hG4bK{method}\r\n\
         From: <sip:a@h>;tag=1\r\nTo: <sip:a@h>{to_tag}\r\nCall-ID: {method}\r\n\
         CSeq: 1 {method}\r\n{more}\r\n"
    )
}

const STRANGER: &str = "203.0.113.9:5060";

#[test]
fn the_least_request_brings_back_no_more_than_twice_as_much() {
    let from = STRANGER.parse().unwrap();
    // There is room for one challenge.
    let rows = [
        ("INVITE", 401, 481),
        ("REGISTER", 401, 481),
        ("MESSAGE", 401, 481),
        ("SUBSCRIBE", 401, 481),
        ("TELEPORT", 401, 481),
        ("OPTIONS", 200, 481),
        ("CANCEL", 481, 481),
        ("BYE", 481, 481),
        ("UPDATE", 481, 481),
    ];
    let mut world = World::new();
    for (method, outside, inside) in rows {
        let whole = minimal(method, "", "");
        assert!(whole.len() < 170, "{method}: {}", whole.len());
        assert_eq!(world.ask(from, &whole).first().copied().unwrap_or(0), outside, "{method}");
        assert_eq!(world.ask(from, &minimal(method, ";tag=2", "")), [inside], "{method}");
        // Cut anywhere it is refused shortly or not answered.
        for end in 0..whole.len() {
            world.answers(from, &whole[..end]);
        }
    }
    assert!(world.core.is_at_rest());
}

#[test]
fn a_challenge_is_cut_down_to_the_room_that_the_request_leaves() {
    let from = STRANGER.parse().unwrap();
    let mut world = World::new();
    let mut seen = Vec::new();
    let rows = 0..200;
    for padding in rows {
        let more = format!("User-Agent: {}\r\n", "x".repeat(padding));
        let text = minimal("REGISTER", "", &more);
        let answers = world.answers(from, &text);
        let challenges = |answer: &String| -> Vec<_> {
            let lines = answer.lines().filter(|line| line.starts_with("WWW-Authenticate: "));
            let algorithm = |line: &str| match line.split("algorithm=").nth(1) {
                Some(after) => after.split(',').next().unwrap().to_owned(),
                None => "none named".to_owned(),
            };
            lines.map(algorithm).collect()
        };
        let challenges = answers.first().map_or(Vec::new(), challenges);
        if seen.last().is_none_or(|(_, last)| *last != challenges) {
            seen.push((text.len(), challenges));
        }
    }
    let steps: Vec<_> = seen.iter().map(|(_, challenges)| challenges.join(" ")).collect();
    assert_eq!(steps, ["none named", "SHA-256 MD5"], "{seen:?}");
    // What a phone sends to log in has more than that.
    assert!(seen[1].0 <= 250, "{seen:?}");
}

#[test]
fn options_of_little_room_say_that_we_are_there_and_of_more_what_we_can() {
    let from = STRANGER.parse().unwrap();
    let mut world = World::new();
    for (padding, capable) in [(0, false), (200, true)] {
        let more = format!("User-Agent: {}\r\n", "x".repeat(padding));
        let answers = world.answers(from, &minimal("OPTIONS", "", &more));
        assert!(answers[0].starts_with("SIP/2.0 200 "));
        assert_eq!(answers[0].contains("\r\nAllow: "), capable, "{padding}");
    }
}

#[test]
fn every_method_of_a_stranger_is_challenged_or_finds_nothing_and_leaves_nothing() {
    let rows = [
        ("INVITE", 401, 481),
        ("REGISTER", 401, 481),
        ("MESSAGE", 401, 481),
        ("SUBSCRIBE", 401, 481),
        ("REFER", 401, 481),
        ("PUBLISH", 401, 481),
        ("NOTIFY", 401, 481),
        ("INFO", 401, 481),
        ("TELEPORT", 401, 481),
        ("OPTIONS", 200, 481),
        ("CANCEL", 481, 481),
        ("BYE", 481, 481),
        ("UPDATE", 481, 481),
        ("PRACK", 481, 481),
    ];
    let mut world = World::new();
    let before = world.size();
    for (method, outside, inside) in rows {
        for stranger in 1..=STRANGERS {
            let from = SocketAddr::from(([203, 0, 113, stranger], 5060));
            let at = usize::from(stranger);
            let plain = world.ask(from, &request(method, from, at, ""));
            assert_eq!(plain, [outside], "{method}");
            let tagged = world.ask(from, &request(method, from, at, ";tag=guessed"));
            assert_eq!(tagged, [inside], "{method} in a dialog that is not");
            assert!(world.core.is_at_rest(), "{method}");
        }
    }
    // A sender is counted so that it can be banned; what it sent is not kept.
    let grown = world.size().saturating_sub(before);
    assert!(grown < 64 * usize::from(STRANGERS), "{grown} bytes for {STRANGERS} strangers");
}
