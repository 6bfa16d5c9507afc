//! What participants ask for in a call: targets are found, the machine decides, what it commands is
//! done.

use base::Time;
use call::control::{OnFailure, Refusal};
use call::{CallId, Callee, Command, ParticipantId, Progress};

use super::Core;
use super::noise::Switched;
use super::reach::{Found, Reach};
use crate::api::{Act, Actor, CommandResult, NoiseDirection, Refused, Reply, To};
use crate::io::Output;
use crate::party::{Identity, Party};

impl Core {
    /// In whose name `actor` acts: an agent in the own, others in that of the participant they name
    /// or of the agent in control.
    pub(super) fn acting(
        &self,
        actor: &Actor,
        call: CallId,
        named: Option<&str>,
    ) -> Result<ParticipantId, Refused> {
        let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
        if let Actor::Agent { extension } = actor {
            let at = self.directory.extension(extension).ok_or(Refusal::Forbidden)?;
            let own = state.call.of_party(Party::Extension(at).key());
            return own.ok_or_else(|| Refusal::NotFound.into());
        }
        if let Some(named) = named {
            return participant(&state.call, named);
        }
        let agents = state.call.participants().iter();
        let mut agents = agents.filter(|one| one.role == call::Role::Agent).map(|one| one.id);
        let first = state.call.primary().or_else(|| agents.next());
        first.ok_or_else(|| Refusal::InvalidState.into())
    }

    /// Does what a participant asks for.
    pub(super) fn act(
        &mut self,
        now: Time,
        call: CallId,
        by: ParticipantId,
        act: Act,
        out: &mut Vec<Output>,
    ) -> CommandResult {
        let verb = act.verb();
        // The machine's word first: what is refused by it is so whatever the target.
        self.calls.get(&call).ok_or(Refusal::NotFound)?.call.allows(by, verb)?;
        let command = match act {
            Act::Accept => return self.answer_phone(now, call, by, out),
            Act::Decline => Command::Decline,
            Act::Hold { release_line: false } => Command::Hold,
            Act::Hold { release_line: true } => Command::ReleaseLine,
            Act::Resume => {
                self.wake_phone(now, call, by, out);
                Command::Resume
            }
            Act::Mute => Command::Mute,
            Act::Unmute => Command::Unmute,
            Act::Dtmf { keys } => return self.press(now, call, by, &keys, out),
            Act::End => Command::End,
            Act::Consult { to, hold_participants } => {
                return self.consult(now, call, by, &to, hold_participants, out);
            }
            Act::ConsultEnd => Command::ConsultEnd,
            Act::ConsultExit => Command::ConsultExit,
            Act::ConsultHold => Command::ConsultHold,
            Act::ConsultResume => Command::ConsultResume,
            Act::ConsultTransfer => Command::ConsultTransfer {
                on_failure: self.config.interactions.on_transfer_failure,
            },
            Act::ConsultConference => Command::ConsultConference,
            Act::Toggle => Command::Toggle,
            Act::Transfer { to, on_failure } => {
                return self.transfer(now, call, by, &to, on_failure, out);
            }
            Act::ConferenceAdd { interactions } => {
                return self.add_calls(now, call, by, &interactions, out);
            }
            Act::ConferenceExit => Command::ConferenceExit,
            Act::ConferenceEnd => Command::ConferenceEnd,
            Act::Remove { target } => {
                let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
                Command::Remove(participant(&state.call, &target)?)
            }
            Act::RecordStart => Command::RecordStart,
            Act::RecordStop => Command::RecordStop,
            Act::RecordPause => Command::RecordPause,
            Act::RecordResume => Command::RecordResume,
            Act::NoiseSuppression { target, enabled, direction, level } => {
                let switched = Switched { enabled, settings: level };
                return self.switch_noise(now, call, &target, direction, switched, out);
            }
        };
        self.command_call(now, call, by, command, None, out)
    }

    /// Lets the machine do `command`; `reach` says how whom it calls is reached.
    pub(super) fn command_call(
        &mut self,
        now: Time,
        call: CallId,
        by: ParticipantId,
        command: Command,
        reach: Option<(Reach, Identity)>,
        out: &mut Vec<Output>,
    ) -> CommandResult {
        let mut result = Err(Refusal::NotFound);
        self.with_call(now, call, out, |state, now, commands| {
            let called = state.call.next_attempt();
            result = state.call.command(now, by, command, commands);
            let attempt = state.call.attempts().iter().find(|one| one.id == called);
            if let (Ok(_), Some((reach, name)), Some(attempt)) = (&result, reach, attempt) {
                state.names.push((attempt.participant, name));
                state.reaches.push(Reach { attempt: Some(called), ..reach });
            }
        });
        self.replied(now, call, result?)
    }

    fn replied(&self, now: Time, call: CallId, progress: Progress) -> CommandResult {
        let shown = Box::new(self.show(now, call).ok_or(Refusal::NotFound)?);
        Ok(match progress {
            Progress::Done => Reply::Done(shown),
            Progress::Pending => Reply::Pending(shown),
        })
    }

    fn consult(
        &mut self,
        now: Time,
        call: CallId,
        by: ParticipantId,
        to: &To,
        hold_others: bool,
        out: &mut Vec<Output>,
    ) -> CommandResult {
        let found = self.target(call, by, to)?;
        let from = self.calls.get(&call).map(|state| state.identity(by, &self.config));
        let (callee, reach) = self.prepared(call, by, found, from.unwrap_or_default());
        let command = Command::Consult { callee, hold_others };
        self.wake_phone(now, call, by, out);
        self.command_call(now, call, by, command, Some(reach), out)
    }

    fn transfer(
        &mut self,
        now: Time,
        call: CallId,
        by: ParticipantId,
        to: &To,
        on_failure: Option<OnFailure>,
        out: &mut Vec<Output>,
    ) -> CommandResult {
        let found = self.target(call, by, to)?;
        if !self.has_phone(now, &found.party) {
            return Err(Refusal::AgentNotAvailable.into()); // T3
        }
        let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
        // The target sees whom it gets, not who gives.
        let other = state.other_than(by).unwrap_or(by);
        let from = state.identity(other, &self.config);
        let (callee, reach) = self.prepared(call, by, found, from);
        let on_failure = on_failure.unwrap_or(self.config.interactions.on_transfer_failure);
        let command = Command::Transfer { callee, on_failure, stays: false };
        self.command_call(now, call, by, command, Some(reach), out)
    }

    /// Whom a target names; nobody who is in the call already.
    pub(super) fn target(
        &self,
        call: CallId,
        by: ParticipantId,
        to: &To,
    ) -> Result<Found, Refused> {
        let extension = self.extension_of(call, by)?;
        let found = self.find(extension, to, None)?;
        let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
        let is_agent = matches!(found.party, Party::Extension(_));
        let is_here = state.call.participants().iter().any(|one| one.party == found.party.key());
        if is_agent && is_here {
            return Err(Refused::new(Refusal::InvalidState, "takes part in it already"));
        }
        Ok(found)
    }

    /// The extension whose dial plan counts for a participant.
    fn extension_of(&self, call: CallId, who: ParticipantId) -> Result<usize, Refused> {
        let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
        let one = state.call.participant(who).ok_or(Refusal::NotFound)?;
        Party::of_key(one.party).extension().ok_or_else(|| Refusal::Forbidden.into())
    }

    pub(super) fn prepared(
        &self,
        call: CallId,
        by: ParticipantId,
        found: Found,
        from: Identity,
    ) -> (Callee, (Reach, Identity)) {
        let callee = Callee {
            role: found.role(),
            party: found.party.key(),
            targets: found.destinations.len(),
            early: found.early,
        };
        let extension = self.extension_of(call, by).unwrap_or_default();
        let name = Identity { display: found.name, number: found.number, ..Identity::default() };
        let reach = Reach {
            attempt: None,
            by: Party::Extension(extension),
            from,
            to: name.number.clone(),
            destinations: found.destinations,
            auto_answer: false,
            referred_by: None,
        };
        (callee, (reach, name))
    }

    fn switch_noise(
        &mut self,
        now: Time,
        call: CallId,
        target: &str,
        direction: NoiseDirection,
        switched: Switched,
        out: &mut Vec<Output>,
    ) -> CommandResult {
        let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
        let who = participant(&state.call, target)?;
        for leg in state.noisy_legs(who, direction) {
            self.switch_noise_removal(leg, switched);
        }
        self.tell_noise(now, call, who, out);
        self.done(now, call)
    }
}

/// The participant of this id.
pub(super) fn participant(call: &call::Call, id: &str) -> Result<ParticipantId, Refused> {
    let found = call.participants().iter().find(|one| one.id.to_string() == id);
    found.map(|one| one.id).ok_or_else(|| Refused::new(Refusal::NotFound, "no such participant"))
}
