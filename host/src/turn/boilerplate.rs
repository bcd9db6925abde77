//! What clients put around the user's words: reminders, environment blocks, run-time lines, date prefixes. It must not
//! reach the skills' `user-text`, or every request would seem to talk about tools and sessions.
//!
//! Sources: the shapes that OpenClaw 2026.9, Claude Code 2.1 and Codex 0.169 were seen to send. Everything here works on
//! text that is already unescaped, and allocates only where something is removed.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::{self, FinderRev};

/// Blocks that a client marks as its own, opening and closing marker.
const BLOCKS: [(&str, &str); 3] = [
    ("<system-reminder>", "</system-reminder>"),
    ("<environment_context>", "</environment_context>"),
    ("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>", "<<<END_OPENCLAW_INTERNAL_CONTEXT>>>"),
];

/// The line that OpenClaw puts beneath the first message of a session.
const RUNTIME_LINE: &str = "Runtime: agent=";

/// Looks for that line from the end. To prepare a search costs more than the search in most texts.
static RUNTIME: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new(RUNTIME_LINE));

/// What OpenClaw writes around the user's text when it repeats a request that failed.
const RETRY_HEAD: &str = "[Queued user message from a previous active turn;";
const RETRY_TAIL: &str = "Continue the current task from the existing transcript";

/// The user's own words in `text`: marked blocks, the Runtime line, a date prefix and retry wrappings removed.
pub fn strip(text: &str) -> Cow<'_, str> {
    let text = strip_blocks(text);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(strip_edges(text)),
        Cow::Owned(text) => Cow::Owned(strip_edges(&text).to_owned()),
    }
}

/// Removes everything between a block's markers; a block that is never closed reaches to the end. One pass, whatever the
/// text: each marker is looked for only past where it was found before, and a missing one only once.
fn strip_blocks(text: &str) -> Cow<'_, str> {
    // Every marker begins with it, and few texts have one at all.
    if memchr(b'<', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let find = |marker: &str, from: usize| {
        let rest = text.as_bytes().get(from..)?;
        memmem::find(rest, marker.as_bytes()).map(|at| from + at)
    };
    let mut blocks = BLOCKS.map(|(open, close)| (find(open, 0), open, close));
    if blocks.iter().all(|(next, ..)| next.is_none()) {
        return Cow::Borrowed(text);
    }
    let (mut kept, mut at) = (String::with_capacity(text.len()), 0);
    loop {
        for (next, open, _) in &mut blocks {
            if next.is_some_and(|next| next < at) {
                *next = find(open, at);
            }
        }
        let first = blocks.iter().filter_map(|(next, _, close)| next.map(|next| (next, *close))).min();
        let Some((start, close)) = first else { break };
        kept.push_str(text.get(at..start).unwrap_or_default());
        at = find(close, start).map_or(text.len(), |end| end + close.len());
    }
    kept.push_str(text.get(at..).unwrap_or_default());
    Cow::Owned(kept)
}

/// Removes what stands at the beginning and the end of the user's text.
fn strip_edges(text: &str) -> &str {
    let mut text = text.trim();
    if text.starts_with(RETRY_HEAD) {
        text = text.split_once(']').map_or(text, |(_, rest)| rest.trim_start());
        text = text.rfind(RETRY_TAIL).and_then(|at| text.get(..at)).unwrap_or(text).trim_end();
    }
    text = without_date(text);
    if let Some(at) = runtime_line(text) {
        text = text.get(..at).unwrap_or(text);
    }
    text.trim()
}

/// The text after a `[Fri 2026-11-20 04:43 UTC]` prefix; the text as it is where there is none.
pub fn without_date(text: &str) -> &str {
    let Some((prefix, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) else {
        return text;
    };
    let mut words = prefix.split(' ');
    let weekday =
        words.next().is_some_and(|word| word.len() == 3 && word.bytes().all(|b| b.is_ascii_alphabetic()));
    let date = words.next().is_some_and(|word| {
        word.len() == 10 && word.bytes().all(|b| b.is_ascii_digit() || b == b'-') && word.contains('-')
    });
    if weekday && date { rest.trim_start() } else { text }
}

/// Where the Runtime line begins, if the text has one on a line of its own.
fn runtime_line(text: &str) -> Option<usize> {
    let at = RUNTIME.rfind(text)?;
    let own_line = text.get(..at)?.chars().next_back().is_none_or(|before| before == '\n');
    own_line.then_some(at)
}

/// The value of `name=` in the text's Runtime line (`agent`, `sessionId`), from text that may still be JSON-escaped.
pub fn runtime_value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.get(RUNTIME.rfind(text)? + "Runtime: ".len()..)?;
    let line = line.split(['\n', '\\', '"']).next()?;
    line.split('|').find_map(|field| {
        let (key, value) = field.trim().split_once('=')?;
        (key == name && !value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_words_remain() {
        let runtime = "Runtime: agent=main | session=agent:main:K | sessionId=0a1b | host=box | shell=bash";
        let cases = [
            ("plain text".to_owned(), "plain text"),
            (format!("[Fri 2026-11-20 04:43 UTC] translate this\n\n{runtime}"), "translate this"),
            ("<system-reminder>never say translate</system-reminder>\nhello".to_owned(), "hello"),
            ("<environment_context>cwd</environment_context>".to_owned(), ""),
            ("a <system-reminder>x</system-reminder>b<system-reminder>y</system-reminder> c".to_owned(), "a b c"),
            ("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>> Active exec <<<END_OPENCLAW_INTERNAL_CONTEXT>>>".to_owned(), ""),
            ("<system-reminder>never closed".to_owned(), ""),
            (
                "a<environment_context>b<system-reminder>c</environment_context>d</system-reminder>e".to_owned(),
                "ad</system-reminder>e",
            ),
            ("x</system-reminder>y<system-reminder>z</system-reminder>".to_owned(), "x</system-reminder>y"),
            ("[1] a footnote, not a date".to_owned(), "[1] a footnote, not a date"),
            ("the words Runtime: agent=x within a line".to_owned(), "the words Runtime: agent=x within a line"),
            (
                "[Queued user message from a previous active turn; preserved as context only. Go on.]\nsay hi\n\nContinue \
                 the current task from the existing transcript without repeating."
                    .to_owned(),
                "say hi",
            ),
        ];
        for (text, kept) in cases {
            assert_eq!(strip(&text), kept, "{text}");
        }
    }

    /// A pass for each of these blocks would not come to an end.
    #[test]
    fn a_text_of_nothing_but_blocks_is_one_pass() {
        let blocks = "<system-reminder></system-reminder>k".repeat(200_000);
        assert_eq!(strip(&blocks), "k".repeat(200_000));
        assert_eq!(strip(&"<environment_context><system-reminder>".repeat(200_000)), "");
    }

    #[test]
    fn runtime_values_are_found_even_when_escaped() {
        let line =
            r"hello\n\nRuntime: agent=main | session=agent:main:K | sessionId=0a1b-2c | model=gw/auto\n";
        assert_eq!(runtime_value(line, "sessionId"), Some("0a1b-2c"));
        assert_eq!(runtime_value(line, "agent"), Some("main"));
        assert_eq!(runtime_value(line, "nothing"), None);
        assert_eq!(runtime_value("no line", "agent"), None);
    }
}
