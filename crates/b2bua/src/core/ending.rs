//! Ends: of legs, calls, connections, and of the node's patience with those still up.

use base::{Masked, Time};
use call::record::{CallRecord, EndedBy, LegRecord, SegmentRecord, TimesRecord};
use call::{Call, CallId, Cause, LegEvent, LegId, SegmentKind};
use media::command::{MediaCommand, StreamId, StreamStats};
use sip::message::{StatusCode, Uri};
use sip::transport::FlowId;

use super::{CallState, Core};
use crate::io::Output;
use crate::sip_leg::SipLeg;
use crate::wire::Deadline;

impl Core {
    /// Ends a call from our side.
    pub(super) fn release_call(
        &mut self,
        now: Time,
        call: CallId,
        cause: Cause,
        out: &mut Vec<Output>,
    ) {
        self.with_call(now, call, out, |state, now, commands| {
            state.call.release(now, cause, commands);
        });
    }

    /// Nothing of a leg is left on the wire: free what it held.
    pub(super) fn forget_leg(&mut self, now: Time, leg: LegId, out: &mut Vec<Output>) {
        let Some(gone) = self.legs.remove(&leg) else { return };
        self.dialogs.remove(&gone.key());
        self.referring.remove(&leg);
        gone.disarm_all(&mut self.wire.timers);
        self.forget_code(leg);
        let stream = Self::stream_of(leg);
        out.push(Output::Media(MediaCommand::Close { stream }));
        match gone.has_media() {
            true => self.ports.give_back(now, gone.media().ports),
            false => self.ports.is_foreign(now, gone.media().ports),
        }
        self.uncount_leg(gone.call(), leg);
        let Some(state) = self.calls.get_mut(&gone.call()) else { return };
        state.closing += 1;
        self.closing.insert(stream, (gone.call(), state.finished.len()));
        let of = state.call.leg(leg).map(|leg| leg.of.to_string()).unwrap_or_default();
        state.finished.push((leg, leg_record(&gone, of, &self.config)));
        state.hearing.retain(|(listener, _)| *listener != stream);
    }

    /// The final figures of a stream.
    pub(super) fn stream_closed(
        &mut self,
        now: Time,
        stream: StreamId,
        stats: &StreamStats,
        out: &mut Vec<Output>,
    ) {
        let Some((call, leg)) = self.closing.remove(&stream) else { return };
        let Some(state) = self.calls.get_mut(&call) else { return };
        state.closing -= 1;
        let record = &mut state.finished[leg].1;
        record.packets_received = stats.packets_received;
        record.packets_sent = stats.packets_sent;
        record.packets_lost = stats.lost;
        record.jitter_ms = stats.jitter_ms as f32;
        record.strays = stats.strays_dropped;
        record.quality = super::quality::figures(stats);
        self.over(now, call, out);
    }

    /// Writes the record once the last leg is gone and the last figures are in.
    pub(super) fn over(&mut self, now: Time, call: CallId, out: &mut Vec<Output>) {
        let done = self.calls.get(&call).is_some_and(|state| {
            state.call.is_ending() && state.call.legs().is_empty() && state.closing == 0
        });
        if !done {
            return;
        }
        self.wire.timers.disarm(Deadline::Refusal(call));
        if let Some(state) = self.calls.remove(&call) {
            for counted in &state.counted {
                self.uncount(&counted.party);
            }
            if let Some(recording) = &state.recording {
                out.push(Self::stop_recording(call, recording));
            }
            let record = self.call_record(now, call, &state);
            tracing::info!(%call, from = %Masked(&record.from), to = %Masked(&record.to),
                status = record.sip_status, talk_ms = record.talk_ms, "over");
            out.push(Output::CallRecord(Box::new(record)));
        }
    }

    /// Unique on this node since its first start.
    pub(super) fn record_id(&self, call: CallId) -> String {
        format!("{:x}-{}", self.clock.wall.0, call.0)
    }

    fn segment_records(&self, call: &Call, at: Time) -> Vec<SegmentRecord> {
        let segments = call.segments().iter();
        let records = segments.map(|segment| SegmentRecord {
            kind: segment.kind,
            started: self.clock.wall(segment.from),
            duration_ms: millis(segment.to.unwrap_or(at) - segment.from),
            participants: segment.participants.iter().map(ToString::to_string).collect(),
        });
        records.collect()
    }

    pub(super) fn call_record(&self, now: Time, call: CallId, state: &CallState) -> CallRecord {
        let mut placed = state.finished.clone();
        placed.sort_by_key(|(leg, _)| *leg);
        let times = state.call.times();
        let ended = times.ended.unwrap_or(now);
        let outcome = state.call.outcome();
        let cause = outcome.map_or(Cause::INTERNAL, |outcome| outcome.cause);
        let talk = times.answered.map(|answered| ended - answered).unwrap_or_default();
        let current = state.recording.iter().filter(|recording| !recording.is_empty);
        let before = state.recordings.iter().map(|(_, file)| file);
        let recordings: Vec<_> =
            before.chain(current.map(|recording| &recording.file)).cloned().collect();
        CallRecord {
            id: self.record_id(call),
            started: self.clock.wall(state.started),
            ringing: times.ringing.map(|at| self.clock.wall(at)),
            answered: times.answered.map(|at| self.clock.wall(at)),
            ended: self.clock.wall(ended),
            talk_ms: millis(talk),
            hold_ms: millis(state.call.total(SegmentKind::Hold, ended)),
            recording: recordings.last().cloned(),
            recordings,
            from: state.from.number.clone(),
            to: state.to.clone(),
            ended_by: outcome.map_or(EndedBy::System, |outcome| outcome.by),
            sip_status: cause.status(),
            q850_cause: cause.q850(),
            reason: cause.text().to_owned(),
            legs: placed.into_iter().map(|(_, record)| record).collect(),
            segments: self.segment_records(&state.call, ended),
            times: times_record(&state.call, ended),
            merged_into: None,
        }
    }

    /// A trunk pointed elsewhere: follow it if its policy says so. ATTACKS 15: only the number is
    /// taken, from contacts that stay with the trunk, or from a `tel:` that the caller may dial.
    pub(super) fn redirected(
        &mut self,
        now: Time,
        leg: LegId,
        contacts: &[Uri],
        cause: Cause,
        out: &mut Vec<Output>,
    ) {
        let Some(this) = self.legs.get(&leg) else { return };
        let (call, party) = (this.call(), this.party().clone());
        let follow = self.redirect_targets(call, leg, &party, contacts);
        if let Some(state) = self.calls.get_mut(&call)
            && !follow.is_empty()
        {
            state.redirects += 1;
            for destination in follow.into_iter().rev() {
                if let Some((attempt, next)) = state.call.redirected(leg)
                    && let Some(reach) = state.reach_mut(attempt)
                {
                    reach.destinations.insert(next.min(reach.destinations.len()), destination);
                }
            }
        }
        self.with_call(now, call, out, |state, now, commands| {
            state.call.handle(now, leg, LegEvent::Refused(cause), commands);
        });
    }

    /// A connection is gone: bindings over it end, requests on it fail.
    pub(super) fn flow_closed(&mut self, now: Time, flow: FlowId, out: &mut Vec<Output>) {
        self.wire.transactions.flow_closed(now, flow, &mut self.wire.events);
        let mut changes = Vec::new();
        self.registrar.flow_closed(now, flow, &mut changes);
        self.registrations_changed(now, changes, out);
    }

    /// The drain's limit is over: hang up what is left.
    pub(super) fn drain_is_over(&mut self, now: Time, out: &mut Vec<Output>) {
        let calls: Vec<_> = self.calls.keys().copied().collect();
        for call in calls {
            self.release_call(now, call, Cause::NORMAL, out);
        }
    }

    /// Nobody is waited for any longer (ATTACKS 29: at the limit BYE to all).
    pub(super) fn give_up(&mut self, now: Time, out: &mut Vec<Output>) {
        self.drain_is_over(now, out);
        let legs: Vec<_> = self.legs.keys().copied().collect();
        for leg in legs {
            self.with_leg(now, leg, out, |leg, cx| leg.give_up(cx));
        }
    }

    /// The records of the calls that still wait for the last figures of their streams, which
    /// nobody will deliver any more. For the very end; nothing else is to follow.
    pub fn last_records(&mut self, now: Time) -> Vec<CallRecord> {
        let calls = std::mem::take(&mut self.calls);
        calls.iter().map(|(call, state)| self.call_record(now, *call, state)).collect()
    }

    /// Drops a call whose handling panicked, without asking its state anything: its far ends are
    /// told by their own timers, its media stops at once.
    pub(super) fn abandon(&mut self, now: Time, call: CallId, out: &mut Vec<Output>) {
        let legs: Vec<_> =
            self.legs.iter().filter(|(_, leg)| leg.call() == call).map(|(&id, _)| id).collect();
        for leg in legs {
            if let Some(leg) = self.legs.get_mut(&leg) {
                leg.abandon(now, &mut self.wire);
            }
            self.forget_leg(now, leg, out);
        }
        let timers = self.calls.get(&call).map(|state| state.call.timers().collect::<Vec<_>>());
        for timer in timers.unwrap_or_default() {
            self.wire.timers.disarm(Deadline::Call(call, timer));
        }
        self.wire.timers.disarm(Deadline::Refusal(call));
        if let Some(state) = self.calls.remove(&call) {
            for counted in &state.counted {
                self.uncount(&counted.party);
            }
            if let Some(recording) = &state.recording {
                out.push(Self::stop_recording(call, recording));
            }
            let mut record = self.call_record(now, call, &state);
            record.sip_status = StatusCode::SERVER_INTERNAL_ERROR.0;
            out.push(Output::CallRecord(Box::new(record)));
        }
    }
}

fn leg_record(leg: &SipLeg, of: String, config: &crate::config::Config) -> LegRecord {
    LegRecord {
        side: leg.side(),
        participant: of,
        party: leg.party().name(config).to_owned(),
        sip_call_id: leg.key().0.into(),
        sip_status: leg.final_status(),
        codec: leg.codec_name(),
        protection: leg.protection(),
        packets_received: 0,
        packets_sent: 0,
        packets_lost: 0,
        jitter_ms: 0.0,
        strays: 0,
        quality: None,
    }
}

fn times_record(call: &Call, at: Time) -> TimesRecord {
    let total = |kind| millis(call.total(kind, at));
    TimesRecord {
        talk_ms: total(SegmentKind::Talk),
        hold_ms: total(SegmentKind::Hold),
        consult_ms: total(SegmentKind::Consult),
        transfer_ms: total(SegmentKind::Transfer),
        conference_ms: total(SegmentKind::Conference),
        post_call_ms: total(SegmentKind::PostCall),
    }
}

pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
