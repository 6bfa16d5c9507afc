//! An interaction as the API shows it. Everything is derived from the core's state when asked for.

use base::WallTime;
use call::control::Controls;
use call::record::LegProtection;
use serde::{Deserialize, Serialize};

use super::MonitorMode;

/// One interaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InteractionSnapshot {
    /// Unique on this node since its first start; its call record carries the same.
    pub id: String,
    /// What it is doing.
    pub state: InteractionState,
    /// Participant id of the agent in control.
    pub primary: Option<String>,
    /// Who began it, masked where the policy says so (V7).
    pub from: String,
    /// The number that was dialled, masked where the policy says so.
    pub to: String,
    /// When it began.
    #[serde(with = "super::wall")]
    pub started: WallTime,
    /// When somebody answered.
    #[serde(with = "super::wall::option")]
    pub answered: Option<WallTime>,
    /// When it was over.
    #[serde(with = "super::wall::option")]
    pub ended: Option<WallTime>,
    /// Everybody in it, in the order in which they came.
    pub participants: Vec<ParticipantSnapshot>,
    /// Whether it is being recorded (K5).
    pub recording: RecordingState,
    /// What happened so far, in order.
    pub segments: Vec<SegmentSnapshot>,
    /// The interaction it was joined to (F15).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub merged_into: Option<String>,
}

/// What an interaction is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InteractionState {
    /// Nobody has answered yet.
    Ringing,
    /// Customer and agent talk.
    Connected,
    /// On hold.
    Held,
    /// The consulted party is being called (C10).
    ConsultRequested,
    /// The initiator talks to the consulted party, the customer is on hold.
    Consulting,
    /// The consulted party is on hold, the initiator talks to the customer (H5).
    ConsultHeld,
    /// Left to somebody else who has not answered yet.
    Transferring,
    /// Three or more talk.
    Conference,
    /// The customer has left (F12).
    PostCall,
    /// Being taken down, or over.
    Ended,
}

/// One participant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantSnapshot {
    /// Unique on this node.
    pub id: String,
    /// Who they are to the interaction.
    pub role: ParticipantRole,
    /// What they are doing.
    pub state: ParticipantState,
    /// Whether this is the agent in control.
    pub primary: bool,
    /// Extension number or trunk name.
    pub party: String,
    /// Their number, masked where the policy says so (V7).
    pub number: String,
    /// Their name.
    pub name: String,
    /// Whether they put the others on hold.
    pub holds: bool,
    /// Whether they are not heard.
    pub muted: bool,
    /// How a supervisor takes part.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode: Option<MonitorMode>,
    /// When they joined.
    #[serde(with = "super::wall::option")]
    pub joined: Option<WallTime>,
    /// Their phones.
    pub legs: Vec<LegSnapshot>,
    /// Noise removal from what they say.
    pub noise_suppression: NoiseSnapshot,
    /// What they may do now; empty for whoever has no controls (C20, C26).
    pub controls: Controls,
}

/// Who a participant is to the interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ParticipantRole {
    /// Whom the interaction is about.
    Customer,
    /// An extension.
    Agent,
    /// A dialled number.
    NonAgent,
    /// Supervises.
    Supervisor,
}

/// What a participant is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ParticipantState {
    /// Being called.
    Ringing,
    /// Talks.
    Connected,
    /// Is on hold.
    OnHold,
    /// Consulted, or consulting.
    Consulting,
    /// Holds with the own line released (H6).
    LineReleased,
    /// Supervises.
    Monitoring,
    /// Being taken down.
    Leaving,
}

/// One phone of a participant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegSnapshot {
    /// Its id.
    pub id: String,
    /// The codec it uses.
    pub codec: Option<String>,
    /// How its audio is protected; null while nothing is agreed on.
    #[serde(default)]
    pub protection: Option<LegProtection>,
    /// Whether its phone has put us on hold.
    pub holds: bool,
    /// How it sounds, once figures are there.
    pub quality: Option<QualitySnapshot>,
}

/// How a leg sounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QualitySnapshot {
    /// Mean opinion score of what comes from it, 1 to 4.5 (ITU-T G.107).
    pub mos: f64,
    /// Packets of the peer that were lost, percent.
    pub loss_percent: f64,
    /// Jitter of what comes from it, milliseconds (RFC 3550 A.8).
    pub jitter_ms: f64,
    /// Round trip, milliseconds.
    pub round_trip_ms: Option<f64>,
}

/// Noise removal from what a participant says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NoiseSnapshot {
    /// Whether it is on.
    pub enabled: bool,
}

/// Whether an interaction is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RecordingState {
    /// It is not.
    #[default]
    Off,
    /// It is.
    On,
    /// It is, but not just now (K2).
    Paused,
    /// It was to be, but the disk refused; the call goes on.
    Failed,
}

/// A stretch of an interaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentSnapshot {
    /// talk, hold, consult, transfer, conference, postCall.
    pub kind: String,
    /// When it began.
    #[serde(with = "super::wall")]
    pub started: WallTime,
    /// How long it lasted, or has lasted, milliseconds.
    pub duration_ms: u64,
    /// Ids of those who took part.
    pub participants: Vec<String>,
}
