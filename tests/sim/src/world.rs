use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::media::command::MediaEvent;
use b2bua::Core;
use b2bua::api::{CommandResult, RequestId};
use b2bua::config::Config;
use b2bua::io::{Event, Input, Output, StoreWrite};
use base::{Rng, Time, Timers, WallTime};
use bytes::Bytes;
use call::record::CallRecord;
use sip::registrar::BindingRecord;
use sip::transport::{FlowId, Source, Target, Transport};

use crate::agent::{Agent, Profile, SERVER};
use crate::attacker::{self, Attack, Overheard};
use crate::cause::Causes;
use crate::digest::Hash;
use crate::media::Media;
use crate::net::{InFlight, Link};
use crate::operation::Operation;
use crate::script::{Answering, Placing};
use crate::watch::Watch;

/// A running hash of everything that happened: equal seeds give equal traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// FNV-1a over the events.
    pub hash: u64,
    /// Events.
    pub events: u64,
}

/// One message as it left or reached the server.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) at: Time,
    pub(crate) who: usize,
    pub(crate) from_server: bool,
    pub(crate) bytes: Bytes,
}

/// What is under way.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    ToServer { who: usize, bytes: Bytes, tcp: Option<FlowId> },
    ToPeer { who: usize, bytes: Bytes },
    Media(MediaEvent),
    SendFailed(sip::transaction::TransactionId),
    Resolved(b2bua::io::QueryId, Vec<Target>),
}

/// The core, its peers and everything between them.
pub struct World {
    pub(crate) seed: u64,
    pub(crate) now: Time,
    rng: Rng,
    pub(crate) core: Core,
    pub(crate) config: Config,
    pub(crate) agents: Vec<Agent>,
    pub(crate) links: Vec<Link>,
    pub(crate) net: InFlight<Packet>,
    pub(crate) media: Media,
    pub(crate) watch: Watch,
    pub(crate) records: Vec<CallRecord>,
    pub(crate) bindings: BTreeMap<(Box<str>, Box<str>), BindingRecord>,
    pub(crate) events: Vec<Event>,
    pub(crate) wire: Vec<Line>,
    pub(crate) wrong: Vec<String>,
    pub(crate) trace: Trace,
    pub(crate) is_drained: bool,
    pub(crate) last_check: Time,
    /// Peers that died come back after a minute.
    pub(crate) revives: bool,
    /// Since when each peer has been dead.
    pub(crate) dead: Vec<Option<Time>>,
    /// Connections of each peer: present ones only.
    flows: Vec<Option<FlowId>>,
    flow_ids: u64,
    plan: Timers<usize>,
    operations: Vec<Operation>,
    /// Bytes that strangers have sent, and got.
    strangers: (usize, usize),
    steps: u64,
    /// What was asked by the API, and what is answered.
    pub(crate) requests: u64,
    pub(crate) replies: Vec<(RequestId, CommandResult)>,
    /// Whether anything but listing was asked: then calls are more than two peers.
    pub(crate) asks: bool,
    /// Replaces the core by its restored snapshot at this step.
    pub(crate) restore_at: Option<u64>,
    was_restored: bool,
    /// A panic inside the core is what the test wants.
    pub expects_poison: bool,
    /// Why calls may end though nobody hangs up.
    pub(crate) causes: Causes,
    /// Whether something runs for ever: OPTIONS to trunks, a registration at one.
    pub(crate) keeps_house: bool,
}

/// The address of whoever is no peer.
const STRANGER: &str = "203.0.113.66:5060";
const FLOW_UDP: FlowId = FlowId(1);
/// More steps than this are a storm.
const STEPS_MAX: u64 = 400_000;

/// The peers of every world: names, addresses, habits.
fn profiles() -> Vec<Profile> {
    let phone = |user: &str, address: &str, hash, over_tcp, compact| Profile {
        user: user.to_owned(),
        address: address.parse().expect("an address"),
        password: format!("secret-{user}"),
        hash,
        is_gateway: false,
        over_tcp,
        compact,
        demands: None,
        inside: None,
        proxy: None,
    };
    let gateway = |user: &str, address: &str, hash| Profile {
        is_gateway: true,
        demands: Some(("hookflash".to_owned(), "trunk-secret".to_owned())),
        ..phone(user, address, hash, false, false)
    };
    vec![
        phone("1001", "10.0.0.1:5060", Hash::Sha256, false, false),
        phone("1001", "10.0.0.11:5062", Hash::Md5, false, true),
        phone("1002", "10.0.0.2:49152", Hash::Sha256, true, false),
        phone("1003", "10.0.0.3:5060", Hash::Md5, false, false),
        Profile {
            inside: Some("192.168.7.4:5060".to_owned()),
            ..phone("1004", "10.0.0.4:61004", Hash::Sha256, false, true)
        },
        gateway("carrier", "127.0.0.2:5060", Hash::Sha256),
        Profile {
            proxy: Some("<sip:127.0.0.3;lr>".to_owned()),
            ..gateway("backup", "127.0.0.3:5060", Hash::Md5)
        },
    ]
}

/// The configuration of every world.
pub(crate) fn config() -> Config {
    let mut config = b2bua::testing::config();
    config.sip.ring_timeout = Duration::from_secs(20);
    for trunk in &mut config.trunks {
        trunk.credentials = Some(b2bua::config::TrunkCredentials {
            username: "hookflash".to_owned(),
            password: base::Redacted::new("trunk-secret".to_owned()),
            realm: None,
        });
    }
    config
}

impl World {
    /// A world whose every chance comes from `seed`; nobody is registered yet.
    pub fn new(seed: u64, link: Link) -> Self {
        Self::with(seed, link, |_| {})
    }

    /// The same, after a change to the configuration.
    pub fn with(seed: u64, link: Link, change: impl FnOnce(&mut Config)) -> Self {
        let mut rng = Rng::from_u64(seed);
        let mut config = config();
        change(&mut config);
        let mut core_seed = [0; 32];
        core_seed[..8].copy_from_slice(&seed.to_be_bytes());
        let keeps_house =
            config.trunks.iter().any(|t| t.options_interval.is_some() || t.register.is_some());
        let mut agents: Vec<_> =
            profiles().into_iter().map(|profile| Agent::new(profile, rng.next_u64())).collect();
        let peers = agents.len();
        agents.iter_mut().for_each(|agent| agent.expects_refresh = link == Link::GOOD);
        let mut world = Self {
            seed,
            now: Time::ZERO,
            rng,
            core: Core::new(config.clone(), core_seed, WallTime(1_700_000_000_000)),
            config,
            agents,
            links: vec![link; peers],
            net: InFlight::new(),
            media: Media::default(),
            watch: Watch::default(),
            records: Vec::new(),
            bindings: BTreeMap::new(),
            events: Vec::new(),
            wire: Vec::new(),
            wrong: Vec::new(),
            trace: Trace { hash: 0xcbf2_9ce4_8422_2325, events: 0 },
            is_drained: false,
            last_check: Time::ZERO,
            revives: false,
            dead: vec![None; peers],
            flows: vec![None; peers],
            flow_ids: 100,
            plan: Timers::default(),
            operations: Vec::new(),
            strangers: (0, 0),
            steps: 0,
            requests: 0,
            replies: Vec::new(),
            asks: false,
            restore_at: None,
            was_restored: false,
            expects_poison: false,
            causes: Causes::default(),
            keeps_house,
        };
        let mut out = Vec::new();
        world.core.start(world.now, &mut out);
        world.outputs(out);
        world
    }

    /// The first peer of that name: `1001`, `1001b` (its second phone), `1002`…, `carrier`, `backup`.
    pub fn peer(&mut self, name: &str) -> &mut Agent {
        let at = self.index(name);
        &mut self.agents[at]
    }

    pub(crate) fn index(&self, name: &str) -> usize {
        let bare = name.trim_end_matches('b');
        let named = |(_, agent): &(usize, &Agent)| agent.profile.user == bare;
        let mut found = self.agents.iter().enumerate().filter(named).map(|(at, _)| at);
        let found = if bare == name { found.next() } else { found.nth(1) };
        found.unwrap_or_else(|| panic!("no peer {name}"))
    }

    /// Registers every phone but the second one of 1001, and waits until that is done.
    pub fn register(&mut self) {
        for name in ["1001", "1002", "1003", "1004"] {
            self.register_one(name);
        }
        self.run_for(Duration::from_secs(3));
    }

    /// Registers one phone.
    pub fn register_one(&mut self, name: &str) {
        let (now, at) = (self.now, self.index(name));
        self.agents[at].register(now);
        self.collect(at);
    }

    /// How a peer takes its next call.
    pub fn plan(&mut self, name: &str, answering: Answering) {
        self.peer(name).plan(answering);
    }

    /// A peer places a call now.
    pub fn call(&mut self, name: &str, placing: Placing) {
        let at = self.index(name);
        self.perform(Operation::Call(at, placing));
    }

    /// Changes a peer's network, both ways.
    pub fn network(&mut self, name: &str, link: Link) {
        let at = self.index(name);
        self.perform(Operation::Network(at, link));
    }

    /// Does something at a time to come.
    pub(crate) fn schedule(&mut self, after: Duration, operation: Operation) {
        self.plan.arm(self.operations.len(), self.now + after);
        self.operations.push(operation);
    }

    pub(crate) fn perform(&mut self, operation: Operation) {
        self.note(&operation);
        let now = self.now;
        match operation {
            Operation::Call(who, placing) => {
                self.agents[who].call(now, placing);
                self.collect(who);
            }
            Operation::Die(who) => self.agents[who].die(),
            Operation::Revive(who) => {
                self.agents[who].revive(now);
                self.collect(who);
            }
            Operation::Network(who, link) => {
                self.note_network(who, link);
                self.links[who] = link;
                self.agents[who].expects_refresh = false;
            }
            Operation::Disconnect(who) => self.break_connection(who),
            Operation::Attack(attack) => self.attack(attack),
            Operation::BindFails => drop(self.media.fails.insert(1)),
            Operation::AudioLost => {
                if let Some((&stream, _)) = self.media.streams.iter().next() {
                    let event = MediaEvent::RtpTimeout { stream };
                    self.net.arrive(now, Packet::Media(event));
                }
            }
            Operation::ChangeAll(codecs, seed) => {
                let mut rng = Rng::from_u64(seed);
                for who in 0..self.agents.len() {
                    self.agents[who].change_all(now, codecs, &mut rng);
                    self.collect(who);
                }
            }
            Operation::HangUpAll => {
                for who in 0..self.agents.len() {
                    self.agents[who].hang_up(now);
                    self.collect(who);
                }
            }
            Operation::Ask(seed) => {
                self.asks = true;
                self.ask_at_random(seed);
            }
            Operation::Dial(seed) => {
                self.asks = true;
                self.media.is_driven = true;
                let pace = Duration::from_millis(150);
                let keys = self.dial_at_random(seed).into_iter().zip(0..);
                keys.for_each(|((stream, key), n)| {
                    self.schedule(pace * n, Operation::Press(stream, key));
                });
            }
            Operation::Press(stream, key) if self.media.streams.contains_key(&stream) => {
                self.press_in(stream, key);
            }
            Operation::Press(..) => {}
            Operation::StopRegistering => {
                self.agents.iter_mut().for_each(Agent::stop_registering);
            }
        }
    }

    /// Breaks the connection of a peer that speaks over one; it registers again over a new one.
    pub fn disconnect(&mut self, name: &str) {
        let who = self.index(name);
        self.perform(Operation::Disconnect(who));
    }

    /// Whether the core has said that it is drained.
    pub fn is_drained(&self) -> bool {
        self.is_drained
    }

    fn break_connection(&mut self, who: usize) {
        if let Some(flow) = self.flows[who].take() {
            for dialog in self.agents[who].dialogs.values() {
                self.watch.lost(&dialog.call_id);
            }
            self.note_lost(who);
            self.input(Input::FlowClosed(flow));
            if self.agents[who].registration.wanted {
                self.agents[who].register(self.now); // over a new one
                self.collect(who);
            }
        }
    }

    /// One packet of a stranger, who may have overheard a call.
    pub fn attack(&mut self, attack: Attack) {
        let dialogs = self.agents.iter().flat_map(|agent| agent.dialogs.values());
        let known: Vec<_> = dialogs.filter(|dialog| !dialog.remote_tag.is_empty()).collect();
        let overheard = (!known.is_empty()).then(|| {
            let at = usize::try_from(self.rng.below(known.len() as u64)).unwrap_or(0);
            Overheard {
                call_id: known[at].call_id.clone(),
                server_tag: known[at].remote_tag.clone(),
                peer_tag: known[at].local_tag.clone(),
            }
        });
        let bytes = attacker::packet(&mut self.rng, attack, overheard.as_ref(), STRANGER);
        self.strangers.0 += bytes.len();
        let who = self.agents.len();
        self.net.arrive(self.now, Packet::ToServer { who, bytes: bytes.into(), tcp: None });
    }

    /// Runs for a while.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.next().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// When anything happens next.
    pub(crate) fn next(&self) -> Option<Time> {
        let agents = self.agents.iter().filter_map(Agent::next);
        let rest = [self.net.next(), self.core.next_timeout(), self.plan.next()];
        agents.chain(rest.into_iter().flatten()).min()
    }

    /// Jumps to the next event and lets it happen. Panics when anything is wrong.
    pub fn step(&mut self) {
        let Some(next) = self.next() else { return };
        assert!(next >= self.now, "time runs backwards: {next:?} after {:?}", self.now);
        self.now = next;
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "seed {}: a storm at {:?}", self.seed, self.now);
        if self.restore_at == Some(self.steps) {
            self.restore();
        }
        if let Some(packet) = self.net.pop_due(next) {
            self.arrived(packet);
        } else if self.core.next_timeout().is_some_and(|at| at <= next) {
            self.input(Input::Tick);
            if self.core.next_timeout().is_some_and(|at| at <= next) {
                self.wrong.push("the core is due again at once".to_owned());
            }
        } else if let Some(operation) = self.plan.pop_due(next) {
            let operation = self.operations[operation].clone();
            self.perform(operation);
        } else if let Some(who) = self.agents.iter().position(|a| a.next() == Some(next)) {
            self.agents[who].expire(next);
            self.collect(who);
        }
        self.check_step();
    }

    /// The process ends and starts again: all that is left of it is what the store was told.
    pub fn restart(&mut self) {
        self.flows.iter_mut().for_each(|flow| *flow = None);
        let wall = WallTime(1_700_000_000_000) + (self.now - Time::ZERO);
        self.core = Core::new(self.config.clone(), [7; 32], WallTime(1_700_000_000_000));
        let mut out = Vec::new();
        self.core.start(self.now, &mut out);
        self.outputs(out);
        let bindings = self.bindings.values().cloned().collect();
        self.input(Input::Restore { wall, bindings });
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn was_restored(&self) -> bool {
        self.was_restored
    }

    /// Replaces the core by what its snapshot brings back.
    pub fn restore(&mut self) {
        let saved = serde_json::to_string(&self.core).expect("the core can be saved");
        let restored: Core = serde_json::from_str(&saved).expect("and restored");
        assert!(restored == self.core, "seed {}: a restored core differs", self.seed);
        self.core = restored;
        self.was_restored = true;
    }

    fn arrived(&mut self, packet: Packet) {
        match packet {
            // What was on its way when its connection broke is lost.
            Packet::ToServer { who, tcp: Some(flow), .. } if self.flows[who] != Some(flow) => {}
            Packet::ToServer { who, bytes, tcp } => {
                self.log(who, false, &bytes);
                if who < self.agents.len() {
                    self.watch.delivered(self.now, who, &bytes);
                }
                let source = self.source(who, tcp);
                let size = bytes.len();
                let message = sip::message::parse_datagram(bytes);
                self.input(Input::Sip { source, message, size });
                self.watch.step_done();
            }
            Packet::ToPeer { who, bytes } => {
                self.agents[who].receive(self.now, &bytes);
                self.collect(who);
            }
            Packet::Media(event) => self.input(Input::Media(event)),
            Packet::SendFailed(transaction) => self.input(Input::SendFailed(transaction)),
            Packet::Resolved(query, targets) => self.input(Input::Resolved { query, targets }),
        }
    }

    fn source(&self, who: usize, tcp: Option<FlowId>) -> Source {
        let remote = match self.agents.get(who) {
            Some(agent) => agent.profile.address,
            None => STRANGER.parse().expect("an address"),
        };
        Source {
            flow: tcp.unwrap_or(FLOW_UDP),
            transport: if tcp.is_some() { Transport::Tcp } else { Transport::Udp },
            remote,
            local: SERVER.parse().expect("an address"),
            tls_names: Arc::new([]),
        }
    }

    /// Gives the core something to do.
    pub fn input(&mut self, input: Input) {
        self.watch.gave_up |= matches!(input, Input::GiveUp);
        self.note_input(&input);
        self.untold(input);
    }

    /// The same, without a word of it to whoever looks for the causes of ends.
    pub(crate) fn untold(&mut self, input: Input) {
        let mut out = Vec::new();
        self.core.handle(self.now, input, &mut out);
        self.outputs(out);
    }

    fn outputs(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send { target, bytes, transaction } => {
                    if !self.transmit(&target, bytes)
                        && let Some(transaction) = transaction
                    {
                        self.net.arrive(self.now, Packet::SendFailed(transaction));
                    }
                }
                Output::CloseFlow(_) => self.wrong.push("a flow is closed".to_owned()),
                Output::Resolve { query, .. } => {
                    // No host name of these worlds leads anywhere.
                    self.net.arrive(self.now, Packet::Resolved(query, Vec::new()));
                }
                Output::Media(command) => {
                    self.note(&command);
                    if let Some(event) = self.media.command(self.now, command) {
                        let at = self.now + Duration::from_millis(3);
                        self.net.arrive(at, Packet::Media(event));
                    }
                }
                Output::Store(StoreWrite::Bind(record)) => {
                    self.bindings.insert((record.aor.clone(), record.key.clone()), *record);
                }
                Output::Store(StoreWrite::Unbind { aor, key }) => {
                    if self.bindings.remove(&(aor, key)).is_none() {
                        self.wrong.push("an unknown binding ends".to_owned());
                    }
                }
                Output::CallRecord(record) => {
                    let legs = record.legs.iter().map(|leg| leg.sip_call_id.clone());
                    self.watch.recorded.extend(legs);
                    self.records.push(*record);
                }
                Output::Event(event) => self.events.push(event),
                Output::Reply { request, result } => self.replies.push((request, result)),
                Output::Drained => self.is_drained = true,
            }
        }
    }

    /// Puts a message of the server on its way; false when its connection is gone.
    fn transmit(&mut self, target: &Target, bytes: Bytes) -> bool {
        let reached = self.agents.iter().position(|agent| agent.profile.address == target.addr);
        let Some(who) = reached else {
            self.log(self.agents.len(), true, &bytes);
            if target.addr == STRANGER.parse::<std::net::SocketAddr>().expect("an address") {
                self.wrong.extend(attacker::fault_of_reply(&bytes));
                self.strangers.1 += bytes.len();
                let (sent, got) = self.strangers;
                if got > 2 * sent {
                    // ATTACKS 2: nobody is flooded by what we answer.
                    self.wrong.push(format!("a stranger got {got} bytes for {sent}"));
                }
            } else {
                self.wrong.push(format!("something is sent to {}", target.addr));
            }
            return true;
        };
        if target.transport.is_reliable() {
            if target.flow.is_some() && target.flow != self.flows[who] {
                return false;
            }
            self.log(who, true, &bytes);
            self.watch.left(self.now, who, &bytes);
            self.agents[who].approached(self.now, &bytes);
            self.net.arrive(self.now + Duration::from_millis(10), Packet::ToPeer { who, bytes });
            return true;
        }
        self.log(who, true, &bytes);
        self.watch.left(self.now, who, &bytes);
        self.agents[who].approached(self.now, &bytes);
        let packet = Packet::ToPeer { who, bytes };
        self.net.send(self.now, self.links[who], &mut self.rng, packet);
        true
    }

    /// Takes what a peer wants to send.
    pub(crate) fn collect(&mut self, who: usize) {
        for bytes in std::mem::take(&mut self.agents[who].outbox) {
            let bytes = Bytes::from(bytes);
            if self.agents[who].profile.over_tcp {
                let flow = *self.flows[who].get_or_insert_with(|| {
                    self.flow_ids += 1;
                    FlowId(self.flow_ids)
                });
                let packet = Packet::ToServer { who, bytes, tcp: Some(flow) };
                self.net.arrive(self.now + Duration::from_millis(10), packet);
            } else {
                let packet = Packet::ToServer { who, bytes, tcp: None };
                self.net.send(self.now, self.links[who], &mut self.rng, packet);
            }
        }
    }

    fn log(&mut self, who: usize, from_server: bool, bytes: &Bytes) {
        self.hash(if from_server { b"<" } else { b">" });
        self.hash(bytes);
        self.wire.push(Line { at: self.now, who, from_server, bytes: bytes.clone() });
    }

    fn note(&mut self, what: &impl std::fmt::Debug) {
        let text = format!("{what:?}");
        self.hash(text.as_bytes());
    }

    fn hash(&mut self, bytes: &[u8]) {
        self.trace.events += 1;
        for &byte in self.now.as_nanos().to_be_bytes().iter().chain(bytes) {
            self.trace.hash = (self.trace.hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
