//! Chromium's own WebRTC against the server: DTLS-SRTP, ICE-lite, Opus, and a G.711 phone on the
//! other side.

use std::f64::consts::TAU;
use std::path::Path;
use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;

use interop::table::Ear;
use interop::web::AGENT_1001;
use interop::{Baresip, Chromium, Heard, Interaction, Seat, Server, Setup, Table, tone};

/// Of the browser's microphone and of the phone, Hz.
const BROWSER: u32 = 600;
const PHONE: u32 = 770;
const TALK: Duration = Duration::from_millis(1500);

fn setup() -> Setup {
    let codecs = r#"["opus", "G722", "PCMA", "PCMU"]"#;
    let net = "websocket_origins = [\"*\"]";
    Setup { digest: r#"["MD5"]"#, codecs, net, ..Setup::default() }
}

/// A browser as 1001 and a phone with G.711 alone as 1002.
fn scene() -> (Server, Chromium, Baresip) {
    let mut server = Server::start(&setup());
    let phone = Baresip::start_with(&mut server, ";audio_codecs=PCMA/8000/1", "1002", PHONE);
    let browser = Chromium::start(&server, "1001", BROWSER);
    (server, browser, phone)
}

/// Seconds for which the phone heard the browser.
fn seconds(phone: Baresip) -> f64 {
    let (samples, rate) = phone.heard();
    assert!(tone::longest(&samples, rate, f64::from(PHONE)) < 0.1, "hears itself");
    tone::longest(&samples, rate, f64::from(BROWSER))
}

#[track_caller]
fn mostly_tone(heard: Heard) {
    assert!(heard.tone * 10 >= (heard.tone + heard.silent + heard.other) * 8, "{heard:?}");
}

#[test]
fn a_browser_calls_a_g711_phone_and_both_hear_each_other() {
    let (server, browser, mut phone) = scene();
    // Else it would take the phone's codec, and nothing had to be transcoded.
    browser.run("phone.codecs = ['opus']");
    assert_eq!(browser.run("phone.dial('1002')"), "connected");
    phone.expect_event("CALL_ESTABLISHED");
    sleep(TALK);
    mostly_tone(browser.hears(PHONE, 1500));
    assert_eq!(browser.fact("codec"), "audio/opus");
    assert_eq!(browser.fact("dtls"), "connected");
    assert_eq!(browser.run("phone.hangUp()"), 200);
    phone.expect_event("CALL_CLOSED");
    let heard = seconds(phone);
    assert!(heard >= 1.0, "{heard} s");
    drop(browser);
    let record = &server.stop().records[0];
    assert_eq!((record.status(), record.ended_by()), (200, "caller"));
    assert_eq!(record.codecs(), ["opus", "PCMA"]);
    assert_eq!(record.of_legs("packetsLost"), [0, 0]);
}

#[test]
fn a_phone_calls_a_browser_and_both_hear_each_other() {
    let (server, browser, mut phone) = scene();
    browser.begin("phone.answer()");
    phone.dial("1001");
    phone.expect_event("CALL_ESTABLISHED");
    assert_eq!(browser.finish(), "connected");
    sleep(TALK);
    mostly_tone(browser.hears(PHONE, 1500));
    phone.command("hangup", "");
    browser.run("phone.ended()");
    let heard = seconds(phone);
    assert!(heard >= 1.0, "{heard} s");
    drop(browser);
    let record = &server.stop().records[0];
    assert_eq!((record.status(), record.ended_by()), (200, "caller"));
    assert_eq!(record.codecs(), ["PCMA", "PCMA"], "rather than to transcode");
}

/// Hold by `sendonly`, keys, an ICE restart and a new connection: one association all the while.
#[test]
fn a_browser_holds_presses_keys_and_changes_its_network() {
    let (server, browser, mut phone) = scene();
    assert_eq!(browser.run("phone.dial('1002')"), "connected");
    phone.expect_event("CALL_ESTABLISHED");
    mostly_tone(browser.hears(PHONE, 1500));

    browser.run("phone.direct('sendonly')");
    sleep(Duration::from_millis(300));
    let held = browser.hears(PHONE, 1000);
    assert_eq!((held.tone, held.other), (0, 0), "the holder hears nothing: {held:?}");
    browser.run("phone.direct('sendrecv')");
    sleep(Duration::from_millis(300));
    mostly_tone(browser.hears(PHONE, 1000));

    browser.run("phone.press('5#')");
    for key in ['5', '#'] {
        phone.expect_key(key);
    }

    let before = browser.fact("ufrag");
    assert_eq!(browser.run("phone.restartIce()"), "connected");
    mostly_tone(browser.hears(PHONE, 1000));
    assert_ne!(browser.fact("ufrag"), before);

    browser.run("phone.reconnect()");
    browser.run("phone.restartIce()");
    mostly_tone(browser.hears(PHONE, 1000));
    phone.command("hangup", "");
    browser.run("phone.ended()");
    let heard = seconds(phone);
    assert!(heard >= 1.0, "{heard} s");
    drop(browser);
    let ended = server.stop();
    let keys = ended.log.matches("keys by DTLS").count();
    assert_eq!(keys, 1, "a re-INVITE keeps the association");
    assert!(ended.records[0].number("holdMs") >= 1000);
}

/// Where SRTP is off a browser gets no call, and none in the clear.
#[test]
fn a_browser_does_not_fall_back() {
    let extension = "srtp = \"off\"";
    let mut server = Server::start(&Setup { extension, ..setup() });
    let phone = Baresip::start(&mut server, "1002", PHONE);
    let browser = Chromium::start(&server, "1001", BROWSER);
    let refused = browser.run("phone.dial('1002')");
    assert!(refused.as_str().unwrap().contains("488"), "{refused}");
    drop((browser, phone));
    assert!(!server.stop().log.contains("keys by DTLS"));
}

/// DTLS without ICE, and keys in the description: baresip, calling and called.
#[test]
fn phones_with_either_kind_of_keys_hear_each_other() {
    let (dtls, sdes) = ("dtls_srtp", "srtp-mand");
    // A phone that comes by UDP is offered protection where it is said to have it.
    for (caller, callee, extension) in [
        (dtls, "", ""),
        (dtls, dtls, "srtp = \"dtls\""),
        (sdes, sdes, "srtp = \"required\""),
        (dtls, sdes, "srtp = \"required\""),
    ] {
        let setup = Setup { extension, ..setup() };
        let mut server = Server::start(&setup);
        let start = |server: &mut Server, encryption: &str, extension: &str, hz| {
            let account = format!(";mediaenc={encryption}");
            let account = if encryption.is_empty() { "" } else { &account };
            Baresip::start_with(server, account, extension, hz)
        };
        let mut one = start(&mut server, caller, "1001", BROWSER);
        let mut two = start(&mut server, callee, "1002", PHONE);
        one.dial("1002");
        one.expect_event("CALL_ESTABLISHED");
        two.expect_event("CALL_ESTABLISHED");
        sleep(TALK * 2);
        one.command("hangup", "");
        two.expect_event("CALL_CLOSED");
        let (samples, rate) = one.heard();
        assert!(tone::longest(&samples, rate, f64::from(PHONE)) >= 1.0, "{caller} {callee}");
        let heard = seconds(two);
        assert!(heard >= 1.0, "{caller} {callee}: {heard} s");
        server.stop();
    }
}

/// What a page hears: the last third of a second, each time.
#[derive(Debug)]
struct Page(Rc<Chromium>);

impl Ear for Page {
    fn fresh(&mut self) -> (Vec<f64>, f64) {
        let samples = self.0.run(
            "(() => { phone.ear.fftSize = 32768; const all = new Float32Array(32768); \
             phone.ear.getFloatTimeDomainData(all); \
             return Array.from(all.slice(-14400), (one) => Math.round(one * 32768)); })()",
        );
        let samples = samples.as_array().expect("samples").iter();
        (samples.map(|one| one.as_f64().expect("a number") / 32_768.0).collect(), 48_000.0)
    }
}

const MUSIC: u32 = 340;
const CUSTOMER: u32 = 530;
const AGENT: u32 = 660;
const CONSULTED: u32 = 810;

/// An agent with a browser, by the API: the customer is on hold, a colleague is consulted, and all three
/// are one conference, which is recorded. Its leg is protected all the while, those of the others are not.
#[test]
fn a_browser_is_an_agent_who_holds_consults_and_merges() {
    let (media, more) = ("music = \"music.wav\"", "[recording]\nenabled = true\n".to_owned());
    let setup = Setup { api: true, media, more, ..setup() };
    let server = Server::start_with(&setup, |dir| {
        let sound = |at: f64| (TAU * f64::from(MUSIC) * at).sin() * 0.3;
        tone::write_wav(&dir.join("music.wav"), Duration::from_secs(2), sound);
    });
    let browser = Rc::new(Chromium::start(&server, "1001", AGENT));
    let consulted = Seat::agent(&server, "1002", CONSULTED);
    let customer = Seat::customer(&server, CUSTOMER);
    browser.begin("phone.answer()");
    customer.dial("+4930100");
    assert_eq!(browser.finish(), "connected");
    let mut table = Table::new();
    table.sound("music", MUSIC);
    table.seat("customer", CUSTOMER, customer.ear());
    table.seat("browser", AGENT, Box::new(Page(Rc::clone(&browser))));
    table.seat("consulted", CONSULTED, consulted.ear());
    let call = Interaction::that_is(server.web(AGENT_1001), "connected");
    let talking = [("customer", "browser"), ("browser", "customer")];
    table.expect("talking", &talking);
    call.does("hold");
    table.expect("held", &[("customer", "music")]);
    call.does("resume");
    table.expect("resumed", &talking);
    call.does_with("consult", r#"{"to":"1002"}"#);
    call.expect("consulting");
    let consulting = [("customer", "music"), ("browser", "consulted"), ("consulted", "browser")];
    table.expect("consulting", &consulting);
    call.does("consult/conference");
    let all = [
        ("customer", "browser + consulted"),
        ("browser", "customer + consulted"),
        ("consulted", "customer + browser"),
    ];
    table.expect("conference", &all);
    let shown = call.participant("1001").expect("the browser");
    assert_eq!(shown["legs"][0]["protection"], "dtls", "{shown}");
    call.does("conference/exit");
    browser.run("phone.ended()");
    customer.hang_up();
    consulted.expect_up(0);
    drop((table, browser));
    let ended = server.stop_and(what_a_browser_said_is_recorded);
    let record = &ended.records[0];
    assert_eq!(record.protections(), ["none", "dtls", "none"], "{record:?}");
    assert_eq!(record.of_legs("packetsLost"), [0, 0, 0], "{record:?}");
    assert_eq!(ended.log.matches("keys by DTLS").count(), 1, "once for all of it");
}

/// The customer left; the browser and who was consulted right.
fn what_a_browser_said_is_recorded(dir: &Path) {
    let mut files = std::fs::read_dir(dir.join("data/recordings")).expect("recordings");
    let file = files.next().expect("one file").expect("its name");
    assert!(files.next().is_none(), "one call, one file");
    let (left, right, rate) = tone::read_stereo(&file.path());
    let seconds = |samples: &[f64], hz: u32| tone::seconds(samples, rate, f64::from(hz));
    assert_eq!(rate, 16_000.0, "as wide as the browser's voice may be");
    assert_eq!((seconds(&left, AGENT), seconds(&left, CONSULTED)), (0.0, 0.0));
    assert_eq!(seconds(&right, CUSTOMER), 0.0);
    let heard = [seconds(&left, CUSTOMER), seconds(&right, AGENT), seconds(&right, CONSULTED)];
    assert!(heard.iter().all(|heard| *heard > 0.5), "{heard:?} s of each");
}
