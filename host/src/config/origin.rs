//! Where a configuration is read from, now and again: which file counts at this moment, what is in it, and what it comes to.
//! The environment and the command line cannot change while the process lives; the file can.
//!
//! Bounded by [`FILE_BYTES_MAX`]. It watches nothing and keeps nothing.

use std::io;
use std::path::{Path, PathBuf};

use super::env::{self, Env};
use super::file::File;
use super::{Config, Errors, Overrides, Problem, Secret, parse, resolve};

/// Bytes of the file that are read: all keys of hundreds of models and skills are some 100 KiB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What decides which file counts, and what goes before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// `--config`.
    pub named: Option<PathBuf>,
    /// What the command line says.
    pub overrides: Overrides,
}

/// The file at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// None is named, and there is none where one is looked for.
    Nothing,
    /// It is there.
    Written {
        /// Where.
        path: PathBuf,
        /// All of it; there are keys in it.
        text: Secret,
    },
    /// It cannot be read, perhaps because it is not there.
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What a configuration was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// How to read it again.
    pub origin: Origin,
    /// What was read.
    pub sight: Sight,
}

// === impl Origin ===

impl Origin {
    /// The file at this moment: the one that is named, else the one the environment names, else `pointsman.toml` here or in
    /// the platform's configuration folder. Waits for the disk.
    pub fn look(&self) -> Sight {
        let named = self.named.clone().or_else(|| Env::read().config);
        let Some(path) = named.or_else(env::usual_file) else { return Sight::Nothing };
        match text(&path) {
            Ok(text) => Sight::Written { path, text: Secret::new(text) },
            Err(error) => Sight::Unreadable { path, reason: format!("cannot be read: {error}") },
        }
    }

    /// What the file comes to.
    ///
    /// # Errors
    /// All that is wrong with it, each with its key and line.
    pub fn read(&self, sight: &Sight) -> Result<Config, Errors> {
        let (path, text) = match sight {
            Sight::Nothing => (None, ""),
            Sight::Written { path, text } => (Some(path), text.reveal()),
            Sight::Unreadable { path, reason } => {
                let problem = Problem { key: None, message: reason.clone() };
                return Err(Errors { file: Some(path.clone()), problems: vec![problem] });
            }
        };
        let errors = |problems| Errors { file: path.cloned(), problems };
        let (file, mut problems) = File::parse(text).map_err(|problem| errors(vec![problem]))?;
        match resolve::resolve(file, &Env::read(), &self.overrides, path.cloned()) {
            Ok(config) if problems.is_empty() => {
                let source = Source { origin: self.clone(), sight: sight.clone() };
                Ok(Config { source: Some(source), ..config })
            }
            Ok(_) => Err(errors(problems)),
            Err(more) => {
                // What was left out because it is wrong is not said to be missing as well.
                let known = |it: &Problem| problems.iter().any(|other| other.is_near(it));
                let more = more.into_iter().filter(|it| !known(it)).map(|it| it.with_line(text));
                let more: Vec<_> = more.collect();
                problems.extend(more);
                Err(errors(problems))
            }
        }
    }
}

fn text(path: &Path) -> io::Result<String> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > FILE_BYTES_MAX {
        let message = format!("it has {bytes} bytes, more than {FILE_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    std::fs::read_to_string(path)
}

// === impl Problem ===

impl Problem {
    /// The same, with the line where the key stands, if it does.
    pub(super) fn with_line(self, text: &str) -> Self {
        match self.key.as_deref().and_then(|key| parse::line(text, key)) {
            Some(line) => Self { message: format!("{} (line {line})", self.message), ..self },
            None => self,
        }
    }

    /// One of the two keys lies within the other.
    fn is_near(&self, other: &Self) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        match (&self.key, &other.key) {
            (Some(a), Some(b)) => within(a, b) || within(b, a),
            _ => false,
        }
    }
}
