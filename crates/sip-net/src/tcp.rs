//! Listening for connections of all four stream transports, and opening them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls_pki_types::ServerName;
use sip::transport::{FlowId, Source, Transport};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::BindError;
use crate::connection::{self, ByteReader, ByteWriter, Inbound, fail_all};
use crate::env::Env;
use crate::flow::{self, Peer, Queue, Shared, ToCore};
use crate::slots::Slot;
use crate::tls;
use crate::udp::{DSCP_CS3, canonical, mark};
use crate::ws;

/// Connections the kernel holds before we accept them.
const BACKLOG: i32 = 1_024;

/// Kernel buffers per direction in bytes; the kernel doubles it. Bounds, with the write queue, what
/// a deaf reader costs.
const BUFFER_BYTES: usize = 128 * 1024;

/// Rest after a failed accept (no file descriptor left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is spoken on a listener.
#[derive(Clone)]
pub(crate) enum Speech {
    Tcp,
    Tls(Arc<ServerConfig>),
    Ws(Arc<[String]>),
    Wss(Arc<ServerConfig>, Arc<[String]>),
}

impl Speech {
    const fn transport(&self) -> Transport {
        match self {
            Self::Tcp => Transport::Tcp,
            Self::Tls(_) => Transport::Tls,
            Self::Ws(_) => Transport::Ws,
            Self::Wss(..) => Transport::Wss,
        }
    }
}

/// Binds a listener.
pub(crate) fn open(
    transport: Transport,
    address: SocketAddr,
) -> Result<std::net::TcpListener, BindError> {
    try_open(address).map_err(|error| BindError::Address { transport, address, error })
}

fn try_open(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    mark(&socket, address)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Finds out about a peer that vanished within two minutes.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Accepts for ever.
pub(crate) async fn listen(env: Arc<Env>, listener: TcpListener, speech: Speech) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => accept(&env, stream, canonical(remote), &speech),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn accept(env: &Arc<Env>, stream: TcpStream, remote: SocketAddr, speech: &Speech) {
    let ip = remote.ip();
    if env.sources.is_banned(ip, env.clock.now()) {
        env.stats.refused_banned.one();
        return;
    }
    let shared = Arc::new(Shared::default());
    let Some(seated) = env.slots.accept(ip, env.sources.known.contains(ip), &shared.kill) else {
        env.stats.refused_room.one();
        return;
    };
    if seated.displaced {
        env.stats.refused_room.one();
    }
    env.stats.accepted.one();
    let Ok(local) = stream.local_addr() else { return };
    if tune(&stream).is_err() {
        return;
    }
    let accepted = Accepted { remote, local: canonical(local), slot: seated.slot, shared };
    tokio::spawn(serve(env.clone(), stream, accepted, speech.clone()));
}

struct Accepted {
    remote: SocketAddr,
    local: SocketAddr,
    slot: Slot,
    shared: Arc<Shared>,
}

async fn serve(env: Arc<Env>, stream: TcpStream, accepted: Accepted, speech: Speech) {
    let (kill, ip) = (accepted.shared.kill.clone(), accepted.remote.ip());
    let transport = speech.transport();
    let greeting = timeout(env.limits.handshake, greet(stream, speech));
    let greeted = tokio::select! {
        () = kill.notified() => return,
        greeted = greeting => greeted,
    };
    let error = match greeted {
        Ok(Ok((greeted, names))) => return attend(env, greeted, names, transport, accepted).await,
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    env.stats.handshake_failed.one();
    if env.gate.open(ip, std::time::Instant::now()) {
        tracing::info!(%ip, transport = transport.as_str(), %error, "handshake failed");
    }
}

/// A connection on which SIP may begin.
enum Greeted {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    Ws(Box<ws::Stream<TcpStream>>),
    Wss(Box<ws::Stream<tokio_rustls::server::TlsStream<TcpStream>>>),
}

async fn greet(stream: TcpStream, speech: Speech) -> io::Result<(Greeted, Arc<[String]>)> {
    Ok(match speech {
        Speech::Tcp => (Greeted::Tcp(stream), Arc::default()),
        Speech::Tls(config) => {
            let (stream, names) = greet_tls(stream, config).await?;
            (Greeted::Tls(Box::new(stream)), names)
        }
        Speech::Ws(origins) => {
            (Greeted::Ws(Box::new(ws::greet(stream, origins).await?)), Arc::default())
        }
        Speech::Wss(config, origins) => {
            let (stream, names) = greet_tls(stream, config).await?;
            (Greeted::Wss(Box::new(ws::greet(stream, origins).await?)), names)
        }
    })
}

async fn greet_tls(
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> io::Result<(tokio_rustls::server::TlsStream<TcpStream>, Arc<[String]>)> {
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    // Whatever certificate is there has been verified.
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let names = certificate.map(tls::names).unwrap_or_default();
    Ok((stream, names))
}

async fn attend(
    env: Arc<Env>,
    greeted: Greeted,
    tls_names: Arc<[String]>,
    transport: Transport,
    accepted: Accepted,
) {
    let Accepted { remote, local, slot, shared } = accepted;
    let flow = env.flows.next();
    let (handle, queue) = flow::channel(shared);
    // A TLS peer that came to us has proved no server name: never reused for a request by name.
    let peer = (transport != Transport::Tls).then(|| peer(transport, remote, None));
    if env.to_core.send(ToCore::Opened { flow, peer, handle }).await.is_err() {
        return;
    }
    let source = Source { flow, transport, remote, local, tls_names };
    let inbound = Inbound::new(env, source, slot, &queue, false);
    match greeted {
        Greeted::Tcp(stream) => talk(stream, inbound, queue).await,
        Greeted::Tls(stream) => talk(*stream, inbound, queue).await,
        Greeted::Ws(stream) => ws::talk(*stream, inbound, queue).await,
        Greeted::Wss(stream) => ws::talk(*stream, inbound, queue).await,
    }
}

fn peer(transport: Transport, addr: SocketAddr, tls_name: Option<Arc<str>>) -> Peer {
    Peer { transport, addr, tls_name }
}

async fn talk<S: AsyncRead + AsyncWrite + Send + Unpin>(stream: S, inbound: Inbound, queue: Queue) {
    let (reader, writer) = tokio::io::split(stream);
    connection::run(ByteReader::new(reader), ByteWriter(writer), inbound, queue).await;
}

/// Opens a connection and serves it; what was queued meanwhile is sent or reported as failed.
pub(crate) async fn connect(env: Arc<Env>, flow: FlowId, peer: Peer, queue: Queue) {
    let attempt = timeout(env.limits.connect, try_connect(&env, &peer)).await;
    let error = match attempt {
        Ok(Ok((Opened { stream, local }, slot))) => {
            env.stats.connected.one();
            let Peer { transport, addr, tls_name } = peer;
            // RFC 5923: what comes back over a connection that we verified comes from that name.
            let tls_names = tls_name.iter().map(|name| name.to_ascii_lowercase()).collect();
            let source = Source { flow, transport, remote: addr, local, tls_names };
            let inbound = Inbound::new(env, source, slot, &queue, true);
            return match stream {
                Dialled::Tcp(stream) => talk(stream, inbound, queue).await,
                Dialled::Tls(stream) => talk(*stream, inbound, queue).await,
            };
        }
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    env.stats.connect_failed.one();
    if env.gate.open(peer.addr.ip(), std::time::Instant::now()) {
        let (to, transport) = (peer.addr, peer.transport.as_str());
        tracing::info!(%to, transport, %error, "cannot connect");
    }
    fail_all(&env, Vec::new(), queue.queue).await;
    let _ = env.to_core.send(ToCore::Closed { flow, stood: false }).await;
}

enum Dialled {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

struct Opened {
    stream: Dialled,
    local: SocketAddr,
}

async fn try_connect(env: &Env, peer: &Peer) -> io::Result<(Opened, Slot)> {
    let slot = env
        .slots
        .connect(peer.addr.ip())
        .ok_or_else(|| io::Error::other("too many connections"))?;
    let socket = match peer.addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_recv_buffer_size(BUFFER_BYTES as u32)?;
    socket.set_send_buffer_size(BUFFER_BYTES as u32)?;
    match peer.addr {
        SocketAddr::V4(_) => SockRef::from(&socket).set_tos_v4(DSCP_CS3)?,
        SocketAddr::V6(_) => SockRef::from(&socket).set_tclass_v6(DSCP_CS3)?,
    }
    let stream = socket.connect(peer.addr).await?;
    tune(&stream)?;
    let local = canonical(stream.local_addr()?);
    let stream = match peer.transport {
        Transport::Tcp => Dialled::Tcp(stream),
        Transport::Tls => {
            let name = match &peer.tls_name {
                Some(name) => ServerName::try_from(name.to_string()).map_err(io::Error::other)?,
                None => ServerName::from(peer.addr.ip()),
            };
            let config = env.tls.find(&name).map_err(io::Error::other)?;
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            Dialled::Tls(Box::new(stream))
        }
        // RFC 7118 §5: browsers open WebSockets, servers never do.
        Transport::Udp | Transport::Ws | Transport::Wss => {
            return Err(io::ErrorKind::Unsupported.into());
        }
    };
    Ok((Opened { stream, local }, slot))
}
