//! The downloaded models: what the lists say of each, how it behaves, how fast it is.
//!
//! The default catalogue has one of every kind that matters to a client that swaps models. Sizes and context lengths
//! are those of the real files, rounded.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A downloaded model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// What load and inference take.
    pub key: String,
    /// Whether it writes or embeds.
    pub kind: Kind,
    /// By default what stands before the key's slash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// By default what stands after the key's slash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The engine's word for its family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Name of its quantization.
    pub quantization: String,
    /// Bits a weight has.
    pub bits_per_weight: f64,
    /// Bytes on disk, and in memory.
    pub size_bytes: u64,
    /// `8B`, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<String>,
    /// Largest context it can be loaded with, in tokens.
    pub max_context_length: u32,
    /// Tokens a prompt may have, however large the context it was loaded with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_limit: Option<u32>,
    /// Which engine runs it.
    pub format: Format,
    /// It takes images.
    pub vision: bool,
    /// It was trained to call tools.
    pub tool_use: bool,
    /// Names such as `key@quant` under which it can be asked for too; the first is the selected one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<String>,
    /// Which conversations its prompt template can render.
    pub template: Template,
    /// What it answers.
    pub answers: Answers,
    /// Seconds a load takes.
    #[serde(rename = "load_seconds", with = "super::seconds")]
    pub load_time: Duration,
    /// Seconds an unload takes; its memory is free after them.
    #[serde(rename = "unload_seconds", with = "super::seconds")]
    pub unload_time: Duration,
    /// Seconds from a request's start to its first token.
    #[serde(rename = "first_token_seconds", with = "super::seconds")]
    pub first_token_time: Duration,
    /// Tokens it writes in a second; 0 writes all at once.
    pub tokens_per_second: f64,
    /// Numbers in a vector of an embedding model.
    pub dimensions: u32,
    /// Weights for a real engine, which then answers in place of the imitation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gguf: Option<PathBuf>,
    /// How it can be told to reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
}

/// Whether a model writes or embeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A language model.
    Llm,
    /// An embedding model.
    Embedding,
}

/// Which engine runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// llama.cpp.
    Gguf,
    /// Apple's.
    Mlx,
}

/// Which conversations a model's prompt template can render.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Template {
    /// Any.
    Ordinary,
    /// Only user and assistant messages, each user message one part that names both languages.
    TranslategemmaStrict,
}

/// What a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answers {
    /// Says what it was sent; counts, writes and calls tools when asked.
    General,
    /// As the general one, but the arguments of its tool calls break off in the middle.
    Clumsy,
    /// Translates the sentences of its phrase book.
    Translation,
}

/// How a model can be told to reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reasoning {
    /// `off`, `on`, `low`, `medium`, `high`.
    pub allowed_options: Vec<String>,
    /// One of them.
    pub default: String,
}

/// A change to one model of the catalogue: what is absent stays. Instances that are loaded keep what they had.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tuning {
    /// The model's key.
    pub model: String,
    /// See [`Model::load_time`].
    #[serde(
        rename = "load_seconds",
        with = "super::seconds::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub load_time: Option<Duration>,
    /// See [`Model::unload_time`].
    #[serde(
        rename = "unload_seconds",
        with = "super::seconds::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub unload_time: Option<Duration>,
    /// See [`Model::first_token_time`].
    #[serde(
        rename = "first_token_seconds",
        with = "super::seconds::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub first_token_time: Option<Duration>,
    /// See [`Model::tokens_per_second`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// See [`Model::size_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// See [`Model::context_limit`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_limit: Option<u32>,
    /// See [`Model::template`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// See [`Model::answers`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
}

// === impl Model ===

impl Default for Model {
    fn default() -> Self {
        Self {
            key: String::new(),
            kind: Kind::Llm,
            publisher: None,
            display_name: None,
            architecture: None,
            quantization: "Q4_K_M".to_owned(),
            bits_per_weight: 4.0,
            size_bytes: 4_000_000_000,
            params: None,
            max_context_length: 32_768,
            context_limit: None,
            format: Format::Gguf,
            vision: false,
            tool_use: false,
            variants: Vec::new(),
            template: Template::Ordinary,
            answers: Answers::General,
            load_time: Duration::ZERO,
            unload_time: Duration::ZERO,
            first_token_time: Duration::ZERO,
            tokens_per_second: 0.0,
            dimensions: 768,
            gguf: None,
            reasoning: None,
        }
    }
}

impl Model {
    /// A text-only language model of 4 GB that answers at once.
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned(), ..Self::default() }
    }

    /// Who published it.
    pub(crate) fn publisher(&self) -> &str {
        let prefix = || self.key.split_once('/').map_or("", |(publisher, _)| publisher);
        self.publisher.as_deref().unwrap_or_else(prefix)
    }

    /// What people call it.
    pub(crate) fn display_name(&self) -> &str {
        let name = || self.key.rsplit('/').next().unwrap_or_default();
        self.display_name.as_deref().unwrap_or_else(name)
    }

    /// `name` is its key or one of its variants; case does not count.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.key.eq_ignore_ascii_case(name) || self.variants.iter().any(|it| it.eq_ignore_ascii_case(name))
    }
}

// === impl Format ===

impl Format {
    /// The program's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gguf => "gguf",
            Self::Mlx => "mlx",
        }
    }
}

// === impl Tuning ===

impl Tuning {
    /// A change to this model that changes nothing yet.
    pub fn of(model: &str) -> Self {
        Self { model: model.to_owned(), ..Self::default() }
    }

    /// Writes what is present into the model.
    pub(crate) fn apply(&self, model: &mut Model) {
        set(&mut model.load_time, self.load_time);
        set(&mut model.unload_time, self.unload_time);
        set(&mut model.first_token_time, self.first_token_time);
        set(&mut model.tokens_per_second, self.tokens_per_second);
        set(&mut model.size_bytes, self.size_bytes);
        set(&mut model.template, self.template);
        set(&mut model.answers, self.answers);
        if self.context_limit.is_some() {
            model.context_limit = self.context_limit;
        }
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// One of every kind that matters.
pub(super) fn default_models() -> Vec<Model> {
    vec![gpt_oss(), translategemma_strict(), translategemma_ordinary(), qwen(), qwen_vision(), embedder()]
}

fn gpt_oss() -> Model {
    Model {
        display_name: Some("gpt-oss 20B".to_owned()),
        architecture: Some("gpt-oss".to_owned()),
        quantization: "MXFP4".to_owned(),
        size_bytes: 12_109_565_632,
        params: Some("20B".to_owned()),
        max_context_length: 131_072,
        tool_use: true,
        reasoning: Some(Reasoning {
            allowed_options: ["low", "medium", "high"].map(str::to_owned).to_vec(),
            default: "low".to_owned(),
        }),
        ..Model::new("openai/gpt-oss-20b")
    }
}

fn translategemma_strict() -> Model {
    Model {
        display_name: Some("TranslateGemma 12B".to_owned()),
        architecture: Some("gemma3".to_owned()),
        size_bytes: 8_150_000_000,
        params: Some("12B".to_owned()),
        max_context_length: 131_072,
        context_limit: Some(2048),
        vision: true,
        template: Template::TranslategemmaStrict,
        answers: Answers::Translation,
        ..Model::new("google/translategemma-12b-it")
    }
}

fn translategemma_ordinary() -> Model {
    Model {
        key: "lmstudio-community/translategemma-12b-it".to_owned(),
        template: Template::Ordinary,
        ..translategemma_strict()
    }
}

fn qwen() -> Model {
    Model {
        display_name: Some("Qwen3 8B".to_owned()),
        architecture: Some("qwen3".to_owned()),
        size_bytes: 5_030_000_000,
        params: Some("8B".to_owned()),
        max_context_length: 40_960,
        tool_use: true,
        variants: vec!["qwen/qwen3-8b@q4_k_m".to_owned(), "qwen/qwen3-8b@q8_0".to_owned()],
        reasoning: Some(Reasoning {
            allowed_options: ["off", "on"].map(str::to_owned).to_vec(),
            default: "on".to_owned(),
        }),
        ..Model::new("qwen/qwen3-8b")
    }
}

fn qwen_vision() -> Model {
    Model {
        display_name: Some("Qwen2.5 VL 7B".to_owned()),
        architecture: Some("qwen2_5_vl".to_owned()),
        quantization: "4bit".to_owned(),
        size_bytes: 6_040_000_000,
        params: Some("7B".to_owned()),
        max_context_length: 128_000,
        format: Format::Mlx,
        vision: true,
        tool_use: true,
        ..Model::new("qwen/qwen2.5-vl-7b")
    }
}

fn embedder() -> Model {
    Model {
        kind: Kind::Embedding,
        publisher: Some("nomic-ai".to_owned()),
        display_name: Some("Nomic Embed Text v1.5".to_owned()),
        size_bytes: 84_106_624,
        max_context_length: 2048,
        ..Model::new("text-embedding-nomic-embed-text-v1.5")
    }
}
