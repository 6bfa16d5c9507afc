//! Sounds for those who wait: music on hold, announcements, tones. Decoded once, encoded once per
//! codec and wish of it, shared by all who hear them.

mod demo;
mod ending;
mod fade;
mod library;
mod playlist;
mod seam;
mod wished;

pub use demo::{chime, melody};
pub(crate) use ending::Ending;
pub(crate) use fade::{die_away, fade_in};
pub use library::{SoundId, Sounds};
pub use playlist::{ANNOUNCEMENTS_MAX, Frame, Playlist};
pub(crate) use seam::{Former, Place, Seam, Seams};
pub(crate) use wished::WishedSounds;

use crate::codec::{Encoder, Format, OpusFormat, OpusSettings};
use crate::command::{Codec, Payload};
use crate::resample::resample;

/// Longest sound kept, seconds; the rest of a longer recording is not played.
pub const SECONDS_MAX: usize = 300;
/// Longest payload of 20 ms.
pub const FRAME_BYTES_MAX: usize = 320;
/// Frames in a second.
const FRAMES_PER_SECOND: usize = 50;

const NARROW_RATE: u32 = 8000;
pub(crate) const WIDE_RATE: u32 = 16_000;
const FULL_RATE: u32 = 48_000;

/// Frames before the loop by which an encoder is tuned to what comes before its beginning.
const LEAD_FRAMES: usize = 25;
/// Ahead of time there is time: the better half of what Opus can do.
const OPUS: OpusSettings =
    OpusSettings { complexity: 8, bitrate: 32_000, expected_loss_percent: 5 };

/// What we encode ahead, at which clock rate, from samples at which rate; Opus from the highest.
const FORMATS: [(Codec, u32, u32); 5] = [
    (Codec::Pcmu, NARROW_RATE, NARROW_RATE),
    (Codec::Pcma, NARROW_RATE, NARROW_RATE),
    (Codec::G722, NARROW_RATE, WIDE_RATE),
    (Codec::L16, NARROW_RATE, NARROW_RATE),
    (Codec::Opus, FULL_RATE, FULL_RATE),
];

/// Samples of 20 ms frames, and their payloads in each codec that we encode.
pub struct Sound {
    /// By rising rate.
    pcm: Vec<Pcm>,
    /// By [`FORMATS`].
    encoded: Vec<Encoded>,
}

struct Pcm {
    rate: u32,
    samples: Box<[i16]>,
}

struct Encoded {
    codec: Codec,
    /// Rate of the samples it was made of, hertz.
    rate: u32,
    bytes: Box<[u8]>,
    /// Where each frame ends.
    ends: Box<[u32]>,
    silence: Box<[u8]>,
}

/// Whether we have packets of this payload.
pub fn is_playable(payload: &Payload) -> bool {
    FORMATS
        .iter()
        .any(|(codec, clock_rate, _)| (payload.codec, payload.clock_rate) == (*codec, *clock_rate))
}

impl Sound {
    /// From samples at `rate` hertz (not 0). Without a whole frame it is silence. Takes about
    /// 15 ms of CPU per second of sound: not for a thread that has calls.
    pub fn from_pcm(pcm: &[i16], rate: u32) -> Self {
        let mut sound = Self::not_encoded(pcm, rate);
        let encoded = FORMATS.iter().filter_map(|(codec, clock_rate, from)| {
            let highest = sound.opus_rate();
            let from = sound.pcm.iter().find(|pcm| pcm.rate == *from.min(&highest))?;
            Encoded::new(*codec, *clock_rate, from)
        });
        sound.encoded = encoded.collect();
        sound
    }

    /// The same without packets.
    fn not_encoded(pcm: &[i16], rate: u32) -> Self {
        let pcm = &pcm[..pcm.len().min(SECONDS_MAX * rate as usize)];
        let frames = pcm.len() * FRAMES_PER_SECOND / rate as usize;
        // What a narrow recording lacks no rate brings back.
        let rates = [NARROW_RATE, WIDE_RATE, FULL_RATE];
        let kept = rates.into_iter().filter(|kept| *kept < FULL_RATE || rate > WIDE_RATE);
        let pcm = kept.map(|to| Pcm::new(pcm, rate, to, frames.max(1))).collect();
        Self { encoded: Vec::new(), pcm }
    }

    /// Rate of the samples that Opus is made of, hertz: the highest there is.
    fn opus_rate(&self) -> u32 {
        self.pcm.last().map_or(WIDE_RATE, |pcm| pcm.rate)
    }

    /// Nothing but silence.
    pub fn silence() -> Self {
        Self::from_pcm(&[], NARROW_RATE)
    }

    /// The built-in music.
    pub fn melody() -> Self {
        Self::from_pcm(&melody(), WIDE_RATE)
    }

    /// Length in frames of 20 ms; at least 1.
    pub fn frames(&self) -> usize {
        self.pcm[0].samples.len() / self.pcm[0].frame_len()
    }

    /// The payload of frame `index` (modulo the length), [`FRAME_BYTES_MAX`] at most; `None` for a
    /// codec that is not encoded ahead. L16 is at 8 kHz.
    pub fn frame(&self, codec: Codec, index: usize) -> Option<&[u8]> {
        let encoded = self.encoded(codec)?;
        let index = index % encoded.ends.len();
        let start = index.checked_sub(1).map_or(0, |before| encoded.ends[before]);
        encoded.bytes.get(start as usize..encoded.ends[index] as usize)
    }

    /// Rate of the samples that the frames of a codec were made of, hertz; `None` as with
    /// [`Self::frame`].
    pub(crate) fn rate_of(&self, codec: Codec) -> Option<u32> {
        self.encoded(codec).map(|encoded| encoded.rate)
    }

    /// 20 ms of silence; `None` as with [`Self::frame`].
    pub fn silent_frame(&self, codec: Codec) -> Option<&[u8]> {
        self.encoded(codec).map(|encoded| &*encoded.silence)
    }

    /// The samples of frame `index` (modulo the length) at a rate of [`Self::rates`]; for mixing,
    /// and for what is not encoded ahead.
    pub fn pcm(&self, rate: u32, index: usize) -> Option<&[i16]> {
        let pcm = self.pcm.iter().find(|pcm| pcm.rate == rate)?;
        let len = pcm.frame_len();
        pcm.samples.chunks_exact(len).nth(index % (pcm.samples.len() / len))
    }

    /// The rates there are samples of, rising: 8 and 16 kHz, and 48 kHz if the recording had more.
    pub fn rates(&self) -> impl Iterator<Item = u32> {
        self.pcm.iter().map(|pcm| pcm.rate)
    }

    fn encoded(&self, codec: Codec) -> Option<&Encoded> {
        self.encoded.iter().find(|encoded| encoded.codec == codec)
    }
}

impl Pcm {
    fn new(pcm: &[i16], from: u32, to: u32, frames: usize) -> Self {
        let mut samples = resample(pcm, from, to);
        samples.resize(frames * to as usize / FRAMES_PER_SECOND, 0);
        Self { rate: to, samples: samples.into() }
    }

    fn frame_len(&self) -> usize {
        self.rate as usize / FRAMES_PER_SECOND
    }
}

impl Encoded {
    fn new(codec: Codec, clock_rate: u32, pcm: &Pcm) -> Option<Self> {
        let opus = OpusFormat::default();
        let format = Format { codec, clock_rate, sample_rate: pcm.rate, opus };
        let mut encoder = Encoder::new(&format, OPUS).ok()?;
        let mut frame = [0; FRAME_BYTES_MAX];
        let mut encode = |samples: &[i16]| {
            let len = encoder.encode(samples, &mut frame).unwrap_or(0);
            frame[..len].to_vec()
        };
        let silent = vec![0; pcm.frame_len()];
        let silence = (0..LEAD_FRAMES).map(|_| encode(&silent)).last()?;
        // The end of the loop first, so that it leads into its beginning.
        let frames = pcm.samples.chunks_exact(pcm.frame_len());
        let skipped = frames.len().saturating_sub(LEAD_FRAMES);
        frames.clone().skip(skipped).for_each(|samples| drop(encode(samples)));
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(frames.len());
        for samples in frames {
            bytes.extend(encode(samples));
            ends.push(u32::try_from(bytes.len()).ok()?);
        }
        let (bytes, ends, silence) = (bytes.into(), ends.into(), silence.into());
        Some(Self { codec, rate: pcm.rate, bytes, ends, silence })
    }
}

#[cfg(test)]
mod tests;
