//! One intent of the user's settings, ready for use: what it hears beyond the built-in requests, and what is done then.
//!
//! An intent's own words are looked for in the first and the last [`EXCERPT_MAX`] bytes only, so that no pattern, however
//! written, costs more than a little on a long turn.

use pointsman_sdk::{Afterwards, Error, Hold};
use regex_lite::{Regex, RegexBuilder};

use crate::recipe::{Recipe, TRANSLATEGEMMA_TOKENS};
use crate::settings::{Media, Task, WrittenIntent};

/// Bytes of each end of the user's text that an intent's own words are looked for in.
const EXCERPT_MAX: usize = 1024;

/// Bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 64 * 1024;

/// Words, phrases, patterns and models that one intent may have of each.
const LIST_MAX: usize = 256;

/// An intent.
#[derive(Debug)]
pub(crate) struct Intent {
    /// What it is called; a route's reason begins with it.
    pub(crate) name: String,
    /// What it hears and does.
    pub(crate) task: Task,
    /// Models in order of preference.
    pub(crate) models: Vec<String>,
    /// How they want to be asked.
    pub(crate) recipe: Recipe,
    /// Tokens they can read and write in all.
    pub(crate) context: u32,
    /// How long a route stays in force.
    pub(crate) hold: Hold,
    /// What is in memory afterwards.
    pub(crate) afterwards: Afterwards,
    /// Intents are tried in ascending order.
    pub(crate) priority: i32,
    media: Vec<Media>,
    min_bytes: usize,
    names: Vec<String>,
    keywords: Vec<String>,
    phrases: Vec<String>,
    patterns: Vec<Regex>,
}

/// What an intent of its own heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The word, for the reason.
    pub(crate) word: String,
    /// Where the text begins that the user called it on by name.
    pub(crate) text_at: Option<usize>,
}

impl Intent {
    /// Checks what was written.
    pub(crate) fn new(name: String, written: WrittenIntent) -> Result<Self, Error> {
        let key = |key: &str, reason: &str| Error::invalid(format!("`intents.{name}.{key}`: {reason}"));
        let lists = [
            ("names", &written.names),
            ("keywords", &written.keywords),
            ("phrases", &written.phrases),
            ("patterns", &written.patterns),
            ("models", &written.models),
        ];
        for (list, values) in lists {
            if values.len() > LIST_MAX || values.iter().any(|value| value.trim().is_empty()) {
                return Err(key(list, "has an empty entry, or too many"));
            }
        }
        if written.models.is_empty() {
            return Err(key("models", "names no model"));
        }
        let own_words =
            written.keywords.len() + written.phrases.len() + written.patterns.len() + written.names.len();
        if written.task == Task::Chat && own_words == 0 && written.min_bytes == 0 && written.media.is_empty()
        {
            return Err(Error::invalid(format!("`intents.{name}`: says neither words nor media to hear")));
        }
        let mut patterns = Vec::new();
        for pattern in &written.patterns {
            let built =
                RegexBuilder::new(pattern).case_insensitive(true).size_limit(PATTERN_BYTES_MAX).build();
            patterns.push(built.map_err(|error| key("patterns", &format!("`{pattern}`: {error}")))?);
        }
        let lowered = |words: &[String]| words.iter().map(|word| word.to_lowercase()).collect();
        Ok(Self {
            task: written.task,
            recipe: written.recipe,
            context: written.context.unwrap_or(TRANSLATEGEMMA_TOKENS),
            hold: written.hold(),
            afterwards: written.afterwards(),
            priority: written.priority,
            min_bytes: written.min_bytes,
            names: written.names.iter().chain([&name]).map(|word| word.to_lowercase()).collect(),
            keywords: lowered(&written.keywords),
            phrases: lowered(&written.phrases),
            media: written.media,
            models: written.models,
            patterns,
            name,
        })
    }

    /// Whether the turn has what the intent requires, whatever the words.
    pub(crate) fn fits(&self, text: &str, media: &[String]) -> bool {
        text.len() >= self.min_bytes
            && self.media.iter().all(|kind| media.iter().any(|there| there == kind.as_str()))
    }

    /// Whether it is for turns with a picture.
    pub(crate) fn pictured(&self) -> bool {
        self.media.contains(&Media::Image)
    }

    /// Looks for the intent's own words.
    pub(crate) fn hears(&self, text: &str) -> Option<Heard> {
        let named = |name: &&String| {
            let head = text.get(..name.len()).filter(|head| head.to_lowercase() == **name);
            head.is_some() && text.get(name.len()..).is_some_and(|rest| rest.starts_with(':'))
        };
        if let Some(name) = self.names.iter().find(named) {
            return Some(Heard { word: name.clone(), text_at: Some(name.len() + 1) });
        }
        let words = [&self.keywords[..], &self.phrases[..]].concat();
        if words.is_empty() && self.patterns.is_empty() {
            let bare = self.task == Task::Chat && (self.min_bytes > 0 || !self.media.is_empty());
            return bare.then(|| Heard { word: "the turn's kind".to_owned(), text_at: None });
        }
        let ends = excerpts(text);
        let lowered = ends.map(str::to_lowercase);
        let whole = |word: &&String| lowered.iter().any(|text| has_word(text, word));
        let within = |phrase: &&String| lowered.iter().any(|text| text.contains(phrase.as_str()));
        let word = self.keywords.iter().find(whole).or_else(|| self.phrases.iter().find(within)).cloned();
        let word = word.or_else(|| {
            let pattern = self.patterns.iter().find(|pattern| ends.iter().any(|text| pattern.is_match(text)));
            pattern.map(|pattern| pattern.as_str().to_owned())
        });
        word.map(|word| Heard { word, text_at: None })
    }
}

/// The beginning and the end of a text; the end is empty where the beginning is all.
fn excerpts(text: &str) -> [&str; 2] {
    let cut = |at: usize| (at..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    let (head, rest) = text.split_at_checked(cut(EXCERPT_MAX.min(text.len()))).unwrap_or((text, ""));
    let from = (rest.len().saturating_sub(EXCERPT_MAX)..=rest.len()).find(|&at| rest.is_char_boundary(at));
    [head, from.and_then(|at| rest.get(at..)).unwrap_or_default()]
}

/// Whether the word stands in the text by itself; in scripts without spaces, anywhere.
fn has_word(text: &str, word: &str) -> bool {
    let spaced = !word.chars().any(crate::token::stands_alone);
    let joins = |c: Option<char>| spaced && c.is_some_and(char::is_alphanumeric);
    text.match_indices(word).any(|(at, found)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|after| after.chars().next());
        !joins(before) && !joins(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_boundaries_where_the_script_has_them() {
        assert!(has_word("please refactor this", "refactor"));
        assert!(!has_word("a refactoring", "refactor"));
        assert!(has_word("请总结一下", "总结"));
    }

    #[test]
    fn only_the_ends_of_a_long_text_are_looked_at() {
        let text = format!("{}refactor{}", "x ".repeat(2000), " y".repeat(2000));
        assert!(!excerpts(&text).iter().any(|end| end.contains("refactor")));
        assert_eq!(excerpts("short"), ["short", ""]);
    }
}
