//! How busy a worker is, and how much effort its encoders are to make of it: what cannot be done in time
//! is heard by all of a worker's calls, Opus encoded with less effort by few (ATTACKS 34).

use std::time::Duration;

use media::codec::Effort;
use media::worker::TICK;

/// A tick that begins so late has to be caught up with: every tick after it is late, too.
const LATE: Duration = Duration::from_millis(1);
/// Share of its time that a worker is busy for at least when it cannot catch up by itself at once.
const BUSY: f64 = 0.7;
/// Share below which there is time for full effort, which may take half as much again.
const AT_EASE: f64 = 0.55;
/// Ticks of ease after which full effort is made: 2 s.
const EASE_TICKS: u32 = 100;
/// Weight of the latest tick in the mean.
const WEIGHT: f64 = 0.1;

/// A worker's load.
pub(super) struct Load {
    /// Processor time of its thread when last looked at.
    spent: Duration,
    /// Mean share of its time that it was busy.
    busy: f64,
    effort: Effort,
    /// Ticks of ease so far.
    ease: u32,
}

impl Load {
    /// Of a worker that has nothing to do yet.
    pub(super) fn new() -> Self {
        Self { spent: Duration::ZERO, busy: 0.0, effort: Effort::Full, ease: 0 }
    }

    /// It ticks from now on; `spent` is the processor time of its thread so far.
    pub(super) fn begin(&mut self, spent: Duration) {
        self.spent = spent;
    }

    /// As a tick begins: how late it is, how many ticks have passed since the last one (0 is 1), and the
    /// processor time of the thread so far. The effort, where that changes.
    pub(super) fn tick(&mut self, late: Duration, ticks: u32, spent: Duration) -> Option<Effort> {
        let worked = spent.saturating_sub(std::mem::replace(&mut self.spent, spent));
        let busy = worked.as_secs_f64() / (TICK * ticks.max(1)).as_secs_f64();
        self.busy += (busy - self.busy) * WEIGHT;
        self.ease = if self.busy < AT_EASE { self.ease + 1 } else { 0 };
        let effort = match self.effort {
            Effort::Full if late >= LATE && busy >= BUSY => Effort::Little,
            Effort::Little if self.ease >= EASE_TICKS => Effort::Full,
            Effort::Full | Effort::Little => return None,
        };
        (self.effort, self.ease) = (effort, 0);
        Some(effort)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A load, the processor time of its worker, and how late that is.
    struct Worker(Load, Duration, Duration);

    impl Worker {
        fn new() -> Self {
            let mut load = Load::new();
            load.begin(Duration::from_secs(3));
            Self(load, Duration::from_secs(3), Duration::ZERO)
        }

        /// Works for so many ticks, each of so many per cent of its time; what changed, and after how
        /// many of them.
        fn work(&mut self, percent: u32, ticks: u32) -> Vec<(u32, Effort)> {
            let changed = (1..=ticks).filter_map(|n| {
                let work = TICK * percent / 100;
                self.1 += work;
                self.2 = (self.2 + work).saturating_sub(TICK);
                Some((n, self.0.tick(self.2, 1, self.1)?))
            });
            changed.collect()
        }
    }

    #[test]
    fn who_has_the_time_makes_full_effort() {
        let mut worker = Worker::new();
        assert_eq!(worker.work(98, 3000), []);
    }

    #[test]
    fn a_busy_worker_that_is_late_spares_effort_at_once() {
        let mut worker = Worker::new();
        worker.work(80, 100);
        assert_eq!(worker.work(115, 100), [(1, Effort::Little)]);
        // The machine stood still.
        let mut worker = Worker::new();
        worker.work(80, 100);
        worker.2 += Duration::from_millis(40);
        assert_eq!(worker.work(80, 1), [(1, Effort::Little)]);
    }

    #[test]
    fn who_catches_up_by_itself_spares_none() {
        let mut worker = Worker::new();
        worker.work(30, 100);
        worker.2 += Duration::from_millis(40);
        assert_eq!(worker.work(30, 100), []);
        // Three ticks at once are no more work than one after the other.
        let spent = worker.1 + 3 * TICK * 30 / 100;
        assert_eq!(worker.0.tick(Duration::from_millis(40), 3, spent), None);
    }

    #[test]
    fn effort_comes_back_with_seconds_of_ease_only() {
        let mut worker = Worker::new();
        worker.work(115, 10);
        assert_eq!(worker.work(66, 3000), [], "full effort would be too much");
        assert_eq!(worker.work(40, 100), []);
        assert_eq!(worker.work(99, 10), [], "ease is over");
        let back = worker.work(40, 2000);
        assert!(matches!(back[..], [(EASE_TICKS..130, Effort::Full)]), "{back:?}");
    }
}
