//! WAV files in and out: any rate and width to 8 kHz mono, and the test tone.

use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use media::resample::resample;

/// Samples a second of all audio in this module.
pub(crate) const RATE: u32 = 8000;
/// Longest file that is played or recorded.
pub(crate) const SECONDS_MAX: usize = 3600;

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
    let average = |all: &[f64]| quantize(all.iter().sum::<f64>() / channels as f64);
    let mono: Vec<i16> = samples.chunks_exact(channels).map(average).collect();
    Ok(resample(&mono, spec.sample_rate, RATE))
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
    fn a_file_of_another_rate_keeps_its_pitch_and_level() {
        let path = std::env::temp_dir().join(format!("hookflash-rate-{}.wav", std::process::id()));
        let spec = WavSpec {
            channels: 1,
            sample_rate: 44_100,
            bits_per_sample: 32,
            sample_format: SampleFormat::Float,
        };
        let mut writer = WavWriter::create(&path, spec).unwrap();
        for n in 0..44_100u16 {
            let phase = std::f32::consts::TAU * 1000.0 * f32::from(n) / 44_100.0;
            writer.write_sample(0.5 * phase.sin()).unwrap();
        }
        writer.finalize().unwrap();
        let samples = load(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(samples.len(), 8000);
        let level = crate::ua::heard::Level::of(&samples[400..7600]);
        assert!((level.frequency_hz - 1000.0).abs() < 2.0, "{level:?}");
        assert!((level.rms_dbfs + 9.03).abs() < 0.1, "{level:?}");
    }

    #[test]
    fn a_missing_file_is_named() {
        assert!(load(Path::new("/nonexistent.wav")).unwrap_err().starts_with("/nonexistent.wav"));
    }
}
