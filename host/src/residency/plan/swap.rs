//! The swap, a transaction (rule 12): close → drain → unload → confirm gone → load → grant. One at a time in a lane.
//!
//! Until an unload is sent it can be dropped without a trace. After that every way out leaves a state from which the
//! next decision, or the way back to the baseline, can go on: a swap that fails ends, and nothing waits for it.

mod ask;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::choose::Choice;
use super::list::{RELIST_FIRST, UNLOAD_LAG};
use super::memory::State;
use super::{Asked, Effect, Mutant, Operation, Planner, Ticket, Timings, Tomb, Waiter};
use crate::id::{InstanceId, ModelId};
use crate::model::Kind;
use crate::provider::Error;
use crate::residency::claim::{Reason, Refused};

/// A swap under way.
#[derive(Debug)]
pub(super) struct Swap {
    pub(super) goal: Goal,
    /// What makes room, until it is gone.
    pub(super) victims: Vec<InstanceId>,
    pub(super) step: Step,
    /// Since when the step lasts.
    pub(super) since: Instant,
    /// Since when running requests have been in its way.
    pub(super) blocked: Instant,
    pub(super) timings: Timings,
    /// Loads that were broken off from outside.
    pub(super) broken_off: u32,
    /// Tokens of context that the load was sent with.
    pub(super) asked_context: Option<u32>,
}

/// What a swap is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    /// Those who wait for this model.
    Serve(ModelId),
    /// The baseline's model comes back.
    Restore(ModelId),
    /// This wish to unload.
    Unload(Ticket),
    /// What is left over goes.
    Clear,
}

/// Where a swap is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Gates are closed; their leases run out. Slow clients are looked for from then on.
    Draining { look_at: Instant },
    /// Unloads are on their way.
    Unloading,
    /// A list asked for after the last unload must show that the victims are gone.
    Confirming { asked: Asked, until: Instant },
    /// A load is on its way.
    Loading(Operation),
    /// A load was lost track of: lists must show what became of it.
    Searching { asked: Asked, until: Instant },
}

/// How often slow clients behind a closed gate are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

// === impl Planner: beginning ===

impl Planner {
    /// Begins the lane's next swap, if there is one to begin (rules 5, 6, 10).
    pub(super) fn begin(&mut self, kind: Kind) {
        let is_ours = self.config.mode == crate::residency::config::Mode::Gateway;
        if !is_ours || !self.is_up() || self.lane(kind).swap.is_some() {
            return;
        }
        let needs = |waiter: &&Waiter| {
            self.kind_of(waiter.model()) == kind && (!waiter.wants_it_loaded() || self.needs_load(waiter))
        };
        let overdue = self.queue.iter().filter(needs).find(|waiter| self.is_overdue(waiter));
        let next = overdue.or_else(|| self.queue.iter().find(needs));
        let Some(waiter) = next else {
            self.begin_rest(kind);
            return;
        };
        let goal = if waiter.wants_it_loaded() {
            Goal::Serve(waiter.model().clone())
        } else {
            Goal::Unload(waiter.ticket)
        };
        let (ticket, is_overdue) = (waiter.ticket, self.is_overdue(waiter));
        let blocked = waiter.blocked.unwrap_or(self.now);
        match self.choose_victims(waiter) {
            Choice::Free(victims) => self.begin_free(kind, goal, victims, blocked),
            Choice::Drain(victims) if is_overdue => self.begin_swap(kind, goal, victims, blocked),
            Choice::Drain(_) => self.note_blocked(ticket, blocked),
            Choice::Later | Choice::Spared(_) | Choice::Pinned => {}
        }
    }

    /// It is the waiter's turn, and running requests are in its way: for its client the drain has begun.
    fn note_blocked(&mut self, ticket: Ticket, since: Instant) {
        if let Some(waiter) = self.queue.iter_mut().find(|waiter| waiter.ticket == ticket) {
            waiter.blocked = Some(since);
        }
    }

    /// Begins a swap whose victims nobody uses, unless someone enters at this moment.
    pub(super) fn begin_free(&mut self, kind: Kind, goal: Goal, victims: Vec<InstanceId>, blocked: Instant) {
        let closes = |id: &InstanceId| self.instances.get(id).is_some_and(|held| held.gate.close_if_empty());
        if victims.iter().all(closes) || self.has(Mutant::NoDrain) {
            self.begin_swap(kind, goal, victims, blocked);
        }
        // Gates that were closed in vain are opened again at the end of settling.
    }

    fn begin_swap(&mut self, kind: Kind, goal: Goal, victims: Vec<InstanceId>, blocked: Instant) {
        for id in &victims {
            if let Some(held) = self.instances.get_mut(id) {
                held.closing = true;
            }
        }
        let look_at = self.now + self.config.slow_client.min(LOOK_EVERY);
        let swap = Swap {
            goal,
            victims,
            step: Step::Draining { look_at },
            since: self.now,
            blocked,
            timings: Timings::default(),
            broken_off: 0,
            asked_context: None,
        };
        let lane = self.lane_mut(kind);
        lane.swap = Some(swap);
        lane.at_rest_since = None;
        self.changed = true;
        self.published_is_stale = true;
        self.set_gates();
    }
}

// === impl Planner: going on ===

impl Planner {
    /// Goes on with the lane's swap as far as it goes without news.
    pub(super) fn advance(&mut self, kind: Kind) {
        let Some(swap) = self.lane_mut(kind).swap.take() else { return };
        let left = match swap.step {
            Step::Draining { look_at } => self.advance_drain(swap, look_at),
            Step::Unloading if swap.victims.is_empty() => Some(self.begin_confirming(swap)),
            Step::Loading(_) if self.has(Mutant::DoubleLoad) && self.now > swap.since => {
                self.begin_load(swap)
            }
            _ => Some(swap),
        };
        let lane = self.lane_mut(kind);
        if left.is_none() {
            lane.at_rest_since = None;
            self.changed = true;
        }
        self.lane_mut(kind).swap = left;
    }

    fn advance_drain(&mut self, mut swap: Swap, look_at: Instant) -> Option<Swap> {
        if !self.is_up() || !self.is_still_wanted(&swap.goal) {
            self.reopen(&swap.victims);
            return None;
        }
        let busy: Vec<InstanceId> = swap.victims.iter().filter(|id| self.is_busy(id)).cloned().collect();
        if busy.is_empty() || self.has(Mutant::NoDrain) {
            return self.begin_unloading(swap);
        }
        if self.now >= swap.since + self.config.drain_timeout {
            self.drain_timed_out(&swap);
            return None;
        }
        if self.now >= look_at {
            swap.step = Step::Draining { look_at: self.now + LOOK_EVERY };
            self.effects.extend(busy.into_iter().map(Effect::AbortStalled));
        }
        Some(swap)
    }

    /// Rule 8.
    fn drain_timed_out(&mut self, swap: &Swap) {
        let spared_until = self.now + self.config.drain_timeout;
        for id in &swap.victims {
            if let Some(held) = self.instances.get_mut(id) {
                held.spared_until = Some(spared_until);
            }
        }
        if !self.has(Mutant::LeavesGateClosed) {
            self.reopen(&swap.victims);
        }
        let refused = Refused::retry(Reason::DrainTimeout, self.config.drain_timeout);
        match &swap.goal {
            Goal::Unload(ticket) => self.refuse(*ticket, refused),
            goal => {
                let model = goal.model().cloned();
                self.refuse_all(&refused, |planner, waiter| {
                    Some(waiter.model()) == model.as_ref()
                        && planner.needs_load(waiter)
                        && planner.is_overdue(waiter)
                });
            }
        }
    }

    /// The victims stay after all.
    fn reopen(&mut self, victims: &[InstanceId]) {
        for id in victims {
            if let Some(held) = self.instances.get_mut(id) {
                held.closing = false;
            }
        }
        self.changed = true;
        self.published_is_stale = true;
    }

    fn begin_unloading(&mut self, mut swap: Swap) -> Option<Swap> {
        let drained = self.now.saturating_duration_since(swap.blocked);
        swap.timings.drained = (!drained.is_zero()).then_some(drained);
        swap.step = Step::Unloading;
        swap.since = self.now;
        swap.victims.retain(|id| self.instances.contains_key(id));
        self.published_is_stale = true;
        for id in &swap.victims {
            if let Some(held) = self.instances.get_mut(id) {
                held.state = State::Unloading;
                self.effects.push(Effect::Unload(id.clone()));
            }
        }
        if self.has(Mutant::LoadsBeforeUnload) {
            return self.begin_load(swap);
        }
        if swap.victims.is_empty() {
            return Some(self.begin_confirming(swap));
        }
        Some(swap)
    }

    /// An unload ended.
    pub(super) fn on_unloaded(&mut self, instance: &InstanceId, result: Result<(), Error>) {
        let Some(held) = self.instances.get(instance) else { return };
        let kind = held.kind;
        match result {
            Ok(()) => {
                let asked_after = Asked(self.tick_clock());
                self.tombs.insert(instance.clone(), Tomb { asked_after, until: self.now + UNLOAD_LAG });
                self.remove_instance(instance);
                if let Some(swap) = &mut self.lane_mut(kind).swap {
                    swap.victims.retain(|id| id != instance);
                }
            }
            Err(error) => {
                if let Some(held) = self.instances.get_mut(instance) {
                    held.state = State::Ready;
                    held.closing = false;
                    // What an unanswered unload did only a list can tell.
                    held.doubted = Some(Asked(self.clock));
                }
                self.want_list();
                self.note_error(&error);
                if let Some(swap) = self.lane_mut(kind).swap.take() {
                    let rest: Vec<_> = swap.victims.iter().filter(|id| *id != instance).cloned().collect();
                    self.reopen_unsent(&rest);
                    self.fail(kind, &swap.goal, &error);
                }
            }
        }
    }

    /// Victims whose unload was not sent stay; the others are told when their own answers come.
    fn reopen_unsent(&mut self, victims: &[InstanceId]) {
        let unsent =
            |id: &&InstanceId| self.instances.get(*id).is_some_and(|held| held.state != State::Unloading);
        let unsent: Vec<InstanceId> = victims.iter().filter(unsent).cloned().collect();
        self.reopen(&unsent);
    }

    /// Memory has been freed, as far as answers say: a list must show it.
    pub(super) fn begin_confirming(&mut self, mut swap: Swap) -> Swap {
        let unloaded = self.now.saturating_duration_since(swap.since);
        if !unloaded.is_zero() {
            swap.timings.unloaded = Some(unloaded);
            self.unload_time = Some(unloaded);
        }
        let asked = Asked(self.tick_clock());
        self.link.wanted = Some(asked);
        swap.step = Step::Confirming { asked, until: self.now + UNLOAD_LAG };
        swap.since = self.now;
        self.changed = true;
        swap
    }

    /// A good list arrived, and has been taken into the state: go on with what waited for it.
    pub(super) fn swap_on_list(&mut self, kind: Kind, asked: Asked, shown: &BTreeSet<InstanceId>) {
        let Some(swap) = self.lane_mut(kind).swap.take() else { return };
        let left = match swap.step {
            Step::Confirming { asked: after, until } if asked >= after => self.confirmed(swap, until, shown),
            Step::Searching { asked: after, until } if asked >= after => self.searched(kind, swap, until),
            _ => Some(swap),
        };
        if left.is_none() {
            self.changed = true;
        }
        self.lane_mut(kind).swap = left;
    }

    fn confirmed(&mut self, mut swap: Swap, until: Instant, shown: &BTreeSet<InstanceId>) -> Option<Swap> {
        let still_there = self.tombs.keys().any(|id| shown.contains(id));
        if still_there && self.now < until {
            let asked = Asked(self.tick_clock());
            swap.step = Step::Confirming { asked, until };
            self.want_list_in(RELIST_FIRST);
            self.link.wanted = None;
            return Some(swap);
        }
        if let Goal::Unload(ticket) = swap.goal {
            self.unload_wish_done(ticket);
            return None;
        }
        if still_there || !self.is_still_wanted(&swap.goal) {
            return None;
        }
        // Nobody waits: a restore makes way for a waiter, and what someone else loaded meanwhile may do.
        let model = swap.goal.model()?;
        let kind = self.kind_of(model);
        let in_memory = self.of_kind(kind).count();
        let gives_way = matches!(swap.goal, Goal::Restore(_))
            && self
                .queue
                .iter()
                .any(|waiter| self.kind_of(waiter.model()) == kind && self.needs_load(waiter));
        if in_memory >= self.capacity(kind)
            || gives_way
            || self.of_kind(kind).any(|(_, held)| held.is_undecided())
        {
            return None;
        }
        self.begin_load(swap)
    }
}

// === impl Goal ===

impl Goal {
    /// The model that will be in memory.
    pub(super) fn model(&self) -> Option<&ModelId> {
        match self {
            Self::Serve(model) | Self::Restore(model) => Some(model),
            Self::Unload(_) | Self::Clear => None,
        }
    }
}
