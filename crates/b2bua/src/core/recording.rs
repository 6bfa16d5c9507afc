//! Recording of whole calls where it is switched on (K1): which file, and who is on which channel.

use base::Time;
use call::control::MonitorMode;
use call::{CallId, LegId, Role};
use media::command::MediaCommand;
use media::record::{RecordCommand, RecordEvent, RecordFormat, RecordingId, Side};
use serde::{Deserialize, Serialize};

use super::Core;
use crate::config::Config;
use crate::io::{Event, Output, RecordingChange};

/// Rate of a recording, hertz: what telephones have, and what wideband codecs have. It is the same
/// for the whole file, so whoever may join the call counts, not only who is in it.
const NARROW: u32 = 8000;
const WIDE: u32 = 16_000;
/// Where the number of a recording within its call stands in its id.
const PART_SHIFT: u32 = 48;

/// The recording of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recording {
    id: RecordingId,
    /// Its file's name with extension.
    pub(super) file: String,
    /// How many recordings of the same call were before it.
    part: u16,
    /// Who is recorded, and where.
    tracks: Vec<(LegId, Option<Side>)>,
    is_paused: bool,
    /// It failed without any sound.
    pub(super) is_empty: bool,
}

impl Core {
    /// Makes the recording what the call says it is, and takes in who joins it.
    pub(super) fn record(&mut self, call: CallId, out: &mut Vec<Output>) {
        let Some(policy) = self.config.media.recording else { return };
        let Some(state) = self.calls.get(&call) else { return };
        let wanted = state.call.recording();
        if matches!(wanted, call::Recording::Off | call::Recording::Failed) {
            return self.rest_recording(call, out);
        }
        let part = state.recording.as_ref().map_or(state.recorded, |recording| recording.part);
        let name = match part {
            0 => self.record_id(call),
            part => format!("{}-{part}", self.record_id(call)),
        };
        let legs: Vec<_> = state.call.legs().iter().map(|leg| leg.leg).collect();
        let sides: Vec<_> = legs.iter().map(|leg| (*leg, self.side(*leg))).collect();
        let rate = if policy.wideband && allows_wideband(&self.config) { WIDE } else { NARROW };
        let Some(state) = self.calls.get_mut(&call) else { return };
        let bridge = Self::bridge_of(call);
        let mut say = |command| out.push(Output::Media(MediaCommand::Record { bridge, command }));
        let recording = state.recording.get_or_insert_with(|| {
            let id = id_of(call, part);
            let (container, pause) = (policy.container, policy.pause);
            let format = RecordFormat { container, rate, pause };
            let file = format!("{name}.{}", container.extension());
            say(RecordCommand::Start { recording: id, name, format });
            Recording { id, file, part, tracks: Vec::new(), is_paused: false, is_empty: false }
        });
        let id = recording.id;
        for (leg, side) in sides {
            let told = recording.tracks.iter_mut().find(|(track, _)| *track == leg);
            match told {
                Some((_, told)) if *told == side => continue,
                Some((_, told)) => *told = side,
                None if side.is_none() => continue,
                None => recording.tracks.push((leg, side)),
            }
            say(RecordCommand::Track { recording: id, stream: Self::stream_of(leg), side });
        }
        let pauses = wanted == call::Recording::Paused;
        if pauses != recording.is_paused {
            recording.is_paused = pauses;
            say(match pauses {
                true => RecordCommand::Pause { recording: id },
                false => RecordCommand::Resume { recording: id },
            });
        }
    }

    /// The agent has stopped the recording of a call that goes on (K6), or it failed: another one may
    /// follow.
    fn rest_recording(&mut self, call: CallId, out: &mut Vec<Output>) {
        let Some(state) = self.calls.get_mut(&call) else { return };
        if !state.call.is_talking() {
            return; // it ends with the last leg
        }
        if let Some(recording) = state.recording.take() {
            state.recorded = recording.part + 1;
            state.recordings.push((recording.id, recording.file.clone()));
            out.push(Self::stop_recording(call, &recording));
        }
    }

    pub(super) fn stop_recording(call: CallId, recording: &Recording) -> Output {
        let command = RecordCommand::Stop { recording: recording.id };
        Output::Media(MediaCommand::Record { bridge: Self::bridge_of(call), command })
    }

    /// Left is the customer; where there never was one, the colleague who called. Supervisors are recorded
    /// when all hear them, and never on the customer's side (U0); who is muted is not.
    fn side(&self, leg: LegId) -> Option<Side> {
        let call = &self.calls.get(&self.legs.get(&leg)?.call())?.call;
        let leg = call.leg(leg)?;
        let one = call.participant(leg.of)?;
        match one.role {
            _ if one.muted => None,
            Role::Customer => Some(Side::Customer),
            Role::Agent if !call.had_customer() && call.is_caller(one.id) => Some(Side::Customer),
            Role::Agent | Role::NonAgent => Some(Side::Agents),
            Role::Supervisor => {
                let barges = one.watch.is_some_and(|watch| watch.mode == MonitorMode::Barge);
                let is_heard = || !call.heard_by_others(one.id).is_empty();
                (barges && one.joined.is_some() && is_heard()).then_some(Side::Agents)
            }
        }
    }
}

impl Core {
    /// What became of a recording; a call never depends on it (ATTACKS 30).
    pub(super) fn recording_told(&mut self, now: Time, event: RecordEvent, out: &mut Vec<Output>) {
        match event {
            RecordEvent::Started { recording } => tracing::debug!(%recording, "recording"),
            RecordEvent::Gap { recording, ms } => {
                tracing::warn!(%recording, ms, "the disk is slow: a gap in a recording");
            }
            RecordEvent::Finished { recording, file, duration_ms, bytes } => {
                let change = RecordingChange::Available { file, duration_ms, bytes };
                out.push(Output::Event(Event::Recording { call: call_of(recording), change }));
            }
            RecordEvent::Failed { recording, file, duration_ms, error } => {
                let (has_sound, reason) = (duration_ms > 0, error.clone());
                let change = RecordingChange::Failed { file, duration_ms, error };
                out.push(Output::Event(Event::Recording { call: call_of(recording), change }));
                self.recording_failed(now, recording, has_sound, reason, out);
            }
            RecordEvent::Recovered { file, duration_ms } => {
                tracing::warn!(file, duration_ms, "a recording of before the restart is completed");
            }
        }
    }
}

impl Core {
    /// K5: the call is recorded no longer, unless by another recording. A file without sound is named
    /// nowhere; one with sound has its name by the next start at the latest.
    fn recording_failed(
        &mut self,
        now: Time,
        recording: RecordingId,
        has_sound: bool,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        let call = call_of(recording);
        let Some(state) = self.calls.get_mut(&call) else { return };
        let is_current = state.recording.as_ref().is_some_and(|current| current.id == recording);
        let is_on = is_current && state.call.is_talking();
        if is_on {
            self.with_call(now, call, out, |state, _, out| state.call.recording_failed(out));
            self.record(call, out);
            self.tell_recording_failed(now, call, reason, out);
        }
        let Some(state) = self.calls.get_mut(&call).filter(|_| !has_sound) else { return };
        state.recordings.retain(|(id, _)| *id != recording);
        if let Some(current) = state.recording.as_mut().filter(|current| current.id == recording) {
            current.is_empty = true;
        }
    }
}

/// Whether a phone or a trunk may use a codec of more than 8 kHz.
fn allows_wideband(config: &Config) -> bool {
    let own = config.trunks.iter().map(|trunk| &trunk.codecs);
    own.chain([&config.media.codecs]).any(|allowed| {
        let known = sdp::standard_codecs(allowed);
        // RFC 3551 §4.5.2: G.722 has 16 kHz, whatever its clock says.
        known.iter().any(|it| it.is_audio() && (it.is("G722") || it.clock_rate > NARROW))
    })
}

/// A recording is named after its call, and counts within it.
fn id_of(call: CallId, part: u16) -> RecordingId {
    RecordingId(call.0 + (u64::from(part) << PART_SHIFT))
}

fn call_of(recording: RecordingId) -> CallId {
    CallId(recording.0 & ((1 << PART_SHIFT) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_best_codec_that_may_come() {
        for (phones, trunk, is_wide) in [
            (&["PCMA", "PCMU"][..], &[][..], false),
            (&["PCMA", "L16/8000", "GSM", "G729"], &[], false),
            (&["opus", "PCMA"], &["PCMA"], true),
            (&["PCMA", "G722"], &["PCMA"], true),
            (&["PCMA", "L16/16000"], &[], true),
            (&["PCMA"], &["G722"], true),
        ] {
            let names =
                |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            let mut config = crate::testing::config();
            config.media.codecs = names(phones);
            config.trunks[0].codecs = names(trunk);
            assert_eq!(allows_wideband(&config), is_wide, "{phones:?} {trunk:?}");
        }
    }

    #[test]
    fn a_recording_tells_its_call() {
        for (call, part) in [(1, 0), (7, 3), ((1 << PART_SHIFT) - 1, u16::MAX)] {
            assert_eq!(call_of(id_of(CallId(call), part)), CallId(call));
        }
        assert_ne!(id_of(CallId(1), 0), id_of(CallId(1), 1));
    }
}
