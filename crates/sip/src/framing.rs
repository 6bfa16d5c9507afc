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
