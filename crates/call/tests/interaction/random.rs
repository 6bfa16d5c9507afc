//! Random verbs of all participants, mixed with what phones do: answers, refusals, holds, hang-ups,
//! lost and vanishing legs, deadlines. After every step the invariants hold.
//!
//! `SEQUENCES=1000000 SEED=17 cargo test -p call --release random` runs more, or the one that failed.

use std::collections::BTreeMap;

use base::Rng;
use call::control::{MonitorMode, OnFailure, Verb};
use call::hearing::{self, Hears};
use call::{
    CONFERENCE_MAX, Call, Cause, Command, Facing, Leg, LegEvent, LegId, Participant, ParticipantId,
    PartyKey, Presence, Purpose, Recording, Role, SegmentKind, Timer,
};

use crate::bench::{Bench, agent, to};

const STEPS: u32 = 30;

#[test]
fn controls_hearing_and_ownership_hold_whatever_happens() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = match number("SEED") {
        Some(seed) => (seed, number("SEQUENCES").unwrap_or(1)),
        None => (0, number("SEQUENCES").unwrap_or(10_000)),
    };
    for seed in first..first + count {
        let run = std::panic::catch_unwind(|| sequence(seed));
        if let Err(panic) = run {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("SEED={seed}: {text}");
        }
    }
}

fn sequence(seed: u64) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut world = World { rng: Rng::new(bytes), bench: Bench::ringing(), others: 1 };
    world.bench = match world.below(4) {
        0 => Bench::colleagues(),
        1 => Bench::outdial(),
        2 => Bench::ringing(),
        _ => Bench::talking(),
    };
    world.bench.is_slow = world.below(2) == 0;
    for _ in 0..STEPS {
        if world.bench.is_over {
            break;
        }
        world.bench.phones = world.below(4) as usize;
        let time = world.below(20).into();
        world.bench.wait(time);
        world.step();
        world.check();
    }
    world.wind_up();
}

struct World {
    rng: Rng,
    bench: Bench,
    /// Calls merged so far.
    others: u64,
}

impl World {
    fn below(&mut self, bound: u32) -> u32 {
        self.rng.next_u32() % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| self.one_of(from))
    }

    fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.below(from.len() as u64) as usize]
    }

    fn step(&mut self) {
        match self.below(21) {
            0..=8 => self.verb(),
            9..=14 => self.phone(),
            15 => self.deadline(),
            16 => self.supervise(),
            17 => self.second_line(),
            18 => self.merge(),
            19 => self.release_late(),
            _ => self.disk(),
        }
    }

    /// The disk refuses what is recorded.
    fn disk(&mut self) {
        let mut out = Vec::new();
        self.bench.call.recording_failed(&mut out);
        self.bench.follow(out);
    }

    fn verb(&mut self) {
        let who: Vec<_> = self.bench.call.participants().iter().map(|one| one.id).collect();
        let Some(by) = self.pick(&who) else { return };
        // Mostly something that is allowed, so that runs go deep.
        for _ in 0..6 {
            let command = self.command(&who);
            let allowed = self.bench.call.allows(by, command.verb());
            if allowed.is_ok() || self.below(6) == 0 {
                let mut out = Vec::new();
                let now = self.bench.now;
                let result = self.bench.call.command(now, by, command, &mut out);
                if !matches!(command, Command::Remove(_)) {
                    assert_eq!(result.err(), allowed.err(), "{command:?}");
                }
                assert!(result.is_ok() || out.is_empty(), "a refused verb did something");
                self.bench.follow(out);
                return;
            }
        }
    }

    fn command(&mut self, who: &[ParticipantId]) -> Command {
        let callee = match self.below(4) {
            0 => to(PartyKey(u64::from(10 + self.below(80)))),
            _ => to(agent(u64::from(2 + self.below(80)))),
        };
        let on_failure = self.one_of(&[OnFailure::Recall, OnFailure::Requeue, OnFailure::Drop]);
        match self.below(24) {
            0 => Command::Decline,
            1 => Command::Hold,
            2 => Command::ReleaseLine,
            3 | 4 => Command::Resume,
            5 => Command::Mute,
            6 => Command::Unmute,
            7 => Command::End,
            8..=10 => Command::Consult { callee, hold_others: self.below(2) == 0 },
            11 => Command::ConsultEnd,
            12 => Command::ConsultExit,
            13 => Command::ConsultHold,
            14 => Command::ConsultResume,
            15 => Command::ConsultTransfer { on_failure },
            16 => Command::ConsultConference,
            17 => Command::Toggle,
            18 => Command::Transfer { callee, on_failure, stays: self.below(2) == 0 },
            19 => Command::ConferenceExit,
            20 if self.below(4) == 0 => Command::ConferenceEnd,
            20 | 21 => Command::Remove(self.one_of(who)),
            22 => self.one_of(&[Command::RecordStart, Command::RecordStop]),
            _ => self.one_of(&[Command::RecordPause, Command::RecordResume]),
        }
    }

    fn phone(&mut self) {
        let legs: Vec<_> = self.bench.call.legs().iter().map(|leg| leg.leg).collect();
        let Some(leg) = self.pick(&legs) else { return };
        let event = match self.below(16) {
            0 | 1 => LegEvent::Ringing,
            2 => LegEvent::EarlyMedia,
            3..=9 => LegEvent::Answered,
            10 => LegEvent::Held(true),
            11 => LegEvent::Held(false),
            12 => LegEvent::Refused(Cause::BUSY),
            13 => LegEvent::HungUp(Cause::NORMAL),
            14 => LegEvent::Lost(Cause::TIMEOUT),
            _ => LegEvent::Gone,
        };
        let was = self.bench.call.leg(leg).copied().expect("a leg of the call");
        if matches!(event, LegEvent::Refused(_)) && was.presence == Presence::Connected {
            return; // refusals come before answers
        }
        let is_loss = matches!(
            event,
            LegEvent::Refused(_) | LegEvent::HungUp(_) | LegEvent::Lost(_) | LegEvent::Gone
        );
        let kept = is_loss.then(|| self.unharmed_by(&was)).flatten();
        self.bench.event(leg, event);
        if event == LegEvent::Gone {
            self.bench.leaving.remove(&leg);
        } else if is_loss && !self.bench.is_slow {
            self.bench.gone(leg);
        } else if is_loss && self.bench.call.leg(leg).is_some() {
            self.bench.leaving.insert(leg);
        }
        if let Some(kept) = kept {
            assert!(self.bench.call.participant(kept).is_some(), "{was:?} cost the customer");
            assert!(!self.bench.call.is_ending(), "{was:?} cost the call");
        }
    }

    /// Invariant 4: a phone that rings in vain for a consult, a join, a retrieve or a supervisor
    /// never costs a customer who is with an agent the call.
    fn unharmed_by(&self, leg: &Leg) -> Option<ParticipantId> {
        let call = &self.bench.call;
        let attempt = call.attempts().iter().find(|one| one.participant == leg.of)?;
        let is_candidate = leg.presence < Presence::Connected;
        let is_beside = matches!(
            attempt.purpose,
            Purpose::Consult | Purpose::Join | Purpose::Retrieve | Purpose::Monitor
        );
        let there =
            |role| call.participants().iter().find(|one| one.role == role && one.joined.is_some());
        let customer = there(Role::Customer)?.id;
        let agent = there(Role::Agent)?.id;
        let is_own = attempt.caller == Some(leg.leg);
        let consulted = call.consulting().is_some_and(|consult| consult.target == agent);
        (is_candidate && is_beside && !is_own && !consulted && !call.is_ending())
            .then_some(customer)
    }

    fn deadline(&mut self) {
        let timers: Vec<_> = self.bench.armed.iter().copied().collect();
        if let Some(timer) = self.pick(&timers) {
            self.bench.wait(60);
            self.bench.fire(timer);
        }
    }

    fn supervise(&mut self) {
        let mode = self.one_of(&[MonitorMode::Monitor, MonitorMode::Whisper, MonitorMode::Barge]);
        let who: Vec<_> = self.bench.call.participants().iter().map(|one| one.id).collect();
        let Some(target) = self.pick(&who) else { return };
        let (mut out, now) = (Vec::new(), self.bench.now);
        let call = &mut self.bench.call;
        if call.participant(target).is_some_and(|one| one.watch.is_some()) {
            match mode {
                MonitorMode::Monitor => call.end_monitoring(now, target, &mut out),
                MonitorMode::Whisper | MonitorMode::Barge => {
                    call.switch_monitoring(target, mode, &mut out)
                }
            }
            .expect("supervises");
        } else {
            let may = call.may_monitor(target);
            let done = call.monitor(now, target, agent(99), mode, &mut out);
            assert_eq!(done.err(), may.err());
        }
        self.bench.follow(out);
    }

    fn second_line(&mut self) {
        let who: Vec<_> = self.bench.call.participants().iter().map(|one| one.id).collect();
        let Some(by) = self.pick(&who) else { return };
        self.bench.next_leg += 1;
        let (leg, mut out) = (LegId(self.bench.next_leg), Vec::new());
        let callee = to(agent(u64::from(2 + self.below(80))));
        let may = self.bench.call.allows(by, Verb::Consult);
        let done = self.bench.call.consult_by_leg(self.bench.now, by, leg, callee, &mut out);
        assert_eq!(done, may);
        self.bench.follow(out);
    }

    fn merge(&mut self) {
        self.others += 1;
        let mut other = Bench::second(self.others);
        if self.below(2) == 0 {
            other.does(agent(1), Command::ReleaseLine);
        }
        let may = self.bench.call.may_absorb(&other.call, agent(1));
        let mut out = Vec::new();
        let done = self.bench.call.absorb(self.bench.now, other.call, agent(1), &mut out);
        assert_eq!(done, may);
        self.bench.follow(out);
    }

    fn release_late(&mut self) {
        let leaving: Vec<_> = self.bench.leaving.iter().copied().collect();
        if let Some(leg) = self.pick(&leaving) {
            self.bench.gone(leg);
        }
    }

    fn check(&mut self) {
        let bench = &self.bench;
        owned(bench);
        timed(bench);
        heard(&bench.call);
        if !bench.call.is_ending() {
            assert!(members(&bench.call) >= 2, "a call of one: {:#?}", bench.call);
            assert!(members(&bench.call) <= CONFERENCE_MAX, "F1");
        }
        if let Some(primary) = bench.call.primary().filter(|_| !bench.call.is_ending()) {
            assert!(bench.call.participant(primary).is_some(), "an owner who left");
        }
        self.controls_keep_their_word();
    }

    /// What a control allows is done, what it forbids is refused for the same reason.
    fn controls_keep_their_word(&mut self) {
        let who: Vec<_> = self.bench.call.participants().iter().map(|one| one.id).collect();
        for _ in 0..3 {
            let Some(by) = self.pick(&who) else { return };
            let command = self.command(&who);
            if matches!(command, Command::Remove(_)) {
                continue;
            }
            let control = self.bench.call.controls(by).get(&command.verb()).copied();
            let mut copy = self.bench.call.clone();
            let done = copy.command(self.bench.now, by, command, &mut Vec::new());
            match control {
                Some(control) => assert_eq!(control.reason, done.err(), "{command:?}"),
                None => assert!(done.is_err(), "{command:?} without a control"),
            }
        }
    }

    /// Everybody hangs up: nothing is left, and the times add up.
    fn wind_up(&mut self) {
        for _ in 0..200 {
            if self.bench.is_over {
                break;
            }
            let leaving: Vec<_> = self.bench.leaving.iter().copied().collect();
            let legs: Vec<_> = self.bench.call.legs().iter().map(|leg| leg.leg).collect();
            match (leaving.first(), legs.first()) {
                (Some(&leg), _) => self.bench.gone(leg),
                (None, Some(&leg)) => {
                    self.bench.event(leg, LegEvent::HungUp(Cause::NORMAL));
                    self.bench.event(leg, LegEvent::Gone);
                }
                (None, None) => self.deadline(),
            }
        }
        let bench = &self.bench;
        assert!(bench.is_over, "never over: {:#?}", bench.call);
        assert!(bench.armed.is_empty(), "armed at rest: {:?}", bench.armed);
        assert!(bench.call.legs().is_empty());
        let times = bench.call.times();
        let whole = times.answered.map(|at| times.ended.expect("is over") - at).unwrap_or_default();
        let sum = SegmentKind::ALL.iter().map(|&kind| bench.call.total(kind, bench.now)).sum();
        assert_eq!(whole, sum, "the stretches do not add up");
        assert_eq!(bench.recording(), Recording::Off);
    }
}

fn members(call: &Call) -> usize {
    call.participants().iter().filter(|one| one.role != Role::Supervisor).count()
}

/// Every leg that is not on its way out has an owner, and whoever waits for a phone has one ringing
/// or an attempt that will end.
fn owned(bench: &Bench) {
    let call = &bench.call;
    for leg in call.legs().iter().filter(|leg| leg.presence != Presence::Leaving) {
        assert!(call.participant(leg.of).is_some(), "{leg:?} has no owner");
        assert!(!bench.leaving.contains(&leg.leg), "{leg:?} was told to end");
    }
    if call.is_ending() {
        return;
    }
    for one in call.participants().iter().filter(|one| one.joined.is_none()) {
        let waits = call
            .attempts()
            .iter()
            .any(|attempt| attempt.participant == one.id || attempt.purpose == Purpose::OwnPhone);
        let calls = call.attempts().iter().any(|attempt| {
            attempt.caller.and_then(|leg| call.leg(leg)).is_some_and(|leg| leg.of == one.id)
        });
        assert!(waits || calls, "{one:?} is stuck: {call:#?}");
    }
    for one in call.participants().iter().filter(|one| one.joined.is_some()) {
        let has_line = call.legs().iter().any(|leg| leg.of == one.id);
        assert!(has_line || one.holds, "{one:?} has neither phone nor hold: {call:#?}");
    }
}

fn timed(bench: &Bench) {
    for attempt in bench.call.attempts() {
        assert!(bench.armed.contains(&Timer::Ring(attempt.id)), "{attempt:?} rings for ever");
    }
    let rings = bench.armed.iter().filter(|timer| matches!(timer, Timer::Ring(_))).count();
    assert_eq!(rings, bench.call.attempts().len(), "a stale timer");
    let pauses = bench.recording() == Recording::Paused;
    assert_eq!(bench.armed.contains(&Timer::Pause), pauses);
    let failed = bench.recording() == Recording::Failed;
    assert_eq!(bench.armed.contains(&Timer::Record), failed);
}

/// The hearing plan is the topology, by another definition: pair by pair.
fn heard(call: &Call) {
    let mut told = BTreeMap::new();
    for (leg, hears) in hearing::plan(call) {
        told.insert(leg, hears);
    }
    for listener in call.legs() {
        let hears = told[&listener.leg];
        let is_up = listener.presence == Presence::Connected && !call.is_ending();
        if !is_up {
            if let Hears::Legs(set) = hears {
                assert!(set.legs().iter().all(|leg| is_early(call, *leg)), "{listener:?}");
            }
            continue;
        }
        let audible: Vec<_> = call
            .legs()
            .iter()
            .filter(|speaker| hears_by_definition(call, listener, speaker))
            .map(|speaker| speaker.leg)
            .collect();
        match hears {
            Hears::Legs(set) if set.legs().iter().all(|leg| is_early(call, *leg)) => {
                assert!(audible.is_empty(), "{listener:?} hears only what is early");
            }
            Hears::Legs(set) => {
                let mut sorted = audible.clone();
                sorted.sort();
                assert_eq!(set.legs(), sorted, "{listener:?} in {call:#?}");
            }
            Hears::Nothing | Hears::Hold | Hears::Ringback | Hears::Silence => {
                assert!(audible.is_empty(), "{listener:?} should hear {audible:?} in {call:#?}");
            }
        }
    }
}

fn is_early(call: &Call, leg: LegId) -> bool {
    call.leg(leg).is_some_and(|leg| leg.presence == Presence::Early)
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Room {
    Call,
    Private,
    Nowhere,
}

fn room(call: &Call, one: &Participant) -> Room {
    let aside = call.transferring().is_some_and(|transfer| transfer.by == Some(one.id));
    match call.consulting() {
        _ if one.joined.is_none() || one.role == Role::Supervisor || aside => Room::Nowhere,
        Some(consult) if consult.target == one.id => Room::Private,
        Some(consult) if consult.initiator == one.id && consult.facing == Facing::Consulted => {
            Room::Private
        }
        Some(_) | None => Room::Call,
    }
}

/// Whether a phone is the one its user has at the ear.
fn at_ear(call: &Call, leg: &Leg) -> bool {
    if leg.presence != Presence::Connected || leg.holds {
        return false;
    }
    let open: Vec<_> = call
        .legs()
        .iter()
        .filter(|one| one.of == leg.of && one.presence == Presence::Connected && !one.holds)
        .collect();
    if open.len() == 1 {
        return true;
    }
    let consult = call.consulting().filter(|consult| consult.initiator == leg.of);
    let faces = |one: &Leg| {
        consult.is_some_and(|consult| {
            (consult.own_leg == Some(one.leg)) == (consult.facing == Facing::Consulted)
        })
    };
    match open.iter().find(|one| faces(one)) {
        Some(faced) => faced.leg == leg.leg,
        None => open[0].leg == leg.leg,
    }
}

/// Whether a phone is the one its user listens at: a phone that holds listens as its SDP says.
fn listens(call: &Call, leg: &Leg) -> bool {
    let up = |one: &&Leg| one.of == leg.of && one.presence == Presence::Connected;
    let is_only = call.legs().iter().filter(up).count() == 1;
    at_ear(call, leg) || is_only && leg.presence == Presence::Connected
}

/// Whether somebody wants to hear the others of its room.
fn attends(call: &Call, one: &Participant) -> bool {
    match room(call, one) {
        Room::Call => !one.holds,
        Room::Private => true,
        Room::Nowhere => false,
    }
}

fn present(call: &Call, one: &Participant) -> bool {
    let open = call.legs().iter().any(|leg| leg.of == one.id && at_ear(call, leg));
    match room(call, one) {
        Room::Call => open && !one.holds,
        Room::Private => open,
        Room::Nowhere => false,
    }
}

fn hears_by_definition(call: &Call, listener: &Leg, speaker: &Leg) -> bool {
    let (Some(l), Some(s)) = (call.participant(listener.of), call.participant(speaker.of)) else {
        return false;
    };
    if l.id == s.id || s.muted || !listens(call, listener) || !at_ear(call, speaker) {
        return false;
    }
    let suspended = call
        .consulting()
        .is_some_and(|consult| consult.hold_others && consult.facing == Facing::Consulted);
    let watched = |watch: call::Watch| call.participant(watch.agent);
    match (l.watch, s.watch) {
        (None, None) => {
            let together = room(call, l) == room(call, s);
            let apart = suspended && room(call, l) == Room::Call;
            together && attends(call, l) && present(call, s) && !apart
        }
        (Some(watch), None) => watched(watch).is_some_and(|agent| {
            l.joined.is_some()
                && present(call, agent)
                && present(call, s)
                && room(call, agent) == room(call, s)
        }),
        (None, Some(watch)) => {
            let Some(agent) = watched(watch).filter(|_| s.joined.is_some()) else { return false };
            match watch.mode {
                MonitorMode::Monitor => false,
                MonitorMode::Whisper => agent.id == l.id && attends(call, l),
                MonitorMode::Barge => {
                    present(call, agent) && attends(call, l) && room(call, agent) == room(call, l)
                }
            }
        }
        (Some(_), Some(_)) => false,
    }
}
