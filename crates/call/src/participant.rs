//! Who is in a call.

use std::fmt;

use base::Time;
use serde::{Deserialize, Serialize};

use crate::CallId;
use crate::control::MonitorMode;

/// A participant; unique on this node, also after two calls have become one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ParticipantId {
    /// The call it joined first.
    pub call: CallId,
    /// The how manieth it was there, from 1.
    pub number: u32,
}

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.call.0, self.number)
    }
}

impl fmt::Debug for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "participant-{self}")
    }
}

/// Who is at the far end of a leg, in the owner's words; the call only passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartyKey(pub u64);

/// Who somebody is to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Whom it is about: the side from outside, when there is one.
    Customer,
    /// A configured extension.
    Agent,
    /// A dialled number, without controls (C26).
    NonAgent,
    /// Supervises (U0).
    Supervisor,
}

/// A participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Its id.
    pub id: ParticipantId,
    /// Who it is to the call.
    pub role: Role,
    /// Who it is to the owner: whom to call to reach it again.
    pub party: PartyKey,
    /// Since when it takes part; `None` while it is being called.
    pub joined: Option<Time>,
    /// Whether it has put the others on hold by a command (H1).
    pub holds: bool,
    /// Whether it is not heard.
    pub muted: bool,
    /// A supervisor's way of taking part, and whom it listens beside.
    pub watch: Option<Watch>,
}

/// How a supervisor takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Heard by whom.
    pub mode: MonitorMode,
    /// The agent.
    pub agent: ParticipantId,
    /// Whether that agent was not in control when it began (U3).
    pub secondary: bool,
}
