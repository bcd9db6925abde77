//! Shadows: candidates that are asked beside the versions that serve, about the same turns, and whose verdicts count for
//! nothing but the comparison. What a shadow does has no effect, and what it fails at harms nobody.
//!
//! One per name, in memory: it ends with the gateway.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::compare::Comparison;
use super::engine::Engine;
use super::generation::Active;
use super::load::Hook;
use super::loader::{Loader, Purpose};
use super::manage::{ManageError, Offer, check_name};
use super::said::Said;
use super::witness::Decided;
use super::{SkillConfig, Skills};
use crate::capability::{Delegates, epoch_ms};
use crate::id::SkillName;

/// A candidate that looks on.
pub(super) struct Shadow {
    candidate: Active,
    /// What the user said of skills when it was loaded.
    config: SkillConfig,
    engine: Arc<Engine>,
    since_ms: u64,
    comparison: Mutex<Comparison>,
}

/// How a candidate does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The name it would serve under.
    pub name: String,
    /// As it says itself.
    pub version: String,
    /// The version that it is compared with; none where no skill of this name serves.
    pub active: Option<String>,
    /// What it imports and may not use: as installed, without more being granted.
    pub denied: Vec<String>,
    /// Since when its turns came, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// What came of it.
    pub comparison: Comparison,
}

/// Candidates that may look on at the same time.
const SHADOWS_MAX: usize = 4;

// === impl Shadow ===

impl Shadow {
    /// One more turn was decided.
    pub(super) async fn look(&self, decided: &Decided) {
        let name = &self.candidate.name;
        let said = match decided.outcome.said_by(name) {
            Some(said) => said,
            // A skill that is not there has no opinion; one that another decided before was not asked.
            None if decided.inquiry.generation.skills.iter().any(|it| it.name == *name) => {
                return self.skip();
            }
            None => Said::pass(),
        };
        let Some(candidate) = decided.inquiry.again().ask(&self.candidate).await else { return self.skip() };
        let at_ms = decided.inquiry.moment().at_ms;
        self.comparison().add((&decided.inquiry.turn, at_ms), said, candidate);
    }

    /// Who looks on.
    pub(super) fn candidate(&self) -> &Active {
        &self.candidate
    }

    /// Loaded now, it would be the same.
    pub(super) fn is_as_said(&self, loader: &Loader) -> bool {
        Arc::ptr_eq(&self.engine, &loader.engine) && self.config == loader.said_of(&self.candidate.name)
    }

    /// A turn went by unseen.
    pub(super) fn skip(&self) {
        self.comparison().skipped += 1;
    }

    fn comparison(&self) -> std::sync::MutexGuard<'_, Comparison> {
        self.comparison.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Skills ===

impl Skills {
    /// Has a candidate look on from now on, in the place of one of the same name.
    ///
    /// # Errors
    /// It cannot be used, or has no verdicts to compare, or too many look on already.
    pub async fn shadow(&self, offer: Offer) -> Result<Tried, ManageError> {
        let name = offer.name.clone();
        let loader = self.loader();
        let (config, engine) = (loader.said_of(&name), loader.engine.clone());
        let candidate = self.tried(&offer, &loader.delegates.without_effect()).await?;
        let since_ms = epoch_ms();
        let shadow = Arc::new(Shadow { candidate, config, engine, since_ms, comparison: Mutex::default() });
        let _alone = self.changing.lock().await;
        let mut shadows = (**self.witness.shadows.load()).clone();
        shadows.insert(name, shadow.clone());
        if shadows.len() > SHADOWS_MAX {
            return Err(ManageError::Shadows(SHADOWS_MAX));
        }
        self.witness.shadows.store(Arc::new(shadows));
        Ok(self.shown(&shadow))
    }

    /// How the candidates do that look on.
    pub fn shadows(&self) -> Vec<Tried> {
        self.witness.shadows.load().values().map(|shadow| self.shown(shadow)).collect()
    }

    /// The candidate looks on no more; how it did.
    ///
    /// # Errors
    /// None of this name looks on.
    pub async fn end_shadow(&self, name: &SkillName) -> Result<Tried, ManageError> {
        let _alone = self.changing.lock().await;
        let mut shadows = (**self.witness.shadows.load()).clone();
        let shadow = shadows.remove(name).ok_or_else(|| ManageError::NoShadow(name.clone()))?;
        self.witness.shadows.store(Arc::new(shadows));
        Ok(self.shown(&shadow))
    }

    /// A candidate that does nothing but say what it would decide.
    pub(super) async fn tried(&self, offer: &Offer, delegates: &Delegates) -> Result<Active, ManageError> {
        check_name(&offer.name)?;
        let lock = self.lock().await?;
        let (_, candidate) = self.candidate(offer, &lock, Purpose::Trial(delegates)).await?;
        match candidate.hooks.contains(&Hook::Request) {
            true => Ok(candidate),
            false => Err(ManageError::NoVerdicts),
        }
    }

    fn shown(&self, shadow: &Shadow) -> Tried {
        let comparison = shadow.comparison().clone();
        self.as_tried(&shadow.candidate, shadow.since_ms, comparison)
    }

    pub(super) fn as_tried(&self, candidate: &Active, since_ms: u64, comparison: Comparison) -> Tried {
        Tried {
            name: candidate.name.to_string(),
            version: candidate.manifest.version.clone(),
            active: self.active(&candidate.name).map(|it| it.manifest.version.clone()),
            denied: candidate.identity.rights.denied().iter().map(ToString::to_string).collect(),
            since_ms,
            comparison,
        }
    }
}
