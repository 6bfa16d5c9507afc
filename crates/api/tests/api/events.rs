//! The event stream: order, resume, snapshot, roles, and who is cut off.

use std::time::{Duration, Instant};

use b2bua::api::{Command, EventKind, QualityData, QualityDirection, Reply};
use b2bua::io::{Event, RecordingChange};
use call::CallId;
use call::control::Refusal;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::fake::{ADMIN, AGENT, EXPIRED, OTHER, World, event, interaction, settings};

type Socket = WebSocketStream<tokio::net::TcpStream>;

async fn open(world: &World, query: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let url = format!("ws://{}/v1/events{query}", world.address);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn with_token(world: &World, query: &str, token: &str) -> Socket {
    let header = format!("Bearer {token}");
    open(world, query, &[("authorization", &header)]).await.unwrap()
}

async fn next(socket: &mut Socket) -> Value {
    let message = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
    match message.unwrap().unwrap().unwrap() {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The close code; skips what was sent before.
async fn closed(socket: &mut Socket) -> u16 {
    loop {
        match tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap() {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn created(world: &World, id: &str, extension: &str) {
    let shown = interaction(id, "connected", &[extension]);
    world.teller.event(event(EventKind::Created, shown));
}

fn block<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(test);
}

/// The news that calls may go to so many of the trunk's two gateways.
fn trunk(gateways_up: usize, reason: &str) -> Event {
    let (name, up) = ("carrier".into(), gateways_up > 0);
    Event::Trunk { name, up, gateways_up, gateways: 2, reason: reason.into() }
}

#[test]
fn a_trunk_is_up_down_or_up_in_part() {
    block(async {
        let world = World::empty();
        let mut socket = with_token(&world, "", ADMIN).await;
        assert_eq!(next(&mut socket).await["type"], "stream.snapshot");
        for (gateways_up, kind) in [(2, "trunk.up"), (1, "trunk.degraded"), (0, "trunk.down")] {
            world.teller.event(trunk(gateways_up, "OPTIONS 503 (UDP 192.0.2.7:5060)"));
            let told = next(&mut socket).await;
            assert_eq!(told["type"], kind);
            assert_eq!(told["data"]["up"], gateways_up > 0);
            assert_eq!(
                (&told["data"]["gatewaysUp"], &told["data"]["gateways"]),
                (&gateways_up.into(), &2.into())
            );
        }
        let snapshot = next(&mut with_token(&world, "", ADMIN).await).await;
        assert_eq!(snapshot["data"]["trunks"][0]["gatewaysUp"], 0);
    });
}

#[test]
fn a_new_client_gets_a_snapshot_and_then_every_event_in_order() {
    block(async {
        let world = World::empty();
        created(&world, "call-1", "1001");
        let mut socket = with_token(&world, "", ADMIN).await;
        let snapshot = next(&mut socket).await;
        assert_eq!(snapshot["type"], "stream.snapshot");
        assert_eq!(snapshot["data"]["interactions"][0]["id"], "call-1");
        let seq = snapshot["seq"].as_u64().unwrap();
        let held = interaction("call-1", "held", &["1001"]);
        world.teller.event(event(EventKind::Held, held));
        world.teller.event(trunk(0, "503"));
        world.teller.event(Event::Registration { extension: "1001".into(), contacts: 1 });
        let told = next(&mut socket).await;
        assert_eq!((&told["type"], &told["seq"]), (&"interaction.held".into(), &(seq + 1).into()));
        assert_eq!(told["interactionId"], "call-1");
        assert_eq!(told["time"], "2026-01-01T00:00:00.000Z");
        assert_eq!(told["data"]["interaction"]["state"], "held");
        let told = next(&mut socket).await;
        assert_eq!((&told["type"], &told["data"]["reason"]), (&"trunk.down".into(), &"503".into()));
        let told = next(&mut socket).await;
        assert_eq!(
            (&told["type"], &told["agentId"]),
            (&"registration.changed".into(), &"1001".into())
        );
        assert_eq!(told["seq"], seq + 3);
    });
}

#[test]
fn who_returns_with_since_gets_what_was_missed_and_a_snapshot_when_that_is_gone() {
    block(async {
        let kept = api::Settings { events_kept: 5, ..settings() };
        let world = World::with(kept, |_, _| Some(Err(Refusal::NotFound.into())));
        let mut socket = with_token(&world, "", ADMIN).await;
        let seq = next(&mut socket).await["seq"].as_u64().unwrap();
        drop(socket);
        for number in 1..=5 {
            created(&world, &format!("call-{number}"), "1001");
        }
        // Answered after the events were read.
        assert_eq!(world.get(ADMIN, "/v1/interactions/x").status, 404);
        let mut socket = with_token(&world, &format!("?since={}", seq + 2), ADMIN).await;
        for number in 3..=5 {
            let told = next(&mut socket).await;
            assert_eq!(told["seq"], seq + number);
            assert_eq!(told["interactionId"], format!("call-{number}"));
        }
        created(&world, "call-6", "1001");
        assert_eq!(next(&mut socket).await["interactionId"], "call-6");
        // One more than are kept, one from the future, one of another life.
        for since in [seq, seq + 1000, 7] {
            let mut socket = with_token(&world, &format!("?since={since}"), ADMIN).await;
            let told = next(&mut socket).await;
            assert_eq!(
                (&told["type"], &told["seq"]),
                (&"stream.snapshot".into(), &(seq + 6).into())
            );
        }
    });
}

#[test]
fn an_agent_is_told_of_its_own_interactions_only_and_also_of_leaving_one() {
    block(async {
        let world = World::empty();
        let mut agent = with_token(&world, "", AGENT).await;
        let mut other = with_token(&world, "", OTHER).await;
        next(&mut agent).await;
        next(&mut other).await;
        created(&world, "call-1", "1001");
        created(&world, "call-2", "1002");
        let transferred = interaction("call-1", "connected", &["1002"]);
        world.teller.event(event(EventKind::TransferCompleted, transferred));
        world.teller.event(trunk(2, ""));
        world.teller.event(Event::Registration { extension: "1001".into(), contacts: 0 });
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let told = next(&mut agent).await;
            kinds.push(format!("{} {}", told["type"], told["interactionId"]));
        }
        let expected = [
            r#""interaction.created" "call-1""#,
            r#""transfer.completed" "call-1""#,
            r#""registration.changed" null"#,
        ];
        assert_eq!(kinds, expected);
        assert_eq!(next(&mut other).await["interactionId"], "call-2");
        assert_eq!(next(&mut other).await["type"], "transfer.completed");
    });
}

#[test]
fn a_call_that_failed_inside_has_ended_for_the_stream_too() {
    block(async {
        let world = World::new(|_, command| {
            Some(match command {
                Command::Interactions => Ok(Reply::Interactions(Vec::new())),
                _ => Err(Refusal::NotFound.into()),
            })
        });
        let mut agent = with_token(&world, "", AGENT).await;
        next(&mut agent).await;
        created(&world, "call-1", "1001");
        assert_eq!(next(&mut agent).await["type"], "interaction.created");
        world.teller.event(Event::Poisoned { what: "a bug".into() });
        let told = next(&mut agent).await;
        assert_eq!(
            (&told["type"], &told["interactionId"]),
            (&"interaction.ended".into(), &"call-1".into())
        );
        assert_eq!(told["data"]["interaction"]["state"], "ended");
        assert_eq!(world.get(AGENT, "/v1/interactions").text(), "[]");
    });
}

#[test]
fn a_leg_that_turns_bad_is_told_to_its_agent() {
    block(async {
        let world = World::empty();
        let mut agent = with_token(&world, "", AGENT).await;
        let mut other = with_token(&world, "", OTHER).await;
        next(&mut agent).await;
        next(&mut other).await;
        created(&world, "1a-7", "1001");
        created(&world, "1a-17", "1002");
        let bad = interaction("1a-7", "connected", &["1001"]);
        let Event::Interaction(mut event) = event(EventKind::LegQuality, bad) else {
            panic!("no event of an interaction")
        };
        event.data.quality = Some(QualityData {
            leg_id: "3".into(),
            party: "carrier".into(),
            direction: QualityDirection::FromPeer,
            degraded: true,
            mos: 2.35,
            figures: None,
        });
        world.teller.event(Event::Interaction(event));
        next(&mut agent).await;
        let told = next(&mut agent).await;
        assert_eq!(
            (&told["type"], &told["interactionId"]),
            (&"leg.quality".into(), &"1a-7".into())
        );
        let data = &told["data"];
        assert_eq!((&data["legId"], &data["mos"]), (&"3".into(), &2.35.into()));
        assert_eq!((&data["direction"], &data["degraded"]), (&"fromPeer".into(), &true.into()));
        assert_eq!(data["interaction"]["id"], "1a-7");
        // The other agent has heard of its own call and of nothing else.
        assert_eq!(next(&mut other).await["interactionId"], "1a-17");
        let silence = tokio::time::timeout(Duration::from_millis(300), other.next()).await;
        assert!(silence.is_err());
    });
}

#[test]
fn what_became_of_a_recording_names_its_interaction_and_is_for_who_saw_the_end() {
    block(async {
        let recorded = |call: u64| {
            let change = RecordingChange::Available {
                file: format!("1a-{call}.wav"),
                duration_ms: 4000,
                bytes: 64_044,
            };
            Event::Recording { call: CallId(call), change }
        };
        let failed = |call: u64| {
            let error = "No space left on device".to_owned();
            let change = RecordingChange::Failed { file: None, duration_ms: 0, error };
            Event::Recording { call: CallId(call), change }
        };
        let world = World::new(|_, command| {
            Some(match command {
                Command::Interactions => Ok(Reply::Interactions(Vec::new())),
                _ => Err(Refusal::NotFound.into()),
            })
        });
        let mut admin = with_token(&world, "", ADMIN).await;
        let mut agent = with_token(&world, "", AGENT).await;
        let mut other = with_token(&world, "", OTHER).await;
        for socket in [&mut admin, &mut agent, &mut other] {
            next(socket).await;
        }
        created(&world, "1a-7", "1001");
        world.teller.event(event(EventKind::Ended, interaction("1a-7", "ended", &["1001"])));
        world.teller.event(recorded(7));
        world.teller.event(failed(7));
        // One that failed inside, and one that nothing was heard of.
        created(&world, "1a-8", "1002");
        world.teller.event(Event::Poisoned { what: "a bug".into() });
        world.teller.event(recorded(9));
        assert_eq!(next(&mut other).await["type"], "interaction.created");
        assert_eq!(next(&mut other).await["type"], "interaction.ended");
        world.teller.event(recorded(8));
        for (kind, id) in [
            ("interaction.created", "1a-7"),
            ("interaction.ended", "1a-7"),
            ("recording.available", "1a-7"),
            ("recording.failed", "1a-7"),
        ] {
            for socket in [&mut admin, &mut agent] {
                let told = next(socket).await;
                assert_eq!((&told["type"], &told["interactionId"]), (&kind.into(), &id.into()));
            }
        }
        let told = next(&mut other).await;
        assert_eq!(
            (&told["type"], &told["interactionId"]),
            (&"recording.available".into(), &"1a-8".into())
        );
        let mut ids = Vec::new();
        while ids.len() < 2 {
            let told = next(&mut admin).await;
            if told["type"] == "recording.available" {
                ids.push(told["interactionId"].clone());
            }
        }
        assert_eq!(ids, ["1a-9", "1a-8"]);
        // An agent is told of none but its own.
        for socket in [&mut agent, &mut other] {
            let silence = tokio::time::timeout(Duration::from_millis(300), socket.next()).await;
            assert!(silence.is_err());
        }
    });
}

#[test]
fn a_browser_may_show_its_token_in_the_first_message() {
    block(async {
        let world = World::empty();
        created(&world, "call-1", "1001");
        let origin = [("origin", "https://desk.example.com")];
        let mut socket = open(&world, "", &origin).await.unwrap();
        let hello = format!(r#"{{"token":"{AGENT}"}}"#);
        socket.send(Message::text(hello)).await.unwrap();
        let snapshot = next(&mut socket).await;
        let seq = snapshot["seq"].as_u64().unwrap();
        let mut socket = open(&world, "", &origin).await.unwrap();
        let hello = format!(r#"{{"token":"{AGENT}","since":{}}}"#, seq - 1);
        socket.send(Message::text(hello)).await.unwrap();
        assert_eq!(next(&mut socket).await["seq"], seq);
        for hello in [
            r#"{"token":"wrong-wrong-wrong-wrong"}"#.to_owned(),
            format!(r#"{{"token":"{EXPIRED}"}}"#),
            AGENT.to_owned(),
            "{}".to_owned(),
        ] {
            let mut socket = open(&world, "", &[]).await.unwrap();
            socket.send(Message::text(hello)).await.unwrap();
            assert_eq!(closed(&mut socket).await, 4401);
        }
        // Says nothing.
        let mut socket = open(&world, "", &[]).await.unwrap();
        assert_eq!(closed(&mut socket).await, 4401);
    });
}

#[test]
fn handshakes_of_strangers_other_origins_and_other_protocols_are_refused() {
    block(async {
        let world = World::empty();
        let wrong = "Bearer wrong-wrong-wrong-wrong";
        assert_eq!(open(&world, "", &[("authorization", wrong)]).await.err(), Some(401));
        let bearer = format!("Bearer {ADMIN}");
        let evil = [("authorization", bearer.as_str()), ("origin", "https://evil.example")];
        assert_eq!(open(&world, "", &evil).await.err(), Some(403));
        let old = [("sec-websocket-version", "8")];
        assert_eq!(open(&world, "", &old).await.err(), Some(400));
        assert_eq!(open(&world, "?since=x", &[]).await.err(), Some(400));
        assert_eq!(world.get(ADMIN, "/v1/events").code(), "MALFORMED");
    });
}

#[test]
fn there_are_so_many_streams_and_no_more() {
    block(async {
        let few = api::Settings { streams_max: 3, ..settings() };
        let world = World::with(few, |_, _| Some(Err(Refusal::NotFound.into())));
        let mut open_ones = Vec::new();
        for _ in 0..3 {
            let mut socket = with_token(&world, "", ADMIN).await;
            next(&mut socket).await;
            open_ones.push(socket);
        }
        let bearer = format!("Bearer {ADMIN}");
        assert_eq!(open(&world, "", &[("authorization", &bearer)]).await.err(), Some(503));
        open_ones.pop().unwrap().close(None).await.unwrap();
        let begun = Instant::now();
        while open(&world, "", &[("authorization", &bearer)]).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(5), "the place comes back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn clients_that_say_too_much_are_closed() {
    block(async {
        let world = World::empty();
        let mut socket = with_token(&world, "", ADMIN).await;
        next(&mut socket).await;
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(closed(&mut socket).await, 1008);
        let mut socket = with_token(&world, "", ADMIN).await;
        next(&mut socket).await;
        for _ in 0..200 {
            if socket.send(Message::Ping(Default::default())).await.is_err() {
                break;
            }
        }
        // Closed by us, whichever of the two is read first.
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(Some(frame)) = message {
                assert_eq!(u16::from(frame.code), 1008);
            }
        }
        let mut socket = with_token(&world, "", ADMIN).await;
        next(&mut socket).await;
        let _ = socket.send(Message::text("x".repeat(100_000))).await;
        while let Some(Ok(_)) = socket.next().await {}
        assert_eq!(world.get(ADMIN, "/v1/interactions").status, 200);
    });
}

#[test]
fn a_client_that_reads_nothing_is_cut_off_and_nobody_waits_for_it() {
    block(async {
        let kept = api::Settings { events_kept: 200, ..settings() };
        let world = World::with(kept, |_, _| Some(Err(Refusal::NotFound.into())));
        let mut deaf = with_token(&world, "", ADMIN).await;
        next(&mut deaf).await;
        let mut reader = with_token(&world, "", ADMIN).await;
        next(&mut reader).await;
        // More than what sockets hold, in bits that the reader can follow.
        for round in 0..200 {
            for number in 0..50 {
                let parties: Vec<_> = (0..8).map(|_| "1001").collect();
                let shown = interaction(&format!("call-{round}-{number}"), "ended", &parties);
                world.teller.event(event(EventKind::Ended, shown));
            }
            for _ in 0..50 {
                next(&mut reader).await;
            }
        }
        let begun = Instant::now();
        let cut = || {
            let page = world.get(ADMIN, "/metrics");
            page.text().lines().any(|line| line == "hookflash_api_event_streams_cut_total 1")
        };
        while !cut() {
            assert!(begun.elapsed() < Duration::from_secs(15), "it is still there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}
