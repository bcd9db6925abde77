//! Requests that name a language and no translation: "put this into French", "and in Italian?".

use super::target::{By, Found};
use super::translate::{DOUBT_MAX, last_clause, without_aside};
use super::{AROUND, Judgement, OTHER, READING, Request, Role, Sentence};
use crate::words::Class;

/// Judges a sentence without a verb that asks for a translation.
pub(super) fn judge(sentence: &Sentence<'_>) -> Judgement {
    let allowed = if sentence.pictured { AROUND.or(READING) } else { AROUND.or(Class::PUT) }.or(Class::GREET);
    let last = last_clause(sentence.roles, allowed);
    let last = if last.iter().any(|role| role.class.is(Class::INTO)) { last } else { sentence.roles };
    let Some(roles) = without_aside(last) else { return Judgement::Other };
    let has = |class: Class| roles.iter().any(|role| role.class.is(class));
    let known = |role: &Role| role.quote || role.comma || role.class.is(allowed);
    // "… means what in French?", "how is … in Italian?": with a whole sentence quoted, that is a request.
    let quotation = roles.iter().any(|role| role.quote && sentence.is_sentence(role));
    let means = has(Class::MEAN);
    let asked =
        |role: &Role| role.class.is(Class::MEAN) || (role.class.is(Class::TALK) && (quotation || means));
    let strange = |role: &Role| {
        if asked(role) {
            return false;
        }
        (role.class.is(OTHER.or(Class::NOT)) && !role.class.is(Class::ONLY))
            || sentence.is_file(role)
            || (role.class != Class::NONE && !known(role))
    };
    let unknown = roles.iter().filter(|role| !known(role)).map(|role| role.tokens).sum::<usize>();
    let limit = if quotation || sentence.pictured { 2 * DOUBT_MAX } else { DOUBT_MAX };
    let quoted = roles.iter().any(|role| role.quote);
    let pointed = quoted || has(Class::THIS.or(Class::BACK));
    let reading = sentence.pictured && has(Class::WRITTEN);
    // "Poem in Spanish", "answer in English": a text that is not pointed at is one to be written.
    let loose = has(Class::TEXT) && !pointed && !sentence.pictured;
    if reading || loose || unknown > limit || roles.iter().any(strange) {
        return Judgement::Other;
    }
    let request = sentence.conclude(roles, &sentence.edge(), &[], By::Verb, Found::default());
    let doubtful = unknown > 0 || means || (has(Class::PUT) && !pointed);
    match request {
        Some(request) if request.into.is_some() => {
            Judgement::Request(Request { weak: true, doubtful, ..request })
        }
        _ => Judgement::Other,
    }
}
