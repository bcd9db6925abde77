//! What one sentence asks for: the roles its words play, and whether together they make a request.
//!
//! A sentence is a request only if every word before the verb belongs to one ("could you please …") and nothing in it
//! denies, asks about translation, names another task or something that coding agents work on. Words that no list knows
//! are the text to be translated, or describe it. Bounded by the sentence; sees neither the rest of the turn nor models.

use crate::language::Code;
use crate::token::{Kind, Token};
use crate::words::{Class, Lexicon, Order};

mod read;
mod target;
mod translate;
mod weak;

/// What a sentence turned out to be.
#[derive(Debug, Clone)]
pub(crate) enum Judgement {
    /// It asks for something we know.
    Request(Request),
    /// It says that a translation is not wanted.
    Denial,
    /// Anything else.
    Other,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Translate something.
    Translate,
    /// Write down the text in a picture.
    Read,
}

/// A request, as far as its sentence tells.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// What is to be done.
    pub(crate) act: Act,
    /// The language of the request itself.
    pub(crate) spoken: Code,
    /// The language named to translate into.
    pub(crate) into: Option<Code>,
    /// The language named to translate from.
    pub(crate) from: Option<Code>,
    /// Bytes of a quotation, marks included.
    pub(crate) quote: Option<(usize, usize)>,
    /// Bytes of unquoted text within the sentence.
    pub(crate) inline: Option<(usize, usize)>,
    /// That text runs on to the end of the turn.
    pub(crate) open: bool,
    /// It points at the last answer: "that".
    pub(crate) back: bool,
    /// It names something of the user's own, or describes the text at length, so the text must be somewhere.
    pub(crate) described: bool,
    /// Only a language was named, no translation: "in French, please".
    pub(crate) weak: bool,
    /// Words that the lists knew: of two languages that could be meant, the one that explains more is.
    pub(crate) known: usize,
    /// It has words before its verb that no list knows, so its text must stand where there is no doubt.
    pub(crate) doubtful: bool,
    /// How the translation is to be, in the user's words.
    pub(crate) wish: Option<String>,
}

/// A word or phrase and what it can be here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role {
    pub(crate) class: Class,
    pub(crate) code: Option<Code>,
    pub(crate) quote: bool,
    pub(crate) comma: bool,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Index of its first token.
    pub(crate) token: usize,
    /// Tokens it covers.
    pub(crate) tokens: usize,
}

/// Words that stand around a request without changing it.
const AROUND: Class = Class::LEAD
    .or(Class::ASK)
    .or(Class::THIS)
    .or(Class::BACK)
    .or(Class::TEXT)
    .or(Class::ONLY)
    .or(Class::INTO)
    .or(Class::FROM)
    .or(Class::BARE)
    .or(Class::PICTURE);

/// What a request to read a picture is made of; allowed around a translation where there is a picture.
const READING: Class = Class::READ.or(Class::GLYPHS).or(Class::WRITTEN).or(Class::PUT);

/// Another task, or talk.
const OTHER: Class = Class::TALK.or(Class::MEAN);

/// Judges a sentence in the language of a lexicon. `pictured`: the turn has a picture.
pub(crate) fn judge(tokens: &[Token], lexicon: &Lexicon, pictured: bool) -> Judgement {
    let roles = roles(tokens, lexicon);
    let translation = translate::judge(&Sentence { roles: &roles, tokens, lexicon, pictured });
    match translation {
        Judgement::Other if pictured => read::judge(&roles, lexicon),
        judged => judged,
    }
}

/// Whether every word of a sentence could be left out: a greeting, thanks, "only the translation".
pub(crate) fn is_idle(tokens: &[Token], lexicon: &Lexicon) -> bool {
    let idle = Class::LEAD.or(Class::GREET).or(Class::ASK).or(Class::ONLY).or(Class::THIS);
    let idle_before =
        |role: &Role| role.comma || role.class.is(idle) || role.class.is(Class::NOUN.or(Class::TEXT));
    roles(tokens, lexicon).iter().all(idle_before)
}

/// Whether a sentence is about something else that is to be done, or about files and code.
pub(crate) fn is_task(tokens: &[Token], lexicon: &Lexicon) -> bool {
    roles(tokens, lexicon).iter().any(|role| role.class.is(OTHER.or(Class::FILE)) && !role.quote)
}

/// Whether a sentence begins with another task.
pub(crate) fn begins_task(tokens: &[Token], lexicon: &Lexicon) -> bool {
    let polite = Class::LEAD.or(Class::ASK).or(Class::GREET);
    let roles = roles(tokens, lexicon);
    let first = roles.iter().find(|role| !role.comma && (!role.class.is(polite) || role.class.is(OTHER)));
    first.is_some_and(|role| role.class.is(OTHER.or(Class::NOT).or(Class::FILE)) && !role.class.is(AROUND))
}

struct Sentence<'a> {
    roles: &'a [Role],
    tokens: &'a [Token],
    lexicon: &'a Lexicon,
    pictured: bool,
}

fn roles(tokens: &[Token], lexicon: &Lexicon) -> Vec<Role> {
    let mut roles = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(rest) = tokens.get(at..).filter(|rest| !rest.is_empty()) {
        let (role, length) = role(rest, at, lexicon);
        roles.push(role);
        at += length;
    }
    roles
}

fn role(tokens: &[Token], token: usize, lexicon: &Lexicon) -> (Role, usize) {
    let (first, mut length) = (tokens.first(), 1);
    let (start, mut end) = first.map_or((0, 0), |first| (first.start, first.end));
    let mut role =
        Role { class: Class::NONE, code: None, quote: false, comma: false, start, end, token, tokens: 1 };
    match first.map(|first| (first.kind, first.word.as_str())) {
        Some((Kind::Quote, _)) => role.quote = true,
        Some((Kind::Code, _)) => role.class = Class::FILE,
        Some((Kind::Mark(_), _)) => role.comma = true,
        Some((Kind::Word, word)) => {
            if let Some(found) = lexicon.longest(tokens) {
                (role.class, role.code, length) = (found.class, found.code, found.tokens);
                end = tokens.get(length - 1).map_or(end, |last| last.end);
            } else if word.chars().all(|c| c.is_ascii_digit()) {
                role.class = Class::LEAD;
            }
        }
        None => {}
    }
    (role.end, role.tokens) = (end, length);
    (role, length)
}

/// Whether a language lets text stand before the verb of this sentence.
fn text_may_come_first(order: Order, before: &[Role]) -> bool {
    match order {
        Order::First => false,
        Order::Last => true,
        Order::Both => before.iter().any(|role| role.class.is(Class::ASK)),
    }
}
