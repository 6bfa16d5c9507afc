use call::control::{MonitorMode, Refusal, Verb};
use call::hearing::Hears;
use call::{Command, PartyKey};

use crate::bench::{Bench, END_CONSULT_TRANSFER, agent};

const CUSTOMER: PartyKey = PartyKey(1);

#[test]
fn u0_monitor_hears_all_and_is_heard_by_none() {
    let mut bench = Bench::talking();
    let supervisor = bench.monitor(agent(1), MonitorMode::Monitor);
    assert_eq!(bench.voices(supervisor), [CUSTOMER, agent(1)]);
    assert_eq!(bench.voices(agent(1)), [CUSTOMER]);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}

#[test]
fn u0_whisper_is_heard_by_the_agent_only() {
    let mut bench = Bench::talking();
    let supervisor = bench.monitor(agent(1), MonitorMode::Whisper);
    assert_eq!(bench.voices(agent(1)), [CUSTOMER, supervisor]);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    assert_eq!(bench.voices(supervisor), [CUSTOMER, agent(1)]);
}

#[test]
fn u0_barge_is_heard_by_all_and_switched_live() {
    let mut bench = Bench::talking();
    let supervisor = bench.monitor(agent(1), MonitorMode::Monitor);
    bench.switch(MonitorMode::Barge);
    assert_eq!(bench.voices(CUSTOMER), [agent(1), supervisor]);
    assert_eq!(bench.voices(agent(1)), [CUSTOMER, supervisor]);
    bench.switch(MonitorMode::Whisper);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    assert_eq!(bench.may(supervisor, Verb::Whisper), Err(Refusal::InvalidState));
    assert_eq!(bench.may(supervisor, Verb::Monitor), Ok(()));
}

#[test]
fn u0_the_supervisor_goes_along_to_the_consult() {
    let mut bench = Bench::talking();
    let supervisor = bench.monitor(agent(1), MonitorMode::Monitor);
    bench.consulting(agent(1), agent(2));
    assert_eq!(bench.voices(supervisor), [agent(1), agent(2)]);
    bench.does(agent(1), Command::ConsultEnd);
    bench.does(agent(1), Command::Hold);
    assert_eq!(bench.hears(supervisor), Hears::Silence, "a held customer is not listened to");
}

#[test]
fn u1_not_to_be_begun_in_post_call_but_one_that_runs_may_go_on() {
    let mut bench = Bench::talking();
    bench.conference(agent(1), agent(2));
    bench.hang_up(CUSTOMER);
    assert_eq!(bench.call.may_monitor(bench.who(agent(1))), Err(Refusal::PostCall));
    let mut bench = Bench::talking();
    bench.conference(agent(1), agent(2));
    let supervisor = bench.monitor(agent(1), MonitorMode::Monitor);
    bench.hang_up(CUSTOMER);
    assert_eq!(bench.voices(supervisor), [agent(1), agent(2)]);
}

#[test]
fn u2_the_supervisor_goes_with_the_agent() {
    let mut bench = Bench::talking();
    let supervisor = bench.monitor(agent(1), MonitorMode::Barge);
    bench.consulting(agent(1), agent(2));
    bench.does(agent(1), END_CONSULT_TRANSFER);
    assert!(!bench.has(supervisor));
    assert_eq!(bench.voices(CUSTOMER), [agent(2)]);
}

#[test]
fn u3_unless_it_came_by_a_secondary_agent_and_another_is_there() {
    let mut bench = Bench::talking();
    bench.conference(agent(1), agent(2));
    let supervisor = bench.monitor(agent(2), MonitorMode::Monitor);
    bench.hang_up(agent(2));
    assert_eq!(bench.voices(supervisor), [CUSTOMER, agent(1)]);
}

#[test]
fn u4_a_supervisor_alone_keeps_no_call_up() {
    let mut bench = Bench::talking();
    bench.monitor(agent(1), MonitorMode::Barge);
    bench.hang_up(CUSTOMER);
    assert!(bench.is_over, "the agent alone with a supervisor is no call");
}

#[test]
fn a_supervisor_who_does_not_answer_disturbs_nobody() {
    let mut bench = Bench::talking();
    let (mut out, who) = (Vec::new(), bench.who(agent(1)));
    bench.call.monitor(bench.now, who, agent(99), MonitorMode::Barge, &mut out).unwrap();
    bench.follow(out);
    bench.refuse(agent(99));
    assert!(!bench.has(agent(99)));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}
