//! How a change of skills is made: begun alone, loaded beside what serves, written down, published. The last two are one
//! step that goes on to its end though nobody waits for it any more: what is written down serves.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::{Looked, ManageError, Offer, granted};
use crate::grant::Grant;
use crate::id::SkillName;
use crate::shelf::lock::{Entry, Lock};
use crate::shelf::sign::{self, Provenance, Subject};
use crate::shelf::{ChangeError, Digest, Shelf};
use crate::skill::compiled::Wasm;
use crate::skill::generation::{Active, Generation};
use crate::skill::housekeeping::Alarm;
use crate::skill::load::{Hook, Interfaces};
use crate::skill::loader::{File, Purpose};
use crate::skill::status::{Source, State, Status};
use crate::skill::{OnFailure, Skills};

/// What is to be written down.
type Edit<'a> = &'a (dyn Fn(&mut Lock) -> Result<(), ManageError> + Sync);

/// What a skill is from now on.
pub(in crate::skill) enum Now {
    /// It is asked.
    Serves(Box<Active>),
    /// It is not.
    Rests(Box<Status>),
    /// There is none of this name.
    Gone,
}

/// Whether a skill that cannot be used after a change keeps the change from being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Veto {
    /// It does, where it serves: a failed candidate changes nothing.
    Allowed,
    /// It does not: what is taken from it is taken.
    None,
}

/// What becomes of a change that cannot be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// It is not made.
    Withheld,
    /// It holds until the next start.
    Published,
}

/// A change that is being made. Nobody else makes one meanwhile.
pub(in crate::skill) struct Changing {
    before: Lock,
    pub(in crate::skill) lock: Lock,
    alone: OwnedMutexGuard<()>,
}

// === impl Skills: what happens ===

impl Skills {
    /// A file of the folder came, changed or went: it is looked at anew.
    pub(in crate::skill) async fn look_again(self: &Arc<Self>, name: &SkillName) {
        match self.change(name, Veto::Allowed, &|_| Ok(())).await {
            Ok(()) | Err(ManageError::Unknown(_)) => {}
            Err(error) => {
                if let Some(active) = self.active(name) {
                    active.note(&format!("has a newer file that is not used: {error}"));
                }
                tracing::warn!(skill = %name, "what changed in the skills' folder is not used: {error}");
            }
        }
    }

    /// A version failed too often: it is not asked any more, and the last good one before it serves.
    pub(in crate::skill) async fn quarantine(self: &Arc<Self>, alarm: &Alarm) {
        let mut changing = match self.begin().await {
            Ok(changing) => changing,
            Err(error) => return tracing::error!(skill = %alarm.skill, "it fails again and again: {error}"),
        };
        let Some(active) = self.active(&alarm.skill).filter(|it| it.load == alarm.load) else { return };
        let version = &active.manifest.version;
        tracing::error!(skill = %alarm.skill, version, "taken out of use: it {}", alarm.reason);
        let status = active.status();
        let state = State::Quarantined(alarm.reason.clone());
        let mut now = Now::Rests(Box::new(Status { state, last_error: None, ..status }));
        if let Some(digest) = active.digest
            && changing.lock.quarantine(&alarm.skill, &digest, &alarm.reason).is_some()
            && let Some(file) = self.loader().file(&alarm.skill, &changing.lock).await
        {
            match self.loader().load(file, &changing.lock).await {
                Ok(before) => {
                    before.note(&format!("came back since version {version} {}", alarm.reason));
                    now = self.unless_off(before, &changing.lock);
                }
                Err(status) => tracing::error!("nor is the version before it: {:?}", status.state),
            }
        }
        if let Err(error) = self.commit(changing, Some((&alarm.skill, now)), Unwritten::Published).await {
            tracing::error!(skill = %alarm.skill, "that it is out of use is not written down: {error}");
        }
    }
}

// === impl Skills: how ===

impl Skills {
    /// Begins a change, as soon as nobody else makes one.
    pub(in crate::skill) async fn begin(&self) -> Result<Changing, ManageError> {
        let alone = self.changing.clone().lock_owned().await;
        let before = self.lock().await?;
        Ok(Changing { lock: before.clone(), before, alone })
    }

    /// Edits what is written down about a skill, and has it serve as that says.
    pub(super) async fn change(
        self: &Arc<Self>,
        name: &SkillName,
        veto: Veto,
        edit: Edit<'_>,
    ) -> Result<(), ManageError> {
        let mut changing = self.begin().await?;
        let is_known = self.active(name).is_some() || self.resting.load().contains_key(name);
        let was_known = is_known || changing.lock.entry(name).is_some();
        edit(&mut changing.lock)?;
        let now = match self.loader().file(name, &changing.lock).await {
            None if !was_known => return Err(ManageError::Unknown(name.clone())),
            None => Self::without_a_component(name, &changing.lock),
            Some(file) => match self.loader().load(file, &changing.lock).await {
                Ok(active) => self.unless_off(active, &changing.lock),
                Err(status) => {
                    let is_kept = veto == Veto::Allowed && self.active(name).is_some();
                    match status.state.reason() {
                        Some(reason) if is_kept => return Err(ManageError::Unusable(reason)),
                        _ => Now::Rests(status),
                    }
                }
            },
        };
        self.commit(changing, Some((name, now)), Unwritten::Withheld).await
    }

    /// Nothing counts for the name: all versions of it are out of use, or it is gone.
    pub(in crate::skill) fn without_a_component(name: &SkillName, lock: &Lock) -> Now {
        Status::of_last(name, lock).map_or(Now::Gone, |status| Now::Rests(Box::new(status)))
    }

    /// It serves, unless the user has switched it off.
    pub(in crate::skill) fn unless_off(&self, active: Active, lock: &Lock) -> Now {
        match self.loader().is_off(&active.name, lock) {
            true => Now::Rests(Box::new(Status { state: State::Disabled, ..active.status() })),
            false => Now::Serves(Box::new(active)),
        }
    }

    /// Writes down and publishes. Dropping this withdraws nothing.
    pub(super) async fn commit(
        self: &Arc<Self>,
        changing: Changing,
        now: Option<(&SkillName, Now)>,
        unwritten: Unwritten,
    ) -> Result<(), ManageError> {
        let skills = self.clone();
        let now = now.map(|(name, now)| (name.clone(), now));
        in_background(move || {
            let written = skills.write(&changing);
            if written.is_err() && unwritten == Unwritten::Withheld {
                return written;
            }
            if let Some((name, now)) = now {
                skills.publish(&name, now, &changing.lock);
            }
            drop(changing.alone);
            written
        })
        .await
    }

    fn write(&self, changing: &Changing) -> Result<(), ManageError> {
        if changing.lock == changing.before {
            return Ok(());
        }
        let shelf = self.shelf()?;
        let replaced = shelf.change(|it| -> Result<(), Infallible> {
            it.clone_from(&changing.lock);
            Ok(())
        });
        replaced.map_err(|error: ChangeError<Infallible>| ManageError::Disk(error.to_string()))
    }

    /// One new generation, with this skill as it is now.
    fn publish(&self, name: &SkillName, now: Now, lock: &Lock) {
        self.publish_all([(name.clone(), now)], lock);
    }

    /// One new generation, with these skills as they are now.
    pub(in crate::skill) fn publish_all(
        &self,
        changed: impl IntoIterator<Item = (SkillName, Now)>,
        lock: &Lock,
    ) {
        let current = self.current.load_full();
        let mut resting: BTreeMap<SkillName, Status> = (**self.resting.load()).clone();
        let mut skills: Vec<Arc<Active>> = current.skills.clone();
        let mut behind = (**self.behind.load()).clone();
        for (name, now) in changed {
            behind.remove(&name);
            let before = resting.remove(&name).map(|status| status.hooks);
            let served = skills.iter().find(|it| it.name == name).map(|it| it.hooks.clone());
            skills.retain(|it| it.name != name);
            match now {
                Now::Serves(active) => skills.push(Arc::new(*active)),
                Now::Rests(mut status) => {
                    // What cannot even be read is taken for what it was: a guard stays one.
                    if status.hooks.is_empty() {
                        status.hooks = before.or(served).unwrap_or_default();
                    }
                    resting.insert(name, *status);
                }
                Now::Gone => {}
            }
        }
        let unguarded = self.unguarded(lock, &skills, &resting);
        let generation = Generation::new(current.number() + 1, skills, unguarded);
        self.behind.store(Arc::new(behind));
        self.resting.store(Arc::new(resting));
        self.current.store(Arc::new(generation));
    }

    /// Removes components that nothing names any more.
    pub(super) async fn sweep(&self) {
        if let Err(error) = self.on_shelf(|shelf| shelf.sweep().map_err(|error| error.to_string())).await {
            tracing::warn!("components of skills that nobody needs are left: {error}");
        }
    }

    /// Does something with the shelf, off the runtime's threads.
    pub(super) async fn on_shelf<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Shelf) -> Result<T, String> + Send + 'static,
    ) -> Result<T, ManageError> {
        let shelf = self.shelf()?;
        in_background(move || what(&shelf).map_err(ManageError::Disk)).await
    }

    fn shelf(&self) -> Result<Arc<Shelf>, ManageError> {
        let nowhere = || ManageError::NoShelf("the folder to keep them in cannot be used".to_owned());
        self.loader().shelf.clone().ok_or_else(nowhere)
    }
}

/// Off the runtime's threads, and to its end.
async fn in_background<T: Send + 'static>(
    what: impl FnOnce() -> Result<T, ManageError> + Send + 'static,
) -> Result<T, ManageError> {
    let done = tokio::task::spawn_blocking(what).await;
    done.unwrap_or_else(|_| Err(ManageError::Disk("the store of skills crashed".to_owned())))
}

// === impl Skills: what is asked on the way ===

impl Skills {
    /// Loads what is offered, beside everything that serves.
    pub(in crate::skill) async fn candidate(
        &self,
        offer: &Offer,
        lock: &Lock,
        purpose: Purpose<'_>,
    ) -> Result<(Looked, Active), ManageError> {
        let config = self.loader().said_of(&offer.name);
        let granted = granted(&config, offer, lock);
        let digest = Digest::of(&offer.wasm);
        let file = File {
            name: offer.name.clone(),
            source: Source::Installed(offer.source.clone()),
            wasm: Ok(Wasm::Here(offer.wasm.clone())),
            digest: Some(digest),
        };
        let active = self.loader().load_with(file, Some(granted), config, purpose).await?;
        let imports: Vec<String> = active.imports.iter().map(ToString::to_string).collect();
        let subject = Subject {
            name: offer.name.as_str(),
            version: &active.manifest.version,
            digest,
            imports: &imports,
        };
        let provenance = sign::verify(offer.signature.as_ref(), &subject, lock.trusted())?;
        let looked = Looked {
            name: offer.name.clone(),
            version: active.manifest.version.clone(),
            description: active.manifest.description.clone(),
            digest,
            imports: active.imports.clone(),
            wants: active.identity.rights.denied().to_vec(),
            hooks: active.hooks.clone(),
            signed_by: match provenance {
                Provenance::Signed { by } => Some(by),
                Provenance::Unsigned => None,
            },
            active: self.active(&offer.name).map(|it| it.manifest.version.clone()),
        };
        Ok((looked, active))
    }

    pub(super) fn check_grants_are_ours(&self, name: &SkillName) -> Result<(), ManageError> {
        let configured = self.loader().configured.clone();
        match configured.get(name.as_str()).and_then(|it| it.grants.as_ref()) {
            None => Ok(()),
            Some(_) => Err(ManageError::Configured {
                what: "what is granted to",
                name: name.clone(),
                key: format!("skills.{name}.grants"),
            }),
        }
    }

    /// What a bundled skill has without a word: it is written down before it changes.
    pub(super) async fn granted_unsaid(&self, name: &SkillName) -> Result<Vec<Grant>, ManageError> {
        let lock = self.lock().await?;
        if lock.entry(name).is_some_and(|entry| entry.grants.is_some()) {
            return Ok(Vec::new());
        }
        let Some(file) = self.loader().file(name, &lock).await else { return Ok(Vec::new()) };
        let interfaces = match (&file.source, file.wasm) {
            (Source::Bundled, Ok(wasm)) => self.loader().interfaces(wasm).await.unwrap_or_default(),
            _ => Interfaces::default(),
        };
        Ok(interfaces.imports.into_iter().map(Grant::plain).collect())
    }

    /// What is not installed cannot be removed here.
    pub(super) fn check_is_nowhere_else(&self, name: &SkillName) -> Result<(), ManageError> {
        let source = self.statuses().into_iter().find(|it| it.name == *name).map(|it| it.source);
        match source {
            Some(Source::Bundled) => Err(ManageError::Bundled(name.clone())),
            Some(Source::File(path)) => Err(ManageError::InFolder { name: name.clone(), path }),
            Some(Source::Installed(_)) | None => Ok(()),
        }
    }

    /// The skill of this name that serves.
    pub(in crate::skill) fn active(&self, name: &SkillName) -> Option<Arc<Active>> {
        self.current.load().skills.iter().find(|it| it.name == *name).cloned()
    }

    /// Guards that should be asked and cannot be, and why. What was never loaded may be one: where the user wants requests
    /// refused when it fails, it counts as one.
    pub(in crate::skill) fn unguarded(
        &self,
        lock: &Lock,
        skills: &[Arc<Active>],
        resting: &BTreeMap<SkillName, Status>,
    ) -> Vec<(SkillName, String)> {
        let serves = |name: &SkillName| skills.iter().any(|it| it.name == *name);
        let guards =
            |name: &SkillName| skills.iter().any(|it| it.name == *name && it.hooks.contains(&Hook::Guard));
        let loader = self.loader();
        let is_needed = |name: &SkillName| {
            loader.configured.get(name.as_str()).is_some_and(|it| it.on_failure == OnFailure::Refuse)
        };
        let rests = resting.values().filter(|it| it.hooks.contains(&Hook::Guard) || is_needed(&it.name));
        let rests = rests.filter_map(|status| Some((status.name.clone(), status.state.reason()?)));
        let mut all: BTreeMap<SkillName, String> = rests.collect();
        for (name, entry) in lock.entries().filter(|(name, _)| !loader.is_off(name, lock)) {
            if let Some(reason) = guarding(entry).filter(|_| !guards(name)) {
                all.entry(name.clone()).or_insert(reason);
            }
        }
        for name in loader.configured.keys().map(|name| SkillName::new(name.as_str())) {
            let is_there = serves(&name) || resting.contains_key(&name) || loader.is_configured_off(&name);
            if is_needed(&name) && !is_there {
                all.insert(name, "is not installed".to_owned());
            }
        }
        all.into_iter().collect()
    }
}

/// Why a skill must guard, by what is written down of it: the version in use does, or one that was taken out of use after
/// it did.
fn guarding(entry: &Entry) -> Option<String> {
    let at = entry.active.and_then(|active| entry.versions.iter().position(|it| it.digest == active));
    let standing = entry.versions.iter().enumerate().filter(|(place, version)| {
        Some(*place) == at || (at.is_none_or(|at| *place > at) && version.quarantined.is_some())
    });
    let is_guard = |names: &Vec<String>| Interfaces::hooks_named(names).contains(&Hook::Guard);
    let mut guards = standing.filter(|(_, version)| is_guard(&version.hooks));
    guards.next().map(|(_, version)| {
        version.quarantined.clone().unwrap_or_else(|| "cannot be used in its installed version".to_owned())
    })
}
