//! Keys that peers press in RTP, and what the engine does with them: it passes them on, or keeps
//! them for the core.

use std::time::Duration;

use ::media::command::{Hear, MediaCommand, MediaEvent, StreamId};
use ::media::dtmf::{Digit, DtmfEvent, Form};
use b2bua::io::Input;
use base::Rng;

use crate::agent::State;
use crate::media::Media;
use crate::script::pick;
use crate::world::World;

/// From one key to the next.
const PACE: Duration = Duration::from_millis(250);

/// What agents dial at random: codes, codes with numbers, and what is neither.
const DIALLED: [&str; 14] = [
    "*1",
    "*21002#",
    "*21003",
    "*31002#",
    "*31004#",
    "*3",
    "*2017112345#",
    "*4",
    "*5",
    "*6",
    "*7",
    "*8",
    "12*34",
    "**9#",
];

impl World {
    /// A peer presses keys in the call it has up, one after another.
    pub fn press(&mut self, name: &str, keys: &str) {
        self.asks = true; // then calls are more than two peers
        self.media.is_driven = true;
        for key in keys.chars() {
            let stream = self.stream_of(name);
            self.press_in(stream, key);
            self.run_for(PACE);
        }
    }

    /// The keys that a peer has heard in the call it has up, in their order.
    pub fn keys_to(&self, name: &str) -> String {
        self.media.keys.get(&self.stream_of(name)).cloned().unwrap_or_default()
    }

    /// The sounds that a peer was told once in the call it has up.
    pub fn announced(&self, name: &str) -> String {
        self.media.told.get(&self.stream_of(name)).map(|told| told.join(" ")).unwrap_or_default()
    }

    /// How often somebody heard this sound of those that are told once.
    pub(crate) fn times_told(&self, sound: &str) -> usize {
        self.media.told.values().flatten().filter(|told| *told == sound).count()
    }

    fn stream_of(&self, name: &str) -> StreamId {
        let agent = &self.agents[self.index(name)];
        let mut up = agent.dialogs.values().filter(|d| d.state == State::Up);
        let dialog = up.next().unwrap_or_else(|| panic!("{name} has no call"));
        let port = dialog.theirs.as_ref().map(|theirs| theirs.port).unwrap_or_default();
        self.media.by_port(port).unwrap_or_else(|| panic!("{port} is not open")).0
    }

    /// The peer of a stream presses a key.
    pub(crate) fn press_in(&mut self, stream: StreamId, key: char) {
        let event = self.media.press(stream, key);
        self.input(Input::Media(event));
    }

    /// Something to dial at random, on some stream.
    pub(crate) fn dial_at_random(&self, seed: u64) -> Vec<(StreamId, char)> {
        let mut rng = Rng::from_u64(seed);
        let open: Vec<_> = self.media.streams.keys().copied().collect();
        if open.is_empty() {
            return Vec::new();
        }
        let stream = *pick(&mut rng, &open);
        pick(&mut rng, &DIALLED).chars().map(|key| (stream, key)).collect()
    }
}

impl Media {
    /// What the engine tells of a key, and who has heard it.
    fn press(&mut self, stream: StreamId, key: char) -> MediaEvent {
        let digit = Digit::from_char(key).expect("a key");
        let config = self.streams.get(&stream).and_then(|known| known.config.as_ref());
        if config.is_some_and(|config| config.keys.kept.contains(digit)) {
            self.kept.insert(stream);
        }
        let kept = self.kept.contains(&stream);
        if !kept {
            let hears = |of: &Hear| match of {
                Hear::Stream(source) => *source == stream,
                Hear::Mix(sources) => sources.contains(stream),
                Hear::Nothing | Hear::Music | Hear::Silence | Hear::Tone(_) => false,
            };
            let listeners = self.streams.iter().filter(|(_, known)| hears(&known.hears));
            let listeners: Vec<_> = listeners.map(|(id, _)| *id).collect();
            for listener in listeners {
                self.keys.entry(listener).or_default().push(key);
            }
        }
        let event = DtmfEvent::new(digit);
        MediaEvent::Dtmf { stream, event, form: Form::Events, kept }
    }

    /// Takes note of keys that the core presses, and of what it lets pass.
    pub(crate) fn note_keys(&mut self, command: &MediaCommand) {
        match command {
            MediaCommand::Press { stream, event } => {
                self.keys.entry(*stream).or_default().push(event.digit.to_char());
            }
            MediaCommand::PassKeys { stream } => drop(self.kept.remove(stream)),
            MediaCommand::Announce { stream, sound } => {
                self.told.entry(*stream).or_default().push(format!("{sound:?}"));
            }
            MediaCommand::Close { stream } => drop(self.kept.remove(stream)),
            MediaCommand::Open { .. }
            | MediaCommand::Configure { .. }
            | MediaCommand::Hear { .. }
            | MediaCommand::Move { .. }
            | MediaCommand::Hush { .. }
            | MediaCommand::Record { .. }
            | MediaCommand::Shutdown => {}
        }
    }
}
