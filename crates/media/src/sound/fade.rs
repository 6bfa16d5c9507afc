//! Sounds that begin and end without a step.

/// Length of a fade, milliseconds.
const FADE_MS: usize = 10;
/// Unit of the weights.
const ONE: i64 = 1 << 15;

/// Samples of a fade at `rate` hertz.
pub(crate) const fn fade_len(rate: u32) -> usize {
    FADE_MS * rate as usize / 1000
}

/// Lets the first samples rise from nothing.
pub(crate) fn fade_in(pcm: &mut [i16], rate: u32) {
    let len = fade_len(rate).min(pcm.len());
    for (n, sample) in pcm[..len].iter_mut().enumerate() {
        *sample = scale(*sample, weight(n, len));
    }
}

/// Lets the last samples fall to nothing.
pub(crate) fn fade_out(pcm: &mut [i16], rate: u32) {
    let len = fade_len(rate).min(pcm.len());
    for (n, sample) in pcm.iter_mut().rev().take(len).enumerate() {
        *sample = scale(*sample, weight(n, len));
    }
}

/// Adds what `old` would have gone on with, falling to nothing from its first sample on.
pub(crate) fn die_away(old: &[i16], pcm: &mut [i16], rate: u32) {
    let len = fade_len(rate).min(pcm.len()).min(old.len());
    for (n, (sample, old)) in pcm[..len].iter_mut().zip(old).enumerate() {
        *sample = sample.saturating_add(scale(*old, weight(len - 1 - n, len)));
    }
}

/// 3x² − 2x³ of the way, so that neither the weight nor its slope jumps.
fn weight(n: usize, len: usize) -> i64 {
    let (at, all) = (2 * n as i64 + 1, 2 * len as i64);
    ONE * at * at * (3 * all - 2 * at) / (all * all * all)
}

fn scale(sample: i16, weight: i64) -> i16 {
    (i64::from(sample) * weight / ONE) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fade_rises_and_falls_without_a_step_and_both_make_one() {
        for rate in [8000, 16_000, 48_000] {
            let len = rate as usize / 50;
            let (mut rising, mut falling) = (vec![10_000; len], vec![10_000; len]);
            fade_in(&mut rising, rate);
            fade_out(&mut falling, rate);
            assert!(rising[0] < 20 && falling[len - 1] < 20, "{rate}");
            assert_eq!((rising[fade_len(rate)], falling[len / 2 - 1]), (10_000, 10_000));
            let steps = rising.windows(2).map(|pair| pair[1] - pair[0]);
            let steepest = 15_000 / fade_len(rate) as i16 + 2;
            assert!(steps.clone().all(|step| (0..=steepest).contains(&step)), "{rate}");
            assert!(rising.iter().rev().eq(&falling), "{rate}");
            die_away(&vec![10_000; len], &mut rising, rate);
            assert!(rising.iter().all(|sample| (9998..=10_000).contains(sample)), "{rate}");
        }
    }

    #[test]
    fn what_is_shorter_than_a_fade_is_all_of_it() {
        let mut pcm = [i16::MAX; 8];
        fade_in(&mut pcm, 8000);
        assert!(pcm.is_sorted() && pcm[0] < 1000);
        fade_out(&mut [], 8000);
        die_away(&[], &mut pcm, 8000);
        let mut loud = [i16::MAX; 8];
        die_away(&[i16::MAX; 100], &mut loud, 8000);
        assert_eq!(loud, [i16::MAX; 8], "saturated");
    }
}
