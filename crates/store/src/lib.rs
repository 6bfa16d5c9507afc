//! What outlives the process: registrations and secrets in SQLite, call records as JSON lines.
//!
//! Nobody who takes part in a call waits for this crate: [`Store::save`] puts a write into a bounded
//! spool, and one thread writes in batches. While the disk or the database does not take them they
//! wait there, and calls go on from memory.

mod call_records;
mod database;
mod reading;
mod spool;
#[cfg(test)]
mod testing;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base::Redacted;
use sip::registrar::BindingRecord;

pub use self::call_records::CallRecordFile;
use self::database::Database;
pub use self::reading::CallRecordReader;
pub use self::spool::{BATCH_MAX, BINDINGS_MAX, CALL_RECORDS_MAX, Write};
use self::writer::Shared;

/// Where things are kept.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The SQLite file; made, with its directory, when there is none.
    pub database: PathBuf,
    /// The file of call records; `None`: they are not kept.
    pub call_records: Option<PathBuf>,
    /// Bytes after which a new file of call records is begun.
    pub call_records_len_max: u64,
    /// Older files of call records that stay.
    pub call_records_keep: usize,
}

/// What cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is no database, or is damaged.
    #[error("{path}: the database is damaged ({source}); move the file away to start without it",
        path = path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file was written by a newer version of this program.
    #[error("{path}: schema version {found}, this program knows {known} at most",
        path = path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// SQLite refused, e.g. because another process holds a lock.
    #[error("{path}: {source}", path = path.display())]
    Database {
        /// Which file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file or its directory could not be made or opened.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// How the writing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Writes that wait.
    pub pending: usize,
    /// Writes that were done; several of one binding count as one.
    pub written: u64,
    /// Writes that found no room.
    pub dropped: u64,
    /// Whether the last attempt failed.
    pub failing: bool,
}

/// The open store. Dropping it writes what waits, for at most a few seconds.
#[derive(Debug)]
pub struct Store {
    database: Mutex<Database>,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens or makes the files and starts the writing thread.
    pub fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let database = Database::open(&config.database)?;
        let calls = match &config.call_records {
            Some(path) => {
                let (len_max, keep) = (config.call_records_len_max, config.call_records_keep);
                let opened = CallRecordFile::open(path, len_max, keep);
                let io = |source| StoreError::Io { path: path.clone(), source };
                Some(opened.map_err(io)?)
            }
            None => None,
        };
        let shared = Arc::new(Shared::default());
        let (writes, theirs) = (database.reopen()?, shared.clone());
        let thread = std::thread::Builder::new().name("store".into());
        let writer = thread.spawn(move || writer::run(&theirs, writes, calls));
        let io = |source| StoreError::Io { path: config.database.clone(), source };
        let writer = Some(writer.map_err(io)?);
        Ok(Self { database: Mutex::new(database), shared, writer })
    }

    /// The registrations of the last run, also those that are over meanwhile.
    pub fn load_registrations(&self) -> Result<Vec<BindingRecord>, StoreError> {
        self.database().bindings()
    }

    /// Keeps something soon; never waits. `false`: there was no room, and it was counted.
    pub fn save(&self, write: Write) -> bool {
        self.shared.push(write)
    }

    /// A secret by its name, e.g. a demo password.
    pub fn secret(&self, name: &str) -> Result<Option<Redacted<String>>, StoreError> {
        self.database().secret(name)
    }

    /// Keeps a secret, at once: for the start, not for calls.
    pub fn set_secret(&self, name: &str, value: &Redacted<String>) -> Result<(), StoreError> {
        self.database().set_secret(name, value)
    }

    /// How the writing goes.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Waits until all that was saved is written; whether that came within `limit`.
    pub fn flush(&self, limit: Duration) -> bool {
        self.shared.flush(limit)
    }

    fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

#[cfg(test)]
mod tests;
