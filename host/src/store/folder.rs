//! The data folder as the store sees it: one process at a time, files for their owner alone, and a place for a state that
//! cannot be read.
//!
//! A folder that is made here is its owner's alone. One that was there keeps its permissions, because `--data-dir` may
//! name any folder of the machine; the files in it are closed to others either way. The lock is the operating system's
//! and goes with its process, so no kill leaves one behind; the file stays, because removing it would race with the next.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::OpenError;

/// The database in the data folder.
pub const STATE_FILE: &str = "state.db";

/// The file in the data folder that is locked while a process uses it; it holds that process's id.
pub const LOCK_FILE: &str = "state.lock";

/// The claim on a data folder, released when it is dropped.
pub(super) struct Lock(File);

/// States put aside that are kept; a further one replaces the last. Whoever has so many has not read the log.
const ASIDE_MAX: u32 = 9;

/// What SQLite calls the files beside a database, in the order in which they must go: a log that stayed behind would be
/// played into the next database of that name.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

// === impl Lock ===

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it locked for as long as a child that is just being started holds a copy of the
        // file. One that cannot be unlocked is when the process ends.
        let _ = self.0.unlock();
    }
}

/// Makes the folder where there is none and takes it for this process.
pub(super) fn claim(folder: &Path) -> Result<Lock, OpenError> {
    make(folder).map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
    let path = folder.join(LOCK_FILE);
    let failed = |source| OpenError::Folder { path: path.clone(), source };
    let mut file = private(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(OpenError::InUse { folder: folder.to_owned(), process: holder(&path) });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let signed = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    signed.map_err(failed)?;
    Ok(Lock(file))
}

/// Finds out whether another process has the folder, without taking or making anything. It may be taken the next moment.
pub(super) fn check_free(folder: &Path) -> Result<(), OpenError> {
    let path = folder.join(LOCK_FILE);
    let failed = |source| OpenError::Folder { path: path.clone(), source };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    // Shared, so that two who look do not take each other for a keeper.
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map_err(failed),
        Err(TryLockError::WouldBlock) => {
            Err(OpenError::InUse { folder: folder.to_owned(), process: holder(&path) })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The process that holds the lock. It may be about to sign, or be on a system where a locked file cannot be read.
fn holder(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn make(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the database's file where there is none, and keeps it to its owner. SQLite gives the files beside it the same
/// permissions.
pub(super) fn make_private(path: &Path) -> Result<(), OpenError> {
    private(path).map(drop).map_err(|source| OpenError::Folder { path: path.to_owned(), source })
}

fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    // The mode above is for a new file only; one that was there may have been open to everybody.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// Renames a database, with what SQLite keeps beside it; where it is now.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf, OpenError> {
    let failed = |source| OpenError::Aside { path: path.to_owned(), source };
    let names = (1..=ASIDE_MAX).map(|number| path.with_extension(format!("aside-{number}.db")));
    let mut last = path.with_extension("aside.db");
    for name in names {
        last = name;
        if !last.exists() {
            break;
        }
    }
    for companion in COMPANIONS {
        rename(&beside(path, companion), &beside(&last, companion)).map_err(failed)?;
    }
    rename(path, &last).map_err(failed)?;
    Ok(last)
}

/// Renames a file, or removes what is at its new place where there is no such file: an older one's log is not this one's.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let is_absent =
        |result: &io::Result<()>| matches!(result, Err(error) if error.kind() == io::ErrorKind::NotFound);
    let renamed = std::fs::rename(from, to);
    if !is_absent(&renamed) {
        return renamed;
    }
    let removed = std::fs::remove_file(to);
    if is_absent(&removed) { Ok(()) } else { removed }
}

fn beside(path: &Path, companion: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(companion);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_whether_a_folder_is_free_makes_and_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        check_free(&data).unwrap();
        assert!(!data.exists());
        let lock = claim(&data).unwrap();
        let process = Some(std::process::id());
        assert!(matches!(check_free(&data), Err(OpenError::InUse { process: it, .. }) if it == process));
        drop(lock);
        check_free(&data).unwrap();
        drop(claim(&data).unwrap());
    }

    #[test]
    fn so_many_states_are_put_aside_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(STATE_FILE);
        for number in 1..=ASIDE_MAX + 2 {
            std::fs::write(&path, number.to_string()).unwrap();
            if number != ASIDE_MAX + 2 {
                std::fs::write(beside(&path, "-wal"), number.to_string()).unwrap();
            }
            let expected = folder.path().join(format!("state.aside-{}.db", number.min(ASIDE_MAX)));
            assert_eq!(move_aside(&path).unwrap(), expected);
            assert!(!path.exists() && !beside(&path, "-wal").exists());
            assert_eq!(std::fs::read_to_string(&expected).unwrap(), number.to_string());
        }
        let last = folder.path().join("state.aside-9.db");
        assert!(!beside(&last, "-wal").exists(), "the log of the state that was replaced");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2 * ASIDE_MAX as usize - 1);
    }
}
