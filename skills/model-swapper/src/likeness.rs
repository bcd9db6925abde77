//! Examples: whether a turn says much the same as a sentence that an intent's settings give, by an embedding model.
//!
//! One question per turn: the turn and the examples that this instance has no vectors of yet. Bounded by what the settings
//! may have of examples and by [`TEXT_MAX`]. A question that fails, for whatever reason, is a turn that is like nothing,
//! and a line in the log, one for each kind of failure. Whether the turn is to be compared at all is for the caller to say.
//!
//! The vectors are kept in the instance. A skill may keep nothing of one call for the next, and this is nothing of a call:
//! vectors follow from the settings and the model alone, as if `configure` had made them, which cannot, because models are
//! asked only about a turn. An instance that begins without them decides the same and asks for more. `kv` would do too,
//! but it is one more grant, it is read on every turn, and it would outlive a model that was replaced under its name.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use pointsman_sdk::{Error, inference, log, models};

use crate::intent::Intent;

mod vector;

use vector::Unit;

/// Bytes of the turn that are compared: what a turn is for is said at its beginning, and the usual models read no more.
const TEXT_MAX: usize = 2048;

/// Characters of an example in a reason.
const REASON_CHARS_MAX: usize = 60;

/// What rounding may take from the similarity of two equal texts.
const ROUNDING: f64 = 1e-6;

/// Compares turns with examples.
#[derive(Debug)]
pub(crate) struct Likeness {
    model: Option<String>,
    known: RefCell<Known>,
    /// Kinds of failure that the log has a line about: a condition of the gateway, which would be told on every turn.
    told: RefCell<BTreeSet<String>>,
}

/// An intent that the turn is like.
#[derive(Debug)]
pub(crate) struct Like<'i> {
    /// The intent.
    pub(crate) intent: &'i Intent,
    example: &'i str,
    similarity: f64,
}

/// The vectors of examples, as one model has them; none for an example that the model has no usable vector of.
#[derive(Debug, Default)]
struct Known {
    model: String,
    vectors: BTreeMap<String, Option<Unit>>,
}

/// Why a turn could not be compared.
#[derive(Debug)]
enum Fault {
    /// No embedding model is in memory.
    NoModel,
    /// The gateway or the model refused.
    Refused(Error),
    /// There are more texts than vectors, or fewer.
    Count { came: usize, asked: usize },
    /// The turn's vector is all zeros, or has something in it that is not a number.
    NoDirection,
    /// An example's vector is.
    NoExample,
    /// Vectors differ in their lengths: they are not of one model.
    Lengths,
}

// === impl Likeness ===

impl Likeness {
    /// By this model, or by whichever embedding model is in memory.
    pub(crate) fn by(model: Option<String>) -> Self {
        Self { model, known: RefCell::default(), told: RefCell::default() }
    }

    /// The intents that the text is like enough, most alike first; those equally alike stay in order.
    pub(crate) fn nearest<'i>(&self, text: &str, intents: &[&'i Intent]) -> Vec<Like<'i>> {
        let text = text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or_default();
        if text.is_empty() {
            return Vec::new();
        }
        let embedded = self.model().and_then(|model| self.embedded(&model, text, intents));
        let text = match embedded {
            Ok(vector) => vector,
            Err(fault) => {
                self.tell(&fault);
                return Vec::new();
            }
        };
        let known = self.known.borrow();
        let mut likes: Vec<_> = intents.iter().filter_map(|intent| known.closest(&text, intent)).collect();
        likes.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        if let Some(Like { intent, similarity, .. }) = likes.first() {
            let (name, threshold) = (&intent.name, intent.threshold);
            log::debug(&format!(
                "nearest by its examples is {name}: {similarity:.3}, it takes {threshold:.3}"
            ));
        }
        likes.retain(|like| like.similarity + ROUNDING >= like.intent.threshold);
        likes
    }

    /// The id of the model that is asked. A name that nobody knows is asked for too: the refusal says what is wrong.
    fn model(&self) -> Result<String, Fault> {
        if let Some(name) = &self.model {
            return Ok(models::find(name).map_or_else(|| name.clone(), |model| model.id));
        }
        let mut embedding = models::all().into_iter().filter(|model| model.kind == "embedding");
        let resident = embedding.find(|model| model.instances.iter().any(|it| it.state == "ready"));
        resident.map(|model| model.id).ok_or(Fault::NoModel)
    }

    /// The text's vector; afterwards those of the intents' examples are known too.
    fn embedded(&self, model: &str, text: &str, intents: &[&Intent]) -> Result<Unit, Fault> {
        let missing = self.known.borrow_mut().missing(model, intents);
        let inputs: Vec<_> = [text.to_owned()].into_iter().chain(missing).collect();
        let answer = inference::embed(model, &inputs).map_err(Fault::Refused)?;
        if answer.len() != inputs.len() {
            return Err(Fault::Count { came: answer.len(), asked: inputs.len() });
        }
        let mut vectors = answer.into_iter().map(Unit::of);
        let text = vectors.next().flatten().ok_or(Fault::NoDirection)?;
        let examples: Vec<_> = inputs.into_iter().skip(1).zip(vectors).collect();
        if examples.iter().any(|(_, vector)| vector.is_none()) {
            self.tell(&Fault::NoExample);
        }
        self.known.borrow_mut().learn(examples, &text)?;
        Ok(text)
    }

    /// A line in the log, where there is none of its kind yet.
    fn tell(&self, fault: &Fault) {
        if !self.told.borrow_mut().insert(fault.kind().to_owned()) {
            return;
        }
        let line = format!("examples are not compared: {}", fault.reason());
        match fault {
            Fault::NoModel => log::debug(&line),
            _ => log::warn(&line),
        }
    }
}

// === impl Known ===

impl Known {
    /// The examples that this model was not asked about yet, each once. What another model said is forgotten.
    fn missing(&mut self, model: &str, intents: &[&Intent]) -> BTreeSet<String> {
        if self.model != model {
            *self = Self { model: model.to_owned(), vectors: BTreeMap::new() };
        }
        let examples = intents.iter().flat_map(|intent| &intent.examples);
        examples.filter(|example| !self.vectors.contains_key(*example)).cloned().collect()
    }

    /// Keeps new vectors. Where not all have the length of the text's, they are not of one model, and all are forgotten.
    fn learn(&mut self, examples: Vec<(String, Option<Unit>)>, text: &Unit) -> Result<(), Fault> {
        self.vectors.extend(examples);
        let differs = |vector: &Unit| vector.dimensions() != text.dimensions();
        if self.vectors.values().flatten().any(differs) {
            self.vectors.clear();
            return Err(Fault::Lengths);
        }
        Ok(())
    }

    /// The intent by that of its examples that the text is most like.
    fn closest<'i>(&self, text: &Unit, intent: &'i Intent) -> Option<Like<'i>> {
        let likes = intent.examples.iter().filter_map(|example| {
            let similarity = self.vectors.get(example)?.as_ref()?.cosine(text);
            Some(Like { intent, example, similarity })
        });
        likes.max_by(|a, b| a.similarity.total_cmp(&b.similarity))
    }
}

// === impl Like ===

impl Like<'_> {
    /// One line for people.
    pub(crate) fn reason(&self) -> String {
        let mut chars = self.example.trim().chars();
        let mut example: String = chars.by_ref().take(REASON_CHARS_MAX).map(shown).collect();
        if chars.next().is_some() {
            example.push('…');
        }
        format!("{}: like \"{example}\"", self.intent.name)
    }
}

/// The character as a line of a log or a header may have it: nothing that breaks the line, turns its direction or ends the
/// quotation.
fn shown(c: char) -> char {
    match c {
        '"' => '\'',
        '\u{2028}'
        | '\u{2029}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    }
}

// === impl Fault ===

impl Fault {
    /// What the log has one line about.
    fn kind(&self) -> &str {
        match self {
            Self::NoModel => "no model",
            Self::Refused(error) => &error.code,
            Self::Count { .. } => "count",
            Self::NoDirection => "no direction",
            Self::NoExample => "no example",
            Self::Lengths => "lengths",
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::NoModel => "no embedding model is in memory; load one, or set `embedding_model`".to_owned(),
            Self::Refused(error) => format!("{}: {}", error.code, error.message),
            Self::Count { came, asked } => {
                format!("the embedding model gave {came} vectors for {asked} texts")
            }
            Self::NoDirection => {
                "the embedding model gave zeros, or what is no number, for a turn".to_owned()
            }
            Self::NoExample => {
                "the embedding model gave zeros, or what is no number, for an example, which is left out"
                    .to_owned()
            }
            Self::Lengths => "the embedding model gave vectors of different lengths".to_owned(),
        }
    }
}
