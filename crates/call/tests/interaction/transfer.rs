use call::control::{OnFailure, Refusal, Verb};
use call::hearing::Hears;
use call::{Command, PartyKey, What};

use crate::bench::{Bench, END_CONSULT_TRANSFER, agent, to, transfer};

const CUSTOMER: PartyKey = PartyKey(1);
const NUMBER: PartyKey = PartyKey(7);

#[test]
fn t1_only_an_accepted_call_can_be_transferred() {
    let bench = Bench::ringing();
    assert_eq!(bench.may(agent(1), Verb::Transfer), Err(Refusal::InvalidState));
}

#[test]
fn t5_t6_the_agent_is_free_at_once_and_the_customer_hears_it_ring() {
    let mut bench = Bench::talking();
    bench.does(agent(1), transfer(agent(2), OnFailure::Recall));
    assert!(!bench.has(agent(1)));
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
    bench.ring(agent(2));
    assert_eq!(bench.hears(CUSTOMER), Hears::Ringback);
    bench.answer(agent(2));
    assert_eq!(bench.voices(CUSTOMER), [agent(2)]);
    assert_eq!(bench.call.primary(), Some(bench.who(agent(2))));
}

#[test]
fn t4_a_transfer_that_fails_calls_the_agent_back() {
    for on_failure in [OnFailure::Recall, OnFailure::Requeue] {
        let mut bench = Bench::talking();
        bench.does(agent(1), transfer(agent(2), on_failure));
        bench.refuse(agent(2));
        assert!(bench.has_happened(What::TransferFailed));
        assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
        bench.answer(agent(1));
        assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
        assert_eq!(bench.call.primary(), Some(bench.who(agent(1))));
    }
}

#[test]
fn t4_or_ends_the_call_if_the_organisation_wants_that() {
    let mut bench = Bench::talking();
    bench.does(agent(1), transfer(agent(2), OnFailure::Drop));
    bench.ring_out();
    assert!(bench.is_over);
}

#[test]
fn t4_a_recall_that_nobody_answers_ends_the_call() {
    let mut bench = Bench::talking();
    bench.does(agent(1), transfer(agent(2), OnFailure::Recall));
    bench.ring_out();
    bench.ring_out();
    assert!(bench.is_over && bench.armed.is_empty());
}

#[test]
fn t4_the_customer_may_leave_while_the_target_rings() {
    let mut bench = Bench::talking();
    bench.does(agent(1), transfer(agent(2), OnFailure::Recall));
    bench.hang_up(CUSTOMER);
    assert!(bench.is_over && bench.armed.is_empty());
}

#[test]
fn t8_a_transfer_completes_while_the_number_rings() {
    let mut bench = Bench::talking();
    bench.consult(agent(1), NUMBER);
    bench.ring(NUMBER);
    bench.does(agent(1), END_CONSULT_TRANSFER);
    assert!(!bench.has(agent(1)));
    assert_eq!(bench.hears(CUSTOMER), Hears::Ringback);
    bench.answer(NUMBER);
    assert_eq!(bench.voices(CUSTOMER), [NUMBER]);
}

#[test]
fn t8_and_comes_back_when_the_number_does_not_answer() {
    let mut bench = Bench::talking();
    bench.consult(agent(1), NUMBER);
    bench.ring(NUMBER);
    bench.does(agent(1), END_CONSULT_TRANSFER);
    bench.ring_out();
    bench.answer(agent(1));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}

#[test]
fn t10_a_held_call_can_be_transferred_also_with_the_line_released() {
    for command in [Command::Hold, Command::ReleaseLine] {
        let mut bench = Bench::talking();
        bench.does(agent(1), command);
        bench.does(agent(1), transfer(agent(2), OnFailure::Recall));
        bench.answer(agent(2));
        assert_eq!(bench.voices(CUSTOMER), [agent(2)]);
    }
}

fn by_phone() -> Bench {
    let mut bench = Bench::talking();
    let (callee, on_failure) = (to(agent(2)), OnFailure::Recall);
    bench.does(agent(1), Command::Transfer { callee, on_failure, stays: true });
    bench
}

#[test]
fn t11_the_phone_waits_for_the_outcome_and_has_the_call_again_when_it_fails() {
    let mut bench = by_phone();
    assert!(bench.has(agent(1)));
    bench.ring(agent(2));
    assert_eq!(bench.hears(CUSTOMER), Hears::Ringback);
    bench.refuse(agent(2));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}

#[test]
fn t11_the_phone_is_released_when_it_succeeds() {
    let mut bench = by_phone();
    bench.answer(agent(2));
    assert!(!bench.has(agent(1)));
    assert_eq!(bench.voices(CUSTOMER), [agent(2)]);
}

#[test]
fn t11_a_phone_that_hangs_up_meanwhile_is_called_back() {
    let mut bench = by_phone();
    bench.hang_up(agent(1));
    assert!(!bench.call.is_ending());
    bench.refuse(agent(2));
    bench.answer(agent(1));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}

#[test]
fn t11_nobody_is_left_when_the_customer_leaves() {
    let mut bench = by_phone();
    bench.hang_up(CUSTOMER);
    assert!(bench.is_over && bench.armed.is_empty());
}

#[test]
fn t_either_of_two_colleagues_can_transfer_the_other() {
    for (by, other) in [(agent(1), agent(2)), (agent(2), agent(1))] {
        let mut bench = Bench::colleagues();
        bench.does(by, transfer(agent(3), OnFailure::Recall));
        bench.answer(agent(3));
        assert_eq!(bench.voices(other), [agent(3)]);
    }
}
