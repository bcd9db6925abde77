//! What others ask of swaps: whom one serves, how far it is, when it needs a look. Nothing here changes anything.

use std::time::Instant;

use super::{Goal, Step, Swap};
use crate::residency::plan::room::LaneState;
use crate::residency::plan::server::InstanceKey;
use crate::residency::plan::{Phase, Planner, Waiter};

// === impl Planner: questions ===

impl Planner {
    /// A swap is under way that will serve the waiter.
    pub(in crate::residency::plan) fn is_under_way(&self, waiter: &Waiter) -> bool {
        let swap = self.lane(self.lane_for(waiter.model())).swap.as_ref();
        swap.is_some_and(|swap| match &swap.goal {
            Goal::Unload(ticket) => *ticket == waiter.ticket,
            goal => waiter.wants_it_loaded() && goal.model() == Some(waiter.model()),
        })
    }

    /// Where the waiter stands, and since when.
    pub(in crate::residency::plan) fn phase_of(&self, waiter: &Waiter) -> (Phase, Instant) {
        let swap = self.lane(self.lane_for(waiter.model())).swap.as_ref();
        match swap.filter(|_| self.is_under_way(waiter)) {
            None => waiter.blocked.map_or((Phase::Queued, waiter.arrived), |since| (Phase::Draining, since)),
            Some(swap) => (swap.phase(), swap.since),
        }
    }

    /// When the waiter becomes overdue, or has waited in vain.
    pub(in crate::residency::plan) fn waiter_wakes(&self, waiter: &Waiter) -> Option<Instant> {
        let overdue = waiter.since + self.max_wait(waiter.model());
        Some(self.gives_up_address(waiter).unwrap_or(overdue))
    }

    /// When the lane's swap or rest needs a look.
    pub(in crate::residency::plan) fn lane_wakes(&self, lane: &LaneState) -> Option<Instant> {
        let swap = lane.swap.as_ref().and_then(|swap| match swap.step {
            Step::Draining { look_at } => Some(look_at.min(swap.since + self.config.drain_timeout)),
            _ => None,
        });
        let rest = lane.at_rest_since.map(|since| since + self.config.linger);
        [swap, rest, lane.pace.until].into_iter().flatten().filter(|at| *at > self.now).min()
    }

    /// Somebody is inside.
    pub(super) fn is_busy(&self, key: &InstanceKey) -> bool {
        self.instances.get(key).is_some_and(|held| !held.is_idle())
    }

    /// Somebody still needs what the swap is for.
    pub(super) fn is_still_wanted(&self, goal: &Goal) -> bool {
        match goal {
            Goal::Serve(model) => {
                // A waiter whom an instance would serve that is only being drained does not need the swap.
                let needs = |waiter: &Waiter| {
                    waiter.wants_it_loaded()
                        && !self.of_model(model).any(|(_, held)| self.would_serve(waiter, held))
                };
                self.queue.iter().any(|waiter| waiter.model() == model && needs(waiter))
            }
            Goal::Restore(model) => !self.is_resident(model) && self.is_due(model),
            Goal::Unload(ticket) => self.queue.iter().any(|waiter| waiter.ticket == *ticket),
            Goal::Clear => true,
        }
    }
}

// === impl Swap ===

impl Swap {
    fn phase(&self) -> Phase {
        match self.step {
            Step::Draining { .. } => Phase::Draining,
            Step::Recording(_) | Step::Unloading | Step::Confirming { .. } => Phase::Unloading,
            Step::Loading(_) | Step::Searching { .. } => Phase::Loading,
        }
    }
}
