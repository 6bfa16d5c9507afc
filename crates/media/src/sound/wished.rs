//! Sounds in Opus for listeners who wish less, or other, than what they are encoded ahead in: encoded
//! as they are first asked for, once for all of a worker's listeners who wish the same.
//!
//! Who asks first is served by an encoder that is one frame ahead; who comes later finds the frames
//! ready. A listener that is somewhere in the middle already gets what all others get until the
//! encoder is there: a tick has time for [`FRAMES_PER_TICK`] only.

use std::sync::Arc;

use super::{FRAME_BYTES_MAX, OPUS, Sound};
use crate::codec::{Encoder, Format, OpusFormat, opus_bitrate};
use crate::command::Codec;

/// Sounds times wishes kept at most: one more takes the place of the one that nobody has asked for
/// longest.
const KEPT_MAX: usize = 16;
/// Frames encoded in a tick at most: about a millisecond.
const FRAMES_PER_TICK: usize = 8;
/// Frames before the loop that tune the encoder.
const LEAD_FRAMES: usize = 2;
/// Bits a second wished are counted in such steps, so that there are not as many wishes as peers.
const BITRATE_STEP: u32 = 1000;

/// The sounds of one worker that somebody wished otherwise.
pub(crate) struct WishedSounds {
    kept: Vec<Wished>,
    silence: Arc<Sound>,
    ticks: u64,
    /// Frames that may still be encoded in this tick.
    left: usize,
}

struct Wished {
    sound: Arc<Sound>,
    wish: OpusFormat,
    rate: u32,
    encoder: Encoder,
    bytes: Vec<u8>,
    /// Where each frame ends, as far as they are encoded.
    ends: Vec<u32>,
    /// When it was asked for last.
    used: u64,
}

impl WishedSounds {
    pub(crate) fn new() -> Self {
        let silence = Arc::new(Sound::not_encoded(&[0; 160], 8000));
        Self { kept: Vec::with_capacity(KEPT_MAX), silence, ticks: 0, left: FRAMES_PER_TICK }
    }

    /// A tick begins.
    pub(crate) fn tick(&mut self) {
        self.ticks += 1;
        self.left = FRAMES_PER_TICK;
    }

    /// Other sounds are played from now on.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }

    /// Writes frame `index` (modulo the length) of a sound, `None` being silence, to the beginning of
    /// `out` and returns its length; `None`: what is encoded ahead is right, or all there is.
    pub(crate) fn frame(
        &mut self,
        sound: Option<&Arc<Sound>>,
        index: usize,
        wish: &OpusFormat,
        out: &mut [u8; FRAME_BYTES_MAX],
    ) -> Option<usize> {
        let sound = sound.unwrap_or(&self.silence);
        let rate = sound.opus_rate();
        let wish = narrowed(wish, rate)?;
        let is_it = |it: &Wished| it.wish == wish && Arc::ptr_eq(&it.sound, sound);
        let at = match self.kept.iter().position(is_it) {
            Some(at) => at,
            None => {
                let new = Wished::new(Arc::clone(sound), wish, rate)?;
                self.left = self.left.saturating_sub(LEAD_FRAMES);
                self.keep(new)
            }
        };
        let wished = &mut self.kept[at];
        wished.used = self.ticks;
        let index = index % wished.sound.frames();
        while wished.ends.len() <= index && self.left > 0 {
            self.left -= 1;
            wished.encode_next()?;
        }
        let frame = wished.encoded(index)?;
        out.get_mut(..frame.len())?.copy_from_slice(frame);
        Some(frame.len())
    }

    /// Frames encoded so far, of all that is kept.
    #[cfg(test)]
    pub(crate) fn encoded(&self) -> usize {
        self.kept.iter().map(|wished| wished.ends.len()).sum()
    }

    /// Where it is kept.
    fn keep(&mut self, new: Wished) -> usize {
        let oldest = (0..self.kept.len()).min_by_key(|at| self.kept[*at].used);
        match oldest.filter(|_| self.kept.len() >= KEPT_MAX) {
            Some(oldest) => {
                self.kept[oldest] = new;
                oldest
            }
            None => {
                self.kept.push(new);
                self.kept.len() - 1
            }
        }
    }
}

impl Wished {
    fn new(sound: Arc<Sound>, wish: OpusFormat, rate: u32) -> Option<Self> {
        let format =
            Format { codec: Codec::Opus, clock_rate: 48_000, sample_rate: rate, opus: wish };
        let mut encoder = Encoder::new(&format, OPUS).ok()?;
        let frames = sound.frames();
        for index in frames.saturating_sub(LEAD_FRAMES)..frames {
            encoder.encode(sound.pcm(rate, index)?, &mut [0; FRAME_BYTES_MAX]).ok()?;
        }
        let ends = Vec::with_capacity(frames);
        let bytes = Vec::with_capacity(frames * FRAME_BYTES_MAX / 4);
        Some(Self { sound, wish, rate, encoder, bytes, ends, used: 0 })
    }

    fn encode_next(&mut self) -> Option<()> {
        let mut frame = [0; FRAME_BYTES_MAX];
        let pcm = self.sound.pcm(self.rate, self.ends.len())?;
        let len = self.encoder.encode(pcm, &mut frame).ok()?;
        self.bytes.extend(&frame[..len]);
        self.ends.push(u32::try_from(self.bytes.len()).ok()?);
        Some(())
    }

    fn encoded(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(start as usize..end as usize)
    }
}

/// What is asked for beyond what sounds of samples at `rate` hertz are encoded in ahead; `None`:
/// nothing. A packet every 20 ms is what keeps a phone's clock, so pauses are not asked for here; and
/// what the listener captures is no matter of ours.
pub(super) fn narrowed(wish: &OpusFormat, rate: u32) -> Option<OpusFormat> {
    let plain = OpusFormat::default();
    let bands = [8000, 12_000, 16_000, 24_000, 48_000];
    let playback = bands.into_iter().rev().find(|band| *band <= wish.max_playback_rate);
    let playback = playback.filter(|band| *band < rate).unwrap_or(plain.max_playback_rate);
    let own = OpusFormat { max_playback_rate: playback, fec: wish.fec, ..plain };
    let most = wish.max_average_bitrate.map(|most| most / BITRATE_STEP * BITRATE_STEP);
    let most = most.filter(|most| *most < opus_bitrate(rate, OPUS.bitrate, &own));
    let narrowed = OpusFormat { max_average_bitrate: most, cbr: wish.cbr, ..own };
    (narrowed != plain).then_some(narrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: OpusFormat = OpusFormat {
        max_playback_rate: 48_000,
        max_capture_rate: 48_000,
        max_average_bitrate: None,
        cbr: false,
        fec: false,
        dtx: false,
    };

    fn sound(seconds: usize) -> Arc<Sound> {
        Arc::new(Sound::not_encoded(&crate::speech::speech(16_000, seconds * 16_000), 16_000))
    }

    fn play(all: &mut WishedSounds, sound: &Arc<Sound>, wish: OpusFormat) -> Vec<Vec<u8>> {
        let mut out = [0; FRAME_BYTES_MAX];
        let mut frame = |index| {
            all.tick();
            let len = all.frame(Some(sound), index, &wish, &mut out)?;
            Some(out[..len].to_vec())
        };
        (0..50).map_while(&mut frame).collect()
    }

    #[test]
    fn wishes_are_what_is_less_than_what_there_is() {
        let row = |wish: OpusFormat, rate| narrowed(&wish, rate);
        assert_eq!(row(PLAIN, 48_000), None);
        assert_eq!(row(OpusFormat { dtx: true, max_capture_rate: 8000, ..PLAIN }, 48_000), None);
        let narrow = OpusFormat { max_playback_rate: 8000, ..PLAIN };
        assert_eq!(row(OpusFormat { max_playback_rate: 9000, ..PLAIN }, 48_000), Some(narrow));
        let wide = OpusFormat { max_playback_rate: 16_000, ..PLAIN };
        assert_eq!((row(wide, 48_000), row(wide, 16_000)), (Some(wide), None));
        let bits = |bits| OpusFormat { max_average_bitrate: Some(bits), ..PLAIN };
        assert_eq!(row(bits(12_345), 16_000), Some(bits(12_000)));
        assert_eq!((row(bits(24_000), 16_000), row(bits(64_000), 48_000)), (None, None));
        let fec = OpusFormat { fec: true, ..PLAIN };
        assert_eq!(row(fec, 16_000), Some(fec));
    }

    #[test]
    fn each_gets_what_it_asked_for() {
        let sound = sound(1);
        let mut all = WishedSounds::new();
        let mut wished = |wish| play(&mut all, &sound, wish);
        assert!(wished(PLAIN).is_empty(), "as encoded ahead");
        let little = wished(OpusFormat { max_average_bitrate: Some(9000), ..PLAIN });
        let bytes: usize = little.iter().map(Vec::len).sum();
        // A tenth more, because it varies.
        assert!(little.len() == 50 && bytes < 9000 / 8 * 11 / 10, "{bytes}");
        let narrow = wished(OpusFormat { max_playback_rate: 8000, ..PLAIN });
        // RFC 6716 §3.1: below 4 is the narrow band.
        assert!(narrow.len() == 50 && narrow.iter().all(|frame| frame[0] >> 3 < 4));
        let constant = wished(OpusFormat { cbr: true, ..PLAIN });
        assert!(constant.iter().all(|frame| frame.len() == constant[0].len()));
        let fec = wished(OpusFormat { fec: true, ..PLAIN });
        // RFC 6716 §4.2.3, of 20 ms in one channel.
        let repeating = fec.iter().filter(|it| it[0] < 0x80 && it[1] & 0x40 != 0).count();
        assert!(repeating > 15, "{repeating}");
    }

    #[test]
    fn frames_are_encoded_once_and_as_many_in_a_tick_as_there_is_time_for() {
        let sound = sound(2);
        let little = OpusFormat { max_average_bitrate: Some(9000), ..PLAIN };
        let mut all = WishedSounds::new();
        let mut out = [0; FRAME_BYTES_MAX];
        all.tick();
        assert_eq!(all.frame(Some(&sound), 40, &little, &mut out), None, "not there yet");
        assert_eq!(all.encoded(), FRAMES_PER_TICK - LEAD_FRAMES);
        for index in 41.. {
            all.tick();
            if all.frame(Some(&sound), index, &little, &mut out).is_some() {
                assert!(index < 50, "{index}");
                break;
            }
        }
        let first = play(&mut all, &sound, little);
        let encoded = all.encoded();
        assert_eq!(play(&mut all, &sound, little), first);
        assert_eq!((all.encoded(), first.len()), (encoded, 50));
        assert!(all.frame(None, 7, &little, &mut out).is_some(), "silence, too");
        all.forget();
        assert_eq!(all.encoded(), 0);
    }

    #[test]
    fn however_much_is_wished_only_so_much_is_kept() {
        let sound = sound(1);
        let mut all = WishedSounds::new();
        let mut out = [0; FRAME_BYTES_MAX];
        for kbits in 6..24 {
            let wish = OpusFormat { max_average_bitrate: Some(kbits * 1000), ..PLAIN };
            all.tick();
            assert!(all.frame(Some(&sound), 0, &wish, &mut out).is_some());
        }
        assert_eq!(all.kept.len(), KEPT_MAX);
        assert_eq!(
            all.kept.iter().filter(|it| it.wish.max_average_bitrate < Some(8000)).count(),
            0
        );
    }
}
