//! A server of which nobody has said what it is: what answers at its address decides, at the first list that is answered.
//!
//! Decided once and for all: a server that is replaced by one of another kind wants a restart of the gateway. Until
//! something has answered there is nothing that could be loaded.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::detect::{ServerKind, detect};
use super::llama_server::LlamaServer;
use super::lmstudio::LmStudio;
use super::ollama::Ollama;
use super::openai::OpenAi;
use super::{Answer, ConnectError, Control, Error, Listed, LoadRequest, Loaded, Locality, Provider};
use crate::id::InstanceId;

/// A server of any kind.
pub struct Auto {
    name: String,
    url: String,
    key: Option<String>,
    locality: Locality,
    found: OnceCell<Arc<dyn Provider>>,
}

// === impl Auto ===

impl Auto {
    /// The server at `url`, with or without `/v1` at its end. The key is sent where there is one, also while looking.
    pub fn new(name: &str, url: &str, key: Option<String>, locality: Locality) -> Self {
        Self { name: name.to_owned(), url: url.to_owned(), key, locality, found: OnceCell::new() }
    }

    async fn found(&self) -> Result<&Arc<dyn Provider>, Error> {
        let find = || async {
            let kind = detect(&self.url, self.key.as_deref()).await?;
            tracing::info!(provider = self.name, "{} answers at {}", kind.as_str(), self.url);
            of_kind(kind, &self.name, &self.url, self.key.clone(), self.locality)
                .map_err(|error| Error::Unreachable(error.to_string()))
        };
        self.found.get_or_try_init(find).await
    }
}

impl Provider for Auto {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> &str {
        &self.url
    }

    fn control(&self) -> Control {
        self.found.get().map_or(Control::Full, |found| found.control())
    }

    fn list(&self) -> Answer<'_, Vec<Listed>> {
        Box::pin(async { self.found().await?.list().await })
    }

    fn load(&self, request: LoadRequest) -> Answer<'_, Loaded> {
        Box::pin(async { self.found().await?.load(request).await })
    }

    fn unload(&self, instance: InstanceId) -> Answer<'_, ()> {
        Box::pin(async { self.found().await?.unload(instance).await })
    }
}

/// A server whose kind is known.
///
/// # Errors
/// Where no client can be made for its address and key.
pub fn of_kind(
    kind: ServerKind,
    name: &str,
    url: &str,
    key: Option<String>,
    locality: Locality,
) -> Result<Arc<dyn Provider>, ConnectError> {
    Ok(match kind {
        ServerKind::LmStudio => Arc::new(LmStudio::new(name, url, key, locality)?),
        ServerKind::LlamaServer => Arc::new(LlamaServer::new(name, url, key, locality)?),
        ServerKind::Ollama => Arc::new(Ollama::new(name, url, key, locality)?),
        ServerKind::OpenAi => Arc::new(OpenAi::new(name, url, key, locality)?),
    })
}
