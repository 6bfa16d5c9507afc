//! Session descriptions: parse and print (RFC 8866), offer/answer (RFC 3264, RFC 6337).
//!
//! Knows what a leg's media are to be: addresses, codecs, payload-type numbers, directions. Knows
//! neither SIP (who carries an offer, in which message) nor RTP packets. [`Negotiation`] holds the
//! offer/answer state of one dialog; forked early dialogs clone it.
//!
//! Parsed but not yet acted on, kept in [`Attribute`]s for the secure media engine: `crypto`,
//! `fingerprint`, `setup`, `ice-*`, `candidate`. Streams under SRTP are answered with 488 till then.

mod address;
mod codec;
mod describe;
mod direction;
mod error;
mod negotiation;
mod parse;
mod payload_types;
mod policy;
mod print;
mod remote;
mod session;

#[cfg(test)]
mod samples;

pub use address::is_sendable;
pub use codec::{Codec, MAX_CODECS, MAX_FMTP};
pub use describe::LocalAudio;
pub use direction::Direction;
pub use error::{AnswerError, DescribeError, OfferError, SdpError, StreamError};
pub use negotiation::{Agreed, Negotiation, State};
pub use parse::{
    MAX_ATTRIBUTES, MAX_BANDWIDTHS, MAX_BODY, MAX_FORMATS, MAX_LINE, MAX_MEDIA, parse,
};
pub use policy::{Order, is_known_codec, pass_through, standard_codecs};
pub use remote::{MAX_PTIME_MS, RemoteAudio};
pub use session::{Attribute, Bandwidth, Host, Media, MediaKind, Origin, Protocol, Session};
