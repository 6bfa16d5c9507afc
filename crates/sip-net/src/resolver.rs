//! Where to send a request for a host: RFC 3263 over any source of DNS records.
//!
//! NAPTR says which transports the host prefers, SRV which servers serve one, A and AAAA where they
//! are. An address or a port in the URI ends the search early.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use b2bua::io::{Input, QueryId, RESOLVED_TARGETS_MAX};
use base::Rng;
use futures_util::future::join_all;
use sip::message::Host;
use sip::transport::{Target, Transport};
use tokio::sync::{Semaphore, mpsc};

use crate::flow::ToCore;

mod system;

/// Look-ups at once; one more is answered "none" at once.
const LOOK_UPS_MAX: usize = 256;

/// Records of one answer that are looked at.
const RECORDS_MAX: usize = 32;

/// How names are looked up.
#[derive(Clone, Debug)]
pub struct ResolverConfig {
    /// DNS servers; empty: those of the operating system.
    pub name_servers: Vec<SocketAddr>,
    /// How long a whole look-up may take.
    pub timeout: Duration,
    /// Takes the place of DNS, e.g. in tests.
    pub source: Option<Arc<dyn DnsSource>>,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self { name_servers: Vec::new(), timeout: Duration::from_secs(3), source: None }
    }
}

/// A DNS server that failed to answer. "No such record" is no failure but an empty answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DnsError(pub String);

/// An answer to come.
pub type DnsFuture<'a, T> = Pin<Box<dyn Future<Output = Result<Vec<T>, DnsError>> + Send + 'a>>;

/// Where DNS records come from.
pub trait DnsSource: fmt::Debug + Send + Sync {
    /// NAPTR records of a name.
    fn naptr<'a>(&'a self, name: &'a str) -> DnsFuture<'a, Naptr>;
    /// SRV records of a name.
    fn srv<'a>(&'a self, name: &'a str) -> DnsFuture<'a, Srv>;
    /// Addresses of a name.
    fn addresses<'a>(&'a self, name: &'a str) -> DnsFuture<'a, IpAddr>;
}

/// A NAPTR record (RFC 3403).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lowest first.
    pub order: u16,
    /// Lowest first within one order.
    pub preference: u16,
    /// `s`: the replacement is the name of an SRV record.
    pub flags: String,
    /// E.g. `SIP+D2U`.
    pub service: String,
    /// The name to go on with.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lowest first.
    pub priority: u16,
    /// Share within one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.` = the service is decidedly not there.
    pub target: String,
}

/// What the core wants to know.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
    pub(crate) transport: Option<Transport>,
    pub(crate) secure: bool,
}

/// For which address families there is a UDP socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UdpFamilies {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

/// Answers questions on the thread of the connections.
#[derive(Debug)]
pub(crate) struct Resolver {
    source: Arc<dyn DnsSource>,
    timeout: Duration,
    families: UdpFamilies,
    permits: Arc<Semaphore>,
    to_core: mpsc::Sender<ToCore>,
    runtime: tokio::runtime::Handle,
}

impl Resolver {
    pub(crate) fn new(
        config: &ResolverConfig,
        families: UdpFamilies,
        to_core: mpsc::Sender<ToCore>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let system = || Arc::new(system::SystemDns::new(config.name_servers.clone())) as _;
        Self {
            source: config.source.clone().unwrap_or_else(system),
            timeout: config.timeout,
            families,
            permits: Arc::new(Semaphore::new(LOOK_UPS_MAX)),
            to_core,
            runtime,
        }
    }

    /// The answer, if it is known at once; else it comes as [`ToCore::Input`].
    pub(crate) fn ask(&self, query: QueryId, question: Question) -> Option<Input> {
        if let Some(targets) = question.immediate() {
            return Some(Input::Resolved { query, targets });
        }
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            tracing::warn!(host = %question.host, "too many look-ups at once");
            return Some(Input::Resolved { query, targets: Vec::new() });
        };
        let (source, families) = (self.source.clone(), self.families);
        let (limit, to_core) = (self.timeout, self.to_core.clone());
        self.runtime.spawn(async move {
            let rng = Rng::from_u64(RandomState::new().hash_one(query.0));
            let search = Search { dns: &*source, families, rng };
            let answer = tokio::time::timeout(limit, search.run(&question)).await;
            let targets = answer.unwrap_or_else(|_| Err(DnsError("time-out".into())));
            let targets = targets.unwrap_or_else(|error| {
                tracing::info!(host = %question.host, %error, "look-up failed");
                Vec::new()
            });
            drop(permit);
            let _ = to_core.send(ToCore::Input(Input::Resolved { query, targets })).await;
        });
        None
    }
}

impl Question {
    /// The transport, when the URI settles it. `Err`: what it asks for does not exist.
    fn settled(&self) -> Result<Option<Transport>, ()> {
        match (self.transport, self.secure) {
            (transport, false) => Ok(transport),
            (None, true) => Ok(None),
            // RFC 3261 §26.2.2: sips is TLS on every hop; `transport=tcp` then means TLS over TCP.
            (Some(Transport::Tcp | Transport::Tls), true) => Ok(Some(Transport::Tls)),
            (Some(Transport::Ws | Transport::Wss), true) => Ok(Some(Transport::Wss)),
            (Some(Transport::Udp), true) => Err(()),
        }
    }

    /// RFC 3263 §4.1: what to use when DNS does not say.
    const fn default_transport(&self) -> Transport {
        if self.secure { Transport::Tls } else { Transport::Udp }
    }

    /// The answer that needs no DNS.
    fn immediate(&self) -> Option<Vec<Target>> {
        let Ok(settled) = self.settled() else { return Some(Vec::new()) };
        let ip = self.host.ip()?;
        let transport = settled.unwrap_or(self.default_transport());
        let addr = SocketAddr::new(ip, self.port.unwrap_or(transport.default_port()));
        Some(vec![Target { transport, addr, flow: None, tls_name: None }])
    }
}

struct Search<'a> {
    dns: &'a dyn DnsSource,
    families: UdpFamilies,
    rng: Rng,
}

/// One server to try.
struct Server {
    transport: Transport,
    host: String,
    port: u16,
}

impl Search<'_> {
    async fn run(mut self, question: &Question) -> Result<Vec<Target>, DnsError> {
        let host = question.host.to_string();
        let Ok(settled) = question.settled() else { return Ok(Vec::new()) };
        let servers = match question.port {
            // RFC 3263 §4.2: a port in the URI: no SRV.
            Some(port) => {
                let transport = settled.unwrap_or(question.default_transport());
                vec![Server { transport, host: host.clone(), port }]
            }
            None => self.servers(question, settled, &host).await?,
        };
        self.targets(servers, &host).await
    }

    async fn servers(
        &mut self,
        question: &Question,
        settled: Option<Transport>,
        host: &str,
    ) -> Result<Vec<Server>, DnsError> {
        let wanted: &[Transport] = match settled {
            Some(Transport::Udp) => &[Transport::Udp],
            Some(Transport::Tcp) => &[Transport::Tcp],
            Some(Transport::Tls) => &[Transport::Tls],
            // RFC 7118 defines no SRV for WebSocket.
            Some(Transport::Ws | Transport::Wss) => &[],
            None if question.secure => &[Transport::Tls],
            None => &[Transport::Udp, Transport::Tcp, Transport::Tls],
        };
        let mut services = Vec::new();
        if settled.is_none() {
            // A server that fails on NAPTR may still know SRV.
            services = preferred(self.dns.naptr(host).await.unwrap_or_default(), wanted);
        }
        if services.is_empty() {
            services = wanted.iter().map(|&t| (t, format!("{}.{host}", srv_prefix(t)))).collect();
        }
        let answers = join_all(services.iter().map(|(_, name)| self.dns.srv(name))).await;
        let (mut servers, mut exists, mut error) = (Vec::new(), false, None);
        for ((transport, _), answer) in services.into_iter().zip(answers) {
            match answer {
                Ok(records) => {
                    exists |= !records.is_empty();
                    for Srv { port, target: host, .. } in by_weight(records, &mut self.rng) {
                        servers.push(Server { transport, host, port });
                    }
                }
                Err(failed) => error = Some(failed),
            }
        }
        match (exists, error) {
            (true, _) => Ok(servers),
            (false, Some(error)) => Err(error),
            // RFC 3263 §4.2: no SRV: the host itself.
            (false, None) => {
                let transport = settled.unwrap_or(question.default_transport());
                let port = transport.default_port();
                Ok(vec![Server { transport, host: host.to_owned(), port }])
            }
        }
    }

    /// Looks the servers up; `name` is what their certificates must carry (RFC 5922 §4: the name of
    /// the URI, not what DNS made of it).
    async fn targets(&self, mut servers: Vec<Server>, name: &str) -> Result<Vec<Target>, DnsError> {
        servers.truncate(RESOLVED_TARGETS_MAX);
        let look_ups = servers.iter().map(|server| async {
            match server.host.parse::<IpAddr>() {
                Ok(ip) => Ok(vec![ip]),
                Err(_) => self.dns.addresses(&server.host).await,
            }
        });
        let answers = join_all(look_ups).await;
        let name: Arc<str> = name.into();
        let (mut targets, mut error) = (Vec::new(), None);
        for (server, answer) in servers.iter().zip(answers) {
            let mut ips = answer.unwrap_or_else(|failed| {
                error = Some(failed);
                Vec::new()
            });
            // IPv4 first: calls fail more often over half-configured IPv6 than the other way round.
            ips.sort_by_key(IpAddr::is_ipv6);
            ips.retain(|ip| self.reaches(server.transport, *ip));
            targets.extend(ips.into_iter().map(|ip| Target {
                transport: server.transport,
                addr: SocketAddr::new(ip, server.port),
                flow: None,
                tls_name: server.transport.is_secure().then(|| name.clone()),
            }));
        }
        targets.truncate(RESOLVED_TARGETS_MAX);
        match error {
            Some(error) if targets.is_empty() => Err(error),
            _ => Ok(targets),
        }
    }

    const fn reaches(&self, transport: Transport, ip: IpAddr) -> bool {
        match (transport.is_reliable(), ip) {
            (true, _) => true,
            (false, IpAddr::V4(_)) => self.families.v4,
            (false, IpAddr::V6(_)) => self.families.v6,
        }
    }
}

/// RFC 3263 §4.1: the SRV names that NAPTR offers for the wanted transports, best first.
fn preferred(mut records: Vec<Naptr>, wanted: &[Transport]) -> Vec<(Transport, String)> {
    records.truncate(RECORDS_MAX);
    records.sort_by_key(|record| (record.order, record.preference));
    let offered = |record: Naptr| {
        let transport = match record.service.to_ascii_uppercase().as_str() {
            "SIP+D2U" => Transport::Udp,
            "SIP+D2T" => Transport::Tcp,
            "SIPS+D2T" => Transport::Tls,
            _ => return None,
        };
        let usable = record.flags.eq_ignore_ascii_case("s") && wanted.contains(&transport);
        usable.then_some((transport, record.replacement))
    };
    records.into_iter().filter_map(offered).take(RESOLVED_TARGETS_MAX).collect()
}

const fn srv_prefix(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp | Transport::Ws => "_sip._tcp",
        Transport::Tls | Transport::Wss => "_sips._tcp",
    }
}

/// RFC 2782: by priority; within one, drawn by weight. Services that are "not there" are left out.
fn by_weight(mut records: Vec<Srv>, rng: &mut Rng) -> Vec<Srv> {
    records.truncate(RECORDS_MAX);
    records.retain(|record| !matches!(record.target.as_str(), "" | "."));
    // Weight 0 first, so that it is drawn only by a small chance.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut rest: VecDeque<_> = records.into();
    let mut drawn = Vec::with_capacity(rest.len());
    while let Some(priority) = rest.front().map(|record| record.priority) {
        let group = rest.iter().take_while(|record| record.priority == priority);
        let total: u64 = group.map(|record| u64::from(record.weight)).sum();
        let mut ticket = rng.below(total + 1);
        let chosen = rest.iter().position(|record| {
            let weight = u64::from(record.weight);
            let hit = ticket <= weight;
            ticket = ticket.saturating_sub(weight);
            hit
        });
        drawn.extend(rest.remove(chosen.unwrap_or(0)));
    }
    drawn
}

#[cfg(test)]
mod tests;
