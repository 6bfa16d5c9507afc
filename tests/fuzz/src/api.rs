//! One HTTP request into the router of the API, in front of a core that knows one call.

use std::sync::Mutex;

use api::{Api, CoreTeller, Role, Settings, Shells, TokenConfig};
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use b2bua::api::{Command, InteractionSnapshot, Reply};
use b2bua::io::Input;
use base::Redacted;
use call::control::Refusal;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// Tokens that inputs may show.
const ADMIN: &str = "admin-token-of-the-fuzzer";
const AGENT: &str = "agent-token-of-the-fuzzer";
/// What needs no token.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/v1/openapi.json"];
/// Most of an answer that is read.
const ANSWER_MAX: usize = 1 << 20;

struct World {
    runtime: Runtime,
    router: TowerToHyperService<axum::Router>,
}

/// The bytes are `METHOD TARGET`, header lines, an empty line and a body.
pub fn api(bytes: &[u8]) {
    static WORLD: Mutex<Option<World>> = Mutex::new(None);
    let Some((request, shows_token)) = request(bytes) else { return };
    let mut world = WORLD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let world = world.get_or_insert_with(start);
    let path = request.uri().path().to_owned();
    let is_head = request.method() == Method::HEAD;
    let answer = world.runtime.block_on(async {
        let Ok(answer) = world.router.call(request).await;
        let (parts, body) = answer.into_parts();
        (parts, to_bytes(body, ANSWER_MAX).await.expect("an answer within bounds"))
    });
    let (parts, body) = answer;
    assert_eq!(parts.headers["x-content-type-options"], "nosniff");
    assert_ne!(parts.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    if parts.status.is_success() && !OPEN.contains(&path.as_str()) {
        let is_preflight = parts.headers.contains_key("access-control-allow-methods");
        assert!(shows_token || is_preflight, "{path} without a token");
    }
    if (parts.status.is_client_error() || parts.status.is_server_error()) && !is_head {
        assert_eq!(parts.headers["content-type"], "application/problem+json", "{path}");
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem is JSON");
        assert_eq!(problem["status"], parts.status.as_u16());
    }
    let told = String::from_utf8_lossy(&body);
    assert!(!told.contains(ADMIN) && !told.contains(AGENT), "{path} tells a token");
}

/// A request, and whether it shows a valid token.
fn request(bytes: &[u8]) -> Option<(Request<Body>, bool)> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target);
    let mut shows_token = false;
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        // Content-Length is what the connection makes of it, which is not tested here.
        if name.eq_ignore_ascii_case("content-length") {
            continue;
        }
        shows_token |= value.contains(ADMIN) || value.contains(AGENT);
        request = request.header(name, value);
    }
    let request = request.body(Body::from(body.to_owned())).ok()?;
    Some((request, shows_token))
}

fn start() -> World {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let token = |token: &str, role, extension: Option<&str>| TokenConfig {
        name: token.into(),
        token: Redacted::new(token.into()),
        role,
        extension: extension.map(str::to_owned),
        expires: None,
    };
    let tokens = vec![token(ADMIN, Role::Admin, None), token(AGENT, Role::Agent, Some("1001"))];
    let settings = Settings {
        tokens,
        origins: vec!["https://desk.example.com".into()],
        ..Settings::default()
    };
    let shells = Shells {
        records: Box::new(|_| Ok(Vec::new())),
        record: Box::new(|_| Ok(None)),
        check: Box::new(|_| Vec::new()),
        figures: Box::new(Vec::new),
        recordings: "/nonexistent".into(),
    };
    let (inputs, waiting) = mpsc::channel(64);
    let (api, teller) = Api::new(settings, inputs, shells);
    let (router, feeding) = api.into_parts();
    runtime.spawn(feeding);
    runtime.spawn(core(waiting, teller));
    World { runtime, router: TowerToHyperService::new(router) }
}

async fn core(mut waiting: mpsc::Receiver<Input>, teller: CoreTeller) {
    while let Some(input) = waiting.recv().await {
        let Input::Command { request, command, .. } = input else { continue };
        let result = match *command {
            Command::Interactions => Ok(Reply::Interactions(vec![snapshot()])),
            Command::Registrations => Ok(Reply::Registrations(Vec::new())),
            Command::Trunks => Ok(Reply::Trunks(Vec::new())),
            Command::Interaction { interaction } if interaction == "call-1" => {
                Ok(Reply::Done(Box::new(snapshot())))
            }
            Command::Act { interaction, .. } if interaction == "call-1" => {
                Ok(Reply::Pending(Box::new(snapshot())))
            }
            Command::Monitor { .. } => {
                let interaction = Box::new(snapshot());
                Ok(Reply::Monitoring { session: "leg-9".into(), interaction })
            }
            Command::Interaction { .. }
            | Command::Act { .. }
            | Command::Outdial { .. }
            | Command::Pickup { .. }
            | Command::MonitorMode { .. }
            | Command::MonitorEnd { .. } => Err(Refusal::NotFound.into()),
        };
        teller.reply(request, result);
    }
}

fn snapshot() -> InteractionSnapshot {
    let time = "2026-01-01T00:00:00.000Z";
    let snapshot = serde_json::json!({
        "id": "call-1", "state": "connected", "primary": null, "from": "a", "to": "b",
        "started": time, "answered": null, "ended": null, "participants": [], "recording": "off",
        "segments": [],
    });
    serde_json::from_value(snapshot).expect("a snapshot")
}
