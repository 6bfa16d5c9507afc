//! What of each line is speech: a light suppressor around the network. Steady noise goes down
//! before the network listens, so that it hears speech as clean as in its training; what it says
//! of a band then tells where there may be speech, so that noise is tracked, and taken out, line by
//! line between the harmonics that a band has together.
//!
//! Gains have the minimum mean-square error of the log spectrum (Ephraim and Malah, 1985), noise is
//! tracked by the presence of speech (Gerkmann and Hendriks, 2012).

use super::vector::{Machine, tanh};

/// Least gain of a line: -15 dB. Deeper, and speech loses more than the network gains.
const FLOOR: f32 = 0.178;
/// Signal to noise ratio of a line in which there is speech, assumed for its presence: 15 dB.
const SPEECH: f32 = 31.6;
/// How probable speech in a line is before it is looked at, at least and at most. The network
/// decides between them by the gain of the band: where it says noise, a loud line may be speech.
const PRIOR: (f32, f32) = (0.5, 0.99);
/// Share of the noise that stays from frame to frame.
const NOISE_KEPT: f32 = 0.85;
/// Least share of a line that is noise if the network says so: else louder noise would never be.
/// It falls with the 4th power of what else the network says.
const DOUBT: f32 = 0.05;
/// Share of the last frame's speech in what is assumed of this one's. More of it is smoother
/// and late at the beginning of words.
const SPEECH_KEPT: f32 = 0.7;
/// The same where a word begins.
const SPEECH_KEPT_AT_ONSET: f32 = 0.4;
/// The same for what the network hears, which is not heard by anybody else.
const SPEECH_KEPT_BEFORE: f32 = 0.9;
/// A frame with so many times the power of the noise is not noise alone: 1.8 dB. A frame of steady noise
/// is within 1 dB, and speech as loud as the noise makes it 3.
const LOUDER: f32 = 1.5;
/// Least noise of a line: far below one step of any codec.
const LEAST: f32 = 1e-4;
/// Lines that are looked at, those of the network's bands but the last, up to 15 kHz. Up to 8 kHz
/// was too few: the network took the noise that it heard above them for consonants.
const LINES_MAX: usize = 313;
/// Frames at the beginning that count as noise.
const FIRST: u8 = 4;

/// What is known of each line of one stream.
#[derive(Clone, Debug)]
pub(super) struct Estimator {
    /// Power of the noise.
    noise: Box<[f32]>,
    /// Power of the speech in the last frame.
    speech: Box<[f32]>,
    frames: u8,
}

impl Estimator {
    pub(super) fn new(lines: usize) -> Self {
        let zero = || vec![0.0; lines.min(LINES_MAX)].into();
        Self { noise: zero(), speech: zero(), frames: 0 }
    }

    /// Power of all noise.
    pub(super) fn noise(&self) -> f32 {
        self.noise.iter().sum()
    }

    /// Whether there is more in the lines of a frame than noise alone would be.
    pub(super) fn is_louder(&self, powers: &[f32]) -> bool {
        powers.iter().take(self.noise.len()).sum::<f32>() > LOUDER * self.noise()
    }

    /// The gains of the lines of a frame to come, for the network to hear speech in.
    #[inline(always)]
    pub(super) fn before(&self, machine: impl Machine, powers: &[f32], gains: &mut [f32]) {
        let known = self.noise.iter().zip(&self.speech);
        for ((power, gained), (noise, speech)) in powers.iter().zip(&mut *gains).zip(known) {
            let noise = noise.max(LEAST);
            *gained = gain(machine, *power, noise, *speech, SPEECH_KEPT_BEFORE).sqrt();
        }
        gains[self.noise.len()..].fill(1.0);
    }

    /// The gains of the lines of this frame; `voice` is what the network lets of them through,
    /// `begins` whether a word begins in it.
    #[inline(always)]
    pub(super) fn after(
        &mut self,
        machine: impl Machine,
        powers: &[f32],
        voice: &[f32],
        begins: bool,
        gains: &mut [f32],
    ) {
        let kept = if begins { SPEECH_KEPT_AT_ONSET } else { SPEECH_KEPT };
        if self.frames < FIRST {
            self.begin(powers);
        }
        gains[self.noise.len()..].fill(1.0);
        let known = self.noise.iter_mut().zip(&mut self.speech);
        let lines = powers.iter().zip(voice).zip(gains);
        for (((power, voice), gained), (noise, speech)) in lines.zip(known) {
            track(machine, *power, *voice, noise);
            let square = gain(machine, *power, *noise, *speech, kept);
            *speech = square * power;
            *gained = square.sqrt();
        }
    }

    /// The first frames: their mean is the noise.
    fn begin(&mut self, powers: &[f32]) {
        let share = 1.0 / f32::from(self.frames + 1);
        for (noise, power) in self.noise.iter_mut().zip(powers) {
            *noise = (*noise + share * (power - *noise)).max(LEAST);
        }
        self.frames += 1;
    }
}

/// Follows the noise of a line, as far as it is not speech.
#[inline(always)]
fn track(machine: impl Machine, power: f32, voice: f32, noise: &mut f32) {
    let prior = voice.clamp(PRIOR.0, PRIOR.1);
    let against = (1.0 - prior) / prior * (1.0 + SPEECH);
    let ratio = SPEECH / (1.0 + SPEECH) * power / *noise;
    let presence = 1.0 / (1.0 + against * decay(machine, ratio));
    let doubt = (1.0 - voice) * (1.0 - voice);
    let presence = presence.min(1.0 - DOUBT * doubt * doubt);
    let seen = machine.mul_add(presence, *noise - power, power);
    *noise = machine.mul_add(NOISE_KEPT, *noise - seen, seen).max(LEAST);
}

/// The squared gain of a line with so much power, noise, and speech in the frame before.
#[inline(always)]
fn gain(machine: impl Machine, power: f32, noise: f32, speech: f32, kept: f32) -> f32 {
    let ratio = (power / noise).min(1000.0);
    let assumed = kept * speech / noise + (1.0 - kept) * (ratio - 1.0).max(0.0);
    let assumed = assumed.max(0.003);
    let wiener = assumed / (1.0 + assumed);
    let v = (wiener * ratio).max(1e-4);
    // exp(E1(v)) = 1 + 0.561 exp(-0.83 v) / v to 3 %.
    let square = wiener * wiener * (1.0 + 0.561 * decay(machine, 0.83 * v) / v);
    square.clamp(FLOOR * FLOOR, 1.0)
}

/// exp(-x) by way of tanh, for x from 0; no less than that of 12.5.
#[inline(always)]
fn decay(machine: impl Machine, x: f32) -> f32 {
    let t = tanh(machine, 0.5 * x.min(12.5));
    (1.0 - t) / (1.0 + t)
}

#[cfg(test)]
mod tests {
    use super::super::vector::Any;
    use super::*;

    /// The gain of a line that the network lets through by `voice`.
    fn run(estimator: &mut Estimator, power: f32, voice: f32) -> f32 {
        let mut gains = [0.0];
        estimator.after(Any, &[power], &[voice], false, &mut gains);
        gains[0]
    }

    fn run_before(estimator: &Estimator, power: f32) -> f32 {
        let mut gains = [0.0];
        estimator.before(Any, &[power], &mut gains);
        gains[0]
    }

    #[test]
    fn steady_noise_goes_to_the_floor_and_speech_above_it_stays() {
        let mut estimator = Estimator::new(1);
        let noise: Vec<f32> = (0..200).map(|_| run(&mut estimator, 100.0, 0.1)).collect();
        assert!((noise[199] - FLOOR).abs() < 0.05, "{}", noise[199]);
        assert!((run_before(&estimator, 100.0) - FLOOR).abs() < 0.05);
        assert!(run_before(&estimator, 1e5) > 0.9, "the network hears speech at once");
        let speech: Vec<f32> = (0..10).map(|_| run(&mut estimator, 1e5, 0.9)).collect();
        assert!(speech[0] > 0.9 && speech[9] > 0.99, "{speech:?}");
        let after: Vec<f32> = (0..5).map(|_| run(&mut estimator, 100.0, 0.3)).collect();
        assert!(after[4] < 0.5, "{after:?}");
    }

    #[test]
    fn a_second_of_speech_is_no_noise() {
        let mut estimator = Estimator::new(1);
        (0..100).for_each(|_| {
            run(&mut estimator, 100.0, 0.1);
        });
        let last = (0..100).map(|_| run(&mut estimator, 10_000.0, 0.9)).last();
        assert!(last > Some(0.95), "{last:?}");
    }

    #[test]
    fn louder_noise_is_noise_after_a_while() {
        let mut estimator = Estimator::new(1);
        (0..100).for_each(|_| {
            run(&mut estimator, 100.0, 0.1);
        });
        let after = (0..300).map(|_| run(&mut estimator, 10_000.0, 0.1)).last();
        assert!(after < Some(0.3), "{after:?}");
    }
}
