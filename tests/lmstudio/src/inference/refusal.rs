//! What the OpenAI-compatible families say to a request that is not served.

use http::StatusCode;

use super::Unserved;
use crate::exchange::Exchange;
use crate::memory::Ending;
use crate::reply::{OpenAiError, Reply, status};
use crate::resolve::ResolveError;

/// No instance, and why.
pub(crate) fn unserved(error: &Unserved) -> Reply {
    let code = match error {
        Unserved::Unresolved(ResolveError::Unknown { .. } | ResolveError::Several) => Some("model_not_found"),
        Unserved::Unresolved(ResolveError::Nothing) | Unserved::LoadFailed { .. } => None,
    };
    let message = error.to_string();
    let error = OpenAiError { message: &message, kind: "invalid_request_error", param: Some("model"), code };
    Reply::openai_error(StatusCode::BAD_REQUEST, &error)
}

/// The answer of a request whose instance went before anything was sent.
pub(crate) fn killed(exchange: &Exchange, ending: &Ending) -> Reply {
    let number = exchange.shared.server().killed_status;
    Reply::string_error(status(number), ending.in_flight_text())
}

/// A body that cannot be read or lacks something.
pub(crate) fn broken(message: &str) -> Reply {
    Reply::string_error(StatusCode::BAD_REQUEST, message)
}
