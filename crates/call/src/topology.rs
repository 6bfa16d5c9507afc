//! Who is with whom: derived from the state, the ground of the hearing plan and of the controls.

use crate::attempt::{Attempt, Purpose};
use crate::consult::Facing;
use crate::machine::{Call, State};
use crate::participant::{ParticipantId, Role};
use crate::{Leg, LegId, Participant, Presence};

/// Where a participant is in the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Being called.
    Pending,
    /// With the customer, or whoever is left of the call.
    Main,
    /// In the consult.
    Consult,
    /// Waits until the target of its transfer has answered (T11).
    Aside,
    /// Supervises.
    Watching,
}

impl Call {
    pub(crate) fn place(&self, who: &Participant) -> Place {
        if who.joined.is_none() {
            return Place::Pending;
        }
        if who.role == Role::Supervisor {
            return Place::Watching;
        }
        if self.transfer.is_some_and(|transfer| transfer.by == Some(who.id)) {
            return Place::Aside;
        }
        match self.consult {
            Some(consult) if consult.target == who.id => Place::Consult,
            Some(consult) if consult.initiator == who.id && consult.facing == Facing::Consulted => {
                Place::Consult
            }
            Some(_) | None => Place::Main,
        }
    }

    /// Everybody whom the call itself joins, also an initiator who is at a consult just now.
    pub(crate) fn main(&self) -> impl Iterator<Item = &Participant> + Clone {
        let target = self.consult.map(|consult| consult.target);
        self.participants.iter().filter(move |one| match self.place(one) {
            Place::Main => true,
            Place::Consult => target != Some(one.id),
            Place::Pending | Place::Aside | Place::Watching => false,
        })
    }

    pub(crate) fn is_main(&self, who: ParticipantId) -> bool {
        self.main().any(|one| one.id == who)
    }

    /// The others of [`Self::main`].
    pub(crate) fn others(&self, who: ParticipantId) -> impl Iterator<Item = &Participant> + Clone {
        self.main().filter(move |one| one.id != who)
    }

    /// Everybody but supervisors: F1 counts them, F11 too.
    pub(crate) fn members(&self) -> usize {
        self.participants.iter().filter(|one| one.role != Role::Supervisor).count()
    }

    /// The legs of a participant that are up.
    pub(crate) fn lines(&self, who: ParticipantId) -> impl Iterator<Item = &Leg> + Clone {
        self.legs.iter().filter(move |leg| leg.of == who && leg.is_up())
    }

    /// The leg by which a participant hears and is heard: of two (H3, a consult dialled by hand)
    /// the one that its phone does not hold, and if there is a choice the one of whom it faces.
    pub(crate) fn ear(&self, who: ParticipantId) -> Option<LegId> {
        let mut open = self.lines(who).filter(|leg| !leg.holds);
        let consult = self.consult.filter(|consult| consult.initiator == who);
        let faced = open.clone().find(|leg| {
            consult.is_some_and(|consult| {
                (consult.facing == Facing::Consulted) == (consult.own_leg == Some(leg.leg))
            })
        });
        faced.or_else(|| open.next()).map(|leg| leg.leg)
    }

    /// The leg by which a participant hears: its only line also while its phone holds it, for what
    /// is sent then is the phone's decision, told by SDP.
    pub(crate) fn listening(&self, who: ParticipantId) -> Option<LegId> {
        let mut lines = self.lines(who);
        let only = lines.next().filter(|_| lines.next().is_none());
        only.map(|leg| leg.leg).or_else(|| self.ear(who))
    }

    /// Whether a participant has turned away from the others: by command, or at its only phone.
    pub(crate) fn is_away(&self, who: &Participant) -> bool {
        who.holds || self.ear(who.id).is_none()
    }

    /// Whoever is being called to take the others over, so that they wait for it.
    pub(crate) fn awaited(&self) -> Option<&Attempt> {
        let mut attempts = self.attempts.iter();
        attempts.find(|one| matches!(one.purpose, Purpose::Transfer | Purpose::Recall))
    }

    /// Whether a target that is being called has been reached: it rings, or waits (C12).
    pub(crate) fn is_reached(&self, who: ParticipantId) -> bool {
        let mut legs = self.legs.iter().filter(|leg| leg.of == who);
        legs.any(|leg| leg.is_candidate() && leg.presence > Presence::Invited)
    }

    /// The leg that `leg` talks to when two do, whether or not one holds: whose codecs count.
    pub fn partner(&self, leg: LegId) -> Option<LegId> {
        let me = self.leg(leg)?;
        if let Some(caller) = self.attempt_of(me.of).filter(|_| me.is_candidate()) {
            return caller.caller.or_else(|| self.beside(caller.purpose));
        }
        let dialled = self.attempts.iter().find(|attempt| attempt.caller == Some(leg));
        if let Some(dialled) = dialled.filter(|_| me.presence < Presence::Connected) {
            return self.best_candidate(dialled.participant);
        }
        let who = self.participant(me.of)?;
        let other = self.counterpart_of(who, leg)?;
        // Of two lines (H3) the second leads to the consulted party, the first to the others.
        let own = self.consult.filter(|consult| consult.initiator == other);
        let own = own.and_then(|consult| Some((consult, consult.own_leg?)));
        let line = match own {
            Some((consult, own)) if consult.target == who.id => Some(own),
            Some((_, own)) => self.lines(other).map(|line| line.leg).find(|line| *line != own),
            None => self.ear(other).or_else(|| self.lines(other).next().map(|line| line.leg)),
        };
        line.or_else(|| self.best_candidate(other))
    }

    /// Whom the line `leg` of a participant leads to, when it is one.
    fn counterpart_of(&self, who: &Participant, leg: LegId) -> Option<ParticipantId> {
        if let Some(consult) = self.consult {
            let faces = consult.own_leg.is_none() && consult.facing == Facing::Consulted;
            if consult.target == who.id {
                return Some(consult.initiator);
            }
            if consult.own_leg == Some(leg) || consult.initiator == who.id && faces {
                return Some(consult.target);
            }
        }
        let is_pair = self.is_main(who.id) && self.main().count() == 2;
        self.others(who.id).next().filter(|_| is_pair).map(|one| one.id)
    }

    /// Of the phones that ring for somebody, the one that is furthest.
    fn best_candidate(&self, who: ParticipantId) -> Option<LegId> {
        let legs = self.legs.iter().filter(|leg| leg.of == who);
        let there = legs.filter(|leg| leg.presence != Presence::Leaving);
        // Earlier ones win among equals: `max_by_key` keeps the last, hence the reversal.
        there.rev().max_by_key(|leg| leg.presence).map(|leg| leg.leg)
    }

    /// The leg that whoever is being called will talk to first.
    pub(crate) fn beside(&self, purpose: Purpose) -> Option<LegId> {
        let who = match purpose {
            Purpose::Consult => self.consult.map(|consult| consult.initiator),
            Purpose::First => self.main().next().map(|one| one.id),
            Purpose::Transfer | Purpose::Recall | Purpose::Join => {
                self.main().next().map(|one| one.id)
            }
            Purpose::Retrieve => self
                .attempts
                .iter()
                .find(|one| one.purpose == Purpose::Retrieve)
                .and_then(|one| self.others(one.participant).next())
                .map(|one| one.id),
            Purpose::OwnPhone | Purpose::Monitor => None,
        };
        who.and_then(|who| self.lines(who).next()).map(|leg| leg.leg)
    }

    /// The leg whose far end the legs of an attempt are to fit: what is offered to them.
    pub fn counterpart(&self, attempt: crate::AttemptId) -> Option<LegId> {
        let attempt = self.attempts.iter().find(|one| one.id == attempt)?;
        attempt.caller.or_else(|| self.beside(attempt.purpose))
    }

    /// Whether the call was made by this participant, and not another call that was joined to it.
    pub fn is_caller(&self, who: ParticipantId) -> bool {
        who.number == 1 && who.call == self.id
    }

    /// Which call it is.
    pub fn id(&self) -> crate::CallId {
        self.id
    }

    /// Whether a participant is with the others, and not away on hold or at another line.
    pub fn is_present(&self, who: ParticipantId) -> bool {
        self.participant(who).is_some_and(|one| !self.is_away(one))
    }

    /// Whether a customer takes part, or did.
    pub fn had_customer(&self) -> bool {
        self.has_customer
    }

    /// The leg whose INVITE began the call, while it is there.
    pub fn caller(&self) -> Option<LegId> {
        let mut legs = self.legs.iter().filter(|leg| leg.of.number == 1);
        legs.find(|leg| leg.of.call == self.id).map(|leg| leg.leg)
    }

    /// Whether nobody has answered the call yet.
    pub fn is_calling(&self) -> bool {
        self.state == State::Dialling
    }

    /// The legs that hear the keys `who` presses: who hears its voice, or would if it were not muted.
    pub fn keyed_to(&self, who: ParticipantId) -> Vec<LegId> {
        let mut voiced = self.clone();
        match voiced.participant_mut(who) {
            Some(one) if one.muted => {
                one.muted = false;
                voiced.heard_by_others(who)
            }
            Some(_) | None => self.heard_by_others(who),
        }
    }

    /// The legs that hear what `who` says.
    pub fn heard_by_others(&self, who: ParticipantId) -> Vec<LegId> {
        let Some(ear) = self.ear(who) else { return Vec::new() };
        let plan = crate::hearing::plan(self);
        let listeners = plan.filter(|(_, hears)| match hears {
            crate::hearing::Hears::Legs(set) => set.legs().contains(&ear),
            crate::hearing::Hears::Nothing
            | crate::hearing::Hears::Hold
            | crate::hearing::Hears::Ringback
            | crate::hearing::Hears::Silence => false,
        });
        listeners.map(|(leg, _)| leg).collect()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether an agent is in the call without ownership rules: a call inside the house, of two.
    pub(crate) fn is_among_two_agents(&self, who: ParticipantId) -> bool {
        !self.has_customer && self.members() == 2 && self.is_main(who)
    }
}
