//! Desk phones that say that they can be driven by NOTIFY: the API's hold and resume are theirs (S11, H3).
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use std::time::Duration;

use b2bua::api::{Act, Actor, Command, DestinationType, RequestId, To};
use b2bua::io::Input;
use media::command::{Hear, MediaCommand, StreamId};
use sip::message::{Name, Request};

use world::{PHONE, TRUNK, World, in_dialog, invite, parse, reply, sdp};

const CUSTOMER: StreamId = StreamId(1);
const AGENT: StreamId = StreamId(2);

/// A customer talks to agent 1001, whose phone says with its answer what it can be driven by.
fn talk(allow_events: &str) -> World {
    let mut world = World::new();
    world.register("1001", PHONE);
    world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
    world.rung = world.sent_to(PHONE).remove(0);
    let answer = reply(&parse(&world.rung), "200 OK", &sdp(5000, ""));
    let answer = answer.replace("Contact: ", &format!("{allow_events}Contact: "));
    world.receive(PHONE, &answer);
    let sent = world.sent_to(TRUNK);
    let ok = sent.iter().find(|text| text.starts_with("SIP/2.0 200 OK")).unwrap();
    world.receive(TRUNK, &in_dialog("ACK", 1, ok));
    world.sent.clear();
    world
}

const BOTH: &str = "Allow-Events: talk, hold, conference\r\n";

fn ask(world: &mut World, act: Act) {
    let interaction = format!("{:x}-1", 1_700_000_000_000_u64);
    let command = Command::Act { interaction, participant: None, act };
    let actor = Actor::Agent { extension: "1001".to_owned() };
    world.input(Input::Command { request: RequestId(1), actor, command: Box::new(command) });
}

fn hold() -> Act {
    Act::Hold { release_line: false }
}

/// The events of the NOTIFYs that the phone got, each answered so.
fn notified(world: &mut World, status: &str) -> Vec<String> {
    let requests = world.sent_to(PHONE).into_iter().filter(|text| text.starts_with("NOTIFY "));
    let notifies: Vec<Request> = requests.map(|text| parse(&text)).collect();
    let mut events = Vec::new();
    for notify in notifies {
        world.receive(PHONE, &reply(&notify, status, ""));
        events.push(notify.headers.get(Name::Event).unwrap().to_owned());
    }
    events
}

fn customer_hears(world: &World) -> Hear {
    world.hears(CUSTOMER).unwrap()
}

#[test]
fn s11_h3_the_api_holds_and_resumes_and_the_phone_shows_it() {
    let mut world = talk(BOTH);
    ask(&mut world, hold());
    assert_eq!(customer_hears(&world), Hear::Music, "whatever the phone does");
    assert_eq!(notified(&mut world, "200 OK"), ["hold"]);
    world.reinvite(1, "sendonly");
    assert_eq!(customer_hears(&world), Hear::Music);
    ask(&mut world, Act::Resume);
    assert_eq!(notified(&mut world, "200 OK"), ["talk"]);
    assert_eq!(customer_hears(&world), Hear::Music, "nothing is heard of a phone that holds");
    world.reinvite(2, "sendrecv");
    assert_eq!(customer_hears(&world), Hear::Stream(AGENT));
}

#[test]
fn h3_the_phones_own_key_takes_back_what_the_api_held() {
    let mut world = talk(BOTH);
    ask(&mut world, hold());
    notified(&mut world, "200 OK");
    world.reinvite(1, "sendonly");
    world.reinvite(2, "sendrecv");
    assert_eq!(customer_hears(&world), Hear::Stream(AGENT));
    ask(&mut world, hold());
    assert_eq!(customer_hears(&world), Hear::Music, "and may be held again");
}

#[test]
fn s11_a_phone_that_is_about_to_hold_is_told_to_go_on() {
    let mut world = talk(BOTH);
    ask(&mut world, hold());
    ask(&mut world, Act::Resume);
    let mut events = notified(&mut world, "200 OK");
    events.dedup();
    assert_eq!(events, ["hold", "talk"]);
    // It does both.
    world.reinvite(1, "sendonly");
    world.reinvite(2, "sendrecv");
    assert_eq!(customer_hears(&world), Hear::Stream(AGENT));
}

#[test]
fn s11_a_phone_that_holds_by_itself_is_taken_back_by_the_api() {
    let mut world = talk(BOTH);
    world.reinvite(1, "sendonly");
    assert_eq!(customer_hears(&world), Hear::Music);
    ask(&mut world, Act::Resume);
    assert_eq!(notified(&mut world, "200 OK"), ["talk"]);
    world.reinvite(2, "sendrecv");
    assert_eq!(customer_hears(&world), Hear::Stream(AGENT));
}

#[test]
fn s11_only_what_the_phone_says_it_knows_is_asked_of_it() {
    for allow_events in ["", "Allow-Events: talk\r\n", "Allow-Events: holdings\r\n"] {
        let mut world = talk(allow_events);
        ask(&mut world, hold());
        assert_eq!(notified(&mut world, "200 OK"), [""; 0], "{allow_events}");
        assert_eq!(customer_hears(&world), Hear::Music, "{allow_events}");
        ask(&mut world, Act::Resume);
        assert_eq!(notified(&mut world, "200 OK"), [""; 0], "{allow_events}");
        assert_eq!(customer_hears(&world), Hear::Stream(AGENT), "{allow_events}");
    }
}

#[test]
fn s11_a_phone_that_refuses_is_held_on_our_side_only() {
    let mut world = talk(BOTH);
    ask(&mut world, hold());
    assert_eq!(notified(&mut world, "489 Bad Event"), ["hold"]);
    assert_eq!(customer_hears(&world), Hear::Music);
    ask(&mut world, Act::Resume);
    notified(&mut world, "489 Bad Event");
    assert_eq!(customer_hears(&world), Hear::Stream(AGENT));
    assert!(world.records.is_empty());
}

#[test]
fn h4_a_consult_finds_the_phone_open() {
    let mut world = talk(BOTH);
    world.register("1002", "127.0.0.1:7002");
    ask(&mut world, hold());
    notified(&mut world, "200 OK");
    world.reinvite(1, "sendonly");
    let to = To { to: "1002".to_owned(), destination_type: DestinationType::Agent };
    ask(&mut world, Act::Consult { to, hold_participants: true });
    assert_eq!(notified(&mut world, "200 OK"), ["talk"]);
    world.reinvite(2, "sendrecv");
    assert_eq!(customer_hears(&world), Hear::Music, "the customer waits all the while");
}

#[test]
fn a_phone_that_holds_may_be_silent_for_as_long_as_it_likes() {
    let mut config = b2bua::testing::config();
    config.media.rtp_timeout = Some(Duration::from_secs(60));
    let mut world = World::with(config);
    world::talk(&mut world);
    let watched = |world: &World, stream: StreamId| {
        let mut told = world.media.iter().rev();
        told.find_map(|command| match command {
            MediaCommand::Configure { stream: s, config } if *s == stream => {
                Some(config.rtp_timeout.is_some())
            }
            _ => None,
        })
    };
    assert_eq!(watched(&world, AGENT), Some(true));
    for (cseq, direction) in [(2, "sendonly"), (4, "inactive")] {
        world.reinvite(cseq, direction);
        assert_eq!(watched(&world, AGENT), Some(false), "{direction}: INTEROP 4");
        assert_eq!(watched(&world, CUSTOMER), Some(true), "the other one goes on");
        world.reinvite(cseq + 1, "sendrecv");
        assert_eq!(watched(&world, AGENT), Some(true));
    }
}
