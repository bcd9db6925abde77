//! What may be written in `pointsman.toml`. Every key is optional and refused where it is unknown; what is true when all
//! of it is resolved is [`super::Config`].

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Secret;
use super::period::Period;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Address and port that clients connect to. Anything but loopback needs `[keys]`.
    pub listen: Option<String>,
    /// Folder of the admin token and of skills.
    pub data_dir: Option<PathBuf>,
    /// Host names, besides localhost and addresses, under which clients may reach the gateway.
    pub allowed_hosts: Vec<String>,
    /// The models of requests that no skill routes.
    pub defaults: Defaults,
    /// Model servers by name.
    pub providers: BTreeMap<String, Provider>,
    /// Memory that models share, by device; providers on loopback are on `local`.
    pub residency: BTreeMap<String, Residency>,
    /// Single models, by name.
    pub models: BTreeMap<String, Model>,
    /// Bounds.
    pub limits: Limits,
    /// Skills by name.
    pub skills: BTreeMap<String, Skill>,
    /// API keys by client name. With none, no key is asked for.
    pub keys: BTreeMap<String, Secret>,
}

/// `[defaults]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Defaults {
    /// The model of requests that name none, or `auto`.
    pub model: Option<String>,
    /// Models to try, in order, when all else failed.
    pub fallbacks: Vec<String>,
    /// May skills route requests that name a known model? True unless written.
    pub route_named_models: Option<bool>,
}

/// `[providers.NAME]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// What kind of server it is.
    #[serde(default)]
    pub kind: Kind,
    /// Its address, with or without `/v1`.
    pub url: Option<String>,
    /// Its API key.
    pub key: Option<Secret>,
    /// Who loads and unloads its models.
    #[serde(default)]
    pub residency: Mode,
}

/// What kind of server a provider is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// LM Studio.
    #[default]
    Lmstudio,
}

/// Who loads and unloads a provider's models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The gateway.
    #[default]
    Gateway,
    /// The provider, as it likes.
    Provider,
}

/// `[residency.DEVICE]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Residency {
    /// Language models in memory at once; 1 unless written.
    pub max_loaded: Option<NonZeroU32>,
    /// Embedding models in memory at once; 2 unless written.
    pub max_loaded_embeddings: Option<NonZeroU32>,
    /// Requests that may wait for models; 512 unless written.
    pub max_queue: Option<NonZeroUsize>,
    /// Of these, of one session; 64 unless written.
    pub max_queue_per_session: Option<NonZeroUsize>,
    /// How long a waiting request respects the turns of others; by default three times the measured swap, 5s to 60s.
    pub max_wait: Option<Period>,
    /// How long running requests may hold up a swap; 10m unless written.
    pub drain_timeout: Option<Period>,
    /// How long a specialist stays when nobody needs it; 0s unless written.
    pub linger: Option<Period>,
    /// How long a tool loop keeps its model between two requests; 5s unless written.
    pub turn_grace: Option<Period>,
    /// How long a turn's route lasts at most; 5m unless written.
    pub turn_timeout: Option<Period>,
    /// How long it lasts after an error; 30s unless written.
    pub error_grace: Option<Period>,
    /// How long a load may take; 10m unless written.
    pub load_timeout: Option<Period>,
    /// How long a client may read nothing while others wait for its model; 30s unless written.
    pub slow_client: Option<Period>,
    /// How long a shutdown may take; 60s unless written.
    pub shutdown_timeout: Option<Period>,
}

/// `[models."NAME"]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Tokens of context to load it with at least.
    pub context_length: Option<NonZeroU32>,
    /// Other names for it.
    pub aliases: Vec<String>,
}

/// `[limits]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long a stream's headers wait for a model before it is opened with comments; 10s unless written.
    pub stream_grace: Option<Period>,
    /// How long a provider may take to its first token; 10m unless written.
    pub answer_timeout: Option<Period>,
    /// Bytes of an answer that is not streamed; 64 MiB unless written.
    pub answer_bytes_max: Option<NonZeroUsize>,
    /// Bytes of a request's body, decompressed; 64 MiB unless written.
    pub body_bytes_max: Option<NonZeroUsize>,
    /// How long a client may take to send its body; 60s unless written.
    pub body_timeout: Option<Period>,
    /// Connections at once; 1024 unless written.
    pub connections_max: Option<NonZeroUsize>,
    /// What one call of a skill may use.
    pub skills: SkillLimits,
}

/// `[limits.skills]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SkillLimits {
    /// CPU time of a hook; 50ms unless written.
    pub hook_cpu: Option<Period>,
    /// CPU time of `describe` and of `configure`; 1s unless written.
    pub configure_cpu: Option<Period>,
    /// Time of a call, whatever it waits for; 2s unless written.
    pub wall_clock: Option<Period>,
    /// Bytes of all memories of an instance; 64 MiB unless written.
    pub memory_bytes_max: Option<NonZeroUsize>,
    /// Bytes that a call may carry out of the guest; 4 MiB unless written.
    pub transfer_bytes_max: Option<NonZeroUsize>,
    /// Host functions that a call may use; 1000 unless written.
    pub host_calls_max: Option<NonZeroU32>,
    /// Log lines of a call; 64 unless written.
    pub log_lines_max: Option<NonZeroU32>,
    /// Instances of all skills together; 64 unless written.
    pub instances_max: Option<NonZeroU32>,
}

/// `[skills.NAME]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Skill {
    /// It is asked; true unless written.
    pub enabled: Option<bool>,
    /// Its place in the chain; by default what the skill says itself. Lower is asked first.
    pub priority: Option<i32>,
    /// What it may use: `models`, `residency`, `residency=all`, … Bundled skills get all they import unless written.
    pub grants: Option<Vec<String>>,
    /// What a failure means.
    pub on_failure: OnFailure,
    /// The skill's own settings.
    pub settings: Option<BTreeMap<String, serde_json::Value>>,
}

/// What a skill's failure means for the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The next skill is asked.
    #[default]
    Pass,
    /// The request is refused.
    Refuse,
}
