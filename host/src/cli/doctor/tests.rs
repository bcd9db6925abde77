//! What the tests of all findings share: a provider and its device as a configuration makes them, and what a server says
//! of itself.

use super::configured::Configured;
use super::probe::{Facts, Own};
use crate::config::{Config, Overrides};
use crate::id::InstanceId;
use crate::model::Kind;
use crate::provider::{Control, Listed, Readiness, Resident, ServerKind, Settings};

/// A provider called `p`, with these lines in its table.
pub(super) fn at<T>(provider: &str, look: impl FnOnce(&Configured<'_>) -> T) -> T {
    at_device(provider, "", look)
}

/// The same, with these lines in its device's table, and after it.
pub(super) fn at_device<T>(provider: &str, device: &str, look: impl FnOnce(&Configured<'_>) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pointsman.toml");
    let url = if provider.contains("url") { "" } else { "url = \"http://127.0.0.1:9\"" };
    let text = format!("[providers.p]\n{url}\n{provider}\n[residency.local]\n{device}\n");
    std::fs::write(&file, &text).unwrap();
    let config =
        Config::load(Some(&file), &Overrides::default()).unwrap_or_else(|it| panic!("{text}: {it:?}"));
    let configured = Configured::all(&config).next().unwrap();
    look(&configured)
}

/// What a server says of itself.
pub(super) fn facts(kind: ServerKind, control: Control, models: Vec<Listed>, own: Own) -> Facts {
    Facts { kind, control, models, own }
}

/// A language model that is not in memory.
pub(super) fn model(key: &str) -> Listed {
    Listed {
        key: key.to_owned(),
        display_name: key.to_owned(),
        kind: Kind::Language,
        vision: false,
        tool_use: false,
        reasoning: false,
        local: true,
        max_context: Some(131_072),
        size_bytes: None,
        instances: Vec::new(),
    }
}

/// A model that makes vectors.
pub(super) fn embedder(key: &str) -> Listed {
    Listed { kind: Kind::Embedding, ..model(key) }
}

/// A language model in memory with so many tokens of context.
pub(super) fn loaded(key: &str, tokens: u32) -> Listed {
    let resident = Resident {
        id: InstanceId::new(key),
        readiness: Readiness::Ready,
        settings: Settings { context_length: Some(tokens), ..Settings::default() },
        parallel: None,
        remaining_ttl: None,
    };
    Listed { instances: vec![resident], ..model(key) }
}
