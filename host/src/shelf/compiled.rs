//! Compiled code, kept so that a component is compiled once. It is native code: what is mapped from here and run is believed
//! to the last byte, so a file counts only with a seal, in a file beside it: a code over its name and content made with a
//! key that nobody else can read. A file that was hashed once is known again by its [`identity`], and is not hashed at the
//! next start; what that rests on stands there.
//!
//! A cache and no more: whatever is wrong with a file, it is removed, logged and compiled again; whatever is wrong with the
//! folder or the key, nothing is kept. Bounded by [`COMPILED_BYTES_MAX`] and [`ENTRY_BYTES_MAX`]; what is oldest goes first.
//!
//! Opened to be looked at, it is read as ever; nothing is kept and nothing removed.
//!
//! What is in a file, and whether it still fits the engine, is its reader's business: deserialising is not done here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use blake3::{Hash, Hasher};
use rand::TryRngCore as _;
use rand::rngs::OsRng;

use super::Access;
use super::digest::Digest;
use super::disk::{self, DiskError, Readers};
use identity::Identity;

mod identity;

/// The cache. One that cannot be used finds and keeps nothing.
pub struct Compiled(Option<Opened>);

/// What code was compiled from, with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey {
    /// The component.
    pub component: Digest,
    /// The engine's hash over its version and settings.
    pub engine: u64,
    /// Whatever else makes a difference.
    pub extra: String,
}

/// Bytes of all that is kept: a hundred skills with a big guest or two among them.
pub const COMPILED_BYTES_MAX: u64 = 1 << 30;

/// Bytes of one entry. A Python guest of 18 MiB compiles to about 80.
pub const ENTRY_BYTES_MAX: u64 = 256 << 20;

const KEY_BYTES: usize = 32;

/// Bytes of a code over a content, and of one over an identity: those of the hash.
const CODE_BYTES: usize = 32;

const KEY_FILE: &str = "key";
const EXTENSION: &str = "cwasm";
const SEAL_EXTENSION: &str = "seal";

/// What the code over an identity is begun with, so that no content has the same code.
const IDENTITY_DOMAIN: &[u8] = b"pointsman identity 1\n";

/// What an entry's name is made of begins with this; the next form of entries gets another one.
const DOMAIN: &[u8] = b"pointsman compiled 2\n";

// === impl Compiled ===

impl Compiled {
    /// The cache in this folder, which is made where there is none. One that others can get at is not used, which is
    /// logged with what mends it.
    pub fn open(folder: &Path) -> Self {
        Self::open_within(folder, COMPILED_BYTES_MAX)
    }

    /// The cache in this folder, to be looked at: one that is not there, or cannot be used, finds nothing.
    pub(super) fn open_to_look(folder: &Path) -> Self {
        Self(Opened::open_to_look(folder).ok().flatten())
    }

    fn open_within(folder: &Path, bytes_max: u64) -> Self {
        let opened = Opened::open(folder, bytes_max);
        Self(opened.inspect_err(|why| tracing::warn!("compiled skills are not kept: {why}")).ok())
    }

    /// Whether anything is kept.
    pub fn is_usable(&self) -> bool {
        self.0.is_some()
    }

    /// Where the code lies that was put under this key; it is what was put, to the last byte.
    pub fn get(&self, key: &CacheKey) -> Option<PathBuf> {
        self.get_at(key, SystemTime::now())
    }

    fn get_at(&self, key: &CacheKey, now: SystemTime) -> Option<PathBuf> {
        let opened = self.0.as_ref()?;
        let path = opened.path(key);
        match opened.check(key, &path, now) {
            Ok(()) => Some(path),
            Err(Unsound::Absent) => None,
            Err(Unsound::Disk(error)) => {
                tracing::warn!("compiled code {} cannot be read: {error}", path.display());
                None
            }
            Err(Unsound::Foreign(why)) => {
                tracing::warn!("compiled code {} {why}: it is removed and compiled again", path.display());
                self.remove(key);
                None
            }
        }
    }

    /// Keeps compiled code, in the place of what was there under this key. What cannot be kept is logged.
    pub fn put(&self, key: &CacheKey, payload: &[u8]) {
        let Some(opened) = self.kept() else { return };
        if let Err(error) = opened.put(key, payload) {
            tracing::warn!("compiled code is not kept: {error}");
        }
    }

    /// Drops what was put under this key: for whoever finds that it does not fit the engine.
    pub fn remove(&self, key: &CacheKey) {
        let Some(opened) = self.kept() else { return };
        if let Err(error) = remove_entry(&opened.path(key)) {
            tracing::warn!("{error}");
        }
    }

    /// Removes what crashes left; how many files that were.
    pub(super) fn sweep(&self) -> Result<usize, DiskError> {
        self.kept().map_or(Ok(0), |opened| disk::sweep(&opened.folder))
    }

    /// The cache, where it is changed.
    fn kept(&self) -> Option<&Opened> {
        self.0.as_ref().filter(|opened| opened.access == Access::Keep)
    }
}

// === impl CacheKey ===

impl CacheKey {
    /// The name of its file. The first two parts are of one length, so no two keys run together to the same text.
    fn name(&self) -> String {
        let engine = self.engine.to_be_bytes();
        let parts = [DOMAIN, self.component.as_bytes(), &engine, self.extra.as_bytes()];
        Digest::of(&parts.concat()).hex()
    }
}

/// A cache that can be used.
struct Opened {
    folder: PathBuf,
    access: Access,
    /// What seals begin as.
    keyed: Hasher,
    bytes_max: u64,
}

/// What lies beside the code.
struct Seal {
    /// Over its name and content.
    content: Hash,
    /// Over its name and the identity that it had when its content was hashed; none while it was too young.
    identity: Option<Hash>,
}

/// Why there is no compiled code.
enum Unsound {
    /// Nothing was put, or it had to make room.
    Absent,
    /// The disk does not give it.
    Disk(io::Error),
    /// It is not what was put.
    Foreign(&'static str),
}

/// Why nothing is kept.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{} is {fault}; remove it, and it is made anew", path.display())]
    Exposed { path: PathBuf, fault: &'static str },
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
}

// === impl Opened ===

impl Opened {
    fn open(folder: &Path, bytes_max: u64) -> Result<Self, OpenError> {
        // Only a new folder is given its mode: in one that was open until now, anybody may have put something.
        if fs::symlink_metadata(folder).is_err() {
            disk::make_folder(folder)?;
        }
        check_private(folder, fs::Metadata::is_dir)?;
        let path = folder.join(KEY_FILE);
        let key = match read_key(&path)? {
            Some(key) => key,
            None => make_key(&path)?,
        };
        Ok(Self::with(folder, Access::Keep, &key, bytes_max))
    }

    fn open_to_look(folder: &Path) -> Result<Option<Self>, OpenError> {
        check_private(folder, fs::Metadata::is_dir)?;
        let key = read_key(&folder.join(KEY_FILE))?;
        Ok(key.map(|key| Self::with(folder, Access::Look, &key, 0)))
    }

    fn with(folder: &Path, access: Access, key: &[u8; KEY_BYTES], bytes_max: u64) -> Self {
        Self { folder: folder.to_owned(), access, keyed: Hasher::new_keyed(key), bytes_max }
    }

    fn path(&self, key: &CacheKey) -> PathBuf {
        self.folder.join(key.name()).with_extension(EXTENSION)
    }

    /// What a seal begins with. Names are of one length, so name and content do not run together.
    fn named(&self, key: &CacheKey) -> Hasher {
        let mut seal = self.keyed.clone();
        seal.update(key.name().as_bytes());
        seal
    }

    /// Compares what is there with its seal: its identity, or else its content. That is mapped: it is copied nowhere.
    fn check(&self, key: &CacheKey, path: &Path, now: SystemTime) -> Result<(), Unsound> {
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Unsound::Absent,
            _ => Unsound::Disk(error),
        })?;
        if metadata.len() > ENTRY_BYTES_MAX {
            return Err(Unsound::Foreign("is too big"));
        }
        let seal = Seal::read(path)?;
        let identity = Identity::of(&metadata);
        let code = identity.as_ref().map(|identity| self.identity_code(key, identity));
        // Codes are compared in constant time.
        if code.is_some() && code == seal.identity {
            return Ok(());
        }
        let mut content = self.named(key);
        content.update_mmap(path).map_err(Unsound::Disk)?;
        if content.finalize() != seal.content {
            return Err(Unsound::Foreign("is not what this gateway put there"));
        }
        let same = || fs::metadata(path).is_ok_and(|after| Identity::of(&after) == identity);
        let settled = identity.as_ref().is_some_and(|identity| identity.is_settled(now)) && same();
        if settled && self.access == Access::Keep {
            let noted = Seal { identity: code, ..seal }.write(path);
            noted.unwrap_or_else(|error| {
                tracing::warn!("compiled code is checked again at the next start: {error}")
            });
        }
        Ok(())
    }

    fn identity_code(&self, key: &CacheKey, identity: &Identity) -> Hash {
        let mut code = self.keyed.clone();
        code.update(IDENTITY_DOMAIN);
        code.update(key.name().as_bytes());
        code.update(&identity.to_bytes());
        code.finalize()
    }

    /// Puts the code, then its seal: an old seal does not fit new code.
    fn put(&self, key: &CacheKey, payload: &[u8]) -> Result<(), DiskError> {
        let path = self.path(key);
        if payload.len() as u64 > ENTRY_BYTES_MAX {
            tracing::warn!("compiled code of {} bytes is not kept: it is too big", payload.len());
            return Ok(());
        }
        let seal = Seal { content: self.named(key).update(payload).finalize(), identity: None };
        disk::put(&path, &[payload], Readers::Owner)?;
        seal.write(&path)?;
        self.make_room(&path)
    }

    /// Removes the oldest entries until the rest may stay. The one that was just put stays, whatever the clock says.
    fn make_room(&self, new: &Path) -> Result<(), DiskError> {
        let mut entries: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
        for path in disk::list(&self.folder)? {
            // One that another process has just removed takes no room.
            if let Ok(metadata) = fs::metadata(&path)
                && path.extension().is_some_and(|it| it == EXTENSION)
            {
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                entries.push((modified, path, metadata.len()));
            }
        }
        entries.sort();
        let mut bytes: u64 = entries.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, path, entry_bytes) in entries {
            if bytes <= self.bytes_max {
                break;
            }
            if path != new {
                remove_entry(&path)?;
                bytes = bytes.saturating_sub(entry_bytes);
            }
        }
        Ok(())
    }
}

// === impl Seal ===

impl Seal {
    /// The seal beside this code.
    fn read(path: &Path) -> Result<Self, Unsound> {
        let written = disk::read(&path.with_extension(SEAL_EXTENSION), 2 * CODE_BYTES as u64)
            .map_err(|error| Unsound::Disk(error.source))?;
        let missing = || Unsound::Foreign("has no seal");
        let written = written.ok_or_else(missing)?;
        let (content, identity) = written.split_first_chunk::<CODE_BYTES>().ok_or_else(missing)?;
        let identity = match identity {
            [] => None,
            code => Some(Hash::from_bytes(code.try_into().map_err(|_| missing())?)),
        };
        Ok(Self { content: Hash::from_bytes(*content), identity })
    }

    fn write(&self, path: &Path) -> Result<(), DiskError> {
        let identity = self.identity.as_ref().map_or([].as_slice(), |code| code.as_bytes());
        disk::put(&path.with_extension(SEAL_EXTENSION), &[self.content.as_bytes(), identity], Readers::Owner)
    }
}

/// Removes code and its seal. Where others have the code mapped, it stays with them.
fn remove_entry(path: &Path) -> Result<(), DiskError> {
    disk::remove(path)?;
    disk::remove(&path.with_extension(SEAL_EXTENSION))
}

/// The key in a file that nobody else can read; none where there is none, or something else.
fn read_key(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, OpenError> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(None);
    }
    check_private(path, fs::Metadata::is_file)?;
    let key = disk::read(path, KEY_BYTES as u64)?.and_then(|bytes| bytes.try_into().ok());
    if key.is_none() {
        tracing::warn!("{} is no key: a new one is made, and all skills are compiled again", path.display());
    }
    Ok(key)
}

fn make_key(path: &Path) -> Result<[u8; KEY_BYTES], OpenError> {
    let mut key = [0; KEY_BYTES];
    OsRng.try_fill_bytes(&mut key).map_err(|error| OpenError::Random(error.to_string()))?;
    disk::put(path, &[&key], Readers::Owner)?;
    Ok(key)
}

/// The path itself, not what it links to, is of this kind, this user's, and closed to everybody else.
fn check_private(path: &Path, is_kind: fn(&fs::Metadata) -> bool) -> Result<(), OpenError> {
    let metadata = fs::symlink_metadata(path).map_err(DiskError::of(path, "read"))?;
    let exposed = |fault| Err(OpenError::Exposed { path: path.to_owned(), fault });
    if !is_kind(&metadata) {
        return exposed("not what it should be");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return exposed("another user's");
        }
        if metadata.mode() & 0o077 != 0 {
            return exposed("open to others");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
