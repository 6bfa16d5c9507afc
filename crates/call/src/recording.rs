//! Whether the call is recorded (K); by which files is the owner's business.

use serde::{Deserialize, Serialize};

use crate::happening::What;
use crate::machine::{Call, Output, Timer};

/// Whether a call is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recording {
    /// It is not.
    #[default]
    Off,
    /// It is.
    On,
    /// It is, but not just now (K2).
    Paused,
}

impl Call {
    /// Whether the call is recorded now.
    pub fn recording(&self) -> Recording {
        self.recording
    }

    /// K1, K6.
    pub(crate) fn begin_recording(&mut self, out: &mut Vec<Output>) {
        self.recording = Recording::On;
        self.tell(What::RecordingStarted, None, out);
    }

    /// K2; it goes on by itself after the time of K3.
    pub(crate) fn pause_recording(&mut self, out: &mut Vec<Output>) {
        let Some(limit) = self.policy.pause else {
            return;
        };
        self.recording = Recording::Paused;
        out.push(Output::Arm(Timer::Pause, limit));
        self.tell(What::RecordingPaused, None, out);
    }

    pub(crate) fn resume_recording(&mut self, out: &mut Vec<Output>) {
        out.push(Output::Disarm(Timer::Pause));
        self.recording = Recording::On;
        self.tell(What::RecordingResumed { automatic: false }, None, out);
    }

    /// K3.
    pub(crate) fn pause_is_over(&mut self, out: &mut Vec<Output>) {
        debug_assert_eq!(self.recording, Recording::Paused);
        self.recording = Recording::On;
        self.tell(What::RecordingResumed { automatic: true }, None, out);
    }

    /// K6, or with the call.
    pub(crate) fn end_recording(&mut self, out: &mut Vec<Output>) {
        match self.recording {
            Recording::Off => return,
            Recording::On => {}
            Recording::Paused => out.push(Output::Disarm(Timer::Pause)),
        }
        self.recording = Recording::Off;
        self.tell(What::RecordingStopped, None, out);
    }
}
