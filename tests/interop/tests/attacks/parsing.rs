//! Rows 1, 2 and 4: what is read, and what it can make us do.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use interop::client::{Client, Dialog};
use interop::{CUSTOMER, PHONE, Server, Setup};

use crate::{SILENCE, STRANGER, is_well, server};

/// Row 1, a sample: the rest of RFC 4475 is a table of the `sip` crate.
#[test]
fn odd_but_valid_is_served_and_invalid_is_400_or_silence() {
    let server = server();
    let client = Client::at(CUSTOMER, server.sip());
    let options = client.request("OPTIONS", "x");
    let odd = options
        .replace("To:", "TO :")
        .replace("Max-Forwards: 70", "Max-Forwards: 0068")
        .replace("CSeq: ", "CSeq:\r\n  0009")
        .replace("Content-Length: 0", "NewFangledHeader: new\r\n continued\r\nl:0");
    assert_eq!(client.ask(&odd).status(), 200);
    for (from, to) in [
        ("SIP/2.0\r\n", "SIP/7.0\r\n"),
        ("From: ", "From: <"),
        ("OPTIONS sip:", "OPTIONS  <sip:"),
        (" OPTIONS\r\n", " INVITE\r\n"),
        ("CSeq: ", "CSeq: 36893488147419103232"),
        ("Call-ID: ", "Call-Me: "),
    ] {
        client.renew();
        client.send(&client.request("OPTIONS", "x").replace(from, to));
        let status = client.receive_within(SILENCE).map_or(0, |answer| answer.status());
        assert!([0, 400, 505].contains(&status), "{to}: {status}");
    }
    // A response that nobody asked for is answered by nobody.
    client.send("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKx\r\n\r\n");
    assert!(client.receive_within(SILENCE).is_none());
    is_well(&server);
    server.stop();
}

/// Row 2: a reply is never much larger than the request, and the next one is served at once.
#[test]
fn hostile_headers_are_refused_shortly() {
    let server = server();
    let client = Client::at(STRANGER, server.sip());
    let with = |line: &str| client.request_with("OPTIONS", "x", "x", &[line], "");
    let many = |line: &str, count: usize| with(&vec![line; count].join("\r\n"));
    let mut hostile = vec![
        many("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx", 1100),
        many("Contact: <sip:x@10.0.0.1>", 2500),
        many("Route: <sip:10.0.0.1;lr>", 1500),
        many("X-A: b", 4000),
        with(&format!("Subject: {}", "a".repeat(60_000))),
        with(&format!("Subject: {}", "\"".repeat(5000))),
        with(&format!("Accept: {}", ",".repeat(5000))),
        with(&format!("X-Fold: a{}", "\r\n b".repeat(5000))),
        with("Expires: 99999999999999999999"),
        with("X-Nul: a\0b"),
        with("X-Bare: a\rb\nc"),
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{0}\u{5}hello".to_owned(),
    ];
    let whole = client.request("REGISTER", "");
    hostile.extend((0..whole.len()).step_by(29).map(|end| whole[..end].to_owned()));
    for text in hostile {
        if text.len() > 65_000 {
            continue; // no datagram
        }
        client.send(&text);
        if let Some(answer) = client.receive_within(Duration::from_millis(30)) {
            let (sent, back) = (text.len(), answer.text().len());
            assert!(back <= 2 * sent.max(300), "{sent} bytes brought {back}:\n{answer}");
            assert!(answer.status() < 500, "{answer}");
        }
    }
    is_well(&server);
    server.stop();
}

/// Row 4: what is agreed never sends audio where nobody asked for it.
#[test]
fn a_description_that_leads_astray_sends_nothing_there() {
    let server = Server::start(&Setup { port_blocks: 3, ..Setup::default() });
    let customer = Client::at(CUSTOMER, server.sip());
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let sdp = customer.sdp();
    let own = server.rtp().start().to_string();
    let hostile = [
        sdp.replace("127.0.0.2", "255.255.255.255"),
        sdp.replace("127.0.0.2", "224.0.0.1"),
        sdp.replace("IN IP4 127.0.0.2", "IN IP6 ::1"),
        sdp.replace("9000", "65536"),
        sdp.replace("9000", "-1"),
        sdp.replace("AVP 0 8", "AVP 128 300"),
        sdp.replace("PCMU/8000", "PCMU/0"),
        sdp.clone() + &"m=audio 9000 RTP/AVP 0\r\n".repeat(1000),
        sdp.clone() + &format!("a=x:{}\r\n", "y".repeat(30_000)),
        sdp.clone() + "a=ptime:99999\r\n",
        sdp.replace("127.0.0.2", "0.0.0.0"),
        sdp.replace("127.0.0.2", "169.254.169.254"),
        // Our own ports: it would be a loop.
        sdp.replace("127.0.0.2", "127.0.0.1").replace("9000", &own),
        sdp.replace("m=audio 9000 RTP/AVP 0 8\r\n", ""),
        sdp.clone() + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\na=crypto:nonsense\r\n",
        sdp.replace("RTP/AVP", "RTP/SAVP") + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n",
        sdp.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF") + "a=setup:actpass\r\na=fingerprint:x y\r\n",
        sdp.clone() + &"a=candidate:1 1 udp 1 224.0.0.1 9 typ host\r\n".repeat(700),
        "v=0\r\n".to_owned(),
        "nonsense".to_owned(),
    ];
    for body in hostile {
        customer.renew();
        customer.send(&customer.request_with("INVITE", "+4930100", "+4915", &[], &body));
        let answer = loop {
            if let Some(message) = phone.receive_within(Duration::from_millis(20))
                && message.start().starts_with("INVITE")
            {
                phone.send(&phone.reply(&message, "486 Busy Here", &[], ""));
            }
            match customer.receive_within(Duration::from_millis(20)) {
                Some(message) if message.status() >= 200 => break message,
                Some(_) | None => {}
            }
        };
        let status = answer.status();
        assert!([400, 406, 415, 486, 488, 606].contains(&status), "{status} to {body:.200}");
        let ack = Dialog::of_caller(&answer);
        let target = format!("sip:+4930100@{}", server.sip());
        let seq = answer.seq();
        customer.send(&customer.within(&Dialog { target, ..ack }, "ACK", seq, ""));
    }
    is_well(&server);
    server.stop();
}

/// Nothing listens where nothing was configured, and the address of a test is its own.
#[test]
fn the_server_listens_where_it_was_told_only() {
    let server = server();
    let other = SocketAddr::from(([127, 0, 0, 77], server.sip().port()));
    assert!(TcpStream::connect(other).is_err());
    server.stop();
}
