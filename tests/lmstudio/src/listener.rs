//! The listening socket and its connections: accepting, keeping alive, resetting, closing all at once.
//!
//! At most [`CONNECTIONS_MAX`] connections at a time; further ones wait in the system's queue. A connection that is idle
//! for the keep-alive time is closed without a word, as the real server does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::server;
use crate::shared::Shared;

/// Connections open at once.
const CONNECTIONS_MAX: usize = 4096;

/// What a request can do to the connection it came on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link(Arc<Line>);

#[derive(Debug, Default)]
struct Line {
    reset: Notify,
    used: AtomicBool,
}

/// Whether a request is the first on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    First,
    Later,
}

// === impl Link ===

impl Link {
    /// Has the connection reset.
    pub(crate) fn reset(&self) {
        self.0.reset.notify_one();
    }

    /// Notes a request.
    pub(crate) fn take_turn(&self) -> Turn {
        if self.0.used.swap(true, Ordering::Relaxed) { Turn::Later } else { Turn::First }
    }
}

/// Serves until told to stop or until the teller is gone; then every socket is closed before this returns.
pub(crate) async fn listen(listener: TcpListener, shared: Arc<Shared>, mut stop: oneshot::Receiver<()>) {
    let router = server::router(shared.clone());
    let mut connections = JoinSet::new();
    loop {
        let full = connections.len() >= CONNECTIONS_MAX;
        tokio::select! {
            _ = &mut stop => break,
            accepted = listener.accept(), if !full => {
                // An error of accepting concerns one connection that is already gone.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, router.clone(), shared.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, router: Router, shared: Arc<Shared>) {
    // Where it cannot be set, small answers are only slower.
    let _ = stream.set_nodelay(true);
    let link = Link::default();
    let service = TowerToHyperService::new(router.layer(Extension(link.clone())));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .title_case_headers(true)
        .header_read_timeout(shared.server().keep_alive)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // The client's trouble, which the log of requests shows.
        _ = &mut connection => {}
        () = link.0.reset.notified() => {
            let stream = connection.into_parts().io.into_inner();
            // Where it cannot be set the connection is closed instead.
            let _ = stream.set_zero_linger();
        }
    }
}
