//! Whose address it is: one server may be configured under another name, on another device, or at an address where another
//! one was, while requests of ours run on it.
//!
//! A server is asked under one name at a time. Whoever comes to an address that is still *held* waits there, and is asked
//! nothing: what it lists would look idle, since the leases on it are another's. An address is held by a provider that leaves
//! until that is forgotten, and by what goes on where a provider has moved away from: leases, loads and unloads that were
//! not answered, and what lists may not show yet. A provider that comes back to where it was knows its own leases, and does
//! not wait for them.
//!
//! Nobody is sent away for it at once: whoever claims a model of a provider that waits stands in line, and is refused as after
//! any drain that takes too long (rule 8). What was due on a server is left to whoever has its address next, on this device or
//! another one, under the name that the server has there; where nobody has, it is dropped, and said to be.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::baseline::Due;
use super::memory::{Owner, Seen, State};
use super::server::{InstanceKey, ProviderIndex, Server};
use super::swap::Step;
use super::{Effect, Mutant, Operation, Place, Planner, Waiter};
use crate::id::{InstanceId, ModelId, SkillName};
use crate::provider::Control;
use crate::residency::claim::{Reason, Refused};
use crate::residency::gate::Gate;
use crate::residency::record::LostName;

/// What is known of addresses.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// What goes on where a provider has moved away from.
    behind: Vec<Behind>,
    /// Those that were held when this was last looked at.
    held: BTreeSet<String>,
    /// What was due on servers that are forgotten, by address, until it is handed on.
    left: Vec<(String, Legacy)>,
}

/// Something that goes on at an address, though the provider that began it is elsewhere.
#[derive(Debug)]
struct Behind {
    provider: String,
    address: String,
    what: Ongoing,
}

#[derive(Debug)]
enum Ongoing {
    /// Leases on an instance.
    Leases(InstanceId, Arc<Gate>),
    /// An unload that was sent.
    Unload(InstanceKey),
    /// A load that was sent.
    Load(Operation),
    /// What was done there last, which its lists may not show before then.
    Unseen(Instant),
}

/// For whom a provider waits before it is asked anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// For another provider of this device, or for what goes on after it.
    Here,
    /// For another device's owner.
    Elsewhere,
}

/// What a server leaves to whoever has its address next. Models have the name that their provider had here.
#[derive(Debug, Clone, Default)]
pub(in crate::residency) struct Legacy {
    /// What is due, the one chosen last being last.
    due: Vec<Due>,
    /// Where it stood among what is due.
    place: usize,
    /// Instances that the gateway loaded.
    ours: Vec<(ModelId, InstanceId)>,
    /// Models whose load was given up, and until when they may turn up.
    orphans: Vec<(ModelId, Instant)>,
    /// Names that displaced instances had.
    names: Vec<LostName>,
    pins: Vec<(ModelId, Option<SkillName>)>,
}

// === impl Legacy ===

impl Legacy {
    /// Models that were due.
    pub(in crate::residency) fn due(&self) -> impl Iterator<Item = &ModelId> {
        self.due.iter().map(|due| &due.model)
    }

    /// The same, of a provider of this name.
    fn under(mut self, name: &str) -> Self {
        let rename = |model: &mut ModelId| *model = ModelId::of(name, model.key());
        self.due.iter_mut().for_each(|due| rename(&mut due.model));
        self.ours.iter_mut().for_each(|(model, _)| rename(model));
        self.orphans.iter_mut().for_each(|(model, _)| rename(model));
        self.names.iter_mut().for_each(|lost| rename(&mut lost.model));
        self.pins.iter_mut().for_each(|(model, _)| rename(model));
        self
    }
}

// === impl Planner: who waits ===

impl Planner {
    /// Somebody else has the address, and does not keep it.
    fn is_held_against(&self, newcomer: &Server) -> bool {
        if self.has(Mutant::LetsInTooEarly) || newcomer.address.is_empty() {
            return false;
        }
        let by_leaver = |it: &Server| it.leaves && it.index != newcomer.index && it.holds_its_address();
        let by_ongoing = |it: &Behind| match it.what {
            Ongoing::Leases(..) | Ongoing::Load(_) => it.provider != newcomer.name,
            Ongoing::Unload(_) | Ongoing::Unseen(_) => true,
        };
        self.servers.iter().any(|it| it.address == newcomer.address && by_leaver(it))
            || self.addresses.behind.iter().any(|it| it.address == newcomer.address && by_ongoing(it))
    }

    /// It is there from now on; where somebody else still has its address, it waits. One that looks after itself is asked
    /// nothing that could hurt anybody.
    pub(super) fn arrive(&mut self, provider: ProviderIndex, place: &Place) {
        let Some(server) = self.server(provider).filter(|_| place.control == Control::Full) else { return };
        let holder = match place.is_held {
            true => Some(Holder::Elsewhere),
            false => self.is_held_against(server).then_some(Holder::Here),
        };
        let before = self.servers.iter().find(|it| it.leaves && it.address == server.address);
        let shown = before.filter(|_| holder.is_some() && server.order.is_empty()).map(|before| before.index);
        if let Some(server) = self.server_mut(provider) {
            server.awaits = holder;
        }
        // Whoever names one of its models may wait for it.
        if let Some(before) = shown {
            let known = self.known_models(before);
            self.take_known(provider, &known);
        }
    }

    /// Lets those in whom nobody is in the way of any more, and says which addresses are free.
    pub(super) fn look_at_addresses(&mut self) {
        let now = self.now;
        self.addresses.behind.retain(|it| match &it.what {
            Ongoing::Leases(_, gate) => gate.count() > 0,
            Ongoing::Unseen(until) => *until > now,
            Ongoing::Unload(_) | Ongoing::Load(_) => true,
        });
        let may_come = |it: &&Server| it.awaits == Some(Holder::Here) && !self.is_held_against(it);
        let newcomers: Vec<ProviderIndex> = self.servers.iter().filter(may_come).map(|it| it.index).collect();
        newcomers.into_iter().for_each(|provider| self.let_in(provider));
        let servers = self.servers.iter().filter(|it| it.holds_its_address()).map(|it| &it.address);
        let held: BTreeSet<String> =
            servers.chain(self.addresses.behind.iter().map(|it| &it.address)).cloned().collect();
        let before = std::mem::replace(&mut self.addresses.held, held);
        let held = &self.addresses.held;
        let gone = |(address, _): &mut (String, Legacy)| !held.contains(address);
        let left: Vec<_> = self.addresses.left.extract_if(.., gone).collect();
        let is_left = |address: &&String| left.iter().any(|(it, _)| it == *address);
        let bare = before.difference(held).filter(|address| !is_left(address));
        self.effects.extend(bare.map(|address| Effect::Freed(address.clone(), None)));
        self.effects.extend(left.into_iter().map(|(address, legacy)| Effect::Freed(address, Some(legacy))));
    }

    fn let_in(&mut self, provider: ProviderIndex) {
        let now = self.now;
        if let Some(server) = self.server_mut(provider) {
            server.awaits = None;
            server.link.due = now;
        }
        (self.published_is_stale, self.changed) = (true, true);
    }

    /// Another device's owner has let go of the address.
    pub(super) fn on_freed(&mut self, address: String, legacy: Option<Legacy>) {
        let is_it =
            |it: &&mut Server| it.awaits == Some(Holder::Elsewhere) && !it.leaves && it.address == address;
        let mut heir = None;
        for server in self.servers.iter_mut().filter(is_it) {
            server.awaits = Some(Holder::Here);
            heir = heir.or(Some(server.index));
        }
        match (heir, legacy) {
            // What it stood among is another device's.
            (Some(heir), Some(legacy)) => self.inherit(heir, Legacy { place: 0, ..legacy }),
            (Some(_), None) => {}
            (None, legacy) => self.effects.push(Effect::Freed(address, legacy)),
        }
    }

    /// Whoever waits for a server that somebody else has is sent away like anybody whom a drain takes too long.
    pub(super) fn waits_in_vain(&self, waiter: &Waiter) -> Option<Refused> {
        let wait = self.config.drain_timeout;
        let is_over = self.gives_up_address(waiter).is_some_and(|at| at <= self.now);
        is_over.then(|| Refused::retry(Reason::DrainTimeout, wait))
    }

    /// When that is; none where the waiter's server is nobody else's.
    pub(super) fn gives_up_address(&self, waiter: &Waiter) -> Option<Instant> {
        let server = self.server(self.provider_of(waiter.model())?)?;
        server.awaits.map(|_| waiter.arrived + self.config.drain_timeout)
    }

    /// Until when the provider's lists may not show what was done there last; none where they do.
    pub(super) fn unseen_until(&self, provider: ProviderIndex) -> Option<Instant> {
        let told = self.instances.iter().filter(|(_, held)| held.seen == Seen::Told);
        let told = told.map(|(key, held)| (key, held.lag_until));
        let all = told.chain(self.tombs.iter().map(|(key, tomb)| (key, tomb.until)));
        all.filter(|(key, until)| key.provider == provider && *until > self.now).map(|(_, until)| until).max()
    }

    /// When an address may be let go of though nothing happens.
    pub(super) fn addresses_wake(&self) -> impl Iterator<Item = Instant> {
        let unseen = self.addresses.behind.iter().filter_map(|it| match it.what {
            Ongoing::Unseen(until) => Some(until),
            Ongoing::Leases(..) | Ongoing::Unload(_) | Ongoing::Load(_) => None,
        });
        let leavers = self.servers.iter().filter(|server| server.leaves);
        leavers.filter_map(|server| self.unseen_until(server.index)).chain(unseen)
    }
}

// === impl Planner: what is left behind ===

impl Planner {
    /// The provider is at this address from now on, as another server: what was asked of the one before is answered to nobody,
    /// and what goes on there holds its address. Gives the provider's new index.
    pub(super) fn leave_behind(&mut self, provider: ProviderIndex, address: &str) -> Option<ProviderIndex> {
        let next = self.next_index();
        let server = self.server_mut(provider)?;
        server.index = next;
        let name = server.name.clone();
        let before = std::mem::replace(&mut server.address, address.to_owned());
        let unseen = self.unseen_until(provider).map(Ongoing::Unseen);
        let mut ongoing: Vec<Ongoing> =
            self.loads_under_way(&name).map(Ongoing::Load).chain(unseen).collect();
        for (key, mut held) in std::mem::take(&mut self.instances) {
            if key.provider != provider {
                self.instances.insert(key, held);
                continue;
            }
            ongoing.extend((held.state == State::Unloading).then(|| Ongoing::Unload(key.clone())));
            ongoing.extend(held.shut_out().map(|gate| Ongoing::Leases(key.id.clone(), gate)));
            self.instances.insert(InstanceKey { provider: next, ..key }, held);
        }
        let behind = |what| Behind { provider: name.clone(), address: before.clone(), what };
        self.addresses.behind.extend(ongoing.into_iter().map(behind));
        self.swaps_follow(provider, next);
        Some(next)
    }

    /// Loads that were sent to the provider of this name.
    fn loads_under_way(&self, name: &str) -> impl Iterator<Item = Operation> {
        let swaps = self.lanes().iter().filter_map(|lane| self.lane(*lane).swap.as_ref());
        swaps.filter_map(move |swap| match swap.step {
            Step::Loading(operation) if swap.goal.model()?.provider() == name => Some(operation),
            _ => None,
        })
    }

    fn swaps_follow(&mut self, before: ProviderIndex, next: ProviderIndex) {
        let follow = |it: ProviderIndex| if it == before { next } else { it };
        for lane in self.lanes() {
            let Some(swap) = &mut self.lane_mut(*lane).swap else { continue };
            swap.victims.iter_mut().for_each(|key| key.provider = follow(key.provider));
            swap.concerned = swap.concerned.iter().copied().map(follow).collect();
            swap.awaits.iter_mut().for_each(|(provider, _)| *provider = follow(*provider));
        }
    }

    /// The gates of leases that may be on this instance, though another one of that name was known when they were granted:
    /// a provider may have come back to its address, or two addresses may be one server's.
    pub(super) fn leases_from_before(&self, key: &InstanceKey) -> Vec<Arc<Gate>> {
        let Some(server) = self.server(key.provider) else { return Vec::new() };
        let its = self.addresses.behind.iter().filter(|it| it.provider == server.name);
        its.filter_map(|it| match &it.what {
            Ongoing::Leases(id, gate) if *id == key.id => Some(Arc::clone(gate)),
            _ => None,
        })
        .collect()
    }

    /// A load that was sent to a server before its provider moved has ended.
    pub(super) fn was_loaded_behind(&mut self, operation: Operation) {
        let is_it = |it: &Behind| matches!(it.what, Ongoing::Load(sent) if sent == operation);
        self.addresses.behind.retain(|it| !is_it(it));
    }

    /// The same of an unload.
    pub(super) fn was_unloaded_behind(&mut self, key: &InstanceKey) {
        let is_it = |it: &Behind| matches!(&it.what, Ongoing::Unload(sent) if sent == key);
        self.addresses.behind.retain(|it| !is_it(it));
    }

    /// Somebody is inside where one of the device's providers was.
    pub(super) fn is_used_behind(&self) -> bool {
        self.addresses.behind.iter().any(|it| matches!(it.what, Ongoing::Leases(..)))
    }

    /// Nothing goes on where one of the device's providers was.
    pub(super) fn is_nothing_behind(&self) -> bool {
        self.addresses.behind.is_empty()
    }
}

// === impl Planner: what is handed on ===

impl Planner {
    /// Who has this provider's address on this device when it is forgotten.
    pub(super) fn heir_of(&self, provider: ProviderIndex) -> Option<ProviderIndex> {
        let address = self.server(provider).map(|server| &server.address).filter(|it| !it.is_empty())?;
        let mut heirs = self.servers.iter().filter(|it| !it.leaves && it.index != provider);
        heirs.find(|it| it.address == *address).map(|it| it.index)
    }

    /// What is due on the provider is its heir's, or whoever's who has its address next: it is nobody's here from now on.
    pub(super) fn hand_on(&mut self, provider: ProviderIndex) {
        let Some(server) = self.server(provider) else { return };
        // One that waits has not been there, and nobody has what is its own.
        let was_there = server.holds_its_address();
        let address = if was_there { server.address.clone() } else { String::new() };
        let heir = self.heir_of(provider).filter(|_| was_there);
        let legacy = self.legacy_of(provider);
        for due in &legacy.due {
            self.baseline.remove(&due.model);
        }
        self.durable.forget_names(&legacy.names);
        match heir {
            _ if self.has(Mutant::DropsWhatWasDue) => {}
            Some(heir) => self.inherit(heir, legacy),
            None if legacy.due.is_empty() && !was_there => {}
            None => self.addresses.left.push((address, legacy)),
        }
    }

    fn legacy_of(&self, provider: ProviderIndex) -> Legacy {
        let is_its = |model: &ModelId| self.provider_of(model) == Some(provider);
        let held = self
            .instances
            .iter()
            .filter(|(key, held)| key.provider == provider && held.owner == Owner::Gateway);
        Legacy {
            due: self.baseline.iter().filter(|due| is_its(&due.model)).cloned().collect(),
            place: self.baseline.iter().position(|due| is_its(&due.model)).unwrap_or(0),
            ours: held.map(|(key, held)| (held.model.clone(), key.id.clone())).collect(),
            orphans: self
                .orphans
                .iter()
                .filter(|(model, _)| is_its(model))
                .map(|(model, until)| (model.clone(), *until))
                .collect(),
            names: self.lost_names().iter().filter(|lost| is_its(&lost.model)).cloned().collect(),
            pins: self.pins.iter().filter(|(model, _)| is_its(model)).cloned().collect(),
        }
    }

    fn inherit(&mut self, heir: ProviderIndex, legacy: Legacy) {
        let Some(name) = self.server(heir).map(|server| server.name.clone()) else { return };
        let Legacy { due, place, ours, orphans, names, pins } = legacy.under(&name);
        self.baseline.insert(place, due);
        self.durable.recognise_also(ours, names, self.now);
        self.orphans.extend(orphans);
        self.pins.extend(pins);
        self.published_is_stale = true;
    }
}
