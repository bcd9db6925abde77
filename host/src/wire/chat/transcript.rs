//! A request's conversation message by message, for the few who read more of it than the last span. Parsed when asked for.

use std::ops::Range;

use serde::Deserialize;

use super::{Request, Role};
use crate::turn::MediaKind;
use crate::wire::edit::{self, Edit};

/// What one message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// `system`, `user`, `assistant`, `tool`.
    pub role: &'static str,
    /// Its texts, a line each.
    pub text: String,
    /// Kinds of its parts that are not text, in order.
    pub media: Vec<MediaKind>,
    /// Names of the tools that it calls; of a tool's result, the tool's name where it says so.
    pub tools: Vec<String>,
}

/// What is read of a message for its tools.
#[derive(Deserialize)]
struct Calls {
    #[serde(default)]
    tool_calls: Vec<Call>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    function: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

/// What stands in the place of a medium.
const REMOVED: &[u8] = br#"{"type":"text","text":"[media removed]"}"#;

// === impl Request ===

impl Request {
    /// At most so many messages, from this one on.
    pub fn said(&self, offset: usize, limit: usize) -> impl Iterator<Item = Said> {
        self.messages.iter().enumerate().skip(offset).take(limit).map(|(index, message)| {
            let mut text = String::new();
            self.append_text(message, &mut text, |piece| piece);
            let media = self.media.iter().filter(|part| part.message == index).map(|part| part.kind);
            let tools = self.tools_of(message.role, &message.whole);
            Said { role: message.role.as_str(), text, media: media.collect(), tools }
        })
    }

    /// The body with a line of text in the place of every medium; none where it is no text, which it always is.
    pub fn without_media(&self) -> Option<String> {
        let removed = |range: &Range<usize>| Edit { range: range.clone(), with: REMOVED.into() };
        let edits = self.media.iter().map(|part| removed(&part.range)).collect();
        String::from_utf8(edit::apply(&self.raw, edits).concat()).ok()
    }

    fn tools_of(&self, role: Role, message: &Range<usize>) -> Vec<String> {
        if !matches!(role, Role::Assistant | Role::Tool) {
            return Vec::new();
        }
        // A message of another shape calls nothing that could be named.
        let Ok(calls) = serde_json::from_slice::<Calls>(self.bytes(message)) else { return Vec::new() };
        let called = calls.tool_calls.into_iter().filter_map(|call| call.function?.name);
        called.chain(calls.name.filter(|_| role == Role::Tool)).collect()
    }
}

// === impl Role ===

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_one_by_one() {
        let body = r#"{"model":"m","messages":[
            {"role":"developer","content":"Be brief."},
            {"role":"user","content":[{"type":"text","text":"Look:"},{"type":"image_url","image_url":{"url":"data:x"}},
                {"type":"text","text":"what is it?"}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",
                "function":{"name":"look_up","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"1","name":"look_up","content":"A cat."}]}"#;
        let request = Request::read(body.into()).unwrap();
        let said: Vec<Said> = request.said(0, 10).collect();
        let roles: Vec<_> = said.iter().map(|it| (it.role, it.text.as_str())).collect();
        assert_eq!(
            roles,
            [("system", "Be brief."), ("user", "Look:\nwhat is it?"), ("assistant", ""), ("tool", "A cat.")]
        );
        assert_eq!(said[1].media, [MediaKind::Image]);
        assert_eq!(
            (&said[2].tools, &said[3].tools),
            (&vec!["look_up".to_owned()], &vec!["look_up".to_owned()])
        );
        assert_eq!(request.said(3, 10).count(), 1);
        let bare = request.without_media().unwrap();
        assert!(
            !bare.contains("data:x") && serde_json::from_str::<serde_json::Value>(&bare).is_ok(),
            "{bare}"
        );
    }
}
