//! How each leg's audio is protected is in its snapshot and in the call record.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use b2bua::io::{Event, Input};
use call::record::LegProtection;
use media::command::{MediaEvent, StreamId};
use media::quality::{Direction, QualityChange, Rating};

use world::{PHONE, TRUNK, World, hang_up, in_dialog, invite, parse, reply, sdp};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";

/// Protection of the customer's and the agent's leg, as the last event shows it, and as the record
/// does.
fn shown(offer: &str) -> ([Option<LegProtection>; 2], [Option<LegProtection>; 2]) {
    let mut config = b2bua::testing::config();
    config.interactions.events = true;
    let mut world = World::with(config);
    world.register("1001", PHONE);
    world.receive(TRUNK, &invite("+4930100", &sdp(4000, offer)));
    world.rung = world.sent_to(PHONE).remove(0);
    let answer = reply(&parse(&world.rung), "200 OK", &sdp(5000, ""));
    world.receive(PHONE, &answer);
    let ok = world.sent_to(TRUNK).into_iter().find(|text| text.starts_with("SIP/2.0 200 OK"));
    let ok = ok.unwrap();
    world.receive(TRUNK, &in_dialog("ACK", 1, &ok));
    let (stream, direction) = (StreamId(1), Direction::FromPeer);
    let change = QualityChange::Recovered(Rating::default());
    world.input(Input::Media(MediaEvent::Quality { stream, direction, change }));
    let last = world.events.iter().rev().find_map(|event| match event {
        Event::Interaction(event) => Some(&event.data.interaction),
        _ => None,
    });
    let participants = &last.unwrap().participants;
    let shown = [0, 1].map(|n: usize| participants[n].legs[0].protection);
    hang_up(&mut world, &ok);
    let legs = &world.records[0].legs;
    (shown, [0, 1].map(|n: usize| legs[n].protection))
}

#[test]
fn a_leg_shows_whether_it_is_protected() {
    use LegProtection::{None, Sdes};
    let key = |suite: &str| format!("a=crypto:1 {suite} inline:{KEY}\r\n");
    for (offer, customer) in [
        (String::new(), None),
        (key("AES_CM_128_HMAC_SHA1_80"), Sdes),
        // RFC 8643: keys that we do not know are an offer of RTP in the clear.
        (key("AES_256_CM_HMAC_SHA1_80"), None),
    ] {
        let expected = [Some(customer), Some(None)];
        assert_eq!(shown(&offer), (expected, expected), "{offer}");
    }
}
