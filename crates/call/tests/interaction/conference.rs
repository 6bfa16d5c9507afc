use call::control::{OnFailure, Refusal, Verb};
use call::hearing::Hears;
use call::{Command, PartyKey, What};

use crate::bench::{Bench, agent, consult, transfer};

const CUSTOMER: PartyKey = PartyKey(1);
const NUMBER: PartyKey = PartyKey(7);

fn three() -> Bench {
    Bench::talking().with(|bench| bench.conference(agent(1), agent(2)))
}

#[test]
fn f1_eight_hear_all_others_and_a_ninth_is_refused() {
    let mut bench = Bench::talking();
    for number in 2..=7 {
        bench.conference(agent(1), agent(number));
    }
    let all: Vec<_> = [CUSTOMER].into_iter().chain((1..=7).map(agent)).collect();
    for party in &all {
        let others: Vec<_> = all.iter().copied().filter(|other| other != party).collect();
        assert_eq!(bench.voices(*party), others);
    }
    assert_eq!(bench.refused(agent(1), consult(agent(8), true)), Refusal::ConferenceFull);
}

#[test]
fn f4_the_longest_agent_follows_a_primary_who_exits() {
    let mut bench = three();
    bench.wait(1);
    bench.conference(agent(1), agent(3));
    bench.does(agent(1), Command::ConferenceExit);
    assert!(!bench.has(agent(1)));
    assert_eq!(bench.call.primary(), Some(bench.who(agent(2))));
    assert_eq!(bench.voices(CUSTOMER), [agent(2), agent(3)]);
    assert!(bench.has_happened(What::OwnerChanged));
}

#[test]
fn f4_nobody_to_hand_over_to_is_no_exit() {
    let mut bench = Bench::talking();
    bench.conference(agent(1), NUMBER);
    assert_eq!(bench.refused(agent(1), Command::ConferenceExit), Refusal::InvalidState);
}

#[test]
fn f4_no_transfer_out_of_a_conference() {
    let mut bench = three();
    let blind = transfer(agent(3), OnFailure::Recall);
    assert_eq!(bench.refused(agent(1), blind), Refusal::InvalidState);
    bench.consulting(agent(1), agent(3));
    assert_eq!(bench.may(agent(1), Verb::ConsultTransfer), Err(Refusal::InvalidState));
}

#[test]
fn f5_the_primary_ends_it_for_all_or_leaves_by_hanging_up() {
    let mut bench = three();
    bench.does(agent(1), Command::ConferenceEnd);
    assert!(bench.is_over);
    let mut bench = three();
    bench.hang_up(agent(1));
    assert_eq!(bench.voices(CUSTOMER), [agent(2)]);
}

#[test]
fn f6_a_conferenced_agent_leaves_and_cannot_end_it() {
    let mut bench = three();
    for command in [Command::ConferenceEnd, Command::End] {
        assert_eq!(bench.refused(agent(2), command), Refusal::NotOwner);
    }
    bench.does(agent(2), Command::ConferenceExit);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    assert!(bench.has_happened(What::ConferenceEnded));
}

#[test]
fn f8_a_conferenced_agent_may_add_another() {
    let mut bench = three();
    bench.conference(agent(2), agent(3));
    assert_eq!(bench.voices(agent(3)), [CUSTOMER, agent(1), agent(2)]);
}

#[test]
fn f10_f12_the_customer_leaves_and_the_others_are_in_post_call() {
    let mut bench = three();
    bench.hang_up(CUSTOMER);
    assert!(bench.has_happened(What::PostCall));
    assert_eq!(bench.voices(agent(2)), [agent(1)]);
    assert_eq!(bench.refused(agent(1), consult(agent(3), true)), Refusal::PostCall);
    assert_eq!(bench.refused(agent(1), Command::Hold), Refusal::PostCall);
    assert_eq!(bench.refused(agent(1), transfer(agent(3), OnFailure::Recall)), Refusal::PostCall);
    bench.does(agent(1), Command::End);
    assert!(bench.is_over);
}

#[test]
fn f11_the_last_one_is_not_left_alone() {
    let mut bench = three();
    bench.hang_up(agent(2));
    assert!(!bench.call.is_ending());
    bench.hang_up(agent(1));
    assert!(bench.is_over);
}

#[test]
fn f14_three_way_from_two() {
    let mut bench = Bench::colleagues();
    bench.conference(agent(1), agent(3));
    assert_eq!(bench.voices(agent(2)), [agent(1), agent(3)]);
    assert_eq!(bench.voices(agent(3)), [agent(1), agent(2)]);
}

#[test]
fn who_holds_steps_out_of_a_conference_that_goes_on() {
    let mut bench = three();
    bench.does(agent(1), Command::Hold);
    assert_eq!(bench.voices(CUSTOMER), [agent(2)]);
    assert_eq!(bench.hears(agent(1)), Hears::Silence);
    bench.does(agent(1), Command::Resume);
    assert_eq!(bench.voices(CUSTOMER), [agent(1), agent(2)]);
}

#[test]
fn the_primary_takes_a_participant_out() {
    let mut bench = three();
    let target = bench.who(agent(2));
    assert_eq!(bench.refused(agent(2), Command::Remove(target)), Refusal::NotOwner);
    bench.does(agent(1), Command::Remove(target));
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
}

#[test]
fn c12_a_number_that_rings_can_be_merged_and_may_fail() {
    let mut bench = Bench::talking();
    bench.consult(agent(1), NUMBER);
    bench.ring(NUMBER);
    bench.does(agent(1), Command::ConsultConference);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)], "the two go on meanwhile");
    bench.refuse(NUMBER);
    assert_eq!(bench.voices(CUSTOMER), [agent(1)]);
    assert!(!bench.has(NUMBER));
}
