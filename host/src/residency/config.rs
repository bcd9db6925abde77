//! The limits of residency: every bound has its name here and its default from the product's rules.
//!
//! This is what is true, not what may be written: the config room reads files and resolves names and units.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use crate::id::ModelId;

/// How one device's memory is looked after.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Language models that may be in memory at once by the gateway's doing; not asked where `memory` says it.
    pub max_loaded: NonZeroU32,
    /// Bytes that models may take together by the gateway's doing, each with a margin for its context; none where models
    /// are only counted.
    pub memory: Option<NonZeroU64>,
    /// Embedding models that may be in memory at once by the gateway's doing.
    pub max_loaded_embeddings: NonZeroU32,
    /// Requests and wishes that may wait at once.
    pub max_queue: usize,
    /// Of these, the requests of one session.
    pub max_queue_per_session: usize,
    /// How long a waiter respects the wants of others; by default three times the swap's measured cost, within
    /// [`MAX_WAIT_LEAST`] and [`MAX_WAIT_MOST`].
    pub max_wait: Option<Duration>,
    /// How long a closed gate waits for running requests.
    pub drain_timeout: Duration,
    /// How long a specialist that nobody needs stays before the baseline is put back.
    pub linger: Duration,
    /// How long the model of an unfinished turn is kept for the next request of its tool loop.
    pub turn_grace: Duration,
    /// How long a turn's hold lasts after its last answer.
    pub turn_timeout: Duration,
    /// How long a turn's hold lasts after an error or a cancelled request.
    pub error_grace: Duration,
    /// How long a load may take.
    pub load_timeout: Duration,
    /// How long a client behind a closed gate may read nothing.
    pub slow_client: Duration,
    /// How long a shutdown may take in all.
    pub shutdown_timeout: Duration,
    /// How long a skill's wish stands at least.
    pub wish_lasts: Duration,
    /// What is configured for single models.
    pub models: BTreeMap<ModelId, ModelConfig>,
}

/// What is configured for one model.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ModelConfig {
    /// Tokens of context it is loaded with at least.
    pub context_length: Option<u32>,
    /// It runs on the user's own machines, whatever its provider says.
    pub local: Option<bool>,
    /// Price of a million tokens of the prompt.
    pub input_cost: Option<f32>,
    /// Price of a million tokens of the answer.
    pub output_cost: Option<f32>,
}

/// The shortest default for [`Config::max_wait`].
pub const MAX_WAIT_LEAST: Duration = Duration::from_secs(5);

/// The longest default for [`Config::max_wait`].
pub const MAX_WAIT_MOST: Duration = Duration::from_secs(60);

/// What a swap counts that was never measured.
pub const SWAP_UNMEASURED: Duration = Duration::from_secs(15);

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            max_loaded: NonZeroU32::MIN,
            memory: None,
            max_loaded_embeddings: NonZeroU32::MIN.saturating_add(1),
            max_queue: 512,
            max_queue_per_session: 64,
            max_wait: None,
            drain_timeout: Duration::from_secs(600),
            linger: Duration::ZERO,
            turn_grace: Duration::from_secs(5),
            turn_timeout: Duration::from_secs(300),
            error_grace: Duration::from_secs(30),
            load_timeout: Duration::from_secs(600),
            slow_client: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(60),
            wish_lasts: Duration::from_secs(60),
            models: BTreeMap::new(),
        }
    }
}
