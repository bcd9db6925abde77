//! The admin API: what the command line and a dashboard ask of a running gateway. JSON in, JSON out, one bearer token.
//!
//! Nested by `app` under [`PREFIX`]. Bounded by [`BODY_BYTES_MAX`] a request, those that bring a component by what one may
//! have, and by what the rooms it asks keep; it holds
//! no state and decides nothing: loads and unloads go through residency as a person's wishes, like everyone's.
//! Deliberately absent: anything that answers without the token, and anything that a browser page elsewhere could use
//! (no CORS; the listener checks `Host` and `Origin` before a request comes here).

mod answer;
mod auth;
mod configuration;
pub mod keeper;
mod sessions;
mod skills;
pub mod view;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, middleware};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use crate::exchange::Gateway;
use crate::model::Directory;
use crate::residency::{Action, Pin, WhenAnswered, Whose, Wish, Wisher};
use crate::telemetry::RECORDS_MAX;
use answer::Failure;
use keeper::Keeper;

pub use configuration::Configuration;
pub use sessions::Picks;
pub use skills::SIGNATURE_HEADER;

/// Where the API is found.
pub const PREFIX: &str = "/pointsman/v1";

/// The token's file, inside the data folder.
pub const TOKEN_FILE: &str = "admin-token";

/// Bytes of a request's body that is no component: a model's name and two settings, a list of grants.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Records in an answer that does not say how many it wants.
const RECORDS_USUAL: usize = 50;

/// How long the owner of the models may take to say how things stand; it never waits for anything, so this is generous.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// What the API shows and does.
#[derive(Clone)]
pub struct Admin {
    /// What serves requests.
    pub gateway: Arc<Gateway>,
    /// Keeps what people pick.
    pub picks: Arc<dyn Picks>,
    /// Knows how the configuration stands, and reads it again.
    pub configuration: Arc<dyn Configuration>,
    /// What a caller must send.
    pub token: String,
    /// When the gateway started.
    pub started: Instant,
    /// Where state lives, the token's file among it.
    pub data_dir: PathBuf,
}

/// A configured model server, as far as it may be shown: without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelServer {
    /// The configured name.
    pub name: String,
    /// What kind of server it is: `lmstudio`.
    pub kind: String,
    /// Its root, without `/v1`.
    pub url: String,
}

type Shared = State<Arc<Admin>>;

/// The API's routes, relative to [`PREFIX`].
pub fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/models", get(models))
        .route("/models/load", post(load))
        .route("/models/unload", post(unload))
        .route("/residency", get(residency))
        .route("/requests", get(requests))
        .route("/requests/{id}", get(request))
        .merge(configuration::routes())
        .merge(skills::routes())
        .merge(sessions::routes())
        .fallback(|| async { Failure::no_such_path().respond() })
        .method_not_allowed_fallback(|| async { Failure::wrong_method().respond() })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(admin.clone(), auth::require_token))
        .with_state(admin)
}

async fn status(State(admin): Shared) -> Response {
    answer::json(&admin.status().await)
}

async fn models(State(admin): Shared) -> Response {
    answer::json(&view::Models { models: admin.directory().models().iter().map(view::Model::of).collect() })
}

async fn residency(State(admin): Shared) -> Response {
    match admin.report().await {
        Some(report) => answer::json(&view::Residency::of(&report)),
        None => Failure::shutting_down().respond(),
    }
}

/// `?limit=N`
#[derive(Debug, Default, Deserialize)]
struct Limit {
    limit: Option<usize>,
}

async fn requests(State(admin): Shared, limit: Result<Query<Limit>, QueryRejection>) -> Response {
    let limit = match limit {
        Ok(Query(it)) => it.limit.unwrap_or(RECORDS_USUAL).min(RECORDS_MAX),
        Err(rejection) => return Failure::bad_query(&rejection.body_text()).respond(),
    };
    let records = admin.gateway.ring.recent(limit);
    answer::json(&view::Requests { requests: records.iter().map(|record| (**record).clone()).collect() })
}

async fn request(State(admin): Shared, Path(id): Path<String>) -> Response {
    let wanted = if id == "latest" { None } else { Some(id.as_str()) };
    match admin.gateway.ring.find(wanted) {
        Some(record) => answer::json(&*record),
        None => Failure::no_such_request(wanted).respond(),
    }
}

async fn load(State(admin): Shared, body: Bytes) -> Response {
    let answered = async {
        let order: view::LoadOrder = answer::read(&body)?;
        let pin = if order.pin { Pin::Pinned } else { Pin::Loose };
        let action = Action::Load { context_length: order.context_length.map(Into::into), pin };
        admin.wish(&order.model, action).await
    };
    answered.await.map_or_else(Failure::respond, |done| answer::json(&done))
}

async fn unload(State(admin): Shared, body: Bytes) -> Response {
    let answered = async {
        let order: view::UnloadOrder = answer::read(&body)?;
        admin.wish(&order.model, Action::Unload { whose: Whose::Everyones }).await
    };
    answered.await.map_or_else(Failure::respond, |done| answer::json(&done))
}

// === impl Admin ===

impl Admin {
    async fn status(&self) -> view::Status {
        let report = self.report().await;
        let state = |server: &ModelServer| report.as_ref()?.state_of(&server.name);
        let servers = self.configuration.servers();
        let providers = servers.iter().map(|it| view::Provider::of(it, state(it)));
        let configuration = self.configuration.standing();
        view::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            generation: self.gateway.skills.generation().number(),
            providers: providers.collect(),
            skills: self.keeper().list().await,
            config_file: configuration.file.clone(),
            configuration,
            data_dir: self.data_dir.display().to_string(),
        }
    }

    /// A person's wish, answered when it is fulfilled.
    async fn wish(&self, name: &str, action: Action) -> Result<view::Wished, Failure> {
        let directory = self.directory();
        let model =
            directory.find(name).ok_or_else(|| Failure::unknown_model(name, &directory.named()))?.id.clone();
        let started = Instant::now();
        let wish = Wish { model: model.clone(), action, by: Wisher::Person, answer: WhenAnswered::WhenDone };
        let standing =
            self.gateway.residency.wish(wish).await.map_err(|refused| Failure::refused(&model, &refused))?;
        let after = self.directory();
        let instances = after.get(&model).map(|model| view::Model::of(model).instances).unwrap_or_default();
        Ok(view::Wished {
            model: model.to_string(),
            standing: view::standing(standing).to_owned(),
            seconds: started.elapsed().as_secs_f64(),
            instances,
        })
    }

    async fn report(&self) -> Option<crate::residency::Report> {
        tokio::time::timeout(REPORT_TIMEOUT, self.gateway.residency.report()).await.ok().flatten()
    }

    fn directory(&self) -> Arc<Directory> {
        self.gateway.residency.directory()
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(self.gateway.skills.clone())
    }
}
