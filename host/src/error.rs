//! The one error a client sees. It answers three questions: whose fault is it, is it worth trying again, and what should
//! the person do. How it is written in each protocol is `wire/fault.rs`'s business.

use std::time::Duration;

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Whose fault it is.
    pub fault: Fault,
    /// HTTP status that says the same.
    pub status: u16,
    /// A short word for programs.
    pub code: &'static str,
    /// For the person: what was wrong and how to mend it.
    pub message: String,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request was wrong.
    Client,
    /// The gateway could not, or would not.
    Gateway,
    /// A skill refused, or failed where failing refuses.
    Skill,
    /// The model server failed.
    Provider,
}

/// When an error that passes by itself is worth another try.
const RETRY_AFTER: Duration = Duration::from_secs(5);

// === impl Error ===

impl Error {
    /// A request that cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Fault::Client, 400, "invalid_request", message)
    }

    /// A model that nothing here knows.
    pub fn unknown_model(name: &str, known: &str) -> Self {
        let message = format!(
            "no model is called {name:?}; known are: {known}. `pointsman models list` shows them all"
        );
        Self::new(Fault::Client, 404, "model_not_found", message)
    }

    /// Any error, in full. One that passes by itself (429, 503) is worth trying again after 5 s, unless
    /// [`Error::retry_after`] says better.
    pub fn new(fault: Fault, status: u16, code: &'static str, message: impl Into<String>) -> Self {
        let retry_after = matches!(status, 429 | 503).then_some(RETRY_AFTER);
        Self { fault, status, code, message: message.into(), retry_after }
    }

    /// The same, worth trying again after this long.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

// === impl Fault ===

impl Fault {
    /// The word for it in error bodies and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Skill => "skill",
            Self::Provider => "provider",
        }
    }
}
