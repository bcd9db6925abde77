//! From the house's words to the contract's: turns and events as records, field by field.

use super::verdict::INTEGER_MAX;
use crate::capability::bindings::{event_hook, types};
use crate::capability::models::record as model_record;
use crate::id::SkillName;
use crate::turn::event::{Event, Fault, Outcome};
use crate::turn::{MediaKind, Turn};
use std::time::Duration;

/// The contract's JSON of the event `wish-failed`.
#[derive(serde::Serialize)]
struct WishFailed<'a> {
    model: &'a str,
    code: &'a str,
    message: &'a str,
}

/// The turn as every skill of a chain is shown it; made once per request.
pub(super) fn turn(turn: Turn) -> types::Turn {
    types::Turn {
        request_id: turn.request_id.as_str().to_owned(),
        session: turn.session.as_str().to_owned(),
        agent: turn.agent,
        client: turn.client,
        protocol: turn.protocol.as_str().to_owned(),
        streaming: turn.streaming,
        requested_model: turn.requested_model,
        current_model: turn.current_model,
        pinned: turn.pinned,
        user_text: turn.user_text,
        user_text_truncated: turn.user_text_truncated,
        last_answer: turn.last_answer,
        media: words(&turn.media),
        history_media: words(&turn.history_media),
        tools: turn.tools,
        message_count: turn.message_count.min(INTEGER_MAX),
        estimated_tokens: turn.estimated_tokens.min(INTEGER_MAX),
        max_output_tokens: turn.max_output_tokens.map(|tokens| tokens.min(INTEGER_MAX)),
        extra: Vec::new(),
    }
}

/// The event in the contract's words; none where it is not for this skill.
pub(super) fn event(event: &Event, skill: &SkillName) -> Option<event_hook::Event> {
    Some(match event {
        Event::ModelDiscovered(model) => event_hook::Event::ModelDiscovered(model_record(model)),
        Event::ModelRemoved(id) => event_hook::Event::ModelRemoved(id.as_str().to_owned()),
        Event::ModelLoaded(model) => event_hook::Event::ModelLoaded(model_record(model)),
        Event::ModelUnloaded(id) => event_hook::Event::ModelUnloaded(id.as_str().to_owned()),
        Event::RequestFinished(done) => event_hook::Event::RequestFinished(outcome(done)),
        Event::WishFailed { skill: wisher, .. } if wisher != skill => return None,
        Event::WishFailed { model, fault, .. } => {
            let told = WishFailed { model, code: &fault.code, message: &fault.message };
            // Strings alone cannot fail to be written.
            let json = serde_json::to_string(&told).unwrap_or_default();
            event_hook::Event::Other(("wish-failed".to_owned(), json))
        }
    })
}

fn words(kinds: &[MediaKind]) -> Vec<String> {
    kinds.iter().map(|kind| kind.as_str().to_owned()).collect()
}

fn outcome(outcome: &Outcome) -> event_hook::Outcome {
    let decided = outcome.decided.as_ref();
    event_hook::Outcome {
        request_id: outcome.request_id.as_str().to_owned(),
        session: outcome.session.as_str().to_owned(),
        agent: outcome.agent.clone(),
        client: outcome.client.clone(),
        model: outcome.model.clone(),
        skill: decided.map(|it| it.skill.as_str().to_owned()),
        tag: decided.and_then(|it| it.tag.clone()),
        candidate: decided.map_or(0, |it| it.candidate),
        finish_reason: outcome.finish_reason.clone(),
        error: outcome.fault.as_ref().map(fault),
        prompt_tokens: outcome.prompt_tokens.map(|tokens| tokens.min(INTEGER_MAX)),
        completion_tokens: outcome.completion_tokens.map(|tokens| tokens.min(INTEGER_MAX)),
        queue_ms: milliseconds(outcome.queued),
        first_token_ms: outcome.first_token.map(milliseconds),
        total_ms: milliseconds(outcome.total),
        extra: Vec::new(),
    }
}

fn fault(fault: &Fault) -> types::Error {
    types::Error { code: fault.code.clone(), message: fault.message.clone(), retryable: fault.retryable }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(INTEGER_MAX).min(INTEGER_MAX)
}
