//! What the configuration says of a provider and of the memory that its models are in: what findings are held against.
//! A view, nothing of its own.

use std::time::Duration;

use crate::config::{Config, Mode, Provider};
use crate::id::ModelId;
use crate::provider::Listed;
use crate::residency;

/// One configured provider.
#[derive(Clone, Copy)]
pub(super) struct Configured<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// What is said of it.
    pub(super) provider: &'a Provider,
    /// How the memory of its models is looked after.
    pub(super) device: &'a residency::Config,
}

// === impl Configured ===

impl<'a> Configured<'a> {
    /// Every provider whose device is known, which is every one of a configuration that was read.
    pub(super) fn all(config: &'a Config) -> impl Iterator<Item = Self> {
        config.providers.iter().filter_map(|(name, provider)| {
            let device = config.devices.iter().find(|device| device.name == provider.device)?;
            Some(Self { name, provider, device: &device.residency })
        })
    }

    /// The gateway loads and unloads its models, where the server can be told to.
    pub(super) fn is_gateways(&self) -> bool {
        self.provider.mode == Mode::Gateway
    }

    /// Tokens of context that are configured for a model.
    pub(super) fn context(&self, key: &str) -> Option<u32> {
        self.device.models.get(&ModelId::of(self.name, key))?.context_length
    }

    /// Models that the gateway may have in memory at once; none where their size decides.
    pub(super) fn most_loaded(&self, has_embedders: bool) -> Option<u32> {
        let embedders = if has_embedders { self.device.max_loaded_embeddings.get() } else { 0 };
        self.device.memory.is_none().then(|| self.device.max_loaded.get().saturating_add(embedders))
    }

    /// Where its table is.
    pub(super) fn table(&self) -> String {
        format!("`[providers.{}]`", self.name)
    }

    /// Where its device's table is.
    pub(super) fn device_table(&self) -> String {
        format!("`[residency.{}]`", self.provider.device)
    }
}

/// Some of these models make vectors.
pub(super) fn has_embedders(models: &[Listed]) -> bool {
    models.iter().any(|model| model.kind == crate::model::Kind::Embedding)
}

/// A time in words.
pub(super) fn in_words(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}
