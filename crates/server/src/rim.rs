//! What the core asks for that is not for the network: media, store, log, and the two tables that
//! the network shell keeps of sources. Runs on the core's thread and never waits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use b2bua::io::{Event, Input, Output, StoreWrite};
use base::Time;
use media::command::{MediaCommand, MediaEvent};
use media_net::{Full, MediaNet};
use sip::registrar::BindingRecord;
use sip_net::{Bans, Clock, KnownSources};
use store::{Store, Write};

/// Address-of-record and key of a binding.
type BindingKey = (Box<str>, Box<str>);

/// The shells beside the network.
pub(crate) struct Rim {
    store: Arc<Store>,
    media: MediaNet,
    known: Arc<KnownSources>,
    bans: Arc<Bans>,
    clock: Clock,
    /// Where each phone registered from. Bounded by the registrar's own limits.
    phones: HashMap<BindingKey, IpAddr>,
    lost_writes: u64,
}

impl Rim {
    pub(crate) fn new(
        store: Arc<Store>,
        media: MediaNet,
        known: Arc<KnownSources>,
        bans: Arc<Bans>,
        clock: Clock,
    ) -> Self {
        Self { store, media, known, bans, clock, phones: HashMap::new(), lost_writes: 0 }
    }

    /// Knows the phones of the last run.
    pub(crate) fn restored(&mut self, bindings: &[BindingRecord]) {
        for record in bindings {
            self.phone_came(record);
        }
    }

    /// Does what an output asks for; what fails comes back as the next input.
    pub(crate) fn take(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Media(command) => return self.media(command),
            Output::Store(StoreWrite::Bind(record)) => {
                self.phone_came(&record);
                self.save(Write::Bind(record));
            }
            Output::Store(StoreWrite::Unbind { aor, key }) => {
                let key = (aor, key);
                if let Some(ip) = self.phones.remove(&key) {
                    self.known.remove(ip);
                }
                let (aor, key) = key;
                self.save(Write::Unbind { aor, key });
            }
            Output::CallRecord(record) => self.save(Write::Call(record)),
            Output::Event(event) => self.event(event),
            // The network shell's own business.
            Output::Send { .. }
            | Output::CloseFlow(_)
            | Output::Resolve { .. }
            | Output::Drained => {}
        }
        None
    }

    fn media(&self, command: MediaCommand) -> Option<Input> {
        let Err(Full(command)) = self.media.send(command) else { return None };
        let stream = match command {
            MediaCommand::Open { stream, .. }
            | MediaCommand::Configure { stream, .. }
            | MediaCommand::Hear { listener: stream, .. } => stream,
            // Always taken.
            MediaCommand::Close { .. } | MediaCommand::Shutdown => return None,
        };
        // DESIGN, flow: a full worker costs that call, never a wait.
        let error = "media worker overloaded".to_owned();
        Some(Input::Media(MediaEvent::BindFailed { stream, error }))
    }

    fn phone_came(&mut self, record: &BindingRecord) {
        let (key, ip) = ((record.aor.clone(), record.key.clone()), record.addr.ip());
        let before = self.phones.insert(key, ip);
        if before != Some(ip) {
            self.known.add(ip);
            if let Some(before) = before {
                self.known.remove(before);
            }
        }
    }

    fn save(&mut self, write: Write) {
        if !self.store.save(write) {
            self.lost_writes += 1;
            // One line for the first, then at every power of two.
            if self.lost_writes.is_power_of_two() {
                tracing::error!(lost = self.lost_writes, "the store is full: writes are lost");
            }
        }
    }

    fn event(&self, event: Event) {
        match event {
            Event::Registration { extension, contacts } => {
                tracing::info!(%extension, contacts, "registration");
            }
            Event::Trunk { name, up, reason } => {
                if up {
                    tracing::info!(trunk = %name, reason, "trunk is up");
                } else {
                    tracing::warn!(trunk = %name, reason, "trunk is down");
                }
            }
            Event::Banned { source, until } => {
                let now = self.clock.now();
                self.bans.add(source, until, now);
                tracing::warn!(%source, for_s = seconds(now, until), "source banned");
            }
            Event::Limit { limit } => tracing::warn!(limit, "limit met"),
            Event::Poisoned { what } => tracing::error!(what, "a call failed inside and was ended"),
        }
    }
}

fn seconds(now: Time, until: Time) -> u64 {
    (until - now).as_secs()
}
