//! Trunks: looking their names up, asking whether they live, registering at them, and following
//! their redirections.

use std::time::Duration;

use base::Time;
use call::{CallId, LegId};
use sip::message::{
    ContactList, Method, Name, NameAddr, Request, Response, Scheme, StatusCode, Uri,
};
use sip::transport::Target;

use super::Core;
use super::dial::Destination;
use crate::config::Trunk;
use crate::io::{Event, Output};
use crate::numbers;
use crate::party::{self, Party};
use crate::trunk::{GatewayId, RESOLVE_AGAIN, RETRY, shows_life};
use crate::wire::{self, Asker, Deadline, Owner};

/// Longest registration that a trunk may demand.
const EXPIRES_DEMANDED_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest time for which a gateway that is full is left alone, whatever it asks for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Contacts of one redirection that are looked at.
const REDIRECTS_READ_MAX: usize = 8;
/// Challenges answered in a row before a registration is given up until the next try.
const CHALLENGES_MAX: u8 = 2;

impl Core {
    pub(super) fn start_trunks(&mut self, now: Time) {
        for (at, trunk) in self.config.clone().trunks.iter().enumerate() {
            if !trunk.targets.is_empty() {
                self.wire.timers.arm(Deadline::TrunkResolve(at), now);
            }
        }
    }

    pub(super) fn resolve_trunk(&mut self, now: Time, at: usize, out: &mut Vec<Output>) {
        let config = self.config.clone();
        for (target, uri) in config.trunks[at].targets.iter().enumerate() {
            let Ok(uri) = uri.parse::<Uri>() else { continue };
            match party::literal_target(&uri) {
                Some(literal) => self.trunk_resolved(now, at, target, vec![literal]),
                None => {
                    self.look_up(Asker::Trunk(at, target), &uri, out);
                    self.wire.timers.arm(Deadline::TrunkResolve(at), now + RESOLVE_AGAIN);
                }
            }
        }
    }

    /// Where a target of a trunk leads; the last answer stays in use when a look-up fails.
    pub(super) fn trunk_resolved(
        &mut self,
        now: Time,
        at: usize,
        target: usize,
        mut targets: Vec<Target>,
    ) {
        let trunk = &self.config.trunks[at];
        for target in &mut targets {
            if let Some(name) = &trunk.tls_name {
                target.tls_name = Some(name.as_str().into());
            }
        }
        if targets.is_empty() {
            return;
        }
        let state = &mut self.trunks[at];
        let is_first = state.gateways().next().is_none();
        for gateway in state.learn(target, targets) {
            if trunk.options_interval.is_some() {
                self.wire.timers.arm(Deadline::TrunkOptions(at, gateway), now);
            }
        }
        if is_first && trunk.register.is_some() {
            self.wire.timers.arm(Deadline::TrunkRegister(at), now);
        }
    }

    /// Asks a gateway by OPTIONS whether it lives; one that no look-up leads to any more is not asked
    /// again. One that was asked and has been silent ever since has failed again, as it would fail a
    /// call: the question itself goes on for as long as RFC 3261 §17.1.2.2 lets it, and is answered as
    /// soon as the way is there again.
    pub(super) fn ask_trunk(
        &mut self,
        now: Time,
        (at, gateway): (usize, GatewayId),
        out: &mut Vec<Output>,
    ) {
        if self.trunks[at].is_asking(gateway) {
            return self.judge_trunk(now, (at, gateway), None, out);
        }
        let Some((mut request, target)) = self.trunk_request(at, gateway, Method::Options) else {
            return;
        };
        sip::dialog::allow::add_capabilities(&mut request.headers);
        request.headers.push(Name::CSeq, "1 OPTIONS");
        request.headers.push(Name::CallId, self.wire.rng.token(20));
        let tag = self.wire.rng.token(10);
        let config = self.config.clone();
        add_from_to(&mut request, &config.trunks[at], &config.realm, &tag);
        let owner = Owner::TrunkOptions(at, gateway);
        let asked = self.wire.request(now, request, target, owner).is_some();
        self.trunks[at].asked(gateway, asked);
        let next = if asked { config.sip.trunk_timeout } else { RETRY };
        self.wire.timers.arm(Deadline::TrunkOptions(at, gateway), now + next);
    }

    /// RFC 3261 §21.5.4: a gateway that is full gets no more calls until it wants some again.
    pub(super) fn gateway_overloaded(
        &mut self,
        now: Time,
        leg: LegId,
        gateway: GatewayId,
        seconds: u32,
    ) {
        let Some(Party::Trunk(at)) = self.legs.get(&leg).map(|leg| leg.party().clone()) else {
            return;
        };
        let pause = Duration::from_secs(seconds.into()).min(RETRY_AFTER_MAX);
        tracing::info!(trunk = self.config.trunks[at].name, %gateway, ?pause, "gateway overloaded");
        self.trunks[at].rest(gateway, now + pause);
    }

    /// How asking ended; `None` = no answer.
    pub(super) fn trunk_asked(
        &mut self,
        now: Time,
        (at, gateway): (usize, GatewayId),
        status: Option<StatusCode>,
        out: &mut Vec<Output>,
    ) {
        if status.is_some_and(|status| status.is_provisional()) {
            return;
        }
        self.trunks[at].asked(gateway, false);
        self.judge_trunk(now, (at, gateway), status, out);
    }

    fn judge_trunk(
        &mut self,
        now: Time,
        (at, gateway): (usize, GatewayId),
        status: Option<StatusCode>,
        out: &mut Vec<Output>,
    ) {
        let trunk = &self.config.trunks[at];
        let state = &mut self.trunks[at];
        let alive = status.is_some_and(|status| shows_life(status.0));
        if let Some(fares) = state.answered(gateway, alive) {
            let how = status.map_or("silence".to_owned(), |status| status.0.to_string());
            out.push(Output::Event(Event::Trunk {
                name: trunk.name.as_str().into(),
                up: fares.is_up(),
                gateways_up: fares.up,
                gateways: fares.all,
                reason: format!("OPTIONS {how} ({gateway})"),
            }));
            // What registered there calls us no more; there is another gateway.
            let has_us = state.registration.gateway == Some(gateway);
            if !alive && has_us && fares.is_up() && trunk.register.is_some() {
                self.wire.timers.arm(Deadline::TrunkRegister(at), now);
            }
        }
        if let Some(interval) = trunk.options_interval
            && let Some((_, known)) = state.gateway(gateway)
        {
            let after = known.ask_after(interval);
            self.wire.timers.arm(Deadline::TrunkOptions(at, gateway), now + after);
        }
    }

    /// Registers at a trunk, or renews.
    pub(super) fn register_at_trunk(&mut self, now: Time, at: usize) {
        let config = self.config.clone();
        let trunk = &config.trunks[at];
        let Some(expires) = trunk.register else { return };
        let Some(gateway) = self.trunks[at].registers_at() else { return };
        let request = self.trunk_request(at, gateway, Method::Register);
        let Some((mut request, target)) = request else { return };
        let state = &mut self.trunks[at].registration;
        state.gateway = Some(gateway);
        if state.call_id.is_empty() {
            state.call_id = self.wire.rng.token(20);
            state.from_tag = self.wire.rng.token(10);
        }
        state.cseq += 1;
        let expires = expires.max(state.expires_min);
        request.headers.push(Name::CallId, state.call_id.clone());
        request.headers.push(Name::CSeq, format!("{} REGISTER", state.cseq));
        let tag = state.from_tag.clone();
        request.headers.push(Name::Expires, expires.as_secs().to_string());
        add_from_to(&mut request, trunk, &config.realm, &tag);
        if let Some(credentials) = &trunk.credentials {
            self.trunks[at].auth.reauthorize(&mut request, &credentials.into());
        }
        let owner = Owner::TrunkRegister(at, gateway);
        if self.wire.request(now, request, target, owner).is_none() {
            self.wire.timers.arm(Deadline::TrunkRegister(at), now + RETRY);
        }
    }

    /// How registering went; `None` = no answer.
    pub(super) fn trunk_registered(
        &mut self,
        now: Time,
        (at, gateway): (usize, GatewayId),
        response: Option<&Response>,
    ) {
        let config = self.config.clone();
        let trunk = &config.trunks[at];
        let Some(expires) = trunk.register else { return };
        let known = self.trunks[at].gateway(gateway);
        let ours = known.map(|(_, known)| self.trunk_contact(at, &known.target));
        let state = &mut self.trunks[at];
        if state.registration.gateway != Some(gateway) {
            return; // we have gone on to another
        }
        let next = match response {
            Some(response) if response.status.is_provisional() => return,
            Some(response) if matches!(response.status.0, 401 | 407) => {
                state.registration.attempts += 1;
                let answered = trunk.credentials.as_ref().is_some_and(|credentials| {
                    state.registration.attempts <= CHALLENGES_MAX
                        && state
                            .auth
                            .remember(response, &credentials.into(), &mut self.wire.rng)
                            .is_ok()
                });
                if answered { Duration::ZERO } else { RETRY * 6 }
            }
            Some(response) if response.status.is_success() => {
                state.registration.attempts = 0;
                state.registration.failures = 0;
                state.registration.registered = true;
                let granted = ours.and_then(|ours| granted(response, &ours)).unwrap_or(expires);
                // Renew well before the end, RFC 3261 §10.2.4.
                granted.max(RETRY * 2).mul_f32(0.8)
            }
            Some(response) if response.status == StatusCode::INTERVAL_TOO_BRIEF => {
                let asked = response.headers.min_expires().unwrap_or(0);
                let asked = Duration::from_secs(asked.into()).min(EXPIRES_DEMANDED_MAX);
                let is_news = asked > state.registration.expires_min.max(expires);
                state.registration.expires_min = state.registration.expires_min.max(asked);
                if is_news { Duration::ZERO } else { RETRY * 6 }
            }
            Some(_) | None => {
                state.registration.attempts = 0;
                state.registration.registered = false;
                // RFC 3263 §4.3: what this one cannot, the next may.
                let is_refusal =
                    response.is_some_and(|response| !matches!(response.status.0, 408 | 500..=599));
                match !is_refusal && state.register_elsewhere(gateway) {
                    true => Duration::ZERO,
                    // No answer has taken its time already.
                    false if response.is_some() => RETRY * 6,
                    false => RETRY,
                }
            }
        };
        self.wire.timers.arm(Deadline::TrunkRegister(at), now + next);
    }

    /// A request to a gateway of a trunk, without From, To, Call-ID and CSeq.
    fn trunk_request(
        &self,
        at: usize,
        gateway: GatewayId,
        method: Method,
    ) -> Option<(Request, Target)> {
        let (known, gateway) = self.trunks[at].gateway(gateway)?;
        let uri: Uri = self.config.trunks[at].targets[known].parse().ok()?;
        let mut request = Request::new(method, uri);
        request.headers.push(Name::MaxForwards, "70");
        let contact = self.trunk_contact(at, &gateway.target);
        request.headers.push(Name::Contact, format!("<{contact}>"));
        request.headers.push(Name::UserAgent, self.config.product.clone());
        Some((request, gateway.target.clone()))
    }

    /// How the trunk reaches us: where we listen, by the name it knows us by.
    fn trunk_contact(&self, at: usize, target: &Target) -> Uri {
        let mut contact = wire::contact(&self.config, target.transport, target.addr.ip());
        if let Some(credentials) = &self.config.trunks[at].credentials {
            contact.user = Uri::sip(&credentials.username, contact.host.clone(), None).user;
        }
        contact
    }

    /// Where a redirection of a trunk leads, when its policy and ours allow it.
    pub(super) fn redirect_targets(
        &self,
        call: CallId,
        leg: LegId,
        party: &Party,
        contacts: &[Uri],
    ) -> Vec<Destination> {
        let Party::Trunk(at) = *party else { return Vec::new() };
        let trunk = &self.config.trunks[at];
        let Some(state) = self.calls.get(&call) else { return Vec::new() };
        if !trunk.follow_redirects || state.redirects >= self.config.sip.redirects_max {
            return Vec::new();
        }
        let mut contacts = contacts.iter().take(REDIRECTS_READ_MAX);
        let followed = contacts.find_map(|contact| {
            let number = dialable(contact)?;
            if contact.scheme == Scheme::Tel {
                let reach = state.reach(state.call.attempt_for(leg)?)?;
                return self.dialled_anew(&reach.by, trunk, &number);
            }
            let target = stays_with(trunk, contact)?;
            Some(vec![Destination::Trunk { trunk: at, target, number }])
        });
        followed.unwrap_or_default()
    }

    /// A `tel:` names no host: its number goes by the dial plan, as if the caller had dialled it.
    fn dialled_anew(
        &self,
        caller: &Party,
        trunk: &Trunk,
        number: &str,
    ) -> Option<Vec<Destination>> {
        let Party::Extension(extension) = *caller else { return None };
        let number = trunk.inbound_numbers.apply(number);
        self.reached_by(extension, &number).ok()
    }
}

/// For how long a trunk has registered us: by our own contact, else for all (RFC 3261 §10.2.4).
fn granted(response: &Response, ours: &Uri) -> Option<Duration> {
    let contacts = match response.headers.contacts() {
        Ok(ContactList::List(contacts)) => contacts,
        Ok(ContactList::Star) | Err(_) => Vec::new(),
    };
    let only = contacts.first().filter(|_| contacts.len() == 1);
    let mine = contacts.iter().find(|contact| contact.uri.equivalent(ours)).or(only);
    let seconds = mine.and_then(NameAddr::expires).or_else(|| response.headers.expires())?;
    Some(Duration::from_secs(seconds.into()))
}

/// The number that a redirection names.
fn dialable(contact: &Uri) -> Option<String> {
    let number = numbers::clean(&contact.user_unescaped()?);
    let is_number = number.chars().all(|c| c.is_ascii_digit() || "+*#".contains(c));
    (is_number && !number.is_empty()).then_some(number)
}

/// The target of `trunk` that a redirection names by host, or the first when its address lies in
/// the trunk's networks.
fn stays_with(trunk: &Trunk, contact: &Uri) -> Option<usize> {
    let named = trunk.targets.iter().position(|target| {
        target.parse::<Uri>().is_ok_and(|uri| uri.host == contact.host && uri.port == contact.port)
    });
    named.or_else(|| {
        let sip::message::Host::Ip(ip) = contact.host else { return None };
        (party::in_networks(trunk, ip) && !trunk.targets.is_empty()).then_some(0)
    })
}

fn add_from_to(request: &mut Request, trunk: &Trunk, realm: &str, tag: &str) {
    let registers = request.method == Method::Register;
    let host = if registers { request.uri.host.clone() } else { party::host(realm) };
    let user = trunk.credentials.as_ref().map_or("", |credentials| &credentials.username);
    let us = Uri::sip(user, host, None);
    let mut from = NameAddr::new(us.clone());
    from.set_tag(tag);
    let to = if registers { us } else { request.uri.clone() };
    request.headers.push(Name::From, from.to_string());
    request.headers.push(Name::To, NameAddr::new(to).to_string());
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sip::message::{Message, parse_datagram};

    use super::*;

    #[test]
    fn a_registration_lasts_as_long_as_our_own_contact_says() {
        let ours = "<sip:us@192.0.2.1:5060>";
        for (contacts, seconds) in [
            (format!("Contact: {ours};expires=30"), Some(30)),
            (format!("Contact: {ours}"), Some(3600)),
            (format!("Contact: <sip:x@192.0.2.9>;expires=7, {ours};expires=40"), Some(40)),
            // Rewritten on the way, but the only one.
            ("Contact: <sip:us@203.0.113.7:40000>;expires=50".to_owned(), Some(50)),
            ("Contact: <sip:a@192.0.2.9>;expires=7, <sip:b@192.0.2.9>".to_owned(), Some(3600)),
            ("Contact: *".to_owned(), Some(3600)),
        ] {
            let text = format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
                 From: <sip:us@c>;tag=1\r\nTo: <sip:us@c>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n\
                 {contacts}\r\nExpires: 3600\r\n\r\n"
            );
            let message = parse_datagram(Bytes::from(text.into_bytes())).unwrap();
            let Message::Response(response) = message else { panic!("a response") };
            let granted = granted(&response, &"sip:us@192.0.2.1:5060".parse().unwrap());
            assert_eq!(granted, seconds.map(Duration::from_secs), "{contacts}");
        }
    }
}
