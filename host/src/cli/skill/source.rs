//! Where a component comes from: a file, or an address. It is fetched here, whole, with the signature that lies beside it.
//!
//! Bounded by what a component and a signature may have. What began encrypted stays so: redirects from https lead to
//! https, or nowhere. A proxy that the environment names is used. Nothing is unpacked, nothing looked up: an address names
//! the component itself.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{StatusCode, Url, redirect};

use crate::cli::client::root_cause;
use crate::cli::output::Output;
use crate::shelf::COMPONENT_BYTES_MAX;
use crate::shelf::sign::Signature;

/// Where a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// On this machine.
    File(PathBuf),
    /// Elsewhere.
    Address(Url),
}

/// A component with what lay beside it.
#[derive(Debug)]
pub(in crate::cli) struct Fetched {
    /// The component.
    pub(in crate::cli) wasm: Vec<u8>,
    /// The signature beside it.
    pub(in crate::cli) signature: Option<Signature>,
}

/// A source that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSourceError {
    /// It is an address of a kind that is not known here.
    #[error("components come from a file, or from an https:// or http:// address; {0}:// is neither")]
    Scheme(String),
    /// It is no address.
    #[error("{0:?} is no address: {1}")]
    Address(String, String),
}

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a server may say nothing in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 10;

/// Bytes of a signature: a few short lines.
const SIGNATURE_BYTES_MAX: u64 = 4 << 10;

/// What component files end in.
const ENDING: &str = ".wasm";

// === impl Source ===

impl FromStr for Source {
    type Err = ParseSourceError;

    fn from_str(text: &str) -> Result<Self, ParseSourceError> {
        let Some((scheme, _)) = text.split_once("://") else { return Ok(Self::File(text.into())) };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => {
                let wrong = |error| ParseSourceError::Address(text.to_owned(), format!("{error}"));
                Ok(Self::Address(text.parse().map_err(wrong)?))
            }
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
        };
        let last = last.unwrap_or_default();
        last.strip_suffix(ENDING).unwrap_or(&last).to_owned()
    }

    /// Where it is, to be written down: without names, passwords and queries, which may be secret.
    pub(in crate::cli) fn shown(&self) -> String {
        match self {
            Self::File(path) => {
                std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
            }
            Self::Address(url) => {
                let mut url = url.clone();
                url.set_query(None);
                url.set_fragment(None);
                // Addresses that cannot have them have none.
                let _ = url.set_username("");
                let _ = url.set_password(None);
                url.to_string()
            }
        }
    }

    /// The component, and the signature beside it where there is one.
    pub(in crate::cli) async fn fetch(&self, output: &mut Output) -> anyhow::Result<Fetched> {
        match self {
            Self::File(path) => read(path).await,
            Self::Address(url) => download(url, &self.shown(), output).await,
        }
    }
}

/// The component in a file, and the signature beside it.
async fn read(path: &Path) -> anyhow::Result<Fetched> {
    let wasm = component(path).await?;
    let beside = Signature::path(path);
    let signature = tokio::task::spawn_blocking(move || Signature::read(&beside)).await??;
    Ok(Fetched { wasm, signature })
}

/// The component in a file.
pub(super) async fn component(path: &Path) -> anyhow::Result<Vec<u8>> {
    let unread = || format!("{} cannot be read", path.display());
    let metadata = tokio::fs::metadata(path).await.with_context(unread)?;
    if metadata.is_dir() {
        bail!("{} is a folder: name the component's file in it", path.display());
    }
    if metadata.len() > COMPONENT_BYTES_MAX {
        bail!("{} has {} bytes, more than {COMPONENT_BYTES_MAX}", path.display(), metadata.len());
    }
    tokio::fs::read(path).await.with_context(unread)
}

async fn download(url: &Url, shown: &str, output: &mut Output) -> anyhow::Result<Fetched> {
    let http = http_client(url)?;
    let response = get(&http, url, shown).await?;
    if !response.status().is_success() {
        bail!("{shown} answers with status {}: is the address right?", response.status());
    }
    let progress = match response.content_length() {
        _ if !output.is_terminal() => ProgressBar::hidden(),
        Some(length) => ProgressBar::new(length).with_style(bar()),
        None => ProgressBar::new_spinner(),
    };
    if !output.is_terminal() {
        output.note(format_args!("fetching {shown}"));
    }
    let wasm = whole(response, shown, COMPONENT_BYTES_MAX, &progress).await;
    progress.finish_and_clear();
    Ok(Fetched { wasm: wasm?, signature: signature(&http, url, shown).await? })
}

/// The signature at the address with `.sig` behind it; none where there is nothing.
async fn signature(http: &reqwest::Client, url: &Url, shown: &str) -> anyhow::Result<Option<Signature>> {
    let mut beside = url.clone();
    beside.set_path(&format!("{}.sig", url.path()));
    let shown = format!("{shown}.sig");
    let response = get(http, &beside, &shown).await?;
    if response.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    if !response.status().is_success() {
        bail!(
            "{shown} answers with status {}: whether there is a signature cannot be said",
            response.status()
        );
    }
    let bytes = whole(response, &shown, SIGNATURE_BYTES_MAX, &ProgressBar::hidden()).await?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("{shown} is no signature: it is no text"))?;
    text.parse().map(Some).map_err(|reason: String| anyhow!("{shown} is no signature: {reason}"))
}

async fn get(http: &reqwest::Client, url: &Url, shown: &str) -> anyhow::Result<reqwest::Response> {
    http.get(url.clone())
        .send()
        .await
        .map_err(|error| anyhow!("{shown} cannot be fetched: {}", root_cause(&error)))
}

async fn whole(
    mut response: reqwest::Response,
    shown: &str,
    bytes_max: u64,
    progress: &ProgressBar,
) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let too_long = || anyhow!("{shown} has more than {bytes_max} bytes, which is not taken");
    if response.content_length().is_some_and(|length| length > bytes_max) {
        return Err(too_long());
    }
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| anyhow!("{shown} broke off: {}", root_cause(&error)))? else {
            return Ok(bytes);
        };
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > bytes_max {
            return Err(too_long());
        }
        progress.set_position(bytes.len() as u64);
    }
}

fn http_client(url: &Url) -> anyhow::Result<reqwest::Client> {
    let is_encrypted = url.scheme() == "https";
    let policy = redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > REDIRECTS_MAX {
            return attempt.error("it redirects too often");
        }
        if is_encrypted && attempt.url().scheme() != "https" {
            return attempt.error("it redirects from https to an address without encryption");
        }
        attempt.follow()
    });
    let builder = reqwest::Client::builder().redirect(policy).referer(false);
    let builder = builder.connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
    builder.user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION"))).build().context("the HTTP client")
}

fn bar() -> ProgressStyle {
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
    // The template is a constant; were it wrong, the usual bar would be shown.
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests;
