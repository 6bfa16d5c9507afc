//! Rows 1, 2 and 4: what is read, and what it can make us do.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use interop::audio::{Audio, place};
use interop::client::{Client, Dialog, Message, PATIENCE};
use interop::{CUSTOMER, Network, PHONE, Record, Server, Setup, Talk};

use crate::media::{MARKS, registered};
use crate::{SILENCE, STRANGER, is_well, server};

/// Row 1, a sample: all of RFC 4475 is a table of the `b2bua` crate.
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

/// Something hostile, and the status that it gets over UDP and over TCP; 0 is silence, over TCP with
/// the connection closed. `None`: it is not said there.
type Hostile = (String, Option<u16>, Option<u16>);

/// The largest datagram (IPv4).
const DATAGRAM_MAX: usize = 65_507;

fn hostile(client: &Client) -> Vec<Hostile> {
    let with = |line: &str| client.request_with("OPTIONS", "x", "x", &[line], "");
    let many = |line: &str, count: usize| with(&vec![line; count].join("\r\n"));
    let instead = |from: &str, to: &str| client.request("OPTIONS", "x").replacen(from, to, 1);
    let rows = [
        (many("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx", 1100), 400, 400),
        (many("Contact: <sip:x@10.0.0.1>", 2400), 400, 400),
        (many("Contact: <sip:x@10.0.0.1>", 2500), 0, 413), // no datagram
        (many("Route: <sip:10.0.0.1;lr>", 2500), 400, 400),
        (many("X-A: b", 4000), 400, 400),
        (with(&format!("Subject: {}", "a".repeat(60_000))), 400, 400),
        (with(&format!("Subject: {}", "a".repeat(70_000))), 0, 413),
        (with(&format!("Subject: {}", "\"".repeat(5000))), 200, 200),
        (with(&format!("Accept: {}", ",".repeat(5000))), 200, 200),
        (with(&format!("X-Fold: a{}", "\r\n b".repeat(1000))), 200, 200),
        (with(&format!("X-Fold: a{}", "\r\n b".repeat(5000))), 400, 400),
        (with("Expires: 99999999999999999999"), 200, 200),
        (instead("Max-Forwards: 70", "Max-Forwards: 99999999999999999999"), 400, 400),
        (instead("CSeq: ", "CSeq: 99999999999999999999"), 400, 400),
        (instead("CSeq: ", "CSeq: 4294967296"), 400, 400),
        (instead("Content-Length: 0", "Content-Length: 18446744073709551616"), 400, 413),
        (instead("Content-Length: 0", "Content-Length: 99999999999"), 400, 413),
        (instead("Content-Length: 0", "Content-Length: -1"), 400, 400),
        (with("X-Nul: a\0b"), 400, 400),
        (with("X-Bare: a\rb\nc"), 400, 400),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 0, 0),
        ("\u{16}\u{3}\u{1}\u{0}\u{5}hello, I am TLS".to_owned(), 0, 0),
    ];
    let mut rows: Vec<Hostile> = rows
        .into_iter()
        .map(|(text, udp, tcp)| {
            let fits = text.len() <= DATAGRAM_MAX;
            (text, fits.then_some(udp), Some(tcp))
        })
        .collect();
    // Over TCP the rest would be waited for.
    rows.push((instead("Content-Length: 0", "Content-Length: 1"), Some(400), None));
    rows
}

/// What a datagram brings; the question after it is answered at once.
fn answer_to(client: &Client, text: &str) -> Option<Message> {
    client.send(text);
    let ping = client.request("OPTIONS", "ping");
    client.send(&ping);
    let is_ping = |answer: &Message| {
        let branch = |message: &Message| message.header("Via").map(|via| via.to_owned());
        let asked = branch(&Message::of(&ping)).expect("a Via");
        let asked = asked.split("branch=").nth(1).expect("a branch").to_owned();
        branch(answer).is_some_and(|via| via.contains(&asked))
    };
    let answer = client.receive();
    if is_ping(&answer) {
        assert_eq!(answer.status(), 200);
        return None;
    }
    let after = client.receive();
    assert!(is_ping(&after) && after.status() == 200, "{after}");
    let (sent, back) = (text.len(), answer.text().len());
    assert!(back <= 2 * sent, "{sent} bytes brought {back}:\n{answer}");
    Some(answer)
}

/// Row 2: what is hostile gets the one answer that suits it, never larger than twice itself, and the
/// next request is served at once.
#[test]
fn hostile_headers_are_refused_shortly() {
    let setup = Setup { net: "messages_per_second_max = 10000", ..Setup::default() };
    let server = Server::start(&setup);
    let client = Client::at(STRANGER, server.sip());
    let stream = Client::tcp(server.sip()); // writes requests only
    for ((datagram, over_udp, _), (text, _, over_tcp)) in
        hostile(&client).into_iter().zip(hostile(&stream))
    {
        if let Some(expected) = over_udp {
            let status = answer_to(&client, &datagram).map_or(0, |answer| answer.status());
            assert_eq!(status, expected, "over UDP: {datagram:.400}");
        }
        if let Some(expected) = over_tcp {
            let stream = Client::tcp(server.sip());
            stream.send(&text);
            match expected {
                0 => assert!(stream.is_closed_within(PATIENCE), "over TCP: {text:.400}"),
                _ => assert_eq!(stream.receive().status(), expected, "over TCP: {text:.400}"),
            }
        }
        is_well(&server);
    }
    server.stop();
}

/// Row 2: cut off anywhere, it is refused as soon as there is somebody to answer, and else ignored.
#[test]
fn a_request_that_is_cut_off_is_refused() {
    let setup = Setup { net: "messages_per_second_max = 10000", ..Setup::default() };
    let server = Server::start(&setup);
    let client = Client::at(STRANGER, server.sip());
    let whole = client.request("REGISTER", "");
    let told = whole.find("Contact:").expect("a Contact");
    let mut seen = [0, 0];
    for end in 1..whole.len() {
        let status = answer_to(&client, &whole[..end]).map_or(0, |answer| answer.status());
        match status {
            0 => assert!(end < told, "silence to {}", &whole[..end]),
            _ => assert_eq!(status, 400, "{}", &whole[..end]),
        }
        seen[usize::from(status > 0)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
    server.stop();
}

/// Row 4: whatever a description says, its call ends with a status, and the next is served.
#[test]
fn a_description_that_leads_astray_is_answered() {
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

/// A customer's call whose audio shall go to `claimed`: the phone answers and says 20 packets, and it
/// is hung up.
#[track_caller]
fn call_for(customer: &Client, phone: &Client, claimed: SocketAddr) {
    let offer = Audio::claiming(customer.local().ip(), MARKS[0], claimed).sdp();
    let mut speaks = Audio::at(phone.local().ip(), MARKS[1]);
    customer.renew();
    customer.send(&customer.request_with("INVITE", "+4930100", "+4915", &[], &offer));
    let invite = phone.receive_request("INVITE");
    phone.send(&phone.reply(&invite, "200 OK", &[], &speaks.sdp()));
    let answered = customer.receive_final();
    assert_eq!(answered.status(), 200, "{claimed}: {answered}");
    let of_customer = Dialog::of_caller(&answered);
    customer.send(&customer.within(&of_customer, "ACK", answered.seq(), ""));
    phone.receive_request("ACK");
    let to = place(invite.body());
    for _ in 0..20 {
        speaks.say(to);
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(customer.ask(&customer.within(&of_customer, "BYE", 100, "")).status(), 200);
    let bye = phone.receive_request("BYE");
    phone.send(&phone.reply(&bye, "200 OK", &[], ""));
}

/// The same for somebody who is there: what the phone says is heard.
#[track_caller]
fn call_for_who_listens(customer: &Client, phone: &Client, listener: &Audio) {
    call_for(customer, phone, listener.local());
    let heard = listener.heard(SILENCE);
    assert!(heard.len() >= 19 && heard.iter().all(|mark| *mark == MARKS[1]), "{heard:?}");
}

/// The calls for `astray`, in their order, had the phone's audio and sent nothing of it; the one
/// after them did.
#[track_caller]
fn nothing_was_sent(records: &[Record], astray: &[SocketAddr]) {
    let (calls, after) = records.split_at(astray.len());
    for (record, claimed) in calls.iter().zip(astray) {
        assert_eq!(record.leg("customer")["packetsSent"], 0, "{claimed}: {record:?}");
        assert_eq!(record.leg("1001")["packetsReceived"], 20, "{claimed}: {record:?}");
    }
    let sent = &after[0].leg("customer")["packetsSent"];
    assert!(sent.as_u64() >= Some(19), "{:?}", after[0]);
}

/// Row 4: calls that are up, with a phone that speaks: not a packet goes to everybody, to nobody, or
/// to the services of a cloud. The server has a way to wherever it likes, so that it is not the
/// kernel who keeps the packets.
#[test]
fn a_call_that_is_up_sends_no_audio_astray() {
    Network::within("parsing::a_call_that_is_up_sends_no_audio_astray", |network| {
        let server = Server::start(&Setup::across(network).with_untouched_audio());
        let mut phone = Client::at(network.at(11), server.sip());
        assert_eq!(phone.register("1001", 600).status(), 200);
        let customer = Client::at(network.at(2), server.sip());
        let astray = [
            ([255, 255, 255, 255], 9000),
            ([10, 77, 0, 255], 9000), // all in the server's own network
            ([224, 0, 0, 1], 9000),
            ([239, 1, 2, 3], 9000),
            ([240, 0, 0, 1], 9000),
            ([0, 0, 0, 0], 9000),
            ([169, 254, 169, 254], 80),
        ]
        .map(SocketAddr::from);
        for claimed in astray {
            call_for(&customer, &phone, claimed);
        }
        call_for_who_listens(&customer, &phone, &Audio::at(network.at(2), 0));
        nothing_was_sent(&server.stop().records, &astray);
    });
}

/// Row 4: a port of our own would be a loop, or a way into somebody else's call.
#[test]
fn a_call_that_is_up_sends_no_audio_to_our_own_ports() {
    let setup = Setup { port_blocks: 2, ..Setup::default() }.with_untouched_audio();
    let server = Server::start(&setup);
    let mut second = Client::at(PHONE, server.sip());
    assert_eq!(second.register("1002", 600).status(), 200);
    let others = [Audio::at(CUSTOMER, 0x33), Audio::at(PHONE, 0x44)];
    let [one, two] = &others;
    let caller = Client::at(CUSTOMER, server.sip());
    let (talk, open) = Talk::with_audio(caller, second, "+4930200", [one, two]);
    let ports = open.map(|place| place.port());
    let own = [ports[0], ports[0] + 1, ports[1], ports[1] + 1, server.sip().port()];
    let own = own.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));

    let phone = registered(&server);
    let customer = Client::at(CUSTOMER, server.sip());
    for claimed in own {
        call_for(&customer, &phone, claimed);
    }
    // On the same address, at a port that is not ours: a phone beside us.
    let neighbour = Audio::at(Ipv4Addr::LOCALHOST, 0);
    assert!(!server.rtp().contains(&neighbour.local().port()));
    call_for_who_listens(&customer, &phone, &neighbour);
    for other in &others {
        assert_eq!(other.heard_by_now(), [0; 0], "a call of others is spoken into");
    }
    talk.hang_up();
    nothing_was_sent(&server.stop().records, &own);
}

/// Nothing listens where nothing was configured, and the address of a test is its own.
#[test]
fn the_server_listens_where_it_was_told_only() {
    let server = server();
    let other = SocketAddr::from(([127, 0, 0, 77], server.sip().port()));
    assert!(TcpStream::connect(other).is_err());
    server.stop();
}
