//! Calls that begin by a command: an agent's own phone first, then whom they want (I5); a call that
//! rings elsewhere is taken (I2); a supervisor listens (U0).

use base::Time;
use call::control::{MonitorMode, Refusal};
use call::{Call, CallId, Cause, ParticipantId};

use super::reach::Reach;
use super::{CallState, Core, Counted};
use crate::api::{Actor, CommandResult, Refused, Reply, To};
use crate::core::dial::Destination;
use crate::io::Output;
use crate::party::{Identity, Party};

impl Core {
    /// I5.
    pub(super) fn outdial(
        &mut self,
        now: Time,
        actor: &Actor,
        extension: Option<&str>,
        to: &To,
        route: Option<&str>,
        out: &mut Vec<Output>,
    ) -> CommandResult {
        let at = self.own_extension(actor, extension)?;
        let found = self.find(at, to, route)?;
        let own = Party::Extension(at);
        if found.party == own {
            return Err(Refused::new(Refusal::Validation, "nobody calls themselves"));
        }
        if !self.has_phone(now, &own) {
            return Err(Refused::new(Refusal::AgentNotAvailable, "no phone is registered"));
        }
        self.admit_call(now, &own).map_err(limit)?;
        self.next_call += 1;
        let id = CallId(self.next_call);
        let mut commands = Vec::new();
        let setup = self.setup_of(id, &own, &found.destinations);
        let call = Call::outdial(setup, &mut commands);
        let from = Identity::of_extension(&self.config.extensions[at]);
        let target = Identity { number: found.number, display: found.name, ..Identity::default() };
        let phone = Reach {
            attempt: call.attempts().first().map(|attempt| attempt.id),
            by: own.clone(),
            from: target.clone(),
            to: from.number.clone(),
            destinations: vec![Destination::Extension(at)],
            auto_answer: true,
            referred_by: None,
        };
        let number = target.number.clone();
        let caller = Counted { party: own.clone(), leg: None };
        let mut state = CallState::new(call, now, from.clone(), number.clone(), caller, phone);
        state.reaches.push(Reach {
            attempt: None,
            by: own,
            from,
            to: number,
            destinations: found.destinations,
            auto_answer: false,
            referred_by: None,
        });
        let callee = state.call.participants().last().map(|one| one.id);
        state.names.extend(callee.map(|callee| (callee, target)));
        self.calls.insert(id, state);
        tracing::info!(call = %id, "call by command");
        self.tell_created(now, id, out);
        self.commands(now, id, commands, out);
        self.touch(id);
        let shown = self.show(now, id).ok_or(Refusal::AgentNotAvailable)?;
        Ok(Reply::Pending(Box::new(shown)))
    }

    /// The extension that an actor calls with: their own, or the one they name for somebody.
    fn own_extension(&self, actor: &Actor, named: Option<&str>) -> Result<usize, Refused> {
        let number = match actor {
            Actor::Agent { extension } => {
                if named.is_some_and(|named| named != extension) {
                    return Err(Refusal::Forbidden.into());
                }
                extension.as_str()
            }
            Actor::Supervisor { extension } => named.or(extension.as_deref()).ok_or_else(need)?,
            Actor::Admin | Actor::Integrator => named.ok_or_else(need)?,
        };
        let at = self.directory.extension(number);
        at.ok_or_else(|| Refused::new(Refusal::NotFound, "no such extension"))
    }

    /// I2: the phone of `by` is called beside those that ring; the first that answers has the call.
    pub(super) fn pickup(
        &mut self,
        now: Time,
        actor: &Actor,
        extension: &str,
        by: Option<&str>,
        out: &mut Vec<Output>,
    ) -> CommandResult {
        if !self.config.interactions.pickup {
            return Err(Refused::new(Refusal::Forbidden, "calls are not taken from others here"));
        }
        let by = self.own_extension(actor, by)?;
        let at = self.directory.extension(extension).ok_or(Refusal::NotFound)?;
        let (there, here) = (Party::Extension(at).key(), Party::Extension(by).key());
        let ringing = self.calls.iter().find_map(|(id, state)| {
            let attempt = state.call.may_pickup().ok()?;
            let is_free = !state.call.rings_at(here) && state.call.of_party(here).is_none();
            (state.call.rings_at(there) && is_free).then_some((*id, attempt))
        });
        let (call, attempt) = ringing.ok_or_else(|| {
            Refused::new(Refusal::InvalidState, "no call rings there to be taken")
        })?;
        if let Some(reach) = self.calls.get_mut(&call).and_then(|state| state.reach_mut(attempt)) {
            reach.auto_answer = true;
        }
        let placed = self.dial_phones(now, call, attempt, by, out);
        if let Some(reach) = self.calls.get_mut(&call).and_then(|state| state.reach_mut(attempt)) {
            reach.auto_answer = false;
        }
        placed.map_err(|cause| match cause {
            Cause::UNAVAILABLE => Refused::new(Refusal::AgentNotAvailable, "no phone there"),
            _ => Refused::from(Refusal::CallLimitNode),
        })?;
        let shown = self.show(now, call).ok_or(Refusal::NotFound)?;
        Ok(Reply::Pending(Box::new(shown)))
    }

    /// U0.
    pub(super) fn monitor(
        &mut self,
        now: Time,
        (call, agent): (CallId, ParticipantId),
        mode: MonitorMode,
        extension: usize,
        out: &mut Vec<Output>,
    ) -> CommandResult {
        let party = Party::Extension(extension);
        if !self.has_phone(now, &party) {
            return Err(Refused::new(Refusal::AgentNotAvailable, "no phone is registered"));
        }
        let config = self.config.clone();
        let is_here = self.calls.get(&call).is_some_and(|state| {
            state.call.participants().iter().any(|one| one.party == party.key())
        });
        if is_here {
            return Err(Refused::new(Refusal::InvalidState, "takes part in it already"));
        }
        let mut session = Err(Refusal::NotFound);
        self.with_call(now, call, out, |state, now, commands| {
            let attempt = Some(state.call.next_attempt());
            session = state.call.monitor(now, agent, party.key(), mode, commands);
            if session.is_ok() {
                let from = state.identity(agent, &config);
                let to = config.extensions[extension].number.clone();
                let destinations = vec![Destination::Extension(extension)];
                let by = party.clone();
                state.reaches.push(Reach {
                    attempt,
                    by,
                    from,
                    to,
                    destinations,
                    auto_answer: true,
                    referred_by: None,
                });
            }
        });
        let session = session?.to_string();
        let interaction = Box::new(self.show(now, call).ok_or(Refusal::NotFound)?);
        Ok(Reply::Monitoring { session, interaction })
    }

    /// The interaction and agent whom a supervisor names.
    pub(super) fn to_monitor(
        &self,
        actor: &Actor,
        interaction: Option<&str>,
        agent: Option<&str>,
    ) -> Result<(CallId, ParticipantId), Refused> {
        let party = match agent {
            Some(number) => {
                let at = self.directory.extension(number);
                let at = at.ok_or_else(|| Refused::new(Refusal::NotFound, "no such agent"))?;
                Some(Party::Extension(at).key())
            }
            None => None,
        };
        let call = match (interaction, party) {
            (Some(interaction), _) => self.seen_by(actor, interaction)?,
            (None, Some(party)) => {
                let calls = self.calls.iter().filter_map(|(id, state)| {
                    let agent = state.call.of_party(party).filter(|_| state.call.is_talking())?;
                    let may = state.call.may_monitor(agent).is_ok();
                    // Of several the one in which the agent is, then the newest.
                    Some((may && state.call.is_present(agent), may, *id))
                });
                let idle = || Refused::new(Refusal::InvalidState, "the agent has no call");
                calls.max().ok_or_else(idle)?.2
            }
            (None, None) => {
                return Err(Refused::new(Refusal::Validation, "name an interaction or an agent"));
            }
        };
        let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
        let watched = match party {
            Some(party) => state.call.of_party(party),
            None => state.call.primary(),
        };
        let watched = watched.ok_or(Refusal::InvalidState)?;
        Ok((call, watched))
    }

    /// Where a supervisor listens.
    pub(super) fn listening_post(
        &self,
        actor: &Actor,
        extension: Option<&str>,
    ) -> Result<usize, Refused> {
        match actor {
            Actor::Agent { .. } => Err(Refusal::Forbidden.into()),
            Actor::Supervisor { .. } | Actor::Admin | Actor::Integrator => {
                self.own_extension(actor, extension)
            }
        }
    }

    /// The call and supervisor of a session.
    pub(super) fn session(&self, session: &str) -> Result<(CallId, ParticipantId), Refused> {
        let found = self.calls.iter().find_map(|(id, state)| {
            let mut all = state.call.participants().iter();
            let one = all.find(|one| one.watch.is_some() && one.id.to_string() == session)?;
            Some((*id, one.id))
        });
        found.ok_or_else(|| Refused::new(Refusal::NotFound, "no such session"))
    }
}

fn need() -> Refused {
    Refused::new(Refusal::Validation, "name the extension whose phone is to be called")
}

/// B7.
fn limit(limit: &'static str) -> Refused {
    let code = match limit {
        "extension calls_max" | "extension calls_per_minute_max" => Refusal::CallLimitTenant,
        _ => Refusal::CallLimitNode,
    };
    Refused::new(code, format!("{}: {limit}", code.text()))
}
