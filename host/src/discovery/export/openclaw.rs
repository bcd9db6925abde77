//! OpenClaw's `models.providers.pointsman`, by the row format of its 2026.9 releases: every key of a row that it knows
//! and that we have something to say to. Its schema is strict, so nothing else is written.

use serde_json::{Value, json};

use super::{KEY, TIMEOUT_SECONDS, price};
use crate::discovery::Card;
use crate::discovery::card::{CONTEXT_FALLBACK, COST_FALLBACK, OUTPUT_FALLBACK};

/// Where our provider stands.
pub(super) const PATH: &[&str] = &["models", "providers", super::PROVIDER];

/// Set by users: the key of a gateway that has keys, their own headers, how long they are willing to wait.
pub(super) const KEPT: &[&[&str]] = &[&["apiKey"], &["headers"], &["timeoutSeconds"]];

/// Our provider.
pub(super) fn provider(cards: &[Card], base_url: &str) -> Value {
    json!({
        "baseUrl": base_url,
        "apiKey": KEY,
        "api": "openai-completions",
        // It gives up after 300 s without a first event otherwise.
        "timeoutSeconds": TIMEOUT_SECONDS,
        "models": cards.iter().map(row).collect::<Vec<_>>(),
    })
}

fn row(card: &Card) -> Value {
    json!({
        "id": card.id,
        "name": card.name,
        "reasoning": card.reasoning,
        // A model that is said to take text alone is sent no image at all, not even a placeholder.
        "input": card.input_modalities(),
        "cost": {
            "input": price(card.input_cost),
            "output": price(card.output_cost),
            "cacheRead": price(COST_FALLBACK),
            "cacheWrite": price(COST_FALLBACK),
        },
        "contextWindow": card.context_tokens.unwrap_or(CONTEXT_FALLBACK),
        "maxTokens": card.output_tokens.unwrap_or(OUTPUT_FALLBACK),
        // Without these nothing in a request says which conversation it belongs to.
        "compat": { "sendSessionAffinityHeaders": true, "supportsPromptCacheKey": true },
    })
}
