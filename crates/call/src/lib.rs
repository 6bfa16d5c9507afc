//! A call: its participants, who hears whom, what each leg should be doing, and its record.
//! Knows neither SIP nor sockets.
//!
//! ```text
//! leg events ──▶ Call::handle ──▶ leg commands
//!                   │
//!                   └─ state ──▶ hearing::plan(call): who hears whom, derived, never stored
//! ```

mod cause;
pub mod control;
mod dial;
pub mod hearing;
mod leg;
mod machine;
pub mod record;

pub use cause::Cause;
pub use leg::{LegCommand, LegEvent, Participant, Presence};
pub use machine::{Call, Limits, Output, Timer};
pub use record::{CallId, LegId, Side};
