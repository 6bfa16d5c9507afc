//! Load generators of our own, and what they share.

pub mod attacks;
pub mod bare;
pub mod conference;
pub mod control;
pub mod denoise;
pub mod loss;
pub mod machine;
pub mod mutations;
pub mod rival;
pub mod rtp;
pub mod server;
pub mod sip;
pub mod talks;
pub mod web;
