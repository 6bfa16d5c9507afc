//! Calls between trunks and phones, played by SIPp: who reaches whom, refusals, fail-over, CANCEL.

use std::time::Duration;

use interop::client::Client;
use interop::{Record, Scene, Setup, Talk};

const ENTRY: &str = "+4930100"; // leads to 1001

#[track_caller]
fn ends(record: &Record, status: u64, by: &str, codecs: &[&str]) {
    let found = (record.status(), record.ended_by(), record.codecs());
    assert_eq!(found, (status, by, codecs.to_vec()), "{record:?}");
    assert_eq!(record.is_answered(), status == 200, "{record:?}");
}

const BOTH_PCMU: &[&str] = &["PCMU", "PCMU"];

#[test]
fn a_customer_calls_an_agent_and_hangs_up() {
    let record =
        Scene::new().agent("1001", "agent-answers").customer("customer-calls", ENTRY).record();
    ends(&record, 200, "caller", BOTH_PCMU);
    assert_eq!((record.text("from"), record.text("to")), ("+4915112345", ENTRY));
    assert_eq!(record.legs(), [("customer", 200), ("1001", 200)]);
    assert!((250..3000).contains(&record.number("talkMs")), "{record:?}");
}

#[test]
fn an_agent_hangs_up_on_a_customer() {
    let record = Scene::new()
        .agent("1001", "agent-hangs-up")
        .customer("customer-is-hung-up", ENTRY)
        .record();
    ends(&record, 200, "callee", BOTH_PCMU);
}

#[test]
fn an_extension_calls_another() {
    let record =
        Scene::new().agent("1002", "agent-answers").phone("phone-calls", "1001", "1002").record();
    ends(&record, 200, "caller", BOTH_PCMU);
    assert_eq!(record.legs(), [("1001", 200), ("1002", 200)]);
}

#[test]
fn an_extension_calls_out_through_a_trunk() {
    let record =
        Scene::new().carrier("carrier-answers").phone("phone-calls", "1001", "030123456").record();
    ends(&record, 200, "caller", BOTH_PCMU);
    assert_eq!(record.legs(), [("1001", 200), ("carrier", 200)]);
}

#[test]
fn a_trunk_that_wants_a_digest_gets_its_own_credentials() {
    let record = Scene::new()
        .carrier("carrier-challenges")
        .phone("phone-calls", "1001", "030123456")
        .record();
    ends(&record, 200, "caller", BOTH_PCMU);
}

#[test]
fn a_trunk_that_wants_a_digest_inside_the_dialog_gets_it_too() {
    let record = Scene::new()
        .carrier("carrier-challenges-inside")
        .phone("phone-calls", "1001", "030123456")
        .record();
    ends(&record, 200, "caller", BOTH_PCMU);
}

#[test]
fn what_is_no_entry_point_is_404_to_a_trunk() {
    // 1002 exists, but no customer may dial it (invariant 7).
    for number in ["+4930999", "1002", "030123456"] {
        let ended = Scene::new().customer("customer-gets-404", number).end();
        assert_eq!(ended.records, []);
    }
}

#[test]
fn an_extension_without_the_route_may_not_call_out() {
    let ended = Scene::new().phone("phone-gets-403", "1004", "030123456").end();
    assert_eq!(ended.records, []);
}

#[test]
fn nobody_registered_is_480() {
    let record = Scene::new().customer("customer-gets-480", ENTRY).record();
    ends(&record, 480, "system", &[]);
}

#[test]
fn busy_and_declined_go_through() {
    for (agent, customer, status) in
        [("agent-is-busy", "customer-gets-486", 486), ("agent-declines", "customer-gets-603", 603)]
    {
        let record = Scene::new().agent("1001", agent).customer(customer, ENTRY).record();
        ends(&record, status, "callee", &[]);
    }
}

#[test]
fn nobody_answers_in_time() {
    let setup = Setup { ring_timeout_s: 5, ..Setup::default() };
    let record = Scene::with(&setup)
        .agent("1001", "agent-is-cancelled")
        .customer("customer-gets-480", ENTRY)
        .record();
    ends(&record, 480, "system", &[]);
}

#[test]
fn the_losers_of_a_ring_all_are_told_so() {
    let record = Scene::new()
        .agent("1001", "agent-loses")
        .agent_with("1001", "agent-answers", &[])
        .customer("customer-calls", ENTRY)
        .record();
    ends(&record, 200, "caller", BOTH_PCMU);
    assert_eq!(record.legs().len(), 3);
}

#[test]
fn a_customer_cancels_while_it_rings() {
    let record = Scene::new()
        .agent("1001", "agent-is-cancelled")
        .customer("customer-cancels", ENTRY)
        .record();
    ends(&record, 487, "caller", &[]);
}

#[test]
fn a_200_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let record = Scene::new()
        .agent("1001", "agent-answers-cancelled-call")
        .customer("customer-cancels", ENTRY)
        .record();
    ends(&record, 487, "caller", &[]);
}

#[test]
fn a_cancel_after_the_200_changes_nothing() {
    let record = Scene::new()
        .agent("1001", "agent-answers")
        .customer("customer-cancels-too-late", ENTRY)
        .record();
    ends(&record, 200, "caller", BOTH_PCMU);
}

#[test]
fn a_trunk_s_redirection_is_followed_within_the_trunk_or_by_the_dial_plan() {
    for scenario in ["carrier-redirects", "carrier-redirects-to-number"] {
        let scene = Scene::new();
        let carrier = scene.server.carrier();
        let record = scene
            .gateway(scenario, carrier, &["-m", "2"])
            .phone("phone-calls", "1001", "030123456")
            .record();
        ends(&record, 200, "caller", BOTH_PCMU);
        assert_eq!(record.legs(), [("1001", 200), ("carrier", 302), ("carrier", 200)]);
    }
}

#[test]
fn a_phone_s_redirection_is_not_followed() {
    let record =
        Scene::new().agent("1001", "agent-redirects").customer("customer-gets-480", ENTRY).record();
    ends(&record, 480, "callee", &[]);
}

#[test]
fn a_trunk_that_answers_503_is_passed_over() {
    let record = Scene::new()
        .carrier("carrier-is-overloaded")
        .backup("carrier-answers")
        .phone("phone-calls", "1001", "030123456")
        .record();
    ends(&record, 200, "caller", BOTH_PCMU);
    assert_eq!(record.legs(), [("1001", 200), ("carrier", 503), ("backup", 200)]);
}

#[test]
fn a_trunk_that_says_nothing_is_passed_over() {
    let setup = Setup { trunk_timeout_s: 1, ..Setup::default() };
    let scene = Scene::with(&setup);
    // Somebody is there, but mute: not even a port unreachable comes back.
    let _mute = std::net::UdpSocket::bind(scene.server.carrier()).unwrap();
    let record = scene.backup("carrier-answers").phone("phone-calls", "1001", "030123456").record();
    ends(&record, 200, "caller", BOTH_PCMU);
}

#[test]
fn a_trunk_that_says_busy_is_believed() {
    let record = Scene::new()
        .carrier("carrier-is-busy")
        .phone("phone-gets-486", "1001", "030123456")
        .record();
    ends(&record, 486, "callee", &[]);
}

#[test]
fn a_trunk_that_forks_is_taken_at_the_answer_of_one() {
    let record =
        Scene::new().carrier("carrier-forks").phone("phone-calls", "1001", "030123456").record();
    ends(&record, 200, "caller", BOTH_PCMU);
}

#[test]
fn no_common_codec_is_488_and_no_phone_rings() {
    let mut scene = Scene::new();
    let phone = scene.phone_address();
    scene.server.register("1001", phone);
    let phone = Client::udp(phone, scene.server.sip());
    let records = scene.customer("customer-without-common-codec", ENTRY).end().records;
    assert!(phone.receive_within(Duration::from_millis(100)).is_none());
    assert!(records.iter().all(|record| record.status() == 488), "{records:?}");
}

#[test]
fn compact_folded_and_odd_requests_are_understood() {
    let record = Scene::new()
        .agent("1001", "agent-answers")
        .customer_with("customer-writes-compact", ENTRY, &["-key", "fold", " "])
        .record();
    ends(&record, 200, "caller", BOTH_PCMU);
    assert_eq!(record.text("from"), "+4915112345");
}

#[test]
fn listed_headers_pass_and_others_do_not() {
    let record = Scene::new()
        .agent("1001", "agent-gets-headers")
        .customer("customer-sends-headers", ENTRY)
        .record();
    ends(&record, 200, "caller", BOTH_PCMU);
    assert_eq!(record.text("from"), "+4930999");
}

/// ATTACKS 29. The second SIGTERM is that of `stop`.
#[test]
fn a_second_signal_hangs_up_both_sides_and_keeps_the_record() {
    for answers_bye in [true, false] {
        let setup = Setup { drain_limit_s: 60, ..Setup::default() };
        let server = interop::Server::start(&setup);
        let talk = Talk::start(&server);
        server.terminate();
        assert!(!talk.is_hung_up_within(Duration::from_millis(200), false), "calls go on");
        let told = std::thread::spawn(move || {
            talk.is_hung_up_within(interop::client::PATIENCE, answers_bye)
        });
        let ended = server.stop();
        assert!(told.join().unwrap(), "both get a BYE");
        assert_eq!(ended.records.len(), 1, "{}", ended.log);
        ends(&ended.records[0], 200, "system", BOTH_PCMU);
    }
}

#[test]
fn the_server_leaves_by_hanging_up_when_its_patience_ends() {
    let setup = Setup { drain_limit_s: 1, ..Setup::default() };
    let mut scene = Scene::with(&setup).agent("1001", "agent-answers");
    let customer = interop::Sipp::new(&mut scene.server, "customer-is-hung-up", [127, 0, 0, 2]);
    let customer = customer.calling(ENTRY).start();
    let up = interop::eventually(interop::client::PATIENCE, || {
        customer.messages().contains("ACK sip:").then_some(())
    });
    assert!(up.is_some(), "{}", customer.messages());
    let ended = scene.stop_while_they_play(vec![customer]);
    ends(&ended.records[0], 200, "system", BOTH_PCMU);
}
