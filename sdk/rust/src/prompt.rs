//! Prompts for specialists, written message by message and part by part.
//!
//! A prompt names the user's text and media instead of carrying them, so nothing here is large.

use crate::{ComposedMessage, ComposedPart, Part, Prompt};

impl Prompt {
    /// A prompt that begins with a user message.
    pub fn user() -> Self {
        Self::empty().then("user")
    }

    /// A prompt that begins with a system message.
    pub fn system() -> Self {
        Self::empty().then("system")
    }

    /// Begins the next message: `system`, `user` or `assistant`.
    pub fn then(mut self, role: &str) -> Self {
        self.messages.push(ComposedMessage { role: role.to_owned(), parts: Vec::new() });
        self
    }

    /// Adds words of the skill's own to the last message.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.part(Part::Text(text.into()))
    }

    /// Adds all that the user wrote in this turn, verbatim and in full.
    pub fn user_text(self) -> Self {
        self.part(Part::UserText)
    }

    /// Adds the assistant's last message, verbatim and in full.
    pub fn last_answer(self) -> Self {
        self.part(Part::LastAnswer)
    }

    /// Adds the nth of the turn's media.
    pub fn media(self, index: u32) -> Self {
        self.part(Part::Media(index))
    }

    /// Adds a part to the last message.
    pub fn part(mut self, content: Part) -> Self {
        if let Some(message) = self.messages.last_mut() {
            message.parts.push(ComposedPart { content, fields: None, extra: Vec::new() });
        }
        self
    }

    /// Gives the last part one more field on the wire, for templates that want it.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        if let Some(part) = self.messages.last_mut().and_then(|message| message.parts.last_mut()) {
            part.fields = Some(with_field(part.fields.as_deref(), name, value));
        }
        self
    }

    /// Offers the client's tools to this model too.
    pub fn keep_tools(mut self) -> Self {
        self.keep_tools = true;
        self
    }

    fn empty() -> Self {
        Self { messages: Vec::new(), keep_tools: false, extra: Vec::new() }
    }
}

/// The JSON object with one more member. A value that is no object cannot come from here and is replaced.
fn with_field(fields: Option<&str>, name: &str, value: &str) -> String {
    let mut object: serde_json::Map<String, serde_json::Value> =
        fields.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    object.insert(name.to_owned(), serde_json::Value::String(value.to_owned()));
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_belong_to_the_part_before_them() {
        let prompt = Prompt::user()
            .text("hi")
            .media(0)
            .field("source_lang_code", "de")
            .field("target_lang_code", "en");
        let parts = &prompt.messages[0].parts;
        assert_eq!(parts[0].fields, None);
        assert_eq!(parts[1].fields.as_deref(), Some(r#"{"source_lang_code":"de","target_lang_code":"en"}"#));
    }
}
