//! llama.cpp's `llama-server` as far as residency needs it: the list of its router mode with each model's status, the
//! news of its event stream, and what a server of one model says of itself.
//!
//! Facts are from its source and from runs of builds b11549 and 0.7.0. Reading is lenient as with LM Studio: one entry
//! that cannot be read does not spoil a list. What a model was started with shows in its arguments alone.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `GET /v1/models`.
#[derive(Debug, Deserialize)]
pub struct Models {
    data: Vec<Box<RawValue>>,
}

/// One model, in memory or not.
#[derive(Debug, Deserialize)]
pub struct Model {
    /// What loads and requests name.
    pub id: String,
    /// Where it is in its life; only a router says.
    pub status: Option<Status>,
    /// What goes in and what comes out; null where its file could not be read.
    pub architecture: Option<Architecture>,
    /// Tokens of context it was trained with; only a router says.
    pub context_length: Option<u32>,
    /// Facts of the model in memory.
    pub meta: Option<Meta>,
}

/// Where a router's model is in its life.
#[derive(Debug, Default, Deserialize)]
pub struct Status {
    /// The word for it.
    #[serde(default)]
    pub value: State,
    /// The command line of its process.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its process ended with an error.
    #[serde(default)]
    pub failed: bool,
    /// What its process ended with, where it failed.
    pub exit_code: Option<i64>,
}

/// The words for where a model is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not in memory.
    Unloaded,
    /// On its way into memory.
    Loading,
    /// In memory.
    Loaded,
    /// In memory as soon as a request comes: put to sleep when it was idle.
    Sleeping,
    /// Not on disk yet.
    Downloading,
    /// On disk since a moment ago.
    Downloaded,
    /// A word of a newer server.
    #[default]
    #[serde(other)]
    Other,
}

/// What a model takes and gives.
#[derive(Debug, Default, Deserialize)]
pub struct Architecture {
    /// `text`, `image`, `audio`, `video`.
    #[serde(default)]
    pub input_modalities: Vec<String>,
}

/// Facts of a model in memory.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub struct Meta {
    /// Tokens of context that one request can have.
    pub n_ctx: Option<u32>,
    /// Tokens of context it was trained with.
    pub n_ctx_train: Option<u32>,
    /// Bytes.
    pub size: Option<u64>,
}

/// `GET /props`.
#[derive(Debug, Default, Deserialize)]
pub struct Props {
    /// `router`, where it is one.
    pub role: Option<String>,
    /// There on every llama-server.
    pub default_generation_settings: Option<GenerationSettings>,
    /// Requests worked on at once, by a server of one model.
    pub total_slots: Option<u32>,
}

/// The part of the settings that we read.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub struct GenerationSettings {
    /// Tokens of context that one request can have; 0 on a router.
    pub n_ctx: Option<u32>,
}

/// `POST /models/load` and `POST /models/unload`.
#[derive(Debug, Serialize)]
pub struct Named<'a> {
    /// The model.
    pub model: &'a str,
}

/// One event of `GET /models/sse`. Servers name a change of status in two ways, `model_status` and `status_change`.
#[derive(Debug, Deserialize)]
pub struct News {
    /// The model.
    pub model: Option<String>,
    /// What kind of news it is.
    #[serde(default)]
    event: String,
    #[serde(default)]
    data: Change,
}

#[derive(Debug, Default, Deserialize)]
struct Change {
    #[serde(default)]
    status: State,
}

/// What a refusal's text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// It is in memory, or on its way.
    AlreadyRunning,
    /// It is not in memory.
    NotRunning,
    /// No such model.
    UnknownModel,
    /// As many models as may be are in memory, and all of them work.
    LimitReached,
    /// Its process died.
    Crashed,
    /// A server of one model has not loaded it yet, and says so whatever it is asked.
    StillLoading,
    /// Anything else.
    Other,
}

// === impl Models ===

impl Models {
    /// The entries that can be read.
    pub fn entries(&self) -> impl Iterator<Item = Model> {
        self.data.iter().filter_map(|entry| serde_json::from_str(entry.get()).ok())
    }
}

// === impl Model ===

impl Model {
    /// It takes pictures.
    pub fn takes_images(&self) -> bool {
        let inputs = self.architecture.as_ref().map(|it| it.input_modalities.as_slice()).unwrap_or_default();
        inputs.iter().any(|modality| modality == "image")
    }

    /// It was started to make vectors.
    pub fn makes_vectors(&self) -> bool {
        self.args().iter().any(|arg| matches!(arg.as_str(), "--embedding" | "--embeddings"))
    }

    /// Tokens of context that a request has, or will have when it is loaded; none where that is not said.
    pub fn context(&self) -> Option<u32> {
        let loaded = self.meta.and_then(|meta| meta.n_ctx).filter(|tokens| *tokens > 0);
        let trained = self.context_length.or_else(|| self.meta.and_then(|meta| meta.n_ctx_train));
        loaded.or_else(|| self.share()).or(trained).filter(|tokens| *tokens > 0)
    }

    /// What one request will have of the context in the arguments: the slots share it equally, unless they are told to
    /// draw on all of it.
    fn share(&self) -> Option<u32> {
        let whole = self.number("--ctx-size", "-c")?;
        let is_unified = self.args().iter().any(|arg| matches!(arg.as_str(), "--kv-unified" | "-kvu"));
        let slots = if is_unified { None } else { self.parallel().and_then(NonZeroU32::new) };
        Some(slots.map_or(whole, |slots| whole / slots))
    }

    /// Requests it works on at once, where its arguments say so.
    pub fn parallel(&self) -> Option<u32> {
        self.number("--parallel", "-np")
    }

    /// A positive number among the arguments; zero and less stand for "as you like".
    fn number(&self, long: &str, short: &str) -> Option<u32> {
        let mut args = self.args().iter();
        args.find(|arg| *arg == long || *arg == short)?;
        args.next()?.parse().ok().filter(|number| *number > 0)
    }

    fn args(&self) -> &[String] {
        self.status.as_ref().map_or(&[], |status| &status.args)
    }
}

// === impl Props ===

impl Props {
    /// It serves many models, each in a process of its own.
    pub fn is_router(&self) -> bool {
        self.role.as_deref() == Some("router")
    }

    /// Whether this can be a llama-server at all.
    pub fn is_llama_server(&self) -> bool {
        self.is_router() || self.default_generation_settings.is_some()
    }
}

// === impl News ===

impl News {
    /// The status that a model has come to; none where the news is of something else, like a download.
    pub fn status(&self) -> Option<State> {
        matches!(self.event.as_str(), "model_status" | "status_change").then_some(self.data.status)
    }
}

// === impl FaultClass ===

impl FaultClass {
    /// What a refusal's text means.
    pub fn of(message: &str) -> Self {
        let says = |text: &str| message.contains(text);
        if says("already running") {
            Self::AlreadyRunning
        } else if says("not running") {
            Self::NotRunning
        } else if says("is not found") {
            Self::UnknownModel
        } else if says("model limit reached") {
            Self::LimitReached
        } else if says("failed to load") {
            Self::Crashed
        } else if message == "Loading model" {
            Self::StillLoading
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routers_list_is_read() {
        let body = r#"{"object":"list","data":[{"id":7},
            {"id":"tiny","status":{"value":"loaded","args":["llama-server","--ctx-size","8192","--parallel","2","--embeddings"]},
             "architecture":{"input_modalities":["text","image"],"output_modalities":["text"]},"context_length":131072,
             "meta":{"n_ctx":4096,"n_ctx_train":131072,"size":77}},
            {"id":"cold","architecture":null,"status":{"value":"unloaded","args":["llama-server","-c","8192"]},"context_length":131072},
            {"id":"slots","status":{"value":"unloaded","args":["--ctx-size","8192","--parallel","2"]}},
            {"id":"shared","status":{"value":"unloaded","args":["--ctx-size","8192","-np","2","--kv-unified"]}},
            {"id":"free","status":{"value":"hibernating","args":["--ctx-size","0"]},"context_length":131072},
            {"id":"broken","status":{"value":"unloaded","failed":true,"exit_code":1}}]}"#;
        let models: Vec<Model> = serde_json::from_str::<Models>(body).unwrap().entries().collect();
        let contexts: Vec<_> = models.iter().map(|model| (model.id.as_str(), model.context())).collect();
        let expected = [
            ("tiny", Some(4096)),
            ("cold", Some(8192)),
            ("slots", Some(4096)),
            ("shared", Some(8192)),
            ("free", Some(131_072)),
            ("broken", None),
        ];
        assert_eq!(contexts, expected);
        assert!(models[0].takes_images() && models[0].makes_vectors() && !models[1].takes_images());
        assert_eq!(models[0].parallel(), Some(2));
        let states: Vec<_> =
            models.iter().map(|model| model.status.as_ref().map(|it| (it.value, it.failed))).collect();
        let expected = [
            (State::Loaded, false),
            (State::Unloaded, false),
            (State::Unloaded, false),
            (State::Unloaded, false),
            (State::Other, false),
            (State::Unloaded, true),
        ];
        assert_eq!(states, expected.map(Some));
    }

    #[test]
    fn both_names_of_news_are_known() {
        let cases = [
            (r#"{"model":"a","event":"model_status","data":{"status":"loading"}}"#, Some(State::Loading)),
            (
                r#"{"model":"a","event":"status_change","data":{"status":"unloaded","exit_code":0}}"#,
                Some(State::Unloaded),
            ),
            (
                r#"{"model":"a","event":"status_change","data":{"status":"loaded","info":{}}}"#,
                Some(State::Loaded),
            ),
            (r#"{"model":"a","event":"download_progress","data":{"progress":0.5}}"#, None),
            (r#"{"model":"a","event":"model_remove"}"#, None),
        ];
        for (text, status) in cases {
            assert_eq!(serde_json::from_str::<News>(text).unwrap().status(), status, "{text}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let cases = [
            ("model is already running", FaultClass::AlreadyRunning),
            ("model is not running", FaultClass::NotRunning),
            ("model name=x is not found", FaultClass::UnknownModel),
            ("model limit reached, try again later", FaultClass::LimitReached),
            ("model name=broken failed to load", FaultClass::Crashed),
            ("Loading model", FaultClass::StillLoading),
            ("Failed to parse the request", FaultClass::Other),
        ];
        for (message, class) in cases {
            assert_eq!(FaultClass::of(message), class, "{message}");
        }
    }
}
