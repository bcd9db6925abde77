//! What is installed, as one value: which skills, which of their versions is in use, what they were granted, whose
//! signatures count. And its text, `skills.lock`, which people may read.
//!
//! Pure. What may be done with it is in `change`; every change either happens or leaves the value as it was. A text that
//! is not understood to its last field is refused, because half a lock would be written back as a whole one. Bounded by
//! [`VERSIONS_MAX`] for each skill, and by the size of the file, which the shelf watches.
//!
//! Nothing here says what a skill may do: that is what its component imports, of that what was granted.

mod change;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::sign::PublicKey;
use crate::grant::Grant;
use crate::id::SkillName;

pub use change::{ApproveError, InstallError, Installed, RollbackError, Terms, TrustError};

/// All that is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    skills: BTreeMap<SkillName, Entry>,
    trusted: BTreeMap<String, PublicKey>,
}

/// What is known of one skill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// It may be used.
    pub enabled: bool,
    /// What it was granted, as people write it, in the order of the contract; none where nobody ever granted it anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<String>>,
    /// The version in use. None rests: it ships with the gateway and only has settings here, or no version of it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Digest>,
    /// Waits for approval, because it wants more than the one in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Version>,
    /// Each version once. Up to the active one in the order in which they came into use; behind it those that were left
    /// by a rollback or a quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Version>,
}

/// One version of a skill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Its bytes.
    pub digest: Digest,
    /// The semantic version that the skill gives itself.
    pub version: String,
    /// Where it is from: `file`, `folder`, an address.
    pub source: String,
    /// When it was installed, in milliseconds since 1970.
    pub installed_ms: u64,
    /// The capabilities that it imports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<String>,
    /// The hooks that it exports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<String>,
    /// Whose signature it had when it was installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Why it is not to be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
}

/// Why a text is no lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadLockError {
    /// It is no TOML, or not of this shape.
    #[error("it is not understood: {0}")]
    Text(String),
    /// It was written by another version of the gateway.
    #[error("it is of version {0}, and this gateway reads version {LOCK_VERSION}")]
    Version(i64),
    /// It contradicts itself.
    #[error("skill `{name}`: {fault}")]
    Contradiction {
        /// The skill.
        name: SkillName,
        /// What is wrong.
        fault: &'static str,
    },
}

/// Versions of one skill that are kept: enough to find a good one, and at a few megabytes each nobody misses them.
pub const VERSIONS_MAX: usize = 10;

/// The version of the text. A field more or less is another one, because unknown fields are refused.
const LOCK_VERSION: i64 = 1;

/// What stands above it all.
const HEAD: &str =
    "# Installed skills, as `pointsman skill` keeps them. To change something, use its commands.\n\n";

// === impl Lock ===

impl Lock {
    /// What is known of this skill.
    pub fn entry(&self, name: &SkillName) -> Option<&Entry> {
        self.skills.get(name)
    }

    /// Every skill, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = (&SkillName, &Entry)> {
        self.skills.iter()
    }

    /// Whose signatures count, by the signer's name.
    pub fn trusted(&self) -> &BTreeMap<String, PublicKey> {
        &self.trusted
    }

    /// Every component that some entry names.
    pub fn digests(&self) -> BTreeSet<Digest> {
        self.skills.values().flat_map(Entry::known).map(|version| version.digest).collect()
    }

    /// Those of these components that no entry names.
    pub fn unused(&self, kept: impl IntoIterator<Item = Digest>) -> Vec<Digest> {
        let named = self.digests();
        kept.into_iter().filter(|digest| !named.contains(digest)).collect()
    }

    /// The text of it.
    ///
    /// # Errors
    /// TOML cannot hold it, which no change to a lock should lead to.
    pub fn to_text(&self) -> Result<String, String> {
        let written = Written { version: LOCK_VERSION, trusted: &self.trusted, skills: &self.skills };
        let text = toml::to_string(&written).map_err(|error| error.to_string())?;
        Ok(format!("{HEAD}{text}"))
    }

    /// What a text says.
    ///
    /// # Errors
    /// It is not understood, or contradicts itself.
    pub fn from_text(text: &str) -> Result<Self, ReadLockError> {
        // Looked at first: of another version, everything else may be different.
        let numbered: Numbered = parse(text)?;
        if numbered.version != LOCK_VERSION {
            return Err(ReadLockError::Version(numbered.version));
        }
        let read: Read = parse(text)?;
        for (name, entry) in &read.skills {
            if let Some(fault) = entry.fault() {
                return Err(ReadLockError::Contradiction { name: name.clone(), fault });
            }
        }
        Ok(Self { skills: read.skills, trusted: read.trusted })
    }
}

/// The lock as it is written.
#[derive(Serialize)]
struct Written<'a> {
    version: i64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    trusted: &'a BTreeMap<String, PublicKey>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    skills: &'a BTreeMap<SkillName, Entry>,
}

/// The lock as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(rename = "version")]
    _version: i64,
    #[serde(default)]
    trusted: BTreeMap<String, PublicKey>,
    #[serde(default)]
    skills: BTreeMap<SkillName, Entry>,
}

/// What every version of the text has.
#[derive(Deserialize)]
struct Numbered {
    version: i64,
}

fn parse<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, ReadLockError> {
    let unread = |error: toml::de::Error| {
        let line =
            error.span().and_then(|span| text.get(..span.start)).map(|it| it.matches('\n').count() + 1);
        let place = line.map_or_else(String::new, |line| format!("line {line}: "));
        ReadLockError::Text(format!("{place}{}", error.message()))
    };
    toml::from_str(text).map_err(unread)
}

// === impl Entry ===

impl Entry {
    /// What it was granted, as types. What this gateway does not know grants nothing and is left out.
    pub fn granted(&self) -> Option<Vec<Grant>> {
        let grants = self.grants.as_ref()?;
        Some(grants.iter().filter_map(|text| text.parse().ok()).collect())
    }

    /// The version of this digest, in use or not.
    pub fn version(&self, digest: &Digest) -> Option<&Version> {
        self.versions.iter().find(|version| version.digest == *digest)
    }

    /// The version in use.
    pub fn active_version(&self) -> Option<&Version> {
        self.version(self.active.as_ref()?)
    }

    /// Every version that it names.
    fn known(&self) -> impl Iterator<Item = &Version> {
        self.versions.iter().chain(&self.pending)
    }

    /// What contradicts itself.
    fn fault(&self) -> Option<&'static str> {
        let digests: BTreeSet<&Digest> = self.versions.iter().map(|version| &version.digest).collect();
        match (self.active, self.active_version()) {
            _ if digests.len() != self.versions.len() => Some("it has a version twice"),
            (Some(_), None) => Some("its active version is none of its versions"),
            (Some(_), Some(version)) if version.quarantined.is_some() => {
                Some("its active version is quarantined")
            }
            _ => None,
        }
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self { enabled: true, grants: None, active: None, pending: None, versions: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
