//! One source of a mix: from its packets to a steady flow of samples, a tick at a time.
//!
//! ```text
//! packets ─put─▶ jitter buffer ─▶ decoder ─▶ line ─▶ splices ─▶ resampler ─pull─▶ mixer
//!                                  concealment ┘ └ comfort noise
//! ```
//! On a clean network nothing waits longer than for the next tick. A packet that is late delays the
//! stream by what was made up meanwhile, and nothing of it is lost; a packet that is overtaken by
//! the next counts as lost. The delay then follows the jitter: up at once, down when a surplus has
//! lasted, by taking out pitch periods. Where packets are lost, one more is kept waiting, so that
//! speech is made up from both sides of a gap, and Opus' redundancy is of use.
//! Knows no mixer and has no clock; see [`Playout::pull`].

mod line;
mod pacing;
mod stretch;

use std::time::Duration;

use base::Time;

use crate::codec::comfort_noise::ComfortNoise;
use crate::codec::{CodecError, Decoder, Format, PACKET_MS_MAX};
use crate::command::Codec;
use crate::jitter_buffer::{Content, Incoming, JitterBuffer, Put, Waiting, samples_at};
use crate::plc::Plc;
use crate::resampler::Resampler;
use crate::rtp::DATAGRAM_MAX;
use line::Line;
use pacing::{Pace, Pacing};

/// Longest tick, milliseconds.
pub const TICK_MS_MAX: usize = 40;
/// Delay that is never exceeded by waiting packets, milliseconds: what is beyond is dropped.
pub const DELAY_MS_MAX: i64 = 240;
/// Payload kept waiting at most, milliseconds.
const BUFFER_MS: usize = 400;
/// After so much silence of the sender its pause counts as wanted, milliseconds.
const PAUSE_MS: usize = 100;
/// Join of what was made up to the rest of a packet that was recovered, milliseconds.
const SEAM_MS: usize = 3;
/// A gap shorter than this is a rounding error, microseconds.
const TOLERANCE_US: i64 = 500;
/// Packets are reckoned with this much later than the latest was, so that a slow drift of the clocks
/// is seen before it costs a packet, microseconds.
const MARGIN_US: i64 = 500;
/// Share of packets lost above which one more is kept waiting, and below which no longer.
const LOSSY: (f32, f32) = (0.03, 0.01);
/// Weight of one packet in that share: the last five seconds count.
const LOSS_WEIGHT: f32 = 1.0 / 256.0;

/// What a pull was filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing at all: digital silence.
    Silence,
    /// Comfort noise while the sender pauses, or what it said last dying away.
    Noise,
    /// What the sender said, perhaps with gaps made up.
    Audio,
}

/// Packets of which at least one is still heard when the age of what is heard is asked for.
const AGES: usize = 16;
/// What resamplers, splices and concealment reach back, milliseconds.
const REACH_MS: u64 = 30;

/// Figures of one source since it began; samples are of its codec's rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlayoutStats {
    /// Samples pulled.
    pub samples: u64,
    /// Samples made up for packets that were lost or late.
    pub concealed: u64,
    /// Packets recovered from the redundancy in the next one.
    pub recovered: u64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Packets thrown away because the delay was at its limit, or that could not be decoded.
    pub dropped: u64,
    /// Samples taken out to shorten the delay.
    pub shortened: u64,
    /// Samples put in to lengthen it.
    pub lengthened: u64,
    /// Added delay: how long the last packets waited from arrival to the tick that began to play
    /// them, milliseconds.
    pub delay_ms: f32,
    /// Jitter that is waited for, milliseconds.
    pub jitter_ms: f32,
    /// Packets lost, per cent of the last ones.
    pub loss_percent: f32,
}

/// One source on its way to the mixer.
pub struct Playout {
    format: Format,
    decoder: Decoder,
    buffer: JitterBuffer,
    line: Line,
    plc: Plc,
    noise: ComfortNoise,
    resampler: Resampler,
    pacing: Pacing,
    /// Media time that follows the line; `None` before the first packet.
    end: Option<i64>,
    /// Samples of the last packet.
    packet: i64,
    /// Samples made up since the last packet, without knowing what for.
    owed: i64,
    /// The sender is silent on purpose.
    is_paused: bool,
    /// It told us how its silence sounds.
    is_noisy: bool,
    is_lossy: bool,
    loss: f32,
    has_played: bool,
    /// How long after they were said the last packets were played, in samples.
    ages: [i64; AGES],
    stats: PlayoutStats,
}

impl Playout {
    /// From packets of `format` to samples at `rate` hertz, one of [`crate::codec::RATES`]. Opus is
    /// decoded at that rate. Allocates; nothing after it does. `seed` is for comfort noise.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] when the codec can be relayed only.
    pub fn new(format: Format, rate: u32, seed: u32) -> Result<Self, CodecError> {
        let format = format.for_rate(rate);
        let decoder = Decoder::new(&format)?;
        let resampler = Resampler::new(format.sample_rate, rate).ok_or(CodecError::Unsupported)?;
        let plc = Plc::new(format.sample_rate);
        let ms = |ms| format.samples_of_ms(ms);
        let reach = stretch::reach(format.sample_rate as usize);
        let history = plc.history_len().max(reach);
        let pending = ms(TICK_MS_MAX) + 2 * ms(PACKET_MS_MAX) + reach;
        Ok(Self {
            format,
            decoder,
            buffer: JitterBuffer::new(&format, bytes_of_ms(&format, BUFFER_MS)),
            line: Line::new(history, pending),
            plc,
            noise: ComfortNoise::new(seed),
            resampler,
            pacing: Pacing::new(format.sample_rate),
            end: None,
            packet: ms(20) as i64,
            owed: 0,
            is_paused: true,
            is_noisy: false,
            is_lossy: false,
            loss: 0.0,
            has_played: false,
            ages: [0; AGES],
            stats: PlayoutStats::default(),
        })
    }

    /// How it is decoded.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The rate of the samples pulled, hertz.
    pub fn rate(&self) -> u32 {
        self.resampler.to()
    }

    /// Takes a packet that arrived `now`.
    pub fn put(&mut self, now: Time, packet: &Incoming<'_>) -> Put {
        let put = self.buffer.put(now, &self.format, packet);
        if put == Put::Late {
            self.stats.late += 1;
            // It was not lost after all.
            self.loss = (self.loss - LOSS_WEIGHT).max(0.0);
        }
        put
    }

    /// Takes note of a packet that came `now` and cannot be played any more.
    pub fn miss(&mut self, now: Time, packet: &Incoming<'_>) {
        self.buffer.miss(now, &self.format, packet);
        self.stats.late += 1;
        self.loss = (self.loss - LOSS_WEIGHT).max(0.0);
    }

    /// Whether a pull of `len` samples would find a packet missing.
    pub fn is_short(&self, len: usize) -> bool {
        let need = len as i64 * i64::from(self.format.sample_rate) / i64::from(self.resampler.to());
        let here = self.buffer.in_order() as i64 * self.packet;
        (self.line.pending() as i64) + here < need
    }

    /// Takes a packet that was lost and of which a later one told, as if it had come `now`. It is
    /// left out where something is made up for it already.
    pub fn put_recovered(&mut self, now: Time, packet: &Incoming<'_>) {
        if self.owed == 0 && self.buffer.put(now, &self.format, packet) == Put::Waiting {
            self.count_loss(1);
            self.stats.recovered += 1;
        }
    }

    /// Fills `out` with what is heard next. Called once per tick, with as many samples as the tick
    /// lasts (2.5 to [`TICK_MS_MAX`] milliseconds), however much time has passed.
    pub fn pull(&mut self, now: Time, out: &mut [i16]) -> Heard {
        let rate = self.format.sample_rate;
        let need = out.len() * rate as usize / self.resampler.to() as usize;
        let need = need.min(self.format.samples_of_ms(TICK_MS_MAX));
        let now = samples_at(now, rate);
        self.limit_delay(now, need);
        self.pace(now, need);
        self.fill(now, need);
        let front = self.line.front(need);
        let loudness = stretch::loudness(front);
        self.pacing.hear(loudness);
        let len = self.resampler.process(front, out);
        out[len..].fill(0);
        self.line.advance(need);
        self.stats.samples += need as u64;
        match self.is_paused && self.line.pending() == 0 {
            true if loudness == 0.0 => Heard::Silence,
            true => Heard::Noise,
            false => Heard::Audio,
        }
    }

    /// The figures so far.
    pub fn stats(&self) -> PlayoutStats {
        let jitter = self.buffer.lateness().spread() as f32;
        PlayoutStats {
            jitter_ms: jitter * 1000.0 / self.format.sample_rate as f32,
            loss_percent: self.loss * 100.0,
            ..self.stats
        }
    }

    /// How long ago what the last pull was filled with was said at most, seen from the pull: it
    /// came with the packet in which it was said, waited here, and may have been repeated since.
    pub fn age(&self) -> Duration {
        let oldest = self.ages.into_iter().max().unwrap_or_default().max(0) + self.owed;
        let micros = oldest.unsigned_abs() * 1_000_000 / u64::from(self.format.sample_rate);
        Duration::from_micros(micros) + Duration::from_millis(REACH_MS)
    }

    /// Drops what waits beyond the longest delay: the owner stood still, or a network emptied its
    /// queue.
    fn limit_delay(&mut self, now: i64, need: usize) {
        let Some(end) = self.end.filter(|_| !self.is_paused) else { return };
        let limit = DELAY_MS_MAX * i64::from(self.format.sample_rate) / 1000;
        let surplus = self.surplus(now, end, need, 0);
        if surplus <= limit || self.buffer.first().is_none() {
            return;
        }
        // Down to what the jitter needs, not to the limit: rather one long gap than many.
        let until = end + surplus;
        while let Some(first) = self.buffer.first().filter(|first| first.time < until) {
            self.buffer.pass(&first);
            self.stats.dropped += 1;
        }
        self.end = Some(until);
        self.owed = 0;
        self.join();
        self.pacing.restart();
    }

    /// Makes a few samples up, so that what comes next is faded in.
    fn join(&mut self) {
        let len = self.format.samples_of_ms(5);
        self.make_up(len);
    }

    /// Takes samples out or puts some in.
    fn pace(&mut self, now: i64, need: usize) {
        let Some(end) = self.end.filter(|_| !self.is_paused && self.owed == 0) else { return };
        let surplus = self.surplus(now, end, need, 0);
        let reserve = self.pacing.reserve(self.buffer.lateness().spread());
        let spare = self.surplus(now, end, need, reserve);
        let rate = self.format.sample_rate as usize;
        match self.pacing.tick(surplus, spare) {
            Pace::Keep => {}
            Pace::Shorten(most, care) => {
                self.fill(now, need);
                self.prefetch(now, need + most.min(stretch::piece_max(rate)));
                let most = most.min(self.line.pending().saturating_sub(need));
                let less = self.line.shorten(|pending| stretch::shorten(pending, rate, most, care));
                self.stats.shortened += less as u64;
                if less > 0 {
                    self.pacing.spliced(-(less as i64));
                }
            }
            Pace::Lengthen(most, care) => {
                self.fill(now, need);
                let more = self.line.lengthen(most, |samples, cut, len| {
                    stretch::lengthen(samples, cut, len, rate, most, care)
                });
                self.stats.lengthened += more as u64;
                if more > 0 {
                    self.pacing.spliced(more as i64);
                }
            }
        }
    }

    /// Samples that are sure to be here beyond `need`: when packets come `extra` later than they
    /// usually do at worst.
    fn surplus(&self, now: i64, end: i64, need: usize, extra: i64) -> i64 {
        let margin = MARGIN_US * i64::from(self.format.sample_rate) / 1_000_000;
        let late = self.patience() + margin + extra;
        let packets = (now - late - end).div_euclid(self.packet) + 1;
        self.line.pending() as i64 + packets * self.packet - need as i64
    }

    /// How late a packet may come and still be waited for.
    fn patience(&self) -> i64 {
        let ahead = if self.is_lossy { self.packet } else { 0 };
        self.buffer.lateness().bound() + ahead
    }

    /// Sees to it that `need` samples can be played.
    fn fill(&mut self, now: i64, need: usize) {
        while self.line.pending() < need {
            let missing = need - self.line.pending();
            match self.buffer.first() {
                Some(first) => self.advance(now, first, missing),
                None => self.wait(missing),
            }
        }
    }

    /// Decodes what is here in its order already, until `wanted` samples can be played.
    fn prefetch(&mut self, now: i64, wanted: usize) {
        while self.line.pending() < wanted {
            let Some(first) = self.buffer.first().filter(|first| self.end == Some(first.time))
            else {
                return;
            };
            if first.missing > 0 || first.content != Content::Audio {
                return;
            }
            self.play(now, &first);
        }
    }

    /// Goes on by the first packet that waits, or by what is missing before it.
    fn advance(&mut self, now: i64, first: Waiting, missing: usize) {
        let tolerance = TOLERANCE_US * i64::from(self.format.sample_rate) / 1_000_000;
        let gap = match self.end {
            Some(end) if !first.is_anew => first.time - end,
            Some(_) | None => i64::MAX,
        };
        if first.content == Content::Event {
            // The keys are pressed instead of speech, not beside it.
            self.buffer.pass(&first);
            self.is_paused = true;
        } else if gap < -tolerance {
            // Its place has been filled already.
            self.buffer.pass(&first);
            self.stats.late += 1;
        } else if first.content == Content::Noise {
            self.take_noise(&first);
        } else if gap <= tolerance {
            self.play(now, &first);
        } else if self.is_paused || first.missing == 0 || gap > self.longest_gap() {
            self.resume(now, &first, missing);
        } else if gap <= self.owed {
            // What was made up meanwhile stands for what was lost.
            self.count_loss(first.missing);
            self.play(now, &first);
        } else {
            self.close_gap(now, &first, gap - self.owed);
        }
    }

    /// A longer gap is not filled up: time has passed without the stream.
    fn longest_gap(&self) -> i64 {
        self.owed + (self.format.samples_of_ms(PAUSE_MS) as i64).max(2 * self.packet)
    }

    /// Goes on after a pause, as soon as the packets after this one will be here in time.
    fn resume(&mut self, now: i64, first: &Waiting, missing: usize) {
        let limit = DELAY_MS_MAX * i64::from(self.format.sample_rate) / 1000;
        let is_due = now >= first.time + self.patience() || now - first.arrival >= limit;
        if !is_due {
            self.is_paused = true;
            return self.wait(missing);
        }
        if first.missing == 0 {
            // Nothing was lost: the sender had nothing to say.
            self.stats.concealed = self.stats.concealed.saturating_sub(self.owed as u64);
        }
        self.pacing.restart();
        self.play(now, first);
    }

    /// Decodes a packet to the end of the line.
    fn play(&mut self, now: i64, first: &Waiting) {
        let waited = now - first.arrival + self.line.pending() as i64;
        let payload = self.buffer.payload(first);
        let (_, room) = self.line.room(self.format.samples_of_ms(PACKET_MS_MAX));
        let decoded = self.decoder.decode(payload, room);
        self.is_paused = self.decoder.is_pause(payload);
        self.buffer.pass(first);
        let Ok(len) = decoded else {
            self.stats.dropped += 1;
            self.end = Some(first.time);
            return self.lose(self.packet);
        };
        if self.owed > 0 {
            self.pacing.restart();
        }
        self.plc.recover(&mut room[..len]);
        self.line.push(len);
        self.played(first, len, waited);
    }

    /// A packet of `len` samples is on the line.
    fn played(&mut self, first: &Waiting, len: usize, waited: i64) {
        self.end = Some(first.time + len as i64);
        self.owed = 0;
        self.is_noisy = false;
        if len > 0 {
            self.packet = len as i64;
        }
        self.ages.rotate_right(1);
        self.ages[0] = waited + len as i64;
        let waited = waited as f32 * 1000.0 / self.format.sample_rate as f32;
        let weight = if self.has_played { 1.0 / 16.0 } else { 1.0 };
        self.has_played = true;
        self.stats.delay_ms += (waited - self.stats.delay_ms) * weight;
    }

    /// Makes up for what is missing before `first`: a packet's worth, or all of it.
    fn close_gap(&mut self, now: i64, first: &Waiting, gap: i64) {
        self.end = self.end.map(|end| end + self.owed);
        self.owed = 0;
        if gap > self.packet * 3 / 2 {
            self.count_loss(1);
            return self.lose(self.packet);
        }
        self.count_loss(1);
        let gap = gap as usize;
        let waited = now - first.arrival + (self.line.pending() + gap) as i64;
        let payload = self.buffer.payload(first);
        // What is repeated is the whole of the lost packet, however much of it is made up already.
        let lost = match self.decoder.has_redundancy(payload) {
            true => gap.max(self.packet as usize),
            false => gap,
        };
        let (known, room) = self.line.room(lost + self.format.samples_of_ms(PACKET_MS_MAX));
        let (before, fresh) = room.split_at_mut(lost);
        let is_recovered = self.decoder.decode_fec(payload, before);
        let is_concealed = is_recovered || self.decoder.conceal(&mut before[lost - gap..]);
        let Ok(len) = self.decoder.decode(payload, fresh) else {
            self.buffer.pass(first);
            self.stats.dropped += 1;
            return self.lose(gap as i64 + self.packet);
        };
        self.stats.recovered += u64::from(is_recovered);
        room.copy_within(lost - gap..lost + len, 0);
        let (made_up, follows) = room[..gap + len].split_at_mut(gap);
        if !is_concealed {
            self.plc.bridge(known, follows, made_up);
        } else if gap < lost {
            // It begins in the midst of a wave that is not the one made up before.
            let seam = self.format.samples_of_ms(SEAM_MS).min(gap);
            let (seam, follows) = room[..gap + len].split_at_mut(seam);
            self.plc.bridge(known, follows, seam);
        }
        self.is_paused = self.decoder.is_pause(payload);
        self.buffer.pass(first);
        self.line.push(gap + len);
        self.stats.concealed += gap as u64;
        self.played(first, len, waited);
    }

    /// Makes `len` samples of media time up.
    fn lose(&mut self, len: i64) {
        self.make_up(len as usize);
        self.stats.concealed += len as u64;
        self.end = self.end.map(|end| end + len);
    }

    /// Fills `missing` samples while nothing is here: nobody knows yet whether it is late, lost, or
    /// was never sent.
    fn wait(&mut self, missing: usize) {
        let step = self.format.sample_rate as usize / 400;
        let len = missing.next_multiple_of(step);
        self.make_up(len);
        if self.is_paused {
            return;
        }
        self.owed += len as i64;
        self.stats.concealed += len as u64;
        self.is_paused = self.owed >= self.format.samples_of_ms(PAUSE_MS) as i64;
    }

    /// Adds `len` samples that were never sent to the line.
    fn make_up(&mut self, len: usize) {
        let (known, room) = self.line.room(len);
        let len = room.len();
        if self.is_noisy {
            self.noise.generate(room);
        } else if self.end.is_none() {
            room.fill(0);
        } else if !self.decoder.conceal(room) {
            self.plc.conceal(known, room);
        }
        self.line.push(len);
    }

    /// The sender pauses, and says how that sounds.
    fn take_noise(&mut self, first: &Waiting) {
        if !self.is_noisy {
            self.noise.reset();
        }
        self.noise.update(self.buffer.payload(first));
        self.buffer.pass(first);
        self.end = Some(first.time);
        self.owed = 0;
        self.is_paused = true;
        self.is_noisy = true;
    }

    fn count_loss(&mut self, lost: u64) {
        for _ in 0..lost.min(64) {
            self.loss += (1.0 - self.loss) * LOSS_WEIGHT;
        }
        self.loss -= self.loss * LOSS_WEIGHT;
        self.is_lossy = self.loss > if self.is_lossy { LOSSY.1 } else { LOSSY.0 };
    }
}

/// Bytes of payload in so much time, at the most that is usual.
fn bytes_of_ms(format: &Format, ms: usize) -> usize {
    // 64 kbit/s for G.711 and G.722; Opus for speech is below that.
    let bytes_per_ms = if format.codec == Codec::L16 { 2 * format.samples_of_ms(1) } else { 8 };
    (bytes_per_ms * ms).max(2 * DATAGRAM_MAX)
}

#[cfg(test)]
mod tests;
