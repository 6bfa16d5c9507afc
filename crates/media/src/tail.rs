//! The last packets of a peer that are relayed as they are: where such a stream breaks off, they tell
//! how it would have gone on.

use crate::codec::{Decoder, Format, SAMPLES_MAX};
use crate::command::{Codec, Payload};
use crate::plc::Plc;
use crate::sound::{Ending, WIDE_RATE};

/// What is kept of each codec, milliseconds: what a continuation is made from, and before that what
/// a decoder needs until it is where the listener's is.
const KEPT_MS: usize = 32;
const KEPT_G722_MS: usize = 120;
/// Opus packets kept at most, and bytes: three packets of speech in the full band, and more of less.
const PACKETS_MAX: usize = 4;
const OPUS_BYTES: usize = 480;

/// What a peer sent last, not decoded.
pub(crate) struct Tail {
    /// Payload type of the packets.
    payload_type: u8,
    bytes: Box<[u8]>,
    /// How many of the last bytes are of packets.
    len: usize,
    /// Lengths of the last packets, newest last.
    packets: [u16; PACKETS_MAX],
}

impl Tail {
    /// For a peer that may send these; `None` when we decode none of them. Allocates; nothing after
    /// it does.
    pub(crate) fn new(payloads: &[Payload]) -> Option<Self> {
        let len = bytes_for(payloads)?;
        Some(Self {
            payload_type: 0,
            bytes: vec![0; len].into(),
            len: 0,
            packets: [0; PACKETS_MAX],
        })
    }

    /// Whether it has the size that [`Self::new`] would give it.
    pub(crate) fn is_for(&self, payloads: &[Payload]) -> bool {
        bytes_for(payloads) == Some(self.bytes.len())
    }

    /// Takes note of a packet that follows the last one.
    pub(crate) fn hear(&mut self, payload_type: u8, payload: &[u8]) {
        if payload_type != self.payload_type {
            (self.payload_type, self.len, self.packets) = (payload_type, 0, [0; PACKETS_MAX]);
        }
        // Of a long one its end. That is none of Opus' packets, which nobody will decode then.
        let kept = &payload[payload.len().saturating_sub(self.bytes.len())..];
        self.bytes.copy_within(kept.len().., 0);
        let newest = self.bytes.len() - kept.len();
        self.bytes[newest..].copy_from_slice(kept);
        self.len = (self.len + kept.len()).min(self.bytes.len());
        self.packets.rotate_left(1);
        self.packets[PACKETS_MAX - 1] = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    }

    /// How it would have gone on; `None` when nothing came, or nothing that we decode. Allocates.
    pub(crate) fn ending<'a>(
        &self,
        payloads: &[Payload],
        plc: impl FnOnce(u32) -> Option<&'a mut Plc>,
    ) -> Option<Ending> {
        let known = payloads.iter().find(|payload| payload.receive == self.payload_type)?;
        let format = Format::of(known).ok()?.for_rate(WIDE_RATE);
        let mut decoder = Decoder::new(&format).ok()?;
        let mut pcm = Vec::new();
        let mut decode = |payload: &[u8]| {
            let mut out = [0; SAMPLES_MAX];
            let len = decoder.decode(payload, &mut out).unwrap_or(0);
            pcm.extend(&out[..len]);
        };
        let kept = &self.bytes[self.bytes.len() - self.len..];
        if known.codec == Codec::Opus {
            self.whole_packets(kept).for_each(decode);
        } else {
            decode(kept);
        }
        if pcm.is_empty() {
            return None;
        }
        Some(Ending::of_decoded(&pcm, format.sample_rate, plc(format.sample_rate)?))
    }

    /// The packets that are kept from their beginning on, oldest first.
    fn whole_packets<'a>(&self, kept: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut starts = [const { None }; PACKETS_MAX];
        let mut start = kept.len();
        for (cell, len) in starts.iter_mut().zip(&self.packets).rev() {
            let Some(earlier) = start.checked_sub(usize::from(*len)) else { break };
            *cell = (earlier < start).then_some(earlier..start);
            start = earlier;
        }
        starts.into_iter().flatten().map(|range| &kept[range])
    }
}

/// Bytes to keep; `None` when we decode none of the codecs.
fn bytes_for(payloads: &[Payload]) -> Option<usize> {
    let bytes = |payload: &Payload| {
        let format = Format::of(payload).ok()?;
        Some(match payload.codec {
            Codec::L16 => 2 * format.samples_of_ms(KEPT_MS),
            Codec::G722 => format.samples_of_ms(KEPT_G722_MS) / 2,
            Codec::Opus => OPUS_BYTES,
            Codec::Pcmu
            | Codec::Pcma
            | Codec::TelephoneEvent
            | Codec::ComfortNoise
            | Codec::Other => format.samples_of_ms(KEPT_MS),
        })
    };
    payloads.iter().filter_map(bytes).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Encoder, OpusSettings};

    const fn payload(codec: Codec, number: u8, clock_rate: u32) -> Payload {
        Payload { codec, key: number, send: number, receive: number, clock_rate }
    }

    const ALL: [Payload; 5] = [
        payload(Codec::Pcmu, 0, 8000),
        payload(Codec::Pcma, 8, 8000),
        payload(Codec::G722, 9, 8000),
        payload(Codec::L16, 97, 16_000),
        payload(Codec::Opus, 111, 48_000),
    ];

    fn ending(tail: &Tail) -> Option<Ending> {
        let mut plcs = [8000, 16_000].map(Plc::new);
        tail.ending(&ALL, |rate| plcs.get_mut(usize::from(rate == 16_000)))
    }

    #[test]
    fn a_tone_is_gone_on_with_whatever_it_was_coded_in() {
        for known in ALL {
            let format = Format::of(&known).unwrap();
            let mut encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
            // Both the right codec alone and all of them.
            for payloads in [&[known][..], &ALL] {
                let mut tail = Tail::new(payloads).unwrap();
                assert!(tail.is_for(payloads));
                assert!(ending(&tail).is_none(), "nothing came");
                let rate = f64::from(format.sample_rate);
                let sine =
                    |n: usize| 8000.0 * (std::f64::consts::TAU * 500.0 * n as f64 / rate).sin();
                let tick = format.samples_of_ms(20);
                for n in 0..20 {
                    let pcm: Vec<_> = (tick * n..tick * (n + 1)).map(|n| sine(n) as i16).collect();
                    let mut out = [0; 1400];
                    let len = encoder.encode(&pcm, &mut out).unwrap();
                    tail.hear(known.receive, &out[..len]);
                }
                let ending = ending(&tail).unwrap();
                let end = &ending.end()[..ending.end().len() / 2];
                let power = end.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
                let level = (2.0 * power / end.len() as f64).sqrt();
                assert!((6500.0..9000.0).contains(&level), "{known:?}: {level}");
            }
        }
    }

    #[test]
    fn another_codec_begins_anew_and_what_is_none_of_ours_has_no_ending() {
        let mut tail = Tail::new(&ALL).unwrap();
        tail.hear(0, &[0x10; 160]);
        assert!(ending(&tail).is_some());
        tail.hear(18, &[0; 20]);
        assert!(ending(&tail).is_none());
        tail.hear(111, &[0; 1400]);
        assert!(ending(&tail).is_none(), "longer than what is kept");
        assert!(Tail::new(&[payload(Codec::Other, 18, 8000)]).is_none());
        assert!(!tail.is_for(&ALL[..2]));
    }
}
