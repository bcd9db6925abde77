//! Model servers as the residency owner sees them: what they can serve, what they hold in memory, and the two effects
//! that change it. The data path does not come through here; it talks to a provider through `upstream`.
//!
//! A provider answers truthfully and at once: between calls it keeps no state but what its server was found to be able
//! to, decides nothing and never retries an effect, because only the residency planner knows whether a second load would
//! be a second instance. What it does repeat is a request that met a stale pooled connection and got no answer at all.
//!
//! Its calls have no time limit of their own: whoever makes one bounds it, by dropping it, and nothing goes on then.

pub mod auto;
pub mod detect;
pub mod list_only;
pub mod llama_server;
pub mod lmstudio;
pub mod ollama;
pub mod openai;
mod server;

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{InstanceId, ModelId};
use crate::model::Kind;

pub use detect::{ServerKind, detect};
pub use server::ConnectError;

/// What a call to a provider becomes.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// One configured model server.
pub trait Provider: Send + Sync + 'static {
    /// The configured name: the part of a [`ModelId`] before the first slash.
    fn name(&self) -> &str;

    /// Where it is: whether two are one server. Empty where nobody says.
    fn address(&self) -> &str {
        ""
    }

    /// What can be asked of it, as its last list showed; before the first list, what servers of its kind usually can.
    fn control(&self) -> Control {
        Control::Full
    }

    /// Every model it can serve, with the instances in its memory.
    fn list(&self) -> Answer<'_, Vec<Listed>>;

    /// Loads a model and answers when it is resident. Not idempotent: a second call may make a second instance.
    fn load(&self, request: LoadRequest) -> Answer<'_, Loaded>;

    /// Unloads one instance. An instance that is not there counts as unloaded.
    fn unload(&self, instance: InstanceId) -> Answer<'_, ()>;
}

/// What can be asked of a provider beside lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Loads and unloads change what is in its memory.
    Full,
    /// It can only be listed. Every model it lists is to be taken as resident, under its own key: what is in memory and
    /// what is loaded for a request is the server's own business.
    ListOnly,
}

/// Whether a server's models run on the user's own machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locality {
    /// They do.
    Local,
    /// They do not.
    Remote,
}

/// A model as its provider lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// What the provider calls it.
    pub key: String,
    /// For people.
    pub display_name: String,
    /// What it is for.
    pub kind: Kind,
    /// The provider says that it takes images.
    pub vision: bool,
    /// The provider says that it was trained to call tools.
    pub tool_use: bool,
    /// The provider says that it can reason.
    pub reasoning: bool,
    /// It runs on the user's own machines.
    pub local: bool,
    /// Largest context it can be loaded with, in tokens.
    pub max_context: Option<u32>,
    /// Bytes on disk.
    pub size_bytes: Option<u64>,
    /// Where it is in memory; true of a moment, and not stored.
    #[serde(skip)]
    pub instances: Vec<Resident>,
}

/// An instance as its provider lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resident {
    /// What the provider calls it.
    pub id: InstanceId,
    /// Whether it answers yet.
    pub readiness: Readiness,
    /// How it was loaded.
    pub settings: Settings,
    /// Requests it works on at once; more queue up inside the provider.
    pub parallel: Option<NonZeroU32>,
    /// The provider will unload it when it has been idle for so long; none where it stays.
    pub remaining_ttl: Option<Duration>,
}

/// Whether a listed instance answers yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It answers.
    Ready,
    /// It is still being loaded.
    Loading,
}

/// How an instance is loaded: the settings that a load over HTTP can name, and so the ones that can be put back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Tokens of context.
    pub context_length: Option<u32>,
    /// Tokens that the engine evaluates at a time.
    pub eval_batch_size: Option<u32>,
    /// Whether flash attention is on.
    pub flash_attention: Option<bool>,
    /// Experts in use, for models that mix them.
    pub num_experts: Option<u32>,
    /// Whether the key-value cache is on the GPU.
    pub offload_kv_cache_to_gpu: Option<bool>,
}

/// What to load and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadRequest {
    /// The model.
    pub model: ModelId,
    /// Settings left out are the provider's own defaults.
    pub settings: Settings,
}

/// A load that succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The new instance.
    pub instance: InstanceId,
    /// The settings read back, which need not be those asked for.
    pub settings: Settings,
    /// Requests it works on at once, where the provider says so.
    pub parallel: Option<NonZeroU32>,
    /// What the provider says the load took.
    pub took: Option<Duration>,
}

/// What a provider's refusal or silence means. The text is the provider's own, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Memory, or the server's own number of places, does not suffice; loading something smaller, or unloading first,
    /// may work.
    #[error("not enough memory: {0}")]
    OutOfMemory(String),
    /// The provider has no such model.
    #[error("unknown model: {0}")]
    UnknownModel(String),
    /// Somebody or something broke the load off.
    #[error("load was broken off: {0}")]
    Aborted(String),
    /// The engine died.
    #[error("the engine crashed: {0}")]
    Crashed(String),
    /// Nobody listens there, or the connection broke.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// No answer in time; what was asked for may still happen.
    #[error("no answer in {0:?}")]
    TimedOut(Duration),
    /// The provider wants a token, or another one.
    #[error("not authorised: {0}")]
    Unauthorised(String),
    /// The provider is too old or is something else: it has no such operation.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// Another model was loaded than the one that was asked for.
    #[error("{0}")]
    WrongModel(String),
    /// Any other refusal.
    #[error("refused with status {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the provider says.
        message: String,
    },
    /// The answer is not what the provider's documentation promises.
    #[error("unreadable answer: {0}")]
    Malformed(String),
}

/// Models of one list that are taken; the largest public catalogues have some hundreds.
const LISTED_MAX: usize = 2000;

/// How often a server that changes its memory in the background is asked whether it has.
const POLL_EVERY: Duration = Duration::from_millis(250);

// === impl Error ===

impl Error {
    /// The same call may succeed when made again at once: somebody broke it off, and it had not failed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Aborted(_))
    }

    /// Whether the call had its effect is not known; only a list can tell.
    pub fn is_uncertain(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::Unreachable(_) | Self::Malformed(_))
    }
}

// === impl Resident ===

impl Resident {
    /// An instance that answers, of which nothing else is known.
    fn ready(id: &str) -> Self {
        Self {
            id: InstanceId::new(id),
            readiness: Readiness::Ready,
            settings: Settings::default(),
            parallel: None,
            remaining_ttl: None,
        }
    }
}

// === impl Loaded ===

impl Loaded {
    /// A model by the name that requests give it, of a server that tells nothing of how it was loaded.
    fn always(key: &str) -> Self {
        Self { instance: InstanceId::new(key), settings: Settings::default(), parallel: None, took: None }
    }
}

// === impl Settings ===

impl Settings {
    /// These settings with `other`'s where these say nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            context_length: self.context_length.or(other.context_length),
            eval_batch_size: self.eval_batch_size.or(other.eval_batch_size),
            flash_attention: self.flash_attention.or(other.flash_attention),
            num_experts: self.num_experts.or(other.num_experts),
            offload_kv_cache_to_gpu: self.offload_kv_cache_to_gpu.or(other.offload_kv_cache_to_gpu),
        }
    }
}

#[cfg(test)]
mod tests;
