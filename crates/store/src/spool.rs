//! What waits to be written: bounded, and of one binding only the last word.

use std::collections::{BTreeMap, VecDeque};

use call::record::CallRecord;
use sip::registrar::BindingRecord;

/// Bindings that may wait; a further one is dropped and counted.
pub const BINDINGS_MAX: usize = 200_000;

/// Call records that may wait; a further one is dropped and counted.
pub const CALL_RECORDS_MAX: usize = 100_000;

/// Rows of one transaction, and lines of one write.
pub const BATCH_MAX: usize = 500;

/// Something to keep.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A new or refreshed binding.
    Bind(Box<BindingRecord>),
    /// A binding ended.
    Unbind {
        /// Its address-of-record.
        aor: Box<str>,
        /// Its key there.
        key: Box<str>,
    },
    /// A call ended.
    Call(Box<CallRecord>),
}

/// Address-of-record and key.
pub(crate) type BindingKey = (Box<str>, Box<str>);

/// The last word on each binding: its record, or `None` when it ended.
pub(crate) type Bindings = BTreeMap<BindingKey, Option<Box<BindingRecord>>>;

#[derive(Debug, Default)]
pub(crate) struct Spool {
    bindings: Bindings,
    calls: VecDeque<CallRecord>,
    pub(crate) dropped: u64,
}

impl Spool {
    /// Whether there was room.
    pub(crate) fn push(&mut self, write: Write) -> bool {
        let kept = match write {
            Write::Bind(record) => {
                let key = (record.aor.clone(), record.key.clone());
                self.push_binding(key, Some(record))
            }
            Write::Unbind { aor, key } => self.push_binding((aor, key), None),
            Write::Call(record) => {
                let room = self.calls.len() < CALL_RECORDS_MAX;
                if room {
                    self.calls.push_back(*record);
                }
                room
            }
        };
        self.dropped += u64::from(!kept);
        kept
    }

    fn push_binding(&mut self, key: BindingKey, last: Option<Box<BindingRecord>>) -> bool {
        let room = self.bindings.len() < BINDINGS_MAX || self.bindings.contains_key(&key);
        if room {
            self.bindings.insert(key, last);
        }
        room
    }

    pub(crate) fn len(&self) -> usize {
        self.bindings.len() + self.calls.len()
    }

    pub(crate) fn has_full_batch(&self) -> bool {
        self.bindings.len() >= BATCH_MAX || self.calls.len() >= BATCH_MAX
    }

    /// Takes some bindings out.
    pub(crate) fn take_bindings(&mut self) -> Bindings {
        if self.bindings.len() <= BATCH_MAX {
            return std::mem::take(&mut self.bindings);
        }
        let next = self.bindings.keys().nth(BATCH_MAX).cloned();
        let rest = next.map(|next| self.bindings.split_off(&next)).unwrap_or_default();
        std::mem::replace(&mut self.bindings, rest)
    }

    /// Puts back what could not be written, unless there is a newer word.
    pub(crate) fn put_back_bindings(&mut self, batch: Bindings) {
        for (key, last) in batch {
            self.bindings.entry(key).or_insert(last);
        }
    }

    /// Takes some call records out, oldest first.
    pub(crate) fn take_calls(&mut self) -> Vec<CallRecord> {
        let len = self.calls.len().min(BATCH_MAX);
        self.calls.drain(..len).collect()
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back_calls(&mut self, batch: Vec<CallRecord>) {
        for record in batch.into_iter().rev() {
            self.calls.push_front(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{binding, call_record};

    fn unbind(aor: &str) -> Write {
        Write::Unbind { aor: aor.into(), key: "k".into() }
    }

    #[test]
    fn of_one_binding_the_last_word_counts() {
        let mut spool = Spool::default();
        for cseq in 1..=3 {
            spool.push(Write::Bind(Box::new(binding("1001", cseq))));
        }
        spool.push(unbind("1002"));
        let batch = spool.take_bindings();
        let words: Vec<_> = batch.values().map(|last| last.as_ref().map(|r| r.cseq)).collect();
        assert_eq!(words, [Some(3), None]);
        assert_eq!(spool.len(), 0);
    }

    #[test]
    fn what_is_put_back_does_not_overwrite_what_came_since() {
        let mut spool = Spool::default();
        spool.push(Write::Bind(Box::new(binding("1001", 1))));
        spool.push(Write::Bind(Box::new(binding("1002", 1))));
        let batch = spool.take_bindings();
        spool.push(Write::Bind(Box::new(binding("1001", 2))));
        spool.put_back_bindings(batch);
        let cseqs: Vec<_> = spool.take_bindings().into_values().map(|r| r.unwrap().cseq).collect();
        assert_eq!(cseqs, [2, 1]);
    }

    #[test]
    fn call_records_keep_their_order_and_batches_their_size() {
        let mut spool = Spool::default();
        for i in 0..BATCH_MAX + 10 {
            spool.push(Write::Call(Box::new(call_record(i))));
            spool.push(unbind(&i.to_string()));
        }
        assert!(spool.has_full_batch());
        let batch = spool.take_calls();
        assert_eq!(batch.len(), BATCH_MAX);
        spool.put_back_calls(batch);
        assert_eq!(spool.take_calls()[0].id, "call-0");
        assert_eq!(spool.take_bindings().len(), BATCH_MAX);
        assert_eq!(spool.take_bindings().len(), 10);
    }

    #[test]
    fn a_full_spool_drops_and_counts_but_still_takes_news_of_what_it_holds() {
        let mut spool = Spool::default();
        for i in 0..BINDINGS_MAX {
            assert!(spool.push(unbind(&i.to_string())));
        }
        assert!(!spool.push(unbind("x")));
        assert!(spool.push(unbind("7")));
        for i in 0..CALL_RECORDS_MAX {
            assert!(spool.push(Write::Call(Box::new(call_record(i)))));
        }
        assert!(!spool.push(Write::Call(Box::new(call_record(0)))));
        assert_eq!(spool.dropped, 2);
        assert_eq!(spool.len(), BINDINGS_MAX + CALL_RECORDS_MAX);
    }
}
