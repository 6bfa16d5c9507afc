//! The API in front of the running server, with real calls: what it lists, drives and tells.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use interop::audio::Audio;
use interop::client::{Client, Dialog, Message};
use interop::web::{ADMIN, AGENT_1001, AGENT_1002, SUPERVISOR};
use interop::{CUSTOMER, Ended, PHONE, Server, Setup, Talk, eventually};

fn server() -> Server {
    Server::start(&Setup::with_api())
}

#[test]
fn a_call_is_listed_for_its_agent_driven_and_ended() {
    let server = server();
    let talk = Talk::start(&server);
    let (agent, other, admin) = (server.web(AGENT_1001), server.web(AGENT_1002), server.web(ADMIN));
    let call = agent.interaction("connected");
    let path = format!("/v1/interactions/{}", call["id"].as_str().unwrap());
    let parties: Vec<_> = call["participants"].as_array().unwrap().iter().collect();
    let of = |role: &str| parties.iter().find(|one| one["role"] == role).unwrap();
    assert_eq!(of("agent")["party"], "1001");
    assert_eq!(of("customer")["party"], "customer");
    assert_eq!(of("customer")["legs"][0]["codec"], "PCMU");
    assert_eq!(admin.get(&path).json()["id"], call["id"]);

    // ATTACKS 24: another agent's call does not exist.
    assert_eq!(other.get("/v1/interactions").json().as_array().unwrap().len(), 0);
    assert_eq!(other.get(&path).status, 404);
    assert_eq!(other.post(&format!("{path}/end"), "").status, 404);

    // N3.
    let noise =
        format!("{path}/participants/{}/noise-suppression", of("customer")["id"].as_str().unwrap());
    let before = of("customer")["noiseSuppression"]["enabled"].as_bool().unwrap();
    let body = format!("{{\"enabled\":{}}}", !before);
    let switched = admin.request("PUT", &noise, "", &body);
    assert_eq!(switched.status, 200, "{}", switched.text());
    let customer = switched.json()["participants"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["role"] == "customer")
        .unwrap()
        .clone();
    assert_eq!(customer["noiseSuppression"]["enabled"], !before);

    let metrics = admin.get("/metrics").text();
    for line in
        ["hookflash_calls 1", "hookflash_legs{codec=\"PCMU\"} 2", "hookflash_registrations 1"]
    {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }

    let ended = agent.post(&format!("{path}/end"), "");
    assert!(matches!(ended.status, 200 | 202), "{} {}", ended.status, ended.text());
    assert!(talk.is_hung_up_within(Duration::from_secs(2), true));
    let id = call["id"].as_str().unwrap();
    let record = eventually(Duration::from_secs(5), || {
        let found = agent.get(&format!("/v1/call-records/{id}"));
        (found.status == 200).then(|| found.json())
    });
    let record = record.expect("the record is there soon after the call");
    assert_eq!(record["sipStatus"], 200);
    assert!(record["started"].as_str().unwrap().ends_with('Z'), "{record}");
    assert_eq!(other.get(&format!("/v1/call-records/{id}")).status, 404);
    let none = eventually(Duration::from_secs(5), || {
        (admin.get("/v1/interactions").text() == "[]").then_some(())
    });
    assert!(none.is_some(), "nothing is left of it");
    let Ended { records, .. } = server.stop();
    assert_eq!(records.len(), 1);
}

#[test]
fn h1_h2_a_call_is_held_and_resumed_by_the_api() {
    let server = server();
    let talk = Talk::start(&server);
    let agent = server.web(AGENT_1001);
    let mut events = agent.events(None);
    let call = agent.interaction("connected");
    let path = format!("/v1/interactions/{}", call["id"].as_str().unwrap());
    let hold = || agent.request("POST", &format!("{path}/hold"), "Idempotency-Key: k\r\n", "{}");
    let held = hold();
    assert!(matches!(held.status, 200 | 202), "{}", held.text());
    let told = events.until("interaction.held");
    assert_eq!(told["data"]["interaction"]["state"], "held");
    let again = hold();
    assert_eq!(
        (again.status, &again.body),
        (held.status, &held.body),
        "told again, not done again"
    );
    let refused = agent.post(&format!("{path}/end"), "");
    assert_eq!((refused.status, refused.json()["code"].clone()), (409, "END_WHILE_HELD".into()));
    let shown = agent.get(&path).json();
    let controls = shown["participants"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["party"] == "1001")
        .unwrap()["controls"]
        .clone();
    assert_eq!(controls["end"]["enabled"], false);
    assert_eq!(controls["resume"]["enabled"], true);
    let resumed = agent.post(&format!("{path}/resume"), "");
    assert!(matches!(resumed.status, 200 | 202), "{}", resumed.text());
    events.until("interaction.resumed");
    agent.interaction("connected");
    assert!(matches!(agent.post(&format!("{path}/end"), "").status, 200 | 202));
    assert!(talk.is_hung_up_within(Duration::from_secs(2), true));
    let record = server.stop().records.remove(0);
    assert!(record.number("holdMs") > 0, "{record:?}");
}

#[test]
fn events_of_a_call_come_in_order_and_again_to_who_returns() {
    let server = server();
    let mut events = server.web(ADMIN).events(None);
    let first = events.one();
    assert_eq!(first["type"], "stream.snapshot");
    let begun = first["seq"].as_u64().unwrap();
    let talk = Talk::start(&server);
    let accepted = events.until("interaction.accepted");
    let answered = events.until("leg.answered");
    assert_eq!(answered["agentId"], "1001", "{answered}");
    assert_eq!(accepted["data"]["interaction"]["state"], "connected");
    talk.hang_up();
    let ended = events.until("interaction.ended");
    assert_eq!(ended["interactionId"], accepted["interactionId"]);
    // Numbers have no hole, and who returns reads the same again.
    let last = ended["seq"].as_u64().unwrap();
    let mut again = server.web(ADMIN).events(Some(begun));
    let seqs: Vec<_> = (begun..last).map(|_| again.one()["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (begun + 1..=last).collect::<Vec<_>>());
    // The agent reads its own only: here that is all but nothing of other phones.
    let mut agent = server.web(AGENT_1001).events(Some(begun));
    assert_eq!(agent.until("interaction.ended")["seq"], last);
    let mut other = server.web(AGENT_1002).events(Some(begun));
    assert_eq!(other.next_within(Duration::from_millis(500)), None);
    server.stop();
}

#[test]
fn a_draining_server_is_not_ready_within_a_second_and_its_calls_can_be_driven() {
    let setup = Setup { drain_limit_s: 20, ..Setup::with_api() };
    let server = Server::start(&setup);
    let talk = Talk::start(&server);
    let admin = server.web(ADMIN);
    assert_eq!(admin.get("/readyz").status, 200);
    let call = admin.interaction("connected");
    let told = Instant::now();
    server.terminate();
    let unready =
        eventually(Duration::from_secs(1), || (admin.get("/readyz").status == 503).then_some(()));
    assert!(unready.is_some(), "after {:?}", told.elapsed());
    assert_eq!(admin.get("/healthz").status, 200);
    let path = format!("/v1/interactions/{}/end", call["id"].as_str().unwrap());
    assert!(matches!(admin.post(&path, "").status, 200 | 202));
    assert!(talk.is_hung_up_within(Duration::from_secs(2), true));
    server.wait_for_the_end();
}

#[test]
fn phones_trunks_routes_and_entry_points_are_shown() {
    let server = server();
    server.register("1001", ([127, 0, 0, 11], 0).into());
    let admin = server.web(ADMIN);
    let phones = admin.get("/v1/registrations").json();
    assert_eq!((&phones[0]["extension"], &phones[0]["transport"]), (&"1001".into(), &"UDP".into()));
    let trunks = admin.get("/v1/trunks").json();
    let names: Vec<_> = trunks.as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["customer", "carrier", "backup"]);
    assert_eq!(admin.get("/v1/routes").json()[0]["extensions"].as_array().unwrap().len(), 3);
    assert_eq!(admin.get("/v1/entry-points").json()[0]["number"], "+4930100");
    // 1004 may use no route.
    assert_eq!(server.web(AGENT_1001).get("/v1/routes").json()[0]["id"], "world");
    assert_eq!(server.web(SUPERVISOR).get("/v1/recordings").text(), "[]");
    let checked = admin.post("/v1/config/validate", "[[listen]]\ntransport = 'quic'\n").json();
    assert_eq!((&checked["valid"], &checked["problems"][0]["line"]), (&false.into(), &1.into()));
    server.stop();
}

#[test]
fn top_prints_the_call_once() {
    let server = server();
    let talk = Talk::start(&server);
    server.web(ADMIN).interaction("connected");
    let table = server.top(ADMIN);
    assert!(table.contains("calls 1   legs 2   phones 1"), "{table}");
    assert!(
        table.lines().any(|line| line.contains("+4930100") && line.contains("connected")),
        "{table}"
    );
    assert!(table.lines().any(|line| line.contains("1001") && line.contains("PCMU")), "{table}");
    assert!(table.lines().any(|line| line.starts_with("carrier")), "{table}");
    talk.hang_up();
    server.stop();
}

/// Half of what the customer says is lost: after some seconds the agent's program is told.
#[test]
fn a_leg_that_sounds_bad_is_told_by_the_event_stream() {
    let server = server();
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let (mut one, two) = (Audio::at(CUSTOMER, 0x11), Audio::at(PHONE, 0x22));
    let customer = Client::at(CUSTOMER, server.sip());
    let (talk, [place, _]) = Talk::with_audio(customer, phone, "+4930100", [&one, &two]);
    let mut events = server.web(AGENT_1001).events(None);
    let over = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..1000 {
                one.say(place);
                one.lose();
                thread::sleep(Duration::from_millis(40));
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let told = events.until("leg.quality");
        over.store(true, Ordering::Relaxed);
        told
    });
    let data = &told["data"];
    assert_eq!((&data["party"], &data["direction"]), (&"customer".into(), &"fromPeer".into()));
    assert_eq!((&data["degraded"], &told["agentId"]), (&true.into(), &"1001".into()));
    assert!(data["mos"].as_f64().is_some_and(|mos| mos < 3.5), "{told}");
    assert_eq!(data["interaction"]["id"], told["interactionId"]);
    talk.hang_up();
    server.stop();
}

/// Takes the first NOTIFY of this event that comes, and answers it and repetitions of others.
#[track_caller]
fn is_notified(phone: &Client, event: &str) {
    loop {
        let notify = phone.receive_request("NOTIFY");
        assert_eq!(notify.header("Subscription-State"), Some("active"), "{notify}");
        phone.send(&phone.reply(&notify, "200 OK", &[], ""));
        if notify.header("Event") == Some(event) {
            return;
        }
    }
}

/// S11, H3: a desk phone that says so is answered, held and resumed by the API as by its own keys.
#[test]
fn s11_the_api_answers_holds_and_resumes_on_a_desk_phone() {
    let server = server();
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let customer = Client::at(CUSTOMER, server.sip());
    let agent = server.web(AGENT_1001);
    let mut events = agent.events(None);
    customer.send(&customer.request_with("INVITE", "+4930100", "+4915", &[], &customer.sdp()));
    let invite = phone.receive_request("INVITE");
    let knows = ["Allow-Events: talk, hold"];
    phone.send(&phone.reply(&invite, "180 Ringing", &knows, ""));
    let ringing = events.until("interaction.offered");
    let path = format!("/v1/interactions/{}", ringing["interactionId"].as_str().unwrap());
    let ask = |verb: &str| {
        let answer = agent.post(&format!("{path}/{verb}"), "{}");
        assert!(matches!(answer.status, 200 | 202), "{verb}: {}", answer.text());
    };
    ask("accept");
    is_notified(&phone, "talk");
    let answer = phone.reply(&invite, "200 OK", &knows, &phone.sdp());
    phone.send(&answer);
    phone.receive_request("ACK");
    let of_phone = Dialog::of_callee(&invite, &Message::of(&answer));
    let answered = customer.receive_final();
    assert_eq!(answered.status(), 200, "{answered}");
    let of_customer = Dialog::of_caller(&answered);
    customer.send(&customer.within(&of_customer, "ACK", answered.seq(), ""));
    events.until("interaction.accepted");

    // What the phone does when its key is pressed, or as if it were.
    let offers = |seq: u32, direction: &str| {
        let body = phone.sdp().replace("a=rtpmap:0", &format!("a={direction}\r\na=rtpmap:0"));
        let done = phone.ask(&phone.within(&of_phone, "INVITE", seq, &body));
        assert_eq!(done.status(), 200, "{done}");
        phone.send(&phone.within(&of_phone, "ACK", seq, ""));
    };
    ask("hold");
    is_notified(&phone, "hold");
    assert_eq!(events.until("interaction.held")["data"]["interaction"]["state"], "held");
    offers(200, "sendonly");
    ask("resume");
    is_notified(&phone, "talk");
    offers(201, "sendrecv");
    agent.interaction("connected");
    ask("hold");
    is_notified(&phone, "hold");
    offers(202, "sendonly");
    offers(203, "sendrecv"); // by its own key
    agent.interaction("connected");
    let bye = customer.ask(&customer.within(&of_customer, "BYE", 300, ""));
    assert_eq!(bye.status(), 200, "{bye}");
    let bye = phone.receive_request("BYE");
    phone.send(&phone.reply(&bye, "200 OK", &[], ""));
    assert_eq!(server.stop().records.len(), 1);
}
