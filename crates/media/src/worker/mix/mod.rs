//! Who hears several at once: one mixer for each call that needs one, a tick at a time.
//!
//! ```text
//! packets ─▶ Source of each peer ─┐                    ┌▶ Coder ─▶ all who hear the same in one codec
//! music, tones ───────────────────┴▶ Mixer, N−1 sums ──┴▶ Coder ─▶ …
//! ```
//! A listener comes from what it heard before without a step, and goes without one: it is let in
//! with the first packet that was not passed on to it, and stays for one tick in which all that it
//! hears no more is faded out. Keys are told once to the core, and pressed for every listener who
//! hears the one who presses them; as sound they are not mixed.

mod arrange;
mod coder;
mod source;

use std::collections::BTreeMap;

use base::Time;

use super::fault::guarded;
use super::{Channel, FRAMES_PER_SECOND, Moment, Sink, Slot, Taken, Worker, stream};
use crate::command::{Beside, BridgeId, Hear};
use crate::ear::Heard;
use crate::jitter_buffer::{Content, Incoming};
use crate::mixer::{Mixer, MixerSettings, SEATS_MAX, Seat, Seats};
use crate::mouth::{PAYLOAD_MAX, own_codec};
use crate::playout::PlayoutStats;
use crate::record::{self, Recorder, RecordingId};
use crate::resampler::Resampler;
use crate::rtp::{self, HEADER_LEN};
use crate::sender::Origin;
use crate::sound::{Sound, SoundId, Sounds};
use crate::stream::Stream;

use coder::{Coder, mix_of, seats};
pub(crate) use source::Source;

/// Ticks for which a new listener waits for the first packet that it was not sent as it is.
const JOIN_TICKS: u8 = 2;

/// One call's mix.
pub(super) struct Conference {
    rate: u32,
    mixer: Mixer,
    seats: [Seated; SEATS_MAX],
    coders: Vec<Coder>,
    /// Slots of those who hear the mix, or are about to.
    listeners: Vec<usize>,
    /// Sounds of ours that are mixed.
    sounds: Vec<Playing>,
    /// Samples mixed so far: the clock of recordings, and which one it is.
    clock: u32,
    number: u32,
}

/// Who has a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seated {
    Nobody,
    /// The stream in this slot.
    Stream(usize),
    /// A sound of ours.
    Sound(Beside),
    /// Who is gone, until faded out.
    Gone,
}

/// A sound in a mix: all who hear it hear the same of it.
struct Playing {
    sound: Beside,
    at: usize,
    /// From the rate there are samples of.
    resampler: Option<Resampler>,
}

/// A listener on its way into a mix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joining {
    /// Slot of the stream it heard until now.
    source: usize,
    /// Packets of that stream that were mixed before.
    packets: u64,
    /// Ticks waited.
    ticks: u8,
}

/// What a conference needs of its worker in a tick.
struct Stage<'a> {
    now: Time,
    streams: &'a mut [Option<Box<Stream>>],
    recorders: &'a mut BTreeMap<RecordingId, Recorder>,
}

impl Worker {
    /// How the packets of a stream that is mixed fare; `None` when it is not.
    pub fn playout(&mut self, slot: Slot) -> Option<PlayoutStats> {
        stream(&mut self.streams, slot.0)?.said.as_ref()?.stats()
    }

    /// Encoders in use for the mix of a call.
    pub fn encoders(&self, bridge: BridgeId) -> usize {
        let conference = self.conferences.get(&bridge);
        conference.map_or(0, |it| it.coders.iter().filter(|coder| coder.users != 0).count())
    }

    /// Calls that have a mix.
    pub fn conferences(&self) -> usize {
        self.conferences.len()
    }

    /// Takes a packet of a peer whom somebody hears in a mix; `heard` is what its ear has made of it.
    pub(super) fn mix_in(
        &mut self,
        slot: Slot,
        taken: &Taken,
        datagram: &[u8],
        heard: Option<Heard>,
    ) {
        let Some(speaker) = stream(&mut self.streams, slot.0) else { return };
        let payload_type = taken.packet.header.payload_type;
        let is_cleaned = speaker
            .ear
            .as_ref()
            .is_some_and(|ear| ear.is_processing() && (ear.knows(payload_type) || !taken.is_audio));
        let Some(said) = &mut speaker.said else { return };
        // It may have waited for one before it since.
        let now = taken.arrival;
        let packet = Incoming {
            run: taken.origin.run,
            sequence: taken.extended,
            timestamp: taken.packet.header.timestamp,
            content: Content::Audio,
            payload: &datagram[taken.packet.payload.clone()],
        };
        let is_in_time = match heard {
            Some(heard) if is_cleaned => {
                said.put_cleaned(now, payload_type, &packet, &heard, &self.samples[..heard.len]);
                true
            }
            // What comes behind those that were not waited for is late for noise removal.
            None if is_cleaned && taken.is_audio && !taken.in_order => {
                said.miss(now, &packet);
                false
            }
            None if is_cleaned && taken.is_audio => {
                said.put_pause(now, &packet);
                true
            }
            Some(_) | None => said.put(now, payload_type, taken.codec, &packet),
        };
        if !is_in_time && taken.is_audio {
            speaker.reception.discard(taken.origin.run, taken.extended);
        }
    }

    /// A listener has told what reaches it: the coder that speaks to it prepares for the worst of its
    /// users.
    pub(super) fn expect_losses(&mut self, slot: usize) {
        let Some(Some(listener)) = self.streams.get(slot) else { return };
        let Some(seat) = listener.seat else { return };
        let Some(conference) = self.conferences.get_mut(&listener.bridge) else { return };
        let Conference { coders, seats: seated, .. } = &mut **conference;
        let Some(coder) = coders.iter_mut().find(|coder| coder.users & (1 << seat) != 0) else {
            return;
        };
        let losses = seats(coder.users).filter_map(|seat| match seated[seat] {
            Seated::Stream(slot) => Some(self.streams.get(slot)?.as_ref()?.expected_loss()),
            Seated::Nobody | Seated::Sound(_) | Seated::Gone => None,
        });
        coder.expect_loss(losses.max().unwrap_or(0));
    }

    /// Mixes a tick of every call that has a mix.
    pub(super) fn tick_mixes(&mut self, now: Time, sink: &mut impl Sink) {
        let Self {
            conferences, streams, recorders, music, sounds, rearranged, faulty, effort, ..
        } = self;
        for (bridge, conference) in conferences {
            let mut stage = Stage { now, streams: &mut *streams, recorders: &mut *recorders };
            let has_left = guarded(faulty, *bridge, || {
                for coder in &mut conference.coders {
                    coder.set_effort(*effort);
                }
                let listeners = conference.collect(&mut stage);
                conference.play(music, sounds);
                conference.mixer.mix(listeners);
                conference.speak(&mut stage, sink)
            });
            if has_left == Some(true) {
                rearranged.push(*bridge);
            }
        }
        while let Some(bridge) = self.rearranged.pop() {
            self.guard(bridge, |worker| worker.arrange(bridge));
        }
    }

    /// Who hears a stream in its call's mix, by slot.
    pub(super) fn mix_hearers(&self, source: usize) -> [Option<usize>; SEATS_MAX] {
        let mut slots = [None; SEATS_MAX];
        let Some(Some(speaker)) = self.streams.get(source) else { return slots };
        let Some(seat) = speaker.seat else { return slots };
        let Some(conference) = self.conferences.get(&speaker.bridge) else { return slots };
        for (slot, listener) in slots.iter_mut().zip(0..SEATS_MAX) {
            if let Seated::Stream(of) = conference.seats[listener]
                && conference.mixer.hears(listener) & (1 << seat) != 0
            {
                *slot = Some(of);
            }
        }
        slots
    }
}

impl Conference {
    fn new(rate: u32, number: u32) -> Self {
        Self {
            number,
            rate,
            mixer: mixer(rate),
            seats: [Seated::Nobody; SEATS_MAX],
            coders: Vec::new(),
            listeners: Vec::new(),
            sounds: Vec::new(),
            clock: 0,
        }
    }

    /// Fills the frames of all sources; who listens in this tick.
    fn collect(&mut self, stage: &mut Stage<'_>) -> Seats {
        let mut listeners = 0;
        for seat in 0..SEATS_MAX {
            let Seated::Stream(slot) = self.seats[seat] else { continue };
            let Some(stream) = stream(stage.streams, slot) else { continue };
            stream.trip(Moment::Mix);
            if let Some(said) = &mut stream.said {
                let frame = self.mixer.frame(seat);
                if !said.pull(stage.now, frame) || stream.kept.is_mixed(stage.now) {
                    self.mixer.leave_out(seat);
                } else if let Some(recorder) =
                    stream.recording.and_then(|id| stage.recorders.get_mut(&id))
                {
                    let ear = stream.ear.as_ref().filter(|_| said.is_cleaned());
                    let ear = ear.map(|ear| ear.age()).unwrap_or_default();
                    let said = record::Heard {
                        stream: stream.id,
                        timestamp: self.clock,
                        clock: record::Clock::Mix(self.number),
                        clock_rate: self.rate,
                        rate: self.rate,
                        pcm: frame,
                        age: said.age() + ear,
                    };
                    recorder.hear(stage.now, &said);
                }
            }
            if self.is_in(seat, slot, stage.streams) {
                listeners |= 1 << seat;
            }
        }
        self.clock = self.clock.wrapping_add(self.mixer.tick_len() as u32);
        listeners
    }

    /// Fills the frames of what is played.
    fn play(&mut self, music: &Sound, sounds: &Sounds) {
        for playing in &mut self.sounds {
            let sound = match playing.sound {
                Beside::Music => Some(music),
                Beside::Tone(tone) => sounds.get(SoundId::Tone(tone.into())).map(|sound| &**sound),
            };
            let seat = self.seats.iter().position(|it| *it == Seated::Sound(playing.sound));
            if let (Some(sound), Some(seat)) = (sound, seat) {
                playing.fill(sound, self.rate, self.mixer.frame(seat));
            }
        }
    }

    /// Whether a stream listens in this tick. Who has just come waits for the first packet of the
    /// one it heard before that was not passed on to it, so that nothing is heard twice or missed.
    fn is_in(&mut self, seat: Seat, slot: usize, streams: &mut [Option<Box<Stream>>]) -> bool {
        let Some(listener) = stream(streams, slot) else { return false };
        listener.in_mix = false;
        if !listener.is_mix_listener() {
            return false;
        }
        if std::mem::take(&mut listener.parts) {
            self.mixer.hush(seat);
            return true;
        }
        if listener.lingers {
            return true;
        }
        // A sound of ours has this tick, or all until it is over.
        if std::mem::take(&mut listener.was_played) || listener.is_played_to() {
            return false;
        }
        listener.in_mix = true;
        let Some(mut joining) = listener.joining else { return true };
        joining.ticks += 1;
        let packets = stream(streams, joining.source)
            .and_then(|source| Some((source.seat?, source.said.as_ref()?.packets())));
        let is_new = packets.is_some_and(|(_, packets)| packets > joining.packets);
        let joins = is_new || packets.is_none() || joining.ticks > JOIN_TICKS;
        if let (true, Some((source, _))) = (is_new, packets) {
            self.mixer.welcome(seat, source);
        }
        if let Some(listener) = stream(streams, slot) {
            listener.joining = (!joins).then_some(joining);
            listener.in_mix = joins;
        }
        joins
    }

    /// Encodes the mixes and sends them; whether somebody left with this tick.
    fn speak(&mut self, stage: &mut Stage<'_>, sink: &mut impl Sink) -> bool {
        coder::assign(&mut self.coders, self.mixer.mixes());
        for coder in &mut self.coders {
            let Some(mix) = mix_of(coder, self.mixer.mixes()) else {
                coder.rest();
                continue;
            };
            let (users, units) = (coder.users & mix.listeners, coder.packet_units());
            for seat in seats(users) {
                let Seated::Stream(slot) = self.seats[seat] else { continue };
                let ending = stream(stage.streams, slot).and_then(|it| it.take_ending(stage.now));
                // Whoever shares an encoder begun by others hears a trace of the difference.
                if let Some(ending) = ending.filter(|_| coder.users.count_ones() == 1) {
                    coder.go_on_after(&ending);
                }
            }
            coder.say(mix.samples(), |payload| {
                for seat in seats(users) {
                    let Seated::Stream(slot) = self.seats[seat] else { continue };
                    if let Some(stream) = stream(stage.streams, slot) {
                        stream.speak_mix(stage.now, (Slot(slot), units), payload, sink);
                    }
                }
            });
        }
        let mut has_left = false;
        for (seat, seated) in self.seats.iter_mut().enumerate() {
            match *seated {
                Seated::Gone => {
                    self.mixer.vacate(seat);
                    *seated = Seated::Nobody;
                }
                Seated::Stream(slot) => {
                    if let Some(stream) = stream(stage.streams, slot) {
                        has_left |= std::mem::take(&mut stream.lingers);
                    }
                }
                Seated::Sound(_) | Seated::Nobody => {}
            }
        }
        has_left
    }
}

impl Playing {
    /// Fills the frame of a tick.
    fn fill(&mut self, sound: &Sound, rate: u32, frame: &mut [i16]) {
        let at = self.at;
        self.at = (at + 1) % sound.frames();
        match &mut self.resampler {
            None => match sound.pcm(rate, at) {
                Some(pcm) => frame.copy_from_slice(pcm),
                None => frame.fill(0),
            },
            Some(resampler) => {
                let made = match sound.pcm(resampler.from(), at) {
                    Some(pcm) => resampler.process(pcm, frame),
                    None => 0,
                };
                frame[made..].fill(0);
            }
        }
    }
}

impl Stream {
    /// It has no part in a mix.
    pub(super) fn leave_seat(&mut self) {
        (self.seat, self.said, self.joining, self.lingers) = (None, None, None, false);
        (self.in_mix, self.parts, self.was_played) = (false, false, false);
    }

    /// Whether it hears a mix, or the end of one.
    fn is_mix_listener(&self) -> bool {
        self.lingers || matches!(self.hear, Hear::Mix(_))
    }

    /// Sends a packet of a mix, `units` of the RTP clock long.
    fn speak_mix(
        &mut self,
        now: Time,
        (slot, units): (Slot, u32),
        payload: &[u8],
        sink: &mut impl Sink,
    ) {
        if self.is_dialling {
            return;
        }
        let Some(target) = self.rtp_target() else { return };
        let Some((own, _)) = own_codec(&self.config.payloads) else { return };
        self.goes_on_softly &= self.lingers;
        if payload.is_empty() {
            return self.sender.pause(units);
        }
        let header = self.sender.own_lasting(
            now,
            (own.send, own.clock_rate),
            payload.len(),
            Origin::MIX,
            units,
        );
        let mut packet = [0; HEADER_LEN + PAYLOAD_MAX];
        let packet = &mut packet[..HEADER_LEN + payload.len()];
        rtp::write_header(packet, &header);
        packet[HEADER_LEN..].copy_from_slice(payload);
        if !self.send(sink, (slot, Channel::Rtp), target, packet) {
            self.stats.send_failed += 1;
        }
    }
}

fn mixer(rate: u32) -> Mixer {
    Mixer::new(SEATS_MAX, rate, rate as usize / FRAMES_PER_SECOND, MixerSettings::default())
}
