//! What is read without asking: one snapshot of all devices, put together anew whenever one of them publishes its part.
//!
//! Reading is wait-free. Publishing takes a short lock that no reader and no `.await` ever holds, so that parts of two
//! devices cannot overtake each other. Nothing is decided here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::broadcast;

use super::claim::Notice;
use super::gate::Gate;
use super::lease::Outbox;
use super::plan::{Planner, Ticket};
use super::report::Door;
use crate::id::ModelId;
use crate::model::{Directory, InFlight, Model};

/// What handles and owners share.
pub(super) struct Public {
    snapshot: ArcSwap<Snapshot>,
    parts: Mutex<Parts>,
    notices: broadcast::Sender<Notice>,
    tickets: AtomicU64,
}

/// What is read without asking.
#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) directory: Arc<Directory>,
    pub(super) doors: HashMap<ModelId, Doors>,
}

/// The open doors of a model, and whom those must tell who leave by them.
#[derive(Clone)]
pub(super) struct Doors {
    pub(super) doors: Vec<Door>,
    pub(super) outbox: Arc<Outbox>,
}

/// One device's place among what is published.
pub(super) struct Part {
    public: Arc<Public>,
    device: String,
}

/// What is put together.
#[derive(Default)]
struct Parts {
    /// The devices, in the configured order.
    order: Vec<String>,
    shown: HashMap<String, Arc<Shown>>,
    aliases: Vec<(String, String)>,
    /// A new arrangement is being made, and is not shown before it is.
    is_still: bool,
}

/// While it is there, what is shown does not change.
#[must_use = "what happens is shown again when this is dropped"]
pub(super) struct Still(Arc<Public>);

/// What one device shows.
#[derive(Default)]
struct Shown {
    models: Vec<Model>,
    held_elsewhere: Vec<ModelId>,
    due: Vec<ModelId>,
    doors: HashMap<ModelId, Doors>,
    gates: HashMap<ModelId, Vec<Arc<Gate>>>,
    /// Names that displaced instances had, and what they stand for.
    names: Vec<(String, String)>,
}

/// Counts leases at the gates, of every model that has one, device by device.
struct AtGates(Vec<Arc<Shown>>);

/// Notices kept for a listener that lags behind; the oldest are lost to it then.
const NOTICES: usize = 256;

// === impl Public ===

impl Public {
    pub(super) fn new() -> Self {
        let (notices, _) = broadcast::channel(NOTICES);
        Self { snapshot: ArcSwap::default(), parts: Mutex::default(), notices, tickets: AtomicU64::new(0) }
    }

    /// These devices are shown from now on, in this order, and these names for their models.
    pub(super) fn arrange(&self, order: Vec<String>, aliases: Vec<(String, String)>) {
        let mut parts = self.parts();
        parts.shown.retain(|device, _| order.contains(device));
        (parts.order, parts.aliases) = (order, aliases);
        self.show(&parts);
    }

    /// What is shown stays as it is until this is dropped: nobody sees half of a new arrangement.
    pub(super) fn hold_still(self: &Arc<Self>) -> Still {
        self.parts().is_still = true;
        Still(self.clone())
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, parts: &Parts) {
        if !parts.is_still {
            self.snapshot.store(Arc::new(parts.merged()));
        }
    }

    pub(super) fn part(self: &Arc<Self>, device: &str) -> Part {
        Part { public: self.clone(), device: device.to_owned() }
    }

    /// The newest snapshot.
    pub(super) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(super) fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    pub(super) fn next_ticket(&self) -> Ticket {
        Ticket(self.tickets.fetch_add(1, Ordering::Relaxed))
    }
}

// === impl Still ===

impl Drop for Still {
    fn drop(&mut self) {
        let mut parts = self.0.parts();
        parts.is_still = false;
        self.0.show(&parts);
    }
}

// === impl Parts ===

impl Parts {
    fn merged(&self) -> Snapshot {
        let parts: Vec<Arc<Shown>> =
            self.order.iter().filter_map(|device| self.shown.get(device)).cloned().collect();
        let models = parts.iter().flat_map(|part| part.models.iter().cloned()).collect();
        // What is due counts for more than what servers hold that look after it themselves, and the last for most.
        let held = parts.iter().flat_map(|part| &part.held_elsewhere);
        let due = held.chain(parts.iter().flat_map(|part| &part.due)).cloned().collect();
        let doors: HashMap<ModelId, Doors> = parts
            .iter()
            .flat_map(|part| part.doors.iter().map(|(model, doors)| (model.clone(), doors.clone())))
            .collect();
        // What is configured comes first, so that a lost name never changes what a person wrote.
        let names = parts.iter().flat_map(|part| part.names.iter().cloned());
        let aliases = self.aliases.iter().cloned().chain(names).collect();
        let directory =
            Directory::new(models, aliases).with_due(due).with_in_flight(Arc::new(AtGates(parts)));
        Snapshot { directory: Arc::new(directory), doors }
    }
}

// === impl Part ===

impl Part {
    /// Shows the device as it is now.
    pub(super) fn publish(&self, planner: &Planner, outbox: &Arc<Outbox>) {
        let doors = planner.doors().into_iter();
        let shown = Shown {
            models: planner.describe_models(),
            held_elsewhere: planner.held_elsewhere(),
            due: planner.due(),
            doors: doors.map(|(model, doors)| (model, Doors { doors, outbox: outbox.clone() })).collect(),
            gates: planner.gates_of_models(),
            names: planner
                .lost_names()
                .iter()
                .map(|it| (it.name.to_string(), it.model.to_string()))
                .collect(),
        };
        let mut parts = self.public.parts();
        parts.shown.insert(self.device.clone(), Arc::new(shown));
        self.public.show(&parts);
    }

    /// Tells whoever listens; nobody has to.
    pub(super) fn notify(&self, notice: Notice) {
        let _ = self.public.notices.send(notice);
    }
}

// === impl AtGates ===

impl InFlight for AtGates {
    fn of(&self, model: &ModelId) -> u32 {
        let gates = self.0.iter().filter_map(|shown| shown.gates.get(model)).flatten();
        gates.fold(0, |sum, gate| sum.saturating_add(gate.count()))
    }
}
