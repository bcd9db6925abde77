//! `config`: how the configuration stands, and reading it again. What it says is shown nowhere: there are keys in it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;

use super::answer::{self, Failure};
use super::{Admin, ModelServer, Shared, view};

/// The configuration of the gateway that runs.
pub trait Configuration: Send + Sync {
    /// The model servers, as configured now.
    fn servers(&self) -> Vec<ModelServer>;

    /// Where it is from, and what of it is not in force.
    fn standing(&self) -> view::Configuration;

    /// Reads it again; resolves when what is new is in force. None where the gateway is stopping.
    fn reload(&self) -> BoxFuture<'static, Option<view::Reloaded>>;
}

/// The routes, relative to the API's own.
pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/config", get(show)).route("/config/reload", post(reload))
}

async fn show(State(admin): Shared) -> Response {
    answer::json(&admin.configuration.standing())
}

async fn reload(State(admin): Shared) -> Response {
    match admin.configuration.reload().await {
        Some(reloaded) => answer::json(&reloaded),
        None => Failure::shutting_down().respond(),
    }
}
