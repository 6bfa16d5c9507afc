//! `WWW-Authenticate`, `Proxy-Authenticate`, `Authorization`, `Proxy-Authorization`:
//! `scheme name=value, name="value", …` (RFC 3261 §20.44, RFC 7235 §2.1), over borrowed text.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crate::message::SyntaxError;

/// Longest header value that is read, in bytes.
pub const AUTH_LEN_MAX: usize = 4096;

/// Most parameters of one header value.
pub const AUTH_PARAMS_MAX: usize = 32;

/// Most challenges in one header value (RFC 3261 §20.44 has one; RFC 7235 allows a list).
pub const CHALLENGES_MAX: usize = 8;

/// One challenge, or one set of credentials: a scheme and its parameters, unknown ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthParams<'a> {
    scheme: &'a str,
    params: Vec<AuthParam<'a>>,
}

/// One `name=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AuthParam<'a> {
    name: &'a str,
    /// Without its quotes, escapes not undone.
    value: &'a str,
    quoted: bool,
}

impl<'a> AuthParams<'a> {
    /// Without parameters yet.
    pub const fn new(scheme: &'a str) -> Self {
        Self { scheme, params: Vec::new() }
    }

    /// Appends `name="value"`; `value` must come escaped, see [`escape`].
    pub fn push_quoted(&mut self, name: &'a str, value: &'a str) {
        self.params.push(AuthParam { name, value, quoted: true });
    }

    /// Appends `name=value`; `value` must be a token.
    pub fn push_token(&mut self, name: &'a str, value: &'a str) {
        self.params.push(AuthParam { name, value, quoted: false });
    }

    /// Takes a parameter away.
    pub fn remove(&mut self, name: &str) {
        self.params.retain(|param| !param.name.eq_ignore_ascii_case(name));
    }

    /// Reads exactly one challenge or set of credentials.
    pub fn parse(value: &'a str) -> Result<Self, SyntaxError> {
        let mut all = Self::parse_all(value)?;
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => Ok(one),
            _ => Err(SyntaxError("not exactly one set of credentials")),
        }
    }

    /// Reads a value that may hold several challenges. No name may stand twice in one of them.
    pub fn parse_all(value: &'a str) -> Result<Vec<Self>, SyntaxError> {
        if value.len() > AUTH_LEN_MAX {
            return Err(SyntaxError("too long"));
        }
        let mut all: Vec<Self> = Vec::with_capacity(1);
        let mut rest = trim_start(value);
        while !rest.is_empty() {
            let (word, after) = token(rest)?;
            match trim_start(after).strip_prefix('=') {
                Some(after) => {
                    let current = all.last_mut().ok_or(SyntaxError("no scheme"))?;
                    rest = current.read_value(word, after)?;
                }
                None if all.len() == CHALLENGES_MAX => return Err(SyntaxError("too many")),
                None => {
                    all.push(Self { scheme: word, params: Vec::with_capacity(12) });
                    rest = after;
                }
            }
            // Empty list elements are allowed (RFC 7230 §7).
            rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
        }
        Ok(all)
    }

    /// Reads what follows `name=` and gives back what follows the value.
    fn read_value(&mut self, name: &'a str, text: &'a str) -> Result<&'a str, SyntaxError> {
        if self.params.len() == AUTH_PARAMS_MAX {
            return Err(SyntaxError("too many parameters"));
        }
        // A second `nonce` or `response` would let two readers see two different messages.
        if self.find(name).is_some() {
            return Err(SyntaxError("parameter twice"));
        }
        let text = trim_start(text);
        let (value, quoted, after) = match text.strip_prefix('"') {
            Some(inner) => {
                let end = closing_quote(inner).ok_or(SyntaxError("unbalanced quotes"))?;
                (&inner[..end], true, &inner[end + 1..])
            }
            None => {
                let end = text.find([',', ' ', '\t', '\r', '\n', '"']).unwrap_or(text.len());
                (&text[..end], false, &text[end..])
            }
        };
        self.params.push(AuthParam { name, value, quoted });
        let after = trim_start(after);
        // Some phones put white space where the comma should be; a quote there is an error.
        if after.starts_with(['"', '=', ';']) {
            return Err(SyntaxError("text after a value"));
        }
        Ok(after)
    }

    fn find(&self, name: &str) -> Option<&AuthParam<'a>> {
        self.params.iter().find(|p| p.name.eq_ignore_ascii_case(name))
    }

    /// Whether the scheme is `Digest`.
    pub const fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// A value as written between the quotes (RFC 7616 §3.4 `unq`).
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.find(name).map(|p| p.value)
    }

    /// A value with `\x` undone.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.find(name).map(|p| if p.quoted { unescape(p.value) } else { p.value.into() })
    }
}

/// As a header value.
impl fmt::Display for AuthParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme)?;
        for (i, AuthParam { name, value, quoted }) in self.params.iter().enumerate() {
            f.write_str(if i == 0 { " " } else { ", " })?;
            match quoted {
                true => write!(f, "{name}=\"{value}\"")?,
                false => write!(f, "{name}={value}")?,
            }
        }
        Ok(())
    }
}

/// Makes a text fit for between quotes: `"` and `\` get a backslash, control characters go.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| matches!(c, '"' | '\\') || c.is_control()) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        let _ = out.write_char(c); // a String takes it always
    }
    out.into()
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    out.into()
}

/// The index of the quote that ends the string.
fn closing_quote(inner: &str) -> Option<usize> {
    let mut escaped = false;
    inner.bytes().position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    })
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
}

fn token(text: &str) -> Result<(&str, &str), SyntaxError> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~/".contains(&b);
    let end = text.bytes().position(|b| !is_token(b)).unwrap_or(text.len());
    if end == 0 { Err(SyntaxError("no token")) } else { Ok(text.split_at(end)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_read_in_every_spelling() {
        for text in [
            r#"Digest realm="a b", nonce="x,\"y\\", qop="auth,auth-int", stale=TRUE, foo=bar"#,
            r#"dIGEST  realm = "a b" ,nonce= "x,\"y\\",,qop ="auth,auth-int",STALE=TRUE , foo=bar,"#,
            "Digest\r\n realm=\"a b\",\r\n nonce=\"x,\\\"y\\\\\",qop=\"auth,auth-int\" stale=TRUE,foo=bar",
        ] {
            let params = AuthParams::parse(text).unwrap();
            assert!(params.is_digest());
            assert_eq!(params.get("Realm").unwrap(), "a b");
            assert_eq!(params.get("nonce").unwrap(), r#"x,"y\"#);
            assert_eq!(params.raw("nonce").unwrap(), r#"x,\"y\\"#);
            assert_eq!(params.get("qop").unwrap(), "auth,auth-int");
            assert_eq!(params.get("stale").unwrap(), "TRUE");
            assert_eq!(params.get("foo").unwrap(), "bar");
            assert_eq!(params.get("opaque"), None);
        }
    }

    #[test]
    fn several_challenges_in_one_value() {
        let text =
            r#"Basic realm="x", Digest realm="a", nonce="1", NTLM, Digest realm="b",nonce=2"#;
        let all = AuthParams::parse_all(text).unwrap();
        let realms: Vec<_> = all.iter().map(|c| (c.is_digest(), c.raw("realm"))).collect();
        let expected = [(false, Some("x")), (true, Some("a")), (false, None), (true, Some("b"))];
        assert_eq!(realms, expected);
        assert!(AuthParams::parse(text).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        let many_params = format!("Digest {}", "a=b,".repeat(2));
        let flood: String = (0..40).map(|i| format!("p{i}=1,")).collect();
        for bad in [
            "",
            "realm=\"a\"",
            "Digest realm=\"a",
            "Digest realm=\"a\\\"",
            "Digest realm=\"a\"\"b\"",
            "Digest realm=\"a\"; nonce=\"b\"",
            "Digest =x",
            "Digest é=x",
            "Digest a=\"1\", A=2",
            &many_params,
            &format!("Digest {flood}"),
            &format!("Digest a=\"{}\"", "x".repeat(AUTH_LEN_MAX)),
        ] {
            assert!(AuthParams::parse(bad).is_err(), "{bad}");
        }
        assert!(AuthParams::parse_all(&"a ".repeat(CHALLENGES_MAX + 1)).is_err());
    }

    #[test]
    fn printing_quotes_what_is_asked() {
        let realm = escape("a\"b\\c\r\n");
        let mut params = AuthParams::new("Digest");
        params.push_quoted("realm", &realm);
        params.push_token("qop", "auth");
        assert_eq!(params.to_string(), r#"Digest realm="a\"b\\c", qop=auth"#);
        let printed = params.to_string();
        assert_eq!(AuthParams::parse(&printed).unwrap().get("realm").unwrap(), "a\"b\\c");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_prints_the_same(text in ".{0,80}") {
            let text = format!("Digest {text}");
            if let Ok(params) = AuthParams::parse(&text) {
                let printed = params.to_string();
                prop_assert_eq!(AuthParams::parse(&printed), Ok(params));
            }
        }

        #[test]
        fn any_quoted_value_comes_back(value in "[^\\p{C}]{0,40}") {
            let escaped = escape(&value);
            let mut params = AuthParams::new("Digest");
            params.push_quoted("realm", &escaped);
            let printed = params.to_string();
            let read = AuthParams::parse(&printed).unwrap().get("realm").map(Cow::into_owned);
            prop_assert_eq!(read, Some(value));
        }
    }
}
