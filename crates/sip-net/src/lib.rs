//! The SIP shell: sockets, connections, name look-ups and the loop that drives the core.
//!
//! One thread owns the UDP sockets and the core: a datagram is received, admitted, parsed, handled
//! and answered without a hop. A second thread owns every connection (TCP, TLS, WS, WSS) and the
//! resolver; between the two stand bounded queues. What a message *means* is not known here.

mod admission;
mod config;
mod connection;
mod driver;
mod env;
mod flow;
mod log_gate;
mod mmsg;
mod resolver;
mod slots;
mod stats;
mod stun;
mod tcp;
pub mod testing;
mod tls;
mod udp;
mod ws;

pub use admission::{Bans, KnownSources};
pub use config::{
    AdmissionConfig, BindError, ConnectionLimits, ListenSpec, NetConfig, Rate, TlsClient, TlsFiles,
};
pub use driver::{Bound, Core, Ended, Sink, bind};
pub use env::Clock;
pub use resolver::{DnsError, DnsFuture, DnsSource, Naptr, ResolverConfig, Srv};
pub use stats::{Snapshot, Stats};
pub use tls::Certificates;
