//! The signalling side of the core that legs, trunks and the registrar share: transactions and who
//! owns each, deadlines, chance, and the names we go by on each transport.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use base::{Rng, Time, Timers};
use call::{CallId, LegId};
use serde::{Deserialize, Serialize};
use sip::message::{Name, Request, Response, StatusCode, Uri};
use sip::registrar::BindingId;
use sip::transaction::{Event, TransactionId, Transactions};
use sip::transport::{Source, Target, Transport};

use crate::config::Config;
use crate::io::QueryId;
use crate::trunk::GatewayId;

/// Unwanted answers to one INVITE that are hung up; a proxy that forks further is ignored.
const STRAYS_MAX: usize = 8;

/// Whose a client transaction is, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Owner {
    /// A leg's own request.
    Leg(LegId, Purpose),
    /// OPTIONS to a gateway of a trunk.
    TrunkOptions(usize, GatewayId),
    /// REGISTER at a gateway of a trunk.
    TrunkRegister(usize, GatewayId),
    /// OPTIONS to a registered phone.
    Qualify(BindingId, Time),
    /// Nobody waits for the answer, which is this trunk's.
    Nobody(Option<usize>),
}

/// What a leg's request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// The INVITE that places the leg.
    Invite,
    /// A re-INVITE or UPDATE of ours.
    Change,
    /// A PRACK.
    Prack,
    /// An INFO that tells of a key.
    Info,
    /// The BYE.
    Bye,
    /// A NOTIFY.
    Notify,
}

/// Whose a look-up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Asker {
    /// A leg being placed.
    Leg(LegId),
    /// A leg whose far end names a host.
    Hop(LegId, u32),
    /// A trunk: one of its targets.
    Trunk(usize, usize),
}

/// Every deadline of the core that is not kept by the transactions or the registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Deadline {
    /// Of a call.
    Call(CallId, call::Timer),
    /// Of a leg.
    Leg(LegId, crate::sip_leg::Timer),
    /// When the caller of a call has heard for long enough why it is refused.
    Refusal(CallId),
    /// When what an agent dials on a leg is complete.
    Code(LegId),
    /// When a gateway of a trunk is asked whether it lives, or has been silent for too long after that.
    TrunkOptions(usize, GatewayId),
    /// When a trunk registration is renewed.
    TrunkRegister(usize),
    /// When a trunk's names are looked up again.
    TrunkResolve(usize),
    /// When the drain's patience ends.
    Drain,
}

/// See the module.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wire {
    pub(crate) transactions: Transactions,
    pub(crate) owners: BTreeMap<TransactionId, Owner>,
    pub(crate) askers: BTreeMap<QueryId, Asker>,
    pub(crate) timers: Timers<Deadline>,
    pub(crate) rng: Rng,
    queries: u64,
    /// Dialogs that nobody here wanted and that were hung up: INVITE and the far end's tag.
    strays: BTreeSet<(TransactionId, Box<str>)>,
    /// BYEs of dialogs without a leg, should the far end want a proof of them.
    goodbyes: BTreeMap<TransactionId, Goodbye>,
    /// How many bytes may go back for the message being worked on, when its sender is a stranger.
    #[serde(skip)]
    pub(crate) room: Option<usize>,
    /// What the transactions emitted and the core has not handled yet.
    #[serde(skip)]
    pub(crate) events: Vec<Event>,
}

/// A BYE of a dialog without a leg.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Goodbye {
    pub(crate) bye: Request,
    pub(crate) target: Target,
    /// The trunk that the dialog was with, as far as that is known.
    pub(crate) trunk: Option<usize>,
}

impl Wire {
    pub(crate) fn new(transactions: Transactions, rng: Rng) -> Self {
        Self {
            transactions,
            owners: BTreeMap::new(),
            askers: BTreeMap::new(),
            timers: Timers::default(),
            rng,
            queries: 0,
            strays: BTreeSet::new(),
            goodbyes: BTreeMap::new(),
            room: None,
            events: Vec::new(),
        }
    }

    /// Sends a request in a new client transaction. `None`: too many transactions, nothing sent.
    pub(crate) fn request(
        &mut self,
        now: Time,
        request: Request,
        target: Target,
        owner: Owner,
    ) -> Option<TransactionId> {
        let sent = self.transactions.request(now, request, target, &mut self.rng, &mut self.events);
        let transaction = sent.ok()?;
        self.owners.insert(transaction, owner);
        Some(transaction)
    }

    /// Sends an ACK for a 2xx.
    pub(crate) fn ack(&mut self, ack: Request, target: Target) {
        self.transactions.send_ack(ack, target, &mut self.rng, &mut self.events);
    }

    /// A 2xx to an INVITE of ours that made a dialog nobody wants: ACK, and a BYE that is repeated
    /// until it is answered, else the far end has a ghost call (INTEROP 7). A 2xx that comes again
    /// is only acknowledged again. `trunk`: whom the INVITE went to, where that is known.
    pub(crate) fn end_stray(
        &mut self,
        now: Time,
        invite: Option<TransactionId>,
        response: &Response,
        target: Target,
        trunk: Option<usize>,
    ) {
        if !response.status.is_success() {
            return;
        }
        let Some((ack, bye)) = crate::sip_leg::ack_and_bye(response) else { return };
        self.ack(ack, target.clone());
        let tag = response.headers.to().ok().and_then(|to| to.tag().map(Box::from));
        let is_new = invite.is_none_or(|invite| {
            let of_invite = (invite, Box::from(""))..(TransactionId(invite.0 + 1), Box::from(""));
            self.strays.range(of_invite).count() < STRAYS_MAX
                && self.strays.insert((invite, tag.unwrap_or_default()))
        });
        if is_new {
            self.say_goodbye(now, bye, target, trunk);
        }
    }

    /// Hangs up a dialog that has no leg any more.
    pub(crate) fn say_goodbye(
        &mut self,
        now: Time,
        bye: Request,
        target: Target,
        trunk: Option<usize>,
    ) {
        let sent = self.request(now, bye.clone(), target.clone(), Owner::Nobody(trunk));
        if let Some(transaction) = sent {
            self.goodbyes.insert(transaction, Goodbye { bye, target, trunk });
        }
    }

    /// The BYE that this transaction is for, told once.
    pub(crate) fn goodbye(&mut self, transaction: TransactionId) -> Option<Goodbye> {
        self.goodbyes.remove(&transaction)
    }

    /// Forgets a transaction.
    pub(crate) fn ended(&mut self, transaction: TransactionId) {
        self.owners.remove(&transaction);
        self.goodbyes.remove(&transaction);
        self.strays.retain(|(invite, _)| *invite != transaction);
    }

    /// Answers in a server transaction.
    pub(crate) fn respond(&mut self, now: Time, transaction: TransactionId, response: Response) {
        self.transactions.respond(now, transaction, response, &mut self.events);
    }

    /// Cancels an INVITE of ours.
    pub(crate) fn cancel(&mut self, now: Time, invite: TransactionId, reason: Option<&str>) {
        self.transactions.cancel(now, invite, reason, &mut self.events);
    }

    /// Answers without keeping state. A stranger who leaves little room goes without what we can do,
    /// or without an answer.
    pub(crate) fn reply(&mut self, request: &Request, source: &Source, response: Response) {
        self.reply_shorter(request, source, response, |_| {});
    }

    /// As [`Self::reply`]; `shorten` is the last thing that is tried where there is little room.
    pub(crate) fn reply_shorter(
        &mut self,
        request: &Request,
        source: &Source,
        response: Response,
        shorten: impl FnOnce(&mut Response),
    ) {
        let room = self.room.unwrap_or(usize::MAX);
        let fit = |response: &mut Response| {
            if response.wire_len() > room {
                for optional in [Name::Allow, Name::Supported, Name::Accept, Name::Server] {
                    response.headers.remove(optional);
                }
            }
            if response.wire_len() > room {
                shorten(response);
            }
            response.wire_len() <= room
        };
        self.transactions.reply_within(request, source, response, fit, &mut self.events);
    }

    /// Answers in a fresh server transaction, so that retransmissions get the same answer.
    pub(crate) fn answer(
        &mut self,
        now: Time,
        request: &Request,
        source: &Source,
        response: Response,
    ) {
        match self.transactions.accept(now, request, source, &mut self.events) {
            Some(transaction) => self.respond(now, transaction, response),
            None => self.reply(request, source, overloaded(request)),
        }
    }

    /// A fresh look-up id.
    pub(crate) fn query(&mut self, asker: Asker) -> QueryId {
        self.queries += 1;
        let query = QueryId(self.queries);
        self.askers.insert(query, asker);
        query
    }
}

/// Seconds after which an overloaded or draining server may be tried again.
pub(crate) const RETRY_AFTER_S: u32 = 5;

/// What a 503 says of the limit that was met (RFC 3326), and when to try again.
pub(crate) fn limited(limit: &str) -> [(Name, String); 2] {
    let cause = call::Cause::CONGESTION.q850();
    let reason = format!("Q.850;cause={cause};text=\"{limit}\"");
    [(Name::Reason, reason), (Name::RetryAfter, RETRY_AFTER_S.to_string())]
}

/// 503 with Retry-After.
pub(crate) fn overloaded(request: &Request) -> Response {
    let mut response = request.response(StatusCode::SERVICE_UNAVAILABLE);
    response.headers.set(Name::RetryAfter, RETRY_AFTER_S.to_string());
    response
}

/// Our URI for Contact on `transport` towards an address of `peer`'s family.
pub(crate) fn contact(config: &Config, transport: Transport, peer: IpAddr) -> Uri {
    let listens = config.listen.iter().filter(|listen| listen.transport == transport);
    let same_family = |ip: IpAddr| ip.is_ipv4() == peer.to_canonical().is_ipv4();
    let listen = listens
        .clone()
        .find(|listen| same_family(listen.address.ip()))
        .or_else(|| listens.clone().next())
        .or_else(|| config.listen.first());
    let (host, port) =
        listen.map_or_else(|| ("localhost".to_owned(), 5060), crate::config::Listen::advertised);
    let mut uri = Uri::sip("", crate::party::host(&host), Some(port));
    if transport != Transport::Udp {
        let name = match transport {
            Transport::Wss => Transport::Ws, // RFC 7118 §5.3: `ws` for both, the port tells
            Transport::Udp | Transport::Tcp | Transport::Tls | Transport::Ws => transport,
        };
        uri.params.set("transport", Some(&name.as_str().to_ascii_lowercase()));
    }
    uri
}
