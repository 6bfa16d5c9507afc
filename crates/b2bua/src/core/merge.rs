//! Interactions of one agent become one (F15): legs, streams and figures go over to the call that
//! stays; what is left of the other is its record.

use base::Time;
use call::control::Refusal;
use call::record::EndedBy;
use call::{CallId, ParticipantId, PartyKey};
use media::command::MediaCommand;

use super::{CallState, Core};
use crate::api::{CommandResult, Refused};
use crate::io::Output;
use crate::wire::Deadline;

impl Core {
    /// Joins other interactions of the agent `by` to this one: all of them, or none.
    pub(super) fn add_calls(
        &mut self,
        now: Time,
        call: CallId,
        by: ParticipantId,
        interactions: &[String],
        out: &mut Vec<Output>,
    ) -> CommandResult {
        let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
        let party = state.call.participant(by).ok_or(Refusal::NotFound)?.party;
        let mut others = Vec::new();
        let mut whole = state.call.clone();
        for interaction in interactions {
            let other = self.by_id(interaction)?;
            if other == call || others.contains(&other) {
                return Err(Refused::new(Refusal::Validation, "one interaction is named twice"));
            }
            let there = self.calls.get(&other).ok_or(Refusal::NotFound)?.call.clone();
            whole.absorb(now, there, party, &mut Vec::new())?;
            others.push(other);
        }
        if others.is_empty() {
            return Err(Refused::new(Refusal::Validation, "no interaction is named"));
        }
        for other in others {
            self.absorb(now, call, other, party, out)?;
        }
        self.done(now, call)
    }

    /// Joins one call to another: the machine of `call` takes in that of `other`.
    pub(super) fn absorb(
        &mut self,
        now: Time,
        call: CallId,
        other: CallId,
        party: PartyKey,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        let may = match (self.calls.get(&call), self.calls.get(&other)) {
            (Some(here), Some(there)) => here.call.may_absorb(&there.call, party),
            (None, _) | (_, None) => Err(Refusal::NotFound),
        };
        may?;
        let Some(there) = self.calls.remove(&other) else { return Ok(()) };
        for timer in there.call.timers() {
            self.wire.timers.disarm(Deadline::Call(other, timer));
        }
        if let Some(recording) = &there.recording {
            out.push(Self::stop_recording(other, recording));
        }
        tracing::info!(%call, %other, "joined to");
        // Who came to the other call by its trunk is named by that.
        let came = there.call.participants().iter().map(|one| one.id);
        let came = came.filter(|who| there.names.iter().all(|(named, _)| named != who));
        let came: Vec<_> = came.map(|who| (who, there.identity(who, &self.config))).collect();
        self.move_legs(call, other, out);
        self.record_of_joined(now, call, other, &there, out);
        self.tell_joined(now, call, other, &there, out);
        let CallState { call: machine, reaches, names, noise, counted, finished, closing, .. } =
            there;
        if let Some(state) = self.calls.get_mut(&call) {
            let offset = state.finished.len();
            for (of, at) in self.closing.values_mut().filter(|(of, _)| *of == other) {
                (*of, *at) = (call, *at + offset);
            }
            state.finished.extend(finished);
            state.closing += closing;
            state.reaches.extend(reaches);
            state.names.extend(names.into_iter().chain(came));
            state.noise.extend(noise);
            state.counted.extend(counted);
        }
        self.with_call(now, call, out, |state, now, commands| {
            let done = state.call.absorb(now, machine, party, commands);
            debug_assert!(done.is_ok(), "was asked before");
        });
        Ok(())
    }

    /// Legs and streams belong to the other call from now on.
    fn move_legs(&mut self, call: CallId, other: CallId, out: &mut Vec<Output>) {
        let bridge = Self::bridge_of(call);
        for leg in self.legs.values_mut().filter(|leg| leg.call() == other) {
            leg.join(call);
            out.push(Output::Media(MediaCommand::Move {
                stream: Self::stream_of(leg.id()),
                bridge,
            }));
        }
    }

    fn record_of_joined(
        &self,
        now: Time,
        call: CallId,
        other: CallId,
        there: &CallState,
        out: &mut Vec<Output>,
    ) {
        let mut record = self.call_record(now, other, there);
        record.ended_by = EndedBy::System;
        record.sip_status = 200;
        record.q850_cause = call::Cause::NORMAL.q850();
        record.reason = "joined to another call".to_owned();
        record.merged_into = Some(self.record_id(call));
        // Its legs are told of in the record of the call that has them now.
        record.legs.clear();
        out.push(Output::CallRecord(Box::new(record)));
    }

    /// The interaction of this id.
    pub(super) fn by_id(&self, interaction: &str) -> Result<CallId, Refused> {
        let number = interaction.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
        let call = number.map(CallId).filter(|call| self.record_id(*call) == interaction);
        let call = call.filter(|call| self.calls.contains_key(call));
        call.ok_or_else(|| Refused::new(Refusal::NotFound, "no such interaction"))
    }
}
