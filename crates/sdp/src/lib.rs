//! Session descriptions: parse and print (RFC 8866), offer/answer (RFC 3264, RFC 6337).
//!
//! Knows what a leg's media are to be: addresses, codecs, payload-type numbers, directions. Knows
//! neither SIP (who carries an offer, in which message) nor RTP packets. [`Negotiation`] holds the
//! offer/answer state of one dialog; forked early dialogs clone it.
//!
//! Protected media are agreed on here ([`Security`]: keys in the description, or the fingerprint of
//! a DTLS certificate, with ICE as a lite agent); the keys are used elsewhere.

mod address;
mod codec;
mod describe;
mod direction;
mod dtls;
mod error;
mod ice;
mod negotiation;
mod parse;
mod payload_types;
mod policy;
mod print;
mod remote;
mod sdes;
mod security;
mod session;

#[cfg(test)]
mod samples;

pub use address::is_sendable;
pub use codec::{Codec, MAX_CODECS, MAX_FMTP};
pub use describe::LocalAudio;
pub use direction::Direction;
pub use dtls::{DtlsPeer, DtlsRole, Fingerprint, Hash, MAX_FINGERPRINTS, Setup};
pub use error::{AnswerError, DescribeError, OfferError, SdpError, StreamError};
pub use ice::{IceAgreed, IceCredentials, MAX_CANDIDATES, RemoteIce};
pub use negotiation::{Agreed, Negotiation, State};
pub use parse::{
    MAX_ATTRIBUTES, MAX_BANDWIDTHS, MAX_BODY, MAX_FORMATS, MAX_LINE, MAX_MEDIA, parse,
};
pub use policy::{Order, is_known_codec, pass_through, standard_codecs};
pub use remote::{MAX_PTIME_MS, RemoteAudio};
pub use sdes::{Crypto, MAX_CRYPTO, Suite};
pub use security::{Asked, Policy, Protection, RemoteSecurity, Security};
pub use session::{Attribute, Bandwidth, Host, Media, MediaKind, Origin, Protocol, Session};
