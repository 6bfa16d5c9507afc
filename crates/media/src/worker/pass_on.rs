//! From a source to its hearers as packets arrive: relayed as they are where nothing is to be done
//! with them, else heard, cleaned and spoken again in the listener's codec.
//!
//! Which of the two is decided by packet; either way the listener sees one RTP session (INTEROP 6).

use base::Time;

use super::{Channel, Sink, Slot, Taken, Worker, stream};
use crate::codec::{SAMPLES_MAX, frames_remembered};
use crate::command::{Codec, KeyForm, MAX_PAYLOADS, Payload};
use crate::ear::{Ear, Heard, MadeFor, Position};
use crate::mouth::{Mouth, PAYLOAD_MAX, Spoken, own_codec};
use crate::record;
use crate::rtp::{self, DATAGRAM_MAX, HEADER_LEN, Header};
use crate::sender::{Origin, Relayed};
use crate::stream::Stream;

/// Set in the source number of what was spoken, so that it is another origin than what is relayed.
const SPOKEN: usize = 1 << (usize::BITS - 2);
/// Rate at which Opus is decoded for a recording alone, hertz.
const RECORDED_RATE: u32 = 16_000;
/// Rate at which Opus is decoded for its tones alone, hertz.
const TONES_RATE: u32 = 8000;
/// RFC 4733 §2.3: event, flags and volume, duration.
const EVENT_LEN: usize = 4;

impl Worker {
    /// Passes a packet on to all who hear its source.
    pub(super) fn pass_on(
        &mut self,
        now: Time,
        source: Slot,
        taken: &Taken,
        datagram: &mut [u8],
        sink: &mut impl Sink,
    ) {
        let is_kept = self.take_events(now, source, taken, datagram, sink);
        self.take_noise(now, source, taken, datagram, sink);
        let silence = self.end_noise(now, source, taken, sink);
        let heard = self.listen_in(now, source, taken, datagram, sink);
        self.mix_in(source, taken, datagram, heard);
        let is_noise = taken.codec == Codec::ComfortNoise;
        if is_noise {
            self.lower_noise(source, &mut datagram[taken.packet.payload.clone()]);
        }
        let Some(speaker) = stream(&mut self.streams, source.0) else { return };
        let has_tone = speaker.tone.is_some();
        let is_kept = is_kept || speaker.kept.is_sounding();
        // What is coded anew is taken in its order and at once.
        let is_late = taken.is_audio && !taken.in_order;
        let mut is_discarded = false;
        speaker.keep_tail(taken, datagram);
        for i in 0..speaker.hearers.len() {
            let Some(Some(speaker)) = self.streams.get(source.0) else { return };
            let slot = speaker.hearers[i];
            let ear = speaker.ear.as_ref();
            let processes = ear.is_some_and(|ear| ear.is_processing());
            let knows = ear.is_some_and(|ear| ear.knows(taken.packet.header.payload_type));
            let ahead = ear.and_then(|ear| ear.ahead(taken.packet.header.timestamp));
            let so_far = self.silence_so_far(source);
            // Who lingers gets this packet by the mix.
            let listener = stream(&mut self.streams, slot).filter(|it| !it.lingers);
            let Some(listener) = listener else { continue };
            let noise = listener.noise_payload(taken.clock_rate);
            let is_told = noise.is_some();
            let relayed = if is_noise { noise } else { listener.sent_payload(taken.key).copied() };
            let relayed_as_it_is = relayed.is_some() && !(heard.is_some() && processes);
            let is_muted = has_tone && listener.config.keys.form == KeyForm::Signalled;
            let is_interrupted = listener.is_dialling || is_muted || is_kept && taken.is_audio;
            let waits = relayed_as_it_is && listener.hears_an_end(taken);
            if is_interrupted || is_kept || waits || listener.is_played_to() {
                listener.sender.skip(taken.origin, taken.extended, taken.in_order);
                if let Some(mouth) = listener.mouth.as_mut().filter(|_| is_interrupted) {
                    mouth.leave();
                }
                continue;
            }
            let so_far = if is_told { so_far } else { 0 };
            // What was said is at its end before noise begins.
            let least = if is_noise { 0 } else { i32::MIN };
            let ahead = ahead.map(|ahead| ahead.saturating_add(so_far).max(least));
            let out = (&mut *sink, Slot(slot));
            match (heard, relayed) {
                (Some(heard), _) if processes || relayed.is_none() => {
                    let silence = silence.filter(|_| is_told);
                    let heard =
                        silence.map_or(heard, |silence| silence.before(heard, taken.clock_rate));
                    listener.speak(now, source, &heard, &self.samples, out);
                }
                // It hears it.
                (_, None) if is_noise && own_codec(&listener.config.payloads).is_some() => {}
                (None, _) if taken.is_audio && processes && knows => is_discarded |= is_late,
                (_, relayed) if !taken.is_audio && listener.by_mouth => {
                    listener.interject(now, source, taken, relayed, ahead, datagram, out);
                }
                (_, Some(payload)) => listener.relay(now, taken, &payload, datagram, out),
                (_, None) if !taken.is_audio => {
                    listener.relay_event(now, taken, datagram, out);
                }
                (_, None) => {
                    is_discarded |= is_late;
                    listener.leave_out(taken);
                }
            }
        }
        if is_discarded && let Some(speaker) = stream(&mut self.streams, source.0) {
            speaker.reception.discard(taken.origin.run, taken.extended);
        }
        self.end_lead_out(source.0);
    }

    /// Noise is removed no more, and the end of what was late has been heard: the ear is not needed.
    fn end_lead_out(&mut self, source: usize) {
        let speaker = self.streams.get(source).and_then(Option::as_deref);
        let ear = speaker.and_then(|speaker| speaker.ear.as_deref());
        if ear.is_some_and(Ear::has_led_out) {
            self.tune_source(source);
        }
    }

    /// Makes samples of a packet, when somebody needs them.
    fn listen_in(
        &mut self,
        now: Time,
        source: Slot,
        taken: &Taken,
        datagram: &[u8],
        sink: &mut impl Sink,
    ) -> Option<Heard> {
        let speaker = stream(&mut self.streams, source.0)?;
        let ear = speaker.ear.as_mut()?;
        let position = Position {
            run: taken.origin.run,
            extended: taken.extended,
            timestamp: taken.packet.header.timestamp,
        };
        let payload_type = taken.packet.header.payload_type;
        if !taken.in_order {
            return None; // what came after it has been spoken already
        }
        if !taken.is_audio || !ear.knows(payload_type) {
            ear.pass(position);
            return None;
        }
        let payload = &datagram[taken.packet.payload.clone()];
        let heard = ear.hear(payload_type, position, payload, &mut self.samples)?;
        let tones = ear.take_tones();
        let age = ear.age();
        let recording = speaker.own_recording();
        if let Some(recorder) = recording.and_then(|id| self.recorders.get_mut(&id)) {
            // What is repeated of a lost packet was said before this one.
            let early = if heard.is_repeated() { heard.front } else { 0 } as u64;
            let early = early * u64::from(taken.clock_rate) / u64::from(heard.rate);
            let said = record::Heard {
                stream: speaker.id,
                timestamp: position.timestamp.wrapping_sub(early as u32),
                clock: record::Clock::Peer(position.run),
                clock_rate: taken.clock_rate,
                rate: heard.rate,
                pcm: &self.samples[heard.said()],
                age,
            };
            recorder.hear(now, &said);
        }
        if let Some(tones) = tones {
            self.take_tones(now, source, tones, sink);
        }
        Some(heard)
    }

    /// Gives a source an ear, and those who hear it a mouth, when they need one; takes them away
    /// when they do not. What is there already and fits goes on.
    pub(super) fn retune(&mut self, slot: usize) {
        self.tune_source(slot);
        self.tune_tail(slot);
        let source = stream(&mut self.streams, slot).and_then(|stream| stream.source);
        if let Some(source) = source {
            self.tune_source(source);
            self.tune_tail(source);
        }
    }

    fn tune_source(&mut self, slot: usize) {
        let Some(Some(source)) = self.streams.get(slot) else { return };
        let hearers = source.hearers.iter().filter_map(|&slot| self.streams.get(slot)?.as_ref());
        let mut rate = 0;
        let mut transcodes = false;
        for hearer in hearers {
            let own = own_codec(&hearer.config.payloads);
            rate = own.map_or(rate, |(_, format)| rate.max(format.sample_rate));
            let lacks = |payload: &Payload| {
                payload.codec.is_audio() && hearer.sent_payload(payload.key).is_none()
            };
            transcodes |= source.config.payloads.iter().any(lacks);
        }
        let noise = source.config.noise_removal;
        // What is mixed is recorded there.
        let is_recorded = source.recording.is_some() && source.said.is_none();
        // Noise is removed here, whoever hears the source.
        let mixed_rate = source.said.as_ref().filter(|_| noise.is_some()).map(|said| said.rate());
        let rate = rate.max(mixed_rate.unwrap_or(0));
        let speaks = rate > 0 && (noise.is_some() || transcodes);
        let in_band = source.config.keys.in_band;
        // Where nobody needs another, the rate is that of the peer's own codec, or the least.
        let rate = if is_recorded { rate.max(RECORDED_RATE) } else { rate };
        let rate = if in_band { rate.max(TONES_RATE) } else { rate };
        let wanted = MadeFor {
            payloads: source.config.payloads.clone(),
            rate,
            noise: noise.map(|noise| noise.settings),
            in_band,
        };
        let Some(source) = stream(&mut self.streams, slot) else { return };
        let is_ending = rate > 0 && source.ear.as_mut().is_some_and(|ear| ear.lead_out(&wanted));
        let speaks = speaks || is_ending;
        if is_ending {
            // Its hearers hear the end of what is late first.
        } else if !speaks && !is_recorded && !in_band {
            source.ear = None;
        } else if source.ear.as_ref().is_none_or(|ear| !ear.is_for(&wanted)) {
            source.listen_anew(wanted);
        }
        if let (Some(ear), Some(noise)) = (&mut source.ear, noise) {
            ear.set_noise_removal(noise);
        }
        let from_rate = source.ear.as_ref().filter(|_| speaks).map(|ear| ear.rate());
        source.order.is_needed = from_rate.is_some();
        for i in 0..source.hearers.len() {
            let Some(Some(source)) = self.streams.get(slot) else { return };
            let hearer = source.hearers[i];
            let Some(it) = stream(&mut self.streams, hearer) else { continue };
            if !it.mouth_changes(from_rate) {
                continue;
            }
            // What is relayed, with noise of ours in between, goes on without a mouth.
            if from_rate.is_some() || it.by_mouth {
                self.die_away(hearer);
            }
            if let Some(hearer) = stream(&mut self.streams, hearer) {
                hearer.tune_mouth(from_rate);
            }
        }
    }
}

impl Stream {
    /// What it says is remembered for the end of it.
    fn keep_tail(&mut self, taken: &Taken, datagram: &[u8]) {
        if let Some(tail) = self.tail.as_mut().filter(|_| taken.is_audio && taken.in_order) {
            let header = &taken.packet.header;
            tail.hear(header.payload_type, &datagram[taken.packet.payload.clone()]);
        }
    }

    /// Whether another sound is at its end, which a codec with a memory cannot have in its packets.
    fn hears_an_end(&self, taken: &Taken) -> bool {
        taken.is_audio && self.ending.is_some() && frames_remembered(taken.codec) > 0
    }

    /// Another ear, which goes on where the one before was.
    fn listen_anew(&mut self, wanted: MadeFor) {
        let old = self.ear.take();
        self.ear = Ear::new(wanted).map(Box::new);
        match (&mut self.ear, old) {
            (Some(new), Some(old)) => new.take_over(*old),
            (Some(new), None) if self.reception.received() > 0 => new.lead_in(),
            (Some(_) | None, _) => {}
        }
    }

    /// Whether it needs another mouth for a source at this rate, or none any more.
    fn mouth_changes(&self, from_rate: Option<u32>) -> bool {
        match (from_rate, &self.mouth) {
            (Some(rate), Some(mouth)) => !mouth.is_for(self.payloads(), self.config.opus, rate),
            (Some(_), None) | (None, Some(_)) => true,
            (None, None) => false,
        }
    }

    fn payloads(&self) -> &[Payload] {
        &self.config.payloads[..self.config.payloads.len().min(MAX_PAYLOADS)]
    }

    fn tune_mouth(&mut self, from_rate: Option<u32>) {
        match from_rate {
            Some(rate) => {
                let opus = self.config.opus;
                self.mouth = Mouth::new(self.payloads(), opus, rate).map(Box::new);
                let loss = self.expected_loss();
                self.mouth.iter_mut().for_each(|mouth| mouth.expect_loss(loss));
            }
            None => {
                self.mouth = None;
                self.by_mouth = false;
            }
        }
    }

    /// Passes a packet on as it is, under our numbers.
    fn relay(
        &mut self,
        now: Time,
        taken: &Taken,
        payload: &Payload,
        datagram: &mut [u8],
        (sink, slot): (&mut impl Sink, Slot),
    ) {
        let Some(target) = self.rtp_target() else { return };
        let relayed = Relayed {
            origin: taken.origin,
            extended: taken.extended,
            in_order: taken.in_order,
            header: taken.packet.header,
            payload_type: payload.send,
            clock_rate: payload.clock_rate,
            is_audio: taken.is_audio,
            payload_len: taken.packet.payload.len(),
        };
        self.by_mouth &= !taken.is_audio;
        if let Some(mouth) = self.mouth.as_mut().filter(|_| taken.is_audio) {
            mouth.leave();
        }
        let is_next = taken.is_audio && taken.in_order;
        let joined = is_next.then(|| self.join_relayed(now, taken, datagram)).flatten();
        let Some(header) = self.sender.relay(now, &relayed) else { return };
        let mut buffer;
        let out = match &joined {
            None => rtp::rewrite(datagram, &taken.packet.payload, &header),
            Some(joined) => {
                // Others hear it as it is.
                buffer = [0; DATAGRAM_MAX];
                let packet = &mut buffer[..HEADER_LEN + joined.payload().len()];
                rtp::write_header(packet, &header);
                packet[HEADER_LEN..].copy_from_slice(joined.payload());
                packet
            }
        };
        if !self.send(sink, (slot, Channel::Rtp), target, out) {
            self.stats.send_failed += 1;
        }
    }

    /// Says what an ear has heard in the listener's own codec.
    pub(super) fn speak(
        &mut self,
        now: Time,
        source: Slot,
        heard: &Heard,
        samples: &[i16; SAMPLES_MAX],
        (sink, slot): (&mut impl Sink, Slot),
    ) {
        let Some(target) = self.rtp_target() else {
            self.stats.unmapped_dropped += 1;
            self.mouth.iter_mut().for_each(|mouth| mouth.leave());
            return;
        };
        let Some(mut mouth) = self.mouth.take() else {
            self.stats.unmapped_dropped += 1;
            return;
        };
        self.by_mouth = true;
        let ending = self.take_ending(now);
        if std::mem::take(&mut self.goes_on_softly) || ending.is_some() {
            mouth.begin_softly(ending);
        }
        let payload = *mouth.payload();
        mouth.say(heard, &samples[heard.said()], &mut |spoken, bytes| {
            let Some(header) = self.number(now, source, &spoken, &payload, true, bytes.len())
            else {
                return;
            };
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

    /// Passes on a packet that is no audio, in time with what the mouth says.
    #[expect(clippy::too_many_arguments)]
    fn interject(
        &mut self,
        now: Time,
        source: Slot,
        taken: &Taken,
        mapped: Option<Payload>,
        ahead: Option<i32>,
        datagram: &mut [u8],
        (sink, slot): (&mut impl Sink, Slot),
    ) {
        let clock_rate = self.mouth.as_ref().map_or(0, |mouth| mouth.payload().clock_rate);
        let payload = self.event_payload(taken, clock_rate, mapped);
        let (Some(target), Some(mouth), Some(payload)) =
            (self.rtp_target(), self.mouth.as_mut(), payload)
        else {
            self.stats.unmapped_dropped += 1;
            return;
        };
        let marker = taken.packet.header.marker;
        let spoken = mouth.aside(ahead.unwrap_or(0), taken.clock_rate, marker);
        let len = taken.packet.payload.len();
        let numbered = Payload { clock_rate, ..payload };
        let Some(header) = self.number(now, source, &spoken, &numbered, false, len) else { return };
        let event = taken.packet.payload.clone();
        let original = scale_duration(&mut datagram[event.clone()], taken, payload.clock_rate);
        let out = rtp::rewrite(datagram, &event, &header);
        if !self.send(sink, (slot, Channel::Rtp), target, out) {
            self.stats.send_failed += 1;
        }
        restore(&mut datagram[event], original);
    }

    /// Passes on an event whose clock the listener does not have in one that it has.
    fn relay_event(
        &mut self,
        now: Time,
        taken: &Taken,
        datagram: &mut [u8],
        out: (&mut impl Sink, Slot),
    ) {
        match self.event_payload(taken, taken.clock_rate, None) {
            Some(payload) => {
                let event = taken.packet.payload.clone();
                let original =
                    scale_duration(&mut datagram[event.clone()], taken, payload.clock_rate);
                // The timestamp is that of the audio beside it, and so is its clock.
                let payload = Payload { clock_rate: taken.clock_rate, ..payload };
                self.relay(now, taken, &payload, datagram, out);
                restore(&mut datagram[event], original);
            }
            None => self.leave_out(taken),
        }
    }

    /// The listener's number for telephone events: those with the clock of the audio beside them
    /// (RFC 4733 §2.1, INTEROP 5), else those the peer's are mapped to, else any.
    fn event_payload(
        &self,
        taken: &Taken,
        clock_rate: u32,
        mapped: Option<Payload>,
    ) -> Option<Payload> {
        if taken.codec != Codec::TelephoneEvent {
            return mapped;
        }
        let events =
            || self.config.payloads.iter().filter(|it| it.codec == Codec::TelephoneEvent).copied();
        let in_clock = events().find(|payload| payload.clock_rate == clock_rate);
        in_clock.or(mapped).or_else(|| events().next())
    }

    fn leave_out(&mut self, taken: &Taken) {
        if self.rtp_target().is_some() {
            self.stats.unmapped_dropped += 1;
            self.sender.skip(taken.origin, taken.extended, taken.in_order);
        }
    }

    /// Our numbers for what the mouth says.
    fn number(
        &mut self,
        now: Time,
        source: Slot,
        spoken: &Spoken,
        payload: &Payload,
        is_audio: bool,
        payload_len: usize,
    ) -> Option<Header> {
        let header = Header {
            marker: spoken.marker,
            payload_type: payload.send,
            sequence: spoken.extended as u16,
            timestamp: spoken.timestamp,
            ssrc: 0,
        };
        self.sender.relay(
            now,
            &Relayed {
                origin: Origin { source: source.0 | SPOKEN, run: spoken.run },
                extended: spoken.extended,
                in_order: true,
                header,
                payload_type: payload.send,
                clock_rate: payload.clock_rate,
                is_audio,
                payload_len,
            },
        )
    }
}

/// Changes the duration of an event to another clock; what it was, when it was changed.
fn scale_duration(event: &mut [u8], taken: &Taken, clock_rate: u32) -> Option<[u8; EVENT_LEN]> {
    if taken.codec != Codec::TelephoneEvent || taken.clock_rate == clock_rate {
        return None;
    }
    let event = event.first_chunk_mut::<EVENT_LEN>()?;
    let original = *event;
    let [_, _, high, low] = event;
    let duration = u64::from(u16::from_be_bytes([*high, *low]));
    let scaled = duration * u64::from(clock_rate) / u64::from(taken.clock_rate);
    [*high, *low] = u16::try_from(scaled).unwrap_or(u16::MAX).to_be_bytes();
    Some(original)
}

/// Others get an event as it came.
fn restore(event: &mut [u8], original: Option<[u8; EVENT_LEN]>) {
    if let (Some(event), Some(original)) = (event.first_chunk_mut::<EVENT_LEN>(), original) {
        *event = original;
    }
}
