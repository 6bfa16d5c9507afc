//! What the operator decides about the network, and why listening failed.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sip::transport::Transport;

use crate::admission::KnownSources;
use crate::resolver::ResolverConfig;

/// Everything [`crate::bind`] needs to know.
#[derive(Clone, Debug, Default)]
pub struct NetConfig {
    /// Where to listen.
    pub listen: Vec<ListenSpec>,
    /// Bounds on connections.
    pub connections: ConnectionLimits,
    /// How we act as TLS client.
    pub tls_client: TlsClient,
    /// What one source address may send.
    pub admission: AdmissionConfig,
    /// Trunks' networks and, filled while running, the addresses of registered phones.
    pub known: Arc<KnownSources>,
    /// Name look-ups.
    pub resolver: ResolverConfig,
}

/// One listening address.
#[derive(Clone, Debug)]
pub struct ListenSpec {
    /// Its transport.
    pub transport: Transport,
    /// The address to bind. The wildcard address is fine on UDP too: answers leave from the
    /// address that was asked. Port 0: see [`crate::Bound::local_addrs`].
    pub address: SocketAddr,
    /// Certificate and key; needed for TLS and WSS, ignored elsewhere.
    pub tls: Option<TlsFiles>,
    /// Origins (`https://desk.example.com`) of pages that may open a WebSocket here; `*` allows
    /// every page. Empty: no page at all, only clients that send no `Origin` header (a page
    /// cannot leave it out). Compared without regard to case, ports included.
    pub ws_origins: Vec<String>,
}

impl ListenSpec {
    /// Listens without TLS; a WebSocket listener admits no page.
    pub const fn plain(transport: Transport, address: SocketAddr) -> Self {
        Self { transport, address, tls: None, ws_origins: Vec::new() }
    }
}

/// PEM files of one TLS listener.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificate chain, our own certificate first.
    pub cert: PathBuf,
    /// Private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// When given, a client certificate is asked for (not demanded) and must chain to one of these;
    /// its DNS names then stand in [`sip::transport::Source::tls_names`].
    pub client_ca: Option<PathBuf>,
}

/// How we verify servers that we connect to, and what we show them.
#[derive(Clone, Debug, Default)]
pub struct TlsClient {
    /// Trusted authorities (PEM); `None`: those of the operating system, or of `SSL_CERT_FILE`.
    pub ca_file: Option<PathBuf>,
    /// Other authorities for single names (a trunk with a private CA), by certificate name.
    pub ca_by_name: BTreeMap<String, PathBuf>,
    /// Certificate and key that we show when asked.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Bounds on connections (ATTACKS 5, 6, 7).
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at once, both directions. One more takes the place of the oldest that has not
    /// yet sent a whole message, or is refused.
    pub total: usize,
    /// Accepted connections at once per IPv4 address or IPv6 /64; likewise. Known sources are bound
    /// by `total` only: many phones stand behind one address.
    pub per_address: usize,
    /// How long a TLS and WebSocket handshake may take.
    pub handshake: Duration,
    /// How long a connection may take to its first whole message, and each message from its first
    /// byte to its last.
    pub partial: Duration,
    /// How long a connection that has spoken may be silent.
    pub idle: Duration,
    /// How long we try to connect.
    pub connect: Duration,
    /// Bytes waiting to be written per connection; when one more message does not fit, the reader
    /// is deaf and the connection is closed.
    pub write_queue_bytes: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: 20_000,
            per_address: 32,
            handshake: Duration::from_secs(10),
            partial: Duration::from_secs(30),
            idle: Duration::from_secs(3_700),
            connect: Duration::from_secs(4),
            write_queue_bytes: 512 * 1024,
        }
    }
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens a second; 0 refuses everything after the burst.
    pub per_second: u32,
    /// Most tokens at once; at least 1.
    pub burst: u32,
}

/// What one source may send, counted in messages before they are parsed.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionConfig {
    /// Per IPv4 address or IPv6 /64.
    pub unknown: Rate,
    /// The same for trunks and for addresses of registered phones.
    pub known: Rate,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            unknown: Rate { per_second: 100, burst: 200 },
            known: Rate { per_second: 50_000, burst: 50_000 },
        }
    }
}

/// Why listening failed.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, not ours, or not allowed.
    #[error("cannot listen on {} {address}: {error}", transport.as_str())]
    Address {
        /// The listener's transport.
        transport: Transport,
        /// The address as configured.
        address: SocketAddr,
        /// What the operating system says.
        error: io::Error,
    },
    /// A TLS or WSS listener without certificate and key.
    #[error("{} {address} needs a certificate and a key", transport.as_str())]
    NoCertificate {
        /// The listener's transport.
        transport: Transport,
        /// The address as configured.
        address: SocketAddr,
    },
    /// A file that cannot be read or does not hold what it should.
    #[error("{}: {reason}", path.display())]
    TlsFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A thread or the name resolver could not be started.
    #[error("cannot start: {0}")]
    Start(io::Error),
}
