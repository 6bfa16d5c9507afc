//! What callers hear from us before they are answered: announcements, ringback, and why a call fails.
//!
//! ```text
//! entry point with announcements: 183 (or 200) with SDP ─▶ each of them, once ─▶ the phones ring
//! ```
//! Carriers cut through to early media with the SDP of a 183 and play no ringback of their own after
//! it: from then on it is ours to play, whatever the configuration says of other calls.

use base::Time;
use call::hearing::Hears;
use call::{AttemptId, CallId, Cause, LegId, Presence, Side};
use media::command::{CallTone, Hear, MediaCommand, StreamId};
use media::sound::SoundId;
use sdp::{Codec, Order};
use serde::{Deserialize, Serialize};

use super::codecs::{has_audio, is_transcodable};
use super::{CallState, Core};
use crate::config::{EntryPoint, Ringback};
use crate::io::Output;
use crate::wire::Deadline;

/// What the caller of a call hears from us before it is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Announcing {
    /// What is announced, and whether the call is answered before.
    sounds: Vec<u32>,
    answer_first: bool,
    stage: Stage,
    /// Why the caller is being refused, while it hears so.
    refused: Option<Cause>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// Nothing was announced, nor is anything.
    #[default]
    Before,
    /// The caller's audio is being agreed on; then this target is dialled.
    Opening { attempt: AttemptId, target: usize },
    /// So many are left.
    Playing { attempt: AttemptId, target: usize, left: usize },
    /// All is said.
    Said,
}

impl Announcing {
    pub(super) fn of(entry: Option<&EntryPoint>) -> Self {
        entry.map_or_else(Self::default, |entry| Self {
            sounds: entry.announcements.clone(),
            answer_first: entry.answer_first,
            ..Self::default()
        })
    }
}

impl Core {
    /// Whether there is something to say before `target` is dialled; then it is dialled later.
    pub(super) fn announces_first(
        &mut self,
        now: Time,
        call: CallId,
        (attempt, target): (AttemptId, usize),
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(state) = self.calls.get_mut(&call) else { return false };
        let announcing = &mut state.announcing;
        if announcing.sounds.is_empty() || announcing.stage != Stage::Before {
            return false;
        }
        let Some(caller) = state.call.caller() else { return false };
        announcing.stage = Stage::Opening { attempt, target };
        let answer_first = announcing.answer_first;
        let codecs = self.codecs_of_ours(caller).unwrap_or_default();
        self.with_leg(now, caller, out, |leg, cx| match answer_first {
            true => leg.answer(&codecs, Vec::new(), cx),
            false => leg.progress(&codecs, cx),
        });
        let waits = self.legs.get(&caller).is_some_and(|leg| leg.is_opening());
        if !waits && let Some(state) = self.calls.get_mut(&call) {
            // No offer, and no PRACK to bring an answer: there is no early media.
            state.announcing.stage = Stage::Said;
        }
        waits
    }

    /// The caller's audio is agreed on: now it can be told.
    pub(super) fn open_for_announcements(&mut self, leg: LegId, out: &mut Vec<Output>) {
        let Some(call) = self.legs.get(&leg).map(|leg| leg.call()) else { return };
        let Some(state) = self.calls.get_mut(&call) else { return };
        let Stage::Opening { attempt, target } = state.announcing.stage else { return };
        if state.call.caller() != Some(leg) {
            return;
        }
        let left = state.announcing.sounds.len();
        state.announcing.stage = Stage::Playing { attempt, target, left };
        self.wire.timers.disarm(Deadline::Call(call, call::Timer::Ring(attempt)));
        let stream = Self::stream_of(leg);
        for &sound in &state.announcing.sounds {
            let sound = SoundId::Recording(sound);
            out.push(Output::Media(MediaCommand::Announce { stream, sound }));
        }
    }

    /// A sound is over; after the last one the phones ring.
    pub(super) fn announced(&mut self, now: Time, stream: StreamId, out: &mut Vec<Output>) {
        let leg = LegId(stream.0);
        let Some(call) = self.legs.get(&leg).map(|leg| leg.call()) else { return };
        let Some(state) = self.calls.get_mut(&call) else { return };
        let Stage::Playing { attempt, target, left } = &mut state.announcing.stage else { return };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return;
        }
        let (attempt, target) = (*attempt, *target);
        state.announcing.stage = Stage::Said;
        if state.call.is_ending() || !state.call.attempts().iter().any(|it| it.id == attempt) {
            return;
        }
        // The phones have their whole time to ring.
        let ring = self.config.sip.ring_timeout;
        self.wire.timers.arm(Deadline::Call(call, call::Timer::Ring(attempt)), now + ring);
        self.dial(now, call, attempt, target, out);
        self.touch(call);
    }

    /// Whether it is for us to let the caller of a call hear that it rings.
    pub(super) fn rings_ourselves(&self, call: CallId, caller: LegId) -> bool {
        let is_ours = |state: &CallState| {
            self.config.media.ringback == Ringback::Local || state.announcing.stage == Stage::Said
        };
        // Without an offer there is no early media, and 180 is all that can be told.
        let has_offered =
            self.legs.get(&caller).is_some_and(|leg| leg.offered(&self.config).is_some());
        has_offered
            && self.calls.get(&call).is_some_and(is_ours)
            && self.codecs_of_ours(caller).is_some()
    }

    /// What a caller is answered with when nobody else has been asked yet: what it and we can do.
    pub(super) fn codecs_of_ours(&self, caller: LegId) -> Option<Vec<Codec>> {
        let leg = self.legs.get(&caller)?;
        let allowed = leg.party().codecs(&self.config);
        let mut codecs = match leg.offered(&self.config) {
            Some(offered) => sdp::pass_through(&offered, allowed, Order::Offer),
            None => sdp::standard_codecs(allowed),
        };
        codecs.retain(|codec| !codec.is_audio() || is_transcodable(codec));
        has_audio(&codecs).then_some(codecs)
    }

    /// What a listener hears of ours where the plan has nothing for it.
    pub(super) fn hears_of_ours(
        &self,
        state: &CallState,
        leg: LegId,
        hears: Hears,
    ) -> Option<Hear> {
        let listener = state.call.leg(leg)?;
        if hears != Hears::Nothing || listener.side != Side::Caller {
            return None;
        }
        if let Some(cause) = state.announcing.refused {
            let tone = if cause == Cause::BUSY { CallTone::Busy } else { CallTone::Congestion };
            return Some(Hear::Tone(tone));
        }
        let others = state.call.legs().iter().filter(|other| other.side != Side::Caller);
        let rings = others.into_iter().any(|other| other.presence == Presence::Ringing);
        let is_open = self.legs.get(&leg).is_some_and(|leg| leg.agreed().is_some());
        let is_ours =
            self.config.media.ringback == Ringback::Local || state.announcing.stage == Stage::Said;
        (rings && is_open && is_ours).then_some(Hear::Tone(CallTone::Ringback))
    }

    /// A caller is to be refused: where that is configured it first hears why. False: at once.
    pub(super) fn refuses_audibly(
        &mut self,
        now: Time,
        call: CallId,
        leg: LegId,
        cause: Cause,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(length) = self.config.media.refusal_tone else { return false };
        let is_new = self.calls.get(&call).is_some_and(|state| {
            let is_caller = state.call.caller() == Some(leg);
            is_caller && state.announcing.refused.is_none() && state.call.times().answered.is_none()
        });
        let is_early = self
            .legs
            .get(&leg)
            .is_some_and(|leg| leg.is_early() && leg.offered(&self.config).is_some());
        // Who cancels is not told, nor is anybody while the node goes down.
        if !is_new || !is_early || self.is_draining() || cause == Cause::CANCELLED {
            return false;
        }
        let Some(codecs) = self.codecs_of_ours(leg) else { return false };
        self.with_leg(now, leg, out, |leg, cx| leg.progress(&codecs, cx));
        if self.legs.get(&leg).is_none_or(|leg| leg.agreed().is_none()) {
            return false;
        }
        if let Some(state) = self.calls.get_mut(&call) {
            state.announcing.refused = Some(cause);
        }
        self.wire.timers.arm(Deadline::Refusal(call), now + length);
        self.touch(call);
        true
    }

    /// The caller has heard why: it is refused.
    pub(super) fn refusal_is_over(&mut self, now: Time, call: CallId, out: &mut Vec<Output>) {
        let Some(state) = self.calls.get(&call) else { return };
        let (Some(leg), Some(cause)) = (state.call.caller(), state.announcing.refused) else {
            return;
        };
        let limit = self.limit_behind(call, cause);
        self.with_leg(now, leg, out, |leg, cx| leg.refuse(cause, false, limit, cx));
    }
}
