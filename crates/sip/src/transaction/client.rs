//! Client transactions: requests out, responses in, CANCEL and ACK.

use std::fmt;

use base::{Rng, Time};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::event::{Event, Full};
use super::invite_client::{self, InviteClient};
use super::key::number;
use super::non_invite_client::{self, NonInviteClient};
use super::steps::{Steps, collect};
use super::timing::Class;
use super::top_via::TopVia;
use super::transactions::{Entry, Transactions};
use super::{TransactionId, branch};
use crate::message::{Method, Name, Request, Response};
use crate::transport::{FlowId, Source, Target, Transport};

/// The longest request in bytes that goes over UDP when TCP may be used, RFC 3261 §18.1.1.
const UDP_REQUEST_MAX: usize = 1300;

/// Max-Forwards of an ACK and a CANCEL, RFC 3261 §8.1.1.6.
const MAX_FORWARDS: &str = "70";

/// A client transaction.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Client {
    role: Role,
    branch: Box<str>,
    target: Target,
    /// What is sent again: the request, later the ACK of a non-2xx response; empty when nothing is.
    bytes: Bytes,
    /// The request as it goes over UDP should the TCP that its size asks for fail.
    udp: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Role {
    Invite {
        machine: InviteClient,
        /// Until the final response, for the ACK and the CANCEL; without Via and body.
        request: Option<Box<Request>>,
        /// The Reason header of the CANCEL.
        reason: Option<Box<str>>,
        /// The CANCEL's transaction, which ends with this one at the latest.
        cancel: Option<TransactionId>,
    },
    NonInvite {
        machine: NonInviteClient,
        method: Method,
    },
    /// A CANCEL: the user hears nothing of it.
    Cancel {
        machine: NonInviteClient,
    },
}

impl Client {
    pub(super) const fn is_invite(&self) -> bool {
        match self.role {
            Role::Invite { .. } => true,
            Role::NonInvite { .. } | Role::Cancel { .. } => false,
        }
    }

    /// The connection the user bound it to.
    pub(super) fn flow(&self) -> Option<FlowId> {
        self.target.flow.filter(|_| self.target.transport.is_reliable())
    }

    pub(super) fn invite_request(&self) -> Option<&Request> {
        match &self.role {
            Role::Invite { request, .. } => request.as_deref(),
            Role::NonInvite { .. } | Role::Cancel { .. } => None,
        }
    }

    fn send(&self, id: TransactionId) -> Event {
        Event::Send {
            target: self.target.clone(),
            bytes: self.bytes.clone(),
            transaction: Some(id),
        }
    }
}

/// Printed messages hold credentials and keys: only their size is shown.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, branch, target, bytes, udp: _ } = self;
        write!(f, "{role:?} {branch} to {target:?} keeps {} bytes", bytes.len())
    }
}

type Received = Option<(Response, Source)>;

/// What a response answers.
enum Answered {
    Invite(TransactionId),
    NonInvite(TransactionId),
    /// A request of ours of that method, whose transaction is gone.
    Gone(Method),
}

impl Transactions {
    /// Sends a request in a transaction of its own. Its Via is written here; over UDP, unless
    /// `target` names a socket, a request of more than 1300 bytes tries TCP first.
    ///
    /// # Errors
    /// The client transactions are at their limit; nothing was sent.
    pub fn request(
        &mut self,
        now: Time,
        mut request: Request,
        mut target: Target,
        rng: &mut Rng,
        out: &mut Vec<Event>,
    ) -> Result<TransactionId, Full> {
        debug_assert!(!matches!(request.method, Method::Ack | Method::Cancel));
        if self.clients >= self.config.client_transactions_max {
            self.counters.refused += 1;
            return Err(Full);
        }
        let branch = branch::make(&self.key, self.table.next_id(), rng);
        let (bytes, udp) = self.print(&mut request, &mut target, &branch);
        self.clients += 1;
        let reliability = target.transport.into();
        let timing = self.timing();
        if request.method == Method::Invite {
            request.headers.remove(Name::Via);
            request.body = Bytes::new();
            let (machine, steps) = start(|out| InviteClient::start(reliability, &timing, out));
            let request = Some(Box::new(request));
            let role = Role::Invite { machine, request, reason: None, cancel: None };
            let id = self.add_client(Client { role, branch, target, bytes, udp });
            self.do_invite_client(now, id, steps, &mut None, out);
            Ok(id)
        } else {
            let (machine, steps) = start(|out| NonInviteClient::start(reliability, &timing, out));
            let role = Role::NonInvite { machine, method: request.method };
            let id = self.add_client(Client { role, branch, target, bytes, udp });
            self.do_non_invite_client(now, id, steps, &mut None, out);
            Ok(id)
        }
    }

    /// Gives an INVITE up: sends its CANCEL, as soon as a provisional response allows it (RFC 3261
    /// §9.1). `reason` is the value of a Reason header (RFC 3326). The INVITE still ends by its
    /// final response, or times out 64*T1 after the CANCEL. Without effect once it has one.
    pub fn cancel(
        &mut self,
        now: Time,
        invite: TransactionId,
        reason: Option<&str>,
        out: &mut Vec<Event>,
    ) {
        let Some(Entry::Client(client)) = self.table.get_mut(invite) else { return };
        let Role::Invite { machine, reason: kept, .. } = &mut client.role else { return };
        if machine.is_pending() && kept.is_none() {
            *kept = reason.map(Into::into);
        }
        self.step_invite_client(now, invite, invite_client::Input::Cancel, None, out);
    }

    /// Sends the ACK of a 2xx: a Via with a branch of its own, and no transaction (RFC 3261
    /// §13.2.2.4). It keeps to the transport of `target` whatever its size: without a transaction
    /// nothing would notice that TCP was refused.
    pub fn send_ack(
        &self,
        mut request: Request,
        target: Target,
        rng: &mut Rng,
        out: &mut Vec<Event>,
    ) {
        debug_assert_eq!(request.method, Method::Ack);
        let branch = [branch::COOKIE, &rng.token(24)].concat();
        self.put_via(&mut request, &target, &branch);
        out.push(Event::Send { target, bytes: request.to_bytes(), transaction: None });
    }

    pub(super) fn receive_response(
        &mut self,
        now: Time,
        response: Response,
        source: Source,
        out: &mut Vec<Event>,
    ) {
        let class = Class::from(response.status);
        match self.match_response(&response) {
            Some(Answered::Invite(id)) => {
                let input = invite_client::Input::Response(class);
                self.step_invite_client(now, id, input, Some((response, source)), out);
            }
            Some(Answered::NonInvite(id)) => {
                let input = non_invite_client::Input::Response(class);
                self.step_non_invite_client(now, id, input, Some((response, source)), out);
            }
            // RFC 6026 §8.1, INTEROP 7: a 2xx after the transaction would be a ghost call.
            Some(Answered::Gone(Method::Invite)) if class == Class::Success => {
                out.push(Event::Response { transaction: None, response, source });
            }
            Some(Answered::Gone(_)) | None => self.counters.stray_responses += 1,
        }
    }

    /// What the response answers; `None` if it never was ours, or if it is not the request that the
    /// CSeq speaks of.
    fn match_response(&self, response: &Response) -> Option<Answered> {
        // RFC 3261 §8.1.3.3: more than one Via means that it went astray.
        let via = TopVia::of(&response.headers).filter(TopVia::is_only)?;
        let branch = via.branch()?;
        // RFC 3261 §18.1.2: the sent-by must be ours.
        let id = branch::issued(&self.key, branch).filter(|_| self.sent_by.is_in(&via))?;
        let method = response.cseq().ok()?.method;
        // A layer restored from an older snapshot gives ids once more that it had given after it.
        let client = match self.table.get(id) {
            Some(Entry::Client(client)) if *client.branch == *branch => client,
            Some(Entry::Client(_) | Entry::Server(_)) | None => {
                return Some(Answered::Gone(method));
            }
        };
        // RFC 3261 §17.1.3: a CANCEL shares its INVITE's branch.
        match (&client.role, method) {
            (Role::Invite { .. }, Method::Invite) => Some(Answered::Invite(id)),
            (Role::Invite { cancel, .. }, Method::Cancel) => cancel.map(Answered::NonInvite),
            (Role::NonInvite { method: asked, .. }, answered) if *asked == answered => {
                Some(Answered::NonInvite(id))
            }
            (Role::Invite { .. } | Role::NonInvite { .. } | Role::Cancel { .. }, _) => None,
        }
    }

    /// The connection failed, or the message did not leave.
    pub(super) fn client_send_failed(
        &mut self,
        now: Time,
        id: TransactionId,
        out: &mut Vec<Event>,
    ) {
        let Some(Entry::Client(client)) = self.table.get_mut(id) else { return };
        // RFC 3261 §18.1.1: too large for UDP, but nobody listens on TCP.
        let falls_back = client.udp.take();
        if let Some(bytes) = falls_back.clone() {
            client.bytes = bytes;
            client.target.transport = Transport::Udp;
        }
        if client.is_invite() {
            let input = match falls_back {
                Some(_) => invite_client::Input::FallBackToUdp,
                None => invite_client::Input::TransportFailed,
            };
            self.step_invite_client(now, id, input, None, out);
        } else {
            let input = match falls_back {
                Some(_) => non_invite_client::Input::FallBackToUdp,
                None => non_invite_client::Input::TransportFailed,
            };
            self.step_non_invite_client(now, id, input, None, out);
        }
    }

    pub(super) fn step_invite_client(
        &mut self,
        now: Time,
        id: TransactionId,
        input: invite_client::Input,
        mut received: Received,
        out: &mut Vec<Event>,
    ) {
        let timing = self.timing();
        let Some(Entry::Client(client)) = self.table.get_mut(id) else { return };
        let Role::Invite { machine, .. } = &mut client.role else { return };
        let steps = collect(|step| machine.handle(input, &timing, step));
        if !machine.is_calling() {
            // RFC 3261 §17.1.1.2: the INVITE is not sent again after any response.
            client.udp = None;
        }
        self.do_invite_client(now, id, steps, &mut received, out);
        self.drop_what_is_done(id);
    }

    fn do_invite_client(
        &mut self,
        now: Time,
        id: TransactionId,
        steps: Steps<invite_client::Output>,
        received: &mut Received,
        out: &mut Vec<Event>,
    ) {
        use invite_client::Output;
        for step in steps {
            match step {
                Output::SendInvite => self.send_client(id, out),
                Output::SendAck => {
                    self.prepare_ack(id, received);
                    self.send_client(id, out);
                }
                Output::SendCancel => self.send_cancel(now, id, out),
                Output::Deliver => deliver(id, received, out),
                Output::Arm(timer, after) => self.table.arm(id, timer, now + after),
                Output::Disarm(timer) => self.table.disarm(id, timer),
                Output::End(why) => {
                    match why {
                        invite_client::End::Normal => {}
                        invite_client::End::TimedOut => {
                            out.push(Event::TimedOut { transaction: id });
                        }
                        invite_client::End::TransportFailed => {
                            out.push(Event::TransportFailed { transaction: id });
                        }
                    }
                    self.end_client(id, out);
                }
            }
        }
    }

    pub(super) fn step_non_invite_client(
        &mut self,
        now: Time,
        id: TransactionId,
        input: non_invite_client::Input,
        mut received: Received,
        out: &mut Vec<Event>,
    ) {
        let timing = self.timing();
        let Some(Entry::Client(client)) = self.table.get_mut(id) else { return };
        let (Role::NonInvite { machine, .. } | Role::Cancel { machine, .. }) = &mut client.role
        else {
            return;
        };
        let steps = collect(|step| machine.handle(input, &timing, step));
        if !machine.is_trying() {
            client.udp = None;
        }
        if !machine.is_pending() {
            client.bytes = Bytes::new();
        }
        self.do_non_invite_client(now, id, steps, &mut received, out);
    }

    fn do_non_invite_client(
        &mut self,
        now: Time,
        id: TransactionId,
        steps: Steps<non_invite_client::Output>,
        received: &mut Received,
        out: &mut Vec<Event>,
    ) {
        use non_invite_client::Output;
        let told = self.is_told(id);
        for step in steps {
            match step {
                Output::SendRequest => self.send_client(id, out),
                Output::Deliver if told => deliver(id, received, out),
                Output::Deliver => {}
                Output::Arm(timer, after) => self.table.arm(id, timer, now + after),
                Output::Disarm(timer) => self.table.disarm(id, timer),
                Output::End(why) => {
                    match why {
                        non_invite_client::End::TimedOut if told => {
                            out.push(Event::TimedOut { transaction: id });
                        }
                        non_invite_client::End::TransportFailed if told => {
                            out.push(Event::TransportFailed { transaction: id });
                        }
                        non_invite_client::End::Normal
                        | non_invite_client::End::TimedOut
                        | non_invite_client::End::TransportFailed => {}
                    }
                    self.end_client(id, out);
                }
            }
        }
    }

    /// Whether the user hears of the transaction.
    fn is_told(&self, id: TransactionId) -> bool {
        match self.table.get(id) {
            Some(Entry::Client(client)) => match client.role {
                Role::Invite { .. } | Role::NonInvite { .. } => true,
                Role::Cancel { .. } => false,
            },
            Some(Entry::Server(_)) | None => true,
        }
    }

    fn send_client(&self, id: TransactionId, out: &mut Vec<Event>) {
        if let Some(Entry::Client(client)) = self.table.get(id) {
            out.push(client.send(id));
        }
    }

    /// Makes the ACK of the first non-2xx final response; repetitions get the same bytes.
    fn prepare_ack(&mut self, id: TransactionId, received: &Received) {
        let Some(Entry::Client(client)) = self.table.get_mut(id) else { return };
        let Role::Invite { request, .. } = &mut client.role else { return };
        let (Some(invite), Some((response, _))) = (request.take(), received) else { return };
        // RFC 3261 §17.1.1.3: everything of the INVITE, but the To of the response.
        let mut ack = sibling(&invite, Method::Ack, response.headers.get(Name::To));
        let branch = client.branch.clone();
        let target = client.target.clone();
        self.put_via(&mut ack, &target, &branch);
        if let Some(Entry::Client(client)) = self.table.get_mut(id) {
            client.bytes = ack.to_bytes();
        }
    }

    /// Sends the CANCEL of an INVITE in a transaction of its own. Not counted against the limit:
    /// there is one for each INVITE at most.
    fn send_cancel(&mut self, now: Time, invite: TransactionId, out: &mut Vec<Event>) {
        let Some(Entry::Client(client)) = self.table.get(invite) else { return };
        let Role::Invite { request: Some(request), reason, .. } = &client.role else { return };
        // RFC 3261 §9.1: everything of the INVITE, its branch included, to the same address.
        let mut cancel = sibling(request, Method::Cancel, request.headers.get(Name::To));
        if let Some(reason) = reason {
            cancel.headers.push(Name::Reason, reason.to_string());
        }
        let (branch, target) = (client.branch.clone(), client.target.clone());
        self.put_via(&mut cancel, &target, &branch);
        let timing = self.timing();
        let (machine, steps) =
            start(|out| NonInviteClient::start(target.transport.into(), &timing, out));
        let role = Role::Cancel { machine };
        let bytes = cancel.to_bytes();
        let id = self.add_client(Client { role, branch, target, bytes, udp: None });
        if let Some(Entry::Client(client)) = self.table.get_mut(invite)
            && let Role::Invite { cancel, .. } = &mut client.role
        {
            *cancel = Some(id);
        }
        self.do_non_invite_client(now, id, steps, &mut None, out);
    }

    fn add_client(&mut self, client: Client) -> TransactionId {
        let flow = client.flow();
        let id = self.table.insert(Entry::Client(client));
        self.by_flow.extend(flow.map(|flow| (flow, id)));
        id
    }

    /// Frees what an INVITE no longer needs; ended ones are gone already.
    fn drop_what_is_done(&mut self, id: TransactionId) {
        let Some(Entry::Client(client)) = self.table.get_mut(id) else { return };
        let Role::Invite { machine, request, .. } = &mut client.role else { return };
        if machine.is_pending() {
            if !machine.is_calling() {
                client.bytes = Bytes::new();
            }
        } else if request.take().is_some() {
            // Accepted: a Completed one gave its request up for the ACK, which it keeps.
            client.bytes = Bytes::new();
        }
    }

    fn end_client(&mut self, id: TransactionId, out: &mut Vec<Event>) {
        let Some(Entry::Client(client)) = self.table.remove(id) else { return };
        if let Some(flow) = client.flow() {
            self.by_flow.remove(&(flow, id));
        }
        match client.role {
            Role::Invite { cancel, .. } => {
                self.clients -= 1;
                if let Some(cancel) = cancel {
                    self.end_client(cancel, out);
                }
                out.push(Event::Ended { transaction: id });
            }
            Role::NonInvite { .. } => {
                self.clients -= 1;
                out.push(Event::Ended { transaction: id });
            }
            Role::Cancel { .. } => {}
        }
    }

    /// The bytes to send, and those for UDP if the size made it TCP.
    fn print(
        &self,
        request: &mut Request,
        target: &mut Target,
        branch: &str,
    ) -> (Bytes, Option<Bytes>) {
        self.put_via(request, target, branch);
        let bytes = request.to_bytes();
        let may_change = target.transport == Transport::Udp && target.flow.is_none();
        if !may_change || bytes.len() <= UDP_REQUEST_MAX {
            return (bytes, None);
        }
        target.transport = Transport::Tcp;
        self.put_via(request, target, branch);
        (request.to_bytes(), Some(bytes))
    }

    /// Makes our Via the only one.
    fn put_via(&self, request: &mut Request, target: &Target, branch: &str) {
        let sent_by = self.sent_by.text_for(target.transport, target.addr.ip());
        // RFC 3581 §3: rport, so that the answer comes back through a NAT.
        let transport = target.transport.as_str();
        let parts = ["SIP/2.0/", transport, " ", sent_by, ";rport;branch=", branch];
        let via = parts.concat();
        request.headers.remove(Name::Via);
        request.headers.push_front(Name::Via, via);
    }
}

/// Runs the start of a machine.
fn start<M, T: Copy>(run: impl FnOnce(&mut dyn FnMut(T)) -> M) -> (M, Steps<T>) {
    let mut machine = None;
    let steps = collect(|out| machine = Some(run(out)));
    (machine.expect("collect runs it"), steps)
}

fn deliver(id: TransactionId, received: &mut Received, out: &mut Vec<Event>) {
    if let Some((response, source)) = received.take() {
        out.push(Event::Response { transaction: Some(id), response, source });
    }
}

/// The ACK or CANCEL that goes the way of an INVITE.
fn sibling(invite: &Request, method: Method, to: Option<&str>) -> Request {
    let mut request = Request::new(method, invite.uri.clone());
    let headers = &mut request.headers;
    headers.copy_from(&invite.headers, Name::Route);
    headers.copy_from(&invite.headers, Name::From);
    headers.push(Name::To, to.unwrap_or_default());
    headers.copy_from(&invite.headers, Name::CallId);
    let seq = invite.headers.get(Name::CSeq).map(number).unwrap_or_default();
    headers.push(Name::CSeq, [seq, " ", request.method.as_str()].concat());
    headers.push(Name::MaxForwards, MAX_FORWARDS);
    request
}
