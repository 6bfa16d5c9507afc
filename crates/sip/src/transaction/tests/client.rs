//! Client transactions, CANCEL, strays.

use super::*;

const INVITE_SENDS: [u128; 7] = [0, 500, 1500, 3500, 7500, 15500, 31500];
const OTHER_SENDS: [u128; 11] =
    [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];

#[test]
fn a_dead_peer_is_given_up_after_32_s() {
    for (method, transport, sends) in [
        ("INVITE", Transport::Udp, INVITE_SENDS.to_vec()),
        ("INVITE", Transport::Tcp, vec![0]),
        ("BYE", Transport::Udp, OTHER_SENDS.to_vec()),
        ("BYE", Transport::Wss, vec![0]),
    ] {
        let mut bench = Bench::new();
        bench.request(ours(method), target(transport));
        bench.pass(Duration::from_secs(100));
        assert_eq!(bench.sends(), sends, "{method} {transport:?}");
        assert_eq!(bench.end(), (32_000, vec!["timed out".into(), "ended".into()]));
        assert!(bench.layer.is_empty());
    }
}

#[test]
fn the_end_comes_when_the_rfc_says() {
    for (method, transport, status, end_ms) in [
        ("INVITE", Transport::Udp, 486, 33_000),
        ("INVITE", Transport::Tcp, 486, 1_000),
        ("INVITE", Transport::Udp, 200, 33_000),
        ("INVITE", Transport::Tls, 200, 33_000),
        ("BYE", Transport::Udp, 200, 6_000),
        ("BYE", Transport::Udp, 481, 6_000),
        ("BYE", Transport::Tcp, 200, 1_000),
    ] {
        let mut bench = Bench::new();
        bench.request(ours(method), target(transport));
        let sent = bench.last_request_sent();
        bench.pass(Duration::from_secs(1));
        bench.receive(answer(&sent, status), &source(transport));
        bench.pass(Duration::from_secs(100));
        assert_eq!(bench.end().0, end_ms, "{method} {transport:?} {status}");
        assert_eq!(bench.end().1.last().unwrap(), "ended");
        assert!(bench.layer.is_empty() && bench.layer.next_timeout().is_none());
    }
}

#[test]
fn a_provisional_answer_stops_the_invite_and_slows_the_others() {
    for (method, sends) in
        [("INVITE", vec![0]), ("BYE", vec![0, 500, 4500, 8500, 12500, 16500, 20500, 24500, 28500])]
    {
        let mut bench = Bench::new();
        bench.request(ours(method), target(Transport::Udp));
        let sent = bench.last_request_sent();
        bench.receive(answer(&sent, 100), &source(Transport::Udp));
        bench.pass(Duration::from_secs(100));
        assert_eq!(bench.sends(), sends, "{method}");
    }
}

#[test]
fn the_via_is_ours_alone() {
    let mut bench = Bench::new();
    for (transport, start) in [
        (Transport::Udp, "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK"),
        (Transport::Ws, "SIP/2.0/WS pbx.example.com;rport;branch=z9hG4bK"),
    ] {
        let mut request = ours("OPTIONS");
        request.headers.push(Name::Via, "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKinner");
        bench.request(request, target(transport));
        let sent = bench.last_request_sent();
        let vias: Vec<_> = sent.headers.list(Name::Via).collect();
        assert_eq!(vias.len(), 1);
        assert!(vias[0].starts_with(start), "{vias:?}");
    }
}

#[test]
fn a_refusal_is_acked_as_often_as_it_comes_and_delivered_once() {
    let mut bench = Bench::new();
    bench.request(ours("INVITE"), target(Transport::Udp));
    let invite = bench.last_request_sent();
    bench.receive(answer(&invite, 486), &source(Transport::Udp));
    let ack = bench.last_request_sent();
    assert_eq!(bench.said_briefly(), ["send INVITE", "send ACK", "response 486"]);
    bench.receive(answer(&invite, 486), &source(Transport::Udp));
    assert_eq!(bench.last_request_sent(), ack);
    assert_eq!(bench.said_briefly(), ["send ACK"]);

    // RFC 3261 §17.1.1.3.
    assert_eq!((ack.method.clone(), &ack.uri), (Method::Ack, &invite.uri));
    for name in [Name::Via, Name::Route, Name::From, Name::CallId] {
        assert_eq!(ack.headers.get(name), invite.headers.get(name), "{name:?}");
    }
    assert_eq!(ack.headers.get(Name::To), Some("<sip:bob@198.51.100.7>;tag=theirs"));
    assert_eq!(ack.headers.get(Name::CSeq), Some("7 ACK"));
    assert!(ack.body.is_empty() && !ack.headers.has(Name::Supported));
}

#[test]
fn every_2xx_of_a_fork_is_delivered_for_32_s() {
    let mut bench = Bench::new();
    bench.request(ours("INVITE"), target(Transport::Udp));
    let invite = bench.last_request_sent();
    let fork = |tag| invite.response(StatusCode::OK).with_to_tag(tag);
    bench.receive(fork("a"), &source(Transport::Udp));
    bench.pass(Duration::from_secs(31));
    bench.receive(fork("b"), &source(Transport::Udp));
    bench.receive(answer(&invite, 180), &source(Transport::Udp));
    bench.receive(answer(&invite, 486), &source(Transport::Udp));
    assert_eq!(bench.said_briefly(), ["send INVITE", "response 200", "response 200"]);
}

#[test]
fn a_2xx_after_its_transaction_is_a_stray_to_hang_up() {
    let mut bench = Bench::new();
    bench.request(ours("INVITE"), target(Transport::Udp));
    let invite = bench.last_request_sent();
    bench.request(ours("BYE"), target(Transport::Udp));
    let bye = bench.last_request_sent();
    bench.pass(Duration::from_secs(100));
    bench.said();
    for (request, status, said) in [
        (&invite, 200, vec!["stray 200"]),
        (&invite, 180, vec![]),
        (&invite, 487, vec![]),
        (&bye, 200, vec![]),
    ] {
        bench.receive(answer(request, status), &source(Transport::Udp));
        assert_eq!(bench.said_briefly(), said, "{} {status}", request.method);
    }
    assert_eq!(bench.layer.counters().stray_responses, 3);
}

#[test]
fn what_an_older_snapshot_does_not_know_is_gone() {
    let mut bench = Bench::new();
    let mut restored = bench.clone();
    bench.request(ours("INVITE"), target(Transport::Udp));
    let lost = bench.last_request_sent();
    restored.rng.next_u64();
    restored.request(ours("INVITE"), target(Transport::Udp));
    restored.said();
    // The same id, another branch.
    restored.receive(answer(&lost, 486), &source(Transport::Udp));
    restored.receive(answer(&lost, 200), &source(Transport::Udp));
    assert_eq!(restored.said_briefly(), ["stray 200"]);
}

/// ATTACKS 14.
#[test]
fn a_response_that_is_not_to_us_changes_nothing() {
    type Forgery = fn(&mut Response);
    let forgeries: [Forgery; 7] = [
        |r| {
            r.headers.remove(Name::Via);
        },
        |r| r.headers.push(Name::Via, "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKother"),
        |r| replace_in_via(r, "z9hG4bK0", "z9hG4bK1"),
        |r| replace_in_via(r, "192.0.2.1", "192.0.2.2"),
        |r| r.headers.set_first(Name::Via, "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKguess"),
        |r| r.headers.set(Name::CSeq, "7 BYE"),
        |r| r.headers.set(Name::CSeq, "7 CANCEL"),
    ];
    for gone in [false, true] {
        for (row, forge) in forgeries.iter().enumerate() {
            let mut bench = Bench::new();
            bench.request(ours("INVITE"), target(Transport::Udp));
            let mut response = answer(&bench.last_request_sent(), 200);
            if gone {
                bench.pass(Duration::from_secs(100));
            }
            bench.said();
            let before = bench.layer.len();
            forge(&mut response);
            bench.receive(response, &source(Transport::Udp));
            assert_eq!(bench.said(), [], "row {row}, gone: {gone}");
            assert_eq!((bench.layer.len(), bench.layer.counters().stray_responses), (before, 1));
        }
    }
}

fn replace_in_via(response: &mut Response, from: &str, to: &str) {
    let via = response.headers.get(Name::Via).unwrap().replace(from, to);
    response.headers.set(Name::Via, via);
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut bench = Bench::new();
    let id = bench.request(ours("INVITE"), target(Transport::Udp));
    let invite = bench.last_request_sent();
    bench.cancel(id);
    assert_eq!(bench.said_briefly(), ["send INVITE"]);
    bench.receive(answer(&invite, 100), &source(Transport::Udp));
    let cancel = bench.last_request_sent();
    assert_eq!(bench.said_briefly(), ["response 100", "send CANCEL"]);

    // RFC 3261 §9.1.
    assert_eq!((cancel.method.clone(), &cancel.uri), (Method::Cancel, &invite.uri));
    for name in [Name::Via, Name::Route, Name::From, Name::To, Name::CallId] {
        assert_eq!(cancel.headers.get(name), invite.headers.get(name), "{name:?}");
    }
    assert_eq!(cancel.headers.get(Name::CSeq), Some("7 CANCEL"));
    assert_eq!(cancel.headers.get(Name::Reason), Some("SIP;cause=200"));
    assert!(!cancel.headers.has(Name::Supported));

    // The user hears nothing of the CANCEL itself.
    bench.receive(answer(&cancel, 200), &source(Transport::Udp));
    assert_eq!(bench.said(), []);
    bench.receive(answer(&invite, 487), &source(Transport::Udp));
    assert_eq!(bench.said_briefly(), ["send ACK", "response 487"]);
    bench.cancel(id);
    bench.pass(Duration::from_secs(100));
    assert_eq!(bench.said_briefly(), ["ended"]);
    assert!(bench.layer.is_empty());
}

#[test]
fn a_cancel_that_crosses_the_answer_changes_nothing() {
    for (provisional_first, said) in
        [(true, vec!["response 180", "send CANCEL", "response 200"]), (false, vec!["response 200"])]
    {
        let mut bench = Bench::new();
        let id = bench.request(ours("INVITE"), target(Transport::Tcp));
        let invite = bench.last_request_sent();
        bench.said();
        if provisional_first {
            bench.receive(answer(&invite, 180), &source(Transport::Tcp));
        }
        bench.cancel(id);
        bench.receive(answer(&invite, 200), &source(Transport::Tcp));
        let said_then: Vec<_> = bench.said_briefly();
        let expected: Vec<_> =
            said.iter().map(|s| s.replace("CANCEL", "CANCEL over TCP")).collect();
        assert_eq!(said_then, expected);
        // No CANCEL after the final response, however often it is asked for.
        bench.cancel(id);
        bench.pass(Duration::from_secs(100));
        assert_eq!(bench.said_briefly(), ["ended"]);
        assert!(bench.layer.is_empty());
    }
}

#[test]
fn a_cancel_ends_with_its_invite() {
    let mut bench = Bench::new();
    let id = bench.request(ours("INVITE"), target(Transport::Tcp));
    let invite = bench.last_request_sent();
    bench.receive(answer(&invite, 180), &source(Transport::Tcp));
    bench.cancel(id);
    let cancel = bench.last_request_sent();
    assert_eq!(bench.layer.len(), 2);
    bench.said();
    bench.receive(answer(&invite, 487), &source(Transport::Tcp));
    assert_eq!(bench.said_briefly(), ["send ACK over TCP", "response 487", "ended"]);
    assert!(bench.layer.is_empty() && bench.layer.next_timeout().is_none());
    bench.receive(answer(&cancel, 200), &source(Transport::Tcp));
    assert_eq!(bench.said(), []);
}

#[test]
fn a_cancel_without_effect_ends_the_invite_32_s_later() {
    let mut bench = Bench::new();
    let id = bench.request(ours("INVITE"), target(Transport::Udp));
    let invite = bench.last_request_sent();
    bench.receive(answer(&invite, 180), &source(Transport::Udp));
    bench.pass(Duration::from_secs(90));
    bench.events.clear();
    bench.cancel(id);
    bench.cancel(id);
    bench.pass(Duration::from_secs(100));
    let expected: Vec<_> = OTHER_SENDS.iter().map(|at| at + 90_000).collect();
    assert_eq!(bench.sends(), expected);
    assert_eq!(bench.end(), (122_000, vec!["timed out".into(), "ended".into()]));
    assert!(bench.layer.is_empty());
}

#[test]
fn a_request_too_large_for_udp_tries_tcp_and_falls_back() {
    for (method, len, pinned, first) in [
        ("INVITE", 1301, false, "send INVITE over TCP"),
        ("MESSAGE", 1301, false, "send MESSAGE over TCP"),
        ("INVITE", 1300, false, "send INVITE"),
        ("INVITE", 1301, true, "send INVITE"),
    ] {
        let mut request = ours(method);
        request.set_body("text/plain", vec![b'x'; 900]);
        let mut bench = Bench::new();
        bench.request(request.clone(), target(Transport::Udp));
        // The branch has the same length each time, and so has Content-Length.
        let Some((_, Event::Send { bytes, .. })) = bench.events.pop() else { panic!() };
        request.set_body("text/plain", vec![b'x'; 900 + len - bytes.len()]);
        bench = Bench::new();
        let mut target = target(Transport::Udp);
        target.flow = pinned.then_some(FLOW);
        let id = bench.request(request, target);
        let Event::Send { bytes, .. } = &bench.events[0].1 else { panic!() };
        assert_eq!(bytes.len(), len);
        let sent = bench.last_request_sent();
        assert_eq!(bench.said_briefly(), [first]);
        if !first.contains("TCP") {
            continue;
        }
        assert_eq!(&*sent.via().unwrap().transport, "TCP");
        bench.pass(Duration::from_secs(10));
        bench.send_failed(id);
        let again = bench.last_request_sent();
        assert_eq!(&*again.via().unwrap().transport, "UDP");
        assert_eq!(again.via().unwrap().branch(), sent.via().unwrap().branch());
        bench.pass(Duration::from_secs(2));
        let again = format!("send {method}");
        assert_eq!(bench.said_briefly(), [again.as_str(); 3]);
        bench.send_failed(id);
        assert_eq!(bench.said_briefly(), ["transport failed", "ended"]);
        assert!(bench.layer.is_empty());
    }
}

#[test]
fn a_peer_that_answered_over_tcp_is_not_asked_again_over_udp() {
    for method in ["INVITE", "MESSAGE"] {
        let mut bench = Bench::new();
        let large = ours(method).with_body("text/plain", vec![b'x'; 1300]);
        let id = bench.request(large, target(Transport::Udp));
        bench.receive(answer(&bench.last_request_sent(), 180), &source(Transport::Tcp));
        bench.said();
        bench.send_failed(id);
        assert_eq!(bench.said_briefly(), ["transport failed", "ended"]);
    }
}

#[test]
fn what_was_asked_over_a_lost_connection_fails() {
    let mut bench = Bench::new();
    bench.request(ours("INVITE"), target(Transport::Tcp));
    let invite = bench.last_request_sent();
    bench.receive(answer(&invite, 180), &source(Transport::Tcp));
    bench.request(ours("OPTIONS"), target(Transport::Tcp));
    let udp = bench.request(ours("OPTIONS"), target(Transport::Udp));
    bench.said();
    bench.act(|layer, now, out| layer.flow_closed(now, FlowId(8), out));
    assert_eq!(bench.said(), []);
    bench.act(|layer, now, out| layer.flow_closed(now, FLOW, out));
    let expected = ["transport failed", "ended", "transport failed", "ended"];
    assert_eq!(bench.said_briefly(), expected);
    bench.send_failed(udp);
    assert_eq!(bench.said_briefly(), ["transport failed", "ended"]);
    assert!(bench.layer.is_empty());
}

#[test]
fn an_answered_invite_outlives_its_connection() {
    let mut bench = Bench::new();
    let id = bench.request(ours("INVITE"), target(Transport::Tcp));
    let invite = bench.last_request_sent();
    bench.receive(answer(&invite, 200), &source(Transport::Tcp));
    bench.said();
    bench.send_failed(id);
    bench.act(|layer, now, out| layer.flow_closed(now, FLOW, out));
    assert_eq!(bench.said(), []);
    bench.receive(answer(&invite, 200), &source(Transport::Tcp));
    assert_eq!(bench.said_briefly(), ["response 200"]);
}

#[test]
fn beyond_the_limit_no_request_is_sent() {
    let config = Config { client_transactions_max: 1, ..Config::default() };
    let mut bench = Bench::with(config);
    let id = bench.request(ours("INVITE"), target(Transport::Udp));
    let invite = bench.last_request_sent();
    let mut rng = bench.rng.clone();
    let refused = bench.act(|layer, now, out| {
        layer.request(now, ours("OPTIONS"), target(Transport::Udp), &mut rng, out)
    });
    assert_eq!(refused, Err(crate::transaction::Full));
    // A CANCEL still goes out.
    bench.receive(answer(&invite, 180), &source(Transport::Udp));
    bench.cancel(id);
    assert_eq!(bench.said_briefly(), ["send INVITE", "response 180", "send CANCEL"]);
    bench.pass(Duration::from_secs(100));
    bench.request(ours("OPTIONS"), target(Transport::Udp));
}

#[test]
fn the_ack_of_a_2xx_has_a_branch_of_its_own_and_no_transaction() {
    let mut bench = Bench::new();
    let mut branches = Vec::new();
    for _ in 0..2 {
        let mut rng = bench.rng.clone();
        bench.act(|layer, _, out| {
            layer.send_ack(ours("ACK"), target(Transport::Udp), &mut rng, out);
        });
        bench.rng = rng;
        let via = bench.last_request_sent().via().unwrap();
        branches.push(via.rfc3261_branch().unwrap().to_owned());
    }
    assert_ne!(branches[0], branches[1]);
    assert!(bench.layer.is_empty());
}

#[test]
fn the_invite_is_there_to_look_at_until_it_is_answered() {
    let mut bench = Bench::new();
    let id = bench.request(ours("INVITE"), target(Transport::Udp));
    assert_eq!(bench.layer.request_of(id), Some(&ours("INVITE")));
    let invite = bench.last_request_sent();
    bench.receive(answer(&invite, 200), &source(Transport::Udp));
    assert_eq!(bench.layer.request_of(id), None);
}

#[test]
fn what_is_sent_is_not_shown() {
    let mut bench = Bench::new();
    let mut request = ours("INVITE").with_body("application/sdp", "a=crypto:secret");
    request.headers.push(Name::Authorization, "Digest response=\"secret\"");
    bench.request(request, target(Transport::Udp));
    bench.receive(answer(&bench.last_request_sent(), 180), &source(Transport::Udp));
    let shown = format!("{:?}", bench);
    assert!(shown.contains("Send ") && !shown.contains("secret"), "{shown}");
}
