//! DTMF in the bodies of SIP INFO requests, as phones and gateways send it.
//!
//! Neither form has an RFC. `application/dtmf-relay` has a line for the signal and one for its
//! duration in milliseconds; `application/dtmf` has the digit alone.

use super::{DEFAULT_DURATION_MS, DEFAULT_VOLUME_DBM0, Digit, DtmfEvent, TONE_MAX_MS, TONE_MIN_MS};

/// Longest body that is read, bytes.
pub const BODY_MAX: usize = 256;

/// Which of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// `application/dtmf-relay`.
    Relay,
    /// `application/dtmf`.
    Plain,
}

impl Body {
    /// By the media type of a Content-Type header, parameters ignored; `None` for any other.
    pub fn of_type(content_type: &str) -> Option<Self> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let all = [Self::Relay, Self::Plain];
        all.into_iter().find(|form| form.media_type().eq_ignore_ascii_case(media_type))
    }

    /// For the Content-Type header.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Relay => "application/dtmf-relay",
            Self::Plain => "application/dtmf",
        }
    }

    /// The body that tells of a press.
    pub fn print(self, event: &DtmfEvent) -> String {
        let DtmfEvent { digit, duration_ms, .. } = event;
        match self {
            Self::Relay => format!("Signal={digit}\r\nDuration={duration_ms}\r\n"),
            Self::Plain => digit.to_string(),
        }
    }

    /// Reads a body; `None` when it tells of no press. Either form is taken for the other, as some
    /// phones mix them up.
    pub fn parse(self, body: &[u8]) -> Option<DtmfEvent> {
        let text = str::from_utf8(body.get(..body.len().min(BODY_MAX))?).ok()?;
        if body.len() > BODY_MAX {
            return None;
        }
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut fields = lines.map(|(name, value)| (name.trim(), value.trim()));
        let value_of = |wanted: &str| {
            fields.clone().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, v)| v)
        };
        let signal = value_of("signal");
        let duration = value_of("duration").and_then(|value| value.parse().ok());
        let digit = match signal {
            Some(signal) => digit(signal)?,
            None if fields.next().is_none() => character(text.trim())?,
            None => return None,
        };
        Some(DtmfEvent {
            digit,
            duration_ms: duration.unwrap_or(DEFAULT_DURATION_MS).clamp(TONE_MIN_MS, TONE_MAX_MS),
            volume_dbm0: DEFAULT_VOLUME_DBM0,
        })
    }
}

/// A character, or an event code in decimal as some gateways write `*` (10) and `#` (11).
fn digit(signal: &str) -> Option<Digit> {
    let is_code = signal.len() > 1 && signal.starts_with('1');
    let code = || signal.parse().ok().and_then(Digit::from_event);
    if is_code { code() } else { character(signal) }
}

fn character(signal: &str) -> Option<Digit> {
    let mut chars = signal.chars();
    let first = chars.next()?;
    chars.next().is_none().then(|| Digit::from_char(first)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> Option<(char, u32)> {
        let event = Body::Relay.parse(body.as_bytes())?;
        Some((event.digit.to_char(), event.duration_ms))
    }

    #[test]
    fn what_phones_send_is_read() {
        for (body, expected) in [
            ("Signal=5\r\nDuration=160\r\n", ('5', 160)),
            ("Signal=5\r\nDuration=160", ('5', 160)),
            ("signal = # \n duration = 250\n", ('#', 250)),
            ("Duration=300\r\nSignal=*\r\n", ('*', 300)),
            ("Signal=10\r\nDuration=100\r\n", ('*', 100)),
            ("Signal=11", ('#', DEFAULT_DURATION_MS)),
            ("Signal=16\r\n", ('!', DEFAULT_DURATION_MS)),
            ("Signal=d\r\nDuration=1\r\n", ('D', TONE_MIN_MS)),
            ("Signal=1\r\nDuration=4000000000\r\n", ('1', TONE_MAX_MS)),
            ("Signal=1\r\nDuration=soon\r\n", ('1', DEFAULT_DURATION_MS)),
            ("7", ('7', DEFAULT_DURATION_MS)),
            (" * \r\n", ('*', DEFAULT_DURATION_MS)),
        ] {
            assert_eq!(read(body), Some(expected), "{body:?}");
        }
    }

    #[test]
    fn what_is_no_digit_is_refused() {
        for body in
            ["", "Signal=", "Signal=55", "Signal=05", "Signal=x", "Signal=17", "12", "Duration=100"]
        {
            assert_eq!(read(body), None, "{body:?}");
        }
        assert_eq!(Body::Plain.parse(b"\xff"), None);
        assert_eq!(Body::Plain.parse(&[b' '; BODY_MAX + 1]), None);
    }

    #[test]
    fn both_forms_are_printed_and_known_by_their_type() {
        let event =
            DtmfEvent { duration_ms: 250, ..DtmfEvent::new(Digit::from_event(11).unwrap()) };
        assert_eq!(Body::Relay.print(&event), "Signal=#\r\nDuration=250\r\n");
        assert_eq!(Body::Plain.print(&event), "#");
        assert_eq!(Body::of_type("Application/DTMF-Relay; charset=utf-8"), Some(Body::Relay));
        assert_eq!(Body::of_type("application/dtmf"), Some(Body::Plain));
        assert_eq!(Body::of_type("application/sdp"), None);
    }

    proptest! {
        #[test]
        fn every_press_survives_the_wire(code in 0u8..17, duration_ms in TONE_MIN_MS..TONE_MAX_MS) {
            let digit = Digit::from_event(code).unwrap();
            let event = DtmfEvent { duration_ms, ..DtmfEvent::new(digit) };
            let relayed = Body::Relay.parse(Body::Relay.print(&event).as_bytes());
            prop_assert_eq!(relayed, Some(event));
            let plain = Body::Plain.parse(Body::Plain.print(&event).as_bytes());
            prop_assert_eq!(plain, Some(DtmfEvent::new(digit)));
        }

        #[test]
        fn random_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Body::Plain.parse(&body);
        }
    }
}
