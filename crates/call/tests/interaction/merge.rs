use call::control::Refusal;
use call::hearing::Hears;
use call::{Command, PartyKey};

use crate::bench::{Bench, agent};

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
