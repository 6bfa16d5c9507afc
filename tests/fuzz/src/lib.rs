//! Fuzz targets: a function of bytes each, which panics when an invariant is broken.
//!
//! libFuzzer calls them from `libfuzzer/`, `make fuzz` calls them from `main.rs`, and a test replays
//! the committed corpus under all of them. No target knows who calls it, and none reads a clock: the
//! same bytes always do the same.
#![expect(clippy::expect_used, clippy::panic, reason = "a broken invariant is to panic")]

#[path = "api.rs"]
mod api_target;
mod auth;

pub mod corpus;
mod dialogs;
mod dtmf;
mod edit;
pub mod framing;
mod message;
pub mod mutation;
mod negotiation;
mod path;
mod playout;
mod reader;
mod rtp;
mod sdp;
mod srtp;
#[path = "../../../crates/sip-net/src/stun.rs"]
mod stun;
mod values;
pub mod websocket;
mod whole_core;
mod worker;

pub use api_target::api;
pub use auth::auth;
pub use dialogs::dialogs;
pub use dtmf::dtmf;
pub use framing::framing;
pub use message::message;
pub use negotiation::negotiation;
pub use path::path;
pub use playout::playout;
pub use rtp::{keep_alive, rtcp, rtp};
pub use sdp::sdp;
pub use srtp::srtp;
pub use values::values;
pub use websocket::websocket;
pub use whole_core::whole_core;
pub use worker::worker;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is also that of its corpus directory and of its libFuzzer binary.
    pub name: &'static str,
    /// Runs it once.
    pub run: fn(&[u8]),
    /// Whether its input is steps to do, not something from the wire.
    pub script: bool,
}

impl Target {
    const fn input(name: &'static str, run: fn(&[u8])) -> Self {
        Self { name, run, script: false }
    }

    const fn script(name: &'static str, run: fn(&[u8])) -> Self {
        Self { name, run, script: true }
    }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target::input("message", message),
    Target::input("framing", framing),
    Target::script("websocket", websocket),
    Target::input("values", values),
    Target::input("auth", auth),
    Target::input("sdp", sdp),
    Target::script("negotiation", negotiation),
    Target::input("rtp", rtp),
    Target::input("rtcp", rtcp),
    Target::input("keep_alive", keep_alive),
    Target::script("dtmf", dtmf),
    Target::script("srtp", srtp),
    Target::script("path", path),
    Target::script("playout", playout),
    Target::script("worker", worker),
    Target::script("dialogs", dialogs),
    Target::script("whole_core", whole_core),
    Target::input("api", api),
];
