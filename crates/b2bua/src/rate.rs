//! Calls per second and per minute: a token bucket in virtual time.

use std::time::Duration;

use base::Time;
use serde::{Deserialize, Serialize};

/// Allows `per` events in each `window`, evenly refilled, with a burst of `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    per: u32,
    window: Duration,
    /// When the bucket is full again (the "theoretical arrival time" of a leaky bucket).
    full_at: Time,
}

impl Rate {
    /// `per` events a `window`; 0 allows none.
    pub fn new(per: u32, window: Duration) -> Self {
        Self { per, window, full_at: Time::ZERO }
    }

    /// Whether one more event may happen now; if so, it counts.
    pub fn admit(&mut self, now: Time) -> bool {
        if self.per == 0 {
            return false;
        }
        let cost = self.window / self.per;
        let full_at = self.full_at.max(now) + cost;
        // One nanosecond a token is lost to the division; the burst keeps it.
        if full_at - now > self.window {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_an_even_refill() {
        let mut rate = Rate::new(10, Duration::from_secs(1));
        let admitted = (0..20).filter(|_| rate.admit(Time::ZERO)).count();
        assert_eq!(admitted, 10);
        assert!(!rate.admit(Time::from_nanos(99_000_000)));
        assert!(rate.admit(Time::from_nanos(100_000_000)));
        assert!(!rate.admit(Time::from_nanos(100_000_000)));
    }

    #[test]
    fn zero_allows_none() {
        assert!(!Rate::new(0, Duration::from_secs(1)).admit(Time::ZERO));
    }
}
