//! What is mutated: the corpus of the fuzz targets, the torture messages, and messages of this
//! server's own extensions and trunk.

use std::io;
use std::net::SocketAddr;

use crate::server::extension;
use crate::sip::text::sdp;

const METHODS: [&str; 13] = [
    "INVITE",
    "REGISTER",
    "OPTIONS",
    "BYE",
    "CANCEL",
    "ACK",
    "UPDATE",
    "PRACK",
    "INFO",
    "REFER",
    "SUBSCRIBE",
    "NOTIFY",
    "MESSAGE",
];

/// How often messages of this server's own stand among those of the corpus.
const WEIGHT: usize = 4;

/// How branches begin (RFC 3261 §8.1.1.7), and here Call-IDs too.
const COOKIE: &[u8] = b"z9hG4bK";

/// The case as its `n`th sender says it: with branches, and Call-IDs of ours, that were never there
/// before; else it would be taken for a retransmission and not be looked at.
pub(super) fn fresh(case: &[u8], n: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(case.len() + 64);
    let mut rest = case;
    while let Some(at) = rest.windows(COOKIE.len()).position(|bytes| bytes == COOKIE) {
        let (before, after) = rest.split_at(at + COOKIE.len());
        text.extend_from_slice(before);
        text.extend(format!("{n:x}").bytes());
        rest = after;
    }
    text.extend_from_slice(rest);
    text
}

/// Messages of strangers.
pub(super) fn messages(server: SocketAddr, transport: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut seeds: Vec<Vec<u8>> =
        fuzz::corpus::inputs("message")?.into_iter().map(|(_, bytes)| bytes).collect();
    let user = extension(0);
    for _ in 0..WEIGHT {
        for method in METHODS {
            seeds.push(request(server, "127.0.1.1:5060".into(), transport, method, &user));
        }
        seeds.push(response(server, transport));
    }
    Ok(seeds)
}

/// What a trunk sends: calls to a number of ours, and what may come inside them.
pub(super) fn calls(server: SocketAddr, us: SocketAddr) -> Vec<Vec<u8>> {
    let invite = request(server, us.to_string(), "UDP", "INVITE", "4930100");
    let mut seeds = vec![invite; METHODS.len()];
    seeds.extend(METHODS.map(|method| request(server, us.to_string(), "UDP", method, "4930100")));
    seeds
}

fn request(server: SocketAddr, us: String, transport: &str, method: &str, user: &str) -> Vec<u8> {
    let body = if matches!(method, "INVITE" | "UPDATE") { sdp(60_002) } else { String::new() };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let extra = match method {
        "PRACK" => "RAck: 1 1 INVITE\r\n",
        "REFER" => "Refer-To: <sip:1@127.0.0.1>\r\n",
        "SUBSCRIBE" | "NOTIFY" => "Event: presence\r\nSubscription-State: active\r\n",
        "REGISTER" => {
            "Expires: 60\r\nAuthorization: Digest username=\"100000\", realm=\"load.test\", \
             nonce=\"n\", uri=\"sip:load.test\", response=\"00000000000000000000000000000000\", \
             algorithm=MD5, qop=auth, nc=00000001, cnonce=\"c\"\r\n"
        }
        _ => "Supported: 100rel, timer, replaces\r\nSession-Expires: 1800\r\n",
    };
    let len = body.len();
    format!(
        "{method} sip:{user}@{server} SIP/2.0\r\nVia: SIP/2.0/{transport} {us};branch=z9hG4bKm;rport\r\n\
         From: \"A\" <sip:{user}@{us}>;tag=m\r\nTo: <sip:{user}@{server}>\r\nCall-ID: z9hG4bK@{us}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:m@{us}>\r\nMax-Forwards: 70\r\n\
         {extra}{kind}Content-Length: {len}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn response(server: SocketAddr, transport: &str) -> Vec<u8> {
    format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/{transport} {server};branch=z9hG4bKm\r\n\
         From: <sip:a@{server}>;tag=a\r\nTo: <sip:b@{server}>;tag=b\r\nCall-ID: z9hG4bK\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:b@127.0.1.1>\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}
