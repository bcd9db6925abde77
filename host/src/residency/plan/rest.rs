//! The way back to the baseline (rule 10) and the graceful end.
//!
//! At rest means: what is due is in memory, and nothing else that the gateway loaded. What people loaded is never taken
//! away here.

use std::time::{Duration, Instant};

use super::memory::{Held, Owner, State};
use super::room::Lane;
use super::server::InstanceKey;
use super::swap::Goal;
use super::{Effect, Mutant, Planner, Shutdown, ShutdownProgress};
use crate::id::ModelId;
use crate::residency::claim::{Reason, Refused};
use crate::residency::config::SWAP_UNMEASURED;

// === impl Planner: rest ===

impl Planner {
    /// What is due is there, and nothing of ours besides.
    pub(super) fn is_at_rest(&self, lane: Lane) -> bool {
        self.strays(lane).next().is_none() && self.missing(lane).next().is_none()
    }

    /// Instances of ours that nothing at rest needs.
    pub(super) fn strays(&self, lane: Lane) -> impl Iterator<Item = (&InstanceKey, &Held)> {
        self.of_lane(lane).filter(|(key, held)| {
            // What is due on a provider that leaves is left there as it is.
            let is_due = self.baseline.get(&held.model).is_some();
            let is_surplus = || !self.leaves(key.provider) && self.is_surplus(key, held);
            held.owner == Owner::Gateway
                && held.state == State::Ready
                && !self.is_pinned(&held.model)
                && (!is_due || is_surplus())
        })
    }

    /// Another instance of the same model does as well: someone else's, or the one with most context.
    fn is_surplus(&self, key: &InstanceKey, held: &Held) -> bool {
        let worth = |key: &InstanceKey, held: &Held| {
            (held.owner == Owner::SomeoneElse, held.settings.context_length, std::cmp::Reverse(key.clone()))
        };
        let mine = worth(key, held);
        self.of_model(&held.model)
            .any(|(other, it)| other != key && it.state == State::Ready && worth(other, it) > mine)
    }

    /// Models that are due and not there, the one chosen last first. What is due on a provider that does not answer stays
    /// due, and waits for it; so does what its provider lists no more.
    fn missing(&self, lane: Lane) -> impl Iterator<Item = &ModelId> {
        self.baseline
            .iter()
            .rev()
            .filter(move |due| self.lane_of(due.kind) == lane && self.is_served(&due.model))
            .filter(|due| !self.is_leaving(&due.model))
            .filter(|due| self.models.contains_key(&due.model))
            .map(|due| &due.model)
            .filter(|model| self.of_model(model).next().is_none() && !self.is_vetoed(model))
    }

    fn is_vetoed(&self, model: &ModelId) -> bool {
        self.hopes.iter().any(|hope| hope.vetoes(model))
    }

    /// Someone uses, wants or holds a model that is not due. No turn goes on with a model of a provider that leaves.
    fn is_in_use(&self, held: &Held) -> bool {
        let is_held = self.turns.hold(&held.model, self.now)
            && !self.is_leaving(&held.model)
            && !self.has(Mutant::HoldIgnored);
        !self.is_due(&held.model)
            && (!held.is_idle() || !held.batch.is_empty() || self.is_wanted(&held.model, None) || is_held)
    }

    /// Nobody waits for a load in this lane: goes back to the baseline if nobody uses anything else either.
    pub(super) fn begin_rest(&mut self, lane: Lane) {
        self.trim_baseline(lane);
        let is_needed = self.of_lane(lane).any(|(_, held)| held.is_undecided() || self.is_in_use(held));
        if self.is_at_rest(lane) || is_needed || self.has(Mutant::ForgottenRestore) {
            self.lane_mut(lane).at_rest_since = None;
            return;
        }
        let now = self.now;
        let since = *self.lane_mut(lane).at_rest_since.get_or_insert(now);
        let linger = if self.shutdown.is_some() { Duration::ZERO } else { self.config.linger };
        if now < since + linger || self.lane(lane).pace.left(now).is_some() {
            return;
        }
        if let Some((goal, victims)) = self.next_to_rest(lane) {
            self.begin_free(lane, goal, victims, self.now);
        }
    }

    /// The next step back to the baseline that can be made now.
    fn next_to_rest(&self, lane: Lane) -> Option<(Goal, Vec<InstanceKey>)> {
        let strays = self.strays(lane).filter(|(_, held)| self.is_free(held, None));
        let victims: Vec<InstanceKey> = strays.map(|(key, _)| key.clone()).collect();
        match self.next_to_restore(lane, &victims) {
            Some(model) => Some((Goal::Restore(model), victims)),
            None => (!victims.is_empty()).then_some((Goal::Clear, victims)),
        }
    }

    /// What is due, missing, and fits when these have gone: what failed before comes after what did not.
    fn next_to_restore(&self, lane: Lane, victims: &[InstanceKey]) -> Option<ModelId> {
        let is_ready = |model: &&ModelId| {
            self.models.get(*model).is_some_and(|known| known.pace.left(self.now).is_none())
        };
        let fits = |model: &&ModelId| {
            let stays = self.of_lane(lane).filter(|(key, _)| !victims.contains(*key));
            let goal = self.weight(model, self.kind_of(model));
            self.has_room_for(goal, stays.map(|(_, held)| self.weight_of(held)))
        };
        let failed = &self.lane(lane).unrestorable;
        let failed_at = |model: &&ModelId| failed.iter().position(|it| it == *model).map_or(0, |at| at + 1);
        self.missing(lane).filter(is_ready).filter(fits).min_by_key(failed_at).cloned()
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
        let busy = self.instances.values().any(|held| !held.is_idle()) || self.is_used_behind();
        let is_open = |lane: Lane| self.of_lane(lane).any(|(_, held)| held.is_undecided());
        let may_rest = |lane: &Lane| {
            let is_paced = self.lane(*lane).pace.left(self.now).is_some();
            !is_paced && !self.is_at_rest(*lane) && (is_open(*lane) || self.next_to_rest(*lane).is_some())
        };
        let can_rest = self.knows_all() && self.lanes().iter().any(may_rest);
        let is_quiet = self.is_quiet();
        let now = self.now;
        let Some(shutdown) = &mut self.shutdown else { return };
        if shutdown.progress == ShutdownProgress::Stopped {
            return;
        }
        if (!busy && is_quiet && !can_rest) || now >= shutdown.stop_at {
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
