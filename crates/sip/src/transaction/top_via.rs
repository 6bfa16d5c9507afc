//! The top Via read as text: the parser has checked it, and every message needs it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::message::{Headers, MAGIC_COOKIE, Name};
use crate::transport::Source;

/// `SIP/2.0/UDP host:port;params`, without white space but that one.
#[derive(Clone, Debug)]
pub(super) struct TopVia<'a> {
    text: Cow<'a, str>,
    sent_by: usize,
    params: usize,
    only: bool,
    plain: bool,
}

impl<'a> TopVia<'a> {
    /// `None` when there is none, or none that can be read.
    pub(super) fn of(headers: &'a Headers) -> Option<Self> {
        let mut lines = headers.get_all(Name::Via);
        let line = lines.next()?;
        let plain = is_plain(line);
        let (text, only) = if plain {
            (Cow::Borrowed(line), lines.next().is_none())
        } else {
            let only = headers.list(Name::Via).nth(1).is_none();
            (Cow::Owned(headers.via().ok()?.to_string()), only)
        };
        let sent_by = memchr::memchr(b' ', text.as_bytes())? + 1;
        let params = memchr::memchr(b';', &text.as_bytes()[sent_by..]);
        let params = params.map_or(text.len(), |len| sent_by + len);
        Some(Self { text, sent_by, params, only, plain })
    }

    /// Whether there is no other Via below.
    pub(super) const fn is_only(&self) -> bool {
        self.only
    }

    /// Whether it has its header line for itself.
    pub(super) const fn fills_line(&self) -> bool {
        self.plain
    }

    /// E.g. `SIP/2.0/UDP`.
    pub(super) fn protocol(&self) -> &str {
        &self.text[..self.sent_by - 1]
    }

    /// `host` or `host:port` as the sender wrote it.
    pub(super) fn sent_by(&self) -> &str {
        &self.text[self.sent_by..self.params]
    }

    /// Names and values in order.
    pub(super) fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let mut rest = &self.text[self.params..];
        std::iter::from_fn(move || {
            rest = rest.get(1..)?;
            let end = memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
            let (param, after) = rest.split_at(end);
            rest = after;
            Some(match memchr::memchr(b'=', param.as_bytes()) {
                Some(at) => (&param[..at], Some(&param[at + 1..])),
                None => (param, None),
            })
        })
    }

    fn has(&self, wanted: &str) -> bool {
        self.params().any(|(name, _)| name.eq_ignore_ascii_case(wanted))
    }

    /// The `branch` parameter.
    pub(super) fn branch(&self) -> Option<&str> {
        self.params().find(|(name, _)| name.eq_ignore_ascii_case("branch"))?.1
    }

    /// The branch, if it identifies a transaction by RFC 3261 (§17.2.3).
    pub(super) fn rfc3261_branch(&self) -> Option<&str> {
        let branch = self.branch()?;
        let (cookie, unique) = branch.split_at_checked(MAGIC_COOKIE.len())?;
        (cookie.eq_ignore_ascii_case(MAGIC_COOKIE) && !unique.is_empty()).then_some(branch)
    }

    /// The Via with the sender's address, RFC 3261 §18.2.1 and RFC 3581 §4; `None` when it needs
    /// no change. What the sender put there himself goes. `maddr` is left alone and never used:
    /// responses go back to where the request came from.
    pub(super) fn stamped(&self, source: &Source) -> Option<String> {
        let ip = source.remote.ip().to_canonical();
        let wants_port = self.has("rport");
        if !wants_port && self.names(ip) && !self.has("received") {
            return None;
        }
        let mut via = String::with_capacity(self.text.len() + 64);
        via.push_str(&self.text[..self.params]);
        for (name, value) in self.params() {
            if name.eq_ignore_ascii_case("received") || name.eq_ignore_ascii_case("rport") {
                continue;
            }
            via.push(';');
            via.push_str(name);
            if let Some(value) = value {
                via.push('=');
                via.push_str(value);
            }
        }
        // Writing to a String does not fail.
        let _ = write!(via, ";received={ip}");
        if wants_port {
            let _ = write!(via, ";rport={}", source.remote.port());
        }
        Some(via)
    }

    /// Whether the sent-by host is that address.
    fn names(&self, ip: IpAddr) -> bool {
        let sent_by = self.sent_by();
        let host = match sent_by.strip_prefix('[') {
            Some(ipv6) => ipv6.split(']').next(),
            None => sent_by.split(':').next(),
        };
        host.and_then(|host| host.parse().ok()) == Some(ip)
    }
}

/// Whether a line is one Via, written as everybody writes it.
fn is_plain(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("SIP/2.0/") else { return false };
    let Some(space) = memchr::memchr(b' ', rest.as_bytes()) else { return false };
    let tail = &rest.as_bytes()[space + 1..];
    memchr::memchr3(b' ', b',', b'"', tail).is_none()
        && memchr::memchr3(b'\t', b'(', b'\\', tail).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> Headers {
        lines.iter().map(|line| ("Via", *line)).collect()
    }

    #[test]
    fn every_way_of_writing_reads_the_same() {
        for line in [
            "SIP/2.0/UDP pbx.example.com:5060;branch=z9hG4bKa;rport",
            "SIP / 2.0 / UDP pbx.example.com : 5060 ; branch = z9hG4bKa ; rport",
            "SIP/2.0/UDP  pbx.example.com:5060;branch=z9hG4bKa;rport",
            "SIP/2.0/UDP\tpbx.example.com:5060;branch=z9hG4bKa;rport",
        ] {
            let headers = headers(&[line]);
            let via = TopVia::of(&headers).unwrap();
            assert_eq!(via.protocol(), "SIP/2.0/UDP", "{line}");
            assert_eq!(via.sent_by(), "pbx.example.com:5060", "{line}");
            assert_eq!(via.branch(), Some("z9hG4bKa"), "{line}");
            assert!(via.is_only() && via.has("rport"), "{line}");
        }
    }

    #[test]
    fn the_topmost_is_read() {
        for lines in [
            &["SIP/2.0/UDP a;branch=1", "SIP/2.0/UDP b;branch=2"][..],
            &["SIP/2.0/UDP a;branch=1, SIP/2.0/UDP b;branch=2"],
        ] {
            let headers = headers(lines);
            let via = TopVia::of(&headers).unwrap();
            assert_eq!((via.branch(), via.is_only()), (Some("1"), false));
        }
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        for lines in [&[][..], &[""], &["SIP/2.0/UDP"], &["HTTP/1.1 a"]] {
            assert!(TopVia::of(&headers(lines)).is_none(), "{lines:?}");
        }
    }

    #[test]
    fn branches_of_rfc_2543_identify_nothing() {
        for (params, branch) in [
            ("", None),
            (";branch", None),
            (";branch=1", None),
            (";branch=z9hG4bK", None),
            (";branch=z9hG4", None),
            (";BRANCH=Z9HG4BKx", Some("Z9HG4BKx")),
        ] {
            let headers = headers(&[&format!("SIP/2.0/UDP a{params}")]);
            let via = TopVia::of(&headers);
            assert_eq!(
                via.and_then(|via| via.rfc3261_branch().map(str::to_owned)).as_deref(),
                branch
            );
        }
    }
}
