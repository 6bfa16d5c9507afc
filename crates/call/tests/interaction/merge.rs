use call::control::MonitorMode;
use call::control::Refusal;
use call::hearing::Hears;
use call::{Command, PartyKey, Policy, Recording, Timer, What};

use crate::bench::{Bench, agent, policy};

const FIRST: PartyKey = PartyKey(1);
const SECOND: PartyKey = PartyKey(2);

fn merge(bench: &mut Bench, other: Bench) -> Result<(), Refusal> {
    let mut out = Vec::new();
    let result = bench.call.absorb(bench.now, other.call, agent(1), &mut out);
    bench.follow(out);
    result
}

#[test]
fn f15_calls_on_hold_become_one_conference() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::Hold);
    for id in [2, 3] {
        let mut other = Bench::second(id);
        other.does(agent(1), Command::Hold);
        merge(&mut bench, other).unwrap();
    }
    assert_eq!(bench.voices(FIRST), [agent(1), SECOND, PartyKey(3)]);
    assert_eq!(bench.voices(agent(1)), [FIRST, SECOND, PartyKey(3)]);
    let lines = bench.call.legs().iter().filter(|leg| leg.party == agent(1)).count();
    assert_eq!(lines, 1, "one line of the agent is enough");
    assert_eq!(bench.call.primary(), Some(bench.who(agent(1))));
}

#[test]
fn f15_of_two_lines_the_open_one_stays() {
    let mut bench = Bench::talking();
    bench.event(bench.leg(agent(1)), call::LegEvent::Held(true));
    merge(&mut bench, Bench::second(2)).unwrap();
    assert_eq!(bench.voices(SECOND), [FIRST, agent(1)]);
    assert_ne!(bench.hears(agent(1)), Hears::Nothing);
}

#[test]
fn f15_a_call_whose_line_was_released_can_be_taken_in() {
    let mut bench = Bench::talking();
    let mut other = Bench::second(2);
    other.does(agent(1), Command::ReleaseLine);
    merge(&mut bench, other).unwrap();
    assert_eq!(bench.voices(SECOND), [FIRST, agent(1)]);
}

#[test]
fn f15_not_with_a_consult_going_on() {
    let mut bench = Bench::talking();
    bench.consulting(agent(1), agent(2));
    assert_eq!(merge(&mut bench, Bench::second(2)), Err(Refusal::ConsultInProgress));
}

#[test]
fn f15_not_more_than_eight() {
    let mut bench = Bench::talking();
    for number in 2..=7 {
        bench.conference(agent(1), agent(number));
    }
    assert_eq!(merge(&mut bench, Bench::second(2)), Err(Refusal::ConferenceFull));
}

#[test]
fn k2_f15_what_is_not_to_be_kept_of_the_one_is_not_kept_in_both() {
    let mut bench = Bench::talking();
    let mut other = Bench::second(2);
    other.does(agent(1), Command::RecordPause);
    other.does(agent(1), Command::Hold);
    merge(&mut bench, other).unwrap();
    assert_eq!(bench.recording(), Recording::Paused);
    assert!(bench.has_happened(What::RecordingPaused));
    // K3.
    bench.fire(Timer::Pause);
    assert_eq!(bench.recording(), Recording::On);
}

#[test]
fn k6_f15_who_has_one_recorded_has_both_recorded() {
    let policy = Policy { records_all: false, ..policy() };
    for (here, there) in [(false, true), (true, false)] {
        let mut bench = Bench::talking_by(policy);
        let mut other = Bench::second_by(2, policy);
        for (call, records) in [(&mut bench, here), (&mut other, there)] {
            if records {
                call.does(agent(1), Command::RecordStart);
            }
        }
        other.does(agent(1), Command::Hold);
        merge(&mut bench, other).unwrap();
        assert_eq!(bench.recording(), Recording::On);
    }
}

#[test]
fn u0_f15_the_supervisor_stays_with_the_agent() {
    let mut bench = Bench::talking();
    let mut other = Bench::second(2);
    let supervisor = other.monitor(agent(1), MonitorMode::Monitor);
    merge(&mut bench, other).unwrap();
    assert_eq!(bench.voices(supervisor), [FIRST, agent(1), SECOND]);
    // One at a time.
    let mut other = Bench::second(3);
    other.monitor(agent(1), MonitorMode::Monitor);
    assert_eq!(merge(&mut bench, other), Err(Refusal::InvalidState));
    bench.hang_up(agent(1));
    assert!(!bench.has(supervisor), "U3");
}
