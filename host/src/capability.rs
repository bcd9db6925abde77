//! What a guest can reach of the host: one file per interface of the contract, each of which checks the right first and
//! then asks a delegate that `app` gave.
//!
//! A guest's side of the host is a [`Sandbox`], one per instance. It holds everything an imported function may touch:
//! there are no globals and no ambient authority. How and when guests are called is the skill room's.

pub mod activity;
pub mod bindings;
pub mod conversation;
pub mod http;
pub mod inference;
pub mod kv;
pub mod models;
pub mod residency;
pub mod sessions;

mod allowance;
mod always;
mod memory;
mod nowhere;
mod overlay;
mod sandbox;
mod subject;
mod wasi;

pub use allowance::{Allowance, Leave, Limits, LimitsError, TICK};
pub use memory::{CORE_INSTANCES_PER_COMPONENT, MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT};
pub use sandbox::{Delegates, Identity, LastWords, Overstep, Phase, Sandbox};
pub use subject::{Budget, Guards, Moment, Seed, Subject, epoch_ms};
pub use wasi::link_wasi;

use crate::grant::Capability;

/// What a delegate answers when it cannot do as asked; the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    /// In the contract's words.
    pub code: Code,
    /// For people and for the skill's log.
    pub message: String,
    /// The same may succeed later.
    pub retryable: bool,
}

/// The contract's words for what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// No such model, session or key.
    NotFound,
    /// The user did not grant it.
    Denied,
    /// The arguments make no sense.
    Invalid,
    /// Not now.
    Unavailable,
    /// Too much, or too often.
    Limit,
}

/// The longest name of a model that a guest may ask for, in bytes; the longest key seen in the wild is below 100.
const MODEL_NAME_BYTES_MAX: usize = 256;

// === impl Error ===

impl Error {
    /// An error that trying again will not mend.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false }
    }

    /// An error that may pass.
    pub fn passing(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: true }
    }

    /// It was asked for a model that there is not.
    pub fn unknown_model(name: &str) -> Self {
        Self::new(Code::NotFound, format!("no provider lists a model {name:?}"))
    }

    /// The user did not grant it, and where they would.
    fn denied(identity: &Identity, capability: Capability) -> Self {
        let skill = &identity.name;
        Self::new(
            Code::Denied,
            format!("`{capability}` is not granted to {skill}; add it to `grants` of `[skills.{skill}]`"),
        )
    }

    fn into_record(self) -> bindings::types::Error {
        bindings::types::Error {
            code: self.code.as_str().to_owned(),
            message: self.message,
            retryable: self.retryable,
        }
    }
}

// === impl Code ===

impl Code {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::Limit => "limit",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn check_model_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MODEL_NAME_BYTES_MAX || name.contains(char::is_control) {
        return Err(Error::new(Code::Invalid, "not the name of a model"));
    }
    Ok(())
}
