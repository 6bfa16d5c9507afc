//! From each form to each other, on the wire of both: which key, how long, how loud.

use std::time::Duration;

use base::Time;

use super::info::Body;
use super::*;
use crate::codec::g711::{linear_to_ulaw, ulaw_to_linear};

const FORMS: [Form; 3] = [Form::Events, Form::Info, Form::InBand];
/// What is lost of a tone's length at its ramps, milliseconds.
const RAMPS_MS: u32 = 10;

/// What a receiver makes of these signals when they come in this form.
fn through(form: Form, signals: &[Signal]) -> Vec<Signal> {
    let mut outlet = Outlet::new(form, 8000);
    let told: Vec<_> = signals.iter().filter_map(|signal| outlet.signal(*signal)).collect();
    match form {
        Form::Info => {
            let bodies = told.iter().map(|event| Body::Relay.print(event));
            bodies
                .filter_map(|body| Body::Relay.parse(body.as_bytes()))
                .map(Signal::Press)
                .collect()
        }
        Form::Events => {
            let mut receiver = EventReceiver::new(8000);
            let mut heard = vec![];
            for n in 0..60u32 {
                let now = Time::ZERO + Duration::from_millis(20 * u64::from(n));
                if let Some(packet) = outlet.poll(n * 160, 160) {
                    let EventPacket { timestamp, marker, payload } = packet;
                    heard.extend(receiver.packet(now, timestamp, marker, &payload));
                }
                heard.extend(receiver.tick(now));
            }
            heard
        }
        Form::InBand => {
            let mut detector = ToneDetector::new(8000).unwrap();
            let (mut pcm, mut heard) = ([0; 160], vec![]);
            for _ in 0..60 {
                pcm.fill(0);
                outlet.fill(&mut pcm);
                // As G.711 carries it.
                let pcm = pcm.map(|sample| ulaw_to_linear(linear_to_ulaw(sample)));
                detector.hear(&pcm, |signal| heard.push(signal));
            }
            heard
        }
    }
}

/// The one press in it.
fn press(signals: &[Signal]) -> DtmfEvent {
    let whole = signals.iter().filter_map(|signal| match signal {
        Signal::End(event) | Signal::Press(event) => Some(*event),
        Signal::Start { .. } => None,
    });
    let whole: Vec<_> = whole.collect();
    let [event] = whole[..] else { panic!("{signals:?}") };
    // What is told when the key goes down is no other level.
    for signal in signals {
        if let Signal::Start { volume_dbm0, .. } = signal {
            assert!(volume_dbm0.abs_diff(event.volume_dbm0) <= 1, "{signals:?}");
        }
    }
    event
}

#[test]
fn key_length_and_level_survive_every_way_through_the_forms() {
    for first in FORMS {
        for second in FORMS {
            for third in FORMS {
                for (duration_ms, volume_dbm0) in [(60, -5), (120, -10), (260, -20), (500, -27)] {
                    let digit = Digit::from_char('8').unwrap();
                    let sent = DtmfEvent { digit, duration_ms, volume_dbm0 };
                    let way = [first, second, third];
                    let all = way
                        .iter()
                        .fold(vec![Signal::Press(sent)], |signals, form| through(*form, &signals));
                    let got = press(&all);
                    let what = format!("{way:?}: {sent:?}, {got:?}");
                    assert_eq!(got.digit, digit, "{what}");
                    let tones = way.iter().filter(|form| **form == Form::InBand).count() as u32;
                    let shorter = got.duration_ms.abs_diff(duration_ms);
                    assert!(shorter <= RAMPS_MS * tones, "{what}");
                    // The body of an INFO has no level; −10 dBm0 is what is assumed then.
                    let told = way.contains(&Form::Info);
                    let wanted = if told { DEFAULT_VOLUME_DBM0 } else { volume_dbm0 };
                    let apart = u32::from(got.volume_dbm0.abs_diff(wanted));
                    assert!(apart <= tones, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_key_told_by_info_becomes_a_tone_and_an_event_of_its_length_at_the_usual_level() {
    let told = Body::Relay.parse(b"Signal=4\r\nDuration=250\r\n").unwrap();
    let tones = through(Form::InBand, &[Signal::Press(told)]);
    let events = through(Form::Events, &tones);
    let got = press(&events);
    assert_eq!(got.digit, told.digit);
    assert!(got.duration_ms.abs_diff(250) <= RAMPS_MS, "{got:?}");
    assert!(got.volume_dbm0.abs_diff(DEFAULT_VOLUME_DBM0) <= 1, "{got:?}");
}
