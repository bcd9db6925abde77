//! Requests for a translation.

use super::target::{By, Found};
use super::{AROUND, Judgement, OTHER, READING, Role, Sentence, text_may_come_first, weak};
use crate::token::{Kind, Token, stands_alone};
use crate::words::{Class, Order};

/// Unknown words that may describe a text: "the opening lines of …".
const DESCRIPTION_MAX: usize = 8;

/// Unknown words after an article that are rather a thing described than a text: "the user manual".
const THING_MAX: usize = 3;

/// Articles and the like, folded.
const DETERMINERS: [&str; 52] = [
    "the", "my", "our", "your", "his", "her", "their", "all", "every", "der", "die", "das", "den", "dem",
    "mein", "meine", "meinen", "unser", "unsere", "alle", "unseren", "le", "la", "les", "mon", "ma", "mes",
    "notre", "nos", "tous", "el", "los", "las", "mi", "mis", "nuestro", "nuestra", "o", "os", "as", "meu",
    "minha", "nosso", "il", "lo", "gli", "i", "nostro", "de", "het", "mijn", "onze",
];

/// Prepositions that would begin a target: what follows them is no language we know.
const TOWARDS: [&str; 16] = [
    "into", "to", "in", "ins", "auf", "nach", "en", "vers", "al", "para", "em", "naar", "na", "на", "成",
    "为",
];

/// Words before the verb that may be unknown where the rest is beyond doubt.
pub(super) const DOUBT_MAX: usize = 3;

/// Judges a sentence.
pub(super) fn judge(sentence: &Sentence<'_>) -> Judgement {
    let asks = Class::VERB.or(Class::NOUN).or(Class::SAY);
    let Some(verb) = sentence.roles.iter().position(|role| role.class.is(asks)) else {
        return weak::judge(sentence);
    };
    let (before, rest) = sentence.roles.split_at_checked(verb).unwrap_or_default();
    let Some((asking, after)) = rest.split_first() else { return Judgement::Other };
    let by = if asking.class.is(Class::VERB) {
        By::Verb
    } else if asking.class.is(Class::SAY) {
        By::Say
    } else {
        By::Noun
    };
    if sentence.is_glued(asking) {
        return Judgement::Other;
    }
    let clause = last_clause(before, AROUND.or(Class::GREET));
    if clause.iter().any(|role| role.class.is(Class::NOT)) {
        return Judgement::Denial;
    }
    let Some(after) = without_aside(after) else { return Judgement::Other };
    let mut found = Found::default();
    let sound = sentence.before(clause, by, &mut found) && sentence.after(asking, after, by, &mut found);
    if !sound {
        let denied = by == By::Verb && after.first().is_some_and(|role| role.class.is(Class::NOT));
        return if denied { Judgement::Denial } else { Judgement::Other };
    }
    sentence.conclude(clause, asking, after, by, found).map_or(Judgement::Other, Judgement::Request)
}

/// What stands after the last comma, if that is a beginning of a request by itself; a clause before it may say anything
/// that is no task.
pub(super) fn last_clause(before: &[Role], allowed: Class) -> &[Role] {
    let Some(comma) = before.iter().rposition(|role| role.comma) else { return before };
    let (first, last) = before.split_at_checked(comma + 1).unwrap_or((before, &[]));
    let task = first.iter().any(|role| role.class.is(OTHER.or(Class::FILE)));
    let begun = last.iter().all(|role| role.class.is(allowed) || role.quote);
    if task || !begun { before } else { last }
}

/// The words after the verb up to the reason for the request; none where the reason is another task.
pub(super) fn without_aside(after: &[Role]) -> Option<&[Role]> {
    let anchors = Class::INTO.or(Class::THIS).or(Class::BACK);
    let anchored = |at: usize| after.iter().take(at).any(|role| role.quote || role.class.is(anchors));
    let comma_ends = |at: usize| {
        let rest = after.get(at..).unwrap_or_default();
        after.iter().take(at).any(|role| role.class.is(Class::INTO))
            && !rest.iter().any(|role| role.quote || role.class.is(Class::INTO.or(Class::BARE)))
    };
    let aside = |(at, role): (usize, &Role)| {
        (role.class.is(Class::ASIDE) && anchored(at) && !role.class.is(Class::INTO))
            || (role.comma && comma_ends(at))
    };
    let Some(at) = after.iter().enumerate().position(aside) else { return Some(after) };
    let (kept, dropped) = after.split_at_checked(at)?;
    let task = dropped
        .iter()
        .any(|role| role.class.is(Class::TALK.or(Class::FILE)) && !role.class.is(Class::ONLY.or(AROUND)));
    (!task).then_some(kept)
}

impl Sentence<'_> {
    /// The words before the verb: nothing but what belongs to a request, or the text itself where it may stand there.
    fn before(&self, before: &[Role], by: By, found: &mut Found) -> bool {
        let strays = self.strays(before, by);
        let strays: Vec<_> = strays.into_iter().filter(|&at| !self.is_polite(before, at)).collect();
        let (Some(&first), Some(&last)) = (strays.first(), strays.last()) else {
            return !before.iter().any(|role| self.is_file(role));
        };
        let may = match by {
            By::Say => self.lexicon.order != Order::First,
            _ => text_may_come_first(self.lexicon.order, before),
        };
        if !may {
            return self.doubt(before, &strays, found);
        }
        let stops = Class::ASK.or(Class::INTO).or(Class::FROM);
        let begin =
            before.iter().take(first).rposition(|role| role.comma || role.quote || role.class.is(stops));
        let begin = begin.map_or(0, |at| at + 1);
        let end =
            before.iter().enumerate().skip(last).find(|(_, role)| role.class.is(Class::INTO.or(Class::FROM)));
        let end = end.map_or(before.len(), |(at, _)| at);
        let region = before.get(begin..end).unwrap_or_default();
        self.take(region, found) && !region.iter().any(|role| role.class.is(OTHER.or(Class::NOT)))
    }

    /// A word or two that no list knows, before a verb that is beyond doubt.
    fn doubt(&self, before: &[Role], strays: &[usize], found: &mut Found) -> bool {
        let limit = if self.pictured { 2 * DOUBT_MAX } else { DOUBT_MAX };
        let unknown = |&at: &usize| before.get(at).is_some_and(|role| role.class == Class::NONE);
        found.doubtful = strays.len() <= limit
            && strays.iter().all(unknown)
            && !before.iter().any(|role| self.is_file(role));
        found.doubtful
    }

    /// The words after the verb.
    fn after(&self, asking: &Role, after: &[Role], by: By, found: &mut Found) -> bool {
        if after.iter().any(|role| self.is_file(role)) {
            return false;
        }
        let mut strays = self.strays(after, by);
        strays.retain(|&at| !self.is_thanks(after, at));
        if strays.is_empty() {
            return true;
        }
        let named = self.code_inside(asking).is_some();
        let Some(into) = after.iter().position(|role| role.class.is(Class::INTO)) else {
            if by == By::Say && named {
                return self.take(after, found);
            }
            return self.without_target(after, &strays, by, found);
        };
        let (object, rest) = after.split_at_checked(into).unwrap_or_default();
        if strays.first().is_some_and(|&first| first < into) {
            let sound = if object.iter().any(|role| role.quote) {
                self.describe(object, found)
            } else {
                self.take(object, found)
            };
            if !sound {
                return false;
            }
        }
        let late = strays.iter().filter(|&&at| at > into).count();
        let object_known = found.inline.is_some()
            || found.described
            || object
                .iter()
                .any(|role| role.quote || role.class.is(Class::THIS.or(Class::BACK).or(Class::TEXT)))
            || self.roles.iter().any(|role| role.quote);
        match rest.get(1..) {
            Some(text) if late > 0 && !object_known => take_open(text, found),
            Some(text) if late > 0 => {
                late <= DESCRIPTION_MAX && !text.iter().any(|role| role.class.is(OTHER.or(Class::NOT)))
            }
            _ => true,
        }
    }

    /// Unknown words and no target: a text to be translated into the user's own language, or a target we do not know.
    fn without_target(&self, after: &[Role], strays: &[usize], by: By, found: &mut Found) -> bool {
        let lead = |role: &&Role| role.class.is(Class::LEAD) && !self.word_is(role, &TOWARDS);
        let towards = |&at: &usize| {
            let mut before = after.iter().take(at).rev().skip_while(lead);
            before.next().is_some_and(|role| self.word_is(role, &TOWARDS))
        };
        let quoted = after.iter().any(|role| role.quote);
        if by == By::Say || strays.iter().any(towards) {
            return false;
        }
        if after.iter().any(|role| role.class.is(OTHER.or(Class::NOT))) {
            return false;
        }
        if quoted || by == By::Noun { self.describe(after, found) } else { self.take(after, found) }
    }

    /// Takes a stretch of words as the text, or as a description of it.
    fn take(&self, region: &[Role], found: &mut Found) -> bool {
        if region.iter().any(|role| self.is_file(role)) {
            return false;
        }
        if self.pictured {
            return self.describe(region, found);
        }
        let text = self.text_of(region);
        let unknown = text.iter().filter(|role| role.class == Class::NONE).count();
        let points = region
            .iter()
            .any(|role| role.class.is(Class::THIS.or(Class::BACK)) && !role.class.is(Class::LEAD));
        let named = text.len() < region.len() && region.iter().any(|role| role.class.is(Class::TEXT));
        let thing = text.first().is_some_and(|role| self.word_is(role, &DETERMINERS)) && unknown <= THING_MAX;
        let pointed = points
            && self.lexicon.order == Order::First
            && region.first().is_some_and(|role| role.class.is(Class::THIS));
        if (thing || pointed) && !named {
            return self.describe(region, found);
        }
        found.inline = text.first().zip(text.last()).map(|(first, last)| (first.start, last.end));
        found.inline.is_some()
    }

    /// The text within a stretch of words: what follows "the phrase", without "please" and without particles.
    fn text_of<'r>(&self, region: &'r [Role]) -> &'r [Role] {
        let stray = region.iter().position(|role| !role.class.is(AROUND) && !role.comma).unwrap_or(0);
        let name = region.iter().take(stray).rposition(|role| role.class.is(Class::TEXT));
        let polite = region.iter().take(stray).rposition(|role| role.class.is(Class::ASK));
        let begin = name.or(polite).map_or(0, |at| at + 1);
        let last = region.iter().rposition(|role| !role.class.is(AROUND) && !role.comma).unwrap_or(0);
        let particles = self.lexicon.order == Order::Last;
        let end = if particles { last + 1 } else { region.len() };
        region.get(begin..end).unwrap_or_default()
    }

    /// Words that describe the text; it must be somewhere else.
    fn describe(&self, region: &[Role], found: &mut Found) -> bool {
        found.described = true;
        let unknown =
            region.iter().filter(|role| role.class == Class::NONE && !role.comma && !role.quote).count();
        unknown <= DESCRIPTION_MAX && !region.iter().any(|role| role.class.is(OTHER.or(Class::NOT)))
    }

    /// A quotation of more than a word.
    pub(super) fn is_sentence(&self, role: &Role) -> bool {
        role.end - role.start > 12
    }

    /// A greeting before the request. Where text may come first, one that neither a comma nor a request follows is text.
    fn is_polite(&self, before: &[Role], at: usize) -> bool {
        let later = before.get(at + 1..).unwrap_or_default();
        let aside = later.first().is_some_and(|next| next.comma)
            || (self.lexicon.order == Order::Both && later.iter().any(|role| role.class.is(Class::ASK)));
        before.get(at).is_some_and(|role| role.class.is(Class::GREET))
            && (self.lexicon.order == Order::First || aside)
    }

    /// Thanks at the end of a request for a translation into the language they are in: no text would be left to translate.
    fn is_thanks(&self, after: &[Role], at: usize) -> bool {
        let own = |role: &Role| role.class.is(Class::INTO) && role.code == Some(self.lexicon.code);
        let (before, rest) = after.split_at_checked(at).unwrap_or((after, &[]));
        before.iter().any(own) && rest.iter().all(|role| role.class.is(Class::GREET.or(Class::LEAD)))
    }

    /// A Latin word set right against Han or Kana is a name there, not a verb: `translate関数`.
    fn is_glued(&self, asking: &Role) -> bool {
        let alone = |token: &Token| token.word.chars().next().is_some_and(stands_alone);
        let latin = self.tokens.get(asking.token).is_some_and(|token| !alone(token));
        let touches = |token: &Token| {
            token.kind == Kind::Word
                && alone(token)
                && (token.start == asking.end || token.end == asking.start)
        };
        latin && self.tokens.iter().any(touches)
    }

    /// Positions of the words that do not belong to a request.
    fn strays(&self, roles: &[Role], by: By) -> Vec<usize> {
        let mut allowed = AROUND.or(Class::NOUN);
        if by == By::Noun {
            allowed = allowed.or(Class::PUT);
        }
        if self.pictured {
            allowed = allowed.or(READING).or(Class::VERB);
        }
        let stray = |role: &Role| {
            let denied = role.class.is(OTHER.or(Class::NOT)) && !role.class.is(AROUND);
            !role.comma && !role.quote && (denied || !role.class.is(allowed))
        };
        roles.iter().enumerate().filter(|(_, role)| stray(role)).map(|(at, _)| at).collect()
    }

    /// Something that coding agents work on; in a turn with a picture, a menu is a menu.
    pub(super) fn is_file(&self, role: &Role) -> bool {
        let pictured = self.pictured && role.class.is(Class::PICTURE.or(READING));
        role.class.is(Class::FILE) && !pictured && !role.class.is(Class::INTO.or(Class::FROM))
    }

    pub(super) fn word_is(&self, role: &Role, words: &[&str]) -> bool {
        self.tokens.get(role.token).is_some_and(|token| words.contains(&token.word.as_str()))
    }

    /// A role that covers nothing, for sentences without a verb.
    pub(super) fn edge(&self) -> Role {
        let token = self.tokens.len();
        Role {
            class: Class::NONE,
            code: None,
            quote: false,
            comma: false,
            start: 0,
            end: 0,
            token,
            tokens: 0,
        }
    }
}

/// Text that follows the target and runs to the end of the turn.
fn take_open(text: &[Role], found: &mut Found) -> bool {
    found.inline = text.iter().find(|role| !role.class.is(Class::ASK)).map(|role| (role.start, role.end));
    found.open = true;
    found.inline.is_some()
}
