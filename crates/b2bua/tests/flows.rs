//! Phones that are not there, or there twice.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use std::time::Duration;

use world::{PHONE, TRUNK, World, answer, invite, parse, register, reply, sdp};

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
