//! A network in virtual time between one sender and its [`Playout`] or a worker: loss, jitter, reordering,
//! hiccups and two clocks that disagree.
//!
//! The sender's sound is a ramp that counts milliseconds, so that every sample that comes out tells
//! when it went in.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "a module of tests")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use base::{Rng, Time};
use media::codec::Format;
use media::command::Codec;
use media::jitter_buffer::{Content, Incoming};
use media::playout::{Heard, Playout, PlayoutStats};

pub const RATE: u64 = 8000;
/// The ramp begins anew after so many milliseconds.
const RAMP_MS: u64 = 30_000;
pub const TICK_US: u64 = 20_000;

/// What the network does to packets.
#[derive(Clone, Debug)]
pub struct Path {
    /// Packets lost, per cent, each on its own.
    pub loss_percent: f64,
    /// Each packet takes up to this much longer, milliseconds.
    pub jitter_ms: f64,
    /// Until when, seconds.
    pub jitter_until_s: u64,
    /// Whether packets overtake each other.
    pub reorders: bool,
    /// The sender's clock runs so much too fast, parts per million.
    pub drift_ppm: f64,
    /// Packet time, milliseconds.
    pub ptime_ms: u64,
    /// When the first packet arrives after a tick, microseconds.
    pub phase_us: u64,
    /// Times (milliseconds) during which nothing arrives; what is sent then comes at their end.
    pub hiccups_ms: Vec<Range<u64>>,
    /// Times (milliseconds) during which the sender is silent and sends nothing.
    pub pauses_ms: Vec<Range<u64>>,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            loss_percent: 0.0,
            jitter_ms: 0.0,
            jitter_until_s: u64::MAX,
            reorders: true,
            drift_ppm: 0.0,
            ptime_ms: 20,
            phase_us: 15_000,
            hiccups_ms: vec![],
            pauses_ms: vec![],
        }
    }
}

/// A packet that has come: its number, timestamp and payload.
pub struct Arrived {
    pub at_us: u64,
    pub number: u64,
    pub timestamp: u32,
    pub payload: Vec<u8>,
}

/// One sender and the network after it.
pub struct Sender {
    path: Path,
    rng: Rng,
    /// Packets on their way, by arrival (microseconds) and number.
    in_flight: BTreeMap<(u64, u64), (u32, Vec<u8>)>,
    /// Packet times gone by, and packets sent in them.
    spoken: u64,
    sent: u64,
    last_arrival_us: u64,
}

impl Sender {
    pub fn new(path: Path, seed: u64) -> Self {
        let rng = Rng::from_u64(seed);
        Self { path, rng, in_flight: BTreeMap::new(), spoken: 0, sent: 0, last_arrival_us: 0 }
    }

    /// What has come by now, in the order of arrival.
    pub fn arrivals(&mut self, now_us: u64) -> impl Iterator<Item = Arrived> {
        self.send_until(now_us);
        let later = self.in_flight.split_off(&(now_us + 1, 0));
        std::mem::replace(&mut self.in_flight, later).into_iter().map(
            |((at_us, number), (timestamp, payload))| Arrived { at_us, number, timestamp, payload },
        )
    }

    /// The first sample of `out` is played at `now`; the ramp tells when it was spoken: how long
    /// ago the fastest packet with it came, milliseconds.
    pub fn delay_ms(&self, now_us: u64, out: &[i16]) -> Option<f64> {
        let is_ramp = out.windows(2).all(|w| (0..=1).contains(&(w[1] - w[0])));
        if !is_ramp || out[0] < 100 {
            return None;
        }
        // The ramp tells the time but for whole turns of it.
        let now_ms = now_us as f64 / 1000.0;
        let turns = ((now_ms - f64::from(out[0])) / RAMP_MS as f64).round();
        let spoken_ms = f64::from(out[0]) + turns * RAMP_MS as f64;
        // A packet can leave at the earliest when its last sample has been spoken.
        let sent_ms = (spoken_ms + self.path.ptime_ms as f64) * self.sender_scale()
            + self.path.phase_us as f64 / 1000.0;
        Some(now_ms - sent_ms)
    }

    /// Real time that passes in a unit of the sender's time.
    fn sender_scale(&self) -> f64 {
        1.0 - self.path.drift_ppm / 1e6
    }

    fn send_until(&mut self, now_us: u64) {
        loop {
            let number = self.spoken;
            let spoken_us = (number + 1) * self.path.ptime_ms * 1000;
            let sent_us = (spoken_us as f64 * self.sender_scale()) as u64 + self.path.phase_us;
            if sent_us > now_us {
                return;
            }
            self.spoken += 1;
            let is_lost = self.chance(self.path.loss_percent / 100.0);
            let is_steady = sent_us / 1_000_000 >= self.path.jitter_until_s;
            let jitter_ms = if is_steady { 0.0 } else { self.path.jitter_ms };
            let delay_us = (self.uniform() * jitter_ms * 1000.0) as u64;
            let is_silent = self.path.pauses_ms.iter().any(|r| r.contains(&(sent_us / 1000)));
            // What is not sent has no number.
            self.sent += u64::from(!is_silent);
            if is_lost || is_silent {
                continue;
            }
            let mut arrival_us = sent_us + delay_us;
            for hiccup in &self.path.hiccups_ms {
                if hiccup.contains(&(arrival_us / 1000)) {
                    arrival_us = hiccup.end * 1000;
                }
            }
            if !self.path.reorders {
                arrival_us = arrival_us.max(self.last_arrival_us);
            }
            self.last_arrival_us = arrival_us;
            let samples = self.path.ptime_ms * RATE / 1000;
            let first = number * samples;
            let ramp = |n: u64| ((first + n) * 1000 / RATE % RAMP_MS) as i16;
            let payload = (0..samples).flat_map(|n| ramp(n).to_be_bytes()).collect();
            let timestamp = 0xffff_0000u32.wrapping_add(first as u32);
            self.in_flight.insert((arrival_us, self.sent), (timestamp, payload));
        }
    }

    fn uniform(&mut self) -> f64 {
        self.rng.next_u32() as f64 / f64::from(u32::MAX)
    }

    fn chance(&mut self, share: f64) -> bool {
        self.uniform() < share
    }
}

/// One sender, the network, one playout.
pub struct World {
    sender: Sender,
    playout: Playout,
    ticks: u64,
    /// Total delay of the sound at each tick, milliseconds, less the way through the network of
    /// the fastest packet; only where it can be read.
    pub delays_ms: Vec<f64>,
}

impl World {
    pub fn new(path: Path, seed: u64) -> Self {
        let format = Format::new(Codec::L16, RATE as u32).unwrap();
        Self {
            sender: Sender::new(path, seed),
            playout: Playout::new(format, RATE as u32, 1).unwrap(),
            ticks: 0,
            delays_ms: vec![],
        }
    }

    pub fn stats(&self) -> PlayoutStats {
        self.playout.stats()
    }

    /// Figures of the time between two calls.
    pub fn run(&mut self, seconds: u64) -> Figures {
        let before = self.stats();
        self.delays_ms.clear();
        for _ in 0..seconds * 1_000_000 / TICK_US {
            self.tick();
        }
        Figures::new(&before, &self.stats(), seconds, &self.delays_ms)
    }

    /// One tick of 20 ms.
    pub fn tick(&mut self) -> Heard {
        let now_us = self.ticks * TICK_US;
        for Arrived { at_us: arrival_us, number, timestamp, payload } in
            self.sender.arrivals(now_us)
        {
            let packet = Incoming {
                run: 1,
                sequence: 65_000 + number,
                timestamp,
                content: Content::Audio,
                payload: &payload,
            };
            self.playout.put(at_us(arrival_us), &packet);
        }
        let mut out = [0; 160];
        let heard = self.playout.pull(at_us(now_us), &mut out);
        self.ticks += 1;
        self.delays_ms.extend(self.sender.delay_ms(now_us, &out));
        heard
    }
}

/// What a stretch of time was like.
#[derive(Clone, Debug)]
pub struct Figures {
    pub concealed_percent: f64,
    pub spliced_percent: f64,
    pub late: u64,
    pub dropped: u64,
    pub delay_p50_ms: f64,
    pub delay_p99_ms: f64,
    pub delay_max_ms: f64,
}

impl Figures {
    pub fn new(
        before: &PlayoutStats,
        after: &PlayoutStats,
        seconds: u64,
        delays_ms: &[f64],
    ) -> Self {
        let share =
            |after: u64, before: u64| 100.0 * (after - before) as f64 / (seconds * RATE) as f64;
        let mut delays = delays_ms.to_vec();
        delays.sort_by(f64::total_cmp);
        let at = |share: f64| delays.get((delays.len() as f64 * share) as usize).copied();
        Self {
            concealed_percent: share(after.concealed, before.concealed),
            spliced_percent: share(after.shortened, before.shortened)
                + share(after.lengthened, before.lengthened),
            late: after.late - before.late,
            dropped: after.dropped - before.dropped,
            delay_p50_ms: at(0.5).unwrap_or(f64::NAN),
            delay_p99_ms: at(0.99).unwrap_or(f64::NAN),
            delay_max_ms: delays.last().copied().unwrap_or(f64::NAN),
        }
    }
}

pub fn at_us(us: u64) -> Time {
    Time::ZERO + Duration::from_micros(us)
}
