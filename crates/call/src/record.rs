//! The call record (CDR): what is left when a call is over.

use base::{WallTime, define_id};
use serde::{Deserialize, Serialize};

use crate::SegmentKind;

define_id!(
    /// One call of this node.
    CallId,
    "call"
);
define_id!(
    /// One leg: a SIP dialog and its media.
    LegId,
    "leg"
);

/// Which side of the call a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The leg whose INVITE began the call.
    Caller,
    /// A leg we placed.
    Callee,
}

/// Who ended the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndedBy {
    /// The calling party.
    Caller,
    /// The called party.
    Callee,
    /// We did: a limit, a time-out, an orphan, a drain.
    System,
}

/// One finished call; written as one JSON line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// Unique on this node since its first start.
    pub id: String,
    /// When the INVITE came.
    pub started: WallTime,
    /// When the called party began to ring.
    pub ringing: Option<WallTime>,
    /// When it answered.
    pub answered: Option<WallTime>,
    /// When it was over.
    pub ended: WallTime,
    /// From the answer to the end, in milliseconds, by the monotonic clock.
    pub talk_ms: u64,
    /// Time with at least one side on hold, in milliseconds.
    pub hold_ms: u64,
    /// The file of its last recording, when it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
    /// The files of all its recordings, the oldest first; empty in records of before there was this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<String>,
    /// The number that called.
    pub from: String,
    /// The number that was dialled.
    pub to: String,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// SIP status that ended it: 200 after an answered call.
    pub sip_status: u16,
    /// Q.850 cause.
    pub q850_cause: u8,
    /// Why, in words.
    pub reason: String,
    /// Its legs, in the order in which they were placed.
    pub legs: Vec<LegRecord>,
    /// What the call was, stretch by stretch, from the answer to the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentRecord>,
    /// How long it was each; together the time from the answer to the end.
    #[serde(default)]
    pub times: TimesRecord,
    /// The call that it was joined to (F15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<String>,
}

/// A stretch of a finished call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentRecord {
    /// What it was.
    pub kind: SegmentKind,
    /// When it began.
    pub started: WallTime,
    /// How long it lasted, milliseconds.
    pub duration_ms: u64,
    /// Ids of those who took part.
    pub participants: Vec<String>,
}

/// How long a call was what, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimesRecord {
    /// Two talked.
    pub talk_ms: u64,
    /// On hold.
    pub hold_ms: u64,
    /// At a consult.
    pub consult_ms: u64,
    /// On the way to somebody else.
    pub transfer_ms: u64,
    /// Three or more talked.
    pub conference_ms: u64,
    /// After the customer had left (F12).
    pub post_call_ms: u64,
}

/// One leg of a finished call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegRecord {
    /// Caller or callee.
    pub side: Side,
    /// Id of the participant whose leg it was.
    #[serde(default)]
    pub participant: String,
    /// Extension number or trunk name.
    pub party: String,
    /// SIP Call-ID of the leg.
    pub sip_call_id: String,
    /// Its final SIP status.
    pub sip_status: u16,
    /// Codec it used last.
    pub codec: Option<String>,
    /// How its audio was protected last; none where nothing was agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<LegProtection>,
    /// RTP packets received from it.
    pub packets_received: u64,
    /// RTP packets sent to it.
    pub packets_sent: u64,
    /// Packets of it that were lost (RFC 3550 A.3).
    pub packets_lost: u64,
    /// Interarrival jitter at the end, in milliseconds (RFC 3550 A.8).
    pub jitter_ms: f32,
    /// Packets from strangers that were dropped.
    pub strays: u64,
    /// How it sounded; none when it never sent audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<LegQuality>,
}

/// How the audio of a leg is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LegProtection {
    /// RTP in the clear.
    None,
    /// SRTP with keys in SDP (RFC 4568).
    Sdes,
    /// SRTP with keys by DTLS (RFC 5764).
    Dtls,
}

/// How the audio of a leg sounded: as it reached us, and by its reports as ours reached it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegQuality {
    /// Mean opinion score of its audio over the whole time (E-model, ITU-T G.107), 1–4.5.
    pub mos: f32,
    /// The score of its worst second.
    pub mos_worst: f32,
    /// Transmission rating factor R, 0–100.
    pub r_factor: f32,
    /// Packets of it that never came, per cent.
    pub loss_percent: f32,
    /// Share lost within bursts (RFC 3611 §4.7.2), 0–1.
    pub burst_density: f32,
    /// Mean length of a burst, in milliseconds.
    pub burst_ms: u32,
    /// Share lost between bursts, 0–1.
    pub gap_density: f32,
    /// Mean length of what is between bursts, in milliseconds.
    pub gap_ms: u32,
    /// Round trip to it and back, in milliseconds; none when it never told.
    pub round_trip_ms: Option<f32>,
    /// Packets of ours that it says it never got.
    pub remote_lost: Option<i32>,
    /// Jitter that it says it sees, in milliseconds.
    pub remote_jitter_ms: Option<f32>,
    /// How we sounded to it last, by its reports: its own score where it tells one (RFC 3611).
    pub remote_mos: Option<f32>,
}
