//! How legs sound: live, in what is told of them, and in the call record.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use std::sync::Arc;

use b2bua::Core;
use b2bua::api::{
    Act, Actor, Command, DestinationType, EventKind, QualityDirection, QualitySnapshot, Reply,
    RequestId, To,
};
use b2bua::io::{Event, Input, Output};
use bytes::Bytes;
use call::record::{LegQuality, LegRecord};
use media::command::{MediaCommand, MediaEvent, StreamId, StreamStats};
use media::quality::{Direction, QualityChange, Rating, Summary};
use media::xr::VoipMetrics;
use sip::message::parse_datagram;
use sip::transport::{FlowId, Source, Transport};

use world::{PHONE, TRUNK, World, in_dialog, parse, reply, sdp, talk};

/// The phone of agent 1002.
const OTHER: &str = "127.0.0.1:7002";

const CUSTOMER: StreamId = StreamId(1);
const AGENT: StreamId = StreamId(2);

/// Figures of a leg that are all different, and different from those of every other `n`.
fn figures(n: u32) -> StreamStats {
    let n = f64::from(n);
    StreamStats {
        packets_received: 1000 + n as u64,
        packets_sent: 2000 + n as u64,
        lost: 30 + n as u64,
        jitter_ms: 12.5 + n,
        strays_dropped: 40 + n as u64,
        round_trip_ms: Some(80.5 + n),
        remote_lost: Some(7),
        remote_jitter_ms: Some(3.5),
        remote_rating: Some(Rating { mos: 3.75, ..Rating::default() }),
        summary: Some(Summary {
            rating: Rating { mos: 3.25, r: 64.5 + n, ..Rating::default() },
            worst_mos: 1.5,
            loss_percent: 2.5 + n,
            burst_density: 0.5,
            burst_ms: 140.0,
            gap_density: 0.25,
            gap_ms: 900.0,
        }),
        ..StreamStats::default()
    }
}

/// What a record keeps of [`figures`].
fn kept(n: u32) -> LegQuality {
    let n = n as f32;
    LegQuality {
        mos: 3.25,
        mos_worst: 1.5,
        r_factor: 64.5 + n,
        loss_percent: 2.5 + n,
        burst_density: 0.5,
        burst_ms: 140,
        gap_density: 0.25,
        gap_ms: 900,
        round_trip_ms: Some(80.5 + n),
        remote_lost: Some(7),
        remote_jitter_ms: Some(3.5),
        remote_mos: Some(3.75),
    }
}

fn measure(world: &mut World, stream: StreamId, stats: StreamStats) {
    world.input(Input::Media(MediaEvent::Stats { stream, stats: Box::new(stats) }));
}

/// Gives the core something to do; the streams that it closed, of which no figures came yet.
fn feed(world: &mut World, input: Input) -> (Vec<StreamId>, Option<Reply>) {
    let (mut out, mut closed, mut reply) = (Vec::new(), Vec::new(), None);
    world.core.handle(world.now, input, &mut out);
    out.retain(|output| match output {
        Output::Media(MediaCommand::Close { stream }) => {
            closed.push(*stream);
            false
        }
        Output::Reply { result, .. } => {
            reply = Some(result.clone().unwrap());
            false
        }
        _ => true,
    });
    world.take(out);
    (closed, reply)
}

/// A message comes; the streams that are closed because of it.
fn receive(world: &mut World, from: &str, text: &str) -> Vec<StreamId> {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let source = Source {
        flow: FlowId(1),
        transport: Transport::Udp,
        remote: from.parse().unwrap(),
        local: "127.0.0.1:5060".parse().unwrap(),
        tls_names: Arc::new([]),
    };
    let (message, size) = (parse_datagram(bytes), text.len());
    feed(world, Input::Sip { source, message, size }).0
}

/// A phone agrees to be hung up.
fn agree(world: &mut World, phone: &str) -> Vec<StreamId> {
    let bye = world.sent_to(phone).into_iter().find(|text| text.starts_with("BYE ")).unwrap();
    receive(world, phone, &reply(&parse(&bye), "200 OK", ""))
}

/// The last figures of streams come: those of stream n are `figures(n)`.
fn close(world: &mut World, closed: &[StreamId]) {
    for &stream in closed {
        let stats = Box::new(figures(u32::try_from(stream.0).unwrap()));
        world.input(Input::Media(MediaEvent::Closed { stream, stats }));
    }
}

fn ask(world: &mut World, command: Command) -> Reply {
    let (request, actor, command) = (RequestId(1), Actor::Integrator, Box::new(command));
    let (closed, reply) = feed(world, Input::Command { request, actor, command });
    assert_eq!(closed, []);
    reply.unwrap()
}

/// How each leg is shown to sound, by its party.
fn shown(world: &mut World) -> Vec<(String, Option<QualitySnapshot>)> {
    let Reply::Interactions(list) = ask(world, Command::Interactions) else { panic!("no list") };
    let all = list.into_iter().flat_map(|one| one.participants);
    let legs = all.flat_map(|one| one.legs.into_iter().map(move |leg| (one.party.clone(), leg)));
    legs.map(|(party, leg)| (party, leg.quality)).collect()
}

fn restore(world: &mut World) {
    let saved = serde_json::to_string(&world.core).unwrap();
    world.core = serde_json::from_str::<Core>(&saved).unwrap();
}

#[test]
fn figures_of_a_stream_are_shown_with_its_leg() {
    let mut world = World::new();
    talk(&mut world);
    let of = |n: f64| QualitySnapshot {
        mos: 3.25,
        loss_percent: 2.5 + n,
        jitter_ms: 12.5 + n,
        round_trip_ms: Some(80.5 + n),
    };
    let both = |customer: Option<f64>, agent: Option<f64>| {
        [("carrier".to_owned(), customer.map(of)), ("1001".to_owned(), agent.map(of))]
    };
    assert_eq!(shown(&mut world), both(None, None), "nothing has come yet");
    measure(&mut world, CUSTOMER, figures(1));
    measure(&mut world, StreamId(77), figures(9)); // gone
    assert_eq!(shown(&mut world), both(Some(1.0), None));
    measure(&mut world, AGENT, figures(2));
    measure(&mut world, CUSTOMER, figures(5));
    assert_eq!(shown(&mut world), both(Some(5.0), Some(2.0)), "the newest count");
    restore(&mut world);
    assert_eq!(shown(&mut world), both(Some(5.0), Some(2.0)));
    let silent = StreamStats { summary: None, round_trip_ms: None, ..figures(5) };
    measure(&mut world, CUSTOMER, StreamStats { jitter_ms: 0.0, ..silent });
    assert_eq!(shown(&mut world)[0].1, None, "who never spoke has no score");
}

#[test]
fn the_record_has_the_figures_of_every_leg_of_who_left_early_too() {
    for is_restored in [false, true] {
        let mut world = World::new();
        let ok = talk(&mut world);
        world.register("1002", OTHER);
        measure(&mut world, CUSTOMER, figures(70)); // what comes at the end counts
        let Reply::Interactions(list) = ask(&mut world, Command::Interactions) else { panic!() };
        let to = To { to: "1002".to_owned(), destination_type: DestinationType::Agent };
        let (interaction, act) = (list[0].id.clone(), Act::Transfer { to, on_failure: None });
        ask(&mut world, Command::Act { interaction, participant: None, act });
        let left = agree(&mut world, PHONE);
        assert_eq!(left, [AGENT]);
        let again = |world: &mut World| {
            if is_restored {
                restore(world);
            }
        };
        again(&mut world);
        close(&mut world, &left);
        again(&mut world);
        let rung = world.sent_to(OTHER).into_iter().find(|text| text.starts_with("INVITE "));
        let answer = reply(&parse(&rung.unwrap()), "200 OK", &sdp(6000, ""));
        let own = format!("<sip:1002@{OTHER}>");
        receive(&mut world, OTHER, &answer.replace(&format!("<sip:1001@{PHONE}>"), &own));
        world.sent.clear();
        let mut closed = receive(&mut world, TRUNK, &in_dialog("BYE", 90, &ok));
        closed.extend(agree(&mut world, OTHER));
        again(&mut world);
        assert!(world.records.is_empty(), "the last figures are awaited");
        closed.sort();
        assert_eq!(closed, [CUSTOMER, StreamId(3)]);
        close(&mut world, &closed);
        let record = world.records.pop().unwrap();
        assert!(world.records.is_empty());
        let parties: Vec<_> = record.legs.iter().map(|leg| &*leg.party).collect();
        assert_eq!(parties, ["carrier", "1001", "1002"]);
        for (leg, n) in record.legs.into_iter().zip(1u32..) {
            let expected = LegRecord {
                packets_received: 1000 + u64::from(n),
                packets_sent: 2000 + u64::from(n),
                packets_lost: 30 + u64::from(n),
                jitter_ms: 12.5 + n as f32,
                strays: 40 + u64::from(n),
                quality: Some(kept(n)),
                ..leg.clone()
            };
            assert_eq!(leg, expected, "restored: {is_restored}");
        }
    }
}

#[test]
fn the_record_has_what_a_peer_says_of_itself_and_no_score_of_who_never_spoke() {
    let mut world = World::new();
    let ok = talk(&mut world);
    let mut closed = receive(&mut world, TRUNK, &in_dialog("BYE", 90, &ok));
    closed.extend(agree(&mut world, PHONE));
    closed.sort();
    assert_eq!(closed, [CUSTOMER, AGENT]);
    let peer_metrics = Some(VoipMetrics { mos_cq: Some(31), ..VoipMetrics::default() });
    let telling = StreamStats { peer_metrics, ..figures(1) };
    let silent = StreamStats { packets_sent: 50, ..StreamStats::default() };
    for (stream, stats) in [(CUSTOMER, telling), (AGENT, silent)] {
        world.input(Input::Media(MediaEvent::Closed { stream, stats: Box::new(stats) }));
    }
    let record = world.records.pop().unwrap();
    let quality: Vec<_> = record.legs.iter().map(|leg| leg.quality).collect();
    assert_eq!(quality, [Some(LegQuality { remote_mos: Some(3.1), ..kept(1) }), None]);
    assert_eq!((record.legs[1].packets_sent, record.legs[1].packets_received), (50, 0));
    let json = serde_json::to_value(&record).unwrap();
    let of = |name: &str| json["legs"][0]["quality"][name].as_f64();
    assert_eq!(of("lossPercent"), Some(3.5));
    assert_eq!((of("mos"), of("roundTripMs")), (Some(3.25), Some(81.5)));
    assert_eq!(json["legs"][0]["jitterMs"], 13.5);
}

#[test]
fn a_leg_that_turns_bad_and_well_again_is_told_with_its_interaction() {
    let mut config = b2bua::testing::config();
    config.interactions.events = true;
    let mut world = World::with(config);
    talk(&mut world);
    world.events.clear();
    let rating = |mos| Rating { mos, ..Rating::default() };
    for (stream, direction, change) in [
        (StreamId(1), Direction::FromPeer, QualityChange::Degraded(rating(2.346))),
        (StreamId(2), Direction::ToPeer, QualityChange::Recovered(rating(4.0))),
        (StreamId(77), Direction::ToPeer, QualityChange::Recovered(rating(4.0))), // gone
    ] {
        world.input(Input::Media(MediaEvent::Quality { stream, direction, change }));
    }
    let told: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Interaction(event) if event.kind == EventKind::LegQuality => Some(event),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 2);
    let quality: Vec<_> = told.iter().map(|event| event.data.quality.clone().unwrap()).collect();
    assert_eq!((&*quality[0].leg_id, &*quality[0].party), ("1", "carrier"));
    assert_eq!((quality[0].direction, quality[0].degraded), (QualityDirection::FromPeer, true));
    assert_eq!(quality[0].mos, 2.35);
    assert_eq!((&*quality[1].party, quality[1].degraded), ("1001", false));
    for (event, who) in told.iter().zip(["1-1", "1-2"]) {
        assert_eq!(event.agent_id.as_deref(), Some("1001"), "whom it concerns");
        assert_eq!(event.data.participant.as_deref(), Some(who));
        let json = serde_json::to_value(&event.data).unwrap();
        assert_eq!(json["interaction"]["state"], "connected");
        assert!(json["mos"].is_number() && json["direction"].is_string(), "{json}");
    }
    let logged = world.events.iter().filter(|event| matches!(event, Event::Quality { .. }));
    assert_eq!(logged.count(), 2);
}
