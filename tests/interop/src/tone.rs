//! Tones: who hears whom, read from recordings.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Samples of a WAV file with 16-bit PCM, first channel, and the rate in Hz.
pub fn read_wav(file: &Path) -> (Vec<f64>, f64) {
    let (samples, channels, rate) = read(file);
    (samples.into_iter().step_by(channels).collect(), rate)
}

/// The two channels of a WAV file with 16-bit PCM, and the rate in Hz.
pub fn read_stereo(file: &Path) -> (Vec<f64>, Vec<f64>, f64) {
    let (samples, channels, rate) = read(file);
    assert_eq!(channels, 2, "{}", file.display());
    let channel = |n: usize| samples.iter().skip(n).step_by(2).copied().collect();
    (channel(0), channel(1), rate)
}

/// The same as [`read_wav`] of a file that is still being written; `None` before its first sample.
pub fn read_growing(file: &Path) -> Option<(Vec<f64>, f64)> {
    let bytes = fs::read(file).ok()?;
    let (samples, channels, rate) = parse(&bytes, true)?;
    Some((samples.into_iter().step_by(channels).collect(), rate))
}

/// All samples in turn, the number of channels, and the rate.
fn read(file: &Path) -> (Vec<f64>, usize, f64) {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    parse(&bytes, false).unwrap_or_else(|| panic!("{} has no samples", file.display()))
}

/// The same; what a file that `grows` says of its length does not count.
fn parse(bytes: &[u8], grows: bool) -> Option<(Vec<f64>, usize, f64)> {
    if bytes.get(..4)? != b"RIFF" {
        return None;
    }
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut at, mut channels, mut rate) = (12, 1, 8000);
    while at + 8 <= bytes.len() {
        // A recorder that was killed has not written the length of what follows.
        let len = (word(at + 4) as usize).min(bytes.len() - at - 8);
        match &bytes[at..at + 4] {
            b"fmt " => {
                channels = usize::from(u16::from_le_bytes([bytes[at + 10], bytes[at + 11]]));
                rate = word(at + 12);
            }
            b"data" => {
                let len = if len == 0 || grows { bytes.len() - at - 8 } else { len };
                let samples = samples_of(&bytes[at + 8..at + 8 + len]);
                return Some((samples.collect(), channels, f64::from(rate)));
            }
            _ => {}
        }
        at += 8 + len + len % 2;
    }
    None
}

/// Samples (-1 to 1) of 16 bits, low octet first.
pub fn samples_of(bytes: &[u8]) -> impl Iterator<Item = f64> + '_ {
    let pairs = bytes.chunks_exact(2);
    pairs.map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0)
}

/// Amplitude of one frequency (0 to 1), by Goertzel's algorithm.
pub fn amplitude(samples: &[f64], rate: f64, frequency: f64) -> f64 {
    let step = 2.0 * (TAU * frequency / rate).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        (two, one) = (one, sample + step * one - two);
    }
    let power = one * one + two * two - step * one * two;
    2.0 * power.max(0.0).sqrt() / samples.len().max(1) as f64
}

/// The same through a Hann window: a tone that begins or ends within the samples is not taken for its
/// neighbours.
pub fn clear_amplitude(samples: &[f64], rate: f64, frequency: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let window = 1.0 - (TAU * n as f64 / samples.len() as f64).cos();
        let (sin, cos) = (TAU * frequency * n as f64 / rate).sin_cos();
        real += sample * window * cos;
        imaginary += sample * window * sin;
    }
    2.0 * f64::hypot(real, imaginary) / samples.len().max(1) as f64
}

/// Amplitude from which a tone is heard among others.
pub const AUDIBLE: f64 = 0.02;

/// Amplitude from which a tone is no trace of something louder: what begins or ends within the samples
/// is heard a little everywhere.
pub fn clear_from(samples: &[f64]) -> f64 {
    (0.1 * level(samples) * 2f64.sqrt()).max(AUDIBLE)
}

/// Seconds, in tenths, in which a tone is heard, whatever else is.
pub fn seconds(samples: &[f64], rate: f64, frequency: f64) -> f64 {
    let parts = samples.chunks_exact((rate * 0.1) as usize);
    let is_heard = |part: &&[f64]| clear_amplitude(part, rate, frequency) >= clear_from(part);
    parts.filter(is_heard).count() as f64 * 0.1
}

/// Root mean square of the samples.
pub fn level(samples: &[f64]) -> f64 {
    let sum: f64 = samples.iter().map(|sample| sample * sample).sum();
    (sum / samples.len().max(1) as f64).sqrt()
}

/// Longest stretch, in seconds, in which the tone of `frequency` is most of what is heard.
pub fn longest(samples: &[f64], rate: f64, frequency: f64) -> f64 {
    chord(samples, rate, &[frequency])
}

/// Longest stretch, in seconds, in which these tones are heard at once and are most of it.
pub fn chord(samples: &[f64], rate: f64, frequencies: &[f64]) -> f64 {
    let window = (rate * 0.05) as usize;
    let (mut best, mut run) = (0usize, 0usize);
    for part in samples.chunks_exact(window) {
        let tones = frequencies.iter().map(|hz| amplitude(part, rate, *hz) / 2f64.sqrt());
        let quietest = tones.clone().fold(f64::INFINITY, f64::min);
        let all = tones.map(|tone| tone * tone).sum::<f64>().sqrt();
        run = if quietest > 0.02 && all > 0.7 * level(part) { run + 1 } else { 0 };
        best = best.max(run);
    }
    best as f64 * 0.05
}

/// Writes a file of two channels at 48 kHz; `sound` gives the sample, -1 to 1, at a time in seconds.
pub fn write_wav(path: &Path, length: Duration, sound: impl Fn(f64) -> f64) {
    const RATE: u32 = 48_000;
    let frames = (length.as_secs_f64() * f64::from(RATE)) as u32;
    let mut data = Vec::new();
    for n in 0..frames {
        let sample = (sound(f64::from(n) / f64::from(RATE)) * 32_000.0) as i16;
        data.extend([sample, sample].map(i16::to_le_bytes).concat());
    }
    let len = data.len() as u32;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + len).to_le_bytes());
    file.extend(b"WAVEfmt ");
    for word in [16, 2 << 16 | 1, RATE, RATE * 4, 16 << 16 | 4] {
        file.extend(u32::to_le_bytes(word));
    }
    file.extend(b"data");
    file.extend(len.to_le_bytes());
    file.extend(data);
    fs::write(path, file).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_among_others() {
        let rate = 8000.0;
        let tone = |at: usize, hz: f64, gain: f64| gain * (TAU * hz * at as f64 / rate).sin();
        let both: Vec<_> =
            (0..8000).map(|at| tone(at, 400.0, 0.5) + tone(at, 900.0, 0.1)).collect();
        assert!((amplitude(&both, rate, 400.0) - 0.5).abs() < 0.01);
        assert!((amplitude(&both, rate, 900.0) - 0.1).abs() < 0.01);
        assert!(amplitude(&both, rate, 650.0) < 0.01);
        assert!(longest(&both, rate, 400.0) > 0.9);
        assert!(longest(&both, rate, 900.0) < 0.1);
        assert!(chord(&both, rate, &[400.0, 900.0]) > 0.9);
        assert!(chord(&both, rate, &[400.0, 650.0]) < 0.1);
    }
}
