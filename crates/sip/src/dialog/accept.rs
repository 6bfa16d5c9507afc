//! A 2xx to an INVITE, repeated by the UAS core until its ACK comes: RFC 3261 §13.3.1.4.
//!
//! ```text
//! start ──▶ Waiting ──due──▶ send again, wait twice as long (at most T2)
//!              └── 64*T1 after the start ──▶ given up: the session is ended by BYE
//! ```

use std::time::Duration;

use base::Time;
use serde::{Deserialize, Serialize};

use crate::transaction::T2;

/// See the module. The ACK ends it by being dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    next: Time,
    interval: Duration,
    until: Time,
}

impl Accept {
    /// The 2xx was sent at `now`.
    pub fn start(now: Time, t1: Duration) -> Self {
        Self { next: now + t1, interval: t1, until: now + t1 * 64 }
    }

    /// When [`Self::fired`] is due.
    pub fn deadline(&self) -> Time {
        self.next.min(self.until)
    }

    /// The deadline has come: true = send the 2xx again, false = give up.
    pub fn fired(&mut self, now: Time) -> bool {
        if now >= self.until {
            return false;
        }
        self.interval = (self.interval * 2).min(T2);
        self.next = now + self.interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_2xx_without_ack_is_sent_again_at_growing_intervals_and_given_up_after_32_s() {
        let mut accept = Accept::start(Time::ZERO, Duration::from_millis(500));
        let mut again = Vec::new();
        let mut at = accept.deadline();
        while accept.fired(at) {
            again.push((at - Time::ZERO).as_millis());
            at = accept.deadline();
        }
        assert_eq!(again, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
        assert_eq!(at - Time::ZERO, Duration::from_secs(32));
    }
}
