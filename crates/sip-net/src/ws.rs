//! WebSocket (RFC 6455) as a SIP transport (RFC 7118): one SIP message per WebSocket message.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use sip::message::MAX_MESSAGE;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use crate::admission::Bucket;
use crate::config::Rate;
use crate::connection::{self, End, Inbound, Receive, Transmit};
use crate::env::Clock;
use crate::flow::Queue;

/// Bytes on the wire from one whole message to the next: bounds storms of tiny fragments.
const UNFINISHED_MAX: usize = 4 * MAX_MESSAGE;

/// Bytes per read; the default of the library is 128 KiB for every connection.
const READ_BYTES: usize = 8 * 1024;

/// Pings and pongs one peer may send.
const CONTROL_FRAMES: Rate = Rate { per_second: 5, burst: 50 };

/// The subprotocol (RFC 7118 §4).
const SUBPROTOCOL: &str = "sip";

/// An accepted WebSocket.
pub(crate) type Stream<S> = WebSocketStream<Metered<S>>;

/// Accepts the WebSocket handshake: subprotocol `sip`, and no page that is not allowed.
pub(crate) async fn greet<S>(stream: S, origins: Arc<[String]>) -> io::Result<Stream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MAX_MESSAGE)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .accept_unmasked_frames(false);
    let stream = Metered { io: stream, meter: Arc::default() };
    #[allow(clippy::result_large_err)] // the library's type
    let judge = move |request: &Request, response| judge(request.headers(), &origins, response);
    let stream = accept_hdr_async_with_config(stream, judge, Some(config)).await;
    let stream = stream.map_err(io::Error::other)?;
    stream.get_ref().meter.finish();
    Ok(stream)
}

#[allow(clippy::result_large_err)] // the library's type
fn judge(
    headers: &HeaderMap,
    origins: &[String],
    mut response: Response,
) -> Result<Response, ErrorResponse> {
    if !origin_allowed(headers, origins) {
        return Err(refusal(StatusCode::FORBIDDEN, "origin not allowed"));
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let offers_sip = offered
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim().eq_ignore_ascii_case(SUBPROTOCOL));
    if !offers_sip {
        return Err(refusal(StatusCode::BAD_REQUEST, "subprotocol sip required"));
    }
    let sip = HeaderValue::from_static(SUBPROTOCOL);
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, sip);
    Ok(response)
}

// RFC 6455 §10.2: a browser always says which page asks; whoever says nothing is no browser.
fn origin_allowed(headers: &HeaderMap, origins: &[String]) -> bool {
    headers.get_all(header::ORIGIN).iter().all(|asked| {
        let asked = asked.to_str().unwrap_or_default();
        origins.iter().any(|origin| origin == "*" || origin.eq_ignore_ascii_case(asked))
    })
}

fn refusal(status: StatusCode, reason: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(reason.to_owned()));
    *response.status_mut() = status;
    response
}

/// Serves an accepted WebSocket to its end.
pub(crate) async fn talk<S>(stream: Stream<S>, inbound: Inbound, queue: Queue)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let meter = stream.get_ref().meter.clone();
    let (sink, stream) = stream.split();
    let reader = Reader { stream, meter, control: Bucket::default(), clock: Clock::start() };
    connection::run(reader, Writer { sink }, inbound, queue).await;
}

struct Reader<S> {
    stream: SplitStream<Stream<S>>,
    meter: Arc<Meter>,
    control: Bucket,
    clock: Clock,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Reader<S> {
    async fn handle(&mut self, message: Message, inbound: &mut Inbound) -> Result<(), End> {
        let bytes = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Ping(payload) | Message::Pong(payload) => {
                self.meter.control(payload.len());
                inbound.touch();
                let admitted = self.control.take(CONTROL_FRAMES, self.clock.now());
                return if admitted { Ok(()) } else { Err(End::Broken) };
            }
            Message::Close(_) | Message::Frame(_) => return Err(End::Peer),
        };
        self.meter.finish();
        // RFC 5626 §3.5.1 as browsers' stacks send it over a WebSocket.
        match &bytes[..] {
            b"\r\n\r\n" => inbound.pong(b"\r\n").await,
            b"\r\n" => Ok(()),
            _ => inbound.deliver(bytes).await,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Receive for Reader<S> {
    async fn run(&mut self, inbound: &mut Inbound) -> End {
        let mut partial: Option<Instant> = None;
        loop {
            let deadline = partial.unwrap_or_else(|| inbound.deadline());
            tokio::select! {
                biased;
                message = self.stream.next() => {
                    let message = match message {
                        Some(Ok(message)) => message,
                        Some(Err(Error::ConnectionClosed | Error::Io(_))) | None => return End::Peer,
                        Some(Err(_)) => return End::Broken,
                    };
                    if let Err(end) = self.handle(message, inbound).await {
                        return end;
                    }
                    if self.meter.bytes() == 0 {
                        partial = None;
                    }
                }
                () = self.meter.begun.notified() => {
                    if self.meter.bytes() > 0 {
                        partial = Some(inbound.partial_deadline());
                    }
                }
                () = sleep_until(deadline) => return End::Timeout,
            }
        }
    }

    async fn discard(&mut self) {
        for _ in 0..64 {
            if !matches!(self.stream.next().await, Some(Ok(_))) {
                return;
            }
        }
    }
}

struct Writer<S> {
    sink: SplitSink<Stream<S>, Message>,
}

fn websocket_error(error: Error) -> io::Error {
    if let Error::Io(error) = error { error } else { io::Error::other(error) }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transmit for Writer<S> {
    async fn write(&mut self, messages: &[Bytes]) -> io::Result<()> {
        for bytes in messages {
            // RFC 7118 §5.3: text when it is UTF-8, else binary.
            let message = match Utf8Bytes::try_from(bytes.clone()) {
                Ok(text) => Message::Text(text),
                Err(_) => Message::Binary(bytes.clone()),
            };
            self.sink.feed(message).await.map_err(websocket_error)?;
        }
        self.sink.flush().await.map_err(websocket_error)
    }

    async fn close(&mut self) -> io::Result<()> {
        self.sink.close().await.map_err(websocket_error)
    }
}

/// Counts what is read from one whole message to the next.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    unfinished: AtomicUsize,
    begun: Notify,
}

impl Meter {
    fn bytes(&self) -> usize {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// A whole message was read.
    fn finish(&self) {
        self.unfinished.store(0, Ordering::Relaxed);
    }

    /// A control frame was read: two bytes, a mask and its payload (RFC 6455 §5.2, §5.5). It may
    /// stand between the fragments of a message and does not finish it.
    fn control(&self, payload: usize) {
        let rest = self.bytes().saturating_sub(2 + 4 + payload);
        self.unfinished.store(rest, Ordering::Relaxed);
    }
}

/// A stream that tells its [`Meter`] what was read, and fails beyond [`UNFINISHED_MAX`].
#[derive(Debug)]
pub(crate) struct Metered<S> {
    io: S,
    meter: Arc<Meter>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        let unfinished = self.meter.unfinished.fetch_add(read, Ordering::Relaxed);
        if unfinished == 0 && read > 0 {
            self.meter.begun.notify_one();
        }
        if unfinished + read > UNFINISHED_MAX {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        rows.iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_pages_that_are_allowed_may_connect() {
        let desk = ["https://desk.example.com".to_owned()];
        let any = ["*".to_owned()];
        for (origin, origins, allowed) in [
            (None, &[][..], true),
            (None, &desk, true),
            (Some("https://desk.example.com"), &desk, true),
            (Some("HTTPS://Desk.Example.com"), &desk, true),
            (Some("https://desk.example.com:444"), &desk, false),
            (Some("https://desk.example.com.evil.example"), &desk, false),
            (Some("null"), &desk, false),
            (Some("https://desk.example.com"), &[], false),
            (Some("https://evil.example"), &any, true),
        ] {
            let headers = origin.map(|origin| headers(&[("origin", origin)])).unwrap_or_default();
            assert_eq!(origin_allowed(&headers, origins), allowed, "{origin:?} {origins:?}");
        }
    }

    #[test]
    fn the_subprotocol_is_required_and_confirmed() {
        for (offered, accepted) in
            [("sip", true), ("xmpp, SIP", true), ("sips", false), ("", false)]
        {
            let headers = headers(&[("sec-websocket-protocol", offered)]);
            let judged = judge(&headers, &[], Response::new(()));
            assert_eq!(judged.is_ok(), accepted, "{offered}");
            if let Ok(response) = judged {
                assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "sip");
            }
        }
        assert!(judge(&HeaderMap::new(), &[], Response::new(())).is_err());
    }
}
