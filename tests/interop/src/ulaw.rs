//! G.711 µ-law by the book (ITU-T G.711), for audio of our own.

const BIAS: i32 = 0x84;
const CLIP: i32 = 32_635;

/// One octet for a sample of -1 to 1.
pub(crate) fn encode(sample: f64) -> u8 {
    let linear = (sample * 32_767.0) as i32;
    let sign = if linear < 0 { 0x80 } else { 0 };
    let magnitude = linear.abs().min(CLIP) + BIAS;
    let exponent = magnitude.ilog2() - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

/// The sample, -1 to 1, of one octet.
pub(crate) fn decode(octet: u8) -> f64 {
    let code = !octet;
    let exponent = (code >> 4) & 7;
    let magnitude = (((i32::from(code & 0x0f) << 3) + BIAS) << exponent) - BIAS;
    let linear = if code & 0x80 == 0 { magnitude } else { -magnitude };
    f64::from(linear) / 32_768.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_comes_back_within_a_step() {
        assert_eq!((encode(0.0), decode(0xff)), (0xff, 0.0));
        for step in -100..=100 {
            let sample = f64::from(step) / 100.0;
            let error = (decode(encode(sample)) - sample).abs();
            assert!(error <= sample.abs() * 0.04 + 0.0005, "{sample}: {error}");
        }
    }
}
