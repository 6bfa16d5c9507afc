//! Keys in RTP and in SIP INFO.

use std::time::Duration;

use base::Time;
use media::dtmf::info::{BODY_MAX, Body};
use media::dtmf::{Digit, EventReceiver, LOST_END, Signal, Signals, TONE_MAX_MS, TONE_MIN_MS};

use crate::reader::Reader;

const STEPS_MAX: usize = 400;
/// Presses that may come at once, and the pause after which one more may (ATTACKS 21).
const BURST: usize = 16;
const PRESS_MIN: Duration = Duration::from_millis(80);

/// The first byte: the body of an INFO request, or packets of named events.
pub fn dtmf(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    match reader.below(3) {
        0 => body(reader.all()),
        _ => events(&mut reader),
    }
}

fn body(bytes: &[u8]) {
    for form in [Body::Relay, Body::Plain] {
        let Some(press) = form.parse(bytes) else { continue };
        assert!(bytes.len() <= BODY_MAX);
        assert!((TONE_MIN_MS..=TONE_MAX_MS).contains(&press.duration_ms));
        assert_eq!(Body::Relay.parse(Body::Relay.print(&press).as_bytes()), Some(press));
        let plain = Body::Plain.parse(Body::Plain.print(&press).as_bytes());
        assert_eq!(plain.map(|plain| plain.digit), Some(press.digit));
    }
    let _ = std::str::from_utf8(bytes).map(Body::of_type);
}

/// What is told of presses makes sense, whatever is sent.
#[derive(Default)]
struct Keys {
    down: Option<Digit>,
    presses: usize,
}

impl Keys {
    fn hear(&mut self, signal: Signal) {
        match signal {
            Signal::Start { digit, volume_dbm0 } => {
                assert!((-63..=0).contains(&volume_dbm0));
                assert!(self.down.replace(digit).is_none(), "two keys at once");
                self.presses += 1;
            }
            Signal::End(press) => assert_eq!(self.down.take(), Some(press.digit)),
            Signal::Press(_) => {
                assert!(self.down.is_none(), "a press within another");
                self.presses += 1;
            }
        }
    }

    fn hear_all(&mut self, signals: Signals) {
        signals.into_iter().for_each(|signal| self.hear(signal));
    }
}

fn events(reader: &mut Reader<'_>) {
    let rate = *reader.pick(&[8000, 48_000, 1, u32::MAX]);
    let mut receiver = EventReceiver::new(rate);
    let mut keys = Keys::default();
    let (mut now, mut timestamp) = (Time::ZERO, 0_u32);
    for _ in 0..STEPS_MAX {
        if reader.is_empty() {
            break;
        }
        match reader.below(8) {
            0 => receiver.reset().into_iter().for_each(|signal| keys.hear(signal)),
            1 => now = now + Duration::from_millis(reader.number().into()),
            2 => timestamp = reader.word(),
            3 => timestamp = timestamp.wrapping_add(reader.number().into()),
            4 => {
                let payload = reader.some(40);
                keys.hear_all(receiver.packet(now, timestamp, reader.one_in(4), payload));
            }
            _ => {
                let payload = [reader.byte() % 18, reader.byte(), reader.byte(), reader.byte()];
                keys.hear_all(receiver.packet(now, timestamp, reader.one_in(4), &payload));
            }
        }
        now = now + Duration::from_millis(20);
        receiver.tick(now).into_iter().for_each(|signal| keys.hear(signal));
        assert_eq!(receiver.pressed().map(|press| press.digit), keys.down);
        let earned = (now - Time::ZERO).as_nanos() / PRESS_MIN.as_nanos();
        assert!(keys.presses <= BURST + earned as usize, "{} presses", keys.presses);
    }
    receiver.tick(now + LOST_END).into_iter().for_each(|signal| keys.hear(signal));
    assert!(keys.down.is_none(), "a key stays down");
}
