use super::Incoming;
use crate::codec::Format;

/// A change of the way through the network by more than this is a jump of the timestamps, seconds.
const JUMP_SECONDS: i64 = 1;

/// A step of the sequence by more than this is a restart that nobody told of.
const SEQUENCE_JUMP: u64 = 1 << 20;
/// The first sequence number of ours: low enough never to overflow, high enough to go back from.
const SEQUENCE_FIRST: u64 = 1 << 32;

/// The sender's numbers, made continuous over wrap-arounds, restarts and jumps.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    run: u32,
    /// The last sequence number: the sender's and ours.
    theirs: u64,
    ours: u64,
    /// One more than the highest of ours.
    end: u64,
    timestamp: u32,
    /// Media time of that timestamp, in units of the RTP clock.
    units: i64,
    /// Arrival less media time of the last packet, samples.
    transit: i64,
    is_first: bool,
}

/// Where a packet belongs.
pub(super) struct Place {
    pub(super) sequence: u64,
    /// Samples.
    pub(super) time: i64,
    /// The first packet of all.
    pub(super) is_first: bool,
    /// The media time was chosen by us.
    pub(super) is_anew: bool,
}

impl Timeline {
    /// Media time begins at the time of the clock.
    pub(super) fn new(arrival: i64, format: &Format, first: &Incoming<'_>) -> Self {
        Self {
            run: first.run,
            theirs: first.sequence,
            ours: SEQUENCE_FIRST,
            end: SEQUENCE_FIRST,
            timestamp: first.timestamp,
            units: format.units(arrival),
            transit: 0,
            is_first: true,
        }
    }

    /// `typical` is how late packets usually are: a packet whose timestamp tells nothing counts as
    /// that late.
    pub(super) fn place(
        &mut self,
        arrival: i64,
        typical: i64,
        format: &Format,
        packet: &Incoming<'_>,
    ) -> Place {
        let ahead = packet.sequence.wrapping_sub(self.theirs).cast_signed();
        let is_restart = packet.run != self.run || ahead.unsigned_abs() > SEQUENCE_JUMP;
        self.run = packet.run;
        self.theirs = packet.sequence;
        self.ours = if is_restart { self.end } else { self.ours.saturating_add_signed(ahead) };
        self.end = self.end.max(self.ours + 1);
        let step = packet.timestamp.wrapping_sub(self.timestamp) as i32;
        let units = self.units + i64::from(step);
        let transit = arrival - format.samples(units);
        let limit = JUMP_SECONDS * i64::from(format.sample_rate);
        let is_anew = is_restart || (transit - self.transit).abs() > limit;
        if is_anew {
            self.units = format.units(arrival - typical);
            self.transit = typical;
        } else {
            self.units = units;
            self.transit = transit;
        }
        self.timestamp = packet.timestamp;
        let is_first = std::mem::take(&mut self.is_first);
        Place { sequence: self.ours, time: format.samples(self.units), is_first, is_anew }
    }
}
