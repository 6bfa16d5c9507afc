//! The bytes of a recording's file, block by block, and what a crash left of one.

use super::ogg;
use super::opus::OggOpus;
use super::recorder::Block;
use super::wav;
use super::{Container, RecordFormat, UnsupportedRate, ms_of};

/// Longest gap that is filled with silence, frames: an hour at 8 kHz.
const GAP_MAX: u64 = 3600 * 8000;

/// Makes the bytes of one file.
pub struct RecordingFile {
    rate: u32,
    kind: Kind,
    /// Frames written.
    frames: u64,
}

enum Kind {
    Wav,
    OggOpus(Box<OggOpus>),
}

impl RecordingFile {
    /// A new file; its first bytes are appended to `out`. `serial` tells Ogg streams apart.
    ///
    /// # Errors
    /// When the rate is not among [`RecordFormat::RATES`].
    pub fn new(
        format: RecordFormat,
        serial: u32,
        out: &mut Vec<u8>,
    ) -> Result<Self, UnsupportedRate> {
        let rate = format.check()?.rate;
        let kind = match format.container {
            Container::Wav => {
                out.extend_from_slice(&wav::header(rate, 0));
                Kind::Wav
            }
            Container::OggOpus => {
                let mut opus = OggOpus::new(rate, serial).map_err(|_| UnsupportedRate(rate))?;
                opus.start(out);
                Kind::OggOpus(Box::new(opus))
            }
        };
        Ok(Self { rate, kind, frames: 0 })
    }

    /// Appends a block's bytes to `out`; the gap before it, told in frames, is silence.
    pub fn push(&mut self, block: &Block, out: &mut Vec<u8>) -> u64 {
        let gap = self.fill_up_to(block.at, out);
        self.append(&block.samples, out);
        gap
    }

    /// Appends silence up to `frames`: what was lost at the end. Tells how much.
    pub fn fill_up_to(&mut self, frames: u64, out: &mut Vec<u8>) -> u64 {
        const SILENCE: [i16; 1024] = [0; 1024];
        let gap = frames.saturating_sub(self.frames).min(GAP_MAX);
        let mut left = 2 * gap as usize;
        while left > 0 {
            let piece = left.min(SILENCE.len());
            self.append(&SILENCE[..piece], out);
            left -= piece;
        }
        gap
    }

    /// Appends the last bytes.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match &mut self.kind {
            Kind::Wav => {}
            // An encoder that fails leaves a file without its end mark, which plays all the same.
            Kind::OggOpus(opus) => drop(opus.finish(out)),
        }
    }

    /// What belongs at the beginning of the file after every block, so that it is valid if nothing
    /// follows; `None` when there is nothing to say.
    pub fn header(&self) -> Option<[u8; wav::HEADER_LEN]> {
        match self.kind {
            Kind::Wav => Some(wav::header(self.rate, self.frames)),
            Kind::OggOpus(_) => None,
        }
    }

    /// How much sound the bytes so far have, milliseconds.
    pub fn duration_ms(&self) -> u64 {
        let frames = match &self.kind {
            Kind::Wav => self.frames,
            Kind::OggOpus(opus) => opus.written(),
        };
        ms_of(frames, self.rate)
    }

    fn append(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        self.frames += samples.len() as u64 / 2;
        match &mut self.kind {
            Kind::Wav => samples.iter().for_each(|s| out.extend_from_slice(&s.to_le_bytes())),
            // Only a frame of a wrong length can fail, and all are of 20 ms.
            Kind::OggOpus(opus) => drop(opus.push(samples, out)),
        }
    }
}

/// What makes a file that was left unfinished valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Length to cut it to.
    pub len: u64,
    /// Bytes to write, and where.
    pub patch: (u64, Vec<u8>),
    /// How much sound it has, milliseconds.
    pub duration_ms: u64,
}

/// How to repair a file of `len` bytes. `read` gives up to so many bytes from an offset on.
///
/// `None` when there is no sound in it, or it is no recording of ours. Errors of `read` pass.
///
/// # Errors
/// When `read` fails.
pub fn repair<E>(
    container: Container,
    len: u64,
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
) -> Result<Option<Repair>, E> {
    match container {
        Container::Wav => {
            let header = read(0, wav::HEADER_LEN)?;
            let frames = len.saturating_sub(wav::HEADER_LEN as u64) / wav::FRAME_BYTES;
            Ok(wav::rate_of(&header).filter(|_| frames > 0).map(|rate| Repair {
                len: wav::HEADER_LEN as u64 + frames * wav::FRAME_BYTES,
                patch: (0, wav::header(rate, frames).to_vec()),
                duration_ms: ms_of(frames, rate),
            }))
        }
        Container::OggOpus => repair_ogg(read),
    }
}

/// Keeps the whole pages and marks the last one as such.
fn repair_ogg<E>(
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
) -> Result<Option<Repair>, E> {
    const PAGE_MAX: usize = ogg::HEADER_LEN + 255 + 255 * 255;
    let mut at = 0;
    let mut last = None;
    loop {
        let bytes = read(at, PAGE_MAX)?;
        let Some(page) = ogg::page(&bytes) else { break };
        last = Some((at, bytes[..page.len].to_vec(), page.granule));
        at += page.len as u64;
    }
    // The pages before the sound end at 0.
    let Some((from, mut page, granule)) = last.filter(|(_, _, granule)| *granule > 0) else {
        return Ok(None);
    };
    ogg::end_with(&mut page);
    Ok(Some(Repair { len: at, patch: (from, page), duration_ms: granule / 48 }))
}
