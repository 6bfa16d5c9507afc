//! Keys pressed by a peer, told to the core; keys pressed towards a peer by the core, or by another
//! whose named events it cannot take.

use base::Time;

use super::fault::guarded;
use super::{Channel, Sink, Slot, Taken, Worker, stream};
use crate::command::{Codec, MediaEvent};
use crate::dialer::{Dialer, Dialled};
use crate::dtmf::{DtmfEvent, EventReceiver, Form, LOST_END, Signal, Signals};
use crate::mouth::PAYLOAD_MAX;
use crate::rtp::{self, HEADER_LEN, Header};
use crate::sender::{Origin, Relayed};
use crate::stream::{Stream, Tone};

impl Worker {
    /// Presses a key towards the peer of a stream, after those that are still being pressed.
    pub fn press(&mut self, slot: Slot, event: DtmfEvent) {
        self.dial(slot.0, Signal::Press(event));
    }

    /// Lets the keys of a peer pass again.
    pub fn pass_keys(&mut self, slot: Slot) {
        if let Some(stream) = stream(&mut self.streams, slot.0) {
            stream.kept.pass();
        }
    }

    /// Takes the events of a packet; the listeners that cannot get the packet hear tones. Whether
    /// nobody may get it.
    pub(super) fn take_events(
        &mut self,
        now: Time,
        source: Slot,
        taken: &Taken,
        datagram: &[u8],
        sink: &mut impl Sink,
    ) -> bool {
        if taken.codec != Codec::TelephoneEvent {
            return false;
        }
        let header = taken.packet.header;
        let payload = &datagram[taken.packet.payload.clone()];
        let sender = (header.ssrc, taken.clock_rate);
        self.end_keys_of_another(now, source.0, sender, sink);
        let Some(speaker) = stream(&mut self.streams, source.0) else { return false };
        let (_, keys) =
            speaker.keys.get_or_insert_with(|| (sender, EventReceiver::new(taken.clock_rate)));
        let signals = keys.packet(now, header.timestamp, header.marker, payload);
        let is_down = keys.pressed().is_some();
        if is_down && !self.pressing.contains(&source.0) {
            self.pressing.push(source.0);
        }
        let told = self.tell(now, source.0, Form::Events, signals, sink);
        let speaker = stream(&mut self.streams, source.0);
        speaker.is_some_and(|it| it.kept.keeps(header.timestamp, taken.clock_rate, told))
    }

    /// Events of another SSRC, or in another clock: beside their timestamps those of before mean
    /// nothing. Not of another run: some send events under an SSRC of their own, and each of them
    /// among the audio is a run.
    fn end_keys_of_another(
        &mut self,
        now: Time,
        source: usize,
        sender: (u32, u32),
        sink: &mut impl Sink,
    ) {
        let Some(speaker) = stream(&mut self.streams, source) else { return };
        let Some((known, keys)) = speaker.keys.as_mut().filter(|(known, _)| *known != sender)
        else {
            return;
        };
        let ended = keys.reset();
        if known.1 == sender.1 {
            *known = sender;
        } else {
            speaker.keys = None;
        }
        let mut signals = Signals::default();
        ended.into_iter().for_each(|signal| signals.push(signal));
        self.tell(now, source, Form::Events, signals, sink);
        if let Some(speaker) = stream(&mut self.streams, source) {
            speaker.kept.forget_packets();
        }
    }

    /// Takes the keys whose tones are in what a peer says; they are told as those of events are.
    pub(super) fn take_tones(
        &mut self,
        now: Time,
        source: Slot,
        signals: Signals,
        sink: &mut impl Sink,
    ) {
        let Some(speaker) = stream(&mut self.streams, source.0) else { return };
        if let Some(tone) = &mut speaker.tone {
            tone.heard = now;
        }
        for signal in signals {
            speaker.tone = match signal {
                Signal::Start { digit, volume_dbm0 } => {
                    Some(Tone { digit, volume_dbm0, since: now, heard: now })
                }
                Signal::End(_) | Signal::Press(_) => None,
            };
        }
        if speaker.tone.is_some() && !self.sounding.contains(&source.0) {
            self.sounding.push(source.0);
        }
        self.tell(now, source.0, Form::InBand, signals, sink);
    }

    /// Ends tones that broke off with the stream, or with what listened to them.
    fn tick_tones(&mut self, now: Time, sink: &mut impl Sink) {
        for i in (0..self.sounding.len()).rev() {
            self.guard_slot(self.sounding[i], |worker| worker.tick_tone(now, i, sink));
        }
    }

    fn tick_tone(&mut self, now: Time, i: usize, sink: &mut impl Sink) {
        let slot = self.sounding[i];
        let speaker = stream(&mut self.streams, slot);
        let Some((speaker, tone)) = speaker.and_then(|it| it.tone.map(|tone| (it, tone))) else {
            self.sounding.swap_remove(i);
            return;
        };
        let ear = speaker.ear.as_mut().filter(|ear| ear.hears_tones());
        if ear.is_some() && now - tone.heard < LOST_END {
            return;
        }
        ear.into_iter().for_each(|ear| ear.forget_tones());
        speaker.tone = None;
        self.sounding.swap_remove(i);
        let duration = tone.heard - tone.since;
        let mut signals = Signals::default();
        signals.push(Signal::End(DtmfEvent {
            digit: tone.digit,
            duration_ms: u32::try_from(duration.as_millis()).unwrap_or(u32::MAX),
            volume_dbm0: tone.volume_dbm0,
        }));
        self.tell(now, slot, Form::InBand, signals, sink);
    }

    /// Ends presses whose end was lost, and goes on with those of our own.
    pub(super) fn tick_keys(&mut self, now: Time, sink: &mut impl Sink) {
        self.tick_tones(now, sink);
        for i in (0..self.pressing.len()).rev() {
            self.guard_slot(self.pressing[i], |worker| worker.tick_press(now, i, sink));
        }
        for i in (0..self.dialling.len()).rev() {
            let slot = self.dialling[i];
            let goes_on = stream(&mut self.streams, slot).and_then(|stream| {
                guarded(&mut self.faulty, stream.bridge, || stream.dial(now, Slot(slot), sink))
            });
            if goes_on != Some(true) {
                self.dialling.swap_remove(i);
            }
        }
    }

    fn tick_press(&mut self, now: Time, i: usize, sink: &mut impl Sink) {
        let slot = self.pressing[i];
        let keys = stream(&mut self.streams, slot).and_then(|stream| stream.keys.as_mut());
        let ended = keys.and_then(|(_, keys)| {
            let ended = keys.tick(now);
            (ended.is_some() || keys.pressed().is_none()).then_some(ended)
        });
        if let Some(ended) = ended {
            self.pressing.swap_remove(i);
            let mut signals = Signals::default();
            ended.into_iter().for_each(|signal| signals.push(signal));
            self.tell(now, slot, Form::Events, signals, sink);
        } else if stream(&mut self.streams, slot).is_none() {
            self.pressing.swap_remove(i);
        }
    }

    /// Tells the core, and the listeners that do not get the keys with what they hear: tones those
    /// without events, events those who hear tones that are cut off. Whether one of them is kept:
    /// the core alone is told of that.
    fn tell(
        &mut self,
        now: Time,
        source: usize,
        form: Form,
        signals: Signals,
        sink: &mut impl Sink,
    ) -> bool {
        let mut keeps = false;
        for signal in signals {
            let Some(speaker) = stream(&mut self.streams, source) else { return keeps };
            let kept = speaker.kept.takes(now, speaker.config.keys.kept, form, signal);
            keeps |= kept;
            match signal {
                Signal::End(event) | Signal::Press(event) => {
                    sink.event(MediaEvent::Dtmf { stream: speaker.id, event, form, kept });
                }
                Signal::Start { .. } => {}
            }
            if !kept {
                self.tell_hearers(source, form, signal);
            }
        }
        keeps
    }

    fn tell_hearers(&mut self, source: usize, form: Form, signal: Signal) {
        for hearer in self.mix_hearers(source).into_iter().flatten() {
            let dialer = stream(&mut self.streams, hearer).and_then(|it| it.dialer.as_ref());
            // Tones in the speech are in the mix already.
            if form != Form::InBand || dialer.is_some_and(|dialer| dialer.has_events()) {
                self.dial(hearer, signal);
            }
        }
        let hearers = stream(&mut self.streams, source).map_or(0, |it| it.hearers.len());
        for i in 0..hearers {
            let Some(Some(speaker)) = self.streams.get(source) else { return };
            let hearer = speaker.hearers[i];
            let dialer = stream(&mut self.streams, hearer).and_then(|it| it.dialer.as_deref());
            let gets_tones = form == Form::InBand;
            let is_dialled =
                |it: &Dialer| it.has_events() == gets_tones || !gets_tones && it.queues(signal);
            if dialer.is_some_and(is_dialled) {
                self.dial(hearer, signal);
            }
        }
    }

    fn dial(&mut self, slot: usize, signal: Signal) {
        let Some(stream) = stream(&mut self.streams, slot) else { return };
        let Some(dialer) = &mut stream.dialer else { return };
        dialer.signal(signal);
        if !stream.is_dialling {
            stream.is_dialling = true;
            self.dialling.push(slot);
        }
    }
}

impl Stream {
    /// Makes the dialer that the agreed payloads ask for; a press in progress ends with another.
    pub(crate) fn tune_dialer(&mut self) {
        let payloads = &self.config.payloads;
        let form = self.config.keys.form;
        if self.dialer.as_ref().is_none_or(|dialer| !dialer.is_for(payloads, form)) {
            self.dialer = Dialer::new(payloads, form).map(Box::new);
        }
    }

    /// One tick of what is pressed towards the peer; false when that is over.
    fn dial(&mut self, now: Time, slot: Slot, sink: &mut impl Sink) -> bool {
        let Some(target) = self.rtp_target() else {
            // What is pressed waits for the path to the peer; for one on hold it is too late then.
            if !self.config.send || self.config.path.is_none() {
                self.is_dialling = false;
                self.dialer = None;
                self.tune_dialer();
            }
            return self.is_dialling;
        };
        let Some(mut dialer) = self.dialer.take() else {
            self.is_dialling = false;
            return false;
        };
        let mut buffer = [0; PAYLOAD_MAX];
        let payload = *dialer.payload();
        let (bytes, header) = match dialer.step(now, &mut buffer) {
            Some(Dialled::Event(packet)) => {
                let length = packet.payload.len();
                buffer[..length].copy_from_slice(&packet.payload);
                self.dialled += 1;
                let header = Header {
                    marker: packet.marker,
                    payload_type: payload.send,
                    sequence: 0,
                    timestamp: packet.timestamp,
                    ssrc: 0,
                };
                let relayed = Relayed {
                    origin: Origin::KEYS,
                    extended: self.dialled,
                    in_order: true,
                    header,
                    payload_type: payload.send,
                    clock_rate: payload.clock_rate,
                    is_audio: false,
                    payload_len: length,
                };
                (length, self.sender.relay(now, &relayed))
            }
            Some(Dialled::Tone(tone)) => {
                let (length, clock_rate) = (tone.len(), payload.clock_rate);
                let header = self.sender.own(now, payload.send, clock_rate, length, Origin::TONES);
                (length, Some(header))
            }
            None => (0, None),
        };
        if let Some(header) = header {
            let mut packet = [0; HEADER_LEN + PAYLOAD_MAX];
            rtp::write_header(&mut packet, &header);
            packet[HEADER_LEN..][..bytes].copy_from_slice(&buffer[..bytes]);
            if !self.send(sink, (slot, Channel::Rtp), target, &packet[..HEADER_LEN + bytes]) {
                self.stats.send_failed += 1;
            }
        }
        self.is_dialling = !dialer.is_idle();
        if !self.is_dialling {
            self.sender.cut();
        }
        self.dialer = Some(dialer);
        self.is_dialling
    }
}
