//! One interaction, from the first call to the last leg: who takes part, who is being called, what
//! the legs are told. What each may do is in [`crate::control`], who hears whom in
//! [`crate::hearing`]; both are derived from this state.
//!
//! ```text
//!        Dial(target)    a callee Answered
//! new ─▶ Dialling ─────────────────────────▶ Up ◀─┐ hold, consult, transfer, conference, supervise
//!          │                                 │ └──┘ (a file each)
//!          └─ all refused, HungUp ─▶ Ending ◀┘ one participant left, limit, release()
//!                                      └─ last leg Gone ──▶ over
//! ```
//! Whatever happened, [`Call::settle`] then puts right what follows from it: a consult without its
//! initiator, a supervisor without an agent, an owner who left, a call of one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use base::Time;

use crate::attempt::{Attempt, AttemptId, Purpose};
use crate::consult::Consult;
use crate::control::{Refusal, Verb};
use crate::happening::{Happening, What};
use crate::participant::{ParticipantId, PartyKey, Role};
use crate::record::EndedBy;
use crate::recording::Recording;
use crate::segment::Segments;
use crate::transfer::Transfer;
use crate::{CallId, Cause, Leg, LegCommand, LegEvent, LegId, Participant, Presence, Side};

/// Time limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long each target may ring.
    pub ring: Duration,
    /// How long the call may last after its answer.
    pub call: Option<Duration>,
}

/// What the organisation decided for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether every call is recorded (K1); otherwise agents may begin to (K6).
    pub records_all: bool,
    /// Whether there is a place to record to at all.
    pub can_record: bool,
    /// Whether a recording may be paused (K2), and after which time it goes on (K3).
    pub pause: Option<Duration>,
    /// Whether noise removal may be switched (N3).
    pub noise_switch: bool,
}

/// The deadlines of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Timer {
    /// Nobody answered.
    Ring(AttemptId),
    /// The call has lasted its limit.
    Limit,
    /// A pause of the recording has lasted its limit (K3).
    Pause,
    /// A recording that failed is to be tried again.
    Record,
}

/// What the call asks of its owner, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell a leg.
    Leg(LegId, LegCommand),
    /// Place legs to the phones of this target and [`Call::add_leg`] each; when there is none, call
    /// [`Call::target_failed`].
    Dial {
        /// Which attempt.
        attempt: AttemptId,
        /// Index of the target in the attempt's list.
        target: usize,
    },
    /// Arm a deadline.
    Arm(Timer, Duration),
    /// Disarm a deadline.
    Disarm(Timer),
    /// Tell whoever listens.
    Happened(Happening),
    /// The last leg is gone: write the record and forget the call.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Dialling,
    Up,
    Ending,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub(crate) id: CallId,
    pub(crate) state: State,
    pub(crate) legs: Vec<Leg>,
    pub(crate) participants: Vec<Participant>,
    pub(crate) next_participant: u32,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) attempts_made: u64,
    /// Targets of the call that is to follow on [`Purpose::OwnPhone`].
    pub(crate) targets: usize,
    pub(crate) consult: Option<Consult>,
    pub(crate) transfer: Option<Transfer>,
    /// The agent in control; written by [`Call::elect`] only.
    pub(crate) primary: Option<ParticipantId>,
    /// Whether a customer takes or took part.
    pub(crate) has_customer: bool,
    pub(crate) post_call: bool,
    pub(crate) is_conference: bool,
    pub(crate) recording: Recording,
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    pub(crate) times: Times,
    pub(crate) segments: Segments,
    pub(crate) outcome: Option<Outcome>,
}

/// When things happened, by the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// First ringing.
    pub ringing: Option<Time>,
    /// The answer.
    pub answered: Option<Time>,
    /// The decision to end.
    pub ended: Option<Time>,
}

/// How the call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why.
    pub cause: Cause,
    /// By whom.
    pub by: EndedBy,
}

impl Outcome {
    /// Our own decision, for no failure.
    pub(crate) const SYSTEM: Self = Self { cause: Cause::NORMAL, by: EndedBy::System };
}

/// How a call begins.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Its id.
    pub id: CallId,
    /// Who calls.
    pub caller: (Role, PartyKey),
    /// Who is called.
    pub callee: (Role, PartyKey),
    /// How many targets lead there.
    pub targets: usize,
    /// Time limits.
    pub limits: Limits,
    /// What the organisation decided.
    pub policy: Policy,
}

impl Call {
    /// A call from the leg `caller`.
    pub fn new(setup: Setup, caller: LegId, out: &mut Vec<Output>) -> Self {
        let mut call = Self::empty(&setup);
        let (role, party) = setup.caller;
        let of = call.invite(role, party);
        let (side, presence) = (Side::Caller, Presence::Invited);
        call.legs.push(Leg { leg: caller, of, party, side, presence, holds: false, driven: false });
        let callee = call.invite(setup.callee.0, setup.callee.1);
        call.primary = Some(of).filter(|_| role == Role::Agent);
        call.attempt(Purpose::First, callee, Some(caller), setup.targets, out);
        call
    }

    /// A call that an agent makes by command: the own phone is called first (I5).
    pub fn outdial(setup: Setup, out: &mut Vec<Output>) -> Self {
        let mut call = Self::empty(&setup);
        let agent = call.invite(setup.caller.0, setup.caller.1);
        call.invite(setup.callee.0, setup.callee.1);
        call.primary = Some(agent);
        call.targets = setup.targets;
        call.attempt(Purpose::OwnPhone, agent, None, 1, out);
        call
    }

    fn empty(setup: &Setup) -> Self {
        Self {
            id: setup.id,
            state: State::Dialling,
            legs: Vec::new(),
            participants: Vec::new(),
            next_participant: 0,
            attempts: Vec::new(),
            attempts_made: 0,
            targets: 0,
            consult: None,
            transfer: None,
            primary: None,
            has_customer: [setup.caller.0, setup.callee.0].contains(&Role::Customer),
            post_call: false,
            is_conference: false,
            recording: Recording::default(),
            policy: setup.policy,
            limits: setup.limits,
            times: Times::default(),
            segments: Segments::default(),
            outcome: None,
        }
    }

    /// Every leg, in the order in which they came.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// The leg of this id.
    pub fn leg(&self, leg: LegId) -> Option<&Leg> {
        self.legs.iter().find(|one| one.leg == leg)
    }

    /// Everyone in the call, in the order in which they came.
    pub fn participants(&self) -> &[Participant] {
        &self.participants
    }

    /// The participant of this id.
    pub fn participant(&self, id: ParticipantId) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.id == id)
    }

    pub(crate) fn participant_mut(&mut self, id: ParticipantId) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|participant| participant.id == id)
    }

    /// The agent in control.
    pub fn primary(&self) -> Option<ParticipantId> {
        self.primary
    }

    /// Whether somebody has answered and the call is not over.
    pub fn is_talking(&self) -> bool {
        self.state == State::Up
    }

    /// Whether the call is being taken down.
    pub fn is_ending(&self) -> bool {
        self.state == State::Ending
    }

    /// When things happened.
    pub fn times(&self) -> &Times {
        &self.times
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Advances the call by what `leg` reports. Reports of legs that left are ignored.
    pub fn handle(&mut self, now: Time, leg: LegId, event: LegEvent, out: &mut Vec<Output>) {
        let Some(at) = self.legs.iter().position(|one| one.leg == leg) else {
            return;
        };
        if event == LegEvent::Gone {
            return self.gone(now, at, out);
        }
        let Leg { side, presence, .. } = self.legs[at];
        if self.state == State::Ending || presence == Presence::Leaving {
            return;
        }
        match event {
            LegEvent::Ringing => self.ringing(now, at, out),
            LegEvent::EarlyMedia => self.early_media(at, out),
            LegEvent::Answered if self.legs[at].is_candidate() => {
                self.attempt_answered(now, at, out);
            }
            LegEvent::Answered => {} // a caller's ACK; nothing changes
            LegEvent::Held(holds) => self.held_by_phone(at, holds, out),
            LegEvent::Driven(driven) => self.legs[at].driven = driven,
            LegEvent::Refused(cause) | LegEvent::HungUp(cause) => {
                self.leg_left(now, at, Outcome { cause, by: by(side) }, out);
            }
            LegEvent::Lost(cause) => {
                self.leg_left(now, at, Outcome { cause, by: EndedBy::System }, out);
            }
            LegEvent::Gone => {}
        }
        self.mark(now);
    }

    /// A deadline armed by [`Output::Arm`] has come.
    pub fn fired(&mut self, now: Time, timer: Timer, out: &mut Vec<Output>) {
        match timer {
            Timer::Ring(attempt) => {
                debug_assert!(self.attempts.iter().any(|one| one.id == attempt), "{attempt}");
                self.rang_out(now, attempt, out);
            }
            Timer::Limit => {
                debug_assert_eq!(self.state, State::Up);
                self.end(now, Outcome::SYSTEM, out);
            }
            Timer::Pause => self.pause_is_over(out),
            Timer::Record => self.try_recording(out),
        }
        self.mark(now);
    }

    /// Ends the call from our side: a drain, an orphan, an operator.
    pub fn release(&mut self, now: Time, cause: Cause, out: &mut Vec<Output>) {
        self.end(now, Outcome { cause, by: EndedBy::System }, out);
        self.mark(now);
    }

    /// Every deadline that may be armed.
    pub fn timers(&self) -> impl Iterator<Item = Timer> + '_ {
        let rings = self.attempts.iter().map(|attempt| Timer::Ring(attempt.id));
        rings.chain([Timer::Limit, Timer::Pause, Timer::Record])
    }

    fn ringing(&mut self, now: Time, at: usize, out: &mut Vec<Output>) {
        let leg = &mut self.legs[at];
        if leg.presence < Presence::Ringing {
            leg.presence = Presence::Ringing;
        }
        let of = leg.of;
        let is_first = self.state == State::Dialling && self.times.ringing.is_none();
        if is_first && self.attempt_of(of).is_some_and(|one| one.purpose == Purpose::First) {
            self.times.ringing = Some(now);
        }
        self.tell(What::Ringing, Some(of), out);
        self.tell_caller(of, Presence::Ringing, LegCommand::Ring, out);
    }

    fn early_media(&mut self, at: usize, out: &mut Vec<Output>) {
        let leg = &mut self.legs[at];
        if leg.presence < Presence::Early {
            leg.presence = Presence::Early;
        }
        let of = leg.of;
        self.tell_caller(of, Presence::Early, LegCommand::Progress, out);
    }

    /// The call itself was answered.
    pub(crate) fn first_answered(&mut self, now: Time, who: ParticipantId, out: &mut Vec<Output>) {
        self.state = State::Up;
        self.times.answered = Some(now);
        if let Some(limit) = self.limits.call {
            out.push(Output::Arm(Timer::Limit, limit));
        }
        self.tell(What::Accepted, Some(who), out);
        if self.policy.records_all {
            self.begin_recording(out);
        }
    }

    /// The phone of an agent who calls by command is up: now the call itself.
    pub(crate) fn own_phone_answered(&mut self, out: &mut Vec<Output>) {
        let callee = self.participants.iter().find(|one| one.joined.is_none());
        if let Some(callee) = callee.map(|one| one.id) {
            self.attempt(Purpose::First, callee, None, self.targets, out);
        }
    }

    /// A leg is on its way out by itself.
    fn leg_left(&mut self, now: Time, at: usize, outcome: Outcome, out: &mut Vec<Output>) {
        let Leg { leg, of, .. } = self.legs[at];
        let was_candidate = self.legs[at].is_candidate();
        self.legs[at].presence = Presence::Leaving;
        if was_candidate && let Some(attempt) = self.attempt_of(of).map(|attempt| attempt.id) {
            if let Some(one) = self.attempts.iter_mut().find(|one| one.id == attempt) {
                one.dialling.failed(outcome.cause, outcome.by);
            }
            return self.dial_on(now, attempt, out);
        }
        if self.second_leg_left(leg, of, outcome, out) {
            return self.settle(now, outcome, out);
        }
        self.depart(of, outcome, out);
        self.settle(now, outcome, out);
    }

    /// A participant leaves, with whatever of it is still up.
    pub(crate) fn depart(&mut self, who: ParticipantId, outcome: Outcome, out: &mut Vec<Output>) {
        let Some(at) = self.participants.iter().position(|one| one.id == who) else {
            return;
        };
        self.drop_attempt(who, out);
        self.release_legs(who, outcome.cause, out);
        let gone = self.participants.remove(at);
        if gone.role == Role::Supervisor {
            self.tell(What::MonitoringEnded, Some(who), out);
        } else if gone.joined.is_some() && self.is_conference {
            self.tell(What::ParticipantLeft, Some(who), out);
        }
    }

    /// Hangs every phone of a participant up.
    pub(crate) fn release_legs(&mut self, of: ParticipantId, cause: Cause, out: &mut Vec<Output>) {
        for leg in self.legs.iter_mut().filter(|leg| leg.of == of) {
            release(leg, cause, out);
        }
    }

    pub(crate) fn release_leg(&mut self, leg: LegId, cause: Cause, out: &mut Vec<Output>) {
        if let Some(leg) = self.legs.iter_mut().find(|one| one.leg == leg) {
            release(leg, cause, out);
        }
    }

    /// Puts right what follows from whatever has just happened. `outcome` is what the call ends
    /// with when nobody is left to talk to.
    pub(crate) fn settle(&mut self, now: Time, outcome: Outcome, out: &mut Vec<Output>) {
        if self.state == State::Ending {
            return;
        }
        self.settle_consult(outcome, out);
        self.settle_transfer(outcome, out);
        let others = self.participants.iter().filter(|one| one.role != Role::Supervisor).count();
        if others < 2 || self.is_deserted() {
            return self.close(now, outcome, out); // F11
        }
        let has_left =
            self.has_customer && self.participants.iter().all(|one| one.role != Role::Customer);
        if has_left && !self.post_call && self.state == State::Up {
            self.post_call = true; // F12, C22
            self.tell(What::PostCall, None, out);
        }
        self.elect(out);
        self.settle_supervisors(outcome, out);
        self.settle_conference(out);
    }

    /// Nobody has a phone in it any longer, and nobody is being called (S16).
    fn is_deserted(&self) -> bool {
        let mut live = self.legs.iter().filter(|leg| leg.presence != Presence::Leaving);
        live.next().is_none() && self.attempts.is_empty()
    }

    /// F4: the agent who is longest in the call takes over from an owner who left.
    fn elect(&mut self, out: &mut Vec<Output>) {
        let is_there = |id: &ParticipantId| self.participants.iter().any(|one| one.id == *id);
        if self.primary.as_ref().is_some_and(is_there) {
            return;
        }
        let had_one = self.primary.is_some();
        let in_main = self.main().filter(|one| one.role == Role::Agent);
        self.primary = in_main.min_by_key(|one| (one.joined, one.id)).map(|one| one.id);
        if self.primary.is_some() && (had_one || self.state == State::Up) {
            self.tell(What::OwnerChanged, self.primary, out);
        }
    }

    /// [`Self::end`], by one of its own: what is given up before an answer did not end normally.
    pub(crate) fn close(&mut self, now: Time, outcome: Outcome, out: &mut Vec<Output>) {
        let is_unanswered = self.state == State::Dialling && outcome.cause == Cause::NORMAL;
        let cause = if is_unanswered { Cause::CANCELLED } else { outcome.cause };
        self.end(now, Outcome { cause, ..outcome }, out);
    }

    pub(crate) fn end(&mut self, now: Time, outcome: Outcome, out: &mut Vec<Output>) {
        if self.state == State::Ending {
            return;
        }
        for attempt in std::mem::take(&mut self.attempts) {
            out.push(Output::Disarm(Timer::Ring(attempt.id)));
        }
        if self.state == State::Up && self.limits.call.is_some() {
            out.push(Output::Disarm(Timer::Limit));
        }
        self.end_recording(out);
        self.mark(now);
        self.state = State::Ending;
        self.consult = None;
        self.transfer = None;
        self.times.ended = Some(now);
        self.outcome = Some(outcome);
        for leg in &mut self.legs {
            release(leg, outcome.cause, out);
        }
        self.tell_ended(outcome, out);
        self.mark(now);
        if self.legs.is_empty() {
            out.push(Output::Over);
        }
    }

    fn gone(&mut self, now: Time, at: usize, out: &mut Vec<Output>) {
        if self.state != State::Ending && self.legs[at].presence != Presence::Leaving {
            // A leg that vanished without a word: as if it had been lost.
            let outcome = Outcome { cause: Cause::CONGESTION, by: EndedBy::System };
            self.leg_left(now, at, outcome, out);
        }
        self.legs.remove(at);
        if self.legs.is_empty() && self.state == State::Ending {
            out.push(Output::Over);
        }
        self.mark(now);
    }

    /// Whether `verb` may be used by `who`: [`Call::controls`] for one verb.
    pub fn may(&self, who: ParticipantId, verb: Verb) -> Result<(), Refusal> {
        self.allows(who, verb)
    }
}

fn release(leg: &mut Leg, cause: Cause, out: &mut Vec<Output>) {
    if leg.presence != Presence::Leaving {
        leg.presence = Presence::Leaving;
        out.push(Output::Leg(leg.leg, LegCommand::Release { cause, elsewhere: false }));
    }
}

pub(crate) fn by(side: Side) -> EndedBy {
    match side {
        Side::Caller => EndedBy::Caller,
        Side::Callee => EndedBy::Callee,
    }
}
