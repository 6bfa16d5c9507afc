//! The RTP header (RFC 3550 §5.1): read and rewritten in place, without a copy of the payload.

use std::ops::Range;

use thiserror::Error;

/// Length of the header we send: no CSRC, no extension.
pub const HEADER_LEN: usize = 12;
/// Longest datagram taken, bytes: what fits one Ethernet frame. Longer ones are malformed.
pub const DATAGRAM_MAX: usize = 1500;

const VERSION_2: u8 = 0x80;
const VERSION_MASK: u8 = 0xc0;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const CSRC_COUNT: u8 = 0x0f;
const MARKER: u8 = 0x80;

/// What the relay needs of an RTP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Start of a talk spurt or of an event.
    pub marker: bool,
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Sampling instant, in units of the codec's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// A packet read: its header, and where in the datagram its payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The header.
    pub header: Header,
    /// The payload, without padding. Starts at [`HEADER_LEN`] or later.
    pub payload: Range<usize>,
}

/// Why a datagram is no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Shorter than its header says.
    #[error("truncated")]
    Truncated,
    /// Not version 2.
    #[error("not RTP version 2")]
    Version,
    /// More padding than payload, or none at all where the header promises some.
    #[error("bad padding")]
    Padding,
}

/// Reads a datagram.
///
/// # Errors
/// When it is no RTP packet; see RFC 3550 §A.1.
pub fn parse(datagram: &[u8]) -> Result<Packet, Malformed> {
    let fixed: &[u8; HEADER_LEN] = datagram.first_chunk().ok_or(Malformed::Truncated)?;
    let [flags, marker_and_type, ..] = *fixed;
    if flags & VERSION_MASK != VERSION_2 {
        return Err(Malformed::Version);
    }
    let header = Header {
        marker: marker_and_type & MARKER != 0,
        payload_type: marker_and_type & !MARKER,
        sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
        timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
    };
    let mut start = HEADER_LEN + 4 * usize::from(flags & CSRC_COUNT);
    if flags & EXTENSION != 0 {
        // RFC 3550 §5.3.1: 16 bits of profile, 16 bits of length in words.
        let extension = datagram.get(start..start + 4).ok_or(Malformed::Truncated)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    let mut end = datagram.len();
    if start > end {
        return Err(Malformed::Truncated);
    }
    if flags & PADDING != 0 {
        let padding = usize::from(datagram[end - 1]);
        if padding == 0 || padding > end - start {
            return Err(Malformed::Padding);
        }
        end -= padding;
    }
    Ok(Packet { header, payload: start..end })
}

/// Writes `header` right in front of the payload and returns the packet to send.
///
/// CSRCs, extensions and padding of the incoming packet are left behind: they were agreed on with
/// the other peer, not with this one.
pub fn rewrite<'a>(datagram: &'a mut [u8], payload: &Range<usize>, header: &Header) -> &'a [u8] {
    debug_assert!(payload.start >= HEADER_LEN && payload.end <= datagram.len());
    let packet = &mut datagram[payload.start - HEADER_LEN..payload.end];
    write_header(packet, header);
    packet
}

/// Writes `header` into the first [`HEADER_LEN`] bytes of `packet`.
pub fn write_header(packet: &mut [u8], header: &Header) {
    debug_assert!(header.payload_type < 128);
    packet[0] = VERSION_2;
    packet[1] = header.payload_type | if header.marker { MARKER } else { 0 };
    packet[2..4].copy_from_slice(&header.sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
    packet[8..12].copy_from_slice(&header.ssrc.to_be_bytes());
}

/// Whether a datagram on a shared port is RTCP.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    // RFC 5761 §4: RTCP packet types 192–223 are RTP payload types 64–95 with the marker.
    datagram.get(1).is_some_and(|second| (192..=223).contains(second))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc_rtp::packet::Packet as Oracle;
    use rtc_shared::marshal::Unmarshal;

    use super::*;

    const PLAIN: [u8; 16] =
        [0x80, 0x88, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4];

    fn with(changes: &[(usize, u8)]) -> Vec<u8> {
        let mut datagram = PLAIN.to_vec();
        for &(at, value) in changes {
            datagram[at] = value;
        }
        datagram
    }

    #[test]
    fn reads_the_fixed_header() {
        let header = Header {
            marker: true,
            payload_type: 8,
            sequence: 0x1234,
            timestamp: 160,
            ssrc: 0xdead_beef,
        };
        assert_eq!(parse(&PLAIN), Ok(Packet { header, payload: 12..16 }));
    }

    #[test]
    fn finds_the_payload_behind_csrcs_extension_and_padding() {
        let mut long = vec![0xb1; 40];
        long[0] = 0x80 | PADDING | EXTENSION | 1;
        long[16..24].copy_from_slice(&[0xbe, 0xde, 0, 1, 9, 9, 9, 9]);
        long[39] = 3;
        assert_eq!(parse(&long).unwrap().payload, 24..37);
    }

    #[test]
    fn refuses_what_is_no_rtp() {
        let rows: [(Vec<u8>, Malformed); 8] = [
            (vec![], Malformed::Truncated),
            (PLAIN[..11].to_vec(), Malformed::Truncated),
            (with(&[(0, 0x40)]), Malformed::Version),
            (with(&[(0, 0x8f)]), Malformed::Truncated),
            (with(&[(0, 0x91)]), Malformed::Truncated),
            (with(&[(0, 0x90), (14, 0xff), (15, 0xff)]), Malformed::Truncated),
            (with(&[(0, 0xa0), (15, 0)]), Malformed::Padding),
            (with(&[(0, 0xa0), (15, 5)]), Malformed::Padding),
        ];
        for (datagram, error) in rows {
            assert_eq!(parse(&datagram), Err(error), "{datagram:02x?}");
        }
    }

    #[test]
    fn an_empty_payload_is_a_packet() {
        assert_eq!(parse(&PLAIN[..12]).unwrap().payload, 12..12);
    }

    #[test]
    fn rewriting_leaves_the_payload_and_drops_the_rest() {
        let mut datagram = vec![0; 28];
        datagram[0] = 0x82;
        datagram[20..].copy_from_slice(b"payload!");
        let packet = parse(&datagram).unwrap();
        let header =
            Header { marker: false, payload_type: 101, sequence: 7, timestamp: 8, ssrc: 9 };
        let sent = rewrite(&mut datagram, &packet.payload, &header).to_vec();
        assert_eq!(parse(&sent), Ok(Packet { header, payload: 12..20 }));
        assert_eq!(&sent[12..], b"payload!");
    }

    #[test]
    fn rtcp_is_told_apart_on_a_shared_port() {
        for (second, rtcp) in [(0, false), (0x88, false), (191, false), (200, true), (223, true)] {
            assert_eq!(is_rtcp(&[0x80, second]), rtcp, "{second}");
        }
        assert!(!is_rtcp(&[0x80]));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(datagram in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(packet) = parse(&datagram) {
                prop_assert!(packet.payload.start >= HEADER_LEN);
                prop_assert!(packet.payload.end <= datagram.len());
                let mut datagram = datagram;
                rewrite(&mut datagram, &packet.payload, &packet.header);
            }
        }

        #[test]
        fn webrtc_rs_reads_the_same(
            first in prop_oneof![Just(0x80u8), Just(0x81), Just(0x90), Just(0xa0), any::<u8>()],
            mut datagram in proptest::collection::vec(any::<u8>(), 12..64),
            extension_words in 0u8..4,
        ) {
            datagram[0] = first;
            if first == 0x90 && datagram.len() >= 16 {
                // A profile of which nobody knows the elements.
                datagram[12..16].copy_from_slice(&[0x12, 0x34, 0, extension_words]);
            }
            let oracle = Oracle::unmarshal(&mut &*datagram);
            if let (Ok(ours), Ok(oracle)) = (parse(&datagram), oracle) {
                prop_assert_eq!(ours.header.marker, oracle.header.marker);
                prop_assert_eq!(ours.header.payload_type, oracle.header.payload_type);
                prop_assert_eq!(ours.header.sequence, oracle.header.sequence_number);
                prop_assert_eq!(ours.header.timestamp, oracle.header.timestamp);
                prop_assert_eq!(ours.header.ssrc, oracle.header.ssrc);
                prop_assert_eq!(&datagram[ours.payload], &*oracle.payload);
            }
        }
    }
}
