//! A connection without a socket, for tests that want many of them: of the fuzz targets.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use b2bua::io::Input;
use bytes::Bytes;
use sip::message::{Message, ParseError};
use sip::transport::{FlowId, Source, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::admission::{Bans, Sources};
use crate::config::{AdmissionConfig, ConnectionLimits, Rate, TlsClient};
use crate::connection::Inbound;
use crate::env::{Clock, Env, FlowIds};
use crate::flow::{self, Flows, Outgoing, Shared, ToCore};
use crate::slots::Slots;
use crate::stats::Stats;
use crate::tls::TlsClients;
use crate::ws;

/// Messages on their way to the core at once.
const TO_CORE: usize = 16;
/// Fast enough for every message of a test.
const RATE: Rate = Rate { per_second: 1_000_000, burst: 1_000_000 };

const FLOW: FlowId = FlowId(1);

/// What came of a connection.
#[derive(Debug, Default)]
pub struct Heard {
    /// Whether the handshake was accepted.
    pub greeted: bool,
    /// What the core was told, in order.
    pub messages: Vec<Result<Message, ParseError>>,
    /// All bytes the peer was sent, the answer to its handshake included.
    pub written: Vec<u8>,
}

/// A WebSocket of a peer that sends `pieces`, none empty, one a read, and hangs up. Pages of `origins` are let
/// in; `reply` is what the core sends back for each message, if anything.
///
/// # Errors
/// When the runtime cannot be built.
pub fn websocket(
    pieces: impl IntoIterator<Item = Bytes>,
    origins: &[String],
    reply: impl FnMut(&Result<Message, ParseError>) -> Option<Bytes>,
) -> io::Result<Heard> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    Ok(runtime.block_on(serve(pieces.into_iter().collect(), origins.into(), reply)))
}

async fn serve(
    pieces: VecDeque<Bytes>,
    origins: Arc<[String]>,
    mut reply: impl FnMut(&Result<Message, ParseError>) -> Option<Bytes>,
) -> Heard {
    let mut heard = Heard::default();
    let wire = Wire { pieces, is_slow: true, written: &mut heard.written };
    let (to_core, mut from_stream) = mpsc::channel(TO_CORE);
    let shared = Arc::<Shared>::default();
    let (handle, queue) = flow::channel(shared.clone());
    let mut flows = Flows::new(ConnectionLimits::default().write_queue_bytes);
    flows.insert(FLOW, None, handle);
    let (messages, greeted) = (&mut heard.messages, &mut heard.greeted);
    let stream = async move {
        let Ok(stream) = ws::greet(wire, origins).await else { return };
        *greeted = true;
        let Some(inbound) = inbound(to_core, &queue, &shared.kill) else { return };
        ws::talk(stream, inbound, queue).await;
    };
    let core = async move {
        while let Some(said) = from_stream.recv().await {
            match said {
                ToCore::Input(Input::Sip { message, .. }) => {
                    if let Some(bytes) = reply(&message) {
                        let _ = flows.queue(FLOW, Outgoing { bytes, transaction: None });
                    }
                    messages.push(message);
                }
                ToCore::Closed { .. } => flows.remove(FLOW),
                ToCore::Opened { .. } | ToCore::Input(_) => {}
            }
        }
    };
    tokio::join!(stream, core);
    heard
}

fn inbound(
    to_core: mpsc::Sender<ToCore>,
    queue: &flow::Queue,
    kill: &Arc<Notify>,
) -> Option<Inbound> {
    let env = Env {
        limits: ConnectionLimits::default(),
        rates: AdmissionConfig { unknown: RATE, known: RATE },
        sources: Sources { known: Arc::default(), bans: Arc::<Bans>::default() },
        stats: Arc::<Stats>::default(),
        slots: Slots::new(1, 1),
        gate: Default::default(),
        clock: Clock::start(),
        flows: FlowIds::new(),
        to_core,
        tls: TlsClients::new(&TlsClient::default()).ok()?,
        alive: oneshot::channel().0,
    };
    let [local, remote] = [1, 2].map(|host| SocketAddr::from(([192, 0, 2, host], 5080)));
    let seated = env.slots.accept(remote.ip(), false, kill)?;
    let transport = Transport::Ws;
    let source = Source { flow: FLOW, transport, remote, local, tls_names: Arc::new([]) };
    Some(Inbound::new(Arc::new(env), source, seated.slot, queue, false))
}

/// A stream that hands out pieces and keeps what is written.
#[derive(Debug)]
struct Wire<'a> {
    pieces: VecDeque<Bytes>,
    /// Whether the next read has to wait: then everybody else has a turn between two pieces.
    is_slow: bool,
    written: &'a mut Vec<u8>,
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_slow = !self.is_slow;
        if !self.is_slow {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(piece) = self.pieces.front_mut() else { return Poll::Ready(Ok(())) };
        buffer.put_slice(&piece.split_to(piece.len().min(buffer.remaining())));
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
