//! URIs: `sip:`, `sips:`, `tel:`, and others taken whole.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::SyntaxError;
use super::host::{self, Host, RawHost};
use super::params::Params;
use super::scan;

/// The scheme of a URI.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966).
    Tel,
    /// Any other, in lower case.
    Other(Box<str>),
}

impl Scheme {
    /// In lower case, without the colon.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(name) => name,
        }
    }

    /// `sip` or `sips`.
    pub const fn is_sip(&self) -> bool {
        matches!(self, Self::Sip | Self::Sips)
    }
}

/// A URI (RFC 3261 §19.1, RFC 3966).
///
/// `tel:`: `user` is the number with its `+`, `host` is an empty name. Other schemes: `user` is
/// all that follows the colon.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user part, escaped as sent.
    pub user: Option<Box<str>>,
    /// The deprecated password, escaped as sent.
    pub password: Option<Box<str>>,
    /// The host.
    pub host: Host,
    /// The port, if one is given.
    pub port: Option<u16>,
    /// `;name=value`.
    pub params: Params,
    /// `?name=value&…`.
    pub headers: UriHeaders,
}

impl Uri {
    /// `sip:user@host:port`; what may not stand in a user part is escaped, an empty user left out.
    pub fn sip(user: &str, host: impl Into<Host>, port: Option<u16>) -> Self {
        let mut escaped = String::with_capacity(user.len());
        scan::escape_into(user, scan::Place::User, &mut escaped);
        Self {
            scheme: Scheme::Sip,
            user: (!user.is_empty()).then(|| escaped.into()),
            password: None,
            host: host.into(),
            port,
            params: Params::default(),
            headers: UriHeaders::default(),
        }
    }

    /// With a parameter set; what may not stand in a URI is escaped.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Self {
        self.set_param(name, value);
        self
    }

    /// Sets a parameter; what may not stand in a URI is escaped.
    pub fn set_param(&mut self, name: &str, value: Option<&str>) {
        self.params.set_escaped(name, value);
    }

    /// The user part with escapes undone.
    pub fn user_unescaped(&self) -> Option<Cow<'_, str>> {
        self.user.as_deref().map(scan::unescape)
    }

    /// The `transport` parameter, in the sender's case.
    pub fn transport(&self) -> Option<&str> {
        self.params.value("transport")
    }

    /// Whether the `lr` parameter is there: a loose router (RFC 3261 §16.12).
    pub fn lr(&self) -> bool {
        self.params.has("lr")
    }

    /// The `maddr` parameter.
    pub fn maddr(&self) -> Option<&str> {
        self.params.value("maddr")
    }

    /// Whether the scheme is `sips`.
    pub const fn is_secure(&self) -> bool {
        matches!(self.scheme, Scheme::Sips)
    }

    fn opaque(scheme: Scheme, text: &str, params: Params) -> Self {
        Self {
            scheme,
            user: Some(text.into()),
            password: None,
            host: Host::Name("".into()),
            port: None,
            params,
            headers: UriHeaders::default(),
        }
    }
}

/// A URI split into its parts, none of which has memory of its own yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum RawUri<'a> {
    Sip(RawSip<'a>),
    Tel { number: &'a str, params: &'a str },
    Other { scheme: &'a str, rest: &'a str },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RawSip<'a> {
    secure: bool,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: RawHost<'a>,
    port: Option<u16>,
    params: &'a str,
    pub(super) headers: &'a str,
}

impl<'a> RawUri<'a> {
    /// Checks and splits.
    pub(super) fn scan(text: &'a str) -> Result<Self, SyntaxError> {
        if let Some(rest) = scan::strip_prefix_any_case(text, "sip:") {
            return RawSip::scan(false, rest).map(Self::Sip);
        }
        if let Some(rest) = scan::strip_prefix_any_case(text, "sips:") {
            return RawSip::scan(true, rest).map(Self::Sip);
        }
        let (scheme, rest) = text.split_once(':').ok_or(SyntaxError("URI without a scheme"))?;
        if !scan::is_scheme(scheme) {
            return Err(SyntaxError("bad URI scheme"));
        }
        if scheme.eq_ignore_ascii_case("tel") {
            return Self::scan_tel(rest);
        }
        let clean = |b: u8| b > b' ' && b != 0x7f && !matches!(b, b'<' | b'>' | b'"');
        if rest.is_empty() || !rest.bytes().all(clean) {
            return Err(SyntaxError("bad URI"));
        }
        Ok(Self::Other { scheme, rest })
    }

    // RFC 3966 §3: digits with visual separators, also `*`, `#` and A–F of local numbers.
    fn scan_tel(rest: &'a str) -> Result<Self, SyntaxError> {
        let (number, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        let digits = number.strip_prefix('+').unwrap_or(number);
        let allowed =
            |b: u8| b.is_ascii_hexdigit() || matches!(b, b'-' | b'.' | b'(' | b')' | b'*' | b'#');
        if digits.is_empty() || !digits.bytes().all(allowed) {
            return Err(SyntaxError("bad telephone number"));
        }
        Params::check_uri(params)?;
        Ok(Self::Tel { number, params })
    }

    pub(super) fn to_uri(self) -> Uri {
        match self {
            Self::Sip(raw) => Uri {
                scheme: if raw.secure { Scheme::Sips } else { Scheme::Sip },
                user: raw.user.map(Into::into),
                password: raw.password.map(Into::into),
                host: raw.host.to_host(),
                port: raw.port,
                params: Params::from_uri(raw.params),
                headers: UriHeaders(raw.headers.into()),
            },
            Self::Tel { number, params } => {
                Uri::opaque(Scheme::Tel, number, Params::from_uri(params))
            }
            Self::Other { scheme, rest } => {
                let scheme = Scheme::Other(scheme.to_ascii_lowercase().into());
                Uri::opaque(scheme, rest, Params::default())
            }
        }
    }
}

impl<'a> RawSip<'a> {
    fn scan(secure: bool, rest: &'a str) -> Result<Self, SyntaxError> {
        let (userinfo, rest) = match memchr::memchr(b'@', rest.as_bytes()) {
            // `sip:host?Replaces=a@b`, unescaped: seen from sloppy transferors.
            Some(at) if !is_header_at(rest, at) => (Some(&rest[..at]), &rest[at + 1..]),
            _ => (None, rest),
        };
        let (user, password) = match userinfo {
            Some(info) => scan_userinfo(info).map(|(user, password)| (Some(user), password))?,
            None => (None, None),
        };
        let (host, mut rest) = Host::split(rest)?;
        let mut port = None;
        if let Some(digits) = rest.strip_prefix(':') {
            let (digits, after) = scan::split_digits(digits);
            port = Some(host::port(digits)?);
            rest = after;
        }
        let (params, headers) = scan::split_once(rest, b'?').unwrap_or((rest, ""));
        if !(params.is_empty() || params.starts_with(';')) {
            return Err(SyntaxError("text after the host"));
        }
        Params::check_uri(params)?;
        UriHeaders::check(headers)?;
        Ok(Self { secure, user, password, host, port, params, headers })
    }
}

fn scan_userinfo(info: &str) -> Result<(&str, Option<&str>), SyntaxError> {
    let (user, rest) = scan::split_user(info);
    if user.is_empty() {
        return Err(SyntaxError("empty user part"));
    }
    if rest.is_empty() {
        return Ok((user, None));
    }
    match rest.strip_prefix(':').map(scan::split_user) {
        Some((password, "")) => Ok((user, Some(password))),
        Some(_) | None => Err(SyntaxError("character not allowed in a user part")),
    }
}

/// Whether the `@` lies in the headers of a URI without a user part: then what stands before the
/// `?` is a plain host, and a `=` follows before the `@`.
fn is_header_at(rest: &str, at: usize) -> bool {
    scan::split_once(&rest[..at], b'?').is_some_and(|(before, header)| {
        header.contains('=') && Host::split(before).is_ok() && before.contains('.')
    })
}

/// The headers of a URI, `name=value&…`, escaped as sent (RFC 3261 §19.1.1).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UriHeaders(Box<str>);

impl UriHeaders {
    fn check(text: &str) -> Result<(), SyntaxError> {
        let clean = |b: u8| b > b' ' && b != 0x7f && !matches!(b, b'<' | b'>' | b'"');
        if text.bytes().all(clean) { Ok(()) } else { Err(SyntaxError("bad URI headers")) }
    }

    /// Names and values, escapes undone.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.0.split('&').filter(|h| !h.is_empty()).map(|header| {
            let (name, value) = header.split_once('=').unwrap_or((header, ""));
            (scan::unescape(name), scan::unescape(value))
        })
    }

    /// The first value of a header, escapes undone.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Appends a header, escaping what must be.
    pub fn push(&mut self, name: &str, value: &str) {
        let mut out = String::from(std::mem::take(&mut self.0));
        if !out.is_empty() {
            out.push('&');
        }
        scan::escape_into(name, scan::Place::Header, &mut out);
        out.push('=');
        scan::escape_into(value, scan::Place::Header, &mut out);
        self.0 = out.into();
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As printed, without the `?`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UriHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for Uri {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        RawUri::scan(text).map(RawUri::to_uri)
    }
}

impl Uri {
    /// Appends the text of the URI.
    pub(super) fn print(&self, out: &mut impl fmt::Write, password: Option<&str>) -> fmt::Result {
        out.write_str(self.scheme.as_str())?;
        out.write_char(':')?;
        if let Some(user) = &self.user {
            out.write_str(user)?;
            if let Some(password) = password {
                write!(out, ":{password}")?;
            }
        }
        if self.scheme.is_sip() {
            if self.user.is_some() {
                out.write_char('@')?;
            }
            self.host.print(out)?;
            if let Some(port) = self.port {
                write!(out, ":{port}")?;
            }
        }
        out.write_str(self.params.as_str())?;
        if !self.headers.is_empty() {
            out.write_char('?')?;
            out.write_str(self.headers.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, self.password.as_deref())
    }
}

/// Like `Display`, without the password.
impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, self.password.as_ref().map(|_| "***"))
    }
}

impl Serialize for Uri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::serde_text::print(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Uri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::serde_text::parse(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn what_is_read_is_printed_again() {
        for text in [
            "sip:example.com",
            "sip:alice@example.com",
            "sips:alice:secret@example.com:5061;transport=tcp;lr",
            "sip:%61lice@[2001:db8::1]:5070;maddr=239.255.255.1;ttl=15",
            "sip:*98#1@192.0.2.1",
            "sip:user;par=u%40example.net@example.com",
            "sip:1001@host.example?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2&X=",
            "sip:+49-30-123;phone-context=x@gw;user=phone",
            "tel:+49-30-123456;phone-context=example.com",
            "tel:*21*5#",
            "urn:service:sos",
            "http://www.example.com/a?b=c",
        ] {
            assert_eq!(uri(text).to_string(), text);
        }
    }

    #[test]
    fn broken_uris_are_refused() {
        for text in [
            "",
            ":",
            "sip",
            "sip:",
            "sip:@host",
            "sip:a@",
            "sip:a@b:",
            "sip:a@b:65536",
            "sip:a@b:5x",
            "sip:a b@c",
            "sip:a@b c",
            "sip:a@b; lr",
            "<sip:a@b>",
            "sip:a@b>",
            "sip:a\"@b",
            "1sip:a@b",
            "sip:a:b:c@d",
            "sip:a@b;=x",
            "sip:a@b/c",
            "sip:a@b?x=<",
            "sip:a@[::1",
            "tel:",
            "tel:+",
            "tel:alice",
            "tel:+1;a b",
            "mailto:",
            "mailto:a b",
            "sip:a@b\r\n",
            "sip:a\0@b",
        ] {
            assert!(text.parse::<Uri>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_parts_are_found() {
        let uri =
            uri("sips:al%20ice:pw@Example.com:5061;Transport=TLS;lr;maddr=192.0.2.9?Subject=a%20b");
        assert_eq!(uri.user_unescaped().unwrap(), "al ice");
        assert_eq!((uri.password.as_deref(), uri.port), (Some("pw"), Some(5061)));
        assert_eq!(
            (uri.transport(), uri.lr(), uri.maddr()),
            (Some("TLS"), true, Some("192.0.2.9"))
        );
        assert_eq!(uri.headers.get("subject").unwrap(), "a b");
        assert!(uri.is_secure());
    }

    #[test]
    fn a_telephone_number_keeps_its_plus() {
        let uri = uri("TEL:+1-201-555-0123;ext=7");
        assert_eq!((&uri.scheme, uri.user.as_deref()), (&Scheme::Tel, Some("+1-201-555-0123")));
        assert_eq!(uri.params.value("ext"), Some("7"));
    }

    #[test]
    fn an_unescaped_at_sign_in_a_replaces_header_is_no_user() {
        let uri = uri("sip:10.0.0.1:5060?Replaces=77@10.0.0.2");
        assert_eq!((uri.user.as_deref(), uri.port), (None, Some(5060)));
        assert_eq!(uri.headers.get("Replaces").unwrap(), "77@10.0.0.2");
    }

    #[test]
    fn builders_escape() {
        let mut uri = Uri::sip("a b@c", "::1", Some(5060)).with_param("x", Some("1;2"));
        uri.headers.push("Replaces", "id@host;to-tag=1");
        assert_eq!(
            uri.to_string(),
            "sip:a%20b%40c@[::1]:5060;x=1%3B2?Replaces=id%40host%3Bto-tag%3D1"
        );
        assert_eq!(uri.headers.get("replaces").unwrap(), "id@host;to-tag=1");
        assert_eq!(Uri::sip("", "example.com", None).to_string(), "sip:example.com");
    }

    #[test]
    fn debug_hides_the_password() {
        let shown = format!("{:?}", uri("sip:alice:hunter2@example.com"));
        assert_eq!(shown, "sip:alice:***@example.com");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_that_reads_prints_to_an_equal_uri(text in "(sip|sips|tel|x-y):[ -~é]{0,40}") {
            if let Ok(uri) = text.parse::<Uri>() {
                prop_assert_eq!(uri.to_string().parse::<Uri>(), Ok(uri.clone()));
                prop_assert!(uri.equivalent(&uri));
            }
        }

        #[test]
        fn any_user_and_parameter_survive(user in ".{1,20}", value in ".{1,20}", port: Option<u16>) {
            let built = Uri::sip(&user, "example.com", port).with_param("p", Some(&value));
            let read: Uri = built.to_string().parse().unwrap();
            prop_assert_eq!(read.user_unescaped().unwrap(), user);
            prop_assert_eq!(scan::unescape(read.params.value("p").unwrap()), value);
            prop_assert_eq!(read, built);
        }
    }
}
