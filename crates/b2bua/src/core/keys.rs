//! Keys that legs tell of, and those that programs press: each listener gets them in the form of its
//! own leg. What was told in RTP the engine has passed on already, unless it was kept for us.

use base::Time;
use call::control::Refusal;
use call::{CallId, LegId, ParticipantId};
use media::command::MediaCommand;
use media::dtmf::{Digit, DtmfEvent, Form};

use super::Core;
use crate::api::{CommandResult, Refused};
use crate::feature::Key;
use crate::io::Output;

/// Keys pressed by one command.
const KEYS_MAX: usize = 32;

impl Core {
    /// A leg has told of a key in this form.
    pub(super) fn key_told(
        &mut self,
        now: Time,
        leg: LegId,
        form: Form,
        key: Key,
        out: &mut Vec<Output>,
    ) {
        let Some(this) = self.legs.get_mut(&leg) else { return };
        let call = this.call();
        let Some(event) = this.take_key(now, form, key.event) else {
            // It has been told in another form.
            if key.is_ours && form != Form::Info && !self.codes.contains_key(&leg) {
                self.pass_keys(leg, out);
            }
            return;
        };
        tracing::debug!(%leg, ?form, "key");
        // A better form may be known now.
        self.touch(call);
        let key = Key { event, ..key };
        if self.may_dial_codes(leg) {
            self.dialled(now, leg, key, out);
        } else {
            self.pass_key(now, leg, key, out);
        }
    }

    /// A key goes to whoever hears its leg.
    pub(super) fn pass_key(&mut self, now: Time, leg: LegId, key: Key, out: &mut Vec<Output>) {
        let Some(call) = self.legs.get(&leg).map(|leg| leg.call()) else { return };
        let Some(state) = self.calls.get(&call) else { return };
        let Some(who) = state.call.leg(leg).map(|leg| leg.of) else { return };
        let partner = state.call.partner(leg);
        let listeners = if !key.is_ours {
            let by_info = |leg: &LegId| self.is_told_by_info(*leg);
            partner.filter(by_info).into_iter().collect()
        } else if state.call.is_talking() {
            state.call.keyed_to(who)
        } else {
            partner.into_iter().collect()
        };
        self.tell_key(now, call, who, key.event.digit.to_char(), out);
        for listener in listeners {
            self.press_towards(now, listener, key.event, out);
        }
    }

    fn is_told_by_info(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|leg| leg.party().dtmf(&self.config).info().is_some())
    }

    /// Presses a key towards a leg.
    fn press_towards(&mut self, now: Time, leg: LegId, event: DtmfEvent, out: &mut Vec<Output>) {
        let Some(this) = self.legs.get(&leg) else { return };
        match this.party().dtmf(&self.config).info() {
            Some(body) => self.with_leg(now, leg, out, |leg, cx| leg.tell_key(body, event, cx)),
            None => {
                let stream = Self::stream_of(leg);
                out.push(Output::Media(MediaCommand::Press { stream, event }));
            }
        }
    }

    /// The engine passes the keys of a leg on again.
    pub(super) fn pass_keys(&self, leg: LegId, out: &mut Vec<Output>) {
        let stream = Self::stream_of(leg);
        out.push(Output::Media(MediaCommand::PassKeys { stream }));
    }

    /// Presses keys towards whomever a participant talks to.
    pub(super) fn press(
        &mut self,
        now: Time,
        call: CallId,
        by: ParticipantId,
        keys: &str,
        out: &mut Vec<Output>,
    ) -> CommandResult {
        let digits: Option<Vec<Digit>> = keys.chars().map(Digit::from_char).collect();
        let digits = digits.filter(|keys| !keys.is_empty() && keys.len() <= KEYS_MAX);
        let digits = digits.ok_or_else(|| {
            Refused::new(Refusal::Validation, "keys are 1 to 32 of 0–9, *, #, A–D")
        })?;
        let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
        let heard = state.call.keyed_to(by);
        for digit in digits {
            for leg in &heard {
                self.press_towards(now, *leg, DtmfEvent::new(digit), out);
            }
        }
        self.done(now, call)
    }
}
