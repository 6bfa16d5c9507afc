//! Keys told to the far end by SIP INFO (RFC 6086 §1, the usage from before it), one after another so
//! that they stay in their order.

use std::collections::VecDeque;

use media::dtmf::info::Body;
use media::dtmf::{DtmfEvent, QUEUE_MAX};
use serde::{Deserialize, Serialize};
use sip::message::{Method, Request, Response};
use sip::transaction::TransactionId;

use super::{Cx, SipLeg, State};
use crate::wire::{Owner, Purpose};

/// The INFO that waits for its answer, and the keys that wait for it.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct KeysTold {
    current: Option<Told>,
    waiting: VecDeque<(bool, DtmfEvent)>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    request: Request,
    transaction: Option<TransactionId>,
    challenged: bool,
}

impl SipLeg {
    /// Tells the far end of a key, after those it is being told of. One too many is left out: the
    /// far end is far behind by then (ATTACKS 21).
    pub(crate) fn tell_key(&mut self, body: Body, event: DtmfEvent, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        if up.keys.waiting.len() < QUEUE_MAX {
            up.keys.waiting.push_back((body == Body::Relay, event));
        }
        self.tell_next(cx);
    }

    fn tell_next(&mut self, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        if up.keys.current.is_some() || up.bye_after_ack.is_some() {
            return;
        }
        let Some((is_relay, event)) = up.keys.waiting.pop_front() else { return };
        let body = if is_relay { Body::Relay } else { Body::Plain };
        let mut request = up.dialog.request(Method::Info);
        request.set_body(body.media_type(), body.print(&event));
        let credentials = self.party.trunk(cx.config).and_then(|t| t.credentials.as_ref());
        if let Some(credentials) = credentials {
            up.auth.reauthorize(&mut request, &credentials.into());
        }
        up.keys.current = Some(Told { request, transaction: None, challenged: false });
        self.send_key(cx);
    }

    fn send_key(&mut self, cx: &mut Cx<'_>) {
        let State::Up(up) = &self.state else { return };
        let target = self.target(&up.dialog);
        let owner = Owner::Leg(self.id, Purpose::Info);
        let State::Up(up) = &mut self.state else { return };
        let Some(told) = &mut up.keys.current else { return };
        told.transaction = cx.wire.request(cx.now, told.request.clone(), target, owner);
        if told.transaction.is_none() {
            up.keys.current = None;
        }
    }

    /// The answer to an INFO: a challenge is answered once (INTEROP 12), a refusal is not ours to
    /// mend; either way the next key follows.
    pub(super) fn key_answered(
        &mut self,
        transaction: TransactionId,
        response: &Response,
        cx: &mut Cx<'_>,
    ) {
        if response.status.is_provisional() {
            return;
        }
        let credentials = self.party.trunk(cx.config).and_then(|t| t.credentials.as_ref());
        let State::Up(up) = &mut self.state else { return };
        let Some(told) = up.keys.current_of(transaction) else { return };
        let is_challenge = matches!(response.status.0, 401 | 407) && !told.challenged;
        if let Some(credentials) = credentials.filter(|_| is_challenge) {
            told.challenged = true;
            up.dialog.renumber(&mut told.request);
            let request = &mut told.request;
            let signed =
                up.auth.authorize(request, response, &credentials.into(), &mut cx.wire.rng);
            if signed.is_ok() {
                return self.send_key(cx);
            }
        }
        if !response.status.is_success() {
            tracing::debug!(status = response.status.0, "a key by INFO was refused");
        }
        self.key_unanswered(transaction, cx);
    }

    /// An INFO is done with, answered or not: its call goes on.
    pub(super) fn key_unanswered(&mut self, transaction: TransactionId, cx: &mut Cx<'_>) {
        let State::Up(up) = &mut self.state else { return };
        if up.keys.current_of(transaction).is_some() {
            up.keys.current = None;
            self.tell_next(cx);
        }
    }
}

impl KeysTold {
    fn current_of(&mut self, transaction: TransactionId) -> Option<&mut Told> {
        self.current.as_mut().filter(|told| told.transaction == Some(transaction))
    }
}
