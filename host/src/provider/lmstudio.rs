//! LM Studio by its native REST interface, version 1; version 0 as a second witness of what is still loading, and as
//! the fallback for servers that have no version 1, which can be listed but neither loaded nor unloaded.
//!
//! A load is never repeated here: every load makes another instance. Lists and unloads are repeated once where a pooled
//! connection broke before any answer (the server closes idle connections after 5 s).

use std::collections::HashSet;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Answer, Error, Listed, LoadRequest, Loaded, Provider, Readiness, Resident, Settings};
use crate::id::InstanceId;
use crate::model::Kind;
use crate::wire::lmstudio::{self as wire, Fault, FaultClass};

/// One LM Studio server.
#[derive(Debug)]
pub struct LmStudio {
    name: String,
    base: String,
    token: Option<String>,
    locality: Locality,
    client: Client,
    /// It has no second witness, and is not asked for it again.
    has_no_witness: AtomicBool,
}

/// Whether a server's models run on the user's own machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locality {
    /// They do.
    Local,
    /// They do not.
    Remote,
}

/// The client for this server could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client")]
pub struct ConnectError(#[from] reqwest::Error);

/// Idle connections are given up before the server does, at 5 s.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// How long a connection may take; the server is on this machine or beside it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the second witness may take; without it a list is only less exact.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of an answer: a list of a thousand models is under one MiB.
const ANSWER_MAX: usize = 8 * 1024 * 1024;

/// A server's root: its address without `/v1` or `/api/v1` and without slashes at its end.
pub fn root(url: &str) -> &str {
    let url = url.trim().trim_end_matches('/');
    let url = url.strip_suffix("/v1").unwrap_or(url);
    url.strip_suffix("/api").unwrap_or(url).trim_end_matches('/')
}

// === impl LmStudio ===

impl LmStudio {
    /// The server at `url`, with or without `/v1` at its end. The token is sent where there is one; a server that
    /// wants none ignores it.
    ///
    /// # Errors
    ///
    /// When the TLS backend cannot be set up.
    pub fn new(
        name: &str,
        url: &str,
        token: Option<String>,
        locality: Locality,
    ) -> Result<Self, ConnectError> {
        let client = Client::builder()
            .no_proxy()
            .pool_idle_timeout(POOL_IDLE)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()?;
        let base = root(url);
        let has_no_witness = AtomicBool::new(false);
        Ok(Self { name: name.to_owned(), base: base.to_owned(), token, locality, client, has_no_witness })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let body = twice(|| send(self.request(Method::GET, path))).await?;
        read(&body)
    }

    fn post(&self, path: &str, body: &impl Serialize) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    async fn list_models(&self) -> Result<Vec<Listed>, Error> {
        let models = self.get::<wire::Models>("/api/v1/models");
        let (models, witness) = futures_util::future::join(models, self.witness()).await;
        match (models, witness) {
            (Ok(models), witness) => {
                let loading = witness.map(|old| loading(&old)).unwrap_or_default();
                Ok(models.entries().map(|model| self.listed(model, &loading)).collect())
            }
            (Err(Error::Unsupported(_)), Some(old)) => {
                Ok(old.entries().map(|model| self.listed_by_old(&model)).collect())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// What version 0 says, where it is there and says it in time.
    async fn witness(&self) -> Option<wire::OldModels> {
        if self.has_no_witness.load(Ordering::Relaxed) {
            return None;
        }
        let witness = tokio::time::timeout(WITNESS_TIMEOUT, self.get("/api/v0/models")).await.ok()?;
        if matches!(witness, Err(Error::Unsupported(_))) {
            self.has_no_witness.store(true, Ordering::Relaxed);
        }
        witness.ok()
    }

    fn listed(&self, model: wire::Model, loading: &HashSet<String>) -> Listed {
        let capabilities = model.capabilities.unwrap_or_default();
        let mut instances: Vec<Resident> =
            model.loaded_instances.iter().map(|instance| resident(instance, loading)).collect();
        if instances.is_empty() && loading.contains(&model.key) {
            instances.push(still_loading(&model.key));
        }
        Listed {
            display_name: model.display_name.unwrap_or_else(|| model.key.clone()),
            kind: if model.kind.starts_with("embedding") { Kind::Embedding } else { Kind::Language },
            vision: capabilities.vision,
            tool_use: capabilities.trained_for_tool_use,
            reasoning: capabilities.reasoning.is_some(),
            local: self.locality == Locality::Local,
            max_context: model.max_context_length.filter(|tokens| *tokens > 0),
            size_bytes: model.size_bytes.filter(|bytes| *bytes > 0),
            key: model.key,
            instances,
        }
    }

    fn listed_by_old(&self, model: &wire::OldModel) -> Listed {
        let settings = Settings { context_length: model.loaded_context_length, ..Settings::default() };
        let loaded = (model.state == "loaded").then(|| Resident { settings, ..ready(&model.id) });
        Listed {
            key: model.id.clone(),
            display_name: model.id.clone(),
            kind: if model.kind.starts_with("embedding") { Kind::Embedding } else { Kind::Language },
            vision: model.kind == "vlm",
            tool_use: model.capabilities.iter().any(|capability| capability == "tool_use"),
            reasoning: false,
            local: self.locality == Locality::Local,
            max_context: model.max_context_length.filter(|tokens| *tokens > 0),
            size_bytes: None,
            instances: loaded.into_iter().collect(),
        }
    }

    async fn load_model(&self, request: LoadRequest) -> Result<Loaded, Error> {
        let settings = request.settings;
        let body = wire::Load {
            model: request.model.key(),
            context_length: settings.context_length,
            eval_batch_size: settings.eval_batch_size,
            flash_attention: settings.flash_attention,
            num_experts: settings.num_experts,
            offload_kv_cache_to_gpu: settings.offload_kv_cache_to_gpu,
            echo_load_config: true,
        };
        let answer = send(self.post("/api/v1/models/load", &body)).await.map_err(Failure::into_error)?;
        let loaded: wire::Loaded = read(&answer)?;
        let config = loaded.load_config.unwrap_or_default();
        let read_back = settings_of(&config);
        if read_back.or(settings) != settings.or(read_back) {
            tracing::warn!(model = %request.model, asked = ?settings, got = ?read_back, "loaded with other settings");
        }
        Ok(Loaded {
            instance: InstanceId::new(loaded.instance_id),
            settings: read_back.or(Settings { context_length: None, ..settings }),
            parallel: config.parallel.and_then(NonZeroU32::new),
            took: loaded.load_time_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        })
    }

    async fn unload_instance(&self, instance: InstanceId) -> Result<(), Error> {
        let body = wire::Unload { instance_id: instance.as_str() };
        match twice(|| send(self.post("/api/v1/models/unload", &body))).await {
            Ok(_) => Ok(()),
            Err(Error::Refused { status: 404, .. } | Error::UnknownModel(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Provider for LmStudio {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self) -> Answer<'_, Vec<Listed>> {
        Box::pin(self.list_models())
    }

    fn load(&self, request: LoadRequest) -> Answer<'_, Loaded> {
        Box::pin(self.load_model(request))
    }

    fn unload(&self, instance: InstanceId) -> Answer<'_, ()> {
        Box::pin(self.unload_instance(instance))
    }
}

/// A call that got no usable answer.
enum Failure {
    /// The connection broke after it was made and before any answer: it may have been a stale one.
    Broken(String),
    Said(Error),
}

// === impl Failure ===

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Self::Broken(message) => Error::Unreachable(message),
            Self::Said(error) => error,
        }
    }
}

/// Makes a call that may be repeated, and repeats it once if its connection broke.
async fn twice<T, F>(call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Failure>>,
{
    match call().await {
        Err(Failure::Broken(_)) => call().await.map_err(Failure::into_error),
        result => result.map_err(Failure::into_error),
    }
}

/// Sends a request and reads the whole answer; anything that says error is one, whatever its status.
async fn send(request: RequestBuilder) -> Result<Vec<u8>, Failure> {
    let mut response = request.send().await.map_err(|error| {
        let message = chain(&error);
        if error.is_connect() { Failure::Said(Error::Unreachable(message)) } else { Failure::Broken(message) }
    })?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| Failure::Said(Error::Unreachable(chain(&error))))?
    {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(Failure::Said(Error::Malformed("longer than any list".to_owned())));
        }
        body.extend_from_slice(&chunk);
    }
    match Fault::read(&body) {
        None if status.is_success() => Ok(body),
        fault => {
            let fault = fault.unwrap_or_else(|| Fault::unreadable(&body));
            Err(Failure::Said(error_of(status.as_u16(), fault)))
        }
    }
}

/// What a fault means to residency.
fn error_of(status: u16, fault: Fault) -> Error {
    let class = fault.class();
    let message = fault.message;
    match class {
        FaultClass::OutOfMemory => Error::OutOfMemory(message),
        FaultClass::UnknownModel => Error::UnknownModel(message),
        FaultClass::Aborted => Error::Aborted(message),
        FaultClass::Crashed => Error::Crashed(message),
        FaultClass::Unauthorised => Error::Unauthorised(message),
        FaultClass::Unsupported => Error::Unsupported(message),
        FaultClass::NotLoaded => Error::Refused { status: 404, message },
        FaultClass::Other => match status {
            401 | 403 => Error::Unauthorised(message),
            404 | 405 => Error::Unsupported(message),
            status => Error::Refused { status, message },
        },
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Malformed(error.to_string()))
}

/// Keys and instances that the second witness says are loading.
fn loading(old: &wire::OldModels) -> HashSet<String> {
    old.entries().filter(|model| model.state == "loading").map(|model| model.id).collect()
}

fn resident(instance: &wire::LoadedInstance, loading: &HashSet<String>) -> Resident {
    let is_loading = loading.contains(&instance.id);
    Resident {
        id: InstanceId::new(instance.id.as_str()),
        readiness: if is_loading { Readiness::Loading } else { Readiness::Ready },
        settings: settings_of(&instance.config),
        parallel: instance.config.parallel.and_then(NonZeroU32::new),
        remaining_ttl: instance
            .remaining_ttl_seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    }
}

fn ready(id: &str) -> Resident {
    Resident {
        id: InstanceId::new(id),
        readiness: Readiness::Ready,
        settings: Settings::default(),
        parallel: None,
        remaining_ttl: None,
    }
}

fn still_loading(id: &str) -> Resident {
    Resident { readiness: Readiness::Loading, ..ready(id) }
}

fn settings_of(config: &wire::InstanceConfig) -> Settings {
    Settings {
        context_length: config.context_length,
        eval_batch_size: config.eval_batch_size,
        flash_attention: config.flash_attention,
        num_experts: config.num_experts,
        offload_kv_cache_to_gpu: config.offload_kv_cache_to_gpu,
    }
}

/// The error with its causes: the outermost text alone says nothing of use.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
