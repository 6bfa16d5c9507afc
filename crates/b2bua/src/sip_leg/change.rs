//! Our own re-INVITEs and UPDATEs: new codecs, and session refreshes (RFC 4028).

use call::{Cause, LegEvent};
use sdp::Codec;
use serde::{Deserialize, Serialize};
use sip::dialog::{self, Glare, SessionDue};
use sip::message::{Method, Request, Response};
use sip::transaction::TransactionId;

use super::up::Up;
use super::{BOTH, Cx, Failure, Report, SDP, SipLeg, State, Timer, introduce};
use crate::wire::{Owner, Purpose};

/// A change of ours in flight, or waiting to be tried again after a 491.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Change {
    what: What,
    request: Request,
    pub(super) transaction: Option<TransactionId>,
    glare: Glare,
    challenged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum What {
    /// These codecs are offered.
    Codecs(Vec<Codec>),
    /// The session is refreshed, nothing changes.
    Refresh,
}

/// Codecs to offer as soon as nothing else is in flight.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Queued {
    codecs: Vec<Codec>,
    /// The collisions it has met so far.
    glare: Glare,
    /// Whether the wait after a 491 is not over yet.
    pub(super) waits: bool,
}

impl Up {
    /// Whether our own change, in flight or waiting, is an INVITE or an UPDATE.
    pub(super) fn our_change(&self) -> Option<(dialog::Change, bool)> {
        let change = self.change.as_ref()?;
        let method = match change.request.method == Method::Invite {
            true => dialog::Change::Invite,
            false => dialog::Change::Update,
        };
        Some((method, !change.request.body.is_empty()))
    }

    /// The latest wish replaces an earlier one, but not the wait after a collision.
    fn queue(&mut self, wish: Vec<Codec>) {
        match &mut self.queued {
            Some(queued) => queued.codecs = wish,
            None => {
                self.queued = Some(Queued { codecs: wish, glare: Glare::default(), waits: false });
            }
        }
    }
}

impl SipLeg {
    /// Offers `codecs` to the far end, at once or as soon as nothing else is in flight. False: it
    /// can't be done.
    pub(crate) fn reoffer(&mut self, codecs: Vec<Codec>, cx: &mut Cx<'_>) -> bool {
        let State::Up(up) = &mut self.state else { return false };
        if up.bye_after_ack.is_some() || up.pending.is_some() {
            return false;
        }
        if !up.is_quiet() {
            up.queue(codecs);
            return true;
        }
        self.begin(What::Codecs(codecs), Glare::default(), cx)
    }

    /// Whether it offers codecs, or is about to: [`Report::Agreed`] or [`Report::OfferFailed`]
    /// follows, or its end.
    pub(crate) fn is_reoffering(&self) -> bool {
        let State::Up(up) = &self.state else { return false };
        let offers = |change: &Change| matches!(change.what, What::Codecs(_));
        up.queued.is_some() || up.change.as_ref().is_some_and(offers)
    }

    /// Makes the change that had to wait.
    pub(super) fn send_queued(&mut self, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        if up.is_quiet()
            && let Some(Queued { codecs, glare, .. }) = up.queued.take()
            && !self.begin(What::Codecs(codecs), glare, cx)
        {
            self.report(cx, Report::OfferFailed);
        }
    }

    fn begin(&mut self, what: What, glare: Glare, cx: &mut Cx<'_>) -> bool {
        let contact = self.contact(cx.config);
        let State::Up(up) = &mut self.state else { return false };
        let body = match &what {
            What::Codecs(codecs) => self.negotiation.offer(codecs, BOTH).ok(),
            What::Refresh if up.takes_update => None,
            What::Refresh => self.negotiation.refresh().ok(),
        };
        let method = match (&what, up.takes_update) {
            (What::Refresh, true) => Method::Update,
            (What::Refresh, false) | (What::Codecs(_), _) => Method::Invite,
        };
        if body.is_none() && method == Method::Invite {
            return false;
        }
        let mut request = up.dialog.request(method);
        introduce(&mut request.headers, &contact);
        self.session.offer(&mut request.headers);
        if let Some(body) = body {
            request.set_body(SDP, body);
        }
        if let Some(credentials) = self.party.trunk(cx.config).and_then(|t| t.credentials.as_ref())
        {
            up.auth.reauthorize(&mut request, &credentials.into());
        }
        up.change = Some(Change { what, request, transaction: None, glare, challenged: false });
        self.send_change(cx)
    }

    fn send_change(&mut self, cx: &mut Cx<'_>) -> bool {
        let State::Up(up) = &self.state else { return false };
        let target = self.target(&up.dialog);
        let State::Up(up) = &mut self.state else { return false };
        let Some(change) = &mut up.change else { return false };
        let owner = Owner::Leg(self.id, Purpose::Change);
        change.transaction = cx.wire.request(cx.now, change.request.clone(), target, owner);
        if change.transaction.is_none() {
            self.change_refused(cx);
            return false;
        }
        // RFC 3261 §17.1.1.2 lets an INVITE ring for ever; nobody is asked for a change that long.
        let patience = cx.config.sip.t1 * 64;
        self.arm(cx, Timer::Retry, Some(cx.now + patience));
        true
    }

    /// An answer to our re-INVITE or UPDATE.
    pub(super) fn change_answered(
        &mut self,
        transaction: TransactionId,
        response: &Response,
        cx: &mut Cx<'_>,
    ) {
        if response.status.is_provisional() {
            return;
        }
        let State::Up(up) = &mut self.state else { return };
        let current = up.change.as_ref().and_then(|change| change.transaction);
        if current != Some(transaction) {
            return self.acknowledge_again(response, cx);
        }
        self.arm(cx, Timer::Retry, None);
        match response.status.0 {
            200..=299 => self.change_accepted(response, cx),
            401 | 407 => self.change_challenged(response, cx),
            422 => {
                // RFC 4028 §7.3: the next attempt asks for what the far end demands.
                self.session.too_small(response);
                self.change_refused(cx);
            }
            491 => self.change_collided(cx),
            405 | 501 if self.refreshes_otherwise(cx) => {}
            // RFC 5057 §5.1: these say that the dialog is gone.
            408 | 481 => self.dialog_lost(cx),
            _ => self.change_refused(cx),
        }
    }

    fn change_accepted(&mut self, response: &Response, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        let Some(change) = up.change.take() else { return };
        up.dialog.refresh_target(&response.headers);
        up.learn_capabilities(&response.headers);
        if change.request.method == Method::Invite {
            self.acknowledge(&change.request, cx);
        }
        self.session.accepted(cx.now, response);
        self.arm(cx, Timer::Session, self.session.deadline());
        if self.negotiation.state() == sdp::State::LocalOffer {
            let answer = Self::sdp(&response.headers, &response.body).ok().flatten();
            let taken =
                answer.is_some_and(|answer| self.negotiation.receive_answer(answer).is_ok());
            if taken {
                self.note_hold(cx);
                self.report(cx, Report::Agreed);
            } else {
                self.negotiation.offer_failed();
                if matches!(change.what, What::Codecs(_)) {
                    self.report(cx, Report::OfferFailed);
                }
            }
        }
        self.send_queued(cx);
    }

    fn acknowledge(&mut self, invite: &Request, cx: &mut Cx<'_>) {
        let State::Up(up) = &self.state else { return };
        let ack = self.ack_for(&up.dialog, invite);
        cx.wire.ack(ack.0.clone(), ack.1.clone());
        let cseq = invite.headers.cseq().map(|cseq| cseq.seq).unwrap_or_default();
        if let State::Up(up) = &mut self.state {
            up.acks.remember(cseq, ack);
        }
    }

    /// A 2xx came again: its ACK was lost.
    pub(super) fn acknowledge_again(&self, response: &Response, cx: &mut Cx<'_>) {
        let State::Up(up) = &self.state else { return };
        if let Ok(cseq) = response.headers.cseq()
            && response.status.is_success()
            && let Some((ack, target)) = up.acks.for_cseq(cseq.seq)
        {
            cx.wire.ack(ack, target);
        }
    }

    fn change_challenged(&mut self, response: &Response, cx: &mut Cx<'_>) {
        let credentials = self.party.trunk(cx.config).and_then(|t| t.credentials.as_ref());
        let State::Up(up) = &mut self.state else { return };
        let Up { change: Some(change), auth, dialog, .. } = &mut **up else { return };
        let answered = !change.challenged
            && credentials.is_some_and(|credentials| {
                dialog.renumber(&mut change.request);
                let request = &mut change.request;
                auth.authorize(request, response, &credentials.into(), &mut cx.wire.rng).is_ok()
            });
        change.challenged = true;
        if answered {
            self.send_change(cx);
        } else {
            self.change_refused(cx);
        }
    }

    /// RFC 3261 §14.1: both began at once; wait, then try again.
    fn change_collided(&mut self, cx: &mut Cx<'_>) {
        let owns_call_id = self.side == call::Side::Callee;
        let State::Up(up) = &mut self.state else { return };
        let Some(change) = &mut up.change else { return };
        match change.glare.collided(owns_call_id, &mut cx.wire.rng) {
            Some(wait) => {
                change.transaction = None;
                self.negotiation.offer_failed();
                self.arm(cx, Timer::Retry, Some(cx.now + wait));
                // The far end's change goes first now; ours begins afresh after the wait.
                let State::Up(up) = &mut self.state else { return };
                match up.change.take() {
                    Some(Change { what: What::Codecs(codecs), glare, .. }) => {
                        // What was wished for meanwhile is newer.
                        let codecs = up.queued.take().map_or(codecs, |newer| newer.codecs);
                        up.queued = Some(Queued { codecs, glare, waits: true });
                    }
                    Some(Change { what: What::Refresh, .. }) | None => {
                        self.session.refresh_failed(cx.now);
                        self.arm(cx, Timer::Session, self.session.deadline());
                    }
                }
            }
            None => self.change_refused(cx),
        }
    }

    /// The wait after a 491 is over, or our patience with a change that gets no final answer.
    pub(super) fn retry_due(&mut self, cx: &mut Cx<'_>) {
        self.cancel_change(cx);
        if let State::Up(up) = &mut self.state
            && let Some(queued) = &mut up.queued
        {
            queued.waits = false;
        }
        self.send_queued(cx);
    }

    /// Gives up a re-INVITE of ours, else it waits for its final answer for ever.
    pub(super) fn cancel_change(&self, cx: &mut Cx<'_>) {
        if let State::Up(up) = &self.state
            && let Some(transaction) = up.change.as_ref().and_then(|change| change.transaction)
        {
            cx.wire.cancel(cx.now, transaction, None);
        }
    }

    /// RFC 4028 §7.4: whoever does not take UPDATE after all is refreshed by re-INVITE. False: it was
    /// none.
    fn refreshes_otherwise(&mut self, cx: &mut Cx<'_>) -> bool {
        let State::Up(up) = &mut self.state else { return false };
        let is_update = |change: &mut Change| change.request.method == Method::Update;
        if up.change.take_if(is_update).is_none() {
            return false;
        }
        (up.takes_update, up.refuses_update) = (false, true);
        if !self.begin(What::Refresh, Glare::default(), cx) {
            self.session.refresh_failed(cx.now);
            self.arm(cx, Timer::Session, self.session.deadline());
        }
        true
    }

    fn change_refused(&mut self, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        let Some(change) = up.change.take() else { return };
        if self.negotiation.state() == sdp::State::LocalOffer {
            self.negotiation.offer_failed();
        }
        match change.what {
            What::Codecs(_) => self.report(cx, Report::OfferFailed),
            What::Refresh => {
                // Losing a refresh must not cost the call before its time (INTEROP 10).
                self.session.refresh_failed(cx.now);
                self.arm(cx, Timer::Session, self.session.deadline());
            }
        }
        self.send_queued(cx);
    }

    /// Our re-INVITE or UPDATE got no answer.
    pub(super) fn change_failed(
        &mut self,
        transaction: TransactionId,
        failure: Failure,
        cx: &mut Cx<'_>,
    ) {
        let State::Up(up) = &mut self.state else { return };
        let current = up.change.as_ref().and_then(|change| change.transaction);
        if current != Some(transaction) {
            return;
        }
        self.arm(cx, Timer::Retry, None);
        match failure {
            // RFC 3261 §12.2.1.2: a time-out ends the dialog.
            Failure::TimedOut => self.dialog_lost(cx),
            Failure::Transport => self.change_refused(cx),
        }
    }

    fn dialog_lost(&mut self, cx: &mut Cx<'_>) {
        self.tell(cx, LegEvent::Lost(Cause::TIMEOUT));
        self.bye(Cause::TIMEOUT, cx);
    }

    /// The session is to be refreshed, or is over.
    pub(super) fn session_due(&mut self, cx: &mut Cx<'_>) {
        let State::Up(up) = &self.state else { return };
        let quiet = up.is_quiet();
        match self.session.fired(cx.now) {
            SessionDue::Refresh => {
                self.arm(cx, Timer::Session, self.session.deadline());
                if quiet {
                    self.begin(What::Refresh, Glare::default(), cx);
                } else {
                    self.session.refresh_failed(cx.now);
                    self.arm(cx, Timer::Session, self.session.deadline());
                }
            }
            SessionDue::Expired => self.dialog_lost(cx),
        }
    }
}
