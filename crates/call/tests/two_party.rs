//! The two-party call as a table of what is reported and what is commanded.

use std::time::Duration;

use base::Time;
use call::hearing::{Hears, plan};
use call::record::EndedBy;
use call::{
    AttemptId, Call, CallId, Cause, LegCommand, LegEvent, LegId, Limits, Output, PartyKey, Policy,
    Role, SegmentKind, Setup, Timer,
};
use proptest::prelude::*;

const A: LegId = LegId(1);
const B: LegId = LegId(2);
const C: LegId = LegId(3);
const RING: Duration = Duration::from_secs(60);
const FIRST: AttemptId = AttemptId(1);
const RINGS: Timer = Timer::Ring(FIRST);

struct World {
    call: Call,
    out: Vec<Output>,
    now: Time,
}

impl World {
    fn new(targets: usize, limit: Option<Duration>) -> Self {
        let mut out = Vec::new();
        let policy =
            Policy { records_all: false, can_record: false, pause: None, noise_switch: true };
        let setup = Setup {
            id: CallId(1),
            caller: (Role::Customer, PartyKey(1)),
            callee: (Role::Agent, PartyKey(2)),
            targets,
            limits: Limits { ring: RING, call: limit },
            policy,
        };
        let call = Call::new(setup, A, &mut out);
        assert_eq!(out, [Output::Arm(RINGS, RING), Output::Dial { attempt: FIRST, target: 0 }]);
        Self { call, out: Vec::new(), now: Time::ZERO }
    }

    fn ringing(callees: &[LegId]) -> Self {
        let mut world = Self::new(1, None);
        for &callee in callees {
            world.add(callee);
        }
        world
    }

    fn talking() -> Self {
        let mut world = Self::ringing(&[B]);
        world.on(B, LegEvent::Answered);
        assert!(world.call.is_talking());
        world
    }

    fn on(&mut self, leg: LegId, event: LegEvent) -> Vec<Output> {
        self.now = self.now + Duration::from_secs(1);
        self.call.handle(self.now, leg, event, &mut self.out);
        self.commands()
    }

    fn fired(&mut self, timer: Timer) -> Vec<Output> {
        self.call.fired(self.now, timer, &mut self.out);
        self.commands()
    }

    /// What it commands, without what it only tells.
    fn commands(&mut self) -> Vec<Output> {
        self.out.retain(|output| !matches!(output, Output::Happened(_)));
        std::mem::take(&mut self.out)
    }

    fn add(&mut self, leg: LegId) {
        self.call.add_leg(FIRST, leg, PartyKey(2));
    }

    fn hears(&self) -> Vec<(LegId, Hears)> {
        plan(&self.call).collect()
    }
}

fn hears(leg: LegId) -> Hears {
    Hears::Legs([leg].into_iter().collect())
}

fn release(leg: LegId, cause: Cause) -> Output {
    Output::Leg(leg, LegCommand::Release { cause, elsewhere: false })
}

#[test]
fn an_answer_connects_both_and_a_hangup_ends_both() {
    let mut world = World::ringing(&[B]);
    assert_eq!(world.on(B, LegEvent::Ringing), [Output::Leg(A, LegCommand::Ring)]);
    assert_eq!(world.hears(), [(A, Hears::Nothing), (B, Hears::Nothing)]);
    let answered = [Output::Disarm(RINGS), Output::Leg(A, LegCommand::Answer)];
    assert_eq!(world.on(B, LegEvent::Answered), answered);
    assert_eq!(world.hears(), [(A, hears(B)), (B, hears(A))]);
    assert_eq!(world.on(B, LegEvent::HungUp(Cause::NORMAL)), [release(A, Cause::NORMAL)]);
    assert_eq!(world.call.outcome().map(|outcome| outcome.by), Some(EndedBy::Callee));
    assert_eq!(world.on(B, LegEvent::Gone), []);
    assert_eq!(world.on(A, LegEvent::Gone), [Output::Over]);
}

#[test]
fn early_media_is_heard_by_the_caller_only() {
    let mut world = World::ringing(&[B, C]);
    assert_eq!(world.on(C, LegEvent::EarlyMedia), [Output::Leg(A, LegCommand::Progress)]);
    assert_eq!(world.hears()[0], (A, hears(C)));
    assert_eq!(world.hears()[2], (C, Hears::Nothing));
}

#[test]
fn the_losers_of_a_ring_all_learn_that_the_call_was_taken_elsewhere() {
    let mut world = World::ringing(&[B, C]);
    let out = world.on(C, LegEvent::Answered);
    let elsewhere = LegCommand::Release { cause: Cause::CANCELLED, elsewhere: true };
    assert_eq!(out.last(), Some(&Output::Leg(B, elsewhere)));
    assert_eq!(world.on(B, LegEvent::Refused(Cause::CANCELLED)), []);
    assert_eq!(world.on(B, LegEvent::Gone), []);
    assert!(world.call.is_talking(), "a loser's end changes nothing");
}

#[test]
fn the_next_target_is_dialled_when_all_phones_of_one_failed() {
    let mut world = World::new(2, None);
    world.add(B);
    let next = [Output::Arm(RINGS, RING), Output::Dial { attempt: FIRST, target: 1 }];
    assert_eq!(world.on(B, LegEvent::Refused(Cause::CONGESTION)), next);
    world.add(C);
    let end = [Output::Disarm(RINGS), release(A, Cause::BUSY)];
    assert_eq!(world.on(C, LegEvent::Refused(Cause::BUSY)), end);
}

#[test]
fn busy_at_the_first_target_is_final() {
    let mut world = World::new(2, None);
    world.add(B);
    let out = world.on(B, LegEvent::Refused(Cause::BUSY));
    assert_eq!(out.last(), Some(&release(A, Cause::BUSY)));
}

#[test]
fn nobody_answers_in_time() {
    let mut world = World::ringing(&[B]);
    world.on(B, LegEvent::Ringing);
    let out = world.fired(RINGS);
    let cancel = release(B, Cause::CANCELLED);
    assert_eq!(out, [cancel, Output::Disarm(RINGS), release(A, Cause::UNAVAILABLE)]);
    assert_eq!(world.call.outcome().map(|outcome| outcome.by), Some(EndedBy::System));
}

#[test]
fn who_decided_the_end_is_who_ended_the_call() {
    for (leg, event, by) in [
        (B, LegEvent::Refused(Cause::BUSY), EndedBy::Callee),
        (B, LegEvent::Lost(Cause::TIMEOUT), EndedBy::System),
        (B, LegEvent::Gone, EndedBy::System),
        (A, LegEvent::HungUp(Cause::CANCELLED), EndedBy::Caller),
        (A, LegEvent::Lost(Cause::TIMEOUT), EndedBy::System),
    ] {
        for mut world in [World::ringing(&[B]), World::talking()] {
            world.on(leg, event);
            let outcome = world.call.outcome().map(|outcome| outcome.by);
            assert_eq!(outcome, Some(by), "{event:?} of {leg}");
        }
    }
}

#[test]
fn the_caller_gives_up() {
    let mut world = World::ringing(&[B, C]);
    let out = world.on(A, LegEvent::HungUp(Cause::CANCELLED));
    let cancel = |leg| release(leg, Cause::CANCELLED);
    assert_eq!(out, [Output::Disarm(RINGS), cancel(B), cancel(C)]);
}

#[test]
fn h1_the_held_party_hears_the_hold_sound_and_its_time_is_counted() {
    let mut world = World::talking();
    world.on(A, LegEvent::Held(true));
    assert_eq!(world.hears(), [(A, hears(B)), (B, Hears::Hold)]);
    world.on(B, LegEvent::Held(true));
    assert_eq!(world.hears(), [(A, Hears::Hold), (B, Hears::Hold)]);
    world.on(A, LegEvent::Held(false));
    world.on(B, LegEvent::Held(false));
    assert_eq!(world.hears(), [(A, hears(B)), (B, hears(A))]);
    assert_eq!(world.call.total(SegmentKind::Hold, world.now), Duration::from_secs(3));
}

#[test]
fn a_call_limit_ends_the_call() {
    let mut world = World::new(1, Some(RING));
    world.add(B);
    let out = world.on(B, LegEvent::Answered);
    assert!(out.contains(&Output::Arm(Timer::Limit, RING)));
    let out = world.fired(Timer::Limit);
    assert_eq!(out[1..], [release(A, Cause::NORMAL), release(B, Cause::NORMAL)]);
    assert_eq!(world.call.outcome().map(|outcome| outcome.by), Some(EndedBy::System));
}

#[test]
fn a_target_without_phones_is_unavailable() {
    let mut world = World::new(1, None);
    let mut out = Vec::new();
    world.call.target_failed(Time::ZERO, FIRST, Cause::UNAVAILABLE, &mut out);
    assert!(out.contains(&release(A, Cause::UNAVAILABLE)));
    assert_eq!(world.call.outcome().map(|outcome| outcome.by), Some(EndedBy::System));
}

fn any_event() -> impl Strategy<Value = LegEvent> {
    let statuses = prop::sample::select(vec![200u16, 408, 486, 487, 503, 603]);
    prop_oneof![
        Just(LegEvent::Ringing),
        Just(LegEvent::EarlyMedia),
        Just(LegEvent::Answered),
        any::<bool>().prop_map(LegEvent::Held),
        statuses.clone().prop_map(|status| LegEvent::Refused(Cause::from_status(status))),
        statuses.clone().prop_map(|status| LegEvent::HungUp(Cause::from_status(status))),
        statuses.prop_map(|status| LegEvent::Lost(Cause::from_status(status))),
        Just(LegEvent::Gone),
    ]
}

proptest! {
    /// Whatever the legs report, a leg is released once, timers end with the call, nobody hears
    /// themselves, and the call is over exactly when its last leg is gone.
    #[test]
    fn any_story_ends_clean(story in prop::collection::vec((0u64..5, any_event()), 0..60)) {
        let mut world = World::new(3, Some(RING));
        let mut callees = 2;
        world.add(B);
        let mut over = false;
        let mut ring_armed = true;
        for (leg, event) in story {
            for output in world.on(LegId(leg), event) {
                prop_assert!(!over, "nothing comes after Over");
                match output {
                    Output::Dial { .. } => {
                        callees += 1;
                        world.add(LegId(callees));
                    }
                    Output::Arm(RINGS, _) => ring_armed = true,
                    Output::Disarm(RINGS) => ring_armed = false,
                    Output::Over => over = true,
                    Output::Leg(..)
                    | Output::Arm(..)
                    | Output::Disarm(..)
                    | Output::Happened(_) => {}
                }
            }
            for (listener, heard) in plan(&world.call) {
                prop_assert_ne!(heard, hears(listener));
            }
            prop_assert_eq!(over, world.call.legs().is_empty());
            prop_assert!(!(world.call.is_ending() && ring_armed));
            let saved = serde_json::to_string(&world.call).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Call>(&saved).unwrap(), &world.call);
            if over {
                break;
            }
        }
    }
}
