//! Two calls of one agent become one (F15): the others of both are in one conference, the agent keeps
//! one line.

use base::Time;

use crate::conference::CONFERENCE_MAX;
use crate::control::{Refusal, Verb};
use crate::happening::What;
use crate::machine::{Call, Outcome, Output, State};
use crate::participant::{ParticipantId, PartyKey, Role};
use crate::recording::Recording;
use crate::{Cause, LegId, Presence};

impl Call {
    /// The participant of this party, when it takes part.
    pub fn of_party(&self, party: PartyKey) -> Option<ParticipantId> {
        let mut here = self.participants.iter();
        here.find(|one| one.party == party && one.role == Role::Agent).map(|one| one.id)
    }

    /// Whether `other` may be joined to this call by the agent `party`, who is in both.
    pub fn may_absorb(&self, other: &Self, party: PartyKey) -> Result<(), Refusal> {
        let here = self.of_party(party).ok_or(Refusal::NotFound)?;
        let there = other.of_party(party).ok_or(Refusal::NotFound)?;
        self.allows(here, Verb::ConferenceAdd)?;
        match other.allows(there, Verb::ConferenceAdd) {
            // Its line may be released: there is one here.
            Ok(()) => {}
            Err(Refusal::InvalidState) if other.attempts.is_empty() && other.is_up() => {}
            Err(refusal) => return Err(refusal),
        }
        let is_watched =
            |call: &Self| call.participants.iter().any(|one| one.role == Role::Supervisor);
        if is_watched(self) && is_watched(other) {
            return Err(Refusal::InvalidState); // U0: one at a time
        }
        if self.participants.len() + other.participants.len() - 1 > CONFERENCE_MAX {
            return Err(Refusal::ConferenceFull);
        }
        Ok(())
    }

    /// Takes in everybody of `other`; its timers are to be disarmed by the owner.
    pub fn absorb(
        &mut self,
        now: Time,
        other: Self,
        party: PartyKey,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        self.may_absorb(&other, party)?;
        let here = self.of_party(party).ok_or(Refusal::NotFound)?;
        let there = other.of_party(party).ok_or(Refusal::NotFound)?;
        let was_recorded = other.recording;
        let mut legs = other.legs;
        for leg in legs.iter_mut().filter(|leg| leg.of == there) {
            leg.of = here;
        }
        self.legs.append(&mut legs);
        self.has_customer |= other.has_customer;
        let has_customer = self.participants.iter().any(|one| one.role == Role::Customer);
        for mut one in other.participants.into_iter().filter(|one| one.id != there) {
            if one.role == Role::Customer && has_customer {
                one.role = Role::NonAgent; // one customer, and guests
            }
            if let Some(watch) = one.watch.as_mut().filter(|watch| watch.agent == there) {
                watch.agent = here;
                watch.secondary = self.primary != Some(here);
            }
            let (id, is_member) = (one.id, one.role != Role::Supervisor);
            self.participants.push(one);
            if is_member {
                self.joined(id, out);
            }
        }
        let is_recorded = matches!(was_recorded, Recording::On | Recording::Paused);
        if is_recorded && self.recording == Recording::Off {
            self.begin_recording(out); // K6
        }
        // K2: what must not be kept of the one is said in both now.
        if was_recorded == Recording::Paused && self.recording == Recording::On {
            self.pause_recording(out);
        }
        self.keep_one_line(here, out);
        if let Some(one) = self.participant_mut(here) {
            one.holds = false;
        }
        self.tell(What::Resumed, Some(here), out);
        self.settle(now, Outcome::SYSTEM, out);
        self.mark(now);
        Ok(())
    }

    /// Of several lines of one participant the open one stays.
    fn keep_one_line(&mut self, who: ParticipantId, out: &mut Vec<Output>) {
        let lines = || self.lines(who);
        let kept = lines().find(|line| !line.holds).or_else(|| lines().next()).map(|l| l.leg);
        let spare: Vec<LegId> = self
            .legs
            .iter()
            .filter(|leg| leg.of == who && leg.presence != Presence::Leaving)
            .map(|leg| leg.leg)
            .filter(|leg| Some(*leg) != kept)
            .collect();
        for leg in spare {
            self.release_leg(leg, Cause::NORMAL, out);
        }
    }

    /// The participant whose leg this is leaves, the others go on by themselves: an attended
    /// transfer's last step (T11).
    pub fn withdraw(&mut self, now: Time, who: ParticipantId, out: &mut Vec<Output>) {
        if self.state == State::Up {
            self.leave(now, who, out);
            self.mark(now);
        }
    }
}
