//! A call: its participants, who hears whom, what each may do, what each leg should be doing, and
//! its record. Knows neither SIP nor sockets.
//!
//! ```text
//! leg events ──▶ Call::handle ───┐
//! commands ────▶ Call::command ──┼─▶ leg commands, somebody to be called, what happened
//! deadlines ───▶ Call::fired ────┘
//!                   │
//!                   └─ state ──▶ hearing::plan(call): who hears whom ┐ derived,
//!                            └─▶ call.controls(who): who may do what ┘ never stored
//! ```

mod attempt;
mod cause;
mod command;
mod conference;
mod consult;
pub mod control;
mod controls;
mod dial;
mod happening;
pub mod hearing;
mod hold;
mod leg;
mod machine;
mod merge;
mod participant;
pub mod record;
mod recording;
mod segment;
mod supervise;
mod topology;
mod transfer;

pub use attempt::{Attempt, AttemptId, Purpose};
pub use cause::Cause;
pub use command::{Callee, Command, Progress};
pub use conference::CONFERENCE_MAX;
pub use consult::{Consult, Facing};
pub use happening::{Happening, What};
pub use leg::{Leg, LegCommand, LegEvent, Presence};
pub use machine::{Call, Limits, Outcome, Output, Policy, Setup, Timer, Times};
pub use participant::{Participant, ParticipantId, PartyKey, Role, Watch};
pub use record::{CallId, LegId, Side};
pub use recording::{RETRY, Recording};
pub use segment::{SEGMENTS_MAX, Segment, SegmentKind};
pub use transfer::Transfer;
