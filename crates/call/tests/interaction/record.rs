use call::control::Refusal;
use call::{Command, Output, PartyKey, Policy, RETRY, Recording, Timer, What};

use crate::bench::{Bench, PAUSE, agent, policy};

#[test]
fn k1_every_call_is_recorded_where_that_is_decided() {
    assert_eq!(Bench::ringing().recording(), Recording::Off);
    assert_eq!(Bench::talking().recording(), Recording::On);
}

#[test]
fn k2_the_agent_pauses_and_resumes() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::RecordPause);
    assert_eq!(bench.recording(), Recording::Paused);
    bench.does(agent(1), Command::RecordResume);
    assert_eq!(bench.recording(), Recording::On);
    assert!(bench.armed.is_empty());
}

#[test]
fn k3_a_pause_ends_by_itself() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::RecordPause);
    bench.fire(Timer::Pause);
    assert_eq!(bench.recording(), Recording::On);
    assert!(bench.has_happened(What::RecordingResumed { automatic: true }));
}

#[test]
fn k4_no_pause_in_consult_and_conference() {
    let mut bench = Bench::talking();
    bench.consulting(agent(1), agent(2));
    let pause = Command::RecordPause;
    assert_eq!(bench.refused(agent(1), pause), Refusal::RecordingPauseNotAllowed);
    bench.does(agent(1), Command::ConsultConference);
    assert_eq!(bench.refused(agent(1), pause), Refusal::RecordingPauseNotAllowed);
    assert_eq!(bench.refused(agent(2), pause), Refusal::NotOwner);
}

#[test]
fn k6_who_records_all_is_not_stopped() {
    let mut bench = Bench::talking();
    assert_eq!(bench.refused(agent(1), Command::RecordStop), Refusal::InvalidState);
    assert_eq!(bench.refused(agent(1), Command::RecordStart), Refusal::InvalidState);
}

/// A call that talks, where recording is as `change` has it.
fn talking_with(change: impl FnOnce(&mut Policy)) -> Bench {
    let mut policy = policy();
    change(&mut policy);
    Bench::talking_by(policy)
}

fn fail(bench: &mut Bench) -> Vec<Output> {
    let mut out = Vec::new();
    bench.call.recording_failed(&mut out);
    bench.follow(out.clone());
    out
}

#[test]
fn k5_a_recording_that_failed_is_not_on_and_is_tried_again_where_all_calls_are_recorded() {
    for is_paused in [false, true] {
        let mut bench = Bench::talking();
        if is_paused {
            bench.does(agent(1), Command::RecordPause);
        }
        let out = fail(&mut bench);
        assert_eq!(bench.recording(), Recording::Failed, "{is_paused}");
        // What must not be kept may still be said.
        let after = if is_paused { PAUSE } else { RETRY };
        assert_eq!(out.last(), Some(&Output::Arm(Timer::Record, after)));
        for command in [Command::RecordResume, Command::RecordStop] {
            assert_eq!(bench.refused(agent(1), command), Refusal::InvalidState);
        }
        assert!(fail(&mut bench).is_empty(), "only once");
        bench.happened.clear();
        bench.fire(Timer::Record);
        assert_eq!(bench.recording(), Recording::On);
        assert!(bench.has_happened(What::RecordingStarted) && bench.armed.is_empty());
    }
}

#[test]
fn k6_the_agent_begins_another_recording_after_one_that_failed() {
    for records_all in [false, true] {
        let mut bench = talking_with(|policy| policy.records_all = records_all);
        if !records_all {
            bench.does(agent(1), Command::RecordStart);
        }
        fail(&mut bench);
        assert_eq!(bench.armed.contains(&Timer::Record), records_all);
        bench.does(agent(1), Command::RecordStart);
        assert_eq!(bench.recording(), Recording::On);
        assert!(bench.armed.is_empty(), "{records_all}: {:?}", bench.armed);
    }
}

#[test]
fn k2_what_must_not_be_kept_is_not_kept_by_another_recording_either() {
    let mut bench = Bench::talking();
    fail(&mut bench);
    bench.does(agent(1), Command::RecordPause);
    assert_eq!(bench.recording(), Recording::Paused);
    assert_eq!(bench.armed.iter().collect::<Vec<_>>(), [&Timer::Pause]);
    bench.does(agent(1), Command::RecordResume);
    assert_eq!(bench.recording(), Recording::On);
    let mut bench = talking_with(|policy| policy.records_all = false);
    bench.does(agent(1), Command::RecordStart);
    fail(&mut bench);
    let pause = Command::RecordPause;
    assert_eq!(bench.refused(agent(1), pause), Refusal::InvalidState, "none begins by itself");
}

#[test]
fn what_failed_is_not_told_as_stopped_when_the_call_ends() {
    let mut bench = Bench::talking();
    fail(&mut bench);
    bench.hang_up(PartyKey(1));
    assert!(bench.is_over && bench.armed.is_empty());
    assert!(!bench.has_happened(What::RecordingStopped));
    assert_eq!(bench.recording(), Recording::Off);
}

#[test]
fn a_pause_ends_with_the_call() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::RecordPause);
    bench.hang_up(PartyKey(1));
    assert!(bench.is_over && bench.armed.is_empty());
}
