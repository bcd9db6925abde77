//! Which instances are in memory: their names, their configuration, the room they take, who goes for whom.
//!
//! Plain state behind one short lock of its owner; nothing here waits. Everyone who uses an instance holds its
//! [`Handle`], which learns at once when the instance is gone.

mod handle;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::config::{Format, Kind, Model, Server};
use crate::engine::Seat;
use crate::log::{Origin, Resident, ResidentPhase};

pub(crate) use handle::{Handle, Place};

/// All instances, in the order their loads began.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    instances: Vec<Instance>,
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) model: Arc<Model>,
    pub(crate) config: InstanceConfig,
    pub(crate) origin: Origin,
    /// None where it does not go by itself.
    pub(crate) ttl: Option<Duration>,
    /// Where its engine's process is, where it has one.
    pub(crate) seat: Arc<Seat>,
    used: Arc<watch::Sender<Instant>>,
    phase: watch::Sender<Phase>,
    slots: Arc<Semaphore>,
    places: u32,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    Loading,
    Ready,
    Gone(Ending),
}

/// Why an instance is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was ready and was unloaded or evicted.
    Unloaded,
    /// It was loading and was unloaded or evicted.
    Canceled,
    /// Its engine died at the end of the load.
    LoadCrashed,
    /// Its engine died at work.
    Crashed,
}

/// What an instance was loaded with, as the list and the load's echo show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct InstanceConfig {
    pub(crate) context_length: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_batch_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flash_attention: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_experts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offload_kv_cache_to_gpu: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_budget_message: Option<&'static str>,
}

/// What a load asks for; absent means the default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) identifier: Option<String>,
    pub(crate) context_length: Option<u32>,
    pub(crate) eval_batch_size: Option<u64>,
    pub(crate) flash_attention: Option<bool>,
    pub(crate) num_experts: Option<u64>,
    pub(crate) offload_kv_cache_to_gpu: Option<bool>,
    /// Idle time after which an instance goes that a request has loaded; by default the program's.
    pub(crate) ttl: Option<Duration>,
}

/// Tokens llama.cpp reads in one go unless told otherwise.
const EVAL_BATCH_SIZE: u64 = 512;

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

// === impl Memory ===

impl Memory {
    /// Those that have not been unloaded.
    pub(crate) fn present(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|it| !it.is_gone())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Instance> {
        self.instances.iter().find(|it| &*it.id == id)
    }

    /// All but those whose memory is free, also those that are on their way out.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter()
    }

    /// Takes in an instance that is loading. The name it asks for is used as it is; otherwise it is the key, or the
    /// key with the smallest number from 2 on that is free.
    pub(crate) fn begin(
        &mut self,
        model: &Arc<Model>,
        wanted: &Wanted,
        origin: Origin,
        server: &Server,
    ) -> Handle {
        let ttl = wanted.ttl.or_else(|| server.auto_unload.then_some(server.default_ttl));
        let id = Arc::from(wanted.identifier.clone().unwrap_or_else(|| self.free_id(&model.key)));
        let instance = Instance {
            id,
            key: Arc::from(model.key.as_str()),
            model: model.clone(),
            config: InstanceConfig::of(model, wanted, server),
            origin,
            ttl: ttl.filter(|_| origin == Origin::Jit),
            seat: Arc::default(),
            used: Arc::new(watch::Sender::new(Instant::now())),
            phase: watch::Sender::new(Phase::Loading),
            slots: Arc::new(Semaphore::new(server.parallel.get() as usize)),
            places: server.parallel.get(),
        };
        let handle = instance.handle();
        self.instances.push(instance);
        handle
    }

    /// The load is over. False where the instance is no longer loading.
    pub(crate) fn ready(&mut self, id: &str) -> bool {
        let Some(instance) = self.get(id).filter(|it| *it.phase.borrow() == Phase::Loading) else {
            return false;
        };
        instance.phase.send_replace(Phase::Ready);
        true
    }

    /// The instance answers no more, and everyone who uses it knows; its memory is still taken. None where there is no
    /// such instance. `ending` is what those see who were using it; a load in progress is canceled instead.
    pub(crate) fn end(&mut self, id: &str, ending: Ending) -> Option<Arc<Model>> {
        let instance = self.get(id).filter(|it| !it.is_gone())?;
        let loading = *instance.phase.borrow() == Phase::Loading;
        let ending = if loading && ending == Ending::Unloaded { Ending::Canceled } else { ending };
        instance.phase.send_replace(Phase::Gone(ending));
        Some(instance.model.clone())
    }

    /// Its memory is free. Nothing where an instance of that id is not gone: it is another, begun after a reset.
    pub(crate) fn remove(&mut self, id: &str) {
        self.instances.retain(|it| &*it.id != id || !it.is_gone());
    }

    /// Everything goes at once.
    pub(crate) fn clear(&mut self) {
        for instance in self.instances.drain(..) {
            instance.phase.send_replace(Phase::Gone(Ending::Unloaded));
        }
    }

    /// GiB the model needs where that is more than is free beside everything that takes memory now.
    pub(crate) fn lacks_room(&self, model: &Model, server: &Server) -> Option<f64> {
        let total = server.memory_total_gb?;
        let need = gib(model.size_bytes);
        (self.used_gib() + need > total).then_some(need)
    }

    /// GiB that are taken, also by what is loading or not quite gone.
    pub(crate) fn used_gib(&self) -> f64 {
        gib(self.instances.iter().map(|it| it.model.size_bytes).sum())
    }

    /// For the log and the state.
    pub(crate) fn residents(&self) -> Arc<[Resident]> {
        self.instances.iter().map(Instance::resident).collect()
    }

    fn free_id(&self, key: &str) -> String {
        if self.get(key).is_none() {
            return key.to_owned();
        }
        // There are at most as many instances as numbers tried, so one is free.
        (2..).map(|n| format!("{key}:{n}")).find(|id| self.get(id).is_none()).unwrap_or_default()
    }
}

// === impl Instance ===

impl Instance {
    pub(crate) fn is_gone(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Gone(_))
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.phase.borrow() == Phase::Ready
    }

    /// What is left of its idle time; none where it does not go by itself.
    pub(crate) fn remaining_ttl(&self) -> Option<Duration> {
        self.ttl.map(|ttl| ttl.saturating_sub(self.used.borrow().elapsed()))
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle {
            id: self.id.clone(),
            model: self.model.clone(),
            context_length: self.config.context_length,
            places: self.places,
            seat: self.seat.clone(),
            used: self.used.clone(),
            phase: self.phase.subscribe(),
            slots: self.slots.clone(),
        }
    }

    fn resident(&self) -> Resident {
        let phase = match *self.phase.borrow() {
            Phase::Loading => ResidentPhase::Loading,
            Phase::Ready => ResidentPhase::Ready,
            Phase::Gone(_) => ResidentPhase::Unloading,
        };
        Resident {
            id: self.id.clone(),
            key: self.key.clone(),
            phase,
            context_length: self.config.context_length,
            origin: self.origin,
        }
    }
}

// === impl Ending ===

impl Ending {
    /// What a generation in flight is told.
    pub(crate) fn in_flight_text(&self) -> &'static str {
        match self {
            Self::Unloaded | Self::Canceled => "Model unloaded.",
            Self::LoadCrashed | Self::Crashed => {
                "The model has crashed without additional information. (Exit code: 11)"
            }
        }
    }

    /// What someone who waited for the load is told.
    pub(crate) fn load_text(&self) -> &'static str {
        match self {
            Self::Unloaded | Self::Canceled => "Operation canceled.",
            Self::LoadCrashed | Self::Crashed => "Engine protocol startup was aborted.",
        }
    }
}

// === impl InstanceConfig ===

impl InstanceConfig {
    /// What becomes of what was asked for: contexts above the model's largest are cut, engines ignore what they do not
    /// know.
    fn of(model: &Model, wanted: &Wanted, server: &Server) -> Self {
        let asked =
            wanted.context_length.unwrap_or(server.default_context.get()).min(model.max_context_length);
        let mut config = Self {
            context_length: asked,
            eval_batch_size: None,
            parallel: None,
            flash_attention: None,
            num_experts: None,
            offload_kv_cache_to_gpu: None,
            reasoning_budget_message: None,
        };
        if model.kind == Kind::Embedding {
            return config;
        }
        config.parallel = Some(server.parallel.get());
        match model.format {
            Format::Gguf => {
                config.eval_batch_size = Some(wanted.eval_batch_size.unwrap_or(EVAL_BATCH_SIZE));
                config.flash_attention = Some(wanted.flash_attention.unwrap_or(true));
                config.num_experts = wanted.num_experts;
                config.offload_kv_cache_to_gpu = Some(wanted.offload_kv_cache_to_gpu.unwrap_or(true));
            }
            Format::Mlx => {
                config.reasoning_budget_message = Some("");
                if server.mlx_ignores_context {
                    config.context_length = model.max_context_length;
                }
            }
        }
        config
    }
}

/// In the unit that people and the settings use.
#[expect(clippy::cast_precision_loss, reason = "two decimals of a number of bytes are shown")]
pub(crate) fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB
}
