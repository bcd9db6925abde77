//! Skills: WebAssembly components that decide which model serves a request.
//!
//! A file becomes a skill in `load`, gets instances in `pool`, is called in `call` and asked in its turn in `chain`;
//! what it answers is untrusted until `verdict` has read it. The active skills are a [`Generation`], immutable: a request
//! takes it once ([`Skills::generation`]) and is decided by it from start to end, whatever is swapped meanwhile.
//!
//! A broken skill never keeps the gateway from starting and never touches another skill; [`Skills::statuses`] says what
//! is wrong with it. What skills may do is the capability room's; where a route leads is the route room's.

mod bundle;
mod call;
mod chain;
mod convert;
mod engine;
mod folder;
mod generation;
mod housekeeping;
mod load;
mod manifest;
mod pool;
mod status;
mod text;
mod ticker;
mod verdict;

pub use crate::capability::{Delegates, Limits, LimitsError};
pub use bundle::Bundled;
pub use call::CallError;
pub use chain::{Outcome, Step, StepResult};
pub use generation::Generation;
pub use housekeeping::{EventSender, Housekeeping};
pub use load::{Hook, LoadError};
pub use manifest::ManifestError;
pub use status::{Source, State, Status};
pub use verdict::VerdictError;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use crate::grant::Grant;
use crate::id::SkillName;
use engine::Engine;
use generation::Active;
use load::Order;
use pool::{Pool, Refills, Reuse};

/// What the user says about skills.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where the user puts components; none where there is no such place.
    pub folder: Option<PathBuf>,
    /// What each guest may use.
    pub limits: Limits,
    /// By name.
    pub skills: BTreeMap<String, SkillConfig>,
}

/// What the user says about one skill.
#[derive(Debug, Clone, PartialEq)]
pub struct SkillConfig {
    /// Whether it is used.
    pub activation: Activation,
    /// In place of the priority in its manifest.
    pub priority: Option<i32>,
    /// What it may use. None is everything it imports for a skill that ships with the gateway, and nothing for others.
    pub grants: Option<Vec<Grant>>,
    /// What becomes of a request whose hook failed.
    pub on_failure: OnFailure,
    /// For its `configure`: an object, or null for none.
    pub settings: serde_json::Value,
}

/// Whether a skill is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// It is loaded and asked.
    #[default]
    Enabled,
    /// It is not even loaded.
    Disabled,
}

/// What becomes of a request whose hook failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The next skill is asked.
    #[default]
    Pass,
    /// The request is refused.
    Refuse,
}

/// All skills of this gateway.
pub struct Skills {
    current: Arc<ArcSwap<Generation>>,
    resting: Vec<Status>,
    events: EventSender,
    engine: Arc<Engine>,
}

/// Why there can be no skills at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The limits cannot be meant.
    #[error("limits of skills: {0}")]
    Limits(#[from] LimitsError),
    /// The engine does not start on this machine.
    #[error("the engine for skills does not start: {0}")]
    Engine(String),
}

/// Pools that may wait for spares; one more than that waits for its next call.
const REFILLS_MAX: usize = 64;

// === impl Skills ===

impl Skills {
    /// Loads what is in the folder and what ships with the gateway. A file in the folder goes before a shipped skill of
    /// the same name, if it can be loaded. The housekeeping must be run for as long as the skills are used.
    pub async fn start(
        config: Config,
        delegates: Delegates,
        bundled: &[Bundled],
    ) -> Result<(Self, Housekeeping), StartError> {
        config.limits.check()?;
        let engine = Engine::new(&config.limits).map_err(|error| StartError::Engine(format!("{error:#}")))?;
        let (refills, wanted) = mpsc::channel(REFILLS_MAX);
        let loader = Loader {
            engine: Arc::new(engine),
            limits: Arc::new(config.limits),
            delegates,
            configured: config.skills,
            refills,
        };
        let mut active: Vec<Arc<Active>> = Vec::new();
        let mut resting = Vec::new();
        let mut files = match config.folder {
            Some(folder) => folder::read(&folder).await,
            None => Vec::new(),
        };
        files.extend(bundled.iter().map(Bundled::file));
        for file in files {
            if active.iter().any(|it| it.name == file.name) {
                continue;
            }
            match loader.load(file).await {
                Ok(skill) => active.push(Arc::new(skill)),
                Err(status) => resting.push(*status),
            }
        }
        loader.warn_of_unknown(&active, &resting);
        let current = Arc::new(ArcSwap::from_pointee(Generation::new(1, active)));
        let (events, housekeeping) = Housekeeping::new(current.clone(), wanted);
        Ok((Self { current, resting, events, engine: loader.engine }, housekeeping))
    }

    /// The skills as they are now. A request asks once and keeps the answer.
    pub fn generation(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// Where to tell what happened.
    pub fn events(&self) -> EventSender {
        self.events.clone()
    }

    /// Every skill there is, active ones first, in the order in which they are asked.
    pub fn statuses(&self) -> Vec<Status> {
        let mut statuses = self.current.load().statuses();
        statuses.extend(self.resting.iter().cloned());
        statuses
    }

    /// How guests get their memory, for people: `pooled`, `on demand`.
    pub fn allocation(&self) -> &'static str {
        match self.engine.allocation() {
            engine::Allocation::Pooled => "pooled",
            engine::Allocation::OnDemand => "on demand",
        }
    }
}

impl Default for SkillConfig {
    fn default() -> Self {
        Self {
            activation: Activation::Enabled,
            priority: None,
            grants: None,
            on_failure: OnFailure::Pass,
            settings: serde_json::Value::Null,
        }
    }
}

/// A component, and where it is from.
struct File {
    name: SkillName,
    source: Source,
    wasm: Result<Vec<u8>, LoadError>,
}

/// Loads files under the user's conditions.
struct Loader {
    engine: Arc<Engine>,
    limits: Arc<Limits>,
    delegates: Delegates,
    configured: BTreeMap<String, SkillConfig>,
    refills: Refills,
}

// === impl Loader ===

impl Loader {
    /// The skill, or the status that says why there is none.
    async fn load(&self, file: File) -> Result<Active, Box<Status>> {
        let File { name, source, wasm } = file;
        let config = self.configured.get(name.as_str()).cloned().unwrap_or_default();
        if config.activation == Activation::Disabled {
            return Err(Box::new(Status::resting(name, State::Disabled, source)));
        }
        let grants = match (&config.grants, &source) {
            (Some(grants), _) => Some(grants.clone()),
            (None, Source::Bundled) => None,
            (None, Source::File(_)) => Some(Vec::new()),
        };
        let loaded = match wasm {
            Ok(wasm) => {
                let order = Order { name: name.clone(), wasm, grants, settings: config.settings };
                load::load(&self.engine, &self.limits, &self.delegates, order).await
            }
            Err(error) => Err(error),
        };
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::warn!(skill = %name, source = %source, "the skill is not used: it {error}");
                return Err(Box::new(Status::resting(name, State::Failed(error.to_string()), source)));
            }
        };
        let reuse = if loaded.manifest.reusable { Reuse::Warm } else { Reuse::Fresh };
        let identity = loaded.blueprint.identity.clone();
        Ok(Active {
            name,
            priority: config.priority.unwrap_or(loaded.manifest.priority),
            on_failure: config.on_failure,
            manifest: loaded.manifest,
            hooks: loaded.interfaces.hooks,
            identity,
            pool: Pool::new(loaded.blueprint, reuse, loaded.first, self.refills.clone()),
            source,
            last_error: std::sync::Mutex::default(),
        })
    }

    /// A misspelt name in the configuration would otherwise just do nothing.
    fn warn_of_unknown(&self, active: &[Arc<Active>], resting: &[Status]) {
        for name in self.configured.keys() {
            let known = active.iter().map(|it| &it.name).chain(resting.iter().map(|it| &it.name));
            if !known.into_iter().any(|it| it.as_str() == name) {
                tracing::warn!("`[skills.{name}]` names no skill that is installed");
            }
        }
    }
}
