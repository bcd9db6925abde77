//! Which skills there are, changed while requests run: a candidate is loaded beside the version that serves, then written
//! down, then published as one new generation. Whatever fails before that changes nothing; requests that run finish on
//! the generation they began with.
//!
//! One change at a time. What is written down is durable before it is published, so that a start after a crash finds
//! either what was there before or all of the change.

pub(super) mod change;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::compiled::Wasm;
use super::load::{Hook, LoadError};
use super::loader::Purpose;
use super::{SkillConfig, Skills};
use crate::capability::epoch_ms;
use crate::grant::{Capability, Grant};
use crate::id::SkillName;
use crate::shelf::Digest;
use crate::shelf::lock::{InstallError, Installed, Lock, RollbackError, Terms, TrustError, Version};
use crate::shelf::sign::{PublicKey, Signature, VerifyError};
use change::{Unwritten, Veto};

/// A component that somebody brings.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The name that it is to be installed under.
    pub name: SkillName,
    /// The component.
    pub wasm: Bytes,
    /// Where it is from, for people.
    pub source: String,
    /// What came beside it.
    pub signature: Option<Signature>,
    /// Granted with it, beside what was granted before.
    pub grants: Vec<Grant>,
    /// Also where it is older than what serves, or was taken out of use.
    pub force: bool,
    /// Also where it asks for more than is granted: that is denied to it.
    pub approve: bool,
}

/// What a component would be, installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The name it would be installed under.
    pub name: SkillName,
    /// As it says itself.
    pub version: String,
    /// As it says itself.
    pub description: String,
    /// Of the component.
    pub digest: Digest,
    /// What it imports.
    pub imports: Vec<Capability>,
    /// Of that, what is not granted.
    pub wants: Vec<Capability>,
    /// When it would run.
    pub hooks: Vec<Hook>,
    /// Who signed it.
    pub signed_by: Option<String>,
    /// The version that serves now.
    pub active: Option<String>,
}

/// What came of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It serves from now on.
    Activated,
    /// It served already.
    Unchanged,
    /// It asks for more than the version that serves: a person must say yes. That one goes on serving.
    Waits,
}

/// Why a change was not made. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// Nothing is kept of skills here.
    #[error("skills cannot be changed: {0}")]
    NoShelf(String),
    /// Not a name that a skill can have.
    #[error(
        "{0:?} is no name of a skill: a-z, 0-9, `-` and `_`, at most 64, and not `look`, `shadow` or `trust`; give it another one with `--name`"
    )]
    Name(String),
    /// There is no such skill.
    #[error("no skill is called {0}; `pointsman skill list` shows them")]
    Unknown(SkillName),
    /// The component cannot be used.
    #[error("the component {0}")]
    Load(#[from] LoadError),
    /// The skill cannot be used so.
    #[error("the skill {0}")]
    Unusable(String),
    /// Its signature is not what it should be.
    #[error("{0}")]
    Signature(#[from] VerifyError),
    /// It is not taken.
    #[error("{0}")]
    Install(#[from] InstallError),
    /// There is nothing to go back to.
    #[error("{0}")]
    Rollback(#[from] RollbackError),
    /// Nothing waits for approval.
    #[error("no version of {0} waits for approval")]
    NothingWaits(SkillName),
    /// The configuration says it.
    #[error("the configuration says {what} {name}, and goes before: change `{key}` there")]
    Configured {
        /// What.
        what: &'static str,
        /// Of which skill.
        name: SkillName,
        /// The key.
        key: String,
    },
    /// It ships with the gateway.
    #[error(
        "{0} ships with the gateway and cannot be removed; `pointsman skill disable {0}` switches it off"
    )]
    Bundled(SkillName),
    /// It lies in the skills' folder.
    #[error("{name} was not installed, it is the file {}: remove that file", path.display())]
    InFolder {
        /// Which skill.
        name: SkillName,
        /// Its file.
        path: PathBuf,
    },
    /// The key is not taken.
    #[error("{0}")]
    Trust(#[from] TrustError),
    /// Nobody of this name is trusted.
    #[error("no signer is called {0:?}; `pointsman skill trust` lists those whose signatures count")]
    UnknownSigner(String),
    /// It decides nothing.
    #[error("the component has no `request-hook`: it has no verdicts that could be compared")]
    NoVerdicts,
    /// More than may look on.
    #[error("{0} candidates look on already; `pointsman skill shadow --stop NAME` ends one")]
    Shadows(usize),
    /// No candidate of this name looks on.
    #[error("no candidate of {0} looks on; `pointsman skill shadow` lists those that do")]
    NoShadow(SkillName),
    /// There is nothing to ask it about.
    #[error(
        "no turns are recorded here: set `recording.enabled = true` in the configuration, and ask again when turns have come"
    )]
    NotRecorded,
    /// The disk.
    #[error("{0}")]
    Disk(String),
}

/// Names that stand for something else where skills are managed.
const RESERVED: [&str; 3] = ["look", "shadow", "trust"];

// === impl Skills: what people do ===

impl Skills {
    /// What the component would be, without installing it.
    pub async fn look(self: &Arc<Self>, offer: Offer) -> Result<Looked, ManageError> {
        check_name(&offer.name)?;
        let lock = self.lock().await?;
        let (looked, _) = self.candidate(&offer, &lock, Purpose::Service).await?;
        Ok(looked)
    }

    /// Installs it, or upgrades what is installed under its name.
    pub async fn install(self: &Arc<Self>, offer: Offer) -> Result<(Looked, Outcome), ManageError> {
        check_name(&offer.name)?;
        if !offer.grants.is_empty() {
            self.check_grants_are_ours(&offer.name)?;
        }
        // Compiled before, so that nobody who makes a change waits for that.
        let _ = self.loader().interfaces(Wasm::Here(offer.wasm.clone())).await;
        let mut changing = self.begin().await?;
        let (looked, active) = self.candidate(&offer, &changing.lock, Purpose::Service).await?;
        let version = Version {
            digest: looked.digest,
            version: looked.version.clone(),
            source: super::text::shown(&offer.source),
            installed_ms: epoch_ms(),
            imports: looked.imports.iter().map(ToString::to_string).collect(),
            hooks: looked.hooks.iter().map(|hook| hook.as_str().to_owned()).collect(),
            signed_by: looked.signed_by.clone(),
            quarantined: None,
        };
        let terms = Terms { force: offer.force, approve: offer.approve };
        changing.lock.grant(&offer.name, &offer.grants);
        let installed = changing.lock.install(&offer.name, version, terms)?;
        let wasm = offer.wasm.clone();
        self.on_shelf(move |shelf| shelf.put(&wasm).map_err(|error| error.to_string())).await?;
        // The same bytes may be back in the place of damaged ones, or of an older version that stands in for them.
        let serves = self.active(&offer.name).is_some_and(|it| it.digest == Some(looked.digest));
        let (outcome, now) = match installed {
            Installed::WaitsForApproval { .. } => (Outcome::Waits, None),
            Installed::Unchanged if serves && offer.grants.is_empty() => (Outcome::Unchanged, None),
            Installed::Unchanged if serves => (Outcome::Unchanged, Some(active)),
            Installed::Unchanged | Installed::Activated { .. } => (Outcome::Activated, Some(active)),
        };
        let now = now.map(|active| self.unless_off(active, &changing.lock));
        self.commit(changing, now.map(|now| (&offer.name, now)), Unwritten::Withheld).await?;
        if outcome == Outcome::Waits && !offer.grants.is_empty() {
            // What was granted along with it is granted to the version that serves, too.
            self.change(&offer.name, Veto::Allowed, &|_| Ok(())).await?;
        }
        self.sweep().await;
        Ok((looked, outcome))
    }

    /// The version that waits for approval serves from now on; what was not granted stays denied.
    pub async fn approve(self: &Arc<Self>, name: &SkillName) -> Result<(), ManageError> {
        let nothing = || ManageError::NothingWaits(name.clone());
        self.change(name, Veto::Allowed, &|lock| {
            lock.approve_pending(name).map(|_| ()).map_err(|_| nothing())
        })
        .await
    }

    /// The version before serves again.
    pub async fn rollback(self: &Arc<Self>, name: &SkillName) -> Result<(), ManageError> {
        self.change(name, Veto::Allowed, &|lock| Ok(lock.rollback(name).map(|_| ())?)).await
    }

    /// Switches it on or off.
    pub async fn set_enabled(
        self: &Arc<Self>,
        name: &SkillName,
        is_enabled: bool,
    ) -> Result<(), ManageError> {
        if is_enabled && self.loader().is_configured_off(name) {
            let (what, key) = ("to switch off", format!("skills.{name}.enabled"));
            return Err(ManageError::Configured { what, name: name.clone(), key });
        }
        let veto = if is_enabled { Veto::Allowed } else { Veto::None };
        self.change(name, veto, &|lock| {
            lock.set_enabled(name, is_enabled);
            Ok(())
        })
        .await
    }

    /// Grants this beside what was granted. A version that only waited for that serves from now on.
    pub async fn grant(self: &Arc<Self>, name: &SkillName, grants: &[Grant]) -> Result<(), ManageError> {
        self.check_grants_are_ours(name)?;
        let unsaid = self.granted_unsaid(name).await?;
        self.change(name, Veto::Allowed, &|lock| {
            lock.grant(name, &unsaid);
            lock.grant(name, grants);
            let granted = lock.entry(name).and_then(|entry| entry.granted()).unwrap_or_default();
            let has = |import: &String| granted.iter().any(|it| it.capability.as_str() == import);
            let waits = lock.entry(name).and_then(|entry| entry.pending.as_ref());
            if waits.is_some_and(|pending| pending.imports.iter().all(has)) {
                lock.approve_pending(name).map_err(|_| ManageError::NothingWaits(name.clone()))?;
            }
            Ok(())
        })
        .await
    }

    /// Takes grants back, whatever the skill makes of that.
    pub async fn revoke(self: &Arc<Self>, name: &SkillName, grants: &[Grant]) -> Result<(), ManageError> {
        self.check_grants_are_ours(name)?;
        let unsaid = self.granted_unsaid(name).await?;
        self.change(name, Veto::None, &|lock| {
            lock.grant(name, &unsaid);
            if lock.entry(name).is_none_or(|entry| entry.grants.is_none()) {
                // Nothing was granted: from now on that is said.
                lock.grant(name, grants);
            }
            lock.revoke(name, grants);
            Ok(())
        })
        .await
    }

    /// Removes what was installed under the name; what ships with the gateway under it serves again.
    pub async fn remove(self: &Arc<Self>, name: &SkillName) -> Result<(), ManageError> {
        let is_installed = self.lock().await?.entry(name).is_some_and(|entry| !entry.versions.is_empty());
        if !is_installed {
            self.check_is_nowhere_else(name)?;
        }
        self.change(name, Veto::None, &|lock| {
            lock.remove(name);
            Ok(())
        })
        .await?;
        self.sweep().await;
        Ok(())
    }

    /// This signer's signatures count from now on.
    pub async fn trust(self: &Arc<Self>, signer: &str, key: PublicKey) -> Result<(), ManageError> {
        let mut changing = self.begin().await?;
        changing.lock.trust(signer, key)?;
        self.commit(changing, None, Unwritten::Withheld).await
    }

    /// This signer's signatures do not count any more. What was installed with one stays.
    pub async fn untrust(self: &Arc<Self>, signer: &str) -> Result<(), ManageError> {
        let mut changing = self.begin().await?;
        let unknown = || ManageError::UnknownSigner(signer.to_owned());
        changing.lock.untrust(signer).ok_or_else(unknown)?;
        self.commit(changing, None, Unwritten::Withheld).await
    }

    /// What is written down of skills.
    pub async fn lock(&self) -> Result<Lock, ManageError> {
        if self.loader().shelf.is_none() {
            return Ok(Lock::default());
        }
        self.on_shelf(|shelf| shelf.lock().map_err(|error| error.to_string())).await
    }
}

/// What the offer would be granted.
fn granted(config: &SkillConfig, offer: &Offer, lock: &Lock) -> Vec<Grant> {
    if let Some(configured) = &config.grants {
        return configured.clone();
    }
    let before = lock.entry(&offer.name).and_then(|entry| entry.granted()).unwrap_or_default();
    let new = offer.grants.iter().filter(|it| !before.contains(it)).cloned().collect::<Vec<_>>();
    before.into_iter().chain(new).collect()
}

pub(super) fn check_name(name: &SkillName) -> Result<(), ManageError> {
    let is_free = super::folder::is_name(name.as_str()) && !RESERVED.contains(&name.as_str());
    if is_free { Ok(()) } else { Err(ManageError::Name(name.to_string())) }
}
