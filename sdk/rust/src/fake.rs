//! A gateway for tests: off WebAssembly, every capability asks the host that the test installed on its thread.
//!
//! It holds what a test puts in and records what a skill wished for; it swaps nothing and knows no grants. Without an
//! installed host everything is empty. Bounded by the test that fills it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::contract::conversation::Message;
use crate::bindings::contract::log::Level;
use crate::{Error, Instance, Model, Settings, Skill, Turn};

pub(crate) mod backend;

/// What the fake gateway knows; see [`install`](Host::install).
#[derive(Debug, Clone, Default)]
pub struct Host {
    models: Vec<Model>,
    embeddings: BTreeMap<String, Vec<f32>>,
    messages: Vec<Message>,
    sessions: BTreeMap<String, String>,
    kv: BTreeMap<String, Vec<u8>>,
    now_ms: f64,
    random: u8,
    wishes: Vec<Wish>,
    lines: Vec<(Level, String)>,
}

/// Something a skill asked of residency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// `residency.load`.
    Load(String),
    /// `residency.unload`.
    Unload(String),
}

/// The host is in place on this thread until this is dropped; says what the skill did with it.
#[derive(Debug)]
#[must_use = "the host goes when this is dropped"]
pub struct Running(());

thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::default());
}

/// Configures a skill with JSON settings, as the host would.
pub fn configured<S: Skill>(settings: &str) -> Result<S, Error> {
    S::configure(Settings::new(settings))
}

// === impl Host ===

impl Host {
    /// A gateway without models.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a model that some provider can serve.
    pub fn with_model(mut self, model: Model) -> Self {
        self.models.push(model);
        self
    }

    /// Sets the clock: milliseconds since the Unix epoch.
    pub fn at(mut self, now_ms: f64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// Makes every random byte this one.
    pub fn with_random(mut self, byte: u8) -> Self {
        self.random = byte;
        self
    }

    /// Gives a text its embedding; texts without one cannot be embedded.
    pub fn with_embedding(mut self, text: &str, vector: &[f32]) -> Self {
        self.embeddings.insert(text.to_owned(), vector.to_vec());
        self
    }

    /// Adds a message to the conversation behind every turn.
    pub fn with_message(mut self, role: &str, text: &str) -> Self {
        self.messages.push(Message {
            role: role.to_owned(),
            text: text.to_owned(),
            media: Vec::new(),
            tools: Vec::new(),
            extra: Vec::new(),
        });
        self
    }

    /// Puts it in place for this thread.
    pub fn install(self) -> Running {
        HOST.replace(self);
        Running(())
    }
}

// === impl Running ===

impl Running {
    /// The wishes so far, in order.
    pub fn wishes(&self) -> Vec<Wish> {
        HOST.with_borrow(|host| host.wishes.clone())
    }

    /// The log lines so far, in order.
    pub fn lines(&self) -> Vec<(Level, String)> {
        HOST.with_borrow(|host| host.lines.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        HOST.replace(Host::default());
    }
}

// === impl Model, Turn ===

impl Model {
    /// A language model for text, known by its id (`provider/key`), not resident.
    pub fn named(id: &str) -> Self {
        let (provider, key) = id.split_once('/').unwrap_or(("", id));
        Self {
            id: id.to_owned(),
            provider: provider.to_owned(),
            key: key.to_owned(),
            display_name: key.to_owned(),
            kind: "language".to_owned(),
            inputs: vec!["text".to_owned()],
            capabilities: Vec::new(),
            local: true,
            max_context: 0,
            size_mib: 0,
            instances: Vec::new(),
            load_seconds: None,
            input_cost: None,
            output_cost: None,
            extra: Vec::new(),
        }
    }

    /// It takes this kind of input too: `image`, `audio`, ...
    pub fn taking(mut self, input: &str) -> Self {
        self.inputs.push(input.to_owned());
        self
    }

    /// Its size on disk in MiB.
    pub fn of_size(mut self, size_mib: u32) -> Self {
        self.size_mib = size_mib;
        self
    }

    /// It is in memory, under its key, ready.
    pub fn resident(mut self) -> Self {
        self.instances.push(Instance {
            id: self.key.clone(),
            state: "ready".to_owned(),
            context_length: 0,
            in_flight: 0,
            queued: 0,
            extra: Vec::new(),
        });
        self
    }
}

impl Turn {
    /// A chat turn in which the user wrote this.
    pub fn saying(text: &str) -> Self {
        Self {
            request_id: "request".to_owned(),
            session: "session".to_owned(),
            agent: None,
            client: None,
            protocol: "chat-completions".to_owned(),
            streaming: true,
            requested_model: "auto".to_owned(),
            current_model: String::new(),
            pinned: false,
            user_text: text.to_owned(),
            user_text_truncated: false,
            last_answer: String::new(),
            media: Vec::new(),
            history_media: Vec::new(),
            tools: Vec::new(),
            message_count: 1,
            estimated_tokens: u32::try_from(text.len() / 4).unwrap_or(u32::MAX),
            max_output_tokens: None,
            extra: Vec::new(),
        }
    }

    /// With this kind of media in the turn.
    pub fn with_media(mut self, kind: &str) -> Self {
        self.media.push(kind.to_owned());
        self.history_media.push(kind.to_owned());
        self
    }

    /// After the assistant answered this.
    pub fn after(mut self, answer: &str) -> Self {
        self.last_answer = answer.to_owned();
        self
    }
}
