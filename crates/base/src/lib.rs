//! Vocabulary shared by every core: typed ids, virtual time, timers, seeded chance, secrets.
//!
//! Nothing here reads a clock, opens a socket or draws an unseeded random number.

extern crate self as base;

mod id;
mod redacted;
mod rng;
mod time;
mod timers;

pub use redacted::{Masked, Redacted};
pub use rng::Rng;
#[doc(hidden)]
pub use serde;
pub use time::{Time, WallTime};
pub use timers::Timers;
