//! What programs and people ask for. Every command gets its reply in the same step.

use base::Time;
use call::control::Refusal;
use call::{CallId, Cause};

use super::Core;
use crate::api::{
    Act, Actor, Command, CommandResult, Refused, RegistrationSnapshot, Reply, RequestId,
    TrunkSnapshot,
};
use crate::io::Output;
use crate::party::Party;

impl Core {
    /// Does what is asked, or says why not.
    pub(super) fn asked(
        &mut self,
        now: Time,
        request: RequestId,
        actor: &Actor,
        command: Command,
        out: &mut Vec<Output>,
    ) {
        let result = self.answer_command(now, actor, command, out);
        out.push(Output::Reply { request, result });
    }

    fn answer_command(
        &mut self,
        now: Time,
        actor: &Actor,
        command: Command,
        out: &mut Vec<Output>,
    ) -> CommandResult {
        match command {
            Command::Interactions => {
                let calls: Vec<_> = self.calls.keys().copied().collect();
                let seen = calls.into_iter().filter(|call| self.may_see(actor, *call));
                Ok(Reply::Interactions(seen.filter_map(|call| self.show(now, call)).collect()))
            }
            Command::Interaction { interaction } => {
                let call = self.seen_by(actor, &interaction)?;
                self.done(now, call)
            }
            Command::Act { interaction, participant: _, act } => {
                let call = self.seen_by(actor, &interaction)?;
                self.act(now, call, &act, out)
            }
            Command::Registrations => {
                oversees(actor)?;
                Ok(Reply::Registrations(self.show_registrations(now)))
            }
            Command::Trunks => {
                oversees(actor)?;
                Ok(Reply::Trunks(self.show_trunks()))
            }
            Command::Outdial { .. }
            | Command::Pickup { .. }
            | Command::Monitor { .. }
            | Command::MonitorMode { .. }
            | Command::MonitorEnd { .. } => Err(Refusal::InvalidState.into()),
        }
    }

    fn act(&mut self, now: Time, call: CallId, act: &Act, out: &mut Vec<Output>) -> CommandResult {
        match act {
            Act::End => {
                self.release_call(now, call, Cause::NORMAL, out);
                self.done(now, call)
            }
            Act::NoiseSuppression { target, enabled, .. } => {
                let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
                let legs = state.call.participants().iter().map(|party| party.leg);
                let leg = legs.into_iter().find(|leg| leg.0.to_string() == *target);
                self.switch_noise_removal(leg.ok_or(Refusal::NotFound)?, *enabled);
                self.done(now, call)
            }
            Act::Accept
            | Act::Decline
            | Act::Hold { .. }
            | Act::Resume
            | Act::Mute
            | Act::Unmute
            | Act::Dtmf { .. }
            | Act::Consult { .. }
            | Act::ConsultEnd
            | Act::ConsultExit
            | Act::ConsultHold
            | Act::ConsultResume
            | Act::ConsultTransfer
            | Act::ConsultConference
            | Act::Toggle
            | Act::Transfer { .. }
            | Act::ConferenceAdd { .. }
            | Act::ConferenceExit
            | Act::ConferenceEnd
            | Act::Remove { .. }
            | Act::RecordStart
            | Act::RecordStop
            | Act::RecordPause
            | Act::RecordResume => Err(Refusal::InvalidState.into()),
        }
    }

    pub(super) fn done(&self, now: Time, call: CallId) -> CommandResult {
        let shown = self.show(now, call).ok_or(Refusal::NotFound)?;
        Ok(Reply::Done(Box::new(shown)))
    }

    /// The interaction of this id, when the actor may see it; else it does not exist for them.
    pub(super) fn seen_by(&self, actor: &Actor, interaction: &str) -> Result<CallId, Refused> {
        let number = interaction.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
        let call = number.map(CallId).filter(|call| self.record_id(*call) == interaction);
        let call = call.filter(|call| self.calls.contains_key(call) && self.may_see(actor, *call));
        call.ok_or_else(|| Refused::new(Refusal::NotFound, "no such interaction"))
    }

    pub(super) fn may_see(&self, actor: &Actor, call: CallId) -> bool {
        let Actor::Agent { extension } = actor else { return true };
        let Some(at) = self.directory.extension(extension) else { return false };
        let Some(state) = self.calls.get(&call) else { return false };
        let legs = state.call.participants().iter().filter_map(|party| self.legs.get(&party.leg));
        legs.into_iter().any(|leg| *leg.party() == Party::Extension(at))
    }

    fn show_registrations(&self, now: Time) -> Vec<RegistrationSnapshot> {
        let bindings = self.registrar.bindings();
        let shown = bindings.map(|binding| RegistrationSnapshot {
            extension: binding.aor.to_string(),
            contact: binding.contact.to_string(),
            address: binding.target.addr,
            transport: binding.target.transport.as_str().to_owned(),
            user_agent: binding.user_agent.to_string(),
            expires_in_s: (binding.expires_at - now).as_secs(),
            reachable: binding.is_reachable(),
        });
        shown.collect()
    }

    fn show_trunks(&self) -> Vec<TrunkSnapshot> {
        let trunks = self.config.trunks.iter().zip(&self.trunks);
        let shown = trunks.map(|(trunk, state)| TrunkSnapshot {
            name: trunk.name.clone(),
            up: state.is_up(),
            registered: trunk.register.map(|_| state.registration.registered),
            calls: state.calls,
            calls_max: trunk.calls_max,
        });
        shown.collect()
    }
}

/// Only who is more than an agent.
pub(super) fn oversees(actor: &Actor) -> Result<(), Refused> {
    match actor {
        Actor::Agent { .. } => Err(Refusal::Forbidden.into()),
        Actor::Supervisor { .. } | Actor::Admin | Actor::Integrator => Ok(()),
    }
}
