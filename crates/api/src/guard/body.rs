//! Bodies: bounded in size, time and depth before anything reads them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use axum::http::request::Parts;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::problem::{Code, Problem};
use crate::shared::Shared;

/// Largest JSON body: the largest that makes sense is a few hundred bytes.
const JSON_MAX: usize = 64 << 10;
/// Largest configuration to check.
const CONFIG_MAX: usize = 1 << 20;
/// How deep arrays and objects may nest.
const DEPTH_MAX: usize = 16;
/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// Where a configuration is checked.
pub(crate) const CONFIG_VALIDATE: &str = "/v1/config/validate";

/// Takes the whole body off a request.
pub(crate) async fn read_body(
    shared: &Shared,
    request: Request,
) -> Result<(Parts, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let max = if parts.uri.path() == CONFIG_VALIDATE { CONFIG_MAX } else { JSON_MAX };
    let too_large = || Problem::new(Code::PayloadTooLarge, format!("at most {max} bytes"));
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let within = shared.limits.body_within.min(BODY_WITHIN);
    match tokio::time::timeout(within, Limited::new(body, max).collect()).await {
        Ok(Ok(body)) => Ok((parts, body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(Code::Malformed, "the body ends too early")),
        Err(_) => Err(Code::RequestTimeout.into()),
    }
}

pub(super) fn put_back(parts: Parts, body: Bytes) -> Request {
    Request::from_parts(parts, Body::from(body))
}

/// A JSON body; an empty one reads as `{}`, so that verbs without a parameter need none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        // Bounded by [`read_body`], which has put it back.
        let body = axum::body::to_bytes(body, CONFIG_MAX).await.map_err(|_| Code::Malformed)?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return parse(b"{}").map(Self);
        }
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(is_json) {
            return Err(Problem::new(Code::UnsupportedMediaType, "application/json is needed"));
        }
        parse(&body).map(Self)
    }
}

/// `application/json`, whatever its parameters.
fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if depth(body) > DEPTH_MAX {
        return Err(Problem::new(Code::Malformed, format!("nested deeper than {DEPTH_MAX}")));
    }
    // The place and the kind of the error; what was sent is not repeated.
    let told = |error: serde_json::Error| {
        let code = if error.is_data() { Code::Validation } else { Code::Malformed };
        Problem::new(code, error.to_string())
    };
    // Else a list would do for an object whose fields all have defaults.
    if body.trim_ascii_start().first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(body).map_err(told)?;
        return Err(Problem::new(Code::Validation, "a JSON object is needed"));
    }
    serde_json::from_slice(body).map_err(told)
}

/// How deep a text nests at most, by its brackets outside of strings.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        for (text, expected) in [
            ("{}", 1),
            ("[[[]]]", 3),
            (r#"{"a":"[[[["}"#, 1),
            (r#"{"a":"\"[[[["}"#, 1),
            ("[],[],[]", 1),
            ("]]]]", 0),
        ] {
            assert_eq!(depth(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_malformed_and_what_does_not_fit_is_invalid() {
        type Body = std::collections::BTreeMap<String, u8>;
        let code = |text: &str| parse::<Body>(text.as_bytes()).unwrap_err().code;
        assert_eq!(code(r#"{"a":1,"#), Code::Malformed);
        assert_eq!(code("{} x"), Code::Malformed);
        assert_eq!(code("[1,"), Code::Malformed);
        assert_eq!(code("[1]"), Code::Validation);
        assert_eq!(code(r#"{"a":"b"}"#), Code::Validation);
        assert_eq!(code(&"[".repeat(100_000)), Code::Malformed);
    }

    #[test]
    fn json_is_told_by_its_media_type() {
        assert!(is_json("application/json; charset=utf-8") && is_json("Application/JSON"));
        assert!(!is_json("application/x-www-form-urlencoded") && !is_json("text/plain"));
    }
}
