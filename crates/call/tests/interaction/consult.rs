use call::control::{Refusal, Verb};
use call::hearing::Hears;
use call::{Command, LegEvent, PartyKey, What};

use crate::bench::{Bench, END_CONSULT_TRANSFER, agent, consult};

const CUSTOMER: PartyKey = PartyKey(1);
const NUMBER: PartyKey = PartyKey(7);

fn consulting() -> Bench {
    Bench::talking().with(|bench| bench.consulting(agent(1), agent(2)))
}

#[test]
fn c1_a_consult_needs_a_connected_call() {
    let mut bench = Bench::ringing();
    assert_eq!(bench.refused(agent(1), consult(agent(2), true)), Refusal::InvalidState);
}

#[test]
fn c10_requested_consulting_on_hold() {
    let mut bench = Bench::talking();
    bench.consult(agent(1), agent(2));
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold, "the customer shows on hold");
    assert_eq!(bench.hears(agent(1)), Hears::Silence);
    bench.ring(agent(2));
    assert_eq!(bench.hears(agent(1)), Hears::Ringback);
    bench.event(bench.leg(agent(2)), LegEvent::EarlyMedia);
    assert_eq!(bench.voices(agent(1)), [agent(2)]);
    bench.answer(agent(2));
    assert_eq!(bench.voices(agent(1)), [agent(2)]);
    bench.does(agent(1), Command::ConsultHold);
    assert_eq!(bench.hears(agent(2)), Hears::Hold);
}

#[test]
fn c11_the_consulted_agent_leaves_and_the_others_go_on() {
    let mut bench = consulting();
    bench.does(agent(2), Command::ConsultExit);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    assert!(bench.has_happened(What::ConsultEnded));
    let mut bench = consulting();
    bench.hang_up(agent(2));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}

#[test]
fn c12_an_agent_must_have_answered_a_number_needs_to_ring_only() {
    for verb in [Verb::ConsultTransfer, Verb::ConsultConference] {
        let mut bench = Bench::talking();
        bench.consult(agent(1), agent(2));
        bench.ring(agent(2));
        assert_eq!(bench.may(agent(1), verb), Err(Refusal::InvalidState));
        assert_eq!(bench.may(agent(1), Verb::Resume), Ok(()), "resume is always allowed");
        bench.answer(agent(2));
        assert_eq!(bench.may(agent(1), verb), Ok(()));
        let mut bench = Bench::talking();
        bench.consult(agent(1), NUMBER);
        assert_eq!(bench.may(agent(1), verb), Err(Refusal::InvalidState), "not reached yet");
        bench.ring(NUMBER);
        assert_eq!(bench.may(agent(1), verb), Ok(()));
    }
}

#[test]
fn c13_a_consult_that_fails_leaves_the_customer_on_hold() {
    let mut bench = Bench::talking();
    bench.consult(agent(1), agent(2));
    bench.refuse(agent(2));
    assert!(bench.has_happened(What::ConsultFailed));
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
    bench.does(agent(1), Command::Resume);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}

#[test]
fn c13_nobody_answers() {
    let mut bench = Bench::talking();
    bench.consult(agent(1), agent(2));
    bench.ring(agent(2));
    bench.ring_out();
    assert!(bench.has_happened(What::ConsultFailed) && !bench.has(agent(2)));
    bench.consulting(agent(1), agent(3));
    assert_eq!(bench.voices(agent(3)), [agent(1)]);
}

#[test]
fn c14_a_target_without_a_phone_fails_at_once() {
    let mut bench = Bench::talking();
    bench.phones = 0;
    bench.consult(agent(1), agent(2));
    assert!(bench.has_happened(What::ConsultFailed));
    assert_eq!(bench.may(agent(1), Verb::Resume), Ok(()));
    assert!(bench.armed.is_empty());
}

#[test]
fn c17_the_initiator_may_resume_transfer_conference_and_end() {
    let bench = consulting();
    for verb in [
        Verb::Resume,
        Verb::ConsultTransfer,
        Verb::ConsultConference,
        Verb::ConsultEnd,
        Verb::Toggle,
    ] {
        assert_eq!(bench.may(agent(1), verb), Ok(()), "{verb:?}");
    }
    let mut bench = consulting();
    bench.does(agent(1), Command::ConsultEnd);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}

#[test]
fn c18_toggle_goes_to_and_fro() {
    let mut bench = consulting();
    for _ in 0..3 {
        bench.does(agent(1), Command::Toggle);
        assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
        assert_eq!(bench.hears(agent(2)), Hears::Hold);
        bench.does(agent(1), Command::Toggle);
        assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
        assert_eq!(bench.voices(agent(2)), [agent(1)]);
    }
}

#[test]
fn c19_merge_joins_all() {
    let mut bench = consulting();
    bench.does(agent(1), Command::ConsultConference);
    assert_eq!(bench.voices(CUSTOMER), [agent(1), agent(2)]);
    assert_eq!(bench.voices(agent(2)), [CUSTOMER, agent(1)]);
    assert!(bench.call.consulting().is_none());
}

#[test]
fn c20_c26_customers_and_numbers_have_no_controls() {
    let mut bench = Bench::talking();
    bench.conference(agent(1), NUMBER);
    for party in [CUSTOMER, NUMBER] {
        assert!(bench.call.controls(bench.who(party)).is_empty());
        assert_eq!(bench.may(party, Verb::Consult), Err(Refusal::Forbidden));
    }
}

#[test]
fn c21_f3_the_others_of_a_conference_are_held_or_go_on() {
    for (hold_others, heard) in [(true, vec![]), (false, vec![agent(2)])] {
        let mut bench = Bench::talking();
        bench.conference(agent(1), agent(2));
        bench.does(agent(1), consult(agent(3), hold_others));
        bench.answer(agent(3));
        assert_eq!(bench.voices(CUSTOMER), heard);
        assert_eq!(bench.hears(CUSTOMER) == Hears::Hold, hold_others);
        assert_eq!(bench.voices(agent(3)), [agent(1)]);
        bench.does(agent(1), Command::ConsultConference);
        assert_eq!(bench.voices(CUSTOMER), [agent(1), agent(2), agent(3)]);
    }
}

#[test]
fn c22_the_customer_hangs_up_and_the_consult_goes_on() {
    let mut bench = consulting();
    bench.hang_up(CUSTOMER);
    assert!(bench.has_happened(What::PostCall) && !bench.call.is_ending());
    assert_eq!(bench.voices(agent(2)), [agent(1)]);
    bench.does(agent(1), Command::ConsultHold);
    assert_eq!(bench.hears(agent(2)), Hears::Hold);
    bench.does(agent(1), Command::Toggle);
    assert_eq!(bench.voices(agent(2)), [agent(1)]);
    assert_eq!(bench.refused(agent(1), Command::Resume), Refusal::PostCall);
    assert_eq!(bench.refused(agent(1), END_CONSULT_TRANSFER), Refusal::PostCall);
    bench.does(agent(1), Command::ConsultEnd);
    assert!(bench.is_over);
}

#[test]
fn c22_also_while_the_target_rings() {
    let mut bench = Bench::talking();
    bench.consult(agent(1), agent(2));
    bench.hang_up(CUSTOMER);
    assert!(!bench.call.is_ending());
    bench.answer(agent(2));
    assert_eq!(bench.voices(agent(1)), [agent(2)]);
}

#[test]
fn c24_the_primary_hangs_up_and_all_is_over() {
    let mut bench = consulting();
    bench.hang_up(agent(1));
    assert!(bench.is_over);
}

#[test]
fn c24_a_conference_goes_on_without_the_primary() {
    let mut bench = Bench::talking();
    bench.conference(agent(1), agent(2));
    bench.consulting(agent(1), agent(3));
    bench.hang_up(agent(1));
    assert!(!bench.has(agent(3)), "the consult ends");
    assert_eq!(bench.voices(CUSTOMER), [agent(2)]);
    assert_eq!(bench.call.primary(), Some(bench.who(agent(2))));
}

#[test]
fn c25_the_consulted_agent_cannot_direct() {
    let bench = consulting();
    for verb in [Verb::Resume, Verb::ConsultEnd, Verb::ConsultTransfer, Verb::End, Verb::Hold] {
        assert_eq!(bench.may(agent(2), verb), Err(Refusal::NotOwner), "{verb:?}");
    }
    assert_eq!(bench.may(agent(2), Verb::ConsultExit), Ok(()));
}

#[test]
fn c27_consult_transfer_leaves_the_customer_to_the_consulted_agent() {
    let mut bench = consulting();
    bench.does(agent(1), END_CONSULT_TRANSFER);
    assert!(!bench.has(agent(1)));
    assert_eq!(bench.voices(CUSTOMER), [agent(2)]);
    assert_eq!(bench.call.primary(), Some(bench.who(agent(2))));
    assert!(bench.has_happened(What::TransferCompleted));
}

#[test]
fn c28_one_consult_at_a_time() {
    let mut bench = consulting();
    assert_eq!(bench.refused(agent(1), consult(agent(3), true)), Refusal::ConsultInProgress);
}
