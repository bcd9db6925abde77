//! What the admin API says of skills that are looked at, installed and changed, and how it is made of the rooms' values.

use serde::{Deserialize, Serialize};

use super::Skill;
use crate::grant::Capability;
use crate::shelf::lock::{Entry, Lock, Version};
use crate::skill;

/// `POST skills/look`: what a component would be, installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// The name it would be installed under.
    pub name: String,
    /// As it says itself.
    pub version: String,
    /// As it says itself.
    pub description: String,
    /// Of its bytes.
    pub digest: String,
    /// How many they are.
    pub bytes: u64,
    /// What it asks for.
    pub imports: Vec<String>,
    /// Of that, what is not granted.
    pub wants: Vec<String>,
    /// When it would run.
    pub hooks: Vec<String>,
    /// Who signed it, of those whose signatures count.
    pub signed_by: Option<String>,
    /// The version that serves under this name now.
    pub active: Option<String>,
}

/// `PUT skills/{name}`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// `activated`, `unchanged`, `waits`.
    pub outcome: String,
    /// What was brought.
    pub look: Looked,
    /// The skill as it stands now.
    pub skill: SkillInFull,
}

/// `GET skills/{name}`, and what every change of a skill answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkillInFull {
    /// As in the list.
    #[serde(flatten)]
    pub skill: Skill,
    /// When it runs.
    pub hooks: Vec<String>,
    /// What was granted by hand; none where nobody ever granted it anything.
    pub granted: Option<Vec<String>>,
    /// The installed versions that are kept, in the order in which they came into use.
    pub versions: Vec<SkillVersion>,
    /// The version that waits for approval.
    pub pending: Option<Waiting>,
}

/// An installed version of a skill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkillVersion {
    /// Of its bytes.
    pub digest: String,
    /// As it says itself.
    pub version: String,
    /// Where it is from.
    pub source: String,
    /// When it was installed, in milliseconds since the Unix epoch.
    pub installed_ms: u64,
    /// It is the one in use.
    pub active: bool,
    /// What it asks for.
    pub imports: Vec<String>,
    /// Why it is not to be used.
    pub quarantined: Option<String>,
    /// Who signed it.
    pub signed_by: Option<String>,
}

/// A version that waits for approval.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What it is.
    #[serde(flatten)]
    pub version: SkillVersion,
    /// What it asks for and is not granted.
    pub wants: Vec<String>,
}

/// `DELETE skills/{name}`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its name.
    pub removed: String,
    /// What serves under the name now: what ships with the gateway, or lies in the folder.
    pub skill: Option<SkillInFull>,
}

/// `POST skills/{name}/grant`, `POST skills/{name}/revoke`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantOrder {
    /// As people write them: `models`, `http=api.example.com`.
    pub grants: Vec<String>,
}

/// `GET skills/shadow`: candidates that are tried beside the skills that serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadows {
    /// By name.
    pub shadows: Vec<skill::Tried>,
}

/// `GET skills/trust`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trusted {
    /// By name.
    pub trusted: Vec<TrustedSigner>,
}

/// Somebody whose signatures count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedSigner {
    /// Their name.
    pub signer: String,
    /// `ed25519:…`
    pub key: String,
}

/// `POST skills/trust`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustOrder {
    /// Their name.
    pub signer: String,
    /// `ed25519:…`
    pub key: String,
}

// === impl Looked ===

impl Looked {
    /// What was seen of a component of so many bytes.
    pub(in crate::admin) fn of(looked: &skill::Looked, bytes: usize) -> Self {
        Self {
            name: looked.name.to_string(),
            version: looked.version.clone(),
            description: looked.description.clone(),
            digest: looked.digest.to_string(),
            bytes: bytes as u64,
            imports: looked.imports.iter().map(ToString::to_string).collect(),
            wants: looked.wants.iter().map(ToString::to_string).collect(),
            hooks: hooks(&looked.hooks),
            signed_by: looked.signed_by.clone(),
            active: looked.active.clone(),
        }
    }
}

// === impl SkillInFull ===

impl SkillInFull {
    /// One skill as it stands, with all that is written down of it.
    pub(in crate::admin) fn of(status: &skill::Status, entry: Option<&Entry>) -> Self {
        let versions = entry.map(|entry| entry.versions.as_slice()).unwrap_or_default();
        let active = entry.and_then(|entry| entry.active);
        let is_active = |version: &Version| active == Some(version.digest);
        Self {
            skill: Skill::of(status, entry),
            hooks: hooks(&status.hooks),
            granted: entry.and_then(|entry| entry.grants.clone()),
            versions: versions.iter().map(|it| SkillVersion::of(it, is_active(it))).collect(),
            pending: entry.and_then(|entry| Some(Waiting::of(entry.pending.as_ref()?, entry))),
        }
    }
}

// === impl SkillVersion ===

impl SkillVersion {
    fn of(version: &Version, active: bool) -> Self {
        Self {
            digest: version.digest.to_string(),
            version: version.version.clone(),
            source: version.source.clone(),
            installed_ms: version.installed_ms,
            active,
            imports: version.imports.clone(),
            quarantined: version.quarantined.clone(),
            signed_by: version.signed_by.clone(),
        }
    }
}

// === impl Waiting ===

impl Waiting {
    fn of(version: &Version, entry: &Entry) -> Self {
        let granted: Vec<Capability> = entry.granted().iter().flatten().map(|it| it.capability).collect();
        let is_granted =
            |import: &String| Capability::from_name(import).is_some_and(|it| granted.contains(&it));
        let wants = version.imports.iter().filter(|it| !is_granted(it)).cloned().collect();
        Self { version: SkillVersion::of(version, false), wants }
    }
}

// === impl Trusted ===

impl Trusted {
    /// Everybody whose signatures count.
    pub(in crate::admin) fn of(lock: &Lock) -> Self {
        let signer =
            |(signer, key): (&String, _)| TrustedSigner { signer: signer.clone(), key: format!("{key}") };
        Self { trusted: lock.trusted().iter().map(signer).collect() }
    }
}

fn hooks(hooks: &[skill::Hook]) -> Vec<String> {
    hooks.iter().map(|hook| hook.as_str().to_owned()).collect()
}
