//! What a phone does by itself (H3, T11): a second call dialled by hand is the consult.

use call::hearing::Hears;
use call::{Cause, Command, LegEvent, PartyKey, What};

use crate::bench::{Bench, END_CONSULT_TRANSFER, agent};

const CUSTOMER: PartyKey = PartyKey(1);

/// The agent's phone holds the customer and has called agent 2 on a second line.
fn by_hand() -> (Bench, call::LegId, call::LegId) {
    let mut bench = Bench::talking();
    let first = bench.leg(agent(1));
    bench.event(first, LegEvent::Held(true));
    let second = bench.second_line(agent(1), agent(2));
    bench.ring(agent(2));
    bench.answer(agent(2));
    assert!(bench.answered.contains(&second));
    (bench, first, second)
}

#[test]
fn h3_a_second_call_from_the_phone_is_the_consult() {
    let (bench, ..) = by_hand();
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
    assert_eq!(bench.voices(agent(2)), [agent(1)]);
    assert!(bench.call.consulting().is_some());
}

#[test]
fn h3_the_phone_toggles_by_its_own_hold() {
    let (mut bench, first, second) = by_hand();
    bench.event(second, LegEvent::Held(true));
    bench.event(first, LegEvent::Held(false));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    assert_eq!(bench.hears(agent(2)), Hears::Hold);
    assert!(bench.has_happened(What::ConsultHeld));
    // The other way about: the new one is taken before the old one is held.
    bench.event(second, LegEvent::Held(false));
    bench.event(first, LegEvent::Held(true));
    assert_eq!(bench.voices(agent(2)), [agent(1)]);
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
}

#[test]
fn f12_whoever_hangs_up_the_line_that_the_customer_left_is_with_the_consulted() {
    let (mut bench, first, _) = by_hand();
    bench.hang_up(CUSTOMER);
    bench.event(first, LegEvent::Held(false)); // nobody is there any more
    assert_eq!(bench.hears(agent(2)), Hears::Hold);
    bench.happened.clear();
    bench.event(first, LegEvent::HungUp(Cause::NORMAL));
    bench.event(first, LegEvent::Gone);
    assert_eq!(bench.voices(agent(2)), [agent(1)]);
    assert_eq!(bench.voices(agent(1)), [agent(2)]);
    assert!(bench.has_happened(What::ConsultResumed));
}

#[test]
fn h3_the_api_toggles_what_the_phone_began() {
    let (mut bench, ..) = by_hand();
    bench.does(agent(1), Command::Toggle);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)], "by the line that the phone has open");
    assert_eq!(bench.hears(agent(2)), Hears::Hold);
}

#[test]
fn h3_merge_keeps_the_open_line() {
    let (mut bench, first, second) = by_hand();
    bench.does(agent(1), Command::ConsultConference);
    assert!(bench.call.leg(first).is_none() && bench.call.leg(second).is_some());
    assert_eq!(bench.voices(CUSTOMER), [agent(1), agent(2)]);
}

#[test]
fn t11_transfer_of_a_consult_that_was_dialled_by_hand() {
    let (mut bench, ..) = by_hand();
    bench.does(agent(1), END_CONSULT_TRANSFER);
    assert!(!bench.has(agent(1)));
    assert_eq!(bench.voices(CUSTOMER), [agent(2)]);
}

#[test]
fn h3_hanging_the_second_line_up_ends_the_consult_only() {
    let (mut bench, first, second) = by_hand();
    bench.event(second, LegEvent::HungUp(Cause::NORMAL));
    bench.event(second, LegEvent::Gone);
    assert!(!bench.has(agent(2)) && bench.call.consulting().is_none());
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold, "until the phone takes the call back");
    bench.event(first, LegEvent::Held(false));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}

#[test]
fn h3_hanging_the_customer_s_line_up_leaves_the_consult() {
    let (mut bench, first, _) = by_hand();
    bench.event(first, LegEvent::HungUp(Cause::NORMAL));
    bench.event(first, LegEvent::Gone);
    assert!(!bench.has(CUSTOMER) && !bench.call.is_ending());
    assert_eq!(bench.voices(agent(2)), [agent(1)]);
}

#[test]
fn h3_a_second_call_that_is_refused_leaves_the_customer_where_it_was() {
    let mut bench = Bench::talking();
    bench.event(bench.leg(agent(1)), LegEvent::Held(true));
    let second = bench.second_line(agent(1), agent(2));
    bench.refuse(agent(2));
    assert!(bench.call.leg(second).is_none(), "the second line hears of it");
    assert!(bench.has(CUSTOMER) && !bench.call.is_ending());
}

#[test]
fn a_leg_takes_the_place_of_another() {
    let mut bench = Bench::talking();
    let (old, new) = (bench.leg(agent(1)), call::LegId(77));
    let mut out = Vec::new();
    bench.call.replace(bench.now, old, new, agent(4), &mut out).unwrap();
    bench.follow(out);
    assert!(bench.answered.contains(&new) && bench.call.leg(old).is_none());
    assert_eq!(bench.voices(CUSTOMER), [agent(4)]);
}

#[test]
fn h3_each_line_of_the_phone_is_negotiated_with_whom_it_leads_to() {
    let (bench, first, second) = by_hand();
    assert_eq!(bench.call.partner(first), Some(bench.leg(CUSTOMER)));
    assert_eq!(bench.call.partner(second), Some(bench.leg(agent(2))));
    assert_eq!(bench.call.partner(bench.leg(agent(2))), Some(second));
    assert_eq!(bench.call.partner(bench.leg(CUSTOMER)), Some(first));
}
