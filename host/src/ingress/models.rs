//! `/v1/models`: what clients may name, each as [`discovery`](crate::discovery) tells clients of it. The virtual model
//! `auto` is first: the session's default, unless a skill routes.
//!
//! OpenAI's own list says nothing of what a model takes, and every client that wants to know has its own word for it:
//! the context is here as `context_length`, `context_window` (OpenClaw's discovery reads either) and `max_model_len`
//! (vLLM's). Nothing here decides anything: fallbacks are for clients to read.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::routes::refused;
use crate::discovery::{Card, cards};
use crate::error::Error;
use crate::exchange::Gateway;

/// One model as OpenAI lists it, with what local clients ask for besides.
#[derive(Debug, Serialize)]
struct Listed {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_window: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_model_len: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    input_modalities: &'static [&'static str],
    capabilities: Vec<&'static str>,
    #[serde(rename = "type")]
    kind: &'static str,
    loaded: bool,
    fallback: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct List {
    object: &'static str,
    data: Vec<Listed>,
}

/// `GET /v1/models`
pub async fn list(State(gateway): State<Arc<Gateway>>) -> Response {
    let directory = gateway.residency.directory();
    let data = cards(directory.models()).into_iter().map(Listed::of).collect();
    Json(List { object: "list", data }).into_response()
}

/// `GET /v1/models/{id}`: by the name that the list gives, or any other that names a model in full.
pub async fn one(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>) -> Response {
    let directory = gateway.residency.directory();
    let listed = cards(directory.models()).into_iter().find(|card| card.id.eq_ignore_ascii_case(&id));
    match listed.or_else(|| directory.exact(&id).map(Card::of)) {
        Some(card) => Json(Listed::of(card)).into_response(),
        None => refused(&Error::unknown_model(&id, "those of GET /v1/models")),
    }
}

// === impl Listed ===

impl Listed {
    fn of(card: Card) -> Self {
        // LM Studio's words.
        let capabilities = [("vision", card.vision), ("tool_use", card.tools), ("reasoning", card.reasoning)];
        Self {
            owned_by: card.owner().to_owned(),
            input_modalities: card.input_modalities(),
            id: card.id,
            object: "model",
            created: 0,
            name: card.name,
            context_length: card.context_tokens,
            context_window: card.context_tokens,
            max_model_len: card.context_tokens,
            max_output_tokens: card.output_tokens,
            capabilities: capabilities.into_iter().filter(|(_, has)| *has).map(|(word, _)| word).collect(),
            kind: card.kind.as_str(),
            loaded: card.loaded,
            fallback: card.fallbacks.iter().map(|it| it.as_str()).collect(),
        }
    }
}
