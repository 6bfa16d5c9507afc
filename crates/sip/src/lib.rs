//! Pure SIP (RFC 3261 and its family): messages, framing, transactions, dialogs, digest
//! authentication, registrar. No socket, clock, thread or unseeded chance.

pub mod auth;
pub mod dialog;
pub mod event;
pub mod framing;
pub mod message;
pub mod registrar;
pub mod transaction;
pub mod transport;
