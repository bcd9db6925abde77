//! Verdicts are untrusted input: a guest's records become the house's types here, or are refused with the reason. Past
//! this file nobody checks them again.
//!
//! Whether a model exists is not asked here: that depends on the moment, and unknown candidates are skipped by the route
//! room.

use serde_json::{Map, Value};

use super::text::is_unsafe;
use crate::capability::bindings::{request_hook, tool_hook, types};
use crate::turn::prompt::{Content, Message, Part, Prompt, Role};
use crate::turn::verdict::{
    Afterwards, Candidate, Decision, Hold, Refusal, Reroute, Route, Swap, ToolDecision,
};

/// A request hook's answer that has passed the checks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// No opinion.
    Pass,
    /// A merge patch on the request, and no opinion on the model.
    Amend(String),
    /// The chain ends here.
    Decide(Decision),
}

/// Why a verdict was refused; a fragment that follows "its verdict was refused:".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerdictError {
    /// A text is longer than it may be.
    #[error("{what} has {bytes} bytes, more than {bytes_max}")]
    Long {
        /// Which text.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// A text holds what would break lines, headers or terminals.
    #[error("{0} holds control characters")]
    Control(&'static str),
    /// A text that must say something does not.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// Fewer or more of something than there may be.
    #[error("it has {count} {what}, and must have 1 to {count_max}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The bound.
        count_max: usize,
    },
    /// A context of no tokens, or of more than any model has.
    #[error("a context of {0} tokens")]
    Context(u32),
    /// A refusal that is no refusal.
    #[error("status {0} is not between 400 and 599")]
    Status(u16),
    /// JSON that is none, or is no object.
    #[error("{what} is not a JSON object: {reason}")]
    NotAnObject {
        /// Which text.
        what: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// A patch that touches what the host decides.
    #[error("{what} may not touch `{key}`")]
    Forbidden {
        /// Which text.
        what: &'static str,
        /// The member.
        key: String,
    },
    /// Not a role of a composed message.
    #[error("`{0}` is not a role; `system`, `user` and `assistant` are")]
    Role(String),
    /// A prompt names a part that the turn does not have.
    #[error("a prompt names medium {index} of a turn that has {count}")]
    Media {
        /// What it names, counted from 0.
        index: u32,
        /// What there is.
        count: usize,
    },
}

/// Integers of the contract stay below 2^31.
pub(super) const INTEGER_MAX: u32 = i32::MAX as u32;

/// Bytes of a model's name; the longest key seen in the wild is below 100.
const MODEL_BYTES_MAX: usize = 256;

/// Bytes of a route's reason: it goes out in a response header.
const REASON_BYTES_MAX: usize = 500;

/// Bytes of a route's tag.
const TAG_BYTES_MAX: usize = 128;

/// Bytes of a refusal's message.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Bytes of an answer in the assistant's place, and of a skill's own words in a prompt.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// Bytes of a merge patch.
const PATCH_BYTES_MAX: usize = 64 << 10;

/// The fact of a rerouted call's route that says which of its arguments stay.
const FIXED_ARGUMENTS: &str = "fixed-arguments";

/// Bytes of the fields merged into one part, and of arguments that stay.
const FIELDS_BYTES_MAX: usize = 16 << 10;

/// Bytes of a tool call's arguments: a whole file may stand in them, and no more is held of an answer.
const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// Candidates of a route; more would not be tried within any client's patience.
const CANDIDATES_MAX: usize = 16;

/// Messages of a composed prompt.
const MESSAGES_MAX: usize = 32;

/// Parts of a composed message.
const PARTS_MAX: usize = 64;

/// Members of a request body, in any protocol, that a patch may not touch: the model, what is said, and how the answer
/// comes back. The host decides these, and a patch would undo what it decided.
const PATCH_FORBIDDEN: [&str; 9] = [
    "model",
    "messages",
    "input",
    "prompt",
    "system",
    "instructions",
    "stream",
    "stream_options",
    "previous_response_id",
];

/// Members of a part that say what it is: a skill says that with `content`, and could smuggle media in with these.
const FIELDS_FORBIDDEN: [&str; 8] =
    ["type", "text", "image_url", "input_audio", "video_url", "file", "file_url", "source"];

/// Checks a request hook's answer for a turn that has so many media.
pub(super) fn check(verdict: request_hook::Verdict, media: usize) -> Result<Verdict, VerdictError> {
    Ok(match verdict {
        request_hook::Verdict::Pass => Verdict::Pass,
        request_hook::Verdict::Amend(patch) => {
            check_patch("the patch", &patch)?;
            Verdict::Amend(patch)
        }
        request_hook::Verdict::Route(route) => Verdict::Decide(Decision::Route(check_route(route, media)?)),
        request_hook::Verdict::Reply(text) => {
            check_reply(&text)?;
            Verdict::Decide(Decision::Reply(text))
        }
        request_hook::Verdict::Refuse(refusal) => Verdict::Decide(Decision::Refuse(check_refusal(refusal)?)),
    })
}

/// Checks a tool hook's answer, in a turn that has so many media.
pub(super) fn check_tool(
    verdict: tool_hook::ToolVerdict,
    media: usize,
) -> Result<ToolDecision, VerdictError> {
    Ok(match verdict {
        tool_hook::ToolVerdict::Pass => ToolDecision::Pass,
        tool_hook::ToolVerdict::Wait => ToolDecision::Wait,
        tool_hook::ToolVerdict::Reroute(route) => ToolDecision::Reroute(check_reroute(route, media)?),
        tool_hook::ToolVerdict::Rewrite(arguments) => {
            check_object("the rewrite", &arguments, ARGUMENTS_BYTES_MAX, &[])?;
            ToolDecision::Rewrite(arguments)
        }
        tool_hook::ToolVerdict::Deny(reason) => {
            if reason.trim().is_empty() {
                return Err(VerdictError::Empty("the denial"));
            }
            check_text("the denial", &reason, MESSAGE_BYTES_MAX)?;
            ToolDecision::Deny(reason)
        }
    })
}

/// Checks a text that is answered in the assistant's place.
pub(super) fn check_reply(text: &str) -> Result<(), VerdictError> {
    check_text("the reply", text, TEXT_BYTES_MAX)
}

fn check_refusal(refusal: types::Refusal) -> Result<Refusal, VerdictError> {
    let types::Refusal { status, message } = refusal;
    if !(400..=599).contains(&status) {
        return Err(VerdictError::Status(status));
    }
    check_text("the refusal", &message, MESSAGE_BYTES_MAX)?;
    Ok(Refusal { status, message })
}

fn check_route(route: types::Route, media: usize) -> Result<Route, VerdictError> {
    check_count("candidates", route.candidates.len(), CANDIDATES_MAX)?;
    check_line("the reason", &route.reason, REASON_BYTES_MAX)?;
    if let Some(tag) = &route.tag {
        check_line("the tag", tag, TAG_BYTES_MAX)?;
    }
    let candidates = route.candidates.into_iter().map(|it| check_candidate(it, media));
    Ok(Route {
        candidates: candidates.collect::<Result<_, _>>()?,
        swap: match route.swap {
            types::Swap::Never => Swap::Never,
            types::Swap::IfIdle => Swap::IfIdle,
            types::Swap::Wait => Swap::Wait,
        },
        hold: match route.hold {
            types::Hold::Turn => Hold::Turn,
            types::Hold::Session => Hold::Session,
        },
        afterwards: match route.afterwards {
            types::Afterwards::Restore => Afterwards::Restore,
            types::Afterwards::Keep => Afterwards::Keep,
        },
        tag: route.tag,
        reason: route.reason,
    })
}

fn check_reroute(route: types::Route, media: usize) -> Result<Reroute, VerdictError> {
    let fixed = route.extra.iter().find(|(name, _)| name == FIXED_ARGUMENTS).map(|(_, json)| json.clone());
    if let Some(fixed) = &fixed {
        check_object("`fixed-arguments`", fixed, FIELDS_BYTES_MAX, &[])?;
    }
    Ok(Reroute { route: check_route(route, media)?, fixed })
}

fn check_candidate(candidate: types::Candidate, media: usize) -> Result<Candidate, VerdictError> {
    let types::Candidate { model, context_length, prompt, patch, extra: _ } = candidate;
    if model.trim().is_empty() {
        return Err(VerdictError::Empty("a candidate's model"));
    }
    check_line("a candidate's model", &model, MODEL_BYTES_MAX)?;
    if let Some(context) = context_length.filter(|tokens| *tokens == 0 || *tokens > INTEGER_MAX) {
        return Err(VerdictError::Context(context));
    }
    if let Some(patch) = &patch {
        check_patch("a candidate's patch", patch)?;
    }
    let prompt = prompt.map(|prompt| check_prompt(prompt, media)).transpose()?;
    Ok(Candidate { model, context_length, prompt, patch })
}

fn check_prompt(prompt: types::Prompt, media: usize) -> Result<Prompt, VerdictError> {
    check_count("messages in a prompt", prompt.messages.len(), MESSAGES_MAX)?;
    let messages = prompt.messages.into_iter().map(|it| check_message(it, media));
    Ok(Prompt { messages: messages.collect::<Result<_, _>>()?, keep_tools: prompt.keep_tools })
}

fn check_message(message: types::ComposedMessage, media: usize) -> Result<Message, VerdictError> {
    let role = match message.role.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => return Err(VerdictError::Role(super::text::shown(other))),
    };
    check_count("parts in a message", message.parts.len(), PARTS_MAX)?;
    let parts = message.parts.into_iter().map(|it| check_part(it, media));
    Ok(Message { role, parts: parts.collect::<Result<_, _>>()? })
}

fn check_part(part: types::ComposedPart, media: usize) -> Result<Part, VerdictError> {
    let content = match part.content {
        types::Part::Text(text) => {
            check_text("a prompt's text", &text, TEXT_BYTES_MAX)?;
            Content::Text(text)
        }
        types::Part::UserText => Content::UserText,
        types::Part::LastAnswer => Content::LastAnswer,
        types::Part::Media(index) => match usize::try_from(index) {
            Ok(place) if place < media => Content::Media(place),
            _ => return Err(VerdictError::Media { index, count: media }),
        },
    };
    if let Some(fields) = &part.fields {
        check_object("a part's fields", fields, FIELDS_BYTES_MAX, &FIELDS_FORBIDDEN)?;
    }
    Ok(Part { content, fields: part.fields })
}

fn check_patch(what: &'static str, patch: &str) -> Result<(), VerdictError> {
    check_object(what, patch, PATCH_BYTES_MAX, &PATCH_FORBIDDEN)
}

fn check_object(
    what: &'static str,
    json: &str,
    bytes_max: usize,
    forbidden: &[&str],
) -> Result<(), VerdictError> {
    check_length(what, json, bytes_max)?;
    let object: Map<String, Value> = serde_json::from_str(json)
        .map_err(|error| VerdictError::NotAnObject { what, reason: error.to_string() })?;
    match object.keys().find(|key| forbidden.contains(&key.as_str())) {
        Some(key) => Err(VerdictError::Forbidden { what, key: key.clone() }),
        None => Ok(()),
    }
}

/// Text of several lines.
fn check_text(what: &'static str, text: &str, bytes_max: usize) -> Result<(), VerdictError> {
    check_length(what, text, bytes_max)?;
    match text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        true => Err(VerdictError::Control(what)),
        false => Ok(()),
    }
}

/// Text of one line, shown to people.
fn check_line(what: &'static str, text: &str, bytes_max: usize) -> Result<(), VerdictError> {
    check_length(what, text, bytes_max)?;
    if text.contains(is_unsafe) { Err(VerdictError::Control(what)) } else { Ok(()) }
}

fn check_length(what: &'static str, text: &str, bytes_max: usize) -> Result<(), VerdictError> {
    let bytes = text.len();
    if bytes > bytes_max { Err(VerdictError::Long { what, bytes, bytes_max }) } else { Ok(()) }
}

fn check_count(what: &'static str, count: usize, count_max: usize) -> Result<(), VerdictError> {
    if (1..=count_max).contains(&count) {
        Ok(())
    } else {
        Err(VerdictError::Count { what, count, count_max })
    }
}

#[cfg(test)]
mod tests;
