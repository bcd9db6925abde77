//! `GET /api/v1/models`: every downloaded model with its instances, keys in the real one's order.

use std::sync::Arc;

use serde::Serialize;

use crate::config::{Kind, Model, Reasoning};
use crate::exchange::Exchange;
use crate::fault::Stage;
use crate::memory::InstanceConfig;
use crate::reply::Reply;
use crate::shared::Listed;

#[derive(Debug, Serialize)]
struct List<'a> {
    models: Vec<Item<'a>>,
}

#[derive(Debug, Serialize)]
struct Item<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    publisher: &'a str,
    key: &'a str,
    display_name: &'a str,
    /// Absent for embedding models, null where unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<Option<&'a str>>,
    quantization: Quantization<'a>,
    size_bytes: u64,
    params_string: Option<&'a str>,
    loaded_instances: Vec<Loaded<'a>>,
    max_context_length: u32,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Capabilities<'a>>,
    /// Absent for embedding models, otherwise null.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variants: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selected_variant: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Quantization<'a> {
    name: &'a str,
    bits_per_weight: Number,
}

/// A number that is written without a fraction where it has none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Number {
    Whole(u32),
    Fraction(f64),
}

#[derive(Debug, Serialize)]
struct Capabilities<'a> {
    vision: bool,
    trained_for_tool_use: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a Reasoning>,
}

#[derive(Debug, Serialize)]
struct Loaded<'a> {
    id: &'a str,
    config: &'a InstanceConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_ttl_seconds: Option<u64>,
}

/// `GET /api/v1/models`.
pub(crate) fn list(exchange: &Exchange) -> Reply {
    let lags = exchange.meet(Stage::List, &[]).is_some();
    let (catalogue, listed) = exchange.shared.locked(|hub| {
        let listed = if lags { hub.stale.clone() } else { hub.listed() };
        (hub.catalogue.clone(), listed)
    });
    Reply::json(&List { models: catalogue.iter().map(|model| item(model, &listed)).collect() })
}

fn item<'a>(model: &'a Arc<Model>, listed: &'a [Listed]) -> Item<'a> {
    let language = model.kind == Kind::Llm;
    let own = listed.iter().filter(|it| *it.key == *model.key);
    let capabilities = || Capabilities {
        vision: model.vision,
        trained_for_tool_use: model.tool_use,
        reasoning: model.reasoning.as_ref(),
    };
    Item {
        kind: super::kind_name(model),
        publisher: model.publisher(),
        key: &model.key,
        display_name: model.display_name(),
        architecture: language.then_some(model.architecture.as_deref()),
        quantization: Quantization {
            name: &model.quantization,
            bits_per_weight: Number::of(model.bits_per_weight),
        },
        size_bytes: model.size_bytes,
        params_string: model.params.as_deref(),
        loaded_instances: own
            .map(|it| Loaded {
                id: &it.id,
                config: &it.config,
                remaining_ttl_seconds: it.remaining_ttl_seconds,
            })
            .collect(),
        max_context_length: model.max_context_length,
        format: model.format.name(),
        capabilities: language.then(capabilities),
        description: language.then_some(None),
        variants: Some(model.variants.as_slice()).filter(|variants| !variants.is_empty()),
        selected_variant: model.variants.first().map(String::as_str),
    }
}

// === impl Number ===

impl Number {
    fn of(number: f64) -> Self {
        let whole = (0..=64_u32).find(|whole| f64::from(*whole) == number);
        whole.map_or(Self::Fraction(number), Self::Whole)
    }
}
