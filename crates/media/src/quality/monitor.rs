//! When a leg has become bad, and when it is good again.
//!
//! ```text
//!        below 3.5 for 5 s                  above 3.8 for 10 s
//! good ──────────────────▶ degraded, told ──────────────────────▶ good, told
//! ```

use std::time::Duration;

use base::Time;
use serde::{Deserialize, Serialize};

use super::{Conditions, Rating};
use crate::command::Codec;

/// When the quality counts as changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Below this score it is degraded.
    pub degraded_mos: f64,
    /// For so long.
    pub degraded_after: Duration,
    /// Above this score it has recovered; more than [`Limits::degraded_mos`].
    pub recovered_mos: f64,
    /// For so long.
    pub recovered_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            degraded_mos: 3.5,
            degraded_after: Duration::from_secs(5),
            recovered_mos: 3.8,
            recovered_after: Duration::from_secs(10),
        }
    }
}

/// What one direction of a stream has counted since its start, and measures now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Codec of the direction.
    pub codec: Option<Codec>,
    /// Packets that came.
    pub received: u64,
    /// Packets that never came, or too late to be played.
    pub lost: u64,
    /// Length of runs of losses against that of chance; 0 when it is not known.
    pub burst_ratio: f64,
    /// One way from mouth to ear, milliseconds; see [`Conditions::delay`].
    pub delay_ms: f64,
}

/// What is told (`leg.quality`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum QualityChange {
    /// It sounds bad.
    Degraded(Rating),
    /// It sounds well again.
    Recovered(Rating),
}

/// Watches one direction of a leg.
#[derive(Clone, Debug)]
pub struct Monitor {
    limits: Limits,
    before: Counters,
    rating: Option<Rating>,
    is_degraded: bool,
    /// Since when the score has been on the other side.
    since: Option<Time>,
}

impl Monitor {
    /// Good so far.
    pub fn new(limits: Limits) -> Self {
        debug_assert!(limits.degraded_mos <= limits.recovered_mos);
        let before = Counters::default();
        Self { limits, before, rating: None, is_degraded: false, since: None }
    }

    /// The counters as they are now, to be told every second or so. Rates what came since the last
    /// time; a time in which nothing came and nothing is missing is not rated.
    pub fn observe(&mut self, now: Time, counters: &Counters) -> Option<QualityChange> {
        let received = counters.received.saturating_sub(self.before.received);
        // What was counted as lost may come late: then less is lost than before.
        let lost = counters.lost.saturating_sub(self.before.lost);
        self.before = *counters;
        if received + lost == 0 {
            return None;
        }
        let rating = Conditions {
            codec: counters.codec,
            loss_percent: 100.0 * lost as f64 / (received + lost) as f64,
            burst_ratio: counters.burst_ratio,
            delay_ms: counters.delay_ms,
        }
        .rating();
        self.rating = Some(rating);
        self.judge(now, rating)
    }

    /// How it sounded last.
    pub fn rating(&self) -> Option<Rating> {
        self.rating
    }

    /// Whether it is degraded.
    pub fn is_degraded(&self) -> bool {
        self.is_degraded
    }

    fn judge(&mut self, now: Time, rating: Rating) -> Option<QualityChange> {
        let Limits { degraded_mos, degraded_after, recovered_mos, recovered_after } = self.limits;
        let (is_other, after) = if self.is_degraded {
            (rating.mos > recovered_mos, recovered_after)
        } else {
            (rating.mos < degraded_mos, degraded_after)
        };
        if !is_other {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if now - since < after {
            return None;
        }
        self.since = None;
        self.is_degraded = !self.is_degraded;
        let change =
            if self.is_degraded { QualityChange::Degraded } else { QualityChange::Recovered };
        Some(change(rating))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which second tells what, for these losses per second of 50 packets.
    fn changes(lost: &[u64]) -> Vec<(usize, bool)> {
        let mut monitor = Monitor::new(Limits::default());
        let mut counters = Counters { codec: Some(Codec::Pcmu), ..Counters::default() };
        let mut changes = Vec::new();
        for (second, lost) in lost.iter().enumerate() {
            counters.lost += lost;
            counters.received += 50 - lost;
            let now = Time::ZERO + Duration::from_secs(second as u64);
            if let Some(change) = monitor.observe(now, &counters) {
                assert_eq!(monitor.is_degraded(), matches!(change, QualityChange::Degraded(_)));
                changes.push((second, monitor.is_degraded()));
            }
        }
        changes
    }

    #[test]
    fn it_degrades_after_5_s_and_recovers_after_10_s_once_each() {
        let lost = [&[0; 10][..], &[10; 20], &[0; 30]].concat();
        assert_eq!(changes(&lost), [(15, true), (40, false)]);
    }

    #[test]
    fn a_bad_moment_is_not_told() {
        let lost = [&[0; 10][..], &[50; 4], &[0; 10], &[25; 4], &[0; 10]].concat();
        assert_eq!(changes(&lost), []);
    }

    #[test]
    fn between_the_limits_nothing_changes() {
        // 10 % of loss is about 3.4, 8 % about 3.6, none 4.4.
        let lost = [&[5; 10][..], &[4; 60], &[0; 5], &[4; 5], &[0; 11]].concat();
        assert_eq!(changes(&lost), [(5, true), (90, false)]);
    }

    #[test]
    fn a_stream_on_hold_is_not_rated() {
        let mut monitor = Monitor::new(Limits::default());
        let counters = Counters { received: 100, ..Counters::default() };
        monitor.observe(Time::ZERO, &counters);
        let rated = monitor.rating();
        assert!(rated.is_some());
        assert_eq!(monitor.observe(Time::ZERO + Duration::from_secs(60), &counters), None);
        assert_eq!(monitor.rating(), rated);
        // A counter that went back, as of another stream, is no loss either.
        assert_eq!(monitor.observe(Time::ZERO, &Counters::default()), None);
    }
}
