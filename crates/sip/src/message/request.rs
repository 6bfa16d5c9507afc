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
    /// Adds a To tag unless there is one (RFC 3261 §8.2.6.2). A `tag` without a value is none, and
    /// gets one.
    pub fn set_to_tag(&mut self, tag: &str) {
        let Some(to) = self.headers.get(Name::To) else { return };
        let named = match RawNameAddr::scan(to) {
            Ok(raw) => raw.has_param("tag"),
            // The To of a request refused for its To.
            Err(_) => to.contains(";tag="),
        };
        if !named {
            let to = format!("{to};tag={tag}");
            self.headers.set(Name::To, to);
        } else if let Ok(mut to) = self.headers.to()
            && to.tag().is_none_or(str::is_empty)
        {
            to.set_tag(tag);
            self.headers.set(Name::To, to.to_string());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::parse_datagram;

    const INVITE: &str = "INVITE sip:bob@example.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b\r\nv: SIP/2.0/UDP c\r\n\
        Record-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>\r\nTimestamp: 54\r\n\
        From: <sip:alice@example.com>;tag=1\r\nTo: sip:bob@example.com\r\nCall-ID: x@y\r\n\
        CSeq: 7 INVITE\r\nSubject: not copied\r\n\r\n";

    fn request(text: &str) -> Request {
        match parse_datagram(Bytes::from(text.to_owned())) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn names(response: &Response) -> Vec<&str> {
        response.headers.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_response_copies_what_the_rfc_says() {
        let invite = request(INVITE);
        let common = ["From", "To", "Call-ID", "CSeq"];
        let with = |first: &[&'static str], last: &[&'static str]| [first, &common, last].concat();
        let routes = ["Via", "Via", "Record-Route", "Record-Route"];
        assert_eq!(names(&invite.response(StatusCode::OK)), with(&routes, &[]));
        assert_eq!(names(&invite.response(StatusCode::RINGING)), with(&routes, &[]));
        assert_eq!(names(&invite.response(StatusCode::TRYING)), with(&routes[..2], &["Timestamp"]));
        assert_eq!(names(&invite.response(StatusCode::BUSY_HERE)), with(&routes[..2], &[]));
        assert_eq!(invite.response(StatusCode::BUSY_HERE).reason, "Busy Here");
    }

    #[test]
    fn a_to_tag_is_added_once() {
        let response = request(INVITE).response(StatusCode::OK).with_to_tag("abc");
        assert_eq!(response.to().unwrap().tag(), Some("abc"));
        let again = response.clone().with_to_tag("other");
        assert_eq!(again, response);
    }

    #[test]
    fn a_to_tag_without_a_value_gets_one() {
        for empty in [";tag;x=1", ";x=1;Tag=\"\""] {
            let mut invite = request(INVITE);
            let to = invite.headers.get(Name::To).unwrap().to_owned();
            invite.headers.set(Name::To, format!("{to}{empty}"));
            let response = invite.response(StatusCode::OK).with_to_tag("abc");
            assert_eq!(response.to().unwrap().tag(), Some("abc"), "{empty}");
            assert_eq!(response.to().unwrap().params.value("x"), Some("1"));
        }
    }

    #[test]
    fn the_wire_form_of_a_response_is_exact() {
        let response = request(INVITE)
            .response(StatusCode::SESSION_PROGRESS)
            .with_to_tag("t")
            .with_reason("Bad\r\nX: y")
            .with_header(Name::RSeq, "1")
            .with_body("application/sdp", "v=0\r\n");
        assert_eq!(
            response.to_bytes(),
            "SIP/2.0 183 Bad  X: y\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b\r\n\
             Via: SIP/2.0/UDP c\r\nRecord-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>\r\n\
             From: <sip:alice@example.com>;tag=1\r\nTo: sip:bob@example.com;tag=t\r\nCall-ID: x@y\r\n\
             CSeq: 7 INVITE\r\nRSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
        );
    }

    #[test]
    fn debug_shows_neither_keys_nor_credentials() {
        let mut invite = request(INVITE).with_body(
            "application/sdp",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRETKEY\r\n",
        );
        invite.headers.push(Name::ProxyAuthorization, "Digest response=\"SECRETKEY\"");
        for shown in [
            format!("{invite:?}"),
            format!("{:?}", Message::from(invite.clone())),
            format!("{:?}", invite.response(StatusCode::OK).with_body("a/b", "SECRETKEY")),
        ] {
            assert!(!shown.contains("SECRETKEY"), "{shown}");
        }
    }

    #[test]
    fn a_snapshot_restores_messages_exactly() {
        let mut invite = request(INVITE).with_body("x/y", vec![0, 255, 13, 10]);
        invite.headers.push_named("X-Odd", "ü \u{fffd}");
        let response = invite.response(StatusCode(299)).with_reason("Fine");
        for message in [Message::from(invite), Message::from(response)] {
            let saved = serde_json::to_string(&message).unwrap();
            assert_eq!(serde_json::from_str::<Message>(&saved).unwrap(), message);
        }
    }
}
