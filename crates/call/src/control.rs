//! What may be done to an interaction: the verbs, and why one is refused. The API, the phone and the
//! tests speak of them by these names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something a participant can do. Named as in the API's paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// Answer the call that rings here (S11).
    Accept,
    /// Refuse the call that rings here.
    Decline,
    /// Put those one talks to on hold (H1).
    Hold,
    /// Hold, and hang one's own phone up meanwhile (H6).
    ReleaseLine,
    /// Talk to them again; calls the own phone when its line was released (H6, I3).
    Resume,
    /// Not be heard.
    Mute,
    /// Be heard again.
    Unmute,
    /// Press keys towards those one talks to.
    Dtmf,
    /// End the call for all (E1).
    End,
    /// Name the reason of a finished call (E3).
    WrapUp,
    /// Call somebody to speak to in private (C1).
    Consult,
    /// The initiator ends the consult (C17).
    ConsultEnd,
    /// The consulted agent leaves (C11).
    ConsultExit,
    /// The initiator holds the consulted agent (H5).
    ConsultHold,
    /// The initiator talks to the consulted agent again.
    ConsultResume,
    /// The initiator leaves the customer to the consulted party (C27).
    ConsultTransfer,
    /// Everybody into one conference (C19).
    ConsultConference,
    /// From the customer to the consulted party, or back (C18).
    Toggle,
    /// Leave the customer to somebody else without talking first (T5).
    Transfer,
    /// Take a call that rings at another extension (I2).
    Pickup,
    /// Join other interactions of the same agent to this one (F15).
    ConferenceAdd,
    /// Leave a conference that goes on (F4, F6).
    ConferenceExit,
    /// End a conference for all (F5).
    ConferenceEnd,
    /// Take a participant out of a conference.
    Remove,
    /// Begin to record (K6).
    RecordStart,
    /// End the recording (K6).
    RecordStop,
    /// Stop recording while something must not be kept (K2).
    RecordPause,
    /// Go on recording.
    RecordResume,
    /// Switch noise removal (N3).
    NoiseSuppression,
    /// Supervise without being heard (U0).
    Monitor,
    /// Supervise, heard by the agent (U0).
    Whisper,
    /// Supervise, heard by all (U0).
    Barge,
}

impl Verb {
    /// All of them, in their order.
    pub const ALL: [Self; 32] = [
        Self::Accept,
        Self::Decline,
        Self::Hold,
        Self::ReleaseLine,
        Self::Resume,
        Self::Mute,
        Self::Unmute,
        Self::Dtmf,
        Self::End,
        Self::WrapUp,
        Self::Consult,
        Self::ConsultEnd,
        Self::ConsultExit,
        Self::ConsultHold,
        Self::ConsultResume,
        Self::ConsultTransfer,
        Self::ConsultConference,
        Self::Toggle,
        Self::Transfer,
        Self::Pickup,
        Self::ConferenceAdd,
        Self::ConferenceExit,
        Self::ConferenceEnd,
        Self::Remove,
        Self::RecordStart,
        Self::RecordStop,
        Self::RecordPause,
        Self::RecordResume,
        Self::NoiseSuppression,
        Self::Monitor,
        Self::Whisper,
        Self::Barge,
    ];
}

/// Why a verb is refused: the `code` of the API's problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Refusal {
    /// Not in this state of the interaction.
    InvalidState,
    /// A held call cannot be ended (H2).
    EndWhileHeld,
    /// It is on hold already.
    AlreadyHeld,
    /// Recording may not be paused here (K2, K4).
    RecordingPauseNotAllowed,
    /// The customer has left (F12).
    PostCall,
    /// The target takes no calls now (T3).
    AgentNotAvailable,
    /// The target is wrapping up (T3).
    AgentInWrapUp,
    /// Eight are in it (F1).
    ConferenceFull,
    /// One consult at a time (C28).
    ConsultInProgress,
    /// A call is being offered (S8).
    OfferPending,
    /// A callback's time has come (B18).
    CallbackStarted,
    /// Only the primary agent may (C25, E4, F7).
    NotOwner,
    /// A policy locks noise removal (N3).
    NoisePolicyLocked,
    /// Not with this role.
    Forbidden,
    /// Nothing of that name.
    NotFound,
    /// Somebody else saved first (V11).
    VariableConflict,
    /// Calls cannot go there (C16).
    UnsupportedDestination,
    /// No dial number (C6).
    InvalidDialNumber,
    /// Longer than 256 characters (V9).
    VariableTooLong,
    /// Sooner than allowed (B14).
    CallbackTooSoon,
    /// Later than allowed (B14).
    CallbackTooLate,
    /// A field that makes no sense.
    Validation,
    /// The node has all the calls it may have (B7).
    CallLimitNode,
    /// The tenant has all the calls it may have (B7).
    CallLimitTenant,
    /// The trunk has all the calls it may have (B7).
    CallLimitTrunk,
}

impl Refusal {
    /// The HTTP status that goes with the code.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidState
            | Self::EndWhileHeld
            | Self::AlreadyHeld
            | Self::RecordingPauseNotAllowed
            | Self::PostCall
            | Self::AgentNotAvailable
            | Self::AgentInWrapUp
            | Self::ConferenceFull
            | Self::ConsultInProgress
            | Self::OfferPending
            | Self::CallbackStarted => 409,
            Self::NotOwner | Self::NoisePolicyLocked | Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::VariableConflict => 412,
            Self::UnsupportedDestination
            | Self::InvalidDialNumber
            | Self::VariableTooLong
            | Self::CallbackTooSoon
            | Self::CallbackTooLate
            | Self::Validation => 422,
            Self::CallLimitNode | Self::CallLimitTenant | Self::CallLimitTrunk => 429,
        }
    }

    /// The code as the API writes it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidState => "INVALID_STATE",
            Self::EndWhileHeld => "END_WHILE_HELD",
            Self::AlreadyHeld => "ALREADY_HELD",
            Self::RecordingPauseNotAllowed => "RECORDING_PAUSE_NOT_ALLOWED",
            Self::PostCall => "POST_CALL",
            Self::AgentNotAvailable => "AGENT_NOT_AVAILABLE",
            Self::AgentInWrapUp => "AGENT_IN_WRAP_UP",
            Self::ConferenceFull => "CONFERENCE_FULL",
            Self::ConsultInProgress => "CONSULT_IN_PROGRESS",
            Self::OfferPending => "OFFER_PENDING",
            Self::CallbackStarted => "CALLBACK_STARTED",
            Self::NotOwner => "NOT_OWNER",
            Self::NoisePolicyLocked => "NOISE_POLICY_LOCKED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::VariableConflict => "VARIABLE_CONFLICT",
            Self::UnsupportedDestination => "UNSUPPORTED_DESTINATION",
            Self::InvalidDialNumber => "INVALID_DIAL_NUMBER",
            Self::VariableTooLong => "VARIABLE_TOO_LONG",
            Self::CallbackTooSoon => "CALLBACK_TOO_SOON",
            Self::CallbackTooLate => "CALLBACK_TOO_LATE",
            Self::Validation => "VALIDATION",
            Self::CallLimitNode => "CALL_LIMIT_NODE",
            Self::CallLimitTenant => "CALL_LIMIT_TENANT",
            Self::CallLimitTrunk => "CALL_LIMIT_TRUNK",
        }
    }

    /// In words, for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::InvalidState => "not possible in this state of the interaction",
            Self::EndWhileHeld => "a held call cannot be ended: resume it first",
            Self::AlreadyHeld => "the call is on hold already",
            Self::RecordingPauseNotAllowed => "the recording cannot be paused here",
            Self::PostCall => "the customer has left",
            Self::AgentNotAvailable => "the agent takes no calls now",
            Self::AgentInWrapUp => "the agent is wrapping up",
            Self::ConferenceFull => "a conference has at most eight participants",
            Self::ConsultInProgress => "a consult is going on",
            Self::OfferPending => "a call is being offered",
            Self::CallbackStarted => "the callback has begun",
            Self::NotOwner => "only the agent in control may do this",
            Self::NoisePolicyLocked => "noise removal is set by policy",
            Self::Forbidden => "not allowed with this role",
            Self::NotFound => "no such thing",
            Self::VariableConflict => "somebody else saved first",
            Self::UnsupportedDestination => "calls cannot go to this destination",
            Self::InvalidDialNumber => "not a number that can be dialled",
            Self::VariableTooLong => "a value has at most 256 characters",
            Self::CallbackTooSoon => "the time is too soon",
            Self::CallbackTooLate => "the time is too late",
            Self::Validation => "the request makes no sense",
            Self::CallLimitNode => "the node has all the calls it may have",
            Self::CallLimitTenant => "the tenant has all the calls it may have",
            Self::CallLimitTrunk => "the trunk has all the calls it may have",
        }
    }
}

/// Whether a verb can be used now, and if not why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// Whether it can.
    pub enabled: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Refusal>,
}

impl From<Result<(), Refusal>> for Control {
    fn from(allowed: Result<(), Refusal>) -> Self {
        Self { enabled: allowed.is_ok(), reason: allowed.err() }
    }
}

/// Every verb of one participant.
pub type Controls = BTreeMap<Verb, Control>;

/// What becomes of a customer whose blind transfer failed (T4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// The transferring agent is called back.
    #[default]
    Recall,
    /// Back into the queue; without one as `Recall`.
    Requeue,
    /// The call ends.
    Drop,
}

/// How a supervisor takes part (U0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MonitorMode {
    /// Hears all, heard by none.
    Monitor,
    /// Heard by the agent.
    Whisper,
    /// Heard by all.
    Barge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_as_the_api_writes_them() {
        for (refusal, code, status) in [
            (Refusal::EndWhileHeld, "END_WHILE_HELD", 409),
            (Refusal::NotOwner, "NOT_OWNER", 403),
            (Refusal::UnsupportedDestination, "UNSUPPORTED_DESTINATION", 422),
            (Refusal::CallLimitTrunk, "CALL_LIMIT_TRUNK", 429),
        ] {
            assert_eq!((refusal.code(), refusal.status()), (code, status));
            assert_eq!(serde_json::to_value(refusal).unwrap(), code);
        }
    }

    #[test]
    fn all_verbs_are_listed_once_and_in_order() {
        assert!(Verb::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(Verb::ALL.last(), Some(&Verb::Barge));
    }
}
