//! `/v1/monitoring-sessions`: a supervisor listens in, whispers, takes part (U0).

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use b2bua::api::{Command, MonitorMode, ParticipantRole, Reply};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ChangeProblems, Problems, answer, id, json};
use crate::access::{Principal, Role};
use crate::guard::{Json, only};
use crate::problem::{Code, Problem};
use crate::shapes::{InteractionShape, MonitorModeShape};
use crate::shared::Shared;

/// Who may listen in.
const LISTENERS: &[Role] = &[Role::Supervisor, Role::Admin];

/// One supervision.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    /// Its id.
    id: String,
    /// The interaction that is supervised.
    interaction_id: String,
    /// The supervisor's extension.
    extension: String,
    /// How.
    #[schema(value_type = MonitorModeShape)]
    mode: Option<MonitorMode>,
}

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Start {
    /// Which interaction, or
    interaction_id: Option<String>,
    /// which agent's, by extension.
    agent_id: Option<String>,
    /// How.
    #[schema(value_type = MonitorModeShape)]
    mode: MonitorMode,
    /// Where the supervisor listens; by default the extension of the token.
    extension: Option<String>,
}

/// How from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    #[schema(value_type = MonitorModeShape)]
    mode: MonitorMode,
}

/// All supervisions that are going on.
#[utoipa::path(
    get, path = "/v1/monitoring-sessions", tag = "monitoring",
    responses((status = 200, body = Vec<Session>), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn list(
    State(shared): State<Shared>,
    principal: Principal,
) -> Result<Response, Problem> {
    only(&principal, LISTENERS)?;
    let mut sessions = Vec::new();
    for interaction in shared.feed.interactions(&principal) {
        let listeners = interaction.participants.iter();
        for one in listeners.filter(|one| one.role == ParticipantRole::Supervisor) {
            sessions.push(Session {
                id: one.id.clone(),
                interaction_id: interaction.id.clone(),
                extension: one.party.clone(),
                mode: one.mode,
            });
        }
    }
    Ok(json(StatusCode::OK, &sessions))
}

/// Begin to supervise: the supervisor's phone rings.
#[utoipa::path(
    post, path = "/v1/monitoring-sessions", tag = "monitoring",
    request_body = Start,
    responses((status = 202, body = Session), Problems, ChangeProblems),
    security(("bearer" = []))
)]
pub(crate) async fn start(
    State(shared): State<Shared>,
    principal: Principal,
    Json(asked): Json<Start>,
) -> Result<Response, Problem> {
    only(&principal, LISTENERS)?;
    if asked.interaction_id.is_some() == asked.agent_id.is_some() {
        let detail = "exactly one of `interactionId` and `agentId` is needed";
        return Err(Problem::new(Code::Validation, detail));
    }
    let own = principal.extension.as_deref().map(str::to_owned);
    let Some(extension) = asked.extension.or(own) else {
        let detail = "`extension` is needed: the token names none";
        return Err(Problem::new(Code::Validation, detail));
    };
    let (interaction, agent, mode) = (asked.interaction_id, asked.agent_id, asked.mode);
    let listens_at = Some(extension.clone());
    let command = Command::Monitor { interaction, agent, mode, extension: listens_at };
    match shared.ask(&principal, command).await? {
        Reply::Monitoring { session, interaction } => {
            let place = format!("/v1/monitoring-sessions/{session}");
            let (id, interaction_id) = (session, interaction.id);
            let begun = Session { id, interaction_id, extension, mode: Some(mode) };
            let mut response = json(StatusCode::ACCEPTED, &begun);
            if let Ok(place) = HeaderValue::from_str(&place) {
                response.headers_mut().insert(header::LOCATION, place);
            }
            Ok(response)
        }
        reply @ (Reply::Done(_)
        | Reply::Pending(_)
        | Reply::Interactions(_)
        | Reply::Registrations(_)
        | Reply::Trunks(_)) => Ok(answer(&reply)),
    }
}

/// Supervise in another way from now on, without hanging up.
#[utoipa::path(
    patch, path = "/v1/monitoring-sessions/{id}", tag = "monitoring",
    params(("id" = String, Path)),
    request_body = Change,
    responses((status = 200, body = InteractionShape), Problems, ChangeProblems),
    security(("bearer" = []))
)]
pub(crate) async fn change(
    State(shared): State<Shared>,
    principal: Principal,
    Path(session): Path<String>,
    Json(Change { mode }): Json<Change>,
) -> Result<Response, Problem> {
    only(&principal, LISTENERS)?;
    let session = id(&session)?.to_owned();
    Ok(answer(&shared.ask(&principal, Command::MonitorMode { session, mode }).await?))
}

/// Stop supervising.
#[utoipa::path(
    delete, path = "/v1/monitoring-sessions/{id}", tag = "monitoring",
    params(("id" = String, Path)),
    responses((status = 204), Problems, ChangeProblems),
    security(("bearer" = []))
)]
pub(crate) async fn end(
    State(shared): State<Shared>,
    principal: Principal,
    Path(session): Path<String>,
) -> Result<Response, Problem> {
    only(&principal, LISTENERS)?;
    let session = id(&session)?.to_owned();
    shared.ask(&principal, Command::MonitorEnd { session }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
