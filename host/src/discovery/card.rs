//! A model as clients are told of it, and `auto`, the model that stands for all of them.
//!
//! What a provider does not say is filled in by the rules below, and each card names what was. A client that is told
//! nothing would assume something worse: OpenClaw sends no picture to a model that is not said to take any, and most
//! take a few thousand tokens for the context of a model that they do not know.

use std::iter;

use crate::id::ModelId;
use crate::model::{Kind, Model};
use crate::route::AUTO;

/// Context of a language model whose provider does not say, in tokens.
pub const CONTEXT_FALLBACK: u32 = 128_000;

/// Tokens that a language model may answer with: no provider of local models says.
pub const OUTPUT_FALLBACK: u32 = 8_192;

/// What tokens cost where nobody says: nothing, as those of local models.
pub const COST_FALLBACK: f32 = 0.0;

/// Who owns [`AUTO`].
const OWNER: &str = "pointsman";

/// A model as clients are told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// What a client sends to get it: the provider's key for it, or `auto`.
    pub id: String,
    /// The model; none for `auto`, which may be any.
    pub model: Option<ModelId>,
    /// For people.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// It takes images.
    pub vision: bool,
    /// It was trained to call tools.
    pub tools: bool,
    /// It thinks before it answers.
    pub reasoning: bool,
    /// It runs on the user's own machines.
    pub local: bool,
    /// It is in memory and answers.
    pub loaded: bool,
    /// Tokens of prompt and answer together. None for an embedding model whose provider does not say: what such models
    /// take differs too much to guess.
    pub context_tokens: Option<u32>,
    /// Tokens of an answer; none for embedding models, which write none.
    pub output_tokens: Option<u32>,
    /// Bytes on disk; none where the provider does not say.
    pub size_bytes: Option<u64>,
    /// Seconds its last load took here; none before the first.
    pub load_seconds: Option<f32>,
    /// Price of a million tokens of the prompt.
    pub input_cost: f32,
    /// Price of a million tokens of the answer.
    pub output_cost: f32,
    /// What no provider said.
    pub fallbacks: Vec<Fallback>,
}

/// Something that no provider said of a model, so that a rule did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// [`CONTEXT_FALLBACK`].
    Context,
    /// [`OUTPUT_FALLBACK`], or half of the context where that is less.
    Output,
    /// The name has `reasoning`, `r1` or `think` as a part.
    Reasoning,
    /// [`COST_FALLBACK`].
    Cost,
}

/// `auto`, then every model that can be named, in the providers' order. Models of one key are one card: whoever names
/// it may get either.
pub fn cards(models: &[Model]) -> Vec<Card> {
    let mut cards: Vec<Card> = Vec::with_capacity(models.len());
    // A model of this name could never be reached.
    let reachable = models.iter().filter(|model| !model.id.key().eq_ignore_ascii_case(AUTO));
    for card in reachable.map(Card::of) {
        match cards.iter_mut().find(|it| it.id.eq_ignore_ascii_case(&card.id)) {
            Some(known) => known.promise_no_more_than(card),
            None => cards.push(card),
        }
    }
    iter::once(Card::auto(models)).chain(cards).collect()
}

// === impl Card ===

impl Card {
    /// A model's own.
    pub fn of(model: &Model) -> Self {
        let mut fallbacks = Vec::new();
        let is_language = model.kind == Kind::Language;
        let (context_tokens, output_tokens) = match is_language {
            true => {
                let context = or_fallback(model.max_context, &mut fallbacks);
                (Some(context), Some(answer(context, &mut fallbacks)))
            }
            false => (model.max_context, None),
        };
        let is_named_so = is_language && !model.reasoning && is_reasoning_name(model.short_name());
        if is_named_so {
            fallbacks.push(Fallback::Reasoning);
        }
        if model.costs.input.is_none() || model.costs.output.is_none() {
            fallbacks.push(Fallback::Cost);
        }
        Self {
            input_cost: model.costs.input.unwrap_or(COST_FALLBACK),
            output_cost: model.costs.output.unwrap_or(COST_FALLBACK),
            id: model.id.key().to_owned(),
            model: Some(model.id.clone()),
            name: model.display_name.clone(),
            kind: model.kind,
            vision: model.vision,
            tools: model.tool_use,
            reasoning: model.reasoning || is_named_so,
            local: model.local,
            loaded: model.is_resident(),
            context_tokens,
            output_tokens,
            size_bytes: model.size_bytes,
            load_seconds: model.load_seconds,
            fallbacks,
        }
    }

    /// The virtual model. It takes images and tools, so that clients send them and a skill can route them, and the
    /// largest context that a language model here is known to take. It is always there, and promises no reasoning:
    /// what answers may have none.
    pub fn auto(models: &[Model]) -> Self {
        let languages = || models.iter().filter(|model| model.kind == Kind::Language);
        let mut fallbacks = Vec::new();
        let largest = languages().filter_map(|model| model.max_context).max();
        let context = or_fallback(largest, &mut fallbacks);
        let output = answer(context, &mut fallbacks);
        fallbacks.push(Fallback::Cost);
        Self {
            input_cost: COST_FALLBACK,
            output_cost: COST_FALLBACK,
            id: AUTO.to_owned(),
            model: None,
            name: AUTO.to_owned(),
            kind: Kind::Language,
            vision: true,
            tools: true,
            reasoning: false,
            local: languages().all(|model| model.local),
            loaded: true,
            context_tokens: Some(context),
            output_tokens: Some(output),
            size_bytes: None,
            load_seconds: None,
            fallbacks,
        }
    }

    /// The provider's configured name; our own for `auto`.
    pub fn owner(&self) -> &str {
        self.model.as_ref().map_or(OWNER, ModelId::provider)
    }

    /// The contract's words for what it may be sent.
    pub fn input_modalities(&self) -> &'static [&'static str] {
        if self.vision { &["text", "image"] } else { &["text"] }
    }

    /// Another provider has it as well, and either may answer.
    fn promise_no_more_than(&mut self, other: Self) {
        let least = |one: Option<u32>, other: Option<u32>| one.into_iter().chain(other).min();
        self.vision &= other.vision;
        self.tools &= other.tools;
        self.reasoning &= other.reasoning;
        self.local &= other.local;
        self.loaded |= other.loaded;
        self.context_tokens = least(self.context_tokens, other.context_tokens);
        self.output_tokens = least(self.output_tokens, other.output_tokens);
        self.input_cost = self.input_cost.max(other.input_cost);
        self.output_cost = self.output_cost.max(other.output_cost);
        let news: Vec<_> = other.fallbacks.into_iter().filter(|it| !self.fallbacks.contains(it)).collect();
        self.fallbacks.extend(news);
    }
}

fn or_fallback(context: Option<u32>, fallbacks: &mut Vec<Fallback>) -> u32 {
    // A provider that says 0 does not know: some do before a model's first load.
    context.filter(|&tokens| tokens > 0).unwrap_or_else(|| {
        fallbacks.push(Fallback::Context);
        CONTEXT_FALLBACK
    })
}

/// The longest answer: at most half of the context, or clients that subtract it have nothing left for their question.
fn answer(context: u32, fallbacks: &mut Vec<Fallback>) -> u32 {
    fallbacks.push(Fallback::Output);
    OUTPUT_FALLBACK.min(context / 2).max(1)
}

/// Whether one of the name's words is `r1` or begins with `reasoning` or `think`, and is not denied by the word before
/// it (`non-reasoning`).
fn is_reasoning_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let mut before = "";
    lower.split(|c: char| !c.is_alphanumeric()).any(|word| {
        let is_denied = matches!(before, "no" | "non" | "not");
        before = word;
        !is_denied && (word == "r1" || word.starts_with("reasoning") || word.starts_with("think"))
    })
}

// === impl Fallback ===

impl Fallback {
    /// The name of what it stands for, as lists and exports call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Context => "context_length",
            Self::Output => "max_output_tokens",
            Self::Reasoning => "reasoning",
            Self::Cost => "cost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::InstanceId;
    use crate::model::{Costs, Instance, InstanceState};

    fn model(id: &str) -> Model {
        Model {
            id: ModelId::new(id),
            display_name: "Otter 8B".to_owned(),
            kind: Kind::Language,
            vision: false,
            tool_use: true,
            reasoning: false,
            local: true,
            max_context: Some(32_768),
            size_bytes: Some(5_000_000_000),
            instances: Vec::new(),
            load_seconds: Some(4.5),
            costs: Costs::default(),
        }
    }

    fn ready() -> Instance {
        Instance {
            id: InstanceId::new("x"),
            state: InstanceState::Ready,
            context_length: Some(8_192),
            in_flight: 0,
            queued: 0,
        }
    }

    #[test]
    fn what_a_provider_says_goes_before_every_rule() {
        let said = Model {
            vision: true,
            reasoning: true,
            instances: vec![ready()],
            ..model("lmstudio/acme/otter-think-8b")
        };
        let card = Card::of(&said);
        assert_eq!((card.id.as_str(), card.owner()), ("acme/otter-think-8b", "lmstudio"));
        assert_eq!((card.context_tokens, card.output_tokens), (Some(32_768), Some(8_192)));
        assert!(card.vision && card.tools && card.reasoning && card.local && card.loaded);
        assert_eq!((card.size_bytes, card.load_seconds), (Some(5_000_000_000), Some(4.5)));
        assert_eq!(card.fallbacks, [Fallback::Output, Fallback::Cost]);
        assert_eq!(card.input_modalities(), ["text", "image"]);
    }

    #[test]
    fn what_nobody_says_is_filled_in_and_noted() {
        for (max_context, context, output) in [
            (None, 128_000, 8_192),
            (Some(0), 128_000, 8_192),
            (Some(16_384), 16_384, 8_192),
            (Some(2_048), 2_048, 1_024),
            (Some(1), 1, 1),
        ] {
            let card = Card::of(&Model { max_context, ..model("lmstudio/otter") });
            assert_eq!((card.context_tokens, card.output_tokens), (Some(context), Some(output)));
            let is_noted = card.fallbacks.contains(&Fallback::Context);
            assert_eq!(is_noted, max_context.is_none_or(|tokens| tokens == 0), "{max_context:?}");
        }
    }

    #[test]
    fn names_that_tell_of_reasoning() {
        for (key, expected) in [
            ("deepseek/deepseek-r1-distill-qwen-7b", true),
            ("R1-1776", true),
            ("phi-4-reasoning-plus", true),
            ("qwen3-4b-thinking-2507", true),
            ("qwen3_think", true),
            ("grok-4-fast-non-reasoning", false),
            ("qwen3-no-think", false),
            ("nothink", false),
            ("rethink", false),
            ("llama-r100", false),
            ("r15", false),
            ("gr1t", false),
            // The publisher's name says nothing about the model.
            ("thinkingcompany/otter-8b", false),
            ("", false),
        ] {
            let card = Card::of(&model(&format!("lmstudio/{key}")));
            assert_eq!(card.reasoning, expected, "{key}");
            assert_eq!(card.fallbacks.contains(&Fallback::Reasoning), expected, "{key}");
        }
    }

    #[test]
    fn nothing_is_guessed_of_embedding_models() {
        let embedding =
            Model { kind: Kind::Embedding, max_context: None, ..model("lmstudio/embed-thinking") };
        let card = Card::of(&embedding);
        assert_eq!((card.context_tokens, card.output_tokens, card.reasoning), (None, None, false));
        assert_eq!(card.fallbacks, [Fallback::Cost]);
    }

    #[test]
    fn auto_takes_what_any_model_could_be_routed() {
        let small = Model { max_context: Some(8_192), ..model("a/small") };
        let large = Model { max_context: Some(131_072), local: false, ..model("a/large") };
        let unknown = Model { max_context: None, ..model("a/unknown") };
        let embedding = Model { kind: Kind::Embedding, max_context: Some(500_000), ..model("a/embed") };
        let auto = Card::auto(&[small.clone(), large, unknown.clone(), embedding.clone()]);
        assert_eq!((auto.context_tokens, auto.output_tokens), (Some(131_072), Some(8_192)));
        assert!(auto.vision && auto.tools && auto.loaded && !auto.reasoning && !auto.local);
        assert_eq!((auto.owner(), auto.id.as_str()), ("pointsman", "auto"));
        assert!(!auto.fallbacks.contains(&Fallback::Context));
        // The fallback is for clients to read, not a context that some model is known to have.
        assert_eq!(Card::auto(&[small, unknown.clone()]).context_tokens, Some(8_192));
        for models in [&[][..], &[unknown], &[embedding]] {
            let auto = Card::auto(models);
            assert_eq!(auto.context_tokens, Some(CONTEXT_FALLBACK));
            assert!(auto.fallbacks.contains(&Fallback::Context));
        }
    }

    #[test]
    fn a_key_is_listed_once_and_promises_what_every_provider_can_keep() {
        let here = Model { vision: true, max_context: Some(8_192), ..model("here/acme/otter") };
        let there = Model {
            max_context: None,
            tool_use: false,
            instances: vec![ready()],
            ..model("there/Acme/Otter")
        };
        let cards = cards(&[here, model("here/auto"), there, model("there/owl")]);
        let ids: Vec<_> = cards.iter().map(|card| card.id.as_str()).collect();
        assert_eq!(ids, ["auto", "acme/otter", "owl"]);
        let otter = &cards[1];
        assert!(!otter.vision && !otter.tools && otter.loaded);
        assert_eq!(otter.context_tokens, Some(8_192));
        assert_eq!(otter.fallbacks, [Fallback::Output, Fallback::Cost, Fallback::Context]);
    }
}
