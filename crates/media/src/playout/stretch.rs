//! Speech made shorter or longer by a pitch period, without a click and at the same pitch (WSOLA).

use crate::dot::dot;

/// Shortest and longest piece taken out or put in, tenths of milliseconds.
const PIECE: (usize, usize) = (25, 150);
/// Speech that must resemble itself, and what is cross-faded, tenths of milliseconds.
const COMPARED: usize = 80;
const FADED: usize = 50;
/// Rate at which likeness is measured, hertz.
const COARSE_RATE: usize = 4000;
/// [`COMPARED`] and the longest piece at [`COARSE_RATE`].
const COARSE_LEN: usize = (COMPARED + PIECE.1) * COARSE_RATE / 10_000 + 1;

/// How good a splice must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Care {
    /// Least normalised correlation of what is joined, −1 to 1.
    pub(super) resemblance: f32,
    /// Amplitude (root of the mean square) below which nobody hears a splice.
    pub(super) quiet: f32,
}

/// Samples that must follow the cut, or surround it, for the longest piece.
pub(super) fn reach(rate: usize) -> usize {
    at(rate, COMPARED + PIECE.1)
}

/// Length of the shortest piece.
pub(super) fn piece_min(rate: usize) -> usize {
    at(rate, PIECE.0)
}

/// Length of the longest piece.
pub(super) fn piece_max(rate: usize) -> usize {
    at(rate, PIECE.1)
}

/// Takes up to `most` samples out of the beginning of `samples`, and returns how many: the rest
/// has moved down. 0 when nothing could be taken with the care asked for.
pub(super) fn shorten(samples: &mut [i16], rate: usize, most: usize, care: Care) -> usize {
    let most = most.min(samples.len().saturating_sub(at(rate, COMPARED)));
    let Some(piece) = find(samples, rate, most, care, |piece| (0, piece)) else { return 0 };
    let fade = at(rate, FADED);
    for n in 0..fade {
        samples[n] = mix(samples[n], samples[piece + n], n, fade);
    }
    samples.copy_within(piece + fade.., fade);
    piece
}

/// Puts up to `most` samples in at `cut`, the end of what was played, and returns how many. `len`
/// samples are known; behind them is room for the longest piece.
pub(super) fn lengthen(
    samples: &mut [i16],
    cut: usize,
    len: usize,
    rate: usize,
    most: usize,
    care: Care,
) -> usize {
    let most = most.min(cut).min(samples.len() - len);
    if len - cut < at(rate, COMPARED) {
        return 0;
    }
    let Some(piece) = find(&samples[..len], rate, most, care, |piece| (cut, cut - piece)) else {
        return 0;
    };
    // What was played last is played again, entered from what would have come.
    samples.copy_within(cut..len, cut + piece);
    let fade = at(rate, FADED).min(piece);
    samples.copy_within(cut - piece..cut, cut);
    for n in 0..fade {
        samples[cut + n] = mix(samples[cut + piece + n], samples[cut + n], n, fade);
    }
    piece
}

/// The best piece of at most `most` samples; `ends` tells which two places are joined for a piece.
fn find(
    samples: &[i16],
    rate: usize,
    most: usize,
    care: Care,
    ends: impl Fn(usize) -> (usize, usize),
) -> Option<usize> {
    let (shortest, longest) = (at(rate, PIECE.0), at(rate, PIECE.1).min(most));
    if shortest > longest {
        return None;
    }
    let compared = at(rate, COMPARED);
    let own = &samples[ends(shortest).0..][..compared];
    if loudness(own) < care.quiet {
        return Some(longest);
    }
    let step = rate / COARSE_RATE;
    let mut coarse = [[0.0; COARSE_LEN]; 2];
    let [own_coarse, other_coarse] = &mut coarse;
    let own_coarse = decimate(own, step, own_coarse);
    let likeness = |other: &[f32]| {
        let power = dot(own_coarse, own_coarse) * dot(other, other);
        dot(own_coarse, other) / power.sqrt().max(1.0)
    };
    // All places that may be joined to `own`, from the first to the last.
    let (one, two) = (ends(shortest).1, ends(longest).1);
    let (low, high) = (one.min(two), one.max(two));
    let other_coarse = decimate(&samples[low..high + compared], step, other_coarse);
    let (best, resemblance) = other_coarse
        .windows(own_coarse.len())
        .map(likeness)
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    if resemblance < care.resemblance {
        return None;
    }
    let piece_at =
        |place: usize| if one < two { shortest + place - low } else { longest - (place - low) };
    let rough = low + best * step;
    let fine = (rough.saturating_sub(step - 1).max(low)..=(rough + step - 1).min(high))
        .min_by_key(|place| difference(own, &samples[*place..][..compared]))?;
    Some(piece_at(fine))
}

/// Power of the difference.
fn difference(a: &[i16], b: &[i16]) -> i64 {
    a.iter().zip(b).map(|(a, b)| (i64::from(*a) - i64::from(*b)).pow(2)).sum()
}

fn decimate<'a>(samples: &[i16], step: usize, out: &'a mut [f32]) -> &'a [f32] {
    let len = (samples.len() / step).min(out.len());
    for (cell, block) in out.iter_mut().zip(samples.chunks_exact(step)) {
        *cell = block.iter().map(|sample| f32::from(*sample)).sum();
    }
    &out[..len]
}

/// Root of the mean square.
pub(super) fn loudness(samples: &[i16]) -> f32 {
    let power: i64 = samples.iter().map(|s| i64::from(i32::from(*s) * i32::from(*s))).sum();
    (power as f32 / samples.len().max(1) as f32).sqrt()
}

/// Sample `n` of a cross-fade of `len`.
fn mix(from: i16, to: i16, n: usize, len: usize) -> i16 {
    let (from, to) = (i32::from(from), i32::from(to));
    (from + (to - from) * (2 * n as i32 + 1) / (2 * len as i32)) as i16
}

fn at(rate: usize, tenths_of_ms: usize) -> usize {
    rate * tenths_of_ms / 10_000
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use proptest::prelude::*;

    use super::*;

    const CARE: Care = Care { resemblance: 0.8, quiet: 0.0 };

    fn tone(hertz: f64, rate: usize, len: usize) -> Vec<i16> {
        (0..len).map(|n| (8000.0 * (TAU * hertz * n as f64 / rate as f64).sin()) as i16).collect()
    }

    /// Greatest deviation from a tone of that frequency: its second difference is known.
    fn roughness(samples: &[i16], hertz: f64, rate: usize) -> f64 {
        let factor = 2.0 * (TAU * hertz / rate as f64).cos();
        let values: Vec<_> = samples.iter().map(|s| f64::from(*s)).collect();
        values.windows(3).map(|w| (w[2] - factor * w[1] + w[0]).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn a_tone_is_shortened_by_whole_periods() {
        for rate in [8000, 16_000, 48_000] {
            let mut samples = tone(200.0, rate, rate / 10);
            let taken = shorten(&mut samples, rate, rate / 50, CARE);
            assert!(taken.is_multiple_of(rate / 200) && taken > 0, "{rate}: {taken}");
            samples.truncate(rate / 10 - taken);
            assert!(roughness(&samples, 200.0, rate) < 60.0, "{rate}");
        }
    }

    #[test]
    fn a_tone_is_lengthened_by_whole_periods() {
        for rate in [8000, 16_000, 48_000] {
            let mut samples = tone(200.0, rate, rate / 10);
            let (cut, len) = (rate / 20, rate / 10);
            samples.resize(len + rate / 50, 0);
            let put = lengthen(&mut samples, cut, len, rate, rate / 50, CARE);
            assert!(put.is_multiple_of(rate / 200) && put > 0, "{rate}: {put}");
            samples.truncate(len + put);
            assert!(roughness(&samples, 200.0, rate) < 60.0, "{rate}");
        }
    }

    #[test]
    fn what_does_not_resemble_itself_is_left_alone_unless_it_is_quiet() {
        let mut chance = 1u32;
        let mut noise = || {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (chance >> 16) as i16 / 64
        };
        let samples: Vec<_> = (0..800).map(|_| noise()).collect();
        assert_eq!(shorten(&mut samples.clone(), 8000, 160, CARE), 0);
        assert_eq!(lengthen(&mut samples.clone(), 400, 600, 8000, 160, CARE), 0);
        let care = Care { quiet: 400.0, ..CARE };
        assert_eq!(shorten(&mut samples.clone(), 8000, 50, care), 50);
        assert_eq!(lengthen(&mut samples.clone(), 400, 600, 8000, 50, care), 50);
        let care = Care { resemblance: -1.0, ..CARE };
        assert!(shorten(&mut samples.clone(), 8000, 160, care) > 0);
    }

    #[test]
    fn too_little_is_left_alone() {
        let samples = tone(200.0, 8000, 800);
        assert_eq!(shorten(&mut samples.clone(), 8000, 19, CARE), 0, "less than 2.5 ms");
        assert_eq!(shorten(&mut samples[..80].to_vec(), 8000, 160, CARE), 0, "no room to compare");
        assert_eq!(lengthen(&mut samples.clone(), 400, 440, 8000, 160, CARE), 0);
        assert_eq!(lengthen(&mut samples.clone(), 10, 400, 8000, 160, CARE), 0, "no past");
    }

    proptest! {
        #[test]
        fn no_samples_break_it(
            samples in proptest::collection::vec(any::<i16>(), 0..1200),
            (cut, len, most) in (0usize..1200, 0usize..1200, 0usize..400),
            resemblance in -1f32..1.0,
            rate in 0usize..3,
        ) {
            let rate = [8000, 16_000, 48_000][rate];
            let care = Care { resemblance, quiet: 10.0 };
            let taken = shorten(&mut samples.clone(), rate, most, care);
            prop_assert!(taken <= most && taken <= samples.len());
            let len = len.min(samples.len());
            let cut = cut.min(len);
            let put = lengthen(&mut samples.clone(), cut, len, rate, most, care);
            prop_assert!(put <= most && len + put <= samples.len());
        }
    }
}
