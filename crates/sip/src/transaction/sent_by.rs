//! What we write into the sent-by of our Vias, RFC 3261 §18.1.1.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::message::{Host, Via};
use crate::transport::Transport;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4, and IPv4 mapped into IPv6.
    V4,
    /// IPv6.
    V6,
}

impl From<IpAddr> for Family {
    fn from(ip: IpAddr) -> Self {
        if ip.to_canonical().is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Our name in Vias, by transport and family of the destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentBy {
    default: (Host, Option<u16>),
    /// A handful: one per listening socket.
    listeners: Vec<Listener>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Listener {
    transport: Transport,
    family: Family,
    host: Host,
    port: Option<u16>,
}

impl SentBy {
    /// One name for every transport that has no name of its own: one we only connect from.
    pub fn new(host: impl Into<Host>, port: Option<u16>) -> Self {
        Self { default: (host.into(), port), listeners: Vec::new() }
    }

    /// Sets the name for one transport and family; the last one counts.
    #[must_use]
    pub fn with(
        mut self,
        transport: Transport,
        family: Family,
        host: impl Into<Host>,
        port: Option<u16>,
    ) -> Self {
        self.listeners.retain(|l| (l.transport, l.family) != (transport, family));
        self.listeners.push(Listener { transport, family, host: host.into(), port });
        self
    }

    /// The name for a message over `transport` to `destination`.
    pub fn of(&self, transport: Transport, destination: IpAddr) -> (&Host, Option<u16>) {
        let family = Family::from(destination);
        let same = self.listeners.iter().filter(|l| l.transport == transport);
        match same.clone().find(|l| l.family == family).or_else(|| same.clone().next()) {
            Some(listener) => (&listener.host, listener.port),
            None => (&self.default.0, self.default.1),
        }
    }

    /// Whether a Via carries a name of ours (RFC 3261 §18.1.2).
    pub(super) fn is_in(&self, via: &Via) -> bool {
        let names = self.listeners.iter().map(|l| (&l.host, l.port));
        names
            .chain([(&self.default.0, self.default.1)])
            .any(|(host, port)| port == via.port && host.equivalent(&via.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_by() -> SentBy {
        SentBy::new("pbx.example.com", None)
            .with(Transport::Udp, Family::V4, "192.0.2.1", Some(5060))
            .with(Transport::Udp, Family::V6, "2001:db8::1", Some(5060))
            .with(Transport::Tls, Family::V4, "tls.example.com", Some(5061))
    }

    #[test]
    fn the_listener_of_transport_and_family_is_named() {
        let sent_by = sent_by();
        for (transport, destination, host, port) in [
            (Transport::Udp, "198.51.100.7", "192.0.2.1", Some(5060)),
            (Transport::Udp, "2001:db8::7", "[2001:db8::1]", Some(5060)),
            (Transport::Udp, "::ffff:198.51.100.7", "192.0.2.1", Some(5060)),
            (Transport::Tls, "2001:db8::7", "tls.example.com", Some(5061)),
            (Transport::Wss, "198.51.100.7", "pbx.example.com", None),
        ] {
            let (named, at) = sent_by.of(transport, destination.parse().unwrap());
            assert_eq!((named.to_string().as_str(), at), (host, port), "{destination}");
        }
    }

    #[test]
    fn only_our_names_are_ours() {
        for (via, ours) in [
            ("SIP/2.0/UDP 192.0.2.1:5060", true),
            ("SIP/2.0/UDP [2001:DB8:0::1]:5060", true),
            ("SIP/2.0/TLS TLS.example.com:5061", true),
            ("SIP/2.0/WSS pbx.example.com", true),
            ("SIP/2.0/UDP 192.0.2.1", false),
            ("SIP/2.0/UDP 192.0.2.2:5060", false),
        ] {
            assert_eq!(sent_by().is_in(&via.parse().unwrap()), ours, "{via}");
        }
    }
}
