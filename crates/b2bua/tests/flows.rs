//! Phones that are not there, or there twice.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use std::time::Duration;

use b2bua::io::{Input, StoreWrite};
use base::WallTime;
use sip::message::Name;
use world::{PHONE, TRUNK, World, answer, in_dialog, invite, parse, register, reply, sdp};

const FIRST: &str = "127.0.0.1:7101";
const SECOND: &str = "127.0.0.1:7102";

fn statuses(sent: &[String]) -> Vec<u16> {
    sent.iter().filter_map(|text| text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()).collect()
}

#[test]
fn a_phone_that_answers_no_options_is_not_waited_for() {
    let mut config = b2bua::testing::config();
    config.registrar.qualify = Some(Duration::from_secs(30));
    let mut world = World::with(config);
    world.register("1001", PHONE);
    world.run_for(Duration::from_secs(200));
    assert!(world.sent_to(PHONE).iter().any(|text| text.starts_with("OPTIONS ")));
    world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
    assert_eq!(statuses(&world.sent_to(TRUNK)), [100, 480]);
    assert!(world.sent_to(PHONE).iter().all(|text| !text.starts_with("INVITE ")));
    // It has only to register again.
    let again = register("1001", PHONE, 3, "");
    world.receive(PHONE, &again);
    let challenge = world.sent_to(PHONE).into_iter().find(|text| text.starts_with("SIP/2.0 401 "));
    let proof = answer(&challenge.unwrap(), "REGISTER", "1001");
    world.receive(PHONE, &register("1001", PHONE, 4, &proof));
    let other =
        invite("+4930100", &sdp(4000, "")).replace("call-1", "call-2").replace("bKi1", "bKi2");
    world.receive(TRUNK, &other);
    assert!(world.sent_to(PHONE).iter().any(|text| text.starts_with("INVITE ")));
}

/// One flow of a device.
fn flow(world: &mut World, at: &str, reg_id: u32) {
    let contact = |text: String| {
        let outbound = format!(">;+sip.instance=\"<urn:uuid:1>\";reg-id={reg_id}\r\nMax");
        let text = text.replace(">\r\nMax", &outbound);
        text.replace("Call-ID: reg", &format!("Call-ID: flow{reg_id}"))
    };
    world.receive(at, &contact(register("1001", at, 1, "")));
    let proof = answer(&world.sent_to(at).remove(0), "REGISTER", "1001");
    world.receive(at, &contact(register("1001", at, 2, &proof)));
    assert_eq!(statuses(&world.sent_to(at)), [200]);
}

/// RFC 5626 §7.
#[test]
fn when_one_flow_of_a_device_fails_the_other_is_tried() {
    for refusal in [None, Some("430 Flow Failed")] {
        let mut world = World::new();
        flow(&mut world, FIRST, 1);
        flow(&mut world, SECOND, 2);
        world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
        assert!(world.sent_to(FIRST).is_empty(), "one device rings once");
        let rung = world.sent_to(SECOND).remove(0);
        match refusal {
            Some(refusal) => world.receive(SECOND, &reply(&parse(&rung), refusal, "")),
            None => world.run_for(Duration::from_secs(5)),
        }
        let rung = world.sent_to(FIRST).remove(0);
        assert!(rung.starts_with(&format!("INVITE sip:1001@{FIRST} ")), "{rung}");
        world.receive(FIRST, &reply(&parse(&rung), "200 OK", &sdp(5000, "")));
        assert_eq!(statuses(&world.sent_to(TRUNK)).last(), Some(&200), "{refusal:?}");
    }
}

/// A proxy that the phone of 1001 registers through, and how that proxy is reached.
const EDGE: &str = "127.0.0.1:7200";
const PATH: [&str; 2] = ["<sip:edge.example;lr>", "<sip:inner.example:5070;transport=tcp;lr>"];
/// Where the phone is, behind it.
const CONTACT: &str = "sip:1001@10.1.1.1:5062";

fn register_through_edge(world: &mut World) {
    let through = |text: String| {
        let [edge, inner] = PATH;
        let path = format!("Supported: path\r\nPath: {edge}\r\nPath: {inner}\r\nMax-Forwards");
        let text = text.replace("Max-Forwards", &path);
        text.replace(&format!("<sip:1001@{EDGE}>"), &format!("<{CONTACT}>"))
    };
    world.receive(EDGE, &through(register("1001", EDGE, 1, "")));
    let proof = answer(&world.sent_to(EDGE).remove(0), "REGISTER", "1001");
    world.receive(EDGE, &through(register("1001", EDGE, 2, &proof)));
    assert_eq!(statuses(&world.sent_to(EDGE)), [200]);
}

fn routes(text: &str) -> Vec<String> {
    parse(text).headers.get_all(Name::Route).map(str::to_owned).collect()
}

/// What the proxy got, which has to begin so.
fn at_edge(world: &mut World, start: &str) -> String {
    let sent = world.sent_to(EDGE).into_iter().find(|text| text.starts_with(start));
    assert_eq!(world.sent_to("10.1.1.1:5062"), [""; 0], "nothing goes past the proxy");
    assert!(world.asked.is_empty(), "and nothing is looked up");
    sent.unwrap()
}

/// RFC 3327 §5.3.
#[test]
fn a_phone_is_called_by_the_path_that_it_registered_through() {
    let mut world = World::new();
    register_through_edge(&mut world);
    let text = invite("+4930100", &sdp(4000, ""));
    world.receive(TRUNK, &text);
    let rung = at_edge(&mut world, &format!("INVITE {CONTACT} SIP/2.0\r\n"));
    assert_eq!(routes(&rung), PATH);
    // RFC 3261 §9.1: a CANCEL goes the same way.
    world.receive(EDGE, &reply(&parse(&rung), "180 Ringing", ""));
    let head = text.split("X-Ticket").next().unwrap();
    world.receive(TRUNK, &(head.replace("INVITE", "CANCEL") + "Content-Length: 0\r\n\r\n"));
    let cancel = at_edge(&mut world, &format!("CANCEL {CONTACT} SIP/2.0\r\n"));
    assert_eq!(routes(&cancel), PATH);
}

/// RFC 3261 §12.1.2: inside the dialog the proxies are those that stayed in it.
#[test]
fn a_dialog_behind_a_path_goes_by_its_record_routes() {
    let edge = PATH[0];
    for (record_route, route) in
        [(format!("Record-Route: {edge}\r\n"), &[edge][..]), (String::new(), &[])]
    {
        let mut world = World::new();
        register_through_edge(&mut world);
        world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
        let rung = at_edge(&mut world, "INVITE ");
        let answer = reply(&parse(&rung), "200 OK", &sdp(5000, ""));
        let contact = format!("{record_route}Contact: <{CONTACT}>");
        world.receive(EDGE, &answer.replace(&format!("Contact: <sip:1001@{PHONE}>"), &contact));
        let ack = at_edge(&mut world, &format!("ACK {CONTACT} SIP/2.0\r\n"));
        let ok = world.sent_to(TRUNK).pop().unwrap();
        world.receive(TRUNK, &in_dialog("ACK", 1, &ok));
        world.receive(TRUNK, &in_dialog("BYE", 2, &ok));
        let bye = at_edge(&mut world, &format!("BYE {CONTACT} SIP/2.0\r\n"));
        assert_eq!(routes(&ack), route, "{record_route}");
        assert_eq!(routes(&bye), route, "{record_route}");
    }
}

#[test]
fn a_phone_is_asked_whether_it_lives_by_its_path() {
    let mut config = b2bua::testing::config();
    config.registrar.qualify = Some(Duration::from_secs(30));
    let mut world = World::with(config);
    register_through_edge(&mut world);
    world.run_for(Duration::from_secs(35));
    let options = at_edge(&mut world, &format!("OPTIONS {CONTACT} SIP/2.0\r\n"));
    assert_eq!(routes(&options), PATH);
}

#[test]
fn a_path_outlives_a_restart() {
    let mut world = World::new();
    register_through_edge(&mut world);
    let bindings = world.stored.into_iter().filter_map(|write| match write {
        StoreWrite::Bind(record) => Some(*record),
        StoreWrite::Unbind { .. } => None,
    });
    let wall = WallTime(1_700_000_000_000 + 60_000);
    let mut world = World::new();
    world.input(Input::Restore { wall, bindings: bindings.collect() });
    world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
    let rung = at_edge(&mut world, &format!("INVITE {CONTACT} SIP/2.0\r\n"));
    assert_eq!(routes(&rung), PATH);
}
