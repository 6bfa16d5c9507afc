//! The media engine's shell: sockets, threads and clocks around [`media::worker::Worker`].
//!
//! ```text
//! core ── MediaCommand ──▶ bounded queue ─▶ worker thread ◀─▶ sockets of its streams
//!      ◀── MediaEvent ─── the caller's function ┘
//! ```
//! Each worker is one thread that owns its sockets and waits in epoll. All streams of one bridge
//! are on one worker, so a relayed packet never changes threads.

mod ports;
pub mod recording;
mod sounds;
mod sys;
mod thread;
mod wav;

use std::collections::HashMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base::Redacted;
use media::command::{BridgeId, MediaCommand, MediaEvent, StreamId};
use media::dtls::BadKey;
use media::mixer::MixerSettings;
use media::player::Music;
use media::tone::Country;
use thiserror::Error;

use crate::ports::OwnPorts;
use crate::recording::{RecordingConfig, RecordingQueue, Recordings};
pub use crate::sounds::SoundFiles;
use crate::sys::Waker;
use crate::thread::{Clock, Inbox, Order, Setup};

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct MediaNetConfig {
    /// Worker threads, at least 1. One carries some thousand relayed calls.
    pub workers: usize,
    /// Music on hold: a WAV file of any rate; `None` = the built-in melody.
    pub music: Option<PathBuf>,
    /// WAV files of any rate that are announced: [`media::sound::SoundId::Recording`] by place.
    pub announcements: Vec<PathBuf>,
    /// Whose call progress tones are played.
    pub country: Country,
    /// How several are mixed who are heard at once.
    pub mixing: MixerSettings,
    /// Whether to ask for real-time scheduling; without the permission the workers are only nicer
    /// to themselves.
    pub realtime: bool,
    /// Lateness of a tick that is told by [`MediaEvent::Overrun`].
    pub overrun: Duration,
    /// Commands that may wait per worker.
    pub queue: usize,
    /// Our own ports beside those of the streams (SIP): nothing is ever sent to any of them.
    pub own_ports: Vec<RangeInclusive<u16>>,
    /// Seed of canonical names and of the pace of reports.
    pub seed: [u8; 32],
    /// Who we are in DTLS; `None`: streams whose keys come by DTLS stay silent.
    pub dtls: Option<Certificate>,
    /// Where calls are recorded to; `None`: nothing is recorded.
    pub recording: Option<RecordingConfig>,
}

/// A certificate for DTLS, and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Self-signed, DER.
    pub certificate: Vec<u8>,
    /// ECDSA P-256 in PKCS#8, DER.
    pub key: Redacted<Vec<u8>>,
}

impl Default for MediaNetConfig {
    fn default() -> Self {
        Self {
            workers: 1,
            music: None,
            announcements: Vec::new(),
            country: Country::default(),
            mixing: MixerSettings::of_people(),
            realtime: true,
            overrun: Duration::from_millis(5),
            queue: 4096,
            own_ports: Vec::new(),
            seed: [0; 32],
            dtls: None,
            recording: None,
        }
    }
}

/// Why the engine cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The operating system refuses threads or descriptors.
    #[error("cannot start a media worker: {0}")]
    Io(#[from] io::Error),
    /// Recordings cannot be kept there.
    #[error("recordings in {path}: {error}")]
    Recording {
        /// Which directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The certificate for DTLS cannot be used.
    #[error("certificate for DTLS: {0}")]
    Certificate(#[from] BadKey),
    /// The music on hold, or an announcement, cannot be used.
    #[error("sound {path}: {error}")]
    Sound {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: hound::Error,
    },
}

/// The queue of a worker is full, or the worker is gone: the command was not taken. The call it
/// belongs to cannot go on; closing never fails this way.
#[derive(Debug, Error)]
#[error("media worker overloaded")]
pub struct Full(pub MediaCommand);

/// The running engine. Dropping it closes all streams.
pub struct MediaNet {
    /// First, so that the workers are gone before the files they write to are finished.
    workers: Vec<Handle>,
    places: Mutex<HashMap<StreamId, usize>>,
    sounds: SoundFiles,
    _recordings: Option<Recordings>,
}

struct Handle {
    queue: SyncSender<Order>,
    inbox: Arc<Inbox>,
    waker: Arc<Waker>,
    /// Whether there is something the worker was not woken for. Only the posting side uses it.
    posted: AtomicBool,
    thread: Option<JoinHandle<()>>,
}

impl MediaNet {
    /// Starts the workers. `events` is called on their threads: it must not block.
    ///
    /// # Errors
    /// When the music cannot be read, or threads and descriptors are refused.
    pub fn start(
        config: MediaNetConfig,
        events: impl Fn(MediaEvent) + Send + Clone + 'static,
    ) -> Result<Self, StartError> {
        let tell = events.clone();
        let recordings = config.recording.clone().map(|directory| {
            let tell = move |event| tell(MediaEvent::Recording(event));
            Recordings::start(directory.clone(), tell)
                .map_err(|error| StartError::Recording { path: directory.directory, error })
        });
        let recordings = recordings.transpose()?;
        let queue = recordings.as_ref().map(Recordings::queue);
        let silence = Arc::new(Music::silence());
        let own_ports = Arc::new(OwnPorts::new(config.own_ports.clone()));
        // One clock for all: a stream that moves takes its times along.
        let clock = Clock::start();
        let workers = (0..config.workers.max(1))
            .map(|index| {
                let queue = queue.clone();
                Handle::start((index, clock), &config, &own_ports, &silence, queue, events.clone())
            })
            .collect::<Result<Vec<_>, StartError>>()?;
        let MediaNetConfig { music, announcements, country, .. } = config;
        let listeners = workers.iter().map(Handle::letter_box).collect();
        let sounds = SoundFiles::new(music, announcements, country, listeners);
        let this = Self { workers, places: Mutex::default(), sounds, _recordings: recordings };
        // Nobody is on hold yet: what is not encoded by then is silence.
        this.sounds.renew()?;
        Ok(this)
    }

    /// The way to its sounds.
    pub fn sounds(&self) -> SoundFiles {
        self.sounds.clone()
    }

    /// Hands a command to the worker of its stream. The worker sleeps on until [`Self::wake`]: a
    /// call's set-up is several commands, and each waking costs more than obeying.
    ///
    /// # Errors
    /// When the worker does not keep up. [`MediaCommand::Close`] and [`MediaCommand::Shutdown`]
    /// are always taken, and [`MediaCommand::Record`] nearly so.
    pub fn post(&self, command: MediaCommand) -> Result<(), Full> {
        let place = match &command {
            MediaCommand::Open { stream, bridge, .. } => {
                let place = self.place_of(*bridge);
                self.places().insert(*stream, place);
                place
            }
            MediaCommand::Move { stream, bridge } => return self.relocate(*stream, *bridge),
            MediaCommand::Configure { stream, .. }
            | MediaCommand::Press { stream, .. }
            | MediaCommand::PassKeys { stream }
            | MediaCommand::Announce { stream, .. }
            | MediaCommand::Hush { stream }
            | MediaCommand::Hear { listener: stream, .. } => {
                self.places().get(stream).copied().unwrap_or(0)
            }
            MediaCommand::Close { stream } => self.places().remove(stream).unwrap_or(0),
            MediaCommand::Record { bridge, .. } => self.place_of(*bridge),
            MediaCommand::Shutdown => {
                self.workers.iter().for_each(Handle::shut_down);
                return Ok(());
            }
        };
        let result = self.workers[place].post(command);
        if let Err(Full(MediaCommand::Open { stream, .. })) = &result {
            self.places().remove(stream);
        }
        result
    }

    /// Sends a stream to the worker of another call. From then on that one gets its commands, and
    /// takes none before the stream is there.
    fn relocate(&self, stream: StreamId, bridge: BridgeId) -> Result<(), Full> {
        let command = MediaCommand::Move { stream, bridge };
        let to = self.place_of(bridge);
        // Held until both know: of two moves, all workers hear of the same one first, so that no
        // two wait for each other.
        let mut places = self.places();
        let Some(from) = places.get(&stream).copied().filter(|from| *from != to) else {
            return self.workers[to].post(command);
        };
        let (passage, arrivals) = sync_channel(1);
        let waker = Arc::clone(&self.workers[to].waker);
        let full = |_| Full(command.clone());
        self.workers[to].order(Order::Await { bridge, arrivals }).map_err(full)?;
        self.workers[from].order(Order::Leave { stream, passage, waker }).map_err(full)?;
        places.insert(stream, to);
        Ok(())
    }

    fn place_of(&self, bridge: BridgeId) -> usize {
        (bridge.0 % self.workers.len() as u64) as usize
    }

    /// Lets the workers see what was posted since the last time.
    pub fn wake(&self) {
        for worker in &self.workers {
            if worker.posted.swap(false, Ordering::Relaxed) {
                worker.waker.wake();
            }
        }
    }

    /// [`Self::post`] and [`Self::wake`].
    ///
    /// # Errors
    /// Those of [`Self::post`].
    pub fn send(&self, command: MediaCommand) -> Result<(), Full> {
        let result = self.post(command);
        self.wake();
        result
    }

    /// Makes the handling of a stream panic, so that tests can see what that costs (ATTACKS 35).
    #[cfg(debug_assertions)]
    #[doc(hidden)]
    pub fn poison(&self, stream: StreamId, moment: media::worker::Moment) {
        let place = self.places().get(&stream).copied().unwrap_or(0);
        let Handle { inbox, waker, .. } = &self.workers[place];
        inbox.poison(stream, moment);
        waker.wake();
    }

    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<StreamId, usize>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MediaNet {
    fn drop(&mut self) {
        self.workers.iter().for_each(Handle::shut_down);
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take()
                && thread.join().is_err()
            {
                tracing::error!("a media worker panicked");
            }
        }
    }
}

impl Handle {
    fn start(
        (index, clock): (usize, Clock),
        config: &MediaNetConfig,
        own_ports: &Arc<OwnPorts>,
        music: &Arc<Music>,
        recordings: Option<RecordingQueue>,
        events: impl Fn(MediaEvent) + Send + 'static,
    ) -> Result<Self, StartError> {
        let (queue, commands) = sync_channel(config.queue.max(1));
        let inbox = Arc::new(Inbox::default());
        let waker = Arc::new(Waker::new()?);
        let setup = Setup {
            index,
            clock,
            commands,
            inbox: Arc::clone(&inbox),
            waker: Arc::clone(&waker),
            music: Arc::clone(music),
            seed: seed_of(config.seed, index),
            own_ports: Arc::clone(own_ports),
            mixing: config.mixing,
            realtime: config.realtime,
            overrun: config.overrun,
            recordings,
            dtls: config.dtls.clone(),
        };
        let worker = thread::Thread::new(setup, events)?;
        let thread =
            std::thread::Builder::new().name(format!("media-{index}")).spawn(|| worker.run())?;
        Ok(Self { queue, inbox, waker, posted: AtomicBool::new(false), thread: Some(thread) })
    }

    fn letter_box(&self) -> (Arc<Inbox>, Arc<Waker>) {
        (Arc::clone(&self.inbox), Arc::clone(&self.waker))
    }

    fn post(&self, command: MediaCommand) -> Result<(), Full> {
        let is_of_records = matches!(command, MediaCommand::Record { .. });
        let sent = match is_of_records && self.inbox.has_records() {
            true => Err(Order::Obey(command)),
            false => self.order(Order::Obey(command)),
        };
        match sent {
            Err(Order::Obey(MediaCommand::Record { bridge, command })) => {
                self.posted.store(true, Ordering::Relaxed);
                let full = |command| Full(MediaCommand::Record { bridge, command });
                self.inbox.record(bridge, command).map_err(full)
            }
            // A stream that cannot be closed would be there for ever.
            Err(Order::Obey(MediaCommand::Close { stream })) => {
                self.inbox.close(stream);
                Ok(())
            }
            Err(Order::Obey(command)) => Err(Full(command)),
            Err(Order::Leave { .. } | Order::Await { .. }) | Ok(()) => Ok(()),
        }
    }

    fn order(&self, order: Order) -> Result<(), Order> {
        let result = self.queue.try_send(order);
        self.posted.store(true, Ordering::Relaxed);
        result.map_err(|error| match error {
            TrySendError::Full(order) | TrySendError::Disconnected(order) => order,
        })
    }

    fn shut_down(&self) {
        self.inbox.shut_down();
        self.waker.wake();
    }
}

/// Each worker draws other numbers.
fn seed_of(mut seed: [u8; 32], index: usize) -> [u8; 32] {
    for (byte, other) in seed.iter_mut().zip((index as u64).to_le_bytes()) {
        *byte ^= other;
    }
    seed
}
