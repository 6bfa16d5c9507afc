//! The registrar and location service: RFC 3261 §10.3, with Path (RFC 3327), instances and flows
//! (RFC 5626), and qualifying by OPTIONS.
//!
//! A REGISTER is read and checked whole ([`asked`]), then applied whole. What is sent to a binding
//! goes back to where its REGISTER came from: that crosses NATs, keeps to the phone's connection,
//! and never lets a Contact aim us at somebody else (ATTACKS 13). The module knows no credentials:
//! its caller says who the sender is.

mod asked;
mod binding;
mod qualify;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use base::{Time, Timers, WallTime};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use self::asked::{Asked, Refusal, Wanted};
pub use self::asked::{CALL_ID_LEN_MAX, CONTACT_LEN_MAX, PATH_LEN_MAX, PATHS_MAX};
pub use self::binding::{Binding, BindingId, BindingRecord, Change, Reachability};
pub use self::qualify::QUALIFY_FAILURES_MAX;
use crate::message::{Host, Name, NameAddr, Request, Response, StatusCode, Uri};
use crate::transport::{FlowId, Source, Target, Transport};

/// A longer User-Agent is cut to this many bytes.
pub const USER_AGENT_LEN_MAX: usize = 96;

/// Silence after which a phone on a connection shall send a keep-alive, in seconds: what RFC 5626
/// §4.4.1 has it do by itself, below the time-outs of all but the worst NATs.
pub const FLOW_TIMER_S: u32 = 120;

/// What the operator decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrarConfig {
    /// Least expiry granted; a shorter one is refused by 423.
    pub expires_min: Duration,
    /// Greatest expiry granted; a longer one is shortened.
    pub expires_max: Duration,
    /// Expiry when none is asked for.
    pub expires_default: Duration,
    /// Contacts of one address-of-record. When all are taken a new one replaces one that is known
    /// to be unreachable, or is refused by 403.
    pub contacts_max: usize,
    /// How often each contact is asked by OPTIONS; `None` = never.
    pub qualify: Option<Duration>,
    /// Our own names: no contact may be there.
    pub hosts: Vec<Host>,
}

/// All bindings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registrar {
    config: RegistrarConfig,
    /// Preferred first: by `q`, then the one that registered last.
    by_aor: BTreeMap<CompactString, Vec<BindingId>>,
    bindings: BTreeMap<BindingId, Box<Binding>>,
    /// Of connections only: a datagram socket does not close.
    by_flow: BTreeMap<FlowId, Vec<BindingId>>,
    expiry: Timers<BindingId>,
    qualify: Timers<BindingId>,
    next_id: u64,
}

impl Registrar {
    /// Without bindings.
    pub fn new(config: RegistrarConfig) -> Self {
        Self {
            config,
            by_aor: BTreeMap::new(),
            bindings: BTreeMap::new(),
            by_flow: BTreeMap::new(),
            expiry: Timers::default(),
            qualify: Timers::default(),
            next_id: 0,
        }
    }

    /// Takes a REGISTER that `user` has proved to have sent, and gives its final response, without
    /// a To tag. `user` is also the only address-of-record it may speak for.
    pub fn register(
        &mut self,
        now: Time,
        user: &str,
        request: &Request,
        source: &Source,
        out: &mut Vec<Change>,
    ) -> Response {
        match self.apply(now, user, request, source, out) {
            Ok(response) => response,
            Err(refusal) => refusal.response(request),
        }
    }

    fn apply(
        &mut self,
        now: Time,
        user: &str,
        request: &Request,
        source: &Source,
        out: &mut Vec<Change>,
    ) -> Result<Response, Refusal> {
        let asked = asked::read(&self.config, user, request, source)?;
        let sent = Sent::read(request, source)?;
        match asked {
            Asked::Fetch => {}
            Asked::RemoveAll => {
                self.check_order(user, &sent, |_| true)?;
                for id in self.ids(user).to_vec() {
                    self.unbind(id, out);
                }
            }
            Asked::Set(wanted) => {
                self.check_order(user, &sent, |b| wanted.iter().any(|w| w.is_of(b)))?;
                let evicted = self.make_room(now, user, &wanted)?;
                evicted.into_iter().for_each(|id| self.unbind(id, out));
                for contact in wanted {
                    self.set(now, user, contact, &sent, out);
                }
            }
        }
        Ok(self.ok(now, user, request, source))
    }

    /// The bindings of an address-of-record that calls may go to, preferred first; of several flows
    /// of one device the preferred one only (RFC 5626 §7).
    pub fn lookup(&self, now: Time, aor: &str) -> impl Iterator<Item = &Binding> {
        let ids = self.ids(aor);
        ids.iter().enumerate().filter_map(move |(i, id)| {
            let binding = self.live(now, *id)?;
            let instance = binding.instance();
            let again = instance.is_some()
                && ids[..i]
                    .iter()
                    .filter_map(|id| self.live(now, *id))
                    .any(|earlier| earlier.instance() == instance && earlier.params.has("reg-id"));
            (!again).then_some(binding)
        })
    }

    /// The devices that a call to an address-of-record rings at, preferred first, each by its flows,
    /// preferred first: the others are for when one fails (RFC 5626 §7). What is known to be
    /// unreachable is left out.
    pub fn devices(&self, now: Time, aor: &str) -> Vec<Vec<&Binding>> {
        let mut devices: Vec<Vec<&Binding>> = Vec::new();
        let live = self.ids(aor).iter().filter_map(|id| self.live(now, *id));
        for binding in live.filter(|binding| binding.is_reachable()) {
            let is_its = |flows: &&mut Vec<&Binding>| {
                let first = flows.first();
                binding.instance().is_some()
                    && first.is_some_and(|first| {
                        first.instance() == binding.instance() && first.params.has("reg-id")
                    })
            };
            match devices.iter_mut().find(is_its) {
                Some(flows) => flows.push(binding),
                None => devices.push(vec![binding]),
            }
        }
        devices
    }

    fn live(&self, now: Time, id: BindingId) -> Option<&Binding> {
        self.binding(id).filter(|binding| binding.expires_at > now)
    }

    /// A binding, also one that is over and not yet taken away.
    pub fn binding(&self, id: BindingId) -> Option<&Binding> {
        self.bindings.get(&id).map(|binding| &**binding)
    }

    /// All bindings, in the order of their ids.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.values().map(|binding| &**binding)
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// When [`Registrar::expire`] or [`Registrar::qualify_due`] has something to do.
    pub fn next_timeout(&self) -> Option<Time> {
        [self.expiry.next(), self.qualify.next()].into_iter().flatten().min()
    }

    /// Takes away what is over.
    pub fn expire(&mut self, now: Time, out: &mut Vec<Change>) {
        while let Some(id) = self.expiry.pop_due(now) {
            self.unbind(id, out);
        }
    }

    /// A connection is gone, and with it the way to phones behind NAT (RFC 5626 §4.2.2). A TCP phone
    /// that named the very address it came from stays, and is called back there.
    pub fn flow_closed(&mut self, _now: Time, flow: FlowId, out: &mut Vec<Change>) {
        for id in self.by_flow.remove(&flow).unwrap_or_default() {
            let Some(binding) = self.bindings.get_mut(&id) else { continue };
            binding.target.flow = None;
            match listening_address(binding) {
                Some(address) => {
                    binding.target.addr = address;
                    let record = Box::new(binding.record());
                    out.push(Change::Bound { record, new: true });
                }
                None => self.unbind(id, out),
            }
        }
    }

    /// Takes back what the store kept; `wall` is the time of day at `now`.
    ///
    /// Connections are gone: bindings over UDP work at once, others until the phone comes back have
    /// only an address to try. What is over meanwhile is reported by the next [`Registrar::expire`].
    pub fn restore(&mut self, now: Time, wall: WallTime, records: Vec<BindingRecord>) {
        for record in records {
            let taken = self.ids(&record.aor);
            if taken.len() >= self.config.contacts_max
                || self.of_key(&record.aor, &record.key).is_some()
            {
                continue;
            }
            // A wall clock that went back must not make a binding immortal.
            let remaining = Duration::from_millis(record.expires_wall.0.saturating_sub(wall.0));
            let id = self.new_id();
            self.insert(now, record.revive(id, now, remaining.min(self.config.expires_max)));
        }
    }

    fn ids(&self, aor: &str) -> &[BindingId] {
        self.by_aor.get(aor).map_or(&[], Vec::as_slice)
    }

    fn of(&self, aor: &str) -> impl Iterator<Item = &Binding> {
        self.ids(aor).iter().filter_map(|id| self.binding(*id))
    }

    fn of_key(&self, aor: &str, key: &str) -> Option<BindingId> {
        self.of(aor).find(|binding| *binding.key == *key).map(|binding| binding.id)
    }

    fn new_id(&mut self) -> BindingId {
        self.next_id += 1;
        BindingId(self.next_id)
    }

    /// RFC 3261 §10.3 step 7: of one Call-ID only a higher CSeq counts, or all of it fails.
    fn check_order(
        &self,
        aor: &str,
        sent: &Sent<'_>,
        concerns: impl Fn(&Binding) -> bool,
    ) -> Result<(), Refusal> {
        let late = |b: &Binding| *b.call_id == *sent.call_id && sent.cseq <= b.cseq;
        if self.of(aor).any(|binding| late(binding) && concerns(binding)) {
            return Err(StatusCode::SERVER_INTERNAL_ERROR.into());
        }
        Ok(())
    }

    /// Which bindings must go so that the new ones fit.
    fn make_room(
        &self,
        now: Time,
        aor: &str,
        wanted: &[Wanted],
    ) -> Result<Vec<BindingId>, Refusal> {
        let stays = |b: &&Binding| !wanted.iter().any(|w| w.is_of(b));
        let others = self.of(aor).filter(stays).filter(|b| b.expires_at > now).count();
        let set = wanted.iter().filter(|w| !w.expires.is_zero()).count();
        let excess = (others + set).saturating_sub(self.config.contacts_max);
        let unreachable = self.of(aor).filter(stays).filter(|b| !b.is_reachable());
        let evicted: Vec<_> = unreachable.map(|b| b.id).take(excess).collect();
        if evicted.len() < excess {
            return Err(StatusCode::FORBIDDEN.into());
        }
        Ok(evicted)
    }

    fn set(
        &mut self,
        now: Time,
        aor: &str,
        wanted: Wanted,
        sent: &Sent<'_>,
        out: &mut Vec<Change>,
    ) {
        let known = self.of(aor).find(|binding| wanted.is_of(binding)).map(|binding| binding.id);
        if wanted.expires.is_zero() {
            known.into_iter().for_each(|id| self.unbind(id, out));
            return;
        }
        let old = known.and_then(|id| self.remove(id));
        let id = known.unwrap_or_else(|| self.new_id());
        let new = sent.bind(now, id, aor, wanted, old.as_deref());
        let same = old.is_some_and(|o| {
            o.contact == new.contact && o.target == new.target && o.path == new.path
        });
        out.push(Change::Bound { record: Box::new(new.record()), new: !same });
        self.insert(now, new);
    }

    fn insert(&mut self, now: Time, binding: Binding) {
        let id = binding.id;
        self.expiry.arm(id, binding.expires_at);
        self.arm_qualify(now, id);
        if let Some(flow) = connection(&binding) {
            self.by_flow.entry(flow).or_default().push(id);
        }
        let q_of = |id: &BindingId| self.bindings.get(id).map_or(0, |b| b.q);
        let ids = self.by_aor.entry(CompactString::new(&binding.aor)).or_default();
        let place = ids.iter().position(|other| q_of(other) <= binding.q).unwrap_or(ids.len());
        ids.insert(place, id);
        self.bindings.insert(id, Box::new(binding));
    }

    /// Takes a binding out of everything but the qualify timers, which go on when it is refreshed.
    fn remove(&mut self, id: BindingId) -> Option<Box<Binding>> {
        let binding = self.bindings.remove(&id)?;
        self.expiry.disarm(id);
        forget(&mut self.by_aor, &*binding.aor, id);
        if let Some(flow) = connection(&binding) {
            forget(&mut self.by_flow, &flow, id);
        }
        Some(binding)
    }

    fn unbind(&mut self, id: BindingId, out: &mut Vec<Change>) {
        self.qualify.disarm(id);
        if let Some(binding) = self.remove(id) {
            out.push(Change::Unbound { aor: (*binding.aor).into(), key: binding.key });
        }
    }

    /// RFC 3261 §10.3 step 8: all bindings, each with what is left of its time.
    fn ok(&self, now: Time, aor: &str, request: &Request, source: &Source) -> Response {
        let mut response = request.response(StatusCode::OK);
        for binding in self.of(aor).filter(|binding| binding.expires_at > now) {
            let left = (binding.expires_at - now).as_secs().max(1);
            let mut contact = String::with_capacity(128);
            // A String takes everything.
            let _ = write!(contact, "<{}>{};expires={left}", binding.contact, binding.params);
            response.headers.push(Name::Contact, contact);
        }
        // RFC 3327 §5.3.
        if request.headers.has_token(Name::Supported, "path") {
            response.headers.copy_from(&request.headers, Name::Path);
        }
        response.headers.push(Name::Supported, "path, outbound");
        // RFC 5626 §6.
        let by_outbound = |b: &Binding| b.instance().is_some() && b.params.has("reg-id");
        if request.headers.has_token(Name::Supported, "outbound") && self.of(aor).any(by_outbound) {
            response.headers.push(Name::Require, "outbound");
            // RFC 5626 §4.4: for phones on a connection of their own to us.
            if source.transport.is_reliable() && asked::is_direct(request) {
                response.headers.push(Name::FlowTimer, FLOW_TIMER_S.to_string());
            }
        }
        response
    }
}

/// Takes an id off a list, and the list away with its last.
fn forget<K: Ord + ?Sized, Q>(lists: &mut BTreeMap<Q, Vec<BindingId>>, key: &K, id: BindingId)
where
    Q: std::borrow::Borrow<K> + Ord,
{
    if let Some(ids) = lists.get_mut(key) {
        ids.retain(|&other| other != id);
        if ids.is_empty() {
            lists.remove(key);
        }
    }
}

fn connection(binding: &Binding) -> Option<FlowId> {
    binding.target.flow.filter(|_| binding.target.transport.is_reliable())
}

/// Where a phone without NAT listens for connections.
fn listening_address(binding: &Binding) -> Option<std::net::SocketAddr> {
    let ip = binding.contact.host.ip()?;
    let transport = binding.target.transport;
    let direct = transport == Transport::Tcp
        && ip.to_canonical() == binding.target.addr.ip().to_canonical()
        && binding.path.is_empty();
    let port = binding.contact.port.unwrap_or(transport.default_port());
    direct.then(|| (ip, port).into())
}

/// What a REGISTER says besides its contacts.
struct Sent<'a> {
    call_id: &'a str,
    cseq: u32,
    user_agent: &'a str,
    path: Box<[NameAddr]>,
    source: &'a Source,
}

impl<'a> Sent<'a> {
    fn read(request: &'a Request, source: &'a Source) -> Result<Self, Refusal> {
        let user_agent = request.headers.get(Name::UserAgent).unwrap_or_default();
        let mut end = user_agent.len().min(USER_AGENT_LEN_MAX);
        while !user_agent.is_char_boundary(end) {
            end -= 1;
        }
        Ok(Self {
            call_id: request.call_id()?,
            cseq: request.cseq()?.seq,
            user_agent: &user_agent[..end],
            path: asked::path(request)?,
            source,
        })
    }

    /// Where the phone listens: where its REGISTER came from, but at the port that its Contact names
    /// when that has the very address of the sender. No NAT is between then, and a phone may well
    /// send from another port than it listens on; another host can't be aimed at (ATTACKS 13).
    fn way_to(&self, contact: &Uri) -> Target {
        let mut target = self.source.reply_target();
        if self.source.transport == Transport::Udp
            && self.path.is_empty()
            && contact.host.ip() == Some(target.addr.ip().to_canonical())
        {
            target.addr.set_port(contact.port.unwrap_or(Transport::Udp.default_port()));
        }
        target
    }

    /// A new or refreshed binding; `old` keeps what was found out about it if its way is the same.
    fn bind(
        &self,
        now: Time,
        id: BindingId,
        aor: &str,
        wanted: Wanted,
        old: Option<&Binding>,
    ) -> Binding {
        let target = self.way_to(&wanted.contact);
        // A phone that registers again lives, whatever it left without an answer.
        let same_way = old.filter(|old| old.target == target && old.is_reachable());
        Binding {
            id,
            aor: old.map_or_else(|| aor.into(), |old| old.aor.clone()),
            key: wanted.key,
            q: binding::q_of(&wanted.params),
            contact: wanted.contact,
            params: wanted.params,
            path: self.path.clone(),
            target,
            call_id: self.call_id.into(),
            cseq: self.cseq,
            user_agent: self.user_agent.into(),
            expires_at: now + wanted.expires,
            reachability: same_way.map_or(Reachability::Unknown, |old| old.reachability),
            failures: same_way.map_or(0, |old| old.failures),
        }
    }
}

impl Wanted {
    /// Whether it speaks of this binding. A contact to be ended may come without its instance.
    fn is_of(&self, binding: &Binding) -> bool {
        self.key == binding.key
            || (self.expires.is_zero() && self.contact.equivalent(&binding.contact))
    }
}

#[cfg(test)]
mod tests;
