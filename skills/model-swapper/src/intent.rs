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

/// Examples of one intent: a person writes no more, and all are compared with every turn that no word decided.
const EXAMPLES_MAX: usize = 64;

/// Bytes of an example: a sentence or two. Longer ones are like everything a little.
const EXAMPLE_BYTES_MAX: usize = 500;

/// Cosine similarity from which a turn is like an example, where none is given. Models differ in what they call alike, so
/// none is right for all of them; this one rather misses a turn than takes a wrong one.
const THRESHOLD: f64 = 0.8;

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
    /// Sentences such as the turns it is for; often none.
    pub(crate) examples: Vec<String>,
    /// How like one of them a turn must be: a cosine, more than 0 and at most 1.
    pub(crate) threshold: f64,
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
        check_examples(&written).map_err(|(at, reason)| key(at, &reason))?;
        let own_words = written.keywords.len()
            + written.phrases.len()
            + written.patterns.len()
            + written.names.len()
            + written.examples.as_ref().map_or(0, Vec::len);
        if written.task == Task::Chat && own_words == 0 && written.min_bytes == 0 && written.media.is_empty()
        {
            return Err(Error::invalid(format!(
                "`intents.{name}`: says neither words, examples nor media to hear"
            )));
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
            threshold: written.threshold.unwrap_or(THRESHOLD),
            min_bytes: written.min_bytes,
            names: written.names.iter().chain([&name]).map(|word| word.to_lowercase()).collect(),
            keywords: lowered(&written.keywords),
            phrases: lowered(&written.phrases),
            examples: written.examples.unwrap_or_default(),
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
            let deaf = self.task != Task::Chat || !self.examples.is_empty();
            let bare = !deaf && (self.min_bytes > 0 || !self.media.is_empty());
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

/// The key and what is wrong with it.
fn check_examples(written: &WrittenIntent) -> Result<(), (&'static str, String)> {
    if written.threshold.is_some_and(|threshold| !(threshold > 0.0 && threshold <= 1.0)) {
        return Err(("threshold", "must be more than 0 and at most 1".to_owned()));
    }
    let Some(examples) = &written.examples else { return Ok(()) };
    let sound = |example: &String| !example.trim().is_empty() && example.len() <= EXAMPLE_BYTES_MAX;
    if !(1..=EXAMPLES_MAX).contains(&examples.len()) || !examples.iter().all(sound) {
        let reason = format!("must be 1 to {EXAMPLES_MAX} sentences of 1 to {EXAMPLE_BYTES_MAX} bytes");
        return Err(("examples", reason));
    }
    if written.task == Task::Translate {
        let reason = "likeness does not tell which text is to be translated; use `names`, or a task of `chat` or `read`";
        return Err(("examples", reason.to_owned()));
    }
    Ok(())
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
