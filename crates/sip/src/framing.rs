//! Cutting a byte stream (TCP, TLS) into messages (RFC 3261 §7.5, §18.3) and keep-alives
//! (RFC 5626 §3.5.1).
//!
//! ```text
//!            CRLF                  CRLF: Ping
//!   Idle ───────────▶ OneBreak ───────────────▶ Idle
//!    │ byte of a token   │ byte of a token: Pong
//!    ▼                   ▼
//!   Head ◀───────────────┘
//!    │ CRLF CRLF, one good Content-Length
//!    ▼
//!   Body ── all bytes there: Message ──▶ Idle          anything wrong ──▶ Closed
//! ```
//!
//! Each byte is looked at once, however small the pieces are that it comes in. What the stream
//! holds after a fault is never read: where the next message begins is then anybody's guess, and
//! an attacker's choice.

use bytes::{Bytes, BytesMut};

use crate::message::{
    HeaderError, MAX_MESSAGE, Name, ParseError, ParseErrorKind, SyntaxError, refused,
};

/// What a stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message, for [`crate::message::parse_datagram`].
    Message(Bytes),
    /// The peer's keep-alive (two line breaks): one line break is to be sent back.
    Ping,
    /// The answer to our keep-alive (one line break).
    Pong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    OneBreak,
    /// The bytes before this index hold no end of the head.
    Head {
        scanned: usize,
    },
    Body {
        message_len: usize,
    },
    Closed,
}

/// Decodes one direction of one connection.
///
/// Push what was read, then take frames until there is none. After an error there are no more:
/// send [`ParseError::response`], if it has one, and close. It holds no more than [`MAX_MESSAGE`]
/// bytes and what was pushed last.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    state: State,
    expects_pong: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// For a new connection.
    pub fn new() -> Self {
        Self { buffer: BytesMut::new(), state: State::Idle, expects_pong: false }
    }

    /// Says that we have sent a keep-alive, so that the next single line break is its answer at
    /// once and not the first half of a ping.
    pub const fn expect_pong(&mut self) {
        self.expects_pong = true;
    }

    /// Adds what was read. Ignored after an error.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.state != State::Closed {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// How many bytes of an unfinished message are held; the shell closes a connection on which
    /// one stays unfinished for too long.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Whether an error has ended the stream.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn step(&mut self) -> Result<Option<Frame>, ParseErrorKind> {
        loop {
            match self.state {
                State::Idle | State::OneBreak => {
                    if let Some(frame) = self.between_messages()? {
                        return Ok(Some(frame));
                    }
                    if !matches!(self.state, State::Head { .. }) {
                        return Ok(None);
                    }
                }
                State::Head { scanned } => {
                    let Some(found) = memchr::memmem::find(&self.buffer[scanned..], b"\r\n\r\n")
                    else {
                        let scanned = self.buffer.len().saturating_sub(3);
                        self.state = State::Head { scanned };
                        let full = self.buffer.len() > MAX_MESSAGE;
                        return if full { Err(ParseErrorKind::TooLarge) } else { Ok(None) };
                    };
                    let head_len = scanned + found + 4;
                    let message_len = head_len + content_length(&self.buffer[..head_len])?;
                    if message_len > MAX_MESSAGE {
                        return Err(ParseErrorKind::TooLarge);
                    }
                    self.state = State::Body { message_len };
                }
                State::Body { message_len } => {
                    if self.buffer.len() < message_len {
                        return Ok(None);
                    }
                    self.state = State::Idle;
                    return Ok(Some(Frame::Message(self.take(message_len))));
                }
                State::Closed => return Ok(None),
            }
        }
    }

    /// Between messages: `None` when more bytes are needed, or a message begins.
    fn between_messages(&mut self) -> Result<Option<Frame>, ParseErrorKind> {
        while let Some(&first) = self.buffer.first() {
            if first != b'\r' {
                let pong = self.state == State::OneBreak;
                // Another protocol shows at once: no need to wait for it to end its head.
                if !first.is_ascii_graphic() || matches!(first, b'<' | b'{' | b'[' | b'"') {
                    return Err(ParseErrorKind::NotSip);
                }
                self.state = State::Head { scanned: 0 };
                return Ok(pong.then_some(Frame::Pong));
            }
            match self.buffer.get(1) {
                None => return Ok(None),
                Some(b'\n') => {
                    self.take(2);
                    if let Some(frame) = self.line_break() {
                        return Ok(Some(frame));
                    }
                }
                Some(_) => return Err(ParseErrorKind::NotSip),
            }
        }
        Ok(None)
    }

    fn line_break(&mut self) -> Option<Frame> {
        if self.state == State::OneBreak {
            self.state = State::Idle;
            return Some(Frame::Ping);
        }
        if std::mem::take(&mut self.expects_pong) {
            return Some(Frame::Pong);
        }
        self.state = State::OneBreak;
        None
    }

    fn take(&mut self, len: usize) -> Bytes {
        let taken = self.buffer.split_to(len).freeze();
        if self.buffer.is_empty() {
            // An idle connection holds no memory.
            self.buffer = BytesMut::new();
        }
        taken
    }

    fn close(&mut self, kind: ParseErrorKind) -> ParseError {
        let in_message = matches!(self.state, State::Head { .. });
        self.state = State::Closed;
        let mut head = std::mem::take(&mut self.buffer);
        head.truncate(MAX_MESSAGE);
        if in_message { refused(head.freeze(), kind) } else { ParseError { kind, partial: None } }
    }
}

impl Iterator for Decoder {
    type Item = Result<Frame, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().map_err(|kind| self.close(kind)).transpose()
    }
}

/// The value of the one Content-Length of a head that ends with an empty line.
// RFC 3261 §18.3, §20.14: a stream cannot be cut without it; two of them, even alike, are how one
// message is smuggled inside another.
fn content_length(head: &[u8]) -> Result<usize, ParseErrorKind> {
    let name = Name::ContentLength;
    let bad = ParseErrorKind::Header(HeaderError::Invalid(name, SyntaxError("no number")));
    let mut length = None;
    let mut rest = next_line(head).1;
    while !rest.is_empty() {
        let (line, after) = next_line(rest);
        rest = after;
        // Content-Length or its compact form `l`: the other lines need no closer look.
        if !matches!(line.first(), Some(b'C' | b'c' | b'L' | b'l')) {
            continue;
        }
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let text = std::str::from_utf8(line[..colon].trim_ascii_end()).unwrap_or_default();
        if Name::parse(text) != name {
            continue;
        }
        let mut value = line[colon + 1..].to_vec();
        while rest.starts_with(b" ") || rest.starts_with(b"\t") {
            let (fold, after) = next_line(rest);
            value.extend_from_slice(fold);
            rest = after;
        }
        if length.is_some() {
            return Err(ParseErrorKind::Duplicate(name));
        }
        length = Some(number(value.trim_ascii()).ok_or(bad.clone())?);
    }
    length.ok_or(ParseErrorKind::Header(HeaderError::Missing(name)))
}

/// Splits at the first CRLF. A lone CR or LF is text here; the parser refuses it later.
fn next_line(text: &[u8]) -> (&[u8], &[u8]) {
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'\n', &text[from..]) {
        let end = from + found;
        if end > 0 && text[end - 1] == b'\r' {
            return (&text[..end - 1], &text[end + 1..]);
        }
        from = end + 1;
    }
    (text, &[])
}

/// Digits only; one too large for any message is as large as can be.
fn number(digits: &[u8]) -> Option<usize> {
    let value = |n: usize, d: &u8| {
        d.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(usize::from(d - b'0')))
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, value) }.map(|n| n.min(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(length: &str, body: &str) -> String {
        format!(
            "OPTIONS sip:c@d SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:c@d>\r\nCall-ID: x@y\r\nCSeq: 1 OPTIONS\r\n{length}\r\n{body}"
        )
    }

    fn frames(stream: &[u8]) -> Vec<Result<Frame, ParseErrorKind>> {
        let mut decoder = Decoder::new();
        decoder.push(stream);
        decoder.map(|frame| frame.map_err(|error| error.kind)).collect()
    }

    fn message(text: &str) -> Result<Frame, ParseErrorKind> {
        Ok(Frame::Message(Bytes::copy_from_slice(text.as_bytes())))
    }

    #[test]
    fn pipelined_messages_are_cut_and_pings_seen() {
        let (first, second) =
            (request("Content-Length: 4\r\n", "ab\r\n"), request("l :\r\n 0\r\n", ""));
        let stream = format!("{first}\r\n\r\n{second}\r\n{first}");
        let expected =
            [message(&first), Ok(Frame::Ping), message(&second), Ok(Frame::Pong), message(&first)];
        assert_eq!(frames(stream.as_bytes()), expected);
        for size in [1, 2, 3, 7, 64] {
            let mut decoder = Decoder::new();
            let mut seen = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                decoder.push(piece);
                seen.extend(decoder.by_ref().map(|frame| frame.map_err(|error| error.kind)));
            }
            assert_eq!(seen, expected, "pieces of {size}");
            assert_eq!(decoder.pending(), 0);
        }
    }

    #[test]
    fn fifty_messages_in_one_read_are_fifty_frames() {
        let one = request("Content-Length: 0\r\n", "");
        assert_eq!(frames(one.repeat(50).as_bytes()), vec![message(&one); 50]);
    }

    #[test]
    fn what_follows_a_fault_is_never_read() {
        let inner = request("Content-Length: 0\r\n", "");
        let length = ParseErrorKind::Duplicate(Name::ContentLength);
        let invalid = ParseErrorKind::Header(HeaderError::Invalid(
            Name::ContentLength,
            SyntaxError("no number"),
        ));
        let missing = ParseErrorKind::Header(HeaderError::Missing(Name::ContentLength));
        for (header, kind, status) in [
            ("Content-Length: 0\r\nContent-Length: 500\r\n", length.clone(), 400),
            ("Content-Length: 0\r\nl: 500\r\n", length.clone(), 400),
            ("L: 5\r\nCONTENT-LENGTH : 5\r\n", length.clone(), 400),
            ("Content-Length: 0\r\nContent-Length: 0\r\n", length, 400),
            ("Content-Length: -1\r\n", invalid.clone(), 400),
            ("Content-Length: 0x10\r\n", invalid.clone(), 400),
            ("Content-Length: 4 4\r\n", invalid.clone(), 400),
            ("Content-Length: 5, 5\r\n", invalid.clone(), 400),
            ("Content-Length:\r\n", invalid, 400),
            ("", missing, 400),
            ("Content-Length: 65535\r\n", ParseErrorKind::TooLarge, 413),
            ("Content-Length: 99999999999999999999999\r\n", ParseErrorKind::TooLarge, 413),
        ] {
            let mut decoder = Decoder::new();
            decoder.push(request(header, &inner).as_bytes());
            let error = decoder.next().unwrap().unwrap_err();
            assert_eq!(error.kind, kind, "{header}");
            assert_eq!(error.response().map(|r| r.status.0), Some(status), "{header}");
            decoder.push(inner.as_bytes());
            assert!(decoder.next().is_none() && decoder.is_closed() && decoder.pending() == 0);
        }
    }

    #[test]
    fn a_folded_line_hides_no_length() {
        let whole = request("X: a\r\n Content-Length: 9\r\nContent-Length: 0\r\n", "");
        assert_eq!(frames(whole.as_bytes()), [message(&whole)]);
        let lone = request("X: a\nContent-Length: 9\r\nContent-Length: 0\r\n", "");
        assert_eq!(frames(lone.as_bytes()), [message(&lone)]);
        let parsed = crate::message::parse_datagram(Bytes::from(lone));
        assert!(parsed.is_err(), "the parser, which might see two lengths, must refuse it");
    }

    #[test]
    fn other_protocols_are_closed_at_once() {
        for bytes in
            [&b"\x16\x03\x01\x02\x00"[..], b"\0", b"\n", b"\rx", b" OPTIONS", b"<x>", b"\r\n\x80"]
        {
            assert!(frames(bytes).contains(&Err(ParseErrorKind::NotSip)), "{bytes:?}");
        }
    }

    #[test]
    fn an_endless_head_is_closed_at_the_limit() {
        let mut decoder = Decoder::new();
        let mut pushed = 0;
        let error = loop {
            decoder.push(&[b'x'; 1000]);
            pushed += 1000;
            if let Some(frame) = decoder.next() {
                break frame.unwrap_err();
            }
            assert!(pushed <= MAX_MESSAGE);
        };
        assert_eq!((error.kind, error.partial), (ParseErrorKind::TooLarge, None));
    }

    #[test]
    fn the_largest_message_passes() {
        let head = request("Content-Length: 65300\r\n", "").len();
        let body = "x".repeat(MAX_MESSAGE - head);
        let whole = request(&format!("Content-Length: {}\r\n", body.len()), &body);
        assert_eq!((whole.len(), frames(whole.as_bytes())), (MAX_MESSAGE, vec![message(&whole)]));
    }

    #[test]
    fn an_awaited_pong_comes_at_once() {
        let mut decoder = Decoder::new();
        decoder.push(b"\r\n");
        assert!(decoder.next().is_none(), "it may be half a ping");
        let mut decoder = Decoder::new();
        decoder.expect_pong();
        decoder.push(b"\r\n");
        assert_eq!(decoder.next(), Some(Ok(Frame::Pong)));
        decoder.push(b"\r\n\r\n");
        assert_eq!(decoder.next(), Some(Ok(Frame::Ping)));
    }
}
