//! An interaction as the API shows it, derived from what is there.

use base::Time;
use call::control::Controls;
use call::{CallId, Participant, Presence, Side};

use super::{CallState, Core, noise};
use crate::api::{
    InteractionSnapshot, InteractionState, LegSnapshot, NoiseSnapshot, ParticipantRole,
    ParticipantSnapshot, ParticipantState, RecordingState,
};
use crate::party::Party;

impl Core {
    /// One interaction, while it is there.
    pub(super) fn show(&self, now: Time, call: CallId) -> Option<InteractionSnapshot> {
        let state = self.calls.get(&call)?;
        let times = state.call.times();
        let participants = state.call.participants();
        let holds = participants.iter().any(|party| party.holds);
        Some(InteractionSnapshot {
            id: self.record_id(call),
            state: match () {
                () if state.call.is_ending() => InteractionState::Ended,
                () if !state.call.is_talking() => InteractionState::Ringing,
                () if holds => InteractionState::Held,
                () => InteractionState::Connected,
            },
            primary: None,
            from: self.masked(&state.from.number),
            to: self.masked(&state.to),
            started: self.clock.wall(state.started),
            answered: times.answered.map(|at| self.clock.wall(at)),
            ended: times.ended.map(|at| self.clock.wall(at)),
            participants: participants
                .iter()
                .filter_map(|party| self.show_participant(now, state, party))
                .collect(),
            recording: match &state.recording {
                Some(_) => RecordingState::On,
                None => RecordingState::Off,
            },
            segments: Vec::new(),
            merged_into: None,
        })
    }

    fn show_participant(
        &self,
        _now: Time,
        state: &CallState,
        participant: &Participant,
    ) -> Option<ParticipantSnapshot> {
        let leg = self.legs.get(&participant.leg)?;
        let (number, name) = match participant.side {
            Side::Caller => (state.from.number.as_str(), state.from.display.as_str()),
            Side::Callee => (state.to.as_str(), ""),
        };
        let switched = state.noise.iter().find(|(of, _)| *of == leg.id()).map(|(_, on)| *on);
        let partner = state.call.partner(leg.id()).and_then(|partner| self.legs.get(&partner));
        let listener = partner.map(|partner| partner.party());
        let removal = noise::removal(&self.config, leg.party(), listener, switched);
        Some(ParticipantSnapshot {
            id: participant.leg.0.to_string(),
            role: match leg.party() {
                Party::Extension(_) => ParticipantRole::Agent,
                Party::Trunk(_) => ParticipantRole::Customer,
            },
            state: match participant.presence {
                Presence::Invited | Presence::Ringing | Presence::Early => {
                    ParticipantState::Ringing
                }
                Presence::Connected => ParticipantState::Connected,
                Presence::Leaving => ParticipantState::Leaving,
            },
            primary: false,
            party: leg.party().name(&self.config).to_owned(),
            number: self.masked(number),
            name: name.to_owned(),
            holds: participant.holds,
            muted: false,
            mode: None,
            joined: None,
            legs: vec![LegSnapshot {
                id: leg.id().0.to_string(),
                codec: leg.codec_name(),
                holds: participant.holds,
                quality: None,
            }],
            noise_suppression: NoiseSnapshot {
                enabled: removal.is_some_and(|removal| removal.enabled),
            },
            controls: Controls::new(),
        })
    }

    /// V7: only the last four digits, where the policy says so.
    pub(super) fn masked(&self, number: &str) -> String {
        match self.config.interactions.mask_numbers {
            true => last_four(number),
            false => number.to_owned(),
        }
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
