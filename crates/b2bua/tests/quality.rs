//! A leg that turns bad is told of as everything that happens in an interaction.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use b2bua::api::{EventKind, QualityDirection};
use b2bua::io::{Event, Input};
use media::command::{MediaEvent, StreamId};
use media::quality::{Direction, QualityChange, Rating};

use world::{World, talk};

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
