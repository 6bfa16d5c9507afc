//! [`Transactions`]: the owner of all machines, what they have in common, and time.

use std::collections::BTreeSet;

use base::{Rng, Time};
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::event::{Config, Counters, Event};
use super::index::Index;
use super::keyed_hash::HashKey;
use super::sent_by::SentBy;
use super::server::Server;
use super::table::Table;
use super::timing::{Timer, Timing};
use super::{TransactionId, invite_client, invite_server, non_invite_client, non_invite_server};
use crate::message::{Message, Request};
use crate::transport::{FlowId, Source};

/// The transaction layer. See the [module](super).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Saved")]
pub struct Transactions {
    pub(super) config: Config,
    pub(super) sent_by: SentBy,
    pub(super) key: HashKey,
    pub(super) table: Table<Entry>,
    pub(super) counters: Counters,
    /// Client transactions of the user, which the limit counts: not CANCELs.
    pub(super) clients: usize,
    pub(super) servers: usize,
    /// Server transactions by the hash of their key.
    #[serde(skip)]
    pub(super) by_key: Index,
    /// Server transactions of requests without To tag by the hash of the call part of their key.
    #[serde(skip)]
    pub(super) by_call: Index,
    /// Transactions bound to a connection.
    #[serde(skip)]
    pub(super) by_flow: BTreeSet<(FlowId, TransactionId)>,
}

/// One transaction and what is kept for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Entry {
    Client(Client),
    Server(Server),
}

impl Transactions {
    /// An empty layer. `rng` gives it the secret behind its tags and branches.
    pub fn new(config: Config, sent_by: SentBy, rng: &mut Rng) -> Self {
        Self {
            config,
            sent_by,
            key: HashKey::new(rng),
            table: Table::default(),
            counters: Counters::default(),
            clients: 0,
            servers: 0,
            by_key: Index::default(),
            by_call: Index::default(),
            by_flow: BTreeSet::new(),
        }
    }

    /// Takes a message from the wire.
    pub fn receive(&mut self, now: Time, message: Message, source: Source, out: &mut Vec<Event>) {
        match message {
            Message::Request(request) => self.receive_request(now, request, source, out),
            Message::Response(response) => self.receive_response(now, response, source, out),
        }
    }

    /// What was sent for the transaction did not leave.
    pub fn send_failed(&mut self, now: Time, transaction: TransactionId, out: &mut Vec<Event>) {
        match self.table.get(transaction) {
            Some(Entry::Client(_)) => self.client_send_failed(now, transaction, out),
            Some(Entry::Server(_)) => self.server_send_failed(now, transaction, out),
            None => {}
        }
    }

    /// A connection is gone: what was asked over it fails, what was asked of us over it is
    /// answered at the address in the Via.
    pub fn flow_closed(&mut self, now: Time, flow: FlowId, out: &mut Vec<Event>) {
        let bound = (flow, TransactionId(0))..=(flow, TransactionId(u64::MAX));
        let ids: Vec<_> = self.by_flow.range(bound).map(|&(_, id)| id).collect();
        for id in ids {
            match self.table.get(id) {
                Some(Entry::Client(_)) => self.client_send_failed(now, id, out),
                Some(Entry::Server(_)) => {
                    self.leave_flow(id);
                }
                None => {}
            }
        }
    }

    /// When [`Transactions::expire`] is to be called.
    pub fn next_timeout(&self) -> Option<Time> {
        self.table.next_deadline()
    }

    /// Fires every timer that is due.
    pub fn expire(&mut self, now: Time, out: &mut Vec<Event>) {
        // Bounded: nothing is armed for less than a millisecond after `now`.
        while let Some((id, timer)) = self.table.pop_due(now) {
            self.fire(now, id, timer, out);
        }
    }

    /// How many transactions there are, CANCELs included.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no transaction, and so no timer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was dropped or absorbed.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The INVITE of a client transaction without Via and body, until its final response.
    pub fn request_of(&self, transaction: TransactionId) -> Option<&Request> {
        match self.table.get(transaction)? {
            Entry::Client(client) => client.invite_request(),
            Entry::Server(_) => None,
        }
    }

    pub(super) fn timing(&self) -> Timing {
        self.config.timing()
    }

    fn fire(&mut self, now: Time, id: TransactionId, timer: Timer, out: &mut Vec<Event>) {
        match self.table.get(id) {
            Some(Entry::Client(client)) if client.is_invite() => {
                self.step_invite_client(now, id, invite_client::Input::Fired(timer), None, out);
            }
            Some(Entry::Client(_)) => {
                let input = non_invite_client::Input::Fired(timer);
                self.step_non_invite_client(now, id, input, None, out);
            }
            Some(Entry::Server(server)) if server.is_invite() => {
                self.step_invite_server(now, id, invite_server::Input::Fired(timer), None, out);
            }
            Some(Entry::Server(_)) => {
                let input = non_invite_server::Input::Fired(timer);
                self.step_non_invite_server(now, id, input, None, out);
            }
            None => debug_assert!(false, "timer {timer:?} of {id}, which is gone"),
        }
    }
}

/// [`Transactions`] as it is saved: what can be derived is left out.
#[derive(Deserialize)]
struct Saved {
    config: Config,
    sent_by: SentBy,
    key: HashKey,
    table: Table<Entry>,
    counters: Counters,
    clients: usize,
    servers: usize,
}

impl From<Saved> for Transactions {
    fn from(saved: Saved) -> Self {
        let Saved { config, sent_by, key, table, counters, clients, servers } = saved;
        let (mut by_key, mut by_call) = (Index::default(), Index::default());
        let mut by_flow = BTreeSet::new();
        for (id, entry) in table.iter() {
            match entry {
                Entry::Client(client) => by_flow.extend(client.flow().map(|flow| (flow, id))),
                Entry::Server(server) => {
                    by_key.insert(server.key_hash(&key), id);
                    if let Some(hash) = server.call_hash(&key) {
                        by_call.insert(hash, id);
                    }
                    by_flow.extend(server.flow().map(|flow| (flow, id)));
                }
            }
        }
        Self { config, sent_by, key, table, counters, clients, servers, by_key, by_call, by_flow }
    }
}
