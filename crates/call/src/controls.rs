//! What each participant may do now. One function for the API, the phone and the tests: executing
//! what it allows is never refused, and what it refuses is refused for the same reason.

use crate::Participant;
use crate::conference::CONFERENCE_MAX;
use crate::consult::{Consult, Facing};
use crate::control::{Controls, MonitorMode, Refusal, Verb};
use crate::machine::{Call, State};
use crate::participant::{ParticipantId, Role};
use crate::recording::Recording;
use crate::topology::Place;

type Allowed = Result<(), Refusal>;

impl Call {
    /// Every verb of a participant; none for whoever has no controls (C20, C26).
    pub fn controls(&self, who: ParticipantId) -> Controls {
        match self.participant(who).map(|one| one.role) {
            Some(Role::Agent | Role::Supervisor) => {
                Verb::ALL.iter().map(|&verb| (verb, self.allows(who, verb).into())).collect()
            }
            Some(Role::Customer | Role::NonAgent) | None => Controls::new(),
        }
    }

    /// Whether `who` may use `verb` now.
    pub fn allows(&self, who: ParticipantId, verb: Verb) -> Allowed {
        let me = self.participant(who).ok_or(Refusal::NotFound)?;
        if self.state == State::Ending {
            return Err(Refusal::InvalidState);
        }
        match me.role {
            Role::Agent => self.agent_may(me, verb),
            Role::Supervisor => supervisor_may(me, verb),
            Role::Customer | Role::NonAgent => Err(Refusal::Forbidden), // C20, C26
        }
    }

    fn agent_may(&self, me: &Participant, verb: Verb) -> Allowed {
        match verb {
            Verb::Decline => self.may_decline(me),
            Verb::End => self.may_end(me),
            Verb::Hold | Verb::ReleaseLine => self.may_hold(me, verb),
            Verb::Resume => self.may_resume(me),
            Verb::Mute | Verb::Unmute => self.may_mute(me, verb == Verb::Mute),
            Verb::Dtmf => when(self.is_heard(me)),
            Verb::NoiseSuppression if !self.policy.noise_switch => Err(Refusal::NoisePolicyLocked),
            Verb::NoiseSuppression => when(self.has_joined(me)),
            Verb::Consult => self.may_consult(me),
            Verb::ConsultEnd
            | Verb::ConsultHold
            | Verb::ConsultResume
            | Verb::Toggle
            | Verb::ConsultTransfer
            | Verb::ConsultConference => self.may_direct_consult(me, verb),
            Verb::ConsultExit => self.may_exit_consult(me),
            Verb::Transfer => self.may_transfer(me),
            Verb::ConferenceAdd => self.may_add(me),
            Verb::ConferenceExit => self.may_exit(me),
            Verb::ConferenceEnd | Verb::Remove => self.may_end_conference(me, verb),
            Verb::RecordStart | Verb::RecordStop | Verb::RecordPause | Verb::RecordResume => {
                self.may_record(me, verb)
            }
            Verb::Accept => self.may_accept(me),
            // Whoever takes calls elsewhere, or wraps up, is not here.
            Verb::Pickup | Verb::WrapUp => Err(Refusal::InvalidState),
            Verb::Monitor | Verb::Whisper | Verb::Barge => Err(Refusal::Forbidden),
        }
    }

    fn has_joined(&self, me: &Participant) -> bool {
        self.is_up() && me.joined.is_some()
    }

    /// Whether somebody talks, to whomever.
    fn is_heard(&self, me: &Participant) -> bool {
        self.has_joined(me) && !self.is_away(me) && self.place(me) != Place::Aside
    }

    /// Whether somebody leads the call: its owner, or one of two agents.
    fn leads(&self, me: &Participant) -> bool {
        self.primary == Some(me.id) || self.is_among_two_agents(me.id)
    }

    fn consult_of(&self, me: &Participant) -> Option<Consult> {
        self.consult.filter(|consult| consult.initiator == me.id)
    }

    fn is_consulted(&self, me: &Participant) -> bool {
        self.consult.is_some_and(|consult| consult.target == me.id)
    }

    /// In the call itself, answered, and not on the way out of it.
    fn in_main(&self, me: &Participant) -> Allowed {
        if self.is_consulted(me) {
            return Err(Refusal::NotOwner); // C25
        }
        let is_waiting = self.awaited().is_some();
        when(self.has_joined(me) && self.is_main(me.id) && !is_waiting)
    }

    /// S11: a phone that rings and can be told to answer.
    fn may_accept(&self, me: &Participant) -> Allowed {
        self.may_decline(me)?;
        let mut own = self.legs.iter().filter(|leg| leg.of == me.id && leg.is_candidate());
        when(own.any(|leg| leg.driven && leg.presence > crate::Presence::Invited))
    }

    fn may_decline(&self, me: &Participant) -> Allowed {
        let is_called = self.attempt_of(me.id).is_some() && me.joined.is_none();
        when(is_called && self.legs.iter().any(|leg| leg.of == me.id && leg.is_candidate()))
    }

    fn may_end(&self, me: &Participant) -> Allowed {
        if self.state == State::Dialling {
            return when(self.primary == Some(me.id)); // gives up the call it makes
        }
        self.in_main(me)?;
        if self.is_held_by(me) {
            return Err(Refusal::EndWhileHeld); // H2
        }
        if self.consult_of(me).is_some() {
            return Err(Refusal::ConsultInProgress);
        }
        if self.leads(me) { Ok(()) } else { Err(Refusal::NotOwner) } // F5, F6
    }

    /// Whether the others wait on hold because of `me`.
    fn is_held_by(&self, me: &Participant) -> bool {
        let faces_away = self.consult_of(me).is_some_and(|c| c.facing == Facing::Consulted);
        let has_others = self.others(me.id).next().is_some();
        has_others && (faces_away || self.is_away(me))
    }

    fn may_hold(&self, me: &Participant, verb: Verb) -> Allowed {
        self.in_main(me)?;
        if self.post_call {
            return Err(Refusal::PostCall); // F12
        }
        if self.consult_of(me).is_some() {
            return Err(Refusal::ConsultInProgress); // H4: never both at once
        }
        let has_line = self.lines(me.id).next().is_some();
        let others_have_line = self.others(me.id).any(|one| self.lines(one.id).next().is_some());
        match verb == Verb::ReleaseLine {
            // H6: what is held already can be let go of.
            true => when(has_line && self.members() == 2 && others_have_line),
            false if self.is_away(me) => Err(Refusal::AlreadyHeld),
            false => Ok(()),
        }
    }

    fn may_resume(&self, me: &Participant) -> Allowed {
        self.in_main(me)?;
        if let Some(consult) = self.consult_of(me) {
            let has_others = self.others(me.id).next().is_some();
            return match consult.facing {
                Facing::Consulted if has_others => Ok(()),
                Facing::Consulted if self.post_call => Err(Refusal::PostCall),
                Facing::Consulted | Facing::Main => Err(Refusal::InvalidState),
            };
        }
        // S11: or its phone holds, and can be told not to.
        let by_phone = self.lines(me.id).any(|line| line.holds && line.driven);
        when((me.holds || by_phone) && self.attempt_of(me.id).is_none())
    }

    fn may_mute(&self, me: &Participant, mute: bool) -> Allowed {
        when(self.has_joined(me) && self.lines(me.id).next().is_some() && me.muted != mute)
    }

    /// F12, and what a customer on the way to somebody else forbids.
    fn may_call_another(&self, me: &Participant) -> Allowed {
        self.in_main(me)?;
        if self.post_call {
            return Err(Refusal::PostCall);
        }
        if self.consult.is_some() {
            return Err(Refusal::ConsultInProgress); // C28
        }
        Ok(())
    }

    fn may_consult(&self, me: &Participant) -> Allowed {
        self.may_call_another(me)?;
        if self.members() >= CONFERENCE_MAX {
            return Err(Refusal::ConferenceFull); // F1
        }
        when(self.lines(me.id).next().is_some()) // C1
    }

    /// C17, C18, C19, C27: what only the initiator may.
    fn may_direct_consult(&self, me: &Participant, verb: Verb) -> Allowed {
        let consult = self.consult.ok_or(Refusal::InvalidState)?;
        if consult.initiator != me.id {
            return Err(Refusal::NotOwner);
        }
        let has_answered = self.participant(consult.target).is_some_and(|t| t.joined.is_some());
        match (verb, consult.facing) {
            (Verb::Toggle, _) => when(has_answered),
            (Verb::ConsultHold, Facing::Consulted) => when(has_answered), // H5
            (Verb::ConsultHold, Facing::Main) => Err(Refusal::AlreadyHeld),
            (Verb::ConsultResume, Facing::Main) => Ok(()),
            (Verb::ConsultResume, Facing::Consulted) => Err(Refusal::InvalidState),
            (Verb::ConsultTransfer | Verb::ConsultConference, _) => {
                if self.post_call {
                    return Err(Refusal::PostCall); // F12
                }
                // C12.
                let is_near = has_answered || consult.early && self.is_reached(consult.target);
                let is_free = self.awaited().is_none();
                let others = self.others(me.id).count();
                let fits = if verb == Verb::ConsultTransfer {
                    others == 1 // F4: no transfer out of a conference
                } else {
                    others > 0
                };
                when(is_near && is_free && fits)
            }
            (Verb::ConsultEnd, _) => Ok(()),
            (_, Facing::Main | Facing::Consulted) => Err(Refusal::InvalidState),
        }
    }

    fn may_exit_consult(&self, me: &Participant) -> Allowed {
        match self.consult {
            Some(consult) if consult.target == me.id => when(me.joined.is_some()), // C11
            Some(consult) if consult.initiator != me.id => Err(Refusal::NotOwner),
            Some(_) | None => Err(Refusal::InvalidState),
        }
    }

    fn may_transfer(&self, me: &Participant) -> Allowed {
        self.may_call_another(me)?;
        if !self.leads(me) {
            return Err(Refusal::NotOwner);
        }
        when(self.members() == 2 && self.attempt_of(me.id).is_none()) // F4
    }

    fn may_add(&self, me: &Participant) -> Allowed {
        self.may_call_another(me)?;
        if self.members() >= CONFERENCE_MAX {
            return Err(Refusal::ConferenceFull);
        }
        when(self.attempts.is_empty() && self.lines(me.id).next().is_some())
    }

    fn may_exit(&self, me: &Participant) -> Allowed {
        self.in_main(me)?;
        if self.consult_of(me).is_some() {
            return Err(Refusal::ConsultInProgress);
        }
        let mut others = self.others(me.id);
        let is_owner = self.primary == Some(me.id);
        let has_heir = others.clone().any(|one| one.role == Role::Agent);
        when(others.nth(1).is_some() && (!is_owner || has_heir)) // F4, F6
    }

    fn may_end_conference(&self, me: &Participant, verb: Verb) -> Allowed {
        self.in_main(me)?;
        if self.primary != Some(me.id) {
            return Err(Refusal::NotOwner); // F5
        }
        if verb == Verb::ConferenceEnd && self.is_held_by(me) {
            return Err(Refusal::EndWhileHeld); // H2
        }
        if self.consult_of(me).is_some() {
            return Err(Refusal::ConsultInProgress);
        }
        when(self.others(me.id).nth(1).is_some())
    }

    fn may_record(&self, me: &Participant, verb: Verb) -> Allowed {
        if self.is_consulted(me) {
            return Err(Refusal::NotOwner);
        }
        when(self.has_joined(me) && self.is_main(me.id))?;
        if !self.leads(me) {
            return Err(Refusal::NotOwner);
        }
        match (verb, self.recording) {
            (Verb::RecordStart, Recording::Off | Recording::Failed) => when(self.policy.can_record), // K6
            (Verb::RecordStop, Recording::On | Recording::Paused) => when(!self.policy.records_all),
            // One that failed would begin again by itself.
            (Verb::RecordPause, Recording::Failed) if !self.policy.records_all => {
                Err(Refusal::InvalidState)
            }
            (Verb::RecordPause, Recording::On | Recording::Failed) => {
                // K2, K4.
                let is_talk = self.consult.is_none() && self.members() == 2 && self.is_heard(me);
                match self.policy.pause.is_some() && is_talk && !self.post_call {
                    true => Ok(()),
                    false => Err(Refusal::RecordingPauseNotAllowed),
                }
            }
            (Verb::RecordResume, Recording::Paused) => Ok(()),
            (_, Recording::Off | Recording::On | Recording::Paused | Recording::Failed) => {
                Err(Refusal::InvalidState)
            }
        }
    }
}

fn supervisor_may(me: &Participant, verb: Verb) -> Allowed {
    let modes = [
        (Verb::Monitor, MonitorMode::Monitor),
        (Verb::Whisper, MonitorMode::Whisper),
        (Verb::Barge, MonitorMode::Barge),
    ];
    let mode = modes.into_iter().find(|(of, _)| *of == verb).map(|(_, mode)| mode);
    let mode = mode.ok_or(Refusal::Forbidden)?;
    when(me.joined.is_some() && me.watch.is_some_and(|watch| watch.mode != mode))
}

fn when(condition: bool) -> Allowed {
    if condition { Ok(()) } else { Err(Refusal::InvalidState) }
}
