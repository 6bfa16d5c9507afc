use audio_codec::Encoder as _;
use audio_codec::g722::G722Encoder;
use opus::{Application, Bandwidth, Bitrate, Channels, Signal};

use super::{CodecError, Format, OpusFormat, g711};
use crate::command::Codec;

/// From samples to payloads.
pub enum Encoder {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// Linear, big-endian.
    L16,
    /// G.722 at 64 kbit/s.
    G722(Box<G722Encoder>),
    /// Opus, mono.
    Opus(opus::Encoder),
}

/// Loss that is prepared for at least where the receiver makes use of redundancy: for less libopus
/// repeats too coarsely to be worth it.
const REPEATED_FOR_LOSS_PERCENT: u8 = 10;

/// How much work encoders take upon themselves. Only Opus has a choice; nobody hears the change itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effort {
    /// Half of the time, for three quarters of a point less by PESQ (`tests/load/README.md`). What lies
    /// between takes longer and sounds no better.
    Little,
    /// As long as there is time enough.
    #[default]
    Full,
}

impl Effort {
    /// What libopus calls it ([`OpusSettings::complexity`]).
    const fn complexity(self) -> u8 {
        match self {
            Self::Little => 1,
            Self::Full => 5,
        }
    }
}

/// What we choose ourselves when we send Opus; the rest is the receiver's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusSettings {
    /// 0–10: 10 costs three times what 0 does.
    pub complexity: u8,
    /// Bits a second for speech of the full band; narrower bands get less. The receiver's limit
    /// goes first.
    pub bitrate: u32,
    /// Loss to be prepared for, per cent, where the receiver uses forward error correction.
    pub expected_loss_percent: u8,
}

impl Default for OpusSettings {
    fn default() -> Self {
        Self { complexity: Effort::Full.complexity(), bitrate: 32_000, expected_loss_percent: 5 }
    }
}

impl Encoder {
    /// An encoder at the beginning of a stream. Allocates; nothing after it does.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] when the codec can be relayed only.
    pub fn new(format: &Format, settings: OpusSettings) -> Result<Self, CodecError> {
        match format.codec {
            Codec::Pcmu => Ok(Self::Pcmu),
            Codec::Pcma => Ok(Self::Pcma),
            Codec::L16 => Ok(Self::L16),
            Codec::G722 => Ok(Self::G722(Box::new(G722Encoder::new()))),
            Codec::Opus => {
                opus_encoder(format, settings).map(Self::Opus).map_err(|_| CodecError::Unsupported)
            }
            Codec::TelephoneEvent | Codec::ComfortNoise | Codec::Other => {
                Err(CodecError::Unsupported)
            }
        }
    }

    /// Encodes one packet to the beginning of `out` and returns its length. Opus returns 1 or 2
    /// bytes for silence that need not be sent.
    ///
    /// # Errors
    /// [`CodecError::FrameLength`] when `out` is too short, or the samples are odd in number
    /// (G.722) or none of 2.5, 5, 10, 20, 40, 60, 80, 100, 120 ms (Opus).
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let len = match self {
            Self::Pcmu | Self::Pcma => samples.len(),
            Self::L16 => 2 * samples.len(),
            Self::G722(_) if !samples.len().is_multiple_of(2) => {
                return Err(CodecError::FrameLength);
            }
            Self::G722(_) => samples.len() / 2,
            Self::Opus(encoder) => {
                return encoder.encode(samples, out).map_err(|_| CodecError::FrameLength);
            }
        };
        let out = out.get_mut(..len).ok_or(CodecError::FrameLength)?;
        match self {
            Self::Pcmu => compress(samples, out, g711::linear_to_ulaw),
            Self::Pcma => compress(samples, out, g711::linear_to_alaw),
            Self::L16 => {
                for (bytes, sample) in out.chunks_exact_mut(2).zip(samples) {
                    bytes.copy_from_slice(&sample.to_be_bytes());
                }
            }
            Self::G722(encoder) => {
                return encoder.encode_into(samples, out).map_err(|_| CodecError::FrameLength);
            }
            Self::Opus(_) => {}
        }
        Ok(len)
    }

    /// Nothing above half of `rate` hertz will be in the samples: no bits of `bitrate`
    /// ([`OpusSettings::bitrate`]) are to be kept for it. What the receiver wishes goes first. Only
    /// Opus cares.
    pub fn limit_band(&mut self, rate: u32, bitrate: u32, wish: &OpusFormat) {
        if let Self::Opus(encoder) = self {
            // A refusal costs bits, nothing else.
            let _ = limit(encoder, rate, bitrate, wish);
        }
    }

    /// Sends to another receiver from now on, with other wishes; the rest as with
    /// [`Self::limit_band`].
    pub fn follow(&mut self, rate: u32, bitrate: u32, wish: &OpusFormat) {
        self.limit_band(rate, bitrate, wish);
        if let Self::Opus(encoder) = self {
            // As there.
            let _ = encoder.set_vbr(!wish.cbr);
            let _ = encoder.set_inband_fec(wish.fec);
        }
    }

    /// Begins anew: what was encoded before leaves no trace in what comes.
    pub fn reset(&mut self) {
        match self {
            Self::Pcmu | Self::Pcma | Self::L16 => {}
            Self::G722(encoder) => **encoder = G722Encoder::new(),
            Self::Opus(encoder) => {
                // It fails for an encoder that is none.
                let _ = encoder.reset_state();
            }
        }
    }

    /// Makes packets that a decoder understands whatever it has heard before, for more bits, or such as
    /// follow each other. Only Opus can.
    pub fn stand_alone(&mut self, alone: bool) {
        if let Self::Opus(encoder) = self {
            // As above.
            let _ = encoder.set_prediction_disabled(alone);
        }
    }

    /// Encodes with so much effort from now on. Only Opus cares.
    pub fn set_effort(&mut self, effort: Effort) {
        if let Self::Opus(encoder) = self {
            // A refusal leaves the former effort.
            let _ = encoder.set_complexity(effort.complexity().into());
        }
    }

    /// Prepares for this much loss, per cent: what the peer's reports say. Only Opus cares.
    pub fn expect_loss(&mut self, percent: u8) {
        if let Self::Opus(encoder) = self {
            let repeats = encoder.get_inband_fec().unwrap_or(false);
            // A refusal leaves the former value: nothing is worse than before.
            let _ = encoder.set_packet_loss_perc(prepared_for(percent, repeats));
        }
    }

    /// The loss it is prepared for, per cent.
    #[cfg(test)]
    pub(crate) fn expected_loss(&mut self) -> i32 {
        match self {
            Self::Opus(encoder) => encoder.get_packet_loss_perc().unwrap_or(0),
            Self::Pcmu | Self::Pcma | Self::L16 | Self::G722(_) => 0,
        }
    }
}

fn compress(samples: &[i16], out: &mut [u8], to_law: impl Fn(i16) -> u8) {
    for (byte, sample) in out.iter_mut().zip(samples) {
        *byte = to_law(*sample);
    }
}

/// What libopus is told of a loss, per cent.
fn prepared_for(percent: u8, repeats: bool) -> i32 {
    let least = if repeats { REPEATED_FOR_LOSS_PERCENT } else { 0 };
    percent.clamp(least, 100).into()
}

fn bandwidth_of(rate: u32) -> Bandwidth {
    match rate {
        ..12_000 => Bandwidth::Narrowband,
        12_000..16_000 => Bandwidth::Mediumband,
        16_000..24_000 => Bandwidth::Wideband,
        24_000..48_000 => Bandwidth::Superwideband,
        48_000.. => Bandwidth::Fullband,
    }
}

/// RFC 7587 §3.1.1: speech in mono takes 8–12, 16–20 and 28–40 kbit/s by bandwidth.
fn share_of(bitrate: u32, rate: u32) -> u32 {
    let percent = match rate {
        ..16_000 => 50,
        16_000..24_000 => 75,
        24_000.. => 100,
    };
    bitrate / 100 * percent
}

/// RFC 7587 §6.1: the receiver's parameters bind the sender.
fn opus_encoder(format: &Format, settings: OpusSettings) -> opus::Result<opus::Encoder> {
    let wish = format.opus;
    let mut encoder = opus::Encoder::new(format.sample_rate, Channels::Mono, Application::Voip)?;
    limit(&mut encoder, format.sample_rate, settings.bitrate, &wish)?;
    encoder.set_complexity(settings.complexity.min(10).into())?;
    encoder.set_signal(Signal::Voice)?;
    encoder.set_vbr(!wish.cbr)?;
    encoder.set_inband_fec(wish.fec)?;
    encoder.set_packet_loss_perc(prepared_for(settings.expected_loss_percent, wish.fec))?;
    encoder.set_dtx(wish.dtx)?;
    Ok(encoder)
}

/// As wide as the samples and the receiver are, and as many bits as that takes.
fn limit(
    encoder: &mut opus::Encoder,
    rate: u32,
    bitrate: u32,
    wish: &OpusFormat,
) -> opus::Result<()> {
    encoder.set_max_bandwidth(bandwidth_of(rate.min(wish.max_playback_rate)))?;
    encoder.set_bitrate(Bitrate::Bits(opus_bitrate(rate, bitrate, wish) as i32))
}

/// Bits a second of samples at `rate` hertz for a receiver with such wishes.
pub(crate) fn opus_bitrate(rate: u32, bitrate: u32, wish: &OpusFormat) -> u32 {
    let bitrate = share_of(bitrate, rate.min(wish.max_playback_rate));
    // Without bits of its own libopus leaves the redundancy out.
    let bitrate = if wish.fec { bitrate / 4 * 5 } else { bitrate };
    wish.max_average_bitrate.map_or(bitrate, |most| bitrate.min(most))
}
