//! What a test sees of a world.

use ::media::command::{Hear, StreamId};
use ::media::record::RecordingId;
use b2bua::Core;
use b2bua::api::{EventKind, InteractionEvent, InteractionSnapshot};
use b2bua::io::Event;
use base::Time;
use call::record::CallRecord;

use crate::text::Msg;
use crate::world::{Packet, Trace, World};

fn of_interaction(event: &Event) -> Option<&InteractionEvent> {
    match event {
        Event::Interaction(event) => Some(event),
        Event::Registration { .. }
        | Event::Trunk { .. }
        | Event::Limit { .. }
        | Event::Quality { .. }
        | Event::Recording { .. }
        | Event::Banned { .. }
        | Event::Poisoned { .. } => None,
    }
}

impl World {
    /// Lets the ports of some of the next streams be somebody else's, the next one being 1.
    pub fn take_ports(&mut self, nth: &[usize]) {
        self.media.fails.extend(nth);
    }

    /// Whole messages that the server sent to a peer and whose first line begins so.
    pub fn sent_to(&self, name: &str, start: &str) -> Vec<String> {
        self.lines(name, true, start).into_iter().map(|(_, text)| text).collect()
    }

    /// Whole messages of a peer that reached the server and whose first line begins so.
    pub fn got_from(&self, name: &str, start: &str) -> Vec<String> {
        self.lines(name, false, start).into_iter().map(|(_, text)| text).collect()
    }

    /// The same with their times.
    pub fn lines(&self, name: &str, from_server: bool, start: &str) -> Vec<(Time, String)> {
        let who = self.index(name);
        let lines = self.wire.iter().filter(|l| l.who == who && l.from_server == from_server);
        lines
            .map(|line| (line.at, String::from_utf8_lossy(&line.bytes).into_owned()))
            .filter(|(_, text)| text.starts_with(start))
            .collect()
    }

    /// Lets every recording of so many fail as soon as it begins; `None`: the disk is well again.
    pub fn fill_disk(&mut self, nth: Option<usize>) {
        self.media.disk_fails = nth;
    }

    /// The streams of the call that a peer has up.
    pub fn streams_of(&self, name: &str) -> Vec<StreamId> {
        let agent = &self.agents[self.index(name)];
        let mut up = agent.dialogs.values().filter(|d| d.state == crate::agent::State::Up);
        let port = up.next().and_then(|dialog| dialog.theirs.as_ref()).map(|theirs| theirs.port);
        let own = self.media.by_port(port.unwrap_or_default()).map(|(_, stream)| stream.bridge);
        let of_call = self.media.streams.iter().filter(|(_, stream)| Some(stream.bridge) == own);
        of_call.map(|(id, _)| *id).collect()
    }

    /// The recordings that go on.
    pub fn recordings(&self) -> Vec<RecordingId> {
        self.media.recordings.keys().copied().collect()
    }

    /// How many voices the recordings take that go on.
    pub fn recorded_voices(&self) -> usize {
        self.media.recordings.values().map(|voices| voices.len()).sum()
    }

    /// Types of the events of interactions, with the reason that was told.
    pub fn happened(&self) -> Vec<(EventKind, Option<String>)> {
        let events = self.events.iter().filter_map(of_interaction);
        events.map(|event| (event.kind, event.data.reason.clone())).collect()
    }

    /// Keys pressed towards peers.
    pub fn presses(&self) -> usize {
        self.media.presses
    }

    /// What a peer hears in the call it has up: `Stream`, `Music`, `Silence` or `Nothing`.
    pub fn heard_by(&self, name: &str) -> String {
        let agent = &self.agents[self.index(name)];
        let mut up = agent.dialogs.values().filter(|d| d.state == crate::agent::State::Up);
        let dialog = up.next().unwrap_or_else(|| panic!("{name} has no call"));
        let port = dialog.theirs.as_ref().map(|theirs| theirs.port).unwrap_or_default();
        let (_, stream) = self.media.by_port(port).unwrap_or_else(|| panic!("{port} is not open"));
        match stream.hears {
            Hear::Nothing => "Nothing",
            Hear::Stream(_) => "Stream",
            Hear::Music => "Music",
            Hear::Silence => "Silence",
            Hear::Mix(_) => "Mix",
            Hear::Tone(_) => "Tone",
        }
        .to_owned()
    }

    /// Whether a peer has a call up.
    pub fn has_call(&self, name: &str) -> bool {
        let agent = &self.agents[self.index(name)];
        agent.dialogs.values().any(|dialog| dialog.state == crate::agent::State::Up)
    }

    /// The interaction that was told of last, as it was then.
    pub fn told(&self) -> Option<InteractionSnapshot> {
        let last = self.events.iter().rev().find_map(of_interaction)?;
        Some(last.data.interaction.clone())
    }

    /// Virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The hash so far.
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// Call records so far.
    pub fn records(&self) -> &[CallRecord] {
        &self.records
    }

    /// The core itself, for tests that reach into it.
    pub fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// Packets of a peer, as if it had sent them, e.g. to repeat what was seen on the wire.
    pub fn inject(&mut self, name: &str, bytes: Vec<u8>) {
        let who = self.index(name);
        self.net.arrive(self.now, Packet::ToServer { who, bytes: bytes.into(), tcp: None });
    }

    /// The last messages in short, for a failing test.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let from = self.wire.len().saturating_sub(lines);
        let mut text = String::new();
        for line in &self.wire[from..] {
            let who = self.agents.get(line.who).map_or("stranger", |a| &a.profile.user);
            let arrow = if line.from_server { "→" } else { "←" };
            let msg = Msg::parse(&line.bytes);
            let (start, cseq, of) = match &msg {
                Some(msg) => (msg.start.as_str(), msg.get("CSeq").unwrap_or(""), msg.call_id()),
                None => ("(no message)", "", ""),
            };
            let sdp = if msg.as_ref().is_some_and(Msg::has_sdp) { " +SDP" } else { "" };
            text +=
                &format!("{:?} {arrow} {who}#{} {start} [{cseq}] {of}{sdp}\n", line.at, line.who);
        }
        text
    }
}
