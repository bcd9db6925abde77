//! opencode's `provider.pointsman`, by the configuration schema of its 1.x releases. It names its conversation in every
//! request by itself, so nothing has to be switched on for that.

use serde_json::{Map, Value, json};

use super::{KEY, TIMEOUT_SECONDS, price};
use crate::discovery::Card;
use crate::discovery::card::{CONTEXT_FALLBACK, COST_FALLBACK, OUTPUT_FALLBACK};

/// Where our provider stands.
pub(super) const PATH: &[&str] = &["provider", super::PROVIDER];

/// Set by users: the key of a gateway that has keys, their own headers, how long they are willing to wait.
pub(super) const KEPT: &[&[&str]] =
    &[&["options", "apiKey"], &["options", "headers"], &["options", "timeout"]];

/// What its files name as their schema.
pub(super) const SCHEMA: &str = "https://opencode.ai/config.json";

/// Our provider.
pub(super) fn provider(cards: &[Card], base_url: &str) -> Value {
    let models: Map<String, Value> = cards.iter().map(|card| (card.id.clone(), model(card))).collect();
    json!({
        "npm": "@ai-sdk/openai-compatible",
        "name": "Pointsman",
        // Milliseconds; it gives up on a request after 300 s otherwise.
        "options": { "baseURL": base_url, "apiKey": KEY, "timeout": TIMEOUT_SECONDS * 1_000 },
        "models": models,
    })
}

fn model(card: &Card) -> Value {
    json!({
        "name": card.name,
        "attachment": card.vision,
        "reasoning": card.reasoning,
        "temperature": true,
        "tool_call": card.tools,
        "cost": {
            "input": price(card.input_cost),
            "output": price(card.output_cost),
            "cache_read": price(COST_FALLBACK),
            "cache_write": price(COST_FALLBACK),
        },
        "limit": {
            "context": card.context_tokens.unwrap_or(CONTEXT_FALLBACK),
            "output": card.output_tokens.unwrap_or(OUTPUT_FALLBACK),
        },
        "modalities": { "input": card.input_modalities(), "output": ["text"] },
    })
}
