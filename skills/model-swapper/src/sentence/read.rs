//! Requests to write down the text in a picture.

use super::{AROUND, Act, Judgement, OTHER, READING, Request, Role};
use crate::words::{Class, Lexicon, Order};

/// Words beside the request that may be unknown: what kind of picture it is, whose, where.
const UNKNOWN_MAX: usize = 5;

/// Judges a sentence of a turn that has a picture. With a language to go into, it is a translation of the picture.
pub(super) fn judge(roles: &[Role], lexicon: &Lexicon) -> Judgement {
    let roles = up_to_remark(after_remark(roles));
    let talk = |role: &Role| {
        let known = role.class.is(AROUND.or(READING).or(Class::GREET));
        role.class.is(OTHER.or(Class::NOT)) || (role.class.is(Class::FILE) && !known)
    };
    let count = |unknown: bool| {
        let counted = roles.iter().filter(|role| !role.comma && (role.class == Class::NONE) == unknown);
        counted.map(|role| role.tokens).sum::<usize>()
    };
    let unknown = count(true);
    // "日本語だと何て…": a language in an unknown form could be the one wanted.
    let unclear = lexicon.order == Order::Last
        && roles.iter().any(|role| role.class.is(Class::BARE) && !role.class.is(Class::INTO));
    if unclear || !wanted(roles) || roles.iter().any(talk) || unknown > UNKNOWN_MAX.min(count(false)) {
        return Judgement::Other;
    }
    let into = roles.iter().filter(|role| role.class.is(Class::INTO)).find_map(|role| role.code);
    Judgement::Request(Request {
        act: if into.is_some() { Act::Translate } else { Act::Read },
        spoken: lexicon.code,
        into,
        from: None,
        quote: None,
        inline: None,
        open: false,
        back: false,
        described: false,
        weak: false,
        known: count(false),
        doubtful: false,
        wish: None,
    })
}

/// Whether the words ask for a reading: a whole phrase, or a verb and what it reads.
fn wanted(roles: &[Role]) -> bool {
    let has = |class: Class| roles.iter().any(|role| role.class.is(class));
    let only_reads = |role: &Role| role.class.is(Class::READ) && !role.class.is(Class::PUT.or(Class::LEAD));
    has(Class::WRITTEN)
        || (has(Class::READ) && has(Class::GLYPHS))
        || (roles.iter().any(only_reads) && has(Class::TEXT.or(Class::PICTURE)))
}

/// The words up to a comma after which nothing belongs to the request: "…, I don't have my glasses".
fn up_to_remark(roles: &[Role]) -> &[Role] {
    let commas = roles.iter().enumerate().filter(|(_, role)| role.comma).map(|(at, _)| at);
    let ends = |&at: &usize| {
        let (first, rest) = roles.split_at_checked(at).unwrap_or((roles, &[]));
        wanted(first) && is_remark(rest)
    };
    commas.into_iter().find(ends).and_then(|at| roles.get(..at)).unwrap_or(roles)
}

/// The words after a comma before which nothing belongs to the request: "I don't have my glasses, …".
fn after_remark(roles: &[Role]) -> &[Role] {
    let commas = roles.iter().enumerate().filter(|(_, role)| role.comma).map(|(at, _)| at);
    let begins = |at: usize| {
        let (first, rest) = roles.split_at_checked(at + 1)?;
        (wanted(rest) && is_remark(first)).then_some(rest)
    };
    commas.into_iter().find_map(begins).unwrap_or(roles)
}

/// Whether words beside a request only say why: they ask for nothing, or say what the user cannot read.
fn is_remark(roles: &[Role]) -> bool {
    let has = |class: Class| roles.iter().any(|role| role.class.is(class));
    let asks = Class::INTO.or(Class::VERB).or(OTHER);
    !has(asks) && (has(Class::NOT) || !has(Class::READ.or(Class::WRITTEN)))
}
