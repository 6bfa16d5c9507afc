//! What we play to one listener ourselves: music, tones and silence for as long as the plan says so,
//! and sounds that interrupt whatever it hears, each once: announcements, beeps.
//!
//! A packet every tick. They are encoded ahead and shared by all who hear the same, those in Opus by
//! all who wish the same of it; only where one sound gives way to another, begins or ends, the packet
//! is made for the one who hears that.

use std::sync::Arc;

use base::Time;

use super::fault::guarded;
use super::{Channel, Moment, Sink, Slot, Worker, stream};
use crate::codec::RATES;
use crate::command::{Codec, Hear, MediaEvent, Payload};
use crate::player::FRAME_BYTES_MAX;
use crate::plc::Plc;
use crate::rtp::{self, HEADER_LEN};
use crate::sender::Origin;
use crate::sound::{
    Ending, Former, Place, Seam, Seams, Sound, SoundId, Sounds, WishedSounds, fade_in,
};
use crate::stream::Stream;
use crate::worker::FRAMES_PER_SECOND;

/// Samples of a tick at the highest rate.
const TICK_SAMPLES_MAX: usize = 48_000 / FRAMES_PER_SECOND;

/// What a listener was played last, by us.
pub(crate) struct Played {
    origin: Origin,
    /// `None`: silence.
    sound: Option<Arc<Sound>>,
    /// The frame that would come next.
    next: usize,
}

/// What it is played in a tick.
pub(super) struct Cue<'a> {
    origin: Origin,
    /// `None`: silence.
    sound: Option<&'a Arc<Sound>>,
    index: usize,
    /// Whether this is all of it.
    ends: bool,
}

/// What makes the packets that are not ready.
pub(super) struct Joiner {
    seams: Seams,
    wished: WishedSounds,
    /// One for each of [`RATES`].
    plcs: [Plc; RATES.len()],
}

impl Joiner {
    /// Allocates; nothing after it does.
    pub(super) fn new() -> Self {
        Self { seams: Seams::new(), wished: WishedSounds::new(), plcs: RATES.map(Plc::new) }
    }

    /// Other sounds are played from now on.
    pub(super) fn forget(&mut self) {
        self.wished.forget();
    }

    /// Frames that were encoded because somebody wished them otherwise.
    #[cfg(test)]
    pub(super) fn wished(&self) -> usize {
        self.wished.encoded()
    }

    /// What goes on with a sound at one of [`RATES`].
    pub(super) fn plc(&mut self, rate: u32) -> Option<&mut Plc> {
        let at = RATES.iter().position(|known| *known == rate)?;
        self.plcs.get_mut(at)
    }
}

/// What a listener is played from.
pub(super) struct Rack<'a> {
    pub(super) music: &'a Arc<Sound>,
    sounds: &'a Sounds,
    pub(super) joiner: &'a mut Joiner,
}

impl Worker {
    /// Plays a sound once, after those that wait. One that is not there, or for which there is no
    /// room, is over at once.
    pub fn announce(&mut self, slot: Slot, sound: SoundId, sink: &mut impl Sink) {
        let known = self.sounds.get(sound).cloned();
        if known.is_some() && !self.speaks_to(slot.0) {
            self.part(slot.0);
        }
        let Some(stream) = stream(&mut self.streams, slot.0) else { return };
        let taken = known.is_some_and(|known| {
            stream.announcements.get_or_insert_default().announce(sound, known)
        });
        match taken {
            true => self.play_to(slot.0),
            false => sink.event(MediaEvent::Announced { stream: stream.id, sound }),
        }
    }

    /// Leaves out what is announced and not over.
    pub fn hush(&mut self, slot: Slot, sink: &mut impl Sink) {
        let Some(stream) = stream(&mut self.streams, slot.0) else { return };
        let Some(playlist) = &mut stream.announcements else { return };
        for sound in playlist.hush() {
            sink.event(MediaEvent::Announced { stream: stream.id, sound });
        }
    }

    /// A listener is played something from the next tick on.
    pub(super) fn play_to(&mut self, slot: usize) {
        if !self.players.contains(&slot) {
            self.players.push(slot);
        }
    }

    pub(super) fn tick_players(&mut self, now: Time, sink: &mut impl Sink) {
        let Self { streams, players, music, sounds, joiner, faulty, .. } = self;
        joiner.wished.tick();
        players.retain(|slot| {
            let mut rack = Rack { music: &*music, sounds: &*sounds, joiner: &mut *joiner };
            let Some(stream) = stream(streams, *slot) else { return false };
            guarded(faulty, stream.bridge, || stream.play(now, Slot(*slot), &mut rack, sink))
                .unwrap_or(false)
        });
    }
}

impl Hear {
    /// Whether it is made by us, for each listener.
    pub(super) const fn is_played(self) -> bool {
        matches!(self, Self::Music | Self::Tone(_) | Self::Silence)
    }
}

impl Stream {
    /// Whether a sound of ours is heard instead of what the plan says, or the end of one.
    pub(crate) fn is_played_to(&self) -> bool {
        self.is_announcing() || (self.played.is_some() && !self.hear.is_played())
    }

    /// Whether there is anything to play.
    pub(crate) fn is_played(&self) -> bool {
        self.hear.is_played() || self.is_played_to()
    }

    /// The next 20 ms; false when nothing of ours is heard any more. Time passes for who may not be
    /// sent anything, too: a call that waits for the end of an announcement must not wait for ever.
    fn play(&mut self, now: Time, slot: Slot, rack: &mut Rack<'_>, sink: &mut impl Sink) -> bool {
        self.trip(Moment::Play);
        if !self.is_played() {
            self.played = None;
            return self.dies_away(now, slot, rack, sink);
        }
        if self.hears_out_the_mix() || self.is_early(now) {
            return true;
        }
        let mut announcements = self.announcements.take();
        let frame = announcements.as_mut().and_then(|list| list.next_frame());
        if let Some(frame) = frame {
            let (origin, sound) = (Origin::ANNOUNCEMENT, Some(frame.sound));
            let cue = Cue { origin, sound, index: frame.index, ends: frame.is_last };
            self.perform(now, slot, Some(cue), rack.joiner, rack.music, sink);
            if frame.is_last {
                sink.event(MediaEvent::Announced { stream: self.id, sound: frame.id });
            }
        } else {
            let cue = self.cue(rack.music, rack.sounds);
            let frames = cue.as_ref().map(|cue| cue.sound.map_or(1, |sound| sound.frames()));
            if self.perform(now, slot, cue, rack.joiner, rack.music, sink) {
                self.music_at = (self.music_at + 1) % frames.unwrap_or(1);
            }
        }
        self.announcements = announcements;
        self.is_played()
    }

    /// Whether this tick is the last of a mix that the listener hears: it is faded out there.
    fn hears_out_the_mix(&mut self) -> bool {
        let is_in = self.in_mix && self.seat.is_some() && matches!(self.hear, Hear::Mix(_));
        self.parts = is_in && !self.lingers;
        self.lingers || self.parts
    }

    /// Whether a packet would come before its time: who hears somebody until now waits for the tick.
    pub(super) fn is_early(&mut self, now: Time) -> bool {
        let begins = self.played.is_none() && !self.is_dialling && self.rtp_target().is_some();
        let payload = self.own_payload().copied().filter(|_| begins);
        payload.is_some_and(|payload| self.sender.is_ahead(now, payload.clock_rate))
    }

    /// What the plan says.
    fn cue<'a>(&self, music: &'a Arc<Sound>, sounds: &'a Sounds) -> Option<Cue<'a>> {
        let (origin, sound) = match self.hear {
            Hear::Music => (Origin::MUSIC, Some(music)),
            Hear::Tone(tone) => (Origin::TONE, sounds.get(SoundId::Tone(tone.into()))),
            Hear::Silence => (Origin::SILENCE, None),
            Hear::Nothing | Hear::Stream(_) | Hear::Mix(_) => return None,
        };
        Some(Cue { origin, sound, index: self.music_at, ends: false })
    }

    /// Sends what is to be heard now, or without it the end of what was; false when that is not
    /// possible.
    pub(super) fn perform(
        &mut self,
        now: Time,
        slot: Slot,
        cue: Option<Cue<'_>>,
        joiner: &mut Joiner,
        silence: &Sound,
        sink: &mut impl Sink,
    ) -> bool {
        let before = self.played.take();
        let payload = self.own_payload().copied().filter(|_| !self.is_dialling);
        let Some((target, payload)) = self.rtp_target().zip(payload) else { return false };
        let ending = self.take_ending(now).filter(|_| before.is_none());
        let origin = cue.as_ref().map(|cue| cue.origin).or(before.as_ref().map(|it| it.origin));
        let Some(origin) = origin.or(ending.as_ref().map(|_| Origin::SILENCE)) else {
            return false;
        };
        let wish = self.config.opus;
        let mut own = [0; FRAME_BYTES_MAX];
        let ready = match (&cue, &before) {
            (Some(cue), before) => cue.ready(before.as_ref(), payload, silence),
            (None, Some(Played { sound: None, .. })) => silence.silent_frame(payload.codec),
            (None, _) => None,
        };
        let mut wished = [0; FRAME_BYTES_MAX];
        let is_played_on = ready.is_some() || cue.is_some();
        let len = (is_played_on && payload.codec == Codec::Opus).then(|| {
            // Where it begins it is asked for, too, so that its encoder is there with the next one.
            let (sound, index) = cue.as_ref().map_or((None, 0), |it| (it.sound, it.index));
            joiner.wished.frame(sound, index, &wish, &mut wished)
        });
        let ready = ready.map(|ready| len.flatten().map_or(ready, |len| &wished[..len]));
        let speaks = before.is_none() && self.has_just_spoken(now);
        let bytes = match ready.filter(|_| !speaks && ending.is_none()) {
            Some(ready) => Some(ready),
            None => {
                let mouth = cue.as_ref().filter(|_| speaks);
                let made = mouth.and_then(|cue| self.last_words(cue, payload, joiner, &mut own));
                let seam = || seam(before.as_ref(), cue.as_ref(), ending.as_deref());
                made.or_else(|| joiner.seams.encode(payload.codec, &seam(), &wish, &mut own))
                    .map(|len| &own[..len])
                    .or(ready)
            }
        };
        if let Some(bytes) = bytes {
            self.send_own(now, (slot, target), (payload, origin), bytes, sink);
        }
        self.goes_on_softly = true;
        self.was_played = matches!(self.hear, Hear::Mix(_));
        self.played = cue.filter(|cue| !cue.ends).map(|cue| Played {
            origin,
            next: cue.index + 1,
            sound: before.and_then(|it| it.sound.filter(|it| cue.is(it))).or(cue.sound.cloned()),
        });
        true
    }

    /// A frame into which what was said until now dies away; `None` when its mouth cannot say that.
    fn last_words(
        &mut self,
        cue: &Cue<'_>,
        payload: Payload,
        joiner: &mut Joiner,
        out: &mut [u8; FRAME_BYTES_MAX],
    ) -> Option<usize> {
        let mouth = self.mouth.as_mut()?;
        let rate = mouth.rate();
        let mut pcm = [0; TICK_SAMPLES_MAX];
        let pcm = &mut pcm[..rate as usize / FRAMES_PER_SECOND];
        let new = cue.sound.map(|sound| sound.pcm(rate, cue.index));
        let fits = *mouth.payload() == payload && new != Some(None);
        if let Some(new) = new.flatten() {
            pcm.copy_from_slice(new);
            fade_in(pcm, rate);
        }
        mouth.give_way(pcm, joiner.plc(rate)?, out).filter(|_| fits)
    }

    fn send_own(
        &mut self,
        now: Time,
        (slot, target): (Slot, std::net::SocketAddr),
        (payload, origin): (Payload, Origin),
        bytes: &[u8],
        sink: &mut impl Sink,
    ) {
        let header = self.sender.own(now, payload.send, payload.clock_rate, bytes.len(), origin);
        let mut packet = [0; HEADER_LEN + FRAME_BYTES_MAX];
        let packet = &mut packet[..HEADER_LEN + bytes.len()];
        rtp::write_header(packet, &header);
        packet[HEADER_LEN..].copy_from_slice(bytes);
        if !self.send(sink, (slot, Channel::Rtp), target, packet) {
            self.stats.send_failed += 1;
        }
    }
}

impl Cue<'_> {
    /// Whether it is of this sound.
    fn is(&self, sound: &Arc<Sound>) -> bool {
        self.sound.is_some_and(|own| Arc::ptr_eq(own, sound))
    }

    /// Whether it is what comes next after `before`.
    fn follows(&self, before: &Played) -> bool {
        let is_same = match (self.sound, &before.sound) {
            (Some(own), Some(before)) => Arc::ptr_eq(own, before),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let is_next = self.sound.is_none_or(|own| before.next % own.frames() == self.index);
        is_same && is_next && self.origin == before.origin
    }

    /// The packet that all share, unless something begins or ends with it.
    fn ready<'a>(
        &'a self,
        before: Option<&Played>,
        payload: Payload,
        silence: &'a Sound,
    ) -> Option<&'a [u8]> {
        let was_silent = before.is_none_or(|before| before.sound.is_none());
        match self.sound {
            None if was_silent => silence.silent_frame(payload.codec),
            Some(sound) if !self.ends && before.is_some_and(|before| self.follows(before)) => {
                sound.frame(payload.codec, self.index)
            }
            None | Some(_) => None,
        }
    }
}

/// What lies between what was played and what is.
fn seam<'a>(
    before: Option<&'a Played>,
    cue: Option<&'a Cue<'_>>,
    ending: Option<&'a Ending>,
) -> Seam<'a> {
    let goes_on = before.is_some_and(|before| cue.is_some_and(|cue| cue.follows(before)));
    let left = before.filter(|_| !goes_on);
    Seam {
        from: left
            .and_then(|it| Some(Place { sound: it.sound.as_ref()?, index: it.next }))
            .map(Former::Sound)
            .or(ending.map(Former::Said)),
        to: cue.and_then(|it| Some(Place { sound: it.sound?, index: it.index })),
        begins: !goes_on,
        ends: cue.is_some_and(|cue| cue.ends),
    }
}
