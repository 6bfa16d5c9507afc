//! What happened in a call, for whoever listens.

use crate::Cause;
use crate::machine::{Call, Outcome, Output};
use crate::participant::ParticipantId;

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happening {
    /// What.
    pub what: What,
    /// To whom.
    pub who: Option<ParticipantId>,
    /// Why, for what failed or ended.
    pub cause: Option<Cause>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A phone of it rings.
    Ringing,
    /// The call was answered.
    Accepted,
    /// It put the others on hold.
    Held,
    /// It talks to them again.
    Resumed,
    /// The call is over.
    Ended,
    /// It is in control now.
    OwnerChanged,
    /// The customer has left, the others go on (F12).
    PostCall,
    /// It is being consulted.
    ConsultRequested,
    /// It has answered.
    ConsultStarted,
    /// It is on hold.
    ConsultHeld,
    /// The initiator talks to it again.
    ConsultResumed,
    /// It is consulted no longer.
    ConsultEnded,
    /// It was not reached.
    ConsultFailed,
    /// It is to have the others.
    TransferStarted,
    /// It has them.
    TransferCompleted,
    /// It has not taken them (T4).
    TransferFailed,
    /// Three or more talk.
    ConferenceStarted,
    /// It is in the conference now.
    ParticipantAdded,
    /// It has left the conference.
    ParticipantLeft,
    /// Less than three are left.
    ConferenceEnded,
    /// It is heard no longer, or again.
    Muted,
    /// The recording has begun.
    RecordingStarted,
    /// The recording pauses.
    RecordingPaused,
    /// The recording goes on.
    RecordingResumed {
        /// Because the pause has lasted its limit (K3).
        automatic: bool,
    },
    /// The recording has ended.
    RecordingStopped,
    /// It supervises.
    MonitoringStarted,
    /// It supervises in another way.
    MonitoringModeChanged,
    /// It supervises no longer.
    MonitoringEnded,
}

impl Call {
    pub(crate) fn tell(&self, what: What, who: Option<ParticipantId>, out: &mut Vec<Output>) {
        out.push(Output::Happened(Happening { what, who, cause: None }));
    }

    pub(crate) fn tell_failed(
        &self,
        what: What,
        who: ParticipantId,
        outcome: Outcome,
        out: &mut Vec<Output>,
    ) {
        let cause = Some(outcome.cause);
        out.push(Output::Happened(Happening { what, who: Some(who), cause }));
    }

    pub(crate) fn tell_ended(&self, outcome: Outcome, out: &mut Vec<Output>) {
        let cause = Some(outcome.cause);
        out.push(Output::Happened(Happening { what: What::Ended, who: None, cause }));
    }
}
