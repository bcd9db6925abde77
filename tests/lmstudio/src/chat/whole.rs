//! An answer sent as one JSON body, keys in the real one's order.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::{Work, killed, note_killed, pace, unless_gone};
use crate::fault::Kind;
use crate::log::Event;
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
    stats: Empty,
    system_fingerprint: &'a str,
}

#[derive(Debug, Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
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
    completion_tokens: usize,
    total_tokens: usize,
    completion_tokens_details: TokenDetails,
}

#[derive(Debug, Serialize)]
struct TokenDetails {
    reasoning_tokens: usize,
}

#[derive(Debug, Serialize)]
struct Empty {}

/// Waits as long as the writing takes and sends it.
pub(super) async fn respond(mut work: Work) -> Response {
    if let Some(refusal) = fault(&mut work).await {
        return work.exchange.reply(refusal);
    }
    if let Some(wait) = pace(&work.handle.model, work.answer.tokens)
        && let Err(ending) = unless_gone(&mut work.handle, tokio::time::sleep(wait)).await
    {
        note_killed(&work.exchange, &work.handle);
        return work.exchange.reply(killed(&ending));
    }
    let first = Event::FirstToken { request: work.exchange.number, instance: work.handle.id.clone() };
    work.exchange.shared.log.note(first);
    let reply = Reply::json(&completion(&work));
    work.exchange.reply(reply)
}

/// What a fault makes of the answer, where it leaves none.
async fn fault(work: &mut Work) -> Option<Reply> {
    let mut met = work.fault.take()?;
    match &met.kind {
        Kind::Crash { .. } => {
            work.exchange.shared.crash(&work.handle.id);
            note_killed(&work.exchange, &work.handle);
            Some(killed(&Ending::Crashed))
        }
        Kind::StreamError { message, .. } => Some(Reply::string_error(StatusCode::BAD_REQUEST, message)),
        Kind::Stall { .. } => {
            let held = unless_gone(&mut work.handle, work.exchange.hold(&mut met)).await;
            let ending = held.err()?;
            note_killed(&work.exchange, &work.handle);
            Some(killed(&ending))
        }
        _ => None,
    }
}

fn completion(work: &Work) -> Completion<'_> {
    let (answer, envelope) = (&work.answer, &work.envelope);
    let tool_calls = answer.calls.iter().enumerate().map(|(index, call)| ToolCall {
        kind: "function",
        id: envelope.call_id(index),
        function: Function { name: &call.name, arguments: &call.arguments },
    });
    let message = Message {
        role: "assistant",
        content: &answer.text,
        reasoning_content: &answer.reasoning,
        tool_calls: tool_calls.collect(),
    };
    Completion {
        id: &envelope.id,
        object: "chat.completion",
        created: envelope.created,
        model: &envelope.model,
        choices: [Choice { index: 0, message, logprobs: None, finish_reason: finish_reason(work) }],
        usage: Usage::of(work),
        stats: Empty {},
        system_fingerprint: &envelope.model,
    }
}

/// Why the answer ends where it ends.
pub(super) fn finish_reason(work: &Work) -> &'static str {
    if work.answer.cut {
        "length"
    } else if work.answer.calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    }
}

// === impl Usage ===

impl Usage {
    pub(super) fn of(work: &Work) -> Self {
        let reasoning_tokens = super::answer::pieces(&work.answer.reasoning).count();
        let completion_tokens = work.answer.tokens + reasoning_tokens;
        Self {
            prompt_tokens: work.prompt_tokens,
            completion_tokens,
            total_tokens: work.prompt_tokens + completion_tokens,
            completion_tokens_details: TokenDetails { reasoning_tokens },
        }
    }
}
