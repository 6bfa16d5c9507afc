use call::control::{Refusal, Verb};
use call::hearing::Hears;
use call::{Command, LegEvent, PartyKey, What};

use crate::bench::{Bench, agent, consult};

const CUSTOMER: PartyKey = PartyKey(1);

#[test]
fn h1_the_held_customer_hears_the_hold_sound_until_resumed() {
    let mut bench = Bench::talking();
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    bench.does(agent(1), Command::Hold);
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
    assert_eq!(bench.hears(agent(1)), Hears::Silence);
    assert_eq!(bench.refused(agent(1), Command::Hold), Refusal::AlreadyHeld);
    bench.does(agent(1), Command::Resume);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    assert_eq!(bench.voices(agent(1)), [CUSTOMER]);
    assert_eq!(bench.refused(agent(1), Command::Resume), Refusal::InvalidState);
}

#[test]
fn h2_a_held_call_cannot_be_ended() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::Hold);
    assert_eq!(bench.refused(agent(1), Command::End), Refusal::EndWhileHeld);
    bench.does(agent(1), Command::Resume);
    bench.does(agent(1), Command::End);
    assert!(bench.is_over);
}

#[test]
fn h2_nor_one_that_the_phone_holds() {
    let mut bench = Bench::talking();
    bench.event(bench.leg(agent(1)), LegEvent::Held(true));
    assert_eq!(bench.refused(agent(1), Command::End), Refusal::EndWhileHeld);
}

#[test]
fn h3_the_phone_s_hold_is_the_same_state() {
    let mut bench = Bench::talking();
    let leg = bench.leg(agent(1));
    bench.event(leg, LegEvent::Held(true));
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
    assert_eq!(bench.refused(agent(1), Command::Hold), Refusal::AlreadyHeld);
    assert!(bench.has_happened(What::Held));
    bench.event(leg, LegEvent::Held(false));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    assert!(bench.has_happened(What::Resumed));
}

#[test]
fn h4_starting_a_consult_holds_the_customer() {
    let mut bench = Bench::talking();
    bench.consulting(agent(1), agent(2));
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
    assert_eq!(bench.voices(agent(2)), [agent(1)]);
}

#[test]
fn h4_resume_holds_the_consulted_agent() {
    let mut bench = Bench::talking();
    bench.consulting(agent(1), agent(2));
    bench.does(agent(1), Command::Resume);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    assert_eq!(bench.hears(agent(2)), Hears::Hold);
    // Never both at once.
    assert_eq!(bench.refused(agent(1), Command::Hold), Refusal::ConsultInProgress);
}

#[test]
fn h5_holding_the_consulted_agent_resumes_the_customer() {
    let mut bench = Bench::talking();
    bench.consulting(agent(1), agent(2));
    bench.does(agent(1), Command::ConsultHold);
    assert_eq!(bench.hears(agent(2)), Hears::Hold);
    assert_eq!(bench.voices(agent(1)), [CUSTOMER]);
    assert_eq!(bench.refused(agent(1), Command::ConsultHold), Refusal::AlreadyHeld);
    bench.does(agent(1), Command::ConsultResume);
    assert_eq!(bench.voices(agent(2)), [agent(1)]);
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
}

#[test]
fn h6_a_released_line_is_hung_up_and_retrieved() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::ReleaseLine);
    assert_eq!(bench.call.legs().len(), 1, "only the customer has a phone in it");
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
    bench.does(agent(1), Command::Resume);
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold, "the agent has not answered yet");
    bench.answer(agent(1));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}

#[test]
fn h6_a_retrieve_that_is_not_answered_leaves_the_customer_on_hold() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::ReleaseLine);
    bench.does(agent(1), Command::Resume);
    assert_eq!(bench.refused(agent(1), Command::Resume), Refusal::InvalidState);
    bench.refuse(agent(1));
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
    bench.does(agent(1), Command::Resume);
    bench.ring_out();
    assert!(!bench.call.is_ending());
    bench.does(agent(1), Command::Resume);
    bench.answer(agent(1));
    assert_eq!(bench.voices(agent(1)), [CUSTOMER]);
}

#[test]
fn h6_the_customer_may_hang_up_while_the_line_is_released() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::ReleaseLine);
    bench.hang_up(CUSTOMER);
    assert!(bench.is_over);
}

#[test]
fn i3_only_who_holds_can_retrieve() {
    let bench = Bench::talking();
    assert_eq!(bench.may(agent(1), Verb::Resume), Err(Refusal::InvalidState));
    assert_eq!(bench.may(CUSTOMER, Verb::Hold), Err(Refusal::Forbidden));
}

#[test]
fn keys_of_a_muted_participant_go_to_who_would_hear_it() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::Mute);
    let listeners = |bench: &Bench| bench.call.keyed_to(bench.who(agent(1)));
    assert_eq!(listeners(&bench), [bench.leg(PartyKey(1))]);
    assert!(bench.call.heard_by_others(bench.who(agent(1))).is_empty());
    bench.does(agent(1), Command::Unmute);
    assert_eq!(listeners(&bench), [bench.leg(PartyKey(1))]);
    bench.does(agent(1), Command::Hold);
    assert_eq!(listeners(&bench), []);
}

#[test]
fn a_muted_participant_is_not_heard_and_nobody_is_on_hold() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::Mute);
    assert_eq!(bench.hears(CUSTOMER), Hears::Silence);
    assert_eq!(bench.voices(agent(1)), [CUSTOMER]);
    bench.does(agent(1), Command::Unmute);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}

#[test]
fn a_held_call_can_be_consulted_on() {
    let mut bench = Bench::talking();
    bench.does(agent(1), Command::Hold);
    bench.does(agent(1), consult(agent(2), true));
    bench.answer(agent(2));
    assert_eq!(bench.voices(agent(1)), [agent(2)]);
}

#[test]
fn h3_the_phone_takes_back_what_was_held_by_command() {
    let mut bench = Bench::talking();
    let leg = bench.leg(agent(1));
    bench.does(agent(1), Command::Hold);
    bench.event(leg, LegEvent::Held(true));
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
    bench.event(leg, LegEvent::Held(false));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    assert_eq!(bench.refused(agent(1), Command::Resume), Refusal::InvalidState);
}

#[test]
fn h3_a_hold_before_a_consult_outlasts_what_the_phone_does_during_it() {
    let mut bench = Bench::talking();
    let leg = bench.leg(agent(1));
    bench.does(agent(1), Command::Hold);
    bench.event(leg, LegEvent::Held(true));
    bench.does(agent(1), consult(agent(2), true));
    bench.event(leg, LegEvent::Held(false));
    bench.answer(agent(2));
    assert_eq!(bench.voices(agent(1)), [agent(2)]);
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold);
}

#[test]
fn s11_only_a_phone_that_can_be_driven_is_taken_back_by_command() {
    let mut bench = Bench::talking();
    let leg = bench.leg(agent(1));
    bench.event(leg, LegEvent::Held(true));
    assert_eq!(bench.refused(agent(1), Command::Resume), Refusal::InvalidState);
    bench.event(leg, LegEvent::Driven(true));
    bench.does(agent(1), Command::Resume);
    assert_eq!(bench.hears(CUSTOMER), Hears::Hold, "until the phone has done it");
    bench.event(leg, LegEvent::Held(false));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}
