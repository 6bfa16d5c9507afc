//! Deterministic simulation of the whole core: virtual time, a lossy network, scripted peers, a
//! media engine that is a table, and an observer that holds the wire against the RFCs.
//!
//! A run is a function of its seed. [`World::step`] jumps to the next event, so hours of virtual
//! time cost milliseconds; a failing seed is a complete bug report. Nothing here builds or reads a
//! message with the server's own `sip` and `sdp` crates, but for the one call at the seam.

mod agent;
mod ask;
mod attacker;
mod cause;
mod check;
mod description;
mod digest;
mod keys;
mod media;
mod net;
mod operation;
mod random;
mod script;
mod text;
mod view;
mod watch;
mod world;

pub use agent::{Agent, Profile};
pub use attacker::Attack;
pub use digest::Hash;
pub use net::Link;
pub use operation::Operation;
pub use random::{betrayed, census, codes, random_calls, random_verbs, restored, restored_verbs};
pub use script::{Act, Answering, Codecs, Hold, Placing, Refresher, Reliable, Step};
pub use world::{Trace, World};
