//! What a peer sends us, counted by RFC 3550 (A.1 sequence, A.3 loss, A.8 jitter).

use base::Time;

use crate::quality::{LossFigures, LossPattern};
use crate::rtp::Header;

/// RFC 3550 A.1: a greater step forward is a restart of the sender, not a loss.
const MAX_DROPOUT: u16 = 3000;
/// RFC 3550 A.1: packets later than this are not merely reordered.
const MAX_MISORDER: u16 = 100;

/// Packets that may overtake one that is still not lost: more than any jitter buffer waits for.
const SETTLED: u16 = 16;

/// Counters of one incoming RTP stream.
#[derive(Clone, Debug, Default)]
pub struct Reception {
    run: Option<Run>,
    /// Counts the runs, so that a sender's restart is seen by who relays it.
    runs: u32,
    received: u64,
    bytes: u64,
    duplicates: u64,
    /// Packets that came too late to be played.
    discarded: u64,
    /// Packets of earlier runs that never came.
    lost_before: u64,
    /// Whether packets are lost one by one or in bursts.
    pattern: LossPattern,
    /// Lost since the last packet in the pattern.
    missing: u64,
    expected_prior: u64,
    received_prior: u64,
}

/// Packets of one sender with one sequence of numbers.
#[derive(Clone, Debug)]
struct Run {
    ssrc: u32,
    first: u64,
    highest: u64,
    received: u64,
    /// Bit n: packet `highest - n` has come.
    seen: u128,
    /// The same of those that came too late to be played.
    unplayed: u128,
    /// RFC 3550 A.1 `bad_seq`: what a restarted sender would send next.
    restart: Option<u16>,
    jitter: Option<Jitter>,
}

#[derive(Clone, Copy, Debug)]
struct Jitter {
    transit: u32,
    clock_rate: u32,
    /// Sixteenths of a timestamp unit, as in RFC 3550 A.8.
    sixteenths: u32,
}

/// What a packet is in its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// New; later than all before (`in_order`) or filling a gap.
    New {
        /// Number of the run, changes when the sender starts anew.
        run: u32,
        /// Sequence number extended over its wrap-arounds.
        extended: u64,
        /// Whether it is the latest so far.
        in_order: bool,
    },
    /// Has come before.
    Duplicate,
    /// Far from its place, and not yet believed to be a restart.
    Suspect,
}

/// What a reception report says (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Whom it is about.
    pub ssrc: u32,
    /// Lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Lost in all, 24 bits signed.
    pub total_lost: i32,
    /// Extended highest sequence number.
    pub highest: u32,
    /// Jitter, timestamp units.
    pub jitter: u32,
}

impl Reception {
    /// Takes note of a packet. `clock_rate` is `None` where the timestamp is not that of audio.
    pub fn arrive(
        &mut self,
        now: Time,
        header: &Header,
        payload_len: usize,
        clock_rate: Option<u32>,
    ) -> Arrival {
        let Some(run) = self.run.as_mut().filter(|run| run.ssrc == header.ssrc) else {
            return self.begin(now, header, payload_len, clock_rate);
        };
        match run.place(header.sequence) {
            Place::Ahead(step) => {
                run.settle(step, &mut self.pattern, &mut self.missing);
                run.advance(step);
            }
            Place::Behind(age) if run.seen & (1 << age) != 0 => {
                self.duplicates += 1;
                return Arrival::Duplicate;
            }
            Place::Behind(age) => {
                run.seen |= 1 << age;
                self.received += 1;
                self.bytes += payload_len as u64;
                run.received += 1;
                // Before the first one of the run: nobody expected it.
                let extended = run.highest.saturating_sub(age.into());
                run.first = run.first.min(extended);
                return Arrival::New { run: self.runs, extended, in_order: false };
            }
            Place::Restart => return self.begin(now, header, payload_len, clock_rate),
            Place::Suspect => {
                run.restart = Some(header.sequence.wrapping_add(1));
                return Arrival::Suspect;
            }
        }
        run.received += 1;
        if let Some(clock_rate) = clock_rate {
            run.measure(now, header.timestamp, clock_rate);
        }
        let extended = run.highest;
        self.received += 1;
        self.bytes += payload_len as u64;
        Arrival::New { run: self.runs, extended, in_order: true }
    }

    /// Packets taken.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// SSRC of the peer, once heard.
    pub fn ssrc(&self) -> Option<u32> {
        self.run.as_ref().map(|run| run.ssrc)
    }

    /// Payload bytes taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Packets that came twice.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Packets that never came.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.run.as_ref().map_or(0, Run::lost)
    }

    /// A packet of a run came too late to be played: to who listens it is as good as lost.
    pub(crate) fn discard(&mut self, run: u32, extended: u64) {
        let Some(current) = self.run.as_mut().filter(|_| self.runs == run) else { return };
        let age = current.highest.saturating_sub(extended);
        let bit = u32::try_from(age).ok().and_then(|age| 1u128.checked_shl(age)).unwrap_or(0);
        self.discarded += u64::from(current.unplayed & bit == 0);
        current.unplayed |= bit;
    }

    /// Packets that came, but too late to be played.
    pub fn discarded(&self) -> u64 {
        self.discarded
    }

    /// What losses and packets that came too late look like; what is missing of the last 320 ms may come still, until the end.
    pub fn losses(&self, is_over: bool) -> LossFigures {
        let (mut pattern, mut missing) = (self.pattern.clone(), self.missing);
        if is_over && let Some(run) = &self.run {
            run.settle(SETTLED, &mut pattern, &mut missing);
        }
        pattern.figures()
    }

    /// Jitter in milliseconds.
    pub fn jitter_ms(&self) -> f64 {
        let Some(jitter) = self.run.as_ref().and_then(|run| run.jitter) else { return 0.0 };
        f64::from(jitter.sixteenths) / 16.0 * 1000.0 / f64::from(jitter.clock_rate)
    }

    /// Makes the block of the next report: its fraction covers the time since the last call.
    pub fn report(&mut self) -> Option<Block> {
        let run = self.run.as_ref()?;
        let expected = run.expected();
        let expected_interval = expected.saturating_sub(self.expected_prior);
        let received_interval = run.received.saturating_sub(self.received_prior);
        let lost = expected_interval.saturating_sub(received_interval);
        let fraction_lost = (lost * 256).checked_div(expected_interval).unwrap_or(0).min(255) as u8;
        let block = Block {
            ssrc: run.ssrc,
            fraction_lost,
            total_lost: run.lost().min(0x7f_ffff) as i32,
            highest: run.highest as u32,
            jitter: run.jitter.map_or(0, |jitter| jitter.sixteenths >> 4),
        };
        self.expected_prior = expected;
        self.received_prior = run.received;
        Some(block)
    }

    fn begin(
        &mut self,
        now: Time,
        header: &Header,
        payload_len: usize,
        clock_rate: Option<u32>,
    ) -> Arrival {
        if let Some(run) = &self.run {
            self.lost_before += run.lost();
            run.settle(SETTLED, &mut self.pattern, &mut self.missing);
        }
        self.runs = self.runs.wrapping_add(1);
        self.expected_prior = 0;
        self.received_prior = 0;
        self.received += 1;
        self.bytes += payload_len as u64;
        // One cycle up, so that packets overtaken by the first one have a number, too.
        let extended = 0x1_0000 | u64::from(header.sequence);
        let mut run = Run {
            ssrc: header.ssrc,
            first: extended,
            highest: extended,
            received: 1,
            seen: 1,
            unplayed: 0,
            restart: None,
            jitter: None,
        };
        if let Some(clock_rate) = clock_rate {
            run.measure(now, header.timestamp, clock_rate);
        }
        self.run = Some(run);
        Arrival::New { run: self.runs, extended, in_order: true }
    }
}

enum Place {
    Ahead(u16),
    Behind(u16),
    Restart,
    Suspect,
}

impl Run {
    fn place(&self, sequence: u16) -> Place {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        let behind = ahead.wrapping_neg();
        if ahead != 0 && ahead < MAX_DROPOUT {
            Place::Ahead(ahead)
        } else if behind <= MAX_MISORDER {
            Place::Behind(behind)
        } else if self.restart == Some(sequence) {
            Place::Restart
        } else {
            Place::Suspect
        }
    }

    /// Enters into the pattern what is out of reach once the run is `step` packets further.
    fn settle(&self, step: u16, pattern: &mut LossPattern, missing: &mut u64) {
        for n in 0..step {
            let age = i32::from(SETTLED) - 1 - i32::from(n);
            let position = self.highest as i64 - i64::from(age);
            if position < self.first as i64 {
                continue;
            }
            // Those after the highest are skipped over.
            match age >= 0 && self.seen & !self.unplayed & (1 << age) != 0 {
                true => pattern.packet(std::mem::take(missing)),
                false => *missing += 1,
            }
        }
    }

    fn advance(&mut self, step: u16) {
        self.highest += u64::from(step);
        self.seen = self.seen.checked_shl(step.into()).unwrap_or(0) | 1;
        self.unplayed = self.unplayed.checked_shl(step.into()).unwrap_or(0);
        self.restart = None;
    }

    fn expected(&self) -> u64 {
        self.highest - self.first + 1
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// RFC 3550 A.8.
    fn measure(&mut self, now: Time, timestamp: u32, clock_rate: u32) {
        let arrival = (u128::from(now.as_nanos()) * u128::from(clock_rate) / 1_000_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        let jitter = match self.jitter {
            Some(jitter) if jitter.clock_rate == clock_rate => jitter,
            Some(_) | None => {
                self.jitter = Some(Jitter { transit, clock_rate, sixteenths: 0 });
                return;
            }
        };
        let d = (transit.wrapping_sub(jitter.transit) as i32).unsigned_abs();
        // A jump of the timestamp (a new talk spurt elsewhere, hold) is not jitter.
        let d = if d > clock_rate { 0 } else { d };
        let sixteenths = jitter.sixteenths.saturating_add(d) - ((jitter.sixteenths + 8) >> 4);
        self.jitter = Some(Jitter { transit, clock_rate, sixteenths });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn packet(sequence: u16, ssrc: u32) -> Header {
        let timestamp = u32::from(sequence).wrapping_mul(160);
        Header { marker: false, payload_type: 0, sequence, timestamp, ssrc }
    }

    fn feed(reception: &mut Reception, sequences: impl IntoIterator<Item = u16>) -> Vec<Arrival> {
        sequences
            .into_iter()
            .map(|n| reception.arrive(Time::ZERO, &packet(n, 1), 160, Some(8000)))
            .collect()
    }

    #[test]
    fn what_comes_too_late_to_be_played_is_as_good_as_lost() {
        let mut reception = Reception::default();
        for n in 0..400u16 {
            let late = n.is_multiple_of(20).then(|| n.wrapping_sub(7)).filter(|_| n > 0);
            let on_time = Some(n).filter(|n| n % 20 != 13);
            for n in on_time.into_iter().chain(late) {
                let [Arrival::New { run, extended, in_order }] = feed(&mut reception, [n])[..]
                else {
                    panic!("{n}")
                };
                if !in_order {
                    reception.discard(run, extended);
                    reception.discard(run, extended);
                    reception.discard(run + 1, extended);
                }
            }
        }
        assert_eq!((reception.lost(), reception.discarded()), (1, 19), "the last never came");
        let figures = reception.losses(true);
        assert!((figures.loss - 0.05).abs() < 1e-9, "{figures:?}");
        assert!((figures.gap_density - 0.05).abs() < 1e-9, "each on its own: {figures:?}");
    }

    #[test]
    fn what_overtakes_is_no_loss_and_what_is_lost_is_seen_in_bursts() {
        let lost = |n: &u16| (100..110).contains(n) && n.is_multiple_of(2);
        let mut sequences: Vec<u16> = (0..400).filter(|n| !lost(n)).collect();
        for n in (200..300).step_by(10) {
            sequences[n..n + 8].reverse();
        }
        let mut reception = Reception::default();
        feed(&mut reception, sequences);
        let figures = reception.losses(true);
        assert!((figures.loss - 5.0 / 400.0).abs() < 1e-9, "{figures:?}");
        assert_eq!((figures.burst_packets, figures.gap_density), (9.0, 0.0));
        // The last packets may still be overtaken.
        feed(&mut reception, [410]);
        assert_eq!(reception.losses(false).loss, 5.0 / 395.0);
        assert_eq!(reception.losses(true).loss, 15.0 / 411.0);
    }

    #[test]
    fn loss_is_what_never_came() {
        let rows: [(&str, &[u16], u64, u64); 6] = [
            ("clean", &[1, 2, 3], 0, 0),
            ("gap", &[1, 4], 2, 0),
            ("late", &[1, 3, 2, 4], 0, 0),
            ("before the first", &[5, 4, 6], 0, 0),
            ("wrap", &[65534, 65535, 0, 2], 1, 0),
            ("twice", &[1, 2, 2, 1, 3], 0, 2),
        ];
        for (name, sequences, lost, duplicates) in rows {
            let mut reception = Reception::default();
            feed(&mut reception, sequences.iter().copied());
            assert_eq!((reception.lost(), reception.duplicates()), (lost, duplicates), "{name}");
        }
    }

    #[test]
    fn a_far_packet_is_believed_when_the_next_one_follows() {
        let mut reception = Reception::default();
        let arrivals = feed(&mut reception, [1, 2, 30_000, 3, 40_000, 40_001, 40_002]);
        assert_eq!(arrivals[2], Arrival::Suspect);
        assert!(matches!(arrivals[3], Arrival::New { run: 1, .. }), "an outlier is forgotten");
        assert_eq!(arrivals[4], Arrival::Suspect);
        assert!(matches!(arrivals[5], Arrival::New { run: 2, in_order: true, .. }));
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn another_ssrc_is_another_run_and_keeps_the_losses() {
        let mut reception = Reception::default();
        feed(&mut reception, [1, 3]);
        let other = reception.arrive(Time::ZERO, &packet(9000, 2), 160, Some(8000));
        assert!(matches!(other, Arrival::New { run: 2, .. }));
        assert_eq!((reception.lost(), reception.received()), (1, 3));
    }

    #[test]
    fn numbers_go_on_over_the_wrap() {
        let mut reception = Reception::default();
        let arrivals = feed(&mut reception, [65535, 0, 65534]);
        let extended: Vec<_> = arrivals
            .into_iter()
            .filter_map(|arrival| match arrival {
                Arrival::New { extended, .. } => Some(extended),
                Arrival::Duplicate | Arrival::Suspect => None,
            })
            .collect();
        assert_eq!(extended, [0x1_ffff, 0x2_0000, 0x1_fffe]);
    }

    #[test]
    fn fraction_lost_covers_the_time_since_the_last_report() {
        let mut reception = Reception::default();
        feed(&mut reception, (0..100).filter(|n| n % 4 != 3));
        let first = reception.report().unwrap();
        assert_eq!((first.fraction_lost, first.total_lost), (62, 24), "24 of 99");
        feed(&mut reception, 100..200);
        let second = reception.report().unwrap();
        assert_eq!((second.fraction_lost, second.total_lost), (2, 25));
        assert_eq!(second.highest, 0x1_0000 + 199);
        assert_eq!(reception.report().unwrap().fraction_lost, 0, "nothing expected since");
    }

    #[test]
    fn jitter_is_zero_on_an_even_pace_and_grows_to_the_deviation() {
        let steady = |wobble_ms: u64| {
            let mut reception = Reception::default();
            for n in 0..500u16 {
                let wobble = if n % 2 == 0 { 0 } else { wobble_ms };
                let now = Time::ZERO + Duration::from_millis(u64::from(n) * 20 + wobble);
                reception.arrive(now, &packet(n, 1), 160, Some(8000));
            }
            reception.jitter_ms()
        };
        assert!(steady(0) < 0.01, "{}", steady(0));
        assert!((steady(8) - 8.0).abs() < 0.5, "{}", steady(8));
    }

    #[test]
    fn a_jump_of_the_timestamp_is_no_jitter() {
        let mut reception = Reception::default();
        feed(&mut reception, 0..10);
        let jumped = Header { timestamp: 0x8000_0000, ..packet(10, 1) };
        let before = reception.jitter_ms();
        reception.arrive(Time::ZERO, &jumped, 160, Some(8000));
        assert!(reception.jitter_ms() <= before);
    }
}
