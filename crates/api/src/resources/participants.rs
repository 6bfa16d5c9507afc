//! `/v1/interactions/{id}/participants/{pid}`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use b2bua::api::{Act, Command, InteractionSnapshot, NoiseDirection, Reply};
use media::denoise::DenoiseSettings;
use serde::Deserialize;
use utoipa::ToSchema;

use super::verbs::act;
use super::{ChangeProblems, Problems, id, json};
use crate::access::Principal;
use crate::guard::Json;
use crate::problem::{Code, Problem};
use crate::shapes::{InteractionShape, NoiseDirectionShape, ParticipantShape};
use crate::shared::{Inner, Shared};

async fn interaction(
    shared: &Inner,
    principal: &Principal,
    interaction: &str,
) -> Result<Box<InteractionSnapshot>, Problem> {
    let interaction = id(interaction)?.to_owned();
    match shared.ask(principal, Command::Interaction { interaction }).await? {
        Reply::Done(found) | Reply::Pending(found) => Ok(found),
        Reply::Monitoring { interaction, .. } => Ok(interaction),
        Reply::Interactions(_) | Reply::Registrations(_) | Reply::Trunks(_) => {
            Err(Code::Internal.into())
        }
    }
}

/// Everybody in an interaction.
#[utoipa::path(
    get, path = "/v1/interactions/{id}/participants", tag = "participants",
    params(("id" = String, Path)),
    responses((status = 200, body = Vec<ParticipantShape>), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn list(
    State(shared): State<Shared>,
    principal: Principal,
    Path(of): Path<String>,
) -> Result<Response, Problem> {
    let found = interaction(&shared, &principal, &of).await?;
    Ok(json(StatusCode::OK, &found.participants))
}

/// One participant, with its controls.
#[utoipa::path(
    get, path = "/v1/interactions/{id}/participants/{pid}", tag = "participants",
    params(("id" = String, Path), ("pid" = String, Path)),
    responses((status = 200, body = ParticipantShape), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn one(
    State(shared): State<Shared>,
    principal: Principal,
    Path((of, participant)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let found = interaction(&shared, &principal, &of).await?;
    let one = found.participants.iter().find(|one| one.id == participant);
    one.map(|one| json(StatusCode::OK, one)).ok_or(Code::NotFound.into())
}

/// Take a participant out of a conference.
#[utoipa::path(
    delete, path = "/v1/interactions/{id}/participants/{pid}", tag = "participants",
    params(("id" = String, Path), ("pid" = String, Path)),
    responses(
        (status = 200, body = InteractionShape), (status = 202, body = InteractionShape),
        Problems, ChangeProblems,
    ),
    security(("bearer" = []))
)]
pub(crate) async fn remove(
    State(shared): State<Shared>,
    principal: Principal,
    Path((of, participant)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let target = id(&participant)?.to_owned();
    act(&shared, &principal, &of, None, Act::Remove { target }).await
}

/// How noise is removed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NoiseSuppression {
    /// On or off.
    enabled: bool,
    /// From what the participant says, from what they hear, or both.
    #[schema(value_type = Option<NoiseDirectionShape>)]
    #[serde(default)]
    direction: NoiseDirection,
    /// Deepest attenuation of the noise in dB; by default as configured.
    #[schema(minimum = 0, maximum = 60)]
    level: Option<u8>,
}

/// Switch noise removal during the call, without a gap.
#[utoipa::path(
    put, path = "/v1/interactions/{id}/participants/{pid}/noise-suppression", tag = "participants",
    params(("id" = String, Path), ("pid" = String, Path)),
    request_body = NoiseSuppression,
    responses((status = 200, body = InteractionShape), Problems, ChangeProblems),
    security(("bearer" = []))
)]
pub(crate) async fn noise_suppression(
    State(shared): State<Shared>,
    principal: Principal,
    Path((of, participant)): Path<(String, String)>,
    Json(NoiseSuppression { enabled, direction, level }): Json<NoiseSuppression>,
) -> Result<Response, Problem> {
    let target = id(&participant)?.to_owned();
    if level.is_some_and(|level| level > DenoiseSettings::ATTENUATION_LIMIT_DB_MAX) {
        return Err(Problem::new(Code::Validation, "`level` lies between 0 and 60 dB"));
    }
    let level = level.map(|attenuation_limit_db| DenoiseSettings { attenuation_limit_db });
    let noise = Act::NoiseSuppression { target, enabled, direction, level };
    act(&shared, &principal, &of, None, noise).await
}
