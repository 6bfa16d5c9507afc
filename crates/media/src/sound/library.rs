//! All sounds of a node by their names.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{NARROW_RATE, Sound, WIDE_RATE, chime};
use crate::tone::{Country, LEVEL_DBM0, ToneKind, cadence};

/// Which sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SoundId {
    /// Music on hold: the operator's recording, or the built-in melody.
    Music,
    /// Three rising notes before an announcement.
    Chime,
    /// A call progress tone, or a beep.
    Tone(ToneKind),
    /// A recording of the operator, by its place in the configuration.
    Recording(u32),
}

/// The sounds there are. Cheap to clone: a changed set replaces the old one while that is played.
#[derive(Clone, Default)]
pub struct Sounds {
    sounds: BTreeMap<SoundId, Arc<Sound>>,
}

impl Sounds {
    /// The built-in ones: melody, chime, the tones of a country. Takes a second or so of CPU: not
    /// for a thread that has calls.
    pub fn built_in(country: Country) -> Self {
        let mut sounds = Self::tones(country, &ToneKind::ALL);
        sounds.insert(SoundId::Music, Sound::melody());
        sounds.insert(SoundId::Chime, Sound::from_pcm(&chime(), WIDE_RATE));
        sounds
    }

    /// Some tones of a country. Takes CPU as [`Sound::from_pcm`] does.
    pub fn tones(country: Country, kinds: &[ToneKind]) -> Self {
        let mut sounds = Self::default();
        for &kind in kinds {
            let pcm = cadence(country, kind).render(LEVEL_DBM0, NARROW_RATE);
            sounds.insert(SoundId::Tone(kind), Sound::from_pcm(&pcm, NARROW_RATE));
        }
        sounds
    }

    /// Adds a sound, or replaces the one of that name.
    pub fn insert(&mut self, id: SoundId, sound: Sound) {
        self.sounds.insert(id, Arc::new(sound));
    }

    /// The sound of a name.
    pub fn get(&self, id: SoundId) -> Option<&Arc<Sound>> {
        self.sounds.get(&id)
    }
}
