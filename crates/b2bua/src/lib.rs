//! The back-to-back user agent: one single-writer core that joins SIP legs to calls.
//! Pure: `Core::handle(now, input, out)` runs to completion without clock, socket or thread.

pub mod api;
pub mod config;
mod core;
mod directory;
mod feature;
pub mod io;
pub mod numbers;
mod pairs;
mod party;
pub mod ports;
pub mod rate;
mod setup;
mod sip_leg;
pub mod testing;
mod trunk;
mod wire;

pub use crate::core::Core;
