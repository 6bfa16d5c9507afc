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
    fn a_2xx_without_ack_is_sent_ten_times_again_and_given_up_after_32_s() {
        let mut accept = Accept::start(Time::ZERO, Duration::from_millis(500));
        let mut at = Vec::new();
        while accept.fired(accept.deadline()) {
            at.push(accept.next - Time::ZERO);
        }
        let seconds: Vec<_> = at.iter().map(Duration::as_secs_f32).collect();
        assert_eq!(seconds, [1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5, 35.5]);
        assert_eq!(accept.deadline() - Time::ZERO, Duration::from_secs(32));
    }
}
