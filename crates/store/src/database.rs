//! The SQLite file: opening, schema, rows. Only bound parameters (ATTACKS 26).

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::Redacted;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};
use sip::registrar::BindingRecord;

use crate::StoreError;
use crate::spool::Bindings;

/// How long one statement waits for a lock of another process.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_millis(1000);

/// One step per version; a step, once released, is never edited.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE registrations (
        aor TEXT NOT NULL,
        key TEXT NOT NULL,
        expires_ms INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (aor, key)
    ) WITHOUT ROWID;
    CREATE TABLE meta (
        name TEXT NOT NULL PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
"];

/// One connection to the file.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
    path: PathBuf,
}

impl Database {
    /// Opens the file, making it and its directory (readable by the owner only: it holds passwords).
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { path: path.into(), source };
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(directory).map_err(io)?;
        }
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        if let Err(error) = created
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(io(error));
        }
        Self::connect(path)
    }

    fn connect(path: &Path) -> Result<Self, StoreError> {
        let named = |error| StoreError::of(path, error);
        let connection = Connection::open(path).map_err(named)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(named)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(named)?;
        // With WAL a crash of ours loses nothing, and one of the machine the last moments only.
        connection.pragma_update(None, "synchronous", "normal").map_err(named)?;
        let mut database = Self { connection, path: path.into() };
        database.migrate()?;
        Ok(database)
    }

    /// A second connection to the same file.
    pub(crate) fn reopen(&self) -> Result<Self, StoreError> {
        Self::connect(&self.path)
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
        let path = self.path.clone();
        let found = self.run(|transaction| {
            transaction.execute_batch(
                "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)",
            )?;
            let version = "SELECT version FROM schema_version";
            let found: Option<u32> =
                transaction.query_row(version, [], |row| row.get(0)).optional()?;
            let found = found.unwrap_or(0);
            if found >= known {
                return Ok(found);
            }
            for step in MIGRATIONS.iter().skip(found as usize) {
                transaction.execute_batch(step)?;
            }
            transaction.execute("DELETE FROM schema_version", [])?;
            transaction.execute("INSERT INTO schema_version VALUES (?1)", [known])?;
            Ok(known)
        })?;
        if found > known { Err(StoreError::Newer { path, found, known }) } else { Ok(()) }
    }

    fn run<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let result = work(&transaction)?;
                transaction.commit()?;
                Ok(result)
            });
        transaction.map_err(|error| StoreError::of(&self.path, error))
    }

    /// All bindings, those refreshed last at the end. A row of another make is skipped.
    pub(crate) fn bindings(&self) -> Result<Vec<BindingRecord>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare("SELECT record FROM registrations")?;
            let mut rows = statement.query([])?;
            let mut records: Vec<BindingRecord> = Vec::new();
            let mut unreadable = 0_u32;
            while let Some(row) = rows.next()? {
                match serde_json::from_str(row.get_ref(0)?.as_str()?) {
                    Ok(record) => records.push(record),
                    Err(_) => unreadable += 1,
                }
            }
            if unreadable > 0 {
                tracing::warn!(unreadable, "registrations of another version were skipped");
            }
            // Here and not by SQLite, which carries whole rows about: 9 ms instead of 14 for 10,000.
            records.sort_by_key(|record| record.expires_wall);
            Ok(records)
        };
        read().map_err(|error| StoreError::of(&self.path, error))
    }

    /// Writes a batch in one transaction.
    pub(crate) fn write(&mut self, batch: &Bindings) -> Result<(), StoreError> {
        self.run(|transaction| {
            let mut put = transaction.prepare_cached(
                "INSERT INTO registrations (aor, key, expires_ms, record) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET expires_ms = excluded.expires_ms, record = excluded.record",
            )?;
            let mut delete =
                transaction.prepare_cached("DELETE FROM registrations WHERE aor = ?1 AND key = ?2")?;
            for ((aor, key), last) in batch {
                let text = last.as_ref().map(serde_json::to_string).transpose();
                match (last, text.map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?) {
                    (Some(record), Some(text)) => {
                        let expires = i64::try_from(record.expires_wall.0).unwrap_or(i64::MAX);
                        put.execute(params![&**aor, &**key, expires, text])?
                    }
                    _ => delete.execute(params![&**aor, &**key])?,
                };
            }
            Ok(())
        })
    }

    pub(crate) fn secret(&self, name: &str) -> Result<Option<Redacted<String>>, StoreError> {
        let sql = "SELECT value FROM meta WHERE name = ?1";
        let value = self.connection.query_row(sql, [name], |row| row.get(0)).optional();
        let value = value.map_err(|error| StoreError::of(&self.path, error))?;
        Ok(value.map(Redacted::new))
    }

    pub(crate) fn set_secret(
        &mut self,
        name: &str,
        value: &Redacted<String>,
    ) -> Result<(), StoreError> {
        self.run(|transaction| {
            let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2)
                       ON CONFLICT DO UPDATE SET value = excluded.value";
            transaction.execute(sql, params![name, value.reveal()])?;
            Ok(())
        })
    }
}

impl StoreError {
    fn of(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.into();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Corrupt { path, source: error }
            }
            _ => Self::Database { path, source: error },
        }
    }
}
