//! OpenAI chat completions, the request: one structural pass over the body finds what routing acts on and remembers where
//! it stands; everything else stays bytes. Only the text of the last span is ever unescaped.
//!
//! Sources: the OpenAI API reference for the shapes, and what OpenClaw, Claude Code, opencode and the SDKs were seen to
//! send (synthetic user messages after tool results, text in parts, boilerplate around the user's words).

mod transcript;

use std::ops::Range;

use bytes::Bytes;

use super::json::{self, Malformed, Scanner, Shape};
use crate::turn::{MediaKind, boilerplate};

pub use transcript::Said;

/// A chat request: its bytes, and an index into them.
#[derive(Debug, Clone)]
pub struct Request {
    raw: Bytes,
    /// Every value of the top-level key `model`, quotes included.
    models: Vec<Range<usize>>,
    /// Offset just after the body's opening brace, and whether a key follows there.
    opening: Opening,
    /// The model the client named; the last one counts. Empty where none is named.
    pub model: String,
    /// The client asked for a stream.
    pub stream: bool,
    /// `max_completion_tokens`, else `max_tokens`.
    pub max_output_tokens: Option<u32>,
    /// `prompt_cache_key`, which some clients fill with their session.
    pub cache_key: Option<String>,
    /// `metadata.user_id`.
    pub user_id: Option<String>,
    /// Names of the tools on offer.
    pub tools: Vec<String>,
    messages: Vec<Message>,
    media: Vec<MediaPart>,
    tools_bytes: usize,
    /// Index of the first message after the last assistant message.
    span: usize,
    /// Index of the first message of the turn: before the assistant messages of its tool loop.
    turn: usize,
    /// What the user wrote in that span, boilerplate removed, in full.
    pub user_text: String,
}

#[derive(Debug, Clone, Copy)]
struct Opening {
    at: usize,
    empty: bool,
}

#[derive(Debug, Clone)]
struct Message {
    role: Role,
    whole: Range<usize>,
    content: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    System,
    User,
    Assistant,
    Tool,
}

/// A part of a message that is not text.
#[derive(Debug, Clone)]
pub struct MediaPart {
    message: usize,
    /// Where the whole part stands, braces included.
    pub range: Range<usize>,
    /// What it is.
    pub kind: MediaKind,
}

/// Why a body is no chat request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not an object.
    #[error("the request body is {0}")]
    Malformed(#[from] Malformed),
    /// JSON is UTF-8.
    #[error("the request body is not valid UTF-8")]
    NotUtf8,
    /// A chat request without messages.
    #[error("the request body has no `messages` array")]
    NoMessages,
    /// Names end up in headers, records and lists.
    #[error("the name in `model` is longer than {MODEL_BYTES_MAX} bytes")]
    ModelTooLong,
}

/// Bytes of the name in `model`. Paths of model files, the longest names in use, stay below this.
pub const MODEL_BYTES_MAX: usize = 256;

/// Tokens that a picture is taken to cost (what Gemma 3 spends on one; other models are near it).
const IMAGE_TOKENS: usize = 256;

// === impl Request ===

impl Request {
    /// Reads a body.
    pub fn read(raw: Bytes) -> Result<Self, ReadError> {
        simdutf8::basic::from_utf8(&raw).map_err(|_| ReadError::NotUtf8)?;
        let mut request = Self::empty(raw.clone());
        let mut has_messages = false;
        let mut scan = Scanner::new(&raw);
        scan.object(|scan, key| {
            if request.opening.empty {
                request.opening = Opening { at: request.opening.at, empty: false };
            }
            has_messages |= json::key_is(key, "messages") && scan.shape()? == Shape::Array;
            request.key(scan, key)
        })?;
        scan.end()?;
        if !has_messages {
            return Err(ReadError::NoMessages);
        }
        if request.model.len() > MODEL_BYTES_MAX {
            return Err(ReadError::ModelTooLong);
        }
        request.index_span();
        Ok(request)
    }

    fn empty(raw: Bytes) -> Self {
        let at = raw.iter().position(|&byte| byte == b'{').map_or(0, |brace| brace + 1);
        Self {
            raw,
            models: Vec::with_capacity(1),
            opening: Opening { at, empty: true },
            model: String::new(),
            stream: false,
            max_output_tokens: None,
            cache_key: None,
            user_id: None,
            tools: Vec::new(),
            messages: Vec::with_capacity(16),
            media: Vec::new(),
            tools_bytes: 0,
            span: 0,
            turn: 0,
            user_text: String::new(),
        }
    }

    /// Takes in one top-level key's value.
    fn key(&mut self, scan: &mut Scanner<'_>, key: &[u8]) -> Result<(), Malformed> {
        if json::key_is(key, "messages") && scan.shape()? == Shape::Array {
            self.messages.clear();
            self.media.clear();
            return scan.array(|scan| self.message(scan));
        }
        if json::key_is(key, "tools") && scan.shape()? == Shape::Array {
            let start = scan.at();
            self.tools.clear();
            scan.array(|scan| self.tool(scan))?;
            self.tools_bytes = scan.at() - start;
            return Ok(());
        }
        if json::key_is(key, "metadata") && scan.shape()? == Shape::Object {
            return scan.object(|scan, key| {
                let value = scan.value()?;
                if json::key_is(key, "user_id") {
                    self.user_id = json::text(self.bytes(&value));
                }
                Ok(())
            });
        }
        let value = scan.value()?;
        if json::key_is(key, "model") {
            self.model = json::text(self.bytes(&value)).unwrap_or_default();
            self.models.push(value);
        } else if json::key_is(key, "stream") {
            self.stream = self.bytes(&value) == b"true";
        } else if json::key_is(key, "max_completion_tokens") {
            self.max_output_tokens = self.number(&value).or(self.max_output_tokens);
        } else if json::key_is(key, "max_tokens") {
            self.max_output_tokens = self.max_output_tokens.or(self.number(&value));
        } else if json::key_is(key, "prompt_cache_key") {
            self.cache_key = json::text(self.bytes(&value));
        }
        Ok(())
    }

    fn message(&mut self, scan: &mut Scanner<'_>) -> Result<(), Malformed> {
        if scan.shape()? != Shape::Object {
            return scan.value().map(|_| ());
        }
        let start = scan.at();
        let mut message = Message { role: Role::User, whole: 0..0, content: 0..0 };
        let index = self.messages.len();
        scan.object(|scan, key| {
            if json::key_is(key, "content") && scan.shape()? == Shape::Array {
                let start = scan.at();
                scan.array(|scan| self.part(scan, index))?;
                message.content = start..scan.at();
                return Ok(());
            }
            let value = scan.value()?;
            if json::key_is(key, "role") {
                message.role = Role::read(self.bytes(&value));
            } else if json::key_is(key, "content") {
                message.content = value;
            }
            Ok(())
        })?;
        message.whole = start..scan.at();
        self.messages.push(message);
        Ok(())
    }

    /// Notes a part of a message's content if it is not text.
    fn part(&mut self, scan: &mut Scanner<'_>, message: usize) -> Result<(), Malformed> {
        if scan.shape()? != Shape::Object {
            return scan.value().map(|_| ());
        }
        let start = scan.at();
        let mut kind = None;
        scan.object(|scan, key| {
            let value = scan.value()?;
            if json::key_is(key, "type") {
                kind = media_kind(self.bytes(&value));
            }
            Ok(())
        })?;
        if let Some(kind) = kind {
            self.media.push(MediaPart { message, range: start..scan.at(), kind });
        }
        Ok(())
    }

    /// Notes a tool's name, of the nested shape or of the flat one.
    fn tool(&mut self, scan: &mut Scanner<'_>) -> Result<(), Malformed> {
        let mut name = None;
        scan.any_object(|scan, key| {
            if json::key_is(key, "function") && scan.shape()? == Shape::Object {
                return scan.object(|scan, key| {
                    let value = scan.value()?;
                    if json::key_is(key, "name") {
                        name = json::text(self.bytes(&value));
                    }
                    Ok(())
                });
            }
            let value = scan.value()?;
            if json::key_is(key, "name") {
                name = json::text(self.bytes(&value));
            }
            Ok(())
        })?;
        self.tools.extend(name);
        Ok(())
    }

    /// Finds the span since the last assistant message and the user's words in it.
    fn index_span(&mut self) {
        let last_answer = self.messages.iter().rposition(|message| message.role == Role::Assistant);
        self.span = last_answer.map_or(0, |index| index + 1);
        self.turn = self.turn_start();
        let mut text = String::new();
        for message in self.messages.iter().skip(self.span).filter(|message| message.role == Role::User) {
            self.append_text(message, &mut text, boilerplate_free);
        }
        self.user_text = text;
    }

    /// Walks back over the spans between assistant messages to the one with the user's messages. A span with tool results
    /// is in the middle of a turn whatever else is in it: clients put messages of their own behind them as a user's.
    fn turn_start(&self) -> usize {
        let mut end = self.messages.len();
        loop {
            let before = self.messages.get(..end).unwrap_or_default();
            let last_answer = before.iter().rposition(|message| message.role == Role::Assistant);
            let start = last_answer.map_or(0, |index| index + 1);
            let span = before.get(start..).unwrap_or_default();
            let has = |role| span.iter().any(|message| message.role == role);
            match last_answer {
                Some(index) if has(Role::Tool) || !has(Role::User) => end = index,
                _ => return start,
            }
        }
    }

    /// Appends a message's text parts, each on lines of its own, as `clean` leaves them.
    fn append_text(&self, message: &Message, text: &mut String, clean: fn(String) -> String) {
        for piece in self.texts(message).into_iter().map(clean).filter(|piece| !piece.is_empty()) {
            text.push_str(if text.is_empty() { "" } else { "\n" });
            text.push_str(&piece);
        }
    }

    /// A message's texts: its content, or those of its content's parts.
    fn texts(&self, message: &Message) -> Vec<String> {
        let content = self.bytes(&message.content);
        match content.first() {
            Some(b'"') => json::text(content).into_iter().collect(),
            Some(b'[') => self.text_parts(&message.content),
            _ => Vec::new(),
        }
    }

    /// The texts of a content array.
    fn text_parts(&self, content: &Range<usize>) -> Vec<String> {
        let mut texts = Vec::new();
        let mut scan = Scanner::within(&self.raw, content);
        let walked = scan.array(|scan| {
            scan.any_object(|scan, key| {
                let is_text = json::key_is(key, "text") && scan.shape()? == Shape::String;
                let value = scan.value()?;
                texts.extend(is_text.then(|| json::text(self.bytes(&value))).flatten());
                Ok(())
            })
        });
        debug_assert!(walked.is_ok(), "the first pass went through here");
        texts
    }

    /// The bytes as they came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Bytes of a range that this request's index named.
    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.raw.get(range.clone()).unwrap_or_default()
    }

    /// Where values of the key `model` stand.
    pub fn model_values(&self) -> &[Range<usize>] {
        &self.models
    }

    /// Offset at which a key can be inserted, and whether another key follows it.
    pub fn insertion(&self) -> (usize, bool) {
        (self.opening.at, !self.opening.empty)
    }

    /// Messages in the conversation.
    pub fn message_count(&self) -> usize {
        self.messages.len()
    }

    /// The span since the last assistant message carries tool results: the request continues its turn.
    pub fn continues_turn(&self) -> bool {
        self.messages.iter().skip(self.span).any(|message| message.role == Role::Tool)
    }

    /// Media of this turn, in order; where the last message is the assistant's, those after it, which are none.
    pub fn turn_media(&self) -> impl Iterator<Item = &MediaPart> {
        let start = if self.continues_turn() { self.turn } else { self.span };
        self.media.iter().filter(move |part| part.message >= start)
    }

    /// All media of the conversation.
    pub fn media(&self) -> impl Iterator<Item = &MediaPart> {
        self.media.iter()
    }

    /// It stands in an earlier turn.
    pub fn is_earlier(&self, part: &MediaPart) -> bool {
        part.message < self.turn
    }

    /// Kinds of media anywhere in the conversation, each once.
    pub fn media_kinds(&self) -> Vec<MediaKind> {
        let mut kinds: Vec<_> = self.media.iter().map(|part| part.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The text of the assistant's last message, in full; empty where there is none.
    pub fn last_answer(&self) -> String {
        let mut text = String::new();
        if let Some(message) = self.span.checked_sub(1).and_then(|index| self.messages.get(index)) {
            self.append_text(message, &mut text, |piece| piece);
        }
        text
    }

    /// The raw text of the first user message, still escaped: for session keys, which need no more than its identity.
    pub fn first_user_text(&self) -> &str {
        let content = self.first_user_message().map(|message| self.bytes(&message.content));
        std::str::from_utf8(content.unwrap_or_default()).unwrap_or_default()
    }

    /// The first text of the first user message; none where it has none.
    pub fn first_user_words(&self) -> Option<String> {
        self.texts(self.first_user_message()?).into_iter().next()
    }

    fn first_user_message(&self) -> Option<&Message> {
        self.messages.iter().find(|message| message.role == Role::User)
    }

    /// A rough count of the prompt's tokens: bytes of messages and tools / 4, and 256 for each image. Messages count as a
    /// whole, since calls' arguments and reasoning are part of the prompt, too.
    pub fn estimated_tokens(&self) -> u32 {
        let messages: usize = self.messages.iter().map(|message| message.whole.len()).sum();
        let media: usize = self.media.iter().map(|part| part.range.len()).sum();
        let text = messages.saturating_sub(media) + self.tools_bytes;
        u32::try_from(text / 4 + self.media.len() * IMAGE_TOKENS).unwrap_or(u32::MAX)
    }

    fn number(&self, value: &Range<usize>) -> Option<u32> {
        std::str::from_utf8(self.bytes(value)).ok()?.parse().ok()
    }
}

fn boilerplate_free(text: String) -> String {
    match boilerplate::strip(&text) {
        std::borrow::Cow::Borrowed(kept) if kept.len() == text.len() => text,
        kept => kept.into_owned(),
    }
}

// === impl Role ===

impl Role {
    /// `developer` is a system message; a role nobody knows is taken for a user's.
    fn read(raw: &[u8]) -> Self {
        match raw {
            br#""assistant""# => Self::Assistant,
            br#""system""# | br#""developer""# => Self::System,
            br#""tool""# | br#""function""# => Self::Tool,
            _ => Self::User,
        }
    }
}

/// The kind of a content part that is not text, from its raw `type`.
fn media_kind(raw: &[u8]) -> Option<MediaKind> {
    match raw {
        br#""image_url""# | br#""image""# | br#""input_image""# => Some(MediaKind::Image),
        br#""input_audio""# | br#""audio_url""# | br#""audio""# => Some(MediaKind::Audio),
        br#""video_url""# | br#""video""# => Some(MediaKind::Video),
        br#""file""# | br#""input_file""# | br#""document""# => Some(MediaKind::Document),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
