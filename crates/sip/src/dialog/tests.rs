//! The dialog and its machines, rule by rule.

use std::time::Duration;

use base::{Rng, Time};
use bytes::Bytes;

use super::*;
use crate::message::{
    Message, Method, Name, RAck, Refresher, Request, Response, StatusCode, parse_datagram,
};

const T1: Duration = Duration::from_millis(500);

fn invite(extra: &str) -> Request {
    let text = format!(
        "INVITE sip:bob@b.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bK1\r\n\
         From: <sip:alice@a.test>;tag=a\r\nTo: <sip:bob@b.test>\r\nCall-ID: c@a.test\r\n\
         CSeq: 7 INVITE\r\nContact: <sip:alice@192.0.2.1:5070>\r\nMax-Forwards: 70\r\n{extra}\r\n"
    );
    match parse_datagram(Bytes::from(text)).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!("a request was written"),
    }
}

fn ok(extra: &[(Name, &str)]) -> Response {
    let mut response = invite("").response(StatusCode::OK).with_to_tag("b");
    response.headers.push(Name::Contact, "<sip:bob@198.51.100.2>");
    for (name, value) in extra {
        response.headers.push(*name, *value);
    }
    response
}

#[test]
fn both_ends_make_the_same_dialog_of_one_invite() {
    let uac = Dialog::uac(&invite(""), &ok(&[])).unwrap();
    let uas = Dialog::uas(&invite(""), "b").unwrap();
    assert_eq!(uac.id().local_tag, uas.id().remote_tag);
    assert_eq!(uac.id().remote_tag, uas.id().local_tag);
    assert_eq!(uac.remote_target().to_string(), "sip:bob@198.51.100.2");
    assert_eq!(uas.remote_target().to_string(), "sip:alice@192.0.2.1:5070");
}

#[test]
fn requests_are_numbered_from_the_invite_on_and_an_ack_keeps_its_number() {
    let mut dialog = Dialog::uac(&invite(""), &ok(&[])).unwrap();
    let ack = dialog.ack(7);
    assert_eq!(ack.headers.get(Name::CSeq), Some("7 ACK"));
    assert_eq!(dialog.request(Method::Bye).headers.get(Name::CSeq), Some("8 BYE"));
    let mut again = dialog.request(Method::Update);
    dialog.renumber(&mut again);
    assert_eq!(again.headers.get(Name::CSeq), Some("10 UPDATE"));
}

#[test]
fn a_loose_route_set_is_reversed_for_the_caller_and_kept_for_the_callee() {
    let routes = "<sip:p1.test;lr>, <sip:p2.test;lr>";
    let mut uac = Dialog::uac(&invite(""), &ok(&[(Name::RecordRoute, routes)])).unwrap();
    let bye = uac.request(Method::Bye);
    assert_eq!(bye.uri.to_string(), "sip:bob@198.51.100.2");
    let order: Vec<_> = bye.headers.get_all(Name::Route).collect();
    assert_eq!(order, ["<sip:p2.test;lr>", "<sip:p1.test;lr>"]);
    assert_eq!(uac.next_hop().to_string(), "sip:p2.test;lr");
    let mut uas = Dialog::uas(&invite(&format!("Record-Route: {routes}\r\n")), "b").unwrap();
    let bye = uas.request(Method::Bye);
    assert_eq!(bye.headers.get(Name::Route), Some("<sip:p1.test;lr>"));
}

#[test]
fn a_strict_router_takes_the_request_uri() {
    // RFC 3261 §16.12.1.2: the target moves to the end of the route set.
    let strict = invite("Record-Route: <sip:p1.test>, <sip:p2.test;lr>\r\n");
    let mut dialog = Dialog::uas(&strict, "b").unwrap();
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.uri.to_string(), "sip:p1.test");
    let routes: Vec<_> = bye.headers.get_all(Name::Route).collect();
    assert_eq!(routes, ["<sip:p2.test;lr>", "<sip:alice@192.0.2.1:5070>"]);
}

#[test]
fn requests_out_of_order_are_refused() {
    let mut dialog = Dialog::uas(&invite(""), "b").unwrap();
    let numbered = |seq: u32| {
        let mut request = invite("");
        request.headers.set(Name::To, "<sip:bob@b.test>;tag=b");
        request.headers.set(Name::CSeq, format!("{seq} INVITE"));
        request
    };
    assert_eq!(dialog.check_request(&numbered(7)), Err(StatusCode::SERVER_INTERNAL_ERROR));
    assert_eq!(dialog.check_request(&numbered(9)), Ok(()));
    assert_eq!(dialog.check_request(&numbered(8)), Err(StatusCode::SERVER_INTERNAL_ERROR));
}

#[test]
fn a_target_refresh_moves_the_target_and_never_to_another_scheme() {
    let mut dialog = Dialog::uas(&invite(""), "b").unwrap();
    for (contact, target) in [
        ("<sip:alice@192.0.2.9>", "sip:alice@192.0.2.9"),
        ("<http://evil.test/>", "sip:alice@192.0.2.9"),
        ("<tel:+4930>", "sip:alice@192.0.2.9"),
    ] {
        let mut request = invite("");
        request.headers.set(Name::Contact, contact);
        dialog.refresh_target(&request.headers);
        assert_eq!(dialog.remote_target().to_string(), target, "{contact}");
    }
}

#[test]
fn an_invite_without_contact_makes_no_dialog() {
    let mut request = invite("");
    request.headers.remove(Name::Contact);
    assert_eq!(Dialog::uas(&request, "b"), Err(NoDialog));
}

#[test]
fn reliable_provisionals_go_one_at_a_time_and_repeat_until_their_prack() {
    let mut uas = ReliableUas::new(&mut Rng::from_u64(1));
    let ringing = || invite("").response(StatusCode::RINGING).with_to_tag("b");
    let first = uas.send(Time::ZERO, ringing(), T1).unwrap();
    assert!(first.headers.has_token(Name::Require, "100rel"));
    assert_eq!(uas.send(Time::ZERO, ringing(), T1), None, "the second waits");
    assert_eq!(uas.deadline(), Some(Time::ZERO + T1));
    assert_eq!(uas.fired(Time::ZERO + T1).as_ref(), Some(&first));
    assert_eq!(uas.deadline(), Some(Time::ZERO + 3 * T1));
    let rseq = first.headers.rseq().unwrap();
    let rack = |rseq, cseq| RAck { rseq, cseq, method: Method::Invite };
    assert!(!uas.acknowledge(&rack(rseq + 1, 7)));
    assert!(!uas.acknowledge(&rack(rseq, 8)));
    assert!(uas.acknowledge(&rack(rseq, 7)));
    let second = uas.next(Time::ZERO + 2 * T1, T1).unwrap();
    assert_eq!(second.headers.rseq(), Some(rseq + 1));
    assert_eq!(uas.fired(Time::ZERO + 66 * T1), None, "given up");
}

#[test]
fn a_2xx_waits_for_a_provisional_with_sdp_only() {
    let mut uas = ReliableUas::new(&mut Rng::from_u64(1));
    let mut progress = invite("").response(StatusCode::SESSION_PROGRESS).with_to_tag("b");
    uas.send(Time::ZERO, progress.clone(), T1);
    assert!(!uas.is_awaiting_description());
    progress.set_body("application/sdp", "v=0\r\n");
    uas.send(Time::ZERO, progress, T1);
    assert!(uas.is_awaiting_description());
}

#[test]
fn the_caller_acknowledges_provisionals_in_order() {
    let mut uac = ReliableUac::default();
    let provisional = |rseq: Option<u32>| {
        let mut response = invite("").response(StatusCode::RINGING).with_to_tag("b");
        if let Some(rseq) = rseq {
            response.headers.push(Name::Require, "100rel");
            response.headers.push(Name::RSeq, rseq.to_string());
        }
        response
    };
    let fresh = |rseq| Reliable::Fresh(RAck { rseq, cseq: 7, method: Method::Invite });
    assert_eq!(uac.receive(&provisional(None)), Reliable::Unreliable);
    assert_eq!(uac.receive(&provisional(Some(40))), fresh(40));
    assert_eq!(uac.receive(&provisional(Some(40))), Reliable::Repeated);
    assert_eq!(uac.receive(&provisional(Some(42))), Reliable::OutOfOrder);
    assert_eq!(uac.receive(&provisional(Some(41))), fresh(41));
}

fn timer() -> SessionTimer {
    SessionTimer::new(Duration::from_secs(1800), Duration::from_secs(90))
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

#[test]
fn a_session_shorter_than_ours_is_refused_with_what_we_accept() {
    let asks =
        |seconds: u32| invite(&format!("Supported: timer\r\nSession-Expires: {seconds}\r\n"));
    let refused = timer().check_request(&asks(60)).unwrap_err();
    assert_eq!(refused.status, StatusCode::SESSION_INTERVAL_TOO_SMALL);
    assert_eq!(refused.headers.min_se(), Some(90));
    assert!(timer().check_request(&asks(90)).is_ok());
    // RFC 4028 §9: one that does not understand timers would not understand a 422 either.
    assert!(timer().check_request(&invite("Session-Expires: 60\r\n")).is_ok());
}

#[test]
fn the_callee_side_follows_the_table_of_rfc_4028() {
    for (request, refresher, due) in [
        ("Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n", Some("uac"), at(88)),
        ("Supported: timer\r\nSession-Expires: 120;refresher=uas\r\n", Some("uas"), at(60)),
        ("Supported: timer\r\nSession-Expires: 120\r\n", Some("uac"), at(88)),
        ("Supported: timer\r\n", Some("uac"), at(1768)),
        ("", None, at(900)),
    ] {
        let (mut timer, mut response) = (timer(), ok(&[]));
        timer.answer(Time::ZERO, &invite(request), &mut response);
        let written = response.headers.get(Name::SessionExpires);
        let written = written.and_then(|value| value.split("refresher=").nth(1));
        assert_eq!(written, refresher, "{request}");
        assert_eq!(timer.deadline(), Some(due), "{request}");
        let requires = response.headers.has_token(Name::Require, "timer");
        assert_eq!(requires, refresher == Some("uac"), "{request}");
    }
}

#[test]
fn the_caller_side_obeys_the_2xx_and_refreshes_alone_without_one() {
    for (granted, due) in [
        (Some("200;refresher=uac"), at(100)),
        (Some("200;refresher=uas"), at(168)),
        (Some("200"), at(100)),
        (None, at(900)),
    ] {
        let mut timer = timer();
        let extra: Vec<_> = granted.iter().map(|value| (Name::SessionExpires, *value)).collect();
        timer.accepted(Time::ZERO, &ok(&extra));
        assert_eq!(timer.deadline(), Some(due), "{granted:?}");
    }
}

#[test]
fn a_lost_refresh_costs_nothing_before_the_sessions_end() {
    let mut timer = timer();
    timer.accepted(Time::ZERO, &ok(&[(Name::SessionExpires, "200;refresher=uac")]));
    assert_eq!(timer.fired(at(100)), SessionDue::Refresh);
    timer.refresh_failed(at(132));
    assert_eq!(timer.deadline(), Some(at(149)), "a quarter of what is left");
    assert_eq!(timer.fired(at(149)), SessionDue::Refresh);
    timer.refresh_failed(at(195));
    assert_eq!(timer.deadline(), Some(at(200)));
    assert_eq!(timer.fired(at(200)), SessionDue::Expired);
    assert_eq!(timer.deadline(), None);
}

#[test]
fn the_roles_stay_on_a_refresh() {
    let mut timer = timer();
    timer.accepted(Time::ZERO, &ok(&[(Name::SessionExpires, "200;refresher=uas")]));
    let mut update = invite("");
    timer.offer(&mut update.headers);
    let offered = update.headers.session_expires().unwrap();
    assert_eq!((offered.delta_secs, offered.refresher), (200, Some(Refresher::Uas)));
    assert_eq!(update.headers.min_se(), Some(90));
}

#[test]
fn a_422_is_answered_with_more_time_once() {
    let mut timer = timer();
    let demand = |seconds: &str| {
        let mut response = invite("").response(StatusCode::SESSION_INTERVAL_TOO_SMALL);
        response.headers.push(Name::MinSe, seconds);
        response
    };
    assert!(!timer.too_small(&demand("600")), "we asked for more than that");
    assert!(timer.too_small(&demand("3600")));
    assert!(!timer.too_small(&demand("3600")), "the same demand again leads nowhere");
    assert!(!timer.too_small(&demand("99999999")));
}

#[test]
fn what_is_demanded_of_us_is_granted_or_named() {
    for (extra, unknown) in [
        ("Require: 100rel, timer\r\n", None),
        ("Require: 100rel, foo\r\nProxy-Require: bar\r\n", Some("foo bar")),
    ] {
        let verdict = allow::check_require(&invite(extra));
        assert_eq!(verdict.err().map(|tags| tags.join(" ")).as_deref(), unknown, "{extra}");
    }
}

#[test]
fn what_we_say_we_can_is_what_we_take() {
    let mut response = ok(&[]);
    allow::add_capabilities(&mut response.headers);
    for tag in allow::SUPPORTED {
        assert!(response.headers.has_token(Name::Supported, tag), "{tag}");
    }
    assert!(response.headers.has_token(Name::Allow, "UPDATE"));
}
