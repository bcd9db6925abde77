//! The engine's clock: a thread that ticks while guests run, so that a guest which never returns is noticed.
//!
//! It holds the engine weakly and parks when no guest has run for a while: an idle gateway has no timer. The thread ends
//! with the [`Ticker`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Thread};

use wasmtime::EngineWeak;

use crate::capability::TICK;

/// Owns the thread.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

/// While this lives, a guest is running and the clock ticks.
pub(super) struct Running(Arc<Shared>);

struct Shared {
    ticks: Arc<AtomicU64>,
    running: AtomicUsize,
    parked: AtomicBool,
    stopped: AtomicBool,
}

/// Ticks without a guest after which the thread parks: one second, so that a busy gateway never pays for waking it.
const IDLE_TICKS_MAX: u32 = 200;

// === impl Ticker ===

impl Ticker {
    pub(super) fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            ticks: Arc::default(),
            running: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let ticking = shared.clone();
        let spawned =
            thread::Builder::new().name("skill-clock".to_owned()).spawn(move || ticking.tick(&engine))?;
        Ok(Self { shared, thread: spawned.thread().clone() })
    }

    /// Counts the ticks there have been.
    pub(super) fn ticks(&self) -> Arc<AtomicU64> {
        self.shared.ticks.clone()
    }

    /// A guest is about to run.
    pub(super) fn running(&self) -> Running {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(self.shared.clone())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

// === impl Running ===

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

// === impl Shared ===

impl Shared {
    fn tick(&self, engine: &EngineWeak) {
        let mut idle: u32 = 0;
        loop {
            thread::park_timeout(TICK);
            let Some(engine) = engine.upgrade() else { return };
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            engine.increment_epoch();
            drop(engine);
            self.ticks.fetch_add(1, Ordering::Relaxed);
            idle = if self.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            if idle > IDLE_TICKS_MAX {
                self.park();
                idle = 0;
            }
        }
    }

    /// Sleeps until a guest runs. Who starts one counts it first and looks for `parked` then, so either it sees that it
    /// must wake this thread, or this thread sees the guest.
    fn park(&self) {
        self.parked.store(true, Ordering::SeqCst);
        if self.running.load(Ordering::SeqCst) == 0 && !self.stopped.load(Ordering::SeqCst) {
            thread::park();
        }
        self.parked.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_until(condition: impl Fn() -> bool) {
        while !condition() {
            thread::yield_now();
        }
    }

    #[test]
    fn the_clock_ticks_while_a_guest_runs_and_wakes_when_one_starts() {
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::start(engine.weak()).unwrap();
        let ticks = ticker.ticks();
        let has_ticked = || {
            let before = ticks.load(Ordering::Relaxed);
            wait_until(|| ticks.load(Ordering::Relaxed) > before);
        };
        let running = ticker.running();
        has_ticked();
        drop(running);
        wait_until(|| ticker.shared.parked.load(Ordering::SeqCst));
        let _running = ticker.running();
        has_ticked();
    }

    #[test]
    fn the_thread_ends_with_its_ticker() {
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::start(engine.weak()).unwrap();
        let shared = Arc::downgrade(&ticker.shared);
        drop(ticker);
        wait_until(|| shared.upgrade().is_none());
    }
}
