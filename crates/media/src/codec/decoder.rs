use audio_codec::Decoder as _;
use audio_codec::g722::G722Decoder;
use opus::Channels;

use super::{CodecError, Format, PACKET_MS_MAX, g711, opus_packet};
use crate::command::Codec;

/// From payloads to samples.
///
/// Opus and G.722 carry state from packet to packet: feed them in order, and tell of what is
/// missing by [`Decoder::decode_fec`] or [`Decoder::conceal`].
pub enum Decoder {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// Linear, big-endian.
    L16,
    /// G.722 at 64 kbit/s.
    G722(Box<G722Decoder>),
    /// Opus, mixed down to mono, and its sampling rate.
    Opus(opus::Decoder, u32),
}

impl Decoder {
    /// A decoder at the beginning of a stream. Allocates; nothing after it does.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] when the codec can be relayed only.
    pub fn new(format: &Format) -> Result<Self, CodecError> {
        match format.codec {
            Codec::Pcmu => Ok(Self::Pcmu),
            Codec::Pcma => Ok(Self::Pcma),
            Codec::L16 => Ok(Self::L16),
            Codec::G722 => Ok(Self::G722(Box::new(G722Decoder::new()))),
            Codec::Opus => opus::Decoder::new(format.sample_rate, Channels::Mono)
                .map(|decoder| Self::Opus(decoder, format.sample_rate))
                .map_err(|_| CodecError::Unsupported),
            Codec::TelephoneEvent | Codec::ComfortNoise | Codec::Other => {
                Err(CodecError::Unsupported)
            }
        }
    }

    /// Decodes one packet to the beginning of `out` and returns the number of samples. An empty
    /// payload is none.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is no packet of the codec, [`CodecError::TooLong`] when
    /// `out` is too short for it; then the packet counts as lost.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let len = self.samples(payload)?;
        let out = out.get_mut(..len).ok_or(CodecError::TooLong)?;
        if payload.is_empty() {
            return Ok(0);
        }
        match self {
            Self::Pcmu => expand(payload, out, g711::ulaw_to_linear),
            Self::Pcma => expand(payload, out, g711::alaw_to_linear),
            Self::L16 => {
                for (sample, bytes) in out.iter_mut().zip(payload.chunks_exact(2)) {
                    *sample = i16::from_be_bytes([bytes[0], bytes[1]]);
                }
            }
            Self::G722(decoder) => {
                return decoder.decode_into(payload, out).map_err(|_| CodecError::Malformed);
            }
            Self::Opus(decoder, _) => {
                return decoder.decode(payload, out, false).map_err(|_| CodecError::Malformed);
            }
        }
        Ok(len)
    }

    /// Samples that a payload holds, read off its length or its first bytes.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is no packet of the codec, [`CodecError::TooLong`] when
    /// it is longer than [`PACKET_MS_MAX`].
    pub fn samples(&self, payload: &[u8]) -> Result<usize, CodecError> {
        match self {
            _ if payload.is_empty() => Ok(0),
            Self::Pcmu | Self::Pcma => Ok(payload.len()),
            Self::L16 => Ok(payload.len() / 2),
            Self::G722(_) => Ok(2 * payload.len()),
            Self::Opus(decoder, rate) => {
                let len = decoder.get_nb_samples(payload).map_err(|_| CodecError::Malformed)?;
                let is_long = len > PACKET_MS_MAX * *rate as usize / 1000;
                if is_long { Err(CodecError::TooLong) } else { Ok(len) }
            }
        }
    }

    /// Whether a packet says something of the one before it: only Opus does, in speech, where its
    /// sender was asked for it. Music and what it takes for silence libopus never repeats.
    pub fn has_redundancy(&self, packet: &[u8]) -> bool {
        matches!(self, Self::Opus(..)) && opus_packet::has_redundancy(packet)
    }

    /// Makes up for a lost packet of `out.len()` samples with what the `next` one says of it, and
    /// returns whether it did. `next` is still to be decoded.
    ///
    /// Without redundancy nothing is written: libopus would conceal, which dies away.
    pub fn decode_fec(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        match self {
            Self::Opus(decoder, rate) if opus_packet::has_redundancy(next) => {
                is_opus_length(out.len(), *rate) && decoder.decode(next, out, true).is_ok()
            }
            Self::Opus(..) | Self::Pcmu | Self::Pcma | Self::L16 | Self::G722(_) => false,
        }
    }

    /// Fills `out` with what may have been lost, and returns whether it did: only Opus conceals by
    /// itself, and only whole steps of 2.5 ms up to [`PACKET_MS_MAX`]. For the others see
    /// [`crate::plc`]. After a packet that said so, what Opus makes is comfort noise.
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        match self {
            Self::Opus(decoder, rate) => {
                is_opus_length(out.len(), *rate) && decoder.decode(&[], out, false).is_ok()
            }
            Self::Pcmu | Self::Pcma | Self::L16 | Self::G722(_) => false,
        }
    }

    /// Whether no packets will follow this one while the peer is silent.
    pub fn is_pause(&self, payload: &[u8]) -> bool {
        // RFC 6716 §2.1.9 and libopus: in discontinuous transmission a packet without its frame.
        matches!(self, Self::Opus(..)) && (1..=2).contains(&payload.len())
    }
}

fn expand(payload: &[u8], out: &mut [i16], to_linear: impl Fn(u8) -> i16) {
    for (sample, byte) in out.iter_mut().zip(payload) {
        *sample = to_linear(*byte);
    }
}

/// Whether Opus can conceal this many samples at once.
fn is_opus_length(samples: usize, rate: u32) -> bool {
    let step = rate as usize / 400;
    samples > 0 && samples.is_multiple_of(step) && samples <= PACKET_MS_MAX * rate as usize / 1000
}
