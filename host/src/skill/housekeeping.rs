//! What is done for skills beside requests: events are told, spares are made. One future, which `app` runs; both queues
//! are bounded and those who fill them never wait.
//!
//! Events are told in order, to the generation that is current when their turn comes. One that does not fit into the
//! queue is lost, and that is logged.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::generation::Generation;
use super::pool::Pool;
use crate::turn::event::Event;

/// Where to tell what happened; clones share the queue.
#[derive(Clone)]
pub struct EventSender {
    queue: mpsc::Sender<Event>,
    lost: Arc<AtomicU64>,
}

/// The work beside requests, to be run.
#[must_use = "events are told and spares made only while it runs"]
pub struct Housekeeping {
    current: Arc<ArcSwap<Generation>>,
    events: mpsc::Receiver<Event>,
    refills: mpsc::Receiver<Weak<Pool>>,
}

/// Events that wait to be told; a burst of discovery is a few hundred.
const EVENTS_MAX: usize = 1024;

// === impl EventSender ===

impl EventSender {
    /// Tells what happened, without waiting. Where too much waits to be told already, the event is lost.
    pub fn send(&self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(event) {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            // The first, then ever fewer: a stalled skill must not fill the log.
            if lost.is_power_of_two() {
                tracing::warn!("skills are told too slowly what happened; {lost} events are lost");
            }
        }
    }

    /// Events that did not fit into the queue.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

// === impl Housekeeping ===

impl Housekeeping {
    pub(super) fn new(
        current: Arc<ArcSwap<Generation>>,
        refills: mpsc::Receiver<Weak<Pool>>,
    ) -> (EventSender, Self) {
        let (queue, events) = mpsc::channel(EVENTS_MAX);
        (EventSender { queue, lost: Arc::default() }, Self { current, events, refills })
    }

    /// Runs until the skills and all their event senders are gone.
    pub async fn run(self) {
        let Self { current, mut events, mut refills } = self;
        let telling = async {
            while let Some(event) = events.recv().await {
                let generation = current.load_full();
                generation.notify(&event).await;
            }
        };
        let refilling = async {
            while let Some(pool) = refills.recv().await {
                let Some(pool) = pool.upgrade() else { continue };
                if let Err(error) = pool.fill().await {
                    tracing::warn!("no spare instance could be made: the skill {error}");
                }
            }
            std::future::pending::<()>().await;
        };
        futures_util::future::select(pin!(telling), pin!(refilling)).await;
    }
}
