use std::time::Instant;

use rusqlite::Connection;

use super::*;
use crate::testing::{TempDir, binding, call_record};

const SOON: Duration = Duration::from_secs(20);

fn config(dir: &TempDir) -> StoreConfig {
    StoreConfig {
        database: dir.path().join("data/hookflash.db"),
        call_records: Some(dir.path().join("data/calls.jsonl")),
        call_records_len_max: 1 << 20,
        call_records_keep: 3,
    }
}

fn bind(aor: &str, cseq: u32) -> Write {
    Write::Bind(Box::new(binding(aor, cseq)))
}

fn unbind(aor: &str) -> Write {
    let record = binding(aor, 0);
    Write::Unbind { aor: record.aor, key: record.key }
}

#[test]
fn registrations_and_call_records_survive_a_restart() {
    let dir = TempDir::new();
    let store = Store::open(&config(&dir)).unwrap();
    assert!(store.load_registrations().unwrap().is_empty());
    for write in
        [bind("1001", 1), bind("1002", 1), bind("1001", 2), bind("1003", 5), unbind("1002")]
    {
        assert!(store.save(write));
    }
    for number in 0..3 {
        store.save(Write::Call(Box::new(call_record(number))));
    }
    drop(store);

    let store = Store::open(&config(&dir)).unwrap();
    assert_eq!(store.load_registrations().unwrap(), [binding("1001", 2), binding("1003", 5)]);
    let lines = std::fs::read_to_string(config(&dir).call_records.unwrap()).unwrap();
    assert_eq!(lines.lines().count(), 3);
    assert_eq!(store.stats(), Stats { pending: 0, written: 0, dropped: 0, failing: false });
}

#[test]
fn hostile_text_stays_text() {
    let dir = TempDir::new();
    let store = Store::open(&config(&dir)).unwrap();
    let mut record = binding("1001", 1);
    record.aor = "' OR 1=1--".into();
    record.key = "x'); DROP TABLE registrations;--\0\u{202e}".into();
    record.user_agent = "\"\\\r\n\0".into();
    store.save(Write::Bind(Box::new(record.clone())));
    store.save(bind("1002", 1));
    store.save(Write::Unbind { aor: "' OR 1=1--".into(), key: "%".into() });
    assert!(store.flush(SOON));
    let mut loaded = store.load_registrations().unwrap();
    loaded.sort_by(|a, b| a.aor.cmp(&b.aor));
    assert_eq!(loaded, [record, binding("1002", 1)]);
}

#[test]
fn secrets_are_kept_for_the_owner_only_and_never_printed() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new();
    let store = Store::open(&config(&dir)).unwrap();
    assert_eq!(store.secret("demo/1001").unwrap(), None);
    for password in ["first", "hunter2"] {
        store.set_secret("demo/1001", &Redacted::new(password.into())).unwrap();
    }
    drop(store);
    let store = Store::open(&config(&dir)).unwrap();
    assert_eq!(store.secret("demo/1001").unwrap().unwrap().reveal(), "hunter2");
    assert!(!format!("{store:?}").contains("hunter2"));
    for (path, mode) in [("data", 0o700), ("data/hookflash.db", 0o600), ("data/calls.jsonl", 0o600)]
    {
        let found = std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
}

#[test]
fn a_locked_database_stops_nobody_and_loses_nothing() {
    let dir = TempDir::new();
    let config = config(&dir);
    let store = Store::open(&config).unwrap();
    let other = Connection::open(&config.database).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let began = Instant::now();
    for cseq in 1..=50 {
        for aor in 0..1000 {
            assert!(store.save(bind(&format!("{aor:04}"), cseq)));
        }
    }
    assert!(began.elapsed() < SOON);
    store.save(Write::Call(Box::new(call_record(1))));
    assert!(!store.flush(Duration::from_millis(2500)));
    assert!(store.stats().failing);
    // Call records do not wait for the database, nor readers for the writer.
    assert!(std::fs::metadata(config.call_records.unwrap()).unwrap().len() > 0);
    assert!(store.load_registrations().unwrap().is_empty());

    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.flush(SOON));
    let loaded = store.load_registrations().unwrap();
    assert_eq!(loaded.len(), 1000);
    assert!(loaded.iter().all(|record| record.cseq == 50));
    assert_eq!((store.stats().dropped, store.stats().failing), (0, false));
}

#[test]
fn closing_with_a_locked_database_ends_all_the_same() {
    let dir = TempDir::new();
    let config = config(&dir);
    let store = Store::open(&config).unwrap();
    let other = Connection::open(&config.database).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.save(bind("1001", 1));
    let began = Instant::now();
    drop(store);
    assert!(began.elapsed() < SOON);
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let dir = TempDir::new();
    let path = dir.path().join("hookflash.db");
    std::fs::write(&path, "this is no database, but long enough to be looked at. ".repeat(40))
        .unwrap();
    let config = StoreConfig { database: path.clone(), ..config(&dir) };
    let error = Store::open(&config).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
}

#[test]
fn damaged_pages_are_an_error_or_lost_rows_and_never_a_panic() {
    let dir = TempDir::new();
    let config = config(&dir);
    let store = Store::open(&config).unwrap();
    for i in 0..500 {
        store.save(bind(&i.to_string(), 1));
    }
    drop(store);
    let mut bytes = std::fs::read(&config.database).unwrap();
    for byte in bytes.iter_mut().skip(4096) {
        *byte ^= 0x5a;
    }
    std::fs::write(&config.database, bytes).unwrap();
    let error = Store::open(&config).and_then(|store| store.load_registrations()).unwrap_err();
    assert!(error.to_string().contains("hookflash.db"), "{error}");
}

#[test]
fn a_newer_schema_is_refused_and_rows_of_another_make_are_skipped() {
    let dir = TempDir::new();
    let config = config(&dir);
    drop(Store::open(&config).unwrap());
    let other = Connection::open(&config.database).unwrap();
    let row = "INSERT INTO registrations VALUES ('1001', 'k', 1, '{\"aor\":\"1001\"}')";
    other.execute_batch(row).unwrap();
    assert!(Store::open(&config).unwrap().load_registrations().unwrap().is_empty());
    other.execute_batch("UPDATE schema_version SET version = 99").unwrap();
    let error = Store::open(&config).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, known: 1, .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let config = StoreConfig {
        database: "/dev/null/hookflash.db".into(),
        call_records: None,
        call_records_len_max: 0,
        call_records_keep: 0,
    };
    let error = Store::open(&config).unwrap_err();
    assert!(error.to_string().contains("/dev/null/hookflash.db"), "{error}");
}

#[test]
fn ten_thousand_registrations_load_at_once() {
    let dir = TempDir::new();
    let store = Store::open(&config(&dir)).unwrap();
    for i in 0..10_000 {
        store.save(bind(&i.to_string(), 1));
    }
    assert!(store.flush(SOON));
    let began = Instant::now();
    assert_eq!(store.load_registrations().unwrap().len(), 10_000);
    assert!(began.elapsed() < Duration::from_secs(2));
}
