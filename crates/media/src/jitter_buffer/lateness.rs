/// Length of a bucket, in parts of a second.
const BUCKETS_PER_SECOND: i64 = 2;
/// Buckets remembered: four seconds. With what taking the delay out again needs, jitter is forgotten
/// within five.
const BUCKETS: usize = 8;

/// How late the packets of the last four seconds came: their arrivals less their media times.
///
/// What counts is the second of the worst half-seconds. So a single hiccup delays nobody
/// afterwards, while jitter that goes on is met in full, by all but one packet in a hundred.
#[derive(Clone, Debug)]
pub(crate) struct Lateness {
    rate: i64,
    /// Latest and earliest packet of each half-second; the newest at `at`.
    buckets: [Option<(i64, i64)>; BUCKETS],
    at: usize,
    /// When the newest bucket began.
    since: i64,
}

impl Lateness {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate: rate.into(), buckets: [None; BUCKETS], at: 0, since: i64::MIN / 2 }
    }

    /// Takes note of a packet that arrived at `now`, both in samples.
    pub(super) fn record(&mut self, now: i64, late: i64) {
        // Time without packets does not age what is known.
        if now - self.since >= self.rate / BUCKETS_PER_SECOND {
            self.since = now;
            self.at = (self.at + 1) % BUCKETS;
            self.buckets[self.at] = None;
        }
        let bucket = self.buckets[self.at].get_or_insert((late, late));
        bucket.0 = bucket.0.max(late);
        bucket.1 = bucket.1.min(late);
    }

    /// How late a packet may be and still be waited for, samples. 0 before the first.
    pub(crate) fn bound(&self) -> i64 {
        let mut worst = [None; 2];
        for late in self.buckets.iter().flatten().map(|bucket| Some(bucket.0)) {
            if late > worst[0] {
                worst = [late, worst[0]];
            } else if late > worst[1] {
                worst[1] = late;
            }
        }
        // Before there is a second half-second, nothing is known to be an exception.
        worst[1].or(worst[0]).unwrap_or(0)
    }

    /// From the earliest packet to the bound, samples: the jitter.
    pub(crate) fn spread(&self) -> i64 {
        let earliest = self.buckets.iter().flatten().map(|bucket| bucket.1).min();
        earliest.map_or(0, |earliest| (self.bound() - earliest).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 20 ms at 8 kHz, late by what the function says of their number.
    fn feed(lateness: &mut Lateness, range: std::ops::Range<i64>, late: impl Fn(i64) -> i64) {
        for n in range {
            lateness.record(n * 160 + late(n), late(n));
        }
    }

    #[test]
    fn steady_jitter_counts_in_full() {
        let mut lateness = Lateness::new(8000);
        feed(&mut lateness, 0..500, |n| n * 7919 % 480);
        assert!((470..480).contains(&lateness.bound()), "{}", lateness.bound());
        assert!((460..480).contains(&lateness.spread()), "{}", lateness.spread());
    }

    #[test]
    fn one_hiccup_does_not_count_and_a_second_one_does_for_four_seconds() {
        let mut lateness = Lateness::new(8000);
        feed(&mut lateness, 0..300, |n| if n == 200 { 640 } else { 8 });
        assert_eq!(lateness.bound(), 8);
        feed(&mut lateness, 300..310, |n| if n == 300 { 560 } else { 8 });
        assert_eq!(lateness.bound(), 560);
        feed(&mut lateness, 310..600, |_| 8);
        assert_eq!(lateness.bound(), 8);
    }

    #[test]
    fn a_pause_forgets_nothing() {
        let mut lateness = Lateness::new(8000);
        feed(&mut lateness, 0..500, |n| n % 3 * 100);
        let before = lateness.bound();
        feed(&mut lateness, 30_000..30_010, |_| 0);
        assert_eq!(lateness.bound(), before);
    }

    #[test]
    fn a_first_packet_is_its_own_measure() {
        let mut lateness = Lateness::new(8000);
        assert_eq!(lateness.bound(), 0);
        lateness.record(0, -77);
        assert_eq!((lateness.bound(), lateness.spread()), (-77, 0));
    }
}
