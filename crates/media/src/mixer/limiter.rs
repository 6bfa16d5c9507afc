use super::Mix;

/// Greatest sample that the gain aims at: 0.8 dB below full scale.
const CEILING: f32 = 30_000.0;
/// Greatest sample after the bend, a little more than the gain's way back adds.
const BENT: f32 = 30_800.0;
/// No sample comes near this.
const FULL_SCALE: f32 = 32_767.0;
/// Change of the gain per millisecond: down by 0.9 dB, up by 0.1 dB.
const DOWN: f32 = 0.901_57;
const UP: f32 = 1.011_58;
/// Part of a millisecond in which the bend changes.
const BEND_CHANGES: usize = 4;
/// Milliseconds of the longest tick.
const BLOCKS_MAX: usize = 64;

/// One gain for all mixes of a conference, planned a millisecond at a time. Within the tick it
/// sees a peak coming. What comes too suddenly for the slope is bent: `x / (1 + bend·|x|)`, as far as
/// its peak needs and no longer, which makes harmonics 4 to 5 dB weaker than cutting it off does.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    /// Samples of a millisecond.
    block: usize,
    /// Gain and bend after the last sample.
    last: Point,
    /// What is to be reached at the end of each millisecond.
    plan: [Point; BLOCKS_MAX],
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    gain: f32,
    bend: f32,
}

const FREE: Point = Point { gain: 1.0, bend: 0.0 };

impl Limiter {
    pub(super) fn new(rate: u32, len: usize) -> Self {
        let block = rate as usize / 1000;
        assert!(len.div_ceil(block) <= BLOCKS_MAX, "a tick of {len} samples is too long");
        Self { block, last: FREE, plan: [FREE; BLOCKS_MAX] }
    }

    pub(super) fn gain(&self) -> f32 {
        self.last.gain
    }

    /// Makes the samples of all mixes from their sums.
    pub(super) fn limit(&mut self, mixes: &mut [Mix]) {
        let is_free = self.last == FREE && mixes.iter().all(|mix| peak(&mix.sum) <= CEILING as i32);
        if is_free {
            for mix in mixes {
                for (sample, sum) in mix.samples.iter_mut().zip(&mix.sum) {
                    *sample = *sum as i16;
                }
            }
            return;
        }
        let blocks = self.make_plan(mixes);
        for mix in mixes {
            let mut from = self.last;
            let sums = mix.sum.chunks(self.block);
            let samples = mix.samples.chunks_mut(self.block);
            for ((sums, samples), to) in sums.zip(samples).zip(self.plan) {
                self.limit_block(from, to, sums, samples);
                from = to;
            }
        }
        self.last = self.plan[blocks - 1];
    }

    fn limit_block(&self, from: Point, to: Point, sums: &[i32], samples: &mut [i16]) {
        let step = (to.gain - from.gain) / self.block as f32;
        let changes = (self.block / BEND_CHANGES).max(1) as f32;
        for (n, (sample, sum)) in samples.iter_mut().zip(sums).enumerate() {
            let at = (n + 1) as f32;
            let bend = from.bend + (to.bend - from.bend) * (at / changes).min(1.0);
            let value = *sum as f32 * (from.gain + step * at);
            *sample = below_full_scale(value / (1.0 + bend * value.abs())) as i16;
        }
    }

    /// Plans every block, and returns how many there are.
    fn make_plan(&mut self, mixes: &[Mix]) -> usize {
        let blocks = mixes.first().map_or(1, |mix| mix.sum.len().div_ceil(self.block));
        let mut peaks = [0f32; BLOCKS_MAX];
        for mix in mixes {
            for (highest, sums) in peaks.iter_mut().zip(mix.sum.chunks(self.block)) {
                *highest = highest.max(peak(sums) as f32);
            }
        }
        // The gain holds at both ends of a block, and its way down begins before the peak.
        let mut later = 1.0f32;
        for (point, highest) in self.plan[..blocks].iter_mut().zip(peaks).rev() {
            let own = CEILING / highest.max(CEILING);
            point.gain = own.min(later);
            later = own.min(later / DOWN);
        }
        let mut before = self.last.gain;
        for (point, highest) in self.plan[..blocks].iter_mut().zip(peaks) {
            point.gain = point.gain.clamp(before * DOWN, (before * UP).min(1.0));
            let highest = (highest * before.max(point.gain)).max(BENT);
            point.bend = 1.0 / BENT - 1.0 / highest;
            before = point.gain;
        }
        blocks
    }
}

fn peak(sums: &[i32]) -> i32 {
    sums.iter().fold(0, |peak, sum| peak.max(sum.abs()))
}

/// What is still above [`BENT`], in the quarter of a millisecond in which the bend grows, comes
/// ever nearer to full scale.
fn below_full_scale(value: f32) -> f32 {
    let over = (value.abs() - BENT).max(0.0) / (FULL_SCALE - BENT);
    let rounded = value.abs().min(BENT) + (FULL_SCALE - BENT) * over / (1.0 + over);
    rounded.copysign(value)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const RATE: u32 = 16_000;
    const LEN: usize = 320;

    /// What comes out of these sums, tick by tick, and gain and bend at each millisecond.
    fn limit(sums: &[i32]) -> (Vec<i16>, Vec<Point>) {
        let mut limiter = Limiter::new(RATE, LEN);
        let (mut out, mut points) = (vec![], vec![FREE]);
        for sums in sums.chunks_exact(LEN) {
            let samples = vec![0; LEN].into();
            let mut mixes = [Mix { listeners: 1, heard: 1, before: 1, sum: sums.into(), samples }];
            let is_free = limiter.last == FREE;
            limiter.limit(&mut mixes);
            let is_planned = !is_free || limiter.last != FREE;
            let point = |n: usize| if is_planned { limiter.plan[n] } else { FREE };
            points.extend((0..LEN / 16).map(point));
            out.extend_from_slice(&mixes[0].samples);
        }
        (out, points)
    }

    /// Change of the gain in each millisecond, dB.
    fn moves(points: &[Point]) -> Vec<f64> {
        points.windows(2).map(|w| 2.0 * db(f64::from(w[1].gain / w[0].gain))).collect()
    }

    /// Two ticks of a tone of −20 dB, six so much over full scale (dB), two of −20 dB.
    fn attack(over_db: f64, hertz: f64, phase: f64) -> Vec<i32> {
        let sample = |n: usize| {
            let is_loud = (2 * LEN..8 * LEN).contains(&n);
            let amplitude = 32_768.0 * 10f64.powf(if is_loud { over_db } else { -20.0 } / 20.0);
            (amplitude * (TAU * hertz * n as f64 / f64::from(RATE) + phase).sin()) as i32
        };
        (0..10 * LEN).map(sample).collect()
    }

    fn db(ratio: f64) -> f64 {
        10.0 * ratio.log10()
    }

    /// Power of what is more than 0.5 of the frequency away from a tone, over that of the tone.
    fn distortion_db(samples: &[i16], hertz: f64) -> f64 {
        let power = |hertz: f64| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, sample) in samples.iter().enumerate() {
                let (sin, cos) = (TAU * hertz * n as f64 / f64::from(RATE)).sin_cos();
                re += f64::from(*sample) * cos;
                im += f64::from(*sample) * sin;
            }
            re * re + im * im
        };
        let step = f64::from(RATE) / samples.len() as f64;
        let lines: Vec<_> = (0..samples.len() / 2).map(|n| n as f64 * step).collect();
        let (mut tone, mut rest) = (0.0, 0.0);
        for line in lines {
            let is_near = (0.5..=1.5).contains(&(line / hertz));
            *(if is_near { &mut tone } else { &mut rest }) += power(line);
        }
        db(rest / tone)
    }

    #[test]
    fn the_gain_never_falls_faster_than_a_decibel_per_millisecond_not_even_at_an_attack() {
        for over_db in [3.0, 6.0, 9.5, 12.0] {
            for phase in [0.0, 1.0, TAU / 4.0] {
                let (out, points) = limit(&attack(over_db, 400.0, phase));
                let moves = moves(&points);
                let fastest = moves.iter().copied().fold(0.0, f64::min);
                assert!((-1.0..-0.5).contains(&fastest), "{over_db} dB: {fastest} dB");
                assert!(moves.iter().all(|step| *step < 0.2), "{over_db} dB: it rises slowly");
                let peak = out.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
                assert!((28_000..32_760).contains(&peak), "{over_db} dB: {peak}");
                // The least gain holds until the end of the loud part.
                let least = points.iter().map(|point| point.gain).fold(1.0, f32::min);
                let wanted = f64::from(CEILING) / (32_768.0 * 10f64.powf(over_db / 20.0));
                assert!((f64::from(least) / wanted - 1.0).abs() < 0.03, "{over_db} dB: {least}");
            }
        }
    }

    #[test]
    fn an_attack_is_bent_not_cut_off() {
        // In the first 40 ms, where cutting off leaves −30, −22, −17 and −15 dB.
        for (over_db, at_most_db) in [(3.0, -32.0), (6.0, -26.0), (9.5, -22.0), (12.0, -19.5)] {
            for phase in [0.0, TAU / 4.0] {
                let sums = attack(over_db, 400.0, phase);
                let (out, _) = limit(&sums);
                let rest = distortion_db(&out[2 * LEN..4 * LEN], 400.0);
                assert!(rest < at_most_db, "{over_db} dB: {rest} dB");
                // No two peaks are of the same height, as they are when something is cut off.
                let flat = out.windows(2).filter(|w| w[0] == w[1] && w[0].abs() > 32_000).count();
                assert!(flat < 4, "{over_db} dB: {flat}");
                let later = distortion_db(&out[6 * LEN..8 * LEN], 400.0);
                assert!(later < -50.0, "{over_db} dB: {later} dB after it");
            }
        }
    }

    #[test]
    fn what_grows_within_a_tick_is_met_by_the_gain_alone() {
        // From silence to 6 dB over full scale in the 20 ms in which a talker is faded in.
        let sums: Vec<_> = (0..4 * LEN)
            .map(|n| {
                let share = (n as f64 / LEN as f64).min(1.0);
                let amplitude = 65_536.0 * (0.5 - 0.5 * (share * TAU / 2.0).cos());
                (amplitude * (TAU * 400.0 * n as f64 / f64::from(RATE)).sin()) as i32
            })
            .collect();
        let (out, points) = limit(&sums);
        let bend = points.iter().map(|point| point.bend).fold(0.0, f32::max);
        assert_eq!(bend, 0.0, "nothing is bent");
        let rest = distortion_db(&out[LEN..3 * LEN], 400.0);
        assert!(rest < -50.0, "{rest} dB");
    }

    #[test]
    fn whatever_the_sums_no_sample_reaches_full_scale() {
        let mut chance = 1u32;
        let sums: Vec<_> = (0..20 * LEN)
            .map(|n| {
                chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((chance as i32) >> 12) * (1 - (n / LEN % 3) as i32)
            })
            .collect();
        let (out, points) = limit(&sums);
        assert!(out.iter().all(|sample| sample.abs() < 32_767));
        assert!(moves(&points).iter().all(|step| *step > -1.0));
    }
}
