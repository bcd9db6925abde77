//! Configuration: what may be written ([`mod@file`]), what the environment adds ([`mod@env`]), and what is true once both are
//! resolved: [`Config`], made of each room's own. All errors are reported at once, each with the key that causes it.
//!
//! No file is needed: with none, LM Studio on this machine is served on 127.0.0.1:8484 with the bundled skills.
//!
//! A file that changes is read again ([`mod@origin`]), and what that changes is told ([`mod@change`]); who looks when, and what the
//! rooms are given then, is the application's.

pub mod change;
pub mod edit;
pub mod env;
pub mod file;
pub mod origin;
mod parse;
pub mod period;
mod resolve;
pub mod size;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use crate::provider::{Locality, ServerKind};
use crate::{exchange, ingress, residency, route, session, skill};
pub use change::Change;
pub use file::Mode;
pub use origin::{Origin, Sight, Source};

/// Everything the gateway must know to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where state lives: the admin token, skills, what is remembered over restarts (`state.db`).
    pub data_dir: PathBuf,
    /// The file it was read from; none where there was none.
    pub file: Option<PathBuf>,
    /// What it was read from, and how to read it again; none where it was not read at all.
    pub source: Option<Source>,
    /// The model servers, by name.
    pub providers: BTreeMap<String, Provider>,
    /// The memories that models are in; each with its providers.
    pub devices: Vec<Device>,
    /// Alias → the name it stands for.
    pub aliases: Vec<(String, String)>,
    /// Names and defaults.
    pub routes: route::Config,
    /// What chat commands begin with; empty for none.
    pub command_prefix: String,
    /// Conversations.
    pub sessions: session::table::Config,
    /// One exchange.
    pub exchange: exchange::Limits,
    /// Who may come in, and how much they may bring.
    pub ingress: ingress::Config,
    /// Skills, their settings and grants.
    pub skills: skill::Config,
}

/// One model server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// What kind of server it is; where nothing is said, what answers there decides.
    pub kind: Option<ServerKind>,
    /// Its root: what `/v1` and the paths of its own protocol begin with.
    pub url: String,
    /// Its API key.
    pub key: Option<Secret>,
    /// Who loads and unloads its models.
    pub mode: Mode,
    /// The device that its models are on.
    pub device: String,
    /// Whether what is sent to it stays on the user's own machines.
    pub locality: Locality,
}

/// Memory that the models of some providers share.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// What it is called.
    pub name: String,
    /// The names of its providers; at least one.
    pub providers: Vec<String>,
    /// How it is looked after.
    pub residency: residency::Config,
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(transparent)]
pub struct Secret(String);

/// What the command line says, which goes before everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// This program, where it can be run as a compiler of skills.
    pub program: Option<PathBuf>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key's path, as `residency.local.max_loaded`; none where the file as a whole is wrong.
    pub key: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// All that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    /// The file; none where it is the environment or the command line.
    pub file: Option<PathBuf>,
    /// At least one.
    pub problems: Vec<Problem>,
}

// === impl Provider ===

impl Provider {
    /// An LM Studio on this machine that lets everybody in, as it is when nothing is configured.
    pub fn lmstudio(url: &str) -> Self {
        Self {
            kind: Some(ServerKind::LmStudio),
            url: url.to_owned(),
            key: None,
            mode: Mode::Gateway,
            device: "local".to_owned(),
            locality: Locality::Local,
        }
    }
}

// === impl Config ===

impl Config {
    /// Reads the file at `path`, else the one the environment names, else `pointsman.toml` here or in the platform's
    /// configuration folder, else none.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Self, Errors> {
        let origin = Origin { named: path.map(Path::to_path_buf), overrides: overrides.clone() };
        origin.read(&origin.look())
    }
}

// === impl Secret ===

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// As a text; what is none is not named in the error, because it may be the secret all the same.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer);
        text.map(Self).map_err(|_| serde::de::Error::custom("a key is a text: write it in quotation marks"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

// === impl Errors ===

impl std::error::Error for Errors {}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place =
            self.file.as_ref().map_or_else(|| "configuration".to_owned(), |path| path.display().to_string());
        for (index, problem) in self.problems.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            match &problem.key {
                Some(key) => write!(f, "{line}{place}: `{key}`: {}", problem.message)?,
                None => write!(f, "{line}{place}: {}", problem.message)?,
            }
        }
        Ok(())
    }
}
