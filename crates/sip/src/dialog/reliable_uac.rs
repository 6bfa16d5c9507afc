//! Reliable provisional responses at the UAC, RFC 3262 §4: acknowledged in order, each once.
//!
//! ```text
//!  Fresh ──any RSeq──▶ Taken(n) ──n+1──▶ Taken(n+1)      (a PRACK each)
//!                        ├─≤ n──▶ repeated: its PRACK is on its way
//!                        └─> n+1──▶ a gap: ignored until the missing one is repeated
//! ```

use serde::{Deserialize, Serialize};

use crate::message::{Name, RAck, Response};

/// What a provisional response is to the UAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reliable {
    /// Sent unreliably.
    Unreliable,
    /// The next in order: send a PRACK with this.
    Fresh(RAck),
    /// One that has been acknowledged before.
    Repeated,
    /// One before it is missing: to be ignored, RFC 3262 §4.
    OutOfOrder,
}

/// The UAC side of one early dialog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReliableUac {
    last: Option<u32>,
}

impl ReliableUac {
    /// Takes a provisional response, RFC 3262 §4.
    pub fn receive(&mut self, response: &Response) -> Reliable {
        // RFC 3262 §3: a 100 is between neighbours and never reliable.
        let reliable = matches!(response.status.0, 101..=199)
            && response.headers.has_token(Name::Require, "100rel");
        let (true, Some(rseq), Ok(cseq)) =
            (reliable, response.headers.rseq(), response.headers.cseq())
        else {
            return Reliable::Unreliable;
        };
        match self.last {
            Some(last) if rseq <= last => return Reliable::Repeated,
            Some(last) if rseq > last + 1 => return Reliable::OutOfOrder,
            Some(_) | None => self.last = Some(rseq),
        }
        Reliable::Fresh(RAck { rseq, cseq: cseq.seq, method: cseq.method })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{answer, restored};
    use super::*;
    use crate::message::Method;

    fn reliable(rseq: u32) -> Response {
        answer(183, &format!("Require: 100rel\r\nRSeq: {rseq}"))
    }

    fn prack(rseq: u32) -> Reliable {
        Reliable::Fresh(RAck { rseq, cseq: 314_159, method: Method::Invite })
    }

    #[test]
    fn provisionals_are_acknowledged_in_order_and_once() {
        let mut uac = ReliableUac::default();
        let rows = [
            (7001, prack(7001)),
            (7001, Reliable::Repeated),
            (7003, Reliable::OutOfOrder),
            (7002, prack(7002)),
            (7003, prack(7003)),
            (7000, Reliable::Repeated),
            (u32::MAX >> 1, Reliable::OutOfOrder),
        ];
        for (rseq, expected) in rows {
            assert_eq!(uac.receive(&reliable(rseq)), expected, "{rseq}");
        }
    }

    #[test]
    fn the_largest_number_is_followed_by_none() {
        let mut uac = ReliableUac::default();
        assert_eq!(uac.receive(&reliable(u32::MAX >> 1)), prack(u32::MAX >> 1));
        assert_eq!(uac.receive(&reliable(1)), Reliable::Repeated);
    }

    #[test]
    fn what_is_not_wholly_reliable_is_not_reliable() {
        let rows = [
            (180, ""),
            (180, "RSeq: 1"),
            (180, "Require: 100rel"),
            (180, "Require: 100rel\r\nRSeq: x"),
            (180, "Require: 100rel\r\nRSeq: 4294967296"),
            (180, "Supported: 100rel\r\nRSeq: 1"),
            (100, "Require: 100rel\r\nRSeq: 1"),
            (200, "Require: 100rel\r\nRSeq: 1"),
        ];
        for (status, headers) in rows {
            let mut uac = ReliableUac::default();
            assert_eq!(uac.receive(&answer(status, headers)), Reliable::Unreliable, "{headers}");
            assert_eq!(uac, ReliableUac::default());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn whatever_is_lost_repeated_or_reordered_each_number_gets_one_prack(
            arrivals in prop::collection::vec(10u32..16, 0..60),
        ) {
            let mut uac = ReliableUac::default();
            let mut taken = Vec::new();
            for rseq in arrivals {
                uac = restored(&uac);
                if let Reliable::Fresh(rack) = uac.receive(&reliable(rseq)) {
                    taken.push(rack.rseq);
                }
            }
            prop_assert!(taken.windows(2).all(|pair| pair[1] == pair[0] + 1), "{:?}", taken);
        }
    }
}
