//! The packets at which one sound gives way to another. All others are encoded ahead and shared;
//! these are made for one listener, from the end of what it heard and the beginning of what it
//! hears.

use super::fade::{die_away, fade_in, fade_out};
use super::{FORMATS, FRAME_BYTES_MAX, FRAMES_PER_SECOND, FULL_RATE, OPUS, Sound, WIDE_RATE};
use crate::codec::{Encoder, Format, OpusFormat, frames_remembered};
use crate::command::Codec;

/// Samples of a frame at the highest rate.
const SAMPLES_MAX: usize = FULL_RATE as usize / FRAMES_PER_SECOND;

/// A frame of a sound.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) sound: &'a Sound,
    pub(crate) index: usize,
}

/// What is on both sides of a seam; without either it is silence.
#[derive(Clone, Copy)]
pub(crate) struct Seam<'a> {
    /// What would have come next of the sound before: it dies away.
    pub(crate) from: Option<Place<'a>>,
    /// What is heard instead.
    pub(crate) to: Option<Place<'a>>,
    /// Whether `to` was not heard before.
    pub(crate) begins: bool,
    /// Whether `to` is not heard any more after it.
    pub(crate) ends: bool,
}

/// The encoders of a worker for such packets: each is used for one and then begins anew.
pub(crate) struct Seams {
    encoders: Vec<(Codec, u32, Encoder)>,
}

impl Seams {
    /// Allocates; nothing after it does.
    pub(crate) fn new() -> Self {
        let narrow_opus = (Codec::Opus, FULL_RATE, WIDE_RATE);
        let encoder = |(codec, clock_rate, sample_rate)| {
            let format = Format { codec, clock_rate, sample_rate, opus: OpusFormat::default() };
            let mut encoder = Encoder::new(&format, OPUS).ok()?;
            // What the listener's decoder heard last came out of other encoders.
            encoder.stand_alone();
            Some((codec, sample_rate, encoder))
        };
        Self { encoders: FORMATS.into_iter().chain([narrow_opus]).filter_map(encoder).collect() }
    }

    /// Encodes a seam to the beginning of `out` and returns its length; `None` when the codec is
    /// not one that sounds are encoded in.
    pub(crate) fn encode(
        &mut self,
        codec: Codec,
        seam: &Seam<'_>,
        out: &mut [u8; FRAME_BYTES_MAX],
    ) -> Option<usize> {
        let rates = [seam.from, seam.to].into_iter().flatten().map(|it| it.sound.rate_of(codec));
        // What only one of them has above the lower rate nobody misses for 20 ms.
        let rate = rates.min()??;
        let (.., encoder) =
            self.encoders.iter_mut().find(|(own, of, _)| (*own, *of) == (codec, rate))?;
        encoder.reset();
        let known = seam.from.or(seam.to.filter(|_| !seam.begins));
        // What the listener's decoder knows already.
        for before in (1..=frames_remembered(codec)).rev() {
            let lead = known.and_then(|it| it.sound.pcm(rate, it.index.checked_sub(before)?));
            if let Some(lead) = lead {
                encoder.encode(lead, out).ok()?;
            }
        }
        let mut pcm = [0; SAMPLES_MAX];
        let pcm = &mut pcm[..rate as usize / FRAMES_PER_SECOND];
        seam.fill(pcm, rate);
        encoder.encode(pcm, out).ok()
    }
}

impl Seam<'_> {
    /// The samples of the frame at a rate that both sounds have.
    pub(crate) fn fill(&self, pcm: &mut [i16], rate: u32) {
        match self.to.and_then(|it| it.sound.pcm(rate, it.index)) {
            Some(to) => pcm.copy_from_slice(to),
            None => pcm.fill(0),
        }
        if self.begins {
            fade_in(pcm, rate);
        }
        if self.ends {
            fade_out(pcm, rate);
        }
        if let Some(old) = self.from.and_then(|it| it.sound.pcm(rate, it.index)) {
            die_away(old, pcm, rate);
        }
    }
}

#[cfg(test)]
mod tests;
