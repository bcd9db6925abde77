//! Other settings, grants, priorities and limits for skills that are in use: those that are concerned are loaded beside what
//! serves, and all of them are published as one new generation. Requests that run finish on the generation they began with.
//!
//! A skill that does not take what is new keeps what it had, and serves; nobody else is concerned; each reload tries it anew and
//! says so. It cannot keep what is taken from it, though: where it has fewer rights than before, or must not be done without from
//! now on, it is not asked any more. Limits that are reserved
//! when the engine starts bring an engine of their own, which all skills are loaded into; the one before goes with the last
//! generation that uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::engine::Engine;
use super::generation::Active;
use super::loader::Loader;
use super::manage::change::{Changing, Now};
use super::status::Source;
use super::{Limits, OnFailure, SkillConfig, Skills};
use crate::grant::Rights;
use crate::id::SkillName;
use crate::shelf::lock::Lock;

/// What another configuration makes of the skills, loaded beside what serves. Nothing else of skills is changed before it is put
/// in force; dropping it changes nothing.
#[must_use = "nothing is in force yet"]
pub struct Prepared {
    /// None where nothing can be changed.
    next: Option<Next>,
    unfit: Vec<Unfit>,
}

/// What is to be in force.
struct Next {
    changing: Changing,
    loader: Loader,
    changed: Vec<(SkillName, Now)>,
    is_news: bool,
}

/// A skill that cannot be used as the user says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Which; none where it concerns all of them.
    pub skill: Option<SkillName>,
    /// Why: a fragment that follows its name.
    pub reason: String,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a skill that cannot be used as the user says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on as it was.
    GoesOn,
    /// It is not asked any more: what was taken from it is taken.
    Rests,
}

// === impl Skills ===

impl Skills {
    /// Does everything that takes time, so that these limits can hold, and what the user says about single skills.
    /// Nobody else changes skills until what comes of it is put in force or dropped.
    pub async fn prepare(&self, limits: Limits, skills: BTreeMap<String, SkillConfig>) -> Prepared {
        let changing = match self.begin().await {
            Ok(changing) => changing,
            Err(error) => return Prepared::nothing(error.to_string()),
        };
        let before = self.loader();
        let names = self.concerned(&before, &limits, &skills, &changing.lock).await;
        let mut loader = match under(&before, limits, skills) {
            Ok(loader) => loader,
            Err(reason) => return Prepared::nothing(reason),
        };
        let (mut changed, mut unfit) = (Vec::new(), Vec::new());
        for name in names {
            let (now, trouble) = self.loaded_anew(&loader, &name, &changing.lock).await;
            match now {
                Some(now) => changed.push((name, now)),
                None => keep(&mut loader, &before, &name),
            }
            unfit.extend(trouble);
        }
        let is_news = !changed.is_empty() || loader.configured != before.configured;
        if is_news {
            loader.warn_of_unknown(&before.names(&changing.lock).await);
        }
        Prepared { next: Some(Next { changing, loader, changed, is_news }), unfit }
    }

    /// From now on this holds: one pointer. Gives the skills that cannot be used so.
    pub fn put_in_force(&self, prepared: Prepared) -> Vec<Unfit> {
        let Prepared { next, unfit } = prepared;
        let Some(Next { changing, loader, changed, is_news }) = next else { return unfit };
        self.loader.store(Arc::new(loader));
        // Also where no skill is another one: what must not be done without may be said of one that is not there.
        if is_news {
            self.publish_all(changed, &changing.lock);
        }
        let go_on = unfit.iter().filter(|it| it.fate == Fate::GoesOn).filter_map(|it| it.skill.clone());
        self.behind.store(Arc::new(go_on.collect()));
        drop(changing);
        unfit
    }

    /// Skills of which something else is said than before, and those that did not take what was said before; all of them,
    /// where limits are others.
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
        let changed = changed.map(|name| SkillName::new(name.as_str()));
        let behind = (**self.behind.load()).clone();
        changed.chain(behind).filter(|name| known.contains(name)).collect()
    }

    /// What the skill is under other conditions, none where it is to go on as it is; and what is wrong with it then.
    async fn loaded_anew(
        &self,
        loader: &Loader,
        name: &SkillName,
        lock: &Lock,
    ) -> (Option<Now>, Option<Unfit>) {
        let Some(file) = loader.file(name, lock).await else {
            return (Some(Self::without_a_component(name, lock)), None);
        };
        let source = file.source.clone();
        let status = match loader.load(file, lock).await {
            Ok(active) => return (Some(Now::Serves(Box::new(active))), None),
            Err(status) => status,
        };
        let unfit = |fate, reason| Some(Unfit { skill: Some(name.clone()), reason, fate });
        match (status.state.reason(), self.active(name)) {
            (Some(reason), Some(active)) if is_less(loader, &active, &source, lock) => {
                (Some(Now::Rests(status)), unfit(Fate::Rests, reason))
            }
            (Some(reason), Some(_)) => (None, unfit(Fate::GoesOn, reason)),
            _ => (Some(Now::Rests(status)), None),
        }
    }
}

// === impl Prepared ===

impl Prepared {
    /// All skills go on as before.
    fn nothing(reason: String) -> Self {
        Self { next: None, unfit: vec![Unfit { skill: None, reason, fate: Fate::GoesOn }] }
    }
}

/// Something is taken from the skill: a right, or that requests are served without it. Whether that holds is not for the
/// skill to decide.
fn is_less(loader: &Loader, active: &Active, source: &Source, lock: &Lock) -> bool {
    let granted = loader.granted(&active.name, source, lock);
    let rights = Rights::effective(&active.imports, granted.as_deref());
    let on_failure = loader.configured.get(active.name.as_str()).map(|config| config.on_failure);
    let is_musthave = on_failure == Some(OnFailure::Refuse) && active.on_failure == OnFailure::Pass;
    is_musthave || !active.identity.rights.are_within(&rights)
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
