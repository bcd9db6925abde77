//! The one WebAssembly engine of the process: what guests may be made of, where their memory comes from, how many may
//! live at once. One engine, because two would have to agree on types and double every reservation.
//!
//! Memory comes from a pool of slots reserved up front, which makes a fresh instance cheap; where the address space for
//! it cannot be had (a container's limit, a small machine), from the operating system on demand.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::compiler::{self, Target};
use super::ticker::{Running, Ticker};
use crate::capability::{CORE_INSTANCES_PER_COMPONENT, Limits, MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT};

/// The engine with its clock and its slots.
pub(super) struct Engine {
    wasm: wasmtime::Engine,
    ticker: Ticker,
    slots: Arc<Semaphore>,
    slots_max: usize,
    allocation: Allocation,
    target: Target,
}

/// Where guests' memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allocation {
    /// From slots reserved up front.
    Pooled,
    /// From the operating system, when needed.
    OnDemand,
}

/// One instance's place; given back when dropped.
pub(super) type Slot = OwnedSemaphorePermit;

/// Bytes of the engine's own records about one core instance: a Python guest needs 242 KB.
const CORE_INSTANCE_BYTES_MAX: usize = 512 << 10;

/// Bytes of the engine's own records about one component instance.
const COMPONENT_INSTANCE_BYTES_MAX: usize = 1 << 20;

/// Bytes of a slot's memory that are wiped rather than given back to the operating system: what a small guest dirties.
const KEEP_RESIDENT_BYTES: usize = 256 << 10;

/// Stack of a guest's code; runaway recursion ends there.
const GUEST_STACK_BYTES_MAX: usize = 512 << 10;

/// Stack of a guest's code and of the host functions it calls.
const FIBER_STACK_BYTES: usize = 1 << 20;

// === impl Engine ===

impl Engine {
    pub(super) fn new(limits: &Limits) -> wasmtime::Result<Self> {
        let (memory, tables) = (limits.memory_bytes_max, limits.table_elements_max);
        let (wasm, allocation) =
            match wasmtime::Engine::new(&pooled(limits.instances_max.get(), memory, tables)) {
                Ok(wasm) => (wasm, Allocation::Pooled),
                Err(error) => {
                    tracing::warn!(
                        "skills' memory is allocated on demand, since it could not be reserved: {error:#}"
                    );
                    (wasmtime::Engine::new(&on_demand())?, Allocation::OnDemand)
                }
            };
        let slots_max = limits.instances_max.get() as usize;
        let ticker = Ticker::start(wasm.weak())?;
        let target = Target {
            pooled: allocation == Allocation::Pooled,
            memory_bytes_max: memory,
            table_elements_max: tables,
        };
        Ok(Self { wasm, ticker, slots: Arc::new(Semaphore::new(slots_max)), slots_max, allocation, target })
    }

    pub(super) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    /// Guests under these limits find what they need in it: places as many and as big.
    pub(super) fn suits(before: &Limits, after: &Limits) -> bool {
        let reserved =
            |limits: &Limits| (limits.instances_max, limits.memory_bytes_max, limits.table_elements_max);
        reserved(before) == reserved(after)
    }

    pub(super) fn allocation(&self) -> Allocation {
        self.allocation
    }

    /// What a compiler must know to compile for it.
    pub(super) fn target(&self) -> Target {
        self.target
    }

    /// What code must agree with to run in it.
    pub(super) fn fingerprint(&self) -> u64 {
        compiler::fingerprint(&self.wasm)
    }

    /// Counts the ticks of the clock.
    pub(super) fn ticks(&self) -> Arc<AtomicU64> {
        self.ticker.ticks()
    }

    /// A guest is about to run; the clock ticks as long as the guard lives.
    pub(super) fn running(&self) -> Running {
        self.ticker.running()
    }

    /// A place for one more instance, if one comes free in time.
    pub(super) async fn slot(&self, limits: &Limits) -> Option<Slot> {
        timeout(limits.instance_wait, self.slots.clone().acquire_owned()).await.ok()?.ok()
    }

    /// A place for one more instance, if there is one that calls will hardly miss.
    pub(super) fn spare_slot(&self) -> Option<Slot> {
        if self.has_room() { self.slots.clone().try_acquire_owned().ok() } else { None }
    }

    /// A quarter of the slots is free: idle instances may keep theirs. Below that they go, so that the warm ones of one
    /// skill never starve another.
    pub(super) fn has_room(&self) -> bool {
        self.slots.available_permits() * 4 >= self.slots_max
    }
}

// === impl Target ===

impl Target {
    /// An engine that only compiles: as the one that runs the code, with room for nothing.
    pub(super) fn config(self) -> Config {
        match self.pooled {
            true => pooled(1, self.memory_bytes_max, self.table_elements_max),
            false => on_demand(),
        }
    }
}

/// What guests may be made of: what every known toolchain emits, and nothing newer. Threads are not even compiled in.
fn base() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(GUEST_STACK_BYTES_MAX)
        .async_stack_size(FIBER_STACK_BYTES)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .wasm_stack_switching(false);
    config
}

fn pooled(instances: u32, memory_bytes_max: usize, table_elements_max: usize) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    // What a component may have at most times how many there may be: none of them ever takes another's share.
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances.saturating_mul(MEMORIES_PER_COMPONENT))
        .total_tables(instances.saturating_mul(TABLES_PER_COMPONENT))
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_core_instance_size(CORE_INSTANCE_BYTES_MAX)
        .max_component_instance_size(COMPONENT_INSTANCE_BYTES_MAX)
        .max_memory_size(memory_bytes_max)
        .table_elements(table_elements_max)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .max_unused_warm_slots(instances);
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Without reservations, guests check their bounds explicitly: slower by less than half, and it fits anywhere.
fn on_demand() -> Config {
    let mut config = base();
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(0)
        .memory_reservation_for_growth(1 << 20)
        .memory_guard_size(64 << 10);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    #[test]
    fn memory_that_cannot_be_reserved_is_allocated_on_demand() {
        let limits = Limits { instances_max: NonZeroU32::new(1_000_000).unwrap(), ..Limits::default() };
        assert_eq!(Engine::new(&limits).unwrap().allocation(), Allocation::OnDemand);
        assert_eq!(Engine::new(&Limits::default()).unwrap().allocation(), Allocation::Pooled);
    }

    #[test]
    fn idle_instances_keep_no_more_than_three_quarters_of_the_slots() {
        let limits = Limits { instances_max: NonZeroU32::new(4).unwrap(), ..Limits::default() };
        let engine = Engine::new(&limits).unwrap();
        let slots: Vec<Slot> = std::iter::from_fn(|| engine.spare_slot()).collect();
        assert_eq!((slots.len(), engine.has_room()), (4, false));
    }
}
