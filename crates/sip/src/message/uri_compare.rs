//! Equality of URIs (RFC 3261 §19.1.4, RFC 3966 §5).

use std::collections::BTreeMap;

use super::params::Params;
use super::scan;
use super::uri::{Scheme, Uri, UriHeaders};

impl Uri {
    /// Whether both URIs mean the same (RFC 3261 §19.1.4). Not transitive, hence not `PartialEq`.
    pub fn equivalent(&self, other: &Self) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            Scheme::Sip | Scheme::Sips => self.sip_equivalent(other),
            Scheme::Tel => {
                let digits = |uri: &Self| number_of(uri.user.as_deref().unwrap_or_default());
                digits(self) == digits(other) && all_params_equal(&self.params, &other.params)
            }
            Scheme::Other(_) => self == other,
        }
    }

    fn sip_equivalent(&self, other: &Self) -> bool {
        let text =
            |part: &Option<Box<str>>| part.as_deref().map(|p| scan::unescape(p).into_owned());
        text(&self.user) == text(&other.user)
            && text(&self.password) == text(&other.password)
            && self.host.equivalent(&other.host)
            && self.port == other.port
            && params_equivalent(&self.params, &other.params)
            && headers_equivalent(&self.headers, &other.headers)
    }
}

/// Parameters that must not stand in one URI only.
const DISTINGUISHING: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

fn params_equivalent(a: &Params, b: &Params) -> bool {
    if a.as_str() == b.as_str() {
        return true;
    }
    let (a, b) = (by_name(a), by_name(b));
    let common = a.iter().all(|(name, value)| b.get(name).is_none_or(|v| v == value));
    common && DISTINGUISHING.iter().all(|name| a.contains_key(*name) == b.contains_key(*name))
}

fn all_params_equal(a: &Params, b: &Params) -> bool {
    a.as_str() == b.as_str() || by_name(a) == by_name(b)
}

/// The first value of each parameter as it is compared: escapes undone, in lower case.
fn by_name(params: &Params) -> BTreeMap<String, Option<String>> {
    let mut values = BTreeMap::new();
    for (name, value) in params.iter() {
        let comparable = || value.map(|v| scan::unescape(v).to_ascii_lowercase());
        values.entry(name.to_ascii_lowercase()).or_insert_with(comparable);
    }
    values
}

fn headers_equivalent(a: &UriHeaders, b: &UriHeaders) -> bool {
    let sorted = |headers: &UriHeaders| {
        let lower = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
            (name.to_ascii_lowercase(), value.into_owned())
        };
        let mut all: Vec<_> = headers.iter().map(lower).collect();
        all.sort();
        all
    };
    sorted(a) == sorted(b)
}

/// A telephone number without visual separators (RFC 3966 §5.1.1).
fn number_of(number: &str) -> String {
    number.chars().filter(|c| !"-.()".contains(*c)).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let (a, b): (Uri, Uri) = (a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(a.equivalent(&b), b.equivalent(&a), "{a} and {b} disagree by direction");
        a.equivalent(&b)
    }

    #[test]
    fn the_rfcs_equal_pairs_are_equivalent() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("tel:+1-201-555-0123", "tel:+12015550123"),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn the_rfcs_different_pairs_are_not() {
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@b", "sips:a@b"),
            ("tel:+12015550123", "tel:12015550123"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn of_a_parameter_that_stands_twice_the_first_counts() {
        assert!(same("tel:+1;ext;ext=+1", "tel:+1;ext;ext=+1"));
        assert!(same("tel:+1;ext=1;ext=2", "tel:+1;ext=1"));
        assert!(same("sip:a;x=1;x=2", "sip:a;x=1"));
        assert!(!same("sip:a;x=2;x=1", "sip:a;x=1"));
    }

    #[test]
    fn a_thousand_parameters_are_soon_compared() {
        let many = |last: &str| (0..1000).map(|n| format!(";p{n}=1")).collect::<String>() + last;
        let (a, b) = (format!("tel:1{}", many(";x")), format!("tel:1{}", many(";y")));
        assert!(!same(&a, &b));
    }
}
