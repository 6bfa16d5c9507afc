//! Phones that register with digest, many at once.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};

use super::text::{header, quoted, status};
use crate::server::{extension, password};

/// Phones that may wait for an answer at the same time.
const WINDOW: u32 = 64;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// Registers extensions `0..phones`, each with a 401 and a 200, all at `contact`. `rate` per
/// second; 0 = as fast as the server answers. Returns how many were registered.
///
/// # Errors
/// When no socket can be had.
pub fn run(server: SocketAddr, phones: u32, rate: u32, contact: SocketAddr) -> io::Result<u32> {
    let socket = super::calls::big_socket("127.0.0.1:0".parse().expect("an address"))?;
    socket.set_read_timeout(Some(Duration::from_millis(2)))?;
    let us = socket.local_addr()?;
    let phone = Phones { socket, server, us, contact };
    let (mut begun, mut done) = (0, 0);
    let start = Instant::now();
    let mut heard = start;
    let mut buffer = vec![0; 65_535];
    while done < phones && heard.elapsed() < PATIENCE {
        let due = match rate {
            0 => phones,
            rate => ((start.elapsed().as_secs_f64() * f64::from(rate)) as u32).min(phones),
        };
        while begun < due && begun - done < WINDOW {
            phone.register(begun, 1, "");
            begun += 1;
        }
        let Ok((len, _)) = phone.socket.recv_from(&mut buffer) else { continue };
        let Ok(text) = std::str::from_utf8(&buffer[..len]) else { continue };
        heard = Instant::now();
        let id = header(text, "Call-ID").and_then(|id| id.split('-').nth(1)?.parse::<u32>().ok());
        let Some(n) = id else { continue };
        match status(text) {
            401 => phone.register(n, 2, &authorization(text, n, server).unwrap_or_default()),
            200 => done += 1,
            _ => return Err(io::Error::other(text.lines().next().unwrap_or("").to_owned())),
        }
    }
    Ok(done)
}

struct Phones {
    socket: UdpSocket,
    server: SocketAddr,
    us: SocketAddr,
    contact: SocketAddr,
}

impl Phones {
    fn register(&self, n: u32, cseq: u32, authorization: &str) {
        let (us, server, number, contact) = (self.us, self.server, extension(n), self.contact);
        let text = format!(
            "REGISTER sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKr{n}x{cseq}\r\n\
             From: <sip:{number}@{server}>;tag=r{n}\r\nTo: <sip:{number}@{server}>\r\n\
             Call-ID: reg-{n}-{}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{number}@{contact}>\r\n\
             Expires: 3600\r\nMax-Forwards: 70\r\n{authorization}Content-Length: 0\r\n\r\n",
            us.port()
        );
        let _ = self.socket.send_to(text.as_bytes(), server);
    }
}

/// The MD5 answer to a challenge (RFC 7616 §3.4.1).
fn authorization(challenge: &str, n: u32, server: SocketAddr) -> Option<String> {
    let mut challenges =
        challenge.split("\r\n").filter(|line| line.starts_with("WWW-Authenticate: "));
    let value = challenges.find(|value| !value.contains("SHA-256"))?;
    let (realm, nonce) = (quoted(value, "realm")?, quoted(value, "nonce")?);
    let (user, secret, uri) = (extension(n), password(n), format!("sip:{server}"));
    let ha1 = hex(&format!("{user}:{realm}:{secret}"));
    let ha2 = hex(&format!("REGISTER:{uri}"));
    let response = hex(&format!("{ha1}:{nonce}:00000001:abcd:auth:{ha2}"));
    Some(format!(
        "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", \
         uri=\"{uri}\", response=\"{response}\", algorithm=MD5, qop=auth, nc=00000001, \
         cnonce=\"abcd\"\r\n"
    ))
}

fn hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
