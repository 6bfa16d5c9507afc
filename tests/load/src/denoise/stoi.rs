//! Short-time objective intelligibility (Taal, Hendriks, Heusdens, Jensen, 2011).

use realfft::RealFftPlanner;

use super::rational::resample;

/// Rate that it is defined at, hertz.
const RATE_HZ: usize = 10_000;
const FRAME: usize = 256;
const STEP: usize = FRAME / 2;
const TRANSFORM: usize = 512;
const BANDS: usize = 15;
/// Centre of the lowest third of an octave, hertz.
const LOWEST_HZ: f64 = 150.0;
/// Frames that are compared at a time: 384 ms.
const SEGMENT: usize = 30;
/// Frames this far below the loudest are left out, dB.
const RANGE_DB: f64 = 40.0;
/// Lower bound of the signal-to-distortion ratio of a sample, dB.
const CLIP_DB: f64 = -15.0;

/// How intelligible `heard` is, from `said` at the same time: about 0 to 1.
pub fn stoi(said: &[f64], heard: &[f64], rate_hz: usize) -> f64 {
    let (said, heard) = (resample(said, rate_hz, RATE_HZ), resample(heard, rate_hz, RATE_HZ));
    let (said, heard) = without_silence(&said, &heard);
    let (said, heard) = (bands(&said), bands(&heard));
    let segments = said.len().saturating_sub(SEGMENT - 1);
    if segments == 0 {
        return 0.0;
    }
    let mut sum = 0.0;
    for start in 0..segments {
        for band in 0..BANDS {
            let row = |of: &[[f64; BANDS]]| -> Vec<f64> {
                of[start..start + SEGMENT].iter().map(|frame| frame[band]).collect()
            };
            sum += likeness(&row(&said), &row(&heard));
        }
    }
    sum / (segments * BANDS) as f64
}

fn window() -> Vec<f64> {
    let angle = |n: usize| 2.0 * std::f64::consts::PI * (n + 1) as f64 / (FRAME + 1) as f64;
    (0..FRAME).map(|n| 0.5 - 0.5 * angle(n).cos()).collect()
}

/// Leaves out the frames in which nothing is said, and adds the others up again.
fn without_silence(said: &[f64], heard: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let window = window();
    let frames = |of: &[f64]| -> Vec<Vec<f64>> {
        let starts = (0..of.len().saturating_sub(FRAME)).step_by(STEP);
        starts.map(|at| of[at..].iter().zip(&window).map(|(x, w)| x * w).collect()).collect()
    };
    let (said, heard) = (frames(said), frames(heard));
    let level =
        |frame: &Vec<f64>| 10.0 * frame.iter().map(|x| x * x).sum::<f64>().max(1e-20).log10();
    let levels: Vec<f64> = said.iter().map(level).collect();
    let least = levels.iter().copied().fold(f64::MIN, f64::max) - RANGE_DB;
    let add = |frames: Vec<Vec<f64>>| {
        let kept: Vec<_> =
            frames.iter().zip(&levels).filter(|(_, level)| **level > least).collect();
        let mut sum = vec![0.0; (kept.len() + 1) * STEP];
        for (n, (frame, _)) in kept.into_iter().enumerate() {
            sum[n * STEP..].iter_mut().zip(frame).for_each(|(y, x)| *y += x);
        }
        sum
    };
    (add(said), add(heard))
}

/// The amplitude of each third of an octave in each frame.
fn bands(samples: &[f64]) -> Vec<[f64; BANDS]> {
    let window = window();
    let transform = RealFftPlanner::<f64>::new().plan_fft_forward(TRANSFORM);
    let line = |hz: f64| (hz * TRANSFORM as f64 / RATE_HZ as f64).round() as usize;
    let edges = |band: usize| {
        let third = |n: f64| LOWEST_HZ * 2.0_f64.powf(n / 6.0);
        line(third(2.0 * band as f64 - 1.0))..line(third(2.0 * band as f64 + 1.0))
    };
    let starts = (0..samples.len().saturating_sub(FRAME)).step_by(STEP);
    let frame = |at: usize| {
        let mut input = vec![0.0; TRANSFORM];
        let windowed = samples[at..].iter().zip(&window).map(|(x, w)| x * w);
        input.iter_mut().zip(windowed).for_each(|(y, x)| *y = x);
        let mut spectrum = transform.make_output_vec();
        transform.process(&mut input, &mut spectrum).expect("the lengths are those of the plan");
        std::array::from_fn(|band| {
            spectrum[edges(band)].iter().map(|x| x.norm_sqr()).sum::<f64>().sqrt()
        })
    };
    starts.map(frame).collect()
}

/// The correlation of what is heard with what was said, in one band over one segment.
fn likeness(said: &[f64], heard: &[f64]) -> f64 {
    let norm = |of: &[f64]| of.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scale = norm(said) / (norm(heard) + f64::EPSILON);
    let clip = 1.0 + 10.0_f64.powf(-CLIP_DB / 20.0);
    let heard: Vec<f64> = heard.iter().zip(said).map(|(y, x)| (y * scale).min(x * clip)).collect();
    let centred = |of: &[f64]| -> Vec<f64> {
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        of.iter().map(|x| x - mean).collect()
    };
    let (said, heard) = (centred(said), centred(&heard));
    let product: f64 = said.iter().zip(&heard).map(|(a, b)| a * b).sum();
    product / (norm(&said) * norm(&heard) + f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something with the rhythm of speech, and noise.
    fn signals(noise: f64) -> (Vec<f64>, Vec<f64>) {
        let mut rng = base::Rng::from_u64(1);
        let mut random = || rng.below(2001) as f64 / 1000.0 - 1.0;
        let said: Vec<f64> = (0..24_000)
            .map(|n| {
                let time = n as f64 / 8000.0;
                let loud = (7.0 * time).sin().max(0.0) + 0.3 * (23.0 * time).sin().max(0.0);
                loud * random() + 0.5 * loud * (2000.0 * time).sin()
            })
            .collect();
        let heard = said.iter().map(|x| x + noise * random()).collect();
        (said, heard)
    }

    #[test]
    fn more_noise_is_less_intelligible() {
        let [none, some, much] = [0.0, 0.3, 3.0].map(|noise| {
            let (said, heard) = signals(noise);
            stoi(&said, &heard, 8000)
        });
        assert!(none > 0.999 && none > some && some > much + 0.1, "{none} {some} {much}");
    }

    #[test]
    fn loudness_does_not_count() {
        let (said, heard) = signals(0.5);
        let louder: Vec<f64> = heard.iter().map(|x| 3.0 * x).collect();
        assert!((stoi(&said, &heard, 8000) - stoi(&said, &louder, 8000)).abs() < 1e-9);
    }
}
