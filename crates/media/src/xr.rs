//! Extended reports of RTCP (RFC 3611): the block of VoIP metrics.
//!
//! Other blocks are stepped over. What a peer reports is data for records, never trusted further.

use serde::{Deserialize, Serialize};

use crate::quality::{LossFigures, Rating};

/// Payload type of an extended report (RFC 3611 §2).
pub(crate) const EXTENDED_REPORT: u8 = 207;
/// Length of a packet with this block alone.
pub const PACKET_LEN: usize = HEADER_LEN + BLOCK_LEN;

/// Header and our SSRC.
const HEADER_LEN: usize = 8;
/// Block type of VoIP metrics, and the block's length (RFC 3611 §4.7).
const VOIP_METRICS: u8 = 7;
const BLOCK_LEN: usize = 36;
const BLOCK_HEADER_LEN: usize = 4;
/// "Not available" of the fields that have it (RFC 3611 §4.7.3–4.7.5).
const UNAVAILABLE: u8 = 127;
/// Packets of a gap, at least (RFC 3611 §4.7.2).
const GAP_MIN: u8 = crate::quality::GAP_MIN as u8;
/// RFC 3611 §4.7.6: enhanced concealment, and an adaptive jitter buffer or one that nothing is said of.
pub(crate) const CONCEALS: u8 = 0b1000_0000;
pub(crate) const ADAPTS: u8 = 0b0011_0000;

/// VoIP metrics of one stream (RFC 3611 §4.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoipMetrics {
    /// SSRC of the stream that it is about.
    pub ssrc: u32,
    /// Share of packets lost, 256ths.
    pub loss_rate: u8,
    /// Share of packets that came too late or too early to be played, 256ths.
    pub discard_rate: u8,
    /// Share lost within bursts, 256ths.
    pub burst_density: u8,
    /// Share lost between bursts, 256ths.
    pub gap_density: u8,
    /// Mean length of a burst, milliseconds.
    pub burst_ms: u16,
    /// Mean length of what is between bursts, milliseconds.
    pub gap_ms: u16,
    /// Round trip, milliseconds; 0 when unknown.
    pub round_trip_ms: u16,
    /// Delay of the reporting side itself, milliseconds; 0 when unknown.
    pub end_system_ms: u16,
    /// R factor, 0–100; `None` = unavailable.
    pub r_factor: Option<u8>,
    /// Tenths of the listening score, 10–50; `None` = unavailable.
    pub mos_lq: Option<u8>,
    /// Tenths of the conversation score, 10–50; `None` = unavailable.
    pub mos_cq: Option<u8>,
    /// What is done about losses and jitter, as RFC 3611 §4.7.6 has it; 0: nothing is said of it.
    pub rx_config: u8,
    /// Delay of the jitter buffer for a packet that is on time, for the earliest that is not thrown
    /// away, and at most, milliseconds (RFC 3611 §4.7.7).
    pub buffer_ms: [u16; 3],
}

impl VoipMetrics {
    /// What we found of a stream whose packets are `packet_ms` long.
    pub fn of(ssrc: u32, losses: &LossFigures, packet_ms: u8, rating: Option<Rating>) -> Self {
        let share = |share: f64| (share * 256.0).clamp(0.0, 255.0) as u8;
        let ms = |packets: f64| (packets * f64::from(packet_ms)).clamp(0.0, 65_535.0) as u16;
        let tenths = |mos: f64| (mos * 10.0).round().clamp(10.0, 50.0) as u8;
        Self {
            ssrc,
            loss_rate: share(losses.loss),
            burst_density: share(losses.burst_density),
            gap_density: share(losses.gap_density),
            burst_ms: ms(losses.burst_packets),
            gap_ms: ms(losses.gap_packets),
            r_factor: rating.map(|rating| rating.r.round().clamp(0.0, 100.0) as u8),
            mos_lq: rating.map(|rating| tenths(rating.mos_listening)),
            mos_cq: rating.map(|rating| tenths(rating.mos)),
            ..Self::default()
        }
    }

    /// An extended report of ours, to follow the other packets of a compound.
    pub fn to_packet(&self, our_ssrc: u32) -> [u8; PACKET_LEN] {
        let mut packet = [0; PACKET_LEN];
        let words = (PACKET_LEN / 4 - 1) as u16;
        packet[..2].copy_from_slice(&[0x80, EXTENDED_REPORT]);
        packet[2..4].copy_from_slice(&words.to_be_bytes());
        packet[4..8].copy_from_slice(&our_ssrc.to_be_bytes());
        packet[8..12].copy_from_slice(&[VOIP_METRICS, 0, 0, (BLOCK_LEN / 4 - 1) as u8]);
        packet[12..16].copy_from_slice(&self.ssrc.to_be_bytes());
        packet[16..20].copy_from_slice(&[
            self.loss_rate,
            self.discard_rate,
            self.burst_density,
            self.gap_density,
        ]);
        let times = [self.burst_ms, self.gap_ms, self.round_trip_ms, self.end_system_ms];
        put(&mut packet[20..28], &times);
        let or_none = |value: Option<u8>| value.unwrap_or(UNAVAILABLE);
        packet[28..38].copy_from_slice(&[
            // Levels of signal and noise, and echo return loss, are not measured.
            UNAVAILABLE,
            UNAVAILABLE,
            UNAVAILABLE,
            GAP_MIN,
            or_none(self.r_factor),
            UNAVAILABLE,
            or_none(self.mos_lq),
            or_none(self.mos_cq),
            self.rx_config,
            0,
        ]);
        put(&mut packet[38..], &self.buffer_ms);
        packet
    }

    /// The block about `ours` in an extended report (a whole RTCP packet), if there is one.
    pub fn find(packet: &[u8], ours: u32) -> Option<Self> {
        let mut rest = packet.get(HEADER_LEN..)?;
        loop {
            let &[kind, _, high, low] = rest.first_chunk::<BLOCK_HEADER_LEN>()?;
            let len = BLOCK_HEADER_LEN + 4 * usize::from(u16::from_be_bytes([high, low]));
            let (block, after) = rest.split_at_checked(len)?;
            let found = block.first_chunk().filter(|_| kind == VOIP_METRICS && len == BLOCK_LEN);
            if let Some(metrics) = found.map(Self::read)
                && metrics.ssrc == ours
            {
                return Some(metrics);
            }
            rest = after;
        }
    }

    fn read(block: &[u8; BLOCK_LEN]) -> Self {
        let word = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
        let score = |at: usize| Some(block[at]).filter(|value| (10..=50).contains(value));
        Self {
            ssrc: u32::from_be_bytes([block[4], block[5], block[6], block[7]]),
            loss_rate: block[8],
            discard_rate: block[9],
            burst_density: block[10],
            gap_density: block[11],
            burst_ms: word(12),
            gap_ms: word(14),
            round_trip_ms: word(16),
            end_system_ms: word(18),
            r_factor: Some(block[24]).filter(|r| *r <= 100),
            mos_lq: score(26),
            mos_cq: score(27),
            rx_config: block[28],
            buffer_ms: [word(30), word(32), word(34)],
        }
    }
}

fn put(bytes: &mut [u8], words: &[u16]) {
    for (bytes, word) in bytes.chunks_exact_mut(2).zip(words) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const METRICS: VoipMetrics = VoipMetrics {
        ssrc: 0x1111,
        loss_rate: 12,
        discard_rate: 3,
        burst_density: 99,
        gap_density: 1,
        burst_ms: 140,
        gap_ms: 60_000,
        round_trip_ms: 80,
        end_system_ms: 65,
        r_factor: Some(88),
        mos_lq: Some(43),
        mos_cq: Some(42),
        rx_config: CONCEALS | ADAPTS,
        buffer_ms: [40, 60, 200],
    };

    #[test]
    fn metrics_survive_the_wire() {
        let packet = METRICS.to_packet(0x2222);
        assert_eq!(packet[..16], *b"\x80\xcf\0\x0a\0\0\x22\x22\x07\0\0\x08\0\0\x11\x11");
        assert_eq!(VoipMetrics::find(&packet, 0x1111), Some(METRICS));
        assert_eq!(VoipMetrics::find(&packet, 0x3333), None);
        let unknown = VoipMetrics { r_factor: None, mos_lq: None, mos_cq: None, ..METRICS };
        assert_eq!(VoipMetrics::find(&unknown.to_packet(0), 0x1111), Some(unknown));
    }

    #[test]
    fn other_blocks_are_stepped_over() {
        let packet = METRICS.to_packet(1);
        // A block of another kind, and one about somebody else.
        let reference_time = [&[4, 0, 0, 2][..], &[0; 8]].concat();
        let other = VoipMetrics { ssrc: 9, ..METRICS }.to_packet(1);
        let all = [&packet[..8], &reference_time, &other[8..], &packet[8..]].concat();
        assert_eq!(VoipMetrics::find(&all, 0x1111), Some(METRICS));
        for len in 0..all.len() {
            assert_eq!(VoipMetrics::find(&all[..len], 0x1111), None, "{len}");
        }
    }

    #[test]
    fn figures_become_the_units_of_the_block() {
        let losses = LossFigures {
            loss: 0.05,
            burst_density: 1.0,
            gap_density: 0.001,
            burst_packets: 7.0,
            gap_packets: 1e9,
            burst_ratio: 2.0,
        };
        let rating = Rating { r: 77.6, mos: 3.94, mos_listening: 4.06 };
        let metrics = VoipMetrics::of(5, &losses, 20, Some(rating));
        assert_eq!((metrics.loss_rate, metrics.burst_density, metrics.gap_density), (12, 255, 0));
        assert_eq!((metrics.burst_ms, metrics.gap_ms), (140, u16::MAX));
        let scores = (metrics.r_factor, metrics.mos_cq, metrics.mos_lq);
        assert_eq!(scores, (Some(78), Some(39), Some(41)));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = VoipMetrics::find(&packet, 0);
        }
    }
}
