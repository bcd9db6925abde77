//! The invariants, checked from the outside.

use super::*;
use crate::model::Kind;
use crate::provider::Readiness;
use crate::residency::config::MAX_WAIT_MOST;
use world::{By, InMemory};

/// Models a waiter may have to wait for in turn: each of the others with an older overdue waiter, what was under way
/// when it came, a restore in between, and its own.
const SWAPS_MOST: u32 = 7;

/// The longest generation outside the profile of drains, the longest swap with its lists, and the longest batch: at
/// most as many as there are sessions, three at a time.
const ROUND_MOST: Duration = Duration::from_secs(5 + 9 + 6 + 5 * 4);

/// For so long after an outage its provider may still be taken for down.
const OUTAGE_LINGERS: Duration = Duration::from_secs(20);

impl Sim {
    /// After each step.
    pub(super) fn check(&self) {
        for (key, gate) in self.planner.gates() {
            let live = |lease: &&LiveLease| lease.key == *key && Arc::ptr_eq(gate, &lease.gate);
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
        self.planner.gates().any(|(key, gate)| *key == lease.key && Arc::ptr_eq(gate, &lease.gate))
    }

    pub(super) fn check_wait(&self, since: Instant) {
        let drain = self.config.drain_timeout.min(Duration::from_secs(40));
        let round = if self.profile == Profile::Drains { ROUND_MOST + drain } else { ROUND_MOST };
        let has_mishaps =
            self.crashes || matches!(self.profile, Profile::Faults | Profile::Outages | Profile::Moves);
        let mishaps = if has_mishaps { Duration::from_secs(120) } else { Duration::ZERO };
        // By size, the embedding models are in the same line.
        let is_weighed = self.reconfigured || self.config.memory.is_some();
        let swaps = if is_weighed { SWAPS_MOST + 2 } else { SWAPS_MOST };
        let bound = self.config.max_wait.unwrap_or(MAX_WAIT_MOST) + round * swaps + mishaps;
        self.require(self.now - since <= bound, "the wait bound is kept");
    }

    /// The models share what is counted: by number those of a kind, by size all.
    fn shares(&self, one: &ModelId, other: &ModelId) -> bool {
        self.config.memory.is_some() || world::kind(one) == world::kind(other)
    }

    /// As far as the planner knows, some provider answers at the model's server.
    fn is_thought_up(&self, model: &ModelId) -> bool {
        let server = world::provider_of(model);
        self.planner.names().any(|(name, provider)| {
            self.world.server_called(name) == server && self.planner.believes_up(provider)
        })
    }

    /// The model's provider was down a moment ago, or is.
    pub(super) fn is_troubled(&self, model: &ModelId) -> bool {
        let server = &self.world.servers[world::provider_of(model)];
        server.is_down || server.was_down.is_some_and(|at| self.now < at + OUTAGE_LINGERS)
    }

    /// Before an unload is sent.
    pub(super) fn check_unload(&self, server: usize, key: &InstanceKey) {
        let is_ours = !self.planner.leaves_alone(key.provider);
        self.require(is_ours, "a provider that looks after itself gets no effect");
        let leased = self.leases.values().any(|lease| lease.key == *key && self.is_same_life(lease));
        self.require(!leased, "no leased instance is evicted");
        let is_it = |it: &&InMemory| it.id == key.id && world::provider_of(&it.model) == server;
        let Some(held) = self.world.memory.iter().find(is_it) else { return };
        // By whatever name it was granted.
        let leased = self.leases.values().any(|lease| lease.on == Some(held.life));
        self.require(!leased, "no server is told to unload what is leased there");
        self.require(self.planner.believes_up(key.provider), "a provider that is down gets no effect");
        let model = ModelId::of(self.planner.name_of(key.provider).unwrap(), held.model.key());
        self.require(self.stopped_taking() || !self.pinned.contains(&model), "no pinned model is evicted");
        let is_hold = |(it, until): &(ModelId, Instant)| *it == model && *until > self.now;
        let is_leaving = self.planner.is_letting_go(key.provider);
        let needs_room = |model: &ModelId| self.shares(model, &held.model);
        let someone_needs_room = self.waiting.values().any(|it| needs_room(&it.claim.model))
            || self.wishes.values().any(|wish| needs_room(&wish.model));
        let is_due = self.planner.due().contains(&model);
        let is_surplus = self.world.memory.iter().filter(|it| it.model == held.model).count() > 1;
        self.require(
            is_due
                || is_leaving
                || is_surplus
                || someone_needs_room
                || self.stopped_taking()
                || !self.holds.values().any(is_hold),
            "no restore in the middle of a held turn",
        );
        let wants = |kind| {
            self.waiting.values().any(|it| world::kind(&it.claim.model) == kind)
                || self.wishes.values().any(|wish| world::kind(&wish.model) == kind)
        };
        self.require(
            world::kind(&held.model) == Kind::Language || wants(Kind::Embedding) || !is_due || is_surplus,
            "no language model pushes out an embedding model that is due",
        );
    }

    fn stopped_taking(&self) -> bool {
        self.now >= self.ends + Duration::from_secs(1000)
    }

    /// Before a load is sent.
    pub(super) fn check_load(&self, provider: ProviderIndex, model: &ModelId) {
        let is_ours = !self.planner.leaves_alone(provider);
        self.require(is_ours, "a provider that looks after itself gets no effect");
        self.require(self.planner.believes_up(provider), "a provider that is down gets no effect");
        let goes_on =
            |it: &InMemory| it.model == *model && it.by == By::Gateway && it.readiness == Readiness::Loading;
        self.require(!self.world.memory.iter().any(goes_on), "a load that goes on is not sent again");
        let is_known = |provider: &ProviderIndex| self.planner.name_of(*provider).is_some();
        let under_way =
            self.loads.values().any(|(provider, _, it)| is_known(provider) && self.shares(it, model));
        self.require(!under_way, "one load at a time, and no second one of the same model");
        let is_seen = |it: &&InMemory| {
            let seen = self.world.servers[world::provider_of(&it.model)].seen;
            let is_known = it.by == By::Gateway && it.readiness == Readiness::Ready || Some(it.since) < seen;
            is_known && self.is_thought_up(&it.model)
        };
        let there: Vec<&ModelId> = self.world.memory.iter().filter(is_seen).map(|it| &it.model).collect();
        self.trace("    there is ", &(&there, self.config.memory, self.config.max_loaded));
        self.require(self.fits(model, &there), "a load is sent only when it fits");
    }

    /// One more of this model fits beside these.
    fn fits(&self, model: &ModelId, there: &[&ModelId]) -> bool {
        let kind = world::kind(model);
        let places = match kind {
            Kind::Language if self.config.memory.is_some() => usize::MAX,
            Kind::Language => usize::try_from(self.config.max_loaded.get()).unwrap(),
            Kind::Embedding => usize::try_from(self.config.max_loaded_embeddings.get()).unwrap(),
        };
        let count = there.iter().filter(|it| world::kind(it) == kind).count();
        count < places && self.world.fit_in_bytes(there.iter().copied().chain([model]))
    }

    /// When everyone has left and time has passed.
    pub(super) fn check_rest(&self) {
        self.require(self.leases.is_empty() && self.waiting.is_empty(), "everything ends");
        self.require(self.wishes.is_empty(), "every wish is answered");
        let report = self.planner.report(self.now);
        self.require(report.under_way.is_empty(), "no swap is under way at rest");
        self.require(report.instances.iter().all(|it| it.leases == 0), "every lease is released");
        let there: Vec<&ModelId> = self.world.memory.iter().map(|it| &it.model).collect();
        for due in &report.baseline {
            let model = self.world.home(&due.model);
            let its = &self.world.servers[world::provider_of(&model)];
            self.require(!its.is_list_only, "nothing is due on a provider that looks after itself");
            // What people overfilled, or pinned, may leave no room for it, and some servers lack the model.
            let is_there = there.contains(&&model) || !self.world.lists(&model);
            self.require(is_there || !self.fits(&model, &there), "at rest the baseline is back");
        }
        for it in self.world.memory.iter().filter(|it| it.by == By::Gateway) {
            // What is on a server that is not configured any more stays there.
            let Some(model) = self.world.called(&it.model) else { continue };
            let is_due = report.baseline.iter().any(|due| due.model == model);
            let mut known = report
                .instances
                .iter()
                .filter(|known| known.id == it.id && known.model.provider() == model.provider());
            let known = known.next();
            self.require(known.is_some(), "nothing that is in memory is overlooked");
            let is_others = |known: &crate::residency::HeldInstance| {
                known.is_pinned || known.loaded_by == crate::residency::LoadedBy::SomeoneElse
            };
            self.require(is_due || known.is_some_and(is_others), "at rest nothing of ours is left over");
        }
        if !self.baseline_moved {
            let due = report.baseline.iter().map(|due| &due.model);
            let due: Vec<_> = due.filter(|model| world::kind(model) == Kind::Language).collect();
            self.require(
                due == [&self.world.called(&world::first()).unwrap()],
                "routes that restore leave the baseline as it was",
            );
        }
    }
}
