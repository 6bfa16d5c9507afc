//! Sockets that are read at ticks only. What comes to a stream that is heard in a mix, or not at all,
//! waits for the tick anyway: to be woken for each packet would cost more than mixing it. The kernel
//! notes when each came, so that jitter is what it is.

use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use base::Time;
use media::command::MediaEvent;
use media::worker::{Channel, Slot};

use super::{Thread, pack};
use crate::sys::{self, BATCH, Batch};

/// How often it is looked which sockets these are: not at once, as calls that are being set up or
/// come back from hold would have them changed for nothing.
const LOOK_TICKS: u64 = 50;
/// Reads of one such socket at one tick, at most: [`BATCH`] datagrams each.
const READS_MAX: usize = 4;

pub(super) struct Pacing {
    /// Slots whose audio is read at ticks.
    slots: Vec<Slot>,
    batch: Batch,
    ticks: u64,
    /// When it was read last.
    read: Time,
}

impl Pacing {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), batch: Batch::new(), ticks: 0, read: Time::ZERO }
    }
}

impl<E: Fn(MediaEvent)> Thread<E> {
    /// Reads what has come since the last tick.
    pub(super) fn read_paced(&mut self, now: Time) {
        let wall = wall();
        for i in 0..self.pacing.slots.len() {
            self.read_slot(now, wall, self.pacing.slots[i]);
        }
        self.pacing.read = now;
    }

    fn read_slot(&mut self, now: Time, wall: Duration, slot: Slot) {
        for _ in 0..READS_MAX {
            let Some(port) = self.rim.port(slot, Channel::Rtp) else { return };
            let read = self.pacing.batch.receive(port.socket.as_fd());
            for n in 0..read {
                let Some((from, at, datagram)) = self.pacing.batch.datagram(n) else { continue };
                let age = at.map(|at| wall.saturating_sub(Duration::from_nanos(at)));
                // Whatever the wall clock does: between the last look and this one.
                let age = age.unwrap_or_default().min(now - self.pacing.read);
                let came = Time::ZERO + (now - Time::ZERO).saturating_sub(age);
                self.worker.packet(came, slot, Channel::Rtp, from, datagram, &mut self.rim);
            }
            if read < BATCH {
                return;
            }
        }
    }

    /// At each tick: now and then looks whose audio can be read at ticks from now on.
    pub(super) fn pace(&mut self) {
        self.pacing.ticks += 1;
        if !self.pacing.ticks.is_multiple_of(LOOK_TICKS) {
            return;
        }
        for slot in (0..self.rim.ports.len()).map(Slot) {
            let Some(Some(ports)) = self.rim.ports.get_mut(slot.0) else { continue };
            if ports.is_paced || !self.worker.waits_for_tick(slot) {
                continue;
            }
            if sys::note_arrivals(ports.rtp.socket.as_fd(), true).is_ok() {
                ports.is_paced = true;
                self.epoll.remove(ports.rtp.socket.as_fd());
                self.pacing.slots.push(slot);
            }
        }
    }

    /// Has a stream's audio read as it comes again.
    pub(super) fn hurry(&mut self, slot: Slot) {
        let Some(Some(ports)) = self.rim.ports.get_mut(slot.0) else { return };
        if !std::mem::take(&mut ports.is_paced) {
            return;
        }
        self.pacing.slots.retain(|paced| *paced != slot);
        let socket = ports.rtp.socket.as_fd();
        // A time that is noted for nothing costs nothing worth a deaf stream.
        let _ = sys::note_arrivals(socket, false);
        if let Err(error) = self.epoll.add(socket, pack(slot, Channel::Rtp)) {
            tracing::error!(%error, "a stream cannot be watched again");
        }
    }

    /// A stream is about to be closed: what has come to it still counts.
    pub(super) fn forget_paced(&mut self, now: Time, slot: Slot) {
        let is_paced = matches!(self.rim.ports.get(slot.0), Some(Some(ports)) if ports.is_paced);
        if is_paced {
            self.read_slot(now, wall(), slot);
            self.pacing.slots.retain(|paced| *paced != slot);
        }
    }
}

/// Time since 1970.
fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
