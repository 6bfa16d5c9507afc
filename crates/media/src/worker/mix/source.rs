//! One source of a mix: from a peer's packets to the frames that the mixer sums.
//!
//! ```text
//! packets ────────────────────────────▶ playout of their codec ─▶ (resampler) ─▶ frame of the mix
//!    └▶ ear: decoded, noise removed ──▶ playout of samples ──────────┘
//! ```
//! Where noise is removed, the stream's ear does it, once, whoever hears it: what comes here is
//! samples then. Otherwise Opus is decoded at 48 kHz whatever the mix has, so that another rate of
//! the mix changes nothing before the resampler.

use std::time::Duration;

use base::Time;

use crate::codec::{Format, SAMPLES_MAX};
use crate::command::{Codec, NoiseRemoval, Payload};
use crate::ear::Heard;
use crate::jitter_buffer::{Content, Incoming, Put};
use crate::playout::{self, Playout, PlayoutStats};
use crate::resampler::Resampler;
use crate::worker::FRAMES_PER_SECOND;

/// Codecs of one peer that are mixed; one that agreed on more and uses them is not heard in these.
const LINES_MAX: usize = 4;
/// Comfort noise of so many bytes has its level and all coefficients that are used.
const NOISE_MAX: usize = 1 + crate::codec::comfort_noise::ORDER_MAX;
/// Samples of a tick at the highest rate.
pub(super) const TICK_SAMPLES_MAX: usize = 48_000 / FRAMES_PER_SECOND;

/// What a peer says into a mix.
pub(crate) struct Source {
    payloads: Vec<Payload>,
    /// Rate of the mix, hertz.
    rate: u32,
    noise: Option<NoiseRemoval>,
    lines: Vec<Line>,
    /// The line whose packets came last.
    current: usize,
    /// The line before, to be faded out.
    former: Option<usize>,
    seed: u32,
    /// Packets taken.
    packets: u64,
    /// How old what was pulled last may be.
    age: Duration,
}

/// One codec of the peer.
struct Line {
    key: Key,
    playout: Playout,
    resampler: Resampler,
}

/// What comes to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    /// Payload type the peer sends.
    receive: u8,
    /// Rate of the samples that its ear has made of it; `None`: it comes as it is.
    cleaned: Option<u32>,
}

impl Source {
    /// A source for a mix of `rate` hertz, whose peer is expected to speak in `expected` first.
    /// Allocates, and so does the first packet of every other codec; nothing else does.
    pub(super) fn new(
        payloads: &[Payload],
        noise: Option<NoiseRemoval>,
        rate: u32,
        expected: Option<Codec>,
        seed: u32,
    ) -> Self {
        let mut source = Self {
            payloads: payloads.to_vec(),
            rate,
            noise,
            lines: Vec::with_capacity(LINES_MAX),
            current: 0,
            former: None,
            seed,
            packets: 0,
            age: Duration::ZERO,
        };
        let codable = |payload: &&Payload| Format::of(payload).is_ok();
        let said = payloads.iter().find(|payload| Some(payload.codec) == expected);
        let first = said.filter(codable).or_else(|| payloads.iter().find(codable));
        // What is cleaned has the rate of an ear that is not there yet.
        if let Some(receive) = first.filter(|_| noise.is_none()).map(|first| first.receive) {
            source.line(Key { receive, cleaned: None });
        }
        source
    }

    /// What offer/answer agreed on now; codecs that stay go on.
    pub(super) fn configure(&mut self, payloads: &[Payload], noise: Option<NoiseRemoval>) {
        if self.payloads != payloads {
            self.payloads.clear();
            self.payloads.extend_from_slice(payloads);
            let fits =
                |line: &Line| line.key.format(payloads).as_ref() == Some(line.playout.format());
            let is_same = self.lines.iter().all(fits);
            if !is_same {
                let current = self.lines.get(self.current).map(|line| line.key);
                self.lines.retain(fits);
                // The peer goes on in its codec, unless it has that no more.
                let place = self.lines.iter().position(|line| Some(line.key) == current);
                (self.current, self.former) = (place.unwrap_or(0), None);
            }
        }
        self.noise = noise;
    }

    /// Rate of the mix, hertz.
    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    /// Packets taken so far.
    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    /// The mix has another rate from the next frame on.
    pub(super) fn set_rate(&mut self, rate: u32) {
        if std::mem::replace(&mut self.rate, rate) == rate {
            return;
        }
        self.lines.retain_mut(|line| match Resampler::new(line.playout.rate(), rate) {
            Some(resampler) => {
                line.resampler = resampler;
                true
            }
            None => false,
        });
    }

    /// The figures of what is said now.
    pub(crate) fn stats(&self) -> Option<PlayoutStats> {
        Some(self.lines.get(self.current)?.playout.stats())
    }

    /// Whether noise was removed from what is said now before it came here.
    pub(super) fn is_cleaned(&self) -> bool {
        self.lines.get(self.current).is_some_and(|line| line.key.cleaned.is_some())
    }

    /// How much older than the tick the sound of the last frame may be.
    pub(super) fn age(&self) -> Duration {
        self.age
    }

    /// Takes a packet that arrived `now`, as it is; whether it is in time to be played.
    pub(super) fn put(
        &mut self,
        now: Time,
        payload_type: u8,
        codec: Codec,
        packet: &Incoming<'_>,
    ) -> bool {
        let line = match codec.is_audio() {
            true => self.turn_to(Key { receive: payload_type, cleaned: None }),
            // Noise and keys belong to what is said.
            false => (self.current < self.lines.len()).then_some(self.current),
        };
        let Some(line) = line else { return true };
        self.packets += 1;
        let content = match codec {
            Codec::TelephoneEvent => Content::Event,
            Codec::ComfortNoise => Content::Noise,
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opus | Codec::L16 | Codec::Other => {
                Content::Audio
            }
        };
        let lowered = (content == Content::Noise).then(|| self.lowered(packet.payload)).flatten();
        let payload = lowered.as_ref().map_or(packet.payload, |(noise, len)| &noise[..*len]);
        let put = self.lines[line].playout.put(now, &Incoming { content, payload, ..*packet });
        put != Put::Late
    }

    /// Takes what the peer's ear has made of a packet that arrived `now`: `pcm`, all of it.
    pub(super) fn put_cleaned(
        &mut self,
        now: Time,
        payload_type: u8,
        packet: &Incoming<'_>,
        heard: &Heard,
        pcm: &[i16],
    ) {
        let key = Key { receive: payload_type, cleaned: Some(heard.rate) };
        let Some(line) = self.turn_to(key) else { return };
        self.packets += 1;
        let playout = &mut self.lines[line].playout;
        let (front, own) = pcm.split_at(heard.front);
        let mut bytes = [0; 2 * SAMPLES_MAX];
        if heard.is_repeated() {
            let units = playout.format().units(front.len() as i64) as u32;
            let early =
                Duration::from_micros(front.len() as u64 * 1_000_000 / u64::from(heard.rate));
            let before = Incoming {
                sequence: packet.sequence.saturating_sub(1),
                timestamp: packet.timestamp.wrapping_sub(units),
                payload: to_bytes(front, &mut bytes),
                ..*packet
            };
            playout.put_recovered(Time::ZERO + (now - Time::ZERO).saturating_sub(early), &before);
        }
        playout.put(now, &Incoming { payload: to_bytes(own, &mut bytes), ..*packet });
    }

    /// Takes note of a packet that was not waited for, and is not heard.
    pub(super) fn miss(&mut self, now: Time, packet: &Incoming<'_>) {
        if let Some(line) = self.lines.get_mut(self.current) {
            line.playout.miss(now, packet);
        }
    }

    /// Whether something is missing of what the next frame is made of.
    pub(in crate::worker) fn is_short(&self) -> bool {
        self.lines.get(self.current).is_none_or(|line| {
            let playout = &line.playout;
            playout.is_short(playout.rate() as usize / FRAMES_PER_SECOND)
        })
    }

    /// Takes note of a packet in which nothing is heard.
    pub(super) fn put_pause(&mut self, now: Time, packet: &Incoming<'_>) {
        if let Some(line) = self.lines.get_mut(self.current) {
            line.playout.put(now, &Incoming { content: Content::Event, ..*packet });
        }
    }

    /// The line of what comes now; that of what came before is faded out.
    fn turn_to(&mut self, key: Key) -> Option<usize> {
        let line = self.line(key)?;
        if line != self.current {
            self.former = (self.packets > 0).then_some(self.current);
            self.current = line;
        }
        Some(line)
    }

    /// Comfort noise as low as noise removal would make it (N4); `None`: as it came.
    fn lowered(&self, noise: &[u8]) -> Option<([u8; NOISE_MAX], usize)> {
        let removal = self.noise.filter(|removal| removal.enabled)?;
        let len = noise.len().min(NOISE_MAX);
        let mut lowered = [0; NOISE_MAX];
        lowered[..len].copy_from_slice(&noise[..len]);
        // RFC 3389 §3.1: the level in −dBov.
        let level = lowered.first_mut().filter(|_| len > 0)?;
        *level = removal.settings.lowered(*level & 0x7f);
        Some((lowered, len))
    }

    /// Fills the frame of a tick; false when there is nothing in it.
    pub(super) fn pull(&mut self, now: Time, frame: &mut [i16]) -> bool {
        let Some(line) = self.lines.get_mut(self.current) else { return false };
        let is_heard = line.pull(now, frame);
        self.age = line.playout.age();
        if let Some(former) = self.former.take().and_then(|former| self.lines.get_mut(former)) {
            // The peer has changed its codec: one tick of both.
            let mut rest = [0; TICK_SAMPLES_MAX];
            let rest = &mut rest[..frame.len()];
            former.pull(now, rest);
            self.age = self.age.max(former.playout.age());
            cross_fade(rest, frame);
            return true;
        }
        is_heard
    }

    /// The line of what comes, made when it is needed for the first time.
    fn line(&mut self, key: Key) -> Option<usize> {
        if let Some(known) = self.lines.iter().position(|line| line.key == key) {
            return Some(known);
        }
        let format = key.format(&self.payloads)?;
        let own = format.sample_rate;
        let playout = Playout::new(format, own, self.seed).ok()?;
        let line = Line { key, playout, resampler: Resampler::new(own, self.rate)? };
        // Cleaned or not, a payload type comes in one way at a time: what it was is at its end.
        let stale = |line: &Line| line.key.receive == key.receive;
        let stale = self.lines.iter().position(|line| stale(line) && line.key != key);
        match stale.filter(|stale| *stale != self.current) {
            Some(stale) => {
                self.lines[stale] = line;
                self.former = self.former.filter(|former| *former != stale);
                Some(stale)
            }
            None if self.lines.len() < LINES_MAX => {
                self.lines.push(line);
                Some(self.lines.len() - 1)
            }
            None => None,
        }
    }
}

impl Key {
    /// How what comes is coded.
    fn format(self, payloads: &[Payload]) -> Option<Format> {
        let payload = payloads.iter().find(|payload| payload.receive == self.receive)?;
        let format = Format::of(payload).ok()?;
        Some(match self.cleaned {
            // Samples, under the peer's timestamps.
            Some(sample_rate) => Format { codec: Codec::L16, sample_rate, ..format },
            None => format,
        })
    }
}

impl Line {
    fn pull(&mut self, now: Time, frame: &mut [i16]) -> bool {
        let rate = self.playout.rate();
        if rate == self.resampler.to() {
            return self.playout.pull(now, frame) != playout::Heard::Silence;
        }
        let mut own = [0; TICK_SAMPLES_MAX];
        let own = &mut own[..rate as usize / FRAMES_PER_SECOND];
        let heard = self.playout.pull(now, own);
        let made = self.resampler.process(own, frame);
        frame[made..].fill(0);
        heard != playout::Heard::Silence
    }
}

fn to_bytes<'a>(pcm: &[i16], bytes: &'a mut [u8; 2 * SAMPLES_MAX]) -> &'a [u8] {
    for (two, sample) in bytes.chunks_exact_mut(2).zip(pcm) {
        two.copy_from_slice(&sample.to_be_bytes());
    }
    &bytes[..2 * pcm.len()]
}

/// From `old` to what is in `new`, linearly over its length.
fn cross_fade(old: &[i16], new: &mut [i16]) {
    let len = new.len() as i32;
    for ((n, new), old) in (0..len).zip(new.iter_mut()).zip(old) {
        let (from, to) = (i32::from(*old), i32::from(*new));
        *new = (from + (to - from) * (2 * n + 1) / (2 * len)) as i16;
    }
}
