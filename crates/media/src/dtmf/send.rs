//! Presses into named events (RFC 4733 §2.5.1): a packet per packet time while a key is down, and
//! its end three times.
//!
//! ```text
//!       press, start            its duration, stop          three ends, then a pause
//! idle ─────────────▶ sounding ────────────────────▶ ending ────────────────────▶ idle, next
//! ```

use super::queue::{Presses, Wanted};
use super::receive::{END, EVENT_LEN, SEGMENT_MAX};
use super::{Digit, DtmfEvent, PAUSE_MIN_MS, to_units};

/// Times the end is told (RFC 4733 §2.5.1.4).
const ENDS: u8 = 3;

/// What one RTP packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// Whether the event begins with it.
    pub marker: bool,
    /// RTP timestamp: when the event, or this segment of it, began.
    pub timestamp: u32,
    /// The event.
    pub payload: [u8; EVENT_LEN],
}

/// Makes the named events of one RTP session.
#[derive(Clone, Debug)]
pub struct EventSender {
    /// Units of [`PAUSE_MIN_MS`].
    pause: u32,
    state: State,
    presses: Presses,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    /// The event is told until it is over.
    Sounding(Sounding),
    /// The end is told `left` times more; the pause before the next event begins at `over`.
    Ending {
        packet: EventPacket,
        left: u8,
        over: u32,
    },
}

#[derive(Clone, Copy, Debug)]
struct Sounding {
    /// Timestamp of this segment.
    segment: u32,
    /// Units of the segments before.
    before: u64,
    /// Units told so far, in all.
    told: u64,
    /// Whether this segment has been told to its end.
    is_full: bool,
}

impl EventSender {
    /// `clock_rate` is that of the payload type, hertz, not 0.
    pub fn new(clock_rate: u32) -> Self {
        let pause = to_units(PAUSE_MIN_MS, clock_rate) as u32;
        Self { pause, state: State::Idle, presses: Presses::new(clock_rate) }
    }

    /// Sends a whole press after those that wait; false when [`super::QUEUE_MAX`] wait already.
    pub fn press(&mut self, event: DtmfEvent) -> bool {
        self.presses.press(event)
    }

    /// A key goes down and stays so until [`Self::stop`]; false as with [`Self::press`].
    pub fn start(&mut self, digit: Digit, volume_dbm0: i8) -> bool {
        self.presses.start(digit, volume_dbm0)
    }

    /// The key is up: its event ends when it has lasted `duration_ms`, or at once when it has
    /// lasted longer already.
    pub fn stop(&mut self, duration_ms: u32) {
        self.presses.stop(duration_ms);
    }

    /// Forgets what waits and ends what sounds.
    pub fn clear(&mut self) {
        self.presses.clear();
    }

    /// Whether there is nothing to send.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle) && self.presses.is_empty()
    }

    /// Whether a key is down since [`Self::start`].
    pub fn is_open(&self) -> bool {
        self.presses.is_open()
    }

    /// What to send for the `ptime` units from RTP timestamp `now` on. To be called once per packet
    /// time; no speech goes beside a packet. `None` = speech goes.
    pub fn poll(&mut self, now: u32, ptime: u32) -> Option<EventPacket> {
        if let State::Ending { packet, left, over } = &mut self.state {
            if *left > 0 {
                *left -= 1;
                return Some(*packet);
            }
            if now.wrapping_sub(*over) < self.pause {
                return None;
            }
            self.state = State::Idle;
        }
        let (wanted, mut sounding) = match (self.state, self.presses.current()) {
            (State::Sounding(sounding), Some(wanted)) => (wanted, sounding),
            (State::Sounding(_) | State::Idle | State::Ending { .. }, _) => {
                (self.presses.next()?, Sounding::from(now))
            }
        };
        let (packet, is_over) = sounding.packet(&wanted, now.wrapping_add(ptime));
        self.state = State::Sounding(sounding);
        if is_over {
            self.presses.finish();
            self.state = State::Ending { packet, left: ENDS - 1, over: sounding.end() };
        }
        Some(packet)
    }
}

impl Sounding {
    fn from(now: u32) -> Self {
        Self { segment: now, before: 0, told: 0, is_full: false }
    }

    /// RTP timestamp of what has been told.
    fn end(&self) -> u32 {
        self.segment.wrapping_add((self.told - self.before) as u32)
    }

    /// The event as it is at `now`, and whether it is over.
    fn packet(&mut self, wanted: &Wanted, now: u32) -> (EventPacket, bool) {
        let marker = self.told == 0;
        let lasted = self.before + u64::from(now.wrapping_sub(self.segment));
        // What has been told cannot be taken back.
        let most = wanted.duration.max(self.told);
        let mut is_over = lasted >= most;
        self.told = lasted.min(most);
        // RFC 4733 §2.5.1.3: a full segment has no end bit, and the next begins where it is full.
        // It is told once: should that be lost, the timestamp of the next says the same.
        if self.is_full {
            self.is_full = false;
            self.before += u64::from(SEGMENT_MAX);
            self.segment = self.segment.wrapping_add(SEGMENT_MAX);
        } else if self.told - self.before > u64::from(SEGMENT_MAX) {
            self.is_full = true;
            self.told = self.before + u64::from(SEGMENT_MAX);
            is_over = false;
        }
        let flags = wanted.volume_dbm0.unsigned_abs() | if is_over { END } else { 0 };
        let [high, low] = ((self.told - self.before) as u16).to_be_bytes();
        let payload = [wanted.digit.event(), flags, high, low];
        (EventPacket { marker, timestamp: self.segment, payload }, is_over)
    }
}
