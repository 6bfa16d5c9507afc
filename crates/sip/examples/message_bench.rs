//! Prints the cost of reading and printing messages: `cargo run --release -p sip --example
//! message_bench [part of a name [rounds]]`. Goals (per message, one core): read a 1.5 kB INVITE ≤ 1.5 µs, print a response
//! ≤ 0.2 µs.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a stopwatch on the command line"
)]

use std::hint::black_box;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sip::framing::Decoder;
use sip::message::{Message, Name, StatusCode, Uri, parse_datagram};

/// The server's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds of one measurement, of which the best of seven counts; a second argument overrides it.
const ROUNDS: u32 = 200_000;

const HEAD: &str = "INVITE sip:+4930123456@pbx.example.com:5060;transport=udp;user=phone SIP/2.0\r
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-524287-1---c6b3f1f1d9a4d74d;rport\r
Via: SIP/2.0/TCP [2001:db8::7]:5061;branch=z9hG4bK1d32hash4;received=192.0.2.77\r
Record-Route: <sip:proxy1.example.com;lr;ftag=4f3c>,<sip:proxy2.example.net;transport=tcp;lr>\r
Max-Forwards: 69\r
Contact: <sip:1001@192.0.2.10:5060;ob>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"\r
To: \"Service Centre\" <sip:+4930123456@pbx.example.com>\r
From: \"Alice Example\" <sip:1001@pbx.example.com>;tag=5d3f9a71\r
Call-ID: 81249NjQ0ZTI2YTNjODRhYjE0NGVhYjk3OTM1ZGJmYjM2YzI\r
CSeq: 2 INVITE\r
Session-Expires: 1800;refresher=uac\r
Min-SE: 90\r
Allow: INVITE, ACK, CANCEL, BYE, REFER, INFO, NOTIFY, UPDATE, PRACK, MESSAGE, OPTIONS, SUBSCRIBE\r
Supported: replaces, timer, 100rel, outbound, path, gruu\r
User-Agent: Example Phone 5.6.2 (build 1234)\r
Authorization: Digest username=\"1001\",realm=\"pbx\",nonce=\"abcdef0123456789\",uri=\"sip:pbx\",response=\"0123456789abcdef0123456789abcdef\",algorithm=MD5,qop=auth,cnonce=\"77\",nc=00000001\r
Allow-Events: presence, kpml, talk\r
P-Asserted-Identity: <sip:1001@pbx.example.com>\r
Content-Type: application/sdp\r
Content-Length: 289\r
\r
";

fn main() {
    let body = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\n";
    let invite = Bytes::from(format!("{HEAD}{body:x<289}"));
    println!("INVITE of {} bytes", invite.len());
    time("read INVITE", || parse_datagram(invite.clone()));
    let Ok(Message::Request(request)) = parse_datagram(invite.clone()) else { return };
    time("print INVITE", || request.to_bytes());
    time("make 180", || request.response(StatusCode::RINGING));
    let response = request.response(StatusCode::OK).with_to_tag("9fxced76sl");
    let printed = response.to_bytes();
    println!("200 of {} bytes", printed.len());
    let mut buffer = BytesMut::with_capacity(65_536);
    time("print 200", || response.to_bytes());
    time("print 200 into a buffer", || {
        buffer.clear();
        response.write_to(&mut buffer);
    });
    time("read 200", || parse_datagram(printed.clone()));
    time("via + from + to + cseq", || {
        (request.via(), request.from(), request.to(), request.cseq())
    });
    time("read a URI", || "sip:1001@192.0.2.10:5060;ob".parse::<Uri>());
    time("get a late header", || request.headers.get(Name::PAssertedIdentity).map(str::len));
    time("clone INVITE", || request.clone());
    let mut decoder = Decoder::new();
    time("frame INVITE", || {
        decoder.push(&invite);
        decoder.next()
    });
}

fn time<T>(what: &str, mut step: impl FnMut() -> T) {
    if std::env::args().nth(1).is_some_and(|part| !what.contains(&part)) {
        return;
    }
    let rounds = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(step());
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(rounds));
    }
    println!("{what:28} {best:8.1} ns");
}
