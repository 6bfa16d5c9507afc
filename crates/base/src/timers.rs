use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Time;

/// Deadlines of one owner, at most one per key.
///
/// The shell sleeps until [`Timers::next`]; the owner then drains [`Timers::pop_due`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers<K> {
    by_key: BTreeMap<K, Time>,
    by_time: BTreeSet<(Time, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Copy + Ord> Timers<K> {
    /// Arms (or re-arms) `key`.
    pub fn arm(&mut self, key: K, at: Time) {
        if let Some(old) = self.by_key.insert(key, at) {
            self.by_time.remove(&(old, key));
        }
        self.by_time.insert((at, key));
    }

    /// Disarms `key`; a no-op when it is not armed.
    pub fn disarm(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
        debug_assert_eq!(self.by_key.len(), self.by_time.len());
    }

    /// Takes the earliest timer that is due at `now`.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        let &(at, key) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.disarm(key);
        Some(key)
    }

    /// The next deadline.
    pub fn next(&self) -> Option<Time> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// When `key` fires, if it is armed.
    pub fn deadline(&self, key: K) -> Option<Time> {
        self.by_key.get(&key).copied()
    }

    /// Whether nothing is armed.
    pub fn is_empty(&self) -> bool {
        self.by_time.is_empty()
    }

    /// How many are armed.
    pub fn len(&self) -> usize {
        self.by_time.len()
    }
}

impl<K: Copy + Ord + Serialize> Serialize for Timers<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.by_time)
    }
}

impl<'de, K: Copy + Ord + Deserialize<'de>> Deserialize<'de> for Timers<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_time = BTreeSet::<(Time, K)>::deserialize(deserializer)?;
        let by_key = by_time.iter().map(|&(at, key)| (key, at)).collect();
        Ok(Self { by_key, by_time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    #[test]
    fn re_arming_moves_the_deadline_and_never_fires_twice() {
        let mut timers = Timers::default();
        timers.arm('a', at(5));
        timers.arm('a', at(9));
        assert_eq!(timers.pop_due(at(5)), None);
        assert_eq!(timers.pop_due(at(9)), Some('a'));
        assert!(timers.is_empty());
    }

    #[test]
    fn fires_in_order_of_time_then_key() {
        let mut timers = Timers::default();
        for (key, nanos) in [('c', 2), ('b', 1), ('a', 2)] {
            timers.arm(key, at(nanos));
        }
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(2))).collect();
        assert_eq!(fired, ['b', 'a', 'c']);
    }
}
