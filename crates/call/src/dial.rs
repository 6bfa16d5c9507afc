//! Reaching the called party: targets tried one after another, each ringing several phones.

use serde::{Deserialize, Serialize};

use crate::Cause;

/// The failures of a call being placed, and what to do about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dialling {
    /// Which target is being tried.
    pub(crate) target: usize,
    /// The failure that says most, so far.
    worst: Option<Cause>,
    /// The last target's own best failure.
    of_target: Option<Cause>,
    /// Whether the target named another, which was put behind it.
    redirected: bool,
}

impl Dialling {
    /// Takes note of a failure.
    pub(crate) fn failed(&mut self, cause: Cause) {
        let better = |old: Option<Cause>| match old {
            Some(old) if old.rank() >= cause.rank() => Some(old),
            Some(_) | None => Some(cause),
        };
        self.worst = better(self.worst);
        self.of_target = better(self.of_target);
    }

    /// All phones of the target have failed: the next target, when the failure allows it.
    pub(crate) fn next_target(&mut self, targets: usize) -> Option<usize> {
        let retry = self.of_target.is_none_or(Cause::allows_next_target);
        let retry = retry || std::mem::take(&mut self.redirected);
        if !retry || self.target + 1 >= targets {
            return None;
        }
        self.target += 1;
        self.of_target = None;
        Some(self.target)
    }

    /// The target named another: where to put it in the list.
    pub(crate) fn redirected(&mut self) -> usize {
        self.redirected = true;
        self.target + 1
    }

    /// What the caller is told when no target is left.
    pub(crate) fn verdict(&self) -> Cause {
        self.worst.unwrap_or(Cause::UNAVAILABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_target_is_tried_after_a_server_error_only() {
        let mut dialling = Dialling::default();
        dialling.failed(Cause::CONGESTION);
        assert_eq!(dialling.next_target(2), Some(1));
        dialling.failed(Cause::CONGESTION);
        assert_eq!(dialling.next_target(2), None);
        let mut dialling = Dialling::default();
        dialling.failed(Cause::BUSY);
        assert_eq!(dialling.next_target(2), None);
    }

    #[test]
    fn the_caller_learns_the_most_telling_failure() {
        let mut dialling = Dialling::default();
        for status in [503, 486, 480] {
            dialling.failed(Cause::from_status(status));
        }
        assert_eq!(dialling.verdict(), Cause::BUSY);
        assert_eq!(Dialling::default().verdict(), Cause::UNAVAILABLE);
    }
}
