//! What every connection shares: settings, catalogue, memory, faults, log; and the operations that take time.
//!
//! One lock, never held over an await. A load or an unload runs as a task of its own, so that it goes on when the
//! client that asked for it leaves, as in the real program.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle as Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::{Config, Model, Server, Tuning};
use crate::fault::{Armed, Fault, Kind, Met, Route, Stage};
use crate::log::{Event, Log, Origin};
use crate::memory::{Ending, Handle, InstanceConfig, Memory, Wanted, gib};
use crate::resolve::{ResolveError, Resolved, resolve};

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) log: Log,
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

/// A load is not begun for want of memory. The words are the program's.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "Model loading was stopped due to insufficient system resources. Under the current settings, this model requires \
     approximately {need_gib:.2} GB of memory, and continuing to load it would likely overload your system and cause \
     it to freeze. If you think this is incorrect, you can adjust the model loading guardrails in settings."
)]
pub(crate) struct LoadRefused {
    need_gib: f64,
}

// === impl Shared ===

impl Shared {
    /// Must be called inside the runtime that its tasks are to run on.
    pub(crate) fn new(config: Config) -> Arc<Self> {
        let shared = Arc::new(Self {
            log: Log::new(config.record, config.log_entries_max),
            hub: Mutex::new(Hub::new(&config)),
            runtime: Runtime::current(),
            numbers: AtomicU64::new(0),
            config,
        });
        shared.log.clear(shared.locked(|hub| hub.memory.residents()));
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
    pub(crate) fn reset(&self) {
        let resident = self.locked(|hub| {
            hub.faults.clear();
            hub.memory.clear();
            *hub = Hub::new(&self.config);
            hub.memory.residents()
        });
        self.log.clear(resident);
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
    pub(crate) fn resolve(&self, name: Option<&str>) -> Result<Resolved, ResolveError> {
        self.locked(|hub| {
            let resolved = resolve(name, &hub.catalogue, &hub.memory, &hub.server)?;
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

    /// Begins a load and returns at once; the load itself runs on its own. `fault` is what the load has met.
    pub(crate) fn begin_load(
        self: &Arc<Self>,
        model: &Arc<Model>,
        wanted: &Wanted,
        origin: Origin,
        request: u64,
        fault: Option<Met>,
    ) -> Result<Handle, LoadRefused> {
        let begun = self.locked(|hub| {
            let refused = match &fault {
                Some(met) if met.kind == Kind::Guardrail => Some(gib(model.size_bytes)),
                _ => hub.memory.lacks_room(model, &hub.server),
            };
            if let Some(need_gib) = refused {
                let error = LoadRefused { need_gib };
                let event = failed(Arc::from(model.key.as_str()), &error.to_string());
                self.log.change(event, hub.memory.residents());
                return Err(error);
            }
            let handle = hub.memory.begin(model, wanted, origin, &hub.server);
            self.log.change(Event::LoadStarted { instance: handle.id.clone() }, hub.memory.residents());
            Ok(handle)
        })?;
        let (shared, loading) = (self.clone(), begun.clone());
        self.spawn(async move { shared.load(loading, request, fault).await });
        Ok(begun)
    }

    /// Ends an instance and frees its memory after the time that takes; the receiver is told then. None where there is
    /// no such instance.
    pub(crate) fn begin_unload(
        self: &Arc<Self>,
        id: &str,
        event: fn(Arc<str>) -> Event,
    ) -> Option<oneshot::Receiver<()>> {
        let id: Arc<str> = Arc::from(id);
        let model = self.locked(|hub| {
            let model = hub.memory.end(&id, Ending::Unloaded)?;
            self.log.change(event(id.clone()), hub.memory.residents());
            Some(model)
        })?;
        let (done, freed) = oneshot::channel();
        if model.unload_time.is_zero() {
            self.free(&id);
            // Nobody needs to be there to hear it.
            let _ = done.send(());
            return Some(freed);
        }
        let shared = self.clone();
        self.spawn(async move {
            tokio::time::sleep(model.unload_time).await;
            shared.free(&id);
            let _ = done.send(());
        });
        Some(freed)
    }

    /// Makes room for a model that a request needs: what an earlier request had loaded goes, whatever it is doing.
    pub(crate) async fn evict_jit(self: &Arc<Self>, model: &Model) {
        let victims: Vec<Arc<str>> = self.locked(|hub| {
            let own = |key: &str| hub.server.jit_duplicates && key == model.key;
            let jit = hub.memory.present().filter(|it| it.origin == Origin::Jit && !own(&it.key));
            if hub.server.auto_evict { jit.map(|it| it.id.clone()).collect() } else { Vec::new() }
        });
        for id in victims {
            if let Some(freed) = self.begin_unload(&id, |instance| Event::Evicted { instance }) {
                // The task that frees it cannot be stopped but with the whole runtime.
                let _ = freed.await;
            }
        }
    }

    /// The engine of an instance dies.
    pub(crate) fn crash(&self, id: &str) {
        let id: Arc<str> = Arc::from(id);
        self.locked(|hub| {
            if hub.memory.end(&id, Ending::Crashed).is_some() {
                hub.memory.remove(&id);
                self.log.change(Event::Crashed { instance: id.clone() }, hub.memory.residents());
            }
        });
    }

    async fn load(self: Arc<Self>, mut handle: Handle, request: u64, fault: Option<Met>) {
        let started = Instant::now();
        let extra = fault.as_ref().map_or(Duration::ZERO, Met::delay);
        let wait = handle.model.load_time + extra;
        if !wait.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = handle.gone() => {}
            }
        }
        if let Some(mut met) =
            fault.clone().filter(|met| met.kind == Kind::HangLoad && handle.ending().is_none())
        {
            self.log.note(Event::FaultHolds { request, fault: met.name.clone() });
            tokio::select! {
                () = met.released() => {}
                _ = handle.gone() => {}
            }
        }
        let crashed = fault.is_some_and(|met| met.kind == Kind::LoadCrash);
        self.end_load(&handle, crashed, started.elapsed());
    }

    fn end_load(&self, handle: &Handle, crashed: bool, took: Duration) {
        let instance = handle.id.clone();
        self.locked(|hub| {
            if let Some(ending) = handle.ending() {
                self.log.change(failed(instance, ending.load_text()), hub.memory.residents());
            } else if crashed {
                hub.memory.end(&instance, Ending::LoadCrashed);
                hub.memory.remove(&instance);
                self.log.change(failed(instance, Ending::LoadCrashed.load_text()), hub.memory.residents());
            } else if hub.memory.ready(&instance) {
                let event = Event::Loaded { instance, seconds: took.as_secs_f64() };
                self.log.change(event, hub.memory.residents());
            }
        });
    }

    fn free(&self, id: &Arc<str>) {
        self.locked(|hub| {
            hub.memory.remove(id);
            self.log.change(Event::Unloaded { instance: id.clone() }, hub.memory.residents());
        });
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
            hub.memory.ready(&handle.id);
        }
        hub.stale = hub.listed();
        config.faults.iter().cloned().for_each(|fault| hub.faults.arm(fault));
        hub
    }

    /// The instances as the native list shows them now.
    pub(crate) fn listed(&self) -> Vec<Listed> {
        let shown = self.memory.present().filter(|it| it.is_ready() || self.server.list_shows_loading);
        shown
            .map(|it| Listed {
                key: it.key.clone(),
                id: it.id.clone(),
                config: it.config.clone(),
                remaining_ttl_seconds: it.ttl.map(|ttl| ttl.saturating_sub(it.last_used.elapsed()).as_secs()),
            })
            .collect()
    }
}

fn failed(instance: Arc<str>, reason: &str) -> Event {
    Event::LoadFailed { instance, reason: Arc::from(reason) }
}
