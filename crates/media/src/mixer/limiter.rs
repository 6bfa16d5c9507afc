use super::Mix;

/// Greatest sample let through, a little below full scale.
const CEILING: f32 = 31_800.0;
/// Change of the gain per millisecond: down by 0.8 dB, up by 0.1 dB.
const DOWN: f32 = 0.912_01;
const UP: f32 = 1.011_58;
/// Milliseconds of the longest tick.
const BLOCKS_MAX: usize = 64;

/// One gain for all mixes of a conference, planned a millisecond at a time. Within the tick it
/// sees a peak coming; what comes too suddenly for the slope is cut off at full scale.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    /// Samples of a millisecond.
    block: usize,
    /// Gain after the last sample.
    gain: f32,
    /// Gain to be reached at the end of each millisecond.
    plan: [f32; BLOCKS_MAX],
}

impl Limiter {
    pub(super) fn new(rate: u32, len: usize) -> Self {
        let block = rate as usize / 1000;
        assert!(len.div_ceil(block) <= BLOCKS_MAX, "a tick of {len} samples is too long");
        Self { block, gain: 1.0, plan: [1.0; BLOCKS_MAX] }
    }

    pub(super) fn gain(&self) -> f32 {
        self.gain
    }

    /// Makes the samples of all mixes from their sums.
    pub(super) fn limit(&mut self, mixes: &mut [Mix]) {
        let is_free = self.gain >= 1.0 && mixes.iter().all(|mix| peak(&mix.sum) <= CEILING as i32);
        if is_free {
            for mix in mixes {
                for (sample, sum) in mix.samples.iter_mut().zip(&mix.sum) {
                    *sample = saturate(*sum);
                }
            }
            return;
        }
        let blocks = self.make_plan(mixes);
        for mix in mixes {
            let mut from = self.gain;
            let sums = mix.sum.chunks(self.block);
            let samples = mix.samples.chunks_mut(self.block);
            for ((sums, samples), to) in sums.zip(samples).zip(self.plan) {
                let step = (to - from) / self.block as f32;
                for (n, (sample, sum)) in samples.iter_mut().zip(sums).enumerate() {
                    *sample = saturate((*sum as f32 * (from + step * (n + 1) as f32)) as i32);
                }
                from = to;
            }
        }
        self.gain = self.plan[blocks - 1];
    }

    /// Plans the gain of every block, and returns how many there are.
    fn make_plan(&mut self, mixes: &[Mix]) -> usize {
        let blocks = mixes.first().map_or(1, |mix| mix.sum.len().div_ceil(self.block));
        self.plan[..blocks].fill(1.0);
        for mix in mixes {
            for (gain, sums) in self.plan.iter_mut().zip(mix.sum.chunks(self.block)) {
                *gain = gain.min(CEILING / (peak(sums) as f32).max(CEILING));
            }
        }
        // The gain holds at both ends of a block, and its way down begins before the peak.
        let mut later = 1.0f32;
        for block in (0..blocks).rev() {
            let own = self.plan[block];
            self.plan[block] = own.min(later);
            later = own.min(later / DOWN);
        }
        let mut before = self.gain;
        for gain in &mut self.plan[..blocks] {
            *gain = gain.clamp(before * DOWN, (before * UP).min(1.0));
            before = *gain;
        }
        blocks
    }
}

fn peak(sums: &[i32]) -> i32 {
    sums.iter().fold(0, |peak, sum| peak.max(sum.abs()))
}

fn saturate(sum: i32) -> i16 {
    sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}
