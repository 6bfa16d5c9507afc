//! RTP port pairs: handed out in turn, kept unused for a while after a call, so that late packets
//! of an old call never reach the next one (ATTACKS 20).

use std::collections::VecDeque;
use std::time::Duration;

use base::Time;
use serde::{Deserialize, Serialize};

/// The even port of a pair; RTCP uses the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortPair(pub u16);

/// All pairs of the configured range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPool {
    /// Never used yet: the next one, and the end of the range (exclusive).
    fresh: (u32, u32),
    /// Used before, in the order in which they become free.
    resting: VecDeque<(Time, PortPair)>,
    quarantine: Duration,
    /// Could not be bound: somebody else's. Tried again after [`FOREIGN`].
    foreign: VecDeque<(Time, PortPair)>,
}

/// How long a port that somebody else holds is left alone.
const FOREIGN: Duration = Duration::from_secs(600);

impl PortPool {
    /// A pool over the ports `min..=max`. An odd `min` starts at the next even port.
    pub fn new(min: u16, max: u16, quarantine: Duration) -> Self {
        let first = u32::from(min).next_multiple_of(2);
        let end = u32::from(max) + 1;
        Self { fresh: (first, end), resting: VecDeque::new(), quarantine, foreign: VecDeque::new() }
    }

    /// A pair nobody has used for the quarantine; `None` when all are in use or resting.
    pub fn take(&mut self, now: Time) -> Option<PortPair> {
        let (next, end) = &mut self.fresh;
        if *next + 1 < *end {
            let pair = u16::try_from(*next).ok().map(PortPair);
            *next += 2;
            return pair;
        }
        for queue in [&mut self.resting, &mut self.foreign] {
            if let Some(&(free_at, pair)) = queue.front()
                && free_at <= now
            {
                queue.pop_front();
                return Some(pair);
            }
        }
        None
    }

    /// A pair could not be bound: it is left alone for a while. To be called instead of
    /// [`Self::give_back`].
    pub fn is_foreign(&mut self, now: Time, pair: PortPair) {
        self.foreign.push_back((now + FOREIGN, pair));
    }

    /// Gives a pair back.
    pub fn give_back(&mut self, now: Time, pair: PortPair) {
        self.resting.push_back((now + self.quarantine, pair));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_port_rests_before_it_is_used_again() {
        let mut pool = PortPool::new(20001, 20005, 30 * SECOND);
        let (a, b) = (pool.take(Time::ZERO), pool.take(Time::ZERO));
        assert_eq!((a, b), (Some(PortPair(20002)), Some(PortPair(20004))));
        assert_eq!(pool.take(Time::ZERO), None);
        pool.give_back(Time::ZERO, PortPair(20004));
        assert_eq!(pool.take(Time::ZERO + 29 * SECOND), None);
        assert_eq!(pool.take(Time::ZERO + 30 * SECOND), Some(PortPair(20004)));
    }

    #[test]
    fn a_port_that_somebody_else_holds_is_left_alone_for_long() {
        let mut pool = PortPool::new(20000, 20003, SECOND);
        let (a, b) = (pool.take(Time::ZERO).unwrap(), pool.take(Time::ZERO).unwrap());
        pool.is_foreign(Time::ZERO, a);
        pool.give_back(Time::ZERO, b);
        assert_eq!(pool.take(Time::ZERO + 2 * SECOND), Some(b));
        assert_eq!(pool.take(Time::ZERO + 599 * SECOND), None);
        assert_eq!(pool.take(Time::ZERO + 600 * SECOND), Some(a));
    }

    #[test]
    fn the_last_port_of_the_range_has_its_rtcp_inside() {
        let mut pool = PortPool::new(65534, 65535, SECOND);
        assert_eq!(pool.take(Time::ZERO), Some(PortPair(65534)));
        let mut pool = PortPool::new(20000, 20000, SECOND);
        assert_eq!(pool.take(Time::ZERO), None);
    }
}
