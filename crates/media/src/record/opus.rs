//! Two channels of Opus in Ogg (RFC 7845), each coded apart: nothing of one side is ever heard on
//! the other.

use super::ogg::Pages;
use crate::codec::{CodecError, Encoder, Format, OpusFormat, OpusSettings};
use crate::command::Codec;

/// Samples of 48 kHz that the decoder is to leave out at the beginning: the encoder's delay of
/// 6.5 ms (RFC 7845 §4.2).
const PRE_SKIP: u64 = 312;
/// The clock of granule positions (RFC 7845 §4).
const GRANULE_RATE: u64 = 48_000;
/// A packet is 20 ms; a page a second, so that a crash costs no more.
const PACKETS_PER_PAGE: u64 = 50;
/// Longest packet of one channel.
const PACKET_MAX: usize = 1275;
/// There is time: a thread of its own codes.
const SETTINGS: OpusSettings =
    OpusSettings { complexity: 5, bitrate: 32_000, expected_loss_percent: 0 };

/// Codes a recording.
pub(super) struct OggOpus {
    rate: u32,
    encoders: [Encoder; 2],
    pages: Pages,
    /// Both channels of the packet that is not yet full.
    waiting: [Vec<i16>; 2],
    packets: u64,
    /// Frames taken, and how many of them are in pages that are written.
    frames: u64,
    written: u64,
}

impl OggOpus {
    /// At a rate that Opus knows; `serial` tells one stream from another.
    pub(super) fn new(rate: u32, serial: u32) -> Result<Self, CodecError> {
        let opus = OpusFormat::default();
        let clock_rate = GRANULE_RATE as u32;
        let format = Format { codec: Codec::Opus, clock_rate, sample_rate: rate, opus };
        let encoders = [Encoder::new(&format, SETTINGS)?, Encoder::new(&format, SETTINGS)?];
        let pages = Pages::new(serial);
        Ok(Self {
            rate,
            encoders,
            pages,
            waiting: Default::default(),
            packets: 0,
            frames: 0,
            written: 0,
        })
    }

    /// The two pages before the sound.
    pub(super) fn start(&mut self, out: &mut Vec<u8>) {
        let mut head = b"OpusHead\x01\x02".to_vec();
        head.extend_from_slice(&(PRE_SKIP as u16).to_le_bytes());
        head.extend_from_slice(&self.rate.to_le_bytes());
        // No gain; mapping family 1 (RFC 7845 §5.1.1.2): two streams, none of them coupled.
        head.extend_from_slice(&[0, 0, 1, 2, 0, 0, 1]);
        self.pages.packet(&head, 0, out);
        self.pages.flush(false, out);
        let vendor = b"Hookflash";
        let mut tags = b"OpusTags".to_vec();
        tags.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
        tags.extend_from_slice(vendor);
        tags.extend_from_slice(&[0; 4]);
        self.pages.packet(&tags, 0, out);
        self.pages.flush(false, out);
    }

    /// Codes the frames of a block.
    pub(super) fn push(&mut self, samples: &[i16], out: &mut Vec<u8>) -> Result<(), CodecError> {
        for frame in samples.chunks_exact(2) {
            self.frames += 1;
            self.frame([frame[0], frame[1]], out)?;
        }
        Ok(())
    }

    /// The end: silence until all sound has come out of the encoder, and where the sound ends.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let end = PRE_SKIP + self.frames * GRANULE_RATE / u64::from(self.rate);
        // The last packet must not go in a page of its own without the true end.
        while self.granule() < end {
            self.frame([0; 2], out)?;
        }
        self.pages.end_at(end);
        self.pages.flush(true, out);
        self.written = self.frames;
        Ok(())
    }

    /// Frames that can be played of the bytes so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    fn granule(&self) -> u64 {
        self.packets * GRANULE_RATE / PACKETS_PER_PAGE
    }

    fn frame(&mut self, frame: [i16; 2], out: &mut Vec<u8>) -> Result<(), CodecError> {
        for (waiting, sample) in self.waiting.iter_mut().zip(frame) {
            waiting.push(sample);
        }
        if self.waiting[0].len() < self.rate as usize / PACKETS_PER_PAGE as usize {
            return Ok(());
        }
        // A full page waits for the next packet: the last page holds at least one.
        if self.packets > 0 && self.packets.is_multiple_of(PACKETS_PER_PAGE) {
            self.pages.flush(false, out);
            self.written = self.packets * u64::from(self.rate) / PACKETS_PER_PAGE;
        }
        let packet = self.packet()?;
        self.packets += 1;
        self.pages.packet(&packet, self.granule(), out);
        Ok(())
    }

    /// One packet of both streams: all but the last tell their own length (RFC 6716 appendix B).
    fn packet(&mut self) -> Result<Vec<u8>, CodecError> {
        let [left, right] = &mut self.encoders;
        let mut coded = [0; PACKET_MAX];
        let len = left.encode(&self.waiting[0], &mut coded)?;
        let (toc, frame) = coded[..len].split_first().ok_or(CodecError::FrameLength)?;
        // One frame per packet; the encoder makes no other of 20 ms at a variable bit rate.
        if toc & 3 != 0 {
            return Err(CodecError::Unsupported);
        }
        let mut packet = vec![*toc];
        match frame.len() {
            len @ ..252 => packet.push(len as u8),
            // RFC 6716 §3.2.1: two bytes, 252 + n mod 4 and the rest in fours.
            len => {
                let first = 252 + (len & 3);
                packet.extend([first as u8, ((len - first) / 4) as u8]);
            }
        }
        packet.extend_from_slice(frame);
        let len = right.encode(&self.waiting[1], &mut coded)?;
        packet.extend_from_slice(&coded[..len]);
        self.waiting.iter_mut().for_each(Vec::clear);
        Ok(packet)
    }
}
