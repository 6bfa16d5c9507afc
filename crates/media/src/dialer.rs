//! Keys pressed towards one listener, in the form its leg has agreed on: named events (RFC 4733),
//! else tones in its codec.
//!
//! While there is something to press nothing else is sent to the listener.

use base::Time;

use crate::codec::{Encoder, Format, OpusSettings};
use crate::command::{Codec, KeyForm, Payload};
use crate::dtmf::{EventPacket, EventSender, Signal, ToneGenerator};
use crate::mouth::{PAYLOAD_MAX, own_codec};
use crate::worker::TICK;

/// Samples of a tick at most.
const SAMPLES_MAX: usize = 960;

/// Presses keys.
pub(crate) struct Dialer {
    payload: Payload,
    voice: Voice,
}

enum Voice {
    Events(EventSender),
    Tones { tones: ToneGenerator, encoder: Encoder, format: Format },
}

/// What is sent in one tick.
pub(crate) enum Dialled<'a> {
    Event(EventPacket),
    Tone(&'a [u8]),
}

impl Dialer {
    /// For a listener with these payloads; `None` when it can be told in no way of ours.
    pub(crate) fn new(payloads: &[Payload], form: KeyForm) -> Option<Self> {
        let events = event_payload(payloads);
        match form {
            KeyForm::Signalled => return None,
            KeyForm::Events if events.is_none() => return None,
            KeyForm::Events | KeyForm::Agreed => {}
        }
        if let Some(payload) = events {
            let voice = Voice::Events(EventSender::new(payload.clock_rate));
            return Some(Self { payload, voice });
        }
        let (payload, format) = own_codec(payloads)?;
        let encoder = Encoder::new(&format, OpusSettings::default()).ok()?;
        let tones = ToneGenerator::new(format.sample_rate);
        Some(Self { payload, voice: Voice::Tones { tones, encoder, format } })
    }

    /// Whether this dialer is what [`Self::new`] would make.
    pub(crate) fn is_for(&self, payloads: &[Payload], form: KeyForm) -> bool {
        let own = || Some(own_codec(payloads)?.0);
        let wanted = match form {
            KeyForm::Signalled => None,
            KeyForm::Events => event_payload(payloads),
            KeyForm::Agreed => event_payload(payloads).or_else(own),
        };
        wanted == Some(self.payload)
    }

    /// What its packets are.
    pub(crate) fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Whether the listener gets named events, which those of others can be passed on as.
    pub(crate) fn has_events(&self) -> bool {
        matches!(self.voice, Voice::Events(_))
    }

    /// Whether this signal is for the dialer although named events are passed on by themselves: it
    /// is busy, and what is passed on beside it would be lost.
    pub(crate) fn queues(&self, signal: Signal) -> bool {
        match (&self.voice, signal) {
            (Voice::Events(events), Signal::End(_)) => events.is_open(),
            (Voice::Events(_), Signal::Start { .. } | Signal::Press(_)) => !self.is_idle(),
            (Voice::Tones { .. }, _) => false,
        }
    }

    /// Takes a key that goes down, comes up, or both.
    pub(crate) fn signal(&mut self, signal: Signal) {
        match (&mut self.voice, signal) {
            // One too many is left out: the listener is far behind by then.
            (Voice::Events(events), Signal::Press(event)) => drop(events.press(event)),
            (Voice::Events(events), Signal::Start { digit, volume_dbm0 }) => {
                events.start(digit, volume_dbm0);
            }
            (Voice::Events(events), Signal::End(event)) => events.stop(event.duration_ms),
            (Voice::Tones { tones, .. }, Signal::Press(event)) => drop(tones.press(event)),
            (Voice::Tones { tones, .. }, Signal::Start { digit, volume_dbm0 }) => {
                tones.start(digit, volume_dbm0);
            }
            (Voice::Tones { tones, .. }, Signal::End(event)) => tones.stop(event.duration_ms),
        }
    }

    /// Whether nothing is pressed, nor will be.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.voice {
            Voice::Events(events) => events.is_idle(),
            Voice::Tones { tones, .. } => tones.is_idle(),
        }
    }

    /// What is to be sent in this tick.
    pub(crate) fn step<'a>(
        &mut self,
        now: Time,
        buffer: &'a mut [u8; PAYLOAD_MAX],
    ) -> Option<Dialled<'a>> {
        match &mut self.voice {
            Voice::Events(events) => {
                let clock = u128::from(self.payload.clock_rate);
                let units = |nanos: u128| (nanos * clock / 1_000_000_000) as u32;
                let at = units(now.as_nanos().into());
                events.poll(at, units(TICK.as_nanos())).map(Dialled::Event)
            }
            Voice::Tones { tones, encoder, format } => {
                let mut pcm = [0; SAMPLES_MAX];
                let len = format.samples_of_ms(TICK.as_millis() as usize);
                let pcm = pcm
                    .get_mut(..len)
                    .filter(|pcm| pcm.len() * 2 <= PAYLOAD_MAX || format.codec != Codec::L16)?;
                if !tones.fill(pcm) {
                    return None;
                }
                let len = encoder.encode(pcm, buffer).ok()?;
                Some(Dialled::Tone(&buffer[..len]))
            }
        }
    }
}

/// Named events; where there are several clocks, that of the codec (RFC 4733 §2.1).
fn event_payload(payloads: &[Payload]) -> Option<Payload> {
    let clock = own_codec(payloads).map(|(payload, _)| payload.clock_rate);
    let events = || payloads.iter().filter(|payload| payload.codec == Codec::TelephoneEvent);
    events().find(|payload| Some(payload.clock_rate) == clock).or_else(|| events().next()).copied()
}
