//! ITU-T G.711: the two codecs that every phone has.

use audio_codec::pcma::{PcmaDecoder, PcmaEncoder};
use audio_codec::pcmu::{PcmuDecoder, PcmuEncoder};
use audio_codec::{Decoder, Encoder};

use crate::cli::CodecName;

impl CodecName {
    /// As in SDP.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// Samples as they are sent, an octet each.
    pub(crate) fn encode(self, samples: &[i16]) -> Vec<u8> {
        let mut octets = vec![0; samples.len()];
        let encoded = match self {
            Self::Pcmu => PcmuEncoder::new().encode_into(samples, &mut octets),
            Self::Pcma => PcmaEncoder::new().encode_into(samples, &mut octets),
        };
        // An error would mean too small a buffer.
        octets.truncate(encoded.unwrap_or(0));
        octets
    }

    /// Octets as they are heard.
    pub(crate) fn decode(self, octets: &[u8]) -> Vec<i16> {
        let mut samples = vec![0; octets.len()];
        let decoded = match self {
            Self::Pcmu => PcmuDecoder::new().decode_into(octets, &mut samples),
            Self::Pcma => PcmaDecoder::new().decode_into(octets, &mut samples),
        };
        samples.truncate(decoded.unwrap_or(0));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_and_silence_are_those_of_the_standard() {
        // G.711 tables 1a to 2b: the largest positive and negative value, and the smallest.
        for (codec, octets, samples) in [
            (CodecName::Pcmu, [0x80, 0x00, 0xff], [32_124, -32_124, 0]),
            (CodecName::Pcma, [0xaa, 0x2a, 0xd5], [32_256, -32_256, 8]),
        ] {
            assert_eq!(codec.decode(&octets), samples, "{codec:?}");
            assert_eq!(codec.encode(&samples), octets, "{codec:?}");
        }
    }
}
