//! Who hears whom. Derived from the state of the call after every step, never stored.

use crate::{Call, LegId, Presence, Side};

/// What one listener hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// Nothing is sent to it.
    Nothing,
    /// Another leg.
    Leg(LegId),
    /// The sound of being held (music or silence, as configured).
    Hold,
}

/// What every participant of `call` hears, in the order in which they joined.
pub fn plan(call: &Call) -> impl Iterator<Item = (LegId, Hears)> + '_ {
    call.participants().iter().map(|listener| (listener.leg, hears(call, listener.leg)))
}

fn hears(call: &Call, listener: LegId) -> Hears {
    let Some(me) = call.participant(listener) else { return Hears::Nothing };
    let other = call.participants().iter().filter(|other| other.side != me.side);
    // A callee in early media is heard by the caller only; several may be at it: the first is.
    let source = match me.presence {
        Presence::Connected => other.clone().find(|other| other.presence == Presence::Connected),
        Presence::Invited | Presence::Ringing | Presence::Early if me.side == Side::Caller => {
            other.clone().find(|other| other.presence == Presence::Early)
        }
        Presence::Invited | Presence::Ringing | Presence::Early | Presence::Leaving => None,
    };
    match source {
        Some(source) if source.holds => Hears::Hold, // H1: music from us, whatever the phone sends
        Some(source) => Hears::Leg(source.leg),
        None => Hears::Nothing,
    }
}
