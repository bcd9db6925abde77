//! Files of the shelf: for their owner alone, and whole. A file that is put is written under a passing name, synced, given
//! its own name, and the folder is synced: who looks after a crash at any point finds the old file or the new one.
//!
//! A crash leaves the passing name behind; nobody reads such a file, and [`sweep`] removes it. Exclusion of other writers is
//! the caller's.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// A file or a folder could not be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} cannot be {what}: {source}; check who owns it, and that its disk has room and is not read-only",
    path.display()
)]
pub struct DiskError {
    /// Which.
    pub path: PathBuf,
    /// What was to be done with it, as in "cannot be read".
    pub what: &'static str,
    /// Why not.
    pub source: io::Error,
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Only its owner.
    Owner,
    /// Whoever may read what the user makes.
    Usual,
}

/// What the names of files begin with that are not yet what they are to be.
const PASSING: &str = ".new-";

// === impl DiskError ===

impl DiskError {
    /// Makes the error of what was tried with this path.
    pub(super) fn of(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { path: path.to_owned(), what, source }
    }
}

/// Makes a folder where there is none, and keeps it to its owner.
pub(super) fn make_folder(path: &Path) -> Result<(), DiskError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(DiskError::of(path, "made"))?;
    // The mode above is for a new folder only; one that was there may have been open to everybody.
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .map_err(DiskError::of(path, "kept to its owner"))?;
    sync(folder_of(path))
}

/// Puts a file of these parts in the place of what is there.
pub(super) fn put(path: &Path, parts: &[&[u8]], readers: Readers) -> Result<(), DiskError> {
    let failed = || DiskError::of(path, "written");
    let file = write(path, parts, readers).map_err(failed())?;
    file.persist(path).map_err(|error| failed()(error.error))?;
    sync(folder_of(path))
}

/// Puts a file for its owner where there is none; what is there stays, and is an error.
pub(super) fn put_new(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let failed = || DiskError::of(path, "made");
    let file = write(path, &[bytes], Readers::Owner).map_err(failed())?;
    file.persist_noclobber(path).map_err(|error| failed()(error.error))?;
    sync(folder_of(path))
}

/// The file's bytes; none where there is no such file. Of a bigger one there is one byte more than `bytes_max`.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, DiskError> {
    let failed = || DiskError::of(path, "read");
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed()(error)),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed())?;
    Ok(Some(bytes))
}

/// Removes a file; one that is not there is no error.
pub(super) fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DiskError::of(path, "removed")(error)),
        _ => Ok(()),
    }
}

/// What is in a folder and has its name for good.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let mut paths = all(folder)?;
    paths.retain(|path| !is_passing(path));
    Ok(paths)
}

/// Removes what crashes left in a folder; how many files that were.
pub(super) fn sweep(folder: &Path) -> Result<usize, DiskError> {
    let mut left_over = all(folder)?;
    left_over.retain(|path| is_passing(path));
    for path in &left_over {
        remove(path)?;
    }
    Ok(left_over.len())
}

/// Makes the names in a folder last.
pub(super) fn sync(folder: &Path) -> Result<(), DiskError> {
    // Elsewhere a folder is no file that could be synced.
    #[cfg(unix)]
    File::open(folder).and_then(|it| it.sync_all()).map_err(DiskError::of(folder, "synced"))?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

fn write(path: &Path, parts: &[&[u8]], readers: Readers) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PASSING);
    // Without this, a passing file is its owner's alone.
    #[cfg(unix)]
    let usual: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    if readers == Readers::Usual {
        builder.permissions(usual);
    }
    #[cfg(not(unix))]
    let _ = readers;
    let mut file = builder.tempfile_in(folder_of(path))?;
    for part in parts {
        file.write_all(part)?;
    }
    file.as_file().sync_all()?;
    Ok(file)
}

fn all(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let failed = || DiskError::of(folder, "read");
    let entries = fs::read_dir(folder).map_err(failed())?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed())?;
    paths.sort();
    Ok(paths)
}

fn is_passing(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PASSING))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(read(&path, 9).unwrap(), None);
        put(&path, &[b"on", b"e"], Readers::Owner).unwrap();
        put(&path, &[b"two"], Readers::Owner).unwrap();
        assert_eq!(read(&path, 9).unwrap().unwrap(), b"two");
        assert_eq!(read(&path, 1).unwrap().unwrap(), b"tw", "one more than asked for");
        let error = put_new(&path, b"three").unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path, 9).unwrap().unwrap(), b"two");
        // A folder stands where the file is to be: nothing is left over of the attempt.
        let taken = folder.path().join("taken");
        fs::create_dir_all(taken.join("inside")).unwrap();
        assert!(put(&taken, &[b"x"], Readers::Owner).unwrap_err().to_string().contains("cannot be written"));
        assert_eq!(all(folder.path()).unwrap(), [path.clone(), taken]);
        remove(&path).unwrap();
        remove(&path).unwrap();
    }

    #[test]
    fn what_a_crash_left_is_ignored_and_swept() {
        let folder = tempfile::tempdir().unwrap();
        let left_over = write(&folder.path().join("file"), &[b"half"], Readers::Owner).unwrap();
        let (_, left_over) = left_over.keep().unwrap();
        let mine = folder.path().join("notes.txt");
        fs::write(&mine, "mine").unwrap();
        assert!(left_over.exists());
        assert_eq!(list(folder.path()).unwrap(), [mine.as_path()]);
        assert_eq!(sweep(folder.path()).unwrap(), 1);
        assert!(!left_over.exists() && mine.exists());
    }

    #[cfg(unix)]
    #[test]
    fn files_and_folders_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("a");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let inner = folder.join("b");
        make_folder(&inner).unwrap();
        make_folder(&folder).unwrap();
        assert_eq!((mode(&folder), mode(&inner)), (0o700, 0o700));
        put(&folder.join("owner"), &[], Readers::Owner).unwrap();
        put(&folder.join("usual"), &[], Readers::Usual).unwrap();
        put_new(&folder.join("new"), b"").unwrap();
        assert_eq!((mode(&folder.join("owner")), mode(&folder.join("new"))), (0o600, 0o600));
        fs::write(folder.join("like"), "").unwrap();
        assert_eq!(mode(&folder.join("usual")), mode(&folder.join("like")));
    }
}
