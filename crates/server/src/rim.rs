//! What the core asks for that is not for the network: media, store, log, and the two tables that
//! the network shell keeps of sources. Runs on the core's thread and never waits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::CoreTeller;
use b2bua::io::{Event, Input, Output, RecordingChange, StoreWrite};
use base::Time;
use call::CallId;
use media::command::{MediaCommand, MediaEvent};
use media::record::{RecordCommand, RecordEvent};
use media_net::{Full, MediaNet};
use sip::registrar::BindingRecord;
use sip_net::{Bans, Clock, KnownSources, Sink};
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
    /// Who serves the API, when it is served.
    api: Option<CoreTeller>,
}

impl Rim {
    pub(crate) fn new(
        store: Arc<Store>,
        media: MediaNet,
        known: Arc<KnownSources>,
        bans: Arc<Bans>,
        clock: Clock,
    ) -> Self {
        Self { store, media, known, bans, clock, phones: HashMap::new(), lost_writes: 0, api: None }
    }

    /// Tells the API what happens.
    pub(crate) fn tell(&mut self, api: CoreTeller) {
        self.api = Some(api);
    }

    /// Knows the phones of the last run.
    pub(crate) fn restored(&mut self, bindings: &[BindingRecord]) {
        for record in bindings {
            self.phone_came(record);
        }
    }

    fn media(&self, command: MediaCommand) -> Option<Input> {
        let Err(Full(command)) = self.media.post(command) else { return None };
        if let MediaCommand::Announce { stream, sound } = command {
            // A call that waits for its end must not wait for ever.
            return Some(Input::Media(MediaEvent::Announced { stream, sound }));
        }
        if let MediaCommand::Record { command: RecordCommand::Start { recording, .. }, .. } =
            command
        {
            // K5: it is shown, and tried again.
            let error = "media worker overloaded".to_owned();
            let event = RecordEvent::Failed { recording, file: None, duration_ms: 0, error };
            return Some(Input::Media(MediaEvent::Recording(event)));
        }
        let stream = match command {
            MediaCommand::Open { stream, .. }
            | MediaCommand::Configure { stream, .. }
            | MediaCommand::Move { stream, .. }
            | MediaCommand::Hear { listener: stream, .. } => stream,
            // Always taken.
            // A key that is lost costs no call; of recordings 65,000 words wait.
            MediaCommand::Close { .. }
            | MediaCommand::Press { .. }
            | MediaCommand::PassKeys { .. }
            | MediaCommand::Announce { .. }
            | MediaCommand::Hush { .. }
            | MediaCommand::Record { .. }
            | MediaCommand::Shutdown => return None,
        };
        // DESIGN, flow: a full worker costs that call, never a wait.
        let error = "media worker overloaded".to_owned();
        Some(Input::Media(MediaEvent::BindFailed { stream, error, taken: false }))
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
        match &event {
            Event::Registration { extension, contacts } => {
                tracing::info!(%extension, contacts, "registration");
            }
            Event::Trunk { name, up, gateways_up, gateways, reason } => {
                if !*up {
                    tracing::warn!(trunk = %name, reason, "trunk is down");
                } else if gateways_up < gateways {
                    tracing::warn!(trunk = %name, gateways_up, gateways, reason, "trunk is up in part");
                } else {
                    tracing::info!(trunk = %name, reason, "trunk is up");
                }
            }
            Event::Banned { source, until } => {
                let now = self.clock.now();
                self.bans.add(*source, *until, now);
                tracing::warn!(%source, for_s = seconds(now, *until), "source banned");
            }
            Event::Interaction(event) => tracing::debug!(kind = ?event.kind, "interaction"),
            Event::Limit { limit } => tracing::warn!(limit, "limit met"),
            Event::Quality { call, leg, party, direction, is_degraded, mos, figures } => {
                let mos = format!("{mos:.2}");
                let loss = figures.as_ref().map(|figures| figures.loss_percent);
                if *is_degraded {
                    tracing::warn!(%call, %leg, party, ?direction, mos, ?loss, "sounds bad");
                } else {
                    tracing::info!(%call, %leg, party, ?direction, mos, ?loss, "sounds well again");
                }
            }
            Event::Recording { call, change } => tell_recording(*call, change),
            Event::Poisoned { what } => tracing::error!(what, "a call failed inside and was ended"),
        }
        if let Some(api) = &self.api {
            api.event(event);
        }
    }
}

impl Sink for Rim {
    fn take(&mut self, output: Output) -> Option<Input> {
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
            Output::Reply { request, result } => {
                // Only the API asks.
                if let Some(api) = &self.api {
                    api.reply(request, result);
                }
            }
            // The network shell's own business.
            Output::Send { .. }
            | Output::CloseFlow(_)
            | Output::Resolve { .. }
            | Output::Drained => {}
        }
        None
    }

    fn settle(&mut self) {
        self.media.wake();
    }
}

fn seconds(now: Time, until: Time) -> u64 {
    (until - now).as_secs()
}

/// What became of a recording; a disk that refuses is an alarm (ATTACKS 30).
fn tell_recording(call: CallId, change: &RecordingChange) {
    match change {
        RecordingChange::Failed { file, duration_ms, error } => {
            tracing::error!(%call, file, duration_ms, error, "a recording ended early");
        }
        RecordingChange::Available { file, duration_ms, bytes } => {
            tracing::info!(%call, file, duration_ms, bytes, "recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::WallTime;
    use sip::message::Params;
    use sip::transport::Transport;
    use store::StoreConfig;

    fn record(key: &str, addr: &str) -> Box<BindingRecord> {
        Box::new(BindingRecord {
            aor: "1001".into(),
            key: key.into(),
            contact: "sip:1001@192.0.2.9".parse().unwrap(),
            params: Params::default(),
            path: Box::default(),
            transport: Transport::Udp,
            addr: addr.parse().unwrap(),
            call_id: "c".into(),
            cseq: 1,
            user_agent: "".into(),
            expires_at: Time::ZERO,
            expires_wall: WallTime(0),
        })
    }

    fn unbind(key: &str) -> Output {
        Output::Store(StoreWrite::Unbind { aor: "1001".into(), key: key.into() })
    }

    #[test]
    fn addresses_of_phones_are_known_while_a_phone_is_registered_from_there() {
        let directory = std::env::temp_dir().join(format!("hookflash-rim-{}", std::process::id()));
        let store = Store::open(&StoreConfig {
            database: directory.join("db"),
            call_records: None,
            call_records_len_max: 0,
            call_records_keep: 0,
        });
        let media = MediaNet::start(media_net::MediaNetConfig::default(), |_| {}).unwrap();
        let known = Arc::new(KnownSources::new(Vec::new()));
        let bans = Arc::new(Bans::default());
        let store = Arc::new(store.unwrap());
        let mut rim = Rim::new(store, media, Arc::clone(&known), Arc::clone(&bans), Clock::start());
        let is_known = |ip: &str| known.contains(ip.parse().unwrap());

        rim.restored(&[*record("a", "192.0.2.1:5060")]);
        assert!(is_known("192.0.2.1"));
        let mut take = |output| assert!(rim.take(output).is_none());
        take(Output::Store(StoreWrite::Bind(record("b", "192.0.2.1:5061"))));
        // Refreshed from the same address: still one phone.
        take(Output::Store(StoreWrite::Bind(record("b", "192.0.2.1:5061"))));
        take(unbind("a"));
        assert!(is_known("192.0.2.1"), "phone b is still there");
        take(Output::Store(StoreWrite::Bind(record("b", "192.0.2.2:5060"))));
        assert!(!is_known("192.0.2.1") && is_known("192.0.2.2"));
        take(unbind("b"));
        take(unbind("b"));
        assert!(!is_known("192.0.2.2"));

        let source = "192.0.2.66".parse().unwrap();
        let until = Time::from_nanos(u64::MAX);
        take(Output::Event(Event::Banned { source, until }));
        assert!(bans.contains(source, Time::ZERO));
        drop(rim);
        let _ = std::fs::remove_dir_all(directory);
    }
}
