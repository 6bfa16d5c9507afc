//! What the transactions emit goes to the leg, trunk or phone it belongs to; what legs report goes
//! to their call; what the call commands goes back to legs.

use std::net::IpAddr;

use base::Time;
use call::{CallId, Cause, LegCommand, LegEvent, LegId, Side};
use media::dtmf::Form;
use sip::auth::ClientAuth;
use sip::message::{Method, Request, Response, StatusCode};
use sip::transaction::{Event as Transaction, TransactionId};
use sip::transport::Source;

use super::{CallState, Core, DialogKey};
use crate::feature::Key;
use crate::io::Output;
use crate::party::Party;
use crate::sip_leg::{Cx, Failure, Report, SipLeg};
use crate::wire::{Asker, Deadline, Goodbye, Owner};

impl Core {
    pub(super) fn transaction_event(
        &mut self,
        now: Time,
        event: Transaction,
        out: &mut Vec<Output>,
    ) {
        match event {
            Transaction::Send { target, bytes, transaction } => {
                out.push(Output::Send { target, bytes, transaction });
            }
            Transaction::Request { request, source } => self.request(now, request, &source, out),
            Transaction::Cancelled { transaction } => {
                if let Some(leg) = self.invites.get(&transaction).copied() {
                    self.with_leg(now, leg, out, |leg, cx| leg.cancelled(transaction, cx));
                }
            }
            Transaction::Response { transaction: Some(transaction), response, source } => {
                self.response(now, transaction, &response, &source, out);
            }
            Transaction::Response { transaction: None, response, source } => {
                self.wire.end_stray(now, None, &response, source.reply_target(), None);
            }
            Transaction::TimedOut { transaction } => {
                self.failed(now, transaction, Failure::TimedOut, out);
            }
            Transaction::TransportFailed { transaction } => {
                self.failed(now, transaction, Failure::Transport, out);
            }
            Transaction::Acked { .. } | Transaction::AckTimedOut { .. } => {}
            Transaction::Ended { transaction } => {
                self.wire.ended(transaction);
                self.invites.remove(&transaction);
            }
        }
    }

    fn request(&mut self, now: Time, request: Request, source: &Source, out: &mut Vec<Output>) {
        let to_tag = request.headers.to().ok().and_then(|to| to.tag().map(str::to_owned));
        let Some(to_tag) = to_tag else { return self.new_request(now, request, source, out) };
        let call_id = request.headers.call_id().unwrap_or("");
        let key: DialogKey = (call_id.into(), to_tag.into());
        let Some(&leg) = self.dialogs.get(&key) else {
            // RFC 3261 §12.2.2; an ACK is never answered.
            if request.method != Method::Ack {
                self.refuse(&request, source, StatusCode::CALL_DOES_NOT_EXIST);
            }
            return;
        };
        if request.method == Method::Ack {
            let is_peers = self.is_from_peer(leg, source);
            let from = source.remote.ip();
            return self.with_leg(now, leg, out, |leg, cx| leg.acked(&request, from, is_peers, cx));
        }
        if !self.may_speak(now, leg, &request, source, out) {
            return;
        }
        self.in_dialog(now, leg, request, source, out);
    }

    fn in_dialog(
        &mut self,
        now: Time,
        leg: LegId,
        request: Request,
        source: &Source,
        out: &mut Vec<Output>,
    ) {
        let accepted = self.wire.transactions.accept(now, &request, source, &mut self.wire.events);
        let Some(transaction) = accepted else {
            let response = crate::wire::overloaded(&request);
            return self.wire.reply(&request, source, response);
        };
        if request.method == Method::Invite {
            self.invites.insert(transaction, leg);
        }
        self.serving = Some(transaction);
        self.with_leg(now, leg, out, |leg, cx| leg.request(request, source, transaction, cx));
        self.serving = None;
    }

    /// Whether a request inside a dialog comes from the dialog's peer: from its address, or with a
    /// digest of its extension (ATTACKS 14). Answers when it does not.
    fn may_speak(
        &mut self,
        now: Time,
        leg: LegId,
        request: &Request,
        source: &Source,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(this) = self.legs.get(&leg) else { return false };
        let party = this.party().clone();
        if self.is_from_peer(leg, source) {
            return true;
        }
        match self.authenticate(now, request, source, out) {
            Some(proved) if proved == party => true,
            Some(_) => {
                self.refuse(request, source, StatusCode::CALL_DOES_NOT_EXIST);
                false
            }
            None => false,
        }
    }

    /// Whether a message comes from where the leg's far end is known to be.
    fn is_from_peer(&self, leg: LegId, source: &Source) -> bool {
        let Some(this) = self.legs.get(&leg) else { return false };
        this.is_peer(source.remote.ip())
            || match *this.party() {
                Party::Trunk(trunk) => self.trunk_of(source) == Some(trunk),
                Party::Extension(_) => false,
            }
    }

    fn response(
        &mut self,
        now: Time,
        transaction: TransactionId,
        response: &Response,
        source: &Source,
        out: &mut Vec<Output>,
    ) {
        let Some(owner) = self.wire.owners.get(&transaction).copied() else { return };
        match owner {
            // The leg was given up before its answer came.
            Owner::Leg(leg, _) if !self.legs.contains_key(&leg) => {
                let target = source.reply_target();
                self.wire.end_stray(now, Some(transaction), response, target, None);
            }
            Owner::Leg(leg, purpose) => {
                self.with_leg(now, leg, out, |leg, cx| {
                    leg.response(transaction, purpose, response, cx);
                });
            }
            Owner::TrunkOptions(trunk, gateway) => {
                self.trunk_asked(now, (trunk, gateway), Some(response.status), out);
            }
            Owner::TrunkRegister(trunk, gateway) => {
                self.trunk_registered(now, (trunk, gateway), Some(response));
            }
            Owner::Qualify(binding, sent) => self.qualified(now, binding, Some(now - sent), out),
            Owner::Nobody(_) if matches!(response.status.0, 401 | 407) => {
                self.prove_goodbye(now, transaction, response);
            }
            Owner::Nobody(trunk) => {
                let target = source.reply_target();
                self.wire.end_stray(now, Some(transaction), response, target, trunk);
            }
        }
    }

    /// INTEROP 12: a trunk may want a proof for a BYE too. Only that trunk gets one (ATTACKS 16).
    fn prove_goodbye(&mut self, now: Time, transaction: TransactionId, response: &Response) {
        let Some(Goodbye { mut bye, target, trunk }) = self.wire.goodbye(transaction) else {
            return;
        };
        let Some(at) = trunk.or_else(|| self.only_trunk_at(target.addr.ip())) else { return };
        let config = self.config.clone();
        let Some(credentials) = config.trunks[at].credentials.as_ref() else { return };
        crate::sip_leg::bump_cseq(&mut bye);
        let mut auth = ClientAuth::default();
        if auth.authorize(&mut bye, response, &credentials.into(), &mut self.wire.rng).is_ok() {
            self.wire.request(now, bye, target, Owner::Nobody(Some(at)));
        }
    }

    /// The trunk whose address this is, if it is that of one only.
    fn only_trunk_at(&self, ip: IpAddr) -> Option<usize> {
        let trunks = self.config.trunks.iter().zip(&self.trunks).enumerate();
        let mut there = trunks.filter(|(_, (trunk, state))| {
            crate::party::in_networks(trunk, ip) || state.is_gateway(ip)
        });
        let only = there.next().map(|(at, _)| at);
        only.filter(|_| there.next().is_none())
    }

    fn failed(
        &mut self,
        now: Time,
        transaction: TransactionId,
        failure: Failure,
        out: &mut Vec<Output>,
    ) {
        let Some(owner) = self.wire.owners.get(&transaction).copied() else { return };
        match owner {
            Owner::Leg(leg, purpose) => {
                self.with_leg(now, leg, out, |leg, cx| {
                    leg.failed(transaction, purpose, failure, cx);
                });
            }
            Owner::TrunkOptions(trunk, gateway) => {
                self.trunk_asked(now, (trunk, gateway), None, out);
            }
            Owner::TrunkRegister(trunk, gateway) => {
                self.trunk_registered(now, (trunk, gateway), None);
            }
            Owner::Qualify(binding, _) => self.qualified(now, binding, None, out),
            Owner::Nobody(_) => {}
        }
    }

    /// Lets `work` run on a leg, with what it needs of the core.
    pub(super) fn with_leg(
        &mut self,
        now: Time,
        leg: LegId,
        _out: &mut Vec<Output>,
        work: impl FnOnce(&mut SipLeg, &mut Cx<'_>),
    ) {
        let Some(this) = self.legs.get_mut(&leg) else { return };
        let call = this.call();
        let _span = tracing::info_span!("leg", %call, %leg).entered();
        self.working_on = Some(call);
        assert!(self.poison.take_if(|poisoned| *poisoned == call).is_none(), "poisoned on purpose");
        let mut cx =
            Cx { now, config: &self.config, wire: &mut self.wire, reports: &mut self.reports };
        work(this, &mut cx);
    }

    /// Lets `work` run on a call, then does what the call commands.
    pub(super) fn with_call(
        &mut self,
        now: Time,
        call: CallId,
        out: &mut Vec<Output>,
        work: impl FnOnce(&mut CallState, Time, &mut Vec<call::Output>),
    ) {
        let Some(state) = self.calls.get_mut(&call) else { return };
        let _span = tracing::info_span!("call", %call).entered();
        self.working_on = Some(call);
        let mut commands = Vec::new();
        work(state, now, &mut commands);
        state.forget_reaches();
        self.uncount_the_gone(call);
        self.touch(call);
        self.commands(now, call, commands, out);
    }

    /// Does what a call commands, in order.
    pub(super) fn commands(
        &mut self,
        now: Time,
        call: CallId,
        commands: Vec<call::Output>,
        out: &mut Vec<Output>,
    ) {
        for command in commands {
            match command {
                call::Output::Leg(leg, command) => self.command(now, call, leg, command, out),
                call::Output::Dial { attempt, target } => {
                    self.reach_again(call, attempt);
                    if !self.announces_first(now, call, (attempt, target), out) {
                        self.dial(now, call, attempt, target, out);
                    }
                }
                call::Output::Happened(happening) => {
                    self.tell(now, call, happening, out);
                    self.tell_referrer(now, call, happening, out);
                }
                call::Output::Arm(timer, after) => {
                    self.wire.timers.arm(Deadline::Call(call, timer), now + after);
                }
                call::Output::Disarm(timer) => {
                    self.wire.timers.disarm(Deadline::Call(call, timer));
                }
                call::Output::Over => self.over(now, call, out),
            }
        }
    }

    fn command(
        &mut self,
        now: Time,
        call: CallId,
        leg: LegId,
        command: LegCommand,
        out: &mut Vec<Output>,
    ) {
        match command {
            LegCommand::Ring => {
                let ours = Some(leg).filter(|leg| self.rings_ourselves(call, *leg));
                let codecs = ours.and_then(|leg| self.codecs_of_ours(leg));
                // Early media goes on while it rings: the SDP is told once, in whatever comes first.
                self.with_leg(now, leg, out, |leg, cx| match codecs {
                    Some(codecs) => leg.progress(&codecs, cx),
                    None => leg.ring(cx),
                });
            }
            LegCommand::Progress => {
                if let Some(codecs) = self.codecs_for_caller(call, leg) {
                    self.with_leg(now, leg, out, |leg, cx| leg.progress(&codecs, cx));
                }
            }
            LegCommand::Answer => {
                let codecs = self.codecs_for_caller(call, leg).unwrap_or_default();
                let passed = self.passed_headers(call, leg);
                self.with_leg(now, leg, out, |leg, cx| leg.answer(&codecs, passed, cx));
            }
            LegCommand::Release { cause, elsewhere: false }
                if self.refuses_audibly(now, call, leg, cause, out) => {}
            LegCommand::Release { cause, elsewhere } => {
                let limit = self.limit_behind(call, cause);
                self.with_leg(now, leg, out, |leg, cx| leg.refuse(cause, elsewhere, limit, cx));
            }
        }
    }

    /// The limit that a call is refused for, when it is.
    pub(super) fn limit_behind(&self, call: CallId, cause: Cause) -> Option<&'static str> {
        let refusal = self.calls.get(&call)?.limit?;
        refusal.limit().filter(|_| cause == Cause::CONGESTION)
    }

    /// Headers of the partner's answer that `leg`'s trunk policy lets through.
    fn passed_headers(&self, call: CallId, leg: LegId) -> Vec<(String, String)> {
        let this = self.legs.get(&leg);
        let partner = self.calls.get(&call).and_then(|state| state.call.partner(leg));
        let partner = partner.and_then(|partner| self.legs.get(&partner));
        match (this, partner) {
            (Some(this), Some(partner)) => partner.passed_to(this, &self.config),
            (None, _) | (_, None) => Vec::new(),
        }
    }

    /// What a leg reports.
    pub(super) fn report(&mut self, now: Time, leg: LegId, report: Report, out: &mut Vec<Output>) {
        let Some(this) = self.legs.get(&leg) else { return };
        let call = this.call();
        let event = match report {
            Report::Offered { can_wait } => return self.offered(now, leg, can_wait, out),
            Report::Agreed => return self.agreed(now, leg, out),
            Report::OfferFailed => return self.offer_failed(now, leg, out),
            Report::Key(event) => {
                let key = Key { event, is_ours: true };
                return self.key_told(now, leg, Form::Info, key, out);
            }
            Report::Referred(refer) => return self.referred(now, leg, &refer, out),
            Report::Redirected { contacts, cause } => {
                return self.redirected(now, leg, &contacts, cause, out);
            }
            Report::LookUp { hop, uri } => {
                return self.look_up(Asker::Hop(leg, hop), &uri, out);
            }
            Report::Overloaded { gateway, seconds } => {
                return self.gateway_overloaded(now, leg, gateway, seconds);
            }
            Report::Call(event) => event,
        };
        tracing::info_span!("leg", %call, %leg).in_scope(|| tracing::debug!(?event, "reports"));
        let one = self.calls.get(&call).and_then(|state| state.call.leg(leg));
        let (of, is_called) =
            (one.map(|leg| leg.of), one.is_some_and(|leg| leg.side == Side::Callee));
        if event == LegEvent::Gone {
            self.forget_leg(now, leg, out);
        }
        self.with_call(now, call, out, |state, now, commands| {
            state.call.handle(now, leg, event, commands);
        });
        if event == LegEvent::Gone {
            self.tell_gone(now, call, of, out);
        }
        // Of who calls, this is the ACK.
        if event == LegEvent::Answered && is_called {
            self.tell_answered(now, call, of, out);
        }
    }
}
