//! What providers list, taken into the state: new models, instances that came or went by others' doing, and whether
//! the provider is there at all.
//!
//! A list is the truth of the moment it was asked for, not of the one it arrives in: whatever we did since is newer.
//! Providers may also lag behind their own answers for a moment; within that moment our own effects count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::baseline::Place;
use super::memory::{Held, Known, Owner, Seen, State};
use super::pace::Pace;
use super::server::{InstanceKey, LinkState, ProviderIndex};
use super::swap::Step;
use super::{Asked, Effect, Inventory, Mutant, Notice, Planner, Tomb};
use crate::id::{InstanceId, ModelId};
use crate::model::Kind;
use crate::provider::{Control, Error, Listed, Readiness, Resident};
use crate::residency::claim::{Reason, Refused};
use crate::residency::gate::{Ends, Gate, Newcomers};

/// How often a provider is asked.
const RELIST: Duration = Duration::from_secs(10);

/// How often, while something is being loaded that we have no answer of.
const RELIST_LOADING: Duration = Duration::from_secs(2);

/// How often at least, while it generates.
const RELIST_BUSY: Duration = Duration::from_secs(60);

/// The first pause after a list that failed or did not settle things; doubles to [`RELIST`].
pub(super) const RELIST_FIRST: Duration = Duration::from_millis(500);

/// How long a list may lack what was just loaded.
pub(super) const LIST_LAG: Duration = Duration::from_secs(15);

/// How long a list may show what was just unloaded.
pub(super) const UNLOAD_LAG: Duration = Duration::from_secs(5);

/// Failures in a row, other than a refused connection, after which a provider counts as down.
const FAILURES_MOST: u32 = 3;

// === impl Planner: asking ===

impl Planner {
    /// A list of this provider is needed that is asked for after this moment.
    pub(super) fn want_list(&mut self, provider: ProviderIndex) {
        let wanted = Asked(self.clock);
        if let Some(link) = self.link_mut(provider) {
            link.wanted = Some(wanted);
        }
    }

    /// A list of this provider is needed in a while.
    pub(super) fn want_list_in(&mut self, provider: ProviderIndex, pause: Duration) {
        let at = self.now + pause;
        if let Some(link) = self.link_mut(provider) {
            link.due = link.due.min(at);
        }
    }

    /// Asks every provider that it is time to ask and that is not being asked.
    pub(super) fn ask_for_lists(&mut self) {
        for provider in self.providers() {
            self.ask_for_list(provider);
        }
    }

    fn ask_for_list(&mut self, provider: ProviderIndex) {
        let asked = self.server(provider).filter(|server| server.awaits.is_none());
        let Some(link) = asked.map(|server| &server.link) else { return };
        if link.asking.is_some() || (link.wanted.is_none() && self.now < link.due) {
            return;
        }
        let generates =
            || self.instances.iter().any(|(key, held)| key.provider == provider && !held.is_idle());
        let is_fresh = link.listed.is_some_and(|at| self.now < at + RELIST_BUSY);
        let is_routine = link.wanted.is_none() && link.state == LinkState::Up && is_fresh;
        let is_open = self.is_recovering()
            || self.instances.iter().any(|(key, held)| key.provider == provider && held.is_undecided());
        let is_spared = is_routine && self.is_quiet() && generates() && !is_open;
        let due = self.now + RELIST;
        let asked = if is_spared { None } else { Some(Asked(self.tick_clock())) };
        let Some(link) = self.link_mut(provider) else { return };
        link.due = due;
        if let Some(asked) = asked {
            link.asking = Some(asked);
            self.effects.push(Effect::List(provider, asked));
        }
    }

    /// An exchange was told that the instance is not there.
    pub(super) fn doubt(&mut self, model: &ModelId, instance: &InstanceId, gate: &Arc<Gate>) {
        let (now, doubted) = (self.now, Asked(self.clock));
        let Some(provider) = self.provider_of(model) else { return };
        let key = InstanceKey { provider, id: instance.clone() };
        let is_ours = !self.looks_after_itself(provider);
        if let Some(held) = self.instances.get_mut(&key)
            && Arc::ptr_eq(&held.gate, gate)
        {
            // Where the provider loads for each request by itself, one that failed says nothing about the next.
            if is_ours {
                held.doubted = Some(doubted);
                held.lag_until = now;
            }
            self.want_list(provider);
        }
    }
}

// === impl Planner: answers ===

impl Planner {
    /// A list arrived or failed.
    pub(super) fn on_listed(
        &mut self,
        provider: ProviderIndex,
        asked: Asked,
        result: Result<Inventory, Error>,
    ) {
        let Some(link) = self.link_mut(provider).filter(|link| asked >= link.since) else { return };
        if link.asking == Some(asked) {
            link.asking = None;
        }
        if link.wanted.is_some_and(|wanted| wanted <= asked) {
            link.wanted = None;
        }
        match result {
            Ok((control, listed)) => self.on_good_list(provider, asked, control, listed),
            Err(error) => self.on_failed_list(provider, &error),
        }
        self.look_whether_it_rested();
    }

    fn on_failed_list(&mut self, provider: ProviderIndex, error: &Error) {
        let now = self.now;
        let Some(link) = self.link_mut(provider) else { return };
        link.failures = link.failures.saturating_add(1);
        let pause = RELIST_FIRST.saturating_mul(1 << link.failures.min(8)).min(RELIST);
        link.due = now + pause;
        link.wanted = None;
        let is_definite =
            matches!(error, Error::Unreachable(_) | Error::Unauthorised(_) | Error::Unsupported(_));
        if !is_definite && link.failures < FAILURES_MOST {
            return;
        }
        let message = error.to_string();
        link.state = LinkState::Down(message.clone());
        (self.published_is_stale, self.changed) = (true, true);
        if self.has(Mutant::ForgetsDownBaseline) {
            let is_its = |model: &&ModelId| self.provider_of(model) == Some(provider);
            let its: Vec<ModelId> =
                self.baseline.iter().map(|due| &due.model).filter(is_its).cloned().collect();
            its.iter().for_each(|model| self.baseline.remove(model));
        }
        // What it held, the list that it comes back with must show.
        let doubted = Asked(self.clock);
        let is_ours = !self.looks_after_itself(provider);
        let its = self.instances.iter_mut().filter(|(key, _)| is_ours && key.provider == provider);
        its.for_each(|(_, held)| held.doubted = Some(doubted));
        for lane in self.lanes() {
            self.swap_on_outage(*lane, provider);
        }
        let refused = Refused::retry(Reason::ProviderDown { message }, super::claims::RETRY_DOWN);
        self.refuse_all(&refused, |planner, waiter| planner.provider_of(waiter.model()) == Some(provider));
    }

    fn on_good_list(&mut self, provider: ProviderIndex, asked: Asked, control: Control, listed: Vec<Listed>) {
        let now = self.now;
        self.set_control(provider, control);
        if let Some(server) = self.server_mut(provider) {
            server.is_newcomer = false;
        }
        let Some(link) = self.link_mut(provider) else { return };
        let before = std::mem::replace(&mut link.state, LinkState::Up);
        let is_first = link.listed.is_none();
        link.failures = 0;
        link.listed = Some(now);
        link.due = now + RELIST;
        self.published_is_stale |= before != LinkState::Up;
        self.changed |= before != LinkState::Up;
        let residents = self.take_models(provider, listed, is_first);
        let shown = match control {
            Control::Full => self.take_residents(provider, asked, residents, (&before, is_first)),
            Control::ListOnly => {
                self.take_all_as_resident(provider, residents);
                BTreeSet::new()
            }
        };
        // Also where nothing of it is ours: a swap may wait to hear of it, and the record for the last to be heard of.
        self.look_at_record(provider);
        for lane in self.lanes() {
            self.swap_on_list(*lane, provider, asked, &shown);
        }
    }

    /// What a provider holds whose memory is ours to look after. Says which instances were shown.
    fn take_residents(
        &mut self,
        provider: ProviderIndex,
        asked: Asked,
        residents: Vec<(ModelId, Kind, Resident)>,
        (before, is_first): (&LinkState, bool),
    ) -> BTreeSet<InstanceKey> {
        let key_of = |resident: &Resident| InstanceKey { provider, id: resident.id.clone() };
        let shown: BTreeSet<InstanceKey> =
            residents.iter().map(|(_, _, resident)| key_of(resident)).collect();
        let mut chosen = Vec::new();
        for (model, kind, resident) in residents {
            let key = key_of(&resident);
            if self.is_outdated(asked, &key) || self.refresh(asked, &key, &model, &resident) {
                continue;
            }
            let is_news = *before != LinkState::Unknown;
            let owner = self.adopt(asked, &key, (&model, kind), resident, is_news);
            let is_new = owner == Some(Owner::SomeoneElse) && !self.was_going(&model, &key.id);
            if is_new || (owner.is_some() && is_first && self.rested_before()) {
                // What was due before the gateway was stopped has only been found again.
                let place = if is_first && self.is_due(&model) { Place::Kept } else { Place::Last };
                chosen.push((model, key, place));
            }
        }
        self.drop_absent(provider, asked, before, &shown);
        self.drop_tombs(provider, asked, &shown);
        // Only now is it known what they displaced. At the first list they are what the baseline begins with.
        for (model, key, place) in chosen {
            self.choose(&model, &key, place);
        }
        let is_loading =
            |(key, held): (&InstanceKey, &Held)| key.provider == provider && held.state == State::Loading;
        if self.instances.iter().any(is_loading) {
            self.want_list_in(provider, RELIST_LOADING);
        }
        shown
    }

    /// Once a list has shown that something is gone, what shows under its name is something new.
    fn drop_tombs(&mut self, provider: ProviderIndex, asked: Asked, shown: &BTreeSet<InstanceKey>) {
        let lasts = |key: &InstanceKey, tomb: &Tomb| {
            key.provider != provider || asked < tomb.asked_after || shown.contains(key)
        };
        let tombs = self.tombs.len();
        self.tombs.retain(|key, tomb| lasts(key, tomb));
        self.published_is_stale |= self.tombs.len() != tombs;
    }

    /// Facts of models; returns their instances. The same key may be listed more than once, by variant.
    fn take_models(
        &mut self,
        provider: ProviderIndex,
        listed: Vec<Listed>,
        is_first: bool,
    ) -> Vec<(ModelId, Kind, Resident)> {
        let Some(name) = self.server(provider).map(|server| server.name.clone()) else { return Vec::new() };
        let mut residents = Vec::new();
        let mut order = Vec::new();
        let mut known = BTreeMap::new();
        for mut facts in listed {
            let model = ModelId::of(&name, &facts.key);
            let kind = facts.kind;
            residents.extend(facts.instances.drain(..).map(|resident| (model.clone(), kind, resident)));
            if known.contains_key(&model) {
                continue;
            }
            let before = self.models.remove(&model);
            let weighed = before.as_ref().and_then(|before| before.facts.size_bytes);
            facts.size_bytes = facts.size_bytes.or(weighed);
            if before.as_ref().is_none_or(|before| before.facts != facts) {
                self.published_is_stale = true;
                self.durable.note_models(provider);
            }
            if before.is_none() && !is_first {
                self.effects.push(Effect::Notice(Notice::Discovered(model.clone())));
            }
            let (load_time, pace) =
                before.map_or((None, Pace::default()), |before| (before.load_time, before.pace));
            known.insert(model.clone(), Known { facts, load_time, pace });
            order.push(model);
        }
        let Some(server) = self.server_mut(provider) else { return residents };
        for model in std::mem::replace(&mut server.order, order) {
            if self.models.remove(&model).is_some() {
                self.published_is_stale = true;
                self.durable.note_models(provider);
                self.effects.push(Effect::Notice(Notice::Removed(model)));
            }
        }
        self.models.extend(known);
        residents
    }

    /// The instance was unloaded after the list was asked for, or so shortly before that a list may still show it.
    fn is_outdated(&self, asked: Asked, instance: &InstanceKey) -> bool {
        let is_newer = |tomb: &Tomb| asked < tomb.asked_after || self.now < tomb.until;
        !self.has(Mutant::BelievesStaleLists) && self.tombs.get(instance).is_some_and(is_newer)
    }

    /// Takes what is said of an instance that is known; false where it is not.
    fn refresh(&mut self, asked: Asked, key: &InstanceKey, model: &ModelId, resident: &Resident) -> bool {
        let known = self.instances.get_mut(key).filter(|held| held.model == *model);
        let Some(held) = known else { return false };
        if held.state == State::Unloading {
            return true;
        }
        let settings = resident.settings.or(held.settings);
        let state = State::of(resident.readiness);
        held.ttl = resident.remaining_ttl.map(|ttl| (ttl, self.now));
        if resident.readiness == Readiness::Loading && held.owner == Owner::Gateway {
            held.lag_until = self.now + LIST_LAG;
        }
        if held.seen == Seen::Told && resident.readiness == Readiness::Ready {
            (held.seen, self.published_is_stale) = (Seen::Listed, true);
        }
        let cleared = held.doubted.take_if(|doubted| *doubted <= asked).is_some();
        if cleared || held.settings != settings || held.state != state {
            (held.settings, held.state) = (settings, state);
            (self.published_is_stale, self.changed) = (true, true);
        }
        let limit = resident.parallel.map(std::num::NonZeroU32::get);
        limit.into_iter().for_each(|limit| held.gate.set_limit(limit));
        true
    }

    /// An instance that was not known before. Says whose it is; none where the load under way will announce it.
    fn adopt(
        &mut self,
        asked: Asked,
        key: &InstanceKey,
        (model, kind): (&ModelId, Kind),
        resident: Resident,
        is_news: bool,
    ) -> Option<Owner> {
        let swap =
            self.lane(self.lane_of(kind)).swap.as_ref().filter(|swap| swap.goal.model() == Some(model));
        let is_being_loaded = swap.is_some_and(|swap| matches!(swap.step, Step::Loading(_)));
        if is_being_loaded && !self.has(Mutant::BelievesStaleLists) {
            return None;
        }
        let was_searched = swap.is_some_and(|swap| matches!(swap.step, Step::Searching { .. }));
        let was_orphan = self.orphans.remove(model).is_some();
        let is_ours = self.recognise(model, &key.id) || was_searched || was_orphan;
        self.name_is_taken(&key.id);
        // What we once sent and hear nothing of may be missing from lists between its load and its being there.
        let is_our_load = is_ours && resident.readiness == Readiness::Loading;
        let owner = if is_ours { Owner::Gateway } else { Owner::SomeoneElse };
        let limit = resident.parallel.map_or(u32::MAX, std::num::NonZeroU32::get);
        let held = Held {
            gate: Arc::new(Gate::new(limit)),
            gates_before: self.leases_from_before(key),
            state: State::of(resident.readiness),
            settings: resident.settings,
            lag_until: if is_our_load { self.now + LIST_LAG } else { self.now },
            seen: if resident.readiness == Readiness::Ready { Seen::Listed } else { Seen::Told },
            ttl: resident.remaining_ttl.map(|ttl| (ttl, self.now)),
            lapse: if is_ours { self.lapse_of(model) } else { None },
            ..Held::new(model.clone(), kind, owner, asked, self.now)
        };
        self.instances.insert(key.clone(), held);
        (self.published_is_stale, self.changed) = (true, true);
        if is_news {
            self.effects.push(Effect::Notice(Notice::Loaded(model.clone(), resident.id)));
        }
        Some(owner)
    }

    /// What was there and is not listed any more has gone by others' doing.
    fn drop_absent(
        &mut self,
        provider: ProviderIndex,
        asked: Asked,
        before: &LinkState,
        shown: &BTreeSet<InstanceKey>,
    ) {
        let now = self.now;
        let believes_all = self.has(Mutant::BelievesStaleLists);
        let is_gone = |held: &Held| match held.doubted {
            _ if believes_all => true,
            _ if held.state == State::Unloading => false,
            Some(doubted) => doubted <= asked && held.lag_until <= now,
            None => held.known_since < asked && held.lag_until <= now,
        };
        if self.instances.iter().any(|(key, held)| key.provider == provider && held.doubted.is_some()) {
            self.want_list_in(provider, RELIST_FIRST);
        }
        let is_its = |key: &InstanceKey| key.provider == provider || self.has(Mutant::BelievesWrongList);
        let gone: Vec<(InstanceKey, ModelId, bool)> = self
            .instances
            .iter()
            .filter(|(key, held)| is_its(key) && !shown.contains(*key) && is_gone(held))
            .map(|(id, held)| (id.clone(), held.model.clone(), held.doubted.is_some()))
            .collect();
        for (id, model, was_doubted) in gone {
            self.remove_instance(&id);
            let vanished = was_doubted || *before != LinkState::Up || self.was_going(&model, &id.id);
            if !vanished && !self.is_resident(&model) {
                self.baseline.remove(&model);
            }
        }
    }

    /// Forgets an instance that is not in memory any more.
    pub(super) fn remove_instance(&mut self, key: &InstanceKey) {
        let Some(held) = self.instances.remove(key) else { return };
        for lane in self.lanes() {
            let swap = self.lane_mut(*lane).swap.iter_mut();
            swap.for_each(|swap| swap.victims.retain(|it| it != key));
        }
        held.gate.set(Newcomers::Ask, Ends::Told);
        if !self.looks_after_itself(key.provider) {
            self.effects.push(Effect::Notice(Notice::Unloaded(held.model, key.id.clone())));
        }
        self.published_is_stale = true;
        self.changed = true;
    }
}

// === impl State ===

impl State {
    fn of(readiness: Readiness) -> Self {
        match readiness {
            Readiness::Ready => Self::Ready,
            Readiness::Loading => Self::Loading,
        }
    }
}
