//! `POST /api/v1/models/download` and the state of a job: what is asked and what is said of it.
//!
//! What a download does is in `download.rs` of the crate. There is no way to pause or to end one from outside, as in the
//! real program.

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use super::body::{Fields, Need};
use super::{not_found, refusal_of_kind};
use crate::config::Downloadable;
use crate::download::{Job, State};
use crate::exchange::Exchange;
use crate::fault::Stage;
use crate::reply::Reply;

/// Where the state of a job is; its id follows.
pub(crate) const STATUS: &str = "/api/v1/models/download/status/";

const FIELDS: &[(&str, Need)] = &[("model", Need::RequiredString), ("quantization", Need::String)];

/// What the answer to a request has of a job.
#[derive(Debug, Serialize)]
struct Begun<'a> {
    job_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    total_size_bytes: u64,
    started_at: String,
}

#[derive(Debug, Serialize)]
struct AlreadyThere {
    status: &'static str,
}

#[derive(Debug, Serialize)]
struct Progress<'a> {
    job_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_completion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    total_size_bytes: u64,
    downloaded_bytes: u64,
    started_at: String,
}

/// `POST /api/v1/models/download`. What becomes of an unknown model, and that a second request for a model joins the
/// running job, are guesses.
pub(crate) fn download(exchange: &Exchange, body: &bytes::Bytes) -> Reply {
    let fields = match Fields::read(body, FIELDS) {
        Ok(fields) => fields,
        Err(refusal) => return refusal,
    };
    let name = fields.string("model");
    let shared = &exchange.shared;
    let wanted: Option<Downloadable> =
        shared.config.downloadable.iter().find(|it| it.is_called(name)).cloned();
    let key = wanted.as_ref().map_or(name, |wanted| &wanted.model.key);
    if shared.locked(|hub| hub.catalogue.iter().any(|model| model.is_called(key))) {
        return Reply::json(&AlreadyThere { status: "already_downloaded" });
    }
    if let Some(job) = shared.locked(|hub| hub.jobs.running(key).cloned()) {
        return Reply::json(&begun(&job));
    }
    let Some(wanted) = wanted else {
        return not_found(&format!("Model {name} not found in the catalogue"));
    };
    let fault = exchange.meet(Stage::Download, &[&wanted.model.key, name]);
    Reply::json(&begun(&shared.begin_download(wanted, exchange.number, fault)))
}

/// `GET /api/v1/models/download/status/{job}`.
pub(crate) fn status(exchange: &Exchange, path: &str) -> Reply {
    let id = path.strip_prefix(STATUS).unwrap_or_default();
    match exchange.shared.locked(|hub| hub.jobs.get(id).cloned()) {
        Some(job) => Reply::json(&progress(&job)),
        None => {
            let message = format!("Download job with id '{id}' not found");
            refusal_of_kind(StatusCode::NOT_FOUND, "job_not_found", &message)
        }
    }
}

fn begun(job: &Job) -> Begun<'_> {
    Begun {
        job_id: &job.id,
        status: word(job.state),
        completed_at: completed_at(job),
        total_size_bytes: job.wanted.model.size_bytes,
        started_at: written(job.started_at),
    }
}

fn progress(job: &Job) -> Progress<'_> {
    let running = job.state == State::Downloading;
    Progress {
        job_id: &job.id,
        status: word(job.state),
        bytes_per_second: running.then_some(job.wanted.bytes_per_second),
        estimated_completion: job.estimated_completion().filter(|_| running).map(written),
        completed_at: completed_at(job),
        total_size_bytes: job.wanted.model.size_bytes,
        downloaded_bytes: job.downloaded(),
        started_at: written(job.started_at),
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Downloading => "downloading",
        State::Paused => "paused",
        State::Completed { .. } => "completed",
        State::Failed => "failed",
    }
}

fn completed_at(job: &Job) -> Option<String> {
    match job.state {
        State::Completed { at } => Some(written(at)),
        _ => None,
    }
}

/// With milliseconds, in UTC.
fn written(at: Timestamp) -> String {
    format!("{at:.3}")
}
