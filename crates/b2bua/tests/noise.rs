//! What each stream of a call is told of noise removal, from its settings to the switch (N1–N4).
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use b2bua::Core;
use b2bua::api::{
    Act, Actor, Command, CommandResult, DestinationType, InteractionSnapshot, NoiseDirection,
    ParticipantSnapshot, Reply, RequestId, To,
};
use b2bua::config::{Config, NoiseChoice};
use b2bua::io::{Input, Output};
use call::LegId;
use call::control::{Control, Refusal, Verb};
use media::command::{Hear, MediaCommand, NoiseRemoval, StreamConfig, StreamId};
use media::denoise::DenoiseSettings;

use world::{PHONE, TRUNK, World, in_dialog, parse, reply, sdp, talk, talk_again};

/// The phone of agent 1002.
const OTHER: &str = "127.0.0.1:7002";

const CUSTOMER: StreamId = StreamId(1);
const AGENT: StreamId = StreamId(2);

const fn removal(enabled: bool, attenuation_limit_db: u8) -> Option<NoiseRemoval> {
    Some(NoiseRemoval { enabled, settings: DenoiseSettings { attenuation_limit_db } })
}

/// On, as far as the default goes.
const ON: Option<NoiseRemoval> = removal(true, 30);
/// Off, but ready to be switched on.
const OFF: Option<NoiseRemoval> = removal(false, 30);

/// What a stream was told last.
fn configured(world: &World, stream: StreamId) -> StreamConfig {
    let config = |command: &MediaCommand| match command {
        MediaCommand::Configure { stream: of, config } if *of == stream => Some((**config).clone()),
        _ => None,
    };
    world.media.iter().rev().find_map(config).unwrap()
}

fn told(world: &World, stream: StreamId) -> Option<NoiseRemoval> {
    configured(world, stream).noise_removal
}

/// Something is asked for by the API.
fn ask(world: &mut World, command: Command) -> CommandResult {
    let (request, actor, command) = (RequestId(1), Actor::Integrator, Box::new(command));
    let mut out = Vec::new();
    world.core.handle(world.now, Input::Command { request, actor, command }, &mut out);
    let is_reply = |output: &Output| matches!(output, Output::Reply { .. });
    let at = out.iter().position(is_reply).unwrap();
    let Output::Reply { result, .. } = out.remove(at) else { unreachable!() };
    world.take(out);
    result
}

fn interactions(world: &mut World) -> Vec<InteractionSnapshot> {
    match ask(world, Command::Interactions) {
        Ok(Reply::Interactions(list)) => list,
        other => panic!("{other:?}"),
    }
}

fn of(world: &mut World, party: &str) -> ParticipantSnapshot {
    let all = interactions(world).into_iter().flat_map(|one| one.participants);
    all.into_iter().find(|one| one.party == party).unwrap()
}

/// The stream of a party's only leg.
fn stream_of(world: &mut World, party: &str) -> StreamId {
    let legs = of(world, party).legs;
    assert_eq!(legs.len(), 1, "{party}");
    StreamId(legs[0].id.parse().unwrap())
}

/// The agent in control of the first call does something in it.
fn act(world: &mut World, act: Act) -> CommandResult {
    let interaction = interactions(world).remove(0).id;
    ask(world, Command::Act { interaction, participant: None, act })
}

/// Agent 1001 switches noise removal.
fn switch(world: &mut World, direction: NoiseDirection, enabled: bool, level: Option<u8>) {
    let target = of(world, "1001").id;
    let level = level.map(|attenuation_limit_db| DenoiseSettings { attenuation_limit_db });
    act(world, Act::NoiseSuppression { target, enabled, direction, level }).unwrap();
}

fn agent(number: &str) -> To {
    To { to: number.to_owned(), destination_type: DestinationType::Agent }
}

/// The phone of 1002, which rings, answers; the INVITE that it got.
fn answer_at_other(world: &mut World) {
    let mut invites = world.sent_to(OTHER).into_iter().filter(|text| text.starts_with("INVITE "));
    let rung = parse(&invites.next_back().unwrap());
    let own = format!("<sip:1002@{OTHER}>");
    let ok = reply(&rung, "200 OK", &sdp(6000, ""));
    world.receive(OTHER, &ok.replace(&format!("<sip:1001@{PHONE}>"), &own));
    world.sent.clear();
}

/// The core goes on from its snapshot.
fn restore(world: &mut World) {
    let saved = serde_json::to_string(&world.core).unwrap();
    world.core = serde_json::from_str::<Core>(&saved).unwrap();
}

/// The customer changes its description by re-INVITE.
fn describe(world: &mut World, ok: &str, cseq: u32, body: &str) {
    let headers = format!(
        "Contact: <sip:customer@{TRUNK}>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let change = in_dialog("INVITE", cseq, ok).replace("Content-Length: 0\r\n\r\n", &headers);
    world.receive(TRUNK, &change);
    let answer = world.sent_to(TRUNK).into_iter().find(|text| text.contains(" 200 OK"));
    assert!(answer.is_some(), "the change is accepted");
    world.receive(TRUNK, &in_dialog("ACK", cseq, ok));
}

#[test]
fn n1_what_customers_say_is_cleaned_by_default_and_what_agents_say_is_not() {
    let mut world = World::new();
    talk(&mut world);
    assert_eq!((told(&world, CUSTOMER), told(&world, AGENT)), (ON, None));
    assert!(of(&mut world, "carrier").noise_suppression.enabled);
    assert!(!of(&mut world, "1001").noise_suppression.enabled);
}

#[test]
fn n2_each_level_reaches_the_streams_of_a_call() {
    type Change = fn(&mut Config);
    let rows: [(&str, Change, _, _); 8] = [
        (
            "organisation, how much",
            |c| c.media.noise_removal.settings = limit(12),
            removal(true, 12),
            None,
        ),
        ("organisation, customers", |c| c.media.noise_removal.from_customer = false, None, None),
        ("organisation, agents", |c| c.media.noise_removal.from_agent = true, ON, ON),
        ("trunk", |c| c.trunks[0].noise_removal.enabled = Some(false), None, None),
        (
            "trunk, how much",
            |c| c.trunks[0].noise_removal.attenuation_limit_db = Some(20),
            removal(true, 20),
            None,
        ),
        ("another trunk", |c| c.trunks[1].noise_removal.enabled = Some(false), ON, None),
        ("agent, hears", |c| c.extensions[0].noise_removal.enabled = Some(false), None, None),
        (
            "agent, says",
            |c| {
                c.extensions[0].own_noise_removal =
                    NoiseChoice { enabled: Some(true), attenuation_limit_db: Some(15) };
            },
            ON,
            removal(true, 15),
        ),
    ];
    for (level, change, customer, agent) in rows {
        let mut config = b2bua::testing::config();
        change(&mut config);
        let mut world = World::with(config);
        talk(&mut world);
        assert_eq!((told(&world, CUSTOMER), told(&world, AGENT)), (customer, agent), "{level}");
        let shown =
            ["carrier", "1001"].map(|party| of(&mut world, party).noise_suppression.enabled);
        assert_eq!(shown, [customer, agent].map(|removal| removal.is_some()), "{level}");
    }
}

const fn limit(attenuation_limit_db: u8) -> DenoiseSettings {
    DenoiseSettings { attenuation_limit_db }
}

#[test]
fn n3_a_switch_tells_those_streams_that_alone() {
    use NoiseDirection::{Both, From, To};
    let mut world = World::new();
    talk(&mut world);
    let rows: [(_, _, _, &[(StreamId, _)]); 9] = [
        (To, true, None, &[]), // it is already
        (To, false, None, &[(CUSTOMER, OFF)]),
        (To, false, None, &[]),
        (From, true, None, &[(AGENT, ON)]),
        (Both, true, None, &[(CUSTOMER, ON)]),
        (Both, false, Some(12), &[(CUSTOMER, removal(false, 12)), (AGENT, removal(false, 12))]),
        (From, true, Some(12), &[(AGENT, removal(true, 12))]),
        (Both, true, None, &[(CUSTOMER, ON), (AGENT, ON)]),
        (From, false, None, &[(AGENT, OFF)]),
    ];
    for (n, (direction, enabled, level, expected)) in rows.into_iter().enumerate() {
        let before = |stream| configured(&world, stream);
        let expected: Vec<_> = expected
            .iter()
            .map(|(stream, noise_removal)| MediaCommand::Configure {
                stream: *stream,
                config: Box::new(StreamConfig { noise_removal: *noise_removal, ..before(*stream) }),
            })
            .collect();
        let from = world.media.len();
        switch(&mut world, direction, enabled, level);
        assert_eq!(world.media[from..], expected, "row {n}");
        let is_on = |removal: Option<NoiseRemoval>| removal.is_some_and(|removal| removal.enabled);
        let told = [CUSTOMER, AGENT].map(|stream| is_on(told(&world, stream)));
        let shown =
            ["carrier", "1001"].map(|party| of(&mut world, party).noise_suppression.enabled);
        assert_eq!(shown, told, "row {n}");
    }
}

#[test]
fn n3_what_was_decided_stays_whatever_the_call_becomes() {
    for (is_switched, is_restored) in [(false, false), (true, false), (true, true)] {
        let mut world = World::new();
        talk(&mut world);
        world.register("1002", OTHER);
        let expected = match is_switched {
            true => {
                switch(&mut world, NoiseDirection::To, false, None);
                switch(&mut world, NoiseDirection::From, true, None);
                (OFF, ON)
            }
            false => (ON, None),
        };
        let consult = Act::Consult { to: agent("1002"), hold_participants: true };
        let acts = [
            Act::Hold { release_line: false },
            Act::Resume,
            Act::Mute,
            Act::Unmute,
            consult,
            Act::Toggle,
            Act::Toggle,
            Act::ConsultConference,
        ];
        for next in acts {
            let what = format!("{next:?}, switched: {is_switched}, restored: {is_restored}");
            let is_consult = matches!(next, Act::Consult { .. });
            act(&mut world, next).unwrap_or_else(|why| panic!("{what}: {why:?}"));
            if is_consult {
                answer_at_other(&mut world);
            }
            if is_restored {
                restore(&mut world);
            }
            assert_eq!((told(&world, CUSTOMER), told(&world, AGENT)), expected, "{what}");
        }
        let consulted = stream_of(&mut world, "1002");
        assert_eq!(told(&world, consulted), None, "an agent's, of whom nobody decided anything");
        // Two are switched at once, of three.
        let from = world.media.len();
        switch(&mut world, NoiseDirection::To, true, Some(6));
        let changed = world.media[from..].iter().map(|command| match command {
            MediaCommand::Configure { stream, config } => (*stream, config.noise_removal),
            other => panic!("{other:?}"),
        });
        let six = removal(true, 6);
        assert_eq!(changed.collect::<Vec<_>>(), [(CUSTOMER, six), (consulted, six)]);
        assert_eq!(told(&world, AGENT), expected.1);
    }
}

#[test]
fn n2_who_takes_a_customer_over_decides_unless_it_was_decided_by_hand() {
    for is_switched in [false, true] {
        let mut config = b2bua::testing::config();
        config.extensions[1].noise_removal.enabled = Some(false);
        let mut world = World::with(config);
        talk(&mut world);
        world.register("1002", OTHER);
        if is_switched {
            switch(&mut world, NoiseDirection::To, true, Some(20));
        }
        let to = agent("1002");
        act(&mut world, Act::Consult { to, hold_participants: true }).unwrap();
        answer_at_other(&mut world);
        act(&mut world, Act::ConsultTransfer).unwrap();
        let expected = if is_switched { removal(true, 20) } else { None };
        assert_eq!(told(&world, CUSTOMER), expected, "switched: {is_switched}");
    }
}

#[test]
fn n3_what_an_agent_decided_of_the_own_voice_outlasts_the_line() {
    let mut world = World::new();
    let ok = talk(&mut world);
    switch(&mut world, NoiseDirection::From, true, Some(20));
    act(&mut world, Act::Hold { release_line: true }).unwrap();
    let bye = world.sent_to(PHONE).into_iter().find(|text| text.starts_with("BYE ")).unwrap();
    world.receive(PHONE, &reply(&parse(&bye), "200 OK", ""));
    act(&mut world, Act::Resume).unwrap();
    let rung = world.sent_to(PHONE).into_iter().find(|text| text.starts_with("INVITE ")).unwrap();
    world.receive(PHONE, &reply(&parse(&rung), "200 OK", &sdp(5000, "")));
    let line = stream_of(&mut world, "1001");
    assert_ne!(line, AGENT, "another line");
    assert_eq!(told(&world, line), removal(true, 20));
    assert_eq!(told(&world, CUSTOMER), ON);
    assert!(ok.contains("200 OK"));
}

#[test]
fn f15_what_was_decided_in_two_calls_stays_in_the_one_they_become() {
    let mut world = World::new();
    talk(&mut world);
    switch(&mut world, NoiseDirection::From, true, Some(20));
    world.reinvite(2, "sendonly"); // its phone holds: of two lines the open one stays
    talk_again(&mut world);
    let (first, second) = match &*interactions(&mut world) {
        [first, second] => (first.clone(), second.clone()),
        other => panic!("{other:?}"),
    };
    let guest = second.participants.iter().find(|one| one.party == "carrier").unwrap();
    let theirs = StreamId(guest.legs[0].id.parse().unwrap());
    let off = Act::NoiseSuppression {
        target: guest.id.clone(),
        enabled: false,
        direction: NoiseDirection::From,
        level: None,
    };
    let command = Command::Act { interaction: second.id.clone(), participant: None, act: off };
    ask(&mut world, command).unwrap();
    assert_eq!((told(&world, CUSTOMER), told(&world, theirs)), (ON, OFF));
    let numbers = |world: &mut World| {
        let all = interactions(world).into_iter().flat_map(|one| one.participants);
        let customers = all.filter(|one| one.party == "carrier").map(|one| one.number);
        customers.collect::<Vec<_>>()
    };
    let before = numbers(&mut world);
    assert_ne!(before[0], before[1]);
    act(&mut world, Act::ConferenceAdd { interactions: vec![second.id] }).unwrap();
    assert_eq!(interactions(&mut world).len(), 1, "{}", first.id);
    assert_eq!(numbers(&mut world), before, "each by its own number");
    assert_eq!((told(&world, CUSTOMER), told(&world, theirs)), (ON, OFF));
    let open = StreamId(4);
    assert!(matches!(world.hears(open), Some(Hear::Mix(_))), "{:?}", world.hears(open));
    assert_eq!(told(&world, open), removal(true, 20), "as in the call that stays");
}

#[test]
fn n3_a_locked_switch_is_refused_and_shown_so() {
    let mut config = b2bua::testing::config();
    config.media.noise_removal.locked = true;
    let mut world = World::with(config);
    talk(&mut world);
    let agent = of(&mut world, "1001");
    let locked = Control { enabled: false, reason: Some(Refusal::NoisePolicyLocked) };
    assert_eq!(agent.controls[&Verb::NoiseSuppression], locked);
    let before = world.media.len();
    for direction in [NoiseDirection::From, NoiseDirection::To, NoiseDirection::Both] {
        for enabled in [false, true] {
            let (target, level) = (agent.id.clone(), None);
            let switch = Act::NoiseSuppression { target, enabled, direction, level };
            let refused = act(&mut world, switch).unwrap_err();
            assert_eq!(refused.code, Refusal::NoisePolicyLocked);
        }
    }
    for (leg, enabled) in [(1, false), (2, true)] {
        world.input(Input::NoiseRemoval { leg: LegId(leg), enabled });
    }
    assert_eq!(world.media.len(), before, "nothing is told");
    assert_eq!((told(&world, CUSTOMER), told(&world, AGENT)), (ON, None));
    assert!(of(&mut world, "carrier").noise_suppression.enabled);
    let open = Control { enabled: true, reason: None };
    let mut world = World::new();
    talk(&mut world);
    assert_eq!(of(&mut world, "1001").controls[&Verb::NoiseSuppression], open);
}

#[test]
fn n4_the_music_of_a_customer_who_holds_is_left_alone() {
    // INTEROP 4: every form of it.
    let zero = sdp(4000, "").replace("c=IN IP4 127.0.0.9", "c=IN IP4 0.0.0.0");
    let (sendonly, inactive) = (sdp(4000, "a=sendonly\r\n"), sdp(4000, "a=inactive\r\n"));
    for (form, held) in [("sendonly", &sendonly), ("inactive", &inactive), ("0.0.0.0", &zero)] {
        let mut world = World::new();
        let ok = talk(&mut world);
        describe(&mut world, &ok, 2, held);
        assert_eq!((told(&world, CUSTOMER), told(&world, AGENT)), (OFF, None), "{form}");
        assert!(of(&mut world, "carrier").noise_suppression.enabled, "as decided, {form}");
        describe(&mut world, &ok, 3, &sdp(4000, ""));
        assert_eq!((told(&world, CUSTOMER), told(&world, AGENT)), (ON, None), "{form}");
    }
}

#[test]
fn n4_what_is_decided_while_a_customer_holds_counts_when_it_is_back() {
    let mut world = World::new();
    let ok = talk(&mut world);
    let (held, back) = (sdp(4000, "a=sendonly\r\n"), sdp(4000, ""));
    describe(&mut world, &ok, 2, &held);
    let from = world.media.len();
    switch(&mut world, NoiseDirection::To, false, None);
    switch(&mut world, NoiseDirection::To, true, None);
    switch(&mut world, NoiseDirection::To, false, None);
    assert_eq!(world.media.len(), from, "its music is left alone anyway");
    restore(&mut world);
    describe(&mut world, &ok, 3, &back);
    assert_eq!(told(&world, CUSTOMER), OFF, "switched off meanwhile");
    describe(&mut world, &ok, 4, &held);
    switch(&mut world, NoiseDirection::To, true, Some(20));
    assert_eq!(told(&world, CUSTOMER), removal(false, 20));
    describe(&mut world, &ok, 5, &back);
    assert_eq!(told(&world, CUSTOMER), removal(true, 20), "switched on meanwhile");
}

#[test]
fn n4_the_music_of_a_phone_that_holds_is_left_alone_too() {
    let mut config = b2bua::testing::config();
    config.media.noise_removal.from_agent = true;
    let mut world = World::with(config);
    talk(&mut world);
    world.reinvite(2, "sendonly");
    assert_eq!((told(&world, CUSTOMER), told(&world, AGENT)), (ON, OFF));
    world.reinvite(3, "sendrecv");
    assert_eq!((told(&world, CUSTOMER), told(&world, AGENT)), (ON, ON));
}
