//! The core with everything around it, and what must hold after every input:
//!
//! - nothing panics, no call is poisoned;
//! - outputs are bounded;
//! - what is sent can be read; nobody answers an ACK;
//! - who is nobody reaches nobody: whatever a stranger says, only the stranger hears of it, and
//!   nothing is opened, looked up, stored or recorded for it;
//! - every due timer is done when its tick is;
//! - a restored snapshot equals its core;
//! - two hours after the last input nothing is left.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use b2bua::Core;
use b2bua::config::Config;
use b2bua::io::{Event, Input, Output, QueryId, StoreWrite};
use base::{Time, WallTime};
use bytes::Bytes;
use media::command::MediaEvent;
use sip::message::{Message, Method};
use sip::registrar::BindingRecord;
use sip::transaction::TransactionId;

use super::peer::{Peer, STRANGER, peers, remember};
use super::streams::Streams;

/// Outputs of one input that concerns one call.
const OUTPUTS_MAX: usize = 64;
/// More of them for every call there is, for inputs that concern all.
const OUTPUTS_PER_CALL: usize = 16;
/// Ticks in a pause: none of a few calls' timers is shorter than some milliseconds for long.
const TICKS_MAX: usize = 50_000;
/// Restored snapshots of one run: more of them would only take the time of other runs.
const RESTORES_MAX: usize = 3;
/// Messages remembered, to know retransmissions: all that transactions may repeat.
const SENT_MAX: usize = 512;
/// After which nothing is left: the longest registration and session, and some.
const REST: Duration = Duration::from_secs(2 * 3600);

pub(super) struct World {
    core: Core,
    config: Config,
    now: Time,
    pub(super) peers: Vec<Peer>,
    pub(super) streams: Streams,
    pub(super) queries: Vec<QueryId>,
    pub(super) transactions: Vec<TransactionId>,
    bindings: Vec<BindingRecord>,
    restores: usize,
    draining: bool,
    drained: bool,
    /// Whose input is being handled.
    speaker: Option<usize>,
    /// What it said cannot be read, nor maybe the answer, which repeats it.
    unreadable: bool,
    /// It said ACK.
    says_ack: bool,
    /// What was sent to known peers, to tell repetitions.
    sent: VecDeque<Bytes>,
    /// SIP status of every call that is over.
    pub(super) results: Vec<u16>,
}

const WALL: WallTime = WallTime(1_700_000_000_000);

impl World {
    pub(super) fn new(config: Config) -> Self {
        let mut world = Self {
            core: Core::new(config.clone(), [7; 32], WALL),
            config,
            now: Time::ZERO,
            peers: peers(),
            streams: Streams::default(),
            queries: Vec::new(),
            transactions: Vec::new(),
            bindings: Vec::new(),
            restores: 0,
            draining: false,
            drained: false,
            speaker: None,
            unreadable: false,
            says_ack: false,
            sent: VecDeque::new(),
            results: Vec::new(),
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let mut out = Vec::new();
        self.core.start(self.now, &mut out);
        self.take(out);
    }

    /// A datagram, or a frame of a stream.
    pub(super) fn deliver(&mut self, from: usize, bytes: &[u8]) {
        let peer = &mut self.peers[from];
        remember(&mut peer.sent, bytes.to_vec());
        let source = peer.source();
        // What is due is not the speaker's doing.
        self.input(Input::Tick);
        self.speaker = Some(from);
        let message = super::parsed(bytes);
        self.unreadable = message.is_err();
        self.says_ack = bytes.starts_with(b"ACK ");
        self.handle(Input::Sip { source, message, size: bytes.len() });
        (self.speaker, self.unreadable) = (None, false);
    }

    /// A request, and once more with credentials if it is challenged.
    pub(super) fn ask(&mut self, from: usize, text: &[u8]) {
        self.deliver(from, text);
        let Ok(Message::Request(request)) = super::parsed(text) else { return };
        let (method, uri) = (request.method.to_string(), request.uri.to_string());
        let Some(line) = self.peers[from].authorization(&method, &uri) else { return };
        let text = String::from_utf8_lossy(text);
        let Some((head, rest)) = text.split_once("\r\n") else { return };
        // Another branch and number, else it would be taken for the first.
        let branch = |text: &str| text.replacen(";branch=z9hG4bK", ";branch=z9hG4bKa", 1);
        let number = |text: String| text.replacen("CSeq: 1 ", "CSeq: 2 ", 1);
        let again = format!("{head}\r\n{line}{}", number(branch(rest)));
        self.deliver(from, again.as_bytes());
    }

    /// Anything else that happens.
    pub(super) fn input(&mut self, input: Input) {
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        self.now = self.now + Duration::from_micros(u64::from(self.speaker.is_none()));
        let calls = self.core.calls_len();
        let mut out = Vec::new();
        self.core.handle(self.now, input, &mut out);
        let bound = OUTPUTS_MAX + OUTPUTS_PER_CALL * calls;
        assert!(out.len() <= bound, "{} outputs of one input", out.len());
        let next = self.core.next_timeout();
        assert!(next.is_none_or(|next| next > self.now), "left undone at {:?}: {next:?}", self.now);
        self.take(out);
    }

    fn take(&mut self, out: Vec<Output>) {
        let mut closed = Vec::new();
        for output in out {
            if self.speaker == Some(STRANGER) {
                self.harmless(&output);
            }
            match output {
                Output::Send { target, bytes, transaction } => {
                    self.sent(target.addr, bytes, transaction);
                }
                Output::Resolve { query, .. } => self.queries.push(query),
                Output::Media(command) => closed.extend(self.streams.command(&command)),
                Output::Store(StoreWrite::Bind(record)) => remember(&mut self.bindings, *record),
                Output::Store(StoreWrite::Unbind { aor, key }) => {
                    self.bindings.retain(|kept| kept.aor != aor || kept.key != key);
                }
                Output::Event(Event::Poisoned { what }) => panic!("poisoned: {what}"),
                Output::Drained => {
                    assert!(self.draining && !self.drained && self.core.calls_len() == 0);
                    self.drained = true;
                }
                Output::CallRecord(record) => {
                    assert!(!record.legs.is_empty());
                    self.results.push(record.sip_status);
                }
                Output::CloseFlow(_) | Output::Event(_) | Output::Reply { .. } => {}
            }
        }
        let speaker = self.speaker.take();
        for stream in closed {
            self.handle(Input::Media(MediaEvent::Closed { stream, stats: Box::default() }));
        }
        self.speaker = speaker;
    }

    fn sent(&mut self, to: SocketAddr, bytes: Bytes, transaction: Option<TransactionId>) {
        if self.is_repetition(&bytes) {
            return;
        }
        let message = sip::message::parse_datagram(bytes.clone());
        if message.is_err() && self.unreadable && bytes.starts_with(b"SIP/2.0 ") {
            return;
        }
        let message = message.unwrap_or_else(|error| panic!("we sent {error}: {bytes:?}"));
        if let Message::Response(response) = &message {
            let method = response.cseq().map(|cseq| cseq.method);
            let is_to_ack = self.says_ack && method == Ok(Method::Ack);
            assert!(!is_to_ack, "an ACK was answered: {response:?}");
        }
        if let Some(transaction) = transaction {
            remember(&mut self.transactions, transaction);
        }
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(bytes);
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.address == to) {
            peer.receive(&message);
        }
    }

    /// A retransmission is the very same buffer; to compare contents would cost most of a run.
    fn is_repetition(&self, bytes: &Bytes) -> bool {
        let place = |bytes: &Bytes| (bytes.as_ptr(), bytes.len());
        self.sent.iter().any(|sent| place(sent) == place(bytes))
    }

    /// Invariant 7: who is neither trunk nor authenticated reaches nothing.
    fn harmless(&self, output: &Output) {
        match output {
            Output::Send { target, bytes, .. } => {
                // After a restart of another buffer.
                let repeated = self.sent.contains(bytes);
                let own = target.addr.ip() == self.peers[STRANGER].address.ip();
                // An ACK comes past the proxies, from anywhere (RFC 3261 §13.3.1.4), and cannot be
                // challenged: by the dialog's tags and number it sets free what waited for it. What
                // that is, and where it goes, was settled before.
                let waited = self.says_ack && !bytes.starts_with(b"SIP/2.0");
                assert!(own || repeated || waited, "a stranger made us write to {}", target.addr);
            }
            Output::Event(_) => {}
            Output::CloseFlow(_)
            | Output::Resolve { .. }
            | Output::Media(_)
            | Output::Store(_)
            | Output::CallRecord(_)
            | Output::Reply { .. }
            | Output::Drained => panic!("a stranger caused {output:?}"),
        }
    }

    /// Lets time go by.
    pub(super) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut ticks = 0;
        while let Some(next) = self.core.next_timeout().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.handle(Input::Tick);
            ticks += 1;
            assert!(ticks < TICKS_MAX, "a timer runs wild");
        }
        self.now = self.now.max(until);
    }

    pub(super) fn drain(&mut self, limit: Duration) {
        self.draining = true;
        self.input(Input::Drain { limit });
    }

    /// Invariant 5: all state can be saved, and goes on as it would have.
    pub(super) fn restore_snapshot(&mut self) {
        if self.restores == RESTORES_MAX {
            return;
        }
        self.restores += 1;
        let saved = serde_json::to_string(&self.core).expect("the core can be saved");
        let restored: Core = serde_json::from_str(&saved).expect("what was saved can be read");
        assert!(restored == self.core, "the restored core differs");
        self.core = restored;
    }

    /// The process dies and begins anew with what the store kept.
    pub(super) fn kill_and_start(&mut self) {
        self.core = Core::new(self.config.clone(), [8; 32], WALL);
        self.streams = Streams::default();
        self.queries.clear();
        (self.draining, self.drained) = (false, false);
        self.start();
        let bindings = self.bindings.clone();
        self.input(Input::Restore { wall: WALL + (self.now - Time::ZERO), bindings });
    }

    /// Nobody says anything any more.
    pub(super) fn finish(&mut self) {
        self.pass(REST / 2);
        for query in std::mem::take(&mut self.queries) {
            self.input(Input::Resolved { query, targets: Vec::new() });
        }
        self.pass(REST);
        assert_eq!(self.core.calls_len(), 0, "calls are left");
        assert_eq!(self.streams.open(), [], "streams are left");
        assert_eq!(self.draining, self.drained);
        // Trunks are asked for ever whether they live, and to register us: until they answer.
        for _ in 0..100 {
            if self.core.is_at_rest() {
                return;
            }
            self.answer_for_trunks();
            let Some(next) = self.core.next_timeout() else { break };
            self.pass(next - self.now);
            for query in std::mem::take(&mut self.queries) {
                self.input(Input::Resolved { query, targets: Vec::new() });
            }
        }
        panic!("something is left: {:#?}", self.core);
    }

    fn answer_for_trunks(&mut self) {
        for from in 0..STRANGER {
            let peer = &mut self.peers[from];
            let mut asked = std::mem::take(&mut peer.requests);
            asked.retain(|asked| matches!(asked.method, Method::Options | Method::Register));
            for request in asked {
                let text = self.peers[from].reply(&request, "200 OK", 0, String::new(), "");
                self.deliver(from, text.as_bytes());
            }
        }
    }
}
