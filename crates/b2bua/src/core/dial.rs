//! Placing legs: from a destination to phones and trunk gateways.

use base::Time;
use call::{AttemptId, Cause, LegId};
use serde::{Deserialize, Serialize};
use sip::message::{StatusCode, Uri};
use sip::registrar::Binding;
use sip::transport::Target;

use super::{Core, Counted};
use crate::config::Config;
use crate::io::{Event, Output};
use crate::party::{self, Party};
use crate::sip_leg::{Outgoing, SipLeg, Way};
use crate::wire::Asker;

/// One target of a call, tried after the one before it has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Destination {
    /// All phones of an extension at once.
    Extension(usize),
    /// A number at a trunk, by one of its configured targets.
    Trunk {
        /// Index of the trunk.
        trunk: usize,
        /// Index of the target.
        target: usize,
        /// The number as the trunk writes it.
        number: String,
    },
}

/// Phones of one extension that ring at once.
const FORKS_MAX: usize = 8;
/// Flows of one device that are tried.
const FLOWS_MAX: usize = 4;
/// Targets that one call tries.
const DESTINATIONS_MAX: usize = 16;

impl Core {
    /// The trunks that a number goes out by, of the routes that the extension may use.
    pub(super) fn way_out(
        &self,
        extension: usize,
        dialled: &str,
        only: Option<&str>,
    ) -> Result<Vec<Destination>, StatusCode> {
        let config = &self.config;
        let allowed = &config.extensions[extension].routes;
        let mut exists = false;
        for route in &config.routes {
            let Some(number) = route.number_for(dialled) else { continue };
            exists = true;
            if !allowed.contains(&route.name) || only.is_some_and(|only| only != route.name) {
                continue;
            }
            let ways = route.trunks.iter().filter_map(|name| {
                let trunk = config.trunks.iter().position(|trunk| trunk.name == *name)?;
                Some((trunk, config.trunks[trunk].outbound_numbers.apply(&number)))
            });
            let ways = ways.flat_map(|(trunk, number)| {
                let targets = 0..config.trunks[trunk].targets.len();
                targets.map(move |target| Destination::Trunk {
                    trunk,
                    target,
                    number: number.clone(),
                })
            });
            return Ok(ways.take(DESTINATIONS_MAX).collect());
        }
        // ATTACKS 17: what the dial plan does not allow is refused, and named as such.
        Err(if exists { StatusCode::FORBIDDEN } else { StatusCode::NOT_FOUND })
    }

    /// Places legs to every phone of a target of `call`.
    pub(super) fn dial(
        &mut self,
        now: Time,
        call: call::CallId,
        attempt: AttemptId,
        target: usize,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.calls.get(&call) else { return };
        let destination = state.reach(attempt).and_then(|reach| reach.destinations.get(target));
        let placed = match destination.cloned() {
            Some(Destination::Extension(extension)) => {
                self.dial_phones(now, call, attempt, extension, out)
            }
            Some(Destination::Trunk { trunk, target, number }) => {
                self.dial_trunk(now, (call, attempt), (trunk, target), &number, out)
            }
            None => Err(Cause::NOT_FOUND),
        };
        if let Err(cause) = placed {
            self.with_call(now, call, out, |state, now, commands| {
                state.call.target_failed(now, attempt, cause, commands);
            });
        }
    }

    pub(super) fn dial_phones(
        &mut self,
        now: Time,
        call: call::CallId,
        attempt: AttemptId,
        extension: usize,
        out: &mut Vec<Output>,
    ) -> Result<(), Cause> {
        let number = &self.config.extensions[extension].number;
        let devices = self.registrar.devices(now, number).into_iter();
        let phones: Vec<_> = devices.take(FORKS_MAX).filter_map(way_to_phone).collect();
        if phones.is_empty() {
            return Err(Cause::UNAVAILABLE);
        }
        let callee = Party::Extension(extension);
        let mut placed = Err(Cause::CONGESTION);
        for way in phones {
            let result = self.place(now, (call, attempt), callee.clone(), way, out);
            placed = if placed.is_ok() { placed } else { result.map(drop) };
        }
        placed
    }

    fn dial_trunk(
        &mut self,
        now: Time,
        (call, attempt): (call::CallId, AttemptId),
        (trunk, target): (usize, usize),
        number: &str,
        out: &mut Vec<Output>,
    ) -> Result<(), Cause> {
        let config = self.config.clone();
        let state = &mut self.trunks[trunk];
        let ways = state.ways(now, target);
        let ways = ways.and_then(|ways| state.admit(now, &config.trunks[trunk]).map(|()| ways));
        let ways = match ways {
            Ok(ways) => ways,
            Err(refusal) => {
                tracing::info!(%call, trunk = config.trunks[trunk].name, ?refusal, "trunk refused");
                if let Some(limit) = refusal.limit() {
                    out.push(Output::Event(Event::Limit { limit }));
                    let state = self.calls.get_mut(&call);
                    state.into_iter().for_each(|state| state.limit = Some(refusal));
                }
                return Err(Cause::CONGESTION);
            }
        };
        let callee = Party::Trunk(trunk);
        let way = trunk_way(&config, trunk, target, number, ways);
        let placed = match way {
            Some(way) => self.place(now, (call, attempt), callee.clone(), way, out),
            None => Err(Cause::NOT_FOUND),
        };
        match placed {
            Ok(leg) => {
                if let Some(state) = self.calls.get_mut(&call) {
                    state.counted.push(Counted { party: callee, leg: Some(leg) });
                }
            }
            Err(_) => self.uncount(&callee),
        }
        placed.map(drop)
    }

    /// Places one leg; its INVITE leaves at once, or as soon as its host is looked up.
    pub(super) fn place(
        &mut self,
        now: Time,
        (call, attempt): (call::CallId, AttemptId),
        party: Party,
        way: Way,
        out: &mut Vec<Output>,
    ) -> Result<LegId, Cause> {
        let codecs = self.codecs_to_offer(call, attempt, &party);
        if !super::codecs::has_audio(&codecs) {
            return Err(Cause::INCOMPATIBLE);
        }
        let local = way.targets.first().map(|target| target.addr.ip());
        let media = self.media_place(now, local.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()));
        let media = media.ok_or(Cause::CONGESTION)?;
        let state = self.calls.get_mut(&call).ok_or(Cause::INTERNAL)?;
        self.next_leg += 1;
        let id = LegId(self.next_leg);
        let reach = state.reach(attempt).ok_or(Cause::INTERNAL)?;
        let (from, to, auto_answer) = (reach.from.clone(), reach.to.clone(), reach.auto_answer);
        let referred_by = reach.referred_by.clone();
        let dialling = state.call.attempts().iter().find(|one| one.id == attempt);
        let caller = dialling.and_then(|one| self.legs.get(&one.caller?));
        let outgoing = Outgoing {
            call,
            party: party.clone(),
            from,
            to,
            auto_answer,
            referred_by,
            way,
            codecs,
            inherited: caller
                .map(|caller| caller.inherit(&party, &self.config))
                .unwrap_or_default(),
        };
        let leg = SipLeg::outgoing(id, outgoing, media, &self.config, &mut self.wire.rng);
        tracing::info!(%call, leg = %id, party = party.name(&self.config), "placing");
        state.call.add_leg(attempt, id, party.key());
        self.dialogs.insert(leg.key(), id);
        self.open_stream(&leg, out);
        let needs_lookup = leg.needs_lookup();
        self.legs.insert(id, leg);
        match needs_lookup {
            Some(uri) => self.look_up(Asker::Leg(id), &uri, out),
            None => self.with_leg(now, id, out, |leg, cx| leg.send_invite(cx)),
        }
        Ok(id)
    }

    /// Asks the shell where a URI leads, RFC 3263.
    pub(super) fn look_up(&mut self, asker: Asker, uri: &Uri, out: &mut Vec<Output>) {
        let query = self.wire.query(asker);
        out.push(Output::Resolve {
            query,
            host: uri.host.clone(),
            port: uri.port,
            transport: party::transport_of(uri),
            secure: uri.is_secure(),
        });
    }

    /// The answer to a look-up.
    pub(super) fn resolved(
        &mut self,
        now: Time,
        query: crate::io::QueryId,
        mut targets: Vec<Target>,
    ) {
        targets.truncate(crate::io::RESOLVED_TARGETS_MAX);
        match self.wire.askers.remove(&query) {
            Some(Asker::Leg(leg)) => {
                self.with_leg(now, leg, &mut Vec::new(), |leg, cx| leg.resolved(targets, cx));
            }
            Some(Asker::Hop(leg, hop)) => {
                self.with_leg(now, leg, &mut Vec::new(), |leg, cx| leg.hop_found(hop, targets, cx));
            }
            Some(Asker::Trunk(trunk, target)) => self.trunk_resolved(now, trunk, target, targets),
            None => {}
        }
    }
}

/// The way to a device by its first flow, and by the others when that fails.
fn way_to_phone(flows: Vec<&Binding>) -> Option<Way> {
    let mut ways = flows.into_iter().take(FLOWS_MAX).map(|binding| Way {
        uri: binding.contact.clone(),
        targets: vec![binding.target.clone()],
        route: binding.path.to_vec(),
        keep_to_target: true,
        others: Vec::new(),
    });
    let first = ways.next()?;
    Some(Way { others: ways.collect(), ..first })
}

/// The way to `number` by one of a trunk's targets.
fn trunk_way(
    config: &Config,
    trunk: usize,
    target: usize,
    number: &str,
    targets: Vec<Target>,
) -> Option<Way> {
    let mut uri: Uri = config.trunks[trunk].targets.get(target)?.parse().ok()?;
    uri.user = Uri::sip(number, uri.host.clone(), None).user;
    Some(Way { uri, targets, route: Vec::new(), keep_to_target: false, others: Vec::new() })
}
