//! A panic costs the call in whose handling it happened (ATTACKS 35): its streams are given up after
//! the step, and what else there was to do in it is done. Nothing is asked of what was half done.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Slot, Worker, stream};
use crate::command::{BridgeId, StreamId, StreamStats};
use crate::stream::Stream;

/// Where a stream is to panic, for tests of what that costs.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// With its next packet.
    Packet,
    /// When it is played something of ours.
    Play,
    /// When it is mixed.
    Mix,
    /// When it is looked after, once a second.
    Look,
}

/// What is left of a stream that was given up.
#[derive(Debug)]
pub struct Remains {
    /// Which stream it was.
    pub stream: StreamId,
    /// Where it was; free from now on.
    pub slot: Slot,
    /// Its figures, as far as they can be told.
    pub stats: Box<StreamStats>,
}

/// Does a piece of work for a call; `None` when it panicked, and the call is to be given up.
pub(super) fn guarded<T>(
    faulty: &mut Vec<BridgeId>,
    bridge: BridgeId,
    work: impl FnOnce() -> T,
) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    if done.is_err() && !faulty.contains(&bridge) {
        faulty.push(bridge);
    }
    done.ok()
}

impl Worker {
    /// Does a piece of work for a call.
    pub fn guard(&mut self, bridge: BridgeId, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.blame(bridge);
        }
    }

    /// Something panicked in the handling of a call.
    pub fn blame(&mut self, bridge: BridgeId) {
        if !self.faulty.contains(&bridge) {
            self.faulty.push(bridge);
        }
    }

    /// Does a piece of work for a stream.
    pub(super) fn guard_slot(&mut self, slot: usize, work: impl FnOnce(&mut Self)) {
        let bridge = stream(&mut self.streams, slot).map(|stream| stream.bridge);
        match bridge {
            Some(bridge) => self.guard(bridge, work),
            None => work(self),
        }
    }

    /// The call of a stream.
    pub fn bridge_of(&self, slot: Slot) -> Option<BridgeId> {
        Some(self.streams.get(slot.0)?.as_ref()?.bridge)
    }

    /// Gives up the next call in whose handling something panicked, if there is one: the shell closes
    /// the sockets of its streams. To be asked until there is none.
    pub fn give_up(&mut self) -> Option<(BridgeId, Vec<Remains>)> {
        let bridge = self.faulty.pop()?;
        self.conferences.remove(&bridge);
        let is_of_it = |slot: &usize| self.bridge_of(Slot(*slot)) == Some(bridge);
        let slots: Vec<_> = (0..self.streams.len()).filter(is_of_it).collect();
        for &slot in &slots {
            if let Some(stream) = stream(&mut self.streams, slot) {
                stream.hear = crate::command::Hear::Nothing;
                stream.leave_seat();
            }
        }
        let remains = slots.into_iter().filter_map(|slot| self.bury(slot)).collect();
        self.conferences.remove(&bridge);
        self.rearranged.retain(|one| *one != bridge);
        // A second panic was in our own clearing up: nothing of it is left.
        self.faulty.retain(|one| *one != bridge);
        Some((bridge, remains))
    }

    fn bury(&mut self, slot: usize) -> Option<Remains> {
        let stream = self.streams.get(slot)?.as_ref()?.id;
        let mut stats = Box::default();
        let done = catch_unwind(AssertUnwindSafe(|| {
            self.take_out(slot).into_iter().for_each(|gone| stats = gone.figures(true));
        }));
        if done.is_err() && self.streams[slot].take().is_some() {
            self.ids.remove(&stream);
            self.waiting.forget(slot);
            self.free.push(slot);
        }
        Some(Remains { stream, slot: Slot(slot), stats })
    }

    /// Makes a stream panic at its next such moment.
    #[cfg(debug_assertions)]
    #[doc(hidden)]
    pub fn poison(&mut self, slot: Slot, moment: Moment) {
        if let Some(stream) = stream(&mut self.streams, slot.0) {
            stream.poison = Some(moment);
        }
    }
}

impl Stream {
    /// Panics where a test wants it to; in a binary that ships it does nothing.
    #[inline]
    pub(super) fn trip(&self, moment: Moment) {
        #[cfg(debug_assertions)]
        assert!(self.poison != Some(moment), "poisoned on purpose");
        #[cfg(not(debug_assertions))]
        let _ = moment;
    }
}
