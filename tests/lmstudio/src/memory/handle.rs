//! How everyone who uses an instance holds it: waiting for its load, its end, a place in its queue.
//!
//! A handle keeps nothing in memory: it only learns at once when the instance is gone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::{Ending, Phase};
use crate::config::Model;
use crate::engine::Seat;

/// One user's view of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(crate) id: Arc<str>,
    pub(crate) model: Arc<Model>,
    pub(crate) context_length: u32,
    /// Requests it works on at once.
    pub(crate) places: u32,
    pub(crate) seat: Arc<Seat>,
    /// When it was last asked for or done with a request.
    pub(super) used: Arc<watch::Sender<Instant>>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) slots: Arc<Semaphore>,
}

/// A place among the requests that an instance works on at once; given back when dropped, which begins its idle time.
#[derive(Debug)]
pub(crate) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    used: Arc<watch::Sender<Instant>>,
}

// === impl Handle ===

impl Handle {
    /// It answers, or did.
    pub(crate) fn is_settled(&self) -> bool {
        *self.phase.borrow() != Phase::Loading
    }

    /// It works on nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots.available_permits() == self.places as usize
    }

    /// Sets its idle clock back.
    pub(crate) fn touch(&self) {
        self.used.send_replace(Instant::now());
    }

    /// Follows its idle clock.
    pub(crate) fn follow_use(&self) -> watch::Receiver<Instant> {
        self.used.subscribe()
    }

    /// A place if one is free now.
    pub(crate) fn place_now(&self) -> Option<Place> {
        let permit = self.slots.clone().try_acquire_owned().ok()?;
        Some(Place { permit: Some(permit), used: self.used.clone() })
    }

    /// A place when one is free.
    pub(crate) async fn place(&self) -> Place {
        // The queue itself is never closed.
        Place { permit: self.slots.clone().acquire_owned().await.ok(), used: self.used.clone() }
    }

    /// Why it is gone, if it is.
    pub(crate) fn ending(&self) -> Option<Ending> {
        match &*self.phase.borrow() {
            Phase::Gone(ending) => Some(ending.clone()),
            Phase::Loading | Phase::Ready => None,
        }
    }

    /// Until it is ready or gone.
    pub(crate) async fn settled(&mut self) -> Result<(), Ending> {
        match self.phase.wait_for(|phase| *phase != Phase::Loading).await.as_deref() {
            Ok(Phase::Gone(ending)) => Err(ending.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(Ending::Canceled),
        }
    }

    /// Until it is gone.
    pub(crate) async fn gone(&mut self) -> Ending {
        match self.phase.wait_for(|phase| matches!(phase, Phase::Gone(_))).await.as_deref() {
            Ok(Phase::Gone(ending)) => ending.clone(),
            _ => Ending::Unloaded,
        }
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        // First free, then seen to be free.
        drop(self.permit.take());
        self.used.send_replace(Instant::now());
    }
}
