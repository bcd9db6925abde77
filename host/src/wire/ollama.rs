//! Ollama's own interface as far as residency needs it: what is installed, what is in memory, what a model can, and the
//! requests without a prompt that load and unload.
//!
//! Facts are from its source and documentation. Reading is lenient as with LM Studio: one entry that cannot be read
//! does not spoil a list, and older servers leave out much of what newer ones say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `GET /api/tags` and `GET /api/ps`.
#[derive(Debug, Deserialize)]
pub struct Models {
    models: Option<Vec<Box<RawValue>>>,
}

/// A model that is installed.
#[derive(Debug, Deserialize)]
pub struct Tag {
    /// What requests name: `name:tag`.
    pub name: String,
    /// Bytes on disk.
    pub size: Option<u64>,
    /// What its content hashes to.
    #[serde(default)]
    pub digest: String,
    /// More of it.
    #[serde(default)]
    pub details: Details,
    /// What it can; only newer servers say so here.
    pub capabilities: Option<Vec<String>>,
    /// Set where requests are passed on to another machine.
    remote_host: Option<String>,
}

/// More of a model.
#[derive(Debug, Default, Deserialize)]
pub struct Details {
    /// The model's architecture: `llama`, `bert`, …
    pub family: Option<String>,
    /// Tokens of context it was trained with; only newer servers say so here.
    pub context_length: Option<u32>,
}

/// A model in memory.
#[derive(Debug, Deserialize)]
pub struct Running {
    /// What requests name.
    pub name: String,
    /// When it will go by itself, in RFC 3339; centuries away where it stays.
    pub expires_at: Option<String>,
    /// Tokens of context it was loaded with.
    pub context_length: Option<u32>,
}

/// `POST /api/show`.
#[derive(Debug, Default, Deserialize)]
pub struct Shown {
    /// `completion`, `tools`, `vision`, `thinking`, `embedding`, …
    pub capabilities: Option<Vec<String>>,
    /// What is written in the model's file, by name.
    pub model_info: Option<BTreeMap<String, Box<RawValue>>>,
}

/// `GET /api/version`.
#[derive(Debug, Deserialize)]
pub struct Version {
    /// Of the server.
    pub version: String,
}

/// `POST /api/show`.
#[derive(Debug, Serialize)]
pub struct Named<'a> {
    /// The model.
    pub model: &'a str,
}

/// `POST /api/generate` without a prompt, which only changes what is in memory.
#[derive(Debug, Serialize)]
pub struct Keep<'a> {
    /// The model.
    pub model: &'a str,
    /// How long it stays when idle, in seconds: -1 for ever, 0 not at all.
    pub keep_alive: i32,
    /// One answer instead of a stream.
    pub stream: bool,
    /// How it is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Options>,
}

/// `POST /api/embed` without input: the same for models that write nothing.
#[derive(Debug, Serialize)]
pub struct KeepEmbedder<'a> {
    /// The model.
    pub model: &'a str,
    /// Nothing.
    pub input: [&'a str; 0],
    /// How long it stays when idle, in seconds.
    pub keep_alive: i32,
    /// How it is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Options>,
}

/// How a model is loaded.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Options {
    /// Tokens of context.
    pub num_ctx: u32,
}

/// What a refusal's text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// Memory does not suffice.
    OutOfMemory,
    /// It is not installed.
    UnknownModel,
    /// It writes no text: an embedding model was asked to.
    NoWriter,
    /// The load was broken off.
    Aborted,
    /// Its process died.
    Crashed,
    /// Anything else.
    Other,
}

/// Stays in memory until it is told to go.
pub const FOR_EVER: i32 = -1;

/// Goes as soon as nobody works with it.
pub const NOT_AT_ALL: i32 = 0;

// === impl Models ===

impl Models {
    /// What is installed, as far as it can be read.
    pub fn tags(&self) -> impl Iterator<Item = Tag> {
        self.read()
    }

    /// What is in memory, as far as it can be read.
    pub fn running(&self) -> impl Iterator<Item = Running> {
        self.read()
    }

    /// It is a list of Ollama's; none of another server's is.
    pub fn is_list(&self) -> bool {
        self.models.is_some()
    }

    fn read<T: for<'de> Deserialize<'de>>(&self) -> impl Iterator<Item = T> {
        self.models.iter().flatten().filter_map(|entry| serde_json::from_str(entry.get()).ok())
    }
}

// === impl Tag ===

impl Tag {
    /// Requests for it are passed on to another machine, and nothing of it is ever in memory here.
    pub fn is_elsewhere(&self) -> bool {
        self.remote_host.as_ref().is_some_and(|host| !host.is_empty())
    }
}

// === impl Shown ===

impl Shown {
    /// Tokens of context the model was trained with.
    pub fn context(&self) -> Option<u32> {
        let info = self.model_info.as_ref()?;
        let architecture: Option<String> =
            info.get("general.architecture").and_then(|raw| serde_json::from_str(raw.get()).ok());
        let own = architecture.and_then(|name| info.get(&format!("{name}.context_length")));
        let any = || info.iter().find(|(name, _)| name.ends_with(".context_length")).map(|(_, raw)| raw);
        serde_json::from_str(own.or_else(any)?.get()).ok().filter(|tokens| *tokens > 0)
    }
}

// === impl FaultClass ===

impl FaultClass {
    /// What a refusal means.
    pub fn of(status: u16, message: &str) -> Self {
        let says = |text: &str| message.contains(text);
        if says("requires more system memory") || says("out of memory") || says("cudaMalloc failed") {
            Self::OutOfMemory
        } else if says("does not support generate") || says("does not support completion") {
            Self::NoWriter
        } else if status == 499 || says("request canceled") {
            Self::Aborted
        } else if says("runner process has terminated") || says("runner process no longer running") {
            Self::Crashed
        } else if status == 404 && says("model") {
            Self::UnknownModel
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_old_and_new_servers_are_read() {
        let body = r#"{"models":[{"name":7},
            {"name":"qwen3:8b","model":"qwen3:8b","size":5,"digest":"d1","details":{"family":"qwen3","families":null}},
            {"name":"new:1b","digest":"d2","details":{"context_length":4096},"capabilities":["completion","vision"]},
            {"name":"big:cloud","digest":"d3","remote_host":"https://ollama.com:443"}]}"#;
        let tags: Vec<Tag> = serde_json::from_str::<Models>(body).unwrap().tags().collect();
        let seen: Vec<_> = tags.iter().map(|tag| (tag.name.as_str(), tag.is_elsewhere())).collect();
        assert_eq!(seen, [("qwen3:8b", false), ("new:1b", false), ("big:cloud", true)]);
        assert_eq!(tags[1].details.context_length, Some(4096));
        let empty: Models = serde_json::from_str(r#"{"models":null}"#).unwrap();
        assert!(empty.running().next().is_none() && !empty.is_list());
    }

    #[test]
    fn the_context_is_that_of_the_models_own_architecture() {
        let cases = [
            (
                r#"{"general.architecture":"llama","clip.context_length":77,"llama.context_length":131072}"#,
                Some(131_072),
            ),
            (r#"{"gemma3.context_length":8192}"#, Some(8192)),
            (r#"{"general.architecture":"llama","llama.context_length":"much"}"#, None),
            ("{}", None),
        ];
        for (info, context) in cases {
            let shown: Shown = serde_json::from_str(&format!(r#"{{"model_info":{info}}}"#)).unwrap();
            assert_eq!(shown.context(), context, "{info}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let cases = [
            (404, "model 'x' not found", FaultClass::UnknownModel),
            (404, "404 page not found", FaultClass::Other),
            (400, "\"nomic\" does not support generate", FaultClass::NoWriter),
            (500, "model requires more system memory (20.1 GiB) than is available", FaultClass::OutOfMemory),
            (
                500,
                "llama runner process has terminated: cudaMalloc failed: out of memory",
                FaultClass::OutOfMemory,
            ),
            (500, "llama runner process has terminated: exit status 2", FaultClass::Crashed),
            (499, "request canceled", FaultClass::Aborted),
            (503, "server busy, please try again.  maximum pending requests exceeded", FaultClass::Other),
        ];
        for (status, message, class) in cases {
            assert_eq!(FaultClass::of(status, message), class, "{message}");
        }
    }
}
