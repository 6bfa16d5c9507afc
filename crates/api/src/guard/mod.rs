//! What every request passes before a handler sees it, outermost first: headers and CORS, the
//! bearer token, the body with its limits, the idempotency key.

mod body;
pub(crate) mod idempotency;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

pub(crate) use self::body::{Json, read_body};
use self::idempotency::{Answer, Fingerprint, KEY_MAX, Verdict};
use crate::access::{Principal, Role, bearer};
use crate::problem::{Code, Problem};
use crate::shared::Shared;

/// RFC draft-ietf-httpapi-idempotency-key-header.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Told with an answer that is told again.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Sent with every answer: nothing of the API is a page, and nothing is to be guessed or kept.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The outermost layer.
pub(crate) async fn frame(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let allowed = origin.as_ref().is_some_and(|origin| shared.allows_origin(origin));
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match is_preflight {
        true if allowed => preflight(),
        true => Problem::new(Code::Forbidden, "this origin is not allowed").into_response(),
        false => next.run(request).await,
    };
    shared.counters.answered(response.status());
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|_| allowed) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static("location, retry-after, idempotency-replayed");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        let policy = HeaderValue::from_static("cross-origin");
        headers.insert(HeaderName::from_static("cross-origin-resource-policy"), policy);
    }
    response
}

fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, idempotency-key"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Lets in who shows a valid token; what is below reads [`Principal`].
pub(crate) async fn authorise(
    State(shared): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    match principal(&shared, request.headers()) {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Whom the `Authorization` header speaks for. Never a cookie, a query or a form: what another
/// site's page can make a browser send changes nothing here.
pub(crate) fn principal(shared: &Shared, headers: &HeaderMap) -> Result<Principal, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Code::Unauthorized.into());
    };
    let token = value.to_str().ok().and_then(bearer).ok_or(Code::Unauthorized)?;
    let found = shared.tokens.principal(token, crate::wall());
    found.ok_or_else(|| {
        shared.counters.unauthorised();
        Code::Unauthorized.into()
    })
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // There is one behind [`authorise`]; a route outside of it is nobody's.
        parts.extensions.get::<Self>().cloned().ok_or(Code::Unauthorized.into())
    }
}

/// Refuses all other roles.
pub(crate) fn only(principal: &Principal, roles: &[Role]) -> Result<(), Problem> {
    if roles.contains(&principal.role) { Ok(()) } else { Err(Code::Forbidden.into()) }
}

/// Reads the body within its limits, and does what is posted with a key only once.
pub(crate) async fn once(
    State(shared): State<Shared>,
    principal: Principal,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let (parts, body) = match read_body(&shared, request).await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let key = match key(&parts) {
        Ok(key) => key,
        Err(problem) => return problem.into_response(),
    };
    let Some(key) = key else { return next.run(body::put_back(parts, body)).await };
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let fingerprint = Fingerprint::new(target, &body);
    let begun = shared.answers().begin(shared.now(), &principal.name, &key, fingerprint);
    match begun {
        Err(problem) => problem.into_response(),
        Ok(Verdict::Replay(answer)) => replay(answer),
        Ok(Verdict::Do) => {
            // Also when the client goes away in the middle: then nobody knows what became of it.
            let mut running = Running { shared: &shared, owner: &principal.name, key, kept: false };
            let response = next.run(body::put_back(parts, body)).await;
            running.keep(response).await
        }
    }
}

fn key(parts: &Parts) -> Result<Option<String>, Problem> {
    if parts.method != Method::POST {
        return Ok(None);
    }
    let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().ok().filter(|key| (1..=KEY_MAX).contains(&key.len()));
    let wrong = || Problem::new(Code::Malformed, "Idempotency-Key: 1 to 255 printable characters");
    text.map(|key| Some(key.to_owned())).ok_or_else(wrong)
}

fn replay(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    *response.headers_mut() = answer.headers;
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// A request with a key that is going on.
struct Running<'a> {
    shared: &'a Shared,
    owner: &'a Arc<str>,
    key: String,
    kept: bool,
}

impl Running<'_> {
    async fn keep(&mut self, response: Response) -> Response {
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return response;
        }
        let (parts, body) = response.into_parts();
        // Answers to POST are made in memory.
        let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
            return Problem::from(Code::Internal).into_response();
        };
        let (status, headers) = (parts.status.as_u16(), parts.headers.clone());
        let answer = Answer { status, headers, body: body.clone() };
        self.shared.answers().finish(self.owner, &self.key, answer);
        self.kept = true;
        Response::from_parts(parts, body.into())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.shared.answers().forget(self.owner, &self.key);
        }
    }
}
