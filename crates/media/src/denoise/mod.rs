//! Noise removal on one stream (N1): speech stays, what surrounds it goes down to a floor.
//!
//! ```text
//!            ┌─ delay ───────────────────────────┐
//! pcm ─▶ 10 ms frames ─▶ level ─▶ suppressor ─▶ cross-fade ─▶ pcm, late by `delay_samples`
//! ```
//! The delayed original is always there, so switching (N3), silence and tones (N4) are only a
//! matter of the cross-fade: nothing jumps in time. Knows samples; knows no packets and no clock.

mod estimator;
mod fade;
mod features;
mod floor;
mod framing;
mod input;
mod lead;
mod music;
mod network;
mod onset;
#[cfg(test)]
mod oracle_tests;
mod pitch;
mod settings;
mod spectrum;
mod suppressor;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tone_tests;
mod tones;
mod vector;
mod voice;

use fade::Fade;
use floor::Floor;
use framing::Framing;
use lead::Lead;
pub use settings::DenoiseSettings;
use suppressor::Suppressor;
use tones::Signal;

/// Rates that can be cleaned, hertz: 10 ms are a divisor of the network's frame.
pub const RATES_HZ: [u32; 4] = [8000, 16_000, 24_000, 48_000];

/// Samples of a frame at the highest rate.
const FRAME_MAX: usize = 480;
const FRAMES_PER_SECOND: u32 = 100;
/// Length of the cross-fade in frames: 20 ms (N3).
const FADE_FRAMES: usize = 2;
/// Largest sample of a frame that counts as silence (N4): two steps of the µ-law around 0.
const SILENCE_PEAK: u16 = 16;
/// Frames of silence after which nothing of the speech before is left in the suppressor.
const SILENT_FRAMES: u8 = 4;
/// Frames that the suppressor needs before its output is whole again.
const WARM_FRAMES: u8 = 4;

/// Noise removal for one stream. Allocates only when it is made.
pub struct Denoiser {
    framing: Framing,
    stream: Stream,
    /// Where the original is heard, or was until lately.
    lead: Option<Lead>,
    /// What leads in is not the original but silence.
    rises: bool,
}

/// Everything behind the framing.
struct Stream {
    frame: usize,
    floor: Floor,
    enabled: bool,
    fade: Fade,
    suppressor: Suppressor,
    /// The original, late by as much as the suppressor.
    dry: Box<[i16]>,
    /// Frames of silence in a row, up to [`SILENT_FRAMES`].
    silent: u8,
    /// Whether the last frame was a tone or data.
    steady: bool,
    /// Frames that the suppressor has seen in a row, up to [`WARM_FRAMES`].
    warm: u8,
}

impl Denoiser {
    /// For a stream of `rate_hz`, one of [`RATES_HZ`]; switched on.
    pub fn new(rate_hz: u32, settings: DenoiseSettings) -> Option<Self> {
        let suppressor = Suppressor::new(rate_hz)?;
        let frame = (rate_hz / FRAMES_PER_SECOND) as usize;
        let stream = Stream {
            frame,
            floor: Floor::new(settings),
            enabled: true,
            fade: Fade::new(1.0, FADE_FRAMES * frame),
            dry: vec![0; suppressor.delay() + frame].into(),
            suppressor,
            silent: SILENT_FRAMES,
            steady: false,
            warm: WARM_FRAMES,
        };
        Some(Self { framing: Framing::new(frame), stream, lead: None, rises: false })
    }

    /// Cleans `pcm` in place. Any length does; lengths of whole 10 ms add no delay of their own.
    pub fn process(&mut self, pcm: &mut [i16]) {
        let Self { framing, stream, lead, rises } = self;
        let Some(way) = lead else { return framing.run(pcm, |frame| stream.run(frame, false)) };
        for pcm in pcm.chunks_mut(FRAME_MAX) {
            let mut original = [0; FRAME_MAX];
            let original = &mut original[..pcm.len()];
            if !*rises {
                original.copy_from_slice(pcm);
            }
            framing.run(pcm, |frame| stream.run(frame, false));
            way.run(original, pcm);
        }
        if way.goes_in() && way.is_over() {
            (*lead, *rises) = (None, false);
        }
    }

    /// What comes out first is late, and may begin among something else: it rises from silence. What
    /// goes in is left as it is, because the noise is learnt from it.
    pub fn begin_softly(&mut self) {
        self.lead = Some(Lead::into_delayed(self.delay_samples(), self.stream.fade_len()));
        self.rises = true;
    }

    /// Who hears this has heard the original until now, which was not late: it goes on until what
    /// is late has begun, and gives way to it by a cross-fade of 20 ms (N3).
    pub fn lead_in(&mut self) {
        let anew = Lead::into_delayed(self.delay_samples(), self.stream.fade_len());
        self.rises = false;
        let way = self.lead.take().filter(|way| !way.goes_in()).map(Lead::back);
        if way.is_none() {
            // A suppressor that has heard nothing yet takes speech away, too: as where it is switched on.
            (self.stream.fade, self.stream.warm) = (Fade::new(0.0, self.stream.fade_len()), 0);
        }
        self.lead = Some(way.unwrap_or(anew));
    }

    /// Who hears this is to hear the original: what comes next leads there in 20 ms (N3).
    pub fn lead_out(&mut self) {
        let anew = Lead::out_of_delayed(self.stream.fade_len());
        let rises = std::mem::take(&mut self.rises);
        let way = self.lead.take().filter(|way| way.goes_in() && !rises).map(Lead::back);
        self.lead = Some(way.unwrap_or(anew));
    }

    /// Whether the original is heard since [`Self::lead_out`].
    pub fn has_led_out(&self) -> bool {
        self.lead.as_ref().is_some_and(|way| !way.goes_in() && way.is_over())
    }

    /// How much is taken away from now on; nothing jumps (N3).
    pub fn set_settings(&mut self, settings: DenoiseSettings) {
        self.stream.floor.set(settings);
    }

    /// As [`Self::process`], for samples known to hold no speech, as comfort noise: they are only
    /// delayed and lowered to the floor (N4).
    pub fn process_silence(&mut self, pcm: &mut [i16]) {
        if std::mem::take(&mut self.rises) {
            // What follows is no beginning.
            self.lead = None;
        }
        let Self { framing, stream, .. } = self;
        framing.run(pcm, |frame| stream.run(frame, true));
    }

    /// Switches on or off by a cross-fade of 20 ms (N3). The delay stays.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.stream.enabled = enabled;
    }

    /// Whether noise removal is switched on.
    pub fn is_enabled(&self) -> bool {
        self.stream.enabled
    }

    /// Whether it is switched off and the cross-fade is over: the output is the delayed input.
    pub fn is_settled_off(&self) -> bool {
        self.stream.is_settled_off()
    }

    /// Samples by which the output is late. Changes only at the first slice of a length that is
    /// not made of whole 10 ms.
    pub fn delay_samples(&self) -> usize {
        self.framing.delay() + self.stream.suppressor.delay()
    }
}

impl Stream {
    /// One frame in place.
    fn run(&mut self, pcm: &mut [i16], no_speech: bool) {
        debug_assert_eq!(pcm.len(), self.frame, "whole frames only");
        let is_silent = no_speech || pcm.iter().all(|x| x.unsigned_abs() <= SILENCE_PEAK);
        self.silent = if is_silent { (self.silent + 1).min(SILENT_FRAMES) } else { 0 };
        let mut wet = [0.0; FRAME_MAX];
        let wet = &mut wet[..self.frame];
        if self.silent == SILENT_FRAMES {
            // What the suppressor remembers is silence, too: it can go on at any time.
            self.warm = WARM_FRAMES;
        } else if self.is_settled_off() {
            self.warm = 0;
        } else {
            let passes = self.steady && self.fade.is_off();
            self.steady = self.suppressor.run(pcm, wet, passes) == Signal::Steady;
            let is_whole = !(self.steady && passes);
            self.warm = if is_whole { (self.warm + 1).min(WARM_FRAMES) } else { 0 };
        }
        let (mut floor, step) = self.floor.follow(pcm);
        self.delay(pcm);
        // What is known to be no speech is no tone either, whatever was before it.
        let passes = self.steady && !no_speech;
        let cleans = self.enabled && !passes && self.warm == WARM_FRAMES;
        if !cleans && self.fade.is_off() {
            return;
        }
        for (x, wet) in pcm.iter_mut().zip(wet) {
            let dry = f32::from(*x);
            let share = self.fade.next(cleans) * (1.0 - floor);
            floor += step;
            *x = (dry + share * (*wet - dry)).round() as i16;
        }
    }

    fn fade_len(&self) -> usize {
        FADE_FRAMES * self.frame
    }

    fn is_settled_off(&self) -> bool {
        !self.enabled && self.fade.is_off()
    }

    /// Exchanges a frame for the one that is due.
    fn delay(&mut self, pcm: &mut [i16]) {
        let newest = self.dry.len() - self.frame;
        self.dry.copy_within(self.frame.., 0);
        self.dry[newest..].copy_from_slice(pcm);
        pcm.copy_from_slice(&self.dry[..self.frame]);
    }
}
