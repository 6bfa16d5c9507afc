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
        self.core.handle(self.now, Input::Sip { source, message }, &mut out);
        let status = |output: Output| {
            let Output::Send { target, bytes, .. } = output else { panic!("{output:?}") };
            assert_eq!(target.addr, from);
            assert!(bytes.len() <= 2 * text.len(), "{} for {}", bytes.len(), text.len());
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
        };
        out.into_iter().map(status).collect()
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
