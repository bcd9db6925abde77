//! Files that are damaged, disks that refuse, folders in use.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;

use super::*;

const DOCUMENTS: u32 = 300;

/// A folder with a state of several pages.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for key in 0..DOCUMENTS {
        store.put(PLACES, &key.to_string(), &"x".repeat(200));
    }
    drop(store);
    let file = folder.path().join(STATE_FILE);
    (folder, file)
}

fn aside(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("state.aside-{number}.db"))
}

/// What is logged by this thread meanwhile.
fn logged(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let copy = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || copy.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn sql(file: &Path, statement: &str) {
    rusqlite::Connection::open(file).unwrap().execute_batch(statement).unwrap();
}

#[test]
fn a_state_that_cannot_be_read_is_put_aside() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("not a database", |file| fs::write(file, "x".repeat(10_000)).unwrap()),
        ("malformed", |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("page", |file| {
            let mut bytes = fs::read(file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle..middle + 8_192].fill(0xa5);
            fs::write(file, bytes).unwrap();
        }),
        ("version 99", |file| sql(file, "PRAGMA user_version = 99")),
        ("already exists", |file| sql(file, "PRAGMA user_version = 0")),
        ("no such column", |file| sql(file, "ALTER TABLE document RENAME COLUMN json TO text")),
    ];
    for (why, damage) in damages {
        let (folder, file) = folder();
        damage(&file);
        let log = logged(|| {
            let store = Store::open(folder.path()).unwrap();
            assert_eq!(store.all::<String>(PLACES).unwrap(), [], "{why}");
            store.put(PLACES, "new", "x");
        });
        assert!(log.contains(why), "{why}: {log}");
        let kept = aside(folder.path(), 1);
        assert!(log.contains(&*kept.to_string_lossy()), "{log}");
        assert!(kept.exists(), "{why}");
        assert_eq!(logged(|| drop(Store::open(folder.path()).unwrap())), "", "{why}");
        assert_eq!(on_disk(folder.path()), 1, "{why}");
    }
}

#[test]
fn a_newer_state_that_is_put_aside_is_whole() {
    let (source, file) = folder();
    let newer = rusqlite::Connection::open(&file).unwrap();
    newer.execute_batch("PRAGMA user_version = 99; DELETE FROM document WHERE key = '7'").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["state.db", "state.db-wal"] {
        fs::copy(source.path().join(name), folder.path().join(name)).unwrap();
    }
    drop(Store::open(folder.path()).unwrap());
    let kept = rusqlite::Connection::open(aside(folder.path(), 1)).unwrap();
    let count: u32 = kept.query_row("SELECT count(*) FROM document", [], |row| row.get(0)).unwrap();
    assert_eq!(count, DOCUMENTS - 1, "with what was only in its log");
}

#[tokio::test]
async fn a_torn_log_costs_only_what_was_torn() {
    for tear in [Tear::Cut, Tear::Grown] {
        let source = tempfile::tempdir().unwrap();
        let store = Store::open(source.path()).unwrap();
        store.put_synced(PLACES, "a", "Aachen").await.unwrap();
        store.put_synced(PLACES, "b", "Berlin").await.unwrap();
        // What a power cut leaves: neither file was closed.
        let folder = tempfile::tempdir().unwrap();
        for name in ["state.db", "state.db-wal"] {
            fs::copy(source.path().join(name), folder.path().join(name)).unwrap();
        }
        let log = folder.path().join("state.db-wal");
        let mut bytes = fs::read(&log).unwrap();
        match tear {
            Tear::Cut => bytes.truncate(bytes.len() - 100),
            Tear::Grown => bytes.extend([0xa5; 5_000]),
        }
        fs::write(&log, bytes).unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.get::<String>(PLACES, "a").unwrap().as_deref(), Some("Aachen"));
        assert_eq!(store.get::<String>(PLACES, "b").unwrap().is_some(), matches!(tear, Tear::Grown));
        assert!(!aside(folder.path(), 1).exists());
    }
}

/// What was wrong with the end of a log.
enum Tear {
    Cut,
    Grown,
}

#[tokio::test]
async fn the_log_of_a_damaged_state_is_not_played_into_the_next() {
    let (source, _) = folder();
    let store = Store::open(source.path()).unwrap();
    // As long as it was: the log then holds that page alone, and cannot make up for the others.
    store.put_synced(PLACES, "7", &"y".repeat(200)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (log, file) = (folder.path().join("state.db-wal"), folder.path().join(STATE_FILE));
    fs::copy(source.path().join("state.db-wal"), &log).unwrap();
    fs::write(&file, "x".repeat(50_000)).unwrap();
    for _ in 0..2 {
        let store = Store::open(folder.path()).unwrap();
        store.put(PLACES, "new", "y");
        drop(store);
        assert_eq!(on_disk(folder.path()), 1);
    }
    let kept = fs::read_to_string(aside(folder.path(), 1)).unwrap();
    assert!(kept == "x".repeat(50_000), "it is kept as it was found");
    assert!(folder.path().join("state.aside-1.db-wal").exists(), "with its log");
}

#[test]
fn a_folder_has_one_user_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    let process = std::process::id();
    assert!(matches!(error, OpenError::InUse { process: Some(id), .. } if id == process));
    assert!(error.to_string().contains(&format!("in use by process {process}")), "{error}");
    drop(store);
    drop(Store::open(folder.path()).unwrap());
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("below")).unwrap_err();
    assert!(error.to_string().contains(&*file.to_string_lossy()), "{error}");
    fs::create_dir(folder.path().join(STATE_FILE)).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Folder { path, .. } if path.ends_with(STATE_FILE)), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_state_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let made = root.path().join("made/here");
    let there = root.path().join("there");
    fs::create_dir(&there).unwrap();
    open(&there, 0o755);
    fs::write(there.join(STATE_FILE), "").unwrap();
    open(&there.join(STATE_FILE), 0o644);
    for (folder, expected) in [(&made, 0o700), (&there, 0o755)] {
        let store = Store::open(folder).unwrap();
        store.put_synced(PLACES, "a", "Aachen").await.unwrap();
        assert_eq!(mode(folder), expected);
        for file in ["state.db", "state.db-wal", "state.db-shm", "state.lock"] {
            assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
        }
    }
}

/// What is said to the connection that writes.
fn tell(store: &Store, statement: &str) {
    store.0.reader.lock().unwrap().execute_batch(statement).unwrap();
}

#[tokio::test]
async fn a_disk_that_refuses_is_tried_again_and_nothing_is_lost() {
    let refusals = [
        ("PRAGMA max_page_count = 4", "PRAGMA max_page_count = 1000", WriteError::DiskFull),
        ("PRAGMA query_only = true", "PRAGMA query_only = false", WriteError::ReadOnly),
    ];
    for (refuse, allow, expected) in refusals {
        let store = Store::in_memory_within(patient()).unwrap();
        tell(&store, refuse);
        store.put(PLACES, "waiting", "x");
        let big = "x".repeat(50_000);
        let (first, second) = (store.put_synced(PLACES, "big", &big), store.flush());
        assert_eq!(first.await, Err(expected.clone()));
        assert_eq!(second.await, Err(expected.clone()));
        assert_eq!(store.get::<String>(PLACES, "waiting").unwrap().as_deref(), Some("x"));
        // Another change neither waits behind the failed ones nor succeeds without them.
        store.put(PLACES, "waiting", "y");
        assert_eq!(store.flush().await, Err(expected));
        tell(&store, allow);
        store.flush().await.unwrap();
        let written = sqlite::get(&store.0.reader, PLACES, "waiting").unwrap();
        assert_eq!(written.as_deref(), Some("\"y\""));
        assert_eq!(store.get::<String>(PLACES, "big").unwrap(), Some(big));
    }
}

#[tokio::test]
async fn a_full_state_takes_documents_again_when_others_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { database_bytes: 200_000, ..patient() };
    let store = Store::open_within(folder.path(), limits).unwrap();
    let big = "x".repeat(120_000);
    store.put_synced(PLACES, "old", &big).await.unwrap();
    assert_eq!(store.put_synced(PLACES, "new", &big).await, Err(WriteError::DiskFull));
    store.remove(PLACES, "old");
    store.flush().await.unwrap();
    drop(store);
    let store = Store::open_within(folder.path(), limits).unwrap();
    assert_eq!(store.get::<String>(PLACES, "old").unwrap(), None);
    assert_eq!(store.get::<String>(PLACES, "new").unwrap(), Some(big));
}

#[test]
fn a_disk_that_fails_is_tried_again_by_itself() {
    let limits = Limits { linger: Duration::ZERO, retry: Duration::ZERO, ..Limits::default() };
    let store = Store::in_memory_within(limits).unwrap();
    tell(&store, "PRAGMA query_only = true");
    store.put(PLACES, "a", "Aachen");
    wait_until(|| store.0.desk.is_failing());
    tell(&store, "PRAGMA query_only = false");
    wait_until(|| sqlite::get(&store.0.reader, PLACES, "a").unwrap().is_some());
}

#[tokio::test]
async fn a_store_on_a_disk_that_fails_ends_and_says_so() {
    let store = Store::in_memory_within(patient()).unwrap();
    tell(&store, "PRAGMA query_only = true");
    let commit = store.put_synced(PLACES, "a", "Aachen");
    drop(store);
    assert_eq!(commit.await, Err(WriteError::ReadOnly));
}
