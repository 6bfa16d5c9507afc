//! Music from a WAV file of any rate, mixed down to one channel.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use hound::{SampleFormat, WavReader};
use media::player::{MUSIC_SECONDS_MAX, Music};

/// A file whose header has been read and makes sense.
pub(crate) struct Recording {
    reader: WavReader<BufReader<File>>,
}

/// Highest sample rate taken, hertz.
const RATE_MAX: u32 = 384_000;

impl Recording {
    pub(crate) fn open(path: &Path) -> Result<Self, hound::Error> {
        let reader = WavReader::open(path)?;
        let spec = reader.spec();
        let usable = spec.channels > 0 && (1..=RATE_MAX).contains(&spec.sample_rate);
        if usable { Ok(Self { reader }) } else { Err(hound::Error::Unsupported) }
    }

    /// Reads and encodes it. What is broken or too long is left out.
    pub(crate) fn load(mut self) -> Music {
        let spec = self.reader.spec();
        let channels = usize::from(spec.channels);
        let most = MUSIC_SECONDS_MAX * spec.sample_rate as usize * channels;
        let samples: Vec<f32> = match spec.sample_format {
            SampleFormat::Float => {
                self.reader.samples::<f32>().take(most).map_while(Result::ok).collect()
            }
            SampleFormat::Int => {
                let scale = 1.0 / (1i64 << (spec.bits_per_sample.clamp(1, 32) - 1)) as f32;
                let samples = self.reader.samples::<i32>().take(most).map_while(Result::ok);
                samples.map(|sample| sample as f32 * scale).collect()
            }
        };
        let mono: Vec<i16> = samples
            .chunks_exact(channels)
            .map(|frame| frame.iter().sum::<f32>() / channels as f32)
            .map(|sample| (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i16)
            .collect();
        if mono.is_empty() {
            tracing::warn!("the music on hold is empty: silence is played");
        }
        Music::from_pcm(&mono, spec.sample_rate)
    }
}

#[cfg(test)]
mod tests {
    use hound::{WavSpec, WavWriter};
    use media::command::Codec;

    use super::*;

    fn write(name: &str, spec: WavSpec, full_scale: f64) -> std::path::PathBuf {
        let file = format!("hookflash-{}-{name}.wav", std::process::id());
        let path = std::env::temp_dir().join(file);
        let mut writer = WavWriter::create(&path, spec).unwrap();
        for _ in 0..spec.sample_rate / 10 * u32::from(spec.channels) {
            match spec.sample_format {
                SampleFormat::Float => writer.write_sample(0.5f32).unwrap(),
                SampleFormat::Int => writer.write_sample((0.5 * full_scale) as i32).unwrap(),
            }
        }
        writer.finalize().unwrap();
        path
    }

    #[test]
    fn half_of_full_scale_is_that_in_every_format() {
        let int = |bits_per_sample, channels, sample_rate| WavSpec {
            channels,
            sample_rate,
            bits_per_sample,
            sample_format: SampleFormat::Int,
        };
        let float = WavSpec { sample_format: SampleFormat::Float, ..int(32, 2, 48_000) };
        for (name, spec) in [
            ("8", int(8, 1, 8000)),
            ("16", int(16, 2, 44_100)),
            ("24", int(24, 1, 16_000)),
            ("32", int(32, 1, 22_050)),
            ("float", float),
        ] {
            let path = write(name, spec, 2f64.powi(i32::from(spec.bits_per_sample) - 1));
            let music = Recording::open(&path).unwrap().load();
            assert_eq!(music.frames(), 5, "{name}");
            let middle = music.frame(Codec::L16, 2).unwrap();
            let sample = i16::from_be_bytes([middle[80], middle[81]]);
            assert!((sample - 16_384).abs() < 150, "{name}: {sample}");
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        assert!(Recording::open(Path::new("/dev/null")).is_err());
        assert!(Recording::open(Path::new("/nonexistent")).is_err());
    }
}
