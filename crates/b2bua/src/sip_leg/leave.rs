//! The ways out of a leg: refuse, CANCEL, BYE.

use call::{Cause, LegEvent};
use serde::{Deserialize, Serialize};
use sip::auth::ClientAuth;
use sip::dialog::Dialog;
use sip::message::{Method, Name, Request, Response, StatusCode};
use sip::transaction::TransactionId;

use super::{Cx, Failure, SipLeg, State, reason};
use crate::wire::{Owner, Purpose, Wire};

/// A leg on its way out.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Leaving {
    /// CANCEL is out, or will be after the first provisional; the INVITE's final answer is awaited.
    /// Its early dialogs are kept: a PRACK has used up numbers of theirs.
    Cancelling { invite: Request, early: Vec<Dialog> },
    /// BYE is out.
    Bye { request: Request, dialog: Box<Dialog>, auth: ClientAuth, challenged: bool },
}

impl Leaving {
    /// Whether the far end's tag of the dialog that is over, or of one of its early dialogs, is this one.
    pub(super) fn has_remote_tag(&self, tag: &str) -> bool {
        match self {
            Self::Cancelling { early, .. } => {
                early.iter().any(|dialog| *dialog.id().remote_tag == *tag)
            }
            Self::Bye { dialog, .. } => *dialog.id().remote_tag == *tag,
        }
    }
}

impl SipLeg {
    /// Ends the leg, whatever its state.
    pub(crate) fn release(&mut self, cause: Cause, elsewhere: bool, cx: &mut Cx<'_>) {
        self.refuse(cause, elsewhere, None, cx);
    }

    /// As [`Self::release`]; a caller is told the limit of ours that it is refused for, and when to
    /// try again.
    pub(crate) fn refuse(
        &mut self,
        cause: Cause,
        elsewhere: bool,
        limit: Option<&str>,
        cx: &mut Cx<'_>,
    ) {
        match &mut self.state {
            State::Early(_) => {
                let status = match cause.status() {
                    status @ 300..=699 => StatusCode(status),
                    _ => StatusCode::TEMPORARILY_UNAVAILABLE,
                };
                match limit {
                    Some(limit) => self.limited(status, limit, cx),
                    None => self.final_answer(status, Some(reason(cause, elsewhere)), cx),
                }
                self.gone(cx);
            }
            State::Placing(_) => self.cancel_invite(&reason(cause, elsewhere), cx),
            // INTEROP 2: BYE only after ACK.
            State::Up(up) if up.unacked.is_some() => up.bye_after_ack = Some(cause),
            State::Up(_) => self.bye(cause, cx),
            State::Leaving(_) | State::Moving | State::Gone => {}
        }
    }

    /// Hangs up a dialog that is up.
    pub(super) fn bye(&mut self, cause: Cause, cx: &mut Cx<'_>) {
        self.cancel_change(cx);
        self.last_word(cx);
        let state = std::mem::replace(&mut self.state, State::Moving);
        let State::Up(mut up) = state else {
            self.state = state;
            return;
        };
        self.disarm_all(&mut cx.wire.timers);
        if let Some(pending) = up.pending.take() {
            let status = StatusCode::REQUEST_TERMINATED;
            self.respond_pending(pending, status, cx);
        }
        if let Some((transaction, request)) = up.unanswered_refer() {
            self.respond(transaction, &request, StatusCode::REQUEST_TERMINATED, cx);
        }
        let mut request = up.dialog.request(Method::Bye);
        request.headers.push(Name::UserAgent, cx.config.product.clone());
        request.headers.push(Name::Reason, reason(cause, false));
        if let Some(credentials) = self.party.trunk(cx.config).and_then(|t| t.credentials.as_ref())
        {
            up.auth.reauthorize(&mut request, &credentials.into());
        }
        self.state = State::Leaving(Box::new(Leaving::Bye {
            request,
            dialog: Box::new(up.dialog),
            auth: up.auth,
            challenged: false,
        }));
        self.send_bye(cx);
    }

    fn respond_pending(&self, pending: super::up::Pending, status: StatusCode, cx: &mut Cx<'_>) {
        let (transaction, request) = pending.into_parts();
        self.respond(transaction, &request, status, cx);
    }

    fn send_bye(&mut self, cx: &mut Cx<'_>) {
        let State::Leaving(leaving) = &self.state else { return };
        let Leaving::Bye { request, dialog, .. } = &**leaving else { return };
        let (request, target) = (request.clone(), self.target(dialog));
        let owner = Owner::Leg(self.id, Purpose::Bye);
        if cx.wire.request(cx.now, request, target, owner).is_none() {
            self.gone(cx);
        }
    }

    /// An answer to the BYE.
    fn bye_answered(&mut self, response: &Response, cx: &mut Cx<'_>) {
        if response.status.is_provisional() {
            return;
        }
        let credentials = self.party.trunk(cx.config).and_then(|t| t.credentials.as_ref());
        if matches!(response.status.0, 401 | 407)
            && let State::Leaving(leaving) = &mut self.state
            && let Leaving::Bye { request, dialog, auth, challenged: challenged @ false } =
                &mut **leaving
            && let Some(credentials) = credentials
        {
            *challenged = true;
            dialog.renumber(request);
            let answered = auth.authorize(request, response, &credentials.into(), &mut cx.wire.rng);
            if answered.is_ok() {
                return self.send_bye(cx);
            }
        }
        self.gone(cx);
    }

    /// An answer to a request of ours.
    pub(crate) fn response(
        &mut self,
        transaction: TransactionId,
        purpose: Purpose,
        response: &Response,
        cx: &mut Cx<'_>,
    ) {
        if self.waits_for_hop(transaction, purpose, response, cx) {
            return;
        }
        self.learn_events(&response.headers, cx);
        match purpose {
            Purpose::Invite => match &mut self.state {
                State::Placing(_) => self.invite_answered(response, cx),
                State::Leaving(_) => self.cancel_answered(transaction, response, cx),
                State::Up(_) => self.answered_again(transaction, response, cx),
                State::Early(_) | State::Moving | State::Gone => {}
            },
            Purpose::Change => match &self.state {
                State::Up(_) => self.change_answered(transaction, response, cx),
                // Our re-INVITE was accepted while we hung up.
                State::Leaving(_) => self.acknowledge_only(response, cx),
                State::Early(_) | State::Placing(_) | State::Moving | State::Gone => {}
            },
            Purpose::Prack => self.prack_answered(transaction, response, cx),
            Purpose::Info => self.key_answered(transaction, response, cx),
            Purpose::Bye => self.bye_answered(response, cx),
            Purpose::Notify => self.notify_answered(transaction, response, cx),
        }
    }

    /// A request of ours got no answer.
    pub(crate) fn failed(
        &mut self,
        transaction: TransactionId,
        purpose: Purpose,
        failure: Failure,
        cx: &mut Cx<'_>,
    ) {
        match purpose {
            Purpose::Invite => match &self.state {
                State::Placing(_) => self.invite_failed(failure, cx),
                State::Leaving(_) => self.gone(cx),
                State::Up(_) | State::Early(_) | State::Moving | State::Gone => {}
            },
            Purpose::Change => self.change_failed(transaction, failure, cx),
            Purpose::Prack => {}
            Purpose::Info => self.key_unanswered(transaction, cx),
            Purpose::Bye => self.gone(cx),
            Purpose::Notify => self.notify_failed(transaction, failure, cx),
        }
    }

    /// The final answer to an INVITE that we have cancelled, or one more after it.
    fn cancel_answered(
        &mut self,
        transaction: TransactionId,
        response: &Response,
        cx: &mut Cx<'_>,
    ) {
        if response.status.is_provisional() {
            return;
        }
        let State::Leaving(leaving) = &self.state else { return };
        let (invite, early) = match &**leaving {
            Leaving::Cancelling { invite, early } => (invite, early),
            Leaving::Bye { dialog, .. } if is_of(dialog, response) => {
                return self.acknowledge_only(response, cx); // its 2xx again; the BYE is out
            }
            Leaving::Bye { .. } => {
                let (target, trunk) = (self.peer.clone(), self.party.trunk_index());
                return cx.wire.end_stray(cx.now, Some(transaction), response, target, trunk);
            }
        };
        self.final_status = response.status.0;
        if !response.status.is_success() {
            return self.gone(cx);
        }
        // INTEROP 7: the 2xx crossed our CANCEL; ACK, then BYE.
        let known = early.iter().find(|dialog| is_of(dialog, response)).cloned();
        let dialog = known.map_or_else(|| Dialog::uac(invite, response), Ok);
        let Ok(mut dialog) = dialog else { return self.gone(cx) };
        dialog.refresh_target(&response.headers);
        dialog.confirm();
        let (ack, target) = self.ack_for(&dialog, invite);
        cx.wire.ack(ack, target);
        self.state = State::Up(Box::new(super::up::Up::new(dialog, None)));
        self.bye(Cause::CANCELLED, cx);
    }

    /// A further 2xx to our first INVITE: a repetition, or another fork's answer.
    fn answered_again(&self, transaction: TransactionId, response: &Response, cx: &mut Cx<'_>) {
        let State::Up(up) = &self.state else { return };
        if is_of(&up.dialog, response) {
            self.acknowledge_again(response, cx);
        } else {
            let (target, trunk) = (self.peer.clone(), self.party.trunk_index());
            cx.wire.end_stray(cx.now, Some(transaction), response, target, trunk);
        }
    }

    /// ACKs a 2xx that came while our BYE is out. RFC 3261 §12.2.1.1: by the routes of the dialog, of
    /// which the 2xx to a re-INVITE says nothing.
    fn acknowledge_only(&self, response: &Response, cx: &mut Cx<'_>) {
        let State::Leaving(leaving) = &self.state else { return };
        let Leaving::Bye { dialog, .. } = &**leaving else { return };
        if response.status.is_success()
            && let Ok(cseq) = response.headers.cseq()
            && cseq.method == Method::Invite
        {
            let mut dialog = dialog.clone();
            dialog.refresh_target(&response.headers);
            cx.wire.ack(dialog.ack(cseq.seq), self.peer.clone());
        }
    }

    /// Nothing is left on the wire.
    pub(super) fn gone(&mut self, cx: &mut Cx<'_>) {
        self.cancel_change(cx);
        if self.state != State::Gone {
            self.state = State::Gone;
            self.disarm_all(&mut cx.wire.timers);
            self.tell(cx, LegEvent::Gone);
        }
    }

    /// Waits for the far end no longer: neither for the ACK before a BYE nor for an answer.
    pub(crate) fn give_up(&mut self, cx: &mut Cx<'_>) {
        if let State::Up(up) = &mut self.state {
            let cause = up.bye_after_ack.take().unwrap_or(Cause::NORMAL);
            self.bye(cause, cx);
        }
        self.gone(cx);
    }

    /// Tells the far end as well as can be done without asking the leg's state much: its call's
    /// handling panicked.
    pub(crate) fn abandon(&mut self, now: base::Time, wire: &mut Wire) {
        let state = std::mem::replace(&mut self.state, State::Moving);
        match state {
            State::Early(early) => {
                let response = early.invite.response(StatusCode::SERVER_INTERNAL_ERROR);
                let response = response.with_to_tag(&self.local_tag);
                wire.respond(now, early.transaction, response);
            }
            State::Placing(placing) => {
                if let Some(transaction) = placing.transaction {
                    wire.owners.insert(transaction, Owner::Nobody(self.party.trunk_index()));
                    wire.cancel(now, transaction, None);
                }
            }
            State::Up(mut up) => {
                if let Some(transaction) = up.change.take().and_then(|change| change.transaction) {
                    wire.cancel(now, transaction, None);
                }
                if let Some(pending) = up.pending.take() {
                    let (transaction, request) = pending.into_parts();
                    let response = request.response(StatusCode::SERVER_INTERNAL_ERROR);
                    wire.respond(now, transaction, response);
                }
                if let Some((transaction, request)) = up.unanswered_refer() {
                    let response = request.response(StatusCode::SERVER_INTERNAL_ERROR);
                    wire.respond(now, transaction, response);
                }
                let target = self.target(&up.dialog);
                let bye = up.dialog.request(Method::Bye);
                wire.say_goodbye(now, bye, target, self.party.trunk_index());
            }
            State::Leaving(_) | State::Moving | State::Gone => {}
        }
    }
}

/// Whether a response belongs to this dialog, not to another fork's.
fn is_of(dialog: &Dialog, response: &Response) -> bool {
    let tag = response.headers.to().ok().and_then(|to| to.tag().map(str::to_owned));
    tag.unwrap_or_default() == *dialog.id().remote_tag
}

/// The ACK and BYE for a 2xx to an INVITE whose leg we no longer have, made of the 2xx alone.
pub(crate) fn ack_and_bye(response: &Response) -> Option<(Request, Request)> {
    let cseq = response.headers.cseq().ok().filter(|cseq| cseq.method == Method::Invite)?;
    let mut dialog = Dialog::stray(response).ok()?;
    Some((dialog.ack(cseq.seq), dialog.request(Method::Bye)))
}
