//! The only place that reads the environment for the configuration. Every variable of the gateway is declared here.
//!
//! What is said nearer goes first: the command line, then the environment, then the file. Two exceptions: a provider's
//! `url` and `key` in the file go before the variables that other programs share with us.
//!
//! The command line's own variables are read by clap, where `cli/args.rs` declares them: `POINTSMAN_URL` (the running
//! gateway that commands talk to, as `--url`), `POINTSMAN_LOG` (what `serve` logs, as `--log`), and [`CONFIG`] and
//! [`DATA_DIR`] once more, as `--config` and `--data-dir`. Libraries read what is theirs everywhere: proxies (`HTTPS_PROXY` and
//! its like) and `SSL_CERT_FILE`, for downloads of skills alone.

use std::path::PathBuf;

use etcetera::base_strategy::{BaseStrategy, choose_base_strategy};
use etcetera::home_dir;

use super::Secret;

/// The configuration file, as `--config`. Without it `pointsman.toml` here, else in the platform's folder.
pub const CONFIG: &str = "POINTSMAN_CONFIG";
/// Where clients connect, as `--listen`: address and port. Goes before the file's `listen`.
pub const LISTEN: &str = "POINTSMAN_LISTEN";
/// Where state lives, as `--data-dir`. Goes before the file's `data_dir`.
pub const DATA_DIR: &str = "POINTSMAN_DATA_DIR";
/// The model of requests that name none. Goes before the file's `defaults.model`.
pub const DEFAULT_MODEL: &str = "POINTSMAN_DEFAULT_MODEL";
/// The model server, with or without `/v1`, as OpenAI's SDKs know it.
pub const OPENAI_API_BASE: &str = "OPENAI_API_BASE";
/// Its key, as OpenAI's SDKs know it; sent only to the server that `OPENAI_API_BASE` names.
pub const OPENAI_API_KEY: &str = "OPENAI_API_KEY";
/// LM Studio's API token.
pub const LM_API_TOKEN: &str = "LM_API_TOKEN";
/// The folder of `config.json`, where Docker and oras keep who the user is to a registry. Without it `.docker` in the home
/// folder.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";

/// What the environment says.
#[derive(Debug, Clone, Default)]
pub struct Env {
    /// [`CONFIG`]
    pub config: Option<PathBuf>,
    /// [`LISTEN`]
    pub listen: Option<String>,
    /// [`DATA_DIR`]
    pub data_dir: Option<PathBuf>,
    /// [`DEFAULT_MODEL`]
    pub default_model: Option<String>,
    /// [`OPENAI_API_BASE`]
    pub openai_api_base: Option<String>,
    /// [`OPENAI_API_KEY`]
    pub openai_api_key: Option<Secret>,
    /// [`LM_API_TOKEN`]
    pub lm_api_token: Option<Secret>,
}

// === impl Env ===

impl Env {
    /// Reads the process's environment; empty variables count as absent.
    pub fn read() -> Self {
        Self {
            config: get(CONFIG).map(PathBuf::from),
            listen: get(LISTEN),
            data_dir: get(DATA_DIR).map(PathBuf::from),
            default_model: get(DEFAULT_MODEL),
            openai_api_base: get(OPENAI_API_BASE),
            openai_api_key: get(OPENAI_API_KEY).map(Secret::new),
            lm_api_token: get(LM_API_TOKEN).map(Secret::new),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn get(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The file that is read where none is named: `pointsman.toml` here, else in the platform's configuration folder.
pub fn usual_file() -> Option<PathBuf> {
    let here = PathBuf::from("pointsman.toml");
    let platform = choose_base_strategy().ok().map(|base| base.config_dir().join("pointsman/pointsman.toml"));
    std::iter::once(here).chain(platform).find(|path| path.is_file())
}

/// The file that is made where none is named and there is none: in the platform's configuration folder.
pub fn file_to_make() -> PathBuf {
    let name = "pointsman.toml";
    choose_base_strategy().map_or_else(|_| name.into(), |base| base.config_dir().join("pointsman").join(name))
}

/// The file in which Docker and oras keep who the user is to a registry; it need not be there.
pub fn docker_config_file() -> Option<PathBuf> {
    let usual = || home_dir().ok().map(|home| home.join(".docker"));
    get(DOCKER_CONFIG).map(PathBuf::from).or_else(usual).map(|folder| folder.join("config.json"))
}

/// The platform's folder for the program's state.
pub fn usual_data_dir() -> PathBuf {
    choose_base_strategy()
        .map_or_else(|_| PathBuf::from("pointsman-data"), |base| base.data_dir().join("pointsman"))
}
