//! Blind transfer (T): the others are left to somebody who has not answered yet. They wait, hearing
//! it ring, and are never lost: a target that fails is followed by what T4 says.

use base::Time;
use serde::{Deserialize, Serialize};

use crate::attempt::Purpose;
use crate::command::Callee;
use crate::control::OnFailure;
use crate::happening::What;
use crate::machine::{Call, Outcome, Output};
use crate::participant::{ParticipantId, PartyKey, Role};

/// A transfer whose target has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Who shall have the others.
    pub target: ParticipantId,
    /// The transferor while it waits for the outcome (T11: its phone asked by REFER).
    pub by: Option<ParticipantId>,
    /// Whom to call back.
    pub party: PartyKey,
    /// What happens when the target does not take it.
    pub on_failure: OnFailure,
}

impl Call {
    /// The transfer that goes on.
    pub fn transferring(&self) -> Option<&Transfer> {
        self.transfer.as_ref()
    }

    /// T5. `stays`: the transferor waits for the outcome (T11).
    pub(crate) fn begin_transfer(
        &mut self,
        by: ParticipantId,
        callee: Callee,
        on_failure: OnFailure,
        stays: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(party) = self.participant(by).map(|one| one.party) else {
            return;
        };
        let stays = stays && self.lines(by).next().is_some();
        let target = self.invite(callee.role, callee.party);
        let waits = Some(by).filter(|_| stays);
        self.transfer = Some(Transfer { target, by: waits, party, on_failure });
        self.tell(What::TransferStarted, Some(target), out);
        if stays {
            if let Some(one) = self.participant_mut(by) {
                one.holds = false;
            }
        } else {
            self.depart(by, Outcome::SYSTEM, out); // T6
        }
        self.attempt(Purpose::Transfer, target, None, callee.targets, out);
    }

    pub(crate) fn transfer_answered(
        &mut self,
        _now: Time,
        who: ParticipantId,
        out: &mut Vec<Output>,
    ) {
        let by = self.transfer.take().and_then(|transfer| transfer.by);
        self.tell(What::TransferCompleted, Some(who), out);
        if let Some(by) = by {
            self.depart(by, Outcome::SYSTEM, out);
        }
    }

    /// T4, T11.
    pub(crate) fn transfer_failed(
        &mut self,
        now: Time,
        who: ParticipantId,
        outcome: Outcome,
        out: &mut Vec<Output>,
    ) {
        self.participants.retain(|one| one.id != who);
        self.tell_failed(What::TransferFailed, who, outcome, out);
        let Some(transfer) = self.transfer.take() else {
            return;
        };
        if transfer.by.is_some_and(|by| self.participant(by).is_some()) {
            return; // it is with the others again
        }
        match transfer.on_failure {
            OnFailure::Recall | OnFailure::Requeue => {
                let again = self.invite(Role::Agent, transfer.party);
                self.attempt(Purpose::Recall, again, None, 1, out);
            }
            OnFailure::Drop => self.end(now, outcome, out),
        }
    }

    pub(crate) fn recalled(&self, who: ParticipantId, out: &mut Vec<Output>) {
        self.tell(What::Resumed, Some(who), out);
    }

    /// A transfer of nobody is none.
    pub(crate) fn settle_transfer(&mut self, outcome: Outcome, out: &mut Vec<Output>) {
        if let Some(transfer) = self.transfer
            && transfer.by.is_some_and(|by| self.participant(by).is_none())
        {
            self.transfer = Some(Transfer { by: None, ..transfer });
        }
        if self.main().next().is_none() {
            while let Some(awaited) = self.awaited().map(|attempt| attempt.participant) {
                self.depart(awaited, outcome, out);
            }
            self.transfer = None;
        }
    }
}
