//! The shelf: what is installed, on disk. A lock file that says what is there and what of it is in use, the components
//! under the digests of their bytes, compiled code, signatures.
//!
//! Whatever is changed is there whole or not at all, whenever the machine stops: a component is on disk before the lock
//! names it, and is swept only when nothing names it. A lock that cannot be read is put aside for an empty one and never
//! written over; while one lies aside, no component is swept, because somebody may mend it. Components are checked against
//! their digests whenever they are read. Bounded by [`COMPONENT_BYTES_MAX`], [`LOCK_BYTES_MAX`], [`lock::VERSIONS_MAX`]
//! and [`compiled::COMPILED_BYTES_MAX`].
//!
//! Opened to be looked at ([`Shelf::open_to_look`]), nothing of it is made, put aside, kept or removed, and a lock that cannot be
//! used is an error.
//!
//! It waits for the disk: callers are on threads that may. Another process is kept out by the lock on the data folder,
//! which the caller holds. What a component is, and whether it may be installed at all, is not known here; nothing is
//! fetched, compiled or run.

pub mod compiled;
mod digest;
mod disk;
mod error;
pub mod lock;
pub mod sign;
mod text;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use compiled::Compiled;
use disk::Readers;
use lock::Lock;

pub use digest::{Digest, ParseDigestError};
pub use disk::DiskError;
pub use error::{ChangeError, GetError, LockError, PutError};

/// What is installed.
pub struct Shelf {
    folder: PathBuf,
    access: Access,
    compiled: Compiled,
    /// Held across the disk: it is one change of the files that must not meet another.
    turn: Mutex<Turn>,
}

/// What it was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Its keeper has it, and may change it.
    Keep,
    /// Somebody looks at it, beside its keeper or where there is none.
    Look,
}

/// Whoever changes the files has it.
#[derive(Default)]
struct Turn {
    /// Components that were put and that no lock has named yet: somebody is about to.
    unnamed: BTreeSet<Digest>,
}

/// The folder of the shelf in the data folder.
pub const SHELF_FOLDER: &str = "skill-store";

/// The lock's file in the shelf's folder.
pub const LOCK_FILE: &str = "skills.lock";

/// Bytes of a component, as many as the engine loads.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// Bytes of the lock's text: some hundred skills with all their versions.
pub const LOCK_BYTES_MAX: u64 = 4 << 20;

/// Locks put aside that are kept; a further one replaces the last. Whoever has so many has not read the log.
const ASIDE_MAX: u32 = 9;

const VERSIONS_FOLDER: &str = "versions";
const COMPILED_FOLDER: &str = "compiled";
const EXTENSION: &str = "wasm";

// === impl Shelf ===

impl Shelf {
    /// Opens the shelf in this folder, which is made where there is none, and is kept to its owner.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(folder: &Path) -> Result<Self, DiskError> {
        disk::make_folder(folder)?;
        disk::make_folder(&folder.join(VERSIONS_FOLDER))?;
        let compiled = Compiled::open(&folder.join(COMPILED_FOLDER));
        Ok(Self { folder: folder.to_owned(), access: Access::Keep, compiled, turn: Mutex::default() })
    }

    /// The shelf in this folder, to be looked at: the disk stays as it is, whatever is asked of it. Where there is no such
    /// folder nothing is installed.
    pub fn open_to_look(folder: &Path) -> Self {
        let compiled = Compiled::open_to_look(&folder.join(COMPILED_FOLDER));
        Self { folder: folder.to_owned(), access: Access::Look, compiled, turn: Mutex::default() }
    }

    /// The cache of compiled code.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// What is installed. A lock that is not understood is put aside, which is logged, and an empty one is in its place;
    /// whoever only looks is told instead.
    ///
    /// # Errors
    /// The file cannot be read, or cannot be put aside.
    pub fn lock(&self) -> Result<Lock, LockError> {
        let _turn = self.turn();
        match self.access {
            Access::Keep => Ok(self.read_lock()?),
            Access::Look => {
                self.find_lock()?.map_err(|why| LockError::Damaged { path: self.lock_path(), why })
            }
        }
    }

    /// Changes what is installed: on return it is on disk. An edit that fails, or changes nothing, writes nothing.
    ///
    /// # Errors
    /// The edit fails, or the file cannot be read or written; then it is as it was.
    pub fn change<T, E: std::error::Error>(
        &self,
        edit: impl FnOnce(&mut Lock) -> Result<T, E>,
    ) -> Result<T, ChangeError<E>> {
        let mut turn = self.turn_to_change()?;
        let before = self.read_lock()?;
        let mut lock = before.clone();
        let outcome = edit(&mut lock).map_err(ChangeError::Refused)?;
        if lock != before {
            let text = lock.to_text().map_err(ChangeError::Text)?;
            if text.len() as u64 > LOCK_BYTES_MAX {
                return Err(ChangeError::Full);
            }
            // What could not be read again would be put aside at the next look.
            Lock::from_text(&text).map_err(|error| ChangeError::Text(error.to_string()))?;
            disk::put(&self.lock_path(), &[text.as_bytes()], Readers::Owner)?;
        }
        let named = lock.digests();
        turn.unnamed.retain(|digest| !named.contains(digest));
        Ok(outcome)
    }

    /// Keeps a component: on return it is on disk, and stays until something named it and nothing does any more, or until
    /// the next start. What is there under its digest and is something else is replaced.
    ///
    /// # Errors
    /// It is too big, or cannot be written.
    pub fn put(&self, component: &[u8]) -> Result<Digest, PutError> {
        let bytes = component.len() as u64;
        if bytes > COMPONENT_BYTES_MAX {
            return Err(PutError::Large(bytes));
        }
        let mut turn = self.turn_to_change()?;
        let digest = Digest::of(component);
        match self.get(&digest) {
            Ok(_) => {}
            Err(GetError::Missing { path, .. }) => disk::put(&path, &[component], Readers::Owner)?,
            Err(GetError::Tampered { path, .. }) => {
                tracing::warn!("{} was changed since it was installed: it is replaced", path.display());
                disk::put(&path, &[component], Readers::Owner)?;
            }
            Err(GetError::Disk(error)) => return Err(error.into()),
        }
        turn.unnamed.insert(digest);
        Ok(digest)
    }

    /// The component of this digest, checked.
    ///
    /// # Errors
    /// There is none, it is not what was put, or it cannot be read.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, GetError> {
        let path = self.component_path(digest);
        match disk::read(&path, COMPONENT_BYTES_MAX)? {
            None => Err(GetError::Missing { digest: *digest, path }),
            // Of one that is too big, only the beginning was read.
            Some(component) if Digest::of(&component) != *digest => {
                Err(GetError::Tampered { digest: *digest, path })
            }
            Some(component) => Ok(component),
        }
    }

    /// Removes components that nothing names, and what crashes left; how many files that were. Files that are neither
    /// stay. While a lock lies aside, every component does.
    ///
    /// # Errors
    /// Something cannot be read or removed; the rest is swept another time.
    pub fn sweep(&self) -> Result<usize, DiskError> {
        let turn = self.turn_to_change()?;
        let versions = self.folder.join(VERSIONS_FOLDER);
        let left_over = disk::sweep(&self.folder)? + disk::sweep(&versions)? + self.compiled.sweep()?;
        let lock = self.read_lock()?;
        if let Some(aside) = self.aside_paths().find(|path| path.exists()) {
            tracing::info!("no installed version is removed for as long as {} is there", aside.display());
            return Ok(left_over);
        }
        let mut unused = lock.unused(disk::list(&versions)?.iter().filter_map(|path| component_of(path)));
        unused.retain(|digest| !turn.unnamed.contains(digest));
        for digest in &unused {
            disk::remove(&self.component_path(digest))?;
        }
        Ok(left_over + unused.len())
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        // Nothing is half done when a thread panics: the files are whole at any time.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of whoever changes something, which nobody does who only looks.
    fn turn_to_change(&self) -> Result<MutexGuard<'_, Turn>, DiskError> {
        match self.access {
            Access::Keep => Ok(self.turn()),
            Access::Look => {
                let looked_at = io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "it is only looked at");
                Err(DiskError::of(&self.folder, "changed")(looked_at))
            }
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.folder.join(LOCK_FILE)
    }

    fn component_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(VERSIONS_FOLDER).join(digest.hex()).with_extension(EXTENSION)
    }

    /// Where locks are put aside.
    fn aside_paths(&self) -> impl Iterator<Item = PathBuf> {
        (1..=ASIDE_MAX).map(|number| self.folder.join(format!("{LOCK_FILE}.damaged-{number}")))
    }

    /// Whoever calls it has the turn: a damaged lock is put aside once.
    fn read_lock(&self) -> Result<Lock, DiskError> {
        let why = match self.find_lock()? {
            Ok(lock) => return Ok(lock),
            Err(why) => why,
        };
        let path = self.lock_path();
        let aside = self.put_aside(&path)?;
        tracing::error!(
            "{} cannot be used: {why}. It is kept as {}, and no skill is installed until it is mended and put back, or \
             the skills are installed again",
            path.display(),
            aside.display()
        );
        Ok(Lock::default())
    }

    /// The lock, or why what is there is none.
    fn find_lock(&self) -> Result<Result<Lock, String>, DiskError> {
        let bytes = disk::read(&self.lock_path(), LOCK_BYTES_MAX)?;
        Ok(bytes.map_or_else(|| Ok(Lock::default()), understand))
    }

    fn put_aside(&self, path: &Path) -> Result<PathBuf, DiskError> {
        let free = self.aside_paths().find(|path| !path.exists());
        let aside =
            free.or_else(|| self.aside_paths().last()).unwrap_or_else(|| path.with_extension("damaged"));
        std::fs::rename(path, &aside).map_err(DiskError::of(path, "put aside"))?;
        disk::sync(&self.folder)?;
        Ok(aside)
    }
}

fn understand(bytes: Vec<u8>) -> Result<Lock, String> {
    if bytes.len() as u64 > LOCK_BYTES_MAX {
        return Err(format!("it has more than {LOCK_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is no text in UTF-8".to_owned())?;
    Lock::from_text(&text).map_err(|error| error.to_string())
}

/// The component that a file of the shelf is, by its name.
fn component_of(path: &Path) -> Option<Digest> {
    path.extension().filter(|extension| *extension == EXTENSION)?;
    Digest::from_hex(path.file_stem()?.to_str()?).ok()
}

#[cfg(test)]
mod tests;
