//! Feature codes that real phones dial during a call, as RFC 4733 events and by SIP INFO (H3): who
//! hears whom then, what the agent hears, and that nobody else hears the keys.

use std::thread::sleep;
use std::time::Duration;

use interop::{Baresip, Server, Setup, Talk, tone};

/// baresip 1.0 gives up at a challenge it does not know, wherever it stands in the list.
const MD5: &str = r#"["MD5"]"#;
const TALK: Duration = Duration::from_millis(1500);

fn server() -> Server {
    let more = "[feature_codes]\nenabled = true\n".to_owned();
    Server::start(&Setup { digest: MD5, more, ..Setup::default() })
}

/// 1001 has called 1002: they speak tones of 440 and 770 Hz.
fn talk(server: &mut Server) -> [Baresip; 2] {
    let mut one = Baresip::start(server, "1001", 440);
    let mut two = Baresip::start(server, "1002", 770);
    one.dial("1002");
    one.expect_event("CALL_ESTABLISHED");
    two.expect_event("CALL_ESTABLISHED");
    [one, two]
}

#[track_caller]
fn hears(heard: &(Vec<f64>, f64), tones: &[f64], least: f64) {
    let (samples, rate) = heard;
    let seconds = tone::chord(samples, *rate, tones);
    assert!(seconds >= least, "{tones:?} Hz for {seconds} s of {}", samples.len() as f64 / rate);
}

#[test]
fn t5_a_blind_transfer_by_code() {
    let mut server = server();
    let [mut one, mut two] = talk(&mut server);
    let mut three = Baresip::start(&mut server, "1003", 1200);
    one.press("*21003#");
    three.expect_event("CALL_ESTABLISHED");
    one.expect_event("CALL_CLOSED");
    assert_eq!(two.keys_by_now(), "", "nobody else hears the keys of a code");
    sleep(TALK);
    three.command("hangup", "");
    two.expect_event("CALL_CLOSED");
    drop(one);
    hears(&two.heard(), &[1200.0], 1.0);
    hears(&three.heard(), &[770.0], 1.0);
    let records = server.stop().records;
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].legs().len(), 3, "{records:?}");
}

#[test]
fn c10_c18_c19_consult_toggle_and_merge_by_code() {
    let mut server = server();
    let [mut one, mut two] = talk(&mut server);
    let mut three = Baresip::start(&mut server, "1003", 1200);
    one.press("*31003#");
    three.expect_event("CALL_ESTABLISHED");
    sleep(TALK); // 1001 and 1003
    one.press("*4");
    sleep(TALK); // 1001 and 1002
    one.press("*5");
    sleep(TALK); // all
    assert_eq!((two.keys_by_now(), three.keys_by_now()), (String::new(), String::new()));
    one.command("hangup", "");
    sleep(TALK); // 1002 and 1003
    three.command("hangup", "");
    two.expect_event("CALL_CLOSED");
    let heard = [one.heard(), two.heard(), three.heard()];
    hears(&heard[0], &[1200.0], 1.0);
    hears(&heard[0], &[770.0], 1.0);
    hears(&heard[0], &[770.0, 1200.0], 1.0);
    hears(&heard[1], &[440.0], 1.0);
    hears(&heard[1], &[440.0, 1200.0], 1.0);
    hears(&heard[1], &[1200.0], 1.0);
    hears(&heard[2], &[440.0], 1.0);
    hears(&heard[2], &[440.0, 770.0], 1.0);
    hears(&heard[2], &[770.0], 1.0);
    assert_eq!(server.stop().records.len(), 1);
}

#[test]
fn a_machine_gets_every_key_that_is_no_code() {
    let mut server = server();
    let [mut one, mut two] = talk(&mut server);
    for (keys, got) in [("12#", "12#"), ("*9", "*9"), ("**3", "*"), ("#7*", "#7*")] {
        one.press(keys);
        if keys == "**3" {
            one.press("#"); // a consult without a number
        }
        for key in got.chars() {
            two.expect_key(key);
        }
        assert_eq!(two.keys_by_now(), "", "{keys}");
    }
    one.command("hangup", "");
    two.expect_event("CALL_CLOSED");
    drop((one, two));
    assert_eq!(server.stop().records[0].status(), 200);
}

#[test]
fn an_agent_hears_whether_a_code_did_something() {
    let mut server = server();
    let [mut one, mut two] = talk(&mut server);
    one.press("*4"); // there is no consult
    sleep(TALK);
    one.press("*6"); // hold
    sleep(TALK);
    one.press("*3"); // waits for a number
    sleep(TALK);
    one.command("hangup", "");
    two.expect_event("CALL_CLOSED");
    let (heard, held) = (one.heard(), two.heard());
    hears(&heard, &[425.0], 0.5); // the dial tone, in Germany; shorter when refused
    hears(&heard, &[1000.0], 0.1);
    hears(&held, &[440.0], 1.0);
    assert!(server.stop().log.contains("dialled in vain"));
}

/// A phone that tells of keys by SIP INFO holds and resumes.
#[test]
fn h1_a_code_by_info_holds_and_resumes() {
    let more = "[feature_codes]\nenabled = true\n".to_owned();
    let server = Server::start(&Setup { more, ..Setup::with_api() });
    let talk = Talk::start(&server);
    let mut events = server.web(interop::web::ADMIN).events(None);
    for (seq, told) in [(200, "interaction.held"), (210, "interaction.resumed")] {
        for (key, n) in [('*', 0), ('6', 1)] {
            let body = format!("Signal={key}\r\nDuration=160\r\n");
            let Talk { phone, of_phone, .. } = &talk;
            let info = phone.within(of_phone, "INFO", seq + n, &body);
            let info = info.replace("application/sdp", "application/dtmf-relay");
            assert_eq!(phone.ask(&info).status(), 200);
        }
        events.until(told);
    }
    talk.hang_up();
    server.stop();
}
