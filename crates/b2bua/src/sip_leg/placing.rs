//! The UAC side before a final answer: targets in turn, challenges, the answer.

use std::collections::BTreeMap;

use base::Rng;
use call::{Cause, LegEvent, LegId, Side};
use media::command::Found;
use sdp::Negotiation;
use serde::{Deserialize, Serialize};
use sip::auth::ClientAuth;
use sip::dialog::{Dialog, SessionTimer, allow};
use sip::message::{Method, Name, NameAddr, Request, Response, StatusCode, Uri};
use sip::transaction::TransactionId;
use sip::transport::{Target, Transport};

use super::forks::Fork;
use super::leave::Leaving;
use super::up::Up;
use super::{
    BOTH, Cx, Failure, MediaPlace, Outgoing, Report, SDP, SipLeg, State, Timer, kept_headers,
    name_addr, new_negotiation, security,
};
use crate::config::{CallerIdStyle, Config};
use crate::party::{self, Identity, Party};
use crate::trunk::GatewayId;
use crate::wire::{self, Owner, Purpose};

/// The way to a phone or gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Way {
    /// Request-URI.
    pub(crate) uri: Uri,
    /// Where to send, in order; empty when the URI's host must be looked up first.
    pub(crate) targets: Vec<Target>,
    /// Route set to begin with (Path of a registration).
    pub(crate) route: Vec<NameAddr>,
    /// Whether everything of the leg goes to the first target, whatever Contact says.
    pub(crate) keep_to_target: bool,
    /// Further flows to the same device, for when this one fails (RFC 5626 §7).
    pub(crate) others: Vec<Self>,
}

/// Challenges answered for one INVITE.
const CHALLENGES_MAX: u8 = 2;

/// An INVITE of ours without a final answer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Placing {
    /// As sent, without Via.
    pub(super) invite: Request,
    way: Way,
    /// Which target is being tried.
    at: usize,
    pub(super) transaction: Option<TransactionId>,
    pub(super) auth: ClientAuth,
    challenges: u8,
    /// Early dialogs by the far end's tag.
    pub(super) forks: BTreeMap<Box<str>, Fork>,
    /// The fork whose early media is heard: the one that spoke last.
    pub(super) heard: Option<Box<str>>,
    rang: bool,
}

impl Placing {
    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    /// Turns to the next flow of the device. False: there is none.
    fn next_flow(&mut self) -> bool {
        if self.way.others.is_empty() {
            return false;
        }
        let mut others = std::mem::take(&mut self.way.others);
        self.way = others.remove(0);
        self.way.others = others;
        self.at = 0;
        self.invite.uri = self.way.uri.clone();
        self.invite.headers.remove(Name::Route);
        for route in &self.way.route {
            self.invite.headers.push(Name::Route, route.to_string());
        }
        true
    }

    pub(super) fn negotiation(&self) -> Option<&Negotiation> {
        Some(&self.forks.get(self.heard.as_ref()?)?.negotiation)
    }
}

impl SipLeg {
    /// A leg about to be placed; [`Self::send_invite`] sends it on its way.
    pub(crate) fn outgoing(
        id: LegId,
        outgoing: Outgoing,
        media: MediaPlace,
        config: &Config,
        rng: &mut Rng,
    ) -> Self {
        let (local_tag, call_id) = (rng.token(12), rng.token(24));
        let transport = outgoing.way.targets.first().map_or(Transport::Udp, |to| to.transport);
        let policy = security::offered(outgoing.party.srtp(config), transport, config);
        let mut negotiation = new_negotiation(media, policy, outgoing.party.dtmf(config), rng);
        let offer = negotiation.offer(&outgoing.codecs, BOTH).ok();
        let session = SessionTimer::new(config.sip.session_expires, config.sip.min_se);
        let peer = outgoing.way.targets.first().cloned().unwrap_or_else(nowhere);
        let mut invite = first_invite(&outgoing, &local_tag, &call_id, config);
        session.offer(&mut invite.headers);
        if let Some(offer) = offer {
            invite.set_body(SDP, offer);
        }
        let keep_to_peer = outgoing.way.keep_to_target;
        Self {
            id,
            call: outgoing.call,
            side: Side::Callee,
            party: outgoing.party,
            media,
            call_id: call_id.into(),
            local_tag: local_tag.into(),
            peer,
            keep_to_peer,
            hops: super::hop::Hops::default(),
            state: State::Placing(Box::new(Placing {
                invite,
                way: outgoing.way,
                at: 0,
                transaction: None,
                auth: ClientAuth::default(),
                challenges: 0,
                forks: BTreeMap::new(),
                heard: None,
                rang: false,
            })),
            negotiation,
            session,
            configured: None,
            found: Found::default(),
            held: false,
            driven: super::event::Driven::default(),
            final_status: 0,
            codec: None,
            protection: None,
            no_media: false,
            rebinds: 0,
            quality: None,
            jitter_ms: 0.0,
            intake: media::dtmf::Intake::default(),
        }
    }

    /// The URI whose host must be looked up before the INVITE can leave.
    pub(crate) fn needs_lookup(&self) -> Option<Uri> {
        match &self.state {
            State::Placing(placing) if placing.way.targets.is_empty() => {
                Some(placing.way.uri.clone())
            }
            State::Placing(_)
            | State::Early(_)
            | State::Up(_)
            | State::Leaving(_)
            | State::Moving
            | State::Gone => None,
        }
    }

    /// The look-up's answer.
    pub(crate) fn resolved(&mut self, targets: Vec<Target>, cx: &mut Cx<'_>) {
        let State::Placing(placing) = &mut self.state else { return };
        if targets.is_empty() {
            return self.lost(Cause::CONGESTION, cx); // RFC 3263 §4.3: as a 503
        }
        placing.way.targets = targets;
        self.send_invite(cx);
    }

    /// Sends the INVITE to the present target.
    pub(crate) fn send_invite(&mut self, cx: &mut Cx<'_>) {
        let State::Placing(placing) = &mut self.state else { return };
        placing.forks.clear(); // of an INVITE that this one takes the place of
        placing.heard = None;
        let Some(target) = placing.way.targets.get(placing.at).cloned() else {
            return self.lost(Cause::CONGESTION, cx);
        };
        self.peer = target.clone();
        let contact = wire::contact(cx.config, target.transport, target.addr.ip());
        placing.invite.headers.set(Name::Contact, format!("<{contact}>"));
        let owner = Owner::Leg(self.id, Purpose::Invite);
        placing.transaction = cx.wire.request(cx.now, placing.invite.clone(), target, owner);
        if placing.transaction.is_none() {
            return self.lost(Cause::CONGESTION, cx);
        }
        // A phone has until timer B, unless there is another way to it; a gateway that is silent
        // costs the customer's patience.
        let State::Placing(placing) = &self.state else { return };
        let is_impatient = self.party.trunk(cx.config).is_some() || !placing.way.others.is_empty();
        let patience = is_impatient.then(|| cx.now + cx.config.sip.trunk_timeout);
        self.arm(cx, Timer::Silence, patience);
    }

    /// The present target has not said a word: try the next, if there is one.
    pub(super) fn target_is_silent(&mut self, cx: &mut Cx<'_>) {
        let State::Placing(placing) = &mut self.state else { return };
        if let Some(transaction) = placing.transaction.take() {
            // Whatever it still answers is ACKed and hung up.
            cx.wire.owners.insert(transaction, Owner::Nobody(self.party.trunk_index()));
            cx.wire.cancel(cx.now, transaction, None);
        }
        if !self.next_target(cx) {
            self.lost(Cause::TIMEOUT, cx);
        }
    }

    /// RFC 3263 §4.3: a new request, with a new branch, to the next address, or over the next flow
    /// of the same device (RFC 5626 §7). False: there is none.
    fn next_target(&mut self, cx: &mut Cx<'_>) -> bool {
        let State::Placing(placing) = &mut self.state else { return true };
        placing.at += 1;
        let is_there = placing.at < placing.way.targets.len() || placing.next_flow();
        if is_there {
            self.send_invite(cx);
        }
        is_there
    }

    /// The INVITE got no answer.
    pub(super) fn invite_failed(&mut self, failure: Failure, cx: &mut Cx<'_>) {
        let State::Placing(placing) = &mut self.state else { return };
        placing.transaction = None;
        self.arm(cx, Timer::Silence, None);
        if !self.next_target(cx) {
            let cause = match failure {
                Failure::TimedOut => Cause::TIMEOUT,
                Failure::Transport => Cause::CONGESTION,
            };
            self.lost(cause, cx);
        }
    }

    /// An answer to the INVITE.
    pub(super) fn invite_answered(&mut self, response: &Response, cx: &mut Cx<'_>) {
        self.final_status = response.status.0;
        self.arm(cx, Timer::Silence, None);
        match response.status.0 {
            100..=199 => self.progressed(response, cx),
            200..=299 => self.accepted(response, cx),
            status => self.invite_refused(status, response, cx),
        }
    }

    fn invite_refused(&mut self, status: u16, response: &Response, cx: &mut Cx<'_>) {
        let State::Placing(placing) = &mut self.state else { return };
        placing.transaction = None;
        if status == 503
            && let (Some(seconds), Some(_)) = (response.retry_after(), self.party.trunk_index())
        {
            let gateway = GatewayId(self.peer.transport, self.peer.addr);
            self.report(cx, Report::Overloaded { gateway, seconds });
        }
        let State::Placing(placing) = &mut self.state else { return };
        match status {
            401 | 407 => self.answer_challenge(response, cx),
            422 => {
                // RFC 4028 §7.3: once more with what the far end demands.
                let raised = self.session.too_small(response);
                if raised {
                    self.session.offer(&mut placing.invite.headers);
                    bump_cseq(&mut placing.invite);
                    return self.send_invite(cx);
                }
                self.refused(Cause::from_status(status), cx);
            }
            300..=399 => {
                let contacts = match response.headers.contacts() {
                    Ok(sip::message::ContactList::List(list)) => {
                        list.into_iter().map(|contact| contact.uri).collect()
                    }
                    Ok(sip::message::ContactList::Star) | Err(_) => Vec::new(),
                };
                // S14: an agent's phone forwards nothing; a trunk by policy.
                let cause = Cause::UNAVAILABLE;
                self.report(cx, Report::Redirected { contacts, cause });
                self.gone(cx);
            }
            // RFC 3263 §4.3, RFC 5626 §7: this address is out of service, or this flow is gone; the
            // next may not be.
            408 | 430 | 503 if self.next_target(cx) => {}
            _ => self.refused(Cause::from_status(status), cx),
        }
    }

    /// Answers a trunk's challenge with its credentials. ATTACKS 16: of that trunk only.
    fn answer_challenge(&mut self, response: &Response, cx: &mut Cx<'_>) {
        let credentials = self.party.trunk(cx.config).and_then(|t| t.credentials.as_ref());
        let State::Placing(placing) = &mut self.state else { return };
        placing.challenges += 1;
        let answered = credentials.is_some_and(|credentials| {
            bump_cseq(&mut placing.invite);
            placing.challenges <= CHALLENGES_MAX
                && placing
                    .auth
                    .authorize(&mut placing.invite, response, &credentials.into(), &mut cx.wire.rng)
                    .is_ok()
        });
        match answered {
            true => self.send_invite(cx),
            // The far end wants something of us, not of the caller: to it the way is closed.
            false => self.refused(Cause::CONGESTION, cx),
        }
    }

    fn progressed(&mut self, response: &Response, cx: &mut Cx<'_>) {
        if response.status == StatusCode::TRYING {
            return;
        }
        let media = self.early_dialog(response, cx);
        let State::Placing(placing) = &mut self.state else { return };
        let rings = response.status == StatusCode::RINGING && !placing.rang;
        placing.rang |= rings;
        if media {
            self.report(cx, Report::Agreed);
            self.tell(cx, LegEvent::EarlyMedia);
        }
        if rings {
            self.tell(cx, LegEvent::Ringing);
        }
    }

    /// A 2xx: this fork wins.
    fn accepted(&mut self, response: &Response, cx: &mut Cx<'_>) {
        let state = std::mem::replace(&mut self.state, State::Moving);
        let State::Placing(mut placing) = state else {
            self.state = state;
            return;
        };
        let tag = response.headers.to().ok().and_then(|to| to.tag().map(Box::<str>::from));
        let fork = tag.and_then(|tag| placing.forks.remove(&tag));
        let (dialog, negotiation, settled, prack) = match fork {
            Some(fork) => (Ok(fork.dialog), fork.negotiation, fork.settled, fork.prack),
            None => (Dialog::uac(&placing.invite, response), self.negotiation.clone(), false, None),
        };
        let Ok(mut dialog) = dialog else {
            // No dialog can be made of it: neither an ACK nor a BYE could be sent.
            self.state = State::Placing(placing);
            return self.lost(Cause::INTERNAL, cx);
        };
        dialog.confirm_by(response);
        self.negotiation = negotiation;
        let ack = self.ack_for(&dialog, &placing.invite);
        cx.wire.ack(ack.0.clone(), ack.1.clone());
        let mut up = Up::new(dialog, None);
        up.auth = placing.auth;
        up.prack = prack;
        up.answer_headers = kept_headers(response);
        up.learn_capabilities(&response.headers);
        up.acks.remember(placing.invite.headers.cseq().map(|c| c.seq).unwrap_or_default(), ack);
        self.state = State::Up(Box::new(up));
        self.described(response, settled, cx);
    }

    /// The answer in a 2xx, or in the 18x before it.
    fn described(&mut self, response: &Response, settled: bool, cx: &mut Cx<'_>) {
        let session = Self::sdp(&response.headers, &response.body).ok().flatten();
        // What an unreliable 18x said was a preview: the 2xx decides.
        if !settled && let Some(session) = session {
            let _ = self.negotiation.receive_answer(session);
        }
        if self.negotiation.agreed().is_none() {
            // RFC 3261 §13.2.2.4: a 2xx that can't be used is ACKed, then ended.
            self.final_status = StatusCode::NOT_ACCEPTABLE_HERE.0;
            self.tell(cx, LegEvent::Lost(Cause::INCOMPATIBLE));
            return self.bye(Cause::INCOMPATIBLE, cx);
        }
        self.session.accepted(cx.now, response);
        self.arm(cx, Timer::Session, self.session.deadline());
        self.tell(cx, LegEvent::Answered);
        self.report(cx, Report::Agreed);
        self.note_hold(cx);
    }

    /// The far end does not want the leg.
    fn refused(&mut self, cause: Cause, cx: &mut Cx<'_>) {
        self.not_placed(LegEvent::Refused(cause), cause, cx);
    }

    /// The leg cannot be placed.
    fn lost(&mut self, cause: Cause, cx: &mut Cx<'_>) {
        self.not_placed(LegEvent::Lost(cause), cause, cx);
    }

    fn not_placed(&mut self, event: LegEvent, cause: Cause, cx: &mut Cx<'_>) {
        if self.final_status < 300 {
            self.final_status = cause.status();
        }
        self.tell(cx, event);
        self.gone(cx);
    }

    /// Gives up an INVITE without a final answer.
    pub(super) fn cancel_invite(&mut self, reason: &str, cx: &mut Cx<'_>) {
        let state = std::mem::replace(&mut self.state, State::Moving);
        let State::Placing(placing) = state else {
            self.state = state;
            return;
        };
        self.arm(cx, Timer::Silence, None);
        match placing.transaction {
            Some(transaction) => {
                cx.wire.cancel(cx.now, transaction, Some(reason));
                let early = placing.forks.into_values().map(|fork| fork.dialog).collect();
                let invite = placing.invite;
                self.state = State::Leaving(Box::new(Leaving::Cancelling { invite, early }));
                self.stop_asking(cx);
            }
            None => self.gone(cx),
        }
    }

    /// The ACK of a 2xx to `invite`, and where it goes. It carries the INVITE's credentials.
    pub(super) fn ack_for(&self, dialog: &Dialog, invite: &Request) -> (Request, Target) {
        let cseq = invite.headers.cseq().map(|cseq| cseq.seq).unwrap_or_default();
        let mut ack = dialog.ack(cseq);
        ack.headers.copy_from(&invite.headers, Name::Authorization);
        ack.headers.copy_from(&invite.headers, Name::ProxyAuthorization);
        (ack, self.target(dialog))
    }
}

pub(crate) fn bump_cseq(request: &mut Request) {
    if let Ok(mut cseq) = request.headers.cseq() {
        cseq.seq += 1;
        request.headers.set(Name::CSeq, cseq.to_string());
    }
}

fn nowhere() -> Target {
    let addr = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    Target { transport: Transport::Udp, addr, flow: None, tls_name: None }
}

fn first_invite(outgoing: &Outgoing, tag: &str, call_id: &str, config: &Config) -> Request {
    let mut request = Request::new(Method::Invite, outgoing.way.uri.clone());
    let trunk = outgoing.party.trunk(config);
    let headers = &mut request.headers;
    for route in &outgoing.way.route {
        headers.push(Name::Route, route.to_string());
    }
    headers.push(Name::MaxForwards, outgoing.inherited.max_forwards.unwrap_or(70).to_string());
    let caller = shown_to(&outgoing.from, &outgoing.party, config);
    let mut from = identity_address(&caller, config);
    from.set_tag(tag);
    headers.push(Name::From, from.to_string());
    let to = match trunk {
        Some(_) => outgoing.way.uri.clone(),
        None => Uri::sip(&outgoing.to, party::host(&config.realm), None),
    };
    headers.push(Name::To, NameAddr::new(to).to_string());
    headers.push(Name::CallId, call_id);
    headers.push(Name::CSeq, "1 INVITE");
    headers.push(Name::Contact, ""); // set for each target, see `send_invite`
    allow::add_capabilities(headers);
    headers.push(Name::UserAgent, config.product.clone());
    let asserts = trunk.is_some_and(|t| t.caller_id == CallerIdStyle::PAssertedIdentity);
    if asserts {
        let known = Identity { private: false, ..caller.clone() };
        headers.push(Name::PAssertedIdentity, identity_address(&known, config).to_string());
    }
    if caller.private {
        headers.push(Name::Privacy, "id");
    }
    if outgoing.auto_answer {
        sip::event::auto_answer(headers, &config.realm); // S11
    }
    if let (Some(referrer), None) = (&outgoing.referred_by, trunk) {
        // RFC 3892 §2.2. Who works here is no trunk's business, as are our own numbers.
        headers.push(Name::ReferredBy, referrer.to_string());
    }
    let said = [Name::PAssertedIdentity, Name::Privacy, Name::ReferredBy]
        .map(|name| (name, headers.has(name)));
    let is_said = |name: &str| said.contains(&(Name::parse(name), true));
    for (name, value) in outgoing.inherited.headers.iter().filter(|(name, _)| !is_said(name)) {
        headers.push_named(name, value.as_str());
    }
    request
}

/// The caller as `party` shall see it: towards a trunk by its number rules.
fn shown_to(from: &Identity, party: &Party, config: &Config) -> Identity {
    let Some(trunk) = party.trunk(config) else { return from.clone() };
    let number = from.outside.as_deref().unwrap_or(&from.number);
    Identity { number: trunk.outbound_numbers.apply(number), ..from.clone() }
}

/// RFC 3323 §4.1.1.3 for those who don't want to be seen.
fn identity_address(identity: &Identity, config: &Config) -> NameAddr {
    if identity.private || identity.number.is_empty() {
        let host = party::host("anonymous.invalid");
        return name_addr("Anonymous", Uri::sip("anonymous", host, None));
    }
    let uri = Uri::sip(&identity.number, party::host(&config.realm), None);
    name_addr(&identity.display, uri)
}
