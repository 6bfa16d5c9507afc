//! WAV files in and out: any rate and width to 8 kHz mono, and the test tone.

use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

/// Samples a second of all audio in this module.
pub(crate) const RATE: u32 = 8000;
/// Longest file that is played or recorded.
pub(crate) const SECONDS_MAX: usize = 3600;
/// Half the length of the resampling filter, in zero crossings.
const ZERO_CROSSINGS: f64 = 16.0;

/// A file's samples at 8 kHz, its channels averaged.
pub(crate) fn load(path: &Path) -> Result<Vec<i16>, String> {
    let named = |error: hound::Error| format!("{}: {error}", path.display());
    let mut reader = WavReader::open(path).map_err(named)?;
    let spec = reader.spec();
    if spec.channels == 0 || !(1000..=384_000).contains(&spec.sample_rate) {
        return Err(format!("{}: {} Hz is no rate of audio", path.display(), spec.sample_rate));
    }
    let limit = SECONDS_MAX * spec.sample_rate as usize * usize::from(spec.channels);
    let samples: Vec<f64> = match spec.sample_format {
        SampleFormat::Float => reader
            .samples::<f32>()
            .take(limit)
            .map(|sample| sample.map(f64::from))
            .collect::<Result<_, _>>()
            .map_err(named)?,
        SampleFormat::Int => {
            let full_scale = f64::from(1u32 << (spec.bits_per_sample.clamp(1, 32) - 1));
            reader
                .samples::<i32>()
                .take(limit)
                .map(|sample| sample.map(|sample| f64::from(sample) / full_scale))
                .collect::<Result<_, _>>()
                .map_err(named)?
        }
    };
    let channels = usize::from(spec.channels);
    let mono: Vec<f64> = samples
        .chunks_exact(channels)
        .map(|all| all.iter().sum::<f64>() / channels as f64)
        .collect();
    Ok(resample(&mono, spec.sample_rate))
}

/// Windowed-sinc resampling to 8 kHz, low-passed below the smaller Nyquist frequency.
fn resample(samples: &[f64], rate: u32) -> Vec<i16> {
    if rate == RATE {
        return samples.iter().map(|&sample| quantize(sample)).collect();
    }
    let step = f64::from(rate) / f64::from(RATE);
    let cutoff = (1.0 / step).min(1.0);
    let half = ZERO_CROSSINGS / cutoff;
    let count = (samples.len() as f64 / step) as usize;
    let output = |n: usize| {
        let centre = n as f64 * step;
        let first = (centre - half).ceil().max(0.0) as usize;
        let last = ((centre + half).floor() as usize).min(samples.len().saturating_sub(1));
        let mut sum = 0.0;
        for (at, sample) in samples.iter().enumerate().take(last + 1).skip(first) {
            let distance = at as f64 - centre;
            let window = 0.5 + 0.5 * (std::f64::consts::PI * distance / half).cos();
            sum += sample * cutoff * sinc(cutoff * distance) * window;
        }
        quantize(sum)
    };
    (0..count).map(output).collect()
}

fn sinc(x: f64) -> f64 {
    let x = std::f64::consts::PI * x;
    if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
}

fn quantize(sample: f64) -> i16 {
    // In range after the clamp; a NaN of a float file becomes silence.
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

/// A tone of −12 dBFS (peak) that is told from silence and noise: one whole second, to be repeated.
pub(crate) fn tone(hertz: f64) -> Vec<i16> {
    // Whole periods a second, so that the repetition has no click.
    let hertz = hertz.round().clamp(1.0, 3400.0);
    let sample = |n: u32| {
        let phase = std::f64::consts::TAU * hertz * f64::from(n) / f64::from(RATE);
        quantize(0.25 * phase.sin())
    };
    (0..RATE).map(sample).collect()
}

/// Writes 8 kHz mono, 16 bits.
pub(crate) fn save(path: &Path, samples: &[i16]) -> Result<(), String> {
    let named = |error: hound::Error| format!("{}: {error}", path.display());
    let spec = WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::create(path, spec).map_err(named)?;
    for &sample in samples {
        writer.write_sample(sample).map_err(named)?;
    }
    writer.finalize().map_err(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ua::heard::Level;

    fn sine(hertz: f64, rate: u32, seconds: f64) -> Vec<f64> {
        let count = (f64::from(rate) * seconds) as u32;
        let sample =
            |n: u32| 0.5 * (std::f64::consts::TAU * hertz * f64::from(n) / f64::from(rate)).sin();
        (0..count).map(sample).collect()
    }

    #[test]
    fn every_rate_becomes_8_khz_with_the_same_tone_and_level() {
        for rate in [8000, 11_025, 16_000, 44_100, 48_000] {
            let out = resample(&sine(1000.0, rate, 1.0), rate);
            assert!((7995..=8000).contains(&out.len()), "{rate}: {}", out.len());
            let level = Level::of(&out[400..7600]);
            assert!((level.frequency_hz - 1000.0).abs() < 2.0, "{rate}: {level:?}");
            assert!((level.rms_dbfs + 9.03).abs() < 0.1, "{rate}: {level:?}");
        }
    }

    #[test]
    fn what_8_khz_cannot_carry_is_removed() {
        let out = resample(&sine(6000.0, 48_000, 0.5), 48_000);
        assert!(Level::of(&out[400..3600]).rms_dbfs < -50.0);
    }

    #[test]
    fn a_stereo_file_is_averaged_and_a_recording_reads_back() {
        let path = std::env::temp_dir().join(format!("hookflash-wav-{}.wav", std::process::id()));
        let spec = WavSpec {
            channels: 2,
            sample_rate: 8000,
            bits_per_sample: 24,
            sample_format: SampleFormat::Int,
        };
        let mut writer = WavWriter::create(&path, spec).unwrap();
        for _ in 0..100 {
            writer.write_sample(1 << 22).unwrap();
            writer.write_sample(0).unwrap();
        }
        writer.finalize().unwrap();
        assert_eq!(load(&path).unwrap(), vec![8192; 100]);
        save(&path, &[1, -2, 3]).unwrap();
        assert_eq!(load(&path).unwrap(), [1, -2, 3]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_missing_file_is_named() {
        assert!(load(Path::new("/nonexistent.wav")).unwrap_err().starts_with("/nonexistent.wav"));
    }
}
