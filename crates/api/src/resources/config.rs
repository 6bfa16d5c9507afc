//! `POST /v1/config/validate`: would the server start with this configuration?

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ChangeProblems, Problems, json};
use crate::access::{Principal, Role};
use crate::guard::only;
use crate::problem::{Code, Problem};
use crate::shared::Shared;
use crate::shells::ConfigProblem;

/// What is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verdict {
    /// Whether the server would start with it.
    valid: bool,
    /// Every problem with its line.
    problems: Vec<ConfigProblem>,
}

/// Check a configuration (TOML) without applying it.
#[utoipa::path(
    post, path = "/v1/config/validate", tag = "config",
    request_body(content = String, content_type = "application/toml"),
    responses((status = 200, body = Verdict), Problems, ChangeProblems),
    security(("bearer" = []))
)]
pub(crate) async fn validate(
    State(shared): State<Shared>,
    principal: Principal,
    body: Bytes,
) -> Result<Response, Problem> {
    only(&principal, &[Role::Admin])?;
    let text = String::from_utf8(body.into())
        .map_err(|_| Problem::new(Code::Malformed, "a configuration is UTF-8"))?;
    let with = Shared::clone(&shared);
    let checked = tokio::task::spawn_blocking(move || (with.shells.check)(&text)).await;
    let problems = checked.map_err(|_| Code::Internal)?;
    Ok(json(StatusCode::OK, &Verdict { valid: problems.is_empty(), problems }))
}
