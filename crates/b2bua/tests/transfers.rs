//! Calls that phones pass on and take over: who is said to refer (RFC 3892), and whose place an INVITE
//! with Replaces takes (RFC 3891 §3).
#![allow(clippy::unwrap_used)]

mod world;

use b2bua::config::Config;
use media::command::{Hear, StreamId};
use sip::message::Name;
use world::{PHONE, TRUNK, World, answer, in_dialog, invite, of_callee, parse, reply, sdp, talk};

/// Another phone of agent 1001.
const SECOND: &str = "127.0.0.1:7011";
/// The phone of agent 1002.
const COLLEAGUE: &str = "127.0.0.1:7002";

fn world(change: impl FnOnce(&mut Config)) -> World {
    let mut config = b2bua::testing::config();
    change(&mut config);
    World::with(config)
}

fn statuses(sent: &[String]) -> Vec<u16> {
    sent.iter().filter_map(|text| text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()).collect()
}

/// The phone in a call by [`talk`] asks for a transfer; what it is told.
fn refer(world: &mut World, to: &str, headers: &str) -> Vec<String> {
    let headers = format!("Contact: <sip:1001@{PHONE}>\r\nRefer-To: {to}\r\n{headers}");
    let text = of_callee(&parse(&world.rung), "REFER", 7, &headers);
    world.receive(PHONE, &text.replace(TRUNK, PHONE));
    world.sent_to(PHONE)
}

fn referred_by(invite: &str) -> Vec<String> {
    parse(invite).headers.get_all(Name::ReferredBy).map(str::to_owned).collect()
}

fn invited(sent: Vec<String>) -> Option<String> {
    sent.into_iter().find(|text| text.starts_with("INVITE "))
}

/// INTEROP 8.
#[test]
fn whom_a_call_is_transferred_to_is_told_who_refers() {
    let own = "\"Agent 1001\" <sip:1001@hookflash.test>";
    for (said, told) in [
        ("Referred-By: <sip:1001@hookflash.test>\r\n", "<sip:1001@hookflash.test>"),
        (
            "b: \"The Desk\" <sip:1001@127.0.0.1;user=phone>;cid=\"1@a\"\r\n",
            "\"The Desk\" <sip:1001@127.0.0.1;user=phone>",
        ),
        ("Referred-By: tel:+4930555\r\n", "<tel:+4930555>"),
        ("Referred-By: <sip:a@10.0.0.9:5070>\r\n", "<sip:a@10.0.0.9:5070>"),
        (
            "Referred-By: \"\x1b[31mA\x07\" <sip:1001@localhost>\r\n",
            "\"[31mA\" <sip:1001@localhost>",
        ),
        // Nobody, nobody who can be told, and those of the house that it is not (ATTACKS 12).
        ("", own),
        ("Referred-By: <http://evil.example>\r\n", own),
        ("Referred-By: <sip:1001@a>, <sip:1001@b>\r\n", own),
        ("Referred-By: <sip:1002@hookflash.test>\r\n", own),
        ("Referred-By: <sips:boss@localhost;x=y>\r\n", own),
        ("Referred-By: <tel:1002>\r\n", own),
    ] {
        let mut world = world(|config| config.extensions[0].caller_id = Some("+4930555".into()));
        talk(&mut world);
        world.register("1002", COLLEAGUE);
        let sent = refer(&mut world, "<sip:1002@hookflash.test>", said);
        assert_eq!(statuses(&sent), [202], "{said}");
        let invite = invited(world.sent_to(COLLEAGUE)).unwrap();
        assert_eq!(referred_by(&invite), [told], "{said}");
        let from = parse(&invite).headers.get(Name::From).unwrap().to_owned();
        assert!(from.starts_with("\"Customer\" <sip:+49171555@hookflash.test>"), "{from}");
    }
}

/// Neither a name nor a number of the house, even where the trunk lists the header.
#[test]
fn a_trunk_is_not_told_who_refers() {
    let mut world = world(|config| config.trunks[0].pass_headers.push("Referred-By".into()));
    talk(&mut world);
    let referrer = "Referred-By: \"Agent 1001\" <sip:1001@hookflash.test>\r\n";
    let sent = refer(&mut world, "<sip:0171999@hookflash.test>", referrer);
    assert_eq!(statuses(&sent), [202]);
    let invite = invited(world.sent_to(TRUNK)).unwrap();
    assert!(invite.starts_with("INVITE sip:171999@127.0.0.2:5060 "), "{invite}");
    for secret in ["Referred-By", "Agent 1001", ":1001@"] {
        assert!(!invite.contains(secret), "{secret}: {invite}");
    }
}

#[test]
fn who_calls_without_being_transferred_was_referred_by_nobody() {
    let mut world = world(|_| {});
    talk(&mut world);
    assert_eq!(referred_by(&world.rung), [""; 0]);
}

/// A request of the phone of 1001 in the call that it dialled and `ok` answered.
fn of_caller(method: &str, cseq: u32, call_id: &str, ok: &str) -> String {
    let customer = "\"Customer\" <sip:+49171555@carrier.test>;tag=c1";
    let text =
        in_dialog(method, cseq, ok).replace("Call-ID: call-1", &format!("Call-ID: {call_id}"));
    text.replace(customer, "<sip:1001@hookflash.test>;tag=phone").replace(TRUNK, PHONE)
}

fn tag_of(text: &str, header: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(header)).unwrap();
    line.split("tag=").nth(1).unwrap().to_owned()
}

/// Those who talk already are joined: nobody is called who could be told anything.
#[test]
fn an_attended_transfer_calls_nobody_anew() {
    let mut world = world(|_| {});
    talk(&mut world);
    world.register("1002", COLLEAGUE);
    world.reinvite(2, "sendonly");
    let rung = world.dial("second", "1002", COLLEAGUE).unwrap();
    assert_eq!(referred_by(&rung), [""; 0], "a consult is no transfer");
    world.receive(COLLEAGUE, &reply(&parse(&rung), "200 OK", &sdp(5002, "")));
    let ok = world.sent_to(PHONE).into_iter().rfind(|text| text.contains(" 200 OK")).unwrap();
    world.receive(PHONE, &of_caller("ACK", 2, "second", &ok));
    world.sent.clear();
    let ours = tag_of(&ok, "To:");
    let to =
        format!("<sip:1002@hookflash.test?Replaces=second%3Bto-tag%3D{ours}%3Bfrom-tag%3Dphone>");
    let sent = refer(&mut world, &to, "Referred-By: <sip:1001@hookflash.test>\r\n");
    assert_eq!(statuses(&sent), [202]);
    assert!(sent.iter().any(|text| text.starts_with("NOTIFY ") && text.contains("SIP/2.0 200")));
    assert_eq!(world.sent_to(COLLEAGUE), [""; 0]);
    assert_eq!(world.hears(StreamId(1)), Some(Hear::Stream(StreamId(4))));
    assert_eq!(world.hears(StreamId(4)), Some(Hear::Stream(StreamId(1))));
}

/// The phone of `number` at `at` sends an INVITE with these headers: the final answer.
fn taken_by(world: &mut World, (number, at): (&str, &str), headers: &str) -> u16 {
    let call = world.now.as_nanos(); // none like another
    let body = sdp(5004, "");
    let request = |method: &str, cseq: u32, extra: &str| {
        format!(
            "{method} sip:1001@hookflash.test SIP/2.0\r\n\
             Via: SIP/2.0/UDP {at};branch=z9hG4bK{call}-{cseq}\r\n\
             From: <sip:{number}@hookflash.test>;tag=taker\r\nTo: <sip:1001@hookflash.test>\r\n\
             Call-ID: {call}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{number}@{at}>\r\n\
             Max-Forwards: 70\r\n{headers}{extra}Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    world.receive(at, &request("INVITE", 1, ""));
    let challenge = world.sent_to(at).pop().unwrap();
    let proof = answer(&challenge, "INVITE", number);
    world.receive(at, &request("INVITE", 2, &proof));
    *statuses(&world.sent_to(at)).last().unwrap()
}

/// The dialog of our INVITE with the phone, as the phone's other end of it knows it.
fn dialog_of(rung: &str) -> String {
    let call_id = parse(rung).headers.get(Name::CallId).unwrap().to_owned();
    format!("{call_id};to-tag={};from-tag=phone", tag_of(rung, "From:"))
}

const ANOTHER_PHONE: (&str, &str) = ("1001", SECOND);
const ANOTHER_AGENT: (&str, &str) = ("1002", COLLEAGUE);

/// RFC 3891 §3.
#[test]
fn an_invite_takes_the_place_of_a_dialog_that_is_up_and_its_own() {
    for (who, headers, status) in [
        (ANOTHER_PHONE, "Replaces: THIS\r\n", 200),
        (ANOTHER_AGENT, "Replaces: THIS\r\n", 403),
        (ANOTHER_PHONE, "Replaces: THIS;early-only\r\n", 486),
        (ANOTHER_PHONE, "Replaces: none;to-tag=1;from-tag=2\r\n", 481),
        (ANOTHER_PHONE, "Replaces: xTHIS\r\n", 481),
        (ANOTHER_PHONE, "Replaces: THISx\r\n", 481),
        (ANOTHER_PHONE, "Replaces: THIS\r\nReplaces: THIS\r\n", 400),
        (ANOTHER_PHONE, "Replaces: THIS, none;to-tag=1;from-tag=2\r\n", 400),
        (ANOTHER_PHONE, "Replaces: THIS\r\nJoin: THIS\r\n", 400),
        (ANOTHER_PHONE, "Replaces: none\r\n", 400),
    ] {
        let mut world = world(|_| {});
        talk(&mut world);
        let headers = headers.replace("THIS", &dialog_of(&world.rung));
        assert_eq!(taken_by(&mut world, who, &headers), status, "{headers}");
        let sent = world.sent_to(PHONE);
        let hung_up = sent.iter().filter(|text| text.starts_with("BYE ")).count();
        assert_eq!((sent.len(), hung_up), if status == 200 { (1, 1) } else { (0, 0) }, "{headers}");
        assert!(world.sent_to(TRUNK).is_empty() && world.records.is_empty(), "{headers}");
        let heard = if status == 200 { 3 } else { 2 };
        assert_eq!(world.hears(StreamId(1)), Some(Hear::Stream(StreamId(heard))), "{headers}");
    }
}

/// RFC 3891 §3: of early dialogs only those that we have begun.
#[test]
fn a_call_that_rings_is_taken_from_its_phone_and_not_from_its_caller() {
    for (who, pickup, of_phone, status) in [
        (ANOTHER_PHONE, false, true, 200),
        (ANOTHER_AGENT, true, true, 200),
        (ANOTHER_AGENT, false, true, 403),
        (ANOTHER_PHONE, true, false, 481),
    ] {
        let mut world = world(|config| config.interactions.pickup = pickup);
        world.register("1001", PHONE);
        world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
        let rung = world.sent_to(PHONE).remove(0);
        world.receive(PHONE, &reply(&parse(&rung), "180 Ringing", ""));
        let ringing = world.sent_to(TRUNK).pop().unwrap();
        let dialog = match of_phone {
            true => dialog_of(&rung),
            false => format!("call-1;to-tag={};from-tag=c1", tag_of(&ringing, "To:")),
        };
        let headers = format!("Replaces: {dialog};early-only\r\n");
        assert_eq!(taken_by(&mut world, who, &headers), status, "{who:?} {pickup}");
        let cancelled = world.sent_to(PHONE).iter().any(|text| text.starts_with("CANCEL "));
        assert_eq!(cancelled, status == 200, "{who:?} {pickup}");
        let answered = statuses(&world.sent_to(TRUNK)).contains(&200);
        assert_eq!(answered, status == 200, "{who:?} {pickup}");
    }
}

/// RFC 3891 §3: 603 as long as the dialog that is over is known, 481 afterwards.
#[test]
fn nobody_takes_the_place_of_a_dialog_that_is_over() {
    let mut world = world(|_| {});
    let ok = talk(&mut world);
    let headers = format!("Replaces: {}\r\n", dialog_of(&world.rung));
    world.receive(TRUNK, &in_dialog("BYE", 90, &ok));
    let bye = world.sent_to(PHONE).pop().unwrap();
    assert_eq!(taken_by(&mut world, ANOTHER_PHONE, &headers), 603);
    world.receive(PHONE, &reply(&parse(&bye), "200 OK", ""));
    assert_eq!(world.records.len(), 1);
    assert_eq!(taken_by(&mut world, ANOTHER_PHONE, &headers), 481);
}

#[test]
fn nobody_takes_the_place_of_a_phone_that_rings_no_longer() {
    let mut world = world(|_| {});
    world.register("1001", PHONE);
    let invite = invite("+4930100", &sdp(4000, ""));
    world.receive(TRUNK, &invite);
    let rung = world.sent_to(PHONE).remove(0);
    world.receive(PHONE, &reply(&parse(&rung), "180 Ringing", ""));
    let head = invite.split("X-Ticket").next().unwrap();
    let cancel = head.replace("INVITE", "CANCEL") + "Content-Length: 0\r\n\r\n";
    world.receive(TRUNK, &cancel);
    assert!(world.sent_to(PHONE)[0].starts_with("CANCEL "));
    let headers = format!("Replaces: {}\r\n", dialog_of(&rung));
    assert_eq!(taken_by(&mut world, ANOTHER_PHONE, &headers), 603);
}
