//! The native API: the list of models, load, unload, downloads, chat.
//!
//! Bodies are strict: an unknown key is refused. A load answers when it is over, whatever that was, and goes on when
//! its client leaves; it never reuses an instance.

mod body;
mod chat;
mod download;
mod list;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use tokio::time::Instant;

use crate::config::{Kind, Model};
use crate::exchange::Exchange;
use crate::fault::Stage;
use crate::log::{Event, Origin};
use crate::memory::{InstanceConfig, Wanted};
use crate::reply::{NativeError, Reply, status};

use body::{Fields, Need};

pub(crate) use chat::{Stored, chat};
pub(crate) use download::{STATUS, download, status as download_status};
pub(crate) use list::list;

#[derive(Debug, Serialize)]
struct LoadAnswer {
    #[serde(rename = "type")]
    kind: &'static str,
    instance_id: Arc<str>,
    load_time_seconds: f64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_config: Option<InstanceConfig>,
}

#[derive(Debug, Serialize)]
struct UnloadAnswer<'a> {
    instance_id: &'a str,
}

/// Every key a load takes, and what it must be.
const LOAD_FIELDS: &[(&str, Need)] = &[
    ("model", Need::RequiredString),
    ("context_length", Need::Number),
    ("eval_batch_size", Need::Number),
    ("flash_attention", Need::Boolean),
    ("num_experts", Need::Number),
    ("offload_kv_cache_to_gpu", Need::Boolean),
    ("echo_load_config", Need::Boolean),
];

const UNLOAD_FIELDS: &[(&str, Need)] = &[("instance_id", Need::RequiredString)];

/// `POST /api/v1/models/load`.
pub(crate) async fn load(exchange: &Exchange, body: &Bytes) -> Reply {
    let fields = match Fields::read(body, LOAD_FIELDS) {
        Ok(fields) => fields,
        Err(refusal) => return refusal,
    };
    let name = fields.string("model");
    let shared = &exchange.shared;
    let found = shared.locked(|hub| {
        let takes = |model: &Arc<Model>| {
            let key = model.key.eq_ignore_ascii_case(name);
            key || (hub.server.load_takes_variants && model.is_called(name))
        };
        hub.catalogue.iter().find(|model| takes(model)).cloned()
    });
    let Some(model) = found else {
        return not_found(&format!("Model {name} not found in downloaded models"));
    };
    let wanted = Wanted {
        identifier: None,
        context_length: fields.number("context_length").and_then(|it| u32::try_from(it).ok()),
        eval_batch_size: fields.number("eval_batch_size"),
        flash_attention: fields.boolean("flash_attention"),
        num_experts: fields.number("num_experts"),
        offload_kv_cache_to_gpu: fields.boolean("offload_kv_cache_to_gpu"),
        ttl: None,
    };
    let fault = exchange.meet(Stage::Load, &[&model.key, name]);
    let started = Instant::now();
    let mut handle = match shared.begin_load(&model, &wanted, Origin::Explicit, exchange.number, fault) {
        Ok(handle) => handle,
        Err(error) => return load_failed(exchange, &error.to_string()),
    };
    if let Err(ending) = handle.settled().await {
        return load_failed(
            exchange,
            &format!("Failed to load model \"{name}\". Error: {}", ending.load_text()),
        );
    }
    let echo = fields.boolean("echo_load_config").unwrap_or(false);
    let config = shared.locked(|hub| hub.memory.get(&handle.id).map(|it| it.config.clone()));
    Reply::json(&LoadAnswer {
        kind: kind_name(&model),
        instance_id: handle.id,
        load_time_seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        status: "loaded",
        load_config: config.filter(|_| echo),
    })
}

/// `POST /api/v1/models/unload`.
pub(crate) async fn unload(exchange: &Exchange, body: &Bytes) -> Reply {
    let fields = match Fields::read(body, UNLOAD_FIELDS) {
        Ok(fields) => fields,
        Err(refusal) => return refusal,
    };
    let id = fields.string("instance_id");
    match exchange.shared.begin_unload(id, |instance| Event::Unload { instance }) {
        None => not_found(&format!("Model with instance identifier '{id}' is not loaded.")),
        Some(freed) => {
            // The task that frees it cannot be stopped but with the whole runtime.
            let _ = freed.await;
            Reply::json(&UnloadAnswer { instance_id: id })
        }
    }
}

/// The native API's word for what a model is.
pub(crate) fn kind_name(model: &Model) -> &'static str {
    match model.kind {
        Kind::Llm => "llm",
        Kind::Embedding => "embedding",
    }
}

fn not_found(message: &str) -> Reply {
    refusal_of_kind(StatusCode::NOT_FOUND, "model_not_found", message)
}

/// An error of a type and a message, and nothing else.
fn refusal_of_kind(status: StatusCode, kind: &str, message: &str) -> Reply {
    #[derive(Serialize)]
    struct Refusal<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        message: &'a str,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        error: Refusal<'a>,
    }
    Reply::json_with(status, &Body { error: Refusal { kind, message } })
}

fn load_failed(exchange: &Exchange, message: &str) -> Reply {
    let number = exchange.shared.server().guardrail_status;
    let error = NativeError { message, kind: "internal_error", param: None, code: None };
    Reply::native_error(status(number), &error)
}
