//! The media engine as a table: what is open, what it was told, who hears whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::Time;
use media::command::{
    BridgeId, Hear, MediaCommand, MediaEvent, Sources, StreamConfig, StreamId, StreamStats,
};
use media::record::{RecordCommand, RecordEvent, RecordingId, Side};

/// One open stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) bridge: BridgeId,
    pub(crate) port: u16,
    pub(crate) config: Option<StreamConfig>,
    pub(crate) hears: Hear,
    /// Its sockets could not be bound.
    failed: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Media {
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    used: BTreeSet<StreamId>,
    rested: BTreeMap<u16, Time>,
    /// Which of the next sockets cannot be bound, the next one being 1.
    pub(crate) fails: BTreeSet<usize>,
    /// Who is recorded.
    pub(crate) recordings: BTreeMap<RecordingId, BTreeSet<StreamId>>,
    /// On which channel each was.
    sides: BTreeMap<(RecordingId, StreamId), Side>,
    /// Calls that others were joined to: a customer may have come who takes the left channel.
    joined: BTreeSet<BridgeId>,
    /// Keys pressed towards peers.
    pub(crate) presses: usize,
    /// Streams whose peers' keys nobody hears.
    pub(crate) kept: BTreeSet<StreamId>,
    /// Keys that the peer of a stream has heard.
    pub(crate) keys: BTreeMap<StreamId, String>,
    /// Sounds that it was told once.
    pub(crate) told: BTreeMap<StreamId, Vec<String>>,
    /// Whether somebody drives calls by the API: a recording may begin while a line is released.
    pub(crate) is_driven: bool,
    /// Recordings ever.
    pub(crate) started: usize,
    /// Every recording of this many fails at once: the disk is full.
    pub(crate) disk_fails: Option<usize>,
    pub(crate) wrong: Vec<String>,
}

/// How long a port rests, as in the server's configuration for tests.
const QUARANTINE: Duration = Duration::from_secs(30);

impl Media {
    /// Does what the core asks; what the engine would say to it.
    pub(crate) fn command(&mut self, now: Time, command: MediaCommand) -> Option<MediaEvent> {
        self.note_keys(&command);
        match command {
            MediaCommand::Open { stream, bridge, local, .. } => {
                self.open(now, stream, bridge, local.rtp)
            }
            MediaCommand::Configure { stream, config } => {
                match self.streams.get_mut(&stream) {
                    Some(known) => known.config = Some(*config),
                    None => self.wrong.push(format!("{stream} is configured but not open")),
                }
                None
            }
            MediaCommand::Hear { listener, source } => {
                match self.streams.get_mut(&listener) {
                    Some(known) => known.hears = source,
                    None => self.wrong.push(format!("{listener} listens but is not open")),
                }
                None
            }
            MediaCommand::Move { stream, bridge } => {
                self.joined.insert(bridge);
                match self.streams.get_mut(&stream) {
                    Some(known) => (known.bridge, known.hears) = (bridge, Hear::Nothing),
                    None => self.wrong.push(format!("{stream} moves but is not open")),
                }
                None
            }
            MediaCommand::Close { stream } => {
                match self.streams.remove(&stream) {
                    Some(closed) => {
                        self.rested.insert(closed.port, now + QUARANTINE);
                    }
                    None => self.wrong.push(format!("{stream} is closed twice")),
                }
                let stats = StreamStats { packets_received: 7, ..StreamStats::default() };
                Some(MediaEvent::Closed { stream, stats: Box::new(stats) })
            }
            MediaCommand::Press { stream, event: _ } => {
                if !self.streams.contains_key(&stream) {
                    self.wrong.push(format!("{stream} gets a key but is not open"));
                }
                self.presses += 1;
                None
            }
            MediaCommand::PassKeys { stream } => {
                if !self.streams.contains_key(&stream) {
                    self.wrong.push(format!("keys of {stream} pass but it is not open"));
                }
                None
            }
            MediaCommand::Announce { stream, sound } => {
                if !self.streams.contains_key(&stream) {
                    self.wrong.push(format!("{stream} is told something but is not open"));
                }
                Some(MediaEvent::Announced { stream, sound })
            }
            MediaCommand::Hush { .. } => None,
            MediaCommand::Record { bridge, command } => self.record(bridge, command),
            MediaCommand::Shutdown => {
                self.wrong.push("shutdown".to_owned());
                None
            }
        }
    }

    fn record(&mut self, bridge: BridgeId, command: RecordCommand) -> Option<MediaEvent> {
        match command {
            RecordCommand::Start { recording, name, format: _ } => {
                self.started += 1;
                if !media::record::is_name(&name) {
                    self.wrong.push(format!("{recording} cannot be called {name}"));
                }
                if self.recordings.insert(recording, BTreeSet::new()).is_some() {
                    self.wrong.push(format!("{recording} is started twice"));
                }
                let fails = self.disk_fails.is_some_and(|nth| self.started.is_multiple_of(nth));
                let error = "no space".to_owned();
                let event = RecordEvent::Failed { recording, file: None, duration_ms: 0, error };
                return fails.then_some(MediaEvent::Recording(event));
            }
            RecordCommand::Track { recording, stream, side: None } => {
                let tracks = self.recordings.get_mut(&recording);
                if !tracks.is_some_and(|tracks| tracks.remove(&stream)) {
                    self.wrong.push(format!("{stream} was not in {recording}"));
                }
            }
            RecordCommand::Track { recording, stream, side: Some(side) } => {
                let before = self.sides.insert((recording, stream), side);
                if before.is_some_and(|before| before != side) && !self.joined.contains(&bridge) {
                    self.wrong.push(format!("{stream} changes its channel in {recording}"));
                }
                let is_here = self.streams.get(&stream).is_some_and(|known| known.bridge == bridge);
                let tracks = self.recordings.get_mut(&recording);
                match tracks {
                    // It may have been on the other channel.
                    Some(tracks) if is_here => drop(tracks.insert(stream)),
                    Some(_) | None => self.wrong.push(format!("{stream} in {recording}")),
                }
            }
            RecordCommand::Stop { recording } => match self.recordings.remove(&recording) {
                Some(tracks) if tracks.len() >= 2 || self.is_driven => {}
                Some(tracks) => self.wrong.push(format!("{recording} has {} voices", tracks.len())),
                None => self.wrong.push(format!("{recording} is stopped twice")),
            },
            RecordCommand::Pause { .. } | RecordCommand::Resume { .. } => {}
        }
        None
    }

    fn open(
        &mut self,
        now: Time,
        stream: StreamId,
        bridge: BridgeId,
        port: u16,
    ) -> Option<MediaEvent> {
        let is_again = self.streams.get(&stream).is_some_and(|open| open.failed);
        if !self.used.insert(stream) && !is_again {
            self.wrong.push(format!("{stream} is opened again"));
        }
        if self.streams.values().any(|open| open.port == port) {
            self.wrong.push(format!("port {port} is used twice"));
        }
        if self.rested.get(&port).is_some_and(|free| *free > now) {
            self.wrong.push(format!("port {port} has not rested"));
        }
        let hears = Hear::Nothing;
        let failed = false;
        self.streams.insert(stream, Stream { bridge, port, config: None, hears, failed });
        let fails = self.fails.contains(&1);
        self.fails = self.fails.iter().filter(|nth| **nth > 1).map(|nth| nth - 1).collect();
        if let Some(open) = self.streams.get_mut(&stream) {
            open.failed = fails;
        }
        fails.then(|| MediaEvent::BindFailed { stream, error: "scripted".to_owned(), taken: true })
    }

    /// What must hold after every step.
    pub(crate) fn check(&mut self) {
        for (id, stream) in &self.streams {
            let sources = match stream.hears {
                Hear::Stream(source) => Sources::from_iter([source]),
                Hear::Mix(sources) => sources,
                Hear::Nothing | Hear::Music | Hear::Silence | Hear::Tone(_) => continue,
            };
            for source in sources.iter() {
                let fault = match self.streams.get(&source) {
                    None => "a closed stream",
                    Some(_) if source == *id => "itself",
                    Some(heard) if heard.bridge != stream.bridge => "another call",
                    Some(_) => continue,
                };
                self.wrong.push(format!("{id} hears {fault}"));
            }
        }
    }

    pub(crate) fn by_port(&self, port: u16) -> Option<(StreamId, &Stream)> {
        let found = self.streams.iter().find(|(_, stream)| stream.port == port);
        found.map(|(id, stream)| (*id, stream))
    }
}
