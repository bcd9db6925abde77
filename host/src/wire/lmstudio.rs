//! LM Studio's native REST interface, versions 1 and 0, as far as residency needs it: lists, loads, unloads, and the
//! five shapes in which it says that something is wrong.
//!
//! Reading is lenient, because builds differ: only what we act on is named, everything may be missing, and one entry
//! that cannot be read does not spoil a list. Writing is strict: the server refuses bodies with keys it does not know,
//! so a load sends the documented seven and nothing else.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `GET /api/v1/models`.
#[derive(Debug, Deserialize)]
pub struct Models {
    models: Vec<Box<RawValue>>,
}

/// One downloaded model.
#[derive(Debug, Deserialize)]
pub struct Model {
    /// `llm`, `embedding`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What loads and requests name.
    pub key: String,
    /// For people.
    pub display_name: Option<String>,
    /// Bytes on disk.
    pub size_bytes: Option<u64>,
    /// Tokens.
    pub max_context_length: Option<u32>,
    /// What it can do; absent for embedding models.
    pub capabilities: Option<Capabilities>,
    /// Where it is in memory; may lag behind, or show instances that still load.
    #[serde(default)]
    pub loaded_instances: Vec<LoadedInstance>,
}

/// What a language model can do.
#[derive(Debug, Default, Deserialize)]
pub struct Capabilities {
    /// It takes images.
    #[serde(default)]
    pub vision: bool,
    /// It was trained to call tools.
    #[serde(default)]
    pub trained_for_tool_use: bool,
    /// There if it can reason.
    pub reasoning: Option<Box<RawValue>>,
}

/// An instance.
#[derive(Debug, Deserialize)]
pub struct LoadedInstance {
    /// The key, `key:2`, or a name someone gave it.
    pub id: String,
    /// How it was loaded.
    #[serde(default)]
    pub config: InstanceConfig,
    /// Seconds; only on instances that will go by themselves. Undocumented.
    pub remaining_ttl_seconds: Option<f64>,
}

/// How an instance was loaded. Engines report what applies to them.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub struct InstanceConfig {
    /// Tokens.
    pub context_length: Option<u32>,
    /// llama.cpp only.
    pub eval_batch_size: Option<u32>,
    /// llama.cpp only.
    pub flash_attention: Option<bool>,
    /// llama.cpp and mixtures of experts only.
    pub num_experts: Option<u32>,
    /// llama.cpp only.
    pub offload_kv_cache_to_gpu: Option<bool>,
    /// Requests worked on at once.
    pub parallel: Option<u32>,
}

/// `POST /api/v1/models/load`: the seven documented keys.
#[derive(Debug, Serialize)]
pub struct Load<'a> {
    /// The model's key.
    pub model: &'a str,
    /// Tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u32>,
    /// llama.cpp only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_batch_size: Option<u32>,
    /// llama.cpp only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flash_attention: Option<bool>,
    /// Mixtures of experts only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_experts: Option<u32>,
    /// llama.cpp only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offload_kv_cache_to_gpu: Option<bool>,
    /// Answer with the settings that hold, which need not be these.
    pub echo_load_config: bool,
}

/// The answer to a load, when the model is resident.
#[derive(Debug, Deserialize)]
pub struct Loaded {
    /// The new instance.
    pub instance_id: String,
    /// What the load took.
    pub load_time_seconds: Option<f64>,
    /// The settings that hold.
    #[serde(default)]
    pub load_config: Option<InstanceConfig>,
}

/// `POST /api/v1/models/unload`.
#[derive(Debug, Serialize)]
pub struct Unload<'a> {
    /// The instance, not the model.
    pub instance_id: &'a str,
}

/// `GET /lmstudio-greeting`, with which LM Studio's own tools look for it.
#[derive(Debug, Deserialize)]
pub struct Greeting {
    /// It is one.
    pub lmstudio: bool,
}

/// `GET /api/v0/models`.
#[derive(Debug, Deserialize)]
pub struct OldModels {
    data: Vec<Box<RawValue>>,
}

/// One model in the old list: a key, or a further instance of it.
#[derive(Debug, Deserialize)]
pub struct OldModel {
    /// The key or the instance.
    pub id: String,
    /// `llm`, `vlm`, `embeddings`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// `not-loaded`, `loading`, `loaded`.
    #[serde(default)]
    pub state: String,
    /// Tokens.
    pub max_context_length: Option<u32>,
    /// Tokens; only when loaded.
    pub loaded_context_length: Option<u32>,
    /// `tool_use`.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// What a body says is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// For people.
    pub message: String,
    /// `model_not_found`, `invalid_request`, …; empty where it says none.
    pub kind: String,
    /// `invalid_api_key`, `unrecognized_keys`, …; empty where it says none.
    pub code: String,
}

/// What can be told from a fault's text, as documentation, captures and reports show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// The guardrail, or the engine, found too little memory.
    OutOfMemory,
    /// No such model is downloaded.
    UnknownModel,
    /// No such instance is loaded.
    NotLoaded,
    /// A load was broken off by an unload or an eviction.
    Aborted,
    /// The engine died.
    Crashed,
    /// A token is needed, or another one.
    Unauthorised,
    /// No such path: an old server, or none of LM Studio's.
    Unsupported,
    /// Anything else.
    Other,
}

/// Bytes of an unreadable body that are shown.
const EXCERPT: usize = 200;

// === impl Models ===

impl Models {
    /// The entries that can be read.
    pub fn entries(&self) -> impl Iterator<Item = Model> {
        self.models.iter().filter_map(|entry| serde_json::from_str(entry.get()).ok())
    }
}

// === impl OldModels ===

impl OldModels {
    /// The entries that can be read.
    pub fn entries(&self) -> impl Iterator<Item = OldModel> {
        self.data.iter().filter_map(|entry| serde_json::from_str(entry.get()).ok())
    }
}

// === impl Fault ===

impl Fault {
    /// What a body says is wrong; none where it says nothing of the kind. A successful status does not make an error
    /// of this server a success: unknown paths are answered with 200.
    pub fn read(body: &[u8]) -> Option<Self> {
        let body: Shape = serde_json::from_slice(body).ok()?;
        let error = body.error?;
        if let Ok(message) = serde_json::from_str::<String>(error.get()) {
            return Some(Self { message, ..Self::default() });
        }
        let error: ErrorObject = serde_json::from_str(error.get()).ok()?;
        Some(Self {
            message: error.message.unwrap_or_default(),
            kind: error.kind.unwrap_or_default(),
            code: error.code.and_then(|code| serde_json::from_str(code.get()).ok()).unwrap_or_default(),
        })
    }

    /// The fault of an answer whose body says nothing that can be read: HTML, or nothing at all.
    pub fn unreadable(body: &[u8]) -> Self {
        let text: String = String::from_utf8_lossy(body).chars().take(EXCERPT).collect();
        Self { message: text.trim().to_owned(), ..Self::default() }
    }

    /// What it means.
    pub fn class(&self) -> FaultClass {
        let says = |text: &str| self.message.contains(text);
        if says("insufficient system resources") {
            FaultClass::OutOfMemory
        } else if says("Unexpected endpoint or method") {
            FaultClass::Unsupported
        } else if self.code == "invalid_api_key" || says("API token is required") {
            FaultClass::Unauthorised
        } else if says("Operation canceled") {
            FaultClass::Aborted
        } else if says("has crashed") || says("startup was aborted") {
            // An engine's startup "was aborted" when it died: the same load would end the same way.
            FaultClass::Crashed
        } else if says("is not loaded") {
            FaultClass::NotLoaded
        } else if self.kind == "model_not_found"
            || self.code == "model_not_found"
            || says("not found in downloaded models")
            || says("Invalid model identifier")
        {
            FaultClass::UnknownModel
        } else {
            FaultClass::Other
        }
    }
}

/// Any body that may carry an error.
#[derive(Deserialize)]
struct Shape {
    error: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct ErrorObject {
    message: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_in_every_shape() {
        let check = |body: &str, class: FaultClass| {
            let fault = Fault::read(body.as_bytes()).unwrap_or_else(|| Fault::unreadable(body.as_bytes()));
            assert_eq!(fault.class(), class, "{body}");
        };
        check(
            r#"{"error":{"message":"Model acme/x not found in downloaded models","type":"model_not_found"}}"#,
            FaultClass::UnknownModel,
        );
        check(
            r#"{"error":{"type":"model_not_found","message":"Model with instance identifier 'x' is not loaded."}}"#,
            FaultClass::NotLoaded,
        );
        check(
            r#"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":null}}"#,
            FaultClass::Other,
        );
        check(r#"{"error":"Unexpected endpoint or method. (GET /api/v1/models)"}"#, FaultClass::Unsupported);
        check(
            r#"{"error":"The model has crashed without additional information. (Exit code: 11)"}"#,
            FaultClass::Crashed,
        );
        check(
            r#"{"type":"error","error":{"type":"api_error","message":"Model loading was stopped due to insufficient system resources."}}"#,
            FaultClass::OutOfMemory,
        );
        check(
            r#"{"error":{"type":"invalid_request","code":"invalid_api_key","message":"An LM Studio API token is required"}}"#,
            FaultClass::Unauthorised,
        );
        check("<html>Internal Server Error</html>", FaultClass::Other);
        assert_eq!(Fault::read(br#"{"models":[]}"#), None);
        assert_eq!(Fault::read(b"[]"), None);
    }

    #[test]
    fn a_list_survives_entries_that_cannot_be_read() {
        let body = r#"{"models":[{"key":7},{"type":"llm","key":"acme/otter","loaded_instances":[{"id":"acme/otter:2","config":{"context_length":8192,"new":1},"remaining_ttl_seconds":3541.5}]}]}"#;
        let models: Models = serde_json::from_str(body).unwrap();
        let keys: Vec<String> = models.entries().map(|model| model.key).collect();
        assert_eq!(keys, ["acme/otter"]);
    }
}
