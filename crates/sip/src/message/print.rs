//! Writing messages: one pass into one buffer.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

use super::headers::Headers;
use super::name::Name;
use super::request::{Message, Request, Response};

const CONTENT_LENGTH: &str = "Content-Length: ";
/// Room for a start line and Content-Length, so that a usual message needs one allocation.
const START_LINE_ROOM: usize = 160;

impl Request {
    /// Appends the message as it goes on the wire.
    pub fn write_to(&self, out: &mut BytesMut) {
        out.reserve(START_LINE_ROOM + size(&self.headers, &self.body));
        out.put_slice(self.method.as_str().as_bytes());
        out.put_u8(b' ');
        // BytesMut grows as needed: writing to it does not fail.
        let _ = self.uri.print(out, self.uri.password.as_deref());
        out.put_slice(b" SIP/2.0\r\n");
        finish(&self.headers, &self.body, out);
    }

    /// The message as it goes on the wire, with its Content-Length.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.write_to(&mut out);
        out.freeze()
    }
}

impl Response {
    /// Appends the message as it goes on the wire.
    pub fn write_to(&self, out: &mut BytesMut) {
        out.reserve(START_LINE_ROOM + self.reason.len() + size(&self.headers, &self.body));
        out.put_slice(b"SIP/2.0 ");
        decimal(self.status.0.into(), out);
        out.put_u8(b' ');
        put_line(&self.reason, out);
        out.put_slice(b"\r\n");
        finish(&self.headers, &self.body, out);
    }

    /// The message as it goes on the wire, with its Content-Length.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.write_to(&mut out);
        out.freeze()
    }

    /// How many bytes it has on the wire.
    pub fn wire_len(&self) -> usize {
        let digits = |number: usize| number.checked_ilog10().map_or(1, |log| log as usize + 1);
        let said = self.headers.get_all(Name::ContentLength);
        let said: usize = said.map(|value| CONTENT_LENGTH.len() + value.len() + 2).sum();
        let start = "SIP/2.0  \r\n".len() + digits(self.status.0.into()) + self.reason.len();
        let end = CONTENT_LENGTH.len() + digits(self.body.len()) + "\r\n\r\n".len();
        start + size(&self.headers, &self.body) - said + end
    }
}

impl Message {
    /// The message as it goes on the wire, with its Content-Length.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

fn size(headers: &Headers, body: &Bytes) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() + body.len()
}

fn finish(headers: &Headers, body: &Bytes, out: &mut BytesMut) {
    for (name, value) in headers.iter() {
        // The length is ours to say, whoever put one among the headers.
        if name == Name::ContentLength.as_str() {
            continue;
        }
        out.put_slice(name.as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(CONTENT_LENGTH.as_bytes());
    decimal(body.len(), out);
    out.put_slice(b"\r\n\r\n");
    out.put_slice(body);
}

fn decimal(number: usize, out: &mut BytesMut) {
    let _ = write!(out, "{number}");
}

/// Line breaks become spaces.
fn put_line(text: &str, out: &mut BytesMut) {
    if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_none() {
        out.put_slice(text.as_bytes());
    } else {
        out.put_slice(text.replace(['\r', '\n'], " ").as_bytes());
    }
}
