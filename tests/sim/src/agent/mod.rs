//! A scripted user agent: phone or gateway. Its own transactions, timers and texts, by the RFCs and
//! not by the server's code; what it finds wrong with the server it keeps in `wrong`.

mod call;
mod callee;
mod caller;
mod change;
mod client;
mod dialog;
mod register;
mod server;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use base::{Rng, Time, Timers};

use self::callee::Incoming;
use self::client::Client;
pub(crate) use self::dialog::{Dialog, State};
use self::register::Registration;
use self::server::Server;
use crate::digest::Hash;
use crate::script::{Act, Answering, Codecs, Hold, Placing, pick};
use crate::text::Msg;

/// RFC 3261 §17.1.1.1.
const T1: Duration = Duration::from_millis(500);
/// RFC 3261 §17.1.2.2.
const T2: Duration = Duration::from_secs(4);
/// 64*T1: timers B, F, H.
const GIVE_UP: Duration = Duration::from_secs(32);
/// The server.
pub(crate) const SERVER: &str = "127.0.0.1:5060";

/// Who a peer is.
#[derive(Clone, Debug)]
pub struct Profile {
    /// For messages of failing tests, and in From.
    pub user: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Its password.
    pub password: String,
    /// The digest it prefers.
    pub hash: Hash,
    /// A trunk's gateway: known by its address, registers nowhere.
    pub is_gateway: bool,
    /// Speaks over a connection that it opens itself.
    pub over_tcp: bool,
    /// Writes compact header names.
    pub compact: bool,
    /// The password by which a gateway lets the server in.
    pub demands: Option<(String, String)>,
    /// The address it believes to have, behind a NAT.
    pub inside: Option<String>,
    /// A proxy stands before it and stays in the path: its Record-Route.
    pub proxy: Option<String>,
}

/// Deadlines of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Client(u64),
    Server(u64),
    Unacked(u64),
    Reliable(u64),
    Step(u64, usize),
    Act(u64, usize),
    Reply(u64),
    Session(u64),
    Cancel(u64),
    Ack(u64),
    Register,
}

/// A peer.
pub struct Agent {
    pub(crate) profile: Profile,
    pub(crate) is_dead: bool,
    /// Answers may come to what it does not know, e.g. to what it asked before it died.
    has_restarted: bool,
    /// Waits for the refusal of a call that it cannot speak in.
    pub cancels_nothing: bool,
    /// Says 100 to a re-INVITE and nothing more, until it is cancelled.
    pub hesitates: bool,
    /// Does not even say 100 before its first step.
    pub is_slow: bool,
    pub(crate) outbox: Vec<Vec<u8>>,
    pub(crate) wrong: Vec<String>,
    pub(crate) dialogs: BTreeMap<u64, Dialog>,
    pub(crate) registration: Registration,
    /// How the next calls are taken, in turn.
    plans: VecDeque<Answering>,
    /// How calls are taken when no plan is left: drawn by lot, or with 486.
    pub(crate) takes_any: bool,
    /// Demands a proof for requests inside a dialog too.
    pub challenges_inside: bool,
    /// Nothing is lost on the way to it: a session that runs out is the server's fault.
    pub(crate) expects_refresh: bool,
    rng: Rng,
    timers: Timers<Timer>,
    clients: BTreeMap<u64, Client>,
    servers: BTreeMap<u64, Server>,
    /// Both by branch and method.
    client_ids: BTreeMap<(String, String), u64>,
    server_ids: BTreeMap<(String, String), u64>,
    incoming: BTreeMap<u64, Incoming>,
    ids: u64,
    nonces: BTreeMap<String, u32>,
    challenge: Option<crate::digest::Params>,
}

impl Agent {
    pub(crate) fn new(profile: Profile, seed: u64) -> Self {
        Self {
            profile,
            is_dead: false,
            has_restarted: false,
            cancels_nothing: false,
            hesitates: false,
            is_slow: false,
            outbox: Vec::new(),
            wrong: Vec::new(),
            dialogs: BTreeMap::new(),
            registration: Registration::default(),
            plans: VecDeque::new(),
            takes_any: false,
            challenges_inside: false,
            expects_refresh: false,
            rng: Rng::from_u64(seed),
            timers: Timers::default(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            client_ids: BTreeMap::new(),
            server_ids: BTreeMap::new(),
            incoming: BTreeMap::new(),
            ids: 0,
            nonces: BTreeMap::new(),
            challenge: None,
        }
    }

    /// How the next call is taken.
    pub fn plan(&mut self, answering: Answering) {
        self.plans.push_back(answering);
    }

    /// Places a call now.
    pub fn call(&mut self, now: Time, placing: Placing) {
        if !self.is_dead {
            self.place(now, placing);
        }
    }

    /// Stops answering. What it had is lost.
    pub fn die(&mut self) {
        self.is_dead = true;
        self.timers = Timers::default();
        self.clients.clear();
        self.servers.clear();
        self.client_ids.clear();
        self.server_ids.clear();
        self.incoming.clear();
        for dialog in self.dialogs.values_mut() {
            dialog.is_lost |= dialog.state != State::Ended;
            dialog.state = State::Ended;
        }
    }

    /// Somebody else sends in its name.
    pub fn expect_strays(&mut self) {
        self.has_restarted = true;
    }

    /// Comes back as after a restart: knows nothing any more.
    pub fn revive(&mut self, now: Time) {
        if self.is_dead {
            self.is_dead = false;
            self.has_restarted = true;
            if self.registration.wanted {
                self.register(now);
            }
        }
    }

    /// Ends whatever is still up, on the caller's side; a callee that is in doubt ends it too.
    pub(crate) fn hang_up(&mut self, now: Time) {
        let up = self.dialogs.iter().filter(|(_, dialog)| dialog.state == State::Up);
        let ids: Vec<_> = up.map(|(&id, _)| id).collect();
        for id in ids {
            self.again(now, id, Act::Bye, Duration::ZERO);
        }
    }

    /// Changes all that is up, at once: to these codecs, or hold.
    pub(crate) fn change_all(&mut self, now: Time, codecs: Codecs, rng: &mut Rng) {
        let up = self.dialogs.iter().filter(|(_, dialog)| dialog.is_settled());
        let ids: Vec<_> = up.map(|(&id, _)| id).collect();
        for id in ids {
            let codecs = Act::Codecs(codecs);
            let act = *pick(rng, &[codecs, codecs, codecs, Act::Hold(Hold::SendOnly), Act::Resume]);
            self.again(now, id, act, Duration::ZERO);
        }
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Does one thing that is due.
    pub(crate) fn expire(&mut self, now: Time) {
        let Some(timer) = self.timers.pop_due(now) else { return };
        match timer {
            Timer::Client(id) => self.client_due(now, id),
            Timer::Server(id) => self.server_due(now, id),
            Timer::Unacked(id) => self.unacked_due(now, id),
            Timer::Reliable(id) => self.reliable_due(now, id),
            Timer::Step(id, step) => self.step(now, id, step),
            Timer::Act(id, act) => self.act(now, id, act),
            Timer::Reply(id) => self.reply(now, id),
            Timer::Session(id) => self.session_due(now, id),
            Timer::Cancel(id) => self.cancel_due(now, id),
            Timer::Ack(id) => self.ack_due(now, id),
            Timer::Register => self.register(now),
        }
    }

    /// A message of the server is on its way: its dialog is not settled before it has come.
    pub(crate) fn approached(&mut self, now: Time, bytes: &[u8]) {
        let Some(msg) = Msg::parse(bytes) else { return };
        let of_call = |dialog: &&mut Dialog| dialog.call_id == msg.call_id();
        self.dialogs.values_mut().filter(of_call).for_each(|dialog| dialog.touched = now);
    }

    /// A packet of the server.
    pub(crate) fn receive(&mut self, now: Time, bytes: &[u8]) {
        if self.is_dead {
            return;
        }
        let Some(msg) = Msg::parse(bytes) else {
            return self.wrong.push("unreadable message".to_owned());
        };
        match msg.status() {
            Some(status) => self.receive_response(now, &msg, status),
            None => self.receive_request(now, msg),
        }
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn blame(&mut self, what: &str, msg: &Msg) {
        self.wrong.push(format!("{what}: {} of {}", msg.start, msg.call_id()));
    }

    fn transport(&self) -> &'static str {
        if self.profile.over_tcp { "TCP" } else { "UDP" }
    }

    fn contact(&self) -> String {
        let tcp = if self.profile.over_tcp { ";transport=tcp" } else { "" };
        format!("<sip:{}@{}{tcp}>", self.profile.user, self.whereabouts())
    }

    /// Where it believes to be.
    fn whereabouts(&self) -> String {
        let outside = || self.profile.address.to_string();
        self.profile.inside.clone().unwrap_or_else(outside)
    }

    fn send(&mut self, msg: &Msg) {
        let mut msg = msg.clone();
        if self.profile.compact {
            for (name, _) in &mut msg.headers {
                let short = match name.as_str() {
                    "Via" => "v",
                    "From" => "f",
                    "To" => "t",
                    "Call-ID" => "i",
                    "Contact" => "m",
                    "Content-Type" => "c",
                    "Supported" => "k",
                    "Session-Expires" => "x",
                    _ => continue,
                };
                *name = short.to_owned();
            }
        }
        self.outbox.push(msg.to_bytes());
    }

    fn below(&mut self, ms: u64) -> Duration {
        Duration::from_millis(self.rng.below(ms + 1))
    }
}
