use call::control::Refusal;
use call::{Command, PartyKey, Recording, Timer, What};

use crate::bench::{Bench, agent};

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

#[test]
fn a_pause_ends_with_the_call() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::RecordPause);
    bench.hang_up(PartyKey(1));
    assert!(bench.is_over && bench.armed.is_empty());
}
