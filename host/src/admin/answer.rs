//! Answers of the admin API: a value as JSON, or a failure as `{"error": {"message", "code"}}` with a status that says
//! whose it is.

use std::path::Path;

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::view;
use crate::id::ModelId;
use crate::residency::{Reason, Refused};
use crate::shelf::COMPONENT_BYTES_MAX;
use crate::shelf::lock::InstallError;
use crate::skill::ManageError;

/// Why a request to the API came to nothing.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

/// A value, whole.
pub(super) fn json(value: &impl Serialize) -> Response {
    written(StatusCode::OK, value)
}

/// A request's body, with a message that names the key that is wrong.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new(400, "invalid_request", format!("the body: {error}")))
}

fn written(status: StatusCode, value: &impl Serialize) -> Response {
    // A value of this API always has a form in JSON; an empty body would be a bug and is at least visible as one.
    let mut response = Response::new(Body::from(serde_json::to_vec(value).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

// === impl Failure ===

impl Failure {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code, message: message.into(), header: None }
    }

    pub(super) fn bad_query(message: &str) -> Self {
        Self::new(400, "invalid_request", message)
    }

    pub(super) fn bad_body(message: &str) -> Self {
        Self::new(400, "invalid_request", format!("the body: {message}"))
    }

    /// A component did not arrive whole.
    pub(super) fn no_component(status: StatusCode, message: &str) -> Self {
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            let message = format!("the component has more than {COMPONENT_BYTES_MAX} bytes");
            return Self::new(413, "too_large", message);
        }
        Self::new(400, "invalid_request", format!("the component: {message}"))
    }

    pub(super) fn no_such_path() -> Self {
        let message = "the admin API has no such path; there are `status`, `models`, `models/load`, `models/unload`, \
                       `residency`, `requests`, `requests/ID`, `requests/latest`, `skills`, `skills/look`, \
                       `skills/NAME`, `skills/NAME/enable` (and `disable`, `approve`, `rollback`, `grant`, `revoke`), \
                       `skills/trust`, `skills/trust/SIGNER`, `sessions`, `sessions/KEY`, `use`, `config`, `config/reload`";
        Self::new(404, "not_found", message)
    }

    pub(super) fn wrong_method() -> Self {
        let message = "reading is GET; `models/load`, `models/unload`, `skills/look`, `skills/NAME/enable` and its like, \
                       `skills/trust`, `use` and `config/reload` are POST; installing at `skills/NAME` is PUT; `skills/NAME`, \
                       `skills/trust/SIGNER` and `sessions/KEY` take DELETE";
        Self::new(405, "method_not_allowed", message)
    }

    pub(super) fn no_token(file: &Path) -> Self {
        let message = format!(
            "the admin API needs the header `Authorization: Bearer TOKEN`; the token is in {}",
            file.display()
        );
        let header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        Self { header, ..Self::new(401, "unauthorized", message) }
    }

    pub(super) fn unknown_model(name: &str, known: &str) -> Self {
        let message = match known {
            "" => format!(
                "no model is called {name:?}: the provider lists none; `pointsman doctor` looks closer"
            ),
            known => format!("no model is called {name:?}; known are: {known}"),
        };
        Self::new(404, "model_not_found", message)
    }

    pub(super) fn no_such_request(id: Option<&str>) -> Self {
        let message = match id {
            Some(id) => format!(
                "no request {id:?} is remembered; the last {} of this run are, by the id in `x-pointsman-request`",
                crate::telemetry::RECORDS_MAX
            ),
            None => "no request has come since the gateway started".to_owned(),
        };
        Self::new(404, "request_not_found", message)
    }

    pub(super) fn no_such_session(key: &str) -> Self {
        let message =
            format!("no conversation {key:?} is remembered; `pointsman sessions list` shows those that are");
        Self::new(404, "session_not_found", message)
    }

    /// A change of skills that was not made, in the skill room's own words.
    pub(super) fn not_managed(error: &ManageError) -> Self {
        let (status, code) = match error {
            ManageError::Unknown(_) => (404, "skill_not_found"),
            ManageError::UnknownSigner(_) => (404, "signer_not_found"),
            ManageError::Name(_) => (400, "invalid_name"),
            ManageError::NoShadow(_) => (404, "shadow_not_found"),
            ManageError::Load(_)
            | ManageError::NoVerdicts
            | ManageError::Install(InstallError::Version(_)) => (422, "invalid_component"),
            ManageError::Signature(_) => (422, "invalid_signature"),
            ManageError::Install(_)
            | ManageError::Unusable(_)
            | ManageError::Rollback(_)
            | ManageError::NothingWaits(_)
            | ManageError::Configured { .. }
            | ManageError::Bundled(_)
            | ManageError::InFolder { .. }
            | ManageError::Trust(_)
            | ManageError::Shadows(_)
            | ManageError::NotRecorded => (409, "not_possible"),
            ManageError::NoShelf(_) => (503, "no_store"),
            ManageError::Disk(_) => (500, "disk"),
        };
        Self::new(status, code, error.to_string())
    }

    pub(super) fn shutting_down() -> Self {
        Self::new(503, "shutting_down", "the gateway is shutting down")
    }

    pub(super) fn refused(model: &ModelId, refused: &Refused) -> Self {
        let (status, code) = match &refused.reason {
            Reason::UnknownModel => (404, "model_not_found"),
            Reason::QueueFull => (429, "queue_full"),
            Reason::LoadFailed { .. } => (502, "load_failed"),
            Reason::ProviderDown { .. } => (503, "provider_down"),
            Reason::DrainTimeout => (503, "models_busy"),
            Reason::WouldSwap => (503, "would_swap"),
            Reason::WantsPinned => (503, "models_pinned"),
            Reason::NotOurs => (409, "not_ours"),
            Reason::ShuttingDown => (503, "shutting_down"),
        };
        let mut failure = Self::new(status, code, format!("{model}: {refused}"));
        let seconds = refused.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        failure.header = seconds.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds.max(1))));
        failure
    }

    pub(super) fn respond(self) -> Response {
        let error = view::Failure { message: self.message, code: self.code.to_owned() };
        let mut response = written(self.status, &view::Failed { error });
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
