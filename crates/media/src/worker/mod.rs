//! What one media thread does with packets and ticks: the streams of its calls, who hears whom.
//!
//! Knows no socket: the shell names a stream by the [`Slot`] it got when it opened it, and takes
//! what is to be sent from a [`Sink`]. Nothing is allocated per packet.

mod dtmf;
mod fault;
mod kept;
mod mix;
mod order;
mod parting;
mod pass_on;
mod path;
mod play;
mod quality;
mod quiet;
mod recording;

pub use fault::{Moment, Remains};
pub(crate) use kept::Kept;
pub(crate) use mix::{Joining, Source};
pub(crate) use order::Order;
pub(crate) use play::Played;
pub(crate) use quiet::Quiet;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Rng, Time, WallTime};

use crate::codec::{Effort, SAMPLES_MAX};
use crate::command::{BridgeId, Codec, Hear, MediaEvent, StreamConfig, StreamId, StreamStats};
use crate::latch::Latched;
use crate::mixer::MixerSettings;
use crate::player::Music;
use crate::reception::Arrival;
use crate::record::{Block, Recorder, RecordingId};
use crate::rtcp::{self, Received, Report, Sent};
use crate::rtp::{self, Packet};
use crate::sender::Origin;
use crate::sound::Sounds;
use crate::stream::{Numbers, Silence, Stream};
use mix::Conference;
use order::Waiting;
pub(crate) use path::Early;
use path::Paths;
use play::Joiner;

pub(crate) use self::quality::Watch;

/// How often [`Worker::tick`] is to be called.
pub const TICK: Duration = Duration::from_millis(20);

/// Ticks in a second.
pub(crate) const FRAMES_PER_SECOND: usize = 50;

/// Ticks between two looks at the same stream: one second.
const HOUSEKEEPING_TICKS: usize = 50;
/// Mean time between two reports (RFC 3550 §6.2).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Seconds from the NTP epoch (1900) to the Unix epoch (RFC 5905 §6).
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// A stream's place in its worker; used again after [`Worker::close`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub usize);

/// Which socket of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The one of RTP (and of RTCP, when they share it).
    Rtp,
    /// The one of RTCP.
    Rtcp,
}

/// Takes what the worker has to say.
pub trait Sink {
    /// Sends a datagram from a stream's socket; false when that failed.
    fn send(&mut self, slot: Slot, channel: Channel, to: SocketAddr, datagram: &[u8]) -> bool;
    /// Tells the core.
    fn event(&mut self, event: MediaEvent);
    /// A piece of a recording is full; the samples are taken, or cleared where nobody records.
    fn recorded(&mut self, recording: RecordingId, block: &mut Block) {
        let _ = recording;
        block.samples.clear();
    }
    /// From now on a socket takes packets from `peer` only; `None` = anybody may be the peer again.
    /// The shell may connect the socket, so that strays cost nothing.
    fn pin(&mut self, slot: Slot, channel: Channel, peer: Option<SocketAddr>);
}

/// A stream between two workers.
pub struct Traveller(Box<Stream>);

/// The streams of one media thread.
pub struct Worker {
    /// Boxed: most of a busy worker's slots are in use, and a free one costs a pointer.
    streams: Vec<Option<Box<Stream>>>,
    free: Vec<usize>,
    /// Slots by name.
    ids: BTreeMap<StreamId, usize>,
    /// The mixes of the calls that have one.
    conferences: BTreeMap<BridgeId, Box<Conference>>,
    /// Mixes there have been.
    mixes: u32,
    /// How they are mixed.
    mixing: MixerSettings,
    /// Calls whose mix changes after a tick.
    rearranged: Vec<BridgeId>,
    /// Slots of those who hear something that we play, or the end of it.
    players: Vec<usize>,
    joiner: Joiner,
    music: Arc<Music>,
    /// Where the call progress tones are.
    sounds: Sounds,
    rng: Rng,
    wall: WallTime,
    ticks: usize,
    /// Of the encoders of mixes and of calls that are transcoded.
    effort: Effort,
    /// Slots whose peers hold a key down.
    pressing: Vec<usize>,
    /// Slots whose peers' tones are those of a key.
    sounding: Vec<usize>,
    /// Slots towards whose peers a key is pressed.
    dialling: Vec<usize>,
    /// Slots whose peers are silent and have told how that sounds.
    pausing: Vec<usize>,
    waiting: Waiting,
    paths: Paths,
    /// At most one a call.
    recorders: BTreeMap<RecordingId, Recorder>,
    /// Calls in whose handling something panicked.
    faulty: Vec<BridgeId>,
    /// Samples of the packet in hand.
    samples: Box<[i16; SAMPLES_MAX]>,
}

impl Worker {
    /// A worker without streams. `wall` is the wall-clock time at [`Time::ZERO`], for sender
    /// reports; `seed` makes canonical names and the pace of reports.
    pub fn new(music: Arc<Music>, seed: [u8; 32], wall: WallTime) -> Self {
        Self {
            streams: Vec::new(),
            free: Vec::new(),
            ids: BTreeMap::new(),
            conferences: BTreeMap::new(),
            mixes: 0,
            mixing: MixerSettings::default(),
            rearranged: Vec::new(),
            players: Vec::new(),
            joiner: Joiner::new(),
            music,
            sounds: Sounds::default(),
            rng: Rng::new(seed),
            wall,
            ticks: 0,
            effort: Effort::default(),
            pressing: Vec::new(),
            sounding: Vec::new(),
            dialling: Vec::new(),
            pausing: Vec::new(),
            waiting: Waiting::new(),
            paths: Paths::default(),
            recorders: BTreeMap::new(),
            faulty: Vec::new(),
            samples: Box::new([0; SAMPLES_MAX]),
        }
    }

    /// Whether there is nothing to do at a tick.
    pub fn is_idle(&self) -> bool {
        self.free.len() == self.streams.len()
    }

    /// How calls are mixed that change from now on; who is heard always is up to each of them.
    pub fn set_mixing(&mut self, mixing: MixerSettings) {
        self.mixing = mixing;
    }

    /// Has those who are mixed encoded with so much effort from the next tick on, and those who are
    /// transcoded within a second; what is recorded or played is as it was.
    pub fn set_effort(&mut self, effort: Effort) {
        self.effort = effort;
    }

    /// Plays other music from now on.
    pub fn set_music(&mut self, music: Arc<Music>) {
        self.music = music;
        self.joiner.forget();
    }

    /// Plays other tones from now on; a tone that is not among them is silence.
    pub fn set_sounds(&mut self, sounds: Sounds) {
        self.sounds = sounds;
        self.joiner.forget();
    }

    /// A new stream of a call, whose sockets are bound. `rtcp_port` tells whether it has two.
    pub fn open(
        &mut self,
        now: Time,
        (id, bridge): (StreamId, BridgeId),
        rtcp_port: bool,
        numbers: Numbers,
    ) -> Slot {
        let mut stream = Stream::new(now, (id, bridge), rtcp_port, numbers, &mut self.rng);
        stream.reports.due = now + self.report_interval() / 2;
        let slot = self.free.pop().unwrap_or(self.streams.len());
        if slot == self.streams.len() {
            self.streams.push(None);
        }
        self.streams[slot] = Some(Box::new(stream));
        self.ids.insert(id, slot);
        self.arrange(bridge);
        Slot(slot)
    }

    /// What offer/answer agreed on.
    pub fn configure(&mut self, now: Time, slot: Slot, config: StreamConfig, sink: &mut impl Sink) {
        let Some(changed) = stream(&mut self.streams, slot.0) else { return };
        let received = changed.config.receive;
        let moved = changed.configure(now, config);
        for channel in moved.into_iter().flatten() {
            sink.pin(slot, channel, None);
        }
        self.configure_path(now, slot, sink);
        self.retune(slot.0);
        self.rearrange(slot.0);
        let Some(changed) = stream(&mut self.streams, slot.0) else { return };
        if changed.config.receive && !received {
            // What was not passed on in between is not lost.
            let hearers = changed.hearers.len();
            for i in 0..hearers {
                let Some(Some(source)) = self.streams.get(slot.0) else { return };
                let hearer = source.hearers[i];
                if let Some(hearer) = stream(&mut self.streams, hearer) {
                    hearer.sender.cut();
                }
            }
        }
    }

    /// What `listener` hears from now on; telling the same again changes nothing. `source` is where [`Hear::Stream`] is, if it is here.
    pub fn hear(&mut self, listener: Slot, hear: Hear, source: Option<Slot>) {
        let known = stream(&mut self.streams, listener.0)
            .is_none_or(|stream| stream.hear == hear && stream.source == source.map(|s| s.0));
        if known {
            return;
        }
        let before = stream(&mut self.streams, listener.0).and_then(|stream| stream.source);
        match hear {
            // There what was said dies away in what it said it with, or it goes on.
            Hear::Music | Hear::Silence | Hear::Tone(_) if self.speaks_to(listener.0) => {}
            Hear::Mix(_) => self.part_into_mix(listener.0),
            Hear::Music | Hear::Silence | Hear::Tone(_) => self.part(listener.0),
            Hear::Nothing | Hear::Stream(_) => self.die_away(listener.0),
        }
        self.unhear(listener.0);
        // Nobody hears themselves, nor somebody who is not there.
        let source = source
            .filter(|source| *source != listener && stream(&mut self.streams, source.0).is_some());
        let Some(stream) = stream(&mut self.streams, listener.0) else { return };
        let was_mixed = matches!(stream.hear, Hear::Mix(_));
        let is_mixed = matches!(hear, Hear::Mix(_));
        let plays_out = stream.played.is_some() && !hear.is_played();
        if !was_mixed && !plays_out {
            stream.sender.cut();
        }
        stream.music_at = 0;
        stream.hear = hear;
        match (hear, source) {
            (Hear::Stream(_), Some(source)) => {
                stream.source = Some(source.0);
                if let Some(Some(source)) = self.streams.get_mut(source.0) {
                    source.hearers.push(listener.0);
                }
                self.retune(source.0);
            }
            (Hear::Music | Hear::Silence | Hear::Tone(_), _) => self.play_to(listener.0),
            (Hear::Mix(_), _) => {}
            (Hear::Stream(_) | Hear::Nothing, _) => stream.hear = Hear::Nothing,
        }
        self.leave_mouth(listener.0);
        if is_mixed {
            self.join_mix(listener.0, before);
        } else if was_mixed {
            self.leave_mix(listener.0);
        }
        self.rearrange(listener.0);
    }

    /// A stream belongs to another call from now on. It hears nothing until it is told what, and
    /// those who heard it hear nothing.
    pub fn move_to(&mut self, slot: Slot, bridge: BridgeId) {
        self.die_away(slot.0);
        self.unhear(slot.0);
        self.unheard(slot.0);
        let Some(stream) = stream(&mut self.streams, slot.0) else { return };
        let before = std::mem::replace(&mut stream.bridge, bridge);
        stream.hear = Hear::Nothing;
        stream.leave_seat();
        self.retune(slot.0);
        self.arrange(before);
        self.arrange(bridge);
    }

    /// Says goodbye and forgets the stream; the shell closes its sockets, then tells the figures.
    pub fn close(
        &mut self,
        now: Time,
        slot: Slot,
        sink: &mut impl Sink,
    ) -> Option<Box<StreamStats>> {
        self.report(now, slot.0, true, sink);
        self.take_out(slot.0).map(|gone| gone.figures(true))
    }

    /// Takes a stream out for the worker of another call: its session goes on there, and so must
    /// its sockets.
    pub fn depart(&mut self, slot: Slot) -> Option<Traveller> {
        self.die_away(slot.0);
        let mut gone = self.take_out(slot.0)?;
        gone.hear = Hear::Nothing;
        gone.source = None;
        gone.ear = None;
        gone.order = Order::default();
        gone.tail = None;
        gone.leave_seat();
        gone.recording = None;
        // Slots of here mean nothing there.
        gone.sender.cut();
        Some(Traveller(gone))
    }

    /// Takes in a stream of another worker, for a call of this one. Nobody hears it yet.
    pub fn arrive(&mut self, Traveller(mut stream): Traveller, bridge: BridgeId) -> Slot {
        stream.bridge = bridge;
        let slot = self.free.pop().unwrap_or(self.streams.len());
        if slot == self.streams.len() {
            self.streams.push(None);
        }
        // A key that is down on either side is still down.
        self.pressing.extend(stream.keys.is_some().then_some(slot));
        self.dialling.extend(stream.is_dialling.then_some(slot));
        if stream.path.is_some() {
            self.paths.welcome(slot);
        }
        self.sounding.extend(stream.tone.is_some().then_some(slot));
        self.pausing.extend(stream.quiet.is_some().then_some(slot));
        let has_to_end = stream.is_played() || stream.ending.is_some();
        self.players.extend(has_to_end.then_some(slot));
        self.ids.insert(stream.id, slot);
        self.streams[slot] = Some(stream);
        self.arrange(bridge);
        Slot(slot)
    }

    /// Removes a stream from everything that knows it.
    fn take_out(&mut self, slot: usize) -> Option<Box<Stream>> {
        self.unhear(slot);
        self.unheard(slot);
        self.players.retain(|player| *player != slot);
        self.pressing.retain(|pressing| *pressing != slot);
        self.sounding.retain(|sounding| *sounding != slot);
        self.dialling.retain(|dialling| *dialling != slot);
        self.pausing.retain(|pausing| *pausing != slot);
        self.waiting.forget(slot);
        self.paths.forget(slot);
        let gone = self.streams.get_mut(slot).and_then(Option::take)?;
        self.free.push(slot);
        self.ids.remove(&gone.id);
        self.arrange(gone.bridge);
        if let Some(recorder) = gone.recording.and_then(|id| self.recorders.get_mut(&id)) {
            recorder.track(gone.id, None);
        }
        Some(gone)
    }

    /// Whether nothing happens before the next tick with what comes to a stream: nobody hears it but
    /// in a mix. Its socket may be read once a tick, just before it, which costs no wake-up.
    pub fn waits_for_tick(&self, slot: Slot) -> bool {
        let stream = self.streams.get(slot.0).and_then(Option::as_deref);
        stream.is_some_and(|stream| stream.hearers.is_empty() && stream.path.is_none())
    }

    /// A datagram has come. Its bytes are overwritten. `now` is when it came: not before the last of
    /// this stream's. Afterwards [`Self::give_up`] is to be asked.
    pub fn packet(
        &mut self,
        now: Time,
        slot: Slot,
        channel: Channel,
        from: SocketAddr,
        datagram: &mut [u8],
        sink: &mut impl Sink,
    ) {
        self.guard_slot(slot.0, |worker| worker.take(now, slot, channel, from, datagram, sink));
    }

    fn take(
        &mut self,
        now: Time,
        slot: Slot,
        channel: Channel,
        from: SocketAddr,
        datagram: &mut [u8],
        sink: &mut impl Sink,
    ) {
        let Some(stream) = stream(&mut self.streams, slot.0) else { return };
        stream.trip(Moment::Packet);
        let has_path = stream.path.is_some();
        if has_path && !self.on_path(now, slot, channel, from, datagram, sink) {
            return;
        }
        let Some(stream) = self::stream(&mut self.streams, slot.0) else { return };
        if !stream.admits(channel, from, datagram) {
            stream.keep_early(from, datagram);
            stream.stats.strays_dropped += 1;
            return;
        }
        let is_rtcp = channel == Channel::Rtcp || (rtp::is_rtcp(datagram) && stream.is_muxed());
        let Some(datagram) = stream.unprotect(datagram, is_rtcp) else { return };
        if is_rtcp {
            self.rtcp(now, slot, channel, from, datagram, sink);
        } else if let Some(taken) = self.rtp(now, slot, from, datagram, sink) {
            self.pass_on_in_order(now, slot, taken, datagram, sink);
        }
    }

    /// Plays to those who hear music, and once a second looks after every stream. Afterwards
    /// [`Self::give_up`] is to be asked.
    pub fn tick(&mut self, now: Time, sink: &mut impl Sink) {
        self.tick_orders(now, sink);
        self.tick_players(now, sink);
        self.tick_mixes(now, sink);
        self.tick_keys(now, sink);
        self.tick_noise(now, sink);
        self.tick_paths(now, sink);
        self.tick_recorders(now, sink);
        self.ticks = (self.ticks + 1) % HOUSEKEEPING_TICKS;
        for slot in (self.ticks..self.streams.len()).step_by(HOUSEKEEPING_TICKS) {
            self.guard_slot(slot, |worker| worker.housekeep(now, slot, sink));
        }
    }

    /// Takes an RTP packet; `None` when there is nothing to pass on.
    fn rtp(
        &mut self,
        now: Time,
        slot: Slot,
        from: SocketAddr,
        datagram: &[u8],
        sink: &mut impl Sink,
    ) -> Option<Taken> {
        let stream = stream(&mut self.streams, slot.0)?;
        let packet = rtp::parse(datagram).ok();
        let known = packet.and_then(|packet| {
            let payload_type = packet.header.payload_type;
            let agreed = stream.received_payload(payload_type).copied();
            Some((agreed.or_else(|| stream.unasked_noise(payload_type))?, packet))
        });
        let Some((payload, packet)) = known else {
            stream.stats.malformed_dropped += 1;
            return None;
        };
        match stream.accept(from, &packet.header) {
            Latched::Peer => {}
            Latched::Wait => {
                stream.stats.strays_dropped += 1;
                return None;
            }
            Latched::Settled => sink.pin(slot, Channel::Rtp, Some(from)),
            Latched::New => {
                if stream.rtp.settled().is_some() {
                    sink.pin(slot, Channel::Rtp, Some(from));
                }
                if stream.rtcp.open() {
                    sink.pin(slot, Channel::Rtcp, None);
                }
                sink.event(MediaEvent::FirstPacket { stream: stream.id, from });
            }
        }
        stream.alive(now, sink);
        let is_audio = payload.codec.is_audio();
        if is_audio {
            stream.stats.codec = Some(payload.codec);
        }
        let clock_rate = is_audio.then_some(payload.clock_rate);
        let arrival =
            stream.reception.arrive(now, &packet.header, packet.payload.len(), clock_rate);
        let Arrival::New { run, extended, in_order } = arrival else { return None };
        stream.config.receive.then_some(Taken {
            arrival: now,
            packet,
            origin: Origin { source: slot.0, run },
            extended,
            in_order,
            key: payload.key,
            codec: payload.codec,
            clock_rate: payload.clock_rate,
            is_audio,
        })
    }

    fn rtcp(
        &mut self,
        now: Time,
        slot: Slot,
        channel: Channel,
        from: SocketAddr,
        datagram: &[u8],
        sink: &mut impl Sink,
    ) {
        let ntp = self.ntp(now);
        let Some(stream) = stream(&mut self.streams, slot.0) else { return };
        let Some(incoming) = rtcp::parse(datagram, stream.sender.ssrc()) else {
            stream.stats.malformed_dropped += 1;
            return;
        };
        match channel {
            Channel::Rtcp => {
                let standing = stream.rtcp_standing(from, datagram);
                if stream.rtcp.accept(from, standing) {
                    sink.pin(slot, Channel::Rtcp, Some(from));
                }
            }
            // On a shared port only RTP says who the peer is.
            Channel::Rtp if stream.rtp.source().is_none() && stream.found().is_none() => {
                stream.stats.strays_dropped += 1;
                return;
            }
            Channel::Rtp => {}
        }
        stream.stats.rtcp_received += 1;
        stream.reports.heard = Some(now);
        if let Some(middle) = incoming.sender_report {
            stream.reports.peers = Some((middle, now));
        }
        stream.take_report(now, ntp, &incoming, sink);
        self.expect_losses(slot.0);
    }

    fn housekeep(&mut self, now: Time, slot: usize, sink: &mut impl Sink) {
        let (interval, effort) = (self.report_interval(), self.effort);
        let Some(stream) = stream(&mut self.streams, slot) else { return };
        stream.trip(Moment::Look);
        if let Some(mouth) = &mut stream.mouth {
            mouth.set_effort(effort);
        }
        stream.watch_silence(now, sink);
        stream.rate(now, sink);
        if stream.reports.due > now {
            return;
        }
        stream.reports.due = now + interval;
        sink.event(MediaEvent::Stats { stream: stream.id, stats: stream.figures(false) });
        self.report(now, slot, false, sink);
    }

    fn report(&mut self, now: Time, slot: usize, goodbye: bool, sink: &mut impl Sink) {
        let ntp = self.ntp(now);
        let Some(stream) = stream(&mut self.streams, slot) else { return };
        let nothing_yet = stream.sender.packets() == 0 && stream.reception.received() == 0;
        let Some(target) = stream.rtcp_target() else { return };
        // RFC 3550 §6.3.7: who never sent anything says no goodbye.
        if goodbye && nothing_yet {
            return;
        }
        let channel = if stream.is_muxed() { Channel::Rtp } else { Channel::Rtcp };
        let metrics = stream.metrics();
        let report = stream.make_report(now, ntp, goodbye).to_bytes_with(metrics.as_ref());
        let Some(report) = report else { return };
        stream.reports.packets_sent = stream.sender.packets();
        if stream.send(sink, (Slot(slot), channel), target, &report) {
            stream.stats.rtcp_sent += 1;
        }
    }

    /// Whether a listener hears what was coded for it.
    fn speaks_to(&mut self, listener: usize) -> bool {
        let mouth = stream(&mut self.streams, listener).and_then(|it| it.mouth.as_ref());
        mouth.is_some_and(|mouth| mouth.is_speaking())
    }

    /// What a mouth said so far does not go on, unless what follows is at hand to be joined to it.
    fn leave_mouth(&mut self, listener: usize) {
        let left = stream(&mut self.streams, listener).filter(|stream| !stream.is_played());
        if let Some(mouth) = left.and_then(|stream| stream.mouth.as_mut()) {
            mouth.leave();
        }
    }

    fn unhear(&mut self, listener: usize) {
        let source = stream(&mut self.streams, listener).and_then(|stream| stream.source.take());
        if let Some(source) = source.and_then(|source| stream(&mut self.streams, source)) {
            source.hearers.retain(|hearer| *hearer != listener);
        }
    }

    /// Who heard a stream hears nothing.
    fn unheard(&mut self, source: usize) {
        let hearers = stream(&mut self.streams, source).map(|source| source.hearers.clone());
        for listener in hearers.into_iter().flatten() {
            self.die_away(listener);
            if let Some(stream) = stream(&mut self.streams, listener) {
                stream.hear = Hear::Nothing;
                stream.source = None;
            }
        }
        if let Some(source) = stream(&mut self.streams, source) {
            source.hearers.clear();
        }
    }

    /// RFC 3550 §6.2: half to one and a half times the mean, so that reports do not synchronise.
    fn report_interval(&mut self) -> Duration {
        let mean = REPORT_INTERVAL.as_millis() as u64;
        Duration::from_millis(mean / 2 + self.rng.below(mean))
    }

    fn ntp(&self, now: Time) -> u64 {
        let nanos = u128::from(self.wall.0) * 1_000_000 + u128::from(now.as_nanos());
        let nanos = nanos + u128::from(NTP_TO_UNIX_SECONDS) * 1_000_000_000;
        ((nanos << 32) / 1_000_000_000) as u64
    }
}

/// A packet of the peer that counts.
struct Taken {
    /// When it came.
    arrival: Time,
    packet: Packet,
    origin: Origin,
    extended: u64,
    in_order: bool,
    key: u8,
    codec: Codec,
    /// Of its timestamp, hertz.
    clock_rate: u32,
    is_audio: bool,
}

fn stream(streams: &mut [Option<Box<Stream>>], slot: usize) -> Option<&mut Stream> {
    streams.get_mut(slot)?.as_deref_mut()
}

impl Stream {
    fn alive(&mut self, now: Time, sink: &mut impl Sink) {
        if self.silence.told {
            sink.event(MediaEvent::RtpResumed { stream: self.id });
        }
        self.silence = Silence { since: now, told: false };
    }

    /// INTEROP 17: a peer that went away without a word. A phone whose audio is dead may go on
    /// reporting: only audio and keys count, but for one that has told how its silence sounds (RFC 3389), and
    /// is silent for as long as its user is.
    fn watch_silence(&mut self, now: Time, sink: &mut impl Sink) {
        let Some(limit) = self.config.rtp_timeout else { return };
        let reports = self.reports.heard.is_some_and(|heard| now - heard < limit);
        if reports && self.quiet.as_ref().is_some_and(|quiet| quiet.is_on()) {
            return;
        }
        if self.config.receive && !self.silence.told && now - self.silence.since >= limit {
            self.silence.told = true;
            sink.event(MediaEvent::RtpTimeout { stream: self.id });
        }
    }

    fn make_report(&mut self, now: Time, ntp: u64, goodbye: bool) -> Report<'_> {
        let sent = (self.sender.packets() > self.reports.packets_sent).then(|| Sent {
            ntp,
            timestamp: self.sender.timestamp_at(now),
            packets: self.sender.packets() as u32,
            bytes: self.sender.bytes() as u32,
        });
        let received = self.reception.report().map(|block| {
            let (last_report, delay) = self.reports.peers.map_or((0, 0), |(middle, at)| {
                (middle, ((now - at).as_nanos() * 65_536 / 1_000_000_000) as u32)
            });
            Received { block, last_report, delay }
        });
        Report { ssrc: self.sender.ssrc(), cname: &self.cname, sent, received, goodbye }
    }
}

#[cfg(test)]
mod tests;
