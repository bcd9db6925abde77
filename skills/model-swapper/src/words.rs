//! The word lists: what a word or phrase can be in a request, language by language.
//!
//! A list is a text file of `key: phrase | phrase` lines under `words/`, embedded when the skill is built; a new language
//! is a new file and a line in [`FILES`]. `~` in a phrase stands for up to [`GAP_MAX`] words of any kind, a trailing `*`
//! for any ending, `{}` for the name of a language. A phrase may be on several lists: what it is in a sentence is for
//! [`detect`](crate::detect) to say.
//!
//! Every start reads all lists, so a phrase with a name in it is kept as it is written: names take their places when words
//! are looked up. Written out, the phrases would be five times as many.

use crate::language::Code;
use crate::token::{Kind, Token, phrase};

use name::Names;

mod class;
mod name;

pub(crate) use class::Class;

/// The lists, with the code of the language they are in.
const FILES: [(&str, &str); 15] = [
    ("en", include_str!("../words/en.words")),
    ("de", include_str!("../words/de.words")),
    ("fr", include_str!("../words/fr.words")),
    ("es", include_str!("../words/es.words")),
    ("pt", include_str!("../words/pt.words")),
    ("it", include_str!("../words/it.words")),
    ("nl", include_str!("../words/nl.words")),
    ("pl", include_str!("../words/pl.words")),
    ("tr", include_str!("../words/tr.words")),
    ("ru", include_str!("../words/ru.words")),
    ("zh", include_str!("../words/zh.words")),
    ("ja", include_str!("../words/ja.words")),
    ("ko", include_str!("../words/ko.words")),
    ("hi", include_str!("../words/hi.words")),
    ("ar", include_str!("../words/ar.words")),
];

/// Words that a `~` may stand for.
const GAP_MAX: usize = 5;

/// Characters of a word that the first scan looks for: endings differ, and so do slips of the pen.
const TRIGGER_MAX: usize = 5;

/// Prefixes with which verbs say "again".
const AGAIN: [&str; 3] = ["re", "ri", "re-"];

/// Bytes from which a word with one slip in it is still recognised.
const SLIP_MIN: usize = 8;

/// Where a language puts its verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Before their objects.
    First,
    /// After their objects.
    Last,
    /// Last where something else asks first: "Kannst du … übersetzen?"
    Both,
}

/// The word lists of one language.
#[derive(Debug)]
pub(crate) struct Lexicon {
    /// The language they are in.
    pub(crate) code: Code,
    /// Where it puts its verbs.
    pub(crate) order: Order,
    /// The folded words of all phrases.
    words: String,
    /// In the order of their first words; of those with the same, in the order of the list.
    phrases: Vec<Phrase>,
    /// Those whose first word has any ending.
    stems: Vec<Phrase>,
    /// Those whose first word is the name of a language, in the order of its forms.
    named: Vec<Phrase>,
    names: Names,
    /// Pronouns that verbs carry at their end.
    endings: Vec<String>,
    /// Verbs long enough to be recognised with a slip in them.
    long_verbs: Vec<String>,
    /// How the words begin without which no turn asks for a translation: its verbs, its nouns, the names of languages.
    triggers: Vec<String>,
}

/// A phrase of a list, by where it stands in the lexicon's words, with a space between them.
#[derive(Debug, Clone, Copy)]
struct Phrase {
    start: usize,
    /// Where its first word ends.
    first: usize,
    end: usize,
    class: Class,
}

/// How much of a sentence a phrase covers.
#[derive(Debug, Clone, Copy, Default)]
struct Covered {
    tokens: usize,
    /// The language that it names.
    code: Option<Code>,
}

/// A phrase found in a sentence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match {
    /// All that it can be.
    pub(crate) class: Class,
    /// The language it names.
    pub(crate) code: Option<Code>,
    /// Tokens it covers.
    pub(crate) tokens: usize,
}

/// All word lists.
pub(crate) fn lexica() -> Vec<Lexicon> {
    FILES.iter().map(|(code, text)| Lexicon::parse(code, text)).collect()
}

impl Lexicon {
    fn parse(code: &str, text: &str) -> Self {
        let lines =
            || text.lines().filter_map(|line| line.split_once(": ")).filter(|(key, _)| !key.starts_with('#'));
        let mut lexicon = Self {
            code: Code::of(code).unwrap_or(Code::ENGLISH),
            order: Order::First,
            words: String::with_capacity(text.len()),
            phrases: Vec::new(),
            stems: Vec::new(),
            named: Vec::new(),
            names: Names::parse(lines().find(|(key, _)| *key == "names").map_or("", |(_, value)| value)),
            endings: Vec::new(),
            long_verbs: Vec::new(),
            triggers: Vec::new(),
        };
        for (key, value) in lines() {
            match (key, Class::of(key)) {
                ("endings", _) => lexicon.endings = split(value).map(str::to_owned).collect(),
                ("order", _) => lexicon.order = if value == "last" { Order::Last } else { Order::Both },
                ("names", _) => name::written(value)
                    .for_each(|(_, name)| lexicon.trigger(name.trim_start_matches(name::FIXED))),
                (_, Some(class)) => split(value).for_each(|phrase| lexicon.list(phrase, class)),
                _ => {}
            }
        }
        let words = &lexicon.words;
        lexicon.phrases.sort_by_key(|phrase| phrase.first(words));
        lexicon.named.sort_by_key(|phrase| phrase.first(words));
        lexicon.triggers.sort();
        lexicon.triggers.dedup();
        lexicon
    }

    /// Takes a phrase as the list has it.
    fn list(&mut self, text: &str, class: Class) {
        if class.is(Class::VERB.or(Class::NOUN)) {
            self.trigger(text);
        }
        if class.is(Class::BARE) {
            self.add(&format!("→ {text}"), Class::INTO);
        }
        self.add(text, class);
    }

    fn add(&mut self, text: &str, class: Class) {
        let start = self.words.len();
        phrase(text, &mut self.words);
        let words = self.words.get(start..).unwrap_or_default();
        let first = words.split(' ').next().unwrap_or_default();
        let phrase = Phrase { start, first: start + first.len(), end: self.words.len(), class };
        if class.is(Class::VERB) && first == words && first.len() >= SLIP_MIN {
            self.long_verbs.push(first.to_owned());
        }
        match first {
            "" => {}
            stem if stem.ends_with('*') => self.stems.push(phrase),
            form if form.contains(name::PLACE) => self.named.push(phrase),
            _ => self.phrases.push(phrase),
        }
    }

    /// The longest phrase that begins with the first of these tokens; equally long ones are taken together.
    pub(crate) fn longest(&self, tokens: &[Token]) -> Option<Match> {
        let (first, rest) = tokens.split_first()?;
        let stems = self.stems.iter().filter(|stem| begins(&first.word, stem.first(&self.words)));
        let mut best: Option<Match> = None;
        for phrase in self.beginning(&first.word).iter().chain(stems) {
            if let Some(covered) = self.covered(phrase.rest(&self.words), rest) {
                better(&mut best, phrase.class, covered.after(1, None));
            }
        }
        for phrases in self.named.chunk_by(|a, b| a.first(&self.words) == b.first(&self.words)) {
            let form = phrases.first().map_or("", |phrase| phrase.first(&self.words));
            for (code, length) in self.names.standing(form, tokens, Spelling::Exact) {
                for phrase in phrases {
                    let rest = tokens.get(length..).unwrap_or_default();
                    if let Some(covered) = self.covered(phrase.rest(&self.words), rest) {
                        better(&mut best, phrase.class, covered.after(length, Some(code)));
                    }
                }
            }
        }
        best
    }

    /// The phrases that begin with this word, or with the verb that is meant by it.
    fn beginning(&self, word: &str) -> &[Phrase] {
        let listed = self.listed(word);
        if !listed.is_empty() {
            return listed;
        }
        self.without_ending(word).or_else(|| self.misspelt(word)).unwrap_or_default()
    }

    fn listed(&self, word: &str) -> &[Phrase] {
        let start = self.phrases.partition_point(|phrase| phrase.first(&self.words) < word);
        let found = self.phrases.get(start..).unwrap_or_default();
        let length = found.iter().take_while(|phrase| phrase.first(&self.words) == word).count();
        found.get(..length).unwrap_or_default()
    }

    /// The verb without the pronouns at its end or the prefix for "again": `tradúcemelo`, `retranscris`.
    fn without_ending(&self, word: &str) -> Option<&[Phrase]> {
        let verb = |phrases: &&[Phrase]| {
            let verbs = Class::VERB.or(Class::PUT).or(Class::READ).or(Class::TALK);
            phrases.iter().any(|phrase| phrase.first == phrase.end && phrase.class.is(verbs))
        };
        let stems = self.endings.iter().filter_map(|ending| word.strip_suffix(ending.as_str()));
        let again = AGAIN.iter().filter_map(|prefix| word.strip_prefix(prefix));
        stems.chain(again).map(|stem| self.listed(stem)).find(verb)
    }

    /// The verb that was meant by a word with one slip in it.
    fn misspelt(&self, word: &str) -> Option<&[Phrase]> {
        let meant = self.long_verbs.iter().find(|verb| slips(verb, word))?;
        Some(self.listed(meant))
    }

    /// What the rest of a phrase covers, if it stands there.
    fn covered(&self, words: &str, tokens: &[Token]) -> Option<Covered> {
        if words.is_empty() {
            return Some(Covered::default());
        }
        let (word, more) = words.split_once(' ').unwrap_or((words, ""));
        if word == "~" {
            let mut gap = 0..=GAP_MAX.min(tokens.len());
            return gap.find_map(|skip| Some(self.covered(more, tokens.get(skip..)?)?.after(skip, None)));
        }
        if word.contains('{') {
            let names = self.names.standing(word, tokens, Spelling::Loose);
            let all = names.filter_map(|(code, length)| {
                Some(self.covered(more, tokens.get(length..)?)?.after(length, Some(code)))
            });
            return all.reduce(|best, other| if other.tokens > best.tokens { other } else { best });
        }
        let (first, rest) = tokens.split_first()?;
        let fits = first.word == word || begins(&first.word, word) || slips(word, &first.word);
        (first.kind == Kind::Word && fits)
            .then(|| self.covered(more, rest))?
            .map(|covered| covered.after(1, None))
    }

    /// How the words begin without which no turn asks for a translation, in lower case, with and without accents.
    pub(crate) fn triggers(&self) -> impl Iterator<Item = &str> {
        self.triggers.iter().map(String::as_str)
    }

    fn trigger(&mut self, text: &str) {
        let words = text.split(' ').map(|word| word.trim_end_matches('*'));
        let word = words.max_by_key(|word| word.chars().count()).unwrap_or_default();
        let beginning: String = word.chars().take(TRIGGER_MAX).collect();
        let mut folded = String::new();
        phrase(&beginning, &mut folded);
        self.triggers.push(folded.replace(' ', ""));
        self.triggers.push(beginning);
    }
}

impl Phrase {
    fn first(self, words: &str) -> &str {
        words.get(self.start..self.first).unwrap_or_default()
    }

    /// The words after the first.
    fn rest(self, words: &str) -> &str {
        words.get(self.first + 1..self.end).unwrap_or_default()
    }
}

impl Covered {
    /// The same with what stands before it.
    fn after(self, tokens: usize, code: Option<Code>) -> Self {
        Self { tokens: self.tokens + tokens, code: code.or(self.code) }
    }
}

/// How exactly a word must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Exact,
    /// A long word may have a slip in it.
    Loose,
}

/// Takes a phrase that was found for the best match, or with it.
fn better(best: &mut Option<Match>, class: Class, covered: Covered) {
    match best {
        Some(found) if found.tokens == covered.tokens => {
            found.class = found.class.or(class);
            found.code = found.code.or(covered.code);
        }
        Some(found) if found.tokens > covered.tokens => {}
        _ => *best = Some(Match { class, code: covered.code, tokens: covered.tokens }),
    }
}

/// Whether a word begins with a stem, which is written with `*` after it.
fn begins(word: &str, stem: &str) -> bool {
    stem.strip_suffix('*').is_some_and(|stem| word.starts_with(stem))
}

/// Whether a long word is another with one letter left out, doubled or swapped with its neighbour: not its first or last.
fn slips(word: &str, written: &str) -> bool {
    let (a, b) = (word.as_bytes(), written.as_bytes());
    if a.len().min(b.len()) < SLIP_MIN
        || a.len().abs_diff(b.len()) > 1
        || a.first() != b.first()
        || a.last() != b.last()
        || a == b
    {
        return false;
    }
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let swapped = a.len() == b.len()
        && same + tail + 2 == a.len()
        && a.get(same) == b.get(same + 1)
        && a.get(same + 1) == b.get(same);
    swapped || (a.len() != b.len() && same + tail + 1 >= a.len().max(b.len()))
}

fn split(value: &str) -> impl Iterator<Item = &str> {
    value.split('|').map(str::trim).filter(|phrase| !phrase.is_empty())
}

#[cfg(test)]
mod tests;
