//! Samples of several streams into two channels on one time line, block by block.
//!
//! ```text
//!  positions:   ... written │ base ...... held for late packets ...... now │ free
//! ```
//! A position is a sample of the recording since its start, by our clock. What is said at one
//! position by several agents is summed; what nobody says is silence.

use std::collections::VecDeque;
use std::time::Duration;

use base::Time;

use super::source::{Placed, Source};
use super::{PausePolicy, RecordFormat, Side, UnsupportedRate, ms_of};
use crate::command::StreamId;

/// How long a packet may be late and still be recorded.
pub const HOLD: Duration = Duration::from_millis(200);
/// Streams of one recording, at most; more are left out.
pub const SOURCES_MAX: usize = 16;

/// What is kept beside [`HOLD`]: for ticks that come late, and senders ahead of our clock.
const SLACK: Duration = Duration::from_millis(600);
/// Longest block: 64 kB.
const BLOCK_SAMPLES_MAX: usize = 32 * 1024;
/// What a resampler reaches back.
const REACH: Duration = Duration::from_millis(5);
/// Pauses that are kept, at most; one more continues the one before.
const PAUSES_MAX: usize = 8;
/// How long a pause is kept after its end: nothing that is held back is older.
const REMEMBERED: Duration = Duration::from_secs(3);

/// A packet's samples, decoded.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// Who spoke.
    pub stream: StreamId,
    /// RTP timestamp of the packet.
    pub timestamp: u32,
    /// Whose clock the timestamp is of.
    pub clock: Clock,
    /// Clock rate of the timestamp, hertz.
    pub clock_rate: u32,
    /// Sampling rate of the samples, hertz: one of [`crate::codec::RATES`].
    pub rate: u32,
    /// The samples.
    pub pcm: &'a [i16],
    /// How much older than the packet, or than the tick, the sound in them may be: what noise
    /// removal, a jitter buffer and filters hold back.
    pub age: Duration,
}

/// Whose clock a timestamp is of: each begins anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The peer's own, in this run of its packets: another SSRC begins another.
    Peer(u32),
    /// That of the mix of this number, in which the peer is heard just now.
    Mix(u32),
}

/// A piece of the file: both channels, left and right in turn.
#[derive(Debug, Default)]
pub struct Block {
    /// Frames (a sample of each channel) of the file before it.
    pub at: u64,
    /// Its samples.
    pub samples: Vec<i16>,
}

/// Takes full blocks.
pub trait BlockSink {
    /// Takes the samples and leaves an empty vector, best one with the capacity for the next block.
    /// What cannot be taken is cleared: it is a gap in the file.
    fn take(&mut self, block: &mut Block);
}

/// The time line of one recording.
pub struct Recorder {
    rate: u32,
    policy: PausePolicy,
    start: Time,
    sources: Vec<Source>,
    /// Left and right, by position modulo their length.
    channels: [Box<[i16]>; 2],
    /// First position not yet written.
    base: i64,
    /// From and to, by rising position; what was said in one has no place anywhere.
    pauses: VecDeque<(i64, i64)>,
    block: Block,
    block_samples: usize,
}

impl Recorder {
    /// Begins at `now`.
    ///
    /// # Errors
    /// When the rate is not among [`RecordFormat::RATES`].
    pub fn new(now: Time, format: RecordFormat) -> Result<Self, UnsupportedRate> {
        let RecordFormat { rate, pause, .. } = format.check()?;
        let kept = position_of(HOLD + SLACK, rate) as usize;
        let block_samples = (2 * rate as usize).min(BLOCK_SAMPLES_MAX);
        Ok(Self {
            rate,
            policy: pause,
            start: now,
            sources: Vec::with_capacity(SOURCES_MAX),
            channels: [vec![0; kept].into(), vec![0; kept].into()],
            base: 0,
            pauses: VecDeque::with_capacity(PAUSES_MAX),
            block: Block { at: 0, samples: Vec::with_capacity(block_samples) },
            block_samples,
        })
    }

    /// Puts a stream on a channel, or on none. A supervisor is on none (U0).
    pub fn track(&mut self, stream: StreamId, side: Option<Side>) {
        let known = self.sources.iter().position(|source| source.stream == stream);
        match (known, side) {
            (Some(i), Some(side)) => self.sources[i].side = side,
            (Some(i), None) => drop(self.sources.swap_remove(i)),
            (None, Some(side)) if self.sources.len() < SOURCES_MAX => {
                self.sources.push(Source::new(stream, side));
            }
            (None, Some(_) | None) => {}
        }
    }

    /// Whether the stream is on a channel: its packets are to be decoded.
    pub fn wants(&self, stream: StreamId) -> bool {
        self.sources.iter().any(|source| source.stream == stream)
    }

    /// A packet that came at `now`. Of a stream on no channel nothing is taken.
    pub fn hear(&mut self, now: Time, heard: &Heard<'_>) {
        let at = position_of(now - self.start, self.rate);
        let source = self.sources.iter_mut().find(|source| source.stream == heard.stream);
        let Some(source) = source else { return };
        let side = source.side;
        let Some(placed) = source.place(now, at, self.rate, heard) else { return };
        let Placed { position, samples, late: (least, most) } = placed;
        let reach = if heard.rate == self.rate { Duration::ZERO } else { REACH };
        let age = position_of(heard.age + reach, self.rate);
        let channel = &mut self.channels[side as usize];
        // What is written already, or beyond what is kept, has no place.
        let end = (position + samples.len() as i64).min(self.base + channel.len() as i64);
        let mut from = position.max(self.base);
        let mut put = |from: i64, to: i64| {
            if from < to {
                let piece = &samples[(from - position) as usize..(to - position) as usize];
                add_at(channel, from as usize, piece);
            }
        };
        // K2: nor has what may have been said in a pause, wherever it is placed.
        for (pause, resume) in &self.pauses {
            put(from, end.min(pause - most));
            from = from.max(resume.saturating_add(age - least));
        }
        put(from, end);
    }

    /// What is said from now on is left out (K2), until [`Self::resume`].
    pub fn pause(&mut self, now: Time) {
        if self.is_paused() {
            return;
        }
        let from = position_of(now - self.start, self.rate);
        let is_full = self.pauses.len() >= PAUSES_MAX;
        match self.pauses.back_mut().filter(|_| is_full) {
            Some(last) => last.1 = i64::MAX,
            None => self.pauses.push_back((from, i64::MAX)),
        }
    }

    /// What is said from now on is recorded again: what comes from now on, less what was held back
    /// of before.
    pub fn resume(&mut self, now: Time) {
        let to = position_of(now - self.start, self.rate);
        if let Some(last) = self.pauses.back_mut().filter(|(_, to)| *to == i64::MAX) {
            last.1 = to;
        }
    }

    /// Whether it is paused (K5).
    pub fn is_paused(&self) -> bool {
        self.pauses.back().is_some_and(|(_, to)| *to == i64::MAX)
    }

    /// Writes what no late packet changes any more. To be called with every tick.
    pub fn tick(&mut self, now: Time, sink: &mut impl BlockSink) {
        let now = position_of(now - self.start, self.rate);
        self.write(now - position_of(HOLD, self.rate), sink);
    }

    /// Writes all there is. Afterwards the file has [`Self::frames`].
    pub fn finish(&mut self, now: Time, sink: &mut impl BlockSink) {
        self.write(position_of(now - self.start, self.rate), sink);
        self.pass_on(sink);
    }

    /// Frames of the file so far.
    pub fn frames(&self) -> u64 {
        self.block.at + self.block.samples.len() as u64 / 2
    }

    /// How much sound that is, milliseconds.
    pub fn duration_ms(&self) -> u64 {
        ms_of(self.frames(), self.rate)
    }

    fn write(&mut self, until: i64, sink: &mut impl BlockSink) {
        let forgotten = self.base - position_of(REMEMBERED, self.rate);
        while self.pauses.front().is_some_and(|(_, to)| *to <= forgotten) {
            self.pauses.pop_front();
        }
        while self.base < until {
            let next = self.pauses.iter().find(|(_, to)| *to > self.base);
            let (from, to) = next.copied().unwrap_or((i64::MAX, i64::MAX));
            let is_paused = from <= self.base;
            let end = until.min(if is_paused { to } else { from });
            self.write_run(end, is_paused, sink);
        }
    }

    /// Writes, or leaves out, what lies before `end`.
    fn write_run(&mut self, end: i64, is_paused: bool, sink: &mut impl BlockSink) {
        let kept = self.channels[0].len();
        while self.base < end {
            let at = self.base as usize % kept;
            let room = (self.block_samples - self.block.samples.len()) / 2;
            let len = ((end - self.base) as usize).min(kept - at).min(room);
            self.base += len as i64;
            let [left, right] = self.channels.each_mut().map(|channel| &mut channel[at..at + len]);
            if is_paused {
                left.fill(0);
                right.fill(0);
            }
            if !is_paused || self.policy == PausePolicy::Silence {
                let frames = left.iter().zip(&*right).flat_map(|(left, right)| [*left, *right]);
                self.block.samples.extend(frames);
            }
            left.fill(0);
            right.fill(0);
            if self.block.samples.len() >= self.block_samples {
                self.pass_on(sink);
            }
        }
    }

    fn pass_on(&mut self, sink: &mut impl BlockSink) {
        let next = self.frames();
        if !self.block.samples.is_empty() {
            sink.take(&mut self.block);
            debug_assert!(self.block.samples.is_empty(), "a sink leaves an empty block");
        }
        self.block.at = next;
    }
}

/// Adds samples to a channel from a position on.
fn add_at(channel: &mut [i16], position: usize, samples: &[i16]) {
    let (before, after) = channel.split_at_mut(position % channel.len());
    let (first, second) = samples.split_at(samples.len().min(after.len()));
    add(after, first);
    add(before, second);
}

/// Adds samples to the beginning of a piece of a channel.
fn add(channel: &mut [i16], samples: &[i16]) {
    for (cell, sample) in channel.iter_mut().zip(samples) {
        *cell = cell.saturating_add(*sample);
    }
}

/// The position after so much time.
fn position_of(time: Duration, rate: u32) -> i64 {
    i64::try_from(time.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or(i64::MAX)
}
