//! The dialog that is up: what the far end asks inside it.

use std::net::IpAddr;
use std::time::Duration;

use base::Time;
use call::{Cause, LegEvent};
use media::dtmf::info::Body;
use sdp::Codec;
use serde::{Deserialize, Serialize};
use sip::auth::ClientAuth;
use sip::dialog::{self, Accept, Dialog, Outstanding, ReliableUas, UnderWay, allow, body};
use sip::message::{Headers, Method, Name, Request, Response, StatusCode, Uri};
use sip::transaction::TransactionId;
use sip::transport::{Source, Target};

use super::change::{Change, Queued};
use super::event::Referred;
use super::forks::Prack;
use super::keys::KeysTold;
use super::{BOTH, Cx, Report, SDP, SipLeg, State, Timer, introduce};

/// A dialog that is up.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Up {
    pub(super) dialog: Dialog,
    /// A 2xx of ours that waits for its ACK.
    pub(super) unacked: Option<Unacked>,
    /// A provisional whose PRACK had not come when we answered.
    pub(super) reliable: Option<ReliableUas>,
    /// A re-INVITE or UPDATE of the far end that waits for our answer.
    pub(super) pending: Option<Pending>,
    /// A re-INVITE or UPDATE of ours.
    pub(super) change: Option<Change>,
    /// Codecs to offer as soon as nothing else is in flight.
    pub(super) queued: Option<Queued>,
    pub(super) auth: ClientAuth,
    /// Keys being told by SIP INFO.
    pub(super) keys: KeysTold,
    /// A PRACK that may be challenged still.
    pub(super) prack: Option<Prack>,
    /// Headers of the 2xx that brought it up.
    pub(super) answer_headers: Headers,
    /// Whether the far end says that it understands UPDATE.
    pub(super) takes_update: bool,
    /// Whether it has refused one all the same.
    pub(super) refuses_update: bool,
    pub(super) acks: LastAck,
    /// A REFER of the far end.
    pub(super) referred: Option<Box<Referred>>,
    /// Hang up as soon as the ACK is in (INTEROP 2).
    pub(super) bye_after_ack: Option<Cause>,
}

/// The ACK we sent last, for 2xx that are repeated.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LastAck(Option<(u32, Request, Target)>);

impl LastAck {
    pub(super) fn remember(&mut self, cseq: u32, (ack, target): (Request, Target)) {
        self.0 = Some((cseq, ack, target));
    }

    pub(super) fn for_cseq(&self, cseq: u32) -> Option<(Request, Target)> {
        let (of, ack, target) = self.0.as_ref()?;
        (*of == cseq).then(|| (ack.clone(), target.clone()))
    }
}

/// A re-INVITE or UPDATE that waits for our answer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) transaction: TransactionId,
    request: Request,
}

impl Pending {
    fn change(&self) -> dialog::Change {
        change_of(&self.request.method)
    }

    pub(super) fn into_parts(self) -> (TransactionId, Request) {
        (self.transaction, self.request)
    }
}

/// A 2xx of ours, repeated until its ACK.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Unacked {
    accept: Accept,
    transaction: TransactionId,
    cseq: u32,
    response: Response,
    /// Whether it carries our offer, so that the ACK carries the answer.
    pub(super) offering: bool,
}

impl Unacked {
    pub(super) fn new(
        now: Time,
        t1: Duration,
        transaction: TransactionId,
        cseq: u32,
        response: Response,
        offering: bool,
    ) -> Self {
        Self { accept: Accept::start(now, t1), transaction, cseq, response, offering }
    }

    pub(super) fn deadline(&self) -> Time {
        self.accept.deadline()
    }
}

impl Up {
    pub(super) fn new(dialog: Dialog, unacked: Option<Unacked>) -> Self {
        Self {
            dialog,
            unacked,
            reliable: None,
            pending: None,
            change: None,
            queued: None,
            auth: ClientAuth::default(),
            keys: KeysTold::default(),
            prack: None,
            answer_headers: Headers::new(),
            takes_update: false,
            refuses_update: false,
            acks: LastAck::default(),
            referred: None,
            bye_after_ack: None,
        }
    }

    pub(super) fn learn_capabilities(&mut self, headers: &Headers) {
        if headers.has(Name::Allow) {
            let takes_update = headers.has_token(Name::Allow, "UPDATE");
            self.takes_update = takes_update && !self.refuses_update;
        }
    }

    /// Whether we may begin an exchange of our own: no other is in flight, and no wait after a
    /// collision goes on, which whatever begins now would cut off.
    pub(super) fn is_quiet(&self) -> bool {
        let waits = self.queued.as_ref().is_some_and(|queued| queued.waits);
        self.unacked.is_none() && self.pending.is_none() && self.change.is_none() && !waits
    }
}

impl SipLeg {
    /// A request inside the dialog, ACK and CANCEL apart.
    pub(crate) fn request(
        &mut self,
        request: Request,
        source: &Source,
        transaction: TransactionId,
        cx: &mut Cx<'_>,
    ) {
        if self.keep_to_peer {
            self.peer = source.reply_target(); // the phone's NAT binding or connection has moved
        }
        self.learn_events(&request.headers, cx);
        let checked = match &mut self.state {
            State::Placing(placing) => placing.check_request(&request),
            State::Early(early) => early.dialog.check_request(&request),
            State::Up(up) => up.dialog.check_request(&request),
            State::Leaving(_) | State::Moving | State::Gone => Ok(()),
        };
        if let Err(status) = checked {
            return self.respond(transaction, &request, status, cx);
        }
        if let Some(refusal) = allow::refusal(&request) {
            return cx.wire.respond(cx.now, transaction, refusal);
        }
        let is_placing = self.is_placing();
        match &request.method {
            // RFC 3261 §15: the callee never ends an early dialog by BYE.
            Method::Bye if is_placing => {
                self.respond(transaction, &request, StatusCode::CALL_DOES_NOT_EXIST, cx);
            }
            Method::Bye => self.bye_received(&request, transaction, cx),
            // RFC 3261 §14.2: our own INVITE has no final answer yet.
            Method::Invite if is_placing => {
                self.respond(transaction, &request, StatusCode::REQUEST_PENDING, cx);
            }
            Method::Update if is_placing => self.early_update(&request, transaction, cx),
            Method::Invite | Method::Update => self.change_asked(request, transaction, cx),
            Method::Prack => self.pracked(&request, transaction, cx),
            Method::Options => {
                let mut response = request.response(StatusCode::OK);
                introduce(&mut response.headers, &self.contact(cx.config));
                cx.wire.respond(cx.now, transaction, response);
            }
            Method::Info => self.told(&request, transaction, cx),
            Method::Refer => self.refer_received(request, transaction, cx),
            Method::Subscribe => self.subscribe_received(&request, transaction, cx),
            Method::Notify => self.notify_received(&request, transaction, cx),
            Method::Ack
            | Method::Cancel
            | Method::Message
            | Method::Publish
            | Method::Register
            | Method::Other(_) => {
                self.respond(transaction, &request, StatusCode::METHOD_NOT_ALLOWED, cx);
            }
        }
    }

    /// A SIP INFO (RFC 6086): a key, or nothing, as some phones ask whether we are there.
    fn told(&self, request: &Request, transaction: TransactionId, cx: &mut Cx<'_>) {
        let media_type = request.headers.get(Name::ContentType).unwrap_or("");
        let key = Body::of_type(media_type).map(|body| body.parse(&request.body));
        match key {
            Some(Some(event)) => {
                self.respond(transaction, request, StatusCode::OK, cx);
                // Whoever has not answered tells nobody anything by keys.
                if !self.is_placing() {
                    cx.reports.push_back((self.id, Report::Key(event)));
                }
            }
            Some(None) => self.respond(transaction, request, StatusCode::BAD_REQUEST, cx),
            None if request.body.is_empty() => {
                self.respond(transaction, request, StatusCode::OK, cx);
            }
            None => {
                let mut response = request.response(StatusCode::UNSUPPORTED_MEDIA_TYPE);
                let known = [Body::Relay, Body::Plain].map(Body::media_type);
                response.headers.set(Name::Accept, known.join(", "));
                cx.wire.respond(cx.now, transaction, response);
            }
        }
    }

    /// The phone of this leg has registered again, with this Contact: a connection that replaced
    /// the one the dialog used takes the dialog over.
    pub(crate) fn phone_moved(&mut self, contact: &Uri, target: &Target) {
        let dialog = match &self.state {
            State::Up(up) => &up.dialog,
            State::Early(early) => &early.dialog,
            // Its INVITE fails with the connection; a BYE is answered over the one it came by.
            State::Placing(_) | State::Leaving(_) | State::Moving | State::Gone => return,
        };
        let same_phone = dialog.remote_target().equivalent(contact);
        if self.keep_to_peer && same_phone && target.transport.is_reliable() {
            self.peer = target.clone();
        }
    }

    /// A re-INVITE or UPDATE.
    fn change_asked(&mut self, request: Request, transaction: TransactionId, cx: &mut Cx<'_>) {
        if let Some(refusal) = self.refusal(&request, cx) {
            return cx.wire.respond(cx.now, transaction, refusal);
        }
        let offer = match Self::sdp(&request.headers, &request.body) {
            Ok(offer) => offer,
            Err(status) => return self.respond(transaction, &request, status, cx),
        };
        match offer {
            Some(offer) => self.offer_received(offer, request, transaction, cx),
            None if request.method == Method::Invite => {
                self.offer_in_answer(&request, transaction, cx);
            }
            // An UPDATE without SDP refreshes the session and nothing else.
            None => self.accept_change(&request, transaction, None, false, cx),
        }
    }

    /// Why a re-INVITE or UPDATE cannot be taken now, RFC 3261 §14.2, RFC 3311 §5.2.
    fn refusal(&self, request: &Request, cx: &mut Cx<'_>) -> Option<Response> {
        let offer = match self.negotiation.state() {
            sdp::State::LocalOffer => Outstanding::Ours,
            sdp::State::RemoteOffer => Outstanding::Theirs,
            sdp::State::Idle | sdp::State::Stable => Outstanding::None,
        };
        let under_way = match &self.state {
            State::Up(up) => UnderWay {
                offer,
                ours: up.our_change().map(|(change, _)| change),
                theirs: up.pending.as_ref().map(Pending::change),
            },
            // The INVITE itself waits for its answer.
            State::Early(_) => UnderWay { offer, ours: None, theirs: Some(dialog::Change::Invite) },
            State::Placing(_) | State::Leaving(_) | State::Moving | State::Gone => {
                return Some(request.response(StatusCode::CALL_DOES_NOT_EXIST));
            }
        };
        let with_offer = body::description(&request.headers, &request.body).is_some();
        if let Err(refusal) = under_way.admit(change_of(&request.method), with_offer) {
            return Some(refusal.response(request, &mut cx.wire.rng));
        }
        if let Err(response) = body::check(request) {
            return Some(*response);
        }
        self.session.check_request(request).err().map(|response| *response)
    }

    fn offer_received(
        &mut self,
        offer: sdp::Session,
        request: Request,
        transaction: TransactionId,
        cx: &mut Cx<'_>,
    ) {
        if let Err(error) = self.negotiation.receive_offer(offer) {
            let status = StatusCode(error.status());
            return self.respond(transaction, &request, status, cx);
        }
        let can_wait = request.method == Method::Invite;
        match &mut self.state {
            State::Up(up) => {
                up.pending = Some(Pending { transaction, request });
                self.report(cx, Report::Offered { can_wait });
            }
            State::Early(_) => {
                // An UPDATE before the answer: of what was agreed, what it still offers.
                let offered = self.negotiation.remote().map(|r| r.codecs.clone());
                let allowed = self.party.codecs(cx.config);
                let codecs =
                    sdp::pass_through(&offered.unwrap_or_default(), allowed, sdp::Order::Offer);
                match self.negotiation.answer(&codecs, BOTH) {
                    Ok(body) => {
                        self.accept_change(&request, transaction, Some(body), false, cx);
                        self.report(cx, Report::Agreed);
                    }
                    Err(error) => {
                        self.negotiation.reject_offer();
                        self.respond(transaction, &request, StatusCode(error.status()), cx);
                    }
                }
            }
            State::Placing(_) | State::Leaving(_) | State::Moving | State::Gone => {}
        }
    }

    /// A re-INVITE without SDP: our 2xx offers all we can, what is in use first (INTEROP 3).
    fn offer_in_answer(&mut self, request: &Request, transaction: TransactionId, cx: &mut Cx<'_>) {
        let mut codecs = self.agreed_codecs().unwrap_or_default();
        for codec in sdp::standard_codecs(self.party.codecs(cx.config)) {
            if !codecs.iter().any(|known| known.same_as(&codec)) {
                codecs.push(codec);
            }
        }
        match self.negotiation.offer(&codecs, BOTH) {
            Ok(body) => self.accept_change(request, transaction, Some(body), true, cx),
            Err(error) => self.respond(transaction, request, StatusCode(error.status()), cx),
        }
    }

    /// Answers the pending offer with these codecs.
    pub(crate) fn accept_offer(&mut self, codecs: &[Codec], cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        let Some(Pending { transaction, request }) = up.pending.take() else { return };
        match self.negotiation.answer(codecs, BOTH) {
            Ok(body) => {
                self.accept_change(&request, transaction, Some(body), false, cx);
                self.note_hold(cx);
                self.report(cx, Report::Agreed);
            }
            Err(error) => {
                self.negotiation.reject_offer();
                self.respond(transaction, &request, StatusCode(error.status()), cx);
            }
        }
    }

    /// Refuses the pending offer; what was agreed before goes on.
    pub(crate) fn refuse_offer(&mut self, status: StatusCode, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        let Some(Pending { transaction, request }) = up.pending.take() else { return };
        self.negotiation.reject_offer();
        self.respond(transaction, &request, status, cx);
    }

    /// The 2xx to a re-INVITE or UPDATE.
    fn accept_change(
        &mut self,
        request: &Request,
        transaction: TransactionId,
        body: Option<bytes::Bytes>,
        offering: bool,
        cx: &mut Cx<'_>,
    ) {
        // RFC 6141 §4.6: a change that is refused moves no target.
        match &mut self.state {
            State::Up(up) => {
                up.dialog.refresh_target(&request.headers);
                up.learn_capabilities(&request.headers);
            }
            State::Early(early) => early.dialog.refresh_target(&request.headers),
            State::Placing(_) | State::Leaving(_) | State::Moving | State::Gone => {}
        }
        self.find_hop(cx);
        let mut response = request.response(StatusCode::OK);
        introduce(&mut response.headers, &self.contact(cx.config));
        if let Some(body) = body {
            response.set_body(SDP, body);
        }
        self.session.answer(cx.now, request, &mut response);
        self.arm(cx, Timer::Session, self.session.deadline());
        cx.wire.respond(cx.now, transaction, response.clone());
        let State::Up(up) = &mut self.state else { return };
        if request.method == Method::Invite {
            let cseq = request.headers.cseq().map(|cseq| cseq.seq).unwrap_or_default();
            let t1 = cx.config.sip.t1;
            let unacked = Unacked::new(cx.now, t1, transaction, cseq, response, offering);
            let deadline = unacked.deadline();
            up.unacked = Some(unacked);
            self.arm(cx, Timer::Accept, Some(deadline));
        }
    }

    /// A 2xx is due again, or its ACK never came.
    pub(super) fn accept_due(&mut self, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        let Some(unacked) = &mut up.unacked else { return };
        if unacked.accept.fired(cx.now) {
            cx.wire.respond(cx.now, unacked.transaction, unacked.response.clone());
            let deadline = unacked.deadline();
            return self.arm(cx, Timer::Accept, Some(deadline));
        }
        // RFC 3261 §13.3.1.4: no ACK in 64*T1, the session is ended by BYE.
        up.unacked = None;
        let cause = up.bye_after_ack.take();
        if cause.is_none() {
            self.tell(cx, LegEvent::Lost(Cause::TIMEOUT));
        }
        self.bye(cause.unwrap_or(Cause::TIMEOUT), cx);
    }

    /// An ACK for a 2xx of ours, by the tags and the number of its dialog. Without Record-Route it
    /// comes past the proxies, from an address that is not the peer's (RFC 3261 §13.3.1.4). What is
    /// in it counts only when it comes from the peer, or from where the dialog's Contact is: who has
    /// overheard the tags cannot turn the audio (ATTACKS 14).
    pub(crate) fn acked(&mut self, ack: &Request, from: IpAddr, is_peers: bool, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        if !up.dialog.matches(&ack.headers) {
            return; // ATTACKS 14
        }
        let contact = up.dialog.remote_target().host.ip();
        let is_known =
            is_peers || contact.is_some_and(|ip| ip.to_canonical() == from.to_canonical());
        if !is_known && up.unacked.as_ref().is_some_and(|unacked| unacked.offering) {
            return;
        }
        let cseq = ack.headers.cseq().map(|cseq| cseq.seq);
        let Some(unacked) = up.unacked.take_if(|unacked| cseq == Ok(unacked.cseq)) else { return };
        let bye = up.bye_after_ack.take();
        self.arm(cx, Timer::Accept, None);
        if let Some(cause) = bye {
            return self.bye(cause, cx);
        }
        if unacked.offering {
            let answer = Self::sdp(&ack.headers, &ack.body).ok().flatten();
            let taken = answer.map(|answer| self.negotiation.receive_answer(answer).is_ok());
            match taken {
                Some(true) => {
                    self.note_hold(cx);
                    self.report(cx, Report::Agreed);
                }
                Some(false) | None if self.negotiation.remote().is_some() => {
                    self.negotiation.offer_failed(); // as before: a bad answer costs no call
                }
                Some(false) | None => {
                    self.tell(cx, LegEvent::Lost(Cause::INCOMPATIBLE));
                    return self.bye(Cause::INCOMPATIBLE, cx);
                }
            }
        }
        self.send_queued(cx);
    }

    fn bye_received(&mut self, request: &Request, transaction: TransactionId, cx: &mut Cx<'_>) {
        let response = request.response(StatusCode::OK);
        cx.wire.respond(cx.now, transaction, response);
        match &mut self.state {
            // RFC 3261 §15.1.2: pending requests get 487.
            State::Early(_) => {
                self.final_answer(StatusCode::REQUEST_TERMINATED, None, cx);
                self.tell(cx, LegEvent::HungUp(Cause::CANCELLED));
                self.gone(cx);
            }
            State::Up(up) => {
                if let Some(pending) = up.pending.take() {
                    let status = StatusCode::REQUEST_TERMINATED;
                    self.respond(pending.transaction, &pending.request, status, cx);
                }
                if let State::Up(up) = &mut self.state
                    && let Some((refer, request)) = up.unanswered_refer()
                {
                    self.respond(refer, &request, StatusCode::REQUEST_TERMINATED, cx);
                }
                self.tell(cx, LegEvent::HungUp(Cause::NORMAL));
                self.gone(cx);
            }
            // Both hung up at once: our own BYE still gets its answer, or times out.
            State::Leaving(_) | State::Placing(_) | State::Moving | State::Gone => {}
        }
    }
}

fn change_of(method: &Method) -> dialog::Change {
    if *method == Method::Invite { dialog::Change::Invite } else { dialog::Change::Update }
}
