//! Streams whose peer is found by ICE, or whose keys are made by DTLS: what comes before media.
//!
//! Each has a port of its own, as every other stream: it moves between workers with its sockets, a
//! flood at one port is one leg's, and a peer without ICE can be told by nothing but its port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Time;

use super::{Channel, Sink, Slot, Worker, stream};
use crate::command::{MediaEvent, PathConfig};
use crate::dtls::Identity;
use crate::ice::{Kind, kind};
use crate::latch::Latched;
use crate::path::{Event, Path};
use crate::rtp::Header;
use crate::srtp::{Keying, Srtp};
use crate::stream::Stream;

/// The longest record kept that comes before the answer, bytes: a ClientHello has some hundred.
const EARLY_MAX: usize = 1024;
/// How long nobody looks when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// The first record of a peer that was quicker than its answer: DTLS repeats it after a second only.
#[derive(Debug)]
pub(crate) struct Early {
    from: SocketAddr,
    datagram: Vec<u8>,
}

/// The streams that have a path.
#[derive(Default)]
pub(super) struct Paths {
    identity: Option<Arc<Identity>>,
    slots: Vec<usize>,
    /// No path has anything to do before.
    due: Time,
}

impl Paths {
    pub(super) fn forget(&mut self, slot: usize) {
        self.slots.retain(|known| *known != slot);
    }

    /// A stream with a path has come from another worker: it is looked at with the next tick.
    pub(super) fn welcome(&mut self, slot: usize) {
        self.slots.push(slot);
        self.due = Time::ZERO;
    }

    fn learn(&mut self, slot: usize, path: &Path) {
        if !self.slots.contains(&slot) {
            self.slots.push(slot);
        }
        self.wake(path);
    }

    fn wake(&mut self, path: &Path) {
        self.due = path.poll_timeout().map_or(self.due, |at| at.min(self.due));
    }
}

impl Worker {
    /// Who we are to peers that make keys by DTLS. Without it such a stream stays silent.
    pub fn set_identity(&mut self, identity: Arc<Identity>) {
        self.paths.identity = Some(identity);
    }

    /// Makes a stream's path what its configuration says.
    pub(super) fn configure_path(&mut self, now: Time, slot: Slot, sink: &mut impl Sink) {
        let Some(stream) = stream(&mut self.streams, slot.0) else { return };
        let Some(config) = &stream.config.path else {
            stream.path = None;
            return self.paths.forget(slot.0);
        };
        let dtls = self.paths.identity.as_ref().zip(config.dtls.clone());
        let remote = stream.config.remote.map(|remote| remote.rtp);
        let path = stream.path.get_or_insert_with(|| {
            let (path, keys) = resume(now, config, dtls.clone());
            stream.srtp = keys.map(|keys| Box::new(Srtp::new(keys))).or(stream.srtp.take());
            Box::new(path)
        });
        path.configure(now, config.ice.clone(), dtls, remote, |to, datagram| {
            sink.send(slot, Channel::Rtp, to, datagram);
        });
        // Another peer makes other keys: those of the former one are nobody's any more.
        if config.dtls.is_some() && !path.is_keyed() {
            stream.srtp = None;
        }
        if let Some(early) = stream.early.take() {
            let Early { from, datagram } = *early;
            let fits = stream.rtp.admits(from);
            path.handle(now, from, fits, &datagram, |to, answer| {
                sink.send(slot, Channel::Rtp, to, answer);
            });
        }
        self.paths.learn(slot.0, path);
        stream.follow_path(sink);
    }

    /// Takes what is no media; true: it is, or looks so, and goes on.
    pub(super) fn on_path(
        &mut self,
        now: Time,
        slot: Slot,
        channel: Channel,
        from: SocketAddr,
        datagram: &[u8],
        sink: &mut impl Sink,
    ) -> bool {
        let Some(stream) = stream(&mut self.streams, slot.0) else { return false };
        let fits = stream.rtp.admits(from);
        let makes_keys = stream.makes_keys();
        let Some(path) = &mut stream.path else { return true };
        match (channel, kind(datagram)) {
            (Channel::Rtp, Some(Kind::Rtp)) => true,
            // RFC 5764 §3: RTCP at a port of its own would need an association of its own. Whoever
            // does not multiplex goes without.
            (Channel::Rtcp, _) if makes_keys => {
                stream.stats.strays_dropped += 1;
                false
            }
            (Channel::Rtcp, _) => true,
            (Channel::Rtp, Some(Kind::Stun | Kind::Dtls) | None) => {
                path.handle(now, from, fits, datagram, |to, answer| {
                    sink.send(slot, Channel::Rtp, to, answer);
                });
                self.paths.wake(path);
                stream.follow_path(sink);
                false
            }
        }
    }

    /// Repeats and gives up what is due.
    pub(super) fn tick_paths(&mut self, now: Time, sink: &mut impl Sink) {
        if now < self.paths.due {
            return;
        }
        self.paths.due = now + IDLE;
        for i in 0..self.paths.slots.len() {
            let slot = self.paths.slots[i];
            self.guard_slot(slot, |worker| worker.tick_path(now, Slot(slot), sink));
        }
    }

    fn tick_path(&mut self, now: Time, slot: Slot, sink: &mut impl Sink) {
        let Some(stream) = stream(&mut self.streams, slot.0) else { return };
        let Some(path) = &mut stream.path else { return };
        if path.poll_timeout().is_some_and(|at| at <= now) {
            path.handle_timeout(now, |to, datagram| {
                sink.send(slot, Channel::Rtp, to, datagram);
            });
        }
        self.paths.wake(path);
        stream.follow_path(sink);
    }
}

/// A path as far as a former engine has come with it.
fn resume(
    now: Time,
    config: &PathConfig,
    dtls: Option<(&Arc<Identity>, crate::dtls::Peer)>,
) -> (Path, Option<Keying>) {
    let found = &config.found;
    let keys = found.keys.clone().filter(|_| dtls.is_some());
    let ice = config.ice.clone().zip(found.to);
    if keys.is_none() && ice.is_none() {
        return (Path::default(), None);
    }
    (Path::resume(now, ice, dtls.filter(|_| keys.is_some())), keys)
}

impl Stream {
    /// Where ICE sends to; `None`: there is no ICE, `Some(None)`: nowhere yet.
    pub(crate) fn found(&self) -> Option<Option<SocketAddr>> {
        self.path.as_ref().and_then(|path| path.target())
    }

    /// Whether its keys come by DTLS.
    pub(crate) fn makes_keys(&self) -> bool {
        self.config.path.as_ref().is_some_and(|path| path.dtls.is_some())
    }

    /// Whether nothing may be sent or heard before there are keys.
    pub(crate) fn awaits_keys(&self) -> bool {
        self.srtp.is_none() && self.makes_keys()
    }

    /// Takes note of a packet that was admitted.
    pub(super) fn accept(&mut self, from: SocketAddr, header: &Header) -> Latched {
        match self.found() {
            None => self.rtp.accept(from, header),
            Some(_) if self.reception.received() == 0 => Latched::New,
            Some(_) => Latched::Peer,
        }
    }

    /// Keeps the latest record that came before anything was agreed on: who sent it is looked at
    /// when that is known.
    pub(super) fn keep_early(&mut self, from: SocketAddr, datagram: &[u8]) {
        let is_new = self.config.payloads.is_empty();
        if is_new && kind(datagram) == Some(Kind::Dtls) && datagram.len() <= EARLY_MAX {
            self.early = Some(Box::new(Early { from, datagram: datagram.to_vec() }));
        }
    }

    /// Does what has become of the path.
    fn follow_path(&mut self, sink: &mut impl Sink) {
        while let Some(event) = self.path.as_mut().and_then(|path| path.poll_event()) {
            match &event {
                Event::Keyed(keying) => {
                    match &mut self.srtp {
                        Some(srtp) => srtp.rekey(keying.clone()),
                        None => self.srtp = Some(Box::new(Srtp::new(keying.clone()))),
                    }
                    // What was not sent before is not lost.
                    self.sender.cut();
                }
                Event::Selected(_) => self.sender.cut(),
                Event::ConsentLost => {}
                Event::Failed(_) => self.srtp = None,
            }
            sink.event(MediaEvent::Path { stream: self.id, event });
        }
    }
}
