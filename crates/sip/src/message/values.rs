//! Typed values of the smaller headers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::SyntaxError;
use super::method::Method;
use super::params::Params;
use super::scan;

/// The largest CSeq or RSeq number (RFC 3261 §8.1.1.5).
pub const MAX_SEQ: u32 = (1 << 31) - 1;

/// CSeq (RFC 3261 §20.16).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CSeq {
    /// Below 2³¹.
    pub seq: u32,
    /// The request's method; of the request answered, in a response.
    pub method: Method,
}

impl CSeq {
    /// Splits and checks without taking memory.
    pub(super) fn split(text: &str) -> Result<(u32, &str), SyntaxError> {
        let text = scan::trim(text);
        let end = text.bytes().position(scan::is_lws).ok_or(SyntaxError("no method"))?;
        let (seq, method) = (number(&text[..end])?, scan::trim_start(&text[end..]));
        if !scan::is_token(method) {
            return Err(SyntaxError("method is no token"));
        }
        Ok((seq, method))
    }
}

fn number(digits: &str) -> Result<u32, SyntaxError> {
    scan::decimal(digits, MAX_SEQ.into())
        .and_then(|n| u32::try_from(n).ok())
        .ok_or(SyntaxError("number out of range"))
}

impl FromStr for CSeq {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let (seq, method) = Self::split(text)?;
        Ok(Self { seq, method: Method::from_token(method) })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seq, self.method)
    }
}

/// RAck (RFC 3262 §7.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RAck {
    /// The RSeq acknowledged.
    pub rseq: u32,
    /// The CSeq number of the response acknowledged.
    pub cseq: u32,
    /// Its method.
    pub method: Method,
}

impl FromStr for RAck {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let text = scan::trim(text);
        let end = text.bytes().position(scan::is_lws).ok_or(SyntaxError("no CSeq"))?;
        let CSeq { seq, method } = text[end..].parse()?;
        Ok(Self { rseq: number(&text[..end])?, cseq: seq, method })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.rseq, self.cseq, self.method)
    }
}

/// Parses `RSeq`.
pub(super) fn rseq(text: &str) -> Result<u32, SyntaxError> {
    number(scan::trim(text))
}

/// Who refreshes a session (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Refresher {
    /// The one who sent the request this stands in.
    Uac,
    /// The one who answers it.
    Uas,
}

/// Session-Expires (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionExpires {
    /// Seconds; too large a number is clamped.
    pub delta_secs: u32,
    /// `None`: left to the answerer.
    pub refresher: Option<Refresher>,
}

impl FromStr for SessionExpires {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let (seconds, params) = split_params(text);
        let params = Params::parse(params)?;
        let refresher = match params.value("refresher") {
            Some(r) if r.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(r) if r.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        let delta_secs = delta(seconds).ok_or(SyntaxError("no number of seconds"))?;
        Ok(Self { delta_secs, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.delta_secs)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// Seconds; too large a number is clamped (RFC 3261 §20.19).
pub(super) fn delta(text: &str) -> Option<u32> {
    u32::try_from(scan::clamped_decimal(scan::trim(text), u32::MAX.into())?).ok()
}

/// Splits `value;params`, or `value (comment);params`.
pub(super) fn split_params(text: &str) -> (&str, &str) {
    let (value, params) = text.split_at(text.find(';').unwrap_or(text.len()));
    (scan::trim(value), params)
}

/// A media type (RFC 3261 §20.15): `application/sdp;charset=utf-8`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaType {
    /// In lower case, e.g. `application`.
    pub kind: Box<str>,
    /// In lower case, e.g. `sdp`.
    pub subtype: Box<str>,
    /// Its parameters.
    pub params: Params,
}

impl MediaType {
    /// Whether it is `kind/subtype`, both given in lower case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        &*self.kind == kind && &*self.subtype == subtype
    }
}

impl FromStr for MediaType {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let (value, params) = split_params(text);
        let (kind, subtype) = value.split_once('/').ok_or(SyntaxError("no subtype"))?;
        let (kind, subtype) = (scan::trim(kind), scan::trim(subtype));
        if !scan::is_token(kind) || !scan::is_token(subtype) {
            return Err(SyntaxError("bad media type"));
        }
        Ok(Self {
            kind: kind.to_ascii_lowercase().into(),
            subtype: subtype.to_ascii_lowercase().into(),
            params: Params::parse(params)?,
        })
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params)
    }
}

/// Replaces, Join or Target-Dialog: the dialog meant, seen from the one who reads it (RFC 3891
/// §6.1, RFC 3911, RFC 4538).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaces {
    /// The Call-ID.
    pub call_id: Box<str>,
    /// The reader's own tag.
    pub to_tag: Box<str>,
    /// The tag of the reader's peer.
    pub from_tag: Box<str>,
    /// Only an early dialog may be replaced.
    pub early_only: bool,
}

impl Replaces {
    /// Reads the header's value; that of an escaped URI header is unescaped first
    /// ([`super::UriHeaders::get`]).
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let (call_id, params) = split_params(text);
        if call_id.is_empty() || call_id.contains([' ', '\t', ',']) {
            return Err(SyntaxError("bad Call-ID"));
        }
        let params = Params::parse(params)?;
        let local = params.value("to-tag").or_else(|| params.value("local-tag"));
        let remote = params.value("from-tag").or_else(|| params.value("remote-tag"));
        Ok(Self {
            call_id: call_id.into(),
            to_tag: local.ok_or(SyntaxError("no to-tag"))?.into(),
            from_tag: remote.ok_or(SyntaxError("no from-tag"))?.into(),
            early_only: params.has("early-only"),
        })
    }
}

impl FromStr for Replaces {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Self::parse(text)
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        if self.early_only { f.write_str(";early-only") } else { Ok(()) }
    }
}

/// One Reason value (RFC 3326): `Q.850;cause=16;text="Normal call clearing"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// `SIP`, `Q.850` or another token.
    pub protocol: Box<str>,
    /// The `cause` parameter.
    pub cause: Option<u16>,
    /// The `text` parameter, quoting undone.
    pub text: Option<Box<str>>,
}

impl FromStr for Reason {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let (protocol, params) = split_params(text);
        if !scan::is_token(protocol) {
            return Err(SyntaxError("no protocol"));
        }
        let params = Params::parse(params)?;
        Ok(Self {
            protocol: protocol.into(),
            cause: params.value("cause").and_then(|cause| cause.parse().ok()),
            text: params.unquoted("text").map(|text| text.into()),
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        if let Some(text) = &self.text {
            let mut quoted = String::new();
            scan::quote_into(text, &mut quoted);
            write!(f, ";text={quoted}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cseq_and_rack_stay_within_31_bits() {
        let cseq: CSeq = "0009   INVITE".parse().unwrap();
        assert_eq!(cseq, CSeq { seq: 9, method: Method::Invite });
        assert_eq!("2147483647 X".parse::<CSeq>().unwrap().seq, MAX_SEQ);
        for bad in ["", "1", "INVITE 1", "2147483648 X", "-1 X", "1 X Y", "99999999999999999999 X"]
        {
            assert!(bad.parse::<CSeq>().is_err(), "{bad}");
        }
        let rack: RAck = "776656 1 INVITE".parse().unwrap();
        assert_eq!(
            (rack.rseq, rack.cseq, rack.to_string().as_str()),
            (776_656, 1, "776656 1 INVITE")
        );
        for bad in ["", "1 INVITE", "1 2", "x 1 INVITE"] {
            assert!(bad.parse::<RAck>().is_err(), "{bad}");
        }
        assert_eq!((rseq(" 5 "), rseq("2147483648").is_err()), (Ok(5), true));
    }

    #[test]
    fn session_expires_tells_who_refreshes() {
        for (text, delta_secs, refresher, printed) in [
            ("1800", 1800, None, "1800"),
            ("90 ; Refresher = UAS", 90, Some(Refresher::Uas), "90;refresher=uas"),
            (
                "99999999999;refresher=uac;x",
                u32::MAX,
                Some(Refresher::Uac),
                "4294967295;refresher=uac",
            ),
            ("90;refresher=me", 90, None, "90"),
        ] {
            let read: SessionExpires = text.parse().unwrap();
            assert_eq!(read, SessionExpires { delta_secs, refresher });
            assert_eq!(read.to_string(), printed);
        }
        assert!("soon".parse::<SessionExpires>().is_err());
    }

    #[test]
    fn replaces_reads_its_tags_in_any_order() {
        let read =
            Replaces::parse("425928@bobster.example.org;from-tag=2;to-tag=1;early-only").unwrap();
        assert_eq!(
            (&*read.call_id, &*read.to_tag, &*read.from_tag),
            ("425928@bobster.example.org", "1", "2")
        );
        assert_eq!(read.to_string(), "425928@bobster.example.org;to-tag=1;from-tag=2;early-only");
        assert!(!Replaces::parse("a;to-tag=1;from-tag=2").unwrap().early_only);
        for bad in [
            "",
            "a",
            "a;to-tag=1",
            "a;from-tag=1",
            ";to-tag=1;from-tag=2",
            "a b;to-tag=1;from-tag=2",
        ] {
            assert!(Replaces::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reasons_carry_cause_and_text() {
        let text = "Q.850;cause=16;text=\"Normal \\\"call\\\" clearing\"";
        let read: Reason = text.parse().unwrap();
        assert_eq!((&*read.protocol, read.cause), ("Q.850", Some(16)));
        assert_eq!(read.text.as_deref(), Some("Normal \"call\" clearing"));
        assert_eq!(read.to_string(), text);
        assert_eq!("SIP".parse::<Reason>().unwrap().cause, None);
        assert!(";cause=1".parse::<Reason>().is_err());
    }

    #[test]
    fn media_types_compare_without_case() {
        let read: MediaType = "Application / SDP ;charset=UTF-8".parse().unwrap();
        assert!(read.is("application", "sdp"));
        assert_eq!(read.to_string(), "application/sdp;charset=UTF-8");
        for bad in ["", "text", "/", "a/", "a/b c"] {
            assert!(bad.parse::<MediaType>().is_err(), "{bad}");
        }
    }
}
