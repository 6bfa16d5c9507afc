//! Reaching the called party: targets tried one after another, each ringing several phones.

use serde::{Deserialize, Serialize};

use crate::Cause;
use crate::record::EndedBy;

/// The failures of a call being placed, and what to do about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dialling {
    /// Which target is being tried.
    pub(crate) target: usize,
    /// The failure that says most, so far, and whose it was.
    worst: Option<(Cause, EndedBy)>,
    /// The last target's own best failure.
    of_target: Option<Cause>,
    /// Whether the target named another, which was put behind it.
    redirected: bool,
}

impl Dialling {
    /// Takes note of a failure and of who decided it.
    pub(crate) fn failed(&mut self, cause: Cause, by: EndedBy) {
        let is_better = |old: Option<Cause>| old.is_none_or(|old| cause.rank() > old.rank());
        if is_better(self.worst.map(|(worst, _)| worst)) {
            self.worst = Some((cause, by));
        }
        if is_better(self.of_target) {
            self.of_target = Some(cause);
        }
    }

    /// Nobody answered in time: whatever single phones said before, we end it.
    pub(crate) fn timed_out(&mut self) {
        self.failed(Cause::UNAVAILABLE, EndedBy::System);
        if let Some((_, by)) = &mut self.worst {
            *by = EndedBy::System;
        }
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

    /// What the caller is told when no target is left, and who decided it.
    pub(crate) fn verdict(&self) -> (Cause, EndedBy) {
        self.worst.unwrap_or((Cause::UNAVAILABLE, EndedBy::System))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_target_is_tried_after_a_server_error_only() {
        let mut dialling = Dialling::default();
        dialling.failed(Cause::CONGESTION, EndedBy::System);
        assert_eq!(dialling.next_target(2), Some(1));
        dialling.failed(Cause::CONGESTION, EndedBy::System);
        assert_eq!(dialling.next_target(2), None);
        let mut dialling = Dialling::default();
        dialling.failed(Cause::BUSY, EndedBy::Callee);
        assert_eq!(dialling.next_target(2), None);
    }

    #[test]
    fn the_caller_learns_the_most_telling_failure() {
        let mut dialling = Dialling::default();
        for (status, by) in [(503, EndedBy::System), (486, EndedBy::Callee), (480, EndedBy::System)]
        {
            dialling.failed(Cause::from_status(status), by);
        }
        assert_eq!(dialling.verdict(), (Cause::BUSY, EndedBy::Callee));
        assert_eq!(Dialling::default().verdict(), (Cause::UNAVAILABLE, EndedBy::System));
    }

    #[test]
    fn whoever_refused_before_a_ring_time_out_is_the_system_s_end() {
        let mut dialling = Dialling::default();
        dialling.failed(Cause::BUSY, EndedBy::Callee);
        dialling.timed_out();
        assert_eq!(dialling.verdict(), (Cause::BUSY, EndedBy::System));
    }
}
