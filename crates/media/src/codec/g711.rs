//! ITU-T G.711: µ-law and A-law, sample by sample.
//!
//! The encoders follow the reference software (ITU-T G.191), which rounds towards the decision
//! values of the Recommendation's tables; inputs are scaled to the 14 and 13 bits it speaks of.

/// A µ-law byte as a sample.
pub fn ulaw_to_linear(byte: u8) -> i16 {
    ULAW[usize::from(byte)]
}

/// An A-law byte as a sample.
pub fn alaw_to_linear(byte: u8) -> i16 {
    ALAW[usize::from(byte)]
}

/// A sample as a µ-law byte.
pub fn linear_to_ulaw(sample: i16) -> u8 {
    // One's complement, as in the reference: −1 is as far from 0 as 0 itself.
    let magnitude = if sample < 0 { !sample } else { sample };
    let biased = ((magnitude >> 2) as u16 + 33).min(0x1fff);
    let segment = 10 - biased.leading_zeros() as u16;
    let step = (biased >> (segment + 1)) & 0x0f;
    let sign = if sample < 0 { 0 } else { 0x80 };
    sign | (!(segment << 4 | step) as u8 & 0x7f)
}

/// A sample as an A-law byte.
pub fn linear_to_alaw(sample: i16) -> u8 {
    let magnitude = if sample < 0 { !sample } else { sample } as u16 >> 4;
    let code = if magnitude < 32 {
        magnitude
    } else {
        let segment = 12 - magnitude.leading_zeros() as u16;
        (segment << 4) + ((magnitude >> (segment - 1)) - 16)
    };
    let sign = if sample < 0 { 0 } else { 0x80 };
    // Every other bit is inverted on the line.
    (code as u8 | sign) ^ 0x55
}

static ULAW: [i16; 256] = ulaw_table();
static ALAW: [i16; 256] = alaw_table();

const fn ulaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let code = !(byte as u8);
        let segment = (code >> 4) & 7;
        let step = (code & 0x0f) as i16;
        let magnitude = (((2 * step + 33) << segment) - 33) << 2;
        table[byte] = if code & 0x80 == 0 { magnitude } else { -magnitude };
        byte += 1;
    }
    table
}

const fn alaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let code = byte as u8 ^ 0x55;
        let segment = (code >> 4) & 7;
        let step = (code & 0x0f) as i16;
        let magnitude = match segment {
            0 => (2 * step + 1) << 3,
            _ => (2 * step + 33) << (segment + 2),
        };
        table[byte] = if code & 0x80 == 0 { -magnitude } else { magnitude };
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G.711 table 2a: first decision value of each positive segment, 14 bits, and its byte.
    const ULAW_DECISIONS: [(i16, u8); 8] = [
        (0, 0xff),
        (31, 0xef),
        (95, 0xdf),
        (223, 0xcf),
        (479, 0xbf),
        (991, 0xaf),
        (2015, 0x9f),
        (4063, 0x8f),
    ];
    /// G.711 table 1a: the same of the A-law, 13 bits with sign, in steps of 2.
    const ALAW_DECISIONS: [(i16, u8); 8] = [
        (0, 0xd5),
        (16, 0xc5),
        (32, 0xf5),
        (64, 0xe5),
        (128, 0x95),
        (256, 0x85),
        (512, 0xb5),
        (1024, 0xa5),
    ];

    #[test]
    fn segments_begin_where_the_tables_say() {
        for (decision, byte) in ULAW_DECISIONS {
            assert_eq!(linear_to_ulaw(decision << 2), byte, "{decision}");
            assert_eq!(linear_to_ulaw(!(decision << 2)), byte & 0x7f, "{decision}");
            if decision > 0 {
                assert_ne!(linear_to_ulaw((decision - 1) << 2), byte, "{decision}");
            }
        }
        for (decision, byte) in ALAW_DECISIONS {
            assert_eq!(linear_to_alaw(decision << 4), byte, "{decision}");
            assert_eq!(linear_to_alaw(!(decision << 4)), byte & 0x7f, "{decision}");
            if decision > 0 {
                assert_ne!(linear_to_alaw((decision - 1) << 4), byte, "{decision}");
            }
        }
    }

    #[test]
    fn the_extremes_are_those_of_the_recommendation() {
        assert_eq!([0x00, 0x80, 0x7f, 0xff].map(ulaw_to_linear), [-32_124, 32_124, 0, 0]);
        assert_eq!([0x2a, 0xaa, 0x55, 0xd5].map(alaw_to_linear), [-32_256, 32_256, -8, 8]);
        assert_eq!([i16::MAX, i16::MIN].map(linear_to_ulaw), [0x80, 0x00]);
        assert_eq!([i16::MAX, i16::MIN].map(linear_to_alaw), [0xaa, 0x2a]);
    }

    #[test]
    fn every_byte_survives_the_way_to_linear_and_back() {
        for byte in 0..=255 {
            let back = linear_to_ulaw(ulaw_to_linear(byte));
            // Two bytes mean zero: the negative one becomes the positive one.
            assert_eq!(back, if byte == 0x7f { 0xff } else { byte });
            assert_eq!(linear_to_alaw(alaw_to_linear(byte)), byte);
        }
    }

    #[test]
    fn no_sample_is_further_from_its_code_than_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let magnitude = i32::from(sample).abs();
            let ulaw =
                (i32::from(ulaw_to_linear(linear_to_ulaw(sample))) - i32::from(sample)).abs();
            let alaw =
                (i32::from(alaw_to_linear(linear_to_alaw(sample))) - i32::from(sample)).abs();
            let is_clipped = magnitude > 32_124;
            assert!(ulaw <= (magnitude + 132) / 32 + 4 || is_clipped, "{sample}: {ulaw}");
            assert!(alaw <= (magnitude / 32).max(8) + 8 || is_clipped, "{sample}: {alaw}");
        }
    }
}
