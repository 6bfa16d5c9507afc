//! What callers hear before they are answered: announcements, ringback, why a call fails.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use std::time::Duration;

use b2bua::config::Ringback;
use b2bua::io::Input;
use media::command::{CallTone, Hear, MediaCommand, MediaEvent, StreamId};
use media::sound::SoundId;

use world::{PHONE, TRUNK, World, in_dialog, invite, parse, reply, sdp};

const CALLER: StreamId = StreamId(1);

fn announced(answer_first: bool) -> World {
    let mut config = b2bua::testing::config();
    config.entry_points[0].announcements = vec![3, 5];
    config.entry_points[0].answer_first = answer_first;
    let mut world = World::with(config);
    world.register("1001", PHONE);
    world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
    world
}

/// What is announced to the caller since the last look.
fn sounds(world: &mut World) -> Vec<SoundId> {
    let media = std::mem::take(&mut world.media).into_iter();
    media
        .filter_map(|command| match command {
            MediaCommand::Announce { stream: CALLER, sound } => Some(sound),
            _ => None,
        })
        .collect()
}

fn over(world: &mut World, sound: u32) {
    let sound = SoundId::Recording(sound);
    world.input(Input::Media(MediaEvent::Announced { stream: CALLER, sound }));
}

/// The answers that the customer got since the last look: status, and whether SDP came with it.
fn answers(world: &mut World) -> Vec<(String, bool)> {
    let status = |text: &String| (text[8..11].to_owned(), text.contains("m=audio"));
    let sent = world.sent_to(TRUNK);
    sent.iter().filter(|text| text.starts_with("SIP/2.0 ")).map(status).collect()
}

fn answer(status: &str, has_sdp: bool) -> (String, bool) {
    (status.to_owned(), has_sdp)
}

#[test]
fn announcements_are_early_media_and_then_the_phone_rings_with_our_tone() {
    let mut world = announced(false);
    assert_eq!(answers(&mut world), [answer("100", false), answer("183", true)]);
    assert_eq!(sounds(&mut world), [3, 5].map(SoundId::Recording));
    // However long they are, nothing times out meanwhile.
    world.run_for(Duration::from_secs(100));
    over(&mut world, 3);
    assert_eq!(world.sent_to(PHONE), Vec::<String>::new(), "one is left");
    over(&mut world, 5);
    let ringing = parse(&world.sent_to(PHONE).remove(0));
    world.receive(PHONE, &reply(&ringing, "180 Ringing", ""));
    assert!(answers(&mut world).iter().all(|(status, _)| status.starts_with("18")));
    assert_eq!(world.hears(CALLER), Some(Hear::Tone(CallTone::Ringback)));
    world.receive(PHONE, &reply(&ringing, "200 OK", &sdp(5000, "")));
    assert_eq!(answers(&mut world), [answer("200", true)]);
    assert_eq!(world.hears(CALLER), Some(Hear::Stream(StreamId(2))));
}

#[test]
fn where_it_is_wanted_the_call_is_answered_before_the_announcements() {
    let mut world = announced(true);
    let sent = world.sent_to(TRUNK);
    let ok = sent.iter().find(|text| text.starts_with("SIP/2.0 200 ")).unwrap().clone();
    world.receive(TRUNK, &in_dialog("ACK", 1, &ok));
    assert_eq!(sounds(&mut world).len(), 2);
    over(&mut world, 3);
    over(&mut world, 5);
    let ringing = parse(&world.sent_to(PHONE).remove(0));
    world.receive(PHONE, &reply(&ringing, "180 Ringing", ""));
    assert_eq!(world.hears(CALLER), Some(Hear::Tone(CallTone::Ringback)));
    world.receive(PHONE, &reply(&ringing, "200 OK", &sdp(5000, "")));
    assert_eq!(answers(&mut world), [], "answered long ago");
    assert_eq!(world.hears(CALLER), Some(Hear::Stream(StreamId(2))));
    world.receive(TRUNK, &in_dialog("BYE", 2, &ok));
    let bye = world.sent_to(PHONE).into_iter().find(|text| text.starts_with("BYE ")).unwrap();
    world.receive(PHONE, &reply(&parse(&bye), "200 OK", ""));
    assert_eq!(world.records[0].sip_status, 200);
    world.run_for(Duration::from_secs(64));
    assert!(world.core.is_at_rest());
}

#[test]
fn who_hangs_up_in_an_announcement_reaches_nobody() {
    let mut world = announced(false);
    let cancel = invite("+4930100", "").replace("INVITE", "CANCEL");
    world.receive(TRUNK, &cancel);
    over(&mut world, 3);
    over(&mut world, 5);
    assert_eq!(world.sent_to(PHONE), Vec::<String>::new());
    assert_eq!(world.records[0].sip_status, 487);
    world.run_for(Duration::from_secs(64));
    assert!(world.core.is_at_rest());
}

#[test]
fn an_invite_without_an_offer_hears_no_early_media_and_is_put_through() {
    let mut config = b2bua::testing::config();
    config.entry_points[0].announcements = vec![1];
    let mut world = World::with(config);
    world.register("1001", PHONE);
    let offerless = invite("+4930100", "").replace("Content-Type: application/sdp\r\n", "");
    world.receive(TRUNK, &offerless);
    assert!(world.sent_to(PHONE)[0].starts_with("INVITE "));
}

#[test]
fn ringback_is_ours_where_that_is_configured() {
    for (ringback, expected) in
        [(Ringback::Passed, answer("180", false)), (Ringback::Local, answer("183", true))]
    {
        let mut config = b2bua::testing::config();
        config.media.ringback = ringback;
        let mut world = World::with(config);
        world.register("1001", PHONE);
        world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
        let ringing = parse(&world.sent_to(PHONE).remove(0));
        answers(&mut world);
        world.receive(PHONE, &reply(&ringing, "180 Ringing", ""));
        assert_eq!(answers(&mut world), [expected]);
        let tone = (ringback == Ringback::Local).then_some(Hear::Tone(CallTone::Ringback));
        assert_eq!(world.hears(CALLER).filter(|hear| *hear != Hear::Nothing), tone);
        // Early media of the far end goes first.
        world.receive(PHONE, &reply(&ringing, "183 Session Progress", &sdp(5000, "")));
        assert_eq!(world.hears(CALLER), Some(Hear::Stream(StreamId(2))));
    }
}

#[test]
fn a_caller_hears_why_its_call_fails_where_that_is_configured() {
    for (status, tone) in
        [("486 Busy Here", CallTone::Busy), ("503 Service Unavailable", CallTone::Congestion)]
    {
        let mut config = b2bua::testing::config();
        config.media.refusal_tone = Some(Duration::from_secs(5));
        let mut world = World::with(config);
        world.register("1001", PHONE);
        world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
        let ringing = parse(&world.sent_to(PHONE).remove(0));
        answers(&mut world);
        world.receive(PHONE, &reply(&ringing, status, ""));
        assert_eq!(answers(&mut world), [answer("183", true)]);
        assert_eq!(world.hears(CALLER), Some(Hear::Tone(tone)));
        world.run_for(Duration::from_secs(4));
        assert_eq!(answers(&mut world), []);
        world.run_for(Duration::from_secs(2));
        assert_eq!(answers(&mut world)[0].0, status[..3]);
        world.run_for(Duration::from_secs(64));
        assert!(world.core.is_at_rest());
    }
    // Who cancels meanwhile is gone at once.
    let mut config = b2bua::testing::config();
    config.media.refusal_tone = Some(Duration::from_secs(5));
    let mut world = World::with(config);
    world.receive(TRUNK, &invite("+4930100", &sdp(4000, "")));
    world.receive(TRUNK, &invite("+4930100", "").replace("INVITE", "CANCEL"));
    assert!(answers(&mut world).iter().any(|(status, _)| status == "487"));
    assert_eq!(world.records.len(), 1);
    world.run_for(Duration::from_secs(64));
    assert!(world.core.is_at_rest());
}
