//! Two changes at once (RFC 3261 §14.1): after a 491 the owner of the Call-ID waits longer.

use std::time::Duration;

use base::Rng;
use serde::{Deserialize, Serialize};

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
        self.collisions += 1;
        if self.collisions > COLLISIONS_MAX {
            return None;
        }
        let steps = if owns_call_id { 210 + rng.below(191) } else { rng.below(201) };
        Some(Duration::from_millis(steps * 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_the_call_id_waits_longer_and_both_give_up() {
        let mut rng = Rng::from_u64(3);
        for (owns, range) in [(true, 2100..=4000), (false, 0..=2000)] {
            for _ in 0..50 {
                let mut glare = Glare::default();
                let waits: Vec<_> = std::iter::from_fn(|| glare.collided(owns, &mut rng)).collect();
                assert_eq!(waits.len(), usize::from(COLLISIONS_MAX));
                assert!(waits.iter().all(|wait| range.contains(&wait.as_millis())), "{waits:?}");
                assert!(waits.iter().all(|wait| wait.as_millis() % 10 == 0));
            }
        }
    }
}
