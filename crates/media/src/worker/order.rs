//! Packets in their order, where what they say is cleaned or coded anew: nothing can go back behind
//! what has been spoken.
//!
//! What is mixed waits for the tick anyway, so there a packet waits for the one before it until the
//! mix would have nothing else to play. On the way to one listener there is no such delay: only
//! while packets overtake each other does one wait, until the next comes. On a clean network
//! nobody waits for anything.

use std::time::Duration;

use base::Time;

use super::{Sink, Slot, Taken, Worker, stream};
use crate::rtp::DATAGRAM_MAX;
use crate::stream::Stream;

/// Packets of a stream that wait on the way into a mix, and to one listener.
const HELD_MAX: (u8, u8) = (6, 1);
/// For so long after one packet has overtaken another, others are expected to.
const EXPECTED: Duration = Duration::from_secs(10);
/// For so long a packet waits for a listener when no other comes.
const PATIENCE: Duration = Duration::from_millis(40);
/// Packets that can wait before more room is made.
const ROOM: usize = 16;

/// Which packet of a stream comes next.
#[derive(Default)]
pub(crate) struct Order {
    /// Whether it counts.
    pub(crate) is_needed: bool,
    /// The sender's run, and the number.
    next: Option<(u32, u64)>,
    /// When a packet came last that others had overtaken.
    overtaken: Option<Time>,
    /// Packets that wait.
    held: u8,
}

/// The packets of all streams that wait for one before them.
pub(super) struct Waiting {
    held: Vec<Held>,
    #[expect(clippy::vec_box, reason = "they go to the others and come back")]
    spare: Vec<Box<[u8; DATAGRAM_MAX]>>,
}

struct Held {
    slot: usize,
    taken: Taken,
    datagram: Box<[u8; DATAGRAM_MAX]>,
    len: usize,
}

/// Where a packet is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The first of a run.
    Anew,
    Next,
    /// Those behind it have been passed on.
    Late,
    /// Others are missing before it.
    Ahead,
}

impl Order {
    fn place(&self, taken: &Taken) -> Place {
        match self.next {
            Some((run, next)) if run == taken.origin.run => match taken.extended.cmp(&next) {
                std::cmp::Ordering::Less => Place::Late,
                std::cmp::Ordering::Equal => Place::Next,
                std::cmp::Ordering::Greater => Place::Ahead,
            },
            Some(_) | None => Place::Anew,
        }
    }
}

impl Waiting {
    pub(super) fn new() -> Self {
        let spare = (0..ROOM).map(|_| Box::new([0; DATAGRAM_MAX])).collect();
        Self { held: Vec::with_capacity(ROOM), spare }
    }

    fn hold(&mut self, slot: usize, taken: Taken, datagram: &[u8]) {
        let mut room = self.spare.pop().unwrap_or_else(|| Box::new([0; DATAGRAM_MAX]));
        let len = datagram.len().min(DATAGRAM_MAX);
        room[..len].copy_from_slice(&datagram[..len]);
        self.held.push(Held { slot, taken, datagram: room, len });
    }

    /// Where the first one of a stream is.
    fn first(&self, slot: usize) -> Option<usize> {
        let those = self.held.iter().enumerate().filter(|(_, held)| held.slot == slot);
        Some(those.min_by_key(|(_, held)| held.taken.extended)?.0)
    }

    /// Its stream is gone.
    pub(super) fn forget(&mut self, slot: usize) {
        for held in self.held.extract_if(.., |held| held.slot == slot) {
            self.spare.push(held.datagram);
        }
    }
}

impl Stream {
    /// Packets that may wait; whether they wait for a mix only.
    fn patience(&self, now: Time) -> (u8, bool) {
        if self.said.is_some() && self.hearers.is_empty() {
            return (HELD_MAX.0, true);
        }
        let is_expected = self.order.overtaken.is_some_and(|at| now - at < EXPECTED);
        (if is_expected { HELD_MAX.1 } else { 0 }, false)
    }
}

impl Worker {
    /// Passes a packet on, or keeps it until its turn.
    pub(super) fn pass_on_in_order(
        &mut self,
        now: Time,
        slot: Slot,
        taken: Taken,
        datagram: &mut [u8],
        sink: &mut impl Sink,
    ) {
        let Some(stream) = stream(&mut self.streams, slot.0) else { return };
        if !stream.order.is_needed {
            if stream.order.next.is_some() {
                stream.order.next = None;
                self.release_all(now, slot, sink);
            }
            return self.pass_on(now, slot, &taken, datagram, sink);
        }
        let (patience, _) = stream.patience(now);
        match stream.order.place(&taken) {
            Place::Late => {
                stream.order.overtaken = Some(now);
                self.pass_on(now, slot, &taken, datagram, sink);
            }
            Place::Next => {
                if stream.order.held > 0 {
                    stream.order.overtaken = Some(now);
                }
                self.pass_on_next(now, slot, taken, datagram, sink);
                self.release(now, slot, sink);
            }
            Place::Ahead if patience > 0 => {
                stream.order.held += 1;
                let is_full = stream.order.held > patience;
                self.waiting.hold(slot.0, taken, datagram);
                if is_full {
                    self.release_first(now, slot, sink);
                }
            }
            Place::Ahead | Place::Anew => {
                self.release_all(now, slot, sink);
                self.pass_on_next(now, slot, taken, datagram, sink);
            }
        }
    }

    /// Just before a tick: what the mix needs now, and what has waited long enough, waits no more.
    pub(super) fn tick_orders(&mut self, now: Time, sink: &mut impl Sink) {
        let mut at = 0;
        while let Some(slot) = self.waiting.held.get(at).map(|held| held.slot) {
            if !self.is_due(now, slot) {
                at += 1;
                continue;
            }
            self.guard_slot(slot, |worker| worker.release_first(now, Slot(slot), sink));
            at = 0;
        }
    }

    fn is_due(&mut self, now: Time, slot: usize) -> bool {
        let Some(stream) = stream(&mut self.streams, slot) else { return true };
        match (&stream.said, stream.patience(now)) {
            (Some(said), (_, true)) => said.is_short(),
            (Some(_) | None, _) => {
                let first = self.waiting.first(slot).map(|first| &self.waiting.held[first]);
                first.is_some_and(|first| now - first.taken.arrival >= PATIENCE)
            }
        }
    }

    /// Passes on the first one that waits, whatever is missing before it, and those behind it.
    fn release_first(&mut self, now: Time, slot: Slot, sink: &mut impl Sink) {
        self.release_one(now, slot, true, sink);
        self.release(now, slot, sink);
    }

    fn release_all(&mut self, now: Time, slot: Slot, sink: &mut impl Sink) {
        while self.release_one(now, slot, true, sink) {}
    }

    /// Passes on those whose turn it is.
    fn release(&mut self, now: Time, slot: Slot, sink: &mut impl Sink) {
        while self.release_one(now, slot, false, sink) {}
    }

    fn release_one(&mut self, now: Time, slot: Slot, is_due: bool, sink: &mut impl Sink) -> bool {
        let Some(first) = self.waiting.first(slot.0) else { return false };
        let held = stream(&mut self.streams, slot.0);
        let is_next = |it: &Stream| it.order.place(&self.waiting.held[first].taken) == Place::Next;
        if !is_due && !held.as_deref().is_some_and(is_next) {
            return false;
        }
        if let Some(stream) = held {
            stream.order.held = stream.order.held.saturating_sub(1);
        }
        let Held { taken, mut datagram, len, .. } = self.waiting.held.swap_remove(first);
        self.pass_on_next(now, slot, taken, &mut datagram[..len], sink);
        self.waiting.spare.push(datagram);
        true
    }

    fn pass_on_next(
        &mut self,
        now: Time,
        slot: Slot,
        taken: Taken,
        datagram: &mut [u8],
        sink: &mut impl Sink,
    ) {
        if let Some(stream) = stream(&mut self.streams, slot.0) {
            stream.order.next = Some((taken.origin.run, taken.extended + 1));
        }
        // Whatever overtook it waits behind it.
        self.pass_on(now, slot, &Taken { in_order: true, ..taken }, datagram, sink);
    }
}
