//! Floods of requests that nobody asked for.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// What strangers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Calls without credentials.
    Invite,
    /// Registrations without credentials.
    Register,
    /// Questions.
    Options,
    /// Bytes.
    Garbage,
    /// Registrations with credentials that are wrong.
    Guess,
    /// The same few calls, again and again.
    Repeated,
    /// The ends of calls that are not there.
    Bye,
    /// Calls that are not there are called off.
    Cancel,
    /// Acknowledgements of nothing.
    Ack,
    /// Answers that nobody waits for.
    Response,
    /// All of these in turn.
    Mixed,
}

/// All but [`Kind::Mixed`].
const EACH: [Kind; 10] = [
    Kind::Invite,
    Kind::Register,
    Kind::Options,
    Kind::Garbage,
    Kind::Guess,
    Kind::Repeated,
    Kind::Bye,
    Kind::Cancel,
    Kind::Ack,
    Kind::Response,
];
/// Calls that are repeated.
const REPEATED: u64 = 20;

/// Sends `rate` datagrams a second from `sources` addresses of 127.0.1.0/24 and up; answers are
/// thrown away. Returns how many were sent.
///
/// # Errors
/// When no socket can be had.
pub fn run(
    server: SocketAddr,
    kind: Kind,
    rate: u64,
    sources: u16,
    duration: Duration,
) -> io::Result<u64> {
    let sockets: Vec<UdpSocket> = (0..sources)
        .map(|n| {
            let [high, low] = (n + 1).to_be_bytes();
            let socket = UdpSocket::bind((std::net::Ipv4Addr::new(127, 0, 1 + high, low), 0))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .collect::<io::Result<_>>()?;
    let start = Instant::now();
    let (mut sent, mut buffer) = (0_u64, [0; 2048]);
    while start.elapsed() < duration {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        while sent < due {
            let socket = &sockets[(sent % u64::from(sources)) as usize];
            let text = request(kind, sent, socket.local_addr()?, server);
            let _ = socket.send_to(text.as_bytes(), server);
            while socket.recv(&mut buffer).is_ok() {}
            sent += 1;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(sent)
}

fn request(kind: Kind, n: u64, us: SocketAddr, server: SocketAddr) -> String {
    let method = match kind {
        Kind::Invite | Kind::Repeated => "INVITE",
        Kind::Register | Kind::Guess => "REGISTER",
        Kind::Options | Kind::Response => "OPTIONS",
        Kind::Bye => "BYE",
        Kind::Cancel => "CANCEL",
        Kind::Ack => "ACK",
        Kind::Mixed => {
            let kind = EACH[(n % EACH.len() as u64) as usize];
            return request(kind, n / EACH.len() as u64, us, server);
        }
        Kind::Garbage => {
            return format!("{n} \u{1}\u{2} no SIP at all, but long enough to be read\r\n\r\n");
        }
    };
    let n = if kind == Kind::Repeated { n % REPEATED } else { n };
    let is_response = kind == Kind::Response;
    let via = if is_response { server } else { us };
    let first = match is_response {
        true => "SIP/2.0 200 OK".to_owned(),
        false => format!("{method} sip:1001@{server} SIP/2.0"),
    };
    let wrong = || {
        format!(
            "Authorization: Digest username=\"1001\", realm=\"{}\", nonce=\"{n:032x}\", \
             uri=\"sip:{server}\", response=\"{n:032x}\", qop=auth, nc=00000001, cnonce=\"c\"\r\n",
            server.ip()
        )
    };
    let credentials = if kind == Kind::Guess { wrong() } else { String::new() };
    format!(
        "{first}\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bKf{n}\r\n{credentials}\
         From: <sip:1001@{server}>;tag=f{n}\r\nTo: <sip:1001@{server}>\r\nCall-ID: flood-{n}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:1001@{us}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}
