//! What we can do, and say we can: one truth for Allow, Supported and Accept (INTEROP 15), and the
//! answers to who demands more.

use crate::message::{Headers, Name, Request, Response, StatusCode};

/// Methods we take.
pub const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, REGISTER";
/// Option tags we understand.
pub const SUPPORTED: &[&str] = &["100rel", "timer", "path", "outbound"];
/// Bodies we understand.
pub const ACCEPT: &str = "application/sdp";

/// Writes Allow, Supported and Accept.
pub fn add_capabilities(headers: &mut Headers) {
    headers.set(Name::Allow, ALLOW);
    headers.set(Name::Supported, "100rel, timer, path, outbound");
    headers.set(Name::Accept, ACCEPT);
}

/// Checks what a request demands of us, RFC 3261 §8.2.2.3.
///
/// # Errors
/// The option tags for Unsupported, to be answered with 420.
pub fn check_require(request: &Request) -> Result<(), Vec<String>> {
    let known = |tag: &str| SUPPORTED.iter().any(|known| known.eq_ignore_ascii_case(tag));
    let unknown: Vec<_> = request
        .headers
        .list(Name::Require)
        .chain(request.headers.list(Name::ProxyRequire))
        .filter(|tag| !tag.is_empty() && !known(tag))
        .map(str::to_owned)
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(unknown) }
}

/// Checks that we understand the body of a request, RFC 3261 §8.2.3.
///
/// # Errors
/// The 415 to answer.
pub fn check_body(request: &Request) -> Result<(), Box<Response>> {
    let headers = &request.headers;
    let encoded =
        headers.get(Name::ContentEncoding).is_some_and(|e| !e.eq_ignore_ascii_case("identity"));
    if request.body.is_empty() && !encoded {
        return Ok(());
    }
    let optional = headers.get(Name::ContentDisposition).is_some_and(|disposition| {
        disposition.split(';').any(|part| part.trim().eq_ignore_ascii_case("handling=optional"))
    });
    let known = headers.content_type().is_some_and(|kind| kind.is("application", "sdp"));
    if (known && !encoded) || optional {
        return Ok(());
    }
    let mut response = request.response(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    response.headers.set(Name::Accept, ACCEPT);
    if encoded {
        response.headers.set(Name::AcceptEncoding, "identity");
    }
    Err(Box::new(response))
}
