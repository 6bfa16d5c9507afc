//! Verbs: what the core is asked, and what its replies become.

use b2bua::api::{
    Act, Command, DestinationType, MonitorMode, NoiseDirection, OnFailure, Refused, Reply, To,
};
use call::control::Refusal;
use media::denoise::DenoiseSettings;

use crate::fake::{ADMIN, AGENT, SUPERVISOR, World, interaction};

fn to(text: &str, destination_type: DestinationType) -> To {
    To { to: text.into(), destination_type }
}

#[test]
fn every_verb_asks_the_core_for_what_its_path_says() {
    let shown = || interaction("call-1", "connected", &["1001"]);
    let world = World::new(move |_, _| Some(Ok(Reply::Done(Box::new(shown())))));
    let rows: Vec<(&str, &str, Act)> = vec![
        ("accept", "", Act::Accept),
        ("decline", "{}", Act::Decline),
        ("hold", "", Act::Hold { release_line: false }),
        ("hold", r#"{"releaseLine":true}"#, Act::Hold { release_line: true }),
        ("resume", "", Act::Resume),
        ("mute", "", Act::Mute),
        ("unmute", "", Act::Unmute),
        ("dtmf", r#"{"keys":"12#"}"#, Act::Dtmf { keys: "12#".into() }),
        ("end", "", Act::End),
        (
            "consult",
            r#"{"to":"1002","destinationType":"agent"}"#,
            Act::Consult { to: to("1002", DestinationType::Agent), hold_participants: true },
        ),
        (
            "consult",
            r#"{"to":"+4930","holdParticipants":false}"#,
            Act::Consult { to: to("+4930", DestinationType::DialNumber), hold_participants: false },
        ),
        ("consult/end", "", Act::ConsultEnd),
        ("consult/exit", "", Act::ConsultExit),
        ("consult/hold", "", Act::ConsultHold),
        ("consult/resume", "", Act::ConsultResume),
        ("consult/transfer", "", Act::ConsultTransfer),
        ("consult/conference", "", Act::ConsultConference),
        ("toggle", "", Act::Toggle),
        (
            "transfer",
            r#"{"to":"support","destinationType":"queue","onFailure":"drop"}"#,
            Act::Transfer {
                to: to("support", DestinationType::Queue),
                on_failure: Some(OnFailure::Drop),
            },
        ),
        (
            "conference/add",
            r#"{"interactionIds":["call-2","call-3"]}"#,
            Act::ConferenceAdd { interactions: vec!["call-2".into(), "call-3".into()] },
        ),
        ("conference/exit", "", Act::ConferenceExit),
        ("conference/end", "", Act::ConferenceEnd),
        ("record/start", "", Act::RecordStart),
        ("record/stop", "", Act::RecordStop),
        ("record/pause", "", Act::RecordPause),
        ("record/resume", "", Act::RecordResume),
    ];
    for (verb, body, act) in rows {
        world.asked.lock().unwrap().clear();
        let path = format!("/v1/interactions/call-1/{verb}?participantId=leg-9");
        let answer = world.post(AGENT, &path, body);
        assert_eq!(answer.status, 200, "{verb}: {}", answer.text());
        assert_eq!(answer.json()["id"], "call-1");
        let interaction = "call-1".into();
        let expected = Command::Act { interaction, participant: Some("leg-9".into()), act };
        assert_eq!(world.commands().pop().unwrap().1, expected, "{verb}");
    }
}

#[test]
fn participants_are_shown_removed_and_freed_of_noise() {
    let shown = || interaction("call-1", "conference", &["1001", "1002"]);
    let world = World::new(move |_, _| Some(Ok(Reply::Done(Box::new(shown())))));
    let base = "/v1/interactions/call-1/participants";
    assert_eq!(world.get(AGENT, base).json().as_array().unwrap().len(), 2);
    let one = world.get(AGENT, &format!("{base}/leg-1002")).json();
    assert_eq!(
        (&one["party"], &one["controls"]["hold"]["enabled"]),
        (&"1002".into(), &true.into())
    );
    assert_eq!(world.get(AGENT, &format!("{base}/leg-1003")).code(), "NOT_FOUND");

    let last = || match world.commands().pop().unwrap().1 {
        Command::Act { act, .. } => act,
        other => panic!("{other:?}"),
    };
    let removed = world.request("DELETE", AGENT, &format!("{base}/leg-1002"), "", "");
    assert_eq!(removed.status, 200);
    assert_eq!(last(), Act::Remove { target: "leg-1002".into() });

    let noise = format!("{base}/leg-1002/noise-suppression");
    let body = r#"{"enabled":true,"direction":"both","level":30}"#;
    assert_eq!(world.request("PUT", AGENT, &noise, "", body).status, 200);
    let (target, level) =
        ("leg-1002".to_owned(), Some(DenoiseSettings { attenuation_limit_db: 30 }));
    let direction = NoiseDirection::Both;
    assert_eq!(last(), Act::NoiseSuppression { target, enabled: true, direction, level });
    let put = |body| world.request("PUT", AGENT, &noise, "", body);
    assert_eq!(put(r#"{"enabled":false}"#).status, 200);
    for body in
        [r#"{"enabled":true,"level":61}"#, r#"{"enabled":1}"#, "{}", r#"{"enabled":true,"x":1}"#]
    {
        assert_eq!(put(body).code(), "VALIDATION", "{body}");
    }
}

#[test]
fn what_is_pending_is_202_with_the_snapshot() {
    let shown = || interaction("call-1", "held", &["1001"]);
    let world = World::new(move |_, _| Some(Ok(Reply::Pending(Box::new(shown())))));
    let answer = world.post(AGENT, "/v1/interactions/call-1/hold", "");
    assert_eq!((answer.status, &answer.json()["state"]), (202, &"held".into()));
    let answer = world.post(AGENT, "/v1/interactions", r#"{"to":"030 123","routeId":"world"}"#);
    assert_eq!(answer.status, 202);
    let expected = Command::Outdial {
        extension: Some("1001".into()),
        to: to("030 123", DestinationType::DialNumber),
        route: Some("world".into()),
    };
    assert_eq!(world.commands().pop().unwrap().1, expected);
    let answer = world.post(AGENT, "/v1/interactions/pickup", r#"{"extension":"1002"}"#);
    assert_eq!(answer.status, 202);
    let expected = Command::Pickup { extension: "1002".into(), by: Some("1001".into()) };
    assert_eq!(world.commands().pop().unwrap().1, expected);
}

#[test]
fn supervision_is_begun_changed_and_ended() {
    let shown = || Box::new(interaction("call-1", "connected", &["1001"]));
    let world = World::new(move |_, command| {
        Some(Ok(match command {
            Command::Monitor { .. } => {
                Reply::Monitoring { session: "leg-9".into(), interaction: shown() }
            }
            _ => Reply::Done(shown()),
        }))
    });
    let body = r#"{"agentId":"1001","mode":"whisper"}"#;
    let begun = world.post(SUPERVISOR, "/v1/monitoring-sessions", body);
    assert_eq!(begun.status, 202, "{}", begun.text());
    assert_eq!(begun.headers["location"], "/v1/monitoring-sessions/leg-9");
    let expected = serde_json::json!({
        "id": "leg-9", "interactionId": "call-1", "extension": "1009", "mode": "whisper",
    });
    assert_eq!(begun.json(), expected);
    let path = "/v1/monitoring-sessions/leg-9";
    let changed = world.request("PATCH", SUPERVISOR, path, "", r#"{"mode":"barge"}"#);
    assert_eq!(changed.status, 200);
    let ended = world.request("DELETE", SUPERVISOR, path, "", "");
    assert_eq!((ended.status, ended.body.len()), (204, 0));
    let asked: Vec<_> = world.commands().into_iter().map(|(_, command)| command).collect();
    let expected = [
        Command::Monitor {
            interaction: None,
            agent: Some("1001".into()),
            mode: MonitorMode::Whisper,
            extension: Some("1009".into()),
        },
        Command::MonitorMode { session: "leg-9".into(), mode: MonitorMode::Barge },
        Command::MonitorEnd { session: "leg-9".into() },
    ];
    assert_eq!(asked, expected);
    for body in [
        r#"{"mode":"monitor"}"#,
        r#"{"interactionId":"a","agentId":"b","mode":"monitor"}"#,
        r#"{"interactionId":"a","mode":"spy"}"#,
    ] {
        assert_eq!(world.post(SUPERVISOR, "/v1/monitoring-sessions", body).code(), "VALIDATION");
    }
    let nowhere = r#"{"interactionId":"a","mode":"monitor"}"#;
    assert_eq!(world.post(ADMIN, "/v1/monitoring-sessions", nowhere).code(), "VALIDATION");
}

#[test]
fn every_refusal_of_the_core_is_a_problem_with_its_code_and_status() {
    const ALL: [Refusal; 25] = [
        Refusal::InvalidState,
        Refusal::EndWhileHeld,
        Refusal::AlreadyHeld,
        Refusal::RecordingPauseNotAllowed,
        Refusal::PostCall,
        Refusal::AgentNotAvailable,
        Refusal::AgentInWrapUp,
        Refusal::ConferenceFull,
        Refusal::ConsultInProgress,
        Refusal::OfferPending,
        Refusal::CallbackStarted,
        Refusal::NotOwner,
        Refusal::NoisePolicyLocked,
        Refusal::Forbidden,
        Refusal::NotFound,
        Refusal::VariableConflict,
        Refusal::UnsupportedDestination,
        Refusal::InvalidDialNumber,
        Refusal::VariableTooLong,
        Refusal::CallbackTooSoon,
        Refusal::CallbackTooLate,
        Refusal::Validation,
        Refusal::CallLimitNode,
        Refusal::CallLimitTenant,
        Refusal::CallLimitTrunk,
    ];
    let mut refusals = ALL.into_iter();
    let world = World::new(move |_, command| match command {
        Command::Act { .. } => Some(Err(Refused::from(refusals.next().unwrap()))),
        _ => Some(Err(Refusal::NotFound.into())),
    });
    for refusal in ALL {
        let answer = world.post(AGENT, "/v1/interactions/call-1/end", "");
        assert_eq!((answer.code().as_str(), answer.status), (refusal.code(), refusal.status()));
        assert_eq!(answer.json()["detail"], refusal.text());
    }
}

#[test]
fn what_does_not_fit_never_reaches_the_core() {
    let world = World::empty();
    for (path, body, code) in [
        ("/v1/interactions/call-1/hold", r#"{"releaseLine":"yes"}"#, "VALIDATION"),
        ("/v1/interactions/call-1/hold", r#"{"release_line":true}"#, "VALIDATION"),
        ("/v1/interactions/call-1/hold", "[]", "VALIDATION"),
        ("/v1/interactions/call-1/hold", "{", "MALFORMED"),
        ("/v1/interactions/call-1/hold", "\u{feff}{}", "MALFORMED"),
        ("/v1/interactions/call-1/dtmf", "", "VALIDATION"),
        (
            "/v1/interactions/call-1/transfer",
            r#"{"to":"","destinationType":"agent"}"#,
            "VALIDATION",
        ),
        (
            "/v1/interactions/call-1/transfer",
            r#"{"to":"1","destinationType":"star"}"#,
            "VALIDATION",
        ),
        ("/v1/interactions", r#"{"destinationType":"agent"}"#, "VALIDATION"),
        ("/v1/interactions/a%20b/hold", "", "NOT_FOUND"),
        ("/v1/interactions/%0d%0aX/hold", "", "NOT_FOUND"),
        ("/v1/interactions/call-1/hold?participantId=a%20b", "", "NOT_FOUND"),
        ("/v1/interactions/%ff/hold", "", "MALFORMED"),
        ("/v1/interactions/call-1/fly", "", "NOT_FOUND"),
    ] {
        let answer = world.post(AGENT, path, body);
        assert_eq!(answer.code(), code, "{path} {body}");
    }
    let long = format!(r#"{{"to":"{}"}}"#, "9".repeat(257));
    assert_eq!(world.post(AGENT, "/v1/interactions", &long).code(), "VALIDATION");
    assert_eq!(world.commands(), []);
    let wrong = world.get(AGENT, "/v1/interactions/call-1/hold");
    assert_eq!(wrong.code(), "METHOD_NOT_ALLOWED");
    assert_eq!(wrong.headers["allow"], "POST");
}

#[test]
fn a_draining_server_is_not_ready_and_dials_nobody() {
    let shown = || interaction("call-1", "connected", &["1001"]);
    let world = World::new(move |_, command| match command {
        Command::Interaction { interaction } if interaction.is_empty() => {
            Some(Err(Refusal::NotFound.into()))
        }
        _ => Some(Ok(Reply::Done(Box::new(shown())))),
    });
    assert_eq!(world.get("", "/readyz").status, 200);
    world.drain.begin();
    assert_eq!(world.get("", "/readyz").code(), "DRAINING");
    assert_eq!(world.get("", "/healthz").status, 200);
    let refused = world.post(AGENT, "/v1/interactions", r#"{"to":"1"}"#);
    assert_eq!((refused.code().as_str(), refused.status), ("DRAINING", 503));
    // Calls that are up go on, and can be driven.
    assert_eq!(world.post(AGENT, "/v1/interactions/call-1/hold", "").status, 200);
}

#[test]
fn a_core_that_is_silent_is_not_ready_and_times_out() {
    let world = World::new(|_, _| None);
    assert_eq!(world.get("", "/readyz").code(), "OVERLOADED");
    assert_eq!(world.get(ADMIN, "/v1/interactions/call-1").code(), "TIMEOUT");
}
