//! What an emulated LM Studio is like: its settings, its catalogue of models, what is loaded at the start, its faults.
//!
//! One file of TOML and one Rust value are the same thing; unknown keys are refused. Every switch has the real
//! program's default. Nothing here runs anything.

mod catalogue;
mod downloadable;
mod engine;
mod seconds;
mod server;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use catalogue::{Answers, Format, Kind, Model, Reasoning, Template, Tuning};
pub use downloadable::Downloadable;
pub use engine::Engine;
pub use server::{Overflow, Server};

use crate::fault::Fault;

/// Everything the emulator can be told before it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Keep the bytes of requests and their progress in the log. Off, only changes of memory are kept, for benchmarks.
    pub record: bool,
    /// Entries the log keeps; the oldest go first.
    pub log_entries_max: usize,
    /// Bytes a request body may have; a longer one is answered with 413.
    pub body_bytes_max: usize,
    /// The program's settings.
    pub server: Server,
    /// What runs models that have a file of weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// Changes to models of the catalogue, the default one included.
    pub tuning: Vec<Tuning>,
    /// What is in memory at the start.
    pub loaded: Vec<Loaded>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// The downloaded models, in the order they are listed.
    pub models: Vec<Model>,
    /// What a download can bring.
    pub downloadable: Vec<Downloadable>,
}

/// An instance that is in memory at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loaded {
    /// The model's key.
    pub model: String,
    /// Tokens of context; by default what a load without a context length gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<NonZeroU32>,
    /// A custom identifier in place of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML, or not this TOML.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A model without a key.
    #[error("models: a model has no key")]
    Nameless,
    /// Two models of the same key.
    #[error("models: {0} is listed twice")]
    Twice(String),
    /// A model with weights and nothing to run them.
    #[error("models: {0} has a gguf, but there is no [engine] to run it")]
    NoEngine(String),
    /// A name that no model has.
    #[error("{place}: no model {name} in the catalogue")]
    Unknown {
        /// The table that names it.
        place: &'static str,
        /// The name.
        name: String,
    },
    /// A number that is negative, or none, or zero where that means nothing.
    #[error("{place}: {number} is out of range")]
    Number {
        /// The key.
        place: &'static str,
        /// What it was set to.
        number: f64,
    },
    /// A status that HTTP does not have.
    #[error("{place}: {status} is no HTTP status")]
    Status {
        /// The key.
        place: &'static str,
        /// What it was set to.
        status: u16,
    },
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            record: true,
            log_entries_max: 100_000,
            body_bytes_max: 128 * 1024 * 1024,
            server: Server::default(),
            engine: None,
            tuning: Vec::new(),
            loaded: Vec::new(),
            faults: Vec::new(),
            models: catalogue::default_models(),
            downloadable: downloadable::default_downloadable(),
        }
    }
}

impl Config {
    /// Reads a TOML file's text and checks it.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// The same thing as TOML. Empty where it cannot be written, which no value of this type leads to.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// Has `model` in memory at the start, with the default context.
    #[must_use]
    pub fn loaded(mut self, model: &str) -> Self {
        self.loaded.push(Loaded::new(model));
        self
    }

    /// Has `model` in memory at the start, with that many tokens of context.
    #[must_use]
    pub fn loaded_with_context(mut self, model: &str, context_length: u32) -> Self {
        let loaded = Loaded { context_length: NonZeroU32::new(context_length), ..Loaded::new(model) };
        self.loaded.push(loaded);
        self
    }

    /// Changes a model of the catalogue.
    #[must_use]
    pub fn tuned(mut self, tuning: Tuning) -> Self {
        self.tuning.push(tuning);
        self
    }

    /// Adds a model, or replaces the one of the same key.
    #[must_use]
    pub fn model(mut self, model: Model) -> Self {
        self.models.retain(|other| other.key != model.key);
        self.models.push(model);
        self
    }

    /// Adds a model that can be downloaded at that many bytes a second, 0 being at once.
    #[must_use]
    pub fn downloadable(mut self, model: Model, bytes_per_second: f64) -> Self {
        self.downloadable.retain(|other| other.model.key != model.key);
        self.downloadable.push(Downloadable { link: None, bytes_per_second, model });
        self
    }

    /// Runs models that have a file of weights with this program.
    #[must_use]
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Every model takes that long to load.
    #[must_use]
    pub fn load_time(mut self, time: Duration) -> Self {
        self.models.iter_mut().for_each(|model| model.load_time = time);
        self
    }

    /// Every model takes that long to unload.
    #[must_use]
    pub fn unload_time(mut self, time: Duration) -> Self {
        self.models.iter_mut().for_each(|model| model.unload_time = time);
        self
    }

    /// Every model writes that many tokens a second; 0 writes at once.
    #[must_use]
    pub fn tokens_per_second(mut self, speed: f64) -> Self {
        self.models.iter_mut().for_each(|model| model.tokens_per_second = speed);
        self
    }

    /// That much memory for models, in GiB.
    #[must_use]
    pub fn memory_gb(mut self, memory: f64) -> Self {
        self.server.memory_total_gb = Some(memory);
        self
    }

    /// Changes the program's settings.
    #[must_use]
    pub fn server(mut self, change: impl FnOnce(&mut Server)) -> Self {
        change(&mut self.server);
        self
    }

    /// Has this fault from the start.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// No log of requests.
    #[must_use]
    pub fn without_record(mut self) -> Self {
        self.record = false;
        self
    }

    /// Names that name nothing and numbers that mean nothing are errors here, not surprises later.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut keys = HashSet::new();
        for model in &self.models {
            self.check_model(model)?;
            if !keys.insert(model.key.as_str()) {
                return Err(ConfigError::Twice(model.key.clone()));
            }
        }
        for downloadable in &self.downloadable {
            self.check_model(&downloadable.model)?;
            speed("downloadable.bytes_per_second", downloadable.bytes_per_second)?;
        }
        let named = self.loaded.iter().map(|loaded| ("loaded", &loaded.model));
        let tuned = self.tuning.iter().map(|tuning| ("tuning", &tuning.model));
        for (place, name) in named.chain(tuned) {
            if !keys.contains(name.as_str()) {
                return Err(ConfigError::Unknown { place, name: name.clone() });
            }
        }
        self.server.check()
    }

    fn check_model(&self, model: &Model) -> Result<(), ConfigError> {
        if model.key.is_empty() {
            return Err(ConfigError::Nameless);
        }
        if model.gguf.is_some() && self.engine.is_none() {
            return Err(ConfigError::NoEngine(model.key.clone()));
        }
        speed("models.tokens_per_second", model.tokens_per_second)
    }

    /// The catalogue with the tuning applied.
    pub(crate) fn catalogue(&self) -> Vec<Model> {
        let mut models = self.models.clone();
        for tuning in &self.tuning {
            models.iter_mut().filter(|model| model.key == tuning.model).for_each(|model| tuning.apply(model));
        }
        models
    }
}

/// A number of things a second: none, or so many.
fn speed(place: &'static str, number: f64) -> Result<(), ConfigError> {
    if (0.0..f64::INFINITY).contains(&number) { Ok(()) } else { Err(ConfigError::Number { place, number }) }
}

// === impl Loaded ===

impl Loaded {
    /// This model, under its key, with the default context.
    pub fn new(model: &str) -> Self {
        Self { model: model.to_owned(), context_length: None, identifier: None }
    }
}
