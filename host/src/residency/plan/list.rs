//! What providers list, taken into the state: new models, instances that came or went by others' doing, and whether
//! the provider is there at all.
//!
//! A list is the truth of the moment it was asked for, not of the one it arrives in: whatever we did since is newer.
//! Providers may also lag behind their own answers for a moment; within that moment our own effects count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::baseline::Place;
use super::memory::{Held, Known, Owner, State};
use super::pace::Pace;
use super::swap::Step;
use super::{Asked, Effect, LinkState, Mutant, Notice, Planner, Tomb};
use crate::id::{InstanceId, ModelId};
use crate::model::Kind;
use crate::provider::{Error, Listed, Readiness, Resident, Settings};
use crate::residency::claim::{Reason, Refused};
use crate::residency::config::Mode;
use crate::residency::gate::{Ends, Gate, Newcomers};

/// How often a provider is asked.
const RELIST: Duration = Duration::from_secs(10);

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
    /// A list is needed that is asked for after this moment.
    pub(super) fn want_list(&mut self) {
        self.link.wanted = Some(Asked(self.clock));
    }

    /// A list is needed in a while.
    pub(super) fn want_list_in(&mut self, pause: Duration) {
        self.link.due = self.link.due.min(self.now + pause);
    }

    /// Asks, if it is time to and nothing is on its way.
    pub(super) fn ask_for_list(&mut self) {
        if self.link.asking.is_some() || (self.link.wanted.is_none() && self.now < self.link.due) {
            return;
        }
        let generates = || self.instances.values().any(|held| !held.is_idle());
        let is_fresh = self.link.listed.is_some_and(|at| self.now < at + RELIST_BUSY);
        let is_quiet = self.language.swap.is_none() && self.embedding.swap.is_none();
        if self.link.wanted.is_none() && self.is_up() && is_fresh && is_quiet && generates() {
            self.link.due = self.now + RELIST;
            return;
        }
        let asked = Asked(self.tick_clock());
        self.link.asking = Some(asked);
        self.link.due = self.now + RELIST;
        self.effects.push(Effect::List(asked));
    }

    /// An exchange was told that the instance is not there.
    pub(super) fn doubt(&mut self, instance: &InstanceId, gate: &Arc<Gate>) {
        let (now, doubted) = (self.now, Asked(self.clock));
        if let Some(held) = self.instances.get_mut(instance)
            && Arc::ptr_eq(&held.gate, gate)
        {
            held.doubted = Some(doubted);
            held.lag_until = now;
            self.want_list();
        }
    }

    /// An effect failed: what it means for the provider, a list must tell.
    pub(super) fn note_error(&mut self, error: &Error) {
        if error.is_uncertain() || matches!(error, Error::UnknownModel(_)) {
            self.want_list();
        }
    }
}

// === impl Planner: answers ===

impl Planner {
    /// A list arrived or failed.
    pub(super) fn on_listed(&mut self, asked: Asked, result: Result<Vec<Listed>, Error>) {
        if self.link.asking == Some(asked) {
            self.link.asking = None;
        }
        if self.link.wanted.is_some_and(|wanted| wanted <= asked) {
            self.link.wanted = None;
        }
        match result {
            Ok(listed) => self.on_good_list(asked, listed),
            Err(error) => self.on_failed_list(&error),
        }
    }

    fn on_failed_list(&mut self, error: &Error) {
        self.link.failures = self.link.failures.saturating_add(1);
        let pause = RELIST_FIRST.saturating_mul(1 << self.link.failures.min(8)).min(RELIST);
        self.link.due = self.now + pause;
        self.link.wanted = None;
        let is_definite =
            matches!(error, Error::Unreachable(_) | Error::Unauthorised(_) | Error::Unsupported(_));
        if !is_definite && self.link.failures < FAILURES_MOST {
            return;
        }
        let message = error.to_string();
        self.link.state = LinkState::Down(message.clone());
        self.published_is_stale = true;
        for kind in [Kind::Language, Kind::Embedding] {
            // What is on its way is awaited; what only waits for lists is dropped.
            let waits = |step| matches!(step, Step::Confirming { .. } | Step::Searching { .. });
            let swap = self.lane_mut(kind).swap.take_if(|swap| waits(swap.step));
            if let Some(swap) = swap
                && matches!(swap.step, Step::Searching { .. })
                && let Some(model) = swap.goal.model()
            {
                self.orphans.push(model.clone());
            }
        }
        let refused = Refused::retry(Reason::ProviderDown { message }, super::claims::RETRY_DOWN);
        self.refuse_all(&refused, |_, _| true);
    }

    fn on_good_list(&mut self, asked: Asked, listed: Vec<Listed>) {
        let before = std::mem::replace(&mut self.link.state, LinkState::Up);
        self.published_is_stale |= before != LinkState::Up;
        self.link.failures = 0;
        self.link.listed = Some(self.now);
        self.link.due = self.now + RELIST;
        let residents = self.take_models(listed);
        if self.config.mode == Mode::Provider {
            self.take_all_as_resident();
            return;
        }
        let shown: BTreeSet<InstanceId> =
            residents.iter().map(|(_, _, resident)| resident.id.clone()).collect();
        let mut chosen = Vec::new();
        for (model, kind, resident) in residents {
            if self.is_outdated(asked, &resident.id) || self.refresh(asked, &model, &resident) {
                continue;
            }
            let is_news = before != LinkState::Unknown;
            let instance = resident.id.clone();
            if self.adopt(asked, &model, kind, resident, is_news) == Some(Owner::SomeoneElse) {
                chosen.push((model, instance));
            }
        }
        self.drop_absent(asked, &before, &shown);
        // Only now is it known what they displaced. At the first list they are what the baseline begins with.
        for (model, instance) in chosen {
            self.choose(&model, &instance, Place::Last);
        }
        for kind in [Kind::Language, Kind::Embedding] {
            self.swap_on_list(kind, asked, &shown);
        }
    }

    /// Facts of models; returns their instances. The same key may be listed more than once, by variant.
    fn take_models(&mut self, listed: Vec<Listed>) -> Vec<(ModelId, Kind, Resident)> {
        let mut residents = Vec::new();
        let mut order = Vec::new();
        let mut known = BTreeMap::new();
        for mut facts in listed {
            let model = ModelId::of(&self.provider, &facts.key);
            let kind = facts.kind;
            residents.extend(facts.instances.drain(..).map(|resident| (model.clone(), kind, resident)));
            if known.contains_key(&model) {
                continue;
            }
            let before = self.models.remove(&model);
            if before.as_ref().is_none_or(|before| before.facts != facts) {
                self.published_is_stale = true;
            }
            if before.is_none() && self.link.listed.is_some() {
                self.effects.push(Effect::Notice(Notice::Discovered(model.clone())));
            }
            let (load_time, pace) =
                before.map_or((None, Pace::default()), |before| (before.load_time, before.pace));
            known.insert(model.clone(), Known { facts, load_time, pace });
            order.push(model);
        }
        for removed in std::mem::replace(&mut self.models, known).into_keys() {
            self.published_is_stale = true;
            self.effects.push(Effect::Notice(Notice::Removed(removed)));
        }
        self.order = order;
        residents
    }

    /// The instance was unloaded after the list was asked for, or so shortly before that a list may still show it.
    fn is_outdated(&self, asked: Asked, instance: &InstanceId) -> bool {
        let is_newer = |tomb: &Tomb| asked < tomb.asked_after || self.now < tomb.until;
        !self.has(Mutant::BelievesStaleLists) && self.tombs.get(instance).is_some_and(is_newer)
    }

    /// Takes what is said of an instance that is known; false where it is not.
    fn refresh(&mut self, asked: Asked, model: &ModelId, resident: &Resident) -> bool {
        let known = self.instances.get_mut(&resident.id).filter(|held| held.model == *model);
        let Some(held) = known else { return false };
        if held.state == State::Unloading {
            return true;
        }
        let settings = resident.settings.or(held.settings);
        let state = State::of(resident.readiness);
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
        model: &ModelId,
        kind: Kind,
        resident: Resident,
        is_news: bool,
    ) -> Option<Owner> {
        let swap = self.lane(kind).swap.as_ref().filter(|swap| swap.goal.model() == Some(model));
        let is_being_loaded = swap.is_some_and(|swap| matches!(swap.step, Step::Loading(_)));
        if is_being_loaded && !self.has(Mutant::BelievesStaleLists) {
            return None;
        }
        let was_searched = swap.is_some_and(|swap| matches!(swap.step, Step::Searching { .. }));
        let orphan = self.orphans.iter().position(|orphan| orphan == model);
        let is_ours = was_searched || orphan.is_some();
        if let Some(orphan) = orphan {
            self.orphans.swap_remove(orphan);
        }
        let owner = if is_ours { Owner::Gateway } else { Owner::SomeoneElse };
        let limit = resident.parallel.map_or(u32::MAX, std::num::NonZeroU32::get);
        let held = Held {
            model: model.clone(),
            kind,
            gate: Arc::new(Gate::new(limit)),
            state: State::of(resident.readiness),
            settings: resident.settings,
            owner,
            context_is_final: false,
            closing: false,
            batch: BTreeSet::new(),
            spared_until: None,
            known_since: asked,
            lag_until: self.now,
            doubted: None,
        };
        self.instances.insert(resident.id.clone(), held);
        (self.published_is_stale, self.changed) = (true, true);
        if is_news {
            self.effects.push(Effect::Notice(Notice::Loaded(model.clone(), resident.id)));
        }
        Some(owner)
    }

    /// What was there and is not listed any more has gone by others' doing.
    fn drop_absent(&mut self, asked: Asked, before: &LinkState, shown: &BTreeSet<InstanceId>) {
        let now = self.now;
        let believes_all = self.has(Mutant::BelievesStaleLists);
        let is_gone = |held: &Held| match held.doubted {
            _ if believes_all => true,
            _ if held.state == State::Unloading => false,
            Some(doubted) => doubted <= asked && held.lag_until <= now,
            None => held.known_since < asked && held.lag_until <= now,
        };
        if self.instances.values().any(|held| held.doubted.is_some()) {
            self.want_list_in(RELIST_FIRST);
        }
        let gone = |(id, held): &(&InstanceId, &Held)| !shown.contains(*id) && is_gone(held);
        let gone: Vec<(InstanceId, ModelId, bool)> = self
            .instances
            .iter()
            .filter(gone)
            .map(|(id, held)| (id.clone(), held.model.clone(), held.doubted.is_some()))
            .collect();
        for (id, model, was_doubted) in gone {
            self.remove_instance(&id);
            let vanished = was_doubted || *before != LinkState::Up;
            if !vanished && !self.is_resident(&model) {
                self.baseline.remove(&model);
            }
        }
    }

    /// Forgets an instance that is not in memory any more.
    pub(super) fn remove_instance(&mut self, id: &InstanceId) {
        let Some(held) = self.instances.remove(id) else { return };
        held.gate.set(Newcomers::Ask, Ends::Told);
        self.effects.push(Effect::Notice(Notice::Unloaded(held.model, id.clone())));
        self.published_is_stale = true;
        self.changed = true;
    }

    /// Mode `provider`: every listed model counts as resident, under its own key.
    fn take_all_as_resident(&mut self) {
        let models: Vec<(ModelId, Kind)> =
            self.models.iter().map(|(model, known)| (model.clone(), known.facts.kind)).collect();
        self.instances.retain(|_, held| models.iter().any(|(model, _)| *model == held.model));
        for (model, kind) in models {
            let id = InstanceId::new(model.key());
            self.instances.entry(id).or_insert_with(|| Held {
                model,
                kind,
                gate: Arc::new(Gate::new(u32::MAX)),
                state: State::Ready,
                settings: Settings::default(),
                owner: Owner::SomeoneElse,
                context_is_final: true,
                closing: false,
                batch: BTreeSet::new(),
                spared_until: None,
                known_since: Asked(0),
                lag_until: self.now,
                doubted: None,
            });
        }
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
