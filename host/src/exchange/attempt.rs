//! Acquire and send: the loop over a plan's attempts. A fault before the first frame is forwarded is absorbed here, by a
//! retry, the next candidate, the fallbacks; only the last of them leaves the client with an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::calls;
use super::failed::{self, Failed};
use super::job::{Job, Weight};
use crate::error::{Error, Fault};
use crate::id::ModelId;
use crate::residency::{End, Lease};
use crate::route::Attempt;
use crate::splice::body::Opened;
use crate::splice::slot::Slot;
use crate::telemetry::{self, millis};
use crate::upstream::{Substitutes, answer_headers};
use crate::wire::answer::{Seen, Watch};
use crate::wire::chat::MediaPart;
use crate::wire::compose::{self, Composed};
use crate::wire::edit::Pieces;
use crate::wire::fault;
use crate::wire::order;
use crate::wire::sse::Decoder;

/// How often one attempt is made: once more where its provider stumbled.
const TRIES: usize = 2;

/// How often where its instance was gone. A provider may list a model for a moment after its process has died, so the
/// first look may find the old instance once more.
const TRIES_GONE: usize = 3;

/// How long the provider is given before the last of those tries; llama-server notices within 15 ms.
const NOTICES: Duration = Duration::from_millis(100);

/// A provider's answer, as far as it has to be there before anything is forwarded.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
}

/// Whether the rest of an answer is still to come.
pub(super) enum Content {
    /// A stream whose first frame is there.
    Stream(Box<Opened>),
    /// All of it.
    Whole(Bytes, Watch),
}

/// Tries each attempt of the plan until one answers. Where all fail, the client is told of the first failure: it is that of
/// the model it was meant for.
///
/// Boxed, since an answer's calls may have the same model asked again.
pub(super) fn open(job: Arc<Job>) -> BoxFuture<'static, Result<Answer, Error>> {
    open_first(job).boxed()
}

async fn open_first(job: Arc<Job>) -> Result<Answer, Error> {
    let (mut first_failure, mut would_swap) = (None, None);
    let mut not_loadable: Vec<&ModelId> = Vec::new();
    for attempt in &job.plan.attempts {
        if not_loadable.contains(&&attempt.model) {
            continue;
        }
        if attempt.candidate.is_none() && first_failure.is_none() && would_swap.is_some() {
            job.account.unroute();
        }
        match try_attempt(&job, attempt).await {
            Ok(answer) => return calls::heard(&job, attempt, answer).await,
            Err(Failed::Stop(error)) => return Err(error),
            Err(Failed::WouldSwap(error)) => would_swap = would_swap.or(Some(error)),
            Err(Failed::Next(error) | Failed::Again(error) | Failed::Gone(error)) => {
                first_failure = first_failure.or(Some(error))
            }
            Err(Failed::NotThisModel(error)) => {
                not_loadable.push(&attempt.model);
                first_failure = first_failure.or(Some(error));
            }
        }
    }
    let nothing =
        || Error::new(Fault::Gateway, 503, "no_candidates", "the route names no model that could be tried");
    Err(first_failure.or(would_swap).unwrap_or_else(nothing))
}

async fn try_attempt(job: &Arc<Job>, attempt: &Attempt) -> Result<Answer, Failed> {
    job.account.begin(attempt, sent(job, attempt));
    let mut tried = once(job, attempt).await;
    for tries in 1..TRIES_GONE {
        match &tried {
            Err(Failed::Again(_)) if tries >= TRIES => break,
            Err(Failed::Gone(_)) if tries >= TRIES => tokio::time::sleep(NOTICES).await,
            Err(Failed::Again(_) | Failed::Gone(_)) => {}
            _ => break,
        }
        tracing::debug!(request = %job.account.id, "asking again");
        // Until the owner has seen the last try's end, the gate of an instance that is gone may still be open.
        job.account.gateway.residency.settled().await;
        tried = once(job, attempt).await;
    }
    if let Err(failed) = &tried {
        let message = failed.error().message.clone();
        job.account.note_attempt(|attempt| attempt.outcome = message.into());
    }
    tried
}

/// One acquisition and one exchange.
async fn once(job: &Arc<Job>, attempt: &Attempt) -> Result<Answer, Failed> {
    let prompt_tokens = match job.prompt(attempt) {
        Some(_) => compose::estimated_tokens(&composed(job, attempt, attempt.model.key())?),
        None => job.request.estimated_tokens(),
    };
    let asked = Instant::now();
    let gateway = &job.account.gateway;
    let lease =
        gateway.residency.acquire(job.claim(attempt, prompt_tokens)).await.map_err(failed::by_residency)?;
    note_grant(job, &lease, asked);
    let body = composed(job, attempt, lease.instance().as_str())?;
    job.account.note(|record| record.placeholders = body.placeholders);
    let limit = job.account.settings.limits.answer_timeout;
    let exchanged = tokio::time::timeout(limit, exchange(job, attempt, lease, body)).await;
    let answer = exchanged.unwrap_or_else(|_| {
        let message = format!("no answer within {} s", limit.as_secs());
        Err(Failed::Next(Error::new(Fault::Provider, 504, "provider_timeout", message)))
    });
    match answer {
        // What the server refuses may be what a skill made of the request.
        Err(Failed::Stop(error)) if is_recast(job, attempt) => Err(Failed::Next(error)),
        other => other,
    }
}

/// What is sent, in one word.
pub(super) fn sent(job: &Job, attempt: &Attempt) -> &'static str {
    match (job.prompt(attempt), job.patches(attempt).next()) {
        _ if !job.told.is_empty() => "what became of its calls",
        (Some(_), _) => "prompt",
        (None, Some(_)) => "patched",
        (None, None) => "conversation",
    }
}

fn is_recast(job: &Job, attempt: &Attempt) -> bool {
    job.prompt(attempt).is_some() || job.patches(attempt).next().is_some()
}

/// The body that an attempt sends.
pub(super) fn composed(job: &Job, attempt: &Attempt, instance: &str) -> Result<Composed, Failed> {
    let bad = |error: String| Failed::Next(Error::new(Fault::Skill, 502, "bad_prompt", error));
    let directory = job.account.gateway.residency.directory();
    let model = directory.get(&attempt.model);
    // What the turn is about is never held back, but for a tool call of it, which others may write.
    let is_about = |part: &MediaPart| job.weight != Weight::Call && !job.request.is_earlier(part);
    let takes = |part: &MediaPart| is_about(part) || model.is_none_or(|model| model.takes(part.kind));
    let composed = match is_recast(job, attempt) {
        false => compose::forward(&job.request, instance, takes),
        true => compose::recast(&job.request, instance, job.prompt(attempt), job.patches(attempt), takes)
            .map_err(|error| bad(error.to_string()))?,
    };
    job.told.iter().try_fold(composed, |composed, told| {
        let body = order::go_on(&composed.body.concat(), told).map_err(|error| bad(error.to_string()))?;
        Ok(Composed { body: Pieces::whole(body), ..composed })
    })
}

fn note_grant(job: &Job, lease: &Lease, asked: Instant) {
    job.account.note_attempt(|attempt| granted(attempt, lease, asked));
}

/// Says of an attempt which instance it was given, and what that took.
pub(super) fn granted(attempt: &mut telemetry::Attempt, lease: &Lease, asked: Instant) {
    let timings = lease.timings();
    attempt.instance = Some(lease.instance().shared());
    attempt.queued_ms = Some(millis(timings.queued.unwrap_or_else(|| asked.elapsed())));
    attempt.drained_ms = timings.drained.map(millis);
    attempt.unloaded_ms = timings.unloaded.map(millis);
    attempt.loaded_ms = timings.loaded.map(millis);
}

/// Sends the body and reads as much of the answer as has to be there before anything is forwarded.
async fn exchange(job: &Arc<Job>, attempt: &Attempt, lease: Lease, body: Composed) -> Result<Answer, Failed> {
    let sent = job.account.gateway.upstream.chat(attempt.model.provider(), &job.headers, body.body).await;
    let response = match sent {
        Ok(response) => response,
        Err(error) => {
            return Err(ended(lease, failed::unreachable(&error)));
        }
    };
    let streamed = job.request.stream && is_event_stream(response.headers());
    if !response.status().is_success() || !streamed {
        return whole(job, lease, response).await;
    }
    stream(job, attempt, lease, response).await
}

pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// An answer, or an error, that is not streamed.
async fn whole(job: &Job, lease: Lease, response: Response<Incoming>) -> Result<Answer, Failed> {
    let (head, body) = response.into_parts();
    let body = match Limited::new(body, job.account.settings.limits.answer_bytes_max).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => {
            let what = if error.is::<LengthLimitError>() { "answer is too long" } else { "connection broke" };
            let message = format!("the provider's {what}: {error}");
            let error = Error::new(Fault::Provider, 502, "provider_error", message);
            return Err(ended(lease, Failed::Next(error)));
        }
    };
    let mut watch = Watch::default();
    let failure = if head.status.is_success() {
        watch.whole(&body).err().map(|message| (502, message))
    } else {
        let text = || format!("the provider answered {}", head.status);
        Some((head.status.as_u16(), fault::message_in(&body).unwrap_or_else(text)))
    };
    if let Some((status, message)) = failure {
        let mut error = fault::provider(status, &message);
        error.retry_after = fault::retry_after(&head.headers).or(error.retry_after);
        return Err(ended(lease, failed::by_provider(status, error)));
    }
    if let Err(failed) = check_model(job, &lease, &watch) {
        return Err(ended(lease, failed));
    }
    note_served(job, &lease);
    lease.finish(End::answered(watch.tool_calls));
    Ok(Answer {
        status: head.status,
        headers: answer_headers(&head.headers),
        content: Content::Whole(body, watch),
    })
}

/// A stream, read up to the first frame that says something.
async fn stream(
    job: &Arc<Job>,
    attempt: &Attempt,
    lease: Lease,
    response: Response<Incoming>,
) -> Result<Answer, Failed> {
    let (head, mut upstream) = response.into_parts();
    let (mut decoder, mut watch) = (Decoder::default(), Watch::default());
    let (mut first, mut frames) = (std::collections::VecDeque::new(), Vec::new());
    let done = loop {
        let broke = |cause: String| {
            let message = format!("{}'s stream broke off before its first token: {cause}", attempt.model);
            Failed::Again(Error::new(Fault::Provider, 502, "stream_broken", message))
        };
        let chunk = match upstream.frame().await {
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => return Err(ended(lease, broke(error.to_string()))),
            None => return Err(ended(lease, broke("the provider closed it".to_owned()))),
        };
        let whole = decoder.feed(chunk, &mut frames);
        let whole = match whole {
            Ok(whole) => whole,
            Err(error) => return Err(ended(lease, broke(error.to_string()))),
        };
        let (mut says_something, mut is_done) = (false, false);
        for frame in frames.drain(..) {
            match watch.frame(&frame) {
                Seen::Comment => {}
                Seen::Delta => says_something = true,
                Seen::Done => is_done = true,
                Seen::Error(message) => {
                    return Err(ended(lease, failed::by_provider(502, fault::provider(502, &message))));
                }
            }
        }
        if !whole.is_empty() {
            first.push_back(whole);
        }
        if says_something || is_done {
            break is_done;
        }
    };
    if let Err(failed) = check_model(job, &lease, &watch) {
        return Err(ended(lease, failed));
    }
    note_served(job, &lease);
    let first_token = Instant::now();
    let upstream = Slot::new(upstream);
    let splice = calls::splice(job, attempt);
    let opened = Opened { lease, upstream, first, watch, decoder, done, first_token, splice };
    Ok(Answer {
        status: head.status,
        headers: answer_headers(&head.headers),
        content: Content::Stream(Box::new(opened)),
    })
}

/// The exchange came to this.
fn ended(lease: Lease, failed: Failed) -> Failed {
    lease.finish(failed.end());
    failed
}

fn note_served(job: &Job, lease: &Lease) {
    job.account.note_attempt(|attempt| attempt.outcome = "served".into());
    job.account.note(|record| record.model = Some(lease.model().shared()));
}

/// With exactly one model loaded, LM Studio lets it answer for a name it does not know. An answer by another known model
/// means that ours is gone.
pub(super) fn check_model(job: &Job, lease: &Lease, watch: &Watch) -> Result<(), Failed> {
    let Some(named) = watch.model.as_deref() else { return Ok(()) };
    let provider = lease.model().provider();
    if named.eq_ignore_ascii_case(lease.instance().as_str())
        || named.eq_ignore_ascii_case(lease.model().key())
        || job.account.gateway.upstream.substitutes(provider) == Substitutes::Never
    {
        return Ok(());
    }
    match job.account.gateway.residency.directory().exact(named) {
        Some(other) if other.id != *lease.model() && other.id.provider() == provider => {
            let message = format!("{named} answered in the place of {}, which is gone", lease.instance());
            Err(Failed::Gone(Error::new(Fault::Provider, 503, "wrong_model", message)))
        }
        _ => Ok(()),
    }
}
