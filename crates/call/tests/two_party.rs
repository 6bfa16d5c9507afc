//! The two-party call as a table of what is reported and what is commanded.

use std::time::Duration;

use base::Time;
use call::hearing::{Hears, plan};
use call::record::EndedBy;
use call::{Call, Cause, LegCommand, LegEvent, LegId, Limits, Output, Timer};
use proptest::prelude::*;

const A: LegId = LegId(1);
const B: LegId = LegId(2);
const C: LegId = LegId(3);
const RING: Duration = Duration::from_secs(60);

struct World {
    call: Call,
    out: Vec<Output>,
    now: Time,
}

impl World {
    fn new(targets: usize, limit: Option<Duration>) -> Self {
        let mut out = Vec::new();
        let call = Call::new(A, targets, Limits { ring: RING, call: limit }, &mut out);
        assert_eq!(out, [Output::Dial { target: 0 }, Output::Arm(Timer::Ring, RING)]);
        Self { call, out: Vec::new(), now: Time::ZERO }
    }

    fn ringing(callees: &[LegId]) -> Self {
        let mut world = Self::new(1, None);
        for &callee in callees {
            world.call.add_callee(callee);
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
        std::mem::take(&mut self.out)
    }

    fn fired(&mut self, timer: Timer) -> Vec<Output> {
        self.call.fired(self.now, timer, &mut self.out);
        std::mem::take(&mut self.out)
    }

    fn hears(&self) -> Vec<(LegId, Hears)> {
        plan(&self.call).collect()
    }
}

fn release(leg: LegId, cause: Cause) -> Output {
    Output::Leg(leg, LegCommand::Release { cause, elsewhere: false })
}

#[test]
fn an_answer_connects_both_and_a_hangup_ends_both() {
    let mut world = World::ringing(&[B]);
    assert_eq!(world.on(B, LegEvent::Ringing), [Output::Leg(A, LegCommand::Ring)]);
    assert_eq!(world.hears(), [(A, Hears::Nothing), (B, Hears::Nothing)]);
    let answered = [Output::Disarm(Timer::Ring), Output::Leg(A, LegCommand::Answer)];
    assert_eq!(world.on(B, LegEvent::Answered), answered);
    assert_eq!(world.hears(), [(A, Hears::Leg(B)), (B, Hears::Leg(A))]);
    assert_eq!(world.on(B, LegEvent::HungUp(Cause::NORMAL)), [release(A, Cause::NORMAL)]);
    assert_eq!(world.call.outcome().map(|outcome| outcome.by), Some(EndedBy::Callee));
    assert_eq!(world.on(B, LegEvent::Gone), []);
    assert_eq!(world.on(A, LegEvent::Gone), [Output::Over]);
}

#[test]
fn early_media_is_heard_by_the_caller_only() {
    let mut world = World::ringing(&[B, C]);
    assert_eq!(world.on(C, LegEvent::EarlyMedia), [Output::Leg(A, LegCommand::Progress)]);
    assert_eq!(world.hears()[0], (A, Hears::Leg(C)));
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
    world.call.add_callee(B);
    let next = [Output::Arm(Timer::Ring, RING), Output::Dial { target: 1 }];
    assert_eq!(world.on(B, LegEvent::Refused(Cause::CONGESTION)), next);
    world.call.add_callee(C);
    let end = [Output::Disarm(Timer::Ring), release(A, Cause::BUSY)];
    assert_eq!(world.on(C, LegEvent::Refused(Cause::BUSY)), end);
}

#[test]
fn busy_at_the_first_target_is_final() {
    let mut world = World::new(2, None);
    world.call.add_callee(B);
    let out = world.on(B, LegEvent::Refused(Cause::BUSY));
    assert_eq!(out.last(), Some(&release(A, Cause::BUSY)));
}

#[test]
fn nobody_answers_in_time() {
    let mut world = World::ringing(&[B]);
    world.on(B, LegEvent::Ringing);
    let out = world.fired(Timer::Ring);
    let cancel = release(B, Cause::CANCELLED);
    assert_eq!(out, [cancel, Output::Disarm(Timer::Ring), release(A, Cause::UNAVAILABLE)]);
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
    assert_eq!(out, [Output::Disarm(Timer::Ring), cancel(B), cancel(C)]);
}

#[test]
fn h1_the_held_party_hears_the_hold_sound_and_its_time_is_counted() {
    let mut world = World::talking();
    world.on(A, LegEvent::Held(true));
    assert_eq!(world.hears(), [(A, Hears::Leg(B)), (B, Hears::Hold)]);
    world.on(B, LegEvent::Held(true));
    assert_eq!(world.hears(), [(A, Hears::Hold), (B, Hears::Hold)]);
    world.on(A, LegEvent::Held(false));
    world.on(B, LegEvent::Held(false));
    assert_eq!(world.hears(), [(A, Hears::Leg(B)), (B, Hears::Leg(A))]);
    assert_eq!(world.call.times().held, Duration::from_secs(3));
}

#[test]
fn a_call_limit_ends_the_call() {
    let mut world = World::new(1, Some(RING));
    world.call.add_callee(B);
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
    world.call.target_failed(Time::ZERO, Cause::UNAVAILABLE, &mut out);
    assert_eq!(out.last(), Some(&release(A, Cause::UNAVAILABLE)));
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
        world.call.add_callee(B);
        let mut over = false;
        let mut ring_armed = true;
        for (leg, event) in story {
            for output in world.on(LegId(leg), event) {
                prop_assert!(!over, "nothing comes after Over");
                match output {
                    Output::Dial { .. } => {
                        callees += 1;
                        world.call.add_callee(LegId(callees));
                    }
                    Output::Arm(Timer::Ring, _) => ring_armed = true,
                    Output::Disarm(Timer::Ring) => ring_armed = false,
                    Output::Over => over = true,
                    Output::Leg(..) | Output::Arm(..) | Output::Disarm(..) => {}
                }
            }
            for (listener, hears) in plan(&world.call) {
                prop_assert_ne!(hears, Hears::Leg(listener));
            }
            prop_assert_eq!(over, world.call.participants().is_empty());
            prop_assert!(!(world.call.is_ending() && ring_armed));
            let saved = serde_json::to_string(&world.call).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Call>(&saved).unwrap(), &world.call);
            if over {
                break;
            }
        }
    }
}
