//! Load generators of our own, and what they share.

pub mod rtp;
