//! The media engine reduced to which streams there are: enough to see whether it is asked for what
//! it can do.

use std::collections::BTreeMap;

use media::command::{Hear, LocalPorts, MediaCommand, Sources, StreamId};
use media::record::RecordCommand;

/// Streams by id.
#[derive(Debug, Default)]
pub(super) struct Streams {
    known: BTreeMap<StreamId, Stream>,
}

#[derive(Debug)]
struct Stream {
    local: LocalPorts,
    failed: bool,
}

impl Streams {
    /// Those that are open, oldest first.
    pub(super) fn open(&self) -> Vec<StreamId> {
        self.known.iter().filter(|(_, stream)| !stream.failed).map(|(id, _)| *id).collect()
    }

    /// Its sockets could not be bound.
    pub(super) fn failed(&mut self, id: StreamId) {
        if let Some(stream) = self.known.get_mut(&id) {
            stream.failed = true;
        }
    }

    /// Does what is asked; the stream that was closed by it.
    pub(super) fn command(&mut self, command: &MediaCommand) -> Option<StreamId> {
        match command {
            MediaCommand::Open { stream, local, .. } => {
                let used = |other: &Stream| other.local.rtp == local.rtp;
                assert!(!self.known.values().any(used), "{stream} takes used ports: {local:?}");
                let old = self.known.insert(*stream, Stream { local: *local, failed: false });
                assert!(old.is_none_or(|old| old.failed), "{stream} opened twice");
            }
            MediaCommand::Configure { stream, config } => {
                assert!(self.known.contains_key(stream), "{stream} configured when closed");
                assert!(config.remote.is_none_or(|remote| sdp::is_sendable(remote.rtp)));
                assert!(config.payloads.iter().all(|p| p.send < 128 && p.receive < 128));
            }
            MediaCommand::Hear { listener, source } => {
                assert!(self.known.contains_key(listener), "{listener} listens when closed");
                let heard = match source {
                    Hear::Stream(heard) => Sources::from_iter([*heard]),
                    Hear::Mix(sources) => *sources,
                    Hear::Nothing | Hear::Music | Hear::Silence | Hear::Tone(_) => return None,
                };
                for heard in heard.iter() {
                    assert!(self.known.contains_key(&heard), "{listener} hears {heard}, closed");
                    assert_ne!(heard, *listener, "nobody hears themselves");
                }
            }
            MediaCommand::Close { stream } => {
                assert!(self.known.remove(stream).is_some(), "{stream} closed twice");
                return Some(*stream);
            }
            MediaCommand::Move { stream, .. } => {
                assert!(self.known.contains_key(stream), "{stream} moves when closed");
            }
            MediaCommand::Press { stream, .. }
            | MediaCommand::PassKeys { stream }
            | MediaCommand::Announce { stream, .. }
            | MediaCommand::Hush { stream } => {
                assert!(self.known.contains_key(stream), "{stream} is told something when closed");
            }
            MediaCommand::Record { command, .. } => {
                if let RecordCommand::Track { stream, .. } = command {
                    assert!(self.known.contains_key(stream), "{stream} recorded when closed");
                }
            }
            MediaCommand::Shutdown => {}
        }
        None
    }
}
