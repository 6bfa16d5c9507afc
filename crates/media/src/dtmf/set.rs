//! A few keys.

use serde::{Deserialize, Serialize};

use super::Digit;

/// A set of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digits(u32);

impl Digits {
    /// Whether `digit` is among them.
    pub const fn contains(self, digit: Digit) -> bool {
        self.0 & (1 << digit.event()) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Digit> for Digits {
    fn from_iter<I: IntoIterator<Item = Digit>>(digits: I) -> Self {
        Self(digits.into_iter().fold(0, |set, digit| set | 1 << digit.event()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_keys_it_was_made_of_and_no_others() {
        let star = Digit::from_char('*').unwrap();
        let set: Digits = [star, Digit::FLASH].into_iter().collect();
        let all = (0..=16).filter_map(Digit::from_event);
        let inside: Vec<_> = all.filter(|digit| set.contains(*digit)).collect();
        assert_eq!(inside, [star, Digit::FLASH]);
        assert!(!set.is_empty() && Digits::default().is_empty());
    }
}
