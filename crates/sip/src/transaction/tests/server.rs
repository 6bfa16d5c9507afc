//! Server transactions, matching, CANCEL, stateless replies.

use super::*;

const INVITE: &str = "INVITE sip:100@192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKone;rport
Max-Forwards: 70
From: <sip:bob@198.51.100.7>;tag=theirs
To: <sip:100@192.0.2.1>
Call-ID: call-2
CSeq: 3 INVITE";

const NAMED: &str = "INVITE sip:100@192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP pbx.example.com;branch=z9hG4bKone
From: <sip:bob@198.51.100.7>;tag=theirs
To: <sip:100@192.0.2.1>
Call-ID: call-2
CSeq: 3 INVITE";

const OLD_INVITE: &str = "INVITE sip:100@192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 198.51.100.7:5060
From: <sip:bob@198.51.100.7>;tag=theirs
To: <sip:100@192.0.2.1>
Call-ID: call-2
CSeq: 3 INVITE";

const FINAL_SENDS: [u128; 11] =
    [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];

fn of(method: &str, invite: &str) -> String {
    invite.replace("INVITE", method)
}

fn udp() -> Source {
    source(Transport::Udp)
}

fn reply(request: &Request, status: u16) -> Response {
    request.response(StatusCode(status)).with_to_tag("ours")
}

#[test]
fn an_invite_is_answered_with_100_and_its_repetition_with_the_latest() {
    let mut bench = Bench::new();
    let (invite, id) = bench.accept(INVITE, &udp());
    assert_eq!(bench.said_briefly(), ["send 100"]);
    bench.receive(request(INVITE), &udp());
    assert_eq!(bench.said_briefly(), ["send 100"]);
    bench.respond(id, reply(&invite, 180));
    bench.receive(request(INVITE), &udp());
    assert_eq!(bench.said_briefly(), ["send 180", "send 180"]);
    assert_eq!(bench.layer.counters().retransmissions, 2);
}

#[test]
fn another_request_is_answered_when_the_user_says() {
    let mut bench = Bench::new();
    let bye = of("BYE", INVITE);
    let (request_in, id) = bench.accept(&bye, &udp());
    bench.receive(request(&bye), &udp());
    assert_eq!(bench.said(), [], "nothing to repeat yet");
    bench.respond(id, reply(&request_in, 200));
    bench.receive(request(&bye), &udp());
    bench.respond(id, reply(&request_in, 500));
    assert_eq!(bench.said_briefly(), ["send 200", "send 200"]);
    bench.pass(Duration::from_secs(100));
    assert_eq!(bench.end(), (32_000, vec!["ended".into()]));
    assert!(bench.layer.is_empty());
}

#[test]
fn a_refusal_is_repeated_until_the_ack_or_32_s() {
    for (transport, sends) in [(Transport::Udp, FINAL_SENDS.to_vec()), (Transport::Tcp, vec![0])] {
        let mut bench = Bench::new();
        let (invite, id) = bench.accept(INVITE, &source(transport));
        bench.said();
        bench.respond(id, reply(&invite, 486));
        bench.pass(Duration::from_secs(100));
        assert_eq!(bench.sends(), sends);
        assert_eq!(bench.end(), (32_000, vec!["ack timed out".into(), "ended".into()]));
        assert!(bench.layer.is_empty());
    }
}

#[test]
fn an_ack_stops_the_refusal() {
    for (transport, ends, end_ms) in
        [(Transport::Udp, vec!["acked"], 6_200), (Transport::Tls, vec!["acked", "ended"], 1_200)]
    {
        let mut bench = Bench::new();
        let source = source(transport);
        let (invite, id) = bench.accept(INVITE, &source);
        bench.respond(id, reply(&invite, 486));
        bench.pass(Duration::from_millis(1200));
        bench.events.clear();
        bench.receive(request(&of("ACK", INVITE)), &source);
        let events = bench.events.clone();
        assert_eq!(bench.said_briefly(), ends);
        bench.events = events;
        if transport == Transport::Udp {
            bench.receive(request(&of("ACK", INVITE)), &source);
            bench.receive(request(INVITE), &source);
        }
        bench.pass(Duration::from_secs(100));
        assert_eq!((bench.end().0, bench.sends()), (end_ms, vec![]));
        assert!(bench.layer.is_empty());
    }
}

/// RFC 6026 §7.1.
#[test]
fn after_a_2xx_the_invite_is_absorbed_and_the_ack_is_the_users() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut bench = Bench::new();
        let source = source(transport);
        let (invite, id) = bench.accept(INVITE, &source);
        bench.respond(id, reply(&invite, 200));
        bench.events.clear();
        bench.receive(request(INVITE), &source);
        assert_eq!(bench.said(), []);
        bench.respond(id, reply(&invite, 200));
        bench.respond(id, reply(&invite, 486));
        bench.respond(id, reply(&invite, 180));
        assert_eq!(bench.sends(), [0], "the 2xx again, and nothing else");
        bench.events.clear();
        for ack in [of("ACK", INVITE), of("ACK", INVITE).replace("z9hG4bKone", "z9hG4bKtwo")] {
            bench.receive(request(&ack), &source);
            assert_eq!(bench.said_briefly(), ["request ACK"]);
        }
        bench.pass(Duration::from_secs(100));
        assert_eq!(bench.end(), (32_000, vec!["ended".into()]));
        assert!(bench.layer.is_empty());
    }
}

/// RFC 3261 §17.2.3: what a second request is, after an INVITE was accepted.
#[test]
fn requests_find_their_transaction() {
    const FRESH: &str = "request";
    const KNOWN: &str = "retransmission";
    const MERGED: &str = "merged";
    let with_tag = ("<sip:100@192.0.2.1>", "<sip:100@192.0.2.1>;tag=ours");
    for (invite, what, change, expected) in [
        (INVITE, "the same", ("", ""), KNOWN),
        (INVITE, "other branch", ("bKone", "bKtwo"), MERGED),
        (INVITE, "branch in another case", ("bKone", "bKONE"), MERGED),
        (INVITE, "other sent-by host", ("UDP 198.51.100.7", "UDP 198.51.100.8"), MERGED),
        (INVITE, "other sent-by port", ("7:5060", "7:5061"), MERGED),
        (NAMED, "sent-by host in another case", ("pbx.example", "PBX.Example"), KNOWN),
        (INVITE, "no sent-by port", ("7:5060", "7"), MERGED),
        (INVITE, "other Call-ID", ("call-2", "call-3"), FRESH),
        (INVITE, "other CSeq", ("3 INVITE", "4 INVITE"), FRESH),
        (INVITE, "other From tag", ("tag=theirs", "tag=others"), FRESH),
        (INVITE, "other method", ("INVITE", "OPTIONS"), FRESH),
        (INVITE, "other Request-URI", ("sip:100@192.0.2.1 SIP", "sip:101@192.0.2.1 SIP"), KNOWN),
        (INVITE, "received of its own", ("one;rport", "one;rport=1;received=10.0.0.1"), KNOWN),
        (OLD_INVITE, "the same", ("", ""), KNOWN),
        (OLD_INVITE, "received of its own", ("7:5060", "7:5060;received=10.0.0.1"), KNOWN),
        (OLD_INVITE, "other Request-URI", ("sip:100@192.0.2.1 SIP", "sip:1@192.0.2.1 SIP"), MERGED),
        (OLD_INVITE, "other Via", ("7:5060", "7:5060;branch=1"), MERGED),
        (OLD_INVITE, "other sent-by", ("7:5060", "7:5061"), MERGED),
        (OLD_INVITE, "To tag", with_tag, FRESH),
        (OLD_INVITE, "other Call-ID", ("call-2", "call-3"), FRESH),
        (OLD_INVITE, "other CSeq", ("3 INVITE", "4 INVITE"), FRESH),
        (OLD_INVITE, "other From tag", ("tag=theirs", "tag=others"), FRESH),
        (OLD_INVITE, "RFC 3261 branch", ("7:5060", "7:5060;branch=z9hG4bKone"), MERGED),
    ] {
        let mut bench = Bench::new();
        bench.accept(invite, &udp());
        bench.said();
        bench.receive(request(&invite.replace(change.0, change.1)), &udp());
        let counters = bench.layer.counters();
        let was = match (counters.retransmissions, counters.merged_requests) {
            (1, 0) => KNOWN,
            (0, 1) => MERGED,
            _ => FRESH,
        };
        assert_eq!(was, expected, "{what}: {:?}", bench.said());
    }
}

#[test]
fn an_ack_finds_its_invite() {
    let tagged = ("<sip:100@192.0.2.1>", "<sip:100@192.0.2.1>;tag=ours");
    let other_tag = ("<sip:100@192.0.2.1>", "<sip:100@192.0.2.1>;tag=else");
    for (invite, what, change, said) in [
        (INVITE, "no To tag", ("", ""), "acked"),
        (INVITE, "To tag", tagged, "acked"),
        (INVITE, "other branch", ("bKone", "bKtwo"), "request ACK"),
        (INVITE, "other sent-by", ("7:5060", "7:5061"), "request ACK"),
        (OLD_INVITE, "no To tag", ("", ""), "request ACK"),
        (OLD_INVITE, "To tag of the response", tagged, "acked"),
        (OLD_INVITE, "other To tag", other_tag, "request ACK"),
        (OLD_INVITE, "other Via", ("7:5060", "7:5060;branch=1"), "request ACK"),
    ] {
        let mut bench = Bench::new();
        let (request_in, id) = bench.accept(invite, &udp());
        bench.respond(id, reply(&request_in, 486));
        bench.said();
        bench.receive(request(&of("ACK", invite).replace(change.0, change.1)), &udp());
        assert_eq!(bench.said_briefly(), [said], "{what}");
    }
}

#[test]
fn a_request_on_a_second_path_is_482() {
    let mut bench = Bench::new();
    let copy = INVITE.replace("bKone", "bKtwo");
    let (invite, id) = bench.accept(INVITE, &udp());
    bench.said();
    bench.receive(request(&copy), &udp());
    let Message::Response(refusal) = bench.last_sent() else { panic!() };
    assert_eq!(refusal.status, StatusCode::LOOP_DETECTED);
    assert_eq!(refusal.via().unwrap().branch(), Some("z9hG4bKtwo"));
    assert!(refusal.to().unwrap().tag().is_some());
    // The ACK of that 482 is answered by nothing.
    bench.said();
    bench.receive(request(&of("ACK", &copy)), &udp());
    assert_eq!(bench.said_briefly(), ["request ACK"]);
    // Within a dialog there is no such thing.
    let to_tag = ("<sip:100@192.0.2.1>", "<sip:100@192.0.2.1>;tag=ours");
    bench.receive(request(&copy.replace(to_tag.0, to_tag.1)), &udp());
    assert_eq!(bench.said_briefly(), ["request INVITE"]);
    // When the transaction is gone, a copy is new.
    bench.respond(id, reply(&invite, 486));
    bench.pass(Duration::from_secs(100));
    bench.said();
    bench.receive(request(&copy), &udp());
    assert_eq!(bench.said_briefly(), ["request INVITE"]);
}

#[test]
fn a_cancel_is_answered_and_told_once() {
    let mut bench = Bench::new();
    let (invite, id) = bench.accept(INVITE, &udp());
    bench.respond(id, reply(&invite, 180));
    bench.said();
    let cancel = of("CANCEL", INVITE);
    bench.receive(request(&cancel), &udp());
    let Message::Response(answer) = bench.last_sent() else { panic!() };
    assert_eq!(answer.to().unwrap().tag(), Some("ours"), "RFC 3261 §9.2");
    assert_eq!(answer.cseq().unwrap().method, Method::Cancel);
    assert_eq!(bench.said_briefly(), ["send 200", "cancelled"]);
    bench.receive(request(&cancel), &udp());
    assert_eq!(bench.said_briefly(), ["send 200"]);
    bench.respond(id, reply(&invite, 487));
    bench.receive(request(&cancel), &udp());
    assert_eq!(bench.said_briefly(), ["send 487", "send 200"]);
    assert_eq!(bench.layer.len(), 1, "a CANCEL keeps no state");
}

#[test]
fn a_cancel_after_the_answer_has_no_effect() {
    for status in [200, 486] {
        let mut bench = Bench::new();
        let (invite, id) = bench.accept(INVITE, &udp());
        bench.respond(id, reply(&invite, status));
        bench.said();
        bench.receive(request(&of("CANCEL", INVITE)), &udp());
        assert_eq!(bench.said_briefly(), ["send 200"], "{status}");
    }
}

/// ATTACKS 14.
#[test]
fn a_cancel_by_guess_is_the_users_to_refuse() {
    let stranger = Source { remote: "203.0.113.9:5060".parse().unwrap(), ..udp() };
    for (what, change, source) in [
        ("other branch", ("bKone", "bKtwo"), udp()),
        ("other Call-ID", ("call-2", "call-3"), udp()),
        ("other CSeq", ("3 CANCEL", "4 CANCEL"), udp()),
        ("other From tag", ("tag=theirs", "tag=others"), udp()),
        ("other address", ("", ""), stranger),
    ] {
        let mut bench = Bench::new();
        bench.accept(INVITE, &udp());
        bench.said();
        let cancel = of("CANCEL", INVITE).replace(change.0, change.1);
        bench.receive(request(&cancel), &source);
        assert_eq!(bench.said_briefly(), ["request CANCEL"], "{what}");
    }
}

#[test]
fn an_unmatched_cancel_may_have_a_transaction() {
    let mut bench = Bench::new();
    let cancel = of("CANCEL", INVITE);
    let (request_in, id) = bench.accept(&cancel, &udp());
    bench.respond(id, reply(&request_in, 481));
    bench.receive(request(&cancel), &udp());
    assert_eq!(bench.said_briefly(), ["send 481", "send 481"]);
}

/// RFC 3261 §18.2.1, RFC 3581 §4.
#[test]
fn the_via_is_completed_for_the_way_back() {
    for (via, remote, stamped) in [
        ("UDP 198.51.100.7:5060", "198.51.100.7:5060", "UDP 198.51.100.7:5060"),
        ("UDP 10.0.0.1", "198.51.100.7:33000", "UDP 10.0.0.1;received=198.51.100.7"),
        (
            "UDP 198.51.100.7;rport",
            "198.51.100.7:33000",
            "UDP 198.51.100.7;received=198.51.100.7;rport=33000",
        ),
        ("TCP phone.invalid", "198.51.100.7:33000", "TCP phone.invalid;received=198.51.100.7"),
        (
            "UDP 198.51.100.7;received=203.0.113.9;rport=9",
            "198.51.100.7:33000",
            "UDP 198.51.100.7;received=198.51.100.7;rport=33000",
        ),
        ("UDP [2001:db8::1]", "[2001:db8::2]:5060", "UDP [2001:db8::1];received=2001:db8::2"),
        ("UDP 192.0.2.9;maddr=203.0.113.9", "192.0.2.9:5060", "UDP 192.0.2.9;maddr=203.0.113.9"),
    ] {
        let mut bench = Bench::new();
        let source = Source { remote: remote.parse().unwrap(), ..udp() };
        let text = INVITE.replace("UDP 198.51.100.7:5060;branch=z9hG4bKone;rport", via);
        let text = text.replace("Max-", "Via: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKin\nMax-");
        let (request_in, _) = bench.accept(&text, &source);
        let vias: Vec<_> = request_in.headers.list(Name::Via).collect();
        assert_eq!(
            vias,
            [format!("SIP/2.0/{stamped}").as_str(), "SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKin"]
        );
        // Whatever the Via says, the response goes to the sender.
        let (_, Event::Send { target, .. }) = bench.events.last().unwrap() else { panic!() };
        assert_eq!(*target, source.reply_target());
    }
}

#[test]
fn a_reply_without_state_has_the_same_tag_each_time() {
    let mut bench = Bench::new();
    let reply_to = |bench: &mut Bench, text: &str| {
        bench.receive(request(text), &udp());
        let Some(Event::Request { request, source }) = bench.said().pop() else { panic!() };
        let response = request.response(StatusCode::UNAUTHORIZED);
        bench.act(|layer, _, out| layer.reply_stateless(&request, &source, response, out));
        let Message::Response(response) = bench.last_sent() else { panic!() };
        response.to().unwrap().tag().unwrap().to_owned()
    };
    let tag = reply_to(&mut bench, INVITE);
    assert_eq!(reply_to(&mut bench, INVITE), tag);
    assert_ne!(reply_to(&mut bench, &INVITE.replace("bKone", "bKtwo")), tag);
    let kept = INVITE.replace("<sip:100@192.0.2.1>", "<sip:100@192.0.2.1>;tag=kept");
    assert_eq!(reply_to(&mut bench, &kept), "kept");
    assert!(bench.layer.is_empty());
}

#[test]
fn an_ack_is_never_answered() {
    let mut bench = Bench::new();
    let ack = request(&of("ACK", INVITE));
    let response = ack.response(StatusCode::BAD_REQUEST);
    bench.act(|layer, _, out| layer.reply_stateless(&ack, &udp(), response, out));
    assert_eq!(bench.act(|layer, now, out| layer.accept(now, &ack, &udp(), out)), None);
    assert_eq!(bench.said(), []);
}

#[test]
fn a_request_without_via_is_dropped() {
    let mut bench = Bench::new();
    let mut nameless = request(INVITE);
    nameless.headers.remove(Name::Via);
    bench.receive(nameless, &udp());
    assert_eq!((bench.said(), bench.layer.counters().unanswerable_requests), (vec![], 1));
}

#[test]
fn beyond_the_limit_no_transaction_is_made() {
    let mut bench = Bench::with(Config { server_transactions_max: 1, ..Config::default() });
    let (invite, id) = bench.accept(INVITE, &udp());
    let other = request(&INVITE.replace("call-2", "call-3").replace("bKone", "bKtwo"));
    assert_eq!(bench.act(|layer, now, out| layer.accept(now, &other, &udp(), out)), None);
    assert_eq!(bench.layer.counters().refused, 1);
    bench.respond(id, reply(&invite, 200));
    bench.pass(Duration::from_secs(32));
    assert!(bench.act(|layer, now, out| layer.accept(now, &other, &udp(), out)).is_some());
}

/// RFC 3261 §18.2.2.
#[test]
fn over_a_lost_connection_responses_go_to_the_via() {
    let named = INVITE.replace("UDP 198.51.100.7:5060", "TLS pbx.customer.com:5071");
    for (transport, text, port, tls_name) in [
        (Transport::Tcp, INVITE, 5060, None),
        (Transport::Tls, named.as_str(), 5071, Some("pbx.customer.com")),
    ] {
        let mut bench = Bench::new();
        let source = Source { remote: "198.51.100.7:33000".parse().unwrap(), ..source(transport) };
        let (invite, id) = bench.accept(text, &source);
        let alternative = Target {
            transport,
            addr: format!("198.51.100.7:{port}").parse().unwrap(),
            flow: None,
            tls_name: tls_name.map(Into::into),
        };
        // The 100 did not leave: once more on the other way.
        bench.said();
        bench.send_failed(id);
        let said = bench.said();
        assert!(matches!(&said[..], [Event::Send { target, .. }] if *target == alternative));
        // That fails too: the user is told once, and goes on.
        bench.send_failed(id);
        bench.send_failed(id);
        assert_eq!(bench.said_briefly(), ["transport failed"]);
        bench.respond(id, reply(&invite, 486));
        let said = bench.said();
        assert!(matches!(&said[..], [Event::Send { target, .. }] if *target == alternative));
        bench.pass(Duration::from_secs(100));
        assert!(bench.layer.is_empty());
    }
}

#[test]
fn a_closed_connection_is_left_before_the_answer() {
    for (transport, flow_then) in
        [(Transport::Tcp, None), (Transport::Ws, Some(FLOW)), (Transport::Udp, Some(FLOW))]
    {
        let mut bench = Bench::new();
        let (bye, id) = bench.accept(&of("BYE", INVITE), &source(transport));
        bench.act(|layer, now, out| layer.flow_closed(now, FLOW, out));
        bench.respond(id, reply(&bye, 200));
        let Event::Send { target, .. } = &bench.said()[0] else { panic!() };
        assert_eq!(target.flow, flow_then, "{transport:?}");
    }
}

#[test]
fn a_quiet_invite_is_not_answered_with_100() {
    let mut bench = Bench::new();
    let invite = request(INVITE);
    assert!(bench.act(|layer, _, _| layer.accept_quietly(&invite, &udp())).is_some());
    bench.receive(invite, &udp());
    assert_eq!(bench.said(), []);
}
