//! `POST /api/v1/chat`: the native chat, whole or as named events, with memory of earlier answers.
//!
//! The server runs the tools itself, so an answer has their results in it. What a model says is what it says to the
//! same words elsewhere. An answer is remembered unless the request says otherwise, and a later request may go on from
//! it; nothing else is.

mod events;
mod outcome;
mod question;
mod stored;
mod whole;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use tokio::time::Instant;

use super::body;
use crate::chat::pieces;
use crate::config::Kind;
use crate::exchange::Exchange;
use crate::inference::{self, Ask, Found, Unserved, Work};
use crate::memory::{Ending, Handle};
use crate::reply::{NativeError, Reply, status};
use crate::resolve::ResolveError;

use outcome::Item;
use question::Question;

pub(crate) use stored::Stored;

/// The body of an answer, and the `result` of a stream's last event.
#[derive(Debug, Serialize)]
struct Answered<'a> {
    model_instance_id: &'a str,
    output: &'a [Item],
    stats: Stats,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct Stats {
    input_tokens: usize,
    total_output_tokens: usize,
    reasoning_output_tokens: usize,
    tokens_per_second: f64,
    time_to_first_token_seconds: f64,
    /// Only where this request loaded the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_load_time_seconds: Option<f64>,
}

/// What counts as no time at all, so that speeds stay numbers.
const SHORTEST_SECONDS: f64 = 0.001;

/// Answers a native chat.
pub(crate) async fn chat(mut exchange: Exchange, body: &Bytes) -> Response {
    let question = match Question::read(&exchange, body) {
        Ok(question) => question,
        Err(refusal) => return exchange.reply(refusal),
    };
    let found = match inference::find(&exchange, question.ask()).await {
        Ok(found) => found,
        Err(error) => {
            let refusal = unserved(&exchange, &error);
            return exchange.reply(refusal);
        }
    };
    exchange.instance = Some(found.handle.id.clone());
    if let Err(refusal) = question.check(&exchange, &found.handle) {
        return exchange.reply(refusal);
    }
    if question.stream {
        events::respond(exchange, question, found)
    } else {
        whole::respond(exchange, question, found).await
    }
}

/// What an answer amounts to, now that it is over. `first` is when its first token was there.
fn stats(question: &Question, work: &Work, items: &[Item], first: Instant, load: Option<f64>) -> Stats {
    let count = |text: &str| pieces(text).count();
    let reasoning: usize = items.iter().map(|item| item.reasoning().map_or(0, count)).sum();
    let spoken: usize = items.iter().map(|item| item.message().map_or(0, count)).sum();
    let total = reasoning + spoken;
    #[expect(clippy::cast_precision_loss, reason = "nobody waits for 2^52 tokens")]
    let tokens_per_second = total as f64 / first.elapsed().as_secs_f64().max(SHORTEST_SECONDS);
    Stats {
        input_tokens: question.tokens(),
        total_output_tokens: total,
        reasoning_output_tokens: reasoning,
        tokens_per_second,
        time_to_first_token_seconds: first.saturating_duration_since(work.started).as_secs_f64(),
        model_load_time_seconds: load,
    }
}

/// Seconds this request's load took; none where another's did, or none was needed.
fn load_seconds(found: &Found, since: Instant) -> Option<f64> {
    (found.load == inference::Load::ByThisRequest).then(|| thousandths(since.elapsed().as_secs_f64()))
}

fn thousandths(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// No instance, and why. Statuses are guesses, but for the words.
fn unserved(exchange: &Exchange, error: &Unserved) -> Reply {
    let server = exchange.shared.server();
    let message = error.to_string();
    let (number, kind, code) = match error {
        Unserved::Unresolved(ResolveError::Unknown { .. } | ResolveError::Several) => {
            (server.native_chat_unknown_status, "invalid_request", Some("model_not_found"))
        }
        Unserved::Unresolved(ResolveError::Nothing) => (400, "invalid_request", None),
        Unserved::LoadFailed { .. } => (server.guardrail_status, "internal_error", None),
    };
    let param = (kind == "invalid_request").then_some("model");
    Reply::native_error(status(number), &NativeError { message: &message, kind, param, code })
}

/// The answer of a request whose instance went before anything was sent.
fn killed(exchange: &Exchange, ending: &Ending) -> Reply {
    internal(status(exchange.shared.server().killed_status), ending.in_flight_text())
}

fn internal(status: StatusCode, message: &str) -> Reply {
    Reply::native_error(status, &NativeError { message, kind: "internal_error", param: None, code: None })
}

// === impl Question ===

impl Question {
    fn ask(&self) -> Ask<'_> {
        Ask { name: Some(&self.model), kind: Kind::Llm, ttl: None, context_length: self.context_length }
    }

    /// The model can be asked this.
    fn check(&self, exchange: &Exchange, handle: &Handle) -> Result<(), Reply> {
        let setting = self.reasoning.as_deref().filter(|_| handle.model.gguf.is_none());
        let allowed = |setting: &&str| {
            let options = handle.model.reasoning.as_ref().map(|it| it.allowed_options.as_slice());
            options.map_or(*setting == "off", |options| options.iter().any(|it| it == setting))
        };
        if let Some(setting) = setting.filter(|setting| !allowed(setting)) {
            let message = format!("Reasoning setting '{setting}' is not supported by this model.");
            return Err(body::refusal(&message, Some("reasoning"), "invalid_value"));
        }
        self.fits(exchange, handle)
    }
}
