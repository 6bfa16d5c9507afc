//! Presses that wait to be sent, whatever they are sent as.

use std::collections::VecDeque;

use super::{Digit, DtmfEvent, QUEUE_MAX, TONE_MAX_MS, TONE_MIN_MS, to_units};

/// A press on its way out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) digit: Digit,
    /// 0 to −63.
    pub(super) volume_dbm0: i8,
    /// Units of the queue's clock.
    pub(super) duration: u64,
    /// Whether the key is still down.
    open: bool,
}

/// The press that is being sent and those that wait.
#[derive(Clone, Debug)]
pub(super) struct Presses {
    clock_rate: u32,
    current: Option<Wanted>,
    waiting: VecDeque<Wanted>,
}

impl Presses {
    /// `clock_rate` is not 0.
    pub(super) fn new(clock_rate: u32) -> Self {
        assert!(clock_rate > 0, "a clock rate is not 0");
        Self { clock_rate, current: None, waiting: VecDeque::with_capacity(QUEUE_MAX) }
    }

    pub(super) fn press(&mut self, event: DtmfEvent) -> bool {
        let duration = self.units(event.duration_ms);
        self.push(event.digit, event.volume_dbm0, duration, false)
    }

    pub(super) fn start(&mut self, digit: Digit, volume_dbm0: i8) -> bool {
        self.stop(0);
        // A key that nobody lets go is let go by us.
        let duration = self.units(TONE_MAX_MS);
        self.push(digit, volume_dbm0, duration, true)
    }

    pub(super) fn stop(&mut self, duration_ms: u32) {
        let duration = self.units(duration_ms);
        let all = self.current.iter_mut().chain(&mut self.waiting);
        for wanted in all.filter(|wanted| wanted.open) {
            wanted.duration = duration;
            wanted.open = false;
        }
    }

    /// Forgets what waits and cuts short what is being sent.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        let shortest = self.units(0);
        if let Some(current) = &mut self.current {
            current.duration = current.duration.min(shortest);
            current.open = false;
        }
    }

    /// Whether a key is down that nobody has let go.
    pub(super) fn is_open(&self) -> bool {
        self.current.iter().chain(&self.waiting).any(|wanted| wanted.open)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
    }

    pub(super) fn current(&self) -> Option<Wanted> {
        self.current
    }

    /// Begins the next press.
    pub(super) fn next(&mut self) -> Option<Wanted> {
        self.current = self.waiting.pop_front();
        self.current
    }

    /// The current press is over.
    pub(super) fn finish(&mut self) {
        self.current = None;
    }

    fn push(&mut self, digit: Digit, volume_dbm0: i8, duration: u64, open: bool) -> bool {
        let has_room = self.waiting.len() < QUEUE_MAX;
        if has_room {
            let volume_dbm0 = volume_dbm0.clamp(-63, 0);
            self.waiting.push_back(Wanted { digit, volume_dbm0, duration, open });
        }
        has_room
    }

    fn units(&self, duration_ms: u32) -> u64 {
        to_units(duration_ms.clamp(TONE_MIN_MS, TONE_MAX_MS), self.clock_rate)
    }
}
