//! llama.cpp's `llama-server`. As a router it starts and stops one process a model, in the background: a load and an
//! unload are answered at once here too, and then followed until they are done. A server of one model has nothing to
//! load: it can only be listed, and its model is always resident.
//!
//! What is true is what its list says; its event stream only says when to look, and where there is none, or it breaks
//! off, the list is asked every `POLL_EVERY`. Both belong to the call: dropping it ends both. A load
//! carries no settings (presets and the command line decide), so they are read back. Loads are idempotent: a model that
//! is in memory or on its way there is joined.

mod news;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::news::News;
use super::server::{Server, complaint, refused};
use super::{
    Answer, ConnectError, Control, Error, LISTED_MAX, Listed, LoadRequest, Loaded, Locality, Provider,
    Readiness, Resident, Settings,
};
use crate::id::InstanceId;
use crate::model::Kind;
use crate::wire::llama_server::{self as wire, FaultClass, State};
use crate::wire::openai::is_embedders;

/// One llama-server.
#[derive(Debug)]
pub struct LlamaServer {
    name: String,
    server: Server,
    locality: Locality,
    /// Its last list was that of a server of one model.
    is_single: AtomicBool,
}

/// Where models are listed; the same as `/models`, which servers that imitate this one lack.
const LIST: &str = "/v1/models";

/// How long a server of one model may take to say how it was started; without it a list is only less exact.
const PROPS_TIMEOUT: Duration = Duration::from_secs(2);

// === impl LlamaServer ===

impl LlamaServer {
    /// The server at `url`, with or without `/v1` at its end. The key is sent where there is one.
    ///
    /// # Errors
    ///
    /// When the TLS backend cannot be set up.
    pub fn new(name: &str, url: &str, key: Option<String>, locality: Locality) -> Result<Self, ConnectError> {
        let server = Server::new(super::openai::root(url), key, refusal)?;
        Ok(Self { name: name.to_owned(), server, locality, is_single: AtomicBool::new(false) })
    }

    async fn list_models(&self) -> Result<Vec<Listed>, Error> {
        let models = self.entries().await?;
        // Only a router says where its models are in their lives; one without models says nothing either.
        let is_router = models.iter().any(|model| model.status.is_some());
        let props = if is_router { None } else { self.props().await };
        let is_single = !is_router && !props.as_ref().is_some_and(wire::Props::is_router);
        self.is_single.store(is_single, Ordering::Relaxed);
        Ok(models.into_iter().map(|model| self.listed(model, props.as_ref())).collect())
    }

    /// The models that can be served: one that is being downloaded cannot yet.
    async fn entries(&self) -> Result<Vec<wire::Model>, Error> {
        let models: wire::Models = self.server.get(LIST).await?;
        let is_there = |model: &wire::Model| state(model) != State::Downloading;
        Ok(models.entries().filter(is_there).take(LISTED_MAX).collect())
    }

    async fn find(&self, key: &str) -> Result<Option<wire::Model>, Error> {
        let models: wire::Models = self.server.get(LIST).await?;
        Ok(models.entries().find(|model| model.id == key))
    }

    async fn props(&self) -> Option<wire::Props> {
        tokio::time::timeout(PROPS_TIMEOUT, self.server.get("/props")).await.ok()?.ok()
    }

    /// A model with its instance; `props` are those of a server of one.
    fn listed(&self, model: wire::Model, props: Option<&wire::Props>) -> Listed {
        let is_embedder = model.makes_vectors() || is_embedders(&model.id);
        let readiness = match (&model.status, state(&model)) {
            (None, _) | (_, State::Loaded | State::Sleeping) => Some(Readiness::Ready),
            (_, State::Loading) => Some(Readiness::Loading),
            _ => None,
        };
        let said = |get: fn(&wire::Props) -> Option<u32>| props.and_then(get).filter(|number| *number > 0);
        let context = said(|props| props.default_generation_settings?.n_ctx).or(model.context());
        let parallel = said(|props| props.total_slots).or(model.parallel());
        let resident = |readiness| Resident {
            readiness,
            // One that loads has no context yet: what it was started with may not be what it gets.
            settings: settings(context.filter(|_| readiness == Readiness::Ready)),
            parallel: parallel.and_then(std::num::NonZeroU32::new),
            ..Resident::ready(&model.id)
        };
        Listed {
            display_name: model.id.clone(),
            kind: if is_embedder { Kind::Embedding } else { Kind::Language },
            vision: model.takes_images(),
            tool_use: false,
            reasoning: false,
            local: self.locality == Locality::Local,
            max_context: context,
            size_bytes: model.meta.and_then(|meta| meta.size).filter(|bytes| *bytes > 0),
            instances: readiness.map(resident).into_iter().collect(),
            key: model.id,
        }
    }

    async fn load_model(&self, request: LoadRequest) -> Result<Loaded, Error> {
        let key = request.model.key();
        if self.control() == Control::ListOnly {
            return Ok(Loaded::always(key));
        }
        let news = News::of(key);
        let load = async {
            match self.server.post("/models/load", &wire::Named { model: key }).await {
                Err(Error::Refused { message, .. }) if is(FaultClass::AlreadyRunning, &message) => {}
                // The path is there on every router: what is not found is the model.
                Err(Error::Unsupported(_)) => return Err(unknown(key)),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            self.until_loaded(key, &news).await
        };
        news.heard_beside(&self.server, load).await
    }

    /// Waits until a load that was sent, or was under way, is over.
    async fn until_loaded(&self, key: &str, news: &News<'_>) -> Result<Loaded, Error> {
        loop {
            let model = self.find(key).await?.ok_or_else(|| unknown(key))?;
            match state(&model) {
                State::Loaded | State::Sleeping => return Ok(loaded(&model)),
                State::Unloaded => return Err(came_to_nothing(&model)),
                State::Loading | State::Downloading | State::Downloaded | State::Other => {}
            }
            news.wait().await;
        }
    }

    async fn unload_instance(&self, instance: InstanceId) -> Result<(), Error> {
        if self.control() == Control::ListOnly {
            return Ok(());
        }
        let key = instance.as_str();
        let news = News::of(key);
        let unload = async {
            match self.server.post_again("/models/unload", &wire::Named { model: key }).await {
                Ok(_) => self.until_gone(key, &news).await,
                Err(Error::Refused { message, .. }) if is(FaultClass::NotRunning, &message) => Ok(()),
                Err(Error::UnknownModel(_)) => Ok(()),
                Err(error) => Err(error),
            }
        };
        news.heard_beside(&self.server, unload).await
    }

    /// Waits until a model's process is gone: it is listed as loaded until then, for as long as `stop-timeout` (10 s
    /// where the preset says nothing).
    async fn until_gone(&self, key: &str, news: &News<'_>) -> Result<(), Error> {
        loop {
            let model = self.find(key).await?;
            let is_there = model
                .is_some_and(|it| matches!(state(&it), State::Loaded | State::Loading | State::Sleeping));
            // It may have gone and come back for somebody's request between two lists; the stream saw it go.
            if !is_there || news.saw_it_go() {
                return Ok(());
            }
            news.wait().await;
        }
    }
}

impl Provider for LlamaServer {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> &str {
        self.server.root()
    }

    fn control(&self) -> Control {
        if self.is_single.load(Ordering::Relaxed) { Control::ListOnly } else { Control::Full }
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
    Some(match FaultClass::of(&message) {
        _ if matches!(status, 401 | 403) => refused(status, message),
        FaultClass::UnknownModel => Error::UnknownModel(message),
        FaultClass::LimitReached => {
            Error::OutOfMemory(format!("{message} (`--models-max` models are loaded, and all are at work)"))
        }
        FaultClass::Crashed => Error::Crashed(message),
        _ => refused(status, message),
    })
}

fn is(class: FaultClass, message: &str) -> bool {
    FaultClass::of(message) == class
}

fn state(model: &wire::Model) -> State {
    model.status.as_ref().map_or(State::Other, |status| status.value)
}

fn settings(context_length: Option<u32>) -> Settings {
    Settings { context_length, ..Settings::default() }
}

fn loaded(model: &wire::Model) -> Loaded {
    Loaded {
        instance: InstanceId::new(model.id.as_str()),
        settings: settings(model.context()),
        parallel: model.parallel().and_then(std::num::NonZeroU32::new),
        took: None,
    }
}

fn unknown(key: &str) -> Error {
    Error::UnknownModel(format!("llama-server lists no {key}"))
}

/// A load that ended with the model not in memory: its process died, or somebody unloaded it.
fn came_to_nothing(model: &wire::Model) -> Error {
    let key = &model.id;
    let status = model.status.as_ref().filter(|status| status.failed);
    let Some(status) = status else {
        return Error::Aborted(format!("{key} was unloaded while it was loading"));
    };
    let code = status.exit_code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
    Error::Crashed(format!("{key} did not load: its process ended{code}; llama-server's own log says why"))
}

#[cfg(test)]
mod tests;
