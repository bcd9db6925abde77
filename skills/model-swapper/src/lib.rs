//! Hears what a turn is for and sends it to a specialist: translations, texts in pictures, and whatever else the user's
//! settings name.
//!
//! One pass over the turn: [`detect`] finds the request and what it is about, [`settings`] says which intent that is, and
//! [`recipe`] writes what the specialist is sent. Where no words decided and the settings give examples, [`likeness`] asks
//! an embedding model. Where in doubt it passes; it never answers with an error. It keeps nothing of a turn, and asks the
//! host for nothing but models and embeddings.

mod detect;
mod intent;
mod language;
mod likeness;
mod payload;
mod recipe;
mod sentence;
mod settings;
mod token;
mod words;

use pointsman_sdk::{
    Candidate, Error, Manifest, Model, Route, Settings, Skill, Turn, Verdict, log, models, skill,
};

use crate::detect::{Detector, Found, Input, Pass};
use crate::intent::Intent;
use crate::language::{Code, Guess, guess};
use crate::likeness::{Like, Likeness};
use crate::payload::Piece;
use crate::recipe::{Recipe, Translation};
use crate::sentence::Act;
use crate::settings::{Checked, Task};

/// Bytes of the last answer that a turn shows; of one that is longer, the rest cannot be counted.
const LAST_ANSWER_MAX: usize = 2048;

/// Tokens that a recipe's own words take.
const INSTRUCTION_TOKENS: u32 = 80;

/// Models tried for "any that takes pictures".
const VISION_MAX: usize = 3;

/// The skill.
#[derive(Debug)]
pub struct ModelSwapper {
    settings: Checked,
    detector: Detector,
    likeness: Likeness,
}

impl Skill for ModelSwapper {
    fn describe() -> Manifest {
        let description =
            "Sends translations and pictures with text to specialists, and puts the model back afterwards";
        Manifest::new("model-swapper", env!("CARGO_PKG_VERSION"), description)
            .priority(100)
            .settings_schema(settings::SCHEMA)
            .reusable()
    }

    fn configure(settings: Settings<'_>) -> Result<Self, Error> {
        let mut settings = settings::read(settings)?;
        let likeness = Likeness::by(settings.embedding_model.take());
        Ok(Self { settings, detector: Detector::new(), likeness })
    }

    fn on_request(&self, turn: &Turn) -> Result<Verdict, Error> {
        if turn.pinned {
            return Ok(Verdict::Pass);
        }
        Ok(self.decide(turn).map_or(Verdict::Pass, Verdict::Route))
    }
}

skill!(ModelSwapper: request);

impl ModelSwapper {
    /// The route of the first intent that the turn is for.
    fn decide(&self, turn: &Turn) -> Option<Route> {
        let input = Input { text: &turn.user_text, last_answer: &turn.last_answer, media: &turn.media };
        let found = self.detector.find(&input);
        if let Err(Pass::Unclear(why)) = found {
            log::debug(&format!("a request was heard and passed: {why}"));
        }
        let heard = found.as_ref().ok();
        let by_words = self.fitting(turn).find_map(|intent| self.of_intent(intent, turn, heard));
        by_words.or_else(|| self.by_examples(turn, &found))
    }

    /// The intents that the turn has the size and the media for, in order.
    fn fitting(&self, turn: &Turn) -> impl Iterator<Item = &Intent> {
        self.settings.intents.iter().filter(|intent| intent.fits(&turn.user_text, &turn.media))
    }

    /// The route of the intent whose examples the turn is most like. What words heard stays theirs, also where nothing
    /// came of it; and since to a model of likeness "don't" is one word among many, a denial ends it here.
    fn by_examples(&self, turn: &Turn, found: &Result<Found, Pass>) -> Option<Route> {
        let open = |intent: &&Intent| match found {
            Err(Pass::Denied) => false,
            Err(Pass::Unclear(_)) => intent.task == Task::Chat,
            Ok(_) | Err(Pass::Nothing) => true,
        };
        let exemplary = self.fitting(turn).filter(|intent| !intent.examples.is_empty());
        let intents: Vec<_> = exemplary.filter(open).collect();
        let act = found.as_ref().ok().map(|found| found.request.act);
        let words_decided = |intent: &Intent| {
            let built_in = matches!(
                (intent.task, act),
                (Task::Translate, Some(Act::Translate)) | (Task::Read, Some(Act::Read))
            );
            built_in || intent.hears(&turn.user_text).is_some()
        };
        if intents.is_empty() || self.fitting(turn).any(words_decided) {
            return None;
        }
        let likes = self.likeness.nearest(&detect::unwrapped(turn.user_text.trim()), &intents);
        likes.iter().find_map(|like| self.like(like, turn))
    }

    fn like(&self, like: &Like<'_>, turn: &Turn) -> Option<Route> {
        match like.intent.task {
            Task::Read => Some(self.reading(like.intent, turn)?.because(like.reason())),
            Task::Chat => self.chat(like.intent, like.reason()),
            // The settings refuse examples for it.
            Task::Translate => None,
        }
    }

    fn of_intent(&self, intent: &Intent, turn: &Turn, found: Option<&Found>) -> Option<Route> {
        match (intent.task, found) {
            (Task::Translate, Some(found)) if found.request.act == Act::Translate => {
                let pictured = found.piece == Piece::Picture;
                (pictured == intent.pictured()).then(|| self.translation(intent, turn, found))?
            }
            (Task::Read, Some(found)) if found.request.act == Act::Read => self.reading(intent, turn),
            _ => self.own_words(intent, turn),
        }
    }

    /// An intent that was called by its name, or heard by words of its own.
    fn own_words(&self, intent: &Intent, turn: &Turn) -> Option<Route> {
        let heard = intent.hears(&turn.user_text)?;
        match intent.task {
            Task::Read => self.reading(intent, turn),
            Task::Translate => {
                let text = turn.user_text.get(heard.text_at?..)?.trim();
                let piece = if intent.pictured() {
                    Piece::Picture
                } else {
                    Piece::Text(payload::bare(text).to_owned())
                };
                let source = self.source(None, &piece, turn, None);
                let target = self.settings.target.unwrap_or(Code::ENGLISH);
                self.route_translation(intent, turn, Translation { source, target, piece, wish: None })
            }
            Task::Chat => self.chat(intent, format!("{}: the turn says `{}`", intent.name, heard.word)),
        }
    }

    fn chat(&self, intent: &Intent, reason: String) -> Option<Route> {
        let candidates = self.known(intent).into_iter().map(Candidate::new).collect();
        self.route(intent, candidates, reason)
    }

    fn translation(&self, intent: &Intent, turn: &Turn, Found { request, piece }: &Found) -> Option<Route> {
        let target = request.into.or(self.settings.target).unwrap_or(request.spoken);
        let source = self.source(request.from, piece, turn, Some(target));
        self.route_translation(
            intent,
            turn,
            Translation { source, target, piece: piece.clone(), wish: request.wish.clone() },
        )
    }

    /// The language to translate from: named, told from the text, or assumed.
    fn source(&self, named: Option<Code>, piece: &Piece, turn: &Turn, target: Option<Code>) -> Code {
        let assumed = match target {
            Some(target) if target.same_language(Code::ENGLISH) => Code::GERMAN,
            _ => Code::ENGLISH,
        };
        let assumed = self.settings.source.unwrap_or(assumed);
        let guess = match piece {
            Piece::Text(text) => guess(text),
            Piece::LastAnswer => guess(&turn.last_answer),
            Piece::Picture => Guess::Unknown,
        };
        let told = match guess {
            Guess::Sure(code) => Some(code),
            // A short text is easily taken for the very language it is to be translated into.
            Guess::Perhaps(code) => target.is_none_or(|target| !code.same_language(target)).then_some(code),
            Guess::Unknown => None,
        };
        named.or(told).unwrap_or(assumed)
    }

    fn route_translation(&self, intent: &Intent, turn: &Turn, translation: Translation) -> Option<Route> {
        let (source, target) = (translation.source, translation.target);
        if source.same_language(target) {
            log::debug(&format!("{}: passed, the text is {} already", intent.name, target.name()));
            return None;
        }
        if turn.user_text_truncated || !fits(intent, &translation.piece, turn) {
            log::info(&format!(
                "{}: passed, the text is longer than {} tokens of context take",
                intent.name, intent.context
            ));
            return None;
        }
        let models = self.known(intent).into_iter();
        let candidates =
            models.flat_map(|model| recipe::translate(&model, intent.recipe, &translation)).collect();
        let picture = if translation.piece == Piece::Picture { " (image)" } else { "" };
        self.route(
            intent,
            candidates,
            format!("{}: {} → {}{picture}", intent.name, source.name(), target.name()),
        )
    }

    fn reading(&self, intent: &Intent, turn: &Turn) -> Option<Route> {
        let pictures = turn.media.iter().filter(|kind| *kind == "image").count();
        if pictures != turn.media.len() {
            return None;
        }
        let models = self.known(intent).into_iter();
        let candidates = models.map(|model| recipe::read(&model, intent.recipe, pictures)).collect();
        self.route(intent, candidates, format!("{}: the text in the picture", intent.name))
    }

    fn route(&self, intent: &Intent, candidates: Vec<Candidate>, reason: String) -> Option<Route> {
        if candidates.is_empty() {
            return None;
        }
        let route = Route::through(candidates).swap(self.settings.swap).hold(intent.hold);
        Some(route.afterwards(intent.afterwards).tag(intent.name.clone()).because(reason))
    }

    /// The ids of the intent's models that some provider has. The log says what is missing and how to mend it.
    fn known(&self, intent: &Intent) -> Vec<String> {
        let mut ids = Vec::new();
        for name in &intent.models {
            let found = if name == "vision" {
                vision()
            } else {
                models::find(name).map(|model| model.id).into_iter().collect()
            };
            if found.is_empty() {
                let name = if name == "vision" { "no model that takes pictures" } else { name.as_str() };
                log::warn(&format!(
                    "{}: passed over `{name}`: no provider has it; download it there, or set `intents.{}.models`",
                    intent.name, intent.name
                ));
            }
            ids.extend(found);
        }
        ids
    }
}

/// Models that take pictures: resident ones first, then the smallest. TranslateGemma takes them too, but only translates.
fn vision() -> Vec<String> {
    let sees = |model: &Model| {
        model.kind != "embedding"
            && model.inputs.iter().any(|input| input == "image")
            && !model.key.contains("translategemma")
    };
    let mut seeing: Vec<_> = models::all().into_iter().filter(sees).collect();
    seeing.sort_by_key(|model| (model.instances.is_empty(), model.size_mib));
    seeing.into_iter().take(VISION_MAX).map(|model| model.id).collect()
}

/// Whether the text and its translation find room in what the specialist can read and write.
fn fits(intent: &Intent, piece: &Piece, turn: &Turn) -> bool {
    let tokens = match piece {
        Piece::Text(text) => recipe::tokens(text),
        Piece::LastAnswer if turn.last_answer.len() + 3 >= LAST_ANSWER_MAX => u32::MAX / 4,
        Piece::LastAnswer => recipe::tokens(&turn.last_answer),
        Piece::Picture => 256,
    };
    intent.recipe == Recipe::Conversation
        || tokens.saturating_mul(2).saturating_add(INSTRUCTION_TOKENS) <= intent.context
}
