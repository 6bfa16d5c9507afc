//! What an agent's program does with calls of its own making: calls out, listens in, records.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use interop::web::{ADMIN, AGENT_1001};
use interop::{Interaction, Scene, Seat, Server, Setup, Table, tone};

const AGENT: u32 = 610;
const CALLED: u32 = 530;
const CONSULTED: u32 = 710;
/// What lies between two verbs, so that it can be told from another in a file.
const WHILE: Duration = Duration::from_millis(800);

/// I5, K2, K4, K6, U0: the own phone is asked to answer, then the number is called; the agent records
/// what it wants recorded, a supervisor's phone listens in.
#[test]
fn i5_k6_a_call_by_command_is_recorded_by_command() {
    let more = "[recording]\nenabled = true\nautomatic = false\n".to_owned();
    let setup = Setup { digest: r#"["MD5"]"#, more, ..Setup::with_api() };
    let scene = Scene::at(Server::start(&setup)).agent("1004", "agent-is-asked-to-answer");
    let server = &scene.server;
    let agent = Seat::agent(server, "1001", AGENT);
    let consulted = Seat::agent(server, "1002", CONSULTED);
    let gateway = Seat::gateway(server, server.carrier(), &[CALLED]);
    let mut table = Table::new();
    table.sound("ringing", 425);
    table.seat("called", CALLED, gateway.ear());
    table.seat("agent", AGENT, agent.ear());
    let web = server.web(AGENT_1001);
    let mut events = web.events(None);
    let begun = web.post("/v1/interactions", r#"{"to":"0171 1234","routeId":"world"}"#);
    assert_eq!(begun.status, 202, "{}", begun.text());
    assert_eq!(begun.json()["state"], "ringing");
    let call = Interaction::that_is(web, "connected");
    let asked = agent.invite();
    assert_eq!(asked.header("Answer-Mode"), Some("Auto"), "{asked}");
    assert!(asked.header("From").is_some_and(|from| from.contains("1234")), "{asked}");
    table.expect("talking", &[("called", "agent"), ("agent", "called")]);

    call.is_refused("record/pause", 409, "INVALID_STATE");
    for (verb, event) in [
        ("start", "recording.started"),
        ("pause", "recording.paused"),
        ("resume", "recording.resumed"),
        ("stop", "recording.stopped"),
    ] {
        call.does(&format!("record/{verb}"));
        events.until(event);
        sleep(WHILE);
    }
    call.does("record/start");
    call.does_with("consult", r#"{"to":"1002"}"#);
    call.expect("consulting");
    call.is_refused("record/pause", 409, "RECORDING_PAUSE_NOT_ALLOWED"); // K4
    consulted.expect_up(1);
    sleep(WHILE);
    call.does("consult/end");
    consulted.expect_up(0);

    let admin = server.web(ADMIN);
    let monitor = r#"{"agentId":"1001","mode":"barge","extension":"1004"}"#;
    let session = admin.post("/v1/monitoring-sessions", monitor).json();
    assert_eq!((&session["interactionId"], &session["mode"]), (&call.id().into(), &"barge".into()));
    events.until("monitoring.started");
    let listed = admin.get("/v1/monitoring-sessions").json();
    assert_eq!((&listed[0]["id"], &listed[0]["extension"]), (&session["id"], &"1004".into()));
    let path = format!("/v1/monitoring-sessions/{}", session["id"].as_str().unwrap());
    assert_eq!(admin.request("DELETE", &path, "", "").status, 204);
    events.until("monitoring.ended");
    call.does("end");
    gateway.expect_up(0);
    let id = call.id().to_owned();
    let ended = scene.end_and(|dir| what_was_wanted_is_recorded(dir, &id));
    let record = &ended.records[0];
    record.assert_times_add_up();
    assert!(record.time("talk") > 0 && record.time("consult") > 0, "{record:?}");
    assert_eq!((record.status(), record.text("to")), (200, "01711234"), "{record:?}");
    assert_eq!(record.legs(), [("1001", 200), ("carrier", 200), ("1002", 200), ("1004", 200)]);
}

/// Two files: both sides, nothing of the pause, both sides again; and what was recorded later.
fn what_was_wanted_is_recorded(dir: &Path, id: &str) {
    let file = |name: &str| tone::read_stereo(&dir.join("data/recordings").join(name));
    let (left, right, rate) = file(&format!("{id}.wav"));
    for (side, own, other) in [(&left, CALLED, AGENT), (&right, AGENT, CALLED)] {
        let heard: String = side
            .chunks_exact((rate * 0.1) as usize)
            .map(|part| match tone::seconds(part, rate, f64::from(own)) > 0.0 {
                true => 'T',
                false if tone::level(part) < 0.001 => '.',
                false => '?',
            })
            .collect();
        let runs = ["TTTTT", ".....", "TTTTT"];
        let found = runs.iter().try_fold(0, |from, run| Some(from + heard[from..].find(run)? + 5));
        assert!(found.is_some() && heard.len() < 60, "{own} Hz: {heard}");
        assert_eq!(tone::seconds(side, rate, f64::from(other)), 0.0, "the sides are apart");
    }
    let (left, right, rate) = file(&format!("{id}-1.wav"));
    assert!(tone::seconds(&left, rate, f64::from(CALLED)) > 0.3);
    assert!(tone::seconds(&right, rate, f64::from(AGENT)) > 0.3);
}
