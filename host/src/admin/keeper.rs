//! What people do with skills, in the API's own words: for its routes, and for the command line where no gateway runs.
//!
//! It decides nothing and holds nothing but the skills: whether a change is made, and how, is the skill room's.

use std::sync::Arc;

use super::view;
use crate::grant::Grant;
use crate::id::SkillName;
use crate::shelf::lock::Lock;
use crate::shelf::sign::PublicKey;
use crate::skill::{Installed, ManageError, Offer, Skills, Status, Tried};

/// Keeps the skills of one data folder.
#[derive(Clone)]
pub struct Keeper(Arc<Skills>);

/// A change of one skill that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Switch it on.
    Enable,
    /// Switch it off.
    Disable,
    /// The version that waits serves.
    Approve,
    /// The version before serves.
    Rollback,
    /// Grant this, too.
    Grant(Vec<Grant>),
    /// Take this back.
    Revoke(Vec<Grant>),
}

// === impl Change ===

impl Change {
    /// The word for it, as in the API's paths.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Approve => "approve",
            Self::Rollback => "rollback",
            Self::Grant(_) => "grant",
            Self::Revoke(_) => "revoke",
        }
    }

    /// What is granted or taken back; none where it is about something else.
    pub fn grants(&self) -> Option<&[Grant]> {
        match self {
            Self::Grant(grants) | Self::Revoke(grants) => Some(grants),
            Self::Enable | Self::Disable | Self::Approve | Self::Rollback => None,
        }
    }
}

// === impl Keeper ===

impl Keeper {
    /// Keeps these.
    pub fn new(skills: Arc<Skills>) -> Self {
        Self(skills)
    }

    /// Every skill, active ones first, in the order in which they are asked.
    pub async fn list(&self) -> Vec<view::Skill> {
        // What is written down adds to what is so; without it the list is still true.
        let lock = self.0.lock().await.unwrap_or_default();
        self.0.statuses().iter().map(|it| view::Skill::of(it, lock.entry(&it.name))).collect()
    }

    /// Whether what is written down of skills can be read.
    pub async fn check(&self) -> Result<(), ManageError> {
        self.0.lock().await.map(drop)
    }

    /// What a component would be, installed.
    pub async fn look(&self, offer: Offer) -> Result<view::Looked, ManageError> {
        let bytes = offer.wasm.len();
        Ok(view::Looked::of(&self.0.look(offer).await?, bytes))
    }

    /// Installs a component, or upgrades what is installed under its name.
    pub async fn install(&self, offer: Offer) -> Result<view::Installed, ManageError> {
        let (name, bytes) = (offer.name.clone(), offer.wasm.len());
        let (looked, outcome) = self.0.install(offer).await?;
        let outcome = match outcome {
            Installed::Activated => "activated",
            Installed::Unchanged => "unchanged",
            Installed::Waits => "waits",
        };
        Ok(view::Installed {
            outcome: outcome.to_owned(),
            look: view::Looked::of(&looked, bytes),
            skill: self.show(&name).await?,
        })
    }

    /// One skill, with all that is written down of it.
    pub async fn show(&self, name: &SkillName) -> Result<view::SkillInFull, ManageError> {
        let lock = self.0.lock().await?;
        self.shown(name, &lock).ok_or_else(|| ManageError::Unknown(name.clone()))
    }

    /// Changes a skill that is there; what it is then.
    pub async fn change(&self, name: &SkillName, change: &Change) -> Result<view::SkillInFull, ManageError> {
        match change {
            Change::Enable => self.0.set_enabled(name, true).await?,
            Change::Disable => self.0.set_enabled(name, false).await?,
            Change::Approve => self.0.approve(name).await?,
            Change::Rollback => self.0.rollback(name).await?,
            Change::Grant(grants) => self.0.grant(name, grants).await?,
            Change::Revoke(grants) => self.0.revoke(name, grants).await?,
        }
        self.show(name).await
    }

    /// Removes what was installed under the name.
    pub async fn remove(&self, name: &SkillName) -> Result<view::Removed, ManageError> {
        self.0.remove(name).await?;
        let lock = self.0.lock().await?;
        Ok(view::Removed { removed: name.to_string(), skill: self.shown(name, &lock) })
    }

    /// Has a candidate look on.
    pub async fn shadow(&self, offer: Offer) -> Result<Tried, ManageError> {
        self.0.shadow(offer).await
    }

    /// How the candidates do that look on.
    pub fn shadows(&self) -> view::Shadows {
        view::Shadows { shadows: self.0.shadows() }
    }

    /// A candidate looks on no more; how it did.
    pub async fn end_shadow(&self, name: &SkillName) -> Result<Tried, ManageError> {
        self.0.end_shadow(name).await
    }

    /// What a candidate says to the turns that were recorded since then.
    pub async fn replay(&self, offer: Offer, since_ms: u64) -> Result<Tried, ManageError> {
        self.0.replay(offer, since_ms).await
    }

    /// Whose signatures count.
    pub async fn trusted(&self) -> Result<view::Trusted, ManageError> {
        Ok(view::Trusted::of(&self.0.lock().await?))
    }

    /// This signer's signatures count from now on.
    pub async fn trust(&self, signer: &str, key: PublicKey) -> Result<view::Trusted, ManageError> {
        self.0.trust(signer, key).await?;
        self.trusted().await
    }

    /// This signer's signatures do not count any more.
    pub async fn untrust(&self, signer: &str) -> Result<view::Trusted, ManageError> {
        self.0.untrust(signer).await?;
        self.trusted().await
    }

    fn shown(&self, name: &SkillName, lock: &Lock) -> Option<view::SkillInFull> {
        let statuses: Vec<Status> = self.0.statuses();
        let status = statuses.iter().find(|status| status.name == *name)?;
        Some(view::SkillInFull::of(status, lock.entry(name)))
    }
}
