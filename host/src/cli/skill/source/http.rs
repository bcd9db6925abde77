//! A component at an address, and its signature at the same address with `.sig` behind it.
//!
//! What began encrypted stays so: redirects from https lead to https, or nowhere. Bounded by [`REDIRECTS_MAX`],
//! [`SIGNATURE_BYTES_MAX`], and by what the source's door allows; nothing is tried twice.

use anyhow::{Context as _, anyhow, bail};
use futures_util::TryStreamExt as _;
use indicatif::ProgressBar;
use reqwest::{StatusCode, Url, redirect};

use super::{CONNECT_TIMEOUT, Fetched, READ_TIMEOUT, USER_AGENT, announce, gather};
use crate::cli::client::root_cause;
use crate::cli::output::Output;
use crate::shelf::COMPONENT_BYTES_MAX;
use crate::shelf::sign::{SIGNATURE_BYTES_MAX, Signature};

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 10;

/// The component at this address, and the signature beside it.
pub(super) async fn download(url: &Url, output: &mut Output) -> anyhow::Result<Fetched> {
    let (shown, http) = (shown(url), client(url)?);
    let response = get(&http, url, &shown).await?;
    if !response.status().is_success() {
        bail!("{shown} answers with status {}: is the address right?", response.status());
    }
    let progress = announce(output, &shown, response.content_length());
    let wasm = whole(response, &shown, COMPONENT_BYTES_MAX, &progress).await;
    progress.finish_and_clear();
    Ok(Fetched { wasm: wasm?, signature: signature(&http, url, &shown).await?, from: shown })
}

/// The address to be written down: without names, passwords and queries, which may be secret.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Addresses that cannot have them have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
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
    response: reqwest::Response,
    shown: &str,
    bytes_max: u64,
    progress: &ProgressBar,
) -> anyhow::Result<Vec<u8>> {
    let length = response.content_length();
    let broken = |error: reqwest::Error| anyhow!("{shown} broke off: {}", root_cause(&error));
    gather(response.bytes_stream().map_err(broken), length, shown, bytes_max, progress).await
}

fn client(url: &Url) -> anyhow::Result<reqwest::Client> {
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
    builder.user_agent(USER_AGENT).build().context("the HTTP client")
}
