//! From the configuration in force to the one that is to be: which keys that changes, which of them wait for the next start,
//! and whether it may be at all. Pure.
//!
//! Every key is live but those of [`AT_START`]; a test holds each key of the schema against that.

use std::collections::{BTreeMap, BTreeSet};

use super::{Config, Errors, Problem, Secret, Sight, parse};

/// Keys that take effect when the gateway starts: its socket and its folder are opened once.
pub const AT_START: [&str; 2] = ["listen", "data_dir"];

/// What another configuration changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The keys whose value in the file is another one, in order.
    pub keys: Vec<String>,
    /// Of [`AT_START`], those that say something else than what is in force.
    pub at_start: Vec<String>,
}

// === impl Config ===

impl Config {
    /// The configuration that follows this one, which is in force, when `next` is taken; and what that changes.
    ///
    /// # Errors
    /// It would be right for a gateway that starts, and is wrong for the one that runs.
    pub fn followed_by(&self, next: Self) -> Result<(Self, Change), Errors> {
        let is_open = !self.listen.ip().is_loopback() && next.ingress.keys.is_empty();
        if is_open {
            let message = format!(
                "the gateway listens on {} until it is started anew, where it lets others in: give each client a key under \
                 [keys]",
                self.listen
            );
            let problem = Problem { key: Some("keys".to_owned()), message };
            return Err(Errors { problems: vec![problem.with_line(next.text())], file: next.file });
        }
        let (before, after) = (self.written(), next.written());
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let changed = names.into_iter().filter(|key| before.get(*key) != after.get(*key));
        let keys = changed.cloned().collect();
        let differs = [self.listen != next.listen, self.data_dir != next.data_dir];
        let at_start = AT_START.iter().zip(differs).filter(|(_, differs)| *differs);
        let at_start = at_start.map(|(key, _)| (*key).to_owned()).collect();
        let config = Self { listen: self.listen, data_dir: self.data_dir.clone(), ..next };
        Ok((config, Change { keys, at_start }))
    }

    /// What the file says, value by value.
    fn written(&self) -> BTreeMap<String, Secret> {
        parse::leaves(self.text())
    }

    /// The file's text; empty where there is none.
    fn text(&self) -> &str {
        match self.source.as_ref().map(|source| &source.sight) {
            Some(Sight::Written { text, .. }) => text.reveal(),
            Some(Sight::Nothing | Sight::Unreadable { .. }) | None => "",
        }
    }
}

#[cfg(test)]
mod tests;
