//! The thread that writes: batches what waits, and tries again for as long as it takes
//! (ATTACKS 31).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use call::record::CallRecord;

use crate::Stats;
use crate::call_records::CallRecordFile;
use crate::database::Database;
use crate::spool::{Bindings, Spool, Write};

/// How long the first of a batch waits for others.
const LINGER: Duration = Duration::from_millis(200);
/// After a failure.
const RETRY: Duration = Duration::from_millis(500);
/// How long the last words are tried for when the store is closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct State {
    spool: Spool,
    /// Taken out and not written yet.
    in_hand: usize,
    written: u64,
    failing: bool,
    /// Somebody waits for the spool to be empty.
    hurried: usize,
    closing: bool,
}

impl State {
    fn pending(&self) -> usize {
        self.spool.len() + self.in_hand
    }
}

/// What the callers and the thread share. The lock is held for a few instructions only.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Something came, or somebody hurries.
    work: Condvar,
    /// A batch is done.
    done: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that hold the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, write: Write) -> bool {
        let mut state = self.lock();
        let was_empty = state.spool.len() == 0;
        let kept = state.spool.push(write);
        if was_empty || state.spool.has_full_batch() {
            self.work.notify_one();
        }
        kept
    }

    pub(crate) fn stats(&self) -> Stats {
        let state = self.lock();
        Stats {
            pending: state.pending(),
            written: state.written,
            dropped: state.spool.dropped,
            failing: state.failing,
        }
    }

    /// Waits until nothing is pending; whether that came in time.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        state.hurried += 1;
        self.work.notify_one();
        let waited = self.done.wait_timeout_while(state, limit, |state| state.pending() > 0);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state.hurried -= 1;
        !timeout.timed_out()
    }

    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    /// Waits for a batch; `None` when there is nothing left and nothing will come.
    fn next_batch(&self) -> Option<Batch> {
        let state = self.lock();
        let idle = |state: &mut State| state.spool.len() == 0 && !state.closing;
        let state = self.work.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        let gathering = |state: &mut State| {
            !state.spool.has_full_batch() && state.hurried == 0 && !state.closing
        };
        let waited = self.work.wait_timeout_while(state, LINGER, gathering);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let bindings = state.spool.take_bindings();
        let batch = Batch { bindings, records: state.spool.take_calls() };
        state.in_hand = batch.len();
        (state.in_hand > 0).then_some(batch)
    }

    /// Takes back what is left of a batch, and says whether the store is being closed.
    fn finish(&self, left: Batch, failure: Option<&str>) -> bool {
        let mut state = self.lock();
        state.written += (state.in_hand - left.len()) as u64;
        state.in_hand = 0;
        state.spool.put_back_bindings(left.bindings);
        state.spool.put_back_calls(left.records);
        match (failure, state.failing) {
            (Some(reason), false) => {
                tracing::error!(reason, pending = state.pending(), "store cannot write");
            }
            (None, true) => tracing::info!(pending = state.pending(), "store writes again"),
            (Some(_), true) | (None, false) => {}
        }
        state.failing = failure.is_some();
        self.done.notify_all();
        state.closing
    }

    fn pause(&self) {
        let waited = self.work.wait_timeout_while(self.lock(), RETRY, |_| true);
        drop(waited);
    }
}

/// What is written at once; emptied as it is written.
struct Batch {
    bindings: Bindings,
    records: Vec<CallRecord>,
}

impl Batch {
    fn len(&self) -> usize {
        self.bindings.len() + self.records.len()
    }

    /// Why not all of it could be written.
    fn write(
        &mut self,
        database: &mut Database,
        calls: Option<&mut CallRecordFile>,
    ) -> Option<String> {
        let mut failure = None;
        if !self.bindings.is_empty() {
            match database.write(&self.bindings) {
                Ok(()) => self.bindings.clear(),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        match calls.map_or(Ok(()), |file| file.append(&self.records)) {
            Ok(()) => self.records.clear(),
            Err(error) => failure = Some(format!("call records: {error}")),
        }
        failure
    }
}

/// Writes until the store is closed and all is written, or the limit for that is over.
pub(crate) fn run(shared: &Shared, mut database: Database, mut calls: Option<CallRecordFile>) {
    let mut give_up_at = None;
    while let Some(mut batch) = shared.next_batch() {
        let failure = batch.write(&mut database, calls.as_mut());
        let closing = shared.finish(batch, failure.as_deref());
        if failure.is_none() {
            continue;
        }
        if closing
            && Instant::now() >= *give_up_at.get_or_insert_with(|| Instant::now() + CLOSE_LIMIT)
        {
            tracing::error!(lost = shared.stats().pending, "store closed with data unwritten");
            break;
        }
        shared.pause();
    }
}
