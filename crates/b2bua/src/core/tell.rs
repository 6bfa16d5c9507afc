//! What happens in calls, as events for whoever listens; nothing is made when nobody does.

use base::Time;
use call::{CallId, Cause, Happening, ParticipantId, What};

use super::{CallState, Core};
use crate::api::{EventData, EventKind, InteractionEvent, InteractionState, QualityData};
use crate::io::{Event, Output};
use crate::party::Party;

/// One event in the making.
struct Telling {
    kind: EventKind,
    who: Option<ParticipantId>,
    cause: Option<Cause>,
    /// Why, in other words than a cause's.
    reason: Option<String>,
    automatic: Option<bool>,
    key: Option<char>,
    quality: Option<QualityData>,
}

impl Telling {
    fn new(kind: EventKind, who: Option<ParticipantId>) -> Self {
        Self { kind, who, cause: None, reason: None, automatic: None, key: None, quality: None }
    }
}

impl Core {
    pub(super) fn tell_created(&self, now: Time, call: CallId, out: &mut Vec<Output>) {
        self.tell_event(now, call, Telling::new(EventKind::Created, None), out);
    }

    /// Noise removal of somebody was switched (N3).
    pub(super) fn tell_noise(
        &self,
        now: Time,
        call: CallId,
        who: ParticipantId,
        out: &mut Vec<Output>,
    ) {
        let kind = EventKind::NoiseSuppressionChanged;
        self.tell_event(now, call, Telling::new(kind, Some(who)), out);
    }

    /// A key was pressed.
    pub(super) fn tell_key(
        &self,
        now: Time,
        call: CallId,
        who: ParticipantId,
        key: char,
        out: &mut Vec<Output>,
    ) {
        let telling = Telling::new(EventKind::LegDtmf, Some(who));
        self.tell_event(now, call, Telling { key: Some(key), ..telling }, out);
    }

    /// The recording could not go on; what is left of its file is told apart.
    pub(super) fn tell_recording_failed(
        &self,
        now: Time,
        call: CallId,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        let telling = Telling::new(EventKind::RecordingStopped, None);
        self.tell_event(now, call, Telling { reason: Some(reason), ..telling }, out);
    }

    /// A phone that was called has answered.
    pub(super) fn tell_answered(
        &self,
        now: Time,
        call: CallId,
        who: Option<ParticipantId>,
        out: &mut Vec<Output>,
    ) {
        self.tell_event(now, call, Telling::new(EventKind::LegAnswered, who), out);
    }

    /// A phone is gone, its call goes on: whoever shows the call shows that phone no longer.
    pub(super) fn tell_gone(
        &self,
        now: Time,
        call: CallId,
        who: Option<ParticipantId>,
        out: &mut Vec<Output>,
    ) {
        if self.calls.get(&call).is_some_and(|state| !state.call.is_ending()) {
            self.tell_event(now, call, Telling::new(EventKind::LegHungUp, who), out);
        }
    }

    /// A leg of somebody sounds bad, or well again.
    pub(super) fn tell_quality(
        &self,
        now: Time,
        call: CallId,
        who: Option<ParticipantId>,
        quality: QualityData,
        out: &mut Vec<Output>,
    ) {
        let telling = Telling::new(EventKind::LegQuality, who);
        self.tell_event(now, call, Telling { quality: Some(quality), ..telling }, out);
    }

    /// An interaction is over because its participants are in another one now (F15).
    pub(super) fn tell_joined(
        &self,
        now: Time,
        call: CallId,
        other: CallId,
        there: &CallState,
        out: &mut Vec<Output>,
    ) {
        if !self.config.interactions.events {
            return;
        }
        let mut interaction = self.show_state(now, other, there);
        interaction.state = InteractionState::Ended;
        interaction.ended = Some(self.clock.wall(now));
        interaction.merged_into = Some(self.record_id(call));
        let data = EventData {
            interaction,
            participant: None,
            reason: Some("joined to another call".to_owned()),
            sip_status: None,
            automatic: None,
            mode: None,
            key: None,
            quality: None,
        };
        let time = self.clock.wall(now);
        let event = InteractionEvent { time, kind: EventKind::Ended, agent_id: None, data };
        out.push(Output::Event(Event::Interaction(Box::new(event))));
    }

    /// Passes on what the machine says.
    pub(super) fn tell(
        &self,
        now: Time,
        call: CallId,
        happening: Happening,
        out: &mut Vec<Output>,
    ) {
        if !self.config.interactions.events {
            return;
        }
        let Happening { what, who, cause } = happening;
        let automatic =
            if let What::RecordingResumed { automatic } = what { Some(automatic) } else { None };
        let telling = Telling { cause, automatic, ..Telling::new(kind(what), who) };
        self.tell_event(now, call, telling, out);
        if what == What::Ringing && self.is_offer(call, who) {
            self.tell_event(now, call, Telling::new(EventKind::Offered, who), out);
        }
    }

    fn is_offer(&self, call: CallId, who: Option<ParticipantId>) -> bool {
        let one = self.calls.get(&call).and_then(|state| state.call.participant(who?));
        one.is_some_and(|one| one.role == call::Role::Agent)
    }

    fn tell_event(&self, now: Time, call: CallId, telling: Telling, out: &mut Vec<Output>) {
        if !self.config.interactions.events {
            return;
        }
        let Some(interaction) = self.show(now, call) else { return };
        let Some(state) = self.calls.get(&call) else { return };
        let one = telling.who.and_then(|who| state.call.participant(who));
        let primary = state.call.primary().and_then(|who| state.call.participant(who));
        let agents = [one, primary].into_iter().flatten();
        let agent_id = agents
            .filter_map(|one| Party::of_key(one.party).extension())
            .map(|at| self.config.extensions[at].number.clone())
            .next();
        let mode = one.and_then(|one| one.watch).map(|watch| watch.mode);
        let data = EventData {
            interaction,
            participant: telling.who.map(|who| who.to_string()),
            reason: telling.reason.or_else(|| telling.cause.map(|cause| cause.text().to_owned())),
            sip_status: telling.cause.map(Cause::status),
            automatic: telling.automatic,
            mode,
            key: telling.key,
            quality: telling.quality,
        };
        let (time, kind) = (self.clock.wall(now), telling.kind);
        let event = InteractionEvent { time, kind, agent_id, data };
        out.push(Output::Event(Event::Interaction(Box::new(event))));
    }
}

fn kind(what: What) -> EventKind {
    match what {
        What::Ringing => EventKind::LegRinging,
        What::Accepted => EventKind::Accepted,
        What::Held => EventKind::Held,
        What::Resumed => EventKind::Resumed,
        What::Ended => EventKind::Ended,
        What::OwnerChanged => EventKind::OwnerChanged,
        What::PostCall => EventKind::PostCall,
        What::ConsultRequested => EventKind::ConsultRequested,
        What::ConsultStarted => EventKind::ConsultStarted,
        What::ConsultHeld => EventKind::ConsultHeld,
        What::ConsultResumed => EventKind::ConsultResumed,
        What::ConsultEnded => EventKind::ConsultEnded,
        What::ConsultFailed => EventKind::ConsultFailed,
        What::TransferStarted => EventKind::TransferStarted,
        What::TransferCompleted => EventKind::TransferCompleted,
        What::TransferFailed => EventKind::TransferFailed,
        What::ConferenceStarted => EventKind::ConferenceStarted,
        What::ParticipantAdded => EventKind::ParticipantAdded,
        What::ParticipantLeft => EventKind::ParticipantLeft,
        What::ConferenceEnded => EventKind::ConferenceEnded,
        What::Muted => EventKind::Muted,
        What::RecordingStarted => EventKind::RecordingStarted,
        What::RecordingPaused => EventKind::RecordingPaused,
        What::RecordingResumed { .. } => EventKind::RecordingResumed,
        What::RecordingStopped => EventKind::RecordingStopped,
        What::MonitoringStarted => EventKind::MonitoringStarted,
        What::MonitoringModeChanged => EventKind::MonitoringModeChanged,
        What::MonitoringEnded => EventKind::MonitoringEnded,
    }
}
