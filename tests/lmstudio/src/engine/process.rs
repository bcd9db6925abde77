//! One `llama-server` as a child: what it is told, when it answers, how it is ended.
//!
//! It never outlives this value: dropping it kills. Ending it is asking (SIGTERM) and, after [`STOP_GRACE`], killing, by
//! its process id and no other's.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::{io, net};

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::Client;
use crate::config::{Engine, Kind};
use crate::memory::Handle;

/// How long a child that was asked to end may take. llama-server needs about 0.1 s.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long a child may take to read its weights.
const READY_TIMEOUT: Duration = Duration::from_secs(600);

/// How often a child that is starting is asked whether it is ready. One with a tiny model is in 30 ms.
const PROBE_EVERY: Duration = Duration::from_millis(10);

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot start the engine: {0}")]
    Spawn(#[from] io::Error),
    #[error("the engine ended while it was loading")]
    Ended,
    #[error("the engine did not become ready")]
    Late,
}

// === impl Process ===

impl Process {
    /// Starts the child of an instance. The port is a free one of this machine.
    pub(crate) fn start(engine: &Engine, gguf: &Path, handle: &Handle) -> Result<Self, StartError> {
        let address = free_port()?;
        let output = || if engine.inherit_output { Stdio::inherit() } else { Stdio::null() };
        let mut command = Command::new(&engine.binary);
        command.args(&engine.arguments).arg("-m").arg(gguf);
        command.args(["--alias", &handle.id, "--host", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["-c", &handle.context_length.to_string(), "-np", &handle.places.to_string()]);
        // More threads than cores that are free make it slower by magnitudes; one is always right.
        command.args(["-t", "1", "--no-ui"]);
        if handle.model.kind == Kind::Embedding {
            command.args(["--embeddings", "--pooling", "mean"]);
        } else {
            // Each request may have the whole context, as in the real program.
            command.arg("--kv-unified");
        }
        command.stdin(Stdio::null()).stdout(output()).stderr(output()).kill_on_drop(true);
        Ok(Self { child: command.spawn()?, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Until it answers that it is healthy, which it does when its model is loaded.
    pub(crate) async fn ready(&mut self, client: &Client) -> Result<(), StartError> {
        let address = self.address;
        let healthy = async {
            while !client.is_healthy(address).await {
                sleep(PROBE_EVERY).await;
            }
        };
        tokio::select! {
            ready = timeout(READY_TIMEOUT, healthy) => ready.map_err(|_| StartError::Late),
            _ = self.child.wait() => Err(StartError::Ended),
        }
    }

    /// Until it ends by itself.
    pub(crate) async fn ended(&mut self) {
        // Where it cannot be waited for it is gone as well.
        let _ = self.child.wait().await;
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) {
        self.ask_to_end();
        if timeout(STOP_GRACE, self.child.wait()).await.is_err() {
            // Where it cannot be killed it has ended.
            let _ = self.child.kill().await;
        }
    }

    #[cfg(unix)]
    fn ask_to_end(&self) {
        use rustix::process::{Pid, Signal, kill_process};
        // The child has not been waited for, so its number is still its own.
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // One that cannot be asked is killed after the grace.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    #[cfg(not(unix))]
    fn ask_to_end(&mut self) {
        // There is no asking here.
        let _ = self.child.start_kill();
    }
}

/// A port that was free a moment ago. Should somebody take it in between, the child ends and the load has failed.
fn free_port() -> io::Result<SocketAddr> {
    net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
