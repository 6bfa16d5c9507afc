//! `Idempotency-Key` on POST: the first answer is kept and told again, nothing is done twice.
//!
//! ```text
//! first ──▶ running ──▶ answered ──(24 h, or room is needed)──▶ forgotten
//!              │ failed inside (5xx, 429): forgotten at once, so that a retry may succeed
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use base::Time;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::problem::{Code, Problem};

/// How long an answer is kept.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// Answers kept at most; the oldest goes for a new one.
pub(crate) const ANSWERS_MAX: usize = 10_000;
/// Beginnings remembered at most, those of forgotten requests among them.
const AGES_MAX: usize = 2 * ANSWERS_MAX;
/// Bytes of all kept answers at most.
pub(crate) const BYTES_MAX: usize = 16 << 20;
/// Longest key.
pub(crate) const KEY_MAX: usize = 255;

/// Whose key: the same word of two tokens is two keys.
type Key = (Arc<str>, Box<str>);

/// What a request is, so that a key cannot be used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn new(path: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update((path.len() as u64).to_be_bytes());
        hash.update(path.as_bytes());
        hash.update(body);
        Self(hash.finalize().into())
    }
}

/// An answer to tell again.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    number: u64,
    /// `None` while the first request is going on.
    answer: Option<Answer>,
}

/// What is to be done with a request that carries a key.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is the first: do it, then call [`Answers::finish`] or [`Answers::forget`].
    Do,
    /// It was done: tell this again.
    Replay(Answer),
}

/// The kept answers.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    entries: HashMap<Key, Entry>,
    /// In the order they were begun; what was forgotten is taken out when there is too much of it.
    ages: VecDeque<(Time, u64, Key)>,
    numbers: u64,
    bytes: usize,
}

impl Answers {
    /// Begins a request with a key.
    pub(crate) fn begin(
        &mut self,
        now: Time,
        owner: &Arc<str>,
        key: &str,
        fingerprint: Fingerprint,
    ) -> Result<Verdict, Problem> {
        self.expire(now);
        let key: Key = (Arc::clone(owner), key.into());
        if let Some(entry) = self.entries.get(&key) {
            if entry.fingerprint != fingerprint {
                return Err(Code::IdempotencyKeyReused.into());
            }
            return match &entry.answer {
                Some(answer) => Ok(Verdict::Replay(answer.clone())),
                None => Err(Code::IdempotencyInProgress.into()),
            };
        }
        while self.entries.len() >= ANSWERS_MAX || self.bytes > BYTES_MAX {
            if !self.drop_oldest_answer() {
                return Err(Problem::new(Code::Overloaded, "too many requests are going on"));
            }
        }
        if self.ages.len() >= AGES_MAX {
            let mut ages = std::mem::take(&mut self.ages);
            ages.retain(|(_, number, key)| self.is_current(*number, key));
            self.ages = ages;
        }
        self.numbers += 1;
        let number = self.numbers;
        self.ages.push_back((now, number, key.clone()));
        self.entries.insert(key, Entry { fingerprint, number, answer: None });
        Ok(Verdict::Do)
    }

    /// Keeps the answer of a request that was begun.
    pub(crate) fn finish(&mut self, owner: &Arc<str>, key: &str, answer: Answer) {
        if let Some(entry) = self.entries.get_mut(&(Arc::clone(owner), Box::from(key))) {
            self.bytes += answer.body.len();
            entry.answer = Some(answer);
        }
    }

    /// Forgets a request that failed inside: it may be tried again.
    pub(crate) fn forget(&mut self, owner: &Arc<str>, key: &str) {
        self.remove(&(Arc::clone(owner), key.into()));
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.answer.map_or(0, |answer| answer.body.len());
        }
    }

    /// Whether one of `ages` is still what its key means.
    fn is_current(&self, number: u64, key: &Key) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.number == number)
    }

    fn expire(&mut self, now: Time) {
        while let Some((begun, number, key)) = self.ages.front().cloned() {
            if self.is_current(number, &key) {
                if now < begun + KEEP {
                    break;
                }
                self.remove(&key);
            }
            self.ages.pop_front();
        }
    }

    /// What is going on stays; whether an answer could be dropped.
    fn drop_oldest_answer(&mut self) -> bool {
        for _ in 0..self.ages.len() {
            let Some((begun, number, key)) = self.ages.pop_front() else { break };
            if !self.is_current(number, &key) {
                continue;
            }
            if self.entries.get(&key).is_some_and(|entry| entry.answer.is_some()) {
                self.remove(&key);
                return true;
            }
            self.ages.push_back((begun, number, key));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(len: usize) -> Answer {
        Answer { status: 200, headers: HeaderMap::new(), body: Bytes::from(vec![b'x'; len]) }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_answer_is_told_again_and_only_for_the_same_request() {
        let mut answers = Answers::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let print = Fingerprint::new("/hold", b"{}");
        assert!(matches!(answers.begin(at(0), &a, "k", print), Ok(Verdict::Do)));
        let again = answers.begin(at(0), &a, "k", print);
        assert_eq!(again.unwrap_err().code, Code::IdempotencyInProgress);
        answers.finish(&a, "k", answer(3));
        assert!(matches!(answers.begin(at(1), &a, "k", print), Ok(Verdict::Replay(_))));
        let other = Fingerprint::new("/hold", b"{ }");
        let refused = answers.begin(at(1), &a, "k", other).unwrap_err();
        assert_eq!(refused.code, Code::IdempotencyKeyReused);
        // Another token's key of the same name is another key.
        assert!(matches!(answers.begin(at(1), &b, "k", other), Ok(Verdict::Do)));
        // After a day it is a new request.
        assert!(matches!(answers.begin(at(86_401), &a, "k", other), Ok(Verdict::Do)));
    }

    #[test]
    fn a_request_that_failed_inside_may_be_tried_again() {
        let mut answers = Answers::default();
        let a: Arc<str> = "a".into();
        let print = Fingerprint::new("/", b"");
        assert!(matches!(answers.begin(at(0), &a, "k", print), Ok(Verdict::Do)));
        answers.forget(&a, "k");
        assert!(matches!(answers.begin(at(0), &a, "k", print), Ok(Verdict::Do)));
        answers.finish(&a, "k", answer(1));
        // What its first try left in the list of ages removes nothing of the second's.
        assert!(matches!(answers.begin(at(1), &a, "k", print), Ok(Verdict::Replay(_))));
    }

    #[test]
    fn the_store_is_bounded_in_number_and_bytes_and_keeps_what_is_going_on() {
        let mut answers = Answers::default();
        let a: Arc<str> = "a".into();
        let print = Fingerprint::new("/", b"");
        assert!(matches!(answers.begin(at(0), &a, "running", print), Ok(Verdict::Do)));
        for n in 0..2 * ANSWERS_MAX {
            let key = n.to_string();
            assert!(matches!(answers.begin(at(0), &a, &key, print), Ok(Verdict::Do)));
            answers.finish(&a, &key, answer(4000));
        }
        assert!(answers.entries.len() <= ANSWERS_MAX && answers.ages.len() <= ANSWERS_MAX);
        assert!(answers.bytes <= BYTES_MAX + 4000, "{}", answers.bytes);
        let running = answers.begin(at(0), &a, "running", print).unwrap_err();
        assert_eq!(running.code, Code::IdempotencyInProgress);
    }

    #[test]
    fn requests_that_fail_inside_leave_nothing_that_grows() {
        let mut answers = Answers::default();
        let a: Arc<str> = "a".into();
        let print = Fingerprint::new("/", b"");
        assert!(answers.begin(at(0), &a, "kept", print).is_ok());
        answers.finish(&a, "kept", answer(1));
        for n in 0..2 * AGES_MAX {
            let key = n.to_string();
            assert!(matches!(answers.begin(at(1), &a, &key, print), Ok(Verdict::Do)));
            answers.forget(&a, &key);
            assert!(answers.ages.len() <= AGES_MAX, "{}", answers.ages.len());
        }
        assert!(matches!(answers.begin(at(2), &a, "kept", print), Ok(Verdict::Replay(_))));
        // It still ends when its time has come.
        assert!(matches!(answers.begin(at(86_401), &a, "kept", print), Ok(Verdict::Do)));
    }

    #[test]
    fn nothing_new_is_begun_when_all_that_is_kept_is_going_on() {
        let mut answers = Answers::default();
        let a: Arc<str> = "a".into();
        let print = Fingerprint::new("/", b"");
        for n in 0..ANSWERS_MAX {
            assert!(answers.begin(at(0), &a, &n.to_string(), print).is_ok());
        }
        assert_eq!(answers.begin(at(0), &a, "x", print).unwrap_err().code, Code::Overloaded);
    }
}
