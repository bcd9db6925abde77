//! Completions of an instance that is a process: the question passed on, the answer made to look as LM Studio's.
//!
//! Names, fingerprints and errors become the emulated program's; what the engine generated stays as it is. Faults act on
//! the frames as they pass. A process that breaks off has crashed, unless its instance was just being unloaded.

use std::io;
use std::net::SocketAddr;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::envelope::Envelope;
use super::request::Request;
use super::stats::full;
use super::stream::{cut, error_alone, error_event};
use super::{Extras, Overflow, Shape, Surface, does_not_fit, too_long};
use crate::engine::{Events, read};
use crate::exchange::Exchange;
use crate::inference::{Killed, Struck, Work, broken, killed, unless_gone};
use crate::memory::{Ending, Handle};
use crate::reply::{Reply, compact, event_stream};

/// Keys of an engine's answer that the emulated program does not pass on.
const OWN_KEYS: [&str; 3] = ["timings", "__verbose", "prompt_progress"];

/// The type of an engine's error that means that the prompt is too long.
const TOO_LONG: &str = "exceed_context_size_error";

/// An answer that is passing.
struct Passing {
    work: Work,
    envelope: Envelope,
    surface: Surface,
    first_token_at: Option<Instant>,
}

/// A stream that is passing.
struct Relay {
    /// None once the last byte was handed over.
    passing: Option<Passing>,
    events: Events,
    sent: u32,
}

/// Asks the process and answers with what it says.
pub(super) async fn respond(
    exchange: Exchange,
    handle: Handle,
    address: SocketAddr,
    request: &Request<'_>,
    body: &Bytes,
    surface: Surface,
) -> Response {
    let mut work = match Work::begin(exchange, handle, request.model.as_deref()).await {
        Ok(work) => work,
        Err(Killed { exchange, ending }) => {
            let refusal = killed(&exchange, &ending);
            return exchange.reply(refusal);
        }
    };
    let envelope = Envelope::new(&work, surface.shape);
    let path = match surface.shape {
        Shape::Chat => "/v1/chat/completions",
        Shape::Text => "/v1/completions",
    };
    let (question, engines) = (question(body, &work.handle.id), work.exchange.shared.engines.clone());
    let answer = match unless_gone(&mut work.handle, engines.post(address, path, &question)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => return lost(work),
        Err(ending) => return dead(work, &ending),
    };
    let status = answer.status();
    let passing = Passing { work, envelope, surface, first_token_at: None };
    if status == StatusCode::OK && request.streams() {
        return streamed(Relay { passing: Some(passing), events: Events::of(answer), sent: 0 });
    }
    let Passing { mut work, envelope, .. } = passing;
    let answer = match unless_gone(&mut work.handle, read(answer)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => return lost(work),
        Err(ending) => return dead(work, &ending),
    };
    if status != StatusCode::OK {
        return refuse(work, status, &answer, request.streams());
    }
    whole(Passing { work, envelope, surface, first_token_at: None }, answer).await
}

/// What the process is sent: the client's body under the instance's own name, without what only LM Studio knows.
fn question(body: &Bytes, id: &str) -> Value {
    let mut question: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    question.insert("model".to_owned(), Value::from(id));
    question.shift_remove("ttl");
    Value::Object(question)
}

/// The answer to a request without a stream.
async fn whole(mut passing: Passing, mut answer: Value) -> Response {
    match passing.work.strike(u32::MAX, true).await {
        Struck::No | Struck::Cut(_) => {}
        Struck::Error(message) => return passing.work.exchange.reply(broken(&message)),
        Struck::Killed(ending) => return dead(passing.work, &ending),
    }
    passing.work.note_first_token();
    passing.dress(&mut answer);
    if let Value::Object(answer) = &mut answer {
        answer.insert("stats".to_owned(), json!({}));
    }
    passing.add_stats(&mut answer);
    let reply = Reply::json(&answer);
    passing.work.exchange.reply(reply)
}

fn streamed(relay: Relay) -> Response {
    let Some(passing) = &relay.passing else {
        return Response::default();
    };
    let headers = passing.work.exchange.headers();
    let body = stream::unfold(relay, |mut relay| async move {
        let item = relay.next().await?;
        Some((item, relay))
    });
    event_stream(Body::from_stream(body), headers)
}

/// The process refused the question.
fn refuse(work: Work, status: StatusCode, answer: &Value, streams: bool) -> Response {
    let error = answer.get("error").unwrap_or(answer);
    let number = |key: &str| error.get(key).and_then(Value::as_u64).and_then(|it| usize::try_from(it).ok());
    if error.get("type").and_then(Value::as_str) != Some(TOO_LONG) {
        let message =
            format!("Engine protocol predict request returned {}: {}", status.as_u16(), compact(answer));
        return work.exchange.reply(broken(&message));
    }
    let context = number("n_ctx").unwrap_or(work.handle.context_length as usize);
    let message = too_long(number("n_prompt_tokens").unwrap_or(context + 1), context);
    let overflow = work.exchange.shared.server().overflow;
    if streams && overflow == Overflow::StreamEvent {
        return error_alone(work.exchange, &message);
    }
    work.exchange.reply(does_not_fit(&message))
}

/// The process did not answer.
fn lost(work: Work) -> Response {
    let ending = work.lost_engine();
    dead(work, &ending)
}

fn dead(work: Work, ending: &Ending) -> Response {
    work.note_killed();
    let refusal = killed(&work.exchange, ending);
    work.exchange.reply(refusal)
}

// === impl Passing ===

impl Passing {
    /// Makes an answer, whole or a chunk, look as the emulated program's.
    fn dress(&self, answer: &mut Value) {
        let Value::Object(answer) = answer else {
            return;
        };
        OWN_KEYS.iter().for_each(|key| drop(answer.shift_remove(*key)));
        answer.insert("id".to_owned(), Value::from(self.envelope.id.as_str()));
        answer.insert("model".to_owned(), Value::from(&*self.envelope.model));
        match self.surface.shape {
            Shape::Chat => answer.insert("system_fingerprint".to_owned(), Value::from(&*self.envelope.model)),
            Shape::Text => answer.shift_remove("system_fingerprint"),
        };
        if self.envelope.first_call_id.is_none() {
            empty_call_ids(answer);
        }
    }

    /// What version 0 adds, where it is asked for.
    fn add_stats(&self, answer: &mut Value) {
        if self.surface.extras == Extras::None {
            return;
        }
        let finish = answer.pointer("/choices/0/finish_reason").and_then(Value::as_str).unwrap_or("stop");
        let tokens = answer.pointer("/usage/completion_tokens").and_then(Value::as_u64).unwrap_or_default();
        let tokens = usize::try_from(tokens).unwrap_or_default();
        let first = self.first_token_at.unwrap_or(self.work.started);
        let added = serde_json::to_value(full(&self.work, first, tokens, finish));
        if let (Value::Object(answer), Ok(Value::Object(added))) = (answer, added) {
            answer.extend(added);
        }
    }
}

/// The fault of tool calls without ids.
fn empty_call_ids(answer: &mut Map<String, Value>) {
    let Some(choices) = answer.get_mut("choices").and_then(Value::as_array_mut) else {
        return;
    };
    let places = choices.iter_mut().flat_map(|choice| {
        let message = if choice.get("delta").is_some() { "/delta/tool_calls" } else { "/message/tool_calls" };
        choice.pointer_mut(message).and_then(Value::as_array_mut)
    });
    for id in places.flatten().filter_map(|call| call.get_mut("id")) {
        *id = Value::from("");
    }
}

// === impl Relay ===

impl Relay {
    /// The next bytes; none when there are no more.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let work = &mut self.passing.as_mut()?.work;
        let event = match unless_gone(&mut work.handle, self.events.next()).await {
            Err(ending) => return Some(Ok(self.kill(&ending))),
            // A stream that ends without its last event has lost its process.
            Ok(Err(_) | Ok(None)) => {
                let ending = work.lost_engine();
                return Some(Ok(self.kill(&ending)));
            }
            Ok(Ok(Some(event))) => event,
        };
        let last = event == "[DONE]";
        match work.strike(self.sent, last).await {
            Struck::No => {}
            Struck::Cut(ending) => {
                self.finish();
                return cut(ending);
            }
            Struck::Error(message) => {
                self.finish();
                return Some(Ok(error_event(&message)));
            }
            Struck::Killed(ending) => return Some(Ok(self.kill(&ending))),
        }
        let bytes = if last { Bytes::from_static(b"data: [DONE]\n\n") } else { self.chunk(&event)? };
        self.sent += 1;
        if last {
            self.finish();
        }
        Some(Ok(bytes))
    }

    /// One event as the emulated program sends it. An error ends the stream.
    fn chunk(&mut self, event: &str) -> Option<Bytes> {
        let passing = self.passing.as_mut()?;
        if passing.first_token_at.is_none() {
            passing.work.note_first_token();
            passing.first_token_at = Some(Instant::now());
        }
        let mut chunk: Value = serde_json::from_str(event).unwrap_or_default();
        if let Some(error) = chunk.get("error") {
            let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
            let bytes = error_event(message);
            self.finish();
            return Some(bytes);
        }
        passing.dress(&mut chunk);
        if chunk.pointer("/choices/0/finish_reason").is_some_and(Value::is_string) {
            passing.add_stats(&mut chunk);
        }
        Some(Bytes::from(format!("data: {}\n\n", compact(&chunk))))
    }

    /// The instance is gone: an error event, and nothing after it.
    fn kill(&mut self, ending: &Ending) -> Bytes {
        if let Some(passing) = &self.passing {
            passing.work.note_killed();
        }
        self.finish();
        error_event(ending.in_flight_text())
    }

    fn finish(&mut self) {
        if let Some(mut passing) = self.passing.take() {
            passing.work.exchange.finish(StatusCode::OK);
        }
    }
}
