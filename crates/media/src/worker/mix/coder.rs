//! Encoders of a conference: one for all who hear the same in the same codec, and wish the same of
//! it.
//!
//! A coder belongs to no listener. While its users hear the same it encodes once for all of them;
//! when they part, some get another coder that is first told what was said last, and when they have
//! heard the same for long enough that the coders know the same, they share one again.

use crate::codec::{Effort, Encoder, Format, OpusFormat, OpusSettings, frames_remembered};
use crate::command::{Codec, StreamConfig};
use crate::mixer::{Mix, SEATS_MAX, Seat, Seats};
use crate::mouth::{PAYLOAD_MAX, own_codec};
use crate::resampler::Resampler;
use crate::sound::Ending;
use crate::worker::FRAMES_PER_SECOND;

use super::source::TICK_SAMPLES_MAX;

/// Ticks of the same sound after which encoders with a memory know the same: what a listener's
/// decoder remembers of the one fits the other.
const ALIKE_TICKS: u32 = 50;

/// What a listener is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tongue {
    codec: Codec,
    clock_rate: u32,
    /// RFC 7587 §6.1: what it wishes of those who send it Opus.
    opus: OpusFormat,
}

/// One encoder, and who is spoken to through it.
pub(super) struct Coder {
    tongue: Tongue,
    format: Format,
    encoder: Encoder,
    effort: Effort,
    /// Rate of the mix, hertz.
    from: u32,
    resampler: Option<Resampler>,
    /// Listeners; none: it is free.
    pub(super) users: Seats,
    /// The mix it speaks, in this tick.
    mix: Option<usize>,
    /// Another coder that speaks the same, and for how many ticks.
    twin: Option<(usize, u32)>,
    /// The mix of the tick before.
    last: Box<[i16]>,
    /// What was said before that in the codec's rate, oldest first: as much as its encoder remembers.
    past: Box<[i16]>,
    /// The end of what was said at another rate of the mix, dying away.
    tail: Option<Box<[i16]>>,
    /// Whether it said nothing in the tick before, and knows nothing of what its listener heard.
    begins: bool,
    /// Samples of the tick at the codec's rate.
    pcm: Box<[i16]>,
    packet: usize,
}

impl Tongue {
    /// That of a listener; `None` when we encode nothing that it understands.
    pub(super) fn of(listener: &StreamConfig) -> Option<Self> {
        let (payload, _) = own_codec(&listener.payloads)?;
        let is_opus = payload.codec == Codec::Opus;
        let opus = if is_opus { listener.opus } else { OpusFormat::default() };
        Some(Self { codec: payload.codec, clock_rate: payload.clock_rate, opus })
    }
}

impl Coder {
    /// A coder for a mix of `from` hertz; `None` when it cannot be encoded. Allocates; nothing but
    /// [`Self::set_rate`] does after it.
    pub(super) fn new(tongue: Tongue, from: u32) -> Option<Self> {
        let format = Format::new(tongue.codec, tongue.clock_rate).ok()?;
        let format = Format { opus: tongue.opus, ..format };
        let mut encoder = Encoder::new(&format, OpusSettings::default()).ok()?;
        encoder.limit_band(from, OpusSettings::default().bitrate, &tongue.opus);
        let tick = format.sample_rate as usize / FRAMES_PER_SECOND;
        let is_long = format.codec == Codec::L16 && 2 * tick > PAYLOAD_MAX;
        Some(Self {
            tongue,
            encoder,
            effort: Effort::default(),
            from,
            resampler: resampler(from, &format),
            users: 0,
            mix: None,
            twin: None,
            last: vec![0; TICK_SAMPLES_MAX].into(),
            past: vec![0; frames_remembered(format.codec) * tick].into(),
            tail: None,
            begins: true,
            pcm: vec![0; tick].into(),
            packet: if is_long { tick / 2 } else { tick },
            format,
        })
    }

    /// Encodes with so much effort from now on.
    pub(super) fn set_effort(&mut self, effort: Effort) {
        self.effort = effort;
        self.encoder.set_effort(effort);
    }

    /// Prepares for this much loss, per cent.
    pub(super) fn expect_loss(&mut self, percent: u8) {
        self.encoder.expect_loss(percent);
    }

    /// What it speaks.
    pub(super) fn tongue(&self) -> Tongue {
        self.tongue
    }

    /// The coders have other places now.
    pub(super) fn forget_twin(&mut self) {
        self.twin = None;
    }

    fn is_like(&self, other: &Self) -> bool {
        self.tongue == other.tongue
    }

    /// The mix has another rate from now on; `rest` is the end of what it was at the old one.
    pub(super) fn set_rate(&mut self, from: u32, rest: Option<&[i16]>) {
        let mut tail = vec![0; self.pcm.len()].into_boxed_slice();
        if let Some(rest) = rest {
            match &mut self.resampler {
                Some(resampler) => drop(resampler.process(rest, &mut tail)),
                None => tail.copy_from_slice(rest),
            }
            self.tail = Some(tail);
        }
        self.from = from;
        self.resampler = resampler(from, &self.format);
        self.last.fill(0);
        self.encoder.limit_band(from, OpusSettings::default().bitrate, &self.tongue.opus);
    }

    /// Length of a packet in units of the RTP clock.
    pub(super) fn packet_units(&self) -> u32 {
        self.format.units(self.packet as i64) as u32
    }

    /// It says nothing in this tick.
    pub(super) fn rest(&mut self) {
        self.begins = true;
    }

    /// Says a tick; `send` gets each packet of it, an empty one where nothing need be sent.
    pub(super) fn say(&mut self, mix: &[i16], mut send: impl FnMut(&[u8])) {
        self.take(mix);
        if let Some(tail) = self.tail.take() {
            for (sample, rest) in self.pcm.iter_mut().zip(&tail) {
                *sample = sample.saturating_add(*rest);
            }
        }
        if std::mem::take(&mut self.begins) && self.tongue.codec == Codec::G722 {
            // At the scale of what is said it comes in quietly where a decoder has a smaller one; from its
            // smallest step it would be a burst to all others.
            let _ = self.encoder.encode(&self.pcm, &mut [0; PAYLOAD_MAX]);
        }
        for frame in self.pcm.chunks_exact(self.packet) {
            let mut payload = [0; PAYLOAD_MAX];
            let len = self.encoder.encode(frame, &mut payload).unwrap_or(0);
            self.encoder.stand_alone(false);
            // Opus says so when its listener likes pauses.
            let is_pause = self.tongue.codec == Codec::Opus && len <= 2;
            send(&payload[..if is_pause { 0 } else { len }]);
        }
        self.remember();
    }

    /// Makes `pcm` of a mix.
    fn take(&mut self, mix: &[i16]) {
        match &mut self.resampler {
            Some(resampler) => {
                let made = resampler.process(mix, &mut self.pcm);
                self.pcm[made..].fill(0);
                self.last[..mix.len()].copy_from_slice(mix);
            }
            None => self.pcm.copy_from_slice(mix),
        }
    }

    fn remember(&mut self) {
        let tick = self.pcm.len();
        if self.past.len() >= tick {
            self.past.copy_within(tick.., 0);
            let newest = self.past.len() - tick;
            self.past[newest..].copy_from_slice(&self.pcm);
        }
    }

    /// Begins where `other` is, when that has the same codec: what it was told last is told to this
    /// one, too, to nobody.
    pub(super) fn follow(&mut self, other: &Self) {
        let codec = |coder: &Self| (coder.tongue.codec, coder.tongue.clock_rate);
        if codec(self) != codec(other) {
            return;
        }
        if let Some(resampler) = &mut self.resampler {
            let tick = self.from as usize / FRAMES_PER_SECOND;
            resampler.process(&other.last[..tick], &mut self.pcm);
            self.last.copy_from_slice(&other.last);
        }
        self.past.copy_from_slice(&other.past);
        // All who talk at once have many coders begin in one tick: what nobody hears is made in haste.
        self.encoder.set_effort(Effort::Little);
        for frame in self.past.chunks_exact(self.packet) {
            // What comes out was sent by the other one already.
            let _ = self.encoder.encode(frame, &mut [0; PAYLOAD_MAX]);
        }
        self.encoder.set_effort(self.effort);
        self.encoder.stand_alone(true);
        (self.twin, self.begins) = (None, false);
    }

    /// Its one listener has heard something else until now: what a decoder knows of that is told to the
    /// encoder, to nobody. One of G.722 that begins with its smallest step is heard at full scale by a
    /// decoder whose step is large.
    pub(super) fn go_on_after(&mut self, ending: &Ending) {
        let ending = ending.at(self.format.sample_rate);
        // An encoder that refuses begins as it is.
        let codec = self.tongue.codec;
        let _ = ending.lead_into(&mut self.encoder, codec, &mut self.pcm, &mut [0; PAYLOAD_MAX]);
        self.encoder.stand_alone(true);
        self.begins = false;
    }

    /// Ticks of the same sound after which it knows what another one knows.
    fn ticks_to_be_alike(&self) -> u32 {
        match (frames_remembered(self.tongue.codec) > 0, &self.resampler) {
            (true, _) => ALIKE_TICKS,
            // A filter's memory is shorter than a tick.
            (false, Some(_)) => 1,
            (false, None) => 0,
        }
    }
}

fn resampler(from: u32, format: &Format) -> Option<Resampler> {
    match from == format.sample_rate {
        true => None,
        false => Resampler::new(from, format.sample_rate),
    }
}

/// Gives every coder its mix: the one that most of its users hear. Who hears another one gets
/// another coder.
pub(super) fn assign(coders: &mut [Coder], mixes: &[Mix]) {
    for coder in coders.iter_mut() {
        let users = coder.users;
        let share = |index: &usize| (mixes[*index].listeners & users).count_ones();
        // Of equals the first.
        let most = (0..mixes.len()).rev().max_by_key(share);
        coder.mix = most.filter(|index| share(index) > 0);
    }
    for index in 0..coders.len() {
        let Some(main) = coders[index].mix else { continue };
        for (other, mix) in mixes.iter().enumerate() {
            let parting = coders[index].users & mix.listeners;
            if other != main && parting != 0 {
                part(coders, index, parting, other);
            }
        }
    }
    unite(coders);
}

/// Moves users of a coder who hear another mix to a free one.
fn part(coders: &mut [Coder], index: usize, parting: Seats, mix: usize) {
    let free =
        (0..coders.len()).find(|&n| coders[n].users == 0 && coders[n].is_like(&coders[index]));
    // There are as many as listeners: as long as two share one, another one is free.
    let Some(free) = free else { return };
    let Ok([old, new]) = coders.get_disjoint_mut([index, free]) else { return };
    new.follow(old);
    old.users &= !parting;
    (new.users, new.mix) = (parting, Some(mix));
}

/// Lets those who have heard the same for long enough share a coder.
fn unite(coders: &mut [Coder]) {
    for later in 1..coders.len() {
        let (before, rest) = coders.split_at_mut(later);
        let own = &mut rest[0];
        if own.users == 0 {
            own.twin = None;
            continue;
        }
        let speaks_the_same =
            |other: &Coder| other.users != 0 && other.mix == own.mix && other.is_like(own);
        let twin = before.iter().position(speaks_the_same);
        own.twin = match (twin, own.twin) {
            (Some(twin), Some((known, ticks))) if twin == known => Some((twin, ticks + 1)),
            (Some(twin), _) => Some((twin, 0)),
            (None, _) => None,
        };
        let Some((twin, ticks)) = own.twin else { continue };
        if ticks >= own.ticks_to_be_alike() {
            before[twin].users |= std::mem::take(&mut own.users);
            // No two encoders of Opus know quite the same: what one foresees is a burst to the other's
            // listeners.
            before[twin].encoder.stand_alone(true);
            (own.twin, own.mix) = (None, None);
        }
    }
}

/// Whom a coder speaks to, and what.
pub(super) fn mix_of<'a>(coder: &Coder, mixes: &'a [Mix]) -> Option<&'a Mix> {
    mixes.get(coder.mix.filter(|_| coder.users != 0)?)
}

/// The seats of a set.
pub(super) fn seats(of: Seats) -> impl Iterator<Item = Seat> {
    (0..SEATS_MAX).filter(move |seat| of & (1 << seat) != 0)
}
