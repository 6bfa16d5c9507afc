//! The router, and its OpenAPI document from the same list.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::guard;
use crate::problem::{Code, PROBLEM_JSON, Problem};
use crate::resources::{
    config, health, interactions, monitoring, overview, participants, recordings, records, verbs,
};
use crate::shared::Shared;
use crate::socket;

/// What needs a token in the header.
fn guarded() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(interactions::list, interactions::outdial))
        .routes(routes!(interactions::pickup))
        .routes(routes!(interactions::one))
        .merge(verbs::router())
        .routes(routes!(participants::list))
        .routes(routes!(participants::one, participants::remove))
        .routes(routes!(participants::noise_suppression))
        .routes(routes!(monitoring::list, monitoring::start))
        .routes(routes!(monitoring::change, monitoring::end))
        .routes(routes!(overview::phones))
        .routes(routes!(overview::trunks))
        .routes(routes!(overview::routes))
        .routes(routes!(overview::entry_points))
        .routes(routes!(records::list))
        .routes(routes!(records::one))
        .routes(routes!(recordings::list))
        .routes(routes!(recordings::one))
        .routes(routes!(recordings::audio))
        .routes(routes!(config::validate))
}

/// What looks at tokens by itself, or needs none.
fn open() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(socket::events))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

fn empty() -> OpenApi {
    let bearer = Http::new(HttpAuthScheme::Bearer);
    let components =
        ComponentsBuilder::new().security_scheme("bearer", SecurityScheme::Http(bearer)).build();
    let info = InfoBuilder::new()
        .title("Hookflash")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Call control. Every POST honours `Idempotency-Key`. Errors are RFC 9457 problems: \
             go by their `code`.",
        ))
        .build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// The OpenAPI 3.1 document, generated from the handlers.
pub fn document() -> OpenApi {
    let all = OpenApiRouter::with_openapi(empty()).merge(guarded()).merge(open());
    let mut document = all.into_openapi();
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(operation_id(method, path));
            }
        }
    }
    document
}

/// `postInteractionsIdConsultEnd`: unique, as the document must have it.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.trim_start_matches("/v1").split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).fold(method.to_owned(), |id, word| {
        let (first, rest) = word.split_at(1);
        id + &first.to_ascii_uppercase() + rest
    })
}

pub(crate) fn router(shared: Shared) -> Router {
    let (guarded, _) = guarded().split_for_parts();
    let (open, _) = open().split_for_parts();
    let text = document().to_json().unwrap_or_default();
    let openapi = get(move || {
        let json = [(header::CONTENT_TYPE, "application/json")];
        std::future::ready((StatusCode::OK, json, text.clone()))
    });
    let guarded = guarded
        .route_layer(from_fn_with_state(Shared::clone(&shared), guard::once))
        .route_layer(from_fn_with_state(Shared::clone(&shared), guard::authorise));
    guarded
        .merge(open)
        .route("/v1/openapi.json", openapi)
        .fallback(|| std::future::ready(Problem::from(Code::NotFound)))
        .method_not_allowed_fallback(|| std::future::ready(Problem::from(Code::MethodNotAllowed)))
        .layer(from_fn(problems_only))
        .layer(from_fn_with_state(Shared::clone(&shared), guard::frame))
        .with_state(shared)
}

/// What the router itself refuses (a query that does not parse, a path that is no UTF-8) is a
/// problem too.
async fn problems_only(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let told = response.headers().get(header::CONTENT_TYPE);
    if !(status.is_client_error() || status.is_server_error())
        || told == Some(&HeaderValue::from_static(PROBLEM_JSON))
    {
        return response;
    }
    let code = match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
        StatusCode::UNPROCESSABLE_ENTITY => Code::Validation,
        other if other.is_server_error() => Code::Internal,
        _ => Code::Malformed,
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut problem = Problem::from(code).into_response();
    if let Some(allow) = allow {
        problem.headers_mut().insert(header::ALLOW, allow);
    }
    problem
}
