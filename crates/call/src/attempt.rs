//! Somebody being called: why, and what becomes of it.
//!
//! ```text
//!            Dial(target)     a phone Answered
//! begun ───▶ dialling ─────────────────────────▶ joined as the purpose says
//!              │  ▲ next target
//!              └──┴── refused, lost, Ring ──▶ failed as the purpose says
//! ```

use serde::{Deserialize, Serialize};

use base::{Time, define_id};

use crate::dial::Dialling;
use crate::machine::{Call, Outcome, Output, State, Timer};
use crate::participant::{ParticipantId, PartyKey, Role};
use crate::record::EndedBy;
use crate::{Cause, Leg, LegCommand, LegId, Presence, Side};

define_id!(
    /// Somebody being called, within one call.
    AttemptId,
    "attempt"
);

/// Why somebody is being called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// The call itself.
    First,
    /// The phone of the agent who calls by command, before the call itself (I5).
    OwnPhone,
    /// A consult.
    Consult,
    /// A transfer: whoever answers gets the others.
    Transfer,
    /// A consult that was merged before its answer (C12).
    Join,
    /// The agent whose transfer failed (T4).
    Recall,
    /// An agent whose line was released (H6).
    Retrieve,
    /// A supervisor.
    Monitor,
}

/// Somebody being called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// Why.
    pub purpose: Purpose,
    /// Who is being called.
    pub participant: ParticipantId,
    /// The leg that dialled and is told of progress.
    pub caller: Option<LegId>,
    pub(crate) dialling: Dialling,
    pub(crate) targets: usize,
}

impl Call {
    /// Somebody to be called joins the list of participants.
    pub(crate) fn invite(&mut self, role: Role, party: PartyKey) -> ParticipantId {
        self.next_participant += 1;
        let id = ParticipantId { call: self.id, number: self.next_participant };
        self.participants.push(crate::Participant {
            id,
            role,
            party,
            joined: None,
            holds: false,
            muted: false,
            watch: None,
        });
        id
    }

    /// Begins to call `participant`.
    pub(crate) fn attempt(
        &mut self,
        purpose: Purpose,
        participant: ParticipantId,
        caller: Option<LegId>,
        targets: usize,
        out: &mut Vec<Output>,
    ) {
        let id = self.next_attempt();
        self.attempts_made += 1;
        let dialling = Dialling::default();
        self.attempts.push(Attempt { id, purpose, participant, caller, dialling, targets });
        // The timer first: dialling may fail at once.
        out.push(Output::Arm(Timer::Ring(id), self.limits.ring));
        out.push(Output::Dial { attempt: id, target: 0 });
    }

    /// The id that the next attempt will have, so that its owner can keep its targets.
    pub fn next_attempt(&self) -> AttemptId {
        AttemptId(self.attempts_made + 1)
    }

    /// Whoever is being called.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The attempt that a leg was placed for, while it may still be answered.
    pub fn attempt_for(&self, leg: LegId) -> Option<AttemptId> {
        let leg = self.leg(leg).filter(|leg| leg.is_candidate())?;
        self.attempt_of(leg.of).map(|attempt| attempt.id)
    }

    pub(crate) fn attempt_of(&self, participant: ParticipantId) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.participant == participant)
    }

    /// Adds a leg placed for the target being dialled.
    pub fn add_leg(&mut self, attempt: AttemptId, leg: LegId, party: PartyKey) {
        let Some(attempt) = self.attempts.iter().find(|one| one.id == attempt) else {
            return;
        };
        let of = attempt.participant;
        let presence = Presence::Invited;
        self.legs.push(Leg {
            leg,
            of,
            party,
            side: Side::Callee,
            presence,
            holds: false,
            driven: false,
        });
    }

    /// The target being dialled has no phone to ring, or none that could be reached.
    pub fn target_failed(
        &mut self,
        now: Time,
        attempt: AttemptId,
        cause: Cause,
        out: &mut Vec<Output>,
    ) {
        if let Some(at) = self.attempts.iter().position(|one| one.id == attempt) {
            self.attempts[at].dialling.failed(cause, EndedBy::System);
            self.dial_on(now, attempt, out);
            self.mark(now);
        }
    }

    /// The target that `leg` was placed for named another one: the owner puts that into the list of
    /// the attempt at the returned place, and it is dialled next, whatever the failure. `None`: too
    /// late.
    pub fn redirected(&mut self, leg: LegId) -> Option<(AttemptId, usize)> {
        let of = self.leg(leg).filter(|leg| leg.is_candidate())?.of;
        let attempt = self.attempts.iter_mut().find(|attempt| attempt.participant == of)?;
        attempt.targets += 1;
        Some((attempt.id, attempt.dialling.redirected()))
    }

    /// Nobody answered in time.
    pub(crate) fn rang_out(&mut self, now: Time, attempt: AttemptId, out: &mut Vec<Output>) {
        let Some(at) = self.attempts.iter().position(|one| one.id == attempt) else {
            return;
        };
        self.attempts[at].dialling.timed_out();
        let of = self.attempts[at].participant;
        self.release_candidates(of, Cause::CANCELLED, false, out);
        self.dial_on(now, attempt, out);
    }

    /// Dials the next target once no phone of the present one is left.
    pub(crate) fn dial_on(&mut self, now: Time, attempt: AttemptId, out: &mut Vec<Output>) {
        let Some(at) = self.attempts.iter().position(|one| one.id == attempt) else {
            return;
        };
        let of = self.attempts[at].participant;
        if self.legs.iter().any(|leg| leg.of == of && leg.is_candidate()) {
            return;
        }
        let targets = self.attempts[at].targets;
        match self.attempts[at].dialling.next_target(targets) {
            Some(target) => {
                out.push(Output::Arm(Timer::Ring(attempt), self.limits.ring));
                out.push(Output::Dial { attempt, target });
            }
            None => {
                let failed = self.attempts.remove(at);
                out.push(Output::Disarm(Timer::Ring(attempt)));
                let (cause, by) = failed.dialling.verdict();
                self.attempt_failed(now, failed, Outcome { cause, by }, out);
            }
        }
    }

    /// A phone was answered: it has the call, the other phones are told so.
    pub(crate) fn attempt_answered(&mut self, now: Time, at: usize, out: &mut Vec<Output>) {
        let winner = self.legs[at];
        let found = self.attempts.iter().position(|one| one.participant == winner.of);
        let Some(found) = found else { return };
        let attempt = self.attempts.remove(found);
        self.legs[at].presence = Presence::Connected;
        out.push(Output::Disarm(Timer::Ring(attempt.id)));
        if let Some(participant) = self.participant_mut(winner.of) {
            participant.party = winner.party;
            participant.joined.get_or_insert(now);
        }
        if let Some(caller) = attempt.caller {
            self.answer(now, caller, out);
        }
        self.release_candidates(winner.of, Cause::CANCELLED, true, out);
        self.attempt_joined(now, attempt, out);
    }

    fn answer(&mut self, now: Time, caller: LegId, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.leg == caller) else {
            return;
        };
        if leg.presence < Presence::Connected {
            leg.presence = Presence::Connected;
            out.push(Output::Leg(caller, LegCommand::Answer));
        }
        let of = leg.of;
        if let Some(participant) = self.participant_mut(of) {
            participant.joined.get_or_insert(now);
        }
    }

    fn attempt_joined(&mut self, now: Time, attempt: Attempt, out: &mut Vec<Output>) {
        let who = attempt.participant;
        match attempt.purpose {
            Purpose::First => self.first_answered(now, who, out),
            Purpose::OwnPhone => self.own_phone_answered(out),
            Purpose::Consult => self.consult_answered(who, out),
            Purpose::Transfer => self.transfer_answered(now, who, out),
            Purpose::Join => self.joined(who, out),
            Purpose::Recall => self.recalled(who, out),
            Purpose::Retrieve => self.retrieved(who, out),
            Purpose::Monitor => self.monitor_answered(who, out),
        }
        self.settle(now, Outcome::SYSTEM, out);
    }

    fn attempt_failed(
        &mut self,
        now: Time,
        attempt: Attempt,
        outcome: Outcome,
        out: &mut Vec<Output>,
    ) {
        let who = attempt.participant;
        match attempt.purpose {
            Purpose::First | Purpose::OwnPhone | Purpose::Recall => self.end(now, outcome, out),
            Purpose::Consult => self.consult_failed(who, outcome, out),
            Purpose::Transfer => self.transfer_failed(now, who, outcome, out),
            Purpose::Join => self.join_failed(who, outcome, out),
            Purpose::Retrieve => self.retrieve_failed(who, outcome, out),
            Purpose::Monitor => self.monitor_failed(who, outcome, out),
        }
        if self.state != State::Ending {
            self.settle(now, outcome, out);
        }
    }

    /// Takes an attempt and its phones away.
    pub(crate) fn drop_attempt(&mut self, participant: ParticipantId, out: &mut Vec<Output>) {
        let at = self.attempts.iter().position(|attempt| attempt.participant == participant);
        if let Some(at) = at {
            let attempt = self.attempts.remove(at);
            out.push(Output::Disarm(Timer::Ring(attempt.id)));
            self.release_candidates(participant, Cause::CANCELLED, false, out);
        }
    }

    /// Ends every leg of `of` that has not answered.
    fn release_candidates(
        &mut self,
        of: ParticipantId,
        cause: Cause,
        elsewhere: bool,
        out: &mut Vec<Output>,
    ) {
        for leg in self.legs.iter_mut().filter(|leg| leg.of == of && leg.is_candidate()) {
            leg.presence = Presence::Leaving;
            out.push(Output::Leg(leg.leg, LegCommand::Release { cause, elsewhere }));
        }
    }

    /// Passes progress on to who dialled; never a step back, but ringing after early media is told.
    pub(crate) fn tell_caller(
        &mut self,
        of: ParticipantId,
        presence: Presence,
        command: LegCommand,
        out: &mut Vec<Output>,
    ) {
        let Some(caller) = self.attempt_of(of).and_then(|attempt| attempt.caller) else {
            return;
        };
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.leg == caller) else {
            return;
        };
        if leg.presence < Presence::Connected {
            leg.presence = leg.presence.max(presence);
            out.push(Output::Leg(caller, command));
        }
    }
}
