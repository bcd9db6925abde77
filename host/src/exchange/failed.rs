//! Why an attempt came to nothing, and what may help: another try, another model, nothing.

use crate::error::{Error, Fault};
use crate::residency::{End, Reason, Refused};
use crate::upstream::SendError;
use crate::wire::fault::{self, Class};

/// Why an attempt came to nothing.
pub(super) enum Failed {
    /// The next attempt may do better.
    Next(Error),
    /// The next attempt on another model may do better.
    NotThisModel(Error),
    /// It may not push other models out now; nothing has failed.
    WouldSwap(Error),
    /// The same attempt may do better: the provider stumbled.
    Again(Error),
    /// The same attempt may do better: the instance was not there.
    Gone(Error),
    /// It is the request's own fault.
    Stop(Error),
}

/// What a provider's refusal means: its texts and statuses say whether another try can help.
pub(super) fn by_provider(status: u16, error: Error) -> Failed {
    match fault::class(&error.message) {
        Class::Gone => Failed::Gone(error),
        Class::ContextOverflow => Failed::Stop(error),
        Class::Other if matches!(status, 408 | 429 | 500..) => Failed::Again(error),
        Class::Other if matches!(status, 401 | 403) => Failed::Next(error),
        Class::Other => Failed::Stop(error),
    }
}

/// The request did not get through.
pub(super) fn unreachable(error: &SendError) -> Failed {
    match error {
        SendError::Broken { .. } => {
            Failed::Again(Error::new(Fault::Provider, 502, "provider_broke_off", error.to_string()))
        }
        SendError::Connect { .. } | SendError::NoProvider(_) => {
            let message = format!("{error}; is the model server running? `pointsman doctor` looks closer");
            Failed::Next(Error::new(Fault::Provider, 503, "provider_down", message))
        }
    }
}

/// A refused claim, as the client is told of it if nothing else helps.
pub(super) fn by_residency(refused: Refused) -> Failed {
    let (fault, status, code) = match &refused.reason {
        Reason::QueueFull => (Fault::Gateway, 429, "queue_full"),
        Reason::DrainTimeout => (Fault::Gateway, 503, "models_busy"),
        Reason::LoadFailed { .. } => (Fault::Provider, 503, "load_failed"),
        Reason::ProviderDown { .. } => (Fault::Provider, 503, "provider_down"),
        Reason::UnknownModel => (Fault::Provider, 404, "model_not_found"),
        Reason::WouldSwap => (Fault::Gateway, 503, "would_swap"),
        Reason::WantsPinned => (Fault::Gateway, 503, "models_pinned"),
        Reason::NotOurs => (Fault::Gateway, 503, "not_ours"),
        Reason::ShuttingDown => (Fault::Gateway, 503, "shutting_down"),
    };
    let mut error = Error::new(fault, status, code, refused.to_string());
    error.retry_after = refused.retry_after.or(error.retry_after);
    match refused.reason {
        Reason::ShuttingDown | Reason::QueueFull => Failed::Stop(error),
        Reason::WouldSwap => Failed::WouldSwap(error),
        Reason::LoadFailed { .. } => Failed::NotThisModel(error),
        _ => Failed::Next(error),
    }
}

// === impl Failed ===

impl Failed {
    /// How the exchange ended that came to this.
    pub(super) fn end(&self) -> End {
        if matches!(self, Self::Gone(_)) { End::Gone } else { End::Failed }
    }

    /// What the client is told of it if nothing else helps.
    pub(super) fn error(&self) -> &Error {
        match self {
            Self::Next(error)
            | Self::NotThisModel(error)
            | Self::WouldSwap(error)
            | Self::Again(error)
            | Self::Gone(error)
            | Self::Stop(error) => error,
        }
    }
}
