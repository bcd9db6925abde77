//! Loads: what is asked for, what became of it, and whom a failure concerns (rules 7, 11, 12).
//!
//! A load once sent is awaited. One that no answer came to is searched for in lists, and never sent again while it may
//! still be under way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::list::{LIST_LAG, RELIST_FIRST};
use super::memory::{Held, Owner, State};
use super::pace::Pace;
use super::swap::{Goal, Step, Swap};
use super::{Asked, Effect, Lane, Mutant, Notice, Operation, Planner, Timings, Waiter};
use crate::id::{InstanceId, ModelId};
use crate::model::Kind;
use crate::provider::{Error, LoadRequest, Loaded, Settings};
use crate::residency::claim::{LoadFailure, Reason, Refused};
use crate::residency::gate::Gate;

/// Loads of one swap that may be broken off from outside, as by a cancel in the provider's own window, before it counts
/// as a failure. A crash is never one of them: the same load would crash again.
const BROKEN_OFF_MOST: u32 = 1;

// === impl Planner ===

impl Planner {
    /// Sends the load that the swap is for.
    pub(super) fn begin_load(&mut self, mut swap: Swap) -> Option<Swap> {
        let model = swap.goal.model()?.clone();
        let settings = self.settings_for(&model, matches!(swap.goal, Goal::Restore(_)));
        let operation = Operation(self.tick_clock());
        swap.step = Step::Loading(operation);
        swap.asked_context = settings.context_length;
        swap.since = self.now;
        self.effects.push(Effect::Load(operation, LoadRequest { model, settings }));
        self.published_is_stale = true;
        Some(swap)
    }

    /// How the model is to be loaded: as it was recorded or is configured, with context for those who wait.
    fn settings_for(&self, model: &ModelId, is_restore: bool) -> Settings {
        let recorded = self.baseline.get(model).map(|due| due.settings).unwrap_or_default();
        if is_restore {
            return recorded;
        }
        let configured = self.config.models.get(model).and_then(|model| model.context_length);
        let waiters =
            || self.queue.iter().filter(|waiter| waiter.model() == model && waiter.wants_it_loaded());
        let asked = waiters().filter_map(Waiter::asked_context).max();
        let needed = waiters().map(Waiter::needed_context).max().unwrap_or(0);
        let base = [configured, asked, recorded.context_length].into_iter().flatten().max().unwrap_or(0);
        let most = self.models.get(model).and_then(|known| known.facts.max_context).unwrap_or(u32::MAX);
        Settings { context_length: Some(base.max(needed).min(most)).filter(|it| *it > 0), ..recorded }
    }

    /// A load ended.
    pub(super) fn on_loaded(&mut self, operation: Operation, result: Result<Loaded, Error>) {
        let is_it =
            |lane: &Lane| lane.swap.as_ref().is_some_and(|swap| swap.step == Step::Loading(operation));
        let kinds = [Kind::Language, Kind::Embedding];
        let Some(kind) = kinds.into_iter().find(|kind| is_it(self.lane(*kind))) else { return };
        let Some(mut swap) = self.lane_mut(kind).swap.take() else { return };
        let Some(model) = swap.goal.model().cloned() else { return };
        self.changed = true;
        match result {
            Ok(loaded) => {
                let took = self.now.saturating_duration_since(swap.since);
                swap.timings.loaded = Some(took);
                if let Some(known) = self.models.get_mut(&model) {
                    known.load_time = Some(loaded.took.unwrap_or(took));
                    known.pace = Pace::default();
                }
                let is_final = swap
                    .asked_context
                    .zip(loaded.settings.context_length)
                    .is_some_and(|(asked, got)| got < asked);
                self.insert_loaded(kind, &model, loaded, is_final, &swap);
            }
            Err(error) if error.is_transient() && swap.broken_off < BROKEN_OFF_MOST => {
                swap.broken_off += 1;
                let again = self.begin_confirming(swap);
                self.lane_mut(kind).swap = Some(again);
            }
            Err(Error::TimedOut(_)) => {
                let asked = Asked(self.tick_clock());
                self.link.wanted = Some(asked);
                swap.step = Step::Searching { asked, until: self.now + self.config.load_timeout };
                self.lane_mut(kind).swap = Some(swap);
            }
            Err(error) => {
                if error.is_uncertain() {
                    self.orphans.push(model);
                }
                self.note_error(&error);
                self.fail(kind, &swap.goal, &error);
            }
        }
    }

    /// A load that was lost track of: it may be there, still loading, or have come to nothing.
    pub(super) fn searched(&mut self, kind: Kind, mut swap: Swap, until: Instant) -> Option<Swap> {
        let model = swap.goal.model()?.clone();
        let found =
            self.of_model(&model).find(|(_, held)| held.state == State::Ready).map(|(id, _)| id.clone());
        if let Some(id) = found {
            if let Some(held) = self.instances.get_mut(&id) {
                held.owner = Owner::Gateway;
            }
            self.freeze_batch(&id, &model, swap.timings);
            return None;
        }
        let is_loading = self.of_model(&model).any(|(_, held)| held.state == State::Loading);
        if is_loading && self.now < until {
            let asked = Asked(self.tick_clock());
            swap.step = Step::Searching { asked, until };
            self.want_list_in(RELIST_FIRST);
            return Some(swap);
        }
        self.orphans.push(model);
        self.fail(kind, &swap.goal, &Error::TimedOut(self.config.load_timeout));
        None
    }

    fn insert_loaded(&mut self, kind: Kind, model: &ModelId, loaded: Loaded, is_final: bool, swap: &Swap) {
        let known_since = Asked(self.tick_clock());
        let limit = loaded.parallel.map_or(u32::MAX, std::num::NonZeroU32::get);
        let gate = match self.instances.get(&loaded.instance) {
            Some(held) => Arc::clone(&held.gate),
            None => Arc::new(Gate::new(limit)),
        };
        let held = Held {
            model: model.clone(),
            kind,
            gate,
            state: State::Ready,
            settings: loaded.settings,
            owner: Owner::Gateway,
            context_is_final: is_final,
            closing: false,
            batch: BTreeSet::new(),
            spared_until: None,
            known_since,
            lag_until: self.now + LIST_LAG,
            doubted: None,
        };
        self.tombs.remove(&loaded.instance);
        self.instances.insert(loaded.instance.clone(), held);
        self.published_is_stale = true;
        self.effects.push(Effect::Notice(Notice::Loaded(model.clone(), loaded.instance.clone())));
        self.freeze_batch(&loaded.instance, model, swap.timings);
        self.want_list();
    }

    /// Rule 7: those who wait at this moment are served before the gate may close again.
    pub(super) fn freeze_batch(&mut self, instance: &InstanceId, model: &ModelId, timings: Timings) {
        let mut batch = BTreeSet::new();
        for waiter in &mut self.queue {
            if waiter.model() == model && waiter.wants_it_loaded() {
                waiter.timings = timings;
                batch.insert(waiter.ticket);
            }
        }
        let Some(held) = self.instances.get(instance) else { return };
        batch.retain(|ticket| {
            self.queue.iter().any(|waiter| waiter.ticket == *ticket && self.serves(waiter, held))
        });
        if let Some(held) = self.instances.get_mut(instance) {
            held.batch = batch;
        }
        self.changed = true;
    }

    /// Rule 11: those it was for go to their next candidate, and nobody else is hurt.
    pub(super) fn fail(&mut self, kind: Kind, goal: &Goal, error: &Error) {
        self.changed = true;
        let cause = match error {
            Error::OutOfMemory(_) => LoadFailure::OutOfMemory,
            _ => LoadFailure::Other,
        };
        let now = self.now;
        match goal {
            Goal::Restore(_) | Goal::Clear => self.lane_mut(kind).pace.failed(now, error),
            Goal::Unload(_) => {}
            Goal::Serve(model) => {
                if let Some(known) = self.models.get_mut(model)
                    && cause == LoadFailure::OutOfMemory
                {
                    known.pace.failed(now, error);
                }
            }
        }
        if let (Goal::Restore(model), Error::UnknownModel(_)) = (goal, error) {
            self.baseline.remove(model);
        }
        if self.has(Mutant::ForgetsWaitersOfFailedLoad) {
            let model = goal.model().cloned();
            self.queue.retain(|waiter| Some(waiter.model()) != model.as_ref());
            return;
        }
        let reason = match error {
            Error::Unreachable(message) => Reason::ProviderDown { message: message.clone() },
            error => Reason::LoadFailed { message: error.to_string(), cause },
        };
        let retry_after = goal.model().and_then(|model| self.models.get(model)?.pace.left(now));
        let refused = Refused { reason, retry_after };
        match goal {
            Goal::Unload(ticket) => self.refuse(*ticket, refused),
            Goal::Clear => {}
            Goal::Serve(model) | Goal::Restore(model) => {
                self.refuse_all(&refused, |planner, waiter| {
                    waiter.model() == model && planner.needs_load(waiter)
                });
            }
        }
    }
}
