//! The settings of the emulated program, each with the real one's default as far as it is known.
//!
//! Where sources disagree or nobody has measured, the switch exists so that a client can be tried both ways; its
//! comment says which default is a guess.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Settings of the program as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// A request for a model that is not loaded loads it.
    pub jit: bool,
    /// Loading one model by a request unloads the one that was loaded so before, whatever it is doing.
    pub auto_evict: bool,
    /// Embedding models count among those of which only the last stays (a guess: they do not).
    pub auto_evict_embeddings: bool,
    /// Requests that find a model still loading by an earlier request start a load of their own (`key:2`), as reported
    /// of the real one under parallel cold requests; otherwise they wait for the first.
    pub jit_duplicates: bool,
    /// An instance that a request loaded goes when it has been idle for its time. Off, only those whose request named a
    /// `ttl` do.
    pub auto_unload: bool,
    /// Idle seconds after which an instance goes that was loaded by a request without a `ttl`.
    #[serde(rename = "default_ttl_seconds", with = "super::seconds")]
    pub default_ttl: Duration,
    /// Tokens, one of which every request must bear; empty asks for none.
    pub auth_tokens: Vec<String>,
    /// The native v1 API is there. Off, its paths answer as paths that do not exist, as in versions before 0.4.
    pub native_v1: bool,
    /// Answers browsers from elsewhere.
    pub cors: bool,
    /// Requests an instance works on at once; further ones queue inside.
    pub parallel: NonZeroU32,
    /// Tokens of context of a load that names none.
    pub default_context: NonZeroU32,
    /// Seconds after which an idle connection is closed.
    #[serde(rename = "keep_alive_seconds", with = "super::seconds")]
    pub keep_alive: Duration,
    /// GiB for models; without it there is always room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total_gb: Option<f64>,
    /// Status of a load refused for want of memory or failed in the engine (a guess: never captured).
    pub guardrail_status: u16,
    /// MLX models load with their largest context, whatever was asked.
    pub mlx_ignores_context: bool,
    /// An instance is listed from the moment its load starts, not only when it is ready (measured both ways).
    pub list_shows_loading: bool,
    /// Embedding models that requests loaded are in the native list (measured once: they were not).
    pub list_shows_jit_embeddings: bool,
    /// A load takes names such as `key@quant` (reported both ways).
    pub load_takes_variants: bool,
    /// A model name that nobody knows is served by the only loaded model.
    pub fallback_single_model: bool,
    /// Status of paths and methods that do not exist.
    pub unknown_route_status: u16,
    /// The same under `/api/v1/` (sources disagree between 404 and 200).
    pub unknown_v1_route_status: u16,
    /// Status of a request that the prompt template cannot render (a guess).
    pub template_error_status: u16,
    /// Status of a request whose instance went before its first byte (a guess).
    pub killed_status: u16,
    /// Status of a native chat with a model that nobody knows (400 or 404; nobody has measured it).
    pub native_chat_unknown_status: u16,
    /// What happens to a streamed prompt that does not fit in the context.
    pub overflow: Overflow,
}

/// What happens to a prompt that does not fit in the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// Streamed: 200 and an error event. Not streamed: 400.
    StreamEvent,
    /// 400 before anything, streamed or not.
    Status,
    /// 200 with an empty answer, as reported of some engines.
    Empty,
}

// === impl Server ===

impl Default for Server {
    fn default() -> Self {
        Self {
            jit: true,
            auto_evict: true,
            auto_evict_embeddings: false,
            jit_duplicates: false,
            auto_unload: true,
            default_ttl: Duration::from_secs(3600),
            auth_tokens: Vec::new(),
            native_v1: true,
            cors: false,
            parallel: NonZeroU32::MIN.saturating_add(3),
            default_context: NonZeroU32::MIN.saturating_add(4095),
            keep_alive: Duration::from_secs(5),
            memory_total_gb: None,
            guardrail_status: 500,
            mlx_ignores_context: true,
            list_shows_loading: true,
            list_shows_jit_embeddings: true,
            load_takes_variants: true,
            fallback_single_model: true,
            unknown_route_status: 200,
            unknown_v1_route_status: 404,
            template_error_status: 400,
            killed_status: 400,
            native_chat_unknown_status: 400,
            overflow: Overflow::StreamEvent,
        }
    }
}

impl Server {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(number) =
            self.memory_total_gb.filter(|it| !(f64::MIN_POSITIVE..f64::INFINITY).contains(it))
        {
            return Err(ConfigError::Number { place: "server.memory_total_gb", number });
        }
        let statuses = [
            ("server.guardrail_status", self.guardrail_status),
            ("server.unknown_route_status", self.unknown_route_status),
            ("server.unknown_v1_route_status", self.unknown_v1_route_status),
            ("server.template_error_status", self.template_error_status),
            ("server.killed_status", self.killed_status),
            ("server.native_chat_unknown_status", self.native_chat_unknown_status),
        ];
        match statuses.into_iter().find(|(_, status)| !(200..=599).contains(status)) {
            Some((place, status)) => Err(ConfigError::Status { place, status }),
            None => Ok(()),
        }
    }
}
