//! What is asked of residency and what it answers: claims, wishes, refusals, and the cell in which a waiting client's
//! stream reads what is going on.
//!
//! Plain values; nothing here decides.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::id::{InstanceId, ModelId, RequestId, SessionKey, SkillName};
use crate::turn::verdict::{Afterwards, Swap};

/// One upstream exchange's request for a resident model.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The model wanted.
    pub model: ModelId,
    /// On whose behalf, which decides what it may move.
    pub purpose: Purpose,
    /// Whose conversation it belongs to.
    pub session: SessionKey,
    /// The client request it serves; a second claim of the same request keeps the age of the first.
    pub request: RequestId,
    /// Estimated tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer to leave room for.
    pub output_tokens: u32,
    /// Tokens of context to load the model with, if it must be loaded.
    pub context_length: Option<u32>,
    /// Where the waiting client's stream reads how far things are.
    pub progress: Arc<Progress>,
}

/// On whose behalf a model is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// By the client's or a person's own choice: the model joins the baseline.
    Plain,
    /// By a skill's route, which opens a turn that holds the model.
    Routed {
        /// May it push other models out?
        swap: Swap,
        /// Does the model join the baseline?
        afterwards: Afterwards,
    },
    /// A title, a summary, a rerouted tool call: neither a turn nor the baseline is touched.
    SideCall {
        /// May it push other models out?
        swap: Swap,
    },
}

/// Why a claim was refused, and when to try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// When the same claim may fare better; none where time does not mend it.
    pub retry_after: Option<Duration>,
}

/// Why a claim or a wish was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Too many wait already, or too many of this session.
    #[error("too many requests are waiting for a model")]
    QueueFull,
    /// Requests that run on the models in the way did not end in time.
    #[error("the models in the way are busy for too long")]
    DrainTimeout,
    /// The provider could not load the model.
    #[error("loading failed: {message}")]
    LoadFailed {
        /// What the provider said.
        message: String,
        /// It lacked the memory.
        cause: LoadFailure,
    },
    /// The provider does not answer.
    #[error("the provider does not answer: {message}")]
    ProviderDown {
        /// What the attempt met.
        message: String,
    },
    /// No provider lists the model.
    #[error("no provider lists this model")]
    UnknownModel,
    /// It is not resident and the route may not swap, or not now.
    #[error("the model is not resident and may not push another out")]
    WouldSwap,
    /// Only models that are kept by a pin could make room.
    #[error("pinned models leave no room")]
    WantsPinned,
    /// Its provider looks after its memory itself.
    #[error(
        "its server looks after its memory itself: it cannot, or by `residency = \"provider\"` shall not, be told what to load"
    )]
    NotOurs,
    /// The gateway is shutting down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// What kind of failure a load met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadFailure {
    /// Memory did not suffice; the model is tried again after a pause that grows.
    OutOfMemory,
    /// Anything else.
    Other,
}

/// A load or an unload asked for without a request to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The model.
    pub model: ModelId,
    /// What should become of it.
    pub action: Action,
    /// Who wishes, which decides what it may move.
    pub by: Wisher,
    /// When the wish is answered.
    pub answer: WhenAnswered,
}

/// What is wished for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// That the model be resident.
    Load {
        /// Tokens of context, at least.
        context_length: Option<u32>,
        /// Never evict it until it is unloaded by a wish.
        pin: Pin,
    },
    /// That it not be resident.
    Unload {
        /// Which instances.
        whose: Whose,
    },
}

/// Whether a wished load is kept by a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// It may be evicted like any other.
    Loose,
    /// It is never evicted.
    Pinned,
}

/// Which instances an unload means.
#[derive(Debug, Clone, PartialEq, Eq, Copy)]
pub enum Whose {
    /// Those the gateway loaded.
    Ours,
    /// Those loaded by people too.
    Everyones,
}

/// Who wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wisher {
    /// A person, by command line or the provider's own protocol: the baseline follows.
    Person,
    /// A skill, while it served this session: a want or a veto for a while.
    Skill {
        /// Its name.
        skill: SkillName,
        /// The session whose turn it served, where there was one.
        session: Option<SessionKey>,
    },
}

/// When a wish is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenAnswered {
    /// At once, with how it stands.
    AtOnce,
    /// When it is fulfilled or has failed.
    WhenDone,
}

/// How a wish stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is so already.
    Done,
    /// Under way.
    Started,
    /// It waits for running requests or for memory.
    Queued,
}

/// Something a skill or a person may want to hear of.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A provider lists a model that it did not list before.
    Discovered(ModelId),
    /// A provider no longer lists a model.
    Removed(ModelId),
    /// A model is in memory now, by anyone's doing.
    Loaded(ModelId, InstanceId),
    /// An instance has gone, by anyone's doing.
    Unloaded(ModelId, InstanceId),
    /// A wish that was answered as under way has failed.
    WishFailed(Wish, Reason),
}

/// Where a claim stands while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Others are served first.
    Queued,
    /// Requests on the models in the way are running out.
    Draining,
    /// Memory is being freed.
    Unloading,
    /// The model is being loaded.
    Loading,
}

/// The cell a waiting client's stream reads. Written by the residency owner alone, a few times per claim.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Option<Stage>>);

/// A phase and since when it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Where the claim stands.
    pub phase: Phase,
    /// Since when.
    pub since: Instant,
}

/// What a granted claim waited for; none where a step was not needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the claim to the grant.
    pub queued: Option<Duration>,
    /// Waiting for running requests of the models in the way.
    pub drained: Option<Duration>,
    /// Unloading them.
    pub unloaded: Option<Duration>,
    /// Loading.
    pub loaded: Option<Duration>,
}

// === impl Purpose ===

impl Purpose {
    /// May a claim of this kind push other models out?
    pub fn swap(self) -> Swap {
        match self {
            Self::Plain => Swap::Wait,
            Self::Routed { swap, .. } | Self::SideCall { swap } => swap,
        }
    }

    /// The model stays in memory when nobody needs it any more.
    pub fn joins_baseline(self) -> bool {
        matches!(self, Self::Plain | Self::Routed { afterwards: Afterwards::Keep, .. })
    }

    /// It belongs to the session's turn.
    pub fn is_turn(self) -> bool {
        !matches!(self, Self::SideCall { .. })
    }

    /// It opens a turn that holds its model.
    pub fn is_routed(self) -> bool {
        matches!(self, Self::Routed { .. })
    }
}

// === impl Refused ===

impl Refused {
    /// A refusal that time does not mend.
    pub fn new(reason: Reason) -> Self {
        Self { reason, retry_after: None }
    }

    /// Whoever was asked does not know the model, or is there no more.
    pub(super) fn is_strange(&self) -> bool {
        matches!(self.reason, Reason::UnknownModel | Reason::ShuttingDown)
    }

    /// A refusal worth trying again after `wait`.
    pub fn retry(reason: Reason, wait: Duration) -> Self {
        Self { reason, retry_after: Some(wait) }
    }
}

// === impl Progress ===

impl Progress {
    /// How far the claim is; none while nothing was said, and after the grant.
    pub fn read(&self) -> Option<Stage> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how far it is.
    pub(super) fn write(&self, stage: Option<Stage>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

// === impl Phase ===

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "waiting for",
            Self::Draining => "making room for",
            Self::Unloading => "unloading for",
            Self::Loading => "loading",
        })
    }
}
