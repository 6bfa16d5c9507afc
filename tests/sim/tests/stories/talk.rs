//! While the call is up: hold, changes, glare, session timers.

use sim::{Act, Answering, Codecs, Hold, Link, Placing, Refresher, Step, World};

use crate::{answers, header, seconds, start, world, world_without_transcoding};

#[test]
fn every_form_of_hold_brings_music_and_resume_brings_the_voice_back() {
    for hold in [Hold::SendOnly, Hold::Inactive, Hold::Zero] {
        for caller_holds in [true, false] {
            let mut world = world();
            let acts = |answering: Answering| {
                answering
                    .then(1000, Act::Hold(hold))
                    .then(30_000, Act::Offerless)
                    .then(60_000, Act::Resume)
            };
            let mut placing = Placing::to("1001");
            let mut answering = Answering::after(1000);
            match caller_holds {
                true => {
                    placing.acts = acts(Answering::after(0)).acts;
                }
                false => answering = acts(answering),
            }
            let held = if caller_holds { "1001" } else { "1003" };
            world.plan("1001", answering);
            world.call("1003", placing);
            world.run_for(seconds(10));
            assert_eq!(world.heard_by(held), "Music", "{hold:?}");
            // A re-INVITE without SDP while held stays held (INTEROP 4).
            world.run_for(seconds(40));
            assert_eq!(world.heard_by(held), "Music", "{hold:?} after an offerless re-INVITE");
            world.run_for(seconds(40));
            assert_eq!(world.heard_by(held), "Stream", "{hold:?} after the resume");
            assert!(world.has_call("1001") && world.has_call("1003"));
            world.finish();
            let record = &world.records()[0];
            assert!((58_500..61_500).contains(&record.hold_ms), "{hold:?}: {}", record.hold_ms);
        }
    }
}

#[test]
fn both_sides_may_hold_at_once() {
    let mut world = world();
    let hold = Act::Hold(Hold::SendOnly);
    world.plan("1001", Answering::after(1000).then(1000, hold).then(60_000, Act::Resume));
    world.call("1003", Placing::to("1001").then(5000, hold));
    world.run_for(seconds(40));
    assert_eq!((world.heard_by("1001"), world.heard_by("1003")), ("Music".into(), "Music".into()));
    world.run_for(seconds(40));
    assert_eq!((world.heard_by("1001"), world.heard_by("1003")), ("Music".into(), "Stream".into()));
    world.finish();
}

#[test]
fn a_hold_is_not_passed_on_to_the_held_side() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(1000, Act::Hold(Hold::SendOnly)));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(60));
    assert!(world.sent_to("1003", "INVITE ").is_empty()); // INTEROP: do not re-offer needlessly
    world.finish();
}

#[test]
fn a_change_of_codec_takes_the_other_side_along() {
    let mut world = world_without_transcoding();
    world.plan("1001", Answering::after(1000).then(5000, Act::Codecs(Codecs::MuLaw)));
    world.call("1003", Placing::to("1001").then(1000, Act::Codecs(Codecs::ALaw)));
    world.run_for(seconds(60)); // the streams have a codec in common: `check_settled`
    assert_eq!(world.sent_to("1003", "INVITE ").len(), 1);
    world.finish();
}

#[test]
fn a_change_of_codec_stays_on_its_side_where_we_transcode() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(5000, Act::Codecs(Codecs::MuLaw)));
    world.call("1003", Placing::to("1001").then(1000, Act::Codecs(Codecs::ALaw)));
    world.run_for(seconds(60));
    assert!(world.sent_to("1003", "INVITE ").is_empty());
    assert_eq!(answers(&world, "1001", "INVITE"), [100, 200]);
    world.finish();
}

#[test]
fn a_side_that_refuses_the_new_codec_keeps_the_old_one() {
    let mut world = world_without_transcoding();
    world.plan("1001", Answering::after(1000).then(5000, Act::Codecs(Codecs::MuLaw)));
    let stubborn = Placing { codecs: Codecs::ALaw, stubborn: true, ..Placing::to("1001") };
    world.call("1003", stubborn);
    world.run_for(seconds(60));
    assert!(answers(&world, "1001", "INVITE").contains(&488));
    assert!(world.has_call("1001") && world.has_call("1003"));
    world.finish();
}

#[test]
fn glare_gets_491_on_both_sides_and_both_changes_are_made() {
    let mut world = world();
    let session = Some((90, Refresher::Uac));
    let answering = Answering { session, takes_update: false, ..Answering::after(1000) };
    // Our refresh leaves 45 s after the 200 came, which took 10 ms: 5 ms after this.
    world.plan("1001", answering.then(45_005, Act::Hold(Hold::SendOnly)));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(60));
    assert_eq!(answers(&world, "1001", "INVITE").iter().filter(|s| **s == 491).count(), 1);
    assert_eq!(world.got_from("1001", "SIP/2.0 491").len(), 1);
    assert_eq!(world.heard_by("1003"), "Music");
    world.run_for(seconds(300));
    assert!(world.has_call("1001") && world.has_call("1003")); // the refreshes went on
    world.finish();
}

#[test]
fn we_refresh_by_update_or_by_an_unchanged_offer() {
    for (takes_update, method) in [(true, "UPDATE "), (false, "INVITE ")] {
        let mut world = world();
        let session = Some((90, Refresher::Uac));
        world.plan("1001", Answering { session, takes_update, ..Answering::after(1000) });
        world.call("1003", Placing::to("1001"));
        world.run_for(seconds(300));
        let refreshes = world.sent_to("1001", method);
        assert!((6..=8).contains(&refreshes.len()), "{method}: {}", refreshes.len());
        assert!(world.has_call("1001") && world.has_call("1003"));
        world.finish();
    }
}

#[test]
fn a_phone_may_refresh_and_a_caller_without_timers_is_refreshed_by_us() {
    let mut world = world();
    let session = Some((90, Refresher::Uas));
    world.plan("1001", Answering { session, ..Answering::after(1000) });
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(3000));
    assert!(world.got_from("1001", "UPDATE ").len() > 50);
    assert!(world.sent_to("1001", "BYE ").is_empty());
    assert!(
        !world.sent_to("1003", "UPDATE ").is_empty()
            || !world.sent_to("1003", "INVITE ").is_empty()
    );
    world.finish();
}

#[test]
fn a_session_that_is_not_refreshed_ends_in_time_and_not_before() {
    let mut world = world();
    let session = Some((90, Refresher::Uas));
    world.plan("1001", Answering { session, ..Answering::after(1000) }.then(10_000, Act::Die));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(58));
    assert!(world.has_call("1003"), "RFC 4028 §10: 32 s before the end, not earlier");
    world.run_for(seconds(10));
    assert!(!world.has_call("1003"));
    assert_eq!(world.records().len(), 0, "the BYE to the dead side is still under way");
    world.finish();
    assert_eq!(world.records()[0].sip_status, 408);
}

#[test]
fn a_lost_refresh_does_not_cost_the_call() {
    let mut world = world();
    let session = Some((600, Refresher::Uac));
    world.plan("1001", Answering { session, ..Answering::after(1000) });
    world.call("1003", Placing::to("1001"));
    // Our refresh is due at 300 s; the phone is away for 10 s around that time.
    world.run_for(seconds(296));
    world.network("1001", Link::CUT);
    world.run_for(seconds(12));
    world.network("1001", Link::GOOD);
    world.run_for(seconds(100));
    assert!(world.has_call("1001") && world.has_call("1003"));
    world.finish();
}

#[test]
fn too_short_sessions_are_refused_with_the_least_we_take_and_ours_are_raised() {
    let mut world = world();
    let steps = [(0, Step::TooSmall(2400)), (1000, Step::Answer(0))];
    world.plan("1001", Answering::by(&steps).then(3000, Act::Bye));
    world.call("1003", Placing { session: Some((60, None)), ..Placing::to("1001") });
    world.run_for(seconds(20));
    let refused = &world.sent_to("1003", "SIP/2.0 422")[0];
    assert_eq!(header(refused, "Min-SE"), Some("90"));
    assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&200));
    let invites = world.sent_to("1001", "INVITE ");
    assert!(header(&invites[1], "Session-Expires").is_some_and(|v| v.starts_with("2400")));
    world.finish();
}

#[test]
fn a_key_told_by_info_is_pressed_towards_the_other_side() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(1000, Act::Key));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(10));
    assert_eq!(answers(&world, "1001", "INFO"), [200]);
    assert_eq!(world.presses(), 1);
    world.finish();
}

#[test]
fn what_we_do_not_understand_gets_405_with_what_we_do() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(1000, Act::Unknown).then(2000, Act::Options));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(10));
    let refused = &world.sent_to("1001", "SIP/2.0 405")[0];
    assert!(
        header(refused, "Allow").is_some_and(|allow| allow.contains("UPDATE")),
        "{}",
        start(refused)
    );
    assert_eq!(answers(&world, "1001", "OPTIONS"), [200]);
    world.finish();
}

#[test]
fn a_held_side_hears_silence_where_that_is_configured() {
    let mut world = World::with(1, Link::GOOD, |config| {
        config.media.hold = b2bua::config::HoldSound::Silence;
    });
    world.register();
    world.plan("1001", Answering::after(1000).then(1000, Act::Hold(Hold::SendOnly)));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(10));
    assert_eq!(world.heard_by("1003"), "Silence");
}

#[test]
fn a_change_that_gets_no_final_answer_is_cancelled() {
    let mut world = world_without_transcoding();
    world.plan("1001", Answering::after(1000).then(5000, Act::Codecs(Codecs::MuLaw)));
    world.call("1003", Placing { codecs: Codecs::ALaw, ..Placing::to("1001") });
    world.peer("1003").hesitates = true;
    world.run_for(seconds(60));
    assert_eq!(world.sent_to("1003", "CANCEL ").len(), 1);
    assert!(answers(&world, "1001", "INVITE").contains(&488));
    assert!(world.has_call("1001") && world.has_call("1003"));
    world.finish();
}

#[test]
fn our_own_offer_is_made_again_after_it_collided() {
    let mut world = world_without_transcoding();
    world.plan("1001", Answering::after(1000).then(5000, Act::Codecs(Codecs::MuLaw)));
    // The caller's hold crosses the offer that the callee's change makes us send it.
    let placing = Placing::to("1001").then(1000, Act::Codecs(Codecs::ALaw));
    world.call("1003", placing.then(4990, Act::Hold(Hold::SendOnly)));
    world.run_for(seconds(60));
    assert_eq!(world.got_from("1003", "SIP/2.0 491").len(), 1);
    assert!(answers(&world, "1003", "INVITE").contains(&491));
    assert_eq!(answers(&world, "1001", "INVITE"), [100, 200]);
    assert_eq!(world.heard_by("1001"), "Music");
    world.finish();
}

#[test]
fn an_offer_that_waits_after_a_collision_is_made_although_the_session_is_due_meanwhile() {
    let mut world = world_without_transcoding();
    world.plan("1001", Answering::after(1000).then(45_990, Act::Codecs(Codecs::MuLaw)));
    // As above, 10 ms before we are to refresh the caller's session.
    let session = Some((90, Some(Refresher::Uas)));
    let placing = Placing { session, ..Placing::to("1001") };
    let placing = placing.then(1000, Act::Codecs(Codecs::ALaw));
    world.call("1003", placing.then(45_980, Act::Hold(Hold::SendOnly)));
    world.run_for(seconds(60));
    assert_eq!(world.got_from("1003", "SIP/2.0 491").len(), 1);
    assert!(answers(&world, "1003", "INVITE").contains(&491));
    assert_eq!(answers(&world, "1001", "INVITE"), [100, 200]);
    world.run_for(seconds(300));
    assert!(world.has_call("1001") && world.has_call("1003")); // the refreshes go on
    world.finish();
}
