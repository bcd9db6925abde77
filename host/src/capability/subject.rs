//! What a hook is about: the request, its conversation, what skills may still spend on it, and who guards it. One for each
//! request, shared by all skills that are asked about it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;

use super::Error;
use super::conversation::Conversation;
use crate::id::{ModelId, RequestId, SessionKey};
use crate::model::Directory;

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
    /// What time and chance give the hook; none where they give what they give.
    pub moment: Option<Moment>,
}

/// What time and chance give to a hook, so that it can be asked once more and be given the same. Time stands still in it.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Minutes by which local time is ahead of the world's; none where that is to be looked up.
    pub utc_offset_minutes: Option<i32>,
    /// What its random bytes are made from.
    pub seed: Seed,
    /// The models.
    pub directory: Arc<Directory>,
}

/// Chance, from the operating system.
pub type Seed = [u8; 32];

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
        Self { request, session, conversation: None, budget: Arc::default(), guards: None, moment: None }
    }

    /// The same turn, for a hook that may ask no model.
    pub fn without_models(&self) -> Self {
        Self { guards: None, moment: None, ..self.clone() }
    }
}

// === impl Moment ===

impl Moment {
    /// This one, with chance of its own and the models as they are.
    pub fn now(directory: Arc<Directory>) -> Self {
        Self { at_ms: epoch_ms(), utc_offset_minutes: None, seed: rand::random(), directory }
    }

    /// Minutes by which local time is ahead of the world's.
    pub fn utc_offset_minutes(&self) -> i32 {
        self.utc_offset_minutes.unwrap_or_else(utc_offset_minutes)
    }
}

/// Milliseconds since the Unix epoch.
pub fn epoch_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// As it is now.
pub(super) fn utc_offset_minutes() -> i32 {
    jiff::Zoned::now().offset().seconds() / 60
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
