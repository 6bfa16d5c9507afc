//! What becomes of the ways to peers that ICE finds and DTLS makes keys for.

use base::Time;
use call::{Cause, LegId};
use media::path::Event;

use super::Core;
use crate::io::Output;

impl Core {
    /// Something about the way to a leg's peer. Without a way, or without keys, there is no audio
    /// and never will be: the leg is lost, as that of a peer that fell silent (INTEROP 17).
    pub(super) fn path(&mut self, now: Time, id: LegId, event: &Event, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let call = leg.call();
        leg.path_told(event);
        match event {
            Event::Selected(to) => {
                tracing::info!(leg = %id, %to, "found by ICE");
                self.touch(call);
            }
            Event::Keyed(keys) => {
                tracing::info!(leg = %id, profile = ?keys.profile, "keys by DTLS");
                self.touch(call);
            }
            Event::ConsentLost => {
                tracing::info!(leg = %id, "no checks: orphan");
                self.lose_leg(now, id, Cause::TIMEOUT, out);
            }
            Event::Failed(failure) => {
                tracing::warn!(leg = %id, %failure, "no keys by DTLS");
                self.lose_leg(now, id, Cause::INCOMPATIBLE, out);
            }
        }
    }
}
