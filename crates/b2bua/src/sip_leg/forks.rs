//! Early dialogs of a leg being placed, one per fork: each has its own answer, PRACKs and UPDATEs.

use sdp::Negotiation;
use serde::{Deserialize, Serialize};
use sip::auth::ClientAuth;
use sip::dialog::{Dialog, ReliableUac, body};
use sip::message::{Method, Name, NameAddr, RAck, Request, Response, StatusCode};
use sip::transaction::TransactionId;

use super::placing::Placing;
use super::{BOTH, Cx, Report, SDP, SipLeg, State, introduce};
use crate::wire::{Owner, Purpose};

/// Early dialogs of one INVITE (a proxy behind us may fork it).
const FORKS_MAX: usize = 8;

/// One early dialog.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Fork {
    pub(super) dialog: Dialog,
    pub(super) negotiation: Negotiation,
    reliable: ReliableUac,
    /// Whether its answer came reliably, so that no later one counts (RFC 6337 §2.2).
    pub(super) settled: bool,
    /// The last PRACK sent.
    pub(super) prack: Option<Prack>,
}

/// A PRACK of ours, kept until a challenge of it can no longer come.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Prack {
    request: Request,
    transaction: Option<TransactionId>,
    challenged: bool,
}

impl Fork {
    fn new(dialog: Dialog, negotiation: Negotiation) -> Self {
        let reliable = ReliableUac::default();
        Self { dialog, negotiation, reliable, settled: false, prack: None }
    }
}

impl SipLeg {
    /// Keeps the early dialog of a 1xx, PRACKs it, reads its SDP. True when its media is new.
    pub(super) fn early_dialog(&mut self, response: &Response, cx: &mut Cx<'_>) -> bool {
        let State::Placing(placing) = &mut self.state else { return false };
        let to = response.headers.to().ok();
        let Some(tag) = to.as_ref().and_then(NameAddr::tag) else { return false };
        if response.status == StatusCode::EARLY_DIALOG_TERMINATED {
            placing.forks.remove(tag); // RFC 6228
            return false;
        }
        if !placing.forks.contains_key(tag) {
            let dialog = Dialog::uac(&placing.invite, response);
            let (Ok(dialog), true) = (dialog, placing.forks.len() < FORKS_MAX) else {
                return false;
            };
            let negotiation = self.negotiation.clone();
            placing.forks.insert(tag.into(), Fork::new(dialog, negotiation));
        }
        let Some(fork) = placing.forks.get_mut(tag) else { return false };
        let prack = match fork.reliable.receive(response) {
            sip::dialog::Reliable::Unreliable => None,
            sip::dialog::Reliable::Fresh(rack) => Some(rack),
            sip::dialog::Reliable::Repeated | sip::dialog::Reliable::OutOfOrder => return false,
        };
        let session = Self::sdp(&response.headers, &response.body).ok().flatten();
        let session = session.filter(|_| !fork.settled);
        let before = session.as_ref().and_then(|_| fork.negotiation.agreed().cloned());
        let taken = session.is_some_and(|session| fork.negotiation.receive_answer(session).is_ok());
        let media = taken
            && (fork.negotiation.agreed() != before.as_ref()
                || placing.heard.as_deref() != Some(tag));
        fork.settled |= taken && prack.is_some();
        if let Some(rack) = prack {
            self.send_prack(tag, &rack, cx);
        }
        let State::Placing(placing) = &mut self.state else { return false };
        if media {
            placing.heard = Some(tag.into());
        }
        media
    }

    /// Acknowledges a reliable provisional of this fork, RFC 3262 §4.
    fn send_prack(&mut self, tag: &str, rack: &RAck, cx: &mut Cx<'_>) {
        let credentials = self.party.trunk(cx.config).and_then(|t| t.credentials.as_ref());
        let State::Placing(placing) = &mut self.state else { return };
        let Placing { forks, auth, .. } = &mut **placing;
        let Some(fork) = forks.get_mut(tag) else { return };
        let mut request = fork.dialog.request(Method::Prack);
        request.headers.push(Name::RAck, rack.to_string());
        if let Some(credentials) = credentials {
            auth.reauthorize(&mut request, &credentials.into());
        }
        let (sent, dialog) = (request.clone(), fork.dialog.clone());
        fork.prack = Some(Prack { request, transaction: None, challenged: false });
        let target = self.target(&dialog);
        let owner = Owner::Leg(self.id, Purpose::Prack);
        let transaction = cx.wire.request(cx.now, sent, target, owner);
        if let Some((.., prack)) = self.prack_of(None) {
            prack.transaction = transaction;
        }
    }

    /// An answer to a PRACK of ours. A challenge is answered once (INTEROP 12), by the credentials
    /// of the leg's trunk (ATTACKS 16); any other refusal is the far end's to draw conclusions from.
    pub(super) fn prack_answered(
        &mut self,
        transaction: TransactionId,
        response: &Response,
        cx: &mut Cx<'_>,
    ) {
        let credentials = self.party.trunk(cx.config).and_then(|t| t.credentials.as_ref());
        let (401 | 407, Some(credentials)) = (response.status.0, credentials) else { return };
        let found = self.prack_of(Some(transaction));
        let Some((dialog, auth, prack)) = found.filter(|(.., prack)| !prack.challenged) else {
            return;
        };
        prack.challenged = true;
        dialog.renumber(&mut prack.request);
        let rng = &mut cx.wire.rng;
        if auth.authorize(&mut prack.request, response, &credentials.into(), rng).is_err() {
            return;
        }
        let (sent, dialog) = (prack.request.clone(), dialog.clone());
        let target = self.target(&dialog);
        let owner = Owner::Leg(self.id, Purpose::Prack);
        let again = cx.wire.request(cx.now, sent, target, owner);
        if let Some((.., prack)) = self.prack_of(Some(transaction)) {
            prack.transaction = again;
        }
    }

    /// The PRACK of a transaction, with the dialog it belongs to and what proves it.
    fn prack_of(
        &mut self,
        transaction: Option<TransactionId>,
    ) -> Option<(&mut Dialog, &mut ClientAuth, &mut Prack)> {
        let is_it = |prack: &&mut Prack| prack.transaction == transaction;
        match &mut self.state {
            State::Placing(placing) => {
                let Placing { forks, auth, .. } = &mut **placing;
                let mut pracks = forks.values_mut().filter_map(|fork| {
                    let prack = fork.prack.as_mut().filter(is_it)?;
                    Some((&mut fork.dialog, prack))
                });
                pracks.next().map(|(dialog, prack)| (dialog, auth, prack))
            }
            State::Up(up) => {
                let prack = up.prack.as_mut().filter(is_it)?;
                Some((&mut up.dialog, &mut up.auth, prack))
            }
            State::Early(_) | State::Leaving(_) | State::Moving | State::Gone => None,
        }
    }

    /// An UPDATE of the callee inside an early dialog: an offer once its first exchange is done
    /// (RFC 3311 §5.2), or another Contact.
    pub(super) fn early_update(
        &mut self,
        request: &Request,
        transaction: TransactionId,
        cx: &mut Cx<'_>,
    ) {
        let allowed = self.party.codecs(cx.config).to_vec();
        let contact = self.contact(cx.config);
        let State::Placing(placing) = &mut self.state else { return };
        let Some(fork) = placing.fork_of(request) else { return };
        if let Err(refusal) = body::check(request) {
            return cx.wire.respond(cx.now, transaction, *refusal);
        }
        let offer = match Self::sdp(&request.headers, &request.body) {
            Ok(offer) => offer,
            Err(status) => return self.respond(transaction, request, status, cx),
        };
        let mut response = request.response(StatusCode::OK);
        introduce(&mut response.headers, &contact);
        let has_offer = offer.is_some();
        if let Some(offer) = offer {
            let taken = fork.negotiation.receive_offer(offer);
            let offered = taken.map(|remote| remote.codecs.clone());
            let answer = offered.map_err(|error| error.status()).and_then(|offered| {
                let codecs = sdp::pass_through(&offered, &allowed, sdp::Order::Offer);
                fork.negotiation.answer(&codecs, BOTH).map_err(|error| error.status())
            });
            match answer {
                Ok(answer) => response.set_body(SDP, answer),
                Err(status) => {
                    fork.negotiation.reject_offer();
                    return self.respond(transaction, request, StatusCode(status), cx);
                }
            }
        }
        // RFC 6141 §4.6: a change that is refused moves no target.
        fork.dialog.refresh_target(&request.headers);
        if has_offer {
            self.report(cx, Report::Agreed);
        }
        cx.wire.respond(cx.now, transaction, response);
    }
}

impl Placing {
    /// The early dialog that a request of the callee belongs to.
    fn fork_of(&mut self, request: &Request) -> Option<&mut Fork> {
        let from = request.headers.from().ok()?;
        self.forks.get_mut(from.tag()?)
    }

    /// Takes note of a request of the callee inside an early dialog; an error is what to answer.
    pub(super) fn check_request(&mut self, request: &Request) -> Result<(), StatusCode> {
        let fork = self.fork_of(request).ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
        fork.dialog.check_request(request)
    }
}
