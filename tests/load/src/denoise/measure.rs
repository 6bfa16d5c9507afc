//! What noise removal does to speech, measured against the clean speech.

use super::pesq::Score;
use super::stoi::stoi;

/// A frame of the segmentation, milliseconds.
const FRAME_MS: usize = 10;
/// Speech is what is less than this below its own loudest 10 ms, dB.
const SPEECH_DB: f64 = 40.0;
/// A pause is at least this long; its first part is left to the end of the words, milliseconds.
const PAUSE_MS: usize = 300;
const TAIL_MS: usize = 100;
/// The beginning of speech, milliseconds.
const ONSET_MS: usize = 60;
/// Mean square of a sample that counts as silence, −70 dBov: one step of the µ-law around 0.
const IDLE: f64 = 108.0;

/// What was measured of one item, or the mean of many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measures {
    /// ITU-T P.862; 0 where it is not measured.
    pub pesq: Score,
    /// Scale-invariant ratio of signal to distortion, dB.
    pub si_sdr_db: f64,
    /// Short-time objective intelligibility, 0 to 1.
    pub stoi: f64,
    /// Change of the level in pauses of the speech, dB: the mean over frames of 10 ms, as ITU-T
    /// G.160 Appendix II has it, none below the noise of an idle channel.
    pub pauses_db: f64,
    /// Change of the power of all pauses together, dB: what is loudest in them.
    pub pauses_power_db: f64,
    /// What the first 60 ms of speech lose, dB.
    pub onset_loss_db: f64,
}

impl Measures {
    /// Of `heard`, which came of `noisy`, in which there is `said`, all at the same time.
    pub fn of(said: &[f64], noisy: &[f64], heard: &[f64], rate_hz: usize) -> Self {
        let speech = speech_frames(said, rate_hz);
        let frame = FRAME_MS * rate_hz / 1000;
        let (before, after) =
            (pause_powers(noisy, &speech, frame), pause_powers(heard, &speech, frame));
        let db = |power: f64| 10.0 * power.log10();
        let levels = |of: &[f64]| of.iter().map(|power| db(power.max(IDLE))).sum::<f64>();
        let sum = |of: &[f64]| of.iter().sum::<f64>().max(1e-9);
        Self {
            pesq: Score::default(),
            si_sdr_db: si_sdr(said, heard),
            stoi: stoi(said, heard, rate_hz),
            pauses_db: (levels(&after) - levels(&before)) / before.len().max(1) as f64,
            pauses_power_db: db(sum(&after) / sum(&before)),
            onset_loss_db: onset_loss(said, heard, &speech, frame),
        }
    }

    /// The mean over items.
    pub fn mean(items: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| items.iter().map(of).sum::<f64>() / items.len() as f64;
        let pesq =
            Score { raw: mean(|item| item.pesq.raw), mos_lqo: mean(|item| item.pesq.mos_lqo) };
        Self {
            pesq,
            si_sdr_db: mean(|item| item.si_sdr_db),
            stoi: mean(|item| item.stoi),
            pauses_db: mean(|item| item.pauses_db),
            pauses_power_db: mean(|item| item.pauses_power_db),
            onset_loss_db: mean(|item| item.onset_loss_db),
        }
    }
}

/// Which frames have speech.
pub fn speech_frames(said: &[f64], rate_hz: usize) -> Vec<bool> {
    let frames = said.chunks_exact(FRAME_MS * rate_hz / 1000);
    let powers: Vec<f64> = frames.map(|frame| frame.iter().map(|x| x * x).sum()).collect();
    let least = powers.iter().copied().fold(0.0, f64::max) * 10.0_f64.powf(-SPEECH_DB / 10.0);
    powers.iter().map(|power| *power > least).collect()
}

/// The mean square of each frame of pauses.
fn pause_powers(of: &[f64], speech: &[bool], frame: usize) -> Vec<f64> {
    let power = |at: usize| of[at * frame..(at + 1) * frame].iter().map(|x| x * x).sum::<f64>();
    pauses(speech).into_iter().map(|at| power(at) / frame as f64).collect()
}

/// The frames of pauses, without the beginning of each.
fn pauses(speech: &[bool]) -> Vec<usize> {
    let mut frames = Vec::new();
    let mut at = 0;
    for run in speech.chunk_by(|a, b| a == b) {
        if !run[0] && run.len() * FRAME_MS >= PAUSE_MS {
            // The last two frames are where the windows already see the next word.
            frames.extend(at + TAIL_MS / FRAME_MS..at + run.len() - 2);
        }
        at += run.len();
    }
    frames
}

/// What of the speech is missing right after pauses: by its projection on what is heard.
fn onset_loss(said: &[f64], heard: &[f64], speech: &[bool], frame: usize) -> f64 {
    let (mut product, mut power) = (0.0, 0.0);
    let mut at = 0;
    for runs in speech.chunk_by(|a, b| a == b).collect::<Vec<_>>().windows(2) {
        at += runs[0].len();
        if !runs[0][0] && runs[0].len() * FRAME_MS >= PAUSE_MS {
            let range = at * frame..(at + ONSET_MS / FRAME_MS) * frame;
            let range = range.start..range.end.min(said.len());
            let (said, heard) = (&said[range.clone()], &heard[range]);
            product += said.iter().zip(heard).map(|(a, b)| a * b).sum::<f64>();
            power += said.iter().map(|x| x * x).sum::<f64>();
        }
    }
    -20.0 * (product.max(1e-9) / power.max(1e-9)).log10()
}

/// Scale-invariant ratio of signal to distortion, dB.
fn si_sdr(said: &[f64], heard: &[f64]) -> f64 {
    let product: f64 = said.iter().zip(heard).map(|(a, b)| a * b).sum();
    let scale = product / said.iter().map(|x| x * x).sum::<f64>().max(1e-9);
    let (mut signal, mut rest) = (0.0, 0.0);
    for (a, b) in said.iter().zip(heard) {
        signal += (scale * a).powi(2);
        rest += (scale * a - b).powi(2);
    }
    10.0 * (signal.max(1e-9) / rest.max(1e-9)).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of silence, a second of a tone, twice.
    fn tone_and_pauses() -> Vec<f64> {
        let sample = |n: usize| (n as f64 * 0.4).sin() * 1000.0;
        (0..32_000).map(|n| if n / 8000 % 2 == 1 { sample(n) } else { 0.0 }).collect()
    }

    #[test]
    fn what_is_left_in_pauses_and_what_onsets_lose_is_seen() {
        let said = tone_and_pauses();
        let noisy: Vec<f64> =
            said.iter().enumerate().map(|(n, x)| x + 200.0 * (n % 2) as f64).collect();
        let heard: Vec<f64> =
            (0..said.len())
                .map(|n| {
                    if n % 8000 < 480 && n / 8000 % 2 == 1 {
                        0.5 * noisy[n]
                    } else {
                        0.1 * noisy[n]
                    }
                })
                .collect();
        let measures = Measures::of(&said, &noisy, &heard, 8000);
        assert!((measures.pauses_power_db + 20.0).abs() < 0.5, "{measures:?}");
        assert!((measures.pauses_db + 20.0).abs() < 0.5, "{measures:?}");
        assert!((measures.onset_loss_db - 6.02).abs() < 0.3, "{measures:?}");
    }

    #[test]
    fn what_is_below_an_idle_channel_does_not_count() {
        let said = tone_and_pauses();
        let noisy: Vec<f64> = (0..said.len()).map(|n| 200.0 * (n % 2) as f64).collect();
        let measures = Measures::of(&said, &noisy, &vec![0.0; said.len()], 8000);
        let most = 10.0 * (IDLE / 20_000.0).log10();
        assert!((measures.pauses_db - most).abs() < 1e-6, "{measures:?}");
    }

    #[test]
    fn a_known_ratio_is_measured() {
        let said: Vec<f64> = (0..8000).map(|n| (n as f64 * 0.3).sin()).collect();
        let heard: Vec<f64> =
            (0..8000).map(|n| 2.0 * said[n] + 0.2 * (n as f64 * 1.7).sin()).collect();
        assert!((si_sdr(&said, &heard) - 20.0).abs() < 0.1);
    }
}
