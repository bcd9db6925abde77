//! What a request is about: quoted, after the colon, beneath the instruction, before it, the picture, or the last answer.
//!
//! The instruction itself is never part of it. Where two places could be meant, or what follows could be one more thing
//! to do, there is no answer: a specialist that is sent the wrong text does worse than the model that sees all of it.

use crate::detect::{Input, Pass, Sentence};
use crate::language::{Code, Guess, guess};
use crate::sentence::{Request, begins_task, is_idle, is_task};
use crate::token::scan;
use crate::words::Lexicon;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A part of the turn's text.
    Text(String),
    /// The assistant's last message.
    LastAnswer,
    /// The turn's only picture.
    Picture,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The sentence that asks.
    pub(crate) sentence: &'a Sentence<'a>,
    /// Those before it.
    pub(crate) before: &'a [Sentence<'a>],
    /// Those after it, as far as the turn was read.
    pub(crate) after: &'a [Sentence<'a>],
    /// The language it asks in.
    pub(crate) lexicon: &'a Lexicon,
}

/// Finds what a translation is about.
pub(crate) fn find(input: &Input<'_>, request: &mut Request, place: &Place<'_>) -> Result<Piece, Pass> {
    let text = match in_sentence(input, request, place)? {
        Some(text) => Some(text),
        None => around(input, request, place)?,
    };
    let answered = request.back && !input.last_answer.trim().is_empty();
    let certain = answered
        || request.quote.is_some()
        || (text.is_some() && request.inline.is_none())
        || !input.media.is_empty();
    if request.doubtful && !certain {
        return Err(Pass::Unclear("the request has words in it that are not understood"));
    }
    if request.weak && matches!((&text, request.into), (Some(text), Some(into)) if is_in(text, into)) {
        return Err(Pass::Unclear("the text is in that language already"));
    }
    match text {
        Some(_) if !input.media.is_empty() => Err(Pass::Unclear("both a text and media could be meant")),
        Some(text) => Ok(Piece::Text(text)),
        None if !input.media.is_empty() => picture(input),
        None if input.last_answer.trim().is_empty() => Err(Pass::Unclear("there is no text to translate")),
        None if request.described => Err(Pass::Unclear("the text it names is not in the turn")),
        None => Ok(Piece::LastAnswer),
    }
}

/// The turn's only picture; several, or media of another kind, are more than a specialist takes.
pub(crate) fn picture(input: &Input<'_>) -> Result<Piece, Pass> {
    match input.media {
        [kind] if kind == "image" => Ok(Piece::Picture),
        _ => Err(Pass::Unclear("the turn's media are not one picture")),
    }
}

/// The text where the sentence itself has it: quoted, after its colon, or among its words.
fn in_sentence(input: &Input<'_>, request: &Request, place: &Place<'_>) -> Result<Option<String>, Pass> {
    let rest = input.text.get(place.sentence.end..).unwrap_or_default().trim();
    let more = || place.after.iter().any(|sentence| is_task(sentence.tokens, place.lexicon));
    if place.sentence.mark == Some(':') && !rest.is_empty() && request.quote.is_none() {
        return Ok(Some(bare(without_thanks(rest, place.lexicon)).to_owned()));
    }
    let piece = match (request.quote, request.inline) {
        (Some((start, end)), _) => input.text.get(start..end).map(bare),
        (None, Some((start, _))) if request.open => {
            return Ok(input.text.get(start..).map(|text| bare(text).to_owned()));
        }
        (None, Some((start, end))) => input.text.get(start..end).map(bare),
        (None, None) => None,
    };
    let untold =
        |text: &str| !matches!(guess(text), Guess::Sure(code) if !code.same_language(request.spoken));
    if request.into.is_none() && request.quote.is_none() && piece.is_some_and(untold) {
        return Err(Pass::Unclear("neither a target nor a foreign text is named"));
    }
    if piece.is_some() && more() {
        return Err(Pass::Unclear("something else is asked after"));
    }
    Ok(piece.map(str::to_owned))
}

/// The text around the sentence: beneath it, after it, before it.
fn around(input: &Input<'_>, request: &mut Request, place: &Place<'_>) -> Result<Option<String>, Pass> {
    if request.quote.or(request.inline).is_some() {
        return Ok(None);
    }
    let rest = input.text.get(place.sentence.end..).unwrap_or_default();
    let lines_end = if place.sentence.mark == Some('\n') { Some(0) } else { rest.find('\n') };
    let (line, beneath) = lines_end.and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    let (line, beneath) = (line.trim(), beneath.trim());
    let same_line = scan(line, 0);
    let directions = crate::detect::sentences(&same_line, 0);
    let idle = directions.iter().all(|sentence| is_idle(sentence.tokens, place.lexicon));
    if !beneath.is_empty() {
        let text = without_thanks(beneath, place.lexicon);
        let nothing = text.is_empty();
        if directions.iter().any(|sentence| begins_task(sentence.tokens, place.lexicon)) {
            return Err(Pass::Unclear("something else is asked after"));
        }
        if !idle {
            request.wish = Some(line.to_owned());
        }
        return Ok((!nothing).then(|| bare(text).to_owned()));
    }
    if !line.is_empty() && !idle {
        let begins = directions.first().is_some_and(|sentence| begins_task(sentence.tokens, place.lexicon));
        // Beside a picture, words in the language of the request are a remark.
        let remark = !input.media.is_empty()
            && !matches!(guess(line), Guess::Sure(code) if !code.same_language(request.spoken));
        if remark && !begins && !directions.iter().any(|sentence| is_task(sentence.tokens, place.lexicon)) {
            return Ok(None);
        }
        let elsewhere =
            !input.media.is_empty() || request.described || (request.back && !input.last_answer.is_empty());
        if begins || elsewhere {
            return Err(Pass::Unclear("what follows could be the text or one more wish"));
        }
        return Ok(Some(bare(line).to_owned()));
    }
    before(input, request, place)
}

/// The text before the sentence, where it is more than a greeting or a word on why.
fn before(input: &Input<'_>, request: &Request, place: &Place<'_>) -> Result<Option<String>, Pass> {
    let idle = place.before.iter().all(|sentence| is_idle(sentence.tokens, place.lexicon));
    let text = input.text.get(..place.sentence.start).unwrap_or_default().trim();
    if idle || text.is_empty() || !input.media.is_empty() {
        return Ok(None);
    }
    let answered = !input.last_answer.trim().is_empty();
    if request.back && answered {
        return Ok(None);
    }
    let own_line = place.before.last().is_some_and(|sentence| sentence.mark == Some('\n'));
    let foreign = !is_in(text, request.spoken);
    if request.into.is_some_and(|into| is_in(text, into)) || (answered && !own_line && !foreign) {
        return Err(Pass::Unclear("what stands before could be the text or a remark"));
    }
    Ok(Some(bare(text).to_owned()))
}

/// Whether a text is surely in a language.
fn is_in(text: &str, language: Code) -> bool {
    matches!(guess(text), Guess::Sure(code) if code.same_language(language))
}

/// Without a last line that only thanks.
fn without_thanks<'a>(text: &'a str, lexicon: &Lexicon) -> &'a str {
    let text = text.trim();
    match text.rsplit_once('\n') {
        Some((above, last))
            if last.len() < 60 && is_idle(&scan(last, 0), lexicon) && !above.trim().is_empty() =>
        {
            above.trim()
        }
        _ => text,
    }
}

/// Without the marks that wrap the whole: quotation marks, a code fence, rules.
pub(crate) fn bare(text: &str) -> &str {
    const PAIRS: [(&str, &str); 17] = [
        ("(", ")"),
        ("\"\"\"", "\"\"\""),
        ("```", "```"),
        ("---", "---"),
        ("\"", "\""),
        ("“", "”"),
        ("„", "“"),
        ("„", "”"),
        ("«", "»"),
        ("»", "«"),
        ("「", "」"),
        ("『", "』"),
        ("‘", "’"),
        ("'", "'"),
        ("`", "`"),
        ("‚", "‘"),
        ("《", "》"),
    ];
    let text = text.trim().trim_start_matches([':', '：']).trim_end_matches(['¿', '¡']).trim();
    for (open, close) in PAIRS {
        let inner = text.strip_prefix(open).map(|rest| rest.strip_suffix(close).unwrap_or(rest));
        let Some(inner) = inner.filter(|inner| !inner.trim().is_empty()) else { continue };
        let fence = open.len() == 3 && open.is_ascii();
        if fence {
            return inner.split_once('\n').map_or(inner, |(_, rest)| rest).trim();
        }
        if text.ends_with(close) && !inner.contains(open) {
            return inner.trim();
        }
    }
    text
}
