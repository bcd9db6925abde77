//! Version 0 of the native API: the list of models with their states, and one of them.
//!
//! The best readiness probe the real program has: `not-loaded`, `loading`, `loaded`. Its completions and embeddings are
//! where those of the OpenAI-compatible API are.

use std::sync::Arc;

use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::config::{Kind, Model};
use crate::exchange::Exchange;
use crate::memory::{Instance, Memory};
use crate::reply::Reply;
use crate::shared::Hub;

/// Where one model's description is; its id follows, with its slashes as they are or escaped.
pub(crate) const ONE: &str = "/api/v0/models/";

#[derive(Debug, Serialize)]
struct List {
    data: Vec<Item>,
    object: &'static str,
}

#[derive(Debug, Serialize)]
struct Item {
    id: Arc<str>,
    object: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    publisher: String,
    arch: String,
    compatibility_type: &'static str,
    quantization: String,
    state: &'static str,
    max_context_length: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded_context_length: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    capabilities: Vec<&'static str>,
}

/// `GET /api/v0/models`.
pub(crate) fn list(exchange: &Exchange) -> Reply {
    let data = exchange.shared.locked(|hub| items(hub));
    Reply::json(&List { data, object: "list" })
}

/// `GET /api/v0/models/{model}`. The words of the refusal are a guess.
pub(crate) fn one(exchange: &Exchange, path: &str) -> Reply {
    let escaped = path.strip_prefix(ONE).unwrap_or_default();
    let id = percent_decode_str(escaped).decode_utf8_lossy();
    let found =
        exchange.shared.locked(|hub| items(hub).into_iter().find(|item| item.id.eq_ignore_ascii_case(&id)));
    match found {
        Some(item) => Reply::json(&item),
        None => Reply::string_error(StatusCode::NOT_FOUND, &format!("Model '{id}' not found")),
    }
}

/// Downloaded models, each with the instance that bears its key, and the other instances; without JIT only what is
/// loaded or on its way.
fn items(hub: &Hub) -> Vec<Item> {
    let mut items = Vec::new();
    for model in &hub.catalogue {
        let own = instance_of(&hub.memory, &model.key);
        if own.is_some() || hub.server.jit {
            items.push(item(model, own));
        }
        let others = hub.memory.present().filter(|it| *it.key == *model.key && *it.id != *it.key);
        items.extend(others.map(|it| item(model, Some(it))));
    }
    items
}

fn instance_of<'a>(memory: &'a Memory, key: &str) -> Option<&'a Instance> {
    memory.present().find(|it| *it.id == *key)
}

fn item(model: &Model, instance: Option<&Instance>) -> Item {
    let state = match instance {
        None => "not-loaded",
        Some(instance) if instance.is_ready() => "loaded",
        Some(_) => "loading",
    };
    let ready = instance.filter(|it| it.is_ready());
    Item {
        id: instance.map_or_else(|| Arc::from(model.key.as_str()), |it| it.id.clone()),
        object: "model",
        kind: match model.kind {
            Kind::Embedding => "embeddings",
            Kind::Llm if model.vision => "vlm",
            Kind::Llm => "llm",
        },
        publisher: model.publisher().to_owned(),
        arch: model.architecture.clone().unwrap_or_else(|| "unknown".to_owned()),
        compatibility_type: model.format.name(),
        quantization: model.quantization.clone(),
        state,
        max_context_length: model.max_context_length,
        loaded_context_length: ready.map(|it| it.config.context_length),
        capabilities: if model.tool_use { vec!["tool_use"] } else { Vec::new() },
    }
}
