//! A model that is given its lines: its name, what it says, and how large and slow it is.
//!
//! Slowness is size. Every token is multiplied with `feed_forward` columns of zeros, which take memory and time and no
//! disk: on one busy core some hundred tokens a second come with 100 000 columns, some thousands with the default.

use std::io;
use std::path::Path;

use serde_json::Value as Json;
use thiserror::Error;

use super::chat::{self, Selector};
use super::file::{GgufFile, Kind, Tensor, Value, Weight, Weights};
use super::vocabulary::{Ending, TextTaken, Token, Vocabulary};

/// Tokens of context of a model that says nothing else.
const CONTEXT_LENGTH: u32 = 131_072;

/// Columns of a fast model's feed-forward part.
const FEED_FORWARD: u32 = 32;

/// Width of an attention head, by which the engine divides the model's.
const HEAD: u32 = 64;

/// What a model calls that was given no call.
const TOOL: &str = "get_weather";

/// A token at which the engine believes a turn to be over, because other models end theirs with it.
const END_OF_OTHERS: &str = "<|call|>";

/// A model that says what it was given.
#[derive(Clone, Debug)]
pub struct Script {
    name: String,
    say: String,
    answer: String,
    think: String,
    long: String,
    calls: Vec<String>,
    own: Vec<(String, String)>,
    context_length: u32,
    feed_forward: u32,
    template: Template,
    /// How the token is spelled that begins its calls.
    begins_call: String,
}

/// How a model reads conversations.
#[derive(Clone, Debug)]
enum Template {
    General,
    Translator,
    Own(String),
}

/// A model was not written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Two of its tokens would be spelled alike, at which the engine aborts.
    #[error("the model {name} cannot say that: {taken}")]
    Taken {
        /// The model.
        name: String,
        /// What is there twice.
        taken: TextTaken,
    },
    /// The file cannot be written.
    #[error("the model {name} cannot be written: {error}")]
    File {
        /// The model.
        name: String,
        /// Why not.
        error: io::Error,
    },
}

/// A call as scripted models write it, for lines of a test's own.
pub fn tool_call(tool: &str, arguments: &Json) -> String {
    let (name, space) = (Json::from(tool), Spaced(arguments));
    format!("<tool_call>\n{{\"name\": {name}, \"arguments\": {space}}}\n</tool_call>")
}

// === impl Script ===

impl Script {
    /// A model that says its name in all its lines, and calls a weather tool where it has tools.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            say: format!("Hello, this is {name} speaking."),
            answer: format!("{name} saw the result of the tool."),
            think: thought(&format!("{name} weighs the matter."), "After some thought, yes."),
            long: " tick tock".to_owned(),
            calls: Vec::new(),
            own: Vec::new(),
            context_length: CONTEXT_LENGTH,
            feed_forward: FEED_FORWARD,
            template: Template::General,
            begins_call: Selector::Call.to_string(),
        }
    }

    /// A translator, as TranslateGemma is one: no tools, one part a message, and the languages' codes in
    /// `chat_template_kwargs`. What it says in which target language, [`Script::when`] gives it.
    pub fn translator(name: &str) -> Self {
        Self { template: Template::Translator, ..Self::new(name) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says where nothing else applies.
    pub fn say(mut self, text: &str) -> Self {
        text.clone_into(&mut self.say);
        self
    }

    /// What it says to a tool's result.
    pub fn answer(mut self, text: &str) -> Self {
        text.clone_into(&mut self.answer);
        self
    }

    /// A call that it makes where it has tools, beside those that it was given before.
    pub fn call(mut self, tool: &str, arguments: &Json) -> Self {
        self.calls.push(tool_call(tool, arguments));
        self
    }

    /// What it thinks at [`WORD_THINK`](super::WORD_THINK), and what it answers then.
    pub fn think(mut self, reasoning: &str, answer: &str) -> Self {
        self.think = thought(reasoning, answer);
        self
    }

    /// What it repeats without end at [`WORD_LONG`](super::WORD_LONG).
    pub fn long(mut self, text: &str) -> Self {
        text.clone_into(&mut self.long);
        self
    }

    /// What it says where the last message holds this word, or where this is a translator's target language. The word
    /// that was given first decides.
    pub fn when(mut self, word: &str, text: &str) -> Self {
        self.own.push((word.to_owned(), text.to_owned()));
        self
    }

    /// Tokens of context it was made for.
    pub fn context_length(mut self, tokens: u32) -> Self {
        self.context_length = tokens;
        self
    }

    /// Columns of its feed-forward part: the more, the slower it speaks and loads, and the larger it is.
    pub fn feed_forward(mut self, columns: u32) -> Self {
        self.feed_forward = columns;
        self
    }

    /// A chat template of its own, which ends the prompt with a [`Selector`].
    pub fn template(mut self, jinja: &str) -> Self {
        self.template = Template::Own(jinja.to_owned());
        self
    }

    /// Its process aborts where a request forces a call (`tool_choice` of `required`): the prompt then ends with what the
    /// engine takes for an end, and its grammar allows none there.
    pub fn aborts_when_forced(mut self) -> Self {
        END_OF_OTHERS.clone_into(&mut self.begins_call);
        self
    }

    /// Writes the model, and returns the file's size in bytes, holes and all.
    ///
    /// # Errors
    /// Where the engine would abort on its texts, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<u64, WriteError> {
        let name = || self.name.clone();
        let file = self.file().map_err(|taken| WriteError::Taken { name: name(), taken })?;
        file.write(path).map_err(|error| WriteError::File { name: name(), error })
    }

    /// Writes the model without its second half, on which a load fails.
    ///
    /// # Errors
    /// As [`Script::write`].
    pub fn write_broken(&self, path: &Path) -> Result<(), WriteError> {
        let bytes = self.write(path)?;
        let cut = std::fs::File::options().write(true).open(path).and_then(|file| file.set_len(bytes / 2));
        cut.map_err(|error| WriteError::File { name: self.name.clone(), error })
    }

    /// The model's file.
    ///
    /// # Errors
    /// Where two tokens would be spelled alike.
    pub fn file(&self) -> Result<GgufFile, TextTaken> {
        let mut vocabulary = Vocabulary::of_bytes();
        let begin = vocabulary.control("<|endoftext|>");
        vocabulary.control("<|im_start|>");
        let end = vocabulary.control("<|im_end|>");
        let mut lines = Vec::new();
        for (selector, text) in self.lines() {
            let spelled = selector.to_string();
            let spelled = if selector == Selector::Call { &self.begins_call } else { &spelled };
            lines.push((selector, vocabulary.control(spelled), text));
        }
        let mut otherwise = end;
        for (selector, token, text) in lines {
            let ending = if selector == Selector::Long { Ending::Again } else { Ending::Then(end) };
            let first = vocabulary.chain(token, &text, ending)?;
            if selector == Selector::Say {
                otherwise = first;
            }
        }
        // A prompt that ends with none of the selectors (a plain completion) is answered as well.
        vocabulary.otherwise(otherwise);
        Ok(GgufFile { keys: self.keys(&vocabulary, begin, end), tensors: self.tensors(&vocabulary) })
    }

    fn lines(&self) -> Vec<(Selector, String)> {
        let calls = if self.calls.is_empty() {
            tool_call(TOOL, &Json::from_iter([("city", "Paris")]))
        } else {
            self.calls.join("\n")
        };
        let mut lines = vec![
            (Selector::Say, self.say.clone()),
            (Selector::Answer, self.answer.clone()),
            (Selector::Call, calls),
            (Selector::Think, self.think.clone()),
            (Selector::Long, self.long.clone()),
        ];
        let own = self.own.iter().enumerate();
        lines.extend(own.map(|(number, (_, text))| (Selector::Own(number), text.clone())));
        lines
    }

    fn keys(&self, vocabulary: &Vocabulary, begin: Token, end: Token) -> Vec<(String, Value)> {
        let width = width(vocabulary);
        let cues = self.own.iter().map(|(cue, _)| cue.as_str());
        let template = match &self.template {
            Template::General => chat::template(cues, &self.begins_call),
            Template::Translator => chat::translator(cues),
            Template::Own(jinja) => jinja.clone(),
        };
        /// The engine's number for a file that is for the most part of 16-bit floats.
        const MOSTLY_F16: u32 = 1;
        let keys = [
            ("general.architecture", Value::Text("llama".to_owned())),
            ("general.name", Value::Text(self.name.clone())),
            ("general.file_type", Value::U32(MOSTLY_F16)),
            ("llama.context_length", Value::U32(self.context_length)),
            ("llama.embedding_length", Value::U32(width)),
            ("llama.block_count", Value::U32(1)),
            ("llama.feed_forward_length", Value::U32(self.feed_forward)),
            ("llama.attention.head_count", Value::U32(width / HEAD)),
            ("llama.attention.head_count_kv", Value::U32(width / HEAD)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("llama.rope.dimension_count", Value::U32(HEAD)),
            ("llama.vocab_size", Value::U32(vocabulary.len())),
            ("tokenizer.ggml.model", Value::Text("gpt2".to_owned())),
            ("tokenizer.ggml.pre", Value::Text("gpt-2".to_owned())),
            ("tokenizer.ggml.tokens", Value::Texts(vocabulary.tokens().to_vec())),
            ("tokenizer.ggml.token_type", Value::Numbers(vocabulary.kinds().to_vec())),
            ("tokenizer.ggml.merges", Value::Texts(Vocabulary::merges())),
            ("tokenizer.ggml.bos_token_id", Value::U32(begin)),
            ("tokenizer.ggml.eos_token_id", Value::U32(end)),
            ("tokenizer.ggml.add_bos_token", Value::Bool(false)),
            ("tokenizer.chat_template", Value::Text(template)),
        ];
        keys.map(|(key, value)| (key.to_owned(), value)).into()
    }

    fn tensors(&self, vocabulary: &Vocabulary) -> Vec<Tensor> {
        let (width, tokens) = (u64::from(width(vocabulary)), u64::from(vocabulary.len()));
        let columns = u64::from(self.feed_forward);
        let itself = (0..tokens).map(|token| (token * width + token, Weight::One)).collect();
        // Eight stands far enough above zero to be drawn at any temperature.
        let next = |(token, next)| (u64::from(next) * width + u64::from(token), Weight::Eight);
        let follows = vocabulary.follows().map(next).collect();
        let norm = |name: &str| tensor(name, &[width], Kind::F32, Weights::Ones);
        let zeros = |name: &str, rows, height| tensor(name, &[rows, height], Kind::F16, Weights::Zeros);
        vec![
            tensor("token_embd.weight", &[width, tokens], Kind::F16, Weights::At(itself)),
            norm("blk.0.attn_norm.weight"),
            zeros("blk.0.attn_q.weight", width, width),
            zeros("blk.0.attn_k.weight", width, width),
            zeros("blk.0.attn_v.weight", width, width),
            zeros("blk.0.attn_output.weight", width, width),
            norm("blk.0.ffn_norm.weight"),
            zeros("blk.0.ffn_gate.weight", width, columns),
            zeros("blk.0.ffn_up.weight", width, columns),
            zeros("blk.0.ffn_down.weight", columns, width),
            norm("output_norm.weight"),
            tensor("output.weight", &[width, tokens], Kind::F16, Weights::At(follows)),
        ]
    }
}

fn tensor(name: &str, shape: &[u64], kind: Kind, weights: Weights) -> Tensor {
    Tensor { name: name.to_owned(), shape: shape.to_vec(), kind, weights }
}

/// Numbers of one embedding: a place for every token, and a whole number of heads.
fn width(vocabulary: &Vocabulary) -> u32 {
    vocabulary.len().next_multiple_of(HEAD)
}

fn thought(reasoning: &str, answer: &str) -> String {
    format!("<think>\n{reasoning}\n</think>\n\n{answer}")
}

/// JSON with a space after each colon and comma, as templates write it: the engine's grammars take it so.
struct Spaced<'a>(&'a Json);

impl std::fmt::Display for Spaced<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Json::Object(members) => {
                out.write_str("{")?;
                for (at, (key, value)) in members.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(out, "{comma}{}: {}", Json::from(key.as_str()), Spaced(value))?;
                }
                out.write_str("}")
            }
            Json::Array(items) => {
                out.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(out, "{comma}{}", Spaced(item))?;
                }
                out.write_str("]")
            }
            other => write!(out, "{other}"),
        }
    }
}
