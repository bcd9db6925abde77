//! What the admin API says, as values that both of its ends share: the gateway writes them, the command line reads them.
//!
//! Names here are a promise to scripts: fields are added, never renamed. Readers ignore what they do not know, so that an
//! older command line understands a newer gateway.

mod configuration;
mod of;
mod sessions;
mod skills;

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::telemetry::Record;
pub use configuration::{ConfigProblem, Configuration, Reloaded};
pub(super) use of::standing;
pub use sessions::{HeldRoute, Reset, Session, Sessions, UseOrder, Used};
pub use skills::{
    GrantOrder, Installed, Looked, Removed, Shadows, SkillInFull, SkillVersion, TrustOrder, Trusted,
    TrustedSigner, Waiting,
};

/// `GET status`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The gateway's.
    pub version: String,
    /// Since its start.
    pub uptime_seconds: u64,
    /// The generation of skills that new requests are pinned to.
    pub generation: u64,
    /// The model servers.
    pub providers: Vec<Provider>,
    /// Every skill, active ones first, in the order in which they are asked.
    pub skills: Vec<Skill>,
    /// The file that the configuration was read from.
    pub config_file: Option<String>,
    /// How the configuration stands.
    #[serde(default)]
    pub configuration: Configuration,
    /// Where state lives.
    pub data_dir: String,
}

/// A model server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// The configured name.
    pub name: String,
    /// `lmstudio`.
    pub kind: String,
    /// Its root.
    pub url: String,
    /// `up`, `down`, `unknown`.
    pub state: String,
    /// Why it is down.
    pub error: Option<String>,
}

/// `GET skills`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skills {
    /// Active ones first, in the order in which they are asked.
    pub skills: Vec<Skill>,
}

/// A skill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skill {
    /// The name it is installed under.
    pub name: String,
    /// Empty where it did not get to say it.
    pub version: String,
    /// Empty where it did not get to say it.
    pub description: String,
    /// `active`, `disabled`, `failed`, `quarantined`.
    pub state: String,
    /// Why it failed; a fragment that follows its name.
    pub problem: Option<String>,
    /// Skills are asked in ascending order.
    pub priority: i32,
    /// What it may use, of what it imports.
    pub grants: Vec<String>,
    /// What it imports and may not use.
    pub denied: Vec<String>,
    /// Its last failure while in use.
    pub last_error: Option<String>,
    /// `bundled`, a file, or `installed from` somewhere.
    pub source: String,
    /// The version that waits for approval.
    #[serde(default)]
    pub waits: Option<String>,
}

/// `GET models`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Models {
    /// In the provider's order.
    pub models: Vec<Model>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// `provider/key`.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// `language`, `embedding`.
    pub kind: String,
    /// It takes images.
    pub vision: bool,
    /// It was trained to call tools.
    pub tool_use: bool,
    /// It can reason.
    pub reasoning: bool,
    /// It runs on the user's own machines.
    pub local: bool,
    /// Tokens.
    pub max_context: Option<u32>,
    /// On disk.
    pub size_bytes: Option<u64>,
    /// What its last load took here.
    pub load_seconds: Option<f32>,
    /// Price of a million tokens of the prompt, where one is configured.
    #[serde(default)]
    pub input_cost: Option<f32>,
    /// Price of a million tokens of the answer, where one is configured.
    #[serde(default)]
    pub output_cost: Option<f32>,
    /// Where it is in memory.
    pub instances: Vec<Instance>,
}

/// A model in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// What the provider calls it.
    pub id: String,
    /// `ready`, `loading`, `unloading`.
    pub state: String,
    /// Tokens it was loaded with.
    pub context_length: Option<u32>,
    /// Requests of this gateway that run on it.
    pub in_flight: u32,
    /// Requests of this gateway that wait for it.
    pub queued: u32,
}

/// `POST models/load`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadOrder {
    /// Any name by which it is known.
    pub model: String,
    /// Tokens of context, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<NonZeroU32>,
    /// Never evict it until it is unloaded by a wish.
    #[serde(default)]
    pub pin: bool,
}

/// `POST models/unload`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnloadOrder {
    /// Any name by which it is known.
    pub model: String,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wished {
    /// The model that was meant.
    pub model: String,
    /// `done`, `started`, `queued`.
    pub standing: String,
    /// How long it took.
    pub seconds: f64,
    /// Where the model is in memory now.
    pub instances: Vec<Instance>,
}

/// `GET residency`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Residency {
    /// `up`, `down`, `unknown`: of the providers, the first that is not up, if any is not.
    pub provider: String,
    /// Why it is down.
    pub provider_error: Option<String>,
    /// Every provider, by device.
    #[serde(default)]
    pub providers: Vec<ProviderHeard>,
    /// What is due at rest; the one chosen last is last.
    pub baseline: Vec<Due>,
    /// What is in memory.
    pub instances: Vec<Held>,
    /// Who waits, oldest first.
    pub waiters: Vec<Waiter>,
    /// Swaps under way.
    pub under_way: Vec<UnderWay>,
    /// Turns whose next request is expected or whose route holds.
    pub unfinished_turns: u32,
}

/// What is heard of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderHeard {
    /// The configured name.
    pub name: String,
    /// The device whose memory it uses.
    pub device: String,
    /// `up`, `down`, `unknown`.
    pub state: String,
    /// Why it is down.
    pub error: Option<String>,
}

/// A model that is due at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The model.
    pub model: String,
    /// How it will be loaded.
    pub settings: Settings,
}

/// How a model is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Tokens of context.
    pub context_length: Option<u32>,
    /// Tokens that the engine evaluates at a time.
    pub eval_batch_size: Option<u32>,
    /// Whether flash attention is on.
    pub flash_attention: Option<bool>,
    /// Experts in use.
    pub num_experts: Option<u32>,
    /// Whether the key-value cache is on the GPU.
    pub offload_kv_cache_to_gpu: Option<bool>,
}

/// An instance in memory, with what keeps it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What the provider calls it.
    pub id: String,
    /// The model.
    pub model: String,
    /// `ready`, `loading`, `unloading`.
    pub state: String,
    /// How it was loaded.
    pub settings: Settings,
    /// Exchanges that run on it.
    pub leases: u32,
    /// `gateway`, `someone-else`.
    pub loaded_by: String,
    /// The next request of an unfinished turn is expected.
    pub wanted: bool,
    /// A turn's route holds it.
    pub held: bool,
    /// It is never evicted.
    pub pinned: bool,
}

/// Someone who waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiter {
    /// For which model.
    pub model: String,
    /// Whose conversation; none for wishes.
    pub session: Option<String>,
    /// Which request; none for wishes.
    pub request: Option<String>,
    /// For how long.
    pub waits_ms: u64,
    /// `queued`, `draining`, `unloading`, `loading`.
    pub phase: String,
}

/// A swap under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnderWay {
    /// One line for people.
    pub summary: String,
    /// What will be in memory.
    pub model: Option<String>,
    /// What goes.
    pub victims: Vec<String>,
    /// How long the current step has lasted.
    pub lasts_ms: u64,
}

/// `GET requests`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// Newest first.
    pub requests: Vec<Record>,
}

/// Every failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// What went wrong.
    pub error: Failure,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For people.
    pub message: String,
    /// For programs.
    pub code: String,
}
