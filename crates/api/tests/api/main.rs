//! The API over real sockets in front of a fake core: every resource and every code.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a fake core knows some commands")]

mod access;
mod commands;
mod events;
mod fake;
mod limits;
mod lists;
mod snapshots;
