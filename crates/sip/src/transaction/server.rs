//! Server transactions: requests in, responses out, CANCEL, merged requests.

use std::fmt;
use std::net::SocketAddr;

use base::Time;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::TransactionId;
use super::branch::push_hex;
use super::event::Event;
use super::invite_server::{self, InviteServer};
use super::key::{Key, tag};
use super::keyed_hash::{HashKey, Use};
use super::non_invite_server::{self, NonInviteServer};
use super::steps::collect;
use super::timing::Class;
use super::top_via::TopVia;
use super::transactions::{Entry, Transactions};
use crate::message::{Host, Method, Name, Request, Response, StatusCode};
use crate::transport::{FlowId, Source, Target, Transport};

/// A server transaction.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Server {
    role: Role,
    key: Key,
    /// The request's To tag; without one the request may meet its copy on another path.
    to_tag: Option<Box<str>>,
    /// Where responses go.
    target: Target,
    /// Where they go when the connection is gone, RFC 3261 §18.2.2.
    alternative: Option<Box<Target>>,
    /// The last response as printed; empty when it is not repeated any more.
    last: Bytes,
    /// The user knows that responses do not get through.
    told_failure: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Role {
    Invite {
        machine: InviteServer,
        /// To tag of the last response, which an RFC 2543 ACK and the answer to a CANCEL carry.
        local_tag: Option<Box<str>>,
        cancelled: bool,
    },
    NonInvite {
        machine: NonInviteServer,
    },
}

/// Printed messages hold credentials and keys: only their size is shown.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, key, target, last, .. } = self;
        write!(f, "{role:?} {key:?} to {target:?} keeps {} bytes", last.len())
    }
}

impl Server {
    pub(super) const fn is_invite(&self) -> bool {
        match self.role {
            Role::Invite { .. } => true,
            Role::NonInvite { .. } => false,
        }
    }

    /// The connection it came over.
    pub(super) fn flow(&self) -> Option<FlowId> {
        self.target.flow.filter(|_| self.target.transport.is_reliable())
    }

    pub(super) fn key_hash(&self, secret: &HashKey) -> u64 {
        secret.hash(Use::Index, self.key.text().as_bytes())
    }

    pub(super) fn call_hash(&self, secret: &HashKey) -> Option<u64> {
        self.to_tag.is_none().then(|| secret.hash(Use::Index, self.key.call().as_bytes()))
    }

    /// RFC 3261 §17.2.3, the rest of the rule for RFC 2543: an ACK carries the tag of our response,
    /// everything else that of the request.
    fn fits_to_tag(&self, key: &Key, request: &Request) -> bool {
        if key.is_rfc3261() {
            return true;
        }
        let to_tag = request.headers.get(Name::To).and_then(tag);
        match (&request.method, &self.role) {
            (Method::Ack, Role::Invite { local_tag, .. }) => {
                to_tag == local_tag.as_deref().or(self.to_tag.as_deref())
            }
            _ => to_tag == self.to_tag.as_deref(),
        }
    }
}

impl Transactions {
    /// Makes a server transaction for a request of [`Event::Request`] and, for an INVITE, sends its
    /// `100 Trying` at once. `None`: the limit is reached, and the caller replies 503 without
    /// state. An ACK makes no transaction.
    pub fn accept(
        &mut self,
        now: Time,
        request: &Request,
        source: &Source,
        out: &mut Vec<Event>,
    ) -> Option<TransactionId> {
        let id = self.accept_quietly(request, source)?;
        if request.method == Method::Invite {
            // RFC 3261 §17.2.1: within 200 ms; nobody knows yet how long the answer takes.
            self.respond(now, id, request.response(StatusCode::TRYING), out);
        }
        Some(id)
    }

    /// [`Transactions::accept`] for a request that is answered within 200 ms: without `100 Trying`.
    pub fn accept_quietly(&mut self, request: &Request, source: &Source) -> Option<TransactionId> {
        let via = TopVia::of(&request.headers).filter(|_| request.method != Method::Ack)?;
        if self.servers >= self.config.server_transactions_max {
            self.counters.refused += 1;
            return None;
        }
        let key = Key::new(request, &via, &request.method).kept();
        let reliability = source.transport.into();
        let role = if request.method == Method::Invite {
            let machine = InviteServer::start(reliability);
            Role::Invite { machine, local_tag: None, cancelled: false }
        } else {
            Role::NonInvite { machine: NonInviteServer::start(reliability) }
        };
        let server = Server {
            role,
            key,
            to_tag: request.headers.get(Name::To).and_then(tag).map(Into::into),
            target: source.reply_target(),
            alternative: alternative(request, source).map(Box::new),
            last: Bytes::new(),
            told_failure: false,
        };
        let (key_hash, call_hash) = (server.key_hash(&self.key), server.call_hash(&self.key));
        let flow = server.flow();
        let id = self.table.insert(Entry::Server(server));
        self.servers += 1;
        self.by_key.insert(key_hash, id);
        if let Some(hash) = call_hash {
            self.by_call.insert(hash, id);
        }
        self.by_flow.extend(flow.map(|flow| (flow, id)));
        Some(id)
    }

    /// Responds in a server transaction. The same 2xx to an INVITE may be given again and again:
    /// its retransmission is the user's (RFC 6026 §8.7). A response that the state does not allow
    /// is discarded, as is one to a transaction that is gone.
    pub fn respond(
        &mut self,
        now: Time,
        transaction: TransactionId,
        response: Response,
        out: &mut Vec<Event>,
    ) {
        let class = Class::from(response.status);
        match self.table.get(transaction) {
            Some(Entry::Server(server)) if server.is_invite() => {
                let input = invite_server::Input::Respond(class);
                self.step_invite_server(
                    now,
                    transaction,
                    input,
                    Some(Given::Response(response)),
                    out,
                );
            }
            Some(Entry::Server(_)) => {
                let input = non_invite_server::Input::Respond(class);
                self.step_non_invite_server(now, transaction, input, Some(response), out);
            }
            Some(Entry::Client(_)) | None => {}
        }
    }

    /// Forgets a server transaction that will never be answered, because its handling failed. The
    /// request, should it come again, is a new one.
    pub fn drop_server(&mut self, transaction: TransactionId, out: &mut Vec<Event>) {
        if let Some(Entry::Server(_)) = self.table.get(transaction) {
            self.end_server(transaction, out);
        }
    }

    /// Replies without keeping state (RFC 3261 §8.2.7). A missing To tag is filled in, the same for
    /// every retransmission of the request. An ACK is never answered.
    pub fn reply_stateless(
        &self,
        request: &Request,
        source: &Source,
        response: Response,
        out: &mut Vec<Event>,
    ) {
        self.reply_within(request, source, response, |_| true, out);
    }

    /// As [`Transactions::reply_stateless`], with a last look at what will be sent: it may be made
    /// smaller, or not be sent at all (false).
    pub fn reply_within(
        &self,
        request: &Request,
        source: &Source,
        mut response: Response,
        look: impl FnOnce(&mut Response) -> bool,
        out: &mut Vec<Event>,
    ) {
        if request.method == Method::Ack {
            return;
        }
        if response.status > StatusCode::TRYING
            && let Some(via) = TopVia::of(&request.headers)
        {
            let key = Key::new(request, &via, &request.method);
            response.set_to_tag(&self.tag_for(&key));
        }
        if !look(&mut response) {
            return;
        }
        let (target, bytes) = (source.reply_target(), response.to_bytes());
        out.push(Event::Send { target, bytes, transaction: None });
    }

    pub(super) fn receive_request(
        &mut self,
        now: Time,
        mut request: Request,
        source: Source,
        out: &mut Vec<Event>,
    ) {
        let Some(via) = TopVia::of(&request.headers) else {
            self.counters.unanswerable_requests += 1;
            return;
        };
        let (known, key) = self.match_request(&request, &via);
        let Some(id) = known else {
            stamp(&mut request, &source);
            if request.method != Method::Ack && self.is_merged(&request, &key) {
                self.counters.merged_requests += 1;
                let response = request.response(StatusCode::LOOP_DETECTED);
                self.reply_stateless(&request, &source, response, out);
            } else {
                out.push(Event::Request { request, source });
            }
            return;
        };
        match (&request.method, self.table.get(id)) {
            (Method::Ack, _) => {
                stamp(&mut request, &source);
                let given = Some(Given::Ack(Box::new((request, source))));
                self.step_invite_server(now, id, invite_server::Input::Ack, given, out);
            }
            (Method::Cancel, Some(Entry::Server(server))) if server.is_invite() => {
                stamp(&mut request, &source);
                self.receive_cancel(id, request, source, &key, out);
            }
            (_, Some(Entry::Server(server))) if server.is_invite() => {
                self.counters.retransmissions += 1;
                self.step_invite_server(now, id, invite_server::Input::Invite, None, out);
            }
            _ => {
                self.counters.retransmissions += 1;
                let input = non_invite_server::Input::Request;
                self.step_non_invite_server(now, id, input, None, out);
            }
        }
    }

    /// The server transaction a request belongs to, and the key it was found by.
    fn match_request(&self, request: &Request, via: &TopVia<'_>) -> (Option<TransactionId>, Key) {
        // RFC 3261 §9.2, §17.2.3: an ACK and a CANCEL are looked up as their INVITE.
        let sibling = matches!(request.method, Method::Ack | Method::Cancel);
        let method = if sibling { &Method::Invite } else { &request.method };
        let key = Key::new(request, via, method);
        let found = self.find(request, &key);
        if found.is_some() || request.method != Method::Cancel {
            return (found, key);
        }
        // A CANCEL that matched nothing, and for which the user made a transaction.
        let key = Key::new(request, via, &Method::Cancel);
        (self.find(request, &key), key)
    }

    fn find(&self, request: &Request, key: &Key) -> Option<TransactionId> {
        let hash = self.key.hash(Use::Index, key.text().as_bytes());
        self.by_key.get(hash).find(|&id| match self.table.get(id) {
            Some(Entry::Server(server)) => {
                server.key.text() == key.text() && server.fits_to_tag(key, request)
            }
            Some(Entry::Client(_)) | None => false,
        })
    }

    /// Whether it is the copy, on another path, of a request in progress: RFC 3261 §8.2.2.2.
    fn is_merged(&self, request: &Request, key: &Key) -> bool {
        if request.headers.get(Name::To).and_then(tag).is_some() {
            return false;
        }
        let hash = self.key.hash(Use::Index, key.call().as_bytes());
        self.by_call.get(hash).any(|id| match self.table.get(id) {
            Some(Entry::Server(server)) => server.key.call() == key.call(),
            Some(Entry::Client(_)) | None => false,
        })
    }

    /// RFC 3261 §9.2. Answered without a transaction: as long as the INVITE's lives, the answer to
    /// a repeated CANCEL is the same.
    fn receive_cancel(
        &mut self,
        id: TransactionId,
        request: Request,
        source: Source,
        key: &Key,
        out: &mut Vec<Event>,
    ) {
        let fallback = self.tag_for(key);
        let Some(Entry::Server(server)) = self.table.get_mut(id) else { return };
        let Role::Invite { machine, local_tag, cancelled } = &mut server.role else { return };
        // ATTACKS 14: a CANCEL comes from the hop that sent the INVITE, whatever it knows of it.
        if server.target.addr.ip() != source.remote.ip() {
            out.push(Event::Request { request, source });
            return;
        }
        let news = machine.is_proceeding() && !std::mem::replace(cancelled, true);
        // RFC 3261 §9.2: the same To tag as in the responses to the INVITE.
        let tag = local_tag.as_deref().unwrap_or(&fallback);
        let response = request.response(StatusCode::OK).with_to_tag(tag);
        let (target, bytes) = (source.reply_target(), response.to_bytes());
        out.push(Event::Send { target, bytes, transaction: None });
        if news {
            out.push(Event::Cancelled { transaction: id });
        }
    }

    /// A To tag that is the same for a retransmission, RFC 3261 §8.2.7.
    fn tag_for(&self, key: &Key) -> String {
        let mut tag = String::with_capacity(16);
        push_hex(&mut tag, self.key.hash(Use::Tag, key.text().as_bytes()), 16);
        tag
    }

    /// RFC 3261 §18.2.2: once more to the address in the Via, if that is another way.
    pub(super) fn server_send_failed(
        &mut self,
        now: Time,
        id: TransactionId,
        out: &mut Vec<Event>,
    ) {
        if self.leave_flow(id) {
            self.send_last(id, out);
            return;
        }
        match self.table.get(id) {
            Some(Entry::Server(server)) if server.is_invite() => {
                let input = invite_server::Input::TransportFailed;
                self.step_invite_server(now, id, input, None, out);
            }
            Some(Entry::Server(_)) => {
                let input = non_invite_server::Input::TransportFailed;
                self.step_non_invite_server(now, id, input, None, out);
            }
            Some(Entry::Client(_)) | None => {}
        }
    }

    /// Sends future responses to the address in the Via; whether there is such a way.
    pub(super) fn leave_flow(&mut self, id: TransactionId) -> bool {
        let Some(Entry::Server(server)) = self.table.get_mut(id) else { return false };
        let Some(alternative) = server.alternative.take() else { return false };
        if let Some(flow) = server.flow() {
            self.by_flow.remove(&(flow, id));
        }
        server.target = *alternative;
        true
    }

    pub(super) fn step_invite_server(
        &mut self,
        now: Time,
        id: TransactionId,
        input: invite_server::Input,
        mut given: Option<Given>,
        out: &mut Vec<Event>,
    ) {
        use invite_server::Output;
        let timing = self.timing();
        let Some(Entry::Server(server)) = self.table.get_mut(id) else { return };
        let Role::Invite { machine, .. } = &mut server.role else { return };
        let steps = collect(|step| machine.handle(input, &timing, step));
        if !machine.repeats() {
            server.last = Bytes::new();
        }
        for step in steps {
            match step {
                Output::SendResponse => {
                    if let Some(Given::Response(response)) = given.take() {
                        self.send_response(id, &response, out);
                    }
                }
                Output::SendLast => self.send_last(id, out),
                Output::Acked => out.push(Event::Acked { transaction: id }),
                Output::DeliverAck => {
                    if let Some(Given::Ack(ack)) = given.take() {
                        let (request, source) = *ack;
                        out.push(Event::Request { request, source });
                    }
                }
                Output::TellFailure => self.tell_failure(id, out),
                Output::Arm(timer, after) => self.table.arm(id, timer, now + after),
                Output::Disarm(timer) => self.table.disarm(id, timer),
                Output::End(why) => {
                    match why {
                        invite_server::End::Normal => {}
                        invite_server::End::AckTimedOut => {
                            out.push(Event::AckTimedOut { transaction: id });
                        }
                    }
                    self.end_server(id, out);
                }
            }
        }
    }

    pub(super) fn step_non_invite_server(
        &mut self,
        now: Time,
        id: TransactionId,
        input: non_invite_server::Input,
        response: Option<Response>,
        out: &mut Vec<Event>,
    ) {
        use non_invite_server::Output;
        let timing = self.timing();
        let Some(Entry::Server(server)) = self.table.get_mut(id) else { return };
        let Role::NonInvite { machine } = &mut server.role else { return };
        for step in collect(|step| machine.handle(input, &timing, step)) {
            match step {
                Output::SendResponse => {
                    if let Some(response) = &response {
                        self.send_response(id, response, out);
                    }
                }
                Output::SendLast => self.send_last(id, out),
                Output::TellFailure => self.tell_failure(id, out),
                Output::Arm(timer, after) => self.table.arm(id, timer, now + after),
                Output::End => self.end_server(id, out),
            }
        }
    }

    fn send_response(&mut self, id: TransactionId, response: &Response, out: &mut Vec<Event>) {
        let Some(Entry::Server(server)) = self.table.get_mut(id) else { return };
        let bytes = response.to_bytes();
        let keep = match &mut server.role {
            Role::Invite { machine, local_tag, .. } => {
                let tag = response.headers.get(Name::To).and_then(tag);
                if tag.is_some() && tag != local_tag.as_deref() {
                    *local_tag = tag.map(Into::into);
                }
                machine.repeats()
            }
            Role::NonInvite { .. } => true,
        };
        if keep {
            server.last = bytes.clone();
        }
        out.push(Event::Send { target: server.target.clone(), bytes, transaction: Some(id) });
    }

    fn send_last(&self, id: TransactionId, out: &mut Vec<Event>) {
        let Some(Entry::Server(server)) = self.table.get(id) else { return };
        if !server.last.is_empty() {
            let (target, bytes) = (server.target.clone(), server.last.clone());
            out.push(Event::Send { target, bytes, transaction: Some(id) });
        }
    }

    fn tell_failure(&mut self, id: TransactionId, out: &mut Vec<Event>) {
        let Some(Entry::Server(server)) = self.table.get_mut(id) else { return };
        if !std::mem::replace(&mut server.told_failure, true) {
            out.push(Event::TransportFailed { transaction: id });
        }
    }

    fn end_server(&mut self, id: TransactionId, out: &mut Vec<Event>) {
        let Some(Entry::Server(server)) = self.table.remove(id) else { return };
        self.servers -= 1;
        self.by_key.remove(server.key_hash(&self.key), id);
        if let Some(hash) = server.call_hash(&self.key) {
            self.by_call.remove(hash, id);
        }
        if let Some(flow) = server.flow() {
            self.by_flow.remove(&(flow, id));
        }
        out.push(Event::Ended { transaction: id });
    }
}

/// What an INVITE server transaction's step may have to pass on.
pub(super) enum Given {
    Response(Response),
    Ack(Box<(Request, Source)>),
}

/// Writes the sender's address into the top Via, so that every response carries it.
fn stamp(request: &mut Request, source: &Source) {
    let Some(via) = TopVia::of(&request.headers) else { return };
    let fills_line = via.fills_line();
    match via.stamped(source) {
        Some(stamped) if fills_line => request.headers.replace_line(Name::Via, stamped),
        Some(stamped) => request.headers.set_first(Name::Via, stamped),
        None => {}
    }
}

/// RFC 3261 §18.2.2: for a connection that is gone, one to the sender's address and the port of
/// the Via. A WebSocket client accepts none (RFC 7118 §5), and UDP has no connection.
fn alternative(request: &Request, source: &Source) -> Option<Target> {
    match source.transport {
        Transport::Tcp | Transport::Tls => {}
        Transport::Udp | Transport::Ws | Transport::Wss => return None,
    }
    let via = request.via().ok()?;
    let port = via.port.unwrap_or(source.transport.default_port());
    let tls_name = match &via.host {
        Host::Name(name) if source.transport.is_secure() => Some((&**name).into()),
        Host::Name(_) | Host::Ip(_) => None,
    };
    Some(Target {
        transport: source.transport,
        addr: SocketAddr::new(source.remote.ip(), port),
        flow: None,
        tls_name,
    })
}
