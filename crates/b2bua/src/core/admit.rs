//! Requests outside dialogs: who is asking, may they, and where does the call go.
//!
//! Trunks are known by their source address; everybody else shows a digest for every request but
//! OPTIONS. Nothing is kept for a request until its sender is known (ATTACKS 8, 18).

use base::{Masked, Time};
use call::Call;
use sip::auth::Verdict;
use sip::dialog::allow;
use sip::message::{Method, Name, ParseError, Request, Response, Scheme, StatusCode};
use sip::transaction::TransactionId;
use sip::transport::{Source, Transport};

use super::announce::Announcing;
use super::dial::Destination;
use super::reach::{Found, Reach};
use super::{CallState, Core, Counted};
use crate::io::{Event, Output};
use crate::party::{self, Identity, Party};
use crate::sip_leg::{Incoming, SipLeg};
use crate::wire;

/// Bytes that go back for each of a datagram, as long as its sender is a stranger.
const AMPLIFICATION_MAX: usize = 2;

/// What a caller's number leads to.
struct Plan {
    from: Identity,
    to: String,
    destinations: Vec<Destination>,
    announcing: Announcing,
}

impl Core {
    /// A request that belongs to no transaction and no dialog.
    pub(super) fn new_request(
        &mut self,
        now: Time,
        request: Request,
        source: &Source,
        out: &mut Vec<Output>,
    ) {
        if request.headers.max_forwards() == Some(0) && request.method != Method::Options {
            return self.refuse(&request, source, StatusCode::TOO_MANY_HOPS);
        }
        match &request.method {
            Method::Ack => {}
            Method::Options => self.options(&request, source),
            Method::Register => self.register(now, &request, source, out),
            Method::Invite => self.invite(now, request, source, out),
            // RFC 3261 §9.2, §15.1.2: nothing here to cancel, end or change.
            Method::Cancel | Method::Bye | Method::Prack | Method::Update => {
                self.refuse(&request, source, StatusCode::CALL_DOES_NOT_EXIST);
            }
            Method::Info
            | Method::Message
            | Method::Notify
            | Method::Publish
            | Method::Refer
            | Method::Subscribe
            | Method::Other(_) => self.unsupported(now, &request, source, out),
        }
    }

    /// How large an answer may be that goes to who has proved nothing: over UDP the source may be
    /// somebody else's address, who must not be flooded through us (ATTACKS 2). `None`: no limit.
    pub(super) fn room_for(&self, source: &Source, size: usize) -> Option<usize> {
        let is_bound = source.transport == Transport::Udp && self.trunk_of(source).is_none();
        is_bound.then_some(AMPLIFICATION_MAX * size)
    }

    /// What the parser refused but could still be told so.
    pub(super) fn unparsable(&mut self, source: &Source, error: &ParseError) {
        if let (Some(partial), Some(response)) = (&error.partial, error.response()) {
            self.wire.reply(partial, source, response);
        }
    }

    /// A final answer that leaves no state behind.
    pub(super) fn refuse(&mut self, request: &Request, source: &Source, status: StatusCode) {
        let response = request.response(status);
        self.wire.reply(request, source, response);
    }

    /// RFC 3261 §11.2: the same answer whoever asks for whatever, so that it finds no numbers.
    fn options(&mut self, request: &Request, source: &Source) {
        if matches!(request.uri.scheme, Scheme::Other(_)) {
            return self.refuse(request, source, StatusCode::UNSUPPORTED_URI_SCHEME);
        }
        if let Some(refusal) = allow::refusal(request) {
            return self.wire.reply(request, source, refusal);
        }
        let mut response = match self.is_draining() {
            true => wire::overloaded(request),
            false => request.response(StatusCode::OK),
        };
        allow::add_capabilities(&mut response.headers);
        self.name_us(&mut response);
        self.wire.reply(request, source, response);
    }

    fn unsupported(
        &mut self,
        now: Time,
        request: &Request,
        source: &Source,
        out: &mut Vec<Output>,
    ) {
        if self.trunk_of(source).is_none() && self.authenticate(now, request, source, out).is_none()
        {
            return;
        }
        let status = match request.method {
            // RFC 6086 §4.2.2, RFC 6665 §4.1.3: what is only for dialogs finds none here. A REFER
            // outside dialogs would have us call whom it likes: not wanted.
            Method::Info | Method::Notify | Method::Refer => StatusCode::CALL_DOES_NOT_EXIST,
            Method::Subscribe => StatusCode::BAD_EVENT, // RFC 6665 §4.2.1.1
            Method::Ack
            | Method::Bye
            | Method::Cancel
            | Method::Invite
            | Method::Message
            | Method::Options
            | Method::Prack
            | Method::Publish
            | Method::Register
            | Method::Update
            | Method::Other(_) => StatusCode::METHOD_NOT_ALLOWED,
        };
        let mut response = request.response(status);
        allow::add_capabilities(&mut response.headers);
        if status == StatusCode::BAD_EVENT {
            response.headers.set(Name::AllowEvents, "refer");
        }
        self.wire.reply(request, source, response);
    }

    /// The trunk a request comes from: by its source, else a trunk that we register at and whose
    /// gateway it is.
    pub(super) fn trunk_of(&self, source: &Source) -> Option<usize> {
        party::trunk_of(&self.config, source).or_else(|| {
            let ip = source.remote.ip();
            (0..self.trunks.len()).find(|&at| {
                self.config.trunks[at].register.is_some() && self.trunks[at].is_gateway(ip)
            })
        })
    }

    /// The extension or trunk that the request's digest proves, or `None` after a 401.
    pub(super) fn authenticate(
        &mut self,
        now: Time,
        request: &Request,
        source: &Source,
        out: &mut Vec<Output>,
    ) -> Option<Party> {
        let ip = source.remote.ip();
        let (config, directory) = (&self.config, &self.directory);
        let verdict = self.authenticator.check(now, request, ip, &mut self.guard, |user: &str| {
            let password = match directory.extension(user) {
                Some(extension) => &config.extensions[extension].password,
                None => {
                    let trunk = &config.trunks[directory.trunk_login(user)?];
                    &trunk.inbound_credentials.as_ref()?.password
                }
            };
            Some(password.clone().into())
        });
        match verdict {
            Verdict::Ok { user } => {
                let extension = directory.extension(&user).map(Party::Extension);
                extension.or_else(|| directory.trunk_login(&user).map(Party::Trunk))
            }
            Verdict::Refused(response) => {
                let authenticator = &self.authenticator;
                let shorten = |response: &mut Response| authenticator.shorten_challenge(response);
                self.wire.reply_shorter(request, source, *response, shorten);
                None
            }
            Verdict::Banned { until, newly } => {
                if newly {
                    out.push(Output::Event(Event::Banned { source: ip, until }));
                }
                None
            }
        }
    }

    fn invite(&mut self, now: Time, request: Request, source: &Source, out: &mut Vec<Output>) {
        if let Some(refusal) = allow::refusal(&request) {
            return self.wire.reply(&request, source, refusal);
        }
        let known = self.trunk_of(source).map(Party::Trunk);
        let caller = known.or_else(|| self.authenticate(now, &request, source, out));
        if caller.is_some() && matches!(request.uri.scheme, Scheme::Other(_)) {
            // RFC 3261 §8.2.2.1
            let status = StatusCode::UNSUPPORTED_URI_SCHEME;
            return self.refuse_call(now, &request, source, status);
        }
        if caller.is_some() && !allow::takes_descriptions(&request) {
            return self.refuse_call(now, &request, source, StatusCode::NOT_ACCEPTABLE);
        }
        let taking = caller.as_ref().map(|caller| self.to_replace(caller, &request));
        match (&caller, taking) {
            (_, Some(Err(status))) => return self.refuse_call(now, &request, source, status),
            (Some(caller), Some(Ok(Some(taking)))) => {
                return self.take(now, request, source, &caller.clone(), taking, out);
            }
            (_, Some(Ok(None)) | None) | (None, Some(Ok(Some(_)))) => {}
        }
        let planned = match caller {
            Some(Party::Trunk(trunk)) => self.plan_from_trunk(trunk, &request),
            Some(Party::Extension(extension)) => self.plan_from_extension(extension, &request),
            None => return,
        };
        let (Some(caller), plan) = (caller, planned) else { return };
        let plan = match plan {
            Ok(plan) => plan,
            Err(status) => return self.refuse_call(now, &request, source, status),
        };
        if let Err(limit) = self.admit_call(now, &caller) {
            out.push(Output::Event(Event::Limit { limit }));
            let mut response = request.response(StatusCode::SERVICE_UNAVAILABLE);
            for (name, value) in wire::limited(limit) {
                response.headers.push(name, value);
            }
            return self.wire.answer(now, &request, source, response);
        }
        match self.consulting_by_hand(&caller) {
            Some(place) => self.consult_by_hand(now, request, source, caller, plan, place, out),
            None => self.begin_call(now, request, source, caller, plan, out),
        }
    }

    /// A call that an agent dials while the phone holds another one is a consult in that one (H3).
    #[expect(clippy::too_many_arguments)]
    fn consult_by_hand(
        &mut self,
        now: Time,
        request: Request,
        source: &Source,
        caller: Party,
        plan: Plan,
        (call, by): (call::CallId, call::ParticipantId),
        out: &mut Vec<Output>,
    ) {
        let Some(leg) = self.leg_into(now, call, request, source, &caller, out) else {
            return self.uncount(&caller);
        };
        let Plan { from, to, destinations, .. } = plan;
        let found = Found::of(&to, destinations);
        let (callee, (reach, name)) = self.prepared(call, by, found, from);
        let reach = Reach { by: caller.clone(), ..reach };
        let mut done = Err(call::control::Refusal::NotFound);
        self.with_call(now, call, out, |state, now, commands| {
            state.counted.push(Counted { party: caller, leg: Some(leg) });
            let attempt = state.call.next_attempt();
            done = state.call.consult_by_leg(now, by, leg, callee, commands);
            let begun = state.call.attempts().iter().find(|one| one.id == attempt);
            if let Some(begun) = begun {
                state.names.push((begun.participant, name));
                state.reaches.push(Reach { attempt: Some(attempt), ..reach });
            }
        });
        if done.is_err() {
            let cause = call::Cause::DECLINED;
            self.with_leg(now, leg, out, |leg, cx| leg.release(cause, false, cx));
        }
    }

    /// A leg of `caller` that joins a call which is there already; `None`: it was refused.
    pub(super) fn leg_into(
        &mut self,
        now: Time,
        call: call::CallId,
        request: Request,
        source: &Source,
        caller: &Party,
        out: &mut Vec<Output>,
    ) -> Option<call::LegId> {
        let Some(transaction) =
            self.wire.transactions.accept(now, &request, source, &mut self.wire.events)
        else {
            let response = wire::overloaded(&request);
            self.wire.reply(&request, source, response);
            return None;
        };
        match self.caller_leg(now, call, request, source, transaction, caller, out) {
            Ok(leg) => Some(leg),
            Err(response) => {
                self.wire.respond(now, transaction, *response);
                None
            }
        }
    }

    /// Refuses in a transaction of its own: the sender is known.
    fn refuse_call(&mut self, now: Time, request: &Request, source: &Source, status: StatusCode) {
        let response = request.response(status);
        self.wire.answer(now, request, source, response);
    }

    /// A customer's call: entry points, and nothing else (invariant 7).
    fn plan_from_trunk(&self, trunk: usize, request: &Request) -> Result<Plan, StatusCode> {
        let config = &self.config;
        let configured = &config.trunks[trunk];
        let to = configured.inbound_numbers.apply(&party::dialled_through(request, configured));
        let entry = self.directory.entry_point(config, &to, Some(&configured.name));
        let extension = entry.and_then(|entry| self.directory.extension(&entry.extension));
        let extension = extension.ok_or(StatusCode::NOT_FOUND)?;
        let from = Identity::of_trunk_caller(request, configured);
        let announcing = Announcing::of(entry);
        Ok(Plan { from, to, destinations: vec![Destination::Extension(extension)], announcing })
    }

    /// An agent's call: another extension, an entry point, or out by a route allowed to it.
    fn plan_from_extension(&self, extension: usize, request: &Request) -> Result<Plan, StatusCode> {
        let config = &self.config;
        let user = &config.extensions[extension];
        if request.uri.scheme != Scheme::Tel && !party::is_our_host(config, &request.uri) {
            return Err(StatusCode::FORBIDDEN); // no relaying to foreign hosts
        }
        let to = party::dialled(request);
        let private = request.headers.has_token(Name::Privacy, "id");
        let from = Identity { private, ..Identity::of_extension(user) };
        let destinations = self.reached_by(extension, &to)?;
        let announcing = Announcing::of(self.directory.entry_point(config, &to, None));
        Ok(Plan { from, to, destinations, announcing })
    }

    /// Where a number leads that this extension dials.
    pub(super) fn reached_by(
        &self,
        extension: usize,
        number: &str,
    ) -> Result<Vec<Destination>, StatusCode> {
        let entry = self.directory.entry_point(&self.config, number, None);
        let inside = entry.map_or(number, |entry| entry.extension.as_str());
        match self.directory.extension(inside) {
            Some(callee) => Ok(vec![Destination::Extension(callee)]),
            None => self.way_out(extension, number, None),
        }
    }

    /// Counts one more call for the node and its caller, or names the limit that is met.
    pub(super) fn admit_call(&mut self, now: Time, caller: &Party) -> Result<(), &'static str> {
        if self.is_draining() {
            return Err("draining");
        }
        if self.short_of_memory {
            return Err("memory");
        }
        if self.calls.len() >= self.config.sip.calls_max {
            return Err("calls_max");
        }
        match *caller {
            Party::Trunk(at) => {
                let admitted = self.trunks[at].admit(now, &self.config.trunks[at]);
                admitted.map_err(|refusal| refusal.limit().unwrap_or("trunk"))?;
            }
            Party::Extension(at) => {
                let state = &mut self.extensions[at];
                if state.calls >= self.config.extensions[at].calls_max {
                    return Err("extension calls_max");
                }
                if !state.rate.admit(now) {
                    return Err("extension calls_per_minute_max");
                }
                state.calls += 1;
            }
        }
        if !self.rate.admit(now) {
            self.uncount(caller);
            return Err("calls_per_second_max");
        }
        Ok(())
    }

    /// Undoes what [`Self::admit_call`] counted for `party`.
    pub(super) fn uncount(&mut self, party: &Party) {
        match *party {
            Party::Trunk(at) => self.trunks[at].release(),
            Party::Extension(at) => {
                debug_assert_ne!(self.extensions[at].calls, 0);
                self.extensions[at].calls = self.extensions[at].calls.saturating_sub(1);
            }
        }
    }

    /// A leg is gone: it counts no more, whatever becomes of the call.
    pub(super) fn uncount_leg(&mut self, call: call::CallId, leg: call::LegId) {
        self.uncount_those(call, |counted, _| counted.leg == Some(leg));
    }

    /// Who asked for a call has left it.
    pub(super) fn uncount_the_gone(&mut self, call: call::CallId) {
        self.uncount_those(call, |counted, call| {
            counted.leg.is_none() && call.of_party(counted.party.key()).is_none()
        });
    }

    fn uncount_those(&mut self, call: call::CallId, is_over: impl Fn(&Counted, &Call) -> bool) {
        let Some(state) = self.calls.get_mut(&call) else { return };
        let (machine, counted) = (&state.call, &mut state.counted);
        let over: Vec<_> = counted.extract_if(.., |one| is_over(one, machine)).collect();
        for one in over {
            self.uncount(&one.party);
        }
    }

    /// A leg takes the place of another, as far as limits are concerned.
    pub(super) fn counts_instead(
        &mut self,
        call: call::CallId,
        old: call::LegId,
        new: call::LegId,
    ) {
        let counted = self.calls.get_mut(&call).into_iter().flat_map(|it| &mut it.counted);
        counted.filter(|one| one.leg == Some(old)).for_each(|one| one.leg = Some(new));
    }

    fn begin_call(
        &mut self,
        now: Time,
        request: Request,
        source: &Source,
        caller: Party,
        plan: Plan,
        out: &mut Vec<Output>,
    ) {
        let accepted = self.wire.transactions.accept(now, &request, source, &mut self.wire.events);
        let Some(transaction) = accepted else {
            self.uncount(&caller);
            let response = wire::overloaded(&request);
            return self.wire.reply(&request, source, response);
        };
        let id = call::CallId(self.next_call + 1);
        let leg = match self.caller_leg(now, id, request, source, transaction, &caller, out) {
            Ok(leg) => leg,
            Err(response) => {
                self.uncount(&caller);
                return self.wire.respond(now, transaction, *response);
            }
        };
        self.next_call += 1;
        tracing::info!(call = %id, leg = %leg, from = %Masked(&plan.from.number), to = %Masked(&plan.to), "call");
        let Plan { from, to, destinations, announcing } = plan;
        let setup = self.setup_of(id, &caller, &destinations);
        let mut commands = Vec::new();
        let call = Call::new(setup, leg, &mut commands);
        let reach = Reach {
            attempt: call.attempts().first().map(|attempt| attempt.id),
            by: caller.clone(),
            from: from.clone(),
            to: to.clone(),
            destinations,
            auto_answer: false,
            referred_by: None,
        };
        let caller = Counted { party: caller, leg: Some(leg) };
        let state = CallState { announcing, ..CallState::new(call, now, from, to, caller, reach) };
        self.calls.insert(id, state);
        self.tell_created(now, id, out);
        self.commands(now, id, commands, out);
    }

    /// Makes the caller's leg; an error is what to answer.
    #[expect(clippy::too_many_arguments)]
    fn caller_leg(
        &mut self,
        now: Time,
        call: call::CallId,
        request: Request,
        source: &Source,
        transaction: TransactionId,
        caller: &Party,
        out: &mut Vec<Output>,
    ) -> Result<call::LegId, Box<Response>> {
        let unavailable = Box::new(wire::overloaded(&request));
        let media = self.media_place(now, source.local.ip()).ok_or(unavailable)?;
        let id = call::LegId(self.next_leg + 1);
        let incoming =
            Incoming { call, party: caller.clone(), request, source: source.clone(), transaction };
        match SipLeg::incoming(id, incoming, media, &self.config, &mut self.wire.rng) {
            Ok(leg) => {
                self.next_leg += 1;
                self.dialogs.insert(leg.key(), id);
                self.invites.insert(transaction, id);
                self.open_stream(&leg, out);
                self.legs.insert(id, leg);
                self.with_leg(now, id, out, |leg, cx| leg.find_hop(cx));
                Ok(id)
            }
            Err(response) => {
                self.ports.give_back(now, media.ports);
                Err(response)
            }
        }
    }

    pub(super) fn name_us(&self, response: &mut Response) {
        response.headers.set(Name::Server, self.config.product.clone());
    }
}
