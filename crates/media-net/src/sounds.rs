//! The sounds that workers play: read and encoded on a thread of its own, at the start and whenever
//! the files are to be read anew.

use std::path::PathBuf;
use std::sync::Arc;

use media::player::Music;
use media::sound::{SoundId, Sounds};
use media::tone::{Country, ToneKind};

use crate::StartError;
use crate::sys::Waker;
use crate::thread::Inbox;
use crate::wav;

/// What is played besides music on hold: the tones of calls, and beeps.
const TONES: [ToneKind; 6] = [
    ToneKind::Dial,
    ToneKind::Ringback,
    ToneKind::Busy,
    ToneKind::Congestion,
    ToneKind::Recording,
    ToneKind::Beep,
];

/// The way to the sounds of a running engine.
#[derive(Clone)]
pub struct SoundFiles {
    music: Option<PathBuf>,
    announcements: Vec<PathBuf>,
    country: Country,
    listeners: Vec<(Arc<Inbox>, Arc<Waker>)>,
}

impl SoundFiles {
    pub(crate) fn new(
        music: Option<PathBuf>,
        announcements: Vec<PathBuf>,
        country: Country,
        listeners: Vec<(Arc<Inbox>, Arc<Waker>)>,
    ) -> Self {
        Self { music, announcements, country, listeners }
    }

    /// Reads all files anew. What is being played goes on as it was.
    ///
    /// # Errors
    /// When a file is no WAV that can be used: then the old sounds stay.
    pub fn renew(&self) -> Result<(), StartError> {
        let open = |path: &PathBuf| {
            wav::Recording::open(path)
                .map_err(|error| StartError::Sound { path: path.clone(), error })
        };
        let music = self.music.as_ref().map(open).transpose()?;
        let announcements = self.announcements.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let this = self.clone();
        // Encoding takes some ten milliseconds a second of sound: not on a thread with calls.
        let load = move || this.load(music, announcements);
        std::thread::Builder::new().name("sounds".to_owned()).spawn(load).map(drop)?;
        Ok(())
    }

    fn load(&self, music: Option<wav::Recording>, announcements: Vec<wav::Recording>) {
        let mut sounds = Sounds::tones(self.country, &TONES);
        for (n, recording) in (0u32..).zip(announcements) {
            sounds.insert(SoundId::Recording(n), recording.load());
        }
        let music = Arc::new(music.map_or_else(Music::melody, wav::Recording::load));
        for (inbox, waker) in &self.listeners {
            inbox.play(Arc::clone(&music), sounds.clone());
            waker.wake();
        }
        tracing::info!("sounds are ready");
    }
}
