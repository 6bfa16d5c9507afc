//! One call between a caller and whoever answers.
//!
//! ```text
//!            Dial(target)           a callee Answered
//! new ─────▶ Dialling ───────────────────────────────▶ Talking
//!              │  ▲ next target                           │ HungUp, limit, release()
//!              │  └── all refused, cause allows it        ▼
//!              └── refused, HungUp, ring time-out ──▶ Ending ── last leg Gone ──▶ over
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use base::Time;

use crate::dial::Dialling;
use crate::record::EndedBy;
use crate::{Cause, LegCommand, LegEvent, LegId, Participant, Presence, Side};

/// Time limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long each target may ring.
    pub ring: Duration,
    /// How long the call may last after its answer.
    pub call: Option<Duration>,
}

/// The deadlines of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Timer {
    /// Nobody answered.
    Ring,
    /// The call has lasted its limit.
    Limit,
}

/// What the call asks of its owner, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell a leg.
    Leg(LegId, LegCommand),
    /// Place legs to the phones of this target and [`Call::add_callee`] each; when there is none,
    /// call [`Call::target_failed`].
    Dial {
        /// Index of the target.
        target: usize,
    },
    /// Arm a deadline.
    Arm(Timer, Duration),
    /// Disarm a deadline.
    Disarm(Timer),
    /// The last leg is gone: write the record and forget the call.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Dialling(Dialling),
    Talking { since: Time },
    Ending,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    state: State,
    participants: Vec<Participant>,
    targets: usize,
    limits: Limits,
    times: Times,
    outcome: Option<Outcome>,
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
    /// Since when a side is on hold.
    held_since: Option<Time>,
    /// Time on hold until then.
    pub held: Duration,
}

/// How the call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why.
    pub cause: Cause,
    /// By whom.
    pub by: EndedBy,
}

impl Call {
    /// A call from `caller` to the first of `targets` targets.
    pub fn new(caller: LegId, targets: usize, limits: Limits, out: &mut Vec<Output>) -> Self {
        out.push(Output::Dial { target: 0 });
        out.push(Output::Arm(Timer::Ring, limits.ring));
        Self {
            state: State::Dialling(Dialling::default()),
            participants: vec![participant(caller, Side::Caller)],
            targets,
            limits,
            times: Times::default(),
            outcome: None,
        }
    }

    /// Adds a leg placed for the target being dialled.
    pub fn add_callee(&mut self, leg: LegId) {
        debug_assert!(matches!(self.state, State::Dialling(_)));
        self.participants.push(participant(leg, Side::Callee));
    }

    /// The target being dialled has no phone to ring, or none that could be reached.
    pub fn target_failed(&mut self, now: Time, cause: Cause, out: &mut Vec<Output>) {
        if let State::Dialling(dialling) = &mut self.state {
            dialling.failed(cause, EndedBy::System);
            self.dial_on(now, out);
        }
    }

    /// The target being dialled named another one: the owner puts that into its list at the
    /// returned place, and it is dialled next, whatever the failure. `None`: too late.
    pub fn redirected(&mut self) -> Option<usize> {
        let State::Dialling(dialling) = &mut self.state else { return None };
        self.targets += 1;
        Some(dialling.redirected())
    }

    /// Everyone in the call, in the order in which they joined.
    pub fn participants(&self) -> &[Participant] {
        &self.participants
    }

    /// The participant behind `leg`.
    pub fn participant(&self, leg: LegId) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.leg == leg)
    }

    /// The calling leg, while it is there.
    pub fn caller(&self) -> Option<LegId> {
        let caller = self.participants.iter().find(|p| p.side == Side::Caller)?;
        Some(caller.leg)
    }

    /// The leg that `leg` talks to, or hears in early media.
    pub fn partner(&self, leg: LegId) -> Option<LegId> {
        let me = self.participant(leg)?;
        let others = self.participants.iter().filter(|other| other.side != me.side);
        let best = others.filter(|other| other.presence != Presence::Leaving);
        // Earlier participants win among equals: `max_by_key` keeps the last, hence the reversal.
        best.rev().max_by_key(|other| other.presence).map(|other| other.leg)
    }

    /// Whether somebody has answered and nobody has hung up.
    pub fn is_talking(&self) -> bool {
        matches!(self.state, State::Talking { .. })
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
        let Some(at) = self.participants.iter().position(|p| p.leg == leg) else { return };
        let side = self.participants[at].side;
        match (self.state, event) {
            (_, LegEvent::Gone) => self.gone(now, at, out),
            (State::Ending, _) => {}
            (State::Dialling(_), LegEvent::Ringing) => self.ringing(now, at, out),
            (State::Dialling(_), LegEvent::EarlyMedia) => self.early_media(now, at, out),
            (State::Dialling(_), LegEvent::Answered) => self.answered(now, at, out),
            (_, LegEvent::Held(holds)) => self.held(now, at, holds),
            (_, LegEvent::Refused(cause) | LegEvent::HungUp(cause)) => {
                self.left(now, at, Outcome { cause, by: by(side) }, out);
            }
            (_, LegEvent::Lost(cause)) => {
                self.left(now, at, Outcome { cause, by: EndedBy::System }, out);
            }
            (State::Talking { .. }, LegEvent::Ringing | LegEvent::EarlyMedia) => {}
            // The caller's ACK; nothing changes.
            (State::Talking { .. }, LegEvent::Answered) => {}
        }
    }

    /// A deadline armed by [`Output::Arm`] has come.
    pub fn fired(&mut self, now: Time, timer: Timer, out: &mut Vec<Output>) {
        let cause = match (self.state, timer) {
            (State::Dialling(mut dialling), Timer::Ring) => {
                dialling.timed_out();
                self.state = State::Dialling(dialling);
                self.release_callees(Cause::CANCELLED, false, out);
                self.dial_on(now, out);
                return;
            }
            (State::Talking { .. }, Timer::Limit) => Cause::NORMAL,
            (State::Dialling(_) | State::Ending, Timer::Limit)
            | (State::Talking { .. } | State::Ending, Timer::Ring) => {
                debug_assert!(false, "{timer:?} fired in {:?}", self.state);
                return;
            }
        };
        self.end(now, Outcome { cause, by: EndedBy::System }, out);
    }

    /// Ends the call from our side: a drain, an orphan, an operator.
    pub fn release(&mut self, now: Time, cause: Cause, out: &mut Vec<Output>) {
        if self.state != State::Ending {
            self.end(now, Outcome { cause, by: EndedBy::System }, out);
        }
    }

    /// A participant is on its way out: the last phone of a target makes room for the next target,
    /// else the call ends.
    fn left(&mut self, now: Time, at: usize, outcome: Outcome, out: &mut Vec<Output>) {
        let side = self.participants[at].side;
        self.participants[at].presence = Presence::Leaving;
        match &mut self.state {
            State::Dialling(dialling) if side == Side::Callee => {
                dialling.failed(outcome.cause, outcome.by);
                self.dial_on(now, out);
            }
            // A phone that lost the race for the call hangs up without ending it.
            State::Dialling(_) | State::Talking { .. } | State::Ending => {
                if side == Side::Caller || self.connected_callee().is_none() {
                    self.end(now, outcome, out);
                }
            }
        }
    }

    fn ringing(&mut self, now: Time, at: usize, out: &mut Vec<Output>) {
        let callee = &mut self.participants[at];
        if callee.presence < Presence::Ringing {
            callee.presence = Presence::Ringing;
        }
        self.times.ringing.get_or_insert(now);
        self.tell_caller(Presence::Ringing, LegCommand::Ring, out);
    }

    fn early_media(&mut self, _now: Time, at: usize, out: &mut Vec<Output>) {
        let callee = &mut self.participants[at];
        if callee.presence < Presence::Early {
            callee.presence = Presence::Early;
        }
        self.tell_caller(Presence::Early, LegCommand::Progress, out);
    }

    /// Passes progress on to the caller; never a step back, but ringing after early media is told.
    fn tell_caller(&mut self, presence: Presence, command: LegCommand, out: &mut Vec<Output>) {
        let caller = self.participants.iter_mut().find(|p| p.side == Side::Caller);
        if let Some(caller) = caller.filter(|caller| caller.presence != Presence::Leaving) {
            caller.presence = caller.presence.max(presence);
            out.push(Output::Leg(caller.leg, command));
        }
    }

    fn answered(&mut self, now: Time, at: usize, out: &mut Vec<Output>) {
        if self.participants[at].side == Side::Caller {
            return; // it answers when we tell it to
        }
        self.participants[at].presence = Presence::Connected;
        self.state = State::Talking { since: now };
        self.times.answered = Some(now);
        out.push(Output::Disarm(Timer::Ring));
        if let Some(limit) = self.limits.call {
            out.push(Output::Arm(Timer::Limit, limit));
        }
        if let Some(caller) = self.participants.iter_mut().find(|p| p.side == Side::Caller) {
            caller.presence = Presence::Connected;
            out.push(Output::Leg(caller.leg, LegCommand::Answer));
        }
        self.release_callees(Cause::CANCELLED, true, out);
    }

    fn held(&mut self, now: Time, at: usize, holds: bool) {
        self.participants[at].holds = holds;
        let any = self.participants.iter().any(|p| p.holds && p.presence != Presence::Leaving);
        match (self.times.held_since, any) {
            (None, true) => self.times.held_since = Some(now),
            (Some(since), false) => {
                self.times.held += now - since;
                self.times.held_since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// Dials the next target once no phone of the present one is left.
    fn dial_on(&mut self, now: Time, out: &mut Vec<Output>) {
        let State::Dialling(mut dialling) = self.state else { return };
        if self.callees().next().is_some() {
            return;
        }
        let next = dialling.next_target(self.targets);
        self.state = State::Dialling(dialling);
        if let Some(target) = next {
            out.push(Output::Arm(Timer::Ring, self.limits.ring));
            out.push(Output::Dial { target });
        } else {
            let (cause, by) = dialling.verdict();
            self.end(now, Outcome { cause, by }, out);
        }
    }

    fn end(&mut self, now: Time, outcome: Outcome, out: &mut Vec<Output>) {
        match self.state {
            State::Dialling(_) => out.push(Output::Disarm(Timer::Ring)),
            State::Talking { .. } if self.limits.call.is_some() => {
                out.push(Output::Disarm(Timer::Limit));
            }
            State::Talking { .. } | State::Ending => {}
        }
        if let Some(since) = self.times.held_since.take() {
            self.times.held += now - since;
        }
        self.state = State::Ending;
        self.times.ended = Some(now);
        self.outcome = Some(outcome);
        for participant in &mut self.participants {
            if participant.presence != Presence::Leaving {
                participant.presence = Presence::Leaving;
                let cause = outcome.cause;
                let release = LegCommand::Release { cause, elsewhere: false };
                out.push(Output::Leg(participant.leg, release));
            }
        }
    }

    fn gone(&mut self, now: Time, at: usize, out: &mut Vec<Output>) {
        let gone = self.participants.remove(at);
        if gone.presence != Presence::Leaving {
            // A leg that vanished without a word: as if it had been lost.
            let outcome = Outcome { cause: Cause::CONGESTION, by: EndedBy::System };
            match self.state {
                State::Dialling(mut dialling) if gone.side == Side::Callee => {
                    dialling.failed(outcome.cause, outcome.by);
                    self.state = State::Dialling(dialling);
                    self.dial_on(now, out);
                }
                State::Dialling(_) | State::Talking { .. } => self.end(now, outcome, out),
                State::Ending => {}
            }
        }
        if self.participants.is_empty() {
            debug_assert_eq!(self.state, State::Ending);
            out.push(Output::Over);
        }
    }

    /// Ends every callee that has not answered.
    fn release_callees(&mut self, cause: Cause, elsewhere: bool, out: &mut Vec<Output>) {
        for callee in self.participants.iter_mut().filter(|p| p.side == Side::Callee) {
            if callee.presence < Presence::Connected {
                callee.presence = Presence::Leaving;
                out.push(Output::Leg(callee.leg, LegCommand::Release { cause, elsewhere }));
            }
        }
    }

    fn callees(&self) -> impl Iterator<Item = &Participant> {
        let callees = self.participants.iter().filter(|p| p.side == Side::Callee);
        callees.filter(|callee| callee.presence != Presence::Leaving)
    }

    fn connected_callee(&self) -> Option<LegId> {
        let callee = self.callees().find(|callee| callee.presence == Presence::Connected)?;
        Some(callee.leg)
    }
}

fn participant(leg: LegId, side: Side) -> Participant {
    Participant { leg, side, presence: Presence::Invited, holds: false }
}

fn by(side: Side) -> EndedBy {
    match side {
        Side::Caller => EndedBy::Caller,
        Side::Callee => EndedBy::Callee,
    }
}
