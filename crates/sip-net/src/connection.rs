//! One connection's task: reads messages into the core's queue, writes what the core sends.
//!
//! Reading and writing go on at the same time in one task; whichever ends first ends the other.
//! When the reader ends, what the core still has to say (a 400 to a broken message) is written
//! before the connection closes.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::ready;
use std::time::Duration;

use b2bua::io::Input;
use bytes::{Bytes, BytesMut};
use sip::framing::{Decoder, Frame};
use sip::message::{Message, ParseError, parse_datagram};
use sip::transaction::TransactionId;
use sip::transport::Source;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::admission::Bucket;
use crate::env::Env;
use crate::flow::{Outgoing, Queue, Shared, ToCore};
use crate::slots::Slot;

/// How long one write may make no progress.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the rest may take to be written, and the peer to close, at the end.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// What is read and thrown away at the end, so that our last words are not lost by a reset.
const DISCARD_MAX: usize = 256 * 1024;

/// Messages are joined into writes of about this size.
const COALESCE_BYTES: usize = 32 * 1024;

/// Bytes per read.
const READ_BYTES: usize = 16 * 1024;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer closed it, or the network did.
    Peer,
    /// What it sent cannot be read on, or its source is banned.
    Broken,
    /// A message, or the next one, took too long.
    Timeout,
    /// The core closed it.
    Core,
    /// Writing failed.
    Write,
    /// A deaf reader, or room needed for another connection.
    Killed,
}

/// The reading half of a connection.
pub(crate) trait Receive: Send {
    /// Delivers messages until the connection ends.
    fn run(&mut self, inbound: &mut Inbound) -> impl Future<Output = End> + Send;

    /// Reads and forgets, until the peer closes.
    fn discard(&mut self) -> impl Future<Output = ()> + Send;
}

/// The writing half of a connection.
pub(crate) trait Transmit: Send {
    /// Writes whole messages.
    fn write(&mut self, messages: &[Bytes]) -> impl Future<Output = io::Result<()>> + Send;

    /// Says goodbye.
    fn close(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// What a reader needs to know and to do.
pub(crate) struct Inbound {
    env: Arc<Env>,
    source: Source,
    slot: Slot,
    shared: Arc<Shared>,
    own: mpsc::WeakSender<Outgoing>,
    unknown: Bucket,
    known: Bucket,
    ours: bool,
    spoken: bool,
    deadline: Instant,
}

impl Inbound {
    /// A connection that we opened counts as having spoken.
    pub(crate) fn new(
        env: Arc<Env>,
        source: Source,
        slot: Slot,
        queue: &Queue,
        ours: bool,
    ) -> Self {
        let within = if ours { env.limits.idle } else { env.limits.partial };
        Self {
            env,
            source,
            slot,
            shared: queue.shared.clone(),
            own: queue.own.clone(),
            unknown: Bucket::default(),
            known: Bucket::default(),
            ours,
            spoken: ours,
            deadline: Instant::now() + within,
        }
    }

    /// When the connection has been silent for too long.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When a message that begins now must be whole.
    pub(crate) fn partial_deadline(&self) -> Instant {
        self.deadline.min(Instant::now() + self.env.limits.partial)
    }

    /// Hands one message to the core; waits while it is busy or the source sends too fast.
    pub(crate) async fn deliver(&mut self, bytes: Bytes) -> Result<(), End> {
        self.admit().await?;
        self.env.stats.stream_received.one();
        let message = parse_datagram(bytes);
        if message.is_ok() {
            self.alive();
        }
        self.report(message).await
    }

    /// Hands what broke the stream to the core, which may answer it.
    pub(crate) async fn refuse(&self, error: ParseError) -> End {
        self.env.stats.stream_broken.one();
        let _ = self.report(Err(error)).await;
        End::Broken
    }

    /// Answers a keep-alive; dropped when the peer does not read.
    pub(crate) async fn pong(&mut self, bytes: &'static [u8]) -> Result<(), End> {
        self.admit().await?;
        self.touch();
        if let Some(own) = self.own.upgrade() {
            let pong = Outgoing { bytes: Bytes::from_static(bytes), transaction: None };
            self.shared.queued.fetch_add(bytes.len(), Ordering::Relaxed);
            if own.try_send(pong).is_err() {
                self.shared.queued.fetch_sub(bytes.len(), Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// A keep-alive keeps a connection that has spoken.
    pub(crate) fn touch(&mut self) {
        if self.spoken {
            self.alive();
        }
    }

    fn alive(&mut self) {
        if !self.spoken {
            self.spoken = true;
            self.slot.spoke();
        }
        self.deadline = Instant::now() + self.env.limits.idle;
    }

    async fn report(&self, message: Result<Message, ParseError>) -> Result<(), End> {
        // What it was in bytes matters where a source can be forged: not here.
        let input = Input::Sip { source: self.source.clone(), message, size: 0 };
        self.env.to_core.send(ToCore::Input(input)).await.map_err(|_| End::Core)
    }

    // TCP: a source that sends too fast is read more slowly.
    async fn admit(&mut self) -> Result<(), End> {
        let (env, ip) = (&self.env, self.source.remote.ip());
        loop {
            let now = env.clock.now();
            if env.sources.is_banned(ip, now) {
                env.stats.refused_banned.one();
                return Err(End::Broken);
            }
            let mut wait = self.unknown.wait(env.rates.unknown, now);
            if wait > 0 && (self.ours || env.sources.known.contains(ip)) {
                wait = self.known.wait(env.rates.known, now);
            }
            if wait == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_nanos(wait).min(Duration::from_secs(1))).await;
        }
    }
}

/// Runs a connection to its end.
pub(crate) async fn run<R: Receive, W: Transmit>(
    mut reader: R,
    writer: W,
    mut inbound: Inbound,
    queue: Queue,
) {
    let env = inbound.env.clone();
    let flow = inbound.source.flow;
    let kill = queue.shared.kill.clone();
    let mut outbound = Outbound::new(writer, queue);
    let mut closed = false;
    let end = {
        let (read, write) = (reader.run(&mut inbound), outbound.run());
        tokio::pin!(read, write);
        let end = tokio::select! {
            biased;
            () = kill.notified() => End::Killed,
            end = &mut write => end,
            end = &mut read => end,
        };
        if matches!(end, End::Peer | End::Broken | End::Timeout) {
            // The core lets go of the queue once it has handled what was read: the rest is written.
            closed = env.to_core.send(ToCore::Closed { flow, stood: true }).await.is_ok();
            let _ = timeout(LINGER, &mut write).await;
        }
        end
    };
    match end {
        End::Broken | End::Core => drop(timeout(LINGER, reader.discard()).await),
        End::Timeout => env.stats.stream_timeout.one(),
        End::Peer | End::Write | End::Killed => {}
    }
    tracing::debug!(%flow, remote = %inbound.source.remote, ?end, "connection closed");
    fail_all(&env, outbound.flight, outbound.queue).await;
    if !closed {
        let _ = env.to_core.send(ToCore::Closed { flow, stood: true }).await;
    }
}

/// Tells the core which transactions' messages did not leave.
pub(crate) async fn fail_all(
    env: &Env,
    flight: Vec<TransactionId>,
    mut queue: mpsc::Receiver<Outgoing>,
) {
    queue.close();
    for transaction in flight {
        let _ = env.to_core.send(ToCore::Input(Input::SendFailed(transaction))).await;
    }
    while let Some(outgoing) = queue.recv().await {
        if let Some(transaction) = outgoing.transaction {
            let _ = env.to_core.send(ToCore::Input(Input::SendFailed(transaction))).await;
        }
    }
}

struct Outbound<W> {
    writer: W,
    queue: mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
    batch: Vec<Bytes>,
    flight: Vec<TransactionId>,
}

impl<W: Transmit> Outbound<W> {
    fn new(writer: W, queue: Queue) -> Self {
        let Queue { queue, own: _, shared } = queue;
        Self { writer, queue, shared, batch: Vec::new(), flight: Vec::new() }
    }

    async fn run(&mut self) -> End {
        loop {
            let Some(first) = self.queue.recv().await else {
                let _ = timeout(LINGER, self.writer.close()).await;
                return End::Core;
            };
            let mut bytes = self.add(first);
            while bytes < COALESCE_BYTES
                && let Ok(next) = self.queue.try_recv()
            {
                bytes += self.add(next);
            }
            match timeout(WRITE_TIMEOUT, self.writer.write(&self.batch)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return End::Write,
            }
            self.shared.queued.fetch_sub(bytes, Ordering::Relaxed);
            self.batch.clear();
            self.flight.clear();
        }
    }

    fn add(&mut self, message: Outgoing) -> usize {
        let len = message.bytes.len();
        self.batch.push(message.bytes);
        self.flight.extend(message.transaction);
        len
    }
}

/// The reading half of TCP and TLS.
pub(crate) struct ByteReader<R> {
    io: R,
    decoder: Decoder,
}

impl<R> ByteReader<R> {
    pub(crate) fn new(io: R) -> Self {
        Self { io, decoder: Decoder::new() }
    }
}

impl<R: AsyncRead + Unpin + Send> ByteReader<R> {
    /// Reads once; the buffer lives on the stack, so an idle connection holds none.
    async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut room = [const { MaybeUninit::<u8>::uninit() }; READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            self.decoder.push(buffer.filled());
            Ok(buffer.filled().len()).into()
        })
        .await
    }

    /// Delivers every whole message held; says whether there was any.
    async fn drain(&mut self, inbound: &mut Inbound) -> Result<bool, End> {
        let mut any = false;
        for frame in self.decoder.by_ref() {
            any = true;
            match frame {
                Ok(Frame::Message(bytes)) => inbound.deliver(bytes).await?,
                // RFC 5626 §3.5.1: a double CRLF is answered by a single one.
                Ok(Frame::Ping) => inbound.pong(b"\r\n").await?,
                Ok(Frame::Pong) => {}
                Err(error) => return Err(inbound.refuse(error).await),
            }
        }
        Ok(any)
    }
}

impl<R: AsyncRead + Unpin + Send> Receive for ByteReader<R> {
    async fn run(&mut self, inbound: &mut Inbound) -> End {
        let mut partial: Option<Instant> = None;
        loop {
            let deadline = partial.unwrap_or_else(|| inbound.deadline());
            match timeout_at(deadline, self.fill()).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return End::Peer,
                Err(_) => return End::Timeout,
            }
            let any = match self.drain(inbound).await {
                Ok(any) => any,
                Err(end) => return end,
            };
            if self.decoder.pending() == 0 {
                partial = None;
            } else if any || partial.is_none() {
                partial = Some(inbound.partial_deadline());
            }
        }
    }

    async fn discard(&mut self) {
        let mut room = [0; 4096];
        let mut left = DISCARD_MAX;
        while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut self.io, &mut room).await {
            left = left.saturating_sub(room.len());
            if left == 0 {
                return;
            }
        }
    }
}

/// The writing half of TCP and TLS.
pub(crate) struct ByteWriter<W>(pub(crate) W);

impl<W: AsyncWrite + Unpin + Send> Transmit for ByteWriter<W> {
    async fn write(&mut self, messages: &[Bytes]) -> io::Result<()> {
        match messages {
            [only] => self.0.write_all(only).await?,
            many => {
                let mut joined = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
                many.iter().for_each(|message| joined.extend_from_slice(message));
                self.0.write_all(&joined).await?;
            }
        }
        self.0.flush().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}
