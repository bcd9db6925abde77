//! What every connection shares: settings, catalogue, memory, faults, downloads, stored answers, log.
//!
//! One lock, never held over an await. How instances come and go is in `life.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle as Runtime;
use tokio::task::JoinHandle;

use crate::config::{Config, Kind as ModelKind, Model, Server, Tuning};
use crate::download::Jobs;
use crate::engine::Client;
use crate::fault::{Armed, Fault, Kind, Met, Route, Stage};
use crate::log::{Event, Log, Origin};
use crate::memory::{Handle, Instance, InstanceConfig, Memory, Wanted};
use crate::native::Stored;
use crate::resolve::{ResolveError, Resolved, resolve};

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) log: Log,
    /// For speaking to the processes behind instances.
    pub(crate) engines: Client,
    hub: Mutex<Hub>,
    runtime: Runtime,
    numbers: AtomicU64,
}

/// What is behind the lock.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) server: Arc<Server>,
    pub(crate) catalogue: Vec<Arc<Model>>,
    pub(crate) memory: Memory,
    pub(crate) faults: Armed,
    pub(crate) jobs: Jobs,
    /// Answers that a native chat can go on from.
    pub(crate) stored: Stored,
    /// The list as it was when a fault that makes it lag was armed: keys with ids and configurations.
    pub(crate) stale: Vec<Listed>,
}

/// An instance as the native list shows it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) key: Arc<str>,
    pub(crate) id: Arc<str>,
    pub(crate) config: InstanceConfig,
    pub(crate) remaining_ttl_seconds: Option<u64>,
}

// === impl Shared ===

impl Shared {
    /// Must be called inside the runtime that its tasks are to run on.
    pub(crate) fn new(config: Config) -> Arc<Self> {
        let shared = Arc::new(Self {
            log: Log::new(config.record, config.log_entries_max),
            engines: Client::new(),
            hub: Mutex::new(Hub::new(&config)),
            runtime: Runtime::current(),
            numbers: AtomicU64::new(0),
            config,
        });
        shared.log.clear(shared.locked(|hub| hub.memory.residents()));
        shared.load_what_starts_loaded();
        shared
    }

    /// Works on the state. The lock is short and never held over an await.
    pub(crate) fn locked<T>(&self, work: impl FnOnce(&mut Hub) -> T) -> T {
        work(&mut self.hub.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The settings now.
    pub(crate) fn server(&self) -> Arc<Server> {
        self.locked(|hub| hub.server.clone())
    }

    /// A number nothing else has.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Back to what the configuration says: everything that runs ends, the log is empty.
    pub(crate) fn reset(self: &Arc<Self>) {
        let resident = self.locked(|hub| {
            hub.faults.clear();
            hub.memory.clear();
            *hub = Hub::new(&self.config);
            hub.memory.residents()
        });
        self.log.clear(resident);
        self.load_what_starts_loaded();
    }

    /// Until nothing is loading.
    pub(crate) async fn settled(&self) {
        let handles: Vec<Handle> = self.locked(|hub| hub.memory.present().map(|it| it.handle()).collect());
        for mut handle in handles {
            // What failed is in the log.
            let _ = handle.settled().await;
        }
    }

    /// Starts the processes behind instances that are in memory from the start.
    fn load_what_starts_loaded(self: &Arc<Self>) {
        let loading: Vec<Handle> = self
            .locked(|hub| hub.memory.present().filter(|it| !it.is_ready()).map(|it| it.handle()).collect());
        for handle in loading {
            self.spawn(self.clone().load_at_start(handle));
        }
    }

    /// Runs a task on the runtime that the emulator was started in.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.spawn(task)
    }

    /// Changes a model from its next load on. False where there is no such model.
    pub(crate) fn tune(&self, tuning: &Tuning) -> bool {
        self.locked(|hub| {
            let model = hub.catalogue.iter_mut().find(|model| model.key == tuning.model);
            model.map(|model| tuning.apply(Arc::make_mut(model))).is_some()
        })
    }

    /// Arms faults. A list that shall lag is remembered as it is now.
    pub(crate) fn arm(&self, faults: impl IntoIterator<Item = Fault>) {
        self.locked(|hub| {
            for fault in faults {
                if fault.kind == Kind::ListLags {
                    hub.stale = hub.listed();
                }
                hub.faults.arm(fault);
            }
        });
    }

    /// The fault that a request meets at this stage, noted in the log.
    pub(crate) fn meet(&self, stage: Stage, route: Route, request: u64, names: &[&str]) -> Option<Met> {
        let met = self.locked(|hub| hub.faults.meet(stage, route, names))?;
        self.log.note(Event::FaultFired { request, fault: met.name.clone() });
        Some(met)
    }

    /// What a request's `model` means now.
    pub(crate) fn resolve(&self, name: Option<&str>, kind: ModelKind) -> Result<Resolved, ResolveError> {
        self.locked(|hub| {
            let resolved = resolve(name, kind, &hub.catalogue, &hub.memory, &hub.server)?;
            match resolved {
                Resolved::Instance(handle) if hub.server.jit && hub.server.jit_duplicates => {
                    let loading = hub.memory.get(&handle.id).filter(|it| !it.is_ready());
                    Ok(match loading.filter(|it| it.origin == Origin::Jit) {
                        Some(instance) => Resolved::Load(instance.model.clone()),
                        None => Resolved::Instance(handle),
                    })
                }
                other => Ok(other),
            }
        })
    }
}

// === impl Hub ===

impl Hub {
    fn new(config: &Config) -> Self {
        let mut hub = Self {
            server: Arc::new(config.server.clone()),
            catalogue: config.catalogue().into_iter().map(Arc::new).collect(),
            memory: Memory::default(),
            faults: Armed::default(),
            jobs: Jobs::default(),
            stored: Stored::default(),
            stale: Vec::new(),
        };
        for loaded in &config.loaded {
            let Some(model) = hub.catalogue.iter().find(|model| model.key == loaded.model).cloned() else {
                continue;
            };
            let wanted = Wanted {
                identifier: loaded.identifier.clone(),
                context_length: loaded.context_length.map(std::num::NonZeroU32::get),
                ..Wanted::default()
            };
            let handle = hub.memory.begin(&model, &wanted, Origin::Explicit, &hub.server);
            if model.gguf.is_none() {
                hub.memory.ready(&handle.id);
            }
        }
        hub.stale = hub.listed();
        config.faults.iter().cloned().for_each(|fault| hub.faults.arm(fault));
        hub
    }

    /// The instances as the native list shows them now.
    pub(crate) fn listed(&self) -> Vec<Listed> {
        let shown = |it: &&Instance| {
            let embeds_for_a_request = it.origin == Origin::Jit && it.model.kind == ModelKind::Embedding;
            (it.is_ready() || self.server.list_shows_loading)
                && (!embeds_for_a_request || self.server.list_shows_jit_embeddings)
        };
        let shown = self.memory.present().filter(shown);
        shown
            .map(|it| Listed {
                key: it.key.clone(),
                id: it.id.clone(),
                config: it.config.clone(),
                remaining_ttl_seconds: it.remaining_ttl().map(|left| left.as_secs()),
            })
            .collect()
    }
}
