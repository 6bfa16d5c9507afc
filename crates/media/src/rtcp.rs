//! RTCP (RFC 3550 §6): reports of our own, and what the peer's say about us.
//!
//! Nothing is passed on from one peer to the other: each leg is an RTP session of its own. What is
//! on the wire is walked here; single reports are read and written by webrtc-rs.

use bytes::Bytes;
use rtc_rtcp::goodbye::Goodbye;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::reception_report::ReceptionReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};
use rtc_rtcp::{Packet, packet};

use crate::reception::Block;
use crate::xr::{EXTENDED_REPORT, VoipMetrics};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const BYE: u8 = 203;
const HEADER_LEN: usize = 4;
const VERSION_MASK: u8 = 0xc0;
const VERSION_2: u8 = 0x80;
const PADDING: u8 = 0x20;
/// A whole word with its length, so that webrtc-rs adds no padding.
const GOODBYE_REASON: &[u8] = b"end";

/// What we report.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Our SSRC.
    pub ssrc: u32,
    /// Our canonical name (RFC 7022: random, one per stream).
    pub cname: &'a str,
    /// What we sent, when we sent something since the last report.
    pub sent: Option<Sent>,
    /// What we got.
    pub received: Option<Received>,
    /// Whether the stream ends.
    pub goodbye: bool,
}

/// Sender's part of a report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Now, NTP format.
    pub ntp: u64,
    /// Now, as RTP timestamp.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub bytes: u32,
}

/// Receiver's part of a report.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Counters.
    pub block: Block,
    /// Middle 32 bits of the NTP time of the peer's last sender report; 0 without one.
    pub last_report: u32,
    /// Time since then, in 65536ths of a second; 0 without one.
    pub delay: u32,
}

/// What a peer's compound packet tells us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// Middle 32 bits of the NTP time of its sender report.
    pub sender_report: Option<u32>,
    /// What it says about our stream.
    pub about_us: Option<AboutUs>,
    /// Whether it says goodbye.
    pub goodbye: bool,
    /// How our stream sounds to it (RFC 3611).
    pub metrics: Option<VoipMetrics>,
}

/// A peer's view of what we send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AboutUs {
    /// Packets lost in all; negative when duplicates outweigh the losses.
    pub lost: i32,
    /// Extended highest sequence number that came.
    pub highest: u32,
    /// Jitter, timestamp units.
    pub jitter: u32,
    /// Our sender report it has seen last; 0 = none.
    pub last_report: u32,
    /// How long ago, in 65536ths of a second.
    pub delay: u32,
}

impl AboutUs {
    /// Round trip in milliseconds when the report comes at `ntp` (RFC 3550 §6.4.1).
    pub fn round_trip_ms(&self, ntp: u64) -> Option<f64> {
        if self.last_report == 0 {
            return None;
        }
        let now = (ntp >> 16) as u32;
        let trip = now.wrapping_sub(self.last_report).wrapping_sub(self.delay) as i32;
        // A peer's clock may tick a little faster than ours: not less than nothing.
        Some(f64::from(trip.max(0)) * 1000.0 / 65536.0)
    }
}

impl Report<'_> {
    /// The compound packet: a report, our name, a goodbye when it ends.
    pub fn to_bytes(self) -> Option<Bytes> {
        self.to_bytes_with(None)
    }

    /// The same with how the peer's stream sounds to us (RFC 3611).
    pub fn to_bytes_with(self, metrics: Option<&VoipMetrics>) -> Option<Bytes> {
        let reports: Vec<_> = self.received.into_iter().map(Received::to_wire).collect();
        let report: Box<dyn Packet> = match self.sent {
            Some(sent) => Box::new(SenderReport {
                ssrc: self.ssrc,
                ntp_time: sent.ntp,
                rtp_time: sent.timestamp,
                packet_count: sent.packets,
                octet_count: sent.bytes,
                reports,
                profile_extensions: Bytes::new(),
            }),
            None => Box::new(ReceiverReport {
                ssrc: self.ssrc,
                reports,
                profile_extensions: Bytes::new(),
            }),
        };
        // RFC 3550 §6.1: every compound packet has a report first and a CNAME.
        let name = SourceDescriptionItem {
            sdes_type: SdesType::SdesCname,
            text: Bytes::copy_from_slice(self.cname.as_bytes()),
        };
        let chunk = SourceDescriptionChunk { source: self.ssrc, items: vec![name] };
        let packets = [report, Box::new(SourceDescription { chunks: vec![chunk] })];
        let mut bytes = packet::marshal(&packets).ok()?;
        if let Some(metrics) = metrics {
            bytes.extend_from_slice(&metrics.to_packet(self.ssrc));
        }
        // RFC 3550 §6.6: the goodbye is the last.
        if self.goodbye {
            let reason = Bytes::from_static(GOODBYE_REASON);
            let goodbye: Box<dyn Packet> = Box::new(Goodbye { sources: vec![self.ssrc], reason });
            bytes.extend_from_slice(&packet::marshal(&[goodbye]).ok()?);
        }
        Some(bytes.freeze())
    }
}

impl Received {
    fn to_wire(self) -> ReceptionReport {
        ReceptionReport {
            ssrc: self.block.ssrc,
            fraction_lost: self.block.fraction_lost,
            total_lost: self.block.total_lost as u32 & 0xff_ffff,
            last_sequence_number: self.block.highest,
            jitter: self.block.jitter,
            last_sender_report: self.last_report,
            delay: self.delay,
        }
    }
}

/// Reads a compound packet; `None` when it is none (RFC 3550 §A.2). Reports about streams other
/// than `ours` are ignored.
pub fn parse(datagram: &[u8], ours: u32) -> Option<Incoming> {
    let mut incoming = Incoming::default();
    let mut rest = datagram;
    let mut first = true;
    while !rest.is_empty() {
        let &[flags, kind, high, low] = rest.first_chunk::<HEADER_LEN>()?;
        let len = HEADER_LEN + 4 * usize::from(u16::from_be_bytes([high, low]));
        let (packet, after) = rest.split_at_checked(len)?;
        let is_report = kind == SENDER_REPORT || kind == RECEIVER_REPORT;
        let padded = flags & PADDING != 0;
        // RFC 3550 A.2: a report first, and padding in the last packet only.
        let misplaced = (first && !is_report) || (padded && !after.is_empty());
        if flags & VERSION_MASK != VERSION_2 || misplaced {
            return None;
        }
        if is_report && !padded {
            incoming.read_report(packet, ours)?;
        }
        incoming.goodbye |= kind == BYE;
        if kind == EXTENDED_REPORT {
            incoming.metrics = incoming.metrics.or_else(|| VoipMetrics::find(packet, ours));
        }
        rest = after;
        first = false;
    }
    (!first).then_some(incoming)
}

/// SSRC of the sender of what begins with a report; in the clear with SRTCP too (RFC 3711 §3.4).
pub fn sender(datagram: &[u8]) -> Option<u32> {
    let [_, kind, _, _, ssrc @ ..] = datagram.first_chunk::<8>()?;
    matches!(*kind, SENDER_REPORT | RECEIVER_REPORT).then(|| u32::from_be_bytes(*ssrc))
}

impl Incoming {
    fn read_report(&mut self, mut report: &[u8], ours: u32) -> Option<()> {
        for packet in packet::unmarshal(&mut report).ok()? {
            let blocks = if let Some(report) = packet.as_any().downcast_ref::<SenderReport>() {
                self.sender_report = Some((report.ntp_time >> 16) as u32);
                &report.reports
            } else {
                &packet.as_any().downcast_ref::<ReceiverReport>()?.reports
            };
            let block = blocks.iter().find(|block| block.ssrc == ours);
            self.about_us = self.about_us.or_else(|| block.map(AboutUs::from_wire));
        }
        Some(())
    }
}

impl AboutUs {
    fn from_wire(block: &ReceptionReport) -> Self {
        Self {
            // 24 bits, signed.
            lost: ((block.total_lost << 8) as i32) >> 8,
            highest: block.last_sequence_number,
            jitter: block.jitter,
            last_report: block.last_sender_report,
            delay: block.delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: u32 = 0x1111;
    const PEERS: u32 = 0x2222;

    fn peer_report() -> Report<'static> {
        Report {
            ssrc: PEERS,
            cname: "peer",
            sent: Some(Sent { ntp: 0x1234_5678_9abc_def0, timestamp: 5, packets: 3, bytes: 480 }),
            received: Some(Received {
                block: Block {
                    ssrc: OURS,
                    fraction_lost: 9,
                    total_lost: -2,
                    highest: 77,
                    jitter: 12,
                },
                last_report: 0x5678_0000,
                delay: 0x8000,
            }),
            goodbye: false,
        }
    }

    fn bytes(report: Report<'_>) -> Vec<u8> {
        report.to_bytes().unwrap().to_vec()
    }

    #[test]
    fn a_report_survives_the_wire() {
        let datagram = bytes(peer_report());
        let about_us =
            AboutUs { lost: -2, highest: 77, jitter: 12, last_report: 0x5678_0000, delay: 0x8000 };
        let expected = Incoming {
            sender_report: Some(0x5678_9abc),
            about_us: Some(about_us),
            ..Incoming::default()
        };
        assert_eq!(parse(&datagram, OURS), Some(expected));
        assert_eq!(sender(&datagram), Some(PEERS));
        assert_eq!((sender(&datagram[..7]), sender(&[0; 20])), (None, None));
        let nobody = Incoming { about_us: None, ..expected };
        assert_eq!(parse(&datagram, 0x3333), Some(nobody));
    }

    #[test]
    fn a_receiver_report_and_a_goodbye() {
        let report = Report { sent: None, goodbye: true, ..peer_report() };
        let incoming = parse(&bytes(report), OURS).unwrap();
        assert_eq!((incoming.sender_report, incoming.goodbye), (None, true));
        let empty = Report { sent: None, received: None, ..peer_report() };
        assert_eq!(parse(&bytes(empty), OURS), Some(Incoming::default()));
    }

    #[test]
    fn how_a_stream_sounds_goes_before_the_goodbye() {
        let metrics = VoipMetrics { ssrc: OURS, mos_cq: Some(41), ..VoipMetrics::default() };
        for goodbye in [false, true] {
            let report = Report { goodbye, ..peer_report() };
            let datagram = report.to_bytes_with(Some(&metrics)).unwrap();
            let incoming = parse(&datagram, OURS).unwrap();
            assert_eq!((incoming.metrics, incoming.goodbye), (Some(metrics), goodbye));
            assert_eq!(parse(&datagram, 0x3333).unwrap().metrics, None);
            // The rest of the report is as it is without.
            let plain = parse(&bytes(report), OURS).unwrap();
            assert_eq!(Incoming { metrics: None, ..incoming }, plain);
        }
    }

    #[test]
    fn the_wire_format_is_that_of_the_rfc() {
        let datagram = bytes(Report { received: None, goodbye: true, ..peer_report() });
        assert_eq!(datagram[..8], [0x80, 200, 0, 6, 0, 0, 0x22, 0x22]);
        assert_eq!(datagram[28..42], *b"\x81\xca\0\x03\0\0\x22\x22\x01\x04peer");
        assert_eq!(datagram[44..], *b"\x81\xcb\0\x02\0\0\x22\x22\x03end");
    }

    #[test]
    fn refuses_what_is_no_compound_packet() {
        let good = bytes(peer_report());
        let mut rows: Vec<(&str, Vec<u8>)> = vec![
            ("empty", vec![]),
            ("name first", good[52..].to_vec()),
            ("cut", good[..good.len() - 4].to_vec()),
            ("odd tail", [&good[..], &[0x80]].concat()),
            ("more blocks than bytes", [&[0x9f, 201, 0, 1], &good[4..8]].concat()),
            ("report without its SSRC", vec![0x80, 200, 0, 0]),
        ];
        for (name, at, value) in [("version", 0, 0x41), ("padding inside", 0, 0xa1)] {
            let mut bad = good.clone();
            bad[at] = value;
            rows.push((name, bad));
        }
        for (name, datagram) in rows {
            assert_eq!(parse(&datagram, OURS), None, "{name}");
        }
    }

    #[test]
    fn round_trip_is_the_example_of_the_rfc() {
        // RFC 3550 figure 2: A = 0xb710:8000, LSR = 0xb705:2000, DLSR = 0x0005:4000 → 6.125 s.
        let about_us =
            AboutUs { last_report: 0xb705_2000, delay: 0x0005_4000, ..AboutUs::default() };
        assert_eq!(about_us.round_trip_ms(0xb44d_b710_8000_0000), Some(6125.0));
        let never = AboutUs { last_report: 0, ..about_us };
        assert_eq!(never.round_trip_ms(0xb44d_b710_8000_0000), None);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&datagram, OURS);
        }

        #[test]
        fn a_report_with_random_damage_never_panics(
            damage in proptest::collection::vec((0usize..80, any::<u8>()), 1..6),
            cut in 0usize..80,
        ) {
            let mut datagram = bytes(peer_report());
            for (at, value) in damage {
                let len = datagram.len();
                datagram[at % len] = value;
            }
            datagram.truncate(datagram.len().max(cut));
            let _ = parse(&datagram, OURS);
        }
    }
}
