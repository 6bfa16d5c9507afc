//! The transaction layer: RFC 3261 §17 with RFC 6026, and what of §8, §9 and §18 belongs to it.
//!
//! Four machines, one file each, know the states and timers and no message. [`Transactions`] owns
//! them all: it matches messages to them, keeps the bytes to repeat, and holds their timers. It
//! knows no dialog, no authentication and no socket.
//!
//! The transaction user gets new requests as [`Event::Request`] and decides: a reply without state
//! ([`Transactions::reply_stateless`]), or a server transaction ([`Transactions::accept`]).

mod branch;
mod client;
mod event;
mod index;
pub mod invite_client;
pub mod invite_server;
mod key;
mod keyed_hash;
pub mod non_invite_client;
pub mod non_invite_server;
mod sent_by;
mod server;
mod steps;
mod table;
#[cfg(test)]
mod tests;
pub mod timing;
mod top_via;
mod transactions;

use base::define_id;

pub use event::{Config, Counters, Event, Full};
pub use sent_by::{Family, SentBy};
pub use timing::{T1, T2, T4};
pub use transactions::Transactions;

define_id!(
    /// One transaction of this process.
    TransactionId,
    "txn"
);
