//! Descriptions as text, lines in the order of RFC 8866 §5.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;

use crate::session::{Attribute, Bandwidth, Host, Media, Session};

impl Session {
    /// The body of a message.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(self.to_string())
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = &self.origin;
        write!(f, "v=0\r\no={} {} ", origin.username, origin.session_id)?;
        write!(f, "{} {}\r\ns={}\r\n", origin.version, origin.address, self.name)?;
        if let Some(host) = &self.connection {
            write!(f, "c={host}\r\n")?;
        }
        lines(f, &self.bandwidth)?;
        f.write_str("t=0 0\r\n")?;
        lines(f, &self.attributes)?;
        self.media.iter().try_for_each(|media| media.fmt(f))
    }
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {}", self.kind.as_str(), self.port)?;
        if self.port_count != 1 {
            write!(f, "/{}", self.port_count)?;
        }
        write!(f, " {}", self.protocol.as_str())?;
        for format in &self.formats {
            write!(f, " {format}")?;
        }
        f.write_str("\r\n")?;
        if let Some(host) = &self.connection {
            write!(f, "c={host}\r\n")?;
        }
        lines(f, &self.bandwidth)?;
        lines(f, &self.attributes)
    }
}

/// `IN IP4 192.0.2.1`. The family of a name is not known; IP4 is written.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(f, "IN IP4 {ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "IN IP6 {ip}"),
            Self::Name(name) => write!(f, "IN IP4 {name}"),
        }
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b={}:{}", self.kind, self.value)
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => write!(f, "a={}", self.name),
            Some(value) => write!(f, "a={}:{value}", self.name),
        }
    }
}

fn lines(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    items.iter().try_for_each(|item| write!(f, "{item}\r\n"))
}
