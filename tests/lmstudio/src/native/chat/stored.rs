//! Answers that a later chat may go on from: the conversation up to each.
//!
//! At most [`STORED_MAX`] of them; the oldest go first. The real program keeps them for 30 days, on disk.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::chat::scrambled;

/// Answers that are remembered.
const STORED_MAX: usize = 1000;

/// Conversations by the ids of the answers that end them.
#[derive(Debug, Default)]
pub(crate) struct Stored(VecDeque<(String, Vec<Arc<Said>>)>);

/// One message of a conversation.
#[derive(Debug)]
pub(crate) struct Said {
    pub(super) role: &'static str,
    pub(super) text: String,
    /// Their data URLs.
    pub(super) images: Vec<String>,
}

// === impl Stored ===

impl Stored {
    /// The conversation that an answer ended.
    pub(super) fn get(&self, id: &str) -> Option<Vec<Arc<Said>>> {
        self.0.iter().find(|(own, _)| own == id).map(|(_, said)| said.clone())
    }

    pub(super) fn push(&mut self, id: String, said: Vec<Arc<Said>>) {
        if self.0.len() >= STORED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((id, said));
    }
}

// === impl Said ===

impl Said {
    pub(super) fn user(text: String, images: Vec<String>) -> Self {
        Self { role: "user", text, images }
    }

    pub(super) fn assistant(text: String) -> Self {
        Self { role: "assistant", text, images: Vec::new() }
    }

    /// As a message of a chat request.
    pub(super) fn json(&self) -> Value {
        if self.images.is_empty() {
            return json!({ "role": self.role, "content": self.text });
        }
        let text = json!({ "type": "text", "text": self.text });
        let images =
            self.images.iter().map(|url| json!({ "type": "image_url", "image_url": { "url": url } }));
        json!({ "role": self.role, "content": std::iter::once(text).chain(images).collect::<Vec<_>>() })
    }
}

/// `resp_` and 48 hexadecimal digits, others for every number.
pub(super) fn id(number: u64) -> String {
    let first = scrambled(number);
    let second = scrambled(first);
    format!("resp_{first:016x}{second:016x}{:016x}", scrambled(second))
}
