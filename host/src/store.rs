//! What survives a restart: small JSON documents by collection and key, in one SQLite file of the data folder.
//!
//! One thread writes, in batches; each batch is one synced transaction. Handing a document in costs its serialisation and
//! a short lock, never the disk. Reads go to the disk, behind what is still waiting to be written: they are for start-up
//! and for commands, not for the data path. Whoever must know that something is on disk awaits a [`Commit`].
//!
//! Bounded by [`DOCUMENT_BYTES_MAX`], [`KEY_BYTES_MAX`], the queue's limits and [`DATABASE_BYTES_MAX`]. One process has a
//! data folder at a time. Serving never depends on what is in it: a file that cannot be read is put aside for an empty one.
//!
//! It knows no other room: what a document means, and which of them are too many, is their owner's business. There are
//! no queries, no indexes, no transactions that a caller could hold open, and no cache.

mod error;
mod folder;
mod queue;
mod sqlite;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use folder::Lock;
use queue::{Change, Limits, Place};
use sqlite::{Shared, Trouble};
use writer::Desk;

pub use error::{OpenError, ReadError, WriteError};
pub use folder::{LOCK_FILE, STATE_FILE};
pub use sqlite::DATABASE_BYTES_MAX;

/// A kind of document, as `sessions`. Collections need not be made: one exists as soon as a document is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Collection(&'static str);

/// The handle on the store. Cheap to clone. Dropping the last one writes what is waiting, for which it waits, and ends the
/// thread; after [`Store::flush`] that takes no time.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

/// Resolves when all that was handed in before it is on disk. Dropping it withdraws nothing. It outlives the store: the
/// last write answers it.
#[must_use = "whether it is on disk shows only when it is awaited"]
pub struct Commit(State);

enum State {
    /// With the writer.
    Waiting(oneshot::Receiver<Result<(), WriteError>>),
    /// Refused before it came to the writer.
    Refused(WriteError),
}

struct Inner {
    desk: Arc<Desk>,
    reader: Shared,
    writer: Option<JoinHandle<()>>,
    /// Last, so that the folder is free only when both connections are closed.
    _lock: Option<Lock>,
}

/// Bytes of one document's JSON. What is bigger is no state but content, and would crowd out the queue.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Bytes of a document's key: a model's or a conversation's name with room to spare.
pub const KEY_BYTES_MAX: usize = 1 << 10;

// === impl Collection ===

impl Collection {
    /// The collection of this name. A name that was once used stays: the documents on disk are found by it.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

// === impl Store ===

impl Store {
    /// Opens the state of this data folder; makes the folder and the file where there is none, for their owner alone.
    /// A file that cannot be read (damaged, or from a newer version) is renamed, which is logged, and an empty one takes
    /// its place. It is checked from end to end, so this waits for the disk.
    ///
    /// # Errors
    /// Another process has the folder, or it cannot be used at all; [`Store::in_memory`] serves on without it.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_within(folder, Limits::default())
    }

    fn open_within(folder: &Path, limits: Limits) -> Result<Self, OpenError> {
        let lock = folder::claim(folder)?;
        let path = folder.join(STATE_FILE);
        let writing = sound(&path, &limits)?;
        let reading = sqlite::reader(&path).map_err(|trouble| unopened(&path, &trouble))?;
        Self::start(sqlite::shared(writing), sqlite::shared(reading), limits, Some(lock))
    }

    /// Nobody has the state of this data folder, which is left as it is.
    ///
    /// # Errors
    /// Another process has the folder, or that cannot be found out.
    pub fn check_free(folder: &Path) -> Result<(), OpenError> {
        folder::check_free(folder)
    }

    /// A store that is gone with its last handle.
    ///
    /// # Errors
    /// There is no memory, or no thread, for it.
    pub fn in_memory() -> Result<Self, OpenError> {
        Self::in_memory_within(Limits::default())
    }

    fn in_memory_within(limits: Limits) -> Result<Self, OpenError> {
        let only = sqlite::in_memory(limits.database_bytes)
            .map(sqlite::shared)
            .map_err(|trouble| unopened(Path::new(":memory:"), &trouble))?;
        Self::start(only.clone(), only, limits, None)
    }

    fn start(writing: Shared, reader: Shared, limits: Limits, lock: Option<Lock>) -> Result<Self, OpenError> {
        let desk = Arc::new(Desk::new(limits));
        let writers = desk.clone();
        let writer = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writers.run(&writing))
            .map_err(OpenError::Thread)?;
        Ok(Self(Arc::new(Inner { desk, reader, writer: Some(writer), _lock: lock })))
    }

    /// The document under this key, as it was last handed in; none where there is none. May wait for the disk.
    ///
    /// # Errors
    /// The database failed, or the document is not what the caller expects.
    pub fn get<T: DeserializeOwned>(
        &self,
        collection: Collection,
        key: &str,
    ) -> Result<Option<T>, ReadError> {
        let json = match self.0.desk.find(&Place::new(collection, key)) {
            Some(Change::Put(json)) => json,
            Some(Change::Remove) => return Ok(None),
            None => match sqlite::get(&self.0.reader, collection, key)? {
                Some(json) => json.into(),
                None => return Ok(None),
            },
        };
        let unreadable = |source| ReadError::Document { collection, key: key.to_owned(), source };
        serde_json::from_str(&json).map(Some).map_err(unreadable)
    }

    /// Every document of a collection, with its key, in the keys' order. One that is not what the caller expects is
    /// logged and left out. May wait for the disk.
    ///
    /// # Errors
    /// The database failed.
    pub fn all<T: DeserializeOwned>(&self, collection: Collection) -> Result<Vec<(String, T)>, ReadError> {
        // What is waiting is looked at first: in the other order, what is written in between would be in neither.
        let waiting = self.0.desk.of(collection);
        let mut all: BTreeMap<String, Arc<str>> = BTreeMap::new();
        sqlite::all(&self.0.reader, collection, |key, json| {
            all.insert(key, json.into());
        })?;
        for (key, change) in waiting {
            match change {
                Change::Put(json) => all.insert(key, json),
                Change::Remove => all.remove(&key),
            };
        }
        let read = all.into_iter().filter_map(|(key, json)| match serde_json::from_str(&json) {
            Ok(value) => Some((key, value)),
            Err(error) => {
                tracing::warn!("the document {key:?} of {collection} is left out: {error}");
                None
            }
        });
        Ok(read.collect())
    }

    /// The keys of a collection and the bytes of each document, in the order of the keys. Waits for the disk.
    ///
    /// # Errors
    /// The database failed.
    pub fn sizes(&self, collection: Collection) -> Result<Vec<(String, usize)>, ReadError> {
        let waiting = self.0.desk.of(collection);
        let mut sizes: BTreeMap<String, usize> =
            sqlite::sizes(&self.0.reader, collection)?.into_iter().collect();
        for (key, change) in waiting {
            match change {
                Change::Put(json) => sizes.insert(key, json.len()),
                Change::Remove => sizes.remove(&key),
            };
        }
        Ok(sizes.into_iter().collect())
    }

    /// Hands a document in. It is on disk within a second unless the disk fails, and replaces one of the same key that
    /// still waits. Never waits; what cannot be taken (too big, queue full) is dropped, which is logged.
    pub fn put<T: Serialize + ?Sized>(&self, collection: Collection, key: &str, value: &T) {
        let handed_in =
            change(collection, key, value).and_then(|(place, change)| self.0.desk.hand_in(place, change));
        match handed_in {
            // The queue says once that it is full, and how much was lost when it no longer is.
            Ok(()) | Err(WriteError::QueueFull) => {}
            Err(error) => tracing::warn!("the document {key:?} of {collection} is not kept: {error}"),
        }
    }

    /// Hands a document in, at this call and not when the future is first polled. The future resolves when the
    /// transaction that holds it, and all that was handed in before, is on disk; several share one.
    ///
    /// An error of the disk does not withdraw the document: it stays queued and is tried again.
    pub fn put_synced<T: Serialize + ?Sized>(&self, collection: Collection, key: &str, value: &T) -> Commit {
        let handed_in = change(collection, key, value)
            .and_then(|(place, change)| self.0.desk.hand_in_synced(place, change));
        Commit::of(handed_in)
    }

    /// Removes a document as [`Store::put`] hands one in; one that is not there is no error.
    pub fn remove(&self, collection: Collection, key: &str) {
        // A removal weighs only its key: where even that finds no room, the queue has said so.
        let _ = self.0.desk.hand_in(Place::new(collection, key), Change::Remove);
    }

    /// Resolves when all that was handed in before is on disk.
    pub fn flush(&self) -> Commit {
        Commit::of(self.0.desk.wait())
    }
}

/// A connection that writes to a database that can be read: the one of this path, or an empty one in its place.
fn sound(path: &Path, limits: &Limits) -> Result<rusqlite::Connection, OpenError> {
    folder::make_private(path)?;
    let why = match sqlite::writer(path, limits.database_bytes) {
        Ok(connection) => return Ok(connection),
        Err(trouble @ Trouble::Failed(_)) => return Err(unopened(path, &trouble)),
        Err(Trouble::Unreadable(why)) => why,
    };
    let aside = folder::move_aside(path)?;
    tracing::error!(
        "the state {} cannot be read: {why}. It is kept as {}, and an empty one takes its place",
        path.display(),
        aside.display()
    );
    folder::make_private(path)?;
    sqlite::writer(path, limits.database_bytes).map_err(|trouble| unopened(path, &trouble))
}

fn unopened(path: &Path, trouble: &Trouble) -> OpenError {
    OpenError::Database { path: path.to_owned(), reason: trouble.to_string() }
}

/// A document as the queue takes it.
fn change<T: Serialize + ?Sized>(
    collection: Collection,
    key: &str,
    value: &T,
) -> Result<(Place, Change), WriteError> {
    let json = serde_json::to_string(value).map_err(|error| WriteError::Serialise(error.to_string()))?;
    if json.len() > DOCUMENT_BYTES_MAX || key.len() > KEY_BYTES_MAX {
        return Err(WriteError::TooBig { document_bytes: json.len(), key_bytes: key.len() });
    }
    Ok((Place::new(collection, key), Change::Put(json.into())))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

// === impl Commit ===

impl Commit {
    fn of(handed_in: Result<oneshot::Receiver<Result<(), WriteError>>, WriteError>) -> Self {
        Self(handed_in.map_or_else(State::Refused, State::Waiting))
    }
}

impl Future for Commit {
    type Output = Result<(), WriteError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            // A writer that is gone without an answer has panicked.
            State::Waiting(answer) => {
                Pin::new(answer).poll(context).map(|answer| answer.unwrap_or(Err(WriteError::Closed)))
            }
            State::Refused(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

// === impl Inner ===

impl Drop for Inner {
    fn drop(&mut self) {
        self.desk.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked: what was waiting is lost");
        }
    }
}

#[cfg(test)]
mod tests;
