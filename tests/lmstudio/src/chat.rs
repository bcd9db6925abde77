//! Chat and text completions, of the OpenAI-compatible API and of version 0: from a body to an instance to an answer.
//!
//! The steps are in the order in which the real server notices things: the body, the model, the images and the
//! template, the context, then the queue. What is noticed before the first token is a status; later, an event.

mod answer;
mod envelope;
mod phrasebook;
mod prompt;
mod relay;
mod request;
mod stats;
mod stream;
mod text;
mod tools;
mod translation;
mod whole;

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use crate::config::{Kind, Overflow};
use crate::exchange::Exchange;
use crate::fault::Route;
use crate::inference::{self, Ask, Killed, Work, broken, killed, unserved};
use crate::memory::Handle;
use crate::reply::{OpenAiError, Reply, status};
use envelope::Envelope;

pub(crate) use answer::{Answer, pieces};
pub(crate) use envelope::scrambled;
pub(crate) use prompt::{PromptError, check, own_words, tokens};
pub(crate) use request::{Content, ImageUrl, Message, Part, Request};

/// Everything an answer needs once an instance has begun to work on it.
struct Writing {
    work: Work,
    answer: Answer,
    prompt_tokens: usize,
    envelope: Envelope,
    surface: Surface,
}

/// Which of the four kinds of completion this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Surface {
    shape: Shape,
    extras: Extras,
}

/// What is asked and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Messages.
    Chat,
    /// A prompt, without a template.
    Text,
}

/// What stands beside the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extras {
    /// Nothing.
    None,
    /// Version 0: how fast it was, which model, which engine.
    Stats,
}

/// `GET /v1/models`: all language and embedding models and further instances, or only what is loaded without JIT.
pub(crate) fn models(exchange: &Exchange) -> Reply {
    #[derive(Serialize)]
    struct Item {
        id: Arc<str>,
        object: &'static str,
        owned_by: &'static str,
    }
    #[derive(Serialize)]
    struct List {
        data: Vec<Item>,
        object: &'static str,
    }
    let item = |id| Item { id, object: "model", owned_by: "organization_owner" };
    let data = exchange.shared.locked(|hub| {
        let all: Vec<Arc<str>> = hub
            .catalogue
            .iter()
            .filter(|_| hub.server.jit)
            .map(|model| Arc::from(model.key.as_str()))
            .collect();
        let loaded = hub.memory.present().filter(|it| it.is_ready() && !all.contains(&it.id));
        let loaded: Vec<Arc<str>> = loaded.map(|it| it.id.clone()).collect();
        all.into_iter().chain(loaded).map(item).collect()
    });
    Reply::json(&List { data, object: "list" })
}

/// `POST /v1/chat/completions`, `/v1/completions` and the same of version 0.
pub(crate) async fn complete(mut exchange: Exchange, body: Bytes, surface: Surface) -> Response {
    let request = match read(&body, surface.shape) {
        Ok(request) => request,
        Err(refusal) => return exchange.reply(refusal),
    };
    let name = request.model.as_deref();
    let ask = Ask { name, kind: Kind::Llm, ttl: request.ttl(), context_length: None };
    let handle = match inference::instance_for(&exchange, ask).await {
        Ok(handle) => handle,
        Err(error) => return exchange.reply(unserved(&error)),
    };
    exchange.instance = Some(handle.id.clone());
    if let Some(address) = handle.seat.address() {
        return relay::respond(exchange, handle, address, &request, &body, surface).await;
    }
    let prompt_tokens = prompt::tokens(&request);
    if let Err(error) = prompt::check(&request, &handle.model).or_else(|error| surface.tolerates(error)) {
        let refusal = prompt_refusal(&exchange, &error);
        return exchange.reply(refusal);
    }
    match begin(exchange, handle, &request, prompt_tokens, surface).await {
        Err(response) => response,
        Ok(writing) if request.streams() => stream::respond(writing, request.wants_usage()),
        Ok(writing) => whole::respond(writing).await,
    }
}

/// Waits for a place in the instance's queue and for the first token. The error is the answer.
async fn begin(
    exchange: Exchange,
    handle: Handle,
    request: &Request<'_>,
    prompt_tokens: usize,
    surface: Surface,
) -> Result<Writing, Response> {
    let overflow = match overflowing(&exchange, &handle, request, prompt_tokens) {
        Some(Overflowing::Refused(refusal)) => return Err(exchange.reply(refusal)),
        Some(Overflowing::Event(message)) => return Err(stream::error_alone(exchange, &message)),
        Some(Overflowing::Empty) => true,
        None => false,
    };
    let work = match Work::begin(exchange, handle, request.model.as_deref()).await {
        Ok(work) => work,
        Err(Killed { exchange, ending }) => {
            let refusal = killed(&exchange, &ending);
            return Err(exchange.reply(refusal));
        }
    };
    let handle = &work.handle;
    let answer = if overflow { Answer::nothing() } else { Answer::to(request, &handle.model, &handle.id) };
    let envelope = Envelope::new(&work, surface.shape);
    Ok(Writing { work, answer, prompt_tokens, envelope, surface })
}

/// Reads the body. The words of a syntax error are a guess; those of missing messages are not.
fn read(body: &Bytes, shape: Shape) -> Result<Request<'_>, Reply> {
    let empty: &[u8] = b"{}";
    let body: &[u8] = if body.is_empty() { empty } else { body };
    if shape == Shape::Text {
        return text::read(body);
    }
    let request: Request<'_> =
        serde_json::from_slice(body).map_err(|error| broken(&format!("Invalid body: {error}")))?;
    if request.messages.is_none() {
        return Err(broken("'messages' field is required"));
    }
    let format = request.response_format.as_ref().and_then(|format| format.kind.as_deref());
    if format.is_some_and(|kind| kind != "json_schema" && kind != "text") {
        return Err(broken("'response_format.type' must be 'json_schema' or 'text'"));
    }
    if request.tool_choice.is_some_and(|choice| choice.get().starts_with('{')) {
        let message = "Invalid tool_choice type: 'object'. Supported string values: none, auto, required";
        return Err(broken(message));
    }
    Ok(request)
}

/// What becomes of a prompt that is too long.
enum Overflowing {
    Refused(Reply),
    Event(String),
    Empty,
}

fn overflowing(
    exchange: &Exchange,
    handle: &Handle,
    request: &Request<'_>,
    prompt_tokens: usize,
) -> Option<Overflowing> {
    let message = overflow(handle, prompt_tokens)?;
    Some(match exchange.shared.server().overflow {
        Overflow::Empty => Overflowing::Empty,
        Overflow::StreamEvent if request.streams() => Overflowing::Event(message),
        Overflow::StreamEvent | Overflow::Status => Overflowing::Refused(does_not_fit(&message)),
    })
}

/// What the program says of a prompt that is too long for an instance; none where it fits.
pub(crate) fn overflow(handle: &Handle, prompt_tokens: usize) -> Option<String> {
    let context = handle.context_length.min(handle.model.context_limit.unwrap_or(u32::MAX)) as usize;
    (prompt_tokens > context).then(|| too_long(prompt_tokens, context))
}

fn too_long(prompt_tokens: usize, context: usize) -> String {
    format!(
        "Input does not fit in context length. The input has {prompt_tokens} tokens, but the context length only \
         supports {context} tokens."
    )
}

fn does_not_fit(message: &str) -> Reply {
    let error = OpenAiError { message, kind: "invalid_request_error", param: None, code: None };
    Reply::openai_error(StatusCode::BAD_REQUEST, &error)
}

fn prompt_refusal(exchange: &Exchange, error: &PromptError) -> Reply {
    let number = match error {
        PromptError::Template(_) => exchange.shared.server().template_error_status,
        PromptError::NoVision | PromptError::ImageNotInline => 400,
    };
    Reply::string_error(status(number), &error.to_string())
}

// === impl Surface ===

impl Surface {
    /// The kind of completion that a route serves; none where it serves something else.
    pub(crate) fn of(route: Route) -> Option<Self> {
        let (shape, extras) = match route {
            Route::Chat => (Shape::Chat, Extras::None),
            Route::Completions => (Shape::Text, Extras::None),
            Route::V0Chat => (Shape::Chat, Extras::Stats),
            Route::V0Completions => (Shape::Text, Extras::Stats),
            _ => return None,
        };
        Some(Self { shape, extras })
    }

    /// Prompts are not put into a template, so none can fail.
    fn tolerates(self, error: PromptError) -> Result<(), PromptError> {
        match error {
            PromptError::Template(_) if self.shape == Shape::Text => Ok(()),
            error => Err(error),
        }
    }
}
