//! The word lists: what a word or phrase can be in a request, language by language.
//!
//! A list is a text file of `key: phrase | phrase` lines under `words/`, embedded when the skill is built; a new language
//! is a new file and a line in [`FILES`]. `~` in a phrase stands for up to [`GAP_MAX`] words of any kind, a trailing `*`
//! for any ending. A phrase may be on several lists: what it is in a sentence is for [`detect`](crate::detect) to say.

use std::collections::{BTreeMap, BTreeSet};

use crate::language::Code;
use crate::token::{Kind, Token, phrase};

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
    phrases: BTreeMap<String, Vec<Phrase>>,
    stems: Vec<(String, Phrase)>,
    /// Pronouns that verbs carry at their end.
    endings: Vec<String>,
    /// Verbs long enough to be recognised with a slip in them.
    long_verbs: Vec<String>,
    /// How the words begin without which no turn asks for a translation: its verbs, its nouns, the names of languages.
    triggers: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Phrase {
    rest: Vec<String>,
    class: Class,
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
        let code = Code::of(code).unwrap_or(Code::ENGLISH);
        let mut lexicon = Self {
            code,
            order: Order::First,
            phrases: BTreeMap::new(),
            stems: Vec::new(),
            endings: Vec::new(),
            long_verbs: Vec::new(),
            triggers: BTreeSet::new(),
        };
        let lines =
            || text.lines().filter_map(|line| line.split_once(": ")).filter(|(key, _)| !key.starts_with('#'));
        let names = names(lines().find(|(key, _)| *key == "names").map_or("", |(_, value)| value));
        names.iter().for_each(|(_, name)| lexicon.trigger(name.trim_start_matches('=')));
        for (key, value) in lines() {
            if Class::of(key).is_some_and(|class| class.is(Class::VERB.or(Class::NOUN))) {
                split(value).for_each(|phrase| lexicon.trigger(phrase));
            }
            match (key, Class::of(key)) {
                ("endings", _) => lexicon.endings = split(value).map(str::to_owned).collect(),
                ("order", _) => lexicon.order = if value == "last" { Order::Last } else { Order::Both },
                (_, Some(class)) if class.is(Class::INTO.or(Class::FROM).or(Class::BARE)) => {
                    for (template, (code, name)) in
                        split(value).flat_map(|form| names.iter().map(move |name| (form, name)))
                    {
                        let form = inflected(template, name);
                        if class.is(Class::BARE) {
                            lexicon.add(&format!("→ {form}"), Class::INTO, Some(*code));
                        }
                        lexicon.add(&form, class, Some(*code));
                    }
                }
                (_, Some(class)) => split(value).for_each(|phrase| lexicon.add(phrase, class, None)),
                _ => {}
            }
        }
        lexicon
    }

    fn add(&mut self, text: &str, class: Class, code: Option<Code>) {
        let mut words = phrase(text).into_iter();
        let Some(first) = words.next() else { return };
        let phrase = Phrase { rest: words.collect(), class, code };
        if class.is(Class::VERB) && phrase.rest.is_empty() && first.len() >= SLIP_MIN {
            self.long_verbs.push(first.clone());
        }
        match first.strip_suffix('*') {
            Some(stem) => self.stems.push((stem.to_owned(), phrase)),
            None => self.phrases.entry(first).or_default().push(phrase),
        }
    }

    /// The longest phrase that begins with the first of these tokens; equally long ones are taken together.
    pub(crate) fn longest(&self, tokens: &[Token]) -> Option<Match> {
        let (first, rest) = tokens.split_first()?;
        let listed = self.phrases.get(&first.word);
        let exact = listed
            .or_else(|| self.without_ending(&first.word))
            .or_else(|| self.misspelt(&first.word))
            .into_iter()
            .flatten();
        let stems = self
            .stems
            .iter()
            .filter(|(stem, _)| first.word.starts_with(stem.as_str()))
            .map(|(_, phrase)| phrase);
        let mut best: Option<Match> = None;
        for phrase in exact.chain(stems) {
            let Some(length) = covered(&phrase.rest, rest) else { continue };
            let tokens = length + 1;
            match &mut best {
                Some(found) if found.tokens == tokens => {
                    found.class = found.class.or(phrase.class);
                    found.code = found.code.or(phrase.code);
                }
                Some(found) if found.tokens > tokens => {}
                _ => best = Some(Match { class: phrase.class, code: phrase.code, tokens }),
            }
        }
        best
    }

    /// The verb without the pronouns at its end or the prefix for "again": `tradúcemelo`, `retranscris`.
    fn without_ending(&self, word: &str) -> Option<&Vec<Phrase>> {
        let verb = |phrases: &&Vec<Phrase>| {
            let verbs = Class::VERB.or(Class::PUT).or(Class::READ).or(Class::TALK);
            phrases.iter().any(|phrase| phrase.rest.is_empty() && phrase.class.is(verbs))
        };
        let stems = self.endings.iter().filter_map(|ending| word.strip_suffix(ending.as_str()));
        let again = AGAIN.iter().filter_map(|prefix| word.strip_prefix(prefix));
        stems.chain(again).filter_map(|stem| self.phrases.get(stem)).find(verb)
    }

    /// The verb that was meant by a word with one slip in it.
    fn misspelt(&self, word: &str) -> Option<&Vec<Phrase>> {
        let meant = self.long_verbs.iter().find(|verb| slips(verb, word))?;
        self.phrases.get(meant)
    }

    /// How the words begin without which no turn asks for a translation, in lower case, with and without accents.
    pub(crate) fn triggers(&self) -> impl Iterator<Item = &str> {
        self.triggers.iter().map(String::as_str)
    }

    fn trigger(&mut self, text: &str) {
        let words = text.split(' ').map(|word| word.trim_end_matches('*'));
        let word = words.max_by_key(|word| word.chars().count()).unwrap_or_default();
        let beginning: String = word.chars().take(TRIGGER_MAX).collect();
        self.triggers.insert(phrase(&beginning).concat());
        self.triggers.insert(beginning);
    }
}

/// How many tokens the rest of a phrase covers, if it stands there.
fn covered(words: &[String], tokens: &[Token]) -> Option<usize> {
    let Some((word, more)) = words.split_first() else { return Some(0) };
    if word == "~" {
        let gap = 0..=GAP_MAX.min(tokens.len());
        return gap.into_iter().find_map(|skip| Some(skip + covered(more, tokens.get(skip..)?)?));
    }
    let (first, rest) = tokens.split_first()?;
    let fits = match word.strip_suffix('*') {
        Some(stem) => first.word.starts_with(stem),
        None => first.word == *word || slips(word, &first.word),
    };
    (first.kind == Kind::Word && fits).then(|| covered(more, rest)).flatten().map(|length| length + 1)
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

fn names(value: &str) -> Vec<(Code, String)> {
    let pairs = value.split(", ").filter_map(|entry| entry.split_once('='));
    pairs
        .filter_map(|(code, names)| Some((Code::of(code.trim())?, names)))
        .flat_map(|(code, names)| names.split('/').map(move |name| (code, name.trim().to_owned())))
        .collect()
}

/// The name in a form such as `на {}ий`. A name written with `=` before it does not take endings.
fn inflected(template: &str, name: &str) -> String {
    let Some((before, after)) = template.split_once("{}") else { return template.to_owned() };
    match name.strip_prefix('=') {
        Some(name) => format!("{before}{name}{}", after.trim_start_matches(char::is_alphabetic)),
        None => format!("{before}{name}{after}"),
    }
}
