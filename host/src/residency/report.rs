//! What residency shows of itself: for people (the report) and for the hot path (the doors).
//!
//! Plain values, copied from the planner.

use std::sync::Arc;
use std::time::Duration;

use super::claim::Phase;
use super::gate::Gate;
use crate::id::{InstanceId, ModelId, RequestId, SessionKey};
use crate::model::InstanceState;
use crate::provider::Settings;

/// What is going on in the memory of the devices. What belongs to which of them, the models' providers tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Every provider, by device, in the configured order.
    pub providers: Vec<ProviderEntry>,
    /// What is due at rest; of each device, the one chosen last is last.
    pub baseline: Vec<BaselineEntry>,
    /// What is in memory.
    pub instances: Vec<HeldInstance>,
    /// Who waits; for each device, oldest first.
    pub waiters: Vec<WaiterEntry>,
    /// Swaps under way: of each device one, or one for language models and one for embedding models, at most.
    pub under_way: Vec<UnderWay>,
    /// Turns whose next request is expected or whose route holds.
    pub unfinished_turns: u32,
}

/// A provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderEntry {
    /// The configured name.
    pub name: String,
    /// The device whose memory it uses.
    pub device: String,
    /// Whether it answers.
    pub state: ProviderState,
}

/// Whether a provider answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderState {
    /// It was never heard of.
    Unknown,
    /// It answers.
    Up,
    /// It does not, for this reason.
    Down(String),
}

/// A model that is due at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselineEntry {
    /// The model.
    pub model: ModelId,
    /// How it will be loaded.
    pub settings: Settings,
}

/// An instance in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldInstance {
    /// What the provider calls it.
    pub id: InstanceId,
    /// The model.
    pub model: ModelId,
    /// Where it is in its life.
    pub state: InstanceState,
    /// How it was loaded.
    pub settings: Settings,
    /// Exchanges of this gateway that run on it.
    pub leases: u32,
    /// Who loaded it.
    pub loaded_by: LoadedBy,
    /// The next request of an unfinished turn is expected.
    pub is_wanted: bool,
    /// A turn's route holds it.
    pub is_held: bool,
    /// It is never evicted.
    pub is_pinned: bool,
}

/// Who loaded an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadedBy {
    /// This gateway.
    Gateway,
    /// A person, or another program.
    SomeoneElse,
}

/// Someone who waits.
#[derive(Debug, Clone, PartialEq)]
pub struct WaiterEntry {
    /// The model.
    pub model: ModelId,
    /// Whose conversation; none for wishes.
    pub session: Option<SessionKey>,
    /// Which request; none for wishes.
    pub request: Option<RequestId>,
    /// For how long, from its first claim on.
    pub age: Duration,
    /// Where it stands.
    pub phase: Phase,
}

/// A swap under way.
#[derive(Debug, Clone, PartialEq)]
pub struct UnderWay {
    /// One line for people.
    pub summary: String,
    /// What will be in memory.
    pub model: Option<ModelId>,
    /// What goes.
    pub victims: Vec<InstanceId>,
    /// How long the current step has lasted.
    pub lasts: Duration,
}

/// An instance that claims may enter without asking, while its gate is open.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) gate: Arc<Gate>,
    pub(super) instance: InstanceId,
    /// Estimated prompts of so many tokens need no reload.
    pub(super) serves_up_to: u32,
}

// === impl Report ===

impl Report {
    /// Whether this provider answers; none where no such provider is configured.
    pub fn state_of(&self, provider: &str) -> Option<&ProviderState> {
        self.providers.iter().find(|entry| entry.name == provider).map(|entry| &entry.state)
    }

    /// What another device has to say, after this.
    pub(super) fn extend(&mut self, other: Self) {
        self.providers.extend(other.providers);
        self.baseline.extend(other.baseline);
        self.instances.extend(other.instances);
        self.waiters.extend(other.waiters);
        self.under_way.extend(other.under_way);
        self.unfinished_turns = self.unfinished_turns.saturating_add(other.unfinished_turns);
    }
}
