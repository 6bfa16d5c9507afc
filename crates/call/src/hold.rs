//! Hold and resume (H): somebody turns away from the others, by command or at the phone. Whoever is
//! left without anybody to hear gets the hold sound; that is the hearing plan's business.

use base::Time;

use crate::attempt::Purpose;
use crate::consult::Facing;
use crate::happening::What;
use crate::machine::{Call, Outcome, Output};
use crate::participant::ParticipantId;
use crate::{Cause, LegId};

impl Call {
    /// H1.
    pub(crate) fn hold(&mut self, by: ParticipantId, out: &mut Vec<Output>) {
        if let Some(one) = self.participant_mut(by) {
            one.holds = true;
        }
        self.tell(What::Held, Some(by), out);
    }

    /// H6: the own phone is free for other calls meanwhile.
    pub(crate) fn release_line(&mut self, by: ParticipantId, out: &mut Vec<Output>) {
        self.hold(by, out);
        self.release_legs(by, Cause::NORMAL, out);
    }

    /// Back to the others; true: once the own phone has been answered (I3), or has taken back what it
    /// holds (S11).
    pub(crate) fn resume(&mut self, by: ParticipantId, out: &mut Vec<Output>) -> bool {
        if let Some(consult) = &mut self.consult
            && consult.initiator == by
        {
            // H4: resuming the customer holds the consulted agent.
            consult.facing = Facing::Main;
            let target = consult.target;
            self.tell(What::ConsultHeld, Some(target), out);
            self.tell(What::Resumed, Some(by), out);
            return false;
        }
        if self.lines(by).next().is_none() {
            self.attempt(Purpose::Retrieve, by, None, 1, out);
            return true;
        }
        if self.participant(by).is_some_and(|one| !one.holds) {
            return true; // what its phone then says is told
        }
        self.retrieved(by, out);
        false
    }

    pub(crate) fn retrieved(&mut self, who: ParticipantId, out: &mut Vec<Output>) {
        if let Some(one) = self.participant_mut(who) {
            one.holds = false;
        }
        self.tell(What::Resumed, Some(who), out);
    }

    /// The own phone was not answered: all stays as it was.
    pub(crate) fn retrieve_failed(
        &self,
        who: ParticipantId,
        outcome: Outcome,
        out: &mut Vec<Output>,
    ) {
        self.tell_failed(What::Held, who, outcome, out);
    }

    /// A phone has put us on hold, or taken us back (H3).
    pub(crate) fn held_by_phone(&mut self, at: usize, holds: bool, out: &mut Vec<Output>) {
        if self.legs[at].holds == holds {
            return;
        }
        let (leg, of) = (self.legs[at].leg, self.legs[at].of);
        self.legs[at].holds = holds;
        if self.follow_phone(leg, of, out) {
            return;
        }
        let consults = self.consult.is_some_and(|consult| consult.initiator == of);
        let one = self.participant_mut(of);
        // The phone follows a hold by command, or takes the call back from one: one state (H3). What
        // was held before a consult is so again after it.
        let was_held = one.as_ref().is_some_and(|one| one.holds && !consults);
        let has_joined = one.as_ref().is_some_and(|one| one.joined.is_some());
        one.filter(|_| was_held && !holds).into_iter().for_each(|one| one.holds = false);
        let is_told = self.is_up() && has_joined && !(holds && was_held);
        if is_told {
            self.tell(if holds { What::Held } else { What::Resumed }, Some(of), out);
        }
    }

    /// With a consult on a second line, the phone's hold says whom its user faces (H3, T11).
    fn follow_phone(&mut self, leg: LegId, of: ParticipantId, out: &mut Vec<Output>) -> bool {
        let Some(consult) = self.consult.filter(|consult| consult.initiator == of) else {
            return false;
        };
        let Some(own) = consult.own_leg else {
            return false;
        };
        let held = |leg: &crate::Leg| leg.holds;
        let own_held = self.leg(own).is_some_and(held);
        let main_held = self.lines(of).find(|line| line.leg != own).is_none_or(held);
        let facing = match (main_held, own_held) {
            (true, false) => Facing::Consulted,
            (false, true) => Facing::Main,
            // For a moment neither is held: the phone has just turned to this one.
            (false, false) if leg == own => Facing::Consulted,
            (false, false) => Facing::Main,
            (true, true) => consult.facing,
        };
        if facing != consult.facing {
            self.face(facing, out);
        }
        true
    }

    pub(crate) fn face(&mut self, facing: Facing, out: &mut Vec<Output>) {
        let Some(consult) = &mut self.consult else {
            return;
        };
        consult.facing = facing;
        let (target, initiator) = (consult.target, consult.initiator);
        match facing {
            Facing::Main => {
                self.tell(What::ConsultHeld, Some(target), out);
                self.tell(What::Resumed, Some(initiator), out);
            }
            Facing::Consulted => {
                self.tell(What::Held, Some(initiator), out);
                self.tell(What::ConsultResumed, Some(target), out);
            }
        }
    }

    /// Not heard, or heard again.
    pub(crate) fn mute(&mut self, by: ParticipantId, muted: bool, out: &mut Vec<Output>) {
        if let Some(one) = self.participant_mut(by) {
            one.muted = muted;
        }
        self.tell(What::Muted, Some(by), out);
    }

    /// A phone takes the call that rings at another one: INVITE with Replaces (I2, RFC 3891 §3). It
    /// is answered by then; those that ring are told that the call was answered elsewhere.
    pub fn take_ringing(
        &mut self,
        now: Time,
        ringing: LegId,
        new: LegId,
        party: crate::PartyKey,
        out: &mut Vec<Output>,
    ) -> Result<(), crate::control::Refusal> {
        let attempt = self.attempt_for(ringing).ok_or(crate::control::Refusal::InvalidState)?;
        self.add_leg(attempt, new, party);
        self.handle(now, new, crate::LegEvent::Answered, out);
        Ok(())
    }

    /// A leg takes the place of another: INVITE with Replaces (H3, RFC 3891). The new one is
    /// answered, the old one hung up; the participant stays who it is, at another phone or as
    /// another party.
    pub fn replace(
        &mut self,
        now: Time,
        old: LegId,
        new: LegId,
        party: crate::PartyKey,
        out: &mut Vec<Output>,
    ) -> Result<(), crate::control::Refusal> {
        use crate::{Leg, LegCommand, Presence, Side};
        let is_up = self.leg(old).is_some_and(|leg| leg.is_up());
        if self.is_ending() || !is_up {
            return Err(crate::control::Refusal::InvalidState);
        }
        let Some(at) = self.legs.iter().position(|leg| leg.leg == old) else {
            return Err(crate::control::Refusal::NotFound);
        };
        let of = self.legs[at].of;
        let (side, presence) = (Side::Caller, Presence::Connected);
        self.legs.push(Leg { leg: new, of, party, side, presence, holds: false, driven: false });
        if let Some(consult) = &mut self.consult
            && consult.own_leg == Some(old)
        {
            consult.own_leg = Some(new);
        }
        if let Some(one) = self.participant_mut(of) {
            one.party = party;
        }
        out.push(Output::Leg(new, LegCommand::Answer));
        self.release_leg(old, Cause::NORMAL, out);
        self.mark(now);
        Ok(())
    }
}
