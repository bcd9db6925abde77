//! What a specialist is sent in place of the conversation, as a skill composed it: pieces that name the user's text and
//! media instead of carrying them. The wire room writes it in the client's protocol.

/// A whole prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// In order; a specialist's template may take only one.
    pub messages: Vec<Message>,
    /// Offer the client's tools to this model too.
    pub keep_tools: bool,
}

/// One message of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub parts: Vec<Part>,
}

/// Who speaks in a composed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One piece of a composed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where the piece comes from.
    pub content: Content,
    /// A JSON object, checked to be one, merged into the part on the wire, for templates that want more fields.
    pub fields: Option<String>,
}

/// Where a piece of a prompt comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The skill's own words.
    Text(String),
    /// All that the user wrote in this turn, in full.
    UserText,
    /// The assistant's last message, in full; empty where there is none.
    LastAnswer,
    /// The nth of the turn's media, checked to be there.
    Media(usize),
}

// === impl Role ===

impl Role {
    /// The word for it in every protocol we speak.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}
