//! Pressed keys between legs that tell of them in different forms.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic)]

mod world;

use std::time::Duration;

use b2bua::config::{Config, DtmfForm};
use b2bua::io::Input;
use media::command::{KeyForm, MediaCommand, MediaEvent, StreamConfig, StreamId};
use media::dtmf::{Digit, DtmfEvent, Form};

use world::{PHONE, TRUNK, World, hang_up, in_dialog, parse, reply, talk};

const CUSTOMER: StreamId = StreamId(1);

fn event(char: char) -> DtmfEvent {
    let digit = Digit::from_char(char).unwrap();
    DtmfEvent { duration_ms: 200, ..DtmfEvent::new(digit) }
}

/// A call of a customer whose trunk, and an agent whose phone, is told of keys so.
fn call(trunk: DtmfForm, phone: DtmfForm) -> (World, String) {
    let mut world = World::with(config(trunk, phone));
    let ok = talk(&mut world);
    (world, ok)
}

fn config(trunk: DtmfForm, phone: DtmfForm) -> Config {
    let mut config = b2bua::testing::config();
    config.trunks[0].dtmf = trunk;
    config.extensions[0].dtmf = phone;
    config
}

/// The customer presses a key in RTP.
fn press(world: &mut World, key: char, form: Form) {
    let event = event(key);
    world.input(Input::Media(MediaEvent::Dtmf { stream: CUSTOMER, event, form, kept: false }));
}

/// The customer presses a key by SIP INFO.
fn inform(world: &mut World, key: char, cseq: u32, ok: &str) {
    let body = format!("Signal={key}\r\nDuration=200\r\n");
    let info = in_dialog("INFO", cseq, ok).replace(
        "Content-Length: 0\r\n\r\n",
        &format!(
            "Content-Type: application/dtmf-relay\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    world.receive(TRUNK, &info);
    let answer = world.sent_to(TRUNK).remove(0);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
}

/// What the agent's stream was told to press since the last look.
fn pressed(world: &mut World) -> String {
    let media = std::mem::take(&mut world.media);
    let key = |command: &MediaCommand| match command {
        MediaCommand::Press { stream: StreamId(2), event } => Some(event.digit.to_char()),
        _ => None,
    };
    media.iter().filter_map(key).collect()
}

/// The bodies of the INFOs that the agent's phone got, each answered.
fn informed(world: &mut World) -> Vec<(String, String)> {
    let mut found = Vec::new();
    loop {
        let mut infos = world.sent_to(PHONE);
        infos.dedup(); // repetitions over UDP
        if infos.is_empty() {
            return found;
        }
        for info in infos {
            assert!(info.starts_with("INFO sip:1001@"), "{info}");
            let request = parse(&info);
            let kind = request.headers.get(sip::message::Name::ContentType).unwrap().to_owned();
            found.push((kind, String::from_utf8(request.body.to_vec()).unwrap()));
            world.receive(PHONE, &reply(&request, "200 OK", ""));
        }
    }
}

fn configured(world: &World, stream: StreamId) -> StreamConfig {
    let config = |command: &MediaCommand| match command {
        MediaCommand::Configure { stream: of, config } if *of == stream => Some((**config).clone()),
        _ => None,
    };
    world.media.iter().rev().find_map(config).unwrap()
}

#[test]
fn every_form_in_rtp_becomes_info_where_the_leg_wants_it() {
    for (phone, kind, body) in [
        (DtmfForm::Info, "application/dtmf-relay", "Signal=5\r\nDuration=200\r\n"),
        (DtmfForm::InfoPlain, "application/dtmf", "5"),
    ] {
        for form in [Form::Events, Form::InBand] {
            let (mut world, _) = call(DtmfForm::Auto, phone);
            press(&mut world, '5', form);
            assert_eq!(informed(&mut world), [(kind.to_owned(), body.to_owned())], "{form:?}");
            assert_eq!(pressed(&mut world), "");
        }
        let (mut world, ok) = call(DtmfForm::Auto, phone);
        inform(&mut world, '5', 2, &ok);
        assert_eq!(informed(&mut world), [(kind.to_owned(), body.to_owned())], "INFO to INFO");
    }
}

#[test]
fn info_is_pressed_in_rtp_where_the_leg_has_no_info() {
    for phone in [DtmfForm::Auto, DtmfForm::Rfc4733, DtmfForm::InBand] {
        let (mut world, ok) = call(DtmfForm::Auto, phone);
        inform(&mut world, '5', 2, &ok);
        assert_eq!((pressed(&mut world), informed(&mut world)), ("5".to_owned(), vec![]));
        // What came in RTP the engine has passed on already.
        press(&mut world, '6', Form::Events);
        assert_eq!((pressed(&mut world), informed(&mut world)), (String::new(), vec![]));
    }
}

#[test]
fn a_phone_that_tells_in_two_forms_is_heard_once() {
    let (mut world, ok) = call(DtmfForm::Auto, DtmfForm::Info);
    press(&mut world, '5', Form::InBand);
    inform(&mut world, '5', 2, &ok);
    assert_eq!(informed(&mut world).len(), 1, "tones and INFO of one press");
    assert!(!configured(&world, CUSTOMER).keys.in_band, "tones are not listened to any more");
    press(&mut world, '6', Form::Events);
    inform(&mut world, '6', 3, &ok);
    assert_eq!(informed(&mut world).len(), 1, "events and INFO of one press");
}

#[test]
fn keys_by_info_keep_their_order_and_their_bound() {
    // ATTACKS 21
    let (mut world, ok) = call(DtmfForm::Auto, DtmfForm::InfoPlain);
    for n in 0..1000u32 {
        press(&mut world, char::from_digit(n % 10, 10).unwrap(), Form::Events);
    }
    let told: String = informed(&mut world).into_iter().map(|(_, body)| body).collect();
    assert_eq!(told.len(), 33, "one in flight and 32 that wait");
    assert!(told.starts_with("0123456789012"), "{told}");
    hang_up(&mut world, &ok);
    world.run_for(Duration::from_secs(64));
    assert!(world.core.is_at_rest());
}

#[test]
fn a_phone_that_refuses_info_or_never_answers_keeps_its_call() {
    let (mut world, ok) = call(DtmfForm::Auto, DtmfForm::Info);
    press(&mut world, '1', Form::Events);
    let info = parse(&world.sent_to(PHONE).remove(0));
    world.receive(PHONE, &reply(&info, "501 Not Implemented", ""));
    press(&mut world, '2', Form::Events);
    press(&mut world, '3', Form::Events);
    world.run_for(Duration::from_secs(33));
    let sent = world.sent_to(PHONE);
    assert!(sent.iter().any(|info| info.contains("Signal=3")), "the next follows: {sent:?}");
    assert!(world.records.is_empty(), "the call goes on");
    hang_up(&mut world, &ok);
    world.run_for(Duration::from_secs(64));
    assert!(world.core.is_at_rest());
}

#[test]
fn streams_are_told_of_keys_as_their_legs_want_it() {
    let of = |trunk, phone| {
        let (world, ok) = call(trunk, phone);
        let has_events = ok.contains("telephone-event");
        (configured(&world, CUSTOMER).keys, configured(&world, StreamId(2)).keys, has_events)
    };
    let (customer, agent, has_events) = of(DtmfForm::Auto, DtmfForm::Auto);
    assert!(has_events && !customer.in_band && !agent.in_band, "both have events");
    let (customer, agent, has_events) = of(DtmfForm::InBand, DtmfForm::Info);
    assert!(!has_events && customer.in_band && !agent.in_band);
    assert_eq!((customer.form, agent.form), (KeyForm::Agreed, KeyForm::Signalled));
    let (customer, _, has_events) = of(DtmfForm::Rfc4733, DtmfForm::Info);
    assert!(has_events, "whatever the agent's phone has");
    assert_eq!(customer.form, KeyForm::Events);
    let mut config = config(DtmfForm::InBand, DtmfForm::Auto);
    config.media.dtmf_in_band = false;
    let mut world = World::with(config);
    talk(&mut world);
    assert!(!configured(&world, CUSTOMER).keys.in_band);
}
