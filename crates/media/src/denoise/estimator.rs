//! A light suppressor before the network: steady noise goes down, so that the network sees speech
//! as clean as in its training. The minimum mean-square error of the log spectrum (Ephraim and
//! Malah, 1985) over noise tracked by the presence of speech (Gerkmann and Hendriks, 2012).

use super::vector::{Machine, tanh};

/// Least gain of a line: -15 dB. Deeper, and speech loses more than the network gains.
const FLOOR: f32 = 0.178;
/// Signal to noise ratio of a line in which there is speech, assumed for its presence: 15 dB.
const SPEECH: f32 = 31.6;
/// Share of the presence, and of the noise, that stays from frame to frame.
const PRESENCE_KEPT: f32 = 0.9;
const NOISE_KEPT: f32 = 0.8;
/// Presence over the last frames from which speech is doubted: else louder noise would never be.
const CERTAIN: f32 = 0.99;
/// Share of the last frame's speech in what is assumed of this one's.
const SPEECH_KEPT: f32 = 0.9;
/// Least noise of a line: far below one step of any codec.
const LEAST: f32 = 1e-4;
/// Lines that are looked at, those up to 8 kHz: above them the network is enough.
const LINES_MAX: usize = 161;
/// Frames at the beginning that count as noise.
const FIRST: u8 = 4;

/// What is known of each line of one stream.
#[derive(Clone, Debug)]
pub(super) struct Estimator {
    /// Power of the noise.
    noise: Box<[f32]>,
    /// Power of the speech in the last frame.
    speech: Box<[f32]>,
    /// How probable speech was lately, 0 to 1.
    presence: Box<[f32]>,
    frames: u8,
}

impl Estimator {
    pub(super) fn new(lines: usize) -> Self {
        let zero = || vec![0.0; lines.min(LINES_MAX)].into();
        Self { noise: zero(), speech: zero(), presence: zero(), frames: 0 }
    }

    /// Power of all noise.
    pub(super) fn noise(&self) -> f32 {
        self.noise.iter().sum()
    }

    /// Replaces the power of each line by the gain it gets.
    #[inline(always)]
    pub(super) fn run(&mut self, machine: impl Machine, lines: &mut [f32]) {
        let (lines, above) = lines.split_at_mut(self.noise.len());
        above.fill(1.0);
        if self.frames < FIRST {
            self.begin(lines);
        }
        let known = self.noise.iter_mut().zip(&mut self.speech).zip(&mut self.presence);
        for (power, ((noise, speech), presence)) in lines.iter_mut().zip(known) {
            track(machine, *power, noise, presence);
            let ratio = (*power / *noise).min(1000.0);
            let assumed =
                SPEECH_KEPT * *speech / *noise + (1.0 - SPEECH_KEPT) * (ratio - 1.0).max(0.0);
            let gain = gain(machine, assumed.max(0.003), ratio).max(FLOOR * FLOOR);
            *speech = gain * *power;
            *power = gain.sqrt();
        }
    }

    /// The first frames: their mean is the noise.
    fn begin(&mut self, lines: &[f32]) {
        let share = 1.0 / f32::from(self.frames + 1);
        for (noise, power) in self.noise.iter_mut().zip(lines) {
            *noise = (*noise + share * (power - *noise)).max(LEAST);
        }
        self.frames += 1;
    }
}

/// Follows the noise of a line, as far as it is not speech.
#[inline(always)]
fn track(machine: impl Machine, power: f32, noise: &mut f32, presence: &mut f32) {
    let slope = 0.5 * SPEECH / (1.0 + SPEECH);
    let offset = -0.5 * 3.484_3; // ln(1 + SPEECH)
    let ratio = power / *noise;
    let now = 0.5 + 0.5 * tanh(machine, machine.mul_add(slope, ratio, offset));
    *presence = PRESENCE_KEPT * *presence + (1.0 - PRESENCE_KEPT) * now;
    let now = if *presence > CERTAIN { now.min(CERTAIN) } else { now };
    let seen = machine.mul_add(now, *noise - power, power);
    *noise = machine.mul_add(NOISE_KEPT, *noise - seen, seen).max(LEAST);
}

/// The squared gain, from the assumed signal to noise ratio and the measured one of signal and
/// noise to noise.
#[inline(always)]
fn gain(machine: impl Machine, assumed: f32, ratio: f32) -> f32 {
    let wiener = assumed / (1.0 + assumed);
    let v = (wiener * ratio).max(1e-4);
    // exp(E1(v)) = 1 + 0.561 exp(-0.83 v) / v to 3 %, exp by way of tanh.
    let t = tanh(machine, 0.5 * 0.83 * v.min(15.0));
    let decay = (1.0 - t) / (1.0 + t);
    (wiener * wiener * (1.0 + 0.561 * decay / v)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::vector::Any;
    use super::*;

    fn run(estimator: &mut Estimator, power: f32) -> f32 {
        let mut lines = [power];
        estimator.run(Any, &mut lines);
        lines[0]
    }

    #[test]
    fn steady_noise_goes_to_the_floor_and_speech_above_it_stays() {
        let mut estimator = Estimator::new(1);
        let noise: Vec<f32> = (0..200).map(|_| run(&mut estimator, 100.0)).collect();
        assert!((noise[199] - FLOOR).abs() < 0.05, "{}", noise[199]);
        let speech: Vec<f32> = (0..10).map(|_| run(&mut estimator, 1e5)).collect();
        assert!(speech[0] > 0.9 && speech[9] > 0.99, "{speech:?}");
        let after: Vec<f32> = (0..5).map(|_| run(&mut estimator, 100.0)).collect();
        assert!(after[4] < 0.5, "{after:?}");
    }

    #[test]
    fn louder_noise_is_noise_after_a_while() {
        let mut estimator = Estimator::new(1);
        (0..100).for_each(|_| {
            run(&mut estimator, 100.0);
        });
        let after = (0..300).map(|_| run(&mut estimator, 10_000.0)).last();
        assert!(after < Some(0.3), "{after:?}");
    }
}
