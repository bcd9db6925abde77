//! An answer sent as one JSON body, keys in the real one's order.

use axum::response::Response;
use serde::Serialize;
use tokio::time::Instant;

use super::stats::{ModelInfo, Runtime, Stats, full};
use super::{Extras, Shape, Writing};
use crate::inference::{Struck, broken, killed, pace, unless_gone};
use crate::memory::Ending;
use crate::reply::Reply;

#[derive(Debug, Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Usage,
    stats: EmptyOrStats,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_info: Option<ModelInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<Runtime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_fingerprint: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum EmptyOrStats {
    Empty {},
    Stats(Stats),
}

#[derive(Debug, Serialize)]
struct Choice<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    reasoning_content: &'a str,
    tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Debug, Serialize)]
struct ToolCall<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Tokens, by the same estimate as everywhere.
#[derive(Debug, Serialize)]
pub(super) struct Usage {
    prompt_tokens: usize,
    pub(super) completion_tokens: usize,
    total_tokens: usize,
    completion_tokens_details: TokenDetails,
}

#[derive(Debug, Serialize)]
struct TokenDetails {
    reasoning_tokens: usize,
}

/// Waits as long as the writing takes and sends it.
pub(super) async fn respond(mut writing: Writing) -> Response {
    let work = &mut writing.work;
    match work.strike(u32::MAX, true).await {
        Struck::No | Struck::Cut(_) => {}
        Struck::Error(message) => return writing.work.exchange.reply(broken(&message)),
        Struck::Killed(ending) => return dead(writing, &ending),
    }
    let first = work.started + work.handle.model.first_token_time;
    if let Some(wait) = pace(&work.handle.model, writing.answer.tokens)
        && let Err(ending) = unless_gone(&mut work.handle, tokio::time::sleep(wait)).await
    {
        return dead(writing, &ending);
    }
    work.note_first_token();
    let reply = Reply::json(&completion(&writing, first));
    writing.work.exchange.reply(reply)
}

fn dead(writing: Writing, ending: &Ending) -> Response {
    writing.work.note_killed();
    let refusal = killed(&writing.work.exchange, ending);
    writing.work.exchange.reply(refusal)
}

fn completion(writing: &Writing, first: Instant) -> Completion<'_> {
    let (answer, envelope) = (&writing.answer, &writing.envelope);
    let finish_reason = finish_reason(writing);
    let usage = Usage::of(writing);
    let (message, text, object) = match writing.surface.shape {
        Shape::Chat => (Some(message(writing)), None, "chat.completion"),
        Shape::Text => (None, Some(answer.text.as_str()), "text_completion"),
    };
    let (stats, model_info, runtime) = match writing.surface.extras {
        Extras::None => (EmptyOrStats::Empty {}, None, None),
        Extras::Stats => {
            let full = full(&writing.work, first, usage.completion_tokens, finish_reason);
            (EmptyOrStats::Stats(full.stats), Some(full.model_info), Some(full.runtime))
        }
    };
    Completion {
        id: &envelope.id,
        object,
        created: envelope.created,
        model: &envelope.model,
        choices: [Choice { index: 0, message, text, logprobs: None, finish_reason }],
        usage,
        stats,
        model_info,
        runtime,
        system_fingerprint: (writing.surface.shape == Shape::Chat).then_some(&envelope.model),
    }
}

fn message(writing: &Writing) -> Message<'_> {
    let (answer, envelope) = (&writing.answer, &writing.envelope);
    let tool_calls = answer.calls.iter().enumerate().map(|(index, call)| ToolCall {
        kind: "function",
        id: envelope.call_id(index),
        function: Function { name: &call.name, arguments: &call.arguments },
    });
    Message {
        role: "assistant",
        content: &answer.text,
        reasoning_content: &answer.reasoning,
        tool_calls: tool_calls.collect(),
    }
}

/// Why the answer ends where it ends.
pub(super) fn finish_reason(writing: &Writing) -> &'static str {
    if writing.answer.cut {
        "length"
    } else if writing.answer.calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    }
}

// === impl Usage ===

impl Usage {
    pub(super) fn of(writing: &Writing) -> Self {
        let reasoning_tokens = super::answer::pieces(&writing.answer.reasoning).count();
        let completion_tokens = writing.answer.tokens + reasoning_tokens;
        Self {
            prompt_tokens: writing.prompt_tokens,
            completion_tokens,
            total_tokens: writing.prompt_tokens + completion_tokens,
            completion_tokens_details: TokenDetails { reasoning_tokens },
        }
    }
}
