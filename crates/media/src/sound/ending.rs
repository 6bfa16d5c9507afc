//! How a sound that breaks off would have gone on: what is heard instead of a step, while it dies away.

use std::borrow::Cow;

use super::fade::fade_len;
use crate::codec::{CodecError, Encoder, frames_remembered};
use crate::command::Codec;
use crate::plc::Plc;
use crate::resample::resample;

/// Samples of the continuation at `rate` hertz: a fade, and as much as any encoder looks ahead.
const fn end_len(rate: u32) -> usize {
    fade_len(rate) + rate as usize / 100
}

/// The end of what one listener heard.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    rate: u32,
    /// What was heard last, and behind it what would have come next.
    pcm: Box<[i16]>,
    /// How much of it was heard.
    heard: usize,
    /// Whether it came out of a decoder, as it does at the listener's; otherwise it is what was given
    /// to an encoder.
    is_decoded: bool,
}

impl Ending {
    /// Of what was `heard`, newest last, at `rate` hertz. `waiting` is what was to come next anyway.
    pub(crate) fn new(heard: &[i16], waiting: &[i16], rate: u32, plc: &mut Plc) -> Self {
        let mut pcm = vec![0; heard.len() + waiting.len().max(end_len(rate))].into_boxed_slice();
        let (known, unknown) = pcm.split_at_mut(heard.len() + waiting.len());
        known[..heard.len()].copy_from_slice(heard);
        known[heard.len()..].copy_from_slice(waiting);
        plc.reset();
        plc.conceal(known, unknown);
        plc.reset();
        Self { rate, pcm, heard: heard.len(), is_decoded: false }
    }

    /// The same of what a decoder made of packets that were not encoded here.
    pub(crate) fn of_decoded(heard: &[i16], rate: u32, plc: &mut Plc) -> Self {
        Self { is_decoded: true, ..Self::new(heard, &[], rate, plc) }
    }

    /// The same at another rate.
    pub(crate) fn at(&self, rate: u32) -> Cow<'_, Self> {
        if rate == self.rate {
            return Cow::Borrowed(self);
        }
        let heard = self.heard * rate as usize / self.rate as usize;
        let pcm = resample(&self.pcm, self.rate, rate).into();
        Cow::Owned(Self { rate, pcm, heard, ..*self })
    }

    /// What would have been heard next: a fade's length at least.
    pub(crate) fn end(&self) -> &[i16] {
        self.pcm.get(self.heard..).unwrap_or_default()
    }

    /// Tells an encoder that begins anew what its listener's decoder knows, in frames as long as
    /// `frame`, which is used for it; what is to die away from the first sample of the next one on.
    pub(crate) fn lead_into(
        &self,
        encoder: &mut Encoder,
        codec: Codec,
        frame: &mut [i16],
        scratch: &mut [u8],
    ) -> Result<&[i16], CodecError> {
        let ahead = if self.is_decoded { samples_ahead(codec, self.rate) } else { 0 };
        for before in (0..frames_remembered(codec)).rev() {
            self.lead((before * frame.len()) as isize - ahead as isize, frame);
            encoder.encode(frame, scratch)?;
        }
        Ok(self.end().get(ahead..).unwrap_or_default())
    }

    /// [`Self::lead_into`] where the encoder was another one than this ending comes from: what is to
    /// die away.
    pub(crate) fn go_on_in<'a>(
        &'a self,
        encoder: &mut Encoder,
        codec: Codec,
        frame: &mut [i16],
        scratch: &mut [u8],
    ) -> Result<&'a [i16], CodecError> {
        match self.is_decoded {
            true => self.lead_into(encoder, codec, frame, scratch),
            false => Ok(self.end()),
        }
    }

    /// Fills `frame` with what was heard until `before` samples before the end, or would have been
    /// with a negative number: silence where nothing is known.
    fn lead(&self, before: isize, frame: &mut [i16]) {
        let end = self.heard.saturating_add_signed(-before).min(self.pcm.len());
        let known = &self.pcm[end.saturating_sub(frame.len())..end];
        let (unknown, last) = frame.split_at_mut(frame.len() - known.len());
        unknown.fill(0);
        last.copy_from_slice(known);
    }
}

/// What a listener was relayed was encoded elsewhere, and is out of its decoder when the packet is
/// over. What is encoded here comes out as much later as the encoder takes, and has to be as much
/// ahead.
fn samples_ahead(codec: Codec, rate: u32) -> usize {
    match codec {
        // Both halves of its filter bank of 24 taps.
        Codec::G722 => 22,
        // Look-ahead of libopus but for its lowest delay: 6.5 ms.
        Codec::Opus => 13 * rate as usize / 2000,
        Codec::Pcmu
        | Codec::Pcma
        | Codec::L16
        | Codec::TelephoneEvent
        | Codec::ComfortNoise
        | Codec::Other => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn sine(rate: u32, range: std::ops::Range<usize>) -> Vec<i16> {
        let at = |n: usize| (8000.0 * (TAU * 500.0 * n as f64 / f64::from(rate)).sin()) as i16;
        range.map(at).collect()
    }

    #[test]
    fn a_tone_goes_on_from_what_was_heard_and_from_what_was_to_come() {
        let mut plc = Plc::new(8000);
        for waiting in [0, 30, 160, 200] {
            let all = sine(8000, 0..320 + waiting);
            let ending = Ending::new(&all[..320], &all[320..], 8000, &mut plc);
            let right = sine(8000, 320..320 + ending.end().len());
            assert!(ending.end().len() >= 160, "{waiting}");
            let wrong = ending.end().iter().zip(&right).map(|(a, b)| a.abs_diff(*b));
            // A fade's length as it was, then less and less.
            let steady = waiting + fade_len(8000);
            let nearest = wrong.clone().take(steady).max();
            assert!(nearest < Some(800), "{waiting}: {nearest:?}");
            assert!(wrong.max() < Some(2400), "{waiting}");
        }
    }

    #[test]
    fn at_another_rate_it_is_the_same() {
        let ending = Ending::new(&sine(8000, 0..320), &[], 8000, &mut Plc::new(8000));
        let wide = ending.at(16_000);
        let right = sine(16_000, 640..960);
        assert_eq!(wide.end().len(), 320);
        let near = wide.end()[..160].iter().zip(&right).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(near < Some(800), "{near:?}");
    }

    #[test]
    fn what_was_heard_leads_to_it() {
        let pcm: Vec<i16> = (1..=320).collect();
        let ending = Ending::new(&pcm, &[400; 160], 8000, &mut Plc::new(8000));
        let mut frame = [7; 4];
        ending.lead(0, &mut frame);
        assert_eq!(frame, [317, 318, 319, 320]);
        ending.lead(318, &mut frame);
        assert_eq!(frame, [0, 0, 1, 2]);
        ending.lead(-2, &mut frame);
        assert_eq!(frame, [319, 320, 400, 400]);
        ending.lead(1000, &mut frame);
        assert_eq!(frame, [0; 4]);
    }
}
