//! Real engines behind instances: one child process for each, and how it is spoken to.
//!
//! An instance's [`Seat`] says whether its child is there and where it listens. Who starts and ends children is decided
//! in `life.rs`; what is made of their answers, where answers are written.

mod client;
mod process;

use std::net::SocketAddr;
use std::sync::OnceLock;

use tokio::sync::watch;

pub(crate) use client::{Client, EngineGone, Events, read};
pub(crate) use process::{Process, StartError};

/// The place of an instance's child process; empty for ever where the model is imitated.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    address: OnceLock<SocketAddr>,
    taken: watch::Sender<bool>,
}

// === impl Seat ===

impl Seat {
    /// A child was started.
    pub(crate) fn take(&self) {
        self.taken.send_replace(true);
    }

    /// It answers there from now on.
    pub(crate) fn open(&self, address: SocketAddr) {
        // An instance has one child in its life.
        let _ = self.address.set(address);
    }

    /// Where requests go; none for an imitated model.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address.get().copied()
    }

    /// The child has ended and the system has forgotten it.
    pub(crate) fn leave(&self) {
        self.taken.send_replace(false);
    }

    pub(crate) fn is_taken(&self) -> bool {
        *self.taken.borrow()
    }

    /// Until there is no child.
    pub(crate) async fn left(&self) {
        // The sender is ours, so this cannot fail.
        let _ = self.taken.subscribe().wait_for(|taken| !taken).await;
    }
}
