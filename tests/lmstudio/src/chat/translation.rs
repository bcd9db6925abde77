//! What a translation model answers: the phrase book's sentence, whichever way it was asked.
//!
//! Asked with codes in the part, or with an instruction that names the languages and the text beneath it after two
//! blank lines; for a picture, the sentence that its description names, else one picked by its hash, with the hash.

use super::phrasebook;
use super::prompt::{description, digest, own_words};
use super::request::Message;

/// The language into which is translated what is not English, and from English.
const ENGLISH: &str = "en";
const FROM_ENGLISH: &str = "de";

/// What stands between an instruction and the text.
const BENEATH: &str = "\n\n\n";

/// The answer to one user message.
pub(super) fn answer(message: &Message<'_>) -> String {
    let codes = message.parts().iter().find_map(|part| {
        let target = part.target_lang_code.as_deref().filter(|code| !code.is_empty())?;
        Some(target.to_owned())
    });
    let words = own_words(message);
    let (instruction, text) = match (&codes, words.split_once(BENEATH)) {
        (Some(_), _) => ("", words.trim()),
        (None, Some((instruction, text))) => (instruction, text.trim()),
        (None, None) => after_colon(&words),
    };
    let target = codes.or_else(|| named_target(instruction).map(str::to_owned));
    let mut lines: Vec<String> = message.images().filter_map(|url| picture(url, target.as_deref())).collect();
    if lines.is_empty() || (!text.is_empty() && phrasebook::translate(text, ENGLISH).is_some()) {
        lines.insert(0, sentence(text, target.as_deref()));
    }
    lines.join("\n")
}

fn sentence(text: &str, target: Option<&str>) -> String {
    let source = phrasebook::translate(text, ENGLISH).map(|(_, source)| source);
    let target = target.unwrap_or(if source == Some(ENGLISH) { FROM_ENGLISH } else { ENGLISH });
    match phrasebook::translate(text, target) {
        Some((translated, _)) => translated.to_owned(),
        None => format!("({target}) {text}"),
    }
}

fn picture(url: &str, target: Option<&str>) -> Option<String> {
    let digest = digest(url)?;
    let seed = usize::from_str_radix(&digest, 16).unwrap_or_default();
    let target = target.unwrap_or(ENGLISH);
    let seen = description(url).and_then(|text| phrasebook::translate(&text, target)).map(|(text, _)| text);
    let sentence = seen.or_else(|| phrasebook::any(seed, target)).unwrap_or_default();
    Some(format!("The picture says: {sentence} image sha256:{digest}"))
}

/// The last language that is named after "to" or "into" (or "ins", "nach", "en"), or else the last named at all.
fn named_target(instruction: &str) -> Option<&'static str> {
    let words: Vec<&str> =
        instruction.split(|it: char| !it.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let toward = words.windows(2).rev().find_map(|pair| match pair {
        [before, language] if ["to", "into", "ins", "nach"].contains(&before.to_lowercase().as_str()) => {
            phrasebook::language(language)
        }
        _ => None,
    });
    toward.or_else(|| words.iter().rev().find_map(|word| phrasebook::language(word)))
}

/// A request in one line: the instruction before the first colon, the text after it. Without one all of it is text.
fn after_colon(words: &str) -> (&str, &str) {
    match words.split_once(':') {
        Some((instruction, text)) => (instruction, text.trim()),
        None if named_target(words).is_some() => (words, ""),
        None => ("", words.trim()),
    }
}
