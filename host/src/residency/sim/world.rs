//! The made-up providers of one device: a catalogue, a memory, and lists that lag behind it.
//!
//! What models take of the memory is worked out here once more, from the rules and not from the planner.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

use crate::id::{InstanceId, ModelId};
use crate::model::Kind;
use crate::provider::{Control, Error, Listed, Readiness, Resident, Settings};
use crate::residency::config::Config;

/// The device's servers, by the names that they have at the start. In here a model has its server's name of then; what it is
/// called at the moment is the user's business.
pub(super) const PROVIDERS: [&str; 3] = ["p", "q", "cloud"];

/// The provider that looks after its memory itself, always.
pub(super) const CLOUD: usize = 2;

/// Requests an instance works on at once.
pub(super) const PARALLEL: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// The language model that is the baseline's at the start.
pub(super) const FIRST: (usize, &str) = (0, "a");

/// What the providers have, with what it weighs, in tenths of a GiB; one key is with both of them. The last of each are
/// embedding models.
const CATALOGUE: [(usize, &str, u64); 7] = [
    (0, "a", 80),
    (0, "b", 40),
    (0, "c", 60),
    (1, "a", 70),
    (1, "d", 30),
    (0, "text-embedding-e", 5),
    (1, "text-embedding-f", 7),
];

/// What the cloud has.
const IN_CLOUD: [&str; 2] = ["x", "y"];

/// How many of these are language models.
const LANGUAGE: usize = 5;

const GIB: u64 = 1 << 30;

pub(super) struct World {
    pub(super) servers: [Server; PROVIDERS.len()],
    /// Where each name leads that was ever configured, and whether it is now.
    names: BTreeMap<String, (usize, bool)>,
    pub(super) memory: Vec<InMemory>,
    pub(super) catalogue: Vec<Entry>,
    /// Bytes of the device, where they matter.
    room: Option<u64>,
    list_lag: Duration,
    unload_lag: Duration,
    /// Instances that there have been.
    lives: u64,
    /// Gone, but still shown for a moment.
    ghosts: Vec<(InMemory, Instant)>,
}

/// One provider's process.
#[derive(Default)]
pub(super) struct Server {
    pub(super) is_down: bool,
    /// It is a server that can only be listed, for now.
    pub(super) is_list_only: bool,
    /// When its last outage ended.
    pub(super) was_down: Option<Instant>,
    /// When the newest of its lists that reached the planner was taken.
    pub(super) seen: Option<Instant>,
}

/// A model that a provider has.
pub(super) struct Entry {
    pub(super) model: ModelId,
    load_time: Duration,
    bytes: u64,
    /// Lists say what it weighs.
    is_told: bool,
}

#[derive(Clone)]
pub(super) struct InMemory {
    pub(super) id: InstanceId,
    pub(super) model: ModelId,
    pub(super) since: Instant,
    /// No other instance has it, of whatever name.
    pub(super) life: u64,
    pub(super) by: By,
    pub(super) readiness: Readiness,
    settings: Settings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Gateway,
    Someone,
}

pub(super) fn unreachable() -> Error {
    Error::Unreachable("connection refused".to_owned())
}

pub(super) fn first() -> ModelId {
    ModelId::of(PROVIDERS[FIRST.0], FIRST.1)
}

/// The place of the model's provider.
pub(super) fn provider_of(model: &ModelId) -> usize {
    PROVIDERS.iter().position(|name| *name == model.provider()).unwrap()
}

pub(super) fn kind(model: &ModelId) -> Kind {
    if model.key().starts_with("text-embedding") { Kind::Embedding } else { Kind::Language }
}

impl World {
    pub(super) fn new(rng: &mut StdRng, config: &Config) -> Self {
        let now = tokio::time::Instant::now().into_std() - Duration::from_secs(100);
        let mut catalogue: Vec<Entry> = Vec::new();
        for (place, (provider, key, tenths)) in CATALOGUE.into_iter().enumerate() {
            let longest = if place < LANGUAGE { 500..9000 } else { 300..301 };
            catalogue.push(Entry {
                model: ModelId::of(PROVIDERS[provider], key),
                load_time: Duration::from_millis(rng.random_range(longest)),
                bytes: tenths * GIB / 10,
                is_told: true,
            });
        }
        if rng.random_bool(0.3) {
            catalogue[4].is_told = false;
        }
        if rng.random_bool(0.2) {
            // Bigger than any memory here.
            catalogue[3].bytes = 40 * GIB;
        }
        let mut world = Self {
            servers: Default::default(),
            names: (0..).zip(PROVIDERS).map(|(place, name)| (name.to_owned(), (place, true))).collect(),
            lives: 0,
            memory: Vec::new(),
            catalogue,
            room: config.memory.map(std::num::NonZeroU64::get),
            list_lag: Duration::from_millis(rng.random_range(0..3000)),
            unload_lag: Duration::from_millis(rng.random_range(0..900)),
            ghosts: Vec::new(),
        };
        world.servers[CLOUD].is_list_only = true;
        let settings = Settings { context_length: Some(8192), ..Settings::default() };
        world.insert(&first(), now, By::Someone, settings);
        world
    }

    /// Bytes of a device for this seed: from what only the biggest fits into, to what most of them do.
    pub(super) fn some_memory(rng: &mut StdRng) -> u64 {
        rng.random_range(110..280) * GIB / 10
    }

    /// Every configured name with its server, the cloud being last.
    pub(super) fn configured(&self) -> Vec<(String, usize)> {
        let its = self.names.iter().filter(|(_, (_, is_there))| *is_there);
        let mut all: Vec<_> = its.map(|(name, (server, _))| (name.clone(), *server)).collect();
        all.sort_by_key(|(_, server)| *server == CLOUD);
        all
    }

    /// The user gives the server this name, or takes it away.
    pub(super) fn call(&mut self, server: usize, name: Option<&str>) {
        let before = self.names.values_mut().find(|(it, is_there)| *it == server && *is_there);
        before.into_iter().for_each(|(_, is_there)| *is_there = false);
        self.names.extend(name.map(|name| (name.to_owned(), (server, true))));
    }

    /// What the server is called now.
    pub(super) fn name_of(&self, server: usize) -> Option<&str> {
        let is_it = |(_, (it, is_there)): &(&String, &(usize, bool))| *it == server && *is_there;
        self.names.iter().find(is_it).map(|(name, _)| name.as_str())
    }

    /// Where the name leads, or led.
    pub(super) fn server_called(&self, name: &str) -> usize {
        self.names[name].0
    }

    /// What the model is called now, where its server is configured.
    pub(super) fn called(&self, model: &ModelId) -> Option<ModelId> {
        Some(ModelId::of(self.name_of(provider_of(model))?, model.key()))
    }

    /// The same the other way round.
    pub(super) fn home(&self, called: &ModelId) -> ModelId {
        ModelId::of(PROVIDERS[self.server_called(called.provider())], called.key())
    }

    /// The user says how much of the device may be used.
    pub(super) fn set_room(&mut self, room: Option<u64>) {
        self.room = room;
    }

    /// A language model.
    pub(super) fn some_language(&self, rng: &mut StdRng) -> ModelId {
        self.catalogue[rng.random_range(0..LANGUAGE)].model.clone()
    }

    /// An embedding model.
    pub(super) fn some_embedding(&self, rng: &mut StdRng) -> ModelId {
        self.catalogue[rng.random_range(LANGUAGE..self.catalogue.len())].model.clone()
    }

    /// Its server has it.
    pub(super) fn lists(&self, model: &ModelId) -> bool {
        self.catalogue.iter().any(|entry| entry.model == *model)
    }

    pub(super) fn load_time(&self, model: &ModelId) -> Duration {
        self.entry(model).load_time
    }

    fn entry(&self, model: &ModelId) -> &Entry {
        self.catalogue.iter().find(|entry| entry.model == *model).unwrap()
    }

    /// What the model counts as: its size, a fifth of it and half a GiB; the whole memory where nobody says, or more.
    fn weight(&self, model: &ModelId, room: u64) -> u64 {
        let entry = self.entry(model);
        let bytes = if entry.is_told { entry.bytes + entry.bytes / 5 + GIB / 2 } else { room };
        bytes.min(room)
    }

    /// These fit into the device's bytes, or one of them is the only language model and can only be tried.
    pub(super) fn fit_in_bytes<'a>(&self, models: impl Iterator<Item = &'a ModelId>) -> bool {
        let Some(room) = self.room else { return true };
        let (mut language, mut embedding) = (Vec::new(), 0);
        for model in models {
            match kind(model) {
                Kind::Language => language.push(self.weight(model, room)),
                Kind::Embedding => embedding += self.weight(model, room),
            }
        }
        let is_alone = language == [room];
        embedding <= room && (is_alone || language.iter().sum::<u64>() + embedding <= room)
    }

    /// A model of the cloud.
    pub(super) fn some_cloud(rng: &mut StdRng) -> ModelId {
        ModelId::of(PROVIDERS[CLOUD], IN_CLOUD[rng.random_range(0..IN_CLOUD.len())])
    }

    /// It answers for the model: it is in memory, or its server takes care of that.
    pub(super) fn answers(&self, model: &ModelId, id: &InstanceId) -> bool {
        let is_its_own = self.is_list_only(model) && id.as_str() == model.key();
        is_its_own || self.has(model, id)
    }

    fn has(&self, model: &ModelId, id: &InstanceId) -> bool {
        self.life_of(model, id).is_some()
    }

    /// Which instance of that name it is, where the model's server has one in memory.
    pub(super) fn life_of(&self, model: &ModelId, id: &InstanceId) -> Option<u64> {
        let is_it = |it: &&InMemory| it.id == *id && it.model.provider() == model.provider();
        self.memory.iter().find(is_it).map(|it| it.life)
    }

    pub(super) fn is_up(&self, model: &ModelId) -> bool {
        !self.servers[provider_of(model)].is_down
    }

    /// Its server looks after its memory itself.
    pub(super) fn is_list_only(&self, model: &ModelId) -> bool {
        self.servers[provider_of(model)].is_list_only
    }

    /// Its server is there, and can be told to load it.
    pub(super) fn takes_loads(&self, model: &ModelId) -> bool {
        self.is_up(model) && !self.is_list_only(model)
    }

    /// Another server takes this one's place, with nothing in memory.
    pub(super) fn replace(&mut self, provider: usize) {
        self.ghosts.retain(|(ghost, _)| provider_of(&ghost.model) != provider);
        let server = &mut self.servers[provider];
        server.is_list_only = !server.is_list_only;
    }

    pub(super) fn insert(&mut self, model: &ModelId, now: Instant, by: By, settings: Settings) -> InstanceId {
        let ids = (1..).map(|n| if n == 1 { model.key().to_owned() } else { format!("{}:{n}", model.key()) });
        let id = ids.map(InstanceId::new).find(|id| !self.has(model, id)).unwrap();
        self.lives += 1;
        self.memory.push(InMemory {
            id: id.clone(),
            model: model.clone(),
            since: now,
            life: self.lives,
            by,
            readiness: Readiness::Ready,
            settings,
        });
        id
    }

    pub(super) fn begin_late(&mut self, model: &ModelId, now: Instant) {
        let settings = Settings { context_length: Some(16384), ..Settings::default() };
        let id = self.insert(model, now, By::Gateway, settings);
        let is_it = |it: &&mut InMemory| it.id == id && it.model == *model;
        self.memory.iter_mut().filter(is_it).for_each(|it| it.readiness = Readiness::Loading);
    }

    pub(super) fn finish_late(&mut self, model: &ModelId) {
        self.memory.iter_mut().filter(|it| it.model == *model).for_each(|it| it.readiness = Readiness::Ready);
    }

    pub(super) fn remove(&mut self, provider: usize, id: &InstanceId, now: Instant) {
        let is_it = |it: &InMemory| it.id == *id && provider_of(&it.model) == provider;
        let Some(place) = self.memory.iter().position(is_it) else { return };
        let gone = self.memory.remove(place);
        self.ghosts.push((gone, now + self.unload_lag));
    }

    /// What a list shows at this moment: what was just loaded is missing for a while, what was just unloaded is not.
    pub(super) fn list(&mut self, provider: usize, now: Instant) -> (Control, Vec<Listed>) {
        if provider == CLOUD {
            return (Control::ListOnly, IN_CLOUD.map(in_cloud).into());
        }
        self.ghosts.retain(|(_, until)| *until > now);
        let lag = self.list_lag;
        let is_shown = |it: &&InMemory| {
            it.by == By::Someone || it.since + lag <= now || it.readiness == Readiness::Loading
        };
        let shown: Vec<InMemory> = self
            .memory
            .iter()
            .filter(is_shown)
            .chain(self.ghosts.iter().map(|(ghost, _)| ghost))
            .cloned()
            .collect();
        let its = self.catalogue.iter().filter(|entry| provider_of(&entry.model) == provider);
        let models = its.map(|entry| listed(entry, &shown)).collect();
        let is_list_only = self.servers[provider].is_list_only;
        (if is_list_only { Control::ListOnly } else { Control::Full }, models)
    }
}

fn in_cloud(key: &str) -> Listed {
    let model = ModelId::of(PROVIDERS[CLOUD], key);
    let entry = Entry { model, load_time: Duration::ZERO, bytes: 0, is_told: false };
    Listed { local: false, ..listed(&entry, &[]) }
}

fn listed(entry: &Entry, shown: &[InMemory]) -> Listed {
    Listed {
        key: entry.model.key().to_owned(),
        display_name: entry.model.key().to_owned(),
        kind: kind(&entry.model),
        vision: false,
        tool_use: true,
        reasoning: false,
        local: true,
        max_context: Some(32768),
        size_bytes: entry.is_told.then_some(entry.bytes),
        instances: shown
            .iter()
            .filter(|it| it.model == entry.model)
            .map(|it| Resident {
                id: it.id.clone(),
                readiness: it.readiness,
                settings: it.settings,
                parallel: Some(PARALLEL),
                remaining_ttl: None,
            })
            .collect(),
    }
}
