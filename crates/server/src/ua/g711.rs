//! ITU-T G.711, sample by sample.

use crate::cli::CodecName;

impl CodecName {
    /// As in SDP.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// One sample as it is sent.
    pub(crate) fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Pcmu => encode_mu(sample),
            Self::Pcma => encode_a(sample),
        }
    }

    /// One octet as it is heard.
    pub(crate) fn decode(self, octet: u8) -> i16 {
        match self {
            Self::Pcmu => decode_mu(octet),
            Self::Pcma => decode_a(octet),
        }
    }
}

const MU_BIAS: i32 = 0x84;
const MU_CLIP: i32 = 32_635;

fn encode_mu(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(MU_CLIP) + MU_BIAS;
    // The highest bit set is 7 to 14: segments 0 to 7.
    let segment = (31 - magnitude.leading_zeros()).saturating_sub(7);
    let mantissa = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | u8::try_from(segment << 4).unwrap_or(0x70) | u8::try_from(mantissa).unwrap_or(0))
}

fn decode_mu(octet: u8) -> i16 {
    let octet = !octet;
    let segment = (octet >> 4) & 0x07;
    let magnitude = (((i32::from(octet) & 0x0f) << 3) + MU_BIAS) << segment;
    let sample = magnitude - MU_BIAS;
    i16::try_from(if octet & 0x80 != 0 { -sample } else { sample }).unwrap_or(i16::MAX)
}

fn encode_a(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    // 13 bits; −1 and 0 differ by the sign only.
    let magnitude = if sample < 0 { !i32::from(sample) } else { i32::from(sample) } >> 3;
    let segment = (32 - magnitude.leading_zeros()).saturating_sub(5);
    let mantissa = (magnitude >> segment.max(1)) & 0x0f;
    let code = u8::try_from(segment << 4).unwrap_or(0x70) | u8::try_from(mantissa).unwrap_or(0);
    (sign | code) ^ 0x55
}

fn decode_a(octet: u8) -> i16 {
    let octet = octet ^ 0x55;
    let (segment, mantissa) = (u32::from((octet >> 4) & 0x07), i32::from(octet & 0x0f));
    let magnitude = match segment {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (segment - 1),
    };
    i16::try_from(if octet & 0x80 != 0 { magnitude } else { -magnitude }).unwrap_or(i16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_octets() {
        for (codec, octet, sample) in [
            (CodecName::Pcmu, 0xff, 0),
            (CodecName::Pcmu, 0x80, 32_124),
            (CodecName::Pcmu, 0x00, -32_124),
            (CodecName::Pcma, 0xd5, 8),
            (CodecName::Pcma, 0x55, -8),
            (CodecName::Pcma, 0xaa, 32_256),
            (CodecName::Pcma, 0x2a, -32_256),
        ] {
            assert_eq!(codec.decode(octet), sample, "{codec:?} {octet:#x}");
            assert_eq!(codec.encode(sample), octet, "{codec:?} {sample}");
        }
    }

    #[test]
    fn every_octet_survives_the_round_trip() {
        for codec in [CodecName::Pcmu, CodecName::Pcma] {
            for octet in 0..=255u8 {
                let again = codec.decode(codec.encode(codec.decode(octet)));
                assert_eq!(again, codec.decode(octet), "{codec:?} {octet:#x}");
            }
        }
    }

    #[test]
    fn the_error_stays_below_a_twenty_fifth_or_a_step() {
        for codec in [CodecName::Pcmu, CodecName::Pcma] {
            for sample in (i16::MIN..=i16::MAX).step_by(7) {
                let back = i32::from(codec.decode(codec.encode(sample)));
                let error = (back - i32::from(sample)).abs();
                let allowed = (i32::from(sample).abs() / 25).max(16)
                    + 100 * i32::from(sample.unsigned_abs() > 32_124);
                assert!(
                    error <= allowed.max(if sample.unsigned_abs() > 32_124 { 700 } else { 0 }),
                    "{codec:?} {sample} {back}"
                );
            }
        }
    }
}
