//! What Ollama's models can: said by newer servers in their lists, asked for one by one of older ones, and remembered by
//! digest, which changes with the content.
//!
//! Bounded: what is no longer installed is forgotten, [`AT_ONCE`] questions are under way at a time, and a list waits
//! for them [`LEARN_TIMEOUT`] at most; what was not answered by then is asked at the next list.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::super::Error;
use super::super::server::{self, Server};
use crate::model::Kind;
use crate::wire::ollama::{Named, Shown, Tag};
use crate::wire::openai::is_embedders;

/// Facts by digest.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<String, Facts>>);

/// What a model can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) vision: bool,
    pub(super) tool_use: bool,
    pub(super) reasoning: bool,
    /// Tokens.
    pub(super) max_context: Option<u32>,
}

/// Questions under way at a time; each reads a model's file on the server.
const AT_ONCE: usize = 4;

/// How long a list waits for answers; it is late after 10 s.
const LEARN_TIMEOUT: Duration = Duration::from_secs(3);

/// Architectures that only make vectors, for servers too old to say what a model can.
const EMBEDDERS: [&str; 2] = ["bert", "nomic-bert"];

// === impl Known ===

impl Known {
    /// Asks for what neither the list nor an earlier question said.
    pub(super) async fn learn(&self, server: &Server, tags: &[Tag]) {
        let installed: HashSet<&str> = tags.iter().map(|tag| tag.digest.as_str()).collect();
        self.locked().retain(|digest, _| installed.contains(digest.as_str()));
        let mut asked = HashSet::new();
        let missing: Vec<&Tag> = tags
            .iter()
            .filter(|tag| !says_all(tag) && !self.locked().contains_key(&tag.digest))
            .filter(|tag| asked.insert(tag.digest.as_str()))
            .collect();
        let questions = stream::iter(missing).for_each_concurrent(AT_ONCE, |tag| self.ask(server, tag));
        // What is known by then is enough for this list.
        let _ = tokio::time::timeout(LEARN_TIMEOUT, questions).await;
    }

    /// What is known of a model.
    pub(super) fn of(&self, tag: &Tag) -> Facts {
        self.locked().get(&tag.digest).copied().unwrap_or_else(|| Facts::of(tag, &Shown::default()))
    }

    async fn ask(&self, server: &Server, tag: &Tag) {
        let answer = server.post_again("/api/show", &Named { model: &tag.name }).await;
        let shown = match answer.and_then(|body| server::read(&body)) {
            Ok(shown) => shown,
            // The server may be back when it is listed next.
            Err(Error::Unreachable(_)) => return,
            // It would say the same again.
            Err(_) => Shown::default(),
        };
        self.locked().insert(tag.digest.clone(), Facts::of(tag, &shown));
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Facts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Facts ===

impl Facts {
    /// What the list and the answer say; where both say nothing of what it can, its architecture and its name do.
    fn of(tag: &Tag, shown: &Shown) -> Self {
        let said = tag.capabilities.as_ref().or(shown.capabilities.as_ref());
        let can = |what: &str| said.is_some_and(|said| said.iter().any(|it| it == what));
        let is_embedder = match said {
            Some(_) => can("embedding") && !can("completion"),
            None => {
                let family = tag.details.family.as_deref();
                family.is_some_and(|family| EMBEDDERS.contains(&family)) || is_embedders(&tag.name)
            }
        };
        Self {
            kind: if is_embedder { Kind::Embedding } else { Kind::Language },
            vision: can("vision"),
            tool_use: can("tools"),
            reasoning: can("thinking"),
            max_context: tag.details.context_length.or_else(|| shown.context()).filter(|tokens| *tokens > 0),
        }
    }
}

/// The list leaves nothing to ask.
fn says_all(tag: &Tag) -> bool {
    tag.capabilities.is_some() && tag.details.context_length.is_some()
}
