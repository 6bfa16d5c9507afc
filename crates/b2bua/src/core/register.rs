//! REGISTER, and what becomes of registrations: kept by the store, asked whether they live.

use std::time::Duration;

use base::Time;
use sip::message::{Method, Name, NameAddr, Request, StatusCode, Uri};
use sip::registrar::{BindingId, Change};
use sip::transport::Source;

use super::Core;
use crate::io::{Event, Output, StoreWrite};
use crate::party::Party;
use crate::wire::{self, Owner};

impl Core {
    pub(super) fn register(
        &mut self,
        now: Time,
        request: &Request,
        source: &Source,
        out: &mut Vec<Output>,
    ) {
        let extension = match self.authenticate(now, request, source, out) {
            Some(Party::Extension(extension)) => extension,
            Some(Party::Trunk(_)) => return self.refuse(request, source, StatusCode::FORBIDDEN),
            None => return,
        };
        let mut changes = Vec::new();
        let user = self.config.extensions[extension].number.clone();
        let mut response = match crate::party::is_our_host(&self.config, &request.uri) {
            true => self.registrar.register(now, &user, request, source, &mut changes),
            false => request.response(StatusCode::FORBIDDEN),
        };
        self.name_us(&mut response);
        self.wire.answer(now, request, source, response);
        self.registrations_changed(now, changes, out);
    }

    pub(super) fn registrations_changed(
        &mut self,
        now: Time,
        changes: Vec<Change>,
        out: &mut Vec<Output>,
    ) {
        for change in changes {
            match change {
                Change::Bound { mut record, new } => {
                    record.expires_wall = self.clock.wall(record.expires_at);
                    if new {
                        self.follow_phone(now, &record.aor, &record.key);
                        self.tell_registration(now, &record.aor, out);
                    }
                    out.push(Output::Store(StoreWrite::Bind(record)));
                }
                Change::Unbound { aor, key } => {
                    self.tell_registration(now, &aor, out);
                    out.push(Output::Store(StoreWrite::Unbind { aor, key }));
                }
                Change::Reachable { aor, reachable } => {
                    tracing::info!(extension = %aor, reachable, "phone");
                }
            }
        }
    }

    /// A phone came back over another connection: its calls go on there (INTEROP, browsers).
    fn follow_phone(&mut self, now: Time, aor: &str, key: &str) {
        let Some(binding) = self.registrar.lookup(now, aor).find(|b| *b.key == *key) else {
            return;
        };
        let (target, contact) = (binding.target.clone(), binding.contact.clone());
        let Some(extension) = self.directory.extension(aor) else { return };
        let own: Vec<_> = self.legs.of_extension(extension).collect();
        for leg in own {
            if let Some(leg) = self.legs.get_mut(&leg) {
                leg.phone_moved(&contact, &target);
            }
        }
    }

    fn tell_registration(&self, now: Time, aor: &str, out: &mut Vec<Output>) {
        let contacts = self.registrar.lookup(now, aor).count();
        out.push(Output::Event(Event::Registration { extension: aor.into(), contacts }));
    }

    /// Bindings expire, and phones are due to be asked whether they live.
    pub(super) fn registrar_due(&mut self, now: Time, out: &mut Vec<Output>) {
        let mut changes = Vec::new();
        self.registrar.expire(now, &mut changes);
        self.registrations_changed(now, changes, out);
        let mut due = Vec::new();
        self.registrar.qualify_due(now, &mut due);
        for binding in due {
            self.qualify(now, binding, out);
        }
    }

    fn qualify(&mut self, now: Time, id: BindingId, out: &mut Vec<Output>) {
        let Some(binding) = self.registrar.binding(id) else { return };
        let (contact, target) = (binding.contact.clone(), binding.target.clone());
        let realm = crate::party::host(&self.config.realm);
        let mut from = NameAddr::new(Uri::sip("", realm, None));
        from.set_tag(&self.wire.rng.token(10));
        let mut request = Request::new(Method::Options, contact.clone());
        for path in binding.path.iter() {
            request.headers.push(Name::Route, path.to_string());
        }
        let us = wire::contact(&self.config, target.transport, target.addr.ip());
        request.headers.push(Name::MaxForwards, "70");
        request.headers.push(Name::From, from.to_string());
        request.headers.push(Name::To, NameAddr::new(contact).to_string());
        request.headers.push(Name::CallId, self.wire.rng.token(20));
        request.headers.push(Name::CSeq, "1 OPTIONS");
        request.headers.push(Name::Contact, format!("<{us}>"));
        request.headers.push(Name::UserAgent, self.config.product.clone());
        if self.wire.request(now, request, target, Owner::Qualify(id, now)).is_none() {
            self.qualified(now, id, None, out);
        }
    }

    /// A phone answered after `round_trip`, or did not.
    pub(super) fn qualified(
        &mut self,
        now: Time,
        id: BindingId,
        round_trip: Option<Duration>,
        out: &mut Vec<Output>,
    ) {
        let mut changes = Vec::new();
        self.registrar.qualify_result(now, id, round_trip, &mut changes);
        self.registrations_changed(now, changes, out);
    }
}
