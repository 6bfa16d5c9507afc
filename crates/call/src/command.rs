//! What participants ask for, by the API or the phone: checked by [`Call::allows`], then done. What
//! the controls allow is never refused here.

use base::Time;

use crate::attempt::AttemptId;
use crate::control::{OnFailure, Refusal, Verb};
use crate::machine::{Call, Outcome, Output, by as ended_by};
use crate::participant::{ParticipantId, PartyKey, Role};
use crate::record::EndedBy;
use crate::{Cause, Presence, Side};

/// Somebody to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callee {
    /// Who it will be to the call.
    pub role: Role,
    /// Who it is to the owner.
    pub party: PartyKey,
    /// How many targets lead there.
    pub targets: usize,
    /// Whether it may be transferred to or merged before its answer: a queue, an entry point, a
    /// number (C12).
    pub early: bool,
}

/// What a participant asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// [`Verb::Decline`].
    Decline,
    /// [`Verb::Hold`].
    Hold,
    /// [`Verb::ReleaseLine`].
    ReleaseLine,
    /// [`Verb::Resume`].
    Resume,
    /// [`Verb::Mute`].
    Mute,
    /// [`Verb::Unmute`].
    Unmute,
    /// [`Verb::End`].
    End,
    /// [`Verb::Consult`].
    Consult {
        /// Whom.
        callee: Callee,
        /// Whether the others of a conference are held meanwhile (F3, C21).
        hold_others: bool,
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
    ConsultTransfer {
        /// When it has not answered yet, and does not (T4).
        on_failure: OnFailure,
    },
    /// [`Verb::ConsultConference`].
    ConsultConference,
    /// [`Verb::Toggle`].
    Toggle,
    /// [`Verb::Transfer`].
    Transfer {
        /// To whom.
        callee: Callee,
        /// When they do not take it (T4).
        on_failure: OnFailure,
        /// Whether the transferor waits for the outcome (T11).
        stays: bool,
    },
    /// [`Verb::ConferenceExit`].
    ConferenceExit,
    /// [`Verb::ConferenceEnd`].
    ConferenceEnd,
    /// [`Verb::Remove`].
    Remove(ParticipantId),
    /// [`Verb::RecordStart`].
    RecordStart,
    /// [`Verb::RecordStop`].
    RecordStop,
    /// [`Verb::RecordPause`].
    RecordPause,
    /// [`Verb::RecordResume`].
    RecordResume,
}

impl Command {
    /// Its verb.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Decline => Verb::Decline,
            Self::Hold => Verb::Hold,
            Self::ReleaseLine => Verb::ReleaseLine,
            Self::Resume => Verb::Resume,
            Self::Mute => Verb::Mute,
            Self::Unmute => Verb::Unmute,
            Self::End => Verb::End,
            Self::Consult { .. } => Verb::Consult,
            Self::ConsultEnd => Verb::ConsultEnd,
            Self::ConsultExit => Verb::ConsultExit,
            Self::ConsultHold => Verb::ConsultHold,
            Self::ConsultResume => Verb::ConsultResume,
            Self::ConsultTransfer { .. } => Verb::ConsultTransfer,
            Self::ConsultConference => Verb::ConsultConference,
            Self::Toggle => Verb::Toggle,
            Self::Transfer { .. } => Verb::Transfer,
            Self::ConferenceExit => Verb::ConferenceExit,
            Self::ConferenceEnd => Verb::ConferenceEnd,
            Self::Remove(_) => Verb::Remove,
            Self::RecordStart => Verb::RecordStart,
            Self::RecordStop => Verb::RecordStop,
            Self::RecordPause => Verb::RecordPause,
            Self::RecordResume => Verb::RecordResume,
        }
    }
}

/// How far a command has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is done.
    Done,
    /// Somebody is being called.
    Pending,
}

impl Call {
    /// Does what `by` asks for, or says why not.
    pub fn command(
        &mut self,
        now: Time,
        by: ParticipantId,
        command: Command,
        out: &mut Vec<Output>,
    ) -> Result<Progress, Refusal> {
        self.allows(by, command.verb())?;
        if let Command::Remove(target) = command
            && (target == by || !self.is_main(target))
        {
            return Err(Refusal::NotFound);
        }
        let waits = self.act(now, by, command, out);
        self.settle(now, self.outcome_by(by), out);
        self.mark(now);
        Ok(if waits { Progress::Pending } else { Progress::Done })
    }

    /// True: somebody is being called, the result comes later.
    fn act(
        &mut self,
        now: Time,
        by: ParticipantId,
        command: Command,
        out: &mut Vec<Output>,
    ) -> bool {
        match command {
            Command::Decline => self.decline(now, by, out),
            Command::Hold => self.hold(by, out),
            Command::ReleaseLine => self.release_line(by, out),
            Command::Resume => return self.resume(by, out),
            Command::Mute => self.mute(by, true, out),
            Command::Unmute => self.mute(by, false, out),
            Command::End | Command::ConferenceEnd => {
                self.close(now, self.outcome_by(by), out);
            }
            Command::Consult { callee, hold_others } => {
                self.begin_consult(by, callee, hold_others, None, out);
                return true;
            }
            Command::ConsultEnd | Command::ConsultExit => self.end_consult(Outcome::SYSTEM, out),
            Command::ConsultHold => self.face(crate::Facing::Main, out),
            Command::ConsultResume => self.face(crate::Facing::Consulted, out),
            Command::Toggle => self.toggle(out),
            Command::ConsultTransfer { on_failure } => {
                return self.consult_transfer(by, on_failure, out);
            }
            Command::ConsultConference => return self.merge_consult(out),
            Command::Transfer { callee, on_failure, stays } => {
                self.begin_transfer(by, callee, on_failure, stays, out);
                return true;
            }
            Command::ConferenceExit => self.depart(by, Outcome::SYSTEM, out),
            Command::Remove(target) => self.depart(target, Outcome::SYSTEM, out),
            Command::RecordStart => self.begin_recording(out),
            Command::RecordStop => self.end_recording(out),
            Command::RecordPause => self.pause_recording(out),
            Command::RecordResume => self.resume_recording(out),
        }
        false
    }

    fn toggle(&mut self, out: &mut Vec<Output>) {
        match self.consult.map(|consult| consult.facing) {
            Some(crate::Facing::Main) => self.face(crate::Facing::Consulted, out),
            Some(crate::Facing::Consulted) => self.face(crate::Facing::Main, out),
            None => {}
        }
    }

    /// All phones of somebody who is being called refuse.
    fn decline(&mut self, now: Time, who: ParticipantId, out: &mut Vec<Output>) {
        let ringing = |leg: &&crate::Leg| leg.of == who && leg.is_candidate();
        let legs: Vec<_> = self.legs.iter().filter(ringing).map(|leg| leg.leg).collect();
        if let Some(one) = self.attempts.iter_mut().find(|one| one.participant == who) {
            one.dialling.failed(Cause::DECLINED, EndedBy::Callee);
        }
        for leg in legs {
            self.release_leg(leg, Cause::CANCELLED, out);
        }
        if let Some(attempt) = self.attempt_of(who).map(|attempt| attempt.id) {
            self.dial_on(now, attempt, out);
        }
    }

    fn outcome_by(&self, who: ParticipantId) -> Outcome {
        let side = self.legs.iter().find(|leg| leg.of == who).map(|leg| leg.side);
        let is_caller = self.participant(who).is_some_and(|one| one.id.number == 1);
        let by = match side {
            Some(Side::Callee) if is_caller => EndedBy::Caller,
            Some(side) => ended_by(side),
            None => EndedBy::System,
        };
        Outcome { cause: Cause::NORMAL, by }
    }

    /// I2: whether somebody else may take this call, which rings elsewhere; the attempt that the
    /// legs of the new phone are to be added to.
    pub fn may_pickup(&self) -> Result<AttemptId, Refusal> {
        let first = self.attempts.iter().find(|one| one.purpose == crate::Purpose::First);
        let first = first.filter(|one| {
            self.participant(one.participant).is_some_and(|callee| callee.role == Role::Agent)
        });
        first.map(|one| one.id).ok_or(Refusal::InvalidState)
    }

    /// Whether any phone rings for `party`.
    pub fn rings_at(&self, party: PartyKey) -> bool {
        self.legs.iter().any(|leg| {
            leg.party == party && leg.is_candidate() && leg.presence != Presence::Leaving
        })
    }
}
