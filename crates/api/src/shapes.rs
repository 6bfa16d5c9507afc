//! How the core's snapshots read, for the OpenAPI document: the wire is written by the core's own
//! types, and a test compares every field and every word with these.

#![expect(dead_code, reason = "read by the generator of the document and by tests")]

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident as $shown:ident { $($word:ident)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Deserialize, ToSchema)]
            #[serde(rename_all = "camelCase")]
            #[schema(as = $shown)]
            pub(crate) enum $name { $($word,)* }
        )*
    };
}

words! {
    /// What a target's name means.
    DestinationTypeShape as DestinationType { Agent Queue EntryPoint DialNumber Contact }
    /// What becomes of a customer whose blind transfer failed.
    OnFailureShape as OnFailure { Recall Requeue Drop }
    /// How a supervisor takes part.
    MonitorModeShape as MonitorMode { Monitor Whisper Barge }
    /// From what a participant says, from what they hear, or both.
    NoiseDirectionShape as NoiseDirection { From To Both }
    /// What an interaction is doing.
    InteractionStateShape as InteractionState {
        Ringing Connected Held ConsultRequested Consulting ConsultHeld Transferring Conference
        PostCall Ended
    }
    /// Who a participant is to the interaction.
    ParticipantRoleShape as ParticipantRole { Customer Agent NonAgent Supervisor }
    /// What a participant is doing.
    ParticipantStateShape as ParticipantState {
        Ringing Connected OnHold Consulting LineReleased Monitoring Leaving
    }
    /// Whether an interaction is recorded.
    RecordingStateShape as RecordingState { Off On Paused Failed }
    /// How the audio of a leg is protected: in the clear, SRTP with keys in SDP, or by DTLS.
    LegProtectionShape as LegProtection { None Sdes Dtls }
    /// Who ended a call.
    EndedByShape as EndedBy { Caller Callee System }
}

/// One interaction.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Interaction)]
pub(crate) struct InteractionShape {
    /// Unique on this node since its first start; its call record carries the same.
    id: String,
    state: InteractionStateShape,
    /// Participant id of the agent in control.
    primary: Option<String>,
    /// Who began it.
    from: String,
    /// The number that was dialled.
    to: String,
    #[schema(format = DateTime)]
    started: String,
    #[schema(format = DateTime)]
    answered: Option<String>,
    #[schema(format = DateTime)]
    ended: Option<String>,
    /// Everybody in it, in the order in which they came.
    participants: Vec<ParticipantShape>,
    recording: RecordingStateShape,
    /// What happened so far, in order.
    segments: Vec<SegmentShape>,
    /// The interaction it was joined to.
    merged_into: Option<String>,
}

/// One participant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Participant)]
pub(crate) struct ParticipantShape {
    id: String,
    role: ParticipantRoleShape,
    state: ParticipantStateShape,
    /// Whether this is the agent in control.
    primary: bool,
    /// Extension number or trunk name.
    party: String,
    /// Their number, masked where the policy says so.
    number: String,
    name: String,
    /// Whether they put the others on hold.
    holds: bool,
    /// Whether they are not heard.
    muted: bool,
    /// How a supervisor takes part.
    mode: Option<MonitorModeShape>,
    #[schema(format = DateTime)]
    joined: Option<String>,
    legs: Vec<LegShape>,
    noise_suppression: NoiseShape,
    /// Every verb: whether it can be used now, and if not why.
    controls: BTreeMap<String, ControlShape>,
}

/// Whether a verb can be used now.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Control)]
pub(crate) struct ControlShape {
    enabled: bool,
    /// Why not: the `code` of the problem that it would be.
    reason: Option<String>,
}

/// One phone of a participant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Leg)]
pub(crate) struct LegShape {
    id: String,
    codec: Option<String>,
    /// Null while nothing is agreed on.
    protection: Option<LegProtectionShape>,
    /// Whether its phone has put us on hold.
    holds: bool,
    /// How it sounds, once figures are there.
    quality: Option<QualityShape>,
}

/// How a leg sounds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Quality)]
pub(crate) struct QualityShape {
    /// Mean opinion score of what comes from it, 1 to 4.5.
    mos: f64,
    /// Packets of the peer that were lost, percent.
    loss_percent: f64,
    /// Interarrival jitter, milliseconds.
    jitter_ms: f64,
    /// Round trip, milliseconds.
    round_trip_ms: Option<f64>,
}

/// Noise removal from what a participant says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NoiseState)]
pub(crate) struct NoiseShape {
    enabled: bool,
}

/// A stretch of an interaction.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Segment)]
pub(crate) struct SegmentShape {
    /// talk, hold, consult, transfer, conference, postCall.
    kind: String,
    #[schema(format = DateTime)]
    started: String,
    duration_ms: u64,
    /// Ids of those who took part.
    participants: Vec<String>,
}

/// One registered phone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Registration)]
pub(crate) struct RegistrationShape {
    extension: String,
    /// The URI it is called at.
    contact: String,
    /// Where it registered from.
    address: String,
    /// UDP, TCP, TLS, WS or WSS.
    transport: String,
    user_agent: String,
    /// How long the registration lasts unless renewed, seconds.
    expires_in_s: u64,
    /// Whether it answers when asked by OPTIONS.
    reachable: bool,
}

/// One trunk.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Trunk)]
pub(crate) struct TrunkShape {
    name: String,
    /// Whether calls may go to it: to one of its gateways at least.
    up: bool,
    /// Where its targets lead, as looked up last; empty as long as nothing was found.
    gateways: Vec<GatewayShape>,
    /// Whether we are registered at it; absent when we need not be.
    registered: Option<bool>,
    /// Calls up, both directions.
    calls: usize,
    /// Calls it may have at once.
    calls_max: usize,
}

/// One address of a trunk.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Gateway)]
pub(crate) struct GatewayShape {
    address: String,
    /// UDP, TCP or TLS.
    transport: String,
    /// Whether it answers when asked by OPTIONS; true as long as that is not known.
    up: bool,
}

/// One event of the stream.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Event)]
pub(crate) struct EventShape {
    /// Grows by one each; `since` takes the last one read.
    seq: u64,
    id: String,
    #[schema(format = DateTime)]
    time: String,
    /// E.g. `interaction.held`, `recording.paused`, `trunk.down`, `stream.snapshot`.
    r#type: String,
    /// Extension of the agent whom it concerns first.
    agent_id: Option<String>,
    interaction_id: Option<String>,
    /// For interactions: `interaction` as it is after the event, and what else belongs to it.
    data: serde_json::Value,
}

/// One finished call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CallRecord)]
pub(crate) struct CallRecordShape {
    id: String,
    #[schema(format = DateTime)]
    started: String,
    #[schema(format = DateTime)]
    ringing: Option<String>,
    #[schema(format = DateTime)]
    answered: Option<String>,
    #[schema(format = DateTime)]
    ended: String,
    /// From the answer to the end, milliseconds.
    talk_ms: u64,
    /// Time on hold, milliseconds.
    hold_ms: u64,
    /// Whether there is a recording: the file of the last one.
    recording: Option<String>,
    /// The files of all recordings, the oldest first.
    recordings: Option<Vec<String>>,
    from: String,
    to: String,
    ended_by: EndedByShape,
    sip_status: u16,
    q850_cause: u8,
    reason: String,
    /// Its legs, in the order in which they were placed.
    legs: Vec<serde_json::Value>,
    /// What it was, stretch by stretch, from the answer to the end.
    segments: Option<Vec<SegmentShape>>,
    /// How long it was each, milliseconds; together the time from the answer to the end.
    times: Option<BTreeMap<String, u64>>,
    /// The call that it was joined to.
    merged_into: Option<String>,
}
