//! Recording of calls (K1–K6): two channels, the customer's on the left, the agents' on the right.
//!
//! ```text
//! worker: samples of each stream ─▶ Recorder ─ Block ─▶ bounded queue ─▶ thread: RecordingFile ─▶ disk
//! ```
//! Knows samples and the bytes of a file; knows no file system and no call. Who is on which side,
//! and that a supervisor is on none, is told by the core.

mod file;
mod ogg;
mod opus;
mod recorder;
mod source;
mod wav;

use base::define_id;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::command::StreamId;

pub use file::{RecordingFile, Repair, repair};
pub use recorder::{Block, BlockSink, Clock, HOLD, Heard, Recorder, SOURCES_MAX};

define_id!(
    /// One recording of a call.
    RecordingId,
    "recording"
);

/// Longest name of a recording, bytes.
pub const NAME_MAX: usize = 128;

/// Which channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Left: the customer.
    Customer,
    /// Right: agents, and all others who talk to the customer.
    Agents,
}

/// What the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Container {
    /// WAV, 16 bits linear; RF64 beyond 4 GB (EBU Tech 3306).
    Wav,
    /// Opus in Ogg (RFC 7845), both channels coded apart.
    OggOpus,
}

impl Container {
    /// Of the file's name, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::OggOpus => "opus",
        }
    }
}

/// What a pause leaves in the file (K2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PausePolicy {
    /// Silence as long as the pause: times in the file are times of the call.
    #[default]
    Silence,
    /// Nothing: the file is shorter than the call.
    Nothing,
}

/// How a call is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFormat {
    /// What the file is.
    pub container: Container,
    /// Sampling rate of the call, hertz: 8000, 16000, 24000 or 48000.
    pub rate: u32,
    /// What a pause leaves.
    pub pause: PausePolicy,
}

/// The rate is none that a recording can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a recording cannot have {0} Hz")]
pub struct UnsupportedRate(pub u32);

impl RecordFormat {
    /// Sampling rates of recordings, hertz.
    pub const RATES: [u32; 4] = [8000, 16_000, 24_000, 48_000];

    fn check(self) -> Result<Self, UnsupportedRate> {
        if Self::RATES.contains(&self.rate) { Ok(self) } else { Err(UnsupportedRate(self.rate)) }
    }
}

/// What the core asks of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RecordCommand {
    /// Record into a new file. Told by [`RecordEvent::Started`] or [`RecordEvent::Failed`].
    Start {
        /// Its id, unused so far.
        recording: RecordingId,
        /// Its file's name without directory and extension: 1 to [`NAME_MAX`] letters, digits,
        /// `-` and `_`.
        name: String,
        /// How.
        format: RecordFormat,
    },
    /// From now on a stream is on one channel, or on none (`None`).
    Track {
        /// Which recording.
        recording: RecordingId,
        /// Whose voice.
        stream: StreamId,
        /// Where it is heard.
        side: Option<Side>,
    },
    /// What is said from now on is not recorded (K2).
    Pause {
        /// Which recording.
        recording: RecordingId,
    },
    /// It is recorded again (K3).
    Resume {
        /// Which recording.
        recording: RecordingId,
    },
    /// Finish the file. Told by [`RecordEvent::Finished`].
    Stop {
        /// Which recording.
        recording: RecordingId,
    },
}

/// What is told of a recording (K5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RecordEvent {
    /// The file is there and being written.
    Started {
        /// Which recording.
        recording: RecordingId,
    },
    /// The disk did not keep up: that much is silence in the file.
    Gap {
        /// Which recording.
        recording: RecordingId,
        /// How much, milliseconds.
        ms: u64,
    },
    /// The file is complete under its final name, safe on the disk.
    Finished {
        /// Which recording.
        recording: RecordingId,
        /// Its file's name with extension.
        file: String,
        /// How much sound it has, milliseconds.
        duration_ms: u64,
        /// Size of the file.
        bytes: u64,
    },
    /// The disk refused: the file, if there is one, ends here and can be played; the call goes on.
    /// The last event of this recording.
    Failed {
        /// Which recording.
        recording: RecordingId,
        /// Its file's name with extension, if it has any sound.
        file: Option<String>,
        /// How much sound it has, milliseconds.
        duration_ms: u64,
        /// Why, for the log and the alarm.
        error: String,
    },
    /// A file that a crash had left unfinished is complete up to then.
    Recovered {
        /// Its file's name with extension.
        file: String,
        /// How much sound it has, milliseconds.
        duration_ms: u64,
    },
}

/// Whether a recording may have this name: it can leave no directory.
pub fn is_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_good)
}

/// How much sound `frames` of both channels are.
fn ms_of(frames: u64, rate: u32) -> u64 {
    frames * 1000 / u64::from(rate)
}

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;
