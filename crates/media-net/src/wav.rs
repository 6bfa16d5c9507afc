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
