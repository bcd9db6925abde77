//! How instances come and go: loads, unloads, evictions, idle times, crashes, and the processes behind them.
//!
//! A load or an unload runs as a task of its own, so that it goes on when the client that asked for it leaves, as in
//! the real program. The state itself is elsewhere, behind one lock that is never held over an await.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::{Kind as ModelKind, Model};
use crate::engine::{Process, StartError};
use crate::fault::{Kind, Met};
use crate::log::{Event, Origin};
use crate::memory::{Ending, Handle, Wanted, gib};
use crate::shared::Shared;

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
        let (model, seat) = self.locked(|hub| {
            let seat = hub.memory.get(&id)?.seat.clone();
            let model = hub.memory.end(&id, Ending::Unloaded)?;
            self.log.change(event(id.clone()), hub.memory.residents());
            Some((model, seat))
        })?;
        let (done, freed) = oneshot::channel();
        if model.unload_time.is_zero() && !seat.is_taken() {
            self.free(&id);
            // Nobody needs to be there to hear it.
            let _ = done.send(());
            return Some(freed);
        }
        let shared = self.clone();
        self.spawn(async move {
            tokio::time::sleep(model.unload_time).await;
            seat.left().await;
            shared.free(&id);
            let _ = done.send(());
        });
        Some(freed)
    }

    /// Makes room for a model that a request needs: what an earlier request had loaded goes, whatever it is doing.
    pub(crate) async fn evict_jit(self: &Arc<Self>, model: &Model) {
        let victims: Vec<Arc<str>> = self.locked(|hub| {
            let own = |key: &str| hub.server.jit_duplicates && key == model.key;
            let counts = |kind| kind == ModelKind::Llm || hub.server.auto_evict_embeddings;
            let jit = hub.memory.present().filter(|it| it.origin == Origin::Jit && counts(it.model.kind));
            let others = jit.filter(|it| !own(&it.key)).map(|it| it.id.clone());
            if hub.server.auto_evict && counts(model.kind) { others.collect() } else { Vec::new() }
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
        let outcome = match fault {
            Some(met) if met.kind == Kind::LoadCrash => Err(StartError::Ended),
            _ => self.start_engine(&mut handle).await,
        };
        self.end_load(&handle, outcome, started.elapsed());
    }

    /// Brings an instance that is in memory from the start to where it answers, without the time a load takes.
    pub(crate) async fn load_at_start(self: Arc<Self>, mut handle: Handle) {
        let started = Instant::now();
        let outcome = self.start_engine(&mut handle).await;
        self.end_load(&handle, outcome, started.elapsed());
    }

    fn end_load(self: &Arc<Self>, handle: &Handle, outcome: Result<(), StartError>, took: Duration) {
        let instance = handle.id.clone();
        let ttl = self.locked(|hub| {
            if let Some(ending) = handle.ending() {
                self.log.change(failed(instance, ending.load_text()), hub.memory.residents());
                return None;
            }
            if outcome.is_err() {
                hub.memory.end(&instance, Ending::LoadCrashed);
                hub.memory.remove(&instance);
                self.log.change(failed(instance, Ending::LoadCrashed.load_text()), hub.memory.residents());
                return None;
            }
            if hub.memory.ready(&instance) {
                handle.touch();
                let event = Event::Loaded { instance: instance.clone(), seconds: took.as_secs_f64() };
                self.log.change(event, hub.memory.residents());
            }
            hub.memory.get(&instance)?.ttl
        });
        if let Some(ttl) = ttl {
            let (shared, handle) = (self.clone(), handle.clone());
            self.spawn(async move { shared.expire(handle, ttl).await });
        }
    }

    /// Unloads an instance once it has been idle for its time.
    async fn expire(self: Arc<Self>, handle: Handle, ttl: Duration) {
        let mut own = handle.clone();
        let mut used = handle.follow_use();
        loop {
            let since = *used.borrow_and_update();
            let expired = async {
                if handle.is_idle() {
                    tokio::time::timeout_at(since + ttl, used.changed()).await.is_err()
                } else {
                    // The sender is in the handle; the end of the work is the next use.
                    used.changed().await.is_err()
                }
            };
            let expired = tokio::select! {
                expired = expired => expired,
                _ = own.gone() => return,
            };
            let due = |shared: &Self| {
                let remaining = shared.locked(|hub| hub.memory.get(&handle.id)?.remaining_ttl());
                handle.is_idle() && remaining.is_some_and(|left| left.is_zero())
            };
            if expired && due(&self) {
                // Nobody waits for its memory.
                let _ = self.begin_unload(&handle.id, |instance| Event::Expired { instance });
                return;
            }
        }
    }

    /// Starts the child behind an instance that has one, and sees to its end.
    async fn start_engine(self: &Arc<Self>, handle: &mut Handle) -> Result<(), StartError> {
        let (Some(engine), Some(gguf)) = (&self.config.engine, handle.model.gguf.clone()) else {
            return Ok(());
        };
        if handle.ending().is_some() {
            return Ok(());
        }
        let mut process = Process::start(engine, &gguf, handle)?;
        handle.seat.take();
        let started = tokio::select! {
            ready = process.ready(&self.engines) => ready.map(|()| true),
            _ = handle.gone() => Ok(false),
        };
        if matches!(started, Ok(true)) {
            handle.seat.open(process.address());
            let (shared, handle) = (self.clone(), handle.clone());
            self.spawn(async move { shared.attend(process, handle).await });
        } else {
            process.stop().await;
            handle.seat.leave();
        }
        started.map(drop)
    }

    /// Stays with a child until it ends, or ends it when its instance goes.
    async fn attend(self: Arc<Self>, mut process: Process, mut handle: Handle) {
        tokio::select! {
            biased;
            _ = handle.gone() => {}
            () = process.ended() => self.crash(&handle.id),
        }
        process.stop().await;
        handle.seat.leave();
    }

    /// Unloads every instance that is a process, and waits until the processes are gone.
    pub(crate) async fn end_engines(self: &Arc<Self>) {
        for freed in self.abandon_engines() {
            // The task that frees it cannot be stopped but with the whole runtime.
            let _ = freed.await;
        }
        let seats: Vec<_> = self.locked(|hub| hub.memory.all().map(|it| it.seat.clone()).collect());
        for seat in seats {
            seat.left().await;
        }
    }

    /// Begins to unload every instance that is a process.
    pub(crate) fn abandon_engines(self: &Arc<Self>) -> Vec<oneshot::Receiver<()>> {
        let running = self.locked(|hub| {
            let own = hub.memory.present().filter(|it| it.model.gguf.is_some());
            own.map(|it| it.id.clone()).collect::<Vec<_>>()
        });
        let unload = |id: Arc<str>| self.begin_unload(&id, |instance| Event::Unload { instance });
        running.into_iter().filter_map(unload).collect()
    }

    fn free(&self, id: &Arc<str>) {
        self.locked(|hub| {
            hub.memory.remove(id);
            self.log.change(Event::Unloaded { instance: id.clone() }, hub.memory.residents());
        });
    }
}

fn failed(instance: Arc<str>, reason: &str) -> Event {
    Event::LoadFailed { instance, reason: Arc::from(reason) }
}
