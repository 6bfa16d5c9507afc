//! Feature codes, in whatever form an agent's phone and its far end tell of keys.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use std::time::Duration;

use b2bua::Core;
use b2bua::config::{Config, DtmfForm, FeatureCodes};
use b2bua::io::Input;
use media::command::{Hear, MediaCommand, MediaEvent, StreamId};
use media::dtmf::{Digit, DtmfEvent, Form};
use media::sound::SoundId;
use media::tone::ToneKind;
use sip::message::Name;

use world::{PHONE, TRUNK, World, hang_up, parse, reply, talk};

const CUSTOMER: StreamId = StreamId(1);
const AGENT: StreamId = StreamId(2);

fn config() -> Config {
    let mut config = b2bua::testing::config();
    config.feature_codes = FeatureCodes::usual();
    config
}

fn event(char: char, duration_ms: u32) -> DtmfEvent {
    DtmfEvent { duration_ms, ..DtmfEvent::new(Digit::from_char(char).unwrap()) }
}

/// A key of a stream's peer that the engine has kept, or passed on.
fn press(world: &mut World, stream: StreamId, key: char, kept: bool) {
    let (event, form) = (event(key, 200), Form::Events);
    world.input(Input::Media(MediaEvent::Dtmf { stream, event, form, kept }));
}

/// The agent's phone presses a key by SIP INFO.
fn inform(world: &mut World, key: char, cseq: u32) {
    let invite = parse(&world.rung);
    let header = |name| invite.headers.get(name).unwrap().to_owned();
    let body = format!("Signal={key}\r\nDuration=200\r\n");
    let info = format!(
        "INFO sip:hookflash@127.0.0.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {PHONE};branch=z9hG4bKinfo{cseq}\r\nFrom: {};tag=phone\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: {cseq} INFO\r\nMax-Forwards: 70\r\n\
         Content-Type: application/dtmf-relay\r\nContent-Length: {}\r\n\r\n{body}",
        header(Name::To),
        header(Name::From),
        header(Name::CallId),
        body.len()
    );
    world.receive(PHONE, &info);
    let answer = world.sent_to(PHONE).remove(0);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
}

/// What a stream's peer was given since the last look: keys with their lengths, tones, and whether
/// the keys of the stream pass again.
fn told(world: &World, stream: StreamId) -> Vec<String> {
    let told = world.media.iter().filter_map(|command| match command {
        MediaCommand::Press { stream: of, event } if *of == stream => {
            Some(format!("{}:{}", event.digit, event.duration_ms))
        }
        MediaCommand::Announce { stream: of, sound: SoundId::Tone(tone) } if *of == stream => {
            Some(format!("{tone:?}"))
        }
        MediaCommand::PassKeys { stream: of } if *of == stream => Some("pass".to_owned()),
        _ => None,
    });
    told.collect()
}

#[test]
fn only_agents_have_keys_kept_and_only_during_the_call() {
    let kept = |config: Config, stream: StreamId| {
        let mut world = World::with(config);
        talk(&mut world);
        let configs = world.media.iter().filter_map(|command| match command {
            MediaCommand::Configure { stream: of, config } if *of == stream => {
                Some(config.keys.kept)
            }
            _ => None,
        });
        configs.collect::<Vec<_>>()
    };
    let star = [Digit::from_char('*').unwrap()].into_iter().collect();
    assert_eq!(kept(config(), AGENT).last(), Some(&star));
    assert!(kept(config(), CUSTOMER).iter().all(|kept| kept.is_empty()), "C20");
    let without = b2bua::testing::config();
    assert!(kept(without, AGENT).iter().all(|kept| kept.is_empty()), "switched off");
}

#[test]
fn h3_a_code_in_rtp_or_by_info_holds_and_nobody_hears_it() {
    for by_info in [false, true] {
        let mut world = World::with(config());
        let ok = talk(&mut world);
        world.media.clear();
        for (key, cseq) in [('*', 2), ('6', 3)] {
            match by_info {
                true => inform(&mut world, key, cseq),
                false => press(&mut world, AGENT, key, true),
            }
        }
        assert_eq!(world.hears(CUSTOMER), Some(Hear::Music), "{by_info}");
        assert_eq!(told(&world, AGENT), ["pass", "Beep"], "{by_info}");
        assert_eq!(told(&world, CUSTOMER), [""; 0], "{by_info}");
        hang_up(&mut world, &ok);
        world.run_for(Duration::from_secs(64));
        assert!(world.core.is_at_rest());
    }
}

#[test]
fn keys_that_are_no_code_go_on_with_their_lengths_before_others_pass() {
    let mut world = World::with(config());
    talk(&mut world);
    world.media.clear();
    press(&mut world, AGENT, '*', true);
    assert_eq!(told(&world, CUSTOMER), [""; 0]);
    press(&mut world, AGENT, '9', true);
    assert_eq!(told(&world, CUSTOMER), ["*:200", "9:200"]);
    let mut order = world.media.iter().filter(|command| {
        matches!(command, MediaCommand::Press { .. } | MediaCommand::PassKeys { .. })
    });
    assert!(matches!(order.next_back(), Some(MediaCommand::PassKeys { stream: AGENT })));
    world.media.clear();
    // Kept before the engine heard that they pass again; then one that it passed on by itself.
    press(&mut world, AGENT, '4', true);
    press(&mut world, AGENT, '5', false);
    assert_eq!(told(&world, CUSTOMER), ["4:200"]);
    world.media.clear();
    press(&mut world, AGENT, '*', true);
    world.run_for(Duration::from_secs(2));
    assert_eq!(told(&world, CUSTOMER), ["*:200"], "nothing followed");
    assert_eq!(told(&world, AGENT), ["pass"]);
}

#[test]
fn keys_that_are_no_code_are_told_by_info_where_the_far_end_wants_it() {
    let mut config = config();
    config.trunks[0].dtmf = DtmfForm::InfoPlain;
    let mut world = World::with(config);
    talk(&mut world);
    let mut informed = String::new();
    for key in ['*', '9'] {
        press(&mut world, AGENT, key, true);
    }
    loop {
        let mut infos = world.sent_to(TRUNK);
        infos.dedup();
        let Some(info) = infos.first() else { break };
        assert!(info.starts_with("INFO "), "{info}");
        let request = parse(info);
        informed += std::str::from_utf8(&request.body).unwrap();
        world.receive(TRUNK, &reply(&request, "200 OK", ""));
    }
    assert_eq!(informed, "*9");
}

#[test]
fn a_code_that_is_refused_sounds_so() {
    let mut world = World::with(config());
    talk(&mut world);
    world.media.clear();
    for key in ['*', '4'] {
        press(&mut world, AGENT, key, true);
    }
    assert_eq!(told(&world, AGENT), ["pass", "Congestion", "Congestion"]);
    world.media.clear();
    // A number is waited for; its keys are nobody's.
    for key in "*21".chars() {
        press(&mut world, AGENT, key, true);
    }
    assert_eq!(told(&world, AGENT), ["Dial"]);
    world.run_for(Duration::from_secs(5));
    assert_eq!(told(&world, AGENT), ["Dial", "pass", "Congestion", "Congestion"]);
    assert_eq!(told(&world, CUSTOMER), [""; 0]);
    assert_eq!(world.hears(CUSTOMER), None, "as before");
}

#[test]
fn a_key_told_twice_keeps_no_others_back() {
    let mut world = World::with(config());
    talk(&mut world);
    world.media.clear();
    for key in ['*', '9'] {
        press(&mut world, AGENT, key, true);
    }
    world.media.clear();
    // By its tone, which counts no more where events are known.
    let (event, form) = (event('*', 100), Form::InBand);
    world.input(Input::Media(MediaEvent::Dtmf { stream: AGENT, event, form, kept: true }));
    assert_eq!(told(&world, AGENT), ["pass"]);
    assert_eq!(told(&world, CUSTOMER), [""; 0]);
}

#[test]
fn what_is_being_dialled_survives_a_snapshot() {
    let mut world = World::with(config());
    talk(&mut world);
    press(&mut world, AGENT, '*', true);
    let saved = serde_json::to_string(&world.core).unwrap();
    world.core = serde_json::from_str::<Core>(&saved).unwrap();
    press(&mut world, AGENT, '6', true);
    assert_eq!(world.hears(CUSTOMER), Some(Hear::Music));
    assert!(told(&world, AGENT).contains(&format!("{:?}", ToneKind::Beep)));
}
