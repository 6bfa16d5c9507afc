//! A WebSocket connection: what the core is told is what a reading of RFC 6455 of our own finds in
//! the bytes, however they are cut.

mod frames;

use bytes::Bytes;
use sip::message::{MAX_MESSAGE, Message, ParseError, StatusCode, parse_datagram};
use sip_net::testing::{self, Heard};

use crate::edit::edited;
use crate::reader::Reader;
use frames::{Read, read};

pub use frames::frame;

/// Frames of one run.
const STEPS_MAX: usize = 64;
/// Bytes of one run: more than a connection reads without a whole message among them.
const STREAM_MAX: usize = 5 * MAX_MESSAGE;
/// Control frames that are always let through; of more, as many as time allows.
const CONTROLS: usize = 50;
/// The answer to a WebSocket's greeting is no longer.
const ANSWER_MAX: usize = 1024;

/// A greeting that is accepted.
pub const GREETING: &[u8] = b"GET / HTTP/1.1\r\nHost: sip.example.com\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\
    Origin: https://desk.example.com\r\n\r\n";

/// How many messages a connection finds in these bytes after the greeting, up to the first fault,
/// goodbye or end: what a server that was sent them must have read.
pub fn told_in(stream: &[u8]) -> usize {
    read(stream).messages.iter().filter(|text| !is_keep_alive(text)).count()
}

const OPTIONS: &str = "OPTIONS sip:hookflash.test SIP/2.0\r\n\
    Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
    From: <sip:1001@hookflash.test>;tag=1\r\nTo: <sip:hookflash.test>\r\nCall-ID: c\r\n\
    CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

/// The first byte: an edited greeting and any bytes after it, or a good one and frames.
pub fn websocket(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let any_greeting = reader.below(4) == 0;
    let sizes = [1 + usize::from(reader.byte() & 15), 1 + usize::from(reader.byte()) * 64];
    if any_greeting {
        let mut stream = edited(GREETING, &mut reader);
        stream.extend_from_slice(reader.all());
        // Bytes that come in one read with the greeting are refused: how it is cut decides.
        for sizes in [&[stream.len().max(1)][..], &sizes] {
            let heard = served(pieces(&stream, sizes));
            assert!(heard.greeted || heard.messages.is_empty());
        }
        return;
    }
    let stream = frames_of(&mut reader);
    let expected = read(&stream);
    for sizes in [&[MAX_MESSAGE][..], &sizes] {
        let mut said = vec![Bytes::from_static(GREETING)];
        said.extend(pieces(&stream, sizes));
        let heard = served(said);
        assert!(heard.greeted);
        judge(&heard, &expected, stream.len());
    }
}

/// The stream after the greeting.
fn frames_of(reader: &mut Reader<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..STEPS_MAX {
        if reader.is_empty() || stream.len() > STREAM_MAX {
            break;
        }
        step(&mut stream, reader);
    }
    stream
}

fn step(stream: &mut Vec<u8>, reader: &mut Reader<'_>) {
    let mask = if reader.one_in(4) { reader.word().to_be_bytes() } else { [0; 4] };
    match reader.below(12) {
        0..=2 => {
            let first = [0x81, 0x82][reader.below(2)];
            stream.extend(frame(first, mask, &edited(OPTIONS.as_bytes(), reader)));
        }
        3 | 4 => fragments(stream, mask, reader),
        5 => stream.extend(frame(0x89 + reader.byte() % 2, mask, reader.some(126))),
        6 => stream.extend(frame(0x81, mask, [&b"\r\n\r\n"[..], b"\r\n", b""][reader.below(3)])),
        7 => stream.extend(frame(reader.byte(), mask, reader.some(200))),
        8 => stream.extend_from_slice(reader.some(200)),
        9 => storm(stream, mask, reader),
        10 => {
            let len = usize::from(reader.number()) + reader.below(3);
            stream.extend(frame(0x80 | reader.byte() & 3, mask, &vec![b'x'; len]));
        }
        _ => stream.extend(frame(0x88, mask, reader.some(126))),
    }
}

/// One message in pieces, with pings between them now and then.
fn fragments(stream: &mut Vec<u8>, mask: [u8; 4], reader: &mut Reader<'_>) {
    let text = edited(OPTIONS.as_bytes(), reader);
    let len = 1 + reader.below(200);
    let pieces: Vec<_> = text.chunks(len).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let fin = if at + 1 == pieces.len() { 0x80 } else { 0 };
        let opcode = u8::from(at == 0);
        stream.extend(frame(fin | opcode, mask, piece));
        if reader.one_in(8) {
            stream.extend(frame(0x89, mask, reader.some(8)));
        }
    }
}

fn storm(stream: &mut Vec<u8>, mask: [u8; 4], reader: &mut Reader<'_>) {
    let first = [0x01, 0x00, 0x89, 0x8a, 0x81, 0x02][reader.below(6)];
    let one = frame(first, mask, reader.some(16));
    let times = usize::from(reader.byte()) * if reader.one_in(8) { 64 } else { 1 };
    stream.extend(one.repeat(times));
}

/// A peer that says all this and hangs up; pieces of these sizes, in turn.
fn pieces(stream: &[u8], sizes: &[usize]) -> Vec<Bytes> {
    let (mut rest, mut pieces) = (stream, Vec::new());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(rest.len().min(*size));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = after;
    }
    pieces
}

fn served(pieces: Vec<Bytes>) -> Heard {
    let origins = ["https://desk.example.com".to_owned()];
    testing::websocket(pieces, &origins, reply).expect("a runtime")
}

fn reply(message: &Result<Message, ParseError>) -> Option<Bytes> {
    match message {
        Ok(Message::Request(request)) => Some(request.response(StatusCode::OK).to_bytes()),
        Ok(Message::Response(_)) => None,
        Err(error) => error.response().map(|response| response.to_bytes()),
    }
}

fn judge(heard: &Heard, expected: &Read, len: usize) {
    let told: Vec<_> = expected.messages.iter().filter(|text| !is_keep_alive(text)).collect();
    assert!(heard.messages.len() <= told.len(), "{heard:?} {expected:?}");
    // Beyond these the connection may end at any frame.
    if expected.controls <= CONTROLS && len < 4 * MAX_MESSAGE {
        assert_eq!(heard.messages.len(), told.len(), "{heard:?} {expected:?}");
    }
    for (message, text) in heard.messages.iter().zip(&told) {
        assert_eq!(message, &parse_datagram(Bytes::copy_from_slice(text)));
    }
    let head = heard.written.windows(4).position(|four| four == b"\r\n\r\n");
    let head = head.expect("an answer to the greeting") + 4;
    assert!(head < ANSWER_MAX && heard.written.starts_with(b"HTTP/1.1 101 "));
    written(&heard.written[head..], heard, expected);
}

/// What we write can be read, and answers what was heard, in its order and no more than that.
fn written(bytes: &[u8], heard: &Heard, expected: &Read) {
    let ours = frames::read_unmasked(bytes);
    assert!(ours.is_whole, "we wrote half a frame: {bytes:?}");
    let replies = heard.messages.iter().filter_map(reply);
    let mut replies = replies.peekable();
    let mut pongs = expected.messages.iter().filter(|text| *text == b"\r\n\r\n").count();
    for text in &ours.messages {
        if text == b"\r\n" && pongs > 0 {
            pongs -= 1;
        } else {
            assert_eq!(replies.next().as_deref(), Some(&text[..]));
        }
    }
    assert!(ours.controls <= expected.controls + 1, "{} control frames", ours.controls);
}

fn is_keep_alive(text: &[u8]) -> bool {
    matches!(text, b"\r\n\r\n" | b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds reach what they are for; else mutations of them reach little.
    #[test]
    fn the_seeds_are_heard() {
        for (name, messages, controls) in [
            ("message", 2, 0),
            ("fragments", 2, 0),
            ("fragments-with-pings", 2, 2),
            ("keep-alive", 4, 0),
            ("close", 1, 1),
            ("masked", 2, 0),
            ("storm", 3, 0),
            ("pings", 1, 30),
            ("large", 1, 0),
        ] {
            let path = crate::corpus::directories("websocket").remove(0).join(name);
            let bytes = std::fs::read(path).expect("a seed");
            let stream = frames_of(&mut Reader::new(&bytes[3..]));
            let read = read(&stream);
            assert_eq!((read.messages.len(), read.controls), (messages, controls), "{name}");
        }
    }
}
