//! A worker thread: waits, reads, lets the worker decide, writes.

mod load;
mod pacing;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use std::collections::HashMap;

use base::{Time, WallTime};
use media::command::{
    BridgeId, Hear, LocalPorts, MediaCommand, MediaEvent, StreamConfig, StreamId, StreamStats,
};
use media::dtls::Identity;
use media::mixer::MixerSettings;
use media::player::Music;
use media::record::{Block, BlockSink, RecordCommand, RecordingId};
use media::rtp::{DATAGRAM_MAX, HEADER_LEN as RTP_HEADER_LEN};
use media::sound::Sounds;
use media::stream::Numbers;
use media::worker::{Channel, Remains, Sink, Slot, TICK, Traveller, Worker};

use crate::ports::{OwnPorts, Port, Ports, RECEIVE_BUFFER};
use crate::recording::{RecordingQueue, RecordingSink};
use crate::sys::{self, Epoll, Ticker, Waker};
use crate::{Certificate, StartError};
use load::Load;
use pacing::Pacing;

const WAKE: u64 = u64::MAX;
const TICKED: u64 = u64::MAX - 1;
/// Orders carried out before a tick that is due has its turn: a worker that is late all the time must
/// not fall behind with what it is told, too.
const ORDERS_MIN: usize = 8;
/// Unless they take longer than this: one that rearranges a conference may make eight encoders.
const ORDERS_TIME: Duration = Duration::from_millis(2);
/// Ticks made up for when they are late; after a longer stall they are left out.
const CATCH_UP: u64 = 3;
/// After a stall as long as this, what has piled up in the sockets is too old to be played: passed
/// on, it would only make every jitter buffer grow (ATTACKS 34).
const STALL: Duration = Duration::from_millis(200);
/// What is passed on of each stream then: 100 ms of audio.
const KEPT: usize = 5;
/// Words about recordings that wait beside a full queue, at most.
const RECORDS_MAX: usize = 65_536;
/// Least time between two such events.
const OVERRUN_PAUSE: Duration = Duration::from_secs(1);

/// What reaches a worker besides its queue: each at most once, or bounded by its streams.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Letters>);

#[derive(Default)]
struct Letters {
    closing: Vec<StreamId>,
    /// What is to be recorded, or is not: in its order, and after all that is in the queue.
    records: Vec<(BridgeId, RecordCommand)>,
    music: Option<(Arc<Music>, Sounds)>,
    shutdown: bool,
    /// Streams that are to panic, for tests.
    #[cfg(debug_assertions)]
    poison: Vec<(StreamId, media::worker::Moment)>,
}

impl Inbox {
    pub(crate) fn close(&self, stream: StreamId) {
        self.letters().closing.push(stream);
    }

    /// Takes what is said of a recording when the queue is full, or when something of that kind waits here:
    /// a pause that is lost would have recorded what must not be, an end would leave a file open for ever.
    pub(crate) fn record(
        &self,
        bridge: BridgeId,
        command: RecordCommand,
    ) -> Result<(), RecordCommand> {
        let mut letters = self.letters();
        if letters.records.len() >= RECORDS_MAX {
            return Err(command);
        }
        letters.records.push((bridge, command));
        Ok(())
    }

    pub(crate) fn has_records(&self) -> bool {
        !self.letters().records.is_empty()
    }

    pub(crate) fn play(&self, music: Arc<Music>, tones: Sounds) {
        self.letters().music = Some((music, tones));
    }

    pub(crate) fn shut_down(&self) {
        self.letters().shutdown = true;
    }

    #[cfg(debug_assertions)]
    pub(crate) fn poison(&self, stream: StreamId, moment: media::worker::Moment) {
        self.letters().poison.push((stream, moment));
    }

    /// All but what is recorded.
    fn take(&self) -> Letters {
        let mut letters = self.letters();
        let records = std::mem::take(&mut letters.records);
        std::mem::replace(&mut *letters, Letters { records, ..Letters::default() })
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a worker is sent, in its order.
pub(crate) enum Order {
    /// The core wants something.
    Obey(MediaCommand),
    /// A stream goes to another worker, which is waiting for it.
    Leave { stream: StreamId, passage: SyncSender<Passenger>, waker: Arc<Waker> },
    /// A stream comes from another worker: what was ordered after it is about it, too.
    Await { bridge: BridgeId, arrivals: Receiver<Passenger> },
}

/// A stream with its sockets.
pub(crate) struct Passenger {
    stream: StreamId,
    traveller: Traveller,
    ports: Ports,
}

/// When the engine started, for all its workers.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    wall: WallTime,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = WallTime(u64::try_from(wall.as_millis()).unwrap_or(0));
        Self { start: Instant::now(), wall }
    }
}

/// What a worker thread starts with.
pub(crate) struct Setup {
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    pub(crate) commands: Receiver<Order>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) waker: Arc<Waker>,
    pub(crate) music: Arc<Music>,
    pub(crate) seed: [u8; 32],
    pub(crate) own_ports: Arc<OwnPorts>,
    /// How several are mixed.
    pub(crate) mixing: MixerSettings,
    pub(crate) realtime: bool,
    /// Lateness of a tick worth telling.
    pub(crate) overrun: Duration,
    /// The way to the disk, when calls are recorded.
    pub(crate) recordings: Option<RecordingQueue>,
    /// Who we are in DTLS.
    pub(crate) dtls: Option<Certificate>,
}

/// The thread's state.
pub(crate) struct Thread<E> {
    setup: Setup,
    worker: Worker,
    rim: Rim<E>,
    slots: HashMap<StreamId, Slot>,
    /// Figures of streams that were given up and are not closed yet.
    remains: HashMap<StreamId, Box<StreamStats>>,
    epoll: Epoll,
    ticker: Ticker,
    buffers: Box<[[u8; DATAGRAM_MAX + 1]; KEPT]>,
    pacing: Pacing,
    load: Load,
    /// A stream on its way here: no order is taken before it has arrived.
    awaited: Option<(BridgeId, Receiver<Passenger>)>,
    ticking: bool,
    /// When the next tick is due.
    tick_due: Time,
    overrun_told: Option<Time>,
    /// Greatest lateness of a tick since then.
    latest: Duration,
}

/// Where the worker's output goes.
struct Rim<E> {
    ports: Vec<Option<Ports>>,
    recordings: HashMap<RecordingId, RecordingSink>,
    events: E,
}

impl<E: Fn(MediaEvent)> Sink for Rim<E> {
    fn send(&mut self, slot: Slot, channel: Channel, to: SocketAddr, datagram: &[u8]) -> bool {
        self.port(slot, channel).is_some_and(|port| port.send(to, datagram))
    }

    fn event(&mut self, event: MediaEvent) {
        (self.events)(event);
    }

    fn recorded(&mut self, recording: RecordingId, block: &mut Block) {
        match self.recordings.get_mut(&recording) {
            Some(sink) => sink.take(block),
            None => block.samples.clear(),
        }
    }

    fn pin(&mut self, slot: Slot, channel: Channel, peer: Option<SocketAddr>) {
        if let Some(port) = self.port(slot, channel) {
            port.pin(peer);
        }
    }
}

impl<E> Rim<E> {
    fn port(&mut self, slot: Slot, channel: Channel) -> Option<&mut Port> {
        let ports = self.ports.get_mut(slot.0)?.as_mut()?;
        match channel {
            Channel::Rtp => Some(&mut ports.rtp),
            Channel::Rtcp => ports.rtcp.as_mut(),
        }
    }
}

impl<E: Fn(MediaEvent)> Thread<E> {
    pub(crate) fn new(setup: Setup, events: E) -> Result<Self, StartError> {
        let epoll = Epoll::new()?;
        let ticker = Ticker::new()?;
        epoll.add(setup.waker.fd(), WAKE)?;
        epoll.add(ticker.fd(), TICKED)?;
        let mut worker = Worker::new(Arc::clone(&setup.music), setup.seed, setup.clock.wall);
        worker.set_mixing(setup.mixing);
        if let Some(Certificate { certificate, key }) = &setup.dtls {
            let identity = Identity::new(certificate, key.reveal(), setup.clock.start)?;
            worker.set_identity(Arc::new(identity));
        }
        Ok(Self {
            setup,
            worker,
            rim: Rim { ports: Vec::new(), recordings: HashMap::new(), events },
            slots: HashMap::new(),
            remains: HashMap::new(),
            epoll,
            ticker,
            buffers: Box::new([[0; DATAGRAM_MAX + 1]; KEPT]),
            pacing: Pacing::new(),
            load: Load::new(),
            awaited: None,
            ticking: false,
            tick_due: Time::ZERO,
            overrun_told: None,
            latest: Duration::ZERO,
        })
    }

    /// Works until it is told to shut down. To sleep a little after each wake-up, so that more
    /// comes together, was measured: it saves less than a tenth and costs 0.1 ms of delay.
    pub(crate) fn run(mut self) {
        let granted = sys::schedule(self.setup.realtime);
        tracing::debug!(worker = self.setup.index, realtime = granted, "media worker runs");
        loop {
            let ready = self.epoll.wait();
            let now = self.now();
            if self.ticking && now - self.tick_due >= STALL {
                self.catch_up(now);
            }
            let (mut woken, mut ticked) = (false, false);
            for index in 0..ready {
                match self.epoll.token(index) {
                    WAKE => woken = true,
                    TICKED => ticked = true,
                    token => self.read(now, token),
                }
            }
            if ticked {
                self.tick(now);
            }
            // After the packets: tokens must not outlive their sockets.
            self.give_up();
            if woken && self.obey(now).is_break() {
                return;
            }
        }
    }

    /// Closes the streams of calls in whose handling something panicked (ATTACKS 35).
    fn give_up(&mut self) {
        while let Some((bridge, remains)) = self.worker.give_up() {
            tracing::error!(%bridge, streams = remains.len(), "panicked: a call's audio is given up");
            for Remains { stream, slot, stats } in remains {
                self.hurry(slot);
                if let Some(ports) = self.rim.ports.get_mut(slot.0) {
                    *ports = None;
                }
                if self.slots.remove(&stream).is_some() {
                    self.remains.insert(stream, stats);
                }
                self.rim.event(MediaEvent::Broken { stream });
            }
        }
    }

    /// Does a piece of work for a call, whose streams are given up when it panics.
    fn guard<T>(
        &mut self,
        bridge: Option<BridgeId>,
        work: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        match (catch_unwind(AssertUnwindSafe(|| work(self))), bridge) {
            (Ok(done), _) => Some(done),
            (Err(_), Some(bridge)) => {
                self.worker.blame(bridge);
                None
            }
            (Err(panic), None) => resume_unwind(panic),
        }
    }

    fn bridge_of(&self, stream: StreamId) -> Option<BridgeId> {
        self.worker.bridge_of(*self.slots.get(&stream)?)
    }

    fn now(&self) -> Time {
        Time::ZERO + self.setup.clock.start.elapsed()
    }

    fn read(&mut self, now: Time, token: u64) {
        let (slot, channel) = unpack(token);
        let Some(port) = self.rim.port(slot, channel) else { return };
        let Some((from, datagram)) = port.receive(&mut self.buffers[0]) else { return };
        self.worker.packet(now, slot, channel, from, datagram, &mut self.rim);
    }

    /// Reads all there is and passes on the latest of it.
    fn catch_up(&mut self, now: Time) {
        for slot in (0..self.rim.ports.len()).map(Slot) {
            let mut latest = [None; KEPT];
            // As much as a receive buffer holds at most; what comes meanwhile is fresh.
            for n in 0..RECEIVE_BUFFER / RTP_HEADER_LEN {
                let Some(port) = self.rim.port(slot, Channel::Rtp) else { break };
                let index = n % KEPT;
                let read = port.receive(&mut self.buffers[index]);
                let Some((from, datagram)) = read else { break };
                latest.rotate_left(1);
                latest[KEPT - 1] = Some((index, from, datagram.len()));
            }
            for (index, from, len) in latest.into_iter().flatten() {
                let datagram = &mut self.buffers[index][..len];
                self.worker.packet(now, slot, Channel::Rtp, from, datagram, &mut self.rim);
            }
        }
    }

    fn tick(&mut self, now: Time) {
        let fired = self.ticker.fired();
        if fired == 0 || !self.ticking {
            return;
        }
        self.read_paced(now);
        // After the packets that came with it: that is when it begins.
        self.latest = self.latest.max(self.now() - self.tick_due);
        let quiet = self.overrun_told.is_none_or(|told| now - told >= OVERRUN_PAUSE);
        if self.latest >= self.setup.overrun && quiet {
            self.overrun_told = Some(now);
            let late_us = u64::try_from(self.latest.as_micros()).unwrap_or(u64::MAX);
            self.latest = Duration::ZERO;
            self.rim.event(MediaEvent::Overrun { worker: self.setup.index, late_us });
        }
        self.spare(self.now() - self.tick_due, fired);
        self.tick_due = self.tick_due + TICK * u32::try_from(fired).unwrap_or(u32::MAX);
        for _ in 0..if fired > CATCH_UP { 1 } else { fired } {
            self.worker.tick(now, &mut self.rim);
        }
        self.pace();
    }

    /// Has the encoders make as much effort as there is time for.
    fn spare(&mut self, late: Duration, ticks: u64) {
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        if let Some(effort) = self.load.tick(late, ticks, sys::thread_time()) {
            self.worker.set_effort(effort);
            let worker = self.setup.index;
            tracing::info!(worker, ?effort, "Opus is encoded with another effort");
        }
    }

    /// Takes all commands; breaks when the thread shall end.
    fn obey(&mut self, now: Time) -> std::ops::ControlFlow<()> {
        self.setup.waker.clear();
        // Letters first, commands second: what is to be closed was opened before.
        let letters = self.setup.inbox.take();
        let is_done = self.take_orders(now);
        if is_done {
            // Only now: what comes meanwhile must not overtake it.
            let records = std::mem::take(&mut self.setup.inbox.letters().records);
            for (bridge, command) in records {
                self.guard(Some(bridge), |this| this.record(now, command));
            }
        }
        for stream in letters.closing {
            match is_done || self.slots.contains_key(&stream) {
                true => self.close(now, stream),
                // It may be on its way.
                false => self.setup.inbox.close(stream),
            }
        }
        if let Some((music, tones)) = letters.music {
            self.worker.set_music(music);
            self.worker.set_sounds(tones);
        }
        if letters.shutdown {
            let all: Vec<_> = self.slots.keys().copied().collect();
            for stream in all {
                self.close(now, stream);
            }
            return std::ops::ControlFlow::Break(());
        }
        #[cfg(debug_assertions)]
        for (stream, moment) in letters.poison {
            if let Some(&slot) = self.slots.get(&stream) {
                self.worker.poison(slot, moment);
            }
        }
        self.give_up();
        self.set_ticking();
        std::ops::ControlFlow::Continue(())
    }

    /// Takes all orders, or all before a stream that is still on its way, or those before a tick that
    /// is due: false then. To open a stream takes up to a quarter of a millisecond, and many may be
    /// ordered at once; those who are mixed already do not wait for them.
    fn take_orders(&mut self, now: Time) -> bool {
        let (mut taken, begun) = (0, self.now());
        loop {
            let now_then = self.now();
            let is_enough = taken >= ORDERS_MIN || now_then - begun >= ORDERS_TIME;
            if is_enough && self.ticking && now_then >= self.tick_due {
                self.setup.waker.wake();
                return false;
            }
            taken += 1;
            if let Some((bridge, arrivals)) = &self.awaited {
                let (bridge, arrived) = (*bridge, arrivals.try_recv());
                match arrived {
                    Ok(passenger) => {
                        self.guard(Some(bridge), |this| this.welcome(bridge, passenger));
                    }
                    Err(TryRecvError::Empty) => return false,
                    // It was closed before, or its worker is gone.
                    Err(TryRecvError::Disconnected) => {}
                }
                self.awaited = None;
            }
            match self.setup.commands.try_recv() {
                Ok(Order::Obey(command)) => {
                    let bridge = self.bridge_of_command(&command);
                    self.guard(bridge, |this| this.command(now, command));
                }
                Ok(Order::Leave { stream, passage, waker }) => {
                    self.remains.remove(&stream);
                    let bridge = self.bridge_of(stream);
                    if let Some(Some(passenger)) = self.guard(bridge, |this| this.let_go(stream)) {
                        // There is room for one, and nobody else sends.
                        let _ = passage.try_send(passenger);
                    }
                    drop(passage);
                    waker.wake();
                }
                Ok(Order::Await { bridge, arrivals }) => self.awaited = Some((bridge, arrivals)),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return true,
            }
        }
    }

    /// Takes a stream and its sockets out of this worker. What comes meanwhile waits in the sockets.
    fn let_go(&mut self, stream: StreamId) -> Option<Passenger> {
        let slot = self.slots.remove(&stream)?;
        self.hurry(slot);
        let ports = self.rim.ports.get_mut(slot.0)?.take()?;
        self.epoll.remove(ports.rtp.socket.as_fd());
        if let Some(rtcp) = &ports.rtcp {
            self.epoll.remove(rtcp.socket.as_fd());
        }
        Some(Passenger { stream, traveller: self.worker.depart(slot)?, ports })
    }

    fn welcome(&mut self, bridge: BridgeId, passenger: Passenger) {
        let Passenger { stream, traveller, ports } = passenger;
        let slot = self.worker.arrive(traveller, bridge);
        if let Err(error) = self.settle(stream, slot, ports) {
            tracing::error!(%stream, %error, "moved, but cannot be watched");
        }
    }

    /// The call that a command is about.
    fn bridge_of_command(&self, command: &MediaCommand) -> Option<BridgeId> {
        match command {
            MediaCommand::Open { bridge, .. }
            | MediaCommand::Move { bridge, .. }
            | MediaCommand::Record { bridge, .. } => Some(*bridge),
            MediaCommand::Configure { stream, .. }
            | MediaCommand::Press { stream, .. }
            | MediaCommand::PassKeys { stream }
            | MediaCommand::Announce { stream, .. }
            | MediaCommand::Hush { stream }
            | MediaCommand::Close { stream }
            | MediaCommand::Hear { listener: stream, .. } => self.bridge_of(*stream),
            MediaCommand::Shutdown => None,
        }
    }

    fn command(&mut self, now: Time, command: MediaCommand) {
        match command {
            MediaCommand::Open { stream, bridge, local, ssrc, sequence, timestamp } => {
                let numbers = Numbers { ssrc, sequence, timestamp };
                if let Err(error) = self.open(now, (stream, bridge), &local, numbers) {
                    let taken = error.kind() == io::ErrorKind::AddrInUse;
                    let error = error.to_string();
                    self.rim.event(MediaEvent::BindFailed { stream, error, taken });
                }
            }
            MediaCommand::Configure { stream, config } => self.configure(now, stream, *config),
            MediaCommand::Hear { listener, source } => {
                let Some(&listener) = self.slots.get(&listener) else { return };
                let slot = match source {
                    Hear::Stream(source) => self.slots.get(&source).copied(),
                    Hear::Nothing | Hear::Music | Hear::Silence | Hear::Mix(_) | Hear::Tone(_) => {
                        None
                    }
                };
                if let Some(source) = slot {
                    self.hurry(source);
                }
                self.worker.hear(listener, source, slot);
            }
            MediaCommand::Move { stream, bridge } => {
                if let Some(&slot) = self.slots.get(&stream) {
                    self.worker.move_to(slot, bridge);
                }
            }
            MediaCommand::Close { stream } => self.close(now, stream),
            MediaCommand::Press { stream, event } => {
                if let Some(&slot) = self.slots.get(&stream) {
                    self.worker.press(slot, event);
                }
            }
            MediaCommand::PassKeys { stream } => {
                if let Some(&slot) = self.slots.get(&stream) {
                    self.worker.pass_keys(slot);
                }
            }
            MediaCommand::Announce { stream, sound } => match self.slots.get(&stream) {
                Some(&slot) => self.worker.announce(slot, sound, &mut self.rim),
                None => self.rim.event(MediaEvent::Announced { stream, sound }),
            },
            MediaCommand::Hush { stream } => {
                if let Some(&slot) = self.slots.get(&stream) {
                    self.worker.hush(slot, &mut self.rim);
                }
            }
            MediaCommand::Record { bridge: _, command } => self.record(now, command),
            MediaCommand::Shutdown => {
                self.setup.inbox.shut_down();
                self.setup.waker.wake();
            }
        }
    }

    fn open(
        &mut self,
        now: Time,
        (stream, bridge): (StreamId, BridgeId),
        local: &LocalPorts,
        numbers: Numbers,
    ) -> io::Result<()> {
        if self.slots.contains_key(&stream) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let ports = Ports::bind(local, &self.setup.own_ports)?;
        let slot = self.worker.open(now, (stream, bridge), ports.rtcp.is_some(), numbers);
        self.settle(stream, slot, ports)
    }

    /// Watches the sockets of a stream from now on.
    fn settle(&mut self, stream: StreamId, slot: Slot, ports: Ports) -> io::Result<()> {
        let watched = self.watch(slot, &ports);
        if self.rim.ports.len() <= slot.0 {
            self.rim.ports.resize_with(slot.0 + 1, || None);
        }
        self.rim.ports[slot.0] = Some(ports);
        self.slots.insert(stream, slot);
        watched
    }

    fn watch(&self, slot: Slot, ports: &Ports) -> io::Result<()> {
        self.epoll.add(ports.rtp.socket.as_fd(), pack(slot, Channel::Rtp))?;
        match &ports.rtcp {
            Some(rtcp) => self.epoll.add(rtcp.socket.as_fd(), pack(slot, Channel::Rtcp)),
            None => Ok(()),
        }
    }

    fn configure(&mut self, now: Time, stream: StreamId, mut config: StreamConfig) {
        let Some(&slot) = self.slots.get(&stream) else { return };
        // It may be one of ICE from now on.
        self.hurry(slot);
        let Some(Some(ports)) = self.rim.ports.get(slot.0) else { return };
        config.remote = config.remote.filter(|remote| !ports.is_own(remote.rtp));
        if let Some(remote) = config.remote.as_mut().filter(|remote| ports.is_own(remote.rtcp)) {
            remote.rtcp.set_port(0); // no reports, but audio
        }
        self.worker.configure(now, slot, config, &mut self.rim);
    }

    fn close(&mut self, now: Time, stream: StreamId) {
        let slot = self.slots.remove(&stream);
        let stats = slot.and_then(|slot| {
            let bridge = self.worker.bridge_of(slot);
            let stats = self.guard(bridge, |this| {
                this.forget_paced(now, slot);
                this.worker.close(now, slot, &mut this.rim)
            });
            self.rim.ports[slot.0] = None;
            stats.flatten()
        });
        let stats = stats.or_else(|| self.remains.remove(&stream));
        self.rim.event(MediaEvent::Closed { stream, stats: stats.unwrap_or_default() });
    }

    fn record(&mut self, now: Time, command: RecordCommand) {
        let Some(queue) = &self.setup.recordings else { return };
        let slot = match &command {
            RecordCommand::Track { stream, .. } => self.slots.get(stream).copied(),
            RecordCommand::Start { .. }
            | RecordCommand::Pause { .. }
            | RecordCommand::Resume { .. }
            | RecordCommand::Stop { .. } => None,
        };
        let done = self.worker.record(now, &command, slot, &mut self.rim);
        match (command, done) {
            (RecordCommand::Start { recording, name, format }, Ok(_)) => {
                let sink = queue.start(recording, name, format);
                self.rim.recordings.insert(recording, sink);
            }
            (RecordCommand::Stop { recording }, Ok(frames)) => {
                if let Some(sink) = self.rim.recordings.remove(&recording) {
                    sink.stop(frames.unwrap_or(0));
                }
            }
            (_, Err(error)) => tracing::error!(%error, "not recorded"),
            (_, Ok(_)) => {}
        }
    }

    fn set_ticking(&mut self) {
        let wanted = !self.worker.is_idle();
        if wanted == self.ticking {
            return;
        }
        self.ticking = wanted;
        // The ticks run from here, not from when the orders came: to open many streams takes
        // milliseconds, by which every tick after them would seem late.
        self.tick_due = self.now() + TICK;
        self.load.begin(sys::thread_time());
        if let Err(error) = self.ticker.set(if wanted { TICK } else { Duration::ZERO }) {
            tracing::error!(%error, "no ticks");
        }
    }
}

fn pack(slot: Slot, channel: Channel) -> u64 {
    slot.0 as u64 * 2 + u64::from(channel == Channel::Rtcp)
}

fn unpack(token: u64) -> (Slot, Channel) {
    let channel = if token.is_multiple_of(2) { Channel::Rtp } else { Channel::Rtcp };
    (Slot((token / 2) as usize), channel)
}
