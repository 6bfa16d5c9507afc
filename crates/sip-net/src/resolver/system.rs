//! DNS by hickory: the system's servers and hosts file, or given servers; answers are cached for
//! their time to live.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig as HickoryConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::sync::OnceCell;

use super::{DnsError, DnsFuture, DnsSource, Naptr, Srv};

/// Per server and attempt; the whole look-up has its own limit.
const TIMEOUT: Duration = Duration::from_millis(1_200);

const CACHE_RECORDS: u64 = 4_096;

/// DNS for real.
pub(super) struct SystemDns {
    name_servers: Vec<SocketAddr>,
    // Made at the first look-up, within the runtime that serves it.
    resolver: OnceCell<TokioResolver>,
}

impl std::fmt::Debug for SystemDns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemDns").field("name_servers", &self.name_servers).finish()
    }
}

impl SystemDns {
    pub(super) fn new(name_servers: Vec<SocketAddr>) -> Self {
        Self { name_servers, resolver: OnceCell::new() }
    }

    async fn resolver(&self) -> Result<&TokioResolver, DnsError> {
        self.resolver.get_or_try_init(|| async { self.build() }).await
    }

    fn build(&self) -> Result<TokioResolver, DnsError> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = if self.name_servers.is_empty() {
            TokioResolver::builder(provider).map_err(failed)?
        } else {
            let servers = self.name_servers.iter().map(name_server).collect();
            let config = HickoryConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, provider)
        };
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = 1;
        options.cache_size = CACHE_RECORDS;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().map_err(failed)
    }

    async fn records<T>(
        &self,
        name: &str,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T> + Send,
    ) -> Result<Vec<T>, DnsError> {
        // The final dot: no search domains for names that are whole.
        let name = format!("{}.", name.trim_end_matches('.'));
        match self.resolver().await?.lookup(name, kind).await {
            Ok(answer) => Ok(answer.answers().iter().filter_map(|r| pick(&r.data)).collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn failed(error: NetError) -> DnsError {
    DnsError(error.to_string())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl DnsSource for SystemDns {
    fn naptr<'a>(&'a self, name: &'a str) -> DnsFuture<'a, Naptr> {
        Box::pin(self.records(name, RecordType::NAPTR, |data| {
            let RData::NAPTR(naptr) = data else { return None };
            Some(Naptr {
                order: naptr.order,
                preference: naptr.preference,
                flags: text(&naptr.flags),
                service: text(&naptr.services),
                replacement: naptr.replacement.to_ascii(),
            })
        }))
    }

    fn srv<'a>(&'a self, name: &'a str) -> DnsFuture<'a, Srv> {
        Box::pin(self.records(name, RecordType::SRV, |data| {
            let RData::SRV(srv) = data else { return None };
            Some(Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii(),
            })
        }))
    }

    fn addresses<'a>(&'a self, name: &'a str) -> DnsFuture<'a, IpAddr> {
        Box::pin(async move {
            match self.resolver().await?.lookup_ip(name).await {
                Ok(answer) => Ok(answer.iter().collect()),
                Err(error) if error.is_no_records_found() => Ok(Vec::new()),
                Err(error) => Err(failed(error)),
            }
        })
    }
}
