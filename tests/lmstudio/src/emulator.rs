//! The emulator as a value inside a test: start it, talk to it, look at it, break it, stop it.
//!
//! Runs on the caller's tokio runtime and needs nothing else. Dropping it stops it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::{Config, ConfigError, Server, Tuning};
use crate::fault::Fault;
use crate::listener::listen;
use crate::log::{Entry, Event, RequestSeen, Resident};
use crate::shared::Shared;

/// A running emulator.
#[derive(Debug)]
pub struct Emulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What an emulator remembers over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Its memory and faults stay: only the server was off.
    Kept,
    /// As at the first start: the program was killed. The log is emptied.
    Fresh,
}

/// Why an emulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

// === impl Emulator ===

impl Emulator {
    /// Starts listening where the configuration says. Must be called inside a tokio runtime.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let wanted = config.listen;
        let listener = bind(wanted).await?;
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address: wanted, source })?;
        let shared = Shared::new(config);
        // Processes behind instances that are there from the start need a moment.
        shared.settled().await;
        let running = Mutex::new(Some(Running::start(listener, &shared)));
        Ok(Self { shared, address, running })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens, or did.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All entries so far.
    pub fn log(&self) -> Vec<Entry> {
        self.shared.log.read(<[Entry]>::to_vec)
    }

    /// The requests so far, in order.
    pub fn requests(&self) -> Vec<RequestSeen> {
        self.shared.log.read(|entries| {
            let seen = entries.iter().filter_map(|entry| match &entry.event {
                Event::Request(seen) => Some(seen.clone()),
                _ => None,
            });
            seen.collect()
        })
    }

    /// What is in memory now.
    pub fn resident(&self) -> Vec<Resident> {
        self.shared.locked(|hub| hub.memory.residents()).to_vec()
    }

    /// Resolves when the log satisfies the predicate, which is asked at once and after each new entry. The predicate
    /// may look at the entries and at nothing else of the emulator.
    pub async fn wait_for(&self, predicate: impl FnMut(&[Entry]) -> bool) {
        self.shared.log.wait_for(predicate).await;
    }

    /// Resolves with the first entry, past or to come, whose event satisfies the predicate.
    pub async fn wait_for_event(&self, mut predicate: impl FnMut(&Event) -> bool) -> Option<Entry> {
        let mut found = None;
        self.wait_for(|entries| {
            found = entries.iter().find(|entry| predicate(&entry.event)).cloned();
            found.is_some()
        })
        .await;
        found
    }

    /// Arms faults, after those that are armed already.
    pub fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.arm(faults);
    }

    /// Takes all faults away; what hangs in them goes on.
    pub fn clear_faults(&self) {
        self.shared.locked(|hub| hub.faults.clear());
    }

    /// Lets requests go that hang in the fault of that name, or in any.
    pub fn release(&self, name: Option<&str>) {
        self.shared.locked(|hub| hub.faults.release(name));
    }

    /// Changes the program's settings from the next request on.
    pub fn change(&self, change: impl FnOnce(&mut Server)) {
        self.shared.locked(|hub| change(Arc::make_mut(&mut hub.server)));
    }

    /// Changes a model from its next load on. False where there is no such model.
    pub fn tune(&self, tuning: &Tuning) -> bool {
        self.shared.tune(tuning)
    }

    /// Back to the configuration: memory, faults, settings and log as at the start.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Closes the listening socket and every connection at once, whatever they are doing, as a killed program's are.
    /// Instances that are processes end with it and are no longer in memory.
    pub async fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            // It may have ended by itself.
            let _ = running.stop.send(());
            let _ = running.task.await;
        }
        self.shared.end_engines().await;
    }

    /// Stops if need be and listens on the same port again.
    pub async fn restart(&self, restart: Restart) -> Result<(), StartError> {
        self.stop().await;
        if restart == Restart::Fresh {
            self.shared.reset();
            self.shared.settled().await;
        }
        let listener = bind(self.address).await?;
        let running = Running::start(listener, &self.shared);
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The listener's task ends by itself when its other half goes with this.
        self.clear_faults();
        // Processes are asked to end, and killed where the runtime ends before them.
        drop(self.shared.abandon_engines());
    }
}

// === impl Running ===

impl Running {
    fn start(listener: TcpListener, shared: &Arc<Shared>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = shared.spawn(listen(listener, shared.clone(), stopped));
        Self { stop, task }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}
