//! The answers to one INVITE of ours, which a proxy may have forked: several early dialogs, one
//! call (RFC 3261 §13.2.2.4, INTEROP 7).
//!
//! ```text
//!  Forks: 1xx ──▶ an early dialog by its tag      ──2xx──▶ that one wins ──▶ Settled
//!           └─with SDP──▶ its media is heard now           CANCEL ────────▶ Settled
//!  Settled: 2xx of the winner again ──▶ ACK again
//!           2xx of another          ──▶ ACK and BYE
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Early dialogs kept of one INVITE; a further one is ignored until its 2xx.
pub const FORKS_MAX: usize = 8;
/// Unwanted 2xx remembered, so that each gets one BYE; of more each repetition gets one.
pub const STRAYS_MAX: usize = 8;

/// The early dialogs of an INVITE without a final answer; `T` is what the leg keeps of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forks<T> {
    early: BTreeMap<Box<str>, T>,
    heard: Option<Box<str>>,
}

impl<T> Default for Forks<T> {
    fn default() -> Self {
        Self { early: BTreeMap::new(), heard: None }
    }
}

impl<T> Forks<T> {
    /// The early dialog of that tag, made by `make` when it is new. `None`: it cannot be made, or
    /// there are [`FORKS_MAX`].
    pub fn early(&mut self, tag: &str, make: impl FnOnce() -> Option<T>) -> Option<&mut T> {
        if !self.early.contains_key(tag) {
            if self.early.len() >= FORKS_MAX {
                return None;
            }
            self.early.insert(tag.into(), make()?);
        }
        self.early.get_mut(tag)
    }

    /// The early dialog of that tag, for a request inside it.
    pub fn known(&mut self, tag: &str) -> Option<&mut T> {
        self.early.get_mut(tag)
    }

    /// A provisional of that early dialog brought a session description: its media is heard from
    /// now on. The latest wins; the earlier phone has handed the call on.
    pub fn hear(&mut self, tag: &str) {
        if self.early.contains_key(tag) {
            self.heard = Some(tag.into());
        }
    }

    /// The early dialog whose media is heard.
    pub fn heard(&self) -> Option<&T> {
        self.early.get(self.heard.as_ref()?)
    }

    /// A 199 ended that early dialog alone (RFC 6228).
    pub fn ended(&mut self, tag: &str) {
        self.early.remove(tag);
        self.heard.take_if(|heard| &**heard == tag);
    }

    /// A 2xx with that tag: it wins, the others are over. Its early dialog, when it had one.
    pub fn won(mut self, tag: &str) -> (Option<T>, Settled) {
        let settled = Settled { winner: Some(tag.into()), strays: Vec::new() };
        (self.early.remove(tag), settled)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.early.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.early.is_empty()
    }
}

/// An INVITE that is decided, while further 2xx may come (RFC 6026 §8.4 timer M, and later).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    winner: Option<Box<str>>,
    strays: Vec<Box<str>>,
}

/// What a 2xx after the decision asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The winner's own: its ACK was lost and goes out again.
    AckAgain,
    /// Another dialog that nobody wants: ACK, then BYE.
    AckAndBye,
    /// The same once more: only the ACK was lost.
    AckStray,
}

impl Settled {
    /// The INVITE was cancelled, or timed out: whatever 2xx still comes is unwanted.
    pub fn given_up() -> Self {
        Self { winner: None, strays: Vec::new() }
    }

    /// A 2xx with that tag.
    pub fn success(&mut self, tag: &str) -> Late {
        if self.winner.as_deref() == Some(tag) {
            return Late::AckAgain;
        }
        if self.strays.iter().any(|stray| &**stray == tag) {
            return Late::AckStray;
        }
        if self.strays.len() < STRAYS_MAX {
            self.strays.push(tag.into());
        }
        Late::AckAndBye
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::restored;
    use super::*;

    fn forks(tags: &[&str]) -> Forks<u32> {
        let mut forks = Forks::default();
        for (number, tag) in (0..).zip(tags) {
            assert_eq!(forks.early(tag, || Some(number)), Some(&mut { number }));
        }
        forks
    }

    #[test]
    fn an_early_dialog_is_made_once() {
        let mut forks = forks(&["a", "b"]);
        *forks.early("a", || panic!("it is known")).unwrap() = 7;
        assert_eq!(forks.known("a"), Some(&mut 7));
        assert_eq!(forks.known("c"), None);
        assert_eq!(forks.early("c", || None), None);
        assert_eq!(forks.len(), 2);
        assert_eq!(restored(&forks), forks);
    }

    #[test]
    fn the_media_of_the_fork_that_spoke_last_is_heard() {
        let mut forks = forks(&["a", "b"]);
        assert_eq!(forks.heard(), None, "ringing has no media");
        for (tag, heard) in [("a", 0), ("b", 1), ("a", 0), ("unknown", 0)] {
            forks.hear(tag);
            assert_eq!(forks.heard(), Some(&heard), "{tag}");
        }
        forks.ended("b");
        assert_eq!((forks.heard(), forks.len()), (Some(&0), 1));
        forks.ended("a");
        assert_eq!((forks.heard(), forks.is_empty()), (None, true));
        forks.early("a", || Some(2));
        assert_eq!(forks.heard(), None, "one that comes back is heard when it speaks");
    }

    #[test]
    fn forks_have_a_bound_that_a_2xx_passes() {
        let mut forks = Forks::default();
        for number in 0..100 {
            let made = forks.early(&format!("t{number}"), || Some(number)).is_some();
            assert_eq!(made, number < FORKS_MAX);
        }
        assert_eq!(forks.len(), FORKS_MAX);
        let (fork, mut settled) = forks.won("t50");
        assert_eq!(fork, None);
        assert_eq!(settled.success("t50"), Late::AckAgain);
    }

    #[test]
    fn the_first_2xx_wins_and_each_other_gets_one_bye() {
        let (fork, mut settled) = forks(&["a", "b"]).won("b");
        assert_eq!(fork, Some(1));
        let rows = [
            ("b", Late::AckAgain),
            ("a", Late::AckAndBye),
            ("a", Late::AckStray),
            ("b", Late::AckAgain),
            ("never seen", Late::AckAndBye),
            ("never seen", Late::AckStray),
        ];
        for (tag, expected) in rows {
            settled = restored(&settled);
            assert_eq!(settled.success(tag), expected, "{tag}");
        }
    }

    #[test]
    fn after_a_cancel_every_2xx_is_acknowledged_and_hung_up() {
        let mut settled = Settled::given_up();
        assert_eq!(settled.success("a"), Late::AckAndBye);
        assert_eq!(settled.success("a"), Late::AckStray);
        for number in 0..100 {
            assert_eq!(settled.success(&format!("t{number}")), Late::AckAndBye);
        }
        assert_eq!(settled.strays.len(), STRAYS_MAX);
    }
}
