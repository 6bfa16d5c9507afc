//! Lists: phones, trunks, records, recordings, figures.

use b2bua::api::{
    Command, EventKind, GatewaySnapshot, Refused, RegistrationSnapshot, Reply, TrunkSnapshot,
};
use b2bua::io::Event;
use call::control::Refusal;

use crate::fake::{ADMIN, AGENT, World, event, interaction};

fn phone(extension: &str) -> RegistrationSnapshot {
    RegistrationSnapshot {
        extension: extension.into(),
        contact: format!("sip:{extension}@192.0.2.1"),
        address: "192.0.2.1:5060".parse().unwrap(),
        transport: "UDP".into(),
        user_agent: "phone".into(),
        expires_in_s: 60,
        reachable: true,
    }
}

fn trunk() -> TrunkSnapshot {
    let gateway = |at: u8, up| GatewaySnapshot {
        address: ([192, 0, 2, at], 5060).into(),
        transport: "UDP".into(),
        up,
    };
    TrunkSnapshot {
        name: "carrier".into(),
        up: true,
        gateways: vec![gateway(1, false), gateway(2, true)],
        registered: None,
        calls: 2,
        calls_max: 100,
    }
}

/// An API that has read what the core of the start knows.
fn overview() -> World {
    let world = overview_unread();
    while world.get(ADMIN, "/v1/interactions").text() == "[]" {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // Interactions are asked for first.
    while !world.get(ADMIN, "/metrics").text().contains("hookflash_trunk_up{") {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    world
}

fn overview_unread() -> World {
    World::new(|_, command| {
        Some(match command {
            Command::Registrations => {
                Ok(Reply::Registrations(vec![phone("1001"), phone("1001"), phone("1002")]))
            }
            Command::Trunks => Ok(Reply::Trunks(vec![trunk()])),
            Command::Interactions => {
                Ok(Reply::Interactions(vec![interaction("call-0", "connected", &["1001"])]))
            }
            _ => Err(Refused::from(Refusal::NotFound)),
        })
    })
}

#[test]
fn phones_and_trunks_are_the_cores_and_asked_for_once_a_second_at_most() {
    let world = overview();
    for _ in 0..20 {
        assert_eq!(world.get(ADMIN, "/v1/registrations").json().as_array().unwrap().len(), 3);
        assert_eq!(world.get(AGENT, "/v1/registrations").json().as_array().unwrap().len(), 2);
        let trunk = &world.get(ADMIN, "/v1/trunks").json()[0];
        assert_eq!((&trunk["up"], &trunk["callsMax"]), (&true.into(), &100.into()));
        assert_eq!(trunk["gateways"][0]["up"], false);
    }
    let asked = world.asked.lock().unwrap();
    let count = |wanted: &Command| asked.iter().filter(|(_, command)| command == wanted).count();
    // Once at the start, and at most a few times while this ran.
    assert!(count(&Command::Registrations) < 10 && count(&Command::Trunks) < 10);
}

#[test]
fn interactions_are_listed_from_what_the_core_pushed() {
    let world = overview();
    let ids = || -> Vec<String> {
        let list = world.get(ADMIN, "/v1/interactions").json();
        list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().into()).collect()
    };
    // Known since the start.
    assert_eq!(ids(), ["call-0"]);
    let shown = interaction("call-1", "connected", &["1001"]);
    world.teller.event(event(EventKind::Accepted, shown));
    assert_eq!(ids(), ["call-0", "call-1"]);
    let shown = interaction("call-0", "ended", &["1001"]);
    world.teller.event(event(EventKind::Ended, shown));
    assert_eq!(ids(), ["call-1"]);
}

#[test]
fn what_an_event_did_not_know_yet_is_asked_for_once() {
    let world = World::new(|_, command| {
        let known = interaction("call-1", "connected", &["1001"]);
        Some(match command {
            Command::Interaction { interaction } if interaction == "call-1" => {
                Ok(Reply::Done(Box::new(known)))
            }
            _ => Err(Refused::from(Refusal::NotFound)),
        })
    });
    let mut early = interaction("call-1", "connected", &["1001"]);
    early.participants[0].legs[0].codec = None;
    world.teller.event(event(EventKind::Accepted, early));
    let codec = || {
        world.get(ADMIN, "/v1/interactions").json()[0]["participants"][0]["legs"][0]["codec"]
            .clone()
    };
    let known = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        codec() == "PCMA"
    });
    assert!(known, "{}", codec());
    assert_eq!(world.commands().len(), 1);
}

#[test]
fn entry_points_and_routes_are_those_of_the_configuration() {
    let world = World::empty();
    assert_eq!(world.get(AGENT, "/v1/entry-points").json()[0]["number"], "+4930");
    assert_eq!(world.get(ADMIN, "/v1/routes").json()[0]["trunks"][0], "carrier");
}

#[test]
fn call_records_come_in_pages_with_times_as_text() {
    let world = World::empty();
    let page = world.get(ADMIN, "/v1/call-records?limit=2").json();
    let ids: Vec<_> = page.as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, ["call-3", "call-2"]);
    assert_eq!(page[0]["started"], "2026-01-01T00:00:00.000Z");
    let page = world.get(ADMIN, "/v1/call-records?limit=2&before=call-2").json();
    assert_eq!(page[0]["id"], "call-1");
    assert_eq!(world.get(ADMIN, "/v1/call-records/call-2").json()["talkMs"], 1000);
    for (query, code) in
        [("limit=0", "VALIDATION"), ("limit=201", "VALIDATION"), ("limit=x", "MALFORMED")]
    {
        let answer = world.get(ADMIN, &format!("/v1/call-records?{query}"));
        assert_eq!(answer.code(), code, "{query}");
    }
    assert_eq!(world.get(ADMIN, "/v1/call-records/call-9").code(), "NOT_FOUND");
}

#[test]
fn v7_masked_numbers_are_masked_in_call_records_too() {
    let settings = api::Settings { mask_numbers: true, ..crate::fake::settings() };
    let world = World::with(settings, |_, _| Some(Err(Refusal::NotFound.into())));
    let record = world.get(AGENT, "/v1/call-records/call-1").json();
    assert_eq!((&record["from"], &record["to"]), (&"***3456".into(), &"1001".into()));
}

#[test]
fn a_recording_is_sent_whole_or_in_part() {
    let world = World::empty();
    let sound: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    std::fs::write(world.recordings.join("call-1.wav"), &sound).unwrap();
    let list = world.get(ADMIN, "/v1/recordings").json();
    assert_eq!(list[1]["id"], "call-1");
    assert_eq!(list[1]["sizeBytes"], 200_000);
    let href = list[1]["href"].as_str().unwrap().to_owned();
    let whole = world.get(ADMIN, &href);
    assert_eq!((whole.status, whole.headers["content-type"].as_str()), (200, "audio/wav"));
    assert_eq!(whole.headers["content-disposition"], "attachment");
    assert!(whole.body == sound);
    let part = |range: &str| world.request("GET", ADMIN, &href, &format!("Range: {range}\r\n"), "");
    let middle = part("bytes=100000-100009");
    assert_eq!((middle.status, &middle.body[..]), (206, &sound[100_000..100_010]));
    assert_eq!(middle.headers["content-range"], "bytes 100000-100009/200000");
    let beyond = part("bytes=200000-");
    assert_eq!((beyond.code().as_str(), beyond.status), ("RANGE_NOT_SATISFIABLE", 416));
    assert_eq!(beyond.headers["content-range"], "bytes */200000");
}

#[test]
fn k6_all_recordings_of_a_call_are_listed_and_sent_the_newest_first() {
    let world = World::empty();
    for name in ["call-0.wav", "call-0-1.wav", "call-0-3.wav", "call-0-2.wav"] {
        std::fs::write(world.recordings.join(name), name).unwrap();
    }
    let list = world.get(ADMIN, "/v1/recordings?limit=1&before=call-1").json();
    let list = list.as_array().unwrap();
    let ids: Vec<_> = list.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["call-0-3", "call-0-1", "call-0"]);
    for one in list {
        let id = one["id"].as_str().unwrap();
        assert_eq!(one["interactionId"], "call-0");
        let sent = world.get(ADMIN, one["href"].as_str().unwrap());
        assert_eq!((sent.status, sent.text()), (200, format!("{id}.wav").as_str()));
        assert_eq!(world.get(ADMIN, &format!("/v1/recordings/{id}")).json(), *one);
    }
    // The next page comes after the last one of this.
    assert_eq!(world.get(ADMIN, "/v1/recordings?before=call-0").json(), serde_json::json!([]));
    // A file that no record names, and what only looks like one that is named.
    for id in ["call-0-2", "call-0-", "call-0-1-1", "call-0-03", "call-1-1", "call-2-1", "-call-0"]
    {
        assert_eq!(world.get(ADMIN, &format!("/v1/recordings/{id}")).code(), "NOT_FOUND", "{id}");
        let sent = world.get(ADMIN, &format!("/v1/recordings/{id}/audio"));
        assert_eq!(sent.code(), "NOT_FOUND", "{id}");
    }
    let record = world.get(ADMIN, "/v1/call-records/call-0").json();
    assert_eq!(record["recording"], "call-0-3.wav");
    assert_eq!(record["recordings"][0], "call-0.wav");
}

#[test]
fn a_recording_is_nothing_but_the_file_of_a_known_call() {
    let world = World::empty();
    std::fs::write(world.recordings.join("secret.wav"), "secret").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", world.recordings.join("passwd")).unwrap();
    for id in [
        "secret.wav",
        "secret",
        "..%2f..%2f..%2f..%2fetc%2fpasswd",
        "../../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%252f..%252fetc%252fpasswd",
        "....//....//etc/passwd",
        "..%5c..%5cetc%5cpasswd",
        "%00call-1",
        "call-1%00.wav",
        "call-1/../secret.wav",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "file:%2f%2f%2fetc%2fpasswd",
        "..",
        ".",
        "..%c0%af..%c0%afetc%c0%afpasswd",
        "call-1;secret.wav",
        // Its record names `../../../etc/passwd`: the name alone is looked for, and it is a link.
        "call-3",
        // A call without a recording, and one whose file is gone.
        "call-2",
        "call-1",
    ] {
        for path in [format!("/v1/recordings/{id}/audio"), format!("/v1/recordings/{id}")] {
            let answer = world.get(ADMIN, &path);
            let told = String::from_utf8_lossy(&answer.body);
            assert!(!told.contains("root:") && !told.contains("secret\""), "{path}: {told}");
            if path.ends_with("audio") {
                assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
            }
        }
    }
}

#[test]
fn the_metrics_page_counts_calls_legs_phones_trunks_and_what_was_lost() {
    let world = overview();
    let answer = world.get(ADMIN, "/metrics");
    assert!(
        answer
            .text()
            .lines()
            .any(|line| line == "hookflash_trunk_gateways_up{trunk=\"carrier\"} 1")
    );
    let shown = interaction("call-1", "held", &["1001", "1002"]);
    world.teller.event(event(EventKind::Held, shown));
    world.teller.event(Event::Trunk {
        name: "carrier".into(),
        up: false,
        gateways_up: 0,
        gateways: 2,
        reason: "503".into(),
    });
    world.teller.event(Event::Limit { limit: "calls_max" });
    world.get("wrong-token-wrong-token-wrong", "/v1/interactions");
    let answer = world.get(ADMIN, "/metrics");
    assert!(answer.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    let page = answer.text();
    for line in [
        "hookflash_calls 2",
        "hookflash_calls_by_state{state=\"held\"} 1",
        "hookflash_legs{codec=\"PCMA\"} 3",
        "hookflash_registrations 3",
        "hookflash_trunk_up{trunk=\"carrier\"} 0",
        "hookflash_trunk_gateways_up{trunk=\"carrier\"} 0",
        "hookflash_limits_met_total{limit=\"calls_max\"} 1",
        "hookflash_sip_udp_received_total 7",
        "hookflash_api_wrong_tokens_total 1",
        "hookflash_api_events_lost_total 0",
        "hookflash_api_commands_refused_total 0",
        "# TYPE hookflash_sip_udp_received_total counter",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    // Each family is described once, and no line is anything but a comment or a sample.
    let mut names = std::collections::BTreeSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(names.insert(rest.split(' ').next().unwrap()), "{line} twice");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(names.contains(name.split('{').next().unwrap()), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
