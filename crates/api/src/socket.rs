//! `GET /v1/events`: the event stream over WebSocket (RFC 6455).
//!
//! ```text
//! upgrade ─▶ token in the header ──────────────────▶ live ─▶ closed
//!        └▶ {"token", "since"} as first message ─▶ ┘  │ too slow, silent, token over, says too much
//! ```
//! Without `since`, or with one that is too old, the first message is `stream.snapshot`.

#![allow(unused_qualifications, reason = "the generator of the document repeats a name")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use utoipa::IntoParams;

use crate::access::{Principal, TOKEN_MAX};
use crate::feed::Next;
use crate::guard;
use crate::problem::{Code, Problem};
use crate::shared::{Inner, Shared};

/// How long the first message with the token may take.
const TOKEN_WITHIN: Duration = Duration::from_secs(5);
/// How long one message may take to be taken by the client's system.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How often a client is asked whether it is there; silent for two of these, it is not.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Largest message of a client.
const MESSAGE_MAX: usize = 4 << 10;
/// What a client may say between two of our pings: pongs, and pings of its own.
const MESSAGES_PER_PING: u32 = 100;

/// Close codes of ours (RFC 6455 §7.4.2: 4000 and above are private).
const UNAUTHORISED: CloseCode = CloseCode::Library(4401);
const TOO_SLOW: CloseCode = CloseCode::Library(4408);

/// Where the stream begins.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Since {
    /// The last `seq` that the client has read.
    since: Option<u64>,
}

/// The first message of a client that cannot set headers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hello {
    token: String,
    since: Option<u64>,
}

/// The event stream.
///
/// A WebSocket. Authorised by the `Authorization` header or, where a browser cannot set it, by a
/// first message `{"token": "…", "since": 123}` within five seconds.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", params(Since),
    responses(
        (status = 101, description = "Messages are `Event` objects, one each.", body = crate::shapes::EventShape),
        (status = 400, body = crate::problem::ProblemBody),
        (status = 401, body = crate::problem::ProblemBody),
        (status = 403, body = crate::problem::ProblemBody),
        (status = 503, body = crate::problem::ProblemBody),
    ),
    security((), ("bearer" = []))
)]
pub(crate) async fn events(
    State(shared): State<Shared>,
    Query(Since { since }): Query<Since>,
    mut request: Request,
) -> Result<Response, Problem> {
    let accept = accept_key(request.headers())?;
    let origin = request.headers().get(header::ORIGIN);
    // Browsers ask nobody before they open a WebSocket: it is us who must look.
    if origin.is_some_and(|origin| !shared.allows_origin(origin)) {
        return Err(Problem::new(Code::Forbidden, "this origin is not allowed"));
    }
    let principal = match request.headers().contains_key(header::AUTHORIZATION) {
        true => Some(guard::principal(&shared, request.headers())?),
        false => None,
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(Problem::new(Code::Malformed, "this connection cannot be upgraded"));
    };
    let seat = Seat::take(&shared)
        .ok_or_else(|| Problem::new(Code::Overloaded, "too many event streams are open"))?;
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        seat.serve(upgraded, principal, since).await;
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response())
}

/// RFC 6455 §4.2.1: what the client must send.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let says = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let wanted = says(header::CONNECTION, "upgrade")
        && says(header::UPGRADE, "websocket")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    let (Some(key), true) = (key, wanted) else {
        return Err(Problem::new(Code::Malformed, "a WebSocket handshake (version 13) is needed"));
    };
    let accept = derive_accept_key(key.as_bytes());
    accept.parse().map_err(|_| Code::Malformed.into())
}

/// One stream's place among the most there may be.
struct Seat(Shared);

impl Seat {
    fn take(shared: &Shared) -> Option<Self> {
        let most = shared.streams_max;
        let one_more = |open: usize| (open < most).then_some(open + 1);
        let taken = shared.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| Self(Arc::clone(shared)))
    }

    async fn serve(self, upgraded: Upgraded, principal: Option<Principal>, since: Option<u64>) {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_MAX))
            .max_frame_size(Some(MESSAGE_MAX));
        let io = TokioIo::new(upgraded);
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let shared = &self.0;
        let (principal, since) = match principal {
            Some(principal) => (principal, since),
            None => match introduced(shared, &mut socket).await {
                Some((principal, again)) => (principal, again.or(since)),
                None => return close(&mut socket, UNAUTHORISED, "a valid token is needed").await,
            },
        };
        let mut client = Client { shared, socket, principal };
        if let Err((code, reason)) = client.run(since).await {
            close(&mut client.socket, code, reason).await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

async fn introduced(shared: &Inner, socket: &mut Socket) -> Option<(Principal, Option<u64>)> {
    let first = timeout(TOKEN_WITHIN, socket.next()).await.ok()??.ok()?;
    let Message::Text(text) = first else { return None };
    let hello: Hello = serde_json::from_str(&text).ok()?;
    let token = Some(hello.token.as_str()).filter(|token| token.len() <= TOKEN_MAX)?;
    match shared.tokens.principal(token, crate::wall()) {
        Some(principal) => Some((principal, hello.since)),
        None => {
            shared.counters.unauthorised();
            None
        }
    }
}

/// Says goodbye; a client that takes not even that is left.
async fn close(socket: &mut Socket, code: CloseCode, reason: &'static str) {
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    let _ = timeout(SEND_WITHIN, socket.close(Some(frame))).await;
}

/// Why a stream ends, in the words of its close frame.
type Ending = (CloseCode, &'static str);

const GONE: Ending = (CloseCode::Away, "the client is gone");

struct Client<'a> {
    shared: &'a Inner,
    socket: Socket,
    principal: Principal,
}

impl Client<'_> {
    async fn run(&mut self, since: Option<u64>) -> Result<(), Ending> {
        let mut more = self.shared.feed.watch();
        let mut place = self.begin(since).await?;
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let (mut heard, mut messages) = (true, 0);
        loop {
            place = self.catch_up(place).await?;
            tokio::select! {
                changed = more.changed() => changed.map_err(|_| (CloseCode::Away, "the server ends"))?,
                _ = pings.tick() => {
                    if !heard {
                        return Err(GONE);
                    }
                    (heard, messages) = (false, 0);
                    self.still_valid()?;
                    self.send(Message::Ping(Default::default())).await?;
                }
                said = self.socket.next() => {
                    heard = true;
                    messages += 1;
                    if messages > MESSAGES_PER_PING {
                        return Err((CloseCode::Policy, "too many messages"));
                    }
                    match said {
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Frame(_))) => {
                            return Err((CloseCode::Policy, "the stream takes no messages"));
                        }
                        Some(Ok(Message::Close(_))) | None => return Ok(()),
                        Some(Err(_)) => return Err(GONE),
                    }
                }
            }
        }
    }

    /// The snapshot, unless the client can go on where it was.
    async fn begin(&mut self, since: Option<u64>) -> Result<u64, Ending> {
        if let Some(since) = since
            && matches!(self.shared.feed.after(since, &self.principal), Next::Events(..))
        {
            return Ok(since);
        }
        let (text, seq) = self.shared.feed.snapshot(&self.principal, crate::wall());
        self.send(Message::Text(text)).await?;
        Ok(seq)
    }

    /// Sends what there is after `place`.
    async fn catch_up(&mut self, mut place: u64) -> Result<u64, Ending> {
        loop {
            let Next::Events(events, next) = self.shared.feed.after(place, &self.principal) else {
                self.shared.counters.slow_streams.fetch_add(1, Ordering::Relaxed);
                return Err((TOO_SLOW, "too slow, or events were lost: come back for a snapshot"));
            };
            if next == place {
                return Ok(place);
            }
            for event in events {
                self.send(Message::Text(event.text())).await?;
            }
            place = next;
        }
    }

    fn still_valid(&self) -> Result<(), Ending> {
        let valid = self.shared.tokens.is_valid(&self.principal, crate::wall());
        if valid { Ok(()) } else { Err((UNAUTHORISED, "the token is over")) }
    }

    async fn send(&mut self, message: Message) -> Result<(), Ending> {
        match timeout(SEND_WITHIN, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(GONE),
            Err(_) => {
                self.shared.counters.slow_streams.fetch_add(1, Ordering::Relaxed);
                Err((TOO_SLOW, "too slow"))
            }
        }
    }
}
