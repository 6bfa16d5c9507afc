//! What can be wrong with a message, sorted by what to answer.

use super::{Name, Request, Response, StatusCode};

/// Text that breaks the grammar, with the rule it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub &'static str);

/// A header that is absent or cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// There is no such header.
    #[error("no {0} header")]
    Missing(Name),
    /// Its value breaks the grammar.
    #[error("bad {0} header: {1}")]
    Invalid(Name, SyntaxError),
}

/// Why bytes from the wire are not a message we process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// Nothing but line breaks or NULs: a keep-alive, to be ignored (RFC 5626 §3.5.1).
    #[error("keep-alive")]
    KeepAlive,
    /// The first line is that of no SIP message: another protocol, or noise.
    #[error("not SIP")]
    NotSip,
    /// A request line or status line that breaks the grammar (RFC 3261 §7.1, §7.2).
    #[error("bad start line: {0}")]
    StartLine(SyntaxError),
    /// A version other than `SIP/2.0`.
    #[error("version not supported")]
    Version,
    /// The Request-URI breaks the grammar or carries what it must not (RFC 3261 §19.1.1).
    #[error("bad Request-URI: {0}")]
    Uri(SyntaxError),
    /// Larger than [`super::MAX_MESSAGE`].
    #[error("message too large")]
    TooLarge,
    /// A header line longer than [`super::MAX_LINE`].
    #[error("line too long")]
    LineTooLong,
    /// More than [`super::MAX_HEADERS`] header lines, or [`super::MAX_VALUES`] values of one.
    #[error("too many headers")]
    TooManyHeaders,
    /// No empty line ends the headers.
    #[error("headers not terminated")]
    Truncated,
    /// A header line without a colon, or with a name that is no token.
    #[error("bad header line: {0}")]
    HeaderLine(SyntaxError),
    /// A mandatory header is missing or a header that is looked at cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A header that may stand only once stands twice (RFC 3261 §7.3.1).
    #[error("more than one {0}")]
    Duplicate(Name),
    /// The method of CSeq differs from that of the request line (RFC 3261 §8.1.1.5).
    #[error("CSeq method differs from the request's")]
    CSeqMethod,
    /// Content-Length promises more than the datagram holds (RFC 3261 §18.3).
    #[error("body shorter than Content-Length")]
    BodyShort,
}

/// A refused message.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{kind}")]
pub struct ParseError {
    /// The reason.
    pub kind: ParseErrorKind,
    /// What could be read of a *request* that may be answered: its headers as far as they are
    /// lines, and no body. `None`: drop it in silence.
    pub partial: Option<Box<Request>>,
}

impl ParseError {
    pub(super) const fn silent(kind: ParseErrorKind) -> Self {
        Self { kind, partial: None }
    }

    /// The status that tells the sender (RFC 3261 §8.2, §21.4, §21.5).
    pub const fn status(&self) -> StatusCode {
        match self.kind {
            ParseErrorKind::Version => StatusCode::VERSION_NOT_SUPPORTED,
            ParseErrorKind::TooLarge => StatusCode::REQUEST_ENTITY_TOO_LARGE,
            ParseErrorKind::KeepAlive
            | ParseErrorKind::NotSip
            | ParseErrorKind::StartLine(_)
            | ParseErrorKind::Uri(_)
            | ParseErrorKind::LineTooLong
            | ParseErrorKind::TooManyHeaders
            | ParseErrorKind::Truncated
            | ParseErrorKind::HeaderLine(_)
            | ParseErrorKind::Header(_)
            | ParseErrorKind::Duplicate(_)
            | ParseErrorKind::CSeqMethod
            | ParseErrorKind::BodyShort => StatusCode::BAD_REQUEST,
        }
    }

    /// The answer to send back to where the request came from; `None` for what must not be
    /// answered: responses, ACK, noise.
    pub fn response(&self) -> Option<Response> {
        let request = self.partial.as_deref()?;
        Some(request.response(self.status()))
    }
}
