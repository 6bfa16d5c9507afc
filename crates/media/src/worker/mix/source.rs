//! One source of a mix: from a peer's packets to the frames that the mixer sums.
//!
//! ```text
//! packets ─▶ playout of their codec ─▶ (noise removal) ─▶ (resampler) ─▶ frame at the mix's rate
//! ```
//! Noise is removed here, once, whoever hears it. Opus is decoded at 48 kHz whatever the mix has,
//! so that another rate of the mix changes nothing before the resampler.

use base::Time;

use crate::codec::Format;
use crate::command::{Codec, NoiseRemoval, Payload};
use crate::denoise::Denoiser;
use crate::jitter_buffer::{Content, Incoming};
use crate::playout::{Heard, Playout, PlayoutStats};
use crate::resampler::Resampler;
use crate::worker::FRAMES_PER_SECOND;

/// Codecs of one peer that are mixed; one that agreed on more and uses them is not heard in these.
const LINES_MAX: usize = 4;
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
}

/// One codec of the peer.
struct Line {
    /// Payload type it sends.
    receive: u8,
    playout: Playout,
    denoiser: Option<Denoiser>,
    resampler: Resampler,
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
        };
        let codable = |payload: &&Payload| Format::of(payload).is_ok();
        let said = payloads.iter().find(|payload| Some(payload.codec) == expected);
        let first = said.filter(codable).or_else(|| payloads.iter().find(codable));
        if let Some(receive) = first.map(|first| first.receive) {
            source.line(receive);
        }
        source
    }

    /// What offer/answer agreed on now; codecs that stay go on.
    pub(super) fn configure(&mut self, payloads: &[Payload], noise: Option<NoiseRemoval>) {
        if self.payloads != payloads {
            self.payloads.clear();
            self.payloads.extend_from_slice(payloads);
            let fits = |line: &Line| {
                let payload = payloads.iter().find(|payload| payload.receive == line.receive);
                let format = payload.and_then(|payload| Format::of(payload).ok());
                format.as_ref() == Some(line.playout.format())
            };
            let is_same = self.lines.iter().all(fits);
            if !is_same {
                // Rare, and the peer begins anew anyway.
                self.lines.retain(fits);
                (self.current, self.former) = (0, None);
            }
        }
        self.noise = noise;
        for line in &mut self.lines {
            line.set_noise_removal(noise);
        }
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
    pub(super) fn stats(&self) -> Option<PlayoutStats> {
        Some(self.lines.get(self.current)?.playout.stats())
    }

    /// Takes a packet that arrived `now`.
    pub(super) fn put(&mut self, now: Time, payload_type: u8, codec: Codec, packet: &Incoming<'_>) {
        let line = match codec.is_audio() {
            true => self.line(payload_type),
            // Noise and keys belong to what is said.
            false => (self.current < self.lines.len()).then_some(self.current),
        };
        let Some(line) = line else { return };
        if line != self.current {
            self.former = (self.packets > 0).then_some(self.current);
            self.current = line;
        }
        self.packets += 1;
        let content = match codec {
            Codec::TelephoneEvent => Content::Event,
            Codec::ComfortNoise => Content::Noise,
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opus | Codec::L16 | Codec::Other => {
                Content::Audio
            }
        };
        self.lines[line].playout.put(now, &Incoming { content, ..*packet });
    }

    /// Fills the frame of a tick; false when there is nothing in it.
    pub(super) fn pull(&mut self, now: Time, frame: &mut [i16]) -> bool {
        let Some(line) = self.lines.get_mut(self.current) else { return false };
        let is_heard = line.pull(now, frame);
        if let Some(former) = self.former.take().and_then(|former| self.lines.get_mut(former)) {
            // The peer has changed its codec: one tick of both.
            let mut rest = [0; TICK_SAMPLES_MAX];
            let rest = &mut rest[..frame.len()];
            former.pull(now, rest);
            cross_fade(rest, frame);
            return true;
        }
        is_heard
    }

    /// The line of a payload type, made when it is needed for the first time.
    fn line(&mut self, receive: u8) -> Option<usize> {
        if let Some(known) = self.lines.iter().position(|line| line.receive == receive) {
            return Some(known);
        }
        if self.lines.len() == LINES_MAX {
            return None;
        }
        let payload = self.payloads.iter().find(|payload| payload.receive == receive)?;
        let format = Format::of(payload).ok()?;
        let own = format.sample_rate;
        let mut line = Line {
            receive,
            playout: Playout::new(format, own, self.seed).ok()?,
            denoiser: None,
            resampler: Resampler::new(own, self.rate)?,
        };
        line.set_noise_removal(self.noise);
        self.lines.push(line);
        Some(self.lines.len() - 1)
    }
}

impl Line {
    fn set_noise_removal(&mut self, noise: Option<NoiseRemoval>) {
        let Some(NoiseRemoval { enabled, settings }) = noise else {
            self.denoiser = None;
            return;
        };
        if self.denoiser.is_none() {
            self.denoiser = Denoiser::new(self.playout.rate(), settings);
        }
        if let Some(denoiser) = &mut self.denoiser {
            denoiser.set_enabled(enabled);
        }
    }

    fn pull(&mut self, now: Time, frame: &mut [i16]) -> bool {
        let rate = self.playout.rate();
        if rate == self.resampler.to() {
            return self.pull_own(now, frame);
        }
        let mut own = [0; TICK_SAMPLES_MAX];
        let own = &mut own[..rate as usize / FRAMES_PER_SECOND];
        let is_heard = self.pull_own(now, own);
        let made = self.resampler.process(own, frame);
        frame[made..].fill(0);
        is_heard
    }

    /// A tick at the codec's own rate.
    fn pull_own(&mut self, now: Time, own: &mut [i16]) -> bool {
        let heard = self.playout.pull(now, own);
        match (&mut self.denoiser, heard) {
            (Some(denoiser), Heard::Audio) => denoiser.process(own),
            (Some(denoiser), Heard::Noise | Heard::Silence) => denoiser.process_silence(own),
            (None, _) => {}
        }
        heard != Heard::Silence
    }
}

/// From `old` to what is in `new`, linearly over its length.
fn cross_fade(old: &[i16], new: &mut [i16]) {
    let len = new.len() as i32;
    for ((n, new), old) in (0..len).zip(new.iter_mut()).zip(old) {
        let (from, to) = (i32::from(*old), i32::from(*new));
        *new = (from + (to - from) * (2 * n + 1) / (2 * len)) as i16;
    }
}
