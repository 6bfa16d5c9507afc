//! Binding, and the loop that drives the core.
//!
//! ```text
//! UDP sockets ─recvmmsg─▶ admit ▶ parse ─┐
//! connections ─▶ bounded queue ──────────┼─▶ core.handle ─▶ UDP: batch ─sendmmsg─▶
//! media, API ──▶ bounded queue ──────────┤        │         connections: bounded queues
//! deadline ──────────────────────────────┘        └───────▶ sink (media, store, records, events)
//! ```
//!
//! The loop sleeps until one of them has something; it never polls by the clock.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use b2bua::io::{Input, Output};
use base::Time;
use sip::transport::Transport;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::admission::{Bans, Sources};
use crate::config::{BindError, ListenSpec, NetConfig};
use crate::connection::LINGER;
use crate::env::{Clock, Env, FlowIds};
use crate::resolver::{Resolver, UdpFamilies};
use crate::slots::Slots;
use crate::stats::Stats;
use crate::tcp::{self, Speech};
use crate::tls::{self, Certificates, Identity, TlsClients};
use crate::udp::{self, UdpSocket};

mod run;

use run::{Driver, Sources as InputSources};

/// Inputs of connections and the resolver that wait for the core; when it is full, connections are
/// not read.
const STREAM_INPUTS_MAX: usize = 1_024;

/// What the loop drives: pure, and told the time.
pub trait Core {
    /// Does everything that `input` causes, and whatever is due at `now`.
    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>);

    /// When [`Input::Tick`] is due.
    fn next_timeout(&self) -> Option<Time>;
}

/// Takes every output that is not for the network. Runs on the core's thread and must not block.
pub trait Sink: Send {
    /// Media, store, call records, events, and [`Output::Drained`]. An input it returns (a media
    /// command that could not be queued has failed) is handled next.
    fn take(&mut self, output: Output) -> Option<Input>;

    /// For now there are no more: what was taken can go out together.
    fn settle(&mut self) {}
}

impl<F: FnMut(Output) -> Option<Input> + Send> Sink for F {
    fn take(&mut self, output: Output) -> Option<Input> {
        self(output)
    }
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// [`Output::Drained`]: no call is left.
    Drained,
    /// The stop signal came.
    Stopped,
}

/// Every listener is bound; nothing is read yet.
pub struct Bound {
    config: NetConfig,
    udp: Vec<std::net::UdpSocket>,
    streams: Vec<(std::net::TcpListener, Speech)>,
    local_addrs: Vec<(Transport, SocketAddr)>,
    tls: TlsClients,
    certificates: Certificates,
    clock: Clock,
    bans: Arc<Bans>,
    stats: Arc<Stats>,
}

/// Binds every listener and reads every certificate.
pub fn bind(config: NetConfig) -> Result<Bound, BindError> {
    let mut bound = Bound {
        tls: TlsClients::new(&config.tls_client)?,
        certificates: Certificates::default(),
        udp: Vec::new(),
        streams: Vec::new(),
        local_addrs: Vec::new(),
        clock: Clock::start(),
        bans: Arc::default(),
        stats: Arc::default(),
        config,
    };
    bound.tls.identity().into_iter().for_each(|identity| bound.certificates.push(identity));
    for spec in bound.config.listen.clone() {
        bound.listen(&spec)?;
    }
    Ok(bound)
}

impl Bound {
    fn listen(&mut self, spec: &ListenSpec) -> Result<(), BindError> {
        let ListenSpec { transport, address, .. } = *spec;
        let at = |error| BindError::Address { transport, address, error };
        let certificates = &mut self.certificates;
        let mut tls = || {
            let files = spec.tls.as_ref();
            let files = files.ok_or(BindError::NoCertificate { transport, address })?;
            let identity = Identity::load(&files.cert, &files.key)?;
            certificates.push(identity.clone());
            tls::server(files, identity)
        };
        let origins = || Arc::from(spec.ws_origins.clone());
        let speech = match transport {
            Transport::Udp => {
                let socket = udp::open(address)?;
                self.local_addrs.push((transport, socket.local_addr().map_err(at)?));
                self.udp.push(socket);
                return Ok(());
            }
            Transport::Tcp => Speech::Tcp,
            Transport::Tls => Speech::Tls(tls()?),
            Transport::Ws => Speech::Ws(origins()),
            Transport::Wss => Speech::Wss(tls()?, origins()),
        };
        let listener = tcp::open(transport, address)?;
        self.local_addrs.push((transport, listener.local_addr().map_err(at)?));
        self.streams.push((listener, speech));
        Ok(())
    }

    /// Where we listen, in the order of the configuration, with the ports that 0 became.
    pub fn local_addrs(&self) -> &[(Transport, SocketAddr)] {
        &self.local_addrs
    }

    /// The certificates that we show, to be read anew when they are replaced.
    pub fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// The clock of every `now` the core will see.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// The counters.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// The banned sources, which [`b2bua::io::Event::Banned`] fills.
    pub fn bans(&self) -> Arc<Bans> {
        self.bans.clone()
    }

    /// Drives `core` on this thread until it has drained, or until `stop` is sent or dropped; gives
    /// it back. Connections are served by a second thread, which ends with it. Must not be called
    /// from within a tokio runtime.
    ///
    /// A panic of the core is logged and survived.
    pub fn run<C: Core>(
        self,
        core: C,
        sink: Box<dyn Sink>,
        inputs: mpsc::Receiver<Input>,
        stop: oneshot::Receiver<()>,
    ) -> Result<(C, Ended), BindError> {
        let here = runtime()?;
        let there = runtime()?;
        let (to_core, from_streams) = mpsc::channel(STREAM_INPUTS_MAX);
        let (alive, ended) = oneshot::channel();
        let config = &self.config;
        let families = UdpFamilies {
            v4: self.local_addrs.iter().any(|(t, a)| *t == Transport::Udp && a.is_ipv4()),
            v6: self.local_addrs.iter().any(|(t, a)| *t == Transport::Udp && a.is_ipv6()),
        };
        let streams = there.handle().clone();
        let resolver = Resolver::new(&config.resolver, families, to_core.clone(), streams.clone());
        let env = Arc::new(Env {
            limits: config.connections,
            rates: config.admission,
            sources: Sources { known: config.known.clone(), bans: self.bans },
            stats: self.stats,
            slots: Slots::new(config.connections.total, config.connections.per_address),
            gate: Default::default(),
            clock: self.clock,
            flows: FlowIds::new(),
            to_core,
            tls: self.tls,
            alive,
        });
        let (finish, finished) = oneshot::channel();
        let connections =
            Connections { listeners: self.streams, env: env.clone(), finished, ended };
        let thread = std::thread::Builder::new()
            .name("sip-streams".into())
            .spawn(move || there.block_on(connections.run()))
            .map_err(BindError::Start)?;
        let result = {
            let _context = here.enter();
            let sockets = (self.udp.into_iter().zip(0..)).map(|(s, i)| UdpSocket::new(s, i));
            let sockets = sockets.collect::<io::Result<Vec<_>>>().map_err(BindError::Start)?;
            let mut driver = Driver::new(core, sink, env, resolver, streams, sockets);
            let sources = InputSources { streams: from_streams, inputs: Some(inputs), stop };
            let ended = here.block_on(driver.run(sources));
            (driver.into_core(), ended)
        };
        let _ = finish.send(());
        if thread.join().is_err() {
            tracing::error!("the thread of the connections panicked");
        }
        Ok(result)
    }
}

fn runtime() -> Result<Runtime, BindError> {
    Builder::new_current_thread().enable_all().build().map_err(BindError::Start)
}

/// The second thread.
struct Connections {
    listeners: Vec<(std::net::TcpListener, Speech)>,
    env: Arc<Env>,
    finished: oneshot::Receiver<()>,
    ended: oneshot::Receiver<()>,
}

impl Connections {
    async fn run(self) {
        let mut listening = JoinSet::new();
        for (listener, speech) in self.listeners {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    listening.spawn(tcp::listen(self.env.clone(), listener, speech));
                }
                Err(error) => tracing::error!(%error, "cannot serve a listener"),
            }
        }
        // Sent or dropped: the core's loop is over.
        let _ = self.finished.await;
        listening.shutdown().await;
        drop(self.env);
        // Every connection holds the environment while it writes its last words.
        let _ = tokio::time::timeout(LINGER, self.ended).await;
    }
}
