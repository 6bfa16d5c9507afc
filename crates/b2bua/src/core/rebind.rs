//! Ports that somebody else holds: a leg gets others before its far end counts on them.
//!
//! The core hands ports out and the engine binds them a moment later. By then a caller has been told
//! nothing: its leg moves. A phone has got the offer already: its leg is cancelled, and a new one
//! takes its place. Where that is too late, or descriptors are lacking, the leg is given up.

use base::Time;
use call::{Cause, LegEvent, LegId};

use super::Core;
use crate::io::Output;

impl Core {
    /// The sockets of a leg could not be opened; `taken`: because of their ports.
    pub(super) fn bind_failed(&mut self, now: Time, id: LegId, taken: bool, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if taken {
            leg.media_failed();
        }
        if taken && (self.move_leg(now, id, out) || self.place_anew(now, id, out)) {
            return;
        }
        self.lose_leg(now, id, Cause::CONGESTION, out);
    }

    /// Opens the stream of a leg at other ports; false: it cannot move.
    fn move_leg(&mut self, now: Time, id: LegId, out: &mut Vec<Output>) -> bool {
        let Some(ports) = self.ports.take(now) else { return false };
        let Some(mut leg) = self.legs.remove(&id) else { return false };
        let old = leg.media().ports;
        let moved = leg.move_media(ports);
        if moved {
            self.ports.is_foreign(now, old);
            self.open_stream(&leg, out);
            if let Some(state) = self.calls.get_mut(&leg.call()) {
                let stream = Self::stream_of(id);
                state.hearing.retain(|(listener, _)| *listener != stream);
            }
            self.touch(leg.call());
        } else {
            self.ports.give_back(now, ports);
        }
        self.legs.insert(id, leg);
        moved
    }

    /// Places a leg that takes the place of this one; false: it cannot be.
    fn place_anew(&mut self, now: Time, id: LegId, out: &mut Vec<Output>) -> bool {
        let Some(leg) = self.legs.get(&id) else { return false };
        let (call, party, rebinds) = (leg.call(), leg.party().clone(), leg.rebinds());
        let Some(way) = leg.way_anew() else { return false };
        let attempt = self.calls.get(&call).and_then(|state| state.call.attempt_for(id));
        let placed = attempt.map(|attempt| self.place(now, (call, attempt), party, way, out));
        let Some(Ok(new)) = placed else { return false };
        self.counts_instead(call, id, new);
        if let Some(new) = self.legs.get_mut(&new) {
            new.replaces(rebinds);
        }
        self.lose_leg(now, id, Cause::CONGESTION, out);
        true
    }

    /// Gives up a leg, and no other.
    pub(super) fn lose_leg(&mut self, now: Time, id: LegId, cause: Cause, out: &mut Vec<Output>) {
        let Some(call) = self.legs.get(&id).map(crate::sip_leg::SipLeg::call) else { return };
        self.with_leg(now, id, out, |leg, cx| leg.release(cause, false, cx));
        self.with_call(now, call, out, |state, now, commands| {
            state.call.handle(now, id, LegEvent::Lost(cause), commands);
        });
    }
}
