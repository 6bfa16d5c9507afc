//! Feature codes of agents: their keys reach nobody before it is clear that they are no code, and a
//! code asks for what the API asks for, in the same way and by the same controls (H3).

use std::collections::VecDeque;

use base::Time;
use call::control::{Refusal, Verb};
use call::{Call, CallId, LegId, ParticipantId, Role};
use media::command::MediaCommand;
use media::dtmf::Digits;
use media::sound::SoundId;
use media::tone::ToneKind;

use super::Core;
use crate::api::{Act, DestinationType, Refused, To};
use crate::config::Config;
use crate::feature::{Dialled, Entry, Feature, Key};
use crate::io::Output;
use crate::sip_leg::SipLeg;
use crate::wire::Deadline;

/// What a code asks for.
enum Asked {
    /// This.
    Act(Act),
    /// Something that needs a number first.
    Number,
}

/// The first keys of codes, on lines whose keys may be some: those of agents in a call that is up.
/// Customers and non-agents dial none (C20, C26).
pub(super) fn kept_keys(config: &Config, call: &Call, leg: &SipLeg) -> Digits {
    let one = call.leg(leg.id()).and_then(|leg| call.participant(leg.of));
    let is_agent = one.is_some_and(|one| one.role == Role::Agent && one.joined.is_some());
    match is_agent && leg.is_up() && call.is_talking() {
        true => config.feature_codes.leading(),
        false => Digits::default(),
    }
}

impl Core {
    /// Whether the keys of a leg may be codes.
    pub(super) fn may_dial_codes(&self, leg: LegId) -> bool {
        let Some(leg) = self.legs.get(&leg) else { return false };
        let state = self.calls.get(&leg.call());
        state.is_some_and(|state| !kept_keys(&self.config, &state.call, leg).is_empty())
    }

    /// A key of an agent.
    pub(super) fn dialled(&mut self, now: Time, leg: LegId, key: Key, out: &mut Vec<Output>) {
        let config = self.config.clone();
        let known = self.codes.remove(&leg);
        let is_new = known.is_none();
        let mut entry = known.unwrap_or_else(|| Entry::Code(VecDeque::new()));
        let mut passed = Vec::new();
        let dialled = entry.key(&config.feature_codes, key, &mut passed);
        if is_new && dialled == Dialled::Nothing && !key.is_ours {
            return self.pass_key(now, leg, key, out); // as every other key
        }
        // No tone of ours sounds beside what is dialled now.
        let stream = Self::stream_of(leg);
        out.push(Output::Media(MediaCommand::Hush { stream }));
        self.dial_on(now, leg, (entry, dialled), passed, out);
    }

    /// An agent dials nothing more.
    pub(super) fn dials_no_more(&mut self, now: Time, leg: LegId, out: &mut Vec<Output>) {
        let Some(mut entry) = self.codes.remove(&leg) else { return };
        if !self.may_dial_codes(leg) {
            return; // it has hung up, and waits for the answer
        }
        let mut passed = Vec::new();
        let dialled = entry.silence(&mut passed);
        self.dial_on(now, leg, (entry, dialled), passed, out);
    }

    /// A leg is gone, with whatever was being dialled on it.
    pub(super) fn forget_code(&mut self, leg: LegId) {
        self.codes.remove(&leg);
        self.wire.timers.disarm(Deadline::Code(leg));
    }

    fn dial_on(
        &mut self,
        now: Time,
        leg: LegId,
        (entry, dialled): (Entry, Dialled),
        passed: Vec<Key>,
        out: &mut Vec<Output>,
    ) {
        for key in passed {
            self.pass_key(now, leg, key, out);
        }
        let timer = Deadline::Code(leg);
        if let Dialled::Waits(time) = dialled {
            self.wire.timers.arm(timer, now + time);
            self.codes.insert(leg, entry);
            return;
        }
        let Some((call, who)) = self.place_of(leg) else { return };
        let (feature, asked) = match dialled {
            Dialled::Code(feature) => (feature, self.asks(call, who, feature)),
            Dialled::Number(feature, number) => {
                (feature, Ok(Asked::Act(with_number(feature, number))))
            }
            Dialled::Nonsense(feature) => (feature, Err(Refusal::InvalidDialNumber)),
            Dialled::Nothing | Dialled::Waits(_) => return self.has_dialled(leg, out),
        };
        let act = match asked {
            Ok(Asked::Number) => {
                self.codes.insert(leg, Entry::Number(feature, String::new()));
                self.wire.timers.arm(timer, now + self.config.feature_codes.number_timeout);
                return self.sound(leg, ToneKind::Dial, out);
            }
            Ok(Asked::Act(act)) => Ok(act),
            Err(refusal) => Err(refusal),
        };
        self.has_dialled(leg, out);
        self.do_feature(now, (call, who, leg), feature, act, out);
    }

    /// Nothing is being dialled any more: keys reach the others again.
    fn has_dialled(&mut self, leg: LegId, out: &mut Vec<Output>) {
        self.wire.timers.disarm(Deadline::Code(leg));
        self.pass_keys(leg, out);
    }

    /// Does what was dialled, and lets the agent hear what comes of it. With a number the far end is
    /// heard next: that it rings.
    fn do_feature(
        &mut self,
        now: Time,
        (call, who, leg): (CallId, ParticipantId, LegId),
        feature: Feature,
        act: Result<Act, Refusal>,
        out: &mut Vec<Output>,
    ) {
        let done = match act {
            Ok(act) => {
                let rings = matches!(act, Act::Consult { .. } | Act::Transfer { .. });
                self.act(now, call, who, act, out).map(|_| rings)
            }
            Err(refusal) => Err(Refused::from(refusal)),
        };
        match done {
            Ok(true) => tracing::info!(%call, %leg, ?feature, "dialled"),
            Ok(false) => {
                tracing::info!(%call, %leg, ?feature, "dialled");
                self.sound(leg, ToneKind::Beep, out);
            }
            Err(refused) => {
                let (code, why) = (refused.code.code(), refused.detail);
                tracing::info!(%call, %leg, ?feature, code, why, "dialled in vain");
                self.sound(leg, ToneKind::Congestion, out);
                self.sound(leg, ToneKind::Congestion, out);
            }
        }
    }

    /// Plays a tone to an agent whose line is up.
    fn sound(&self, leg: LegId, tone: ToneKind, out: &mut Vec<Output>) {
        if self.legs.get(&leg).is_some_and(SipLeg::is_up) {
            let (stream, sound) = (Self::stream_of(leg), SoundId::Tone(tone));
            out.push(Output::Media(MediaCommand::Announce { stream, sound }));
        }
    }

    /// What a code asks for in the state of the call; the refusal of what it comes to otherwise.
    fn asks(&self, call: CallId, who: ParticipantId, feature: Feature) -> Result<Asked, Refusal> {
        let act = match feature {
            Feature::Transfer if self.allows(call, who, Verb::ConsultTransfer).is_ok() => {
                Act::ConsultTransfer
            }
            Feature::Transfer => {
                self.allows(call, who, Verb::Transfer)?;
                return Ok(Asked::Number);
            }
            Feature::Consult => {
                self.allows(call, who, Verb::Consult)?;
                return Ok(Asked::Number);
            }
            Feature::Toggle => Act::Toggle,
            Feature::Conference => self.all_together(call, who),
            Feature::EndConsult => self.either(call, who, Act::ConsultExit, Act::ConsultEnd),
            Feature::ExitConference => Act::ConferenceExit,
            Feature::Hold => self.either(call, who, Act::Resume, Act::Hold { release_line: false }),
            Feature::Record => {
                let ends = self.either(call, who, Act::RecordStop, Act::RecordPause);
                let goes_on = self.either(call, who, Act::RecordResume, ends);
                self.either(call, who, Act::RecordStart, goes_on)
            }
        };
        Ok(Asked::Act(act))
    }

    /// The consulted party into the call; without a consult, the agent's other calls (F15).
    fn all_together(&self, call: CallId, who: ParticipantId) -> Act {
        let merge = Act::ConsultConference;
        if self.allows(call, who, Verb::ConferenceAdd).is_err() {
            return merge;
        }
        let Some(here) = self.calls.get(&call).map(|state| &state.call) else { return merge };
        let Some(party) = here.participant(who).map(|one| one.party) else { return merge };
        let others = self
            .calls
            .iter()
            .filter(|(id, state)| **id != call && here.may_absorb(&state.call, party).is_ok());
        let interactions: Vec<_> = others.map(|(id, _)| self.record_id(*id)).collect();
        if interactions.is_empty() { merge } else { Act::ConferenceAdd { interactions } }
    }

    /// What is allowed of the two, else the second.
    fn either(&self, call: CallId, who: ParticipantId, first: Act, second: Act) -> Act {
        match self.allows(call, who, first.verb()) {
            Ok(()) => first,
            Err(_) => second,
        }
    }

    fn allows(&self, call: CallId, who: ParticipantId, verb: Verb) -> Result<(), Refusal> {
        self.calls.get(&call).ok_or(Refusal::NotFound)?.call.allows(who, verb)
    }
}

fn with_number(feature: Feature, number: String) -> Act {
    let to = To { to: number, destination_type: DestinationType::DialNumber };
    match feature {
        Feature::Consult => Act::Consult { to, hold_participants: true },
        Feature::Transfer
        | Feature::Toggle
        | Feature::Conference
        | Feature::EndConsult
        | Feature::ExitConference
        | Feature::Hold
        | Feature::Record => Act::Transfer { to, on_failure: None },
    }
}
