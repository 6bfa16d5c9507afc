//! Offer/answer, hold, PRACK, UPDATE, session timers, repetitions: what happens inside a call,
//! played by SIPp.

use interop::{Record, Scene, Setup, Sipp};

const ENTRY: &str = "+4930100"; // leads to 1001

/// A call of a customer to an agent that ends well; its record.
#[track_caller]
fn call(customer: &str, agent: &str) -> Record {
    call_with(customer, &[], agent, &[])
}

#[track_caller]
fn call_with(customer: &str, more: &[&str], agent: &str, agents: &[&str]) -> Record {
    ends_well(Scene::new(), (customer, more), (agent, agents))
}

/// A call whose two sides must have a codec in common.
#[track_caller]
fn call_without_transcoding(customer: &str, agent: &str) -> Record {
    let scene = Scene::with(&Setup { media: "transcode = false", ..Setup::default() });
    ends_well(scene, (customer, &[]), (agent, &[]))
}

#[track_caller]
fn ends_well(
    scene: Scene,
    (customer, more): (&str, &[&str]),
    (agent, agents): (&str, &[&str]),
) -> Record {
    let record =
        scene.agent_with("1001", agent, agents).customer_with(customer, ENTRY, more).record();
    assert_eq!((record.status(), record.ended_by()), (200, "caller"), "{record:?}");
    record
}

#[test]
fn an_invite_without_offer_gets_ours_in_the_200() {
    let record = call("customer-offers-late", "agent-answers");
    assert_eq!(record.codecs(), ["PCMU", "PCMU"]);
}

#[test]
fn a_reinvite_without_offer_gets_ours_in_the_200() {
    call("customer-reoffers-late", "agent-answers");
}

#[test]
fn hold_by_sendonly_is_answered_recvonly_and_resumed() {
    let keys = ["-key", "direction", "sendonly", "-key", "answer", "recvonly"];
    let record = call_with("customer-holds", &keys, "agent-answers", &[]);
    assert!(record.number("holdMs") >= 250, "{record:?}");
}

#[test]
fn hold_by_inactive_is_answered_inactive_and_resumed() {
    let keys = ["-key", "direction", "inactive", "-key", "answer", "inactive"];
    let record = call_with("customer-holds", &keys, "agent-answers", &[]);
    assert!(record.number("holdMs") >= 250, "{record:?}");
}

#[test]
fn hold_by_the_zero_address_keeps_the_call() {
    let record = call("customer-holds-by-zero-address", "agent-answers");
    assert!(record.number("holdMs") >= 250, "{record:?}");
}

#[test]
fn a_reinvite_without_offer_while_held_stays_held() {
    let record = call("customer-holds-and-reoffers-late", "agent-answers");
    assert!(record.number("holdMs") >= 500, "{record:?}");
}

#[test]
fn an_agent_holds_and_the_customer_is_not_asked() {
    let record = call_with("customer-calls", &["-d", "1500"], "agent-holds", &[]);
    assert!(record.number("holdMs") >= 250, "{record:?}");
}

#[test]
fn another_codec_is_agreed_with_the_far_side_first() {
    let record = call_without_transcoding("customer-changes-codec", "agent-changes-codec");
    assert_eq!(record.codecs(), ["PCMA", "PCMA"]);
}

#[test]
fn another_codec_of_one_side_is_transcoded_for_the_other() {
    let record = call("customer-changes-codec", "agent-answers");
    assert_eq!(record.codecs(), ["PCMA", "PCMU"]);
}

#[test]
fn a_collision_with_our_reinvite_is_tried_again() {
    // RFC 3261 §14.1: the owner of the Call-ID waits 2.1 to 4 s, the caller's re-INVITE with it.
    let started = std::time::Instant::now();
    let record = call_without_transcoding("customer-changes-codec", "agent-collides");
    assert!(started.elapsed().as_millis() >= 2100);
    assert_eq!(record.codecs(), ["PCMA", "PCMA"]);
}

#[test]
fn a_reinvite_that_meets_ours_is_refused_and_goes_through_afterwards() {
    let record = call_without_transcoding("customer-changes-codec", "agent-begins-too");
    assert_eq!(record.codecs(), ["PCMA", "PCMA"]);
    assert!(record.number("holdMs") > 0, "{record:?}");
}

#[test]
fn another_codec_that_the_far_side_refuses_changes_nothing() {
    let record = call_without_transcoding("customer-may-not-change-codec", "agent-refuses-codec");
    assert_eq!(record.codecs(), ["PCMU", "PCMU"]);
}

/// RFC 5621: in the first INVITE, its 200 and a re-INVITE.
#[test]
fn a_description_may_be_a_part_of_a_multipart_body() {
    let record = call("customer-sends-multipart", "agent-answers-multipart");
    assert_eq!(record.codecs(), ["PCMU", "PCMU"]);
    assert!(record.number("holdMs") >= 250, "{record:?}");
}

#[test]
fn a_second_invite_before_the_first_is_answered_is_500() {
    call_without_transcoding("customer-overlaps", "agent-thinks");
}

#[test]
fn a_caller_that_requires_100rel_gets_reliable_ringing() {
    call("customer-requires-prack", "agent-answers");
}

#[test]
fn a_reliable_183_of_an_agent_gets_its_prack() {
    let record = call("customer-hears-early-media", "agent-rings-reliably");
    assert_eq!(record.codecs(), ["PCMU", "PCMU"]);
}

#[test]
fn update_in_a_call_refreshes_holds_and_resumes() {
    let record = call("customer-updates", "agent-answers");
    assert!(record.number("holdMs") >= 250, "{record:?}");
}

#[test]
fn update_of_a_caller_before_the_answer() {
    call("customer-updates-early", "agent-rings-reliably");
}

#[test]
fn update_of_an_agent_before_the_answer() {
    call("customer-hears-early-media", "agent-updates-early");
}

#[test]
fn a_caller_refreshes_the_session() {
    call("customer-refreshes", "agent-answers");
}

#[test]
fn a_session_interval_too_small_is_422() {
    let ended = Scene::new()
        .agent("1001", "agent-answers")
        .customer("customer-session-too-short", ENTRY)
        .end();
    let answered: Vec<_> = ended.records.iter().filter(|record| record.is_answered()).collect();
    assert_eq!(answered.len(), 1, "{:?}", ended.records);
}

#[test]
fn an_agent_s_422_is_answered_with_what_it_demands() {
    call("customer-calls", "agent-demands-longer-session");
}

#[test]
fn an_agent_refreshes_the_session() {
    call_with("customer-calls", &["-d", "1000"], "agent-refreshes", &[]);
}

/// The one slow test: RFC 4028 §4 lets no session be shorter than 90 s.
#[test]
fn we_refresh_the_session_at_half_its_time() {
    let limit = std::time::Duration::from_secs(60);
    let mut scene = Scene::new();
    let mut players = Vec::new();
    for (extension, number, agent) in [
        ("1001", ENTRY, "agent-is-refreshed"),
        ("1002", "+4930200", "agent-is-refreshed-by-reinvite"),
    ] {
        let phone = scene.phone_address();
        scene.server.register(extension, phone);
        players.push(Sipp::at(&mut scene.server, agent, phone).within(limit).start());
        let customer = Sipp::new(&mut scene.server, "customer-calls", [127, 0, 0, 2]);
        players.push(customer.within(limit).calling(number).with(&["-d", "46500"]).start());
    }
    players.into_iter().for_each(Sipp::finish);
    let records = scene.end().records;
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!((record.status(), record.ended_by()), (200, "caller"), "{record:?}");
    }
}

#[test]
fn a_200_of_an_agent_that_comes_again_gets_the_same_ack() {
    call_with("customer-calls", &["-d", "800"], "agent-repeats-200", &["-nr"]);
}

#[test]
fn our_200_comes_again_until_it_is_acknowledged() {
    call_with("customer-acks-late", &["-nr"], "agent-answers", &[]);
}

#[test]
fn methods_and_demands_that_we_do_not_take_leave_a_call_alone() {
    call("customer-uses-unknown-methods-in-call", "agent-answers");
}

#[test]
fn requests_that_cannot_be_taken_get_what_the_rfc_says() {
    for customer in [
        "customer-strays",
        "customer-requires-the-unknown",
        "customer-asks-options",
        "customer-uses-unknown-methods",
        "customer-sends-unknown-body",
        "customer-sends-unknown-part",
    ] {
        let ended = Scene::new().customer(customer, ENTRY).end();
        assert!(ended.records.iter().all(|record| !record.is_answered()), "{customer}");
    }
}
