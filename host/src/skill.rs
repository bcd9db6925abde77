//! Skills: WebAssembly components that decide which model serves a request.
//!
//! A file becomes a skill in `load`, gets instances in `pool`, is called in `call` and asked in its turn in `chain`, or
//! about a tool call in `tool`;
//! what it answers is untrusted until `verdict` has read it. The active skills are a [`Generation`], immutable: a request
//! takes it once ([`Skills::generation`]) and is decided by it from start to end, whatever is swapped meanwhile.
//!
//! A broken skill never keeps the gateway from starting and never touches another skill; [`Skills::statuses`] says what
//! is wrong with it. What skills may do is the capability room's; where a route leads is the route room's.

mod bundle;
mod call;
mod chain;
mod command;
mod compare;
mod compiled;
pub mod compiler;
mod configure;
mod convert;
mod engine;
mod folder;
mod generation;
mod guard;
mod housekeeping;
mod inquiry;
mod load;
mod loader;
mod manage;
mod manifest;
mod pace;
mod pool;
mod recorded;
mod replay;
mod said;
mod shadow;
mod status;
mod text;
mod ticker;
mod tool;
pub mod trial;
mod verdict;
mod witness;

pub use crate::capability::{Delegates, Limits, LimitsError, conversation};
pub use crate::shelf::SHELF_FOLDER as STORE_FOLDER;
pub use bundle::Bundled;
pub use call::CallError;
pub use chain::{Outcome, Step, StepResult};
pub use command::{Answered, Command, CommandError};
pub use compare::{Comparison, Difference};
pub use configure::{Fate, Prepared, Unfit};
pub use generation::{FAILURES_MAX, Generation};
pub use guard::Narrowed;
pub use housekeeping::{EventSender, Housekeeping};
pub use inquiry::{Behind, Inquiry};
pub use load::{Hook, LoadError};
pub use manage::{Looked, ManageError, Offer, Outcome as Installed};
pub use manifest::ManifestError;
pub use recorded::{Archive, Recorded, Recording};
pub use said::{Said, Verdict, Way};
pub use shadow::Tried;
pub use status::{Source, State, Status};
pub use tool::{ToolCall, ToolOutcome};
pub use verdict::VerdictError;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use crate::grant::Grant;
use crate::id::SkillName;
use crate::shelf::Shelf;
use crate::shelf::lock::Lock;
use engine::Engine;
use generation::Active;
use housekeeping::Alarms;
use loader::Loader;
use witness::Witness;

/// What the user says about skills.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where the user puts components; none where there is no such place.
    pub folder: Option<PathBuf>,
    /// Where installed components are kept; none where nothing can be installed.
    pub store: Option<PathBuf>,
    /// What each guest may use.
    pub limits: Limits,
    /// Compiles big components; without it, they are compiled in this process.
    pub compiler: Option<compiler::Compiler>,
    /// By name.
    pub skills: BTreeMap<String, SkillConfig>,
    /// How many decided turns are kept, by whoever keeps them.
    pub recording: Recording,
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
    /// Those that are not asked, and why.
    resting: ArcSwap<BTreeMap<SkillName, Status>>,
    /// Those that serve under conditions that are not in force any more, since they cannot under those that are.
    behind: ArcSwap<BTreeSet<SkillName>>,
    /// Under the conditions in force; changed only by whoever makes a change.
    loader: ArcSwap<Loader>,
    /// One change at a time.
    changing: Arc<tokio::sync::Mutex<()>>,
    events: EventSender,
    witness: Witness,
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
    /// Loads what is installed, what is in the folder and what ships with the gateway; of one name, what comes first
    /// here. An installed version that cannot be loaded any more makes way for the last good one before it. The
    /// housekeeping must be run for as long as the skills are used.
    pub async fn start(
        config: Config,
        delegates: Delegates,
        bundled: &[Bundled],
    ) -> Result<(Arc<Self>, Housekeeping), StartError> {
        let shelf = config.store.as_deref().and_then(open_shelf);
        Self::start_with(shelf, config, delegates, bundled).await
    }

    /// The same, to be looked at: nothing of what is installed is changed, not even what [`Skills::start`] would mend.
    pub async fn start_to_look(config: Config, bundled: &[Bundled]) -> Result<Arc<Self>, StartError> {
        let shelf = config.store.as_deref().map(Shelf::open_to_look);
        let started = Self::start_with(shelf, config, Delegates::nowhere(), bundled).await;
        started.map(|(skills, _)| skills)
    }

    async fn start_with(
        shelf: Option<Shelf>,
        config: Config,
        delegates: Delegates,
        bundled: &[Bundled],
    ) -> Result<(Arc<Self>, Housekeeping), StartError> {
        config.limits.check()?;
        let engine = Engine::new(&config.limits).map_err(|error| StartError::Engine(format!("{error:#}")))?;
        let (refills, wanted) = mpsc::channel(REFILLS_MAX);
        let (alarms, alarmed) = Alarms::new();
        let loader = Loader {
            engine: Arc::new(engine),
            compiler: config.compiler,
            limits: Arc::new(config.limits),
            delegates,
            configured: Arc::new(config.skills),
            refills,
            alarms,
            loads: Arc::default(),
            shelf: shelf.map(Arc::new),
            folder: config.folder,
            bundled: bundled.to_vec(),
        };
        let current = Arc::new(ArcSwap::from_pointee(Generation::new(1, Vec::new(), Vec::new())));
        let (events, listening) = Housekeeping::channel();
        let (witness, witnessed) = Witness::new();
        let skills = Arc::new(Self {
            current: current.clone(),
            resting: ArcSwap::default(),
            behind: ArcSwap::default(),
            loader: ArcSwap::from_pointee(loader),
            changing: Arc::default(),
            events,
            witness,
        });
        skills.load_all().await;
        Ok((skills.clone(), Housekeeping::new(&skills, listening, wanted, alarmed, witnessed)))
    }

    /// The first generation.
    async fn load_all(&self) {
        let lock = self.lock().await.unwrap_or_else(|error| {
            tracing::error!("which skills are installed cannot be read: {error}");
            Lock::default()
        });
        let names = self.loader().names(&lock).await;
        let (mut active, mut resting) = (Vec::new(), BTreeMap::new());
        for name in &names {
            match self.load_or_the_one_before(name, &lock).await {
                Some(Ok(skill)) => active.push(Arc::new(skill)),
                Some(Err(status)) => {
                    resting.insert(name.clone(), *status);
                }
                None => {}
            }
        }
        self.loader().warn_of_unknown(&names);
        let unguarded = self.unguarded(&lock, &active, &resting);
        let generation = Generation::new(1, active, unguarded);
        self.resting.store(Arc::new(resting));
        self.current.store(Arc::new(generation));
    }

    /// What counts for this name; where its installed version cannot be loaded, a version before it, without that being
    /// written down: the cause may pass.
    async fn load_or_the_one_before(
        &self,
        name: &SkillName,
        lock: &Lock,
    ) -> Option<Result<Active, Box<Status>>> {
        let mut lock = lock.clone();
        let mut first: Option<Box<Status>> = None;
        loop {
            let Some(file) = self.loader().file(name, &lock).await else {
                return Status::of_last(name, &lock).map(|status| Err(Box::new(status)));
            };
            let is_installed = file.digest.is_some();
            match self.loader().load(file, &lock).await {
                Ok(active) => {
                    if let Some(reason) = first.and_then(|status| status.state.reason()) {
                        active.note(&format!("serves in the place of a newer version, which {reason}"));
                    }
                    return Some(Ok(active));
                }
                Err(status) => {
                    let is_over = !is_installed || status.state == State::Disabled;
                    let failed = first.unwrap_or(status);
                    if is_over || lock.rollback(name).is_err() {
                        return Some(Err(failed));
                    }
                    first = Some(failed);
                }
            }
        }
    }

    fn loader(&self) -> Arc<Loader> {
        self.loader.load_full()
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
        statuses.extend(self.resting.load().values().cloned());
        statuses
    }

    /// How guests get their memory, for people: `pooled`, `on demand`.
    pub fn allocation(&self) -> &'static str {
        match self.loader().engine.allocation() {
            engine::Allocation::Pooled => "pooled",
            engine::Allocation::OnDemand => "on demand",
        }
    }
}

/// Without the folder skills are served as they are, and cannot be changed.
fn open_shelf(folder: &Path) -> Option<Shelf> {
    match Shelf::open(folder) {
        Ok(shelf) => Some(shelf),
        Err(error) => {
            tracing::error!("skills that were installed are not used: {error}");
            None
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
