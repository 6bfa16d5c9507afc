use serde::{Deserialize, Serialize};

/// Why a leg or a call ended, in the status numbers of SIP, the field's common language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cause(u16);

impl Cause {
    /// Ended after an answer, by either party.
    pub const NORMAL: Self = Self(200);
    /// Too many redirections, or one that is not followed.
    pub const UNAVAILABLE: Self = Self(480);
    /// Nobody of that number.
    pub const NOT_FOUND: Self = Self(404);
    /// No answer to the request in time.
    pub const TIMEOUT: Self = Self(408);
    /// The called party is busy.
    pub const BUSY: Self = Self(486);
    /// The caller gave up before an answer.
    pub const CANCELLED: Self = Self(487);
    /// No codec in common.
    pub const INCOMPATIBLE: Self = Self(488);
    /// We failed.
    pub const INTERNAL: Self = Self(500);
    /// We are full, draining, or the way out is down.
    pub const CONGESTION: Self = Self(503);
    /// The called party does not want to talk.
    pub const DECLINED: Self = Self(603);

    /// A cause from a status of 200–699; anything else reads as 500.
    pub const fn from_status(status: u16) -> Self {
        match status {
            200..=699 => Self(status),
            _ => Self::INTERNAL,
        }
    }

    /// The SIP status.
    pub const fn status(self) -> u16 {
        self.0
    }

    /// The Q.850 cause value, RFC 3398 §8.2.6.1 (and §7.2.4.1 read backwards).
    pub const fn q850(self) -> u8 {
        match self.0 {
            200..=299 | 487 => 16,
            401 | 402 | 403 | 407 | 603 => 21,
            404 | 485 | 604 => 1,
            405 | 501 => 63,
            406 | 415 | 420 | 421 | 606 => 79,
            408 | 504 => 102,
            410 => 22,
            413 | 414 | 416 | 423 | 505 | 513 => 127,
            480 => 18,
            481 | 500 | 503 => 41,
            482 | 483 => 25,
            484 => 28,
            486 | 600 => 17,
            488 => 88,
            502 => 38,
            400 | 580 => 47,
            _ => 31,
        }
    }

    /// Whether the next target of a route is tried: time-outs, unavailability and server errors,
    /// but never what the called party or its number decided (404, 486, 603…).
    pub const fn allows_next_target(self) -> bool {
        matches!(self.0, 408 | 480 | 500..=599)
    }

    /// How well this failure tells the caller what happened: of several, the one with the greatest
    /// rank is passed on (RFC 3261 §16.7 step 6: 6xx first, then the lowest class, in which what
    /// a person decided beats what a network did).
    pub const fn rank(self) -> u8 {
        match self.0 {
            600..=699 => 6,
            486 => 5,
            488 | 415 | 420 | 484 => 4,
            408 | 480 | 487 => 2,
            400..=499 => 3,
            500..=599 => 1,
            _ => 0,
        }
    }

    /// In words, for records and logs.
    pub const fn text(self) -> &'static str {
        match self.0 {
            200 => "normal clearing",
            404 => "not found",
            408 => "timed out",
            480 => "unavailable",
            486 => "busy",
            487 => "cancelled",
            488 => "no common codec",
            503 => "congestion",
            603 => "declined",
            400..=499 => "refused",
            500..=599 => "server failure",
            600..=699 => "refused everywhere",
            _ => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_network_failures_try_the_next_target() {
        for status in [408, 480, 500, 502, 503, 504] {
            assert!(Cause::from_status(status).allows_next_target(), "{status}");
        }
        for status in [403, 404, 484, 486, 487, 488, 600, 603] {
            assert!(!Cause::from_status(status).allows_next_target(), "{status}");
        }
    }

    #[test]
    fn busy_beats_unavailable_and_a_global_refusal_beats_all() {
        let rank = |status| Cause::from_status(status).rank();
        assert!(rank(603) > rank(486));
        assert!(rank(486) > rank(480));
        assert!(rank(404) > rank(480));
        assert!(rank(480) > rank(503));
    }

    #[test]
    fn statuses_read_as_q850() {
        for (status, q850) in [(200, 16), (404, 1), (480, 18), (486, 17), (487, 16), (603, 21)] {
            assert_eq!(Cause::from_status(status).q850(), q850, "{status}");
        }
        assert_eq!(Cause::from_status(99), Cause::INTERNAL);
    }
}
