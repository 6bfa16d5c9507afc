//! What we can do, and say we can: one truth for Allow, Supported and Accept (INTEROP 15), and the
//! answers to who demands more.

use crate::message::{Headers, Method, Name, Request, Response, StatusCode};

/// Methods we take.
pub const ALLOW: &str =
    "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, SUBSCRIBE, NOTIFY, REGISTER";
/// Option tags we understand.
pub const SUPPORTED: &[&str] = &["100rel", "timer", "path", "outbound", "replaces", "norefersub"];
/// Bodies we understand.
pub const ACCEPT: &str = "application/sdp, multipart/mixed";
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

/// The 420 to a request that demands what we do not understand, see [`check_require`].
pub fn refusal(request: &Request) -> Option<Response> {
    let unsupported = check_require(request).err()?;
    let mut response = request.response(StatusCode::BAD_EXTENSION);
    response.headers.set(Name::Unsupported, unsupported.join(", "));
    Some(response)
}

/// Whether session descriptions may be answered to it (RFC 3261 §20.1); else 406 (§21.4.7). An
/// empty Accept, by which nothing at all could be answered, is taken for none.
pub fn takes_descriptions(request: &Request) -> bool {
    let mut ranges =
        request.headers.list(Name::Accept).filter(|range| !range.is_empty()).peekable();
    ranges.peek().is_none()
        || ranges.any(|range| {
            let bare = range.split(';').next().unwrap_or_default().trim();
            ["application/sdp", "application/*", "*/*"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(bare))
        })
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
        assert!(!allows(&"MESSAGE".parse().unwrap()));
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
        let refused = refusal(&invite("Require: foo, timer")).unwrap();
        assert_eq!((refused.status.0, refused.headers.get(Name::Unsupported)), (420, Some("foo")));
        assert_eq!(refusal(&invite("Require: timer")), None);
        for method in [Method::Ack, Method::Cancel] {
            let mut request = invite("Require: foo");
            request.method = method;
            assert_eq!(check_require(&request), Ok(()));
        }
    }

    #[test]
    fn a_description_is_answered_unless_accept_leaves_it_out() {
        for (accept, taken) in [
            ("Subject: x", true),
            ("Accept: application/sdp", true),
            ("Accept: text/html;level=1, APPLICATION/SDP;q=0.5", true),
            ("Accept: application/*", true),
            ("Accept: text/plain\r\nAccept: */*", true),
            ("Accept:", true),
            ("Accept: text/nobodyKnowsThis", false),
            ("Accept: application/sdpx, multipart/mixed", false),
        ] {
            assert_eq!(takes_descriptions(&invite(accept)), taken, "{accept}");
        }
    }
}
