//! Another configuration for a device that is in use: other bounds, other providers.
//!
//! Nothing is unloaded for it and nobody who waits is sent away. Bounds hold for what is decided from then on: what is too much
//! in memory goes by the ordinary rules, when somebody needs the room. A provider that is not configured any more *leaves*:
//! nobody new is let in and nobody is shown its models, while those who wait for one are served and those who have one end;
//! then it is forgotten, with whatever it has in memory. One that is configured anew before that has never left. Nothing is
//! chosen on it meanwhile, and what was due there is handed on (`address`).
//!
//! Whether models are counted or weighed changes only while no swap is under way, since a swap relies on the room of its lane.

use std::time::Instant;

use super::address::Holder;
use super::memory::{Known, Owner, State};
use super::pace::Pace;
use super::room::Lane;
use super::server::{LinkState, ProviderIndex, Server};
use super::swap::Step;
use super::{Asked, Effect, Notice, Planner};
use crate::id::ModelId;
use crate::provider::Control;
use crate::residency::claim::{Reason, Refused};
use crate::residency::config::Config;
use crate::residency::record::KnownModel;

/// A provider as it is configured from now on.
#[derive(Debug)]
pub(in crate::residency) struct Place {
    pub(in crate::residency) name: String,
    /// Where it is; empty where nobody says. Somewhere else than before, what it has in memory it must show.
    pub(in crate::residency) address: String,
    pub(in crate::residency) client: Client,
    /// What can be asked of it, as far as is known: one that looks after itself takes nothing from anybody.
    pub(in crate::residency) control: Control,
    /// Another device's owner still has its address.
    pub(in crate::residency) is_held: bool,
    /// What was known of its models when it was last configured; asked for only where it is new here.
    pub(in crate::residency) known: Vec<KnownModel>,
}

/// How a provider is reached from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::residency) enum Client {
    /// As before.
    Kept,
    /// With another key or other conditions: what it said before counts no more.
    Replaced,
}

// === impl Place ===

impl Place {
    /// A provider that is told apart by its name and its address alone.
    pub(in crate::residency) fn new(name: &str, address: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: address.to_owned(),
            client: Client::Kept,
            control: Control::Full,
            is_held: false,
            known: Vec::new(),
        }
    }

    /// A provider of which nothing was heard yet.
    pub(super) fn server(&self, index: ProviderIndex, now: Instant) -> Server {
        let server = Server::new(index, (&self.name, &self.address), now);
        let waits = self.is_held && self.control == Control::Full;
        Server { awaits: waits.then_some(Holder::Elsewhere), ..server }
    }
}

// === impl Planner ===

impl Planner {
    /// From now on this holds.
    pub(super) fn on_configured(&mut self, config: Config, places: Vec<Place>) {
        let (memory, before) = (config.memory, self.config.memory);
        self.config = Config { memory: before, ..config };
        self.recount = Some(memory);
        if memory.is_some() == before.is_some() {
            self.config.memory = memory;
            self.recount = None;
        }
        self.let_leave(&places);
        let came: Vec<_> = places.iter().filter_map(|place| Some((self.place(place)?, place))).collect();
        // Only now is it known who has left what.
        for (provider, place) in came {
            self.arrive(provider, place);
        }
        let order = |server: &Server| places.iter().position(|place| place.name == server.name);
        self.servers.sort_by_key(|server| order(server).unwrap_or(usize::MAX));
        (self.published_is_stale, self.changed) = (true, true);
    }

    /// Says who is new at its address.
    fn place(&mut self, place: &Place) -> Option<ProviderIndex> {
        let Some(before) = self.servers.iter().find(|server| server.name == place.name) else {
            return Some(self.admit(place));
        };
        let (provider, has_moved) = (before.index, before.address != place.address);
        let is_on_its_way = before.awaits.is_some();
        match place.client {
            _ if has_moved => self.move_to(provider, &place.address),
            _ if is_on_its_way => Some(provider),
            Client::Replaced => {
                self.ask_anew(provider);
                None
            }
            Client::Kept => None,
        }
    }

    fn let_leave(&mut self, places: &[Place]) {
        let mut gone = Vec::new();
        for server in &mut self.servers {
            let leaves = !places.iter().any(|place| place.name == server.name);
            if leaves && !server.leaves {
                gone.extend(server.order.iter().cloned());
            }
            server.leaves = leaves;
        }
        self.effects.extend(gone.into_iter().map(|model| Effect::Notice(Notice::Removed(model))));
        // Who never got to its server has nothing to give; by the new arrangement somebody else may have.
        self.refuse_all(&Refused::new(Reason::UnknownModel), |planner, waiter| {
            let server = planner.provider_of(waiter.model()).and_then(|it| planner.server(it));
            server.is_some_and(|server| server.leaves && server.awaits.is_some())
        });
    }

    fn admit(&mut self, place: &Place) -> ProviderIndex {
        let provider = self.next_index();
        self.servers.push(Server { is_newcomer: true, ..place.server(provider, self.now) });
        self.take_known(provider, &place.known);
        provider
    }

    /// None has been another provider's before.
    pub(super) fn next_index(&mut self) -> ProviderIndex {
        self.servers_ever += 1;
        ProviderIndex(self.servers_ever - 1)
    }

    /// What was known of a provider's models in another life, or when it was configured before.
    pub(super) fn take_known(&mut self, provider: ProviderIndex, known: &[KnownModel]) {
        let Some(name) = self.server(provider).map(|server| server.name.clone()) else { return };
        let mut order = Vec::new();
        for model in known {
            let id = ModelId::of(&name, &model.facts.key);
            let known =
                Known { facts: model.facts.clone(), load_time: model.load_time, pace: Pace::default() };
            if self.models.insert(id.clone(), known).is_none() {
                order.push(id);
            }
        }
        if let Some(server) = self.server_mut(provider) {
            server.order.extend(order);
        }
    }

    /// It is asked at once, and answers to what was asked before are another client's.
    fn ask_anew(&mut self, provider: ProviderIndex) -> Asked {
        let (now, since) = (self.now, Asked(self.tick_clock()));
        if let Some(link) = self.link_mut(provider) {
            (link.since, link.asking, link.due, link.failures) = (since, None, now, 0);
        }
        since
    }

    /// It is another server from now on.
    fn move_to(&mut self, provider: ProviderIndex, address: &str) -> Option<ProviderIndex> {
        let provider = self.leave_behind(provider, address)?;
        let since = self.ask_anew(provider);
        let link = self.link_mut(provider)?;
        (link.state, link.listed) = (LinkState::Unknown, None);
        self.is_another_server_now(provider, since);
        Some(provider)
    }

    /// Nothing there is ours: what shows under a name that is known, somebody else has loaded. Whoever is inside an instance
    /// of the server before is counted on.
    fn is_another_server_now(&mut self, provider: ProviderIndex, since: Asked) {
        let now = self.now;
        if let Some(server) = self.server_mut(provider) {
            server.is_newcomer = true;
        }
        for lane in self.lanes() {
            self.let_go(*lane, provider);
            self.swap_on_outage(*lane, provider);
        }
        let is_ours = !self.looks_after_itself(provider);
        for (_, held) in self.instances.iter_mut().filter(|(key, _)| key.provider == provider) {
            held.owner = Owner::SomeoneElse;
            (held.spared_until, held.ttl, held.lapse) = (None, None, None);
            if is_ours {
                (held.doubted, held.lag_until) = (Some(since), now);
            }
        }
        self.forget_what_was_sent(provider);
    }

    /// A load or an unload that was sent to the server before is none of this one's business. Those who wait for what it was
    /// for go on waiting.
    fn let_go(&mut self, lane: Lane, provider: ProviderIndex) {
        let Some(swap) = self.lane_mut(lane).swap.take() else { return };
        let goals = swap.goal.model().and_then(|model| self.provider_of(model));
        let is_sent = match swap.step {
            Step::Loading(_) => goals == Some(provider),
            Step::Unloading => swap.victims.iter().any(|key| key.provider == provider),
            Step::Draining { .. } | Step::Recording(_) | Step::Confirming { .. } | Step::Searching { .. } => {
                false
            }
        };
        if is_sent {
            self.reopen_unsent(&swap.victims);
        } else {
            self.lane_mut(lane).swap = Some(swap);
        }
        for (_, held) in self.instances.iter_mut().filter(|(key, _)| key.provider == provider) {
            if held.state == State::Unloading {
                (held.state, held.closing) = (State::Ready, false);
            }
        }
    }

    /// What was loaded and unloaded there does not explain what it shows.
    fn forget_what_was_sent(&mut self, provider: ProviderIndex) {
        let Some(name) = self.server(provider).map(|server| server.name.clone()) else { return };
        self.tombs.retain(|key, _| key.provider != provider);
        self.orphans.retain(|model, _| model.provider() != name);
        self.await_no_more_of(provider);
    }

    /// Models are counted, or weighed, as configured, once no swap relies on how they were.
    pub(super) fn recount(&mut self) {
        if !self.is_quiet() {
            return;
        }
        let Some(memory) = self.recount.take() else { return };
        self.config.memory = memory;
        (self.language.at_rest_since, self.embedding.at_rest_since) = (None, None);
        self.changed = true;
    }

    /// Forgets providers that have left, once nobody needs them.
    pub(super) fn forget_those_who_left(&mut self) {
        let over = |server: &&Server| server.leaves && !self.is_needed(server.index);
        let over: Vec<ProviderIndex> = self.servers.iter().filter(over).map(|server| server.index).collect();
        over.into_iter().for_each(|provider| self.forget(provider));
    }

    /// Somebody waits for a model of it or is inside one, a swap touches it, something was loaded there for a while only, or
    /// it does not show yet what was done there: whoever has it next would not know.
    fn is_needed(&self, provider: ProviderIndex) -> bool {
        let is_its = |model: &ModelId| self.provider_of(model) == Some(provider);
        let swaps = || self.lanes().iter().filter_map(|lane| self.lane(*lane).swap.as_ref());
        self.queue.iter().any(|waiter| is_its(waiter.model()))
            || self.instances.iter().any(|(key, held)| key.provider == provider && !held.is_idle())
            || swaps().any(|swap| swap.concerned.contains(&provider))
            || self.lanes().iter().any(|lane| self.strays(*lane).any(|(key, _)| key.provider == provider))
            || self.unseen_until(provider).is_some()
    }

    /// What it has in memory stays there: that is nobody's business here any more, or its heir's.
    fn forget(&mut self, provider: ProviderIndex) {
        let Some(name) = self.server(provider).map(|server| server.name.clone()) else { return };
        let is_its = |model: &ModelId| model.provider() == name;
        self.hand_on(provider);
        self.instances.retain(|key, _| key.provider != provider);
        self.models.retain(|model, _| !is_its(model));
        self.pins.retain(|(model, _)| !is_its(model));
        self.forget_what_was_sent(provider);
        self.servers.retain(|server| server.index != provider);
        (self.published_is_stale, self.changed) = (true, true);
    }

    /// The provider is not configured any more.
    pub(super) fn leaves(&self, provider: ProviderIndex) -> bool {
        self.server(provider).is_some_and(|server| server.leaves)
    }

    /// The model's provider is not configured any more.
    pub(super) fn is_leaving(&self, model: &ModelId) -> bool {
        self.provider_of(model).is_some_and(|provider| self.leaves(provider))
    }

    /// The name of one of the device's providers.
    pub(in crate::residency) fn name_of(&self, provider: ProviderIndex) -> Option<&str> {
        self.server(provider).map(|server| server.name.as_str())
    }

    /// The device has a provider of this name, though it may be leaving.
    pub(in crate::residency) fn has_provider(&self, name: &str) -> bool {
        self.provider_called(name).is_some()
    }

    /// No provider is left, and nothing goes on where one was: there is nothing to look after any more.
    pub(in crate::residency) fn is_over(&self) -> bool {
        self.servers.is_empty() && self.is_nothing_behind()
    }
}
