//! Timer names and values, RFC 3261 Table 4 and RFC 6026 §8.4, §8.7.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::StatusCode;

/// Round-trip estimate, RFC 3261 §17.1.1.1.
pub const T1: Duration = Duration::from_millis(500);
/// Longest interval between retransmissions of a non-INVITE request or an INVITE's final response.
pub const T2: Duration = Duration::from_secs(4);
/// How long a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// Timer D on UDP: how long a client absorbs repeated final responses; "at least 32 seconds".
pub const TIMER_D: Duration = Duration::from_secs(32);

/// Nothing is armed for less: a retransmission timer of zero would never let `expire` return.
const SHORTEST: Duration = Duration::from_millis(1);

/// The base values all timers derive from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// First retransmission interval.
    pub t1: Duration,
    /// Last retransmission interval.
    pub t2: Duration,
    /// Life of a message in the network.
    pub t4: Duration,
}

impl Timing {
    /// Takes the values, none of them below a millisecond.
    pub fn new(t1: Duration, t2: Duration, t4: Duration) -> Self {
        Self { t1: t1.max(SHORTEST), t2: t2.max(SHORTEST), t4: t4.max(SHORTEST) }
    }

    /// 64*T1: timers B, F, H, J, L and M, and the wait after a CANCEL.
    pub const fn timeout(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// The interval after `interval` for timers E and G: doubled, at most T2.
    pub fn back_off(&self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.t2)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::new(T1, T2, T4)
    }
}

/// The timers of all four machines, by the RFCs' letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Timer {
    /// INVITE retransmission (UDP).
    A,
    /// INVITE without any response.
    B,
    /// Repeated final responses to an INVITE (UDP).
    D,
    /// Retransmission of another request (UDP).
    E,
    /// Another request without a final response.
    F,
    /// Retransmission of an INVITE's final response (UDP).
    G,
    /// No ACK came.
    H,
    /// Repeated ACKs (UDP).
    I,
    /// Repeated requests other than INVITE (UDP).
    J,
    /// Repeated responses to another request (UDP).
    K,
    /// Repeated INVITEs after our 2xx.
    L,
    /// Repeated and forked 2xx.
    M,
    /// No final response to the INVITE after its CANCEL, RFC 3261 §9.1 (without a letter there).
    Cancelled,
}

/// Class of a response's status code, as far as transactions care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// 100–199.
    Provisional,
    /// 200–299.
    Success,
    /// 300–699.
    Failure,
}

impl From<StatusCode> for Class {
    fn from(status: StatusCode) -> Self {
        match status.0 {
            ..200 => Self::Provisional,
            200..300 => Self::Success,
            300.. => Self::Failure,
        }
    }
}

/// Whether the transport retransmits by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reliability {
    /// UDP.
    Unreliable,
    /// TCP, TLS, WS, WSS.
    Reliable,
}

impl From<crate::transport::Transport> for Reliability {
    fn from(transport: crate::transport::Transport) -> Self {
        if transport.is_reliable() { Self::Reliable } else { Self::Unreliable }
    }
}

/// Feeds every input to every state. A pair without a row must change nothing, and a timer without
/// one must be refused as stale.
#[cfg(test)]
pub(super) fn every_pair<S, I, O>(
    states: &[S],
    inputs: &[I],
    rows: &[(S, I, Vec<O>, S)],
    is_timer: impl Fn(I) -> bool,
    step: impl Fn(S, I) -> (Vec<O>, S),
) where
    S: Copy + PartialEq + std::fmt::Debug,
    I: Copy + PartialEq + std::fmt::Debug,
    O: PartialEq + std::fmt::Debug,
{
    let mut met = 0;
    for (&state, &input) in states.iter().flat_map(|s| inputs.iter().map(move |i| (s, i))) {
        let step = std::panic::AssertUnwindSafe(|| step(state, input));
        match rows.iter().find(|row| (row.0, row.1) == (state, input)) {
            Some((.., outputs, after)) => {
                let (got, next) = step();
                assert_eq!((&got, next), (outputs, *after), "{state:?} {input:?}");
                met += 1;
            }
            None if is_timer(input) => {
                assert!(std::panic::catch_unwind(step).is_err(), "{state:?} {input:?}");
            }
            None => assert_eq!(step(), (Vec::new(), state), "{state:?} {input:?}"),
        }
    }
    assert_eq!(met, rows.len(), "a row that is no pair");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_rfc_3261_table_4() {
        let timing = Timing::default();
        assert_eq!(timing.timeout(), Duration::from_secs(32));
        let intervals: Vec<_> =
            std::iter::successors(Some(timing.t1), |&i| Some(timing.back_off(i))).take(5).collect();
        assert_eq!(intervals, [500, 1000, 2000, 4000, 4000].map(Duration::from_millis));
    }

    #[test]
    fn zero_is_not_a_timer_value() {
        let timing = Timing::new(Duration::ZERO, Duration::ZERO, Duration::ZERO);
        assert_eq!([timing.t1, timing.t2, timing.t4], [SHORTEST; 3]);
    }

    #[test]
    fn classes_by_the_hundreds() {
        for (status, class) in [
            (100, Class::Provisional),
            (199, Class::Provisional),
            (200, Class::Success),
            (299, Class::Success),
            (300, Class::Failure),
            (699, Class::Failure),
        ] {
            assert_eq!(Class::from(StatusCode(status)), class, "{status}");
        }
    }
}
