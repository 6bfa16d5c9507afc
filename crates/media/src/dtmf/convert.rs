//! From any form of DTMF to any other: what one leg says becomes one stream of presses, which each
//! listener gets in the form its leg has agreed on.

use std::time::Duration;

use base::Time;
use serde::{Deserialize, Serialize};

use super::{Digit, DtmfEvent, EventPacket, EventSender, Signal, ToneGenerator};

/// A press told in a second form within this time is the same press. A SIP INFO is sent when the
/// key is up, and may have to be repeated.
pub const SAME_PRESS: Duration = Duration::from_secs(1);

/// How a leg tells of a press; later ones are trusted more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Form {
    /// Tones among the speech.
    InBand,
    /// The body of a SIP INFO.
    Info,
    /// Named events in RTP (RFC 4733).
    Events,
}

/// What one leg says, in whatever forms it says it: many phones use two at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    /// The most trusted form heard so far: the leg's other forms do not count any more.
    best: Option<Form>,
    /// The press that began last, and in which form.
    latest: Option<(Digit, Time, Form)>,
    /// The form whose key is down.
    open: Option<Form>,
    /// The form whose press is a repetition, until it ends.
    swallowed: Option<Form>,
}

impl Intake {
    /// A signal in one form; `None` when it is not to be passed on because the leg has told of that
    /// press in another form, or tells them in a better one.
    pub fn take(&mut self, now: Time, form: Form, signal: Signal) -> Option<Signal> {
        let digit = match signal {
            Signal::Start { digit, .. } => digit,
            Signal::Press(event) => event.digit,
            Signal::End(_) => return self.end(form).then_some(signal),
        };
        if self.best.is_some_and(|best| form < best) {
            return None;
        }
        let is_start = matches!(signal, Signal::Start { .. });
        let repeats = self.latest.is_some_and(|(known, at, told_in)| {
            known == digit && told_in < form && now - at < SAME_PRESS
        });
        self.best = Some(form);
        if repeats {
            self.latest = None;
            self.swallowed = is_start.then_some(form);
            return None;
        }
        self.latest = Some((digit, now, form));
        if is_start {
            self.open = Some(form);
        }
        Some(signal)
    }

    /// Whether the leg has told of keys in a form that is trusted more than this one.
    pub fn knows_better_than(&self, form: Form) -> bool {
        self.best.is_some_and(|best| form < best)
    }

    /// Whether this end belongs to a start that was passed on.
    fn end(&mut self, form: Form) -> bool {
        if self.swallowed == Some(form) {
            self.swallowed = None;
            return false;
        }
        let passes = self.open == Some(form);
        if passes {
            self.open = None;
        }
        passes
    }
}

/// How one listener gets the presses it is to hear.
#[derive(Clone, Debug)]
pub enum Outlet {
    /// As named events.
    Events(EventSender),
    /// As bodies of SIP INFO.
    Info,
    /// As tones in its speech.
    InBand(ToneGenerator),
}

impl Outlet {
    /// In the form the leg has agreed on; `rate` is the clock rate of the named events, or the
    /// sampling rate of the speech; it does not matter for SIP INFO.
    pub fn new(form: Form, rate: u32) -> Self {
        match form {
            Form::Events => Self::Events(EventSender::new(rate)),
            Form::Info => Self::Info,
            Form::InBand => Self::InBand(ToneGenerator::new(rate)),
        }
    }

    /// Takes a signal; gives the press that the core is to send in a SIP INFO now.
    pub fn signal(&mut self, signal: Signal) -> Option<DtmfEvent> {
        match (self, signal) {
            (Self::Info, Signal::Start { .. }) => return None,
            (Self::Info, Signal::End(event) | Signal::Press(event)) => return Some(event),
            // A press too many is left out: the listener is far behind by then.
            (Self::Events(sender), Signal::Press(event)) => drop(sender.press(event)),
            (Self::Events(sender), Signal::Start { digit, volume_dbm0 }) => {
                sender.start(digit, volume_dbm0);
            }
            (Self::Events(sender), Signal::End(event)) => sender.stop(event.duration_ms),
            (Self::InBand(tones), Signal::Press(event)) => drop(tones.press(event)),
            (Self::InBand(tones), Signal::Start { digit, volume_dbm0 }) => {
                tones.start(digit, volume_dbm0);
            }
            (Self::InBand(tones), Signal::End(event)) => tones.stop(event.duration_ms),
        }
        None
    }

    /// [`EventSender::poll`]; `None` in the other forms.
    pub fn poll(&mut self, now: u32, ptime: u32) -> Option<EventPacket> {
        match self {
            Self::Events(sender) => sender.poll(now, ptime),
            Self::Info | Self::InBand(_) => None,
        }
    }

    /// [`ToneGenerator::fill`]; false in the other forms.
    pub fn fill(&mut self, pcm: &mut [i16]) -> bool {
        match self {
            Self::InBand(tones) => tones.fill(pcm),
            Self::Events(_) | Self::Info => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DEFAULT_VOLUME_DBM0, QUEUE_MAX};
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    fn event(char: char) -> DtmfEvent {
        DtmfEvent::new(Digit::from_char(char).unwrap())
    }

    fn start(char: char) -> Signal {
        Signal::Start { digit: event(char).digit, volume_dbm0: DEFAULT_VOLUME_DBM0 }
    }

    /// Which of the signals pass, in the order they come.
    fn passed(signals: &[(u64, Form, Signal)]) -> Vec<bool> {
        let mut intake = Intake::default();
        let pass = |(at, form, signal): &(u64, Form, Signal)| {
            intake.take(ms(*at), *form, *signal).is_some()
        };
        signals.iter().map(pass).collect()
    }

    #[test]
    fn a_press_told_twice_counts_once() {
        let (end, press) = (Signal::End(event('5')), Signal::Press(event('5')));
        // Events and INFO of the same phone.
        let both =
            [(0, Form::Events, start('5')), (160, Form::Events, end), (200, Form::Info, press)];
        assert_eq!(passed(&both), [true, true, false]);
        // The tones are found before the events come: the start that passed has its end.
        let tones_first = [
            (0, Form::InBand, start('5')),
            (30, Form::Events, start('5')),
            (160, Form::InBand, end),
            (190, Form::Events, end),
            (400, Form::InBand, start('6')),
            (420, Form::Events, start('6')),
            (500, Form::Events, Signal::End(event('6'))),
        ];
        assert_eq!(passed(&tones_first), [true, false, true, false, false, true, true]);
    }

    #[test]
    fn the_same_key_pressed_twice_counts_twice() {
        for form in [Form::InBand, Form::Info, Form::Events] {
            let press = Signal::Press(event('5'));
            assert_eq!(passed(&[(0, form, press), (100, form, press)]), [true, true], "{form:?}");
        }
        let later = [
            (0, Form::InBand, Signal::Press(event('5'))),
            (1000, Form::Info, Signal::Press(event('5'))),
        ];
        assert_eq!(passed(&later), [true, true]);
    }

    #[test]
    fn an_end_without_a_start_is_nothing() {
        assert_eq!(passed(&[(0, Form::Events, Signal::End(event('5')))]), [false]);
    }

    #[test]
    fn a_press_keeps_its_duration_and_volume_in_every_form() {
        let loud = DtmfEvent { duration_ms: 240, volume_dbm0: -5, ..event('8') };
        let live =
            [Signal::Start { digit: loud.digit, volume_dbm0: loud.volume_dbm0 }, Signal::End(loud)];
        for signals in [&live[..], &[Signal::Press(loud)]] {
            let mut info = Outlet::new(Form::Info, 0);
            let told: Vec<_> = signals.iter().filter_map(|signal| info.signal(*signal)).collect();
            assert_eq!(told, [loud]);

            let mut events = Outlet::new(Form::Events, 8000);
            signals.iter().for_each(|signal| assert_eq!(events.signal(*signal), None));
            let mut last = None;
            for n in 0..20 {
                last = events.poll(n * 160, 160).or(last);
            }
            assert_eq!(last.unwrap().payload, [8, 0x85, 0x07, 0x80], "240 ms at 8 kHz");

            let mut tones = Outlet::new(Form::InBand, 8000);
            signals.iter().for_each(|signal| assert_eq!(tones.signal(*signal), None));
            let mut pcm = [0; 8000];
            assert!(tones.fill(&mut pcm));
            let sounding = pcm.iter().rposition(|sample| *sample != 0).unwrap();
            assert!((1850..=1920).contains(&sounding), "{sounding}");
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut outlet = Outlet::new(Form::Events, 8000);
        for _ in 0..1000 {
            outlet.signal(Signal::Press(event('1')));
        }
        let mut markers = 0;
        for n in 0..10_000 {
            markers += usize::from(outlet.poll(n * 160, 160).is_some_and(|packet| packet.marker));
        }
        assert_eq!(markers, QUEUE_MAX);
    }
}
