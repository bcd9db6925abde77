//! Names of languages, and the forms they take in phrases: `{}e`, `l'{}`, `по-{}и`.
//!
//! A name is joined with a form only to see whether it stands in a sentence, and for almost every word its first character
//! says that it does not. Bounded by the list: tens of names, a handful of forms.

use super::{Spelling, slips};
use crate::language::Code;
use crate::token::{Kind, Token, phrase};

/// The place of the name in a form.
pub(super) const PLACE: &str = "{}";

/// What stands before a name that takes no endings.
pub(super) const FIXED: char = '=';

/// The names that one language has for languages: by their first characters, and otherwise in the order of its list.
#[derive(Debug)]
pub(super) struct Names(Vec<Name>);

#[derive(Debug)]
struct Name {
    code: Code,
    /// Folded, with a space between them.
    words: String,
    /// It takes no endings: in the list, `=` stands before it.
    fixed: bool,
}

impl Names {
    /// Reads `de=German, nl=Dutch/Flemish`.
    pub(super) fn parse(value: &str) -> Self {
        let name = |(code, text): (Code, &str)| {
            let mut words = String::new();
            phrase(text, &mut words);
            Name { code, words, fixed: text.starts_with(FIXED) }
        };
        let mut names: Vec<_> = written(value).map(name).collect();
        names.sort_by_key(Name::begins_with);
        Self(names)
    }

    /// The names that these tokens begin with in a form, each with the tokens that it covers. A first word that must be
    /// exact begins a phrase; the words after it may be loose.
    pub(super) fn standing(
        &self,
        form: &str,
        tokens: &[Token],
        spelling: Spelling,
    ) -> impl Iterator<Item = (Code, usize)> {
        let (before, after) = form.split_once(PLACE).unwrap_or((form, ""));
        let word = tokens.first().map_or("", |first| first.word.as_str());
        let names = match (word.strip_prefix(before), spelling) {
            (Some(rest), _) if spelling == Spelling::Exact || before.is_empty() => self.beginning_as(rest),
            (_, Spelling::Exact) => &[],
            // The slip may be where the two meet.
            (_, Spelling::Loose) => self.0.as_slice(),
        };
        names.iter().filter_map(move |name| Some((name.code, name.covered(before, after, tokens, spelling)?)))
    }

    /// The names with the first character of a word.
    fn beginning_as(&self, word: &str) -> &[Name] {
        let first = word.chars().next();
        let start = self.0.partition_point(|name| name.begins_with() < first);
        let found = self.0.get(start..).unwrap_or_default();
        let length = found.partition_point(|name| name.begins_with() == first);
        found.get(..length).unwrap_or_default()
    }
}

impl Name {
    fn begins_with(&self) -> Option<char> {
        self.words.chars().next()
    }

    fn covered(&self, before: &str, after: &str, tokens: &[Token], spelling: Spelling) -> Option<usize> {
        let ending = if self.fixed { after.trim_start_matches(char::is_alphabetic) } else { after };
        let (mut covered, mut rest) = (0, Some(self.words.as_str()));
        while let Some(words) = rest {
            let (word, more) = words.split_once(' ').map_or((words, None), |(word, more)| (word, Some(more)));
            let token = tokens.get(covered).filter(|token| token.kind == Kind::Word)?;
            let (before, spelling) = if covered == 0 { (before, spelling) } else { ("", Spelling::Loose) };
            let after = if more.is_none() { ending } else { "" };
            if !fits(&token.word, [before, word, after], spelling) {
                return None;
            }
            (covered, rest) = (covered + 1, more);
        }
        Some(covered)
    }
}

/// Whether a word is these parts together.
fn fits(word: &str, parts: [&str; 3], spelling: Spelling) -> bool {
    let [before, name, after] = parts;
    let length = before.len() + name.len() + after.len();
    let inner = || word.strip_prefix(before)?.strip_suffix(after);
    match spelling {
        _ if length.abs_diff(word.len()) > 1 => false,
        Spelling::Exact => length == word.len() && inner() == Some(name),
        Spelling::Loose => inner() == Some(name) || slips(&parts.concat(), word),
    }
}

/// The names as the list has them, in its order.
pub(super) fn written(value: &str) -> impl Iterator<Item = (Code, &str)> {
    let pairs = value.split(", ").filter_map(|entry| entry.split_once('='));
    pairs
        .filter_map(|(code, names)| Some((Code::of(code.trim())?, names)))
        .flat_map(|(code, names)| names.split('/').map(move |name| (code, name.trim())))
}
