//! Named events out of RTP (RFC 4733 §2.5.2): one press, however often its packets come.
//!
//! ```text
//!        first packet of an event            end bit, next event, 200 ms of nothing
//! idle ───────────── Start ────────▶ pressed ────────────── End ──────────────▶ idle
//!  │                                  │   ▲
//!  └── an end alone: Press            └───┘ updates, repetitions, segments of a long event
//! ```
//! An event is known by its RTP timestamp and its code. Order on the wire does not matter: what is
//! older than the event we are at is a repetition.

use std::time::Duration;

use base::Time;

use super::{Digit, DtmfEvent, Signal, Signals, to_ms, to_units};

/// An event without a packet for so long has ended, whatever was lost (RFC 4733 §2.5.2.2). Updates
/// come every 20 ms or 50 ms.
pub const LOST_END: Duration = Duration::from_millis(200);

/// Longest duration that one segment can tell (RFC 4733 §2.5.1.3).
pub(super) const SEGMENT_MAX: u32 = 0xffff;
/// Bytes of one event (RFC 4733 §2.3).
pub(super) const EVENT_LEN: usize = 4;
pub(super) const END: u8 = 0x80;
pub(super) const VOLUME: u8 = 0x3f;

/// Events of one packet that are looked at (RFC 4733 §2.5.1.5).
const EVENTS_PER_PACKET: usize = super::SIGNALS_MAX - 1;
/// An event that much older than the last one is no late packet: the sender's clock has jumped.
const LATE_MAX_MS: u32 = 10_000;
/// Some senders move the timestamp with every update: within this it is the same press.
const DRIFT_MS: u32 = 20;

/// Presses that may come in a burst, after a network stall.
const BURST: u32 = 16;
/// The fastest a dialler may be (ITU-T Q.24: 40 ms of tone, 40 ms of pause).
const PRESS_MIN: Duration = Duration::from_millis(80);

/// Makes presses out of the named events of one sender.
#[derive(Clone, Debug)]
pub struct EventReceiver {
    clock_rate: u32,
    pressed: Option<Pressed>,
    /// Timestamp and code of the latest event, over or not.
    last: Option<(u32, u8)>,
    allowance: Allowance,
    refused: u64,
}

#[derive(Clone, Copy, Debug)]
struct Pressed {
    digit: Digit,
    volume_dbm0: i8,
    /// Timestamp of the segment we are in.
    segment: u32,
    /// Units of the segments before.
    before: u64,
    /// Units of this segment so far.
    duration: u32,
    heard: Time,
}

/// One event of a payload.
#[derive(Clone, Copy, Debug)]
struct Block {
    timestamp: u32,
    code: u8,
    end: bool,
    volume: u8,
    duration: u32,
}

impl EventReceiver {
    /// `clock_rate` is that of the payload type, hertz, not 0.
    pub fn new(clock_rate: u32) -> Self {
        assert!(clock_rate > 0, "a clock rate is not 0");
        let allowance = Allowance { presses: BURST, since: Time::ZERO };
        Self { clock_rate, pressed: None, last: None, allowance, refused: 0 }
    }

    /// A packet: its RTP timestamp, marker and payload. What is malformed, repeated, late, or no
    /// DTMF tells nothing.
    pub fn packet(&mut self, now: Time, timestamp: u32, marker: bool, payload: &[u8]) -> Signals {
        let mut signals = Signals::default();
        let mut timestamp = timestamp;
        let events = payload.chunks_exact(EVENT_LEN).take(EVENTS_PER_PACKET);
        let last = events.len().saturating_sub(1);
        for (i, bytes) in events.enumerate() {
            let mut block = Block::read(bytes, timestamp);
            // RFC 4733 §2.5.1.5: the events of one packet follow each other without a pause.
            block.end |= i < last;
            self.block(now, block, marker && i == 0, &mut signals);
            timestamp = timestamp.wrapping_add(block.duration);
        }
        signals
    }

    /// Ends a press whose end was lost. To be called every 20 ms or so while one is on.
    pub fn tick(&mut self, now: Time) -> Option<Signal> {
        self.pressed.as_ref().filter(|pressed| now - pressed.heard >= LOST_END)?;
        self.release()
    }

    /// The sender is another (a new SSRC): nothing of the old one is remembered, and a press that
    /// is on ends.
    pub fn reset(&mut self) -> Option<Signal> {
        self.last = None;
        self.release()
    }

    /// The press that is on, with its duration so far.
    pub fn pressed(&self) -> Option<DtmfEvent> {
        let Pressed { digit, volume_dbm0, before, duration, .. } = self.pressed?;
        let duration_ms = to_ms(before + u64::from(duration), self.clock_rate);
        Some(DtmfEvent { digit, duration_ms, volume_dbm0 })
    }

    /// Events left out because they came faster than keys can be pressed (ATTACKS 21).
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn block(&mut self, now: Time, block: Block, marker: bool, signals: &mut Signals) {
        let Some(digit) = Digit::from_event(block.code) else { return };
        if self.goes_on(digit, &block, marker) {
            if let Some(pressed) = &mut self.pressed {
                pressed.update(now, &block);
                self.last = Some((block.timestamp, block.code));
            }
            if block.end {
                self.release().into_iter().for_each(|signal| signals.push(signal));
            }
        } else if self.repeats_end(&block) {
            self.last = Some((block.timestamp, block.code));
        } else if !self.is_late(&block) {
            self.release().into_iter().for_each(|signal| signals.push(signal));
            self.last = Some((block.timestamp, block.code));
            self.begin(now, digit, block).into_iter().for_each(|signal| signals.push(signal));
        }
    }

    /// Whether it tells more of the press that is on.
    fn goes_on(&self, digit: Digit, block: &Block, marker: bool) -> bool {
        let Some(pressed) = self.pressed.filter(|pressed| pressed.digit == digit) else {
            return false;
        };
        let later = block.timestamp.wrapping_sub(pressed.segment);
        let drift = to_units(DRIFT_MS, self.clock_rate) as u32;
        // RFC 4733 §2.5.1.3: the next segment of a long event begins where the last one is full.
        later == 0 || !marker && (later == SEGMENT_MAX || later <= pressed.duration + drift)
    }

    /// Whether it is the end of an event that is over, told again with another timestamp.
    fn repeats_end(&self, block: &Block) -> bool {
        let drift = to_units(DRIFT_MS, self.clock_rate);
        let is_near = |(timestamp, code): (u32, u8)| {
            code == block.code && u64::from(block.timestamp.wrapping_sub(timestamp)) <= drift
        };
        block.end && self.pressed.is_none() && self.last.is_some_and(is_near)
    }

    /// Whether it belongs to an event that is over, or to one before that.
    fn is_late(&self, block: &Block) -> bool {
        let Some((timestamp, code)) = self.last else { return false };
        match timestamp.wrapping_sub(block.timestamp) {
            0 => code == block.code,
            late => u64::from(late) <= to_units(LATE_MAX_MS, self.clock_rate),
        }
    }

    fn begin(&mut self, now: Time, digit: Digit, block: Block) -> Option<Signal> {
        if !self.allowance.take(now) {
            self.refused += 1;
            return None;
        }
        let volume_dbm0 = -(block.volume as i8);
        self.pressed = Some(Pressed {
            digit,
            volume_dbm0,
            segment: block.timestamp,
            before: 0,
            duration: block.duration,
            heard: now,
        });
        if !block.end {
            return Some(Signal::Start { digit, volume_dbm0 });
        }
        // All but its end was lost.
        let press = self.pressed();
        self.pressed = None;
        press.map(Signal::Press)
    }

    fn release(&mut self) -> Option<Signal> {
        let press = self.pressed();
        self.pressed = None;
        press.map(Signal::End)
    }
}

impl Pressed {
    fn update(&mut self, now: Time, block: &Block) {
        let later = block.timestamp.wrapping_sub(self.segment);
        // A sender whose timestamp moves although the duration counts from the start.
        let counts_on = later < SEGMENT_MAX && block.duration >= self.duration;
        if later > 0 && !counts_on {
            self.before += u64::from(later);
            self.duration = 0;
        }
        self.segment = block.timestamp;
        self.duration = self.duration.max(block.duration);
        self.heard = now;
    }
}

impl Block {
    /// RFC 4733 §2.3: event, end bit, reserved bit, volume, duration. `bytes` are [`EVENT_LEN`].
    fn read(bytes: &[u8], timestamp: u32) -> Self {
        Self {
            timestamp,
            code: bytes[0],
            end: bytes[1] & END != 0,
            volume: bytes[1] & VOLUME,
            duration: u16::from_be_bytes([bytes[2], bytes[3]]).into(),
        }
    }
}

/// How many presses may begin now.
#[derive(Clone, Debug)]
struct Allowance {
    presses: u32,
    since: Time,
}

impl Allowance {
    fn take(&mut self, now: Time) -> bool {
        let earned = (now - self.since).as_nanos() / PRESS_MIN.as_nanos();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX).min(BURST);
        if earned > 0 {
            self.presses = (self.presses + earned).min(BURST);
            // What is not yet a whole press is lost at most once per press.
            self.since = now;
        }
        let may = self.presses > 0;
        self.presses -= u32::from(may);
        may
    }
}
