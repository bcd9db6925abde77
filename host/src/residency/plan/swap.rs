//! The swap, a transaction (rule 12): close → drain → write down → unload → confirm gone → load → grant. One at a time
//! in a lane.
//!
//! Until an unload is sent it can be dropped without a trace. After that every way out leaves a state from which the
//! next decision, or the way back to the baseline, can go on: a swap that fails ends, and nothing waits for it.

mod ask;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::choose::Choice;
use super::list::{RELIST_FIRST, UNLOAD_LAG};
use super::memory::{Held, State};
use super::room::Lane;
use super::server::{InstanceKey, ProviderIndex};
use super::{Asked, Effect, Mark, Mutant, Operation, Planner, Ticket, Timings, Tomb, Waiter};
use crate::id::ModelId;
use crate::provider::Error;
use crate::residency::claim::{Reason, Refused};

/// A swap under way.
#[derive(Debug)]
pub(super) struct Swap {
    pub(super) goal: Goal,
    /// What makes room, until it is gone.
    pub(super) victims: Vec<InstanceKey>,
    /// Providers that must show what has become of it: the goal's and the victims'.
    pub(super) concerned: BTreeSet<ProviderIndex>,
    /// Of these, those that have not yet, since they were asked.
    pub(super) awaits: Vec<(ProviderIndex, Asked)>,
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
    /// The swap is being written down: memory is not touched before that is durable.
    Recording(Mark),
    /// Unloads are on their way.
    Unloading,
    /// Lists asked for after the last unload must show that the victims are gone.
    Confirming { until: Instant },
    /// A load is on its way.
    Loading(Operation),
    /// A load was lost track of: lists must show what became of it.
    Searching { until: Instant },
}

/// How often slow clients behind a closed gate are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

// === impl Planner: beginning ===

impl Planner {
    /// Begins the lane's next swap, if there is one to begin (rules 5, 6, 10).
    pub(super) fn begin(&mut self, lane: Lane) {
        let is_ready =
            self.knows_all() && self.is_any_up() && !self.is_recovering() && self.recount.is_none();
        if !is_ready || self.lane(lane).swap.is_some() {
            return;
        }
        let needs = |waiter: &&Waiter| {
            self.lane_for(waiter.model()) == lane
                && self.is_served(waiter.model())
                && (!waiter.wants_it_loaded() || self.needs_load(waiter))
        };
        let overdue = self.queue.iter().filter(needs).find(|waiter| self.is_overdue(waiter));
        let next = overdue.or_else(|| self.queue.iter().find(needs));
        let Some(waiter) = next else {
            self.begin_rest(lane);
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
            Choice::Free(victims) => self.begin_free(lane, goal, victims, blocked),
            Choice::Drain(victims) if is_overdue => self.begin_swap(lane, goal, victims, blocked),
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
    pub(super) fn begin_free(&mut self, lane: Lane, goal: Goal, victims: Vec<InstanceKey>, blocked: Instant) {
        let closes =
            |key: &InstanceKey| self.instances.get(key).is_some_and(|held| held.gate.close_if_empty());
        if victims.iter().all(closes) || self.has(Mutant::NoDrain) {
            self.begin_swap(lane, goal, victims, blocked);
        }
        // Gates that were closed in vain are opened again at the end of settling.
    }

    fn begin_swap(&mut self, lane: Lane, goal: Goal, victims: Vec<InstanceKey>, blocked: Instant) {
        for key in &victims {
            if let Some(held) = self.instances.get_mut(key) {
                held.closing = true;
            }
        }
        let look_at = self.now + self.config.slow_client.min(LOOK_EVERY);
        let goals = goal.model().and_then(|model| self.provider_of(model));
        let swap = Swap {
            goal,
            concerned: victims.iter().map(|key| key.provider).chain(goals).collect(),
            awaits: Vec::new(),
            victims,
            step: Step::Draining { look_at },
            since: self.now,
            blocked,
            timings: Timings::default(),
            broken_off: 0,
            asked_context: None,
        };
        let lane = self.lane_mut(lane);
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
    pub(super) fn advance(&mut self, lane: Lane) {
        let Some(swap) = self.lane_mut(lane).swap.take() else { return };
        let left = match swap.step {
            Step::Draining { look_at } => self.advance_drain(lane, swap, look_at),
            Step::Unloading if swap.victims.is_empty() => Some(self.begin_confirming(swap)),
            Step::Confirming { .. } if swap.awaits.is_empty() => self.confirmed(lane, swap),
            Step::Loading(_) if self.has(Mutant::DoubleLoad) && self.now > swap.since => {
                self.begin_load(swap)
            }
            _ => Some(swap),
        };
        if left.is_none() {
            self.lane_mut(lane).at_rest_since = None;
            (self.published_is_stale, self.changed) = (true, true);
        }
        self.lane_mut(lane).swap = left;
    }

    fn advance_drain(&mut self, lane: Lane, mut swap: Swap, look_at: Instant) -> Option<Swap> {
        if !self.may_go_on(lane, &swap) {
            self.reopen(&swap.victims);
            return None;
        }
        let busy: Vec<InstanceKey> = swap.victims.iter().filter(|key| self.is_busy(key)).cloned().collect();
        if busy.is_empty() || self.has(Mutant::NoDrain) {
            return self.begin_recording(swap);
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
        for key in &swap.victims {
            if let Some(held) = self.instances.get_mut(key) {
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
    pub(super) fn reopen(&mut self, victims: &[InstanceKey]) {
        for key in victims {
            if let Some(held) = self.instances.get_mut(key) {
                held.closing = false;
            }
        }
        self.changed = true;
        self.published_is_stale = true;
    }

    /// Everyone whom it concerns is there, somebody still needs it, and no pin forbids it. The way back to the baseline
    /// makes way for whoever waits.
    pub(super) fn may_go_on(&self, lane: Lane, swap: &Swap) -> bool {
        // To be loaded anew is not to be evicted.
        let is_kept = |held: &Held| self.is_pinned(&held.model) && swap.goal.model() != Some(&held.model);
        let is_kept = |key: &InstanceKey| self.instances.get(key).is_some_and(is_kept);
        let is_way_back = matches!(swap.goal, Goal::Restore(_) | Goal::Clear);
        swap.concerned.iter().all(|provider| self.is_up(*provider))
            && self.is_still_wanted(&swap.goal)
            && !(is_way_back && self.is_waited_in(lane))
            && !swap.victims.iter().any(is_kept)
    }

    /// Somebody waits for a load in this lane that can be sent.
    fn is_waited_in(&self, lane: Lane) -> bool {
        let mut in_lane = self.queue.iter().filter(|waiter| self.lane_for(waiter.model()) == lane);
        in_lane.any(|waiter| self.can_be_loaded_for(waiter))
    }

    pub(super) fn begin_unloading(&mut self, mut swap: Swap) -> Option<Swap> {
        let drained = self.now.saturating_duration_since(swap.blocked);
        swap.timings.drained = (!drained.is_zero()).then_some(drained);
        swap.step = Step::Unloading;
        swap.since = self.now;
        self.published_is_stale = true;
        for key in &swap.victims {
            self.note_parting(key);
            if let Some(held) = self.instances.get_mut(key) {
                held.state = State::Unloading;
                self.effects.push(Effect::Unload(key.clone()));
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
    pub(super) fn on_unloaded(&mut self, key: &InstanceKey, result: Result<(), Error>) {
        self.was_unloaded_behind(key);
        // One that a list has shown to be gone, or another server's of that name, is none of this answer's business.
        let unloading = self.instances.get(key).filter(|held| held.state == State::Unloading);
        let Some(kind) = unloading.map(|held| held.kind) else { return };
        let lane = self.lane_of(kind);
        match result {
            Ok(()) => {
                let asked_after = Asked(self.tick_clock());
                let until = self.now + UNLOAD_LAG;
                if let Some(was) = self.instances.get(key).map(|held| held.describe(key)) {
                    self.tombs.insert(key.clone(), Tomb { asked_after, until, was });
                }
                self.remove_instance(key);
            }
            Err(error) => {
                if let Some(held) = self.instances.get_mut(key) {
                    held.state = State::Ready;
                    held.closing = false;
                    // What an unanswered unload did only a list can tell.
                    held.doubted = Some(Asked(self.clock));
                }
                self.want_list(key.provider);
                let is_its = |swap: &mut Swap| swap.victims.contains(key);
                if let Some(swap) = self.lane_mut(lane).swap.take_if(is_its) {
                    self.unload_failed(lane, &swap, key, &error);
                }
            }
        }
    }

    /// The swap ends. Where the victim's provider is gone, that is no fault of those who wait for another's model: a list
    /// will say so, and then it is not in their way any more.
    fn unload_failed(&mut self, lane: Lane, swap: &Swap, key: &InstanceKey, error: &Error) {
        let rest: Vec<_> = swap.victims.iter().filter(|it| *it != key).cloned().collect();
        self.reopen_unsent(&rest);
        let goals = swap.goal.model().and_then(|model| self.provider_of(model));
        let is_elsewhere = goals.is_some_and(|provider| provider != key.provider);
        if !(is_elsewhere && matches!(error, Error::Unreachable(_))) {
            self.fail(lane, &swap.goal, error);
        }
    }

    /// Victims whose unload was not sent stay; the others are told when their own answers come.
    pub(super) fn reopen_unsent(&mut self, victims: &[InstanceKey]) {
        let unsent =
            |key: &&InstanceKey| self.instances.get(*key).is_some_and(|held| held.state != State::Unloading);
        let unsent: Vec<InstanceKey> = victims.iter().filter(unsent).cloned().collect();
        self.reopen(&unsent);
    }

    /// Memory has been freed, as far as answers say: lists must show it, of every provider that is concerned and there, and
    /// of those that are being asked what became of something else.
    pub(super) fn begin_confirming(&mut self, mut swap: Swap) -> Swap {
        let unloaded = self.now.saturating_duration_since(swap.since);
        if !unloaded.is_zero() {
            swap.timings.unloaded = Some(unloaded);
            self.unload_time = Some(unloaded);
        }
        let is_open = |it: &ProviderIndex| {
            self.server(*it).is_some_and(|server| server.link.wanted.is_some()) || swap.concerned.contains(it)
        };
        let there: Vec<_> = self.providers().filter(|it| self.is_up(*it) && is_open(it)).collect();
        for provider in there {
            self.await_list(&mut swap, provider);
        }
        swap.step = Step::Confirming { until: self.now + UNLOAD_LAG };
        swap.since = self.now;
        self.changed = true;
        swap
    }

    /// The swap waits for a list of this provider that is asked for from now on.
    pub(super) fn await_list(&mut self, swap: &mut Swap, provider: ProviderIndex) {
        let asked = Asked(self.tick_clock());
        swap.awaits.retain(|(it, _)| *it != provider);
        swap.awaits.push((provider, asked));
        if let Some(link) = self.link_mut(provider) {
            link.wanted = Some(asked);
        }
    }

    /// The same, and there is no hurry.
    pub(super) fn await_list_in(&mut self, swap: &mut Swap, provider: ProviderIndex) {
        self.await_list(swap, provider);
        self.want_list_in(provider, RELIST_FIRST);
        if let Some(link) = self.link_mut(provider) {
            link.wanted = None;
        }
    }

    /// A good list arrived, and has been taken into the state: go on with what waited for it.
    pub(super) fn swap_on_list(
        &mut self,
        lane: Lane,
        provider: ProviderIndex,
        asked: Asked,
        shown: &BTreeSet<InstanceKey>,
    ) {
        let Some(mut swap) = self.lane_mut(lane).swap.take() else { return };
        let is_awaited = |(it, after): &(ProviderIndex, Asked)| *it == provider && asked >= *after;
        let left = if swap.awaits.iter().any(is_awaited) {
            swap.awaits.retain(|it| !is_awaited(it));
            match swap.step {
                Step::Confirming { until } => self.confirmed_by(provider, swap, until, shown),
                Step::Searching { until } => self.searched(lane, swap, until),
                _ => Some(swap),
            }
        } else {
            Some(swap)
        };
        self.changed = true;
        self.lane_mut(lane).swap = left;
    }

    /// A provider that is concerned shows what it has in memory now.
    fn confirmed_by(
        &mut self,
        provider: ProviderIndex,
        mut swap: Swap,
        until: Instant,
        shown: &BTreeSet<InstanceKey>,
    ) -> Option<Swap> {
        let still_there = self.tombs.keys().any(|key| shown.contains(key));
        if still_there && self.now < until {
            self.await_list_in(&mut swap, provider);
            return Some(swap);
        }
        let is_done = !still_there || matches!(swap.goal, Goal::Unload(_));
        is_done.then_some(swap)
    }

    /// All that was waited for has been shown: loads, if there is room and somebody still needs it.
    fn confirmed(&mut self, lane: Lane, swap: Swap) -> Option<Swap> {
        if let Goal::Unload(ticket) = swap.goal {
            self.unload_wish_done(ticket);
            return None;
        }
        // Nobody waits: a restore makes way for a waiter, and what someone else loaded meanwhile may do.
        let model = swap.goal.model()?;
        if !self.is_served(model) || !self.is_still_wanted(&swap.goal) {
            return None;
        }
        let goal = self.weight(model, self.kind_of(model));
        let fits = self.has_room_for(goal, self.of_lane(lane).map(|(_, held)| self.weight_of(held)));
        let gives_way = matches!(swap.goal, Goal::Restore(_)) && self.is_waited_in(lane);
        if !fits || gives_way || self.of_lane(lane).any(|(_, held)| held.is_undecided()) {
            return None;
        }
        self.begin_load(swap)
    }

    /// A provider went down. What is on its way is awaited; what only waits for its lists is dropped, or goes on without
    /// them where they were to show that it had let go of something.
    pub(super) fn swap_on_outage(&mut self, lane: Lane, provider: ProviderIndex) {
        let Some(mut swap) = self.lane_mut(lane).swap.take() else { return };
        let model = swap.goal.model().filter(|model| self.provider_of(model) == Some(provider)).cloned();
        match (swap.step, model) {
            (Step::Searching { .. }, Some(model)) => self.note_orphan(model),
            (Step::Confirming { .. }, Some(_)) => {}
            _ => {
                swap.awaits.retain(|(it, _)| *it != provider);
                self.lane_mut(lane).swap = Some(swap);
            }
        }
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
