//! Several calls of one agent (I): held with the line let go of, retrieved, taken from a colleague,
//! joined into one; and those of a conference who are muted and taken out.

use std::f64::consts::TAU;
use std::time::Duration;

use interop::web::{ADMIN, AGENT_1001, AGENT_1002, SUPERVISOR, Web};
use interop::{Interaction, Scene, Seat, Server, Setup, Table, tone};

const ENTRY: &str = "+4930100"; // leads to 1001
const MUSIC: u32 = 340;
const FIRST: u32 = 530;
const SECOND: u32 = 830;
/// Of the agent's two lines.
const LINES: [u32; 2] = [610, 710];

fn server() -> Server {
    let more = "[recording]\nenabled = true\n".to_owned();
    let (media, digest) = ("music = \"music.wav\"", r#"["MD5"]"#);
    Server::start_with(&Setup { media, digest, more, ..Setup::with_api() }, |dir| {
        let sound = |at: f64| (TAU * f64::from(MUSIC) * at).sin() * 0.3;
        tone::write_wav(&dir.join("music.wav"), Duration::from_secs(2), sound);
    })
}

/// H6, I3, F15, H3.
#[test]
fn f15_h6_calls_held_without_a_line_are_retrieved_and_joined() {
    let server = server();
    let agent = Seat::agent_with_lines(&server, "1001", &LINES);
    let [one, two] = [FIRST, SECOND].map(|hz| Seat::customer(&server, hz));
    let mut table = Table::new();
    table.sound("music", MUSIC);
    table.seat("first", FIRST, one.ear());
    table.seat("second", SECOND, two.ear());
    table.seat("line", LINES[0], agent.ear_of(0));
    table.seat("other line", LINES[1], agent.ear_of(1));
    let web = server.web(AGENT_1001);
    let mut events = web.events(None);
    one.dial(ENTRY);
    let first = Interaction::that_is(web, "connected");
    table.expect("talking", &[("first", "line"), ("line", "first")]);
    first.does_with("hold", r#"{"releaseLine":true}"#);
    agent.expect_up(0);
    events.until("leg.hungUp");
    let listed = web.get("/v1/interactions").json();
    let participants = listed[0]["participants"].as_array().unwrap();
    assert!(participants.iter().any(|one| one["state"] == "lineReleased"), "{listed}");
    table.expect("held without a line", &[("first", "music")]);
    two.dial(ENTRY);
    let second = Interaction::that_is(web, "connected");
    let beside = [("first", "music"), ("second", "line"), ("line", "second")];
    table.expect("the next call", &beside);
    second.does("hold");
    table.expect("both held", &[("first", "music"), ("second", "music")]);
    first.does("resume"); // I3
    agent.expect_up(2);
    assert_eq!(agent.invite().header("Answer-Mode"), Some("Auto"));
    let retrieved = [("first", "other line"), ("other line", "first"), ("second", "music")];
    table.expect("retrieved", &retrieved);

    first.does_with("conference/add", &format!(r#"{{"interactionIds":["{}"]}}"#, second.id()));
    agent.expect_up(1);
    let (both, others) = (("other line", "first + second"), "other line");
    let joined = [("first", "second + other line"), ("second", "first + other line"), both];
    table.expect("joined", &joined);
    first.does("mute");
    table.expect("muted", &[("first", "second"), ("second", "first"), both]);
    first.does("unmute");
    table.expect("heard again", &joined);
    take_out_the_guest(web, &first);
    two.expect_up(0);
    let talking = [("first", others), (others, "first")];
    table.expect("one was taken out", &talking);
    agent.hold(true); // H3
    table.expect("held by the phone", &[("first", "music")]);
    first.expect("held");
    agent.hold(false);
    table.expect("resumed by the phone", &talking);
    first.does("end");
    one.expect_up(0);
    let records = server.stop().records;
    assert_eq!(records.len(), 2, "{records:?}");
    records.iter().for_each(interop::Record::assert_times_add_up);
    assert_eq!(records[0].text("mergedInto"), records[1].text("id"), "{records:?}");
}

/// The customer of the call that was joined is a guest of the other.
fn take_out_the_guest(web: Web, call: &Interaction) {
    let shown = call.shown();
    let participants = shown["participants"].as_array().expect("participants");
    let guest = participants.iter().find(|one| one["role"] == "nonAgent").expect("a guest");
    let id = guest["id"].as_str().expect("its id");
    let path = format!("/v1/interactions/{}/participants/{id}", call.id());
    let answer = web.request("DELETE", &path, "", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// I2, U2: a call that rings elsewhere is taken; who supervises leaves with the agent who was
/// supervised.
#[test]
fn i2_u2_a_call_is_taken_from_a_colleague_and_left_to_another() {
    let scene = Scene::at(server()).agent("1001", "agent-loses");
    let server = &scene.server;
    let taker = Seat::agent(server, "1002", LINES[0]);
    let target = Seat::agent(server, "1003", LINES[1]);
    let supervisor = Seat::agent(server, "1004", SECOND);
    let customer = Seat::customer(server, FIRST);
    let mut table = Table::new();
    table.seat("customer", FIRST, customer.ear());
    table.seat("taker", LINES[0], taker.ear());
    table.seat("target", LINES[1], target.ear());
    table.seat("supervisor", SECOND, supervisor.ear());
    customer.begin(ENTRY);
    Interaction::that_is(server.web(ADMIN), "ringing");
    let web = server.web(AGENT_1002);
    let taken = web.post("/v1/interactions/pickup", r#"{"extension":"1001"}"#);
    assert_eq!(taken.status, 202, "{}", taken.text());
    customer.expect_up(1);
    let call = Interaction::that_is(web, "connected");
    table.expect("taken", &[("customer", "taker"), ("taker", "customer")]);
    let begin = r#"{"agentId":"1002","mode":"barge"}"#;
    assert_eq!(server.web(SUPERVISOR).post("/v1/monitoring-sessions", begin).status, 202);
    table.expect(
        "barged in",
        &[
            ("customer", "taker + supervisor"),
            ("taker", "customer + supervisor"),
            ("supervisor", "customer + taker"),
        ],
    );
    call.does_with("transfer", r#"{"to":"1003","onFailure":"drop"}"#);
    table.expect("left to another", &[("customer", "target"), ("target", "customer")]);
    taker.expect_up(0);
    supervisor.expect_up(0);
    customer.hang_up();
    target.expect_up(0);
    let record = scene.record();
    record.assert_times_add_up();
    assert_eq!(record.legs().len(), 5, "{record:?}");
}
