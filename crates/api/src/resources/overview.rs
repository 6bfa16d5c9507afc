//! `/v1/registrations`, `/v1/trunks`, `/v1/routes`, `/v1/entry-points`.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use b2bua::api::{Command, RegistrationSnapshot, Reply, TrunkSnapshot};
use tokio::sync::Mutex;

use super::{Problems, json};
use crate::access::{Principal, Role};
use crate::directory::{EntryPoint, Route};
use crate::guard::only;
use crate::problem::{Code, Problem};
use crate::shapes::{RegistrationShape, TrunkShape};
use crate::shared::{Inner, Shared};

/// Ten thousand phones are a list that the core makes once a second at most, whoever asks.
const FRESH: Duration = Duration::from_secs(1);

/// Who may see phones and trunks of others.
const OVERSEERS: &[Role] = &[Role::Supervisor, Role::Admin, Role::Integrator];

/// The last lists of the core.
#[derive(Debug, Default)]
pub(crate) struct Cached {
    registrations: Mutex<Option<(Instant, Vec<RegistrationSnapshot>)>>,
    trunks: Mutex<Option<(Instant, Vec<TrunkSnapshot>)>>,
}

async fn registrations(shared: &Inner) -> Result<Vec<RegistrationSnapshot>, Problem> {
    // Held while the core is asked: all who come meanwhile take the same list.
    let mut cached = shared.overview.registrations.lock().await;
    if let Some((at, list)) = &*cached
        && at.elapsed() < FRESH
    {
        return Ok(list.clone());
    }
    let reply = shared.core.ask(b2bua::api::Actor::Admin, Command::Registrations).await?;
    let Reply::Registrations(list) = reply else { return Err(Code::Internal.into()) };
    *cached = Some((Instant::now(), list.clone()));
    Ok(list)
}

async fn trunk_list(shared: &Inner) -> Result<Vec<TrunkSnapshot>, Problem> {
    let mut cached = shared.overview.trunks.lock().await;
    if let Some((at, list)) = &*cached
        && at.elapsed() < FRESH
    {
        return Ok(list.clone());
    }
    let reply = shared.core.ask(b2bua::api::Actor::Admin, Command::Trunks).await?;
    let Reply::Trunks(list) = reply else { return Err(Code::Internal.into()) };
    *cached = Some((Instant::now(), list.clone()));
    Ok(list)
}

/// Registered phones; an agent sees its own. At most a second old.
#[utoipa::path(
    get, path = "/v1/registrations", tag = "overview",
    responses((status = 200, body = Vec<RegistrationShape>), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn phones(
    State(shared): State<Shared>,
    principal: Principal,
) -> Result<Response, Problem> {
    let mut list = registrations(&shared).await?;
    list.retain(|phone| principal.may_see(&[&phone.extension]));
    Ok(json(StatusCode::OK, &list))
}

/// Trunks, whether they are up, and their calls. At most a second old.
#[utoipa::path(
    get, path = "/v1/trunks", tag = "overview",
    responses((status = 200, body = Vec<TrunkShape>), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn trunks(
    State(shared): State<Shared>,
    principal: Principal,
) -> Result<Response, Problem> {
    only(&principal, OVERSEERS)?;
    Ok(json(StatusCode::OK, &trunk_list(&shared).await?))
}

/// Ways out; an agent sees those it may use.
#[utoipa::path(
    get, path = "/v1/routes", tag = "overview",
    responses((status = 200, body = Vec<Route>), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn routes(State(shared): State<Shared>, principal: Principal) -> Response {
    let all = shared.directory.routes.iter();
    let seen = all.filter(|route| principal.may_see(&route.extensions));
    json(StatusCode::OK, &seen.collect::<Vec<_>>())
}

/// Numbers that customers dial.
#[utoipa::path(
    get, path = "/v1/entry-points", tag = "overview",
    responses((status = 200, body = Vec<EntryPoint>), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn entry_points(State(shared): State<Shared>, _: Principal) -> Response {
    json(StatusCode::OK, &shared.directory.entry_points)
}
