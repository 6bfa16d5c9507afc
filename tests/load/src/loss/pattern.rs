//! Which packets are lost.

use base::Rng;

/// Packets lost in a row where losses come in bursts, on average: 60 ms of speech.
const BURST: f64 = 3.0;

/// How losses follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Each packet on its own.
    Random,
    /// Bursts of three packets on average (two states, after Gilbert).
    Bursts,
}

impl Pattern {
    /// Which of `packets` are lost, `percent` of them in the long run. The first ten never are.
    pub fn losses(self, percent: f64, packets: usize, seed: u64) -> Vec<bool> {
        let mut rng = Rng::from_u64(seed);
        let rate = percent / 100.0;
        let mut is_lost = false;
        let mut next = |n: usize| {
            let chance = f64::from(rng.next_u32()) / f64::from(u32::MAX);
            let likely = match (self, is_lost) {
                (Self::Random, _) => rate,
                (Self::Bursts, false) => rate / (1.0 - rate) / BURST,
                (Self::Bursts, true) => 1.0 - 1.0 / BURST,
            };
            is_lost = n >= 10 && chance < likely;
            is_lost
        };
        (0..packets).map(&mut next).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_lost_as_asked_for_and_bursts_are_longer() {
        for percent in [1.0, 5.0, 10.0] {
            let runs = [Pattern::Random, Pattern::Bursts].map(|pattern| {
                let losses = pattern.losses(percent, 200_000, 1);
                let lost = losses.iter().filter(|lost| **lost).count() as f64;
                let share = lost / 2000.0;
                assert!((share / percent - 1.0).abs() < 0.1, "{pattern:?}: {share} %");
                lost / losses.chunk_by(|a, b| a == b).filter(|run| run[0]).count() as f64
            });
            assert!((runs[0] - 1.0 / (1.0 - percent / 100.0)).abs() < 0.05, "{runs:?}");
            assert!((runs[1] - BURST).abs() < 0.2, "{runs:?}");
        }
    }
}
