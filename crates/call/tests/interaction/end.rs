use std::collections::BTreeSet;

use call::control::{Refusal, Verb};
use call::hearing::Hears;
use call::record::EndedBy;
use call::{Cause, Command, LegEvent, PartyKey};

use crate::bench::{Bench, agent};

const CUSTOMER: PartyKey = PartyKey(1);

#[test]
fn e1_agent_and_customer_may_end() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::End);
    assert!(bench.is_over);
    assert_eq!(bench.call.outcome().unwrap().by, EndedBy::Callee);
    let mut bench = Bench::talking();
    bench.hang_up(CUSTOMER);
    assert!(bench.is_over);
    assert_eq!(bench.call.outcome().unwrap().by, EndedBy::Caller);
}

#[test]
fn e4_f7_only_the_primary_wraps_up_and_not_before_the_end() {
    let bench = Bench::talking();
    assert_eq!(bench.may(agent(1), Verb::WrapUp), Err(Refusal::InvalidState));
}

#[test]
fn an_agent_who_is_called_may_decline() {
    let mut bench = Bench::ringing();
    bench.does(agent(1), Command::Decline);
    assert!(bench.is_over);
    assert_eq!(bench.call.outcome().unwrap().cause, Cause::DECLINED);
}

#[test]
fn i5_the_own_phone_first_then_the_number() {
    let mut bench = Bench::outdial();
    let phones: BTreeSet<_> = bench.call.legs().iter().map(|leg| leg.party).collect();
    assert_eq!(phones, BTreeSet::from([agent(1)]));
    bench.answer(agent(1));
    assert_eq!(bench.hears(agent(1)), Hears::Silence);
    bench.ring(CUSTOMER);
    assert_eq!(bench.hears(agent(1)), Hears::Ringback);
    bench.event(bench.leg(CUSTOMER), LegEvent::EarlyMedia);
    assert_eq!(bench.voices(agent(1)), [CUSTOMER]);
    bench.answer(CUSTOMER);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    assert_eq!(bench.call.primary(), Some(bench.who(agent(1))));
}

#[test]
fn i5_nothing_is_dialled_when_the_own_phone_is_not_answered() {
    let mut bench = Bench::outdial();
    bench.refuse(agent(1));
    assert!(bench.is_over);
    assert_eq!(bench.dialled.len(), 1);
}

#[test]
fn i5_the_agent_gives_up_while_it_rings() {
    let mut bench = Bench::outdial();
    bench.answer(agent(1));
    bench.does(agent(1), Command::End);
    assert!(bench.is_over && bench.armed.is_empty());
}

#[test]
fn i2_another_phone_takes_a_call_that_rings() {
    let mut bench = Bench::ringing();
    let attempt = bench.call.may_pickup().unwrap();
    bench.next_leg += 1;
    let leg = call::LegId(bench.next_leg);
    bench.call.add_leg(attempt, leg, agent(5));
    assert!(bench.call.rings_at(agent(5)) && bench.call.rings_at(agent(1)));
    bench.event(leg, LegEvent::Answered);
    assert!(!bench.has(agent(1)));
    assert_eq!(bench.voices(CUSTOMER), [agent(5)]);
    assert_eq!(bench.call.may_pickup(), Err(Refusal::InvalidState));
}

#[test]
fn of_several_phones_the_first_that_answers_has_the_call() {
    let mut bench = Bench::talking();
    bench.phones = 3;
    bench.is_slow = true;
    bench.consult(agent(1), agent(2));
    let phones: Vec<_> = bench.call.legs().iter().filter(|leg| leg.party == agent(2)).collect();
    let winner = phones[1].leg;
    bench.event(winner, LegEvent::Answered);
    assert_eq!(bench.leaving.len(), 2);
    assert_eq!(bench.voices(agent(1)), [agent(2)]);
}

#[test]
fn an_unanswered_call_ends_by_the_system() {
    let mut bench = Bench::ringing();
    bench.ring_out();
    assert!(bench.is_over);
    assert_eq!(bench.call.outcome().unwrap().by, EndedBy::System);
}
