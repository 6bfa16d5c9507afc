//! Fuzz targets: a function of bytes each, which panics when an invariant is broken.
//!
//! libFuzzer calls them from `libfuzzer/`, `make fuzz` calls them from `main.rs`, and a test replays
//! the committed corpus under all of them. No target knows who calls it, and none reads a clock: the
//! same bytes always do the same.
#![expect(clippy::expect_used, clippy::panic, reason = "a broken invariant is to panic")]

mod auth;

pub mod corpus;
mod edit;
mod framing;
mod message;
pub mod mutation;
mod negotiation;
mod reader;
mod rtp;
mod sdp;
#[path = "../../../crates/sip-net/src/stun.rs"]
mod stun;
mod values;
mod whole_core;
mod worker;

pub use auth::auth;
pub use framing::framing;
pub use message::message;
pub use negotiation::negotiation;
pub use rtp::{keep_alive, rtcp, rtp};
pub use sdp::sdp;
pub use values::values;
pub use whole_core::whole_core;
pub use worker::worker;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is also that of its corpus directory and of its libFuzzer binary.
    pub name: &'static str,
    /// Runs it once.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "message", run: message },
    Target { name: "framing", run: framing },
    Target { name: "values", run: values },
    Target { name: "auth", run: auth },
    Target { name: "sdp", run: sdp },
    Target { name: "negotiation", run: negotiation },
    Target { name: "rtp", run: rtp },
    Target { name: "rtcp", run: rtcp },
    Target { name: "keep_alive", run: keep_alive },
    Target { name: "worker", run: worker },
    Target { name: "whole_core", run: whole_core },
];
