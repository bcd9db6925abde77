//! The invariants, checked from the outside.

use super::*;
use crate::model::Kind;
use crate::provider::Readiness;
use crate::residency::config::MAX_WAIT_MOST;
use world::By;

/// Models a waiter may have to wait for in turn: each of the others with an older overdue waiter, what was under way
/// when it came, a restore in between, and its own.
const SWAPS_MOST: u32 = 6;

/// The longest generation outside the profile of drains, the longest swap with its lists, and the longest batch: at
/// most as many as there are sessions, three at a time.
const ROUND_MOST: Duration = Duration::from_secs(5 + 9 + 6 + 5 * 4);

impl Sim {
    /// After each step.
    pub(super) fn check(&self) {
        for (instance, gate) in self.planner.gates() {
            let live = |lease: &&LiveLease| lease.instance == *instance && Arc::ptr_eq(gate, &lease.gate);
            let live = self.leases.values().filter(live).count();
            self.require(usize::try_from(gate.count()).unwrap() == live, "gates count the leases that live");
        }
        self.require(!self.planner.is_closed_in_vain(), "gates are closed only for a swap");
        let waiting = self.planner.waiting();
        self.require(
            waiting == self.waiting.len() + self.wishes.len(),
            "no waiter is forgotten or kept in vain",
        );
        for waiting in self.waiting.values() {
            self.check_wait(waiting.since);
        }
    }

    /// The lease is on the instance of that name that the planner knows now, and not on one before it.
    fn is_same_life(&self, lease: &LiveLease) -> bool {
        self.planner.gates().any(|(id, gate)| *id == lease.instance && Arc::ptr_eq(gate, &lease.gate))
    }

    pub(super) fn check_wait(&self, since: Instant) {
        let drain = self.config.drain_timeout.min(Duration::from_secs(40));
        let round = if self.profile == Profile::Drains { ROUND_MOST + drain } else { ROUND_MOST };
        let mishaps = if self.profile == Profile::Faults { Duration::from_secs(120) } else { Duration::ZERO };
        let bound = self.config.max_wait.unwrap_or(MAX_WAIT_MOST) + round * SWAPS_MOST + mishaps;
        self.require(self.now - since <= bound, "the wait bound is kept");
    }

    /// Before an unload is sent.
    pub(super) fn check_unload(&self, instance: &InstanceId) {
        let leased =
            self.leases.values().any(|lease| lease.instance == *instance && self.is_same_life(lease));
        self.require(!leased, "no leased instance is evicted");
        let Some(held) = self.world.memory.iter().find(|it| it.id == *instance) else { return };
        self.require(
            self.stopped_taking() || !self.pinned.contains(&held.model),
            "no pinned model is evicted",
        );
        let is_hold = |(model, until): &(ModelId, Instant)| *model == held.model && *until > self.now;
        let kind = World::kind(&held.model);
        let someone_needs_room = self.waiting.values().any(|it| World::kind(&it.claim.model) == kind)
            || self.wishes.values().any(|wish| World::kind(&wish.model) == kind);
        let is_due = self.planner.report(self.now).baseline.iter().any(|due| due.model == held.model);
        let is_surplus = self.world.memory.iter().filter(|it| it.model == held.model).count() > 1;
        self.require(
            is_due
                || is_surplus
                || someone_needs_room
                || self.stopped_taking()
                || !self.holds.values().any(is_hold),
            "no restore in the middle of a held turn",
        );
    }

    fn stopped_taking(&self) -> bool {
        self.now >= self.ends + Duration::from_secs(1000)
    }

    /// Before a load is sent.
    pub(super) fn check_load(&self, model: &ModelId) {
        let kind = World::kind(model);
        let under_way = self.loads.values().any(|(_, it)| World::kind(it) == kind);
        self.require(!under_way, "one load at a time, and no second one of the same model");
        let seen = self.world.seen;
        let is_seen = |it: &&world::InMemory| {
            World::kind(&it.model) == kind
                && (it.by == By::Gateway && it.readiness == Readiness::Ready || Some(it.since) < seen)
        };
        let in_memory = self.world.memory.iter().filter(is_seen).count();
        self.require(in_memory < self.capacity(kind), "a load is sent only when it fits");
    }

    fn capacity(&self, kind: Kind) -> usize {
        let capacity = match kind {
            Kind::Language => self.config.max_loaded,
            Kind::Embedding => self.config.max_loaded_embeddings,
        };
        usize::try_from(capacity.get()).unwrap()
    }

    /// When everyone has left and time has passed.
    pub(super) fn check_rest(&self) {
        self.require(self.leases.is_empty() && self.waiting.is_empty(), "everything ends");
        self.require(self.wishes.is_empty(), "every wish is answered");
        let report = self.planner.report(self.now);
        self.require(report.under_way.is_empty(), "no swap is under way at rest");
        self.require(report.instances.iter().all(|it| it.leases == 0), "every lease is released");
        for due in &report.baseline {
            let is_there = self.world.memory.iter().any(|it| it.model == due.model);
            let kind = World::kind(&due.model);
            let in_memory = self.world.memory.iter().filter(|it| World::kind(&it.model) == kind).count();
            // What people overfilled, or pinned, may leave no room for it.
            self.require(is_there || in_memory >= self.capacity(kind), "at rest the baseline is back");
        }
        for it in self.world.memory.iter().filter(|it| it.by == By::Gateway) {
            let is_due = report.baseline.iter().any(|due| due.model == it.model);
            let is_known = report.instances.iter().any(|known| known.id == it.id);
            self.require(is_known, "nothing that is in memory is overlooked");
            self.require(
                is_due
                    || report.instances.iter().any(|known| {
                        known.id == it.id
                            && (known.is_pinned || known.loaded_by == crate::residency::LoadedBy::SomeoneElse)
                    }),
                "at rest nothing of ours is left over",
            );
        }
        if !self.baseline_moved {
            let due: Vec<&str> = report
                .baseline
                .iter()
                .filter(|due| World::kind(&due.model) == Kind::Language)
                .map(|due| due.model.key())
                .collect();
            self.require(due == [world::LANGUAGE[0]], "routes that restore leave the baseline as it was");
        }
    }
}
