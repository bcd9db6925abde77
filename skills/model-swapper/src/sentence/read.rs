//! Requests to write down the text in a picture.

use super::{AROUND, Act, Judgement, READING, Request, Role};
use crate::words::{Class, Lexicon};

/// Words beside the request that may be unknown: what kind of picture it is, whose, where.
const UNKNOWN_MAX: usize = 5;

/// Judges a sentence of a turn that has a picture. With a language to go into, it is a translation of the picture.
pub(super) fn judge(roles: &[Role], lexicon: &Lexicon) -> Judgement {
    let has = |class: Class| roles.iter().any(|role| role.class.is(class));
    let wanted = has(Class::WRITTEN) || (has(Class::READ) && has(Class::GLYPHS));
    let talk = |role: &Role| {
        let known = role.class.is(AROUND.or(READING).or(Class::GREET));
        role.class.is(Class::TALK.or(Class::NOT)) || (role.class.is(Class::FILE) && !known)
    };
    let unknown = roles.iter().filter(|role| role.class == Class::NONE && !role.comma && !role.quote).count();
    if !wanted || roles.iter().any(talk) || unknown > UNKNOWN_MAX.min(roles.len() - unknown) {
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
        known: roles.len() - unknown,
    })
}
