//! `/healthz`, `/readyz` and `/metrics`: for machines that watch.

use std::fmt::Write as _;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::access::Role;
use crate::guard;
use crate::problem::{Code, Problem, ProblemBody};
use crate::shared::{Inner, Shared};

/// Whether the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "health",
    responses((status = 200, description = "It lives.", content_type = "text/plain")),
    security(())
)]
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Whether calls may be sent here: not while the server drains, nor when the core does not answer.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "It takes calls.", content_type = "text/plain"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(())
)]
pub(crate) async fn ready(State(shared): State<Shared>) -> Result<&'static str, Problem> {
    if shared.is_draining() {
        return Err(Code::Draining.into());
    }
    shared.core.is_alive().await?;
    Ok("ready\n")
}

/// Figures in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses(
        (status = 200, content_type = "text/plain; version=0.0.4"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    ),
    security((), ("bearer" = []))
)]
pub(crate) async fn metrics(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    if !shared.public_metrics {
        let principal = guard::principal(&shared, request.headers())?;
        guard::only(&principal, &[Role::Supervisor, Role::Admin, Role::Integrator])?;
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((StatusCode::OK, kind, page(&shared)).into_response())
}

/// One page being written.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP hookflash_{name} {help}\n# TYPE hookflash_{name} {kind}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        let _ = writeln!(self.0, "hookflash_{name} {value}");
    }

    fn labelled<'a>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        label: &str,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        self.family(name, kind, help);
        for (word, value) in values {
            let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = writeln!(self.0, "hookflash_{name}{{{label}=\"{word}\"}} {value}");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counters far below 2^52")]
fn page(shared: &Inner) -> String {
    let figures = shared.feed.figures();
    let mut page = Page::default();
    let (gauge, counter) = ("gauge", "counter");
    page.one("calls", gauge, "Interactions that are going on.", figures.interactions as f64);
    let states = figures.states.iter().map(|(state, count)| (state.as_str(), *count as f64));
    page.labelled(("calls_by_state", gauge, "Interactions by their state."), "state", states);
    let legs = figures.legs.iter().map(|(codec, count)| (codec.as_str(), *count as f64));
    page.labelled(("legs", gauge, "Legs by their codec."), "codec", legs);
    page.one("recording", gauge, "Interactions being recorded.", figures.recording as f64);
    let loss = figures.worst_loss_percent;
    page.one("leg_loss_percent_max", gauge, "Loss of the worst leg, percent.", loss);
    let jitter = figures.worst_jitter_ms;
    if let Some(mos) = figures.worst_mos {
        page.one("leg_mos_min", gauge, "Opinion score of the worst leg, 1 to 4.5.", mos);
    }
    page.one("leg_jitter_ms_max", gauge, "Jitter of the worst leg, milliseconds.", jitter);
    let phones = figures.registrations as f64;
    page.one("registrations", gauge, "Registered phones.", phones);
    let trunks = || figures.trunks.iter().map(|(name, trunk)| (&**name, trunk));
    let up = trunks().map(|(name, trunk)| (name, f64::from(u8::from(trunk.up))));
    page.labelled(("trunk_up", gauge, "Whether calls may go to the trunk."), "trunk", up);
    let up = trunks().map(|(name, trunk)| (name, trunk.gateways_up as f64));
    let help = "Addresses of the trunk that calls may go to.";
    page.labelled(("trunk_gateways_up", gauge, help), "trunk", up);
    let limits = figures.limits.iter().map(|(limit, count)| (*limit, *count as f64));
    page.labelled(("limits_met_total", counter, "Limits that were met."), "limit", limits);
    let draining = f64::from(u8::from(shared.is_draining()));
    page.one("draining", gauge, "Whether the server is going down.", draining);
    own(shared, &mut page, figures.events as f64, figures.lost as f64);
    for figure in (shared.shells.figures)() {
        let kind = if figure.is_counter { counter } else { gauge };
        page.one(&figure.name, kind, figure.help, figure.value);
    }
    page.0
}

/// What the API counts of itself.
#[expect(clippy::cast_precision_loss, reason = "counters far below 2^52")]
fn own(shared: &Inner, page: &mut Page, events: f64, lost: f64) {
    use std::sync::atomic::Ordering::Relaxed;
    let counter = "counter";
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter();
    let answers = classes.zip(shared.counters.by_class().map(|count| count as f64));
    page.labelled(("api_answers_total", counter, "Answers by their status."), "status", answers);
    let wrong = shared.counters.wrong_tokens() as f64;
    page.one("api_wrong_tokens_total", counter, "Tokens that were wrong or over.", wrong);
    let connections = shared.connections.total() as f64;
    page.one("api_connections", "gauge", "Open connections of the API.", connections);
    let refused = shared.connections.refused() as f64;
    let help = "Connections of the API refused for want of room.";
    page.one("api_connections_refused_total", counter, help, refused);
    let streams = shared.streams.load(Relaxed) as f64;
    page.one("api_event_streams", "gauge", "Open event streams.", streams);
    let slow = shared.counters.slow_streams.load(Relaxed) as f64;
    page.one("api_event_streams_cut_total", counter, "Event streams cut off: too slow.", slow);
    page.one("api_events_total", counter, "Events told.", events);
    let help = "Events that found no room on their way from the core.";
    page.one("api_events_lost_total", counter, help, lost);
    let waiting = shared.core.waiting() as f64;
    page.one("api_commands_waiting", "gauge", "Commands that wait for the core.", waiting);
    let refused = shared.core.refused() as f64;
    let help = "Commands refused because the core did not keep up.";
    page.one("api_commands_refused_total", counter, help, refused);
}
