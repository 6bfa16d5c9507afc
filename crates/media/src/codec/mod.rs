//! Codecs: payloads to linear samples and back, mono, 16 bits, without allocation per packet.
//!
//! Knows how audio is coded; knows neither RTP headers nor SDP. A decoder or encoder is built from
//! a [`Format`] when offer/answer has agreed on it, and then fed packet by packet.

pub mod comfort_noise;
mod decoder;
mod encoder;
pub mod g711;
pub mod opus_format;
mod opus_packet;

use thiserror::Error;

use crate::command::{Codec, Payload};

pub use decoder::Decoder;
pub(crate) use encoder::opus_bitrate;
pub use encoder::{Effort, Encoder, OpusSettings};
pub use opus_format::OpusFormat;

/// Longest packet decoded, milliseconds (RFC 7587 §3.2; nobody sends more of any codec).
pub const PACKET_MS_MAX: usize = 120;
/// Samples of the longest packet at the highest rate: a buffer of this length takes any packet.
pub const SAMPLES_MAX: usize = PACKET_MS_MAX * 48;
/// Sampling rates that audio can have here, hertz: between any two of them it can be resampled.
pub const RATES: [u32; 5] = [8000, 16_000, 24_000, 32_000, 48_000];

/// Why something was not coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The peer's payload is no packet of this codec.
    #[error("malformed payload")]
    Malformed,
    /// The peer's packet holds more audio than the buffer, or than [`PACKET_MS_MAX`].
    #[error("more audio than fits")]
    TooLong,
    /// We cannot code this codec, or not at this rate.
    #[error("unsupported codec or rate")]
    Unsupported,
    /// The caller's frame has a length that the codec does not know, or the buffer is too short.
    #[error("frame length")]
    FrameLength,
}

/// How audio is coded in one direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Which codec.
    pub codec: Codec,
    /// Clock of its RTP timestamps, hertz.
    pub clock_rate: u32,
    /// Rate of the linear samples, hertz; one of [`RATES`]. Opus alone leaves the choice.
    pub sample_rate: u32,
    /// What the receiver of the packets asked for, when the codec is Opus.
    pub opus: OpusFormat,
}

impl Format {
    /// The format of a payload at the codec's own sampling rate.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] when it can be relayed only.
    pub fn new(codec: Codec, clock_rate: u32) -> Result<Self, CodecError> {
        let sample_rate = sample_rate(codec, clock_rate).ok_or(CodecError::Unsupported)?;
        Ok(Self { codec, clock_rate, sample_rate, opus: OpusFormat::default() })
    }

    /// As [`Format::new`].
    ///
    /// # Errors
    /// As [`Format::new`].
    pub fn of(payload: &Payload) -> Result<Self, CodecError> {
        Self::new(payload.codec, payload.clock_rate)
    }

    /// The same with linear samples at the lowest rate that loses nothing the other side could
    /// hear: Opus codes at any of its rates, so that nobody resamples. Other codecs have their own.
    pub fn for_rate(self, rate: u32) -> Self {
        let chosen = RATES.into_iter().find(|own| *own >= rate && *own != 32_000);
        match (self.codec, chosen) {
            (Codec::Opus, Some(sample_rate)) => Self { sample_rate, ..self },
            (_, Some(_) | None) => self,
        }
    }

    /// Samples in `units` of the RTP clock.
    pub fn samples(&self, units: i64) -> i64 {
        units * i64::from(self.sample_rate) / i64::from(self.clock_rate)
    }

    /// Units of the RTP clock in `samples`.
    pub fn units(&self, samples: i64) -> i64 {
        samples * i64::from(self.clock_rate) / i64::from(self.sample_rate)
    }

    /// Samples in `ms` milliseconds.
    pub fn samples_of_ms(&self, ms: usize) -> usize {
        ms * self.sample_rate as usize / 1000
    }
}

/// Rate of a codec's linear samples, hertz; `None` when we cannot code it.
pub fn sample_rate(codec: Codec, clock_rate: u32) -> Option<u32> {
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::L16 => RATES.contains(&clock_rate).then_some(clock_rate),
        // RFC 3551 §4.5.2: the clock is 8000 by an old error, the codec samples at 16 kHz.
        Codec::G722 => (clock_rate == 8000).then_some(16_000),
        // RFC 7587 §4.1: the clock is 48000, whatever is coded.
        Codec::Opus => (clock_rate == 48_000).then_some(48_000),
        Codec::TelephoneEvent | Codec::ComfortNoise | Codec::Other => None,
    }
}

/// Frames of 20 ms of the past that are still heard in what an encoder makes of the next.
pub(crate) fn frames_remembered(codec: Codec) -> usize {
    match codec {
        // The predictors forget half of everything in 32 ms.
        Codec::G722 => 5,
        // What is encoded is late by 6.5 ms.
        Codec::Opus => 1,
        Codec::Pcmu
        | Codec::Pcma
        | Codec::L16
        | Codec::TelephoneEvent
        | Codec::ComfortNoise
        | Codec::Other => 0,
    }
}

#[cfg(test)]
mod tests;
