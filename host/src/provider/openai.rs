//! Any server of OpenAI's protocol, in the cloud or beside us. It has a list and nothing else: there is nothing to load,
//! every model it lists can be asked at any time, and an instance is called as its model.
//!
//! Its models are local where its address is this machine's, or where the constructor is told so.

use serde_json::Value;

use super::server::{Server, complaint, refused};
use super::{
    Answer, ConnectError, Control, Error, LISTED_MAX, Listed, LoadRequest, Loaded, Locality, Provider,
    Resident, Settings,
};
use crate::id::InstanceId;
use crate::model::Kind;
use crate::wire::openai as wire;

/// One compatible server.
#[derive(Debug)]
pub struct OpenAi {
    name: String,
    server: Server,
    locality: Locality,
}

/// A server's root: its address without `/v1` and without slashes at its end. What stands before `/v1` belongs to it:
/// `https://openrouter.ai/api/v1` has the root `https://openrouter.ai/api`.
pub fn root(url: &str) -> &str {
    let url = url.trim().trim_end_matches('/');
    url.strip_suffix("/v1").unwrap_or(url).trim_end_matches('/')
}

// === impl OpenAi ===

impl OpenAi {
    /// The server at `url`, with or without `/v1` at its end. The key is sent where there is one.
    ///
    /// # Errors
    ///
    /// When the TLS backend cannot be set up.
    pub fn new(name: &str, url: &str, key: Option<String>, locality: Locality) -> Result<Self, ConnectError> {
        Ok(Self { name: name.to_owned(), server: Server::new(root(url), key, refusal)?, locality })
    }

    async fn list_models(&self) -> Result<Vec<Listed>, Error> {
        let list: Value = self.server.get("/v1/models").await?;
        let models = wire::models(&list).ok_or_else(|| {
            Error::Malformed("/v1/models answers with something else than a list".to_owned())
        })?;
        Ok(models.take(LISTED_MAX).map(|model| self.listed(model)).collect())
    }

    fn listed(&self, model: wire::Model) -> Listed {
        let settings = Settings { context_length: model.context, ..Settings::default() };
        Listed {
            display_name: model.display_name.unwrap_or_else(|| model.id.clone()),
            kind: if model.embedding { Kind::Embedding } else { Kind::Language },
            vision: model.vision,
            tool_use: model.tool_use,
            reasoning: model.reasoning,
            local: self.locality == Locality::Local,
            max_context: model.context,
            size_bytes: model.size_bytes,
            instances: vec![Resident { settings, ..Resident::ready(&model.id) }],
            key: model.id,
        }
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> &str {
        self.server.root()
    }

    fn control(&self) -> Control {
        Control::ListOnly
    }

    fn list(&self) -> Answer<'_, Vec<Listed>> {
        Box::pin(self.list_models())
    }

    fn load(&self, request: LoadRequest) -> Answer<'_, Loaded> {
        Box::pin(async move { Ok(Loaded::always(request.model.key())) })
    }

    fn unload(&self, _: InstanceId) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// What an answer says is wrong.
fn refusal(status: u16, body: &[u8]) -> Option<Error> {
    Some(refused(status, complaint(status, body)?))
}

#[cfg(test)]
mod tests;
