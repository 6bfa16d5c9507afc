//! Events inside the dialog: a REFER of the phone and how it fares (RFC 3515), and the NOTIFYs by
//! which we take its handset up or put it on hold from outside.

use call::LegEvent;
use serde::{Deserialize, Serialize};
use sip::event::{Notify, Package, REMOTE_CONTROL, Refer, Referral};
use sip::message::{Headers, Method, Name, Request, Response, StatusCode};
use sip::transaction::TransactionId;

use super::up::Up;
use super::{Cx, Failure, Report, SipLeg, State, Timer, introduce};
use crate::wire::{Owner, Purpose};

/// How its phone can be driven by NOTIFY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Driven {
    /// Whether it knows these events.
    talk: bool,
    hold: bool,
    /// Whether the last that it was asked for was to hold.
    is_to_hold: bool,
}

/// A REFER that waits for the core's verdict, or whose progress is told.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "boxed where it is kept")]
pub(super) enum Referred {
    /// It has no answer yet.
    Asked { transaction: TransactionId, request: Request, refer: Refer },
    /// It was accepted.
    Accepted { referral: Referral, notify: Option<TransactionId> },
}

impl SipLeg {
    /// A REFER: the core decides, by [`Self::accept_referral`] or [`Self::refuse_referral`].
    pub(super) fn refer_received(
        &mut self,
        request: Request,
        transaction: TransactionId,
        cx: &mut Cx<'_>,
    ) {
        let State::Up(up) = &mut self.state else {
            // RFC 3261 §14.2's reason, for the INVITE itself is still pending.
            return self.respond(transaction, &request, StatusCode::REQUEST_PENDING, cx);
        };
        if up.referred.is_some() {
            return self.respond(transaction, &request, StatusCode::REQUEST_PENDING, cx);
        }
        match Refer::read(&request) {
            Ok(refer) => {
                let asked = Referred::Asked { transaction, request, refer: refer.clone() };
                up.referred = Some(Box::new(asked));
                self.report(cx, Report::Referred(Box::new(refer)));
            }
            Err(status) => self.respond(transaction, &request, status, cx),
        }
    }

    /// The referred call is under way: 202, and progress by NOTIFY where it is wanted.
    pub(crate) fn accept_referral(&mut self, cx: &mut Cx<'_>) {
        let contact = self.contact(cx.config);
        let State::Up(up) = &mut self.state else { return };
        let Some((transaction, request, refer)) = up.take_asked() else { return };
        let mut response = request.response(StatusCode::ACCEPTED);
        introduce(&mut response.headers, &contact);
        if refer.subscribes {
            let referral = Referral::new(cx.now, refer.id);
            up.referred = Some(Box::new(Referred::Accepted { referral, notify: None }));
        } else {
            response.headers.set(Name::ReferSub, "false"); // RFC 4488 §4
        }
        cx.wire.respond(cx.now, transaction, response);
        self.notify(cx);
    }

    /// The referred call is not made.
    pub(crate) fn refuse_referral(&mut self, status: StatusCode, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        if let Some((transaction, request, _)) = up.take_asked() {
            self.respond(transaction, &request, status, cx);
        }
    }

    /// The referred call has got this far (T11).
    pub(crate) fn referral_progress(&mut self, status: StatusCode, cx: &mut Cx<'_>) {
        if let State::Up(up) = &mut self.state
            && let Some(Referred::Accepted { referral, .. }) = up.referred.as_deref_mut()
        {
            referral.progress(status);
            self.notify(cx);
        }
    }

    /// Our patience with the referred call, or the phone's, is over.
    pub(super) fn referral_due(&mut self, cx: &mut Cx<'_>) {
        if let State::Up(up) = &mut self.state
            && let Some(Referred::Accepted { referral, .. }) = up.referred.as_deref_mut()
        {
            referral.expired();
            self.notify(cx);
        }
    }

    /// SUBSCRIBE inside the dialog: of a referral's progress, and of nothing else.
    pub(super) fn subscribe_received(
        &mut self,
        request: &Request,
        transaction: TransactionId,
        cx: &mut Cx<'_>,
    ) {
        let package = Package::of(&request.headers);
        let contact = self.contact(cx.config);
        let of_ours = |referral: &Referral| match &package {
            Some(Package::Refer(id)) => id.is_none_or(|id| id == referral.id()),
            Some(Package::Talk | Package::Hold | Package::Other(_)) | None => false,
        };
        if let State::Up(up) = &mut self.state
            && let Some(Referred::Accepted { referral, .. }) = up.referred.as_deref_mut()
            && of_ours(referral)
        {
            let seconds = request.headers.expires().unwrap_or(u32::MAX);
            referral.subscribed(cx.now, seconds);
            let left = referral.deadline().map_or(0, |deadline| (deadline - cx.now).as_secs());
            let mut response = request.response(StatusCode::OK);
            introduce(&mut response.headers, &contact);
            response.headers.set(Name::Expires, left.to_string());
            cx.wire.respond(cx.now, transaction, response);
            return self.notify(cx);
        }
        let status = match package {
            Some(Package::Refer(_)) => StatusCode::CALL_DOES_NOT_EXIST,
            Some(Package::Talk | Package::Hold | Package::Other(_)) | None => StatusCode::BAD_EVENT,
        };
        self.respond(transaction, request, status, cx);
    }

    /// NOTIFY inside the dialog: we have subscribed to nothing (RFC 6665 §4.1.3).
    pub(super) fn notify_received(
        &self,
        request: &Request,
        transaction: TransactionId,
        cx: &mut Cx<'_>,
    ) {
        let status = match Package::of(&request.headers) {
            Some(Package::Refer(_)) | None => StatusCode::CALL_DOES_NOT_EXIST,
            Some(Package::Talk | Package::Hold | Package::Other(_)) => StatusCode::BAD_EVENT,
        };
        self.respond(transaction, request, status, cx);
    }

    /// Sends the NOTIFY that is due, and keeps its deadline.
    fn notify(&mut self, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        let Some(Referred::Accepted { referral, .. }) = up.referred.as_deref_mut() else { return };
        let due = referral.poll(cx.now);
        let deadline = referral.deadline();
        if referral.is_over() {
            up.referred = None;
        }
        self.arm(cx, Timer::Referral, deadline);
        let Some(due) = due else { return };
        let sent = self.send_notify(&due, cx);
        let State::Up(up) = &mut self.state else { return };
        let Some(Referred::Accepted { referral, notify }) = up.referred.as_deref_mut() else {
            return;
        };
        *notify = sent;
        if sent.is_none() {
            referral.answered(None);
            up.referred = None;
            self.arm(cx, Timer::Referral, None);
        }
    }

    fn send_notify(&mut self, due: &Notify, cx: &mut Cx<'_>) -> Option<TransactionId> {
        let contact = self.contact(cx.config);
        let State::Up(up) = &mut self.state else { return None };
        let mut request = up.dialog.request(Method::Notify);
        introduce(&mut request.headers, &contact);
        due.write(&mut request.headers);
        request.set_body(due.content_type(), due.body.clone());
        self.send_inside(request, cx)
    }

    /// Sends a NOTIFY in the dialog that is up.
    fn send_inside(&mut self, mut request: Request, cx: &mut Cx<'_>) -> Option<TransactionId> {
        let State::Up(up) = &mut self.state else { return None };
        if let Some(credentials) = self.party.trunk(cx.config).and_then(|t| t.credentials.as_ref())
        {
            up.auth.reauthorize(&mut request, &credentials.into());
        }
        let State::Up(up) = &self.state else { return None };
        let target = self.target(&up.dialog);
        cx.wire.request(cx.now, request, target, Owner::Leg(self.id, Purpose::Notify))
    }

    /// A NOTIFY of ours got this answer.
    pub(super) fn notify_answered(
        &mut self,
        transaction: TransactionId,
        response: &Response,
        cx: &mut Cx<'_>,
    ) {
        if !response.status.is_provisional() {
            self.notify_settled(transaction, Some(response.status), cx);
        }
    }

    /// A NOTIFY of ours got no answer. The dialog is left alone: RFC 5057 §5.3.
    pub(super) fn notify_failed(
        &mut self,
        transaction: TransactionId,
        _failure: Failure,
        cx: &mut Cx<'_>,
    ) {
        self.notify_settled(transaction, None, cx);
    }

    fn notify_settled(
        &mut self,
        transaction: TransactionId,
        status: Option<StatusCode>,
        cx: &mut Cx<'_>,
    ) {
        if let State::Up(up) = &mut self.state
            && let Some(Referred::Accepted { referral, notify }) = up.referred.as_deref_mut()
            && *notify == Some(transaction)
        {
            *notify = None;
            referral.answered(status);
            self.notify(cx);
        }
    }

    /// Whether it is told how a referred call fares.
    pub(crate) fn has_referral(&self) -> bool {
        match &self.state {
            State::Up(up) => matches!(up.referred.as_deref(), Some(Referred::Accepted { .. })),
            State::Early(_)
            | State::Placing(_)
            | State::Leaving(_)
            | State::Moving
            | State::Gone => false,
        }
    }

    /// The last NOTIFY of a referral, while the dialog can still carry it: it is about to end.
    pub(super) fn last_word(&mut self, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        let Some(Referred::Accepted { mut referral, .. }) =
            up.referred.take().map(|referred| *referred)
        else {
            return;
        };
        if let Some(last) = referral.last_word() {
            let _ = self.send_notify(&last, cx); // repeated by its transaction, whatever comes
        }
    }

    /// Whether we have asked the phone to hold, and not to go on since: it may be about to.
    pub(crate) fn is_to_hold(&self) -> bool {
        self.driven.is_to_hold
    }

    /// Takes the phone's handset up (`talk`: answers, or retrieves from hold) or puts the call on
    /// hold, by an in-dialog NOTIFY (S11). What the phone then does comes back as signalling of its
    /// own. False: it can't be asked, for it has not said that it knows the event (RFC 6665 §4.4.4).
    pub(crate) fn drive(&mut self, package: &Package, cx: &mut Cx<'_>) -> bool {
        let event = match package {
            Package::Talk if self.driven.talk => "talk",
            Package::Hold if self.driven.hold => "hold",
            Package::Talk | Package::Hold | Package::Refer(_) | Package::Other(_) => return false,
        };
        let contact = self.contact(cx.config);
        let peer = self.peer.clone();
        let (mut request, target) = match &mut self.state {
            State::Up(up) => (up.dialog.request(Method::Notify), None),
            State::Placing(placing) => match placing.forks.values_mut().next() {
                Some(fork) => (fork.dialog.request(Method::Notify), Some(peer)),
                None => return false, // no dialog yet
            },
            State::Early(_) | State::Leaving(_) | State::Moving | State::Gone => return false,
        };
        introduce(&mut request.headers, &contact);
        request.headers.set(Name::Event, event);
        request.headers.set(Name::SubscriptionState, "active");
        let sent = match target {
            Some(target) => {
                let owner = Owner::Leg(self.id, Purpose::Notify);
                cx.wire.request(cx.now, request, target, owner).is_some()
            }
            None => self.send_inside(request, cx).is_some(),
        };
        self.driven.is_to_hold = sent && *package == Package::Hold;
        sent
    }

    /// Takes note of what the phone says of itself.
    pub(super) fn learn_events(&mut self, headers: &Headers, cx: &mut Cx<'_>) {
        if !headers.has(Name::AllowEvents) {
            return;
        }
        let [talk, hold] = REMOTE_CONTROL.map(|event| headers.has_token(Name::AllowEvents, event));
        let could_talk = self.driven.talk;
        self.driven = Driven { talk, hold, ..self.driven };
        if talk != could_talk {
            self.tell(cx, LegEvent::Driven(talk));
        }
    }
}

impl Up {
    /// The REFER that has no answer yet.
    fn take_asked(&mut self) -> Option<(TransactionId, Request, Refer)> {
        match *self.referred.take()? {
            Referred::Asked { transaction, request, refer } => Some((transaction, request, refer)),
            accepted @ Referred::Accepted { .. } => {
                self.referred = Some(Box::new(accepted));
                None
            }
        }
    }

    /// The transaction of a REFER without an answer, for a leg that ends.
    pub(super) fn unanswered_refer(&mut self) -> Option<(TransactionId, Request)> {
        self.take_asked().map(|(transaction, request, _)| (transaction, request))
    }
}
