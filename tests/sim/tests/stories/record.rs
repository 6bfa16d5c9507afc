//! Recordings whose disk refuses: the call goes on, everybody sees that it is not recorded, and it is
//! again as soon as there is room (K5, ATTACKS 30).

use b2bua::api::{Act, EventKind, RecordingState};
use b2bua::config::RecordingPolicy;
use b2bua::io::Input;
use call::control::Refusal;
use media::command::MediaEvent;
use media::record::RecordEvent;
use sim::{Answering, Link, Placing, World};

use crate::seconds;

/// The carrier's customer and 1001 talk; all calls are recorded, or those that an agent wants to.
fn talking(automatic: bool) -> World {
    let mut world = World::with(1, Link::GOOD, |config| {
        config.interactions.events = true;
        config.media.recording = Some(RecordingPolicy { automatic, ..Default::default() });
    });
    world.register();
    world.plan("1001", Answering::after(1000));
    world.call("carrier", Placing::to("+4930100"));
    world.run_for(seconds(10));
    assert_eq!(world.heard_by("carrier"), "Stream");
    world
}

/// The disk refuses what the call is recorded by.
fn fail(world: &mut World, file: Option<&str>, duration_ms: u64) {
    let [recording] = world.recordings()[..] else { panic!("one recording") };
    let file = file.map(str::to_owned);
    let error = "No space left on device".to_owned();
    let event = RecordEvent::Failed { recording, file, duration_ms, error };
    world.input(Input::Media(MediaEvent::Recording(event)));
}

fn state(world: &mut World) -> RecordingState {
    world.interactions()[0].recording
}

fn end(mut world: World) -> Option<String> {
    world.finish();
    let record = &world.records()[0];
    assert_eq!(record.recordings.last(), record.recording.as_ref());
    record.recording.clone()
}

/// The files that the record names, without the call's id.
fn end_with_all(mut world: World) -> Vec<String> {
    world.finish();
    let record = &world.records()[0];
    record.recordings.iter().map(|file| file.replace(&record.id, "")).collect()
}

#[test]
fn k5_a_recording_that_failed_is_shown_so() {
    for is_paused in [false, true] {
        let mut world = talking(true);
        if is_paused {
            world.act("1001", Act::RecordPause).unwrap();
        }
        fail(&mut world, None, 0);
        assert_eq!(state(&mut world), RecordingState::Failed, "{is_paused}");
        assert!(world.recordings().is_empty(), "nothing more is taken from the call");
        let told = world.happened();
        let stopped = (EventKind::RecordingStopped, Some("No space left on device".to_owned()));
        assert_eq!(told.last(), Some(&stopped), "{told:?}");
        assert_eq!(world.told().unwrap().recording, RecordingState::Failed);
        for act in [Act::RecordResume, Act::RecordStop] {
            let refused = world.act("1001", act).unwrap_err();
            assert_eq!(refused.code, Refusal::InvalidState);
        }
        assert_eq!(world.heard_by("carrier"), "Stream", "the call goes on");
        assert_eq!(end(world), None, "no file, none in the record");
    }
}

#[test]
fn k1_where_all_calls_are_recorded_another_recording_is_tried_until_there_is_room() {
    let mut world = talking(true);
    fail(&mut world, Some("kept.wav"), 4000);
    world.fill_disk(Some(1));
    world.run_for(seconds(70));
    assert_eq!(state(&mut world), RecordingState::Failed, "there is still no room");
    world.fill_disk(None);
    world.run_for(seconds(60));
    assert_eq!(state(&mut world), RecordingState::On);
    assert_eq!(world.recordings().len(), 1);
    let file = end(world).unwrap();
    assert!(file.ends_with("-1-2.wav"), "the third one of call 1: {file}");
}

#[test]
fn k6_the_agent_begins_again_by_hand_and_the_record_names_what_has_sound() {
    let mut world = talking(false);
    world.act("1001", Act::RecordStart).unwrap();
    fail(&mut world, Some("kept.wav"), 4000);
    assert_eq!(state(&mut world), RecordingState::Failed);
    world.run_for(seconds(120));
    assert_eq!(state(&mut world), RecordingState::Failed, "nobody has asked for another one");
    world.act("1001", Act::RecordStart).unwrap();
    assert_eq!(state(&mut world), RecordingState::On);
    fail(&mut world, None, 0);
    let file = end(world).unwrap();
    assert!(file.ends_with("-1.wav") && !file.ends_with("-1-1.wav"), "the first one: {file}");
}

#[test]
fn k6_the_record_names_all_recordings_that_have_sound_in_their_order() {
    let mut world = talking(false);
    for _ in 0..2 {
        world.act("1001", Act::RecordStart).unwrap();
        world.run_for(seconds(5));
        world.act("1001", Act::RecordStop).unwrap();
    }
    world.act("1001", Act::RecordStart).unwrap();
    fail(&mut world, None, 0);
    world.act("1001", Act::RecordStart).unwrap();
    assert_eq!(end_with_all(world), [".wav", "-1.wav", "-3.wav"]);

    let mut world = talking(true);
    fail(&mut world, Some("kept.wav"), 4000);
    world.run_for(seconds(70));
    assert_eq!(end_with_all(world), [".wav", "-1.wav"], "K1's retry");

    let mut world = talking(false);
    world.act("1001", Act::RecordStart).unwrap();
    world.act("1001", Act::RecordStop).unwrap();
    assert_eq!(end_with_all(world), [".wav"], "none goes on at the end");
}

#[test]
fn what_has_failed_after_it_was_stopped_is_not_in_the_record_either() {
    let mut world = talking(false);
    world.act("1001", Act::RecordStart).unwrap();
    let [first] = world.recordings()[..] else { panic!("one recording") };
    world.act("1001", Act::RecordStop).unwrap();
    let error = "Input/output error".to_owned();
    let event = RecordEvent::Failed { recording: first, file: None, duration_ms: 0, error };
    world.input(Input::Media(MediaEvent::Recording(event)));
    assert_eq!(state(&mut world), RecordingState::Off);
    assert_eq!(end(world), None);
}

#[test]
fn k2_a_pause_holds_for_the_recording_that_is_tried_next() {
    let mut world = talking(true);
    fail(&mut world, Some("kept.wav"), 4000);
    world.act("1001", Act::RecordPause).unwrap();
    assert_eq!(state(&mut world), RecordingState::Paused);
    world.run_for(seconds(70));
    assert_eq!(state(&mut world), RecordingState::Paused, "nothing begins by itself");
    world.act("1001", Act::RecordResume).unwrap();
    assert_eq!(state(&mut world), RecordingState::On);
    assert!(end(world).unwrap().ends_with("-1-1.wav"));
}
