//! Frames of RFC 6455 §5, written and read the plain way.

use sip::message::MAX_MESSAGE;

/// What a stream holds.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Whole messages, up to the first fault, goodbye or end.
    pub(super) messages: Vec<Vec<u8>>,
    /// Control frames until then.
    pub(super) controls: usize,
    /// Whether it ended after a frame, without a fault.
    pub(super) is_whole: bool,
}

/// A frame of a client with this first byte.
pub fn frame(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Reads what a client sends.
pub(super) fn read(stream: &[u8]) -> Read {
    read_all(stream, true)
}

/// Reads what a server sends.
pub(super) fn read_unmasked(stream: &[u8]) -> Read {
    read_all(stream, false)
}

fn read_all(mut rest: &[u8], masked: bool) -> Read {
    let mut read = Read::default();
    // A message in pieces, and whether it is text.
    let mut begun: Option<(bool, Vec<u8>)> = None;
    let mut is_over = false;
    while !rest.is_empty() {
        let Some(frame) = next(&mut rest, masked) else { return read };
        if frame.opcode >= 8 {
            // RFC 6455 §5.5: control frames are short and never in pieces.
            if !frame.fin || frame.payload.len() > 125 {
                return read;
            }
            read.controls += 1;
            is_over |= frame.opcode == 8;
            if is_over && masked {
                return read;
            }
            continue;
        }
        // RFC 6455 §5.5.1: no more data after a goodbye; pings may still be answered.
        if is_over {
            return read;
        }
        let (is_text, mut text) = match (frame.opcode, begun.take()) {
            (0, Some(begun)) => begun,
            (1 | 2, None) => (frame.opcode == 1, Vec::new()),
            _ => return read,
        };
        text.extend(frame.payload);
        if text.len() > MAX_MESSAGE {
            return read;
        }
        if !frame.fin {
            begun = Some((is_text, text));
        } else if is_text && std::str::from_utf8(&text).is_err() {
            return read;
        } else {
            read.messages.push(text);
        }
    }
    read.is_whole = true;
    read
}

struct Frame {
    fin: bool,
    opcode: u8,
    payload: Vec<u8>,
}

/// The next frame; `None` when it is not whole, or not one that a peer may send.
fn next(rest: &mut &[u8], masked: bool) -> Option<Frame> {
    let (&first, after) = rest.split_first()?;
    let (&second, mut after) = after.split_first()?;
    let opcode = first & 15;
    let is_known = matches!(opcode, 0..=2 | 8..=10);
    if first & 0x70 != 0 || !is_known || (second & 0x80 != 0) != masked {
        return None;
    }
    let mut take = |len: usize| -> Option<&[u8]> {
        let (taken, left) = after.split_at_checked(len)?;
        after = left;
        Some(taken)
    };
    let extra = [0, 2, 8][usize::from(second & 0x7f).saturating_sub(125)];
    let len = match take(extra)? {
        [] => u64::from(second & 0x7f),
        long => long.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
    };
    let mask = take(if masked { 4 } else { 0 })?.to_vec();
    if len > MAX_MESSAGE as u64 {
        return None;
    }
    let mask = if masked { mask } else { vec![0] };
    let payload = take(len as usize)?.iter().zip(mask.iter().cycle());
    let payload = payload.map(|(byte, mask)| byte ^ mask).collect();
    *rest = after;
    Some(Frame { fin: first & 0x80 != 0, opcode, payload })
}
