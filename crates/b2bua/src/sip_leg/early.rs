//! The UAS side before its final answer: ringing, early media, PRACK, CANCEL.

use base::Rng;
use call::{Cause, LegEvent, LegId, Side};
use media::command::Found;
use sdp::Codec;
use serde::{Deserialize, Serialize};
use sip::dialog::{Dialog, ReliableUas, SessionTimer, allow, body};
use sip::message::{Name, Request, Response, StatusCode};
use sip::transaction::TransactionId;
use sip::transport::Target;

use super::up::{Unacked, Up};
use super::{BOTH, Cx, Incoming, MediaPlace, Report, SDP, SipLeg, State, Timer};
use super::{introduce, new_negotiation, security};
use crate::config::Config;
use crate::wire;

/// An INVITE that waits for its final answer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Early {
    pub(super) invite: Request,
    pub(super) transaction: TransactionId,
    pub(super) dialog: Dialog,
    reliable: ReliableUas,
    /// Whether the caller understands, or demands, PRACK.
    prack: Prack,
    /// How far our SDP has gone.
    described: Described,
    /// A 2xx that waits for the PRACK of an answer already on its way (RFC 3262 §3).
    answer_waits: Option<Waiting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Prack {
    No,
    Supported,
    Required,
}

impl Prack {
    /// What a caller's INVITE asks for (RFC 3262 §3).
    fn of(invite: &Request) -> Self {
        let has = |name| invite.headers.has_token(name, "100rel");
        match (has(Name::Require), has(Name::Supported)) {
            (true, _) => Self::Required,
            (false, true) => Self::Supported,
            (false, false) => Self::No,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Described {
    /// The INVITE had no offer, and we have made none.
    Offerless,
    /// The INVITE's offer waits for our answer.
    Offered,
    /// Our answer went out in an unreliable provisional: the 2xx repeats it.
    Previewed,
    /// Our answer went out reliably: the 2xx carries no SDP (RFC 6337 §2.2).
    Answered,
    /// We offered in a reliable provisional; the PRACK carries the answer.
    Offering,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    codecs: Vec<Codec>,
    headers: Vec<(String, String)>,
}

impl Early {
    /// Whether no description of ours is out.
    pub(super) fn is_undescribed(&self) -> bool {
        matches!(self.described, Described::Offerless | Described::Offered)
    }

    /// Whether the caller left the offer to us.
    pub(super) fn is_offerless(&self) -> bool {
        matches!(self.described, Described::Offerless | Described::Offering)
    }
}

impl SipLeg {
    /// Takes an INVITE; an error is the final answer to it.
    pub(crate) fn incoming(
        id: LegId,
        incoming: Incoming,
        media: MediaPlace,
        config: &Config,
        rng: &mut Rng,
    ) -> Result<Self, Box<Response>> {
        let Incoming { call, party, request, source, transaction } = incoming;
        let refuse = |status: StatusCode| Box::new(request.response(status));
        body::check(&request)?;
        let local_tag = rng.token(12);
        let dialog =
            Dialog::uas(&request, &local_tag).map_err(|_| refuse(StatusCode::BAD_REQUEST))?;
        let session = SessionTimer::new(config.sip.session_expires, config.sip.min_se);
        session.check_request(&request)?;
        let offer = Self::sdp(&request.headers, &request.body).map_err(refuse)?;
        let asked = offer.as_ref().map(sdp::Session::asks_for);
        let policy = security::taken(party.srtp(config), asked, source.transport, config);
        let mut negotiation = new_negotiation(media, policy, party.dtmf(config), rng);
        let described = match offer {
            Some(offer) => {
                let taken = negotiation.receive_offer(offer);
                let remote = taken.map_err(|error| refuse(StatusCode(error.status())))?;
                // Where ICE finds a way, the address of the description says little.
                let is_found = remote.security.ice.is_some();
                if !is_found && remote.rtp.is_ipv4() != media.advertise.is_ipv4() {
                    return Err(refuse(StatusCode::NOT_ACCEPTABLE_HERE));
                }
                Described::Offered
            }
            None => Described::Offerless,
        };
        let prack = Prack::of(&request);
        let reliable = ReliableUas::new(rng);
        let trunk = party.trunk(config);
        // Should its connection break, the next one must lead to the same name.
        let tls_name = trunk.and_then(|trunk| trunk.tls_name.as_deref()).map(Into::into);
        let keep_to_peer = trunk.is_none();
        let early = Early {
            transaction,
            dialog,
            reliable,
            prack,
            described,
            answer_waits: None,
            invite: request,
        };
        Ok(Self {
            id,
            call,
            side: Side::Caller,
            call_id: early.invite.headers.call_id().unwrap_or_default().into(),
            local_tag: local_tag.into(),
            peer: Target { tls_name, ..source.reply_target() },
            keep_to_peer,
            hops: super::hop::Hops::default(),
            party,
            media,
            state: State::Early(Box::new(early)),
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
        })
    }

    /// Says that the other side rings.
    pub(crate) fn ring(&mut self, cx: &mut Cx<'_>) {
        self.provisional(StatusCode::RINGING, None, cx);
    }

    /// Opens early media with these codecs.
    pub(crate) fn progress(&mut self, codecs: &[Codec], cx: &mut Cx<'_>) {
        self.provisional(StatusCode::SESSION_PROGRESS, Some(codecs), cx);
    }

    fn provisional(&mut self, status: StatusCode, codecs: Option<&[Codec]>, cx: &mut Cx<'_>) {
        let contact = self.contact(cx.config);
        let State::Early(early) = &mut self.state else { return };
        if early.answer_waits.is_some() {
            return;
        }
        let required = early.prack == Prack::Required;
        let body = match (early.described, codecs) {
            (Described::Offered, Some(codecs)) => self.negotiation.answer(codecs, BOTH).ok(),
            (Described::Previewed, Some(_)) => self.negotiation.current_description(),
            // RFC 3261 §13.2.1: the first reliable answer to an offerless INVITE carries the offer.
            (Described::Offerless, codecs) if required => {
                let all = sdp::standard_codecs(self.party.codecs(cx.config));
                self.negotiation.offer(codecs.unwrap_or(&all), BOTH).ok()
            }
            (_, _) => None,
        };
        let reliably = required || (body.is_some() && early.prack == Prack::Supported);
        let mut response = early.invite.response(status).with_to_tag(&self.local_tag);
        introduce(&mut response.headers, &contact);
        if let Some(body) = body {
            response.set_body(SDP, body);
            early.described = match (early.described, reliably) {
                (Described::Offerless, _) => Described::Offering,
                (_, true) => Described::Answered,
                (_, false) => Described::Previewed,
            };
        }
        if reliably {
            let sent = early.reliable.send(cx.now, response, cx.config.sip.t1);
            let deadline = early.reliable.deadline();
            if let Some(response) = sent {
                cx.wire.respond(cx.now, early.transaction, response);
            }
            self.arm(cx, Timer::Reliable, deadline);
        } else {
            cx.wire.respond(cx.now, early.transaction, response);
        }
        if self.negotiation.agreed().is_some() {
            self.note_hold(cx);
            self.report(cx, Report::Agreed);
        }
    }

    /// Answers with these codecs; later when a PRACK is still due.
    pub(crate) fn answer(
        &mut self,
        codecs: &[Codec],
        headers: Vec<(String, String)>,
        cx: &mut Cx<'_>,
    ) {
        let State::Early(early) = &mut self.state else { return };
        if early.reliable.is_awaiting_description() {
            early.answer_waits = Some(Waiting { codecs: codecs.to_vec(), headers });
            return;
        }
        let body = match early.described {
            Described::Offered => self.negotiation.answer(codecs, BOTH).ok(),
            Described::Previewed => self.negotiation.current_description(),
            Described::Answered | Described::Offering => None,
            Described::Offerless => self.negotiation.offer(codecs, BOTH).ok(),
        };
        let is_agreed = match early.described {
            Described::Offered | Described::Previewed | Described::Offerless => body.is_some(),
            // A PRACK may have left our offer without an answer.
            Described::Answered | Described::Offering => self.negotiation.agreed().is_some(),
        };
        if !is_agreed {
            // Nothing both could speak; the caller gets the refusal, its partner a BYE.
            self.final_answer(StatusCode::NOT_ACCEPTABLE_HERE, None, cx);
            self.tell(cx, LegEvent::Lost(Cause::INCOMPATIBLE));
            return self.gone(cx);
        }
        let offering = early.described == Described::Offerless;
        let mut response = early.invite.response(StatusCode::OK).with_to_tag(&self.local_tag);
        for (name, value) in &headers {
            response.headers.push_named(name, value.as_str());
        }
        if let Some(body) = body {
            response.set_body(SDP, body);
        }
        self.go_up(response, offering, cx);
    }

    /// Sends the 2xx and waits for its ACK.
    fn go_up(&mut self, mut response: Response, offering: bool, cx: &mut Cx<'_>) {
        let contact = self.contact(cx.config);
        introduce(&mut response.headers, &contact);
        let state = std::mem::replace(&mut self.state, State::Moving);
        let State::Early(mut early) = state else {
            self.state = state;
            return;
        };
        early.dialog.confirm();
        self.session.answer(cx.now, &early.invite, &mut response);
        self.final_status = response.status.0;
        cx.wire.respond(cx.now, early.transaction, response.clone());
        let cseq = early.invite.headers.cseq().map(|cseq| cseq.seq).unwrap_or_default();
        let unacked =
            Unacked::new(cx.now, cx.config.sip.t1, early.transaction, cseq, response, offering);
        self.arm(cx, Timer::Reliable, None);
        self.arm(cx, Timer::Accept, Some(unacked.deadline()));
        self.arm(cx, Timer::Session, self.session.deadline());
        let mut up = Up::new(early.dialog, Some(unacked));
        up.reliable = Some(early.reliable);
        self.state = State::Up(Box::new(up));
        self.learn_events(&early.invite.headers, cx);
        if !offering {
            self.note_hold(cx);
            self.report(cx, Report::Agreed);
        }
    }

    /// The caller's PRACK.
    pub(super) fn pracked(
        &mut self,
        request: &Request,
        transaction: TransactionId,
        cx: &mut Cx<'_>,
    ) {
        let contact = self.contact(cx.config);
        let State::Early(early) = &mut self.state else {
            let status = self.prack_after_answer(request);
            return self.respond(transaction, request, status, cx);
        };
        if let Err(refusal) = body::check(request) {
            return cx.wire.respond(cx.now, transaction, *refusal);
        }
        let known = request.headers.rack().is_ok_and(|rack| early.reliable.acknowledge(&rack));
        if !known {
            return self.respond(transaction, request, StatusCode::CALL_DOES_NOT_EXIST, cx);
        }
        let mut response = request.response(StatusCode::OK);
        let mut agreed = false;
        match Self::sdp(&request.headers, &request.body) {
            Ok(Some(session)) if early.described == Described::Offering => {
                agreed = self.negotiation.receive_answer(session).is_ok();
                early.described = Described::Answered;
            }
            // RFC 3262 §5: a PRACK may carry a new offer once the first exchange is done.
            Ok(Some(session)) => {
                let offered = self.negotiation.receive_offer(session).map(|r| r.codecs.clone());
                let allowed = self.party.codecs(cx.config);
                let answer = offered.ok().and_then(|offered| {
                    let codecs = sdp::pass_through(&offered, allowed, sdp::Order::Offer);
                    self.negotiation.answer(&codecs, BOTH).ok()
                });
                match answer {
                    Some(answer) => {
                        response.set_body(SDP, answer);
                        agreed = true;
                    }
                    None => {
                        self.negotiation.reject_offer();
                        response = request.response(StatusCode::NOT_ACCEPTABLE_HERE);
                    }
                }
            }
            Ok(None) | Err(_) => {}
        }
        introduce(&mut response.headers, &contact);
        cx.wire.respond(cx.now, transaction, response);
        let next = early.reliable.next(cx.now, cx.config.sip.t1);
        if let Some(response) = next {
            cx.wire.respond(cx.now, early.transaction, response);
        }
        let deadline = early.reliable.deadline();
        let waiting = early.answer_waits.take();
        self.arm(cx, Timer::Reliable, deadline);
        if agreed {
            self.note_hold(cx);
            self.report(cx, Report::Agreed);
        }
        if let Some(Waiting { codecs, headers }) = waiting {
            self.answer(&codecs, headers, cx);
        }
    }

    /// RFC 3262 §3: a PRACK that crossed the 2xx still gets its 200.
    fn prack_after_answer(&mut self, request: &Request) -> StatusCode {
        let State::Up(up) = &mut self.state else { return StatusCode::CALL_DOES_NOT_EXIST };
        let reliable = up.reliable.as_mut().zip(request.headers.rack().ok());
        match reliable.is_some_and(|(reliable, rack)| reliable.acknowledge(&rack)) {
            true => StatusCode::OK,
            false => StatusCode::CALL_DOES_NOT_EXIST,
        }
    }

    /// A reliable provisional is due again, or was never acknowledged.
    pub(super) fn reliable_due(&mut self, cx: &mut Cx<'_>) {
        let State::Early(early) = &mut self.state else { return };
        match early.reliable.fired(cx.now) {
            Some(response) => {
                cx.wire.respond(cx.now, early.transaction, response);
                let deadline = early.reliable.deadline();
                self.arm(cx, Timer::Reliable, deadline);
            }
            // RFC 3262 §3: after 64*T1 the INVITE is refused with a 5xx.
            None => {
                self.final_answer(StatusCode::SERVER_TIMEOUT, None, cx);
                self.tell(cx, LegEvent::Lost(Cause::TIMEOUT));
                self.gone(cx);
            }
        }
    }

    /// The caller cancelled its INVITE or re-INVITE.
    pub(crate) fn cancelled(&mut self, transaction: TransactionId, cx: &mut Cx<'_>) {
        match &mut self.state {
            State::Early(early) if early.transaction == transaction => {
                self.final_answer(StatusCode::REQUEST_TERMINATED, None, cx);
                self.tell(cx, LegEvent::HungUp(Cause::CANCELLED));
                self.gone(cx);
            }
            State::Up(up) if up.pending.as_ref().is_some_and(|p| p.transaction == transaction) => {
                self.refuse_offer(StatusCode::REQUEST_TERMINATED, cx);
            }
            // RFC 3261 §9.2: after a final answer a CANCEL changes nothing.
            State::Early(_)
            | State::Up(_)
            | State::Placing(_)
            | State::Leaving(_)
            | State::Moving
            | State::Gone => {}
        }
    }

    /// Refuses the INVITE.
    pub(super) fn final_answer(
        &mut self,
        status: StatusCode,
        reason: Option<String>,
        cx: &mut Cx<'_>,
    ) {
        self.refused_with(status, reason.map(|reason| (Name::Reason, reason)), cx);
    }

    /// Refuses the INVITE for a limit of ours.
    pub(super) fn limited(&mut self, status: StatusCode, limit: &str, cx: &mut Cx<'_>) {
        self.refused_with(status, wire::limited(limit), cx);
    }

    fn refused_with(
        &mut self,
        status: StatusCode,
        headers: impl IntoIterator<Item = (Name, String)>,
        cx: &mut Cx<'_>,
    ) {
        let State::Early(early) = &self.state else { return };
        let mut response = early.invite.response(status).with_to_tag(&self.local_tag);
        response.headers.set(Name::Server, cx.config.product.clone());
        headers.into_iter().for_each(|(name, value)| response.headers.push(name, value));
        self.final_status = status.0;
        cx.wire.respond(cx.now, early.transaction, response);
    }

    /// A plain answer to a request inside the dialog.
    pub(super) fn respond(
        &self,
        transaction: TransactionId,
        request: &Request,
        status: StatusCode,
        cx: &mut Cx<'_>,
    ) {
        let mut response = request.response(status);
        if matches!(status.0, 405 | 415) {
            allow::add_capabilities(&mut response.headers);
        }
        cx.wire.respond(cx.now, transaction, response);
    }
}
