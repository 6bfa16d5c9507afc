//! Music and announcements from WAV files of any rate, PCM or G.711, mixed down to one channel.

use std::fs::File;
use std::io::{BufRead, BufReader, Chain, Cursor, Read, Seek, Take};
use std::path::{Path, PathBuf};

use hound::{Error, SampleFormat, WavReader};
use media::codec::g711;
use media::player::{MUSIC_SECONDS_MAX, Music};

/// A file whose header has been read and makes sense.
pub(crate) struct Recording {
    path: PathBuf,
    channels: usize,
    rate: u32,
    /// Samples of each channel.
    length: u64,
    samples: Samples,
}

/// How its samples are read.
enum Samples {
    Linear(WavReader<Chain<Cursor<Vec<u8>>, Data>>),
    Logarithmic(fn(u8) -> i16, Data),
}

/// The bytes of the samples.
type Data = Take<BufReader<File>>;

/// Highest sample rate taken, hertz.
const RATE_MAX: u32 = 384_000;

/// What a format chunk calls the formats: `WAVE_FORMAT_ALAW`, `_MULAW`, `_EXTENSIBLE`.
const ALAW: u16 = 6;
const ULAW: u16 = 7;
const EXTENSIBLE: u16 = 0xfffe;

impl Recording {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let Chunks { format, data } = Chunks::read(File::open(path)?)?;
        let word = |at: usize| u16::from_le_bytes([format[at], format[at + 1]]);
        let (channels, frame_len) = (word(2), word(12));
        let rate = u32::from_le_bytes([format[4], format[5], format[6], format[7]]);
        if channels == 0 || !(1..=RATE_MAX).contains(&rate) {
            return Err(Error::Unsupported);
        }
        let length = data.limit() / u64::from(frame_len.max(1));
        let is_extensible = word(0) == EXTENSIBLE && format.len() == FORMAT_LEN_MAX;
        let law = match if is_extensible { word(24) } else { word(0) } {
            ALAW => Some(g711::alaw_to_linear as fn(u8) -> i16),
            ULAW => Some(g711::ulaw_to_linear as fn(u8) -> i16),
            _ => None,
        };
        let samples = match law {
            Some(law) if frame_len == channels => Samples::Logarithmic(law, data),
            Some(_) => return Err(Error::FormatError("a sample of G.711 is one byte")),
            None => Samples::Linear(WavReader::new(plain_header(&format, &data).chain(data))?),
        };
        Ok(Self { path: path.to_owned(), channels: channels.into(), rate, length, samples })
    }

    /// Reads and encodes it. What is broken or too long is left out.
    pub(crate) fn load(self) -> Music {
        let too_long = self.too_long();
        let Self { path, channels, rate, samples, .. } = self;
        let path = path.display();
        if let Some(seconds) = too_long {
            tracing::warn!(%path, seconds, "only the first {MUSIC_SECONDS_MAX} s are played");
        }
        let most = MUSIC_SECONDS_MAX * rate as usize * channels;
        let mono: Vec<i16> = samples
            .read(most)
            .chunks_exact(channels)
            .map(|frame| frame.iter().sum::<f32>() / channels as f32)
            .map(|sample| (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i16)
            .collect();
        if mono.is_empty() {
            tracing::warn!(%path, "the sound is empty: silence is played");
        }
        Music::from_pcm(&mono, rate)
    }

    /// Its length in seconds, when not all of it is played.
    fn too_long(&self) -> Option<u64> {
        let rate = u64::from(self.rate);
        (self.length > MUSIC_SECONDS_MAX as u64 * rate).then_some(self.length / rate)
    }
}

impl Samples {
    /// Of all channels, in turn; 1 is full scale.
    fn read(self, most: usize) -> Vec<f32> {
        let scale = |bits: u16| 1.0 / (1i64 << (bits.clamp(1, 32) - 1)) as f32;
        let mut reader = match self {
            Self::Linear(reader) => reader,
            Self::Logarithmic(law, data) => {
                let bytes = data.bytes().take(most).map_while(Result::ok);
                return bytes.map(|byte| f32::from(law(byte)) * scale(16)).collect();
            }
        };
        let spec = reader.spec();
        match spec.sample_format {
            SampleFormat::Float => {
                reader.samples::<f32>().take(most).map_while(Result::ok).collect()
            }
            SampleFormat::Int => {
                let scale = scale(spec.bits_per_sample);
                let samples = reader.samples::<i32>().take(most).map_while(Result::ok);
                samples.map(|sample| sample as f32 * scale).collect()
            }
        }
    }
}

/// Chunks before that of the samples, at most: real files have a handful.
const CHUNKS_MAX: usize = 256;
/// Bytes that mean something in a format chunk, at least and at most (`WAVEFORMATEXTENSIBLE`).
const FORMAT_LEN_MIN: usize = 16;
const FORMAT_LEN_MAX: usize = 40;

/// What matters of a file's chunks. `hound` takes neither those of odd sizes nor a length that was
/// not known when the file was written.
struct Chunks {
    format: Vec<u8>,
    /// As much as there is of what the file says it has, in whole frames.
    data: Data,
}

impl Chunks {
    fn read(file: File) -> Result<Self, Error> {
        let file_len = file.metadata()?.len();
        let mut reader = BufReader::new(file);
        hound::read_wave_header(&mut reader)?;
        let mut format = None;
        for _ in 0..CHUNKS_MAX {
            let mut header = [0; 8];
            if reader.read_exact(&mut header).is_err() {
                break;
            }
            let [name @ .., a, b, c, d] = header;
            let len = u32::from_le_bytes([a, b, c, d]);
            let mut rest = i64::from(len);
            if name == *b"data" {
                let format: Vec<u8> = format.ok_or(Error::FormatError("no format chunk"))?;
                let rest = file_len.saturating_sub(reader.stream_position()?);
                // Written to where the length could not be filled in afterwards.
                let len = if len == 0 { u32::MAX } else { len };
                let len = rest.min(len.into());
                let frame_len = u64::from(u16::from_le_bytes([format[12], format[13]]).max(1));
                return Ok(Self { format, data: reader.take(len / frame_len * frame_len) });
            }
            if name == *b"fmt " {
                let mut bytes = vec![0; FORMAT_LEN_MAX.min(len as usize)];
                reader.read_exact(&mut bytes)?;
                rest -= bytes.len() as i64;
                format = Some(bytes).filter(|bytes| bytes.len() >= FORMAT_LEN_MIN);
            }
            reader.seek_relative(rest)?;
            // An odd chunk is padded with a zero, which not all who write files know.
            if len % 2 == 1 && reader.fill_buf()?.first() == Some(&0) {
                reader.consume(1);
            }
        }
        Err(Error::FormatError("no data chunk"))
    }
}

/// The same file as it would be with the chunks that matter alone, up to its samples.
fn plain_header(format: &[u8], data: &Data) -> Cursor<Vec<u8>> {
    let size = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let format_len = size(format.len());
    let data_len = size(data.limit() as usize);
    let parts = [b"RIFF", &data_len, b"WAVE", b"fmt ", &format_len, format, b"data", &data_len[..]];
    Cursor::new(parts.concat())
}

#[cfg(test)]
mod tests {
    use hound::{WavSpec, WavWriter};
    use media::command::Codec;

    use super::*;

    fn write(name: &str, spec: WavSpec, full_scale: f64) -> PathBuf {
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

    /// A file of chunks as they are given; a length of its own for each, whatever is in it.
    fn write_chunks(name: &str, chunks: &[(&[u8; 4], u32, &[u8])]) -> PathBuf {
        let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
        for (kind, len, content) in chunks {
            bytes.extend([kind.as_slice(), &len.to_le_bytes(), content].concat());
        }
        let path =
            std::env::temp_dir().join(format!("hookflash-{}-{name}.wav", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A format chunk at 8 kHz.
    fn format(tag: u16, channels: u16, bits: u16) -> [u8; 18] {
        let frame_len = channels * bits / 8;
        let mut bytes = [0; 18];
        bytes[..2].copy_from_slice(&tag.to_le_bytes());
        bytes[2..4].copy_from_slice(&channels.to_le_bytes());
        bytes[4..8].copy_from_slice(&8000u32.to_le_bytes());
        bytes[8..12].copy_from_slice(&(8000 * u32::from(frame_len)).to_le_bytes());
        bytes[12..14].copy_from_slice(&frame_len.to_le_bytes());
        bytes[14..16].copy_from_slice(&bits.to_le_bytes());
        bytes
    }

    /// Frames of 20 ms, and a sample of the third of them.
    fn played(path: PathBuf) -> Result<(usize, i16), String> {
        let music = Recording::open(&path).map(Recording::load).map_err(|error| error.to_string());
        std::fs::remove_file(path).unwrap();
        let music = music?;
        let middle = music.frame(Codec::L16, 2).unwrap();
        Ok((music.frames(), i16::from_be_bytes([middle[80], middle[81]])))
    }

    #[test]
    fn what_pbx_vendors_and_pipes_write_is_played() {
        let (alaw, ulaw) = (g711::linear_to_alaw(16_384), g711::linear_to_ulaw(16_384));
        let expected_of = [g711::alaw_to_linear(alaw), g711::ulaw_to_linear(ulaw), 16_384];
        let pcm = 16_384i16.to_le_bytes().repeat(800);
        let (padded, odd) = ((b"LIST", 3, &b"abc\0"[..]), (b"LIST", 3, &b"abc"[..]));
        for (name, format, len, data, which) in [
            ("alaw", format(6, 1, 8), 800, vec![alaw; 800], 0),
            ("ulaw", format(7, 1, 8), 800, vec![ulaw; 800], 1),
            ("ulaw in stereo", format(7, 2, 8), 1600, vec![ulaw; 1600], 1),
            ("ulaw into a pipe", format(7, 1, 8), u32::MAX, vec![ulaw; 800], 1),
            ("pcm into a pipe", format(1, 1, 16), u32::MAX, pcm.clone(), 2),
            ("pcm that was never finished", format(1, 1, 16), 0, pcm.clone(), 2),
            ("pcm cut off", format(1, 1, 16), 99_999, [&pcm[..], &[1]].concat(), 2),
        ] {
            let chunks = [(b"fmt ", 18, &format[..]), padded, odd, (b"data", len, &data)];
            let (frames, sample) = played(write_chunks(name, &chunks)).unwrap();
            assert_eq!(frames, 5, "{name}");
            assert!((sample - expected_of[which]).abs() < 150, "{name}: {sample}");
        }
    }

    #[test]
    fn what_follows_the_samples_is_not_played() {
        let chunks = [
            (b"fmt ", 18, &format(7, 1, 8)[..]),
            (b"data", 320, &[0xff; 320]),
            (b"LIST", 800, &[0; 800]),
        ];
        assert_eq!(played(write_chunks("list", &chunks)).unwrap().0, 2);
    }

    #[test]
    fn who_plays_a_part_of_a_file_knows_how_long_it_is() {
        for (name, seconds, expected) in [("whole", 300, None), ("long", 301, Some(301))] {
            let data = vec![0xff; 8000 * seconds];
            let chunks =
                [(b"fmt ", 18, &format(7, 1, 8)[..]), (b"data", u32::MAX, data.as_slice())];
            let path = write_chunks(name, &chunks);
            assert_eq!(Recording::open(&path).unwrap().too_long(), expected, "{name}");
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn garbage_is_refused_with_a_reason() {
        let ulaw = format(7, 1, 8);
        let nothing = (b"LIST", 0, &[][..]);
        for (name, chunks, reason) in [
            ("nothing", vec![], "no data chunk"),
            ("header cut off", vec![(b"fmt ", 18, &ulaw[..7])], "fill whole buffer"),
            ("no format", vec![(b"data", 4, &[1; 4][..])], "no format chunk"),
            ("short format", vec![(b"fmt ", 4, &ulaw[..4]), (b"data", 0, &[])], "no format chunk"),
            ("no samples", vec![(b"fmt ", 18, &ulaw[..])], "no data chunk"),
            ("a lie", vec![(b"LIST", u32::MAX, &ulaw[..])], "no data chunk"),
            ("chunks without end", vec![nothing; 1000], "no data chunk"),
            ("adpcm", vec![(b"fmt ", 18, &format(2, 1, 8)), (b"data", 0, &[])], "not supported"),
            ("16 bits of ulaw", vec![(b"fmt ", 18, &format(7, 1, 16)), (b"data", 0, &[])], "byte"),
            ("no channel", vec![(b"fmt ", 18, &format(7, 0, 8)), (b"data", 0, &[])], "supported"),
        ] {
            let error = played(write_chunks(name, &chunks)).unwrap_err();
            assert!(error.contains(reason), "{name}: {error}");
        }
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
