//! An interaction as the API shows it, derived from what is there.

use base::Time;
use call::{CallId, Facing, Leg, Participant, ParticipantId, Presence, Role, SegmentKind};

use super::ending::millis;
use super::{CallState, Core, noise};
use crate::api::{
    InteractionSnapshot, InteractionState, LegSnapshot, NoiseSnapshot, ParticipantRole,
    ParticipantSnapshot, ParticipantState, QualitySnapshot, RecordingState, SegmentSnapshot,
};
use crate::party::Party;

impl Core {
    /// One interaction, while it is there.
    pub(super) fn show(&self, now: Time, call: CallId) -> Option<InteractionSnapshot> {
        Some(self.show_state(now, call, self.calls.get(&call)?))
    }

    pub(super) fn show_state(
        &self,
        now: Time,
        call: CallId,
        state: &CallState,
    ) -> InteractionSnapshot {
        let times = state.call.times();
        let participants = state.call.participants().iter();
        InteractionSnapshot {
            id: self.record_id(call),
            state: interaction_state(&state.call),
            primary: state.call.primary().map(|who| who.to_string()),
            from: self.masked(&state.from.number),
            to: self.masked(&state.to),
            started: self.clock.wall(state.started),
            answered: times.answered.map(|at| self.clock.wall(at)),
            ended: times.ended.map(|at| self.clock.wall(at)),
            participants: participants.map(|one| self.show_participant(state, one)).collect(),
            recording: match state.call.recording() {
                call::Recording::Off => RecordingState::Off,
                call::Recording::On => RecordingState::On,
                call::Recording::Paused => RecordingState::Paused,
                call::Recording::Failed => RecordingState::Failed,
            },
            segments: self.show_segments(now, state),
            merged_into: None,
        }
    }

    fn show_segments(&self, now: Time, state: &CallState) -> Vec<SegmentSnapshot> {
        let segments = state.call.segments().iter();
        let shown = segments.map(|segment| SegmentSnapshot {
            kind: name_of(segment.kind).to_owned(),
            started: self.clock.wall(segment.from),
            duration_ms: millis(segment.to.unwrap_or(now) - segment.from),
            participants: segment.participants.iter().map(ToString::to_string).collect(),
        });
        shown.collect()
    }

    fn show_participant(&self, state: &CallState, one: &Participant) -> ParticipantSnapshot {
        let identity = state.identity(one.id, &self.config);
        let legs: Vec<_> = state.call.legs().iter().filter(|leg| leg.of == one.id).collect();
        ParticipantSnapshot {
            id: one.id.to_string(),
            role: match one.role {
                Role::Customer => ParticipantRole::Customer,
                Role::Agent => ParticipantRole::Agent,
                Role::NonAgent => ParticipantRole::NonAgent,
                Role::Supervisor => ParticipantRole::Supervisor,
            },
            state: participant_state(&state.call, one),
            primary: state.call.primary() == Some(one.id),
            party: Party::of_key(one.party).name(&self.config).to_owned(),
            number: self.masked(&identity.number),
            name: identity.display,
            holds: one.holds || legs.iter().any(|leg| leg.holds),
            muted: one.muted,
            mode: one.watch.map(|watch| watch.mode),
            joined: one.joined.map(|at| self.clock.wall(at)),
            noise_suppression: self.show_noise(state, &legs),
            legs: legs.iter().filter_map(|leg| self.show_leg(leg)).collect(),
            controls: state.call.controls(one.id),
        }
    }

    fn show_leg(&self, leg: &Leg) -> Option<LegSnapshot> {
        let sip = self.legs.get(&leg.leg)?;
        Some(LegSnapshot {
            id: leg.leg.0.to_string(),
            codec: sip.codec_name(),
            protection: sip.protection(),
            holds: leg.holds,
            quality: self.quality_of(leg.leg).map(|figures| QualitySnapshot {
                mos: figures.mos.into(),
                loss_percent: figures.loss_percent.into(),
                jitter_ms: sip.jitter_ms,
                round_trip_ms: figures.round_trip_ms.map(f64::from),
            }),
        })
    }

    fn show_noise(&self, state: &CallState, legs: &[&Leg]) -> NoiseSnapshot {
        // Of several lines the one that is furthest: one that leaves is told nothing any more.
        let stays = legs.iter().filter(|leg| leg.presence != Presence::Leaving);
        let removal = stays.max_by_key(|leg| leg.presence).and_then(|leg| {
            let switched = state.switched(leg.leg);
            let listener = state.listener(leg.leg);
            let (party, queue) = (Party::of_key(leg.party), state.queue_noise());
            noise::removal(&self.config, &party, listener.as_ref(), queue, switched)
        });
        NoiseSnapshot { enabled: removal.is_some_and(|removal| removal.enabled) }
    }

    /// V7: only the last four digits, where the policy says so.
    pub(super) fn masked(&self, number: &str) -> String {
        match self.config.interactions.mask_numbers {
            true => last_four(number),
            false => number.to_owned(),
        }
    }
}

fn interaction_state(call: &call::Call) -> InteractionState {
    if call.is_ending() {
        return InteractionState::Ended;
    }
    let Some(kind) = call.segment_kind() else { return InteractionState::Ringing };
    let consult = call.consulting();
    let has_answered = consult.is_some_and(|consult| {
        call.participant(consult.target).is_some_and(|target| target.joined.is_some())
    });
    match (kind, consult.map(|consult| consult.facing)) {
        (SegmentKind::PostCall, _) => InteractionState::PostCall,
        (SegmentKind::Transfer, _) => InteractionState::Transferring,
        (_, Some(_)) if !has_answered => InteractionState::ConsultRequested,
        (_, Some(Facing::Consulted)) => InteractionState::Consulting,
        (_, Some(Facing::Main)) => InteractionState::ConsultHeld,
        (SegmentKind::Hold, None) => InteractionState::Held,
        (SegmentKind::Conference, None) => InteractionState::Conference,
        (SegmentKind::Talk | SegmentKind::Consult, None) => InteractionState::Connected,
    }
}

fn participant_state(call: &call::Call, one: &Participant) -> ParticipantState {
    let has_leg = call.legs().iter().any(|leg| leg.of == one.id);
    let consult = call.consulting();
    let in_consult = consult.is_some_and(|consult| {
        consult.target == one.id
            || consult.initiator == one.id && consult.facing == Facing::Consulted
    });
    match () {
        () if call.is_ending() => ParticipantState::Leaving,
        () if one.joined.is_none() => ParticipantState::Ringing,
        () if one.role == Role::Supervisor => ParticipantState::Monitoring,
        () if one.holds && !has_leg => ParticipantState::LineReleased,
        () if is_on_hold(call, one.id) => ParticipantState::OnHold,
        () if in_consult => ParticipantState::Consulting,
        () => ParticipantState::Connected,
    }
}

fn is_on_hold(call: &call::Call, who: ParticipantId) -> bool {
    call::hearing::plan(call).any(|(leg, hears)| {
        hears == call::hearing::Hears::Hold && call.leg(leg).is_some_and(|leg| leg.of == who)
    })
}

fn name_of(kind: SegmentKind) -> &'static str {
    match kind {
        SegmentKind::Talk => "talk",
        SegmentKind::Hold => "hold",
        SegmentKind::Consult => "consult",
        SegmentKind::Transfer => "transfer",
        SegmentKind::Conference => "conference",
        SegmentKind::PostCall => "postCall",
    }
}

/// `***1234`.
fn last_four(number: &str) -> String {
    let from = number.chars().count().saturating_sub(4);
    let tail: String = number.chars().skip(from).collect();
    if from == 0 { "***".to_owned() } else { format!("***{tail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v7_only_the_last_four_digits_are_shown() {
        assert_eq!(last_four("+493012345678"), "***5678");
        assert_eq!(last_four("1001"), "***", "an inside number would be shown whole");
    }
}
