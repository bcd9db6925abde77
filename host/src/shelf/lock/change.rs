//! What may be done with a lock: install, approve, roll back, quarantine, switch, grant, trust, remove.
//!
//! Pure, like the lock. The versions of a skill are a line of those that came into use, with the active one somewhere on
//! it: rollback and quarantine step back along it and leave what is behind where it is; what is installed is put right
//! behind the active one, so that the next rollback goes to what served until now. What is behind the active one goes
//! first when there are too many.

use std::collections::BTreeSet;

use super::super::digest::Digest;
use super::super::sign::PublicKey;
use super::super::text;
use super::{Entry, Lock, VERSIONS_MAX, Version};
use crate::grant::{Capability, Grant};
use crate::id::SkillName;

/// Under which terms a version is installed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// Also an older version than the one in use, also a quarantined one.
    pub force: bool,
    /// Also one that wants more than the one in use: the user has seen what.
    pub approve: bool,
}

/// What became of a version that was to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// It is in use.
    Activated {
        /// What was in use until now.
        before: Option<Digest>,
    },
    /// It was in use already.
    Unchanged,
    /// What was in use stays so until somebody approves of what this one wants.
    WaitsForApproval {
        /// The capabilities that it imports, and that neither the one in use imports nor anybody granted.
        wants: Vec<String>,
    },
}

/// Why a version is not installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// It cannot be compared with others.
    #[error("its version `{0}` is not a semantic version such as 1.2.3")]
    Version(String),
    /// It is older than the one in use.
    #[error("version {offered} is older than {active}, which is in use; add `--force` to go back to it")]
    Downgrade {
        /// The version in use.
        active: String,
        /// The one that was to be installed.
        offered: String,
    },
    /// It has failed before.
    #[error(
        "this version is quarantined ({reason}); install a mended one, or add `--force` to try this one again"
    )]
    Quarantined {
        /// The version.
        digest: Digest,
        /// Why it was quarantined.
        reason: String,
    },
}

/// Why nothing is approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApproveError {
    /// There is no such skill.
    #[error("no skill `{0}` is installed; `pointsman skill list` shows those that are")]
    NotInstalled(SkillName),
    /// There is nothing to approve of.
    #[error("no version of `{0}` waits for approval")]
    NothingWaits(SkillName),
}

/// Why nothing is rolled back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    /// There is no such skill.
    #[error("no skill `{0}` is installed; `pointsman skill list` shows those that are")]
    NotInstalled(SkillName),
    /// Nothing good is before the version in use.
    #[error("`{0}` has no earlier version that is not quarantined; install one")]
    NothingBefore(SkillName),
}

/// Why a key is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// It cannot be shown.
    #[error("a signer's name has 1 to {SIGNER_BYTES_MAX} bytes without control characters")]
    Name,
    /// Exchanging a key unseen is what an attacker would want.
    #[error("`{0}` is trusted with another key; take that one back first")]
    Taken(String),
}

/// Bytes of a signer's name; as for a skill's.
const SIGNER_BYTES_MAX: usize = 64;

/// Bytes of the reason for a quarantine that are kept: guests' panic messages can be long.
const REASON_BYTES_MAX: usize = 500;

// === impl Lock ===

impl Lock {
    /// Puts a version into use. Whether it was quarantined is known here and not taken from `offered`.
    ///
    /// # Errors
    /// It must not be used under these terms.
    pub fn install(
        &mut self,
        name: &SkillName,
        offered: Version,
        terms: Terms,
    ) -> Result<Installed, InstallError> {
        let Ok(number) = semver::Version::parse(&offered.version) else {
            return Err(InstallError::Version(offered.version));
        };
        // An entry that is made here has nothing to refuse a version for, so none is made in vain.
        let entry = self.skills.entry(name.clone()).or_default();
        if !terms.force {
            entry.check(&offered, &number)?;
        }
        Ok(entry.install(offered, terms.approve))
    }

    /// Puts the version into use that waits for approval.
    ///
    /// # Errors
    /// None does.
    pub fn approve_pending(&mut self, name: &SkillName) -> Result<Digest, ApproveError> {
        let entry = self.skills.get_mut(name).ok_or_else(|| ApproveError::NotInstalled(name.clone()))?;
        let pending = entry.pending.take().ok_or_else(|| ApproveError::NothingWaits(name.clone()))?;
        let digest = pending.digest;
        entry.activate(pending);
        Ok(digest)
    }

    /// Drops the version that waits for approval.
    pub fn refuse_pending(&mut self, name: &SkillName) -> Option<Version> {
        self.skills.get_mut(name)?.pending.take()
    }

    /// Puts the last version before the active one into use that is not quarantined, of a skill that rests the last at
    /// all. What was in use keeps its place behind it: installing it again returns to it, and rolling back again goes
    /// further back.
    ///
    /// # Errors
    /// There is no such version.
    pub fn rollback(&mut self, name: &SkillName) -> Result<Digest, RollbackError> {
        let entry = self.skills.get_mut(name).ok_or_else(|| RollbackError::NotInstalled(name.clone()))?;
        let before = entry.last_good().ok_or_else(|| RollbackError::NothingBefore(name.clone()))?;
        entry.active = Some(before);
        Ok(before)
    }

    /// Marks a version as not to be used; where it was in use, the last good one before it is. What is in use now: none
    /// where nothing good is left, and then the skill rests.
    pub fn quarantine(&mut self, name: &SkillName, digest: &Digest, reason: &str) -> Option<Digest> {
        let entry = self.skills.get_mut(name)?;
        for version in entry.versions.iter_mut().filter(|version| version.digest == *digest) {
            version.quarantined = Some(text::cut(reason, REASON_BYTES_MAX).to_owned());
        }
        if entry.active == Some(*digest) {
            entry.active = entry.last_good();
        }
        entry.active
    }

    /// Says whether a skill may be used, also one that ships with the gateway; whether that is news.
    pub fn set_enabled(&mut self, name: &SkillName, enabled: bool) -> bool {
        if enabled && !self.skills.contains_key(name) {
            return false;
        }
        let entry = self.skills.entry(name.clone()).or_default();
        std::mem::replace(&mut entry.enabled, enabled) != enabled
    }

    /// Adds to what a skill may use, also to nothing: from then on it was granted by hand. The grants that are new.
    pub fn grant(&mut self, name: &SkillName, grants: &[Grant]) -> Vec<Grant> {
        let entry = self.skills.entry(name.clone()).or_default();
        let held: BTreeSet<Grant> = entry.granted().into_iter().flatten().collect();
        let new: BTreeSet<Grant> = grants.iter().filter(|grant| !held.contains(grant)).cloned().collect();
        entry.set_grants(held.union(&new));
        new.into_iter().collect()
    }

    /// Takes from what a skill may use: a bare interface takes all of its grants along. The grants that are gone. A skill
    /// that was never granted anything by hand has nothing to lose here: for one that ships with the gateway, grant what
    /// it is to keep.
    pub fn revoke(&mut self, name: &SkillName, grants: &[Grant]) -> Vec<Grant> {
        let Some(entry) = self.skills.get_mut(name) else { return Vec::new() };
        let Some(held) = entry.granted() else { return Vec::new() };
        let takes = |it: &Grant| grants.contains(it) || grants.contains(&Grant::plain(it.capability));
        let (gone, left): (BTreeSet<Grant>, BTreeSet<Grant>) = held.into_iter().partition(takes);
        entry.set_grants(left.iter());
        gone.into_iter().collect()
    }

    /// Forgets a skill with all that is known of it.
    pub fn remove(&mut self, name: &SkillName) -> Option<Entry> {
        self.skills.remove(name)
    }

    /// Lets a key's signatures count, under this name.
    ///
    /// # Errors
    /// The name cannot be used, or is another key's.
    pub fn trust(&mut self, signer: &str, key: PublicKey) -> Result<(), TrustError> {
        if signer.is_empty() || signer.len() > SIGNER_BYTES_MAX || !text::is_line(signer) {
            return Err(TrustError::Name);
        }
        match self.trusted.get(signer) {
            Some(held) if *held != key => Err(TrustError::Taken(signer.to_owned())),
            _ => {
                self.trusted.insert(signer.to_owned(), key);
                Ok(())
            }
        }
    }

    /// Signatures of this signer no longer count. Versions that were installed with one keep saying so.
    pub fn untrust(&mut self, signer: &str) -> Option<PublicKey> {
        self.trusted.remove(signer)
    }
}

// === impl Entry ===

impl Entry {
    /// Whether the version may be used without force.
    fn check(&self, offered: &Version, number: &semver::Version) -> Result<(), InstallError> {
        let digest = offered.digest;
        if let Some(reason) = self.version(&digest).and_then(|it| it.quarantined.clone()) {
            return Err(InstallError::Quarantined { digest, reason });
        }
        match self.active_version() {
            Some(active) if active.digest != digest && is_lower(number, &active.version) => {
                Err(InstallError::Downgrade {
                    active: active.version.clone(),
                    offered: offered.version.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    fn install(&mut self, offered: Version, approve: bool) -> Installed {
        if self.active == Some(offered.digest) {
            // The same bytes may come with a signature at last.
            let active = self.versions.iter_mut().find(|version| version.digest == offered.digest);
            if let (Some(active), Some(_)) = (active, &offered.signed_by) {
                active.signed_by = offered.signed_by;
            }
            return Installed::Unchanged;
        }
        let wants = self.wants(&offered);
        if !wants.is_empty() && !approve {
            self.pending = Some(offered);
            return Installed::WaitsForApproval { wants };
        }
        Installed::Activated { before: self.activate(offered) }
    }

    /// What a version imports beyond the one in use and beyond what was granted. Nothing of a first one: whoever installs
    /// it is asked for grants.
    fn wants(&self, offered: &Version) -> Vec<String> {
        let Some(active) = self.active_version() else { return Vec::new() };
        let granted: BTreeSet<Capability> =
            self.granted().into_iter().flatten().map(|grant| grant.capability).collect();
        let is_granted = |it: &str| Capability::from_name(it).is_some_and(|it| granted.contains(&it));
        let is_new = |it: &&String| !active.imports.contains(it) && !is_granted(it);
        offered.imports.iter().filter(is_new).cloned().collect()
    }

    /// Puts a version into use; what was in use before.
    fn activate(&mut self, mut version: Version) -> Option<Digest> {
        version.quarantined = None;
        self.pending = None;
        self.versions.retain(|it| it.digest != version.digest);
        let behind = self.place_of_active().map_or(self.versions.len(), |place| place + 1);
        let before = self.active.replace(version.digest);
        self.versions.insert(behind, version);
        while self.versions.len() > VERSIONS_MAX {
            self.drop_one();
        }
        before
    }

    /// Drops the oldest version behind the active one, and where none is, the oldest before it.
    fn drop_one(&mut self) {
        let behind = self.place_of_active().map_or(0, |place| place + 1);
        self.versions.remove(if behind < self.versions.len() { behind } else { 0 });
    }

    fn place_of_active(&self) -> Option<usize> {
        self.versions.iter().position(|version| Some(version.digest) == self.active)
    }

    /// The last version before the active one, of a skill that rests the last of all, that is not quarantined.
    fn last_good(&self) -> Option<Digest> {
        let before = self.place_of_active().unwrap_or(self.versions.len());
        let good = |version: &&Version| version.quarantined.is_none();
        self.versions.iter().take(before).rfind(good).map(|version| version.digest)
    }

    /// Writes the grants down in the order of the contract. What this gateway does not know stays, at the end.
    fn set_grants<'a>(&mut self, grants: impl Iterator<Item = &'a Grant>) {
        let held = self.grants.take().into_iter().flatten();
        let unknown: BTreeSet<String> = held.filter(|text| text.parse::<Grant>().is_err()).collect();
        self.grants = Some(grants.map(Grant::to_string).chain(unknown).collect());
    }
}

/// Build metadata does not count. An active version that cannot be read is older than any.
fn is_lower(offered: &semver::Version, active: &str) -> bool {
    semver::Version::parse(active).is_ok_and(|active| offered.cmp_precedence(&active).is_lt())
}
