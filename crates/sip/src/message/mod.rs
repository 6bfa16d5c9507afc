//! SIP messages: from bytes to values and back (RFC 3261 §7, §19, §20, §25).
//!
//! rsip serves as the container of headers and the vocabulary of methods, in this module and
//! nowhere else; what the wire sends is tokenised, checked and printed by our own code. This module
//! knows no transaction, dialog or transport.

mod error;
mod headers;
mod host;
mod method;
mod name;
mod name_addr;
mod params;
mod parse;
mod print;
mod request;
mod scan;
mod serde_text;
mod status;
mod typed;
mod uri;
mod uri_compare;
mod values;
mod via;

pub use error::{HeaderError, ParseError, ParseErrorKind, SyntaxError};
pub use headers::Headers;
pub use host::Host;
pub use method::Method;
pub use name::Name;
pub use name_addr::{ContactList, NameAddr};
pub use params::Params;
pub(crate) use parse::refused;
pub use parse::{parse_datagram, parse_headers};
pub use request::{Message, Request, Response};
pub use scan::List;
pub use status::StatusCode;
pub use uri::{Scheme, Uri, UriHeaders};
pub use values::{CSeq, MAX_SEQ, MediaType, RAck, Reason, Refresher, Replaces, SessionExpires};
pub use via::{MAGIC_COOKIE, Via};

/// The largest message in bytes, start line to body.
pub const MAX_MESSAGE: usize = 65_535;

/// The longest start line or header line in bytes, folds included.
pub const MAX_LINE: usize = 8 * 1024;

/// The most header lines of a message.
pub const MAX_HEADERS: usize = 256;

/// The most values of Via, Route, Record-Route and Contact together.
pub const MAX_VALUES: usize = 192;
