//! Models that can be had but are not downloaded yet: what they will be, where they are, how fast they come.
//!
//! The default has one, so that a client can be tried without a file of configuration.

use serde::{Deserialize, Serialize};

use super::Model;

/// A model that a download brings into the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Downloadable {
    /// The address under which it can be asked for beside its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Bytes that arrive in a second; 0 brings all at once.
    pub bytes_per_second: f64,
    /// What it is once it is here. Its `size_bytes` are what has to arrive.
    pub model: Model,
}

/// Bytes a second of the default: a fast line at home.
const BYTES_PER_SECOND: f64 = 50_000_000.0;

// === impl Downloadable ===

impl Default for Downloadable {
    fn default() -> Self {
        Self { link: None, bytes_per_second: BYTES_PER_SECOND, model: Model::default() }
    }
}

impl Downloadable {
    /// `name` is the key, a variant or the link. Case does not count.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.model.is_called(name) || self.link.as_ref().is_some_and(|link| link.eq_ignore_ascii_case(name))
    }
}

/// A small model of a family that the default catalogue has a larger one of.
pub(super) fn default_downloadable() -> Vec<Downloadable> {
    let model = Model {
        display_name: Some("Qwen3 4B 2507".to_owned()),
        architecture: Some("qwen3".to_owned()),
        size_bytes: 2_500_000_000,
        params: Some("4B".to_owned()),
        max_context_length: 262_144,
        tool_use: true,
        ..Model::new("qwen/qwen3-4b-2507")
    };
    let link = Some("https://huggingface.co/lmstudio-community/Qwen3-4B-2507-GGUF".to_owned());
    vec![Downloadable { link, model, ..Downloadable::default() }]
}
