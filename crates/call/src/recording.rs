//! Whether the call is recorded (K); by which files is the owner's business.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::happening::What;
use crate::machine::{Call, Output, State, Timer};

/// After that long another recording is tried where all calls are to be recorded.
pub const RETRY: Duration = Duration::from_secs(60);

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
    /// It was to be, but the disk refused (K5). Where all calls are recorded (K1) it is tried again.
    Failed,
}

impl Call {
    /// Whether the call is recorded now.
    pub fn recording(&self) -> Recording {
        self.recording
    }

    /// K1, K6.
    pub(crate) fn begin_recording(&mut self, out: &mut Vec<Output>) {
        self.forget_retry(out);
        self.recording = Recording::On;
        self.tell(What::RecordingStarted, None, out);
    }

    /// The recording could not go on. The call does.
    pub fn recording_failed(&mut self, out: &mut Vec<Output>) {
        let mut after = RETRY;
        match self.recording {
            Recording::Off | Recording::Failed => return,
            Recording::On => {}
            Recording::Paused => {
                out.push(Output::Disarm(Timer::Pause));
                // K2: what must not be kept may still be said.
                after = after.max(self.policy.pause.unwrap_or_default());
            }
        }
        debug_assert_eq!(self.state, State::Up, "who is recorded talks");
        self.recording = Recording::Failed;
        if self.policy.records_all {
            out.push(Output::Arm(Timer::Record, after));
        }
    }

    /// K1: there may be room again.
    pub(crate) fn try_recording(&mut self, out: &mut Vec<Output>) {
        debug_assert_eq!(self.recording, Recording::Failed);
        self.recording = Recording::On;
        self.tell(What::RecordingStarted, None, out);
    }

    fn forget_retry(&self, out: &mut Vec<Output>) {
        if self.recording == Recording::Failed && self.policy.records_all {
            out.push(Output::Disarm(Timer::Record));
        }
    }

    /// K2; it goes on by itself after the time of K3. One that failed does not begin again before.
    pub(crate) fn pause_recording(&mut self, out: &mut Vec<Output>) {
        let Some(limit) = self.policy.pause else {
            return;
        };
        self.forget_retry(out);
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
            Recording::Failed => {
                self.forget_retry(out);
                self.recording = Recording::Off;
                return;
            }
        }
        self.recording = Recording::Off;
        self.tell(What::RecordingStopped, None, out);
    }
}
