//! The story everything else stands on: a phone registers, a customer calls it through a trunk,
//! they talk, the customer hangs up. Told in the messages on the wire.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use std::time::Duration;

use b2bua::Core;
use b2bua::io::Input;
use media::command::{Hear, StreamId};

use world::{PHONE, TRUNK, World, in_dialog, invite, parse, reply, sdp};

#[test]
fn a_customer_talks_to_an_agent() {
    let mut world = World::new();
    world.register("1001", PHONE);

    world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
    let trying = world.sent_to(TRUNK);
    assert!(trying.iter().all(|text| text.starts_with("SIP/2.0 100 ")), "{trying:?}");
    let rung = world.sent_to(PHONE).remove(0);
    let to_phone = parse(&rung);
    assert!(rung.starts_with(&format!("INVITE sip:1001@{PHONE} SIP/2.0")), "{rung}");
    assert!(rung.contains("m=audio 20002 RTP/AVP 8 0 101"), "{rung}");
    assert!(rung.contains("+49171555"), "{rung}");
    assert!(rung.contains("X-Ticket: 42"), "allowed by the trunk's policy: {rung}");

    world.receive(PHONE, &reply(&to_phone, "180 Ringing", ""));
    assert!(world.sent_to(TRUNK)[0].starts_with("SIP/2.0 180 "));
    world.receive(PHONE, &reply(&to_phone, "200 OK", &sdp(5000, "")));
    let ack = world.sent_to(PHONE).remove(0);
    assert!(ack.starts_with("ACK sip:1001@"), "{ack}");
    let ok = world.sent_to(TRUNK).remove(0);
    assert!(ok.starts_with("SIP/2.0 200 OK") && ok.contains("m=audio 20000 RTP/AVP 8"), "{ok}");
    world.receive(TRUNK, &in_dialog("ACK", 1, &ok));
    assert_eq!(world.hears(StreamId(1)), Some(Hear::Stream(StreamId(2))));
    assert_eq!(world.hears(StreamId(2)), Some(Hear::Stream(StreamId(1))));

    world.run_for(Duration::from_secs(60));
    world.receive(TRUNK, &in_dialog("BYE", 2, &ok));
    assert!(world.sent_to(TRUNK)[0].starts_with("SIP/2.0 200 OK"));
    let bye = world.sent_to(PHONE).remove(0);
    assert!(bye.starts_with("BYE sip:1001@"), "{bye}");
    world.receive(PHONE, &reply(&parse(&bye), "200 OK", ""));

    let [record] = &world.records[..] else { panic!("{:?}", world.records) };
    assert_eq!((record.from.as_str(), record.to.as_str()), ("+49171555", "+4930100"));
    assert_eq!((record.sip_status, record.q850_cause), (200, 16));
    assert!((59_000..61_000).contains(&record.talk_ms), "{}", record.talk_ms);
    assert_eq!(record.legs.len(), 2);
    world.run_for(Duration::from_secs(64));
    assert!(world.core.is_at_rest(), "something is left");
}

#[test]
fn short_of_memory_new_calls_get_503_and_those_that_are_up_go_on() {
    let mut world = World::new();
    world.register("1001", PHONE);
    world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
    let to_phone = parse(&world.sent_to(PHONE).remove(0));
    world.receive(PHONE, &reply(&to_phone, "200 OK", &sdp(5000, "")));
    let ok = world.sent_to(TRUNK).pop().unwrap();
    world.receive(TRUNK, &in_dialog("ACK", 1, &ok));
    world.sent_to(PHONE);

    world.input(Input::ShortOfMemory(true));
    let second = invite("+4930100", &sdp(4002, "")).replace("Call-ID: ", "Call-ID: second-");
    let second = second.replace("branch=z9hG4bK", "branch=z9hG4bKsecond");
    world.receive(TRUNK, &second);
    let refused = world.sent_to(TRUNK).pop().unwrap();
    assert!(refused.starts_with("SIP/2.0 503 ") && refused.contains("Retry-After: "), "{refused}");
    world.receive(TRUNK, &in_dialog("OPTIONS", 2, &ok));
    assert!(world.sent_to(TRUNK)[0].starts_with("SIP/2.0 200 OK"), "the first call goes on");

    world.input(Input::ShortOfMemory(false));
    let third = second.replace("second", "third");
    world.receive(TRUNK, &third);
    assert!(world.sent_to(PHONE)[0].starts_with("INVITE "), "there is room again");
}

#[test]
fn a_stranger_reaches_nothing() {
    let mut world = World::new();
    world.register("1001", PHONE);
    for number in ["+4930100", "1001", "0441234"] {
        world.receive("127.0.0.66:5060", &invite(number, &sdp(4000, "")));
        let answer = world.sent_to("127.0.0.66:5060").remove(0);
        assert!(answer.starts_with("SIP/2.0 401 "), "{answer}");
    }
    assert_eq!(world.sent_to(PHONE), Vec::<String>::new());
    assert_eq!(world.sent_to(TRUNK), Vec::<String>::new());
    world.run_for(Duration::from_secs(33)); // past the REGISTER's own transactions
    assert!(world.core.is_at_rest(), "nothing is kept for strangers");
}

#[test]
fn a_snapshot_goes_on_as_the_original() {
    let mut world = World::new();
    world.register("1001", PHONE);
    world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
    let saved = serde_json::to_string(&world.core).unwrap();
    let restored: Core = serde_json::from_str(&saved).unwrap();
    assert!(restored == world.core, "the restored core differs");
}
