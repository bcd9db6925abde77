//! A generation: the active skills at one moment, in the order in which they are asked. Immutable; who holds it is
//! served by these versions to the end, and their instances go when the last holder does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::command::Command;
use super::housekeeping::{Alarm, Alarms};
use super::load::Hook;
use super::manifest::Manifest;
use super::pool::Pool;
use super::status::{Source, State, Status};
use super::{OnFailure, convert};
use crate::capability::Identity;
use crate::grant::Capability;
use crate::id::SkillName;
use crate::model::Directory;
use crate::shelf::Digest;
use crate::turn::event::Event;

/// An immutable set of active skills.
pub struct Generation {
    number: u64,
    pub(super) skills: Vec<Arc<Active>>,
    /// Guards that cannot be asked, and why: a fragment that follows the name. Nothing is served past them.
    pub(super) unguarded: Vec<(SkillName, String)>,
}

/// A skill in use.
pub(super) struct Active {
    pub(super) name: SkillName,
    pub(super) priority: i32,
    pub(super) on_failure: OnFailure,
    pub(super) manifest: Manifest,
    pub(super) hooks: Vec<Hook>,
    pub(super) imports: Vec<Capability>,
    pub(super) commands: Vec<Command>,
    pub(super) identity: Arc<Identity>,
    pub(super) pool: Arc<Pool>,
    pub(super) source: Source,
    /// Of an installed one.
    pub(super) digest: Option<Digest>,
    pub(super) last_error: Mutex<Option<String>>,
    /// Which load of this process it came from: what is said of one version is not said of the next.
    pub(super) load: u64,
    /// Failures since its last success.
    pub(super) failures: AtomicU32,
    /// Told when it has failed too often; nobody is of one that is tried.
    pub(super) alarms: Option<Alarms>,
}

/// Failures in a row after which a version is not asked any more.
pub const FAILURES_MAX: u32 = 5;

// === impl Generation ===

impl Generation {
    pub(super) fn new(
        number: u64,
        mut skills: Vec<Arc<Active>>,
        unguarded: Vec<(SkillName, String)>,
    ) -> Self {
        skills.sort_by(|a, b| a.priority.cmp(&b.priority).then_with(|| a.name.cmp(&b.name)));
        Self { number, skills, unguarded }
    }

    /// Counts the generations of this process, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Some skill has this hook.
    pub fn has(&self, hook: Hook) -> bool {
        self.skills.iter().any(|skill| skill.hooks.contains(&hook))
    }

    /// Tells every skill that listens what happened, all at the same time. A failure is the failing skill's alone and is
    /// only recorded.
    pub async fn notify(&self, event: &Event) {
        let listening = self.skills.iter().filter(|skill| skill.hooks.contains(&Hook::Event));
        futures_util::future::join_all(listening.map(|skill| skill.tell(event))).await;
    }

    /// The models as they are now.
    pub(super) fn directory(&self) -> Arc<Directory> {
        self.skills.first().map(|skill| skill.pool.delegates().models.directory()).unwrap_or_default()
    }

    pub(super) fn statuses(&self) -> Vec<Status> {
        self.skills.iter().map(|skill| skill.status()).collect()
    }
}

// === impl Active ===

impl Active {
    /// Remembers what went wrong, for whoever looks at the skill.
    pub(super) fn failed(&self, message: &str) {
        self.note(message);
        let version = &self.manifest.version;
        let Some(alarms) = &self.alarms else {
            return tracing::debug!(skill = %self.name, version, "the component that is tried {message}");
        };
        tracing::warn!(skill = %self.name, version, "the skill {message}");
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 == FAILURES_MAX {
            alarms.raise(Alarm { skill: self.name.clone(), load: self.load, reason: message.to_owned() });
        }
    }

    /// Says something about it to whoever looks.
    pub(super) fn note(&self, message: &str) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.to_owned());
    }

    /// A call came to its end as it should.
    pub(super) fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    async fn tell(&self, event: &Event) {
        let Some(record) = convert::event(event, &self.name) else { return };
        let told = match self.pool.take().await {
            Ok(mut instance) => instance.on_event(&record).await.map(|()| {
                self.pool.put_back(instance);
                self.succeeded();
            }),
            Err(error) => Err(error),
        };
        match told {
            Ok(()) => {}
            Err(error) if error.is_fault() => self.failed(&error.to_string()),
            Err(error) => tracing::warn!(skill = %self.name, "an event was not told: the skill {error}"),
        }
    }

    pub(super) fn status(&self) -> Status {
        Status {
            name: self.name.clone(),
            version: self.manifest.version.clone(),
            description: self.manifest.description.clone(),
            state: State::Active,
            priority: self.priority,
            grants: self.identity.rights.grants().to_vec(),
            denied: self.identity.rights.denied().to_vec(),
            hooks: self.hooks.clone(),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            source: self.source.clone(),
        }
    }
}
