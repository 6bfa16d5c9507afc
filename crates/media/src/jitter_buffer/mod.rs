//! Packets of one source, waiting in order for the tick that plays them.
//!
//! Knows sequence numbers, timestamps and arrivals; knows no codec. The sender's timestamps, which
//! jump and start anew, become one *media time* in samples that never does. Nothing here decides
//! when a packet is played: see [`crate::playout`]. Bounded: [`PACKETS_MAX`] packets, and as many
//! bytes as [`JitterBuffer::new`] was given; what is beyond pushes the oldest out.

mod lateness;
mod timeline;

use base::Time;

use crate::codec::Format;

pub(crate) use lateness::Lateness;
use timeline::Timeline;

/// Packets that can wait.
pub const PACKETS_MAX: usize = 64;

/// A packet as it came.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Number of the sender's run: another one means that its numbers begin anew
    /// ([`crate::reception::Arrival::New`]).
    pub run: u32,
    /// Sequence number extended over its wrap-arounds.
    pub sequence: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// What the payload is.
    pub content: Content,
    /// The payload.
    pub payload: &'a [u8],
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Speech or music in the stream's codec.
    Audio,
    /// Comfort noise (RFC 3389), to be made until audio comes again.
    Noise,
    /// No sound, but a place in the sequence: a telephone event, which is told elsewhere.
    Event,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It waits.
    Waiting,
    /// Its time is over.
    Late,
    /// It is here already.
    Duplicate,
    /// Its payload is longer than the buffer.
    TooLong,
}

/// A waiting packet, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    sequence: u64,
    /// Packets that are missing before it.
    pub(crate) missing: u64,
    /// Media time of its first sample.
    pub(crate) time: i64,
    /// When it came, in samples of the clock.
    pub(crate) arrival: i64,
    /// The sender's timestamps jumped here: what is between it and the packet before is not known.
    pub(crate) is_anew: bool,
    pub(crate) content: Content,
    /// Where its bytes are, counted from the first byte ever stored.
    start: u64,
    len: usize,
}

/// Waiting packets of one source.
#[derive(Clone, Debug)]
pub struct JitterBuffer {
    rate: u32,
    slots: Box<[Option<Waiting>]>,
    bytes: Box<[u8]>,
    /// Bytes ever stored.
    stored: u64,
    /// The first sequence number still wanted.
    next: u64,
    /// One more than the highest sequence number seen.
    end: u64,
    timeline: Option<Timeline>,
    lateness: Lateness,
}

impl JitterBuffer {
    /// A buffer for packets of `format`, with room for `bytes` of payload. Allocates; nothing
    /// after it does.
    pub fn new(format: &Format, bytes: usize) -> Self {
        Self {
            rate: format.sample_rate,
            slots: vec![None; PACKETS_MAX].into(),
            bytes: vec![0; bytes].into(),
            stored: 0,
            next: 0,
            end: 0,
            timeline: None,
            lateness: Lateness::new(format.sample_rate),
        }
    }

    /// Takes a packet that arrived `now`.
    pub fn put(&mut self, now: Time, format: &Format, packet: &Incoming<'_>) -> Put {
        let arrival = samples_at(now, self.rate);
        let typical = self.lateness.bound();
        let timeline = self.timeline.get_or_insert_with(|| Timeline::new(arrival, format, packet));
        let place = timeline.place(arrival, typical, format, packet);
        if place.is_first {
            self.next = place.sequence;
            self.end = place.sequence;
        }
        if place.sequence >= self.next && self.waiting(place.sequence).is_some() {
            return Put::Duplicate;
        }
        self.lateness.record(arrival, arrival - place.time);
        if place.sequence < self.next {
            return Put::Late;
        }
        if packet.payload.len() > self.bytes.len() {
            return Put::TooLong;
        }
        self.make_room(place.sequence);
        let start = self.store(packet.payload);
        let slot = place.sequence as usize % PACKETS_MAX;
        self.slots[slot] = Some(Waiting {
            sequence: place.sequence,
            missing: 0,
            time: place.time,
            arrival,
            is_anew: place.is_anew,
            content: packet.content,
            start,
            len: packet.payload.len(),
        });
        self.end = self.end.max(place.sequence + 1);
        Put::Waiting
    }

    /// Takes note of when a packet arrived that is not stored.
    pub(crate) fn miss(&mut self, now: Time, format: &Format, packet: &Incoming<'_>) {
        let arrival = samples_at(now, self.rate);
        let typical = self.lateness.bound();
        if let Some(timeline) = &mut self.timeline {
            let place = timeline.place(arrival, typical, format, packet);
            self.lateness.record(arrival, arrival - place.time);
        }
    }

    /// Packets that wait and have none missing before them.
    pub(crate) fn in_order(&self) -> usize {
        (self.next..self.end).take_while(|sequence| self.waiting(*sequence).is_some()).count()
    }

    /// How late packets come.
    pub(crate) fn lateness(&self) -> &Lateness {
        &self.lateness
    }

    /// The first packet that waits.
    pub(crate) fn first(&self) -> Option<Waiting> {
        (self.next..self.end)
            .find_map(|sequence| self.waiting(sequence))
            .map(|waiting| Waiting { missing: waiting.sequence - self.next, ..waiting })
    }

    /// Bytes of a packet that waits.
    pub(crate) fn payload(&self, waiting: &Waiting) -> &[u8] {
        let start = (waiting.start % self.bytes.len() as u64) as usize;
        &self.bytes[start..start + waiting.len]
    }

    /// Lets a packet go, and gives up those missing before it.
    pub(crate) fn pass(&mut self, waiting: &Waiting) {
        self.slots[waiting.sequence as usize % PACKETS_MAX] = None;
        self.next = self.next.max(waiting.sequence + 1);
    }

    fn waiting(&self, sequence: u64) -> Option<Waiting> {
        let waiting = self.slots[sequence as usize % PACKETS_MAX]?;
        let is_whole = self.stored - waiting.start <= self.bytes.len() as u64;
        (waiting.sequence == sequence && is_whole).then_some(waiting)
    }

    /// The slots are a window over the sequence numbers: a packet far ahead moves it on.
    fn make_room(&mut self, sequence: u64) {
        let first = (sequence + 1).saturating_sub(PACKETS_MAX as u64);
        self.next = self.next.max(first);
    }

    /// Writes bytes behind the last ones, over the oldest, in one piece.
    fn store(&mut self, payload: &[u8]) -> u64 {
        let capacity = self.bytes.len() as u64;
        let behind = (self.stored % capacity) as usize;
        if behind + payload.len() > self.bytes.len() {
            self.stored += capacity - behind as u64;
        }
        let start = self.stored;
        let at = (start % capacity) as usize;
        self.bytes[at..at + payload.len()].copy_from_slice(payload);
        self.stored += payload.len() as u64;
        start
    }
}

/// The clock in samples.
pub(crate) fn samples_at(now: Time, rate: u32) -> i64 {
    let micros = (now.as_nanos() / 1000) as i64;
    micros * i64::from(rate) / 1_000_000
}

#[cfg(test)]
mod tests;
