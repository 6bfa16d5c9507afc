//! Two changes at once (RFC 3261 §14, RFC 3311 §5.2): whose waits, and for how long.
//!
//! ```text
//!   ours in flight, theirs comes ──▶ 491 to them      ours gets a 491 ──▶ wait, try again
//!   theirs unanswered, theirs comes ──▶ 500, Retry-After            └─too often──▶ given up
//! ```

use std::time::Duration;

use base::Rng;
use serde::{Deserialize, Serialize};

use crate::message::{Name, Request, Response, StatusCode};

/// Collisions after which a change is given up.
pub const COLLISIONS_MAX: u8 = 5;

/// The collisions of one change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glare {
    collisions: u8,
}

impl Glare {
    /// A 491 came: how long to wait before trying again, in steps of 10 ms: 2.1–4.0 s for whoever
    /// made the Call-ID, 0–2.0 s for the other. `None`: too often.
    pub fn collided(&mut self, owns_call_id: bool, rng: &mut Rng) -> Option<Duration> {
        self.collisions = self.collisions.saturating_add(1);
        if self.collisions > COLLISIONS_MAX {
            return None;
        }
        let steps = if owns_call_id { 210 + rng.below(191) } else { rng.below(201) };
        Some(Duration::from_millis(steps * 10))
    }
}

/// A request that changes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// An INVITE, first or further.
    Invite,
    /// An UPDATE.
    Update,
}

/// Whose offer is unanswered, in whatever message it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outstanding {
    /// Nobody's.
    None,
    /// Ours.
    Ours,
    /// The far end's.
    Theirs,
}

/// What is under way in a dialog when a change of the far end arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// The unanswered offer.
    pub offer: Outstanding,
    /// Our own change without a final answer.
    pub ours: Option<Change>,
    /// A change of theirs that we have not answered finally.
    pub theirs: Option<Change>,
}

/// Why a change of the far end cannot be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// It meets one of ours: 491.
    Pending,
    /// It meets one of its own: 500 with Retry-After.
    Overlapping,
}

impl UnderWay {
    /// Whether a change of the far end can be taken.
    ///
    /// # Errors
    /// Why not, for [`Refusal::response`].
    pub fn admit(self, asked: Change, with_offer: bool) -> Result<(), Refusal> {
        let needs_offer = asked == Change::Invite || with_offer;
        match (asked, self) {
            // RFC 3261 §14.2, RFC 3311 §5.2: a second before the first is answered.
            (Change::Invite, Self { theirs: Some(Change::Invite), .. })
            | (Change::Update, Self { theirs: Some(Change::Update), .. }) => {
                Err(Refusal::Overlapping)
            }
            // RFC 3261 §14.2: an INVITE while ours is in progress.
            (Change::Invite, Self { ours: Some(Change::Invite), .. }) => Err(Refusal::Pending),
            // RFC 3311 §5.2; RFC 6337 §4.2: an INVITE always comes with an offer, or asks for one.
            (_, Self { offer: Outstanding::Ours, .. }) if needs_offer => Err(Refusal::Pending),
            (_, Self { offer: Outstanding::Theirs, .. }) if needs_offer => {
                Err(Refusal::Overlapping)
            }
            // Our INVITE without an offer brings theirs in its 2xx.
            (Change::Update, Self { ours: Some(Change::Invite), .. }) if with_offer => {
                Err(Refusal::Pending)
            }
            (Change::Invite | Change::Update, _) => Ok(()),
        }
    }
}

impl Refusal {
    /// The answer that says so.
    pub fn response(self, request: &Request, rng: &mut Rng) -> Response {
        match self {
            Self::Pending => request.response(StatusCode::REQUEST_PENDING),
            Self::Overlapping => {
                let mut response = request.response(StatusCode::SERVER_INTERNAL_ERROR);
                // RFC 3261 §14.2: a random wait of 0 to 10 seconds.
                response.headers.set(Name::RetryAfter, rng.below(11).to_string());
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{invite, restored};
    use super::*;

    #[test]
    fn the_owner_of_the_call_id_waits_longer_and_both_give_up() {
        let mut rng = Rng::from_u64(3);
        for (owns, range) in [(true, 2100..=4000), (false, 0..=2000)] {
            let mut all = Vec::new();
            for _ in 0..200 {
                let mut glare = Glare::default();
                let waits: Vec<_> = std::iter::from_fn(|| {
                    glare = restored(&glare);
                    glare.collided(owns, &mut rng)
                })
                .collect();
                assert_eq!(waits.len(), usize::from(COLLISIONS_MAX));
                all.extend(waits.iter().map(Duration::as_millis));
            }
            assert!(all.iter().all(|wait| range.contains(wait) && wait % 10 == 0), "{all:?}");
            let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
            assert!(least - range.start() < 100 && range.end() - most < 100, "{least}–{most}");
        }
    }

    #[test]
    fn a_change_is_given_up_for_good() {
        let (mut glare, mut rng) = (Glare::default(), Rng::from_u64(4));
        let granted = (0..1000).filter(|_| glare.collided(true, &mut rng).is_some()).count();
        assert_eq!(granted, usize::from(COLLISIONS_MAX));
    }

    #[test]
    fn who_must_wait_is_told_so_as_the_rfcs_say() {
        use Change::{Invite, Update};
        use Outstanding::{None as Nobodys, Ours, Theirs};
        use Refusal::{Overlapping, Pending};
        let rows = [
            // offer, ours, theirs: INVITE, UPDATE with offer, UPDATE without
            (Nobodys, None, None, Ok(()), Ok(()), Ok(())),
            (Ours, Some(Invite), None, Err(Pending), Err(Pending), Ok(())),
            (Ours, Some(Update), None, Err(Pending), Err(Pending), Ok(())),
            (Nobodys, Some(Update), None, Ok(()), Ok(()), Ok(())),
            (Nobodys, Some(Invite), None, Err(Pending), Err(Pending), Ok(())),
            // Answered in a reliable 18x or PRACK; the INVITE itself goes on.
            (Nobodys, None, Some(Invite), Err(Overlapping), Ok(()), Ok(())),
            (Theirs, None, Some(Invite), Err(Overlapping), Err(Overlapping), Ok(())),
            (Theirs, None, Some(Update), Err(Overlapping), Err(Overlapping), Err(Overlapping)),
            // Our offer in a 2xx that waits for its ACK, or in a reliable 18x.
            (Ours, None, None, Err(Pending), Err(Pending), Ok(())),
            (Ours, None, Some(Invite), Err(Overlapping), Err(Pending), Ok(())),
        ];
        for (offer, ours, theirs, invite, offering, plain) in rows {
            let under_way = UnderWay { offer, ours, theirs };
            assert_eq!(under_way.admit(Invite, true), invite, "{under_way:?}");
            assert_eq!(under_way.admit(Invite, false), invite, "{under_way:?}");
            assert_eq!(under_way.admit(Update, true), offering, "{under_way:?}");
            assert_eq!(under_way.admit(Update, false), plain, "{under_way:?}");
        }
    }

    #[test]
    fn an_overlapping_change_is_told_when_to_come_again() {
        let mut rng = Rng::from_u64(9);
        let mut waits = std::collections::BTreeSet::new();
        for _ in 0..300 {
            let response = Refusal::Overlapping.response(&invite(""), &mut rng);
            assert_eq!(response.status.0, 500);
            waits.insert(response.retry_after().unwrap());
        }
        assert!(waits.into_iter().eq(0..=10));
        let response = Refusal::Pending.response(&invite(""), &mut rng);
        assert_eq!((response.status.0, response.retry_after()), (491, None));
    }
}
