//! Ends that nobody wished for: lost ACKs, dead peers, panics, a server that goes.

use b2bua::io::Input;
use call::CallId;
use media::command::MediaEvent;
use sim::{Act, Answering, Link, Placing, World};

use crate::{answers, header, seconds, world};

#[test]
fn a_2xx_whose_ack_never_comes_is_repeated_for_32_s_and_then_hung_up() {
    let mut world = world();
    world.plan("1001", Answering::after(1000));
    world.call("1003", Placing { slow_ack: Some(seconds(3600)), ..Placing::to("1001") });
    world.run_for(seconds(60));
    let mut answers: Vec<_> = world.lines("1003", true, "SIP/2.0 200");
    answers.retain(|(_, text)| text.contains(" INVITE\r\n"));
    assert_eq!(answers.len(), 11);
    let byes = world.lines("1003", true, "BYE ");
    assert_eq!((byes[0].0 - answers[0].0).as_secs(), 32);
    assert!(!world.has_call("1001"));
    world.finish();
}

#[test]
fn a_late_ack_ends_the_repeats() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(60_000, Act::Bye));
    world.call("1003", Placing { slow_ack: Some(seconds(5)), ..Placing::to("1001") });
    world.run_for(seconds(40));
    let ok = answers(&world, "1003", "INVITE").into_iter().filter(|status| *status == 200);
    assert_eq!(ok.count(), 4); // at 0, 0.5, 1.5 and 3.5 s
    assert!(world.has_call("1001") && world.has_call("1003"));
    world.finish();
}

#[test]
fn we_hang_up_a_caller_without_ack_only_when_it_has_come() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(2000, Act::Bye));
    world.call("1003", Placing { slow_ack: Some(seconds(8)), ..Placing::to("1001") });
    world.run_for(seconds(20));
    let ack = world.lines("1003", false, "ACK sip:127.0.0.1:5060 ").pop().unwrap().0;
    let bye = world.lines("1003", true, "BYE ")[0].0;
    assert!(bye >= ack); // INTEROP 2
    world.finish();
}

#[test]
fn a_2xx_is_acknowledged_as_often_as_it_comes() {
    let mut world = World::new(1, Link::GOOD);
    world.register();
    world.plan("1001", Answering::after(1000).then(20_000, Act::Bye));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(3));
    let answer = world.got_from("1001", "SIP/2.0 200").pop().unwrap();
    for _ in 0..3 {
        world.inject("1001", answer.clone().into_bytes());
    }
    world.run_for(seconds(1));
    assert_eq!(world.sent_to("1001", "ACK ").len(), 4);
    world.finish();
}

#[test]
fn the_partner_of_a_dead_phone_is_released_when_the_refresh_fails() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(10_000, Act::Die));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(100));
    assert!(world.has_call("1003"));
    world.run_for(seconds(1900));
    assert!(!world.has_call("1003"));
    world.finish();
    assert_eq!(world.records()[0].sip_status, 408);
}

#[test]
fn one_poisoned_call_costs_no_other() {
    let mut world = world();
    world.expects_poison = true;
    world.plan("1001", Answering::after(1000).then(60_000, Act::Bye));
    world.plan("1002", Answering::after(1000).then(60_000, Act::Bye));
    world.call("1003", Placing::to("1001").then(10_000, Act::Options));
    world.call("1004", Placing::to("1002"));
    world.run_for(seconds(5));
    world.core().poison(CallId(1));
    world.run_for(seconds(10));
    assert!(!world.has_call("1001") && !world.has_call("1003"));
    assert!(world.has_call("1002") && world.has_call("1004"));
    assert_eq!(world.heard_by("1004"), "Stream");
    world.finish();
    assert_eq!(world.records()[0].sip_status, 500);
}

#[test]
fn a_draining_server_takes_no_calls_and_ends_the_last_ones_at_the_limit() {
    let mut world = world();
    world.plan("1001", Answering::after(1000));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(5));
    world.input(Input::Drain { limit: seconds(30) });
    world.call("1004", Placing::to("1002"));
    world.run_for(seconds(5));
    let refused = &world.sent_to("1004", "SIP/2.0 503")[0];
    assert!(header(refused, "Retry-After").is_some());
    assert!(world.has_call("1001") && !world.is_drained());
    world.run_for(seconds(30));
    assert!(!world.has_call("1001") && world.is_drained());
    assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&200));
    world.finish();
}

#[test]
fn whoever_does_not_answer_is_not_waited_for_when_the_server_gives_up() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(2000, Act::Die));
    world.call("1003", Placing::to("1001"));
    // One that is answered and never acknowledged.
    world.plan("1002", Answering::after(1000));
    world.call("1004", Placing { slow_ack: Some(seconds(3600)), ..Placing::to("1002") });
    world.run_for(seconds(10));
    world.input(Input::Drain { limit: seconds(0) });
    world.run_for(seconds(2));
    assert!(!world.is_drained());
    assert!(world.sent_to("1004", "BYE ").is_empty(), "INTEROP 2: it waits for the ACK");
    world.input(Input::GiveUp);
    world.run_for(seconds(1));
    assert!(world.is_drained());
    assert_eq!(world.sent_to("1004", "BYE ").len(), 1);
    assert_eq!(world.records().len(), 2);
    world.finish();
}

#[test]
fn a_call_over_a_connection_that_breaks_goes_on_over_the_next_one() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(30_000, Act::Bye));
    world.call("1002", Placing::to("1001"));
    world.run_for(seconds(5));
    world.disconnect("1002");
    world.run_for(seconds(40));
    assert_eq!(world.sent_to("1002", "BYE ").len(), 1);
    assert!(!world.has_call("1002"));
    world.finish();
}

#[test]
fn registrations_survive_a_restart() {
    let mut world = world();
    world.restart();
    world.run_for(seconds(1));
    world.plan("1001", Answering::after(1000).then(3000, Act::Bye));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(10));
    assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&200));
    world.finish();
}

#[test]
fn a_call_ends_at_its_limit() {
    let mut world = World::with(1, Link::GOOD, |config| config.sip.call_limit = Some(seconds(100)));
    world.register();
    world.plan("1001", Answering::after(1000));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(99));
    assert!(world.has_call("1001") && world.has_call("1003"));
    world.run_for(seconds(5));
    assert!(!world.has_call("1001") && !world.has_call("1003"));
    world.finish();
}

#[test]
fn a_fault_in_the_audio_of_a_call_ends_that_call() {
    let mut world = world();
    world.plan("1001", Answering::after(1000));
    world.plan("1002", Answering::after(1000));
    world.call("1003", Placing::to("1001"));
    world.call("1004", Placing::to("1002"));
    world.run_for(seconds(10));
    // Both legs of the first call; the media engine has closed them by itself.
    for stream in world.streams_of("1003") {
        world.input(Input::Media(MediaEvent::Broken { stream }));
    }
    world.run_for(seconds(5));
    assert!(!world.has_call("1003") && !world.has_call("1001"));
    assert!(world.has_call("1004") && world.has_call("1002"));
    let [record] = world.records() else { panic!("one record") };
    assert_eq!((record.sip_status, record.to.as_str()), (500, "1001"));
    world.finish();
}
