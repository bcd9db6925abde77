//! From a name to a skill that can be asked: which of its components counts (one that was installed, a file in the folder,
//! one that ships with the gateway), and under which of the user's conditions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::bundle::Bundled;
use super::compiled::{self, Wasm};
use super::compiler::Compiler;
use super::engine::Engine;
use super::generation::Active;
use super::housekeeping::Alarms;
use super::load::{self, Interfaces, LoadError, Order};
use super::pool::{Places, Pool, Refills, Reuse};
use super::status::{Source, State, Status};
use super::{Activation, SkillConfig, folder};
use crate::capability::{Delegates, Limits};
use crate::grant::Grant;
use crate::id::SkillName;
use crate::shelf::Digest;
use crate::shelf::Shelf;
use crate::shelf::lock::Lock;

/// A component, and where it is from.
pub(super) struct File {
    pub(super) name: SkillName,
    pub(super) source: Source,
    pub(super) wasm: Result<Wasm, LoadError>,
    /// Of an installed one.
    pub(super) digest: Option<Digest>,
}

/// Loads skills under the user's conditions.
#[derive(Clone)]
pub(super) struct Loader {
    pub(super) engine: Arc<Engine>,
    pub(super) compiler: Option<Compiler>,
    pub(super) limits: Arc<Limits>,
    pub(super) delegates: Delegates,
    pub(super) configured: Arc<BTreeMap<String, SkillConfig>>,
    pub(super) refills: Refills,
    pub(super) alarms: Alarms,
    /// Counts loads.
    pub(super) loads: Arc<AtomicU64>,
    pub(super) shelf: Option<Arc<Shelf>>,
    pub(super) folder: Option<PathBuf>,
    pub(super) bundled: Vec<Bundled>,
}

/// What a component is loaded for.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// Its verdicts count.
    Service,
    /// They are compared, and this is behind its capabilities.
    Trial(&'a Delegates),
}

// === impl Purpose ===

impl<'a> Purpose<'a> {
    fn delegates(self, loader: &'a Loader) -> &'a Delegates {
        match self {
            Self::Service => &loader.delegates,
            Self::Trial(delegates) => delegates,
        }
    }
}

// === impl Loader ===

impl Loader {
    /// Every name there is: what is installed, what lies in the folder, what ships with the gateway.
    pub(super) async fn names(&self, lock: &Lock) -> Vec<SkillName> {
        let mut names: Vec<SkillName> = lock.entries().map(|(name, _)| name.clone()).collect();
        if let Some(folder) = &self.folder {
            names.extend(folder::names(folder).await);
        }
        names.extend(self.bundled.iter().map(|it| SkillName::new(it.name)));
        names.sort();
        names.dedup();
        names
    }

    /// The component that counts for this name; none where there is none.
    pub(super) async fn file(&self, name: &SkillName, lock: &Lock) -> Option<File> {
        if let Some(file) = self.installed(name, lock) {
            return Some(file);
        }
        if let Some(folder) = &self.folder
            && let Some(file) = folder::read(folder, name).await
        {
            return Some(file);
        }
        self.bundled.iter().find(|it| it.name == name.as_str()).map(Bundled::file)
    }

    fn installed(&self, name: &SkillName, lock: &Lock) -> Option<File> {
        let version = lock.entry(name)?.active_version()?;
        let (digest, shelf) = (version.digest, self.shelf.clone()?);
        let source = Source::Installed(version.source.clone());
        Some(File {
            name: name.clone(),
            source,
            wasm: Ok(Wasm::Kept { shelf, digest }),
            digest: Some(digest),
        })
    }

    /// The skill, or the status that says why there is none.
    pub(super) async fn load(&self, file: File, lock: &Lock) -> Result<Active, Box<Status>> {
        let entry = lock.entry(&file.name);
        let config = self.said_of(&file.name);
        if self.is_off(&file.name, lock) {
            return Err(Box::new(Status::resting(file.name, State::Disabled, file.source)));
        }
        let grants = self.granted(&file.name, &file.source, lock);
        let (name, source, wasm) = (file.name.clone(), file.source.clone(), file.wasm.as_ref().ok().cloned());
        let error = match self.load_with(file, grants, config, Purpose::Service).await {
            Ok(active) => return Ok(active),
            Err(error) => error,
        };
        tracing::warn!(skill = %name, source = %source, "the skill is not used: it {error}");
        let failed = Status::resting(name, State::Failed(error.to_string()), source);
        // When it would run is known even of one that fails: what was to guard is not done without.
        let read = match wasm {
            // What does not compile cannot be read either, and trying once more is expensive.
            Some(_) if matches!(error, LoadError::Compile(_)) => None,
            Some(wasm) => self.interfaces(wasm).await.map(|interfaces| interfaces.hooks),
            None => None,
        };
        let written =
            || entry.and_then(|it| it.active_version()).map(|it| Interfaces::hooks_named(&it.hooks));
        Err(Box::new(Status { hooks: read.or_else(written).unwrap_or_default(), ..failed }))
    }

    /// What the user grants a skill that is from there; none where that is all that it imports.
    pub(super) fn granted(&self, name: &SkillName, source: &Source, lock: &Lock) -> Option<Vec<Grant>> {
        let configured = self.configured.get(name.as_str()).and_then(|config| config.grants.clone());
        let granted = lock.entry(name).and_then(|entry| entry.granted());
        // As configured, else as granted by hand, else what goes without saying.
        configured.or(granted).or_else(|| match source {
            Source::Bundled => None,
            Source::File(_) | Source::Installed(_) => Some(Vec::new()),
        })
    }

    /// The user has switched it off, in the configuration or by hand.
    pub(super) fn is_off(&self, name: &SkillName, lock: &Lock) -> bool {
        self.is_configured_off(name) || lock.entry(name).is_some_and(|entry| !entry.enabled)
    }

    /// The configuration says that it is switched off.
    pub(super) fn is_configured_off(&self, name: &SkillName) -> bool {
        let config = self.configured.get(name.as_str());
        config.is_some_and(|config| config.activation == Activation::Disabled)
    }

    /// What a component imports and exports; none where that cannot be read.
    pub(super) async fn interfaces(&self, wasm: Wasm) -> Option<Interfaces> {
        load::interfaces(&self.code(), wasm).await
    }

    /// The skill, with these grants.
    pub(super) async fn load_with(
        &self,
        file: File,
        grants: Option<Vec<Grant>>,
        config: SkillConfig,
        purpose: Purpose<'_>,
    ) -> Result<Active, LoadError> {
        let File { name, source, wasm, digest } = file;
        let order = Order { name: name.clone(), wasm: wasm?, grants, settings: config.settings };
        let loaded = load::load(&self.code(), &self.limits, purpose.delegates(self), order).await?;
        let reuse = match (purpose, loaded.manifest.reusable) {
            (_, false) => Reuse::Fresh,
            (Purpose::Service, true) => Reuse::Warm { most: self.limits.warm_max },
            (Purpose::Trial(_), true) => Reuse::Warm { most: 1 },
        };
        let places = match purpose {
            Purpose::Service => Places::Any,
            Purpose::Trial(_) => Places::Spare,
        };
        let identity = loaded.blueprint.identity.clone();
        Ok(Active {
            name,
            priority: config.priority.unwrap_or(loaded.manifest.priority),
            on_failure: config.on_failure,
            manifest: loaded.manifest,
            imports: loaded.interfaces.imports,
            hooks: loaded.interfaces.hooks,
            commands: loaded.commands,
            identity,
            pool: Pool::new(loaded.blueprint, (reuse, places), loaded.first, self.refills.clone()),
            source,
            digest,
            last_error: std::sync::Mutex::default(),
            load: self.loads.fetch_add(1, Ordering::Relaxed),
            failures: AtomicU32::default(),
            alarms: matches!(purpose, Purpose::Service).then(|| self.alarms.clone()),
        })
    }

    /// What the user says of a skill.
    pub(super) fn said_of(&self, name: &SkillName) -> SkillConfig {
        self.configured.get(name.as_str()).cloned().unwrap_or_default()
    }

    /// Where code comes from.
    fn code(&self) -> compiled::Source {
        let Self { engine, compiler, shelf, .. } = self;
        compiled::Source { engine: engine.clone(), compiler: compiler.clone(), shelf: shelf.clone() }
    }

    /// A misspelt name in the configuration would otherwise just do nothing.
    pub(super) fn warn_of_unknown(&self, names: &[SkillName]) {
        for name in self.configured.keys() {
            if !names.iter().any(|it| it.as_str() == name) {
                tracing::warn!("`[skills.{name}]` names no skill that is installed");
            }
        }
    }
}
