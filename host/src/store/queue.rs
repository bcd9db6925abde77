//! What waits to be written: a pure queue in which a later change of a document takes the place of an earlier one.
//!
//! The writer takes all of it at once, so whoever waits for one change has waited for all before it. What is being
//! written stays visible until it is on disk, and comes back when it could not be written. Bounded by [`Limits`]; knows no
//! clock, no thread and no disk.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Collection, DATABASE_BYTES_MAX, DOCUMENT_BYTES_MAX, WriteError};

/// A document's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) collection: Collection,
    pub(super) key: String,
}

/// What becomes of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// This JSON replaces what is there.
    Put(Arc<str>),
    Remove,
}

/// Changes by document, each at most once.
pub(super) type Changes = BTreeMap<Place, Change>;

/// Whoever waits for a commit.
pub(super) type Waiter = oneshot::Sender<Result<(), WriteError>>;

/// Whether somebody waits for a change. What is waited for has room of its own, so that a flood of the other kind cannot
/// keep it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    Soon,
    Synced,
}

/// How much may wait, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the first change that waits to its commit.
    pub(super) linger: Duration,
    /// From a failed commit to the next, unless somebody waits for one.
    pub(super) retry: Duration,
    /// Changes that are written without lingering.
    pub(super) batch: usize,
    /// Changes that may wait.
    pub(super) changes: usize,
    /// Bytes of keys and documents that may wait.
    pub(super) bytes: usize,
    /// Changes above `changes` for those that are waited for, and waiters.
    pub(super) reserve: usize,
    /// Bytes above `bytes` for those that are waited for.
    pub(super) reserve_bytes: usize,
    /// Size of the database.
    pub(super) database_bytes: u64,
}

/// See the head of the file.
pub(super) struct Queue {
    limits: Limits,
    waiting: Changes,
    waiting_bytes: usize,
    writing: Arc<Changes>,
    writing_bytes: usize,
    waiters: Vec<Waiter>,
    /// Changes that found no room since the last commit.
    dropped: u64,
    disk: Disk,
    is_closed: bool,
}

/// How the last commit went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Well,
    Failing,
}

/// What one transaction writes.
pub(super) struct Batch {
    pub(super) changes: Arc<Changes>,
    pub(super) waiters: Vec<Waiter>,
    /// The store is closed and nothing can follow.
    pub(super) is_last: bool,
}

/// What a commit changed, for the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// It went as the one before.
    Same,
    /// The first to fail.
    Failing,
    /// The first to succeed again.
    Well,
}

/// The first change to find no room since the last commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FirstDropped;

// === impl Place ===

impl Place {
    pub(super) fn new(collection: Collection, key: &str) -> Self {
        Self { collection, key: key.to_owned() }
    }

    fn bytes(&self, change: &Change) -> usize {
        let document = match change {
            Change::Put(json) => json.len(),
            Change::Remove => 0,
        };
        self.key.len() + document
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(1),
            retry: Duration::from_secs(5),
            batch: 256,
            changes: 4_096,
            bytes: 32 << 20,
            reserve: 256,
            reserve_bytes: 8 * DOCUMENT_BYTES_MAX,
            database_bytes: DATABASE_BYTES_MAX,
        }
    }
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: Changes::new(),
            waiting_bytes: 0,
            writing: Arc::default(),
            writing_bytes: 0,
            waiters: Vec::new(),
            dropped: 0,
            disk: Disk::Well,
            is_closed: false,
        }
    }

    /// Takes a change, in place of one of the same document. Where there is no room it is dropped, and an earlier one of
    /// that document stays.
    pub(super) fn put(
        &mut self,
        place: Place,
        change: Change,
        urgency: Urgency,
    ) -> Result<(), Option<FirstDropped>> {
        let freed = self.waiting.get(&place).map(|earlier| place.bytes(earlier));
        let bytes = self.waiting_bytes + place.bytes(&change) - freed.unwrap_or(0);
        let changes = self.waiting.len() + usize::from(freed.is_none());
        let (more, more_bytes) = match urgency {
            Urgency::Soon => (0, 0),
            Urgency::Synced => (self.limits.reserve, self.limits.reserve_bytes),
        };
        let fits = changes + self.writing.len() <= self.limits.changes + more;
        let fits_bytes = bytes + self.writing_bytes <= self.limits.bytes + more_bytes;
        if !(fits || freed.is_some()) || !fits_bytes {
            self.dropped += 1;
            return Err((self.dropped == 1).then_some(FirstDropped));
        }
        self.waiting.insert(place, change);
        self.waiting_bytes = bytes;
        Ok(())
    }

    /// Waits for the commit of all that is here; none where too many wait already.
    pub(super) fn wait(&mut self) -> Option<oneshot::Receiver<Result<(), WriteError>>> {
        if self.waiters.len() >= self.limits.reserve {
            // Those who stopped waiting give up their places only when they are needed.
            self.waiters.retain(|waiter| !waiter.is_closed());
        }
        if self.waiters.len() >= self.limits.reserve {
            return None;
        }
        let (waiter, answer) = oneshot::channel();
        self.waiters.push(waiter);
        Some(answer)
    }

    /// Nothing follows.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// The last change of a document that is not known to be on disk.
    pub(super) fn find(&self, place: &Place) -> Option<Change> {
        self.waiting.get(place).or_else(|| self.writing.get(place)).cloned()
    }

    /// All of them in a collection.
    pub(super) fn of(&self, collection: Collection) -> BTreeMap<String, Change> {
        let both = self.writing.iter().chain(&self.waiting);
        both.filter(|(place, _)| place.collection == collection)
            .map(|(place, change)| (place.key.clone(), change.clone()))
            .collect()
    }

    /// There is nothing to do for the writer.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.waiters.is_empty() && !self.is_closed
    }

    /// The writer should not linger.
    pub(super) fn is_due(&self) -> bool {
        let is_much = self.waiting.len() >= self.limits.batch || self.waiting_bytes >= self.limits.bytes / 2;
        // A disk that fails is not asked more often because more waits for it.
        self.is_closed || !self.waiters.is_empty() || (self.disk == Disk::Well && is_much)
    }

    #[cfg(test)]
    pub(super) fn is_failing(&self) -> bool {
        self.disk == Disk::Failing
    }

    /// How long the writer waits for more.
    pub(super) fn linger(&self) -> Duration {
        match self.disk {
            Disk::Well => self.limits.linger,
            Disk::Failing => self.limits.retry,
        }
    }

    /// All that waits, and all who wait for it.
    pub(super) fn take(&mut self) -> Batch {
        self.writing = Arc::new(mem::take(&mut self.waiting));
        self.writing_bytes = mem::take(&mut self.waiting_bytes);
        Batch {
            changes: self.writing.clone(),
            waiters: mem::take(&mut self.waiters),
            is_last: self.is_closed,
        }
    }

    /// The batch is on disk; how many changes found no room until now.
    pub(super) fn written(&mut self) -> (Turned, u64) {
        self.writing = Arc::default();
        self.writing_bytes = 0;
        let turned = if self.disk == Disk::Well { Turned::Same } else { Turned::Well };
        self.disk = Disk::Well;
        (turned, mem::take(&mut self.dropped))
    }

    /// The batch is not on disk: it waits again, behind what came for the same documents since.
    pub(super) fn failed(&mut self) -> Turned {
        let taken = mem::take(&mut self.writing);
        self.writing_bytes = 0;
        for (place, change) in Arc::unwrap_or_clone(taken) {
            let bytes = place.bytes(&change);
            self.waiting.entry(place).or_insert_with(|| {
                self.waiting_bytes += bytes;
                change
            });
        }
        let turned = if self.disk == Disk::Failing { Turned::Same } else { Turned::Failing };
        self.disk = Disk::Failing;
        turned
    }
}

#[cfg(test)]
mod tests;
