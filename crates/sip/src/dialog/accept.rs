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

/// See the module. The ACK ends it by being dropped; until then no BYE may be sent (RFC 3261 §15).
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
        // Over TCP too: the hop beyond the next may be UDP.
        self.interval = (self.interval * 2).min(T2);
        self.next = now + self.interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::restored;
    use super::*;

    #[test]
    fn a_2xx_without_ack_is_sent_ten_times_again_and_given_up_after_32_s() {
        let mut accept = Accept::start(Time::ZERO, Duration::from_millis(500));
        let mut at = Vec::new();
        loop {
            let now = accept.deadline();
            if !accept.fired(now) {
                break assert_eq!(now - Time::ZERO, Duration::from_secs(32));
            }
            at.push((now - Time::ZERO).as_millis());
        }
        let expected = [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
        assert_eq!(at, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn it_ends_after_64_t1_however_late_the_timers_come(
            t1 in 0u64..5_000,
            late in prop::collection::vec(0u64..3_000, 100),
        ) {
            let mut accept = Accept::start(Time::ZERO, Duration::from_millis(t1));
            let limit = Duration::from_millis(t1 * 64 + 3_000);
            let mut fired = 0;
            for late in late {
                let now = accept.deadline() + Duration::from_millis(late);
                prop_assert!(now - Time::ZERO <= limit);
                let mut again = restored(&accept);
                let goes_on = accept.fired(now);
                prop_assert_eq!((again.fired(now), again), (goes_on, accept));
                fired += 1;
                if !goes_on {
                    break;
                }
                prop_assert!(accept.deadline() > now || accept.deadline() == accept.until);
            }
            prop_assert!(fired <= 90, "{} times", fired);
        }
    }
}
