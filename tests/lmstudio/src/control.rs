//! `/emulator/…`: what a test in another process, or a person with curl, does to the emulator. Never logged.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::config::{Server, Tuning};
use crate::fault::Fault;
use crate::log::{Entry, Resident};
use crate::shared::Shared;

/// What is running, for people and tests.
#[derive(Debug, Serialize)]
struct Snapshot {
    resident: Vec<Resident>,
    memory_used_gb: f64,
    server: Server,
    faults: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
struct After {
    /// Only entries with a greater sequence number.
    #[serde(default)]
    after: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Release {
    name: Option<String>,
}

#[derive(Debug, Serialize)]
struct Released {
    released: usize,
}

/// The routes, to be completed with the emulated surface.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/emulator/log", get(log))
        .route("/emulator/state", get(state))
        .route("/emulator/faults", post(arm).delete(disarm))
        .route("/emulator/models", post(tune))
        .route("/emulator/release", post(release))
        .route("/emulator/reset", post(reset))
}

async fn log(State(shared): State<Arc<Shared>>, Query(After { after }): Query<After>) -> Json<Vec<Entry>> {
    Json(shared.log.read(|entries| entries.iter().filter(|it| it.sequence > after).cloned().collect()))
}

async fn state(State(shared): State<Arc<Shared>>) -> Json<Snapshot> {
    Json(shared.locked(|hub| Snapshot {
        resident: hub.memory.residents().to_vec(),
        memory_used_gb: hub.memory.used_gib(),
        server: Server::clone(&hub.server),
        faults: hub.faults.list(),
    }))
}

async fn arm(State(shared): State<Arc<Shared>>, Json(faults): Json<Vec<Fault>>) -> StatusCode {
    shared.arm(faults);
    StatusCode::NO_CONTENT
}

async fn disarm(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.locked(|hub| hub.faults.clear());
    StatusCode::NO_CONTENT
}

async fn tune(State(shared): State<Arc<Shared>>, Json(tuning): Json<Tuning>) -> StatusCode {
    if shared.tune(&tuning) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn release(State(shared): State<Arc<Shared>>, body: Option<Json<Release>>) -> Json<Released> {
    let name = body.and_then(|Json(release)| release.name);
    Json(Released { released: shared.locked(|hub| hub.faults.release(name.as_deref())) })
}

async fn reset(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.reset();
    StatusCode::NO_CONTENT
}
