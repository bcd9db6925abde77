//! Loads: what is asked for, what became of it, and whom a failure concerns (rules 7, 11, 12).
//!
//! A load once sent is awaited. One that no answer came to is searched for in lists, and never sent again while it may
//! still be under way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::list::LIST_LAG;
use super::memory::{Held, Lapse, Owner, Seen, State};
use super::pace::Pace;
use super::room::Lane;
use super::server::{InstanceKey, ProviderIndex};
use super::swap::{Goal, Step, Swap};
use super::{Asked, Effect, Mutant, Notice, Operation, Planner, Timings, Waiter};
use crate::id::ModelId;
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
        let provider = self.provider_of(&model)?;
        let settings = self.settings_for(&model, matches!(swap.goal, Goal::Restore(_)));
        let operation = Operation(self.tick_clock());
        swap.step = Step::Loading(operation);
        swap.asked_context = settings.context_length;
        swap.since = self.now;
        self.effects.push(Effect::Load(provider, operation, LoadRequest { model, settings }));
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
        self.was_loaded_behind(operation);
        let is_it = |lane: &&Lane| {
            let swap = self.lane(**lane).swap.as_ref();
            swap.is_some_and(|swap| swap.step == Step::Loading(operation))
        };
        let Some(lane) = self.lanes().iter().find(is_it).copied() else { return };
        let Some(mut swap) = self.lane_mut(lane).swap.take() else { return };
        let Some(model) = swap.goal.model().cloned() else { return };
        let Some(provider) = self.provider_of(&model) else { return };
        self.changed = true;
        match self.verified(&model, result) {
            Ok(loaded) => {
                let took = self.now.saturating_duration_since(swap.since);
                swap.timings.loaded = Some(took);
                if let Some(known) = self.models.get_mut(&model) {
                    known.load_time = Some(loaded.took.unwrap_or(took));
                    known.pace = Pace::default();
                    self.durable.note_models(provider);
                }
                let is_final = swap
                    .asked_context
                    .zip(loaded.settings.context_length)
                    .is_some_and(|(asked, got)| got < asked);
                self.lane_mut(lane).unrestorable.clear();
                self.insert_loaded(provider, &model, loaded, is_final, &swap);
            }
            Err(error) if error.is_transient() && swap.broken_off < BROKEN_OFF_MOST => {
                swap.broken_off += 1;
                let again = self.begin_confirming(swap);
                self.lane_mut(lane).swap = Some(again);
            }
            Err(Error::TimedOut(_)) => {
                self.await_list(&mut swap, provider);
                swap.step = Step::Searching { until: self.now + self.config.load_timeout };
                self.lane_mut(lane).swap = Some(swap);
            }
            Err(error) => {
                if error.is_uncertain() {
                    self.note_orphan(model);
                }
                // What lists showed of this model meanwhile was taken for our own load; so was somebody else's.
                self.want_list(provider);
                self.fail(lane, &swap.goal, &error);
            }
        }
    }

    /// A server may load another model than it was asked for and say so only by the instance's name (seen of one beta of
    /// LM Studio). What came is ours all the same, and goes again at rest.
    fn verified(&mut self, model: &ModelId, result: Result<Loaded, Error>) -> Result<Loaded, Error> {
        let loaded = result?;
        let id = loaded.instance.as_str();
        let key =
            id.rsplit_once(':').filter(|(_, nth)| nth.parse::<u32>().is_ok()).map_or(id, |(key, _)| key);
        let named = ModelId::of(model.provider(), key);
        if named == *model || !self.models.contains_key(&named) {
            return Ok(loaded);
        }
        let message = format!("{key} was loaded in the place of {}", model.key());
        self.note_orphan(named);
        Err(Error::WrongModel(message))
    }

    /// A load that was lost track of: it may be there, still loading, or have come to nothing.
    pub(super) fn searched(&mut self, lane: Lane, mut swap: Swap, until: Instant) -> Option<Swap> {
        let model = swap.goal.model()?.clone();
        let provider = self.provider_of(&model)?;
        let found =
            self.of_model(&model).find(|(_, held)| held.state == State::Ready).map(|(key, _)| key.clone());
        if let Some(key) = found {
            if let Some(held) = self.instances.get_mut(&key) {
                held.owner = Owner::Gateway;
            }
            self.freeze_batch(&key, &model, swap.timings);
            return None;
        }
        let is_loading = self.of_model(&model).any(|(_, held)| held.state == State::Loading);
        if is_loading && self.now < until {
            self.await_list_in(&mut swap, provider);
            return Some(swap);
        }
        self.note_orphan(model);
        self.fail(lane, &swap.goal, &Error::TimedOut(self.config.load_timeout));
        None
    }

    fn insert_loaded(
        &mut self,
        provider: ProviderIndex,
        model: &ModelId,
        loaded: Loaded,
        is_final: bool,
        swap: &Swap,
    ) {
        let key = InstanceKey { provider, id: loaded.instance };
        let known_since = Asked(self.tick_clock());
        let limit = loaded.parallel.map_or(u32::MAX, std::num::NonZeroU32::get);
        let gate = match self.instances.get(&key) {
            Some(held) => Arc::clone(&held.gate),
            None => Arc::new(Gate::new(limit)),
        };
        let held = Held {
            gate,
            settings: loaded.settings,
            context_is_final: is_final,
            lag_until: self.now + LIST_LAG,
            seen: Seen::Told,
            lapse: self.lapse_of(model),
            ..Held::new(model.clone(), self.kind_of(model), Owner::Gateway, known_since, self.now)
        };
        self.tombs.remove(&key);
        // What was lost track of before is not waited for any more: it is there.
        self.orphans.remove(model);
        self.instances.insert(key.clone(), held);
        self.published_is_stale = true;
        self.effects.push(Effect::Notice(Notice::Loaded(model.clone(), key.id.clone())));
        self.freeze_batch(&key, model, swap.timings);
        self.want_list(provider);
    }

    /// A model that is due for a while only, which begins when it is back.
    pub(super) fn lapse_of(&self, model: &ModelId) -> Option<Lapse> {
        let rest = self.baseline.get(model)?.ttl?;
        Some(Lapse { rest, idle_since: self.now })
    }

    /// Rule 7: those who wait at this moment are served before the gate may close again.
    pub(super) fn freeze_batch(&mut self, instance: &InstanceKey, model: &ModelId, timings: Timings) {
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
    pub(super) fn fail(&mut self, lane: Lane, goal: &Goal, error: &Error) {
        self.changed = true;
        let cause = match error {
            Error::OutOfMemory(_) => LoadFailure::OutOfMemory,
            _ => LoadFailure::Other,
        };
        let now = self.now;
        match goal {
            Goal::Restore(model) => {
                let lane = self.lane_mut(lane);
                lane.pace.failed(now, error);
                if !lane.unrestorable.contains(model) {
                    lane.unrestorable.push(model.clone());
                }
            }
            Goal::Clear => self.lane_mut(lane).pace.failed(now, error),
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
