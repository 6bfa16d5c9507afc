//! Entries by [`TransactionId`], each with its timers: both in one place, so that an entry that
//! goes takes its timers along, and a timer always finds its entry.

use std::collections::BTreeSet;

use base::Time;
use serde::{Deserialize, Serialize};

use super::TransactionId;
use super::timing::Timer;

/// Timers one machine has armed at the same time at most (A and B, E and F, G and H).
const TIMERS_MAX: usize = 2;

/// A slab: the lower half of an id is the slot, the upper half counts the slot's reuse, so that no
/// id ever returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Saved<T>")]
pub(super) struct Table<T> {
    slots: Vec<Slot<T>>,
    /// Empty slots; the last is used next.
    free: Vec<u32>,
    /// Every armed timer: derived from the slots.
    #[serde(skip)]
    deadlines: BTreeSet<(Time, TransactionId, Timer)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Slot<T> {
    reused: u32,
    armed: [Option<(Timer, Time)>; TIMERS_MAX],
    entry: Option<Box<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), deadlines: BTreeSet::new() }
    }
}

impl<T> Table<T> {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The id that [`Table::insert`] gives next.
    pub(super) fn next_id(&self) -> TransactionId {
        match self.free.last() {
            Some(&slot) => id(slot, self.slots[slot as usize].reused),
            None => id(u32::try_from(self.slots.len()).expect("bounded by the limits"), 0),
        }
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, entry: T) -> TransactionId {
        let id = self.next_id();
        let entry = Some(Box::new(entry));
        match self.free.pop() {
            Some(slot) => self.slots[slot as usize].entry = entry,
            None => self.slots.push(Slot { reused: 0, armed: [None; TIMERS_MAX], entry }),
        }
        id
    }

    /// The entry, unless it is gone.
    pub(super) fn get(&self, id: TransactionId) -> Option<&T> {
        let slot = self.slots.get(slot_of(id))?;
        if slot.reused == reuse_of(id) { slot.entry.as_deref() } else { None }
    }

    /// The entry, unless it is gone.
    pub(super) fn get_mut(&mut self, id: TransactionId) -> Option<&mut T> {
        self.slot_mut(id)?.entry.as_deref_mut()
    }

    /// Takes the entry out and disarms its timers.
    pub(super) fn remove(&mut self, id: TransactionId) -> Option<T> {
        let slot = self.slots.get_mut(slot_of(id)).filter(|slot| slot.reused == reuse_of(id))?;
        let entry = slot.entry.take()?;
        for (timer, at) in slot.armed.iter_mut().filter_map(Option::take) {
            self.deadlines.remove(&(at, id, timer));
        }
        slot.reused = slot.reused.wrapping_add(1);
        self.free.push(slot_of(id) as u32);
        Some(*entry)
    }

    /// Arms a timer of an entry, or arms it anew.
    pub(super) fn arm(&mut self, id: TransactionId, timer: Timer, at: Time) {
        self.disarm(id, timer);
        let Some(slot) = self.slot_mut(id) else {
            debug_assert!(false, "{timer:?} armed for {id}, which is gone");
            return;
        };
        let place = slot.armed.iter_mut().find(|place| place.is_none());
        *place.expect("no machine has more timers at once") = Some((timer, at));
        self.deadlines.insert((at, id, timer));
    }

    /// Disarms a timer of an entry; a no-op when it is not armed.
    pub(super) fn disarm(&mut self, id: TransactionId, timer: Timer) {
        let Some(slot) = self.slot_mut(id) else { return };
        for place in &mut slot.armed {
            if let Some((_, at)) = place.take_if(|(armed, _)| *armed == timer) {
                self.deadlines.remove(&(at, id, timer));
                return;
            }
        }
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|&(at, ..)| at)
    }

    /// Takes the earliest timer that is due at `now`.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<(TransactionId, Timer)> {
        let &(at, id, timer) = self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.disarm(id, timer);
        Some((id, timer))
    }

    /// Every entry, in the order of the slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TransactionId, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let entry = slot.entry.as_deref()?;
            Some((id(index as u32, slot.reused), entry))
        })
    }

    fn slot_mut(&mut self, id: TransactionId) -> Option<&mut Slot<T>> {
        self.slots.get_mut(slot_of(id)).filter(|slot| slot.reused == reuse_of(id))
    }
}

fn id(slot: u32, reused: u32) -> TransactionId {
    TransactionId(u64::from(reused) << 32 | u64::from(slot))
}

fn slot_of(id: TransactionId) -> usize {
    id.0 as u32 as usize
}

fn reuse_of(id: TransactionId) -> u32 {
    (id.0 >> 32) as u32
}

/// A [`Table`] as it is saved.
#[derive(Deserialize)]
struct Saved<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> From<Saved<T>> for Table<T> {
    fn from(Saved { slots, free }: Saved<T>) -> Self {
        let mut deadlines = BTreeSet::new();
        for (index, slot) in slots.iter().enumerate() {
            let id = id(index as u32, slot.reused);
            deadlines.extend(slot.armed.iter().flatten().map(|&(timer, at)| (at, id, timer)));
        }
        Self { slots, free, deadlines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    #[test]
    fn an_id_never_returns() {
        let mut table = Table::default();
        let first = table.insert('a');
        assert_eq!(table.remove(first), Some('a'));
        let second = table.insert('b');
        assert_ne!(first, second);
        assert_eq!((table.get(first), table.get(second)), (None, Some(&'b')));
        assert_eq!(table.remove(first), None);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn the_next_id_is_foretold() {
        let mut table = Table::default();
        for step in 0..20 {
            let foretold = table.next_id();
            let id = table.insert(step);
            assert_eq!(id, foretold);
            if step % 3 == 0 {
                table.remove(id);
            }
        }
    }

    #[test]
    fn timers_go_with_their_entry() {
        let mut table = Table::default();
        let id = table.insert('a');
        table.arm(id, Timer::A, at(5));
        table.arm(id, Timer::B, at(9));
        table.arm(id, Timer::A, at(7));
        assert_eq!(table.next_deadline(), Some(at(7)));
        assert_eq!(table.pop_due(at(6)), None);
        assert_eq!(table.pop_due(at(7)), Some((id, Timer::A)));
        table.remove(id);
        assert_eq!(table.next_deadline(), None);
    }

    #[test]
    fn a_restored_table_fires_the_same_timers() {
        let mut table = Table::default();
        for (entry, nanos) in [('a', 3), ('b', 1), ('c', 2)] {
            let id = table.insert(entry);
            table.arm(id, Timer::F, at(nanos));
        }
        table.remove(TransactionId(1));
        let saved = serde_json::to_string(&table).unwrap();
        let mut restored: Table<char> = serde_json::from_str(&saved).unwrap();
        assert_eq!(restored, table);
        let order: Vec<_> = std::iter::from_fn(|| restored.pop_due(at(9))).collect();
        assert_eq!(order, [(TransactionId(2), Timer::F), (TransactionId(0), Timer::F)]);
    }
}
