//! Asks a model server what it is and what it has: as the gateway does, and a little more that only concerns its
//! settings. Only lists are asked for: nothing is loaded, unloaded or changed.
//!
//! What answers decides what it is, not what is configured; whether the two agree is judged elsewhere.

use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::configured::Configured;
use super::llama_server;
use crate::cli::client::{Presence, http_client, presence};
use crate::config::Secret;
use crate::provider::auto::of_kind;
use crate::provider::{Control, Error, Listed, ServerKind, detect, openai};

/// How long a list may take; LM Studio is slow while it loads.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// What answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Probed {
    /// A model server that is known.
    Server(Facts),
    /// It wants a key, or another one.
    Unauthorised,
    /// A Pointsman.
    Gateway,
    /// It answers, and nothing that is known.
    Unknown(String),
    /// Nothing answers.
    Unreachable(String),
    /// It is there and says nothing.
    Silent,
}

/// What a model server says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    /// What it is.
    pub(super) kind: ServerKind,
    /// Whether it can be told to load and unload.
    pub(super) control: Control,
    /// Its models, with what is in memory.
    pub(super) models: Vec<Listed>,
    /// What only servers of its kind say.
    pub(super) own: Own,
}

/// What only servers of one kind say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Own {
    /// LM Studio's OpenAI list names models that are not loaded, as it does while requests may load them; none where it
    /// did not say.
    LmStudio { lists_unloaded: Option<bool> },
    /// What a llama-server was started with.
    LlamaServer(llama_server::Settings),
    /// Nothing.
    Nothing,
}

#[derive(Debug, Deserialize)]
struct OpenAiList {
    data: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

/// Asks what is there.
pub(super) async fn probe(configured: &Configured<'_>) -> anyhow::Result<Probed> {
    let provider = configured.provider;
    let found = detect(&provider.url, provider.key.as_ref().map(Secret::reveal)).await;
    let is_there = !matches!(found, Err(Error::Unreachable(_) | Error::TimedOut(_)));
    if is_there && presence(&provider.url).await? == Presence::Gateway {
        return Ok(Probed::Gateway);
    }
    match (found, provider.kind) {
        (Ok(kind), _) | (Err(Error::TimedOut(_)), Some(kind)) => facts(configured, kind).await,
        (Err(error), _) => Ok(Probed::of(error)),
    }
}

/// What a server of this kind says of itself.
async fn facts(configured: &Configured<'_>, kind: ServerKind) -> anyhow::Result<Probed> {
    let provider = configured.provider;
    let key = provider.key.as_ref().map(|key| key.reveal().to_owned());
    let server = of_kind(kind, configured.name, &provider.url, key, provider.locality)
        .with_context(|| format!("provider {}", configured.name))?;
    let models = match tokio::time::timeout(TIMEOUT, server.list()).await {
        Ok(Ok(models)) => models,
        Ok(Err(error)) => return Ok(Probed::of(error)),
        Err(_) => return Ok(Probed::Silent),
    };
    let asking = Asking { http: http_client()?, configured };
    let own = match kind {
        ServerKind::LmStudio => Own::LmStudio { lists_unloaded: asking.lists_unloaded(&models).await },
        ServerKind::LlamaServer => Own::LlamaServer(asking.llama_server().await),
        ServerKind::Ollama | ServerKind::OpenAi => Own::Nothing,
    };
    Ok(Probed::Server(Facts { kind, control: server.control(), models, own }))
}

/// Questions that the gateway does not ask.
struct Asking<'a> {
    http: reqwest::Client,
    configured: &'a Configured<'a>,
}

// === impl Asking ===

impl Asking<'_> {
    /// Whether requests may load models: its OpenAI list names those that are not in memory then.
    async fn lists_unloaded(&self, models: &[Listed]) -> Option<bool> {
        let list: OpenAiList = self.get("/v1/models").await?;
        let mut unloaded = models.iter().filter(|model| model.instances.is_empty());
        Some(unloaded.any(|model| list.data.iter().any(|named| named.id == model.key)))
    }

    async fn llama_server(&self) -> llama_server::Settings {
        let props = self.get("/props").await.unwrap_or_default();
        let list = self.get("/v1/models").await.unwrap_or_default();
        llama_server::Settings::of(&props, &list)
    }

    /// What is at a path; none where it is not there, not in time, or something else.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        let provider = self.configured.provider;
        let url = format!("{}{path}", openai::root(&provider.url));
        let mut request = self.http.get(url).timeout(TIMEOUT);
        if let Some(key) = &provider.key {
            request = request.bearer_auth(key.reveal());
        }
        let answer = request.send().await.ok()?.error_for_status().ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }
}

// === impl Probed ===

impl Probed {
    fn of(error: Error) -> Self {
        match error {
            Error::Unauthorised(_) => Self::Unauthorised,
            Error::TimedOut(_) => Self::Silent,
            // The last link of its chain says what happened.
            Error::Unreachable(message) => {
                Self::Unreachable(message.rsplit(": ").next().unwrap_or(&message).to_owned())
            }
            error => Self::Unknown(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
