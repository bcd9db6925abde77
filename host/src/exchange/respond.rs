//! Respond: headers and the kind of body. A stream whose model is not there within `stream_grace` is opened anyway, with
//! one real chunk and comments, since clients give up on silence sooner than on a slow model.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::account::{Account, Finish, epoch_ms};
use super::attempt::{self, Answer, Content};
use super::job::Job;
use crate::error::{Error, Fault};
use crate::id::RequestId;
use crate::route::AUTO;
use crate::splice::body::{Ending, Ends, Opened, Outcome, ResponseBody};
use crate::wire::answer::Watch;
use crate::wire::fault;
use crate::wire::written::{self, Stamp};

const REQUEST: HeaderName = HeaderName::from_static("x-pointsman-request");
const MODEL: HeaderName = HeaderName::from_static("x-pointsman-model");
const SKILL: HeaderName = HeaderName::from_static("x-pointsman-skill");
const REASON: HeaderName = HeaderName::from_static("x-pointsman-reason");

/// Bytes of a reason that fit a header; proxies refuse long ones.
const REASON_BYTES_MAX: usize = 256;

/// A skill's answer in the assistant's place.
pub(super) struct Reply {
    pub(super) streaming: bool,
    /// The model that the client named.
    pub(super) model: String,
    pub(super) text: String,
}

/// Answers a request through its attempts.
pub(super) async fn serve(job: Arc<Job>, finish: Finish) -> Response<ResponseBody> {
    let mut opening = attempt::open(job.clone());
    let answer = if job.request.stream {
        let grace = job.account.settings.limits.stream_grace;
        match tokio::time::timeout(grace, &mut opening).await {
            Ok(answer) => answer,
            Err(_) => return opened_early(&job, opening, finish),
        }
    } else {
        opening.await
    };
    match answer {
        Ok(answer) => answered(&job.account, answer, finish),
        Err(error) => refuse(&job.account, &error, finish),
    }
}

/// The provider's own answer.
fn answered(account: &Account, answer: Answer, mut finish: Finish) -> Response<ResponseBody> {
    finish.status = answer.status.as_u16();
    let headline = account.headline();
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
    add_headers(&account.id, headline, response.headers_mut());
    response
}

/// A stream of our own making, which the provider's will join.
fn opened_early(
    job: &Arc<Job>,
    opening: BoxFuture<'static, Result<Answer, Error>>,
    mut finish: Finish,
) -> Response<ResponseBody> {
    finish.status = 200;
    let account = &job.account;
    account.note(|record| record.notes.push("the stream was opened before the model was there".to_owned()));
    let headline = account.headline();
    let model = headline.first().cloned().flatten().unwrap_or_default();
    let stamp = Stamp { request: &account.id, model: &model, created: epoch_ms() / 1000 };
    let chunk = written::opening_chunk(stamp);
    let opening = opening.map(|answer| answer.and_then(streamed)).boxed();
    let speaker = job.clone();
    let say = Box::new(move || speaker.waiting_line());
    let body = ResponseBody::waiting(chunk, opening, say, Box::new(finish));
    let mut response = with_type(body, "text/event-stream");
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    add_headers(&account.id, headline, response.headers_mut());
    response
}

/// Behind a stream that is open already only a stream can follow.
pub(super) fn streamed(answer: Answer) -> Result<Opened, Error> {
    match answer.content {
        Content::Stream(opened) => Ok(*opened),
        Content::Whole(..) => {
            let message = "the provider answered a streaming request without a stream";
            Err(Error::new(Fault::Provider, 502, "not_a_stream", message))
        }
    }
}

/// A skill's answer in the assistant's place.
pub(super) fn reply(account: &Account, reply: &Reply, mut finish: Finish) -> Response<ResponseBody> {
    let model = if reply.model.is_empty() { AUTO } else { reply.model.as_str() };
    let stamp = Stamp { request: &account.id, model, created: epoch_ms() / 1000 };
    let mut response = match reply.streaming {
        true => {
            with_type(ResponseBody::fixed(written::reply_stream(stamp, &reply.text)), "text/event-stream")
        }
        false => with_type(ResponseBody::fixed(written::reply(stamp, &reply.text)), "application/json"),
    };
    add_headers(&account.id, account.headline(), response.headers_mut());
    finish.status = 200;
    finish.ended(Ending { outcome: Outcome::Whole, watch: Watch::default(), first_token: None });
    response
}

/// An error in the caller's shape, and the account's end.
pub(super) fn refuse(account: &Account, error: &Error, mut finish: Finish) -> Response<ResponseBody> {
    let mut response = error_in_full(error);
    add_headers(&account.id, account.headline(), response.headers_mut());
    finish.status = error.status;
    let outcome = Outcome::Failed(error.clone());
    finish.ended(Ending { outcome, watch: Watch::default(), first_token: None });
    response
}

/// An error as a response of its own.
pub fn error_in_full(error: &Error) -> Response<ResponseBody> {
    let body: Bytes = fault::openai_body(error);
    let mut response = with_type(ResponseBody::fixed(body), "application/json");
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(wait) = error.retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

fn with_type(body: ResponseBody, media: &'static str) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

fn add_headers(id: &RequestId, [model, skill, reason]: [Option<Arc<str>>; 3], headers: &mut HeaderMap) {
    insert(headers, REQUEST, Some(id.as_str()));
    insert(headers, MODEL, model.as_deref());
    insert(headers, SKILL, skill.as_deref());
    insert(headers, REASON, reason.as_deref());
}

/// Headers are ASCII: arrows are spelt out, anything else that does not fit becomes a question mark.
fn insert(headers: &mut HeaderMap, name: HeaderName, text: Option<&str>) {
    let Some(text) = text else { return };
    let fits = |c: char| matches!(c, ' '..='~');
    let value = if text.len() <= REASON_BYTES_MAX && text.chars().all(fits) {
        HeaderValue::from_str(text)
    } else {
        let text = text.replace('→', "->");
        let ascii = text.chars().take(REASON_BYTES_MAX).map(|c| if fits(c) { c } else { '?' });
        HeaderValue::from_str(&ascii.collect::<String>())
    };
    if let Ok(value) = value {
        headers.insert(name, value);
    }
}
