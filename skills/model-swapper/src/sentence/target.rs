//! From the parts of a sentence to a request: which languages it names, what it points at, and whether it is worth a
//! specialist.

use super::{Act, Request, Role, Sentence};
use crate::language::Code;
use crate::token::stands_alone;
use crate::words::{Class, Order};

/// Characters of a script without spaces that are rather a word than a sentence.
const UNSPACED_WORD_MAX: usize = 3;

/// Words of the user's own: what they name is not the assistant's last answer.
const OWN: [&str; 30] = [
    "my", "our", "mein", "meine", "meinen", "unser", "unsere", "mon", "ma", "mes", "notre", "nos", "mi",
    "mis", "nuestro", "meu", "minha", "nosso", "mio", "mia", "nostro", "mijn", "onze", "moj", "moja", "moje",
    "мой", "мою", "мое", "мои",
];

/// How the sentence asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// A verb: "translate".
    Verb,
    /// The thing: "a translation".
    Noun,
    /// A question: "how do you say".
    Say,
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) inline: Option<(usize, usize)>,
    pub(super) open: bool,
    pub(super) described: bool,
    pub(super) doubtful: bool,
}

impl Sentence<'_> {
    /// Puts together what was found; none where there are several targets, or none for a question that needs one.
    pub(super) fn conclude(
        &self,
        before: &[Role],
        asking: &Role,
        after: &[Role],
        by: By,
        found: Found,
    ) -> Option<Request> {
        let outside =
            |role: &&Role| found.inline.is_none_or(|(start, end)| role.end <= start || role.start >= end);
        let near: Vec<&Role> = before.iter().chain(after).filter(outside).collect();
        let (into, second) = targets(&near)?;
        let earlier = self
            .roles
            .iter()
            .take_while(|role| role.token < asking.token && role.class.is(Class::INTO) || !role.comma);
        let into = into.or_else(|| {
            earlier
                .filter(|role| role.class.is(Class::INTO) && role.token < asking.token)
                .find_map(|role| role.code)
        });
        let bare = near
            .iter()
            .find(|role| role.class.is(Class::BARE) && !role.class.is(Class::INTO.or(Class::FROM)));
        let bare = bare.and_then(|role| role.code);
        let named = near
            .iter()
            .find(|role| role.class.is(Class::FROM) && !role.class.is(Class::INTO))
            .and_then(|role| role.code);
        let beside =
            before.last().filter(|role| self.lexicon.order != Order::First && role.class.is(Class::BARE));
        let own_code =
            asking.code.filter(|_| asking.class.is(Class::INTO)).or(beside.and_then(|role| role.code));
        let inside = self.code_inside(asking).or(own_code);
        let into = into.or(inside).or(if by == By::Verb { None } else { bare });
        let from = named.or(second).or(bare.filter(|&bare| Some(bare) != into));
        let vague = by == By::Noun && (found.doubtful || found.described);
        if into.is_none() && (by == By::Say || vague) {
            return None;
        }
        if by == By::Say && self.is_vocabulary(&found) {
            return None;
        }
        let has = |class: Class| near.iter().any(|role| role.class.is(class));
        let own = near.iter().any(|role| self.word_is(role, &OWN));
        let quotes: Vec<_> = self.roles.iter().filter(|role| role.quote).collect();
        Some(Request {
            act: Act::Translate,
            spoken: self.lexicon.code,
            into,
            from,
            quote: quotes.first().zip(quotes.last()).map(|(first, last)| (first.start, last.end)),
            inline: found.inline,
            open: found.open,
            back: has(Class::BACK),
            described: found.described || own,
            weak: false,
            doubtful: found.doubtful,
            wish: None,
            known: self.roles.iter().filter(|role| role.class != Class::NONE).count(),
        })
    }

    /// A language named within the asking phrase: "what is the German word for".
    pub(super) fn code_inside(&self, asking: &Role) -> Option<Code> {
        let covered = self
            .tokens
            .iter()
            .enumerate()
            .skip(asking.token + 1)
            .take_while(|(_, token)| token.end <= asking.end);
        covered
            .filter_map(|(at, _)| self.lexicon.longest(self.tokens.get(at..)?))
            .find_map(|found| found.code)
    }

    /// Asks for a single word: a model is not worth changing for that.
    fn is_vocabulary(&self, found: &Found) -> bool {
        let mut quotes = self.roles.iter().filter(|role| role.quote);
        let spans = found.inline.into_iter().chain(quotes.next().map(|role| (role.start, role.end)));
        let word = |(start, end): (usize, usize)| {
            let inside = || self.tokens.iter().filter(|token| token.start >= start && token.end <= end);
            let quote = self.roles.iter().any(|role| role.quote && role.start == start);
            let spaced = self.lexicon.order != Order::Last && self.lexicon.code.is_spaced();
            match (quote, spaced) {
                (true, spaced) => spaced && self.one_word(start),
                (false, true) => inside().count() == 1,
                (false, false) => !self.lexicon.code.is_spaced() && inside().count() <= UNSPACED_WORD_MAX,
            }
        };
        let mut spans = spans.peekable();
        spans.peek().is_some() && spans.all(word)
    }

    /// Whether the quotation that begins here is a single word; in a script without spaces a sentence looks like one.
    fn one_word(&self, start: usize) -> bool {
        let quote = self.tokens.iter().find(|token| token.start == start);
        quote.is_some_and(|token| {
            let words = token.word.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric));
            let unspaced = token.word.chars().filter(|&c| stands_alone(c)).count();
            words.count() == 1 && unspaced <= UNSPACED_WORD_MAX
        })
    }
}

/// The language to translate into and, where two are named so, the one before it; none where both are wanted.
fn targets(near: &[&Role]) -> Option<(Option<Code>, Option<Code>)> {
    let mut named = near
        .iter()
        .enumerate()
        .filter(|(_, role)| role.class.is(Class::INTO))
        .filter_map(|(at, role)| Some((at, role.code?)));
    let Some((at, first)) = named.next() else { return Some((None, None)) };
    let second = named.next_back();
    let joined = |from: usize| {
        let link = |role: &&&Role| (role.comma || role.class.is(Class::LEAD)) && !role.class.is(Class::BARE);
        let next = near.iter().skip(from + 1).find(|role| !link(role));
        let gap = near.iter().skip(from + 1).take_while(link).count();
        next.filter(|role| gap > 0 && gap <= 2 && role.class.is(Class::BARE.or(Class::INTO)))
            .and_then(|role| role.code)
    };
    if joined(at).is_some_and(|code| code != first) {
        return None;
    }
    match second {
        Some((_, last)) if last != first => Some((Some(last), Some(first))),
        _ => Some((Some(first), None)),
    }
}
