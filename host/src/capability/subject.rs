//! What a hook is about: the request, its conversation, what skills may still spend on it, and who guards it. One for each
//! request, shared by all skills that are asked about it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::BoxFuture;

use super::Error;
use super::conversation::Conversation;
use crate::id::{ModelId, RequestId, SessionKey};

/// The turn that a hook is about.
#[derive(Clone)]
pub struct Subject {
    /// Its request.
    pub request: RequestId,
    /// Its conversation.
    pub session: SessionKey,
    /// The messages behind it, where there are any.
    pub conversation: Option<Arc<dyn Conversation>>,
    /// What skills may still spend on it.
    pub budget: Arc<Budget>,
    /// Who must be asked before a model is used; none where no model may be, as in a guard.
    pub guards: Option<Arc<dyn Guards>>,
}

/// Narrows lists of models that are about to be used.
pub trait Guards: Send + Sync {
    /// Those that may be used.
    fn narrow(&self, models: Vec<ModelId>) -> BoxFuture<'static, Result<Vec<ModelId>, Error>>;
}

/// What all skills together have spent on one request.
#[derive(Debug, Default)]
pub struct Budget {
    inferences: AtomicU32,
    http: AtomicU32,
}

// === impl Subject ===

impl Subject {
    /// A turn of which nothing but its names is known, and about which no model may be asked.
    pub fn new(request: RequestId, session: SessionKey) -> Self {
        Self { request, session, conversation: None, budget: Arc::default(), guards: None }
    }

    /// The same turn, for a hook that may ask no model.
    pub fn without_models(&self) -> Self {
        Self { guards: None, ..self.clone() }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, session, .. } = self;
        f.debug_struct("Subject").field("request", request).field("session", session).finish_non_exhaustive()
    }
}

// === impl Budget ===

impl Budget {
    /// One more question to a model, of at most so many.
    pub(super) fn take_inference(&self, most: u32) -> bool {
        take(&self.inferences, most)
    }

    /// One more HTTP request, of at most so many.
    pub(super) fn take_http(&self, most: u32) -> bool {
        take(&self.http, most)
    }
}

fn take(spent: &AtomicU32, most: u32) -> bool {
    spent
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| (spent < most).then_some(spent + 1))
        .is_ok()
}
