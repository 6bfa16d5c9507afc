//! The back-to-back user agent: one single-writer core that joins SIP legs to calls.
//! Pure: `Core::handle(now, input, out)` runs to completion without clock, socket or thread.

pub mod config;
pub mod io;
pub mod numbers;
pub mod ports;
pub mod rate;
