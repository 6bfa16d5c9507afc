use proptest::prelude::*;

use super::super::testing::{answer, invite, request, response, restored};
use super::*;

/// Bob's side of Alice's INVITE.
fn bob(more: &str) -> Dialog {
    Dialog::uas(&invite(more), "b-tag").unwrap()
}

/// Alice's side, answered with these headers.
fn alice(more: &str) -> Dialog {
    Dialog::uac(&invite(""), &answer(200, more)).unwrap()
}

fn routes(request: &Request) -> Vec<&str> {
    request.headers.list(Name::Route).collect()
}

/// A request of Alice's inside the dialog.
fn inside(method: &str, seq: u64, call_id: &str, from_tag: &str, to_tag: &str) -> Request {
    request(&format!(
        "{method} sip:bob@192.0.2.4 SIP/2.0
         Via: SIP/2.0/UDP pc33.atlanta.example;branch=z9hG4bK777
         Max-Forwards: 70
         From: Alice <sip:alice@atlanta.example>{from_tag}
         To: Bob <sip:bob@biloxi.example>{to_tag}
         Call-ID: {call_id}
         CSeq: {seq} {method}"
    ))
}

fn numbered(method: &str, seq: u64) -> Request {
    inside(method, seq, "a84b4c76e66710", ";tag=a-tag", ";tag=b-tag")
}

#[test]
fn both_sides_see_the_same_dialog() {
    let (alice, bob) = (alice("Contact: <sip:bob@192.0.2.4>"), bob(""));
    let (hers, his) = (alice.id(), bob.id());
    assert_eq!(
        (&*hers.call_id, &*hers.local_tag, &*hers.remote_tag),
        ("a84b4c76e66710", "a-tag", "b-tag")
    );
    assert_eq!(hers.call_id, his.call_id);
    assert_eq!((&hers.local_tag, &hers.remote_tag), (&his.remote_tag, &his.local_tag));
}

#[test]
fn a_request_inside_the_dialog_has_all_that_rfc_3261_12_2_1_1_asks() {
    let mut alice = alice("Contact: <sip:bob@192.0.2.4>");
    alice.confirm();
    let bye = alice.request(Method::Bye);
    assert_eq!(bye.uri.to_string(), "sip:bob@192.0.2.4");
    let headers: Vec<_> = bye.headers.iter().collect();
    let expected = [
        ("Max-Forwards", "70"),
        ("From", "\"Alice\" <sip:alice@atlanta.example>;tag=a-tag"),
        ("To", "\"Bob\" <sip:bob@biloxi.example>;tag=b-tag"),
        ("Call-ID", "a84b4c76e66710"),
        ("CSeq", "314160 BYE"),
    ];
    assert_eq!(headers, expected);
    let bye = bob("").request(Method::Bye);
    assert_eq!(bye.uri.to_string(), "sip:alice@pc33.atlanta.example");
    assert_eq!(bye.from().unwrap().tag(), Some("b-tag"));
    assert_eq!(bye.to().unwrap().tag(), Some("a-tag"));
}

#[test]
fn an_ack_has_the_number_of_its_invite_and_counts_nothing() {
    let mut alice = alice("Contact: <sip:bob@192.0.2.4>");
    assert_eq!(alice.ack(314_159).headers.get(Name::CSeq), Some("314159 ACK"));
    assert_eq!(alice.request(Method::Bye).headers.get(Name::CSeq), Some("314160 BYE"));
}

const RECORD_ROUTES: &str =
    "Record-Route: <sip:p3.biloxi.example;lr>, <sip:p2.example;lr>;x=\"a,b\"
    Record-Route: <sip:p1.atlanta.example;lr>
    Contact: <sip:bob@192.0.2.4>";

#[test]
fn the_caller_reverses_record_route_and_the_callee_does_not() {
    let mut alice = alice(RECORD_ROUTES);
    let hers = [
        "<sip:p1.atlanta.example;lr>",
        "<sip:p2.example;lr>;x=\"a,b\"",
        "<sip:p3.biloxi.example;lr>",
    ];
    let request = alice.request(Method::Options);
    assert_eq!(request.uri.to_string(), "sip:bob@192.0.2.4");
    assert_eq!(request.headers.get_all(Name::Route).collect::<Vec<_>>(), hers);
    assert_eq!(alice.next_hop().to_string(), "sip:p1.atlanta.example;lr");
    let mut bob = bob("Record-Route: <sip:p3.biloxi.example;lr>, <sip:p2.example;lr>");
    let request = bob.request(Method::Options);
    assert_eq!(routes(&request), ["<sip:p3.biloxi.example;lr>", "<sip:p2.example;lr>"]);
    assert_eq!(bob.next_hop().to_string(), "sip:p3.biloxi.example;lr");
}

#[test]
fn a_strict_router_gets_the_request_uri_as_in_the_example_of_rfc_3261_12_2_1_1() {
    let mut alice = Dialog::uac(
        &invite(""),
        &answer(
            200,
            "Record-Route: <sip:proxy4>, <sip:proxy3;lr>, <sip:proxy2>, <sip:proxy1>
             Contact: <sip:user@remoteua>",
        ),
    )
    .unwrap();
    let request = alice.request(Method::Invite);
    assert_eq!(request.uri.to_string(), "sip:proxy1");
    let expected = ["<sip:proxy2>", "<sip:proxy3;lr>", "<sip:proxy4>", "<sip:user@remoteua>"];
    assert_eq!(routes(&request), expected);
    assert_eq!(alice.next_hop().to_string(), "sip:proxy1");
}

#[test]
fn a_loose_router_before_a_strict_one_stays_a_route_as_in_rfc_3261_16_12_1() {
    // §16.12.1.2: U1 → P1 (strict) … here the first hop is loose, the second is not.
    let mut bob = bob("Record-Route: <sip:p4.domain.example;lr>, <sip:p3.middle.example>");
    let request = bob.request(Method::Bye);
    assert_eq!(request.uri.to_string(), "sip:alice@pc33.atlanta.example");
    assert_eq!(routes(&request), ["<sip:p4.domain.example;lr>", "<sip:p3.middle.example>"]);
}

#[test]
fn the_2xx_decides_on_route_set_and_target() {
    let early = answer(
        180,
        "Record-Route: <sip:old.example;lr>
         Contact: <sip:bob@192.0.2.4>",
    );
    let mut dialog = Dialog::uac(&invite(""), &early).unwrap();
    assert!(!dialog.is_confirmed());
    dialog.request(Method::Prack);
    dialog.confirm_by(&answer(
        200,
        "Record-Route: <sip:new.example;lr>
         Contact: <sip:bob@192.0.2.5>",
    ));
    assert!(dialog.is_confirmed());
    let bye = dialog.request(Method::Bye);
    assert_eq!(routes(&bye), ["<sip:new.example;lr>"]);
    assert_eq!(bye.uri.to_string(), "sip:bob@192.0.2.5");
    assert_eq!(bye.cseq().unwrap().seq, 314_161, "the PRACK was numbered too");
}

#[test]
fn without_a_contact_a_1xx_goes_where_the_invite_went_and_a_stray_2xx_nowhere() {
    let dialog = Dialog::uac(&invite(""), &answer(180, "")).unwrap();
    assert_eq!(dialog.remote_target().to_string(), "sip:bob@biloxi.example");
    assert_eq!(Dialog::stray(&answer(200, "")), Err(NoDialog));
}

#[test]
fn a_2xx_of_a_forgotten_fork_makes_its_ack_and_bye_by_itself() {
    let success = answer(
        200,
        "Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>
         Contact: <sip:bob@192.0.2.4>",
    );
    let mut stray = Dialog::stray(&success).unwrap();
    let (ack, bye) = (stray.ack(314_159), stray.request(Method::Bye));
    assert_eq!((ack.cseq().unwrap().seq, bye.cseq().unwrap().seq), (314_159, 314_224));
    for request in [ack, bye] {
        assert_eq!(routes(&request), ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]);
        assert_eq!(request.from().unwrap().tag(), Some("a-tag"));
        assert_eq!(request.to().unwrap().tag(), Some("b-tag"));
    }
}

#[test]
fn only_a_sip_uri_becomes_a_remote_target() {
    for contact in ["<http://evil.example/>", "<tel:+15550100>", "*", "<mailto:x@y.example>"] {
        let text = format!("Contact: {contact}");
        let mut invite = invite("");
        invite.headers.set(Name::Contact, contact);
        assert_eq!(Dialog::uas(&invite, "b-tag"), Err(NoDialog), "{contact}");
        let mut dialog = alice("Contact: <sip:bob@192.0.2.4>");
        dialog.refresh_target(&answer(200, &text).headers);
        assert_eq!(dialog.remote_target().to_string(), "sip:bob@192.0.2.4", "{contact}");
    }
}

#[test]
fn a_target_refresh_moves_the_target_and_no_route() {
    let mut dialog = alice(RECORD_ROUTES);
    let routes_before = dialog.route_set.clone();
    dialog.refresh_target(
        &answer(
            200,
            "Record-Route: <sip:mallory.example;lr>
             Contact: <sip:bob@198.51.100.7:5090;transport=tcp>",
        )
        .headers,
    );
    assert_eq!(dialog.remote_target().to_string(), "sip:bob@198.51.100.7:5090;transport=tcp");
    assert_eq!(dialog.route_set, routes_before);
    dialog.refresh_target(&answer(200, "").headers);
    assert_eq!(dialog.remote_target().to_string(), "sip:bob@198.51.100.7:5090;transport=tcp");
}

#[test]
fn a_sips_target_is_never_moved_to_plain_sip() {
    let mut dialog = alice("Contact: <sips:bob@192.0.2.4>");
    assert!(!dialog.is_secure(), "the INVITE went to sip:");
    dialog.refresh_target(&answer(200, "Contact: <sip:bob@192.0.2.9>").headers);
    assert_eq!(dialog.remote_target().to_string(), "sips:bob@192.0.2.4");
    dialog.refresh_target(&answer(200, "Contact: <sips:bob@192.0.2.9>").headers);
    assert_eq!(dialog.remote_target().to_string(), "sips:bob@192.0.2.9");
    let mut invite = invite("");
    invite.uri = "sips:bob@biloxi.example".parse().unwrap();
    assert!(Dialog::uas(&invite, "b").unwrap().is_secure());
    assert!(Dialog::uac(&invite, &answer(180, "")).unwrap().is_secure());
}

#[test]
fn what_may_not_stand_in_a_request_uri_is_left_out() {
    let mut dialog = alice("Contact: <sip:bob@192.0.2.4;method=REFER;ob?Replaces=1%3Bto-tag%3D2>");
    assert_eq!(dialog.request(Method::Bye).uri.to_string(), "sip:bob@192.0.2.4;ob");
}

#[test]
fn a_request_needs_call_id_both_tags_and_a_rising_number() {
    let ours = "a84b4c76e66710";
    let (a, b) = (";tag=a-tag", ";tag=b-tag");
    let rows = [
        (inside("BYE", 314_160, ours, a, b), Ok(())),
        (inside("BYE", 314_159, ours, a, b), Err(500)),
        (inside("BYE", 1, ours, a, b), Err(500)),
        (inside("BYE", 2_147_483_647, ours, a, b), Ok(())),
        (inside("BYE", 314_160, "other", a, b), Err(481)),
        (inside("BYE", 314_160, ours, ";tag=guess", b), Err(481)),
        (inside("BYE", 314_160, ours, "", b), Err(481)),
        (inside("BYE", 314_160, ours, a, ";tag=guess"), Err(481)),
        (inside("BYE", 314_160, ours, a, ""), Err(481)),
        (inside("ACK", 314_159, ours, a, b), Ok(())),
        (inside("ACK", 314_159, ours, ";tag=guess", b), Err(481)),
        (inside("CANCEL", 314_159, ours, a, b), Ok(())),
    ];
    for (request, expected) in rows {
        let before = bob("");
        let mut dialog = before.clone();
        assert_eq!(
            dialog.check_request(&request).map_err(|status| status.0),
            expected,
            "{request:?}"
        );
        let counted = expected.is_ok() && request.method == Method::Bye;
        assert_eq!(dialog != before, counted, "a refused request must leave no trace");
    }
}

#[test]
fn the_first_request_of_the_callee_may_have_any_number() {
    let mut alice = alice("Contact: <sip:bob@192.0.2.4>");
    let request = |seq: u32| {
        let mut request = numbered("INFO", seq.into());
        request.headers.set(Name::From, "<sip:bob@biloxi.example>;tag=b-tag");
        request.headers.set(Name::To, "<sip:alice@atlanta.example>;tag=a-tag");
        request
    };
    assert_eq!(alice.check_request(&request(0)), Ok(()));
    assert_eq!(alice.check_request(&request(0)), Err(StatusCode::SERVER_INTERNAL_ERROR));
    assert_eq!(alice.check_request(&request(70_000)), Ok(()));
}

#[test]
fn a_peer_of_rfc_2543_has_no_tag() {
    let mut old = invite("");
    old.headers.set(Name::From, "<sip:alice@atlanta.example>");
    let mut dialog = Dialog::uas(&old, "b-tag").unwrap();
    assert_eq!(&*dialog.id().remote_tag, "");
    assert_eq!(
        dialog.request(Method::Bye).headers.get(Name::To),
        Some("<sip:alice@atlanta.example>")
    );
    let bye = inside("BYE", 314_160, "a84b4c76e66710", "", ";tag=b-tag");
    assert_eq!(dialog.check_request(&bye), Ok(()));
}

#[test]
fn a_route_set_has_a_bound() {
    let many = |count: usize| {
        let routes = vec!["<sip:p.example;lr>"; count].join(", ");
        Dialog::uas(&invite(&format!("Record-Route: {routes}")), "b-tag").map(|_| ())
    };
    assert_eq!(many(ROUTE_SET_MAX), Ok(()));
    assert_eq!(many(ROUTE_SET_MAX + 1), Err(NoDialog));
}

#[test]
fn what_lacks_a_header_makes_no_dialog() {
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        let mut invite = invite("");
        invite.headers.remove(name);
        assert_eq!(Dialog::uas(&invite, "b-tag"), Err(NoDialog), "{name:?}");
        let mut success = answer(200, "Contact: <sip:bob@192.0.2.4>");
        success.headers.remove(name);
        assert_eq!(Dialog::stray(&success), Err(NoDialog), "{name:?}");
    }
    let broken = response(
        "SIP/2.0 200 OK
         Via: SIP/2.0/UDP pc33.atlanta.example;branch=z9hG4bK776
         From: Alice <sip:alice@atlanta.example>;tag=a-tag
         To: Bob <sip:bob@biloxi.example>;tag=b-tag
         Call-ID: a84b4c76e66710
         CSeq: 314159 INVITE
         Record-Route: <sip:p1.example;lr>, nonsense
         Contact: <sip:bob@192.0.2.4>",
    );
    assert_eq!(Dialog::uac(&invite(""), &broken), Err(NoDialog));
}

/// Something that happens to a dialog.
#[derive(Clone, Debug)]
enum Step {
    Ours(Method),
    Renumber,
    Theirs(u32),
    Refresh,
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::sample::select(vec![Method::Bye, Method::Update, Method::Invite])
            .prop_map(Step::Ours),
        Just(Step::Renumber),
        (314_150u32..314_200).prop_map(Step::Theirs),
        Just(Step::Refresh),
        Just(Step::Restore),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn numbers_only_rise_and_a_restored_dialog_goes_on(steps in prop::collection::vec(step(), 0..40)) {
        let mut dialog = bob(RECORD_ROUTES.split("Contact").next().unwrap().trim());
        let (mut ours, mut theirs) = (0, 314_159);
        for step in steps {
            match step {
                Step::Ours(method) => {
                    let seq = dialog.request(method).cseq().unwrap().seq;
                    prop_assert!(seq > ours);
                    ours = seq;
                }
                Step::Renumber => {
                    let mut request = dialog.request(Method::Bye);
                    dialog.renumber(&mut request);
                    let seq = request.cseq().unwrap().seq;
                    prop_assert!(seq > ours + 1);
                    ours = seq;
                }
                Step::Theirs(seq) => {
                    let taken = dialog.check_request(&numbered("INFO", seq.into()));
                    prop_assert_eq!(taken.is_ok(), seq > theirs);
                    theirs = theirs.max(seq);
                }
                Step::Refresh => dialog.refresh_target(&invite("").headers),
                Step::Restore => {
                    let again = restored(&dialog);
                    prop_assert_eq!(&again, &dialog);
                    dialog = again;
                }
            }
        }
    }
}
