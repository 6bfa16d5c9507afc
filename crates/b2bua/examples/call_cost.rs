//! What one call costs in the core, parsing and printing included, sockets excluded:
//! `cargo run --release -p b2bua --example call_cost`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use b2bua::Core;
use b2bua::io::{Input, Output};
use base::{Time, WallTime};
use bytes::Bytes;
use media::command::{MediaCommand, MediaEvent};
use sip::message::parse_datagram;
use sip::transport::{FlowId, Source, Transport};

const CALLS: u32 = 20_000;
const CUSTOMER: &str = "127.0.0.2:5060";
const GATEWAY: &str = "127.0.0.3:5060";

struct World {
    core: Core,
    now: Time,
    sent: Vec<Bytes>,
    datagrams: u64,
}

impl World {
    fn receive(&mut self, from: &Source, text: &str) {
        let message = parse_datagram(Bytes::copy_from_slice(text.as_bytes()));
        self.datagrams += 1;
        self.input(Input::Sip { source: from.clone(), message, size: text.len() });
    }

    fn input(&mut self, input: Input) {
        let mut out = Vec::new();
        self.core.handle(self.now, input, &mut out);
        for output in out {
            match output {
                Output::Send { bytes, .. } => {
                    self.datagrams += 1;
                    self.sent.push(bytes);
                }
                Output::Media(MediaCommand::Close { stream }) => {
                    let stats = Box::default();
                    self.input(Input::Media(MediaEvent::Closed { stream, stats }));
                }
                _ => {}
            }
        }
    }

    fn sent(&mut self, first: &str) -> String {
        let at = self.sent.iter().position(|bytes| bytes.starts_with(first.as_bytes())).unwrap();
        String::from_utf8(self.sent.swap_remove(at).to_vec()).unwrap()
    }
}

fn source(remote: &str) -> Source {
    Source {
        flow: FlowId(1),
        transport: Transport::Udp,
        remote: remote.parse().unwrap(),
        local: "127.0.0.1:5060".parse().unwrap(),
        tls_names: Arc::new([]),
    }
}

fn header<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(name)).unwrap()
}

fn reply(request: &str, status: &str, body: &str) -> String {
    let h = |name| header(request, name);
    let to = h("To:");
    let tag = if to.contains("tag=") { "" } else { ";tag=gw" };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "SIP/2.0 {status}\r\n{}\r\n{}\r\n{to}{tag}\r\n{}\r\n{}\r\nContact: <sip:gw@{GATEWAY}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        h("Via:"),
        h("From:"),
        h("Call-ID:"),
        h("CSeq:"),
        body.len()
    )
}

fn call(world: &mut World, n: u32, customer: &Source, gateway: &Source) {
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n";
    let request = |method: &str, cseq: u32, to: &str, uri: &str, body: &str| {
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {CUSTOMER};branch=z9hG4bK{n}{method}\r\nFrom: <sip:customer@carrier.test>;tag=c{n}\r\n{to}\r\nCall-ID: bench-{n}@customer\r\nCSeq: {cseq} {method}\r\nContact: <sip:customer@{CUSTOMER}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let to = "To: <sip:+4930100@127.0.0.1>";
    world.receive(customer, &request("INVITE", 1, to, "sip:+4930100@127.0.0.1", sdp));
    let invite = world.sent("INVITE");
    world.receive(gateway, &reply(&invite, "180 Ringing", ""));
    world.receive(gateway, &reply(&invite, "200 OK", sdp));
    let ok = world.sent("SIP/2.0 200");
    let to = header(&ok, "To:");
    world.receive(customer, &request("ACK", 1, to, "sip:127.0.0.1:5060", ""));
    world.receive(customer, &request("BYE", 2, to, "sip:127.0.0.1:5060", ""));
    let bye = world.sent("BYE");
    world.receive(gateway, &reply(&bye, "200 OK", ""));
    world.sent.clear();
}

fn main() {
    let mut config = b2bua::testing::config();
    config.media.port_quarantine = Duration::ZERO;
    config.sip.calls_per_second_max = 1_000_000;
    for trunk in &mut config.trunks {
        trunk.calls_per_second_max = 1_000_000;
    }
    let core = Core::new(config, [7; 32], WallTime(0));
    let mut world = World { core, now: Time::ZERO, sent: Vec::new(), datagrams: 0 };
    let (customer, gateway) = (source(CUSTOMER), source(GATEWAY));
    // The phone of 1001 is registered without a digest: the store had kept it.
    let record = serde_json::json!({
        "aor": "1001", "key": "k", "contact": format!("sip:1001@{GATEWAY}"), "params": "",
        "path": [], "transport": "udp", "addr": GATEWAY, "call_id": "r", "cseq": 1,
        "user_agent": "", "expires_at": 0, "expires_wall": 4_000_000_000_000_u64
    });
    let bindings = vec![serde_json::from_value(record).unwrap()];
    world.input(Input::Restore { wall: WallTime(0), bindings });
    let start = Instant::now();
    for n in 0..CALLS {
        world.now = world.now + Duration::from_millis(1);
        call(&mut world, n, &customer, &gateway);
        if n % 100 == 0 {
            world.input(Input::Tick);
        }
    }
    let took = start.elapsed();
    println!(
        "{:.1} µs per call, {:.1} datagrams per call",
        took.as_secs_f64() * 1e6 / f64::from(CALLS),
        world.datagrams as f64 / f64::from(CALLS)
    );
}
