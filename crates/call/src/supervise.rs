//! Supervisors (U): they listen beside an agent, and are heard by nobody, by the agent, or by all.

use base::Time;

use crate::attempt::Purpose;
use crate::control::{MonitorMode, Refusal};
use crate::happening::What;
use crate::machine::{Call, Outcome, Output};
use crate::participant::{ParticipantId, PartyKey, Role, Watch};
use crate::topology::Place;

impl Call {
    /// Whether somebody may begin to supervise `agent`.
    pub fn may_monitor(&self, agent: ParticipantId) -> Result<(), Refusal> {
        if self.post_call {
            return Err(Refusal::PostCall); // U1
        }
        let agent = self.participant(agent).ok_or(Refusal::NotFound)?;
        let is_there = match self.place(agent) {
            Place::Main | Place::Consult => agent.role == Role::Agent,
            Place::Pending | Place::Aside | Place::Watching => false,
        };
        let is_watched = self.participants.iter().any(|one| one.role == Role::Supervisor);
        match self.is_up() && is_there && !is_watched {
            true => Ok(()),
            false => Err(Refusal::InvalidState),
        }
    }

    /// U0: calls a supervisor's phone.
    pub fn monitor(
        &mut self,
        now: Time,
        agent: ParticipantId,
        party: PartyKey,
        mode: MonitorMode,
        out: &mut Vec<Output>,
    ) -> Result<ParticipantId, Refusal> {
        self.may_monitor(agent)?;
        let secondary = self.primary != Some(agent);
        let supervisor = self.invite(Role::Supervisor, party);
        if let Some(one) = self.participant_mut(supervisor) {
            one.watch = Some(Watch { mode, agent, secondary });
        }
        self.attempt(Purpose::Monitor, supervisor, None, 1, out);
        self.mark(now);
        Ok(supervisor)
    }

    /// U0: live switching.
    pub fn switch_monitoring(
        &mut self,
        supervisor: ParticipantId,
        mode: MonitorMode,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let found = self.participant_mut(supervisor).and_then(|one| one.watch.as_mut());
        let watch = found.ok_or(Refusal::NotFound)?;
        watch.mode = mode;
        self.tell(What::MonitoringModeChanged, Some(supervisor), out);
        Ok(())
    }

    /// The supervisor goes.
    pub fn end_monitoring(
        &mut self,
        now: Time,
        supervisor: ParticipantId,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let found = self.participant(supervisor).filter(|one| one.watch.is_some());
        found.ok_or(Refusal::NotFound)?;
        self.depart(supervisor, Outcome::SYSTEM, out);
        self.settle(now, Outcome::SYSTEM, out);
        self.mark(now);
        Ok(())
    }

    pub(crate) fn monitor_answered(&self, who: ParticipantId, out: &mut Vec<Output>) {
        self.tell(What::MonitoringStarted, Some(who), out);
    }

    pub(crate) fn monitor_failed(
        &mut self,
        who: ParticipantId,
        outcome: Outcome,
        out: &mut Vec<Output>,
    ) {
        self.participants.retain(|one| one.id != who);
        self.tell_failed(What::MonitoringEnded, who, outcome, out);
    }

    /// U2, U3, U4: who is left without the agent goes, unless another one is there and the agent
    /// was not the one in control.
    pub(crate) fn settle_supervisors(&mut self, outcome: Outcome, out: &mut Vec<Output>) {
        let watching = self.participants.iter().filter_map(|one| Some((one.id, one.watch?)));
        let alone: Vec<_> =
            watching.filter(|(_, watch)| self.participant(watch.agent).is_none()).collect();
        for (supervisor, watch) in alone {
            let agent = self.main().find(|one| one.role == Role::Agent).map(|one| one.id);
            match agent.filter(|_| watch.secondary) {
                Some(agent) => {
                    let secondary = self.primary != Some(agent);
                    if let Some(one) = self.participant_mut(supervisor) {
                        one.watch = Some(Watch { agent, secondary, ..watch });
                    }
                }
                None => self.depart(supervisor, outcome, out),
            }
        }
    }
}
