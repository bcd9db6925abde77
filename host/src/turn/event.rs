//! What happened, as skills are told: models come and go, requests end, wishes fail.
//!
//! An event is told once to each active skill that listens and can change nothing. Who makes events does not wait for
//! their delivery.

use crate::id::{ModelId, RequestId, SessionKey, SkillName};
use crate::model::Model;
use std::time::Duration;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A provider lists a model that was not known.
    ModelDiscovered(Box<Model>),
    /// No provider lists the model any more.
    ModelRemoved(ModelId),
    /// The model is in memory and ready.
    ModelLoaded(Box<Model>),
    /// The model's last instance is gone.
    ModelUnloaded(ModelId),
    /// A request has been served, or has failed.
    RequestFinished(Box<Outcome>),
    /// A wish for residency came to nothing. Told only to the skill that wished.
    WishFailed {
        /// Who wished.
        skill: SkillName,
        /// The model, as the skill named it.
        model: String,
        /// What went wrong.
        fault: Fault,
    },
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The request.
    pub request_id: RequestId,
    /// Its conversation.
    pub session: SessionKey,
    /// The agent or program, where it names itself.
    pub agent: Option<String>,
    /// The configured name of the client's API key, where keys are in use.
    pub client: Option<String>,
    /// The model that served it, or was to.
    pub model: String,
    /// Who decided; none where every skill passed.
    pub decided: Option<Decided>,
    /// The upstream's finish reason; none where it failed.
    pub finish_reason: Option<String>,
    /// What went wrong.
    pub fault: Option<Fault>,
    /// Tokens of the prompt, where the provider says.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer, where the provider says.
    pub completion_tokens: Option<u32>,
    /// From the request's arrival to the lease on a model.
    pub queued: Duration,
    /// From the request's arrival to the first token.
    pub first_token: Option<Duration>,
    /// From the request's arrival to its end.
    pub total: Duration,
}

/// The skill behind a route, and which of its candidates served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The skill.
    pub skill: SkillName,
    /// The route's tag.
    pub tag: Option<String>,
    /// Position of the candidate that served; 0 is the first.
    pub candidate: u32,
}

/// What went wrong, in the contract's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `not-found`, `unavailable`, `limit`, ...; open-ended.
    pub code: String,
    /// For people.
    pub message: String,
    /// The same may succeed later.
    pub retryable: bool,
}
