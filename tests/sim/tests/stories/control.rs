//! The API drives calls: hold, consult, transfer, conference, supervision, on phones that know
//! nothing of it.

use b2bua::api::{
    Act, Actor, Command, DestinationType, InteractionState, MonitorMode, NoiseDirection, OnFailure,
    ParticipantState, Reply, To,
};
use call::control::Refusal;
use sim::{Answering, Codecs, Link, Placing, Refresher, World};

use crate::{answers, header, seconds, world, world_without_transcoding};

fn agent(extension: &str) -> To {
    To { to: extension.to_owned(), destination_type: DestinationType::Agent }
}

fn number(number: &str) -> To {
    To { to: number.to_owned(), destination_type: DestinationType::DialNumber }
}

/// A supervisor joins agent 1001.
fn monitor(mode: MonitorMode) -> Command {
    let agent = Some("1001".to_owned());
    Command::Monitor { interaction: None, agent, mode, extension: None }
}

fn consult(extension: &str) -> Act {
    Act::Consult { to: agent(extension), hold_participants: true }
}

/// The carrier's customer and 1001 talk.
fn talking() -> World {
    let mut world = world();
    world.plan("1001", Answering::after(1000));
    world.call("carrier", Placing::to("+4930100"));
    world.run_for(seconds(5));
    assert_eq!(world.heard_by("carrier"), "Stream");
    world
}

/// And 1001 consults 1002.
fn consulting() -> World {
    let mut world = talking();
    world.plan("1002", Answering::after(1000));
    assert!(matches!(world.act("1001", consult("1002")), Ok(Reply::Pending(_))));
    world.run_for(seconds(5));
    world
}

fn state(world: &mut World) -> InteractionState {
    world.interactions()[0].state
}

fn refused(world: &mut World, extension: &str, act: Act) -> Refusal {
    world.act(extension, act).expect_err("refused").code
}

#[test]
fn h1_the_api_holds_and_resumes_without_a_word_on_the_wire() {
    let mut world = talking();
    let before = world.sent_to("1001", "INVITE").len();
    world.act("1001", Act::Hold { release_line: false }).unwrap();
    assert_eq!(
        (world.heard_by("carrier"), world.heard_by("1001")),
        ("Music".into(), "Silence".into())
    );
    assert_eq!(state(&mut world), InteractionState::Held);
    assert_eq!(refused(&mut world, "1001", Act::End), Refusal::EndWhileHeld);
    world.run_for(seconds(10));
    world.act("1001", Act::Resume).unwrap();
    assert_eq!(world.heard_by("carrier"), "Stream");
    assert_eq!(world.sent_to("1001", "INVITE").len(), before);
    world.run_for(seconds(2));
    world.act("1001", Act::End).unwrap();
    world.finish();
    let record = &world.records()[0];
    assert!((9_500..10_500).contains(&record.times.hold_ms), "{record:?}");
    assert_eq!(record.segments.len(), 3);
}

#[test]
fn h6_the_line_is_released_and_the_call_retrieved() {
    let mut world = talking();
    world.act("1001", Act::Hold { release_line: true }).unwrap();
    world.run_for(seconds(3));
    assert!(!world.has_call("1001"));
    assert_eq!(world.heard_by("carrier"), "Music");
    world.plan("1001", Answering::after(1000));
    assert!(matches!(world.act("1001", Act::Resume), Ok(Reply::Pending(_))));
    world.run_for(seconds(4));
    assert_eq!(
        (world.heard_by("carrier"), world.heard_by("1001")),
        ("Stream".into(), "Stream".into())
    );
    let again = world.sent_to("1001", "INVITE").pop().unwrap();
    assert!(header(&again, "Call-Info").is_some_and(|info| info.contains("answer-after=0")));
    world.finish();
}

/// What is told of a call is what is there, also when all that happened is that a phone has gone.
#[test]
fn h6_a_line_that_is_gone_is_told_of() {
    let mut world = World::with(1, Link::GOOD, |config| config.interactions.events = true);
    world.register();
    world.plan("1001", Answering::after(1000));
    world.call("carrier", Placing::to("+4930100"));
    world.run_for(seconds(5));
    world.act("1001", Act::Hold { release_line: true }).unwrap();
    world.run_for(seconds(3));
    let (told, shown) = (world.told().unwrap(), world.interactions());
    assert_eq!(told.participants, shown[0].participants);
    let agent = told.participants.iter().find(|one| one.party == "1001").unwrap();
    assert_eq!((agent.state, agent.legs.len()), (ParticipantState::LineReleased, 0));
    world.finish();
}

#[test]
fn c10_consult_toggle_and_merge() {
    let mut world = consulting();
    assert_eq!(state(&mut world), InteractionState::Consulting);
    assert_eq!(world.heard_by("carrier"), "Music");
    assert_eq!(world.heard_by("1002"), "Stream");
    world.act("1001", Act::Toggle).unwrap();
    assert_eq!(
        (world.heard_by("carrier"), world.heard_by("1002")),
        ("Stream".into(), "Music".into())
    );
    world.act("1001", Act::ConsultConference).unwrap();
    for peer in ["carrier", "1001", "1002"] {
        assert_eq!(world.heard_by(peer), "Mix", "{peer}");
    }
    assert_eq!(state(&mut world), InteractionState::Conference);
    world.act("1001", Act::ConferenceExit).unwrap();
    world.run_for(seconds(3));
    assert!(!world.has_call("1001"));
    assert_eq!(world.heard_by("carrier"), "Stream");
    world.finish();
}

#[test]
fn c13_a_busy_target_leaves_the_customer_on_hold() {
    let mut world = talking();
    world.plan("1002", Answering::refuse(500, 486));
    world.act("1001", consult("1002")).unwrap();
    world.run_for(seconds(3));
    assert_eq!(world.heard_by("carrier"), "Music");
    assert_eq!(state(&mut world), InteractionState::Held);
    world.act("1001", Act::Resume).unwrap();
    assert_eq!(world.heard_by("carrier"), "Stream");
    world.finish();
}

#[test]
fn c14_c16_targets_that_cannot_be() {
    let mut world = talking();
    for (to, destination_type, code) in [
        ("9999", DestinationType::Agent, Refusal::NotFound),
        ("sales", DestinationType::Queue, Refusal::UnsupportedDestination),
        ("+49309", DestinationType::EntryPoint, Refusal::NotFound),
        ("12", DestinationType::DialNumber, Refusal::InvalidDialNumber),
        ("4711", DestinationType::DialNumber, Refusal::UnsupportedDestination),
        ("1001", DestinationType::Agent, Refusal::InvalidState),
    ] {
        let to = To { to: to.to_owned(), destination_type };
        let act = Act::Consult { to: to.clone(), hold_participants: true };
        assert_eq!(refused(&mut world, "1001", act), code, "{to:?}");
    }
    world.finish();
}

#[test]
fn c15_a_dialled_entry_point_is_one() {
    let mut world = world();
    world.plan("1003", Answering::after(500));
    world.call("1002", Placing::to("1003"));
    world.run_for(seconds(3));
    world.plan("1001", Answering::after(500));
    let act = Act::Consult { to: number("+49 (30) 100"), hold_participants: true };
    world.act("1002", act).unwrap();
    world.run_for(seconds(3));
    assert!(world.has_call("1001"));
    world.finish();
}

#[test]
fn c24_the_initiator_hangs_up_and_all_is_over() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(8000, sim::Act::Bye));
    world.call("carrier", Placing::to("+4930100"));
    world.run_for(seconds(3));
    world.plan("1002", Answering::after(1000));
    world.act("1001", consult("1002")).unwrap();
    world.run_for(seconds(3));
    assert_eq!(state(&mut world), InteractionState::Consulting);
    world.run_for(seconds(6));
    assert!(["carrier", "1001", "1002"].iter().all(|peer| !world.has_call(peer)));
    world.finish();
}

#[test]
fn c17_the_initiator_ends_the_consult_and_talks_to_the_customer() {
    let mut world = consulting();
    world.act("1001", Act::ConsultEnd).unwrap();
    world.run_for(seconds(3));
    assert!(!world.has_call("1002"));
    assert_eq!(world.heard_by("carrier"), "Stream");
    world.finish();
}

#[test]
fn t2_t5_blind_transfer_to_a_number() {
    let mut world = talking();
    world.plan("carrier", Answering::after(1000));
    world.act("1001", Act::Transfer { to: number("01711234"), on_failure: None }).unwrap();
    world.run_for(seconds(4));
    assert!(!world.has_call("1001"));
    assert_eq!(world.heard_by("carrier"), "Stream");
    world.finish();
}

#[test]
fn t7_a_call_is_transferred_to_an_entry_point() {
    let mut world = world();
    world.plan("1003", Answering::after(500));
    world.call("1002", Placing::to("1003"));
    world.run_for(seconds(3));
    world.plan("1001", Answering::after(500));
    let to = To { to: "+4930100".to_owned(), destination_type: DestinationType::EntryPoint };
    world.act("1002", Act::Transfer { to, on_failure: None }).unwrap();
    world.run_for(seconds(3));
    assert!(!world.has_call("1002"));
    assert_eq!(
        (world.heard_by("1003"), world.heard_by("1001")),
        ("Stream".into(), "Stream".into())
    );
    world.finish();
}

#[test]
fn t5_blind_transfer_to_an_agent() {
    let mut world = talking();
    world.plan("1002", Answering::after(3000));
    world.act("1001", Act::Transfer { to: agent("1002"), on_failure: None }).unwrap();
    world.run_for(seconds(2));
    assert!(!world.has_call("1001"));
    assert_eq!(world.heard_by("carrier"), "Tone", "it rings");
    world.run_for(seconds(3));
    assert_eq!(
        (world.heard_by("carrier"), world.heard_by("1002")),
        ("Stream".into(), "Stream".into())
    );
    world.finish();
}

#[test]
fn t4_a_refused_transfer_comes_back() {
    let mut world = talking();
    world.plan("1002", Answering::refuse(500, 603));
    let act = Act::Transfer { to: agent("1002"), on_failure: Some(OnFailure::Recall) };
    world.plan("1001", Answering::after(1000));
    world.act("1001", act).unwrap();
    world.run_for(seconds(6));
    assert_eq!(
        (world.heard_by("carrier"), world.heard_by("1001")),
        ("Stream".into(), "Stream".into())
    );
    world.finish();
}

#[test]
fn f15_two_calls_become_one() {
    let mut world = talking();
    world.act("1001", Act::Hold { release_line: false }).unwrap();
    world.plan("1001", Answering::after(500));
    world.call("1002", Placing::to("1001"));
    world.run_for(seconds(3));
    let ids: Vec<_> = world.interactions().into_iter().map(|one| one.id).collect();
    let actor = Actor::Agent { extension: "1001".to_owned() };
    let act = Act::ConferenceAdd { interactions: vec![ids[1].clone()] };
    let command = Command::Act { interaction: ids[0].clone(), participant: None, act };
    world.ask(actor, command).unwrap();
    assert_eq!(world.interactions().len(), 1);
    world.run_for(seconds(2));
    for peer in ["carrier", "1002"] {
        assert_eq!(world.heard_by(peer), "Mix", "{peer}");
    }
    world.finish();
    assert_eq!(world.records().iter().filter(|record| record.merged_into.is_some()).count(), 1);
}

#[test]
fn k1_who_called_stays_on_its_channel_when_the_customer_is_gone() {
    let mut world = World::with(1, Link::GOOD, |config| {
        config.media.recording = Some(b2bua::config::RecordingPolicy::default());
    });
    world.register();
    world.run_for(seconds(1));
    world.plan("carrier", Answering::after(1000));
    world.call("1001", Placing::to("01711234"));
    world.run_for(seconds(3));
    world.plan("1002", Answering::after(1000));
    world.act("1001", consult("1002")).unwrap();
    world.run_for(seconds(3));
    world.act("1001", Act::ConsultConference).unwrap();
    world.run_for(seconds(1));
    let name = world.interactions()[0].participants[1].id.clone();
    world.act("1001", Act::Remove { target: name }).unwrap();
    world.run_for(seconds(3));
    assert_eq!(world.heard_by("1002"), "Stream", "they talk about it");
    // That nobody changes the channel is watched in every world.
    world.finish();
}

#[test]
fn i2_a_call_that_rings_elsewhere_is_taken() {
    let mut world = world();
    world.plan("1001", Answering::after(15_000));
    world.call("carrier", Placing::to("+4930100"));
    world.run_for(seconds(2));
    world.plan("1002", Answering::after(100));
    let command = Command::Pickup { extension: "1001".to_owned(), by: None };
    world.ask(Actor::Agent { extension: "1002".to_owned() }, command).unwrap();
    world.run_for(seconds(3));
    assert_eq!(
        (world.heard_by("carrier"), world.heard_by("1002")),
        ("Stream".into(), "Stream".into())
    );
    assert!(!world.has_call("1001"));
    world.finish();
}

#[test]
fn i5_the_own_phone_first_then_the_number() {
    let mut world = world();
    world.plan("1001", Answering::after(500));
    world.plan("carrier", Answering::after(2000));
    let command = Command::Outdial { extension: None, to: number("01711234"), route: None };
    world.ask(Actor::Agent { extension: "1001".to_owned() }, command).unwrap();
    assert!(answers(&world, "carrier", "INVITE").is_empty());
    world.run_for(seconds(6));
    assert_eq!(
        (world.heard_by("carrier"), world.heard_by("1001")),
        ("Stream".into(), "Stream".into())
    );
    world.finish();
}

#[test]
fn u0_a_supervisor_listens_whispers_and_barges() {
    let mut world = talking();
    world.plan("1004", Answering::after(500));
    let supervisor = Actor::Supervisor { extension: Some("1004".to_owned()) };
    let command = monitor(MonitorMode::Monitor);
    let Ok(Reply::Monitoring { session, .. }) = world.ask(supervisor.clone(), command) else {
        panic!("no session");
    };
    world.run_for(seconds(3));
    let heard = |world: &World| ["carrier", "1001", "1004"].map(|peer| world.heard_by(peer));
    assert_eq!(heard(&world), ["Stream", "Stream", "Mix"]);
    for (mode, expected) in [
        (MonitorMode::Whisper, ["Stream", "Mix", "Mix"]),
        (MonitorMode::Barge, ["Mix", "Mix", "Mix"]),
    ] {
        let command = Command::MonitorMode { session: session.clone(), mode };
        world.ask(supervisor.clone(), command).unwrap();
        assert_eq!(heard(&world), expected, "{mode:?}");
    }
    world.ask(supervisor, Command::MonitorEnd { session }).unwrap();
    world.run_for(seconds(3));
    assert_eq!(world.heard_by("carrier"), "Stream");
    world.finish();
}

#[test]
fn u0_of_two_calls_of_an_agent_the_one_is_supervised_in_which_it_talks() {
    let mut world = talking();
    world.act("1001", Act::Hold { release_line: true }).unwrap();
    world.run_for(seconds(3));
    world.plan("1001", Answering::after(500));
    world.call("1002", Placing::to("1001"));
    world.run_for(seconds(3));
    world.plan("1004", Answering::after(500));
    let supervisor = Actor::Supervisor { extension: Some("1004".to_owned()) };
    let command = monitor(MonitorMode::Monitor);
    world.ask(supervisor, command).unwrap();
    world.run_for(seconds(2));
    assert_eq!(world.heard_by("1004"), "Mix", "the call on hold has nothing to hear");
    world.finish();
}

#[test]
fn k1_who_is_not_heard_is_not_recorded() {
    let mut world = World::with(1, Link::GOOD, |config| {
        config.media.recording = Some(b2bua::config::RecordingPolicy::default());
    });
    world.register();
    world.plan("1001", Answering::after(1000));
    world.call("carrier", Placing::to("+4930100"));
    world.run_for(seconds(5));
    assert_eq!(world.recorded_voices(), 2);
    world.act("1001", Act::Mute).unwrap();
    assert_eq!(world.recorded_voices(), 1);
    world.act("1001", Act::Unmute).unwrap();
    world.plan("1004", Answering::after(3000));
    let supervisor = Actor::Supervisor { extension: Some("1004".to_owned()) };
    let command = monitor(MonitorMode::Barge);
    world.ask(supervisor, command).unwrap();
    world.run_for(seconds(2));
    assert_eq!(world.recorded_voices(), 2, "its phone rings");
    world.run_for(seconds(3));
    assert_eq!(world.recorded_voices(), 3);
    world.finish();
}

#[test]
fn an_agent_sees_and_touches_their_own_calls_only() {
    let mut world = talking();
    let interaction = world.interactions()[0].id.clone();
    let stranger = Actor::Agent { extension: "1003".to_owned() };
    let end = Command::Act { interaction: interaction.clone(), participant: None, act: Act::End };
    let refused = world.ask(stranger.clone(), end).expect_err("refused");
    assert_eq!(refused.code, Refusal::NotFound);
    let Ok(Reply::Interactions(list)) = world.ask(stranger.clone(), Command::Interactions) else {
        panic!("no list");
    };
    assert!(list.is_empty());
    assert_eq!(world.ask(stranger, Command::Trunks).expect_err("refused").code, Refusal::Forbidden);
    world.finish();
}

#[test]
fn n3_noise_removal_is_switched_in_either_direction_and_shown() {
    let mut world = talking();
    let of = |world: &mut World, party: &str| {
        let shown = world.interactions().remove(0).participants;
        shown.into_iter().find(|one| one.party == party).expect("takes part")
    };
    let agent = of(&mut world, "1001");
    assert!(of(&mut world, "carrier").noise_suppression.enabled, "N2: on for customers");
    assert!(!agent.noise_suppression.enabled);
    let switch = |direction, enabled| Act::NoiseSuppression {
        target: agent.id.clone(),
        enabled,
        direction,
        level: None,
    };
    world.act("1001", switch(NoiseDirection::To, false)).unwrap();
    assert!(!of(&mut world, "carrier").noise_suppression.enabled, "what the agent hears");
    world.act("1001", switch(NoiseDirection::From, true)).unwrap();
    assert!(of(&mut world, "1001").noise_suppression.enabled, "what the agent says");
    world.finish();
}

/// Calls that count against the limit of a trunk.
fn counted(world: &mut World, trunk: &str) -> usize {
    let Ok(Reply::Trunks(trunks)) = world.ask(Actor::Admin, Command::Trunks) else {
        panic!("no list");
    };
    trunks.iter().find(|one| one.name == trunk).map_or(0, |one| one.calls)
}

#[test]
fn b7_a_consulted_number_counts_against_its_trunk_until_its_leg_ends() {
    let mut world = talking();
    assert_eq!(counted(&mut world, "carrier"), 1);
    for _ in 0..3 {
        world.plan("carrier", Answering::after(1000));
        let act = Act::Consult { to: number("01711234"), hold_participants: true };
        world.act("1001", act).unwrap();
        world.run_for(seconds(5));
        assert_eq!(counted(&mut world, "carrier"), 2);
        world.act("1001", Act::ConsultEnd).unwrap();
        world.run_for(seconds(3));
        assert_eq!(counted(&mut world, "carrier"), 1, "the call goes on, the consult is over");
    }
    // One that is refused counts no longer either.
    world.plan("carrier", Answering::refuse(500, 486));
    world.act("1001", Act::Consult { to: number("01711234"), hold_participants: true }).unwrap();
    world.run_for(seconds(5));
    assert_eq!(counted(&mut world, "carrier"), 1);
    world.finish();
}

#[test]
fn b7_who_has_left_a_call_may_make_another() {
    for by_api in [false, true] {
        let mut world = World::with(1, Link::GOOD, |config| {
            config.extensions.iter_mut().for_each(|extension| extension.calls_max = 1);
        });
        world.register();
        world.plan("1001", Answering::after(500)); // when the call is made by the API
        world.plan("1003", Answering::after(500));
        match by_api {
            true => {
                let command = Command::Outdial { extension: None, to: agent("1003"), route: None };
                world.ask(Actor::Agent { extension: "1001".to_owned() }, command).unwrap();
            }
            false => world.call("1001", Placing::to("1003")),
        }
        world.run_for(seconds(3));
        let refusals = |world: &World| answers(world, "1001", "INVITE").contains(&503);
        world.call("1001", Placing::to("1004"));
        world.run_for(seconds(3));
        assert!(refusals(&world), "one at a time");
        world.plan("1002", Answering::after(500));
        world.act("1001", Act::Transfer { to: agent("1002"), on_failure: None }).unwrap();
        world.run_for(seconds(3));
        assert!(!world.has_call("1001") && world.has_call("1002"), "the call goes on without");
        world.plan("1004", Answering::after(500));
        world.call("1001", Placing::to("1004"));
        world.run_for(seconds(3));
        assert!(world.has_call("1001") && world.has_call("1004"));
        world.finish();
    }
}

/// 1001 and 1003 talk in one codec, 1001 offers another, and 1003 is asked for it but says nothing.
fn asked_for_another_codec() -> World {
    let mut world = world_without_transcoding();
    let session = Some((90, Refresher::Uac));
    let answering = Answering { session, ..Answering::after(1000) };
    world.plan("1001", answering.then(5000, sim::Act::Codecs(Codecs::MuLaw)));
    world.call("1003", Placing { codecs: Codecs::ALaw, ..Placing::to("1001") });
    world.peer("1003").hesitates = true;
    world.run_for(seconds(10));
    assert_eq!(world.sent_to("1003", "INVITE ").len(), 1);
    assert_eq!(answers(&world, "1001", "INVITE"), [100]);
    world
}

#[test]
fn h3_an_offer_is_answered_although_whoever_was_asked_consults_meanwhile() {
    let mut world = asked_for_another_codec();
    world.plan("1002", Answering::after(1000));
    assert!(matches!(world.act("1003", consult("1002")), Ok(Reply::Pending(_))));
    world.run_for(seconds(40));
    assert_eq!(answers(&world, "1001", "INVITE"), [100, 488]);
    world.run_for(seconds(300));
    assert!(world.has_call("1001"), "its session is refreshed, for nothing is open in it");
    world.finish();
}
