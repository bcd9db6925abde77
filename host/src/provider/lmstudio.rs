//! LM Studio by its native REST interface, version 1; version 0 as a second witness of what is still loading, and as
//! the fallback for servers older than 0.4, which can be listed but neither loaded nor unloaded.
//!
//! A load is never repeated here: every load makes another instance. Lists and unloads are repeated once where a pooled
//! connection broke before any answer (the server closes idle connections after 5 s).

mod old;

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::server::{self, Server};
use super::{
    Answer, ConnectError, Control, Error, LISTED_MAX, Listed, LoadRequest, Loaded, Provider, Readiness,
    Resident, Settings,
};
use crate::id::InstanceId;
use crate::model::Kind;
use crate::wire::lmstudio::{self as wire, Fault, FaultClass};

pub use super::Locality;

/// One LM Studio server.
#[derive(Debug)]
pub struct LmStudio {
    name: String,
    server: Server,
    locality: Locality,
    /// It has no second witness, and is not asked for it again.
    has_no_witness: AtomicBool,
    /// Its last list was one of version 0: it is older than loads over HTTP.
    is_old: AtomicBool,
}

/// How long the second witness may take; without it a list is only less exact.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(2);

/// Where version 0 lists models.
const OLD_LIST: &str = "/api/v0/models";

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
        Ok(Self {
            name: name.to_owned(),
            server: Server::new(root(url), token, refusal)?,
            locality,
            has_no_witness: AtomicBool::new(false),
            is_old: AtomicBool::new(false),
        })
    }

    async fn list_models(&self) -> Result<Vec<Listed>, Error> {
        // One after the other: what is still loading when the witness looks, and has loaded before the list does, is in
        // the list. The other way round it would be in neither.
        let witness = self.witness().await;
        match self.server.get::<wire::Models>("/api/v1/models").await {
            Ok(models) => {
                self.is_old.store(false, Ordering::Relaxed);
                let loading = witness.map(|old| loading(&old)).unwrap_or_default();
                Ok(models.entries().take(LISTED_MAX).map(|model| self.listed(model, &loading)).collect())
            }
            Err(Error::Unsupported(message)) => self.list_old(witness, &message).await,
            Err(error) => Err(error),
        }
    }

    /// What version 0 says, where it is there and says it in time.
    async fn witness(&self) -> Option<wire::OldModels> {
        if self.has_no_witness.load(Ordering::Relaxed) {
            return None;
        }
        let witness = tokio::time::timeout(WITNESS_TIMEOUT, self.server.get(OLD_LIST)).await.ok()?;
        if matches!(witness, Err(Error::Unsupported(_))) {
            self.has_no_witness.store(true, Ordering::Relaxed);
        }
        witness.ok()
    }

    /// The list of a server without version 1, which what it said of version 1 shows it to be: its second witness is
    /// the only one, and may take its time.
    async fn list_old(&self, witness: Option<wire::OldModels>, said: &str) -> Result<Vec<Listed>, Error> {
        let old = match witness {
            Some(old) => Ok(old),
            None => self.server.get(OLD_LIST).await,
        };
        let old = old.map_err(|error| match error {
            Error::Unsupported(_) => Error::Unsupported(format!(
                "{said}: no list of LM Studio's is there, new or old; is `kind` right under `[providers.{}]`?",
                self.name
            )),
            error => error,
        })?;
        self.is_old.store(true, Ordering::Relaxed);
        Ok(old::listed(&old, self.locality))
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
        let answer =
            self.server.post("/api/v1/models/load", &body).await.map_err(|error| self.mend(error))?;
        let loaded: wire::Loaded = server::read(&answer)?;
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
        match self.server.post_again("/api/v1/models/unload", &body).await {
            Ok(_) => Ok(()),
            Err(Error::Refused { status: 404, .. } | Error::UnknownModel(_)) => Ok(()),
            Err(error) => Err(self.mend(error)),
        }
    }

    /// A server without version 1 says only that it does not know the path.
    fn mend(&self, error: Error) -> Error {
        match error {
            Error::Unsupported(message) => Error::Unsupported(format!(
                "{message}: this LM Studio cannot load or unload over HTTP; update it to 0.4 or newer, or leave loading \
                 to it with `residency = \"provider\"` under `[providers.{}]`",
                self.name
            )),
            error => error,
        }
    }
}

impl Provider for LmStudio {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> &str {
        self.server.root()
    }

    fn control(&self) -> Control {
        if self.is_old.load(Ordering::Relaxed) { Control::ListOnly } else { Control::Full }
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

/// What an answer says is wrong; a successful status does not make an error a success.
fn refusal(status: u16, body: &[u8]) -> Option<Error> {
    match Fault::read(body) {
        None if (200..300).contains(&status) => None,
        fault => Some(error_of(status, fault.unwrap_or_else(|| Fault::unreadable(body)))),
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
        FaultClass::Other => server::refused(status, message),
    }
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

fn still_loading(id: &str) -> Resident {
    Resident { readiness: Readiness::Loading, ..Resident::ready(id) }
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

#[cfg(test)]
mod tests;
