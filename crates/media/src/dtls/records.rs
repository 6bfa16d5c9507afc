//! Which datagrams are let through to the handshake (RFC 6347 §4.1, §4.2.2).
//!
//! A peer that is not authenticated yet must not make us keep or search more than a handshake
//! needs. Whatever is in order passes, fragments too; the rest is as if lost on the way.

/// Longest handshake message taken, bytes: a certificate chain fits.
const MESSAGE_MAX: usize = 16 * 1024;
/// Highest number of a handshake message; the last one of RFC 6347 §4.2.4 is 6.
const SEQUENCE_MAX: u16 = 15;
/// Shortest fragment that is not the last of its message, bytes: nobody cuts finer, and putting
/// together what is cut finer takes long.
const FRAGMENT_MIN: usize = 32;

const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const CLIENT_HELLO: u8 = 1;
const RANDOM: usize = 32;

/// What a datagram in order has in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Whether it has handshake messages, encrypted or not.
    pub(super) is_handshake: bool,
    /// The highest number of its messages in the clear.
    pub(super) sequence: Option<u16>,
    /// Whether it begins a handshake: the first ClientHello, or its first piece.
    pub(super) opens: bool,
    /// The random of that ClientHello, if it is all there: another one is another handshake.
    pub(super) random: Option<[u8; RANDOM]>,
}

/// `None` unless every record is one that a handshake, or its aftermath, can have.
pub(super) fn read(datagram: &[u8]) -> Option<Heard> {
    let mut heard = Heard::default();
    let mut rest = datagram;
    while !rest.is_empty() {
        let (record, behind) = split(rest)?;
        heard.record(&record)?;
        rest = behind;
    }
    (!datagram.is_empty()).then_some(heard)
}

struct Record<'a> {
    kind: u8,
    epoch: u16,
    content: &'a [u8],
}

fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<RECORD_HEADER>()?;
    // DTLS 1.0 stands in the records of a ClientHello that can do more (RFC 6347 §4.1).
    if header[1] != 0xfe || !matches!(header[2], 0xff | 0xfd) {
        return None;
    }
    let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
    let (content, rest) = rest.split_at_checked(len)?;
    let epoch = u16::from_be_bytes([header[3], header[4]]);
    Some((Record { kind: header[0], epoch, content }, rest))
}

impl Heard {
    fn record(&mut self, record: &Record<'_>) -> Option<()> {
        let Record { kind, epoch, content } = *record;
        self.is_handshake |= kind == HANDSHAKE;
        let fits = match (kind, epoch) {
            (HANDSHAKE, 0) => return self.messages(content),
            (CHANGE_CIPHER_SPEC, 0) => content == [1],
            (ALERT, 0) => content.len() == 2,
            // Under the new keys. Nobody has application data for us, but a peer may say so.
            (HANDSHAKE | ALERT | APPLICATION_DATA, 1) => !content.is_empty(),
            _ => false,
        };
        fits.then_some(())
    }

    /// Whole messages, the last of which may be a piece of one.
    fn messages(&mut self, content: &[u8]) -> Option<()> {
        let mut rest = content;
        while !rest.is_empty() {
            let (header, behind) = rest.split_first_chunk::<HANDSHAKE_HEADER>()?;
            let long = |at: usize| {
                usize::from(header[at]) << 16
                    | usize::from(header[at + 1]) << 8
                    | usize::from(header[at + 2])
            };
            let (len, offset, part) = (long(1), long(6), long(9));
            let sequence = u16::from_be_bytes([header[4], header[5]]);
            let (body, next) = behind.split_at_checked(part)?;
            let is_last = offset + part == len && part > 0;
            let in_order = part == len || ((is_last || part >= FRAGMENT_MIN) && next.is_empty());
            let fits = len <= MESSAGE_MAX && sequence <= SEQUENCE_MAX && offset + part <= len;
            if !(fits && in_order) {
                return None;
            }
            self.sequence = self.sequence.max(Some(sequence));
            if header[0] == CLIENT_HELLO && sequence == 0 && offset == 0 {
                self.opens = true;
                // RFC 6347 §4.2.1: the version, then the random.
                self.random = body.get(2..).and_then(|rest| rest.first_chunk()).copied();
            }
            rest = next;
        }
        (!content.is_empty()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, content: &[u8]) -> Vec<u8> {
        let len = content.len() as u16;
        let mut bytes = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1];
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(content);
        bytes
    }

    fn message(len: u16, sequence: u8, offset: u16, part: u16) -> Vec<u8> {
        let [a, b] = len.to_be_bytes();
        let [c, d] = offset.to_be_bytes();
        let [e, f] = part.to_be_bytes();
        let mut bytes = vec![1, 0, a, b, 0, sequence, 0, c, d, 0, e, f];
        bytes.resize(HANDSHAKE_HEADER + usize::from(part), 7);
        bytes
    }

    #[test]
    fn what_a_handshake_has_passes() {
        let hello = record(22, 0, &message(100, 0, 0, 100));
        let empty = record(22, 0, &message(0, 3, 0, 0));
        let two = record(22, 0, &[message(20, 1, 0, 20), message(0, 2, 0, 0)].concat());
        let mut old = hello.clone();
        old[2] = 0xff;
        for bytes in [
            hello.clone(),
            old,
            two.clone(),
            record(22, 0, &message(100, 0, 0, 60)),
            record(22, 0, &message(100, 0, 60, 40)),
            record(22, 0, &message(100, 0, 95, 5)),
            [two, empty, record(20, 0, &[1]), record(22, 1, &[9; 40])].concat(),
            record(21, 0, &[2, 40]),
            record(21, 1, &[9; 26]),
            record(23, 1, &[9; 26]),
        ] {
            assert!(read(&bytes).is_some(), "{bytes:?}");
            for cut in 1..bytes.len().min(13) {
                assert_eq!(read(&bytes[..bytes.len() - cut]), None, "{cut}");
            }
        }
    }

    #[test]
    fn what_no_handshake_has_does_not() {
        let hello = record(22, 0, &message(100, 0, 0, 100));
        for bytes in [
            vec![],
            vec![22; 12],
            record(22, 0, &[]),
            record(22, 0, &message(100, 16, 0, 100)),
            record(22, 0, &message(20_000, 0, 0, 900)),
            record(22, 0, &message(100, 0, 0, 31)),
            record(22, 0, &message(100, 0, 50, 1)),
            record(22, 0, &message(100, 0, 50, 0)),
            record(22, 0, &message(100, 0, 100, 0)),
            record(22, 0, &message(100, 0, 90, 20)),
            record(22, 0, &[message(100, 0, 0, 60), message(0, 1, 0, 0)].concat()),
            record(22, 0, &message(100, 0, 0, 100)[..50]),
            record(22, 2, &[9; 40]),
            record(23, 0, b"hello"),
            record(20, 0, &[2]),
            record(21, 0, &[2]),
            record(24, 0, &[1, 0, 1]),
            [&hello[..], &[0]].concat(),
        ] {
            assert_eq!(read(&bytes), None, "{bytes:?}");
        }
        let mut version = hello;
        version[2] = 0xfc;
        assert_eq!(read(&version), None);
    }

    #[test]
    fn the_first_hello_opens_and_is_known_by_its_random() {
        let random = Some([7; RANDOM]);
        for (bytes, opens, found, sequence) in [
            (record(22, 0, &message(100, 0, 0, 100)), true, random, Some(0)),
            (record(22, 0, &message(100, 0, 0, 33)), true, None, Some(0)),
            (record(22, 0, &message(100, 0, 40, 60)), false, None, Some(0)),
            (record(22, 0, &message(100, 1, 0, 100)), false, None, Some(1)),
            (record(22, 1, &[9; 40]), false, None, None),
        ] {
            let heard = Heard { is_handshake: true, sequence, opens, random: found };
            assert_eq!(read(&bytes), Some(heard));
        }
        assert_eq!(read(&record(21, 0, &[2, 40])), Some(Heard::default()));
    }
}
