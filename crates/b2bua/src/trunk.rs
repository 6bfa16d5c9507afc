//! What we know of each trunk: which of its gateways live, how much it carries, how it is registered.
//!
//! Every address that a configured target leads to is a gateway with a health of its own:
//! ```text
//!            OPTIONS answered (even 4xx)
//!   Unknown ─────────────────────────────▶ Up ◀──┐ answered
//!      │ FAILURES_MAX silences or 503            │
//!      └──────────────▶ Down ────────────────────┘
//! ```
//! Unknown counts as up, so that a start is not slower than the first OPTIONS. A trunk is down when
//! all its gateways are; until then calls go to the others, without waiting for those.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::Time;
use serde::{Deserialize, Serialize};
use sip::auth::ClientAuth;
use sip::transport::{Target, Transport};

use crate::config::Trunk;
use crate::rate::Rate;

/// OPTIONS in a row that must fail before a gateway is taken for down.
const FAILURES_MAX: u8 = 2;
/// How soon a gateway that failed once, or is down, is asked again.
pub(crate) const RETRY: Duration = Duration::from_secs(5);
/// How long looked-up addresses are used before they are looked up again.
pub(crate) const RESOLVE_AGAIN: Duration = Duration::from_secs(60);

/// Whether calls may go to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Health {
    Unknown { failures: u8 },
    Up { failures: u8 },
    Down,
}

/// One address of a trunk, as looked up last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gateway {
    pub(crate) target: Target,
    pub(crate) health: Health,
    /// Whether an OPTIONS of ours goes on, unanswered.
    is_asked: bool,
    /// Until when it wants no more calls, as it said itself (RFC 3261 §21.5.4).
    rests_until: Option<Time>,
}

/// By what a gateway is known, whichever configured targets lead to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct GatewayId(pub(crate) Transport, pub(crate) SocketAddr);

impl std::fmt::Display for GatewayId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0.as_str(), self.1)
    }
}

/// How a trunk fares, as it was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fares {
    /// Gateways that calls may go to.
    pub(crate) up: usize,
    /// Gateways.
    pub(crate) all: usize,
}

/// Our registration at a trunk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registration {
    pub(crate) call_id: String,
    pub(crate) from_tag: String,
    pub(crate) cseq: u32,
    pub(crate) registered: bool,
    /// Challenges answered since the last success.
    pub(crate) attempts: u8,
    /// Where the last REGISTER went.
    pub(crate) gateway: Option<GatewayId>,
    /// Gateways in a row that did not take it.
    pub(crate) failures: usize,
    /// The least time for which the trunk registers anybody, once it has said so (RFC 3261
    /// §10.2.8).
    pub(crate) expires_min: Duration,
}

/// One trunk's state; its configuration stands at the same index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrunkState {
    /// Calls up, both directions.
    pub(crate) calls: usize,
    pub(crate) rate: Rate,
    /// Gateways of each configured target.
    gateways: Vec<Vec<Gateway>>,
    /// What was told of them last; `None`: nothing yet.
    told: Option<Fares>,
    pub(crate) auth: ClientAuth,
    pub(crate) registration: Registration,
}

/// Why a trunk takes no more calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// It does not answer.
    Down,
    /// It has said that it is full.
    Overloaded,
    /// Our own limit of its calls at once.
    CallsMax,
    /// Our own limit of its new calls.
    CallsPerSecond,
}

impl Refusal {
    /// The limit that is met, as logs, metrics and callers are told.
    pub(crate) fn limit(self) -> Option<&'static str> {
        match self {
            Self::Down | Self::Overloaded => None,
            Self::CallsMax => Some("trunk calls_max"),
            Self::CallsPerSecond => Some("trunk calls_per_second_max"),
        }
    }
}

impl TrunkState {
    pub(crate) fn new(trunk: &Trunk) -> Self {
        Self {
            calls: 0,
            rate: Rate::new(trunk.calls_per_second_max, Duration::from_secs(1)),
            gateways: vec![Vec::new(); trunk.targets.len()],
            told: None,
            auth: ClientAuth::default(),
            registration: Registration::default(),
        }
    }

    /// Counts one more call, unless a limit says no. Undo with [`Self::release`].
    pub(crate) fn admit(&mut self, now: Time, trunk: &Trunk) -> Result<(), Refusal> {
        if self.calls >= trunk.calls_max {
            return Err(Refusal::CallsMax);
        }
        if !self.rate.admit(now) {
            return Err(Refusal::CallsPerSecond);
        }
        self.calls += 1;
        Ok(())
    }

    /// A call of the trunk is over.
    pub(crate) fn release(&mut self) {
        debug_assert_ne!(self.calls, 0);
        self.calls = self.calls.saturating_sub(1);
    }

    /// Whether `ip` is one of its gateways, as looked up last.
    pub(crate) fn is_gateway(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.gateways().any(|(_, gateway)| gateway.target.addr.ip().to_canonical() == ip)
    }

    /// All its gateways, each with the index of a configured target that leads to it; one that two
    /// of them lead to comes twice.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = (usize, &Gateway)> {
        let of_targets = self.gateways.iter().enumerate();
        of_targets.flat_map(|(at, gateways)| gateways.iter().map(move |gateway| (at, gateway)))
    }

    /// The gateway of that address.
    pub(crate) fn gateway(&self, id: GatewayId) -> Option<(usize, &Gateway)> {
        self.gateways().find(|(_, gateway)| gateway.id() == id)
    }

    /// A look-up of a configured target has led to these: what is known of those that stay is kept.
    /// The new ones.
    pub(crate) fn learn(&mut self, target: usize, found: Vec<Target>) -> Vec<GatewayId> {
        let mut new = Vec::new();
        let gateways = found.into_iter().map(|target| {
            let id = GatewayId(target.transport, target.addr);
            let known = self.gateway(id).map(|(_, known)| known);
            if known.is_none() {
                new.push(id);
            }
            Gateway {
                target,
                health: known.map_or(Health::Unknown { failures: 0 }, |known| known.health),
                is_asked: known.is_some_and(|known| known.is_asked),
                rests_until: known.and_then(|known| known.rests_until),
            }
        });
        let gateways = gateways.collect();
        if let Some(of_target) = self.gateways.get_mut(target) {
            *of_target = gateways;
        }
        new
    }

    /// Where a call by a configured target goes: to its gateways that are not down and want calls.
    /// Empty when it has to be looked up first.
    pub(crate) fn ways(&self, now: Time, target: usize) -> Result<Vec<Target>, Refusal> {
        let gateways = self.gateways.get(target).map_or(&[][..], Vec::as_slice);
        let is_down = gateways.iter().all(|gateway| !gateway.is_up());
        if (is_down && !gateways.is_empty()) || !self.is_up() {
            return Err(Refusal::Down);
        }
        let rests = |gateway: &&Gateway| gateway.rests_until.is_some_and(|until| now < until);
        let ready = gateways.iter().filter(|gateway| gateway.is_up() && !rests(gateway));
        let ready: Vec<_> = ready.map(|gateway| gateway.target.clone()).collect();
        if ready.is_empty() && !gateways.is_empty() {
            return Err(Refusal::Overloaded);
        }
        Ok(ready)
    }

    /// A gateway wants no more calls until then.
    pub(crate) fn rest(&mut self, id: GatewayId, until: Time) {
        for gateway in self.gateways.iter_mut().flatten().filter(|gateway| gateway.id() == id) {
            gateway.rests_until = Some(until);
        }
    }

    /// Whether an OPTIONS to a gateway goes on, unanswered.
    pub(crate) fn is_asking(&self, id: GatewayId) -> bool {
        self.gateway(id).is_some_and(|(_, gateway)| gateway.is_asked)
    }

    /// An OPTIONS to a gateway goes on, or has ended.
    pub(crate) fn asked(&mut self, id: GatewayId, goes_on: bool) {
        for gateway in self.gateways.iter_mut().flatten().filter(|gateway| gateway.id() == id) {
            gateway.is_asked = goes_on;
        }
    }

    /// Where to register: where we did last, unless that is down or gone.
    pub(crate) fn registers_at(&self) -> Option<GatewayId> {
        let candidates = self.candidates();
        let last = self.registration.gateway.filter(|last| candidates.contains(last));
        last.or_else(|| candidates.first().copied())
    }

    /// `gateway` did not take our registration: the next one does, at once (true), until all have
    /// been tried in a row.
    pub(crate) fn register_elsewhere(&mut self, gateway: GatewayId) -> bool {
        let candidates = self.candidates();
        let next = candidates.iter().position(|one| *one == gateway).map_or(0, |at| at + 1);
        self.registration.gateway = candidates.get(next).or(candidates.first()).copied();
        self.registration.failures += 1;
        let is_round_over = self.registration.failures >= candidates.len();
        if is_round_over {
            self.registration.failures = 0;
        }
        !is_round_over
    }

    /// Gateways that are worth a try: those that are not down, or all when all are.
    fn candidates(&self) -> Vec<GatewayId> {
        let mut candidates: Vec<GatewayId> = Vec::new();
        for (_, gateway) in self.gateways() {
            if (gateway.is_up() || !self.is_up()) && !candidates.contains(&gateway.id()) {
                candidates.push(gateway.id());
            }
        }
        candidates
    }

    /// Takes note of how an OPTIONS went; how the trunk fares when that is news.
    pub(crate) fn answered(&mut self, id: GatewayId, alive: bool) -> Option<Fares> {
        let mut changed = false;
        for gateway in self.gateways.iter_mut().flatten().filter(|gateway| gateway.id() == id) {
            changed |= gateway.answered(alive);
        }
        let fares = self.fares();
        let is_news = changed && self.told != Some(fares);
        is_news.then(|| *self.told.insert(fares))
    }

    /// How many of its gateways calls may go to.
    pub(crate) fn fares(&self) -> Fares {
        let gateways = || self.gateways().map(|(_, gateway)| gateway);
        Fares { up: gateways().filter(|gateway| gateway.is_up()).count(), all: gateways().count() }
    }

    /// Whether calls may go to it.
    pub(crate) fn is_up(&self) -> bool {
        self.fares().is_up()
    }
}

impl Fares {
    /// Whether calls may go to the trunk. One that has not been looked up is not known to be down.
    pub(crate) fn is_up(self) -> bool {
        self.up > 0 || self.all == 0
    }
}

impl Gateway {
    pub(crate) fn id(&self) -> GatewayId {
        GatewayId(self.target.transport, self.target.addr)
    }

    /// Takes note of how an OPTIONS went; whether calls may newly (not) go there, or newly are
    /// known to.
    fn answered(&mut self, alive: bool) -> bool {
        let (next, changed) = match (self.health, alive) {
            (Health::Unknown { .. } | Health::Down, true) => (Health::Up { failures: 0 }, true),
            (Health::Up { .. }, true) => (Health::Up { failures: 0 }, false),
            (Health::Unknown { failures } | Health::Up { failures }, false)
                if failures + 1 >= FAILURES_MAX =>
            {
                (Health::Down, true)
            }
            (Health::Unknown { failures }, false) => {
                (Health::Unknown { failures: failures + 1 }, false)
            }
            (Health::Up { failures }, false) => (Health::Up { failures: failures + 1 }, false),
            (Health::Down, false) => (Health::Down, false),
        };
        self.health = next;
        changed
    }

    /// Whether calls may go to it.
    pub(crate) fn is_up(&self) -> bool {
        match self.health {
            Health::Unknown { .. } | Health::Up { .. } => true,
            Health::Down => false,
        }
    }

    /// When to ask again, given how often the operator wants it asked.
    pub(crate) fn ask_after(&self, interval: Duration) -> Duration {
        match self.health {
            Health::Up { failures: 0 } => interval,
            Health::Unknown { .. } | Health::Up { .. } | Health::Down => interval.min(RETRY),
        }
    }
}

/// Whether an answer to OPTIONS shows a trunk that takes calls: anything but server trouble.
pub(crate) fn shows_life(status: u16) -> bool {
    !matches!(status, 408 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk(calls_max: usize, calls_per_second_max: u32) -> (Trunk, TrunkState) {
        let trunk = Trunk { calls_max, calls_per_second_max, ..crate::testing::trunk("carrier") };
        let state = TrunkState::new(&trunk);
        (trunk, state)
    }

    fn target(at: u8) -> Target {
        let addr = SocketAddr::from(([127, 0, 0, at], 5060));
        Target { transport: Transport::Udp, addr, flow: None, tls_name: None }
    }

    fn id(at: u8) -> GatewayId {
        GatewayId(Transport::Udp, target(at).addr)
    }

    #[test]
    fn two_failures_take_it_down_and_one_answer_brings_it_back() {
        let (_, mut state) = trunk(1, 1);
        assert_eq!(state.ways(Time::ZERO, 0), Ok(vec![]), "not looked up yet");
        assert_eq!(state.learn(0, vec![target(2)]), [id(2)]);
        let (up, down) = (Some(Fares { up: 1, all: 1 }), Some(Fares { up: 0, all: 1 }));
        assert_eq!(state.answered(id(2), false), None);
        assert_eq!(state.ways(Time::ZERO, 0), Ok(vec![target(2)]));
        assert_eq!(state.answered(id(2), false), down);
        assert_eq!((state.ways(Time::ZERO, 0), state.is_up()), (Err(Refusal::Down), false));
        assert_eq!(state.answered(id(2), false), None);
        assert_eq!(state.answered(id(2), true), up);
        assert_eq!(state.answered(id(2), false), None);
        assert_eq!(state.answered(id(2), true), None);
        assert_eq!(state.ways(Time::ZERO, 0), Ok(vec![target(2)]));
    }

    #[test]
    fn a_dead_gateway_leaves_the_others_of_its_trunk_in_use() {
        let two = Trunk { targets: vec!["sip:a".into(), "sip:b".into()], ..trunk(1, 1).0 };
        let mut state = TrunkState::new(&two);
        assert_eq!(state.learn(0, vec![target(2), target(3)]), [id(2), id(3)]);
        assert_eq!(state.learn(1, vec![target(4), target(2)]), [id(4)]);
        for (at, up) in [(2, 2), (3, 1)] {
            assert_eq!(state.answered(id(at), false), None);
            assert_eq!(state.answered(id(at), false), Some(Fares { up, all: 4 }), "{at}");
        }
        assert_eq!(
            (state.ways(Time::ZERO, 0), state.ways(Time::ZERO, 1)),
            (Err(Refusal::Down), Ok(vec![target(4)]))
        );
        // Another look-up forgets nothing of those that stay.
        assert_eq!(state.learn(0, vec![target(3), target(5)]), [id(5)]);
        assert_eq!(state.ways(Time::ZERO, 0), Ok(vec![target(5)]));
    }

    #[test]
    fn a_gateway_that_is_full_is_left_alone_as_long_as_it_asks() {
        let (_, mut state) = trunk(1, 1);
        let end = Time::ZERO + Duration::from_secs(30);
        state.learn(0, vec![target(2), target(3)]);
        state.rest(id(2), end);
        assert_eq!(state.ways(Time::ZERO, 0), Ok(vec![target(3)]));
        state.rest(id(3), end);
        assert_eq!(state.ways(Time::ZERO, 0), Err(Refusal::Overloaded));
        assert!(state.is_up() && Refusal::Overloaded.limit().is_none());
        assert_eq!(state.ways(end, 0), Ok(vec![target(2), target(3)]));
    }

    #[test]
    fn a_registration_goes_round_the_gateways_that_are_not_down() {
        let (_, mut state) = trunk(1, 1);
        assert_eq!(state.registers_at(), None);
        state.learn(0, vec![target(2), target(3), target(4)]);
        assert_eq!(state.registers_at(), Some(id(2)));
        for (failed, at_once, next) in [(2, true, 3), (3, true, 4), (4, false, 2), (2, true, 3)] {
            assert_eq!(state.register_elsewhere(id(failed)), at_once, "{failed}");
            assert_eq!(state.registers_at(), Some(id(next)), "{failed}");
        }
        for _ in 0..FAILURES_MAX {
            state.answered(id(3), false);
        }
        assert_eq!(state.registers_at(), Some(id(2)), "3 is down");
        state.learn(0, vec![target(3)]);
        assert_eq!(state.registers_at(), Some(id(3)), "there is no other");
    }

    #[test]
    fn limits_name_themselves() {
        let (trunk, mut state) = trunk(2, 1);
        let second = Time::ZERO + Duration::from_secs(1);
        assert_eq!(state.admit(Time::ZERO, &trunk), Ok(()));
        assert_eq!(state.admit(Time::ZERO, &trunk), Err(Refusal::CallsPerSecond));
        assert_eq!(state.admit(second, &trunk), Ok(()));
        assert_eq!(state.admit(second + RETRY, &trunk), Err(Refusal::CallsMax));
        state.release();
        assert_eq!(state.admit(second + RETRY, &trunk), Ok(()));
    }

    #[test]
    fn an_error_of_the_request_still_shows_life() {
        assert!([200, 403, 404, 405, 481, 500].into_iter().all(shows_life));
        assert!(![408, 503, 504].into_iter().any(shows_life));
    }
}
