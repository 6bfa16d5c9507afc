//! What programs and people ask for. Every command gets its reply in the same step.

use base::Time;
use call::CallId;
use call::control::Refusal;

use super::Core;
use crate::api::{
    Act, Actor, Command, CommandResult, GatewaySnapshot, Refused, RegistrationSnapshot, Reply,
    RequestId, TrunkSnapshot,
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
            Command::Act { interaction, participant, act } => {
                let call = self.seen_by(actor, &interaction)?;
                let by = self.acting(actor, call, participant.as_deref())?;
                let holds = matches!(act, Act::Hold { release_line: false });
                let reply = self.act(now, call, by, act, out)?;
                if holds {
                    self.hold_phone(now, call, by, out);
                }
                Ok(reply)
            }
            Command::Outdial { extension, to, route } => {
                self.outdial(now, actor, extension.as_deref(), &to, route.as_deref(), out)
            }
            Command::Pickup { extension, by } => {
                self.pickup(now, actor, &extension, by.as_deref(), out)
            }
            Command::Monitor { interaction, agent, mode, extension } => {
                let post = self.listening_post(actor, extension.as_deref())?;
                let watched = self.to_monitor(actor, interaction.as_deref(), agent.as_deref())?;
                self.monitor(now, watched, mode, post, out)
            }
            Command::MonitorMode { session, mode } => {
                oversees(actor)?;
                let (call, who) = self.session(&session)?;
                let mut result = Err(Refusal::NotFound);
                self.with_call(now, call, out, |state, _, commands| {
                    result = state.call.switch_monitoring(who, mode, commands);
                });
                result?;
                self.done(now, call)
            }
            Command::MonitorEnd { session } => {
                oversees(actor)?;
                let (call, who) = self.session(&session)?;
                let mut result = Err(Refusal::NotFound);
                self.with_call(now, call, out, |state, now, commands| {
                    result = state.call.end_monitoring(now, who, commands);
                });
                result?;
                self.done(now, call)
            }
            Command::Registrations => {
                oversees(actor)?;
                Ok(Reply::Registrations(self.show_registrations(now)))
            }
            Command::Trunks => {
                oversees(actor)?;
                Ok(Reply::Trunks(self.show_trunks()))
            }
        }
    }

    pub(super) fn done(&self, now: Time, call: CallId) -> CommandResult {
        let shown = self.show(now, call).ok_or(Refusal::NotFound)?;
        Ok(Reply::Done(Box::new(shown)))
    }

    /// The interaction of this id, when the actor may see it; else it does not exist for them.
    pub(super) fn seen_by(&self, actor: &Actor, interaction: &str) -> Result<CallId, Refused> {
        let call = self.by_id(interaction).ok().filter(|call| self.may_see(actor, *call));
        call.ok_or_else(|| Refused::new(Refusal::NotFound, "no such interaction"))
    }

    pub(super) fn may_see(&self, actor: &Actor, call: CallId) -> bool {
        let Actor::Agent { extension } = actor else { return true };
        let Some(at) = self.directory.extension(extension) else { return false };
        let Some(state) = self.calls.get(&call) else { return false };
        let key = Party::Extension(at).key();
        state.call.participants().iter().any(|one| one.party == key) || state.call.rings_at(key)
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
            gateways: state.gateways().map(|(_, gateway)| show_gateway(gateway)).collect(),
            registered: trunk.register.map(|_| state.registration.registered),
            calls: state.calls,
            calls_max: trunk.calls_max,
        });
        shown.collect()
    }
}

fn show_gateway(gateway: &crate::trunk::Gateway) -> GatewaySnapshot {
    GatewaySnapshot {
        address: gateway.target.addr,
        transport: gateway.target.transport.as_str().to_owned(),
        up: gateway.is_up(),
    }
}

/// Only who is more than an agent.
pub(super) fn oversees(actor: &Actor) -> Result<(), Refused> {
    match actor {
        Actor::Agent { .. } => Err(Refusal::Forbidden.into()),
        Actor::Supervisor { .. } | Actor::Admin | Actor::Integrator => Ok(()),
    }
}
