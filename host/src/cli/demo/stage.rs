//! What the demonstration plays on: an emulated LM Studio with memory for one model, and an ordinary gateway in front of
//! it, both in this process on free ports, with a folder that goes when they do.
//!
//! The user's own configuration, environment and skills are not looked at: the demonstration shows what ships.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lmstudio_emulator::Emulator;
use lmstudio_emulator::config::{Answers, Tuning};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

use crate::app::{self, Running};
use crate::config::{Config, Device, Provider};

/// The model that is in memory at the start.
pub(in crate::cli) const RESIDENT: &str = "openai/gpt-oss-20b";

/// The model that writes edits.
pub(in crate::cli) const EDITOR: &str = "qwen/qwen3-8b";

/// Its context, which is not the one that a load would give it by itself: putting it back must mean putting this back.
pub(in crate::cli) const RESIDENT_CONTEXT: u32 = 32_768;

/// Memory that holds either model and never both, in GiB.
const MEMORY_GB: f64 = 14.0;

/// Long enough to be seen.
const LOAD_TIME: Duration = Duration::from_millis(1_000);
const UNLOAD_TIME: Duration = Duration::from_millis(300);
const FIRST_TOKEN_TIME: Duration = Duration::from_millis(150);
const TOKENS_PER_SECOND: f64 = 40.0;

/// How long the gateway may take to see its first list of models.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Both servers.
pub(in crate::cli) struct Stage {
    /// LM Studio.
    pub(in crate::cli) lmstudio: Emulator,
    /// The gateway.
    pub(in crate::cli) gateway: Running,
    /// Asks either of them.
    pub(in crate::cli) http: reqwest::Client,
    /// Goes with this.
    folder: TempDir,
}

/// How fast the emulated LM Studio is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Pace {
    /// Slow enough for people to follow.
    ToBeSeen,
    /// For tests of other things.
    #[cfg(test)]
    AtOnce,
}

/// A model in memory, as LM Studio itself lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Loaded {
    /// Its key.
    pub(in crate::cli) model: String,
    /// All settings that the list shows.
    pub(in crate::cli) settings: Value,
}

#[derive(Debug, Deserialize)]
struct List {
    models: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    key: String,
    loaded_instances: Vec<Instance>,
}

#[derive(Debug, Deserialize)]
struct Instance {
    config: Value,
}

// === impl Stage ===

impl Stage {
    /// Starts both and waits until the gateway knows the models.
    pub(in crate::cli) async fn open(pace: Pace) -> anyhow::Result<Self> {
        let lmstudio =
            Emulator::start(emulated(pace)).await.context("the emulated LM Studio does not start")?;
        let folder = temporary_folder()?;
        let provider = Provider::lmstudio(&lmstudio.url());
        let gateway = gateway("lmstudio", provider, folder.path(), [RESIDENT, EDITOR]).await?;
        let http = super::super::client::http_client()?;
        Ok(Self { lmstudio, gateway, http, folder })
    }

    /// What LM Studio says is in memory now.
    pub(in crate::cli) async fn loaded(&self) -> anyhow::Result<Vec<Loaded>> {
        let url = format!("{}/api/v1/models", self.lmstudio.url());
        let list: List =
            self.http.get(url).send().await?.json().await.context("LM Studio's list of models")?;
        let instances = list.models.into_iter().flat_map(|model| {
            let key = model.key;
            model
                .loaded_instances
                .into_iter()
                .map(move |it| Loaded { model: key.clone(), settings: it.config })
        });
        Ok(instances.collect())
    }

    /// Keys of the models that translate, as the catalogue has them.
    pub(in crate::cli) fn specialists() -> BTreeSet<String> {
        let models = lmstudio_emulator::Config::default().models.into_iter().map(|model| model.key);
        models.filter(|key| key.contains("translategemma")).collect()
    }

    /// Ends both, the gateway first and gently, and removes the folder.
    pub(in crate::cli) async fn close(self) {
        self.gateway.stop().await;
        self.lmstudio.stop().await;
        // A temporary folder that cannot be removed is the system's to clear.
        let _ = self.folder.close();
    }

    /// The gateway's folder of state.
    #[cfg(test)]
    pub(in crate::cli) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Ends both and leaves the folder as the gateway left it.
    #[cfg(test)]
    pub(in crate::cli) async fn close_and_keep(self) -> TempDir {
        self.gateway.stop().await;
        self.lmstudio.stop().await;
        self.folder
    }
}

fn emulated(pace: Pace) -> lmstudio_emulator::Config {
    let config = lmstudio_emulator::Config::default();
    let config = config.loaded_with_context(RESIDENT, RESIDENT_CONTEXT).memory_gb(MEMORY_GB);
    // It reasons well and fails at edits.
    let config = config.tuned(Tuning { answers: Some(Answers::Clumsy), ..Tuning::of(RESIDENT) });
    match pace {
        Pace::ToBeSeen => {
            let mut config =
                config.load_time(LOAD_TIME).unload_time(UNLOAD_TIME).tokens_per_second(TOKENS_PER_SECOND);
            config.models.iter_mut().for_each(|model| model.first_token_time = FIRST_TOKEN_TIME);
            config
        }
        #[cfg(test)]
        Pace::AtOnce => config,
    }
}

/// A folder that goes with the demonstration.
pub(super) fn temporary_folder() -> anyhow::Result<TempDir> {
    tempfile::Builder::new().prefix("pointsman-demo-").tempdir().context("a temporary folder")
}

/// A gateway in front of this server, once it knows that the first of these models is in memory; the other writes edits.
pub(super) async fn gateway(
    name: &str,
    provider: Provider,
    data_dir: &Path,
    [resident, editor]: [&str; 2],
) -> anyhow::Result<Running> {
    let config = configured(name, provider, data_dir, editor);
    let running = app::start(config).await.context("the gateway does not start")?;
    let discovered = tokio::time::timeout(DISCOVERY_TIMEOUT, discovered(&running, resident)).await;
    match discovered.context("the gateway does not see the demonstration's models").flatten() {
        Ok(()) => Ok(running),
        Err(error) => {
            running.stop().await;
            Err(error)
        }
    }
}

async fn discovered(gateway: &Running, resident: &str) -> anyhow::Result<()> {
    check_skills(gateway)?;
    let residency = &gateway.gateway().residency;
    let mut notices = residency.notices();
    let is_there = |model: &crate::model::Model| model.id.key() == resident && model.is_resident();
    while !residency.directory().models().iter().any(is_there) {
        // A notice that was lost is as good as one that came: the directory is looked at again.
        let _ = notices.recv().await;
    }
    Ok(())
}

/// The skills in use, and nothing if the one that the demonstration is about is among them.
fn check_skills(gateway: &Running) -> anyhow::Result<()> {
    let statuses = gateway.gateway().skills.statuses();
    let swapper = statuses.iter().find(|status| status.name.as_str() == "model-swapper");
    match swapper.map(|status| &status.state) {
        Some(crate::skill::State::Active) => Ok(()),
        Some(crate::skill::State::Failed(why) | crate::skill::State::Quarantined(why)) => {
            bail!("the bundled skill model-swapper {why}")
        }
        _ => bail!("this build has no skill model-swapper"),
    }
}

/// A gateway as it is without a configuration file but for one rule, at free ports and in a folder of its own.
fn configured(name: &str, provider: Provider, data_dir: &Path, editor: &str) -> Config {
    let rules = serde_json::json!({"rules": {"edit": {"primary": editor}}});
    let router = crate::skill::SkillConfig { settings: rules, ..crate::skill::SkillConfig::default() };
    let device = Device {
        name: provider.device.clone(),
        providers: vec![name.to_owned()],
        residency: crate::residency::Config::default(),
    };
    Config {
        command_prefix: "/".to_owned(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        data_dir: data_dir.to_path_buf(),
        file: None,
        source: None,
        providers: BTreeMap::from([(name.to_owned(), provider)]),
        devices: vec![device],
        aliases: Vec::new(),
        routes: crate::route::Config::default(),
        sessions: crate::session::table::Config::default(),
        exchange: crate::exchange::Limits::default(),
        ingress: crate::ingress::Config::default(),
        skills: crate::skill::Config {
            store: Some(data_dir.join(crate::skill::STORE_FOLDER)),
            skills: BTreeMap::from([("tool-router".to_owned(), router)]),
            ..crate::skill::Config::default()
        },
    }
}
