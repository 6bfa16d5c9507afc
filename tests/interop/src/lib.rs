//! Real clients against the real server, over loopback: SIPp, baresip, Chromium, a WebSocket page's client
//! in Node, and a small client of our own for what those cannot say.
//!
//! Every test starts its own `hookflash` with its own ports and directory, and ends it by SIGTERM:
//! it must leave with 0, with no panic and no secret in its log. Nothing here reads or writes a
//! message with the server's own crates. Whatever is started is ended by its process id.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // a harness fails loudly

pub mod audio;
mod baresip;
pub mod certificates;
mod child;
mod chromium;
pub mod client;
pub mod digest;
mod interaction;
mod linphone;
mod network;
mod ports;
mod record;
mod scene;
mod seat;
pub mod secure;
mod server;
mod setup;
mod sipp;
pub mod speech;
pub mod srtp;
pub mod strays;
pub mod table;
mod talk;
pub mod tone;
mod ulaw;
pub mod web;

pub use baresip::Baresip;
pub use child::{Child, eventually};
pub use chromium::{Chromium, Heard};
pub use interaction::Interaction;
pub use linphone::Linphone;
pub use network::Network;
pub use ports::Ports;
pub use record::Record;
pub use scene::Scene;
pub use seat::Seat;
pub use server::{Ended, Server, hookflash};
pub use setup::{GATEWAY, PASSWORDS, Setup, TRUNK_PASSWORD, password};
pub use sipp::{Sipp, scenarios};
pub use table::Table;
pub use talk::{CUSTOMER, PHONE, Talk};
