//! The shell over loopback, with a core that answers every request: every transport, and what
//! hostile or broken peers do to it.
#![allow(clippy::unwrap_used)]

mod certificates;
mod harness;
mod hostile;
mod streams;
mod tls;
mod udp;
mod websocket;
