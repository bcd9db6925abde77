//! Other settings, grants, priorities and limits for skills that are in use: those that are concerned are loaded beside what
//! serves, and all of them are published as one new generation. Requests that run finish on the generation they began with.
//!
//! A skill that does not take what is new keeps what it had, and serves; nobody else is concerned. Limits that are reserved
//! when the engine starts bring an engine of their own, which all skills are loaded into; the one before goes with the last
//! generation that uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::engine::Engine;
use super::loader::Loader;
use super::manage::change::Now;
use super::{Limits, SkillConfig, Skills};
use crate::id::SkillName;
use crate::shelf::lock::Lock;

/// A skill that goes on as it was, since it cannot be used as the user says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which; none where it concerns all of them.
    pub skill: Option<SkillName>,
    /// Why: a fragment that follows its name.
    pub reason: String,
}

// === impl Skills ===

impl Skills {
    /// From now on these limits hold, and this is what the user says about single skills. Gives those that go on as before.
    pub async fn reconfigure(
        self: &Arc<Self>,
        limits: Limits,
        skills: BTreeMap<String, SkillConfig>,
    ) -> Vec<Kept> {
        let changing = match self.begin().await {
            Ok(changing) => changing,
            Err(error) => return vec![Kept { skill: None, reason: error.to_string() }],
        };
        let before = self.loader();
        let names = self.concerned(&before, &limits, &skills, &changing.lock).await;
        let mut loader = match under(&before, limits, skills) {
            Ok(loader) => loader,
            Err(reason) => return vec![Kept { skill: None, reason }],
        };
        let (mut changed, mut kept) = (Vec::new(), Vec::new());
        for name in names {
            match self.loaded_anew(&loader, &name, &changing.lock).await {
                Ok(now) => changed.push((name, now)),
                Err(reason) => {
                    keep(&mut loader, &before, &name);
                    kept.push(Kept { skill: Some(name), reason });
                }
            }
        }
        let is_news = !changed.is_empty() || loader.configured != before.configured;
        if is_news {
            loader.warn_of_unknown(&before.names(&changing.lock).await);
        }
        self.loader.store(Arc::new(loader));
        // Also where no skill is another one: what must not be done without may be said of one that is not there.
        if is_news {
            self.publish_all(changed, &changing.lock);
        }
        drop(changing);
        kept
    }

    /// Skills of which something else is said than before; all of them, where limits are others.
    async fn concerned(
        &self,
        before: &Loader,
        limits: &Limits,
        skills: &BTreeMap<String, SkillConfig>,
        lock: &Lock,
    ) -> BTreeSet<SkillName> {
        let known: BTreeSet<SkillName> = before.names(lock).await.into_iter().collect();
        if *before.limits != *limits {
            return known;
        }
        let said = before.configured.keys().chain(skills.keys());
        let changed = said.filter(|name| before.configured.get(*name) != skills.get(*name));
        changed.map(|name| SkillName::new(name.as_str())).filter(|name| known.contains(name)).collect()
    }

    /// What the skill is under other conditions; or why it is to go on as it is.
    async fn loaded_anew(&self, loader: &Loader, name: &SkillName, lock: &Lock) -> Result<Now, String> {
        let Some(file) = loader.file(name, lock).await else {
            return Ok(Self::without_a_component(name, lock));
        };
        match loader.load(file, lock).await {
            Ok(active) => Ok(Now::Serves(Box::new(active))),
            Err(status) => match status.state.reason() {
                Some(reason) if self.active(name).is_some() => Err(reason),
                _ => Ok(Now::Rests(status)),
            },
        }
    }
}

/// The same loader under other conditions.
fn under(before: &Loader, limits: Limits, skills: BTreeMap<String, SkillConfig>) -> Result<Loader, String> {
    let engine = match Engine::suits(&before.limits, &limits) {
        true => before.engine.clone(),
        false => {
            let engine = Engine::new(&limits);
            Arc::new(engine.map_err(|error| format!("the engine for skills does not start: {error:#}"))?)
        }
    };
    Ok(Loader { engine, limits: Arc::new(limits), configured: Arc::new(skills), ..before.clone() })
}

/// What was said of the skill before is what counts.
fn keep(loader: &mut Loader, before: &Loader, name: &SkillName) {
    let mut skills = (*loader.configured).clone();
    match before.configured.get(name.as_str()) {
        Some(config) => skills.insert(name.to_string(), config.clone()),
        None => skills.remove(name.as_str()),
    };
    loader.configured = Arc::new(skills);
}
