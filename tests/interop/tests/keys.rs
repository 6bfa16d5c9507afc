//! Pressed keys between peers that tell of them in different forms, by SIPp and baresip.

use std::f64::consts::TAU;
use std::thread::sleep;
use std::time::Duration;

use interop::{Baresip, Server, Setup, Sipp, tone};

const SECOND_ENTRY: &str = "+4930200"; // leads to 1002
const CUSTOMER: [u8; 4] = [127, 0, 0, 2];
const AGENT: [u8; 4] = [127, 0, 0, 11];
const MD5: &str = r#"["MD5"]"#;

#[test]
fn info_becomes_events() {
    let mut server = Server::start(&Setup { digest: MD5, ..Setup::default() });
    let mut phone = Baresip::start(&mut server, "1002", 770);
    let customer = Sipp::new(&mut server, "customer-tells-keys", CUSTOMER).calling(SECOND_ENTRY);
    let customer = customer.start();
    for key in ['7', '9'] {
        phone.expect_key(key);
    }
    customer.finish();
    drop(phone);
    assert_eq!(server.stop().records[0].status(), 200);
}

#[test]
fn events_become_info_for_who_wants_that() {
    let first_extension = "dtmf = \"info\"";
    let mut server = Server::start(&Setup { digest: MD5, first_extension, ..Setup::default() });
    let address = server.address(AGENT);
    server.register("1001", address);
    let agent = Sipp::at(&mut server, "agent-gets-keys", address).start();
    let mut phone = Baresip::start(&mut server, "1002", 440);
    phone.dial("1001");
    phone.expect_event("CALL_ESTABLISHED");
    phone.command("sndcode", "59");
    phone.expect_event("CALL_CLOSED");
    agent.finish();
    drop(phone);
    assert_eq!(server.stop().records[0].status(), 200);
}

/// A second of silence, the tones of 5 for 200 ms, and a second of silence.
fn five(at: f64) -> f64 {
    let tone = |hz: f64| (TAU * hz * at).sin() * 0.2;
    if (1.0..1.2).contains(&at) { tone(770.0) + tone(1336.0) } else { 0.0 }
}

#[test]
fn tones_become_events_for_who_has_them() {
    let first_extension = "dtmf = \"inband\"";
    let setup = Setup { digest: MD5, first_extension, ..Setup::default() };
    let mut server = Server::start(&setup);
    let file = server.dir().join("five.wav");
    tone::write_wav(&file, Duration::from_millis(2200), five);
    let mut one = Baresip::start_playing(&mut server, "1001", &file);
    let mut two = Baresip::start(&mut server, "1002", 440);
    one.dial("1002");
    two.expect_event("CALL_ESTABLISHED");
    two.expect_key('5');
    sleep(Duration::from_millis(200));
    one.command("hangup", "");
    two.expect_event("CALL_CLOSED");
    drop((one, two));
    assert_eq!(server.stop().records[0].status(), 200);
}
