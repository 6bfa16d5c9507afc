//! What is asked of the core by programs and people, and what they are told: the vocabulary of the
//! REST API and its event stream, without HTTP.
//!
//! ```text
//! Input::Command { request, actor, command } ─▶ core ─▶ Output::Reply { request, result }
//!                                                └────▶ Output::Event(Event::Interaction(…))
//! ```

mod event;
mod snapshot;
mod wall;

use std::net::SocketAddr;

use base::define_id;
pub use call::control::{MonitorMode, OnFailure};
use call::control::{Refusal, Verb};
use media::denoise::DenoiseSettings;
use serde::{Deserialize, Serialize};

pub use self::event::{EventData, EventKind, InteractionEvent, QualityData, QualityDirection};
pub use self::snapshot::{
    InteractionSnapshot, InteractionState, LegSnapshot, NoiseSnapshot, ParticipantRole,
    ParticipantSnapshot, ParticipantState, QualitySnapshot, RecordingState, SegmentSnapshot,
};
pub use self::wall::rfc3339;

define_id!(
    /// One request of the API, chosen by who asks; its reply carries it back.
    RequestId,
    "request"
);

/// Who asks: what the bearer token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "role")]
pub enum Actor {
    /// An agent: their own interactions only.
    Agent {
        /// Their extension.
        extension: String,
    },
    /// Sees all, supervises; calls with their own extension when they have one.
    Supervisor {
        /// Their extension: where they listen.
        extension: Option<String>,
    },
    /// Everything.
    Admin,
    /// A program that acts for agents.
    Integrator,
}

/// What a target's name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DestinationType {
    /// An agent by extension.
    Agent,
    /// A queue.
    Queue,
    /// A number that customers dial.
    EntryPoint,
    /// A telephone number; one of an entry point leads there (C15).
    DialNumber,
    /// An entry of the directory.
    Contact,
}

/// Whom to call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct To {
    /// Name or number, as typed.
    pub to: String,
    /// What it means.
    pub destination_type: DestinationType,
}

/// Direction of noise removal (N1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoiseDirection {
    /// From what the participant says.
    #[default]
    From,
    /// From what the participant hears.
    To,
    /// Both.
    Both,
}

/// Everything that can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// All interactions the actor may see.
    Interactions,
    /// One interaction.
    Interaction {
        /// Its id.
        interaction: String,
    },
    /// Call somebody: the agent's own phone rings first (I5).
    Outdial {
        /// On whose phone; an agent calls on their own.
        extension: Option<String>,
        /// Whom.
        to: To,
        /// By which route, of those allowed; `None` = as the dial plan says.
        route: Option<String>,
    },
    /// Do something in an interaction.
    Act {
        /// Its id.
        interaction: String,
        /// In whose name: an agent's own participant, else this one, else the primary agent.
        participant: Option<String>,
        /// What.
        act: Act,
    },
    /// Take a call that rings at another extension (I2).
    Pickup {
        /// Where it rings.
        extension: String,
        /// On whose phone; an agent takes it on their own.
        by: Option<String>,
    },
    /// Begin to supervise (U0).
    Monitor {
        /// Which interaction, or
        interaction: Option<String>,
        /// which agent's (by extension).
        agent: Option<String>,
        /// How.
        mode: MonitorMode,
        /// Where the supervisor listens; their own extension when `None`.
        extension: Option<String>,
    },
    /// Change how somebody supervises.
    MonitorMode {
        /// The session: the id of the supervisor's participant.
        session: String,
        /// How from now on.
        mode: MonitorMode,
    },
    /// Stop supervising.
    MonitorEnd {
        /// The session: the id of the supervisor's participant.
        session: String,
    },
    /// All registered phones.
    Registrations,
    /// All trunks.
    Trunks,
}

/// What can be done in an interaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// [`Verb::Accept`].
    Accept,
    /// [`Verb::Decline`].
    Decline,
    /// [`Verb::Hold`], or [`Verb::ReleaseLine`].
    Hold {
        /// Whether the own phone is hung up meanwhile (H6).
        release_line: bool,
    },
    /// [`Verb::Resume`].
    Resume,
    /// [`Verb::Mute`].
    Mute,
    /// [`Verb::Unmute`].
    Unmute,
    /// [`Verb::Dtmf`].
    Dtmf {
        /// Keys `0`–`9`, `*`, `#`, `A`–`D`.
        keys: String,
    },
    /// [`Verb::End`].
    End,
    /// [`Verb::Consult`].
    Consult {
        /// Whom.
        to: To,
        /// Whether the others of a conference are held meanwhile (F3, C21); by default they are.
        hold_participants: bool,
    },
    /// [`Verb::ConsultEnd`].
    ConsultEnd,
    /// [`Verb::ConsultExit`].
    ConsultExit,
    /// [`Verb::ConsultHold`].
    ConsultHold,
    /// [`Verb::ConsultResume`].
    ConsultResume,
    /// [`Verb::ConsultTransfer`].
    ConsultTransfer,
    /// [`Verb::ConsultConference`].
    ConsultConference,
    /// [`Verb::Toggle`].
    Toggle,
    /// [`Verb::Transfer`].
    Transfer {
        /// To whom.
        to: To,
        /// What happens when they do not take it; `None` = as the organisation decided (T4).
        on_failure: Option<OnFailure>,
    },
    /// [`Verb::ConferenceAdd`].
    ConferenceAdd {
        /// The agent's other interactions.
        interactions: Vec<String>,
    },
    /// [`Verb::ConferenceExit`].
    ConferenceExit,
    /// [`Verb::ConferenceEnd`].
    ConferenceEnd,
    /// [`Verb::Remove`].
    Remove {
        /// Whom.
        target: String,
    },
    /// [`Verb::RecordStart`].
    RecordStart,
    /// [`Verb::RecordStop`].
    RecordStop,
    /// [`Verb::RecordPause`].
    RecordPause,
    /// [`Verb::RecordResume`].
    RecordResume,
    /// [`Verb::NoiseSuppression`].
    NoiseSuppression {
        /// Whose.
        target: String,
        /// On or off.
        enabled: bool,
        /// In which direction.
        direction: NoiseDirection,
        /// How much; `None` = as configured.
        level: Option<DenoiseSettings>,
    },
}

impl Act {
    /// Its verb.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Accept => Verb::Accept,
            Self::Decline => Verb::Decline,
            Self::Hold { release_line: false } => Verb::Hold,
            Self::Hold { release_line: true } => Verb::ReleaseLine,
            Self::Resume => Verb::Resume,
            Self::Mute => Verb::Mute,
            Self::Unmute => Verb::Unmute,
            Self::Dtmf { .. } => Verb::Dtmf,
            Self::End => Verb::End,
            Self::Consult { .. } => Verb::Consult,
            Self::ConsultEnd => Verb::ConsultEnd,
            Self::ConsultExit => Verb::ConsultExit,
            Self::ConsultHold => Verb::ConsultHold,
            Self::ConsultResume => Verb::ConsultResume,
            Self::ConsultTransfer => Verb::ConsultTransfer,
            Self::ConsultConference => Verb::ConsultConference,
            Self::Toggle => Verb::Toggle,
            Self::Transfer { .. } => Verb::Transfer,
            Self::ConferenceAdd { .. } => Verb::ConferenceAdd,
            Self::ConferenceExit => Verb::ConferenceExit,
            Self::ConferenceEnd => Verb::ConferenceEnd,
            Self::Remove { .. } => Verb::Remove,
            Self::RecordStart => Verb::RecordStart,
            Self::RecordStop => Verb::RecordStop,
            Self::RecordPause => Verb::RecordPause,
            Self::RecordResume => Verb::RecordResume,
            Self::NoiseSuppression { .. } => Verb::NoiseSuppression,
        }
    }
}

/// What comes back when a command was taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Done: this is how the interaction is now (200).
    Done(Box<InteractionSnapshot>),
    /// Begun: the result comes as an event (202).
    Pending(Box<InteractionSnapshot>),
    /// Supervision has begun to be set up (202).
    Monitoring {
        /// The session: the id of the supervisor's participant.
        session: String,
        /// The interaction.
        interaction: Box<InteractionSnapshot>,
    },
    /// All that were asked for.
    Interactions(Vec<InteractionSnapshot>),
    /// The registered phones.
    Registrations(Vec<RegistrationSnapshot>),
    /// The trunks.
    Trunks(Vec<TrunkSnapshot>),
}

/// Why a command was not taken: a problem of RFC 9457.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The code, of which the HTTP status follows.
    pub code: Refusal,
    /// In words, for people.
    pub detail: String,
}

impl Refused {
    /// A problem in words of its own.
    pub fn new(code: Refusal, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        self.code.status()
    }
}

impl From<Refusal> for Refused {
    fn from(code: Refusal) -> Self {
        Self::new(code, code.text())
    }
}

/// What a command comes to.
pub type CommandResult = Result<Reply, Refused>;

/// One registered phone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationSnapshot {
    /// Its extension.
    pub extension: String,
    /// The URI it is called at.
    pub contact: String,
    /// Where it registered from.
    pub address: SocketAddr,
    /// UDP, TCP, TLS, WS or WSS.
    pub transport: String,
    /// What it says it is.
    pub user_agent: String,
    /// How long the registration lasts unless renewed, seconds.
    pub expires_in_s: u64,
    /// Whether it answers when asked by OPTIONS.
    pub reachable: bool,
}

/// One trunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrunkSnapshot {
    /// Its name.
    pub name: String,
    /// Whether calls may go to it: to one of its gateways at least.
    pub up: bool,
    /// Where its targets lead, as looked up last; empty as long as nothing was found.
    pub gateways: Vec<GatewaySnapshot>,
    /// Whether we are registered at it; absent when we need not be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub registered: Option<bool>,
    /// Calls up, both directions.
    pub calls: usize,
    /// Calls it may have at once.
    pub calls_max: usize,
}

/// One address of a trunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySnapshot {
    /// Where.
    pub address: SocketAddr,
    /// UDP, TCP or TLS.
    pub transport: String,
    /// Whether it answers when asked by OPTIONS; true as long as that is not known.
    pub up: bool,
}
