//! What the planner shows: the directory for everyone who resolves names, the doors for the hot path, and the report
//! for people.
//!
//! All are copies of one moment; nothing reads the planner itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::Planner;
use super::baseline::Due;
use super::memory::{Held, Known, Owner, State};
use super::room::{Lane, LaneState};
#[cfg(test)]
use super::server::{InstanceKey, ProviderIndex};
use super::server::{LinkState, Server};
use super::swap::{Goal, Step};
use crate::id::{InstanceId, ModelId};
use crate::model::{Costs, Instance, InstanceState, Model};
use crate::residency::gate::Gate;
use crate::residency::report::{
    BaselineEntry, Door, HeldInstance, LoadedBy, ProviderEntry, ProviderState, Report, UnderWay, WaiterEntry,
};

impl Planner {
    /// Every model with its instances at this moment, in the providers' order. What a provider holds that does not
    /// answer is of no use to anyone, and not shown.
    pub(in crate::residency) fn describe_models(&self) -> Vec<Model> {
        let all = self.servers.iter().filter(|server| !server.leaves).flat_map(|server| &server.order);
        all.filter_map(|id| Some(self.describe(id, self.models.get(id)?))).collect()
    }

    /// What is due at rest, the one chosen last being last.
    pub(in crate::residency) fn due(&self) -> Vec<ModelId> {
        self.due_here().map(|due| due.model.clone()).collect()
    }

    /// What providers hold in memory that answer and look after it themselves.
    pub(in crate::residency) fn held_elsewhere(&self) -> Vec<ModelId> {
        let up = self.servers.iter().filter(|server| server.link.state == LinkState::Up && !server.leaves);
        up.flat_map(|server| server.holds.iter().cloned()).collect()
    }

    fn describe(&self, id: &ModelId, known: &Known) -> Model {
        let facts = &known.facts;
        let waiting =
            self.queue.iter().filter(|waiter| waiter.model() == id && waiter.claim().is_some()).count();
        let there = self.of_model(id).filter(|(key, _)| self.is_up(key.provider));
        let mut instances: Vec<Instance> =
            there.map(|(key, held)| describe_instance(&key.id, held, waiting)).collect();
        let is_loading = |lane: &LaneState| {
            lane.swap.as_ref().is_some_and(|swap| {
                matches!(swap.step, Step::Loading(_) | Step::Searching { .. })
                    && swap.goal.model() == Some(id)
            })
        };
        if is_loading(self.lane(self.lane_of(facts.kind))) && instances.is_empty() {
            instances.push(Instance {
                id: InstanceId::new(id.key()),
                state: InstanceState::Loading,
                context_length: None,
                in_flight: 0,
                queued: count(waiting),
            });
        }
        let configured = self.config.models.get(id).copied().unwrap_or_default();
        Model {
            id: id.clone(),
            display_name: facts.display_name.clone(),
            kind: facts.kind,
            vision: facts.vision,
            tool_use: facts.tool_use,
            reasoning: facts.reasoning,
            local: configured.local.unwrap_or(facts.local),
            max_context: facts.max_context,
            size_bytes: facts.size_bytes,
            instances,
            load_seconds: known.load_time.map(|time| time.as_secs_f32()),
            costs: Costs { input: configured.input_cost, output: configured.output_cost },
        }
    }

    /// The gates of each model's instances, for counting who is inside.
    pub(in crate::residency) fn gates_of_models(&self) -> HashMap<ModelId, Vec<Arc<Gate>>> {
        let mut gates: HashMap<ModelId, Vec<Arc<Gate>>> = HashMap::new();
        for held in self.instances.values() {
            gates.entry(held.model.clone()).or_default().push(Arc::clone(&held.gate));
        }
        gates
    }

    /// The instances that a claim may enter without asking, while their gates are open.
    pub(in crate::residency) fn doors(&self) -> HashMap<ModelId, Vec<Door>> {
        let mut doors: HashMap<ModelId, Vec<Door>> = HashMap::new();
        for (key, held) in self.instances.iter().filter(|(_, held)| held.admits()) {
            let most = self.models.get(&held.model).and_then(|known| known.facts.max_context);
            let context = held.settings.context_length;
            let is_all = held.context_is_final || context.is_none() || (most.is_some() && context >= most);
            doors.entry(held.model.clone()).or_default().push(Door {
                gate: Arc::clone(&held.gate),
                instance: key.id.clone(),
                serves_up_to: if is_all { u32::MAX } else { context.unwrap_or(u32::MAX) },
            });
        }
        doors
    }

    /// What is going on, for people.
    pub(in crate::residency) fn report(&self, now: Instant) -> Report {
        let instances = self.instances.iter().map(|(key, held)| HeldInstance {
            id: key.id.clone(),
            model: held.model.clone(),
            state: held.instance_state(),
            settings: held.settings,
            leases: held.gate.count(),
            loaded_by: match held.owner {
                Owner::Gateway => LoadedBy::Gateway,
                Owner::SomeoneElse => LoadedBy::SomeoneElse,
            },
            is_wanted: self.is_wanted(&held.model, None),
            is_held: self.turns.hold(&held.model, now),
            is_pinned: self.is_pinned(&held.model),
        });
        let waiters = self.queue.iter().map(|waiter| WaiterEntry {
            model: waiter.model().clone(),
            session: waiter.claim().map(|claim| claim.session.clone()),
            request: waiter.claim().map(|claim| claim.request.clone()),
            age: now.saturating_duration_since(waiter.since),
            phase: self.phase_of(waiter).0,
        });
        let due = self.due_here();
        Report {
            providers: self
                .servers
                .iter()
                .filter(|server| !server.leaves)
                .map(|server| describe_server(&self.name, server))
                .collect(),
            baseline: due
                .map(|due| BaselineEntry { model: due.model.clone(), settings: due.settings })
                .collect(),
            instances: instances.collect(),
            waiters: waiters.collect(),
            under_way: self.lanes().iter().filter_map(|lane| self.under_way(*lane, now)).collect(),
            unfinished_turns: self.turn_count(),
        }
    }

    fn due_here(&self) -> impl Iterator<Item = &Due> {
        self.baseline.iter().filter(|due| !self.is_leaving(&due.model))
    }

    fn under_way(&self, lane: Lane, now: Instant) -> Option<UnderWay> {
        let swap = self.lane(lane).swap.as_ref()?;
        let model = swap.goal.model().map_or("nothing", ModelId::key);
        let purpose = match &swap.goal {
            Goal::Serve(_) => "for those who wait",
            Goal::Restore(_) => "back to the baseline",
            Goal::Unload(_) => "as wished",
            Goal::Clear => "clearing up",
        };
        let step = match swap.step {
            Step::Draining { .. } => "draining",
            Step::Recording(_) => "writing down",
            Step::Unloading => "unloading",
            Step::Confirming { .. } => "confirming",
            Step::Loading(_) => "loading",
            Step::Searching { .. } => "looking for a load that timed out",
        };
        Some(UnderWay {
            summary: format!("{step}, {model}, {purpose}"),
            model: swap.goal.model().cloned(),
            victims: swap.victims.iter().map(|key| key.id.clone()).collect(),
            lasts: now.saturating_duration_since(swap.since),
        })
    }
}

// === impl Held ===

impl Held {
    fn instance_state(&self) -> InstanceState {
        match self.state {
            State::Loading => InstanceState::Loading,
            State::Ready if !self.closing => InstanceState::Ready,
            State::Ready | State::Unloading => InstanceState::Unloading,
        }
    }
}

fn describe_server(device: &str, server: &Server) -> ProviderEntry {
    let state = match &server.link.state {
        LinkState::Unknown => ProviderState::Unknown,
        LinkState::Up => ProviderState::Up,
        LinkState::Down(message) => ProviderState::Down(message.clone()),
    };
    ProviderEntry { name: server.name.clone(), device: device.to_owned(), state }
}

fn describe_instance(id: &InstanceId, held: &Held, waiting: usize) -> Instance {
    Instance {
        id: id.clone(),
        state: held.instance_state(),
        context_length: held.settings.context_length,
        in_flight: held.gate.count(),
        queued: count(waiting),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
impl Planner {
    /// The gates of all instances, for the simulation's checks.
    pub(in crate::residency) fn gates(&self) -> impl Iterator<Item = (&InstanceKey, &Arc<Gate>)> {
        self.instances.iter().map(|(key, held)| (key, &held.gate))
    }

    /// An instance refuses newcomers though no swap wants it to go, for the simulation's checks.
    pub(in crate::residency) fn is_closed_in_vain(&self) -> bool {
        let victims = |kind| self.lane(self.lane_of(kind)).swap.iter().flat_map(|swap| &swap.victims);
        self.instances.iter().any(|(key, held)| {
            held.closing && held.state == State::Ready && !victims(held.kind).any(|victim| victim == key)
        })
    }

    /// The provider of this name, though it may be leaving, for the simulation's world.
    pub(in crate::residency) fn index_of(&self, name: &str) -> Option<ProviderIndex> {
        self.provider_called(name)
    }

    /// Every provider by its name, those that leave, too, for the simulation's checks.
    pub(in crate::residency) fn names(&self) -> impl Iterator<Item = (&str, ProviderIndex)> {
        self.servers.iter().map(|server| (server.name.as_str(), server.index))
    }

    /// The planner takes it that the provider answers, for the simulation's checks.
    pub(in crate::residency) fn believes_up(&self, provider: ProviderIndex) -> bool {
        self.is_up(provider)
    }

    /// The provider is not configured any more, for the simulation's checks.
    pub(in crate::residency) fn is_letting_go(&self, provider: ProviderIndex) -> bool {
        self.leaves(provider)
    }

    /// The planner knows that the provider looks after itself, for the simulation's checks.
    pub(in crate::residency) fn leaves_alone(&self, provider: ProviderIndex) -> bool {
        self.looks_after_itself(provider)
    }

    /// How many wait, for the simulation's checks.
    pub(in crate::residency) fn waiting(&self) -> usize {
        self.queue.len()
    }
}
