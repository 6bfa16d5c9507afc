//! From the original to what is late by the suppressor's delay, and back, without a gap: for who has
//! heard the original until now, or is to hear it from now on.
//!
//! ```text
//! in:  original, until the delayed one has begun ─▶ cross-fade of 20 ms ─▶ delayed
//! out: delayed ─▶ cross-fade of 20 ms ─▶ original
//! ```

use super::fade::Fade;

/// A way between the two.
#[derive(Debug, Clone)]
pub(super) struct Lead {
    /// Samples for which the delayed one has nothing to say yet.
    waits: usize,
    /// The share of the delayed one.
    fade: Fade,
    goes_in: bool,
}

impl Lead {
    /// From the original; `delay` samples are all the delayed one lacks.
    pub(super) fn into_delayed(delay: usize, fade: usize) -> Self {
        Self { waits: delay, fade: Fade::new(0.0, fade - 1), goes_in: true }
    }

    /// To the original, which is heard alone after `fade` samples, at least 2.
    pub(super) fn out_of_delayed(fade: usize) -> Self {
        // One less: sums of fractions come out a little beside their end.
        Self { waits: 0, fade: Fade::new(1.0, fade - 1), goes_in: false }
    }

    /// The way back, from where it is.
    pub(super) fn back(self) -> Self {
        Self { waits: 0, goes_in: !self.goes_in, ..self }
    }

    /// Whether it leads to the delayed one.
    pub(super) fn goes_in(&self) -> bool {
        self.goes_in
    }

    /// Whether only what it leads to is heard.
    pub(super) fn is_over(&self) -> bool {
        if self.goes_in { self.fade.is_full() } else { self.fade.is_off() }
    }

    /// Makes of `delayed` what is heard.
    pub(super) fn run(&mut self, original: &[i16], delayed: &mut [i16]) {
        for (out, original) in delayed.iter_mut().zip(original) {
            let share = if self.waits > 0 { 0.0 } else { self.fade.next(self.goes_in) };
            self.waits = self.waits.saturating_sub(1);
            let (from, to) = (f32::from(*original), f32::from(*out));
            *out = (from + share * (to - from)).round() as i16;
        }
    }
}
