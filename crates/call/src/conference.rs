//! Conference (F): three or more, all hearing all others. How one comes about is a consult that was
//! merged, a transfer that was not, or calls that became one; here is who comes and goes.

use base::Time;

use crate::happening::What;
use crate::machine::{Call, Outcome, Output};
use crate::participant::ParticipantId;

/// Participants at once, customer and primary included (F1).
pub const CONFERENCE_MAX: usize = 8;

impl Call {
    /// Somebody is with all the others now.
    pub(crate) fn joined(&mut self, who: ParticipantId, out: &mut Vec<Output>) {
        self.settle_conference(out);
        self.tell(What::ParticipantAdded, Some(who), out);
    }

    pub(crate) fn join_failed(
        &mut self,
        who: ParticipantId,
        outcome: Outcome,
        out: &mut Vec<Output>,
    ) {
        self.participants.retain(|one| one.id != who);
        self.tell_failed(What::ConsultFailed, who, outcome, out);
    }

    /// F4, F6: the others go on; the longest agent follows an owner who leaves.
    pub(crate) fn leave(&mut self, now: Time, who: ParticipantId, out: &mut Vec<Output>) {
        self.depart(who, Outcome::SYSTEM, out);
        self.settle(now, Outcome::SYSTEM, out);
    }

    /// Tells when a conference begins or is one no longer.
    pub(crate) fn settle_conference(&mut self, out: &mut Vec<Output>) {
        let is = self.is_up() && self.main().count() > 2;
        if is != self.is_conference {
            self.is_conference = is;
            let what = if is { What::ConferenceStarted } else { What::ConferenceEnded };
            self.tell(what, None, out);
        }
    }
}
