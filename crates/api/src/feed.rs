//! What is known of interactions, phones and trunks, kept from what the core pushes; and the ring of
//! the last events, from which every client of the stream reads at its own place.
//!
//! One lock holds both, so that a snapshot and a sequence number always belong together. Nobody
//! holds it while waiting. There is no queue per client: who is slower than the ring is cut off.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use b2bua::api::{
    Actor, Command, InteractionEvent, InteractionSnapshot, InteractionState, ParticipantRole,
    ParticipantState, RegistrationSnapshot, Reply, TrunkSnapshot, rfc3339,
};
use b2bua::io::{Event, RecordingChange};
use base::WallTime;
use call::CallId;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::access::Principal;
use crate::link::{self, CoreLink, Inbox, Told};

/// One event as the stream tells it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    /// Extensions of the agents whose business it is.
    extensions: Vec<String>,
    envelope: Envelope,
    text: OnceLock<Utf8Bytes>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    seq: u64,
    id: String,
    time: String,
    #[serde(rename = "type")]
    kind: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interaction_id: Option<String>,
    data: Data,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data {
    Interaction(Box<b2bua::api::EventData>),
    Other(Value),
}

impl Stored {
    pub(crate) fn is_for(&self, principal: &Principal) -> bool {
        principal.may_see(&self.extensions)
    }

    /// Made when the first client needs it: who listens to nothing costs nothing.
    pub(crate) fn text(&self) -> Utf8Bytes {
        let write = || serde_json::to_string(&self.envelope).unwrap_or_default().into();
        self.text.get_or_init(write).clone()
    }
}

/// What a client gets next.
#[derive(Debug)]
pub(crate) enum Next {
    /// These events, and where it stands after them.
    Events(Vec<Arc<Stored>>, u64),
    /// It is too far behind: what it missed is gone.
    Gone,
}

/// Events read in one go.
const BATCH: usize = 64;

/// What the core is asked for.
enum Asked {
    All,
    These(BTreeSet<String>),
}

/// Interactions remembered after their end, for what becomes of their recordings; the oldest goes for
/// a new one.
const ENDED_MAX: usize = 1_000;
/// Interactions that wait to be asked for; of more, the next event tells.
const UNFINISHED_MAX: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Feed {
    state: Mutex<State>,
    latest: watch::Sender<u64>,
    kept_max: usize,
}

#[derive(Debug, Default)]
struct State {
    ring: VecDeque<Arc<Stored>>,
    next_seq: u64,
    interactions: BTreeMap<String, Arc<InteractionSnapshot>>,
    /// Those that have ended last, each with who was told so.
    ended: VecDeque<(String, Vec<String>)>,
    registrations: BTreeMap<Arc<str>, usize>,
    trunks: BTreeMap<Arc<str>, Trunk>,
    limits: BTreeMap<&'static str, u64>,
    /// Known from an event that came before its codecs were.
    unfinished: BTreeSet<String>,
    events: u64,
    lost: u64,
}

/// Whether calls may go to a trunk, and to how many of its gateways.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trunk {
    pub(crate) up: bool,
    pub(crate) gateways_up: usize,
    pub(crate) gateways: usize,
}

/// Figures of the feed, for the metrics page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) states: BTreeMap<String, usize>,
    pub(crate) legs: BTreeMap<String, usize>,
    pub(crate) interactions: usize,
    pub(crate) recording: usize,
    pub(crate) registrations: usize,
    pub(crate) trunks: BTreeMap<Arc<str>, Trunk>,
    pub(crate) limits: BTreeMap<&'static str, u64>,
    pub(crate) worst_loss_percent: f64,
    pub(crate) worst_jitter_ms: f64,
    /// Of all legs that have figures.
    pub(crate) worst_mos: Option<f64>,
    pub(crate) events: u64,
    pub(crate) lost: u64,
}

impl Feed {
    /// `started` makes sequence numbers grow over restarts too: a thousand a millisecond are below
    /// 2^53 until the year 2255, so that JavaScript can hold them.
    pub(crate) fn new(started: WallTime, kept_max: usize) -> Self {
        let next_seq = started.0.saturating_mul(1000).max(1);
        let state = State { next_seq, ..State::default() };
        let latest = watch::Sender::new(next_seq - 1);
        Self { state: Mutex::new(state), latest, kept_max: kept_max.max(1) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells when there is more to read.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Reads what the core tells until it is gone.
    pub(crate) async fn run(&self, mut inbox: Inbox, core: &CoreLink) {
        let mut lost = 0;
        // A call has failed inside: it is gone, and has not said so.
        let mut is_stale = false;
        let mut resync = std::pin::pin!(None);
        resync.set(Some(self.ask(core, Asked::All)));
        loop {
            // Also where something else was being asked for when it failed.
            if is_stale && resync.is_none() {
                is_stale = false;
                resync.set(Some(self.ask(core, Asked::All)));
            }
            let unfinished = match resync.is_none() {
                true => std::mem::take(&mut self.state().unfinished),
                false => BTreeSet::new(),
            };
            if !unfinished.is_empty() {
                resync.set(Some(self.ask(core, Asked::These(unfinished))));
            }
            let told = tokio::select! {
                // First: a list must be in place before the events that came after it.
                biased;
                () = wait(resync.as_mut()) => {
                    resync.set(None);
                    continue;
                }
                told = inbox.told.recv() => told,
            };
            let Some(told) = told else { return };
            is_stale |= matches!(told, Told::Event(Event::Poisoned { .. }));
            match told {
                Told::Event(event) => self.event(event),
                Told::Reply(request, result) => link::answer(&inbox.waiting, request, result),
            }
            let now_lost = inbox.lost.load(Ordering::Relaxed);
            if now_lost != lost && resync.is_none() {
                lost = now_lost;
                self.forget(lost);
                resync.set(Some(self.ask(core, Asked::All)));
            }
        }
    }

    /// Asks for everything once: at the start, after events were lost, after a call failed inside. Or
    /// for interactions whose last event came before all was known.
    async fn ask(&self, core: &CoreLink, asked: Asked) {
        if let Asked::These(ids) = asked {
            for interaction in ids {
                let command = Command::Interaction { interaction };
                if let Ok(Reply::Done(found)) = core.ask(Actor::Admin, command).await {
                    self.state().refresh(*found);
                }
            }
            return;
        }
        for command in [Command::Interactions, Command::Registrations, Command::Trunks] {
            match core.ask(Actor::Admin, command).await {
                Ok(Reply::Interactions(all)) => {
                    let mut state = self.state();
                    state.interactions(all);
                    let latest = state.next_seq - 1;
                    drop(state);
                    self.latest.send_replace(latest);
                }
                Ok(Reply::Registrations(all)) => self.state().registrations(&all),
                Ok(Reply::Trunks(all)) => self.state().trunks(&all),
                Ok(Reply::Done(_) | Reply::Pending(_) | Reply::Monitoring { .. }) => {}
                Err(problem) => tracing::warn!(code = problem.code.word(), "no list from the core"),
            }
        }
    }

    /// Events are missing: nobody may read on as if nothing had happened.
    fn forget(&self, lost: u64) {
        tracing::warn!(lost, "events were lost on the way to the API: its clients begin anew");
        let mut state = self.state();
        state.lost = lost;
        state.ring.clear();
        // A place that no client has: the next event is not the one after what they have read.
        state.next_seq += 1;
        let latest = state.next_seq - 1;
        drop(state);
        self.latest.send_replace(latest);
    }

    pub(crate) fn event(&self, event: Event) {
        let mut state = self.state();
        match event {
            Event::Interaction(event) => state.interaction(*event),
            Event::Registration { extension, contacts } => {
                let data = json!({ "extension": &*extension, "contacts": contacts });
                let agent = Some(extension.to_string());
                match contacts {
                    0 => state.registrations.remove(&extension),
                    _ => state.registrations.insert(extension, contacts),
                };
                state.push("registration.changed", agent, Vec::new(), data);
            }
            Event::Trunk { name, up, gateways_up, gateways, reason } => {
                let data = json!({
                    "name": &*name, "up": up, "gatewaysUp": gateways_up, "gateways": gateways,
                    "reason": reason,
                });
                state.trunks.insert(name, Trunk { up, gateways_up, gateways });
                let kind = match (up, gateways_up < gateways) {
                    (true, false) => "trunk.up",
                    (true, true) => "trunk.degraded",
                    (false, _) => "trunk.down",
                };
                state.push(kind, None, Vec::new(), data);
            }
            Event::Limit { limit } => {
                *state.limits.entry(limit).or_default() += 1;
                let data = json!({ "limit": limit });
                state.push("interaction.limitReached", None, Vec::new(), data);
            }
            Event::Recording { call, change } => {
                let (id, seen_by) = state.place_of(call);
                let (kind, data) = recording(change);
                state.store(crate::wall(), kind.into(), None, id, seen_by, Data::Other(data));
            }
            // Of quality the interaction tells.
            Event::Quality { .. } | Event::Banned { .. } | Event::Poisoned { .. } => return,
        }
        while state.ring.len() > self.kept_max {
            state.ring.pop_front();
        }
        let latest = state.next_seq - 1;
        drop(state);
        self.latest.send_replace(latest);
    }

    /// What comes after `seq`, for one client.
    pub(crate) fn after(&self, seq: u64, principal: &Principal) -> Next {
        let state = self.state();
        let latest = state.next_seq - 1;
        if seq == latest {
            return Next::Events(Vec::new(), seq);
        }
        let Some(first) = state.ring.front().map(|event| event.seq) else { return Next::Gone };
        if seq > latest || seq + 1 < first {
            return Next::Gone;
        }
        let skip = usize::try_from(seq + 1 - first).unwrap_or(usize::MAX);
        let batch: Vec<_> = state.ring.iter().skip(skip).take(BATCH).cloned().collect();
        let place = batch.last().map_or(seq, |event| event.seq);
        Next::Events(batch.into_iter().filter(|event| event.is_for(principal)).collect(), place)
    }

    /// Everything this client may see, and the sequence number it stands for.
    pub(crate) fn snapshot(&self, principal: &Principal, now: WallTime) -> (Utf8Bytes, u64) {
        let state = self.state();
        let seq = state.next_seq - 1;
        let seen = |extension: &str| principal.may_see(&[extension]);
        let registrations = state.registrations.iter().filter(|(extension, _)| seen(extension));
        let registrations = registrations.map(
            |(extension, contacts)| json!({ "extension": &**extension, "contacts": contacts }),
        );
        let trunks = state.trunks.iter().filter(|_| !principal.is_agent());
        let trunks = trunks.map(|(name, Trunk { up, gateways_up, gateways })| {
            json!({ "name": &**name, "up": up, "gatewaysUp": gateways_up, "gateways": gateways })
        });
        let text = serde_json::to_string(&json!({
            "seq": seq,
            "id": format!("{seq}-snapshot"),
            "time": rfc3339(now),
            "type": "stream.snapshot",
            "data": {
                "interactions": state.seen(principal).collect::<Vec<_>>(),
                "registrations": registrations.collect::<Vec<_>>(),
                "trunks": trunks.collect::<Vec<_>>(),
            },
        }));
        (text.unwrap_or_default().into(), seq)
    }

    /// The interactions that `principal` may see, by id.
    pub(crate) fn interactions(&self, principal: &Principal) -> Vec<Arc<InteractionSnapshot>> {
        self.state().seen(principal).cloned().collect()
    }

    /// What is counted.
    pub(crate) fn figures(&self) -> Figures {
        let state = self.state();
        let mut figures = Figures {
            interactions: state.interactions.len(),
            registrations: state.registrations.values().sum(),
            trunks: state.trunks.clone(),
            limits: state.limits.clone(),
            events: state.events,
            lost: state.lost,
            ..Figures::default()
        };
        for interaction in state.interactions.values() {
            figures.count(interaction);
        }
        figures
    }
}

/// Never, while there is nothing to wait for.
async fn wait(future: std::pin::Pin<&mut Option<impl Future<Output = ()>>>) {
    match future.as_pin_mut() {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

impl State {
    fn seen(&self, principal: &Principal) -> impl Iterator<Item = &Arc<InteractionSnapshot>> {
        let all = self.interactions.values();
        all.filter(|interaction| principal.may_see(&agents(interaction)))
    }

    /// Takes the core's word; what it does not know any longer has ended without one.
    fn interactions(&mut self, all: Vec<InteractionSnapshot>) {
        let shared = all.into_iter().map(|one| (one.id.clone(), Arc::new(one)));
        let before = std::mem::replace(&mut self.interactions, shared.collect());
        for (id, one) in before {
            if !self.interactions.contains_key(&id) {
                let seen_by: Vec<_> = agents(&one).into_iter().map(str::to_owned).collect();
                self.ended(id.clone(), seen_by.clone());
                let interaction = InteractionSnapshot {
                    state: InteractionState::Ended,
                    ended: Some(crate::wall()),
                    ..Arc::unwrap_or_clone(one)
                };
                let data = Data::Other(json!({ "interaction": interaction }));
                let kind = "interaction.ended".into();
                self.store(crate::wall(), kind, None, Some(id), seen_by, data);
            }
        }
    }

    fn registrations(&mut self, all: &[RegistrationSnapshot]) {
        self.registrations.clear();
        for phone in all {
            *self.registrations.entry(phone.extension.as_str().into()).or_default() += 1;
        }
    }

    fn trunks(&mut self, all: &[TrunkSnapshot]) {
        let figures = all.iter().map(|trunk| {
            let gateways_up = trunk.gateways.iter().filter(|gateway| gateway.up).count();
            let gateways = trunk.gateways.len();
            (trunk.name.as_str().into(), Trunk { up: trunk.up, gateways_up, gateways })
        });
        self.trunks = figures.collect();
    }

    /// Takes the core's word on one that is still known.
    fn refresh(&mut self, found: InteractionSnapshot) {
        if let Some(known) = self.interactions.get_mut(&found.id) {
            *known = Arc::new(found);
        }
    }

    /// Remembers who was told that an interaction has ended.
    fn ended(&mut self, id: String, seen_by: Vec<String>) {
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back((id, seen_by));
    }

    /// The interaction of a call, and who may see it: its agents, or who was told of its end. Where
    /// it is not remembered, those who see everything: ids of one node differ in the call's number at
    /// their end only.
    fn place_of(&self, call: CallId) -> (Option<String>, Vec<String>) {
        let end = format!("-{}", call.0);
        let found = self.interactions.values().find(|interaction| interaction.id.ends_with(&end));
        if let Some(found) = found {
            let agents = agents(found).into_iter().map(str::to_owned).collect();
            return (Some(found.id.clone()), agents);
        }
        if let Some((id, seen_by)) = self.ended.iter().rev().find(|(id, _)| id.ends_with(&end)) {
            return (Some(id.clone()), seen_by.clone());
        }
        let mut others = self.interactions.keys().chain(self.ended.iter().map(|(id, _)| id));
        let node = others.find_map(|other| other.rsplit_once('-'));
        (node.map(|(node, _)| node.to_owned() + &end), Vec::new())
    }

    fn interaction(&mut self, event: InteractionEvent) {
        let InteractionEvent { time, kind, agent_id, data } = event;
        let id = data.interaction.id.clone();
        let mut seen_by: BTreeSet<String> =
            agents(&data.interaction).into_iter().map(str::to_owned).collect();
        // Whoever has just left is told so too.
        if let Some(before) = self.interactions.get(&id) {
            seen_by.extend(agents(before).into_iter().map(str::to_owned));
        }
        seen_by.extend(agent_id.clone());
        let seen_by: Vec<_> = seen_by.into_iter().collect();
        if data.interaction.state == InteractionState::Ended {
            self.interactions.remove(&id);
            self.ended(id.clone(), seen_by.clone());
        } else {
            if lacks_a_codec(&data.interaction) && self.unfinished.len() < UNFINISHED_MAX {
                self.unfinished.insert(id.clone());
            }
            self.interactions.insert(id.clone(), Arc::new(data.interaction.clone()));
        }
        let kind = serde_json::to_value(kind).unwrap_or_default();
        let data = Data::Interaction(Box::new(data));
        self.store(time, kind, agent_id, Some(id), seen_by, data);
    }

    fn push(&mut self, kind: &str, agent: Option<String>, mut seen_by: Vec<String>, data: Value) {
        seen_by.extend(agent.clone());
        self.store(crate::wall(), kind.into(), agent, None, seen_by, Data::Other(data));
    }

    fn store(
        &mut self,
        time: WallTime,
        kind: Value,
        agent_id: Option<String>,
        interaction_id: Option<String>,
        extensions: Vec<String>,
        data: Data,
    ) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.events += 1;
        let (id, time) = (format!("event-{seq}"), rfc3339(time));
        let envelope = Envelope { seq, id, time, kind, agent_id, interaction_id, data };
        self.ring.push_back(Arc::new(Stored { seq, extensions, envelope, text: OnceLock::new() }));
    }
}

impl Figures {
    fn count(&mut self, interaction: &InteractionSnapshot) {
        let state = serde_json::to_value(interaction.state).unwrap_or_default();
        *self.states.entry(state.as_str().unwrap_or_default().to_owned()).or_default() += 1;
        self.recording += usize::from(interaction.recording == b2bua::api::RecordingState::On);
        for leg in interaction.participants.iter().flat_map(|party| &party.legs) {
            let codec = leg.codec.clone().unwrap_or_else(|| "none".to_owned());
            *self.legs.entry(codec).or_default() += 1;
            if let Some(quality) = &leg.quality {
                self.worst_loss_percent = self.worst_loss_percent.max(quality.loss_percent);
                self.worst_jitter_ms = self.worst_jitter_ms.max(quality.jitter_ms);
                let worst = self.worst_mos.unwrap_or(quality.mos);
                self.worst_mos = Some(worst.min(quality.mos));
            }
        }
    }
}

/// Somebody talks, and nobody knows yet by which codec: "answered" is told before "agreed".
fn lacks_a_codec(interaction: &InteractionSnapshot) -> bool {
    let talking = |state| state == ParticipantState::Connected;
    let mut talkers = interaction.participants.iter().filter(|party| talking(party.state));
    talkers.any(|party| party.legs.iter().any(|leg| leg.codec.is_none()))
}

/// Extensions that take part as agents or supervisors.
pub(crate) fn agents(interaction: &InteractionSnapshot) -> Vec<&str> {
    let is_agent = |role| matches!(role, ParticipantRole::Agent | ParticipantRole::Supervisor);
    let agents = interaction.participants.iter().filter(|party| is_agent(party.role));
    agents.map(|party| party.party.as_str()).collect()
}

/// `type` and `data` of what became of a recording.
fn recording(change: RecordingChange) -> (&'static str, Value) {
    match change {
        RecordingChange::Failed { file, duration_ms, error } => (
            "recording.failed",
            json!({ "file": file, "durationMs": duration_ms, "reason": error }),
        ),
        RecordingChange::Available { file, duration_ms, bytes } => (
            "recording.available",
            json!({ "file": file, "durationMs": duration_ms, "bytes": bytes }),
        ),
    }
}
