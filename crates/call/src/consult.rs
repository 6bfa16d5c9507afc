//! Consult (C): the initiator speaks to somebody in private while the others wait.
//!
//! ```text
//!              answered               hold, toggle, resume
//! requested ─────────────▶ consulting ◀──────────────────▶ on hold
//!     │ failed: the customer stays on hold        │
//!     └──────────────▶ over ◀─────────────────────┘ end, exit, hang-up, transfer, merge
//! ```

use base::Time;
use serde::{Deserialize, Serialize};

use crate::attempt::Purpose;
use crate::command::Callee;
use crate::control::{OnFailure, Refusal, Verb};
use crate::happening::What;
use crate::machine::{Call, Outcome, Output};
use crate::participant::ParticipantId;
use crate::transfer::Transfer;
use crate::{Cause, Leg, LegId, Presence, Side};

/// Whom the initiator talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Facing {
    /// The others of the call.
    Main,
    /// The consulted party.
    Consulted,
}

/// A consult; one at a time (C28).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consult {
    /// Who consults.
    pub initiator: ParticipantId,
    /// Who is consulted; it has not answered while it has not joined.
    pub target: ParticipantId,
    /// Whom the initiator talks to.
    pub facing: Facing,
    /// The initiator's second line, when it dialled by hand (H3).
    pub own_leg: Option<LegId>,
    /// Whether the others of a conference are held meanwhile (F3, C21).
    pub hold_others: bool,
    /// Whether it may be transferred or merged before its answer (C12).
    pub early: bool,
}

impl Call {
    /// The consult that goes on.
    pub fn consulting(&self) -> Option<&Consult> {
        self.consult.as_ref()
    }

    /// C1: calls somebody to speak to.
    pub(crate) fn begin_consult(
        &mut self,
        by: ParticipantId,
        callee: Callee,
        hold_others: bool,
        own_leg: Option<LegId>,
        out: &mut Vec<Output>,
    ) {
        let target = self.invite(callee.role, callee.party);
        let held = self.participant_mut(by).is_some_and(|one| std::mem::take(&mut one.holds));
        self.consult = Some(Consult {
            initiator: by,
            target,
            facing: Facing::Consulted,
            own_leg,
            hold_others,
            early: callee.early,
        });
        if !held {
            self.tell(What::Held, Some(by), out); // H4
        }
        self.tell(What::ConsultRequested, Some(target), out);
        self.attempt(Purpose::Consult, target, own_leg, callee.targets, out);
    }

    /// A consult that its initiator dials by hand on a second line, `leg` (H3).
    pub fn consult_by_leg(
        &mut self,
        now: Time,
        by: ParticipantId,
        leg: LegId,
        callee: Callee,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        self.allows(by, Verb::Consult)?;
        let party = self.participant(by).ok_or(Refusal::NotFound)?.party;
        let (side, presence) = (Side::Caller, Presence::Invited);
        self.legs.push(Leg { leg, of: by, party, side, presence, holds: false, driven: false });
        self.begin_consult(by, callee, false, Some(leg), out);
        self.mark(now);
        Ok(())
    }

    pub(crate) fn consult_answered(&self, who: ParticipantId, out: &mut Vec<Output>) {
        self.tell(What::ConsultStarted, Some(who), out);
        if self.consult.is_some_and(|consult| consult.facing == Facing::Main) {
            self.tell(What::ConsultHeld, Some(who), out);
        }
    }

    /// C13: nobody was reached; the customer stays on hold and can be resumed.
    pub(crate) fn consult_failed(
        &mut self,
        who: ParticipantId,
        outcome: Outcome,
        out: &mut Vec<Output>,
    ) {
        self.participants.retain(|one| one.id != who);
        let Some(consult) = self.consult.take() else {
            return;
        };
        match consult.own_leg {
            Some(own) => self.release_leg(own, outcome.cause, out),
            None => {
                let holds = consult.facing == Facing::Consulted;
                let is_alone = self.others(consult.initiator).next().is_none();
                if let Some(one) = self.participant_mut(consult.initiator) {
                    one.holds = holds && !is_alone;
                }
            }
        }
        self.tell_failed(What::ConsultFailed, who, outcome, out);
    }

    /// C11, C17: the consulted party goes, the others go on.
    pub(crate) fn end_consult(&mut self, outcome: Outcome, out: &mut Vec<Output>) {
        if let Some(consult) = self.consult {
            self.depart(consult.target, outcome, out);
        }
    }

    /// A consult without one of its two is over.
    pub(crate) fn settle_consult(&mut self, outcome: Outcome, out: &mut Vec<Output>) {
        let Some(consult) = self.consult else { return };
        let has_initiator = self.participant(consult.initiator).is_some();
        if has_initiator && self.participant(consult.target).is_some() {
            return;
        }
        self.depart(consult.target, outcome, out); // C24
        self.consult = None;
        if let Some(own) = consult.own_leg {
            self.release_leg(own, Cause::NORMAL, out);
        }
        self.tell(What::ConsultEnded, Some(consult.target), out);
        if has_initiator && consult.facing == Facing::Consulted {
            self.tell(What::Resumed, Some(consult.initiator), out);
        }
    }

    /// One of two lines of a participant is gone; true: the participant stays.
    pub(crate) fn second_leg_left(
        &mut self,
        leg: LegId,
        of: ParticipantId,
        outcome: Outcome,
        out: &mut Vec<Output>,
    ) -> bool {
        let mut rest = self.legs.iter().filter(|one| one.of == of && one.leg != leg);
        let rest = rest.find(|one| one.presence != Presence::Leaving).map(|one| one.leg);
        let Some(rest) = rest else { return false };
        let Some(consult) = self.consult.filter(|consult| consult.initiator == of) else {
            return true;
        };
        if consult.own_leg == Some(leg) {
            self.end_consult(outcome, out);
            return true;
        }
        // The line to the others was hung up: with one other, or none any more, that call is over, the
        // consult goes on (as C22); a conference goes on without its initiator (C24).
        if self.others(of).nth(1).is_some() {
            return false;
        }
        let other = self.others(of).next().map(|one| one.id);
        if consult.own_leg == Some(rest) {
            let turned = Consult { facing: Facing::Consulted, own_leg: None, ..consult };
            self.consult = Some(turned);
            if consult.facing == Facing::Main {
                self.tell(What::ConsultResumed, Some(consult.target), out);
            }
        }
        if let Some(other) = other {
            self.depart(other, outcome, out);
        }
        true
    }

    /// C27: the initiator leaves the others to the consulted party; true: once it has answered
    /// (C12).
    pub(crate) fn consult_transfer(
        &mut self,
        by: ParticipantId,
        on_failure: OnFailure,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(consult) = self.consult.take() else {
            return false;
        };
        let target = consult.target;
        let has_joined = self.participant(target).is_some_and(|one| one.joined.is_some());
        if has_joined {
            self.tell(What::TransferCompleted, Some(target), out);
        } else {
            let party = self.participant(by).map(|one| one.party);
            self.turn_attempt(target, Purpose::Transfer);
            if let Some(party) = party {
                self.transfer = Some(Transfer { by: None, target, party, on_failure });
            }
            self.tell(What::TransferStarted, Some(target), out);
        }
        self.depart(by, Outcome::SYSTEM, out);
        !has_joined
    }

    /// C19: all into one; true: once the consulted party has answered (C12).
    pub(crate) fn merge_consult(&mut self, out: &mut Vec<Output>) -> bool {
        let Some(consult) = self.consult else {
            return false;
        };
        let target = consult.target;
        let has_joined = self.participant(target).is_some_and(|one| one.joined.is_some());
        if let Some(own) = consult.own_leg {
            // One line is enough: the one that is open.
            let kept = self.ear(consult.initiator).filter(|_| has_joined);
            let main = self.lines(consult.initiator).find(|line| line.leg != own);
            let spare = if kept == Some(own) { main.map(|line| line.leg) } else { Some(own) };
            if let Some(spare) = spare {
                self.release_leg(spare, Cause::NORMAL, out);
            }
        }
        self.consult = None;
        if has_joined {
            self.tell(What::Resumed, Some(consult.initiator), out);
            self.joined(target, out);
        } else {
            self.turn_attempt(target, Purpose::Join);
        }
        !has_joined
    }

    fn turn_attempt(&mut self, target: ParticipantId, purpose: Purpose) {
        if let Some(one) = self.attempts.iter_mut().find(|one| one.participant == target) {
            one.purpose = purpose;
            one.caller = None;
        }
    }
}
