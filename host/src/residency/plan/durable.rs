//! What outlives the process, and how a planner goes on from what another left (the durable half of rules 3, 10, 12).
//!
//! Before a swap touches memory it is written down: what is due, what is about to go, what is about to come. Everything
//! else is written when it changes and not waited for. After a start, what the record names as ours is ours again, what
//! it says was being loaded is waited for, and what nobody knows is someone else's choice.
//!
//! A record is a picture of the state and is never read back while the planner lives. Nothing here is written before
//! every provider was heard of and all that was awaited has shown itself: until then the record of the life before is the
//! better one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::baseline::{Due, Place};
use super::list::{LIST_LAG, RELIST_FIRST};
use super::memory::Held;
use super::server::{InstanceKey, LinkState, ProviderIndex};
use super::swap::{Step, Swap};
use super::{Durability, Effect, Loss, Mark, Mutant, Planner};
use crate::id::{InstanceId, ModelId};
use crate::residency::record::{
    DueRecord, InstanceRecord, Kept, KnownModel, LostName, OrphanRecord, Owner, Record, Seen,
};

/// What is written, and what was found written.
#[derive(Debug, Default)]
pub(super) struct Durable {
    /// The record that was handed out last.
    last: Option<Record>,
    /// That one is being made durable.
    asked: Option<Mark>,
    /// That one is durable.
    is_synced: bool,
    marks: u64,
    /// Providers of whose models something changed that is worth keeping.
    models_changed: BTreeSet<ProviderIndex>,
    /// Names of instances that were displaced, the oldest first.
    names: Vec<LostName>,
    found: Option<Found>,
}

/// What is still to be found again of a life before.
#[derive(Debug)]
struct Found {
    /// Instances that were ours.
    ours: Vec<(ModelId, InstanceId)>,
    /// Instances that were being unloaded then, or may have been.
    going: Vec<(ModelId, InstanceId)>,
    /// Models that may be in memory though lists do not show them yet.
    awaited: Vec<ModelId>,
    /// It was at rest: whatever is in memory now is what is due, unless nothing is.
    was_at_rest: bool,
    started: Instant,
}

/// An instance that is displaced for a while, as far as a load cannot bring it back.
#[derive(Debug)]
struct Parting {
    model: ModelId,
    id: InstanceId,
    /// What is left of its time to live.
    rest: Option<Duration>,
    loss: Option<Loss>,
}

/// How long an unload that was under way at the end of a life before may still have its effect.
const GOING_LASTS: Duration = Duration::from_secs(60);

/// Names of displaced instances that are remembered; people give few.
const NAMES: usize = 64;

// === impl Durable ===

impl Durable {
    /// Something is known of the provider's models that is worth keeping.
    pub(super) fn note_models(&mut self, provider: ProviderIndex) {
        self.models_changed.insert(provider);
    }

    /// These instances are ours, when they are shown, and these names are valid here: another owner said so.
    pub(super) fn recognise_also(
        &mut self,
        ours: Vec<(ModelId, InstanceId)>,
        names: Vec<LostName>,
        now: Instant,
    ) {
        names.into_iter().for_each(|lost| remember_name(&mut self.names, lost));
        let nothing = || Found {
            ours: Vec::new(),
            going: Vec::new(),
            awaited: Vec::new(),
            was_at_rest: false,
            started: now,
        };
        if !ours.is_empty() {
            self.found.get_or_insert_with(nothing).ours.extend(ours);
        }
    }

    /// These names mean nothing any more.
    pub(super) fn forget_names(&mut self, gone: &[LostName]) {
        self.names.retain(|lost| !gone.contains(lost));
    }
}

// === impl Planner: going on ===

impl Planner {
    /// The same planner, knowing what was kept of the life before. Before its first event.
    pub(in crate::residency) fn resume(mut self, kept: Kept) -> Self {
        for provider in self.providers() {
            let known = self.server(provider).and_then(|server| kept.models.get(&server.name));
            self.take_known(provider, known.map(Vec::as_slice).unwrap_or_default());
        }
        self.published_is_stale = true;
        if let Some(record) = kept.record {
            self.resume_record(record, kept.age);
        }
        self
    }

    fn resume_record(&mut self, record: Record, age: Duration) {
        let is_here = |model: &ModelId| self.provider_of(model).is_some();
        let name = |it: &InstanceRecord| (it.model.clone(), it.id.clone());
        let instances = || record.ours.iter().chain(&record.going).filter(|it| is_here(&it.model));
        let is_ours = |it: &&InstanceRecord| it.owner == Owner::Gateway;
        let told = instances().filter(|it| it.seen == Seen::Told).map(|it| it.model.clone());
        let loading = record.loading.iter().filter(|it| is_here(it)).cloned();
        let found = Found {
            ours: instances().filter(is_ours).map(name).collect(),
            going: record.going.iter().map(name).collect(),
            awaited: told.chain(loading.clone()).collect(),
            was_at_rest: record.is_at_rest,
            started: self.now,
        };
        let longest = self.config.load_timeout;
        let orphans = record.orphans.iter().filter(|it| is_here(&it.model));
        let orphans = orphans.map(|it| (it.model.clone(), it.left.min(longest)));
        let orphans = orphans.chain(loading.map(|model| (model, longest)));
        // What came of it meanwhile the first lists show, however long ago that was.
        let left = |left: Duration| left.saturating_sub(age).max(LIST_LAG);
        let orphans: Vec<_> = orphans.map(|(model, most)| (model, left(most))).collect();
        let due: Vec<DueRecord> = record.baseline.iter().filter(|due| is_here(&due.model)).cloned().collect();
        self.orphans.extend(orphans.into_iter().map(|(model, left)| (model, self.now + left)));
        for DueRecord { model, kind, settings, ttl } in due {
            self.baseline.choose(Due { model, kind, settings, ttl }, Place::Last);
        }
        self.durable.names = record.names.clone();
        self.durable.found = Some(found);
        self.durable.last = Some(record);
    }

    /// A load was given up without knowing what became of it: what shows up of that model is ours.
    pub(super) fn note_orphan(&mut self, model: ModelId) {
        self.orphans.insert(model, self.now + self.config.load_timeout);
    }

    /// The instance was ours in the life before; asked once, when it is first shown.
    pub(super) fn recognise(&mut self, model: &ModelId, instance: &InstanceId) -> bool {
        let Some(found) = &mut self.durable.found else { return false };
        let place = found.ours.iter().position(|(it, id)| it == model && id == instance);
        place.map(|place| found.ours.swap_remove(place)).is_some()
    }

    /// It goes because of what we sent in the life before, and not because anybody chose so.
    pub(super) fn was_going(&self, model: &ModelId, instance: &InstanceId) -> bool {
        self.durable.found.as_ref().is_some_and(|found| {
            self.now < found.started + GOING_LASTS
                && found.going.iter().any(|(it, id)| it == model && id == instance)
        })
    }

    /// In the life before everything was at rest: what is in memory at the first list is what is due.
    pub(super) fn rested_before(&self) -> bool {
        self.durable.found.as_ref().is_none_or(|found| found.was_at_rest)
    }

    /// Something may be in memory, or on its way there, that lists do not show yet.
    pub(super) fn is_recovering(&self) -> bool {
        self.durable.found.as_ref().is_some_and(|found| {
            self.now < found.started + LIST_LAG && found.awaited.iter().any(|model| self.is_served(model))
        })
    }

    /// Another server has taken this one's place: what the life before left there will not show, and what shows is not that.
    pub(super) fn await_no_more_of(&mut self, provider: ProviderIndex) {
        let name = self.server(provider).map(|server| server.name.clone()).unwrap_or_default();
        if let Some(found) = &mut self.durable.found {
            found.awaited.retain(|model| model.provider() != name);
            found.ours.retain(|(model, _)| model.provider() != name);
            found.going.retain(|(model, _)| model.provider() != name);
        }
    }

    /// When what is waited for after a start is given up.
    pub(super) fn recovery_wakes(&self) -> Option<Instant> {
        self.durable.found.as_ref().map(|found| found.started + LIST_LAG)
    }

    /// A provider listed what it has: what was ours shows now, or was lost.
    pub(super) fn look_at_record(&mut self, provider: ProviderIndex) {
        if let Some(mut found) = self.durable.found.take() {
            let is_shown = |model: &ModelId| self.of_model(model).next().is_some();
            found.awaited.retain(|model| !is_shown(model));
            let may_show =
                |model: &ModelId| self.now < found.started + LIST_LAG && found.awaited.contains(model);
            let is_its = |model: &ModelId| self.provider_of(model) == Some(provider);
            found.ours.retain(|(model, _)| !is_its(model) || may_show(model));
            self.durable.found = Some(found);
        }
        if self.is_recovering() {
            self.want_list_in(provider, RELIST_FIRST);
        }
    }

    /// When the last provider was heard of it shows whether the baseline of the life before still holds; from then on it
    /// is an ordinary one, which only choices change.
    pub(super) fn look_whether_it_rested(&mut self) {
        let knows_all = self.knows_all();
        let Some(found) = self.durable.found.as_mut().filter(|found| found.was_at_rest && knows_all) else {
            return;
        };
        found.was_at_rest = false;
        // Of a provider that has nothing at all in memory it says nothing: it was started anew.
        let has_any = |provider| self.instances.keys().any(|key| Some(key.provider) == provider);
        let is_gone = |due: &&Due| {
            self.is_served(&due.model)
                && !self.is_resident(&due.model)
                && has_any(self.provider_of(&due.model))
        };
        let gone: Vec<ModelId> = self.baseline.iter().filter(is_gone).map(|due| due.model.clone()).collect();
        gone.iter().for_each(|model| self.baseline.remove(model));
    }
}

// === impl Planner: writing down ===

impl Planner {
    /// Writes the swap down before it touches memory; it goes on when that is durable, or known not to be.
    pub(super) fn begin_recording(&mut self, mut swap: Swap) -> Option<Swap> {
        self.durable.marks += 1;
        let mark = Mark(self.durable.marks);
        swap.step = Step::Recording(mark);
        let record = self.record(Some(&swap));
        let is_known = self.durable.is_synced && self.durable.last.as_ref() == Some(&record);
        if is_known || self.has(Mutant::ForgetsToRecord) {
            return self.begin_unloading(swap);
        }
        self.durable.last = Some(record.clone());
        (self.durable.asked, self.durable.is_synced) = (Some(mark), false);
        self.effects.push(Effect::Remember(mark, record));
        Some(swap)
    }

    /// What became of a record: durability may be lost, serving is not.
    pub(super) fn on_remembered(&mut self, mark: Mark, durability: Durability) {
        let is_durable = durability == Durability::Durable;
        self.durable.is_synced |= is_durable && self.durable.asked == Some(mark);
        for lane in self.lanes() {
            let is_it = |swap: &mut Swap| swap.step == Step::Recording(mark);
            let Some(swap) = self.lane_mut(*lane).swap.take_if(is_it) else { continue };
            self.changed = true;
            let left = if self.may_go_on(*lane, &swap) {
                self.begin_unloading(swap)
            } else {
                self.reopen(&swap.victims);
                None
            };
            self.lane_mut(*lane).swap = left;
        }
    }

    /// Hands out what changed since it was last written. Without waiting: what is lost of it in a crash is a choice of
    /// the last moments, or that it was at rest.
    pub(super) fn write_down(&mut self) {
        for provider in std::mem::take(&mut self.durable.models_changed) {
            if self.server(provider).is_some() {
                let known = self.known_models(provider);
                self.effects.push(Effect::WriteModels(provider, known));
            }
        }
        if !self.knows_all() || self.is_recovering() {
            return;
        }
        let record = self.record(None);
        if self.durable.last.as_ref() != Some(&record) {
            self.durable.last = Some(record.clone());
            (self.durable.asked, self.durable.is_synced) = (None, false);
            self.effects.push(Effect::Write(record));
        }
    }

    /// The state, as far as it must outlive the process; with a swap that is not in its lane at the moment.
    fn record(&self, aside: Option<&Swap>) -> Record {
        let lanes = self.lanes().iter().filter_map(|lane| self.lane(*lane).swap.as_ref());
        let swaps: Vec<&Swap> = lanes.chain(aside).filter(|swap| swap.step.is_recorded()).collect();
        let victims = || swaps.iter().flat_map(|swap| &swap.victims);
        let going = victims().filter_map(|key| Some(self.instances.get(key)?.describe(key)));
        let gone = self.tombs.values().map(|tomb| tomb.was.clone());
        let loading = swaps.iter().filter_map(|swap| swap.goal.model());
        let is_ours = |held: &Held| held.owner == Owner::Gateway;
        let ours = self.instances.iter().filter(|(_, held)| is_ours(held));
        let ours = ours.map(|(key, held)| held.describe(key)).chain(self.ours_before());
        // What is about to go is written down as it will be when it has gone.
        let parting: Vec<Parting> = victims().filter_map(|key| self.parting(key)).collect();
        let mut names = self.durable.names.clone();
        parting.iter().filter_map(Parting::lost_name).for_each(|lost| remember_name(&mut names, lost));
        let left = |until: &Instant| whole_minutes(until.saturating_duration_since(self.now));
        let orphans = self.orphans.iter();
        Record {
            baseline: self.due_records(&parting),
            ours: ours.collect(),
            going: going.chain(gone).collect(),
            loading: loading.cloned().collect(),
            orphans: orphans
                .map(|(model, until)| OrphanRecord { model: model.clone(), left: left(until) })
                .collect(),
            names,
            is_at_rest: self.rests() && aside.is_none(),
        }
    }

    /// What is known of a provider's models, in its order.
    pub(super) fn known_models(&self, provider: ProviderIndex) -> Vec<KnownModel> {
        let order = self.server(provider).into_iter().flat_map(|server| &server.order);
        let known = order.filter_map(|id| self.models.get(id));
        known.map(|it| KnownModel { facts: it.facts.clone(), load_time: it.load_time }).collect()
    }

    fn due_records(&self, parting: &[Parting]) -> Vec<DueRecord> {
        let records = self.baseline.iter().map(|due| {
            let parts = parting.iter().find(|it| it.model == due.model);
            let ttl = parts.map_or(due.ttl, |it| it.rest);
            DueRecord { model: due.model.clone(), kind: due.kind, settings: due.settings, ttl }
        });
        records.filter(|due| due.ttl != Some(Duration::ZERO)).collect()
    }

    /// What is due is in memory everywhere, and nothing else of ours.
    fn rests(&self) -> bool {
        let is_left_over = |held: &Held| held.owner == Owner::Gateway && !self.is_due(&held.model);
        self.servers.iter().all(|server| server.leaves || server.link.state == LinkState::Up)
            && self.is_quiet()
            && self.lanes().iter().all(|lane| self.is_at_rest(*lane))
            && !self.instances.values().any(is_left_over)
    }

    /// What was ours in the life before, and has not been looked for with success or in vain in this one.
    fn ours_before(&self) -> impl Iterator<Item = InstanceRecord> {
        self.durable.found.iter().flat_map(|found| {
            found.ours.iter().map(|(model, id)| InstanceRecord {
                model: model.clone(),
                id: id.clone(),
                settings: crate::provider::Settings::default(),
                owner: Owner::Gateway,
                seen: if found.awaited.contains(model) { Seen::Told } else { Seen::Listed },
            })
        })
    }
}

/// The newest are kept.
fn remember_name(names: &mut Vec<LostName>, lost: LostName) {
    names.retain(|it| it.name != lost.name);
    let too_many = (names.len() + 1).saturating_sub(NAMES);
    names.drain(..too_many);
    names.push(lost);
}

/// Rounded up: the record need not be written anew with every second.
fn whole_minutes(left: Duration) -> Duration {
    Duration::from_secs((left.as_secs() / 60 + 1) * 60)
}

// === impl Parting ===

impl Parting {
    /// A name that nothing but a person can give.
    fn lost_name(&self) -> Option<LostName> {
        (self.loss == Some(Loss::NameAndSettings))
            .then(|| LostName { name: self.id.clone(), model: self.model.clone() })
    }
}

// === impl Held ===

impl Held {
    /// As it is remembered.
    pub(super) fn describe(&self, key: &InstanceKey) -> InstanceRecord {
        InstanceRecord {
            model: self.model.clone(),
            id: key.id.clone(),
            settings: self.settings,
            owner: self.owner,
            seen: self.seen,
        }
    }
}

// === impl Planner: what a load cannot bring back ===

impl Planner {
    /// What a load cannot bring back of this instance; none where nothing would bring it back.
    fn parting(&self, key: &InstanceKey) -> Option<Parting> {
        let held = self.instances.get(key).filter(|held| self.is_due(&held.model))?;
        let (model, id) = (held.model.clone(), key.id.clone());
        let is_own_name = id.as_str() == model.key()
            || id.as_str().strip_prefix(model.key()).is_some_and(|rest| rest.starts_with(':'));
        let loss = match held.owner {
            Owner::Gateway => None,
            Owner::SomeoneElse if is_own_name => Some(Loss::Settings),
            Owner::SomeoneElse => Some(Loss::NameAndSettings),
        };
        Some(Parting { model, id, rest: held.rest(self.now), loss })
    }

    /// The instance goes now: what its model's next load cannot give it is said, or remembered in its place.
    pub(super) fn note_parting(&mut self, key: &InstanceKey) {
        let Some(parting) = self.parting(key) else { return };
        match parting.rest {
            Some(Duration::ZERO) => self.baseline.remove(&parting.model),
            rest => self.baseline.set_ttl(&parting.model, rest),
        }
        parting.lost_name().into_iter().for_each(|lost| remember_name(&mut self.durable.names, lost));
        if let Some(loss) = parting.loss {
            self.effects.push(Effect::Lost(parting.model, parting.id, loss));
        }
    }

    /// Somebody uses the name again.
    pub(super) fn name_is_taken(&mut self, instance: &InstanceId) {
        self.durable.names.retain(|it| it.name != *instance);
    }

    /// Names that displaced instances had, and the models they mean.
    pub(in crate::residency) fn lost_names(&self) -> &[LostName] {
        &self.durable.names
    }

    /// What was to be kept for a while only has been idle for as long: it is not due any more.
    pub(super) fn end_ttls(&mut self) {
        let is_over = |held: &&Held| {
            held.batch.is_empty() && held.is_idle() && held.lapses().is_some_and(|at| at <= self.now)
        };
        let over = self.instances.values().filter(is_over);
        let over: Vec<ModelId> = over.map(|held| held.model.clone()).collect();
        for model in over {
            self.baseline.remove(&model);
            self.instances.values_mut().filter(|held| held.model == model).for_each(|held| held.lapse = None);
        }
    }

    /// When the next of these is over.
    pub(super) fn ttls_wake(&self) -> impl Iterator<Item = Instant> {
        self.instances.values().filter_map(Held::lapses)
    }
}

// === impl Step ===

impl Step {
    /// The swap has been written down.
    fn is_recorded(self) -> bool {
        !matches!(self, Self::Draining { .. })
    }
}
