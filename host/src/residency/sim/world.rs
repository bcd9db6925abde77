//! The made-up provider: a catalogue, a memory, and lists that lag behind it.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

use crate::id::{InstanceId, ModelId};
use crate::model::Kind;
use crate::provider::{Error, Listed, Readiness, Resident, Settings};
use crate::residency::config::Config;

pub(super) const PROVIDER: &str = "p";

/// Requests an instance works on at once.
pub(super) const PARALLEL: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// Language models; the first is the baseline's at the start.
pub(super) const LANGUAGE: [&str; 4] = ["a", "b", "c", "d"];

/// An embedding model.
pub(super) const EMBEDDING: &str = "text-embedding-e";

pub(super) struct World {
    pub(super) memory: Vec<InMemory>,
    pub(super) is_up: bool,
    /// When the newest list that reached the planner was taken.
    pub(super) seen: Option<Instant>,
    load_times: Vec<Duration>,
    list_lag: Duration,
    unload_lag: Duration,
    /// Gone, but still shown for a moment.
    ghosts: Vec<(InMemory, Instant)>,
}

#[derive(Clone)]
pub(super) struct InMemory {
    pub(super) id: InstanceId,
    pub(super) model: ModelId,
    pub(super) since: Instant,
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

impl World {
    pub(super) fn new(rng: &mut StdRng, _: &Config) -> Self {
        let now = tokio::time::Instant::now().into_std() - Duration::from_secs(100);
        let mut world = Self {
            memory: Vec::new(),
            is_up: true,
            seen: None,
            load_times: LANGUAGE.iter().map(|_| Duration::from_millis(rng.random_range(500..9000))).collect(),
            list_lag: Duration::from_millis(rng.random_range(0..3000)),
            unload_lag: Duration::from_millis(rng.random_range(0..900)),
            ghosts: Vec::new(),
        };
        let settings = Settings { context_length: Some(8192), ..Settings::default() };
        world.insert(&ModelId::of(PROVIDER, LANGUAGE[0]), now, By::Someone, settings);
        world
    }

    pub(super) fn kind(model: &ModelId) -> Kind {
        if model.key() == EMBEDDING { Kind::Embedding } else { Kind::Language }
    }

    pub(super) fn load_time(&self, model: &ModelId) -> Duration {
        let place = LANGUAGE.iter().position(|key| *key == model.key());
        place.map_or(Duration::from_millis(300), |place| self.load_times[place])
    }

    pub(super) fn has(&self, id: &InstanceId) -> bool {
        self.memory.iter().any(|it| it.id == *id)
    }

    pub(super) fn insert(&mut self, model: &ModelId, now: Instant, by: By, settings: Settings) -> InstanceId {
        let ids = (1..).map(|n| if n == 1 { model.key().to_owned() } else { format!("{}:{n}", model.key()) });
        let id = ids.map(InstanceId::new).find(|id| !self.has(id)).unwrap();
        self.memory.push(InMemory {
            id: id.clone(),
            model: model.clone(),
            since: now,
            by,
            readiness: Readiness::Ready,
            settings,
        });
        id
    }

    pub(super) fn begin_late(&mut self, model: &ModelId, now: Instant) {
        let settings = Settings { context_length: Some(16384), ..Settings::default() };
        let id = self.insert(model, now, By::Gateway, settings);
        self.memory.iter_mut().filter(|it| it.id == id).for_each(|it| it.readiness = Readiness::Loading);
    }

    pub(super) fn finish_late(&mut self, model: &ModelId) {
        self.memory.iter_mut().filter(|it| it.model == *model).for_each(|it| it.readiness = Readiness::Ready);
    }

    pub(super) fn remove(&mut self, id: &InstanceId, now: Instant) {
        let Some(place) = self.memory.iter().position(|it| it.id == *id) else { return };
        let gone = self.memory.remove(place);
        self.ghosts.push((gone, now + self.unload_lag));
    }

    /// What a list shows at this moment: what was just loaded is missing for a while, what was just unloaded is not.
    pub(super) fn list(&mut self, now: Instant) -> Vec<Listed> {
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
        let keys = LANGUAGE.iter().copied().chain([EMBEDDING]);
        keys.enumerate().map(|(place, key)| listed(key, place, &shown)).collect()
    }
}

fn listed(key: &str, place: usize, shown: &[InMemory]) -> Listed {
    let model = ModelId::of(PROVIDER, key);
    Listed {
        key: key.to_owned(),
        display_name: key.to_owned(),
        kind: World::kind(&model),
        vision: false,
        tool_use: true,
        reasoning: false,
        local: true,
        max_context: Some(32768),
        size_bytes: Some(1 + place as u64),
        instances: shown
            .iter()
            .filter(|it| it.model == model)
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
