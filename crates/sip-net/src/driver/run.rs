//! One turn after the other: what is there goes into the core, what comes out goes its way.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use b2bua::io::{Event, Input, Output};
use base::Time;
use bytes::Bytes;
use sip::message::{ParseErrorKind, parse_datagram};
use sip::transaction::TransactionId;
use sip::transport::{FlowId, Source, Target, Transport};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Core, Ended, Sink};
use crate::admission::Admission;
use crate::env::Env;
use crate::flow::{self, Flows, Outgoing, Peer, Refused, Shared, ToCore};
use crate::mmsg::Batch;
use crate::resolver::{Question, Resolver};
use crate::stun;
use crate::tcp;
use crate::udp::{self, Failed, UdpSocket, canonical};

/// Turns before the runtime may look at sockets again.
const TURNS_MAX: usize = 16;

/// Inputs taken from one queue in one turn, so that no queue starves the sockets.
const INPUTS_PER_TURN: usize = 64;

/// The shortest datagram that can be SIP; shorter ones are keep-alives.
const DATAGRAM_MIN: usize = 20;

/// The least time between two ticks. The shortest timer of SIP is T1 (RFC 3261 §17.1.1.1: 500 ms), so
/// what is due within this time can be done together: a wake-up of its own for each transaction that
/// ends costs more than ending it. A tick after a quiet time is not late, and a core that asks for the past does not
/// spin.
const TICK_MIN: Duration = Duration::from_millis(20);

/// Where inputs come from, beside the sockets.
pub(super) struct Sources {
    pub(super) streams: mpsc::Receiver<ToCore>,
    pub(super) inputs: Option<mpsc::Receiver<Input>>,
    pub(super) stop: oneshot::Receiver<()>,
}

pub(super) struct Driver<C> {
    core: C,
    sink: Box<dyn Sink>,
    env: Arc<Env>,
    resolver: Resolver,
    streams: tokio::runtime::Handle,
    admission: Admission,
    sockets: Vec<UdpSocket>,
    batch: Batch,
    flows: Flows,
    /// Inputs that outputs have caused.
    pending: VecDeque<Input>,
    out: Vec<Output>,
    failed: Vec<Failed>,
    no_names: Arc<[String]>,
    ticked: Option<Time>,
    timer: Pin<Box<Sleep>>,
    drained: bool,
}

impl<C: Core> Driver<C> {
    /// Must be called within the runtime.
    pub(super) fn new(
        core: C,
        sink: Box<dyn Sink>,
        env: Arc<Env>,
        resolver: Resolver,
        streams: tokio::runtime::Handle,
        sockets: Vec<UdpSocket>,
    ) -> Self {
        let sources = env.sources.clone();
        Self {
            core,
            sink,
            resolver,
            streams,
            admission: Admission::new(&env.rates, sources, env.stats.clone()),
            sockets,
            batch: Batch::new(),
            flows: Flows::new(env.limits.write_queue_bytes),
            env,
            pending: VecDeque::new(),
            out: Vec::new(),
            failed: Vec::new(),
            no_names: Arc::default(),
            ticked: None,
            timer: Box::pin(sleep_until(Instant::now())),
            drained: false,
        }
    }

    pub(super) fn into_core(self) -> C {
        self.core
    }

    pub(super) async fn run(&mut self, mut sources: Sources) -> Ended {
        // The loop is fair by itself; a task budget would only send it round once more.
        tokio::task::coop::unconstrained(poll_fn(|cx| self.poll(cx, &mut sources))).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, sources: &mut Sources) -> Poll<Ended> {
        for _ in 0..TURNS_MAX {
            if Pin::new(&mut sources.stop).poll(cx).is_ready() {
                return Poll::Ready(Ended::Stopped);
            }
            let progress = self.turn(cx, sources);
            if self.drained {
                return Poll::Ready(Ended::Drained);
            }
            if !progress && self.sleep(cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Looks at every source once; says whether there was anything.
    fn turn(&mut self, cx: &mut Context<'_>, sources: &mut Sources) -> bool {
        let mut progress = !self.pending.is_empty();
        for _ in 0..self.pending.len() {
            if let Some(input) = self.pending.pop_front() {
                self.handle(input);
            }
        }
        // Before anything from the wire: what a restart restores is queued before the first turn.
        for _ in 0..INPUTS_PER_TURN {
            let Some(inputs) = &mut sources.inputs else { break };
            match inputs.poll_recv(cx) {
                Poll::Ready(Some(input)) => {
                    progress = true;
                    self.handle(input);
                }
                Poll::Ready(None) => sources.inputs = None,
                Poll::Pending => break,
            }
        }
        for _ in 0..INPUTS_PER_TURN {
            let Poll::Ready(Some(told)) = sources.streams.poll_recv(cx) else { break };
            progress = true;
            self.told(told);
        }
        for index in 0..self.sockets.len() {
            if let Poll::Ready(received) = self.sockets[index].poll_receive(cx, &mut self.batch) {
                progress = true;
                self.env.stats.udp_received.add(received as u64);
                for i in 0..received {
                    self.datagram(index, i);
                }
            }
        }
        let now = self.env.clock.now();
        if self.deadline().is_some_and(|due| due <= now) {
            progress = true;
            self.ticked = Some(now);
            self.handle(Input::Tick);
        }
        self.flush();
        progress
    }

    fn deadline(&self) -> Option<Time> {
        let due = self.core.next_timeout()?;
        Some(self.ticked.map_or(due, |ticked| due.max(ticked + TICK_MIN)))
    }

    /// Arms the timer; ready when its time has come already. A timer that is armed too early stays
    /// so: one needless turn is cheaper than moving it with every message.
    fn sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.deadline() else { return Poll::Pending };
        let due = self.env.clock.instant(due).into();
        if self.timer.is_elapsed() || due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }

    fn handle(&mut self, input: Input) {
        let now = self.env.clock.now();
        let mut out = std::mem::take(&mut self.out);
        let core = &mut self.core;
        let handled = catch_unwind(AssertUnwindSafe(|| core.handle(now, input, &mut out)));
        if let Err(panic) = handled {
            self.env.stats.panics.one();
            let what = panic.downcast_ref::<&str>().copied();
            let what = what.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            tracing::error!(what = what.unwrap_or("unknown"), "the core panicked");
        }
        for output in out.drain(..) {
            self.apply(output, now);
        }
        self.out = out;
    }

    fn apply(&mut self, output: Output, now: Time) {
        match output {
            Output::Send { target, bytes, transaction } => self.send(target, bytes, transaction),
            Output::CloseFlow(flow) => self.flows.close(flow),
            Output::Resolve { query, host, port, transport, secure } => {
                self.env.stats.look_ups.one();
                let question = Question { host, port, transport, secure };
                self.pending.extend(self.resolver.ask(query, question));
            }
            Output::Event(event) => {
                if let Event::Banned { source, until } = &event {
                    self.env.sources.bans.add(*source, *until, now);
                }
                self.tell(Output::Event(event));
            }
            Output::Drained => {
                self.drained = true;
                self.tell(Output::Drained);
            }
            output @ (Output::Media(_)
            | Output::Store(_)
            | Output::CallRecord(_)
            | Output::Reply { .. }) => {
                self.tell(output);
            }
        }
    }

    fn tell(&mut self, output: Output) {
        self.pending.extend(self.sink.take(output));
    }

    fn told(&mut self, told: ToCore) {
        match told {
            ToCore::Opened { flow, peer, handle } => self.flows.insert(flow, peer, handle),
            ToCore::Input(input) => self.handle(input),
            ToCore::Closed { flow, stood } => {
                self.flows.remove(flow);
                if stood {
                    self.handle(Input::FlowClosed(flow));
                }
            }
        }
    }

    fn datagram(&mut self, index: usize, i: usize) {
        let (bytes, meta) = self.batch.datagram(i);
        let stats = &self.env.stats;
        self.sockets[index].count_dropped(meta.dropped, stats);
        let Some(remote) = meta.remote.map(canonical) else { return };
        // Port 0 cannot be answered.
        if remote.port() == 0 || !self.admission.admit(remote.ip(), self.env.clock.now()) {
            return;
        }
        if bytes.len() < DATAGRAM_MIN {
            stats.udp_short.one();
            return;
        }
        let (flow, local) = self.sockets[index].flow(meta.local);
        if stun::is_stun(bytes) {
            let known = || self.admission.is_known(remote.ip());
            // An unknown source never gets back more than twice what it sent.
            let fits = |answer: &Vec<u8>| answer.len() <= 2 * bytes.len() || known();
            if let Some(answer) = stun::answer(bytes, remote).filter(fits) {
                stats.stun_answered.one();
                self.send_datagram(index, remote, Some(flow), answer.into(), None);
            }
            return;
        }
        let size = bytes.len();
        let message = parse_datagram(Bytes::copy_from_slice(bytes));
        if let Err(error) = &message
            && error.partial.is_none()
        {
            let keep_alive = error.kind == ParseErrorKind::KeepAlive;
            if keep_alive { &stats.udp_short } else { &stats.udp_garbage }.one();
            return;
        }
        let tls_names = self.no_names.clone();
        let source = Source { flow, transport: Transport::Udp, remote, local, tls_names };
        self.handle(Input::Sip { source, message, size });
    }

    fn send(&mut self, target: Target, bytes: Bytes, transaction: Option<TransactionId>) {
        if target.transport == Transport::Udp {
            if !bytes.starts_with(b"SIP/2.0 ") {
                self.admission.ask(target.addr.ip(), self.env.clock.now());
            }
            return match udp::choose(&self.sockets, target.addr, target.flow) {
                Some(index) => {
                    self.send_datagram(index, target.addr, target.flow, bytes, transaction);
                }
                None => self.fail(transaction),
            };
        }
        let flow = match target.flow {
            Some(flow) => flow,
            None => self.connection(target),
        };
        let message = Outgoing { bytes, transaction };
        match self.flows.queue(flow, message) {
            Ok(()) => self.env.stats.stream_sent.one(),
            Err(refused) => {
                if refused == Refused::Deaf {
                    self.env.stats.stream_deaf.one();
                }
                self.fail(transaction);
            }
        }
    }

    fn fail(&mut self, transaction: Option<TransactionId>) {
        self.pending.extend(transaction.map(Input::SendFailed));
    }

    fn send_datagram(
        &mut self,
        index: usize,
        to: std::net::SocketAddr,
        flow: Option<FlowId>,
        bytes: Bytes,
        transaction: Option<TransactionId>,
    ) {
        let socket = &mut self.sockets[index];
        if socket.push(to, flow, bytes, transaction) {
            socket.flush(&self.env.stats, &mut self.failed);
        }
    }

    fn flush(&mut self) {
        self.sink.settle();
        for socket in &mut self.sockets {
            socket.flush(&self.env.stats, &mut self.failed);
        }
        self.pending.extend(self.failed.drain(..).map(|Failed(id)| Input::SendFailed(id)));
    }

    /// The connection to a peer; opens one when there is none.
    fn connection(&mut self, target: Target) -> FlowId {
        let Target { transport, addr, flow: _, tls_name } = target;
        let tls_name = tls_name.filter(|_| transport.is_secure());
        let peer = Peer { transport, addr: canonical(addr), tls_name };
        if let Some(flow) = self.flows.find(&peer) {
            return flow;
        }
        let flow = self.env.flows.next();
        let (handle, queue) = flow::channel(Arc::new(Shared::default()));
        self.flows.insert(flow, Some(peer.clone()), handle);
        self.streams.spawn(tcp::connect(self.env.clone(), flow, peer, queue));
        flow
    }
}
