//! Who hears whom. Derived from the state of the call after every step, never stored.
//!
//! | situation | customer hears | primary hears | consulted hears | supervisor hears |
//! |---|---|---|---|---|
//! | talking | primary | customer | – | – |
//! | held | hold sound | silence | – | – |
//! | consulting | hold sound | consulted | primary | – |
//! | consult on hold | primary | customer | hold sound | – |
//! | conference | all others | all others | all others | – |
//! | monitored | primary | customer | – | customer + primary |
//! | whispered | primary | customer + supervisor | – | customer + primary |

use crate::attempt::Purpose;
use crate::consult::{Consult, Facing};
use crate::control::MonitorMode;
use crate::participant::{ParticipantId, Role};
use crate::topology::Place;
use crate::{Call, Leg, LegId, Participant, Presence};

/// Legs that one listener hears at once, at most: seven others and a supervisor.
pub const HEARD_MAX: usize = 8;

/// A few legs, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegSet {
    legs: [LegId; HEARD_MAX],
    len: usize,
}

impl LegSet {
    /// Nobody.
    pub const EMPTY: Self = Self { legs: [LegId(0); HEARD_MAX], len: 0 };

    /// The legs.
    pub fn legs(&self) -> &[LegId] {
        &self.legs[..self.len]
    }

    fn add(&mut self, leg: LegId) {
        let at = self.legs().partition_point(|one| *one < leg);
        if self.legs().get(at) == Some(&leg) || self.len == HEARD_MAX {
            debug_assert!(self.len < HEARD_MAX, "too many voices");
            return;
        }
        self.legs.copy_within(at..self.len, at + 1);
        self.legs[at] = leg;
        self.len += 1;
    }
}

impl FromIterator<LegId> for LegSet {
    fn from_iter<I: IntoIterator<Item = LegId>>(legs: I) -> Self {
        let mut set = Self::EMPTY;
        legs.into_iter().for_each(|leg| set.add(leg));
        set
    }
}

/// What one listener hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// Nothing is sent to it.
    Nothing,
    /// These legs, at least one.
    Legs(LegSet),
    /// The sound of being held (music or silence, as configured).
    Hold,
    /// That somebody's phone rings.
    Ringback,
    /// Nobody says anything.
    Silence,
}

impl Hears {
    fn legs(set: LegSet, otherwise: Self) -> Self {
        if set.legs().is_empty() { otherwise } else { Self::Legs(set) }
    }

    fn leg(leg: LegId) -> Self {
        Self::Legs([leg].into_iter().collect())
    }
}

/// What every leg of `call` hears, in the order in which they came.
pub fn plan(call: &Call) -> impl Iterator<Item = (LegId, Hears)> + '_ {
    call.legs().iter().map(|leg| (leg.leg, hears(call, leg)))
}

fn hears(call: &Call, leg: &Leg) -> Hears {
    if call.is_ending() || leg.presence == Presence::Leaving {
        return Hears::Nothing;
    }
    if leg.presence < Presence::Connected {
        return early(call, leg);
    }
    let Some(me) = call.participant(leg.of) else {
        return Hears::Nothing;
    };
    if call.listening(me.id) != Some(leg.leg) {
        return Hears::Nothing; // its user is at the other line
    }
    match call.place(me) {
        Place::Main => in_main(call, me),
        Place::Consult => in_consult(call, me),
        Place::Watching => watching(call, me),
        Place::Aside => Hears::Silence,
        Place::Pending => Hears::Nothing,
    }
}

/// Before an answer: whoever dialled hears the phone that plays something; several may, the first
/// is heard.
fn early(call: &Call, leg: &Leg) -> Hears {
    let dialled = call.attempts().iter().find(|attempt| attempt.caller == Some(leg.leg));
    let playing = dialled.and_then(|dialled| playing(call, dialled.participant));
    playing.map_or(Hears::Nothing, Hears::leg)
}

fn playing(call: &Call, who: ParticipantId) -> Option<LegId> {
    let mut legs = call.legs().iter().filter(|leg| leg.of == who);
    legs.find(|leg| leg.presence == Presence::Early).map(|leg| leg.leg)
}

/// What somebody who waits for `who` hears of it.
fn progress(call: &Call, who: ParticipantId, otherwise: Hears) -> Hears {
    match playing(call, who) {
        Some(leg) => Hears::leg(leg),
        None if call.is_reached(who) => Hears::Ringback,
        None => otherwise,
    }
}

fn in_main(call: &Call, me: &Participant) -> Hears {
    if me.holds {
        return Hears::Silence;
    }
    let consult = call.consulting().copied();
    if consult.is_some_and(|c| c.hold_others && c.facing == Facing::Consulted) {
        return Hears::legs(advised(call, me, Place::Main).collect(), Hears::Hold); // F3
    }
    let others = call.others(me.id).filter(|one| speaks_in_main(call, one));
    let mut voices: LegSet = heard(call, others.clone());
    advised(call, me, Place::Main).for_each(|leg| voices.add(leg));
    if let Some(awaited) = call.awaited().filter(|_| others.clone().next().is_none()) {
        return Hears::legs(voices, progress(call, awaited.participant, Hears::Hold));
    }
    let first = call.attempts().iter().find(|attempt| attempt.purpose == Purpose::First);
    if let Some(first) = first {
        return progress(call, first.participant, Hears::Silence); // I5
    }
    let is_alone = call.others(me.id).next().is_none();
    let all_muted = others.clone().next().is_some();
    Hears::legs(voices, if is_alone || all_muted { Hears::Silence } else { Hears::Hold })
}

fn in_consult(call: &Call, me: &Participant) -> Hears {
    let Some(Consult { initiator, target, facing, .. }) = call.consulting().copied() else {
        return Hears::Nothing;
    };
    let other = if me.id == target { initiator } else { target };
    let Some(other) = call.participant(other) else {
        return Hears::Silence;
    };
    let is_here = other.joined.is_some()
        && call.ear(other.id).is_some()
        && (me.id != target || facing == Facing::Consulted);
    let voices = Some(other).filter(|_| is_here);
    let mut voices: LegSet = heard(call, voices.into_iter());
    advised(call, me, Place::Consult).for_each(|leg| voices.add(leg));
    let otherwise = match other.joined {
        None => progress(call, other.id, Hears::Silence),
        Some(_) if is_here => Hears::Silence, // muted
        Some(_) => Hears::Hold,
    };
    Hears::legs(voices, otherwise)
}

/// U0: whoever the agent is with, and the agent; nothing while the agent is away.
fn watching(call: &Call, me: &Participant) -> Hears {
    let agent = me.watch.and_then(|watch| call.participant(watch.agent));
    let Some(agent) = agent else {
        return Hears::Silence;
    };
    let place = call.place(agent);
    let is_there = match place {
        Place::Main => speaks_in_main(call, agent),
        Place::Consult => call.ear(agent.id).is_some(),
        Place::Pending | Place::Aside | Place::Watching => false,
    };
    if !is_there {
        return Hears::Silence;
    }
    let same = call.participants().iter().filter(|one| {
        one.role != Role::Supervisor
            && call.place(one) == place
            && (place != Place::Main || speaks_in_main(call, one))
    });
    Hears::legs(heard(call, same), Hears::Silence)
}

fn speaks_in_main(call: &Call, one: &Participant) -> bool {
    call.place(one) == Place::Main && !call.is_away(one)
}

/// The legs by which these are heard.
fn heard<'a>(call: &Call, who: impl Iterator<Item = &'a Participant>) -> LegSet {
    who.filter(|one| !one.muted).filter_map(|one| call.ear(one.id)).collect()
}

/// Supervisors whom `me` hears at this place: by whisper the agent only, by barge all.
fn advised<'a>(
    call: &'a Call,
    me: &'a Participant,
    place: Place,
) -> impl Iterator<Item = LegId> + 'a {
    let whispering = call.participants().iter().filter(move |one| {
        one.watch.is_some_and(|watch| {
            watch.mode == MonitorMode::Whisper && watch.agent == me.id && one.joined.is_some()
        })
    });
    let whispering = whispering.filter(|one| !one.muted).filter_map(|one| call.ear(one.id));
    let barging = barging(call, me, place);
    let barging: Vec<_> = barging.legs().to_vec();
    whispering.chain(barging)
}

fn barging(call: &Call, _me: &Participant, place: Place) -> LegSet {
    let barging = call.participants().iter().filter(|one| {
        one.joined.is_some()
            && one.watch.is_some_and(|watch| {
                watch.mode == MonitorMode::Barge
                    && call.participant(watch.agent).is_some_and(|agent| {
                        call.place(agent) == place
                            && call.ear(agent.id).is_some()
                            && (place != Place::Main || !agent.holds)
                    })
            })
    });
    heard(call, barging)
}
