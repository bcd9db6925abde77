//! What answers at an address: which kind of server it is, told by what only that kind says. Asked in an order in which
//! nobody is taken for another: LM Studio answers every path with 200, llama-server imitates Ollama's list, and all of
//! them speak OpenAI's protocol.
//!
//! Bounded by [`PROBE_TIMEOUT`] a question, of which there are six at most. It asks only; nothing is changed or loaded.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::server::{Server, complaint};
use super::{Error, lmstudio, openai};
use crate::wire;
use crate::wire::llama_server::FaultClass;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// LM Studio, new or old.
    LmStudio,
    /// llama-server, a router or one of one model.
    LlamaServer,
    /// Ollama.
    Ollama,
    /// Anything else that lists models in OpenAI's shape.
    OpenAi,
}

impl ServerKind {
    /// The word for it in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LmStudio => "lmstudio",
            Self::LlamaServer => "llama-server",
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
        }
    }
}

/// How long one question may take; the server is on this machine or beside it, and may be at work.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Questions to one server, and what kept it from answering.
struct Asking {
    /// At the root of native interfaces.
    native: Server,
    /// At the root of OpenAI's, which may have more of a path.
    openai: Server,
    /// A question met a demand for a key, or for another one.
    unauthorised: Option<String>,
    /// A question had no answer in time.
    was_late: bool,
    /// A question was answered as only a llama-server does that still loads its model.
    still_loads: bool,
}

/// Finds out what answers at `url`, with or without `/v1` at its end.
///
/// # Errors
///
/// [`Error::Unreachable`] where nothing does, [`Error::TimedOut`] where what is there says nothing,
/// [`Error::Unauthorised`] where it says nothing without a key, or with this one, and [`Error::Unsupported`] where it is
/// nothing that is known.
pub async fn detect(url: &str, key: Option<&str>) -> Result<ServerKind, Error> {
    let server = |root: &str| {
        Server::new(root, key.map(str::to_owned), |_, _| None)
            .map_err(|error| Error::Unreachable(error.to_string()))
    };
    let mut asking = Asking {
        native: server(lmstudio::root(url))?,
        openai: server(openai::root(url))?,
        unauthorised: None,
        was_late: false,
        still_loads: false,
    };
    if asking.is_lm_studio().await? {
        Ok(ServerKind::LmStudio)
    } else if asking.is_llama_server().await? {
        Ok(ServerKind::LlamaServer)
    } else if asking.is_ollama().await? {
        Ok(ServerKind::Ollama)
    } else {
        asking.rest().await
    }
}

// === impl Asking ===

impl Asking {
    async fn is_lm_studio(&mut self) -> Result<bool, Error> {
        let greeting: Option<wire::lmstudio::Greeting> = self.ask("/lmstudio-greeting").await?;
        if greeting.is_some_and(|greeting| greeting.lmstudio) {
            return Ok(true);
        }
        let list: Option<wire::lmstudio::Models> = self.ask("/api/v1/models").await?;
        // Even its demand for a token names it.
        let says_so = |message: &String| message.contains("LM Studio");
        Ok(list.is_some() || self.unauthorised.as_ref().is_some_and(says_so))
    }

    async fn is_llama_server(&mut self) -> Result<bool, Error> {
        let props: Option<wire::llama_server::Props> = self.ask("/props").await?;
        Ok(self.still_loads || props.is_some_and(|props| props.is_llama_server()))
    }

    /// Other proxies have one of the two paths; Ollama has both.
    async fn is_ollama(&mut self) -> Result<bool, Error> {
        if self.ask::<wire::ollama::Version>("/api/version").await?.is_none() {
            return Ok(false);
        }
        let tags: Option<wire::ollama::Models> = self.ask("/api/tags").await?;
        Ok(tags.is_some_and(|tags| tags.is_list()))
    }

    /// OpenAI's list, or why nothing can be said. A server that had no such paths before and now wants a key has this
    /// one.
    async fn rest(mut self) -> Result<ServerKind, Error> {
        let locked_before = self.unauthorised.take();
        let list: Option<Value> = self.ask_at("/v1/models", Root::OpenAi).await?;
        if list.is_some_and(|list| wire::openai::models(&list).is_some()) {
            return Ok(ServerKind::OpenAi);
        }
        match (locked_before, self.unauthorised, self.was_late) {
            (Some(message), ..) => Err(Error::Unauthorised(message)),
            (None, Some(_), _) => Ok(ServerKind::OpenAi),
            (None, None, true) => Err(Error::TimedOut(PROBE_TIMEOUT)),
            (None, None, false) => {
                Err(Error::Unsupported("what answers there is no model server that is known".to_owned()))
            }
        }
    }

    async fn ask<T: DeserializeOwned>(&mut self, path: &str) -> Result<Option<T>, Error> {
        self.ask_at(path, Root::Native).await
    }

    /// What is at a path, where it is there and can be read as that. Nothing more is asked of a server that cannot be
    /// reached.
    async fn ask_at<T: DeserializeOwned>(&mut self, path: &str, root: Root) -> Result<Option<T>, Error> {
        let server = match root {
            Root::Native => &self.native,
            Root::OpenAi => &self.openai,
        };
        let (status, body) = match tokio::time::timeout(PROBE_TIMEOUT, server.look(path)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error @ Error::Unreachable(_))) => return Err(error),
            Ok(Err(_)) => return Ok(None),
            Err(_) => {
                self.was_late = true;
                return Ok(None);
            }
        };
        match status {
            200..=299 => Ok(serde_json::from_slice(&body).ok()),
            401 | 403 => {
                self.unauthorised = complaint(status, &body);
                Ok(None)
            }
            _ => {
                let class = complaint(status, &body).map(|said| FaultClass::of(&said));
                self.still_loads |= class == Some(FaultClass::StillLoading);
                Ok(None)
            }
        }
    }
}

/// Which root a path is at.
#[derive(Debug, Clone, Copy)]
enum Root {
    Native,
    OpenAi,
}
