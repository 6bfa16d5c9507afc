//! Rows 13 to 16: what a call, or a place to call, can be turned into.

use std::net::{Ipv4Addr, UdpSocket};

use interop::client::{Client, Dialog, Message};
use interop::{CUSTOMER, PHONE, Server, Setup, Talk};

use crate::{SILENCE, STRANGER, credentials, decline, is_well, server};

/// Row 13: a Contact leads back to who registered it, or nowhere.
#[test]
fn a_poisoned_contact_never_makes_us_call_elsewhere() {
    let server = server();
    let elsewhere = UdpSocket::bind((STRANGER, 0)).unwrap();
    elsewhere.set_read_timeout(Some(SILENCE)).unwrap();
    let victim = elsewhere.local_addr().unwrap();
    let phone = Client::at(PHONE, server.sip());
    let poisons = [
        format!("<sip:x@{victim}>"),
        format!("<sip:x@{};maddr=127.0.0.66>", phone.local()),
        format!("<sip:x@{}>", server.sip()),
        "<sip:x@0.0.0.0:5060>".to_owned(),
        "<sip:x@255.255.255.255:5060>".to_owned(),
        "<sip:x@224.0.0.1:5060>".to_owned(),
        "<http://evil.example/>".to_owned(),
        "<file:///etc/passwd>".to_owned(),
    ];
    for poison in poisons {
        phone.renew();
        let own = credentials(&phone, &server, "REGISTER", "1001");
        let header = format!("Authorization: {}", own.header());
        let text = phone.request_with("REGISTER", "", "1001", &[&header, "Expires: 60"], "");
        let contact = text.lines().find(|line| line.starts_with("Contact")).unwrap().to_owned();
        let text = text
            .replace("To: <sip:hookflash.test>", "To: <sip:1001@hookflash.test>")
            .replace(&contact, &format!("Contact: {poison}"));
        let status = phone.ask(&text).status();
        assert!(matches!(status, 200 | 400..=499), "{poison}: {status}");
        assert!(poison.starts_with("<sip") || status != 200, "{poison}");
    }
    let customer = Client::at(CUSTOMER, server.sip());
    customer.send(&customer.request_with("INVITE", "+4930100", "+4915", &[], &customer.sdp()));
    // Every binding that was taken leads to the phone itself.
    let mut buffer = [0; 2048];
    assert!(elsewhere.recv(&mut buffer).is_err(), "{}", String::from_utf8_lossy(&buffer));
    let mut rang = 0;
    while let Some(message) = phone.receive_within(SILENCE) {
        if message.start().starts_with("INVITE") {
            rang += 1;
            phone.send(&phone.reply(&message, "486 Busy Here", &[], ""));
        }
    }
    assert!(rang <= 5, "contacts_max");
    assert!([480, 482, 483, 486].contains(&customer.receive_final().status()));
    is_well(&server);
    server.stop();
}

/// Row 13: a call that goes in circles comes to an end, for each round takes a hop.
#[test]
fn a_call_has_so_many_hops_and_no_more() {
    let server = server();
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 60).status(), 200);
    let customer = Client::at(CUSTOMER, server.sip());
    let invite = |hops: &str| {
        customer.renew();
        let text = customer.request_with("INVITE", "+4930100", "+4915", &[], &customer.sdp());
        customer.send(&text.replace("Max-Forwards: 70", &format!("Max-Forwards: {hops}")));
    };
    invite("0");
    assert_eq!(customer.receive_final().status(), 483);
    invite("5");
    let called = phone.receive_request("INVITE");
    assert_eq!(called.header("Max-Forwards"), Some("4"));
    phone.send(&phone.reply(&called, "486 Busy Here", &[], ""));
    assert_eq!(customer.receive_own_final().status(), 486);
    server.stop();
}

/// Row 14: knowing Call-ID and both tags is not enough, and guessing them less so.
#[test]
fn strangers_cannot_touch_a_call() {
    let server = server();
    let talk = Talk::start(&server);
    let stranger = Client::at(STRANGER, server.sip());
    for (method, seq) in [("BYE", 50), ("INVITE", 51), ("UPDATE", 52), ("INFO", 53), ("PRACK", 54)]
    {
        for dialog in [&talk.of_customer, &talk.of_phone] {
            let body = if method == "INVITE" { stranger.sdp() } else { String::new() };
            let answer = stranger.ask(&stranger.within(dialog, method, seq, &body));
            assert!([401, 403, 481].contains(&answer.status()), "{method}: {answer}");
        }
    }
    // From the right address, but with wrong tags.
    let dialog = &talk.of_customer;
    let to = dialog.to.split(";tag=").next().unwrap();
    for guess in [
        Dialog { to: format!("{to};tag=guess"), ..dialog.clone() },
        Dialog { call_id: "guess".into(), ..dialog.clone() },
        Dialog { from: "<sip:+4915@hookflash.test>;tag=guess".into(), ..dialog.clone() },
    ] {
        let answer = talk.customer.ask(&talk.customer.within(&guess, "BYE", 60, ""));
        assert_eq!(answer.status(), 481, "{answer}");
    }
    // A CANCEL for the answered INVITE, and answers that nobody asked for.
    stranger.send(&stranger.within(dialog, "CANCEL", 1, ""));
    let forged =
        talk.phone.reply(&Message::of(&talk.phone.within(dialog, "BYE", 1, "")), "200 OK", &[], "");
    stranger.send(&forged);
    assert!(talk.phone.receive_within(SILENCE).is_none());
    talk.ends_well(server);
}

/// Row 15: only what the dial plan allows is called, and only at the trunk.
#[test]
fn a_redirection_never_leads_away_from_the_trunk() {
    for contact in [
        "sip:+49777@VICTIM",
        "sip:+49777@127.0.0.3;maddr=127.0.0.66",
        "http://evil.example/",
        "tel:+49777",
    ] {
        let server = server();
        let victim = Client::at(STRANGER, server.sip());
        let carrier = Client::udp(server.carrier(), server.sip());
        let backup = Client::udp(server.backup(), server.sip());
        let phone = Client::at(PHONE, server.sip());
        let own = credentials(&phone, &server, "INVITE", "1001");
        let header = format!("Authorization: {}", own.header());
        phone.renew();
        phone.send(&phone.request_with("INVITE", "030123456", "1001", &[&header], &phone.sdp()));
        let invite = carrier.receive_request("INVITE");
        let contact = contact.replace("VICTIM", &victim.local().to_string());
        let moved = carrier.reply(&invite, "302 Moved", &[], "");
        let old = format!("sip:client@{}", carrier.local());
        carrier.send(&moved.replace(&old, &contact));
        assert!(victim.receive_within(SILENCE).is_none(), "{contact}");
        decline(&carrier);
        decline(&backup);
        server.stop();
    }
}

/// Row 16: a challenge is answered for the trunk and realm that the credentials are for.
#[test]
fn credentials_are_given_to_their_own_trunk_and_realm_only() {
    let server =
        Server::start(&Setup { carrier_realm: "realm = \"carrier.test\"", ..Setup::default() });
    let challenge = |realm: &str| {
        format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\"")
    };
    let carrier = Client::udp(server.carrier(), server.sip());
    let backup = Client::udp(server.backup(), server.sip());
    let phone = Client::at(PHONE, server.sip());
    let own = credentials(&phone, &server, "INVITE", "1001");
    let header = format!("Authorization: {}", own.header());
    phone.renew();
    phone.send(&phone.request_with("INVITE", "030123456", "1001", &[&header], &phone.sdp()));
    let invite = carrier.receive_request("INVITE");
    carrier.send(&carrier.reply(&invite, "401 Unauthorized", &[&challenge("evil.test")], ""));
    while let Some(message) = carrier.receive_within(SILENCE) {
        assert!(!message.text().contains("Digest username"), "{message}");
    }
    decline(&backup);
    // A phone that challenges us gets nothing either.
    let mut callee = Client::at(Ipv4Addr::new(127, 0, 0, 12), server.sip());
    assert_eq!(callee.register("1003", 60).status(), 200);
    let phone = Client::at(PHONE, server.sip());
    let own = credentials(&phone, &server, "INVITE", "1001");
    let header = format!("Authorization: {}", own.header());
    phone.renew();
    phone.send(&phone.request_with("INVITE", "1003", "1001", &[&header], &phone.sdp()));
    let invite = callee.receive_request("INVITE");
    callee.send(&callee.reply(&invite, "401 Unauthorized", &[&challenge("carrier.test")], ""));
    while let Some(message) = callee.receive_within(SILENCE) {
        assert!(!message.start().starts_with("INVITE"), "{message}");
    }
    server.stop();
}
