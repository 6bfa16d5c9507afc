//! The API as another program sees it: HTTP and WebSocket by hand, with nothing of the server's.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::eventually;

/// Tokens of the API under test and what they stand for.
pub const ADMIN: &str = "admin-token-of-the-interop-tests";
/// See [`ADMIN`].
pub const SUPERVISOR: &str = "supervisor-token-of-the-interop-tests";
/// See [`ADMIN`].
pub const AGENT_1001: &str = "agent-1001-token-of-the-interop-tests";
/// See [`ADMIN`].
pub const AGENT_1002: &str = "agent-1002-token-of-the-interop-tests";
/// All of them, which no log may show.
pub const TOKENS: [&str; 4] = [ADMIN, SUPERVISOR, AGENT_1001, AGENT_1002];

/// What the configuration says.
pub(crate) fn toml(address: SocketAddr) -> String {
    let mut text = format!("\n[api]\nlisten = \"{address}\"\n");
    for (name, role, extension, token) in [
        ("admin", "admin", None, ADMIN),
        ("supervisor", "supervisor", Some("1004"), SUPERVISOR),
        ("agent-1001", "agent", Some("1001"), AGENT_1001),
        ("agent-1002", "agent", Some("1002"), AGENT_1002),
    ] {
        let _ = writeln!(
            text,
            "[[api.token]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken = \"{token}\""
        );
        if let Some(extension) = extension {
            let _ = writeln!(text, "extension = \"{extension}\"");
        }
    }
    text
}

/// One program with one token.
#[derive(Clone, Copy, Debug)]
pub struct Web {
    address: SocketAddr,
    token: &'static str,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The head as it was sent.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Web {
    /// Someone with this token.
    pub fn new(address: SocketAddr, token: &'static str) -> Self {
        Self { address, token }
    }

    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", "")
    }

    /// Does.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, "", body)
    }

    /// Any request.
    pub fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let len = body.len();
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n{headers}\r\n{body}",
            self.token
        ))
    }

    /// What was written by hand; it must say `Connection: close`.
    pub fn raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    /// The one interaction that is going on, once it is `state`.
    #[track_caller]
    pub fn interaction(&self, state: &str) -> Value {
        let found = eventually(Duration::from_secs(5), || {
            let list = self.get("/v1/interactions").json();
            let mut all = list.as_array().unwrap().iter();
            // The list has codecs a moment after the answer.
            let is_whole =
                |one: &Value| state != "connected" || !one.to_string().contains("\"codec\":null");
            all.find(|one| one["state"] == state && is_whole(one)).cloned()
        });
        found.unwrap_or_else(|| panic!("none is {state}: {}", self.get("/v1/interactions").text()))
    }

    /// The event stream, after `since` when it is given.
    pub fn events(&self, since: Option<u64>) -> Events {
        Events::open(self.address, self.token, since)
    }
}

/// An event stream.
#[derive(Debug)]
pub struct Events {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Events {
    fn open(address: SocketAddr, token: &str, since: Option<u64>) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        let query = since.map(|since| format!("?since={since}")).unwrap_or_default();
        let request = format!(
            "GET /v1/events{query} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut events = Self { stream, unread: Vec::new() };
        let until = Instant::now() + Duration::from_secs(5);
        let end = loop {
            let found = events.unread.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = found {
                break end;
            }
            assert!(events.more(until), "no answer to the handshake");
        };
        let head = String::from_utf8(events.unread.drain(..end + 4).collect()).unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        // RFC 6455 §1.3: the answer to this very key.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        events
    }

    fn more(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        self.stream.set_read_timeout(Some(left)).unwrap();
        let mut buffer = [0; 16_384];
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// The next event, or `None` when there is none for `limit` or the stream is closed.
    pub fn next_within(&mut self, limit: Duration) -> Option<Value> {
        let until = Instant::now() + limit;
        loop {
            if let Some((opcode, payload)) = self.frame() {
                match opcode {
                    1 => return Some(serde_json::from_slice(&payload).unwrap()),
                    9 => self.stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).unwrap(),
                    8 => return None,
                    _ => {}
                }
            } else if !self.more(until) {
                return None;
            }
        }
    }

    /// The next event.
    #[track_caller]
    pub fn one(&mut self) -> Value {
        self.next_within(Duration::from_secs(10)).expect("an event")
    }

    /// Reads on until an event of this type.
    #[track_caller]
    pub fn until(&mut self, kind: &str) -> Value {
        let mut seen = Vec::new();
        loop {
            let event = self.next_within(Duration::from_secs(10));
            let event = event.unwrap_or_else(|| panic!("no {kind} after {seen:?}"));
            if event["type"] == kind {
                return event;
            }
            seen.push(event["type"].clone());
        }
    }

    /// One whole frame of the server (RFC 6455 §5.2: never masked).
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, second) = (*self.unread.first()?, *self.unread.get(1)?);
        let number = |range: std::ops::Range<usize>| {
            let bytes = self.unread.get(range)?;
            Some(bytes.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte)))
        };
        let (head, len) = match second {
            126 => (4, number(2..4)?),
            127 => (10, number(2..10)?),
            len => (2, usize::from(len)),
        };
        if self.unread.len() < head + len {
            return None;
        }
        let frame: Vec<_> = self.unread.drain(..head + len).collect();
        Some((first & 0x0f, frame[head..].to_vec()))
    }
}
