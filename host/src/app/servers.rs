//! Model servers as the configuration names them: the clients that residency asks, and where the data path sends. A server of
//! which nothing else is said than before keeps its client.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use http::{HeaderValue, Uri};

use super::journal;
use crate::config::{self, Config};
use crate::provider::auto::{self, Auto};
use crate::provider::list_only::ListOnly;
use crate::provider::{Provider, ServerKind};
use crate::residency::Device;
use crate::store::Store;
use crate::upstream::{Substitutes, Target};

/// A client for each model server, and what it was made for.
#[derive(Clone, Default)]
pub(super) struct Servers(BTreeMap<String, (config::Provider, Arc<dyn Provider>)>);

// === impl Servers ===

impl Servers {
    /// Those of this configuration, after these.
    pub(super) fn following(&self, config: &Config) -> anyhow::Result<Self> {
        let of = |(name, said): (&String, &config::Provider)| {
            let client = match self.0.get(name) {
                Some((before, client)) if before == said => client.clone(),
                _ => client(name, said)?,
            };
            Ok((name.clone(), (said.clone(), client)))
        };
        Ok(Self(config.providers.iter().map(of).collect::<anyhow::Result<_>>()?))
    }

    /// Each device with its servers.
    pub(super) fn devices(&self, config: &Config, store: &Store) -> Vec<Device> {
        let device = |device: &config::Device| Device {
            name: device.name.clone(),
            config: device.residency.clone(),
            providers: device.providers.iter().filter_map(|it| Some(self.0.get(it)?.1.clone())).collect(),
            journal: Arc::new(journal::Stored::new(store.clone())),
        };
        config.devices.iter().map(device).collect()
    }
}

fn client(name: &str, provider: &config::Provider) -> anyhow::Result<Arc<dyn Provider>> {
    let key = provider.key.as_ref().map(|key| key.reveal().to_owned());
    let server: Arc<dyn Provider> = match provider.kind {
        Some(kind) => auto::of_kind(kind, name, &provider.url, key, provider.locality)
            .with_context(|| format!("provider {name} at {}", provider.url))?,
        None => Arc::new(Auto::new(name, &provider.url, key, provider.locality)),
    };
    Ok(match provider.mode {
        config::Mode::Gateway => server,
        config::Mode::Provider => Arc::new(ListOnly(server)),
    })
}

/// Where chat requests go, by provider.
pub(super) fn targets(config: &Config) -> anyhow::Result<BTreeMap<String, Target>> {
    let target = |(name, provider): (&String, &config::Provider)| {
        let at = |path: &str| {
            let uri: Result<Uri, _> = format!("{}/v1/{path}", provider.url).parse();
            uri.with_context(|| format!("provider {name}: url {:?}", provider.url))
        };
        let (chat, embeddings) = (at("chat/completions")?, at("embeddings")?);
        let substitutes = match provider.kind {
            None | Some(ServerKind::LmStudio) => Substitutes::Perhaps,
            Some(_) => Substitutes::Never,
        };
        let authorization = authorization(provider).with_context(|| format!("provider {name}"))?;
        Ok((name.clone(), Target { chat, embeddings, authorization, substitutes }))
    };
    config.providers.iter().map(target).collect()
}

fn authorization(provider: &config::Provider) -> anyhow::Result<Option<HeaderValue>> {
    let Some(key) = &provider.key else { return Ok(None) };
    let value = HeaderValue::try_from(format!("Bearer {}", key.reveal()));
    let mut value = value.context("its key has a character that no header can have")?;
    value.set_sensitive(true);
    Ok(Some(value))
}
