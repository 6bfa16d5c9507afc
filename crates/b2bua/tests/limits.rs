//! What a trunk may carry, both ways: who is one too many is told so and when to come again, nobody
//! rings for it, and who has gone makes room.
#![allow(clippy::unwrap_used)]

mod world;

use std::time::Duration;

use b2bua::config::{Config, Trunk};
use b2bua::io::Event;
use world::{PHONE, TRUNK, World, answer, parse, reply, sdp};

const BACKUP: &str = "127.0.0.3:5060";

fn world(change: impl FnOnce(&mut Config)) -> World {
    let mut config = b2bua::testing::config();
    change(&mut config);
    let mut world = World::with(config);
    world.register("1001", PHONE);
    world
}

/// A call of its own number: INVITE, ACK or CANCEL of it, from the customer.
fn customer(method: &str, call: u32) -> String {
    let body = if method == "INVITE" { sdp(4000, "") } else { String::new() };
    format!(
        "{method} sip:+4930100@127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {TRUNK};branch=z9hG4bKin{call}\r\n\
         From: <sip:+49171555@carrier.test>;tag=c{call}\r\nTo: <sip:+4930100@127.0.0.1>\r\n\
         Call-ID: in-{call}\r\nCSeq: 1 {method}\r\nContact: <sip:customer@{TRUNK}>\r\n\
         Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The customer calls; what it is told, the 100 apart, and how often the phone rings for it.
fn called_in(world: &mut World, call: u32) -> (Vec<String>, usize) {
    world.receive(TRUNK, &customer("INVITE", call));
    let told = world.sent_to(TRUNK).into_iter().filter(|text| !text.contains(" 100 Trying"));
    let told = told.collect();
    let rung = world.sent_to(PHONE);
    for invite in &rung {
        world.rung.clone_from(invite);
    }
    (told, rung.len())
}

/// A refusal of who came too much.
fn is_refused(told: &[String]) {
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("SIP/2.0 503 "), "{}", told[0]);
    let after = told[0].lines().find_map(|line| line.strip_prefix("Retry-After: "));
    let after: u32 = after.unwrap_or_else(|| panic!("{}", told[0])).parse().unwrap();
    assert!((1..=120).contains(&after), "{}", told[0]);
}

fn limits_told(world: &World) -> usize {
    world.events.iter().filter(|event| matches!(event, Event::Limit { .. })).count()
}

#[test]
fn a_trunk_s_calls_at_once_are_counted_on_the_way_in() {
    let mut world = world(|config| config.trunks[0].calls_max = 2);
    for call in [2, 1] {
        assert_eq!(called_in(&mut world, call), (vec![], 1), "call {call} rings");
    }
    let invite = parse(&world.rung);
    world.receive(PHONE, &reply(&invite, "180 Ringing", ""));
    world.sent.clear();
    let (told, rung) = called_in(&mut world, 3);
    is_refused(&told);
    assert_eq!((rung, limits_told(&world)), (0, 1));
    // One goes, and there is room for one and no more.
    world.receive(TRUNK, &customer("CANCEL", 1));
    assert!(world.sent_to(PHONE)[0].starts_with("CANCEL "));
    world.receive(PHONE, &reply(&invite, "487 Request Terminated", ""));
    world.sent.clear();
    assert_eq!(called_in(&mut world, 4), (vec![], 1));
    is_refused(&called_in(&mut world, 5).0);
}

#[test]
fn a_trunk_s_calls_per_second_are_counted_on_the_way_in() {
    let mut world = world(|config| config.trunks[0].calls_per_second_max = 2);
    world.run_for(Duration::from_secs(5));
    world.sent.clear();
    let all: Vec<_> = (0..6).map(|call| called_in(&mut world, call)).collect();
    let taken = all.iter().filter(|(told, rung)| told.is_empty() && *rung == 1).count();
    assert_eq!(taken, 2, "{all:?}");
    let refused: Vec<_> = all.iter().filter(|(told, _)| !told.is_empty()).collect();
    refused.iter().for_each(|(told, _)| is_refused(told));
    assert_eq!((refused.len(), limits_told(&world)), (4, 4));
    // What is refused takes nothing of the next second.
    world.run_for(Duration::from_secs(1));
    world.sent.clear();
    assert_eq!(called_in(&mut world, 10).1, 1);
}

/// 1001 dials out; who is asked, and what the phone is told, the 100 apart.
fn called_out(world: &mut World, call: u32) -> (Vec<&'static str>, Vec<String>) {
    let body = sdp(5000, "");
    let request = |cseq: u32, proof: &str| {
        format!(
            "INVITE sip:0171999@hookflash.test SIP/2.0\r\n\
             Via: SIP/2.0/UDP {PHONE};branch=z9hG4bKout{call}-{cseq}\r\n\
             From: <sip:1001@hookflash.test>;tag=p{call}\r\n\
             To: <sip:0171999@hookflash.test>\r\nCall-ID: out-{call}\r\nCSeq: {cseq} INVITE\r\n\
             Contact: <sip:1001@{PHONE}>\r\nMax-Forwards: 70\r\n{proof}\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    world.receive(PHONE, &request(1, ""));
    let challenge = world.sent_to(PHONE).remove(0);
    world.receive(PHONE, &request(2, &answer(&challenge, "INVITE", "1001")));
    let asked = [("carrier", TRUNK), ("backup", BACKUP)];
    let asked = asked.into_iter().filter(|(_, at)| !world.sent_to(at).is_empty());
    let asked = asked.map(|(name, _)| name).collect();
    let told = world.sent_to(PHONE).into_iter().filter(|text| !text.contains(" 100 Trying"));
    (asked, told.collect())
}

/// A full trunk is passed over for the next one; when all are full, the caller is told so.
#[test]
fn a_trunk_s_limits_are_kept_on_the_way_out() {
    let at_once: fn(&mut Trunk) = |trunk| trunk.calls_max = 1;
    let per_second: fn(&mut Trunk) = |trunk| trunk.calls_per_second_max = 1;
    for limit in [at_once, per_second] {
        let mut world = world(|config| config.trunks.iter_mut().for_each(limit));
        assert_eq!(called_out(&mut world, 1), (vec!["carrier"], vec![]));
        assert_eq!(called_out(&mut world, 2), (vec!["backup"], vec![]));
        let (asked, told) = called_out(&mut world, 3);
        assert_eq!(asked, Vec::<&str>::new());
        is_refused(&told);
        assert!(limits_told(&world) >= 2);
    }
}

/// ATTACKS 17.
#[test]
fn an_extension_s_calls_per_minute_are_counted() {
    let mut world = world(|config| config.extensions[0].calls_per_minute_max = 3);
    for call in 1..=3 {
        assert_eq!(called_out(&mut world, call), (vec!["carrier"], vec![]), "call {call}");
    }
    assert_eq!(limits_told(&world), 0);
    for (refused, call) in (1..).zip([4, 5]) {
        let (asked, told) = called_out(&mut world, call);
        assert_eq!(asked, Vec::<&str>::new());
        is_refused(&told);
        assert!(told[0].contains("text=\"extension calls_per_minute_max\"\r\n"), "{}", told[0]);
        assert_eq!(limits_told(&world), refused);
    }
    let limit = Event::Limit { limit: "extension calls_per_minute_max" };
    assert_eq!(world.events.iter().filter(|event| **event == limit).count(), 2);
    // Who calls it is another matter.
    assert_eq!(called_in(&mut world, 6), (vec![], 1));
    // A third of a minute is worth one call, the whole of it all three.
    world.run_for(Duration::from_secs(20));
    world.sent.clear();
    assert_eq!(called_out(&mut world, 7).0, ["carrier"]);
    is_refused(&called_out(&mut world, 8).1);
    world.run_for(Duration::from_secs(60));
    world.sent.clear();
    for call in 9..=11 {
        assert_eq!(called_out(&mut world, call).0, ["carrier"], "call {call}");
    }
    is_refused(&called_out(&mut world, 12).1);
}

/// Calls in and out of a trunk are counted together.
#[test]
fn a_trunk_that_is_full_of_calls_in_takes_none_out() {
    let mut world = world(|config| config.trunks[0].calls_max = 1);
    assert_eq!(called_in(&mut world, 1), (vec![], 1));
    assert_eq!(called_out(&mut world, 2), (vec!["backup"], vec![]));
}
