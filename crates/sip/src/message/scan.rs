//! Character classes and small scanners of the SIP grammar (RFC 3261 §25.1), over borrowed text.
//!
//! Everything here is linear in its input and allocates nothing.

use super::error::SyntaxError;

/// What a byte may be part of.
const TOKEN: u8 = 1;
const HOST: u8 = 2;
const USER: u8 = 4;
const PARAM: u8 = 8;
const SCHEME: u8 = 16;
/// Ends a plain parameter value.
const VALUE_END: u8 = 32;
/// Matters when a comma list is split.
const LIST: u8 = 64;

const CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut c = 0usize;
    while c < 256 {
        let b = c as u8;
        let alnum = b.is_ascii_alphanumeric();
        let mark = contains(b"-_.!~*'()", b);
        if alnum || contains(b"-.!%*_+`'~", b) {
            table[c] |= TOKEN;
        }
        // `_` is no host character by RFC 1123, and in daily use all the same.
        if alnum || contains(b"-._", b) {
            table[c] |= HOST;
        }
        // `#` is not allowed bare, but telephone keypads have it; raw UTF-8 is passed on as sent.
        if alnum || mark || contains(b"&=+$,;?/%#", b) || b >= 0x80 {
            table[c] |= USER;
        }
        if alnum || mark || contains(b"[]/:&+$%", b) || b >= 0x80 {
            table[c] |= PARAM;
        }
        if alnum || contains(b"+-.", b) {
            table[c] |= SCHEME;
        }
        if contains(b"; \t,\"<>", b) {
            table[c] |= VALUE_END;
        }
        if contains(b",\"<", b) {
            table[c] |= LIST;
        }
        c += 1;
    }
    table
}

const fn contains(set: &[u8], b: u8) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == b {
            return true;
        }
        i += 1;
    }
    false
}

fn all(s: &str, class: u8) -> bool {
    span(s.as_bytes(), |b| CLASS[usize::from(b)] & class != 0) == s.len()
}

/// RFC 3261 `token`.
pub(super) fn is_token(s: &str) -> bool {
    !s.is_empty() && all(s, TOKEN)
}

/// A character of a URI parameter's name or value.
pub(super) const fn is_uri_param(b: u8) -> bool {
    CLASS[b as usize] & PARAM != 0
}

/// A URI scheme: a letter, then letters, digits, `+`, `-`, `.`.
pub(super) fn is_scheme(s: &str) -> bool {
    s.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) && all(s, SCHEME)
}

/// Linear white space inside an unfolded value.
pub(super) const fn is_lws(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// Without LWS at both ends.
pub(super) fn trim(s: &str) -> &str {
    trim_start(trim_end(s))
}

/// Without LWS in front.
pub(super) fn trim_start(mut s: &str) -> &str {
    while let [b' ' | b'\t', ..] = s.as_bytes() {
        s = &s[1..];
    }
    s
}

/// Without LWS at the end.
pub(super) fn trim_end(mut s: &str) -> &str {
    while let [.., b' ' | b'\t'] = s.as_bytes() {
        s = &s[..s.len() - 1];
    }
    s
}

/// Splits before the first byte that does not belong to `class`.
fn split_class(s: &str, class: u8) -> (&str, &str) {
    s.split_at(span(s.as_bytes(), |b| CLASS[usize::from(b)] & class != 0))
}

/// How many bytes in front are wanted: a plain loop, which costs half of what iterators do here.
#[inline]
fn span(s: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    let mut len = 0;
    while len < s.len() && wanted(s[len]) {
        len += 1;
    }
    len
}

/// Splits a host name off.
pub(super) fn split_host_name(s: &str) -> (&str, &str) {
    split_class(s, HOST)
}

/// Splits the characters of a SIP user part off.
pub(super) fn split_user(s: &str) -> (&str, &str) {
    split_class(s, USER)
}

/// Splits digits off.
pub(super) fn split_digits(s: &str) -> (&str, &str) {
    s.split_at(span(s.as_bytes(), |b| b.is_ascii_digit()))
}

/// Splits at the first `separator`, which is ASCII and belongs to neither part.
pub(super) fn split_once(s: &str, separator: u8) -> Option<(&str, &str)> {
    let at = span(s.as_bytes(), |b| b != separator);
    (at < s.len()).then(|| (&s[..at], &s[at + 1..]))
}

/// Whether `s` begins with an ASCII prefix, in any case; if so, what follows.
pub(super) fn strip_prefix_any_case<'a>(s: &'a str, prefix: &str) -> Option<&'a str> {
    let head = s.as_bytes().get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix.as_bytes()).then(|| &s[prefix.len()..])
}

/// The index just past the quoted string that opens at `open` (RFC 3261 `quoted-string`). A line
/// break stands in none, escaped or not: what was folded is one line by now.
pub(super) fn skip_quoted(s: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        let step = memchr::memchr2(b'"', b'\\', s.get(at..)?)?;
        at += step;
        if s[at] == b'"' {
            let is_one_line = memchr::memchr2(b'\r', b'\n', &s[open..at]).is_none();
            return is_one_line.then_some(at + 1);
        }
        at += 2;
    }
}

/// A decimal number of digits only, without sign, of at most `max`.
pub(super) fn decimal(s: &str, max: u64) -> Option<u64> {
    clamped_decimal(s, u64::MAX).filter(|value| *value <= max)
}

/// A decimal number of digits only; one larger than `max` becomes `max`.
pub(super) fn clamped_decimal(s: &str, max: u64) -> Option<u64> {
    if s.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for b in s.bytes() {
        if !b.is_ascii_digit() {
            return None;
        }
        value = value.saturating_mul(10).saturating_add(u64::from(b - b'0'));
    }
    Some(value.min(max))
}

/// Splits a comma list outside quotes and `<>`; empty elements are skipped. Parentheses are text: no
/// header that is a list has comments (RFC 3261 §25.1).
#[derive(Clone, Debug)]
pub struct List<'a> {
    rest: &'a str,
}

impl<'a> List<'a> {
    pub(super) const fn new(value: &'a str) -> Self {
        Self { rest: value }
    }

    /// What has not been split yet.
    pub(super) const fn rest(&self) -> &'a str {
        self.rest
    }

    /// The index of the comma (or the end) that ends the first element.
    fn element_end(&self) -> usize {
        let s = self.rest.as_bytes();
        if memchr::memchr(b',', s).is_none() {
            return s.len();
        }
        let mut at = 0;
        while let Some(plain) = s[at..].iter().position(|b| CLASS[usize::from(*b)] & LIST != 0) {
            at += plain;
            at = match s[at] {
                b',' => return at,
                b'"' => skip_quoted(s, at).unwrap_or(s.len()),
                _ => memchr::memchr(b'>', &s[at..]).map_or(s.len(), |i| at + i + 1),
            };
        }
        s.len()
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while !self.rest.is_empty() {
            let end = self.element_end();
            let element = trim(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or("");
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

/// One parameter of a `;name=value` sequence, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawParam<'a> {
    pub(super) name: &'a str,
    /// With its quotes, if it has them.
    pub(super) value: Option<&'a str>,
}

/// Takes one `;name[=value]` off the front of a header's parameter sequence.
pub(super) fn next_param<'a>(rest: &mut &'a str) -> Option<Result<RawParam<'a>, SyntaxError>> {
    let s = trim_start(rest);
    if s.is_empty() {
        *rest = s;
        return None;
    }
    Some(take_param(s).map(|(param, after)| {
        *rest = after;
        param
    }))
}

fn take_param(s: &str) -> Result<(RawParam<'_>, &str), SyntaxError> {
    let body = trim_start(s.strip_prefix(';').ok_or(SyntaxError("text after the parameters"))?);
    let (name, after) = split_class(body, TOKEN);
    if name.is_empty() {
        return Err(SyntaxError("empty parameter name"));
    }
    let Some(value) = trim_start(after).strip_prefix('=') else {
        return Ok((RawParam { name, value: None }, after));
    };
    let value = trim_start(value);
    let len = if value.starts_with('"') {
        skip_quoted(value.as_bytes(), 0).ok_or(SyntaxError("unbalanced quotes"))?
    } else {
        span(value.as_bytes(), |b| CLASS[usize::from(b)] & VALUE_END == 0)
    };
    if len == 0 {
        return Err(SyntaxError("empty parameter value"));
    }
    let (value, after) = value.split_at(len);
    Ok((RawParam { name, value: Some(value) }, after))
}

/// Undoes `%HH`; what is no escape stays as it is. Not UTF-8 after that: replacement characters.
pub(super) fn unescape(s: &str) -> std::borrow::Cow<'_, str> {
    if memchr::memchr(b'%', s.as_bytes()).is_none() {
        return s.into();
    }
    let bytes = s.as_bytes();
    let mut out = Vec::with_capacity(s.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| hex_pair(bytes.get(at + 1..at + 3))).flatten();
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned().into()
}

fn hex_pair(pair: Option<&[u8]>) -> Option<u8> {
    let &[high, low] = pair? else { return None };
    let digit = |b| char::from(b).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Where in a URI a text goes, which decides what has to be escaped there (RFC 3261 §19.1.2).
#[derive(Clone, Copy)]
pub(super) enum Place {
    User,
    Param,
    Header,
}

/// Appends `s` with everything escaped that may not stand in `place`.
pub(super) fn escape_into(s: &str, place: Place, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &b in s.as_bytes() {
        let alnum = b.is_ascii_alphanumeric() || contains(b"-_.!~*'()", b);
        let extra: &[u8] = match place {
            // `?` might stand there too, but reads as the begin of headers to many a parser.
            Place::User => b"&=+$,;/",
            Place::Param => b"[]/:&+$",
            Place::Header => b"[]/?:+$",
        };
        if alnum || contains(extra, b) {
            out.push(char::from(b));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(b >> 4)]));
            out.push(char::from(HEX[usize::from(b & 15)]));
        }
    }
}

/// Appends `s` as a quoted string; line breaks become spaces.
pub(super) fn quote_into(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\r' | '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The text between the quotes of a quoted string, with `\x` undone.
pub(super) fn unquote(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_inside_quotes_and_brackets_do_not_split() {
        for (value, parts) in [
            ("a,b , c", &["a", "b", "c"][..]),
            (
                r#""a,\"b" <sip:x,y@z>;p="1,2", <sip:q>"#,
                &[r#""a,\"b" <sip:x,y@z>;p="1,2""#, "<sip:q>"],
            ),
            ("one (a,(b),c) two, three", &["one (a", "(b)", "c) two", "three"]),
            ("a(b, c(d", &["a(b", "c(d"]),
            ("\"open, never closed", &["\"open, never closed"]),
            ("<open, never closed", &["<open, never closed"]),
            (" , ,,", &[]),
            ("", &[]),
        ] {
            assert_eq!(List::new(value).collect::<Vec<_>>(), parts, "{value}");
        }
    }

    #[test]
    fn a_quoted_string_is_one_line() {
        for (text, end) in [
            (r#""a" b"#, Some(3)),
            (r#""a\"" b"#, Some(5)),
            ("\"a", None),
            ("\"a\\", None),
            ("\"a\r\n b\"", None),
            ("\"a\\\n\"", None),
        ] {
            assert_eq!(skip_quoted(text.as_bytes(), 0), end, "{text:?}");
        }
    }

    #[test]
    fn many_lonely_parentheses_cost_linear_time() {
        let value = "(".repeat(65_000);
        assert_eq!(List::new(&value).count(), 1);
    }

    #[test]
    fn escapes_undo_each_other() {
        let mut escaped = String::new();
        escape_into("a b@c;=%ü", Place::Param, &mut escaped);
        assert_eq!(escaped, "a%20b%40c%3B%3D%25%C3%BC");
        assert_eq!(unescape(&escaped), "a b@c;=%ü");
        assert_eq!(unescape("100%, %4, %zz"), "100%, %4, %zz");
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(decimal("0068", 255), Some(68));
        for bad in ["", "-1", "+1", "1 ", "0x1", "256", "99999999999999999999999"] {
            assert_eq!(decimal(bad, 255), None, "{bad}");
        }
        assert_eq!(clamped_decimal("99999999999999999999999", 7), Some(7));
    }

    #[test]
    fn parameters_allow_lws_and_refuse_empty_names() {
        let mut rest = " ; a = b;c ;d=\"x;\\\"y\" ";
        let mut seen = Vec::new();
        while let Some(param) = next_param(&mut rest) {
            let param = param.unwrap();
            seen.push((param.name, param.value));
        }
        assert_eq!(seen, [("a", Some("b")), ("c", None), ("d", Some("\"x;\\\"y\""))]);
        for bad in [";;a", ";", "a", ";a=", ";a=\"b", ";a=b c"] {
            let mut rest = bad;
            let mut results = std::iter::from_fn(|| next_param(&mut rest)).take(9);
            assert!(results.any(|r| r.is_err()), "{bad}");
        }
    }
}
