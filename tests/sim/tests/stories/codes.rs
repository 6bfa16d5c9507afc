//! Agents hold, consult, transfer and so on by codes that they dial during a call: the same state and
//! the same rules as by the API (H3), and nobody else hears the keys.

use b2bua::api::{InteractionState, RecordingState};
use b2bua::config::{Config, FeatureCodes, RecordingPolicy};
use sim::{Act, Answering, Link, Placing, World};

use crate::seconds;

const BEEP: &str = "Tone(Beep)";
const DIAL: &str = "Tone(Dial)";
const REFUSED: &str = "Tone(Congestion) Tone(Congestion)";

fn placing() -> Placing {
    Placing::to("+4930100")
}

/// The carrier's customer and 1001 talk.
fn talking_with(link: Link, placing: Placing, change: impl FnOnce(&mut Config)) -> World {
    let mut world = World::with(1, link, |config| {
        config.feature_codes = FeatureCodes::usual();
        change(config);
    });
    world.register();
    world.plan("1001", Answering::after(1000));
    world.call("carrier", placing);
    world.run_for(seconds(10));
    assert_eq!(world.heard_by("carrier"), "Stream");
    world
}

fn talking() -> World {
    talking_with(Link::GOOD, placing(), |_| {})
}

/// And 1001 consults 1002 by code.
fn consulting() -> World {
    let mut world = talking();
    world.plan("1002", Answering::after(1000));
    world.press("1001", "*31002#");
    world.run_for(seconds(3));
    world
}

fn state(world: &mut World) -> InteractionState {
    world.interactions()[0].state
}

#[test]
fn h3_c10_c18_c19_f4_consult_toggle_merge_and_leave_by_code() {
    let mut world = consulting();
    assert_eq!(state(&mut world), InteractionState::Consulting);
    assert_eq!(
        (world.heard_by("carrier"), world.heard_by("1002")),
        ("Music".into(), "Stream".into())
    );
    assert_eq!(world.announced("1001"), DIAL, "and then that it rings");
    world.press("1001", "*4");
    assert_eq!(
        (world.heard_by("carrier"), world.heard_by("1002")),
        ("Stream".into(), "Music".into())
    );
    world.press("1001", "*5");
    for peer in ["carrier", "1001", "1002"] {
        assert_eq!(world.heard_by(peer), "Mix", "{peer}");
    }
    assert_eq!(world.announced("1001"), [DIAL, BEEP, BEEP].join(" "));
    assert_eq!((world.keys_to("carrier"), world.keys_to("1002")), (String::new(), String::new()));
    world.press("1001", "*8");
    world.run_for(seconds(3));
    assert!(!world.has_call("1001"));
    assert_eq!(world.heard_by("carrier"), "Stream");
    world.finish();
}

#[test]
fn c11_c17_the_consult_is_ended_by_either_of_the_two() {
    for (who, leaves) in [("1001", "1002"), ("1002", "1002")] {
        let mut world = consulting();
        world.press(who, "*7");
        world.run_for(seconds(3));
        assert!(!world.has_call(leaves), "{who}");
        assert_eq!(state(&mut world), InteractionState::Connected, "{who}");
        world.finish();
    }
}

#[test]
fn c27_the_transfer_code_completes_a_consult() {
    let mut world = consulting();
    world.press("1001", "*2");
    world.run_for(seconds(3));
    assert!(!world.has_call("1001"));
    assert_eq!(
        (world.heard_by("carrier"), world.heard_by("1002")),
        ("Stream".into(), "Stream".into())
    );
    world.finish();
}

#[test]
fn t5_a_blind_transfer_ends_its_number_by_hash_or_by_silence() {
    for number in ["1002#", "1002"] {
        let mut world = talking();
        world.plan("1002", Answering::after(1000));
        world.press("1001", &format!("*2{number}"));
        world.run_for(seconds(8));
        assert!(!world.has_call("1001"), "{number}");
        assert_eq!(world.heard_by("1002"), "Stream", "{number}");
        assert_eq!(world.keys_to("carrier"), "", "{number}");
        world.finish();
    }
}

#[test]
fn t4_a_blind_transfer_that_nobody_takes_comes_back() {
    let mut world = talking();
    world.plan("1002", Answering::refuse(500, 603));
    world.plan("1001", Answering::after(1000));
    world.press("1001", "*21002#");
    world.run_for(seconds(6));
    assert_eq!(world.heard_by("1001"), "Stream");
    world.finish();
}

#[test]
fn h1_one_code_holds_and_resumes() {
    let mut world = talking();
    world.press("1001", "*6");
    assert_eq!(
        (state(&mut world), world.heard_by("carrier")),
        (InteractionState::Held, "Music".into())
    );
    world.press("1001", "*6");
    assert_eq!(
        (state(&mut world), world.heard_by("carrier")),
        (InteractionState::Connected, "Stream".into())
    );
    world.finish();
}

#[test]
fn k2_k6_one_code_records_as_the_policy_has_it() {
    use RecordingState::{Off, On, Paused};
    for (automatic, states) in [(true, [On, Paused, On]), (false, [Off, On, Off])] {
        let mut world = talking_with(Link::GOOD, placing(), |config| {
            config.media.recording = Some(RecordingPolicy { automatic, ..Default::default() });
        });
        for (n, expected) in states.into_iter().enumerate() {
            if n > 0 {
                world.press("1001", "*1");
            }
            assert_eq!(world.interactions()[0].recording, expected, "{automatic} {n}");
        }
        world.finish();
    }
}

#[test]
fn c20_c26_customers_and_numbers_dial_no_codes() {
    let mut world = talking();
    world.press("carrier", "*21002#");
    assert_eq!(world.keys_to("1001"), "*21002#");
    assert_eq!(state(&mut world), InteractionState::Connected);
    assert!(!world.has_call("1002"));
    world.finish();
}

#[test]
fn keys_that_are_no_code_reach_the_far_end_in_their_order() {
    let mut world = talking();
    world.press("1001", "12*9#");
    assert_eq!(world.keys_to("carrier"), "12*9#");
    world.press("1001", "*");
    assert_eq!(world.keys_to("carrier"), "12*9#", "it may be one");
    world.run_for(seconds(2));
    assert_eq!(world.keys_to("carrier"), "12*9#*");
    world.press("1001", "34");
    assert_eq!(world.keys_to("carrier"), "12*9#*34");
    assert_eq!(world.announced("1001"), "");
    world.finish();
}

#[test]
fn h3_what_the_controls_refuse_sounds_so_and_changes_nothing() {
    for keys in ["*4", "*5", "*7", "*8", "*1", "*3#", "*312#", "*34711#", "*31001#", "*2", "*2A"] {
        let mut world = talking();
        world.press("1001", keys);
        world.run_for(seconds(6));
        assert!(world.announced("1001").ends_with(REFUSED), "{keys}: {}", world.announced("1001"));
        assert_eq!(state(&mut world), InteractionState::Connected, "{keys}");
        assert_eq!(world.heard_by("carrier"), "Stream", "{keys}");
        world.press("1001", "7");
        assert_eq!(world.keys_to("carrier"), "7", "{keys}");
        world.finish();
    }
}

#[test]
fn f15_the_conference_code_joins_the_calls_of_an_agent() {
    let mut world = talking();
    world.press("1001", "*6");
    world.plan("1001", Answering::after(500));
    world.call("1002", Placing::to("1001"));
    world.run_for(seconds(3));
    assert_eq!(world.interactions().len(), 2);
    world.press("1001", "*5");
    assert_eq!(world.interactions().len(), 1);
    for peer in ["carrier", "1002"] {
        assert_eq!(world.heard_by(peer), "Mix", "{peer}");
    }
    world.finish();
}

#[test]
fn a_restored_core_goes_on_with_the_code_that_was_being_dialled() {
    let mut world = talking();
    world.plan("1002", Answering::after(1000));
    for keys in ["*", "3", "10", "02"] {
        world.press("1001", keys);
        world.restore();
    }
    world.run_for(seconds(8));
    assert_eq!(state(&mut world), InteractionState::Consulting);
    world.press("1001", "*");
    world.restore();
    world.run_for(seconds(2));
    assert_eq!(world.keys_to("1002"), "*");
    world.finish();
}

#[test]
fn a_phone_that_dies_or_hangs_up_while_it_dials_leaves_nothing_behind() {
    for keys in ["*", "*2", "*210"] {
        let hangs_up = placing().then(12_000, Act::Bye);
        let mut world = talking_with(Link::GOOD, hangs_up, |_| {});
        world.press("1001", keys);
        world.peer("1001").die();
        world.run_for(seconds(60));
        assert!(!world.has_call("carrier"), "{keys}");
        world.finish();
    }
}

#[test]
fn t11_codes_do_over_a_bad_network_what_they_do_over_a_good_one() {
    let mut world = talking_with(Link::BAD, placing(), |_| {});
    world.plan("1002", Answering::after(1000));
    world.press("1001", "*31002#");
    world.run_for(seconds(30));
    assert_eq!(state(&mut world), InteractionState::Consulting);
    world.press("1001", "*5");
    world.run_for(seconds(5));
    assert_eq!(world.heard_by("carrier"), "Mix");
    // The consulted agent's network is gone: the others go on.
    world.network("1002", Link::CUT);
    world.press("1001", "*8");
    world.run_for(seconds(60));
    world.finish();
}
