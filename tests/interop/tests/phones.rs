//! Real phones: two baresips talk, and what each hears is measured.

use std::f64::consts::TAU;
use std::thread::sleep;
use std::time::Duration;

use interop::client::{Client, Dialog};
use interop::secure::SecureClient;
use interop::srtp::SecureAudio;
use interop::{Baresip, CUSTOMER, Ended, PHONE, Server, Setup, certificates, tone};

/// baresip 1.0 gives up at a challenge it does not know, wherever it stands in the list.
const MD5: &str = r#"["MD5"]"#;
const TALK: Duration = Duration::from_millis(1500);

/// A call of 1001 to 1002 that lasts a while.
fn talk(caller: &mut Baresip, callee: &mut Baresip) {
    caller.dial("1002");
    caller.expect_event("CALL_ESTABLISHED");
    callee.expect_event("CALL_ESTABLISHED");
    sleep(TALK);
}

#[track_caller]
fn hears(phone: Baresip, hz: u32, own_hz: u32) {
    let (samples, rate) = phone.heard();
    let seconds = tone::longest(&samples, rate, f64::from(hz));
    assert!(seconds >= 1.0, "{hz} Hz for {seconds} s of {}", samples.len() as f64 / rate);
    assert!(tone::longest(&samples, rate, f64::from(own_hz)) < 0.1, "hears itself");
}

#[test]
fn two_phones_hear_each_other() {
    let mut server = Server::start(&Setup { digest: MD5, ..Setup::default() });
    let mut one = Baresip::start(&mut server, "1001", 440);
    let mut two = Baresip::start(&mut server, "1002", 770);
    talk(&mut one, &mut two);
    one.command("hangup", "");
    two.expect_event("CALL_CLOSED");
    hears(one, 770, 440);
    hears(two, 440, 770);
    let record = &server.stop().records[0];
    assert_eq!((record.status(), record.ended_by()), (200, "caller"));
    assert!(record.of_legs("packetsReceived").iter().all(|&packets| packets > 50), "{record:?}");
    assert_eq!(record.of_legs("packetsLost"), [0, 0]);
}

#[test]
fn two_phones_hear_each_other_over_tls() {
    let setup = Setup { digest: MD5, tls: true, ..Setup::default() };
    let mut server = Server::start_with(&setup, certificates::make);
    let mut one = Baresip::start_by_tls(&mut server, "1001", 440);
    let mut two = Baresip::start_by_tls(&mut server, "1002", 770);
    talk(&mut one, &mut two);
    two.command("hangup", "");
    one.expect_event("CALL_CLOSED");
    hears(one, 770, 440);
    hears(two, 440, 770);
    let record = &server.stop().records[0];
    assert_eq!((record.status(), record.ended_by()), (200, "callee"));
}

/// A call of a phone with one account's parameters to one with another's: codecs of the record.
#[track_caller]
fn talk_with(caller: &str, callee: &str) -> Vec<String> {
    let codecs = r#"["opus", "G722", "PCMA", "PCMU", "L16"]"#;
    let setup = Setup { digest: MD5, codecs, ..Setup::default() };
    let mut server = Server::start(&setup);
    let mut one = Baresip::start_with(&mut server, caller, "1001", 440);
    let mut two = Baresip::start_with(&mut server, callee, "1002", 770);
    talk(&mut one, &mut two);
    one.command("hangup", "");
    two.expect_event("CALL_CLOSED");
    hears(one, 770, 440);
    hears(two, 440, 770);
    let record = &server.stop().records[0];
    assert_eq!(record.of_legs("packetsLost"), [0, 0]);
    record.codecs().into_iter().map(str::to_owned).collect()
}

#[test]
fn phones_without_a_common_codec_hear_each_other() {
    let (opus, g722) = (";audio_codecs=opus/48000/2", ";audio_codecs=G722/16000/1");
    let (ulaw, alaw) = (";audio_codecs=PCMU/8000/1", ";audio_codecs=PCMA/8000/1");
    assert_eq!(talk_with(opus, alaw), ["opus", "PCMA"]);
    assert_eq!(talk_with(ulaw, g722), ["PCMU", "G722"]);
    let linear = ";audio_codecs=L16/16000/1";
    assert_eq!(talk_with(linear, alaw), ["L16", "PCMA"]);
}

#[test]
fn a_phone_with_srtp_and_one_without_hear_each_other() {
    let secure = ";audio_codecs=PCMA/8000/1;mediaenc=srtp-mand";
    let plain = ";audio_codecs=PCMA/8000/1";
    assert_eq!(talk_with(secure, plain), ["PCMA", "PCMA"]);
}

#[test]
fn a_phone_with_srtp_and_opus_hears_one_with_g711() {
    let secure = ";audio_codecs=opus/48000/2;mediaenc=srtp-mand";
    assert_eq!(talk_with(secure, ";audio_codecs=PCMU/8000/1"), ["opus", "PCMU"]);
}

/// SRTP with keys in SDP where the signalling is encrypted, whoever of the two begins: the other phone
/// knows nothing of either.
#[test]
fn a_phone_with_tls_and_srtp_and_one_with_neither_hear_each_other() {
    // Called, it is offered protection only: what is `auto` may be left untaken, and baresip takes
    // keys in the secure profile alone.
    let first_extension = "srtp = \"required\"";
    let setup = Setup { digest: MD5, tls: true, first_extension, ..Setup::default() };
    for is_called in [false, true] {
        let mut server = Server::start_with(&setup, certificates::make);
        let account = ";audio_codecs=PCMA/8000/1;mediaenc=srtp-mand";
        let mut secure = Baresip::start_by_tls_with(&mut server, account, "1001", 440);
        let plain = ";audio_codecs=PCMA/8000/1";
        let mut plain = Baresip::start_with(&mut server, plain, "1002", 770);
        let (caller, callee, number) = match is_called {
            false => (&mut secure, &mut plain, "1002"),
            true => (&mut plain, &mut secure, "1001"),
        };
        caller.dial(number);
        caller.expect_event("CALL_ESTABLISHED");
        callee.expect_event("CALL_ESTABLISHED");
        sleep(TALK);
        caller.command("hangup", "");
        callee.expect_event("CALL_CLOSED");
        hears(secure, 770, 440);
        hears(plain, 440, 770);
        let record = &server.stop().records[0];
        let mut protections = record.protections();
        if is_called {
            protections.reverse();
        }
        assert_eq!(protections, ["sdes", "none"], "{record:?}");
        assert_eq!(record.of_legs("packetsLost"), [0, 0], "{record:?}");
    }
}

const IN_VAIN: &str = "SRTP was offered in vain";

/// A description with a key in the secure profile, and what is made of it.
struct Offers {
    good: String,
    short_key: String,
    unknown_suite: String,
    no_key: String,
}

impl Offers {
    fn new() -> Self {
        let good = SecureAudio::at(CUSTOMER).sdp(1);
        let line = good.lines().find(|line| line.starts_with("a=crypto:")).expect("a key");
        let with = |other: &str| good.replace(line, other);
        Self {
            short_key: with("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2hvcnQ="),
            unknown_suite: with("a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:c2hvcnQ="),
            no_key: with("a=tool:none"),
            good,
        }
    }
}

fn plain(sdp: &str) -> String {
    sdp.replace("RTP/SAVP", "RTP/AVP")
}

#[track_caller]
fn is_refused(client: &mut SecureClient, sdp: &str) {
    client.invite("1001", sdp);
    let refused = client.receive_final();
    assert_eq!(refused.status(), 488, "{sdp}\n{refused}");
    client.within(&Dialog::of_caller(&refused), "ACK", refused.seq());
}

/// Protection that is asked for over TLS and cannot be had: by the secure profile there is no call;
/// beside the plain one there is a plain one, and it is told.
#[test]
fn a_phone_with_tls_that_asks_for_srtp_is_not_left_in_the_clear_unawares() {
    let setup = Setup { tls: true, ..Setup::default() };
    let server = Server::start_with(&setup, certificates::make);
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let mut client = SecureClient::start(&server, "1002");
    let Offers { good, short_key, unknown_suite, no_key } = Offers::new();
    for sdp in [&short_key, &unknown_suite, &no_key] {
        is_refused(&mut client, sdp);
    }
    for (sdp, protocol) in [(good, "RTP/SAVP"), (plain(&unknown_suite), "RTP/AVP")] {
        client.invite("1001", &sdp);
        let invite = phone.receive_request("INVITE");
        phone.send(&phone.reply(&invite, "200 OK", &[], &phone.sdp()));
        let answered = client.receive_final();
        assert_eq!(answered.status(), 200, "{answered}");
        let mut lines = answered.body().lines();
        let media = lines.find(|line| line.starts_with("m=audio ")).expect("audio");
        let has_key = answered.body().contains("a=crypto:");
        assert_eq!(media.split(' ').nth(2), Some(protocol), "{answered}");
        assert_eq!(has_key, protocol == "RTP/SAVP", "{answered}");
        let dialog = Dialog::of_caller(&answered);
        client.within(&dialog, "ACK", answered.seq());
        phone.receive_request("ACK");
        client.within(&dialog, "BYE", 10);
        assert_eq!(client.receive_final().status(), 200);
        let bye = phone.receive_request("BYE");
        phone.send(&phone.reply(&bye, "200 OK", &[], ""));
    }
    drop(client);
    let Ended { records, log } = server.stop();
    let told: Vec<_> = log.lines().filter(|line| line.contains(IN_VAIN)).collect();
    let answered = records.iter().filter(|record| record.is_answered());
    let protections: Vec<_> = answered.map(|record| record.protections()).collect();
    assert_eq!(protections, [["sdes", "none"], ["none", "none"]], "{records:?}");
    assert!(told.len() == 1 && told[0].contains("WARN"), "once, of the second: {told:?}");
}

#[test]
fn where_srtp_is_required_nothing_over_tls_goes_without() {
    let extension = "srtp = \"required\"";
    let setup = Setup { tls: true, extension, ..Setup::default() };
    let server = Server::start_with(&setup, certificates::make);
    let mut client = SecureClient::start(&server, "1002");
    let Offers { unknown_suite, no_key, .. } = Offers::new();
    for sdp in [plain(&unknown_suite), plain(&no_key), unknown_suite] {
        is_refused(&mut client, &sdp);
    }
    drop(client);
    assert!(!server.stop().log.contains(IN_VAIN));
}

/// K1: one file a call, the caller left and the called right, complete when the call is over.
#[test]
fn k1_a_call_is_recorded_with_a_channel_for_each_side() {
    let more = "[recording]\nenabled = true\n".to_owned();
    let mut server = Server::start(&Setup { digest: MD5, more, ..Setup::default() });
    let mut one = Baresip::start(&mut server, "1001", 440);
    let mut two = Baresip::start(&mut server, "1002", 770);
    talk(&mut one, &mut two);
    one.command("hangup", "");
    two.expect_event("CALL_CLOSED");
    drop((one, two));
    let mut sides = [0.0; 2];
    let mut names = Vec::new();
    let ended = server.stop_and(|dir| {
        for file in std::fs::read_dir(dir.join("data/recordings")).unwrap() {
            let path = file.unwrap().path();
            let (left, right, rate) = tone::read_stereo(&path);
            sides = [(&left, 440.0), (&right, 770.0)]
                .map(|(samples, hz)| tone::longest(samples, rate, hz));
            assert!(tone::longest(&left, rate, 770.0) < 0.1, "the sides are apart");
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    });
    assert!(sides.iter().all(|seconds| *seconds > 1.0), "{sides:?} s of tone");
    assert_eq!(names, [ended.records[0].text("recording")]);
}

/// Early media: the caller hears what is announced, then whoever answers.
#[test]
fn a_caller_hears_the_announcement_and_then_the_agent() {
    let entry_point = "announcements = [\"welcome.wav\"]";
    let setup = Setup { digest: MD5, entry_point, ..Setup::default() };
    let mut server = Server::start_with(&setup, |dir| {
        let sound = |at: f64| (TAU * 620.0 * at).sin() * 0.3;
        tone::write_wav(&dir.join("welcome.wav"), Duration::from_millis(1500), sound);
    });
    let mut agent = Baresip::start(&mut server, "1001", 440);
    let mut caller = Baresip::start(&mut server, "1002", 770);
    // Encoding the sounds takes some seconds of a busy machine.
    let is_ready = || server.log().contains("sounds are ready").then_some(());
    assert!(interop::eventually(Duration::from_secs(30), is_ready).is_some());
    caller.dial("+4930100");
    agent.expect_event("CALL_ESTABLISHED");
    sleep(TALK);
    caller.command("hangup", "");
    agent.expect_event("CALL_CLOSED");
    let (samples, rate) = caller.heard();
    for hz in [620.0, 440.0] {
        let seconds = tone::longest(&samples, rate, hz);
        assert!(seconds >= 0.9, "{hz} Hz for {seconds} s of {}", samples.len() as f64 / rate);
    }
    hears(agent, 770, 620);
    assert_eq!(server.stop().records[0].status(), 200);
}

/// SIGHUP ends nothing; a certificate that was replaced is shown to the next phone.
#[test]
fn a_hangup_signal_renews_the_certificate() {
    let setup = Setup { digest: MD5, tls: true, ..Setup::default() };
    let mut server = Server::start_with(&setup, certificates::make);
    let phone = Baresip::start_by_tls(&mut server, "1001", 440);
    let shown = || certificates::shown_by(&server);
    let before = shown();
    server.signal("HUP");
    std::fs::write(server.dir().join("server.pem"), "no certificate").unwrap();
    server.signal("HUP");
    let refused = interop::eventually(Duration::from_secs(5), || {
        server.log().contains("the old certificate stays").then_some(())
    });
    assert!(refused.is_some() && shown() == before);
    certificates::renew(server.dir());
    server.signal("HUP");
    let renewed = interop::eventually(Duration::from_secs(5), || (shown() != before).then_some(()));
    assert!(renewed.is_some(), "{}", server.log());
    drop(phone);
    let log = server.stop().log;
    assert!(log.contains("the level of the log is read anew"), "{log}");
}

/// H1: who is held hears music, who holds hears nothing of it, and both talk again afterwards.
#[test]
fn a_phone_holds_and_the_other_hears_music() {
    let mut server = Server::start(&Setup { digest: MD5, ..Setup::default() });
    let mut one = Baresip::start(&mut server, "1001", 440);
    let mut two = Baresip::start(&mut server, "1002", 770);
    talk(&mut one, &mut two);
    one.command("hold", "");
    sleep(TALK);
    one.command("resume", "");
    sleep(TALK);
    one.command("hangup", "");
    two.expect_event("CALL_CLOSED");
    let (samples, rate) = two.heard();
    let window = (rate * 0.1) as usize;
    let parts: String = samples.chunks_exact(window).map(|part| kind(part, rate)).collect();
    let runs = ["TTTTTTTTTT", "MMMMMMMMMM", "TTTTTTTTTT"]; // a second of each
    let found = runs.iter().try_fold(0, |from, run| Some(from + parts[from..].find(run)? + 10));
    assert!(found.is_some(), "T = tone, M = music: {parts}");
    drop(one);
    let record = &server.stop().records[0];
    assert!(record.number("holdMs") >= 1000, "{record:?}");
}

/// What a tenth of a second holds: the other phone's tone, something else, or silence.
fn kind(samples: &[f64], rate: f64) -> char {
    let level = tone::level(samples);
    let tone = tone::amplitude(samples, rate, 440.0) / 2f64.sqrt();
    match () {
        () if level < 0.01 => '.',
        () if tone > 0.7 * level => 'T',
        () => 'M',
    }
}
