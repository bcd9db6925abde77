//! What a model says: the same words for the same request, always beginning with the instance that served.
//!
//! An image is answered with the hash of its bytes, so that nobody can pretend to have passed it on. Nothing here knows
//! how an answer is sent.

use std::fmt::Write as _;

use super::prompt::{digest, last_user_message, own_words};
use super::request::{Message, Request};
use super::tools::{Call, calls};
use super::translation;
use crate::config::{Answers, Model};

/// A whole answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) reasoning: String,
    pub(crate) text: String,
    pub(crate) calls: Vec<Call>,
    /// It was cut at the number of tokens the request allows.
    pub(crate) cut: bool,
    pub(crate) tokens: usize,
}

/// Words or numbers an answer has at most.
const WORDS_MAX: usize = 100_000;

/// Characters of the user's words that an answer quotes.
const QUOTE_CHARACTERS: usize = 80;

const LOREM: [&str; 12] = [
    "the", "river", "runs", "past", "quiet", "mills", "while", "seven", "otters", "count", "falling",
    "leaves",
];

// === impl Answer ===

impl Answer {
    /// What `instance` answers.
    pub(crate) fn to(request: &Request<'_>, model: &Model, instance: &str) -> Self {
        let last = last_user_message(request);
        let words = last.map(|(_, message)| own_words(message)).unwrap_or_default();
        let mut answer = Self { reasoning: reasoning(request, &words), ..Self::default() };
        let choice = request.tool_choice.map(|choice| choice.get().trim_matches('"'));
        let result = tool_result(request, last.map_or(0, |(place, _)| place));
        let offered = request.tools.as_deref().unwrap_or_default();
        if choice != Some("none") && (result.is_none() || choice == Some("required")) {
            answer.calls = calls(&words, offered, choice == Some("required"), instance);
            if model.answers == Answers::Clumsy {
                answer.calls.iter_mut().for_each(Call::break_off);
            }
        }
        answer.text = match (&result, last) {
            _ if !answer.calls.is_empty() => format!("[{instance}] Calling {}.", answer.names()),
            (Some(result), _) => format!("[{instance}] The tool answered: {result}"),
            (None, Some((_, message))) if model.answers == Answers::Translation => {
                format!("[{instance}] {}", translation::answer(message))
            }
            (None, Some((_, message))) => format!("[{instance}] {}", general(&words, message)),
            (None, None) => format!("[{instance}] You said nothing."),
        };
        answer.limit(request.max_tokens());
        answer
    }

    /// Nothing at all, as reported of engines whose context overflows.
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    /// Its text in the pieces that count as tokens.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &str> {
        pieces(&self.text)
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.calls.iter().map(|call| call.name.as_str()).collect();
        names.join(", ")
    }

    /// Cuts the text at so many tokens. A cut answer makes no calls.
    fn limit(&mut self, max: Option<usize>) {
        let all = pieces(&self.text).count();
        let kept = max.map_or(all, |max| max.min(all));
        if kept < all {
            self.text = pieces(&self.text).take(kept).collect();
            self.calls.clear();
            self.cut = true;
        }
        let arguments: usize = self.calls.iter().map(|call| call.arguments.len().div_ceil(4) + 1).sum();
        self.tokens = kept + arguments;
    }
}

/// Words with the space after them.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ').filter(|piece| !piece.is_empty())
}

/// What a general model answers to these words.
fn general(words: &str, message: &Message<'_>) -> String {
    let lower = words.to_lowercase();
    let mut text = if let Some(count) = number_between(&lower, "write ", " words") {
        let words: Vec<&str> = LOREM.iter().copied().cycle().take(count).collect();
        words.join(" ")
    } else if let Some(count) = number_between(&lower, "count to ", "") {
        let numbers: Vec<String> = (1..=count).map(|number| number.to_string()).collect();
        numbers.join(" ")
    } else {
        let quote: String = words.chars().take(QUOTE_CHARACTERS).collect();
        format!("You wrote: {quote}")
    };
    for digest in message.images().filter_map(digest) {
        // Writing to a string cannot fail.
        let _ = write!(text, " image sha256:{digest}");
    }
    text
}

/// The number between two texts, at most [`WORDS_MAX`].
fn number_between(words: &str, before: &str, after: &str) -> Option<usize> {
    let (_, rest) = words.split_once(before)?;
    let digits = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at_checked(digits)?;
    let number = number.parse::<usize>().ok()?.min(WORDS_MAX);
    rest.starts_with(after).then_some(number)
}

/// Thinks aloud only when told to, so that ordinary answers stay short.
fn reasoning(request: &Request<'_>, words: &str) -> String {
    let told = request.reasoning_effort.as_deref().is_some_and(|effort| effort != "none" && effort != "off");
    if told {
        format!("The user wrote {} characters. I answer briefly.", words.chars().count())
    } else {
        String::new()
    }
}

/// What the last tool answered since the user spoke.
fn tool_result(request: &Request<'_>, since: usize) -> Option<String> {
    let mut results = request.messages().iter().skip(since).rev().filter(|message| message.role == "tool");
    results.next().map(|message| message.texts().collect::<Vec<_>>().join("\n"))
}
