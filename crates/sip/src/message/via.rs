//! Via values (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::SyntaxError;
use super::host::{self, Host, RawHost};
use super::params::Params;
use super::scan;
use crate::transport::Transport;

/// What a branch made by an RFC 3261 element begins with (§8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One Via value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Via {
    /// The transport as sent: `UDP`, `TLS`, or any token.
    pub transport: Box<str>,
    /// Who sent it, by its own account.
    pub host: Host,
    /// Its port, if it gave one.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params,
}

impl Via {
    /// With a branch.
    pub fn new(
        transport: Transport,
        host: impl Into<Host>,
        port: Option<u16>,
        branch: &str,
    ) -> Self {
        let params = Params::default().with("branch", Some(branch));
        Self { transport: transport.as_str().into(), host: host.into(), port, params }
    }

    /// The transport, if it is one of ours.
    pub fn known_transport(&self) -> Option<Transport> {
        use Transport::{Tcp, Tls, Udp, Ws, Wss};
        [Udp, Tcp, Tls, Ws, Wss]
            .into_iter()
            .find(|t| t.as_str().eq_ignore_ascii_case(&self.transport))
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&str> {
        self.params.value("branch")
    }

    /// The branch, if it identifies a transaction by RFC 3261 (§17.2.3).
    pub fn rfc3261_branch(&self) -> Option<&str> {
        self.branch().filter(|b| b.len() > MAGIC_COOKIE.len() && has_cookie(b))
    }

    /// The `received` parameter; an IPv6 address with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.value("received")?;
        text.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Sets the `received` parameter (RFC 3261 §18.2.1).
    pub fn set_received(&mut self, ip: IpAddr) {
        self.params.set("received", Some(&ip.to_string()));
    }

    /// `None`: no `rport`; `Some(None)`: asked for; `Some(Some(port))`: filled in (RFC 3581).
    pub fn rport(&self) -> Option<Option<u16>> {
        let value = self.params.get("rport")?;
        Some(value.and_then(|port| host::port(port).ok()))
    }

    /// Fills in the `rport` parameter.
    pub fn set_rport(&mut self, port: u16) {
        self.params.set("rport", Some(&port.to_string()));
    }

    /// The `maddr` parameter.
    pub fn maddr(&self) -> Option<&str> {
        self.params.value("maddr")
    }
}

fn has_cookie(branch: &str) -> bool {
    branch.get(..MAGIC_COOKIE.len()).is_some_and(|head| head.eq_ignore_ascii_case(MAGIC_COOKIE))
}

/// A Via split into its parts, none of which has memory of its own yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawVia<'a> {
    transport: &'a str,
    host: RawHost<'a>,
    port: Option<u16>,
    params: &'a str,
}

impl<'a> RawVia<'a> {
    pub(super) fn scan(text: &'a str) -> Result<Self, SyntaxError> {
        let rest = match text.strip_prefix("SIP/2.0/") {
            Some(rest) => rest,
            None => Self::scan_protocol(text)?,
        };
        let rest = scan::trim_start(rest);
        let end = rest.bytes().position(scan::is_lws).ok_or(SyntaxError("Via without a host"))?;
        let (transport, rest) = rest.split_at(end);
        if !matches!(transport, "UDP" | "TCP" | "TLS") && !scan::is_token(transport) {
            return Err(SyntaxError("bad Via transport"));
        }
        let (host, after) = Host::split(scan::trim_start(rest))?;
        let mut params = scan::trim_start(after);
        let mut port = None;
        if let Some(digits) = params.strip_prefix(':') {
            let (digits, after) = scan::split_digits(scan::trim_start(digits));
            port = Some(host::port(digits)?);
            params = after;
        }
        let via = Self { transport, host, port, params };
        via.check_params()?;
        Ok(via)
    }

    /// Takes `SIP / 2.0 /` off, with the white space RFC 3261 §25.1 allows.
    fn scan_protocol(text: &'a str) -> Result<&'a str, SyntaxError> {
        let (name, rest) = text.split_once('/').ok_or(SyntaxError("Via without a protocol"))?;
        let (version, rest) = rest.split_once('/').ok_or(SyntaxError("Via without a version"))?;
        if !scan::trim(name).eq_ignore_ascii_case("SIP") || scan::trim(version) != "2.0" {
            return Err(SyntaxError("Via of another protocol"));
        }
        Ok(rest)
    }

    // RFC 3261 §8.1.1.7 makes the cookie the start of a unique branch; alone it identifies
    // nothing, and two transactions would be taken for one.
    fn check_params(&self) -> Result<(), SyntaxError> {
        let mut rest = self.params;
        while let Some(param) = scan::next_param(&mut rest) {
            let param = param?;
            let bare = param.value.is_some_and(|v| v.eq_ignore_ascii_case(MAGIC_COOKIE));
            if bare && param.name.eq_ignore_ascii_case("branch") {
                return Err(SyntaxError("branch is the magic cookie alone"));
            }
        }
        Ok(())
    }

    fn to_via(self) -> Result<Via, SyntaxError> {
        Ok(Via {
            transport: self.transport.into(),
            host: self.host.to_host(),
            port: self.port,
            params: Params::parse(self.params)?,
        })
    }
}

impl FromStr for Via {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        RawVia::scan(scan::trim(text))?.to_via()
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<&Via> for String {
    fn from(via: &Via) -> Self {
        via.to_string()
    }
}

impl From<Via> for String {
    fn from(via: Via) -> Self {
        via.to_string()
    }
}

impl Serialize for Via {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::serde_text::print(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Via {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::serde_text::parse(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Via {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn via_values_read_and_print() {
        for (text, printed) in [
            ("SIP/2.0/UDP 192.0.2.1", "SIP/2.0/UDP 192.0.2.1"),
            (
                "SIP / 2.0 / tls  host : 5061 ; branch = z9hG4bKx",
                "SIP/2.0/tls host:5061;branch=z9hG4bKx",
            ),
            ("sip/2.0/TCP [2001:DB8::1]:5060;rport", "SIP/2.0/TCP [2001:db8::1]:5060;rport"),
            (
                "SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK1",
                "SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK1",
            ),
        ] {
            assert_eq!(via(text).to_string(), printed);
            assert_eq!(via(printed), via(text));
        }
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/3.0/UDP a",
            "HTTP/2.0/UDP a",
            "SIP/2.0/ a",
            "SIP/2.0/UDP a:",
            "SIP/2.0/UDP a:99999",
            "SIP/2.0/UDP a;;b",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP a;branch=z9hG4bK",
            "SIP/2.0/UDP a;BRANCH=Z9HG4BK",
            "SIP/2.0/UDP ::1",
        ] {
            assert!(bad.parse::<Via>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rport_is_absent_asked_for_or_filled_in() {
        assert_eq!(via("SIP/2.0/UDP a").rport(), None);
        assert_eq!(via("SIP/2.0/UDP a;rport").rport(), Some(None));
        let mut filled = via("SIP/2.0/UDP a;rport;branch=z9hG4bKx");
        filled.set_rport(1024);
        filled.set_received("2001:db8::1".parse().unwrap());
        assert_eq!(filled.rport(), Some(Some(1024)));
        assert_eq!(filled.received(), "2001:db8::1".parse().ok());
        assert_eq!(
            filled.to_string(),
            "SIP/2.0/UDP a;rport=1024;branch=z9hG4bKx;received=2001:db8::1"
        );
    }

    #[test]
    fn only_a_branch_with_the_cookie_names_a_transaction() {
        assert_eq!(via("SIP/2.0/UDP a;branch=z9hG4bKx").rfc3261_branch(), Some("z9hG4bKx"));
        assert_eq!(via("SIP/2.0/UDP a;branch=é9hG4bKx").rfc3261_branch(), None);
        assert_eq!(via("SIP/2.0/UDP a;branch=77").rfc3261_branch(), None);
        let ours = Via::new(Transport::Wss, "192.0.2.1", Some(443), "z9hG4bKy");
        assert_eq!(ours.known_transport(), Some(Transport::Wss));
        assert_eq!(ours.to_string(), "SIP/2.0/WSS 192.0.2.1:443;branch=z9hG4bKy");
    }
}
