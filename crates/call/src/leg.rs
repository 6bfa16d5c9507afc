use serde::{Deserialize, Serialize};

use crate::participant::{ParticipantId, PartyKey};
use crate::{Cause, LegId, Side};

/// What a leg tells its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegEvent {
    /// The far end rings.
    Ringing,
    /// The far end sends audio before it answers.
    EarlyMedia,
    /// The far end answered and its audio is agreed.
    Answered,
    /// The far end put us on hold, or took us back (H3).
    Held(bool),
    /// Its phone says whether it can be told to answer (S11).
    Driven(bool),
    /// A leg we placed was refused by its far end.
    Refused(Cause),
    /// The far end hung up or cancelled. The leg is already being taken down.
    HungUp(Cause),
    /// We gave the far end up: no word in time, no way to it, nothing in common. The leg is already
    /// being taken down.
    Lost(Cause),
    /// Nothing of the leg is left on the wire.
    Gone,
}

/// What a call tells a leg to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegCommand {
    /// Say that the other side rings.
    Ring,
    /// Open early media.
    Progress,
    /// Answer.
    Answer,
    /// End the leg, whatever its state: refuse, cancel or hang up.
    Release {
        /// What its far end is told.
        cause: Cause,
        /// Whether another phone of a ring-all took the call (`Reason: SIP;cause=200`).
        elsewhere: bool,
    },
}

/// How far a leg has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Presence {
    /// Asked, or asking, to join.
    Invited,
    /// Rings (a callee), or hears ringing (the caller).
    Ringing,
    /// Early media flows.
    Early,
    /// Talks.
    Connected,
    /// Being taken down.
    Leaving,
}

/// One leg of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// Its id.
    pub leg: LegId,
    /// Whose it is.
    pub of: ParticipantId,
    /// Who is at its far end.
    pub party: PartyKey,
    /// Who called whom.
    pub side: Side,
    /// How far it has come.
    pub presence: Presence,
    /// Whether its phone has put the others on hold (H3).
    pub holds: bool,
    /// Whether its phone can be told to answer (S11).
    pub driven: bool,
}

impl Leg {
    pub(crate) fn is_up(&self) -> bool {
        self.presence == Presence::Connected
    }

    /// Being called, without an answer yet.
    pub fn is_candidate(&self) -> bool {
        self.side == Side::Callee && self.presence < Presence::Connected
    }
}
