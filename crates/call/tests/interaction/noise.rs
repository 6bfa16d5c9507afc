use call::control::{Control, Refusal, Verb};
use call::{Command, PartyKey, Policy};

use crate::bench::{Bench, agent, policy};

const SWITCH: Verb = Verb::NoiseSuppression;

/// Whether an agent may switch noise removal; the controls must say the same.
fn may_switch(bench: &Bench, by: PartyKey) -> Result<(), Refusal> {
    let allowed = bench.may(by, SWITCH);
    let shown = bench.call.controls(bench.who(by));
    assert_eq!(shown.get(&SWITCH), Some(&Control::from(allowed)));
    allowed
}

#[test]
fn n3_whoever_has_answered_may_switch_noise_removal() {
    let mut bench = Bench::ringing();
    assert_eq!(may_switch(&bench, agent(1)), Err(Refusal::InvalidState), "it rings");
    bench.answer(agent(1));
    assert_eq!(may_switch(&bench, agent(1)), Ok(()));
    bench.does(agent(1), Command::Hold);
    assert_eq!(may_switch(&bench, agent(1)), Ok(()), "on hold, too");
    bench.does(agent(1), Command::Resume);
    bench.consult(agent(1), agent(2));
    assert_eq!(may_switch(&bench, agent(2)), Err(Refusal::InvalidState));
    bench.answer(agent(2));
    assert_eq!(may_switch(&bench, agent(2)), Ok(()));
    assert_eq!(bench.may(PartyKey(1), SWITCH), Err(Refusal::Forbidden), "C20");
}

#[test]
fn n3_a_locked_switch_is_refused_whatever_the_call_is() {
    let mut bench = Bench::talking_by(Policy { noise_switch: false, ..policy() });
    let locked = Err(Refusal::NoisePolicyLocked);
    assert_eq!(may_switch(&bench, agent(1)), locked);
    bench.does(agent(1), Command::Hold);
    assert_eq!(may_switch(&bench, agent(1)), locked);
    bench.does(agent(1), Command::Resume);
    bench.consulting(agent(1), agent(2));
    assert_eq!([1, 2].map(|n| may_switch(&bench, agent(n))), [locked; 2]);
    bench.does(agent(1), Command::ConsultConference);
    assert_eq!([1, 2].map(|n| may_switch(&bench, agent(n))), [locked; 2]);
    let others = bench.call.controls(bench.who(agent(1)));
    let reasons = others.iter().filter(|(verb, _)| **verb != SWITCH);
    let reasons: Vec<_> = reasons.filter_map(|(_, control)| control.reason).collect();
    assert!(!reasons.contains(&Refusal::NoisePolicyLocked), "nothing else is locked");
}
