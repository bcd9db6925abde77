//! The word lists: what a word or phrase can be in a request, language by language.
//!
//! A list is a text file of `key: phrase | phrase` lines under `words/`, embedded when the skill is built; a new language
//! is a new file and a line in [`FILES`]. `~` in a phrase stands for up to [`GAP_MAX`] words of any kind, a trailing `*`
//! for any ending, `{}` for the name of a language. A phrase may be on several lists: what it is in a sentence is for
//! [`detect`](crate::detect) to say.
//!
//! Every start reads all lists, so a phrase with a name in it is kept as it is written: names take their places when words
//! are looked up. Written out, the phrases would be five times as many.

use std::collections::BTreeSet;

use crate::language::Code;
use crate::token::{Kind, Token, phrase};

use name::Names;

mod name;

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

/// What a phrase can be in a request: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Class(u32);

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $bit:literal;)+) => {
        impl Class {
            $($(#[$doc])* pub(crate) const $name: Self = Self(1 << $bit);)+

            fn of(key: &str) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

classes! {
    /// A verb that asks for a translation.
    VERB = "verb", 0;
    /// The thing asked for.
    NOUN = "noun", 1;
    /// "How do you say": a question that is answered by a translation.
    SAY = "say", 2;
    /// A verb that asks for one only together with a language: "put this into French".
    PUT = "put", 3;
    /// What stands around a request without changing it.
    LEAD = "lead", 4;
    /// What turns a sentence into a request of the assistant, where its verb stands last.
    ASK = "ask", 5;
    /// Points at a text, a picture or what follows.
    THIS = "this", 6;
    /// Points at the assistant's last answer.
    BACK = "back", 7;
    /// Names a text.
    TEXT = "text", 8;
    /// Names a picture, or what is pictured.
    PICTURE = "picture", 9;
    /// Wants the result alone.
    ONLY = "only", 10;
    /// Denies.
    NOT = "not", 11;
    /// Another task, a question, or talk about translation.
    TALK = "talk", 12;
    /// What coding agents work on.
    FILE = "file", 13;
    /// Begins the reason for a request.
    ASIDE = "aside", 14;
    /// A verb that asks for the text of a picture.
    READ = "read", 15;
    /// What is read from a picture.
    GLYPHS = "glyphs", 16;
    /// A whole request to read a picture.
    WRITTEN = "written", 17;
    /// Into a language.
    INTO = "into", 18;
    /// Out of a language.
    FROM = "from", 19;
    /// A language.
    BARE = "bare", 20;
    /// A greeting or thanks: before a request it is polite, after its verb it is text.
    GREET = "greet", 21;
    /// Asks what something means.
    MEAN = "mean", 22;
}

impl Class {
    /// None of them.
    pub(crate) const NONE: Self = Self(0);

    /// Either.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the sets have a class in common.
    pub(crate) fn is(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

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
    triggers: BTreeSet<String>,
}

/// A phrase of a list: its folded words, with a space between them.
#[derive(Debug)]
struct Phrase {
    words: String,
    /// Bytes of the first word.
    first: usize,
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
            phrases: Vec::new(),
            stems: Vec::new(),
            named: Vec::new(),
            names: Names::parse(lines().find(|(key, _)| *key == "names").map_or("", |(_, value)| value)),
            endings: Vec::new(),
            long_verbs: Vec::new(),
            triggers: BTreeSet::new(),
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
        lexicon.phrases.sort_by(|a, b| a.first().cmp(b.first()));
        lexicon.named.sort_by(|a, b| a.first().cmp(b.first()));
        lexicon
    }

    /// Takes a phrase as the list has it.
    fn list(&mut self, text: &str, class: Class) {
        if class.is(Class::VERB.or(Class::NOUN)) {
            self.trigger(text);
        }
        if class.is(Class::BARE) {
            self.add(phrase(&format!("→ {text}")), Class::INTO);
        }
        self.add(phrase(text), class);
    }

    fn add(&mut self, words: String, class: Class) {
        let first = words.find(' ').unwrap_or(words.len());
        let phrase = Phrase { words, first, class };
        if class.is(Class::VERB) && phrase.rest().is_empty() && first >= SLIP_MIN {
            self.long_verbs.push(phrase.words.clone());
        }
        match phrase.first() {
            "" => {}
            stem if stem.ends_with('*') => self.stems.push(phrase),
            form if form.contains(name::PLACE) => self.named.push(phrase),
            _ => self.phrases.push(phrase),
        }
    }

    /// The longest phrase that begins with the first of these tokens; equally long ones are taken together.
    pub(crate) fn longest(&self, tokens: &[Token]) -> Option<Match> {
        let (first, rest) = tokens.split_first()?;
        let stems = self.stems.iter().filter(|stem| begins(&first.word, stem.first()));
        let mut best: Option<Match> = None;
        for phrase in self.beginning(&first.word).iter().chain(stems) {
            if let Some(covered) = self.covered(phrase.rest(), rest) {
                better(&mut best, phrase.class, covered.after(1, None));
            }
        }
        for phrases in self.named.chunk_by(|a, b| a.first() == b.first()) {
            let form = phrases.first().map_or("", Phrase::first);
            for (code, length) in self.names.standing(form, tokens, Spelling::Exact) {
                for phrase in phrases {
                    let rest = tokens.get(length..).unwrap_or_default();
                    if let Some(covered) = self.covered(phrase.rest(), rest) {
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
        let start = self.phrases.partition_point(|phrase| phrase.first() < word);
        let found = self.phrases.get(start..).unwrap_or_default();
        let length = found.iter().take_while(|phrase| phrase.first() == word).count();
        found.get(..length).unwrap_or_default()
    }

    /// The verb without the pronouns at its end or the prefix for "again": `tradúcemelo`, `retranscris`.
    fn without_ending(&self, word: &str) -> Option<&[Phrase]> {
        let verb = |phrases: &&[Phrase]| {
            let verbs = Class::VERB.or(Class::PUT).or(Class::READ).or(Class::TALK);
            phrases.iter().any(|phrase| phrase.rest().is_empty() && phrase.class.is(verbs))
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
        self.triggers.insert(phrase(&beginning).replace(' ', ""));
        self.triggers.insert(beginning);
    }
}

impl Phrase {
    fn first(&self) -> &str {
        self.words.get(..self.first).unwrap_or_default()
    }

    /// The words after the first.
    fn rest(&self) -> &str {
        self.words.get(self.first + 1..).unwrap_or_default()
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
    value.split(" | ").map(str::trim).filter(|phrase| !phrase.is_empty())
}

#[cfg(test)]
mod tests;
