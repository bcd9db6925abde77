//! The way back to the baseline (rule 10) and the graceful end.
//!
//! At rest means: what is due is in memory, and nothing else that the gateway loaded. What people loaded is never taken
//! away here.

use std::time::{Duration, Instant};

use super::memory::{Held, Owner, State};
use super::swap::Goal;
use super::{Effect, Mutant, Planner, Shutdown, ShutdownProgress};
use crate::id::{InstanceId, ModelId};
use crate::model::Kind;
use crate::residency::claim::{Reason, Refused};
use crate::residency::config::{Mode, SWAP_UNMEASURED};

// === impl Planner: rest ===

impl Planner {
    /// What is due is there, and nothing of ours besides.
    pub(super) fn is_at_rest(&self, kind: Kind) -> bool {
        self.config.mode == Mode::Provider
            || (self.strays(kind).next().is_none() && self.missing(kind).next().is_none())
    }

    /// Instances of ours that nothing at rest needs.
    fn strays(&self, kind: Kind) -> impl Iterator<Item = (&InstanceId, &Held)> {
        self.of_kind(kind).filter(|(id, held)| {
            held.owner == Owner::Gateway
                && held.state == State::Ready
                && !self.is_pinned(&held.model)
                && (self.baseline.get(&held.model).is_none() || self.is_surplus(id, held))
        })
    }

    /// Another instance of the same model does as well: someone else's, or the one with most context.
    fn is_surplus(&self, id: &InstanceId, held: &Held) -> bool {
        let worth = |id: &InstanceId, held: &Held| {
            (held.owner == Owner::SomeoneElse, held.settings.context_length, std::cmp::Reverse(id.clone()))
        };
        let mine = worth(id, held);
        self.of_model(&held.model)
            .any(|(other, it)| other != id && it.state == State::Ready && worth(other, it) > mine)
    }

    /// Models that are due and not there, the one chosen last first.
    fn missing(&self, kind: Kind) -> impl Iterator<Item = &ModelId> {
        self.baseline
            .iter()
            .rev()
            .filter(move |due| due.kind == kind)
            .map(|due| &due.model)
            .filter(|model| self.of_model(model).next().is_none() && !self.is_vetoed(model))
    }

    fn is_vetoed(&self, model: &ModelId) -> bool {
        self.hopes.iter().any(|hope| hope.vetoes(model))
    }

    /// Someone uses, wants or holds a model that is not due.
    fn is_in_use(&self, held: &Held) -> bool {
        let is_held = self.turns.hold(&held.model, self.now) && !self.has(Mutant::HoldIgnored);
        let is_due = self.baseline.get(&held.model).is_some();
        !is_due && (!held.is_idle() || !held.batch.is_empty() || self.is_wanted(&held.model, None) || is_held)
    }

    /// Nobody waits for a load in this lane: goes back to the baseline if nobody uses anything else either.
    pub(super) fn begin_rest(&mut self, kind: Kind) {
        let capacity = self.capacity(kind);
        let mut baseline = std::mem::take(&mut self.baseline);
        baseline.trim(kind, capacity, |model| self.is_resident(model));
        self.baseline = baseline;
        let is_needed = self.of_kind(kind).any(|(_, held)| held.is_undecided() || self.is_in_use(held));
        if self.is_at_rest(kind) || is_needed || self.has(Mutant::ForgottenRestore) {
            self.lane_mut(kind).at_rest_since = None;
            return;
        }
        let now = self.now;
        let since = *self.lane_mut(kind).at_rest_since.get_or_insert(now);
        let linger = if self.shutdown.is_some() { Duration::ZERO } else { self.config.linger };
        if now < since + linger || self.lane(kind).pace.left(now).is_some() {
            return;
        }
        let victims: Vec<InstanceId> = self
            .strays(kind)
            .filter(|(_, held)| self.is_free(held, None))
            .map(|(id, _)| id.clone())
            .collect();
        let stays = self.of_kind(kind).count().saturating_sub(victims.len());
        let is_ready = |model: &&ModelId| {
            self.models.get(*model).is_some_and(|known| known.pace.left(self.now).is_none())
        };
        let next = self.missing(kind).find(is_ready).filter(|_| stays < capacity).cloned();
        match next {
            Some(model) => self.begin_free(kind, Goal::Restore(model), victims, self.now),
            None if victims.is_empty() => {}
            None => self.begin_free(kind, Goal::Clear, victims, self.now),
        }
    }
}

// === impl Planner: the end ===

impl Planner {
    /// No more claims; those who wait are sent away, and every turn is over.
    pub(super) fn on_shutdown(&mut self) {
        if self.shutdown.is_some() {
            return;
        }
        let all = self.config.shutdown_timeout;
        let reserve = SWAP_UNMEASURED.min(all / 2);
        self.shutdown = Some(Shutdown {
            abort_at: self.now + all.saturating_sub(reserve),
            stop_at: self.now + all,
            progress: ShutdownProgress::Draining,
        });
        self.turns.clear();
        self.hopes.clear();
        self.pins.clear();
        self.refuse_all(&Refused::new(Reason::ShuttingDown), |_, _| true);
    }

    /// Breaks off what still runs when time gets short, and says when all is done.
    pub(super) fn advance_shutdown(&mut self) {
        let busy = self.instances.values().any(|held| !held.is_idle());
        let lanes = [Kind::Language, Kind::Embedding];
        let swaps = lanes.into_iter().any(|kind| self.lane(kind).swap.is_some());
        let can_rest = self.is_up()
            && lanes
                .into_iter()
                .any(|kind| !self.is_at_rest(kind) && self.lane(kind).pace.left(self.now).is_none());
        let now = self.now;
        let Some(shutdown) = &mut self.shutdown else { return };
        if shutdown.progress == ShutdownProgress::Stopped {
            return;
        }
        if (!busy && !swaps && !can_rest) || now >= shutdown.stop_at {
            shutdown.progress = ShutdownProgress::Stopped;
            self.effects.push(Effect::Stopped);
        } else if busy && now >= shutdown.abort_at && shutdown.progress == ShutdownProgress::Draining {
            shutdown.progress = ShutdownProgress::Aborted;
            self.effects.push(Effect::AbortAll);
        }
    }
}

// === impl Shutdown ===

impl Shutdown {
    /// When it needs a look.
    pub(super) fn wakes(&self, now: Instant) -> Option<Instant> {
        let is_over = self.progress == ShutdownProgress::Stopped;
        [self.abort_at, self.stop_at].into_iter().find(|at| *at > now && !is_over)
    }
}
