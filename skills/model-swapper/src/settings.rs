//! The user's settings laid over the shipped ones, and checked.
//!
//! What is written wins key by key, so `{"intents": {"translate": {"models": ["otter"]}}}` changes one thing and a new
//! name under `intents` adds an intent. Every refusal names its key. Decoding is here, meaning is in
//! [`intent`](crate::intent).

use std::collections::BTreeMap;

use pointsman_sdk::{Afterwards, Error, Hold, Settings, Swap};
use serde::Deserialize;
use serde_json::Value;

use crate::intent::Intent;
use crate::language::Code;
use crate::recipe::Recipe;

/// What ships.
const DEFAULTS: &str = include_str!("defaults.json");

/// JSON Schema of the settings, for the manifest.
pub(crate) const SCHEMA: &str = include_str!("settings.schema.json");

/// Intents that may be configured.
const INTENTS_MAX: usize = 64;

/// Examples of all intents together. The host replaces an instance that grew by 4 MiB, and one that keeps the vectors of
/// more examples than this, of 4096 numbers each, would have to ask for them again on every turn.
const EXAMPLES_MAX: usize = 192;

/// Settings that make sense.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Into this language where none is named; none means the language of the request.
    pub(crate) target: Option<Code>,
    /// From this language where none is named or told.
    pub(crate) source: Option<Code>,
    /// May a route push other models out?
    pub(crate) swap: Swap,
    /// The embedding model that compares turns with examples; none means whichever is in memory.
    pub(crate) embedding_model: Option<String>,
    /// Enabled intents by priority.
    pub(crate) intents: Vec<Intent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    target: String,
    source: String,
    swap: WrittenSwap,
    embedding_model: Option<String>,
    intents: BTreeMap<String, WrittenIntent>,
}

/// An intent as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenIntent {
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
    pub(crate) task: Task,
    #[serde(default)]
    pub(crate) names: Vec<String>,
    #[serde(default)]
    pub(crate) keywords: Vec<String>,
    #[serde(default)]
    pub(crate) phrases: Vec<String>,
    #[serde(default)]
    pub(crate) patterns: Vec<String>,
    pub(crate) examples: Option<Vec<String>>,
    pub(crate) threshold: Option<f64>,
    #[serde(default)]
    pub(crate) media: Vec<Media>,
    #[serde(default)]
    pub(crate) min_bytes: usize,
    pub(crate) models: Vec<String>,
    #[serde(default)]
    pub(crate) recipe: Recipe,
    pub(crate) context: Option<u32>,
    #[serde(default)]
    hold: WrittenHold,
    #[serde(default)]
    afterwards: WrittenAfterwards,
    #[serde(default)]
    pub(crate) priority: i32,
}

/// What an intent hears and does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Task {
    /// Requests to translate.
    Translate,
    /// Requests to write down a picture's text.
    Read,
    /// Only the words of its own; the conversation goes as it is.
    Chat,
}

/// Media that an intent can require.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Media {
    Image,
    Audio,
    Video,
    Document,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenSwap {
    Never,
    IfIdle,
    Wait,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenHold {
    #[default]
    Turn,
    Session,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenAfterwards {
    #[default]
    Restore,
    Keep,
}

fn yes() -> bool {
    true
}

/// Reads and checks the user's settings.
pub(crate) fn read(settings: Settings<'_>) -> Result<Checked, Error> {
    let mut merged: Value = Settings::new(DEFAULTS).parse()?;
    overlay(&mut merged, settings.parse()?);
    let merged = merged.to_string();
    let written: Written = Settings::new(&merged).parse()?;
    if written.intents.len() > INTENTS_MAX {
        return Err(Error::invalid(format!("`intents`: more than {INTENTS_MAX}")));
    }
    let mut intents = Vec::new();
    for (name, intent) in written.intents.into_iter().filter(|(_, intent)| intent.enabled) {
        intents.push(Intent::new(name, intent)?);
    }
    let examples: usize = intents.iter().map(|intent| intent.examples.len()).sum();
    if examples > EXAMPLES_MAX {
        return Err(Error::invalid(format!(
            "`intents`: {examples} examples in all, at most {EXAMPLES_MAX} can be kept"
        )));
    }
    if written.embedding_model.as_ref().is_some_and(|name| name.trim().is_empty()) {
        return Err(Error::invalid("`embedding_model`: names no model"));
    }
    intents.sort_by_key(|intent| intent.priority);
    Ok(Checked {
        target: code("target", &written.target)?,
        source: code("source", &written.source)?,
        swap: match written.swap {
            WrittenSwap::Never => Swap::Never,
            WrittenSwap::IfIdle => Swap::IfIdle,
            WrittenSwap::Wait => Swap::Wait,
        },
        embedding_model: written.embedding_model,
        intents,
    })
}

/// Lays one JSON value over another, object by object.
fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

fn code(key: &str, value: &str) -> Result<Option<Code>, Error> {
    match value {
        "auto" => Ok(None),
        code => Code::of(code)
            .map(Some)
            .ok_or_else(|| Error::invalid(format!("`{key}`: no language has the code `{code}`"))),
    }
}

// === impl WrittenIntent ===

impl WrittenIntent {
    /// How long the route stays in force.
    pub(crate) fn hold(&self) -> Hold {
        match self.hold {
            WrittenHold::Turn => Hold::Turn,
            WrittenHold::Session => Hold::Session,
        }
    }

    /// What is in memory afterwards.
    pub(crate) fn afterwards(&self) -> Afterwards {
        match self.afterwards {
            WrittenAfterwards::Restore => Afterwards::Restore,
            WrittenAfterwards::Keep => Afterwards::Keep,
        }
    }
}

// === impl Media ===

impl Media {
    /// The contract's word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "document",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> String {
        read(Settings::new(json)).unwrap_err().message
    }

    #[test]
    fn what_ships_is_sound_and_sorted() {
        let checked = read(Settings::new("{}")).unwrap();
        let names: Vec<_> = checked.intents.iter().map(|intent| intent.name.as_str()).collect();
        assert_eq!(names, ["image-translation", "translate", "ocr"]);
        assert!(serde_json::from_str::<Value>(SCHEMA).is_ok());
    }

    #[test]
    fn refusals_name_the_key() {
        assert!(refusal(r#"{"target": "klingon"}"#).starts_with("`target`"));
        assert!(
            refusal(r#"{"intents": {"translate": {"hold": "forever"}}}"#)
                .contains("`intents.translate.hold`")
        );
        assert!(
            refusal(r#"{"intents": {"translate": {"models": []}}}"#).contains("`intents.translate.models`")
        );
        assert!(refusal(r#"{"intents": {"mine": {"models": ["x"]}}}"#).contains("`intents.mine`"));
        assert!(
            refusal(r#"{"intents": {"mine": {"task": "chat", "models": ["x"]}}}"#).contains("`intents.mine`")
        );
        let pattern = r#"{"intents": {"mine": {"task": "chat", "models": ["x"], "patterns": ["("]}}}"#;
        assert!(refusal(pattern).contains("`intents.mine.patterns`"));
    }

    #[test]
    fn examples_are_few_and_short_and_not_for_translations() {
        let mine = |rest: &str| {
            refusal(&format!(r#"{{"intents": {{"mine": {{"task": "chat", "models": ["x"], {rest}}}}}}}"#))
        };
        let sentences =
            |count: usize, bytes: usize| vec![format!("\"{}\"", "a".repeat(bytes)); count].join(",");
        for list in ["".to_owned(), sentences(65, 5), sentences(1, 501), "\" \"".to_owned()] {
            assert!(
                mine(&format!(r#""examples": [{list}]"#)).starts_with("`intents.mine.examples`"),
                "{list}"
            );
        }
        for threshold in ["0", "-0.5", "1.01"] {
            let refused = mine(&format!(r#""examples": ["a"], "threshold": {threshold}"#));
            assert!(refused.starts_with("`intents.mine.threshold`"), "{refused}");
        }
        let translate = r#"{"intents": {"translate": {"examples": ["Say it in German"]}}}"#;
        assert!(refusal(translate).starts_with("`intents.translate.examples`"));
        assert!(refusal(r#"{"embedding_model": ""}"#).starts_with("`embedding_model`"));

        let intent = |name: &str| {
            format!(r#""{name}": {{"task": "chat", "models": ["x"], "examples": [{}]}}"#, sentences(64, 500))
        };
        let three = ["a", "b", "c"].map(intent).join(",");
        assert!(read(Settings::new(&format!(r#"{{"intents": {{{three}}}}}"#))).is_ok());
        let four = format!(r#"{{"intents": {{{three}, {}}}}}"#, intent("d"));
        assert!(refusal(&four).starts_with("`intents`: 256 examples"));
    }

    #[test]
    fn one_key_changes_one_thing() {
        let checked =
            read(Settings::new(r#"{"intents": {"ocr": {"enabled": false}}, "target": "fr"}"#)).unwrap();
        assert_eq!(checked.intents.len(), 2);
        assert_eq!(checked.target, Code::of("fr"));
    }
}
