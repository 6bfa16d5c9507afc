//! A peer that sends nothing while it is silent, and has told how its silence sounds (RFC 3389).
//!
//! ```text
//! comfort noise ─▶ level as low as noise removal makes it (N4) ─┬▶ listeners that know it: as it is
//!                                                               └▶ all others: noise, tick by tick
//! ```
//! For those others, and for recordings, the noise is made here until speech comes again, so that
//! their packets never cease. A mix makes its own ([`crate::playout`]).

use std::time::Duration;

use base::Time;

use super::{Channel, Sink, Slot, Taken, Worker, stream};
use crate::codec::comfort_noise::ComfortNoise;
use crate::codec::{Format, RATES, SAMPLES_MAX};
use crate::command::{Codec, KeyForm, Payload};
use crate::ear::{Gap, Heard};
use crate::mouth::{Mouth, PAYLOAD_MAX};
use crate::record::{self, RecordingId};
use crate::rtp::{self, HEADER_LEN};
use crate::sender::Origin;
use crate::stream::Stream;

/// RFC 3551 §6: the static payload type of comfort noise at 8000 Hz.
const STATIC_NOISE: u8 = 13;
/// Pieces in which it is made: as long as a packet.
const PIECES_PER_SECOND: u32 = 50;
/// Pieces that are made up for at once, when a tick is late; what is beyond was a pause.
const LATE_PIECES: u64 = 4;
/// The run of what is heard between packets that are relayed; no ear counts so far.
const BETWEEN: u32 = u32::MAX;

/// The silence of one peer. Times are in units of the peer's clock.
pub(crate) struct Quiet {
    noise: ComfortNoise,
    is_on: bool,
    clock_rate: u32,
    /// When it began, and the timestamp of that.
    since: Time,
    timestamp: u32,
    /// Whose clock that is.
    run: u32,
    /// Time for which noise was made, or that was left out.
    made: u64,
    /// Of it, what those have heard, too, who know comfort noise: with it comes the end of what was
    /// said, with which noise removal is late.
    heard_by_all: u64,
    /// Time for which more was made than passed until speech came again: the next silence gives it
    /// back, so that listeners do not get later and later.
    surplus: u64,
}

/// A piece of noise.
#[derive(Clone, Copy)]
struct Piece {
    units: u64,
    gap: Gap,
    /// Whether those hear it, too, who know comfort noise.
    for_all: bool,
    /// Whether those do not hear it to whom the speech is relayed that follows at once.
    leads_over: bool,
}

/// What who was only told of a silence has not heard of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    units: u64,
}

impl Worker {
    /// Takes what a packet of comfort noise tells, and lets it be heard.
    pub(super) fn take_noise(
        &mut self,
        now: Time,
        slot: Slot,
        taken: &Taken,
        datagram: &[u8],
        sink: &mut impl Sink,
    ) {
        let is_noise = taken.codec == Codec::ComfortNoise && RATES.contains(&taken.clock_rate);
        if !is_noise || !taken.in_order {
            return;
        }
        let Some(speaker) = stream(&mut self.streams, slot.0) else { return };
        let quiet = speaker.quiet.get_or_insert_with(|| Box::new(Quiet::new(slot.0 as u32)));
        quiet.noise.update(&datagram[taken.packet.payload.clone()]);
        if quiet.is_on {
            return;
        }
        quiet.begin(now, taken);
        let surplus = quiet.made;
        let ear = speaker.ear.as_deref_mut();
        let processes = ear.is_some_and(|ear| {
            ear.wait(surplus, taken.clock_rate);
            ear.is_processing()
        });
        if !self.pausing.contains(&slot.0) {
            self.pausing.push(slot.0);
        }
        self.make_due_noise(now, slot, processes, sink);
    }

    /// Speech has come again: what is missing up to its packet is made.
    pub(super) fn end_noise(
        &mut self,
        now: Time,
        slot: Slot,
        taken: &Taken,
        sink: &mut impl Sink,
    ) -> Option<Silence> {
        let is_speech = taken.is_audio && taken.in_order;
        let speaker = stream(&mut self.streams, slot.0).filter(|_| is_speech)?;
        let quiet = speaker.quiet.as_deref().filter(|quiet| quiet.is_on)?;
        let piece = u64::from(quiet.clock_rate / PIECES_PER_SECOND);
        let is_same = quiet.clock_rate == taken.clock_rate;
        let ahead = speaker.ear.as_ref().filter(|_| is_same);
        let ahead = ahead.and_then(|ear| ear.ahead(taken.packet.header.timestamp));
        let missing = u64::try_from(ahead.unwrap_or(0)).unwrap_or(0);
        if self.is_noise_heard(slot) && missing <= LATE_PIECES * piece {
            let rest = Piece { units: missing, gap: Gap::None, for_all: false, leads_over: true };
            self.make_noise(now, slot, rest, sink);
        } else if let Some(Some(speaker)) = self.streams.get_mut(slot.0)
            && let (Some(ear), Some(quiet)) = (&mut speaker.ear, &mut speaker.quiet)
        {
            // What noise removal still holds is not the beginning of a word.
            let pcm = &mut self.samples[..ear.rate() as usize / PIECES_PER_SECOND as usize];
            quiet.noise.generate(pcm);
            ear.lower(pcm);
        }
        let quiet = stream(&mut self.streams, slot.0)?.quiet.as_deref_mut()?;
        quiet.is_on = false;
        let early = u64::from(ahead.unwrap_or(0).min(0).unsigned_abs());
        quiet.surplus = early.min(LATE_PIECES * piece);
        Some(Silence { units: (quiet.made - quiet.heard_by_all).saturating_sub(early) })
    }

    /// What who was only told of the silence of a peer has not heard of it so far, in units of its
    /// clock.
    pub(super) fn silence_so_far(&self, slot: Slot) -> i32 {
        let speaker = self.streams.get(slot.0).and_then(Option::as_deref);
        let quiet = speaker.and_then(|speaker| speaker.quiet.as_deref()).filter(|it| it.is_on);
        quiet.map_or(0, |quiet| i32::try_from(quiet.made - quiet.heard_by_all).unwrap_or(i32::MAX))
    }

    /// Brings comfort noise down to where noise removal brings noise (N4).
    pub(super) fn lower_noise(&self, slot: Slot, payload: &mut [u8]) {
        let Some(Some(speaker)) = self.streams.get(slot.0) else { return };
        let removal = speaker.config.noise_removal.filter(|removal| removal.enabled);
        let removes = speaker.ear.as_ref().is_some_and(|ear| ear.is_processing());
        if let (Some(removal), Some(level)) = (removal.filter(|_| removes), payload.first_mut()) {
            // RFC 3389 §3.1: the level in −dBov.
            *level = removal.settings.lowered(*level & 0x7f);
        }
    }

    /// Makes the noise of a tick for all whose peers are silent.
    pub(super) fn tick_noise(&mut self, now: Time, sink: &mut impl Sink) {
        for i in (0..self.pausing.len()).rev() {
            let slot = self.pausing[i];
            let speaker = stream(&mut self.streams, slot);
            let is_paused = speaker.is_some_and(|speaker| {
                let receives = speaker.config.receive;
                speaker.quiet.as_mut().is_some_and(|quiet| {
                    quiet.is_on &= receives;
                    quiet.is_on
                })
            });
            if is_paused {
                self.make_due_noise(now, Slot(slot), false, sink);
            } else {
                self.pausing.swap_remove(i);
            }
        }
    }

    /// Makes as much noise as time has passed, a piece ahead of it.
    fn make_due_noise(&mut self, now: Time, slot: Slot, for_all: bool, sink: &mut impl Sink) {
        // Keys are pressed instead of it, not beside it.
        let is_pressing = self.pressing.contains(&slot.0) || self.sounding.contains(&slot.0);
        if is_pressing || !(for_all || self.is_noise_heard(slot)) {
            return;
        }
        let mut gap = Gap::None;
        for _ in 0..=LATE_PIECES {
            let Some(Some(speaker)) = self.streams.get_mut(slot.0) else { return };
            let Some(quiet) = speaker.quiet.as_deref_mut() else { return };
            let units = u64::from(quiet.clock_rate / PIECES_PER_SECOND);
            let Some(behind) = quiet.elapsed(now).checked_sub(quiet.made) else { return };
            if behind >= LATE_PIECES * units {
                // Nobody listened, or a key was pressed: no reason to say it all now.
                let left_out = behind - behind % units;
                quiet.made += left_out;
                if let Some(ear) = &mut speaker.ear {
                    ear.wait(left_out, quiet.clock_rate);
                    let samples = left_out * u64::from(ear.rate()) / u64::from(quiet.clock_rate);
                    gap = Gap::Pause { samples };
                }
            }
            self.make_noise(now, slot, Piece { units, gap, for_all, leads_over: false }, sink);
            gap = Gap::None;
        }
    }

    /// Whether anybody needs the noise of a peer as sound.
    fn is_noise_heard(&self, slot: Slot) -> bool {
        let get = |slot: usize| self.streams.get(slot).and_then(Option::as_deref);
        let Some(speaker) = get(slot.0) else { return false };
        let Some(quiet) = &speaker.quiet else { return false };
        let mut hearers = speaker.hearers.iter().filter_map(|&hearer| get(hearer));
        speaker.own_recording().is_some()
            || hearers.any(|hearer| hearer.noise_payload(quiet.clock_rate).is_none())
    }

    /// Makes a piece of noise, and lets those hear it who do not know comfort noise.
    fn make_noise(&mut self, now: Time, slot: Slot, piece: Piece, sink: &mut impl Sink) {
        let speaker = stream(&mut self.streams, slot.0).filter(|_| piece.units > 0);
        let Some(speaker) = speaker else { return };
        let voice = speaker.last_payload();
        let rate = speaker.ear.as_ref().map(|ear| ear.rate()).or_else(|| rate_of(voice?));
        let (Some(rate), Some(quiet)) = (rate, speaker.quiet.as_deref_mut()) else { return };
        let clock_rate = quiet.clock_rate;
        let len = (piece.units * u64::from(rate) / u64::from(clock_rate)) as usize;
        let len = len.min(SAMPLES_MAX);
        let pcm = &mut self.samples[..len];
        quiet.noise.generate(pcm);
        let timestamp = quiet.timestamp.wrapping_add(quiet.made as u32);
        let clock = record::Clock::Peer(quiet.run);
        quiet.made += piece.units;
        quiet.heard_by_all += if piece.for_all { piece.units } else { 0 };
        let run = match &mut speaker.ear {
            Some(ear) => {
                ear.lower(pcm);
                ear.wait(piece.units, clock_rate);
                ear.run()
            }
            None => BETWEEN,
        };
        let recording = speaker.own_recording();
        if let Some(recorder) = recording.and_then(|id| self.recorders.get_mut(&id)) {
            let (stream, pcm) = (speaker.id, &self.samples[..len]);
            let age = speaker.ear.as_ref().map_or(Duration::ZERO, |ear| ear.age());
            let said = record::Heard { stream, timestamp, clock, clock_rate, rate, pcm, age };
            recorder.hear(now, &said);
        }
        let heard = Heard { gap: piece.gap, run, len, front: 0, rate };
        let processes = speaker.ear.as_ref().is_some_and(|ear| ear.is_processing());
        let has_tone = speaker.tone.is_some();
        for i in 0..speaker.hearers.len() {
            let Some(Some(speaker)) = self.streams.get(slot.0) else { return };
            let hearer = speaker.hearers[i];
            let Some(listener) = stream(&mut self.streams, hearer) else { continue };
            let is_muted = has_tone && listener.config.keys.form == KeyForm::Signalled;
            let is_told = !piece.for_all && listener.noise_payload(clock_rate).is_some();
            if listener.lingers || listener.is_dialling || is_muted || listener.is_played_to() {
                continue;
            }
            let out = (&mut *sink, Slot(hearer));
            let relayed = voice.and_then(|voice| listener.sent_payload(voice.key).copied());
            match relayed.filter(|_| !processes) {
                _ if is_told => {}
                None if listener.mouth.is_none() => {} // it understands nothing that we encode
                None => listener.speak(now, slot, &heard, &self.samples, out),
                Some(_) if piece.leads_over => {}
                Some(payload) => listener.speak_between(now, payload, &heard, &self.samples, out),
            }
        }
    }
}

impl Quiet {
    /// Whether the peer is silent just now.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    fn new(seed: u32) -> Self {
        Self {
            noise: ComfortNoise::new(seed),
            is_on: false,
            clock_rate: 8000,
            since: Time::ZERO,
            timestamp: 0,
            run: 0,
            made: 0,
            heard_by_all: 0,
            surplus: 0,
        }
    }

    fn begin(&mut self, now: Time, taken: &Taken) {
        self.noise.reset();
        self.is_on = true;
        self.clock_rate = taken.clock_rate;
        (self.since, self.timestamp) = (now, taken.packet.header.timestamp);
        self.run = taken.origin.run;
        self.made = std::mem::take(&mut self.surplus);
        self.heard_by_all = 0;
    }

    /// Units since it began.
    fn elapsed(&self, now: Time) -> u64 {
        let elapsed: Duration = now - self.since;
        (elapsed.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000) as u64
    }
}

impl Silence {
    /// What comes after it, as one hears it who was only told of comfort noise.
    pub(super) fn before(self, heard: Heard, clock_rate: u32) -> Heard {
        let missed = self.units * u64::from(heard.rate) / u64::from(clock_rate);
        let gap = match heard.gap {
            Gap::None if missed > 0 => Gap::Pause { samples: missed },
            Gap::Pause { samples } => Gap::Pause { samples: samples + missed },
            Gap::Lost { packets, samples } => Gap::Lost { packets, samples: samples + missed },
            Gap::None | Gap::Start => heard.gap,
        };
        Heard { gap, ..heard }
    }
}

impl Stream {
    /// Comfort noise that nobody agreed on, from a peer we know, beside a codec of its clock.
    pub(super) fn unasked_noise(&self, payload_type: u8) -> Option<Payload> {
        let beside = matches!(self.stats.codec, Some(Codec::Pcmu | Codec::Pcma | Codec::G722));
        let is_known = payload_type == STATIC_NOISE && self.rtp.source().is_some() && beside;
        let (send, receive) = (STATIC_NOISE, STATIC_NOISE);
        // No listener has this key: it is found by its codec.
        let payload =
            Payload { codec: Codec::ComfortNoise, key: u8::MAX, send, receive, clock_rate: 8000 };
        is_known.then_some(payload)
    }

    /// The payload under which it is told of comfort noise of this clock; `None`: it hears noise.
    pub(super) fn noise_payload(&self, clock_rate: u32) -> Option<Payload> {
        let mouth = self.mouth.as_ref().filter(|_| self.by_mouth);
        // RFC 3389 §4: its clock is that of the speech around it.
        let fits = mouth.is_none_or(|mouth| mouth.payload().clock_rate == clock_rate);
        let is_noise = |payload: &&Payload| {
            payload.codec == Codec::ComfortNoise && payload.clock_rate == clock_rate
        };
        self.config.payloads.iter().find(is_noise).copied().filter(|_| fits)
    }

    /// What records it, unless that is the mix.
    pub(super) fn own_recording(&self) -> Option<RecordingId> {
        self.recording.filter(|_| self.said.is_none())
    }

    /// What the peer spoke in last, or would first.
    fn last_payload(&self) -> Option<Payload> {
        let payloads = &self.config.payloads;
        let last = payloads.iter().find(|payload| Some(payload.codec) == self.stats.codec);
        last.or_else(|| payloads.iter().find(|payload| payload.codec.is_audio())).copied()
    }

    /// Says something in the codec in which it is passed on what was said before.
    fn speak_between(
        &mut self,
        now: Time,
        payload: Payload,
        heard: &Heard,
        samples: &[i16; SAMPLES_MAX],
        (sink, slot): (&mut impl Sink, Slot),
    ) {
        let Some(target) = self.rtp_target() else { return };
        if self.sender.is_ahead(now, payload.clock_rate) {
            return;
        }
        let opus = self.config.opus;
        let mouth = self.mouth.take().filter(|it| it.is_for(&[payload], opus, heard.rate));
        let mouth = mouth.or_else(|| Mouth::new(&[payload], opus, heard.rate).map(Box::new));
        let Some(mut mouth) = mouth else { return };
        self.by_mouth = false;
        let units = mouth.packet_units();
        mouth.say(heard, &samples[..heard.len], &mut |_, bytes| {
            let own = (payload.send, payload.clock_rate);
            let header = self.sender.own_lasting(now, own, bytes.len(), Origin::NOISE, units);
            let mut packet = [0; HEADER_LEN + PAYLOAD_MAX];
            let packet = &mut packet[..HEADER_LEN + bytes.len()];
            rtp::write_header(packet, &header);
            packet[HEADER_LEN..].copy_from_slice(bytes);
            if !self.send(sink, (slot, Channel::Rtp), target, packet) {
                self.stats.send_failed += 1;
            }
        });
        self.mouth = Some(mouth);
    }
}

fn rate_of(voice: Payload) -> Option<u32> {
    Some(Format::of(&voice).ok()?.sample_rate)
}
