//! Asking each contact by OPTIONS whether it lives.
//!
//! The first time is spread over the whole interval by the binding's id, so that ten thousand
//! phones restored at once are not asked at once.

use std::time::Duration;

use base::Time;

use super::{BindingId, Change, Reachability, Registrar};

/// OPTIONS without an answer after which a contact counts as unreachable. It stays bound.
pub const QUALIFY_FAILURES_MAX: u8 = 3;

impl Registrar {
    /// Appends the bindings to ask now; each is told of by [`Registrar::qualify_result`].
    pub fn qualify_due(&mut self, now: Time, out: &mut Vec<BindingId>) {
        let Some(interval) = self.interval() else { return };
        while let Some(due) = self.qualify.next().filter(|&due| due <= now) {
            let Some(id) = self.qualify.pop_due(due) else { break };
            // From when it was due, so that the spread lasts; from now after a pause.
            let next = due + interval;
            self.qualify.arm(id, if next > now { next } else { now + interval });
            out.push(id);
        }
    }

    /// A contact answered (with any status) after `round_trip`, or did not.
    pub fn qualify_result(
        &mut self,
        _now: Time,
        id: BindingId,
        round_trip: Option<Duration>,
        out: &mut Vec<Change>,
    ) {
        let Some(binding) = self.bindings.get_mut(&id) else { return };
        let was_reachable = binding.is_reachable();
        match round_trip {
            Some(round_trip) => {
                binding.failures = 0;
                binding.reachability = Reachability::Reachable { round_trip };
            }
            None => {
                binding.failures = binding.failures.saturating_add(1);
                if binding.failures >= QUALIFY_FAILURES_MAX {
                    binding.reachability = Reachability::Unreachable;
                }
            }
        }
        let reachable = binding.is_reachable();
        if reachable != was_reachable {
            out.push(Change::Reachable { aor: binding.aor.clone(), reachable });
        }
    }

    /// Starts asking a binding, unless it is being asked already.
    pub(super) fn arm_qualify(&mut self, now: Time, id: BindingId) {
        let Some(interval) = self.interval() else { return };
        if self.qualify.deadline(id).is_some() {
            return;
        }
        // Fibonacci hashing: consecutive ids fall evenly over the interval.
        let spread = id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let delay = (u128::from(spread) * u128::from(nanos)) >> 64;
        let delay = u64::try_from(delay).unwrap_or(nanos);
        self.qualify.arm(id, now + Duration::from_nanos(delay));
    }

    fn interval(&self) -> Option<Duration> {
        self.config.qualify.filter(|interval| !interval.is_zero())
    }
}
