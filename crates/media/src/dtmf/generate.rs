//! Presses into tones (ITU-T Q.23).

use super::queue::Presses;
use super::{Digit, DtmfEvent, PAUSE_MIN_MS, to_units};
use crate::tone::{Envelope, Oscillator, amplitude};

/// The high tone is so much louder than the low one, decibels: lines attenuate it more.
const TWIST_DB: f64 = 2.0;

/// Makes the tones of one listener.
#[derive(Clone, Debug)]
pub struct ToneGenerator {
    rate: u32,
    state: State,
    presses: Presses,
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    Sounding {
        low: Oscillator,
        high: Oscillator,
        envelope: Envelope,
        lasted: u64,
    },
    /// Silence for so many samples.
    Pause(u64),
}

impl ToneGenerator {
    /// `rate` is that of the samples, hertz, 8000 or more.
    pub fn new(rate: u32) -> Self {
        Self { rate, state: State::Idle, presses: Presses::new(rate) }
    }

    /// Sounds a whole press after those that wait; false when [`super::QUEUE_MAX`] wait already, or
    /// the digit has no tones.
    pub fn press(&mut self, event: DtmfEvent) -> bool {
        event.digit.tones().is_some() && self.presses.press(event)
    }

    /// A key goes down and stays so until [`Self::stop`]; false as with [`Self::press`].
    pub fn start(&mut self, digit: Digit, volume_dbm0: i8) -> bool {
        digit.tones().is_some() && self.presses.start(digit, volume_dbm0)
    }

    /// The key is up: its tones end when they have lasted `duration_ms`, or at once when they have
    /// lasted longer already.
    pub fn stop(&mut self, duration_ms: u32) {
        self.presses.stop(duration_ms);
    }

    /// Forgets what waits and ends what sounds.
    pub fn clear(&mut self) {
        self.presses.clear();
    }

    /// Whether there is nothing to sound.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle) && self.presses.is_empty()
    }

    /// Overwrites the next samples with tones and the pauses between them; false, and the samples
    /// as they were, when idle.
    pub fn fill(&mut self, pcm: &mut [i16]) -> bool {
        if self.is_idle() {
            return false;
        }
        pcm.iter_mut().for_each(|sample| *sample = self.sample());
        true
    }

    fn sample(&mut self) -> i16 {
        match &mut self.state {
            State::Idle => {}
            State::Pause(left) => {
                *left -= 1;
                if *left == 0 {
                    self.state = State::Idle;
                }
                return 0;
            }
            State::Sounding { low, high, envelope, lasted } => {
                let wanted = self.presses.current().map_or(0, |wanted| wanted.duration);
                *lasted += 1;
                // The tones fade out within their duration.
                let is_on = *lasted + u64::from(envelope.ramp()) <= wanted;
                let gain = envelope.next(is_on);
                let sample = gain * (low.next() + high.next());
                if !is_on && envelope.is_silent() {
                    self.presses.finish();
                    self.state = State::Pause(to_units(PAUSE_MIN_MS, self.rate));
                }
                return sample as i16;
            }
        }
        self.begin();
        0
    }

    /// The sample in which a press begins is silent, as its ramp begins at nothing.
    fn begin(&mut self) {
        let Some(wanted) = self.presses.next() else { return };
        let Some((low, high)) = wanted.digit.tones() else { return self.presses.finish() };
        // Both together have the power asked for.
        let share = 10f64.powf(TWIST_DB / 10.0);
        let total = amplitude(wanted.volume_dbm0.into());
        let quiet = total / (1.0 + share).sqrt();
        self.state = State::Sounding {
            low: Oscillator::new(low, quiet, self.rate),
            high: Oscillator::new(high, quiet * share.sqrt(), self.rate),
            envelope: Envelope::new(self.rate),
            lasted: 1,
        };
    }
}
