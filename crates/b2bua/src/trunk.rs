//! What we know of each trunk: whether it lives, how much it carries, how it is registered.
//!
//! ```text
//!            OPTIONS answered (even 4xx)
//!   Unknown ─────────────────────────────▶ Up ◀──┐ answered
//!      │ FAILURES_MAX silences or 503            │
//!      └──────────────▶ Down ────────────────────┘
//! ```
//! Unknown counts as up, so that a start is not slower than the first OPTIONS.

use std::net::IpAddr;
use std::time::Duration;

use base::Time;
use serde::{Deserialize, Serialize};
use sip::auth::ClientAuth;
use sip::transport::Target;

use crate::config::Trunk;
use crate::rate::Rate;

/// OPTIONS in a row that must fail before a trunk is taken for down.
const FAILURES_MAX: u8 = 2;
/// How soon a trunk that failed once, or is down, is asked again.
pub(crate) const RETRY: Duration = Duration::from_secs(5);
/// How long looked-up addresses are used before they are looked up again.
pub(crate) const RESOLVE_AGAIN: Duration = Duration::from_secs(60);

/// Whether calls may go to a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Health {
    Unknown { failures: u8 },
    Up { failures: u8 },
    Down,
}

/// Our registration at a trunk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registration {
    pub(crate) call_id: String,
    pub(crate) from_tag: String,
    pub(crate) cseq: u32,
    pub(crate) registered: bool,
    /// Challenges answered since the last success.
    pub(crate) attempts: u8,
    /// The least time for which the trunk registers anybody, once it has said so (RFC 3261
    /// §10.2.8).
    pub(crate) expires_min: Duration,
}

/// One trunk's state; its configuration stands at the same index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrunkState {
    pub(crate) health: Health,
    /// Whether an OPTIONS of ours goes on, unanswered.
    pub(crate) is_asked: bool,
    /// Calls up, both directions.
    pub(crate) calls: usize,
    pub(crate) rate: Rate,
    /// Addresses of each configured target, as looked up last.
    pub(crate) resolved: Vec<Vec<Target>>,
    pub(crate) auth: ClientAuth,
    pub(crate) registration: Registration,
}

/// Why a trunk takes no more calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Down,
    CallsMax,
    CallsPerSecond,
}

impl TrunkState {
    pub(crate) fn new(trunk: &Trunk) -> Self {
        Self {
            health: Health::Unknown { failures: 0 },
            is_asked: false,
            calls: 0,
            rate: Rate::new(trunk.calls_per_second_max, Duration::from_secs(1)),
            resolved: vec![Vec::new(); trunk.targets.len()],
            auth: ClientAuth::default(),
            registration: Registration::default(),
        }
    }

    /// Counts one more call, unless a limit says no. Undo with [`Self::release`].
    pub(crate) fn admit(&mut self, now: Time, trunk: &Trunk) -> Result<(), Refusal> {
        if self.calls >= trunk.calls_max {
            return Err(Refusal::CallsMax);
        }
        if !self.rate.admit(now) {
            return Err(Refusal::CallsPerSecond);
        }
        self.calls += 1;
        Ok(())
    }

    /// As [`Self::admit`], for a call that we send to it.
    pub(crate) fn admit_outbound(&mut self, now: Time, trunk: &Trunk) -> Result<(), Refusal> {
        if self.health == Health::Down {
            return Err(Refusal::Down);
        }
        self.admit(now, trunk)
    }

    /// A call of the trunk is over.
    pub(crate) fn release(&mut self) {
        debug_assert_ne!(self.calls, 0);
        self.calls = self.calls.saturating_sub(1);
    }

    /// Whether `ip` is one of its gateways, as looked up last.
    pub(crate) fn is_gateway(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.resolved.iter().flatten().any(|target| target.addr.ip().to_canonical() == ip)
    }

    /// Takes note of how an OPTIONS went; `Some(up)` when calls may newly (not) go there.
    pub(crate) fn answered(&mut self, alive: bool) -> Option<bool> {
        let (next, change) = match (self.health, alive) {
            (Health::Unknown { .. } | Health::Down, true) => {
                (Health::Up { failures: 0 }, Some(true))
            }
            (Health::Up { .. }, true) => (Health::Up { failures: 0 }, None),
            (Health::Unknown { failures } | Health::Up { failures }, false)
                if failures + 1 >= FAILURES_MAX =>
            {
                (Health::Down, Some(false))
            }
            (Health::Unknown { failures }, false) => {
                (Health::Unknown { failures: failures + 1 }, None)
            }
            (Health::Up { failures }, false) => (Health::Up { failures: failures + 1 }, None),
            (Health::Down, false) => (Health::Down, None),
        };
        self.health = next;
        change
    }

    /// Whether calls may go to it.
    pub(crate) fn is_up(&self) -> bool {
        match self.health {
            Health::Unknown { .. } | Health::Up { .. } => true,
            Health::Down => false,
        }
    }

    /// When to ask again, given how often the operator wants it asked.
    pub(crate) fn ask_after(&self, interval: Duration) -> Duration {
        match self.health {
            Health::Up { failures: 0 } => interval,
            Health::Unknown { .. } | Health::Up { .. } | Health::Down => interval.min(RETRY),
        }
    }
}

/// Whether an answer to OPTIONS shows a trunk that takes calls: anything but server trouble.
pub(crate) fn shows_life(status: u16) -> bool {
    !matches!(status, 408 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk(calls_max: usize, calls_per_second_max: u32) -> (Trunk, TrunkState) {
        let trunk = Trunk { calls_max, calls_per_second_max, ..crate::testing::trunk("carrier") };
        let state = TrunkState::new(&trunk);
        (trunk, state)
    }

    #[test]
    fn two_failures_take_it_down_and_one_answer_brings_it_back() {
        let (trunk, mut state) = trunk(1, 1);
        assert_eq!(state.answered(false), None);
        assert_eq!(state.answered(false), Some(false));
        assert_eq!(state.admit_outbound(Time::ZERO, &trunk), Err(Refusal::Down));
        assert_eq!(state.answered(false), None);
        assert_eq!(state.answered(true), Some(true));
        assert_eq!(state.answered(false), None);
        assert_eq!(state.answered(true), None);
        assert_eq!(state.admit_outbound(Time::ZERO, &trunk), Ok(()));
    }

    #[test]
    fn limits_name_themselves() {
        let (trunk, mut state) = trunk(2, 1);
        let second = Time::ZERO + Duration::from_secs(1);
        assert_eq!(state.admit(Time::ZERO, &trunk), Ok(()));
        assert_eq!(state.admit(Time::ZERO, &trunk), Err(Refusal::CallsPerSecond));
        assert_eq!(state.admit(second, &trunk), Ok(()));
        assert_eq!(state.admit(second + RETRY, &trunk), Err(Refusal::CallsMax));
        state.release();
        assert_eq!(state.admit(second + RETRY, &trunk), Ok(()));
    }

    #[test]
    fn an_error_of_the_request_still_shows_life() {
        assert!([200, 403, 404, 405, 481, 500].into_iter().all(shows_life));
        assert!(![408, 503, 504].into_iter().any(shows_life));
    }
}
