//! Providers that look after their memory themselves: clouds, servers of a single model, old servers, and those of which
//! the user says so. What is loaded there for a request, and what goes for it, is their own business.
//!
//! All that one lists is taken as resident under its own key. It takes no room of ours, is never due, and gets no effect.
//! Which kind a provider is, each of its lists says anew: another server may answer at its address.

use std::num::NonZeroU32;

use super::memory::{Held, Owner, State};
use super::server::{InstanceKey, ProviderIndex};
use super::{Asked, Planner};
use crate::id::{InstanceId, ModelId};
use crate::model::Kind;
use crate::provider::{Control, Resident};

// === impl Planner ===

impl Planner {
    /// Whether the provider's memory is ours to look after. Where that changes another server has taken its place: what
    /// the one before held is gone with it, and so is what was still awaited of it. What leases are on stays until the
    /// list that says so has shown whether it is there.
    pub(super) fn set_control(&mut self, provider: ProviderIndex, control: Control) {
        if self.server(provider).is_none_or(|server| server.control == control) {
            return;
        }
        // Where the user has changed who looks after it, the server is the same, and so is what our leases are on.
        let its = self.instances.iter_mut().filter(|(key, _)| key.provider == provider);
        let mut idle = Vec::new();
        for (key, held) in its {
            (held.context_is_final, held.doubted) = (control == Control::ListOnly, None);
            (held.state, held.closing, held.owner) = (State::Ready, false, Owner::SomeoneElse);
            if held.is_idle() {
                idle.push(key.clone());
            }
        }
        idle.iter().for_each(|key| self.remove_instance(key));
        for lane in self.lanes() {
            let swap = self.lane_mut(*lane).swap.iter_mut();
            swap.for_each(|swap| swap.victims.retain(|key| key.provider != provider));
        }
        let Some(server) = self.server_mut(provider) else { return };
        server.control = control;
        server.holds.clear();
        for lane in self.lanes() {
            self.swap_on_outage(*lane, provider);
        }
        let of_it = |model: &ModelId| self.provider_of(model) == Some(provider);
        let orphans: Vec<ModelId> = self.orphans.keys().filter(|model| of_it(model)).cloned().collect();
        for model in orphans {
            self.orphans.remove(&model);
        }
        self.await_no_more_of(provider);
        (self.published_is_stale, self.changed) = (true, true);
    }

    /// Every listed model counts as resident, under its own key, and nothing of it is due.
    pub(super) fn take_all_as_resident(
        &mut self,
        provider: ProviderIndex,
        residents: Vec<(ModelId, Kind, Resident)>,
    ) {
        self.note_what_it_holds(provider, &residents);
        let order = self.server(provider).map(|server| server.order.clone()).unwrap_or_default();
        let key_of = |model: &ModelId| InstanceKey { provider, id: InstanceId::new(model.key()) };
        let is_gone = |key: &InstanceKey| !order.iter().any(|model| key_of(model) == *key);
        let its = self.instances.keys().filter(|key| key.provider == provider);
        let gone: Vec<InstanceKey> = its.filter(|key| is_gone(key)).cloned().collect();
        gone.iter().for_each(|key| self.remove_instance(key));
        let is_its = |model: &&ModelId| self.provider_of(model) == Some(provider);
        let due: Vec<ModelId> = self.baseline.iter().map(|due| &due.model).filter(is_its).cloned().collect();
        due.iter().for_each(|model| self.baseline.remove(model));
        for model in order {
            let (key, kind) = (key_of(&model), self.kind_of(&model));
            let new = || Held {
                context_is_final: true,
                ..Held::new(model, kind, Owner::SomeoneElse, Asked(0), self.now)
            };
            let is_new = !self.instances.contains_key(&key);
            let shown = residents.iter().map(|(_, _, resident)| resident).find(|it| it.id == key.id);
            let held = self.instances.entry(key).or_insert_with(new);
            let settings = shown.map(|resident| resident.settings).unwrap_or_default();
            let limit = shown.and_then(|resident| resident.parallel).map_or(u32::MAX, NonZeroU32::get);
            held.gate.set_limit(limit);
            if is_new || held.settings != settings {
                held.settings = settings;
                (self.published_is_stale, self.changed) = (true, true);
            }
        }
    }

    /// What such a provider holds at the moment is the best that a request without a model can be sent to. One that shows
    /// everything as resident says nothing by it.
    fn note_what_it_holds(&mut self, provider: ProviderIndex, residents: &[(ModelId, Kind, Resident)]) {
        let mut holds: Vec<ModelId> = Vec::new();
        for (model, ..) in residents {
            if !holds.contains(model) {
                holds.push(model.clone());
            }
        }
        let Some(server) = self.server_mut(provider) else { return };
        if holds.len() == server.order.len() {
            holds.clear();
        }
        let is_news = server.holds != holds;
        server.holds = holds;
        self.published_is_stale |= is_news;
    }
}
