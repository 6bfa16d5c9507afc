//! Requests and responses.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::HeaderError;
use super::headers::Headers;
use super::method::Method;
use super::name::Name;
use super::name_addr::{ContactList, NameAddr, RawNameAddr};
use super::status::StatusCode;
use super::uri::Uri;
use super::values::{CSeq, MediaType, RAck, Replaces, SessionExpires};
use super::via::Via;

/// A request (RFC 3261 §7.1).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The headers, without Content-Length.
    pub headers: Headers,
    /// The body, byte for byte.
    pub body: Bytes,
}

/// A response (RFC 3261 §7.2).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The reason phrase; may be empty.
    pub reason: Cow<'static, str>,
    /// The headers, without Content-Length.
    pub headers: Headers,
    /// The body, byte for byte.
    pub body: Bytes,
}

/// Either.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Request {
    /// Without headers and body.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self { method, uri, headers: Headers::new(), body: Bytes::new() }
    }

    /// The response to this request, with what RFC 3261 §8.2.6 has copied: all Via, From, To,
    /// Call-ID, CSeq; Record-Route where a dialog may form (§12.1.1); Timestamp in a 100. No To
    /// tag is added.
    pub fn response(&self, status: StatusCode) -> Response {
        let mut headers = Headers::with_capacity(10);
        headers.copy_from(&self.headers, Name::Via);
        if matches!(status.0, 101..=299) && self.method.forms_dialog() {
            headers.copy_from(&self.headers, Name::RecordRoute);
        }
        // The first of each only: what is answered may be a request refused for having two.
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            if let Some(value) = self.headers.get(name) {
                headers.push(name, value);
            }
        }
        if status == StatusCode::TRYING {
            headers.copy_from(&self.headers, Name::Timestamp);
        }
        let reason = status.default_reason().into();
        Response { status, reason, headers, body: Bytes::new() }
    }

    /// With a body and its Content-Type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.set_body(content_type, body);
        self
    }

    /// Sets the body and its Content-Type.
    pub fn set_body(&mut self, content_type: &str, body: impl Into<Bytes>) {
        self.headers.set(Name::ContentType, content_type);
        self.body = body.into();
    }
}

impl Response {
    /// Adds a To tag unless there is one (RFC 3261 §8.2.6.2).
    pub fn set_to_tag(&mut self, tag: &str) {
        let Some(to) = self.headers.get(Name::To) else { return };
        let tagged = match RawNameAddr::scan(to) {
            Ok(raw) => raw.has_param("tag"),
            // The To of a request refused for its To.
            Err(_) => to.contains(";tag="),
        };
        if !tagged {
            let to = format!("{to};tag={tag}");
            self.headers.set(Name::To, to);
        }
    }

    /// With a To tag unless there is one.
    #[must_use]
    pub fn with_to_tag(mut self, tag: &str) -> Self {
        self.set_to_tag(tag);
        self
    }

    /// With another reason phrase.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = reason.into();
        self
    }

    /// With a header appended.
    #[must_use]
    pub fn with_header(mut self, name: Name, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// With a body and its Content-Type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.set_body(content_type, body);
        self
    }

    /// Sets the body and its Content-Type.
    pub fn set_body(&mut self, content_type: &str, body: impl Into<Bytes>) {
        self.headers.set(Name::ContentType, content_type);
        self.body = body.into();
    }
}

impl Message {
    /// The headers of either.
    pub const fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// The body of either.
    pub const fn body(&self) -> &Bytes {
        match self {
            Self::Request(request) => &request.body,
            Self::Response(response) => &response.body,
        }
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

macro_rules! forward {
    ($($(#[$doc:meta])* $name:ident -> $result:ty,)*) => {
        impl Request {
            $($(#[$doc])* pub fn $name(&self) -> $result { self.headers.$name() })*
        }

        impl Response {
            $($(#[$doc])* pub fn $name(&self) -> $result { self.headers.$name() })*
        }
    };
}

forward! {
    /// See [`Headers::via`].
    via -> Result<Via, HeaderError>,
    /// See [`Headers::from`].
    from -> Result<NameAddr, HeaderError>,
    /// See [`Headers::to`].
    to -> Result<NameAddr, HeaderError>,
    /// See [`Headers::call_id`].
    call_id -> Result<&str, HeaderError>,
    /// See [`Headers::cseq`].
    cseq -> Result<CSeq, HeaderError>,
    /// See [`Headers::contacts`].
    contacts -> Result<ContactList, HeaderError>,
    /// See [`Headers::contact`].
    contact -> Result<NameAddr, HeaderError>,
    /// See [`Headers::max_forwards`].
    max_forwards -> Option<u8>,
    /// See [`Headers::expires`].
    expires -> Option<u32>,
    /// See [`Headers::routes`].
    routes -> Result<Vec<NameAddr>, HeaderError>,
    /// See [`Headers::record_routes`].
    record_routes -> Result<Vec<NameAddr>, HeaderError>,
    /// See [`Headers::content_type`].
    content_type -> Option<MediaType>,
    /// See [`Headers::session_expires`].
    session_expires -> Option<SessionExpires>,
    /// See [`Headers::min_se`].
    min_se -> Option<u32>,
    /// See [`Headers::rseq`].
    rseq -> Option<u32>,
    /// See [`Headers::rack`].
    rack -> Result<RAck, HeaderError>,
    /// See [`Headers::replaces`].
    replaces -> Result<Replaces, HeaderError>,
    /// See [`Headers::retry_after`].
    retry_after -> Option<u32>,
}

/// Bodies hold keys (`a=crypto`, `a=ice-pwd`): only their size is shown.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} {:?} body {} bytes",
            self.method,
            self.uri,
            self.headers,
            self.body.len()
        )
    }
}

/// Bodies hold keys (`a=crypto`, `a=ice-pwd`): only their size is shown.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, reason, headers, body } = self;
        write!(f, "{status} {reason:?} {headers:?} body {} bytes", body.len())
    }
}
