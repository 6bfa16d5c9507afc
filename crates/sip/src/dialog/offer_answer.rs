//! Which session description is an offer, and which an answer: RFC 3264 in SIP's messages, as
//! RFC 6337 §2 sums it up. Knows the messages' kinds, not what is in them.
//!
//! ```text
//!   pattern (RFC 6337 table 1)         offer in          answer in
//!   1  RFC 3261                        INVITE            2xx
//!   2  RFC 3261                        2xx               ACK
//!   3  RFC 3262                        INVITE            reliable 1xx
//!   4  RFC 3262                        reliable 1xx      PRACK
//!   5  RFC 3262                        PRACK             2xx to it
//!   6  RFC 3311                        UPDATE            2xx to it
//! ```
//! The rules are the same for whoever sends and whoever receives, so either side steps the same
//! machine over what goes out and what comes in.

use serde::{Deserialize, Serialize};

/// A message that may carry a session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Carrier {
    /// INVITE, first or further.
    Invite,
    /// A provisional to it that needs no PRACK.
    Unreliable,
    /// A provisional to it that needs one.
    Reliable,
    /// Its 2xx.
    Success,
    /// Its ACK.
    Ack,
    /// PRACK.
    Prack,
    /// The 2xx to a PRACK.
    PrackSuccess,
    /// UPDATE.
    Update,
    /// The 2xx to an UPDATE.
    UpdateSuccess,
}

/// Where offer and answer stand in one dialog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Standing {
    /// No offer is outstanding, and an INVITE in progress has had its exchange.
    #[default]
    Settled,
    /// An INVITE without an offer: its first reliable answer is to bring one.
    Offerless,
    /// The offer of an INVITE.
    Offered,
    /// The same, and the answer was shown in an unreliable provisional.
    Previewed,
    /// The offer of a reliable provisional.
    OfferedInReliable,
    /// The offer of a 2xx.
    OfferedInSuccess,
    /// The offer of a PRACK.
    OfferedInPrack,
    /// The offer of an UPDATE.
    OfferedInUpdate,
}

/// What the body of a message is, or its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// No description, and none was due.
    Silent,
    /// An offer.
    Offer,
    /// The answer.
    Answer,
    /// The answer, shown ahead: to be heard, but the 2xx has the word (RFC 3261 §13.2.1).
    Preview,
    /// What was said before: to be ignored.
    Repeat,
    /// No description where an offer or answer was due. After a preview none is missed.
    Missing,
    /// A description where none may stand: to be ignored, or refused where that can be done.
    Misplaced,
}

impl Standing {
    /// What `described` (there is a session description) makes of a message, and where offer and
    /// answer stand after it.
    #[must_use]
    pub fn step(self, carrier: Carrier, described: bool) -> (Role, Self) {
        match carrier {
            Carrier::Invite => self.invite(described),
            Carrier::Unreliable => self.unreliable(described),
            Carrier::Reliable => self.reliable(described),
            Carrier::Success => self.success(described),
            Carrier::Ack => self.concludes(Self::OfferedInSuccess, described),
            Carrier::Prack => match self {
                // RFC 3262 §5: a further exchange, once that of the INVITE is done.
                Self::Settled if described => (Role::Offer, Self::OfferedInPrack),
                Self::Settled
                | Self::Offerless
                | Self::Offered
                | Self::Previewed
                | Self::OfferedInReliable
                | Self::OfferedInSuccess
                | Self::OfferedInPrack
                | Self::OfferedInUpdate => self.concludes(Self::OfferedInReliable, described),
            },
            Carrier::PrackSuccess => self.concludes(Self::OfferedInPrack, described),
            Carrier::Update => match (self, described) {
                (Self::Settled, true) => (Role::Offer, Self::OfferedInUpdate),
                // RFC 3311 §5.1: not while another offer is unanswered, whosever it is.
                (_, true) => (Role::Misplaced, self),
                (_, false) => (Role::Silent, self),
            },
            Carrier::UpdateSuccess => self.concludes(Self::OfferedInUpdate, described),
        }
    }

    /// A request got no 2xx: its offer, or the one it had drawn forth, is void.
    #[must_use]
    pub fn refused(self, request: Carrier) -> Self {
        match (request, self) {
            (Carrier::Prack, Self::OfferedInPrack)
            | (Carrier::Update, Self::OfferedInUpdate)
            | (
                Carrier::Invite,
                Self::Offerless | Self::Offered | Self::Previewed | Self::OfferedInReliable,
            ) => Self::Settled,
            (
                Carrier::Invite
                | Carrier::Unreliable
                | Carrier::Reliable
                | Carrier::Success
                | Carrier::Ack
                | Carrier::Prack
                | Carrier::PrackSuccess
                | Carrier::Update
                | Carrier::UpdateSuccess,
                unchanged,
            ) => unchanged,
        }
    }

    /// Whether an offer waits for its answer.
    pub const fn is_outstanding(self) -> bool {
        !matches!(self, Self::Settled | Self::Offerless)
    }

    fn invite(self, described: bool) -> (Role, Self) {
        match (self, described) {
            (Self::Settled, true) => (Role::Offer, Self::Offered),
            (Self::Settled, false) => (Role::Silent, Self::Offerless),
            (_, _) => (Role::Misplaced, self), // glare; refused before anybody asks
        }
    }

    fn unreliable(self, described: bool) -> (Role, Self) {
        match (self, described) {
            (_, false) => (Role::Silent, self),
            (Self::Offered, true) => (Role::Preview, Self::Previewed),
            // RFC 3261 §13.2.1: an offer travels reliably only.
            (Self::Offerless, true) => (Role::Misplaced, self),
            (_, true) => (Role::Repeat, self),
        }
    }

    fn reliable(self, described: bool) -> (Role, Self) {
        match (self, described) {
            (Self::Offered | Self::Previewed, true) => (Role::Answer, Self::Settled),
            (Self::Offerless, true) => (Role::Offer, Self::OfferedInReliable),
            // RFC 3261 §13.2.1: the first reliable message brings the offer. Some only ring.
            (Self::Offerless, false) => (Role::Missing, self),
            // RFC 3262 §3: no second one before the PRACK that answers the first.
            (Self::OfferedInReliable, true) => (Role::Misplaced, self),
            (_, true) => (Role::Repeat, self),
            (_, false) => (Role::Silent, self),
        }
    }

    fn success(self, described: bool) -> (Role, Self) {
        match (self, described) {
            (Self::Offered | Self::Previewed, true) => (Role::Answer, Self::Settled),
            (Self::Previewed, false) => (Role::Silent, Self::Settled), // the preview stands
            (Self::Offered, false) | (Self::Offerless, false) => (Role::Missing, Self::Settled),
            (Self::Offerless, true) => (Role::Offer, Self::OfferedInSuccess),
            // RFC 3262 §3: the 2xx waits for the PRACK that answers.
            (Self::OfferedInReliable, true) => (Role::Misplaced, self),
            // RFC 6337 §3.1.2: after the exchange a description in the 2xx says nothing new.
            (_, true) => (Role::Repeat, self),
            (_, false) => (Role::Silent, self),
        }
    }

    /// A message that may carry nothing but the answer to the offer of `offered`.
    fn concludes(self, offered: Self, described: bool) -> (Role, Self) {
        match (self == offered, described) {
            (true, true) => (Role::Answer, Self::Settled),
            (true, false) => (Role::Missing, Self::Settled),
            (false, true) => (Role::Misplaced, self),
            (false, false) => (Role::Silent, self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::restored;
    use super::Carrier::*;
    use super::Role::*;
    use super::Standing::*;
    use super::*;

    const CARRIERS: [Carrier; 9] =
        [Invite, Unreliable, Reliable, Success, Ack, Prack, PrackSuccess, Update, UpdateSuccess];
    const STANDINGS: [Standing; 8] = [
        Settled,
        Offerless,
        Offered,
        Previewed,
        OfferedInReliable,
        OfferedInSuccess,
        OfferedInPrack,
        OfferedInUpdate,
    ];

    /// One character per standing, in their order, for a message with a description: Offer, Answer,
    /// Preview, Repeat, `x` misplaced.
    const DESCRIBED: [(Carrier, &str); 9] = [
        (Invite, "Oxxxxxxx"),
        (Unreliable, "RxPRRRRR"),
        (Reliable, "ROAAxRRR"),
        (Success, "ROAAxRRR"),
        (Ack, "xxxxxAxx"),
        (Prack, "OxxxAxxx"),
        (PrackSuccess, "xxxxxxAx"),
        (Update, "Oxxxxxxx"),
        (UpdateSuccess, "xxxxxxxA"),
    ];
    /// The same for one without: `.` silent, `?` missing.
    const BARE: [(Carrier, &str); 9] = [
        (Invite, ".xxxxxxx"),
        (Unreliable, "........"),
        (Reliable, ".?......"),
        (Success, ".??....."),
        (Ack, ".....?.."),
        (Prack, "....?..."),
        (PrackSuccess, "......?."),
        (Update, "........"),
        (UpdateSuccess, ".......?"),
    ];

    #[test]
    fn every_message_in_every_standing_has_the_role_rfc_6337_gives_it() {
        for (described, table) in [(true, DESCRIBED), (false, BARE)] {
            for ((carrier, row), expected) in table.into_iter().zip(CARRIERS) {
                assert_eq!(carrier, expected);
                for (standing, letter) in STANDINGS.into_iter().zip(row.chars()) {
                    let role = match letter {
                        'O' => Offer,
                        'A' => Answer,
                        'P' => Preview,
                        'R' => Repeat,
                        'x' => Misplaced,
                        '?' => Missing,
                        _ => Silent,
                    };
                    let (got, after) = standing.step(carrier, described);
                    assert_eq!(got, role, "{standing:?} {carrier:?} {described}");
                    let ignored = matches!(role, Repeat | Misplaced);
                    assert!(!ignored || after == standing, "{standing:?} {carrier:?}");
                    assert!(role != Answer || after == Settled, "{standing:?} {carrier:?}");
                    assert!(role != Offer || after.is_outstanding(), "{standing:?} {carrier:?}");
                    assert_eq!(restored(&after), after);
                }
            }
        }
    }

    #[test]
    fn the_six_patterns_of_rfc_6337() {
        let flows: [&[(Carrier, bool, Role)]; 9] = [
            &[
                (Invite, true, Offer),
                (Unreliable, false, Silent),
                (Success, true, Answer),
                (Ack, false, Silent),
            ],
            &[
                (Invite, false, Silent),
                (Unreliable, false, Silent),
                (Success, true, Offer),
                (Ack, true, Answer),
            ],
            &[
                (Invite, true, Offer),
                (Reliable, true, Answer),
                (Prack, false, Silent),
                (PrackSuccess, false, Silent),
                (Success, false, Silent),
                (Ack, false, Silent),
            ],
            &[
                (Invite, false, Silent),
                (Reliable, true, Offer),
                (Prack, true, Answer),
                (PrackSuccess, false, Silent),
                (Success, false, Silent),
                (Ack, false, Silent),
            ],
            &[
                (Invite, true, Offer),
                (Reliable, true, Answer),
                (Prack, true, Offer),
                (PrackSuccess, true, Answer),
                (Update, true, Offer),
                (UpdateSuccess, true, Answer),
                (Success, false, Silent),
            ],
            // Early media shown twice, then meant; and by a gateway that leaves it at that.
            &[
                (Invite, true, Offer),
                (Unreliable, true, Preview),
                (Unreliable, true, Repeat),
                (Success, true, Answer),
            ],
            &[(Invite, true, Offer), (Unreliable, true, Preview), (Success, false, Silent)],
            // A ringing without description, then one that has it.
            &[
                (Invite, true, Offer),
                (Reliable, false, Silent),
                (Prack, false, Silent),
                (Reliable, true, Answer),
                (Success, true, Repeat),
            ],
            // A refresh of the session moves no description.
            &[(Update, false, Silent), (UpdateSuccess, false, Silent)],
        ];
        for flow in flows {
            let mut standing = Settled;
            for &(carrier, described, expected) in flow {
                let (role, next) = standing.step(carrier, described);
                assert_eq!(role, expected, "{carrier:?} of {flow:?}");
                standing = next;
            }
            assert_eq!(standing, Settled, "{flow:?}");
        }
    }

    #[test]
    fn a_refusal_voids_the_offer_it_concerns_and_no_other() {
        for standing in STANDINGS {
            for carrier in CARRIERS {
                let voided = match carrier {
                    Invite => {
                        matches!(standing, Offerless | Offered | Previewed | OfferedInReliable)
                    }
                    Prack => standing == OfferedInPrack,
                    Update => standing == OfferedInUpdate,
                    Unreliable | Reliable | Success | Ack | PrackSuccess | UpdateSuccess => false,
                };
                let expected = if voided { Settled } else { standing };
                assert_eq!(standing.refused(carrier), expected, "{standing:?} {carrier:?}");
            }
        }
    }

    #[test]
    fn no_sequence_of_messages_makes_two_offers_outstanding() {
        // All sequences of four messages from every standing: an offer is only ever accepted where
        // none is outstanding.
        let mut open: Vec<_> = STANDINGS.to_vec();
        for _ in 0..4 {
            let mut next = Vec::new();
            for standing in open {
                for carrier in CARRIERS {
                    for described in [true, false] {
                        let (role, after) = standing.step(carrier, described);
                        assert!(role != Offer || !standing.is_outstanding());
                        next.push(after);
                    }
                }
            }
            next.sort_unstable();
            next.dedup();
            open = next;
        }
    }
}
