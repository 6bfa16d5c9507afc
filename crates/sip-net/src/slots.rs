//! How many connections there may be: in all, and from one source (ATTACKS 6).
//!
//! When there is no room, the oldest connection that never sent a whole message gives way: whoever
//! holds connections open in silence displaces only himself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::admission::source_of;

/// All seats.
#[derive(Debug)]
pub(crate) struct Slots {
    total_max: usize,
    per_source_max: usize,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: BTreeSet<u64>,
    by_source: HashMap<IpAddr, BTreeSet<u64>>,
    silent: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
}

impl Seats {
    fn free(&mut self, id: u64, source: IpAddr) {
        self.taken.remove(&id);
        self.silent.remove(&id);
        if let Some(ids) = self.by_source.get_mut(&source) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_source.remove(&source);
            }
        }
    }

    /// Tells a silent connection to go; its seat is free at once.
    fn displace(&mut self, id: Option<u64>) -> bool {
        let Some((id, (source, kill))) =
            id.and_then(|id| self.silent.get(&id).cloned().map(|seat| (id, seat)))
        else {
            return false;
        };
        kill.notify_one();
        self.free(id, source);
        true
    }
}

/// A connection's seat, given up when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    id: u64,
    source: IpAddr,
}

/// A seat taken.
#[derive(Debug)]
pub(crate) struct Seated {
    pub(crate) slot: Slot,
    /// Whether another connection had to go.
    pub(crate) displaced: bool,
}

impl Slots {
    pub(crate) fn new(total_max: usize, per_source_max: usize) -> Arc<Self> {
        Arc::new(Self { total_max, per_source_max, seats: Mutex::default() })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for an accepted connection; `known` sources have no bound of their own. `kill` is
    /// notified when it has to give way.
    pub(crate) fn accept(
        self: &Arc<Self>,
        ip: IpAddr,
        known: bool,
        kill: &Arc<Notify>,
    ) -> Option<Seated> {
        let source = source_of(ip);
        let mut seats = self.seats();
        let mut displaced = false;
        if !known
            && let Some(ids) = seats.by_source.get(&source)
            && ids.len() >= self.per_source_max
        {
            let oldest_silent = ids.iter().copied().find(|id| seats.silent.contains_key(id));
            displaced = seats.displace(oldest_silent);
            if !displaced {
                return None;
            }
        }
        if seats.taken.len() >= self.total_max {
            let oldest_silent = seats.silent.keys().next().copied();
            displaced = seats.displace(oldest_silent);
            if !displaced {
                return None;
            }
        }
        let slot = self.take(&mut seats, source);
        seats.silent.insert(slot.id, (source, kill.clone()));
        Some(Seated { slot, displaced })
    }

    /// A seat for a connection that we open.
    pub(crate) fn connect(self: &Arc<Self>, ip: IpAddr) -> Option<Slot> {
        let mut seats = self.seats();
        if seats.taken.len() >= self.total_max {
            let oldest_silent = seats.silent.keys().next().copied();
            if !seats.displace(oldest_silent) {
                return None;
            }
        }
        Some(self.take(&mut seats, source_of(ip)))
    }

    fn take(self: &Arc<Self>, seats: &mut Seats, source: IpAddr) -> Slot {
        let id = seats.next;
        seats.next += 1;
        seats.taken.insert(id);
        seats.by_source.entry(source).or_default().insert(id);
        Slot { slots: self.clone(), id, source }
    }
}

impl Slot {
    /// The connection has sent a whole message: it no longer gives way.
    pub(crate) fn spoke(&self) {
        self.slots.seats().silent.remove(&self.id);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.seats().free(self.id, self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_oldest_silent_connection_of_the_source_gives_way() {
        let slots = Slots::new(100, 2);
        let kills: Vec<_> = (0..3).map(|_| Arc::new(Notify::new())).collect();
        let a = ip("192.0.2.1");
        let first = slots.accept(a, false, &kills[0]).unwrap();
        let _second = slots.accept(a, false, &kills[1]).unwrap();
        first.slot.spoke();
        let third = slots.accept(a, false, &kills[2]).unwrap();
        assert!(third.displaced);
        third.slot.spoke();
        assert!(slots.accept(a, false, &kills[2]).is_none(), "both have spoken");
        assert!(slots.accept(ip("192.0.2.2"), false, &kills[2]).is_some());
        assert!(slots.accept(a, true, &kills[2]).is_some(), "known sources are not bound");
        drop(first);
        assert!(slots.accept(a, false, &kills[2]).is_some());
    }

    #[tokio::test]
    async fn the_displaced_is_told_and_the_total_holds() {
        let slots = Slots::new(2, 2);
        let kill = Arc::new(Notify::new());
        let held: Vec<_> = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
            .map(|source| slots.accept(ip(source), true, &kill).unwrap())
            .into();
        kill.notified().await;
        assert_eq!(slots.seats().taken.len(), 2);
        assert!(slots.connect(ip("192.0.2.4")).is_some());
        drop(held);
        let seats = slots.seats();
        assert!(seats.taken.is_empty() && seats.by_source.is_empty() && seats.silent.is_empty());
    }
}
