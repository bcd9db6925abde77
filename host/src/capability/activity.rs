//! The capability `activity`: what the gateway has been doing, for commands and statistics.

use super::bindings::{activity, types};
use super::{Code, Error, Sandbox};
use crate::grant::Capability;
use crate::id::SessionKey;

/// Knows what happened.
pub trait Activity: Send + Sync {
    /// Every skill there is.
    fn skills(&self) -> Vec<SkillEntry>;

    /// Why the conversation's last request went where it went, as Markdown; none where nothing is remembered of it.
    fn explain(&self, session: &SessionKey) -> Option<String>;
}

/// A skill, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkillEntry {
    /// The name it is installed under.
    pub name: String,
    /// As it says; empty where it was never asked.
    pub version: String,
    /// As it says.
    pub description: String,
    /// `active`, `disabled`, `failed`, `quarantined`.
    pub state: String,
    /// What is wrong with it.
    pub reason: Option<String>,
}

impl activity::Host for Sandbox {
    fn skills(&mut self) -> wasmtime::Result<Vec<activity::SkillInfo>> {
        self.enter()?;
        if self.check(Capability::Activity).is_err() {
            return Ok(Vec::new());
        }
        let record = |it: SkillEntry| activity::SkillInfo {
            name: it.name,
            version: it.version,
            description: it.description,
            state: it.state,
            extra: it.reason.map(|reason| ("reason".to_owned(), reason)).into_iter().collect(),
        };
        Ok(self.delegates.activity.skills().into_iter().map(record).collect())
    }

    fn explain(&mut self, session: String) -> wasmtime::Result<Result<String, types::Error>> {
        self.enter()?;
        let explained = self.check(Capability::Activity).and_then(|()| {
            let found = self.delegates.activity.explain(&SessionKey::new(session));
            found.ok_or_else(|| Error::new(Code::NotFound, "no request of this conversation is remembered"))
        });
        Ok(explained.map_err(Error::into_record))
    }
}
