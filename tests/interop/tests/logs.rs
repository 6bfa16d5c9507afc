//! What the log tells of a call, and what it keeps to itself. That no test's log tells a password or
//! a number is seen to where each server ends.

use interop::client::{Client, Dialog};
use interop::{PHONE, Server, Setup};

/// What 1001 dials.
const DIALLED: &str = "030123456";
/// As the trunks are asked for it.
const ASKED_FOR: &str = "+4930123456";

/// The log of a call of 1001 that the carrier refuses and the backup takes.
fn log_of_a_call(setup: &Setup) -> String {
    let server = Server::start(setup);
    let phone = Client::at(PHONE, server.sip());
    let carrier = Client::udp(server.carrier(), server.sip());
    let backup = Client::udp(server.backup(), server.sip());
    let sdp = phone.sdp();
    phone.send_with_digest("1001", &|lines| {
        phone.request_with("INVITE", DIALLED, "1001", lines, &sdp)
    });
    let invite = carrier.receive_request("INVITE");
    assert!(invite.start().contains(ASKED_FOR), "{invite}");
    carrier.send(&carrier.reply(&invite, "503 Service Unavailable", &[], ""));
    carrier.receive_request("ACK");
    let invite = backup.receive_request("INVITE");
    backup.send(&backup.reply(&invite, "200 OK", &[], &backup.sdp()));
    let answered = phone.receive_own_final();
    assert_eq!(answered.status(), 200, "{answered}");
    let of_phone = Dialog::of_caller(&answered);
    phone.send(&phone.within(&of_phone, "ACK", answered.seq(), ""));
    backup.receive_request("ACK");
    assert_eq!(phone.ask(&phone.within(&of_phone, "BYE", 100, "")).status(), 200);
    let bye = backup.receive_request("BYE");
    backup.send(&backup.reply(&bye, "200 OK", &[], ""));
    server.stop().log
}

#[test]
fn numbers_are_masked_unless_the_operator_wants_them() {
    let log = log_of_a_call(&Setup::default());
    assert!(log.contains("to=0301***56"), "{log}");
    for number in [DIALLED, ASKED_FOR, "30123456"] {
        assert!(!log.contains(number), "{number}: {log}");
    }
    let log = log_of_a_call(&Setup { log_numbers: true, ..Setup::default() });
    assert!(log.contains(&format!("from=1001 to={DIALLED}")), "{log}");
    assert!(!log.contains("***"), "{log}");
}

/// Whatever is told while a call or a leg is at work names it.
#[test]
fn lines_of_a_call_name_it_and_its_leg() {
    let log = log_of_a_call(&Setup::default());
    let told = |words: &str| {
        let mut lines = log.lines().filter(|line| line.contains(words));
        lines.next_back().unwrap_or_else(|| panic!("no {words:?}: {log}"))
    };
    // The second trunk is asked while the call deals with the refusal of the first.
    assert!(told("placing").contains(" call{call=call-1}"), "{log}");
    assert!(told("event=Refused").contains(" leg{call=call-1 leg=leg-2}"), "{log}");
    assert!(told("event=HungUp").contains(" leg{call=call-1 leg=leg-1}"), "{log}");
    let mut of_calls = log.lines().filter(|line| {
        ["placing", "reports", " over ", "trunk refused"].iter().any(|words| line.contains(words))
    });
    assert!(of_calls.clone().count() > 5 && of_calls.all(|line| line.contains("call=call-1")));
}
