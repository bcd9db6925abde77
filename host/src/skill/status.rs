//! What is shown of a skill: whether it is used, what it may do, what is wrong with it.

use std::fmt;
use std::path::PathBuf;

use super::load::{Hook, Interfaces};
use crate::grant::{Capability, Grant};
use crate::id::SkillName;
use crate::shelf::lock::Lock;

/// One skill as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The name it is installed under.
    pub name: SkillName,
    /// As it says itself; empty where it did not get to say it.
    pub version: String,
    /// As it says itself; empty where it did not get to say it.
    pub description: String,
    /// Whether it is used.
    pub state: State,
    /// Skills are asked in ascending order.
    pub priority: i32,
    /// What it may use, of what it imports.
    pub grants: Vec<Grant>,
    /// What it imports and may not use.
    pub denied: Vec<Capability>,
    /// When it runs.
    pub hooks: Vec<Hook>,
    /// Its last failure while in use.
    pub last_error: Option<String>,
    /// Where it is from.
    pub source: Source,
}

/// Whether a skill is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is asked.
    Active,
    /// The user switched it off.
    Disabled,
    /// It cannot be used; the reason is a fragment that follows its name.
    Failed(String),
    /// It failed too often and is not asked any more; the reason is a fragment that follows its name.
    Quarantined(String),
}

/// Where a skill is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It ships with the gateway.
    Bundled,
    /// From the skills' folder.
    File(PathBuf),
    /// Installed; from where, in people's words.
    Installed(String),
}

// === impl State ===

impl State {
    /// One word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Failed(_) => "failed",
            Self::Quarantined(_) => "quarantined",
        }
    }

    /// What is wrong, where something is.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Active | Self::Disabled => None,
            Self::Failed(reason) | Self::Quarantined(reason) => Some(reason.clone()),
        }
    }
}

// === impl Status ===

impl Status {
    /// A skill of which no version is good any more; none where no version is known.
    pub(super) fn of_last(name: &SkillName, lock: &Lock) -> Option<Self> {
        let version = lock.entry(name)?.versions.last()?;
        let reason = version.quarantined.clone().unwrap_or_else(|| "is not in use".to_owned());
        let source = Source::Installed(version.source.clone());
        let hooks = Interfaces::hooks_named(&version.hooks);
        let resting = Self::resting(name.clone(), State::Quarantined(reason), source);
        Some(Self { version: version.version.clone(), hooks, ..resting })
    }

    /// A skill that is not in use and of which nothing is known.
    pub(super) fn resting(name: SkillName, state: State, source: Source) -> Self {
        Self {
            name,
            version: String::new(),
            description: String::new(),
            state,
            priority: 0,
            grants: Vec::new(),
            denied: Vec::new(),
            hooks: Vec::new(),
            last_error: None,
            source,
        }
    }
}

// === impl Source ===

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled => f.write_str("bundled"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Installed(from) => write!(f, "installed from {from}"),
        }
    }
}
