//! Transfers from the phone: REFER blind and attended, INVITE with Replaces, and a second call dialled
//! by hand (T11, H3, I2), played by SIPp and by real phones.

use std::thread::sleep;
use std::time::Duration;

use interop::client::{Client, Dialog, Message};
use interop::web::ADMIN;
use interop::{Baresip, CUSTOMER, Linphone, PHONE, Record, Scene, Server, Setup, Sipp, Talk, tone};

const ENTRY: &str = "+4930100"; // leads to 1001
/// baresip 1.0 gives up at a challenge it does not know, wherever it stands in the list.
const MD5: &str = r#"["MD5"]"#;
const TALK: Duration = Duration::from_millis(1500);

/// A customer calls 1001, who transfers to 1002.
#[track_caller]
fn transfer(agent: &str, target: &str, customer: &str) -> Record {
    let keys = ["-key", "target", "1002", "-d", "500"];
    Scene::new()
        .agent_with("1001", agent, &keys)
        .agent_with("1002", target, &["-d", "500"])
        .customer_with(customer, ENTRY, &["-d", "2500"])
        .record()
}

#[test]
fn t11_a_blind_transfer_by_refer_tells_how_it_fares() {
    let record = transfer("agent-transfers-blind", "agent-hangs-up", "customer-is-hung-up");
    assert_eq!((record.status(), record.ended_by()), (200, "callee"), "{record:?}");
    assert_eq!(record.legs().len(), 3, "{record:?}");
}

#[test]
fn t11_a_transfer_to_a_busy_agent_leaves_the_call_as_it_was() {
    let record = transfer("agent-transfers-in-vain", "agent-is-busy", "customer-is-hung-up");
    assert_eq!((record.status(), record.ended_by()), (200, "callee"), "{record:?}");
}

#[test]
fn t11_a_transfer_to_an_agent_who_declines_leaves_the_call_as_it_was() {
    let record = transfer("agent-transfers-in-vain", "agent-declines", "customer-is-hung-up");
    assert_eq!((record.status(), record.ended_by()), (200, "callee"), "{record:?}");
}

/// The target rings for the ring time: the transferor is told 480 and has the call again.
#[test]
fn t11_a_transfer_that_nobody_answers_leaves_the_call_as_it_was() {
    let setup = Setup { ring_timeout_s: 5, ..Setup::default() };
    let record = Scene::with(&setup)
        .agent_with("1001", "agent-transfers-to-nobody", &["-key", "target", "1002"])
        .agent("1002", "agent-is-cancelled")
        .customer_with("customer-is-hung-up", ENTRY, &["-recv_timeout", "15000"])
        .record();
    assert_eq!((record.status(), record.ended_by()), (200, "callee"), "{record:?}");
    assert!(record.time("transfer") > 4_000, "{record:?}");
    record.assert_times_add_up();
}

/// REFER with Replaces, with both dialogs on one SIPp: customer and colleague are left to each other.
#[test]
fn t11_an_attended_transfer_by_refer_ends_both_dialogs_of_the_transferor() {
    let record = Scene::new()
        .calling_agent("1001", "agent-transfers-attended", &[])
        .agent_with("1002", "agent-hangs-up", &["-d", "2000"])
        .customer("customer-is-hung-up", ENTRY)
        .record();
    assert_eq!((record.status(), record.ended_by()), (200, "callee"), "{record:?}");
    assert_eq!(record.legs().len(), 4, "{record:?}");
    let kinds: Vec<_> = record.segments().into_iter().map(|(kind, ..)| kind).collect();
    assert!(kinds.contains(&"consult") && kinds.last() == Some(&"talk"), "{kinds:?}");
    record.assert_times_add_up();
}

/// RFC 3891: a call changes from one phone of its user to another; nobody else may take it.
#[test]
fn h3_an_invite_with_replaces_moves_a_call_to_another_phone_of_its_user_alone() {
    let mut server = Server::start(&Setup { digest: MD5, ..Setup::default() });
    let talk = Talk::start(&server);
    let Talk { phone, of_phone, customer, of_customer } = &talk;
    let replaces = format!(
        "{};to-tag={};from-tag={}",
        of_phone.call_id,
        tag(&of_phone.to),
        tag(&of_phone.from)
    );
    let mut take = |scenario: &str, extension: &str, ip: [u8; 4]| {
        let sipp = Sipp::new(&mut server, scenario, ip).as_user(extension).calling("1001");
        sipp.with(&["-key", "replaces", &replaces]).start()
    };
    take("phone-may-not-take-over", "1002", [127, 0, 0, 12]).finish();
    assert_eq!(phone.ask(&phone.within(of_phone, "OPTIONS", 100, "")).status(), 200);
    let taker = take("phone-takes-over", "1001", [127, 0, 0, 13]);
    let bye = phone.receive_request("BYE");
    phone.send(&phone.reply(&bye, "200 OK", &[], ""));
    assert_eq!(customer.ask(&customer.within(of_customer, "OPTIONS", 100, "")).status(), 200);
    assert_eq!(customer.ask(&customer.within(of_customer, "BYE", 101, "")).status(), 200);
    taker.finish();
    let records = server.stop().records;
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!((records[0].status(), records[0].ended_by()), (200, "caller"), "{records:?}");
    let legs: Vec<_> = records[0].legs().into_iter().map(|(party, _)| party).collect();
    assert_eq!(legs, ["customer", "1001", "1001"]);
}

#[test]
fn t11_a_transfer_that_wants_no_word_gets_none() {
    let record = transfer("agent-transfers-silently", "agent-hangs-up", "customer-is-hung-up");
    assert_eq!((record.status(), record.ended_by()), (200, "callee"), "{record:?}");
}

#[test]
fn refers_that_cannot_be_followed_are_refused_and_cost_nothing() {
    let record = Scene::new()
        .agent("1001", "agent-transfers-wrongly")
        .customer("customer-is-hung-up", ENTRY)
        .record();
    assert_eq!((record.status(), record.ended_by()), (200, "callee"), "{record:?}");
}

/// A phone of 1001 dials `number` by hand, and `callee` answers.
fn dials(phone: &Client, number: &str, callee: &Client) -> [Dialog; 2] {
    phone.renew();
    let invite = |lines: &[&str]| phone.request_with("INVITE", number, "1001", lines, &phone.sdp());
    phone.send_with_digest("1001", &invite);
    let of_callee = takes(callee);
    let answer = phone.receive_final();
    assert_eq!(answer.status(), 200, "{answer}");
    let dialog = Dialog::of_caller(&answer);
    phone.send(&phone.within(&dialog, "ACK", answer.seq(), ""));
    [dialog, of_callee]
}

/// Takes the call that rings here.
fn takes(phone: &Client) -> Dialog {
    let invite = phone.receive_request("INVITE");
    let answer = phone.reply(&invite, "200 OK", &[], &phone.sdp());
    phone.send(&answer);
    phone.receive_request("ACK");
    Dialog::of_callee(&invite, &Message::of(&answer))
}

fn tag(address: &str) -> &str {
    address.split("tag=").nth(1).unwrap_or("").split(';').next().unwrap_or("")
}

/// The dialog as its far end names it in a Replaces, escaped for a URI.
fn replaces_of(dialog: &Dialog) -> String {
    format!(
        "{}%3Bto-tag%3D{}%3Bfrom-tag%3D{}",
        dialog.call_id.replace('@', "%40"),
        tag(&dialog.to),
        tag(&dialog.from)
    )
}

/// The second call is dialled by hand from the same phone while the first is held; REFER with
/// Replaces then joins customer and colleague, and both lines of the phone are hung up.
#[test]
fn t11_an_attended_transfer_joins_the_two_whom_the_phone_talked_to() {
    let server = Server::start(&Setup { digest: MD5, ..Setup::default() });
    let mut colleague = Client::at([127, 0, 0, 12], server.sip());
    assert_eq!(colleague.register("1002", 600).status(), 200);
    let talk = Talk::start(&server);
    let Talk { phone, of_phone, customer, .. } = &talk;
    let held = phone.sdp().replace("a=rtpmap:0", "a=sendonly\r\na=rtpmap:0");
    let held = phone.ask(&phone.within(of_phone, "INVITE", 200, &held));
    assert_eq!(held.status(), 200, "{held}");
    phone.send(&phone.within(of_phone, "ACK", 200, ""));
    let [second, of_colleague] = dials(phone, "1002", &colleague);
    let refer_to =
        format!("Refer-To: <sip:1002@{}?Replaces={}>", server.sip(), replaces_of(&second));
    let refer = phone.within_with(of_phone, "REFER", 201, &[&refer_to], "");
    phone.send(&refer);
    let (mut accepted, mut done, mut byes) = (false, false, 0);
    while byes < 2 {
        let message = phone.receive();
        match (message.status(), message.method()) {
            (202, "REFER") => accepted = true,
            (0, "NOTIFY") => {
                done |= message.body().starts_with("SIP/2.0 200");
                phone.send(&phone.reply(&message, "200 OK", &[], ""));
            }
            (0, "BYE") => {
                byes += 1;
                phone.send(&phone.reply(&message, "200 OK", &[], ""));
            }
            other => panic!("{other:?}: {message}"),
        }
    }
    assert!(accepted && done, "accepted {accepted}, told of the end {done}");
    // Customer and colleague are in one call: who hangs up ends it for the other.
    colleague.send(&colleague.within(&of_colleague, "BYE", 300, ""));
    let bye = customer.receive_request("BYE");
    customer.send(&customer.reply(&bye, "200 OK", &[], ""));
    assert_eq!(colleague.receive_final().status(), 200);
    let ended = server.stop();
    assert_eq!(ended.records.len(), 1, "one interaction: {:?}", ended.records);
}

/// I2, RFC 3891: a phone takes the call that rings at another one.
#[test]
fn i2_an_invite_with_replaces_takes_a_call_that_rings_elsewhere() {
    let more = "[interactions]\npickup = true\n".to_owned();
    let server = Server::start(&Setup { digest: MD5, more, ..Setup::default() });
    let mut ringing = Client::at(PHONE, server.sip());
    assert_eq!(ringing.register("1001", 600).status(), 200);
    let taker = Client::at([127, 0, 0, 12], server.sip());
    let customer = Client::at(CUSTOMER, server.sip());
    customer.send(&customer.request_with("INVITE", ENTRY, "+4915", &[], &customer.sdp()));
    let invite = ringing.receive_request("INVITE");
    let rings = ringing.reply(&invite, "180 Ringing", &[], "");
    ringing.send(&rings);
    let dialog = Dialog::of_callee(&invite, &Message::of(&rings));
    let replaces = format!(
        "Replaces: {};to-tag={};from-tag={}",
        dialog.call_id,
        tag(&dialog.to),
        tag(&dialog.from)
    );
    taker.send_with_digest("1002", &|lines: &[&str]| {
        let lines = [&[replaces.as_str()], lines].concat();
        taker.request_with("INVITE", "1001", "1002", &lines, &taker.sdp())
    });
    let taken = taker.receive_final();
    assert_eq!(taken.status(), 200, "{taken}");
    let of_taker = Dialog::of_caller(&taken);
    taker.send(&taker.within(&of_taker, "ACK", taken.seq(), ""));
    let cancel = ringing.receive_request("CANCEL");
    assert!(cancel.header("Reason").is_some_and(|why| why.contains("elsewhere")), "{cancel}");
    ringing.send(&ringing.reply(&cancel, "200 OK", &[], ""));
    ringing.send(&ringing.reply(&invite, "487 Request Terminated", &[], ""));
    let answered = customer.receive_final();
    assert_eq!(answered.status(), 200, "{answered}");
    let of_customer = Dialog::of_caller(&answered);
    customer.send(&customer.within(&of_customer, "ACK", answered.seq(), ""));
    assert_eq!(customer.ask(&customer.within(&of_customer, "BYE", 101, "")).status(), 200);
    let bye = taker.receive_request("BYE");
    taker.send(&taker.reply(&bye, "200 OK", &[], ""));
    let record = &server.stop().records[0];
    assert_eq!((record.status(), record.ended_by()), (200, "caller"), "{record:?}");
}

#[track_caller]
fn hears(phone: Baresip, hz: u32) {
    let (samples, rate) = phone.heard();
    let seconds = tone::longest(&samples, rate, f64::from(hz));
    assert!(seconds >= 1.0, "{hz} Hz for {seconds} s of {}", samples.len() as f64 / rate);
}

/// `one` has left the others with each other: one of them hangs up, and each has heard the other. What
/// the call's record says.
#[track_caller]
fn left_together<P>(server: Server, one: P, mut two: Baresip, mut three: Baresip) -> Record {
    three.command("hangup", "");
    two.expect_event("CALL_CLOSED");
    drop(one);
    hears(two, 1200);
    hears(three, 770);
    let mut records = server.stop().records;
    assert_eq!(records.len(), 1, "{records:?}");
    records.remove(0)
}

/// baresip calls baresip and hands it on blind: the two who are left hear each other.
#[test]
fn t5_baresip_transfers_blind() {
    let mut server = Server::start(&Setup { digest: MD5, ..Setup::default() });
    let mut one = Baresip::start(&mut server, "1001", 440);
    let mut two = Baresip::start(&mut server, "1002", 770);
    let mut three = Baresip::start(&mut server, "1003", 1200);
    one.dial("1002");
    one.expect_event("CALL_ESTABLISHED");
    two.expect_event("CALL_ESTABLISHED");
    sleep(TALK);
    let target = format!("sip:1003@{}", server.sip());
    one.command("transfer", &target);
    three.expect_event("CALL_ESTABLISHED");
    one.expect_event("CALL_CLOSED");
    sleep(TALK);
    let record = left_together(server, one, two, three);
    assert_eq!(record.legs().len(), 3, "{record:?}");
}

/// linphone puts a call on hold and takes it back, which the API sees, and hands it on blind.
#[test]
fn h3_t5_linphone_holds_resumes_and_transfers_blind() {
    let mut server = Server::start(&Setup { digest: MD5, ..Setup::with_api() });
    let mut two = Baresip::start(&mut server, "1002", 770);
    let mut three = Baresip::start(&mut server, "1003", 1200);
    let mut one = Linphone::start(&mut server, "1001", 440);
    let web = server.web(ADMIN);
    one.dial("1002");
    two.expect_event("CALL_ESTABLISHED");
    one.expect("connected", 1);
    web.interaction("connected");
    sleep(TALK);
    one.command("pause 1");
    web.interaction("held");
    sleep(Duration::from_millis(700)); // it takes no command while it changes the call
    one.command("resume 1");
    web.interaction("connected");
    sleep(TALK);
    one.command(&format!("transfer 1 sip:1003@{}", server.sip()));
    three.expect_event("CALL_ESTABLISHED");
    sleep(TALK + TALK);
    let record = left_together(server, one, two, three);
    assert_eq!(record.legs().len(), 3, "{record:?}");
}

/// linphone puts a call on hold, dials a second one by hand and joins the two: REFER with Replaces.
#[test]
fn t11_linphone_transfers_with_consultation() {
    let mut server = Server::start(&Setup { digest: MD5, ..Setup::default() });
    let mut two = Baresip::start(&mut server, "1002", 770);
    let mut three = Baresip::start(&mut server, "1003", 1200);
    let mut one = Linphone::start(&mut server, "1001", 440);
    one.dial("1002");
    two.expect_event("CALL_ESTABLISHED");
    one.expect("connected", 1);
    sleep(TALK);
    one.command("pause 1");
    sleep(Duration::from_millis(700));
    one.dial("1003");
    three.expect_event("CALL_ESTABLISHED");
    sleep(TALK);
    one.command("transfer 1 --to-call 2");
    sleep(TALK + TALK);
    left_together(server, one, two, three);
}
