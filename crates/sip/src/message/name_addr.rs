//! `"Display" <uri>;params`: From, To, Contact, Route and their kin.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::SyntaxError;
use super::params::Params;
use super::scan;
use super::uri::{RawUri, Uri};

/// A `name-addr` or `addr-spec` with header parameters (RFC 3261 §20.10, §25.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameAddr {
    /// The display name, quoting undone.
    pub display: Option<Box<str>>,
    /// The URI.
    pub uri: Uri,
    /// The parameters of the header, not those of the URI.
    pub params: Params,
}

impl NameAddr {
    /// Without display name and parameters.
    pub fn new(uri: Uri) -> Self {
        Self { display: None, uri, params: Params::default() }
    }

    /// With a display name; an empty one is left out.
    #[must_use]
    pub fn with_display(mut self, display: &str) -> Self {
        self.display = (!display.is_empty()).then(|| display.into());
        self
    }

    /// With a header parameter set.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Self {
        self.params.set(name, value);
        self
    }

    /// The `tag` parameter (RFC 3261 §19.3).
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag")
    }

    /// Sets the `tag` parameter.
    pub fn set_tag(&mut self, tag: &str) {
        self.params.set("tag", Some(tag));
    }

    /// The `expires` parameter of a Contact in seconds; `None` when absent or no number, clamped
    /// when too large (RFC 3261 §10.2.1.1).
    pub fn expires(&self) -> Option<u32> {
        let seconds = scan::clamped_decimal(self.params.value("expires")?, u32::MAX.into())?;
        u32::try_from(seconds).ok()
    }

    /// The `q` parameter of a Contact in thousandths, 0..=1000 (RFC 3261 §25.1 `qvalue`).
    pub fn q_thousandths(&self) -> Option<u16> {
        let (whole, fraction) = {
            let q = self.params.value("q")?;
            q.split_once('.').unwrap_or((q, ""))
        };
        if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let thousandths = format!("{fraction:0<3}").parse::<u16>().ok()?;
        let q = scan::decimal(whole, 1)? * 1000 + u64::from(thousandths);
        u16::try_from(q.min(1000)).ok()
    }
}

/// A `name-addr` split into its parts, none of which has memory of its own yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawNameAddr<'a> {
    display: Display<'a>,
    pub(super) uri: RawUri<'a>,
    pub(super) params: &'a str,
}

#[derive(Clone, Copy, Debug)]
enum Display<'a> {
    None,
    Plain(&'a str),
    Quoted(&'a str),
}

impl<'a> RawNameAddr<'a> {
    /// Checks and splits one value; a comma after it is an error.
    pub(super) fn scan(text: &'a str) -> Result<Self, SyntaxError> {
        let text = scan::trim(text);
        let (display, rest) = if text.starts_with('"') {
            let end = scan::skip_quoted(text.as_bytes(), 0);
            let end = end.ok_or(SyntaxError("unbalanced quotes"))?;
            (Display::Quoted(&text[1..end - 1]), scan::trim_start(&text[end..]))
        } else {
            match memchr::memchr2(b'<', b';', text.as_bytes()) {
                Some(open) if text[open..].starts_with('<') => {
                    (Self::plain_display(&text[..open])?, &text[open..])
                }
                _ => return Self::scan_addr_spec(text),
            }
        };
        let inner = rest.strip_prefix('<').ok_or(SyntaxError("display name without an address"))?;
        let close = memchr::memchr(b'>', inner.as_bytes()).ok_or(SyntaxError("no closing >"))?;
        let (uri, params) = (RawUri::scan(&inner[..close])?, &inner[close + 1..]);
        Params::check(params)?;
        Ok(Self { display, uri, params })
    }

    // RFC 3261 §20: without `<>`, what follows a semicolon belongs to the header, and a comma or
    // question mark may not stand in the URI.
    fn scan_addr_spec(text: &'a str) -> Result<Self, SyntaxError> {
        let (uri, params) = text.split_at(text.find(';').unwrap_or(text.len()));
        if uri.contains(['?', ',']) {
            return Err(SyntaxError("this URI has to stand in <>"));
        }
        let uri = RawUri::scan(scan::trim(uri))?;
        Params::check(params)?;
        Ok(Self { display: Display::None, uri, params })
    }

    // RFC 3261 wants tokens here. Phones send more (UTF-8, dots, apostrophes): be liberal, except
    // for what makes two values or an address of it.
    fn plain_display(text: &'a str) -> Result<Display<'a>, SyntaxError> {
        let text = scan::trim(text);
        if text
            .bytes()
            .any(|b| matches!(b, b',' | b'"' | b'>' | b'\\') || b.is_ascii_control() && b != b'\t')
        {
            return Err(SyntaxError("display name has to be quoted"));
        }
        Ok(if text.is_empty() { Display::None } else { Display::Plain(text) })
    }

    /// Whether the header parameter is there.
    pub(super) fn has_param(&self, name: &str) -> bool {
        let mut rest = self.params;
        std::iter::from_fn(|| scan::next_param(&mut rest))
            .any(|param| param.is_ok_and(|p| p.name.eq_ignore_ascii_case(name)))
    }

    pub(super) fn to_name_addr(self) -> Result<NameAddr, SyntaxError> {
        let display = match self.display {
            Display::None | Display::Quoted("") => None,
            Display::Quoted(inner) if inner.contains('\\') => Some(scan::unquote(inner).into()),
            Display::Plain(text) | Display::Quoted(text) => Some(text.into()),
        };
        let params = Params::parse(self.params)?;
        Ok(NameAddr { display, uri: self.uri.to_uri(), params })
    }
}

impl From<Uri> for NameAddr {
    fn from(uri: Uri) -> Self {
        Self::new(uri)
    }
}

impl FromStr for NameAddr {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        RawNameAddr::scan(text)?.to_name_addr()
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            let mut quoted = String::with_capacity(display.len() + 3);
            scan::quote_into(display, &mut quoted);
            write!(f, "{quoted} ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// Like `Display`, without the URI's password.
impl fmt::Debug for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{display:?} ")?;
        }
        write!(f, "<{:?}>{}", self.uri, self.params)
    }
}

impl From<&NameAddr> for String {
    fn from(addr: &NameAddr) -> Self {
        addr.to_string()
    }
}

impl From<NameAddr> for String {
    fn from(addr: NameAddr) -> Self {
        addr.to_string()
    }
}

impl Serialize for NameAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::serde_text::print(self, serializer)
    }
}

impl<'de> Deserialize<'de> for NameAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::serde_text::parse(deserializer)
    }
}

/// The value of one or more Contact headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContactList {
    /// `Contact: *` (RFC 3261 §10.2.2).
    Star,
    /// All contacts in order; empty without a Contact header.
    List(Vec<NameAddr>),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addr(text: &str) -> NameAddr {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn all_forms_are_read() {
        for (text, display, uri, params) in [
            ("sip:a@b;tag=1", None, "sip:a@b", ";tag=1"),
            ("<sip:a@b;lr>;tag=1", None, "sip:a@b;lr", ";tag=1"),
            ("\"\" <sip:a@b>", None, "sip:a@b", ""),
            ("Alice<sip:a@b>", Some("Alice"), "sip:a@b", ""),
            ("John Q. Public <sip:a@b>", Some("John Q. Public"), "sip:a@b", ""),
            ("Jürgen Müller <sip:a@b>", Some("Jürgen Müller"), "sip:a@b", ""),
            (
                "\"Weiß, <Tester>; \\\"x\\\"\" <sip:a@b> ; tag = 2",
                Some("Weiß, <Tester>; \"x\""),
                "sip:a@b",
                ";tag=2",
            ),
            (
                "sip:a@b;+sip.instance=\"<urn:uuid:1>\"",
                None,
                "sip:a@b",
                ";+sip.instance=\"<urn:uuid:1>\"",
            ),
            ("<tel:+49301;phone-context=x>", None, "tel:+49301;phone-context=x", ""),
        ] {
            let read = addr(text);
            assert_eq!(read.display.as_deref(), display, "{text}");
            assert_eq!(
                (read.uri.to_string().as_str(), read.params.as_str()),
                (uri, params),
                "{text}"
            );
            assert_eq!(addr(&read.to_string()), read, "{text}");
        }
    }

    #[test]
    fn broken_forms_are_refused() {
        for text in [
            "",
            "<",
            "<>",
            "sip:a@b, sip:c@d",
            "<sip:a@b>, <sip:c@d>",
            "\"a <sip:a@b>",
            "\"a\" sip:a@b",
            "<sip:a@b",
            "< sip:a@b >",
            "a, b <sip:a@b>",
            "<sip:a@b>;",
            "<sip:a@b>;;x",
            "<sip:a@b> x",
            "sip:a@b?Subject=x",
            "\"a\" \"b\" <sip:a@b>",
            "<sip:a@b>;tag=\"x",
            "*",
        ] {
            assert!(text.parse::<NameAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn tags_expiry_and_preference_are_found() {
        let mut contact = addr("<sip:a@b>;q=0.75;Expires=99999999999;TAG=x");
        assert_eq!((contact.q_thousandths(), contact.expires()), (Some(750), Some(u32::MAX)));
        assert_eq!(contact.tag(), Some("x"));
        contact.set_tag("y");
        assert_eq!(contact.to_string(), "<sip:a@b>;q=0.75;Expires=99999999999;TAG=y");
        for (q, expected) in [
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("0", Some(0)),
            ("0.5", Some(500)),
            ("2", None),
            ("0.1234", None),
            ("x", None),
        ] {
            assert_eq!(addr(&format!("<sip:a@b>;q={q}")).q_thousandths(), expected, "{q}");
        }
    }

    #[test]
    fn a_line_break_in_a_display_name_cannot_forge_a_header() {
        let forged = NameAddr::new(addr("sip:a@b").uri).with_display("x\r\nRoute: <sip:evil>");
        assert_eq!(forged.to_string(), "\"x  Route: <sip:evil>\" <sip:a@b>");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_display_name_and_parameter_survive(display in "[^\r\n]{0,20}", value in "[^\r\n]{0,20}") {
            let built = addr("sip:a@b;x=1").with_display(&display).with_param("p", Some(&value));
            let read: NameAddr = built.to_string().parse().unwrap();
            prop_assert_eq!(read.params.unquoted("p").unwrap(), value);
            prop_assert_eq!(read, built);
        }

        #[test]
        fn any_text_that_reads_prints_to_an_equal_value(text in "[\"a]{0,3} ?<?sip:[a-c@:;=?%,\"<> ]{0,20}>?[;=a\", ]{0,9}") {
            if let Ok(addr) = text.parse::<NameAddr>() {
                prop_assert_eq!(addr.to_string().parse::<NameAddr>(), Ok(addr));
            }
        }
    }
}
