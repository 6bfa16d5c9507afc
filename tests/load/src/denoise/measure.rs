//! What noise removal does to speech, measured against the clean speech.

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

/// What was measured of one item, or the mean of many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measures {
    /// Scale-invariant ratio of signal to distortion, dB.
    pub si_sdr_db: f64,
    /// Short-time objective intelligibility, 0 to 1.
    pub stoi: f64,
    /// Change of the power in pauses of the speech, dB.
    pub pauses_db: f64,
    /// What the first 60 ms of speech lose, dB.
    pub onset_loss_db: f64,
}

impl Measures {
    /// Of `heard`, which came of `noisy`, in which there is `said`, all at the same time.
    pub fn of(said: &[f64], noisy: &[f64], heard: &[f64], rate_hz: usize) -> Self {
        let speech = speech(said, rate_hz);
        let frame = FRAME_MS * rate_hz / 1000;
        let power = |of: &[f64]| -> f64 {
            let frames = pauses(&speech);
            let frames = frames.iter().flat_map(|at| &of[at * frame..(at + 1) * frame]);
            frames.map(|x| x * x).sum::<f64>().max(1e-9)
        };
        Self {
            si_sdr_db: si_sdr(said, heard),
            stoi: stoi(said, heard, rate_hz),
            pauses_db: 10.0 * (power(heard) / power(noisy)).log10(),
            onset_loss_db: onset_loss(said, heard, &speech, frame),
        }
    }

    /// The mean over items.
    pub fn mean(items: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| items.iter().map(of).sum::<f64>() / items.len() as f64;
        Self {
            si_sdr_db: mean(|item| item.si_sdr_db),
            stoi: mean(|item| item.stoi),
            pauses_db: mean(|item| item.pauses_db),
            onset_loss_db: mean(|item| item.onset_loss_db),
        }
    }
}

/// The samples of `said` in which there is speech, as whole signals' root mean square over them.
pub fn speech_level(said: &[f64], rate_hz: usize) -> f64 {
    let frame = FRAME_MS * rate_hz / 1000;
    let speech = speech(said, rate_hz);
    let frames = said.chunks_exact(frame).zip(&speech).filter(|(_, speech)| **speech);
    let (sum, count) = frames.fold((0.0, 0), |(sum, count), (samples, _)| {
        (sum + samples.iter().map(|x| x * x).sum::<f64>(), count + frame)
    });
    (sum / f64::from(count.max(1) as u32)).sqrt()
}

/// Which frames have speech.
fn speech(said: &[f64], rate_hz: usize) -> Vec<bool> {
    let frames = said.chunks_exact(FRAME_MS * rate_hz / 1000);
    let powers: Vec<f64> = frames.map(|frame| frame.iter().map(|x| x * x).sum()).collect();
    let least = powers.iter().copied().fold(0.0, f64::max) * 10.0_f64.powf(-SPEECH_DB / 10.0);
    powers.iter().map(|power| *power > least).collect()
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
        let noisy: Vec<f64> = said.iter().enumerate().map(|(n, x)| x + (n % 2) as f64).collect();
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
        assert!((measures.pauses_db + 20.0).abs() < 0.5, "{measures:?}");
        assert!((measures.onset_loss_db - 6.02).abs() < 0.1, "{measures:?}");
    }

    #[test]
    fn a_known_ratio_is_measured() {
        let said: Vec<f64> = (0..8000).map(|n| (n as f64 * 0.3).sin()).collect();
        let heard: Vec<f64> =
            (0..8000).map(|n| 2.0 * said[n] + 0.2 * (n as f64 * 1.7).sin()).collect();
        assert!((si_sdr(&said, &heard) - 20.0).abs() < 0.1);
    }
}
