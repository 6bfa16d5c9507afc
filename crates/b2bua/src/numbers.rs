//! Telephone numbers: cleaned, rewritten per trunk, matched to routes.

use crate::config::{NumberRules, PlusRule, Route};

/// Longest number we dial or accept.
pub const NUMBER_MAX: usize = 64;

/// What a user part says, without visual separators (RFC 3966 §5.1.1: `-`, `.`, `(`, `)`), when it
/// reads as a telephone number; otherwise as it is.
pub fn clean(user: &str) -> String {
    let user: String = user.chars().take(NUMBER_MAX).collect();
    let is_number = |c: char| c.is_ascii_digit() || "+*#-.() ".contains(c);
    if user.chars().any(|c| c.is_ascii_digit()) && user.chars().all(is_number) {
        user.chars().filter(|c| !"-.() ".contains(*c)).collect()
    } else {
        user
    }
}

impl NumberRules {
    /// `number` as the other side of the trunk writes it.
    pub fn apply(&self, number: &str) -> String {
        let rule = self.rules.iter().find(|rule| number.starts_with(rule.prefix.as_str()));
        let mut number = match rule {
            Some(rule) => format!("{}{}", rule.replacement, &number[rule.prefix.len()..]),
            None => number.to_owned(),
        };
        match self.plus {
            PlusRule::Keep => {}
            PlusRule::Add => {
                if number.starts_with(|c: char| c.is_ascii_digit()) {
                    number.insert(0, '+');
                }
            }
            PlusRule::Strip => {
                if number.starts_with('+') {
                    number.remove(0);
                }
            }
        }
        number
    }
}

impl Route {
    /// The number to send out when this route takes `dialled`, else `None`.
    pub fn number_for(&self, dialled: &str) -> Option<String> {
        let digits = dialled.chars().filter(char::is_ascii_digit).count();
        let is_number = dialled.chars().all(|c| c.is_ascii_digit() || "+*#".contains(c));
        let takes = is_number
            && (self.digits_min..=self.digits_max).contains(&digits)
            && self.prefixes.iter().any(|prefix| dialled.starts_with(prefix.as_str()));
        // `is_number` holds, so every character is one byte.
        takes.then(|| format!("{}{}", self.prepend, dialled.get(self.strip..).unwrap_or("")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PrefixRule;

    #[test]
    fn c6_separators_of_numbers_go_and_names_stay() {
        for (user, cleaned) in [
            ("+49 (30) 123-45.6", "+4930123456"),
            ("*72", "*72"),
            ("alice-b", "alice-b"),
            ("anonymous", "anonymous"),
            ("(-)", "(-)"),
        ] {
            assert_eq!(clean(user), cleaned);
        }
    }

    #[test]
    fn c7_the_first_matching_prefix_is_rewritten_then_the_plus() {
        let rule = |prefix: &str, replacement: &str| PrefixRule {
            prefix: prefix.to_owned(),
            replacement: replacement.to_owned(),
        };
        let rules = NumberRules {
            rules: vec![rule("00", "+"), rule("0", "+49"), rule("", "+4930")],
            plus: PlusRule::Strip,
        };
        for (number, rewritten) in
            [("0044123", "44123"), ("0171555", "49171555"), ("1234", "49301234")]
        {
            assert_eq!(rules.apply(number), rewritten);
        }
        let add = NumberRules { rules: vec![], plus: PlusRule::Add };
        assert_eq!(add.apply("4930"), "+4930");
        assert_eq!(add.apply("+4930"), "+4930");
        assert_eq!(add.apply("anonymous"), "anonymous");
    }

    #[test]
    fn a_route_takes_its_prefixes_and_lengths_only() {
        let route = Route {
            name: "out".into(),
            prefixes: vec!["0".into(), "+".into()],
            digits_min: 4,
            digits_max: 8,
            strip: 1,
            prepend: "00".into(),
            trunks: vec![],
        };
        assert_eq!(route.number_for("01234"), Some("001234".into()));
        assert_eq!(route.number_for("+49301"), Some("0049301".into()));
        for refused in ["1234", "012", "0123456789", "0alice1", "", "0äöü123"] {
            assert_eq!(route.number_for(refused), None, "{refused}");
        }
    }
}
