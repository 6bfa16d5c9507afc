//! Whether packets are lost one by one or in bursts (RFC 3611 §4.7.2).

/// Packets received in a row that part two bursts (RFC 3611 §4.7.2: Gmin, 16 recommended).
pub(crate) const GAP_MIN: u64 = 16;

/// Counts losses of one stream, packet by packet.
#[derive(Clone, Debug, Default)]
pub struct LossPattern {
    received: u64,
    /// Runs of lost packets, and the packets in them.
    runs: u64,
    lost: u64,
    /// Packets received since the last loss.
    since: u64,
    /// Losses that are close together: lost, and received between them.
    group: (u64, u64),
    /// The same of all groups before that were bursts, and their number.
    bursts: (u64, u64),
    burst_count: u64,
}

/// What the losses look like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossFigures {
    /// Share of all packets that was lost, 0–1.
    pub loss: f64,
    /// The same within bursts, and between them.
    pub burst_density: f64,
    /// Share lost between bursts.
    pub gap_density: f64,
    /// Packets of a burst, on average.
    pub burst_packets: f64,
    /// Packets between bursts, on average.
    pub gap_packets: f64,
    /// Length of runs of lost packets against that of chance, 1 or more (G.107 §7.2).
    pub burst_ratio: f64,
}

impl LossPattern {
    /// A packet came in time, after `lost` that did not.
    pub fn packet(&mut self, lost: u64) {
        if lost > 0 {
            self.lost(lost);
        }
        self.received += 1;
        self.since += 1;
    }

    /// What it looks like so far.
    pub fn figures(&self) -> LossFigures {
        let (mut bursts, mut count) = (self.bursts, self.burst_count);
        if self.group.0 > 1 {
            bursts = (bursts.0 + self.group.0, bursts.1 + self.group.1);
            count += 1;
        }
        let in_bursts = bursts.0 + bursts.1;
        let all = self.received + self.lost;
        let in_gaps = all - in_bursts;
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let loss = share(self.lost, all);
        LossFigures {
            loss,
            burst_density: share(bursts.0, in_bursts),
            gap_density: share(self.lost - bursts.0, in_gaps),
            burst_packets: share(in_bursts, count),
            gap_packets: share(in_gaps, count + 1),
            // Under chance a run has 1 / (1 - loss) packets.
            burst_ratio: (share(self.lost, self.runs) * (1.0 - loss)).max(1.0),
        }
    }

    fn lost(&mut self, lost: u64) {
        self.lost += lost;
        self.runs += 1;
        if self.since >= GAP_MIN || self.group.0 == 0 {
            self.end_group();
            self.group = (lost, 0);
        } else {
            self.group = (self.group.0 + lost, self.group.1 + self.since);
        }
        self.since = 0;
    }

    /// One loss alone is no burst.
    fn end_group(&mut self) {
        if self.group.0 > 1 {
            self.bursts = (self.bursts.0 + self.group.0, self.bursts.1 + self.group.1);
            self.burst_count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Rng;

    use super::*;

    /// `.` is a packet, `x` a lost one.
    fn figures(wire: &str) -> LossFigures {
        let mut pattern = LossPattern::default();
        let mut lost = 0;
        for packet in wire.chars() {
            if packet == 'x' {
                lost += 1;
            } else {
                pattern.packet(std::mem::take(&mut lost));
            }
        }
        pattern.figures()
    }

    #[test]
    fn single_losses_far_apart_are_no_burst() {
        let wire = format!("{}x", ".".repeat(20)).repeat(5) + &".".repeat(20);
        let figures = figures(&wire);
        assert_eq!((figures.burst_packets, figures.burst_density), (0.0, 0.0));
        assert!((figures.gap_density - 5.0 / 125.0).abs() < 1e-9);
        assert_eq!(figures.gap_packets, 125.0);
        assert_eq!(figures.burst_ratio, 1.0);
    }

    #[test]
    fn losses_close_together_are_one() {
        let gap = ".".repeat(50);
        let figures = figures(&format!("{gap}x..xx.x{gap}"));
        assert_eq!(figures.burst_packets, 7.0);
        assert!((figures.burst_density - 4.0 / 7.0).abs() < 1e-9);
        assert_eq!((figures.gap_packets, figures.gap_density), (50.0, 0.0));
        assert!((figures.loss - 4.0 / 107.0).abs() < 1e-9);
    }

    #[test]
    fn runs_are_measured_against_chance() {
        let mut rng = Rng::new([6; 32]);
        let (mut random, mut lost) = (LossPattern::default(), 0);
        for _ in 0..100_000 {
            if rng.next_u64().is_multiple_of(10) {
                lost += 1;
            } else {
                random.packet(std::mem::take(&mut lost));
            }
        }
        let figures = random.figures();
        assert!((figures.loss - 0.1).abs() < 0.01, "{figures:?}");
        assert!((figures.burst_ratio - 1.0).abs() < 0.02, "{figures:?}");
        let mut bursts = LossPattern::default();
        (0..1000).for_each(|n| bursts.packet(if n % 90 == 89 { 10 } else { 0 }));
        assert!(bursts.figures().burst_ratio > 8.0, "{:?}", bursts.figures());
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(
            LossPattern::default().figures(),
            LossFigures { burst_ratio: 1.0, ..LossFigures::default() }
        );
    }
}
