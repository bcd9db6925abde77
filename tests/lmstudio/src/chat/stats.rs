//! What version 0 adds to an answer: how fast it was, which model served, which engine ran it.

use serde::Serialize;
use tokio::time::Instant;

use crate::config::{Format, Model};
use crate::inference::Work;

/// The three objects that version 0 puts beside the usage.
#[derive(Debug, Serialize)]
pub(super) struct Full<'a> {
    pub(super) stats: Stats,
    pub(super) model_info: ModelInfo<'a>,
    pub(super) runtime: Runtime,
}

#[derive(Debug, Serialize)]
pub(super) struct Stats {
    tokens_per_second: f64,
    time_to_first_token: f64,
    generation_time: f64,
    stop_reason: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct ModelInfo<'a> {
    arch: &'a str,
    quant: &'a str,
    format: &'static str,
    context_length: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Runtime {
    name: &'static str,
    version: &'static str,
    supported_formats: [&'static str; 1],
}

/// What counts as no time at all, so that speeds stay numbers.
const SHORTEST_SECONDS: f64 = 0.001;

/// What is to be said of an answer of so many tokens that is over now. `first` is when its first token was there,
/// `finish` why it ended, in the words of the OpenAI-compatible API.
pub(super) fn full<'a>(work: &'a Work, first: Instant, tokens: usize, finish: &str) -> Full<'a> {
    let stop_reason = match finish {
        "length" => "maxPredictedTokensReached",
        "tool_calls" => "toolCalls",
        _ => "eosFound",
    };
    let generation = first.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "nobody waits for 2^52 tokens")]
    let tokens_per_second = tokens as f64 / generation.max(SHORTEST_SECONDS);
    let stats = Stats {
        tokens_per_second,
        time_to_first_token: first.saturating_duration_since(work.started).as_secs_f64(),
        generation_time: generation,
        stop_reason,
    };
    let model = &*work.handle.model;
    Full { stats, model_info: model_info(model, work.handle.context_length), runtime: runtime(model.format) }
}

fn model_info(model: &Model, context_length: u32) -> ModelInfo<'_> {
    let arch = model.architecture.as_deref().unwrap_or("unknown");
    ModelInfo { arch, quant: &model.quantization, format: model.format.name(), context_length }
}

fn runtime(format: Format) -> Runtime {
    let name = match format {
        Format::Gguf => "llama.cpp-linux-x86_64-avx2",
        Format::Mlx => "mlx-llm-mac-arm64-apple-metal-advsimd",
    };
    Runtime { name, version: "2.9.0", supported_formats: [format.name()] }
}
