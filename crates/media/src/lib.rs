//! The media engine without its sockets: RTP sessions, who hears whom, music on hold.
//!
//! Knows RTP and codecs; knows neither SDP nor SIP nor calls, and has no clock, thread or socket.

pub mod codec;
pub mod command;
pub mod denoise;
mod dialer;
mod dot;
pub mod dtls;
pub mod dtmf;
mod ear;
pub mod ice;
pub mod jitter_buffer;
pub mod latch;
pub mod mixer;
mod mouth;
pub mod path;
pub mod player;
pub mod playout;
pub mod plc;
pub mod quality;
pub mod reception;
pub mod record;
pub mod resample;
pub mod resampler;
pub mod rtcp;
pub mod rtcp_latch;
pub mod rtp;
pub mod sender;
pub mod sound;
#[cfg(test)]
mod speech;
pub mod srtp;
pub mod stream;
mod tail;
pub mod tone;
pub mod worker;
pub mod xr;
