//! The host of a URI or a Via.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::SyntaxError;
use super::scan;

/// A host name or an address; an IPv6 address is printed in brackets (RFC 3261 §25.1 `host`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A host name, as sent.
    Name(Box<str>),
    /// An address.
    Ip(IpAddr),
}

impl Host {
    /// The address, if it is one.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }

    /// Whether both name the same host: names without regard to case or a final dot.
    pub fn equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Name(a), Self::Name(b)) => {
                a.trim_end_matches('.').eq_ignore_ascii_case(b.trim_end_matches('.'))
            }
            (Self::Ip(_), Self::Name(_)) | (Self::Name(_), Self::Ip(_)) => false,
        }
    }

    pub(super) fn print(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => write!(out, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(out, "[{ip}]"),
        }
    }

    /// Splits the host off `host[:port]…`; what follows it is left to the caller.
    pub(super) fn split(text: &str) -> Result<(RawHost<'_>, &str), SyntaxError> {
        if let Some(inner) = text.strip_prefix('[') {
            let end = inner.find(']').ok_or(SyntaxError("IPv6 address without closing bracket"))?;
            let ip = ipv6(&inner[..end]).ok_or(SyntaxError("bad IPv6 address"))?;
            return Ok((RawHost::Ip(ip.into()), &inner[end + 1..]));
        }
        let (host, after) = scan::split_host_name(text);
        let ended = matches!(after.as_bytes(), [] | [b':' | b';' | b'?' | b' ' | b'\t', ..]);
        let Some(first) = host.bytes().next().filter(|_| ended) else {
            return Err(SyntaxError("bad host"));
        };
        let numeric = first.is_ascii_digit();
        let ip = if numeric { host.parse().ok().map(IpAddr::V4) } else { None };
        Ok((ip.map_or(RawHost::Name(host), RawHost::Ip), after))
    }
}

/// A [`Host`] not yet given memory of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum RawHost<'a> {
    Name(&'a str),
    Ip(IpAddr),
}

impl RawHost<'_> {
    pub(super) fn to_host(self) -> Host {
        match self {
            Self::Name(name) => Host::Name(name.into()),
            Self::Ip(ip) => Host::Ip(ip),
        }
    }
}

/// An IPv6 address without brackets. A zone has no meaning to the peer and is refused.
pub(super) fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| {
        // RFC 5118 §4.10: the grammar of RFC 3261 yields `:::` before an embedded IPv4 address;
        // be liberal.
        let (head, tail) = text.split_once(":::")?;
        format!("{head}::{tail}").parse().ok()
    })
}

/// A port: 0 to 65535, digits only.
pub(super) fn port(digits: &str) -> Result<u16, SyntaxError> {
    scan::decimal(digits, u16::MAX.into())
        .and_then(|port| u16::try_from(port).ok())
        .ok_or(SyntaxError("bad port"))
}

impl FromStr for Host {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        match Self::split(text)? {
            (host, "") => Ok(host.to_host()),
            _ => Err(SyntaxError("text after the host")),
        }
    }
}

/// An address (IPv6 with or without brackets), else a name as it is: for text of our own.
impl From<&str> for Host {
    fn from(text: &str) -> Self {
        let ip = text.parse().ok().map(Self::Ip);
        ip.or_else(|| text.parse().ok()).unwrap_or_else(|| Self::Name(text.into()))
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl From<SocketAddr> for Host {
    fn from(addr: SocketAddr) -> Self {
        Self::Ip(addr.ip())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::serde_text::print(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::serde_text::parse(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_read_and_print() {
        for (text, printed) in [
            ("example.com", "example.com"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("[::ffff:192.0.2.10]", "[::ffff:192.0.2.10]"),
            ("[2001:db8:::192.0.2.1]", "[2001:db8::c000:201]"),
            ("300.0.2.1", "300.0.2.1"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), printed);
        }
        for bad in ["", "[::1", "[]", "[fe80::1%eth0]", "a b", "a/b", "2001:db8::1", "[::1]x", "é"]
        {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }
}
