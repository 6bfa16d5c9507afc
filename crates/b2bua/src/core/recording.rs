//! Recording of whole calls where it is switched on (K1): which file, and who is on which channel.

use call::{CallId, LegId};
use media::command::MediaCommand;
use media::record::{RecordCommand, RecordEvent, RecordFormat, RecordingId, Side};
use serde::{Deserialize, Serialize};

use super::Core;
use crate::io::Output;
use crate::party::Party;

/// Rate of a recording, hertz: what telephones have, and what wideband codecs have.
const NARROW: u32 = 8000;
const WIDE: u32 = 16_000;

/// The recording of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recording {
    id: RecordingId,
    /// Its file's name with extension.
    pub(super) file: String,
    /// Who is recorded.
    tracks: Vec<LegId>,
}

impl Core {
    /// Begins to record a call whose sides talk, and takes in who joins it.
    pub(super) fn record(&mut self, call: CallId, out: &mut Vec<Output>) {
        let Some(policy) = self.config.media.recording else { return };
        let name = self.record_id(call);
        let Some(state) = self.calls.get(&call) else { return };
        if !state.call.is_talking() {
            return;
        }
        let legs: Vec<_> = state.call.participants().iter().map(|party| party.leg).collect();
        let sides: Vec<_> = legs.iter().filter_map(|leg| Some((*leg, self.side(*leg)?))).collect();
        let is_wide = legs.iter().any(|leg| self.is_wideband(*leg));
        let rate = if is_wide { WIDE } else { NARROW };
        let Some(state) = self.calls.get_mut(&call) else { return };
        let bridge = Self::bridge_of(call);
        let mut say = |command| out.push(Output::Media(MediaCommand::Record { bridge, command }));
        let recording = state.recording.get_or_insert_with(|| {
            let id = RecordingId(call.0);
            let (container, pause) = (policy.container, policy.pause);
            let format = RecordFormat { container, rate, pause };
            let file = format!("{name}.{}", container.extension());
            say(RecordCommand::Start { recording: id, name, format });
            Recording { id, file, tracks: Vec::new() }
        });
        for (leg, side) in sides {
            if !recording.tracks.contains(&leg) {
                recording.tracks.push(leg);
                let (id, stream) = (recording.id, Self::stream_of(leg));
                say(RecordCommand::Track { recording: id, stream, side: Some(side) });
            }
        }
    }

    pub(super) fn stop_recording(call: CallId, recording: &Recording) -> Output {
        let command = RecordCommand::Stop { recording: recording.id };
        Output::Media(MediaCommand::Record { bridge: Self::bridge_of(call), command })
    }

    /// Left is the customer, who is behind a trunk; among colleagues the one who called.
    fn side(&self, leg: LegId) -> Option<Side> {
        let leg = self.legs.get(&leg)?;
        let state = self.calls.get(&leg.call())?;
        let others = state.call.participants().iter().filter_map(|other| self.legs.get(&other.leg));
        let is_trunk = |leg: &crate::sip_leg::SipLeg| matches!(leg.party(), Party::Trunk(_));
        let is_internal = !others.into_iter().any(is_trunk);
        let calls = state.call.caller() == Some(leg.id());
        let is_customer = is_trunk(leg) || (is_internal && calls);
        Some(if is_customer { Side::Customer } else { Side::Agents })
    }

    fn is_wideband(&self, leg: LegId) -> bool {
        let agreed = self.legs.get(&leg).and_then(crate::sip_leg::SipLeg::agreed_codecs);
        agreed.is_some_and(|codecs| {
            codecs
                .iter()
                .find(|c| c.is_audio())
                .is_some_and(|first| first.is("opus") || first.is("G722"))
        })
    }
}

/// What became of a recording; a call never depends on it (ATTACKS 30).
pub(super) fn told(event: &RecordEvent) {
    match event {
        RecordEvent::Started { recording } => tracing::debug!(%recording, "recording"),
        RecordEvent::Gap { recording, ms } => {
            tracing::warn!(%recording, ms, "the disk is slow: a gap in a recording");
        }
        RecordEvent::Finished { recording, file, duration_ms, bytes } => {
            tracing::info!(%recording, file, duration_ms, bytes, "recorded");
        }
        RecordEvent::Failed { recording, file, duration_ms, error } => {
            tracing::error!(%recording, file, duration_ms, error, "a recording ended early");
        }
        RecordEvent::Recovered { file, duration_ms } => {
            tracing::warn!(file, duration_ms, "a recording of before the restart is completed");
        }
    }
}
