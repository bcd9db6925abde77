//! The database: how it is opened, what its tables are, how documents are read and written. The only file that knows SQL.
//!
//! A write-ahead log, and every commit synced: a batch that is reported is on disk, whatever ends the process. The schema's
//! version is SQLite's `user_version`, the number of [`MIGRATIONS`] that were applied. A database is checked when it is
//! opened, and what is wrong with it is told apart from what is wrong with the disk: only the first is a reason to put a
//! file aside.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::Collection;
use super::queue::{Change, Changes};

/// A connection. In memory, reader and writer share one.
pub(super) type Shared = Arc<Mutex<Connection>>;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// What is in it: another one in its place would work.
    #[error("{0}")]
    Unreadable(String),
    /// Anything else, as a disk that is full.
    #[error("{0}")]
    Failed(rusqlite::Error),
}

/// Bytes of the database. It holds small documents in collections whose owners bound them; a larger one is a mistake, and
/// it is checked from end to end when it is opened.
pub const DATABASE_BYTES_MAX: u64 = 256 << 20;

/// What made each version of the schema from the one before. Entries are added, never changed: databases that were made
/// with them are on people's disks.
const MIGRATIONS: &[&str] = &["CREATE TABLE document (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (collection, key)
) STRICT"];

/// Somebody may look into the file with SQLite's own shell; this long is waited for them.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the log that stay on disk after a burst: what SQLite lets it grow to before it is put into the database (1000
/// pages of 4 KiB).
const LOG_BYTES_MAX: i64 = 4_096_000;

/// No lock of SQLite's own: each connection is behind a mutex.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

// === impl Trouble ===

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let of_content = match &error {
            // SQL that this schema does not fit.
            rusqlite::Error::SqlInputError { .. } => true,
            other => matches!(
                other.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
            ),
        };
        if of_content { Self::Unreadable(error.to_string()) } else { Self::Failed(error) }
    }
}

/// Wraps a connection.
pub(super) fn shared(connection: Connection) -> Shared {
    Arc::new(Mutex::new(connection))
}

/// The connection that writes to an existing file, which may be empty: checked, and of this version's schema.
pub(super) fn writer(path: &Path, bytes_max: u64) -> Result<Connection, Trouble> {
    prepare(Connection::open_with_flags(path, FLAGS)?, bytes_max, MIGRATIONS)
}

/// The connection that reads what the other writes. It could write, too: the last one to close must be able to put the
/// log into the database.
pub(super) fn reader(path: &Path) -> Result<Connection, Trouble> {
    let connection = Connection::open_with_flags(path, FLAGS)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A database that is gone with its connection.
pub(super) fn in_memory(bytes_max: u64) -> Result<Connection, Trouble> {
    prepare(Connection::open_in_memory()?, bytes_max, MIGRATIONS)
}

fn prepare(mut connection: Connection, bytes_max: u64, migrations: &[&str]) -> Result<Connection, Trouble> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // One that is put aside is kept as it was found: closing it must not put its log into it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // A newer version may keep it in ways that this one would misread: it is asked first.
    let version = version(&connection, migrations)?;
    let checked: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if checked != "ok" {
        return Err(Trouble::Unreadable(checked));
    }
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    // What is removed is not to be found in the file any more.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    // On macOS a plain sync leaves the last word to the drive; elsewhere this changes nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_MAX, |_| Ok(()))?;
    let page: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = i64::try_from(bytes_max / u64::from(page.max(1))).unwrap_or(i64::MAX);
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    migrate(&mut connection, migrations, version)?;
    connection.prepare("SELECT collection, key, json FROM document LIMIT 0")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(connection)
}

/// How many of the migrations were applied.
fn version(connection: &Connection, migrations: &[&str]) -> Result<usize, Trouble> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let newest = migrations.len();
    usize::try_from(version).ok().filter(|version| *version <= newest).ok_or_else(|| {
        let why = format!("its schema is version {version}, this program knows versions up to {newest}");
        Trouble::Unreadable(why)
    })
}

/// Each migration is one transaction with the number that says it was applied.
fn migrate(connection: &mut Connection, migrations: &[&str], applied: usize) -> rusqlite::Result<()> {
    for (sql, number) in migrations.iter().zip(1_i64..).skip(applied) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Writes all of it in one transaction, or nothing.
pub(super) fn write(connection: &Shared, changes: &Changes) -> rusqlite::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut connection = lock(connection);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Each document is in it once, so their order is free: what goes makes room for what comes.
    let mut remove = transaction.prepare("DELETE FROM document WHERE collection = ?1 AND key = ?2")?;
    for (place, _) in changes.iter().filter(|(_, change)| **change == Change::Remove) {
        remove.execute((place.collection.as_str(), &place.key))?;
    }
    drop(remove);
    let mut put = transaction.prepare(
        "INSERT INTO document (collection, key, json) VALUES (?1, ?2, ?3)
         ON CONFLICT (collection, key) DO UPDATE SET json = excluded.json",
    )?;
    for (place, change) in changes {
        if let Change::Put(json) = change {
            put.execute((place.collection.as_str(), &place.key, &**json))?;
        }
    }
    drop(put);
    transaction.commit()
}

/// One document's JSON.
pub(super) fn get(
    connection: &Shared,
    collection: Collection,
    key: &str,
) -> rusqlite::Result<Option<String>> {
    lock(connection)
        .query_row(
            "SELECT json FROM document WHERE collection = ?1 AND key = ?2",
            (collection.as_str(), key),
            |row| row.get(0),
        )
        .optional()
}

/// Every document's key and JSON. Text that is none, which only damage makes, is logged and left out.
pub(super) fn all(
    connection: &Shared,
    collection: Collection,
    mut each: impl FnMut(String, String),
) -> rusqlite::Result<()> {
    let connection = lock(connection);
    let mut statement = connection.prepare("SELECT key, json FROM document WHERE collection = ?1")?;
    let mut rows = statement.query([collection.as_str()])?;
    while let Some(row) = rows.next()? {
        match row.get(0).and_then(|key| Ok((key, row.get(1)?))) {
            Ok((key, json)) => each(key, json),
            Err(error) => tracing::warn!("a document of {collection} is left out: {error}"),
        }
    }
    Ok(())
}

/// Every document's key and the bytes of its JSON.
pub(super) fn sizes(connection: &Shared, collection: Collection) -> rusqlite::Result<Vec<(String, usize)>> {
    let connection = lock(connection);
    let sql = "SELECT key, length(CAST(json AS BLOB)) FROM document WHERE collection = ?1";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([collection.as_str()], |row| {
        let bytes: i64 = row.get(1)?;
        Ok((row.get(0)?, usize::try_from(bytes).unwrap_or_default()))
    })?;
    rows.collect()
}

fn lock(connection: &Shared) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = MIGRATIONS[0];
    const TWO: &str = "CREATE TABLE second (number INTEGER); INSERT INTO second VALUES (2)";
    const BROKEN: &str = "CREATE TABLE third (number INTEGER); nonsense";

    fn numbers(connection: &Connection) -> (i64, i64) {
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        let tables =
            connection
                .query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", [], |row| row.get(0));
        (version, tables.unwrap())
    }

    #[test]
    fn each_migration_is_applied_once_and_keeps_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let open = |migrations| prepare(Connection::open(&path).unwrap(), DATABASE_BYTES_MAX, migrations);
        let connection = open(&[ONE]).unwrap();
        assert_eq!(numbers(&connection), (1, 1));
        connection.execute("INSERT INTO document VALUES ('any', 'a', '1')", []).unwrap();
        drop(connection);
        for _ in 0..2 {
            assert_eq!(numbers(&open(&[ONE, TWO]).unwrap()), (2, 2));
        }
        // One that fails leaves nothing of itself, and all before it.
        assert!(matches!(open(&[ONE, TWO, BROKEN]), Err(Trouble::Unreadable(_))));
        let connection = open(&[ONE, TWO]).unwrap();
        assert_eq!(numbers(&connection), (2, 2));
        let shared = shared(connection);
        assert_eq!(get(&shared, Collection::new("any"), "a").unwrap().as_deref(), Some("1"));
        drop(shared);
        assert!(matches!(open(&[ONE]), Err(Trouble::Unreadable(why)) if why.contains("version 2")));
    }

    #[test]
    fn from_version_0_to_the_newest_in_one_go() {
        let connection = prepare(Connection::open_in_memory().unwrap(), 1 << 20, &[ONE, TWO]).unwrap();
        assert_eq!(numbers(&connection), (2, 2));
    }

    #[test]
    fn every_commit_is_synced_to_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        std::fs::write(&path, "").unwrap();
        let connection = writer(&path, DATABASE_BYTES_MAX).unwrap();
        let text = |name| connection.pragma_query_value(None, name, |row| row.get::<_, String>(0)).unwrap();
        let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(text("journal_mode"), "wal");
        let full = 2;
        assert_eq!((number("synchronous"), number("fullfsync")), (full, 1));
        assert_eq!(number("max_page_count"), 65_536);
    }

    #[test]
    fn a_disk_in_trouble_is_no_reason_to_put_a_state_aside() {
        use rusqlite::ffi;
        let of = |code| Trouble::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR, ffi::SQLITE_READONLY, ffi::SQLITE_BUSY] {
            assert!(matches!(of(code), Trouble::Failed(_)), "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            assert!(matches!(of(code), Trouble::Unreadable(_)), "{code}");
        }
    }
}
