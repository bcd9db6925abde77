//! `POST /v1/chat/completions` and `GET /v1/models`: from a body to an instance, through its queue, to an answer.
//!
//! The steps are in the order in which the real server notices things: the body, the model, the images and the
//! template, the context, then the queue. What is noticed before the first token is a status; later, an event.

mod answer;
mod phrasebook;
mod prompt;
mod request;
mod stream;
mod tools;
mod translation;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::config::{Model, Overflow};
use crate::exchange::Exchange;
use crate::fault::{Kind, Met, Stage};
use crate::log::{Event, Origin};
use crate::memory::{Ending, Handle, Wanted};
use crate::reply::{OpenAiError, Reply, status};
use crate::resolve::{ResolveError, Resolved};
use answer::Answer;
use request::Request;

/// Everything an answer needs once an instance has begun to work on it.
struct Work {
    exchange: Exchange,
    handle: Handle,
    answer: Answer,
    prompt_tokens: usize,
    fault: Option<Met>,
    /// The place in the instance's queue; given back with this.
    _slot: OwnedSemaphorePermit,
    envelope: Envelope,
}

/// What every chunk and every whole answer repeats.
struct Envelope {
    id: String,
    created: u64,
    /// The instance that served, or what a fault names instead.
    model: Arc<str>,
    /// Tool calls' ids begin here; none where a fault empties them.
    first_call_id: Option<u64>,
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

/// `POST /v1/chat/completions`.
pub(crate) async fn complete(mut exchange: Exchange, body: Bytes) -> Response {
    let request = match read(&body) {
        Ok(request) => request,
        Err(refusal) => return exchange.reply(refusal),
    };
    let handle = match instance_for(&exchange, request.model.as_deref()).await {
        Ok(handle) => handle,
        Err(refusal) => return exchange.reply(refusal),
    };
    exchange.instance = Some(handle.id.clone());
    let prompt_tokens = prompt::tokens(&request);
    if let Err(error) = prompt::check(&request, &handle.model) {
        let refusal = prompt_refusal(&exchange, &error);
        return exchange.reply(refusal);
    }
    match begin(exchange, handle, &request, prompt_tokens).await {
        Err(response) => response,
        Ok(work) if request.streams() => stream::respond(work, request.wants_usage()),
        Ok(work) => whole::respond(work).await,
    }
}

/// Waits for a place in the instance's queue and for the first token. The error is the answer.
async fn begin(
    exchange: Exchange,
    mut handle: Handle,
    request: &Request<'_>,
    prompt_tokens: usize,
) -> Result<Work, Response> {
    let overflow = match overflowing(&exchange, &handle, request, prompt_tokens) {
        Some(Overflowing::Refused(refusal)) => return Err(exchange.reply(refusal)),
        Some(Overflowing::Event(message)) => return Err(stream::error_alone(exchange, &message)),
        Some(Overflowing::Empty) => true,
        None => false,
    };
    let slot = match slot(&exchange, &mut handle).await {
        Ok(slot) => slot,
        Err(ending) => return Err(exchange.reply(killed(&ending))),
    };
    let asked = request.model.as_deref().unwrap_or_default();
    let fault = exchange.meet(Stage::Generation, &[&handle.id, &handle.model.key, asked]);
    exchange.shared.log.note(Event::RequestStarted { request: exchange.number, instance: handle.id.clone() });
    let answer = if overflow { Answer::nothing() } else { Answer::to(request, &handle.model, &handle.id) };
    let pause = handle.model.first_token_time;
    if !pause.is_zero()
        && let Err(ending) = unless_gone(&mut handle, tokio::time::sleep(pause)).await
    {
        note_killed(&exchange, &handle);
        return Err(exchange.reply(killed(&ending)));
    }
    let envelope = Envelope::new(&exchange, &handle, fault.as_ref());
    Ok(Work { exchange, handle, answer, prompt_tokens, fault, _slot: slot, envelope })
}

/// Reads the body. The words of a syntax error are a guess; those of missing messages are not.
fn read(body: &Bytes) -> Result<Request<'_>, Reply> {
    let refuse = |message: &str| Err(Reply::string_error(StatusCode::BAD_REQUEST, message));
    let empty: &[u8] = b"{}";
    let body: &[u8] = if body.is_empty() { empty } else { body };
    let request: Request<'_> = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return refuse(&format!("Invalid body: {error}")),
    };
    if request.messages.is_none() {
        return refuse("'messages' field is required");
    }
    let format = request.response_format.as_ref().and_then(|format| format.kind.as_deref());
    if format.is_some_and(|kind| kind != "json_schema" && kind != "text") {
        return refuse("'response_format.type' must be 'json_schema' or 'text'");
    }
    if request.tool_choice.is_some_and(|choice| choice.get().starts_with('{')) {
        return refuse("Invalid tool_choice type: 'object'. Supported string values: none, auto, required");
    }
    Ok(request)
}

/// The instance that serves this name, loaded first if that is what the name means. The error is the answer.
async fn instance_for(exchange: &Exchange, name: Option<&str>) -> Result<Handle, Reply> {
    let shared = &exchange.shared;
    let mut handle = match shared.resolve(name) {
        Ok(Resolved::Instance(handle)) => handle,
        Ok(Resolved::Load(model)) => just_in_time(exchange, &model, name).await?,
        Err(error) => return Err(unresolved(&error)),
    };
    if let Err(ending) = handle.settled().await {
        return Err(load_failed(name.unwrap_or(&handle.model.key), ending.load_text()));
    }
    shared.locked(|hub| hub.memory.touch(&handle.id, Instant::now()));
    Ok(handle)
}

/// Loads a model because a request needs it; the one that was loaded so before goes first.
async fn just_in_time(exchange: &Exchange, model: &Arc<Model>, name: Option<&str>) -> Result<Handle, Reply> {
    let shared = &exchange.shared;
    shared.evict_jit(model).await;
    // While room was made another request may have begun the load that this one needs.
    if let Ok(Resolved::Instance(handle)) = shared.resolve(Some(&model.key)) {
        return Ok(handle);
    }
    let fault = exchange.meet(Stage::Load, &[&model.key, name.unwrap_or_default()]);
    let begun = shared.begin_load(model, &Wanted::default(), Origin::Jit, exchange.number, fault);
    begun.map_err(|error| load_failed(name.unwrap_or(&model.key), &error.to_string()))
}

/// A place among the `parallel` requests that the instance works on at once.
async fn slot(exchange: &Exchange, handle: &mut Handle) -> Result<OwnedSemaphorePermit, Ending> {
    let slots = handle.slots.clone();
    if let Ok(slot) = slots.clone().try_acquire_owned() {
        return handle.ending().map_or(Ok(slot), Err);
    }
    exchange.shared.log.note(Event::RequestQueued { request: exchange.number, instance: handle.id.clone() });
    let slot = unless_gone(handle, slots.acquire_owned()).await?;
    // The queue itself is never closed.
    slot.map_err(|_| Ending::Unloaded)
}

/// The future's result, unless the instance goes first.
async fn unless_gone<T>(handle: &mut Handle, future: impl Future<Output = T>) -> Result<T, Ending> {
    tokio::select! {
        biased;
        ending = handle.gone() => Err(ending),
        result = future => Ok(result),
    }
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
    let context = handle.context_length.min(handle.model.context_limit.unwrap_or(u32::MAX));
    if prompt_tokens <= context as usize {
        return None;
    }
    let message = format!(
        "Input does not fit in context length. The input has {prompt_tokens} tokens, but the context length only \
         supports {context} tokens."
    );
    Some(match exchange.shared.server().overflow {
        Overflow::Empty => Overflowing::Empty,
        Overflow::StreamEvent if request.streams() => Overflowing::Event(message),
        Overflow::StreamEvent | Overflow::Status => {
            let error =
                OpenAiError { message: &message, kind: "invalid_request_error", param: None, code: None };
            Overflowing::Refused(Reply::openai_error(StatusCode::BAD_REQUEST, &error))
        }
    })
}

fn unresolved(error: &ResolveError) -> Reply {
    let code = match error {
        ResolveError::Unknown { .. } | ResolveError::Several => Some("model_not_found"),
        ResolveError::Nothing => None,
    };
    let message = error.to_string();
    let error = OpenAiError { message: &message, kind: "invalid_request_error", param: Some("model"), code };
    Reply::openai_error(StatusCode::BAD_REQUEST, &error)
}

fn load_failed(name: &str, reason: &str) -> Reply {
    let message = format!("Failed to load model \"{name}\". Error: {reason}");
    let error =
        OpenAiError { message: &message, kind: "invalid_request_error", param: Some("model"), code: None };
    Reply::openai_error(StatusCode::BAD_REQUEST, &error)
}

fn prompt_refusal(exchange: &Exchange, error: &prompt::PromptError) -> Reply {
    let number = match error {
        prompt::PromptError::Template(_) => exchange.shared.server().template_error_status,
        prompt::PromptError::NoVision | prompt::PromptError::ImageNotInline => 400,
    };
    Reply::string_error(status(number), &error.to_string())
}

/// The answer of a request whose instance went before anything was sent.
fn killed(ending: &Ending) -> Reply {
    Reply::string_error(StatusCode::BAD_REQUEST, ending.in_flight_text())
}

fn note_killed(exchange: &Exchange, handle: &Handle) {
    let event = Event::StreamKilled { request: exchange.number, instance: handle.id.clone() };
    exchange.shared.log.note(event);
}

/// How long the token of that number takes to come, from the first.
fn pace(model: &Model, token: usize) -> Option<Duration> {
    let speed = model.tokens_per_second;
    #[expect(clippy::cast_precision_loss, reason = "nobody waits for 2^52 tokens")]
    let seconds = token as f64 / speed;
    if speed > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None }
}

// === impl Envelope ===

impl Envelope {
    fn new(exchange: &Exchange, handle: &Handle, fault: Option<&Met>) -> Self {
        let model = match fault.map(|met| &met.kind) {
            Some(Kind::WrongModel { model }) => Arc::from(model.as_str()),
            _ => handle.id.clone(),
        };
        let empty_ids = fault.is_some_and(|met| met.kind == Kind::EmptyToolCallId);
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            id: completion_id(exchange.number),
            created: since_epoch.map_or(0, |it| it.as_secs()),
            model,
            first_call_id: (!empty_ids).then(|| scrambled(exchange.number)),
        }
    }

    /// Nine digits, different for every call.
    fn call_id(&self, index: usize) -> String {
        let index = u64::try_from(index).unwrap_or_default();
        self.first_call_id
            .map_or_else(String::new, |first| format!("{:09}", first.wrapping_add(index) % 1_000_000_000))
    }
}

/// `chatcmpl-` and 21 letters and digits.
fn completion_id(number: u64) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut id = String::with_capacity(30);
    id.push_str("chatcmpl-");
    let mut seed = scrambled(number);
    for _ in 0..21 {
        seed = scrambled(seed);
        let letter = usize::try_from(seed % 36).ok().and_then(|place| LETTERS.get(place));
        id.push(char::from(letter.copied().unwrap_or(b'a')));
    }
    id
}

/// Another number for every number, the same every time.
fn scrambled(number: u64) -> u64 {
    let mut it = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}
