//! What the admin API says of the gateway's own configuration.

use serde::{Deserialize, Serialize};

/// `GET config`: how the configuration stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The file that it was read from; none where there is none.
    pub file: Option<String>,
    /// Why the file, or a part of it, is not in force; what was in force before is.
    pub problems: Vec<ConfigProblem>,
    /// Keys whose value takes effect at the next start.
    pub at_next_start: Vec<String>,
}

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigProblem {
    /// The key; none where it is about the file as a whole.
    pub key: Option<String>,
    /// What is wrong, with the line, and what would be right.
    pub message: String,
}

/// `POST config/reload`: what came of reading the file again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The file is in force, but for what `configuration` says; where not, nothing has changed.
    pub ok: bool,
    /// The keys whose value in the file is another one than before.
    pub changed: Vec<String>,
    /// How it stands now.
    pub configuration: Configuration,
}

// === impl ConfigProblem ===

impl std::fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.key {
            Some(key) => write!(f, "`{key}`: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}
