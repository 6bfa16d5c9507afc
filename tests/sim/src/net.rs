use std::collections::BTreeMap;
use std::time::Duration;

use base::{Rng, Time};

/// One direction of a UDP path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Packets lost, per cent.
    pub loss_percent: u8,
    /// Packets delivered twice, per cent.
    pub duplicate_percent: u8,
    /// Least delay.
    pub delay_min: Duration,
    /// Random extra delay; reorders when it exceeds the packet spacing.
    pub jitter_max: Duration,
}

impl Link {
    /// Nothing is lost, and everything takes 10 ms.
    pub const GOOD: Self = Self {
        loss_percent: 0,
        duplicate_percent: 0,
        delay_min: Duration::from_millis(10),
        jitter_max: Duration::ZERO,
    };
    /// Nothing arrives.
    pub const CUT: Self = Self { loss_percent: 100, ..Self::GOOD };
    /// Loses, doubles and reorders.
    pub const BAD: Self = Self {
        loss_percent: 8,
        duplicate_percent: 8,
        delay_min: Duration::from_millis(5),
        jitter_max: Duration::from_millis(120),
    };
}

/// What is under way, delivered in order of arrival; ties in order of sending.
#[derive(Debug)]
pub(crate) struct InFlight<P> {
    queue: BTreeMap<(Time, u64), P>,
    sent: u64,
}

impl<P: Clone> InFlight<P> {
    pub(crate) fn new() -> Self {
        Self { queue: BTreeMap::new(), sent: 0 }
    }

    /// Sends over a path that may lose, double and reorder.
    pub(crate) fn send(&mut self, now: Time, link: Link, rng: &mut Rng, packet: P) {
        if rng.chance(link.loss_percent) {
            return;
        }
        let copies = 1 + u8::from(rng.chance(link.duplicate_percent));
        for _ in 0..copies {
            let jitter = u64::try_from(link.jitter_max.as_nanos()).unwrap_or(u64::MAX - 1);
            let jitter = Duration::from_nanos(rng.below(jitter + 1));
            self.arrive(now + link.delay_min + jitter, packet.clone());
        }
    }

    /// Lets something arrive at that time, surely.
    pub(crate) fn arrive(&mut self, at: Time, packet: P) {
        self.sent += 1;
        self.queue.insert((at, self.sent), packet);
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.queue.keys().next().map(|&(at, _)| at)
    }

    pub(crate) fn pop_due(&mut self, now: Time) -> Option<P> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop_first().map(|(_, packet)| packet)
    }
}
