//! Instances of one version of one skill: made ahead of need, kept warm where the skill says that they may be, replaced
//! before a guest's leak matters.
//!
//! Bounded by the engine's slots and by `warm_max`. An instance is either here or owned by the one call that runs it; a
//! call that fails or is cancelled drops it. Nothing here starts a task: spares are made by the housekeeping future,
//! which is asked through a bounded queue and may ignore it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::mpsc;
use tokio::time::timeout;
use wasmtime::component::InstancePre;
use wasmtime::{Store, UpdateDeadline};

use super::call::{self, CallError, Hooks, Instance};
use super::engine::{Engine, Slot};
use crate::capability::bindings::{command_hook, event_hook, guard_hook, lifecycle, request_hook, tool_hook};
use crate::capability::{Allowance, Delegates, Identity, Leave, Limits, Phase, Sandbox};

/// All that it takes to make an instance.
#[derive(Clone)]
pub(super) struct Blueprint {
    pub(super) engine: Arc<Engine>,
    pub(super) pre: InstancePre<Sandbox>,
    pub(super) exports: Exports,
    pub(super) identity: Arc<Identity>,
    pub(super) delegates: Delegates,
    pub(super) limits: Arc<Limits>,
    /// JSON, for `configure`.
    pub(super) settings: Arc<str>,
}

/// Where the component's hooks are.
#[derive(Clone)]
pub(super) struct Exports {
    pub(super) lifecycle: lifecycle::GuestIndices,
    pub(super) request: Option<request_hook::GuestIndices>,
    pub(super) tool: Option<tool_hook::GuestIndices>,
    pub(super) guard: Option<guard_hook::GuestIndices>,
    pub(super) command: Option<command_hook::GuestIndices>,
    pub(super) event: Option<event_hook::GuestIndices>,
}

/// The instances.
pub(super) struct Pool {
    blueprint: Blueprint,
    reuse: Reuse,
    places: Places,
    idle: Mutex<Vec<Instance>>,
    refills: Refills,
}

/// How often an instance may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// One call after another; so many are kept at most.
    Warm { most: usize },
    /// Once.
    Fresh,
}

/// Which of the engine's places it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Places {
    /// Any, and it waits for one.
    Any,
    /// Those that requests will hardly miss.
    Spare,
}

/// Asks the housekeeping for spares.
pub(super) type Refills = mpsc::Sender<Weak<Pool>>;

/// Instances made ahead of need for a skill that gets a new one for every call.
const SPARES: usize = 2;

/// Handles of the component model that a guest may hold; what it holds are streams and the like.
const HANDLES_MAX: usize = 1000;

// === impl Blueprint ===

impl Blueprint {
    /// A new instance that has been configured.
    pub(super) async fn make(&self, slot: Slot) -> Result<Instance, CallError> {
        let mut instance = self.instantiate(slot).await?;
        instance.configure(&self.settings).await?;
        Ok(instance)
    }

    /// A new instance. Its start code is guest code: the bounds are set before it runs.
    pub(super) async fn instantiate(&self, slot: Slot) -> Result<Instance, CallError> {
        let sandbox =
            Sandbox::new(self.identity.clone(), self.delegates.clone(), &self.limits, self.engine.ticks());
        let mut store = Store::new(self.engine.wasm(), sandbox);
        store.limiter(Sandbox::limiter);
        store.set_hostcall_fuel(self.limits.transfer_bytes_max);
        store.set_max_component_handles(HANDLES_MAX);
        store.epoch_deadline_callback(|mut context| {
            Ok(match context.data_mut().tick() {
                Leave::Granted => UpdateDeadline::Yield(1),
                Leave::Spent => UpdateDeadline::Interrupt,
            })
        });
        let cpu = self.limits.configure_cpu;
        store.data_mut().begin(Phase::Setup, Allowance::full(&self.limits, cpu));
        store.set_epoch_deadline(1);
        let _running = self.engine.running();
        let limit = self.limits.wall_clock;
        let made = timeout(limit, self.pre.instantiate_async(&mut store)).await;
        let made = made.map(|made| made.and_then(|it| self.exports.load(&mut store, &it)));
        let hooks = match made {
            Ok(Ok(hooks)) => hooks,
            Ok(Err(error)) => {
                let words = call::words(&store.data_mut().fail());
                return Err(CallError::from_trap(&error, cpu, words));
            }
            Err(_) => {
                let words = call::words(&store.data_mut().fail());
                return Err(CallError::WallClock { limit, words });
            }
        };
        Ok(Instance {
            store,
            hooks,
            engine: self.engine.clone(),
            limits: self.limits.clone(),
            calls: 0,
            configured_bytes: 0,
            _slot: slot,
        })
    }
}

// === impl Exports ===

impl Exports {
    fn load(
        &self,
        store: &mut Store<Sandbox>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<Hooks> {
        let lifecycle = self.lifecycle.load(&mut *store, instance)?;
        let request = self.request.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?;
        let tool = self.tool.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?;
        let guard = self.guard.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?;
        let command = self.command.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?;
        let event = self.event.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?;
        Ok(Hooks { lifecycle, request, tool, guard, command, event })
    }
}

// === impl Pool ===

impl Pool {
    /// A pool with one configured instance in it, if there is room to keep it.
    pub(super) fn new(
        blueprint: Blueprint,
        (reuse, places): (Reuse, Places),
        first: Instance,
        refills: Refills,
    ) -> Arc<Self> {
        let idle = if blueprint.engine.has_room() { vec![first] } else { Vec::new() };
        Arc::new(Self { blueprint, reuse, places, idle: Mutex::new(idle), refills })
    }

    /// The rooms behind its capabilities.
    pub(super) fn delegates(&self) -> &Delegates {
        &self.blueprint.delegates
    }

    /// An instance for one call: an idle one, or a new one as soon as there is a place for it.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Instance, CallError> {
        let idle = self.idle().pop();
        if self.reuse == Reuse::Fresh && self.places == Places::Any {
            // Full or closed means that nobody can make spares now; calls then make their own.
            let _ = self.refills.try_send(Arc::downgrade(self));
        }
        match idle {
            Some(instance) => Ok(instance),
            None => {
                let Blueprint { engine, limits, .. } = &self.blueprint;
                let slot = match self.places {
                    Places::Any => engine.slot(limits).await,
                    Places::Spare => engine.spare_slot(),
                };
                self.blueprint.make(slot.ok_or(CallError::Busy(limits.instance_wait))?).await
            }
        }
    }

    /// Takes back an instance whose call came to its end without a failure.
    pub(super) fn put_back(&self, instance: Instance) {
        if let Reuse::Warm { most } = self.reuse
            && instance.is_fit()
            && self.blueprint.engine.has_room()
        {
            let mut idle = self.idle();
            if idle.len() < most {
                idle.push(instance);
            }
        }
    }

    /// Makes the spares that are missing, as far as there are places that calls will not miss.
    pub(super) async fn fill(&self) -> Result<(), CallError> {
        while self.idle().len() < SPARES.min(self.blueprint.limits.warm_max) {
            let Some(slot) = self.blueprint.engine.spare_slot() else { return Ok(()) };
            let instance = self.blueprint.make(slot).await?;
            self.idle().push(instance);
        }
        Ok(())
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::{self, Order};
    use super::*;
    use crate::id::SkillName;

    #[tokio::test]
    async fn no_more_instances_are_kept_warm_than_may_be() {
        let limits = Arc::new(Limits::default());
        let engine = Arc::new(Engine::new(&limits).unwrap());
        let code = super::super::compiled::Source { engine, compiler: None, shelf: None };
        let skill = pointsman_skills::SKILLS.iter().find(|it| it.name == "chat-commands").unwrap();
        let order = Order {
            name: SkillName::new(skill.name),
            wasm: super::super::compiled::Wasm::Here(bytes::Bytes::from_static(skill.wasm)),
            grants: None,
            settings: serde_json::Value::Null,
        };
        let loaded = load::load(&code, &limits, &Delegates::nowhere(), order).await.unwrap();
        let (refills, _wanted) = mpsc::channel(1);
        let pool = Pool::new(loaded.blueprint, (Reuse::Warm { most: 2 }, Places::Any), loaded.first, refills);
        for at_once in [1, 2, 3] {
            let mut taken = Vec::new();
            for _ in 0..at_once {
                taken.push(pool.take().await.unwrap());
            }
            for instance in taken {
                pool.put_back(instance);
            }
            assert_eq!(pool.idle().len(), at_once.min(2));
        }
    }
}
