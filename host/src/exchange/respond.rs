//! Respond: headers and the kind of body. A stream whose model is not there within `stream_grace` is opened anyway, with
//! one real chunk and comments, since clients give up on silence sooner than on a slow model.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::Gateway;
use super::attempt::{self, Answer, Content};
use super::job::{self, Finish, Job};
use crate::error::{Error, Fault};
use crate::id::RequestId;
use crate::splice::body::{Ending, Ends, Opened, Outcome, ResponseBody};
use crate::telemetry::Record;
use crate::turn::Turn;
use crate::wire::answer::Watch;
use crate::wire::fault;
use crate::wire::written::{self, Stamp};

const REQUEST: HeaderName = HeaderName::from_static("x-pointsman-request");
const MODEL: HeaderName = HeaderName::from_static("x-pointsman-model");
const SKILL: HeaderName = HeaderName::from_static("x-pointsman-skill");
const REASON: HeaderName = HeaderName::from_static("x-pointsman-reason");

/// Bytes of a reason that fit a header; proxies refuse long ones.
const REASON_BYTES_MAX: usize = 256;

/// Answers a request through its attempts.
pub(super) async fn respond(job: Arc<Job>) -> Result<Response<ResponseBody>, Error> {
    let mut finish = Finish::new(job.clone());
    let mut opening = Box::pin(attempt::open(job.clone()));
    let answer = if job.request.stream {
        let grace = job.gateway.limits.stream_grace;
        match tokio::time::timeout(grace, &mut opening).await {
            Ok(answer) => answer,
            Err(_) => return Ok(opened_early(&job, opening, finish)),
        }
    } else {
        opening.await
    };
    match answer {
        Ok(answer) => Ok(answered(&job, answer, finish)),
        Err(error) => {
            finish.status = error.status;
            let outcome = Outcome::Failed(error.clone());
            finish.ended(Ending { outcome, watch: Watch::default(), first_token: None });
            Ok(error_response(&job.turn.request_id, &error))
        }
    }
}

/// The provider's own answer.
fn answered(job: &Arc<Job>, answer: Answer, mut finish: Finish) -> Response<ResponseBody> {
    finish.status = answer.status.as_u16();
    let body = match answer.content {
        Content::Stream(opened) => ResponseBody::streaming(*opened, Box::new(finish)),
        Content::Whole(bytes, watch) => {
            finish.ended(Ending { outcome: Outcome::Whole, watch, first_token: None });
            ResponseBody::fixed(bytes)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    add_headers(job, response.headers_mut());
    response
}

/// A stream of our own making, which the provider's will join.
fn opened_early(
    job: &Arc<Job>,
    opening: std::pin::Pin<Box<impl Future<Output = Result<Answer, Error>> + Send + 'static>>,
    mut finish: Finish,
) -> Response<ResponseBody> {
    finish.status = 200;
    job.note(|record| record.notes.push("the stream was opened before the model was there".to_owned()));
    let (model, _, _) = job.headline();
    let stamp = Stamp { request: &job.turn.request_id, model: &model, created: job::epoch_ms() / 1000 };
    let chunk = written::opening_chunk(stamp);
    let opening = opening.map(|answer| answer.and_then(streamed)).boxed();
    let speaker = job.clone();
    let say = Box::new(move || speaker.waiting_line());
    let body = ResponseBody::waiting(chunk, opening, say, Box::new(finish));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    add_headers(job, response.headers_mut());
    response
}

/// Behind a stream that is open already only a stream can follow.
fn streamed(answer: Answer) -> Result<Opened, Error> {
    match answer.content {
        Content::Stream(opened) => Ok(*opened),
        Content::Whole(..) => {
            let message = "the provider answered a streaming request without a stream";
            Err(Error::new(Fault::Provider, 502, "not_a_stream", message))
        }
    }
}

fn add_headers(job: &Job, headers: &mut HeaderMap) {
    let (model, skill, reason) = job.headline();
    insert(headers, REQUEST, job.turn.request_id.as_str());
    insert(headers, MODEL, &model);
    if let Some(skill) = skill {
        insert(headers, SKILL, &skill);
    }
    if let Some(reason) = reason {
        insert(headers, REASON, &reason);
    }
}

/// Headers are ASCII: arrows are spelt out, anything else that does not fit becomes a question mark.
fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    let text: String = text.replace('→', "->").chars().take(REASON_BYTES_MAX).collect();
    let ascii: String = text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
    if let Ok(value) = HeaderValue::from_str(&ascii) {
        headers.insert(name, value);
    }
}

/// A skill's answer in the assistant's place.
pub(super) fn reply(
    gateway: &Gateway,
    mut record: Record,
    id: &RequestId,
    turn: &Turn,
    text: &str,
) -> Response<ResponseBody> {
    let model = if turn.requested_model.is_empty() { "auto" } else { turn.requested_model.as_str() };
    let stamp = Stamp { request: id, model, created: job::epoch_ms() / 1000 };
    let (kind, body) = match turn.streaming {
        true => ("text/event-stream", written::reply_stream(stamp, text)),
        false => ("application/json", written::reply(stamp, text)),
    };
    let mut response = Response::new(ResponseBody::fixed(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    insert(response.headers_mut(), REQUEST, id.as_str());
    if let Some(skill) = &record.skill {
        insert(response.headers_mut(), SKILL, skill);
    }
    record.status = 200;
    record.at_ms = job::epoch_ms();
    job::log(&record);
    gateway.ring.push(record);
    response
}

/// A request that never came to an attempt.
pub(super) fn refused(gateway: &Gateway, mut record: Record, error: &Error) -> Response<ResponseBody> {
    let id = RequestId::new(record.request.as_str());
    record.status = error.status;
    record.at_ms = job::epoch_ms();
    record.error = Some(format!("{} ({})", error.message, error.fault.as_str()));
    job::log(&record);
    gateway.ring.push(record);
    error_response(&id, error)
}

fn error_response(id: &RequestId, error: &Error) -> Response<ResponseBody> {
    let mut response = error_in_full(error);
    insert(response.headers_mut(), REQUEST, id.as_str());
    response
}

/// An error as a response of its own.
pub fn error_in_full(error: &Error) -> Response<ResponseBody> {
    let body: Bytes = fault::openai_body(error);
    let mut response = Response::new(ResponseBody::fixed(body));
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(wait) = error.retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}
