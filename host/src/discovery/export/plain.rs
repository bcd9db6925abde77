//! Our own export: everything that is known of every model, for scripts and for clients that have no format of their own
//! here. Its keys are a promise: some may be added, none is renamed.
//!
//! | key | what |
//! | --- | --- |
//! | `base_url` | where the OpenAI-compatible API is |
//! | `models[].id` | what a request names as its `model` |
//! | `models[].model` | `provider/key`; null for `auto`, which may be any |
//! | `models[].name` | for people |
//! | `models[].kind` | `language` or `embedding` |
//! | `models[].vision`, `.tools`, `.reasoning`, `.local` | what it can do, and whether it runs on the user's machines |
//! | `models[].context_length`, `.max_output_tokens` | tokens; null where it is not known, or writes none |
//! | `models[].cost` | of input and output |
//! | `models[].size_bytes`, `.load_seconds` | null where nobody knows |
//! | `models[].fallback` | which of these keys no provider said, so that a rule did |

use serde_json::{Value, json};

use super::price;
use crate::discovery::Card;

/// The keys by which a file is known to be ours.
pub(in crate::discovery) const OURS: [&str; 2] = ["base_url", "models"];

/// The whole file.
pub(super) fn document(cards: &[Card], base_url: &str) -> Value {
    json!({ "base_url": base_url, "models": cards.iter().map(model).collect::<Vec<_>>() })
}

fn model(card: &Card) -> Value {
    let fallback: Vec<_> = card.fallbacks.iter().map(|it| it.as_str()).collect();
    json!({
        "id": card.id,
        "model": card.model.as_ref().map(ToString::to_string),
        "name": card.name,
        "kind": card.kind.as_str(),
        "vision": card.vision,
        "tools": card.tools,
        "reasoning": card.reasoning,
        "local": card.local,
        "context_length": card.context_tokens,
        "max_output_tokens": card.output_tokens,
        "cost": { "input": price(card.input_cost), "output": price(card.output_cost) },
        "size_bytes": card.size_bytes,
        // To the tenth of a second: what is behind it changes with every load.
        "load_seconds": card.load_seconds.map(|seconds| (f64::from(seconds) * 10.0).round() / 10.0),
        "fallback": fallback,
    })
}
