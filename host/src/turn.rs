//! What a request means, apart from the protocol it came in: one user turn, as every skill sees it, and what skills
//! answer to it.
//!
//! Nothing in this room is serialisable and nothing here knows HTTP, JSON or WebAssembly. The wire room makes a
//! [`Turn`] out of a body; the skill room turns it into the contract's records; both convert by hand.

pub mod boilerplate;
pub mod event;
pub mod prompt;
pub mod verdict;

pub use crate::model::MediaKind;

use crate::id::{RequestId, SessionKey};

/// One request as skills see it. Bounded: the texts are excerpts, so a 60 KB agent request costs a scan of its body
/// and not a copy into every guest.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Unique to this request.
    pub request_id: RequestId,
    /// Stable over the requests of one conversation.
    pub session: SessionKey,
    /// The agent or program, where it names itself.
    pub agent: Option<String>,
    /// The configured name of the client's API key, where keys are in use.
    pub client: Option<String>,
    /// The protocol the client speaks.
    pub protocol: Protocol,
    /// The client asked for a stream.
    pub streaming: bool,
    /// The model the client named; empty where it named none.
    pub requested_model: String,
    /// Where the request goes if every skill passes: a model id, empty where there is no such model.
    pub current_model: String,
    /// A person picked `current_model`.
    pub pinned: bool,
    /// What the user wrote since the last assistant message, boilerplate removed, at most [`USER_TEXT_MAX`] bytes.
    pub user_text: String,
    /// `user_text` is an excerpt: the first and the last half of [`USER_TEXT_MAX`].
    pub user_text_truncated: bool,
    /// The beginning of the assistant's last message, at most [`LAST_ANSWER_MAX`] bytes.
    pub last_answer: String,
    /// The parts of the same span that are not text, in order.
    pub media: Vec<MediaKind>,
    /// Kinds that occur anywhere in the conversation, each once.
    pub history_media: Vec<MediaKind>,
    /// Names of the tools on offer.
    pub tools: Vec<String>,
    /// Messages in the conversation.
    pub message_count: u32,
    /// A rough count of prompt tokens: text bytes / 4, 256 per image.
    pub estimated_tokens: u32,
    /// The client's limit on the answer, in tokens.
    pub max_output_tokens: Option<u32>,
}

/// Bytes of user text that a skill is shown; of more, the first and the last half.
pub const USER_TEXT_MAX: usize = 16 * 1024;

/// Bytes of the assistant's last message that a skill is shown.
pub const LAST_ANSWER_MAX: usize = 2 * 1024;

/// The protocol a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI `/v1/chat/completions`.
    ChatCompletions,
}

/// At most `max` bytes of a text: all of it, or its first and its last half; whether something was left out.
pub fn excerpt(text: &str, max: usize) -> (String, bool) {
    if text.len() <= max {
        return (text.to_owned(), false);
    }
    let (mut head, mut tail) = (max / 2, text.len() - max / 2);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    let (head, tail) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    (format!("{head}{tail}"), true)
}

// === impl Protocol ===

impl Protocol {
    /// The contract's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat-completions",
        }
    }
}
