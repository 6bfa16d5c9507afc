//! Where a stream's samples belong in a recording: by their RTP time, held to our clock.
//!
//! The clock of the sender says how far its packets are apart, ours how late they come. As long as
//! the two agree within 20 ms the sender's counts: then nothing of the network's jitter is heard.
//! When they do not, a silence is made longer or shorter.

use std::time::Duration;

use base::Time;

use super::Side;
use super::recorder::{Clock, Heard};
use crate::codec::{PACKET_MS_MAX, RATES, SAMPLES_MAX};
use crate::command::StreamId;
use crate::resampler::Resampler;

/// Time over which the packet that came fastest tells how far the clocks are apart.
const WINDOW: Duration = Duration::from_secs(2);
/// Clocks that far apart are brought together at the next silence.
const TOLERANCE_MS: i64 = 20;
/// Clocks that far apart are brought together at once.
const FORCED_MS: i64 = 100;
/// A packet that much before its time, or that much behind it, has another clock.
const AHEAD_MS: i64 = 200;
const BEHIND_MS: i64 = 5000;
/// After a pause that long the sender's clock may have stood still.
const PAUSE: Duration = Duration::from_millis(500);
/// Loudest sample of what counts as silence.
const SILENCE_PEAK: u16 = 256;

/// One stream of a recording.
pub(super) struct Source {
    pub(super) stream: StreamId,
    pub(super) side: Side,
    clock: Option<SenderClock>,
    converter: Option<Converter>,
    /// End of what has been placed so far.
    end: i64,
}

/// Where samples belong.
pub(super) struct Placed<'a> {
    pub(super) position: i64,
    pub(super) samples: &'a [i16],
    /// By how much they may have come before (≤ 0) and behind (≥ 0) their position, in samples.
    pub(super) late: (i64, i64),
}

/// From the stream's rate to the recording's.
struct Converter {
    resampler: Resampler,
    samples: Box<[i16; SAMPLES_MAX]>,
}

impl Source {
    pub(super) fn new(stream: StreamId, side: Side) -> Self {
        Self { stream, side, clock: None, converter: None, end: i64::MIN }
    }

    /// The samples of a packet at the recording's rate, and their place. It came at `now`, which is
    /// position `at`. `None` when they are at no rate of ours.
    pub(super) fn place<'a>(
        &'a mut self,
        now: Time,
        at: i64,
        rate: u32,
        heard: &Heard<'a>,
    ) -> Option<Placed<'a>> {
        if !RATES.contains(&heard.rate) || heard.clock_rate == 0 {
            return None;
        }
        let longest = heard.rate as usize / 1000 * PACKET_MS_MAX;
        let pcm = &heard.pcm[..heard.pcm.len().min(longest)];
        if heard.rate == rate {
            self.converter = None;
        } else if self.converter.as_ref().is_none_or(|it| it.resampler.from() != heard.rate) {
            let resampler = Resampler::new(heard.rate, rate)?;
            self.converter = Some(Converter { resampler, samples: Box::new([0; SAMPLES_MAX]) });
        }
        let samples = match &mut self.converter {
            None => pcm,
            Some(Converter { resampler, samples }) => {
                let len = resampler.process(pcm, &mut samples[..]);
                &samples[..len]
            }
        };
        let clock = self
            .clock
            .take()
            .filter(|clock| (clock.of, clock.clock_rate) == (heard.clock, heard.clock_rate));
        let len = samples.len() as i64;
        let packet = Packet {
            now,
            timestamp: heard.timestamp,
            clock: heard.clock,
            // Its last sample was spoken when it was sent.
            ideal: at - len,
            is_silent: samples.iter().all(|sample| sample.unsigned_abs() < SILENCE_PEAK),
        };
        let (clock, position, in_order) = match clock {
            None => (SenderClock::new(heard.clock_rate, rate, &packet), packet.ideal, true),
            Some(mut clock) => {
                let (position, in_order) = clock.locate(&packet);
                (clock, position, in_order)
            }
        };
        let late = clock.late(packet.ideal - position);
        self.clock = Some(clock);
        // What was brought forward says nothing twice; a late packet fills the gap it left.
        let said = if in_order { (self.end.saturating_sub(position)).clamp(0, len) } else { 0 };
        self.end = self.end.max(position + len);
        Some(Placed { position: position + said, samples: &samples[said as usize..], late })
    }
}

/// A packet as the clock sees it.
struct Packet {
    now: Time,
    timestamp: u32,
    clock: Clock,
    /// Where it would belong if the network took no time.
    ideal: i64,
    is_silent: bool,
}

/// A sender's clock against ours; positions are samples of the recording.
struct SenderClock {
    of: Clock,
    clock_rate: u32,
    rate: u32,
    /// The newest timestamp as it came, and how far it is from the first.
    timestamp: u32,
    units: i64,
    /// Position of the first.
    anchor: i64,
    heard: Time,
    /// How late the fastest packet since then was.
    least_late: i64,
    /// The same of the time before.
    least_before: i64,
    since: Time,
    /// A correction that waits for a silence.
    pending: i64,
}

impl SenderClock {
    fn new(clock_rate: u32, rate: u32, packet: &Packet) -> Self {
        Self {
            of: packet.clock,
            clock_rate,
            rate,
            timestamp: packet.timestamp,
            units: 0,
            anchor: packet.ideal,
            heard: packet.now,
            least_late: i64::MAX,
            least_before: i64::MAX,
            since: packet.now,
            pending: 0,
        }
    }

    /// Where the packet belongs, and whether it is the newest.
    fn locate(&mut self, packet: &Packet) -> (i64, bool) {
        let step = packet.timestamp.wrapping_sub(self.timestamp) as i32;
        let units = self.units + i64::from(step);
        let late = packet.ideal - self.position(units);
        let stood_still = packet.now - self.heard > PAUSE && late > self.samples(TOLERANCE_MS);
        if late < -self.samples(AHEAD_MS) || late > self.samples(BEHIND_MS) || stood_still {
            *self = Self::new(self.clock_rate, self.rate, packet);
            return (packet.ideal, true);
        }
        if step <= 0 {
            return (self.position(units), false);
        }
        self.timestamp = packet.timestamp;
        self.units = units;
        self.heard = packet.now;
        self.least_late = self.least_late.min(late);
        if packet.now - self.since >= WINDOW {
            let is_apart = self.least_late.abs() >= self.samples(TOLERANCE_MS);
            self.pending = if is_apart { self.least_late } else { 0 };
            self.watch_anew(packet.now);
        }
        let is_forced = self.pending.abs() >= self.samples(FORCED_MS);
        if self.pending != 0 && (packet.is_silent || is_forced) {
            self.anchor += self.pending;
            self.pending = 0;
            self.watch_anew(packet.now);
        }
        (self.position(units), true)
    }

    /// How much before and behind its place a packet may have been sent that comes `late` samples
    /// behind it: as the network has delayed it, or the first one.
    fn late(&self, late: i64) -> (i64, i64) {
        let known = [late, self.least_late, self.least_before];
        let known = known.into_iter().filter(|late| *late != i64::MAX);
        known.fold((0, 0), |(least, most), late| (least.min(late), most.max(late)))
    }

    fn watch_anew(&mut self, now: Time) {
        self.least_before = self.least_late;
        self.least_late = i64::MAX;
        self.since = now;
    }

    fn position(&self, units: i64) -> i64 {
        self.anchor + (units * i64::from(self.rate)).div_euclid(i64::from(self.clock_rate))
    }

    fn samples(&self, ms: i64) -> i64 {
        ms * i64::from(self.rate) / 1000
    }
}
