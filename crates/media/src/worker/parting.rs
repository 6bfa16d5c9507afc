//! What a listener hears breaks off, because the plan or its path changes: it dies away in whatever
//! is heard next, or by itself.
//!
//! ```text
//! relayed: the source's last packets ─▶ decoder ─┐
//! coded here: what the mouth said last ──────────┴▶ continuation ─▶ into a packet of ours, of the
//!                                                   next one's mouth, or into the relayed one
//! ```
//! A relayed packet of a codec without memory is decoded, joined and encoded again, so nothing comes
//! later or is missing. One of G.722 or Opus is left as it is: what follows it was encoded for a
//! decoder that has heard it. There the old dies away in a packet of its own, instead of the first
//! of the new ones, which begins as a decoder begins with it.

use std::time::Duration;

use base::Time;

use super::play::Rack;
use super::{Sink, Slot, Taken, Worker, stream};
use crate::codec::{Decoder, Encoder, Format, OpusSettings, SAMPLES_MAX, frames_remembered};
use crate::command::Hear;
use crate::rtp::DATAGRAM_MAX;
use crate::sound::{Ending, die_away, fade_in};
use crate::stream::Stream;

/// What was heard so long ago is over: nothing breaks off any more.
const OVER: Duration = Duration::from_millis(60);
/// So long after the last packet the next one of another source may still come.
const NEXT: Duration = Duration::from_millis(20);

/// A relayed packet's payload, joined to what was heard before.
pub(super) struct Joined {
    bytes: [u8; DATAGRAM_MAX],
    len: usize,
}

impl Joined {
    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Worker {
    /// What a listener hears is about to be something else: keeps how it would have gone on. What we
    /// play or mix is joined elsewhere.
    pub(super) fn part(&mut self, listener: usize) {
        let Self { streams, joiner, .. } = self;
        let Some(it) = stream(streams, listener).filter(|it| !it.is_played() && !it.lingers) else {
            return;
        };
        if let Some(mouth) = it.mouth.as_mut().filter(|mouth| mouth.is_speaking()) {
            let ending = joiner.plc(mouth.rate()).and_then(|plc| mouth.end(plc));
            it.ending = ending.map(Box::new);
            return;
        }
        let Some(source) = it.source.filter(|source| it.sender.follows(*source)) else { return };
        let Some(source) = stream(streams, source) else { return };
        let Some(tail) = &source.tail else { return };
        let ending = tail.ending(&source.config.payloads, move |rate| joiner.plc(rate));
        if let (Some(ending), Some(it)) = (ending, stream(streams, listener)) {
            it.ending = Some(Box::new(ending));
        }
    }

    /// [`Self::part`] before the listener hears a mix, where only an encoder with a memory has to know.
    pub(super) fn part_into_mix(&mut self, listener: usize) {
        let it = stream(&mut self.streams, listener);
        let own = it.filter(|it| !matches!(it.hear, Hear::Mix(_))).and_then(|it| it.own_payload());
        if own.is_some_and(|own| frames_remembered(own.codec) > 0) {
            self.part(listener);
        }
    }

    /// [`Self::part`] before the listener hears nothing, or nobody knows yet what.
    pub(super) fn die_away(&mut self, listener: usize) {
        self.part(listener);
        let pending = stream(&mut self.streams, listener).is_some_and(|it| it.ending.is_some());
        if pending {
            self.play_to(listener);
        }
    }

    /// Gives a source that is relayed what tells how it would go on, and takes it from one that
    /// nobody hears.
    pub(super) fn tune_tail(&mut self, slot: usize) {
        let Some(source) = stream(&mut self.streams, slot) else { return };
        let payloads = &source.config.payloads;
        if source.hearers.is_empty() {
            source.tail = None;
        } else if source.tail.as_ref().is_none_or(|tail| !tail.is_for(payloads)) {
            source.tail = crate::tail::Tail::new(payloads).map(Box::new);
        }
    }
}

impl Stream {
    /// How what was heard until now would have gone on, once; `None` when that is over.
    pub(super) fn take_ending(&mut self, now: Time) -> Option<Box<Ending>> {
        let is_over = self.sender.since_latest(now).is_none_or(|since| since > OVER);
        self.ending.take().filter(|_| !is_over)
    }

    /// Whether what it heard last was coded for it, a moment ago.
    pub(super) fn has_just_spoken(&mut self, now: Time) -> bool {
        let is_over = self.sender.since_latest(now).is_none_or(|since| since > OVER);
        let mouth = self.mouth.as_mut().filter(|mouth| mouth.is_speaking());
        if let Some(mouth) = mouth.filter(|_| is_over) {
            mouth.leave();
        }
        !is_over && self.mouth.as_ref().is_some_and(|mouth| mouth.is_speaking())
    }

    /// What was heard until now dies away by itself, where nothing else is heard; whether that is
    /// still to come.
    pub(super) fn dies_away(
        &mut self,
        now: Time,
        slot: Slot,
        rack: &mut Rack<'_>,
        sink: &mut impl Sink,
    ) -> bool {
        let may_come = match self.hear {
            // The next packet may have both.
            Hear::Stream(_) => {
                self.own_payload().is_some_and(|own| frames_remembered(own.codec) == 0)
            }
            Hear::Nothing => false,
            Hear::Music | Hear::Silence | Hear::Tone(_) | Hear::Mix(_) => {
                self.ending = None;
                false
            }
        };
        let since = self.sender.since_latest(now).filter(|_| self.ending.is_some());
        let Some(since) = since.filter(|since| *since <= OVER) else {
            self.ending = None;
            return false;
        };
        if self.is_early(now) || may_come && since < NEXT {
            return true;
        }
        self.perform(now, slot, None, rack.joiner, rack.music, sink);
        self.ending = None;
        false
    }

    /// The payload of a relayed packet that is the first of what is heard now, when it does not
    /// follow what was heard before; `None`: as it is.
    pub(super) fn join_relayed(
        &mut self,
        now: Time,
        taken: &Taken,
        datagram: &[u8],
    ) -> Option<Joined> {
        let is_soft = std::mem::take(&mut self.goes_on_softly);
        let ending = self.take_ending(now);
        if !is_soft && ending.is_none() || frames_remembered(taken.codec) > 0 {
            return None;
        }
        let payload = &datagram[taken.packet.payload.clone()];
        let format = Format::new(taken.codec, taken.clock_rate).ok()?;
        let mut pcm = [0; SAMPLES_MAX];
        let len = Decoder::new(&format).ok()?.decode(payload, &mut pcm).ok()?;
        let pcm = &mut pcm[..len];
        fade_in(pcm, format.sample_rate);
        if let Some(ending) = ending {
            die_away(ending.at(format.sample_rate).end(), pcm, format.sample_rate);
        }
        let mut joined = Joined { bytes: [0; DATAGRAM_MAX], len: 0 };
        let mut encoder = Encoder::new(&format, OpusSettings::default()).ok()?;
        joined.len = encoder.encode(pcm, &mut joined.bytes).ok()?;
        Some(joined)
    }
}
