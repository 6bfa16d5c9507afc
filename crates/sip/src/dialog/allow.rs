//! What we can do, and say we can: one truth for Allow, Supported and Accept (INTEROP 15), and the
//! answers to who demands more.

use bytes::Bytes;

use crate::message::{Headers, Method, Name, Request, Response, StatusCode};

/// Methods we take.
pub const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, REGISTER";
/// Option tags we understand.
pub const SUPPORTED: &[&str] = &["100rel", "timer", "path", "outbound"];
/// Bodies we understand.
pub const ACCEPT: &str = "application/sdp";
/// Option tags named in one 420; a request may demand thousands.
pub const UNSUPPORTED_MAX: usize = 8;

/// Writes Allow, Supported and Accept.
pub fn add_capabilities(headers: &mut Headers) {
    headers.set(Name::Allow, ALLOW);
    headers.set(Name::Supported, SUPPORTED.join(", "));
    headers.set(Name::Accept, ACCEPT);
}

/// Whether requests of that method are taken, somewhere; else 405 (RFC 3261 §8.2.1).
pub fn allows(method: &Method) -> bool {
    ALLOW.split(", ").any(|allowed| allowed == method.as_str())
}

/// Checks what a request demands of us, RFC 3261 §8.2.2.3. We stand where proxies stand as well,
/// so Proxy-Require counts like Require.
///
/// # Errors
/// The option tags for Unsupported, to be answered with 420; at most [`UNSUPPORTED_MAX`].
pub fn check_require(request: &Request) -> Result<(), Vec<String>> {
    // RFC 3261 §8.2.2.3: to be ignored in what cannot be refused.
    if matches!(request.method, Method::Ack | Method::Cancel) {
        return Ok(());
    }
    let known = |tag: &str| SUPPORTED.iter().any(|known| known.eq_ignore_ascii_case(tag));
    let unknown: Vec<_> = request
        .headers
        .list(Name::Require)
        .chain(request.headers.list(Name::ProxyRequire))
        .filter(|tag| !tag.is_empty() && !known(tag))
        .take(UNSUPPORTED_MAX)
        .map(str::to_owned)
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(unknown) }
}

/// What a message's body is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// There is none.
    Absent,
    /// A session description.
    Description,
    /// Something we don't understand and need not.
    Optional,
    /// Something we must understand, and don't.
    Foreign,
    /// The same, for the way it is packed.
    Encoded,
}

/// Checks that we understand the body of a request, RFC 3261 §8.2.3.
///
/// # Errors
/// The 415 to answer.
pub fn check_body(request: &Request) -> Result<(), Box<Response>> {
    let encoded = match body_of(&request.headers, &request.body) {
        Body::Absent | Body::Description | Body::Optional => return Ok(()),
        Body::Foreign => false,
        Body::Encoded => true,
    };
    let mut response = request.response(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    response.headers.set(Name::Accept, ACCEPT);
    if encoded {
        response.headers.set(Name::AcceptEncoding, "identity");
    }
    Err(Box::new(response))
}

/// The session description in a message's body, if it has one that is meant for its session.
pub fn description<'a>(headers: &Headers, body: &'a Bytes) -> Option<&'a Bytes> {
    (body_of(headers, body) == Body::Description).then_some(body)
}

fn body_of(headers: &Headers, body: &Bytes) -> Body {
    if body.is_empty() {
        return Body::Absent;
    }
    let disposition = headers.get(Name::ContentDisposition).unwrap_or_default();
    let mut parts = disposition.split(';').map(str::trim);
    let purpose = parts.next().unwrap_or_default();
    // RFC 3261 §20.11: what must be understood is not said to be optional.
    let optional = parts.any(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        name.trim_end().eq_ignore_ascii_case("handling")
            && value.trim().trim_matches('"').eq_ignore_ascii_case("optional")
    });
    let encoded = headers.list(Name::ContentEncoding).any(|e| !e.eq_ignore_ascii_case("identity"));
    let described = headers.content_type().is_some_and(|kind| kind.is("application", "sdp"))
        // RFC 3959: a description with another purpose describes another session.
        && ["", "session", "render"].iter().any(|known| known.eq_ignore_ascii_case(purpose));
    match (described, encoded, optional) {
        (true, false, _) => Body::Description,
        (_, _, true) => Body::Optional,
        (_, true, false) => Body::Encoded,
        (false, false, false) => Body::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::invite;
    use super::*;

    #[test]
    fn what_we_say_is_what_we_check() {
        let mut headers = Headers::new();
        add_capabilities(&mut headers);
        for &tag in SUPPORTED {
            assert!(headers.has_token(Name::Supported, tag));
            assert_eq!(check_require(&invite(&format!("Require: {tag}"))), Ok(()));
        }
        for method in headers.list(Name::Allow) {
            assert!(allows(&method.parse().unwrap()), "{method}");
        }
        assert!(!allows(&"SUBSCRIBE".parse().unwrap()));
        assert!(!allows(&"invite".parse().unwrap()), "methods have a case");
        let before = headers.clone();
        add_capabilities(&mut headers);
        assert_eq!(headers, before, "said once");
    }

    #[test]
    fn what_nobody_knows_is_named_in_the_420() {
        let rows: [(&str, &[&str]); 7] = [
            ("Supported: nothingSupportsThis", &[]),
            ("Require: 100REL", &[]),
            ("Require:", &[]),
            ("Require: timer, foo", &["foo"]),
            ("Require: foo\r\nRequire: bar, 100rel", &["foo", "bar"]),
            ("Proxy-Require: sec-agree", &["sec-agree"]),
            ("Require: a,b,c,d,e,f,g,h,i,j", &["a", "b", "c", "d", "e", "f", "g", "h"]),
        ];
        for (header, unsupported) in rows {
            let unknown = check_require(&invite(header)).err().unwrap_or_default();
            assert_eq!(unknown, unsupported, "{header}");
        }
        for method in [Method::Ack, Method::Cancel] {
            let mut request = invite("Require: foo");
            request.method = method;
            assert_eq!(check_require(&request), Ok(()));
        }
    }

    #[test]
    fn bodies_are_read_ignored_or_refused() {
        const SDP: &str = "Content-Type: application/sdp";
        let rows = [
            (SDP.to_owned(), Body::Description),
            ("Content-Type: Application/SDP;charset=utf-8".into(), Body::Description),
            (format!("{SDP}\r\nContent-Disposition: session;handling=required"), Body::Description),
            (format!("{SDP}\r\nContent-Disposition: Session"), Body::Description),
            (format!("{SDP}\r\nContent-Encoding: identity"), Body::Description),
            (format!("{SDP}\r\nContent-Encoding: gzip"), Body::Encoded),
            (format!("{SDP}\r\nContent-Encoding: identity, gzip"), Body::Encoded),
            (
                format!(
                    "{SDP}\r\nContent-Encoding: gzip\r\nContent-Disposition: session;handling=optional"
                ),
                Body::Optional,
            ),
            (format!("{SDP}\r\nContent-Disposition: early-session"), Body::Foreign),
            (
                format!("{SDP}\r\nContent-Disposition: early-session; Handling = \"optional\""),
                Body::Optional,
            ),
            ("Content-Type: application/isup".into(), Body::Foreign),
            ("Content-Type: nonsense".into(), Body::Foreign),
            (String::new(), Body::Foreign),
            (
                "Content-Type: application/isup\r\nContent-Disposition: signal;handling=optional"
                    .into(),
                Body::Optional,
            ),
        ];
        for (headers, expected) in rows {
            let mut request = invite(&headers);
            assert_eq!(check_body(&request), Ok(()), "no body, no question: {headers}");
            assert_eq!(description(&request.headers, &request.body), None);
            request.body = "v=0".into();
            assert_eq!(body_of(&request.headers, &request.body), expected, "{headers}");
            let read = description(&request.headers, &request.body).is_some();
            assert_eq!(read, expected == Body::Description, "{headers}");
            let refused = check_body(&request).err();
            assert_eq!(refused.is_some(), matches!(expected, Body::Foreign | Body::Encoded));
            if let Some(response) = refused {
                assert_eq!(response.status.0, 415);
                assert_eq!(response.headers.get(Name::Accept), Some(ACCEPT));
                let encoding = response.headers.has(Name::AcceptEncoding);
                assert_eq!(encoding, expected == Body::Encoded, "{headers}");
            }
        }
    }
}
