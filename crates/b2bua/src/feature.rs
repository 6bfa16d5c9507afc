//! Feature codes: what agents dial during a call to hold, consult, transfer and so on (H3).
//!
//! ```text
//!         a code's first key         its last
//! nothing ─────────────────▶ Code ─────────────▶ done, or Number ─── # or silence ──▶ done
//!    ▲                        │ silence, or another key
//!    └── the keys are passed on, in their order
//! ```
//! Knows keys and time-outs; what a code does, and whether it may, is the core's business.

use std::collections::VecDeque;
use std::time::Duration;

use media::dtmf::{Digit, Digits, DtmfEvent};
use serde::{Deserialize, Serialize};

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Leave the others to a number that follows; during a consult, to whoever was consulted.
    Transfer,
    /// Consult a number that follows.
    Consult,
    /// From the others to the consulted party, or back.
    Toggle,
    /// All into one conference.
    Conference,
    /// End the consult, or leave it as the one who was consulted.
    EndConsult,
    /// Leave a conference that goes on.
    ExitConference,
    /// Hold, or resume.
    Hold,
    /// Begin or end the recording, or pause it and go on, as the policy has it.
    Record,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Transfer,
        Self::Consult,
        Self::Toggle,
        Self::Conference,
        Self::EndConsult,
        Self::ExitConference,
        Self::Hold,
        Self::Record,
    ];

    /// The code it has where the operator asks for codes and names no other.
    pub const fn usual_code(self) -> &'static str {
        match self {
            Self::Record => "*1",
            Self::Transfer => "*2",
            Self::Consult => "*3",
            Self::Toggle => "*4",
            Self::Conference => "*5",
            Self::Hold => "*6",
            Self::EndConsult => "*7",
            Self::ExitConference => "*8",
        }
    }
}

/// Keys of a code at least and at most.
pub const CODE_KEYS: std::ops::RangeInclusive<usize> = 2..=6;
/// Keys of a number at most.
const NUMBER_KEYS_MAX: usize = 32;

/// The codes that agents may dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureCodes {
    /// Each feature that has a code; [`CODE_KEYS`], none the beginning of another.
    pub codes: Vec<(Feature, String)>,
    /// Within what time the next key of a code follows; else the keys are passed on.
    pub key_timeout: Duration,
    /// Within what time the next key of a number follows; else it is complete.
    pub number_timeout: Duration,
}

/// There are none.
impl Default for FeatureCodes {
    fn default() -> Self {
        Self {
            codes: Vec::new(),
            key_timeout: Duration::from_millis(1500),
            number_timeout: Duration::from_secs(4),
        }
    }
}

impl FeatureCodes {
    /// Every feature by its usual code.
    pub fn usual() -> Self {
        let codes = Feature::ALL.map(|feature| (feature, feature.usual_code().to_owned()));
        Self { codes: codes.into(), ..Self::default() }
    }

    /// The keys by which a code may begin: only these wait for what follows.
    pub fn leading(&self) -> Digits {
        let first = |(_, code): &(Feature, String)| code.chars().next().and_then(Digit::from_char);
        self.codes.iter().filter_map(first).collect()
    }

    fn find(&self, keys: &str) -> Match {
        let whole = self.codes.iter().find(|(_, code)| code == keys);
        match whole {
            Some((feature, _)) => Match::Whole(*feature),
            None if self.codes.iter().any(|(_, code)| code.starts_with(keys)) => Match::Part,
            None => Match::None,
        }
    }
}

enum Match {
    Whole(Feature),
    Part,
    None,
}

/// A key of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) event: DtmfEvent,
    /// Whether nobody has heard it: it is ours to pass on.
    pub(crate) is_ours: bool,
}

/// What an agent is dialling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// These keys begin a code.
    Code(VecDeque<Key>),
    /// The number for a feature, which is being dialled.
    Number(Feature, String),
}

/// What a key of an agent comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dialled {
    /// More is to come, within this time.
    Waits(Duration),
    /// A code is complete.
    Code(Feature),
    /// A number is complete.
    Number(Feature, String),
    /// The number makes no sense.
    Nonsense(Feature),
    /// It is no code.
    Nothing,
}

impl Entry {
    /// Takes the next key. Keys that are no code after all come out in `passed`.
    pub(crate) fn key(&mut self, codes: &FeatureCodes, key: Key, passed: &mut Vec<Key>) -> Dialled {
        match self {
            Self::Code(keys) => {
                keys.push_back(key);
                while !keys.is_empty() {
                    let text: String = keys.iter().map(|key| key.event.digit.to_char()).collect();
                    match codes.find(&text) {
                        Match::Whole(feature) => return Dialled::Code(feature),
                        Match::Part => return Dialled::Waits(codes.key_timeout),
                        Match::None => passed.extend(keys.pop_front()),
                    }
                }
                Dialled::Nothing
            }
            Self::Number(feature, number) => match key.event.digit.to_char() {
                '#' => finished(*feature, number),
                key @ ('0'..='9' | '*') if number.len() < NUMBER_KEYS_MAX => {
                    number.push(key);
                    Dialled::Waits(codes.number_timeout)
                }
                _ => Dialled::Nonsense(*feature),
            },
        }
    }

    /// Nothing more has come in time. Keys that are no code come out in `passed`.
    pub(crate) fn silence(&mut self, passed: &mut Vec<Key>) -> Dialled {
        match self {
            Self::Code(keys) => {
                passed.extend(keys.drain(..));
                Dialled::Nothing
            }
            Self::Number(feature, number) => finished(*feature, number),
        }
    }
}

fn finished(feature: Feature, number: &str) -> Dialled {
    match number {
        "" => Dialled::Nonsense(feature),
        number => Dialled::Number(feature, number.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(char: char) -> Key {
        let digit = Digit::from_char(char).unwrap();
        Key { event: DtmfEvent::new(digit), is_ours: true }
    }

    /// What the last of these keys comes to, and the keys that were passed on, beginning anew
    /// after whatever came to an end.
    fn dial(keys: &str) -> (Dialled, String) {
        let codes = FeatureCodes::usual();
        let mut entry = Entry::Code(VecDeque::new());
        let (mut last, mut passed) = (Dialled::Nothing, Vec::new());
        for char in keys.chars() {
            last = entry.key(&codes, key(char), &mut passed);
            if let Dialled::Code(feature) = last {
                entry = Entry::Number(feature, String::new());
            }
        }
        (last, passed.iter().map(|key| key.event.digit.to_char()).collect())
    }

    #[test]
    fn h3_a_code_is_kept_and_what_is_none_is_passed_on_in_order() {
        let waits = Dialled::Waits(FeatureCodes::default().key_timeout);
        for (keys, comes_to, passed) in [
            ("5", Dialled::Nothing, "5"),
            ("*", waits.clone(), ""),
            ("*4", Dialled::Code(Feature::Toggle), ""),
            ("*9", Dialled::Nothing, "*9"),
            ("**", waits.clone(), "*"),
            ("**4", Dialled::Code(Feature::Toggle), "*"),
            ("*9*", waits, "*9"),
            ("#4", Dialled::Nothing, "#4"),
        ] {
            assert_eq!(dial(keys), (comes_to, passed.to_owned()), "{keys}");
        }
    }

    #[test]
    fn c6_a_number_ends_by_its_last_key_or_by_silence() {
        let transfer = |number: &str| Dialled::Number(Feature::Transfer, number.to_owned());
        assert_eq!(dial("*21002#").0, transfer("1002"));
        assert_eq!(dial("*2*43#").0, transfer("*43"));
        assert_eq!(dial("*2#").0, Dialled::Nonsense(Feature::Transfer));
        assert_eq!(dial("*21A").0, Dialled::Nonsense(Feature::Transfer));
        let mut entry = Entry::Number(Feature::Transfer, "1002".to_owned());
        assert_eq!(entry.silence(&mut Vec::new()), transfer("1002"));
        let mut entry = Entry::Number(Feature::Transfer, String::new());
        assert_eq!(entry.silence(&mut Vec::new()), Dialled::Nonsense(Feature::Transfer));
    }

    #[test]
    fn silence_after_the_beginning_of_a_code_passes_it_on() {
        let (codes, mut passed) = (FeatureCodes::usual(), Vec::new());
        let mut entry = Entry::Code(VecDeque::new());
        entry.key(&codes, key('*'), &mut passed);
        assert_eq!((entry.silence(&mut passed), passed), (Dialled::Nothing, vec![key('*')]));
    }

    #[test]
    fn what_is_dialled_is_bounded() {
        // ATTACKS 21
        let codes = FeatureCodes::usual();
        let mut entry = Entry::Number(Feature::Consult, String::new());
        let mut ends = (0..1000).map(|_| entry.key(&codes, key('1'), &mut Vec::new()));
        assert!(ends.any(|end| end == Dialled::Nonsense(Feature::Consult)));
        let mut entry = Entry::Code(VecDeque::new());
        for _ in 0..1000 {
            entry.key(&codes, key('*'), &mut Vec::new());
        }
        assert_eq!(entry, Entry::Code([key('*')].into()));
    }

    #[test]
    fn the_usual_codes_are_of_one_kind() {
        let codes = FeatureCodes::usual();
        assert_eq!(codes.leading(), [Digit::from_char('*').unwrap()].into_iter().collect());
        for (at, (_, code)) in codes.codes.iter().enumerate() {
            let mut others = codes.codes.iter().enumerate().filter(|(other, _)| *other != at);
            assert!(others.all(|(_, (_, other))| !other.starts_with(code.as_str())), "{code}");
            assert!(CODE_KEYS.contains(&code.len()));
        }
    }
}
