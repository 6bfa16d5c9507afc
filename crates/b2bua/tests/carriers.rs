//! Trunks as they are met in the field: where they lead, what they refuse, what they may do.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use std::time::Duration;

use b2bua::config::{Config, NumberRules, PlusRule, PrefixRule, TrunkCredentials};
use b2bua::io::Input;
use base::Redacted;
use sip::message::Name;
use sip::transport::{Target, Transport};

use world::{PHONE, TRUNK, World, in_dialog, invite, of_callee, parse, reply, sdp};

const BACKUP: &str = "127.0.0.3:5060";

fn world(change: impl FnOnce(&mut Config)) -> World {
    let mut config = b2bua::testing::config();
    change(&mut config);
    let mut world = World::with(config);
    world.register("1001", PHONE);
    world
}

/// A response of a trunk with these headers instead of the usual Contact.
fn answer(invite: &str, status: &str, headers: &str, body: &str) -> String {
    let usual = format!("Contact: <sip:1001@{PHONE}>\r\n");
    reply(&parse(invite), status, body).replace(&usual, headers)
}

fn statuses(sent: &[String]) -> Vec<u16> {
    sent.iter().filter_map(|text| text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()).collect()
}

/// A request of the phone inside the call `out` that `ok` answered.
fn of_caller(method: &str, cseq: u32, ok: &str) -> String {
    let customer = "\"Customer\" <sip:+49171555@carrier.test>;tag=c1";
    let text = in_dialog(method, cseq, ok).replace("Call-ID: call-1", "Call-ID: out");
    text.replace(customer, "<sip:1001@hookflash.test>;tag=phone")
}

/// INTEROP 13, 14: RFC 3261 §12.2.1.1, RFC 3263.
#[test]
fn requests_inside_a_dialog_go_where_the_trunk_s_contact_or_route_leads() {
    let name = "gw2.carrier.example";
    let rows: [(&str, Option<&[&str]>, &str, &str); 11] = [
        ("Contact: <sip:gw@127.0.0.2:5060>", None, TRUNK, "UDP"),
        ("Contact: <sip:gw@192.0.2.7:5070>", None, "192.0.2.7:5070", "UDP"),
        ("Contact: <sip:gw@127.0.0.2:5060;transport=tcp>", None, TRUNK, "TCP"),
        ("Contact: <sip:gw@192.0.2.7;transport=tcp>", None, "192.0.2.7:5060", "TCP"),
        // No transport of ours: where the INVITE went.
        ("Contact: <sip:gw@192.0.2.7;transport=tls>", None, TRUNK, "UDP"),
        ("Contact: <sip:gw@192.0.2.7;transport=ws>", None, TRUNK, "UDP"),
        (
            "Contact: <sip:gw2.carrier.example:5070>",
            Some(&["192.0.2.8:5070"]),
            "192.0.2.8:5070",
            "UDP",
        ),
        ("Contact: <sip:gw2.carrier.example>", Some(&[]), TRUNK, "UDP"),
        (
            "Contact: <sip:gw2.carrier.example>",
            Some(&["255.255.255.255:5060", "224.0.0.1:5060", "0.0.0.0:5060"]),
            TRUNK,
            "UDP",
        ),
        (
            "Record-Route: <sip:gw2.carrier.example;lr>\r\nContact: <sip:gw@10.0.0.1>",
            Some(&["192.0.2.9:5060"]),
            "192.0.2.9:5060",
            "UDP",
        ),
        // A strict router's address is the Request-URI.
        (
            "Record-Route: <sip:192.0.2.7>\r\nContact: <sip:gw@10.0.0.1>",
            None,
            "192.0.2.7:5060",
            "UDP",
        ),
    ];
    for (headers, leads, there, transport) in rows {
        let mut world = world(|_| {});
        let out = world.dial("out", "0171555", TRUNK).unwrap();
        let ok = answer(&out, "200 OK", &format!("{headers}\r\n"), &sdp(4000, ""));
        world.receive(TRUNK, &ok);
        if let Some(leads) = leads {
            // Its ACK waits for the look-up, however often the 200 comes.
            world.receive(TRUNK, &ok);
            assert!(world.sent.iter().all(|(_, text)| !text.starts_with("ACK ")), "{headers}");
            assert_eq!(world.resolve(leads), name, "{headers}");
        }
        assert!(world.asked.is_empty(), "{headers}");
        let acks = world.sent_to(there);
        assert_eq!(acks.len(), if there == TRUNK { acks.len().max(1) } else { 1 }, "{headers}");
        assert!(acks[0].starts_with("ACK "), "{headers}: {}", acks[0]);
        let via = format!("Via: SIP/2.0/{transport} ");
        assert!(acks[0].contains(&via), "{headers}: {}", acks[0]);
        let caller = world.sent_to(PHONE).pop().unwrap();
        assert!(caller.starts_with("SIP/2.0 200 "), "{headers}");
        world.receive(PHONE, &of_caller("ACK", 2, &caller));
        world.receive(PHONE, &of_caller("BYE", 3, &caller));
        let byes = world.sent_to(there);
        assert!(byes[0].starts_with("BYE ") && byes[0].contains(&via), "{headers}: {byes:?}");
    }
}

#[test]
fn a_customer_s_trunk_is_hung_up_where_its_contact_leads() {
    let mut world = world(|_| {});
    let invite = invite("+4930100", &sdp(4000, ""));
    let contact = format!("<sip:customer@{TRUNK}>");
    world.receive(TRUNK, &invite.replace(&contact, "<sip:customer@gw2.carrier.example>"));
    assert_eq!(world.resolve(&["192.0.2.8:5060"]), "gw2.carrier.example");
    let rung = world.sent_to(PHONE).remove(0);
    world.receive(PHONE, &reply(&parse(&rung), "200 OK", &sdp(5000, "")));
    let ok = world.sent_to(TRUNK).pop().unwrap();
    world.receive(TRUNK, &in_dialog("ACK", 1, &ok));
    world.receive(PHONE, &of_callee(&parse(&rung), "BYE", 1, ""));
    assert!(world.sent_to("192.0.2.8:5060")[0].starts_with("BYE "));
}

/// ATTACKS 13 to 15.
#[test]
fn a_phone_leads_nowhere_by_its_contact_or_route() {
    let mut world = world(|_| {});
    world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
    let rung = world.sent_to(PHONE).remove(0);
    let astray =
        "Record-Route: <sip:evil.example;lr>\r\nContact: <sip:a@evil.example;transport=tcp>\r\n";
    world.receive(PHONE, &answer(&rung, "200 OK", astray, &sdp(5000, "")));
    assert!(world.asked.is_empty());
    assert!(world.sent_to(PHONE)[0].starts_with("ACK "));
    let ok = world.sent_to(TRUNK).pop().unwrap();
    world.receive(TRUNK, &in_dialog("ACK", 1, &ok));
    world.receive(TRUNK, &in_dialog("BYE", 2, &ok));
    assert!(world.sent_to(PHONE)[0].starts_with("BYE "));
    assert!(world.asked.is_empty());
}

#[test]
fn a_caller_who_gives_up_while_the_answer_waits_for_a_look_up_leaves_no_ghost() {
    let mut world = world(|_| {});
    let out = world.dial("out", "0171555", TRUNK).unwrap();
    let contact = "Contact: <sip:gw2.carrier.example>\r\n";
    world.receive(TRUNK, &answer(&out, "200 OK", contact, &sdp(4000, "")));
    let cancel = format!(
        "CANCEL sip:0171555@hookflash.test SIP/2.0\r\nVia: SIP/2.0/UDP {PHONE};branch=z9hG4bKout2\r\n\
         From: <sip:1001@hookflash.test>;tag=phone\r\nTo: <sip:0171555@hookflash.test>\r\n\
         Call-ID: out\r\nCSeq: 2 CANCEL\r\nContent-Length: 0\r\n\r\n"
    );
    world.receive(PHONE, &cancel);
    let sent = world.sent_to(TRUNK);
    let starts: Vec<_> = sent.iter().map(|text| text.split(' ').next().unwrap()).collect();
    assert!(starts.contains(&"ACK") && starts.contains(&"BYE"), "{starts:?}");
    world.resolve(&["192.0.2.8:5060"]);
    let bye = sent.iter().find(|text| text.starts_with("BYE ")).unwrap();
    world.receive(TRUNK, &reply(&parse(bye), "200 OK", ""));
    world.run_for(Duration::from_secs(64));
    assert!(world.core.is_at_rest());
}

#[test]
fn the_callee_may_ask_things_before_it_answers() {
    let mut world = world(|_| {});
    let out = world.dial("out", "0171555", TRUNK).unwrap();
    let early = "Contact: <sip:gw@127.0.0.2:5060>\r\nRequire: 100rel\r\nRSeq: 1\r\n";
    world.receive(TRUNK, &answer(&out, "183 Session Progress", early, &sdp(4000, "")));
    let prack = world.sent_to(TRUNK).pop().unwrap();
    assert!(prack.starts_with("PRACK sip:gw@127.0.0.2:5060 "), "{prack}");
    world.receive(TRUNK, &reply(&parse(&prack), "200 OK", ""));
    let out_request = parse(&out);
    let rows = [
        ("UPDATE", "Require: unknown\r\n", 420),
        ("OPTIONS", "", 200),
        ("INFO", "", 200),
        ("INFO", "Content-Type: text/plain\r\n", 200), // without a body there is nothing in it
        ("INVITE", "", 491),
        ("BYE", "", 481),
        ("MESSAGE", "", 405),
        ("UPDATE", "Contact: <sip:gw@192.0.2.7:5070>\r\n", 200),
    ];
    for (cseq, (method, headers, status)) in (1..).zip(rows) {
        world.receive(TRUNK, &of_callee(&out_request, method, cseq, headers));
        let sent = world.sent_to(TRUNK);
        assert_eq!(statuses(&sent).last(), Some(&status), "{method} {headers}");
        let says_what = sent.last().unwrap().contains("\r\nAllow: INVITE, ");
        assert_eq!(
            says_what,
            matches!(method, "OPTIONS" | "MESSAGE") || status == 200 && method == "UPDATE"
        );
        if method == "OPTIONS" {
            assert!(sent.last().unwrap().contains("\r\nContact: <sip:127.0.0.1:5060>"));
        }
    }
    // What it acknowledges now goes to the new Contact.
    let again = early.replace("RSeq: 1", "RSeq: 2");
    let again = again.replace("Contact: <sip:gw@127.0.0.2:5060>\r\n", "");
    world.receive(TRUNK, &answer(&out, "180 Ringing", &again, ""));
    let pracks = world.sent_to("192.0.2.7:5070");
    assert!(pracks[0].starts_with("PRACK sip:gw@192.0.2.7:5070 "), "{pracks:?}");
}

/// RFC 4028 §7.4.
#[test]
fn who_refuses_the_update_that_it_allows_is_refreshed_by_reinvite() {
    for status in ["405 Method Not Allowed", "501 Not Implemented"] {
        let mut world = world(|_| {});
        let out = world.dial("out", "0171555", TRUNK).unwrap();
        let headers = "Contact: <sip:gw@127.0.0.2:5060>\r\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE\r\n\
                       Session-Expires: 90;refresher=uac\r\nRequire: timer\r\n";
        world.receive(TRUNK, &answer(&out, "200 OK", headers, &sdp(4000, "")));
        let ok = world.sent_to(PHONE).pop().unwrap();
        world.receive(PHONE, &of_caller("ACK", 2, &ok));
        world.sent_to(TRUNK);
        let mut methods = Vec::new();
        for _ in 0..6 {
            world.run_for(Duration::from_secs(20));
            while let Some(request) =
                world.sent_to(TRUNK).into_iter().find(|text| !text.starts_with("ACK "))
            {
                let method = request.split(' ').next().unwrap().to_owned();
                let (answered, body) = match method.as_str() {
                    "INVITE" => ("200 OK", sdp(4000, "")),
                    _ => (status, String::new()),
                };
                let headers = if method == "INVITE" { headers } else { "" };
                world.receive(TRUNK, &answer(&request, answered, headers, &body));
                methods.push(method);
            }
        }
        assert_eq!(methods, ["UPDATE", "INVITE", "INVITE"], "{status}");
    }
}

/// ATTACKS 16: two trunks behind one network, of which one wants a proof of the BYE to an answer
/// that came too late.
#[test]
fn a_stray_goodbye_is_proved_to_the_trunk_that_it_is_for() {
    let mut world = world(|config| {
        let network = config.trunks[0].networks[0];
        for (trunk, user) in config.trunks.iter_mut().zip(["us-at-carrier", "us-at-backup"]) {
            trunk.networks = vec![b2bua::config::Network { prefix: 31, ..network }];
            trunk.credentials = Some(TrunkCredentials {
                username: user.into(),
                password: Redacted::new("secret".into()),
                realm: None,
            });
        }
        config.routes[0].trunks = vec!["backup".into()];
    });
    let out = world.dial("out", "0171555", BACKUP).unwrap();
    world.run_for(Duration::from_secs(5)); // it has not said a word
    world.sent_to(BACKUP);
    let contact = format!("Contact: <sip:gw@{BACKUP}>\r\n");
    world.receive(BACKUP, &answer(&out, "200 OK", &contact, &sdp(4000, "")));
    let bye = world.sent_to(BACKUP).into_iter().find(|text| text.starts_with("BYE ")).unwrap();
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    world.receive(BACKUP, &answer(&bye, "401 Unauthorized", challenge, ""));
    let proved = world.sent_to(BACKUP).into_iter().find(|text| text.starts_with("BYE ")).unwrap();
    let proof = parse(&proved);
    let proof = proof.headers.get(Name::Authorization).unwrap();
    assert!(proof.contains("us-at-backup"), "{proof}");
}

/// RFC 3261 §13.3.1.4: without Record-Route an ACK comes past the proxies.
#[test]
fn an_ack_is_known_by_its_dialog_and_what_is_in_it_by_its_sender() {
    let (direct, stranger) = ("198.51.100.1:5060", "203.0.113.50:5060");
    for (offers, from, taken) in [
        (true, TRUNK, true),
        (true, direct, true),
        (true, stranger, true),
        (false, TRUNK, true),
        (false, direct, true),
        (false, stranger, false),
    ] {
        let mut world = world(|_| {});
        let body = if offers { sdp(4000, "") } else { String::new() };
        let text = invite("+4930100", &body);
        let text =
            text.replace(&format!("<sip:customer@{TRUNK}>"), &format!("<sip:customer@{direct}>"));
        world.receive(TRUNK, &text);
        let rung = world.sent_to(PHONE).remove(0);
        world.receive(PHONE, &reply(&parse(&rung), "200 OK", &sdp(5000, "")));
        let ok = world.sent_to(TRUNK).pop().unwrap();
        let body = if offers { String::new() } else { sdp(4000, "") };
        let ack = in_dialog("ACK", 1, &ok).replace(
            "Content-Length: 0\r\n\r\n",
            &format!(
                "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        world.receive(from, &ack);
        world.run_for(Duration::from_secs(5));
        let repeated = statuses(&world.sent_to(TRUNK)).contains(&200);
        assert_eq!(repeated, !taken, "{offers} {from}");
        // Nobody else's tags do.
        world.receive(TRUNK, &ack);
        world.sent_to(TRUNK);
        world.run_for(Duration::from_secs(5));
        assert!(world.sent_to(TRUNK).is_empty(), "{offers} {from}");
    }
}

/// RFC 3261 §21.5.4.
#[test]
fn a_gateway_that_is_full_is_left_alone_as_long_as_it_asks() {
    let mut world = world(|_| {});
    for (call, retry_after, spared) in [("a", "", false), ("b", "Retry-After: 20\r\n", true)] {
        let out = world.dial(call, "0171555", TRUNK).unwrap();
        world.receive(TRUNK, &answer(&out, "503 Service Unavailable", retry_after, ""));
        let next = world.sent_to(BACKUP).into_iter().find(|text| text.starts_with("INVITE "));
        world.receive(BACKUP, &answer(&next.unwrap(), "486 Busy Here", "", ""));
        world.sent.clear();
        let again = world.dial(&format!("{call}2"), "0171555", TRUNK);
        assert_eq!(again.is_none(), spared, "{retry_after}");
        let gateway = if spared { BACKUP } else { TRUNK };
        let sent = again
            .or_else(|| world.sent_to(BACKUP).into_iter().find(|text| text.starts_with("INVITE ")));
        world.receive(gateway, &answer(&sent.unwrap(), "486 Busy Here", "", ""));
        world.sent.clear();
    }
    world.run_for(Duration::from_secs(20));
    assert!(world.dial("c", "0171555", TRUNK).is_some());
}

/// ATTACKS 17.
#[test]
fn who_meets_a_limit_is_told_which_and_when_to_try_again() {
    let told = |sent: &[String], limit: &str| {
        let refused = sent.iter().find(|text| text.starts_with("SIP/2.0 503 ")).unwrap();
        assert!(refused.contains("\r\nRetry-After: 5\r\n"), "{refused}");
        assert!(refused.contains(&format!("text=\"{limit}\"\r\n")), "{refused}");
    };
    // Out: both trunks of the route are full.
    let mut out = world(|config| {
        config.trunks[0].calls_max = 0;
        config.trunks[1].calls_per_second_max = 1;
    });
    assert!(out.dial("a", "0171555", BACKUP).is_some());
    out.sent.clear();
    assert!(out.dial("b", "0171555", BACKUP).is_none());
    told(&out.sent_to(PHONE), "trunk calls_per_second_max");
    out.run_for(Duration::from_secs(2));
    assert!(out.dial("c", "0171555", BACKUP).is_some());
    // In.
    for (limit, change) in [
        ("trunk calls_max", (|config| config.trunks[0].calls_max = 0) as fn(&mut Config)),
        ("trunk calls_per_second_max", |config| config.trunks[0].calls_per_second_max = 0),
        ("calls_max", |config| config.sip.calls_max = 0),
    ] {
        let mut world = world(change);
        world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
        told(&world.sent_to(TRUNK), limit);
        assert!(world.sent_to(PHONE).is_empty());
    }
}

const NAME: &str = "carrier.example";
/// Gateways of the trunk that is known by name.
const FIRST: &str = "192.0.2.11:5060";
const SECOND: &str = "192.0.2.12:5080";
const THIRD: &str = "192.0.2.13:5060";

/// A trunk known by name, not looked up yet.
fn by_name() -> World {
    let world = world(|config| config.trunks[0].targets = vec![format!("sip:{NAME}")]);
    assert_eq!(world.asked.len(), 1, "at the start");
    world
}

/// Answers the look-up that has waited longest.
fn lead(world: &mut World, to: &[(Transport, &str)]) {
    let (query, host) = world.asked.remove(0);
    assert_eq!(host.to_string(), NAME);
    let target = |(transport, addr): &(Transport, &str)| Target {
        transport: *transport,
        addr: addr.parse().unwrap(),
        flow: None,
        tls_name: None,
    };
    world.input(Input::Resolved { query, targets: to.iter().map(target).collect() });
}

const BOTH: [(Transport, &str); 2] = [(Transport::Udp, FIRST), (Transport::Udp, SECOND)];

fn invited(world: &mut World, at: &str) -> Option<String> {
    world.sent_to(at).into_iter().find(|text| text.starts_with("INVITE "))
}

fn field(text: &str, name: Name) -> String {
    parse(text).headers.get(name).unwrap().to_owned()
}

/// INTEROP 14: RFC 3263 §4.3.
#[test]
fn a_trunk_by_name_is_reached_at_the_next_address_when_one_is_out_of_service() {
    for refusal in [
        None,
        Some("503 Service Unavailable"),
        Some("408 Request Timeout"),
        Some("430 Flow Failed"),
    ] {
        let mut world = by_name();
        lead(&mut world, &BOTH);
        let first = world.dial("out", "0171555", FIRST).unwrap();
        assert!(first.starts_with("INVITE sip:171555@carrier.example SIP/2.0\r\n"), "{first}");
        assert_eq!(world.sent_to(SECOND), [""; 0]);
        match refusal {
            Some(refusal) => world.receive(FIRST, &answer(&first, refusal, "", "")),
            None => world.run_for(Duration::from_secs(5)),
        }
        let second = invited(&mut world, SECOND).unwrap();
        assert_eq!(second.lines().next(), first.lines().next());
        // A new transaction of the same request.
        assert_ne!(field(&second, Name::Via), field(&first, Name::Via));
        for name in [Name::CallId, Name::From, Name::To] {
            assert_eq!(field(&second, name), field(&first, name));
        }
        let contact = format!("Contact: <sip:gw@{SECOND}>\r\n");
        world.receive(SECOND, &answer(&second, "200 OK", &contact, &sdp(4000, "")));
        assert_eq!(statuses(&world.sent_to(PHONE)), [100, 200], "{refusal:?}");
        assert!(world.sent_to(SECOND)[0].starts_with("ACK "));
        assert!(world.asked.is_empty() && world.sent_to(BACKUP).is_empty(), "{refusal:?}");
    }
}

#[test]
fn a_refusal_by_one_address_of_a_trunk_is_that_of_the_trunk() {
    let mut world = by_name();
    lead(&mut world, &BOTH);
    let first = world.dial("out", "0171555", FIRST).unwrap();
    world.receive(FIRST, &answer(&first, "486 Busy Here", "", ""));
    assert_eq!(statuses(&world.sent_to(PHONE)), [100, 486]);
    assert!(world.sent_to(SECOND).is_empty() && world.sent_to(BACKUP).is_empty());
}

#[test]
fn the_next_trunk_is_tried_when_no_address_of_a_name_is_in_service() {
    let mut world = by_name();
    lead(&mut world, &BOTH);
    let first = world.dial("out", "0171555", FIRST).unwrap();
    world.receive(FIRST, &answer(&first, "503 Service Unavailable", "", ""));
    let second = invited(&mut world, SECOND).unwrap();
    assert!(invited(&mut world, BACKUP).is_none());
    world.receive(SECOND, &answer(&second, "503 Service Unavailable", "", ""));
    assert!(invited(&mut world, FIRST).is_none(), "each is asked once");
    assert!(invited(&mut world, BACKUP).is_some());
    assert_eq!(statuses(&world.sent_to(PHONE)), [100]);
}

/// SRV records may name the transport.
#[test]
fn a_trunk_by_name_is_called_over_the_transport_that_its_records_say() {
    let mut world = by_name();
    lead(&mut world, &[(Transport::Tcp, SECOND), (Transport::Udp, FIRST)]);
    let out = world.dial("out", "0171555", SECOND).unwrap();
    assert!(field(&out, Name::Via).starts_with("SIP/2.0/TCP 127.0.0.1:5060;"), "{out}");
    assert!(field(&out, Name::Contact).ends_with(";transport=tcp>"), "{out}");
    assert!(out.starts_with("INVITE sip:171555@carrier.example SIP/2.0\r\n"), "{out}");
}

#[test]
fn a_trunk_s_name_is_looked_up_again_and_its_last_addresses_are_kept_without_an_answer() {
    let mut world = by_name();
    let udp = |addr| (Transport::Udp, addr);
    for (minute, (leads, called)) in (0..).zip([
        (&[udp(FIRST)][..], FIRST),
        (&[udp(THIRD), udp(FIRST)], THIRD),
        (&[], THIRD),
        (&[udp(SECOND)], SECOND),
    ]) {
        lead(&mut world, leads);
        world.run_for(Duration::from_secs(40));
        assert!(world.asked.is_empty(), "minute {minute}");
        world.sent.clear();
        let out = world.dial(&format!("out{minute}"), "0171555", called);
        assert!(out.is_some(), "minute {minute}");
        assert!(world.sent_to(BACKUP).is_empty(), "minute {minute}");
        world.receive(called, &answer(&out.unwrap(), "486 Busy Here", "", ""));
        world.run_for(Duration::from_secs(25));
        assert_eq!(world.asked.len(), 1, "minute {minute}");
    }
}

#[test]
fn a_call_that_comes_before_its_trunk_is_looked_up_asks_by_itself() {
    for (leads, statuses_told) in [(&BOTH[..], &[100][..]), (&[], &[100, 503])] {
        let mut world = world(|config| {
            config.trunks[0].targets = vec![format!("sip:{NAME}")];
            config.routes[0].trunks = vec!["carrier".into()];
        });
        assert!(world.dial("out", "0171555", FIRST).is_none());
        assert_eq!(world.asked.len(), 2, "the trunk, and the call");
        world.asked.swap(0, 1);
        lead(&mut world, leads);
        let invite = invited(&mut world, FIRST);
        assert_eq!(invite.is_some(), !leads.is_empty());
        assert_eq!(statuses(&world.sent_to(PHONE)), statuses_told);
        if let Some(invite) = invite {
            assert!(invite.starts_with("INVITE sip:171555@carrier.example SIP/2.0\r\n"));
            world.receive(FIRST, &answer(&invite, "503 Service Unavailable", "", ""));
            assert!(invited(&mut world, SECOND).is_some(), "and knows the next address");
        }
    }
}

/// A description whose audio has these formats.
fn formats(formats: &str) -> String {
    sdp(4000, "").replace("RTP/AVP 8 0 101", &format!("RTP/AVP {formats}"))
}

/// The formats of the audio that a message of ours describes.
fn formats_of(text: &str) -> Vec<u8> {
    let line = text.lines().find(|line| line.starts_with("m=audio ")).unwrap();
    line.split(' ').skip(3).map(|format| format.parse().unwrap()).collect()
}

#[test]
fn a_trunk_is_offered_its_own_codecs_only() {
    for transcode in [true, false] {
        let mut world = world(|config| {
            config.media.transcode = transcode;
            config.trunks[0].codecs = vec!["PCMA".into()];
        });
        let out = world.dial("out", "0171555", TRUNK).unwrap();
        assert_eq!(formats_of(&out), [8, 101], "{transcode}");
        // The next trunk has no list of its own.
        world.receive(TRUNK, &answer(&out, "503 Service Unavailable", "", ""));
        let next = formats_of(&invited(&mut world, BACKUP).unwrap());
        assert!(next.starts_with(&[8, 0, 101]) && next.contains(&9) == transcode, "{next:?}");
    }
}

/// The trunk's list holds for what it offers, whatever the phone could do.
#[test]
fn a_trunk_is_answered_with_its_own_codecs_only() {
    for (transcode, offered, to_phone, phone_takes, answered) in [
        (false, "0 8 101", Some(&[8, 101][..]), "8 101", Some(&[8, 101][..])),
        (true, "0 8 101", Some(&[8, 101, 0, 9]), "0 101", Some(&[8, 101])),
        (true, "8 101", Some(&[8, 101, 0, 9]), "9 101", Some(&[8, 101])),
        (false, "0 101", None, "", None),
        (true, "0 101", None, "", None),
    ] {
        let mut world = world(|config| {
            config.media.transcode = transcode;
            config.trunks[0].codecs = vec!["PCMA".into()];
        });
        let row = format!("{transcode} {offered}");
        world.receive(TRUNK, &invite("+4930100", &formats(offered)));
        let rung = world.sent_to(PHONE).pop();
        assert_eq!(rung.as_deref().map(formats_of).as_deref(), to_phone, "{row}");
        if let Some(rung) = rung {
            world.receive(PHONE, &reply(&parse(&rung), "200 OK", &formats(phone_takes)));
        }
        let told = world.sent_to(TRUNK).pop().unwrap();
        match answered {
            Some(answered) => assert_eq!(formats_of(&told), answered, "{row}"),
            None => assert!(told.starts_with("SIP/2.0 488 "), "{row}: {told}"),
        }
    }
}

/// An INVITE without an offer: ours has the trunk's codecs, too.
#[test]
fn a_trunk_that_leaves_the_offer_to_us_is_offered_its_own_codecs_only() {
    for (transcode, to_phone, phone_takes) in
        [(true, &[8, 101, 0, 9][..], "0 101"), (false, &[8, 101], "8 101")]
    {
        let mut world = world(|config| {
            config.media.transcode = transcode;
            config.trunks[0].codecs = vec!["PCMA".into()];
        });
        world.receive(TRUNK, &invite("+4930100", ""));
        let rung = world.sent_to(PHONE).pop().unwrap();
        assert_eq!(formats_of(&rung), to_phone, "{transcode}");
        world.receive(PHONE, &reply(&parse(&rung), "200 OK", &formats(phone_takes)));
        let told = world.sent_to(TRUNK).pop().unwrap();
        assert!(told.starts_with("SIP/2.0 200 "), "{told}");
        assert_eq!(formats_of(&told), [8, 101], "{transcode}");
    }
}

/// A phone and a trunk without a common codec are joined by transcoding, where that is wanted.
#[test]
fn a_trunk_of_other_codecs_than_the_phone_s_is_reached_by_transcoding() {
    for transcode in [true, false] {
        let mut world = world(|config| {
            config.media.transcode = transcode;
            config.trunks[0].codecs = vec!["PCMA".into()];
            config.routes[0].trunks = vec!["carrier".into()];
            config.media.codecs = vec!["PCMU".into()];
        });
        let out = world.dial("out", "0171555", TRUNK);
        assert_eq!(out.is_some(), transcode);
        let Some(out) = out else {
            assert_eq!(statuses(&world.sent_to(PHONE)).last(), Some(&488));
            continue;
        };
        assert_eq!(formats_of(&out)[0], 8);
        let contact = format!("Contact: <sip:gw@{TRUNK}>\r\n");
        world.receive(TRUNK, &answer(&out, "200 OK", &contact, &formats("8 101")));
        let told = world.sent_to(PHONE).pop().unwrap();
        assert!(told.starts_with("SIP/2.0 200 "), "{told}");
        assert_eq!(formats_of(&told), [0, 101]);
    }
}

#[test]
fn a_trunk_s_numbers_are_rewritten_on_the_way_in() {
    let rule = |prefix: &str, replacement: &str| PrefixRule {
        prefix: prefix.into(),
        replacement: replacement.into(),
    };
    for (rules, plus, to, from, shown) in [
        (vec![rule("0049", "+49")], PlusRule::Keep, "004930100", "0049171555", Some("+49171555")),
        (vec![rule("0049", "+49")], PlusRule::Keep, "+4930100", "0033171555", Some("0033171555")),
        (vec![rule("0", "49")], PlusRule::Add, "030100", "0171555", Some("+49171555")),
        (vec![], PlusRule::Keep, "004930100", "0049171555", None),
    ] {
        let mut world = world(|config| {
            config.trunks[0].inbound_numbers = NumberRules { rules, plus };
        });
        let text = invite(to, &sdp(4000, "")).replace("sip:+49171555@", &format!("sip:{from}@"));
        world.receive(TRUNK, &text);
        let Some(shown) = shown else {
            assert_eq!(statuses(&world.sent_to(TRUNK)), [100, 404]);
            continue;
        };
        let rung = world.sent_to(PHONE).remove(0);
        let from = field(&rung, Name::From);
        let expected = format!("\"Customer\" <sip:{shown}@hookflash.test>;tag=");
        assert!(from.starts_with(&expected), "{from}");
    }
}
