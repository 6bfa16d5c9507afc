//! The packets at which one sound gives way to another. All others are encoded ahead and shared, or
//! relayed; these are made for one listener, from the end of what it heard and the beginning of what
//! it hears.

use super::fade::{die_away, fade_in, fade_out};
use super::{
    Ending, FORMATS, FRAME_BYTES_MAX, FRAMES_PER_SECOND, FULL_RATE, OPUS, Sound, WIDE_RATE,
};
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

/// What was heard until a seam: it dies away.
#[derive(Clone, Copy)]
pub(crate) enum Former<'a> {
    /// A sound of ours, and what would have come next of it.
    Sound(Place<'a>),
    /// What somebody said.
    Said(&'a Ending),
}

/// What is on both sides of a seam; without either it is silence.
#[derive(Clone, Copy)]
pub(crate) struct Seam<'a> {
    /// What was heard before.
    pub(crate) from: Option<Former<'a>>,
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
            encoder.stand_alone(true);
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
        wish: &OpusFormat,
        out: &mut [u8; FRAME_BYTES_MAX],
    ) -> Option<usize> {
        let (sound, said) = match seam.from {
            Some(Former::Sound(place)) => (Some(place), None),
            Some(Former::Said(ending)) => (None, Some(ending)),
            None => (None, None),
        };
        let rates = [sound, seam.to].into_iter().flatten().map(|it| it.sound.rate_of(codec));
        // What only one of them has above the lower rate nobody misses for 20 ms.
        let rate = match rates.min() {
            Some(rate) => rate?,
            None => said.and(lowest_rate(codec))?,
        };
        let (.., encoder) =
            self.encoders.iter_mut().find(|(own, of, _)| (*own, *of) == (codec, rate))?;
        encoder.reset();
        encoder.follow(rate, OPUS.bitrate, wish);
        let mut pcm = [0; SAMPLES_MAX];
        let pcm = &mut pcm[..rate as usize / FRAMES_PER_SECOND];
        if let Some(said) = said {
            let said = said.at(rate);
            let end = said.lead_into(encoder, codec, pcm, out).ok()?;
            seam.fill(pcm, rate);
            die_away(end, pcm, rate);
            return encoder.encode(pcm, out).ok();
        }
        let known = sound.or(seam.to.filter(|_| !seam.begins));
        // What the listener's decoder knows already.
        for before in (1..=frames_remembered(codec)).rev() {
            let lead = known.and_then(|it| it.sound.pcm(rate, it.index.checked_sub(before)?));
            if let Some(lead) = lead {
                encoder.encode(lead, out).ok()?;
            }
        }
        seam.fill(pcm, rate);
        if known.is_none() && codec == Codec::G722 {
            // From its smallest step it would be a burst to a decoder with a larger one.
            encoder.encode(pcm, out).ok()?;
        }
        encoder.encode(pcm, out).ok()
    }
}

impl Seam<'_> {
    /// The samples of the frame at a rate that both sounds have, without what somebody said.
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
        if let Some(Former::Sound(old)) = self.from
            && let Some(old) = old.sound.pcm(rate, old.index)
        {
            die_away(old, pcm, rate);
        }
    }
}

/// The least rate at which a codec is encoded here, hertz.
fn lowest_rate(codec: Codec) -> Option<u32> {
    let rates = FORMATS.iter().filter(|(own, ..)| *own == codec).map(|(.., rate)| *rate);
    rates.min().map(|rate| rate.min(WIDE_RATE))
}

#[cfg(test)]
mod tests;
