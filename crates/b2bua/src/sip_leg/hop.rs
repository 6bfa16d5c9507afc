//! Where requests inside a trunk's dialog go when its Record-Route or Contact names a host, or another
//! transport (RFC 3261 §12.2.1.1, RFC 3263).
//!
//! ```text
//!  next hop: where the peer is ──▶ there
//!            another address ───▶ there
//!            a name ──look-up──▶ the first address that we may send to ──▶ there
//!                                └─ none ─▶ where the peer is
//! ```
//! Phones are none of it: what is for them goes back to where they send from, whatever they say
//! (ATTACKS 13, 14). A trunk is known by its address, certificate or password before any of its
//! messages makes a leg; its gateways may be many, and only it knows which of them has the call. Still
//! it leads us by no transport that we do not use, from TLS to nothing else, and to no address that
//! is many or nobody's. What it names is looked up only for a leg that there is, a few times.
//!
//! An answer that makes a dialog waits until its name is looked up, for its ACK goes there.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sip::dialog::Dialog;
use sip::message::{Name, Response, Uri};
use sip::transaction::TransactionId;
use sip::transport::{Target, Transport};

use super::leave::Leaving;
use super::{Cx, Report, SipLeg, State, Timer};
use crate::config::Config;
use crate::party;
use crate::wire::Purpose;

/// Next hops of one leg that are remembered: a forked call has one for each answer.
const HOPS_MAX: usize = 8;
/// Answers that wait for a look-up; their senders repeat those that find no room.
const WAITING_MAX: usize = 8;

/// What is known of the next hops of a leg.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Hops {
    known: Vec<Hop>,
    asked: u32,
    waiting: Vec<(TransactionId, Purpose, Response)>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Hop {
    id: u32,
    uri: Uri,
    leads: Leads,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Leads {
    /// It is being looked up.
    Asked,
    To(Target),
    Nowhere,
}

impl Hops {
    fn of(&self, uri: &Uri) -> Option<&Hop> {
        self.known.iter().find(|hop| is_same(&hop.uri, uri))
    }

    fn is_asking(&self) -> bool {
        self.known.iter().any(|hop| hop.leads == Leads::Asked)
    }

    /// Keeps a hop, for the oldest that is not being looked up if need be; `None`: no room.
    fn keep(&mut self, uri: &Uri, leads: Leads) -> Option<u32> {
        if self.known.len() >= HOPS_MAX {
            let oldest = self.known.iter().position(|hop| hop.leads != Leads::Asked)?;
            self.known.remove(oldest);
        }
        self.asked += 1;
        self.known.push(Hop { id: self.asked, uri: uri.clone(), leads });
        Some(self.asked)
    }
}

/// Whether two URIs lead to the same place, whoever is meant there.
fn is_same(a: &Uri, b: &Uri) -> bool {
    a.host.equivalent(&b.host)
        && a.port == b.port
        && party::transport_of(a) == party::transport_of(b)
        && a.is_secure() == b.is_secure()
}

impl SipLeg {
    /// Where requests inside the dialog go.
    pub(super) fn target(&self, dialog: &Dialog) -> Target {
        let peer = || self.peer.clone();
        if self.keep_to_peer {
            return peer();
        }
        let hop = dialog.next_hop();
        if let Some(Leads::To(target)) = self.hops.of(hop).map(|hop| &hop.leads) {
            return target.clone();
        }
        match party::literal_target(hop) {
            Some(target) if target.addr == self.peer.addr => peer(),
            Some(target) if target.transport == self.peer.transport => {
                self.in_the_way_of_peer(target)
            }
            // Nowhere that we may go: where the call was placed, or came from.
            Some(_) | None => peer(),
        }
    }

    /// A target that differs from the peer by its address only.
    fn in_the_way_of_peer(&self, target: Target) -> Target {
        Target {
            flow: self.peer.flow.filter(|_| !target.transport.is_reliable()),
            tls_name: self.peer.tls_name.clone(),
            ..target
        }
    }

    /// Finds out where the dialog's requests go, for as long as there is time.
    pub(crate) fn find_hop(&mut self, cx: &mut Cx<'_>) {
        let dialog = match &self.state {
            State::Up(up) => &up.dialog,
            State::Early(early) => &early.dialog,
            State::Placing(_) | State::Leaving(_) | State::Moving | State::Gone => return,
        };
        let uri = dialog.next_hop().clone();
        self.learn_hop(&uri, cx);
    }

    /// Whether an answer has to wait until it is known where the dialog that it makes, or moves,
    /// leads to. It is kept then, and comes again by itself.
    pub(super) fn waits_for_hop(
        &mut self,
        transaction: TransactionId,
        purpose: Purpose,
        response: &Response,
        cx: &mut Cx<'_>,
    ) -> bool {
        if self.keep_to_peer || !matches!(purpose, Purpose::Invite | Purpose::Change) {
            return false;
        }
        if let Some(uri) = self.hop_after(purpose, response) {
            self.learn_hop(&uri, cx);
        }
        // Those that come after it wait as well: in their order.
        let waits = self.hops.is_asking();
        let entry = (transaction, purpose, response.clone());
        let hops = &mut self.hops;
        if waits && hops.waiting.len() < WAITING_MAX && !hops.waiting.contains(&entry) {
            hops.waiting.push(entry);
        }
        if waits && purpose == Purpose::Invite {
            self.arm(cx, Timer::Silence, None); // it has said a word
        }
        waits
    }

    /// The next hop of the dialog as it will be after an answer, if we have something to send there.
    fn hop_after(&self, purpose: Purpose, response: &Response) -> Option<Uri> {
        let is_reliable = response.headers.has_token(Name::Require, "100rel");
        let is_acknowledged = response.status.is_provisional() && is_reliable;
        if !(is_acknowledged || response.status.is_success()) {
            return None;
        }
        let dialog = match (&self.state, purpose) {
            (State::Placing(placing), Purpose::Invite) => {
                Dialog::uac(&placing.invite, response).ok()?
            }
            (State::Leaving(leaving), Purpose::Invite) => match &**leaving {
                Leaving::Cancelling { invite, .. } => Dialog::uac(invite, response).ok()?,
                Leaving::Bye { .. } => return None,
            },
            (State::Up(up), Purpose::Change) => {
                let mut dialog = up.dialog.clone();
                dialog.refresh_target(&response.headers);
                dialog
            }
            _ => return None,
        };
        Some(dialog.next_hop().clone())
    }

    /// Finds out where a hop leads: at once, or by a look-up.
    fn learn_hop(&mut self, uri: &Uri, cx: &mut Cx<'_>) {
        if self.keep_to_peer || self.hops.of(uri).is_some() {
            return;
        }
        let Some(literal) = party::literal_target(uri) else {
            if let Some(id) = self.hops.keep(uri, Leads::Asked) {
                self.report(cx, Report::LookUp { hop: id, uri: Box::new(uri.clone()) });
            }
            return;
        };
        // Many leave `transport=` out over TCP and TLS: what says nothing changes nothing.
        let says_so = party::transport_of(uri).is_some() || uri.is_secure();
        if says_so && literal.transport != self.peer.transport {
            let leads = self.if_allowed(literal, cx.config).map_or(Leads::Nowhere, Leads::To);
            self.hops.keep(uri, leads);
        }
    }

    /// The answer to a look-up of this leg.
    pub(crate) fn hop_found(&mut self, id: u32, targets: Vec<Target>, cx: &mut Cx<'_>) {
        let mut allowed = targets.into_iter().filter_map(|it| self.if_allowed(it, cx.config));
        let leads = allowed.next().map_or(Leads::Nowhere, Leads::To);
        if let Some(hop) = self.hops.known.iter_mut().find(|hop| hop.id == id) {
            hop.leads = leads;
        }
        if !self.hops.is_asking() {
            self.take_waiting(cx);
        }
    }

    /// Waits for look-ups no longer.
    pub(super) fn stop_asking(&mut self, cx: &mut Cx<'_>) {
        for hop in self.hops.known.iter_mut().filter(|hop| hop.leads == Leads::Asked) {
            hop.leads = Leads::Nowhere;
        }
        self.take_waiting(cx);
    }

    fn take_waiting(&mut self, cx: &mut Cx<'_>) {
        for (transaction, purpose, response) in std::mem::take(&mut self.hops.waiting) {
            self.response(transaction, purpose, &response, cx);
        }
    }

    /// What a trunk may lead us to, see the module.
    fn if_allowed(&self, target: Target, config: &Config) -> Option<Target> {
        let transport = target.transport;
        let is_ours = config.listen.iter().any(|listen| listen.transport == transport);
        let is_secret = transport.is_secure() || !self.peer.transport.is_secure();
        let is_known = matches!(transport, Transport::Udp | Transport::Tcp | Transport::Tls);
        if !(is_ours && is_secret && is_known && is_of_one(target.addr.ip())) {
            return None;
        }
        if transport == self.peer.transport {
            let tls_name = self.party.trunk(config).and_then(|trunk| trunk.tls_name.as_deref());
            let tls_name = tls_name.map(Into::into).or(target.tls_name.clone());
            return Some(Target { tls_name, ..self.in_the_way_of_peer(target) });
        }
        Some(target)
    }
}

/// Whether an address is one host's: neither nobody's nor that of many.
fn is_of_one(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip.to_canonical(), IpAddr::V4(ip) if ip.is_broadcast());
    !ip.is_unspecified() && !ip.to_canonical().is_multicast() && !is_broadcast
}
