//! Ollama. It loads and unloads by requests without a prompt: a load answers when the model is in memory, an unload when
//! it has been ordered, so that it is followed here until `/api/ps` shows it gone. What a model can and how much context
//! it has is asked once for each content (digest) where the list does not say.
//!
//! One thing is learned between calls: whether a context given to a load lasts. In many versions a request that names
//! none, as every request of OpenAI's protocol is, has the model loaded again with the server's own context. Where a
//! list shows that, loads name none from then on, since every other load would be undone by the next request.
//!
//! Models that Ollama passes on to its cloud are not listed: they are never in memory here. A provider of kind `openai`
//! at the same address serves them.

mod facts;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::facts::Known;
use super::server::{Server, complaint, refused};
use super::{
    Answer, ConnectError, Error, LISTED_MAX, Listed, LoadRequest, Loaded, Locality, POLL_EVERY, Provider,
    Resident, Settings,
};
use crate::id::InstanceId;
use crate::wire::ollama::{self as wire, FaultClass};

/// One Ollama server.
#[derive(Debug)]
pub struct Ollama {
    name: String,
    server: Server,
    locality: Locality,
    known: Known,
    /// The context that each model was last loaded with by us, while it is in memory.
    contexts: Mutex<HashMap<String, u32>>,
    /// The server was seen to load a model again with a context of its own.
    has_own_context: AtomicBool,
}

/// Instances that go by themselves later than this stay: "for ever" is told as a time centuries away.
const TTL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

// === impl Ollama ===

impl Ollama {
    /// The server at `url`, with or without `/v1` or `/api` at its end. The key is sent where there is one; Ollama wants
    /// none, what stands before it may.
    ///
    /// # Errors
    ///
    /// When the TLS backend cannot be set up.
    pub fn new(name: &str, url: &str, key: Option<String>, locality: Locality) -> Result<Self, ConnectError> {
        Ok(Self {
            name: name.to_owned(),
            server: Server::new(super::lmstudio::root(url), key, refusal)?,
            locality,
            known: Known::default(),
            contexts: Mutex::default(),
            has_own_context: AtomicBool::new(false),
        })
    }

    async fn list_models(&self) -> Result<Vec<Listed>, Error> {
        let installed = self.server.get::<wire::Models>("/api/tags");
        let (installed, running) = futures_util::future::try_join(installed, self.running()).await?;
        let tags: Vec<wire::Tag> =
            installed.tags().filter(|tag| !tag.is_elsewhere()).take(LISTED_MAX).collect();
        self.check_contexts(&running);
        self.known.learn(&self.server, &tags).await;
        Ok(tags.into_iter().map(|tag| self.listed(tag, &running)).collect())
    }

    async fn running(&self) -> Result<Vec<wire::Running>, Error> {
        let running: wire::Models = self.server.get("/api/ps").await?;
        Ok(running.running().collect())
    }

    fn listed(&self, tag: wire::Tag, running: &[wire::Running]) -> Listed {
        let facts = self.known.of(&tag);
        let instances = running.iter().filter(|running| running.name == tag.name).map(resident).collect();
        Listed {
            display_name: tag.name.clone(),
            kind: facts.kind,
            vision: facts.vision,
            tool_use: facts.tool_use,
            reasoning: facts.reasoning,
            local: self.locality == Locality::Local,
            max_context: facts.max_context,
            size_bytes: tag.size.filter(|bytes| *bytes > 0),
            instances,
            key: tag.name,
        }
    }

    /// Looks whether a context that a load was given is still there. Less of it, with the model in memory, means that a
    /// request had it loaded again.
    fn check_contexts(&self, running: &[wire::Running]) {
        let mut contexts = self.contexts();
        contexts.retain(|name, given| {
            let Some(running) = running.iter().find(|running| running.name == *name) else { return false };
            let is_kept = running.context_length.is_none_or(|context| context >= *given);
            if !is_kept && !self.has_own_context.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    provider = %self.name, model = %name, given = *given, has = ?running.context_length,
                    "Ollama loads models again with a context of its own: set OLLAMA_CONTEXT_LENGTH where it runs"
                );
            }
            is_kept
        });
    }

    async fn load_model(&self, request: LoadRequest) -> Result<Loaded, Error> {
        let key = request.model.key();
        let asked = request.settings.context_length.filter(|_| !self.has_own_context.load(Ordering::Relaxed));
        let options = asked.map(|num_ctx| wire::Options { num_ctx });
        let keep_alive = wire::FOR_EVER;
        let keep = wire::Keep { model: key, keep_alive, stream: false, options };
        match self.server.post("/api/generate", &keep).await {
            // Nothing was loaded: a model that writes nothing is loaded by what it does.
            Err(Error::Refused { status, message })
                if FaultClass::of(status, &message) == FaultClass::NoWriter =>
            {
                let keep = wire::KeepEmbedder { model: key, input: [], keep_alive, options };
                self.server.post("/api/embed", &keep).await?;
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        // The model is in memory whether or not the server says with how much context.
        let running = self.running().await.unwrap_or_default();
        let context_length = running.iter().find(|it| it.name == key).and_then(|it| it.context_length);
        if asked.is_some()
            && let Some(context) = context_length
        {
            self.contexts().insert(key.to_owned(), context);
        }
        let settings = Settings { context_length, ..Settings::default() };
        Ok(Loaded { settings, ..Loaded::always(key) })
    }

    async fn unload_instance(&self, instance: InstanceId) -> Result<(), Error> {
        let key = instance.as_str();
        let keep = wire::Keep { model: key, keep_alive: wire::NOT_AT_ALL, stream: false, options: None };
        match self.server.post_again("/api/generate", &keep).await {
            Err(Error::UnknownModel(_)) => return Ok(()),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        // What works with it ends first, and memory is freed some time after the answer.
        while self.running().await?.iter().any(|running| running.name == key) {
            tokio::time::sleep(POLL_EVERY).await;
        }
        Ok(())
    }

    fn contexts(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for Ollama {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> &str {
        self.server.root()
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

/// What an answer says is wrong.
fn refusal(status: u16, body: &[u8]) -> Option<Error> {
    let message = complaint(status, body)?;
    Some(match FaultClass::of(status, &message) {
        _ if matches!(status, 401 | 403) => refused(status, message),
        FaultClass::OutOfMemory => Error::OutOfMemory(message),
        FaultClass::UnknownModel => Error::UnknownModel(message),
        FaultClass::Aborted => Error::Aborted(message),
        FaultClass::Crashed => Error::Crashed(message),
        _ => refused(status, message),
    })
}

fn resident(running: &wire::Running) -> Resident {
    Resident {
        settings: Settings { context_length: running.context_length, ..Settings::default() },
        remaining_ttl: running.expires_at.as_deref().and_then(remaining),
        ..Resident::ready(&running.name)
    }
}

/// How long it is until then, nothing where that is just past; none where it is no time at all, or so far away that it
/// means never.
fn remaining(expires_at: &str) -> Option<Duration> {
    let expires_at: jiff::Timestamp = expires_at.parse().ok()?;
    let left = expires_at.duration_since(jiff::Timestamp::now());
    (left.unsigned_abs() < TTL_MAX).then(|| Duration::try_from(left).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests;
