//! DTMF in its three forms, and from each of them to the others.
//!
//! ```text
//! RFC 4733 packets ─▶ EventReceiver ─┐                       ┌─▶ EventSender ─▶ RFC 4733 packets
//! SIP INFO bodies ──▶ info::parse ───┼─▶ Intake ─ Signal ─▶ Outlet ─▶ info::print ─▶ bodies
//! speech samples ───▶ ToneDetector ──┘                       └─▶ ToneGenerator ─▶ samples
//! ```
//! Knows the forms and nothing of calls: which leg speaks which form is decided by offer/answer.

mod convert;
mod detect;
mod generate;
pub mod info;
mod queue;
mod receive;
mod send;
mod set;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use convert::{Form, Intake, Outlet, SAME_PRESS};
pub use detect::ToneDetector;
pub use generate::ToneGenerator;
pub use receive::{EventReceiver, LOST_END};
pub use send::{EventPacket, EventSender};
pub use set::Digits;

/// Shortest tone every receiver must hear, milliseconds (ITU-T Q.24); shorter ones are lengthened.
pub const TONE_MIN_MS: u32 = 40;
/// Shortest pause after which the same digit counts again, milliseconds (ITU-T Q.24).
pub const PAUSE_MIN_MS: u32 = 40;
/// Longest press we send, milliseconds: a key that is stuck ends here.
pub const TONE_MAX_MS: u32 = 60_000;
/// Presses that wait to be sent, at most; one more is refused.
pub const QUEUE_MAX: usize = 32;
/// Duration of a press when its sender does not tell.
pub const DEFAULT_DURATION_MS: u32 = 160;
/// Power of both tones together when the sender does not tell, dBm0.
pub const DEFAULT_VOLUME_DBM0: i8 = -10;

/// A key: one of the sixteen of ITU-T Q.23, or a hook flash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "char", into = "char")]
pub struct Digit(u8);

/// In the order of the event codes (RFC 4733 §3.2).
const CHARS: [char; 17] =
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D', '!'];
/// Hertz of the rows of the keypad (ITU-T Q.23).
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
/// Hertz of its columns.
const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
/// Event codes by row and column.
const KEYPAD: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];

impl Digit {
    /// A short opening of the loop: event 16, which has no tones.
    pub const FLASH: Self = Self(16);

    /// From an event code (RFC 4733 §3.2); `None` for events that are no DTMF.
    pub const fn from_event(code: u8) -> Option<Self> {
        if code <= Self::FLASH.0 { Some(Self(code)) } else { None }
    }

    /// From `0`–`9`, `*`, `#`, `A`–`D` (any case), or `!` for a hook flash.
    pub fn from_char(char: char) -> Option<Self> {
        let char = char.to_ascii_uppercase();
        CHARS.iter().position(|known| *known == char).map(|code| Self(code as u8))
    }

    /// Its event code, 0–16.
    pub const fn event(self) -> u8 {
        self.0
    }

    /// As [`Self::from_char`] reads it.
    pub const fn to_char(self) -> char {
        CHARS[self.0 as usize]
    }

    /// Low and high tone, hertz; `None` for a hook flash.
    pub fn tones(self) -> Option<(f64, f64)> {
        let key = |row: &[u8; 4]| row.iter().position(|code| *code == self.0);
        let row = KEYPAD.iter().position(|row| key(row).is_some())?;
        Some((ROWS[row], COLUMNS[key(&KEYPAD[row])?]))
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_char())
    }
}

/// What a caller types may be a card number: a digit in a log would be one (ATTACKS 27).
impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit(_)")
    }
}

impl From<Digit> for char {
    fn from(digit: Digit) -> Self {
        digit.to_char()
    }
}

impl TryFrom<char> for Digit {
    type Error = &'static str;

    fn try_from(char: char) -> Result<Self, Self::Error> {
        Self::from_char(char).ok_or("not a DTMF digit")
    }
}

/// A whole press of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtmfEvent {
    /// Which key.
    pub digit: Digit,
    /// How long, milliseconds.
    pub duration_ms: u32,
    /// Power of both tones together, dBm0: 0 to −63.
    pub volume_dbm0: i8,
}

impl DtmfEvent {
    /// A press of usual length and level.
    pub const fn new(digit: Digit) -> Self {
        Self { digit, duration_ms: DEFAULT_DURATION_MS, volume_dbm0: DEFAULT_VOLUME_DBM0 }
    }
}

/// What happens on the way of a press.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// A key goes down; [`Signal::End`] follows.
    Start {
        /// Which key.
        digit: Digit,
        /// Power of both tones together, dBm0.
        volume_dbm0: i8,
    },
    /// The key that went down is up again.
    End(DtmfEvent),
    /// A press told all at once.
    Press(DtmfEvent),
}

/// Most signals that one step brings: the end of a press, and what a packet of several events tells;
/// or those of nine blocks of tones, the longest packet there is.
pub const SIGNALS_MAX: usize = 10;

/// The signals of one step, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals([Option<Signal>; SIGNALS_MAX]);

impl Signals {
    pub(crate) fn push(&mut self, signal: Signal) {
        let free = self.0.iter_mut().find(|place| place.is_none());
        debug_assert!(free.is_some(), "no step has more than {SIGNALS_MAX}");
        if let Some(free) = free {
            *free = Some(signal);
        }
    }
}

impl IntoIterator for Signals {
    type Item = Signal;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Signal>, SIGNALS_MAX>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

/// A duration in units of a clock, in milliseconds.
fn to_ms(units: u64, clock_rate: u32) -> u32 {
    u32::try_from(units * 1000 / u64::from(clock_rate)).unwrap_or(u32::MAX)
}

/// Milliseconds in units of a clock.
fn to_units(ms: u32, clock_rate: u32) -> u64 {
    u64::from(ms) * u64::from(clock_rate) / 1000
}

#[cfg(test)]
mod conversion_tests;
#[cfg(test)]
mod event_tests;
#[cfg(test)]
mod tone_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_code_its_character_and_its_tones() {
        for (code, char) in CHARS.into_iter().enumerate() {
            let digit = Digit::from_event(code as u8).unwrap();
            assert_eq!(Digit::from_char(char), Some(digit));
            assert_eq!((digit.event(), digit.to_char()), (code as u8, char));
            assert_eq!(digit.tones().is_some(), char != '!');
        }
        let tones = |char| Digit::from_char(char).unwrap().tones().unwrap();
        assert_eq!(tones('1'), (697.0, 1209.0));
        assert_eq!(tones('5'), (770.0, 1336.0));
        assert_eq!(tones('0'), (941.0, 1336.0));
        assert_eq!(tones('#'), (941.0, 1477.0));
        assert_eq!(tones('d'), (941.0, 1633.0));
        assert_eq!(Digit::from_event(17), None);
        assert_eq!(Digit::from_char('E'), None);
    }

    #[test]
    fn a_digit_is_written_as_its_character_and_hidden_in_logs() {
        let event = DtmfEvent::new(Digit::from_char('7').unwrap());
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(json, r#"{"digit":"7","duration_ms":160,"volume_dbm0":-10}"#);
        assert_eq!(serde_json::from_str::<DtmfEvent>(&json).unwrap(), event);
        assert!(serde_json::from_str::<Digit>("\"x\"").is_err());
        assert!(!format!("{event:?}").contains('7'));
    }
}
