//! The body of a text completion: a prompt that no template touches.
//!
//! What a model says to it is what it says to a user message of the same words.

use std::borrow::Cow;

use serde::Deserialize;

use super::request::{Content, Message, Request, StreamOptions};
use crate::inference::broken;
use crate::reply::Reply;

#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    prompt: Option<Cow<'a, str>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<i64>,
    #[serde(default)]
    ttl: Option<u64>,
}

/// Reads a body. That several prompts in one are refused, and the words of all refusals, are guesses.
pub(super) fn read(body: &[u8]) -> Result<Request<'_>, Reply> {
    let body: Body<'_> =
        serde_json::from_slice(body).map_err(|error| broken(&format!("Invalid body: {error}")))?;
    let Some(prompt) = body.prompt else {
        return Err(broken("'prompt' field is required"));
    };
    let message = Message { role: Cow::Borrowed("user"), content: Content::Text(prompt), tool_calls: None };
    Ok(Request {
        model: body.model,
        messages: Some(vec![message]),
        stream: body.stream,
        stream_options: body.stream_options,
        max_tokens: body.max_tokens,
        ttl: body.ttl,
        ..Request::default()
    })
}
