//! What a specialist is sent: the recipes that turn a request into a prompt.
//!
//! TranslateGemma's own template takes one user message with exactly one part and both language codes on it, no system
//! message and no history (its model card); llama-server takes the codes in `chat_template_kwargs`. Where the template
//! was replaced by an ordinary one, it wants to be told that it is a professional translator, so that form follows as
//! the next candidate on the same model.

use pointsman_sdk::{Candidate, Part, Prompt};
use serde::{Deserialize, Serialize};

use crate::language::Code;
use crate::payload::Piece;

/// Tokens that TranslateGemma was trained to read and write in all.
pub(crate) const TRANSLATEGEMMA_TOKENS: u32 = 2048;

/// How a model wants to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Recipe {
    /// As the model's name suggests.
    #[default]
    Auto,
    /// An instruction that names the languages, then the text or the picture.
    Turn,
    /// One part that carries the codes, then `turn`.
    Translategemma,
    /// The conversation as it is.
    Conversation,
}

/// A translation, ready to be written down.
#[derive(Debug, Clone)]
pub(crate) struct Translation {
    /// From this language.
    pub(crate) source: Code,
    /// Into this one.
    pub(crate) target: Code,
    /// What is translated.
    pub(crate) piece: Piece,
    /// How, in the user's words.
    pub(crate) wish: Option<String>,
}

impl Recipe {
    /// What `auto` means for a model.
    fn for_model(self, model: &str) -> Self {
        match self {
            Self::Auto if model.to_lowercase().contains("translategemma") => Self::Translategemma,
            Self::Auto => Self::Turn,
            chosen => chosen,
        }
    }
}

/// The ways to ask a model for a translation.
pub(crate) fn translate(model: &str, recipe: Recipe, translation: &Translation) -> Vec<Candidate> {
    let told = Candidate::new(model).with_prompt(told(translation));
    match recipe.for_model(model) {
        Recipe::Conversation => vec![Candidate::new(model)],
        Recipe::Translategemma => {
            let (coded, told) = (coded(model, translation), told.with_context(TRANSLATEGEMMA_TOKENS));
            // The model's own template has no room for a wish.
            if translation.wish.is_some() { vec![told, coded] } else { vec![coded, told] }
        }
        _ => vec![told],
    }
}

/// The way to ask a model for the text of the turn's pictures.
pub(crate) fn read(model: &str, recipe: Recipe, pictures: usize) -> Candidate {
    if recipe == Recipe::Conversation {
        return Candidate::new(model);
    }
    let instruction = "Write down all text in the picture exactly as it stands, in reading order, line by line. \
                       Answer with that text alone. The wish of the user:\n\n";
    let mut prompt = Prompt::user().text(instruction).user_text();
    for index in (0..).take(pictures) {
        prompt = prompt.media(index);
    }
    Candidate::new(model).with_prompt(prompt)
}

/// The merge patch for llama-server, which hands these to the template.
#[derive(Serialize)]
struct Patch {
    chat_template_kwargs: Codes,
}

#[derive(Serialize)]
struct Codes {
    source_lang_code: &'static str,
    target_lang_code: &'static str,
}

/// One part with both codes, for the model's own template.
fn coded(model: &str, Translation { source, target, piece, .. }: &Translation) -> Candidate {
    let prompt = Prompt::user()
        .part(part(piece))
        .field("source_lang_code", source.as_str())
        .field("target_lang_code", target.as_str());
    let codes = Codes { source_lang_code: source.as_str(), target_lang_code: target.as_str() };
    let patch = serde_json::to_string(&Patch { chat_template_kwargs: codes }).unwrap_or_default();
    Candidate::new(model).with_prompt(prompt).with_patch(patch).with_context(TRANSLATEGEMMA_TOKENS)
}

/// An instruction and the text two blank lines below it, or the picture.
fn told(Translation { source, target, piece, wish }: &Translation) -> Prompt {
    let (from, into) = (source.name(), target.name());
    let what = if *piece == Piece::Picture { "the text in the picture" } else { "the text below" };
    let wish = wish.as_ref().map_or(String::new(), |wish| format!(" The user wishes: {wish}"));
    let instruction = format!(
        "You are a professional translator from {from} ({}) to {into} ({}). Translate {what} into {into}, faithful to its \
         meaning and tone. Answer with the {into} translation only, without comments.{wish}\n\n\n",
        source.as_str(),
        target.as_str()
    );
    match piece {
        Piece::Text(text) => Prompt::user().text(format!("{instruction}{text}")),
        piece => Prompt::user().text(instruction).part(part(piece)),
    }
}

fn part(piece: &Piece) -> Part {
    match piece {
        Piece::Text(text) => Part::Text(text.clone()),
        Piece::LastAnswer => Part::LastAnswer,
        Piece::Picture => Part::Media(0),
    }
}

/// A rough count of the tokens a text takes: a quarter of its bytes in alphabets, one a character in Han and Kana, half
/// a character elsewhere.
pub(crate) fn tokens(text: &str) -> u32 {
    let quarters: usize = text
        .chars()
        .map(|c| match c {
            _ if crate::token::stands_alone(c) => 4,
            _ if c.is_ascii() => 1,
            _ => 2,
        })
        .sum();
    u32::try_from(quarters / 4 + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translation(piece: Piece) -> Translation {
        Translation { source: Code::GERMAN, target: Code::ENGLISH, piece, wish: None }
    }

    #[test]
    fn the_strict_template_gets_one_part_with_the_codes_and_the_ordinary_one_an_instruction() {
        let candidates =
            translate("google/translategemma-12b-it", Recipe::Auto, &translation(Piece::Picture));
        let [strict, told] = &candidates[..] else { panic!("two ways") };

        let message = &strict.prompt.as_ref().unwrap().messages[0];
        assert_eq!((message.role.as_str(), message.parts.len()), ("user", 1));
        assert_eq!(message.parts[0].content, Part::Media(0));
        assert_eq!(
            message.parts[0].fields.as_deref(),
            Some(r#"{"source_lang_code":"de","target_lang_code":"en"}"#)
        );
        assert_eq!(
            strict.patch.as_deref(),
            Some(r#"{"chat_template_kwargs":{"source_lang_code":"de","target_lang_code":"en"}}"#)
        );

        let parts = &told.prompt.as_ref().unwrap().messages[0].parts;
        assert!(
            matches!(&parts[0].content, Part::Text(text) if text.contains("from German (de) to English (en)"))
        );
        assert_eq!(parts[1].content, Part::Media(0));
        assert_eq!(told.patch, None);
    }

    #[test]
    fn another_model_is_told_what_to_do() {
        let candidates =
            translate("acme/otter-8b", Recipe::Auto, &translation(Piece::Text("Hallo".to_owned())));
        let parts = &candidates[0].prompt.as_ref().unwrap().messages[0].parts;
        assert_eq!(candidates.len(), 1);
        assert!(
            matches!(&parts[..], [only] if matches!(&only.content, Part::Text(text) if text.ends_with("\n\n\nHallo")))
        );
    }
}
