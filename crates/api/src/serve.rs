//! Connections: HTTP/1.1 with bounds on their number, on how slowly a request may come and on how
//! slowly an answer may be read.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};

/// Bounds on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections_max: usize,
    /// Connections from one address.
    pub connections_per_address_max: usize,
    /// How long the head of a request may take, and a connection may be silent between two.
    pub head_within: Duration,
    /// How long a body may take.
    pub body_within: Duration,
    /// How long a client may read nothing of what it is sent.
    pub read_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_address_max: 256,
            head_within: Duration::from_secs(10),
            body_within: Duration::from_secs(10),
            read_within: Duration::from_secs(20),
        }
    }
}

/// Largest request head.
const HEAD_MAX: usize = 16 << 10;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// After an error of the listener (no descriptors left) it rests so long.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Who is connected.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    total: AtomicUsize,
    refused: AtomicUsize,
    per_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Connections {
    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    fn enter(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Option<Seat> {
        let mut per_address = self.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = per_address.entry(address).or_default();
        if self.total() >= limits.connections_max || *count >= limits.connections_per_address_max {
            if *count == 0 {
                per_address.remove(&address);
            }
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *count += 1;
        self.total.fetch_add(1, Ordering::Relaxed);
        Some(Seat { connections: Arc::clone(self), address })
    }
}

/// One connection's place.
#[derive(Debug)]
struct Seat {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let lock = self.connections.per_address.lock();
        let mut per_address = lock.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = per_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                per_address.remove(&self.address);
            }
        }
        self.connections.total.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    connections: Arc<Connections>,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the API accepts no connection just now");
                sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let Some(seat) = connections.enter(peer.ip().to_canonical(), &limits) else { continue };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let stream = TokioIo::new(Patient::new(stream, limits.read_within));
        tokio::spawn(async move {
            let _seat = seat;
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(limits.head_within)
                .max_headers(HEADERS_MAX)
                .max_buf_size(HEAD_MAX);
            // Whatever the client does wrong ends its connection and nothing else.
            let served = http.serve_connection(stream, service).with_upgrades().await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection of the API ended");
            }
        });
    }
}

/// A connection whose peer must read what it is sent.
#[derive(Debug)]
struct Patient {
    stream: TcpStream,
    read_within: Duration,
    /// Armed while a write waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(stream: TcpStream, read_within: Duration) -> Self {
        Self { stream, read_within, until: None }
    }

    fn waited<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.until = None;
            return poll;
        }
        let deadline = Instant::now() + self.read_within;
        let until = self.until.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        ready!(until.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.waited(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.waited(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
