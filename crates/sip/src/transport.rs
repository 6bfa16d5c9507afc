//! Where a message came from and where it goes: the words the SIP core shares with the shell.

use std::net::SocketAddr;
use std::sync::Arc;

use base::define_id;
use serde::{Deserialize, Serialize};

define_id!(
    /// A UDP listening socket, or one TCP, TLS, WS or WSS connection.
    FlowId,
    "flow"
);

/// A SIP transport (RFC 3261 §18, RFC 7118).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A byte stream.
    Tcp,
    /// A byte stream under TLS.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket under TLS.
    Wss,
}

impl Transport {
    /// Whether the transport retransmits by itself, so that timers A, E and G are not armed.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether it is under TLS.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// As in Via and `transport=`: `UDP`, `TCP`, `TLS`, `WS`, `WSS`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// 5061 under TLS (TLS), 443 (WSS), 80 (WS), else 5060 (RFC 3261 §19.1.2, RFC 7118 §5.2).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// Where a received message came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The socket or connection it arrived on.
    pub flow: FlowId,
    /// Its transport.
    pub transport: Transport,
    /// The sender's address as the kernel reports it: the only identity to trust.
    pub remote: SocketAddr,
    /// Our address it was received on.
    pub local: SocketAddr,
    /// DNS names of the peer's verified TLS client certificate; empty without one.
    pub tls_names: Arc<[String]>,
}

/// Where a message is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its transport.
    pub transport: Transport,
    /// The destination.
    pub addr: SocketAddr,
    /// The socket or connection to use. `None`: the shell chooses a UDP socket of the address's
    /// family, reuses a connection to `addr`, or opens one. `Some` of a connection that is gone:
    /// the shell reports a failure (never a silent fallback).
    pub flow: Option<FlowId>,
    /// The name the peer's certificate must carry when a TLS connection is opened.
    pub tls_name: Option<Arc<str>>,
}

impl Source {
    /// The way back to the sender.
    pub fn reply_target(&self) -> Target {
        Target {
            transport: self.transport,
            addr: self.remote,
            flow: Some(self.flow),
            tls_name: None,
        }
    }
}
