//! The header container: ordered, over rsip's, which is seen nowhere else.

use std::fmt;

use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::name::Name;
use super::scan::{self, List};

/// The headers of a message in their order, values unfolded, compact names expanded.
///
/// Content-Length is not among them: it is checked when a message is read and written when it is
/// printed.
#[derive(Clone, Default, PartialEq)]
pub struct Headers(rsip::Headers);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// No headers, with room for some.
    pub(super) fn with_capacity(headers: usize) -> Self {
        Self(Vec::with_capacity(headers).into())
    }

    /// Of headers that are known to be clean.
    pub(super) fn from_clean(headers: Vec<rsip::Header>) -> Self {
        Self(headers.into())
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|header| (Name::text_of(header), Name::value_of(header)))
    }

    /// How many header lines there are.
    pub fn len(&self) -> usize {
        self.0.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the first header of that name.
    pub fn get(&self, name: Name) -> Option<&str> {
        self.get_all(name).next()
    }

    /// The value of the first header of that name, known or not, in any case.
    pub fn get_named(&self, name: &str) -> Option<&str> {
        let known = Name::parse(name);
        if known != Name::Other {
            return self.get(known);
        }
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The values of all headers of that name, a line each.
    pub fn get_all(&self, name: Name) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(move |header| value_if(header, name))
    }

    /// The values of all headers of that name, comma lists split, empty elements left out.
    pub fn list(&self, name: Name) -> impl Iterator<Item = &str> {
        self.get_all(name).flat_map(List::new)
    }

    /// Whether there is such a header.
    pub fn has(&self, name: Name) -> bool {
        self.get(name).is_some()
    }

    /// Whether a comma list such as Supported holds a token, in any case, parameters aside.
    pub fn has_token(&self, name: Name, token: &str) -> bool {
        self.list(name).any(|element| {
            let bare = element.split_once(';').map_or(element, |(bare, _)| bare);
            scan::trim(bare).eq_ignore_ascii_case(token)
        })
    }

    /// Appends a header. Line breaks in the value become spaces; [`Name::Other`] appends nothing.
    pub fn push(&mut self, name: Name, value: impl Into<String>) {
        if let Some(header) = header(name, value.into()) {
            self.0.push(header);
        }
    }

    /// Appends a header of any name. A name that is no token appends nothing.
    pub fn push_named(&mut self, name: &str, value: impl Into<String>) {
        let known = Name::parse(name);
        if known != Name::Other {
            self.push(known, value);
        } else if scan::is_token(name) {
            self.0.push(rsip::Header::Other(name.into(), clean(value.into())));
        }
    }

    /// Puts a header before the first of its name, or before all others.
    pub fn push_front(&mut self, name: Name, value: impl Into<String>) {
        let Some(header) = header(name, value.into()) else { return };
        self.edit(|headers| {
            let at = headers.iter().position(|h| value_if(h, name).is_some()).unwrap_or(0);
            headers.insert(at, header);
        });
    }

    /// Replaces all headers of that name by one, in the place of the first, or appends it.
    pub fn set(&mut self, name: Name, value: impl Into<String>) {
        let Some(header) = header(name, value.into()) else { return };
        self.edit(|headers| {
            let at = headers.iter().position(|h| value_if(h, name).is_some());
            headers.retain(|h| value_if(h, name).is_none());
            headers.insert(at.unwrap_or(headers.len()), header);
        });
    }

    /// Replaces the first value of a comma list, e.g. the topmost Via; appends it if there is none.
    pub fn set_first(&mut self, name: Name, value: impl Into<String>) {
        let mut value = clean(value.into());
        if let Some(old) = self.get(name) {
            let rest = after_first(old);
            if !rest.is_empty() {
                value.push_str(", ");
                value.push_str(rest);
            }
        }
        self.replace_line(name, value);
    }

    /// Takes away the first value of a comma list and returns it.
    pub fn pop_front(&mut self, name: Name) -> Option<String> {
        loop {
            let line = self.get(name)?;
            let first = List::new(line).next().map(str::to_owned);
            let rest = after_first(line).to_owned();
            if rest.is_empty() {
                self.remove_line(name);
            } else {
                self.replace_line(name, rest);
            }
            if first.is_some() {
                return first;
            }
        }
    }

    /// Removes all headers of that name; how many lines there were.
    pub fn remove(&mut self, name: Name) -> usize {
        let before = self.len();
        self.0.retain(|header| value_if(header, name).is_none());
        before - self.len()
    }

    /// Removes all headers of that name, known or not, in any case; how many lines there were.
    pub fn remove_named(&mut self, name: &str) -> usize {
        let known = Name::parse(name);
        if known != Name::Other {
            return self.remove(known);
        }
        let before = self.len();
        self.0.retain(|header| !Name::text_of(header).eq_ignore_ascii_case(name));
        before - self.len()
    }

    /// Appends all headers of that name of another message.
    pub fn copy_from(&mut self, other: &Self, name: Name) {
        let copies = other.0.iter().filter(|header| value_if(header, name).is_some());
        copies.for_each(|header| self.0.push(header.clone()));
    }

    /// Replaces the first header line of that name, or appends one.
    pub(crate) fn replace_line(&mut self, name: Name, value: String) {
        let Some(header) = header(name, value) else { return };
        if let Some(place) = self.0.iter_mut().find(|header| value_if(header, name).is_some()) {
            *place = header;
        } else {
            self.0.push(header);
        }
    }

    fn remove_line(&mut self, name: Name) {
        self.edit(|headers| {
            if let Some(at) = headers.iter().position(|h| value_if(h, name).is_some()) {
                headers.remove(at);
            }
        });
    }

    fn edit(&mut self, change: impl FnOnce(&mut Vec<rsip::Header>)) {
        let mut headers = std::mem::take(&mut self.0).into();
        change(&mut headers);
        self.0 = headers.into();
    }
}

#[inline]
fn value_if(header: &rsip::Header, name: Name) -> Option<&str> {
    name.is_of(header).then(|| Name::value_of(header))
}

/// What follows the first element of a comma list.
fn after_first(line: &str) -> &str {
    let mut list = List::new(line);
    list.next();
    scan::trim(list.rest())
}

fn header(name: Name, value: String) -> Option<rsip::Header> {
    (name != Name::Other).then(|| name.header(clean(value)))
}

/// A line break in a value would let its author write headers of his own.
fn clean(value: String) -> String {
    if memchr::memchr2(b'\r', b'\n', value.as_bytes()).is_none() {
        return value;
    }
    value.replace(['\r', '\n'], " ")
}

/// Credentials are shown as `***`.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(name, value)| {
            let secret = Name::parse(name).is_secret();
            (name, if secret { "***" } else { value })
        });
        f.debug_map().entries(shown).finish()
    }
}

/// A sequence of pairs of name and value.
impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.len()))?;
        for pair in self.iter() {
            seq.serialize_element(&pair)?;
        }
        seq.end()
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<(String, String)>::deserialize(deserializer)?;
        Ok(pairs.into_iter().collect())
    }
}

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.push_named(name.as_ref(), value);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Headers {
        let pairs = [
            ("v", "SIP/2.0/UDP a, SIP/2.0/UDP b"),
            ("Via", "SIP/2.0/UDP c"),
            ("x-Custom", "1"),
            ("refer-to", "<sip:r@s>"),
            ("K", "100rel, Timer;x"),
        ];
        pairs.into_iter().collect()
    }

    #[test]
    fn names_are_canonical_and_order_is_kept() {
        let headers = sample();
        let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Via", "Via", "x-Custom", "Refer-To", "Supported"]);
        assert_eq!((headers.len(), headers.is_empty()), (5, false));
        assert_eq!(headers.get(Name::ReferTo), Some("<sip:r@s>"));
        assert_eq!(headers.get_named("X-CUSTOM"), Some("1"));
        assert_eq!(headers.get_named("r"), Some("<sip:r@s>"));
        assert_eq!(headers.get(Name::Route), None);
        assert_eq!(headers.list(Name::Via).count(), 3);
    }

    #[test]
    fn tokens_are_found_in_any_case() {
        let headers = sample();
        assert!(headers.has_token(Name::Supported, "100REL"));
        assert!(headers.has_token(Name::Supported, "timer"));
        assert!(!headers.has_token(Name::Supported, "100"));
        assert!(!headers.has_token(Name::Require, "100rel"));
    }

    #[test]
    fn the_topmost_value_is_replaced_and_popped() {
        let mut headers = sample();
        headers.set_first(Name::Via, "SIP/2.0/UDP z");
        assert_eq!(headers.get(Name::Via), Some("SIP/2.0/UDP z, SIP/2.0/UDP b"));
        headers.push_front(Name::Via, "SIP/2.0/UDP top");
        let popped: Vec<_> = std::iter::from_fn(|| headers.pop_front(Name::Via)).collect();
        assert_eq!(popped, ["SIP/2.0/UDP top", "SIP/2.0/UDP z", "SIP/2.0/UDP b", "SIP/2.0/UDP c"]);
        assert!(!headers.has(Name::Via));
        headers.push_front(Name::Route, "<sip:first>");
        assert_eq!(headers.iter().next(), Some(("Route", "<sip:first>")));
    }

    #[test]
    fn setting_and_removing_touch_one_name_only() {
        let mut headers = sample();
        headers.set(Name::Via, "SIP/2.0/UDP only");
        headers.set(Name::MinSe, "90");
        assert_eq!(headers.get_all(Name::Via).count(), 1);
        assert_eq!((headers.remove(Name::Via), headers.remove(Name::Via)), (1, 0));
        assert_eq!((headers.remove_named("X-Custom"), headers.remove_named("min-se")), (1, 1));
        let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Refer-To", "Supported"]);
    }

    #[test]
    fn nothing_can_forge_a_line() {
        let mut headers = Headers::new();
        headers.push(Name::Subject, "a\r\nRoute: <sip:evil>");
        headers.push_named("X\r\nRoute", "x");
        headers.push_named("", "x");
        headers.push_named("X-A", "b\nc");
        headers.push(Name::Other, "x");
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("Subject", "a  Route: <sip:evil>"), ("X-A", "b c")]);
    }

    #[test]
    fn credentials_are_never_shown() {
        let mut headers = sample();
        headers.push(Name::Authorization, "Digest response=\"0123\"");
        headers.push_named("proxy-authorization", "Digest response=\"4567\"");
        let shown = format!("{headers:?}");
        assert!(!shown.contains("0123") && !shown.contains("4567"), "{shown}");
        assert!(shown.contains("x-Custom"));
    }
}
