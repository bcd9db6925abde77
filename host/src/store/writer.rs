//! The desk at which changes are handed in, and the thread behind it that writes them.
//!
//! The lock is held for as long as the queue takes, never across the disk. The thread sleeps while nothing waits: an idle
//! store has no timer. It ends when the store is closed and what was waiting then has been tried once more.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::queue::{Batch, Change, FirstDropped, Limits, Place, Queue, Turned, Urgency};
use super::sqlite::{self, Shared};
use super::{Collection, WriteError};

/// What handles and writer share.
pub(super) struct Desk {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Where a commit's result arrives.
type Answer = oneshot::Receiver<Result<(), WriteError>>;

// === impl Desk ===

impl Desk {
    pub(super) fn new(limits: Limits) -> Self {
        Self { queue: Mutex::new(Queue::new(limits)), changed: Condvar::new() }
    }

    /// Hands a change in without waiting.
    pub(super) fn hand_in(&self, place: Place, change: Change) -> Result<(), WriteError> {
        let mut queue = self.queue();
        let was_idle = queue.is_idle();
        let put = queue.put(place, change, Urgency::Soon);
        let is_due = was_idle || queue.is_due();
        drop(queue);
        if is_due {
            self.changed.notify_one();
        }
        put.map_err(refused)
    }

    /// Hands a change in and waits for it, and for all before it.
    pub(super) fn hand_in_synced(&self, place: Place, change: Change) -> Result<Answer, WriteError> {
        let mut queue = self.queue();
        let answer = queue.wait().ok_or(WriteError::QueueFull)?;
        let put = queue.put(place, change, Urgency::Synced);
        drop(queue);
        self.changed.notify_one();
        put.map(|()| answer).map_err(refused)
    }

    /// Waits for all that was handed in.
    pub(super) fn wait(&self) -> Result<Answer, WriteError> {
        let answer = self.queue().wait().ok_or(WriteError::QueueFull)?;
        self.changed.notify_one();
        Ok(answer)
    }

    /// Nothing follows: the thread writes what waits and ends.
    pub(super) fn close(&self) {
        self.queue().close();
        self.changed.notify_one();
    }

    /// The last change of a document that is not known to be on disk.
    pub(super) fn find(&self, place: &Place) -> Option<Change> {
        self.queue().find(place)
    }

    /// All of them in a collection.
    pub(super) fn of(&self, collection: Collection) -> BTreeMap<String, Change> {
        self.queue().of(collection)
    }

    /// The thread: writes batches until the store is closed.
    pub(super) fn run(&self, connection: &Shared) {
        loop {
            let batch = self.next();
            let is_last = batch.is_last;
            self.settle(batch, connection);
            if is_last {
                return;
            }
        }
    }

    /// Waits for the next batch.
    fn next(&self) -> Batch {
        let queue = self.queue();
        let queue =
            self.changed.wait_while(queue, |queue| queue.is_idle()).unwrap_or_else(PoisonError::into_inner);
        let linger = queue.linger();
        let (mut queue, _) = self
            .changed
            .wait_timeout_while(queue, linger, |queue| !queue.is_due())
            .unwrap_or_else(PoisonError::into_inner);
        queue.take()
    }

    /// Writes a batch and tells those who wait for it.
    fn settle(&self, batch: Batch, connection: &Shared) {
        let Batch { changes, waiters, is_last } = batch;
        let count = changes.len();
        let written = sqlite::write(connection, &changes);
        // The queue wants the changes back without copying them.
        drop(changes);
        let answer = match &written {
            Ok(()) => {
                self.written();
                Ok(())
            }
            Err(error) => {
                let error = WriteError::from(error);
                self.failed(&error);
                if is_last && count > 0 {
                    tracing::error!("{count} changes of the state are lost: {error}");
                }
                Err(error)
            }
        };
        for waiter in waiters {
            // Whoever no longer waits needs no answer.
            let _ = waiter.send(answer.clone());
        }
    }

    fn written(&self) {
        let (turned, dropped) = self.queue().written();
        if turned == Turned::Well {
            tracing::info!("the state is written again");
        }
        if dropped > 0 {
            tracing::warn!("{dropped} changes of the state found no room to wait and were dropped");
        }
    }

    fn failed(&self, error: &WriteError) {
        if self.queue().failed() == Turned::Failing {
            tracing::error!("{error}. It is tried again until it succeeds; serving goes on");
        }
    }

    #[cfg(test)]
    pub(super) fn is_failing(&self) -> bool {
        self.queue().is_failing()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first change that finds no room is logged, the others are counted.
fn refused(first: Option<FirstDropped>) -> WriteError {
    if let Some(FirstDropped) = first {
        tracing::warn!("too much waits to be written: changes of the state are dropped until it is");
    }
    WriteError::QueueFull
}
