//! Where a component comes from: a file, an address, or a registry. It is fetched here, whole, with the signature that came
//! with it.
//!
//! Bounded by what a component and a signature may have, before a download and in the middle of it. A proxy that the
//! environment names is used. Nothing is unpacked, nothing looked up: a source names the component itself. What the
//! component is, whoever installs it finds out.

mod credentials;
mod http;
mod manifest;
mod registry;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Url;

use crate::cli::output::Output;
use crate::shelf::COMPONENT_BYTES_MAX;
use crate::shelf::sign::Signature;

pub use registry::{Artifact, ParseArtifactError};

/// Where a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// On this machine.
    File(PathBuf),
    /// Elsewhere.
    Address(Url),
    /// In a registry.
    Registry(Artifact),
}

/// A component with what came with it.
#[derive(Debug)]
pub(in crate::cli) struct Fetched {
    /// The component.
    pub(in crate::cli) wasm: Vec<u8>,
    /// Its signature.
    pub(in crate::cli) signature: Option<Signature>,
    /// Where it is, to be written down: of what is in a registry, with its digest.
    pub(in crate::cli) from: String,
}

/// A source that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSourceError {
    /// It is an address of a kind that is not known here.
    #[error(
        "components come from a file, or from an https://, http:// or oci:// address; {0}:// is none of them"
    )]
    Scheme(String),
    /// It is no address.
    #[error("{0:?} is no address: {1}")]
    Address(String, String),
    /// It is no address in a registry.
    #[error(transparent)]
    Registry(#[from] ParseArtifactError),
}

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a server may say nothing in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How this program names itself to servers.
const USER_AGENT: &str = concat!("pointsman/", env!("CARGO_PKG_VERSION"));

/// What component files end in.
const ENDING: &str = ".wasm";

// === impl Source ===

impl FromStr for Source {
    type Err = ParseSourceError;

    fn from_str(text: &str) -> Result<Self, ParseSourceError> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Self::File(text.into())) };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => {
                let wrong = |error| ParseSourceError::Address(text.to_owned(), format!("{error}"));
                Ok(Self::Address(text.parse().map_err(wrong)?))
            }
            "oci" => Ok(Self::Registry(rest.parse()?)),
            _ => Err(ParseSourceError::Scheme(scheme.to_owned())),
        }
    }
}

impl Source {
    /// What it is called unless the user says otherwise: the last part of where it is, without `.wasm`.
    pub(in crate::cli) fn stem(&self) -> String {
        let last = match self {
            Self::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Self::Address(url) => url.path_segments().and_then(|mut it| it.next_back().map(str::to_owned)),
            Self::Registry(artifact) => Some(artifact.name().to_owned()),
        };
        let last = last.unwrap_or_default();
        last.strip_suffix(ENDING).unwrap_or(&last).to_owned()
    }

    /// The component, and the signature that came with it where there is one.
    pub(in crate::cli) async fn fetch(&self, output: &mut Output) -> anyhow::Result<Fetched> {
        match self {
            Self::File(path) => read(path).await,
            Self::Address(url) => http::download(url, output).await,
            Self::Registry(artifact) => registry::pull(artifact, output).await,
        }
    }
}

/// The component in a file, and the signature beside it.
async fn read(path: &Path) -> anyhow::Result<Fetched> {
    let wasm = component(path).await?;
    let beside = Signature::path(path);
    let signature = tokio::task::spawn_blocking(move || Signature::read(&beside)).await??;
    let from = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    Ok(Fetched { wasm, signature, from })
}

/// The component in a file.
pub(super) async fn component(path: &Path) -> anyhow::Result<Vec<u8>> {
    let unread = || format!("{} cannot be read", path.display());
    let metadata = tokio::fs::metadata(path).await.with_context(unread)?;
    if metadata.is_dir() {
        bail!("{} is a folder: name the component's file in it", path.display());
    }
    if metadata.len() > COMPONENT_BYTES_MAX {
        return Err(too_long(path.display(), COMPONENT_BYTES_MAX));
    }
    tokio::fs::read(path).await.with_context(unread)
}

/// All that comes, where it is no more than this. What says beforehand that it is more is not even begun.
async fn gather(
    stream: impl Stream<Item = anyhow::Result<Bytes>>,
    length: Option<u64>,
    shown: &str,
    bytes_max: u64,
    progress: &ProgressBar,
) -> anyhow::Result<Vec<u8>> {
    if length.is_some_and(|length| length > bytes_max) {
        return Err(too_long(shown, bytes_max));
    }
    let (mut stream, mut bytes) = (pin!(stream), Vec::new());
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() as u64 > bytes_max {
            return Err(too_long(shown, bytes_max));
        }
        progress.set_position(bytes.len() as u64);
    }
    Ok(bytes)
}

fn too_long(shown: impl Display, bytes_max: u64) -> anyhow::Error {
    anyhow!("{shown} has more than {bytes_max} bytes, which is not taken")
}

/// Says that something is fetched: a bar on a terminal, a line elsewhere.
fn announce(output: &mut Output, shown: &str, length: Option<u64>) -> ProgressBar {
    if !output.is_terminal() {
        output.note(format_args!("fetching {shown}"));
        return ProgressBar::hidden();
    }
    match length {
        Some(length) => ProgressBar::new(length).with_style(bar()),
        None => ProgressBar::new_spinner(),
    }
}

fn bar() -> ProgressStyle {
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
    // The template is a constant; were it wrong, the usual bar would be shown.
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests;
