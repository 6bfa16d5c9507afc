//! `/v1/interactions`: list, one, outdial, pickup.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use b2bua::api::{Command, DestinationType, To};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ChangeProblems, Problems, answer, id, json};
use crate::access::Principal;
use crate::guard::Json;
use crate::problem::{Code, Problem};
use crate::shapes::{DestinationTypeShape, InteractionShape};
use crate::shared::Shared;

/// Longest name or number of a target.
const TARGET_MAX: usize = 256;

/// All interactions the token may see; an agent sees its own.
#[utoipa::path(
    get, path = "/v1/interactions", tag = "interactions",
    responses((status = 200, body = Vec<InteractionShape>), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn list(State(shared): State<Shared>, principal: Principal) -> Response {
    let all = shared.feed.interactions(&principal);
    json(StatusCode::OK, &all.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// One interaction as it is now, with the `controls` of each participant.
#[utoipa::path(
    get, path = "/v1/interactions/{id}", tag = "interactions",
    params(("id" = String, Path)),
    responses((status = 200, body = InteractionShape), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn one(
    State(shared): State<Shared>,
    principal: Principal,
    Path(interaction): Path<String>,
) -> Result<Response, Problem> {
    let interaction = id(&interaction)?.to_owned();
    let reply = shared.ask(&principal, Command::Interaction { interaction }).await?;
    Ok(answer(&reply))
}

/// Whom to call, and by which route.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Outdial {
    /// Name or number, as typed.
    to: String,
    /// What it means; a dial number unless said otherwise.
    #[schema(value_type = Option<DestinationTypeShape>)]
    destination_type: Option<DestinationType>,
    /// One of the routes allowed to the extension; by default as the dial plan says.
    route_id: Option<String>,
    /// On whose phone; an agent's token calls on its own.
    extension: Option<String>,
}

/// Call somebody: the agent's own phone rings first.
#[utoipa::path(
    post, path = "/v1/interactions", tag = "interactions",
    request_body = Outdial,
    responses((status = 202, body = InteractionShape), Problems, ChangeProblems),
    security(("bearer" = []))
)]
pub(crate) async fn outdial(
    State(shared): State<Shared>,
    principal: Principal,
    Json(asked): Json<Outdial>,
) -> Result<Response, Problem> {
    if shared.is_draining() {
        return Err(Code::Draining.into());
    }
    let extension = own_phone(&principal, asked.extension)?;
    let to = target(asked.to, asked.destination_type)?;
    let command = Command::Outdial { extension, to, route: asked.route_id };
    Ok(answer(&shared.ask(&principal, command).await?))
}

/// Where it rings, and who takes it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Pickup {
    /// The extension at which it rings.
    extension: String,
    /// On whose phone; an agent's token takes it on its own.
    by: Option<String>,
}

/// Take a call that rings at another extension.
#[utoipa::path(
    post, path = "/v1/interactions/pickup", tag = "interactions",
    request_body = Pickup,
    responses((status = 202, body = InteractionShape), Problems, ChangeProblems),
    security(("bearer" = []))
)]
pub(crate) async fn pickup(
    State(shared): State<Shared>,
    principal: Principal,
    Json(asked): Json<Pickup>,
) -> Result<Response, Problem> {
    let by = own_phone(&principal, asked.by)?;
    let command = Command::Pickup { extension: asked.extension, by };
    Ok(answer(&shared.ask(&principal, command).await?))
}

/// An agent speaks for its own phone only; others name one, or have one in their token.
pub(crate) fn own_phone(
    principal: &Principal,
    named: Option<String>,
) -> Result<Option<String>, Problem> {
    let own = principal.extension.as_deref();
    match named {
        Some(named) if principal.is_agent() && own != Some(&*named) => {
            Err(Problem::new(Code::Forbidden, "an agent calls on its own extension"))
        }
        Some(named) => Ok(Some(named)),
        None => Ok(own.map(str::to_owned)),
    }
}

/// A target within bounds; the core says whether it exists.
pub(crate) fn target(to: String, kind: Option<DestinationType>) -> Result<To, Problem> {
    if to.is_empty() || to.len() > TARGET_MAX {
        let detail = format!("`to` needs 1 to {TARGET_MAX} bytes");
        return Err(Problem::new(Code::Validation, detail));
    }
    Ok(To { to, destination_type: kind.unwrap_or(DestinationType::DialNumber) })
}
