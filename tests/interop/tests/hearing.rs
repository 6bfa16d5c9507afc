//! Who hears whom in the calls of real phones that the API drives: each row of DESIGN's table, and
//! that nobody hears anybody else, not even on the way from one row to the next.

use std::f64::consts::TAU;
use std::path::Path;
use std::time::Duration;

use interop::web::{AGENT_1001, AGENT_1002, SUPERVISOR};
use interop::{Baresip, Interaction, Linphone, Seat, Server, Setup, Table, tone};

const ENTRY: &str = "+4930100"; // leads to 1001
// Of music and of each seat, in Hz: none is near a multiple of another, nor near the ringing tone.
const MUSIC: u32 = 340;
const RINGING: u32 = 425;
const CUSTOMER: u32 = 530;
const PRIMARY: u32 = 660;
const CONSULTED: u32 = 810;
const ADVISER: u32 = 990;

fn setup(more: &str) -> Setup {
    let (digest, media) = (r#"["MD5"]"#, "music = \"music.wav\"");
    Setup { digest, media, more: more.to_owned(), ..Setup::with_api() }
}

/// Music on hold that is a tone, so that it is told from voices.
fn music(dir: &Path) {
    let sound = |at: f64| (TAU * f64::from(MUSIC) * at).sin() * 0.3;
    tone::write_wav(&dir.join("music.wav"), Duration::from_secs(2), sound);
}

fn table() -> Table {
    let mut table = Table::new();
    table.sound("music", MUSIC);
    table.sound("ringing", RINGING);
    table
}

/// Two baresips as agents, and everything that the API can do with one call between them.
#[test]
fn real_phones_hear_what_the_table_says_while_the_api_drives_them() {
    let mut server = Server::start_with(&setup(""), music);
    let one = Baresip::start(&mut server, "1001", PRIMARY);
    let two = Baresip::start(&mut server, "1002", CONSULTED);
    let customer = Seat::customer(&server, CUSTOMER);
    let mut table = table();
    table.seat("customer", CUSTOMER, customer.ear());
    table.seat("primary", PRIMARY, one.ear());
    table.seat("consulted", CONSULTED, two.ear());
    customer.dial(ENTRY);
    let call = Interaction::that_is(server.web(AGENT_1001), "connected");
    let talking = [("customer", "primary"), ("primary", "customer")];
    let consulting = [("customer", "music"), ("primary", "consulted"), ("consulted", "primary")];
    let consult_on_hold =
        [("customer", "primary"), ("primary", "customer"), ("consulted", "music")];
    table.expect("talking", &talking);
    call.does("hold");
    table.expect("held", &[("customer", "music")]);
    call.is_refused("end", 409, "END_WHILE_HELD");
    call.does("resume");
    table.expect("resumed", &talking);

    call.does_with("consult", r#"{"to":"1002","destinationType":"agent"}"#);
    call.expect("consulting");
    table.expect("consulting", &consulting);
    call.does("toggle");
    table.expect("toggled", &consult_on_hold);
    call.does("toggle");
    table.expect("toggled back", &consulting);
    call.does("consult/hold");
    table.expect("consult on hold", &consult_on_hold);
    call.does("consult/resume");
    table.expect("consult resumed", &consulting);
    call.does("resume"); // H4
    table.expect("customer resumed", &consult_on_hold);
    call.does("consult/conference");
    table.expect(
        "conference",
        &[
            ("customer", "primary + consulted"),
            ("primary", "customer + consulted"),
            ("consulted", "customer + primary"),
        ],
    );
    call.does("conference/exit"); // F4: 1002 has the call
    table.expect("left to the consulted", &[("customer", "consulted"), ("consulted", "customer")]);

    let other = call.by(server.web(AGENT_1002));
    other.does_with("consult", r#"{"to":"1001","destinationType":"agent"}"#);
    other.expect("consulting");
    table.expect("consulting the other way round", &consulting);
    other.does("consult/transfer");
    table.expect("transferred with consultation", &talking);
    call.does_with("transfer", r#"{"to":"1002","destinationType":"agent"}"#);
    table.expect("transferred", &[("customer", "consulted"), ("consulted", "customer")]);
    other.does("end");
    customer.expect_up(0);
    table.expect("over", &[]);
    drop((one, two));
    let records = server.stop().records;
    assert_eq!(records.len(), 1, "{records:?}");
    let record = &records[0];
    record.assert_times_add_up();
    for kind in ["talk", "hold", "consult", "conference", "transfer"] {
        assert!(record.time(kind) > 0, "{kind}: {record:?}");
    }
    assert_eq!(record.legs().len(), 5, "{record:?}");
}

/// linphone is consulted by baresip and left with the customer.
#[test]
fn linphone_hears_what_the_table_says_when_it_is_consulted() {
    let mut server = Server::start_with(&setup(""), music);
    let one = Baresip::start(&mut server, "1001", PRIMARY);
    let three = Linphone::start(&mut server, "1003", CONSULTED);
    let customer = Seat::customer(&server, CUSTOMER);
    let mut table = table();
    table.seat("customer", CUSTOMER, customer.ear());
    table.seat("primary", PRIMARY, one.ear());
    table.seat("consulted", CONSULTED, three.ear());
    customer.dial(ENTRY);
    let call = Interaction::that_is(server.web(AGENT_1001), "connected");
    table.expect("talking", &[("customer", "primary"), ("primary", "customer")]);
    call.does_with("consult", r#"{"to":"1003","destinationType":"agent"}"#);
    call.expect("consulting");
    table.expect(
        "consulting",
        &[("customer", "music"), ("primary", "consulted"), ("consulted", "primary")],
    );
    call.does("toggle");
    table.expect(
        "consult on hold",
        &[("customer", "primary"), ("primary", "customer"), ("consulted", "music")],
    );
    call.does("consult/conference");
    table.expect(
        "conference",
        &[
            ("customer", "primary + consulted"),
            ("primary", "customer + consulted"),
            ("consulted", "customer + primary"),
        ],
    );
    call.does("conference/exit");
    table.expect("left to linphone", &[("customer", "consulted"), ("consulted", "customer")]);
    customer.hang_up();
    drop((one, three));
    assert_eq!(server.stop().records.len(), 1);
}

/// The same where nobody has the codec of anybody else: all of it is transcoded and mixed.
#[test]
fn phones_with_other_codecs_hear_what_the_table_says() {
    let codecs = r#"["opus", "G722", "PCMA", "PCMU"]"#;
    let mut server = Server::start_with(&Setup { codecs, ..setup("") }, music);
    let (opus, g722) = (";audio_codecs=opus/48000/2", ";audio_codecs=G722/16000/1");
    let one = Baresip::start_with(&mut server, opus, "1001", PRIMARY);
    let two = Baresip::start_with(&mut server, g722, "1002", CONSULTED);
    let (customer, four) =
        (Seat::customer(&server, CUSTOMER), Seat::agent(&server, "1004", ADVISER));
    let mut table = table();
    table.seat("customer", CUSTOMER, customer.ear());
    table.seat("primary", PRIMARY, one.ear());
    table.seat("consulted", CONSULTED, two.ear());
    table.seat("supervisor", ADVISER, four.ear());
    customer.dial(ENTRY);
    let call = Interaction::that_is(server.web(AGENT_1001), "connected");
    table.expect("talking", &[("customer", "primary"), ("primary", "customer")]);
    call.does("hold");
    table.expect("held", &[("customer", "music")]);
    call.does_with("consult", r#"{"to":"1002"}"#);
    call.expect("consulting");
    table.expect(
        "consulting",
        &[("customer", "music"), ("primary", "consulted"), ("consulted", "primary")],
    );
    call.does("consult/conference");
    let three = [
        ("customer", "primary + consulted"),
        ("primary", "customer + consulted"),
        ("consulted", "customer + primary"),
    ];
    table.expect("conference", &three);
    let begin = format!(r#"{{"interactionId":"{}","mode":"monitor"}}"#, call.id());
    let begun = server.web(SUPERVISOR).post("/v1/monitoring-sessions", &begin);
    assert_eq!(begun.status, 202, "{}", begun.text());
    let hears_all = ("supervisor", "customer + primary + consulted");
    table.expect("monitored", &[&three[..], &[hears_all]].concat());
    call.does("conference/exit"); // U2
    table.expect("left", &[("customer", "consulted"), ("consulted", "customer")]);
    customer.hang_up();
    table.expect("over", &[]);
    drop((one, two));
    let record = server.stop().records.remove(0);
    assert_eq!(record.codecs(), ["PCMU", "opus", "G722", "PCMU"], "{record:?}");
}

/// U0: monitor, whisper and barge by a real phone, switched live; who supervises follows the agent,
/// and what is whispered is on nobody's wire but the agent's, nor in the customer's track.
#[test]
fn u0_a_supervisor_is_heard_by_whom_the_mode_says() {
    let mut server = Server::start_with(&setup("[recording]\nenabled = true\n"), music);
    let one = Baresip::start(&mut server, "1001", PRIMARY);
    let four = Baresip::start(&mut server, "1004", ADVISER);
    let (customer, two) =
        (Seat::customer(&server, CUSTOMER), Seat::agent(&server, "1002", CONSULTED));
    let mut table = table();
    table.seat("customer", CUSTOMER, customer.ear());
    table.seat("primary", PRIMARY, one.ear());
    table.seat("consulted", CONSULTED, two.ear());
    table.seat("supervisor", ADVISER, four.ear());
    customer.dial(ENTRY);
    let call = Interaction::that_is(server.web(AGENT_1001), "connected");
    let supervisor = server.web(SUPERVISOR);
    let begin = format!(r#"{{"interactionId":"{}","mode":"monitor"}}"#, call.id());
    let begun = supervisor.post("/v1/monitoring-sessions", &begin);
    assert_eq!(begun.status, 202, "{}", begun.text());
    let session = format!("/v1/monitoring-sessions/{}", begun.json()["id"].as_str().unwrap());
    let switch = |mode: &str| {
        let answer = supervisor.request("PATCH", &session, "", &format!(r#"{{"mode":"{mode}"}}"#));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let both = ("supervisor", "customer + primary");
    table.expect("monitored", &[("customer", "primary"), ("primary", "customer"), both]);
    switch("whisper");
    let whispered = [("customer", "primary"), ("primary", "customer + supervisor"), both];
    table.expect("whispered", &whispered);
    switch("barge");
    table.expect(
        "barged in",
        &[("customer", "primary + supervisor"), ("primary", "customer + supervisor"), both],
    );
    switch("whisper");
    table.expect("whispered again", &whispered);
    call.does_with("consult", r#"{"to":"1002","destinationType":"agent"}"#);
    let advised = [
        ("customer", "music"),
        ("primary", "consulted + supervisor"),
        ("consulted", "primary"),
        ("supervisor", "primary + consulted"),
    ];
    table.expect("whispered in a consult", &advised);
    call.does("resume");
    let on_hold = [("consulted", "music")];
    table.expect("whispered beside a consult on hold", &[&whispered[..], &on_hold].concat());
    call.does("consult/end");
    switch("monitor");
    table.expect("monitored again", &[("customer", "primary"), ("primary", "customer"), both]);
    call.does("hold");
    table.expect("held", &[("customer", "music")]);
    call.does("resume");
    table.expect("resumed", &[("customer", "primary"), ("primary", "customer"), both]);
    assert_eq!(supervisor.request("DELETE", &session, "", "").status, 204);
    table.expect("alone", &[("customer", "primary"), ("primary", "customer")]);
    assert_eq!(supervisor.get("/v1/monitoring-sessions").text(), "[]");
    customer.hang_up();
    table.expect("over", &[]);
    drop((one, four));
    let ended = server.stop_and(only_the_agents_side_has_the_supervisor);
    assert_eq!(ended.records.len(), 1, "{:?}", ended.records);
}

/// K1, U0: left is the customer alone; right are agents, and the supervisor where all heard them.
fn only_the_agents_side_has_the_supervisor(dir: &Path) {
    let mut files = std::fs::read_dir(dir.join("data/recordings")).expect("recordings");
    let file = files.next().expect("one file").expect("its name");
    assert!(files.next().is_none(), "one call, one file");
    let (left, right, rate) = tone::read_stereo(&file.path());
    let seconds = |samples: &[f64], hz: u32| tone::seconds(samples, rate, f64::from(hz));
    for hz in [PRIMARY, CONSULTED, ADVISER] {
        assert_eq!(seconds(&left, hz), 0.0, "{hz} Hz on the customer's side");
    }
    assert_eq!(seconds(&right, CUSTOMER), 0.0, "the sides are apart");
    let (customer, primary) = (seconds(&left, CUSTOMER), seconds(&right, PRIMARY));
    // Whoever they hear: both speak all the while.
    let whole = left.len() as f64 / rate;
    assert!(customer.min(primary) > 0.9 * whole - 0.3, "{customer} s, {primary} s of {whole} s");
    let adviser = seconds(&right, ADVISER);
    assert!((0.3..primary / 2.0).contains(&adviser), "{adviser} s of {primary} s");
}
