//! One file per resource; the router and its OpenAPI document are made from the same list.

pub(crate) mod config;
pub(crate) mod health;
pub(crate) mod interactions;
pub(crate) mod monitoring;
pub(crate) mod overview;
pub(crate) mod participants;
pub(crate) mod recordings;
pub(crate) mod records;
pub(crate) mod verbs;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use b2bua::api::Reply;
use serde::Serialize;
use utoipa::IntoResponses;

use crate::problem::{Code, Problem, ProblemBody};

/// Longest id that can be one of ours.
const ID_MAX: usize = 128;

/// An id of a path: what cannot be one of ours is not looked for.
pub(crate) fn id(text: &str) -> Result<&str, Problem> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+*#".contains(&byte);
    let is_id = (1..=ID_MAX).contains(&text.len()) && text.bytes().all(fits);
    if is_id { Ok(text) } else { Err(Code::NotFound.into()) }
}

/// JSON with a status.
pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut response = (status, body).into_response();
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
        Err(_) => Problem::from(Code::Internal).into_response(),
    }
}

/// 200 when it is done, 202 when the result comes as an event.
pub(crate) fn answer(reply: &Reply) -> Response {
    match reply {
        Reply::Done(interaction) => json(StatusCode::OK, interaction),
        Reply::Pending(interaction) => json(StatusCode::ACCEPTED, interaction),
        Reply::Monitoring { interaction, .. } => json(StatusCode::ACCEPTED, interaction),
        Reply::Interactions(all) => json(StatusCode::OK, all),
        Reply::Registrations(all) => json(StatusCode::OK, all),
        Reply::Trunks(all) => json(StatusCode::OK, all),
    }
}

/// What any request may be answered with, beside its own answers.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the generator of the document")]
pub(crate) enum Problems {
    /// The request cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
    /// No, or no valid, bearer token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// Not with this role.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// Nothing of that name, as far as this token may see.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// Too much, or too many.
    #[response(status = 503, content_type = "application/problem+json")]
    Overloaded(ProblemBody),
}

/// What a change may be answered with besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the generator of the document")]
pub(crate) enum ChangeProblems {
    /// The state does not allow it.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemBody),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// The body is not JSON.
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(ProblemBody),
    /// The body does not fit, or the key was used for another request.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// A limit of calls is met.
    #[response(status = 429, content_type = "application/problem+json")]
    Limit(ProblemBody),
}
