//! Room: what models take of the device's memory, and whether they fit into it together.
//!
//! There are two ways to count. By number, each kind of model has its own places. By size, all share the device's
//! bytes, a model takes its size and a margin, and embedding models have their number besides. What shares room is a
//! lane, and in a lane one swap runs at a time, so that two swaps never rely on the same room.
//!
//! What is not known exactly is taken in a way that lets it be tried: the provider has the last word (rule 11).

use std::time::Instant;

use super::memory::Held;
use super::pace::Pace;
use super::server::InstanceKey;
use super::swap::Swap;
use super::{Mutant, Planner};
use crate::id::ModelId;
use crate::model::Kind;

/// What shares room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// By number: the language models.
    Language,
    /// By number: the embedding models.
    Embedding,
    /// By size: all of them.
    Whole,
}

/// What goes on in a lane.
#[derive(Debug, Default)]
pub(super) struct LaneState {
    pub(super) swap: Option<Swap>,
    /// Since when nobody needs anything but the baseline.
    pub(super) at_rest_since: Option<Instant>,
    /// After failing to go back to the baseline.
    pub(super) pace: Pace,
    /// What could not be put back, since something could.
    pub(super) unrestorable: Vec<ModelId>,
}

/// What one instance takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weight {
    kind: Kind,
    bytes: u64,
}

/// What a model takes besides its size, at any size: the context of one agent and the engine's own buffers.
const MARGIN_BYTES: u64 = 512 << 20;

/// What a model takes besides its size, in parts of that: caches and buffers that grow with it.
const MARGIN_DIVISOR: u64 = 5;

// === impl Planner: lanes ===

impl Planner {
    /// Every lane of the device.
    pub(super) fn lanes(&self) -> &'static [Lane] {
        match self.config.memory {
            Some(_) => &[Lane::Whole],
            None => &[Lane::Language, Lane::Embedding],
        }
    }

    /// The lane of a kind of model.
    pub(super) fn lane_of(&self, kind: Kind) -> Lane {
        match (self.config.memory, kind) {
            (Some(_), _) => Lane::Whole,
            (None, Kind::Language) => Lane::Language,
            (None, Kind::Embedding) => Lane::Embedding,
        }
    }

    /// The lane of a model.
    pub(super) fn lane_for(&self, model: &ModelId) -> Lane {
        self.lane_of(self.kind_of(model))
    }

    pub(super) fn lane(&self, lane: Lane) -> &LaneState {
        match lane {
            Lane::Language | Lane::Whole => &self.language,
            Lane::Embedding => &self.embedding,
        }
    }

    pub(super) fn lane_mut(&mut self, lane: Lane) -> &mut LaneState {
        match lane {
            Lane::Language | Lane::Whole => &mut self.language,
            Lane::Embedding => &mut self.embedding,
        }
    }

    /// No swap is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.language.swap.is_none() && self.embedding.swap.is_none()
    }

    /// Instances that take room in a lane. What a provider held that does not answer is presumably gone with it, and what
    /// one looks after itself is none of ours.
    pub(super) fn of_lane(&self, lane: Lane) -> impl Iterator<Item = (&InstanceKey, &Held)> {
        self.instances.iter().filter(move |(key, held)| {
            self.lane_of(held.kind) == lane
                && self.is_up(key.provider)
                && !self.looks_after_itself(key.provider)
        })
    }
}

// === impl Planner: room ===

impl Planner {
    /// What an instance of the model takes.
    pub(super) fn weight(&self, model: &ModelId, kind: Kind) -> Weight {
        let memory = self.config.memory.map_or(u64::MAX, std::num::NonZeroU64::get);
        let size = self.models.get(model).and_then(|known| known.facts.size_bytes);
        let bytes = match (size, kind) {
            (Some(size), _) if self.has(Mutant::MarginIgnored) => size,
            (Some(size), _) => size.saturating_add(size / MARGIN_DIVISOR).saturating_add(MARGIN_BYTES),
            // It may be anything: tried alone, it shows.
            (None, Kind::Language) => memory,
            // These are small, and no language model may push them out: one that counted as everything would keep
            // every language model from its memory for good.
            (None, Kind::Embedding) => MARGIN_BYTES,
        };
        Weight { kind, bytes: bytes.min(memory) }
    }

    pub(super) fn weight_of(&self, held: &Held) -> Weight {
        self.weight(&held.model, held.kind)
    }

    /// All of these fit together.
    pub(super) fn fit(&self, all: &[Weight]) -> bool {
        let count = |kind| all.iter().filter(|weight| weight.kind == kind).count();
        let is_within = |kind| self.places(kind).is_none_or(|places| count(kind) <= places);
        is_within(Kind::Language) && is_within(Kind::Embedding) && self.fit_in_bytes(all)
    }

    /// One more fits beside these. How many there are of the other kind is not its concern: people may overfill.
    pub(super) fn has_room_for(&self, goal: Weight, beside: impl Iterator<Item = Weight>) -> bool {
        let all: Vec<Weight> = beside.chain([goal]).collect();
        let count = all.iter().filter(|weight| weight.kind == goal.kind).count();
        self.places(goal.kind).is_none_or(|places| count <= places) && self.fit_in_bytes(&all)
    }

    /// By number, or both: how many of a kind may be in memory by our doing.
    fn places(&self, kind: Kind) -> Option<usize> {
        let count = match kind {
            Kind::Language if self.config.memory.is_some() => return None,
            Kind::Language => self.config.max_loaded,
            Kind::Embedding => self.config.max_loaded_embeddings,
        };
        Some(usize::try_from(count.get()).unwrap_or(usize::MAX))
    }

    fn fit_in_bytes(&self, all: &[Weight]) -> bool {
        let Some(memory) = self.config.memory.map(std::num::NonZeroU64::get) else { return true };
        let sum = |kind: Option<Kind>| {
            let those = all.iter().filter(|weight| kind.is_none_or(|kind| weight.kind == kind));
            those.fold(0_u64, |sum, weight| sum.saturating_add(weight.bytes))
        };
        if sum(None) <= memory {
            return true;
        }
        // What takes everything, or might, can only be tried: with no other language model, beside the embedding
        // models, which do not go for it.
        let mut language = all.iter().filter(|weight| weight.kind == Kind::Language);
        let is_alone =
            language.next().is_some_and(|first| first.bytes == memory) && language.next().is_none();
        is_alone && sum(Some(Kind::Embedding)) <= memory
    }
}
