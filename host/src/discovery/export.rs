//! Cards as clients' own configuration: `Cards + base URL → text`, one file per client, and where in that client's file
//! our entry stands.
//!
//! An entry is all of our provider and nothing else: which model a client uses by default is its user's choice. What is
//! rendered depends on the cards alone, sorted, so that the same models are the same text.

mod openclaw;
mod opencode;
mod plain;

pub(super) use plain::OURS;
use serde_json::{Map, Value, json};

use super::Card;
use crate::model::Kind;

/// What our provider is called in clients: their names for models begin with it, as in `pointsman/auto`.
pub const PROVIDER: &str = "pointsman";

/// The key that clients send where nobody has set another one. They insist on some; a gateway without keys of its own
/// takes any.
const KEY: &str = "local";

/// Seconds a client should wait for an answer: a load may take ten minutes, and a queue stands before it.
const TIMEOUT_SECONDS: u32 = 900;

/// For which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenClaw's `openclaw.json`.
    Openclaw,
    /// opencode's `opencode.json`.
    Opencode,
    /// Our own, with all that is known.
    Json,
}

/// Models and where they are served, for rendering.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    format: Format,
    base_url: String,
    cards: Vec<Card>,
}

// === impl Export ===

impl Export {
    /// These models as this client wants them; `base_url` is where the client finds the OpenAI-compatible API, with
    /// `/v1` at its end.
    pub fn new(format: Format, mut cards: Vec<Card>, base_url: &str) -> Self {
        // The clients chat: what makes vectors is of no use in their lists.
        cards.retain(|card| format == Format::Json || card.kind == Kind::Language);
        // `auto` first, and the others so that a provider's order changes nothing.
        cards.sort_by(|one, other| (one.model.is_some(), &one.id).cmp(&(other.model.is_some(), &other.id)));
        Self { format, base_url: base_url.to_owned(), cards }
    }

    /// For which client.
    pub fn format(&self) -> Format {
        self.format
    }

    /// How many models it names, `auto` among them.
    pub fn models(&self) -> usize {
        self.cards.len()
    }

    /// Our entry, as it stands at the format's path.
    pub fn entry(&self) -> Value {
        match self.format {
            Format::Openclaw => openclaw::provider(&self.cards, &self.base_url),
            Format::Opencode => opencode::provider(&self.cards, &self.base_url),
            Format::Json => plain::document(&self.cards, &self.base_url),
        }
    }

    /// A whole file with our entry in it, for a client that has none yet.
    pub fn text(&self) -> String {
        let nest = |inner: Value, key: &&str| Value::Object(Map::from_iter([((*key).to_owned(), inner)]));
        let mut document = self.format.path().iter().rev().fold(self.entry(), nest);
        if let (Format::Opencode, Some(object)) = (self.format, document.as_object_mut()) {
            // opencode adds it to files that lack it.
            object.shift_insert(0, "$schema".to_owned(), json!(opencode::SCHEMA));
        }
        // A value made of texts and numbers always has a form in JSON.
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
    }
}

// === impl Format ===

impl Format {
    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Openclaw => "openclaw",
            Self::Opencode => "opencode",
            Self::Json => "json",
        }
    }

    /// The keys that lead to our entry in the client's file; none where the file is ours.
    pub fn path(self) -> &'static [&'static str] {
        match self {
            Self::Openclaw => openclaw::PATH,
            Self::Opencode => opencode::PATH,
            Self::Json => &[],
        }
    }

    /// What users set within our entry, which is kept when it is written again: keys that lead to it from the entry.
    pub(super) fn kept(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Openclaw => openclaw::KEPT,
            Self::Opencode => opencode::KEPT,
            Self::Json => &[],
        }
    }
}

/// A price as one would write it: `0`, `0.25`, and not what single precision makes of it.
fn price(cost: f32) -> Value {
    let written = cost.to_string();
    written
        .parse::<u32>()
        .map(Value::from)
        .or_else(|_| written.parse::<f64>().map(Value::from))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
