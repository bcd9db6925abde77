//! The body of a native chat: read strictly, put into the conversation that it goes on from.
//!
//! The conversation is what the model is asked; the body's own words are its last message.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::super::body::{Fields, Need, refusal};
use super::internal;
use super::outcome::Offer;
use super::stored::Said;
use crate::chat::{Content, ImageUrl, Message, Part, PromptError, Request, check, overflow, tokens};
use crate::exchange::Exchange;
use crate::memory::Handle;
use crate::reply::{Reply, status};

/// Every key a chat takes, and what it must be.
const FIELDS: &[(&str, Need)] = &[
    ("model", Need::RequiredString),
    ("input", Need::RequiredInput),
    ("system_prompt", Need::String),
    ("integrations", Need::Array),
    ("stream", Need::Boolean),
    ("temperature", Need::Number),
    ("top_p", Need::Number),
    ("top_k", Need::Number),
    ("min_p", Need::Number),
    ("repeat_penalty", Need::Number),
    ("max_output_tokens", Need::Number),
    ("reasoning", Need::String),
    ("context_length", Need::Number),
    ("store", Need::Boolean),
    ("previous_response_id", Need::String),
];

/// How a model can be told to reason.
const REASONING: [&str; 5] = ["off", "low", "medium", "high", "on"];

/// A body that can be answered.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) context_length: Option<u32>,
    pub(super) reasoning: Option<String>,
    pub(super) offers: Vec<Offer>,
    /// It is to be remembered.
    pub(super) store: bool,
    /// Everything that was said, the body's own words last.
    pub(super) said: Vec<Arc<Said>>,
    system_prompt: Option<String>,
    max_output_tokens: Option<i64>,
}

// === impl Question ===

impl Question {
    /// Reads a body; the error is the answer.
    pub(super) fn read(exchange: &Exchange, body: &Bytes) -> Result<Self, Reply> {
        let fields = Fields::read(body, FIELDS)?;
        let input = input(fields.value("input"))?;
        let temperature = fields.value("temperature").and_then(Value::as_f64).unwrap_or_default();
        if !(0.0..=1.0).contains(&temperature) {
            let message = if temperature > 1.0 {
                "Number must be less than or equal to 1"
            } else {
                "Number must be greater than or equal to 0"
            };
            return Err(refusal(message, Some("temperature"), "invalid_value"));
        }
        let reasoning = fields.optional_string("reasoning");
        if let Some(unknown) = reasoning.filter(|setting| !REASONING.contains(setting)) {
            let options = REASONING.map(|setting| format!("'{setting}'")).join(" | ");
            let message = format!("Invalid enum value. Expected {options}, received '{unknown}'");
            return Err(refusal(&message, Some("reasoning"), "invalid_enum_value"));
        }
        let mut said = before(exchange, fields.optional_string("previous_response_id"))?;
        said.push(Arc::new(input));
        Ok(Self {
            model: fields.string("model").to_owned(),
            stream: fields.boolean("stream").unwrap_or(false),
            context_length: fields.number("context_length").and_then(|it| u32::try_from(it).ok()),
            reasoning: reasoning.map(str::to_owned),
            offers: Offer::all(fields.value("integrations")),
            store: fields.boolean("store").unwrap_or(true),
            said,
            system_prompt: fields.optional_string("system_prompt").map(str::to_owned),
            max_output_tokens: fields.value("max_output_tokens").and_then(Value::as_i64),
        })
    }

    /// The same question as a chat request.
    pub(super) fn request(&self) -> Request<'_> {
        let system = self.system_prompt.as_deref().map(|text| Message {
            role: Cow::Borrowed("system"),
            content: Content::Text(Cow::Borrowed(text)),
            tool_calls: None,
        });
        let messages = system.into_iter().chain(self.said.iter().map(|said| message(said)));
        Request {
            messages: Some(messages.collect()),
            max_tokens: self.max_output_tokens,
            reasoning_effort: self.reasoning.as_deref().map(|it| {
                // What a chat request calls none is off here.
                Cow::Borrowed(if it == "off" { "none" } else { it })
            }),
            ..Request::default()
        }
    }

    /// The same question as the JSON of a chat request.
    pub(super) fn json(&self, id: &str) -> Value {
        let system =
            self.system_prompt.iter().map(|text| serde_json::json!({ "role": "system", "content": text }));
        let messages: Vec<Value> = system.chain(self.said.iter().map(|said| said.json())).collect();
        let mut question = serde_json::json!({ "model": id, "messages": messages });
        if let (Some(max), Value::Object(question)) = (self.max_output_tokens, &mut question) {
            question.insert("max_tokens".to_owned(), Value::from(max));
        }
        question
    }

    /// Tokens of the prompt.
    pub(super) fn tokens(&self) -> usize {
        tokens(&self.request())
    }

    /// The model takes its images, its template and its length. An engine judges these itself.
    pub(super) fn fits(&self, exchange: &Exchange, handle: &Handle) -> Result<(), Reply> {
        if handle.model.gguf.is_some() {
            return Ok(());
        }
        let request = self.request();
        if let Err(error) = check(&request, &handle.model) {
            let template = exchange.shared.server().template_error_status;
            return Err(match &error {
                PromptError::Template(_) => internal(status(template), &error.to_string()),
                _ => refusal(&error.to_string(), Some("input"), "invalid_value"),
            });
        }
        match overflow(handle, tokens(&request)) {
            Some(message) => Err(internal(StatusCode::BAD_REQUEST, &message)),
            None => Ok(()),
        }
    }
}

fn message(said: &Said) -> Message<'_> {
    let text = Part {
        kind: Cow::Borrowed("text"),
        text: Some(Cow::Borrowed(said.text.as_str())),
        image_url: None,
        image: None,
        source_lang_code: None,
        target_lang_code: None,
    };
    let image = |url: &'_ String| Part {
        kind: Cow::Borrowed("image_url"),
        image_url: Some(ImageUrl { url: Cow::Owned(url.clone()) }),
        text: None,
        image: None,
        source_lang_code: None,
        target_lang_code: None,
    };
    let content = if said.images.is_empty() {
        Content::Text(Cow::Borrowed(said.text.as_str()))
    } else {
        Content::Parts(std::iter::once(text).chain(said.images.iter().map(image)).collect())
    };
    Message { role: Cow::Borrowed(said.role), content, tool_calls: None }
}

/// The words and pictures of the body itself.
fn input(value: Option<&Value>) -> Result<Said, Reply> {
    let Some(Value::Array(items)) = value else {
        let text = value.and_then(Value::as_str).unwrap_or_default();
        return Ok(Said::user(text.to_owned(), Vec::new()));
    };
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for item in items {
        let of = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
        match item.get("type").and_then(Value::as_str) {
            Some("text") => texts.extend(of("content")),
            Some("image") => images.extend(of("data_url")),
            _ => {
                let message = "Invalid discriminator value. Expected 'text' | 'image'";
                return Err(refusal(message, Some("input"), "invalid_union"));
            }
        }
    }
    Ok(Said::user(texts.join("\n"), images))
}

/// What was said before, where the body goes on from an earlier answer.
fn before(exchange: &Exchange, id: Option<&str>) -> Result<Vec<Arc<Said>>, Reply> {
    let Some(id) = id else {
        return Ok(Vec::new());
    };
    let param = Some("previous_response_id");
    if !id.starts_with("resp_") {
        return Err(refusal("Invalid input: must start with \"resp_\"", param, "invalid_string"));
    }
    exchange.shared.locked(|hub| hub.stored.get(id)).ok_or_else(|| {
        let message = format!(
            "Could not find stored response for previous_response_id '{id}'. Please ensure the ID is correct. Current \
             previous response auto-deletion policy: Responses older than 30 days are automatically deleted."
        );
        refusal(&message, param, "invalid_value")
    })
}
