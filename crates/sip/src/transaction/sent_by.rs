//! What we write into the sent-by of our Vias, RFC 3261 §18.1.1.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::top_via::TopVia;
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
    default: Sender,
    /// A handful: one per listening socket.
    listeners: Vec<(Transport, Family, Sender)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sender {
    host: Host,
    port: Option<u16>,
    /// Both as in a Via.
    text: Box<str>,
}

impl Sender {
    fn new(host: Host, port: Option<u16>) -> Self {
        let text = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        Self { host, port, text: text.into() }
    }
}

impl SentBy {
    /// One name for every transport that has no name of its own: one we only connect from.
    pub fn new(host: impl Into<Host>, port: Option<u16>) -> Self {
        Self { default: Sender::new(host.into(), port), listeners: Vec::new() }
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
        self.listeners.retain(|(t, f, _)| (*t, *f) != (transport, family));
        self.listeners.push((transport, family, Sender::new(host.into(), port)));
        self
    }

    /// The name for a message over `transport` to `destination`.
    pub fn of(&self, transport: Transport, destination: IpAddr) -> (&Host, Option<u16>) {
        let sender = self.sender(transport, destination);
        (&sender.host, sender.port)
    }

    /// The same as it stands in a Via: `host` or `host:port`.
    pub fn text_for(&self, transport: Transport, destination: IpAddr) -> &str {
        &self.sender(transport, destination).text
    }

    fn sender(&self, transport: Transport, destination: IpAddr) -> &Sender {
        let family = Family::from(destination);
        let same = self.listeners.iter().filter(|(t, ..)| *t == transport);
        let best = same.clone().find(|(_, f, _)| *f == family).or_else(|| same.clone().next());
        best.map_or(&self.default, |(.., sender)| sender)
    }

    /// Whether a Via carries a name of ours (RFC 3261 §18.1.2).
    pub(super) fn is_in(&self, via: &TopVia<'_>) -> bool {
        let mut senders = self.listeners.iter().map(|(.., s)| s).chain([&self.default]);
        let text = via.sent_by();
        if senders.clone().any(|sender| sender.text.eq_ignore_ascii_case(text)) {
            return true;
        }
        // The same name spelt in another way.
        let Ok(via) = [via.protocol(), " ", text].concat().parse::<Via>() else { return false };
        senders.any(|sender| sender.port == via.port && sender.host.equivalent(&via.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Headers;

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
            let headers: Headers = [("Via", via)].into_iter().collect();
            assert_eq!(sent_by().is_in(&TopVia::of(&headers).unwrap()), ours, "{via}");
        }
    }
}
