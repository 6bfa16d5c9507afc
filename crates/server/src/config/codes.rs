//! `[feature_codes]`: what agents dial during a call.

use std::time::Duration;

use b2bua::config::{CODE_KEYS, Feature, FeatureCodes};
use media::dtmf::Digit;

use super::reader::{At, Section};

/// Longest time-out, milliseconds.
const TIMEOUT_MAX_MS: u64 = 30_000;

/// Reads it; without the table, or switched off, there are no codes.
pub(super) fn feature_codes(root: &mut Section<'_>) -> FeatureCodes {
    let present = root.has("feature_codes");
    let mut section = root.table("feature_codes");
    let enabled = section.flag("enabled", true);
    let mut known: Vec<(Feature, At<String>)> = Vec::new();
    for feature in Feature::ALL {
        let usual = || At::new(feature.usual_code().to_owned(), section.span.clone());
        let key = key(feature);
        // One that is wrong has been told of: another would bring problems of its own.
        let code = match section.has(key) {
            true => section.parsed(key, code).unwrap_or_else(|| At::new(String::new(), 0..0)),
            false => usual(),
        };
        let section = &section;
        let clashes = known.iter().filter(|(_, other)| are_alike(&code.value, &other.value));
        for (other, at) in clashes {
            // At the one that was written, of two the second.
            let is_written = code.span != section.span;
            let span = if is_written { &code.span } else { &at.span };
            let reason = format!(
                "`{key}` is \"{}\" and `{}` is \"{}\": none may begin as another",
                code.value,
                self::key(*other),
                at.value
            );
            section.problem_at(span, reason);
        }
        known.push((feature, code));
    }
    let defaults = FeatureCodes::default();
    let mut timeout = |key, default: Duration| {
        let default = u64::try_from(default.as_millis()).unwrap_or(TIMEOUT_MAX_MS);
        Duration::from_millis(section.number(key, 200..=TIMEOUT_MAX_MS, default))
    };
    let codes = FeatureCodes {
        key_timeout: timeout("key_timeout_ms", defaults.key_timeout),
        number_timeout: timeout("number_timeout_ms", defaults.number_timeout),
        codes: known.into_iter().map(|(feature, code)| (feature, code.value)).collect(),
    };
    section.finish();
    let is_code = |(_, code): &(Feature, String)| !code.is_empty();
    match present && enabled {
        true => FeatureCodes { codes: codes.codes.into_iter().filter(is_code).collect(), ..codes },
        false => FeatureCodes { codes: Vec::new(), ..codes },
    }
}

const fn key(feature: Feature) -> &'static str {
    match feature {
        Feature::Transfer => "transfer",
        Feature::Consult => "consult",
        Feature::Toggle => "toggle",
        Feature::Conference => "conference",
        Feature::EndConsult => "end_consult",
        Feature::ExitConference => "exit_conference",
        Feature::Hold => "hold",
        Feature::Record => "record",
    }
}

/// Whether one of two codes is, or begins, the other.
fn are_alike(one: &str, other: &str) -> bool {
    let both = !one.is_empty() && !other.is_empty();
    both && (one.starts_with(other) || other.starts_with(one))
}

/// A code; empty = none.
fn code(text: &str) -> Result<String, String> {
    let text = text.to_ascii_uppercase();
    let is_key = |char| Digit::from_char(char).is_some_and(|digit| digit != Digit::FLASH);
    let (least, most) = (CODE_KEYS.start(), CODE_KEYS.end());
    if text.is_empty() {
        return Ok(text);
    }
    if !text.chars().all(is_key) || !CODE_KEYS.contains(&text.len()) {
        return Err(format!("\"{text}\" is not {least} to {most} of 0–9, *, #, A–D"));
    }
    // Each key that begins a code is held up on its way to whom the agent talks to.
    if text.starts_with(|char: char| char.is_ascii_digit()) {
        return Err(format!("\"{text}\" must begin with *, # or A–D: digits are for machines"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{EXAMPLE, read};

    const HEAD: &str = "[[listen]]\ntransport = 'udp'\naddress = '127.0.0.1:5060'\n";

    fn of(rest: &str) -> Result<FeatureCodes, Vec<String>> {
        let read = read("f", &format!("{HEAD}{rest}"), Path::new("/nonexistent"));
        let told = |problems: Vec<crate::config::Problem>| {
            problems.iter().map(ToString::to_string).collect()
        };
        read.map(|settings| settings.core.feature_codes).map_err(told)
    }

    #[test]
    fn without_its_table_there_are_no_codes_and_with_it_the_usual_ones() {
        assert_eq!(of(""), Ok(FeatureCodes::default()));
        assert_eq!(of("[feature_codes]\n"), Ok(FeatureCodes::usual()));
        let example = read("e", EXAMPLE, Path::new("/nonexistent")).unwrap();
        assert_eq!(example.core.feature_codes, FeatureCodes::usual());
        assert_eq!(of("[feature_codes]\nenabled = false\n"), Ok(FeatureCodes::default()));
    }

    #[test]
    fn each_code_can_be_another_or_none() {
        let codes = of("[feature_codes]\ntoggle = 'a9'\nrecord = ''\nkey_timeout_ms = 700\n");
        let codes = codes.unwrap();
        let of = |feature| codes.codes.iter().find(|(of, _)| *of == feature).map(|it| &*it.1);
        assert_eq!(of(Feature::Toggle), Some("A9"));
        assert_eq!(of(Feature::Record), None);
        assert_eq!(of(Feature::Consult), Some("*3"));
        assert_eq!(codes.key_timeout, Duration::from_millis(700));
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        for (rest, expected) in [
            ("toggle = '44'\n", "f:5: `toggle`: \"44\" must begin with *, # or A–D"),
            ("toggle = '*'\n", "f:5: `toggle`: \"*\" is not 2 to 6 of 0–9"),
            ("toggle = '*x'\n", "f:5: `toggle`: \"*X\" is not 2 to 6 of 0–9"),
            ("toggle = '*!'\n", "f:5: `toggle`: \"*!\" is not 2 to 6 of 0–9"),
            ("toggle = '*22'\n", "f:5: `toggle` is \"*22\" and `transfer` is \"*2\""),
            ("transfer = '*4'\n", "f:5: `toggle` is \"*4\" and `transfer` is \"*4\""),
            (
                "toggle = '*9'\nhold = '*91'\n",
                "f:6: `hold` is \"*91\" and `toggle` is \"*9\": none may begin as another",
            ),
            ("key_timeout_ms = 10\n", "f:5: `key_timeout_ms` must lie between 200 and 30000"),
            ("dial_tone = 1\n", "f:5: unknown key `dial_tone` in [feature_codes]"),
        ] {
            let found = of(&format!("[feature_codes]\n{rest}")).unwrap_err();
            assert!(found.len() == 1 && found[0].starts_with(expected), "{rest}\n{found:?}");
        }
    }
}
