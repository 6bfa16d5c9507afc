//! What can happen in a random world: a closed list, drawn from the seed.

use std::time::Duration;

use base::Rng;
use media::command::StreamId;

use crate::attacker::{ATTACKS, Attack, FORBIDDEN};
use crate::net::Link;
use crate::script::{Codecs, Placing, pick};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A peer places a call.
    Call(usize, Placing),
    /// A peer stops answering.
    Die(usize),
    /// It comes back, as after a restart.
    Revive(usize),
    /// Its network changes, in both directions.
    Network(usize, Link),
    /// Its connection breaks.
    Disconnect(usize),
    /// Somebody tries something.
    Attack(Attack),
    /// The next RTP socket cannot be bound.
    BindFails,
    /// The media engine hears nothing of one peer any more.
    AudioLost,
    /// Somebody asks for something by the API, drawn from this seed.
    Ask(u64),
    /// Somebody begins to dial during a call, drawn from this seed.
    Dial(u64),
    /// The peer of a stream presses a key.
    Press(StreamId, char),
    /// Every peer changes its calls at the same moment: most to these codecs, the others hold or
    /// resume, as drawn from this seed.
    ChangeAll(Codecs, u64),
    /// Every call still up is hung up by its caller.
    HangUpAll,
    /// Phones renew their registrations no more.
    StopRegistering,
}

/// Peers of a random world, in this order; the first six place and take calls.
pub(crate) const PHONES: [usize; 5] = [0, 1, 2, 3, 4];
pub(crate) const GATEWAYS: [usize; 2] = [5, 6];

/// When the last call begins at the latest.
pub(crate) const PLAY: Duration = Duration::from_secs(300);

impl Operation {
    /// A whole world's operations with their times.
    pub(crate) fn random(rng: &mut Rng) -> Vec<(Duration, Self)> {
        let mut list = Vec::new();
        let at = |rng: &mut Rng| {
            let ms = rng.below(PLAY.as_millis() as u64 - 4000);
            Duration::from_secs(4) + Duration::from_millis(ms)
        };
        for _ in 0..10 + rng.below(8) {
            let operation = Self::call(rng);
            list.push((at(rng), operation));
        }
        for _ in 0..rng.below(6) {
            list.push((at(rng), Self::Attack(*pick(rng, &ATTACKS))));
        }
        if rng.chance(25) {
            let (who, from) = (*pick(rng, &PHONES), at(rng));
            list.push((from, Self::Die(who)));
            list.push((from + Duration::from_secs(40), Self::Revive(who)));
        }
        if rng.chance(20) {
            let who = *pick(rng, &GATEWAYS);
            let from = at(rng);
            list.push((from, Self::Network(who, Link::CUT)));
            list.push((from + Duration::from_secs(20), Self::Network(who, Link::GOOD)));
        }
        if rng.chance(20) {
            list.push((at(rng), Self::Disconnect(2)));
        }
        if rng.chance(15) {
            list.push((at(rng), Self::BindFails));
        }
        if rng.chance(15) {
            list.push((at(rng), Self::AudioLost));
        }
        list
    }

    /// Moments at which everybody changes, so that changes meet (RFC 3261 §14): to one codec, and
    /// when all have that alone to another. An offer of what the other side has is answered on the
    /// spot; now, where nothing is transcoded, the other side has to be asked while it asks us.
    pub(crate) fn collisions(rng: &mut Rng) -> Vec<(Duration, Self)> {
        let mut list = Vec::new();
        for _ in 0..rng.below(5) {
            let mut at =
                Duration::from_secs(5) + Duration::from_millis(rng.below(PLAY.as_millis() as u64));
            for codecs in [Codecs::ALaw, Codecs::MuLaw] {
                list.push((at, Self::ChangeAll(codecs, rng.next_u64())));
                at += Duration::from_secs(6);
            }
        }
        list
    }

    /// Verbs by the API all the while.
    pub(crate) fn verbs(rng: &mut Rng) -> Vec<(Duration, Self)> {
        let count = 40 + rng.below(80);
        let one = |rng: &mut Rng| {
            let ms = rng.below(PLAY.as_millis() as u64 + 30_000);
            (Duration::from_secs(5) + Duration::from_millis(ms), Self::Ask(rng.next_u64()))
        };
        (0..count).map(|_| one(rng)).collect()
    }

    /// Feature codes by the phones all the while.
    pub(crate) fn codes(rng: &mut Rng) -> Vec<(Duration, Self)> {
        let one = |rng: &mut Rng| {
            let ms = rng.below(PLAY.as_millis() as u64 + 30_000);
            (Duration::from_secs(5) + Duration::from_millis(ms), Self::Dial(rng.next_u64()))
        };
        (0..40).map(|_| one(rng)).collect()
    }

    fn call(rng: &mut Rng) -> Self {
        if rng.chance(35) {
            let who = *pick(rng, &GATEWAYS);
            let to = if rng.chance(8) { FORBIDDEN.to_owned() } else { "+4930100".to_owned() };
            return Self::Call(who, Placing::random(rng, to));
        }
        let who = *pick(rng, &PHONES);
        let to = match rng.below(10) {
            0..=3 => (*pick(rng, &["1001", "1002", "1003", "1004"])).to_owned(),
            4 => "4711".to_owned(),
            _ => format!("0171{}", 1000 + rng.below(9000)),
        };
        Self::Call(who, Placing::random(rng, to))
    }
}
