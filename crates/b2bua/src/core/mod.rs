//! The core: one owner of every call, leg, trunk and registration of this node.
//!
//! ```text
//! Input ─▶ handle ─▶ transactions ─▶ dispatch ─▶ leg ─▶ Report ─▶ call ─▶ LegCommand ─▶ leg
//!                                        │                          └─▶ hearing plan ─▶ media
//!                                        ├─▶ registrar ─▶ store
//!                                        └─▶ admit (authenticate, route) ─▶ new call
//! ```
//! Everything an input causes is done before `handle` returns.

mod admit;
mod announce;
mod bridge;
mod codecs;
mod codes;
mod command;
mod control;
mod dial;
mod dispatch;
mod ending;
mod keys;
mod legs;
mod merge;
mod noise;
mod outdial;
mod path;
mod phone;
mod quality;
mod reach;
mod rebind;
mod recording;
mod register;
mod show;
mod tell;
mod trunks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use base::{Rng, Time, WallTime};
use call::record::LegRecord;
use call::{Call, CallId, LegId, ParticipantId};
use media::command::{BridgeId, StreamId};
use media::record::RecordingId;
use sdp::Codec;
use serde::{Deserialize, Serialize};
use sip::auth::{Authenticator, Guard};
use sip::registrar::Registrar;

use self::announce::Announcing;
use self::legs::Legs;
use self::reach::Reach;
use self::recording::Recording;
use crate::config::Config;
use crate::directory::Directory;
use crate::feature::Entry;
use crate::io::{Event, Input, Output};
use crate::party::{Identity, Party};
use crate::ports::PortPool;
use crate::rate::Rate;
use crate::sip_leg::Report;
use crate::trunk::TrunkState;
use crate::wire::{Deadline, Wire};

/// The whole state of the node. Serialisable: `restore(snapshot(core))` goes on as `core` would.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Core {
    config: Arc<Config>,
    directory: Directory,
    wire: Wire,
    registrar: Registrar,
    authenticator: Authenticator,
    guard: Guard,
    trunks: Vec<TrunkState>,
    extensions: Vec<ExtensionState>,
    calls: BTreeMap<CallId, CallState>,
    legs: Legs,
    /// Legs by Call-ID and our tag, the part of a dialog id that we choose.
    #[serde(with = "crate::pairs")]
    dialogs: BTreeMap<DialogKey, LegId>,
    /// INVITE server transactions that a CANCEL may meet.
    invites: BTreeMap<sip::transaction::TransactionId, LegId>,
    /// Legs whose far end has asked for a transfer that goes on: told how it fares.
    referring: BTreeSet<LegId>,
    /// What agents are dialling during their calls.
    codes: BTreeMap<LegId, Entry>,
    /// Streams being closed: their call, and the leg's place in its record.
    closing: BTreeMap<StreamId, (CallId, usize)>,
    ports: PortPool,
    rate: Rate,
    clock: Clock,
    next_call: u64,
    next_leg: u64,
    drain: Option<Time>,
    drained: bool,
    /// Of this process, not of the calls.
    #[serde(skip)]
    short_of_memory: bool,
    #[serde(skip)]
    reports: VecDeque<(LegId, Report)>,
    /// Calls whose plan may have changed in this step.
    #[serde(skip)]
    touched: Vec<CallId>,
    /// The request being worked on, which a panic leaves without an answer.
    #[serde(skip)]
    serving: Option<sip::transaction::TransactionId>,
    /// The call being worked on, so that a panic costs only that one.
    #[serde(skip)]
    working_on: Option<CallId>,
    #[serde(skip)]
    poison: Option<CallId>,
}

/// Call-ID and our tag.
type DialogKey = (Box<str>, Box<str>);

/// What ties monotonic time to wall time, for records only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Clock {
    at: Time,
    wall: WallTime,
}

impl Clock {
    fn wall(&self, now: Time) -> WallTime {
        self.wall + (now - self.at)
    }
}

/// What we count per extension; its configuration stands at the same index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ExtensionState {
    calls: usize,
    rate: Rate,
}

/// A call and what the core keeps beside the machine of `call`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct CallState {
    call: Call,
    started: Time,
    from: Identity,
    to: String,
    /// How those are reached who are being called.
    reaches: Vec<Reach>,
    /// Who is who, for those whom the caller's identity and the dialled number do not name.
    names: Vec<(ParticipantId, Identity)>,
    /// Codecs of the call; a codec's index is its key in the media engine.
    codecs: Vec<Codec>,
    /// What each listener was last told to hear.
    hearing: Vec<(StreamId, media::command::Hear)>,
    /// Whose noise removal was switched by hand (N3).
    noise: Vec<(ParticipantId, noise::Switched)>,
    /// What its caller hears before it is answered.
    announcing: Announcing,
    /// Its recording.
    recording: Option<Recording>,
    /// Files of its recordings that have ended, and how many recordings there were.
    recordings: Vec<(RecordingId, String)>,
    recorded: u16,
    /// What counts against limits, each until its leg is gone.
    counted: Vec<Counted>,
    redirects: u8,
    /// The limit of a trunk that it met on its way out.
    limit: Option<crate::trunk::Refusal>,
    /// Records of legs that are gone, and how many of them await their last figures.
    finished: Vec<(LegId, LegRecord)>,
    closing: usize,
}

/// One of a party's calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    party: Party,
    /// The leg that it is; `None`: a call that was asked for, as long as whoever asked takes part.
    leg: Option<LegId>,
}

impl Core {
    /// An idle core. `seed` comes from the operating system's random source; `wall` is the wall
    /// time at [`Time::ZERO`], for records only.
    pub fn new(config: Config, seed: [u8; 32], wall: WallTime) -> Self {
        let mut rng = Rng::new(seed);
        let media = &config.media;
        let ports = PortPool::new(media.port_min, media.port_max, media.port_quarantine);
        let transactions = crate::setup::transactions(&config, &mut rng);
        Self {
            directory: Directory::new(&config),
            registrar: Registrar::new(crate::setup::registrar(&config)),
            authenticator: crate::setup::authenticator(&config, &mut rng),
            guard: crate::setup::guard(&config),
            trunks: config.trunks.iter().map(TrunkState::new).collect(),
            extensions: config
                .extensions
                .iter()
                .map(|extension| ExtensionState {
                    calls: 0,
                    rate: Rate::new(extension.calls_per_minute_max, Duration::from_secs(60)),
                })
                .collect(),
            wire: Wire::new(transactions, rng),
            calls: BTreeMap::new(),
            legs: Legs::default(),
            dialogs: BTreeMap::new(),
            invites: BTreeMap::new(),
            referring: BTreeSet::new(),
            codes: BTreeMap::new(),
            closing: BTreeMap::new(),
            ports,
            rate: Rate::new(config.sip.calls_per_second_max, Duration::from_secs(1)),
            clock: Clock { at: Time::ZERO, wall },
            next_call: 0,
            next_leg: 0,
            drain: None,
            drained: false,
            short_of_memory: false,
            reports: VecDeque::new(),
            touched: Vec::new(),
            serving: None,
            working_on: None,
            poison: None,
            config: Arc::new(config),
        }
    }

    /// Starts what runs by itself: trunk look-ups, OPTIONS and registrations.
    pub fn start(&mut self, now: Time, out: &mut Vec<Output>) {
        self.start_trunks(now);
        self.run(now, out);
    }

    /// When [`Input::Tick`] is due.
    pub fn next_timeout(&self) -> Option<Time> {
        let times = [
            self.wire.transactions.next_timeout(),
            self.wire.timers.next(),
            self.registrar.next_timeout(),
        ];
        times.into_iter().flatten().min()
    }

    /// Does everything that `input` causes, and whatever is due at `now`.
    ///
    /// A panic ends the call it happened in; the rest go on.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        self.guarded(now, out, |core, out| {
            core.input(now, input, out);
            core.run(now, out);
        });
    }

    /// Makes the next step of a call panic, so that tests can see what a fault costs (ATTACKS 35).
    #[doc(hidden)]
    pub fn poison(&mut self, call: CallId) {
        self.poison = Some(call);
    }

    /// Whether nothing is going on: no call, leg, dialog, transaction or deadline of a call.
    pub fn is_at_rest(&self) -> bool {
        self.calls.is_empty()
            && self.legs.is_empty()
            && self.dialogs.is_empty()
            && self.invites.is_empty()
            && self.referring.is_empty()
            && self.codes.is_empty()
            && self.wire.transactions.is_empty()
            && self.wire.owners.is_empty()
            && self.extensions.iter().all(|extension| extension.calls == 0)
            && self.trunks.iter().all(|trunk| trunk.calls == 0)
    }

    /// Calls being set up, up, or being taken down.
    pub fn calls_len(&self) -> usize {
        self.calls.len()
    }

    /// Every leg there is, with the call it belongs to; [`Core::legs_of_calls`] is the same from the
    /// other side.
    pub fn calls_of_legs(&self) -> impl Iterator<Item = (LegId, CallId)> + '_ {
        self.legs.iter().map(|(id, leg)| (*id, leg.call()))
    }

    /// Every leg that a call knows of.
    pub fn legs_of_calls(&self) -> impl Iterator<Item = (LegId, CallId)> + '_ {
        let calls = self.calls.iter();
        calls.flat_map(|(id, state)| state.call.legs().iter().map(|leg| (leg.leg, *id)))
    }

    /// What each stream was last told to hear.
    pub fn told(&self) -> impl Iterator<Item = (StreamId, media::command::Hear)> + '_ {
        self.calls.values().flat_map(|state| state.hearing.iter().copied())
    }

    /// The registrations, for the shells that show them.
    pub fn registrar(&self) -> &Registrar {
        &self.registrar
    }

    fn guarded(
        &mut self,
        now: Time,
        out: &mut Vec<Output>,
        work: impl FnOnce(&mut Self, &mut Vec<Output>),
    ) {
        self.working_on = None;
        if catch_unwind(AssertUnwindSafe(|| work(self, out))).is_err() {
            let poisoned = self.working_on.take();
            out.push(Output::Event(Event::Poisoned { what: format!("{poisoned:?}") }));
            // What was half done is dropped with the call; a second panic would be in our own
            // clearing up, and is the process's end.
            self.reports.clear();
            if let Some(call) = poisoned {
                self.abandon(now, call, out);
            }
            if let Some(transaction) = self.serving.take() {
                self.wire.transactions.drop_server(transaction, &mut self.wire.events);
            }
            self.run(now, out);
        }
        self.working_on = None;
        self.wire.room = None;
    }

    fn input(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        self.wire.room = None;
        match input {
            Input::Sip { source, message: Ok(message), size } => {
                self.wire.room = self.room_for(&source, size);
                let events = &mut self.wire.events;
                self.wire.transactions.receive(now, message, source, events);
            }
            Input::Sip { source, message: Err(error), size } => {
                self.wire.room = self.room_for(&source, size);
                self.unparsable(&source, &error);
            }
            Input::FlowClosed(flow) => self.flow_closed(now, flow, out),
            Input::SendFailed(transaction) => {
                let events = &mut self.wire.events;
                self.wire.transactions.send_failed(now, transaction, events);
            }
            Input::Resolved { query, targets } => self.resolved(now, query, targets),
            Input::Media(event) => self.media(now, event, out),
            Input::Tick => {}
            Input::ShortOfMemory(short) => self.short_of_memory = short,
            Input::Drain { limit } => self.drain(now, limit),
            Input::GiveUp => self.give_up(now, out),
            Input::NoiseRemoval { leg, enabled } => {
                self.switch_noise_removal(leg, noise::Switched { enabled, settings: None });
            }
            Input::Command { request, actor, command } => {
                self.asked(now, request, &actor, *command, out);
            }
            Input::Restore { wall, bindings } => self.registrar.restore(now, wall, bindings),
        }
    }

    /// Works off everything that is pending or due.
    fn run(&mut self, now: Time, out: &mut Vec<Output>) {
        loop {
            self.settle(now, out);
            if self.wire.transactions.next_timeout().is_some_and(|at| at <= now) {
                self.wire.transactions.expire(now, &mut self.wire.events);
            } else if let Some(deadline) = self.wire.timers.pop_due(now) {
                self.deadline(now, deadline, out);
            } else if self.registrar.next_timeout().is_some_and(|at| at <= now) {
                self.registrar_due(now, out);
            } else {
                break;
            }
        }
        if self.drain.is_some() && self.calls.is_empty() && !self.drained {
            self.drained = true;
            self.wire.timers.disarm(Deadline::Drain);
            out.push(Output::Drained);
        }
    }

    /// Passes events and reports on until none is left, then makes the media follow the plan.
    fn settle(&mut self, now: Time, out: &mut Vec<Output>) {
        loop {
            if !self.wire.events.is_empty() {
                for event in std::mem::take(&mut self.wire.events) {
                    self.transaction_event(now, event, out);
                }
            } else if let Some((leg, report)) = self.reports.pop_front() {
                self.report(now, leg, report, out);
            } else if let Some(call) = self.touched.pop() {
                self.answer_the_forgotten(now, call, out);
                self.follow_plan(now, call, out);
            } else {
                break;
            }
        }
    }

    fn deadline(&mut self, now: Time, deadline: Deadline, out: &mut Vec<Output>) {
        match deadline {
            Deadline::Call(call, timer) => self.with_call(now, call, out, |state, now, out| {
                state.call.fired(now, timer, out);
            }),
            Deadline::Leg(leg, timer) => {
                self.with_leg(now, leg, out, |leg, cx| leg.fired(timer, cx))
            }
            Deadline::TrunkOptions(trunk, gateway) => self.ask_trunk(now, (trunk, gateway), out),
            Deadline::TrunkRegister(trunk) => self.register_at_trunk(now, trunk),
            Deadline::TrunkResolve(trunk) => self.resolve_trunk(now, trunk, out),
            Deadline::Refusal(call) => self.refusal_is_over(now, call, out),
            Deadline::Code(leg) => self.dials_no_more(now, leg, out),
            Deadline::Drain => self.drain_is_over(now, out),
        }
    }

    /// Stops taking calls; those up go on for `limit`.
    fn drain(&mut self, now: Time, limit: Duration) {
        let until = now + limit;
        if self.drain.is_none_or(|earlier| until < earlier) {
            self.drain = Some(until);
            self.wire.timers.arm(Deadline::Drain, until);
        }
    }

    fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    fn stream_of(leg: LegId) -> StreamId {
        StreamId(leg.0)
    }

    fn bridge_of(call: CallId) -> BridgeId {
        BridgeId(call.0)
    }
}
