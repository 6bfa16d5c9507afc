//! Sounds played once to one listener, instead of what it hears otherwise: announcements, beeps.

use base::Time;

use super::{Channel, Sink, Slot, Worker, stream};
use crate::command::MediaEvent;
use crate::player::FRAME_BYTES_MAX;
use crate::rtp::{self, HEADER_LEN};
use crate::sender::Origin;
use crate::sound::SoundId;
use crate::stream::Stream;

impl Worker {
    /// Plays a sound once, after those that wait. One that is not there, or for which there is no
    /// room, is over at once.
    pub fn announce(&mut self, slot: Slot, sound: SoundId, sink: &mut impl Sink) {
        let known = self.sounds.get(sound).cloned();
        let Some(stream) = stream(&mut self.streams, slot.0) else { return };
        let taken = known.is_some_and(|known| {
            stream.announcements.get_or_insert_default().announce(sound, known)
        });
        if !taken {
            sink.event(MediaEvent::Announced { stream: stream.id, sound });
        } else if !self.announcing.contains(&slot.0) {
            self.announcing.push(slot.0);
        }
    }

    /// Leaves out what is announced and not over.
    pub fn hush(&mut self, slot: Slot, sink: &mut impl Sink) {
        self.announcing.retain(|announcing| *announcing != slot.0);
        let Some(stream) = stream(&mut self.streams, slot.0) else { return };
        let Some(mut playlist) = stream.announcements.take() else { return };
        for sound in playlist.hush() {
            sink.event(MediaEvent::Announced { stream: stream.id, sound });
        }
        stream.sender.cut();
    }

    pub(super) fn tick_announcements(&mut self, now: Time, sink: &mut impl Sink) {
        for i in (0..self.announcing.len()).rev() {
            let slot = self.announcing[i];
            let goes_on = stream(&mut self.streams, slot)
                .is_some_and(|stream| stream.play_announcement(now, Slot(slot), sink));
            if !goes_on {
                self.announcing.swap_remove(i);
            }
        }
    }
}

impl Stream {
    /// The next 20 ms; false when nothing more is announced. Time passes for who may not be sent
    /// anything, too: a call that waits for the end of an announcement must not wait for ever.
    fn play_announcement(&mut self, now: Time, slot: Slot, sink: &mut impl Sink) -> bool {
        let Some(mut playlist) = self.announcements.take() else { return false };
        let Some(frame) = playlist.next_frame() else {
            self.sender.cut();
            return false;
        };
        let payload = self.own_payload().copied().filter(|_| !self.is_dialling);
        let sent = self.rtp_target().zip(payload).and_then(|(target, payload)| {
            Some((target, payload, frame.sound.frame(payload.codec, frame.index)?))
        });
        if let Some((target, payload, bytes)) = sent {
            let origin = Origin::ANNOUNCEMENT;
            let header =
                self.sender.own(now, payload.send, payload.clock_rate, bytes.len(), origin);
            let mut packet = [0; HEADER_LEN + FRAME_BYTES_MAX];
            let packet = &mut packet[..HEADER_LEN + bytes.len()];
            rtp::write_header(packet, &header);
            packet[HEADER_LEN..].copy_from_slice(bytes);
            if !self.send(sink, (slot, Channel::Rtp), target, packet) {
                self.stats.send_failed += 1;
            }
        }
        if frame.is_last {
            sink.event(MediaEvent::Announced { stream: self.id, sound: frame.id });
        }
        self.announcements = Some(playlist);
        true
    }
}
