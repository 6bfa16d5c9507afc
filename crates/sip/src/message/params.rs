//! Parameters of headers and URIs.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::SyntaxError;
use super::scan::{self, RawParam};

/// Ordered `;name[=value]` parameters (RFC 3261 `generic-param`). Names compare without case.
///
/// Kept as the text to print, without white space: reading and printing cost no allocation.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Params(Box<str>);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a header's parameters: white space allowed, quoted values allowed.
    pub(super) fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut rest = text;
        let mut out = String::with_capacity(text.len());
        while let Some(param) = scan::next_param(&mut rest) {
            let RawParam { name, value } = param?;
            push_raw(&mut out, name, value);
        }
        Ok(Self(out.into()))
    }

    /// Checks a header's parameters without keeping them.
    pub(super) fn check(text: &str) -> Result<(), SyntaxError> {
        let mut rest = text;
        while let Some(param) = scan::next_param(&mut rest) {
            param?;
        }
        Ok(())
    }

    /// Checks a URI's parameters: no white space, no quotes.
    // Some phones end a URI with a lone `;`, so empty parameters pass and are dropped.
    pub(super) fn check_uri(text: &str) -> Result<(), SyntaxError> {
        let (mut name_len, mut in_value) = (0, false);
        for b in text.bytes() {
            match b {
                b';' => (name_len, in_value) = (0, false),
                b'=' if name_len == 0 || in_value => {
                    return Err(SyntaxError("stray = in URI parameters"));
                }
                b'=' => in_value = true,
                _ if scan::is_uri_param(b) => name_len += 1,
                _ => return Err(SyntaxError("character not allowed in a URI parameter")),
            }
        }
        Ok(())
    }

    /// Takes a URI's parameters that [`Params::check_uri`] has passed.
    pub(super) fn from_uri(text: &str) -> Self {
        if !text.ends_with(';') && !text.as_bytes().windows(2).any(|pair| pair == b";;") {
            return Self(text.into());
        }
        let mut out = String::with_capacity(text.len());
        for param in text.split(';').filter(|p| !p.is_empty()) {
            out.push(';');
            out.push_str(param);
        }
        Self(out.into())
    }

    /// The parameters in order; a quoted value without its quotes, escapes left as they are.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.iter_raw().map(|(name, value)| (name, value.map(without_quotes)))
    }

    fn iter_raw(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let text = rest.strip_prefix(';')?;
            let name_end =
                text.bytes().position(|b| matches!(b, b';' | b'=')).unwrap_or(text.len());
            let (name, after) = text.split_at(name_end);
            let Some(value) = after.strip_prefix('=') else {
                rest = after;
                return Some((name, None));
            };
            let len = if value.starts_with('"') {
                scan::skip_quoted(value.as_bytes(), 0)
            } else {
                memchr::memchr(b';', value.as_bytes())
            };
            let (value, after) = value.split_at(len.unwrap_or(value.len()));
            rest = after;
            Some((name, Some(value)))
        })
    }

    /// `Some(None)` for a parameter without a value; a quoted value comes without its quotes.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of a parameter that has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).flatten()
    }

    /// The value with quoted pairs undone.
    pub fn unquoted(&self, name: &str) -> Option<Cow<'_, str>> {
        let value = self.value(name)?;
        Some(if value.contains('\\') { scan::unquote(value).into() } else { value.into() })
    }

    /// Whether the parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets a parameter in its place, or appends it. A value that is no plain text is quoted.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let mut quoted = String::new();
        let value = value.map(|v| {
            if is_plain(v) {
                return v;
            }
            scan::quote_into(v, &mut quoted);
            &*quoted
        });
        self.replace(name, value);
    }

    fn replace(&mut self, name: &str, value: Option<&str>) {
        let added = name.len() + 2 + value.map_or(0, str::len);
        let mut out = String::with_capacity(self.0.len() + added);
        let mut placed = false;
        for (n, v) in self.iter_raw() {
            if !n.eq_ignore_ascii_case(name) {
                push_raw(&mut out, n, v);
            } else if !placed {
                push_raw(&mut out, n, value);
                placed = true;
            }
        }
        if !placed {
            push_raw(&mut out, name, value);
        }
        self.0 = out.into();
    }

    /// Sets a parameter of a URI: what may not stand there is escaped, never quoted.
    pub(super) fn set_escaped(&mut self, name: &str, value: Option<&str>) {
        let escaped = value.map(|v| {
            let mut out = String::with_capacity(v.len());
            scan::escape_into(v, scan::Place::Param, &mut out);
            out
        });
        self.replace(name, escaped.as_deref());
    }

    /// With a parameter set, for building in one expression.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.set(name, value);
        self
    }

    /// Removes a parameter; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        if !self.has(name) {
            return false;
        }
        let mut out = String::with_capacity(self.0.len());
        for (n, v) in self.iter_raw().filter(|(n, _)| !n.eq_ignore_ascii_case(name)) {
            push_raw(&mut out, n, v);
        }
        self.0 = out.into();
        true
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As printed: empty, or `;name=value…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn push_raw(out: &mut String, name: &str, value: Option<&str>) {
    out.push(';');
    out.push_str(name);
    if let Some(value) = value {
        out.push('=');
        out.push_str(value);
    }
}

fn without_quotes(value: &str) -> &str {
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)
}

/// Fit to stand without quotes: the characters of a token or a host.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.split(['[', ']', ':']).all(|s| s.is_empty() || scan::is_token(s))
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_without_regard_to_case_and_quotes() {
        let params = Params::parse(" ; tag = Ab;lr; +sip.Instance=\"<urn:uuid:1;2>\" ").unwrap();
        assert_eq!(params.as_str(), ";tag=Ab;lr;+sip.Instance=\"<urn:uuid:1;2>\"");
        assert_eq!(params.get("TAG"), Some(Some("Ab")));
        assert_eq!(params.get("lr"), Some(None));
        assert_eq!(params.get("l"), None);
        assert_eq!(params.value("+sip.instance"), Some("<urn:uuid:1;2>"));
    }

    #[test]
    fn setting_keeps_the_place_and_quotes_when_needed() {
        let mut params = Params::parse(";a=1;b;c=3").unwrap();
        params.set("B", Some("x y\"z"));
        params.set("d", Some("[::1]:5060"));
        params.set("e", None);
        assert_eq!(params.as_str(), ";a=1;b=\"x y\\\"z\";c=3;d=[::1]:5060;e");
        assert_eq!(params.unquoted("b").as_deref(), Some("x y\"z"));
        assert!(params.remove("C"));
        assert!(!params.remove("c"));
        assert_eq!(params.as_str(), ";a=1;b=\"x y\\\"z\";d=[::1]:5060;e");
    }

    #[test]
    fn a_lone_semicolon_at_the_end_of_a_uri_is_dropped() {
        assert!(Params::check_uri(";;transport=tcp;").is_ok());
        assert_eq!(Params::from_uri(";;transport=tcp;").as_str(), ";transport=tcp");
        for bad in [";=x", ";a b", ";a=\"x\"", ";a=<"] {
            assert!(Params::check_uri(bad).is_err(), "{bad}");
        }
    }
}
