//! A byte stream: the same frames however it is cut into pieces.

use bytes::Bytes;
use sip::framing::{Decoder, Frame};
use sip::message::{MAX_MESSAGE, ParseErrorKind, parse_datagram};

use crate::reader::Reader;

type Frames = Vec<Result<Frame, ParseErrorKind>>;

/// The first byte says how the rest is cut.
pub fn framing(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let sizes = [1 + usize::from(reader.byte() & 15), 1 + usize::from(reader.byte())];
    let stream = reader.all();
    let whole = frames(stream, &[stream.len().max(1)]);
    assert_eq!(whole, frames(stream, &[1]), "byte by byte");
    assert_eq!(whole, frames(stream, &sizes), "in pieces of {sizes:?}");
    let errors = whole.iter().filter(|frame| frame.is_err()).count();
    assert!(errors == 0 || errors == 1 && whole.last().is_some_and(Result::is_err));
    let mut consumed = 0;
    for frame in whole.into_iter().flatten() {
        consumed += match &frame {
            Frame::Message(message) => message.len(),
            Frame::Ping => 4,
            Frame::Pong => 2,
        };
        if let Frame::Message(message) = frame {
            one_message(&message);
        }
    }
    assert!(consumed <= stream.len(), "{consumed} of {} bytes", stream.len());
}

/// How many messages a stream holds, and whether it ends in a fault: what a server that was sent it
/// must have read.
pub fn told_in(stream: &[u8]) -> (usize, bool) {
    let frames = frames(stream, &[stream.len().max(1)]);
    let messages = frames.iter().filter(|frame| matches!(frame, Ok(Frame::Message(_)))).count();
    (messages, frames.last().is_some_and(Result::is_err))
}

fn frames(stream: &[u8], sizes: &[usize]) -> Frames {
    let mut decoder = Decoder::new();
    let mut frames = Vec::new();
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(rest.len().min(*size));
        rest = after;
        decoder.push(piece);
        frames.extend(decoder.by_ref().map(|frame| frame.map_err(|error| error.kind)));
        assert!(decoder.pending() <= MAX_MESSAGE + piece.len());
        assert!(!decoder.is_closed() || decoder.pending() == 0);
    }
    frames
}

/// What was cut by its Content-Length has that length, or is refused: nobody smuggles.
fn one_message(frame: &Bytes) {
    if let Ok(message) = parse_datagram(frame.clone()) {
        assert!(frame.ends_with(message.body()), "the body is the end of the frame");
        let head = frame.len() - message.body().len();
        assert!(frame[..head].ends_with(b"\r\n\r\n"), "and begins where the head ends");
        let first = frame.windows(4).position(|four| four == b"\r\n\r\n");
        assert_eq!(first, Some(head - 4));
    }
}
