//! Edits of a text, chosen by the bytes of the input: how a message of a script becomes another one.

use crate::reader::Reader;

/// Most edits of one text.
const EDITS_MAX: usize = 3;
/// Most bytes put in by one edit.
const INSERT_MAX: usize = 24;

/// Lines worth having in a message that did not have them.
const LINES: &[&[u8]] = &[
    b"Require: 100rel\r\n",
    b"Require: nonsense\r\n",
    b"Supported: 100rel, timer, replaces\r\n",
    b"Session-Expires: 90;refresher=uac\r\n",
    b"Session-Expires: 1;refresher=uas\r\n",
    b"Min-SE: 4294967295\r\n",
    b"Contact: <sip:x@127.0.0.9:9;transport=tcp>\r\n",
    b"Contact: *\r\n",
    b"Route: <sip:127.0.0.9;lr>\r\n",
    b"Record-Route: <sip:127.0.0.9>\r\n",
    b"Via: SIP/2.0/UDP 127.0.0.9;branch=z9hG4bKx\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Type: application/sdp\r\n",
    b"Expires: 0\r\n",
    b"Max-Forwards: 0\r\n",
    b"Privacy: id\r\n",
    b"P-Asserted-Identity: <tel:+1>\r\n",
    b"Replaces: x;to-tag=a;from-tag=b\r\n",
    b"Reason: Q.850;cause=999;text=\"x\"\r\n",
    b"RSeq: 2147483647\r\n",
    b"RAck: 1 1 INVITE\r\n",
    b"a=sendonly\r\n",
    b"a=inactive\r\n",
    b"c=IN IP4 0.0.0.0\r\n",
    b"m=audio 0 RTP/AVP 0\r\n",
    b"m=video 9 RTP/AVP 99\r\n",
    b"a=rtcp-mux\r\n",
    b"a=ptime:0\r\n",
    b"\r\n",
];

/// The text with none to three edits.
pub(crate) fn edited(text: &[u8], reader: &mut Reader<'_>) -> Vec<u8> {
    let mut text = text.to_vec();
    // Most messages stay as they are: a script that never gets anywhere tests little.
    let edits = (reader.below(16)).saturating_sub(12).min(EDITS_MAX);
    for _ in 0..edits {
        edit(&mut text, reader);
    }
    text
}

fn edit(text: &mut Vec<u8>, reader: &mut Reader<'_>) {
    match reader.below(7) {
        0 => {
            let at = reader.below(text.len().max(1));
            if let Some(byte) = text.get_mut(at) {
                *byte = reader.byte();
            }
        }
        1 => {
            let (start, end) = line(text, reader);
            text.drain(start..end);
        }
        2 => {
            let (start, end) = line(text, reader);
            text.extend_from_within(start..end);
        }
        3 => {
            let (start, _) = line(text, reader);
            text.splice(start..start, reader.pick(LINES).iter().copied());
        }
        4 => {
            let at = reader.below(text.len() + 1);
            text.splice(at..at, reader.some(INSERT_MAX).iter().copied());
        }
        5 => text.truncate(reader.below(text.len() + 1)),
        _ => {
            // The value of a line.
            let (start, end) = line(text, reader);
            let colon = text[start..end].iter().position(|b| matches!(b, b':' | b'='));
            let from = colon.map_or(start, |colon| start + colon + 1);
            let to = end.saturating_sub(2).max(from);
            text.splice(from..to, reader.some(INSERT_MAX).iter().copied());
        }
    }
}

/// Where one of the lines is, its end included.
fn line(text: &[u8], reader: &mut Reader<'_>) -> (usize, usize) {
    let ends: Vec<_> = (0..text.len()).filter(|&at| text[at] == b'\n').map(|at| at + 1).collect();
    let which = reader.below(ends.len().max(1));
    let start = which.checked_sub(1).map_or(0, |before| ends[before]);
    (start, ends.get(which).copied().unwrap_or(text.len()))
}
