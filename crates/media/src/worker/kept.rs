//! Keys of a peer that nobody hears before the core has seen them: it may be a feature code that is
//! being dialled.
//!
//! ```text
//!         one of the keys that are kept            PassKeys
//! passing ────────────────────────────▶ all kept ───────────▶ passing
//! ```
//! A press is kept or passed as a whole, whatever happens while the key is down; so is every
//! repetition of its packets. Of a tone nothing is heard from where it is found on: the first 30 ms
//! or so, which are no key to anybody, have passed by then.

use std::time::Duration;

use base::Time;

use crate::dtmf::{Digits, Form, Signal};

/// How long a mix is behind what comes in, at most: a tone that is over is still in it.
const MIX_DELAY: Duration = Duration::from_millis(120);
/// Some senders move the timestamp of an event with every packet; no other event begins so soon.
const DRIFT_MS: u32 = 20;
/// Packets older than that are none of ours: the sender has begun anew.
const AGE_MAX_MS: u32 = 10_000;

/// What is kept of one peer's keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// Whether all keys are kept that begin now.
    all: bool,
    /// Whether the key is kept whose events come, and the one whose tone sounds.
    event: bool,
    tone: bool,
    /// Timestamp of the last packet that was kept.
    last: Option<u32>,
    /// Until when the mix may hold a tone that was kept.
    mixed_until: Option<Time>,
}

impl Kept {
    /// Takes note of a key; whether it is kept. `first` are those that begin it.
    pub(crate) fn takes(&mut self, now: Time, first: Digits, form: Form, signal: Signal) -> bool {
        let is_tone = form == Form::InBand;
        let down = if is_tone { &mut self.tone } else { &mut self.event };
        match signal {
            Signal::Start { digit, .. } => {
                self.all |= first.contains(digit);
                *down = self.all;
                self.all
            }
            Signal::Press(event) => {
                self.all |= first.contains(event.digit);
                self.all
            }
            Signal::End(_) => {
                let was_down = std::mem::take(down);
                if is_tone && was_down {
                    self.mixed_until = Some(now + MIX_DELAY);
                }
                was_down
            }
        }
    }

    /// Whether a packet of events is kept, given whether what it told was.
    pub(crate) fn keeps(&mut self, timestamp: u32, clock_rate: u32, told: bool) -> bool {
        let units = |ms: u32| ms * (clock_rate / 1000);
        let repeats = self.last.is_some_and(|last| {
            let (later, earlier) = (timestamp.wrapping_sub(last), last.wrapping_sub(timestamp));
            later <= units(DRIFT_MS) || earlier <= units(AGE_MAX_MS)
        });
        let keeps = self.event || told;
        if keeps {
            self.last = Some(timestamp);
        }
        keeps || repeats
    }

    /// The packets of events come from another sender: none of them repeats one of before.
    pub(crate) fn forget_packets(&mut self) {
        self.last = None;
    }

    /// Whether the peer's sound is that of a key that is kept.
    pub(crate) fn is_sounding(&self) -> bool {
        self.tone
    }

    /// The same for a mix, which is behind.
    pub(crate) fn is_mixed(&self, now: Time) -> bool {
        self.tone || self.mixed_until.is_some_and(|until| now < until)
    }

    /// Keys that begin from now on are passed on.
    pub(crate) fn pass(&mut self) {
        self.all = false;
    }
}
