//! What a model makes of a conversation before it answers: how many tokens it is, whether its template can render it,
//! whether it may see the images, and what the user really said.
//!
//! Tokens are an estimate, the same for everyone: bytes of text / 4 (texts of all messages, tool calls and tools), and
//! 256 for each image.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::request::{Message, Request};
use crate::config::{Model, Template};

/// Bytes of text that count as one token.
const BYTES_PER_TOKEN: usize = 4;

/// Tokens an image counts as.
const TOKENS_PER_IMAGE: usize = 256;

/// Hexadecimal digits of an image's hash that an answer tells.
const DIGEST_BYTES: usize = 4;

/// Why a conversation cannot be put to a model. The words are the program's, where they are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PromptError {
    #[error("Model does not support images. Please use a model that does.")]
    NoVision,
    #[error("Invalid url: 'url' field must be a base64 encoded image.")]
    ImageNotInline,
    #[error("Error rendering prompt with jinja template: \"{0}\"")]
    Template(&'static str),
}

/// What the strict template says of a user message it cannot take.
const ONE_PART: &str = "User role must provide `content` as an iterable with exactly one item. That item must be a \
    `mapping(type:'text' | 'image', source_lang_code:string, target_lang_code:string, text:string | none, \
    image:string | none)`.";

const NO_SUCH_ROLE: &str = "Conversation roles must alternate user/assistant/user/assistant/...";

/// Marks of texts that programs put into user messages: beginning and end.
const BOILERPLATE: &[(&str, &str)] = &[
    ("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>", "<<<END_OPENCLAW_INTERNAL_CONTEXT>>>"),
    ("<system-reminder>", "</system-reminder>"),
    ("<environment_context>", "</environment_context>"),
];

/// An estimate of the prompt's tokens.
pub(crate) fn tokens(request: &Request<'_>) -> usize {
    let texts: usize = request.messages().iter().flat_map(Message::texts).map(str::len).sum();
    let calls: usize =
        request.messages().iter().filter_map(|it| it.tool_calls).map(|it| it.get().len()).sum();
    let tools: usize = request.tools.iter().flatten().map(|tool| tool.get().len()).sum();
    (texts + calls + tools) / BYTES_PER_TOKEN + request.images().count() * TOKENS_PER_IMAGE
}

/// The model can be asked this.
pub(crate) fn check(request: &Request<'_>, model: &Model) -> Result<(), PromptError> {
    if !model.vision && request.images().next().is_some() {
        return Err(PromptError::NoVision);
    }
    if request.images().any(|url| decode(url).is_none()) {
        return Err(PromptError::ImageNotInline);
    }
    match model.template {
        Template::Ordinary => Ok(()),
        Template::TranslategemmaStrict => strict(request).map_err(PromptError::Template),
    }
}

fn strict(request: &Request<'_>) -> Result<(), &'static str> {
    // Tools are put before the conversation as a system message, which this template does not know.
    if request.tools.as_ref().is_some_and(|tools| !tools.is_empty()) {
        return Err(NO_SUCH_ROLE);
    }
    for (index, message) in request.messages().iter().enumerate() {
        let expected = if index % 2 == 0 { "user" } else { "assistant" };
        if message.role != expected {
            return Err(NO_SUCH_ROLE);
        }
        if expected == "user" && !is_one_strict_part(message) {
            return Err(ONE_PART);
        }
    }
    Ok(())
}

fn is_one_strict_part(message: &Message<'_>) -> bool {
    let [part] = message.parts() else {
        return false;
    };
    let coded = |code: &Option<std::borrow::Cow<'_, str>>| code.as_ref().is_some_and(|code| !code.is_empty());
    let filled = match part.kind.as_ref() {
        "text" => part.text.is_some(),
        "image" | "image_url" => part.image().is_some(),
        _ => false,
    };
    filled && coded(&part.source_lang_code) && coded(&part.target_lang_code)
}

/// The first digits of the hash of an image's bytes; none where it is not given as base64.
pub(super) fn digest(url: &str) -> Option<String> {
    let hash = Sha256::digest(decode(url)?);
    Some(hash.iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect())
}

/// What a PNG says of itself in its `Description` (the PNG specification's textual chunk); none where it says nothing.
/// Nobody here can read pictures, so this stands in for what a model would see.
pub(super) fn description(url: &str) -> Option<String> {
    const CHUNK: &[u8] = b"tEXtDescription\0";
    let file = decode(url)?;
    let at = file.windows(CHUNK.len()).position(|bytes| bytes == CHUNK)?;
    let length = file.get(at.checked_sub(4)?..at)?.try_into().ok().map(u32::from_be_bytes)?;
    // The chunk's length counts its keyword, too, but not its name.
    let text = file.get(at + CHUNK.len()..at + 4 + usize::try_from(length).ok()?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn decode(url: &str) -> Option<Vec<u8>> {
    let encoded = match url.strip_prefix("data:") {
        Some(rest) => rest.split_once(";base64,")?.1,
        None => url,
    };
    STANDARD.decode(encoded.trim()).ok().filter(|bytes| !bytes.is_empty())
}

/// The last message in which the user, not a program, said or showed something, with its place.
pub(super) fn last_user_message<'a, 'r>(request: &'r Request<'a>) -> Option<(usize, &'r Message<'a>)> {
    let mut messages = request.messages().iter().enumerate().rev();
    messages.find(|(_, it)| it.role == "user" && (it.images().next().is_some() || !own_words(it).is_empty()))
}

/// What the user wrote in a message, without what programs put there.
pub(crate) fn own_words(message: &Message<'_>) -> String {
    let parts: Vec<String> =
        message.texts().map(without_boilerplate).filter(|text| !text.is_empty()).collect();
    parts.join("\n")
}

fn without_boilerplate(text: &str) -> String {
    let mut text = text.to_owned();
    for (begin, end) in BOILERPLATE {
        while let Some((before, rest)) = text.split_once(begin) {
            let after = rest.split_once(end).map_or("", |(_, after)| after);
            text = format!("{before}{after}");
        }
    }
    let without_runtime = text.split_once("\n\nRuntime: ").map_or(text.as_str(), |(before, _)| before);
    without_date(without_runtime.trim()).to_owned()
}

/// Without a leading `[Fri 2026-11-20 04:43 UTC] `.
fn without_date(text: &str) -> &str {
    let Some((date, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else {
        return text;
    };
    let day = date.split(' ').next().unwrap_or_default();
    if ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&day) { rest } else { text }
}
