//! What happens to interactions, as the event stream tells it. The API adds sequence number and id.

use base::WallTime;
use call::record::LegQuality;
use serde::{Deserialize, Serialize};

use super::{InteractionSnapshot, MonitorMode};

/// One event with the interaction as it is after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InteractionEvent {
    /// When.
    #[serde(with = "super::wall")]
    pub time: WallTime,
    /// What.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// Extension of the agent whom it concerns first.
    pub agent_id: Option<String>,
    /// The rest goes into the envelope's `data`.
    pub data: EventData,
}

/// What the envelope's `data` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    /// How the interaction is now.
    pub interaction: InteractionSnapshot,
    /// Whom it happened to, by participant id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub participant: Option<String>,
    /// Why, in words, for what failed or ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// SIP status that says the same.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sip_status: Option<u16>,
    /// Whether a timer did it (K3).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub automatic: Option<bool>,
    /// How a supervisor takes part.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode: Option<MonitorMode>,
    /// The key that was pressed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<char>,
    /// How a leg sounds now (`leg.quality`).
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub quality: Option<QualityData>,
}

/// How one direction of a leg sounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QualityData {
    /// Which leg.
    pub leg_id: String,
    /// Its extension or trunk.
    pub party: String,
    /// Which way.
    pub direction: QualityDirection,
    /// Bad now, or well again.
    pub degraded: bool,
    /// Score of the last second, 1–4.5, to two decimals.
    pub mos: f64,
    /// The leg's figures so far, as of its last report.
    pub figures: Option<LegQuality>,
}

/// Whose ears are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum QualityDirection {
    /// What its far end says, as we hear it.
    FromPeer,
    /// What it hears of us.
    ToPeer,
}

/// The `type` of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EventKind {
    /// It began.
    #[serde(rename = "interaction.created")]
    Created,
    /// It rings at an agent's phone.
    #[serde(rename = "interaction.offered")]
    Offered,
    /// Somebody answered.
    #[serde(rename = "interaction.accepted")]
    Accepted,
    /// On hold.
    #[serde(rename = "interaction.held")]
    Held,
    /// Not on hold any longer.
    #[serde(rename = "interaction.resumed")]
    Resumed,
    /// It is over.
    #[serde(rename = "interaction.ended")]
    Ended,
    /// Another agent is in control.
    #[serde(rename = "interaction.ownerChanged")]
    OwnerChanged,
    /// The customer has left, the others go on (F12).
    #[serde(rename = "interaction.postCall")]
    PostCall,
    /// The consulted party is being called.
    #[serde(rename = "consult.requested")]
    ConsultRequested,
    /// The consulted party has answered.
    #[serde(rename = "consult.started")]
    ConsultStarted,
    /// The consulted party is on hold.
    #[serde(rename = "consult.held")]
    ConsultHeld,
    /// The initiator talks to the consulted party again.
    #[serde(rename = "consult.resumed")]
    ConsultResumed,
    /// The consult is over.
    #[serde(rename = "consult.ended")]
    ConsultEnded,
    /// The consulted party was not reached (C13).
    #[serde(rename = "consult.failed")]
    ConsultFailed,
    /// The customer waits for the target.
    #[serde(rename = "transfer.started")]
    TransferStarted,
    /// The target has the customer.
    #[serde(rename = "transfer.completed")]
    TransferCompleted,
    /// The target has not taken the customer (T4).
    #[serde(rename = "transfer.failed")]
    TransferFailed,
    /// Three or more talk.
    #[serde(rename = "conference.started")]
    ConferenceStarted,
    /// One more is in it.
    #[serde(rename = "conference.participantAdded")]
    ParticipantAdded,
    /// One less is in it.
    #[serde(rename = "conference.participantLeft")]
    ParticipantLeft,
    /// Two are left, or nobody.
    #[serde(rename = "conference.ended")]
    ConferenceEnded,
    /// A participant is heard no longer, or again.
    #[serde(rename = "participant.muted")]
    Muted,
    /// Noise removal was switched.
    #[serde(rename = "participant.noiseSuppressionChanged")]
    NoiseSuppressionChanged,
    /// It is being recorded.
    #[serde(rename = "recording.started")]
    RecordingStarted,
    /// It is not recorded just now.
    #[serde(rename = "recording.paused")]
    RecordingPaused,
    /// It is being recorded again.
    #[serde(rename = "recording.resumed")]
    RecordingResumed,
    /// It is recorded no longer.
    #[serde(rename = "recording.stopped")]
    RecordingStopped,
    /// It could not be recorded.
    #[serde(rename = "recording.failed")]
    RecordingFailed,
    /// The file is complete.
    #[serde(rename = "recording.available")]
    RecordingAvailable,
    /// A supervisor takes part.
    #[serde(rename = "monitoring.started")]
    MonitoringStarted,
    /// A supervisor takes part in another way.
    #[serde(rename = "monitoring.modeChanged")]
    MonitoringModeChanged,
    /// A supervisor takes part no longer.
    #[serde(rename = "monitoring.ended")]
    MonitoringEnded,
    /// A phone rings.
    #[serde(rename = "leg.ringing")]
    LegRinging,
    /// A phone was answered.
    #[serde(rename = "leg.answered")]
    LegAnswered,
    /// How a leg sounds has changed.
    #[serde(rename = "leg.quality")]
    LegQuality,
    /// A key was pressed.
    #[serde(rename = "leg.dtmf")]
    LegDtmf,
    /// A phone hung up, or was hung up.
    #[serde(rename = "leg.hungUp")]
    LegHungUp,
}
